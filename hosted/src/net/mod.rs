//! The daemon's UDP sockets: one of its own for each query, and those that time is served on.
//!
//! They are made and used by the plainest calls (`socket` without flags, `MSG_DONTWAIT` instead of
//! non-blocking descriptors), which simulators that replace libc's understand too.

mod asked;
mod listening;
mod message;
#[cfg(target_os = "linux")]
mod of_card;
mod stamping;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use truechimer_core::PeerId;
use truechimer_core::event::Event;
use truechimer_core::hal::{Channel, DatagramSocket, RawStamp, Received};
use truechimer_core::server::Histogram;
use truechimer_core::units::WallTime;

use self::asked::{Asked, query_socket};
use self::listening::{Listener, Shared};
use self::message::{Local, Receiver};
pub(crate) use self::stamping::Stamping;
use crate::clock::realtime;
use crate::phc::Hardware;
use crate::sys::fault::{Call, fault};

/// `IPTOS_LOWDELAY` of the type of service.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
const LOWDELAY: i32 = 0x10;

/// All of them.
#[derive(Debug, Default)]
pub struct Sockets {
    queries: BTreeMap<PeerId, Asked>,
    listeners: Vec<Listener>,
    shared: Vec<Shared>,
    receiver: Receiver,
    /// Those that poll(2) said to have something.
    ready: VecDeque<Channel>,
    /// Where the last datagram came in, from where its answer is to leave.
    local: Option<Local>,
    /// When it came in, if the kernel said so.
    arrived: Option<WallTime>,
    /// From then to when the answer had left.
    latency: Histogram,
    /// When queries left, as the kernel told later.
    departures: VecDeque<(PeerId, RawStamp)>,
    /// Stamps packets too.
    hardware: Hardware,
    failures: Vec<Event<'static>>,
    /// The error that a peer's queries had last, which is told once.
    told: BTreeMap<PeerId, Errno>,
}

/// Why a query could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Its socket could not be created or connected.
    #[error("cannot open a socket for a query: {0}")]
    Open(Errno),
    /// Nothing could be sent on it.
    #[error("cannot send: {0}")]
    Send(Errno),
    /// There is no such listener.
    #[error("there is no such listener")]
    NoListener,
}

impl Sockets {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where time is served.
    pub fn listening(&self) -> impl Iterator<Item = SocketAddr> {
        let own = self.listeners.iter().filter_map(|listener| listener.socket.local_addr().ok());
        own.chain(self.shared.iter().map(|shared| shared.address))
    }

    /// From when the requests came in that this thread answered to when the answers had left.
    #[must_use]
    pub const fn latency(&self) -> &Histogram {
        &self.latency
    }

    /// From now on others are counted.
    pub fn forget_latency(&mut self) {
        self.latency = Histogram::default();
    }

    /// Every socket, for poll(2).
    pub fn descriptors(&self) -> impl Iterator<Item = (Channel, BorrowedFd<'_>)> {
        let queries =
            self.queries.iter().map(|(peer, asked)| (Channel::Peer(*peer), asked.socket.as_fd()));
        let listeners = self.listeners.iter().enumerate();
        queries.chain(
            listeners.map(|(place, one)| (Channel::Listener(place as u16), one.socket.as_fd())),
        )
    }

    /// Something arrived there.
    pub fn set_ready(&mut self, channel: Channel) {
        if !self.ready.contains(&channel) {
            self.ready.push_back(channel);
        }
    }

    /// The error that a query's socket has to tell, mostly of an ICMP message; reading it clears
    /// it.
    #[must_use]
    pub fn error(&self, peer: PeerId) -> Option<io::Error> {
        self.queries.get(&peer)?.socket.take_error().ok()?
    }

    /// How the kernel stamps a peer's last query and what answers it.
    pub(crate) fn stamping(&self, peer: PeerId) -> Stamping {
        self.queries.get(&peer).map(|asked| asked.stamping).unwrap_or_default()
    }

    /// From now on cards stamp too.
    pub(crate) fn set_hardware(&mut self, hardware: Hardware) {
        self.hardware = hardware;
    }

