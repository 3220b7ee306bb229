//! The kernel's clock.
//!
//! A rate is `freq`, ±500 ppm, and where there is one the length of a tick beside it, for ±10 %.

use nix::errno::Errno;
use truechimer_core::clock::{ClockError, ClockStatus, LeapPlan};
use truechimer_core::event::Event;
use truechimer_core::hal::{AdjustableClock, RawStamp};
use truechimer_core::io::{Stamp, StampSource};
use truechimer_core::timex::{self, Constant, Field, Request, Resolution, Settings, Status, Timex};
use truechimer_core::units::{FreqOffset, Instant, Now, Span, WallTime};

use super::read::both;
use crate::sys::timex::{TimexError, has, ntp_adjtime};

/// Whether the kernel has the loop that the engine's books follow: those of the BSDs correct an
/// offset four times as slowly, and OpenBSD has none.
pub(crate) const HAS_LOOP: bool = cfg!(target_os = "linux");
/// A stamp older than this is not believed.
const OLDEST: Span = Span::from_secs(10);
/// Nor one from further in the future, which a step of the clock makes.
const FUTURE: Span = Span::from_millis(1);
/// Below this `freq` alone does; beyond, the tick's coarser steps help.
const FREQ_RANGE: FreqOffset = FreqOffset::from_ppm(480);
/// The length of a tick that is no adjustment, us.
const NOMINAL_TICK: i64 = 10_000;
/// By how much a tick may differ from that, us.
const TICK_RANGE: i64 = NOMINAL_TICK / 10;
/// What a microsecond more in each tick gains.
const PPM_PER_MICRO: i32 = 100;

/// `CLOCK_REALTIME`, disciplined by `ntp_adjtime`.
#[derive(Debug)]
pub struct KernelClock {
    rate: FreqOffset,
    /// Somebody had synchronised it when it was opened.
    synced: bool,
    /// The rate that it had been given and the one that it was found at.
    found: Option<(FreqOffset, FreqOffset)>,
    failures: Vec<Event<'static>>,
}

impl KernelClock {
    /// Reads the rate that the kernel's clock runs at.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open() -> Result<Self, ClockError> {
        let timex = call(Settings::NONE)?;
        let synced = !timex.status.contains(Status::UNSYNC);
        Ok(Self { rate: rate(&timex), synced, found: None, failures: Vec::new() })
    }

    /// The rate that the clock was found at.
    #[must_use]
    pub const fn rate(&self) -> FreqOffset {
        self.rate
    }

    /// Whether it had been synchronised, and not long ago, when it was opened. Systems that do not tell
    /// count as such.
    #[must_use]
    pub const fn was_synced(&self) -> bool {
        self.synced
    }

    /// Whether this process may change the clock: tries to, to the rate that it has, and ends what
    /// a program before may have left in progress: a slew of adjtime(2), and the kernel's own
    /// loops, which would follow an old offset.
    ///
    /// # Errors
    /// [`ClockError::NotPermitted`] if it may not.
    pub fn try_control(&mut self) -> Result<(), ClockError> {
        let set = call(at_rate(self.rate));
        self.rate =
            rate(&set.inspect_err(|error| self.refused(*error, Event::ResetAdjfreqFailed))?);
        let ended = ntp_adjtime(&Request::SingleShot(Span::ZERO)).map_err(error);
        ended.inspect_err(|error| self.refused(*error, Event::ResetAdjtimeFailed))?;
        self.unlock()
    }

    /// That it may not be changed is no failure of a call.
    fn refused(&mut self, error: ClockError, event: Event<'static>) {
        if error != ClockError::NotPermitted {
            self.failures.push(event);
        }
    }

    /// What failed since it was last asked, to be logged.
    pub fn take_failures(&mut self) -> Vec<Event<'static>> {
        std::mem::take(&mut self.failures)
    }

    /// Ends the kernel's own loop if it is in use. What it corrects would go on without it, so it is
    /// told first that there is nothing to correct.
    fn unlock(&self) -> Result<(), ClockError> {
        if !has(Field::Status) || !call(Settings::NONE)?.status.contains(Status::PLL) {
            return Ok(());
        }
        call(Settings { offset: Some(Span::ZERO), ..Settings::NONE })?;
        self.change_status(Status::empty(), Status::PLL | Status::FLL, Settings::NONE)
    }

    /// Notes whether somebody else changed the rate.
    fn look(&mut self, timex: &Timex) {
        let found = rate(timex);
        if found != self.rate {
            self.found = Some((self.rate, found));
        }
    }

    /// Sets what is given, and these bits of the status. A leap second that somebody armed stays
    /// armed.
    fn change_status(
        &self,
        set: Status,
        clear: Status,
        settings: Settings,
    ) -> Result<(), ClockError> {
        if !has(Field::Status) {
            return Ok(());
        }
        let status = Some((call(Settings::NONE)?.status - clear) | set);
        call(Settings { status, ..settings }).map(drop)
    }
}

