//! The dead letters of a running pipeline.

use crate::endpoint::check;
use anyhow::Context as _;
use producer::{Answer, Client, percent_encode};
use redrive::{
    DeadLetters, Held, Letter, LetterOutcome, Order, Outgoing, Page, PageRequest, QueueError, ReasonCode, RedriveError,
    Redriver,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;

/// The most bytes of a request: the gateway takes 1 MiB.
const REQUEST_BYTES_MAX: usize = 1_000_000;
/// The most letters of a request.
const LETTERS_MAX: usize = 1000;
/// How often a call is tried that gets no answer, and the first pause; each is twice the one before.
const TRIES_MAX: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The queue behind an endpoint. Its calls block: this process does nothing else meanwhile.
pub struct Http(pub Client);

#[derive(Deserialize)]
struct Letters {
    dead_letters: Vec<ports::DeadLetter>,
    next: Option<String>,
}

impl DeadLetters for Http {
    async fn page(&self, request: &PageRequest) -> Result<Page, QueueError> {
        let filter = &request.filter;
        if !filter.ids.is_empty() {
            let mut page = Page::default();
            for id in &filter.ids {
                let letters = self.letters(&format!("?id={}", percent_encode(id)))?.letters;
                page.letters.extend(letters.into_iter().filter(|held| filter.matches(&held.letter)));
            }
            return Ok(page);
        }
        let order = match request.order {
            Order::NewestFirst => "newest",
            Order::OldestFirst => "oldest",
        };
        let mut query = format!("?order={order}&limit={}", request.limit.min(LETTERS_MAX));
        match filter.reason {
            None => {}
            Some(ReasonCode::Rejected(reason)) => query += &format!("&reason={reason}"),
            // There is nothing of the kind on one machine.
            Some(ReasonCode::LambdaFailure | ReasonCode::Unreadable) => return Ok(Page::default()),
        }
        let instant = |at: Option<telemetry::Timestamp>| at.map(|at| at.to_string());
        for (name, value) in [
            ("device_id", filter.device_id.clone()),
            ("since", instant(filter.since)),
            ("until", instant(filter.until)),
            ("text", filter.text.clone()),
            ("after", request.after.clone()),
        ] {
            if let Some(value) = value {
                query += &format!("&{name}={}", percent_encode(&value));
            }
        }
        self.letters(&query)
    }

    async fn release(&self, _: Vec<String>) -> Result<(), QueueError> {
        Ok(())
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<u64, QueueError> {
        #[derive(Serialize)]
        struct Body<'a> {
            ids: &'a [String],
        }
        #[derive(Deserialize)]
        struct Outcome {
            deleted: u64,
        }
        let mut deleted = 0;
        for ids in receipts.chunks(LETTERS_MAX) {
            // Ids and their names always have a JSON form.
            let body = serde_json::to_vec(&Body { ids }).unwrap_or_default();
            deleted +=
                self.ask::<Outcome>(|client| client.post("/dead-letters/delete", "application/json", &body))?.deleted;
        }
        Ok(deleted)
    }
}

impl Http {
    fn letters(&self, query: &str) -> Result<Page, QueueError> {
        let letters: Letters = self.ask(|client| client.get(&format!("/dead-letters{query}")))?;
        let held = |letter: ports::DeadLetter| Held { receipt: letter.id.clone(), letter: Letter::Rejected(letter) };
        Ok(Page { letters: letters.dead_letters.into_iter().map(held).collect(), next: letters.next })
    }

    /// Asks until there is an answer; a few times if the service is unavailable.
    fn ask<T: DeserializeOwned>(
        &self,
        request: impl Fn(&Client) -> Result<Answer, producer::ClientError>,
    ) -> Result<T, QueueError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..TRIES_MAX {
            match request(&self.0) {
                Ok(answer) if !matches!(answer.status, 408 | 429 | 500..) => return self.read(&answer),
                _ => std::thread::sleep(pause),
            }
            pause *= 2;
        }
        self.read(&request(&self.0).map_err(|error| QueueError::Unavailable(Box::new(error)))?)
    }

    fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, QueueError> {
        let read = || -> anyhow::Result<T> {
            check(answer, &self.0)?;
            let url = self.0.endpoint().url();
            anyhow::ensure!(answer.status == 200, "{url} has no dead letters to work on ({})", answer.message());
            serde_json::from_slice(&answer.body).with_context(|| format!("the answer of {url}"))
        };
        read().map_err(|error| QueueError::Unavailable(error.into()))
    }
}

