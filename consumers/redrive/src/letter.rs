//! What is in a dead-letter queue.

use crate::hash::hash;
use crate::lambda_failure::LambdaFailure;
use crate::notification::is_test_message;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ports::DeadLetter;
use std::fmt;
use telemetry::{RejectReason, Timestamp};

/// One entry of a dead-letter queue.
#[derive(Debug, Clone, PartialEq)]
pub enum Letter {
    /// A record or reading that the aggregator refused.
    Rejected(DeadLetter),
    /// A batch that Lambda gave up: which records of the stream it held.
    LambdaFailure(LambdaFailure),
    /// Neither, such as a message that someone else sent to the queue.
    Unreadable {
        /// A hash of the text.
        id: String,
        /// The text.
        text: String,
        /// What it is instead, for people.
        why: String,
    },
}

/// Why a letter is there: a reject reason, or what is no reading of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReasonCode {
    /// The aggregator's reason.
    Rejected(RejectReason),
    /// Lambda gave the batch up.
    LambdaFailure,
    /// It cannot be read.
    Unreadable,
}

impl ReasonCode {
    /// Every code.
    pub fn all() -> impl Iterator<Item = ReasonCode> {
        RejectReason::ALL
            .into_iter()
            .map(ReasonCode::Rejected)
            .chain([ReasonCode::LambdaFailure, ReasonCode::Unreadable])
    }

    /// The code as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            ReasonCode::Rejected(reason) => reason.as_str(),
            ReasonCode::LambdaFailure => "lambda_failure",
            ReasonCode::Unreadable => "unreadable",
        }
    }

    /// The code of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::all().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Letter {
    /// A message's body, whatever it is.
    pub fn parse(text: &str) -> Self {
        if let Ok(letter) = serde_json::from_str::<DeadLetter>(text) {
            return Letter::Rejected(letter);
        }
        match LambdaFailure::parse(text) {
            Some(failure) => Letter::LambdaFailure(failure),
            None if is_test_message(text) => {
                Self::unreadable(text, "is the message by which S3 tried the queue when it was set up: purge it")
            }
            None => Self::unreadable(text, "is neither a dead letter nor a failure record of Lambda"),
        }
    }

    /// What cannot be read as a letter, and why.
    pub fn unreadable(text: &str, why: impl Into<String>) -> Self {
        Letter::Unreadable { id: hash(text.as_bytes()), text: text.to_owned(), why: why.into() }
    }

    /// The id: the same for every copy.
    pub fn id(&self) -> &str {
        match self {
            Letter::Rejected(letter) => &letter.id,
            Letter::LambdaFailure(failure) => &failure.id,
            Letter::Unreadable { id, .. } => id,
        }
    }

    /// Why it is there.
    pub fn reason(&self) -> ReasonCode {
        match self {
            Letter::Rejected(letter) => ReasonCode::Rejected(letter.reason),
            Letter::LambdaFailure(_) => ReasonCode::LambdaFailure,
            Letter::Unreadable { .. } => ReasonCode::Unreadable,
        }
    }

    /// One line for people: what is wrong.
    pub fn detail(&self) -> String {
        match self {
            Letter::Rejected(letter) => letter.detail.clone(),
            Letter::LambdaFailure(failure) => failure.to_string(),
            Letter::Unreadable { why, .. } => why.clone(),
        }
    }

    /// The device, where a valid one is named.
    pub fn device_id(&self) -> Option<&str> {
        match self {
            Letter::Rejected(letter) => letter.device_id.as_deref(),
            _ => None,
        }
    }

    /// When it was given up, where that is known.
    pub fn failed_at(&self) -> Option<Timestamp> {
        match self {
            Letter::Rejected(letter) => Some(letter.failed_at),
            Letter::LambdaFailure(failure) => failure.failed_at,
            Letter::Unreadable { .. } => None,
        }
    }

    /// The payload, decoded; `None` where there is none to decode.
    pub fn payload(&self) -> Option<Vec<u8>> {
        match self {
            Letter::Rejected(letter) => STANDARD.decode(&letter.payload_base64).ok(),
            Letter::LambdaFailure(_) => None,
            Letter::Unreadable { text, .. } => Some(text.clone().into_bytes()),
        }
    }

    /// Whether the text is in its payload or in what is known of it.
    fn contains(&self, text: &str) -> bool {
        let is_in = |hay: &[u8]| {
            text.is_empty() || hay.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
        };
        let partition_key = match self {
            Letter::Rejected(letter) => letter.partition_key.as_str(),
            _ => "",
        };
        let known =
            [self.id(), self.reason().as_str(), &self.detail(), self.device_id().unwrap_or_default(), partition_key];
        known.iter().any(|hay| is_in(hay.as_bytes())) || is_in(&self.payload().unwrap_or_default())
    }

    /// By what the letters of a group are ordered: the arrival of their readings, so that of two with one identity the
    /// first one wins again.
    pub(crate) fn arrival(&self) -> (Option<Timestamp>, String, ports::SequenceNumber, Option<u64>, Option<u32>) {
        match self {
            Letter::Rejected(letter) => (
                Some(letter.arrived_at),
                letter.shard_id.clone(),
                letter.sequence_number.parse().unwrap_or(ports::SequenceNumber::from(0)),
                letter.sub_sequence_number,
                letter.index,
            ),
            other => (other.failed_at(), String::new(), ports::SequenceNumber::from(0), None, None),
        }
    }
}

