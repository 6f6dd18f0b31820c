//! What devices post: what is stored, byte for byte, and what is refused, saying why.

use crate::support::memory::Fate;
use crate::support::{Answer, JSON, KEY, NOW, Server, gzip, reading, request};
use serde_json::json;

#[test]
fn a_reading_is_stored_as_posted_on_one_line_under_its_device() {
    let server = Server::start();
    let posted =
        "\r\n{\"device_id\":\"d-1\",\n \"timestamp\":\"2026-01-01T00:00:00Z\", \"value\":1.50,\"unit\":\"°C\"}\n";
    let answer = server.post("/data", posted);
    assert_eq!(answer.status, 200);
    let stored = json!({"status": "accepted", "sequence_number": "0", "shard_id": "shardId-000000000000"});
    assert_eq!(answer.json(), stored);
    let records = server.pipeline.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].partition_key, "d-1");
    assert_eq!(String::from_utf8(records[0].data.clone()).unwrap(), posted.replace(['\r', '\n'], " "));
}

#[test]
fn a_series_is_one_record() {
    let server = Server::start();
    let readings: Vec<_> =
        (0..500).map(|i| json!({"timestamp": format!("2026-01-01T00:00:00.{i:03}Z"), "value": i})).collect();
    let posted = json!({"device_id": "d", "readings": readings}).to_string();
    assert_eq!(server.post("/data/series", &posted).status, 200);
    let records = server.pipeline.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].partition_key, "d");
    assert_eq!(records[0].data, posted.as_bytes());
}

