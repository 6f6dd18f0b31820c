//! Curated data on one machine: the states that changed, as Parquet files, every now and then and at the end.

use super::Holds;
use curator::ParquetDelivery;
use embedded::{EmbeddedStorage, FileArchive, StorageFailure};
use ports::{CuratedDelivery, CuratedRow, SystemClock};
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// Rows of one file: it bounds what a run holds in memory, about 10 MiB.
const ROWS_MAX: usize = 20_000;

/// Why a run came to nothing, or not to its end.
#[derive(Debug, thiserror::Error)]
enum CuratedFailure {
    #[error("the statistics cannot be read")]
    Storage(#[from] StorageFailure),
    #[error("{rows} rows were not written")]
    Delivery {
        rows: usize,
        #[source]
        first: ports::DeliveryError,
    },
}

/// Writes what has changed every `interval`, until cancelled.
pub async fn curate(storage: EmbeddedStorage, interval: Duration, holds: Holds, cancelled: CancellationToken) {
    loop {
        tokio::select! {
            () = sleep(interval) => {}
            () = cancelled.cancelled() => return,
        }
        curate_once(&storage, &holds).await;
    }
}

/// Writes what has changed since the last time.
pub async fn curate_once(storage: &EmbeddedStorage, holds: &Holds) {
    let delivery = ParquetDelivery::<FileArchive, _>::new(storage.archive(), SystemClock);
    if let Err(error) = run(storage, &delivery, holds).await {
        let error = &error as &dyn std::error::Error;
        warn!(error, "curated data was not written and will be by the next run");
    }
}

/// Every device whose newest state is in no file, once.
async fn run(storage: &EmbeddedStorage, delivery: &impl CuratedDelivery, holds: &Holds) -> Result<(), CuratedFailure> {
    let statistics = storage.statistics();
    let mut after = None;
    let (mut devices, mut first) = (0, None);
    loop {
        let found = statistics.uncurated(after.as_deref(), ROWS_MAX).await?;
        devices += found.unreadable.len();
        first = first.or(found.unreadable.into_iter().next());
        {
            // A backup sees the file and the note of it, or neither.
            let _held = holds.curating.lock().await;
            deliver(storage, delivery, found.states).await?;
        }
        match found.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    // After a rollback it may be every device.
    if let Some((device_id, error)) = first {
        let error = &error as &dyn std::error::Error;
        error!(error, devices, device_id, "stored states cannot be read, and are in no curated file");
    }
    Ok(())
}

async fn deliver(
    storage: &EmbeddedStorage,
    delivery: &impl CuratedDelivery,
    rows: Vec<CuratedRow>,
) -> Result<(), CuratedFailure> {
    let keys: Vec<(String, u64)> = rows.iter().map(|row| (row.device_id.as_str().to_owned(), row.revision)).collect();
    let results = delivery.deliver(rows).await;
    let mut failed = 0;
    let mut first = None;
    let mut written = Vec::with_capacity(keys.len());
    for (key, result) in keys.into_iter().zip(results) {
        match result {
            Ok(()) => written.push(key),
            Err(error) => {
                failed += 1;
                first.get_or_insert(error);
            }
        }
    }
    if !written.is_empty() {
        storage.statistics().note_curated(written).await?;
    }
    first.map_or(Ok(()), |first| Err(CuratedFailure::Delivery { rows: failed, first }))
}
