//! Whatever the endpoint does: nothing is lost, no device's rows change places, only what failed is sent again, and
//! the summary accounts for every reading.

use crate::server::{Act, Server};
use producer::{CsvFiles, Endpoint, Halt, Progress, Refusal, Row, SendSettings, Summary, send};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use telemetry::{DeviceId, Reading, Timestamp};

fn rows(devices: usize, each: usize) -> Vec<Result<Row, Refusal>> {
    let row = |device: usize, reading: usize| {
        let timestamp = Timestamp::from_millisecond(1_000 * reading as i64).unwrap();
        let device_id = DeviceId::parse(format!("device-{device}")).unwrap();
        let reading_line = reading as u64 + 2;
        Ok(Row {
            reading: Reading { device_id, timestamp, value: reading as f64, event_id: None },
            json: None,
            origin: producer::Origin { file: format!("device-{device}.csv").into(), line: reading_line },
        })
    };
    (0..each).flat_map(|reading| (0..devices).map(move |device| row(device, reading))).collect()
}

fn settings(batch: usize) -> SendSettings {
    SendSettings { batch, timeout: Duration::from_secs(5), ..SendSettings::default() }
}

fn run(server: &Server, settings: &SendSettings, rows: Vec<Result<Row, Refusal>>) -> Summary {
    let endpoint = Endpoint::new(&server.url, "a-secret-of-a-test").unwrap();
    send(&endpoint, settings, rows.into_iter(), &Progress::default())
}

fn rising(count: usize) -> Vec<f64> {
    (0..count).map(|value| value as f64).collect()
}

fn account(summary: &Summary) -> (u64, u64, u64) {
    (summary.sent, summary.accepted, summary.refused)
}

/// The values with those repeated at once, by a retry after a lost answer, left out.
fn first_of_each(values: &[f64]) -> Vec<f64> {
    let mut seen = std::collections::HashSet::new();
    values.iter().copied().filter(|value| seen.insert(value.to_bits())).collect()
}

#[test]
fn every_reading_is_posted_once_in_order_to_the_path_of_its_form() {
    for (batch, path, posts) in [(1, "/data", 3 * 1234), (500, "/data/series", 3 * 3), (7, "/data/series", 3 * 177)] {
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let count = seen.clone();
        let server = Server::start(move |post| {
            assert_eq!(post.key, "a-secret-of-a-test");
            *count.lock().unwrap().entry(post.path.clone()).or_insert(0) += 1;
            Act::Store
        });
        let summary = run(&server, &settings(batch), rows(3, 1234));
        assert_eq!((account(&summary), summary.retried, summary.halted), ((3702, 3702, 0), 0, None));
        assert_eq!(summary.posts, posts, "batch {batch}");
        assert_eq!(*seen.lock().unwrap(), HashMap::from([(path.to_owned(), posts)]));
        for device in 0..3 {
            assert_eq!(server.values(&format!("device-{device}")), rising(1234));
        }
    }
}

