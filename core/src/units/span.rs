//! A signed difference of two times.

use core::fmt;
use core::ops::{Add, AddAssign, Neg, Sub, SubAssign};

use super::NANOS_PER_SEC;

/// A signed length of time in whole nanoseconds, ±292 years. Arithmetic saturates at those ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest span, about 292 years.
    pub const MAX: Self = Self(i64::MAX);
    /// The longest span backwards.
    pub const MIN: Self = Self(i64::MIN);

    /// `nanos` nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// `micros` microseconds.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// `millis` milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// `secs` seconds.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SEC))
    }

    /// `secs` seconds, rounded to the nearest nanosecond; not-a-number is zero.
    #[must_use]
    pub fn from_secs_f64(secs: f64) -> Self {
        Self(libm::round(secs * NANOS_PER_SEC as f64) as i64)
    }

    /// 2^`exponent` seconds, the unit in which NTP states poll intervals and precision.
    /// Exponents beyond ±31 count as ±31.
    #[must_use]
    pub const fn from_log2_secs(exponent: i8) -> Self {
        if exponent >= 0 {
            let shift = if exponent > 31 { 31 } else { exponent };
            Self(NANOS_PER_SEC << shift)
        } else {
            let shift = if exponent < -31 { 31 } else { -exponent };
            Self(NANOS_PER_SEC >> shift)
        }
    }

    /// In nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// In whole seconds, rounded to the nearest.
    #[must_use]
    pub const fn as_secs_rounded(self) -> i64 {
        let half = if self.0 < 0 { -NANOS_PER_SEC / 2 } else { NANOS_PER_SEC / 2 };
        self.0.saturating_add(half) / NANOS_PER_SEC
    }

    /// In seconds; exact below 2^53 ns (104 days), to 1 part in 10^16 beyond.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SEC as f64
    }

    /// The size without the sign.
    #[must_use]
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// Whether it points backwards.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Half of it, rounded towards minus infinity.
    #[must_use]
    pub const fn half(self) -> Self {
        Self(self.0 >> 1)
    }

    /// `factor` times the span.
    #[must_use]
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub const fn times(self, factor: i64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    /// As it is written with so many digits, at most 9, after the point: whether there is a minus,
    /// what is before the point, and what is behind it.
    const fn decimal(self, digits: u32) -> (bool, u64, u32) {
        let unit = 10u64.pow(9 - digits);
        let rounded = (self.0.unsigned_abs() + unit / 2) / unit * unit;
        let (secs, nanos) = (rounded / NANOS_PER_SEC as u64, rounded % NANOS_PER_SEC as u64);
        (self.0 < 0 && rounded != 0, secs, (nanos / unit) as u32)
    }
}

impl Add for Span {
    type Output = Self;
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Span {
    type Output = Self;
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Span {
    type Output = Self;
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl AddAssign for Span {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Span {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

/// Seconds with a decimal fraction: six digits, or as many as the precision asks for (at most 9,
/// rounded half away from zero).
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(6).min(9);
        let (is_negative, secs, fraction) = self.decimal(digits as u32);
        if is_negative {
            f.write_str("-")?;
        } else if f.sign_plus() {
            f.write_str("+")?;
        }
        write!(f, "{secs}")?;
        if digits > 0 {
            write!(f, ".{fraction:0digits$}")?;
        }
        Ok(())
    }
}

/// As displayed.
#[cfg(feature = "defmt")]
impl defmt::Format for Span {
    fn format(&self, f: defmt::Formatter<'_>) {
        let (is_negative, secs, micros) = self.decimal(6);
        let sign = if is_negative { "-" } else { "" };
        defmt::write!(f, "{=str}{=u64}.{=u32:06}", sign, secs, micros);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;

    #[test]
    fn constructors_name_their_unit() {
        assert_eq!(Span::from_secs(2), Span::from_millis(2_000));
        assert_eq!(Span::from_millis(2), Span::from_micros(2_000));
        assert_eq!(Span::from_micros(2), Span::from_nanos(2_000));
        assert_eq!(Span::from_secs_f64(-1.5), Span::from_millis(-1_500));
        assert_eq!(Span::from_secs_f64(f64::NAN), Span::ZERO);
        assert_eq!(Span::from_log2_secs(6), Span::from_secs(64));
        assert_eq!(Span::from_log2_secs(-4), Span::from_micros(62_500));
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Span::MAX + Span::from_nanos(1), Span::MAX);
        assert_eq!(-Span::MIN, Span::MAX);
        assert_eq!(Span::from_secs(i64::MAX), Span::MAX);
        assert_eq!(Span::from_nanos(-3).half(), Span::from_nanos(-2));
    }

    #[test]
    fn displays_seconds() {
        assert_eq!(format!("{}", Span::from_nanos(-1_500_000_499)), "-1.500000");
        assert_eq!(format!("{:+.3}", Span::from_micros(500)), "+0.001");
        assert_eq!(format!("{:.0}", Span::from_millis(64_400)), "64");
        assert_eq!(format!("{:.9}", Span::MIN), "-9223372036.854775808");
        assert_eq!(format!("{:.3}", Span::from_nanos(-1)), "0.000");
        assert_eq!(Span::from_millis(-1_500).as_secs_rounded(), -2);
    }
}
