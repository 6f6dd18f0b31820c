//! The whole pipeline under load: `cargo bench -p streamgauge`.
//!
//! Every figure is measured in this run on this machine, through the front door of a `streamgauge up` of its own with
//! its data on disk. Ratios compare figures of the same run; they mean more than the figures themselves. With
//! `STREAMGAUGE_BINARY=PATH` another program is measured, such as one built before a change.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use telemetry::Timestamp;

const KEY: &str = "the-key-of-a-benchmark";
const CONNECTIONS: usize = 64;
const POSTERS: usize = 4;

struct Pipeline {
    child: Child,
    url: String,
    ready_in: Duration,
}

impl Pipeline {
    fn start(directory: &Path) -> Self {
        let start = Instant::now();
        let mut child =
            Command::new(std::env::var_os("STREAMGAUGE_BINARY").unwrap_or(env!("CARGO_BIN_EXE_streamgauge").into()))
                .args(["up", "--port", "0", "--data-dir"])
                .arg(directory)
                .env("STREAMGAUGE_API_KEY", KEY)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready_in = start.elapsed();
        let ready: Value = serde_json::from_str(&line).unwrap();
        Pipeline { child, url: ready["ingest"].as_str().unwrap().to_owned(), ready_in }
    }

    fn accounts(&self) -> Value {
        let answer = agent().get(format!("{}/pipeline", self.url)).header("x-api-key", KEY).call();
        serde_json::from_str(&answer.unwrap().body_mut().read_to_string().unwrap()).unwrap()
    }

    /// Waits until `accepted` readings are accepted and nothing is pending.
    fn wait_for(&self, accepted: usize) {
        let done = |accounts: Value| accounts["accepted"] == accepted && accounts["pending"] == 0;
        while !done(self.accounts()) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What it has used of processors so far, to the clock tick of 10 ms, where /proc tells it.
    fn processor_time(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // The name before it may hold spaces; user and system time are the 14th and 15th fields.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        Some(Duration::from_millis((ticks()? + ticks()?) * 10))
    }

    /// Processor time of `work` for each of `times`, in µs.
    fn processor_time_of<T>(&self, times: usize, work: impl FnOnce() -> T) -> (f64, T) {
        let before = self.processor_time();
        let done = work();
        let used = self.processor_time().zip(before).map(|(after, before)| (after - before).as_secs_f64());
        (used.map_or(f64::NAN, |used| used * 1e6 / times as f64), done)
    }

    /// Peak resident memory in MiB, where /proc tells it.
    fn peak_memory(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().max_idle_connections_per_host(1).build().into()
}

fn post(agent: &ureq::Agent, url: &str, body: &[u8]) {
    let answer = agent.post(url).header("x-api-key", KEY).content_type("application/json").send(body).unwrap();
    assert_eq!(answer.status(), 200);
    // Read to its end, so that the connection serves the next post.
    answer.into_body().read_to_vec().unwrap();
}

/// Posts `bodies` to `path` over `connections` connections; at `pace` posts a second, or as fast as it goes. The
/// latency of each post, from when it was due.
fn load(url: &str, path: &str, bodies: &[Vec<u8>], connections: usize, pace: Option<f64>) -> (Duration, Vec<Duration>) {
    let url = format!("{url}{path}");
    let (next, latencies) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(bodies.len())));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let agent = agent();
                let mut own = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(body) = bodies.get(index) else { break };
                    let due = pace.map_or(Duration::ZERO, |pace| Duration::from_secs_f64(index as f64 / pace));
                    std::thread::sleep(due.saturating_sub(start.elapsed()));
                    let from = if pace.is_some() { due } else { start.elapsed() };
                    post(&agent, &url, body);
                    own.push(start.elapsed().saturating_sub(from));
                }
                latencies.lock().unwrap().extend(own);
            });
        }
    });
    (start.elapsed(), latencies.into_inner().unwrap())
}

