//! `streamgauge archive rebuild`: a data directory made of nothing but raw bodies counts what the old one counted.

use crate::support::{Pipeline, assert_reconciled, streamgauge};
use embedded::{EmbeddedStorage, Options};
use flate2::Compression;
use flate2::write::GzEncoder;
use ports::{EventStream as _, Position};
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use telemetry::kpl::{SubRecord, aggregate};

const DEVICES: [&str; 4] = ["boiler", "pump", "valve", "packed"];

fn reading(device: &str, second: usize, value: f64) -> Value {
    let timestamp = format!("2026-01-01T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60);
    json!({"device_id": device, "timestamp": timestamp, "value": value})
}

fn put(up: &Pipeline, partition_key: &str, record: &[u8]) {
    let mut command = streamgauge();
    command.args(["put", "--endpoint", up.url(), "--api-key", up.key(), "--partition-key", partition_key, "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(record).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Two runs of a pipeline with good readings, duplicates, conflicts, aggregates and what no front door takes.
fn fill(data_dir: &Path) {
    for run in 0..2 {
        let up = Pipeline::start(data_dir, &["--port", "0", "--shards", "3"]);
        for device in &DEVICES[..3] {
            // More distinct values than a sketch keeps exactly.
            let value = |n: usize| ((n * 7919) % 1499) as f64 / 7.0;
            let readings: Vec<Value> = (0..500).map(|n| reading(device, run * 450 + n, value(n))).collect();
            let series = json!({"device_id": device, "readings": readings.iter().map(|reading| {
                json!({"timestamp": reading["timestamp"], "value": reading["value"]})
            }).collect::<Vec<_>>()});
            assert_eq!(up.post("/data/series", &series).0, 200);
            assert_eq!(up.post("/data", &reading(device, 7000 + run, 1e9)).0, 200);
        }
        // The second run's value conflicts.
        assert_eq!(up.post("/data", &reading("boiler", 80_000, run as f64)).0, 200);
        let records: Vec<SubRecord> = (0..5)
            .map(|n| SubRecord {
                partition_key: "packed".to_owned(),
                explicit_hash_key: None,
                data: reading("packed", n, n as f64).to_string().into_bytes(),
                sub_sequence_number: 0,
            })
            .collect();
        put(&up, "outer", &aggregate(&records));
        put(&up, "outer", b"\xf3\x89\x9a\xc2 no\naggregate");
        put(&up, "valve", b"no JSON");
        put(&up, "valve", b"");
        up.settled();
        assert!(up.terminate().success());
    }
}

fn rebuild(arguments: &[&Path], into: &Path) -> Output {
    let mut command = streamgauge();
    command.args(["archive", "rebuild"]).args(arguments).arg("--into").arg(into).output().unwrap()
}

fn rebuild_directory(data_dir: &Path, into: &Path) -> (i32, String) {
    let output = rebuild(&[Path::new("--data-dir"), data_dir], into);
    let texts = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code().unwrap(), texts.concat())
}

/// Totals, and each device's statistics.
fn outcome(data_dir: &Path) -> (Value, Vec<Value>) {
    let up = Pipeline::start(data_dir, &["--port", "0"]);
    let accounts = up.settled();
    assert_reconciled(&accounts);
    let totals = json!(["accepted", "counted", "duplicates", "dead_letters"].map(|name| accounts[name].clone()));
    let statistics = DEVICES.map(|device| {
        let answer = up.get(&format!("/?device_id={device}")).1;
        let names = ["count", "mean", "median", "minimum", "maximum", "standard_deviation"];
        assert!(answer["count"].as_u64().unwrap() > 0, "{answer}");
        json!(names.map(|name| answer[name].clone()))
    });
    assert!(up.terminate().success());
    (totals, statistics.to_vec())
}

fn kept_records(data_dir: &Path) -> usize {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let storage = EmbeddedStorage::open(data_dir, Options::default()).unwrap();
        let mut kept = 0;
        for shard in storage.stream().list_shards().await.unwrap() {
            kept += storage.stream().get_records(&shard.id, Position::TrimHorizon, 10).await.unwrap().records.len();
        }
        storage.close().await;
        kept
    })
}

fn raw_files(data_dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for day in fs::read_dir(data_dir.join("archive/raw")).unwrap() {
        for hour in fs::read_dir(day.unwrap().path()).unwrap() {
            files.extend(fs::read_dir(hour.unwrap().path()).unwrap().map(|file| file.unwrap().path()));
        }
    }
    files.sort();
    files
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A folder as Firehose names its files, with one file of these bytes.
fn firehose(archive: &Path, hour: &str, bytes: &[u8]) -> PathBuf {
    let folder = archive.join("raw/dt=2026-01-31").join(hour);
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("raw-1-2026-01-31-07-00-00-0f4c1e1e-0000-4000-8000-000000000000.gz");
    fs::write(&file, bytes).unwrap();
    file
}

#[test]
fn a_rebuilt_directory_has_the_same_statistics_and_totals() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new, again) =
        (directory.path().join("old"), directory.path().join("new"), directory.path().join("again"));
    fill(&old);
    let expected = outcome(&old);
    assert_eq!(expected.0[3]["conflicting_duplicate"], 1 + 3 * 50, "{expected:?}");
    // Nothing but the archive's raw bodies and the key are read.
    for file in ["stream.redb", "statistics.redb", "archive/dead-letters", "archive/curated"] {
        let path = old.join(file);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    fs::set_permissions(old.join("api-key"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, text) = rebuild_directory(&old, &new);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("what could not be known") && text.contains("151 conflicting values"), "{text}");
    assert!(!directory.path().join("new.partial").exists());
    let key = |data_dir: &Path| fs::read(data_dir.join("api-key")).unwrap();
    assert_eq!(key(&new), key(&old));
    assert_eq!(fs::metadata(new.join("api-key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(kept_records(&new), 0, "processed and archived lines leave the stream");
    assert_eq!(outcome(&new), expected);

    // The new archive is complete, and in the hours of the old one.
    let hours = |data_dir: &Path| {
        let verify = streamgauge().args(["archive", "verify", "--format", "json", "--data-dir"]).arg(data_dir).output();
        let report: Value = serde_json::from_slice(&verify.unwrap().stdout).unwrap();
        let hours = report["hours"].as_object().unwrap().clone();
        hours.into_iter().map(|(hour, of)| (hour, of["lines"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(hours(&new), hours(&old));
    // Beside a running `up` too.
    let up = Pipeline::start(&new, &["--port", "0"]);
    assert_eq!(rebuild_directory(&new, &again).0, 0);
    drop(up);
    assert_eq!(outcome(&again), expected);
}

#[test]
fn a_directory_that_is_not_empty_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (archive, new, partial) =
        (directory.path().join("copy"), directory.path().join("new"), directory.path().join("new.partial"));
    firehose(&archive, "hour=07", &gzip(&format!("{}\n", reading("pump", 1, 2.5))));
    for folder in [&new, &partial] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("file"), "precious").unwrap();
        let output = rebuild(&[&archive], &new);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(folder.to_str().unwrap()) && error.contains("delete it"), "{error}");
        assert_eq!(fs::read(folder.join("file")).unwrap(), b"precious");
        fs::remove_file(folder.join("file")).unwrap();
    }
    // Empty ones are taken.
    assert_eq!(rebuild(&[&archive], &new).status.code(), Some(0));
    assert!(new.join("statistics.redb").exists() && !new.join("api-key").exists());
}

#[test]
fn an_archive_without_raw_files_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (code, text) = rebuild_directory(directory.path(), &directory.path().join("new"));
    assert!(code == 2 && text.contains("nothing to rebuild from"), "{code}: {text}");
    assert!(!directory.path().join("new").exists() && !directory.path().join("new.partial").exists());
}

#[test]
fn damaged_files_are_named_and_the_rest_is_built() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    fill(&old);
    let files = raw_files(&old);
    assert!(files.len() >= 4);
    let (cut, flipped) = (&files[0], &files[1]);
    let whole = fs::read(cut).unwrap();
    fs::write(cut, &whole[..whole.len() - 1]).unwrap();
    let mut damaged = fs::read(flipped).unwrap();
    let checksum = damaged.len() - 6;
    damaged[checksum] ^= 1;
    fs::write(flipped, &damaged).unwrap();
    fs::write(old.join("archive/raw/stray"), "x").unwrap();

    let (code, text) = rebuild_directory(&old, &new);
    assert_eq!(code, 1, "{text}");
    let line_of = |file: &Path| {
        let name = file.file_name().unwrap().to_str().unwrap();
        text.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {text}"))
    };
    assert!(line_of(cut).contains("it ends early, and only its first"), "{text}");
    assert!(line_of(flipped).contains("left out: it is damaged"), "{text}");
    assert!(line_of(Path::new("stray")).contains("left out"), "{text}");
    assert!(text.contains("but with 3 problems"), "{text}");
    let up = Pipeline::start(&new, &["--port", "0"]);
    assert_reconciled(&up.settled());
    let counted = DEVICES.map(|device| up.get(&format!("/?device_id={device}")).1["count"].as_u64().unwrap_or(0));
    assert!(counted.iter().sum::<u64>() > 1000, "{counted:?}");
}

#[test]
fn readings_twice_in_a_copy_of_firehose_count_once() {
    let directory = tempfile::tempdir().unwrap();
    let (archive, new) = (directory.path().join("copy"), directory.path().join("new"));
    // Two members, and the last line does not end.
    let line = |n: usize| reading("pump", n, n as f64).to_string();
    let members = [gzip(&format!("{}\n", line(1))), gzip(&format!("{}\n{}", line(2), line(3)))].concat();
    firehose(&archive, "hour=07", &members);
    firehose(&archive, "hour=08", &members);
    let long = format!("\"{}\"\n", "x".repeat(2 << 20));
    firehose(&archive, "hour=09", &gzip(&format!("{long}{}\n", line(4))));
    let output = rebuild(&[&archive], &new);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("its last line, 3, does not end"), "{text}");
    assert!(text.contains("line 1 was left out: it is longer than a record may be"), "{text}");
    let up = Pipeline::start(&new, &["--port", "0"]);
    let accounts = up.settled();
    assert_eq!((&accounts["counted"], &accounts["duplicates"]), (&json!(4), &json!(3)), "{accounts}");
    assert_eq!(up.get("/?device_id=pump").1["mean"], json!(2.5));
}

/// A timestamp two minutes before the end of its hour was no future one to the pipeline that took it.
#[test]
fn a_reading_is_judged_by_the_hour_of_its_arrival() {
    let directory = tempfile::tempdir().unwrap();
    let (archive, new) = (directory.path().join("copy"), directory.path().join("new"));
    let body = |time: &str| format!("{{\"device_id\":\"pump\",\"timestamp\":\"2026-01-31T{time}Z\",\"value\":1}}\n");
    firehose(&archive, "hour=07", &gzip(&[body("07:58:00"), body("08:04:59"), body("08:06:00")].concat()));
    assert_eq!(rebuild(&[&archive], &new).status.code(), Some(0));
    let up = Pipeline::start(&new, &["--port", "0"]);
    let accounts = up.settled();
    assert_eq!((&accounts["counted"], &accounts["dead_letters"]["future_timestamp"]), (&json!(2), &json!(1)));
    assert!(new.join("archive/raw/dt=2026-01-31/hour=07").is_dir());
}
