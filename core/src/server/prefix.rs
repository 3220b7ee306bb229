//! Address prefixes, as access is given by.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// The first bits of addresses of one family. IPv4 addresses mapped into IPv6 count as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Why something is no prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PrefixError {
    /// Not an address.
    Address,
    /// The length is no number of bits that the address has.
    Length {
        /// The most that is allowed.
        most: u8,
    },
    /// Bits beyond the prefix are set: the length or the address is not what was meant.
    HostBits,
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("not an IPv4 or IPv6 address"),
            Self::Length { most } => write!(f, "the length of the prefix must be 0 to {most}"),
            Self::HostBits => f.write_str("the address has bits set beyond the prefix"),
        }
    }
}

impl core::error::Error for PrefixError {}

impl Prefix {
    /// The first `length` bits of `address`.
    ///
    /// # Errors
    /// The address has fewer bits, or others of it are set.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, PrefixError> {
        let (address, length) = match (address.to_canonical(), address) {
            // Less than the prefix of all mapped addresses is a prefix of IPv6.
            (IpAddr::V4(mapped), IpAddr::V6(_)) if (96..=128).contains(&length) => {
                (IpAddr::V4(mapped), length - 96)
            }
            _ => (address, length),
        };
        let most = width(address);
        if length > most {
            return Err(PrefixError::Length { most });
        }
        if bits(address) & host_bits(most - length) != 0 {
            return Err(PrefixError::HostBits);
        }
        Ok(Self { address, length })
    }

    /// Its lowest address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits it has: 0 to 32 of IPv4, 0 to 128 of IPv6.
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// The lowest and the highest address, as numbers of their family.
    pub(super) fn range(&self) -> (u128, u128) {
        let first = bits(self.address);
        (first, first | host_bits(width(self.address) - self.length))
    }
}

/// `192.0.2.0/24`, `2001:db8::/32`, or an address alone.
impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Address)?;
        let most = width(address);
        let length = match length {
            None => most,
            Some(length) => length.parse().map_err(|_| PrefixError::Length { most })?,
        };
        Self::new(address, length)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => Ipv4Addr::BITS as u8,
        IpAddr::V6(_) => Ipv6Addr::BITS as u8,
    }
}

const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits() as u128,
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// A number whose lowest `count` bits are set.
pub(super) const fn host_bits(count: u8) -> u128 {
    match 1u128.checked_shl(count as u32) {
        Some(power) => power - 1,
        None => u128::MAX,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn reads_what_it_writes() {
        for (text, shown) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::1", "::1/128"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn refuses_what_was_not_meant() {
        for (text, error) in [
            ("ntp.example.org", PrefixError::Address),
            ("192.0.2.0/", PrefixError::Length { most: 32 }),
            ("192.0.2.0/33", PrefixError::Length { most: 32 }),
            ("2001:db8::/129", PrefixError::Length { most: 128 }),
            ("192.0.2.1/24", PrefixError::HostBits),
            ("2001:db8::1/64", PrefixError::HostBits),
        ] {
            assert_eq!(text.parse::<Prefix>(), Err(error), "{text}");
        }
    }
}
