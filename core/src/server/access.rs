//! Who may ask: the longest prefix decides.
//!
//! The rules are laid out once as disjoint ranges of addresses, so that looking one up is a binary
//! search, among those ranges of IPv4 that have the first octet in common: with 1,024 rules at most
//! twelve comparisons, whatever the address is.

use core::fmt;
use core::net::IpAddr;
use core::ops::Range;

use heapless::Vec;

use super::prefix::Prefix;

/// What an address may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Access {
    /// Ask.
    #[default]
    Allow,
    /// Nothing.
    Deny,
}

/// There is no room for so many rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyRules;

impl fmt::Display for TooManyRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("more rules of access than there is room for")
    }
}

impl core::error::Error for TooManyRules {}

/// Rules of access with room for `RANGES` ranges of IPv4 and as many of IPv6, of which a rule
/// takes at most two, and one is there from the beginning.
#[derive(Debug, Clone)]
pub struct AccessList<const RANGES: usize> {
    v4: Ranges<u32, RANGES>,
    /// How many ranges begin below each first octet or with it: where a search begins.
    octets: [u16; 256],
    v6: Ranges<u128, RANGES>,
}

impl<const RANGES: usize> AccessList<RANGES> {
    /// The same for everybody.
    #[must_use]
    pub fn uniform(access: Access) -> Self {
        const { assert!(RANGES > 0, "there is room for one range at least") };
        Self { v4: Ranges::uniform(0, access), octets: [1; 256], v6: Ranges::uniform(0, access) }
    }

    /// Of the rules that an address matches the one with the longest prefix stands, of several
    /// with the same prefix the last; without any `otherwise`.
    ///
    /// # Errors
    /// There are too many for `RANGES`.
    pub fn new(otherwise: Access, rules: &[(Prefix, Access)]) -> Result<Self, TooManyRules> {
        let mut list = Self {
            v4: Ranges::new(0, otherwise)?,
            octets: [0; 256],
            v6: Ranges::new(0, otherwise)?,
        };
        // Short ones first, longer ones over them.
        for length in 0..=128 {
            for (prefix, access) in rules.iter().filter(|(prefix, _)| prefix.length() == length) {
                let (first, last) = prefix.range();
                match prefix.address() {
                    IpAddr::V4(_) => {
                        let next = (last as u32).checked_add(1);
                        list.v4.paint(first as u32, next, *access)?;
                    }
                    IpAddr::V6(_) => list.v6.paint(first, last.checked_add(1), *access)?,
                }
            }
        }
        for (octet, begun) in (0..).zip(&mut list.octets) {
            let begins = list.v4.first.partition_point(|&first| first <= octet << 24);
            *begun = u16::try_from(begins).map_err(|_| TooManyRules)?;
        }
        Ok(list)
    }

    /// What `address` may do.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> Access {
        self.of_canonical(address.to_canonical())
    }

    /// As [`of`](Self::of), of an address that is none of IPv4 mapped into IPv6.
    #[inline]
    pub(super) fn of_canonical(&self, address: IpAddr) -> Access {
        match address {
            IpAddr::V4(address) => {
                let octet = usize::from(address.octets()[0]);
                let begun = |octet| self.octets.get(octet).map(|&begun| usize::from(begun));
                let from = begun(octet).unwrap_or_default();
                self.v4
                    .among(from..begun(octet + 1).unwrap_or(self.v4.first.len()), address.to_bits())
            }
            IpAddr::V6(address) => self.v6.among(0..self.v6.first.len(), address.to_bits()),
        }
    }
}

/// Addresses in order; a range ends where the next begins.
#[derive(Debug, Clone)]
struct Ranges<T, const RANGES: usize> {
    first: Vec<T, RANGES>,
    access: Vec<Access, RANGES>,
}

impl<T: Copy + Ord, const RANGES: usize> Ranges<T, RANGES> {
    /// Nothing is allowed without room for one range.
    fn uniform(lowest: T, access: Access) -> Self {
        let (mut first, mut allowed) = (Vec::new(), Vec::new());
        let _ = (first.push(lowest), allowed.push(access));
        Self { first, access: allowed }
    }

    fn new(lowest: T, access: Access) -> Result<Self, TooManyRules> {
        let mut ranges = Self { first: Vec::new(), access: Vec::new() };
        ranges.insert(0, lowest, access)?;
        Ok(ranges)
    }

    /// What is allowed at `address`, if `places` are the ranges that may begin after the one
    /// before it.
    fn among(&self, places: Range<usize>, address: T) -> Access {
        let from = places.start;
        let searched = self.first.get(places).unwrap_or_default();
        let after = from + searched.partition_point(|&first| first <= address);
        self.access.get(after.wrapping_sub(1)).copied().unwrap_or(Access::Deny)
    }

