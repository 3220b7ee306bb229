//! What an operator may choose of a server.

use super::smear::Smear;
use crate::config::MAX_DISTANCE;
use crate::units::Span;

/// How a server behaves. Who may ask is in an [`AccessList`](super::AccessList), how many clients
/// it knows is in the tables that it is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// Whether clients may use the interleaved mode (RFC 9769).
    pub interleaved: bool,
    /// How often a client may ask; none: as often as it likes.
    pub rate: Option<RateLimit>,
    /// Of so many refused datagrams of a client one is answered with a Kiss-o'-Death (RFC 5905
    /// §7.4), `RATE` or `DENY`; 0: none.
    pub kiss_one_in: u32,
    /// Time is served as long as the error of this clock is bounded by this.
    pub max_error: Span,
    /// What clients get beyond.
    pub beyond: Beyond,
    /// Serve as an orphan when there is no source.
    pub orphan: Option<Orphan>,
    /// Spread leap seconds instead of announcing them.
    pub smear: Option<Smear>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interleaved: true,
            rate: None,
            kiss_one_in: 0,
            max_error: MAX_DISTANCE,
            beyond: Beyond::Unsynchronised,
            orphan: None,
            smear: None,
        }
    }
}

/// What is said by a server whose error is beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Beyond {
    /// That it is not synchronised.
    Unsynchronised,
    /// Nothing, so that clients turn to others.
    Silence,
}

/// How often a client may ask: a token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RateLimit {
    /// One request in this time, on average.
    pub interval: Span,
    /// So many at once, after as many intervals without any; at least one.
    pub burst: u32,
    /// Of requests that are too many one in so many, at random, is answered nevertheless, so that
    /// nobody can cut off a client by asking with its address; 0: none.
    pub leak_one_in: u32,
    /// Addresses of IPv4 that have these first bits in common are one client; at most 32.
    pub ipv4_bits: u8,
    /// The same for IPv6, where a host may choose among the addresses of a /64; at most 128.
    pub ipv6_bits: u8,
}

/// A burst as of `iburst` and one more query, then one in 2 s: the least interval of clients that
/// behave (RFC 8633 §3.2 has them at 64 s), with room for a few of them behind one address.
impl Default for RateLimit {
    fn default() -> Self {
        Self {
            interval: Span::from_secs(2),
            burst: 16,
            leak_one_in: 4,
            ipv4_bits: 32,
            ipv6_bits: 64,
        }
    }
}

/// Keeps a network together that has lost all its sources (RFC 5905 appendix A.5.5.6, orphan
/// mode): who serves so is its root, at `127.0.0.1`. A clock that serves its local time on purpose
/// names `127.127.1.1`, or `LOCL` at stratum 1. Several of a network ask each other, by addresses of
/// one family, and follow the one of the least
/// ([`orphan_stratum`](crate::config::Config::orphan_stratum)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Orphan {
    /// 1 to 15, and beyond that of any source; others count as the nearest of these.
    pub stratum: u8,
    /// How long there must have been no source.
    pub wait: Span,
}
