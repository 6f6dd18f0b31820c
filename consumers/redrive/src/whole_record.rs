//! A dead letter of a whole record, which has more readings that cannot be counted than may have a letter each. It goes
//! back as one record again: its readings keep their identities, so that those which were counted are duplicates.

use crate::decision::{Decision, Rules};
use crate::repair::{BodyError, Records, Repairs};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ports::{DeadLetter, StreamEntry};
use std::collections::{BTreeMap, BTreeSet};
use telemetry::{RejectReason, Timestamp, each_reading, kpl};

/// What is put into the stream for a letter of a whole record: the record as it was, but for readings under another
/// device's partition key, which go under their own.
///
/// # Errors
/// Why nothing can be put, for people.
pub fn whole_record(letter: &DeadLetter) -> Result<StreamEntry, String> {
    let Some(by_reason) = &letter.readings_by_reason else {
        return Err("is no letter of a whole record: it is sent as bodies".to_owned());
    };
    let data = STANDARD.decode(&letter.payload_base64).map_err(|_| "its payload is not base64".to_owned())?;
    let rejected = by_reason.values().fold(0u64, |sum, readings| sum.saturating_add(*readings));
    // A letter whose payload is elsewhere has an empty one.
    if telemetry::count_readings(&data) < rejected {
        return Err(format!("its payload is not the record of {rejected} such readings"));
    }
    let partition_key = letter.partition_key.clone();
    if !by_reason.contains_key(&RejectReason::PartitionKeyMismatch) {
        return Ok(StreamEntry::new(partition_key, data));
    }
    // Any other record holds at most 500 readings, which have a letter each, unless `letters_per_record_max` is lowered, as
    // the simulation does.
    if !kpl::is_aggregate(&data) {
        return Ok(StreamEntry::new(device_of(&data).unwrap_or(partition_key), data));
    }
    Ok(StreamEntry::new(partition_key, under_own_devices(&data)?))
}

fn under_own_devices(aggregate: &[u8]) -> Result<Vec<u8>, String> {
    let why = |error| format!("its readings cannot be put under their own devices: {error}");
    let mut records = kpl::deaggregate(aggregate).map_err(why)?;
    for record in &mut records {
        if let Some(device) = device_of(&record.data) {
            record.partition_key = device;
        }
    }
    let data = kpl::aggregate(&records);
    // With longer keys it may be too large to be taken apart.
    kpl::deaggregate(&data).map_err(why)?;
    Ok(data)
}

/// The device of a reading or a series.
fn device_of(record: &[u8]) -> Option<String> {
    let mut device = None;
    each_reading(record, |decoded| {
        if let (None, Ok(reading)) = (&device, decoded.outcome) {
            device = Some(reading.device_id.to_string());
        }
    });
    device
}

/// Sends the record if any of its readings may count now: the others come back, again as one letter or as a few.
pub(crate) fn decide_on_whole_record(
    letter: &DeadLetter,
    by_reason: &BTreeMap<RejectReason, u64>,
    repairs: &Repairs,
    rules: Rules,
) -> Decision {
    const BY_HAND: &str = "post corrected readings, then purge it";
    if repairs.touches(&letter.id) {
        return Decision::Refuse(format!("is a whole record, which cannot be changed here: {BY_HAND}"));
    }
    let entry = match whole_record(letter) {
        Ok(entry) => entry,
        Err(why) => return Decision::Refuse(why),
    };
    let (readings, ahead) = readings_and_those_ahead(&entry.data, rules.horizon);
    let has = |reason| by_reason.contains_key(&reason);
    let future = by_reason.get(&RejectReason::FutureTimestamp).copied().unwrap_or_default();
    let is_past = future > ahead.len() as u64;
    let returns = has(RejectReason::ConflictingDuplicate) || has(RejectReason::Late);
    if is_past
        || has(RejectReason::PartitionKeyMismatch)
        || has(RejectReason::CorruptState)
        || (returns && rules.returning_too)
    {
        return Decision::Send(Records { entries: vec![entry], readings });
    }
    match ahead.first() {
        Some(first) if future > 0 => Decision::Skip(BodyError::Ahead(*first).to_string()),
        _ if returns => {
            Decision::Skip(format!("would only come back; --reason {} sends it all the same", letter.reason))
        }
        _ => Decision::Refuse(format!("must be fixed: {}: {BY_HAND}", letter.detail)),
    }
}

/// How many readings a record has, and the timestamps that lie ahead, the first first.
fn readings_and_those_ahead(data: &[u8], horizon: Timestamp) -> (u64, Vec<Timestamp>) {
    let (mut readings, mut ahead) = (0, Vec::new());
    each_reading(data, |decoded| {
        readings += 1;
        ahead.extend(decoded.outcome.ok().map(|reading| reading.timestamp).filter(|at| *at > horizon));
    });
    ahead.sort_unstable();
    (readings, ahead)
}

