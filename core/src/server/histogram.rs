//! How long answers take, in buckets that grow with the time.

use crate::units::Span;

/// Buckets between a power of two and the next: what is told is at most a quarter too much.
const PARTS: u32 = 4;
/// All spans from 2^37 ns, two minutes, on are in the last bucket.
const OCTAVES: u32 = 38;
const BUCKETS: usize = (OCTAVES * PARTS) as usize;

/// Counts of spans. Adding one takes no more than a look at its highest bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Histogram([u64; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Histogram {
    /// Counts a span; a negative one as none at all.
    pub fn record(&mut self, span: Span) {
        let nanos = span.as_nanos().max(0).cast_unsigned();
        // Below four nanoseconds there is a bucket for each.
        let bucket = match nanos.checked_ilog2() {
            Some(octave) if octave >= 2 => octave * PARTS + (nanos >> (octave - 2)) as u32 % PARTS,
            _ => nanos as u32,
        };
        if let Some(count) = self.0.get_mut((bucket as usize).min(BUCKETS - 1)) {
            *count += 1;
        }
    }

    /// Adds what another worker counted.
    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }

    /// How many spans were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The buckets that are not empty: the span that is beyond theirs, and how many they count.
    /// The last bucket has no bound but [`Span::MAX`].
    pub fn buckets(&self) -> impl Iterator<Item = (Span, u64)> + '_ {
        self.0.iter().enumerate().filter(|(_, count)| **count > 0).map(|(bucket, count)| {
            let (octave, part) = (bucket as u32 / PARTS, bucket as u32 % PARTS);
            let bound = match octave {
                _ if bucket == BUCKETS - 1 => i64::MAX,
                0 | 1 => i64::from(part + 1),
                _ => i64::from(PARTS + part + 1) << (octave - 2),
            };
            (Span::from_nanos(bound), *count)
        })
    }

    /// A span that the share `quantile` (0 to 1) of those counted does not reach; none if there
    /// are none.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Span> {
        let wanted = libm::ceil(self.count() as f64 * quantile).max(1.0) as u64;
        let mut below = 0;
        let mut reached = self.buckets().skip_while(|(_, count)| {
            below += count;
            below < wanted
        });
        reached.next().map(|(bound, _)| bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_of_what_is_known() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for micros in 1..=1_000 {
            histogram.record(Span::from_micros(micros));
        }
        assert_eq!(histogram.count(), 1_000);
        for (quantile, micros) in [(0.0, 1.0), (0.5, 500.0), (0.99, 990.0), (1.0, 1_000.0)] {
            let found = histogram.quantile(quantile).unwrap().as_secs_f64() * 1e6;
            assert!((micros..=micros * 1.25).contains(&found), "{quantile}: {found}");
        }
        let other = histogram;
        histogram.add(&other);
        assert_eq!(histogram.count(), 2_000);
    }

    proptest! {
        #[test]
        fn at_most_a_quarter_too_much(nanos in prop_oneof![0i64..100, 0i64..1 << 37]) {
            let mut histogram = Histogram::default();
            histogram.record(Span::from_nanos(nanos));
            let bound = histogram.quantile(1.0).unwrap();
            prop_assert!(bound > Span::from_nanos(nanos), "{bound}");
            prop_assert!(bound.as_nanos() <= nanos + nanos / 4 + 1, "{bound}");
        }

        #[test]
        fn any_span_counts(nanos: i64) {
            let mut histogram = Histogram::default();
            histogram.record(Span::from_nanos(nanos));
            prop_assert_eq!(histogram.count(), 1);
        }
    }
}
