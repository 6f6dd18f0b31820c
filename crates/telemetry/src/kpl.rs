//! Records packed by the Kinesis Producer Library. They are recognised, and refused until they can be taken apart.

/// One record of an aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubRecord {
    /// Its own partition key.
    pub partition_key: String,
    /// Its own explicit hash key.
    pub explicit_hash_key: Option<String>,
    /// Its data.
    pub data: Vec<u8>,
    /// Its place in the aggregate, from 0.
    pub sub_sequence_number: u64,
}

/// The aggregate cannot be taken apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the KPL aggregate cannot be taken apart")]
pub struct BadAggregate;

/// Whether the record begins as a KPL aggregate does.
pub fn is_aggregate(data: &[u8]) -> bool {
    data.starts_with(&[0xf3, 0x89, 0x9a, 0xc2])
}

/// The records of an aggregate.
///
/// # Errors
/// [`BadAggregate`], for every aggregate as yet.
pub fn deaggregate(_data: &[u8]) -> Result<Vec<SubRecord>, BadAggregate> {
    Err(BadAggregate)
}
