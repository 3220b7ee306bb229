//! The constraint: about what time it is by others than the NTP servers, as OpenNTPD asks HTTPS servers
//! for their `Date`.
//!
//! Until the clock has been right for the first time no server may claim a time that is further from it
//! than two minutes, and none is believed before it is known. Whoever then keeps claiming another time
//! has it asked for again.

use chacha20::ChaCha8Rng;

use super::{Engine, STAGGER};
use crate::peer::{Bound, stretched};
use crate::units::{Instant, Now, Span, WallTime};

/// Between two attempts to have it, at first (OpenNTPD's `CONSTRAINT_RETRY_INTERVAL`).
const FIRST_RETRY: Span = Span::from_secs(15);
/// And at last, and before it is asked for again because it is contradicted (OpenNTPD's
/// `CONSTRAINT_SCAN_INTERVAL`).
const LONGEST_RETRY: Span = Span::from_secs(900);
/// A jitter of up to a half.
const JITTER: i64 = 2;
/// Claims that it refuses, for each peer, before it is asked for again (OpenNTPD's
/// `CONSTRAINT_ERROR_MARGIN`).
const DISAGREEMENTS: usize = 4;

#[derive(Debug)]
pub(super) enum Constraint {
    /// There is none, or it has served its purpose.
    Lifted,
    Needed {
        /// When it is to be asked for.
        due: Option<Instant>,
        /// So often it was, in vain.
        attempts: u32,
        /// The time that it was, and when.
        known: Option<(Instant, WallTime)>,
        /// Claims that it has refused.
        disagreements: usize,
    },
}

impl Constraint {
    pub(super) const fn new(needed: bool, now: Instant) -> Self {
        match needed {
            true => Self::Needed { due: Some(now), attempts: 0, known: None, disagreements: 0 },
            false => Self::Lifted,
        }
    }

    pub(super) const fn deadline(&self) -> Instant {
        match *self {
            Self::Needed { due: Some(due), .. } => due,
            _ => Instant::NEVER,
        }
    }

    /// Whether it is to be asked for now.
    pub(super) fn handle_timeout(&mut self, now: Instant, rng: &mut ChaCha8Rng) -> bool {
        match self {
            Self::Needed { due: Some(due), attempts, .. } if *due <= now => {
                let pause = FIRST_RETRY.times(1 << (*attempts).min(10)).min(LONGEST_RETRY);
                *attempts = attempts.saturating_add(1);
                *due = now + stretched(pause, JITTER, rng);
                true
            }
            _ => false,
        }
    }

    /// Says whether other claims may be made than before.
    fn set(&mut self, now: Instant, time: WallTime) -> bool {
        let before = self.at(now);
        if let Self::Needed { .. } = self {
            let known = Some((now, time));
            *self = Self::Needed { due: None, attempts: 0, known, disagreements: 0 };
        }
        !before.is_about(time)
    }

    pub(super) fn at(&self, now: Instant) -> Bound {
        match *self {
            Self::Lifted => Bound::Open,
            Self::Needed { known: None, .. } => Bound::Unknown,
            Self::Needed { known: Some((then, time)), .. } => Bound::About(time + (now - then)),
        }
    }

    /// It refused a claim of one of so many peers.
    pub(super) fn refused(&mut self, now: Instant, peers: usize) {
        if let Self::Needed { due, disagreements, known: Some((then, _)), .. } = self {
            *disagreements += 1;
            if *disagreements >= DISAGREEMENTS * peers {
                *disagreements = 0;
                *due = due.or(Some(now.max(*then + LONGEST_RETRY)));
            }
        }
    }
}

impl<const PEERS: usize, const KINDS: usize, const EXTRAS: bool> Engine<PEERS, KINDS, EXTRAS> {
    /// It is about `time`: if that is news, those are asked again that were not believed.
    pub(super) fn handle_constrained(&mut self, now: Now, time: WallTime) {
        if !self.constraint.set(now.mono, time) {
            return;
        }
        let mut at = now.mono;
        for associate in &mut self.peers {
            associate.peer.constrained(at);
            at = at + STAGGER;
        }
    }
}
