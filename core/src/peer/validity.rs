//! Whether a reply may be used: the packet tests of RFC 5905 §9.2 and why each refuses.

use core::fmt;

use super::query::Query;
use crate::config::{MAX_DISPERSION, MAX_STRATUM};
use crate::units::{NtpTimestamp, Span, WallTime};
use crate::wire::{Header, KissCode, LeapIndicator, Mode};

/// Why a datagram was dropped. Those before [`Kiss`](Self::Kiss) leave the peer as it was: anybody
/// could have sent it. The others answer our own query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Reject {
    /// Not a well-formed packet.
    Malformed,
    /// It came from another address than the peer's.
    Source,
    /// Its mode is not that of a server.
    Mode,
    /// No query is waiting for an answer.
    Unsolicited,
    /// The same reply has been seen (test 1).
    Duplicate,
    /// Its origin stamp is not our query's (test 2).
    Bogus,
    /// The clock is being changed: the reply's times are on both sides of it.
    Stepping,
    /// The engine's outputs have not been taken.
    Busy,
    /// A Kiss-o'-Death.
    Kiss(KissCode),
    /// The server says that it is not synchronised (test 6).
    Alarm,
    /// Its stratum is 0 without a kiss code, or 16 or more (test 6).
    Stratum(u8),
    /// Its receive or transmit time is missing, or they are in the wrong order (test 3).
    ServerTime,
    /// Its root distance is 16 s or more, or its last update is later than its reply (test 7).
    RootDistance,
    /// The round trip took less than no time.
    NegativeDelay(Span),
    /// What it says is so far ahead of the constraint, or behind if negative.
    Constraint(Span),
    /// There is to be a constraint, and it is not known yet.
    Unconstrained,
}

impl Reject {
    /// How many kinds there are.
    pub const KINDS: usize = 16;

    /// The number of the kind, below [`KINDS`](Self::KINDS).
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Malformed => 0,
            Self::Source => 1,
            Self::Mode => 2,
            Self::Unsolicited => 3,
            Self::Duplicate => 4,
            Self::Bogus => 5,
            Self::Stepping => 6,
            Self::Busy => 7,
            Self::Kiss(_) => 8,
            Self::Alarm => 9,
            Self::Stratum(_) => 10,
            Self::ServerTime => 11,
            Self::RootDistance => 12,
            Self::NegativeDelay(_) => 13,
            Self::Constraint(_) => 14,
            Self::Unconstrained => 15,
        }
    }

    /// What a counter of each kind is called, in the order of [`index`](Self::index).
    pub const NAMES: [&'static str; Self::KINDS] = [
        "malformed",
        "source",
        "mode",
        "unsolicited",
        "duplicate",
        "bogus",
        "stepping",
        "busy",
        "kiss",
        "alarm",
        "stratum",
        "server time",
        "root distance",
        "negative delay",
        "constraint",
        "unconstrained",
    ];
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES.get(self.index()).copied().unwrap_or_default())?;
        match self {
            Self::Kiss(code) => write!(f, " {code}"),
            Self::Stratum(stratum) => write!(f, " {stratum}"),
            Self::NegativeDelay(span) | Self::Constraint(span) => write!(f, " {span} s"),
            _ => Ok(()),
        }
    }
}

/// Whether `header` answers `query`. Changes nothing and must come before anything that does.
///
/// # Errors
/// The reasons that anybody could bring about without having seen the query.
pub fn authentic(
    header: &Header,
    query: Option<&Query>,
    last_transmit: NtpTimestamp,
) -> Result<(), Reject> {
    if header.mode != Mode::Server {
        return Err(Reject::Mode);
    }
    if !last_transmit.is_zero() && header.transmit_time == last_transmit {
        return Err(Reject::Duplicate);
    }
    match query {
        None => Err(Reject::Unsolicited),
        Some(query) if query.is_answered_by(header.origin_time) => Ok(()),
        Some(_) => Err(Reject::Bogus),
    }
}

/// The four times of an exchange, T1 and T4 by the local clock, T2 and T3 by the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// T1, when the query left.
    pub sent: WallTime,
    /// T2, when the server received it.
    pub server_received: WallTime,
    /// T3, when the server replied.
    pub server_sent: WallTime,
    /// T4, when the reply arrived.
    pub received: WallTime,
}

