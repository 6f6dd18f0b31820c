//! Flags and variables that would have no effect are errors (exit code 2), before anything starts.

use crate::support::streamgauge;

/// What a command says that ends with exit code 2.
fn refusal(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = streamgauge().args(arguments).envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    said
}

#[test]
fn a_flag_without_effect_is_an_error_that_names_both() {
    for (arguments, names) in [
        ("up --rate 5", ["--rate", "--devices"]),
        ("up --devices 0 --rate 5", ["--rate", "--devices"]),
        ("send --csv x.csv --readings 5", ["--readings", "--devices"]),
        ("send --csv x.csv --interval 5", ["--interval", "--devices"]),
        ("send --csv x.csv --seed 5", ["--seed", "--devices"]),
        ("send --csv x.csv --aggregate", ["--aggregate", "--kinesis"]),
        ("send --csv x.csv --kinesis s --api-key k", ["--api-key", "--kinesis"]),
        (
            "mapping --kinesis s --function f --checkpoints c --on-failure b",
            ["--on-failure", "--maximum-retry-attempts"],
        ),
        (
            "mapping --kinesis s --function f --checkpoints c --maximum-retry-attempts 1",
            ["--on-failure", "--maximum-retry-attempts"],
        ),
        ("dlq list --stream s", ["--stream", "--queue-url"]),
        ("dlq redrive --archive-bucket b", ["--archive-bucket", "--queue-url"]),
        ("dlq list --queue-url q --api-key k", ["--api-key", "--queue-url"]),
        ("dlq list --data-dir nowhere --api-key k", ["--api-key", "--data-dir"]),
        ("backup target --data-dir nowhere --api-key k", ["--api-key", "--data-dir"]),
        ("archive verify folder --data-dir nowhere", ["[FOLDER]", "--data-dir"]),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let said = refusal(&arguments, &[]);
        assert!(names.iter().all(|name| said.contains(name)), "{arguments:?}: {said}");
    }
}

/// They may be set for other commands.
#[test]
fn variables_without_effect_are_none() {
    let directory = tempfile::tempdir().unwrap();
    let variables = [("STREAMGAUGE_STREAM", "s"), ("STREAMGAUGE_ARCHIVE_BUCKET", "b"), ("STREAMGAUGE_API_KEY", "k")];
    let data_dir = directory.path().join("nowhere");
    let said = refusal(&["dlq", "list", "--data-dir", data_dir.to_str().unwrap()], &variables);
    assert!(said.contains("is not a data directory"), "{said}");
}

#[test]
fn an_unknown_log_level_is_an_error_before_anything_starts() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    for level in ["inf=o=", "verbose", "information", "streamgauge=debug", "info,warn", "3"] {
        let up = ["up", "--port", "0", "--data-dir", data_dir.to_str().unwrap()];
        let said = refusal(&up, &[("STREAMGAUGE_LOG", level)]);
        let wanted = format!("STREAMGAUGE_LOG is {level:?}: must be error, warn, info or debug");
        assert!(said.contains(&wanted) && !data_dir.exists(), "{said}");
    }
}
