//! What is put into a stream, and the trait of those who put it.

/// A record for a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Chooses the shard, by its MD5: 1-256 characters.
    pub partition_key: String,
    /// A reading or a series as UTF-8 JSON on one line, or a KPL aggregate of such records.
    pub data: Vec<u8>,
}

/// Why a record was not stored, on one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PutFailure {
    /// The stream is there, and takes no more just now.
    #[error("the stream is throttling")]
    Throttled,
    /// Passing: the same record may be stored when it is put again.
    #[error("{0}")]
    Passing(String),
    /// The stream takes this record never, and may take others.
    #[error("{0}")]
    Refused(String),
    /// The stream takes no record of this sender until somebody mends what is named: a stream that is not there, or a
    /// permission.
    #[error("{0}")]
    NothingTaken(String),
}

/// Puts records into a stream, as Kinesis' PutRecords does.
pub trait PutRecords: Sync {
    /// Stores records, each by itself and each once or more; the answer has one outcome a record, in order. `Ok` only
    /// for what is durable. Waits for the answer, and need not try again: the caller does.
    fn put_records(&self, records: &[&Record]) -> Vec<Result<(), PutFailure>>;
}
