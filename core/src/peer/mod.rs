//! One association: asks its server, tests what comes back, and says when to ask again.
//!
//! It decides what a reply is worth as a packet (RFC 5905 §9.2, tests 1 to 7) and whether the peer
//! is trusted (OpenNTPD's level). It never compares peers and never touches the clock.

mod addresses;
mod bound;
mod correctness;
mod poll;
mod query;
mod reply;
mod trust;
mod validity;

use core::net::SocketAddr;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::Rng;

use self::addresses::{Addresses, Claim};
use self::correctness::Correctness;
use self::poll::Poll;
use self::trust::{LOSSES, Trust};
use crate::config::{MAX_STRATUM, PeerConfig, SelectOptions};
use crate::estimate::{Estimate, Estimator};
use crate::holdover::KnownFrequency;
use crate::select::Standing;
use crate::units::{Instant, Now, NtpTimestamp, Span, WallTime};
use crate::wire::{Header, KissCode, ReferenceId};

pub use bound::Bound;
pub use poll::{DENIED, stretched};
pub use query::Query;
pub use reply::{Received, Remote, Terms};
pub use trust::Change;
pub use validity::{Exchange, Reject, authentic, usable};

/// How long a reply is waited for, unless the next query is sooner (OpenNTPD's QUERYTIME_MAX).
const REPLY_TIMEOUT: Span = Span::from_secs(15);
/// Queries that a new peer may need to show what it is worth.
const UNDECIDED: u64 = 4;
/// Attempts after which a name is no longer waited for.
const UNDECIDED_NAME: u64 = 1;
/// Queries, or attempts to resolve a name, after which a peer that is not valid is a bad one.
const JUDGED: u64 = 8;
/// Answers in a row that are of no use, after which a pool's member is replaced; one that says
/// itself that it is of no use counts twice.
const USELESS_ANSWERS: u8 = 8;

/// A peer of an engine. The first ones have the numbers from 0 on; that of one that was removed is not
/// soon another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PeerId(pub u16);

/// What passed between us and a peer since it was added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Queries that were to be sent.
    pub sent: u64,
    /// Replies that were used.
    pub used: u64,
    /// Datagrams that were dropped, by [`Reject::index`].
    pub rejected: [u64; Reject::KINDS],
}

#[derive(Debug)]
pub struct Peer<const KINDS: usize> {
    pool: bool,
    addresses: Addresses,
    /// Answers in a row that were of no use.
    useless: u8,
    /// It is not to be asked for now.
    offline: bool,
    query: Option<Query>,
    /// What a server that follows this host gives as its reference.
    own_id: Option<ReferenceId>,
    /// Why the reply to its last query could not be used.
    refused: Option<Reject>,
    next_query: Instant,
    last_transmit: NtpTimestamp,
    pub trust: Trust,
    pub poll: Poll,
    pub estimator: Estimator<KINDS>,
    correctness: Option<Correctness>,
    pub remote: Option<Remote>,
    pub counters: Counters,
    pub options: SelectOptions,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    Resolve,
    Query { to: SocketAddr, bytes: [u8; Header::LEN] },
    Lost(Option<Change>),
}

impl<const KINDS: usize> Peer<KINDS> {
    /// A peer that asks for the first time at `first_query`, for a clock whose frequency is about
    /// `frequency`, with `packets` as in [`Config`](crate::config::Config).
    pub fn new(
        config: &PeerConfig,
        first_query: Instant,
        frequency: KnownFrequency,
        packets: f64,
    ) -> Self {
        Self {
            pool: config.pool,
            addresses: Addresses::new(config.address, first_query),
            useless: 0,
            offline: false,
            query: None,
            own_id: None,
            refused: None,
            next_query: first_query,
            last_transmit: NtpTimestamp::ZERO,
            trust: Trust::NEW,
            poll: Poll::new(config, packets),
            estimator: Estimator::known(frequency),
            correctness: None,
            remote: None,
            counters: Counters::default(),
            options: config.select,
        }
    }

    /// Is asked otherwise from now on, sooner if the interval is to be shorter; the address stays.
    pub fn configure(&mut self, config: &PeerConfig, now: Instant) {
        self.options = config.select;
        if self.poll.configure(config) {
            self.next_query = self.next_query.min(now + self.poll.interval());
        }
    }

    /// Whether it is to be asked from now on; at once after it was not.
    pub fn set_online(&mut self, online: bool, now: Instant) {
        if online && self.offline {
            self.next_query = now;
            self.look_up_in_need(now);
        }
        self.offline = !online;
    }

    /// It is asked at once and often for a while, unless it is left alone.
    pub fn burst(&mut self, now: Instant) {
        if !self.offline && !self.poll.is_suspended() {
            self.next_query = self.next_query.min(now);
            self.poll.burst();
            self.look_up_in_need(now);
        }
    }

