//! Reference ids (RFC 5905 §7.3).

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use md5::{Digest, Md5};

use super::KissCode;

/// Where a server has its time from: at stratum 1 the name of a reference clock, beyond the
/// address of its own server, and at stratum 0 a kiss code. Which one, the octets do not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ReferenceId([u8; 4]);

impl ReferenceId {
    /// Uncalibrated local clock.
    pub const LOCAL: Self = Self(*b"LOCL");

    /// From the four octets on the wire.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// The four octets on the wire.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0
    }

    /// The name of a reference clock, padded with zeros; none unless it is one to four printable
    /// ASCII characters without a space.
    #[must_use]
    pub const fn from_ascii(name: &str) -> Option<Self> {
        let mut rest = name.as_bytes();
        while let [first, others @ ..] = rest {
            if !first.is_ascii_graphic() {
                return None;
            }
            rest = others;
        }
        match *name.as_bytes() {
            [a] => Some(Self([a, 0, 0, 0])),
            [a, b] => Some(Self([a, b, 0, 0])),
            [a, b, c] => Some(Self([a, b, c, 0])),
            [a, b, c, d] => Some(Self([a, b, c, d])),
            _ => None,
        }
    }

    /// The address itself.
    #[must_use]
    pub const fn from_ipv4(addr: Ipv4Addr) -> Self {
        Self(addr.octets())
    }

    /// The first four octets of the address's MD5 digest.
    #[must_use]
    pub fn from_ipv6(addr: Ipv6Addr) -> Self {
        let [a, b, c, d, ..] = <[u8; 16]>::from(Md5::digest(addr.octets()));
        Self([a, b, c, d])
    }

    /// Of a server at that address. An IPv4 address mapped into IPv6 counts as IPv4, for the
    /// server knows itself by that one, and loops are found by comparing.
    #[must_use]
    pub fn from_addr(addr: IpAddr) -> Self {
        match addr.to_canonical() {
            IpAddr::V4(addr) => Self::from_ipv4(addr),
            IpAddr::V6(addr) => Self::from_ipv6(addr),
        }
    }

    /// What it says in a packet of stratum 0.
    #[must_use]
    pub const fn kiss(self) -> KissCode {
        KissCode::from_bytes(self.0)
    }

    /// Displays it as it is meant at that stratum: characters at 0 and 1 (as [`KissCode`] does,
    /// only what prints), beyond a dotted quad, also where it is a digest.
    #[must_use]
    pub fn display(self, stratum: u8) -> impl fmt::Display {
        Shown { id: self, stratum }
    }
}

struct Shown {
    id: ReferenceId,
    stratum: u8,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stratum {
            0 | 1 => self.id.kiss().fmt(f),
            _ => Ipv4Addr::from(self.id.0).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    const GPS: ReferenceId = ReferenceId::from_ascii("GPS").unwrap();

    #[test]
    fn names_are_left_justified_and_padded() {
        assert_eq!(GPS.to_bytes(), *b"GPS\0");
        assert_eq!(ReferenceId::from_ascii("LOCL"), Some(ReferenceId::LOCAL));
        assert_eq!(ReferenceId::from_ascii("X"), Some(ReferenceId::from_bytes([0x58, 0, 0, 0])));
        for name in ["", "LOCAL", "G S", "P\0", "é", "\x7f"] {
            assert_eq!(ReferenceId::from_ascii(name), None, "{name:?}");
        }
    }

    #[test]
    fn addresses() {
        let id = |addr: &str| ReferenceId::from_addr(addr.parse().unwrap()).to_bytes();
        assert_eq!(id("192.0.2.129"), [192, 0, 2, 129]);
        assert_eq!(id("::ffff:192.0.2.129"), [192, 0, 2, 129]);
        // As chronyd 4.3 synchronised to ::1 says it on the wire.
        assert_eq!(id("::1"), [0xcf, 0x40, 0x4d, 0xc8]);
        // As Python's hashlib computes it.
        assert_eq!(id("2001:db8::1"), [0x39, 0xab, 0x9b, 0x37]);
    }

    #[test]
    fn displays_by_stratum() {
        assert_eq!(GPS.display(1).to_string(), "GPS");
        assert_eq!(GPS.display(2).to_string(), "71.80.83.0");
        assert_eq!(ReferenceId::from_bytes(*b"RATE").display(0).to_string(), "RATE");
        // The local clock of chronyd: an address even at stratum 1.
        assert_eq!(ReferenceId::from_bytes([127, 127, 1, 1]).display(1).to_string(), "????");
        assert_eq!(ReferenceId::from_bytes([0; 4]).display(0).to_string(), "");
        assert_eq!(ReferenceId::from_bytes([0; 4]).display(16).to_string(), "0.0.0.0");
    }

    #[test]
    fn kisses() {
        assert_eq!(ReferenceId::from_bytes(*b"RATE").kiss(), KissCode::RATE);
    }
}