#[test]
fn a_batch_is_one_record_a_reading_each_under_its_own_device() {
    let server = Server::start();
    let body = format!(
        "{{\"readings\":[{},\n{} ]}}",
        reading("a", 1, 1.0),
        "{\"device_id\":\"b\",\n\"timestamp\":\"2026-01-01T00:00:00Z\",\"value\":2}"
    );
    let answer = server.post("/data/batch", body);
    assert_eq!((answer.status, answer.text()), (200, r#"{"accepted":2,"failed":[]}"#));
    let records = server.pipeline.records();
    let stored: Vec<_> =
        records.iter().map(|r| (r.partition_key.as_str(), std::str::from_utf8(&r.data).unwrap())).collect();
    let second = r#"{"device_id":"b", "timestamp":"2026-01-01T00:00:00Z","value":2}"#;
    assert_eq!(stored, [("a", reading("a", 1, 1.0).as_str()), ("b", second)]);
}

#[test]
fn a_batch_that_is_stored_in_part_names_the_readings_that_are_not() {
    let server = Server::start();
    server.pipeline.fates([Fate::Stored, Fate::Throttled, Fate::Stored, Fate::Unavailable]);
    let readings: Vec<_> = (0..4).map(|second| reading("d", second, 1.0)).collect();
    let answer = server.post("/data/batch", format!("{{\"readings\":[{}]}}", readings.join(",")));
    assert_eq!(answer.status, 207);
    let failed =
        json!([{"index": 1, "error": "the stream is throttling"}, {"index": 3, "error": "the stream is unavailable"}]);
    assert_eq!(answer.json(), json!({"accepted": 2, "failed": failed}));
    assert_eq!(server.pipeline.len(), 2);
}

#[test]
fn what_the_stream_does_not_store_is_never_answered_200() {
    let server = Server::start();
    let one = reading("d", 0, 1.0);
    let series = r#"{"device_id":"d","readings":[{"timestamp":"2026-01-01T00:00:00Z","value":1}]}"#;
    let batch = format!("{{\"readings\":[{one}]}}");
    let put: [(&str, (&str, &str), &str); 4] = [
        ("/data", JSON, &one),
        ("/data/series", JSON, series),
        ("/data/batch", JSON, &batch),
        ("/stream/records?partition_key=d", ("content-type", "application/octet-stream"), &one),
    ];
    for (target, content_type, body) in put {
        for (fate, status, retry_after) in
            [(Fate::Throttled, 429, Some("1")), (Fate::Unavailable, 503, Some("1")), (Fate::Refused, 413, None)]
        {
            server.pipeline.fates([fate]);
            let answer = server.request("POST", target, &[("x-api-key", KEY), content_type], body.as_bytes());
            assert_eq!((answer.status, answer.header("retry-after")), (status, retry_after), "{target} {fate:?}");
            assert!(answer.message().contains("stream"), "{target} {fate:?}");
        }
    }
    assert_eq!(server.pipeline.len(), 0);
    assert_eq!(server.get("/recent?device_id=d").status, 404, "what is not stored is not shown");
}

#[test]
fn a_refused_body_is_told_which_member_breaks_which_rule() {
    let server = Server::start();
    let data = [
        ("", "the body is not one JSON document"),
        ("{", "the body is not one JSON document"),
        ("\u{feff}{}", "the body is not one JSON document"),
        ("[]", "the body: must be a JSON object"),
        ("{}", "`device_id`: is missing"),
        (r#"{"device_id":7}"#, "`device_id`: must be a string of 1 to 128"),
        (r#"{"device_id":" d"}"#, "`device_id`: must be a string of 1 to 128"),
        (r#"{"device_id":"d"}"#, "`timestamp`: is missing"),
        (r#"{"device_id":"d","timestamp":"2026-01-01 00:00:00Z"}"#, "`timestamp`: must be an RFC 3339"),
        (r#"{"device_id":"d","timestamp":"2026-02-29T00:00:00Z"}"#, "`timestamp`: must be a date and time that exists"),
        (r#"{"device_id":"d","timestamp":"2026-01-01T00:00:60Z"}"#, "`timestamp`: must have seconds from 00 to 59"),
        (r#"{"device_id":"d","timestamp":"2026-01-01T00:00:00"}"#, "`timestamp`: must"),
        (r#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z"}"#, "`value`: is missing"),
        (r#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":"1"}"#, "`value`: must be a JSON number"),
        (r#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":null}"#, "`value`: must be a JSON number"),
        (r#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":1.1e100}"#, "`value`: must be finite"),
        (r#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":1e999}"#, "`value`: must be finite"),
        (r#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":1,"value":2}"#, "\"value\" is named twice"),
        (r#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":1,"event_id":""}"#, "`event_id`: must be"),
    ];
    for (body, rule) in data {
        let answer = server.post("/data", body);
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.message().contains(rule), "{body}: {}", answer.message());
    }
    let series = r#"{"device_id":"d","readings":[{"timestamp":"2026-01-01T00:00:00Z","value":1},{"value":1}]}"#;
    assert!(server.post("/data/series", series).message().contains("`readings[1].timestamp`: is missing"));
    let batch = format!(r#"{{"readings":[{},{{"device_id":"?"}}]}}"#, reading("d", 0, 1.0));
    assert!(server.post("/data/batch", batch).message().contains("`readings[1].device_id`: must be a string"));
    for target in ["/data/series", "/data/batch"] {
        let none = server.post(target, r#"{"device_id":"d","readings":[]}"#);
        assert!(none.message().contains("`readings`: must hold 1 to 500"), "{target}");
    }
    let not_text = server.post("/data", b"{\"device_id\":\"\xff\"}");
    assert!(not_text.message().contains("not UTF-8"), "{}", not_text.message());
    assert_eq!(server.pipeline.len(), 0);
}

#[test]
fn a_timestamp_may_be_five_minutes_ahead_and_not_a_nanosecond_more() {
    let server = Server::start();
    let data = |timestamp: &str| format!(r#"{{"device_id":"d","timestamp":"{timestamp}","value":1}}"#);
    let series =
        |timestamp: &str| format!(r#"{{"device_id":"d","readings":[{{"timestamp":"{timestamp}","value":1}}]}}"#);
    let (last, ahead) = ("2026-06-01T14:05:00+02:00", "2026-06-01T12:05:00.000000001Z");
    for (target, taken, refused, member) in [
        ("/data", data(last), data(ahead), "`timestamp`"),
        ("/data/series", series(last), series(ahead), "`readings[0].timestamp`"),
        (
            "/data/batch",
            format!(r#"{{"readings":[{}]}}"#, data(last)),
            format!(r#"{{"readings":[{}]}}"#, data(ahead)),
            "`readings[0].timestamp`",
        ),
    ] {
        assert_eq!(server.post(target, taken).status, 200, "{target}");
        let answer = server.post(target, refused);
        assert_eq!(answer.status, 400, "{target}");
        let both = format!("but {ahead} arrived at {NOW}");
        assert_eq!(answer.message(), format!("{member}: must be at most 300 seconds after its arrival, {both}"));
    }
    assert_eq!(server.pipeline.len(), 3);
}

/// It was refused as lying outside the years 0000 to 9999, and the sender looked for a fault in the date.
#[test]
fn a_timestamp_of_the_last_day_of_9999_is_told_about_its_arrival() {
    let server = Server::start();
    for (timestamp, in_utc) in [
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("9999-12-31T23:59:59.999999999z", "9999-12-31T23:59:59.999999999Z"),
        ("9999-12-31T23:59:59+23:59", "9999-12-31T00:00:59Z"),
        ("9999-12-31T00:00:00-23:59", "9999-12-31T23:59:00Z"),
    ] {
        let answer = server.post("/data", format!(r#"{{"device_id":"d","timestamp":"{timestamp}","value":1}}"#));
        let both = format!("but {in_utc} arrived at {NOW}");
        let message = format!("`timestamp`: must be at most 300 seconds after its arrival, {both}");
        assert_eq!((answer.status, answer.message()), (400, message), "{timestamp}");
    }
    for outside in ["9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+00:01"] {
        let answer = server.post("/data", format!(r#"{{"device_id":"d","timestamp":"{outside}","value":1}}"#));
        assert_eq!(answer.message(), "`timestamp`: must lie in the years 0000 to 9999 (UTC)", "{outside}");
    }
    assert_eq!(server.post("/data", r#"{"device_id":"d","timestamp":"0000-01-01T00:00:00Z","value":1}"#).status, 200);
    assert_eq!(server.pipeline.len(), 1);
}

#[test]
fn the_tolerance_ahead_is_configurable() {
    let server = Server::start_with(|config| config.future_tolerance = std::time::Duration::ZERO);
    let at = |timestamp: &str| format!(r#"{{"device_id":"d","timestamp":"{timestamp}","value":1}}"#);
    assert_eq!(server.post("/data", at("2026-06-01T12:00:00Z")).status, 200);
    assert_eq!(server.post("/data", at("2026-06-01T12:00:01Z")).status, 400);
}

#[test]
fn raw_bytes_go_into_the_stream_unchanged_under_the_key_that_was_named() {
    let server = Server::start();
    let octets = ("content-type", "application/octet-stream");
    let raw = b"\xf3\x89\x9a\xc2\r\nnot json";
    let put = |target| server.request("POST", target, &[("x-api-key", KEY), octets], raw);
    assert_eq!(put("/stream/records?partition_key=a%20%C3%A9%26").status, 200);
    let records = server.pipeline.records();
    assert_eq!((records[0].partition_key.as_str(), records[0].data.as_slice()), ("a é&", raw.as_slice()));
    let too_long = format!("/stream/records?partition_key={}", "x".repeat(257));
    for target in ["/stream/records", "/stream/records?partition_key=", &too_long] {
        let answer = put(target);
        assert_eq!(answer.status, 400);
        assert!(answer.message().contains("`partition_key`: must be 1 to 256 characters"));
    }
    assert_eq!(server.pipeline.len(), 1);
}

#[test]
fn only_json_is_taken() {
    let server = Server::start();
    let body = reading("d", 0, 1.0);
    let post = |headers: &[(&str, &str)]| {
        let headers = [&[("x-api-key", KEY)], headers].concat();
        server.request("POST", "/data", &headers, body.as_bytes()).status
    };
    assert_eq!(post(&[]), 415);
    assert_eq!(post(&[("content-type", "text/plain")]), 415);
    assert_eq!(post(&[("content-type", "application/x-www-form-urlencoded")]), 415);
    assert_eq!(post(&[("content-type", "application/json; charset=utf-16")]), 415);
    assert_eq!(server.pipeline.len(), 0);
    assert_eq!(post(&[("content-type", "application/json; charset=UTF-8")]), 200);
}

const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");

fn post_gzip(server: &Server, target: &str, content_type: (&str, &str), body: &[u8]) -> Answer {
    server.request("POST", target, &[("x-api-key", KEY), content_type, ("content-encoding", "gzip")], body)
}

#[test]
fn a_gzip_body_is_stored_as_its_plain_one() {
    let server = Server::start();
    let one = reading("d", 1, 1.0);
    let series = r#"{"device_id":"d","readings":[{"timestamp":"2026-01-01T00:00:00Z","value":1}]}"#;
    let batch = format!("{{\"readings\":[{one}]}}");
    let raw = [0xf3, 0x89, 0x9a, 0xc2, 0, 10];
    for (target, content_type, plain, stored) in [
        ("/data", JSON, one.as_bytes(), one.as_bytes()),
        ("/data/series", JSON, series.as_bytes(), series.as_bytes()),
        ("/data/batch", JSON, batch.as_bytes(), one.as_bytes()),
        ("/stream/records?partition_key=d", OCTETS, &raw, &raw),
    ] {
        let (start, end) = plain.split_at(plain.len() / 2);
        for body in [gzip(plain), [gzip(start), gzip(end)].concat()] {
            let before = server.pipeline.len();
            assert_eq!(post_gzip(&server, target, content_type, &body).status, 200, "{target}");
            let records = server.pipeline.records();
            assert_eq!((records.len(), records[before].data.as_slice()), (before + 1, stored), "{target}");
        }
    }
    // Without a key no memory is taken for a decoder.
    let form = ("content-type", "application/x-www-form-urlencoded");
    let login = post_gzip(&server, "/dashboard/login", form, &gzip(format!("api_key={KEY}").as_bytes()));
    assert_eq!(login.status, 415);
}

#[test]
fn a_gzip_body_is_bounded_as_it_comes_and_decompressed() {
    let server = Server::start();
    let mut body = reading("d", 0, 1.0).into_bytes();
    body.resize(256 * 1024, b' ');
    assert_eq!(post_gzip(&server, "/data", JSON, &gzip(&body)).status, 200);
    body.push(b' ');
    let answer = post_gzip(&server, "/data", JSON, &gzip(&body));
    assert_eq!((answer.status, answer.message().as_str()), (413, "the body is over 262144 bytes when decompressed"));
    body.resize(16 * 1024 * 1024, b' ');
    let bomb = gzip(&body);
    assert!(bomb.len() < 64 * 1024);
    assert_eq!(post_gzip(&server, "/data", JSON, &bomb).status, 413);
    // Empty members unpack to nothing, and a new decoder for each of thousands would take a second.
    let answer = post_gzip(&server, "/data", JSON, &gzip(b"").repeat(13_000));
    assert_eq!((answer.status, answer.message().as_str()), (400, "the body: has over 64 members of gzip"));
    let answer = post_gzip(&server, "/data", JSON, &gzip(b"").repeat(14_000));
    assert_eq!((answer.status, answer.message().as_str()), (413, "the body is over 262144 bytes"));
    assert_eq!(server.pipeline.len(), 1);
}

#[test]
fn a_body_that_is_no_whole_gzip_is_400() {
    let server = Server::start();
    let plain = reading("d", 0, 1.0);
    let whole = gzip(plain.as_bytes());
    let mut damaged = whole.clone();
    damaged[whole.len() - 5] ^= 1;
    let cut = &whole[..whole.len() - 1];
    for body in [b"", plain.as_bytes(), cut, &damaged, &[whole.as_slice(), b"\0"].concat()] {
        let answer = post_gzip(&server, "/data", JSON, body);
        assert_eq!((answer.status, answer.message().as_str()), (400, "the body: is no gzip, or is cut off or damaged"));
    }
    assert_eq!(server.pipeline.len(), 0);
}

#[test]
fn another_coding_than_gzip_is_415_and_says_what_is_taken() {
    let server = Server::start();
    let body = reading("d", 0, 1.0);
    for coding in ["deflate", "br", "zstd", "gzip, gzip", "identity, gzip"] {
        let headers = [("x-api-key", KEY), JSON, ("content-encoding", coding)];
        let answer = server.request("POST", "/data", &headers, body.as_bytes());
        let message = "`Content-Encoding`: must be gzip, once, or identity";
        assert_eq!((answer.status, answer.message().as_str()), (415, message), "{coding}");
        assert_eq!(answer.header("accept-encoding"), Some("gzip"), "{coding}");
    }
    let headers = [("x-api-key", KEY), ("content-type", "text/csv"), ("content-encoding", "gzip")];
    let of_the_type = server.request("POST", "/data", &headers, &gzip(body.as_bytes()));
    assert_eq!((of_the_type.status, of_the_type.header("accept-encoding")), (415, None));
    let identity = [("x-api-key", KEY), JSON, ("content-encoding", "identity")];
    assert_eq!(server.request("POST", "/data", &identity, body.as_bytes()).status, 200);
    assert_eq!(server.pipeline.len(), 1);
}

/// What a gzip body may unpack to is held back until it is there, and not while it is stored.
#[test]
fn gzip_bodies_share_the_memory_by_what_they_unpack_to() {
    let server = Server::start_with(|config| {
        config.limits.bodies_in_flight_bytes = 256 * 1024;
        config.limits.body_time = std::time::Duration::from_secs(2);
    });
    let body = reading("d", 0, 1.0);
    let mut hog = server.connect();
    let headers = [("x-api-key", KEY), JSON, ("content-encoding", "gzip"), ("transfer-encoding", "chunked")];
    hog.send(&request("POST", "/data", &headers, b"1\r\n"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(server.post("/data", &body).status, 200, "it waits until the hog's time is up");
    assert_eq!(hog.answer().status, 408);
    assert_eq!(post_gzip(&server, "/data", JSON, &gzip(body.as_bytes())).status, 200);
}
