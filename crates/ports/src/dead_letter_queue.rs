//! What can never be counted as it stands, kept for operators.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::future::Future;
use telemetry::{RejectReason, Rejection, Timestamp};

/// One record or reading that could not be counted, or the readings of a record that are too many for a letter each,
/// in the wire format of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The format's version: 1.
    pub version: u8,
    /// A hash of shard, sequence, sub-sequence, index and arrival: the same when the record is redelivered.
    pub id: String,
    /// The reason code; of several readings, the commonest.
    pub reason: RejectReason,
    /// For people: the member that is wrong and the rule.
    pub detail: String,
    /// In a letter of several readings: how many of its record's readings cannot be counted, by reason. Their record is
    /// the payload, whole, with the readings that were counted. Absent in any other letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readings_by_reason: Option<BTreeMap<RejectReason, u64>>,
    /// The device, where a valid one is named.
    pub device_id: Option<String>,
    /// The payload: the whole record, or a complete one-reading body.
    pub payload_base64: String,
    /// The stream's name.
    pub stream: String,
    /// The shard.
    pub shard_id: String,
    /// The record's sequence number.
    pub sequence_number: String,
    /// The place in a KPL aggregate, if it came in one.
    pub sub_sequence_number: Option<u64>,
    /// The place in a series, if it came in one.
    pub index: Option<u32>,
    /// The record's partition key.
    pub partition_key: String,
    /// When the stream took the record.
    pub arrived_at: Timestamp,
    /// When it was given up.
    pub failed_at: Timestamp,
}

/// Where a dead letter came from.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetterOrigin<'a> {
    /// The stream's name.
    pub stream: &'a str,
    /// The shard.
    pub shard_id: &'a str,
    /// The record's sequence number.
    pub sequence_number: &'a str,
    /// The place in a KPL aggregate.
    pub sub_sequence_number: Option<u64>,
    /// The place in a series.
    pub index: Option<u32>,
    /// The record's partition key.
    pub partition_key: &'a str,
    /// When the stream took the record.
    pub arrived_at: Timestamp,
}

impl DeadLetterOrigin<'_> {
    /// The dead letter's id: the first 16 bytes, in hexadecimal, of SHA-256 over shard, sequence number, sub-sequence
    /// number, index and arrival in milliseconds, each preceded by its length so that no two origins share their bytes.
    /// The arrival is part of it because a stream that is made anew counts its sequence numbers from the start again.
    pub fn id(&self) -> String {
        let sub_sequence = self.sub_sequence_number.map_or_else(String::new, |n| n.to_string());
        let index = self.index.map_or_else(String::new, |n| n.to_string());
        let arrival = self.arrived_at.as_millisecond().to_string();
        let mut hash = Sha256::new();
        for part in [self.shard_id, self.sequence_number, &sub_sequence, &index, &arrival] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl DeadLetter {
    /// The dead letter for `rejection` of `payload`.
    pub fn new(rejection: &Rejection, payload: &[u8], origin: DeadLetterOrigin<'_>, failed_at: Timestamp) -> Self {
        DeadLetter {
            version: 1,
            id: origin.id(),
            reason: rejection.reason,
            detail: rejection.detail.clone(),
            readings_by_reason: None,
            device_id: rejection.device_id.as_ref().map(|device| device.as_str().to_owned()),
            payload_base64: STANDARD.encode(payload),
            stream: origin.stream.to_owned(),
            shard_id: origin.shard_id.to_owned(),
            sequence_number: origin.sequence_number.to_owned(),
            sub_sequence_number: origin.sub_sequence_number,
            index: origin.index,
            partition_key: origin.partition_key.to_owned(),
            arrived_at: origin.arrived_at,
            failed_at,
        }
    }

    /// How many readings the letter holds for, by reason.
    pub fn readings(&self) -> BTreeMap<RejectReason, u64> {
        self.readings_by_reason.clone().unwrap_or_else(|| [(self.reason, 1)].into())
    }
}

/// A queue of dead letters: SQS, or its like on one machine.
pub trait DeadLetterQueue: Send + Sync {
    /// Sends the letters, in as few calls as the queue allows; the answer has one result a letter, in order. `Ok`
    /// only for what is durable. One letter may be sent more than once: its `id` stays the same.
    fn send(&self, letters: Vec<DeadLetter>) -> impl Future<Output = Vec<Result<(), DeadLetterError>>> + Send;
}

/// Why a dead letter was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// Passing: try again.
    #[error("the dead-letter queue is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}
