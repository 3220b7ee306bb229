//! What the interleaved mode remembers of the last exchanges (RFC 9769 §2).
//!
//! An answer can carry no stamp of its own departure that is better than a guess. In the
//! interleaved mode it carries that of the answer before, which its client names by that answer's
//! receive stamp.
//!
//! ```text
//! server      t2   t3               t6   t7             t10  t11
//!         ----+----+----------------+----+---------------+----+---
//!            /      \              /      \             /      \
//! client    t1      t4            t5      t8           t9      t12
//!
//! mode      basic   basic     interleaved  interl.     interl.  interl.
//! origin    0       t1~           t2       t4           t6      t8
//! receive   0       t2            t4       t6           t8      t10
//! transmit  t1~     t3~           t5~      t3           t9~     t7
//! ```
//!
//! The receive stamps that are told are odd and end in the place where they are remembered, in four
//! bits; they are early by less than 8 ns and never late, for an answer must not seem to leave before
//! its request came, even by a clock that did not tick in between. That is below the precision of the
//! clock, where RFC 5905 §6 wants random bits anyway. Transmit stamps are even. So an origin is never
//! taken for the wrong one, no two stamps that are remembered are the same, and nothing has to be
//! looked for.
//!
//! A set has places for newcomers, which any request takes, the oldest first, and places for those
//! that came back with a receive stamp of ours. Only these take such a place, so that whoever asks
//! with addresses at which it does not get the answers drives no steady client out, however many
//! they are. Who is driven out gets one answer in the basic mode.

use super::client::place;
use crate::units::NtpTimestamp;

/// Places of each kind in a set.
const WAYS: usize = 4;

/// The lowest bits of a receive stamp: its place, and that it is odd.
const WAY_BITS: u64 = 2 * StampSet::CAPACITY as u64 - 1;

/// Exchanges of clients that share a place: 136 octets for eight of them.
#[derive(Debug, Clone, Copy)]
pub struct StampSet {
    /// Those of the steady clients, then the newcomers'; 0 where nobody is.
    receive: [u64; Self::CAPACITY],
    /// 0 until it is known.
    transmit: [u64; Self::CAPACITY],
    /// The newcomers' place that is taken next.
    next: u8,
}

impl StampSet {
    /// How many exchanges it has room for.
    pub const CAPACITY: usize = 2 * WAYS;
    /// Nobody yet.
    pub const EMPTY: Self =
        Self { receive: [0; Self::CAPACITY], transmit: [0; Self::CAPACITY], next: 0 };

    /// Where the exchange is that `origin` names, and when its answer left. What is even names
    /// none.
    fn named(&self, origin: u64) -> Option<(usize, u64)> {
        let way = way(origin);
        let found = origin & 1 == 1 && self.receive.get(way) == Some(&origin);
        let transmit =
            self.transmit.get(way).copied().filter(|&transmit| found && transmit != 0)?;
        Some((way, transmit))
    }

    /// A place for one that follows on the exchange at `way`.
    fn steady(&mut self, way: usize, receive: u64) -> usize {
        if way < WAYS {
            return way;
        }
        // A newcomer no more: it takes the place of the oldest.
        if let Some(left) = self.receive.get_mut(way) {
            *left = 0;
        }
        let ages = self.receive.iter().take(WAYS).map(|&stamp| match stamp {
            0 => u64::MAX,
            stamp => receive.wrapping_sub(stamp),
        });
        ages.enumerate().max_by_key(|&(_, age)| age).map_or(0, |(oldest, _)| oldest)
    }

    fn newcomer(&mut self) -> usize {
        self.next = self.next.wrapping_add(1);
        WAYS + usize::from(self.next) % WAYS
    }
}

/// The exchanges that may be continued.
#[derive(Debug)]
pub(super) struct Stamps<T> {
    sets: T,
}

/// Where the departure of an answer is to be noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    set: u32,
}

/// An exchange that is remembered from now on.
pub(super) struct Exchange {
    pub(super) ticket: Ticket,
    /// The receive stamp to be told.
    pub(super) receive: u64,
    /// When the answer left that the client names; with it the answer is interleaved.
    pub(super) departed: Option<u64>,
}

impl<T: AsMut<[StampSet]>> Stamps<T> {
    pub(super) const fn new(sets: T) -> Self {
        Self { sets }
    }

    /// Remembers a request that arrived at `receive` from a client with that hash and names
    /// `origin`; 0 if it does not ask for the interleaved mode. None without a table.
    pub(super) fn exchange(&mut self, hash: u64, receive: u64, origin: u64) -> Option<Exchange> {
        let sets = self.sets.as_mut();
        let place = place(hash, sets.len());
        let set = sets.get_mut(place)?;
        let named = set.named(origin);
        let way = match named {
            Some((way, _)) => set.steady(way, receive),
            None => set.newcomer(),
        };
        let receive = (receive & !WAY_BITS).wrapping_sub(WAY_BITS + 1) | (way as u64) << 1 | 1;
        *set.receive.get_mut(way)? = receive;
        *set.transmit.get_mut(way)? = 0;
        let ticket = Ticket { set: place as u32 };
        Some(Exchange { ticket, receive, departed: named.map(|(_, transmit)| transmit) })
    }

