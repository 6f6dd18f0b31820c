//! What the function's answer says about its batch.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html>

use ports::{SequenceNumber, StreamRecord};
use serde_json::Value;

/// What became of a batch that the function answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every record is done.
    Success,
    /// The first `usize` records are done; the one after them is the lowest that failed, and everything from it on is
    /// sent again. Never 0: that is a failure of the whole batch.
    PartialSuccess(usize),
    /// No record is done.
    Failure,
}

impl Verdict {
    /// Of a handler that named the records which failed.
    pub fn of_failed(failed: &[SequenceNumber], records: &[StreamRecord]) -> Self {
        Self::of_positions(failed.iter().map(|failed| position(*failed, records)))
    }

    fn of_positions(failed: impl Iterator<Item = Option<usize>>) -> Self {
        match failed.min() {
            None => Verdict::Success,
            // `None`, which is no record of the batch, is below every position.
            Some(Some(done)) if done > 0 => Verdict::PartialSuccess(done),
            Some(_) => Verdict::Failure,
        }
    }
}

/// Reads `answer` as Lambda does where `ReportBatchItemFailures` is on.
///
/// "Lambda treats a batch as a complete success if you return any of the following: an empty `batchItemFailure` list,
/// a null `batchItemFailure` list, an empty `EventResponse`, a null `EventResponse`." Empty are, as tried on AWS, `""`,
/// `[]` and `{}`. A failure are "an empty string
/// `itemIdentifier`, a null `itemIdentifier`, an `itemIdentifier` with a bad key name", an identifier of no record of
/// the batch, and everything that has not this form: what cannot be understood is not taken for success.
pub fn verdict(answer: &[u8], records: &[StreamRecord]) -> Verdict {
    let answer = answer.trim_ascii();
    if answer.is_empty() {
        return Verdict::Success;
    }
    let failures = match serde_json::from_slice::<Value>(answer) {
        Ok(Value::Null) => return Verdict::Success,
        Ok(Value::String(text)) if text.is_empty() => return Verdict::Success,
        Ok(Value::Array(items)) if items.is_empty() => return Verdict::Success,
        Ok(Value::Object(mut members)) => members.remove("batchItemFailures").unwrap_or(Value::Null),
        _ => return Verdict::Failure,
    };
    match failures {
        Value::Null => Verdict::Success,
        Value::Array(items) => Verdict::of_positions(items.iter().map(|item| named(item, records))),
        _ => Verdict::Failure,
    }
}

fn named(item: &Value, records: &[StreamRecord]) -> Option<usize> {
    position(item.as_object()?.get("itemIdentifier")?.as_str()?.parse().ok()?, records)
}

fn position(sequence_number: SequenceNumber, records: &[StreamRecord]) -> Option<usize> {
    records.binary_search_by_key(&sequence_number, |record| record.sequence_number).ok()
}
