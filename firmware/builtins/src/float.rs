//! Floats without a unit for them, rounded to the nearest, ties to even (IEEE 754). All are their bits.
//!
//! Single precision goes by way of double, which is exact: of two singles each sum, difference,
//! product and quotient has so few bits, or is so far from a tie of single precision, that to round
//! it twice rounds it as once.

const SIGN: u64 = 1 << 63;
const SINGLE_SIGN: u32 = 1 << 31;
/// The biased exponent of what is no finite number.
const INFINITE: i32 = 0x7ff;
const INFINITY: u64 = (INFINITE as u64) << 52;
const NAN: u64 = 0x7ff8 << 48;
const SINGLE_INFINITY: u32 = 0xff << 23;
const SINGLE_NAN: u32 = 0x7fc0 << 16;
/// The exponent of an integer that [`pack`] takes: the bias, and where the highest bit is.
const INTEGER: i32 = 1023 + 63;
/// The difference of the two biases.
const REBIAS: i32 = 1023 - 127;
/// Bits of a double's fraction that a single has not.
const SURPLUS: u32 = 52 - 23;

const fn magnitude(bits: u64) -> u64 {
    bits & !SIGN
}

/// The sign bit of a product or quotient.
const fn sign(a: u64, b: u64) -> u64 {
    (a ^ b) & SIGN
}

/// The biased exponent.
const fn exponent(bits: u64) -> i32 {
    (bits >> 52) as i32 & 0x7ff
}

/// A finite number as a mantissa below 2^63, and the exponent for [`pack`].
#[inline(always)]
const fn split(bits: u64) -> (i32, u64) {
    let mantissa = bits << 12 >> 2;
    match exponent(bits) {
        0 => (2, mantissa),
        exponent => (exponent + 1, mantissa | 1 << 62),
    }
}

/// As [`split`], the mantissa with bit 62 set if it is not zero.
#[inline(always)]
fn unpack(bits: u64) -> (i32, u64) {
    if exponent(bits) == 0 { unpack_subnormal(bits) } else { split(bits) }
}

#[cold]
#[inline(never)]
const fn unpack_subnormal(bits: u64) -> (i32, u64) {
    let (exponent, mantissa) = split(bits);
    let up = mantissa.leading_zeros() - 1;
    (exponent - up as i32, mantissa << up)
}

/// Shifts to the right. The lowest bit stands for all that it has lost.
#[inline(never)]
fn shift(mantissa: u64, by: u32) -> u64 {
    let by = if by > 63 { 63 } else { by };
    let kept = mantissa >> by;
    kept | u64::from(kept << by != mantissa)
}

/// The double next to `mantissa` times 2^(`exponent` − [`INTEGER`]).
#[inline(never)]
fn pack(mut exponent: i32, mut mantissa: u64) -> u64 {
    if mantissa == 0 {
        return 0;
    }
    let up = mantissa.leading_zeros();
    mantissa <<= up;
    exponent -= up as i32;
    if exponent >= INFINITE {
        return INFINITY;
    }
    if exponent < 1 {
        mantissa = shift(mantissa, (1 - exponent) as u32);
        exponent = 1;
    }
    let kept = mantissa >> 11;
    let round = ((mantissa as u32 & 0x7ff) + 0x3ff + (kept as u32 & 1)) >> 11;
    // The highest bit of a normal number's mantissa counts for one in the exponent; so does a carry.
    (((exponent - 1) as u64) << 52) + kept + u64::from(round)
}

/// a + b.
#[inline(never)]
#[cfg_attr(all(target_arch = "arm", target_os = "none"), unsafe(export_name = "__aeabi_dadd"))]
pub extern "C" fn add(mut a: u64, mut b: u64) -> u64 {
    if magnitude(a) < magnitude(b) {
        (a, b) = (b, a);
    }
    if exponent(a) == INFINITE {
        return if magnitude(a) > INFINITY || a ^ b == SIGN { NAN } else { a };
    }
    let ((exponent, one), (its, mut other)) = (split(a), split(b));
    if exponent != its {
        other = shift(other, (exponent - its) as u32);
    }
    let sum = if sign(a, b) == 0 { one + other } else { one - other };
    if sum == 0 {
        return a & b & SIGN;
    }
    a & SIGN | pack(exponent, sum)
}

/// a − b.
#[cfg_attr(all(target_arch = "arm", target_os = "none"), unsafe(export_name = "__aeabi_dsub"))]
pub extern "C" fn subtract(a: u64, b: u64) -> u64 {
    add(a, b ^ SIGN)
}

/// a times b.
#[inline(never)]
#[cfg_attr(all(target_arch = "arm", target_os = "none"), unsafe(export_name = "__aeabi_dmul"))]
pub extern "C" fn multiply(a: u64, b: u64) -> u64 {
    if exponent(a).max(exponent(b)) == INFINITE {
        let (less, greater) = (magnitude(a).min(magnitude(b)), magnitude(a).max(magnitude(b)));
        return if greater > INFINITY || less == 0 { NAN } else { sign(a, b) | INFINITY };
    }
    let ((exponent, one), (its, other)) = (unpack(a), unpack(b));
    let product = u128::from(one) * u128::from(other);
    let (high, low) = ((product >> 64) as u64, product as u64);
    let exponent = exponent + its + 64 - INTEGER;
    sign(a, b) | pack(exponent, high | u64::from(low != 0))
}

