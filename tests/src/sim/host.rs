//! The client's host: its counter, clock and sockets as the engine's loop sees them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use truechimer_core::PeerId;
use truechimer_core::clock::{ClockError, ClockStatus, LeapPlan};
use truechimer_core::hal::{AdjustableClock, Channel, DatagramSocket, RawStamp, Received};
use truechimer_core::io::{Stamp, StampSource};
use truechimer_core::server::{Access, AccessList, ClientSet, Config, Server, StampSet};
use truechimer_core::timex::SoftwareClock;
use truechimer_core::units::{FreqOffset, Instant, Now, Span, WallTime};

use super::server::Datagram;

/// The address of the server at `place`.
#[must_use]
pub fn address(place: usize) -> SocketAddr {
    let host = u8::try_from(place + 1).unwrap_or(u8::MAX);
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)), 123)
}

/// What a host that nobody asks answers others with.
pub type Deaf = Server<[ClientSet; 0], [StampSet; 0], 1>;

/// One of them.
#[must_use]
pub fn deaf() -> Deaf {
    let nobody = || AccessList::uniform(Access::Deny);
    Server::new(&Config::default(), nobody(), nobody(), [], [], [0; 32])
}

/// A software clock over the counter, whose reading the simulation sets.
#[derive(Debug)]
pub struct Clock {
    /// What the counter shows.
    pub counter: Instant,
    /// What the clock makes of it.
    pub timex: SoftwareClock,
}

impl Clock {
    /// One that shows `time`.
    #[must_use]
    pub const fn new(counter: Instant, time: WallTime) -> Self {
        Self { counter, timex: SoftwareClock::new(counter, time) }
    }
}

impl AdjustableClock for Clock {
    fn now(&self) -> Now {
        Now { mono: self.counter, wall: self.timex.read(self.counter) }
    }

    fn stamp(&self, stamp: RawStamp) -> Stamp {
        match stamp {
            RawStamp::Counter(at) => {
                Stamp { time: self.timex.read(at), source: StampSource::Kernel }
            }
            _ => Stamp { time: self.timex.read(self.counter), source: StampSource::User },
        }
    }

    fn step(&mut self, by: Span) -> Result<Span, ClockError> {
        self.timex.step(self.counter, by);
        Ok(by)
    }

    fn adjust(
        &mut self,
        frequency: FreqOffset,
        slew: FreqOffset,
    ) -> Result<FreqOffset, ClockError> {
        Ok(self.timex.unlock(self.counter, frequency + slew))
    }

    fn lock(
        &mut self,
        frequency: Option<FreqOffset>,
        offset: Span,
        poll: i8,
    ) -> Result<FreqOffset, ClockError> {
        Ok(self.timex.lock(self.counter, frequency, offset, poll))
    }

    fn set_status(&mut self, _: &ClockStatus) -> Result<(), ClockError> {
        Ok(())
    }

    fn set_leap(&mut self, plan: &LeapPlan) -> Result<(), ClockError> {
        self.timex.set_leap(self.counter, plan);
        Ok(())
    }
}

/// A query on its way out.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// The server's place.
    pub server: usize,
    /// The port that it leaves from.
    pub port: u64,
    /// What it says.
    pub bytes: Datagram,
}

/// The client's sockets: one for the last query to each server.
#[derive(Debug, Default)]
pub struct Socket {
    /// What the counter shows.
    pub counter: Instant,
    /// What has left.
    pub sent: Vec<Query>,
    arrived: VecDeque<(usize, Datagram)>,
    /// The open port of each server's query.
    open: Vec<u64>,
    last_port: u64,
}

impl Socket {
    /// Sockets for as many servers.
    #[must_use]
    pub fn new(servers: usize) -> Self {
        Self { open: vec![0; servers], ..Self::default() }
    }

    /// A reply arrives, if its port is still open.
    pub fn arrive(&mut self, server: usize, port: u64, bytes: Datagram) {
        if self.open[server] == port {
            self.arrived.push_back((server, bytes));
        }
    }
}

impl DatagramSocket for Socket {
    type Error = Infallible;

    fn query(
        &mut self,
        peer: PeerId,
        to: SocketAddr,
        datagram: &[u8],
    ) -> nb::Result<RawStamp, Infallible> {
        let server = usize::from(peer.0);
        assert_eq!(to, address(server));
        self.last_port += 1;
        self.open[server] = self.last_port;
        let bytes = datagram.try_into().expect("a query has 48 octets");
        self.sent.push(Query { server, port: self.last_port, bytes });
        Ok(RawStamp::Counter(self.counter))
    }

    fn reply(&mut self, _: u16, _: SocketAddr, _: &[u8]) -> nb::Result<(), Infallible> {
        unreachable!("the client serves nobody")
    }

    fn receive(&mut self, buffer: &mut [u8]) -> nb::Result<Received, Infallible> {
        let (server, bytes) = self.arrived.pop_front().ok_or(nb::Error::WouldBlock)?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(Received {
            channel: Channel::Peer(PeerId(server as u16)),
            from: address(server),
            stamp: RawStamp::Counter(self.counter),
            len: bytes.len(),
        })
    }
}
