//! Items that this program cannot read: one device's, and no other's fault.

use crate::support::{Pipeline, assert_reconciled};
use redb::{ReadableTable as _, TableDefinition};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

fn reading(device: &str, second: u32) -> Value {
    json!({"device_id": device, "timestamp": format!("2026-01-01T00:00:{second:02}Z"), "value": second})
}

/// Gives a device's item another version; the one it had.
fn set_version(directory: &Path, device: &str, version: u8) -> u8 {
    const ITEMS: TableDefinition<&str, &[u8]> = TableDefinition::new("items");
    let database = redb::Database::open(directory.join("statistics.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut items = transaction.open_table(ITEMS).unwrap();
    let mut item = items.get(device).unwrap().unwrap().value().to_vec();
    let before = std::mem::replace(&mut item[0], version);
    items.insert(device, item.as_slice()).unwrap();
    drop(items);
    transaction.commit().unwrap();
    before
}

fn listed(up: &Pipeline) -> Vec<String> {
    let (status, answer) = up.get("/devices");
    assert_eq!(status, 200, "{answer}");
    let devices = answer["devices"].as_array().unwrap();
    devices.iter().map(|device| device["device_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_device_of_a_newer_version_waits_for_the_newer_program() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    for device in ["a", "newer", "z"] {
        assert_eq!(up.post("/data", &reading(device, 0)).0, 200);
    }
    up.settled();
    assert!(up.terminate().success());
    let known = set_version(directory.path(), "newer", 200);

    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    assert_eq!(listed(&up), ["a", "z"]);
    assert_eq!(up.get("/?device_id=newer").0, 503);
    assert_eq!(up.post("/data", &reading("newer", 1)).0, 200);
    // Long enough for some deliveries.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(up.get("/pipeline").1["pending"], 1);
    assert_eq!(up.get("/dead-letters").1["dead_letters"], json!([]));
    up.kill();

    set_version(directory.path(), "newer", known);
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    let accounts = up.settled();
    assert_reconciled(&accounts);
    assert_eq!((&accounts["counted"], &up.get("/?device_id=newer").1["count"]), (&json!(4), &json!(2)));
    assert_eq!(listed(&up), ["a", "newer", "z"]);
}
