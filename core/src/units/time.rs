//! Points in time: the monotonic one that schedules and the disciplined one that measures.

use core::cmp::Ordering;
use core::fmt;
use core::ops::{Add, AddAssign, Sub};

use super::divide::div_floor;
use super::{NANOS_PER_SEC, Span};

/// A reading of a monotonic counter, in nanoseconds since an origin of the host's own (its boot).
/// Nothing disciplines it; it says when something is due, never what time it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant(u64);

impl Instant {
    /// Later than any.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
}

impl Add<Span> for Instant {
    type Output = Self;
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add_signed(span.as_nanos()))
    }
}

impl Sub for Instant {
    type Output = Span;
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn sub(self, earlier: Self) -> Span {
        let magnitude = i64::try_from(self.0.abs_diff(earlier.0)).unwrap_or(i64::MAX);
        Span::from_nanos(if self < earlier { -magnitude } else { magnitude })
    }
}

/// Seconds in a day.
const DAY: i64 = 86_400;

/// A reading of the disciplined clock: seconds and nanoseconds since 1970-01-01 00:00:00 UTC,
/// without leap seconds, as POSIX counts. Any number of seconds that an `i64` holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct WallTime {
    secs: i64,
    nanos: u32,
}

impl Ord for WallTime {
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn cmp(&self, other: &Self) -> Ordering {
        self.secs.cmp(&other.secs).then(self.nanos.cmp(&other.nanos))
    }
}

impl PartialOrd for WallTime {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl WallTime {
    /// 1970-01-01 00:00:00 UTC.
    pub const UNIX_EPOCH: Self = Self { secs: 0, nanos: 0 };

    /// `secs` seconds and `nanos` nanoseconds after the Unix epoch; nanoseconds of a second or
    /// more carry over.
    #[must_use]
    pub const fn from_unix(secs: i64, nanos: u32) -> Self {
        let carry = (nanos / NANOS_PER_SEC as u32) as i64;
        Self { secs: secs.saturating_add(carry), nanos: nanos % NANOS_PER_SEC as u32 }
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn unix_secs(self) -> i64 {
        self.secs
    }

    /// The nanoseconds that follow [`unix_secs`](Self::unix_secs), 0 to 999,999,999.
    #[must_use]
    pub const fn subsec_nanos(self) -> u32 {
        self.nanos
    }

    /// The first moment of the month after, in UTC.
    pub(crate) fn next_month(self) -> Self {
        let day = self.secs.div_euclid(DAY);
        let (_, month, _) = civil_date(day);
        // A month has no more than 31 days, so the next one begins among those that follow.
        let mut days = (1..=31).map(|ahead| day.saturating_add(ahead));
        let next = days.find(|&day| civil_date(day).1 != month).unwrap_or(day);
        Self { secs: next.saturating_mul(DAY), nanos: 0 }
    }
}

impl WallTime {
    /// Whether it is the first moment of January or July, in UTC.
    pub(crate) fn is_half_year(self) -> bool {
        let (_, month, day) = civil_date(self.secs.div_euclid(DAY));
        self.secs.rem_euclid(DAY) == 0 && self.nanos == 0 && matches!((month, day), (1 | 7, 1))
    }
}

impl Add<Span> for WallTime {
    type Output = Self;
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn add(self, span: Span) -> Self {
        let (secs, nanos) = div_floor::<{ NANOS_PER_SEC as u64 }>(span.as_nanos());
        let time = Self { secs: self.secs.saturating_add(secs), nanos: self.nanos };
        // Both are below a second.
        match (self.nanos + nanos as u32).checked_sub(NANOS_PER_SEC as u32) {
            Some(nanos) => Self { secs: time.secs.saturating_add(1), nanos },
            None => Self { nanos: self.nanos + nanos as u32, ..time },
        }
    }
}

impl AddAssign<Span> for WallTime {
    fn add_assign(&mut self, span: Span) {
        *self = *self + span;
    }
}

impl Sub for WallTime {
    type Output = Span;
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn sub(self, earlier: Self) -> Span {
        Span::from_secs(self.secs.saturating_sub(earlier.secs))
            + Span::from_nanos(i64::from(self.nanos) - i64::from(earlier.nanos))
    }
}

/// `YYYY-MM-DD hh:mm:ss` in UTC; a precision adds that many digits of the second, cut off.
impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_date(self.secs.div_euclid(DAY));
        let second = self.secs.rem_euclid(DAY);
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
            second / 3_600,
            second / 60 % 60,
            second % 60
        )?;
        match f.precision().unwrap_or(0).min(9) {
            0 => Ok(()),
            digits => write!(f, ".{:0digits$}", self.nanos / 10u32.pow(9 - digits as u32)),
        }
    }
}

/// As displayed.
#[cfg(feature = "defmt")]
impl defmt::Format for WallTime {
    fn format(&self, f: defmt::Formatter<'_>) {
        let (year, month, day) = civil_date(self.secs.div_euclid(DAY));
        let second = self.secs.rem_euclid(DAY) as u32;
        defmt::write!(
            f,
            "{=i64:04}-{=u8:02}-{=u8:02} {=u32:02}:{=u32:02}:{=u32:02}",
            year,
            month as u8,
            day as u8,
            second / 3_600,
            second / 60 % 60,
            second % 60
        );
    }
}

/// The proleptic Gregorian date of a day counted from 1970-01-01. Years are counted from 1 March
/// in eras of 400 years (146,097 days), so that the leap day comes last.
fn civil_date(days: i64) -> (i64, u32, u32) {
    let days = days.saturating_add(719_468); // 0000-03-01 to 1970-01-01
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097) as u32);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = i64::from(year_of_era) + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * march_month + 2) / 5 + 1)
}

/// Both clocks, read together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Now {
    /// The monotonic counter.
    pub mono: Instant,
    /// The disciplined clock.
    pub wall: WallTime,
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::format;

    #[test]
    fn instants_differ_by_spans() {
        let (early, late) = (Instant::from_nanos(5), Instant::from_nanos(u64::MAX));
        assert_eq!(early - Instant::from_nanos(8), Span::from_nanos(-3));
        assert_eq!(late - early, Span::MAX);
        assert_eq!(early + Span::from_nanos(-9), Instant::from_nanos(0));
    }

    #[test]
    fn displays_utc() {
        let cases = [
            (0, "1970-01-01 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (4_107_542_399, "2100-02-28 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (-2_208_988_800, "1900-01-01 00:00:00"),
            (2_085_978_496, "2036-02-07 06:28:16"),
        ];
        for (secs, text) in cases {
            assert_eq!(format!("{}", WallTime::from_unix(secs, 0)), text);
        }
        let time = WallTime::from_unix(0, 123_456_789);
        assert_eq!(format!("{time:.6}"), "1970-01-01 00:00:00.123456");
    }

    proptest! {
        #[test]
        fn adding_a_difference_arrives(a in -1i64 << 40..1 << 40, b in -1i64 << 32..1 << 32,
                                       m in 0u32..1_000_000_000, n in 0u32..1_000_000_000) {
            let from = WallTime::from_unix(a, m);
            let to = WallTime::from_unix(a + b, n);
            prop_assert_eq!(from + (to - from), to);
            prop_assert_eq!(to - from, -(from - to));
            prop_assert_eq!(to > from, (to - from) > Span::ZERO);
        }

        #[test]
        fn display_never_panics(secs: i64, nanos: u32) {
            let _ = format!("{:.9}", WallTime::from_unix(secs, nanos));
        }
    }
}