    fn look_up_in_need(&mut self, now: Instant) {
        if self.address().is_none() || self.is_to_be_left() {
            self.addresses.hurry(now);
        }
    }

    /// Whether it has yet to be asked, or to be resolved, for the first time.
    pub fn is_untried(&self) -> bool {
        self.counters.sent == 0 && self.addresses.attempts() == 0
    }

    pub fn address(&self) -> Option<&SocketAddr> {
        self.addresses.current()
    }

    pub const fn is_pool(&self) -> bool {
        self.pool
    }

    /// The reference id that a server has which follows this host.
    pub const fn own_id(&self) -> Option<ReferenceId> {
        self.own_id
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn deadline(&self) -> Instant {
        let lost = self.query.map_or(Instant::NEVER, |query| query.deadline);
        if self.offline {
            return lost;
        }
        let ask = if self.address().is_some() { self.next_query } else { Instant::NEVER };
        ask.min(self.addresses.deadline()).min(lost)
    }

    /// Whether it is too new to say that it will not answer: the first step of the clock waits
    /// for it.
    pub fn is_undecided(&self) -> bool {
        let (attempts, enough) = match self.address().is_some() {
            true => (self.counters.sent, UNDECIDED),
            false => (self.addresses.attempts().into(), UNDECIDED_NAME),
        };
        let may_decide = self.refused.is_none() && !self.options.noselect;
        !self.trust.is_valid() && may_decide && !self.offline && attempts <= enough
    }

    /// Whether it has had its chance and failed.
    pub fn is_bad(&self) -> bool {
        let attempts = self.counters.sent.max(self.addresses.attempts().into());
        // A pool may have fewer addresses than it is allowed members.
        let missing = self.pool && self.address().is_none();
        !self.trust.is_valid() && attempts >= JUDGED && !missing
    }

    /// Whether it is bad because none of the last eight queries was answered.
    pub fn is_unreachable(&self) -> bool {
        self.trust.reach() == 0 && self.is_bad()
    }

    /// How far its `estimate` is from the truth at free-running `time` if it is honest, and `header`
    /// what it said last.
    pub fn distance(&self, estimate: &Estimate, header: &Header, time: WallTime) -> Option<Span> {
        let at_server = header.root_delay.to_span().half() + header.root_dispersion.to_span();
        let precision = Span::from_log2_secs(header.precision.min(0));
        Some(self.correctness.as_ref()?.distance(time, estimate) + at_server + precision)
    }

    /// What speaks against listening to it, whatever it says of the time.
    pub fn disqualification(&self) -> Option<Standing> {
        let Some(Remote { header, .. }) = self.remote.filter(|_| self.trust.is_valid()) else {
            return Some(match self.refused {
                _ if self.has_denied() => Standing::Denied,
                Some(Reject::Alarm | Reject::Stratum(_)) => Standing::Unsynchronised,
                Some(Reject::RootDistance) => Standing::TooDistant,
                _ if self.is_unreachable() => Standing::Unreachable,
                _ => Standing::Invalid,
            });
        };
        // Behind a server of stratum 15 this clock would be one of 16.
        if header.stratum + 1 >= MAX_STRATUM {
            Some(Standing::Unsynchronised)
        } else if header.stratum > 1 && self.own_id == Some(header.reference_id) {
            Some(Standing::Loop)
        } else {
            None
        }
    }

    pub const fn next_query(&self) -> Instant {
        self.next_query
    }

    /// Does the one thing that is due: gives up a query, or sends one, or asks for addresses.
    /// `trusted` says whether the clock has ever been right.
    pub fn handle_timeout(&mut self, now: Now, trusted: bool, rng: &mut ChaCha8Rng) -> Due {
        if self.query.take_if(|query| query.deadline <= now.mono).is_some() {
            return Due::Lost(self.give_up(now.mono));
        }
        let to = self.address().filter(|_| self.addresses.deadline() > now.mono);
        let Some(&to) = to else {
            self.addresses.look_up(now.mono, trusted, rng);
            return Due::Resolve;
        };
        let gap = self.poll.next(rng);
        let query = Query::new(rng.next_u64(), now.wall, now.mono + gap.min(REPLY_TIMEOUT));
        self.query = Some(query);
        self.next_query = now.mono + gap;
        self.trust.asked();
        self.counters.sent += 1;
        Due::Query { to, bytes: query.to_bytes() }
    }

    /// The query really left at `at`; a server whose reference is `own_id` follows this host.
    pub fn handle_sent(&mut self, at: WallTime, own_id: Option<ReferenceId>) {
        self.own_id = own_id;
        if let Some(query) = &mut self.query {
            query.transmitted = at;
        }
    }

    /// The query could not be sent: nothing is to be waited for.
    pub fn handle_send_failed(&mut self, now: Instant) -> Option<Change> {
        self.query.take()?;
        self.give_up(now)
    }

    /// The next address is tried, unless the server there has answered: it may only be gone for a
    /// while, and what it said is worth something until the name says that it is elsewhere.
    fn give_up(&mut self, now: Instant) -> Option<Change> {
        self.refused = None;
        self.poll.lost();
        let change = self.trust.lost(self.poll.unanswered());
        if self.remote.is_none() {
            if self.addresses.turn(now) {
                self.forget();
            }
        } else if self.is_silent() {
            self.addresses.want(now);
        }
        change
    }

    /// Whether it has not answered as often as one may have not to be reached any more.
    fn is_silent(&self) -> bool {
        let patience = if self.remote.is_some() { LOSSES } else { 1 };
        !self.trust.is_valid() && self.poll.unanswered() >= patience
    }

    /// Whether another address is to be asked if the name has one.
    pub fn is_to_be_left(&self) -> bool {
        self.is_silent() || self.useless >= USELESS_ANSWERS || self.has_denied() && self.pool
    }

    /// Whether it does not want to be asked. Only a pool's other addresses are somebody else's.
    pub fn has_denied(&self) -> bool {
        let Some(Reject::Kiss(code)) = self.refused else { return false };
        code == KissCode::DENY || code == KissCode::RSTR
    }

    /// The name has these addresses; `taken` are not to be had or come last, as do those that others
    /// have `left`. Says at which one it is asked no more. `POOLS`: whether there are pools.
    pub fn handle_resolved<const POOLS: bool>(
        &mut self,
        found: &[SocketAddr],
        taken: &[SocketAddr],
        left: &[(SocketAddr, Instant)],
        now: Instant,
        rng: &mut ChaCha8Rng,
    ) -> Option<SocketAddr> {
        let former = self.address().copied();
        let claim =
            Claim { taken, distinct: POOLS && self.pool, left, leave: self.is_to_be_left() };
        if !self.addresses.resolved(found, claim, now, rng) {
            return None;
        }
        self.forget();
        self.next_query = now;
        former
    }

    /// Another peer is asked at this one's address, with more right.
    pub fn vacate(&mut self, now: Instant) {
        self.addresses.vacate(now);
        self.forget();
    }

    /// The clock is trusted from now on: an address from before is to be looked up again at `at`.
    pub fn confirm_address(&mut self, at: Instant) {
        self.addresses.confirm(at);
    }

    /// Its last answer was of use to selection, or not: a pool has others.
    pub fn judge(&mut self, useful: bool, now: Instant) {
        if useful || !self.pool {
            self.useless = 0;
            self.addresses.serves();
        } else {
            self.is_useless(1, now);
        }
    }

    fn is_useless(&mut self, weight: u8, now: Instant) {
        self.useless = self.useless.saturating_add(weight);
        if self.is_to_be_left() {
            self.addresses.want(now);
        }
    }

    /// The local clock was stepped: a query on its way left in the old time, and its reply may
    /// have arrived in it.
    pub fn handle_step(&mut self) {
        self.query = None;
    }

    /// It is to be asked at `at` already, and again until it answers, if it may be.
    pub fn hurry(&mut self, at: Instant) {
        if self.is_expected_to_answer() {
            self.next_query = self.next_query.min(at);
            self.poll.burst();
        }
    }

    /// Time has passed that the counter did not see: what the server said is older than it seems.
    pub fn handle_gap(&mut self, gap: Span) {
        if let Some(remote) = &mut self.remote {
            remote.at = remote.at + -gap;
        }
    }

    /// What may be claimed is known since now: it is asked again at `at` if that was in its way.
    pub fn constrained(&mut self, at: Instant) {
        if let Some(Reject::Constraint(_) | Reject::Unconstrained) = self.refused {
            self.refused = None;
            self.poll.renew();
            self.next_query = self.next_query.min(at);
        }
    }

    /// Whether it would answer now, as far as is known.
    pub const fn is_expected_to_answer(&self) -> bool {
        self.trust.is_valid() && !self.poll.is_suspended()
    }

    /// The address is another server's: of the one before only the frequency is kept.
    fn forget(&mut self) {
        self.query = None;
        self.useless = 0;
        self.trust = Trust::NEW;
        self.poll.renew();
        self.estimator = self.estimator.anew();
        self.correctness = None;
        self.remote = None;
        self.refused = None;
        self.last_transmit = NtpTimestamp::ZERO;
    }
}
