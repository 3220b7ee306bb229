//! Division by a constant without a division, of which a microcontroller has none of 64 bits: a
//! multiplication by the reciprocal, and a correction that makes it exact.

/// `value` over `D`, rounded down, and what remains. `D` is 3 at least and no power of two.
pub(crate) const fn div_floor<const D: u64>(value: i64) -> (i64, u64) {
    // Below zero it is the complement: the same whole numbers, counted the other way.
    let (quotient, rest) = div::<D>((if value < 0 { !value } else { value }).cast_unsigned());
    let quotient = quotient.cast_signed();
    if value < 0 { (!quotient, D - 1 - rest) } else { (quotient, rest) }
}

#[cfg_attr(target_pointer_width = "32", inline(never))]
const fn div<const D: u64>(value: u64) -> (u64, u64) {
    // The reciprocal is too small by less than 2^-64, and so the quotient by one at most.
    let reciprocal = u64::MAX / D;
    let quotient = ((value as u128 * reciprocal as u128) >> 64) as u64;
    let rest = value - quotient * D;
    if rest < D { (quotient, rest) } else { (quotient + 1, rest - D) }
}

/// `value` over a `divisor` below 2^63 that is not zero, rounded down, and what remains; a quotient beyond `i64`
/// saturates. For what is rare: it goes bit by bit.
#[cold]
#[inline(never)]
pub(crate) const fn div_floor_wide(value: i128, divisor: u64) -> (i64, u64) {
    // From above the magnitude makes room for the quotient, a bit at a time.
    let mut quotient = if value < 0 { !value } else { value }.cast_unsigned();
    let (mut rest, mut bits) = (0, u128::BITS);
    while bits > 0 {
        bits -= 1;
        rest = rest << 1 | (quotient >> (u128::BITS - 1)) as u64;
        quotient <<= 1;
        if rest >= divisor {
            rest -= divisor;
            quotient |= 1;
        }
    }
    let whole = if quotient > i64::MAX as u128 { i64::MAX } else { quotient as i64 };
    if value < 0 { (!whole, divisor - 1 - rest) } else { (whole, rest) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn agrees<const D: u64>(value: i64) {
        let divisor = i128::from(D);
        let expected =
            (i128::from(value).div_euclid(divisor), i128::from(value).rem_euclid(divisor));
        let (quotient, rest) = div_floor::<D>(value);
        assert_eq!((i128::from(quotient), i128::from(rest)), expected, "{value} over {D}");
    }

    #[test]
    fn where_it_turns() {
        for near in [0, 1_000_000, 1_000_000_000, i64::MIN + 1, i64::MAX - 1] {
            for value in near - 1..=near + 1 {
                agrees::<1_000_000>(value);
                agrees::<1_000_000_000>(value);
                agrees::<1_000_000_000>(value.saturating_neg());
            }
        }
    }

    proptest! {
        #[test]
        fn is_the_wide_division(
            value in prop_oneof![any::<i128>(), any::<i64>().prop_map(i128::from)],
            divisor in 1u64..1 << 63,
        ) {
            let wide = i128::from(divisor);
            let whole = value.div_euclid(wide).clamp(i64::MIN.into(), i64::MAX.into());
            let (quotient, rest) = div_floor_wide(value, divisor);
            let expected = (whole, value.rem_euclid(wide));
            prop_assert_eq!((i128::from(quotient), i128::from(rest)), expected);
        }

        #[test]
        fn is_the_division(value: i64, whole in -9_000_000_000i64..9_000_000_000, off in -1i64..=1) {
            agrees::<3>(value);
            agrees::<1_000_000>(value);
            agrees::<1_000_000_000>(value);
            agrees::<1_000_000_000>(whole * 1_000_000_000 + off);
        }
    }
}
