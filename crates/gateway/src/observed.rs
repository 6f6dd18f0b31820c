//! A statistics store that lets the dashboard see what was written.

use crate::RecentActivity;
use ports::{DeviceWrite, LedgerKeys, LedgerPart, StatisticsItem, StatisticsStore, StoreError, WriteError};
use std::future::Future;
use std::sync::Arc;
use telemetry::DeviceId;

/// A [`StatisticsStore`] that records every successful write in a [`RecentActivity`].
#[derive(Debug, Clone)]
pub struct ObservedStatisticsStore<S> {
    store: S,
    recent: Arc<RecentActivity>,
}

impl<S: StatisticsStore> ObservedStatisticsStore<S> {
    /// Observes `store`.
    pub fn new(store: S, recent: Arc<RecentActivity>) -> Self {
        ObservedStatisticsStore { store, recent }
    }
}

impl<S: StatisticsStore> StatisticsStore for ObservedStatisticsStore<S> {
    fn read_statistics(
        &self,
        devices: &[DeviceId],
    ) -> impl Future<Output = Vec<Result<Option<StatisticsItem>, StoreError>>> + Send {
        self.store.read_statistics(devices)
    }

    fn read_ledger(
        &self,
        device_id: &DeviceId,
        keys: &LedgerKeys,
        after: Option<&str>,
    ) -> impl Future<Output = Result<LedgerPart, StoreError>> + Send {
        self.store.read_ledger(device_id, keys, after)
    }

    async fn write(&self, write: DeviceWrite) -> Result<(), WriteError> {
        let (device_id, attributes) = (write.device_id.clone(), write.item.attributes.clone());
        let written = self.store.write(write).await;
        self.recent.count_write();
        written?;
        self.recent.record_statistics(&device_id, &attributes);
        Ok(())
    }
}