/// The places of the readings in a record that break a rule whenever they come.
pub(crate) fn wrong_places(record: &[u8]) -> BTreeSet<usize> {
    let (mut wrong, mut place) = (BTreeSet::new(), 0);
    each_reading(record, |decoded| {
        if decoded.outcome.is_err() {
            wrong.insert(place);
        }
        place += 1;
    });
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::DeadLetterOrigin;
    use telemetry::Rejection;
    use telemetry::kpl::SubRecord;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn reading(device: &str, second: usize) -> Vec<u8> {
        format!(r#"{{"device_id":"{device}","timestamp":"2026-01-01T00:00:{second:02}Z","value":1}}"#).into_bytes()
    }

    fn aggregate(records: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let record = |(key, data): &(&str, Vec<u8>)| SubRecord {
            partition_key: (*key).to_owned(),
            explicit_hash_key: None,
            data: data.clone(),
            sub_sequence_number: 0,
        };
        kpl::aggregate(&records.iter().map(record).collect::<Vec<_>>())
    }

    fn letter(by_reason: &[(RejectReason, u64)], data: &[u8]) -> DeadLetter {
        let origin = DeadLetterOrigin {
            stream: "s",
            shard_id: "shardId-000000000000",
            sequence_number: "1",
            sub_sequence_number: None,
            index: None,
            partition_key: "outer",
            arrived_at: at("2026-01-01T00:00:00Z"),
        };
        let letter = DeadLetter::new(&Rejection::new(by_reason[0].0, "x"), data, origin, at("2026-01-01T00:00:01Z"));
        DeadLetter { readings_by_reason: Some(by_reason.iter().copied().collect()), ..letter }
    }

    fn decide(letter: &DeadLetter, returning_too: bool, repairs: &Repairs) -> Decision {
        let rules = Rules { returning_too, horizon: at("2026-01-01T00:00:30Z") };
        let by_reason = letter.readings_by_reason.as_ref().unwrap();
        decide_on_whole_record(letter, by_reason, repairs, rules)
    }

    fn record() -> Vec<u8> {
        aggregate(&[("d", reading("d", 1)), ("d", reading("d", 2)), ("d", b"x".to_vec())])
    }

    #[test]
    fn the_record_goes_as_it_was_if_a_reading_may_count() {
        use RejectReason::{ConflictingDuplicate, CorruptState, InvalidReading, Late, MalformedJson};
        let as_it_was = StreamEntry::new("outer".to_owned(), record());
        let decide = |by_reason: &[_], returning| decide(&letter(by_reason, &record()), returning, &Repairs::default());
        let sent = Decision::Send(Records { entries: vec![as_it_was], readings: 3 });
        assert_eq!(decide(&[(CorruptState, 1), (MalformedJson, 1)], false), sent);
        assert_eq!(decide(&[(Late, 1), (MalformedJson, 1)], true), sent);
        assert!(
            matches!(decide(&[(Late, 2), (MalformedJson, 1)], false), Decision::Skip(why) if why.contains("--reason late"))
        );
        assert!(matches!(decide(&[(ConflictingDuplicate, 1)], false), Decision::Skip(_)));
        let wrong = decide(&[(InvalidReading, 1), (MalformedJson, 1)], true);
        assert_eq!(wrong, Decision::Refuse("must be fixed: x: post corrected readings, then purge it".to_owned()));
    }

    #[test]
    fn a_record_waits_while_all_its_future_readings_lie_ahead() {
        let future = |second| letter(&[(RejectReason::FutureTimestamp, 2)], &record_of(&[second, 59]));
        assert!(
            matches!(decide(&future(58), false, &Repairs::default()), Decision::Skip(why) if why.contains("00:00:58"))
        );
        assert!(matches!(decide(&future(29), false, &Repairs::default()), Decision::Send(_)));
    }

    fn record_of(seconds: &[usize]) -> Vec<u8> {
        aggregate(&seconds.iter().map(|second| ("d", reading("d", *second))).collect::<Vec<_>>())
    }

    #[test]
    fn readings_under_other_keys_go_under_their_own_devices() {
        let data = aggregate(&[("x", reading("a", 1)), ("b", reading("b", 2)), ("x", b"x".to_vec())]);
        let letter = letter(&[(RejectReason::PartitionKeyMismatch, 1)], &data);
        let Decision::Send(records) = decide(&letter, false, &Repairs::default()) else { panic!("not sent") };
        let keys: Vec<_> =
            kpl::deaggregate(&records.entries[0].data).unwrap().into_iter().map(|r| r.partition_key).collect();
        assert_eq!((keys, records.readings), (vec!["a".to_owned(), "b".to_owned(), "x".to_owned()], 3));
    }

    #[test]
    fn a_whole_record_is_not_changed_and_never_sent_without_its_payload() {
        let whole = letter(&[(RejectReason::CorruptState, 3)], &record());
        let changed = Repairs { bodies: [(whole.id.clone(), reading("d", 1))].into(), ..Repairs::default() };
        assert!(
            matches!(decide(&whole, false, &changed), Decision::Refuse(why) if why.contains("cannot be changed here"))
        );
        let without = DeadLetter { payload_base64: String::new(), ..whole };
        assert!(matches!(decide(&without, true, &Repairs::default()), Decision::Refuse(why) if why.contains("3 such")));
    }
}
