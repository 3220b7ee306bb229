//! The message authentication code at a packet's end (RFC 5905 §7.3, RFC 7822 §7.5).

use super::ParseError;

/// The longest MAC of version 4, octets with its key id: a digest of 20. Larger digests are cut.
pub(super) const MAX_MAC_V4: usize = 24;
/// The longest MAC of version 3: a digest of 64, the largest in use.
pub(super) const MAX_MAC_V3: usize = 68;

/// A MAC, not yet verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Mac<'a> {
    /// Which of the keys that both sides hold; 0 in a crypto-NAK.
    pub key_id: u32,
    /// The keyed digest over all that stands before the MAC: 16 octets of MD5 or AES-CMAC, 20 of
    /// SHA-1 and others. Empty: a crypto-NAK, the answer to a request that failed authentication.
    pub digest: &'a [u8],
}

impl<'a> Mac<'a> {
    /// All of `bytes` as a MAC of that version.
    pub(super) fn parse(version: u8, bytes: &'a [u8]) -> Result<Self, ParseError> {
        let octets = bytes.len();
        let allowed = match version {
            3 => octets <= MAX_MAC_V3 && octets.is_multiple_of(4),
            _ => matches!(octets, 4 | 20 | MAX_MAC_V4),
        };
        match bytes.split_first_chunk() {
            Some((key_id, digest)) if allowed => {
                Ok(Self { key_id: u32::from_be_bytes(*key_id), digest })
            }
            _ => Err(ParseError::MacLength { version, octets }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_id_precedes_the_digest() {
        let mut bytes = [0xdd; 20];
        bytes[..4].copy_from_slice(&[0, 1, 2, 3]);
        let mac = Mac { key_id: 0x0001_0203, digest: &[0xdd; 16] };
        assert_eq!(Mac::parse(4, &bytes), Ok(mac));
        assert_eq!(Mac::parse(3, &bytes), Ok(mac));
    }

    #[test]
    fn crypto_nak_is_a_key_id_alone() {
        for version in [3, 4] {
            assert_eq!(Mac::parse(version, &[0; 4]), Ok(Mac { key_id: 0, digest: &[] }));
        }
    }
}
