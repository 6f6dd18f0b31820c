//! Straight into a stream that fails as it is told to: nothing is lost, no device's rows change places, only what was not
//! stored is put again, byte for byte, and the summary accounts for every reading.

use producer::{
    Halt, Origin, Progress, PutFailure, PutRecords, Record, Refusal, Row, SendSettings, Summary, send_records,
};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telemetry::{DeviceId, Reading, Timestamp, decode_record};

/// What a stream does with one record.
#[derive(Debug, Clone)]
enum Act {
    Store,
    /// Stored, and nobody was told.
    StoreAndFail,
    Fail(PutFailure),
}

/// A stream in memory that does with each record what `decide` says.
struct Stream<F> {
    state: Mutex<State<F>>,
}

struct State<F> {
    decide: F,
    stored: Vec<Record>,
    /// Devices of the records that are being put.
    in_flight: HashSet<String>,
    /// Records that failed, to be put again as they were.
    failed: HashSet<Vec<u8>>,
    calls: Vec<usize>,
}

impl<F: FnMut(&Record) -> Act + Send> Stream<F> {
    fn new(decide: F) -> Self {
        let state =
            State { decide, stored: Vec::new(), in_flight: HashSet::new(), failed: HashSet::new(), calls: Vec::new() };
        Stream { state: Mutex::new(state) }
    }

    fn run(&self, settings: &SendSettings, aggregated: bool, rows: Vec<Result<Row, Refusal>>) -> Summary {
        send_records(self, settings, aggregated, rows.into_iter(), &Progress::default())
    }

    /// The values stored of a device, in order.
    fn values(&self, device: &str) -> Vec<f64> {
        let state = self.state.lock().unwrap();
        let readings = state.stored.iter().flat_map(|record| decode_record(&record.data));
        let readings = readings.map(|decoded| decoded.outcome.unwrap());
        readings.filter(|reading| reading.device_id.as_str() == device).map(|reading| reading.value).collect()
    }
}

fn devices_of(record: &Record) -> HashSet<String> {
    decode_record(&record.data).into_iter().map(|decoded| decoded.outcome.unwrap().device_id.to_string()).collect()
}

impl<F: FnMut(&Record) -> Act + Send> PutRecords for Stream<F> {
    fn put_records(&self, records: &[&Record]) -> Vec<Result<(), PutFailure>> {
        let devices: Vec<String> = records.iter().flat_map(|record| devices_of(record)).collect();
        {
            let mut state = self.state.lock().unwrap();
            assert!((1..=500).contains(&records.len()));
            state.calls.push(records.len());
            for device in &devices {
                assert!(state.in_flight.insert(device.clone()), "two records of {device} are in flight");
            }
        }
        // Time for another thread to come upon the same device.
        std::thread::yield_now();
        let mut state = self.state.lock().unwrap();
        let state = &mut *state;
        for device in &devices {
            state.in_flight.remove(device);
        }
        let outcomes = records.iter().map(|record| {
            state.failed.remove(&record.data);
            match (state.decide)(record) {
                Act::Store => {
                    state.stored.push((*record).clone());
                    Ok(())
                }
                Act::StoreAndFail => {
                    state.stored.push((*record).clone());
                    state.failed.insert(record.data.clone());
                    Err(PutFailure::Passing("no answer".to_owned()))
                }
                Act::Fail(failure) => {
                    if !matches!(failure, PutFailure::Refused(_)) {
                        state.failed.insert(record.data.clone());
                    }
                    Err(failure)
                }
            }
        });
        outcomes.collect()
    }
}

fn row(device: usize, reading: usize) -> Row {
    let device_id = DeviceId::parse(format!("device-{device}")).unwrap();
    let timestamp = Timestamp::from_millisecond(1_000 * reading as i64).unwrap();
    Row {
        reading: Reading { device_id, timestamp, value: reading as f64, event_id: None },
        json: None,
        origin: Origin { file: format!("device-{device}.csv").into(), line: reading as u64 + 2 },
    }
}

fn rows(devices: usize, each: usize) -> Vec<Result<Row, Refusal>> {
    (0..each).flat_map(|reading| (0..devices).map(move |device| Ok(row(device, reading)))).collect()
}

fn settings(batch: usize) -> SendSettings {
    SendSettings { batch, ..SendSettings::default() }
}

fn rising(count: usize) -> Vec<f64> {
    (0..count).map(|value| value as f64).collect()
}

fn account(summary: &Summary) -> (u64, u64, u64) {
    (summary.sent, summary.accepted, summary.refused)
}

/// The values with those that were stored again left out.
fn first_of_each(values: &[f64]) -> Vec<f64> {
    let mut seen = HashSet::new();
    values.iter().copied().filter(|value| seen.insert(value.to_bits())).collect()
}

