//! What a shell gives to [`run`](crate::run): sockets, a clock, entropy, a real-time clock, a store.
//!
//! The traits are for firmware, for the hosted single-process daemon and for tests. Whatever may
//! have to wait returns [`nb::Result`].

use core::net::{IpAddr, SocketAddr};

use crate::clock::{ClockError, ClockStatus, LeapPlan};
use crate::holdover::{Record, RtcSpec};
use crate::io::Stamp;
use crate::peer::PeerId;
use crate::units::{FreqOffset, Instant, Now, Span, WallTime};

/// A time of arrival or departure as the socket knows it; [`AdjustableClock::stamp`] makes a time
/// of the disciplined clock of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RawStamp {
    /// By the network hardware, in the time of the system's own clock.
    Hardware(WallTime),
    /// By the system's own clock, taken in the kernel.
    Kernel(WallTime),
    /// By the system's own clock, read beside the call.
    System(WallTime),
    /// By the monotonic counter, taken by a driver.
    Counter(Instant),
    /// Just now.
    Unknown,
}

/// Where a datagram came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The socket of a peer's query.
    Peer(PeerId),
    /// One of the sockets that time is served on, by its place.
    Listener(u16),
}

/// A datagram in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Where it came in.
    pub channel: Channel,
    /// Who says to have sent it.
    pub from: SocketAddr,
    /// When it came.
    pub stamp: RawStamp,
    /// How many octets of the buffer it fills. One that did not fit fills all of it and is longer
    /// than any packet that is answered or used, if the buffer is.
    pub len: usize,
}

/// The sockets of one host.
pub trait DatagramSocket {
    /// Why a datagram could not be sent or received.
    type Error;

    /// Sends a query from a port of its own, and says when it left. A reply to the query before
    /// is no longer wanted.
    ///
    /// # Errors
    /// The query was not sent; [`nb::Error::WouldBlock`] if there is no room for it just now.
    fn query(
        &mut self,
        peer: PeerId,
        to: SocketAddr,
        datagram: &[u8],
    ) -> nb::Result<RawStamp, Self::Error>;

    /// Says when a query really left, if that is known better than [`query`](Self::query) could
    /// say: it waited for its neighbour's address, or its stamp came later. Called before each
    /// datagram is handled, until there is no more to say.
    fn departed(&mut self) -> Option<(PeerId, RawStamp)> {
        None
    }

    /// Where the server of the last query to a peer may ask this host for the time. Nowhere by
    /// default: a host that serves nobody is followed by nobody.
    fn served_at(&self, _peer: PeerId) -> Option<IpAddr> {
        None
    }

    /// Sends an answer from the listener that the question came to.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    fn reply(
        &mut self,
        listener: u16,
        to: SocketAddr,
        datagram: &[u8],
    ) -> nb::Result<(), Self::Error>;

    /// Takes the next datagram that has arrived.
    ///
    /// # Errors
    /// [`nb::Error::WouldBlock`] if there is none; another when receiving failed for good.
    fn receive(&mut self, buffer: &mut [u8]) -> nb::Result<Received, Self::Error>;
}

impl<S: DatagramSocket> DatagramSocket for &mut S {
    type Error = S::Error;

    fn query(
        &mut self,
        peer: PeerId,
        to: SocketAddr,
        datagram: &[u8],
    ) -> nb::Result<RawStamp, S::Error> {
        S::query(self, peer, to, datagram)
    }

    fn departed(&mut self) -> Option<(PeerId, RawStamp)> {
        S::departed(self)
    }

    fn served_at(&self, peer: PeerId) -> Option<IpAddr> {
        S::served_at(self, peer)
    }

    fn reply(
        &mut self,
        listener: u16,
        to: SocketAddr,
        datagram: &[u8],
    ) -> nb::Result<(), S::Error> {
        S::reply(self, listener, to, datagram)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> nb::Result<Received, S::Error> {
        S::receive(self, buffer)
    }
}

/// A clock that can be disciplined: the parts of `ntp_adjtime` that the engine needs.
pub trait AdjustableClock {
    /// Reads the counter and the clock together, for the engine looks for a millisecond between
    /// them that it has no part in. Which counter: [`Config::counter`](crate::config::Config::counter).
    fn now(&self) -> Now;

