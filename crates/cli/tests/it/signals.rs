//! How commands end that have something to bring to its end: on SIGHUP as on SIGTERM, unless they were started to ignore it.

use crate::support::{PATIENCE, Pipeline, streamgauge};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").arg(name).arg(process.to_string()).status().unwrap().success());
}

fn reading(second: u32) -> Value {
    json!({"device_id": "d", "timestamp": format!("2026-01-01T00:00:{second:02}Z"), "value": second})
}

/// `up`, started by a shell that runs `before` first.
fn up_after(before: &str, data_dir: &Path) -> (Child, Value) {
    let binary = streamgauge().get_program().to_owned();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{before}; exec \"$0\" up --port 0 --api-key 0123456789abcdef --data-dir \"$1\"")]);
    let mut up = shell.arg(binary).arg(data_dir).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(up.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (up, serde_json::from_str(&line).unwrap())
}

#[test]
fn up_drains_when_its_terminal_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let (mut up, ready) = up_after("true", directory.path());
    let url = format!("{}/data", ready["ingest"].as_str().unwrap());
    let post = crate::support::agent().post(url).header("x-api-key", "0123456789abcdef");
    assert_eq!(post.content_type("application/json").send(reading(1).to_string()).unwrap().status(), 200);
    // Shell and system both send it.
    signal("-HUP", up.id());
    std::thread::sleep(Duration::from_millis(50));
    if up.try_wait().unwrap().is_none() {
        let _ = Command::new("kill").arg("-HUP").arg(up.id().to_string()).status();
    }
    assert_eq!(up.wait().unwrap().code(), Some(0));
    // What was pending is archived: it drained.
    assert_eq!(std::fs::read_dir(directory.path().join("archive/raw")).unwrap().count(), 1);
    let again = Pipeline::start(directory.path(), &["--port", "0"]);
    assert_eq!(again.settled()["counted"], 1);
}

#[test]
fn up_under_nohup_outlives_its_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let (mut up, ready) = up_after("trap '' HUP", directory.path());
    signal("-HUP", up.id());
    std::thread::sleep(Duration::from_millis(300));
    assert!(up.try_wait().unwrap().is_none(), "it ended");
    let health = crate::support::agent().get(format!("{}/health", ready["ingest"].as_str().unwrap())).call().unwrap();
    assert_eq!(health.status(), 200);
    signal("-TERM", up.id());
    assert_eq!(up.wait().unwrap().code(), Some(0));
}

#[test]
fn send_sums_up_when_its_terminal_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    let mut command = streamgauge();
    command.args(["send", "--jsonl", "-", "--format", "json", "--endpoint", up.url(), "--api-key", up.key()]);
    let mut send = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = send.stdin.take().unwrap();
    // Lines wait until there are some of one device: those of another device send them off.
    for second in 0..50 {
        writeln!(input, "{}", reading(second)).unwrap();
    }
    input.flush().unwrap();
    let start = Instant::now();
    while up.get("/pipeline").1["accepted"] == 0 && start.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(10));
    }
    signal("-HUP", send.id());
    // The input stays open: it is the signal that ends the run.
    let output = send.wait_with_output().unwrap();
    assert!(start.elapsed() < PATIENCE);
    assert_eq!(output.status.code(), Some(1));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(summary["accepted"].as_u64().unwrap() > 0, "{summary}");
    assert_eq!(summary["accepted"], up.settled()["accepted"], "{summary}");
    drop(input);
}
