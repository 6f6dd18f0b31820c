//! What devices post, into the stream.

use crate::answer::{Answer, Refusal, json};
use crate::body::require_content_type;
use crate::place::Incoming;
use crate::query::query;
use crate::{Gateway, PipelineView};
use hyper::StatusCode;
use hyper::http::request::Parts;
use ports::{EventStream, PutError, PutReceipt, StreamEntry, with_causes};
use serde::Serialize;
use std::time::{Duration, Instant};
use telemetry::{DeviceId, Rejection, Timestamp, one_line, parse_reading, visit_batch, visit_series};

const JSON: &str = "application/json";

impl<S: EventStream, V: PipelineView> Gateway<S, V> {
    pub(crate) async fn post_data(&self, head: &Parts, body: &mut Incoming) -> Result<Answer, Refusal> {
        query(head, &[])?;
        require_content_type(&head.headers, JSON)?;
        let body = self.bodies.read(&head.headers, body, self.limits.body_bytes).await?;
        let reading = parse_reading(&body.bytes).map_err(refused)?;
        self.require_not_ahead(reading.timestamp, String::new)?;
        Ok(accepted(&self.put_one(entry(&reading.device_id, &body.bytes, 1)).await?))
    }

    pub(crate) async fn post_series(&self, head: &Parts, body: &mut Incoming) -> Result<Answer, Refusal> {
        query(head, &[])?;
        require_content_type(&head.headers, JSON)?;
        let body = self.bodies.read(&head.headers, body, self.limits.body_bytes).await?;
        let (horizon, mut ahead) = (self.horizon(), None);
        let series = visit_series(&body.bytes, |index, reading| {
            if reading.timestamp > horizon {
                ahead.get_or_insert((index, reading.timestamp));
            }
        });
        let (device_id, readings) = series.map_err(refused)?;
        self.require_none_ahead(ahead)?;
        Ok(accepted(&self.put_one(entry(&device_id, &body.bytes, readings)).await?))
    }

    pub(crate) async fn post_batch(&self, head: &Parts, body: &mut Incoming) -> Result<Answer, Refusal> {
        query(head, &[])?;
        require_content_type(&head.headers, JSON)?;
        let body = self.bodies.read(&head.headers, body, self.limits.body_bytes).await?;
        let (horizon, mut ahead, mut entries) = (self.horizon(), None, Vec::new());
        let batch = visit_batch(&body.bytes, |reading, body| {
            if reading.timestamp > horizon {
                ahead.get_or_insert((entries.len(), reading.timestamp));
            }
            entries.push(entry(&reading.to_device_id(), body.as_bytes(), 1));
        });
        batch.map_err(refused)?;
        self.require_none_ahead(ahead)?;
        batch_answer(entries.len(), self.put(entries).await)
    }

    pub(crate) async fn put_record(&self, head: &Parts, body: &mut Incoming) -> Result<Answer, Refusal> {
        let query = query(head, &["partition_key"])?;
        let partition_key = query.get("partition_key").unwrap_or_default();
        if !(1..=256).contains(&partition_key.chars().count()) {
            return Err(Refusal::bad_request("query parameter `partition_key`: must be 1 to 256 characters"));
        }
        require_content_type(&head.headers, "application/octet-stream")?;
        let body = self.bodies.read(&head.headers, body, self.limits.body_bytes).await?;
        let entry = StreamEntry::new(partition_key.to_owned(), body.bytes.clone());
        Ok(accepted(&self.put_one(entry).await?))
    }

    async fn put(&self, entries: Vec<StreamEntry>) -> Vec<Result<PutReceipt, PutError>> {
        let outcomes = self.stream.put_records(entries).await;
        self.stream_health.note(&outcomes, Instant::now());
        outcomes
    }

    async fn put_one(&self, entry: StreamEntry) -> Result<PutReceipt, Refusal> {
        // One entry has one result; a stream that gives none has not said that it is stored.
        match self.put(vec![entry]).await.pop() {
            Some(outcome) => outcome.map_err(not_stored),
            None => Err(Refusal::unavailable("the stream is unavailable: try again")),
        }
    }