#[test]
fn more_threads_than_devices_put_no_two_posts_of_a_device_in_flight() {
    // Each connection is served by a thread of its own: two posts of a device at once would change places.
    let server = Server::start(|_| Act::Store);
    let summary = run(&server, &SendSettings { concurrency: 16, ..settings(3) }, rows(2, 6000));
    assert_eq!(account(&summary), (12_000, 12_000, 0));
    assert_eq!((server.values("device-0"), server.values("device-1")), (rising(6000), rising(6000)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_lost_or_reordered_whatever_fails_in_passing(
        faults in prop::collection::vec(0u8..12, 1..40),
        batch in prop::sample::select(vec![1usize, 3, 50, 500]),
        (devices, each) in (1usize..6, 1usize..60),
    ) {
        let mut at = 0;
        let failed = Arc::new(Mutex::new(0));
        let count = failed.clone();
        let server = Server::start(move |_| {
            at += 1;
            let act = match faults.get(at - 1) {
                Some(0) => Act::Drop,
                Some(1) => Act::StoreAndDrop,
                Some(2) => Act::Answer(429, "retry-after: 0", "slow down".into()),
                Some(3) => Act::Answer(503, "", "not now".into()),
                Some(4) => Act::Answer(504, "", "late".into()),
                _ => return Act::Store,
            };
            *count.lock().unwrap() += 1;
            act
        });
        let summary = run(&server, &settings(batch), rows(devices, each));
        let total = (devices * each) as u64;
        prop_assert_eq!((account(&summary), summary.halted), ((total, total, 0), None));
        prop_assert_eq!(summary.retried, *failed.lock().unwrap());
        for device in 0..devices {
            let values = server.values(&format!("device-{device}"));
            prop_assert_eq!(first_of_each(&values), rising(each));
        }
    }
}

#[test]
fn retry_after_is_waited_out() {
    for header in ["retry-after: 1", "Retry-After: 1"] {
        let mut first = None;
        let waited = Arc::new(Mutex::new(Duration::ZERO));
        let seen = waited.clone();
        let server = Server::start(move |_| match first {
            None => {
                first = Some(Instant::now());
                Act::Answer(429, header, "slow down".into())
            }
            Some(first) => {
                *seen.lock().unwrap() = first.elapsed();
                Act::Store
            }
        });
        let summary = run(&server, &settings(500), rows(1, 10));
        assert_eq!((account(&summary), summary.retried), ((10, 10, 0), 1));
        assert!(*waited.lock().unwrap() >= Duration::from_secs(1));
    }
}

#[test]
fn only_what_a_207_names_is_sent_again() {
    let mut answers = vec![Act::Store, Act::Partly(vec![0]), Act::Partly(vec![1, 4, 9])];
    let server = Server::start(move |_| answers.pop().unwrap());
    let summary = run(&server, &settings(500), rows(1, 10));
    assert_eq!((account(&summary), summary.retried, summary.posts), ((10, 10, 0), 2, 3));
    assert_eq!(server.values("device-0"), [0.0, 2.0, 3.0, 5.0, 6.0, 7.0, 8.0, 4.0, 9.0, 1.0]);
}

#[test]
fn of_a_refused_series_only_the_bad_readings_are_refused_with_their_lines() {
    let server = Server::start(|post| {
        let readings = post.readings().unwrap();
        match readings.iter().position(|reading| reading.value % 100.0 == 7.0) {
            Some(index) => Act::Answer(400, "", format!("`readings[{index}].timestamp`: lies in the future")),
            None => Act::Store,
        }
    });
    let summary = run(&server, &settings(250), rows(2, 500));
    assert_eq!(account(&summary), (1000, 990, 10));
    let expected: Vec<_> = rising(500).into_iter().filter(|value| value % 100.0 != 7.0).collect();
    assert_eq!((server.values("device-0"), server.values("device-1")), (expected.clone(), expected));
    let lines: Vec<_> = summary.refusals.iter().map(|refusal| (&*refusal.file, refusal.line)).collect();
    let lines_of = |file| [9, 109, 209, 309, 409].map(|line| (file, line));
    assert_eq!(lines, [lines_of("device-0.csv"), lines_of("device-1.csv")].concat());
    assert!(summary.refusals[0].to_string().starts_with("device-0.csv:9: HTTP 400: `readings[7].timestamp`: lies"));
}

#[test]
fn a_refusal_that_names_no_reading_is_narrowed_down_by_halves() {
    let server = Server::start(|post| match post.readings().unwrap().iter().any(|reading| reading.value == 123.0) {
        true => Act::Answer(400, "", "Invalid request body".into()),
        false => Act::Store,
    });
    let summary = run(&server, &settings(500), rows(1, 500));
    assert_eq!((account(&summary), summary.refusals[0].line), ((500, 499, 1), 125));
    assert_eq!(server.values("device-0"), rising(500).into_iter().filter(|value| *value != 123.0).collect::<Vec<_>>());
}

#[test]
fn a_series_too_large_for_the_endpoint_is_halved_until_it_fits() {
    let server = Server::start(|post| match post.readings().unwrap().len() > 100 {
        true => Act::Answer(413, "", "too large".into()),
        false => Act::Store,
    });
    let summary = run(&server, &settings(500), rows(1, 1000));
    assert_eq!(account(&summary), (1000, 1000, 0));
    assert_eq!(server.values("device-0"), rising(1000));
}

#[test]
fn what_the_endpoint_does_not_take_is_counted_whole_and_named_by_its_first_line() {
    for status in [404, 405, 415] {
        let server = Server::start(move |_| Act::Answer(status, "", "no".into()));
        let summary = run(&server, &settings(500), rows(1, 700));
        assert_eq!((account(&summary), summary.retried), ((700, 0, 700), 0));
        let refusals: Vec<_> = summary.refusals.iter().map(ToString::to_string).collect();
        let line = |line, count| format!("device-0.csv:{line}: HTTP {status}: no ({count} readings)");
        assert_eq!(refusals, [line(2, 500), line(502, 200)]);
    }
}

#[test]
fn a_wrong_key_ends_the_run_at_once_with_one_message() {
    let posts = Arc::new(Mutex::new(0));
    let count = posts.clone();
    let server = Server::start(move |_| {
        *count.lock().unwrap() += 1;
        Act::Answer(403, "", "Forbidden".into())
    });
    let summary = run(&server, &settings(1), rows(4, 5000));
    assert!(*posts.lock().unwrap() <= 8, "at most one post of each thread");
    assert_eq!((summary.accepted, summary.refused), (0, *posts.lock().unwrap()));
    let message = summary.halted.unwrap().to_string();
    assert!(message.contains("does not take this API key (HTTP 403: Forbidden)"), "{message}");
    assert!(summary.refusals.is_empty());
}

#[test]
fn a_200_that_acknowledges_nothing_is_no_acknowledgement() {
    let server = Server::start(|_| Act::Answer(200, "", "welcome to this web site".into()));
    let summary = run(&server, &settings(500), rows(1, 10));
    assert_eq!((summary.accepted, summary.halted), (0, Some(Halt::NotStreamgauge(server.url.clone()))));
}

#[test]
fn an_endpoint_that_never_answers_is_unreachable_and_one_that_stops_answering_is_given_up() {
    let endpoint = Endpoint::new("http://127.0.0.1:1", "a-secret-of-a-test").unwrap();
    let impatient = SendSettings { max_retry_time: Duration::from_millis(300), ..settings(5) };
    let summary = send(&endpoint, &impatient, rows(2, 100).into_iter(), &Progress::default());
    assert!(matches!(summary.halted, Some(Halt::Unreachable(_))), "{:?}", summary.halted);
    let mut answers = 3;
    let server = Server::start(move |_| {
        answers -= 1;
        if answers >= 0 { Act::Store } else { Act::Drop }
    });
    let summary = run(&server, &impatient, rows(1, 100));
    assert_eq!((summary.accepted, summary.refused), (15, 0));
    let message = summary.halted.unwrap().to_string();
    assert!(message.starts_with("device-0.csv:17: gave up after 0 s"), "{message}");
}

#[test]
fn bad_rows_are_counted_and_the_good_ones_go_on() {
    let mut rows = rows(1, 20);
    rows.insert(5, Err(Refusal { file: "device-0.csv".into(), line: 7, readings: 1, message: "bad".into() }));
    let server = Server::start(|_| Act::Store);
    let summary = run(&server, &settings(500), rows);
    assert_eq!(account(&summary), (20, 20, 1));
    assert_eq!(server.values("device-0"), rising(20));
}

#[test]
fn more_rows_than_may_wait_in_memory_arrive_all_the_same() {
    let server = Server::start(|_| Act::Store);
    let padding = "x".repeat(40_000);
    let large = rows(50, 30).into_iter().map(|row| {
        row.map(|mut row| {
            let (device, timestamp, value) = (&row.reading.device_id, row.reading.timestamp, row.reading.value);
            let json = serde_json::json!({ "device_id": device, "timestamp": timestamp, "value": value, "x": padding });
            row.json = Some(json.to_string().into());
            row
        })
    });
    let summary = run(&server, &settings(500), large.collect());
    assert_eq!(account(&summary), (1500, 1500, 0));
    // At most 256 KiB a body: six of these readings.
    assert!(summary.posts >= 50 * 5, "{} posts", summary.posts);
    for device in 0..50 {
        assert_eq!(server.values(&format!("device-{device}")), rising(30));
    }
}

#[test]
fn a_source_that_trickles_is_posted_as_it_comes() {
    let server = Server::start(|_| Act::Store);
    let stored = server.stored.clone();
    let mut rows = rows(1, 2).into_iter();
    // The second row comes only once the first was stored.
    let source = std::iter::from_fn(move || {
        while rows.len() == 1 && stored.lock().unwrap().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        rows.next()
    });
    let endpoint = Endpoint::new(&server.url, "a-secret-of-a-test").unwrap();
    assert_eq!(account(&send(&endpoint, &settings(500), source, &Progress::default())), (2, 2, 0));
}

#[test]
fn repeated_timestamps_of_a_file_are_all_sent_in_the_order_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let files = ["speed", "occupancy"].map(|device| {
        let row = |i: i64| format!("2015-09-01 {:02}:{:02}:00,{i}\n", i / 2 / 60, i / 2 % 60);
        let path = dir.path().join(format!("{device}.csv"));
        std::fs::write(&path, format!("timestamp,value\n{}", (0..1500).map(row).collect::<String>())).unwrap();
        path
    });
    for batch in [1, 7, 500] {
        let server = Server::start(|_| Act::Store);
        let endpoint = Endpoint::new(&server.url, "a-secret-of-a-test").unwrap();
        let progress = Arc::new(Progress::default());
        let source = CsvFiles::new(files.clone(), 8, batch, progress.clone());
        let summary = send(&endpoint, &settings(batch), source, &progress);
        assert_eq!(account(&summary), (3000, 3000, 0));
        assert_eq!((server.values("speed"), server.values("occupancy")), (rising(1500), rising(1500)));
        assert_eq!(progress.bytes_read(), CsvFiles::total_bytes(&files));
        let stored = server.stored.lock().unwrap();
        assert!(stored.iter().all(|reading| reading.event_id.is_none()), "an event_id is never invented");
    }
}
