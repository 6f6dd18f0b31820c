//! `dlq redrive` and `dlq import`: letters back into the stream.

use super::exit_code;
use super::files::read;
use super::filters::FilterArgs;
use super::progress;
use super::queue::{Queue, QueueArgs};
use crate::output::{Format, print, say};
use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use ports::SystemClock;
use redrive::{
    Assignment, Letter, LetterOutcome, Observer, Outcome, Repairs, Run, RunOptions, Tally, parse_csv, parse_json_lines,
    printable_line,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use telemetry::FUTURE_TOLERANCE_DEFAULT_SECONDS;

/// What all sending has in common
#[derive(clap::Args)]
pub struct SendingArgs {
    #[command(flatten)]
    pub(super) queue: QueueArgs,
    /// Do it; without this, only say what would happen to each letter
    #[arg(long)]
    apply: bool,
    /// The most readings sent in a second
    #[arg(long, value_name = "READINGS_PER_SECOND", value_parser = rate)]
    rate: Option<f64>,
    /// How to print: json is an object a line for each letter, and last the totals
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Send dead letters again; without --apply, say what would happen to each
#[derive(clap::Args)]
pub struct RedriveArgs {
    #[command(flatten)]
    pub(super) sending: SendingArgs,
    /// Only the letter of this id; may be given several times
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Set a member of every letter that is sent, such as value=12.5 or device_id=kitchen; may be given several times
    #[arg(long, value_name = "MEMBER=VALUE", value_parser = Assignment::parse)]
    set: Vec<Assignment>,
    /// New bodies: JSON Lines of {"id","body"}, or CSV (.csv) with the columns id and body
    #[arg(long, value_name = "FILE")]
    map_file: Option<PathBuf>,
    /// Send conflicting_duplicate and late too, which would only come back; naming one as --reason does so as well
    #[arg(long)]
    all_reasons: bool,
}

/// Send the dead letters of an edited export again; without --apply, say what would happen to each
#[derive(clap::Args)]
pub struct ImportArgs {
    #[command(flatten)]
    pub(super) sending: SendingArgs,
    /// The edited export: JSON Lines of {"id","body"}, or CSV (.csv) with the columns id and body
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e9 => Ok(rate),
        _ => Err("must be a number above 0 and at most 1000000000".to_owned()),
    }
}

/// Redrives the letters that the flags name.
pub async fn redrive(queue: &Queue, args: RedriveArgs) -> Result<ExitCode> {
    let filter = args.filter.filter(&args.id);
    if !args.set.is_empty() && !filter.is_narrow() {
        bail!("--set changes every letter that it meets: name them with --id, --reason, --device, --since or --text");
    }
    let bodies = match &args.map_file {
        Some(file) => repairs_in(file)?.bodies(),
        None => Default::default(),
    };
    let options = RunOptions {
        // A reason that is named means its letters.
        returning_too: args.all_reasons || filter.reason.is_some(),
        filter,
        repairs: Repairs { assignments: args.set, bodies },
        ..RunOptions::default()
    };
    send(queue, options, &args.sending).await
}

/// Redrives the letters of a file, with the bodies in it.
pub async fn import(queue: &Queue, args: ImportArgs) -> Result<ExitCode> {
    let file = repairs_in(&args.file)?;
    let wanted = file.letters.len() as u64;
    let only = Some(file.letters.keys().cloned().collect());
    let repairs = Repairs { bodies: file.bodies(), ..Repairs::default() };
    let options = RunOptions { only, repairs, ..RunOptions::default() };
    let (tally, code) = run(queue, options, &args.sending).await?;
    let absent = wanted.saturating_sub(tally.letters);
    if absent > 0 {
        say(&format!("{absent} letters of the file are not in the queue: they went, or were deleted, before"));
        return Ok(exit_code(false));
    }
    Ok(code)
}

fn repairs_in(file: &Path) -> Result<redrive::RepairFile> {
    let text = read(file)?;
    let is_csv = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let parsed = if is_csv { parse_csv(&text) } else { parse_json_lines(&text) };
    parsed.with_context(|| file.display().to_string())
}

async fn send(queue: &Queue, options: RunOptions, args: &SendingArgs) -> Result<ExitCode> {
    run(queue, options, args).await.map(|(_, code)| code)
}

async fn run(queue: &Queue, options: RunOptions, args: &SendingArgs) -> Result<(Tally, ExitCode)> {
    let tolerance = Duration::from_secs(FUTURE_TOLERANCE_DEFAULT_SECONDS.unsigned_abs());
    if args.apply {
        queue.check_sending()?;
    }
    let options = RunOptions { rate: args.rate, future_tolerance: tolerance, ..options };
    let bar = if args.apply { progress::bar(queue, &options.filter).await? } else { ProgressBar::hidden() };
    let redriver = args.apply.then_some(queue);
    let mut report = Report { bar, format: args.format, sent: 0, failed: BTreeMap::new() };
    let run = Run { queue, redriver, failed_records: queue, clock: &SystemClock };
    let result = run.run(&options, &mut report).await;
    report.bar.finish_and_clear();
    print(&report.more_failed())?;
    let tally = match result {
        Ok(tally) => tally,
        Err(error) if report.sent > 0 => {
            let error = anyhow::Error::new(error);
            say(&format!("stopped after {} letters had gone; run it again: {error:#}", report.sent));
            return Ok((Tally::default(), exit_code(false)));
        }
        Err(error) => return Err(error.into()),
    };
    if args.apply {
        queue.delete_leftovers().await?;
    }
    let text = match args.format {
        Format::Table => totals(&tally, args.apply),
        Format::Json => serde_json::json!({"applied": args.apply, "totals": tally}).to_string() + "\n",
    };
    print(&text)?;
    let code = exit_code(tally.is_complete());
    Ok((tally, code))
}

fn totals(tally: &Tally, apply: bool) -> String {
    if tally.letters == 0 {
        return "no dead letters\n".to_owned();
    }
    let (sent, end) = if apply { ("sent", "") } else { ("would be sent", "; nothing was changed, --apply does it") };
    let Tally { letters, readings, skipped, refused, failed, .. } = tally;
    let went = tally.sent;
    let lost = if tally.lost > 0 { format!(", {} partly lost", tally.lost) } else { String::new() };
    let gone = if tally.gone > 0 { format!(", {} no longer in the queue", tally.gone) } else { String::new() };
    format!(
        "{letters} dead letters: {went} {sent} ({readings} readings), {skipped} skipped, {refused} refused{lost}{gone}, {failed} failed{end}\n"
    )
}

/// The lines of one cause of failures in a table; further letters of it are counted.
const LINES_PER_CAUSE: u64 = 20;

/// Says what becomes of each letter: of all in a dry run, and of those that are still there.
struct Report {
    bar: ProgressBar,
    format: Format,
    sent: u64,
    /// Cause -> letters that failed for it.
    failed: BTreeMap<String, u64>,
}

impl Report {
    /// Whether a line of a table says no more than the totals do, or than many lines before it.
    fn is_left_out(&mut self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Sent(_) | Outcome::Gone => true,
            Outcome::Failed(error) => {
                let letters = self.failed.entry(error.to_string()).or_default();
                *letters += 1;
                *letters > LINES_PER_CAUSE
            }
            _ => false,
        }
    }

    /// A line for each cause of which letters were left out.
    fn more_failed(&self) -> String {
        let more = self.failed.iter().filter(|(_, letters)| **letters > LINES_PER_CAUSE);
        let line = |(why, letters): (&String, &u64)| {
            format!("… and {} more failed: {}\n", letters - LINES_PER_CAUSE, printable_line(why))
        };
        more.map(line).collect()
    }
}

impl Observer for Report {
    fn outcome(&mut self, letter: &Letter, outcome: &Outcome) {
        self.bar.inc(1);
        self.sent += u64::from(matches!(outcome, Outcome::Sent(_)));
        if self.format == Format::Table && self.is_left_out(outcome) {
            return;
        }
        let told = LetterOutcome::new(letter, outcome);
        let line = match self.format {
            // Texts and numbers always have a JSON form.
            Format::Json => serde_json::to_string(&told).unwrap_or_default(),
            Format::Table => {
                let what = told.why.unwrap_or_else(|| match told.readings {
                    Some(1) => "1 reading".to_owned(),
                    readings => format!("{} readings", readings.unwrap_or(0)),
                });
                let device = told.device_id.as_deref().unwrap_or("–");
                let what = format!("{}: {what}", told.action.as_str());
                [&told.id, &told.reason, device, &what].map(printable_line).join("  ")
            }
        };
        // If nobody reads any more, the exit code still says it.
        self.bar.suspend(|| {
            let _ = print(&(line + "\n"));
        });
    }
}