#[test]
fn every_reading_is_put_once_in_order_under_its_devices_key() {
    for (batch, records) in [(1, 3 * 1234), (500, 3 * 3), (7, 3 * 177)] {
        let stream = Stream::new(|_| Act::Store);
        let summary = stream.run(&settings(batch), false, rows(3, 1234));
        assert_eq!((account(&summary), summary.retried, &summary.halted), ((3702, 3702, 0), 0, &None));
        assert_eq!(summary.posts, records, "batch {batch}");
        for device in 0..3 {
            assert_eq!(stream.values(&format!("device-{device}")), rising(1234));
        }
        let state = stream.state.lock().unwrap();
        assert!(state.stored.iter().all(|record| devices_of(record) == HashSet::from([record.partition_key.clone()])));
    }
}

#[test]
fn devices_with_little_to_say_share_calls_and_aggregates() {
    let stream = Stream::new(|_| Act::Store);
    let summary = stream.run(&settings(500), false, rows(2_000, 1));
    assert_eq!((account(&summary), summary.posts), ((2_000, 2_000, 0), 2_000));
    assert!(stream.state.lock().unwrap().calls.len() <= 40, "{:?}", stream.state.lock().unwrap().calls);
    let aggregated = Stream::new(|_| Act::Store);
    let summary = aggregated.run(&settings(500), true, rows(2_000, 1));
    assert_eq!(account(&summary), (2_000, 2_000, 0));
    assert!(summary.posts < 1_000, "{} aggregates", summary.posts);
    assert_eq!(aggregated.values("device-1999"), [0.0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_nothing_is_lost_or_changes_places(
        acts in prop::collection::vec(0..12u8, 1..60),
        devices in 1..40usize,
        each in 1..60usize,
        batch in prop_oneof![Just(1), 2..20usize, Just(500)],
        concurrency in 1..6usize,
        aggregated: bool,
    ) {
        let mut next = 0;
        let mut failures = 0;
        let stream = Stream::new(|_| {
            next += 1;
            // A long run of failures would only be slow.
            let act = if failures < 40 { acts[next % acts.len()] } else { 9 };
            let act = match act {
                0 | 1 => Act::Fail(PutFailure::Throttled),
                2 => Act::Fail(PutFailure::Passing("not now".to_owned())),
                3 => Act::StoreAndFail,
                _ => return Act::Store,
            };
            failures += 1;
            act
        });
        let settings = SendSettings { concurrency, ..settings(batch) };
        let summary = stream.run(&settings, aggregated, rows(devices, each));
        let total = (devices * each) as u64;
        prop_assert_eq!((account(&summary), &summary.halted), ((total, total, 0), &None));
        for device in 0..devices {
            prop_assert_eq!(first_of_each(&stream.values(&format!("device-{device}"))), rising(each));
        }
        let state = stream.state.into_inner().unwrap();
        prop_assert!(state.failed.is_empty(), "what failed was put again as it was");
        prop_assert_eq!(summary.posts, state.calls.iter().sum::<usize>() as u64);
        let puts: HashMap<_, usize> = state.stored.iter().fold(HashMap::new(), |mut puts, record| {
            *puts.entry(&record.data).or_default() += 1;
            puts
        });
        // Without lost answers each record is there once.
        let again = puts.values().map(|times| times - 1).sum::<usize>();
        prop_assert!(again as u64 <= summary.retried);
        prop_assert_eq!(summary.retried, failures);
    }
}

/// As the front door has it: in the future by more than five minutes, or not a number at all.
#[test]
fn what_the_front_door_would_refuse_is_refused_by_line_and_the_rest_is_put() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let at = |line: u64, millisecond: i64, value: f64, json: Option<&str>| {
        let mut row = row(1, 0);
        row.reading.timestamp = Timestamp::from_millisecond(millisecond).unwrap();
        row.reading.value = value;
        row.json = json.map(Into::into);
        row.origin.line = line;
        Ok(row)
    };
    for aggregated in [false, true] {
        for batch in [1, 2, 500] {
            let stream = Stream::new(|_| Act::Store);
            let rows = vec![
                at(2, 1_000, 1.0, None),
                at(3, now + 330_000, 2.0, None),
                at(4, now + 270_000, 3.0, None),
                at(5, 3_000, f64::NAN, None),
                at(6, 4_000, 2e100, None),
                at(7, 5_000, 6.0, Some(r#"{"device_id":"device-2","timestamp":"1970-01-01T00:00:05Z","value":6}"#)),
                at(8, 6_000, 7.0, None),
            ];
            let summary = stream.run(&settings(batch), aggregated, rows);
            assert_eq!(account(&summary), (3, 3, 4), "batch {batch}, aggregated {aggregated}: {summary:?}");
            assert_eq!(summary.refusals.iter().map(|refusal| refusal.line).collect::<Vec<_>>(), [3, 5, 6, 7]);
            assert!(summary.refusals[0].message.contains("at most 300 seconds after its arrival"));
            assert!(summary.refusals[1].message.contains("`value`") || summary.refusals[1].message.contains(".value`"));
            assert_eq!(stream.values("device-1"), [1.0, 3.0, 7.0]);
        }
    }
}

#[test]
fn a_device_with_nothing_but_refused_rows_holds_up_nobody() {
    let stream = Stream::new(|_| Act::Store);
    let mut all = Vec::new();
    for device in 0..50 {
        for reading in 0..20 {
            let mut row = row(device, reading);
            if device % 2 == 0 {
                row.reading.value = f64::INFINITY;
            }
            all.push(Ok(row));
        }
    }
    let summary = stream.run(&settings(5), false, all);
    assert_eq!(account(&summary), (500, 500, 500));
}

#[test]
fn a_record_that_the_stream_refuses_is_counted_and_named_and_the_rest_goes_on() {
    let stream = Stream::new(|record| match record.partition_key.as_str() {
        "device-1" => Act::Fail(PutFailure::Refused("too large".to_owned())),
        _ => Act::Store,
    });
    let summary = stream.run(&settings(500), false, rows(3, 700));
    assert_eq!((account(&summary), &summary.halted), ((2100, 1400, 700), &None));
    let refusals: Vec<_> = summary.refusals.iter().map(ToString::to_string).collect();
    assert_eq!(refusals, ["device-1.csv:2: too large (500 readings)", "device-1.csv:502: too large (200 readings)"]);
}

#[test]
fn a_stream_that_takes_nothing_ends_the_run_at_once() {
    let denied = || Act::Fail(PutFailure::NothingTaken("the stream is not there".to_owned()));
    let stream = Stream::new(|_| denied());
    let summary = stream.run(&settings(5), false, rows(2, 10_000));
    assert_eq!(summary.halted, Some(Halt::Unreachable("the stream is not there".to_owned())));
    // After something was stored, there is something to sum up.
    let mut puts = 0;
    let stream = Stream::new(|_| {
        puts += 1;
        if puts <= 3 { Act::Store } else { denied() }
    });
    let one_by_one = SendSettings { concurrency: 1, ..settings(5) };
    let summary = stream.run(&one_by_one, false, rows(1, 100));
    let stored = stream.values("device-0").len() as u64;
    assert!((3..=15).contains(&stored), "three records of up to five: {summary:?}");
    assert_eq!((summary.accepted, summary.refused), (stored, 0));
    assert_eq!(summary.halted, Some(Halt::StreamRefuses("the stream is not there".to_owned())));
}

#[test]
fn a_stream_that_only_throttles_is_there_and_one_that_never_answers_is_not() {
    let impatient = SendSettings { max_retry_time: Duration::from_millis(300), ..settings(5) };
    let stream = Stream::new(|_| Act::Fail(PutFailure::Throttled));
    let message = stream.run(&impatient, false, rows(1, 7)).halted.unwrap().to_string();
    assert!(message.starts_with("device-0.csv:2: gave up after 0 s: the stream is throttling"), "{message}");
    let stream = Stream::new(|_| Act::Fail(PutFailure::Passing("connection refused".to_owned())));
    let summary = stream.run(&impatient, true, rows(1, 7));
    assert_eq!(summary.halted, Some(Halt::Unreachable("connection refused".to_owned())));
}

#[test]
fn told_to_stop_it_awaits_what_is_in_flight_and_says_that_it_stopped() {
    let progress = Progress::default();
    let stream = Stream::new(|_| {
        progress.stop();
        Act::Store
    });
    let one_by_one = SendSettings { concurrency: 1, ..settings(5) };
    let summary = send_records(&stream, &one_by_one, false, rows(1, 100_000).into_iter(), &progress);
    // Fewer than a batch where the reader was held up.
    let stored = stream.values("device-0").len();
    assert!((1..=5).contains(&stored), "{summary:?}");
    assert_eq!((account(&summary), &summary.halted), ((stored as u64, stored as u64, 0), &Some(Halt::Stopped)));
    assert_eq!(stream.values("device-0"), rising(stored));
}

#[test]
fn told_to_stop_while_the_source_waits_it_does_not_claim_to_be_done() {
    let progress = Progress::default();
    let stream = Stream::new(|_| Act::Store);
    let mut rows = rows(1, 1).into_iter();
    let source = std::iter::from_fn(|| {
        let row = rows.next();
        // All that was read is stored, and more would have come.
        while row.is_none() && progress.accepted() == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        if row.is_none() {
            progress.stop();
        }
        row
    });
    let summary = send_records(&stream, &settings(500), false, source, &progress);
    assert_eq!((account(&summary), summary.halted), ((1, 1, 0), Some(Halt::Stopped)));
}
