//! The peers' names, and looking them up.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use truechimer_core::PeerId;
use truechimer_core::config::PeerConfig;

use crate::config::{Config, Server, ServerAddress};

/// The configured peers in the order of their ids.
#[derive(Debug)]
pub(super) struct Names {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    port: u16,
    config: PeerConfig,
}

impl Names {
    /// A peer for each server, and as many for each pool as it may have members.
    pub(super) fn new(config: &Config) -> Self {
        let entry = |server: &Server, config| Entry {
            name: match &server.address {
                ServerAddress::Ip(ip) => ip.to_string(),
                ServerAddress::Name(name) => name.clone(),
            },
            port: server.port,
            config,
        };
        let servers = config.servers.iter().map(|server| entry(server, server.peer_config()));
        let members = config
            .pools
            .iter()
            .flat_map(|pool| (0..pool.count).map(move |_| entry(&pool.server, pool.peer_config())));
        Self { entries: servers.chain(members).collect() }
    }

    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = &PeerConfig> {
        self.entries.iter().map(|entry| &entry.config)
    }

    pub(super) fn name(&self, peer: PeerId) -> &str {
        self.entries.get(usize::from(peer.0)).map_or("?", |entry| &entry.name)
    }

    pub(super) fn is_pool(&self, peer: PeerId) -> bool {
        self.entries.get(usize::from(peer.0)).is_some_and(|entry| entry.config.pool)
    }

    /// Whether two peers have their addresses from the same name.
    pub(super) fn share(&self, one: PeerId, other: PeerId) -> bool {
        let key = |peer: PeerId| {
            self.entries.get(usize::from(peer.0)).map(|entry| (&entry.name, entry.port))
        };
        key(one) == key(other)
    }

    /// The addresses of a peer's name.
    pub(super) fn look_up(&self, peer: PeerId) -> io::Result<Vec<SocketAddr>> {
        let Some(entry) = self.entries.get(usize::from(peer.0)) else { return Ok(Vec::new()) };
        Ok((entry.name.as_str(), entry.port).to_socket_addrs()?.collect())
    }

    /// Which of them a peer uses: a pool's member one that is not `taken`, a server all.
    pub(super) fn choose(
        &self,
        peer: PeerId,
        found: &[SocketAddr],
        taken: &[SocketAddr],
    ) -> Vec<SocketAddr> {
        if self.is_pool(peer) {
            found.iter().copied().find(|address| !taken.contains(address)).into_iter().collect()
        } else {
            found.to_vec()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_members_have_addresses_of_their_own() {
        let text =
            "[[server]]\naddress = \"192.0.2.1\"\n[[pool]]\naddress = \"localhost\"\ncount = 3\n";
        let names = Names::new(&Config::parse(text, "test").unwrap());
        assert_eq!(names.count(), 4);
        assert_eq!((names.name(PeerId(0)), names.name(PeerId(3))), ("192.0.2.1", "localhost"));
        assert!(names.share(PeerId(1), PeerId(3)) && !names.share(PeerId(0), PeerId(1)));
        let found = names.look_up(PeerId(1)).unwrap();
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()));
        let found = ["127.0.0.1:123".parse().unwrap(), "127.0.0.2:123".parse().unwrap()];
        let mut taken = Vec::new();
        for member in 1..4 {
            taken.extend(names.choose(PeerId(member), &found, &taken));
        }
        assert_eq!(taken, found, "and none for the third");
        assert_eq!(names.choose(PeerId(0), &found, &taken), found);
    }
}
