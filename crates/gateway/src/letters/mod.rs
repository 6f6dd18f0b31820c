//! What an operator does with dead letters: look at them, send them back, delete them.

mod queue;
mod run;
mod search;
mod summary;

pub(crate) use queue::collect;
pub(crate) use summary::SummaryCache;

use crate::answer::{Answer, Refusal, json};
use crate::body::require_content_type;
use crate::gateway::query;
use crate::place::Incoming;
use crate::reads::unavailable;
use crate::{Gateway, PipelineView, RedriveLetter};
use hyper::StatusCode;
use hyper::http::request::Parts;
use ports::EventStream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The most letters of one call.
const LETTERS_MAX: usize = 1000;
/// The most bodies of one letter: a batch's readings.
const BODIES_MAX: usize = 500;
/// The most characters of a text that is searched for.
const TEXT_CHARS_MAX: usize = 200;

impl<S: EventStream, V: PipelineView> Gateway<S, V> {
    pub(crate) async fn redrive_dead_letters(&self, head: &Parts, body: &mut Incoming) -> Result<Answer, Refusal> {
        #[derive(Deserialize)]
        struct Body {
            letters: Vec<RedriveLetter>,
        }
        #[derive(Serialize)]
        struct Failed {
            id: String,
            error: String,
            passing: bool,
            gone: bool,
        }
        #[derive(Serialize)]
        struct Outcome {
            redriven: usize,
            failed: Vec<Failed>,
        }
        let Body { letters } = self.document_of(head, body).await?;
        require_size("letters", letters.len(), LETTERS_MAX)?;
        for (index, letter) in letters.iter().enumerate() {
            require_id(&format!("letters[{index}].id"), &letter.id)?;
            if let Some(bodies) = &letter.bodies {
                require_size(&format!("letters[{index}].bodies"), bodies.len(), BODIES_MAX)?;
            }
        }
        let ids: Vec<String> = letters.iter().map(|letter| letter.id.clone()).collect();
        let results = self.view.redrive(letters).await.map_err(unavailable)?;
        let mut results = results.into_iter();
        let mut failed = Vec::new();
        let redriven = ids.len();
        for id in ids {
            match results.next() {
                Some(Ok(())) => {}
                Some(Err(failure)) => {
                    failed.push(Failed { id, error: failure.error, passing: failure.passing, gone: failure.gone });
                }
                // What gives no answer has not said that it went.
                None => failed.push(Failed { id, error: "no answer for it".to_owned(), passing: true, gone: false }),
            }
        }
        Ok(json(StatusCode::OK, &Outcome { redriven: redriven - failed.len(), failed }))
    }

    pub(crate) async fn delete_dead_letters(&self, head: &Parts, body: &mut Incoming) -> Result<Answer, Refusal> {
        #[derive(Deserialize)]
        struct Body {
            ids: Vec<String>,
        }
        #[derive(Serialize)]
        struct Outcome {
            deleted: u64,
        }
        let Body { ids } = self.document_of(head, body).await?;
        require_size("ids", ids.len(), LETTERS_MAX)?;
        for (index, id) in ids.iter().enumerate() {
            require_id(&format!("ids[{index}]"), id)?;
        }
        let deleted = self.view.delete_dead_letters(ids).await.map_err(unavailable)?;
        Ok(json(StatusCode::OK, &Outcome { deleted }))
    }

    /// The JSON of a request, at most four bodies' size: a letter's payload may fill one, and be twice as long escaped.
    pub(crate) async fn document_of<T: DeserializeOwned>(
        &self,
        head: &Parts,
        body: &mut Incoming,
    ) -> Result<T, Refusal> {
        query(head, &[])?;
        require_content_type(&head.headers, "application/json")?;
        let body = self.bodies.read(&head.headers, body, self.limits.body_bytes.saturating_mul(4)).await?;
        // A list would pass for an object whose members stand in their order.
        if !body.bytes.trim_ascii_start().starts_with(b"{") {
            return Err(Refusal::bad_request("the body: must be a JSON object"));
        }
        serde_json::from_slice(&body.bytes).map_err(|error| Refusal::bad_request(format!("the body: {error}")))
    }
}

fn require_size(name: &str, found: usize, most: usize) -> Result<(), Refusal> {
    if (1..=most).contains(&found) {
        return Ok(());
    }
    Err(Refusal::bad_request(format!("`{name}`: must hold 1 to {most}, but holds {found}")))
}

fn require_id(name: &str, id: &str) -> Result<(), Refusal> {
    if telemetry::DeviceId::parse(id).is_ok() {
        return Ok(());
    }
    Err(Refusal::bad_request(format!("`{name}`: must be a dead letter's id")))
}

fn require_text(text: &str) -> Result<(), Refusal> {
    if (1..=TEXT_CHARS_MAX).contains(&text.chars().count()) {
        return Ok(());
    }
    Err(Refusal::bad_request(format!("`text`: must have 1 to {TEXT_CHARS_MAX} characters")))
}
