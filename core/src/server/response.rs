//! An answer that lacks nothing but the time at which it leaves.

use super::refusal::Refusal;
use super::stamps::{Exchange, Ticket, even};
use crate::units::{NtpTimestamp, Span, WallTime};
use crate::wire::{Header, Mode, Packet};

/// Where version, mode and poll interval are in the first eight octets.
const FLAGS_SHIFT: u32 = 56;
const POLL_SHIFT: u32 = 40;

/// The time, or a Kiss-o'-Death: 48 octets, which are never more than the request had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Response {
    /// The packet. The last, its transmit stamp, is 0 but in the interleaved mode.
    words: [u64; Header::LEN / 8],
    /// What is added to the clock.
    pub(super) smeared: Span,
    pub(super) ticket: Option<Ticket>,
}

/// What a query asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query {
    /// Version and mode of the answer, and the poll interval, at their places.
    first: u64,
    /// What comes back as the origin of an answer in the basic mode.
    transmit: u64,
    /// The same in the interleaved mode.
    receive: u64,
    /// The receive stamp of the answer before, if it asks for the interleaved mode; or 0.
    pub(super) previous: u64,
}

impl Query {
    #[inline(always)] // a tenth of what a request costs would be the copying
    pub(super) fn parse(request: &[u8]) -> Result<Self, Refusal> {
        let packet = Packet::parse(request).map_err(|_| Refusal::Malformed)?;
        let header = packet.header();
        let mode = match header.mode {
            Mode::Client => Mode::Server,
            Mode::SymmetricActive => Mode::SymmetricPassive,
            _ => return Err(Refusal::Mode),
        };
        if packet.mac().is_some() {
            return Err(Refusal::Authentication);
        }
        let flags = u64::from(header.version << 3 | mode as u8);
        let poll = u64::from(header.poll.cast_unsigned());
        // In a request of the interleaved mode they differ (RFC 9769 §2).
        let differ = header.receive_time != header.transmit_time;
        let interleaved = header.mode == Mode::Client && differ;
        Ok(Self {
            first: flags << FLAGS_SHIFT | poll << POLL_SHIFT,
            transmit: header.transmit_time.to_bits(),
            receive: header.receive_time.to_bits(),
            previous: if interleaved { header.origin_time.to_bits() } else { 0 },
        })
    }
}

impl Response {
    pub(super) fn basic(query: &Query, [first, second, third]: [u64; 3], receive: u64) -> Self {
        Self {
            words: [first | query.first, second, third, query.transmit, receive, 0],
            smeared: Span::ZERO,
            ticket: None,
        }
    }

    /// Says, if that is known, when the answer before left instead of this one.
    pub(super) fn continues(&mut self, exchange: &Exchange, query: &Query) {
        let [_, _, reference, origin, receive, transmit] = &mut self.words;
        *receive = exchange.receive;
        self.ticket = Some(exchange.ticket);
        if let Some(departed) = exchange.departed {
            (*origin, *transmit) = (query.receive, departed);
            // Clients drop what was set after it left (RFC 5905 appendix A.5.1.1), as the clock may
            // have been since.
            if reference.wrapping_sub(departed).cast_signed() > 0 {
                *reference = departed;
            }
        }
    }

    /// Whether it is in the interleaved mode (RFC 9769): the transmit time is that of the answer
    /// before.
    #[must_use]
    pub const fn is_interleaved(&self) -> bool {
        let [.., transmit] = self.words;
        transmit != 0
    }

    /// When the request arrived, as the client is told.
    pub(super) const fn receive(&self) -> u64 {
        let [.., receive, _] = self.words;
        receive
    }

    /// The packet, if it leaves at `transmit`.
    #[must_use]
    pub fn emit(&self, transmit: WallTime) -> [u8; Header::LEN] {
        let mut words = self.words;
        if !self.is_interleaved() {
            let stamp = NtpTimestamp::from_wall(smear(transmit, self.smeared)).to_bits();
            let [.., word] = &mut words;
            *word = if self.ticket.is_some() { even(stamp) } else { stamp };
        }
        let mut bytes = [0; Header::LEN];
        for (octets, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *octets = word.to_be_bytes();
        }
        bytes
    }
}

/// Most of the time nothing is to be added.
#[inline]
pub(super) fn smear(time: WallTime, offset: Span) -> WallTime {
    if offset == Span::ZERO { time } else { time + offset }
}
