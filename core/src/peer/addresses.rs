//! Where a peer is: the addresses of its name, which of them is asked, and when the name is to be
//! looked up again.
//!
//! Addresses are asked in the order in which they come. One that does not answer makes way for the
//! next; after the last, when a server falls silent or is of no use, and from time to time, the name
//! is looked up again. What has been tried comes last then, so that a name with more addresses than
//! there is room for has each of them tried.

use core::net::SocketAddr;

use chacha20::ChaCha8Rng;
use heapless::Vec;

use super::poll::stretched;
use crate::units::{Instant, Span};

/// Addresses of one name that are tried in turn before it is looked up again.
const MAX_ADDRESSES: usize = 4;

/// Between two attempts to look a name up, at first; doubled up to [`LONGEST_RETRY`].
const FIRST_RETRY: Span = Span::from_secs(2);
/// The longest time between two attempts, without jitter.
const LONGEST_RETRY: Span = Span::from_secs(300);
/// A jitter of up to a half: after an outage many names are looked up at once.
const RETRY_JITTER: i64 = 2;
/// Until a pool that has no address left is asked for another.
const EXHAUSTED: Span = Span::from_secs(3_600);
/// The least age at which an answer is asked for again, and the greatest is twice that: a server
/// that left a pool, or moved while the old one runs, is not asked for ever (chrony's `refresh`).
const REFRESH: Span = Span::from_secs(7 * 86_400);

#[derive(Debug)]
pub struct Addresses {
    list: Vec<SocketAddr, MAX_ADDRESSES>,
    /// Which of them is asked.
    current: usize,
    /// None if it is configured by its address.
    name: Option<Name>,
}

#[derive(Debug)]
struct Name {
    /// Lookups since a server there was of use.
    attempts: u32,
    /// When it is to be looked up.
    due: Instant,
    /// When it may be.
    earliest: Instant,
    /// What is known of it is from before the clock was trusted.
    doubtful: bool,
}

/// How to take an answer.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Where others are asked.
    pub taken: &'a [SocketAddr],
    /// Whether what is taken is not to be had: a pool's member. Else it only comes last.
    pub distinct: bool,
    /// What members of pools have left because it was of no use, the oldest first, and until when it
    /// does not want to be asked by another.
    pub left: &'a [(SocketAddr, Instant)],
    /// Whether the present address is to be left if there is another.
    pub leave: bool,
}

impl Addresses {
    /// The one address, or a name to be looked up at `first`.
    pub fn new(address: Option<SocketAddr>, first: Instant) -> Self {
        let name = Name { attempts: 0, due: first, earliest: first, doubtful: false };
        let name = address.is_none().then_some(name);
        Self { list: address.into_iter().collect(), current: 0, name }
    }

    /// The one that is asked.
    pub fn current(&self) -> Option<&SocketAddr> {
        self.list.get(self.current)
    }

    /// Lookups since a server there was of use.
    pub fn attempts(&self) -> u32 {
        self.name.as_ref().map_or(0, |name| name.attempts)
    }

    /// When it is to be looked up.
    pub fn deadline(&self) -> Instant {
        self.name.as_ref().map_or(Instant::NEVER, |name| name.due)
    }

    /// It is being looked up; again if nothing comes of it.
    pub fn look_up(&mut self, now: Instant, trusted: bool, rng: &mut ChaCha8Rng) {
        let Some(name) = &mut self.name else { return };
        let pause = FIRST_RETRY.times(1 << name.attempts.min(10)).min(LONGEST_RETRY);
        name.attempts = name.attempts.saturating_add(1);
        name.earliest = now + stretched(pause, RETRY_JITTER, rng);
        name.due = name.earliest;
        name.doubtful = !trusted;
    }

    /// The server is of use.
    pub fn serves(&mut self) {
        if let Some(name) = &mut self.name {
            name.attempts = 0;
        }
    }

    /// It is to be looked up as soon as that may be.
    pub fn want(&mut self, now: Instant) {
        if let Some(name) = &mut self.name {
            name.due = name.due.min(name.earliest.max(now));
        }
    }

    /// It is to be looked up at once, and often if that fails: the network is new.
    pub fn hurry(&mut self, now: Instant) {
        if let Some(name) = &mut self.name {
            *name = Name { attempts: 0, due: now, earliest: now, ..*name };
        }
    }

    /// The clock is trusted from now on: what was said before is asked for again at `at`.
    pub fn confirm(&mut self, at: Instant) {
        if let Some(name) = self.name.as_mut().filter(|name| name.doubtful) {
            name.due = name.due.min(at);
        }
    }

