//! What a product would keep in its flash: words `name=value` of the command line.

use core::net::SocketAddr;

use heapless::Vec;
use smoltcp::wire::{IpAddress, Ipv4Address, Ipv4Cidr};
use truechimer_core::config::PeerConfig;
use truechimer_firmware::net::Ipv4;

use crate::{PEERS, host};

pub struct Settings {
    /// `address=` with the length of its prefix, `router=`; DHCP without them.
    pub ipv4: Ipv4,
    /// `resolver=`: who looks names up.
    pub resolver: Option<IpAddress>,
    /// `store=`: the file that stands for the flash memory.
    pub store: Option<&'static str>,
    /// `peer=`, more than once: a name, or address and port of a server; and how it is asked.
    pub peers: Vec<(&'static str, PeerConfig), PEERS>,
}

impl Settings {
    pub fn read(line: &'static mut [u8; 256]) -> Self {
        let mut settings =
            Self { ipv4: Ipv4::Dhcp, resolver: None, store: None, peers: Vec::new() };
        for word in host::arguments(line).split_whitespace() {
            if settings.take(word).is_none() {
                defmt::warn!("not understood: {=str}", word);
            }
        }
        settings
    }

    fn take(&mut self, word: &'static str) -> Option<()> {
        match word.split_once('=')? {
            ("address", address) => {
                let address: Ipv4Cidr = address.parse().ok()?;
                self.ipv4 = Ipv4::Static { address, router: None };
            }
            ("router", address) => {
                let router: Ipv4Address = address.parse().ok()?;
                let Ipv4::Static { router: known, .. } = &mut self.ipv4 else { return None };
                *known = Some(router);
            }
            ("resolver", address) => self.resolver = Some(address.parse().ok()?),
            ("store", path) => self.store = Some(path),
            ("peer", name) => {
                let address: Option<SocketAddr> = name.parse().ok();
                let peer = PeerConfig { address, min_poll: 4, ..PeerConfig::default() };
                self.peers.push((name, peer)).ok()?;
            }
            _ => return None,
        }
        Some(())
    }
}
