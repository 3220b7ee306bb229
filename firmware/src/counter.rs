//! From a hardware counter that wraps to instants that do not.
//!
//! Decides how often the counter has wrapped, from the readings before; it never reads it. Whole
//! ticks are summed and become nanoseconds only at the end, so nothing is lost to rounding
//! however often the counter is read.

use embedded_time::Clock;
use truechimer_core::units::{Instant, Span};

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// The ticks of a counter since it was first read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticks {
    last: Option<u64>,
    total: u64,
}

impl Ticks {
    pub(crate) const START: Self = Self { last: None, total: 0 };

    /// The counter, which wraps above `max`, shows `raw`: less than one turn after the reading
    /// before. `max` is one less than a power of two.
    pub(crate) const fn advance(self, raw: u64, max: u64) -> Self {
        let passed = match self.last {
            Some(last) => raw.wrapping_sub(last) & max,
            None => 0,
        };
        Self { last: Some(raw), total: self.total.saturating_add(passed) }
    }

    /// The same in nanoseconds, rounded down; after 584 years it saturates.
    pub(crate) fn instant<C: Clock>(self) -> Instant {
        Instant::from_nanos(nanos::<C>(self.total))
    }
}

/// The greatest reading of `C`: all bits of its 32 or 64.
pub(crate) const fn max<C: Clock>() -> u64 {
    u64::MAX >> (u64::BITS - 8 * size_of::<C::T>() as u32)
}

/// Half the time in which `C` wraps.
pub(crate) fn half_turn<C: Clock>() -> Span {
    Span::from_nanos(i64::try_from(nanos::<C>(max::<C>() / 2)).unwrap_or(i64::MAX))
}

/// How long `ticks` of `C` last.
#[inline(never)]
fn nanos<C: Clock>(ticks: u64) -> u64 {
    let (numerator, denominator) = const { nanos_per_tick::<C>() };
    let (turns, rest) = (ticks / denominator, ticks % denominator);
    // The product of numerator and denominator fits, and the rest is less than the latter.
    turns.saturating_mul(numerator).saturating_add(rest * numerator / denominator)
}

/// As a fraction in its lowest terms, whose product fits 64 bits.
const fn nanos_per_tick<C: Clock>() -> (u64, u64) {
    let numerator = *C::SCALING_FACTOR.numerator() as u64 * NANOS_PER_SEC;
    let denominator = *C::SCALING_FACTOR.denominator() as u64;
    assert!(denominator != 0, "a tick must last a fraction of a second");
    let (mut divisor, mut rest) = (numerator, denominator);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    let (numerator, denominator) = (numerator / divisor, denominator / divisor);
    assert!(numerator.checked_mul(denominator).is_some(), "a tick must be a simpler fraction");
    (numerator, denominator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_time::fraction::Fraction;
    use proptest::collection::vec;
    use proptest::prelude::*;

    macro_rules! counter {
        ($name:ident, $width:ty, $numerator:expr, $denominator:expr) => {
            #[derive(Debug)]
            struct $name;
            impl Clock for $name {
                type T = $width;
                const SCALING_FACTOR: Fraction = Fraction::new($numerator, $denominator);
                fn try_now(
                    &self,
                ) -> Result<embedded_time::Instant<Self>, embedded_time::clock::Error> {
                    Err(embedded_time::clock::Error::NotRunning)
                }
            }
        };
    }
    counter!(At32MHz, u32, 1, 32_000_000);
    counter!(At168MHz, u32, 1, 168_000_000);
    counter!(Nanoseconds, u64, 1, 1_000_000_000);
    // A third of the 14.318 MHz crystal of the PC: 3 * 11 / (315 MHz / 2).
    counter!(Odd, u32, 66, 315_000_000);

    fn read<C: Clock>(readings: &[u64]) -> Instant {
        let read = |ticks: Ticks, raw: &u64| ticks.advance(*raw, max::<C>());
        readings.iter().fold(Ticks::START, read).instant::<C>()
    }

    #[test]
    fn counts_from_the_first_reading() {
        assert_eq!(read::<At32MHz>(&[]), Instant::from_nanos(0));
        assert_eq!(read::<At32MHz>(&[4_000_000_000]), Instant::from_nanos(0));
        // 31.25 ns a tick, rounded down.
        assert_eq!(read::<At32MHz>(&[7, 8]), Instant::from_nanos(31));
        assert_eq!(read::<At32MHz>(&[7, 11]), Instant::from_nanos(125));
        assert_eq!(read::<Odd>(&[0, 315]), Instant::from_nanos(66_000));
    }

    #[test]
    fn wraps_are_counted() {
        let top = u64::from(u32::MAX);
        assert_eq!(read::<At32MHz>(&[top, 0]), Instant::from_nanos(31));
        // Five turns of 134.217728 s, by halves.
        let turns = [0, 1 << 31, 0, 1 << 31, 0, 1 << 31, 0, 1 << 31, 0, 1 << 31, 0];
        assert_eq!(read::<At32MHz>(&turns), Instant::from_nanos(671_088_640_000));
        assert_eq!(half_turn::<At32MHz>(), Span::from_nanos(67_108_863_968));
        assert_eq!(read::<Nanoseconds>(&[u64::MAX - 1, 5]), Instant::from_nanos(7));
        assert_eq!(half_turn::<Nanoseconds>(), Span::MAX);
    }

    fn is_exact<C: Clock>(start: u64, passed: &[u64]) -> Result<(), TestCaseError> {
        let (mut raw, mut total, mut ticks) = (u128::from(start), 0, Ticks::START);
        for &step in [0].iter().chain(passed) {
            raw += u128::from(step);
            total += u128::from(step);
            ticks = ticks.advance(raw as u64 & max::<C>(), max::<C>());
            let (n, d) = (*C::SCALING_FACTOR.numerator(), *C::SCALING_FACTOR.denominator());
            let exact = total * u128::from(n) * 1_000_000_000 / u128::from(d);
            prop_assert_eq!(u128::from(ticks.instant::<C>().as_nanos()), exact);
        }
        Ok(())
    }

    proptest! {
        // However the readings fall on some hundred turns, the sum is that of the ticks.
        #[test]
        fn no_turn_and_no_fraction_is_lost(
            start: u64,
            passed in vec(prop_oneof![0..100u64, 0..=u64::from(u32::MAX)], 0..200),
        ) {
            is_exact::<At32MHz>(start & u64::from(u32::MAX), &passed)?;
            is_exact::<At168MHz>(start & u64::from(u32::MAX), &passed)?;
            is_exact::<Odd>(start & u64::from(u32::MAX), &passed)?;
            is_exact::<Nanoseconds>(start, &passed)?;
        }

        #[test]
        fn extremes_do_not_panic(readings in vec(any::<u64>(), 0..20)) {
            let _ = (read::<At32MHz>(&readings), read::<Nanoseconds>(&readings));
        }
    }
}
