//! What would become of each letter: decided without any I/O.

use crate::decision::{Decision, Rules};
use crate::lambda_failure::FetchedRecords;
use crate::letter::{Letter, ReasonCode};
use crate::repair::{BodyError, Records, Repairs, records};
use crate::whole_record::decide_on_whole_record;
use telemetry::RejectReason;

/// Decides on a letter. `fetched` are the records of a batch that Lambda gave up, where the letter tells of one.
pub fn decide(letter: &Letter, fetched: Option<&FetchedRecords>, repairs: &Repairs, rules: Rules) -> Decision {
    match letter {
        Letter::Rejected(rejected) => match &rejected.readings_by_reason {
            Some(by_reason) => decide_on_whole_record(rejected, by_reason, repairs, rules),
            None => decide_on_reading(letter, repairs, rules),
        },
        Letter::LambdaFailure(_) => decide_on_failure(letter, fetched, repairs),
        Letter::Unreadable { .. } => {
            Decision::Refuse(format!("{}: it cannot be sent, read it and purge it", letter.detail()))
        }
    }
}

fn decide_on_reading(letter: &Letter, repairs: &Repairs, rules: Rules) -> Decision {
    let Some(payload) = letter.payload() else {
        return Decision::Refuse("its payload is not base64".to_owned());
    };
    let reason = letter.reason();
    let returns = [RejectReason::ConflictingDuplicate, RejectReason::Late].map(ReasonCode::Rejected).contains(&reason);
    let is_named = repairs.bodies.contains_key(letter.id());
    if returns && !is_named && !rules.returning_too {
        return Decision::Skip(format!("would only come back; --reason {reason} sends it all the same"));
    }
    let body = match repairs.body(letter.id(), &payload) {
        Ok(body) => body,
        Err(why) => return Decision::Refuse(why),
    };
    match records(&body, rules.horizon) {
        Ok(records) => Decision::Send(records),
        Err(ahead @ BodyError::Ahead(_)) => Decision::Skip(ahead.to_string()),
        Err(rejected) if repairs.touches(letter.id()) => {
            Decision::Refuse(format!("still wrong when changed: {rejected}"))
        }
        Err(rejected) => Decision::Refuse(format!("must be fixed: {rejected}")),
    }
}

