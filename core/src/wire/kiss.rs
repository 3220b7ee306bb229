//! Kiss-o'-Death codes (RFC 5905 §7.4).

use core::fmt;

/// The four characters that a server of stratum 0 puts into the reference id to say why it does
/// not give the time.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KissCode([u8; 4]);

impl KissCode {
    /// Access denied: send nothing more.
    pub const DENY: Self = Self(*b"DENY");
    /// Access denied by policy: send nothing more.
    pub const RSTR: Self = Self(*b"RSTR");
    /// Asked too often: poll more slowly.
    pub const RATE: Self = Self(*b"RATE");
    /// The server has not yet synchronised.
    pub const INIT: Self = Self(*b"INIT");

    /// From the four octets of the reference id, whatever they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// The four octets of the reference id.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0
    }

    fn shown(&self) -> impl Iterator<Item = char> {
        let end = self.0.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let characters = self.0.iter().take(end);
        characters.map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' })
    }
}

/// The characters; trailing zeros are left out and anything unprintable is a question mark, so
/// that a hostile code cannot write control characters into a log.
impl fmt::Display for KissCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown().try_for_each(|shown| fmt::Write::write_char(f, shown))
    }
}

/// As displayed.
#[cfg(feature = "defmt")]
impl defmt::Format for KissCode {
    fn format(&self, f: defmt::Formatter<'_>) {
        self.shown().for_each(|shown| defmt::write!(f, "{=char}", shown));
    }
}

impl fmt::Debug for KissCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KissCode({self})")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;

    #[test]
    fn displays_only_what_prints() {
        assert_eq!(format!("{}", KissCode::RATE), "RATE");
        assert_eq!(format!("{}", KissCode::from_bytes(*b"X\0\x1b\0")), "X??");
        assert_eq!(format!("{}", KissCode::from_bytes([0; 4])), "");
    }
}
