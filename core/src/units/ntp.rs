//! The two time formats of the wire (RFC 5905 §6).

use super::{NANOS_PER_SEC, Span, WallTime, div_floor};

/// Seconds from the NTP epoch (1900-01-01) to the Unix epoch.
const NTP_TO_UNIX: i64 = 2_208_988_800;
/// One second in the fraction of an [`NtpTimestamp`]: 2^32.
const FRACTION: u64 = 1 << 32;
/// One second in the unit of [`NtpShort`]: 2^16.
const SHORT_FRACTION: i64 = 1 << 16;

/// The 64-bit timestamp format: seconds since 1900 modulo 2^32 (an *era* of 136 years) and a
/// 32-bit fraction. It exists only on the wire; [`unfold`](Self::unfold) makes a time of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NtpTimestamp(u64);

impl NtpTimestamp {
    /// The value that means "unknown or unsynchronised".
    pub const ZERO: Self = Self(0);

    /// From the 64 bits on the wire, in host order.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64 bits for the wire, in host order.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Whether it is the value for "unknown".
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// `time` in its own era, the fraction rounded up, so that [`unfold`](Self::unfold) returns
    /// the very same nanosecond.
    #[must_use]
    #[allow(clippy::manual_div_ceil, reason = "what a server does three times an answer")]
    pub const fn from_wall(time: WallTime) -> Self {
        let secs = time.unix_secs().wrapping_add(NTP_TO_UNIX) as u32;
        let fraction = (((time.subsec_nanos() as u64) << 32) + NANOS_PER_SEC as u64 - 1)
            / NANOS_PER_SEC as u64;
        Self(((secs as u64) << 32) | fraction)
    }

    /// The time nearest to `pivot` that this stamp can mean, at most half an era (68 years)
    /// away; the fraction is cut off to whole nanoseconds.
    #[must_use]
    pub const fn unfold(self, pivot: WallTime) -> WallTime {
        let pivot_secs = pivot.unix_secs().wrapping_add(NTP_TO_UNIX);
        let ahead = ((self.0 >> 32) as u32).wrapping_sub(pivot_secs as u32) as i32;
        let nanos = ((self.0 & (FRACTION - 1)) * NANOS_PER_SEC as u64) >> 32;
        WallTime::from_unix(pivot.unix_secs().saturating_add(ahead as i64), nanos as u32)
    }
}

/// The 32-bit short format: unsigned seconds with a 16-bit fraction, for root delay and dispersion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NtpShort(u32);

impl NtpShort {
    /// From the 32 bits on the wire, in host order.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The 32 bits for the wire, in host order.
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// A bound on an error, so rounded up; negative spans are zero, beyond 65,536 s the greatest.
    #[must_use]
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub fn from_span(span: Span) -> Self {
        // No more than what is beyond the greatest, so that the product is within 63 bits.
        let nanos = span.max(Span::ZERO).min(Span::from_secs(SHORT_FRACTION)).as_nanos();
        let (units, rest) = div_floor::<{ NANOS_PER_SEC as u64 }>(nanos * SHORT_FRACTION);
        Self(u32::try_from(units + i64::from(rest > 0)).unwrap_or(u32::MAX))
    }

