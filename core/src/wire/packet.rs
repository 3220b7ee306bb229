//! A received datagram as a packet.

use super::extension::Extensions;
use super::{Extension, Header, Mac, Mode, ParseError, header};

/// A well-formed packet: a view that copies nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Packet<'a> {
    header: &'a [u8; Header::LEN],
    /// What follows the header of version 4; the walk over the fields ends before a MAC.
    extensions: &'a [u8],
    mac: Option<Mac<'a>>,
}

impl<'a> Packet<'a> {
    /// Takes the whole datagram.
    ///
    /// Where version 4 leaves open whether the end is an extension field or a MAC, its length
    /// decides (RFC 7822 §7.5): 24 octets or less are a MAC, more begin with a field. Hence a
    /// last field without a MAC has at least 28 octets, and fields of 16 or 20 octets that only a
    /// crypto-NAK follows read as a MAC. In version 3 all that follows the header is a MAC.
    ///
    /// # Errors
    ///
    /// [`ParseError::NotTime`] in modes 6 and 7; [`ParseError::Version`] unless it is 3 or 4;
    /// [`ParseError::Length`] below 48 octets; [`ParseError::ExtensionLength`] for a field that
    /// states less than 16 octets, more than are left, or no multiple of 4;
    /// [`ParseError::MacLength`] when the end is no MAC: 4, 20 or 24 octets in version 4, a
    /// multiple of 4 up to 68 in version 3.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let &flags = bytes.first().ok_or(ParseError::Length(0))?;
        if let mode @ (Mode::Control | Mode::Private) = Mode::from_bits(flags) {
            return Err(ParseError::NotTime(mode));
        }
        let version = header::version(flags);
        if !matches!(version, 3 | 4) {
            return Err(ParseError::Version(version));
        }
        let (header, trailer) = bytes.split_first_chunk().ok_or(ParseError::Length(bytes.len()))?;
        if trailer.is_empty() {
            return Ok(Self { header, extensions: trailer, mac: None });
        }
        let (extensions, end) = match version {
            3 => (&[][..], trailer),
            _ => (trailer, Extension::skip_all(trailer)?),
        };
        let mac = if end.is_empty() { None } else { Some(Mac::parse(version, end)?) };
        Ok(Self { header, extensions, mac })
    }

    /// The first 48 octets, decoded.
    #[must_use]
    pub fn header(&self) -> Header {
        Header::from_bytes(self.header)
    }

    /// The extension fields in their order; none in version 3.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'a>> + use<'a> {
        Extensions(self.extensions)
    }

    /// The MAC, if there is one.
    #[must_use]
    pub const fn mac(&self) -> Option<Mac<'a>> {
        self.mac
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    const CLIENT_V3: u8 = 0b00_011_011;
    const CLIENT_V4: u8 = 0b00_100_011;

    fn packet(flags: u8, trailer: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; Header::LEN];
        bytes[0] = flags;
        bytes.extend(trailer);
        bytes
    }

    fn field(kind: u16, len: u16) -> Vec<u8> {
        let mut bytes = vec![0xee; len.into()];
        bytes[..2].copy_from_slice(&kind.to_be_bytes());
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        bytes
    }

    #[test]
    fn every_version_and_mode() {
        for flags in 0..=u8::MAX {
            let (version, mode) = ((flags >> 3) & 7, flags & 7);
            let parsed = Packet::parse(&packet(flags, &[])).map(|packet| packet.header().version);
            let expected = match (version, mode) {
                (_, 6) => Err(ParseError::NotTime(Mode::Control)),
                (_, 7) => Err(ParseError::NotTime(Mode::Private)),
                (3 | 4, _) => Ok(version),
                _ => Err(ParseError::Version(version)),
            };
            assert_eq!(parsed, expected, "first octet {flags:#04x}");
        }
    }

    #[test]
    fn short_datagrams() {
        let bytes = packet(CLIENT_V4, &[]);
        for len in 0..Header::LEN {
            assert_eq!(Packet::parse(&bytes[..len]).unwrap_err(), ParseError::Length(len));
        }
        assert!(Packet::parse(&bytes).is_ok());
        // Of another version nobody knows how long its header is; ntpq asks with 12 octets.
        assert_eq!(Packet::parse(&[0b00_101_011]).unwrap_err(), ParseError::Version(5));
        let control = [&[0b00_010_110][..], &[0; 11]].concat();
        assert_eq!(Packet::parse(&control).unwrap_err(), ParseError::NotTime(Mode::Control));
    }

    /// Also where it would read as an extension field in version 4.
    #[test]
    fn version_3_ends_in_a_mac() {
        for len in 0..=120u16 {
            let trailer = if len < 4 { vec![0xee; len.into()] } else { field(0x0304, len) };
            let bytes = packet(CLIENT_V3, &trailer);
            let parsed = Packet::parse(&bytes);
            if len == 0 {
                assert_eq!(parsed.unwrap().mac(), None);
            } else if len % 4 == 0 && len <= 68 {
                let mac = Mac { key_id: 0x0304_0000 + u32::from(len), digest: &trailer[4..] };
                assert_eq!(parsed.unwrap().mac(), Some(mac));
                assert_eq!(parsed.unwrap().extensions().count(), 0);
            } else {
                let error = ParseError::MacLength { version: 3, octets: len.into() };
                assert_eq!(parsed, Err(error));
            }
        }
    }

    /// What follows the header of version 4, by its length alone: one field that says so itself.
    #[test]
    fn version_4_tells_a_field_from_a_mac_by_length() {
        for len in 0..=120u16 {
            let trailer = if len < 4 { vec![0xee; len.into()] } else { field(0x0304, len) };
            let bytes = packet(CLIENT_V4, &trailer);
            let parsed = Packet::parse(&bytes);
            match len {
                0 => assert_eq!(parsed.unwrap().mac(), None),
                4 | 20 | 24 => {
                    let parsed = parsed.unwrap();
                    let key_id = 0x0304_0000 + u32::from(len);
                    assert_eq!(parsed.mac(), Some(Mac { key_id, digest: &trailer[4..] }));
                    assert_eq!(parsed.extensions().count(), 0);
                }
                28.. if len % 4 == 0 => {
                    let parsed = parsed.unwrap();
                    let extension = Extension { kind: 0x0304, body: &trailer[4..] };
                    assert_eq!(parsed.extensions().collect::<Vec<_>>(), [extension]);
                    assert_eq!(parsed.mac(), None);
                }
                25.. => {
                    let remaining = len.into();
                    let error =
                        ParseError::ExtensionLength { kind: 0x0304, length: len, remaining };
                    assert_eq!(parsed, Err(error));
                }
                _ => {
                    let error = ParseError::MacLength { version: 4, octets: len.into() };
                    assert_eq!(parsed, Err(error));
                }
            }
        }
    }

    #[test]
    fn version_4_fields_before_every_end() {
        for len in (16..=120).step_by(4) {
            for end in 0..=120 {
                let mut trailer = field(1, 16);
                trailer.extend(field(2, len));
                trailer.extend(vec![0; end]);
                let bytes = packet(CLIENT_V4, &trailer);
                let parsed = Packet::parse(&bytes);
                let second_and_end = usize::from(len) + end;
                if second_and_end <= 24 {
                    // Too short to be a field and what follows it.
                    let mac = matches!(second_and_end, 20 | 24);
                    assert_eq!(parsed.is_ok(), mac, "field of {len}, then {end}");
                } else if let 0 | 4 | 20 | 24 = end {
                    let parsed = parsed.unwrap();
                    let kinds: Vec<_> = parsed.extensions().map(|field| field.kind).collect();
                    assert_eq!(kinds, [1, 2]);
                    assert_eq!(parsed.mac().map(|mac| mac.digest.len() + 4).unwrap_or(0), end);
                } else if end <= 24 {
                    let error = ParseError::MacLength { version: 4, octets: end };
                    assert_eq!(parsed, Err(error));
                } else {
                    let error = ParseError::ExtensionLength { kind: 0, length: 0, remaining: end };
                    assert_eq!(parsed, Err(error));
                }
            }
        }
    }

    #[test]
    fn extensions_outlive_the_packet() {
        let bytes = packet(CLIENT_V4, &field(9, 28));
        let extension = { Packet::parse(&bytes).unwrap().extensions().next() };
        assert_eq!(extension.map(|extension| extension.kind), Some(9));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_in_full_or_refused(
            flags: u8,
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = if bytes.is_empty() { bytes } else { [&[flags], &bytes[1..]].concat() };
            if let Ok(packet) = Packet::parse(&bytes) {
                let fields: usize = packet.extensions().map(|field| field.body.len() + 4).sum();
                let mac = packet.mac().map_or(0, |mac| mac.digest.len() + 4);
                prop_assert_eq!(Header::LEN + fields + mac, bytes.len());
            }
        }

        #[test]
        fn well_formed_packets_are_taken_apart(
            first in prop_oneof![0x20u8..0x26, 0xe0u8..0xe6],
            rest: [u8; 47],
            kinds in proptest::collection::vec((any::<u16>(), 7u16..20), 0..6),
            mac in proptest::option::of((any::<u32>(), prop_oneof![Just(0usize), Just(16), Just(20)])),
        ) {
            let mut bytes = [&[first], &rest[..]].concat();
            for &(kind, words) in &kinds {
                bytes.extend(field(kind, words * 4));
            }
            if let Some((key_id, digest)) = mac {
                bytes.extend(key_id.to_be_bytes());
                bytes.extend(vec![5; digest]);
            }
            let packet = Packet::parse(&bytes).unwrap();
            prop_assert_eq!(&packet.header().emit()[..], &bytes[..Header::LEN]);
            let read: Vec<_> = packet
                .extensions()
                .map(|field| (field.kind, field.body.len() as u16 / 4 + 1))
                .collect();
            prop_assert_eq!(read, kinds);
            let read = packet.mac().map(|mac| (mac.key_id, mac.digest.len()));
            prop_assert_eq!(read, mac);
        }
    }
}
