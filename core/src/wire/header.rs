//! The 48 octets that every packet begins with (RFC 5905 figure 8).

use super::{LeapIndicator, Mode, ReferenceId};
use crate::units::{NtpShort, NtpTimestamp};

/// The header's fields, in their order on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Header {
    /// Warning of a leap second.
    pub leap: LeapIndicator,
    /// Version number; only its lowest three bits are sent.
    pub version: u8,
    /// Association mode.
    pub mode: Mode,
    /// Distance from a reference clock: 0 unspecified or kiss-o'-death, 1 a reference clock, 2 to
    /// 15 over the network, 16 unsynchronised, beyond reserved.
    pub stratum: u8,
    /// Greatest interval between messages, log2 seconds.
    pub poll: i8,
    /// Precision of the sender's clock, log2 seconds.
    pub precision: i8,
    /// Round-trip delay to the reference clock.
    pub root_delay: NtpShort,
    /// Dispersion to the reference clock.
    pub root_dispersion: NtpShort,
    /// The sender's source, or a kiss code.
    pub reference_id: ReferenceId,
    /// When the sender's clock was last set or corrected.
    pub reference_time: NtpTimestamp,
    /// T1: the transmit stamp of the packet that this one answers.
    pub origin_time: NtpTimestamp,
    /// T2: when that packet arrived.
    pub receive_time: NtpTimestamp,
    /// T3: when this packet left; in a request any value that the reply must repeat.
    pub transmit_time: NtpTimestamp,
}

impl Header {
    /// Octets on the wire.
    pub const LEN: usize = 48;

    /// The header as it is sent.
    #[must_use]
    pub fn emit(&self) -> [u8; Self::LEN] {
        let flags = ((self.leap as u8) << 6) | ((self.version & 0b111) << 3) | self.mode as u8;
        let (poll, precision) = (self.poll.cast_unsigned(), self.precision.cast_unsigned());
        let first = u32::from_be_bytes([flags, self.stratum, poll, precision]);
        let reference_id = u32::from_be_bytes(self.reference_id.to_bytes());
        let words = [
            join(first, self.root_delay.to_bits()),
            join(self.root_dispersion.to_bits(), reference_id),
            self.reference_time.to_bits(),
            self.origin_time.to_bits(),
            self.receive_time.to_bits(),
            self.transmit_time.to_bits(),
        ];
        let mut bytes = [0; Self::LEN];
        for (octets, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *octets = word.to_be_bytes();
        }
        bytes
    }

    /// Any 48 octets are a header.
    pub(super) fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let mut words = [0; Self::LEN / 8];
        for (word, octets) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_be_bytes(*octets);
        }
        let [first, second, reference_time, origin_time, receive_time, transmit_time] = words;
        let (first, root_delay) = split(first);
        let (root_dispersion, reference_id) = split(second);
        let [flags, stratum, poll, precision] = first.to_be_bytes();
        Self {
            leap: LeapIndicator::from_bits(flags >> 6),
            version: version(flags),
            mode: Mode::from_bits(flags),
            stratum,
            poll: poll.cast_signed(),
            precision: precision.cast_signed(),
            root_delay: NtpShort::from_bits(root_delay),
            root_dispersion: NtpShort::from_bits(root_dispersion),
            reference_id: ReferenceId::from_bytes(reference_id.to_be_bytes()),
            reference_time: NtpTimestamp::from_bits(reference_time),
            origin_time: NtpTimestamp::from_bits(origin_time),
            receive_time: NtpTimestamp::from_bits(receive_time),
            transmit_time: NtpTimestamp::from_bits(transmit_time),
        }
    }
}

/// The version number in the first octet, where every version has it.
pub(super) const fn version(flags: u8) -> u8 {
    (flags >> 3) & 0b111
}

const fn join(high: u32, low: u32) -> u64 {
    ((high as u64) << 32) | low as u64
}

const fn split(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every field at its place in RFC 5905 figure 8, no two octets alike.
    #[test]
    fn fields_are_where_the_figure_has_them() {
        let header = Header {
            leap: LeapIndicator::DeleteSecond,
            version: 4,
            mode: Mode::SymmetricPassive,
            stratum: 0x0f,
            poll: 17,
            precision: -18,
            root_delay: NtpShort::from_bits(0x3132_3334),
            root_dispersion: NtpShort::from_bits(0x4142_4344),
            reference_id: ReferenceId::from_bytes([0x51, 0x52, 0x53, 0x54]),
            reference_time: NtpTimestamp::from_bits(0x6162_6364_6566_6768),
            origin_time: NtpTimestamp::from_bits(0x7172_7374_7576_7778),
            receive_time: NtpTimestamp::from_bits(0x8182_8384_8586_8788),
            transmit_time: NtpTimestamp::from_bits(0x9192_9394_9596_9798),
        };
        #[rustfmt::skip]
        let bytes = [
            0b10_100_010, 0x0f, 0x11, 0xee,
            0x31, 0x32, 0x33, 0x34,
            0x41, 0x42, 0x43, 0x44,
            0x51, 0x52, 0x53, 0x54,
            0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
            0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78,
            0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88,
            0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
        ];
        assert_eq!(header.emit(), bytes);
        assert_eq!(Header::from_bytes(&bytes), header);
    }

    #[test]
    fn version_never_spills() {
        let mut header = Header::from_bytes(&[0; Header::LEN]);
        header.version = 0xff;
        assert_eq!(header.emit()[0], 0b00_111_000);
    }

    #[test]
    fn every_first_octet_survives() {
        for flags in 0..=u8::MAX {
            let mut bytes = [0; Header::LEN];
            bytes[0] = flags;
            assert_eq!(Header::from_bytes(&bytes).emit(), bytes);
        }
    }

    proptest! {
        #[test]
        fn any_header_survives(bytes: [[u8; 16]; 3]) {
            let mut header = [0; Header::LEN];
            header.copy_from_slice(bytes.as_flattened());
            prop_assert_eq!(Header::from_bytes(&header).emit(), header);
        }
    }
}
