//! Datagrams over smoltcp.
//!
//! Decides which socket and port a datagram leaves from and when it came and went; it never looks
//! into one. Each query has a fresh random port (RFC 9109), on a socket per peer; time is served
//! on port 123 of all addresses.
//!
//! # Stamps
//!
//! Frames are polled in one at a time. Their stamps are the device's where it takes any
//! ([`Driver`]). Else a datagram's receive stamp is the counter just before its frame was taken
//! from the device, so it is late by the time from the frame's arrival to that poll: wake the main
//! loop from the device's interrupt; and a query's transmit stamp is the counter just after its
//! frame was given to the device.
//!
//! smoltcp forgets a neighbour after a minute without traffic, and polls are further apart than
//! that: most queries wait for an address resolution. They are stamped when they leave
//! ([`departed`](truechimer_core::hal::DatagramSocket::departed)). An answer that would have to wait is dropped instead, for the
//! time in it would be wrong by then; the next question of the same client finds its address known.

mod addressing;
mod datagrams;
mod dhcp;
mod driver;
mod family;
mod names;
mod storage;
#[cfg(test)]
mod tests;
pub mod w5500;

use core::fmt;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use embedded_time::Clock;
use smoltcp::iface::{Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::dns;
use smoltcp::time::Instant as NetInstant;
use smoltcp::wire::IpAddress;
use truechimer_core::PeerId;
use truechimer_core::units::{Instant, Span};

use crate::clock::SystemClock;
pub use addressing::{Addressing, Ipv4};
pub use datagrams::Error;
pub use dhcp::TimeServers;
pub use driver::{Driver, Unstamped};
pub use names::Addresses;
pub use storage::Buffers;

use self::datagrams::{Departure, PeerSocket};
use self::dhcp::Lease;
pub(crate) use self::dhcp::NewAddress;
use self::names::Names;

/// The port of NTP (RFC 5905 §7.2).
const NTP_PORT: u16 = 123;
/// Sockets on which time is served.
const LISTENERS: usize = cfg!(feature = "server") as usize;
/// Sockets besides the peers': for DHCP, DNS and, under the feature `server`, for serving time.
pub const OTHER_SOCKETS: usize = 2 + LISTENERS;
/// Between two looks whether there is a link.
const LINK_INTERVAL: Span = Span::from_secs(1);
/// When what could not be done is tried again.
const RETRY: Span = Span::from_secs(1);
const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// The storage that was given has fewer than `PEERS` + [`OTHER_SOCKETS`] free places for sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFewSockets;

/// The network of one host: an interface, its device and the sockets for `PEERS` peers and for
/// serving time.
pub struct Stack<'a, D, C, const PEERS: usize> {
    /// Addresses and routes may be changed at any time.
    pub interface: Interface,
    device: D,
    sockets: SocketSet<'a>,
    peers: [PeerSocket; PEERS],
    listeners: [SocketHandle; LISTENERS],
    /// The address of ours that the last question came to.
    asked: Option<IpAddress>,
    /// The last batch ended before the frames did.
    backlog: bool,
    dhcp: Option<SocketHandle>,
    names: Names<PEERS>,
    /// Whom DHCP is silent about.
    resolver: Option<IpAddress>,
    link: Link,
    /// When all that was due then was done, as far as it could be.
    polled: Option<Instant>,
    /// When routers had advertised something new last, as smoltcp has it.
    advertised: NetInstant,
    clock: &'a SystemClock<C>,
    rng: ChaCha8Rng,
}

/// Whether there is one, as it was found, and when to look again.
#[derive(Debug)]
struct Link {
    is_up: bool,
    /// That is yet to be told.
    is_new: bool,
    due: Instant,
}

/// What the network has come to know.
#[derive(Debug)]
pub(crate) enum Change {
    /// Who could not be reached may be now, by either family.
    Reachable { ipv4: bool, ipv6: bool },
    /// DHCP has named these servers of time, with another address or the same.
    Leased(TimeServers, NewAddress),
    /// A name has these addresses.
    Resolved(PeerId, Addresses),
}

/// Two seeds of one: who knows one of them knows nothing of the other.
#[must_use]
pub fn fork_seed(seed: [u8; 32]) -> [[u8; 32]; 2] {
    let mut rng = ChaCha8Rng::from_seed(seed);
    [draw(&mut rng), draw(&mut rng)]
}

#[inline(never)]
fn draw(rng: &mut ChaCha8Rng) -> [u8; 32] {
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    seed
}