    /// Turns to the next address; after the last one the name is to be looked up again. Says whether
    /// it is another.
    pub fn turn(&mut self, now: Instant) -> bool {
        self.current += 1;
        if self.current >= self.list.len() {
            self.current = 0;
            self.want(now);
        }
        self.list.len() > 1
    }

    /// Another peer is asked at this one's address, with more right.
    pub fn vacate(&mut self, now: Instant) {
        self.list.clear();
        self.want(now);
    }

    /// The name has these addresses, of which as many are kept as there is room for. Says whether
    /// another is to be asked now.
    pub fn resolved(
        &mut self,
        found: &[SocketAddr],
        claim: Claim<'_>,
        now: Instant,
        rng: &mut ChaCha8Rng,
    ) -> bool {
        let Some(name) = &mut self.name else { return false };
        if found.is_empty() {
            return false;
        }
        let is_taken = |address: &SocketAddr| claim.taken.contains(address);
        let present = self.list.get(self.current);
        let left = |address: &SocketAddr| claim.left.iter().position(|(left, _)| left == address);
        let is_refused = |address: &SocketAddr| {
            is_taken(address)
                || claim.left.iter().any(|(left, until)| left == address && *until > now)
        };
        let may_have = |address: &SocketAddr| {
            !(claim.distinct && is_refused(address)) || present == Some(address)
        };
        let rank = |address: &SocketAddr| {
            if present == Some(address) {
                if claim.leave { usize::MAX } else { 0 }
            } else if let Some(place) = left(address) {
                4 + place
            } else if self.list.contains(address) {
                3
            } else {
                1 + usize::from(is_taken(address))
            }
        };
        // By the time that a pool's member needs another one that may be taken.
        let room = if claim.distinct { 1 } else { MAX_ADDRESSES };
        let mut list: Vec<SocketAddr, MAX_ADDRESSES> = Vec::new();
        while list.len() < room {
            let others = found.iter().filter(|it| may_have(it) && !list.contains(it));
            let Some(best) = others.min_by_key(|address| rank(address)) else { break };
            // There is room.
            let _ = list.push(*best);
        }
        let turned = !list.is_empty() && list.first() != present;
        if turned || !list.is_empty() && !claim.leave {
            name.due = now + stretched(REFRESH, 1, rng);
        } else if claim.distinct {
            name.earliest = now + stretched(EXHAUSTED, RETRY_JITTER, rng);
            name.due = name.earliest;
        }
        if !list.is_empty() {
            (self.list, self.current) = (list, 0);
        }
        turned
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use chacha20::rand_core::SeedableRng;
    use std::vec::Vec;

    use super::*;

    const NOW: Instant = Instant::from_nanos(1_000_000_000_000);
    const SERVER: Claim<'_> = Claim { taken: &[], distinct: false, left: &[], leave: false };
    const FAILED: Claim<'_> = Claim { leave: true, ..SERVER };

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::from_seed([3; 32])
    }

    fn address(last: u8) -> SocketAddr {
        (Ipv4Addr::new(192, 0, 2, last), 123).into()
    }

    fn some<const N: usize>(last: [u8; N]) -> [SocketAddr; N] {
        last.map(address)
    }

    fn named(found: &[SocketAddr]) -> Addresses {
        let mut addresses = Addresses::new(None, NOW);
        addresses.look_up(NOW, true, &mut rng());
        assert!(addresses.resolved(found, SERVER, NOW, &mut rng()));
        addresses
    }

    /// Those that are asked until the name is to be looked up again.
    fn round(addresses: &mut Addresses) -> Vec<SocketAddr> {
        let mut asked = Vec::new();
        while asked.is_empty() || addresses.current != 0 {
            asked.push(addresses.current().copied().unwrap());
            addresses.turn(NOW);
        }
        asked
    }

    #[test]
    fn retries_grow_with_jitter_and_are_bounded() {
        let mut addresses = Addresses::new(None, NOW);
        let mut now = NOW;
        let mut factors = Vec::new();
        for pause in [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300] {
            addresses.look_up(now, true, &mut ChaCha8Rng::from_seed([pause as u8; 32]));
            assert!(!addresses.resolved(&[], SERVER, now, &mut rng()));
            let next = addresses.deadline();
            factors.push((next - now).as_secs_f64() / f64::from(pause));
            now = next;
        }
        assert!(factors.iter().all(|factor| (1.0..1.5).contains(factor)), "{factors:?}");
        assert!(factors.iter().any(|factor| *factor > 1.25), "{factors:?}");
        addresses.hurry(now);
        assert_eq!((addresses.deadline(), addresses.attempts()), (now, 0));
    }

