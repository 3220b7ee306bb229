//! Control messages (mode 6, RFC 9327): reading system variables, as `ntpq -c rv` does.
//!
//! They have been good for amplifying attacks, so they are only for addresses that the operator
//! lists, and an answer is one packet. Nothing can be changed, and no peer is told of.

use core::fmt::Write;

use heapless::Vec;

use crate::system::SystemState;
use crate::units::{NtpTimestamp, Span, WallTime};
use crate::wire::{LeapIndicator, Mode};

/// Octets before the data.
const HEADER: usize = 12;
/// The most data that a packet may carry (RFC 9327 §2).
const MAX_DATA: usize = 468;

/// "Read status" and "read variables".
const READ_STATUS: u8 = 1;
const READ_VARIABLES: u8 = 2;
const RESPONSE: u8 = 0x80;
/// The source of the time in the system status word: NTP.
const SOURCE_NTP: u16 = 6;
/// The variables that there are, in the order in which they are told.
const NAMES: [&str; 9] = [
    "version",
    "leap",
    "stratum",
    "precision",
    "rootdelay",
    "rootdisp",
    "refid",
    "reftime",
    "clock",
];

/// A packet of mode 6.
pub type ControlPacket = Vec<u8, { HEADER + MAX_DATA }>;

/// A request to read what this clock says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct ControlQuery<'a> {
    version: u8,
    opcode: u8,
    sequence: [u8; 2],
    /// The names that are asked for; empty for all.
    names: &'a str,
}

impl<'a> ControlQuery<'a> {
    /// None unless `bytes` ask for the status or the variables of the system.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, data) = bytes.split_first_chunk::<HEADER>()?;
        // Flags, opcode; sequence; status; association, of which the system is 0; offset; count.
        let &[flags, opcode, s0, s1, _, _, 0, 0, _, _, c0, c1] = header else { return None };
        let version = flags >> 3 & 0b111;
        // Neither an answer, nor an error, nor a part of more.
        let asked = matches!(opcode, READ_STATUS | READ_VARIABLES);
        if flags & 0b111 != Mode::Control as u8 || !asked || !(2..=4).contains(&version) {
            return None;
        }
        let count = usize::from(u16::from_be_bytes([c0, c1]));
        let names = core::str::from_utf8(data.get(..count)?).ok()?;
        Some(Self { version, opcode, sequence: [s0, s1], names })
    }

    /// The answer of a clock that shows `now`; `served` as the server tells others.
    pub(super) fn answer(
        &self,
        served: &SystemState,
        now: WallTime,
        dispersion: Span,
    ) -> ControlPacket {
        let leap = if served.is_synchronised() { served.leap } else { LeapIndicator::Alarm };
        let status = match leap {
            LeapIndicator::Alarm => u16::from(leap as u8) << 14,
            _ => u16::from(leap as u8) << 14 | SOURCE_NTP << 8,
        };
        let mut data = Text::default();
        if self.opcode == READ_VARIABLES {
            for name in NAMES.into_iter().filter(|name| self.wants(name)) {
                // What is too long for the packet is left out; all that there is fits.
                let _ = write_variable(&mut data, name, served, leap, now, dispersion);
            }
        }
        let mut packet = ControlPacket::new();
        let [s0, s1] = status.to_be_bytes();
        let [c0, c1] = (data.0.len() as u16).to_be_bytes();
        let [q0, q1] = self.sequence;
        let flags = self.version << 3 | Mode::Control as u8;
        let header = [flags, RESPONSE | self.opcode, q0, q1, s0, s1, 0, 0, 0, 0, c0, c1];
        // There is room: data is no longer than MAX_DATA, a multiple of 4.
        let _ = packet.extend_from_slice(&header);
        let _ = packet.extend_from_slice(&data.0);
        let _ = packet.resize(packet.len().next_multiple_of(4), 0);
        packet
    }

    fn wants(&self, name: &str) -> bool {
        let mut wanted =
            self.names.split(',').map(|wanted| wanted.trim_matches(['\0', ' ', '\r', '\n']));
        self.names.trim_matches('\0').is_empty() || wanted.any(|wanted| wanted == name)
    }
}

#[derive(Default)]
struct Text(Vec<u8, MAX_DATA>);

impl Write for Text {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0.extend_from_slice(text.as_bytes()).map_err(|_| core::fmt::Error)
    }
}

fn write_variable(
    text: &mut Text,
    name: &str,
    served: &SystemState,
    leap: LeapIndicator,
    now: WallTime,
    dispersion: Span,
) -> core::fmt::Result {
    if !text.0.is_empty() {
        text.write_str(", ")?;
    }
    write!(text, "{name}=")?;
    let millis = |span: Span| span.as_secs_f64() * 1e3;
    match name {
        "version" => write!(text, "\"truechimer {}\"", env!("CARGO_PKG_VERSION")),
        "leap" => write!(text, "{}", leap as u8),
        "stratum" => write!(text, "{}", served.stratum),
        "precision" => write!(text, "{}", served.precision),
        "rootdelay" => write!(text, "{:.3}", millis(served.root_delay)),
        "rootdisp" => write!(text, "{:.3}", millis(dispersion)),
        "refid" => write!(text, "{}", served.reference.id().display(served.stratum % 16)),
        "reftime" => stamp(text, served.reference_time),
        _ => stamp(text, now),
    }
}

fn stamp(text: &mut Text, time: WallTime) -> core::fmt::Result {
    let bits = NtpTimestamp::from_wall(time).to_bits();
    write!(text, "0x{:08x}.{:08x}", bits >> 32, bits as u32)
}
