//! How often each client asks: token buckets in a table of fixed size.
//!
//! A bucket is one number, the instant at which it is full again; what a client is short of is
//! its *debt*. An entry without debt says nothing that a new one would not say. So when a place is
//! wanted the entry with the least debt goes, and
//!
//! - nobody is refused because of others: whoever loses its entry gets a full bucket. However many
//!   addresses an attacker has, clients that keep to the rate are always answered;
//! - who is over the rate keeps its entry: it can only be driven out by others of the same place
//!   that are as much in debt, which takes as many requests from each of them;
//! - places depend on a secret, so that nobody can aim at one.
//!
//! What many addresses do get is a burst for each of them. That is no matter of this table.

use core::net::{IpAddr, Ipv6Addr};

use heapless::Vec;

use super::client::{Name, place};
use super::config::RateLimit;
use crate::units::{Instant, Span};

/// Clients that share a place of the table.
const WAYS: usize = 8;

/// No datagram comes from this address: it is one of a group.
const NOBODY: u128 = u128::MAX;

/// Clients of one place in a table of clients: 256 octets for eight of them.
#[derive(Debug, Clone, Copy)]
pub struct ClientSet([Entry; WAYS]);

impl ClientSet {
    /// Nobody yet.
    pub const EMPTY: Self = Self(
        [Entry { prefix: NOBODY, full_at: Instant::from_nanos(0), requests: 0, refused: 0 }; WAYS],
    );
    /// How many clients it has room for.
    pub const CAPACITY: usize = WAYS;
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    prefix: u128,
    full_at: Instant,
    requests: u32,
    refused: u32,
}

impl Entry {
    /// What has no debt is worth how often it asked, and less than what has.
    fn worth(&self, now: Instant) -> u64 {
        match self.full_at > now {
            true => self.full_at.as_nanos() | 1 << 63,
            false => self.requests.into(),
        }
    }
}

/// What is known of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Client {
    /// The first of the addresses that count as this client.
    pub address: IpAddr,
    /// Requests since it got its place in the table.
    pub requests: u32,
    /// How many of these were too many.
    pub refused: u32,
}

/// The clients that asked last, or are most in debt.
#[derive(Debug)]
pub(super) struct Clients<T> {
    sets: T,
    interval: Span,
    /// What a client may be in debt to have one more request.
    tolerance: Span,
}

/// Whether a client may ask once more; if not, how often that was refused.
pub(super) type Admission = Result<(), u32>;

impl<T: AsRef<[ClientSet]> + AsMut<[ClientSet]>> Clients<T> {
    pub(super) fn new(sets: T, limit: &RateLimit) -> Self {
        let interval = limit.interval.max(Span::ZERO);
        let tolerance = interval.times(i64::from(limit.burst.max(1) - 1));
        Self { sets, interval, tolerance }
    }

    pub(super) fn admit(&mut self, name: Name, now: Instant) -> Admission {
        let sets = self.sets.as_mut();
        let place = place(name.hash, sets.len());
        let Some(ClientSet(set)) = sets.get_mut(place) else { return Ok(()) };
        let known = set.iter_mut().find(|entry| entry.prefix == name.prefix);
        let entry = match known {
            Some(entry) => entry,
            None => {
                let Some(entry) = set.iter_mut().min_by_key(|entry| entry.worth(now)) else {
                    return Ok(());
                };
                *entry = Entry { prefix: name.prefix, full_at: now, requests: 0, refused: 0 };
                entry
            }
        };
        entry.requests = entry.requests.saturating_add(1);
        let full_at = entry.full_at.max(now);
        if full_at - now > self.tolerance {
            entry.refused = entry.refused.saturating_add(1);
            return Err(entry.refused);
        }
        entry.full_at = full_at + self.interval;
        Ok(())
    }

