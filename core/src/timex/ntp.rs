//! The state behind `ntp_adjtime`: what each call and each new second does to it.
//!
//! Source: what Linux does (`adjtimex(2)`; 6.12), to the last bit.

use super::leap::Leap;
use super::pll::Loop;
use super::pps::Pulses;
use super::scale::{HZ, MAX_FREQ, MAX_PHASE, SCALE_SHIFT, SECOND, USER_HZ};
use super::scale::{from_frequency, to_frequency};
use super::slew::SingleShot;
use super::{ClockState, Constant, Error, Field, Reply, Resolution, Settings, Status, Timex};
use crate::units::{FreqOffset, Instant, Span, WallTime};

/// Errors grow by so much in a second, us.
const ERROR_GROWTH: i64 = MAX_FREQ / 1_000;
/// A clock with a larger error is not synchronised, us (`NTP_PHASE_LIMIT`).
const MAX_ERROR: i64 = (MAX_PHASE / 1_000) << 5;
/// The nominal tick, us.
const NOMINAL_TICK: i64 = 1_000_000 / USER_HZ;
/// The range of ticks, us.
const TICKS: core::ops::RangeInclusive<i64> = 900_000 / USER_HZ..=1_100_000 / USER_HZ;
/// The range of TAI minus UTC, s (`MAX_TAI_OFFSET`).
const TAI_OFFSETS: core::ops::RangeInclusive<i32> = 0..=100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Ntp {
    status: Status,
    leap: Leap,
    pll: Loop,
    slew: SingleShot,
    pulses: Pulses,
    /// us.
    tick: i64,
    /// us.
    max_error: i64,
    est_error: i64,
    tai: i32,
    /// How much time a tick is in this second, 2^-32 ns.
    tick_length: i64,
    /// The same without offsets that are being corrected.
    tick_length_base: i64,
}

impl Ntp {
    pub(super) const NEW: Self = Self {
        status: Status::UNSYNC,
        leap: Leap::NONE,
        pll: Loop::NEW,
        slew: SingleShot(0),
        pulses: Pulses::NONE,
        tick: NOMINAL_TICK,
        max_error: MAX_ERROR,
        est_error: MAX_ERROR,
        tai: 0,
        tick_length: SECOND / HZ,
        tick_length_base: SECOND / HZ,
    };

    /// What the clock gains on the counter in this second, 2^-32 ns/s.
    pub(super) const fn rate(&self) -> i64 {
        self.tick_length * HZ - SECOND
    }

    /// The same without offsets that are being corrected.
    pub(super) const fn base_rate(&self) -> i64 {
        self.tick_length_base * HZ - SECOND
    }

    /// In how many of the seconds after `secs` at least the clock goes on as it does.
    pub(super) fn steady(&self, secs: i64) -> u64 {
        let correction = self.pll.per_tick(self.status);
        let next = self.tick_length_base + correction + self.slew.per_tick();
        if correction != 0 || next != self.tick_length {
            return 0;
        }
        self.leap.steady(self.status, secs).min(self.slew.steady())
    }

    /// So many seconds pass in which it does.
    pub(super) fn pass(&mut self, seconds: u64) {
        self.grow_error(seconds);
        self.pulses.pass(seconds, &mut self.status);
        self.slew.pass(seconds);
    }

    /// The second `secs` begins; by how many the clock leaps.
    pub(super) fn second(&mut self, secs: i64) -> i64 {
        let leap = self.leap.second(self.status, secs);
        self.tai = self.tai.saturating_sub(leap as i32);
        self.grow_error(1);
        let correction = self.pll.per_tick(self.status);
        self.pll.pass(correction);
        self.pulses.pass(1, &mut self.status);
        self.tick_length = self.tick_length_base + correction + self.slew.per_tick();
        self.slew.pass(1);
        leap
    }

    /// The clock was set: nothing that was known of its error holds.
    pub(super) fn clear(&mut self) {
        self.slew = SingleShot(0);
        self.status.insert(Status::UNSYNC);
        (self.max_error, self.est_error) = (MAX_ERROR, MAX_ERROR);
        self.update_frequency();
        self.tick_length = self.tick_length_base;
        self.pll.set_offset(0);
        self.leap.forget();
        self.pulses.clear();
    }

    /// Whether [`set`](Self::set) will take the settings.
    pub(super) fn check(settings: &Settings) -> Result<(), Error> {
        if let Some(tick) = settings.tick
            && whole_micros(tick).is_none_or(|tick| !TICKS.contains(&tick))
        {
            return Err(Error::invalid(Field::Tick, tick));
        }
        match settings.frequency {
            Some(frequency) if from_frequency(frequency).is_none() => {
                Err(Error::invalid(Field::Freq, frequency))
            }
            _ => Ok(()),
        }
    }

    /// Sets what was [checked](Self::check), in the second `secs`.
    pub(super) fn set(&mut self, settings: &Settings, secs: i64) {
        if let Some(status) = settings.status {
            self.set_status(status, secs);
        }
        if let Some(resolution) = settings.resolution {
            self.status.set(Status::NANO, resolution == Resolution::Nano);
        }
        if let Some(freq) = settings.frequency.and_then(from_frequency) {
            self.pll.freq = freq;
            self.pulses.freq = freq;
        }
        if let Some(error) = settings.max_error {
            self.max_error = micros_up(error).clamp(0, MAX_ERROR);
        }
        if let Some(error) = settings.est_error {
            self.est_error = micros_up(error).clamp(0, MAX_ERROR);
        }
        match settings.constant {
            Some(Constant::Time(constant)) => self.pll.set_constant(constant, self.status),
            Some(Constant::Tai(tai)) => self.set_tai(tai),
            None => {}
        }
        if let Some(offset) = settings.offset
            && self.status.contains(Status::PLL)
        {
            let offset = self.in_resolution(offset);
            self.pll.update(offset, secs, &mut self.status);
        }
        if let Some(tick) = settings.tick.and_then(whole_micros) {
            self.tick = tick;
        }
        self.update_frequency();
    }

