//! Dead letters of every reason: listed, shown, fixed, sent again and counted, with the real binary on one machine.

use crate::support::{Expected, Pipeline, assert_reconciled, streamgauge};
use embedded::{EmbeddedStorage, Options};
use ports::{DeadLetter, DeadLetterOrigin, DeadLetterQueue, DeviceWrite, StatisticsItem, StatisticsStore};
use redrive::{Intent, Intents as _};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use telemetry::{DeviceId, RejectReason, Rejection, Timestamp};

fn body(device: &str, second: u32, value: &str) -> String {
    format!(r#"{{"device_id":"{device}","timestamp":"2026-01-01T00:00:{second:02}Z","value":{value}}}"#)
}

/// What a command says and how it ends.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: Output) -> Self {
        let said = Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        };
        let safe = |text: &str| text.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}'));
        assert!(safe(&said.out) && safe(&said.err), "{:?} {:?}", said.out, said.err);
        said
    }

    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{} {}", self.out, self.err);
        self.out
    }

    pub fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

pub fn dlq(up: &Pipeline, arguments: &[&str]) -> Said {
    let mut command = streamgauge();
    command.arg("dlq").args(arguments).args(["--endpoint", up.url(), "--api-key", up.key()]);
    Said::of(command.output().unwrap())
}

pub fn dlq_in(directory: &Path, arguments: &[&str]) -> Said {
    Said::of(streamgauge().arg("dlq").args(arguments).arg("--data-dir").arg(directory).output().unwrap())
}

