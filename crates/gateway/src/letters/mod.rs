//! What an operator does with dead letters: look at them, send them again, delete them.

mod run;
mod shown;
mod summary;

pub(crate) use summary::SummaryCache;

use crate::answer::{Answer, Refusal, json};
use crate::body::require_content_type;
use crate::place::Incoming;
use crate::query::Query;
use crate::query::query;
use crate::reads::unavailable;
use crate::{Gateway, PipelineView};
use hyper::StatusCode;
use hyper::http::request::Parts;
use ports::{DeadLetter, EventStream};
use redrive::{DeadLetters as _, Filter, Held, Letter, Order, PageRequest, ReasonCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shown::{Excerpt, Shown};
use telemetry::{DeviceId, RejectReason};

/// Letters of a page where no `limit` is given.
const PAGE_DEFAULT: usize = 50;
/// The most letters of a page, and the most ids of a call.
const LETTERS_MAX: usize = 1000;
/// The most characters of a text that is searched for.
const TEXT_CHARS_MAX: usize = 200;

impl<S: EventStream, V: PipelineView> Gateway<S, V> {
    pub(crate) async fn list_dead_letters(&self, head: &Parts) -> Result<Answer, Refusal> {
        #[derive(Serialize)]
        struct Body<T> {
            dead_letters: Vec<T>,
            next: Option<String>,
        }
        let names = ["limit", "after", "reason", "device_id", "id", "since", "until", "text", "order", "payload"];
        let query = query(head, &names)?;
        let has_excerpts = one_of(&query, "payload", ["whole", "excerpt"])? == Some("excerpt");
        let page = self.view.letters().page(&page_request(&query)?).await.map_err(unavailable)?;
        let (letters, next) = (page.letters.into_iter().filter_map(rejected), page.next);
        Ok(if has_excerpts {
            let dead_letters = letters.map(|letter| Excerpt::new(&letter)).collect();
            json(StatusCode::OK, &Body { dead_letters, next })
        } else {
            json(StatusCode::OK, &Body { dead_letters: letters.collect(), next })
        })
    }

    pub(crate) async fn show_dead_letter(&self, head: &Parts) -> Result<Answer, Refusal> {
        let query = query(head, &["id"])?;
        let id = id(&query)?.ok_or_else(|| Refusal::bad_request("query parameter `id`: is missing"))?;
        let filter = Filter { ids: vec![id.to_owned()], ..Filter::default() };
        let one = PageRequest { filter, limit: 1, ..PageRequest::default() };
        let page = self.view.letters().page(&one).await.map_err(unavailable)?;
        match page.letters.into_iter().find_map(rejected) {
            Some(letter) => Ok(json(StatusCode::OK, &Shown::new(letter))),
            None => Err(Refusal::new(StatusCode::NOT_FOUND, format!("there is no dead letter {id}"))),
        }
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
        if !(1..=LETTERS_MAX).contains(&ids.len()) {
            let found = ids.len();
            return Err(Refusal::bad_request(format!("`ids`: must hold 1 to {LETTERS_MAX}, but holds {found}")));
        }
        require_ids(&ids)?;
        let deleted = self.view.letters().delete(ids).await.map_err(unavailable)?;
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
        // A list would pass for an object with its members in order.
        if !body.bytes.trim_ascii_start().starts_with(b"{") {
            return Err(Refusal::bad_request("the body: must be a JSON object"));
        }
        serde_json::from_slice(&body.bytes).map_err(|error| Refusal::bad_request(format!("the body: {error}")))
    }
}

/// A letter of one machine, where no batch is given up and nobody else writes to the queue.
fn rejected(held: Held) -> Option<DeadLetter> {
    match held.letter {
        Letter::Rejected(letter) => Some(letter),
        Letter::LambdaFailure(_) | Letter::Unreadable { .. } => None,
    }
}

fn page_request(query: &Query<'_>) -> Result<PageRequest, Refusal> {
    let text = query.get("text").filter(|text| !text.is_empty());
    let filter = Filter {
        ids: id(query)?.map(str::to_owned).into_iter().collect(),
        reason: query.get("reason").map(reason).transpose()?,
        device_id: query.device("device_id")?.map(|device| device.to_string()),
        since: query.timestamp("since")?,
        until: query.timestamp("until")?,
        text: text.map(|text| require_text(text).map(|()| text.to_owned())).transpose()?,
    };
    let after = query.get("after");
    if after.is_some_and(|after| !is_id(after)) {
        return Err(Refusal::bad_request("query parameter `after`: must be the `next` of an earlier page"));
    }
    Ok(PageRequest {
        filter,
        order: match one_of(query, "order", ["newest", "oldest"])? {
            Some("oldest") => Order::OldestFirst,
            _ => Order::NewestFirst,
        },
        limit: query.limit(PAGE_DEFAULT, LETTERS_MAX)?,
        after: after.map(str::to_owned),
    })
}

fn one_of<'a>(query: &'a Query<'_>, name: &'static str, words: [&str; 2]) -> Result<Option<&'a str>, Refusal> {
    let word = query.get(name);
    if word.is_some_and(|word| !words.contains(&word)) {
        let [first, second] = words;
        return Err(Refusal::bad_request(format!("query parameter `{name}`: must be {first} or {second}")));
    }
    Ok(word)
}

fn reason(text: &str) -> Result<ReasonCode, Refusal> {
    let known = RejectReason::ALL.into_iter().find(|reason| reason.as_str() == text);
    known.map(ReasonCode::Rejected).ok_or_else(|| {
        let known = RejectReason::ALL.map(RejectReason::as_str).join(", ");
        Refusal::bad_request(format!("query parameter `reason`: must be one of {known}"))
    })
}

fn id<'a>(query: &'a Query<'_>) -> Result<Option<&'a str>, Refusal> {
    let id = query.get("id");
    if id.is_some_and(|id| !is_id(id)) {
        return Err(Refusal::bad_request("query parameter `id`: must be a dead letter's id"));
    }
    Ok(id)
}

/// Ids, and places of a list, have the characters of a device's name.
fn is_id(text: &str) -> bool {
    DeviceId::parse(text).is_ok()
}

fn require_ids(ids: &[String]) -> Result<(), Refusal> {
    match ids.iter().position(|id| !is_id(id)) {
        Some(index) => Err(Refusal::bad_request(format!("`ids[{index}]`: must be a dead letter's id"))),
        None => Ok(()),
    }
}

fn require_text(text: &str) -> Result<(), Refusal> {
    if (1..=TEXT_CHARS_MAX).contains(&text.chars().count()) {
        return Ok(());
    }
    Err(Refusal::bad_request(format!("`text`: must have 1 to {TEXT_CHARS_MAX} characters")))
}
