//! Which servers are asked.
//!
//! Decides that the ones that were chosen are asked always, the ones that DHCP names as long as it
//! does, and others only while it names none.

use core::net::{IpAddr, SocketAddr};

use heapless::Vec;
use truechimer_core::PeerId;
use truechimer_core::config::PeerConfig;
use truechimer_core::units::{Instant, Span};

use crate::net::TimeServers;

/// How long DHCP may take before the servers are asked that are there for its silence.
const PATIENCE: Span = Span::from_secs(15);
/// What the log calls a server that DHCP named.
const NAMED: &str = "server named by DHCP";
/// The port of NTP (RFC 5905 §7.2).
pub(crate) const NTP_PORT: u16 = 123;

/// Why a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Chosen,
    Fallback,
    Named,
}

/// A server that is asked.
#[derive(Debug, Clone, Copy)]
struct Entry {
    id: PeerId,
    name: &'static str,
    address: Option<SocketAddr>,
    reason: Reason,
}

/// What is to become of the engine's peers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Order {
    Add(Candidate),
    Remove(PeerId),
}

/// A server that may be asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) name: &'static str,
    pub(crate) config: PeerConfig,
    reason: Reason,
}

impl Candidate {
    pub(crate) const fn chosen(name: &'static str, config: PeerConfig) -> Self {
        Self { name, config, reason: Reason::Chosen }
    }
}

/// The servers of one host.
#[derive(Debug)]
pub(crate) struct Servers<const PEERS: usize> {
    asked: Vec<Entry, PEERS>,
    fallback: Vec<(&'static str, PeerConfig), PEERS>,
    /// What DHCP says; `None` before it has said anything.
    named: Option<TimeServers>,
    /// When its silence counts as naming none.
    patience: Option<Instant>,
}

impl<const PEERS: usize> Servers<PEERS> {
    /// Waits for DHCP if there is one.
    pub(crate) fn new(has_dhcp: bool, now: Instant) -> Self {
        let named = (!has_dhcp).then(TimeServers::new);
        let patience = has_dhcp.then(|| now + PATIENCE);
        Self { asked: Vec::new(), fallback: Vec::new(), named, patience }
    }

    /// When [`order`](Self::order) has something to say unasked.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.patience
    }

    /// There is one more to ask while DHCP names none; no more than `PEERS`.
    pub(crate) fn add_fallback(
        &mut self,
        name: &'static str,
        config: PeerConfig,
    ) -> Result<(), PeerConfig> {
        self.fallback.push((name, config)).map_err(|(_, config)| config)
    }

    /// DHCP has named these.
    pub(crate) fn set_named(&mut self, servers: TimeServers) {
        self.named = Some(servers);
        self.patience = None;
    }

    /// What is to be done next, until nothing is. `template` says how servers that DHCP names are
    /// asked.
    pub(crate) fn order(&mut self, now: Instant, template: &PeerConfig) -> Option<Order> {
        if self.patience.take_if(|patience| *patience <= now).is_some() {
            self.named = Some(TimeServers::new());
        }
        let named = self.named.as_ref()?;
        let is_wanted = |entry: &Entry| match entry.reason {
            Reason::Chosen => true,
            Reason::Fallback => named.is_empty(),
            Reason::Named => named.iter().any(|server| is_at(entry, *server)),
        };
        if let Some(place) = self.asked.iter().position(|entry| !is_wanted(entry)) {
            return Some(Order::Remove(self.asked.remove(place).id));
        }
        if self.asked.is_full() {
            return None;
        }
        let is_new =
            |server: &&core::net::Ipv4Addr| !self.asked.iter().any(|entry| is_at(entry, **server));
        if let Some(server) = named.iter().find(is_new) {
            let address = Some(SocketAddr::new(IpAddr::V4(*server), NTP_PORT));
            let config = PeerConfig { address, ..*template };
            return Some(Order::Add(Candidate { name: NAMED, config, reason: Reason::Named }));
        }
        if !named.is_empty() {
            return None;
        }
        let fallback = self.fallback.iter().find(|(name, config)| {
            let is_it = |entry: &Entry| (entry.name, entry.address) == (*name, config.address);
            !self.asked.iter().any(is_it)
        });
        let &(name, config) = fallback?;
        Some(Order::Add(Candidate { name, config, reason: Reason::Fallback }))
    }

