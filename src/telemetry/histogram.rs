//! A histogram without a lock: the fan-out observes once per entry on every thread, and a mutex there would be the one thing
//! that all rooms share.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};

/// Counts observations by bucket. Cheap to clone: the clones count together.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Cells>);

#[derive(Debug)]
struct Cells {
    /// Upper bounds, ascending; what is larger falls into the last count.
    bounds: &'static [f64],
    counts: Box<[AtomicU64]>,
    /// The bits of an `f64`.
    sum: AtomicU64,
}

impl Histogram {
    /// A histogram with these upper bounds, ascending; `+Inf` is added.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self(Arc::new(Cells {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0_f64.to_bits()),
        }))
    }

    /// Counts one observation, in the metric's unit. What is no number is not counted.
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        let cells = &*self.0;
        let bucket = cells.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = cells.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        // Relaxed, and apart from the counts: a scrape may see one observation in the one and not yet in the other.
        cells
            .sum
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
                Some((f64::from_bits(bits) + value).to_bits())
            })
            .ok(); // The closure never declines.
    }

    /// How many observations there were.
    pub fn count(&self) -> u64 {
        let cells = &*self.0;
        cells
            .counts
            .iter()
            .map(|it| it.load(Ordering::Relaxed))
            .sum()
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let cells = &*self.0;
        let bounds = cells.bounds.iter().copied().chain([f64::INFINITY]);
        let counts = cells.counts.iter().map(|it| it.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        // The sum of what was just read, so that `_count` and the `+Inf` bucket of one scrape always agree.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = f64::from_bits(cells.sum.load(Ordering::Relaxed));
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::prometheus_text, registry::Registry};

    use super::Histogram;

    #[test]
    fn an_observation_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::new(&[0.5, 1.0]);
        for value in [0.0, 0.5, 0.75, 1.0, 7.0, f64::NAN] {
            histogram.observe(value);
        }
        let mut registry = Registry::default();
        registry.register("wait_seconds", "Waiting", histogram.clone());
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).expect("a string");
        for line in [
            "wait_seconds_bucket{le=\"0.5\"} 2",
            "wait_seconds_bucket{le=\"1\"} 4",
            "wait_seconds_bucket{le=\"+Inf\"} 5",
            "wait_seconds_sum 9.25",
            "wait_seconds_count 5",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}: {text}");
        }
    }

    #[test]
    fn no_observation_of_two_threads_is_lost() {
        let histogram = Histogram::new(&[1.0]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| histogram.observe(0.5)));
            }
        });
        assert_eq!(histogram.count(), 40_000);
        assert!(
            (f64::from_bits(histogram.0.sum.load(std::sync::atomic::Ordering::Relaxed)) - 20_000.0)
                .abs()
                < 1e-9
        );
    }
}
