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

    /// The addresses of a peer's name. A pool's member gets one that is not `taken`.
    pub(super) fn resolve(
        &self,
        peer: PeerId,
        taken: &[SocketAddr],
    ) -> io::Result<Vec<SocketAddr>> {
        let Some(entry) = self.entries.get(usize::from(peer.0)) else { return Ok(Vec::new()) };
        let addresses = (entry.name.as_str(), entry.port).to_socket_addrs()?;
        Ok(if entry.config.pool {
            addresses.filter(|address| !taken.contains(address)).take(1).collect()
        } else {
            addresses.collect()
        })
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
        let mut taken = Vec::new();
        for member in 1..4 {
            let found = names.resolve(PeerId(member), &taken).unwrap();
            assert!(found.len() <= 1 && found.iter().all(|address| address.ip().is_loopback()));
            assert!(found.iter().all(|address| !taken.contains(address)));
            taken.extend(found);
        }
        assert!((1..=2).contains(&taken.len()), "{taken:?}");
    }
}
