//! `chimed` in several processes, each with the least privilege that its work needs.
//!
//! ```text
//!   parent ──────── ntp engine      the clock · sockets, control socket, the engine
//!     ├──── dns engine ──┘          names
//!     └──── constraint              HTTPS servers, if there are any to ask
//! ```
//!
//! The parent starts this program anew for each role, which it names in `argv[0]`. A child's standard
//! input is its pair with the parent, its standard output the one between the two engines. When one
//! process ends, all do.

mod channel;
pub mod codec;
mod constraint;
mod dns;
pub mod link;
pub mod message;
mod ntp;
mod parent;
mod resolver;

use std::env;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::{fmt, io};

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::setsid;
use truechimer_core::event::Event;

use crate::log::Log;
use crate::sys::fault::{Call, fault};
use crate::{output, sys};

#[cfg(test)]
pub(crate) use channel::pair;
pub use channel::{Channel, ChannelError};
pub use parent::run;

/// What a process is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Decides, and talks to the network and to operators.
    Ntp,
    /// Looks names up.
    Dns,
    /// Asks HTTPS servers for the time.
    Constraint,
}

impl Role {
    const ALL: [Self; 3] = [Self::Ntp, Self::Dns, Self::Constraint];

    /// The one that this process was started for, if it was by its like.
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        let name = env::args_os().next()?;
        Self::ALL.into_iter().find(|role| *name == *OsStr::new(&role.title()))
    }

    /// Does what it is there for.
    #[must_use]
    pub fn play(self) -> ExitCode {
        let Ok((parent, side)) = inherited() else {
            output::fail("chimed", &format_args!("the {self} is started by chimed only"));
            return ExitCode::FAILURE;
        };
        let outcome = sys::ignore_termination().and_then(|()| match self {
            Self::Ntp => ntp::main(parent, side),
            Self::Dns => dns::main(parent, side),
            Self::Constraint => constraint::main(parent),
        });
        // What is wrong has been told, unless there is nobody left to be told.
        outcome.unwrap_or(ExitCode::FAILURE)
    }

    /// What the process is called in a list of processes.
    fn title(self) -> String {
        format!("chimed: {self}")
    }

    /// Starts a process. `main` is the end of its pair with the parent, `side` of that with its
    /// sibling; who has none has the former twice.
    fn start(self, main: OwnedFd, side: Option<OwnedFd>) -> io::Result<Child> {
        fault(Call::Fork)?;
        let side = side.map_or_else(|| main.try_clone(), Ok)?;
        let mut command = Command::new(this_program()?);
        command.arg0(self.title()).stdin(Stdio::from(main)).stdout(Stdio::from(side)).spawn()
    }
}

/// As the log calls it.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ntp => "ntp engine",
            Self::Dns => "dns engine",
            Self::Constraint => "constraint",
        })
    }
}

/// Linux knows it even if it has been replaced meanwhile.
fn this_program() -> io::Result<PathBuf> {
    let linked = Path::new("/proc/self/exe");
    if linked.exists() { Ok(linked.to_owned()) } else { env::current_exe() }
}

/// The ends that a child was started with: that to its parent and that to its sibling. They stay
/// open besides as its standard input and output, which it has no other use for.
fn inherited() -> io::Result<(OwnedFd, OwnedFd)> {
    let parent = io::stdin().as_fd().try_clone_to_owned()?;
    let side = io::stdout().as_fd().try_clone_to_owned()?;
    for end in [&parent, &side] {
        getsockopt(end, sockopt::SockType)?;
    }
    Ok((parent, side))
}

/// What is typed at the parent's terminal concerns only the parent.
fn leave_terminal(log: &Log) -> Result<(), Errno> {
    let left = fault(Call::Setsid).and_then(|()| setsid());
    left.map(drop).inspect_err(|_| log.event(&Event::FatalSetsid))
}
