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
//! ([`DatagramSocket::departed`]). An answer that would have to wait is dropped instead, for the
//! time in it would be wrong by then; the next question of the same client finds its address known.

mod addressing;
mod dhcp;
mod driver;
mod family;
mod names;
mod storage;
#[cfg(test)]
mod tests;
pub mod w5500;

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use embedded_time::Clock;
use smoltcp::iface::{Interface, PollIngressSingleResult, SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::{Socket, dns, udp};
use smoltcp::time::Instant as NetInstant;
use smoltcp::wire::IpAddress;
use truechimer_core::PeerId;
use truechimer_core::hal::{Channel, DatagramSocket, RawStamp, Received};
use truechimer_core::units::{Instant, Span};

use crate::clock::SystemClock;
pub use addressing::{Addressing, Ipv4};
pub use dhcp::TimeServers;
pub use driver::{Driver, Unstamped};
pub use names::Addresses;
pub use storage::Buffers;

use self::dhcp::Lease;
pub(crate) use self::dhcp::NewAddress;
use self::names::Names;

/// The port of NTP (RFC 5905 §7.2).
const NTP_PORT: u16 = 123;
/// Queries leave from this port on: the dynamic ones (RFC 6335 §6).
const FIRST_DYNAMIC_PORT: u16 = 0xC000;
/// Sockets on which time is served.
const LISTENERS: usize = cfg!(feature = "server") as usize;
/// Sockets besides the peers': for DHCP, DNS and, under the feature `server`, for serving time.
pub const OTHER_SOCKETS: usize = 2 + LISTENERS;
/// Between two looks whether there is a link.
const LINK_INTERVAL: Span = Span::from_secs(1);
/// When what could not be done is tried again.
const RETRY: Span = Span::from_secs(1);
const NEVER: Instant = Instant::from_nanos(u64::MAX);
/// Frames polled in before others have their turn, so that a flood does not hold them up.
const BATCH: usize = 32;

/// Why a datagram was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Error {
    /// There is no socket for this peer.
    NoSocket,
    /// It cannot be sent to this address, or not from any of ours.
    Unaddressable,
    /// It is longer than [`Buffers`] hold.
    TooLong,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSocket => "no socket for this peer",
            Self::Unaddressable => "unaddressable",
            Self::TooLong => "datagram too long",
        })
    }
}

impl core::error::Error for Error {}

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

#[derive(Debug)]
struct PeerSocket {
    /// Whose query it was that left last.
    id: PeerId,
    handle: SocketHandle,
    departure: Departure,
    /// The address that its query left from.
    served_at: Option<IpAddr>,
}

/// Whether others may ask this host: who serves nobody is followed by nobody.
const SERVES: bool = cfg!(feature = "server");

/// What became of a peer's query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Departure {
    /// All that is to be said was said.
    Told,
    Waiting,
    Left(Instant),
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

    /// Where a peer's socket is, which the next peer of that place takes over.
    fn place(peer: PeerId) -> usize {
        usize::from(peer.0).checked_rem(PEERS).unwrap_or_default()
    }

    /// Binds an emptied socket to `port`. In the set it becomes a new one, which no neighbour
    /// keeps waiting.
    fn reopen(&mut self, handle: SocketHandle, port: u16) -> SocketHandle {
        #[allow(irrefutable_let_patterns, reason = "a board may turn on other kinds of sockets")]
        let Socket::Udp(mut socket) = self.sockets.remove(handle) else { return handle };
        socket.close();
        // It is closed, and the port is not zero.
        let _ = socket.bind(port);
        self.sockets.add(socket)
    }

    /// A random port that no UDP socket here has.
    fn free_port(&mut self) -> u16 {
        loop {
            let port = FIRST_DYNAMIC_PORT | self.rng.next_u32() as u16;
            let taken = self.sockets.iter().any(
                |(_, socket)| matches!(socket, Socket::Udp(udp) if udp.endpoint().port == port),
            );
            if !taken {
                return port;
            }
        }
    }

    fn send(
        &mut self,
        handle: SocketHandle,
        to: SocketAddr,
        from: Option<IpAddress>,
        id: u32,
        datagram: &[u8],
    ) -> Result<(), Error> {
        let to = family::endpoint(to).ok_or(Error::Unaddressable)?;
        let mut meta = udp::UdpMetadata::from(to);
        meta.meta.id = id;
        if self.interface.get_source_address(&meta.endpoint.addr).is_none() {
            return Err(Error::Unaddressable);
        }
        meta.local_address = from;
        let socket = self.sockets.get_mut::<udp::Socket>(handle);
        socket.send_slice(datagram, meta).map_err(|error| match error {
            udp::SendError::Unaddressable => Error::Unaddressable,
            udp::SendError::BufferFull => Error::TooLong,
        })
    }

    /// Gives the device what waits, and notes which queries left.
    fn egress(&mut self) {
        let timestamp = to_net(self.clock.mono());
        self.interface.poll_egress(timestamp, &mut self.device, &mut self.sockets);
        while let Some((id, at)) = self.device.departed() {
            let place = id.checked_sub(1).map(|place| place as usize);
            let peer = place.and_then(|place| self.peers.get_mut(place));
            if let Some(peer) = peer.filter(|peer| peer.departure == Departure::Waiting) {
                peer.departure = Departure::Left(at);
            }
        }
        for peer in &mut self.peers {
            if peer.departure == Departure::Waiting
                && self.sockets.get::<udp::Socket>(peer.handle).send_queue() == 0
            {
                peer.departure = Departure::Left(self.clock.mono());
            }
        }
    }

    /// Takes the datagram of the frame that was polled in at `at`.
    fn take(&mut self, at: Instant, buffer: &mut [u8]) -> Option<Received> {
        let peers = self.peers.iter().map(|peer| (peer.handle, Channel::Peer(peer.id)));
        let listeners = self.listeners.iter().map(|handle| (*handle, Channel::Listener(0)));
        let all = listeners.chain(peers);
        for (handle, channel) in all {
            let Ok((bytes, meta)) = self.sockets.get_mut::<udp::Socket>(handle).recv() else {
                continue;
            };
            if matches!(channel, Channel::Listener(_)) {
                self.asked = meta.local_address;
                // What was sent to many is not answered: the answer could not come from there.
                if !meta.local_address.is_some_and(|local| self.interface.has_ip_addr(local)) {
                    return None;
                }
            }
            let len = bytes.len().min(buffer.len());
            if let (Some(to), Some(from)) = (buffer.get_mut(..len), bytes.get(..len)) {
                to.copy_from_slice(from);
            }
            let stamp = RawStamp::Counter(at);
            return Some(Received { channel, from: meta.endpoint.into(), stamp, len });
        }
        None
    }
}