    #[test]
    fn every_address_has_its_turn_though_there_is_room_for_four() {
        let found = some([1, 2, 3, 4, 5, 6]);
        let mut addresses = named(&found);
        assert_eq!(round(&mut addresses), found[..4]);
        assert!(addresses.resolved(&found, FAILED, NOW, &mut rng()));
        assert_eq!(round(&mut addresses), some([5, 6, 2, 3]));
        assert!(addresses.resolved(&found, FAILED, NOW, &mut rng()));
        assert_eq!(round(&mut addresses), some([1, 4, 2, 3]));
    }

    #[test]
    fn what_answers_is_kept_while_the_name_has_it() {
        let mut addresses = named(&some([1, 2]));
        addresses.turn(NOW);
        assert!(!addresses.resolved(&some([3, 1, 2]), SERVER, NOW, &mut rng()));
        assert_eq!(round(&mut addresses), some([2, 3, 1]));
        let week = (addresses.deadline() - NOW).as_secs_f64() / 604_800.0;
        assert!(week < 1.0, "not wanted by the round: {week}");
        assert!(addresses.resolved(&some([4]), SERVER, NOW, &mut rng()));
        let week = (addresses.deadline() - NOW).as_secs_f64() / 604_800.0;
        assert!((1.0..2.0).contains(&week), "{week}");
    }

    #[test]
    fn the_only_address_is_kept_and_looked_up_again_soon() {
        let mut addresses = named(&some([1]));
        assert!(!addresses.turn(NOW));
        addresses.look_up(NOW, true, &mut rng());
        let retry = addresses.deadline();
        assert!(!addresses.resolved(&some([1]), FAILED, NOW, &mut rng()));
        assert_eq!((addresses.current().copied(), addresses.deadline()), (Some(address(1)), retry));
    }

    #[test]
    fn a_member_of_a_pool_has_what_nobody_else_has() {
        let taken = some([1, 2]);
        let member = Claim { taken: &taken, distinct: true, ..SERVER };
        let mut addresses = Addresses::new(None, NOW);
        assert!(!addresses.resolved(&some([2, 1]), member, NOW, &mut rng()));
        let hours = (addresses.deadline() - NOW).as_secs_f64() / 3_600.0;
        assert!(addresses.current().is_none() && (1.0..1.5).contains(&hours), "{hours}");
        assert!(addresses.resolved(&some([2, 1, 3]), member, NOW, &mut rng()));
        assert_eq!(addresses.current().copied(), Some(address(3)));
        // What others found to be of no use comes last, the latest at the end; not at all who denied.
        let left = [(6, 0), (4, 0), (5, 0), (8, 1)];
        let left = left.map(|(last, secs)| (address(last), NOW + Span::from_secs(secs)));
        let leaver = Claim { left: &left, leave: true, ..member };
        for (found, next) in [([8, 5, 6], 6), ([5, 4, 7], 7), ([7, 5, 4], 4)] {
            assert!(addresses.resolved(&some(found), leaver, NOW, &mut rng()));
            assert_eq!(addresses.current().copied(), Some(address(next)));
        }
        assert!(!addresses.resolved(&some([8]), leaver, NOW, &mut rng()));
        // A server has it if there is no other.
        let mut addresses = Addresses::new(None, NOW);
        let server = Claim { distinct: false, ..member };
        assert!(addresses.resolved(&some([2, 3, 1]), server, NOW, &mut rng()));
        assert_eq!(round(&mut addresses), some([3, 2, 1]));
    }

    #[test]
    fn only_an_answer_from_before_the_clock_was_trusted_is_confirmed() {
        for (trusted, expected) in [(true, false), (false, true)] {
            let mut addresses = Addresses::new(None, NOW);
            addresses.look_up(NOW, trusted, &mut rng());
            assert!(addresses.resolved(&some([1]), SERVER, NOW, &mut rng()));
            let soon = NOW + Span::from_secs(64);
            addresses.confirm(soon);
            assert_eq!(addresses.deadline() == soon, expected);
        }
    }

    #[test]
    fn an_address_is_not_looked_up() {
        let mut addresses = Addresses::new(Some(address(1)), NOW);
        assert!(!addresses.turn(NOW));
        assert!(!addresses.resolved(&some([2]), FAILED, NOW, &mut rng()));
        assert_eq!(
            (addresses.current().copied(), addresses.deadline()),
            (Some(address(1)), Instant::NEVER)
        );
    }
}
