//! What a process gives up before it talks to anybody, so that whoever takes it over has little:
//! the user, the files, the capabilities, the system calls.
//!
//! A protection that the system lacks is left out, and `chimectl status` tells which are there. One
//! that is there is tried out: a call that it forbids must fail, or the daemon does not start.

#[cfg(any(target_os = "freebsd", target_os = "openbsd"))]
#[path = "bsd.rs"]
mod system;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd")))]
#[path = "other.rs"]
mod system;

#[cfg(target_os = "linux")]
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")),
    path = "no_calls.rs"
)]
mod calls;
mod user;

use std::fmt;
use std::io;
use std::path::PathBuf;

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};
use truechimer_core::event::Event;

use crate::log::Log;

pub use user::{User, UserError};

/// What keeps a process from doing more than its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protection {
    /// A user of its own.
    User,
    /// An empty root directory.
    Chroot,
    /// No capabilities, nor a way to get some; for the parent only those that it needs.
    Capabilities,
    /// No program that it runs has more privilege.
    NoNewPrivileges,
    /// Only the files and the ports of TCP that it needs, by Linux' Landlock.
    Landlock,
    /// Only the system calls that it needs, by Linux' seccomp.
    Seccomp,
    /// Only the system calls that it needs, by OpenBSD's pledge(2).
    Pledge,
    /// Only the files that it needs, by OpenBSD's unveil(2).
    Unveil,
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Chroot => "chroot",
            Self::Capabilities => "capabilities",
            Self::NoNewPrivileges => "no-new-privileges",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
            Self::Pledge => "pledge",
            Self::Unveil => "unveil",
        })
    }
}

/// Whose protections they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// The parent's, which may change what is in these directories.
    Parent(Vec<PathBuf>),
    /// The ntp engine's.
    Ntp,
    /// The dns engine's.
    Dns,
    /// That of the process that asks HTTPS servers, at these ports.
    Constraint(Vec<u16>),
    /// That of `chimectl exporter`, which listens already.
    Exporter,
}

/// Why a process is not confined as it should be.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The user was not changed.
    #[error("cannot become the user {0}: {1}")]
    User(String, io::Error),
    /// A protection was refused.
    #[error("the protection `{0}` cannot be had: {1}")]
    Refused(Protection, String),
    /// A call that is forbidden did not fail.
    #[error("the protection `{0}` is there, but does not protect")]
    Useless(Protection),
}

/// From here on this process can do its work and nothing else; `user` is whom it becomes, if it
/// may. There are no other threads yet.
///
/// # Errors
/// What cannot be had although the system has it. It has been logged.
pub fn confine(
    work: &Work,
    user: Option<&User>,
    log: &Log,
) -> Result<Vec<Protection>, SandboxError> {
    let user = user.filter(|_| geteuid().is_root());
    system::confine(work, user).inspect_err(|error| tell(error, log))
}

fn tell(error: &SandboxError, log: &Log) {
    if let SandboxError::User(..) = error {
        log.event(&Event::FatalDropPrivileges);
    }
}

/// What was asked for and not refused.
#[cfg(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd"))]
fn needed<T, E: fmt::Display>(
    protection: Protection,
    outcome: Result<T, E>,
) -> Result<T, SandboxError> {
    outcome.map_err(|error| SandboxError::Refused(protection, error.to_string()))
}

/// That a call fails shows that the protection is there.
fn forbidden<T, E>(protection: Protection, outcome: Result<T, E>) -> Result<(), SandboxError> {
    match outcome {
        Ok(_) => Err(SandboxError::Useless(protection)),
        Err(_) => Ok(()),
    }
}
