//! Posting all of a source.

use crate::body::Form;
use crate::client::{Client, Endpoint};
use crate::delivery::{Delivery, Halt};
use crate::dispatch::Dispatch;
use crate::progress::Progress;
use crate::row::{Refusal, Row};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use telemetry::MAX_READINGS;

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
    let started = Instant::now();
    let batch = settings.batch.clamp(1, MAX_READINGS);
    let form = if batch == 1 { Form::Single } else { Form::Series };
    let dispatch = Dispatch::new(batch);
    let halted = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..settings.concurrency.max(1) {
            let client = Client::new(endpoint, settings.timeout);
            let delivery = Delivery::new(client, progress, settings.max_retry_time);
            scope.spawn(|| post_all(delivery, form, &dispatch, &halted));
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
    summary(progress, started.elapsed(), halted)
}

/// One thread's work, until all is posted or the run ends.
fn post_all(mut delivery: Delivery<'_>, form: Form, dispatch: &Dispatch, halted: &Mutex<Option<Halt>>) {
    while let Some(rows) = dispatch.take() {
        let Some(device) = rows.first().map(|row| row.reading.device_id.clone()) else { continue };
        if let Err(halt) = delivery.deliver(form, rows) {
            // The first reason is the one to show; the others follow from it.
            halted.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(halt);
            delivery.progress.stop();
            dispatch.stop();
            return;
        }
        dispatch.done(&device);
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
