//! What the dashboard's page shows of dead letters: a list that can be searched, and one letter with what is wrong
//! marked. What stands in a payload leaves here as [`redrive::printable`] text, whatever it was.

use super::queue::collect;
use super::{require_id, require_text};
use crate::answer::{Answer, Refusal, json};
use crate::gateway::query;
use crate::reads::{place, reason, unavailable};
use crate::{DeadLetterQuery, Gateway, PipelineView};
use hyper::StatusCode;
use hyper::http::request::Parts;
use ports::{DeadLetter, EventStream};
use redrive::{Letter, Spot, locate, printable, printable_line};
use serde::Serialize;
use std::collections::BTreeMap;
use telemetry::{RejectReason, Timestamp};

const ROWS_DEFAULT: usize = 50;
const ROWS_MAX: usize = 200;
/// The most letters that one search looks at: a rare word makes more calls, not longer ones.
const LOOKED_AT_MAX: usize = 2000;
/// How many of them are read at once.
const LOOKED_AT_ONCE: usize = 200;
/// Bytes of a payload that a row shows, and that a letter shows before, at and after the place that is wrong.
const EXCERPT_BYTES: usize = 160;
const AROUND_BYTES: usize = 4000;
/// The largest payload that the page offers for mending.
const MENDABLE_BYTES_MAX: usize = 16 * 1024;

#[derive(Serialize)]
struct Row {
    id: String,
    reason: RejectReason,
    detail: String,
    device_id: Option<String>,
    arrived_at: Timestamp,
    failed_at: Timestamp,
    payload_bytes: usize,
    excerpt: String,
}

#[derive(Serialize)]
struct Shown {
    id: String,
    reason: RejectReason,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    readings_by_reason: Option<BTreeMap<RejectReason, u64>>,
    device_id: Option<String>,
    arrived_at: Timestamp,
    failed_at: Timestamp,
    stream: String,
    shard_id: String,
    sequence_number: String,
    sub_sequence_number: Option<u64>,
    index: Option<u32>,
    partition_key: String,
    problem: Option<Spot>,
    payload: Payload,
}

/// A payload in three parts, of which the middle one is wrong.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Payload {
    bytes: usize,
    hidden_before: usize,
    before: String,
    wrong: String,
    after: String,
    hidden_after: usize,
    /// The text to mend, where it is text and not too long: where it is JSON, the same JSON.
    mendable: Option<String>,
}

impl<S: EventStream, V: PipelineView> Gateway<S, V> {
    pub(crate) async fn search_dead_letters(&self, head: &Parts) -> Result<Answer, Refusal> {
        #[derive(Serialize)]
        struct Body {
            letters: Vec<Row>,
            next: Option<String>,
        }
        let query = query(head, &["limit", "after", "text", "reason", "device_id", "since", "until"])?;
        let limit = query.limit(ROWS_DEFAULT, ROWS_MAX)?;
        let text = query.get("text").filter(|text| !text.is_empty());
        text.map_or(Ok(()), require_text)?;
        let device_id = query.device("device_id")?;
        let mut next = query.get("after").map(|text| place(text, "after")).transpose()?;
        let (mut rows, mut looked_at) = (Vec::new(), 0);
        loop {
            let page = DeadLetterQuery {
                after: next.as_deref(),
                // Without a text every letter is a row.
                limit: if text.is_some() { LOOKED_AT_ONCE } else { limit - rows.len() },
                reason: query.get("reason").map(reason).transpose()?,
                device_id: device_id.as_ref(),
                since: query.timestamp("since")?,
                until: query.timestamp("until")?,
                ..DeadLetterQuery::default()
            };
            let page = collect(&self.view, page).await.map_err(unavailable)?;
            looked_at += page.dead_letters.len();
            next = page.next;
            let found = page.dead_letters.iter().filter(|letter| text.is_none_or(|text| holds(letter, text)));
            rows.extend(found.map(row));
            if next.is_none() || rows.len() >= limit || looked_at >= LOOKED_AT_MAX {
                return Ok(json(StatusCode::OK, &Body { letters: rows, next }));
            }
        }
    }

