//! `streamgauge archive verify`: it finds what is damaged or missing, and nothing else.

use crate::support::{Pipeline, streamgauge};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The exit code and the JSON.
fn verify(arguments: &[&str], folder: &Path) -> (i32, Value) {
    let output =
        streamgauge().args(["archive", "verify", "--format", "json"]).args(arguments).arg(folder).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), serde_json::from_str(&text).unwrap_or(Value::Null))
}

fn raw_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for day in fs::read_dir(folder.join("raw")).unwrap() {
        for hour in fs::read_dir(day.unwrap().path()).unwrap() {
            files.extend(fs::read_dir(hour.unwrap().path()).unwrap().map(|file| file.unwrap().path()));
        }
    }
    files.sort();
    files
}

/// The archive of a pipeline that took 60 readings of one device in three runs, and one record that is no JSON.
fn archive(data_dir: &Path) -> PathBuf {
    for run in 0..3 {
        let up = Pipeline::start(data_dir, &["--port", "0", "--shards", "1"]);
        for n in 0..20 {
            let timestamp = format!("2026-01-01T00:{run:02}:{n:02}Z");
            assert_eq!(up.post("/data", &json!({"device_id": "d", "timestamp": timestamp, "value": n})).0, 200);
        }
        if run == 2 {
            let record = data_dir.join("record");
            fs::write(&record, "no JSON").unwrap();
            let mut put = streamgauge();
            put.args(["put", "--endpoint", up.url(), "--api-key", up.key(), "--partition-key", "d"]).arg(&record);
            assert!(put.status().unwrap().success());
        }
        up.settled();
        assert!(up.terminate().success());
    }
    data_dir.join("archive")
}

fn problems(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let problems = report["problems"].as_array().unwrap();
    problems.iter().map(|problem| (text(&problem["file"]), text(&problem["problem"]))).collect()
}

fn sum(report: &Value, group: &str, name: &str) -> u64 {
    report[group].as_object().unwrap().values().map(|of| of[name].as_u64().unwrap()).sum()
}

#[test]
fn an_archive_that_up_wrote_is_whole_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let folder = archive(directory.path());
    let (code, report) = verify(&[], &folder);
    assert_eq!((code, problems(&report)), (0, vec![]), "{report}");
    assert_eq!((sum(&report, "hours", "lines"), sum(&report, "hours", "not_json")), (61, 1));
    assert_eq!(sum(&report, "hours", "files"), raw_files(&folder).len() as u64);
    // Every run ended with a file of the one device's state.
    assert_eq!((sum(&report, "days", "files"), sum(&report, "days", "rows")), (3, 3));
    assert_eq!((sum(&report, "dead_letters", "files"), sum(&report, "dead_letters", "letters")), (1, 1));

    let output = streamgauge().args(["archive", "verify", "--data-dir"]).arg(directory.path()).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && table.contains("nothing is wrong") && table.contains("raw, in all"), "{table}");
}

