use super::*;
use crate::row::Origin;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use telemetry::kpl::deaggregate;
use telemetry::{DeviceId, EventId, Reading, Timestamp};

/// A row of device number `device`, in JSON of its own or without.
fn row(device: u16, millisecond: i64, value: f64, event_id: &str, unit: Option<&str>) -> Row {
    let reading = Reading {
        device_id: DeviceId::parse(format!("device-{device}")).unwrap(),
        timestamp: Timestamp::from_millisecond(millisecond).unwrap(),
        value,
        event_id: EventId::parse(event_id.to_owned()).ok(),
    };
    let json = unit.map(|unit| {
        let mut json = serde_json::json!({
            "unit": unit, "device_id": reading.device_id, "timestamp": reading.timestamp, "value": value,
        });
        if let Some(event_id) = &reading.event_id {
            json["event_id"] = event_id.as_str().into();
        }
        // Line breaks between members, as a source that is not JSON Lines may have them.
        serde_json::to_string_pretty(&json).unwrap().into()
    });
    Row { reading, json, origin: Origin { file: "test".into(), line: 1 } }
}

prop_compose! {
    /// Up to 300 devices with up to 8 rows each, some with kilobytes of members that nobody interprets.
    fn fleet()(
        rows in prop::collection::vec(
            (0u16..300, 0..253_402_300_799_000i64, -1e100..1e100f64, "[!-~]{0,9}", prop::option::of("\\PC{0,40}"), 0usize..4000),
            1..300,
        ),
    ) -> BTreeMap<u16, Vec<Row>> {
        let mut devices: BTreeMap<u16, Vec<Row>> = BTreeMap::new();
        for (device, millisecond, value, event_id, unit, padding) in rows {
            let rows = devices.entry(device).or_default();
            if rows.len() < 8 {
                let unit = unit.map(|unit| unit + &" ".repeat(padding));
                rows.push(row(device, millisecond, value, &event_id, unit.as_deref()));
            }
        }
        devices
    }
}

fn pack(packing: &Packing, fleet: &BTreeMap<u16, Vec<Row>>) -> Vec<Parcel> {
    packing.pack(fleet.values().map(|rows| (rows.clone(), packing.documents(rows))).collect())
}

/// What the aggregator takes from these records, by device in order: the reading, if it is one of its partition key.
fn decoded(parcels: &[Parcel]) -> HashMap<String, Vec<Reading>> {
    let mut devices: HashMap<String, Vec<Reading>> = HashMap::new();
    for parcel in parcels {
        for decoded in decode_record(&parcel.record.data) {
            let key = decoded.partition_key.unwrap_or_else(|| parcel.record.partition_key.clone());
            let reading = decoded.outcome.unwrap();
            assert_eq!(reading.device_id.as_str(), key);
            devices.entry(key).or_default().push(reading);
        }
    }
    devices
}

fn sent(fleet: &BTreeMap<u16, Vec<Row>>) -> HashMap<String, Vec<Reading>> {
    let readings = |rows: &Vec<Row>| rows.iter().map(|row| row.reading.clone()).collect();
    fleet.values().map(|rows| (rows[0].reading.device_id.to_string(), readings(rows))).collect()
}

/// The shard of so many equal ones that Kinesis puts a key into.
fn shard(partition_key: &str, shards: u128) -> u128 {
    let hash: [u8; 16] = Md5::digest(partition_key).into();
    (0..shards).rfind(|shard| u128::from_be_bytes(hash) >= u128::MAX / shards * shard).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_aggregated_is_decoded_to_the_same_readings_in_the_same_order(fleet in fleet(), batch in 1usize..5) {
        let parcels = pack(&Packing::new(batch, true), &fleet);
        prop_assert_eq!(decoded(&parcels), sent(&fleet));
        for parcel in &parcels {
            let records = deaggregate(&parcel.record.data).unwrap();
            let key = &parcel.record.partition_key;
            let hash = u128::from_be_bytes(Md5::digest(key).into()).to_string();
            for record in &records {
                prop_assert!(!record.data.iter().any(|byte| matches!(byte, b'\r' | b'\n')), "one line each");
                prop_assert_eq!(record.explicit_hash_key.as_deref(), Some(hash.as_str()));
                // With 1 to 64 equal shards the aggregate goes where each of its devices goes.
                for shards in [1, 2, 4, 8, 16, 32, 64] {
                    prop_assert_eq!(shard(&record.partition_key, shards), shard(key, shards));
                }
            }
            let devices: HashSet<_> = records.iter().map(|record| &record.partition_key).collect();
            prop_assert_eq!(devices.len(), parcel.devices.len());
            prop_assert!(parcel.record.data.len() <= 1024 * 1024 - key.len());
            prop_assert!(parcel.record.data.len() <= AGGREGATE_BYTES_MAX + 4096 || parcel.devices.len() == 1);
        }
    }

    #[test]
    fn without_aggregation_each_device_has_a_record_under_its_own_key(fleet in fleet()) {
        let parcels = pack(&Packing::new(500, false), &fleet);
        prop_assert_eq!(parcels.len(), fleet.len());
        prop_assert_eq!(decoded(&parcels), sent(&fleet));
        for parcel in &parcels {
            prop_assert_eq!(&parcel.record.partition_key, parcel.devices[0][0].reading.device_id.as_str());
            prop_assert!(!parcel.record.data.contains(&b'\n'));
        }
    }
}

#[test]
fn a_device_keeps_its_partition_key_whatever_it_is_packed_with() {
    let packing = Packing::new(500, true);
    let one = |device| BTreeMap::from([(device, vec![row(device, 0, 1.0, "", None)])]);
    let all: BTreeMap<_, _> = (0..500).flat_map(one).collect();
    let together = pack(&packing, &all);
    assert_eq!(together.len(), 64, "five hundred devices are in every range");
    for parcel in &together {
        for rows in &parcel.devices {
            let device = rows[0].reading.device_id.as_str()["device-".len()..].parse().unwrap();
            assert_eq!(pack(&packing, &one(device))[0].record.partition_key, parcel.record.partition_key);
        }
    }
}

#[test]
fn what_does_not_fit_one_aggregate_is_divided_between_devices() {
    let large = "x".repeat(100_000);
    let fleet: BTreeMap<_, _> = (0..400).map(|device| (device, vec![row(device, 0, 1.0, "", Some(&large))])).collect();
    let parcels = pack(&Packing::new(500, true), &fleet);
    assert_eq!(decoded(&parcels), sent(&fleet));
    assert!(parcels.iter().all(|parcel| parcel.record.data.len() <= AGGREGATE_BYTES_MAX), "two to an aggregate");
    assert!((200..=264).contains(&parcels.len()), "{}", parcels.len());
}