    /// How many stamps of a card were not believed of what a peer was sent and sent.
    pub(crate) fn disbelieved(&self, peer: PeerId) -> u64 {
        self.queries.get(&peer).map_or(0, |asked| asked.disbelieved)
    }

    /// Closes the socket of the last query of a peer that is asked no longer.
    pub fn close_query(&mut self, peer: PeerId) {
        self.forget_query(peer);
        self.told.remove(&peer);
    }

    fn look_for_departure(&mut self, peer: PeerId, is_due: impl Fn(&Asked) -> bool) {
        let asked = self.queries.get_mut(&peer).filter(|asked| is_due(asked));
        let Some(asked) = asked else { return };
        let left = asked.departed(&mut self.hardware);
        self.departures.extend(left.map(|stamp| (peer, stamp)));
    }

    fn forget_query(&mut self, peer: PeerId) {
        self.queries.remove(&peer);
        self.departures.retain(|(departed, _)| *departed != peer);
    }

    /// Where a server may ask this host that is asked through `socket`: there too if time is served
    /// on every address of the family, or else at the first one on which it is.
    fn address_for(&self, socket: &UdpSocket, server: SocketAddr) -> Option<IpAddr> {
        let own = self.listeners.iter().map(|listener| listener.address.ip());
        let served = own.chain(self.shared.iter().map(|shared| shared.address.ip()));
        let mut family = served.filter(|ip| ip.is_ipv4() == server.is_ipv4());
        if family.clone().any(|ip| ip.is_unspecified()) {
            return socket.local_addr().ok().map(|local| local.ip());
        }
        family.next()
    }

    /// What a listener has to tell is of somebody that it answered, who is not named: `address` is
    /// its own.
    fn failed(&mut self, channel: Channel, address: IpAddr, error: Errno) {
        match channel {
            Channel::Peer(peer) if self.told.insert(peer, error) == Some(error) => {}
            Channel::Peer(_) => {
                self.failures.push(Event::Recvmsg { address, error: error.desc() });
            }
            Channel::Listener(_) => self.failures.push(Event::Recvfrom { address }),
        }
    }

    /// What failed since it was last asked, to be logged.
    pub fn take_failures(&mut self) -> Vec<Event<'static>> {
        std::mem::take(&mut self.failures)
    }
}

fn datagram_socket(
    address: SocketAddr,
    failures: &mut Vec<Event<'static>>,
) -> Result<UdpSocket, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    fault(Call::DatagramSocket)?;
    let descriptor = socket(family, SockType::Datagram, SockFlag::empty(), None)?;
    let _ = fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    // What a socket works without, only worse.
    if address.is_ipv4() && set_lowdelay(&descriptor).is_err() {
        failures.push(Event::SetsockoptLowdelay);
    }
    Ok(UdpSocket::from(descriptor))
}

#[cfg(any(target_os = "linux", target_os = "freebsd"))] // nix knows the option only there
fn set_lowdelay(socket: &impl AsFd) -> Result<(), Errno> {
    use nix::sys::socket::{setsockopt, sockopt};
    fault(Call::TypeOfService)?;
    setsockopt(socket, sockopt::Ipv4Tos, &LOWDELAY)
}

#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
fn set_lowdelay(_: &impl AsFd) -> Result<(), Errno> {
    fault(Call::TypeOfService)
}

impl DatagramSocket for Sockets {
    type Error = SocketError;

    fn query(
        &mut self,
        peer: PeerId,
        to: SocketAddr,
        datagram: &[u8],
    ) -> nb::Result<RawStamp, SocketError> {
        let disbelieved = self.disbelieved(peer);
        self.forget_query(peer);
        let with_cards = self.hardware.is_there();
        let opened = query_socket(to, with_cards, &mut self.failures);
        let (socket, stamping) = opened.map_err(|error| {
            // No way to the server is a matter of the peer's reach, not of this host's sockets.
            if !is_unreachable(error) {
                self.failures.push(Event::ClientQuerySocket);
            }
            SocketError::Open(error)
        })?;
        let read = realtime();
        match message::send(&socket, datagram, None, None) {
            Ok(_) => {
                let served_at = self.address_for(&socket, to);
                let sent = Some(read).filter(|_| stamping.has_departures());
                let mut asked =
                    Asked { socket, stamping, sent, left: None, disbelieved, served_at };
                // Mostly the kernel knows by now.
                let stamp = asked.departed(&mut self.hardware);
                self.queries.insert(peer, asked);
                Ok(stamp.unwrap_or(RawStamp::System(read)))
            }
            Err(Errno::EAGAIN) => Err(nb::Error::WouldBlock),
            Err(error) => {
                if !is_unreachable(error) {
                    self.failures.push(Event::Sendto);
                }
                Err(SocketError::Send(error).into())
            }
        }
    }

