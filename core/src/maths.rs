//! Mathematics that `libm` has at the price of more flash.

/// `base` to the power `exponent`, for a base that is not negative: to some units in the last place
/// by functions that are there anyway, where `libm::pow` takes 2 kB to be exact to one.
pub fn power(base: f64, exponent: f64) -> f64 {
    libm::exp(exponent * libm::log(base))
}

#[cfg(test)]
mod tests {
    use super::power;

    #[test]
    fn powers_and_roots() {
        for (base, exponent) in [(1e-9, 0.2), (0.3, 1.0 / 64.0), (1.0, 0.2), (4e7, 1.0 / 64.0)] {
            let exact = libm::pow(base, exponent);
            assert!((power(base, exponent) / exact - 1.0).abs() < 1e-14, "{base}^{exponent}");
        }
        assert_eq!(power(0.0, 0.2).to_bits(), 0);
        assert_eq!(power(f64::INFINITY, 0.2), f64::INFINITY);
        assert!(power(f64::NAN, 0.2).is_nan());
    }
}
