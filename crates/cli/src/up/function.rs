//! The aggregator as the function that the event source mapping calls.

use aggregator::{Aggregator, Counted};
use event_source_mapping::{Batch, Function, FunctionError, Verdict};
use gateway::RecentActivity;
use ports::{Clock, DeadLetterQueue, StatisticsStore};
use std::sync::Arc;
use telemetry::Timestamp;

/// The aggregator of this process, whose work the dashboard shows.
pub struct AggregatorFunction<S, D, C> {
    pub aggregator: Aggregator<S, D, C>,
    pub recent: Arc<RecentActivity>,
}

impl<S: StatisticsStore, D: DeadLetterQueue, C: Clock> Function for AggregatorFunction<S, D, C> {
    async fn invoke(&self, batch: &Batch) -> Result<Verdict, FunctionError> {
        let result = self.aggregator.handle(batch).await;
        for Counted { device_id, readings, statistics } in &result.counted {
            // What was counted has a timestamp in range.
            let point = |reading: &statistics::CountedReading| {
                Some((Timestamp::from_nanosecond(reading.identity.timestamp_ns)?, reading.value))
            };
            self.recent.record_readings(device_id, readings.iter().filter_map(point));
            self.recent.record_statistics(device_id, statistics);
        }
        // Whether or not a write is known to have been done.
        self.recent.count_write();
        Ok(Verdict::of_failed(&result.failed, batch))
    }
}