impl AdjustableClock for KernelClock {
    fn now(&self) -> Now {
        now()
    }

    fn stamp(&self, stamp: RawStamp) -> Stamp {
        self::stamp(stamp)
    }

    fn step(&mut self, by: Span) -> Result<Span, ClockError> {
        let resolution = Some(Resolution::Nano);
        call(Settings { set_offset: Some(by), resolution, ..Settings::NONE })?;
        Ok(by)
    }

    fn adjust(
        &mut self,
        frequency: FreqOffset,
        slew: FreqOffset,
    ) -> Result<FreqOffset, ClockError> {
        let read = call(Settings::NONE);
        let present = read.inspect_err(|_| self.failures.push(Event::NtpAdjtime1Failed))?;
        self.look(&present);
        self.unlock()?;
        let set = call(at_rate(frequency + slew));
        self.rate = rate(&set.inspect_err(|_| self.failures.push(Event::NtpAdjtime2Failed))?);
        Ok(self.rate)
    }

    /// The loop changes the frequency in no other moment than this.
    fn lock(
        &mut self,
        frequency: Option<FreqOffset>,
        offset: Span,
        poll: i8,
    ) -> Result<FreqOffset, ClockError> {
        if !HAS_LOOP {
            return Err(ClockError::Unsupported);
        }
        let read = call(Settings::NONE);
        let present = read.inspect_err(|_| self.failures.push(Event::NtpAdjtime1Failed))?;
        self.look(&present);
        let Settings { frequency, tick, .. } = frequency.map_or(Settings::NONE, at_rate);
        let settings = Settings::lock(offset, poll, present.status);
        let set = call(Settings { frequency, tick, ..settings });
        self.rate = rate(&set.inspect_err(|_| self.failures.push(Event::NtpAdjtime2Failed))?);
        Ok(self.rate)
    }

    fn take_found(&mut self) -> Option<(FreqOffset, FreqOffset)> {
        self.found.take()
    }

    /// Programs read it with ntp_gettime(3), and Linux copies a synchronised clock to the RTC.
    fn set_status(&mut self, status: &ClockStatus) -> Result<(), ClockError> {
        let errors = Settings {
            max_error: Some(status.max_error.max(Span::ZERO)),
            est_error: Some(status.estimated_error.max(Span::ZERO)),
            ..Settings::NONE
        };
        match status.synced {
            true => self.change_status(Status::empty(), Status::UNSYNC, errors),
            false => self.change_status(Status::UNSYNC, Status::empty(), errors),
        }
    }

    fn set_leap(&mut self, plan: &LeapPlan) -> Result<(), ClockError> {
        if !has(Field::Status) {
            return Err(ClockError::Unsupported);
        }
        let present = call(Settings::NONE)?;
        let status = plan.status(present.status);
        // Linux that was stepped knows of the leap second and does not make it, until its loop is
        // opened, be it one that had nothing to do, or the bit was off for a second.
        let arms = HAS_LOOP && status.intersects(Status::INS | Status::DEL);
        if arms {
            let status = Some(present.status ^ Status::PLL);
            call(Settings { status, ..Settings::NONE })?;
        }
        if arms || status != present.status {
            call(Settings { status: Some(status), ..Settings::NONE })?;
        }
        let tai = plan.tai.filter(|&tai| has(Field::Tai) && tai != present.tai);
        tai.map_or(Ok(()), |tai| {
            let constant = Some(Constant::Tai(tai));
            call(Settings { constant, ..Settings::NONE }).map(drop)
        })
    }
}

/// Both of the system's clocks.
pub(super) fn now() -> Now {
    let (mono, wall) = both();
    Now { mono, wall }
}

/// What the system's clock showed then.
pub(super) fn stamp(stamp: RawStamp) -> Stamp {
    let now = now();
    let credible = |time: WallTime| (-FUTURE..=OLDEST).contains(&(now.wall - time));
    let by_counter = |at: Instant| now.wall + (at - now.mono);
    match stamp {
        RawStamp::Hardware(time) if credible(time) => Stamp { time, source: StampSource::Hardware },
        RawStamp::Kernel(time) if credible(time) => Stamp { time, source: StampSource::Kernel },
        RawStamp::System(time) if credible(time) => Stamp { time, source: StampSource::User },
        RawStamp::Counter(at) => Stamp { time: by_counter(at), source: StampSource::Kernel },
        _ => Stamp { time: now.wall, source: StampSource::User },
    }
}

