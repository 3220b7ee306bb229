//! `chimectl watch`: how the clock and its peers are, again and again: a live view of a terminal, or
//! a line for each time.

mod lines;
mod screen;
mod terminal;

use std::io::{self, IsTerminal};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use crate::clock::realtime;
use crate::control::{Answer, ClientError, Command, Peer, Status, ask_within};
use crate::sys;

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// A signal that comes between looking for it and poll(2) is noticed after this at the latest.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Why it is watched no longer.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The daemon cannot be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Standard output, or the terminal.
    #[error("cannot use the terminal: {0}")]
    Terminal(io::Error),
    /// Standard output, which is no terminal.
    #[error(transparent)]
    Output(io::Error),
    /// Signals cannot be caught, or waited for.
    #[error(transparent)]
    Signal(#[from] Errno),
}

/// How all is at one moment.
#[derive(Debug, Serialize)]
struct Sample {
    /// In UTC, by the host's clock.
    time: String,
    status: Status,
    peers: Vec<Peer>,
}

impl Sample {
    fn take(path: &Path) -> Result<Self, ClientError> {
        let time = realtime().to_string();
        let answers =
            [Command::Status, Command::Peers].map(|command| ask_within(PATIENCE, path, command));
        match answers {
            [Ok(Answer::Status(status)), Ok(Answer::Peers(peers))] => {
                Ok(Self { time, status: *status, peers })
            }
            [Err(error), _] | [_, Err(error)] => Err(error),
            _ => Err(ClientError::Refused("to say how it is".into())),
        }
    }
}

/// Watches the daemon whose control socket is at `path`, asking it every `interval`, until somebody
/// wants that no more: by `q` or Ctrl-C on a terminal, by a signal that asks for an end, or by not
/// reading on.
///
/// Where standard input and output are no terminal it prints a line each time, with `json` a JSON
/// object.
///
/// # Errors
/// The daemon cannot be asked at first, or nothing be shown. On a terminal a daemon that is lost
/// later is waited for.
pub fn watch(path: &Path, interval: Duration, json: bool) -> Result<(), WatchError> {
    sys::catch_termination()?;
    if io::stdin().is_terminal() && io::stdout().is_terminal() && !json {
        terminal::watch(path, interval)
    } else {
        lines::watch(path, interval, json)
    }
}

/// Waits until a signal or a descriptor has something to say, but no longer than to `until`. Says
/// whether the other end of the descriptor is gone.
fn wait(descriptor: Option<BorrowedFd<'_>>, until: Instant) -> Result<bool, Errno> {
    let left = until.saturating_duration_since(Instant::now()).min(LONGEST_WAIT);
    // Not too early, or there would be many waits of no length at last.
    let millis = left.as_nanos().div_ceil(1_000_000);
    let mut descriptors: Vec<_> =
        descriptor.iter().map(|one| PollFd::new(*one, PollFlags::POLLIN)).collect();
    match poll(&mut descriptors, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error),
    }
    let events = descriptors.iter().filter_map(PollFd::revents);
    Ok(events.into_iter().any(|events| events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR)))
}
