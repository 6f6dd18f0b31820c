//! `dlq show`: one letter, and where it is wrong.

use super::exit_code;
use super::queue::{Queue, QueueArgs};
use super::tables::{instant, json};
use crate::output::{Format, print, say};
use anyhow::Result;
use ports::DeadLetter;
use redrive::{DeadLetters, Filter, Letter, PageRequest, Spot, locate, printable_bytes, printable_line};
use std::process::ExitCode;

/// The most bytes of a payload that are shown.
const PAYLOAD_BYTES: usize = 2000;
/// Bytes shown on each side of the place that is wrong.
const AROUND_BYTES: usize = 30;

/// Show one dead letter: its payload, what is wrong and where, and where it came from
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) queue: QueueArgs,
    /// How to print: json has the whole payload
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The letter's id
    #[arg(value_name = "ID")]
    id: String,
}

/// Prints the letter; exits 1 when there is none of that id.
pub async fn show(queue: &Queue, args: Args) -> Result<ExitCode> {
    let filter = Filter { ids: vec![args.id.clone()], ..Filter::default() };
    let page = queue.page(&PageRequest { filter, limit: 1, ..PageRequest::default() }).await?;
    let receipts = page.letters.iter().map(|held| held.receipt.clone()).collect();
    queue.release(receipts).await?;
    let Some(held) = page.letters.into_iter().next() else {
        say(&format!("no dead letter of the id {}", printable_line(&args.id)));
        return Ok(exit_code(false));
    };
    let text = match args.format {
        Format::Table => text(&held.letter),
        Format::Json => whole_json(&held.letter)? + "\n",
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The letter with its payload as text, where it is text, and the place that is wrong.
fn whole_json(letter: &Letter) -> Result<String> {
    let mut json = json(letter)?;
    if let (Letter::Rejected(rejected), Some(members)) = (letter, json.as_object_mut()) {
        let payload = letter.payload().unwrap_or_default();
        let problem = locate(rejected.reason, &payload);
        members.insert("payload".to_owned(), serde_json::to_value(String::from_utf8(payload).ok())?);
        members.insert("problem".to_owned(), serde_json::to_value(problem)?);
    }
    Ok(serde_json::to_string(&json)?)
}

/// The letter for people. Whatever comes from elsewhere is escaped, and stands on one line.
pub(super) fn text(letter: &Letter) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text += &format!("{name:<14}  {}\n", printable_line(value));
    line("id", letter.id());
    line("reason", letter.reason().as_str());
    line("detail", &letter.detail());
    let payload = letter.payload().unwrap_or_default();
    let spot = match letter {
        Letter::Rejected(rejected) => locate(rejected.reason, &payload),
        _ => None,
    };
    if let Some(Spot { member, offset, line: row, column, .. }) = &spot {
        let place = format!("line {row}, column {column} (byte {offset})");
        line("where", &member.as_ref().map_or_else(|| place.clone(), |member| format!("{member}, {place}")));
    }
    match letter {
        Letter::Rejected(rejected) => origin(rejected, &mut line),
        Letter::LambdaFailure(failure) => {
            line("came from", &format!("{}, {}", failure.stream_arn, failure.shard_id));
            line("arrived", &format!("{} to {}", instant(failure.first_arrival), instant(failure.last_arrival)));
            line("given up", &instant(failure.failed_at));
            return text;
        }
        Letter::Unreadable { .. } => {}
    }
    line("payload", &format!("{} bytes", payload.len()));
    let shown = &payload[..payload.len().min(PAYLOAD_BYTES)];
    text += &format!("\n  {}", printable_bytes(shown));
    if shown.len() < payload.len() {
        text += &format!(" … ({} bytes more: --format json has them)", payload.len() - shown.len());
    }
    text.push('\n');
    if let Some(spot) = spot {
        text += &marked(&payload, &spot);
    }
    text
}

fn origin(letter: &DeadLetter, line: &mut impl FnMut(&str, &str)) {
    line("device", letter.device_id.as_deref().unwrap_or("no valid one is named"));
    if let Some(by_reason) = &letter.readings_by_reason {
        let counts: Vec<String> = by_reason.iter().map(|(reason, readings)| format!("{readings} {reason}")).collect();
        line("readings", &counts.join(", "));
    }
    let mut origin = format!("{}, {}, sequence number {}", letter.stream, letter.shard_id, letter.sequence_number);
    if let Some(number) = letter.sub_sequence_number {
        origin += &format!(", record {number} of its aggregate");
    }
    if let Some(index) = letter.index {
        origin += &format!(", reading {index} of its series");
    }
    line("came from", &origin);
    line("partition key", &letter.partition_key);
    line("arrived", &letter.arrived_at.to_string());
    line("given up", &letter.failed_at.to_string());
}

/// The place that is wrong, with its surroundings and a mark under it.
fn marked(payload: &[u8], spot: &Spot) -> String {
    let end = spot.offset + spot.length.min(AROUND_BYTES);
    let from = character_start(payload, spot.offset.saturating_sub(AROUND_BYTES));
    let (end, to) = (character_start(payload, end), character_start(payload, (end + AROUND_BYTES).min(payload.len())));
    // A byte that is no character may begin where no character does.
    let end = end.max((spot.offset + spot.length.min(1)).min(payload.len()));
    let before = printable_bytes(&payload[from..spot.offset]);
    let wrong = printable_bytes(&payload[spot.offset..end]);
    let after = printable_bytes(&payload[end..to.max(end)]);
    let mark = "^".repeat(wrong.chars().count().max(1));
    format!("\n  {before}{wrong}{after}\n  {}{mark}\n", " ".repeat(before.chars().count()))
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
    use telemetry::{RejectReason, Rejection, Timestamp};

    fn letter(reason: RejectReason, payload: &[u8], text: &str) -> Letter {
        let origin = DeadLetterOrigin {
            stream: text,
            shard_id: text,
            sequence_number: text,
            sub_sequence_number: Some(1),
            index: Some(2),
            partition_key: text,
            arrived_at: Timestamp::UNIX_EPOCH,
        };
        Letter::Rejected(DeadLetter::new(&Rejection::new(reason, text), payload, origin, Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn the_wrong_member_is_marked() {
        let payload = br#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":"x"}"#;
        let shown = text(&letter(RejectReason::InvalidReading, payload, "s"));
        assert!(shown.contains("where           value, line 1, column 61 (byte 60)\n"), "{shown}");
        let lines: Vec<_> = shown.lines().rev().take(2).collect();
        let mark = lines[0].find("^^^").expect("a mark");
        assert_eq!(&lines[1][mark..mark + 3], "\"x\"");
    }

    fn hostile() -> Vec<Vec<u8>> {
        let nested = |open: &str| open.repeat(256 * 1024 / open.len()).into_bytes();
        let mut payloads =
            vec![nested("["), nested("{\"a\":"), nested("\u{202e}"), vec![0xff; 4000], (0..=255).collect()];
        payloads.extend(
            ["\u{1b}]0;title\u{7}", "\u{9b}31m", "{\"value\":\"\u{1b}[2J\"}", "a\rb\u{8}\u{8}", "\u{2028}", ""]
                .map(Into::into),
        );
        payloads.push(b"{\"a\":\"\xed\xa0\x80\"}".to_vec());
        // JSON that is no object has no member to mark.
        payloads.push(b"0".to_vec());
        payloads
    }

    fn lines_of(payload: &[u8], text_of_others: &str, reason: RejectReason) -> (String, usize) {
        let shown = redrive::printable(&text(&letter(reason, payload, text_of_others)));
        let lines = shown.lines().count();
        (shown, lines)
    }

    fn assert_safe(payload: &[u8], others: &str, reason: RejectReason) {
        let (shown, lines) = lines_of(payload, others, reason);
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        assert!(!shown.contains(['\u{202e}', '\u{200b}', '\u{2066}', '\u{2028}']), "{shown:?}");
        // No text from elsewhere can make a line: there are those of ours, which are 11 where no place is marked.
        assert!((11..=16).contains(&lines), "{lines}: {shown}");
        assert!(shown.len() < 60_000, "{}", shown.len());
    }

    #[test]
    fn hostile_payloads_are_shown_safely() {
        for payload in hostile() {
            for reason in RejectReason::ALL {
                assert_safe(&payload, "\u{1b}[31m\n\r\u{9b}\u{202e}x", reason);
            }
        }
    }

    proptest! {
        #[test]
        fn no_letter_reaches_the_terminal_with_a_control_character(
            payload in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), "\\PC*(\\p{Cf}|\\p{Cc}|\\PC)*".prop_map(String::into_bytes)],
            others in "(\\p{Cc}|\\p{Cf}|\\PC){0,40}",
            reason in prop::sample::select(RejectReason::ALL.to_vec()),
        ) {
            assert_safe(&payload, &others, reason);
        }
    }
}
