//! Histogram of durations in fixed buckets, for percentiles and Prometheus.

use std::time::Duration;

use serde::Serialize;

/// Upper bounds of the buckets, in microseconds; one more bucket has none.
pub const BOUNDS_MICROS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000, 30_000_000,
];

/// Counts durations by bucket.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Histogram {
    /// Durations in each bucket; the last counts those above every bound.
    pub buckets: [u64; BOUNDS_MICROS.len() + 1],
    /// All durations together, in microseconds.
    pub sum_micros: u64,
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.buckets[bucket] += 1;
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }

    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The upper bound of the bucket that holds the given part (0 to 1) of all durations; none yet: zero.
    pub fn percentile(&self, part: f64) -> Duration {
        let count = self.count();
        let mut left = (part.clamp(0.0, 1.0) * count as f64).ceil() as u64;
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS_MICROS) {
            if left <= *bucket {
                return if count == 0 {
                    Duration::ZERO
                } else {
                    Duration::from_micros(bound)
                };
            }
            left -= bucket;
        }
        Duration::from_micros(BOUNDS_MICROS[BOUNDS_MICROS.len() - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_its_buckets_upper_bound() {
        let mut timings = Histogram::default();
        assert_eq!(timings.percentile(0.5), Duration::ZERO);
        for millis in [1, 1, 1, 40] {
            timings.record(Duration::from_millis(millis));
        }
        assert_eq!(timings.percentile(0.5), Duration::from_millis(1));
        assert_eq!(timings.percentile(0.99), Duration::from_millis(50));
        assert_eq!(timings.count(), 4);
    }
}
