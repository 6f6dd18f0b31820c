//! Which devices' states no curated file holds yet.
//!
//! The transaction that writes a device's item puts the device among them, and it is taken away only once a file that holds
//! that very revision is on disk. So whatever ends the process between the two, the next file holds the state again;
//! a row is known by its device and revision.

use crate::StorageFailure;
use crate::database::Database;
use crate::item::decode_item;
use crate::statistics::{EmbeddedStatisticsStore, unreadable_item};
use crate::statistics_journal::{ITEMS, StatisticsOperation, UNCURATED};
use ports::{CuratedRow, StoreError};
use redb::ReadableTable as _;
use std::ops::Bound;
use telemetry::DeviceId;

/// States that no curated file holds.
#[derive(Debug, Default)]
pub struct Uncurated {
    /// In byte order of their devices' names.
    pub states: Vec<CuratedRow>,
    /// Devices whose item cannot be read, and why; they stay where they are.
    pub unreadable: Vec<(String, StoreError)>,
    /// The last device looked at: there may be more after it. `None`: there are none.
    pub next: Option<String>,
}

/// In a directory of a version that curated nothing, every device is still to be curated.
pub(crate) fn begin(database: &Database) -> Result<(), StorageFailure> {
    let is_there = database.read(|transaction| match transaction.open_table(UNCURATED) {
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(false),
        table => Ok(table.map(|_| true)?),
    })?;
    if is_there {
        return Ok(());
    }
    database.write(|transaction| {
        let mut uncurated = transaction.open_table(UNCURATED)?;
        for stored in transaction.open_table(ITEMS)?.iter()? {
            uncurated.insert(stored?.0.value(), ())?;
        }
        Ok(())
    })
}

impl EmbeddedStatisticsStore {
    /// Of the devices after `after` whose newest state no curated file holds, the first `limit`.
    ///
    /// # Errors
    /// [`StorageFailure`].
    pub async fn uncurated(&self, after: Option<&str>, limit: usize) -> Result<Uncurated, StorageFailure> {
        let after = after.map(str::to_owned);
        let read = move |transaction: &redb::ReadTransaction| {
            let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let items = transaction.open_table(ITEMS)?;
            let mut found = Uncurated::default();
            let mut looked_at = 0;
            for stored in transaction.open_table(UNCURATED)?.range::<&str>((start, Bound::Unbounded))?.take(limit) {
                let (device, _) = stored?;
                let device = device.value();
                looked_at += 1;
                found.next = Some(device.to_owned());
                let Some(bytes) = items.get(device)? else { continue };
                match decode_item(bytes.value()).zip(DeviceId::parse(device).ok()) {
                    Some((item, device_id)) => found.states.push(CuratedRow {
                        device_id,
                        revision: item.revision,
                        statistics: item.attributes,
                    }),
                    None => found.unreadable.push((device.to_owned(), unreadable_item(device, bytes.value()))),
                }
            }
            if looked_at < limit {
                found.next = None;
            }
            Ok(found)
        };
        self.parts.read(read).await
    }

    /// Notes that these revisions of devices stand in a curated file, which is on disk.
    ///
    /// # Errors
    /// [`StorageFailure`]: the next file then holds them again.
    pub async fn note_curated(&self, revisions: Vec<(String, u64)>) -> Result<(), StorageFailure> {
        let bytes = revisions.iter().map(|(device, _)| device.len() + 16).sum();
        self.parts.writer.write(StatisticsOperation::Curated(revisions), bytes).await.map(drop)
    }
}
