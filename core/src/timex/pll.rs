//! The phase-locked and the frequency-locked loop.

use super::Status;
use super::scale::{HZ, MAX_PHASE, SCALE_SHIFT, clamp_freq, shift_right};
use crate::units::Span;

/// How much of an offset is corrected in a second: a quarter over 2^[`constant`](Loop::constant)
/// (`SHIFT_PLL`).
const PLL_SHIFT: u32 = 2;
/// How much of an offset's rate the frequency-locked loop takes over: a quarter (`SHIFT_FLL`).
const FLL_SHIFT: u32 = 2;
/// Below this interval there is no frequency-locked loop, s (`MINSEC`).
const MIN_FLL_INTERVAL: i64 = 256;
/// Above this interval there always is, s (`MAXSEC`).
const MAX_PLL_INTERVAL: i64 = 2_048;
/// The largest time constant, log2 s (`MAXTC`).
pub(super) const MAX_CONSTANT: i8 = 10;

/// The hybrid loop of `ntp_adjtime`: from offsets to phase and frequency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Loop {
    /// The offset still to be corrected, 2^-32 ns a tick.
    offset: i64,
    /// The frequency, 2^-32 ns/s.
    pub(super) freq: i64,
    /// log2 s; at most [`MAX_CONSTANT`].
    constant: u8,
    /// The second of the last offset, or in which the loop was closed.
    pub(super) updated: i64,
}

impl Loop {
    pub(super) const NEW: Self = Self { offset: 0, freq: 0, constant: 2, updated: 0 };

    pub(super) const fn constant(&self) -> u8 {
        self.constant
    }

    pub(super) fn set_constant(&mut self, constant: u8, status: Status) {
        let finer = if status.contains(Status::NANO) { 0 } else { 4 };
        let most = MAX_CONSTANT.cast_unsigned();
        self.constant = (constant.min(most) + finer).min(most);
    }

    /// The offset still to be corrected.
    pub(super) const fn offset(&self) -> Span {
        Span::from_nanos(shift_right(self.offset * HZ, SCALE_SHIFT))
    }

    /// Sets the phase alone, ±[`MAX_PHASE`].
    pub(super) fn set_offset(&mut self, nanos: i64) {
        self.offset = (nanos << SCALE_SHIFT) / HZ;
    }

    /// An offset was measured in the second `secs`.
    pub(super) fn update(&mut self, offset: Span, secs: i64, status: &mut Status) {
        let nanos = offset.as_nanos().clamp(-MAX_PHASE, MAX_PHASE);
        let held = status.contains(Status::FREQHOLD);
        let interval = if held { 0 } else { secs.saturating_sub(self.updated) };
        self.updated = secs;

        let fll = interval >= MIN_FLL_INTERVAL
            && (status.contains(Status::FLL) || interval > MAX_PLL_INTERVAL);
        status.set(Status::MODE, fll);
        let by_fll = if fll { (nanos << (SCALE_SHIFT - FLL_SHIFT)) / interval } else { 0 };

        // The gain of the phase-locked loop falls with intervals beyond its time constant. It
        // wraps as the kernel's does when the clock was set back by decades.
        let constant = u32::from(self.constant);
        let interval = interval.min(1 << (PLL_SHIFT + 1 + constant));
        let gain_shift = SCALE_SHIFT - 2 * (PLL_SHIFT + 2 + constant);
        let by_pll = nanos.wrapping_mul(interval) << gain_shift;

        self.freq = clamp_freq(by_fll.wrapping_add(by_pll).wrapping_add(self.freq));
        self.set_offset(nanos);
    }

    /// What is added to each tick of the next second.
    pub(super) fn per_tick(&self, status: Status) -> i64 {
        if status.contains(Status::PPSTIME | Status::PPSSIGNAL) {
            self.offset
        } else {
            shift_right(self.offset, PLL_SHIFT + u32::from(self.constant))
        }
    }