pub fn put(up: &Pipeline, partition_key: &str, record: &[u8]) {
    let mut command = streamgauge();
    command.args(["put", "--endpoint", up.url(), "--api-key", up.key(), "--partition-key", partition_key, "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(record).unwrap();
    assert!(child.wait().unwrap().success());
}

fn letters(up: &Pipeline, arguments: &[&str]) -> Vec<Value> {
    let list = dlq(up, &[&["list", "--format", "json"], arguments].concat()).json();
    list.as_array().unwrap().clone()
}

fn id_of(up: &Pipeline, reason: &str) -> String {
    let found = letters(up, &["--reason", reason]);
    assert_eq!(found.len(), 1, "{reason}: {found:?}");
    found[0]["id"].as_str().unwrap().to_owned()
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Replaces a device's stored state, as a fault of the disk would; what stood there.
fn replace_state(directory: &Path, device: &str, change: impl Fn(StatisticsItem) -> StatisticsItem) -> StatisticsItem {
    runtime().block_on(async {
        let storage = EmbeddedStorage::open(directory, Options::default()).unwrap();
        let device_id = DeviceId::parse(device).unwrap();
        let item = storage.statistics().read_device(&device_id).await.unwrap().unwrap();
        let expected_revision = Some(item.revision);
        let changed = StatisticsItem { revision: item.revision + 1, ..change(item.clone()) };
        let write = DeviceWrite { device_id, expected_revision, item: changed, pages: Vec::new() };
        storage.statistics().write(write).await.unwrap();
        storage.close().await;
        item
    })
}

/// A letter as an aggregator sends it whose ledger is set to `window`; that of `up` keeps all.
fn send_late_letter(directory: &Path, payload: &str) {
    let at = |text: &str| Timestamp::parse(text).unwrap();
    let origin = DeadLetterOrigin {
        stream: "streamgauge",
        shard_id: "shardId-000000000000",
        sequence_number: "1",
        sub_sequence_number: None,
        index: None,
        partition_key: "steady",
        arrived_at: at("2026-01-01T00:00:00Z"),
    };
    let rejection = Rejection::new(RejectReason::Late, "`timestamp`: lies before what the ledger decides");
    let letter = DeadLetter::new(&rejection, payload.as_bytes(), origin, at("2026-01-01T00:00:01Z"));
    runtime().block_on(async {
        let storage = EmbeddedStorage::open(directory, Options::default()).unwrap();
        assert!(storage.dead_letters().send(vec![letter]).await[0].is_ok());
        storage.close().await;
    });
}

/// One letter of every reason; the pipeline runs on.
fn one_of_every_reason(directory: &Path) -> (Pipeline, StatisticsItem) {
    let up = Pipeline::start(directory, &["--port", "0"]);
    put(&up, "broken", body("broken", 1, "1").as_bytes());
    put(&up, "steady", body("steady", 1, "10").as_bytes());
    // The record of the late letter, as far as the account goes: a duplicate to this pipeline, whose ledger keeps all.
    put(&up, "steady", body("steady", 1, "10").as_bytes());
    up.settled();
    assert!(up.terminate().success());
    let good = replace_state(directory, "broken", |item| StatisticsItem { state: b"\0garbage".to_vec(), ..item });
    send_late_letter(directory, &body("steady", 2, "20"));
    let up = Pipeline::start(directory, &["--port", "0"]);
    put(&up, "broken", body("broken", 2, "2").as_bytes());
    put(&up, "steady", b"{\"device_id\":\"steady\",\x1b]0;\xff\x07");
    put(&up, "steady", body("steady", 3, r#""\u001b[31m\u202ex""#).as_bytes());
    put(&up, "steady", body("steady", 4, "40").replace("2026-01-01", "2999-01-01").as_bytes());
    put(&up, "steady", body("steady", 1, "11").as_bytes());
    put(&up, "a\u{1b}[2J\u{202e}key", body("steady", 5, "50").as_bytes());
    put(&up, "steady", b"\xf3\x89\x9a\xc2 no aggregate");
    up.settled();
    (up, good)
}

#[test]
fn every_reason_is_listed_shown_fixed_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (up, good) = one_of_every_reason(directory.path());

    let summary = dlq(&up, &["summary", "--format", "json"]).json();
    assert_eq!(summary["letters"], 8);
    for reason in RejectReason::ALL {
        assert_eq!(summary["reasons"][reason.as_str()]["letters"], 1, "{summary}");
    }
    assert_eq!(summary["devices"][0]["device_id"], "steady");
    let table = dlq(&up, &["list"]).ok();
    assert_eq!(table.lines().count(), 9, "{table}");
    assert!(dlq(&up, &["summary"]).ok().contains("corrupt_state"));

    // Each shows the member that is wrong, and where.
    for (reason, member) in [
        ("malformed_json", "line 1, column 27 (byte 26)"),
        ("invalid_reading", "value, line 1, column 66"),
        ("future_timestamp", "timestamp, line 1"),
        ("conflicting_duplicate", "value, line 1"),
        ("partition_key_mismatch", "device_id, line 1, column 14 (byte 13)"),
        ("late", "timestamp, line 1"),
        ("corrupt_state", "shardId-"),
        ("bad_aggregate", "too short to hold a digest"),
    ] {
        let id = id_of(&up, reason);
        let shown = dlq(&up, &["show", &id]).ok();
        assert!(shown.contains(&id) && shown.contains(reason) && shown.contains(member), "{reason}: {shown}");
        let json = dlq(&up, &["show", &id, "--format", "json"]).json();
        assert_eq!((&json["id"], &json["reason"]), (&json!(id), &json!(reason)));
        let is_utf8 = !matches!(reason, "malformed_json" | "bad_aggregate");
        assert_eq!(json["payload"].is_string(), is_utf8, "{reason}: {json}");
    }
    assert_eq!(dlq(&up, &["show", "no-such-letter"]).code, 1);

    fix_and_send_all(up, directory.path(), good);
}

fn fix_and_send_all(up: Pipeline, directory: &Path, good: StatisticsItem) {
    // The broken device's state is restored first: else its letter would come back.
    assert!(up.terminate().success());
    replace_state(directory, "broken", |item| StatisticsItem { revision: item.revision, ..good.clone() });
    let up = Pipeline::start(directory, &["--port", "0"]);

    let before = up.settled();
    let dry = dlq(&up, &["redrive"]);
    assert_eq!(dry.code, 1, "not all would go");
    for (reason, what) in [
        ("malformed_json", "refuse: must be fixed: the body is not UTF-8"),
        ("invalid_reading", "refuse: must be fixed: `value`"),
        ("future_timestamp", "skip: `timestamp`"),
        ("conflicting_duplicate", "skip: would only come back"),
        ("partition_key_mismatch", "send: 1 reading"),
        ("late", "skip: would only come back"),
        ("corrupt_state", "send: 1 reading"),
        ("bad_aggregate", "refuse: must be fixed"),
    ] {
        let line = dry.out.lines().find(|line| line.contains(&format!("  {reason}  "))).expect(reason);
        assert!(line.contains(what), "{line}");
    }
    assert_eq!(up.settled(), before, "a dry run changes nothing");

    let applied = dlq(&up, &["redrive", "--apply"]);
    assert_eq!(applied.code, 1, "not all went");
    assert!(
        applied.out.ends_with("8 dead letters: 2 sent (2 readings), 3 skipped, 3 refused, 0 failed\n"),
        "{}",
        applied.out
    );
    // Set in what is named.
    assert_eq!(dlq(&up, &["redrive", "--set", "value=1"]).code, 2, "--set needs a filter");
    let set = |reason, set| dlq(&up, &["redrive", "--apply", "--reason", reason, "--set", set]).ok();
    set("invalid_reading", "value=30");
    set("future_timestamp", "timestamp=2026-01-01T00:00:04Z");
    set("conflicting_duplicate", "event_id=second");
    // Asked for by its reason.
    dlq(&up, &["redrive", "--apply", "--reason", "late"]).ok();
    // Fixed by hand, each by its id.
    let map = directory.join("fixed.jsonl");
    let line = |reason: &str, body: String| format!("{{\"id\":\"{}\",\"body\":{body}}}\n", id_of(&up, reason));
    let batch = format!("{{\"readings\":[{},{}]}}", body("steady", 6, "60"), body("other", 1, "1"));
    let lines = line("malformed_json", body("steady", 7, "70")) + &line("bad_aggregate", batch);
    std::fs::write(&map, lines).unwrap();
    let sent = dlq(&up, &["redrive", "--apply", "--map-file", map.to_str().unwrap()]).ok();
    assert!(sent.starts_with("2 dead letters: 2 sent (3 readings)"), "{sent}");

    let accounts = up.settled();
    assert_reconciled(&accounts);
    assert_eq!(dlq(&up, &["list"]).ok(), "no dead letters\n");
    Expected::of(&[10.0, 11.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0]).assert_equals(&up.get("/?device_id=steady").1);
    Expected::of(&[1.0, 2.0]).assert_equals(&up.get("/?device_id=broken").1);
    Expected::of(&[1.0]).assert_equals(&up.get("/?device_id=other").1);
    assert!(up.terminate().success());
    let up = Pipeline::start(directory, &["--port", "0"]);
    assert_eq!(up.settled(), accounts, "across a restart");
}

#[test]
fn a_data_directory_is_worked_on_while_no_pipeline_runs_and_only_then() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let missing = dlq_in(&path.join("nowhere"), &["summary"]);
    assert_eq!((missing.code, path.join("nowhere").exists()), (2, false), "{}", missing.err);
    let up = Pipeline::start(path, &["--port", "0"]);
    for second in 0..3 {
        put(&up, "wrong-key", body("d", second, "1").as_bytes());
    }
    up.settled();
    let locked = dlq_in(path, &["summary"]);
    assert_eq!(locked.code, 2);
    assert!(locked.err.contains("give its --endpoint instead"), "{}", locked.err);
    let accounts = up.settled();
    assert!(up.terminate().success());

    assert_eq!(dlq_in(path, &["summary", "--format", "json"]).json()["letters"], 3);
    assert_eq!(dlq_in(path, &["list", "--device", "d", "--limit", "2"]).ok().lines().count(), 3);
    assert_eq!(dlq_in(path, &["list", "--device", "e", "--format", "json"]).json(), json!([]));
    assert_eq!(dlq_in(path, &["list", "--since", "2999-01-01T00:00:00Z"]).ok(), "no dead letters\n");
    let sent = dlq_in(path, &["redrive", "--apply"]).ok();
    assert_eq!(sent, "3 dead letters: 3 sent (3 readings), 0 skipped, 0 refused, 0 failed\n");
    assert_eq!(dlq_in(path, &["redrive", "--apply"]).ok(), "no dead letters\n");

    let up = Pipeline::start(path, &["--port", "0"]);
    let after = up.settled();
    assert_reconciled(&after);
    assert_eq!(up.get("/?device_id=d").1["count"], 3);
    assert_eq!(after["accepted"].as_u64().unwrap(), accounts["accepted"].as_u64().unwrap() + 3);
}

#[test]
fn an_endpoint_that_is_not_there_or_takes_no_such_key_exits_2() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    let url = up.url().to_owned();
    let ask = |key: &str| {
        Said::of(streamgauge().args(["dlq", "list", "--endpoint", &url, "--api-key", key]).output().unwrap())
    };
    let refused = ask("another-pipelines-key");
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("does not take this API key"), "{}", refused.err);
    assert!(up.terminate().success());
    assert_eq!(ask("another-pipelines-key").code, 2);
}

#[test]
fn a_redrive_killed_at_any_moment_is_run_again_and_counts_nothing_twice() {
    const LETTERS: u32 = 300;
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    for minute in 0..LETTERS / 50 {
        let reading = |second| json!({"timestamp": format!("2026-01-01T00:{minute:02}:{second:02}Z"), "value": second});
        let readings: Vec<Value> = (0..50).map(reading).collect();
        put(&up, "wrong-key", json!({"device_id": "d", "readings": readings}).to_string().as_bytes());
    }
    up.settled();
    let mut gone = 0;
    for pause in [30, 90, 150, 250, 400] {
        let mut redrive = streamgauge()
            .args(["dlq", "redrive", "--apply", "--rate", "200", "--endpoint", up.url(), "--api-key", up.key()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        let _ = redrive.kill();
        redrive.wait().unwrap();
        let left = dlq(&up, &["summary", "--format", "json"]).json()["letters"].as_u64().unwrap();
        gone = u64::from(LETTERS) - left;
    }
    assert!(gone > 0, "none had gone");
    if gone < u64::from(LETTERS) {
        dlq(&up, &["redrive", "--apply"]).ok();
    }
    let accounts = up.settled();
    assert_reconciled(&accounts);
    assert_eq!(up.get("/?device_id=d").1["count"], LETTERS);
    assert_eq!(accounts["counted"], LETTERS);
}

#[test]
fn an_export_is_edited_by_hand_and_imported() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    put(&up, "d", body("d", 1, "\"1,5\"").as_bytes());
    put(&up, "d", b"{\"device_id\":\"d\", \"timestamp\":\"2026-01-01T00:00:02Z\" \"value\":2}");
    put(&up, "d", b"\xff\xfe");
    up.settled();
    let file = directory.path().join("letters.jsonl");
    let file = file.to_str().unwrap();
    dlq(&up, &["export", file]).ok();
    assert_eq!(dlq(&up, &["export", file]).code, 2, "a file that is there is left alone");
    assert_eq!(dlq(&up, &["summary", "--format", "json"]).json()["letters"], 3, "exporting changes nothing");
    assert_eq!(dlq(&up, &["import", file]).code, 1, "nothing is edited yet");

    let text = std::fs::read_to_string(file).unwrap();
    let changed = text.replace(
        "\"body\":{\"device_id\":\"d\",\"timestamp\":\"2026-01-01T00:00:01Z\",\"value\":\"1,5\"}",
        &format!("\"body\":{}", body("d", 1, "1.5")),
    );
    assert_ne!(changed, text);
    let text = changed.replace("Z\\\" \\\"value", "Z\\\", \\\"value");
    assert_ne!(changed, text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("\"body\":null")).collect();
    assert_eq!(lines.len(), 2);
    std::fs::write(file, lines.join("\n")).unwrap();
    dlq(&up, &["import", file, "--apply"]).ok();
    up.settled();
    Expected::of(&[1.5, 2.0]).assert_equals(&up.get("/?device_id=d").1);
    let again = dlq(&up, &["import", file, "--apply"]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("2 letters of the file are not in the queue"), "{}", again.err);
    assert_reconciled(&up.settled());
}

#[test]
fn a_purge_asks_writes_what_it_deletes_and_keeps_the_account() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    for record in ["{", "[", "nonsense"] {
        put(&up, "d", record.as_bytes());
    }
    put(&up, "d", body("d", 1, "\"x\"").as_bytes());
    let before = up.settled();
    let file = directory.path().join("purged.jsonl");
    let path = file.to_str().unwrap();
    let asked = dlq(&up, &["purge", path, "--reason", "malformed_json"]);
    assert_eq!((asked.code, file.exists()), (2, false), "{}", asked.err);
    dlq(&up, &["purge", path, "--reason", "malformed_json", "--yes"]).ok();
    let lines: Vec<Value> =
        std::fs::read_to_string(&file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let bodies: Vec<_> = lines.iter().map(|line| line["body"].as_str().unwrap()).collect();
    assert_eq!(
        {
            let mut sorted = bodies;
            sorted.sort_unstable();
            sorted
        },
        ["[", "nonsense", "{"]
    );
    assert_eq!(letters(&up, &[]).len(), 1);
    assert_eq!(up.settled(), before, "what was purged stays accounted for");
    assert_reconciled(&before);
}

#[test]
fn another_form_of_a_letter_that_may_have_been_sent_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    put(&up, "wrong-key", body("d", 1, "1").as_bytes());
    up.settled();
    let id = id_of(&up, "partition_key_mismatch");
    assert!(up.terminate().success());
    // As a run leaves it that was killed after it had put the record.
    runtime().block_on(async {
        let storage = EmbeddedStorage::open(directory.path(), Options::default()).unwrap();
        storage.dead_letters().note(vec![Intent { id: id.clone(), form: [7; 16] }]).await.unwrap();
        storage.close().await;
    });
    let refused = dlq_in(directory.path(), &["redrive", "--apply", "--id", &id, "--set", "value=2"]);
    assert_eq!(refused.code, 1);
    assert!(refused.out.contains("sent in another form"), "{}", refused.out);
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    let refused = dlq(&up, &["redrive", "--apply", "--id", &id]);
    assert!(refused.code == 1 && refused.out.contains("sent in another form"), "{}", refused.out);
    assert_eq!(up.get("/?device_id=d").0, 404);
}

#[test]
fn the_pipeline_itself_refuses_what_would_only_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    put(&up, "d", b"{");
    let before = up.settled();
    let id = id_of(&up, "malformed_json");
    let redrive = |id: &str, body: &str| {
        let (status, answer) = up.post("/dead-letters/redrive", &json!({"ids": [id], "bodies": {id: body}}));
        assert_eq!((status, &answer["totals"]["sent"]), (200, &json!(0)), "{answer}");
        answer["letters"][0].clone()
    };
    let failed = redrive(&id, "{}");
    assert!(
        failed["why"].as_str().unwrap().contains("`device_id`: is missing") && failed["action"] == "refuse",
        "{failed}"
    );
    assert!(redrive(&id, &body("d", 1, "1").replace("2026", "2999"))["why"].as_str().unwrap().contains("ahead"));
    assert_eq!(redrive("no-such-letter", &body("d", 1, "1")), Value::Null, "what is not there is not met");
    assert_eq!(up.settled(), before);
    let (status, answer) = up.post("/dead-letters/delete", &json!({"ids": [id, "no-such-letter"]}));
    assert_eq!((status, &answer["deleted"]), (200, &json!(1)));
    assert_reconciled(&up.settled());
}

