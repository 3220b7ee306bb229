//! What the clock was like since the exporter's start, as far as it is kept.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::control::Status;

/// Looks that are kept.
const CAPACITY: usize = 720;

/// One look; nothing is known of a daemon that could not be asked.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    values: Option<Values>,
}

/// In seconds, and ppm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values {
    pub(super) offset: Option<f64>,
    pub(super) error_bound: Option<f64>,
    pub(super) likely_error: Option<f64>,
    pub(super) frequency: f64,
}

/// The last looks, the oldest first.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Look>);

impl History {
    pub(super) fn push(&mut self, at: Instant, status: Option<&Status>) {
        if self.0.len() >= CAPACITY {
            self.0.pop_front();
        }
        let values = status.map(|status| Values {
            offset: status.offset,
            error_bound: status.error_bound,
            likely_error: status.likely_error,
            frequency: status.frequency,
        });
        self.0.push_back(Look { at, values });
    }

    /// How long ago the oldest was.
    pub(super) fn length(&self, now: Instant) -> Duration {
        self.0.front().map_or(Duration::ZERO, |look| now.saturating_duration_since(look.at))
    }

    /// One value of each, and how long ago it was, in seconds.
    pub(super) fn of(
        &self,
        now: Instant,
        value: impl Fn(&Values) -> Option<f64>,
    ) -> Vec<(f64, Option<f64>)> {
        let looks = self.0.iter();
        looks
            .map(|look| {
                let ago = now.saturating_duration_since(look.at).as_secs_f64();
                (ago, look.values.as_ref().and_then(&value))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room() {
        let mut history = History::default();
        let start = Instant::now();
        for second in 0..2 * CAPACITY as u64 {
            history.push(start + Duration::from_secs(second), None);
        }
        let now = start + Duration::from_secs(2 * CAPACITY as u64);
        assert_eq!(history.length(now).as_secs(), CAPACITY as u64);
        let looks = history.of(now, |values| values.offset);
        assert_eq!(looks.len(), CAPACITY);
        assert_eq!(looks.first(), Some(&(CAPACITY as f64, None)));
        assert_eq!(looks.last(), Some(&(1.0, None)));
    }
}
