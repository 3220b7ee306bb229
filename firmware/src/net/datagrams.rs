//! Datagrams out and in: which socket each leaves from, when it left, when it came.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use chacha20::rand_core::Rng;
use embedded_time::Clock;
use smoltcp::iface::{PollIngressSingleResult, SocketHandle};
use smoltcp::socket::{Socket, udp};
use smoltcp::wire::IpAddress;
use truechimer_core::PeerId;
use truechimer_core::hal::{Channel, DatagramSocket, RawStamp, Received};
use truechimer_core::units::Instant;

use super::{Driver, NTP_PORT, Stack, family, from_net, to_net};

/// Queries leave from this port on: the dynamic ones (RFC 6335 §6).
pub(super) const FIRST_DYNAMIC_PORT: u16 = 0xC000;
/// Frames polled in before others have their turn, so that a flood does not hold them up.
pub(super) const BATCH: usize = 32;

/// Whether others may ask this host: who serves nobody is followed by nobody.
const SERVES: bool = cfg!(feature = "server");

/// Why a datagram was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Error {
    /// There is no socket for this peer.
    NoSocket,
    /// It cannot be sent to this address, or not from any of ours.
    Unaddressable,
    /// It is longer than [`Buffers`](super::Buffers) hold.
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

#[derive(Debug)]
pub(super) struct PeerSocket {
    /// Whose query it was that left last.
    pub(super) id: PeerId,
    pub(super) handle: SocketHandle,
    pub(super) departure: Departure,
    /// The address that its query left from.
    pub(super) served_at: Option<IpAddr>,
}

/// What became of a peer's query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    /// All that is to be said was said.
    Told,
    Waiting,
    Left(Instant),
}

impl PeerSocket {
    /// When the query left, told once.
    fn departed(&mut self) -> Option<Instant> {
        let Departure::Left(at) = self.departure else { return None };
        self.departure = Departure::Told;
        Some(at)
    }
}

impl<D: Driver, C: Clock<T: Into<u64>>, const PEERS: usize> Stack<'_, D, C, PEERS> {
    /// Where a peer's socket is, which the next peer of that place takes over.
    fn place(peer: PeerId) -> usize {
        usize::from(peer.0).checked_rem(PEERS).unwrap_or_default()
    }

    /// Binds an emptied socket to `port`. In the set it becomes a new one, which no neighbour
    /// keeps waiting.
    pub(super) fn reopen(&mut self, handle: SocketHandle, port: u16) -> SocketHandle {
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