/// a over b.
#[inline(never)]
#[cfg_attr(all(target_arch = "arm", target_os = "none"), unsafe(export_name = "__aeabi_ddiv"))]
pub extern "C" fn divide(a: u64, b: u64) -> u64 {
    let (up, down) = (magnitude(a), magnitude(b));
    if exponent(a).max(exponent(b)) == INFINITE || down == 0 {
        return if up.max(down) > INFINITY || up == down {
            NAN
        } else {
            sign(a, b) | if up > down { INFINITY } else { 0 }
        };
    }
    let ((exponent, rest), (its, divisor)) = (unpack(a), unpack(b));
    // Digits of 14 bits, each by the first 16 of the divisor, rounded up: so none is too great, and
    // what remains stays below 2 1/8 divisors.
    let (mut rest, divisor) = (rest >> 1, divisor >> 1);
    let first = (divisor >> 46) as u32 + 1;
    let mut quotient = 0;
    for _ in 0..4 {
        let digit = (rest >> 32) as u32 / first;
        rest = (rest << 14).wrapping_sub(u64::from(digit).wrapping_mul(divisor));
        quotient = (quotient << 14) + u64::from(digit);
    }
    while rest >= divisor {
        rest -= divisor;
        quotient += 1;
    }
    let exponent = exponent - its + INTEGER - 56;
    sign(a, b) | pack(exponent, quotient | u64::from(rest != 0))
}

/// What compares neither less, equal nor greater.
pub const UNORDERED: i32 = 2;

/// -1, 0 or 1 for less, equal or greater, or [`UNORDERED`].
#[inline(never)]
pub fn compare(a: u64, b: u64) -> i32 {
    let value = |bits: u64| {
        let size = magnitude(bits).cast_signed();
        if bits & SIGN == 0 { size } else { -size }
    };
    if magnitude(a) > INFINITY || magnitude(b) > INFINITY {
        return UNORDERED;
    }
    i32::from(value(a) > value(b)) - i32::from(value(a) < value(b))
}

/// As [`compare`], of singles.
#[inline(never)]
pub fn compare_single(a: u32, b: u32) -> i32 {
    let magnitude = |bits: u32| (bits & !SINGLE_SIGN).cast_signed();
    let value = |bits| if bits & SINGLE_SIGN == 0 { magnitude(bits) } else { -magnitude(bits) };
    if magnitude(a).max(magnitude(b)) > SINGLE_INFINITY.cast_signed() {
        return UNORDERED;
    }
    i32::from(value(a) > value(b)) - i32::from(value(a) < value(b))
}

/// From single precision to double.
#[inline(never)]
#[cfg_attr(all(target_arch = "arm", target_os = "none"), unsafe(export_name = "__aeabi_f2d"))]
pub extern "C" fn widen(single: u32) -> u64 {
    let size = u64::from(single & !SINGLE_SIGN);
    let rebias = (REBIAS as u64) << 52;
    let wide = match size >> 23 {
        _ if size == 0 => 0,
        // Without the one before the point: its place is 2^-126.
        0 => subtract((size << SURPLUS) + rebias + (1 << 52), rebias + (1 << 52)),
        0xff => (size << SURPLUS) + 2 * rebias,
        _ => (size << SURPLUS) + rebias,
    };
    wide | u64::from(single & SINGLE_SIGN) << 32
}

/// From double precision to single.
#[inline(never)]
#[cfg_attr(all(target_arch = "arm", target_os = "none"), unsafe(export_name = "__aeabi_d2f"))]
pub extern "C" fn narrow(double: u64) -> u32 {
    let sign = (double >> 32) as u32 & SINGLE_SIGN;
    let mut exponent = exponent(double) - REBIAS;
    if exponent >= 0xff {
        return if magnitude(double) > INFINITY { SINGLE_NAN } else { sign | SINGLE_INFINITY };
    }
    let mut mantissa = double << 12 >> 12 | 1 << 52;
    if exponent < 1 {
        mantissa = shift(mantissa, (1 - exponent) as u32);
        exponent = 1;
    }
    let kept = (mantissa >> SURPLUS) as u32;
    let rest = mantissa as u32 & ((1 << SURPLUS) - 1);
    let round = (rest + (1 << (SURPLUS - 1)) - 1 + (kept & 1)) >> SURPLUS;
    sign | ((((exponent - 1) as u32) << 23) + kept + round)
}

/// A function of two doubles, for two singles.
#[inline(never)]
pub fn single(a: u32, b: u32, function: extern "C" fn(u64, u64) -> u64) -> u32 {
    narrow(function(widen(a), widen(b)))
}

