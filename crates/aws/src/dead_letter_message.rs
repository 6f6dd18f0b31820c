//! A dead letter as an SQS message, and where its payload is when the message cannot hold it.

use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use ports::DeadLetter;
use serde::Serialize;

/// The wire form: the letter, and where to find its payload if that is over the queue's limit. `payload_base64` is
/// empty then: the object under `payload_archive_key` holds one whole letter a line, among them the one of this `id`.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    letter: &'a DeadLetter,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_archive_key: Option<&'a str>,
}

/// A message, ready to send.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub body: String,
    reason: &'static str,
    device_id: Option<String>,
}

impl Message {
    /// The message of `letter`, whose whole form stands in the archive under `archive_key`.
    pub(crate) fn new(letter: &DeadLetter, archive_key: &str, bytes_max: usize) -> serde_json::Result<Self> {
        let (reason, device_id) = (letter.reason.as_str(), letter.device_id.clone());
        let body = body(&Body { letter, payload_archive_key: None })?;
        let whole = Message { body, reason, device_id };
        if whole.size() <= bytes_max {
            return Ok(whole);
        }
        let without_payload = DeadLetter { payload_base64: String::new(), ..letter.clone() };
        let body = self::body(&Body { letter: &without_payload, payload_archive_key: Some(archive_key) })?;
        Ok(Message { body, ..whole })
    }

    /// What SQS counts: the body and, of each attribute, name, type and value.
    pub(crate) fn size(&self) -> usize {
        let attribute = |name: &str, value: &str| name.len() + "String".len() + value.len();
        let device = self.device_id.as_deref().map_or(0, |device| attribute("device_id", device));
        self.body.len() + attribute("reason", self.reason) + device
    }

    /// The entry of a batch in which `id` is its name.
    pub(crate) fn entry(&self, id: usize) -> Result<SendMessageBatchRequestEntry, aws_sdk_sqs::error::BuildError> {
        let attribute = |value: &str| MessageAttributeValue::builder().data_type("String").string_value(value).build();
        let mut entry = SendMessageBatchRequestEntry::builder()
            .id(id.to_string())
            .message_body(&self.body)
            .message_attributes("reason", attribute(self.reason)?);
        if let Some(device_id) = &self.device_id {
            entry = entry.message_attributes("device_id", attribute(device_id)?);
        }
        entry.build()
    }
}

/// One whole letter on one line, as the archive holds it.
pub(crate) fn archive_line(letter: &DeadLetter) -> serde_json::Result<String> {
    let mut line = body(&Body { letter, payload_archive_key: None })?;
    line.push('\n');
    Ok(line)
}

/// JSON that SQS takes: it refuses U+FFFE and U+FFFF, which a partition key may hold and JSON may escape. Every
/// other character that it refuses is a control character, which JSON escapes anyway.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>
fn body(body: &Body<'_>) -> serde_json::Result<String> {
    let json = serde_json::to_string(body)?;
    Ok(json.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::DeadLetterOrigin;
    use proptest::prelude::*;
    use telemetry::{DeviceId, RejectReason, Rejection, Timestamp};

    const KEY: &str = "dead-letters/dt=2026-01-31/0.jsonl";

    fn letter(payload: &[u8], partition_key: &str) -> DeadLetter {
        let origin = DeadLetterOrigin {
            stream: "readings",
            shard_id: "shardId-000000000000",
            sequence_number: "49",
            sub_sequence_number: None,
            index: Some(3),
            partition_key,
            arrived_at: Timestamp::UNIX_EPOCH,
        };
        let device_id = Some(DeviceId::parse("device-1").expect("a valid device id"));
        let rejection = Rejection { reason: RejectReason::Late, detail: "too late".to_owned(), device_id };
        DeadLetter::new(&rejection, payload, origin, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_message_is_the_letter_of_the_contract_and_nothing_else() {
        let letter = letter(b"{}", "device-1");
        let message = Message::new(&letter, KEY, 256 * 1024).expect("a message");
        let json: serde_json::Value = serde_json::from_str(&message.body).expect("JSON");
        assert_eq!(json, serde_json::to_value(&letter).expect("JSON"));
    }

    #[test]
    fn a_payload_over_the_limit_stays_in_the_archive_and_the_message_points_there() {
        let letter = letter(&[b'x'; 300 * 1024], "device-1");
        let message = Message::new(&letter, KEY, 256 * 1024).expect("a message");
        assert!(message.size() < 2048);
        let json: serde_json::Value = serde_json::from_str(&message.body).expect("JSON");
        assert_eq!(json["payload_base64"], "");
        assert_eq!(json["payload_archive_key"], KEY);
        assert_eq!(json["id"], letter.id.as_str());
        let archived: DeadLetter = serde_json::from_str(&archive_line(&letter).expect("a line")).expect("a letter");
        assert_eq!(archived, letter);
    }

    proptest! {
        #[test]
        fn every_partition_key_makes_a_body_that_sqs_takes_and_reads_back(
            partition_key in "(\\PC|[\u{fffe}\u{ffff}\u{0}-\u{20}\u{2028}])*",
        ) {
            let letter = letter(b"{}", &partition_key);
            let message = Message::new(&letter, KEY, 256 * 1024).expect("a message");
            let refused = |c: char| (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}');
            prop_assert!(!message.body.contains(refused));
            prop_assert_eq!(serde_json::from_str::<DeadLetter>(&message.body).expect("a letter"), letter);
        }

        #[test]
        fn a_letter_stays_whole_exactly_while_it_fits(payload_bytes in 0usize..3000, bytes_max in 1000usize..4000) {
            let letter = letter(&vec![b'x'; payload_bytes], "device-1");
            let whole = Message::new(&letter, KEY, usize::MAX).expect("a message");
            let message = Message::new(&letter, KEY, bytes_max).expect("a message");
            prop_assert_eq!(message.body.contains("payload_archive_key"), whole.size() > bytes_max);
            prop_assert!(message.size() <= bytes_max);
        }
    }
}
