//! The function's own binary under a Runtime API: `cargo bench -p aggregator --features lambda`, and with
//! `STREAMGAUGE_FUNCTION=PATH` another binary, such as a zip's. The services answer at once and lie on the same machine, so
//! what is measured is the function's own cost.

#![allow(dead_code, reason = "the tests use the rest")]

#[path = "../tests/it/lambda/cloud.rs"]
mod cloud;
#[path = "../../../crates/lambda/tests/testing/mod.rs"]
mod testing;

use crate::testing::{Function, RuntimeApi};
use cloud::{Cloud, start_binary};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const STARTS: usize = 20;
const BATCHES: usize = 10;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let binary = binary();
    println!("{} bytes: {}", std::fs::metadata(&binary).expect("the function's binary").len(), binary.display());
    runtime.block_on(cold_starts(&binary));
    runtime.block_on(batches(&binary));
}

/// The one that `STREAMGAUGE_FUNCTION` names, such as the `bootstrap` of a zip, or else this build's own.
fn binary() -> PathBuf {
    let named = std::env::var_os("STREAMGAUGE_FUNCTION");
    named.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_aggregator")), PathBuf::from)
}

/// From the process's start to its first request for work, and to the first answer.
async fn cold_starts(binary: &Path) {
    let (mut ready, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let cloud = Cloud::start().await;
        let runtime_api = RuntimeApi::start().await;
        let started = Instant::now();
        let function = start_binary(binary, runtime_api, &cloud, &[]);
        function.invoke("request", include_str!("../events/good.json")).await;
        answered.push(started.elapsed());
        ready.push(function.runtime_api.asked_for_work().await - started);
    }
    println!("{STARTS} cold starts to the first request for work: {}", spread(&mut ready));
    println!("{STARTS} cold starts to the first answer, a batch of 5 records: {}", spread(&mut answered));
}

/// Batches of 10,000 records of 20 devices, each to a new table, by a process that is ready and has nothing cached.
async fn batches(binary: &Path) {
    let event = include_str!("../events/10000-records.json");
    let (mut times, mut processor, mut idle, mut peak) = (Vec::new(), Vec::new(), None, None);
    for batch in 0..BATCHES {
        let cloud = Cloud::start().await;
        let function = start_binary(binary, RuntimeApi::start().await, &cloud, &[]);
        function.runtime_api.asked_for_work().await;
        idle = idle.max(memory_kib(&function, "VmRSS"));
        let (started, before) = (Instant::now(), processor_time(&function));
        function.invoke(&format!("request-{batch}"), event).await;
        times.push(started.elapsed());
        processor.extend(processor_time(&function).zip(before).map(|(after, before)| after - before));
        peak = peak.max(memory_kib(&function, "VmHWM"));
    }
    println!("{BATCHES} batches of 10,000 records to the answer: {}", spread(&mut times));
    if !processor.is_empty() {
        println!("  processor time of each: {}", spread(&mut processor));
    }
    if let (Some(idle), Some(peak)) = (idle, peak) {
        println!("  memory: {:.1} MiB at the start, {:.1} MiB at most", idle as f64 / 1024.0, peak as f64 / 1024.0);
    }
}

fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let milliseconds = |at: usize| times[at].as_secs_f64() * 1000.0;
    let last = times.len() - 1;
    format!("median {:.1} ms, {:.1} to {:.1}", milliseconds(last / 2), milliseconds(0), milliseconds(last))
}

/// A line of `/proc/PID/status` in KiB, such as `VmHWM`, the most memory that it had; Linux alone has it.
fn memory_kib(function: &Function, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", function.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// What it has used of processors so far, to the clock tick of 10 ms.
fn processor_time(function: &Function) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", function.id())).ok()?;
    // The name before it may hold spaces; user and system time are the 14th and 15th fields.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks()? + ticks()?) * 10))
}
