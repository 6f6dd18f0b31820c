//! What a state says of its readings.

/// A reading that stood far out from all before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anomaly {
    /// Its instant, in nanoseconds since the Unix epoch.
    pub timestamp_ns: i128,
    /// What it said.
    pub value: f64,
    /// How many standard deviations from the mean of the state before it, to the 24 bits that are kept.
    pub z: f64,
}

/// The statistics of one device, as answers give them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many readings were counted.
    pub count: u64,
    /// The arithmetic mean.
    pub mean: Option<f64>,
    /// The mean of the two middle values where the count is even; from the sketch and the frequent values.
    pub median: Option<f64>,
    /// The sample standard deviation (n − 1); `None` under two readings.
    pub standard_deviation: Option<f64>,
    /// The least value.
    pub minimum: Option<f64>,
    /// The greatest value.
    pub maximum: Option<f64>,
    /// The 95% confidence interval of the mean by Student's t: (low, high); `None` under two readings.
    pub mean_confidence_95: Option<(f64, f64)>,
    /// Readings that were anomalies when they were counted.
    pub anomaly_count: u64,
    /// The earliest instant of a counted reading, in nanoseconds since the Unix epoch.
    pub first_timestamp_ns: Option<i128>,
    /// The latest.
    pub last_timestamp_ns: Option<i128>,
    /// The anomaly counted last.
    pub last_anomaly: Option<Anomaly>,
}