    /// What this clock showed at `stamp`.
    fn stamp(&self, stamp: RawStamp) -> Stamp;

    /// Advances the clock at once; says by how much it really was.
    ///
    /// # Errors
    /// The clock is as it was.
    fn step(&mut self, by: Span) -> Result<Span, ClockError>;

    /// Runs at `frequency` plus `slew` from now on, and no more by what
    /// [`lock`](Self::lock) began; says at which rate it really does.
    ///
    /// # Errors
    /// The clock runs as it did.
    fn adjust(&mut self, frequency: FreqOffset, slew: FreqOffset)
    -> Result<FreqOffset, ClockError>;

    /// Gives an offset to the clock's own loop, and the frequency where that begins if there is one,
    /// as [`Settings::lock`](crate::timex::Settings::lock) has it; says at which frequency it is.
    /// Asked for only with [`DisciplineMode::Kernel`](crate::config::DisciplineMode).
    ///
    /// # Errors
    /// The clock runs as it did; [`ClockError::Unsupported`] if it has no such loop.
    fn lock(
        &mut self,
        _frequency: Option<FreqOffset>,
        _offset: Span,
        _poll: i8,
    ) -> Result<FreqOffset, ClockError> {
        Err(ClockError::Unsupported)
    }

    /// The rate that the clock had been given, and another one at which it was found when it was
    /// adjusted last: somebody else changed it. Taken once.
    fn take_found(&mut self) -> Option<(FreqOffset, FreqOffset)> {
        None
    }

    /// Tells others who ask the clock how good it is.
    ///
    /// # Errors
    /// They were not told.
    fn set_status(&mut self, status: &ClockStatus) -> Result<(), ClockError>;

    /// Tells the clock of a leap second at the end of this UTC day, which it is to make by itself, or
    /// that there is none; and TAI − UTC.
    ///
    /// # Errors
    /// It does not make it; [`ClockError::Unsupported`] if it never does: leap seconds are slewed then.
    fn set_leap(&mut self, _plan: &LeapPlan) -> Result<(), ClockError> {
        Err(ClockError::Unsupported)
    }
}

/// A source of randomness.
pub trait Entropy {
    /// Why there is none.
    type Error;

    /// Fills `seed` with unpredictable bits.
    ///
    /// # Errors
    /// [`nb::Error::WouldBlock`] while the source collects them.
    fn fill(&mut self, seed: &mut [u8; 32]) -> nb::Result<(), Self::Error>;
}

/// A clock that runs without power.
pub trait Rtc {
    /// Why it cannot be read or set.
    type Error;

    /// How exact it is.
    fn spec(&self) -> RtcSpec {
        RtcSpec::default()
    }

    /// Reads it, as finely as it can be read.
    ///
    /// # Errors
    /// [`nb::Error::WouldBlock`] until the edge of its second, which the reading waits for.
    fn read(&mut self) -> nb::Result<WallTime, Self::Error>;

    /// Sets it.
    ///
    /// # Errors
    /// [`nb::Error::WouldBlock`] until the moment at which a whole second can be written.
    fn set(&mut self, time: WallTime) -> nb::Result<(), Self::Error>;
}

/// Where a host keeps a small record between two lives: a file, a sector of flash, the memory of a
/// real-time clock.
pub trait Store {
    /// Why it cannot be read or written.
    type Error;

    /// What was saved last; `None` if there is nothing, or it is damaged.
    ///
    /// # Errors
    /// [`nb::Error::WouldBlock`] while the memory is read.
    fn load(&mut self) -> nb::Result<Option<Record>, Self::Error>;

    /// Saves a record in place of the one before. If power fails meanwhile, one of the two is loaded.
    ///
    /// # Errors
    /// [`nb::Error::WouldBlock`] while the memory is written: to be called again with the same.
    fn save(&mut self, record: &Record) -> nb::Result<(), Self::Error>;
}
