//! Posting all of a source.

use crate::body::Form;
use crate::client::{Client, Endpoint};
use crate::delivery::Delivery;
use crate::dispatch::Dispatch;
use crate::packing::Packing;
use crate::patience::Halt;
use crate::progress::Progress;
use crate::record::PutRecords;
use crate::record_delivery::RecordDelivery;
use crate::row::{Refusal, Row};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use telemetry::MAX_READINGS;

/// PutRecords takes 500 records.
const CALL_RECORDS_MAX: usize = 500;

/// About as many bytes as one PutRecords takes, which is five times what a shard takes in a second.
const CALL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Devices that are packed into the aggregates of one call.
const AGGREGATED_DEVICES_MAX: usize = 10_000;

/// How readings are posted.
#[derive(Debug, Clone)]
pub struct SendSettings {
    /// 1: single readings to `/data`. 2–500: series of at most so many readings of one device to `/data/series`.
    /// More counts as 500.
    pub batch: usize,
    /// Devices posted at once, each over its own connection; at least 1.
    pub concurrency: usize,
    /// How long one answer is awaited.
    pub timeout: Duration,
    /// How long one post is retried before the run ends.
    pub max_retry_time: Duration,
}

impl Default for SendSettings {
    fn default() -> Self {
        SendSettings {
            batch: MAX_READINGS,
            concurrency: 8,
            timeout: Duration::from_secs(30),
            max_retry_time: Duration::from_secs(120),
        }
    }
}

/// What became of a source.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Summary {
    /// Readings posted at least once.
    pub sent: u64,
    /// Readings acknowledged: stored by the pipeline. A reading it had before is acknowledged again, and counted once.
    pub accepted: u64,
    /// Readings refused by the endpoint, and rows that can be no reading.
    pub refused: u64,
    /// Posts made again after 429, 503, 207 or no answer.
    pub retried: u64,
    /// All posts, those made again included.
    pub posts: u64,
    /// From first row to last answer.
    pub duration_seconds: f64,
    /// Readings accepted per second of the duration.
    pub readings_per_second: f64,
    /// The first refusals, at most [`LISTED_REFUSALS_MAX`](crate::LISTED_REFUSALS_MAX), by file and line.
    pub refusals: Vec<Refusal>,
    /// What ended the run early, where anything did.
    #[serde(serialize_with = "halt_text")]
    pub halted: Option<Halt>,
}

fn halt_text<S: serde::Serializer>(halt: &Option<Halt>, serializer: S) -> Result<S::Ok, S::Error> {
    match halt {
        Some(halt) => serializer.collect_str(halt),
        None => serializer.serialize_none(),
    }
}

/// Posts every row of `source` to `endpoint`, the rows of a device in their order with one post in flight per device,
/// and accounts for each. `source` is read by the calling thread; never more than about 16 MiB of it wait.
///
/// What is refused does not stop the rest; what does stop it stands in [`Summary::halted`].
pub fn send(
    endpoint: &Endpoint,
    settings: &SendSettings,
    source: impl Iterator<Item = Result<Row, Refusal>>,
    progress: &Progress,
) -> Summary {
    let batch = settings.batch.clamp(1, MAX_READINGS);
    let form = if batch == 1 { Form::Single } else { Form::Series };
    let dispatch = Dispatch::new(batch);
    run(&dispatch, settings.concurrency, source, progress, || {
        let client = Client::new(endpoint, settings.timeout);
        let mut delivery = Delivery::new(client, progress, settings.max_retry_time);
        while let Some(devices) = dispatch.take(1, usize::MAX) {
            for rows in devices {
                let Some(device) = rows.first().map(|row| row.reading.device_id.clone()) else { continue };
                delivery.deliver(form, rows)?;
                dispatch.done(&device);
            }
        }
        Ok(())
    })
}

/// Puts every row of `source` into a stream: as [`send`], but straight to where the front door would put it. A reading
/// that the front door would refuse is refused here.
///
/// [`SendSettings::batch`] is the readings of one document (a reading or a series), and [`SendSettings::concurrency`] the
/// calls under way at once; [`SendSettings::timeout`] is the stream's own affair. A device has one record in flight. With
/// `aggregated`, records are KPL aggregates of several devices' documents. [`Summary::posts`] counts records.
pub fn send_records(
    stream: &impl PutRecords,
    settings: &SendSettings,
    aggregated: bool,
    source: impl Iterator<Item = Result<Row, Refusal>>,
    progress: &Progress,
) -> Summary {
    let batch = settings.batch.clamp(1, MAX_READINGS);
    let packing = Packing::new(batch, aggregated);
    // An aggregate has room for many documents of a device.
    let dispatch = Dispatch::new(if aggregated { MAX_READINGS } else { batch });
    let devices_max = if aggregated { AGGREGATED_DEVICES_MAX } else { CALL_RECORDS_MAX };
    run(&dispatch, settings.concurrency, source, progress, || {
        let patience = settings.max_retry_time;
        let delivery = RecordDelivery { stream, packing: &packing, dispatch: &dispatch, progress, patience };
        while let Some(devices) = dispatch.take(devices_max, CALL_BYTES_MAX) {
            delivery.deliver(devices)?;
        }
        Ok(())
    })
}

/// Reads `source` while threads do their `work`, until all is done or one of them fails.
fn run(
    dispatch: &Dispatch,
    threads: usize,
    source: impl Iterator<Item = Result<Row, Refusal>>,
    progress: &Progress,
    work: impl Fn() -> Result<(), Halt> + Sync,
) -> Summary {
    let started = Instant::now();
    let halted = Mutex::new(None);
    let post_all = || {
        let _stop = StopOnPanic(dispatch);
        if let Err(halt) = work() {
            // The first reason is the one to show; the others follow from it.
            halted.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(halt);
            progress.stop();
            dispatch.stop();
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(post_all);
        }
        for item in source {
            let goes_on = match item {
                Ok(row) => dispatch.push(row),
                Err(refusal) => {
                    progress.refuse(refusal);
                    true
                }
            };
            if !goes_on || progress.stopped() {
                break;
            }
        }
        dispatch.finish();
    });
    let halted = halted.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Told to end with nothing in flight: the source may not have been read to its end.
    let halted = halted.or_else(|| progress.stopped().then_some(Halt::Stopped));
    summary(progress, started.elapsed(), halted)
}

/// Nobody settles what a thread that panicked had in flight: the others must not wait for it.
struct StopOnPanic<'a>(&'a Dispatch);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

fn summary(progress: &Progress, duration: Duration, halted: Option<Halt>) -> Summary {
    let mut refusals = progress.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone();
    refusals.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    let accepted = progress.accepted();
    let seconds = duration.as_secs_f64();
    Summary {
        sent: progress.sent(),
        accepted,
        refused: progress.refused(),
        retried: progress.retried(),
        posts: progress.posts.load(Relaxed),
        duration_seconds: seconds,
        // A duration of zero has no rate.
        readings_per_second: if seconds > 0.0 { accepted as f64 / seconds } else { 0.0 },
        refusals,
        halted,
    }
}
