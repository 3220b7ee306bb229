//! How many lines others may bring about. What comes from the network, from whoever looks names up, or
//! from whoever may use the control socket, passes a token bucket of its kind and one that all kinds
//! share. What does not pass is counted, and the count is told by [`Event::MessagesSuppressed`].
//!
//! So there are never more lines in a time `t` than [`ALL`] lets through, and one count a minute of
//! each kind. What the host does of its own accord is not limited.

use heapless::LinearMap;

use super::Event;
use crate::units::{Instant, Span};

/// Kinds of events that are limited.
pub const ALL_KINDS: usize = 24;
/// Kinds of those that an [`Engine`](crate::Engine) and its [`Node`](crate::run::Node) bring about.
pub const ENGINE_KINDS: usize = 6;
/// Of all kinds together: all that can happen to a full table of peers at once, and ten a minute.
const ALL: Rate = Rate { burst: 256, every: Span::from_secs(6) };
/// Of what happens to a peer: that many lose the network at once, or find it again.
const OF_PEERS: Rate = Rate { burst: 64, every: Span::from_secs(60) };
/// Of what one datagram or connection is enough for.
const OF_DATAGRAMS: Rate = Rate { burst: 8, every: Span::from_secs(60) };

/// Holds back what the network brings about too often, with a place for each of `KINDS` kinds: all, or
/// [`ENGINE_KINDS`] where only an engine brings them about: others are not held back there. What there
/// is no place for does not pass.
#[derive(Debug, Clone, Default)]
pub struct Limiter<const KINDS: usize = ALL_KINDS> {
    all: Bucket,
    kinds: LinearMap<&'static str, Kind, KINDS>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Kind {
    bucket: Bucket,
    rate: Rate,
    /// Not told yet.
    suppressed: u64,
    /// When the first of those was.
    since: Instant,
}

impl Kind {
    /// When to tell of what was suppressed.
    fn deadline(&self) -> Option<Instant> {
        let due = self.bucket.next(self.rate).max(self.since + self.rate.every);
        (self.suppressed > 0).then_some(due)
    }
}

impl<const KINDS: usize> Limiter<KINDS> {
    /// Whether an event is to be logged now, and counts it if it is not.
    pub fn admit(&mut self, event: &Event<'_>, now: Instant) -> bool {
        let Some((name, rate)) = limit::<KINDS>(event) else { return true };
        if !self.kinds.contains_key(&name) {
            let _ = self.kinds.insert(name, Kind { rate, ..Kind::default() });
        }
        let Some(kind) = self.kinds.get_mut(&name) else { return false };
        // The count comes before any other of its kind.
        let passes = kind.suppressed == 0 && kind.bucket.has(rate, now) && self.all.has(ALL, now);
        if passes {
            kind.bucket.take(rate, now);
            self.all.take(ALL, now);
        } else {
            if kind.suppressed == 0 {
                kind.since = now;
            }
            kind.suppressed = kind.suppressed.saturating_add(1);
        }
        passes
    }

    /// The count of a kind that is due to be told. To be repeated until there is none.
    pub fn tell(&mut self, now: Instant) -> Option<Event<'static>> {
        let is_due = |kind: &Kind| kind.deadline().is_some_and(|deadline| deadline <= now);
        let (&name, kind) = self.kinds.iter_mut().find(|(_, kind)| is_due(kind))?;
        kind.bucket.take(kind.rate, now);
        Some(Event::MessagesSuppressed { count: core::mem::take(&mut kind.suppressed), name })
    }

    /// When there is something to [`tell`](Self::tell).
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.kinds.values().filter_map(Kind::deadline).min()
    }
}

/// A token bucket's size, and the time in which it gains a token.
#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    burst: i64,
    every: Span,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// When it is or was full.
    full: Instant,
}

impl Bucket {
    /// When there is or was a token.
    fn next(&self, rate: Rate) -> Instant {
        self.full + -rate.every.times(rate.burst - 1)
    }

    fn has(&self, rate: Rate, now: Instant) -> bool {
        self.next(rate) <= now
    }

    fn take(&mut self, rate: Rate, now: Instant) {
        self.full = self.full.max(now) + rate.every;
    }
}

/// The name of an event that others can cause, and what limits it: no names of others are needed.
const fn limit<const KINDS: usize>(event: &Event<'_>) -> Option<(&'static str, Rate)> {
    macro_rules! limits {
        ($($rate:ident: $($variant:ident),+;)+) => {
            match event {
                $($(Event::$variant { .. } => return Some((stringify!($variant), $rate)),)+)+
                _ => {}
            }
        };
    }
    limits! {
        OF_PEERS: NotSynced, NegativeDelay, PeerValid, PeerInvalid, PeersValid;
        OF_DATAGRAMS: MalformedPacket;
    }
    // What is left is not of an engine: its limiter is without the code.
    if KINDS <= ENGINE_KINDS {
        return None;
    }
    limits! {
        OF_PEERS: SetsockoptLowdelay, ClientQuerySocket, Sendto, ShortSend;
        OF_DATAGRAMS: Recvmsg, RecvmsgPacket, RecvmsgControlData, RecvmsgControlFormat, Recvfrom,
            HostDnsInvalidPeer, HostDnsAddressKnown, ControlAccept, ControlAcceptCalloc,
            ControlCloseNotFound, ControlDispatchNotFound;
    }
    None
}

#[cfg(test)]
mod tests;
