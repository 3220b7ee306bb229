//! Stamps of network cards, which have a clock of their own each (PTP hardware clock, PHC): what a
//! stamp is by the system's clock, and whether to believe it.
//!
//! A card's clock shows any time, at about the right rate. It is read beside the system's when a stamp
//! has come, and the stamp is moved by what is between the two. No stamp of a card is taken that the
//! kernel's own of the same packet does not bear out: of what leaves the kernel's is a little
//! earlier, of what arrives a little later. It is the kernel's that counts then.
//!
//! The parent, or `chimed -d`, has the interfaces stamp and opens their clocks ([`open`]); the ntp engine
//! may only read them.

#[cfg_attr(not(target_os = "linux"), path = "no_card.rs")]
mod card;
mod mapping;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use truechimer_core::units::{Instant, Span, WallTime};

use self::card::Clock;
pub use self::card::open;
use self::mapping::{Mapping, Reading};
use crate::clock::{monotonic, realtime};

/// The kernel stamps what leaves before the card does, and what arrives after it, by no more than
/// this: there may be a queue, and interrupts that wait.
const GREATEST_LAG: Span = Span::from_millis(10);
/// What is between readings of clocks even if they seem to be at the same moment.
const MARGIN: Span = Span::from_micros(1);
/// The frame check sequence, which the kernel does not count, octets.
const CHECK_SEQUENCE: u64 = 4;

/// An interface that stamps packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its number.
    pub index: u32,
    /// What it sends, Mbit/s; 0 if that is not known.
    pub speed: u32,
    /// The place of its clock among those that are open.
    pub clock: u16,
}

/// Interfaces, and the clocks that they stamp by.
#[derive(Debug, Default)]
pub struct Cards {
    /// In no order.
    pub interfaces: Vec<Interface>,
    /// `/dev/ptp*`, open for reading.
    pub clocks: Vec<OwnedFd>,
}

/// What a card said of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CardStamp {
    /// Which interface it is of.
    pub(crate) interface: u32,
    /// When the packet's first bit passed, by the card's clock.
    pub(crate) time: WallTime,
    /// How long the frame is, of what arrived.
    pub(crate) octets: u32,
}

/// Makes times by the system's clock of them.
#[derive(Debug, Default)]
pub struct Hardware {
    interfaces: Vec<Interface>,
    clocks: Vec<Mapped>,
}

#[derive(Debug)]
struct Mapped {
    clock: Box<dyn Source>,
    mapping: Mapping,
}

/// A card's clock.
trait Source: fmt::Debug + Send {
    fn read(&self) -> Result<Option<Reading>, Errno>;
}

impl From<Cards> for Hardware {
    fn from(Cards { interfaces, clocks }: Cards) -> Self {
        Self::new(interfaces, clocks.into_iter().map(|clock| Box::new(Clock(clock)) as _).collect())
    }
}

impl Hardware {
    fn new(interfaces: Vec<Interface>, clocks: Vec<Box<dyn Source>>) -> Self {
        let mapped = |clock| {
            let mut mapped = Mapped { clock, mapping: Mapping::default() };
            // It takes two readings to know a clock.
            mapped.read();
            mapped
        };
        Self { interfaces, clocks: clocks.into_iter().map(mapped).collect() }
    }

    /// Whether there is a card.
    pub(crate) const fn is_there(&self) -> bool {
        !self.interfaces.is_empty()
    }

    /// When a packet left that the kernel sent at `kernel`, if the card is to be believed.
    pub(crate) fn departure(&mut self, stamp: &CardStamp, kernel: WallTime) -> Option<WallTime> {
        let (time, error, _) = self.translate(stamp)?;
        (-error..=GREATEST_LAG).contains(&(time - kernel)).then_some(time)
    }

    /// When the last bit of a packet arrived that the kernel received at `kernel`, likewise.
    pub(crate) fn arrival(&mut self, stamp: &CardStamp, kernel: WallTime) -> Option<WallTime> {
        let (first, error, speed) = self.translate(stamp)?;
        let bits = (u64::from(stamp.octets) + CHECK_SEQUENCE) * 8;
        let nanos = (bits * 1_000).checked_div(u64::from(speed)).unwrap_or_default();
        let time = first + Span::from_nanos(nanos as i64);
        (-error..=GREATEST_LAG).contains(&(kernel - time)).then_some(time)
    }

    /// When it was, how far that may be off, and the interface's speed.
    fn translate(&mut self, stamp: &CardStamp) -> Option<(WallTime, Span, u32)> {
        let interface = self.interfaces.iter().find(|one| one.index == stamp.interface)?;
        let mapped = self.clocks.get_mut(usize::from(interface.clock))?;
        mapped.read();
        let (time, error) = mapped.mapping.translate(stamp.time)?;
        Some((time, error + MARGIN, interface.speed))
    }
}

impl Mapped {
    /// A clock that cannot be read any more is soon not fresh.
    fn read(&mut self) {
        if let Ok(Some(reading)) = self.clock.read() {
            // Nothing but a step of the system's clock changes this.
            let boot = realtime() + (Instant::default() - monotonic());
            self.mapping.add(reading, boot);
        }
    }
}