/// The records of a batch that Lambda gave up may have been counted: they go as they stood, or not at all.
fn decide_on_failure(letter: &Letter, fetched: Option<&FetchedRecords>, repairs: &Repairs) -> Decision {
    if repairs.touches(letter.id()) {
        let why = "is a batch that Lambda gave up: some of it may have been counted, and changed it would count twice";
        return Decision::Refuse(why.to_owned());
    }
    let (Some(fetched), Letter::LambdaFailure(failure)) = (fetched, letter) else {
        return Decision::Refuse("its records could not be fetched".to_owned());
    };
    let FetchedRecords { records, lost, note } = fetched;
    let readings = records.iter().map(|record| telemetry::count_readings(&record.data)).sum();
    let send = Records { entries: records.clone(), readings };
    let note = note.as_ref().map_or_else(String::new, |note| format!("; {note}"));
    let why = format!("{lost} of its {} records are lost: {}{note}", failure.batch_size, failure.range());
    match (records.is_empty(), *lost > 0) {
        (true, true) => Decision::Refuse(why),
        (false, true) => Decision::SendPart(send, why),
        (true, false) => Decision::Refuse("holds no records".to_owned()),
        (false, false) => Decision::Send(send),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda_failure::LambdaFailure;
    use crate::repair::Assignment;
    use ports::{DeadLetter, DeadLetterOrigin, StreamEntry};
    use telemetry::{Rejection, Timestamp};

    const READING: &str = r#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":1}"#;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn letter(reason: RejectReason, payload: &str) -> Letter {
        let origin = DeadLetterOrigin {
            stream: "s",
            shard_id: "shardId-000000000000",
            sequence_number: "1",
            sub_sequence_number: None,
            index: None,
            partition_key: "k",
            arrived_at: at("2026-01-01T00:00:00Z"),
        };
        Letter::Rejected(DeadLetter::new(
            &Rejection::new(reason, "x"),
            payload.as_bytes(),
            origin,
            at("2026-01-01T00:00:01Z"),
        ))
    }

    fn rules() -> Rules {
        Rules { returning_too: false, horizon: at("2026-06-01T00:00:00Z") }
    }

    fn set(text: &str) -> Repairs {
        Repairs { assignments: vec![Assignment::parse(text).unwrap()], ..Repairs::default() }
    }

    #[test]
    fn what_would_only_come_back_is_left_unless_asked_for_or_fixed() {
        for reason in RejectReason::ALL {
            let letter = letter(reason, READING);
            let returns = matches!(reason, RejectReason::ConflictingDuplicate | RejectReason::Late);
            let decision = decide(&letter, None, &Repairs::default(), rules());
            assert_eq!(matches!(decision, Decision::Skip(_)), returns, "{reason}");
            assert_eq!(matches!(decision, Decision::Send(_)), !returns, "{reason}");
            let asked = Rules { returning_too: true, ..rules() };
            assert!(matches!(decide(&letter, None, &Repairs::default(), asked), Decision::Send(_)));
            let bodies = [(letter.id().to_owned(), READING.replace(":1}", ":2}").into_bytes())].into();
            let fixed = Repairs { bodies, ..Repairs::default() };
            assert!(matches!(decide(&letter, None, &fixed, rules()), Decision::Send(_)));
            // Set in whatever is met, it was not meant for these.
            assert_eq!(matches!(decide(&letter, None, &set("value=1"), rules()), Decision::Skip(_)), returns);
        }
    }

    #[test]
    fn a_record_goes_under_its_readings_own_device() {
        let Decision::Send(records) =
            decide(&letter(RejectReason::PartitionKeyMismatch, READING), None, &Repairs::default(), rules())
        else {
            panic!("not sent")
        };
        assert_eq!(records.entries[0].partition_key, "d");
        assert_eq!(records.entries[0].data, READING.as_bytes());
    }

    #[test]
    fn a_letter_that_is_still_wrong_is_refused_with_the_member_and_its_rule() {
        let letter = letter(RejectReason::InvalidReading, &READING.replace(":1}", ":\"x\"}"));
        let why = |repairs: &Repairs| match decide(&letter, None, repairs, rules()) {
            Decision::Refuse(why) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(why(&Repairs::default()), "must be fixed: `value`: must be a JSON number");
        assert!(why(&set("value=1e200")).starts_with("still wrong when changed: `value`: must be finite"));
        assert!(matches!(decide(&letter, None, &set("value=5"), rules()), Decision::Send(_)));
    }

    #[test]
    fn a_timestamp_ahead_waits_until_it_is_past() {
        let letter = letter(RejectReason::FutureTimestamp, &READING.replace("2026-01", "2026-07"));
        assert!(matches!(decide(&letter, None, &Repairs::default(), rules()), Decision::Skip(_)));
        let later = Rules { horizon: at("2026-08-01T00:00:00Z"), ..rules() };
        assert!(matches!(decide(&letter, None, &Repairs::default(), later), Decision::Send(_)));
        assert!(matches!(decide(&letter, None, &set("timestamp=2026-01-01T00:00:00Z"), rules()), Decision::Send(_)));
    }

    #[test]
    fn a_batch_that_lambda_gave_up_goes_as_it_stood_or_not_at_all() {
        let metadata = r#"{"requestContext":{"requestId":"r","functionArn":"f","condition":"RetryAttemptsExhausted",
            "approximateInvokeCount":1},"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":
            "Unhandled"},"version":"1.0","timestamp":"2026-01-01T00:00:00.000Z","KinesisBatchInfo":{"shardId":
            "shardId-000000000001","startSequenceNumber":"1","endSequenceNumber":"2","approximateArrivalOfFirstRecord":
            "2026-01-01T00:00:00.000Z","approximateArrivalOfLastRecord":"2026-01-01T00:00:00.000Z","batchSize":2,
            "streamArn":"arn:aws:kinesis:eu-west-1:1:stream/s"}"#;
        let letter = Letter::parse(&format!("{metadata}}}"));
        assert_eq!(letter.reason(), ReasonCode::LambdaFailure);
        assert_eq!(letter.detail(), "RetryAttemptsExhausted: 2 records of shardId-000000000001, 1 to 2");
        let record = StreamEntry::new("k".to_owned(), READING.as_bytes().to_vec());
        let fetched = FetchedRecords { records: vec![record.clone(), record], ..FetchedRecords::default() };
        let decide =
            |fetched: &FetchedRecords, repairs: &Repairs| super::decide(&letter, Some(fetched), repairs, rules());
        let none = Repairs::default();
        assert!(
            matches!(decide(&fetched, &none), Decision::Send(records) if records.entries == fetched.records && records.readings == 2)
        );
        assert!(matches!(decide(&fetched, &set("value=1")), Decision::Refuse(why) if why.contains("count twice")));
        let expired = FetchedRecords { lost: 1, ..fetched.clone() };
        let range = "1 of its 2 records are lost: s, shardId-000000000001, 1 to 2, arrived 2026-01-01T00:00:00Z to";
        assert!(
            matches!(decide(&expired, &none), Decision::SendPart(records, why) if records.entries.len() == 2 && why.starts_with(range))
        );
        let all_gone = FetchedRecords { records: Vec::new(), lost: 2, note: Some("archived nowhere".to_owned()) };
        assert!(
            matches!(decide(&all_gone, &none), Decision::Refuse(why) if why.starts_with("2 of its 2 records are lost")
            && why.ends_with("; archived nowhere"))
        );
        assert!(matches!(super::decide(&letter, None, &none, rules()), Decision::Refuse(_)));

        let with_payload = format!(
            "{metadata},\"payload\":{{\"Records\":[{{\"kinesis\":{{\"partitionKey\":\"k\",\"data\":\"e30=\"}},\"eventID\":\"e\"}}]}}}}"
        );
        let Letter::LambdaFailure(LambdaFailure { records: Some(records), id, .. }) = Letter::parse(&with_payload)
        else {
            panic!("no payload")
        };
        assert_eq!((records[0].data.as_slice(), id.as_str()), (b"{}".as_slice(), letter.id()));
        // AWS writes the event as a string.
        let event = r#"{"Records":[{"kinesis":{"partitionKey":"k","data":"e30="},"eventID":"e"}]}"#;
        let as_text = format!("{metadata},\"payload\":{}}}", serde_json::Value::String(event.to_owned()));
        let Letter::LambdaFailure(LambdaFailure { records: Some(text_records), .. }) = Letter::parse(&as_text) else {
            panic!("no payload")
        };
        assert_eq!(text_records, records);
        assert!(matches!(Letter::parse("{\"KinesisBatchInfo\":1}"), Letter::Unreadable { .. }));
    }
}
