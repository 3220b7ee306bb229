//! Bounded waiting.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks.
const SPACING: Duration = Duration::from_millis(100);

/// Looks again and again until `probe` finds something.
///
/// # Errors
/// Those of `probe`, or that nothing was found within `limit`.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if start.elapsed() >= limit {
            bail!("waited {} s in vain: {what}", limit.as_secs_f64());
        }
        std::thread::sleep(SPACING);
    }
}
