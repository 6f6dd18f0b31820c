//! The statistics store: items and ledger pages in one database file.

use crate::StorageFailure;
use crate::database::Database;
use crate::item::{decode_item, decode_page};
use crate::marks;
use crate::statistics_journal::{ITEMS, META, PAGES, StatisticsJournal, StatisticsOperation, StatisticsOutcome};
use crate::storage::DirectoryLock;
use crate::writer::Writer;
use ports::{DeviceWrite, LedgerPageItem, StatisticsItem, StatisticsStore, StoreError, WriteError};
use redb::{ReadTransaction, ReadableTableMetadata};
use std::ops::Bound;
use std::sync::Arc;
use telemetry::DeviceId;

pub(crate) struct StatisticsParts {
    pub(crate) database: Arc<Database>,
    pub(crate) writer: Writer<StatisticsJournal>,
    pub(crate) _lock: Arc<DirectoryLock>,
}

impl Drop for StatisticsParts {
    fn drop(&mut self) {
        self.close();
    }
}

impl StatisticsParts {
    pub(crate) fn close(&self) {
        self.writer.stop();
        marks::note_closed(&self.database, META);
        self.database.close();
    }

    /// Runs a read that may take a while off the async threads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&ReadTransaction) -> Result<T, StorageFailure> + Send + 'static,
    ) -> Result<T, StorageFailure> {
        let database = Arc::clone(&self.database);
        let read = tokio::task::spawn_blocking(move || database.read(read));
        read.await.unwrap_or(Err(StorageFailure::Unanswered))
    }
}

/// The statistics of one data directory. Clones share it.
#[derive(Clone)]
pub struct EmbeddedStatisticsStore {
    pub(crate) parts: Arc<StatisticsParts>,
}

impl EmbeddedStatisticsStore {
    /// At most `limit` devices after `after`, in byte order of their names, with their items.
    ///
    /// # Errors
    /// [`StoreError`]; a single item that does not decode fails the whole list.
    pub async fn list(
        &self,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Vec<(DeviceId, StatisticsItem)>, StoreError> {
        let after = after.map(|device| device.as_str().to_owned());
        let list = self.parts.read(move |transaction| {
            let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut items = Vec::new();
            for stored in transaction.open_table(ITEMS)?.range::<&str>((start, Bound::Unbounded))?.take(limit) {
                let (device, bytes) = stored?;
                let device = device.value();
                let item = decode_item(bytes.value()).ok_or_else(|| corrupt_item(device))?;
                let device = DeviceId::parse(device).map_err(|_| corrupt_item(device))?;
                items.push((device, item));
            }
            Ok(items)
        });
        list.await.map_err(store_error)
    }

    /// How many devices have statistics.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn device_count(&self) -> Result<u64, StoreError> {
        let count = self.parts.database.read(|transaction| Ok(transaction.open_table(ITEMS)?.len()?));
        count.map_err(store_error)
    }
}

impl StatisticsStore for EmbeddedStatisticsStore {
    async fn read_statistics(&self, device_id: &DeviceId) -> Result<Option<StatisticsItem>, StoreError> {
        // One look-up, mostly from the cache: a thread of its own would cost more.
        let item = self.parts.database.read(|transaction| {
            let Some(bytes) = transaction.open_table(ITEMS)?.get(device_id.as_str())? else { return Ok(None) };
            decode_item(bytes.value()).map(Some).ok_or_else(|| corrupt_item(device_id.as_str()))
        });
        item.map_err(store_error)
    }

    async fn read_ledger(&self, device_id: &DeviceId, prefix: &str) -> Result<Vec<LedgerPageItem>, StoreError> {
        let (device, prefix) = (device_id.as_str().to_owned(), prefix.to_owned());
        let pages = self.parts.read(move |transaction| read_pages(transaction, &device, &prefix));
        pages.await.map_err(store_error)
    }

    async fn write(&self, write: DeviceWrite) -> Result<(), WriteError> {
        let bytes = write.item.state.len() + 256 + write.pages.iter().map(|page| page.page.len() + 64).sum::<usize>();
        match self.parts.writer.write(StatisticsOperation::Write(Box::new(write)), bytes).await {
            Ok(StatisticsOutcome::Condition(true)) => Ok(()),
            Ok(_) => Err(WriteError::ConditionFailed),
            Err(failure) => Err(WriteError::Unavailable(failure.boxed())),
        }
    }
}

fn read_pages(
    transaction: &ReadTransaction,
    device: &str,
    prefix: &str,
) -> Result<Vec<LedgerPageItem>, StorageFailure> {
    let mut pages = Vec::new();
    for stored in transaction.open_table(PAGES)?.range::<(&str, &str)>((device, prefix)..)? {
        let (key, bytes) = stored?;
        let (of, key) = key.value();
        if of != device || !key.starts_with(prefix) {
            break;
        }
        let corrupt = || StorageFailure::Corrupt(format!("ledger page `{key}` of device `{device}`"));
        pages.push(decode_page(key, bytes.value()).ok_or_else(corrupt)?);
    }
    Ok(pages)
}

fn corrupt_item(device: &str) -> StorageFailure {
    StorageFailure::Corrupt(format!("statistics of device `{device}`"))
}

fn store_error(failure: StorageFailure) -> StoreError {
    match failure {
        StorageFailure::Corrupt(what) => StoreError::Corrupt(what),
        failure => StoreError::Unavailable(failure.boxed()),
    }
}
