//! Curated rows into Parquet objects of an archive.

use crate::{checksum, parquet_file};
use ports::{Archive, Clock, CuratedDelivery, CuratedRow, DeliveryError};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use telemetry::Timestamp;

/// The table's folder in the archive.
pub const CURATED_PREFIX: &str = "curated/device_statistics/";

/// Delivers rows into an archive: every call makes one object, whole or not at all, of all its rows,
/// `curated/device_statistics/dt=<UTC day of delivery>/<milliseconds of delivery>-sha256-<checksum of the bytes>.parquet`.
/// The checksum also keeps one delivery from replacing another, whatever the clock does.
#[derive(Debug, Clone)]
pub struct ParquetDelivery<A, C> {
    archive: A,
    clock: C,
}

impl<A: Archive, C: Clock> ParquetDelivery<A, C> {
    /// Into `archive`.
    pub fn new(archive: A, clock: C) -> Self {
        ParquetDelivery { archive, clock }
    }

    async fn put(&self, rows: &[CuratedRow]) -> Result<(), Box<dyn Error + Send + Sync>> {
        let bytes = parquet_file::write(rows)?;
        self.archive.put(&key(&bytes, self.clock.now()), bytes).await?;
        Ok(())
    }
}

impl<A: Archive, C: Clock> CuratedDelivery for ParquetDelivery<A, C> {
    async fn deliver(&self, rows: Vec<CuratedRow>) -> Vec<Result<(), DeliveryError>> {
        if rows.is_empty() {
            return Vec::new();
        }
        match self.put(&rows).await {
            Ok(()) => rows.iter().map(|_| Ok(())).collect(),
            Err(error) => {
                let error = SharedError(Arc::from(error));
                rows.iter().map(|_| Err(DeliveryError::Unavailable(Box::new(error.clone())))).collect()
            }
        }
    }
}

fn key(bytes: &[u8], now: Timestamp) -> String {
    let name = checksum::file_name(&now.as_millisecond().to_string(), bytes);
    format!("{CURATED_PREFIX}dt={}/{name}", now.utc_date())
}

/// One cause of every row's failure.
#[derive(Debug, Clone)]
struct SharedError(Arc<dyn Error + Send + Sync>);

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for SharedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
