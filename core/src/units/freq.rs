//! A rate, relative to nominal.

use core::fmt;
use core::ops::{Add, Neg, Sub};

use super::Span;
use super::divide::{div_floor, div_floor_wide};

/// A dimensionless frequency offset: 1 ppm gains a microsecond each second. Held as parts per
/// million with a 32-bit fraction, so that the kernel's unit (ppm with a 16-bit fraction, `freq`
/// of `ntp_adjtime`) converts exactly. Range ±2^31 ppm, resolution 2.3e-16; arithmetic saturates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FreqOffset(i64);

/// Bits of fraction of a part per million.
const PPM_SHIFT: u32 = 32;
/// One part per million in the unit of [`FreqOffset`].
const PPM: i64 = 1 << PPM_SHIFT;
const MILLION: u64 = 1_000_000;
/// A rate of one (a clock of twice the speed) in that unit.
const UNITY: u64 = MILLION * PPM as u64;

impl FreqOffset {
    /// The nominal rate.
    pub const ZERO: Self = Self(0);

    /// From the unit of the kernel's `timex.freq`, ppm with a 16-bit fraction; exact.
    #[must_use]
    pub const fn from_scaled_ppm(scaled: i64) -> Self {
        Self(scaled.saturating_mul(1 << 16))
    }

    /// Whole parts per million; exact.
    #[must_use]
    pub const fn from_ppm(ppm: i32) -> Self {
        Self(ppm as i64 * PPM)
    }

    /// Parts per million, rounded to the resolution; not-a-number is zero.
    #[must_use]
    pub fn from_ppm_f64(ppm: f64) -> Self {
        Self(libm::round(ppm * PPM as f64) as i64)
    }

    /// A plain ratio (1e-6 is 1 ppm), rounded to the resolution; not-a-number is zero.
    #[must_use]
    pub fn from_ratio(ratio: f64) -> Self {
        Self::from_ppm_f64(ratio * 1e6)
    }

    /// In the kernel's unit, rounded to the nearest.
    #[must_use]
    pub const fn as_scaled_ppm(self) -> i64 {
        self.0.saturating_add(1 << 15) >> 16
    }

    /// From 2^-32 ns/s, rounded down to the resolution.
    pub(crate) const fn from_scaled_nanos(scaled: i64) -> Self {
        Self(scaled.div_euclid(1_000))
    }

    /// In 2^-32 ns/s; exact up to ±2^21 ppm, where it saturates.
    #[must_use]
    pub(crate) const fn as_scaled_nanos(self) -> i64 {
        self.0.saturating_mul(1_000)
    }

    /// In parts per million.
    #[must_use]
    pub fn as_ppm(self) -> f64 {
        self.0 as f64 / PPM as f64
    }

    /// As a plain ratio.
    #[must_use]
    pub fn as_ratio(self) -> f64 {
        self.as_ppm() * 1e-6
    }

    /// The size without the sign.
    #[must_use]
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// Its size in whole parts per million and millionths of one, rounded to the nearest.
    #[cfg(any(test, feature = "defmt"))]
    const fn decimal(self) -> (u32, u32) {
        let size = self.0.unsigned_abs();
        let millionths = ((size as u32 as u64) * MILLION + (1 << (PPM_SHIFT - 1))) >> PPM_SHIFT;
        ((size >> PPM_SHIFT) as u32 + (millionths / MILLION) as u32, (millionths % MILLION) as u32)
    }

    /// What a clock of this rate gains over `elapsed`: the whole nanoseconds, rounded down, and
    /// the rest in 2^-32 ppm of a nanosecond. `carry`, such a rest from before, is added first.
    /// Every gain is a whole number of that unit, so sums that carry the rest are exact. The
    /// nanoseconds saturate.
    #[must_use]
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub const fn gain(self, elapsed: Span, carry: u64) -> (Span, u64) {
        // Neither factor is beyond 2^63, so the sum fits 127 bits; the rest is below 2^52.
        let total = elapsed.as_nanos() as i128 * self.0 as i128 + carry as i128;
        // Almost always the whole 2^-32 fit 64 bits, whose division is much the faster.
        let (units, fraction) = (total >> PPM_SHIFT, total as u32);
        if units == units as i64 as i128 {
            let (whole, rest) = div_floor::<MILLION>(units as i64);
            return (Span::from_nanos(whole), rest << PPM_SHIFT | fraction as u64);
        }
        let (whole, rest) = div_floor_wide(total, UNITY);
        (Span::from_nanos(whole), rest)
    }
}

