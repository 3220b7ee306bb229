//! For tests in virtual time: a network whose delays are what the test wants, however long the
//! machine takes to answer.
//!
//! Behind each frame that leaves is the counter's reading, behind each that comes the one at which
//! it is to arrive; until then it is held, and has its stamp. While an answer may be on its way the
//! processor does not sleep: virtual time would fly.

use core::cell::Cell;

use critical_section::Mutex;
use embedded_time::Clock;
use heapless::{Deque, Vec};
use smoltcp::phy::{self, Device, DeviceCapabilities, PacketMeta};
use truechimer_core::units::{Instant, Span};
use truechimer_firmware::clock::SystemClock;
use truechimer_firmware::net::Driver;

/// Before the counter's reading of eight octets in nanoseconds, big-endian.
const MARK: [u8; 8] = *b"lockstep";
const TRAILER: usize = 16;
/// The longest frame.
const FRAME: usize = 700;
/// Frames that are held.
const HELD: usize = 8;
/// How long an answer may take.
const PATIENCE: Span = Span::from_millis(400);

/// Until when an answer may come, and when the first frame arrives that is held.
static AWAITED: Mutex<Cell<Instant>> = Mutex::new(Cell::new(Instant::from_nanos(0)));
static DUE: Mutex<Cell<Instant>> = Mutex::new(Cell::new(NEVER));
const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// Whether to stay awake.
pub fn awaits(now: Instant) -> bool {
    now < critical_section::with(|cs| AWAITED.borrow(cs).get())
}

/// When the next frame arrives.
pub fn due() -> Instant {
    critical_section::with(|cs| DUE.borrow(cs).get())
}

pub struct Lockstep<D, C: 'static> {
    device: D,
    clock: &'static SystemClock<C>,
    held: Deque<(Instant, Vec<u8, FRAME>), HELD>,
    current: Vec<u8, FRAME>,
    arrived: Option<Instant>,
    departed: Option<(u32, Instant)>,
}

impl<D: Driver, C: Clock<T: Into<u64>>> Lockstep<D, C> {
    pub fn new(device: D, clock: &'static SystemClock<C>) -> Self {
        let (held, current) = (Deque::new(), Vec::new());
        Self { device, clock, held, current, arrived: None, departed: None }
    }

    /// Takes what has come from the device, and holds it.
    fn hold(&mut self) {
        while !self.held.is_full() {
            let Some((token, _)) = self.device.receive(smoltcp::time::Instant::ZERO) else { break };
            let frame = phy::RxToken::consume(token, |octets| {
                let (frame, trailer) =
                    octets.split_at_checked(octets.len().checked_sub(TRAILER)?)?;
                let due = trailer.strip_prefix(&MARK).and_then(|due| due.try_into().ok());
                let due = Instant::from_nanos(u64::from_be_bytes(due?));
                Some((due, Vec::from_slice(frame).ok()?))
            });
            let now = self.clock.mono();
            if let Some((due, frame)) = frame {
                if due < now {
                    defmt::warn!("a frame came late by {=i64} ns", (now - due).as_nanos());
                }
                let _ = self.held.push_back((due.max(now), frame));
                critical_section::with(|cs| AWAITED.borrow(cs).set(now));
            }
        }
        let due = self.held.front().map_or(NEVER, |(due, _)| *due);
        critical_section::with(|cs| DUE.borrow(cs).set(due));
    }
}

impl<D: Driver, C: Clock<T: Into<u64>>> Device for Lockstep<D, C> {
    type RxToken<'a>
        = RxToken<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = TxToken<'a, D::TxToken<'a>, C>
    where
        Self: 'a;

    fn receive(
        &mut self,
        at: smoltcp::time::Instant,
    ) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.hold();
        let (due, _) = self.held.front()?;
        if self.clock.mono() < *due {
            return None;
        }
        let (due, frame) = self.held.pop_front()?;
        self.current = frame;
        self.arrived = Some(due);
        self.hold();
        let Self { device, clock, current, departed, .. } = self;
        let token = device.transmit(at)?;
        Some((RxToken(current), TxToken { token, clock, departed, id: 0 }))
    }

    fn transmit(&mut self, at: smoltcp::time::Instant) -> Option<Self::TxToken<'_>> {
        let Self { device, clock, departed, .. } = self;
        Some(TxToken { token: device.transmit(at)?, clock, departed, id: 0 })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = self.device.capabilities();
        capabilities.max_transmission_unit = FRAME - TRAILER;
        capabilities
    }
}

impl<D: Driver, C: Clock<T: Into<u64>>> Driver for Lockstep<D, C> {
    fn arrived(&mut self) -> Option<Instant> {
        self.arrived.take()
    }

    fn departed(&mut self) -> Option<(u32, Instant)> {
        self.departed.take()
    }

    fn has_link(&mut self) -> Option<bool> {
        self.device.has_link()
    }
}

pub struct RxToken<'a>(&'a [u8]);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

pub struct TxToken<'a, T, C: 'static> {
    token: T,
    clock: &'static SystemClock<C>,
    departed: &'a mut Option<(u32, Instant)>,
    id: u32,
}

impl<T: phy::TxToken, C: Clock<T: Into<u64>>> phy::TxToken for TxToken<'_, T, C> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Self { token, clock, departed, id } = self;
        token.consume(len + TRAILER, |frame| {
            let (content, trailer) = frame.split_at_mut(len);
            let result = f(content);
            let now = clock.mono();
            let (mark, reading) = trailer.split_at_mut(MARK.len());
            mark.copy_from_slice(&MARK);
            reading.copy_from_slice(&now.as_nanos().to_be_bytes());
            if id != 0 {
                *departed = Some((id, now));
            }
            critical_section::with(|cs| AWAITED.borrow(cs).set(now + PATIENCE));
            result
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.id = meta.id;
    }
}