    pub(crate) async fn show_dead_letter(&self, head: &Parts) -> Result<Answer, Refusal> {
        let query = query(head, &["id"])?;
        let id = query.get("id").ok_or_else(|| Refusal::bad_request("query parameter `id`: is missing"))?;
        require_id("id", id)?;
        let one = DeadLetterQuery { id: Some(id), limit: 1, ..DeadLetterQuery::default() };
        let page = self.view.dead_letters(one).await.map_err(unavailable)?;
        let letter = page.dead_letters.into_iter().next();
        let letter =
            letter.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, format!("there is no dead letter {id}")))?;
        Ok(json(StatusCode::OK, &shown(letter)))
    }
}

fn payload_of(letter: &DeadLetter) -> Vec<u8> {
    Letter::Rejected(letter.clone()).payload().unwrap_or_default()
}

fn row(letter: &DeadLetter) -> Row {
    let payload = payload_of(letter);
    let end = character_start(&payload, payload.len().min(EXCERPT_BYTES));
    Row {
        id: letter.id.clone(),
        reason: letter.reason,
        detail: printable_line(&letter.detail),
        device_id: letter.device_id.clone(),
        arrived_at: letter.arrived_at,
        failed_at: letter.failed_at,
        payload_bytes: payload.len(),
        excerpt: redrive::printable_bytes(&payload[..end]),
    }
}

fn shown(letter: DeadLetter) -> Shown {
    let payload = payload_of(&letter);
    let problem = locate(letter.reason, &payload);
    let mut parts = parts(&payload, problem.as_ref());
    // A whole record is sent again as it is, or not at all.
    parts.mendable = parts.mendable.filter(|_| letter.readings_by_reason.is_none());
    Shown {
        payload: parts,
        problem: problem.map(|spot| Spot { member: spot.member.as_deref().map(printable_line), ..spot }),
        id: letter.id,
        reason: letter.reason,
        detail: printable_line(&letter.detail),
        readings_by_reason: letter.readings_by_reason,
        device_id: letter.device_id,
        arrived_at: letter.arrived_at,
        failed_at: letter.failed_at,
        stream: printable_line(&letter.stream),
        shard_id: printable_line(&letter.shard_id),
        sequence_number: printable_line(&letter.sequence_number),
        sub_sequence_number: letter.sub_sequence_number,
        index: letter.index,
        partition_key: printable_line(&letter.partition_key),
    }
}

fn parts(payload: &[u8], problem: Option<&Spot>) -> Payload {
    let (offset, length) = problem.map_or((payload.len(), 0), |spot| (spot.offset, spot.length));
    let start = whole_character(payload, offset);
    let from = if problem.is_some() { start.saturating_sub(AROUND_BYTES) } else { 0 };
    let from = character_start(payload, from);
    // Of what is wrong, and of what is not marked at all, so much is shown.
    let end = character_end(payload, offset + length);
    let wrong_end = if length > AROUND_BYTES { character_start(payload, start + AROUND_BYTES) } else { end };
    let before_end = if problem.is_some() { start } else { character_start(payload, start.min(2 * AROUND_BYTES)) };
    let after_end = match problem {
        Some(_) if wrong_end == end => character_start(payload, (end + AROUND_BYTES).min(payload.len())).max(end),
        Some(_) => wrong_end,
        None => before_end,
    };
    let after_start = if problem.is_some() { wrong_end } else { before_end };
    let text = std::str::from_utf8(payload).ok().filter(|text| text.len() <= MENDABLE_BYTES_MAX);
    Payload {
        bytes: payload.len(),
        hidden_before: from,
        before: lines(&payload[from..before_end]),
        wrong: lines(payload.get(start..wrong_end).unwrap_or_default()),
        after: lines(payload.get(after_start..after_end).unwrap_or_default()),
        hidden_after: payload.len() - after_end,
        mendable: text.map(printable),
    }
}

/// Printable text whose line feeds stay: it is shown in a box of its own.
fn lines(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&printable(chunk.valid()));
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The start of the character in whose middle `at` lies; `at` itself where the bytes there are none.
fn whole_character(bytes: &[u8], at: usize) -> usize {
    let start = character_start(bytes, at);
    let character = bytes.get(start..character_end(bytes, at)).unwrap_or_default();
    if std::str::from_utf8(character).is_ok() { start } else { at }
}

/// The end of the character in whose middle `at` lies.
fn character_end(bytes: &[u8], at: usize) -> usize {
    let is_inner = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (at..=at + 3).find(|at| !is_inner(*at)).unwrap_or(at)
}

