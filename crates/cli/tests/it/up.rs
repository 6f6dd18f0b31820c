//! `streamgauge up`, from its ready line to its end.

use crate::support::{Expected, Pipeline, assert_reconciled, streamgauge};
use embedded::{EmbeddedStorage, Options};
use ports::{DeadLetter, DeadLetterOrigin, DeadLetterQueue as _, ShardId};
use serde_json::{Value, json};
use std::time::Duration;
use telemetry::Timestamp;

fn reading(device: &str, second: u32, value: f64) -> Value {
    json!({"device_id": device, "timestamp": format!("2026-01-01T00:00:{second:02}Z"), "value": value})
}

#[test]
fn the_worked_example_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    for (second, value) in [35.0, 40.0, 123.0].into_iter().enumerate() {
        let (status, answer) = up.post("/data", &reading("example", second as u32, value));
        assert_eq!((status, &answer["status"]), (200, &json!("accepted")), "{answer}");
        assert!(answer["sequence_number"].is_string() && answer["shard_id"].is_string(), "{answer}");
    }
    let accounts = up.settled();
    assert_eq!((&accounts["accepted"], &accounts["counted"]), (&json!(3), &json!(3)));
    let (status, answer) = up.get("/?device_id=example");
    assert_eq!(status, 200);
    assert_eq!((&answer["mean"], &answer["median"]), (&json!(66), &json!(40)));
    assert!(answer["standard_deviation"].to_string().starts_with("49.4267"), "{answer}");
    assert_eq!(up.get("/?device_id=nobody").0, 404);
    assert!(up.terminate().success());
}

#[test]
fn the_ready_line_says_where_everything_is() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    assert_eq!(up.ready["event"], "ready");
    assert_eq!(up.ready["dashboard"], format!("{}/dashboard", up.url()));
    assert_eq!(up.ready["data_dir"], directory.path().to_str().unwrap());
    assert_eq!(up.ready["api_key_file"], directory.path().join("api-key").to_str().unwrap());
    let members: Vec<_> = up.ready.as_object().unwrap().keys().collect();
    assert_eq!(members, ["api_key_file", "dashboard", "data_dir", "event", "ingest"]);
}

#[test]
fn shards_other_than_the_directorys_are_said_to_be_ignored() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0", "--shards", "2"]);
    assert!(!up.log_with("dashboard at").contains("--shards"));
    assert!(up.terminate().success());
    for given in [&["--shards", "2"][..], &[]] {
        let up = Pipeline::start(directory.path(), &[&["--port", "0"], given].concat());
        assert!(!up.log_with("dashboard at").contains("--shards"), "{given:?}");
        assert!(up.terminate().success());
    }
    let up = Pipeline::start(directory.path(), &["--port", "0", "--shards", "8"]);
    up.log_with("the data directory keeps its 2 shards; --shards 8 is ignored");
}

#[test]
fn totals_that_do_not_add_up_are_an_alarm_everywhere() {
    let directory = tempfile::tempdir().unwrap();
    let storage = EmbeddedStorage::open(directory.path(), Options::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // A dead letter of a record that the stream never had.
    let sent = runtime.block_on(storage.dead_letters().send(vec![dead_letter()]));
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    runtime.block_on(storage.close());

    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    let log = up.log_with("TOTALS DON'T ADD UP: 1 more counted or dead letters than accepted");
    let error = "statistics and dead letters hold more readings than were accepted unexplained=1 accepted=0 counted=0";
    assert!(log.contains(error), "{log}");
    assert_eq!(up.get("/pipeline").1["unexplained"], 1);
    assert_eq!(up.get("/fleet").1["pipeline"]["unexplained"], 1);
    assert_eq!(up.post("/data", &reading("d", 0, 1.0)).0, 200);
    assert_eq!(up.settled()["unexplained"], 1, "more readings don't hide it");
    let log = up.log_with("dashboard at");
    assert_eq!(log.matches("hold more readings").count(), 1, "{log}");
}

fn dead_letter() -> DeadLetter {
    let shard_id = ShardId("shardId-000000000000".to_owned());
    let origin = DeadLetterOrigin {
        stream: "streamgauge",
        shard_id: &shard_id.0,
        sequence_number: "1",
        sub_sequence_number: None,
        index: None,
        partition_key: "d",
        arrived_at: Timestamp::UNIX_EPOCH,
    };
    let rejection = telemetry::parse_reading(b"not json").unwrap_err();
    DeadLetter::new(&rejection, b"not json", origin, Timestamp::UNIX_EPOCH)
}

#[test]
fn a_second_up_on_the_same_directory_says_so_and_exits_2() {
    let directory = tempfile::tempdir().unwrap();
    let _first = Pipeline::start(directory.path(), &["--port", "0"]);
    let second = streamgauge().args(["up", "--port", "0", "--data-dir"]).arg(directory.path()).output().unwrap();
    let message = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(2));
    assert!(message.contains("another streamgauge is using the data directory"), "{message}");
    assert!(second.stdout.is_empty());
}

