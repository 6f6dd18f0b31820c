//! SIGKILL at random moments: nothing acknowledged is missing, nothing counts twice.
//!
//! `STREAMGAUGE_KILLS=200 cargo test -p streamgauge kill::` kills more often than the default.

use crate::support::{Expected, Pipeline, agent, assert_reconciled};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use telemetry::Timestamp;

const DEVICES: usize = 24;
const SENDERS: usize = 6;
const KEY: &str = "the-key-of-a-test";

/// The values that a device was acknowledged, by identity; the first stands.
type Acknowledged = BTreeMap<String, BTreeMap<i128, f64>>;

fn timestamp(nanosecond: i128) -> String {
    Timestamp::from_nanosecond(nanosecond).unwrap().to_string()
}

/// A series of one device: mostly the next seconds, sometimes months late, sometimes what was posted before.
fn series(random: &mut StdRng, next_second: &mut i128, sent: &BTreeMap<i128, f64>) -> Vec<(i128, f64)> {
    const SECOND: i128 = 1_000_000_000;
    let length = [1, 1, 5, 60, 500][random.random_range(0..5)];
    if random.random_ratio(1, 6) && !sent.is_empty() {
        // The same again, from somewhere in the past.
        return sent.iter().skip(random.random_range(0..sent.len())).take(length).map(|(t, v)| (*t, *v)).collect();
    }
    let late = random.random_ratio(1, 8);
    let start = if late { *next_second - random.random_range(1..9_000_000) } else { *next_second };
    if !late {
        *next_second += length as i128;
    }
    // Late readings stand at half seconds, so that none has the identity of a reading that was in time.
    let offset = if late { SECOND / 2 } else { 0 };
    let value = |random: &mut StdRng| f64::from(random.random_range(0..40)) / 8.0;
    (0..length as i128).map(|i| ((start + i) * SECOND + offset, value(random))).collect()
}

/// Posts until stopped, repeating each post until it is acknowledged, as a careful device does.
fn send(url: &str, key: &str, sender: usize, stop: &AtomicBool) -> Acknowledged {
    let mut random = StdRng::seed_from_u64(sender as u64);
    let mut acknowledged = Acknowledged::new();
    let mut next_second: BTreeMap<String, i128> = BTreeMap::new();
    let agent = agent();
    while !stop.load(Ordering::Relaxed) {
        let device = format!("device-{}", sender + SENDERS * random.random_range(0..DEVICES / SENDERS));
        let sent = acknowledged.entry(device.clone()).or_default();
        let readings: Vec<(i128, f64)> =
            series(&mut random, next_second.entry(device.clone()).or_insert(1_700_000_000), sent)
                .into_iter()
                .map(|(t, v)| (t, sent.get(&t).copied().unwrap_or(v)))
                .collect();
        let body: Vec<Value> = readings.iter().map(|(t, v)| json!({"timestamp": timestamp(*t), "value": v})).collect();
        let body = json!({"device_id": device, "readings": body}).to_string();
        loop {
            let request = agent.post(format!("{url}/data/series")).header("x-api-key", key);
            match request.content_type("application/json").send(&body) {
                Ok(response) if response.status() == 200 => break,
                Ok(response) => assert!(matches!(response.status().as_u16(), 429 | 503), "{}", response.status()),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        sent.extend(readings);
    }
    acknowledged
}

#[test]
fn sigkill_at_any_moment_loses_nothing_acknowledged_and_counts_nothing_twice() {
    let kills: usize = std::env::var("STREAMGAUGE_KILLS").map_or(50, |kills| kills.parse().unwrap());
    assert!(kills >= 50);
    let directory = tempfile::tempdir().unwrap();
    // A port that was free a moment ago: the senders must find every new process under the same address.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let port = free.port().to_string();
    let start = || Pipeline::start(directory.path(), &["--port", &port, "--api-key", KEY]);
    let url = format!("http://{free}");
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (url, stop) = (url.clone(), stop.clone());
            std::thread::spawn(move || send(&url, KEY, sender, &stop))
        })
        .collect();
    let mut random = rand::rng();
    for _ in 0..kills {
        let up = start();
        std::thread::sleep(Duration::from_millis(random.random_range(0..250)));
        up.kill();
    }
    let up = start();
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Acknowledged::new();
    for sender in senders {
        acknowledged.extend(sender.join().unwrap());
    }
    let started = Instant::now();
    let accounts = up.settled();
    assert_reconciled(&accounts);
    let total: usize = acknowledged.values().map(BTreeMap::len).sum();
    assert!(total > 1000, "the senders got through: {total}");
    for (device, readings) in acknowledged.iter().filter(|(_, readings)| !readings.is_empty()) {
        let values: Vec<f64> = readings.values().copied().collect();
        Expected::of(&values).assert_equals(&up.get(&format!("/?device_id={device}")).1);
    }
    assert_eq!(accounts["counted"], total);
    eprintln!("{kills} kills, {total} readings, settled in {:?}", started.elapsed());
    assert!(up.terminate().success());
}
