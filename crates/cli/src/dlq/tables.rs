//! `dlq summary` and `dlq list`.

use super::filters::FilterArgs;
use super::queue::{PAGE, Queue, QueueArgs};
use crate::output::{Format, print};
use anyhow::{Context, Result};
use ports::{Clock as _, SystemClock};
use redrive::{Counting, DeadLetters as _, Letter, PageRequest, Summary, every_page, printable_line};
use std::process::ExitCode;
use telemetry::Timestamp;

/// The most characters of a detail in a table.
const DETAIL_CHARS: usize = 100;
/// What a cell without a value shows.
const NONE: &str = "–";

/// Count dead letters by reason, age and device
#[derive(clap::Args)]
pub struct SummaryArgs {
    #[command(flatten)]
    pub(super) queue: QueueArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// List dead letters, newest first
#[derive(clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub(super) queue: QueueArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// The most letters
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// How to print: json is an array of whole letters
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Prints the summary.
pub async fn summary(queue: &Queue, args: SummaryArgs) -> Result<ExitCode> {
    let (mut counting, now) = (Counting::default(), SystemClock.now());
    let request = PageRequest { filter: args.filter.filter(&[]), limit: PAGE, ..PageRequest::default() };
    let look = |letters: Vec<Letter>| -> Result<()> {
        letters.iter().for_each(|letter| counting.add(letter, now));
        Ok(())
    };
    every_page(queue, request, look).await?;
    let summary = counting.finish();
    let text = match args.format {
        Format::Table => summary_text(&summary),
        Format::Json => serde_json::to_string(&summary)? + "\n",
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the list, page by page.
pub async fn list(queue: &Queue, args: ListArgs) -> Result<ExitCode> {
    let mut left = args.limit as usize;
    let filter = args.filter.filter(&[]);
    let mut request = PageRequest { filter, limit: left.min(PAGE), ..PageRequest::default() };
    let mut first = true;
    let end = if args.format == Format::Json { "\n]\n" } else { "" };
    loop {
        let page = queue.page(&request).await?;
        let (letters, receipts): (Vec<_>, Vec<_>) =
            page.letters.into_iter().map(|held| (held.letter, held.receipt)).unzip();
        left -= letters.len().min(left);
        let text = match args.format {
            Format::Table => list_text(&letters, first),
            Format::Json => json_lines(&letters, first)?,
        };
        queue.release(receipts).await?;
        if !print(&text)? {
            return Ok(ExitCode::SUCCESS);
        }
        first &= letters.is_empty();
        match page.next {
            Some(next) if left > 0 => request = PageRequest { after: Some(next), limit: left.min(PAGE), ..request },
            _ => break,
        }
    }
    print(match (args.format, first) {
        (Format::Table, true) => "no dead letters\n",
        (Format::Json, true) => "[]\n",
        _ => end,
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Letters of an array, one a line; the caller closes the array.
fn json_lines(letters: &[Letter], first: bool) -> Result<String> {
    let mut text = String::new();
    for (place, letter) in letters.iter().enumerate() {
        text += if first && place == 0 { "[\n" } else { ",\n" };
        text += &serde_json::to_string(&json(letter)?).context("a letter has no JSON")?;
    }
    Ok(text)
}

/// A letter as JSON: its own members or, of what is no dead letter of the aggregator, what is known of it.
pub(super) fn json(letter: &Letter) -> Result<serde_json::Value> {
    Ok(match letter {
        Letter::Rejected(letter) => serde_json::to_value(letter)?,
        Letter::LambdaFailure(failure) => serde_json::json!({
            "id": failure.id, "reason": letter.reason().as_str(), "detail": letter.detail(), "stream": failure.stream_arn,
            "shard_id": failure.shard_id, "start_sequence_number": failure.start_sequence_number,
            "end_sequence_number": failure.end_sequence_number, "batch_size": failure.batch_size,
            "first_arrival": failure.first_arrival, "last_arrival": failure.last_arrival, "failed_at": failure.failed_at,
            "object_key": failure.object_key,
        }),
        Letter::Unreadable { id, text, .. } => serde_json::json!({
            "id": id, "reason": letter.reason().as_str(), "detail": letter.detail(), "text": text,
        }),
    })
}

fn list_text(letters: &[Letter], first: bool) -> String {
    let mut rows = Vec::with_capacity(letters.len() + 1);
    if first && !letters.is_empty() {
        rows.push(["id", "given up", "reason", "device", "detail"].map(str::to_owned));
    }
    rows.extend(letters.iter().map(|letter| {
        let detail: String = letter.detail().chars().take(DETAIL_CHARS).collect();
        let device = letter.device_id().unwrap_or(NONE);
        [letter.id(), &instant(letter.failed_at()), letter.reason().as_str(), device, &detail].map(printable_line)
    }));
    table(&rows, 5)
}

fn summary_text(summary: &Summary) -> String {
    if summary.letters == 0 {
        return "no dead letters\n".to_owned();
    }
    let mut rows = vec![["reason", "letters", "oldest", "newest"].map(str::to_owned)];
    for (reason, of) in &summary.reasons {
        rows.push([(*reason).to_owned(), of.letters.to_string(), instant(of.oldest), instant(of.newest)]);
    }
    rows.push(["all".to_owned(), summary.letters.to_string(), String::new(), String::new()]);
    let mut text = table(&rows, 1);
    let ages = &summary.ages;
    text += &format!(
        "\nage: {} under 1 hour, {} under 1 day, {} under 7 days, {} of 7 days or more\n\n",
        ages.under_1_hour, ages.under_1_day, ages.under_7_days, ages.from_7_days
    );
    let mut rows = vec![["device", "letters"].map(str::to_owned)];
    rows.extend(summary.devices.iter().map(|device| [printable_line(&device.device_id), device.letters.to_string()]));
    let (others, shown) = (summary.device_count - summary.devices.len() as u64, summary.devices.iter());
    if others > 0 {
        let named: u64 = shown.map(|device| device.letters).sum();
        let rest = summary.letters - summary.without_device - named;
        rows.push([format!("{others} other devices"), rest.to_string()]);
    }
    if summary.without_device > 0 {
        rows.push(["no valid device".to_owned(), summary.without_device.to_string()]);
    }
    text + &table(&rows, 1)
}

pub(super) fn instant(at: Option<Timestamp>) -> String {
    at.map_or_else(|| NONE.to_owned(), |at| at.to_string())
}

/// Columns two spaces apart; the one of index `numbers` is set to the right.
fn table<const N: usize>(rows: &[[String; N]], numbers: usize) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if column == numbers { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}
