//! What the appliance takes on the emulated Cortex-M33: flash, RAM, stack; and where it may panic.
//!
//! The image whose flash is measured has its settings built in, as one has that is flashed; the one
//! that runs takes them from its command line, and has all else. The start-up code paints the stack;
//! how far it was used is looked up when the appliance has run for a while, in real time, with four
//! servers.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::board::{Board, Model};
use crate::fake::FakeServer;
use crate::image::Image;

/// Four queries of each server, and the search for an edge of the real-time clock's after that.
const RUN: Duration = Duration::from_secs(15);
/// What the start-up code paints the stack with (`cortex-m-rt`, feature `paint-stack`).
const PAINT: [u8; 4] = [0xCC; 4];

/// What is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// In a word.
    pub name: &'static str,
    /// How cargo is told to build what is flashed.
    pub flashed: &'static [&'static str],
    /// The same, with settings from the emulator's command line.
    pub emulated: &'static [&'static str],
}

/// IPv4, DHCP, DNS and real-time clock; and with server and IPv6.
pub const VARIANTS: [Variant; 2] = [
    Variant {
        name: "client",
        flashed: &["--no-default-features"],
        emulated: &["--no-default-features", "--features", "command-line"],
    },
    Variant {
        name: "full",
        flashed: &["--no-default-features", "--features", "ipv6,server"],
        emulated: &[],
    },
];

/// What it takes.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Octets that are flashed.
    pub flash: u64,
    /// Octets of variables that last.
    pub statics: u64,
    /// Octets of stack that were used at most.
    pub stack: u64,
    /// The crates whose code calls the functions that panic, and from how many places.
    pub panics: BTreeMap<String, usize>,
}

/// Builds a variant and runs it.
///
/// # Errors
/// If it does not build, or does not synchronise.
pub fn measure(variant: Variant) -> Result<Figures> {
    let program = Model::Mps3An524.variant(variant.name, variant.flashed)?;
    let flashed = Image::read(&program)?;
    Board::start_program(Model::Mps3An524, &program, None, None)?.wait_for_line("s by Rtc")?;
    let program = Model::Mps3An524.variant(variant.name, variant.emulated)?;
    let image = Image::read(&program)?;
    let servers = [(); 4].map(|()| FakeServer::honest());
    let mut settings = Vec::new();
    for server in &servers {
        let server = server.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        settings.push(format!("peer=10.0.2.2:{}", server.port));
    }
    let mut board = Board::start_program(Model::Mps3An524, &program, None, Some(&settings))?;
    board.wait_for_line("clock is now synced")?;
    sleep(RUN);
    let (end, top) = (image.address("_stack_end")?, image.address("_stack_start")?);
    let memory = board.memory(end, top - end)?;
    let unused = memory.chunks(4).take_while(|word| *word == PAINT).count() as u64 * 4;
    ensure!(unused > 0, "the stack was not painted, or has run over");
    let panics = flashed.panic_sites().context("callers of what panics")?;
    Ok(Figures {
        flash: flashed.flash()?,
        statics: image.statics()?,
        stack: top - end - unused,
        panics,
    })
}
