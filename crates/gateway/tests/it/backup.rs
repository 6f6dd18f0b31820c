//! A backup reports its progress as lines, and stops when its client disconnects.

use crate::support::{Connection, JSON, KEY, Server, request};
use serde_json::{Value, json};
use std::io::Read as _;
use std::time::{Duration, Instant};

/// The first line and the last: steps between them may be left out.
fn ends(server: &Server, target: &str) -> [Value; 2] {
    let answer = server.post("/backup", json!({ "target": target }).to_string());
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/jsonl")));
    let mut lines = answer.text().lines().map(|line| serde_json::from_str(line).unwrap());
    [lines.next().unwrap(), lines.next_back().unwrap()]
}

/// A backup that does not end by itself, once it has begun.
fn slow(server: &Server) -> Connection {
    let mut connection = server.connect();
    connection.send(&request("POST", "/backup", &[("x-api-key", KEY), JSON], br#"{"target":"/slow"}"#));
    connection.socket.read_exact(&mut [0; 12]).unwrap();
    connection
}

#[test]
fn progress_comes_as_lines_and_last_the_end() {
    let server = Server::start();
    let step = json!({"stage": "stream", "position": 0, "total": 2});
    let done = json!({"done": true, "devices": 0, "records": 2, "files_copied": 0, "bytes_copied": 0, "files_kept": 0,
        "files_removed": 0});
    assert_eq!(ends(&server, "/somewhere"), [step.clone(), done]);
    assert_eq!(ends(&server, "/full"), [step, json!({"error": "the disk is full"})]);
}

#[test]
fn a_target_that_cannot_be_taken_is_400() {
    let server = Server::start();
    let refusal = |body: &str| {
        let answer = server.post("/backup", body);
        assert_eq!(answer.status, 400, "{body}");
        answer.message()
    };
    assert_eq!(refusal(r#"{"target":"/taken"}"#), "/taken is not empty");
    assert!(refusal(r#"{"target":"somewhere"}"#).contains("an absolute path"));
    assert!(refusal("{}").contains("`target`"));
}

#[test]
fn a_request_that_a_proxy_passes_on_is_403() {
    let server = Server::start();
    for header in ["forwarded", "x-forwarded-for", "via"] {
        let headers = [("x-api-key", KEY), JSON, (header, "192.0.2.7")];
        let answer = server.request("POST", "/backup", &headers, br#"{"target":"/somewhere"}"#);
        assert_eq!(answer.status, 403, "{header}");
        assert!(answer.message().contains("own machine"), "{header}");
    }
}

#[test]
fn one_backup_at_a_time_until_its_client_goes() {
    let server = Server::start();
    let running = slow(&server);
    let body = r#"{"target":"/somewhere"}"#;
    let answer = server.post("/backup", body);
    assert_eq!((answer.status, answer.message().as_str()), (409, "another backup is being made: wait for it"));
    drop(running);
    let start = Instant::now();
    while server.post("/backup", body).status == 409 {
        assert!(start.elapsed() < Duration::from_secs(10), "the backup goes on without its client");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_shutdown_ends_a_backup_and_says_so() {
    let mut server = Server::start();
    let mut running = slow(&server);
    let start = Instant::now();
    server.join();
    assert!(start.elapsed() < Duration::from_secs(5), "the server waited for the backup");
    let mut answer = String::new();
    running.socket.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(r#"{"error":"the pipeline is shutting down"#), "{answer}");
}
