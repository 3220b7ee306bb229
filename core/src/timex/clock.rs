//! The clock itself: seconds of its own time over a counter.

use super::integrator::Integrator;
use super::ntp::Ntp;
use super::{Error, Field, NtpTime, Reply, Request, Resolution, Settings, Status};
use crate::clock::{ClockStatus, LeapPlan};
use crate::units::{FreqOffset, Instant, Span, WallTime};

/// The largest rate that [`SoftwareClock::steer`] takes, either way: 10 %, what the kernel's
/// `tick` allows.
pub const MAX_FREQUENCY: FreqOffset = FreqOffset::from_ppm(100_000);

/// Where [`Settings::set_offset`] may take the clock, s: from 1970 to 30 years before the kernel's
/// nanoseconds overflow.
const SETTABLE: core::ops::Range<i64> = 0..8_277_292_036;

/// The kernel's clock over a monotonic counter: what `ntp_adjtime` does to the kernel's,
/// [`ntp_adjtime`](Self::ntp_adjtime) does to it, with the same numbers.
///
/// It is exact: the time depends on what was changed when, not on how often it is read or changed,
/// and is rounded down to the nanosecond only when it is read. Between steps and leap seconds it
/// never goes back.
///
/// `DEVIATION:` a kernel begins a new second at its next tick, up to some milliseconds late; this
/// clock begins it at the second's first nanosecond.
///
/// Changes come in order: one that is dated before the last is made together with the last. Each
/// call costs the same however long it was since the last change, but while an offset is
/// corrected, when it costs a step for each second since: at most some 120,000, after so many
/// seconds (an offset decays to nothing by then even with the longest time constant).
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SoftwareClock {
    base: Integrator,
    ntp: Ntp,
    steering: FreqOffset,
}

impl SoftwareClock {
    /// A clock that shows `time` at `at`, runs at the counter's rate and is not synchronised.
    #[must_use]
    pub const fn new(at: Instant, time: WallTime) -> Self {
        Self { base: Integrator::new(at, time), ntp: Ntp::NEW, steering: FreqOffset::ZERO }
    }

    /// The time at `at`. Before the last change (where a receive stamp may lie) it is read as if
    /// that change had been made already then, so that it compares with what is read after it.
    #[must_use]
    pub fn read(&self, at: Instant) -> WallTime {
        let time = self.base.read(at);
        let passed = self.seconds_until(time);
        if passed == 0 || passed <= self.ntp.steady(self.base.time().unix_secs()) {
            return time;
        }
        self.advanced(at).base.read(at)
    }

    /// `ntp_gettime` at `at`.
    #[must_use]
    pub fn ntp_gettime(&self, at: Instant) -> NtpTime {
        let clock = self.advanced(at);
        clock.ntp.report(clock.base.read(at)).into()
    }

    /// `ntp_adjtime` at `at`. Who may make which [`Request`] is the caller's affair
    /// ([`Request::is_privileged`]).
    ///
    /// # Errors
    /// [`Error::Invalid`] for a tick out of range, a frequency beyond 2,147,483 ppm, or a
    /// `set_offset` that leads out of 1970 to 2232. Nothing is set then, but the last leaves the
    /// clock unsynchronised, as the kernel's is.
    pub fn ntp_adjtime(&mut self, at: Instant, request: &Request) -> Result<Reply, Error> {
        self.advance_to(at);
        let slewing = match request {
            Request::Set(settings) => {
                self.set(settings)?;
                None
            }
            Request::SingleShot(by) => Some(self.ntp.single_shot(*by)),
            Request::SingleShotRemaining => Some(self.ntp.slew_left()),
        };
        self.update_rate();
        let mut reply = self.ntp.report(self.base.time());
        if let Some(slewing) = slewing {
            reply.timex.offset = slewing;
        }
        Ok(reply)
    }

    /// A pulse per second came at `at` (`hardpps`).
    pub fn pulse(&mut self, at: Instant) {
        let time = self.read(at);
        self.advance_to(at);
        self.ntp.pulse(at, time);
        self.update_rate();
    }

    /// Advances the clock by `by` at once, backwards if negative; to wherever that leads. It is
    /// not synchronised then, no offset is corrected any more, and a leap second that was in sight is
    /// not made unless it is armed again (as after `clock_settime(2)`).
    pub fn step(&mut self, at: Instant, by: Span) {
        self.advance_to(at);
        self.base.step(by);
        self.ntp.clear();
        self.update_rate();
    }

    /// Lets the clock gain `rate` from `at` on, clamped to ±[`MAX_FREQUENCY`], on top of what
    /// `ntp_adjtime` sets; returns what was set. For a discipline of one's own: all bits of the
    /// rate count, where `freq` keeps 2^-16 ppm and ends at ±500 ppm.
    pub fn steer(&mut self, at: Instant, rate: FreqOffset) -> FreqOffset {
        self.advance_to(at);
        self.steering = rate.clamp(-MAX_FREQUENCY, MAX_FREQUENCY);
        self.update_rate();
        self.steering
    }

