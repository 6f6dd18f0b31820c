//! What clients read.

use crate::support::memory::Fate;
use crate::support::{JSON, KEY, Server, reading};
use ports::StatisticsAttributes;
use serde_json::json;
use telemetry::{DeviceId, Timestamp};

#[test]
fn the_worked_example_is_answered_to_the_letter() {
    let server = Server::start();
    for (second, value) in [(1, 35.0), (2, 40.0), (3, 123.0)] {
        assert_eq!(server.post("/data", reading("d", second, value)).status, 200);
    }
    let answer = server.get("/?device_id=d");
    let text = answer.text();
    let start = r#"{"device_id":"d","count":3,"mean":66,"median":40,"standard_deviation":49.4267"#;
    assert!(text.starts_with(start), "{text}");
    let end = r#""anomaly_count":0,"first_timestamp":"2026-01-01T00:00:01Z","last_timestamp":"2026-01-01T00:00:03Z","updated_at":"1970-01-01T00:00:00Z"}"#;
    assert!(text.ends_with(end), "{text}");
    let middle = &text[start.len()..text.len() - end.len()];
    assert!(middle.contains(r#","minimum":35,"maximum":123,"mean_confidence_95":{"low":16.5"#), "{middle}");
}

#[test]
fn one_reading_has_no_standard_deviation() {
    let server = Server::start();
    server.post("/data", reading("d", 1, 35.5));
    let answer = server.get("/?device_id=d").json();
    assert_eq!((&answer["mean"], &answer["standard_deviation"]), (&json!(35.5), &json!(null)));
    assert_eq!(answer["mean_confidence_95"], json!(null));
}

#[test]
fn a_device_without_data_is_404() {
    let server = Server::start();
    for target in ["/?device_id=nobody", "/recent?device_id=nobody", "/history?device_id=nobody"] {
        let answer = server.get(target);
        assert_eq!(answer.status, 404);
        assert_eq!(answer.message(), "no data of the device nobody");
    }
}

#[test]
fn a_wrong_parameter_is_400_and_named() {
    let server = Server::start();
    for (target, message) in [
        ("/", "`device_id`: is missing"),
        ("/?", "`device_id`: is missing"),
        ("/?device_id=", "`device_id`: must be a string"),
        ("/?device_id=%20d", "`device_id`: must be a string"),
        ("/?device_id=%ff", "percent-encoded"),
        ("/?device_id=d&device_id=d", "`device_id`: is given twice"),
        ("/?device_id=d&limit=1", "\"limit\" is unknown"),
        ("/recent", "`device_id`: is missing"),
        ("/history", "`device_id`: is missing"),
        ("/history?device_id=%2F", "`device_id`: must be a string"),
        ("/history?device_id=d&from=yesterday", "`from`: must be"),
        ("/history?device_id=d&to=2026-02-30T00:00:00Z", "`to`: "),
        ("/history?device_id=d&limit=5001", "`limit`: must be a whole number from 1 to 5000"),
        ("/history?device_id=d&since=2026-01-01T00:00:00Z", "\"since\" is unknown"),
        ("/devices?limit=0", "`limit`: must be a whole number from 1 to 1000"),
        ("/devices?limit=1001", "`limit`: must be"),
        ("/devices?limit=ten", "`limit`: must be"),
        ("/devices?after=%2F", "`after`: must be"),
        ("/dead-letters?limit=-1", "`limit`: must be"),
        ("/dead-letters?reason=unlucky", "`reason`: must be one of malformed_json"),
        ("/dead-letters?after=%00", "`after`: must be"),
        ("/pipeline?verbose=1", "\"verbose\" is unknown"),
    ] {
        let answer = server.get(target);
        assert_eq!(answer.status, 400, "{target}");
        assert!(answer.message().contains(message), "{target}: {}", answer.message());
    }
}

#[test]
fn a_history_is_oldest_first_within_its_time_and_thinned_to_the_limit() {
    let server = Server::start();
    for second in 0..10 {
        server.post("/data", reading("d", second, f64::from(second)));
    }
    let ask = |parameters: &str| server.get(&format!("/history?device_id=d{parameters}")).json();
    let counts = |answer: &serde_json::Value| -> Vec<i64> {
        answer["rows"].as_array().unwrap().iter().map(|row| row["count"].as_i64().unwrap()).collect()
    };
    let all = ask("");
    assert_eq!((counts(&all), &all["rows_found"]), ((1..=10).collect(), &json!(10)));
    let (state, mut last) = (server.get("/?device_id=d").json(), all["rows"][9].clone());
    let row = last.as_object_mut().unwrap();
    assert_eq!(row.remove("revision"), Some(json!(10)));
    row.insert("device_id".to_owned(), all["device_id"].clone());
    // When it was written alone is another here.
    row.insert("updated_at".to_owned(), state["updated_at"].clone());
    assert_eq!(last, state);
    let between = ask("&from=2026-01-01T00:00:03Z&to=2026-01-01T01:00:06%2B01:00");
    assert_eq!((counts(&between), &between["rows_found"]), (vec![4, 5, 6, 7], &json!(4)));
    let thinned = ask("&limit=4");
    assert_eq!((counts(&thinned), &thinned["rows_found"]), (vec![1, 4, 7, 10], &json!(10)));
    let none = ask("&from=2026-01-01T00:00:06Z&to=2026-01-01T00:00:03Z");
    assert_eq!((counts(&none), &none["rows_found"]), (vec![], &json!(0)));
}

#[test]
fn devices_come_page_by_page_each_once_in_order() {
    let server = Server::start();
    let mut expected: Vec<_> = (0..25).map(|i| format!("device-{i}")).collect();
    for device in &expected {
        server.post("/data", reading(device, 0, 1.0));
    }
    expected.sort();
    let (mut listed, mut target) = (Vec::new(), "/devices?limit=10".to_owned());
    let mut pages = 0;
    loop {
        let page = server.get(&target).json();
        pages += 1;
        listed.extend(page["devices"].as_array().unwrap().iter().map(|d| d["device_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        target = format!("/devices?limit=10&after={next}");
    }
    assert_eq!((pages, listed), (3, expected));
    let whole = server.get("/devices?limit=25").json();
    assert_eq!(whole["next"], json!(null), "a full last page has no next");
}

#[test]
fn dead_letters_are_listed_by_reason_and_device_page_by_page() {
    let server = Server::start();
    let put = |body: &str| {
        let headers = [("x-api-key", KEY), ("content-type", "application/octet-stream")];
        server.request("POST", "/stream/records?partition_key=p", &headers, body.as_bytes()).status
    };
    for index in 0..12 {
        assert_eq!(put(&format!("not json {index}")), 200);
    }
    assert_eq!(put(r#"{"device_id":"d","timestamp":"now","value":1}"#), 200);
    let accounts = server.get("/pipeline").json();
    assert_eq!(accounts["dead_letters"], json!({"malformed_json": 12, "invalid_reading": 1}));
    assert_eq!(accounts["accepted"], json!(13));

    let (mut details, mut target) = (0, "/dead-letters?limit=5&reason=malformed_json".to_owned());
    loop {
        let page = server.get(&target).json();
        let letters = page["dead_letters"].as_array().unwrap();
        assert!(letters.len() <= 5 && letters.iter().all(|letter| letter["reason"] == "malformed_json"));
        details += letters.len();
        let Some(next) = page["next"].as_str() else { break };
        target = format!("/dead-letters?limit=5&reason=malformed_json&after={next}");
    }
    assert_eq!(details, 12);
    let all = server.get("/dead-letters?limit=1000").json();
    assert_eq!((all["dead_letters"].as_array().unwrap().len(), &all["next"]), (13, &json!(null)));
    let of_device = server.get("/dead-letters?device_id=d").json();
    assert_eq!(of_device["dead_letters"].as_array().unwrap().len(), 1);
    assert!(of_device["dead_letters"][0]["detail"].as_str().unwrap().contains("`timestamp`"));
}

#[test]
fn a_page_of_large_dead_letters_ends_early_and_goes_on() {
    let server = Server::start();
    let headers = [("x-api-key", KEY), ("content-type", "application/octet-stream")];
    let large = vec![b'x'; 256 * 1024];
    for _ in 0..25 {
        assert_eq!(server.request("POST", "/stream/records?partition_key=p", &headers, &large).status, 200);
    }
    let page = server.get("/dead-letters?limit=25").json();
    let first = page["dead_letters"].as_array().unwrap().len();
    assert!((1..25).contains(&first), "{first}");
    let rest = server.get(&format!("/dead-letters?limit=25&after={}", page["next"].as_str().unwrap())).json();
    assert!(!rest["dead_letters"].as_array().unwrap().is_empty());
}

#[test]
fn a_view_that_is_down_is_503_and_the_door_stays_open() {
    let server = Server::start();
    server.pipeline.set_view_down(true);
    for target in ["/?device_id=d", "/devices", "/pipeline", "/dead-letters"] {
        let answer = server.get(target);
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{target}");
        assert!(!answer.message().contains("disk"), "what lies behind is not told");
    }
    assert_eq!(server.post("/data", reading("d", 0, 1.0)).status, 200);
    server.pipeline.set_view_down(false);
    assert_eq!(server.get("/?device_id=d").status, 200);
}

#[test]
fn health_says_why_posts_fail_until_one_is_stored() {
    let server = Server::start();
    let health = || {
        let answer = server.request("GET", "/health", &[], b"");
        assert_eq!(answer.status, 200);
        assert_eq!(server.get("/fleet").json()["health"], answer.json());
        answer.json()
    };
    let batch = format!(r#"{{"readings":[{},{}]}}"#, reading("d", 1, 1.0), reading("d", 2, 1.0));
    let degraded = json!({"status": "degraded", "reason": "the stream can't be written: the disk is full"});
    assert_eq!(health(), json!({"status": "ok"}));
    server.pipeline.fates([Fate::Unavailable]);
    assert_eq!(server.post("/data", reading("d", 0, 1.0)).status, 503);
    assert_eq!(health(), degraded);
    server.pipeline.fates([Fate::Throttled]);
    assert_eq!(server.post("/data", reading("d", 0, 1.0)).status, 429);
    assert_eq!(health(), degraded);
    server.pipeline.fates([Fate::Unavailable, Fate::Stored]);
    assert_eq!(server.post("/data/batch", &batch).status, 207);
    assert_eq!(health(), json!({"status": "ok"}));
    server.pipeline.fates([Fate::Unavailable, Fate::Unavailable]);
    assert_eq!(server.post("/data/batch", &batch).status, 503);
    assert_eq!(health(), degraded);
    assert_eq!(server.post("/data", reading("d", 0, 1.0)).status, 200);
    assert_eq!(health(), json!({"status": "ok"}));
}

#[test]
fn head_answers_as_get_does_without_the_body() {
    let server = Server::start();
    server.post("/data", reading("d", 0, 1.0));
    for target in ["/?device_id=d", "/?device_id=x", "/devices", "/dashboard"] {
        let get = server.get(target);
        let mut connection = server.connect();
        connection.send(&crate::support::request("HEAD", target, &[("x-api-key", KEY), ("connection", "close")], b""));
        let head = connection.answer();
        assert_eq!(
            (head.status, head.header("content-length")),
            (get.status, get.header("content-length")),
            "{target}"
        );
        assert!(head.body.is_empty(), "{target}");
    }
    assert_eq!(server.request("HEAD", "/data", &[("x-api-key", KEY), ("connection", "close")], b"").status, 405);
}

#[test]
fn an_unknown_path_is_404_and_another_method_405_with_allow() {
    let server = Server::start();
    for target in
        ["/data/", "/Data", "//", "/data/../data", "/dashboard/", "/dashboard/../../etc/passwd", "*", "/%64ata"]
    {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
    for route in &gateway::ROUTES {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
            if method == route.method {
                continue;
            }
            let answer = server.request(method, route.path, &[("x-api-key", KEY), JSON], b"");
            let allow = if route.method == "GET" { "GET, HEAD" } else { "POST" };
            assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {}", route.path);
            assert!(answer.message().contains(allow));
        }
    }
}

fn statistics(count: u64) -> StatisticsAttributes {
    let timestamp = Timestamp::parse(&format!("2026-01-01T00:00:{count:02}Z")).unwrap();
    StatisticsAttributes {
        count,
        mean: Some(2.0),
        median: Some(1.5),
        standard_deviation: (count > 1).then_some(0.5),
        minimum: Some(1.0),
        maximum: Some(3.0),
        mean_confidence_95: None,
        anomaly_count: 0,
        first_timestamp: Some(timestamp),
        last_timestamp: Some(timestamp),
        updated_at: timestamp,
    }
}

#[test]
fn a_device_that_has_posted_nothing_since_the_start_has_nothing_recent() {
    let server = Server::start();
    // Past the door by which readings come in.
    let raw = [("x-api-key", KEY), ("content-type", "application/octet-stream")];
    server.request("POST", "/stream/records?partition_key=d", &raw, reading("d", 0, 1.0).as_bytes());
    let recent = server.get("/recent?device_id=d").json();
    assert_eq!(recent, json!({ "device_id": "d", "readings": [], "statistics": [] }));
}

#[test]
fn recent_shows_counted_readings_and_the_statistics_of_writes() {
    let server = Server::start();
    server.post("/data", reading("d", 3, 3.0));
    let (device, at) = (DeviceId::parse("d").unwrap(), |text| Timestamp::parse(text).unwrap());
    let counted = [(at("2026-01-01T00:00:02Z"), 2.0), (at("2026-01-01T00:00:01Z"), 1.5)];
    server.recent.record_readings(&device, counted.into_iter());
    server.recent.record_statistics(&device, &statistics(1));
    server.recent.record_statistics(&device, &statistics(3));
    let answer = server.get("/recent?device_id=d");
    let readings =
        r#"[{"timestamp":"2026-01-01T00:00:01Z","value":1.5},{"timestamp":"2026-01-01T00:00:02Z","value":2}]"#;
    let statistics = r#"[{"timestamp":"2026-01-01T00:00:01Z","count":1,"mean":2,"standard_deviation":null,"median":1.5,"mean_confidence_95":null,"anomaly_count":0},{"timestamp":"2026-01-01T00:00:03Z","count":3,"mean":2,"standard_deviation":0.5,"median":1.5,"mean_confidence_95":null,"anomaly_count":0}]"#;
    let expected = format!(r#"{{"device_id":"d","readings":{readings},"statistics":{statistics}}}"#);
    assert_eq!(answer.text(), expected);
}
