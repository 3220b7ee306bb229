//! Asking again until the answer is the one that is wanted.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::client::{ClientError, ask_within};
use super::{Answer, Command, Status};

/// Between two questions.
const INTERVAL: Duration = Duration::from_millis(500);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Until {
    /// The clock is synchronised to a source
    Synced,
    /// The daemon answers
    Reachable,
}

/// Why it is waited for no longer.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The daemon can be asked, but its clock is not right in time.
    #[error(
        "not synchronised within {} s: {} of {} peers valid{}",
        .limit.as_secs_f64(), .status.peers_valid, .status.peers,
        if .status.held { ", held: see chimectl accept" } else { "" }
    )]
    Unsynced {
        /// How long was waited.
        limit: Duration,
        /// How the daemon was at last.
        status: Box<Status>,
    },
    /// The daemon cannot be asked, in time or at all.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Waits until the daemon whose control socket is at `path` is in a state, and returns how it is
/// then. It is asked once at least, and may take half a second for its answer, whatever is left;
/// without `limit` it is asked for ever.
///
/// # Errors
/// The time is over, or the daemon may not be asked.
pub fn wait(path: &Path, until: Until, limit: Option<Duration>) -> Result<Status, WaitError> {
    let start = Instant::now();
    loop {
        let left = limit.map_or(Duration::MAX, |limit| limit.saturating_sub(start.elapsed()));
        let error = match ask_within(left.max(INTERVAL), path, Command::Status) {
            Ok(Answer::Status(status)) if status.synced || until == Until::Reachable => {
                return Ok(*status);
            }
            Ok(Answer::Status(status)) => {
                WaitError::Unsynced { limit: limit.unwrap_or(Duration::MAX), status }
            }
            Ok(_) => return Err(ClientError::Refused("to say how it is".into()).into()),
            Err(error) if error.is_passing() => error.into(),
            Err(error) => return Err(error.into()),
        };
        let left = limit.map_or(INTERVAL, |limit| limit.saturating_sub(start.elapsed()));
        if left.is_zero() {
            return Err(error);
        }
        sleep(left.min(INTERVAL));
    }
}
