//! The peers' names.

use truechimer_core::PeerId;
use truechimer_core::config::PeerConfig;

use crate::config::{Config, Server};
use crate::resolver::Question;

/// The peers, by their ids.
#[derive(Debug, Default)]
pub(super) struct Names {
    entries: Vec<(PeerId, Entry)>,
}

/// A peer: a server, or one member of a pool.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    name: String,
    port: u16,
    pub(super) config: PeerConfig,
    /// By the operator, not by the configuration.
    pub(super) added: bool,
}

impl Entry {
    /// A peer for each server, and as many for each pool as it may have members.
    pub(super) fn all(config: &Config) -> impl Iterator<Item = Self> {
        let servers = config.servers.iter().map(Self::server);
        let members = config.pools.iter().flat_map(|pool| {
            let member = Self { config: pool.peer_config(), ..Self::server(&pool.server) };
            std::iter::repeat_n(member, pool.count.into())
        });
        servers.chain(members)
    }

    pub(super) fn server(server: &Server) -> Self {
        let (name, config) = (server.address.to_string(), server.peer_config());
        Self { name, port: server.port, config, added: false }
    }

    /// Whether it is asked at the same place for the same reason, however it is asked.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.name, self.port, self.config.pool) == (&other.name, other.port, other.config.pool)
    }

    pub(super) fn is_at(&self, server: &Server) -> bool {
        (self.name.as_str(), self.port) == (server.address.to_string().as_str(), server.port)
    }

    pub(super) fn is_in(&self, config: &Config) -> bool {
        Self::all(config).any(|other| self.is_same(&other))
    }
}

impl Names {
    pub(super) fn add(&mut self, id: PeerId, entry: Entry) {
        self.entries.push((id, entry));
    }

    pub(super) fn remove(&mut self, id: PeerId) {
        self.entries.retain(|(other, _)| *other != id);
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PeerId, &mut Entry)> {
        self.entries.iter_mut().map(|(id, entry)| (*id, entry))
    }

    /// Those that the operator added.
    pub(super) fn added(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|(_, entry)| entry).filter(|entry| entry.added)
    }

    fn get(&self, peer: PeerId) -> Option<&Entry> {
        self.entries.iter().find(|(id, _)| *id == peer).map(|(_, entry)| entry)
    }

    pub(super) fn name(&self, peer: PeerId) -> &str {
        self.get(peer).map_or("?", |entry| &entry.name)
    }

    pub(super) fn is_pool(&self, peer: PeerId) -> bool {
        self.get(peer).is_some_and(|entry| entry.config.pool)
    }

    pub(super) fn has(&self, peer: PeerId) -> bool {
        self.get(peer).is_some()
    }

    /// What is to be asked for a peer, with its number.
    pub(super) fn question(&self, peer: PeerId) -> Option<Question> {
        let Entry { name, port, .. } = self.get(peer)?;
        Some(Question { id: peer.0, name: name.as_str().try_into().ok()?, port: *port })
    }

    /// Whether a peer has its addresses from the answer to a question, maybe another's.
    pub(super) fn is_answered_by(&self, peer: PeerId, question: &Question) -> bool {
        let entry = self.get(peer);
        entry.is_some_and(|entry| entry.name == *question.name && entry.port == question.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_pool_share_its_answer() {
        let text =
            "[[server]]\naddress = \"192.0.2.1\"\n[[pool]]\naddress = \"localhost\"\ncount = 3\n";
        let mut names = Names::default();
        for (place, entry) in Entry::all(&Config::parse(text, "test").unwrap()).enumerate() {
            names.add(PeerId(place as u16), entry);
        }
        assert_eq!(names.entries.len(), 4);
        assert_eq!((names.name(PeerId(0)), names.name(PeerId(3))), ("192.0.2.1", "localhost"));
        let question = names.question(PeerId(1)).unwrap();
        assert!(names.is_answered_by(PeerId(3), &question));
        assert!(!names.is_answered_by(PeerId(0), &question));
    }
}
