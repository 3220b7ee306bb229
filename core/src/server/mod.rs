//! Answers to others' queries: pure, without memory of who asked.
//!
//! [`respond`] decides whether a datagram deserves an answer and what it says; the caller decides
//! who may ask ([`Verdict`]) and adds the transmit time as late as it can.

use core::fmt;

use crate::system::SystemState;
use crate::units::{Instant, NtpShort, NtpTimestamp, WallTime};
use crate::wire::{Header, KissCode, LeapIndicator, Mode, Packet, ReferenceId};

/// What the caller grants a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The time.
    Answer,
    /// A Kiss-o'-Death (RFC 5905 §7.4) in place of the time.
    Kiss(KissCode),
}

/// Why a datagram gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refusal {
    /// Not a well-formed packet of version 3 or 4.
    Malformed,
    /// Not a query: answering would make loops.
    Mode,
    /// It asks for an authenticated answer, which cannot be given.
    Authentication,
}

impl Refusal {
    /// How many kinds there are.
    pub const KINDS: usize = 3;
    /// What a counter of each kind is called, in the order of [`index`](Self::index).
    pub const NAMES: [&'static str; Self::KINDS] = ["malformed", "mode", "authentication"];

    /// The number of the kind, below [`KINDS`](Self::KINDS).
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Malformed => 0,
            Self::Mode => 1,
            Self::Authentication => 2,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES.get(self.index()).copied().unwrap_or_default())
    }
}

/// An answer that lacks nothing but its transmit time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Response(Header);

impl Response {
    /// The 48 octets, which are never more than the request had.
    #[must_use]
    pub fn emit(mut self, transmit: WallTime) -> [u8; Header::LEN] {
        self.0.transmit_time = NtpTimestamp::from_wall(transmit);
        self.0.emit()
    }
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
    let packet = Packet::parse(request).map_err(|_| Refusal::Malformed)?;
    let query = packet.header();
    let mode = match query.mode {
        Mode::Client => Mode::Server,
        Mode::SymmetricActive => Mode::SymmetricPassive,
        _ => return Err(Refusal::Mode),
    };
    if packet.mac().is_some() {
        return Err(Refusal::Authentication);
    }
    let (leap, stratum, reference_id) = match verdict {
        Verdict::Kiss(code) => (LeapIndicator::Alarm, 0, ReferenceId::from_bytes(code.to_bytes())),
        // Stratum 16 is 0 on the wire (RFC 5905 §7.3).
        Verdict::Answer if !state.is_synchronised() => {
            (LeapIndicator::Alarm, 0, ReferenceId::from_bytes(KissCode::INIT.to_bytes()))
        }
        Verdict::Answer => (state.leap, state.stratum, state.reference_id),
    };
    let reference_time = match stratum {
        0 => NtpTimestamp::ZERO,
        _ => NtpTimestamp::from_wall(state.reference_time),
    };
    Ok(Response(Header {
        leap,
        version: query.version,
        mode,
        stratum,
        poll: query.poll,
        precision: state.precision,
        root_delay: NtpShort::from_span(state.root_delay),
        root_dispersion: NtpShort::from_span(state.root_dispersion_at(now)),
        reference_id,
        reference_time,
        origin_time: query.transmit_time,
        receive_time: NtpTimestamp::from_wall(receive),
        transmit_time: NtpTimestamp::ZERO,
    }))
}

#[cfg(test)]
mod tests;