#[test]
fn a_port_in_use_is_named_and_exits_2() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let directory = tempfile::tempdir().unwrap();
    let up = streamgauge().args(["up", "--port", &port, "--data-dir"]).arg(directory.path()).output().unwrap();
    assert_eq!(up.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&up.stderr).contains(&format!("127.0.0.1:{port}")));
}

#[test]
fn what_was_counted_stands_after_a_restart_and_does_not_count_again() {
    let directory = tempfile::tempdir().unwrap();
    let series = json!({"device_id": "d", "readings": [
        {"timestamp": "2026-01-01T00:00:00Z", "value": 1}, {"timestamp": "2026-01-01T00:00:01Z", "value": 2}]});
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    assert_eq!(up.post("/data/series", &series).0, 200);
    let before = up.settled();
    let answer = up.get("/?device_id=d");
    assert!(up.terminate().success());

    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    assert_eq!(up.settled(), before);
    assert_eq!(up.get("/?device_id=d"), answer);
    assert_eq!(up.post("/data/series", &series).0, 200);
    let accounts = up.settled();
    assert_eq!((&accounts["counted"], &accounts["duplicates"]), (&json!(2), &json!(2)));
    assert_reconciled(&accounts);
    assert_eq!(up.get("/?device_id=d"), answer);
}

#[test]
fn what_the_front_door_refuses_becomes_a_dead_letter_when_put_past_it() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    let wrong = json!({"device_id": "d", "timestamp": "2026-01-01T00:00:60Z", "value": 1});
    let (status, answer) = up.post("/data", &wrong);
    assert_eq!(status, 400);
    assert!(answer["message"].as_str().unwrap().contains("timestamp"), "{answer}");
    assert_eq!(up.settled()["accepted"], 0);

    let file = directory.path().join("record");
    std::fs::write(&file, wrong.to_string()).unwrap();
    let put = streamgauge()
        .args(["put", "--endpoint", up.url(), "--api-key", up.key(), "--partition-key", "d"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    let accounts = up.settled();
    assert_eq!(accounts["dead_letters"], json!({"invalid_reading": 1}));
    assert_reconciled(&accounts);
    let (_, letters) = up.get("/dead-letters");
    let letter = &letters["dead_letters"][0];
    assert_eq!((&letter["reason"], &letter["device_id"]), (&json!("invalid_reading"), &json!("d")));
}

#[test]
fn refusals_from_the_future_are_logged_once_a_minute_with_both_times() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    for device in ["a", "b", "c"] {
        let reading = json!({"device_id": device, "timestamp": "9999-12-31T23:59:59Z", "value": 1});
        let (status, answer) = up.post("/data", &reading);
        let message = answer["message"].as_str().unwrap();
        assert!(status == 400 && message.contains("but 9999-12-31T23:59:59Z arrived at 2"), "{message}");
    }
    let behind = "perhaps this host's clock is behind";
    let log = up.log_with(behind);
    assert!(log.contains("timestamp=9999-12-31T23:59:59Z arrived_at=2"), "{log}");
    // The others are counted in one line, at the latest when it ends.
    assert!(std::process::Command::new("kill").arg("-TERM").arg(up.id().to_string()).status().unwrap().success());
    let log = up.log_with("repeated=1");
    assert_eq!(log.matches(behind).count(), 2, "{log}");
}

