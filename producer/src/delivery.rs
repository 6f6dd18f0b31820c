//! One thread's posts: each until it is answered for good.

use crate::body::Form;
use crate::client::{Answer, Client, ClientError};
use crate::patience::{Halt, Patience};
use crate::progress::Progress;
use crate::row::{Refusal, Row};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Posts rows through one client.
pub(crate) struct Delivery<'a> {
    pub(crate) client: Client,
    pub(crate) progress: &'a Progress,
    /// How long one post is retried.
    pub(crate) patience: Duration,
    body: Vec<u8>,
}

/// What an answer means for the rows that were posted.
enum Verdict {
    Accepted,
    /// All but the rows with these indices were stored.
    Partly(Vec<usize>),
    Retry,
    Refused,
}

impl<'a> Delivery<'a> {
    pub(crate) fn new(client: Client, progress: &'a Progress, patience: Duration) -> Self {
        Delivery { client, progress, patience, body: Vec::new() }
    }

    /// Posts these rows until each is accepted or refused.
    pub(crate) fn deliver(&mut self, form: Form, rows: Vec<Row>) -> Result<(), Halt> {
        if self.progress.stopped() {
            return Err(Halt::Stopped);
        }
        self.progress.sent.fetch_add(rows.len() as u64, Relaxed);
        // Parts of what a series had to be split into, the first last.
        let mut parts = vec![rows];
        while let Some(rows) = parts.pop() {
            if let Some((rows, answer)) = self.post_until_answered(form, rows)? {
                self.refuse_or_split(rows, &answer, &mut parts);
            }
        }
        Ok(())
    }

    /// Posts until nothing is left, or the answer is a refusal: then what is left, and the answer.
    fn post_until_answered(&mut self, form: Form, mut rows: Vec<Row>) -> Result<Option<(Vec<Row>, Answer)>, Halt> {
        let mut patience = Patience::new(self.progress, self.patience);
        loop {
            let outcome = self.post(form, &rows)?;
            let retry_after = outcome.as_ref().ok().and_then(|answer| answer.retry_after);
            let reason = match outcome {
                Err(error) => error.to_string(),
                Ok(answer) => match self.verdict(form, &answer, rows.len())? {
                    Verdict::Accepted => {
                        self.progress.accepted.fetch_add(rows.len() as u64, Relaxed);
                        return Ok(None);
                    }
                    Verdict::Refused => return Ok(Some((rows, answer))),
                    Verdict::Retry => answer.message(),
                    Verdict::Partly(failed) => {
                        let posted = rows.len();
                        rows = keep(rows, &failed);
                        self.progress.accepted.fetch_add((posted - rows.len()) as u64, Relaxed);
                        if rows.is_empty() {
                            return Ok(None);
                        }
                        if rows.len() < posted {
                            patience.renew();
                        }
                        answer.message()
                    }
                },
            };
            patience.wait(&rows[0].origin, retry_after, &reason)?;
            self.progress.retried.fetch_add(1, Relaxed);
        }
    }

    fn post(&mut self, form: Form, rows: &[Row]) -> Result<Result<Answer, ClientError>, Halt> {
        if self.progress.stopped() {
            return Err(Halt::Stopped);
        }
        form.encode(rows, &mut self.body);
        self.progress.posts.fetch_add(1, Relaxed);
        match self.client.post(form.path(), "application/json", &self.body) {
            Ok(answer) => {
                self.progress.reached.store(true, Relaxed);
                Ok(Ok(answer))
            }
            Err(error @ ClientError::Unusable { .. }) => Err(Halt::Unreachable(error.to_string())),
            Err(error) => Ok(Err(error)),
        }
    }

    fn verdict(&self, form: Form, answer: &Answer, posted: usize) -> Result<Verdict, Halt> {
        let url = self.client.endpoint().url();
        if answer.status == 403 {
            // Each thread's post in flight may be refused so; the message is shown once.
            self.progress.refused.fetch_add(posted as u64, Relaxed);
            return Err(Halt::Forbidden { url: url.to_owned(), answer: answer.message() });
        }
        verdict(form, answer, posted).ok_or_else(|| Halt::NotStreamgauge(url.to_owned()))
    }

