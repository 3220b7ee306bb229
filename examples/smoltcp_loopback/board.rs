//! What a board brings, here imagined: a cable with two ends, and counters that drift.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use embedded_time::clock::Error;
use embedded_time::fraction::Fraction;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use truechimer_core::units::{FreqOffset, Span};

/// What a packet takes from one end to the other.
const DELAY: Span = Span::from_micros(200);

/// When a packet arrives, and its octets.
type Packets = VecDeque<(Span, Vec<u8>)>;

/// True time, and the packets on their way to either end.
#[derive(Debug, Default)]
pub struct Cable {
    elapsed: Cell<Span>,
    to: [RefCell<Packets>; 2],
}

impl Cable {
    /// The true time since the beginning.
    pub fn elapsed(&self) -> Span {
        self.elapsed.get()
    }

    /// Lets time pass, no longer than until a packet arrives.
    pub fn pass(&self, pause: Span) {
        let mut until = self.elapsed() + pause;
        for queue in &self.to {
            until = queue.borrow().front().map_or(until, |&(arrival, _)| arrival.min(until));
        }
        self.elapsed.set(until.max(self.elapsed()));
    }
}

/// A counter of nanoseconds that gains `drift`.
#[derive(Debug)]
pub struct Counter {
    pub cable: Rc<Cable>,
    pub drift: FreqOffset,
}

impl embedded_time::Clock for Counter {
    type T = u64;
    const SCALING_FACTOR: Fraction = Fraction::new(1, 1_000_000_000);

    fn try_now(&self) -> Result<embedded_time::Instant<Self>, Error> {
        let elapsed = self.cable.elapsed();
        let counted = elapsed + self.drift.gain(elapsed, 0).0;
        Ok(embedded_time::Instant::new(counted.as_nanos().unsigned_abs()))
    }
}

/// The network device at one end, which carries plain IP.
#[derive(Debug)]
pub struct Port {
    pub cable: Rc<Cable>,
    pub end: usize,
}

impl Device for Port {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = &'a Self;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Arrived, &Self)> {
        let mut queue = self.cable.to[self.end].borrow_mut();
        queue.front().filter(|(arrival, _)| *arrival <= self.cable.elapsed())?;
        let (_, packet) = queue.pop_front()?;
        drop(queue);
        Some((Arrived(packet), self))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<&Self> {
        Some(self)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1_500;
        capabilities
    }
}

/// A packet that has come.
#[derive(Debug)]
pub struct Arrived(Vec<u8>);

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for &Port {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        let arrival = self.cable.elapsed() + DELAY;
        self.cable.to[1 - self.end].borrow_mut().push_back((arrival, packet));
        result
    }
}
