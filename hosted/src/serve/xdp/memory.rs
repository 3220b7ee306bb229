//! What the daemon and the programs share: what is served, and what was done.
//!
//! ```text
//! word 0           the number of the slot that holds, modulo SLOTS
//! from SLOT        slots, written in turn: a program reads one while others are written
//! from COUNTS      counts, a row for each processor, whose numbers are modulo ROWS
//! ```
//!
//! The daemon writes a slot and then its number. A program reads the number, which the address of
//! what it reads next depends on, and that is order enough on every processor; once more at the
//! end, should it have been held up while all of the slots were written.

use std::sync::atomic::Ordering;

use nix::errno::Errno;

use crate::sys::bpf::Memory;

/// A power of two; the number times their length is within what an offset can be.
pub(super) const SLOTS: usize = 16;
/// Words of a slot, and of a row: those of a cache line.
pub(super) const LINE: usize = 8;
pub(super) const SLOT: usize = LINE;
pub(super) const COUNTS: usize = SLOT + SLOTS * LINE;
/// A power of two.
pub(super) const ROWS: usize = 256;
const WORDS: usize = COUNTS + ROWS * LINE;

/// The words of a slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Slot {
    /// The slot is true so long from `since` on, ns; below 2^32, and 0 if nothing is to be answered.
    pub life: u64,
    /// `CLOCK_MONOTONIC`, ns.
    pub since: u64,
    /// What the served clock showed then, as an NTP timestamp.
    pub stamp: u64,
    /// What that gains in a nanosecond, in units of 2^-[`RATE_BITS`].
    pub rate: u64,
    /// The first 24 octets of an answer as they are in memory, without version, mode and poll.
    pub template: [u64; 3],
    /// 1 if requests that may be of the interleaved mode are for others to answer.
    pub interleaved: u64,
}

/// A rate of 1 has 32 significant bits with these: less than a nanosecond is lost in a life.
pub(super) const RATE_BITS: i32 = 29;

/// Where they are in a slot.
pub(super) mod place {
    pub const LIFE: usize = 0;
    pub const SINCE: usize = 1;
    pub const STAMP: usize = 2;
    pub const RATE: usize = 3;
    pub const TEMPLATE: usize = 4;
    pub const INTERLEAVED: usize = 7;
}

/// Why a packet that came to a served address and port was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    /// It was answered with version 3.
    Version3,
    /// It was answered with version 4.
    Version4,
    /// Not a plain request.
    Other,
    /// It may be of the interleaved mode.
    Interleaved,
    /// There was nothing to serve.
    Unready,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) memory: Memory,
    /// Of the slot that holds.
    number: u64,
}

impl Shared {
    pub(super) fn new() -> Result<Self, Errno> {
        Ok(Self { memory: Memory::new(WORDS)?, number: 0 })
    }

    /// From now on programs serve this.
    pub(super) fn write(&mut self, slot: &Slot) {
        let Slot { life, since, stamp, rate, template: [a, b, c], interleaved } = *slot;
        let slot = [life, since, stamp, rate, a, b, c, interleaved];
        let words = self.memory.words();
        self.number += 1;
        let first = SLOT + self.number as usize % SLOTS * LINE;
        for (place, word) in words[first..].iter().zip(slot) {
            place.store(word, Ordering::Relaxed);
        }
        words[0].store(self.number, Ordering::Release);
    }

    /// How often it was counted so, by all processors.
    pub(super) fn count(&self, count: Count) -> u64 {
        let rows = self.memory.words()[COUNTS..].chunks_exact(LINE);
        rows.map(|row| row[count as usize].load(Ordering::Relaxed)).sum()
    }
}
