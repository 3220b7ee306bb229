//! Who a client is to the tables: the first bits of its address, and a keyed hash of them.

use core::net::{IpAddr, Ipv4Addr};

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use super::config::RateLimit;
use super::prefix::host_bits;

/// The clients' names for the tables.
///
/// The hash is linear in the address, with secret 128-bit factors, and keeps the upper half of the
/// sum: pairwise independent (Dietzfelbinger 1996), so that no choice of addresses meets a place
/// more often than chance does. It is a few instructions, where SipHash would be a quarter of what
/// a request costs; nobody is told a hash, and the tables do not depend on more.
#[derive(Debug)]
pub(super) struct Naming {
    factors: [u128; 2],
    summand: u128,
    v4_mask: u32,
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
    pub(super) fn new(rate: &RateLimit, seed: [u8; 32]) -> Self {
        let mut random = ChaCha8Rng::from_seed(seed);
        let mut word = || u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
        Self {
            factors: [word(), word()],
            summand: word(),
            v4_mask: !host_bits(32 - rate.ipv4_bits.min(32)) as u32,
            v6_mask: !host_bits(128 - rate.ipv6_bits.min(128)),
        }
    }

    pub(super) fn name(&self, address: IpAddr) -> Name {
        match address {
            IpAddr::V4(address) => {
                let first = address.to_bits() & self.v4_mask;
                let prefix = Ipv4Addr::from_bits(first).to_ipv6_mapped().to_bits();
                Name { prefix, hash: self.hash(0, prefix as u64) }
            }
            IpAddr::V6(address) => {
                let prefix = address.to_bits() & self.v6_mask;
                Name { prefix, hash: self.hash((prefix >> 64) as u64, prefix as u64) }
            }
        }
    }

    /// Unpredictable, one in `count` times, for what happens at `time`; never if that is 0.
    pub(super) fn one_in(&self, count: u32, name: Name, time: u64) -> bool {
        self.hash(name.hash, time).checked_rem(count.into()) == Some(0)
    }

    fn hash(&self, high: u64, low: u64) -> u64 {
        let [first, second] = self.factors;
        let sum = first
            .wrapping_mul(high.into())
            .wrapping_add(second.wrapping_mul(low.into()))
            .wrapping_add(self.summand);
        (sum >> 64) as u64
    }
}

/// The place of a hash in a table of `len` places; its low bits stay for telling apart those who
/// share it.
pub(super) const fn place(hash: u64, len: usize) -> usize {
    ((hash as u128 * len as u128) >> 64) as usize
}