    /// As a span, rounded down to whole nanoseconds.
    #[must_use]
    pub const fn to_span(self) -> Span {
        Span::from_nanos(((self.0 as u64 * NANOS_PER_SEC as u64) >> 16) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const YEAR: i64 = 31_556_952;

    /// Unix seconds of the first second of a year.
    fn year(year: i64) -> i64 {
        let before = year - 1;
        let days = 365 * year + before / 4 - before / 100 + before / 400 - 719_527;
        days * 86_400
    }

    #[test]
    fn known_stamps() {
        assert_eq!(NtpTimestamp::from_wall(WallTime::UNIX_EPOCH).to_bits(), 0x83AA_7E80 << 32);
        // RFC 5905 figure 4: the last second of era 0, the first of era 1, 1 January 2000.
        let stamp = |secs| NtpTimestamp::from_wall(WallTime::from_unix(secs, 0)).to_bits() >> 32;
        assert_eq!(stamp(year(2000)), 3_155_673_600);
        assert_eq!(stamp(2_085_978_495), 4_294_967_295);
        assert_eq!(stamp(2_085_978_496), 0);
        let half = WallTime::from_unix(0, 500_000_000);
        assert_eq!(NtpTimestamp::from_wall(half).to_bits(), 0x83AA_7E80_8000_0000);
    }

    #[test]
    fn eras_unfold_around_the_pivot() {
        // Half an era beyond 1900 and 2036: where a fixed pivot would go wrong.
        for (time, pivot) in [
            (year(1968), year(1970)),
            (year(1970), year(1968)),
            (year(2026), year(1970)),
            (2_085_978_495, year(2036)),
            (2_085_978_496, year(2036)),
            (year(2040), year(2026)),
            (year(2103), year(2036)),
            (year(2104) + 40 * 86_400, year(2104)),
            (year(2172), year(2104) + YEAR),
            (year(2300), year(2299)),
            (year(4000), year(3950)),
            (year(1900), year(1930)),
        ] {
            let time = WallTime::from_unix(time, 999_999_999);
            let pivot = WallTime::from_unix(pivot, 0);
            assert_eq!(NtpTimestamp::from_wall(time).unfold(pivot), time, "around {pivot}");
        }
        // One second beyond half an era is nearer on the other side.
        let far = WallTime::from_unix(year(2026) + (1 << 31), 0);
        let unfolded = NtpTimestamp::from_wall(far).unfold(WallTime::from_unix(year(2026), 0));
        assert_eq!(unfolded, far + Span::from_secs(-(1 << 32)));
    }

    #[test]
    fn short_format_bounds_from_above() {
        assert_eq!(NtpShort::from_span(Span::from_secs(1)).to_bits(), 0x1_0000);
        assert_eq!(NtpShort::from_span(Span::from_nanos(1)).to_bits(), 1);
        assert_eq!(NtpShort::from_span(Span::from_nanos(-1)).to_bits(), 0);
        assert_eq!(NtpShort::from_span(Span::MAX).to_bits(), u32::MAX);
        assert_eq!(NtpShort::from_bits(0x8000).to_span(), Span::from_millis(500));
        assert_eq!(NtpShort::from_bits(u32::MAX).to_span(), Span::from_nanos(65_535_999_984_741));
    }

    proptest! {
        #[test]
        fn shorts_round_up(nanos in -1i64..1 << 47, anything in any::<i64>()) {
            for nanos in [nanos, anything] {
                let units = (i128::from(nanos.max(0)) << 16) as u128;
                let expected = u32::try_from(units.div_ceil(1_000_000_000)).unwrap_or(u32::MAX);
                prop_assert_eq!(NtpShort::from_span(Span::from_nanos(nanos)).to_bits(), expected);
            }
        }

        #[test]
        fn nanoseconds_survive(pivot in -1i64 << 34..1 << 34, ahead in i32::MIN..=i32::MAX,
                               nanos in 0u32..1_000_000_000) {
            let time = WallTime::from_unix(pivot + i64::from(ahead), nanos);
            let pivot = WallTime::from_unix(pivot, 0);
            prop_assert_eq!(NtpTimestamp::from_wall(time).unfold(pivot), time);
        }

        #[test]
        fn any_stamp_unfolds(bits: u64, secs: i64) {
            let pivot = WallTime::from_unix(secs, 0);
            let time = NtpTimestamp::from_bits(bits).unfold(pivot);
            prop_assert!((time - pivot).abs() <= Span::from_secs((1 << 31) + 1));
        }

        #[test]
        fn shorts_survive(bits: u32) {
            let short = NtpShort::from_bits(bits);
            let back = NtpShort::from_span(short.to_span());
            prop_assert_eq!(back, short);
        }
    }
}
