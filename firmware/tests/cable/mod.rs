//! A world in virtual time: hosts with counters that err, and a cable between two of them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;

use embedded_time::Clock;
use embedded_time::fraction::Fraction;
use smoltcp::phy::{self, ChecksumCapabilities, Device, DeviceCapabilities, Medium};
use truechimer_core::hal::{Rtc, Store};
use truechimer_core::holdover::{Record, RtcSpec};
use truechimer_core::units::{FreqOffset, Instant, Span, WallTime};

/// What a frame takes from one end to the other.
pub const DELAY: Span = Span::from_micros(200);
/// The true time at which the world begins.
pub const EPOCH: WallTime = WallTime::from_unix(1_900_000_000, 123_456_789);

/// True time, and the frames on their way to either end.
#[derive(Debug, Default)]
pub struct World {
    pub time: Instant,
    pub to: [VecDeque<(Instant, Vec<u8>)>; 2],
    /// Frames that left with ARP or neighbour discovery in them.
    pub resolutions: usize,
    /// The last frame that came to either end.
    pub samples: [Vec<u8>; 2],
    /// Devices that check the sums themselves, and do not: damaged frames get further.
    pub unchecked: bool,
}

pub type Shared = Rc<RefCell<World>>;

impl World {
    pub fn wall(&self) -> WallTime {
        EPOCH + (self.time - Instant::default())
    }

    pub fn next_arrival(&self) -> Option<Instant> {
        self.to.iter().filter_map(|queue| queue.front()).map(|(arrival, _)| *arrival).min()
    }
}

/// One end of the cable.
#[derive(Debug)]
pub struct Port {
    pub world: Shared,
    pub end: usize,
}

impl Device for Port {
    type RxToken<'a> = Frame;
    type TxToken<'a> = &'a Self;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Frame, &Self)> {
        let mut world = self.world.borrow_mut();
        let time = world.time;
        world.to[self.end].front().filter(|(arrival, _)| *arrival <= time)?;
        let (_, bytes) = world.to[self.end].pop_front()?;
        world.samples[self.end].clone_from(&bytes);
        drop(world);
        Some((Frame(bytes), self))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<&Self> {
        Some(self)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        if self.world.borrow().unchecked {
            capabilities.checksum = ChecksumCapabilities::ignored();
        }
        capabilities
    }
}

#[derive(Debug)]
pub struct Frame(Vec<u8>);

impl phy::RxToken for Frame {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for &Port {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        let mut world = self.world.borrow_mut();
        let arrival = world.time + DELAY;
        world.resolutions += usize::from(is_resolution(&frame));
        world.to[1 - self.end].push_back((arrival, frame));
        result
    }
}

/// ARP, or ICMPv6.
fn is_resolution(frame: &[u8]) -> bool {
    frame[12..14] == [0x08, 0x06] || (frame[12..14] == [0x86, 0xDD] && frame[20] == 58)
}

/// A timer of 32 MHz and 32 bits that gains `error` on true time and wraps soon.
#[derive(Debug)]
pub struct Timer {
    pub world: Shared,
    pub error: FreqOffset,
}

impl Clock for Timer {
    type T = u32;
    const SCALING_FACTOR: Fraction = Fraction::new(1, 32_000_000);

    fn try_now(&self) -> Result<embedded_time::Instant<Self>, embedded_time::clock::Error> {
        let elapsed = self.world.borrow().time - Instant::default();
        let nanos = (elapsed + self.error.gain(elapsed, 0).0).as_nanos() as u64;
        Ok(embedded_time::Instant::new((nanos * 4 / 125 + 0xF000_0000) as u32))
    }
}

/// A real-time clock of whole seconds.
#[derive(Debug, Clone)]
pub struct Seconds {
    world: Shared,
    /// By how much it was ahead of true time when the world began; shared with the test.
    ahead: Rc<Cell<Span>>,
    /// What it gains on true time.
    rate: FreqOffset,
}

impl Seconds {
    pub fn new(world: &Shared, ahead: Span, rate: FreqOffset) -> Self {
        Self { world: world.clone(), ahead: Rc::new(Cell::new(ahead)), rate }
    }

    /// By how much it is ahead now.
    pub fn ahead(&self) -> Span {
        let elapsed = self.world.borrow().time - Instant::default();
        self.ahead.get() + self.rate.gain(elapsed, 0).0
    }
}

impl Rtc for Seconds {
    type Error = Infallible;

    fn spec(&self) -> RtcSpec {
        RtcSpec { resolution: Span::from_millis(1), ..RtcSpec::default() }
    }

    /// At the edge of a second, found within a millisecond.
    fn read(&mut self) -> nb::Result<WallTime, Infallible> {
        let time = self.world.borrow().wall() + self.ahead();
        if time.subsec_nanos() >= 1_000_000 {
            return Err(nb::Error::WouldBlock);
        }
        Ok(WallTime::from_unix(time.unix_secs(), 0))
    }

    /// At the edge of a second, within two milliseconds.
    fn set(&mut self, time: WallTime) -> nb::Result<(), Infallible> {
        if time.subsec_nanos() >= 2_000_000 {
            return Err(nb::Error::WouldBlock);
        }
        let whole = WallTime::from_unix(time.unix_secs(), 0);
        let ahead = whole - self.world.borrow().wall();
        self.ahead.set(self.ahead.get() + ahead - self.ahead());
        Ok(())
    }
}

/// A memory that lasts; shared with the test.
#[derive(Debug, Clone, Default)]
pub struct Memory(Rc<RefCell<Option<Record>>>);

impl Store for Memory {
    type Error = Infallible;

    fn load(&mut self) -> nb::Result<Option<Record>, Infallible> {
        Ok(*self.0.borrow())
    }

    fn save(&mut self, record: &Record) -> nb::Result<(), Infallible> {
        *self.0.borrow_mut() = Some(*record);
        Ok(())
    }
}