#[test]
fn a_simulated_fleet_moves_and_its_end_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0", "--devices", "25", "--rate", "200"]);
    let start = std::time::Instant::now();
    while up.get("/devices").1["devices"].as_array().unwrap().len() < 25 {
        assert!(start.elapsed() < crate::support::PATIENCE);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(up.terminate().success());
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    let accounts = up.settled();
    assert!(accounts["counted"].as_u64().unwrap() >= 25);
    assert_reconciled(&accounts);
}

#[test]
fn raw_bodies_stand_in_the_archive_after_a_clean_end() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    let posted: Vec<Value> = (0..20).map(|i| reading(&format!("d{}", i % 3), i, f64::from(i))).collect();
    for body in &posted {
        assert_eq!(up.post("/data", body).0, 200);
    }
    assert!(up.terminate().success());
    let mut archived: Vec<Value> = Vec::new();
    for file in files(&directory.path().join("archive").join("raw")) {
        let bytes = std::process::Command::new("gzip").arg("-dc").arg(&file).output().unwrap();
        assert!(bytes.status.success(), "{} is whole", file.display());
        archived.extend(
            bytes
                .stdout
                .split(|b| *b == b'\n')
                .filter(|line| !line.is_empty())
                .map(|line| serde_json::from_slice::<Value>(line).unwrap()),
        );
    }
    let sorted = |mut bodies: Vec<Value>| {
        bodies.sort_by_key(ToString::to_string);
        bodies
    };
    assert_eq!(sorted(archived), sorted(posted));
}

#[test]
fn an_archive_removed_while_up_runs_gets_what_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    assert_eq!(up.post("/data", &reading("d", 1, 1.0)).0, 200);
    up.settled();
    std::fs::remove_dir_all(directory.path().join("archive")).unwrap();
    assert_eq!(up.post("/data", &reading("d", 2, 2.0)).0, 200);
    assert!(up.terminate().success());
    assert!(!files(&directory.path().join("archive").join("raw")).is_empty());
    assert!(!files(&directory.path().join("archive").join("curated")).is_empty());
}

fn files(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn csv_files_are_sent_whole_and_the_first_row_of_a_timestamp_stands() {
    let directory = tempfile::tempdir().unwrap();
    let csv = directory.path().join("csv");
    std::fs::create_dir(&csv).unwrap();
    let mut expected = Vec::new();
    let (mut rows_sent, mut duplicates, mut conflicts) = (0u64, 0u64, 0u64);
    for device in 0..4u32 {
        let mut text = "timestamp,value\n".to_owned();
        let mut values = Vec::new();
        for row in 0..3000u32 {
            let value = f64::from((row * (device + 3)) % 41) / 4.0;
            let line =
                |value: f64| format!("2014-04-{:02} {:02}:{:02}:00,{value}\n", 1 + row / 1440, row / 60 % 24, row % 60);
            text.push_str(&line(value));
            values.push(value);
            rows_sent += 1;
            // As in real files: an instant stands twice, sometimes with another value.
            if row % 500 == 499 {
                let again = if row % 1000 == 999 { value + 1.0 } else { value };
                text.push_str(&line(again));
                rows_sent += 1;
                if again == value { duplicates += 1 } else { conflicts += 1 }
            }
        }
        std::fs::write(csv.join(format!("sensor_{device}.csv")), text).unwrap();
        expected.push(Expected::of(&values));
    }
    let up = Pipeline::start(&directory.path().join("data"), &["--port", "0"]);
    let send = |batch: &str| {
        let output = streamgauge()
            .args([
                "send",
                "--endpoint",
                up.url(),
                "--api-key",
                up.key(),
                "--format",
                "json",
                "--batch",
                batch,
                "--csv",
            ])
            .arg(&csv)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["accepted"], rows_sent, "{summary}");
    };
    send("500");
    let accounts = up.settled();
    assert_eq!(accounts["duplicates"], duplicates);
    assert_eq!(accounts["dead_letters"], json!({"conflicting_duplicate": conflicts}));
    assert_reconciled(&accounts);
    let answers = || (0..4).map(|device| up.get(&format!("/?device_id=sensor_{device}")).1).collect::<Vec<_>>();
    let before = answers();
    for (answer, expected) in before.iter().zip(&expected) {
        expected.assert_equals(answer);
    }
    send("77");
    let again = up.settled();
    assert_eq!(again["counted"], accounts["counted"]);
    assert_reconciled(&again);
    assert_eq!(answers(), before);
}

