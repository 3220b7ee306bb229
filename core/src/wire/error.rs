//! Why a datagram is not an NTP packet.

use core::fmt;

use super::extension::MIN_EXTENSION;
use super::mac::{MAX_MAC_V3, MAX_MAC_V4};
use super::{Header, Mode};

/// Malformed bytes. A well-formed packet that cannot be used is no parse error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ParseError {
    /// So many octets, less than a header.
    Length(usize),
    /// A version other than 3 or 4.
    Version(u8),
    /// Control or private mode, whose packets have another format.
    NotTime(Mode),
    /// An extension field that states an impossible length.
    ExtensionLength {
        /// The field's type.
        kind: u16,
        /// The length that it states, octets.
        length: u16,
        /// Octets from its beginning to the end of the packet.
        remaining: usize,
    },
    /// So many octets at the end, which are no MAC and no extension field.
    MacLength {
        /// The packet's version, on which the allowed lengths depend.
        version: u8,
        /// Octets left.
        octets: usize,
    },
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Length(octets) => {
                write!(f, "{octets} octets, but a header has {}", Header::LEN)
            }
            Self::Version(version) => write!(f, "version {version}, but only 3 and 4 are read"),
            Self::NotTime(mode) => {
                write!(f, "mode {} ({mode:?}), but only modes 0 to 5 carry time", mode as u8)
            }
            Self::ExtensionLength { kind, length, remaining } => write!(
                f,
                "extension field {kind:#06x} of {length} octets, but only multiples of 4 from \
                 {MIN_EXTENSION} to the {remaining} left are allowed"
            ),
            Self::MacLength { version: 3, octets } => write!(
                f,
                "{octets} octets after the header, but a MAC of version 3 has a multiple of 4 up \
                 to {MAX_MAC_V3}"
            ),
            Self::MacLength { octets, .. } => write!(
                f,
                "{octets} octets at the end, but a MAC has 4, 20 or {MAX_MAC_V4}, and a last \
                 extension field more"
            ),
        }
    }
}

impl core::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn says_what_was_read_and_what_is_allowed() {
        let extension = ParseError::ExtensionLength { kind: 0x204, length: 12, remaining: 36 };
        for (error, text) in [
            (ParseError::Length(47), "47 octets, but a header has 48"),
            (ParseError::Version(5), "version 5, but only 3 and 4 are read"),
            (
                ParseError::NotTime(Mode::Control),
                "mode 6 (Control), but only modes 0 to 5 carry time",
            ),
            (
                extension,
                "extension field 0x0204 of 12 octets, but only multiples of 4 from 16 to the 36 \
                 left are allowed",
            ),
            (
                ParseError::MacLength { version: 3, octets: 72 },
                "72 octets after the header, but a MAC of version 3 has a multiple of 4 up to 68",
            ),
            (
                ParseError::MacLength { version: 4, octets: 16 },
                "16 octets at the end, but a MAC has 4, 20 or 24, and a last extension field more",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
