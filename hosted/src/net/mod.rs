//! The daemon's UDP sockets: one of its own for each query, and those that time is served on.

mod stamps;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt,
};
use truechimer_core::PeerId;
use truechimer_core::hal::{Channel, DatagramSocket, RawStamp, Received};

use self::stamps::Receiver;
use crate::clock::realtime;

/// `IPTOS_LOWDELAY` of the type of service.
#[cfg(not(target_os = "netbsd"))]
const LOWDELAY: i32 = 0x10;

/// All of them.
#[derive(Debug)]
pub struct Sockets {
    queries: Vec<Option<UdpSocket>>,
    listeners: Vec<UdpSocket>,
    receiver: Receiver,
    /// Those that poll(2) said to have something.
    ready: VecDeque<Channel>,
}

/// Why a query's socket failed, which decides on the message.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// It could not be created or connected.
    #[error("cannot open a socket for a query: {0}")]
    Open(io::Error),
    /// Nothing could be sent on it.
    #[error("cannot send: {0}")]
    Send(io::Error),
}

impl Default for Sockets {
    fn default() -> Self {
        Self::new()
    }
}

impl Sockets {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            queries: Vec::new(),
            listeners: Vec::new(),
            receiver: Receiver::new(),
            ready: VecDeque::new(),
        }
    }

    /// Serves time on `address`, or on every address, and says where.
    ///
    /// # Errors
    /// The first of the addresses that cannot be bound, and why.
    pub fn listen(
        &mut self,
        address: Option<IpAddr>,
        port: u16,
    ) -> Result<(), (SocketAddr, io::Error)> {
        let all = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let addresses = match &address {
            Some(address) => std::slice::from_ref(address),
            None => &all,
        };
        for &ip in addresses {
            let address = SocketAddr::new(ip, port);
            match listener(address) {
                Ok(socket) => self.listeners.push(socket),
                // A host without IPv6 still has every address.
                Err(error) if error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32) => {}
                Err(error) => return Err((address, error)),
            }
        }
        Ok(())
    }

    /// Where time is served.
    pub fn listening(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.iter().filter_map(|socket| socket.local_addr().ok())
    }

    /// Every socket, for poll(2).
    pub fn descriptors(&self) -> impl Iterator<Item = (Channel, BorrowedFd<'_>)> {
        let queries = self.queries.iter().enumerate().filter_map(|(place, socket)| {
            Some((Channel::Peer(PeerId(place as u16)), socket.as_ref()?.as_fd()))
        });
        let listeners = self.listeners.iter().enumerate();
        queries.chain(
            listeners.map(|(place, socket)| (Channel::Listener(place as u16), socket.as_fd())),
        )
    }

    /// Something arrived there.
    pub fn set_ready(&mut self, channel: Channel) {
        if !self.ready.contains(&channel) {
            self.ready.push_back(channel);
        }
    }
}

fn listener(address: SocketAddr) -> io::Result<UdpSocket> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let descriptor = socket(family, SockType::Datagram, flags, None)?;
    if address.is_ipv6() {
        setsockopt(&descriptor, sockopt::Ipv6V6Only, &true)?;
    }
    bind(descriptor.as_raw_fd(), &SockaddrStorage::from(address))?;
    let socket = UdpSocket::from(descriptor);
    prepare(&socket);
    Ok(socket)
}

/// A socket on a random port, connected to `to`.
fn query_socket(to: SocketAddr) -> io::Result<UdpSocket> {
    let any = match to {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(to)?;
    socket.set_nonblocking(true)?;
    prepare(&socket);
    Ok(socket)
}

/// What a socket works without, only worse: receive stamps and low delay.
fn prepare(socket: &UdpSocket) {
    let _ = stamps::enable(socket);
    #[cfg(not(target_os = "netbsd"))] // nix does not know the option there
    let _ = setsockopt(socket, sockopt::Ipv4Tos, &LOWDELAY);
}

impl DatagramSocket for Sockets {
    type Error = SocketError;

    fn query(
        &mut self,
        peer: PeerId,
        to: SocketAddr,
        datagram: &[u8],
    ) -> nb::Result<RawStamp, SocketError> {
        let place = usize::from(peer.0);
        if self.queries.len() <= place {
            self.queries.resize_with(place + 1, || None);
        }
        self.queries[place] = None;
        let socket = query_socket(to).map_err(SocketError::Open)?;
        let sent = realtime();
        match socket.send(datagram) {
            Ok(_) => {
                self.queries[place] = Some(socket);
                Ok(RawStamp::System(sent))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(nb::Error::WouldBlock),
            Err(error) => Err(SocketError::Send(error).into()),
        }
    }

    fn reply(
        &mut self,
        listener: u16,
        to: SocketAddr,
        datagram: &[u8],
    ) -> nb::Result<(), SocketError> {
        let Some(socket) = self.listeners.get(usize::from(listener)) else { return Ok(()) };
        match socket.send_to(datagram, to) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(nb::Error::WouldBlock),
            Err(error) => Err(SocketError::Send(error).into()),
        }
    }

    /// Errors of a socket concern its last query (an ICMP message, mostly): they are read off it,
    /// and the query goes unanswered.
    fn receive(&mut self, buffer: &mut [u8]) -> nb::Result<Received, SocketError> {
        while let Some(channel) = self.ready.pop_front() {
            let socket = match channel {
                Channel::Peer(PeerId(place)) => {
                    self.queries.get(usize::from(place)).and_then(Option::as_ref)
                }
                Channel::Listener(place) => self.listeners.get(usize::from(place)),
            };
            let Some((len, from, stamp)) =
                socket.and_then(|socket| self.receiver.receive(socket, buffer))
            else {
                continue;
            };
            // In turn, so that a flood on one socket does not keep the others waiting.
            self.ready.push_back(channel);
            return Ok(Received { channel, from, stamp, len });
        }
        Err(nb::Error::WouldBlock)
    }
}

#[cfg(test)]
mod tests;