    /// From `first` to before `next`, or to the highest.
    fn paint(&mut self, first: T, next: Option<T>, access: Access) -> Result<(), TooManyRules> {
        self.split(first)?;
        if let Some(next) = next {
            self.split(next)?;
        }
        for (at, painted) in self.first.iter().zip(&mut self.access) {
            if *at >= first && next.is_none_or(|next| *at < next) {
                *painted = access;
            }
        }
        Ok(())
    }

    /// Lets a range begin at `first`.
    fn split(&mut self, first: T) -> Result<(), TooManyRules> {
        match self.first.binary_search(&first) {
            Ok(_) => Ok(()),
            Err(place) => self.insert(place, first, self.among(0..place, first)),
        }
    }

    fn insert(&mut self, place: usize, first: T, access: Access) -> Result<(), TooManyRules> {
        self.first.insert(place, first).map_err(|_| TooManyRules)?;
        self.access.insert(place, access).map_err(|_| TooManyRules)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};
    use proptest::prelude::*;

    fn list<const RANGES: usize>(
        otherwise: Access,
        rules: &[(&str, Access)],
    ) -> Result<AccessList<RANGES>, TooManyRules> {
        let rules: std::vec::Vec<_> =
            rules.iter().map(|(prefix, access)| (prefix.parse().unwrap(), *access)).collect();
        AccessList::new(otherwise, &rules)
    }

    #[test]
    fn the_longest_prefix_decides() {
        let rules = [
            ("192.0.2.128/25", Access::Deny),
            ("192.0.2.0/24", Access::Allow),
            ("192.0.2.130", Access::Allow),
            ("2001:db8::/32", Access::Allow),
            ("2001:db8:bad::/48", Access::Deny),
            ("255.255.255.255", Access::Allow),
        ];
        let list: AccessList<16> = list(Access::Deny, &rules).unwrap();
        for (address, access) in [
            ("192.0.2.1", Access::Allow),
            ("192.0.2.127", Access::Allow),
            ("192.0.2.128", Access::Deny),
            ("192.0.2.130", Access::Allow),
            ("192.0.2.131", Access::Deny),
            ("192.0.1.255", Access::Deny),
            ("192.0.3.0", Access::Deny),
            ("255.255.255.255", Access::Allow),
            ("::ffff:192.0.2.1", Access::Allow),
            ("::ffff:192.0.2.129", Access::Deny),
            ("2001:db8::1", Access::Allow),
            ("2001:db8:bad::1", Access::Deny),
            ("2001:db9::", Access::Deny),
            ("::192.0.2.1", Access::Deny),
        ] {
            assert_eq!(list.of(address.parse().unwrap()), access, "{address}");
        }
    }

    #[test]
    fn families_are_apart() {
        let list: AccessList<3> = list(Access::Allow, &[("::/0", Access::Deny)]).unwrap();
        assert_eq!(list.of(Ipv6Addr::LOCALHOST.into()), Access::Deny);
        assert_eq!(list.of(Ipv4Addr::LOCALHOST.into()), Access::Allow);
        assert_eq!(list.of(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()), Access::Allow);
    }

    #[test]
    fn the_same_for_everybody() {
        for access in [Access::Allow, Access::Deny] {
            let list = AccessList::<1>::uniform(access);
            for address in ["0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "2001:db8::1"] {
                assert_eq!(list.of(address.parse().unwrap()), access, "{address}");
            }
        }
    }

    #[test]
    fn room_is_two_ranges_a_rule_and_one() {
        let rules = [("10.0.0.0/8", Access::Deny), ("172.16.0.0/12", Access::Deny)];
        assert!(list::<5>(Access::Allow, &rules).is_ok());
        assert_eq!(list::<4>(Access::Allow, &rules).unwrap_err(), TooManyRules);
        assert_eq!(list::<0>(Access::Allow, &[]).unwrap_err(), TooManyRules);
    }

    proptest! {
        /// As looking at every rule finds it.
        #[test]
        fn as_the_definition_says(
            rules in prop::collection::vec((0u32..8, 0u8..=32, any::<bool>()), 0..20),
            address in 0u32..8,
            shift in 0u32..30,
        ) {
            let rules: std::vec::Vec<_> = rules.iter().map(|&(bits, length, allow)| {
                let mask = (u64::MAX << (32 - length)) as u32;
                let address = Ipv4Addr::from_bits((bits << shift) & mask);
                let access = if allow { Access::Allow } else { Access::Deny };
                (Prefix::new(address.into(), length).unwrap(), access)
            }).collect();
            let list: AccessList<41> = AccessList::new(Access::Deny, &rules).unwrap();
            let bits = u128::from(address << shift);
            let matching = rules.iter().filter(|(prefix, _)| {
                let (first, last) = prefix.range();
                (first..=last).contains(&bits)
            });
            let expected = matching.max_by_key(|(prefix, _)| prefix.length());
            let expected = expected.map_or(Access::Deny, |(_, access)| *access);
            prop_assert_eq!(list.of(Ipv4Addr::from_bits(address << shift).into()), expected);
        }
    }
}