/// The rate of a clock as the kernel adds it up: the tick's and `freq`.
fn rate(timex: &Timex) -> FreqOffset {
    if has(Field::Tick) { timex.freq + tick_rate(timex.tick) } else { timex.freq }
}

fn tick_rate(tick: Span) -> FreqOffset {
    let longer = tick - Span::from_micros(NOMINAL_TICK);
    let micros = (longer.as_nanos() / 1_000).clamp(-TICK_RANGE, TICK_RANGE);
    FreqOffset::from_ppm(micros as i32 * PPM_PER_MICRO)
}

/// What makes a clock run at a rate. The tick takes its part of it.
fn at_rate(wanted: FreqOffset) -> Settings {
    if !has(Field::Tick) {
        return Settings { frequency: Some(wanted), ..Settings::NONE };
    }
    let longer = match wanted.abs() > FREQ_RANGE {
        true => (wanted.as_ppm() / f64::from(PPM_PER_MICRO)).round() as i64,
        false => 0,
    };
    let tick = Span::from_micros(NOMINAL_TICK + longer.clamp(-TICK_RANGE, TICK_RANGE));
    let frequency = wanted - tick_rate(tick);
    Settings { frequency: Some(frequency), tick: Some(tick), ..Settings::NONE }
}

fn call(settings: Settings) -> Result<Timex, ClockError> {
    Ok(ntp_adjtime(&Request::Set(settings)).map_err(error)?.timex)
}

fn error(error: TimexError) -> ClockError {
    match error {
        TimexError::Refused(timex::Error::NotPermitted) => ClockError::NotPermitted,
        TimexError::Refused(timex::Error::Unsupported { .. }) => ClockError::Unsupported,
        TimexError::Refused(_) => ClockError::Os(Errno::EINVAL as i32),
        TimexError::Os(errno) => ClockError::Os(errno as i32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fault::{Call, inject};

    #[test]
    fn reads_the_rate_without_privilege() {
        let clock = KernelClock::open().unwrap();
        assert!(clock.rate().abs() <= FreqOffset::from_ppm(100_500));
    }

    fn failures(clock: &mut KernelClock) -> Vec<String> {
        clock.take_failures().iter().map(Event::to_string).collect()
    }

    #[test]
    fn calls_that_fail_are_told() {
        let rate = FreqOffset::from_ppm(1);
        for (call, error, told) in [
            (Call::ReadClock, Errno::EFAULT, "ntp_adjtime (1) failed"),
            (Call::SetClock, Errno::EIO, "ntp_adjtime (2) failed"),
            (Call::SetClock, Errno::EPERM, "ntp_adjtime (2) failed"),
        ] {
            let mut clock = KernelClock::open().unwrap();
            let _fault = inject(call, error);
            clock.adjust(rate, FreqOffset::ZERO).unwrap_err();
            assert_eq!(failures(&mut clock), [told]);
            assert!(failures(&mut clock).is_empty());
        }
    }

    #[test]
    fn only_a_call_that_is_allowed_can_fail_at_the_start() {
        let mut clock = KernelClock::open().unwrap();
        let fault = inject(Call::SetClock, Errno::EPERM);
        assert_eq!(clock.try_control(), Err(ClockError::NotPermitted));
        assert!(failures(&mut clock).is_empty());
        drop(fault);
        let _fault = inject(Call::SetClock, Errno::EIO);
        clock.try_control().unwrap_err();
        assert_eq!(failures(&mut clock), ["reset adjfreq failed"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn rates_are_shared_with_the_tick() {
        for (ppm, tick, freq) in [
            (0, 10_000, 0),
            (480, 10_000, 480),
            (-480, 10_000, -480),
            (481, 10_005, -19),
            (-700, 9_993, 0),
            (99_999, 11_000, -1),
            (-100_400, 9_000, -400),
            (200_000, 11_000, 100_000),
        ] {
            let settings = at_rate(FreqOffset::from_ppm(ppm));
            assert_eq!(settings.tick, Some(Span::from_micros(tick)), "{ppm} ppm");
            assert_eq!(settings.frequency, Some(FreqOffset::from_ppm(freq)), "{ppm} ppm");
        }
        assert_eq!(tick_rate(Span::from_micros(10_001)), FreqOffset::from_ppm(100));
        assert_eq!(tick_rate(Span::from_micros(9_000)), FreqOffset::from_ppm(-100_000));
    }
}
