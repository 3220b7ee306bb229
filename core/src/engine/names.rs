//! Names: what became of a lookup, and who is asked where.
//!
//! No two peers are to be asked at one address, for one server would have two votes. A server that is
//! configured goes before a pool's member, which looks for another address.

use core::net::SocketAddr;

use heapless::Vec;

use super::roster::slot;
use super::{Associate, Engine, find};
use crate::event::Event;
use crate::peer::{DENIED, PeerId};
use crate::units::{Instant, Now, Span};

/// Addresses that are remembered for having been of no use: twice what most pools have.
const REMEMBERED: usize = 8;

/// Between two addresses from before the clock was trusted that are looked up again: the others can
/// be relied on while one is found to be another server.
const CONFIRMATION: Span = Span::from_secs(64);

/// Addresses that members of pools have left because they were of no use, the oldest first, and until
/// when they do not want to be asked.
#[derive(Debug, Default)]
pub(super) struct Left(Vec<(SocketAddr, Instant), REMEMBERED>);

impl Left {
    fn add(&mut self, address: SocketAddr, until: Instant) {
        let known = self.0.iter().position(|(left, _)| *left == address);
        if let Some(place) = known.or(self.0.is_full().then_some(0)) {
            self.0.remove(place);
        }
        // There is room.
        let _ = self.0.push((address, until));
    }
}

impl<const PEERS: usize, const KINDS: usize, const EXTRAS: bool> Engine<PEERS, KINDS, EXTRAS> {
    pub(super) fn handle_resolved(&mut self, now: Now, id: PeerId, found: &[SocketAddr]) {
        let others = self.peers.iter().filter(|one| one.id != id);
        let taken: Vec<SocketAddr, PEERS> =
            others.filter_map(|one| one.peer.address().copied()).collect();
        let Some(Associate { peer, .. }) = find(&mut self.peers, id) else { return };
        let (was_valid, is_bad) = (peer.trust.is_valid(), peer.is_to_be_left());
        let pause = if peer.has_denied() { DENIED } else { Span::ZERO };
        let is_pool = EXTRAS && peer.is_pool();
        let left = if EXTRAS { self.left.0.as_slice() } else { &[] };
        let former = peer.handle_resolved::<EXTRAS>(found, &taken, left, now.mono, &mut self.rng);
        if let Some(former) = former.filter(|_| is_pool && is_bad) {
            self.left.add(former, now.mono + pause);
        }
        if let Some(former) = former.filter(|_| was_valid) {
            self.invalidate(id, former);
        }
        self.take_address(now, id);
    }

    /// A member of a pool that is asked where this server is makes way for it.
    pub(super) fn take_address(&mut self, now: Now, id: PeerId) {
        if !EXTRAS {
            return;
        }
        let Some(peer) = self.peer_mut(id).filter(|peer| !peer.is_pool()) else { return };
        let Some(&address) = peer.address() else { return };
        let is_there = |one: &&mut Associate<KINDS>| {
            one.id != id && one.peer.is_pool() && one.peer.address() == Some(&address)
        };
        let Some(Associate { id, peer, .. }) = self.peers.iter_mut().find(is_there) else { return };
        let (id, was_valid) = (*id, peer.trust.is_valid());
        peer.vacate(now.mono);
        if was_valid {
            self.invalidate(id, address);
        }
    }

    /// The clock has become right for the first time: an answer from before may have been forged,
    /// or refused, because nothing that expires could be judged.
    pub(super) fn confirm_addresses(&mut self, now: Now) {
        let mut at = now.mono;
        for associate in &mut self.peers {
            at = at + CONFIRMATION;
            associate.peer.confirm_address(at);
        }
    }

    fn invalidate(&mut self, id: PeerId, former: SocketAddr) {
        self.selection.forget(slot::<PEERS>(id));
        self.event(Event::PeerInvalid { address: former.ip() });
        self.count_valid();
    }
}
