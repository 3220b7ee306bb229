//! The discipline by a pulse per second, as Linux' `hardpps` does it.

use super::scale::{MAX_FREQ, SCALE_SHIFT, shift_right, to_frequency};
use super::{Pps, Status};
use crate::units::{FreqOffset, Instant, NANOS_PER_SEC, Span, WallTime};

/// For how many seconds a pulse is good (`PPS_VALID`).
const VALID_SECONDS: u64 = 10;
/// How many times the mean jitter a pulse may have, log2 (`PPS_POPCORN`).
const POPCORN_SHIFT: u32 = 4;
/// The shortest calibration interval, log2 s; also the weight of the means (`PPS_INTMIN`).
const MIN_SHIFT: u8 = 2;
/// The longest (`PPS_INTMAX`).
const MAX_SHIFT: u8 = 8;
/// After so many good intervals they are doubled, after as many bad ones halved (`PPS_INTCOUNT`).
const STREAK: i8 = 4;
/// The greatest change of the frequency between intervals, ns/s (`PPS_MAXWANDER`).
const MAX_WANDER: i64 = 100_000;

/// What the pulses have told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Pulses {
    valid: u64,
    /// The phase that the pulse before asked for, ns.
    last_phase: i64,
    jitter: i64,
    /// Where the calibration interval began.
    base: Option<Instant>,
    shift: u8,
    streak: i8,
    /// 2^-32 ns/s.
    pub(super) freq: i64,
    /// 2^-16 ppm.
    stabil: i64,
    calcnt: u64,
    jitcnt: u64,
    stbcnt: u64,
    errcnt: u64,
}

/// What a pulse asks for; the clock decides by its status whether it follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Correction {
    /// The frequency, 2^-32 ns/s.
    pub(super) freq: Option<i64>,
    /// The phase, ns.
    pub(super) phase: Option<i64>,
}

impl Pulses {
    pub(super) const NONE: Self = Self {
        valid: 0,
        last_phase: 0,
        jitter: 0,
        base: None,
        shift: MIN_SHIFT,
        streak: 0,
        freq: 0,
        stabil: 0,
        calcnt: 0,
        jitcnt: 0,
        stbcnt: 0,
        errcnt: 0,
    };

    /// Begins anew; the counts go on.
    pub(super) const fn clear(&mut self) {
        self.restart_calibration();
        self.last_phase = 0;
        self.base = None;
        self.freq = 0;
    }

    pub(super) const fn restart_calibration(&mut self) {
        self.shift = MIN_SHIFT;
        self.streak = 0;
    }

    /// `seconds` begin, one after the other.
    pub(super) fn pass(&mut self, seconds: u64, status: &mut Status) {
        if seconds > self.valid {
            status.remove(Status::PPSSIGNAL | FAULTS);
            self.clear();
        }
        self.valid = self.valid.saturating_sub(seconds);
    }

    /// A pulse came when the counter showed `at` and the clock `time`.
    pub(super) fn pulse(&mut self, at: Instant, time: WallTime, status: &mut Status) -> Correction {
        status.remove(FAULTS);
        status.insert(Status::PPSSIGNAL);
        self.valid = VALID_SECONDS;
        let Some(base) = self.base else {
            self.base = Some(at);
            return Correction::default();
        };
        let (secs, nanos) = nearest_second((at - base).as_nanos());
        if secs <= 0 || nanos.abs() > MAX_FREQ * secs {
            status.insert(Status::PPSJITTER);
            self.base = Some(at);
            return Correction::default();
        }
        let mut freq = None;
        if secs >= 1 << self.shift {
            self.calcnt += 1;
            self.base = Some(at);
            freq = self.calibrate(secs, nanos, status);
        }
        let (_, late) = nearest_second(i64::from(time.subsec_nanos()));
        Correction { freq, phase: self.phase(-late, status) }
    }

