//! The capacity that DynamoDB's answers say was consumed.

use aws_sdk_dynamodb::types::ConsumedCapacity;
use std::sync::{Arc, Mutex, PoisonError};

/// Adds up write capacity units; clones share one sum.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConsumedUnits(Arc<Mutex<f64>>);

impl ConsumedUnits {
    pub fn add(&self, answers: &[ConsumedCapacity]) {
        let units: f64 = answers.iter().filter_map(write_units).sum();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += units;
    }

    pub fn total(&self) -> f64 {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A put's answer gives one number; a transaction's tells writes from reads, and its repetition under the same token
/// consumes reads.
fn write_units(answer: &ConsumedCapacity) -> Option<f64> {
    match (answer.write_capacity_units, answer.read_capacity_units) {
        (None, None) => answer.capacity_units,
        (written, _) => written,
    }
}
