//! What the end-to-end suites share: the daemon under test as a child process, real NTP programs
//! and a scripted server to put it against, and trials that say what they left out.
//!
//! - `commands`: the programs as a person or a service manager runs them;
//! - `interop`: against chrony, NTPsec, OpenNTPD, busybox, ntpd-rs and ntplib, as client and as
//!   server, and what Wireshark sees of it ([`clients`], [`capture`]);
//! - `hostile`: against datagrams that are to change nothing;
//! - `kernel`: the software clock against a Linux kernel in a virtual machine, and the daemon that
//!   disciplines that kernel ([`guest`], [`timex`]);
//! - `limits`: size, memory, wake-ups;
//! - `footprint`: what parts of the core take on a microcontroller, and the same bits there;
//! - `firmware`: the appliance on an emulated board, with its own drivers ([`board`]);
//! - `preload`: what simulators that replace libc's calls rely on, and one of them;
//! - `simulation`: the worlds of `worlds/`, in which days pass in seconds ([`sim`]); the estimator
//!   beside the prototype ([`yardstick`]).
//!
//! Nothing here changes the clock of the machine: the daemon runs with `clock = "software"`,
//! chronyd with `-x`, and what would adjust a clock unasked, or is to be refused it, is confined to
//! a namespace without the privilege; the clock of a guest is nobody's. Everything is on loopback.

#![forbid(unsafe_code)]

pub mod appliance;
pub mod bare;
pub mod binaries;
pub mod board;
pub mod capture;
pub mod chimed;
pub mod clients;
pub mod fake;
pub mod footprint;
pub mod guest;
pub mod https;
mod image;
pub mod leap;
pub mod names;
pub mod namespace;
pub mod peers;
pub mod process;
pub mod sim;
pub mod terminal;
pub mod timex;
pub mod trial;
mod wait;
pub mod yardstick;

use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

pub use wait::wait_for;

/// A UDP port of 127.0.0.1 that was free a moment ago.
///
/// # Errors
/// If there is none.
pub fn free_port() -> Result<u16> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(socket.local_addr()?.port())
}

/// A directory for one process's files, removed on drop. Others may not read it, on which chronyd
/// insists.
///
/// # Errors
/// If it cannot be made.
pub fn scratch() -> Result<tempfile::TempDir> {
    let own = std::fs::Permissions::from_mode(0o700);
    let directory = tempfile::Builder::new().prefix("truechimer-").permissions(own).tempdir();
    directory.context("no temporary directory")
}

/// Writes a file into a directory and returns its path as text.
///
/// # Errors
/// If it cannot be written.
pub fn write(directory: &Path, name: &str, text: &str) -> Result<String> {
    let path = directory.join(name);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.display().to_string())
}
