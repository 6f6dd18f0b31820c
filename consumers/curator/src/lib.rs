//! The curator: devices' statistics become rows of the curated table `device_statistics`, one per device and revision.
//!
//! - **Enters**: changes of the table's items; with the feature `lambda` from the event that Lambda sends for a batch of
//!   the table's change stream. On one machine: the states themselves.
//! - **Leaves**: rows, through [`ports::CuratedDelivery`]; with the feature `parquet` as Parquet files.
//! - **Fails**: a row that is not taken for good is reported, and delivered again; repeats are one row by their key.
//!
//! [`ports::COLUMNS`] is the one schema of all of them.

#[cfg(feature = "parquet")]
mod bounded_file;
mod change;
#[cfg(feature = "parquet")]
mod checksum;
mod handler;
#[cfg(feature = "parquet")]
mod history;
#[cfg(feature = "lambda")]
pub mod lambda;
#[cfg(feature = "parquet")]
mod merge;
#[cfg(feature = "parquet")]
mod parquet_delivery;
#[cfg(feature = "parquet")]
pub mod parquet_file;
#[cfg(feature = "parquet")]
mod read_error;
#[cfg(feature = "parquet")]
mod table;

pub use change::{Change, Content, Unreadable};
pub use handler::{BatchReport, BatchResult, Curator};
#[cfg(feature = "parquet")]
pub use history::{DeviceHistory, HistoryQuery, device_history};
#[cfg(feature = "parquet")]
pub use merge::{MERGED_ROWS_MAX, MergeError, MergedDay, Merger, open_day};
#[cfg(feature = "parquet")]
pub use parquet_delivery::{CURATED_PREFIX, ParquetDelivery};