    fn departed(&mut self) -> Option<(PeerId, RawStamp)> {
        self.departures.pop_front()
    }

    fn served_at(&self, peer: PeerId) -> Option<IpAddr> {
        self.queries.get(&peer)?.served_at
    }

    fn reply(
        &mut self,
        listener: u16,
        to: SocketAddr,
        datagram: &[u8],
    ) -> nb::Result<(), SocketError> {
        let listener = self.listeners.get(usize::from(listener)).ok_or(SocketError::NoListener)?;
        match message::send(&listener.socket, datagram, Some(to), self.local) {
            Ok(_) => {
                if let Some(arrived) = self.arrived {
                    self.latency.record(realtime() - arrived);
                }
                Ok(())
            }
            Err(Errno::EAGAIN) => Err(nb::Error::WouldBlock),
            Err(error) => Err(SocketError::Send(error).into()),
        }
    }

    /// Errors of a socket concern its last query: they are read off it, and the query goes
    /// unanswered.
    fn receive(&mut self, buffer: &mut [u8]) -> nb::Result<Received, SocketError> {
        while let Some(channel) = self.ready.pop_front() {
            if let Channel::Peer(peer) = channel {
                // Before the answer, for which it counts.
                self.look_for_departure(peer, |asked| asked.sent.or(asked.left).is_some());
            }
            let socket = match channel {
                Channel::Peer(peer) => self.queries.get(&peer).map(|asked| &asked.socket),
                Channel::Listener(place) => {
                    self.listeners.get(usize::from(place)).map(|listener| &listener.socket)
                }
            };
            let Some(socket) = socket else { continue };
            let message = match self.receiver.receive(socket, buffer) {
                Ok(message) => message,
                Err(Errno::EAGAIN | Errno::EINTR) => {
                    // What else would keep poll(2) awake.
                    if let Channel::Peer(peer) = channel {
                        self.look_for_departure(peer, |asked| asked.stamping.has_departures());
                    }
                    continue;
                }
                Err(error) => {
                    let address = match channel {
                        Channel::Peer(_) => socket.peer_addr(),
                        Channel::Listener(_) => socket.local_addr(),
                    };
                    if let Ok(address) = address {
                        self.failed(channel, address.ip(), error);
                    }
                    continue;
                }
            };
            if let Channel::Peer(peer) = channel {
                self.told.remove(&peer);
            }
            self.failures.extend(message.defect);
            // In turn, so that a flood on one socket does not keep the others waiting.
            self.ready.push_back(channel);
            self.local = message.local;
            self.arrived = match message.stamp {
                RawStamp::Kernel(at) => Some(at),
                _ => None,
            };
            let asked = match channel {
                Channel::Peer(peer) => self.queries.get_mut(&peer),
                Channel::Listener(_) => None,
            };
            let stamp = match asked {
                Some(asked) => asked.arrived(&message, &mut self.hardware),
                None => message.stamp,
            };
            let (len, from) = (message.len, message.from);
            return Ok(Received { channel, from, stamp, len });
        }
        Err(nb::Error::WouldBlock)
    }
}

const fn is_unreachable(error: Errno) -> bool {
    matches!(
        error,
        Errno::ENETUNREACH
            | Errno::EHOSTUNREACH
            | Errno::ENETDOWN
            | Errno::EHOSTDOWN
            | Errno::ECONNREFUSED
            | Errno::EADDRNOTAVAIL
            | Errno::EAFNOSUPPORT
            | Errno::EACCES
            | Errno::EPERM
    )
}

#[cfg(test)]
mod tests;
