//! The question: what is sent, and what of it must come back.

use crate::units::{Instant, NtpShort, NtpTimestamp, WallTime};
use crate::wire::{Header, LeapIndicator, Mode, ReferenceId};

/// A query on its way. Its transmit stamp is random and says nothing about the local clock: it
/// only has to come back as the reply's origin stamp, and who has not seen the query cannot guess
/// its 64 bits (RFC 8915's data minimisation; RFC 5905 test 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    stamp: NtpTimestamp,
    /// T1 by the local clock: when it left.
    pub transmitted: WallTime,
    /// Until when an answer is waited for.
    pub deadline: Instant,
}

impl Query {
    /// A query that leaves at `transmitted` and may be answered until `deadline`. `random` must be
    /// unpredictable.
    #[must_use]
    pub const fn new(random: u64, transmitted: WallTime, deadline: Instant) -> Self {
        // Zero means "unknown" on the wire, so it cannot serve.
        let stamp = NtpTimestamp::from_bits(if random == 0 { 1 } else { random });
        Self { stamp, transmitted, deadline }
    }

    /// The 48 octets to send: mode 3 of version 4, everything else but the stamp zero.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Header::LEN] {
        Header {
            leap: LeapIndicator::NoWarning,
            version: 4,
            mode: Mode::Client,
            stratum: 0,
            poll: 0,
            precision: 0,
            root_delay: NtpShort::default(),
            root_dispersion: NtpShort::default(),
            reference_id: ReferenceId::from_bytes([0; 4]),
            reference_time: NtpTimestamp::ZERO,
            origin_time: NtpTimestamp::ZERO,
            receive_time: NtpTimestamp::ZERO,
            transmit_time: self.stamp,
        }
        .emit()
    }

    /// Whether `origin` is this query's stamp.
    #[must_use]
    pub fn is_answered_by(&self, origin: NtpTimestamp) -> bool {
        origin == self.stamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_nothing_but_a_random_stamp() {
        let time = WallTime::from_unix(1_800_000_000, 5);
        let one = Query::new(0x1234_5678_9abc_def0, time, Instant::default());
        let other = Query::new(0, time, Instant::default());
        let (one_bytes, other_bytes) = (one.to_bytes(), other.to_bytes());
        assert_eq!(one_bytes[0], 0x23);
        assert_eq!(one_bytes[1..40], [0; 39]);
        assert_eq!(one_bytes[..40], other_bytes[..40]);
        assert_eq!(one_bytes[40..], 0x1234_5678_9abc_def0u64.to_be_bytes());
        assert_eq!(other_bytes[40..], 1u64.to_be_bytes());
    }
}
