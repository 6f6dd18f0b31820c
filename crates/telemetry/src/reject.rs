//! Why a reading cannot be counted.

use crate::DeviceId;
use std::fmt;

/// The reason code of a dead letter. The codes are a contract: operators filter by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// The bytes are not one JSON document of UTF-8.
    MalformedJson,
    /// The JSON is not a reading or a series: a member is missing, named twice, or breaks its rule.
    InvalidReading,
    /// The timestamp lies further ahead of the record's arrival than the tolerance allows.
    FutureTimestamp,
    /// A reading of the same identity, with another value, was counted before.
    ConflictingDuplicate,
    /// The record's partition key is not the reading's device.
    PartitionKeyMismatch,
    /// A KPL aggregate that cannot be taken apart.
    BadAggregate,
    /// Older than what the ledger can still decide.
    Late,
    /// The device's stored state does not decode; it is never overwritten.
    CorruptState,
}

impl RejectReason {
    /// Every reason, in the order of the contract.
    pub const ALL: [RejectReason; 8] = [
        RejectReason::MalformedJson,
        RejectReason::InvalidReading,
        RejectReason::FutureTimestamp,
        RejectReason::ConflictingDuplicate,
        RejectReason::PartitionKeyMismatch,
        RejectReason::BadAggregate,
        RejectReason::Late,
        RejectReason::CorruptState,
    ];

    /// The code as it stands in dead letters, metrics and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectReason::MalformedJson => "malformed_json",
            RejectReason::InvalidReading => "invalid_reading",
            RejectReason::FutureTimestamp => "future_timestamp",
            RejectReason::ConflictingDuplicate => "conflicting_duplicate",
            RejectReason::PartitionKeyMismatch => "partition_key_mismatch",
            RejectReason::BadAggregate => "bad_aggregate",
            RejectReason::Late => "late",
            RejectReason::CorruptState => "corrupt_state",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reading, or a whole record, that can never be counted as it stands.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{detail}")]
pub struct Rejection {
    /// The reason code.
    pub reason: RejectReason,
    /// One line for people: the member that is wrong and the rule, such as
    /// `readings[3].value: must be a number of magnitude at most 1e100`.
    pub detail: String,
    /// The device, where the input names a valid one.
    pub device_id: Option<DeviceId>,
}

impl Rejection {
    /// A rejection of an input that names no valid device.
    pub fn new(reason: RejectReason, detail: impl Into<String>) -> Self {
        Rejection { reason, detail: detail.into(), device_id: None }
    }
}
