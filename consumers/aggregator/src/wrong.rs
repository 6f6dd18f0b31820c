//! The wrong protocols' larger parts, in test builds alone.

use crate::decode::{Batch, Group};
use crate::mutant::Mutant;
use crate::plan::DayPages;
use crate::settings::Settings;
use aws_lambda_events::event::kinesis::KinesisEvent;
use ports::{DeviceWrite, StatisticsStore, WriteError};
use statistics::{LedgerPage, UtcDay};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use telemetry::DeviceId;

/// What a wrong protocol remembers from one invocation to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pages: Mutex<HashMap<(DeviceId, UtcDay), Vec<LedgerPage>>>,
    high_water_marks: Mutex<HashMap<DeviceId, u128>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    pub fn pages(&self, settings: &Settings, device_id: &DeviceId, day: UtcDay) -> Option<DayPages> {
        if settings.is(Mutant::CountedWithoutLookUp) {
            return Some(Ok(Vec::new()));
        }
        let is_kept = settings.is(Mutant::StalePages);
        is_kept.then(|| lock(&self.pages).get(&(device_id.clone(), day)).cloned().map(Ok)).flatten()
    }

    pub fn keep_pages(&self, settings: &Settings, device_id: &DeviceId, day: UtcDay, pages: &[LedgerPage]) {
        if settings.is(Mutant::StalePages) {
            lock(&self.pages).insert((device_id.clone(), day), pages.to_vec());
        }
    }

    /// Leaves out what lies at or below the device's high-water mark.
    pub fn judge(&self, settings: &Settings, batch: &mut Batch, sequence_numbers: &[u128]) {
        if !settings.is(Mutant::HighWaterMarkJudges) {
            return;
        }
        let marks = lock(&self.high_water_marks);
        for group in &mut batch.groups {
            let mark = marks.get(&group.device_id).copied();
            let is_new: Vec<bool> = group
                .places
                .iter()
                .map(|place| mark.is_none_or(|mark| sequence_numbers[place.record] > mark))
                .collect();
            let mut keep = is_new.iter();
            group.readings.retain(|_| keep.next().copied().unwrap_or(true));
            let mut keep = is_new.iter();
            group.places.retain(|_| keep.next().copied().unwrap_or(true));
        }
        batch.groups.retain(|group| !group.readings.is_empty());
    }

    /// A group is done: its device's high-water mark rises.
    pub fn done(&self, device_id: &DeviceId, last: u128) {
        let mut marks = lock(&self.high_water_marks);
        let mark = marks.entry(device_id.clone()).or_insert(last);
        *mark = last.max(*mark);
    }
}

/// Writes as some wrong protocols do.
pub(crate) async fn write<S: StatisticsStore>(
    store: &S,
    settings: &Settings,
    mut write: DeviceWrite,
) -> Result<(), WriteError> {
    if settings.is(Mutant::NoRevisionCheck) {
        return write_over(store, write).await;
    }
    if settings.is(Mutant::FloorWithoutPage) {
        write.pages.clear();
    }
    if settings.is(Mutant::PageBeforeItem)
        && !write.pages.is_empty()
        && let Some(old) = store.read_statistics(&write.device_id).await.ok().flatten()
        && Some(old.revision) == write.expected_revision
    {
        let mut pages_first = DeviceWrite { item: old, ..write.clone() };
        pages_first.item.revision = write.item.revision;
        store.write(pages_first).await?;
        write.pages.clear();
        write.expected_revision = Some(write.item.revision);
        write.item.revision += 1;
    }
    if settings.is(Mutant::PageAfterItem) || settings.is(Mutant::GroupSplit) {
        let mut pages_later = write.clone();
        write.pages.clear();
        pages_later.expected_revision = Some(write.item.revision);
        pages_later.item.revision += 1;
        store.write(write).await?;
        if pages_later.pages.is_empty() {
            return Ok(());
        }
        return store.write(pages_later).await;
    }
    store.write(write).await
}

/// Whatever is there is written over.
async fn write_over<S: StatisticsStore>(store: &S, mut write: DeviceWrite) -> Result<(), WriteError> {
    loop {
        match store.write(write.clone()).await {
            Err(WriteError::ConditionFailed) => {
                let Ok(item) = store.read_statistics(&write.device_id).await else {
                    return Err(WriteError::ConditionFailed);
                };
                if item.as_ref().map(|item| item.revision) == write.expected_revision {
                    return Err(WriteError::ConditionFailed);
                }
                write.expected_revision = item.map(|item| item.revision);
                write.item.revision = write.expected_revision.unwrap_or(0) + 1;
            }
            other => return other,
        }
    }
}

/// The records' sequence numbers, in the event's order.
pub(crate) fn sequence_numbers(event: &KinesisEvent) -> Vec<u128> {
    event.records.iter().map(|record| record.kinesis.sequence_number.parse().unwrap_or(u128::MAX)).collect()
}

/// The last sequence number of a group.
pub(crate) fn last_sequence(event: &KinesisEvent, group: &Group) -> u128 {
    let numbers = sequence_numbers(event);
    group.places.iter().map(|place| numbers[place.record]).max().unwrap_or(0)
}
