//! The kernel's fixed point: nanoseconds with 32 bits of fraction, over a second or over a tick.

use crate::units::FreqOffset;

/// Bits of fraction (`NTP_SCALE_SHIFT`).
pub(super) const SCALE_SHIFT: u32 = 32;
/// Ticks in a second (`NTP_INTERVAL_FREQ`): how often a kernel of 250 Hz, which distributions
/// ship, counts. The clock here has no ticks; what the kernel rounds to them is rounded alike.
pub(super) const HZ: i64 = 250;
/// Ticks in a second as `timex.tick` has them (`USER_HZ`).
pub(super) const USER_HZ: i64 = 100;
/// A second.
pub(super) const SECOND: i64 = 1_000_000_000 << SCALE_SHIFT;
/// The largest phase offset, ns (`MAXPHASE`).
pub(super) const MAX_PHASE: i64 = 500_000_000;
/// The largest frequency offset, ns/s (`MAXFREQ`).
pub(super) const MAX_FREQ: i64 = 500_000;

/// 2^-16 ppm (`PPM_SCALE`).
const SCALED_PPM: i64 = 1_000 << (SCALE_SHIFT - 16);
/// Its reciprocal as the kernel rounds it (`PPM_SCALE_INV`, `PPM_SCALE_INV_SHIFT`).
const SCALED_PPM_INV_SHIFT: u32 = 19;
const SCALED_PPM_INV: i64 = (1 << (SCALED_PPM_INV_SHIFT + SCALE_SHIFT)) / SCALED_PPM + 1;

/// `value` over 2^`shift`, rounded towards zero.
pub(super) const fn shift_right(value: i64, shift: u32) -> i64 {
    if value < 0 { -(-value >> shift) } else { value >> shift }
}

/// A frequency in 2^-32 ns/s, clamped to ±[`MAX_FREQ`], from what the caller says; `None` beyond
/// what the kernel can multiply.
pub(super) fn from_frequency(frequency: FreqOffset) -> Option<i64> {
    let freq = frequency.as_scaled_ppm().checked_mul(SCALED_PPM)?;
    Some(clamp_freq(freq))
}

pub(super) fn clamp_freq(freq: i64) -> i64 {
    freq.clamp(-MAX_FREQ << SCALE_SHIFT, MAX_FREQ << SCALE_SHIFT)
}

/// A frequency as the caller is told it.
pub(super) const fn to_frequency(freq: i64) -> FreqOffset {
    let scaled = (freq >> SCALED_PPM_INV_SHIFT) * SCALED_PPM_INV;
    FreqOffset::from_scaled_ppm(shift_right(scaled, SCALE_SHIFT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rounds_towards_zero() {
        assert_eq!((shift_right(7, 1), shift_right(-7, 1)), (3, -3));
        assert_eq!((shift_right(1, 4), shift_right(-1, 4)), (0, 0));
    }

    // time.h: PPM_SCALE is 65,536,000, its inverse floor(2^51 / 65,536,000) + 1.
    #[test]
    fn a_ppm_is_a_microsecond_a_second() {
        assert_eq!((SCALED_PPM, SCALED_PPM_INV), (65_536_000, 34_359_739));
        assert_eq!(from_frequency(FreqOffset::from_ppm(1)), Some(1_000 << 32));
        assert_eq!(from_frequency(FreqOffset::from_ppm(-501)), Some(-500_000 << 32));
        assert_eq!(from_frequency(FreqOffset::from_ppm(2_147_484)), None);
    }

    proptest! {
        #[test]
        fn what_is_set_is_read(scaled in -32_768_000i64..=32_768_000) {
            let frequency = FreqOffset::from_scaled_ppm(scaled);
            prop_assert_eq!(from_frequency(frequency).map(to_frequency), Some(frequency));
        }
    }
}