impl Exchange {
    /// ((T2 − T1) + (T3 − T4)) / 2, rounded down: by how much the local clock is behind.
    #[must_use]
    pub fn offset(&self) -> Span {
        // Halved before they are added, so that centuries do not overflow; the odd nanoseconds
        // of both halves make one more when both are odd.
        let (out, back) = (self.server_received - self.sent, self.server_sent - self.received);
        let odd = Span::from_nanos(out.as_nanos() & back.as_nanos() & 1);
        out.half() + back.half() + odd
    }

    /// (T4 − T1) − (T3 − T2): the time on the way, there and back.
    #[must_use]
    pub fn delay(&self) -> Span {
        (self.received - self.sent) - (self.server_sent - self.server_received)
    }
}

/// The times of an authentic reply, if it may be used to set a clock.
///
/// `pivot` is the date around which the server's stamps unfold; `precision` is how finely the
/// local clock is read, by which a round trip may seem to be shorter than nothing.
///
/// # Errors
/// What the server says of itself ([`Reject::Kiss`], `Alarm`, `Stratum`, `RootDistance`) or what
/// its times show (`ServerTime`, `NegativeDelay`).
pub fn usable(
    header: &Header,
    sent: WallTime,
    received: WallTime,
    pivot: WallTime,
    precision: Span,
) -> Result<Exchange, Reject> {
    let kiss = header.reference_id.to_bytes();
    if header.stratum == 0 && kiss != [0; 4] {
        return Err(Reject::Kiss(KissCode::from_bytes(kiss)));
    }
    if header.leap == LeapIndicator::Alarm {
        return Err(Reject::Alarm);
    }
    if header.stratum == 0 || header.stratum >= MAX_STRATUM {
        return Err(Reject::Stratum(header.stratum));
    }
    if header.receive_time.is_zero() || header.transmit_time.is_zero() {
        return Err(Reject::ServerTime);
    }
    let server_received = header.receive_time.unfold(pivot);
    let server_sent = header.transmit_time.unfold(server_received);
    if server_sent < server_received {
        return Err(Reject::ServerTime);
    }
    let distance = header.root_delay.to_span().half() + header.root_dispersion.to_span();
    let future =
        !header.reference_time.is_zero() && header.reference_time.unfold(server_sent) > server_sent;
    if distance >= MAX_DISPERSION || future {
        return Err(Reject::RootDistance);
    }
    let exchange = Exchange { sent, server_received, server_sent, received };
    let delay = exchange.delay();
    // DEVIATION: RFC 5905 §8 takes any negative delay for the precision. Up to the precision of
    // both clocks it is that; beyond, as OpenNTPD holds, one of the clocks moved.
    if delay < -(precision + Span::from_log2_secs(header.precision.min(0))) {
        return Err(Reject::NegativeDelay(delay));
    }
    Ok(exchange)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(secs: i64, nanos: u32) -> WallTime {
        WallTime::from_unix(secs, nanos)
    }

    #[test]
    fn offset_and_delay_have_the_stated_signs() {
        // Local clock 10 s behind, 2 ms there, 4 ms back, 1 ms inside the server.
        let exchange = Exchange {
            sent: at(100, 0),
            server_received: at(110, 2_000_000),
            server_sent: at(110, 3_000_000),
            received: at(100, 7_000_000),
        };
        assert_eq!(exchange.delay(), Span::from_millis(6));
        assert_eq!(exchange.offset(), Span::from_secs(10) - Span::from_millis(1));
    }

    proptest! {
        // Exact in integers, over more than an era: what f64 seconds cannot do.
        #[test]
        fn arithmetic_is_exact(t1 in 0i64..1 << 33, offset in -1i64 << 61..1 << 61,
                               out in 0i64..1 << 40, inside in 0i64..1 << 30, back in 0i64..1 << 40) {
            let sent = at(t1, 0);
            let server_received = sent + Span::from_nanos(offset) + Span::from_nanos(out);
            let server_sent = server_received + Span::from_nanos(inside);
            let received = sent + Span::from_nanos(out + inside + back);
            let exchange = Exchange { sent, server_received, server_sent, received };
            prop_assert_eq!(exchange.delay(), Span::from_nanos(out + back));
            let twice = i128::from(offset) * 2 + i128::from(out) - i128::from(back);
            prop_assert_eq!(i128::from(exchange.offset().as_nanos()), twice.div_euclid(2));
        }
    }

    #[test]
    fn names_and_kinds_agree() {
        assert_eq!(Reject::Unconstrained.index() + 1, Reject::KINDS);
        assert_eq!(Reject::NAMES[Reject::Bogus.index()], "bogus");
    }
}
