//! The virtual table: conditional writes and transactions as DynamoDB makes them, with its limits.

use ports::{DeviceWrite, LedgerKeys, LedgerPageItem, StatisticsItem, StoreError, WriteError};
use std::collections::{BTreeMap, BTreeSet};
use telemetry::DeviceId;

/// Statistics items and ledger pages.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub items: BTreeMap<DeviceId, StatisticsItem>,
    pub pages: BTreeMap<(DeviceId, String), LedgerPageItem>,
    /// Items that no port can make sense of.
    pub unreadable: BTreeSet<DeviceId>,
    /// Pages that no port can make sense of.
    pub unreadable_pages: BTreeSet<(DeviceId, String)>,
}

impl Table {
    pub fn read(&self, device: &DeviceId) -> Result<Option<StatisticsItem>, StoreError> {
        if self.unreadable.contains(device) {
            return Err(StoreError::Corrupt("no attribute `state`".to_owned()));
        }
        Ok(self.items.get(device).cloned())
    }

    /// All the pages among `keys`, in key order, after `after`.
    pub fn read_ledger(
        &self,
        device: &DeviceId,
        keys: &LedgerKeys,
        after: Option<&str>,
    ) -> Result<Vec<LedgerPageItem>, StoreError> {
        let from = (device.clone(), after.unwrap_or(&keys.first).to_owned());
        let mut pages = Vec::new();
        for ((owner, key), page) in self.pages.range(from..) {
            if owner != device || *key > keys.last {
                break;
            }
            if after == Some(key.as_str()) {
                continue;
            }
            if self.unreadable_pages.contains(&(owner.clone(), key.clone())) {
                return Err(StoreError::Corrupt("no attribute `page`".to_owned()));
            }
            pages.push(page.clone());
        }
        Ok(pages)
    }

    /// Whether the write's conditions hold.
    pub fn admits(&self, write: &DeviceWrite) -> bool {
        let device = &write.device_id;
        self.items.get(device).map(|item| item.revision) == write.expected_revision
            && !write.pages.iter().any(|page| self.pages.contains_key(&(device.clone(), page.key.clone())))
    }

    pub fn write(&mut self, write: DeviceWrite) -> Result<(), WriteError> {
        if !self.admits(&write) {
            return Err(WriteError::ConditionFailed);
        }
        let DeviceWrite { device_id, item, pages, .. } = write;
        for page in pages {
            self.pages.insert((device_id.clone(), page.key.clone()), page);
        }
        self.unreadable.remove(&device_id);
        self.items.insert(device_id, item);
        Ok(())
    }
}

/// Damage that can be repaired.
#[derive(Debug)]
pub(crate) enum Damage {
    State(DeviceId, Vec<u8>, Vec<u8>),
    Unreadable(DeviceId),
    Page((DeviceId, String), Vec<u8>),
    UnreadablePage((DeviceId, String)),
}
