//! The statistics store: items and ledger pages in one database file.

use crate::StorageFailure;
use crate::database::Database;
use crate::directory_lock::DirectoryLock;
use crate::item::{decode_item, decode_page, unreadable};
use crate::marks;
use crate::statistics_journal::{ITEMS, META, PAGES, StatisticsJournal, StatisticsOperation, StatisticsOutcome};
use crate::writer::Writer;
use ports::{
    DeviceWrite, LEDGER_PART_BYTES, LedgerKeys, LedgerPart, StatisticsItem, StatisticsStore, StoreError, WriteError,
};
use redb::ReadTransaction;
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

/// Part of the list of devices.
#[derive(Debug, Default)]
pub struct DeviceList {
    /// In byte order of their names.
    pub devices: Vec<(DeviceId, StatisticsItem)>,
    /// Devices between them whose items cannot be read: how many, and why the first cannot, which names it.
    pub unreadable: Option<(u64, StoreError)>,
}

impl EmbeddedStatisticsStore {
    /// The first `limit` devices after `after`, in byte order of their names, with their items. One whose item cannot be
    /// read is left out: a list of less than `limit` devices is the end.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn list(&self, after: Option<&DeviceId>, limit: usize) -> Result<DeviceList, StoreError> {
        let after = after.map(|device| device.as_str().to_owned());
        let list = self.parts.read(move |transaction| {
            let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut list = DeviceList::default();
            for stored in transaction.open_table(ITEMS)?.range::<&str>((start, Bound::Unbounded))? {
                if list.devices.len() >= limit {
                    break;
                }
                let (device, bytes) = stored?;
                let (device, bytes) = (device.value(), bytes.value());
                match DeviceId::parse(device).ok().zip(decode_item(bytes)) {
                    Some(item) => list.devices.push(item),
                    None => list.unreadable.get_or_insert_with(|| (0, unreadable_item(device, bytes))).0 += 1,
                }
            }
            Ok(list)
        });
        list.await.map_err(unavailable)
    }
}

impl EmbeddedStatisticsStore {
    fn items(&self, devices: &[DeviceId]) -> Vec<Result<Option<StatisticsItem>, StoreError>> {
        let items = self.parts.database.read(|transaction| {
            let table = transaction.open_table(ITEMS)?;
            let read = |device: &DeviceId| {
                let Some(bytes) = table.get(device.as_str())? else { return Ok(Ok(None)) };
                let bytes = bytes.value();
                Ok(decode_item(bytes).map(Some).ok_or_else(|| unreadable_item(device.as_str(), bytes)))
            };
            devices.iter().map(read).collect()
        });
        match items {
            Ok(items) => items,
            // A damaged page of the file is of some of them.
            Err(_) if devices.len() > 1 => {
                devices.iter().flat_map(|device| self.items(std::slice::from_ref(device))).collect()
            }
            Err(failure) => vec![Err(unavailable(failure))],
        }
    }
}

impl StatisticsStore for EmbeddedStatisticsStore {
    async fn read_statistics(&self, devices: &[DeviceId]) -> Vec<Result<Option<StatisticsItem>, StoreError>> {
        // Look-ups that are mostly in redb's cache: a thread of their own would cost more.
        self.items(devices)
    }

    async fn read_ledger(
        &self,
        device_id: &DeviceId,
        keys: &LedgerKeys,
        after: Option<&str>,
    ) -> Result<LedgerPart, StoreError> {
        let (device, keys, after) = (device_id.as_str().to_owned(), keys.clone(), after.map(str::to_owned));
        let part = self.parts.read(move |transaction| read_part(transaction, &device, &keys, after.as_deref()));
        part.await.map_err(unavailable)?
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

fn read_part(
    transaction: &ReadTransaction,
    device: &str,
    keys: &LedgerKeys,
    after: Option<&str>,
) -> Result<Result<LedgerPart, StoreError>, StorageFailure> {
    let start = after.map_or(Bound::Included((device, keys.first.as_str())), |after| Bound::Excluded((device, after)));
    let (mut part, mut bytes_read) = (LedgerPart::default(), 0);
    let range = (start, Bound::Included((device, keys.last.as_str())));
    for stored in transaction.open_table(PAGES)?.range::<(&str, &str)>(range)? {
        let (key, bytes) = stored?;
        let (_, key) = key.value();
        let bytes = bytes.value();
        bytes_read += key.len() + bytes.len();
        if bytes_read > LEDGER_PART_BYTES && !part.pages.is_empty() {
            part.next_after = part.pages.last().map(|page| page.key.clone());
            break;
        }
        match decode_page(key, bytes) {
            Some(page) => part.pages.push(page),
            None => return Ok(Err(unreadable(format!("ledger page `{key}` of device `{device}`"), bytes))),
        }
    }
    Ok(Ok(part))
}

pub(crate) fn unreadable_item(device: &str, bytes: &[u8]) -> StoreError {
    unreadable(format!("statistics of device `{device}`"), bytes)
}

fn unavailable(failure: StorageFailure) -> StoreError {
    StoreError::Unavailable(failure.boxed())
}
