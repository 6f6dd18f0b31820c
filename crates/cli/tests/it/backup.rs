//! `streamgauge backup`, as an operator runs it: of a running `up` under load, and of a directory.
//!
//! `STREAMGAUGE_BACKUPS=50 cargo test -p streamgauge backup::` makes more backups under load than the default.

use crate::support::{Expected, Pipeline, agent, assert_reconciled, streamgauge};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SENDERS: usize = 4;
const DEVICES: usize = 12;

fn backup(target: &Path, arguments: &[&str]) -> Output {
    streamgauge().arg("backup").arg(target).args(arguments).output().unwrap()
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The value of a device's reading, of few different ones: so the median stays exact.
fn value(number: usize) -> f64 {
    (number * 7 % 41) as f64 / 8.0
}

/// Posts each device's readings in order, in series of different lengths, until stopped; notes what was acknowledged.
fn send(url: &str, key: &str, sender: usize, acknowledged: &Mutex<BTreeMap<String, usize>>, stop: &AtomicBool) {
    let agent = agent();
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let device = format!("device-{}", sender + SENDERS * (round % (DEVICES / SENDERS)));
        let first = acknowledged.lock().unwrap().get(&device).copied().unwrap_or_default();
        let length = [1, 3, 20, 100][round % 4];
        let reading = |n: usize| json!({"timestamp": timestamp(n), "value": value(n)});
        let readings: Vec<Value> = (first..first + length).map(reading).collect();
        let body = json!({"device_id": device, "readings": readings}).to_string();
        let request = agent.post(format!("{url}/data/series")).header("x-api-key", key);
        let answer = request.content_type("application/json").send(&body).unwrap();
        assert_eq!(answer.status(), 200);
        acknowledged.lock().unwrap().insert(device, first + length);
        // Or the last of many backups would copy a hundred times what the first did.
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn timestamp(number: usize) -> String {
    telemetry::Timestamp::from_millisecond(1_700_000_000_000 + number as i64 * 1000).unwrap().to_string()
}

fn verify(target: &Path) {
    let verified = streamgauge().args(["verify", "--data-dir"]).arg(target).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// The copy starts, loses nothing that was acknowledged before, and its statistics are those of a moment in between.
fn check_copy(target: &Path, before: &BTreeMap<String, usize>, after: &BTreeMap<String, usize>) {
    verify(target);
    let copy = Pipeline::start(target, &["--port", "0"]);
    let accounts = copy.settled();
    assert_reconciled(&accounts);
    for (device, most) in after {
        let least = before.get(device).copied().unwrap_or_default();
        let (status, answer) = copy.get(&format!("/?device_id={device}"));
        let count = if status == 404 { 0 } else { answer["count"].as_u64().unwrap() as usize };
        // What was sent and not yet acknowledged may be there too: at most one series.
        assert!((least..=most + 100).contains(&count), "{device}: {least} <= {count} <= {most}");
        if count > 0 {
            Expected::of(&(0..count).map(value).collect::<Vec<_>>()).assert_equals(&answer);
        }
    }
    // It works on by itself.
    let reading = json!({"device_id": "new", "timestamp": timestamp(0), "value": 1});
    assert_eq!(copy.post("/data", &reading).0, 200);
    assert_eq!(copy.settled()["counted"].as_u64(), accounts["counted"].as_u64().map(|counted| counted + 1));
    assert!(copy.terminate().success());
    verify(target);
}

#[test]
fn every_backup_under_load_starts_and_holds_one_moment() {
    let backups: usize = std::env::var("STREAMGAUGE_BACKUPS").map_or(5, |backups| backups.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(&directory.path().join("data"), &["--port", "0", "--curated-interval", "1"]);
    let (url, key) = (up.url().to_owned(), up.key().to_owned());
    let acknowledged = Arc::new(Mutex::new(BTreeMap::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (url, key, acknowledged, stop) = (url.clone(), key.clone(), acknowledged.clone(), stop.clone());
            std::thread::spawn(move || send(&url, &key, sender, &acknowledged, &stop))
        })
        .collect();
    // Each goes into an earlier backup's folder, which no copy was started in.
    let kept = directory.path().join("kept");
    for number in 0..backups {
        std::thread::sleep(Duration::from_millis(100 * (number as u64 % 5)));
        let before = acknowledged.lock().unwrap().clone();
        done(&backup(&kept, &["--endpoint", &url, "--api-key", &key]));
        let after = acknowledged.lock().unwrap().clone();
        let target = directory.path().join(format!("copy-{number}"));
        assert!(std::process::Command::new("cp").arg("-r").args([&kept, &target]).status().unwrap().success());
        check_copy(&target, &before, &after);
        std::fs::remove_dir_all(&target).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_reconciled(&up.settled());
    assert!(up.terminate().success());
}

fn reading(device: &str, number: usize) -> Value {
    json!({"device_id": device, "timestamp": timestamp(number), "value": value(number)})
}

#[test]
fn a_stopped_directory_is_copied_and_a_second_run_adds() {
    let directory = tempfile::tempdir().unwrap();
    let (data, target) = (directory.path().join("data"), directory.path().join("copy"));
    let data_dir = data.to_str().unwrap();
    for run in 0..2 {
        let up = Pipeline::start(&data, &["--port", "0"]);
        assert_eq!(up.post("/data", &reading("d", run)).0, 200);
        let message = refused(&backup(&target, &["--data-dir", data_dir]));
        assert!(message.contains("another streamgauge is using") && message.contains("--endpoint"), "{message}");
        up.settled();
        assert!(up.terminate().success());
        let text = done(&backup(&target, &["--data-dir", data_dir]));
        // A raw object and a curated file of each run.
        assert!(text.contains(&format!("1 devices, {} records", run + 1)), "{text}");
        assert!(text.contains("2 archive files") && text.contains(&format!("{} were there before", 2 * run)), "{text}");
    }
    let copy = Pipeline::start(&target, &["--port", "0"]);
    assert_eq!(copy.settled()["counted"], 2);
    let key = std::fs::read_to_string(data.join("api-key")).unwrap();
    assert_eq!(copy.key(), key.trim(), "devices keep their key");
}

#[test]
fn a_backup_needs_the_key_and_a_target_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let up = Pipeline::start(&data, &["--port", "0"]);
    let target = directory.path().join("copy");
    let message = refused(&backup(&target, &["--endpoint", up.url(), "--api-key", "another-pipelines-key"]));
    assert!(message.contains("is not a key of this server"), "{message}");
    assert!(!target.exists());
    // The session that the page is given on a loopback address reads, and makes no backup.
    let page = up.agent.get(format!("{}/dashboard", up.url())).call().unwrap();
    let cookie = page.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let request = up.agent.post(format!("{}/backup", up.url())).header("cookie", cookie);
    let answer = request.content_type("application/json").send(json!({ "target": target }).to_string()).unwrap();
    assert_eq!(answer.status(), 403);

    std::fs::create_dir(directory.path().join("full")).unwrap();
    std::fs::write(directory.path().join("full/file"), "mine").unwrap();
    for (target, rule) in [("data/copy", "lie in each other"), (".", "lie in each other"), ("full", "is not empty")] {
        let target = directory.path().join(target);
        let message = refused(&backup(&target, &["--endpoint", up.url(), "--api-key", up.key()]));
        assert!(message.contains(rule), "{message}");
    }
    assert_eq!(std::fs::read_dir(directory.path().join("full")).unwrap().count(), 1);
    let message = refused(&backup(Path::new("/dev/null/copy"), &["--endpoint", up.url(), "--api-key", up.key()]));
    assert!(message.contains("/dev/null"), "{message}");
    assert_eq!(up.post("/data", &reading("d", 0)).0, 200, "it goes on");
}

#[test]
fn the_target_is_found_from_the_commands_own_folder() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(&directory.path().join("data"), &["--port", "0"]);
    let mut command = streamgauge();
    command.args(["backup", "copy", "--endpoint", up.url(), "--data-dir", "data"]).current_dir(directory.path());
    done(&command.output().unwrap());
    assert!(directory.path().join("copy/stream.redb").is_file());
}

#[test]
fn a_backup_whose_command_is_killed_is_finished_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let archive = data.join("archive/raw/dt=2026-01-01/hour=00");
    std::fs::create_dir_all(&archive).unwrap();
    // Enough that a copy takes a while.
    for number in 0..400 {
        std::fs::write(archive.join(format!("{number}.gz")), vec![7; 400_000]).unwrap();
    }
    let up = Pipeline::start(&data, &["--port", "0"]);
    let target = directory.path().join("copy");
    let arguments = ["--endpoint", up.url(), "--api-key", up.key()];
    let mut killed = streamgauge().arg("backup").arg(&target).args(arguments).spawn().unwrap();
    let copied = || std::fs::read_dir(target.join("archive/raw/dt=2026-01-01/hour=00")).map_or(0, Iterator::count);
    let start = Instant::now();
    while copied() < 5 {
        assert!(start.elapsed() < crate::support::PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!target.join("stream.redb").exists(), "unfinished databases have no name");
    // The server still notices that its client has gone.
    let output = loop {
        let output = backup(&target, &arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        if !message.contains("another backup is being made") && !message.contains("in use by another backup") {
            break output;
        }
        assert!(start.elapsed() < crate::support::PATIENCE);
    };
    let text = done(&output);
    assert!(text.contains("400 archive files") && !text.contains(" 0 there before"), "{text}");
    assert_eq!(copied(), 400);
}