    /// Notes when the answer to what arrived at `receive` left, if that is still remembered.
    pub(super) fn departed(&mut self, ticket: Ticket, receive: u64, transmit: NtpTimestamp) {
        let way = way(receive);
        if let Some(set) = self.sets.as_mut().get_mut(ticket.set as usize)
            && set.receive.get(way) == Some(&receive)
            && let Some(left) = set.transmit.get_mut(way)
        {
            *left = even(transmit.to_bits());
        }
    }

    /// Forgets all: the clock was stepped, and no stamp from before fits one from after.
    pub(super) fn clear(&mut self) {
        self.sets.as_mut().fill(StampSet::EMPTY);
    }
}

/// The place in a set that a receive stamp ends in.
const fn way(receive: u64) -> usize {
    ((receive & WAY_BITS) >> 1) as usize
}

/// The next even one; in the same nanosecond as [`NtpTimestamp::from_wall`] rounds up.
pub(super) const fn even(stamp: u64) -> u64 {
    stamp.wrapping_add(stamp & 1)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    const HASH: u64 = 1;

    fn stamp(bits: u64) -> NtpTimestamp {
        NtpTimestamp::from_bits(bits)
    }

    #[test]
    fn receive_stamps_are_odd_and_unique() {
        let mut stamps = Stamps::new([StampSet::EMPTY; 1]);
        let mut told: Vec<_> =
            (0..4).map(|_| stamps.exchange(HASH, 100, 0).unwrap().receive).collect();
        assert!(told.iter().all(|stamp| stamp & 1 == 1));
        told.sort_unstable();
        told.dedup();
        assert_eq!(told.len(), 4);
    }

    #[test]
    fn the_true_stamp_comes_once_and_only_if_it_is_known() {
        let mut stamps = Stamps::new([StampSet::EMPTY; 1]);
        let first = stamps.exchange(HASH, 1_000, 0).unwrap();
        // It has not left yet.
        let early = stamps.exchange(HASH, 2_000, first.receive).unwrap();
        assert_eq!(early.departed, None);
        stamps.departed(first.ticket, first.receive, stamp(1_501));
        assert_eq!(stamps.exchange(HASH, 3_000, first.receive).unwrap().departed, Some(1_502));
        // A repeated request.
        assert_eq!(stamps.exchange(HASH, 3_001, first.receive).unwrap().departed, None);
        // The transmit stamp is no name.
        stamps.departed(early.ticket, early.receive, stamp(2_500));
        assert_eq!(stamps.exchange(HASH, 4_000, 2_500).unwrap().departed, None);
    }

    #[test]
    fn a_receive_stamp_is_early_by_little_and_never_late() {
        let mut stamps = Stamps::new([StampSet::EMPTY; 1]);
        for receive in 1_000..1_040 {
            let told = stamps.exchange(HASH, receive, 0).unwrap().receive;
            assert!((1..=31).contains(&(receive - told)), "{receive}: {told}");
        }
    }

    #[test]
    fn after_a_step_nothing_is_continued() {
        let mut stamps = Stamps::new([StampSet::EMPTY; 1]);
        let first = stamps.exchange(HASH, 1_000, 0).unwrap();
        stamps.departed(first.ticket, first.receive, stamp(1_500));
        stamps.clear();
        assert_eq!(stamps.exchange(HASH, 3_000, first.receive).unwrap().departed, None);
        stamps.departed(first.ticket, first.receive, stamp(1_500));
        assert_eq!(stamps.exchange(HASH, 4_000, first.receive).unwrap().departed, None);
    }

    #[test]
    fn without_a_table_nothing_is_remembered() {
        assert!(Stamps::new([StampSet::EMPTY; 0]).exchange(HASH, 1, 0).is_none());
    }

    /// 100 steady clients in 256 sets, and a million requests from addresses that never come back
    /// between each two of theirs would be no different from these 20,000.
    #[test]
    fn who_never_comes_back_drives_nobody_out() {
        let mut stamps = Stamps::new([StampSet::EMPTY; 256]);
        let mut time = 0u64;
        let spread = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut last: Vec<_> = (0..100).map(|_| 0).collect();
        let mut interleaved = 0;
        for round in 0..52u64 {
            for (client, last) in last.iter_mut().enumerate() {
                time += 1_000;
                let exchange = stamps.exchange(spread(client as u64), time, *last).unwrap();
                interleaved += u32::from(exchange.departed.is_some());
                *last = exchange.receive;
                stamps.departed(exchange.ticket, exchange.receive, stamp(time + 10));
            }
            // From the third round on each of them is steady.
            for attacker in 0..if round < 2 { 0 } else { 20_000 } {
                time += 10;
                let hash = spread(1_000 + round * 20_000 + attacker);
                let exchange = stamps.exchange(hash, time, spread(time)).unwrap();
                stamps.departed(exchange.ticket, exchange.receive, stamp(time + 5));
            }
        }
        assert_eq!(interleaved, 51 * 100);
    }
}
