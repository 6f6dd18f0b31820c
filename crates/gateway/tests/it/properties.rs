//! Whatever is sent: no panic, no 5xx, and nothing stored unless it was answered 200.

use crate::support::{JSON, KEY, Server, gzip, reading, request};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const POSTS: [&str; 3] = ["/data", "/data/series", "/data/batch"];

/// Text near enough to readings that some is accepted.
fn almost_json() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("1.5".to_owned()),
        Just("\"d-1\"".to_owned()),
        Just("\"2026-01-01T00:00:00Z\"".to_owned()),
        Just("\"9999-12-31T23:59:59Z\"".to_owned()),
        Just("null".to_owned()),
        Just("1e400".to_owned()),
        Just("-0".to_owned()),
        Just("\"\\ud800\"".to_owned()),
        any::<f64>().prop_map(|value| value.to_string()),
        "\\PC{0,8}",
    ];
    let name = prop_oneof!["device_id", "timestamp", "value", "event_id", "readings", "[a-z]{0,3}"];
    let members = |value: BoxedStrategy<String>| {
        prop::collection::vec((name.clone(), value), 0..6).prop_map(|members| {
            let members: Vec<_> = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        })
    };
    let object = members(value.boxed());
    let reading =
        (any::<i32>(), 0u32..60).prop_map(|(value, second)| crate::support::reading("d", second, f64::from(value)));
    let element = prop_oneof![object.clone(), reading.clone()];
    let array = prop::collection::vec(element, 0..4).prop_map(|items| format!("[{}]", items.join(",")));
    let list = (any::<bool>(), array).prop_map(|(named, array)| {
        let device = if named { "\"device_id\":\"d\"," } else { "" };
        format!("{{{device}\"readings\":{array}}}")
    });
    prop_oneof![object, reading, list]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => almost_json().prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        // A byte changed, dropped or added.
        1 => (almost_json(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(text, at, byte)| {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        }),
    ]
}

fn run<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&strategy, test).unwrap();
}

#[test]
fn a_body_is_stored_exactly_when_the_answer_is_200() {
    let server = Server::start();
    let (stored, refused) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    run(3000, (body(), 0usize..3), |(body, target)| {
        let before = server.pipeline.len();
        let answer = server.post(POSTS[target], &body);
        let after = server.pipeline.len();
        match answer.status {
            200 if POSTS[target] == "/data/batch" => {
                prop_assert_eq!(answer.json()["accepted"].as_u64().unwrap() as usize, after - before);
                stored.set(stored.get() + 1);
            }
            200 => {
                prop_assert_eq!(after, before + 1);
                stored.set(stored.get() + 1);
            }
            400 => {
                prop_assert_eq!(after, before);
                let message = answer.message();
                prop_assert!(message.contains('`') || message.contains("the body"), "{message}");
                refused.set(refused.get() + 1);
            }
            other => prop_assert!(false, "{other}: {answer:?}"),
        }
        Ok(())
    });
    assert!(stored.get() > 100 && refused.get() > 100, "{} stored, {} refused", stored.get(), refused.get());
    for record in server.pipeline.records() {
        for decoded in telemetry::decode_record(&record.data) {
            let reading = decoded.outcome.expect("what is stored can be read back");
            assert_eq!(reading.device_id.as_str(), record.partition_key);
        }
        assert!(!record.data.contains(&b'\n'));
    }
}

fn gzip_head() -> [(&'static str, &'static str); 3] {
    [("x-api-key", KEY), JSON, ("content-encoding", "gzip")]
}

#[test]
fn a_gzip_body_is_answered_and_stored_as_the_plain_one() {
    let server = Server::start();
    run(500, (body(), 0usize..3, any::<prop::sample::Index>()), |(body, target, cut)| {
        let before = server.pipeline.len();
        let plain = server.post(POSTS[target], &body);
        let between = server.pipeline.len();
        let (start, end) = body.split_at(cut.index(body.len() + 1));
        let packed = [gzip(start), gzip(end)].concat();
        let unpacked = server.request("POST", POSTS[target], &gzip_head(), &packed);
        let (records, answers) = (server.pipeline.records(), [&plain, &unpacked]);
        prop_assert_eq!(&records[before..between], &records[between..]);
        prop_assert_eq!(plain.status, unpacked.status);
        // A receipt's sequence number is its own.
        if plain.status != 200 {
            prop_assert_eq!(plain.message(), unpacked.message());
        }
        prop_assert!(answers.iter().all(|answer| answer.status < 500));
        Ok(())
    });
    assert!(server.pipeline.len() > 20, "{}", server.pipeline.len());
}

#[test]
fn no_prefix_of_a_gzip_body_is_taken() {
    let server = Server::start();
    let whole = gzip(reading("d", 0, 1.5).as_bytes());
    for length in 0..whole.len() {
        let answer = server.request("POST", "/data", &gzip_head(), &whole[..length]);
        assert_eq!(answer.status, 400, "{length} of {}", whole.len());
    }
    assert_eq!(server.pipeline.len(), 0);
    assert_eq!(server.request("POST", "/data", &gzip_head(), &whole).status, 200);
}

#[test]
fn no_target_and_no_headers_answer_5xx() {
    let server = Server::start();
    let target = prop_oneof![
        "/[!-~]{0,40}",
        "/(devices|dead-letters|recent|history|pipeline|)\\?[!-~]{0,40}",
        "/(devices|dead-letters|recent|history)\\?(limit|after|reason|device_id|from|to)=[!-~]{0,20}",
        "/stream/records\\?partition_key=[!-~]{0,20}",
    ];
    let method = prop_oneof!["GET", "POST", "HEAD", "[A-Z]{1,10}"];
    let header = prop_oneof![
        "host",
        "origin",
        "cookie",
        "content-type",
        "content-encoding",
        "accept",
        "sec-fetch-site",
        "x-[a-z]{1,5}"
    ];
    let headers = prop::collection::vec((header, "[ -~]{0,30}"), 0..4);
    run(2000, (method, target, headers, body()), |(method, target, headers, body)| {
        let mut all = vec![("x-api-key", KEY)];
        if !headers.iter().any(|(name, _)| name == "content-type") {
            all.push(JSON);
        }
        all.extend(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let mut connection = server.connect();
        connection.send(&request(&method, &target, &all, &body));
        // The answer to HEAD announces a body that does not follow.
        if method != "HEAD"
            && let Some(answer) = connection.try_answer()
        {
            prop_assert!(answer.status < 500, "{method} {target} {answer:?}");
        }
        Ok(())
    });
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn no_bytes_on_the_wire_stop_the_server() {
    let server = Server::start_with(|config| config.limits.header_time = std::time::Duration::from_millis(200));
    run(200, prop::collection::vec(any::<u8>(), 1..300), |bytes| {
        let mut connection = server.connect();
        connection.send(&bytes);
        connection.socket.shutdown(std::net::Shutdown::Write).unwrap();
        if let Some(answer) = connection.try_answer() {
            prop_assert!((400..500).contains(&answer.status), "{answer:?}");
        }
        Ok(())
    });
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.pipeline.len(), 0);
}