#[test]
fn an_interrupted_send_accounts_for_what_was_in_flight_and_exits_1() {
    use std::io::Write as _;
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    let mut send = streamgauge()
        .args(["send", "--endpoint", up.url(), "--api-key", up.key(), "--format", "json", "--jsonl", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = send.stdin.take().unwrap();
    writeln!(input, "{}", reading("pump", 0, 1.0)).unwrap();
    while up.get("/pipeline").1["accepted"] == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    // Its input is still open: only the signal ends it.
    let killed = std::process::Command::new("kill").arg("-INT").arg(send.id().to_string()).status().unwrap();
    assert!(killed.success());
    let output = send.wait_with_output().unwrap();
    drop(input);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["accepted"], &summary["refused"]), (&json!(1), &json!(0)), "{summary}");
    assert!(summary["halted"].as_str().unwrap().starts_with("stopped"), "{summary}");
}

#[test]
fn standard_error_that_is_gone_does_not_keep_it_from_draining() {
    use std::io::{BufRead as _, BufReader, Read as _};
    let directory = tempfile::tempdir().unwrap();
    let mut up = streamgauge()
        .args(["up", "--port", "0", "--data-dir"])
        .arg(directory.path())
        .env("STREAMGAUGE_API_KEY", "the-key-of-a-test")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0];
    up.stderr.take().unwrap().read_exact(&mut first).unwrap();
    let mut line = String::new();
    BufReader::new(up.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let url = format!("{}/data", ready["ingest"].as_str().unwrap());
    let post =
        crate::support::agent().post(url).header("x-api-key", "the-key-of-a-test").content_type("application/json");
    assert_eq!(post.send(reading("d", 0, 1.0).to_string()).unwrap().status(), 200);
    std::process::Command::new("kill").arg("-TERM").arg(up.id().to_string()).status().unwrap();
    assert_eq!(up.wait().unwrap().code(), Some(0));
    assert_eq!(files(&directory.path().join("archive").join("raw")).len(), 1);
}

#[test]
fn the_chart_shows_counted_readings_alone_by_timestamp() {
    let directory = tempfile::tempdir().unwrap();
    let pipeline = Pipeline::start(directory.path(), &[]);
    let reading = |second: u32, value: f64| {
        let timestamp = format!("2026-01-01T00:00:{second:02}Z");
        json!({"device_id": "d", "timestamp": timestamp, "value": value})
    };
    for body in [reading(9, 9.0), reading(1, 1.0), reading(9, 9.0), reading(1, 7.0), reading(5, 5.0)] {
        assert_eq!(pipeline.post("/data", &body).0, 200);
    }
    let accounts = pipeline.settled();
    assert_eq!((&accounts["counted"], &accounts["dead_letters"]["conflicting_duplicate"]), (&json!(3), &json!(1)));
    let (_, recent) = pipeline.get("/recent?device_id=d");
    let values: Vec<_> = recent["readings"].as_array().unwrap().iter().map(|point| point["value"].as_f64()).collect();
    assert_eq!(values, [Some(1.0), Some(5.0), Some(9.0)]);
}
