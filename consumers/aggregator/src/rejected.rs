//! What can never be counted: a dead letter for each reading or, where a record has very many such readings, one for
//! the record. A record may hold thousands of times as many readings as would fit into letters of its own size.

use ports::{DeadLetter, DeadLetterOrigin, StreamRecord};
use std::collections::{BTreeMap, BTreeSet};
use telemetry::{DeviceId, RejectReason, Rejection, Timestamp};

/// A reading's place: its record in the batch, and its place among the record's readings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub record: usize,
    pub reading: usize,
    pub sub_sequence_number: Option<u64>,
    pub index: Option<u32>,
}

/// A reading that can never be counted.
#[derive(Debug)]
pub(crate) struct Rejected {
    pub place: Place,
    pub rejection: Rejection,
    /// Its partition key in a KPL aggregate, which stands for the record's own.
    pub partition_key: Option<String>,
}

/// The readings of a batch that can never be counted, by record.
#[derive(Debug)]
pub(crate) struct RejectedReadings {
    letters_per_record_max: usize,
    records: BTreeMap<usize, OfRecord>,
}

/// Those of one record.
#[derive(Debug, Default)]
struct OfRecord {
    by_reason: BTreeMap<RejectReason, u64>,
    /// All of them, or the first alone where they are too many for a letter each.
    readings: Vec<Rejected>,
    are_too_many: bool,
    /// The device that all of them name.
    device_id: Option<DeviceId>,
}

/// A dead letter, and which record of the batch it is of.
pub(crate) struct Letter {
    pub record: usize,
    pub letter: DeadLetter,
}

impl RejectedReadings {
    /// None yet. A record with more than `letters_per_record_max` of them has one letter.
    pub fn new(letters_per_record_max: usize) -> Self {
        RejectedReadings { letters_per_record_max, records: BTreeMap::new() }
    }

    pub fn push(&mut self, rejected: Rejected) {
        self.records.entry(rejected.place.record).or_default().push(rejected, self.letters_per_record_max);
    }

    /// Leaves out the records of `undecided` that may become one letter, and names them: which letters they have is
    /// known only once all of their readings are decided. They must be delivered again.
    pub fn leave_out(&mut self, undecided: &BTreeSet<usize>, records: &[StreamRecord]) -> Vec<usize> {
        let may_be_one = |record: &&usize| {
            let data = &records[**record].data;
            self.records.contains_key(*record) && telemetry::count_readings(data) > self.letters_per_record_max as u64
        };
        let left_out: Vec<usize> = undecided.iter().filter(may_be_one).copied().collect();
        for record in &left_out {
            self.records.remove(record);
        }
        left_out
    }

    /// The dead letters, in the order of the records and their readings.
    pub fn letters(self, records: &[StreamRecord], failed_at: Timestamp) -> Vec<Letter> {
        let mut letters = Vec::new();
        for (record, mut of_record) in self.records {
            let stream_record = &records[record];
            if of_record.are_too_many {
                letters.push(Letter { record, letter: of_record.letter(stream_record, failed_at) });
                continue;
            }
            of_record.readings.sort_by_key(|rejected| rejected.place.reading);
            let places: BTreeSet<usize> = of_record.readings.iter().map(|rejected| rejected.place.reading).collect();
            let payloads = telemetry::reading_payloads_at(&stream_record.data, |place| places.contains(&place));
            for (rejected, payload) in of_record.readings.iter().zip(payloads) {
                letters.push(Letter { record, letter: rejected.letter(stream_record, &payload, failed_at) });
            }
        }
        letters
    }
}

impl OfRecord {
    fn push(&mut self, rejected: Rejected, letters_max: usize) {
        if self.by_reason.is_empty() {
            self.device_id.clone_from(&rejected.rejection.device_id);
        } else if self.device_id != rejected.rejection.device_id {
            self.device_id = None;
        }
        *self.by_reason.entry(rejected.rejection.reason).or_default() += 1;
        self.readings.push(rejected);
        self.are_too_many |= self.readings.len() > letters_max;
        if self.are_too_many {
            let first = self.readings.drain(..).min_by_key(|rejected| rejected.place.reading);
            self.readings = first.into_iter().collect();
        }
    }

    /// The letter of the whole record. No letter of a single reading has its id: of those that come from a record of
    /// several readings, each has its place in a series or an aggregate.
    fn letter(&self, record: &StreamRecord, failed_at: Timestamp) -> DeadLetter {
        let rejected: u64 = self.by_reason.values().sum();
        let readings = telemetry::count_readings(&record.data);
        let counts: Vec<String> = self.by_reason.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let mut detail =
            format!("{rejected} of the record's {readings} readings cannot be counted ({})", counts.join(", "));
        if let Some(first) = self.readings.first() {
            detail += &format!("; the first: {}", first.rejection.detail);
        }
        // Of those that are equally common the first of the contract, which is the last of the iterator.
        let commonest = self.by_reason.iter().rev().max_by_key(|(_, count)| **count);
        // There is no record here without a rejected reading.
        let reason = commonest.map_or(RejectReason::InvalidReading, |(reason, _)| *reason);
        let rejection = Rejection { reason, detail, device_id: self.device_id.clone() };
        let sequence_number = record.sequence_number.to_string();
        let origin = origin(record, &sequence_number, None, None, &record.partition_key);
        let letter = DeadLetter::new(&rejection, &record.data, origin, failed_at);
        DeadLetter { readings_by_reason: Some(self.by_reason.clone()), ..letter }
    }
}

impl Rejected {
    fn letter(&self, record: &StreamRecord, payload: &[u8], failed_at: Timestamp) -> DeadLetter {
        let partition_key = self.partition_key.as_deref().unwrap_or(&record.partition_key);
        let sequence_number = record.sequence_number.to_string();
        let Place { sub_sequence_number, index, .. } = self.place;
        let origin = origin(record, &sequence_number, sub_sequence_number, index, partition_key);
        DeadLetter::new(&self.rejection, payload, origin, failed_at)
    }
}

fn origin<'a>(
    record: &'a StreamRecord,
    sequence_number: &'a str,
    sub_sequence_number: Option<u64>,
    index: Option<u32>,
    partition_key: &'a str,
) -> DeadLetterOrigin<'a> {
    DeadLetterOrigin {
        stream: &record.shard.stream,
        shard_id: &record.shard.shard_id.0,
        sequence_number,
        sub_sequence_number,
        index,
        partition_key,
        arrived_at: record.arrived_at,
    }
}
