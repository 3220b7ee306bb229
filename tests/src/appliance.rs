//! What the appliance takes on the emulated Cortex-M33: flash, RAM, stack; and where it may panic.
//!
//! The image that is measured is the one that is flashed. The start-up code paints the stack; how
//! far it was used is looked up when the appliance has run for a while, in real time, with four
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
    /// How cargo is told.
    pub arguments: &'static [&'static str],
}

/// IPv4, DHCP, DNS and real-time clock; and with server and IPv6.
pub const VARIANTS: [Variant; 2] = [
    Variant { name: "client", arguments: &["--no-default-features"] },
    Variant { name: "full", arguments: &[] },
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
    let program = Model::Mps3An524.variant(variant.name, variant.arguments)?;
    let image = Image::read(&program)?;
    let servers = [(); 4].map(|()| FakeServer::honest());
    let mut settings = Vec::new();
    for server in &servers {
        let server = server.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        settings.push(format!("peer=10.0.2.2:{}", server.port));
    }
    let mut board = Board::start_program(Model::Mps3An524, &program, None, &settings)?;
    board.wait_for_line("clock is now synced")?;
    sleep(RUN);
    let (end, top) = (image.address("_stack_end")?, image.address("_stack_start")?);
    let memory = board.memory(end, top - end)?;
    let unused = memory.chunks(4).take_while(|word| *word == PAINT).count() as u64 * 4;
    ensure!(unused > 0, "the stack was not painted, or has run over");
    let panics = image.panic_sites().context("callers of what panics")?;
    Ok(Figures {
        flash: image.flash()?,
        statics: image.statics()?,
        stack: top - end - unused,
        panics,
    })
}
