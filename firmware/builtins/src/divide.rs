//! Integers of 64 bits over others, as `compiler-builtins` makes Arm's functions of them, which return
//! what remains in registers (`__aeabi_uldivmod` and `__aeabi_ldivmod`).

/// `dividend` over `divisor`, and in `rest` what remains; if `divisor` is zero, neither means anything.
#[inline(never)]
#[cfg_attr(all(target_arch = "arm", target_os = "none"), unsafe(export_name = "__udivmoddi4"))]
pub extern "C" fn divide(mut dividend: u64, divisor: u64, rest: Option<&mut u64>) -> u64 {
    let mut quotient = 0;
    // The first 32 bits of what is left by the first 16 of the divisor, rounded up, are never too many.
    let narrow = 48u32.saturating_sub(divisor.leading_zeros());
    let first = (divisor >> narrow) as u32 + u32::from(narrow > 0);
    while dividend >= divisor && first > 0 {
        let wide = 32u32.saturating_sub(dividend.leading_zeros());
        let digit = u64::from((dividend >> wide) as u32 / first);
        let digit = ((digit << wide) >> narrow).max(1);
        dividend -= digit * divisor;
        quotient += digit;
    }
    if let Some(rest) = rest {
        *rest = dividend;
    }
    quotient
}

/// As [`divide`], rounded towards zero.
#[cfg_attr(all(target_arch = "arm", target_os = "none"), unsafe(export_name = "__divmoddi4"))]
pub extern "C" fn divide_signed(dividend: i64, divisor: i64, rest: &mut i64) -> i64 {
    let mut left = 0;
    let quotient = divide(dividend.unsigned_abs(), divisor.unsigned_abs(), Some(&mut left));
    let signed = |value: u64, is_negative| {
        let value = value.cast_signed();
        if is_negative { value.wrapping_neg() } else { value }
    };
    *rest = signed(left, dividend < 0);
    signed(quotient, (dividend ^ divisor) < 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn both(dividend: u64, divisor: u64) -> (u64, u64) {
        let mut rest = 0;
        (divide(dividend, divisor, Some(&mut rest)), rest)
    }

    fn both_signed(dividend: i64, divisor: i64) -> (i64, i64) {
        let mut rest = 0;
        (divide_signed(dividend, divisor, &mut rest), rest)
    }

    /// Of any length.
    fn integers() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0u32..64).prop_map(|(value, shift)| value >> shift)
    }

    proptest! {
        #[test]
        fn is_the_division(dividend in integers(), divisor in integers(), minus: [bool; 2]) {
            prop_assume!(divisor != 0);
            prop_assert_eq!(both(dividend, divisor), (dividend / divisor, dividend % divisor));
            let signed = |value: u64, minus| {
                if minus { value.cast_signed().wrapping_neg() } else { value.cast_signed() }
            };
            let (one, other) = (signed(dividend, minus[0]), signed(divisor, minus[1]));
            let expected = (one.wrapping_div(other), one.wrapping_rem(other));
            prop_assert_eq!(both_signed(one, other), expected);
        }
    }

    #[test]
    fn at_the_ends() {
        assert_eq!(both(u64::MAX, 1), (u64::MAX, 0));
        assert_eq!(both(u64::MAX, u64::MAX), (1, 0));
        assert_eq!(both(3, u64::MAX), (0, 3));
        assert_eq!(divide(7, 2, None), 3);
        assert_eq!(both_signed(i64::MIN, -1), (i64::MIN, 0));
        assert_eq!(both_signed(i64::MIN, i64::MAX), (-1, -1));
    }
}
