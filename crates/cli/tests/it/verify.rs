//! `streamgauge verify`: a data directory that `up` wrote is sound, however it ended; a damaged one is not.

use crate::support::{Pipeline, streamgauge};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The exit code, standard output, and what standard error says.
fn verify(data_dir: &Path, format: &str) -> (i32, String, String) {
    let output = streamgauge().args(["verify", "--format", format, "--data-dir"]).arg(data_dir).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn start(data_dir: &Path, more: &[&str]) -> Pipeline {
    Pipeline::start(data_dir, &[&["--port", "0", "--shards", "2"], more].concat())
}

#[test]
fn a_directory_is_sound_whenever_up_was_killed() {
    let directory = tempfile::tempdir().unwrap();
    for run in 0..4u64 {
        let up = start(directory.path(), &["--devices", "20", "--rate", "3000", "--curated-interval", "1"]);
        std::thread::sleep(std::time::Duration::from_millis(700 + 130 * run));
        up.kill();
        let (code, report, _) = verify(directory.path(), "json");
        assert_eq!(code, 0, "{report}");
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["problems"], json!([]));
        assert!(report["rows"]["stream.redb"]["records"].as_u64() > Some(0), "{report}");
        assert!(report["totals"]["accepted"].as_u64() >= report["totals"]["counted"].as_u64(), "{report}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_file_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let up = start(directory.path(), &[]);
    for n in 0..20 {
        let reading = json!({"device_id": "d", "timestamp": format!("2026-01-01T00:00:{n:02}Z"), "value": n});
        assert_eq!(up.post("/data", &reading).0, 200);
    }
    up.settled();
    let (code, _, error) = verify(directory.path(), "table");
    assert_eq!(code, 2);
    assert!(error.contains("a running `streamgauge up` is using the data directory"), "{error}");
    assert!(up.terminate().success());

    let (code, table, _) = verify(directory.path(), "table");
    assert_eq!(code, 0, "{table}");
    assert!(table.ends_with("nothing is wrong\n") && !table.contains("restore a backup"), "{table}");
    assert!(table.contains("statistics.redb   items") && table.contains("curated files"), "{table}");

    fs::write(directory.path().join("api-key"), b"\xff\n").unwrap();
    let stray = directory.path().join("archive/raw/stray");
    fs::write(&stray, b"x").unwrap();
    let database = directory.path().join("statistics.redb");
    let mut bytes = fs::read(&database).unwrap();
    // The checksum of the newest commit.
    let commit = 64 + 128 * usize::from(bytes[9] & 1);
    bytes[commit + 112] ^= 1;
    fs::write(&database, &bytes).unwrap();
    let (code, table, _) = verify(directory.path(), "table");
    assert_eq!(code, 1, "{table}");
    let expected = [
        "statistics.redb: redb's integrity check failed",
        "archive/raw/stray: ",
        "api-key: it holds no key",
        "restore a backup, or make a new directory from the archive: streamgauge archive rebuild --data-dir",
    ];
    expected.iter().for_each(|line| assert!(table.lines().any(|found| found.starts_with(line)), "{line}: {table}"));
    assert!(table.lines().last().unwrap().starts_with("problems: "), "{table}");
}

#[test]
fn a_folder_that_is_no_data_directory_exits_2() {
    let directory = tempfile::tempdir().unwrap();
    for folder in [directory.path().to_owned(), directory.path().join("nothing")] {
        let (code, _, error) = verify(&folder, "table");
        assert_eq!(code, 2);
        assert!(error.contains("it is not a data directory of `streamgauge up`"), "{error}");
        assert!(error.contains(folder.to_str().unwrap()), "{error}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is made");
}