impl Add for FreqOffset {
    type Output = Self;
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for FreqOffset {
    type Output = Self;
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for FreqOffset {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

/// Parts per million: three decimals, or as many as the precision asks for.
impl fmt::Display for FreqOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(3);
        if f.sign_plus() {
            write!(f, "{:+.digits$}", self.as_ppm())
        } else {
            write!(f, "{:.digits$}", self.as_ppm())
        }
    }
}

/// Parts per million to six decimals.
#[cfg(feature = "defmt")]
impl defmt::Format for FreqOffset {
    fn format(&self, f: defmt::Formatter<'_>) {
        let (sign, (whole, millionths)) = (if self.0 < 0 { "-" } else { "" }, self.decimal());
        defmt::write!(f, "{=str}{=u32}.{=u32:06}", sign, whole, millionths);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::format;

    #[test]
    fn units_agree() {
        assert_eq!(FreqOffset::from_ppm(500), FreqOffset::from_scaled_ppm(32_768_000));
        assert_eq!(FreqOffset::from_ppm(-12), FreqOffset::from_ratio(-12e-6));
        assert_eq!(FreqOffset::from_ppm_f64(f64::NAN), FreqOffset::ZERO);
        assert_eq!(format!("{}", FreqOffset::from_ppm_f64(-12.3456)), "-12.346");
    }

    #[test]
    fn a_ppm_gains_a_microsecond_a_second() {
        let (gain, rest) = FreqOffset::from_ppm(1).gain(Span::from_secs(3), 0);
        assert_eq!((gain, rest), (Span::from_micros(3), 0));
        let (gain, _) = FreqOffset::from_ppm(-80).gain(Span::from_secs(1), 0);
        assert_eq!(gain, Span::from_micros(-80));
        let (loss, rest) = FreqOffset::from_ppm(-1).gain(Span::from_nanos(1), 0);
        assert_eq!((loss, rest), (Span::from_nanos(-1), 999_999 << 32));
    }

    proptest! {
        #[test]
        fn gain_is_the_exact_quotient(
            rate in prop_oneof![any::<i64>(), -PPM * 1_000..PPM * 1_000],
            nanos in prop_oneof![any::<i64>(), -1i64 << 36..1 << 36],
            carry in 0..UNITY,
        ) {
            let (gain, rest) = FreqOffset(rate).gain(Span::from_nanos(nanos), carry);
            let total = i128::from(rate) * i128::from(nanos) + i128::from(carry);
            let whole = total.div_euclid(UNITY.into()).clamp(i64::MIN.into(), i64::MAX.into());
            prop_assert_eq!(i128::from(gain.as_nanos()), whole);
            prop_assert_eq!(i128::from(rest), total.rem_euclid(UNITY.into()));
        }

        #[test]
        fn decimals_are_those_displayed(rate in -500 * PPM..500 * PPM) {
            let rate = FreqOffset(rate);
            let sign = if rate.0 < 0 { "-" } else { "" };
            let (whole, millionths) = rate.decimal();
            prop_assert_eq!(format!("{sign}{whole}.{millionths:06}"), format!("{rate:.6}"));
        }

        #[test]
        fn kernel_units_survive(scaled in -1i64 << 40..1 << 40) {
            prop_assert_eq!(FreqOffset::from_scaled_ppm(scaled).as_scaled_ppm(), scaled);
        }

        // The rests add up: a thousand short gains are one long one.
        #[test]
        fn gains_lose_nothing(ppm in -100_000.0..100_000.0f64, step in 1i64..10_000_000_000) {
            let rate = FreqOffset::from_ppm_f64(ppm);
            let (mut total, mut rest) = (Span::ZERO, 0);
            for _ in 0..1_000 {
                let (gain, carry) = rate.gain(Span::from_nanos(step), rest);
                total += gain;
                rest = carry;
            }
            prop_assert_eq!((total, rest), rate.gain(Span::from_nanos(step * 1_000), 0));
        }
    }
}