fn percentile(latencies: &mut [Duration], share: f64) -> f64 {
    latencies.sort();
    latencies[((latencies.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1000.0
}

fn timestamp(millisecond: i64) -> String {
    Timestamp::from_millisecond(1_700_000_000_000 + millisecond).unwrap().to_string()
}

fn value(index: usize) -> f64 {
    20.0 + ((index * 7919) % 1000) as f64 / 100.0
}

fn series(device: usize, first: usize, readings: usize) -> Vec<u8> {
    let mut body = format!("{{\"device_id\":\"device-{device:05}\",\"readings\":[");
    for index in first..first + readings {
        let comma = if index > first { "," } else { "" };
        body += &format!("{comma}{{\"timestamp\":\"{}\",\"value\":{}}}", timestamp(index as i64 * 1000), value(index));
    }
    (body + "]}").into_bytes()
}

fn single(index: usize, devices: usize) -> Vec<u8> {
    let (device, at) = (index % devices, timestamp((index / devices) as i64 * 1000));
    format!("{{\"device_id\":\"device-{device:05}\",\"timestamp\":\"{at}\",\"value\":{}}}", value(index)).into_bytes()
}

/// One fsync after another, of a block each: what a durable acknowledgement costs on this disk by itself.
fn fsyncs_per_second(directory: &Path) -> f64 {
    let mut file = std::fs::File::create(directory.join("fsync")).unwrap();
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < Duration::from_secs(1) {
        file.write_all(&[1; 4096]).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let fsyncs = fsyncs_per_second(directory.path());
    println!("disk: {fsyncs:.0} fsyncs/s one after another\n");

    let up = Pipeline::start(&directory.path().join("series"));
    println!("ready after {:.0} ms", up.ready_in.as_secs_f64() * 1000.0);
    const SERIES: usize = 4000;
    const READINGS: usize = SERIES * 500;
    let bodies: Vec<_> = (0..SERIES).map(|i| series(i % 200, i / 200 * 500, 500)).collect();
    let mut series_rate = 0.0;
    for (turn, what) in ["series of 500 of 200 devices", "the same, all posted again"].into_iter().enumerate() {
        let start = Instant::now();
        let (processor, (posted, mut latencies)) = up.processor_time_of(READINGS, || {
            let loaded = load(&up.url, "/data/series", &bodies, POSTERS, None);
            up.wait_for((turn + 1) * READINGS);
            loaded
        });
        let rate = READINGS as f64 / start.elapsed().as_secs_f64();
        println!("{what}: {processor:.2} µs of processor time a reading end to end (posted, counted, visible)");
        println!(
            "  {rate:.0} readings/s; posted in {:.1} s, p99 {:.1} ms",
            posted.as_secs_f64(),
            percentile(&mut latencies, 0.99)
        );
        series_rate = f64::max(series_rate, rate);
    }
    println!("  resident memory at most {:.0} MiB", up.peak_memory().unwrap_or(f64::NAN));
    drop((up, bodies));

    let up = Pipeline::start(&directory.path().join("single"));
    const SINGLES: usize = 60_000;
    let bodies: Vec<_> = (0..SINGLES).map(|i| single(i, 10_000)).collect();
    let (processor, (elapsed, mut latencies)) = up.processor_time_of(SINGLES, || {
        let loaded = load(&up.url, "/data", &bodies, CONNECTIONS, None);
        up.wait_for(SINGLES);
        loaded
    });
    let single_rate = SINGLES as f64 / elapsed.as_secs_f64();
    println!(
        "single posts: {single_rate:.0}/s from {CONNECTIONS} connections, 10,000 devices; p50 {:.1} ms, p99 {:.1} ms",
        percentile(&mut latencies, 0.5),
        percentile(&mut latencies, 0.99)
    );
    println!("  {processor:.0} µs of processor time a post end to end");
    println!("  resident memory at most {:.0} MiB with 10,000 devices", up.peak_memory().unwrap_or(f64::NAN));

    let paced: Vec<_> = (SINGLES..SINGLES + 25_000).map(|i| single(i, 10_000)).collect();
    let (_, mut latencies) = load(&up.url, "/data", &paced, CONNECTIONS, Some(2500.0));
    println!(
        "single posts at 2,500/s: p50 {:.1} ms, p99 {:.1} ms, from the moment each was due",
        percentile(&mut latencies, 0.5),
        percentile(&mut latencies, 0.99)
    );

    println!("\nratios of this run");
    println!("  single posts acknowledged durably / fsyncs one after another: {:.1}", single_rate / fsyncs);
    println!("  readings/s in series of 500 / in single posts: {:.1}", series_rate / single_rate);
}