    /// Gives `offset` to the loop ([`Settings::lock`]), which first begins at `frequency` if there is
    /// one, whatever [`steer`](Self::steer) had set; returns the [frequency](Self::frequency).
    pub fn lock(
        &mut self,
        at: Instant,
        frequency: Option<FreqOffset>,
        offset: Span,
        poll: i8,
    ) -> FreqOffset {
        self.advance_to(at);
        let mut settings = Settings::lock(offset, poll, self.ntp.status());
        if let Some(frequency) = frequency {
            self.steering = frequency.clamp(-MAX_FREQUENCY, MAX_FREQUENCY);
            settings.frequency = Some(FreqOffset::ZERO);
        }
        self.ntp.set(&settings, self.base.time().unix_secs());
        self.update_rate();
        self.frequency()
    }

    /// As [`steer`](Self::steer), but ends what [`lock`](Self::lock) began: `rate` is in place of
    /// the loop's frequency, and no offset is corrected any more.
    pub fn unlock(&mut self, at: Instant, rate: FreqOffset) -> FreqOffset {
        self.advance_to(at);
        self.ntp.unlock(self.base.time().unix_secs());
        self.steer(at, rate)
    }

    /// What it gains on the counter by `freq`, `tick` and [`steer`](Self::steer), without offsets
    /// that are being corrected.
    #[must_use]
    pub fn frequency(&self) -> FreqOffset {
        self.steering + FreqOffset::from_scaled_nanos(self.ntp.base_rate())
    }

    /// Sets `maxerror`, `esterror` and [`Status::UNSYNC`], and no other bit.
    pub fn set_status(&mut self, at: Instant, status: &ClockStatus) {
        self.advance_to(at);
        let ClockStatus { synced, max_error, estimated_error } = *status;
        let mut bits = self.ntp.status();
        bits.set(Status::UNSYNC, !synced);
        self.ntp.set_status(bits, self.base.time().unix_secs());
        self.ntp.set_errors(max_error, estimated_error);
    }

    /// Arms a leap second at the end of this day of the clock, or none, and sets TAI − UTC. One that a
    /// [`step`](Self::step) made the clock forget is armed again, which takes `ntp_adjtime` a second
    /// without its bit.
    pub fn set_leap(&mut self, at: Instant, plan: &LeapPlan) {
        self.advance_to(at);
        let status = plan.status(self.ntp.status());
        self.ntp.set_status(status, self.base.time().unix_secs());
        self.ntp.recall_leap();
        if let Some(tai) = plan.tai {
            self.ntp.set_tai(tai);
        }
    }

    /// Goes through the seconds that have begun until `at`, which spares later calls to do so.
    /// Nothing else comes of it: each call sees the same clock with and without.
    pub fn advance(&mut self, at: Instant) {
        loop {
            let secs = self.base.time().unix_secs();
            let passed = self.seconds_until(self.base.read(at));
            if passed == 0 {
                return;
            }
            let steady = self.ntp.steady(secs);
            if steady >= passed {
                self.base.move_anchor(at);
                self.ntp.pass(passed);
                return;
            }
            self.base.move_anchor(self.base.whole_second(steady.max(1)));
            if steady > 0 {
                self.ntp.pass(steady);
            } else {
                let leap = self.ntp.second(secs.saturating_add(1));
                self.base.step(Span::from_secs(leap));
                self.update_rate();
            }
        }
    }

    fn advanced(mut self, at: Instant) -> Self {
        self.advance(at);
        self
    }

    /// Makes `at` the anchor, unless the anchor is later.
    fn advance_to(&mut self, at: Instant) {
        self.advance(at);
        self.base.move_anchor(at.max(self.base.anchor()));
    }

    /// How many seconds begin until `time`.
    fn seconds_until(&self, time: WallTime) -> u64 {
        let (from, to) = (self.base.time().unix_secs(), time.unix_secs());
        if to > from { to.abs_diff(from) } else { 0 }
    }

    /// The rate of this second, offsets included.
    pub(crate) const fn rate(&self) -> FreqOffset {
        FreqOffset::from_scaled_nanos(self.base.rate())
    }

    /// The last change or a moment after it, and the time then, rounded down.
    pub(crate) const fn anchor(&self) -> (Instant, WallTime) {
        (self.base.anchor(), self.base.time())
    }

    fn set(&mut self, settings: &Settings) -> Result<(), Error> {
        Ntp::check(settings)?;
        if let Some(by) = settings.set_offset {
            let nano = settings.resolution == Some(Resolution::Nano);
            let unit = if nano { 1 } else { 1_000 };
            let rounded = Span::from_nanos(by.as_nanos().div_euclid(unit).saturating_mul(unit));
            self.ntp.clear();
            let target = self.base.time() + rounded;
            if !SETTABLE.contains(&target.unix_secs()) {
                self.update_rate();
                return Err(Error::invalid(Field::SetOffset, by));
            }
            self.base.step(rounded);
        }
        self.ntp.set(settings, self.base.time().unix_secs());
        Ok(())
    }

    fn update_rate(&mut self) {
        self.base.set_rate(self.ntp.rate() + self.steering.as_scaled_nanos());
    }
}

#[cfg(test)]
mod tests;