/// From an integer.
#[inline(never)]
#[cfg_attr(all(target_arch = "arm", target_os = "none"), unsafe(export_name = "__aeabi_l2d"))]
pub extern "C" fn from_integer(integer: i64) -> u64 {
    integer.cast_unsigned() & SIGN | pack(INTEGER, integer.unsigned_abs())
}

/// To an integer, rounded towards zero; what is too great becomes the greatest. Not-a-number may be
/// anything.
#[inline(never)]
#[cfg_attr(all(target_arch = "arm", target_os = "none"), unsafe(export_name = "__aeabi_d2lz"))]
pub extern "C" fn to_integer(double: u64) -> i64 {
    let is_negative = double & SIGN != 0;
    let right = INTEGER - ((double >> 52) as i32 & 0x7ff);
    if right > 63 {
        return 0;
    }
    if right <= 0 {
        return if is_negative { i64::MIN } else { i64::MAX };
    }
    let size = ((double << 11 | SIGN) >> right).cast_signed();
    if is_negative { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cmp::Ordering;
    use proptest::prelude::*;

    /// Any bits, numbers near one another, and those next to where something changes.
    fn doubles() -> impl Strategy<Value = u64> {
        const ENDS: [u64; 6] = [0, 1 << 52, INFINITY, NAN, 1023 << 52, (1 << 52) - 1];
        prop_oneof![
            any::<u64>(),
            (any::<u64>(), 1020u64..1026, any::<bool>()).prop_map(|(fraction, exponent, minus)| {
                fraction >> 12 | exponent << 52 | u64::from(minus) << 63
            }),
            (prop::sample::select(&ENDS[..]), -2i64..=2, any::<bool>()).prop_map(
                |(end, off, minus)| end.wrapping_add_signed(off) ^ u64::from(minus) << 63
            ),
            // Few digits: ties.
            (any::<u64>(), 0u32..60, any::<u32>()).prop_map(|(bits, digits, scale)| {
                bits >> digits << digits ^ u64::from(scale % 64) << 52
            }),
            any::<u64>().prop_map(|bits| bits & (SIGN | ((1 << 54) - 1))),
        ]
    }

    fn singles() -> impl Strategy<Value = u32> {
        prop_oneof![
            any::<u32>(),
            any::<u32>().prop_map(|bits| bits & (SINGLE_SIGN | 0x01ff_ffff)),
            any::<u32>().prop_map(|bits| bits & 0x83ff_ffff | 0x3c00_0000),
            (any::<u32>(), 0u32..32).prop_map(|(bits, digits)| bits >> digits << digits),
            (-2i64..=2, 0u32..512)
                .prop_map(|(off, end)| (end << 23).wrapping_add_signed(off as i32)),
        ]
    }

    fn same(got: u64, expected: f64) -> bool {
        got == expected.to_bits() || f64::from_bits(got).is_nan() && expected.is_nan()
    }

    fn same_single(got: u32, expected: f32) -> bool {
        got == expected.to_bits() || f32::from_bits(got).is_nan() && expected.is_nan()
    }

    fn order(order: Option<Ordering>) -> i32 {
        order.map_or(UNORDERED, |order| order as i32)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn of_doubles(a in doubles(), b in doubles()) {
            let (x, y) = (f64::from_bits(a), f64::from_bits(b));
            prop_assert!(same(add(a, b), x + y), "{x:e} + {y:e}");
            prop_assert!(same(subtract(a, b), x - y), "{x:e} - {y:e}");
            prop_assert!(same(multiply(a, b), x * y), "{x:e} * {y:e}");
            prop_assert!(same(divide(a, b), x / y), "{x:e} / {y:e}");
            prop_assert_eq!(compare(a, b), order(x.partial_cmp(&y)), "{:e}, {:e}", x, y);
            prop_assert!(same_single(narrow(a), x as f32), "{x:e}");
        }

        #[test]
        fn of_singles(a in singles(), b in singles()) {
            let (x, y) = (f32::from_bits(a), f32::from_bits(b));
            prop_assert!(same(widen(a), x.into()), "{x:e}");
            prop_assert!(same_single(single(a, b, add), x + y), "{x:e} + {y:e}");
            prop_assert!(same_single(single(a, b, subtract), x - y), "{x:e} - {y:e}");
            prop_assert!(same_single(single(a, b, multiply), x * y), "{x:e} * {y:e}");
            prop_assert!(same_single(single(a, b, divide), x / y), "{x:e} / {y:e}");
            prop_assert_eq!(compare_single(a, b), order(x.partial_cmp(&y)), "{:e}, {:e}", x, y);
        }

        #[test]
        fn of_integers(integer: i64, shift in 0u32..64, double in doubles()) {
            let integer = integer >> shift;
            prop_assert!(same(from_integer(integer), integer as f64), "{integer}");
            prop_assert!(same_single(narrow(from_integer((integer as i32).into())), integer as i32 as f32));
            let value = f64::from_bits(double);
            prop_assert!(value.is_nan() || to_integer(double) == value as i64, "{value:e}");
            let whole = integer as f64 * 0.5;
            prop_assert_eq!(to_integer(whole.to_bits()), whole as i64, "{:e}", whole);
        }
    }
}
