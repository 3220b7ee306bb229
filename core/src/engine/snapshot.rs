//! What can be seen of an engine from outside.

use core::net::SocketAddr;

use super::steer::candidate;
use super::{Associate, Engine};
use crate::clock::LeapSource;
use crate::config::{DisciplineMode, SelectOptions};
use crate::estimate::{ALL_KINDS, Estimate};
use crate::holdover::Quality;
use crate::io::Stamp;
use crate::peer::{Counters, PeerId, Remote};
use crate::select::Standing;
use crate::system::SystemState;
use crate::units::{FreqOffset, Instant, Now, Span, WallTime};

/// An engine at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a, const KINDS: usize = ALL_KINDS> {
    peers: &'a [Associate<KINDS>],
    /// Free-running.
    time: WallTime,
    /// What is told to clients.
    pub system: SystemState,
    /// Who knows of leap seconds.
    pub leap_source: LeapSource,
    /// TAI − UTC, s, if a list says so.
    pub tai: Option<i32>,
    /// Whether the clock is synchronised to a source.
    pub synced: bool,
    /// By how much the clock is behind what the sources say, once they have.
    pub offset: Option<Span>,
    /// Whether the clock is changed, or only watched.
    pub controlled: bool,
    /// Whether the sources claim more than is believed without the operator's
    /// [`Accept`](crate::io::Request::Accept).
    pub held: bool,
    /// What takes offsets away at the moment.
    pub discipline: DisciplineMode,
    /// The rate at which the clock is kept.
    pub frequency: FreqOffset,
    /// The standard deviation of that rate from what the sources say, once they have.
    pub skew: Option<FreqOffset>,
    /// No error is greater, if the majority of the sources is honest; from the first source on,
    /// and after somebody else moved the clock from when they have confirmed it.
    pub error_bound: Option<Span>,
    /// Where the clock's time comes from, and how its greatest error grows: also before the first
    /// source, if the host knew something at its start.
    pub quality: Quality,
    /// What the error hardly exceeds: at least 99.9 % of the time it is less, unless the paths are
    /// asymmetric by more than a quarter or share an asymmetry. At most `error_bound`.
    pub likely_error: Option<Span>,
}

impl<'a, const KINDS: usize> Snapshot<'a, KINDS> {
    /// The peers in the order in which they were added.
    #[must_use]
    pub fn peers(&self) -> impl ExactSizeIterator<Item = PeerSnapshot> + use<'a, KINDS> {
        views(self.peers, self.time)
    }
}

fn views<const KINDS: usize>(
    peers: &[Associate<KINDS>],
    time: WallTime,
) -> impl ExactSizeIterator<Item = PeerSnapshot> {
    peers.iter().map(move |associate| PeerSnapshot::new(associate, time))
}

/// A peer at one moment.
#[derive(Debug, Clone, Copy)]
pub struct PeerSnapshot {
    /// What inputs and outputs call it.
    pub id: PeerId,
    /// Where it is asked.
    pub address: Option<SocketAddr>,
    /// OpenNTPD's trust level, 0 to 10.
    pub trust: u8,
    /// Whether it is trusted.
    pub valid: bool,
    /// The last eight queries, the newest in the lowest bit; set if answered.
    pub reach: u8,
    /// What becomes of it, and why.
    pub standing: Standing,
    /// What selection is to make of it.
    pub options: SelectOptions,
    /// The poll interval without jitter.
    pub interval: Span,
    /// The power of two seconds next to it.
    pub poll: i8,
    /// When it is asked next.
    pub next_query: Instant,
    /// When the last query left, and how that is known.
    pub sent: Stamp,
    /// What its last usable reply said.
    pub remote: Option<Remote>,
    /// When that came, and how that is known.
    pub received: Stamp,
    /// What it says of free-running time.
    pub estimate: Option<Estimate>,
    /// What passed.
    pub counters: Counters,
}

impl PeerSnapshot {
    fn new<const KINDS: usize>(associate: &Associate<KINDS>, time: WallTime) -> Self {
        let &Associate { id, ref peer, standing, sent, received, .. } = associate;
        Self {
            id,
            address: peer.address().copied(),
            trust: peer.trust.level(),
            valid: peer.trust.is_valid(),
            reach: peer.trust.reach(),
            standing: candidate(peer, 0, time).err().unwrap_or(standing),
            options: peer.options,
            interval: peer.poll.interval(),
            poll: peer.poll.exponent(),
            next_query: peer.next_query(),
            remote: peer.remote,
            sent,
            received,
            estimate: peer.estimator.estimate(),
            counters: peer.counters,
        }
    }
}

impl<const PEERS: usize, const KINDS: usize, const EXTRAS: bool> Engine<PEERS, KINDS, EXTRAS> {
    /// What can be seen of it.
    #[must_use]
    pub fn snapshot(&self, now: Now) -> Snapshot<'_, KINDS> {
        let offset = self.discipline.offset(now.wall);
        let known = offset.filter(|_| !self.discipline.is_doubtful_at(now));
        Snapshot {
            peers: &self.peers,
            time: self.discipline.free_run(now.wall),
            system: self.system(now),
            leap_source: self.discipline.leaps.source(now.wall),
            tai: self.discipline.leaps.tai(now.wall),
            synced: self.sync.is_synced(),
            offset,
            controlled: self.discipline.is_controlling(),
            held: self.discipline.is_held(),
            discipline: self.discipline.mode(),
            frequency: self.discipline.frequency(),
            skew: self.sync.skew(),
            quality: self.quality(now),
            error_bound: known.and_then(|offset| self.sync.error_bound(now.mono, offset)),
            likely_error: known.and_then(|offset| self.sync.likely_error(now.mono, offset)),
        }
    }

    /// The peers of a [`snapshot`](Self::snapshot), for who wants no more of it.
    #[must_use]
    pub fn peers(&self, now: Now) -> impl ExactSizeIterator<Item = PeerSnapshot> {
        views(&self.peers, self.discipline.free_run(now.wall))
    }

    /// The rate at which the clock is kept.
    #[must_use]
    pub const fn frequency(&self) -> FreqOffset {
        self.discipline.frequency()
    }

    /// Where the peers are asked, if that is known.
    pub fn addresses(&self) -> impl Iterator<Item = (PeerId, Option<SocketAddr>)> {
        self.peers.iter().map(|associate| (associate.id, associate.peer.address().copied()))
    }

    /// By how much the local clock is behind what a peer says.
    #[must_use]
    pub fn peer_offset(&self, peer: &PeerSnapshot, now: Now) -> Option<Span> {
        let free = self.discipline.free_run(now.wall);
        peer.estimate.map(|estimate| estimate.offset_at(free) + (free - now.wall))
    }
}
