//! Where a pipeline's key comes from, and that it goes nowhere else.

use crate::support::{Pipeline, agent, streamgauge};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const KEY: &str = "the-key-of-a-test";

fn key_file(directory: &Path, mode: u32) -> String {
    let path = directory.join("key-file");
    std::fs::write(&path, format!("{KEY}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// `arguments` at the end of a command that must fail before it does anything.
fn refused(arguments: &[&str]) -> String {
    let output = streamgauge().args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(output.stdout.is_empty());
    said(&output)
}

/// Everything that is logged is looked through, and what a clean end says too.
#[test]
fn a_key_that_up_made_is_written_to_its_file_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut up = streamgauge()
        .args(["up", "--port", "0", "--devices", "3", "--data-dir"])
        .arg(directory.path())
        .env("STREAMGAUGE_LOG", "debug")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(up.stdout.take().unwrap());
    let mut written = String::new();
    stdout.read_line(&mut written).unwrap();
    let ready: Value = serde_json::from_str(&written).unwrap();
    let path = ready["api_key_file"].as_str().unwrap().to_owned();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read_to_string(&path).unwrap().trim_end().to_owned();
    for (sent, status) in [(key.as_str(), 200), ("not-the-key-of-it", 403)] {
        let url = format!("{}/pipeline", ready["ingest"].as_str().unwrap());
        assert_eq!(agent().get(url).header("x-api-key", sent).call().unwrap().status(), status);
    }
    assert!(Command::new("kill").args(["-TERM", &up.id().to_string()]).status().unwrap().success());
    stdout.read_to_string(&mut written).unwrap();
    up.stderr.take().unwrap().read_to_string(&mut written).unwrap();
    assert!(up.wait().unwrap().success());
    assert!(written.contains(&format!("streamgauge: API key: cat {path}\n")), "{written}");
    assert!(!written.contains(&key), "{written}");
}

#[test]
fn a_given_key_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0", "--api-key", KEY]);
    assert_eq!((up.get("/devices").0, &up.ready["api_key_file"]), (200, &Value::Null));
    assert!(!up.log_with("dashboard at").contains("API key"));
    assert!(!directory.path().join("api-key").exists());
}

/// The arguments of a process, as every user of the machine can list them.
#[cfg(target_os = "linux")]
fn listed(process: u32) -> String {
    std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap().replace('\0', " ")
}

#[test]
#[cfg(target_os = "linux")]
fn the_flags_value_is_not_in_the_list_of_processes() {
    let directory = tempfile::tempdir().unwrap();
    for flag in [&["--api-key", KEY][..], &["--api-key=the-key-of-a-test"]] {
        let up = Pipeline::start(directory.path(), &[&["--port", "0"], flag, &["--shards", "2"]].concat());
        assert!(listed(up.id()).ends_with(" --port 0 --shards 2 "), "{}", listed(up.id()));
        assert_eq!(up.get("/devices").0, 200);

        let mut send = streamgauge()
            .args(["send", "--endpoint", up.url(), "--jsonl", "-"])
            .args(flag)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let start = std::time::Instant::now();
        while !listed(send.id()).ends_with(" --jsonl - ") {
            assert!(start.elapsed() < crate::support::PATIENCE, "{}", listed(send.id()));
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let reading = json!({"device_id": "d", "timestamp": "2026-01-01T00:00:00Z", "value": 1});
        writeln!(send.stdin.take().unwrap(), "{reading}").unwrap();
        assert!(send.wait_with_output().unwrap().status.success());
        assert!(up.terminate().success());
    }
}

#[test]
fn every_command_takes_the_key_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = key_file(directory.path(), 0o600);
    let up = Pipeline::start(&directory.path().join("data"), &["--port", "0", "--api-key-file", &path]);
    assert_eq!((up.key(), up.ready["api_key_file"].as_str()), (KEY, Some(path.as_str())));
    assert!(!directory.path().join("data").join("api-key").exists());
    let target = directory.path().join("copy");
    let commands: [&[&str]; 5] = [
        &["send", "--devices", "1", "--readings", "1"],
        &["put", "--partition-key", "d", &path],
        &["stats"],
        &["dlq", "list"],
        &["backup", target.to_str().unwrap()],
    ];
    for command in commands {
        let output = streamgauge()
            .args(command)
            .args(["--endpoint", up.url(), "--api-key-file", &path])
            .env("STREAMGAUGE_API_KEY", "not-the-key-of-it")
            .output()
            .unwrap();
        assert!(output.status.success(), "{command:?}: {}", said(&output));
        assert!(!said(&output).contains("warning"), "{}", said(&output));
    }
}

#[test]
fn a_key_file_that_others_can_read_works_with_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let path = key_file(directory.path(), 0o644);
    let warning = format!("other users can read the API key in {path}: chmod 600 {path}");
    let up = Pipeline::start(&directory.path().join("data"), &["--port", "0", "--api-key-file", &path]);
    up.log_with(&format!("WARN {warning}"));
    let stats = streamgauge().args(["stats", "--endpoint", up.url(), "--api-key-file", &path]).output().unwrap();
    assert!(stats.status.success() && said(&stats).contains(&format!("streamgauge: warning: {warning}")), "{stats:?}");
}

#[test]
fn a_key_that_cannot_be_one_is_refused_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let path = key_file(directory.path(), 0o600);
    let up = |flags: &[&str]| refused(&[&["up", "--port", "0", "--data-dir", data.to_str().unwrap()], flags].concat());
    let rule = "an API key has 16 to 512 visible ASCII characters";
    for short in [&["--api-key", "short"][..], &["--api-key=short"]] {
        let message = up(short);
        assert!(message.contains(&format!("--api-key or STREAMGAUGE_API_KEY: {rule}")), "{message}");
        assert!(!message.contains("short"), "{message}");
    }
    assert!(up(&["--api-key", KEY, "--api-key-file", &path]).contains("cannot be used with"));
    std::fs::write(&path, "short\n").unwrap();
    let message = up(&["--api-key-file", &path]);
    assert!(message.contains(&format!("--api-key-file: {path} holds no key: {rule}")), "{message}");
    std::fs::remove_file(&path).unwrap();
    let message = refused(&["stats", "--api-key-file", &path]);
    assert!(message.contains(&format!("--api-key-file: cannot read {path}: ")), "{message}");
    assert!(!data.exists());
}