    /// A second begins, in which so much is corrected in each tick.
    pub(super) fn pass(&mut self, per_tick: i64) {
        self.offset -= per_tick;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NANO: Status = Status::PLL.union(Status::NANO);
    const MILLISECOND: Span = Span::from_millis(1);

    /// The frequency that an offset of a millisecond brings after `interval`, in 2^-32 ns/s.
    fn freq(constant: u8, interval: i64, status: Status) -> (i64, bool) {
        let (mut pll, mut status) = (Loop::NEW, status | Status::NANO);
        pll.set_constant(constant, status);
        pll.update(MILLISECOND, interval, &mut status);
        (pll.freq, status.contains(Status::MODE))
    }

    // offset * interval / 4^(constant + 4) ns/s.
    #[test]
    fn phase_locked_loop_gains() {
        for (constant, interval, gain) in [
            (0, 8, (8_000_000 << 32) / 256),
            (6, 64, (64_000_000 << 32) / (1 << 20)),
            (10, 1_024, (1_024_000_000 << 32) / (1 << 28)),
            // No more than 8 * 2^constant seconds count.
            (0, 255, (8_000_000 << 32) / 256),
            (3, 65, (64_000_000 << 32) / (1 << 14)),
            // Backwards they all do.
            (3, -100, (-100_000_000 << 32) / (1 << 14)),
        ] {
            assert_eq!(freq(constant, interval, Status::PLL), (gain, false), "{constant}");
        }
    }

    // offset / 4 / interval, beside the phase-locked loop's.
    #[test]
    fn frequency_locked_loop_is_chosen_by_interval() {
        let by_pll = |interval: i64| ((interval.min(64) * 1_000_000) << 32) / (1 << 14);
        let by_fll = |interval| (1_000_000 << 30) / interval;
        for (status, interval, fll) in [
            (Status::PLL, 2_048, false),
            (Status::PLL, 2_049, true),
            (Status::PLL | Status::FLL, 255, false),
            (Status::PLL | Status::FLL, 256, true),
            (Status::PLL | Status::MODE, 10, false),
        ] {
            let expected = by_pll(interval) + if fll { by_fll(interval) } else { 0 };
            assert_eq!(freq(3, interval, status), (expected, fll), "{status} {interval}");
        }
        assert_eq!(freq(3, 5_000, Status::PLL | Status::FREQHOLD), (0, false));
    }

    #[test]
    fn limits() {
        let (mut pll, mut status) = (Loop::NEW, NANO);
        pll.set_constant(0, status);
        for _ in 0..100 {
            pll.update(Span::MIN, 8, &mut status);
            pll.updated = 0;
        }
        assert_eq!(pll.freq, -500_000 << 32);
        assert_eq!(pll.offset(), Span::from_millis(-500));
        for secs in [i64::MIN, i64::MAX] {
            for updated in [i64::MIN, 0, i64::MAX] {
                pll.updated = updated;
                pll.update(Span::MAX, secs, &mut (status | Status::FLL));
            }
        }
    }

    #[test]
    fn constant_is_finer_with_nanoseconds() {
        let mut pll = Loop::NEW;
        assert_eq!(pll.constant(), 2);
        for (given, nano, micro) in [(0, 0, 4), (6, 6, 10), (7, 7, 10), (255, 10, 10)] {
            pll.set_constant(given, NANO);
            assert_eq!(pll.constant(), nano);
            pll.set_constant(given, Status::PLL);
            assert_eq!(pll.constant(), micro);
        }
    }

    // A quarter over 2^constant of what is left each second, rounded towards zero.
    #[test]
    fn offset_decays() {
        let (mut pll, mut status) = (Loop::NEW, NANO);
        pll.set_constant(0, status);
        for (sign, rest) in [(1, 3), (-1, 3)] {
            pll.update(MILLISECOND.times(sign), 0, &mut status);
            for left in [750_000, 562_500, 421_875] {
                pll.pass(pll.per_tick(status));
                assert_eq!(pll.offset(), Span::from_nanos(sign * left));
            }
            for _ in 0..200 {
                pll.pass(pll.per_tick(status));
            }
            assert_eq!(pll.offset, sign * rest);
        }
        // A pulse per second is believed at once.
        let pps = status | Status::PPSTIME | Status::PPSSIGNAL;
        assert_eq!(pll.per_tick(pps), pll.offset);
        assert_eq!(pll.per_tick(status | Status::PPSTIME), 0);
    }
}
