//! What can be set about the aggregator.

use std::time::Duration;

/// Where identities go that are older than the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerMode {
    /// To ledger pages: a reading is decided however late it comes, or within `retention`, where one is set.
    Full {
        /// How long pages are kept after the end of their day; `None`: for ever.
        retention: Option<Duration>,
    },
    /// Nowhere: a reading older than the window becomes a dead letter with the reason `late`.
    Window,
}

/// The aggregator's settings; every limit has the default of the service it stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The ledger's mode; full without retention by default.
    pub ledger: LedgerMode,
    /// How far a timestamp may lie ahead of its record's arrival.
    pub future_tolerance: Duration,
    /// The most ledger pages in one write: DynamoDB takes 100 actions in a transaction, one of which is the item.
    pub pages_max: usize,
    /// The most bytes of one ledger page: DynamoDB's items end at 400 KB.
    pub page_bytes_max: usize,
    /// Bytes of each item's write unit, 1,024, that are left free for attributes which others add, such as those of
    /// replicated tables; 0 by default. The more there are, the smaller is the window.
    pub item_bytes_reserved: usize,
    /// The most bytes of pages in one write: DynamoDB's transactions end at 4 MB.
    pub write_bytes_max: usize,
    /// How many devices of one batch are written at once.
    pub concurrency: usize,
    /// How often one device is planned again in one invocation because another writer came between.
    pub replans_max: usize,
    /// The most bytes of memory that cached device states take; 0: every batch reads.
    pub cache_bytes_max: usize,
    /// The most dead letters of one record: with more readings that cannot be counted it has one letter for all.
    pub letters_per_record_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            ledger: LedgerMode::Full { retention: None },
            future_tolerance: Duration::from_secs(telemetry::FUTURE_TOLERANCE_DEFAULT_SECONDS as u64),
            pages_max: 99,
            page_bytes_max: 256 * 1024,
            item_bytes_reserved: 0,
            write_bytes_max: 3_000_000,
            concurrency: 64,
            replans_max: 8,
            cache_bytes_max: 64 * 1024 * 1024,
            letters_per_record_max: 500,
        }
    }
}