    pub(super) const fn status(&self) -> Status {
        self.status
    }

    /// How right the clock is: the greatest and the likely error.
    pub(super) fn set_errors(&mut self, max: Span, likely: Span) {
        self.max_error = micros_up(max).clamp(0, MAX_ERROR);
        self.est_error = micros_up(likely).clamp(0, MAX_ERROR);
    }

    /// The leap second that the status bits tell of is made, even if the clock was set since.
    pub(super) fn recall_leap(&mut self) {
        self.leap.recall();
    }

    /// Unless it is out of range.
    pub(super) fn set_tai(&mut self, tai: i32) {
        if TAI_OFFSETS.contains(&tai) {
            self.tai = tai;
        }
    }

    /// Ends the loop, and forgets its offset and frequency.
    pub(super) fn unlock(&mut self, secs: i64) {
        if self.status.contains(Status::PLL) {
            self.pll.set_offset(0);
            self.set_status(self.status.difference(Status::PLL | Status::FLL), secs);
            (self.pll.freq, self.pulses.freq) = (0, 0);
            self.update_frequency();
        }
    }

    /// What is not settable of it stays.
    pub(super) fn set_status(&mut self, status: Status, secs: i64) {
        match (self.status.contains(Status::PLL), status.contains(Status::PLL)) {
            (true, false) => {
                self.leap = Leap::NONE;
                self.status = Status::UNSYNC;
                self.pulses.restart_calibration();
            }
            (false, true) => self.pll.updated = secs,
            _ => {}
        }
        self.status = self.status & Status::READ_ONLY | status & Status::SETTABLE;
    }

    /// Replaces the single-shot slew from the next second on; what was left of it.
    pub(super) fn single_shot(&mut self, by: Span) -> Span {
        let left = self.slew_left();
        self.slew = SingleShot(by.as_nanos() / 1_000);
        left
    }

    pub(super) const fn slew_left(&self) -> Span {
        Span::from_micros(self.slew.0)
    }

    /// A pulse came when the counter showed `at` and the clock `time`.
    pub(super) fn pulse(&mut self, at: Instant, time: WallTime) {
        let correction = self.pulses.pulse(at, time, &mut self.status);
        let held = self.status.contains(Status::FREQHOLD);
        if let Some(freq) = correction.freq
            && self.status.contains(Status::PPSFREQ)
            && !held
        {
            self.pll.freq = freq;
            self.update_frequency();
        }
        if let Some(phase) = correction.phase
            && self.status.contains(Status::PPSTIME)
        {
            self.pll.set_offset(phase);
            self.slew = SingleShot(0);
        }
    }

    pub(super) fn report(&self, time: WallTime) -> Reply {
        let nano = self.status.contains(Status::NANO);
        let mut pps = self.pulses.report();
        pps.jitter = self.in_resolution(pps.jitter);
        let shown = if nano { time.subsec_nanos() } else { time.subsec_nanos() / 1_000 * 1_000 };
        let timex = Timex {
            offset: self.in_resolution(self.pll.offset()),
            freq: to_frequency(self.pll.freq),
            maxerror: Span::from_micros(self.max_error),
            esterror: Span::from_micros(self.est_error),
            status: self.status,
            constant: self.pll.constant(),
            precision: if nano { Span::from_nanos(1) } else { Span::from_micros(1) },
            tolerance: FreqOffset::from_ppm((MAX_FREQ / 1_000) as i32),
            time: WallTime::from_unix(time.unix_secs(), shown),
            tick: Span::from_micros(self.tick),
            pps,
            tai: self.tai,
        };
        let state = if self.status.is_error() { ClockState::Error } else { self.leap.state() };
        Reply { state, timex }
    }

    /// Whole microseconds, towards zero, unless the resolution is a nanosecond.
    fn in_resolution(&self, span: Span) -> Span {
        if self.status.contains(Status::NANO) {
            span
        } else {
            Span::from_micros(span.as_nanos() / 1_000)
        }
    }

    fn update_frequency(&mut self) {
        let second = ((self.tick * 1_000 * USER_HZ) << SCALE_SHIFT) + self.pll.freq;
        let base = second / HZ;
        self.tick_length += base - self.tick_length_base;
        self.tick_length_base = base;
    }

    fn grow_error(&mut self, seconds: u64) {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.max_error = self.max_error.saturating_add(ERROR_GROWTH.saturating_mul(seconds));
        if self.max_error > MAX_ERROR {
            self.max_error = MAX_ERROR;
            self.status.insert(Status::UNSYNC);
        }
    }
}

fn whole_micros(span: Span) -> Option<i64> {
    (span.as_nanos() % 1_000 == 0).then(|| span.as_nanos() / 1_000)
}

const fn micros_up(span: Span) -> i64 {
    span.as_nanos().saturating_add(999).div_euclid(1_000)
}