#[test]
fn what_is_damaged_or_missing_is_named_and_exits_1() {
    let directory = tempfile::tempdir().unwrap();
    let folder = archive(directory.path());
    let files = raw_files(&folder);
    assert!(files.len() >= 3);
    let whole = fs::read(&files[1]).unwrap();
    let problem_of = |expected: &str| {
        let (code, report) = verify(&[], &folder);
        let problems = problems(&report);
        assert_eq!((code, problems.len()), (1, 1), "{expected}: {report}");
        assert!(problems[0].1.contains(expected), "{expected}: {report}");
        problems[0].0.clone()
    };
    let name = |file: &Path| file.file_name().unwrap().to_str().unwrap().to_owned();

    for length in [0, 5, whole.len() / 2, whole.len() - 1] {
        fs::write(&files[1], &whole[..length]).unwrap();
        assert!(problem_of("cannot be read to its end").ends_with(&name(&files[1])));
    }
    let mut flipped = whole.clone();
    flipped[whole.len() - 6] ^= 1;
    fs::write(&files[1], &flipped).unwrap();
    problem_of("cannot be read to its end");

    fs::remove_file(&files[1]).unwrap();
    assert!(problem_of("are in no file").ends_with(&name(&files[2])), "the file behind the gap is named");

    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(b"{\"a\":1}\n{\"b\"").unwrap();
    fs::write(&files[1], encoder.finish().unwrap()).unwrap();
    let (code, report) = verify(&[], &folder);
    let texts: Vec<String> = problems(&report).into_iter().map(|(_, problem)| problem).collect();
    assert_eq!(code, 1);
    assert!(
        texts.iter().any(|text| text.contains("last line")) && texts.iter().any(|text| text.contains("2 lines for"))
    );
    fs::write(&files[1], &whole).unwrap();

    fs::write(folder.join("raw/stray"), b"x").unwrap();
    assert_eq!(problem_of("is not under"), "raw/stray");
    fs::remove_file(folder.join("raw/stray")).unwrap();
    assert_eq!(verify(&[], &folder).0, 0);

    let day = fs::read_dir(folder.join("curated/device_statistics")).unwrap().next().unwrap().unwrap().path();
    let file = fs::read_dir(day).unwrap().next().unwrap().unwrap().path();
    let parquet = fs::read(&file).unwrap();
    let mut flipped = parquet.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&parquet[..parquet.len() / 2], &flipped] {
        fs::write(&file, damaged).unwrap();
        assert!(problem_of("its bytes don't match the checksum in its name").ends_with(".parquet"));
    }
    // A name without a checksum, as Firehose's are.
    fs::rename(&file, file.with_file_name("1769900000000-0.parquet")).unwrap();
    assert!(problem_of("cannot be read to its end").ends_with("-0.parquet"));
}

#[test]
fn missing_newest_raw_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    for missing in ["records 41 to 61 of ", "records 21 to 61 of ", "records 1 to 61 of "] {
        fs::remove_file(raw_files(&archive).last().unwrap()).unwrap();
        let (exit, report) = verify(&[], &archive);
        let problems = problems(&report);
        let [(file, problem)] = &problems[..] else { panic!("{problems:?}") };
        assert!(exit == 1 && file == "raw" && problem.contains(missing), "{problem}");
    }
}

#[test]
fn a_damaged_dead_letter_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let folder = archive(directory.path());
    let day = fs::read_dir(folder.join("dead-letters")).unwrap().next().unwrap().unwrap().path();
    let file = fs::read_dir(day).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read_to_string(&file).unwrap();
    let letter: Value = serde_json::from_str(&whole).unwrap();
    let problems_of = |text: &str| {
        fs::write(&file, text).unwrap();
        let (code, report) = verify(&[], &folder);
        assert_eq!(code, i32::from(text != whole), "{report}");
        problems(&report).into_iter().map(|(_, problem)| problem).collect::<Vec<_>>()
    };
    assert_eq!(problems_of(&whole), [] as [&str; 0]);
    assert_eq!(problems_of(whole.trim_end()), ["its last line does not end"]);
    assert_eq!(problems_of(&format!("{whole}{{}}\n")), ["line 2 isn't a dead letter"]);
    assert_eq!(problems_of(&format!("{whole}{whole}")), ["its name doesn't match the ids of its letters"]);
    assert_eq!(problems_of(""), ["the file is empty"]);
    let sequence = format!("\"sequence_number\":{}", letter["sequence_number"]);
    let other = whole.replace(&sequence, "\"sequence_number\":\"7310\"");
    assert_eq!(problems_of(&other), ["the id of the dead letter on line 1 doesn't match its origin"]);

    fs::write(folder.join("dead-letters/stray.jsonl"), &whole).unwrap();
    fs::write(&file, &whole).unwrap();
    let (code, report) = verify(&[], &folder);
    let stray = "it is not under dt=YYYY-MM-DD, or is no .jsonl".to_owned();
    assert_eq!((code, problems(&report)), (1, vec![("dead-letters/stray.jsonl".to_owned(), stray)]));
}

#[test]
fn a_line_that_never_ends_is_not_read_into_memory() {
    let directory = tempfile::tempdir().unwrap();
    put_raw(directory.path(), 1, 1);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&vec![b'1'; 17 << 20]).unwrap();
    fs::write(&raw_files(directory.path())[0], encoder.finish().unwrap()).unwrap();
    let (code, report) = verify(&[], directory.path());
    let expected = "it cannot be read to its end: a line is longer than 16 MiB".to_owned();
    assert_eq!((code, problems(&report).into_iter().map(|(_, problem)| problem).collect()), (1, vec![expected]));
}