    /// Up to `COUNT` clients, those that asked most first. Looks at the whole table.
    pub(super) fn top<const COUNT: usize>(&self) -> Vec<Client, COUNT> {
        let mut top = Vec::<Client, COUNT>::new();
        let entries = self.sets.as_ref().iter().flat_map(|ClientSet(set)| set);
        for entry in entries.filter(|entry| entry.prefix != NOBODY) {
            let place = top.partition_point(|client| client.requests >= entry.requests);
            if place == COUNT {
                continue;
            }
            if top.is_full() {
                top.pop();
            }
            let address = IpAddr::V6(Ipv6Addr::from_bits(entry.prefix)).to_canonical();
            // There is room, and the place is within.
            let _ = top.insert(
                place,
                Client { address, requests: entry.requests, refused: entry.refused },
            );
        }
        top
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::client::Naming;
    use super::*;
    use core::net::Ipv4Addr;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    const LIMIT: RateLimit = RateLimit {
        interval: Span::from_secs(2),
        burst: 4,
        leak_one_in: 0,
        ipv4_bits: 32,
        ipv6_bits: 64,
    };

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn naming() -> Naming {
        Naming::new(&LIMIT, [7; 32])
    }

    fn v4(bits: u32) -> IpAddr {
        Ipv4Addr::from_bits(bits).into()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut clients = Clients::new([ClientSet::EMPTY; 1], &LIMIT);
        let name = naming().name(v4(1));
        let mut ask = |millis| clients.admit(name, at(millis));
        assert_eq!(
            [ask(0), ask(0), ask(0), ask(0), ask(0), ask(1)].map(Result::err),
            [None, None, None, None, Some(1), Some(2)]
        );
        // One more every 2 s, not a moment before.
        assert_eq!(ask(1_999), Err(3));
        assert_eq!(ask(2_000), Ok(()));
        assert_eq!(ask(3_999), Err(4));
        // After four intervals the bucket is full, and never fuller.
        assert_eq!([0; 5].map(|_| ask(100_000).is_ok()), [true, true, true, true, false]);
    }

    #[test]
    fn a_prefix_is_one_client() {
        let mut clients = Clients::new([ClientSet::EMPTY; 4], &LIMIT);
        let naming = naming();
        let mut ask =
            |address: &str| clients.admit(naming.name(address.parse().unwrap()), at(0)).is_ok();
        for _ in 0..4 {
            assert!(ask("2001:db8::1"));
        }
        assert!(!ask("2001:db8::2"));
        assert!(ask("2001:db8:0:1::1"));
        assert!(ask("192.0.2.1"));
        let top = clients.top::<1>();
        assert_eq!(top.len(), 1);
        assert_eq!(
            (top[0].address, top[0].requests, top[0].refused),
            ("2001:db8::".parse().unwrap(), 5, 1)
        );
        let all: Vec<_> = clients.top::<9>().iter().map(|client| client.requests).collect();
        assert_eq!(all, [5, 1, 1]);
        assert!(clients.top::<0>().is_empty());
    }

    #[test]
    fn without_a_table_there_is_no_limit() {
        let mut clients = Clients::new([ClientSet::EMPTY; 0], &LIMIT);
        let name = naming().name(v4(1));
        assert!((0..100).all(|_| clients.admit(name, at(0)).is_ok()));
    }

    /// A million addresses ask, a thousand times as many as there is room for, while 100 steady
    /// clients and one that is over its rate go on.
    #[test]
    fn many_addresses_neither_shut_out_nor_let_in() {
        let mut clients = Clients::new(vec![ClientSet::EMPTY; 128], &LIMIT);
        let naming = naming();
        let greedy = naming.name(v4(0xc633_6401));
        let (mut lost, mut greedy_answers) = (0, 0);
        // 200 s: an attacker's 5,000 requests and the greedy client's 50 in each, and each steady
        // one asks every two seconds.
        for millis in 0..200_000u64 {
            for attacker in 0..5 {
                let _ = clients.admit(naming.name(v4((millis * 5 + attacker) as u32)), at(millis));
            }
            if millis % 20 == 0 {
                let steady = naming.name(v4(0xc000_0200 + (millis / 20 % 100) as u32));
                lost += u32::from(clients.admit(steady, at(millis)).is_err());
                greedy_answers += u32::from(clients.admit(greedy, at(millis)).is_ok());
            }
        }
        assert_eq!(lost, 0, "of 10,000 requests of steady clients");
        // A burst and 100 intervals are 104; without a limit it would be 10,000.
        assert!(greedy_answers <= 110, "{greedy_answers}");
    }

    proptest! {
        /// Alone or among others, who keeps to the rate is never refused; who does not gets no
        /// more than a burst and one in each interval.
        #[test]
        fn the_rate_is_kept(gaps in prop::collection::vec(0u64..5_000, 1..100)) {
            let mut clients = Clients::new([ClientSet::EMPTY; 1], &LIMIT);
            let (any, slow) = (naming().name(v4(1)), naming().name(v4(2)));
            let (mut time, mut granted) = (0, 0);
            for gap in gaps {
                time += gap;
                granted += u64::from(clients.admit(any, at(time)).is_ok());
                prop_assert!(granted <= 4 + time / 2_000);
                if gap >= 2_000 {
                    prop_assert!(clients.admit(slow, at(time)).is_ok());
                }
            }
        }
    }
}