    /// Counts refused rows, or splits off those that the answer is not about. A refused body was stored nowhere.
    fn refuse_or_split(&self, mut rows: Vec<Row>, answer: &Answer, parts: &mut Vec<Vec<Row>>) {
        let message = answer.message();
        match (answer.status, bad_index(&message)) {
            (400, Some(index)) if index < rows.len() => {
                let bad = rows.remove(index);
                self.progress.refuse(Refusal::of_row(&bad.origin, message));
                if !rows.is_empty() {
                    parts.push(rows);
                }
            }
            // Which reading is bad, or how many are too much, shows when the halves are posted.
            (400 | 413, _) if rows.len() > 1 => {
                let second = rows.split_off(rows.len() / 2);
                parts.push(second);
                parts.push(rows);
            }
            _ => {
                let readings = rows.len() as u64;
                self.progress.refuse(Refusal { readings, ..Refusal::of_row(&rows[0].origin, message) });
            }
        }
    }
}

/// What an answer means; `None` where no pipeline would give it.
fn verdict(form: Form, answer: &Answer, posted: usize) -> Option<Verdict> {
    match answer.status {
        // Only an answer that says what was stored is an acknowledgement.
        200 => Some(if stored(form, answer, posted)? { Verdict::Accepted } else { Verdict::Retry }),
        207 => Some(Verdict::Partly(failed_indices(answer, posted)?)),
        408 | 429 | 500 | 502..=504 => Some(Verdict::Retry),
        _ => Some(Verdict::Refused),
    }
}

/// Whether a 200 acknowledges all that was posted; `None` where it is no answer of a pipeline.
fn stored(form: Form, answer: &Answer, posted: usize) -> Option<bool> {
    #[derive(serde::Deserialize)]
    struct Acknowledgement {
        status: Option<String>,
        accepted: Option<usize>,
    }
    let acknowledgement: Acknowledgement = serde_json::from_slice(&answer.body).ok()?;
    match form {
        Form::Single | Form::Series => Some(acknowledgement.status? == "accepted"),
        Form::Batch => Some(acknowledgement.accepted? == posted),
    }
}

/// The rows that a 207 says were not stored, rising; `None` where it does not say so of the rows that were posted.
pub(crate) fn failed_indices(answer: &Answer, posted: usize) -> Option<Vec<usize>> {
    #[derive(serde::Deserialize)]
    struct Failed {
        index: usize,
    }
    #[derive(serde::Deserialize)]
    struct Partly {
        failed: Vec<Failed>,
    }
    let partly: Partly = serde_json::from_slice(&answer.body).ok()?;
    let mut indices: Vec<_> = partly.failed.into_iter().map(|failed| failed.index).collect();
    indices.sort_unstable();
    indices.dedup();
    indices.iter().all(|index| *index < posted).then_some(indices)
}

/// The rows with these rising indices, in order.
pub(crate) fn keep(rows: Vec<Row>, indices: &[usize]) -> Vec<Row> {
    let rows = rows.into_iter().enumerate();
    rows.filter(|(index, _)| indices.binary_search(index).is_ok()).map(|(_, row)| row).collect()
}

/// The reading that a message is about: `readings[3]` as our gateways say, or `/readings/3` as JSON schema
/// validators, and with them API Gateway, do.
fn bad_index(message: &str) -> Option<usize> {
    ["readings[", "/readings/"].iter().find_map(|before| {
        let (_, rest) = message.split_once(before)?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_a_bad_reading_is_read_from_the_message() {
        assert_eq!(bad_index("HTTP 400: `readings[3].value`: must be a JSON number"), Some(3));
        assert_eq!(bad_index("object has missing required properties at /readings/17/value"), Some(17));
        for message in ["`readings`: must be an array", "`device_id`: is missing", "readings[x]", "readings["] {
            assert_eq!(bad_index(message), None, "{message}");
        }
    }
}