    /// An interval of `secs` seconds and `nanos` ns by the counter is over.
    fn calibrate(&mut self, secs: i64, nanos: i64, status: &mut Status) -> Option<i64> {
        if secs > 2 << self.shift {
            status.insert(Status::PPSERROR);
            self.errcnt += 1;
            self.shorten();
            return None;
        }
        let freq = (-nanos << SCALE_SHIFT) / secs;
        let wander = shift_right(freq - self.freq, SCALE_SHIFT).abs();
        self.freq = freq;
        if wander > MAX_WANDER {
            status.insert(Status::PPSWANDER);
            self.stbcnt += 1;
            self.shorten();
        } else {
            self.lengthen();
        }
        self.stabil += ((wander << 16) / 1_000 - self.stabil) >> MIN_SHIFT;
        Some(freq)
    }

    /// The pulse asks for a phase of `phase` ns.
    fn phase(&mut self, phase: i64, status: &mut Status) -> Option<i64> {
        let jitter = (phase - self.last_phase).abs();
        self.last_phase = phase;
        let spike = jitter > self.jitter << POPCORN_SHIFT;
        if spike {
            status.insert(Status::PPSJITTER);
            self.jitcnt += 1;
        }
        self.jitter += (jitter - self.jitter) >> MIN_SHIFT;
        (!spike).then_some(phase)
    }

    fn shorten(&mut self) {
        self.streak -= 1;
        if self.streak <= -STREAK {
            self.streak = -STREAK;
            if self.shift > MIN_SHIFT {
                self.shift -= 1;
                self.streak = 0;
            }
        }
    }

    fn lengthen(&mut self) {
        self.streak += 1;
        if self.streak >= STREAK {
            self.streak = STREAK;
            if self.shift < MAX_SHIFT {
                self.shift += 1;
                self.streak = 0;
            }
        }
    }

    pub(super) const fn report(&self) -> Pps {
        Pps {
            ppsfreq: to_frequency(self.freq),
            jitter: Span::from_nanos(self.jitter),
            shift: self.shift,
            stabil: FreqOffset::from_scaled_ppm(self.stabil),
            jitcnt: self.jitcnt,
            calcnt: self.calcnt,
            errcnt: self.errcnt,
            stbcnt: self.stbcnt,
        }
    }
}

const FAULTS: Status = Status::PPSJITTER.union(Status::PPSWANDER).union(Status::PPSERROR);

