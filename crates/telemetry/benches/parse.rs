//! What parsing takes: nanoseconds a reading, and how often that fits into serde_json's typed deserialization of the
//! same body. `cargo bench -p telemetry`.

use serde::Deserialize;
use std::hint::black_box;
use std::time::Instant;

#[derive(Deserialize)]
#[allow(dead_code)]
struct Typed<'a> {
    #[serde(default)]
    device_id: Option<&'a str>,
    #[serde(default)]
    timestamp: Option<&'a str>,
    #[serde(default)]
    value: Option<f64>,
    #[serde(default, borrow)]
    readings: Vec<Typed<'a>>,
}

/// Nanoseconds a reading, the best of 15 runs.
fn best(readings: usize, mut run: impl FnMut()) -> f64 {
    let rounds = 200_000 / readings;
    let each = |_| {
        let start = Instant::now();
        (0..rounds).for_each(|_| run());
        start.elapsed().as_nanos() as f64 / (rounds * readings) as f64
    };
    (0..15).map(each).fold(f64::INFINITY, f64::min)
}

fn report(name: &str, body: &str, readings: usize, mut parse: impl FnMut(&[u8])) {
    let ours = best(readings, || parse(black_box(body.as_bytes())));
    let typed = best(readings, || drop(black_box(serde_json::from_slice::<Typed<'_>>(black_box(body.as_bytes())))));
    println!(
        "{name:<16}{ours:>8.1} ns a reading{typed:>8.1} ns with serde_json, which is {:.2} times that",
        typed / ours
    );
}

fn main() {
    let item = |place: usize, device: &str| {
        let (second, value) = (place % 60, 20.0 + place as f64 / 100.0);
        format!(r#"{{{device}"timestamp":"2026-01-31T12:00:{second:02}Z","value":{value:.2}}}"#)
    };
    let items = |device: &str| (0..500).map(|place| item(place, device)).collect::<Vec<_>>().join(",");
    let single = item(7, r#""device_id":"device-1","#);
    let series = format!(r#"{{"device_id":"device-1","readings":[{}]}}"#, items(""));
    let batch = format!(r#"{{"readings":[{}]}}"#, items(r#""device_id":"device-1","#));
    report("series of 500", &series, 500, |body| {
        telemetry::each_reading(body, |reading| drop(black_box(reading)));
    });
    report("a single body", &single, 1, |body| {
        telemetry::each_reading(body, |reading| drop(black_box(reading)));
    });
    report("batch of 500", &batch, 500, |body| {
        let _ = black_box(telemetry::visit_batch(body, |reading, body| _ = black_box((reading, body))));
    });
}
