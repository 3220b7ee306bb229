//! Answers to others' queries.
//!
//! [`Server`] is all of it: who may ask ([`AccessList`]) and how often ([`RateLimit`]), what is
//! answered, the interleaved mode (RFC 9769), leap seconds that are spread ([`Smear`]), control
//! messages for monitoring, counters. [`OpenServer`] is what of it an appliance needs. [`respond`] is what it is built around, without memory of
//! who asked.
//!
//! ```text
//! datagram ──► query ──► access ──► rate ──► stamps ──► response ──► emit, as late as can be
//!                                               ▲                          │
//! SystemState ──► template ──────────────► words ┘       when it left ◄────┘
//! ```
//!
//! A datagram costs the same however many clients there are, and nothing here waits, locks or
//! allocates. Workers have a server each.

mod access;
mod client;
mod config;
mod control;
mod counters;
mod handle;
mod histogram;
mod open;
mod prefix;
mod rate;
mod refusal;
mod response;
mod smear;
mod stamps;
mod template;
#[cfg(test)]
mod tests;

pub use access::{Access, AccessList, TooManyRules};
pub use config::{Beyond, Config, Orphan, RateLimit};
pub use control::{ControlPacket, ControlQuery};
pub use counters::Counters;
pub use handle::{Answer, Server};
pub use histogram::Histogram;
pub use open::OpenServer;
pub use prefix::{Prefix, PrefixError};
pub use rate::{Client, ClientSet};
pub use refusal::Refusal;
pub use response::Response;
pub use smear::{LeapSecond, Shape, Smear};
pub use stamps::StampSet;

use self::response::Query;
use self::template::Template;
use crate::system::SystemState;
use crate::units::{Instant, NtpTimestamp, Span, WallTime};
use crate::wire::KissCode;

/// What the caller grants a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The time.
    Answer,
    /// A Kiss-o'-Death (RFC 5905 §7.4) in place of the time.
    Kiss(KissCode),
}

/// What to answer to a `request` that arrived at `receive` by the served clock, `now` by the
/// counter.
///
/// Mode 3 is answered with mode 4 and mode 1, as by a symmetric passive peer that keeps no
/// association, with mode 2 (RFC 5905 §9.2, FXMIT). The version, the poll interval and the transmit
/// stamp come back as they came; extension fields are not echoed (RFC 7822 §7.5.1.2).
///
/// # Errors
/// Why there is no answer.
pub fn respond(
    state: &SystemState,
    request: &[u8],
    receive: WallTime,
    now: Instant,
    verdict: Verdict,
) -> Result<Response, Refusal> {
    let query = Query::parse(request)?;
    let template = Template::new(state, Span::MAX, Beyond::Unsynchronised);
    let words = match verdict {
        Verdict::Answer => template.words(now)?,
        Verdict::Kiss(code) => template.kiss(now, code),
    };
    Ok(Response::basic(&query, words, NtpTimestamp::from_wall(receive).to_bits()))
}
