//! What the dashboard's page shows of dead letters: a row of the list, and one letter with what is wrong marked. Whatever
//! a payload contains, it leaves here as [`redrive::printable`] text.

use ports::DeadLetter;
use redrive::{Letter, Spot, locate, printable, printable_line};
use serde::Serialize;
use std::collections::BTreeMap;
use telemetry::{RejectReason, Timestamp};

/// Bytes of a payload that an excerpt shows, and that a letter shows before, at and after the place that is wrong.
const EXCERPT_BYTES: usize = 160;
const AROUND_BYTES: usize = 4000;
/// The largest payload that can be edited on the page.
const EDITABLE_BYTES_MAX: usize = 16 * 1024;

/// A letter for a list on a screen.
#[derive(Serialize)]
pub(super) struct Excerpt {
    id: String,
    reason: RejectReason,
    detail: String,
    device_id: Option<String>,
    arrived_at: Timestamp,
    failed_at: Timestamp,
    payload_bytes: usize,
    excerpt: String,
}

/// A letter by itself.
#[derive(Serialize)]
pub(super) struct Shown {
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
    /// The whole text, if it is text and not too long. JSON stays the same JSON.
    editable: Option<String>,
}

fn payload_of(letter: &DeadLetter) -> Vec<u8> {
    Letter::Rejected(letter.clone()).payload().unwrap_or_default()
}

impl Excerpt {
    pub fn new(letter: &DeadLetter) -> Self {
        let payload = payload_of(letter);
        let end = character_start(&payload, payload.len().min(EXCERPT_BYTES));
        Excerpt {
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
}

impl Shown {
    pub fn new(letter: DeadLetter) -> Self {
        let payload = payload_of(&letter);
        let problem = locate(letter.reason, &payload);
        let mut parts = parts(&payload, problem.as_ref());
        // A whole record is sent again as it is, or not at all.
        parts.editable = parts.editable.filter(|_| letter.readings_by_reason.is_none());
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
    let text = std::str::from_utf8(payload).ok().filter(|text| text.len() <= EDITABLE_BYTES_MAX);
    Payload {
        bytes: payload.len(),
        hidden_before: from,
        before: lines(&payload[from..before_end]),
        wrong: lines(payload.get(start..wrong_end).unwrap_or_default()),
        after: lines(payload.get(after_start..after_end).unwrap_or_default()),
        hidden_after: payload.len() - after_end,
        editable: text.map(printable),
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
        let Payload { before, wrong, after, hidden_before, hidden_after, editable, .. } =
            Shown::new(letter(RejectReason::InvalidReading, payload, "s")).payload;
        assert_eq!((wrong.as_str(), after.as_str()), ("\"x\"", "}"));
        assert_eq!((format!("{before}{wrong}{after}").as_bytes(), hidden_before, hidden_after), (&payload[..], 0, 0));
        assert_eq!(editable.unwrap().as_bytes(), payload);
    }

    #[test]
    fn a_large_payload_is_shown_around_what_is_wrong() {
        let nested = "[".repeat(256 * 1024);
        let payload = Shown::new(letter(RejectReason::MalformedJson, nested.as_bytes(), "s")).payload;
        assert!(payload.before.len() <= AROUND_BYTES && payload.after.len() <= AROUND_BYTES);
        let visible = payload.before.len() + payload.wrong.len() + payload.after.len();
        assert_eq!(payload.hidden_before + visible + payload.hidden_after, 256 * 1024);
        assert_eq!(payload.editable, None);
        let unmarked = parts(nested.as_bytes(), None);
        assert_eq!((unmarked.before.len(), unmarked.hidden_after), (8000, 256 * 1024 - 8000));
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
            let row = Excerpt::new(&letter);
            let shown = Shown::new(letter);
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
