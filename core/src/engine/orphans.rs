//! Hosts that have lost all sources and ask each other: which of them the others follow.
//!
//! In orphan mode ([`Orphan`](crate::server::Orphan)) several hosts of a network serve at the same stratum. If
//! each followed the others they would chase each other, and if none did they would drift apart.
//! As chrony decides it, the one whose address is least is followed by all others.

use heapless::Vec;

use super::Engine;
use super::roster::slot;
use crate::peer::Peer;
use crate::select::{Candidate, Standing};
use crate::wire::ReferenceId;

/// Whom to follow; the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Source,
    Orphan([u8; 4]),
}

/// None if it is to follow this host, or another orphan.
fn rank<const KINDS: usize>(peer: &Peer<KINDS>, orphan_stratum: u8) -> Option<Rank> {
    let stratum = peer.remote?.header.stratum;
    if stratum < orphan_stratum {
        return Some(Rank::Source);
    }
    let (its, own) = (ReferenceId::from_addr(peer.address()?.ip()), peer.own_id()?);
    let precedes = stratum == orphan_stratum && its.to_bytes() < own.to_bytes();
    precedes.then_some(Rank::Orphan(its.to_bytes()))
}

impl<const PEERS: usize, const KINDS: usize, const EXTRAS: bool> Engine<PEERS, KINDS, EXTRAS> {
    /// Leaves one orphan of those that come before this host, if nobody else is there.
    pub(super) fn sort_out_orphans(&mut self, candidates: &mut Vec<Candidate, PEERS>) {
        let Some(stratum) = self.orphan_stratum else { return };
        let rank = |candidate: &Candidate| {
            let its = |one: &&super::Associate<KINDS>| slot::<PEERS>(one.id) == candidate.index;
            rank(&self.peers.iter().find(its)?.peer, stratum)
        };
        let first = candidates.iter().filter_map(rank).min();
        candidates.retain(|candidate| first.is_some() && rank(candidate) == first);
        for associate in &mut self.peers {
            if associate.peer.remote.is_some_and(|remote| remote.header.stratum >= stratum) {
                associate.standing = Standing::Orphan;
            }
        }
    }
}