/// The start of the character in whose middle `at` lies.
fn character_start(bytes: &[u8], at: usize) -> usize {
    let is_inner = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (at.saturating_sub(3)..=at).rev().find(|at| !is_inner(*at)).unwrap_or(at)
}

/// Whether a letter holds the text, in its payload or in what is known of it; ASCII letters alike in either case.
pub(super) fn holds(letter: &DeadLetter, text: &str) -> bool {
    let within = |hay: &[u8]| contains(hay, text.as_bytes());
    let device = letter.device_id.as_deref().unwrap_or_default();
    [&letter.id, &letter.detail, device, &letter.partition_key].iter().any(|hay| within(hay.as_bytes()))
        || within(letter.reason.as_str().as_bytes())
        || within(&payload_of(letter))
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || hay.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::DeadLetterOrigin;
    use proptest::prelude::*;
    use telemetry::Rejection;

    fn letter(reason: RejectReason, payload: &[u8], others: &str) -> DeadLetter {
        let origin = DeadLetterOrigin {
            stream: others,
            shard_id: others,
            sequence_number: others,
            sub_sequence_number: None,
            index: None,
            partition_key: others,
            arrived_at: Timestamp::UNIX_EPOCH,
        };
        DeadLetter::new(&Rejection::new(reason, others), payload, origin, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_wrong_member_stands_alone_in_the_middle() {
        let payload = br#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":"x"}"#;
        let Payload { before, wrong, after, hidden_before, hidden_after, mendable, .. } =
            shown(letter(RejectReason::InvalidReading, payload, "s")).payload;
        assert_eq!((wrong.as_str(), after.as_str()), ("\"x\"", "}"));
        assert_eq!((format!("{before}{wrong}{after}").as_bytes(), hidden_before, hidden_after), (&payload[..], 0, 0));
        assert_eq!(mendable.unwrap().as_bytes(), payload);
    }

    #[test]
    fn a_large_payload_is_shown_around_what_is_wrong() {
        let nested = "[".repeat(256 * 1024);
        let payload = shown(letter(RejectReason::MalformedJson, nested.as_bytes(), "s")).payload;
        assert!(payload.before.len() <= AROUND_BYTES && payload.after.len() <= AROUND_BYTES);
        let visible = payload.before.len() + payload.wrong.len() + payload.after.len();
        assert_eq!(payload.hidden_before + visible + payload.hidden_after, 256 * 1024);
        assert_eq!(payload.mendable, None);
        let unmarked = parts(nested.as_bytes(), None);
        assert_eq!((unmarked.before.len(), unmarked.hidden_after), (8000, 256 * 1024 - 8000));
    }

    #[test]
    fn a_text_is_found_wherever_it_stands() {
        let letter = letter(RejectReason::Late, b"{\"device_id\":\"Boiler\"} \xff", "the detail");
        for text in ["boiler", "BOILER", "the detail", "late", &letter.id] {
            assert!(holds(&letter, text), "{text}");
        }
        assert!(!holds(&letter, "boilers"));
    }

    proptest! {
        #[test]
        fn whatever_a_letter_holds_is_shown_as_printable_text_whole_or_said_to_be_hidden(
            payload in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..300),
                prop::collection::vec(any::<u8>(), 9000..9100),
                "(\\PC|\\p{Cf}|\\p{Cc}){0,40}".prop_map(String::into_bytes),
            ],
            others in "(\\p{Cc}|\\p{Cf}|\\PC){0,20}",
            reason in prop::sample::select(RejectReason::ALL.to_vec()),
        ) {
            let letter = letter(reason, &payload, &others);
            let row = row(&letter);
            let shown = shown(letter);
            let of_payload = &shown.payload;
            for text in [&of_payload.before, &of_payload.wrong, &of_payload.after, &row.excerpt, &row.detail, &shown.detail,
                &shown.partition_key, &shown.stream] {
                prop_assert_eq!(&printable(text), text);
            }
            let visible = lines(&payload[of_payload.hidden_before..payload.len() - of_payload.hidden_after]);
            prop_assert_eq!(format!("{}{}{}", of_payload.before, of_payload.wrong, of_payload.after), visible);
        }
    }
}
