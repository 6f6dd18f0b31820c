//! The statistics of every device, and the ledger pages beside them: the table `device-statistics`.

use crate::StatisticsAttributes;
use std::future::Future;
use telemetry::DeviceId;

/// The item `statistics` of one device.
#[derive(Debug, Clone, PartialEq)]
pub struct StatisticsItem {
    /// Rises with every write; never falls or repeats.
    pub revision: u64,
    /// What people and dashboards read; computed from `state`.
    pub attributes: StatisticsAttributes,
    /// The device state in its versioned binary form (`statistics::DeviceState`).
    pub state: Vec<u8>,
}

/// One ledger page: identities already counted, written once and never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerPageItem {
    /// The sort key, `ledger#<UTC day>#<page>`.
    pub key: String,
    /// The page's binary form (`statistics::LedgerPage`).
    pub page: Vec<u8>,
    /// When the store may delete it, in seconds since the Unix epoch; `None`: never.
    pub expires_at: Option<i64>,
}

/// Sort keys of ledger pages, both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerKeys {
    /// The least.
    pub first: String,
    /// The greatest.
    pub last: String,
}

/// Some of the ledger pages that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerPart {
    /// In key order.
    pub pages: Vec<LedgerPageItem>,
    /// After which key there may be more; `None` at the end.
    pub next_after: Option<String>,
}

/// About as many bytes of pages are read at once: what DynamoDB's Query answers at the most.
pub const LEDGER_PART_BYTES: usize = 1 << 20;

/// Everything one batch changes for one device: written whole or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceWrite {
    /// The device.
    pub device_id: DeviceId,
    /// The revision that was read, and that must still stand; `None`: there must be no item yet.
    pub expected_revision: Option<u64>,
    /// The new item; its revision is above `expected_revision`.
    pub item: StatisticsItem,
    /// New ledger pages, which must not exist yet; empty for most writes.
    pub pages: Vec<LedgerPageItem>,
}

/// Statistics and ledger pages, with one conditional write a device and batch.
pub trait StatisticsStore: Send + Sync {
    /// The items of these devices, strongly consistent: one result for each, in order. No device is named twice. One
    /// that can't be read fails alone.
    fn read_statistics(
        &self,
        devices: &[DeviceId],
    ) -> impl Future<Output = Vec<Result<Option<StatisticsItem>, StoreError>>> + Send;

    /// [`Self::read_statistics`] of one device.
    fn read_device(
        &self,
        device_id: &DeviceId,
    ) -> impl Future<Output = Result<Option<StatisticsItem>, StoreError>> + Send {
        async {
            let read = self.read_statistics(std::slice::from_ref(device_id)).await.pop();
            read.unwrap_or_else(|| Err(StoreError::Unavailable("the store gave no answer".into())))
        }
    }

    /// The device's ledger pages whose keys are among `keys`, in key order and strongly consistent: those after `after`,
    /// where a part before ended, or the first. A part holds as many as [`LEDGER_PART_BYTES`] have room for, at least
    /// one; an error rather than less.
    fn read_ledger(
        &self,
        device_id: &DeviceId,
        keys: &LedgerKeys,
        after: Option<&str>,
    ) -> impl Future<Output = Result<LedgerPart, StoreError>> + Send;

    /// Writes item and pages in one transaction, if the condition holds. Durable when it returns `Ok`.
    fn write(&self, write: DeviceWrite) -> impl Future<Output = Result<(), WriteError>> + Send;
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Passing: try again.
    #[error("the statistics store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is stored is not an item of this table. Permanent, and an alarm.
    #[error("the stored item is not readable: {0}")]
    Corrupt(String),
    /// A newer program wrote what is stored. It is whole: try again, and a program that knows the version reads it.
    #[error("{what}: version {found} is newer than {known}, the newest that this program knows")]
    NewerVersion {
        /// What is of that version.
        what: String,
        /// Its version.
        found: u8,
        /// The newest version that this program reads.
        known: u8,
    },
}

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Someone else wrote: read again and plan again. Nothing was written.
    #[error("the item has changed since it was read")]
    ConditionFailed,
    /// Passing: throttled, a transaction conflict, a time-out. It may have been written all the same: read again.
    #[error("the statistics store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}