impl<D: Driver, C: Clock<T: Into<u64>>, const PEERS: usize> DatagramSocket
    for Stack<'_, D, C, PEERS>
{
    type Error = Error;

    fn query(
        &mut self,
        peer: PeerId,
        to: SocketAddr,
        datagram: &[u8],
    ) -> nb::Result<RawStamp, Error> {
        let (id, place) = (peer, Self::place(peer));
        let handle = self.peers.get(place).ok_or(Error::NoSocket)?.handle;
        let port = self.free_port();
        let handle = self.reopen(handle, port);
        let served_at = family::address(to.ip())
            .filter(|_| SERVES)
            .and_then(|to| self.interface.get_source_address(&to))
            .map(IpAddr::from);
        let sent = self.send(handle, to, None, place as u32 + 1, datagram);
        let departure = if sent.is_ok() { Departure::Waiting } else { Departure::Told };
        if let Some(peer) = self.peers.get_mut(place) {
            *peer = PeerSocket { id, handle, departure, served_at };
        }
        sent?;
        self.egress();
        let left = self.peers.get_mut(place).and_then(PeerSocket::departed);
        Ok(RawStamp::Counter(left.unwrap_or_else(|| self.clock.mono())))
    }

    fn departed(&mut self) -> Option<(PeerId, RawStamp)> {
        self.peers
            .iter_mut()
            .find_map(|peer| peer.departed().map(|at| (peer.id, RawStamp::Counter(at))))
    }

    fn served_at(&self, peer: PeerId) -> Option<IpAddr> {
        self.peers.get(Self::place(peer)).filter(|_| SERVES)?.served_at
    }

    fn reply(&mut self, place: u16, to: SocketAddr, datagram: &[u8]) -> nb::Result<(), Error> {
        let place = usize::from(place);
        let listener = *self.listeners.get(place).ok_or(Error::NoSocket)?;
        self.send(listener, to, self.asked, 0, datagram)?;
        self.egress();
        if self.sockets.get::<udp::Socket>(listener).send_queue() > 0 {
            let reopened = self.reopen(listener, NTP_PORT);
            self.listeners.iter_mut().skip(place).take(1).for_each(|one| *one = reopened);
            return Err(nb::Error::WouldBlock);
        }
        Ok(())
    }

    #[inline(never)]
    fn receive(&mut self, buffer: &mut [u8]) -> nb::Result<Received, Error> {
        self.backlog = false;
        self.look_at_link();
        self.interface.poll_maintenance(to_net(self.clock.mono()));
        for _ in 0..BATCH {
            let at = self.clock.mono();
            let polled =
                self.interface.poll_ingress_single(to_net(at), &mut self.device, &mut self.sockets);
            let at = self.device.arrived().unwrap_or(at);
            if let Some(received) = self.take(at, buffer) {
                return Ok(received);
            }
            // The frame may have brought the address that a query waits for.
            self.egress();
            if polled == PollIngressSingleResult::None {
                // smoltcp counts microseconds.
                self.polled = Some(from_net(to_net(at)));
                return Err(nb::Error::WouldBlock);
            }
        }
        self.backlog = true;
        Err(nb::Error::WouldBlock)
    }
}

impl PeerSocket {
    /// When the query left, told once.
    fn departed(&mut self) -> Option<Instant> {
        let Departure::Left(at) = self.departure else { return None };
        self.departure = Departure::Told;
        Some(at)
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
