//! Curated Parquet files that `up` writes: what stands in them, through crashes too.

use crate::support::{Expected, PATIENCE, Pipeline, streamgauge};
use curator::parquet_file;
use ports::CuratedRow;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn files(data_dir: &Path) -> Vec<PathBuf> {
    let table = data_dir.join("archive/curated/device_statistics");
    let Ok(days) = std::fs::read_dir(table) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        days.flat_map(|day| std::fs::read_dir(day.unwrap().path()).unwrap()).map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn rows_of(file: &Path) -> Vec<CuratedRow> {
    parquet_file::read(std::fs::read(file).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Each device's newest row in all files.
fn newest(data_dir: &Path) -> BTreeMap<String, CuratedRow> {
    let mut newest: BTreeMap<String, CuratedRow> = BTreeMap::new();
    for row in files(data_dir).iter().flat_map(|file| rows_of(file)) {
        let device = row.device_id.as_str().to_owned();
        if newest.get(&device).is_none_or(|other| other.revision <= row.revision) {
            newest.insert(device, row);
        }
    }
    newest
}

/// A row says what the endpoint answers, to the bit; timestamps to the millisecond.
fn assert_is_answer(CuratedRow { statistics: row, .. }: &CuratedRow, answer: &Value) {
    let number = |value: Option<f64>| value.map_or(Value::Null, |value| json!(value));
    let interval = |end: &str| answer["mean_confidence_95"].get(end).cloned().unwrap_or(Value::Null);
    for (name, found, expected) in [
        ("mean", number(row.mean), answer["mean"].clone()),
        ("median", number(row.median), answer["median"].clone()),
        ("standard_deviation", number(row.standard_deviation), answer["standard_deviation"].clone()),
        ("minimum", number(row.minimum), answer["minimum"].clone()),
        ("maximum", number(row.maximum), answer["maximum"].clone()),
        ("low", number(row.mean_confidence_95.map(|ends| ends.low)), interval("low")),
        ("high", number(row.mean_confidence_95.map(|ends| ends.high)), interval("high")),
    ] {
        assert_eq!(found.as_f64(), expected.as_f64(), "{name} of {answer}");
    }
    assert_eq!(
        (json!(row.count), json!(row.anomaly_count)),
        (answer["count"].clone(), answer["anomaly_count"].clone())
    );
    let instants = [row.first_timestamp, row.last_timestamp, Some(row.updated_at)];
    for (name, found) in ["first_timestamp", "last_timestamp", "updated_at"].into_iter().zip(instants) {
        let expected = telemetry::Timestamp::parse(answer[name].as_str().unwrap()).unwrap();
        assert_eq!(found.map(|instant| instant.as_millisecond()), Some(expected.as_millisecond()), "{name}");
    }
}

fn series(device: &str, from: usize, values: &[f64]) -> Value {
    let timestamp = |n: usize| format!("2026-01-01T{:02}:{:02}:{:02}Z", n / 3600, n / 60 % 60, n % 60);
    let reading = |(n, value): (usize, &f64)| json!({"timestamp": timestamp(from + n), "value": value});
    json!({"device_id": device, "readings": values.iter().enumerate().map(reading).collect::<Vec<_>>()})
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_has_changed_is_in_the_next_file_and_what_has_not_in_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0", "--curated-interval", "1"]);
    assert_eq!(up.post("/data/series", &series("example", 0, &[35.0, 40.0, 123.0])).0, 200);
    assert_eq!(up.post("/data/series", &series("single", 0, &[-0.5])).0, 200);
    up.settled();
    wait_for("both devices", || newest(directory.path()).len() == 2);
    for (device, row) in &newest(directory.path()) {
        assert_is_answer(row, &up.get(&format!("/?device_id={device}")).1);
    }
    let row = &newest(directory.path())["example"];
    let row = &row.statistics;
    assert_eq!((row.mean, row.median, row.count), (Some(66.0), Some(40.0), 3));
    assert_eq!(newest(directory.path())["single"].statistics.standard_deviation, None);

    let before = files(directory.path());
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(files(directory.path()), before, "nothing has changed, and a file was written");

    assert_eq!(up.post("/data/series", &series("single", 1, &[1.5])).0, 200);
    up.settled();
    wait_for("another file", || files(directory.path()).len() > before.len());
    let added: Vec<PathBuf> = files(directory.path()).into_iter().filter(|file| !before.contains(file)).collect();
    let rows: Vec<CuratedRow> = added.iter().flat_map(|file| rows_of(file)).collect();
    assert_eq!(rows.iter().map(|row| row.device_id.as_str()).collect::<Vec<_>>(), ["single"]);
    assert_is_answer(&rows[0], &up.get("/?device_id=single").1);
}

#[test]
fn an_orderly_end_writes_what_is_in_no_file_yet() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    assert_eq!(up.post("/data/series", &series("example", 0, &[35.0, 40.0, 123.0])).0, 200);
    up.settled();
    let answer = up.get("/?device_id=example").1;
    assert_eq!(files(directory.path()), [] as [PathBuf; 0]);
    assert!(up.terminate().success());
    assert_eq!(files(directory.path()).len(), 1);
    assert_is_answer(&newest(directory.path())["example"], &answer);
    // And there is nothing left for the next.
    assert!(Pipeline::start(directory.path(), &["--port", "0"]).terminate().success());
    assert_eq!(files(directory.path()).len(), 1);
}

/// `kill -9` while files are being written: none is torn, and the last state of every device comes into one.
#[test]
fn sigkill_leaves_no_torn_file_and_loses_no_last_state() {
    let directory = tempfile::tempdir().unwrap();
    let mut posted: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for run in 0..6 {
        let up = Pipeline::start(directory.path(), &["--port", "0", "--curated-interval", "1"]);
        for device in 0..40 {
            let device = format!("device-{device}");
            let values = posted.entry(device.clone()).or_default();
            let from = values.len();
            values.extend((0..20).map(|n| f64::from((run * 31 + n * 7) % 50) / 4.0));
            assert_eq!(up.post("/data/series", &series(&device, from, &values[from..])).0, 200);
        }
        // From before the first file to after it.
        std::thread::sleep(Duration::from_millis(850 + 60 * run as u64));
        up.kill();
    }
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    up.settled();
    let answers: BTreeMap<String, Value> =
        posted.keys().map(|device| (device.clone(), up.get(&format!("/?device_id={device}")).1)).collect();
    assert!(up.terminate().success());
    assert!(files(directory.path()).len() > 1);
    let newest = newest(directory.path());
    assert_eq!(newest.keys().collect::<Vec<_>>(), posted.keys().collect::<Vec<_>>());
    for (device, values) in &posted {
        let answer = &answers[device];
        Expected::of(values).assert_equals(answer);
        assert_is_answer(&newest[device], answer);
    }
}

/// What `archive verify` says: its exit code, and how many files and rows there are.
fn verified(data_dir: &Path) -> (i32, u64, u64) {
    let output = streamgauge().args(["archive", "verify", "--format", "json", "--data-dir"]).arg(data_dir).output();
    let output = output.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sum = |name: &str| report["days"].as_object().unwrap().values().map(|day| day[name].as_u64().unwrap()).sum();
    (output.status.code().unwrap(), sum("files"), sum("rows"))
}

#[test]
fn the_files_of_a_day_that_is_over_become_one_when_up_starts() {
    let directory = tempfile::tempdir().unwrap();
    for run in 0..5 {
        let up = Pipeline::start(directory.path(), &["--port", "0"]);
        for device in 0..20 {
            assert_eq!(up.post("/data/series", &series(&format!("device-{device}"), run, &[run as f64 / 4.0])).0, 200);
        }
        assert!(up.terminate().success());
    }
    // As if all of that had been on another day.
    let table = directory.path().join("archive/curated/device_statistics");
    let today = std::fs::read_dir(&table).unwrap().next().unwrap().unwrap().path();
    let day = table.join("dt=2026-01-31");
    std::fs::rename(today, &day).unwrap();
    let sources = files(directory.path());
    let mut before: Vec<CuratedRow> = sources.iter().flat_map(|file| rows_of(file)).collect();
    let key = |row: &CuratedRow| (row.device_id.clone(), row.revision);
    before.sort_by_key(key);
    assert_eq!((sources.len(), before.len(), verified(directory.path())), (5, 100, (0, 5, 100)));

    let one_file = || {
        let up = Pipeline::start(directory.path(), &["--port", "0"]);
        wait_for("one file", || files(directory.path()).len() == 1);
        assert!(up.terminate().success());
        rows_of(&files(directory.path())[0])
    };
    let saved = std::fs::read(&sources[2]).unwrap();
    assert_eq!(one_file(), before);
    assert_eq!(verified(directory.path()), (0, 1, 100));

    // As a crash leaves it that came before all of its sources were deleted.
    std::fs::write(&sources[2], saved).unwrap();
    assert_eq!(verified(directory.path()), (0, 2, 120));
    assert_eq!(one_file(), before);

    std::fs::write(&sources[2], "damaged").unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    std::thread::sleep(Duration::from_secs(1));
    assert!(up.terminate().success());
    assert_eq!((std::fs::read(&sources[2]).unwrap(), files(directory.path()).len()), (b"damaged".to_vec(), 2));
    assert_eq!(verified(directory.path()), (1, 2, 100));
}

/// Over several intervals, a restart, and a day that has been merged meanwhile.
#[test]
fn a_history_is_every_state_that_was_seen_at_an_intervals_end() {
    let directory = tempfile::tempdir().unwrap();
    let (mut values, mut expected): (Vec<f64>, Vec<Value>) = (Vec::new(), Vec::new());
    for run in 0..3 {
        let up = Pipeline::start(directory.path(), &["--port", "0", "--curated-interval", "1"]);
        wait_for("the merged day", || run < 2 || files(directory.path()).len() == 1);
        for _ in 0..2 {
            let from = values.len();
            values.extend((0..7).map(|n| f64::from((from as u32 + n * 13) % 40) / 4.0));
            assert_eq!(up.post("/data/series", &series("example", from, &values[from..])).0, 200);
            // Of others there are more, before and after it.
            for other in ["a", "example-2", "z"] {
                assert_eq!(up.post("/data/series", &series(other, from, &[1.0])).0, 200);
            }
            up.settled();
            let state = up.get("/?device_id=example").1;
            Expected::of(&values).assert_equals(&state);
            expected.push(state);
            wait_for("the interval's files", || {
                newest(directory.path()).get("example").is_some_and(|row| row.statistics.count == values.len() as u64)
            });
        }
        assert!(up.terminate().success());
        if run == 1 {
            let table = directory.path().join("archive/curated/device_statistics");
            let today = std::fs::read_dir(&table).unwrap().next().unwrap().unwrap().path();
            std::fs::rename(today, table.join("dt=2026-01-31")).unwrap();
        }
    }
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    let (status, history) = up.get("/history?device_id=example");
    assert_eq!((status, &history["unreadable_files"]), (200, &json!(0)));
    let rows = history["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &history["rows_found"]), (expected.len(), &json!(expected.len())));
    for (row, state) in rows.iter().zip(&expected) {
        for name in ["count", "mean", "median", "standard_deviation", "minimum", "maximum", "mean_confidence_95"] {
            assert_eq!(row[name], state[name], "{name}");
        }
        assert_eq!(
            (&row["last_timestamp"], &row["anomaly_count"]),
            (&state["last_timestamp"], &state["anomaly_count"])
        );
    }
    assert!(rows.windows(2).all(|pair| pair[0]["revision"].as_i64() < pair[1]["revision"].as_i64()));

    let thinned = up.get("/history?device_id=example&limit=2").1;
    assert_eq!((&thinned["rows"], &thinned["rows_found"]), (&json!([rows[0], rows[5]]), &json!(6)));
    let (written, next) = (rows[4]["updated_at"].as_str().unwrap(), rows[5]["updated_at"].as_str().unwrap());
    let later = up.get(&format!("/history?device_id=example&from={written}")).1;
    assert_eq!(later["rows"], json!([rows[4], rows[5]]));
    let earlier = up.get(&format!("/history?device_id=example&from={written}&to={next}&limit=1")).1;
    assert_eq!((&earlier["rows"], &earlier["rows_found"]), (&json!([rows[5]]), &json!(2)));
    assert_eq!(up.get("/history?device_id=exampl").0, 404);

    // A device of which no file has been written yet has no course, and is no stranger.
    assert_eq!(up.post("/data/series", &series("new", 0, &[1.0])).0, 200);
    up.settled();
    let (status, new) = up.get("/history?device_id=new");
    assert_eq!((status, &new["rows"], &new["rows_found"]), (200, &json!([]), &json!(0)));
    std::fs::write(files(directory.path()).pop().unwrap(), "damaged").unwrap();
    assert_eq!(up.get("/history?device_id=example").1["unreadable_files"], 1);
}
