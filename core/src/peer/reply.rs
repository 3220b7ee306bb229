//! What a datagram from a peer's server is: tested as a packet (RFC 5905 §9.2, tests 1 to 7), taken for
//! a measurement, or a reason to leave the server alone.

use core::net::SocketAddr;

use chacha20::ChaCha8Rng;

use super::Peer;
use super::bound::Bound;
use super::correctness::Correctness;
use super::poll::Schedule;
use super::query::Query;
use super::trust::Change;
use super::validity::{Exchange, Reject, authentic, usable};
use crate::config::{DRIFT_TOLERANCE, NOT_BEFORE};
use crate::estimate::Verdict;
use crate::units::{Instant, Now, Span, WallTime};
use crate::wire::{Header, KissCode, Packet};

/// What the last usable reply said of the server.
#[derive(Debug, Clone, Copy)]
pub struct Remote {
    /// Its header.
    pub header: Header,
    /// The round trip's delay.
    pub delay: Span,
    /// When it came.
    pub at: Instant,
}

impl Remote {
    /// Half the round trip to the primary source and what may have gone wrong on that way: no
    /// honest server's time is further from the truth (RFC 5905 §11.2, root distance). `delay`
    /// is that of the exchange in question.
    #[must_use]
    pub fn root_distance(&self, delay: Span, now: Instant) -> Span {
        let (drift, _) = DRIFT_TOLERANCE.gain(now - self.at, 0);
        self.reach(delay) + Span::from_log2_secs(self.header.precision.min(0)) + drift
    }

    /// The part of [`root_distance`](Self::root_distance) that is the same for good: half the
    /// round trip to the primary source and the dispersion there.
    #[must_use]
    pub fn reach(&self, delay: Span) -> Span {
        let round_trip = delay.max(Span::ZERO) + self.header.root_delay.to_span();
        round_trip.half() + self.header.root_dispersion.to_span()
    }
}

/// What a datagram is tested by that is the same for all peers.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How finely the local clock is read.
    pub precision: Span,
    /// What may be claimed.
    pub bound: Bound,
}

/// What a datagram was.
#[derive(Debug, PartialEq)]
pub enum Received {
    /// Dropped; leaves no trace but a count.
    Ignored(Reject),
    /// An authentic reply that cannot be used: the peer is left alone for `pause`.
    Suspended { reason: Reject, pause: Span, change: Option<Change> },
    /// A measurement of the local clock, and its reply's header in [`Peer::remote`].
    Measured { exchange: Exchange, change: Option<Change> },
}

impl Received {
    /// Why it is not used.
    pub const fn reject(&self) -> Option<Reject> {
        match *self {
            Self::Ignored(reason) | Self::Suspended { reason, .. } => Some(reason),
            Self::Measured { .. } => None,
        }
    }
}

impl<const KINDS: usize> Peer<KINDS> {
    /// Tests a datagram that arrived at `received` by the local clock.
    pub fn handle_datagram(
        &mut self,
        now: Now,
        from: SocketAddr,
        received: WallTime,
        bytes: &[u8],
        terms: Terms,
        rng: &mut ChaCha8Rng,
    ) -> Received {
        let (header, query) = match self.authenticate(from, bytes) {
            Ok(authentic) => authentic,
            Err(reason) => return Received::Ignored(reason),
        };
        self.last_transmit = header.transmit_time;
        let pivot = now.wall.max(NOT_BEFORE);
        let exchange = usable(&header, query.transmitted, received, pivot, terms.precision);
        match exchange.and_then(|exchange| terms.bound.admit(exchange)) {
            Ok(exchange) => {
                self.counters.used += 1;
                self.refused = None;
                self.remote = Some(Remote { header, delay: exchange.delay(), at: now.mono });
                Received::Measured { exchange, change: self.trust.answered() }
            }
            Err(reason) => self.suspend(reason, now.mono, rng),
        }
    }

    /// Takes an exchange, in free-running time, into the estimate, which decides when to ask next
    /// and whether a peer that was silent is the one that was trusted.
    pub fn learn(&mut self, exchange: &Exchange, now: Instant) -> (Verdict, Option<Change>) {
        let could_judge = self.estimator.can_judge();
        let verdict = self.estimator.update(exchange);
        let estimate = self.estimator.estimate();
        self.correctness = estimate
            .as_ref()
            .map(|estimate| Correctness::new(self.correctness, exchange, estimate));
        self.next_query = match self.poll.answered(verdict, estimate.as_ref(), now) {
            Schedule::Kept => self.next_query,
            Schedule::At(span) => now + span,
            Schedule::Within(span) => self.next_query.min(now + span),
        };
        let confirmed = could_judge && verdict == Verdict::Taken;
        (verdict, if confirmed { self.trust.confirmed() } else { None })
    }

    fn authenticate(&mut self, from: SocketAddr, bytes: &[u8]) -> Result<(Header, Query), Reject> {
        if self.address() != Some(&from) {
            return Err(Reject::Source);
        }
        let packet = Packet::parse(bytes).map_err(|_| Reject::Malformed)?;
        let header = packet.header();
        authentic(&header, self.query.as_ref(), self.last_transmit)?;
        let query = self.query.take().ok_or(Reject::Unsolicited)?;
        Ok((header, query))
    }

    fn suspend(&mut self, reason: Reject, now: Instant, rng: &mut ChaCha8Rng) -> Received {
        self.refused = Some(reason);
        let is_too_often = matches!(reason, Reject::Kiss(code) if code == KissCode::RATE);
        let pause = if is_too_often {
            self.poll.slow_down(rng)
        } else if self.has_denied() {
            self.poll.denied(rng)
        } else {
            self.poll.suspend(rng)
        };
        self.next_query = now + pause;
        if !is_too_often && !matches!(reason, Reject::Unconstrained) {
            self.is_useless(2, now);
        }
        // Only a server that says so itself is not to be believed; RATE asks for no more than
        // patience, and odd times may have come about on the way.
        let change = match reason {
            _ if is_too_often => None,
            Reject::Kiss(_) | Reject::Alarm | Reject::Stratum(_) | Reject::Constraint(_) => {
                self.trust.distrust()
            }
            _ => None,
        };
        Received::Suspended { reason, pause, change }
    }

    /// A datagram was dropped.
    pub fn count(&mut self, reason: Reject) {
        if let Some(count) = self.counters.rejected.get_mut(reason.index()) {
            *count += 1;
        }
    }
}
