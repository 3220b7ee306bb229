//! One recorded network gives the same bits on each processor, to a daemon's engine and an appliance's.

#[path = "../../firmware/boards/common/src/replay/mod.rs"]
mod replay;

use anyhow::{Result, bail, ensure};
use truechimer_tests::board::Model;

/// Queries that the trace has answers for.
const QUERIES: usize = 256;
/// Words that each of them brings at least: its tag, who, when, and itself.
const WORDS: usize = 9;
/// How far off the clock may be in the end, ns.
const ERROR: u64 = 100_000;

pub fn a_trace_gives_the_same_bits(model: Model) -> Result<()> {
    let (mut here, mut of_daemon) = (Vec::new(), Vec::new());
    replay::replay::<false>(&mut |value| here.push(value));
    replay::replay::<true>(&mut |value| of_daemon.push(value));
    ensure!(here == of_daemon, "a daemon's engine makes something else of it");
    let &[.., synced, error] = &here[..] else { bail!("nothing came out") };
    let error = error.cast_signed().unsigned_abs();
    ensure!(here.len() > QUERIES * WORDS && synced == 1 && error < ERROR, "{error} ns");
    let there = model.replay()?;
    let differs = here.iter().zip(&there).position(|(here, there)| here != there);
    if let Some(place) = differs {
        let first = place.saturating_sub(20);
        let both = [&here, &there].map(|words| words.get(first..=place));
        bail!("word {place} differs: here {:x?}, there {:x?}", both[0], both[1]);
    }
    ensure!(here.len() == there.len(), "{} words here, {} there", here.len(), there.len());
    Ok(())
}
