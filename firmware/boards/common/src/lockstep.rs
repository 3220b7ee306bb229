//! For tests in virtual time: a network whose delays are what the test wants, however long the
//! machine takes to answer.
//!
//! Behind each frame that leaves is what the clock says ([`report`]), behind each that comes the
//! counter's reading at which it is to arrive; until then it is held, and has its stamp. Virtual time
//! stands still between a frame that leaves and the gate's word on how many answer it.

use core::cell::{Cell, RefCell};

use critical_section::Mutex;
use embedded_time::Clock;
use heapless::{Deque, Vec};
use smoltcp::phy::{self, Device, DeviceCapabilities, PacketMeta};
use truechimer_core::units::{Instant, Span};
use truechimer_firmware::clock::SystemClock;
use truechimer_firmware::net::Driver;

use crate::host::File;

/// Before the counter's reading of eight octets in nanoseconds, big-endian.
const MARK: [u8; 8] = *b"lockstep";
const TRAILER: usize = 16;
const REPORT: usize = 64;
/// The longest frame.
const FRAME: usize = 700;
/// Frames that are held.
const HELD: usize = 8;
/// Between two looks for a frame that has been sent: the emulator passes it on only while the
/// processor sleeps.
pub const NAP: Span = Span::from_micros(10);

/// Where the test says of each frame, in an octet, how many answer it: it has sent them.
static GATE: Mutex<RefCell<Option<File>>> = Mutex::new(RefCell::new(None));
/// How many of them have not come.
static AWAITED: Mutex<Cell<u32>> = Mutex::new(Cell::new(0));
/// When the first frame arrives that is held.
static DUE: Mutex<Cell<Instant>> = Mutex::new(Cell::new(NEVER));
const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// The test is at the other end of this.
pub fn set_gate(gate: File) {
    critical_section::with(|cs| GATE.borrow(cs).replace(Some(gate)));
}

/// Whether frames are on their way.
pub fn awaits() -> bool {
    awaited() > 0
}

fn awaited() -> u32 {
    critical_section::with(|cs| AWAITED.borrow(cs).get())
}

fn set_awaited(frames: u32) {
    critical_section::with(|cs| AWAITED.borrow(cs).set(frames));
}

/// A frame has left: waits, in no time, until it is answered.
fn ask_gate() {
    let mut frames = [0];
    critical_section::with(|cs| {
        if let Some(gate) = GATE.borrow(cs).borrow_mut().as_mut() {
            let _ = gate.read_on(&mut frames);
        }
    });
    set_awaited(awaited() + u32::from(frames[0]));
}

/// When the next frame arrives.
pub fn due() -> Instant {
    critical_section::with(|cs| DUE.borrow(cs).get())
}

/// Behind the mark counter and clock, in nanoseconds, the clock's bound, all ones without one, its
/// status in a word, and what took how long: the last poll that took nothing in and sent nothing, the
/// longest, and a reading of the clock.
fn report<C: Clock<T: Into<u64>>>(clock: &SystemClock<C>) -> (Instant, [u8; REPORT]) {
    let now = clock.now();
    let reading = clock.read();
    let time = now.wall.unix_secs() * 1_000_000_000 + i64::from(now.wall.subsec_nanos());
    let bound = reading.bound.map_or(-1, Span::as_nanos);
    let costs = critical_section::with(|cs| COSTS.borrow(cs).get());
    let before = clock.mono();
    core::hint::black_box(clock.now());
    let reading_took = clock.mono() - before;
    let words = [now.mono.as_nanos().cast_signed(), time, bound].map(i64::to_be_bytes);
    let costs = [costs.idle, costs.longest, reading_took].map(|cost| cost.as_nanos().to_be_bytes());
    let mut report = [0; REPORT];
    let status = reading.status.name().as_bytes();
    let fields = [&MARK, &words[0], &words[1], &words[2], status, &costs[0], &costs[1], &costs[2]];
    for (place, field) in report.chunks_mut(8).zip(fields) {
        place.iter_mut().zip(field).for_each(|(to, from)| *to = *from);
    }
    (now.mono, report)
}

/// What polls took.
#[derive(Clone, Copy)]
struct Costs {
    /// The last that took nothing in and sent nothing.
    idle: Span,
    /// The longest of all.
    longest: Span,
    /// Frames taken in and sent.
    taken: u32,
    sent: u32,
}

static COSTS: Mutex<Cell<Costs>> =
    Mutex::new(Cell::new(Costs { idle: Span::ZERO, longest: Span::ZERO, taken: 0, sent: 0 }));

fn change_costs(change: impl FnOnce(&mut Costs)) -> Costs {
    critical_section::with(|cs| {
        let mut costs = COSTS.borrow(cs).get();
        change(&mut costs);
        COSTS.borrow(cs).set(costs);
        costs
    })
}

/// Times a poll.
pub struct Meter {
    before: Costs,
    at: Instant,
}

impl Meter {
    pub fn start<C: Clock<T: Into<u64>>>(clock: &SystemClock<C>) -> Self {
        Self { before: change_costs(|_| ()), at: clock.mono() }
    }

    pub fn stop<C: Clock<T: Into<u64>>>(self, clock: &SystemClock<C>) {
        let took = clock.mono() - self.at;
        change_costs(|costs| {
            if (costs.taken, costs.sent) == (self.before.taken, self.before.sent) {
                costs.idle = took;
            }
            costs.longest = costs.longest.max(took);
        });
    }
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
        while awaited() > 0 && !self.held.is_full() {
            let Some((token, _)) = self.device.receive(smoltcp::time::Instant::ZERO) else { break };
            set_awaited(awaited() - 1);
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
        change_costs(|costs| costs.taken += 1);
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
        capabilities.max_transmission_unit = FRAME - REPORT;
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
        let result = token.consume(len + REPORT, |frame| {
            let (content, trailer) = frame.split_at_mut(len);
            let result = f(content);
            let (now, report) = report(clock);
            trailer.copy_from_slice(&report);
            if id != 0 {
                *departed = Some((id, now));
            }
            result
        });
        change_costs(|costs| costs.sent += 1);
        ask_gate();
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.id = meta.id;
    }
}
