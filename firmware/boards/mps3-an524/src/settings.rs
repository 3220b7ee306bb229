//! What a product would keep in its flash: words `name=value` of the command line.

use core::net::SocketAddr;

use heapless::Vec;
use smoltcp::wire::{Ipv4Address, Ipv4Cidr};
use truechimer_core::config::PeerConfig;

use crate::{PEERS, host};

pub struct Settings {
    /// `address=`: of the interface, with the length of its prefix.
    pub address: Ipv4Cidr,
    /// `peer=`, more than once: address and port of a server.
    pub peers: Vec<PeerConfig, PEERS>,
}

impl Settings {
    pub fn read() -> Self {
        let mut buffer = [0; 256];
        let user_network = Ipv4Cidr::new(Ipv4Address::new(10, 0, 2, 15), 24);
        let mut settings = Self { address: user_network, peers: Vec::new() };
        for word in host::arguments(&mut buffer).split_whitespace() {
            if settings.take(word).is_none() {
                defmt::warn!("not understood: {=str}", word);
            }
        }
        settings
    }

    fn take(&mut self, word: &str) -> Option<()> {
        match word.split_once('=')? {
            ("address", address) => {
                self.address = address.parse().ok()?;
            }
            ("peer", address) => {
                let address: SocketAddr = address.parse().ok()?;
                let peer =
                    PeerConfig { address: Some(address), min_poll: 4, ..PeerConfig::default() };
                self.peers.push(peer).ok()?;
            }
            _ => return None,
        }
        Some(())
    }
}
