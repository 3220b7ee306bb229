//! Mathematics that `libm` has at the price of more flash.

/// The exponential function as precisely as filters have it: seven digits are enough for what is
/// only a weight.
pub fn exp(x: f64) -> f64 {
    libm::expf(x as f32).into()
}

/// The natural logarithm, to the same precision.
pub fn log(x: f64) -> f64 {
    libm::logf(x as f32).into()
}

/// `base` to the power `exponent`, for a base that is not negative, to the same precision.
pub fn power(base: f64, exponent: f64) -> f64 {
    exp(exponent * log(base))
}

/// The hypotenuse of lengths whose squares are no infinity: to a unit or so in the last place.
pub fn hypot(a: f64, b: f64) -> f64 {
    sqrt(a * a + b * b)
}

#[cfg(not(all(target_pointer_width = "32", target_os = "none")))]
pub use libm::{sqrt, sqrtf};
#[cfg(all(target_pointer_width = "32", target_os = "none"))]
pub use small::{sqrt, sqrtf};

/// Roots to the same bits as anywhere, in a quarter of the flash: rounded to the nearest, there is but
/// one result.
#[cfg(any(all(target_pointer_width = "32", target_os = "none"), test))]
mod small {
    use core::ops::{Add, Shl, Shr, Sub};

    /// Bits of a fraction.
    const FRACTION: u32 = f64::MANTISSA_DIGITS - 1;
    const SINGLE_FRACTION: u32 = f32::MANTISSA_DIGITS - 1;
    const SMALLEST_NORMAL: u64 = f64::MIN_POSITIVE.to_bits();

    /// The square root in double precision.
    pub fn sqrt(x: f64) -> f64 {
        let bits = x.to_bits();
        if !(SMALLEST_NORMAL..f64::INFINITY.to_bits()).contains(&bits) {
            return match bits {
                // By 2^108, and back by 2^-54.
                1..SMALLEST_NORMAL => {
                    sqrt(x * f64::from_bits(1131 << 52)) * f64::from_bits(969 << 52)
                }
                _ if x < 0.0 => f64::NAN,
                _ => x,
            };
        }
        let exponent = (bits >> FRACTION) + 1;
        let mantissa = (bits % (1 << FRACTION)) | (1 << FRACTION);
        let root = root(mantissa << 1 << (exponent % 2), FRACTION);
        f64::from_bits(((exponent / 2 + 510) << FRACTION) + root)
    }

    /// The square root in single precision.
    pub fn sqrtf(x: f32) -> f32 {
        let bits = x.to_bits();
        if !(f32::MIN_POSITIVE.to_bits()..f32::INFINITY.to_bits()).contains(&bits) {
            return sqrt(x.into()) as f32;
        }
        let exponent = (bits >> SINGLE_FRACTION) + 1;
        let mantissa = (bits % (1 << SINGLE_FRACTION)) | (1 << SINGLE_FRACTION);
        let root = root(mantissa << 1 << (exponent % 2), SINGLE_FRACTION);
        f32::from_bits(((exponent / 2 + 62) << SINGLE_FRACTION) + root)
    }

    /// The root of `rest`, which has two bits or three before a point that `fraction` + 1 are behind; with
    /// `fraction` bits behind the point, rounded to the nearest.
    #[inline(never)]
    fn root<T>(mut rest: T, fraction: u32) -> T
    where
        T: Copy + From<bool> + PartialOrd + Add<Output = T> + Sub<Output = T>,
        T: Shl<u32, Output = T> + Shr<u32, Output = T>,
    {
        // One bit more than are kept, from the highest; a tie cannot be.
        let (none, one) = (T::from(false), T::from(true));
        let (mut twice, mut bit) = (none, one << (fraction + 1));
        while bit > none {
            let with = twice + bit;
            if with <= rest {
                rest = rest - with;
                twice = with + bit;
            }
            rest = rest << 1;
            bit = bit >> 1;
        }
        ((twice >> 1) + one) >> 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn powers_and_roots() {
        for (base, exponent) in [(1e-9, 0.2), (0.3, 1.0 / 64.0), (1.0, 0.2), (4e7, 1.0 / 64.0)] {
            let exact = libm::pow(base, exponent);
            assert!((power(base, exponent) / exact - 1.0).abs() < 1e-6, "{base}^{exponent}");
        }
        assert_eq!(power(0.0, 0.2).to_bits(), 0);
        assert_eq!(power(f64::INFINITY, 0.2), f64::INFINITY);
        assert!(power(f64::NAN, 0.2).is_nan());
    }

    fn roots(bits: u64) {
        let x = f64::from_bits(bits);
        let (got, expected) = (small::sqrt(x), x.sqrt());
        assert!(got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan(), "{x:e}");
    }

    fn single_roots(bits: u32) {
        let x = f32::from_bits(bits);
        let (got, expected) = (small::sqrtf(x), x.sqrt());
        assert!(got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan(), "{x:e}");
    }

    #[test]
    fn roots_at_the_ends() {
        for value in [0.0, -0.0, 1.0, 4.0, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NAN] {
            for bits in value.to_bits().saturating_sub(2)..=value.to_bits().saturating_add(2) {
                roots(bits);
            }
        }
        for exponent in 0..1u32 << 9 {
            for bits in (exponent << 23).saturating_sub(2)..=(exponent << 23) + 2 {
                single_roots(bits);
            }
        }
    }

    proptest! {
        #[test]
        fn roots_are_those_of_the_processor(bits: u64, single: u32, square in 0..1u64 << 26) {
            roots(bits);
            roots(((square * square) as f64).to_bits());
            single_roots(single);
            single_roots(((square * square) as f32).to_bits());
        }
    }
}
