//! The process that asks HTTPS servers for the time, each time that the parent wants it.
//!
//! All that is in files it has read before it is confined, and it looks no name up.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::channel::{Channel, ChannelError};
use super::leave_terminal;
use super::message::{FromConstraint, ToConstraint};
use crate::config::Config;
use crate::constraint::{Answer, Prepared, ask_at};
use crate::log::Log;
use crate::output;
use crate::sandbox::{Work, confine};

/// What is told of a failure, characters: those of all servers fit into a message.
const MAX_FAILURE: usize = 200;

/// The end of its pair with the parent.
type Parent = Channel<FromConstraint, ToConstraint>;

pub(super) fn main(parent: OwnedFd) -> Result<ExitCode, Errno> {
    let parent = Parent::new(parent)?;
    let Ok(ToConstraint::Start(text, user)) = parent.receive() else {
        return Ok(ExitCode::FAILURE);
    };
    let config = Config::from_toml(&text).unwrap_or_default();
    let log = Log::new(&config.log);
    leave_terminal(&log)?;
    let sources: Vec<Prepared> = config.constraints.into_iter().map(Prepared::new).collect();
    let ports = sources.iter().map(Prepared::port).collect();
    let protections = match confine(&Work::Constraint(ports), user.as_ref(), &log) {
        Ok(protections) => protections,
        Err(error) => {
            output::fail("chimed", &format_args!("cannot start: {error}"));
            return Ok(ExitCode::FAILURE);
        }
    };
    let mut answer = FromConstraint::Ready(protections);
    while parent.send(&answer).is_ok() {
        answer = FromConstraint::Result(match next(&parent) {
            Ok(ToConstraint::Query(addresses)) => short(ask_at(&sources, &addresses)),
            Err(ChannelError::Closed) => return Ok(ExitCode::SUCCESS),
            _ => break,
        });
    }
    Ok(ExitCode::FAILURE)
}

/// What the parent wants next, however long that takes.
fn next(parent: &Parent) -> Result<ToConstraint, ChannelError> {
    // A failure is found out again when it is listened to.
    let _ = poll(&mut [PollFd::new(parent.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
    parent.receive()
}

fn short(mut answer: Answer) -> Answer {
    for failure in &mut answer.failures {
        *failure = failure.chars().take(MAX_FAILURE).collect();
    }
    answer
}