    /// The engine asks `candidate` as `id`. There are no more than the engine has places.
    pub(crate) fn asked(&mut self, id: PeerId, candidate: &Candidate) {
        let &Candidate { name, config, reason } = candidate;
        let _ = self.asked.push(Entry { id, name, address: config.address, reason });
    }

    /// What the log calls one.
    pub(crate) fn name(&self, id: PeerId) -> Option<&'static str> {
        self.asked.iter().find(|entry| entry.id == id).map(|entry| entry.name)
    }
}

fn is_at(entry: &Entry, server: core::net::Ipv4Addr) -> bool {
    entry.address.is_some_and(|address| address.ip() == IpAddr::V4(server))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    const FIRST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const SECOND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

    /// Carries out all orders and returns the names and addresses that are asked.
    fn settle(servers: &mut Servers<3>, secs: i64) -> Vec<(&'static str, Option<IpAddr>), 3> {
        let now = Instant::default() + Span::from_secs(secs);
        let mut next = 100;
        while let Some(order) = servers.order(now, &PeerConfig::default()) {
            if let Order::Add(candidate) = order {
                next += 1;
                servers.asked(PeerId(next), &candidate);
            }
            assert!(next < 110, "no end of orders");
        }
        servers.asked.iter().map(|one| (one.name, one.address.map(|it| it.ip()))).collect()
    }

    fn servers(has_dhcp: bool) -> Servers<3> {
        let mut servers = Servers::new(has_dhcp, Instant::default());
        servers.asked(PeerId(0), &Candidate::chosen("chosen", PeerConfig::default()));
        servers.add_fallback("fallback", PeerConfig::default()).unwrap();
        servers
    }

    fn named(addresses: &[Ipv4Addr]) -> TimeServers {
        addresses.iter().copied().collect()
    }

    const CHOSEN: (&str, Option<IpAddr>) = ("chosen", None);
    const FALLBACK: (&str, Option<IpAddr>) = ("fallback", None);

    #[test]
    fn without_dhcp_all_are_asked() {
        let mut servers = servers(false);
        assert_eq!(settle(&mut servers, 0), [CHOSEN, FALLBACK]);
        assert_eq!(servers.deadline(), None);
    }

    #[test]
    fn dhcp_is_waited_for() {
        let mut servers = servers(true);
        assert_eq!(settle(&mut servers, 14), [CHOSEN]);
        assert_eq!(servers.deadline(), Some(Instant::default() + PATIENCE));
        assert_eq!(settle(&mut servers, 15), [CHOSEN, FALLBACK]);
        assert_eq!(servers.deadline(), None);
    }

    #[test]
    fn what_dhcp_names_takes_the_place_of_others() {
        let mut servers = servers(true);
        let _ = settle(&mut servers, 15);
        servers.set_named(named(&[FIRST]));
        let first = (NAMED, Some(FIRST.into()));
        assert_eq!(settle(&mut servers, 16), [CHOSEN, first]);
        servers.set_named(named(&[SECOND, FIRST]));
        assert_eq!(settle(&mut servers, 17), [CHOSEN, first, (NAMED, Some(SECOND.into()))]);
        servers.set_named(named(&[SECOND]));
        assert_eq!(settle(&mut servers, 18), [CHOSEN, (NAMED, Some(SECOND.into()))]);
        servers.set_named(named(&[]));
        assert_eq!(settle(&mut servers, 19), [CHOSEN, FALLBACK]);
    }

    #[test]
    fn more_than_there_is_room_for_are_left_out() {
        let mut servers = servers(true);
        servers.set_named(named(&[FIRST, SECOND, Ipv4Addr::new(192, 0, 2, 3)]));
        assert_eq!(settle(&mut servers, 0).len(), 3);
    }
}