/// Whole seconds, and the nanoseconds from there: above -0.5 s, at most 0.5 s.
const fn nearest_second(nanos: i64) -> (i64, i64) {
    let (secs, rest) = (nanos.div_euclid(NANOS_PER_SEC), nanos.rem_euclid(NANOS_PER_SEC));
    if rest > NANOS_PER_SEC / 2 { (secs + 1, rest - NANOS_PER_SEC) } else { (secs, rest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pulses of a source against which the counter gains `ppb` and the clock is right, but for
    /// `late` ns from pulse to pulse.
    struct Source {
        pulses: Pulses,
        status: Status,
        at: i64,
        ppb: i64,
    }

    impl Source {
        fn new(ppb: i64) -> Self {
            Self { pulses: Pulses::NONE, status: Status::empty(), at: 0, ppb }
        }

        fn pulse(&mut self, late: i64) -> Correction {
            self.pulse_after(1, late)
        }

        fn pulse_after(&mut self, seconds: i64, late: i64) -> Correction {
            self.at += seconds * (NANOS_PER_SEC + self.ppb);
            let at = Instant::default() + Span::from_nanos(self.at);
            let time = WallTime::from_unix(1_790_000_000, 0) + Span::from_nanos(late);
            self.pulses.pass(seconds as u64, &mut self.status);
            self.pulses.pulse(at, time, &mut self.status)
        }
    }

    #[test]
    fn frequency_is_that_of_the_interval() {
        let mut source = Source::new(12_500);
        assert_eq!(source.pulse(0), Correction::default());
        assert_eq!(source.status, Status::PPSSIGNAL);
        for _ in 0..3 {
            assert_eq!(source.pulse(0).freq, None);
        }
        assert_eq!(source.pulse(0).freq, Some(-12_500 << 32));
        let report = source.pulses.report();
        assert_eq!(report.ppsfreq, FreqOffset::from_ppm_f64(-12.5));
        assert_eq!((report.calcnt, report.errcnt, report.stbcnt, report.jitcnt), (1, 0, 0, 0));
        // A quarter of 12.5 ppm.
        assert_eq!(report.stabil, FreqOffset::from_ppm_f64(3.125));
    }

    #[test]
    fn good_intervals_lengthen_to_256_seconds() {
        let mut source = Source::new(0);
        source.pulse(0);
        for shift in 2..8 {
            for _ in 0..4 << shift {
                assert_eq!(source.pulses.report().shift, shift);
                source.pulse(0);
            }
        }
        for _ in 0..5 << 8 {
            source.pulse(0);
        }
        assert_eq!(source.pulses.report().shift, 8);
        assert_eq!(source.pulses.report().calcnt, 6 * 4 + 5);
    }

    #[test]
    fn wander_shortens_and_is_counted() {
        let mut source = Source::new(0);
        for _ in 0..17 {
            source.pulse(0);
        }
        assert_eq!(source.pulses.report().shift, 3);
        for bad in 1..=4 {
            source.ppb = if bad % 2 == 0 { 0 } else { 100_001 };
            for _ in 0..8 {
                assert!(!source.status.contains(Status::PPSWANDER));
                source.pulse(0);
            }
            assert!(source.status.contains(Status::PPSWANDER));
            assert_eq!(source.pulses.report().stbcnt, bad);
            source.status.remove(Status::PPSWANDER);
        }
        assert_eq!(source.pulses.report().shift, 2);
    }

    #[test]
    fn pulses_out_of_place_restart_the_interval() {
        let mut source = Source::new(0);
        source.pulse(0);
        source.ppb = 500_001;
        assert_eq!(source.pulse(0), Correction::default());
        assert!(source.status.contains(Status::PPSSIGNAL | Status::PPSJITTER));
        source.ppb = 500_000;
        assert!(source.pulse(0).phase.is_some());
        assert!(!source.status.contains(Status::PPSJITTER));
    }

    #[test]
    fn interval_too_long_is_an_error() {
        let mut source = Source::new(0);
        source.pulse(0);
        assert_eq!(source.pulse_after(9, 0).freq, None);
        assert!(source.status.contains(Status::PPSERROR));
        assert_eq!(source.pulses.report().errcnt, 1);
        source.pulse(0);
        assert!(!source.status.contains(Status::PPSERROR));
    }

    #[test]
    fn phase_is_the_lateness_unless_it_jumps() {
        let mut source = Source::new(0);
        source.pulse(0);
        // Jitter of 160 ns from none: a spike, but the mean rises to 40 ns.
        assert_eq!(source.pulse(160).phase, None);
        assert_eq!(source.pulses.report().jitcnt, 1);
        assert_eq!(source.pulses.report().jitter, Span::from_nanos(40));
        // Now 16 times that is believed, and no more.
        assert_eq!(source.pulse(-480).phase, Some(480));
        assert_eq!(source.pulses.report().jitter, Span::from_nanos(40 + 150));
        assert_eq!(source.pulse(-480 + 3_041).phase, None);
        assert!(source.status.contains(Status::PPSJITTER));
    }

    #[test]
    fn signal_is_lost_after_ten_seconds() {
        let mut source = Source::new(7_000);
        for _ in 0..5 {
            source.pulse(5);
        }
        source.pulses.pass(10, &mut source.status);
        assert!(source.status.contains(Status::PPSSIGNAL));
        assert_ne!(source.pulses.freq, 0);
        source.pulses.pass(1, &mut source.status);
        assert_eq!(source.status, Status::empty());
        assert_eq!(source.pulses.report().ppsfreq, FreqOffset::ZERO);
        assert_eq!(source.pulses.report().calcnt, 1);
    }
}
