//! A world of one clock, one server and one path, and the ways in which it can fail.

use truechimer_core::units::{Span, WallTime};
use truechimer_core::{Estimator, Exchange, Verdict};

use super::{Sample, Yardstick};
use crate::sim::random::{Random, Stream};

const START_OF_TIME: WallTime = WallTime::from_unix(1_800_000_000, 0);

/// Seconds of a world as a time, exact to the nanosecond.
fn at(secs: f64) -> WallTime {
    START_OF_TIME + Span::from_secs_f64(secs)
}

/// What happens to a world half-way.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// Nothing.
    None,
    /// The oscillator's frequency changes by that.
    Frequency(f64),
    /// The server's clock is stepped by that many seconds.
    Phase(f64),
    /// For 3000 s packets to the server are delayed by that many seconds more, on average.
    Burst(f64),
    /// Both directions take that many seconds longer from now on.
    Route(f64),
}

/// A clock that runs free (at t it reads t − offset), a server without error, a path whose delays
/// are 100 µs and a jitter each way.
#[derive(Debug, Clone, Copy)]
pub struct World {
    /// Random walk of the frequency, per root second.
    pub wander: f64,
    /// Mean jitter, seconds.
    pub jitter: f64,
    /// Of how many exponential parts a jitter consists: the shape of its gamma distribution.
    pub shape: u32,
    /// What happens.
    pub fault: Fault,
    /// How long it lasts, seconds.
    pub length: usize,
    /// Where its randomness comes from.
    pub seed: u64,
}

/// How far what was predicted was off.
#[derive(Debug, Clone, Copy)]
pub struct Errors {
    /// Root of the mean square of the predicted offset's error, seconds.
    pub offset: f64,
    /// The same of the frequency's error.
    pub frequency: f64,
    /// The mean square of the offset's error just before a sample, in units of the deviation that
    /// was stated for it.
    pub normalized: f64,
}

/// What a world is shown to.
pub trait Subject {
    /// False if the exchange was skipped.
    fn update(&mut self, exchange: &Exchange) -> bool;
    /// Offset, its deviation and the frequency at a free-running time.
    fn predict(&self, time: f64) -> (f64, f64, f64);
}

impl<const KINDS: usize> Subject for Estimator<KINDS> {
    fn update(&mut self, exchange: &Exchange) -> bool {
        Self::update(self, exchange) != Verdict::Violated
    }

    fn predict(&self, time: f64) -> (f64, f64, f64) {
        let estimate = self.estimate().expect("it has been shown a sample");
        let offset = estimate.offset_at(at(time)).as_secs_f64();
        (offset, estimate.deviation_at(at(time)), estimate.frequency.as_ratio())
    }
}

impl Subject for Yardstick {
    fn update(&mut self, exchange: &Exchange) -> bool {
        let secs = |time: WallTime| (time - START_OF_TIME).as_secs_f64();
        let (sent, received) = (secs(exchange.sent), secs(exchange.received));
        let forth = (exchange.server_received - exchange.sent).as_secs_f64();
        let back = (exchange.received - exchange.server_sent).as_secs_f64();
        Self::update(
            self,
            Sample {
                time: 0.5 * (sent + received),
                seen: [forth, back],
                half: 0.5 * (received - sent),
            },
        )
    }

    fn predict(&self, time: f64) -> (f64, f64, f64) {
        let (theta, omega) = self.output(time);
        (-theta, f64::NAN, -omega)
    }
}

impl World {
    /// Polls every 64 s after a start of six queries 2 s apart, and judges each second's
    /// prediction in the last five sixths, or in 6000 s after the fault.
    ///
    /// # Panics
    /// If a subject predicts nothing after a sample.
    pub fn run(&self, subject: &mut dyn Subject) -> Errors {
        let [mut oscillator, mut network] =
            [Random::new(self.seed, Stream::Oscillator), Random::new(self.seed, Stream::Up(0))];
        let (mut frequency, mut offset, mut step) = (1e-5, 0.01, 0.0);
        let (mut next, mut asked) = (1.0, 0);
        let middle = self.length / 2;
        let judged = match self.fault {
            Fault::None => self.length / 6..self.length,
            _ => middle..middle + 6_000,
        };
        // The last prediction made: an estimate is a line, so one evaluation a sample will do.
        let (mut made, mut line) = (0.0, (0.0, 1.0, 0.0));
        let (mut squares, mut frequency_squares, mut normalized) = (0.0, 0.0, Vec::new());
        for second in 0..self.length {
            let now = second as f64;
            frequency += self.wander * oscillator.normal();
            let before = step;
            let faulty = second >= middle;
            if second == middle {
                match self.fault {
                    Fault::Frequency(change) => frequency += change,
                    Fault::Phase(by) => step = by,
                    _ => {}
                }
            }
            let burst = faulty && second < middle + 3_000;
            if next < now + 1.0 {
                let sent = f64::max(next, now);
                let part = self.jitter / f64::from(self.shape);
                let mut delay =
                    || 1e-4 + (0..self.shape).map(|_| part * network.exponential()).sum::<f64>();
                let (mut forth, mut back) = (delay(), delay());
                match self.fault {
                    Fault::Burst(mean) if burst => forth += mean * network.exponential(),
                    Fault::Route(longer) if faulty => {
                        forth += longer;
                        back += longer;
                    }
                    _ => {}
                }
                let clock = |time: f64| at(time - offset - frequency * (time - now));
                let arrived = sent + forth;
                let exchange = Exchange {
                    sent: clock(sent),
                    server_received: at(arrived + step),
                    server_sent: at(arrived + step),
                    received: clock(arrived + back),
                };
                if judged.contains(&second) {
                    let (predicted, deviation, _) = subject.predict(now - offset);
                    let error = predicted - offset - before;
                    normalized.push(error * error / (deviation * deviation));
                }
                let taken = subject.update(&exchange);
                asked += 1;
                let pause = 64.0 * (1.0 + 0.02 * network.uniform());
                next = sent + if asked < 6 || !taken { 2.0 } else { pause };
                made = now + 1.0;
                line = subject.predict(made - offset - frequency);
            }
            offset += frequency;
            if judged.contains(&second) {
                let (predicted, _, its_frequency) = line;
                let error = predicted + its_frequency * (now + 1.0 - made) - offset - step;
                squares += error * error;
                frequency_squares += (its_frequency - frequency) * (its_frequency - frequency);
            }
        }
        let count = judged.len() as f64;
        Errors {
            offset: libm::sqrt(squares / count),
            frequency: libm::sqrt(frequency_squares / count),
            normalized: normalized.iter().sum::<f64>() / normalized.len() as f64,
        }
    }
}
