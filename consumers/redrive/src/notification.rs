//! What S3 tells a queue of its objects.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>: keys are encoded as in
//! a form, with `+` for a space. When a notification is set, S3 sends the queue one message to try it.

use serde::Deserialize;

/// An object that S3 tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifiedObject {
    /// The bucket.
    pub bucket: String,
    /// The key, decoded.
    pub key: String,
}

/// The objects that a message tells of; `None` where it is no notification of S3.
pub fn notified_objects(text: &str) -> Option<Vec<NotifiedObject>> {
    let Wire { records } = serde_json::from_str(text).ok()?;
    let object = |Record { event_source, s3 }: Record| {
        (event_source == "aws:s3").then_some(())?;
        Some(NotifiedObject { bucket: s3.bucket.name, key: decoded(&s3.object.key)? })
    };
    records.into_iter().map(object).collect()
}

/// Whether a message is the one by which S3 tries the queue.
pub fn is_test_message(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Test {
        #[serde(rename = "Event")]
        event: String,
    }
    serde_json::from_str::<Test>(text).is_ok_and(|test| test.event == "s3:TestEvent")
}

#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_source: String,
    s3: S3,
}

#[derive(Deserialize)]
struct S3 {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                rest = &rest[2..];
                u8::from_str_radix(digits, 16).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_names_its_objects_by_their_own_keys() {
        let text = r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"eu-west-1","eventTime":
            "2026-01-01T00:00:00.000Z","eventName":"ObjectCreated:Put","s3":{"s3SchemaVersion":"1.0","configurationId":
            "lambda-failures","bucket":{"name":"archive","ownerIdentity":{"principalId":"A"},"arn":"arn:aws:s3:::archive"},
            "object":{"key":"aws/lambda/u/shardId-0/2026/01/01/2026-01-01T00.00.00-a%2Bb+%C3%BC","size":1,"eTag":"x",
            "sequencer":"00"}}}]}"#;
        let key = "aws/lambda/u/shardId-0/2026/01/01/2026-01-01T00.00.00-a+b ü".to_owned();
        assert_eq!(notified_objects(text), Some(vec![NotifiedObject { bucket: "archive".to_owned(), key }]));
        for other in ["", "{}", "[]", r#"{"Records":[{"eventSource":"aws:kinesis","kinesis":{}}]}"#] {
            assert_eq!(notified_objects(other), None, "{other}");
        }
        for key in ["%", "%zz", "%ff", "a%2"] {
            assert_eq!(notified_objects(&text.replace("a%2Bb+%C3%BC", key)), None, "{key}");
        }
    }

    #[test]
    fn the_message_that_tries_the_queue_is_known() {
        let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-01-01T00:00:00.000Z","Bucket":"archive",
            "RequestId":"r","HostId":"h"}"#;
        assert!(is_test_message(test));
        assert!(!is_test_message("{}") && !is_test_message(r#"{"Event":"s3:ObjectCreated:Put"}"#));
    }
}