/// A selection: letters by their ids, and what is put for each.
#[derive(Serialize)]
struct Selection<'a> {
    ids: Vec<&'a str>,
    /// Id -> a reading, a series or a batch. A whole record, which the pipeline has, is sent without.
    bodies: HashMap<&'a str, String>,
    /// What would only come back was decided before.
    all_reasons: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

#[derive(Deserialize)]
struct Redriven {
    letters: Vec<LetterOutcome>,
    next: Option<String>,
}

impl Redriver for Http {
    /// The pipeline itself notes, puts and deletes: see its `POST /dead-letters/redrive`.
    async fn redrive(&self, letters: Vec<Outgoing>) -> Vec<Result<(), RedriveError>> {
        let mut results = Vec::with_capacity(letters.len());
        let mut rest = letters.as_slice();
        while !rest.is_empty() {
            // Escaped, a body is at most twice as long.
            let mut bytes = 0;
            let fits = rest.iter().take(LETTERS_MAX).take_while(|letter| {
                let bodies = if letter.is_whole_record { 0 } else { 2 * letter.bytes() + 16 * letter.records.len() };
                bytes += bodies + 2 * letter.id.len() + 64;
                bytes <= REQUEST_BYTES_MAX
            });
            let (group, others) = rest.split_at(fits.count().max(1));
            results.extend(self.redrive_group(group));
            rest = others;
        }
        results
    }
}

impl Http {
    fn redrive_group(&self, group: &[Outgoing]) -> Vec<Result<(), RedriveError>> {
        let Some(mut selection) = selection(group) else {
            let refused =
                || Err(RedriveError::Refused("the endpoint takes readings alone, which are UTF-8".to_owned()));
            return group.iter().map(|_| refused()).collect();
        };
        let mut outcomes: HashMap<String, LetterOutcome> = HashMap::new();
        let end = loop {
            let body = serde_json::to_vec(&selection).unwrap_or_default();
            let answer = match self.0.post("/dead-letters/redrive", "application/json", &body) {
                Ok(answer) if answer.status == 200 => {
                    serde_json::from_slice::<Redriven>(&answer.body).map_err(|error| error.to_string())
                }
                Ok(answer) => Err(answer.message()),
                Err(error) => Err(error.to_string()),
            };
            match answer {
                Ok(Redriven { letters, next }) => {
                    outcomes.extend(letters.into_iter().map(|letter| (letter.id.clone(), letter)));
                    match next {
                        Some(next) => selection.after = Some(next),
                        None => break RedriveError::Gone,
                    }
                }
                Err(why) => break RedriveError::Passing(why),
            }
        };
        // What the pipeline did not meet is gone, unless the answer is incomplete.
        group
            .iter()
            .map(|letter| outcomes.remove(&letter.id).map_or_else(|| Err(end.clone()), LetterOutcome::result))
            .collect()
    }
}

/// `None` where a body is not text.
fn selection(group: &[Outgoing]) -> Option<Selection<'_>> {
    let mut bodies = HashMap::new();
    for letter in group.iter().filter(|letter| !letter.is_whole_record) {
        let texts: Option<Vec<&str>> =
            letter.records.iter().map(|record| std::str::from_utf8(&record.data).ok()).collect();
        let body = match texts?.as_slice() {
            [one] => (*one).to_owned(),
            several => format!("{{\"readings\":[{}]}}", several.join(",")),
        };
        bodies.insert(letter.id.as_str(), body);
    }
    let ids = group.iter().map(|letter| letter.id.as_str()).collect();
    Some(Selection { ids, bodies, all_reasons: true, after: None })
}