impl<'a, D: Driver, C: Clock<T: Into<u64>>, const PEERS: usize> Stack<'a, D, C, PEERS> {
    /// Opens the sockets, `PEERS` + [`OTHER_SOCKETS`] of them, in `storage`. `seed` must be
    /// unpredictable to whoever can send datagrams here.
    ///
    /// # Errors
    /// `storage` is too short.
    #[inline(never)]
    pub fn new(
        mut device: D,
        addressing: &Addressing,
        storage: &'a mut [SocketStorage<'a>],
        buffers: &'a mut Buffers<PEERS>,
        clock: &'a SystemClock<C>,
        seed: [u8; 32],
    ) -> Result<Self, TooFewSockets> {
        let places = storage.len();
        let mut sockets = SocketSet::new(storage);
        if places.saturating_sub(sockets.iter().count()) < PEERS + OTHER_SOCKETS {
            return Err(TooFewSockets);
        }
        let Buffers { peers, listeners, lease, question } = buffers;
        let peers = peers.each_mut().map(|buffer| PeerSocket {
            id: PeerId(0),
            handle: sockets.add(buffer.socket()),
            departure: Departure::Told,
            served_at: None,
        });
        let listeners = listeners.each_mut().map(|buffer| sockets.add(buffer.socket()));
        let names = Names::new(sockets.add(dns::Socket::new(&[], &mut question[..])));
        names.ask_at(&mut sockets, addressing.resolver);
        let dhcp = (addressing.ipv4 == Ipv4::Dhcp).then(|| sockets.add(dhcp::socket(lease)));
        let mut rng = ChaCha8Rng::from_seed(seed);
        let interface = addressing.interface(&mut device, rng.next_u64());
        let mut stack = Self {
            interface,
            device,
            sockets,
            peers,
            listeners,
            asked: None,
            backlog: false,
            dhcp,
            names,
            resolver: addressing.resolver,
            link: Link { is_up: false, is_new: false, due: Instant::default() },
            polled: None,
            advertised: NetInstant::ZERO,
            clock,
            rng,
        };
        stack.listeners = listeners.map(|listener| stack.reopen(listener, NTP_PORT));
        Ok(stack)
    }

    /// When it is to be polled again even if no frame comes.
    pub fn poll_at(&mut self) -> Option<Instant> {
        let now = self.clock.mono();
        if self.backlog {
            return Some(now);
        }
        let interface = self.interface.poll_at(to_net(now), &self.sockets).map(from_net);
        // What was due before it was polled could not be done: the device has no room or no link;
        // and smoltcp 0.14 would solicit routers for ever that have not answered thrice.
        let interface = interface.filter(|_| self.link.is_up).map(|at| match self.polled {
            Some(polled) if at <= polled => polled + RETRY,
            _ => at,
        });
        interface.into_iter().chain([self.link.due]).min()
    }

    /// Whether addresses come from a DHCP server.
    pub(crate) const fn has_dhcp(&self) -> bool {
        self.dhcp.is_some()
    }

    /// Orders the addresses of a name; they come as a [`Change`].
    pub(crate) fn look_up(&mut self, peer: PeerId, name: &'static str) {
        self.names.look_up(peer, name);
    }

    /// What has changed since; to be called until nothing has.
    pub(crate) fn change(&mut self) -> Option<Change> {
        if core::mem::take(&mut self.link.is_new) {
            return Some(Change::Reachable { ipv4: self.dhcp.is_none(), ipv6: true });
        }
        let lease =
            self.dhcp.and_then(|dhcp| dhcp::poll(dhcp, &mut self.sockets, &mut self.interface));
        if let Some(Lease::Granted { resolver, servers, new_address }) = lease {
            self.names.ask_at(&mut self.sockets, resolver.or(self.resolver));
            return Some(Change::Leased(servers, new_address));
        }
        let advertised = family::advertised(&self.interface);
        if advertised != self.advertised {
            self.advertised = advertised;
            return Some(Change::Reachable { ipv4: false, ipv6: true });
        }
        let resolved = self.names.poll(&mut self.sockets, &mut self.interface);
        if self.names.is_asking() {
            self.polled = None;
        }
        let (peer, addresses) = resolved?;
        Some(Change::Resolved(peer, addresses))
    }

    /// Looks whether there is a link, if that is due. A new one may lead to another network.
    fn look_at_link(&mut self) {
        let now = self.clock.mono();
        if now < self.link.due {
            return;
        }
        let found = self.device.has_link();
        let is_up = found.unwrap_or(true);
        let is_new = is_up && !self.link.is_up;
        let due = found.map_or(NEVER, |_| now + LINK_INTERVAL);
        self.link = Link { is_up, is_new: is_new || self.link.is_new, due };
        if let Some(dhcp) = self.dhcp.filter(|_| is_new) {
            dhcp::restart(dhcp, &mut self.sockets);
            self.polled = None;
        }
    }

    pub(crate) fn clock(&self) -> &'a SystemClock<C> {
        self.clock
    }

    /// A seed that shares nothing with what the ports are made of.
    pub(crate) fn fork_seed(&mut self) -> [u8; 32] {
        draw(&mut self.rng)
    }
}

impl<D, C, const PEERS: usize> fmt::Debug for Stack<'_, D, C, PEERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").field("peers", &self.peers).finish_non_exhaustive()
    }
}

/// smoltcp counts microseconds; rounded down, so that what it waits for is due when it comes.
fn to_net(at: Instant) -> NetInstant {
    NetInstant::from_micros(i64::try_from(at.as_nanos() / 1_000).unwrap_or(i64::MAX))
}

fn from_net(at: NetInstant) -> Instant {
    Instant::default() + Span::from_micros(at.total_micros())
}
