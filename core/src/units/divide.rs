//! Division by a constant without a division, of which a microcontroller has none of 64 bits: a
//! multiplication by the reciprocal, and a correction that makes it exact.

/// `value` over `D`, rounded down, and what remains. `D` is 3 at least and no power of two.
pub(crate) const fn div_floor<const D: u64>(value: i64) -> (i64, u64) {
    // Below zero it is the complement: the same whole numbers, counted the other way.
    let (quotient, rest) = div::<D>((if value < 0 { !value } else { value }).cast_unsigned());
    let quotient = quotient.cast_signed();
    if value < 0 { (!quotient, D - 1 - rest) } else { (quotient, rest) }
}

const fn div<const D: u64>(value: u64) -> (u64, u64) {
    // The reciprocal is too small by less than 2^-64, and so the quotient by one at most.
    let reciprocal = u64::MAX / D;
    let quotient = ((value as u128 * reciprocal as u128) >> 64) as u64;
    let rest = value - quotient * D;
    if rest < D { (quotient, rest) } else { (quotient + 1, rest - D) }
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
        fn is_the_division(value: i64, whole in -9_000_000_000i64..9_000_000_000, off in -1i64..=1) {
            agrees::<3>(value);
            agrees::<1_000_000>(value);
            agrees::<1_000_000_000>(value);
            agrees::<1_000_000_000>(whole * 1_000_000_000 + off);
        }
    }
}
