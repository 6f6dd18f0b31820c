//! Several commands on one queue of dead letters at once: none reports a failure, and every reading counts once.

use crate::dlq::{Said, dlq, dlq_in, put, runtime};
use crate::support::{Pipeline, assert_reconciled, streamgauge};
use embedded::{EmbeddedStorage, Options};
use redrive::{Intent, Intents as _};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Stdio};

/// Puts `hundreds` times 100 readings that become dead letters.
fn put_letters(up: &Pipeline, hundreds: u32) {
    for hundred in 0..hundreds {
        let instant = |place| format!("2026-01-01T{hundred:02}:{:02}:{:02}Z", place / 60, place % 60);
        let readings: Vec<Value> = (0..100).map(|place| json!({"timestamp": instant(place), "value": place})).collect();
        put(up, "wrong-key", json!({"device_id": "d", "readings": readings}).to_string().as_bytes());
    }
    up.settled();
}

fn letters(up: &Pipeline) -> u64 {
    dlq(up, &["summary", "--format", "json"]).json()["letters"].as_u64().unwrap()
}

/// A redrive that is under way: it has read a page of letters, and sends them slowly.
fn slow_redrive(up: &Pipeline, arguments: &[&str]) -> Child {
    let all = letters(up);
    let redrive = streamgauge()
        .args(["dlq", "redrive", "--apply", "--rate", "100", "--endpoint", up.url(), "--api-key", up.key()])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while letters(up) == all {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    redrive
}

fn end_of(redrive: Child) -> Said {
    Said::of(redrive.wait_with_output().unwrap())
}

/// The other run took nearly all: one line says so.
fn assert_gone_is_no_failure(said: &Said) {
    assert_eq!(said.code, 0, "{} {}", said.out, said.err);
    assert_eq!(said.out.lines().count(), 1, "{}", said.out);
    assert!(said.out.contains(" no longer in the queue, 0 failed"), "{}", said.out);
}

fn assert_all_counted(up: &Pipeline, readings: u64) {
    let accounts = up.settled();
    assert_reconciled(&accounts);
    assert_eq!(accounts["counted"], readings, "{accounts}");
    assert_eq!(letters(up), 0);
}

#[test]
fn two_redrives_at_once_report_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    put_letters(&up, 12);
    let (slow, slow_json) = (slow_redrive(&up, &[]), slow_redrive(&up, &["--format", "json"]));
    dlq(&up, &["redrive", "--apply"]).ok();
    assert_gone_is_no_failure(&end_of(slow));
    // For programs each letter has its line.
    let text = end_of(slow_json).ok();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let totals = &lines.last().unwrap()["totals"];
    let gone = lines.iter().filter(|line| line["action"] == "gone").count();
    assert!(gone > 0 && totals["gone"] == gone && totals["failed"] == 0, "{totals}");
    assert_eq!(lines.len() - 1, totals["letters"].as_u64().unwrap() as usize);
    assert_all_counted(&up, 1200);
}

#[test]
fn a_redrive_beside_the_pages_reports_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    put_letters(&up, 6);
    let slow = slow_redrive(&up, &[]);
    let mut selection = json!({});
    loop {
        let (status, answer) = up.post("/dead-letters/redrive", &selection);
        assert_eq!((status, &answer["totals"]["failed"]), (200, &json!(0)), "{answer}");
        match &answer["next"] {
            Value::Null => break,
            next => selection = json!({"after": next}),
        }
    }
    assert_gone_is_no_failure(&end_of(slow));
    assert_all_counted(&up, 600);
}

#[test]
fn a_redrive_beside_a_purge_reports_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    put_letters(&up, 6);
    let slow = slow_redrive(&up, &[]);
    let file = directory.path().join("purged.jsonl");
    dlq(&up, &["purge", file.to_str().unwrap(), "--yes"]).ok();
    let said = end_of(slow);
    assert_gone_is_no_failure(&said);
    // Each letter went or stands in the file, or both.
    let (accounts, purged) = (up.settled(), std::fs::read_to_string(&file).unwrap().lines().count() as u64);
    assert_reconciled(&accounts);
    assert!(purged > 0 && accounts["counted"].as_u64().unwrap() + purged >= 600, "{purged} {accounts}");
    assert_eq!(letters(&up), 0);
}

/// Notes another form for every letter, as a run leaves it that was killed after it had put the records.
fn note_another_form(directory: &Path) {
    let list = dlq_in(directory, &["list", "--limit", "1000", "--format", "json"]).json();
    let ids = list.as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap().to_owned());
    runtime().block_on(async {
        let storage = EmbeddedStorage::open(directory, Options::default()).unwrap();
        storage.dead_letters().note(ids.map(|id| Intent { id, form: [7; 16] }).collect()).await.unwrap();
        storage.close().await;
    });
}

#[test]
fn many_failures_of_one_cause_are_summed_up() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    put_letters(&up, 1);
    assert!(up.terminate().success());
    note_another_form(directory.path());
    let said = dlq_in(directory.path(), &["redrive", "--apply"]);
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!((said.code, lines.len()), (1, 22), "{}", said.out);
    assert!(lines[19].contains("failed: was, or may have been, sent in another form"), "{}", lines[19]);
    assert!(
        lines[20].starts_with("… and 80 more failed: was, or may have been, sent in another form"),
        "{}",
        lines[20]
    );
    assert!(lines[21].ends_with("0 refused, 100 failed"), "{}", lines[21]);
    let said = dlq_in(directory.path(), &["redrive", "--apply", "--format", "json"]);
    assert_eq!((said.code, said.out.lines().count()), (1, 101), "{}", said.out);
}
