//! The aggregator as the function that the event source mapping calls.

use aggregator::Aggregator;
use event_source_mapping::{Batch, Function, FunctionError, Verdict};
use gateway::RecentActivity;
use ports::{Clock, DeadLetterQueue, StatisticsStore};
use std::sync::Arc;
use telemetry::Timestamp;

/// The aggregator of this process, whose counted readings the dashboard's chart shows.
pub struct AggregatorFunction<S, D, C> {
    pub aggregator: Aggregator<S, D, C>,
    pub recent: Arc<RecentActivity>,
}

impl<S: StatisticsStore, D: DeadLetterQueue, C: Clock> Function for AggregatorFunction<S, D, C> {
    async fn invoke(&self, batch: &Batch) -> Result<Verdict, FunctionError> {
        let result = self.aggregator.handle(batch).await;
        for (device_id, readings) in &result.counted {
            // What was counted has a timestamp in range.
            let point = |reading: &statistics::CountedReading| {
                Some((Timestamp::from_nanosecond(reading.identity.timestamp_ns)?, reading.value))
            };
            self.recent.record_readings(device_id, readings.iter().filter_map(point));
        }
        Ok(Verdict::of_failed(&result.failed, batch))
    }
}
