//! Who a client is to the tables: the first bits of its address, and a keyed hash of them.

use core::net::IpAddr;

use siphasher::sip::SipHasher13;

use super::config::RateLimit;
use super::prefix::{bits, host_bits};

/// The clients' names for the tables.
#[derive(Debug)]
pub(super) struct Naming {
    hasher: SipHasher13,
    v4_mask: u128,
    v6_mask: u128,
}

/// A client's name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    /// The first bits of its address; an address of IPv4 is mapped into IPv6.
    pub(super) prefix: u128,
    /// Keyed, so that nobody can choose addresses that share a place in a table.
    pub(super) hash: u64,
}

impl Naming {
    /// `seed` is unpredictable.
    pub(super) fn new(rate: &RateLimit, seed: [u8; 16]) -> Self {
        Self {
            hasher: SipHasher13::new_with_key(&seed),
            v4_mask: !host_bits(32 - rate.ipv4_bits.min(32)),
            v6_mask: !host_bits(128 - rate.ipv6_bits.min(128)),
        }
    }

    pub(super) fn name(&self, address: IpAddr) -> Name {
        let prefix = match address {
            IpAddr::V4(address) => bits(address.to_ipv6_mapped().into()) & self.v4_mask,
            IpAddr::V6(address) => bits(address.into()) & self.v6_mask,
        };
        Name { prefix, hash: self.hasher.hash(&prefix.to_be_bytes()) }
    }

    /// Unpredictable, one in `count` times, for what happens at `time`; never if that is 0.
    pub(super) fn one_in(&self, count: u32, name: Name, time: u64) -> bool {
        let mut bytes = [0; 16];
        let (hash, moment) = bytes.split_at_mut(8);
        hash.copy_from_slice(&name.hash.to_be_bytes());
        moment.copy_from_slice(&time.to_be_bytes());
        self.hasher.hash(&bytes).checked_rem(count.into()) == Some(0)
    }
}

/// The place of a hash in a table of `len` places; its low bits stay for telling apart those who
/// share it.
pub(super) const fn place(hash: u64, len: usize) -> usize {
    ((hash as u128 * len as u128) >> 64) as usize
}
