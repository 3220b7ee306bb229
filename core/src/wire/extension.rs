//! Extension fields of version 4 (RFC 7822 §7.5).

use super::ParseError;
use super::mac::MAX_MAC_V4;

/// The shortest field, octets with its type and length.
pub(super) const MIN_EXTENSION: u16 = 16;

/// One extension field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Extension<'a> {
    /// The field type, as the IANA registry of NTP extension field types numbers it.
    pub kind: u16,
    /// The value with its padding, at least 12 octets and a multiple of 4.
    pub body: &'a [u8],
}

impl<'a> Extension<'a> {
    /// The field that `bytes` begin with and what follows it; none when so few octets are left
    /// that they are a MAC.
    pub(super) fn split_first(bytes: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, ParseError> {
        let (kind, length) = match *bytes {
            [k0, k1, l0, l1, ..] if bytes.len() > MAX_MAC_V4 => {
                (u16::from_be_bytes([k0, k1]), u16::from_be_bytes([l0, l1]))
            }
            _ => return Ok(None),
        };
        let impossible = ParseError::ExtensionLength { kind, length, remaining: bytes.len() };
        if length < MIN_EXTENSION || !length.is_multiple_of(4) {
            return Err(impossible);
        }
        let (field, rest) = bytes.split_at_checked(length.into()).ok_or(impossible)?;
        let (_, body) = field.split_at_checked(4).ok_or(impossible)?;
        Ok(Some((Self { kind, body }, rest)))
    }

    /// What follows the last field, after seeing that each of them is well-formed.
    pub(super) fn skip_all(mut bytes: &'a [u8]) -> Result<&'a [u8], ParseError> {
        while let Some((_, rest)) = Self::split_first(bytes)? {
            bytes = rest;
        }
        Ok(bytes)
    }
}

/// Walks fields that [`Packet::parse`](super::Packet::parse) has checked.
#[derive(Debug, Clone)]
pub(super) struct Extensions<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (extension, rest) = Extension::split_first(self.0).ok()??;
        self.0 = rest;
        Some(extension)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_counts_the_whole_field() {
        let mut bytes = [0xaa; 28];
        bytes[..4].copy_from_slice(&[0x03, 0x04, 0, 16]);
        let (extension, rest) = Extension::split_first(&bytes).unwrap().unwrap();
        assert_eq!(extension, Extension { kind: 0x304, body: &[0xaa; 12] });
        assert_eq!(rest, [0xaa; 12]);
    }

    #[test]
    fn impossible_lengths_are_named() {
        for length in [0, 4, 12, 15, 17, 18, 19, 30, 32, u16::MAX] {
            let mut bytes = [0; 28];
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            let error = ParseError::ExtensionLength { kind: 0, length, remaining: 28 };
            assert_eq!(Extension::split_first(&bytes), Err(error));
        }
    }
}