    /// Refuses a body for the first of its readings that is ahead, which stands at this place.
    fn require_none_ahead(&self, first: Option<(usize, Timestamp)>) -> Result<(), Refusal> {
        let Some((index, timestamp)) = first else { return Ok(()) };
        self.require_not_ahead(timestamp, || format!("readings[{index}]."))
    }

    /// `path` is what the message puts before the member's name.
    fn require_not_ahead(&self, timestamp: Timestamp, path: impl Fn() -> String) -> Result<(), Refusal> {
        let (arrived_at, tolerance) = (self.clock.now(), Duration::from_secs(self.future_tolerance_seconds));
        timestamp.check_arrival(arrived_at, tolerance).map_err(|rule| {
            let ahead_seconds = (timestamp.as_nanosecond() - arrived_at.as_nanosecond()) / 1_000_000_000;
            // Without the device, so that all such refusals are one cause: one line a minute.
            tracing::warn!(
                %timestamp,
                %arrived_at,
                ahead_seconds = ahead_seconds as i64,
                "refused a reading from the future: perhaps this host's clock is behind"
            );
            Refusal::bad_request(format!("`{}timestamp`: {rule}", path()))
        })
    }

    /// The latest timestamp that is taken now.
    pub(crate) fn horizon(&self) -> Timestamp {
        let horizon = self.clock.now().as_nanosecond() + i128::from(self.future_tolerance_seconds) * 1_000_000_000;
        Timestamp::from_nanosecond(horizon).unwrap_or(Timestamp::MAX)
    }
}

fn entry(device_id: &DeviceId, body: &[u8], readings: u64) -> StreamEntry {
    StreamEntry { partition_key: device_id.as_str().to_owned(), data: one_line(body), readings }
}

fn refused(rejection: Rejection) -> Refusal {
    Refusal::bad_request(rejection.detail)
}

/// 200 where all were stored, 207 where some were. Where none was, the status is that of the failure that passes last:
/// 429 only where all were throttled, as on AWS.
fn batch_answer(posted: usize, outcomes: Vec<Result<PutReceipt, PutError>>) -> Result<Answer, Refusal> {
    #[derive(Serialize)]
    struct Failed {
        index: usize,
        error: String,
    }
    #[derive(Serialize)]
    struct Body {
        accepted: usize,
        failed: Vec<Failed>,
    }
    let mut outcomes = outcomes.into_iter();
    let (mut failed, mut errors) = (Vec::new(), Vec::new());
    for index in 0..posted {
        // A stream that gives no outcome has not said that it is stored.
        let outcome = outcomes.next().unwrap_or_else(|| Err(PutError::Unavailable("no outcome was given".into())));
        if let Err(error) = outcome {
            failed.push(Failed { index, error: error.to_string() });
            errors.push(error);
        }
    }
    let accepted = posted - failed.len();
    if accepted == 0
        && let Some(error) = errors.into_iter().max_by_key(lasting)
    {
        return Err(not_stored(error));
    }
    let status = if failed.is_empty() { StatusCode::OK } else { StatusCode::MULTI_STATUS };
    Ok(json(status, &Body { accepted, failed }))
}

/// How long a failure keeps a whole batch out, from shortest to longest: without its refused reading a batch can be stored
/// at once, a throttled one soon, and the last when the stream is back.
fn lasting(error: &PutError) -> u8 {
    match error {
        PutError::Refused(_) => 0,
        PutError::Throttled => 1,
        PutError::Unavailable(_) => 2,
    }
}

fn not_stored(error: PutError) -> Refusal {
    match error {
        PutError::Throttled => Refusal::new(StatusCode::TOO_MANY_REQUESTS, "the stream is throttling: try again"),
        // The partition key has been checked: what is left is the stream's record limit.
        PutError::Refused(rule) => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, rule),
        PutError::Unavailable(source) => {
            tracing::warn!(error = with_causes(source.as_ref()), "the stream is unavailable");
            Refusal::unavailable("the stream is unavailable: try again")
        }
    }
}

fn accepted(receipt: &PutReceipt) -> Answer {
    #[derive(Serialize)]
    struct Body<'a> {
        status: &'static str,
        sequence_number: String,
        shard_id: &'a str,
    }
    let sequence_number = receipt.sequence_number.to_string();
    json(StatusCode::OK, &Body { status: "accepted", sequence_number, shard_id: &receipt.shard_id.0 })
}
