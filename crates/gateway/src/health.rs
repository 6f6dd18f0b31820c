//! Whether the stream takes what is posted.

use ports::{PutError, PutReceipt, with_causes};
use serde::Serialize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long one failed put speaks for the stream. Where nobody posts any more, nothing else could tell that it is over;
/// a device that is answered 503 posts again long before.
const FAILURE_LASTS: Duration = Duration::from_secs(60);

/// Characters of a reason: what fails below may have much to say.
const REASON_CHARS_MAX: usize = 512;

/// The last put's failure, for as long as none has succeeded since.
#[derive(Default)]
pub(crate) struct StreamHealth {
    failed: Mutex<Option<(Instant, String)>>,
}

/// The answer of `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl StreamHealth {
    /// Notes what became of a put. A record that is too large or throttled says nothing about the stream's health.
    pub fn note(&self, outcomes: &[Result<PutReceipt, PutError>], now: Instant) {
        if outcomes.iter().any(Result::is_ok) {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
            return;
        }
        let cause = outcomes.iter().find_map(|outcome| match outcome {
            Err(PutError::Unavailable(source)) => Some(with_causes(source.as_ref())),
            _ => None,
        });
        if let Some(cause) = cause {
            let reason = format!("the stream can't be written: {cause}").chars().take(REASON_CHARS_MAX).collect();
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, reason));
        }
    }

    /// As far as the last minute's posts tell.
    pub fn read(&self, now: Instant) -> Health {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = |at: &Instant| now.saturating_duration_since(*at) < FAILURE_LASTS;
        match failed.as_ref().filter(|(at, _)| lasts(at)) {
            Some((_, reason)) => Health { status: "degraded", reason: Some(reason.clone()) },
            None => Health { status: "ok", reason: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::{SequenceNumber, ShardId};

    fn stored() -> Result<PutReceipt, PutError> {
        let shard_id = ShardId("shardId-000000000000".to_owned());
        Ok(PutReceipt { shard_id, sequence_number: SequenceNumber::from(1) })
    }

    fn failed() -> Result<PutReceipt, PutError> {
        Err(PutError::Unavailable("no space left".into()))
    }

    fn reason(health: &StreamHealth, now: Instant) -> Option<String> {
        let health = health.read(now);
        assert_eq!(health.status == "degraded", health.reason.is_some());
        health.reason
    }

    #[test]
    fn a_failed_put_degrades_until_the_next_that_is_stored() {
        let (health, now) = (StreamHealth::default(), Instant::now());
        assert_eq!(reason(&health, now), None);
        health.note(&[failed(), failed()], now);
        assert_eq!(reason(&health, now).unwrap(), "the stream can't be written: no space left");
        health.note(&[Err(PutError::Throttled)], now);
        health.note(&[Err(PutError::Refused("too large".to_owned()))], now);
        assert!(reason(&health, now).is_some(), "that says nothing of the stream");
        health.note(&[failed(), stored()], now);
        assert_eq!(reason(&health, now), None);
        health.note(&[Err(PutError::Throttled)], now);
        assert_eq!(reason(&health, now), None);
    }

    #[test]
    fn without_posts_a_failure_is_over_after_a_minute() {
        let (health, start) = (StreamHealth::default(), Instant::now());
        health.note(&[failed()], start);
        health.note(&[failed()], start + Duration::from_secs(10));
        assert!(reason(&health, start + Duration::from_secs(69)).is_some());
        assert_eq!(reason(&health, start + Duration::from_secs(70)), None);
    }

    #[test]
    fn a_long_reason_is_cut() {
        let (health, now) = (StreamHealth::default(), Instant::now());
        health.note(&[Err(PutError::Unavailable("é".repeat(1000).into()))], now);
        assert_eq!(reason(&health, now).unwrap().chars().count(), REASON_CHARS_MAX);
    }
}
