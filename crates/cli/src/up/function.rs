//! The aggregator as the function that the event source mapping calls: JSON in, JSON out, as in Lambda.

use aggregator::{Aggregator, KinesisBatch};
use event_source_mapping::{Function, FunctionError};
use ports::{Clock, DeadLetterQueue, StatisticsStore};

/// The aggregator behind Lambda's own event format.
pub struct AggregatorFunction<S, D, C>(pub Aggregator<S, D, C>);

impl<S: StatisticsStore, D: DeadLetterQueue, C: Clock> Function for AggregatorFunction<S, D, C> {
    async fn invoke(&self, event: Vec<u8>) -> Result<Vec<u8>, FunctionError> {
        let unhandled = |error| FunctionError::Unhandled(Box::new(error));
        let KinesisBatch(event) = serde_json::from_slice(&event).map_err(unhandled)?;
        let handled = self.0.handle(&event).await;
        serde_json::to_vec(&handled.response).map_err(unhandled)
    }
}
