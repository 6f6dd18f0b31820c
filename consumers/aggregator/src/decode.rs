//! A batch's records, taken apart: readings grouped by device, and what can never be counted.

use crate::rejected::{Place, Rejected, RejectedReadings};
use crate::settings::Settings;
use ports::StreamRecord;
use statistics::{CountedReading, Identity};
use std::collections::HashMap;
use telemetry::{DecodedReading, DeviceId, ReadingRef, RejectReason, Rejection, Timestamp};

/// A device's readings of one batch, in sequence order.
#[derive(Debug)]
pub(crate) struct Group {
    pub device_id: DeviceId,
    pub readings: Vec<CountedReading>,
    pub places: Vec<Place>,
}

/// A batch, taken apart.
#[derive(Debug)]
pub(crate) struct Batch {
    pub groups: Vec<Group>,
    pub rejected: RejectedReadings,
}

/// Takes the records apart and groups their readings by device, each group in the order of the records.
pub(crate) fn decode(records: &[StreamRecord], settings: &Settings) -> Batch {
    let mut batch = Batch { groups: Vec::new(), rejected: RejectedReadings::new(settings.letters_per_record_max) };
    let mut group_of: HashMap<DeviceId, usize> = HashMap::new();
    let mut last = None;
    for (record, stream_record) in records.iter().enumerate() {
        let mut next_reading = 0;
        telemetry::each_reading(&stream_record.data, |decoded| {
            let DecodedReading { sub_sequence_number, partition_key, index, outcome } = decoded;
            let place = Place { record, reading: next_reading, sub_sequence_number, index };
            next_reading += 1;
            let key = partition_key.unwrap_or(&stream_record.partition_key);
            match outcome.and_then(|reading| check_against_record(reading, key, stream_record.arrived_at, settings)) {
                Ok(reading) => {
                    // Most often it is of the device of the reading before it.
                    let is_of = |group: &usize| batch.groups[*group].device_id.as_str() == reading.device_id;
                    let group = last.filter(is_of).or_else(|| group_of.get(reading.device_id).copied());
                    let group = group.unwrap_or_else(|| {
                        let device_id = reading.to_device_id();
                        group_of.insert(device_id.clone(), batch.groups.len());
                        batch.groups.push(Group { device_id, readings: Vec::new(), places: Vec::new() });
                        batch.groups.len() - 1
                    });
                    last = Some(group);
                    batch.groups[group].readings.push(counted_reading(&reading));
                    batch.groups[group].places.push(place);
                }
                Err(rejection) => {
                    let partition_key = partition_key.map(str::to_owned);
                    batch.rejected.push(Rejected { place, rejection, partition_key });
                }
            }
        });
    }
    batch
}

/// The rules that need the record around the reading: its partition key and its arrival.
fn check_against_record<'a>(
    reading: ReadingRef<'a>,
    partition_key: &str,
    arrived_at: Timestamp,
    settings: &Settings,
) -> Result<ReadingRef<'a>, Rejection> {
    let reject = |reason, detail| Err(Rejection { reason, detail, device_id: Some(reading.to_device_id()) });
    if partition_key != reading.device_id {
        let detail = "`device_id`: is not the record's partition key".to_owned();
        return reject(RejectReason::PartitionKeyMismatch, detail);
    }
    if let Err(rule) = reading.timestamp.check_arrival(arrived_at, settings.future_tolerance) {
        return reject(RejectReason::FutureTimestamp, format!("`timestamp`: {rule}"));
    }
    Ok(reading)
}

fn counted_reading(reading: &ReadingRef<'_>) -> CountedReading {
    let event_id_hash = reading.event_id.map(telemetry::event_id_hash);
    CountedReading {
        identity: Identity { timestamp_ns: reading.timestamp.as_nanosecond(), event_id_hash },
        value: reading.value,
        value_check: telemetry::value_check(reading.value),
    }
}