/// A raw file of ours with as many lines as its first and last sequence number say.
fn put_raw(folder: &Path, first: u64, last: u64) {
    let folder = folder.join("raw/dt=2026-01-31/hour=07");
    fs::create_dir_all(&folder).unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    (first..=last).for_each(|_| encoder.write_all(b"{}\n").unwrap());
    let name = format!("s-1769860800000-shardId-000000000000-{first:020}-{last:020}.gz");
    fs::write(folder.join(name), encoder.finish().unwrap()).unwrap();
}

#[test]
fn a_step_to_a_higher_epoch_is_no_gap() {
    let directory = tempfile::tempdir().unwrap();
    let epoch = 3 << 44;
    for (first, last) in [(1, 2), (3, 5), (epoch + 1, epoch + 2), (epoch + 3, epoch + 3)] {
        put_raw(directory.path(), first, last);
    }
    assert_eq!(verify(&[], directory.path()).0, 0);
    put_raw(directory.path(), 2 * epoch + 4, 2 * epoch + 4);
    let (code, report) = verify(&[], directory.path());
    let expected = format!("records {} to {} of its shard, before it, are in no file", 2 * epoch + 1, 2 * epoch + 3);
    assert_eq!((code, problems(&report).into_iter().map(|(_, problem)| problem).collect()), (1, vec![expected]));
}

#[test]
fn files_of_firehose_are_read_with_their_own_names_and_members() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("raw/dt=2026-01-31/hour=07");
    fs::create_dir_all(&folder).unwrap();
    let mut bytes = Vec::new();
    for line in ["{\"a\":1}\n", "{\"b\":2}\n"] {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(line.as_bytes()).unwrap();
        bytes.extend(encoder.finish().unwrap());
    }
    fs::write(folder.join("streamgauge-1-2026-01-31-07-00-00-0f4c1e1e-0000-4000-8000-000000000000.gz"), bytes).unwrap();
    let (code, report) = verify(&[], directory.path());
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["hours"], json!({"2026-01-31T07": {"files": 1, "lines": 2, "not_json": 0, "bytes": 16}}));
}

#[test]
fn a_folder_that_is_no_archive_exits_2_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path();
    let refusal_of = |arguments: &[&str], folder: &Path| {
        let output = streamgauge().args(["archive", "verify"]).args(arguments).arg(folder).output().unwrap();
        assert_eq!((output.status.code(), output.stdout), (Some(2), vec![]));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refusal_of(&[], &data_dir.join("nothing")).contains("cannot read"));
    let expected =
        format!("{} is not an archive: it has none of the folders raw/, curated/, dead-letters/", data_dir.display());
    assert!(refusal_of(&[], data_dir).contains(&expected));

    fs::create_dir(data_dir.join("archive")).unwrap();
    let refusal = refusal_of(&["--data-dir"], data_dir);
    assert!(refusal.contains("archive is not an archive: it has none of"), "{refusal}");
    let refusal = refusal_of(&[], data_dir);
    assert!(refusal.contains(&format!("pass --data-dir {}", data_dir.display())), "{refusal}");
}

#[test]
fn a_new_archive_is_empty_and_nothing_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join(".tmp")).unwrap();
    fs::write(directory.path().join(".run"), "7310").unwrap();
    let empty = json!({"hours": {}, "days": {}, "dead_letters": {}, "problems": []});
    assert_eq!(verify(&[], directory.path()), (0, empty));
    let output = streamgauge().args(["archive", "verify"]).arg(directory.path()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "the archive is empty\nnothing is wrong\n");
}

/// A link that leads nowhere is, to who opens it, a file that was deleted since it was listed.
#[test]
fn a_curated_file_that_was_merged_since_it_was_listed_is_no_problem() {
    let directory = tempfile::tempdir().unwrap();
    let folder = archive(directory.path());
    let day = fs::read_dir(folder.join("curated/device_statistics")).unwrap().next().unwrap().unwrap().path();
    std::os::unix::fs::symlink("nowhere", day.join("1769900000000-0.parquet")).unwrap();
    let (code, report) = verify(&[], &folder);
    assert_eq!((code, problems(&report), sum(&report, "days", "files")), (0, vec![], 3), "{report}");
}
