//! What this clock is to others: the system variables of RFC 5905 §9.1.

use core::net::IpAddr;

use crate::config::{DRIFT_TOLERANCE, MAX_STRATUM};
use crate::units::{FreqOffset, Instant, Span, WallTime};
use crate::wire::{LeapIndicator, ReferenceId};

/// What a clock follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Reference {
    /// The server at this address.
    Server(IpAddr),
    /// No server, or one of which only this is known.
    Id(ReferenceId),
}

impl Reference {
    /// As clients are told: not before, for that of an IPv6 address is a digest.
    #[must_use]
    pub fn id(self) -> ReferenceId {
        match self {
            Self::Server(address) => ReferenceId::from_addr(address),
            Self::Id(id) => id,
        }
    }
}

/// The state that a server tells its clients, true at `updated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SystemState {
    /// Leap second warning, or [`LeapIndicator::Alarm`] without synchronisation.
    pub leap: LeapIndicator,
    /// 1 to 15, or 16 without synchronisation.
    pub stratum: u8,
    /// How finely the clock is read, as a power of two seconds.
    pub precision: i8,
    /// Round trip to the primary source.
    pub root_delay: Span,
    /// Greatest error on that way, but for half the root delay, at `updated`.
    pub root_dispersion: Span,
    /// How fast that grows: 15 ppm (RFC 5905 §11.2, PHI) and what is not known of the frequency.
    pub drift: FreqOffset,
    /// What the clock follows.
    pub reference: Reference,
    /// When it was last set or corrected.
    pub reference_time: WallTime,
    /// When all this was true.
    pub updated: Instant,
}

impl SystemState {
    /// A clock that follows nothing.
    #[must_use]
    pub const fn unsynchronised(precision: i8, now: Instant) -> Self {
        Self {
            leap: LeapIndicator::Alarm,
            stratum: MAX_STRATUM,
            precision,
            root_delay: Span::ZERO,
            root_dispersion: Span::ZERO,
            drift: DRIFT_TOLERANCE,
            reference: Reference::Id(ReferenceId::from_bytes(*b"INIT")),
            reference_time: WallTime::UNIX_EPOCH,
            updated: now,
        }
    }

    /// Whether clients may set their clocks by this one.
    #[must_use]
    pub const fn is_synchronised(&self) -> bool {
        self.stratum < MAX_STRATUM
    }

    /// The root dispersion at `now`.
    #[must_use]
    pub fn root_dispersion_at(&self, now: Instant) -> Span {
        self.root_dispersion + self.drift.gain(now - self.updated, 0).0
    }

    /// No further than this is the clock from the truth at `now`, if its sources are honest.
    #[must_use]
    pub fn root_distance_at(&self, now: Instant) -> Span {
        self.root_delay.half() + self.root_dispersion_at(now)
    }
}
