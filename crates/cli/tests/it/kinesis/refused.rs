//! What cannot be put: one clear message, and an exit code that says whether anything was.

use super::service::{Fault, STREAM, Service, sender};
use axum::http::StatusCode;
use ferrokinesis::store::StoreOptions;
use std::process::Output;

const FLEET: [&str; 4] = ["--devices", "50", "--readings", "20"];

/// Exit code 2, nothing on standard output, and one line on standard error: what it says.
fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let message = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

#[test]
fn a_stream_that_is_not_there_is_named() {
    let service = Service::start(1);
    let output = service.command(&[]).args(["--kinesis", "another"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "a flag given twice: {output:?}");
    let endpoint = service.endpoint();
    let output = sender(endpoint).args(["--kinesis", "another"]).args(FLEET).output().unwrap();
    let message = refusal(&output);
    assert_eq!(message, "streamgauge: cannot put into the stream `another`: the stream is not there\n");
}

#[test]
fn a_denied_put_says_who_may_not_do_what() {
    let said = "User: arn:aws:iam::123456789012:user/x is not authorized to perform: kinesis:PutRecords";
    for (code, before) in [
        ("AccessDeniedException", "access was denied"),
        ("KMSAccessDeniedException", "access was denied"),
        ("KMSDisabledException", "the stream's key cannot be used"),
        ("UnrecognizedClientException", "the credentials were not taken"),
        ("ExpiredTokenException", "the credentials were not taken"),
    ] {
        let service = Service::start_with(1, StoreOptions::default(), move |_| {
            Fault::Answer(StatusCode::BAD_REQUEST, code, said)
        });
        let message = refusal(&service.send(&FLEET));
        assert_eq!(message, format!("streamgauge: cannot put into the stream `{STREAM}`: {before}: {said}\n"));
    }
}

#[test]
fn a_permission_that_is_lost_on_the_way_leaves_a_summary_of_what_was_stored() {
    let service = Service::start_with(1, StoreOptions::default(), |call| match call {
        0 => Fault::None,
        _ => Fault::Answer(StatusCode::BAD_REQUEST, "ExpiredTokenException", "The security token has expired"),
    });
    let output = service.send(&[&FLEET[..], &["--batch", "1", "--concurrency", "1"]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stored = service.records().len();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(stored > 0 && text.contains(&format!("accepted  {stored}\n")), "{stored}: {text}");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("The security token has expired; nothing more was sent"), "{message}");
}

#[test]
fn without_credentials_or_region_it_says_where_they_are_looked_for() {
    let service = Service::start(1);
    let output = service.command(&FLEET).env_remove("AWS_ACCESS_KEY_ID").output().unwrap();
    let message = refusal(&output);
    assert!(message.starts_with("streamgauge: no AWS credentials: set AWS_ACCESS_KEY_ID"), "{message}");
    let output = service.command(&FLEET).env_remove("AWS_REGION").output().unwrap();
    let message = refusal(&output);
    assert!(message.starts_with("streamgauge: no AWS region: set AWS_REGION"), "{message}");
    assert!(service.records().is_empty());
}

#[test]
fn an_endpoint_where_nobody_listens_is_unreachable() {
    let mut command = sender("http://127.0.0.1:1");
    let output = command.args(["--kinesis", STREAM, "--max-retry-time", "1"]).args(FLEET).output().unwrap();
    let message = refusal(&output);
    assert!(message.starts_with("streamgauge: no answer from the stream `readings`: "), "{message}");
}

#[test]
fn bad_usage_is_refused_before_anything_is_put() {
    let service = Service::start(1);
    for (arguments, named) in [
        (&["--aggregate"][..], "--kinesis"),
        (&["--kinesis", "not a name"], "must be the name of a stream"),
        (&["--kinesis", "arn:aws:kinesis:eu-central-1:123456789012:stream/x"], "must be the name of a stream"),
        (&["--kinesis", STREAM, "--endpoint", "http://127.0.0.1:8080"], "--endpoint"),
    ] {
        let output = sender(service.endpoint()).args(arguments).args(FLEET).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(named), "{message}");
    }
    assert!(service.records().is_empty());
}

#[test]
fn rows_that_the_front_door_would_refuse_are_refused_by_line_and_the_rest_is_put() {
    let service = Service::start(2);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.jsonl");
    let lines = [
        r#"{"device_id":"a","timestamp":"2026-01-01T00:00:00Z","value":1}"#,
        r#"{"device_id":"a","timestamp":"2026-01-01T00:00:01Z","value":"2"}"#,
        r#"{"device_id":"a b","timestamp":"2026-01-01T00:00:02Z","value":3}"#,
        r#"{"device_id":"a","timestamp":"9999-01-01T00:00:03Z","value":4}"#,
        r#"{"device_id":"a","readings":[{"timestamp":"2026-01-01T00:00:04Z","value":5},{"value":6}]}"#,
        "not a reading",
        r#"{"device_id":"a","timestamp":"2026-01-01T00:00:07Z","value":7,"unit":"°C"}"#,
    ];
    std::fs::write(&path, lines.join("\n")).unwrap();
    for arguments in [&[][..], &["--aggregate"]] {
        let output = service.send(&[&["--format", "json", "--jsonl", path.to_str().unwrap()], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&summary["accepted"], &summary["refused"]), (&3.into(), &5.into()), "{summary}");
        let refusals = summary["refusals"].as_array().unwrap();
        let refused: Vec<_> = refusals.iter().map(|refusal| refusal["line"].as_u64().unwrap()).collect();
        assert_eq!(refused, [2, 3, 4, 5, 6], "{summary}");
        assert!(refusals[2]["message"].as_str().unwrap().contains("300 seconds after its arrival"), "{summary}");
    }
    let records = service.records();
    assert_eq!(super::values(&records)["a"], [1.0, 5.0, 7.0, 1.0, 5.0, 7.0]);
    let whole = records.iter().any(|(_, record)| String::from_utf8_lossy(&record.data).contains("°C"));
    assert!(whole, "members that nobody interprets are put too");
}
