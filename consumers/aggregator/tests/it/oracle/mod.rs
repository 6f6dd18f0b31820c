//! What the readings of an event come to, computed apart from everything that it judges: from the JSON itself, in whole
//! numbers. It knows single readings alone, whose values are whole numbers.

use base64::Engine as _;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// A device's readings, each identity once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    values: Vec<i64>,
}

impl Device {
    pub fn count(&self) -> usize {
        self.values.len()
    }

    pub fn minimum(&self) -> f64 {
        self.values.iter().copied().min().expect("a reading") as f64
    }

    pub fn maximum(&self) -> f64 {
        self.values.iter().copied().max().expect("a reading") as f64
    }

    pub fn mean(&self) -> f64 {
        self.values.iter().sum::<i64>() as f64 / self.count() as f64
    }

    pub fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_unstable();
        let middle = sorted.len() / 2;
        let below = if sorted.len().is_multiple_of(2) { sorted[middle - 1] } else { sorted[middle] };
        (below + sorted[middle]) as f64 / 2.0
    }

    /// By n Σx² − (Σx)², which is exact in whole numbers.
    pub fn standard_deviation(&self) -> f64 {
        let n = self.count() as i128;
        let sum: i128 = self.values.iter().map(|value| i128::from(*value)).sum();
        let squares: i128 = self.values.iter().map(|value| i128::from(*value) * i128::from(*value)).sum();
        ((n * squares - sum * sum) as f64 / (n * (n - 1)) as f64).sqrt()
    }
}

/// The devices of an event, and how many of its readings were there before.
pub fn devices(event: &str) -> (BTreeMap<String, Device>, u64) {
    let event: Value = serde_json::from_str(event).expect("JSON");
    let mut devices: BTreeMap<String, Device> = BTreeMap::new();
    let mut seen: HashMap<(String, String), i64> = HashMap::new();
    let mut duplicates = 0;
    for record in event["Records"].as_array().expect("records") {
        let data = record["kinesis"]["data"].as_str().expect("text");
        let data = base64::engine::general_purpose::STANDARD.decode(data).expect("base64");
        let reading: Value = serde_json::from_slice(&data).expect("a reading");
        let text = |name: &str| reading[name].as_str().expect("text").to_owned();
        let value = reading["value"].as_i64().expect("a whole number");
        match seen.insert((text("device_id"), text("timestamp")), value) {
            Some(before) => {
                assert_eq!(before, value, "no conflicts here");
                duplicates += 1;
            }
            None => devices.entry(text("device_id")).or_default().values.push(value),
        }
    }
    (devices, duplicates)
}
