//! Peers that come, go and change while the engine runs.
//!
//! A peer's id is never that of one that left a while ago: what arrives late for that one finds
//! nobody. What others have learned stays as it is.

use super::{Associate, Engine, STAGGER};
use crate::config::{Config, PeerConfig};
use crate::event::Event;
use crate::holdover::KnownFrequency;
use crate::io::Stamp;
use crate::peer::{Peer, PeerId};
use crate::select::Standing;
use crate::units::Now;

/// The table of peers is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyPeers;

impl<const PEERS: usize, const KINDS: usize, const EXTRAS: bool> Engine<PEERS, KINDS, EXTRAS> {
    /// Adds a peer, which is asked at once, or a little later if others were just added.
    ///
    /// # Errors
    /// There are `PEERS` already.
    pub fn add_peer(&mut self, now: Now, config: &PeerConfig) -> Result<PeerId, TooManyPeers> {
        let is_free = |place: &usize| self.peers.iter().all(|one| slot::<PEERS>(one.id) != *place);
        let free = (0..PEERS).find(is_free).ok_or(TooManyPeers)?;
        let id = PeerId((usize::from(self.generation) * PEERS + free) as u16);
        let untried = self.peers.iter().filter(|one| one.peer.is_untried()).count();
        let first_query = now.mono + STAGGER.times(untried as i64);
        let frequency = self.discipline.frequency();
        let known = match self.discipline.is_untouched() {
            true => KnownFrequency { frequency, deviation: self.frequency_deviation },
            false => KnownFrequency::about(frequency),
        };
        let config = PeerConfig { pool: EXTRAS && config.pool, ..*config };
        // Known here, the compiler need not make what would be handed back.
        if self.peers.len() >= PEERS {
            return Err(TooManyPeers);
        }
        let _ = self.peers.push(Associate {
            id,
            peer: Peer::new(&config, first_query, known, self.packets),
            standing: Standing::Waiting,
            sent: Stamp::default(),
            received: Stamp::default(),
            unconfirmed: false,
        });
        self.take_address(now, id);
        Ok(id)
    }

    /// Removes a peer. The shell closes the socket of its query. What the clock follows because of
    /// it stays believed, ever less, until another source has spoken.
    pub fn remove_peer(&mut self, id: PeerId) {
        let Some(place) = self.peers.iter().position(|one| one.id == id) else { return };
        let was_valid = self.peers.get(place).is_some_and(|one| one.peer.trust.is_valid());
        self.peers.retain(|one| one.id != id);
        let generations = (1_usize << 16).checked_div(PEERS).unwrap_or_default();
        self.generation =
            (usize::from(self.generation) + 1).checked_rem(generations).unwrap_or(0) as u16;
        self.selection.remove(slot::<PEERS>(id));
        self.report.removed(place);
        if was_valid {
            self.count_valid();
        }
    }

    /// Asks a peer otherwise from now on: its poll limits, its burst, its options. Its address stays,
    /// and all that is known of it.
    pub fn set_peer(&mut self, now: Now, id: PeerId, config: &PeerConfig) {
        if let Some(peer) = self.peer_mut(id) {
            peer.configure(config, now.mono);
        }
    }

    /// Asks a peer no longer while it is not to be `online`; what it said stays believed, ever less.
    pub fn set_online(&mut self, now: Now, id: PeerId, online: bool) {
        if let Some(peer) = self.peer_mut(id) {
            peer.set_online(online, now.mono);
        }
    }

    /// Asks a peer at once, and as often as at the start for a while. One that is not online or is left
    /// alone for what it said stays so.
    pub fn burst(&mut self, now: Now, id: PeerId) {
        if let Some(peer) = self.peer_mut(id) {
            peer.burst(now.mono);
        }
    }

    /// Behaves otherwise from now on: thresholds, limits, `packets`, `min_sources`,
    /// `local_stratum`, `orphan_stratum`. What belongs to the clock (`control`, `frequency`,
    /// `precision`, `counter`) stays. Corrections made so far count for `step_limit`.
    pub fn configure(&mut self, config: &Config) {
        self.selection.set_min_sources(config.min_sources);
        self.discipline.configure(config);
        self.sync.configure(config);
        self.packets = config.packets;
        self.orphan_stratum = config.orphan_stratum;
        for associate in &mut self.peers {
            associate.peer.poll.set_packets(config.packets);
        }
    }

    pub(super) fn count_valid(&mut self) {
        let valid = self.peers.iter().filter(|one| one.peer.trust.is_valid()).count() as u16;
        self.event(Event::PeersValid { valid, all: self.peers.len() as u16 });
    }
}

/// Where selection has what it knows of a peer, below `PEERS`.
pub(super) fn slot<const PEERS: usize>(id: PeerId) -> usize {
    usize::from(id.0).checked_rem(PEERS).unwrap_or_default()
}