/// Which letters are meant; the default means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these ids; empty: any.
    pub ids: Vec<String>,
    /// Only this reason.
    pub reason: Option<ReasonCode>,
    /// Only those that name this device.
    pub device_id: Option<String>,
    /// Only those given up at this instant, to the millisecond, or later.
    pub since: Option<Timestamp>,
    /// Only those given up at this instant, to the millisecond, or earlier.
    pub until: Option<Timestamp>,
    /// Only those whose payload, id, reason, detail, device or partition key contains this text; ASCII letters match in
    /// either case.
    pub text: Option<String>,
}

impl Filter {
    /// Whether the filter names anything at all.
    pub fn is_narrow(&self) -> bool {
        !self.ids.is_empty()
            || self.reason.is_some()
            || self.device_id.is_some()
            || self.since.is_some()
            || self.text.is_some()
    }

    /// Whether the letter is meant. One whose time is not known is newer than nothing and older than nothing.
    pub fn matches(&self, letter: &Letter) -> bool {
        let failed_at = letter.failed_at().map(Timestamp::as_millisecond);
        let at_least = |since: Timestamp| failed_at.is_none_or(|at| at >= since.as_millisecond());
        let at_most = |until: Timestamp| failed_at.is_none_or(|at| at <= until.as_millisecond());
        (self.ids.is_empty() || self.ids.iter().any(|id| id == letter.id()))
            && self.reason.is_none_or(|reason| reason == letter.reason())
            && self.device_id.as_deref().is_none_or(|device| letter.device_id() == Some(device))
            && self.since.is_none_or(at_least)
            && self.until.is_none_or(at_most)
            && self.text.as_deref().is_none_or(|text| letter.contains(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::DeadLetterOrigin;
    use telemetry::Rejection;

    #[test]
    fn a_text_is_found_anywhere_in_a_letter() {
        let origin = DeadLetterOrigin {
            stream: "s",
            shard_id: "shardId-000000000000",
            sequence_number: "1",
            sub_sequence_number: None,
            index: None,
            partition_key: "the key",
            arrived_at: Timestamp::UNIX_EPOCH,
        };
        let rejection = Rejection::new(RejectReason::Late, "the detail");
        let payload = b"{\"device_id\":\"Boiler\"} \xff";
        let rejected = Letter::Rejected(DeadLetter::new(&rejection, payload, origin, Timestamp::UNIX_EPOCH));
        let finds =
            |letter: &Letter, text: &str| Filter { text: Some(text.to_owned()), ..Filter::default() }.matches(letter);
        for text in ["boiler", "BOILER", "the detail", "late", "The Key", rejected.id(), ""] {
            assert!(finds(&rejected, text), "{text}");
        }
        assert!(!finds(&rejected, "boilers"));
        let unreadable = Letter::parse("of someone else");
        assert!(
            finds(&unreadable, "Someone") && finds(&unreadable, "neither a dead letter") && !finds(&unreadable, "key")
        );
    }
}
