//! A real `up` over files that were lost or restored: every acknowledged reading of what is left is counted, once.

use crate::support::{Pipeline, assert_reconciled};
use serde_json::json;
use std::fs;
use std::path::Path;

/// Posts one reading of each device.
fn post(up: &Pipeline, devices: std::ops::Range<u32>) {
    for device in devices {
        let reading =
            json!({"device_id": format!("d-{device:03}"), "timestamp": "2026-01-31T00:00:00Z", "value": device});
        assert_eq!(up.post("/data", &reading).0, 200);
    }
}

fn count(up: &Pipeline, device: u32) -> u64 {
    up.get(&format!("/?device_id=d-{device:03}")).1["count"].as_u64().unwrap_or(0)
}

fn start(data_dir: &Path) -> Pipeline {
    Pipeline::start(data_dir, &["--port", "0"])
}

#[test]
fn readings_after_a_lost_stream_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let up = start(folder.path());
    post(&up, 0..20);
    up.settled();
    assert!(up.terminate().success());
    fs::remove_file(folder.path().join("stream.redb")).unwrap();

    let up = start(folder.path());
    post(&up, 20..30);
    let accounts = up.settled();
    assert_eq!((&accounts["accepted"], &accounts["counted"]), (&json!(30), &json!(30)), "{accounts}");
    assert_reconciled(&accounts);
    assert!((0..30).all(|device| count(&up, device) == 1));
}

#[test]
fn readings_after_an_older_stream_are_counted_and_archived() {
    let folder = tempfile::tempdir().unwrap();
    let (stream, copy) = (folder.path().join("stream.redb"), folder.path().join("copy"));
    let up = start(folder.path());
    post(&up, 0..10);
    assert!(up.terminate().success());
    fs::copy(&stream, &copy).unwrap();
    let up = start(folder.path());
    post(&up, 10..25);
    up.settled();
    assert!(up.terminate().success());
    fs::copy(&copy, &stream).unwrap();

    let up = start(folder.path());
    post(&up, 25..50);
    let accounts = up.settled();
    assert_eq!((&accounts["accepted"], &accounts["counted"]), (&json!(50), &json!(50)), "{accounts}");
    assert_reconciled(&accounts);
    assert!((0..50).all(|device| count(&up, device) == 1));
    assert!(up.terminate().success());
    let mut verify = crate::support::streamgauge();
    verify.args(["archive", "verify", "--format", "json", "--data-dir"]).arg(folder.path());
    let verified = verify.output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    let lines: u64 = report["hours"].as_object().unwrap().values().map(|hour| hour["lines"].as_u64().unwrap()).sum();
    assert_eq!(lines, 50, "{report}");
}

#[test]
fn lost_statistics_are_counted_again_from_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    let up = start(folder.path());
    post(&up, 0..20);
    up.settled();
    assert!(up.terminate().success());
    fs::remove_file(folder.path().join("statistics.redb")).unwrap();
    let up = start(folder.path());
    post(&up, 10..30);
    let accounts = up.settled();
    assert_eq!((&accounts["accepted"], &accounts["counted"]), (&json!(40), &json!(30)), "{accounts}");
    assert_reconciled(&accounts);
}
