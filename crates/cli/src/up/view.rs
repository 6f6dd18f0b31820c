//! What the gateway reads of the embedded storage.

use embedded::{DeadLetterFilter, EmbeddedStorage, StorageFailure};
use gateway::{Accounting, DeadLetterPage, DeadLetterQuery, PipelineView, ViewError};
use ports::{StatisticsAttributes, StatisticsStore as _};
use telemetry::DeviceId;

/// The pipeline of this machine, read only.
#[derive(Clone)]
pub struct StorageView(pub EmbeddedStorage);

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> ViewError {
    ViewError::Unavailable(Box::new(error))
}

impl PipelineView for StorageView {
    async fn device(&self, device_id: &DeviceId) -> Result<Option<StatisticsAttributes>, ViewError> {
        let item = self.0.statistics().read_statistics(device_id).await.map_err(unavailable)?;
        Ok(item.map(|item| item.attributes))
    }

    async fn devices(
        &self,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Vec<(DeviceId, StatisticsAttributes)>, ViewError> {
        let items = self.0.statistics().list(after, limit).await.map_err(unavailable)?;
        Ok(items.into_iter().map(|(device_id, item)| (device_id, item.attributes)).collect())
    }

    async fn accounting(&self) -> Result<Accounting, ViewError> {
        let accounts = self.0.accounting().await.map_err(unavailable)?;
        Ok(Accounting {
            accepted: accounts.accepted,
            counted: accounts.counted,
            duplicates: accounts.duplicates,
            dead_letters: accounts.dead_letters,
            pending: accounts.pending,
            backlog_age_seconds: accounts.backlog_age.as_secs_f64(),
        })
    }

    async fn dead_letters(&self, query: DeadLetterQuery<'_>) -> Result<DeadLetterPage, ViewError> {
        let filter = DeadLetterFilter {
            reason: query.reason,
            device_id: query.device_id.cloned(),
            ..DeadLetterFilter::default()
        };
        match self.0.dead_letters().list(query.after, query.limit, filter).await {
            Ok(page) => Ok(DeadLetterPage { dead_letters: page.letters, next: page.next }),
            // A place that no page ever named: nothing follows it.
            Err(StorageFailure::InvalidPlace(_)) => Ok(DeadLetterPage::default()),
            Err(failure) => Err(unavailable(failure)),
        }
    }
}
