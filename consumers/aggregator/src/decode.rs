//! The event, taken apart: readings grouped by device, and what can never be counted.

use crate::event::arrived_at;
use crate::rejected::{Rejected, RejectedReadings};
use crate::settings::Settings;
use aws_lambda_events::event::kinesis::{KinesisEvent, KinesisEventRecord};
use statistics::{CountedReading, Identity};
use std::collections::HashMap;
use telemetry::{DecodedReading, DeviceId, Reading, RejectReason, Rejection};

/// Where a reading stands: its record in the event, and its place among the record's readings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub record: usize,
    pub reading: usize,
    pub sub_sequence_number: Option<u64>,
    pub index: Option<u32>,
}

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

/// Takes the event apart and groups its readings by device, each group in the order of the records.
pub(crate) fn decode(event: &KinesisEvent, settings: &Settings) -> Batch {
    let mut batch = Batch { groups: Vec::new(), rejected: RejectedReadings::new(settings.letters_per_record_max) };
    let mut group_of: HashMap<DeviceId, usize> = HashMap::new();
    for (record, event_record) in event.records.iter().enumerate() {
        let mut next_reading = 0;
        telemetry::each_reading(&event_record.kinesis.data, |decoded| {
            let DecodedReading { sub_sequence_number, partition_key, index, outcome } = decoded;
            let place = Place { record, reading: next_reading, sub_sequence_number, index };
            next_reading += 1;
            let key = partition_key.as_deref().unwrap_or(&event_record.kinesis.partition_key);
            match outcome.and_then(|reading| check_against_record(reading, key, event_record, settings)) {
                Ok(reading) => {
                    let next = batch.groups.len();
                    let group = *group_of.entry(reading.device_id.clone()).or_insert(next);
                    if group == next {
                        let device_id = reading.device_id.clone();
                        batch.groups.push(Group { device_id, readings: Vec::new(), places: Vec::new() });
                    }
                    batch.groups[group].readings.push(counted_reading(&reading));
                    batch.groups[group].places.push(place);
                }
                Err(rejection) => batch.rejected.push(Rejected { place, rejection, partition_key }),
            }
        });
    }
    batch
}

/// The rules that need the record around the reading: its partition key and its arrival.
fn check_against_record(
    reading: Reading,
    partition_key: &str,
    record: &KinesisEventRecord,
    settings: &Settings,
) -> Result<Reading, Rejection> {
    let reject = |reason, detail, device_id| Err(Rejection { reason, detail, device_id: Some(device_id) });
    if partition_key != reading.device_id.as_str() {
        let detail = "`device_id`: is not the record's partition key".to_owned();
        return reject(RejectReason::PartitionKeyMismatch, detail, reading.device_id);
    }
    if let Err(rule) = reading.timestamp.check_arrival(arrived_at(record), settings.future_tolerance) {
        return reject(RejectReason::FutureTimestamp, format!("`timestamp`: {rule}"), reading.device_id);
    }
    Ok(reading)
}

fn counted_reading(reading: &Reading) -> CountedReading {
    let event_id_hash = reading.event_id.as_ref().map(telemetry::event_id_hash);
    CountedReading {
        identity: Identity { timestamp_ns: reading.timestamp.as_nanosecond(), event_id_hash },
        value: reading.value,
        value_check: telemetry::value_check(reading.value),
    }
}