#[test]
fn a_reader_that_has_seen_enough_ends_a_list_quietly() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    put(&up, "d", b"{");
    up.settled();
    let mut list: Command = streamgauge();
    list.args(["dlq", "list", "--endpoint", up.url(), "--api-key", up.key()]);
    let mut child = list.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// 501 readings that are no JSON, and 5 that came under another key.
fn long_record() -> Vec<u8> {
    let sub = |data: Vec<u8>| telemetry::kpl::SubRecord {
        partition_key: "wrong".to_owned(),
        explicit_hash_key: None,
        data,
        sub_sequence_number: 0,
    };
    let bad = (0..501).map(|_| sub(b"x".to_vec()));
    let good = (1..6).map(|second| sub(body("d", second, "1").into_bytes()));
    telemetry::kpl::aggregate(&bad.chain(good).collect::<Vec<_>>())
}

#[test]
fn a_record_of_many_bad_readings_is_one_letter_and_goes_whole() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    put(&up, "wrong", &long_record());
    let accounts = up.settled();
    assert_reconciled(&accounts);
    assert_eq!(accounts["dead_letters"], json!({"malformed_json": 501, "partition_key_mismatch": 5}));
    let id = id_of(&up, "malformed_json");
    let shown = dlq(&up, &["show", &id]).ok();
    assert!(shown.contains("readings        501 malformed_json, 5 partition_key_mismatch\n"), "{shown}");

    let changed = dlq(&up, &["redrive", "--id", &id, "--set", "value=1"]);
    assert!(changed.code == 1 && changed.out.contains("refuse: is a whole record"), "{}", changed.out);
    assert!(dlq(&up, &["redrive"]).ok().contains("send: 506 readings"));
    let one = json!({"ids": [id], "bodies": {id.as_str(): body("d", 1, "1")}});
    let (_, answer) = up.post("/dead-letters/redrive", &one);
    assert!(answer.to_string().contains("cannot be changed here"), "{answer}");
    assert_eq!(id_of(&up, "malformed_json"), id, "a letter of many readings is not deleted for one");
    let (status, answer) = up.post("/dead-letters/redrive", &json!({"ids": [id]}));
    assert_eq!((status, &answer["letters"][0]["action"]), (200, &json!("sent")), "{answer}");

    let accounts = up.settled();
    assert_reconciled(&accounts);
    assert_eq!((&accounts["counted"], &accounts["accepted"]), (&json!(5), &json!(2 * 506)));
    let again = letters(&up, &[]);
    assert_eq!(again.len(), 1, "what cannot be counted is one letter again");
    assert_eq!(again[0]["readings_by_reason"], json!({"malformed_json": 501}));
    assert!(dlq(&up, &["redrive"]).out.contains("refuse: must be fixed: 501 of the record's 506 readings"));
    assert!(up.terminate().success());
    let checked = streamgauge().args(["verify", "--data-dir"]).arg(directory.path()).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
