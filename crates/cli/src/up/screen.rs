//! What people see on standard error while the pipeline runs: a live picture on a terminal, a line now and then
//! elsewhere.

use super::totals::Totals;
use crate::output::say;
use embedded::EmbeddedStorage;
use gateway::Accounting;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ports::StatisticsItem;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use telemetry::DeviceId;
use tokio_util::sync::CancellationToken;

/// How often the picture is drawn.
const DRAW_INTERVAL: Duration = Duration::from_secs(1);

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Devices in the picture; `streamgauge stats` and the dashboard show all.
const DEVICES_SHOWN: usize = 12;

/// Standard error, with a picture at its foot where it is a terminal.
#[derive(Clone)]
pub struct Screen {
    bar: ProgressBar,
    live: bool,
}

impl Screen {
    /// The screen of this process.
    pub fn new() -> Self {
        let live = std::io::stderr().is_terminal();
        let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        // The template is a constant that parses.
        bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
        Screen { bar, live }
    }

    /// Whether a picture is drawn.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Takes the picture away while `write` writes to standard error.
    pub fn suspend(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }

    /// Takes the picture away for good; the last one stays readable above.
    pub fn clear(&self) {
        self.bar.abandon();
    }
}

/// Where people find the pipeline and its key.
pub struct Place {
    pub url: String,
    pub api_key_file: Option<PathBuf>,
}

/// Shows the pipeline until cancelled.
pub async fn show(
    screen: Screen,
    storage: EmbeddedStorage,
    totals: Totals,
    place: Place,
    cancelled: CancellationToken,
) {
    if !screen.is_live() {
        say(&format!("dashboard at {}/dashboard; SIGTERM, SIGHUP or Ctrl-C drains and ends", place.url));
        if let Some(line) = place.key_line() {
            say(&line);
        }
    }
    let interval = if screen.is_live() { DRAW_INTERVAL } else { LINE_INTERVAL };
    let mut before: Option<(Instant, u64)> = None;
    loop {
        if let Ok(accounts) = totals.read().await {
            let rate = before.map_or(0.0, |(at, counted)| {
                accounts.counted.saturating_sub(counted) as f64 / at.elapsed().as_secs_f64()
            });
            before = Some((Instant::now(), accounts.counted));
            if screen.is_live() {
                let list = storage.statistics().list(None, DEVICES_SHOWN + 1).await.unwrap_or_default();
                screen.bar.set_message(picture(&place, &accounts, rate, &list.devices));
            } else {
                say(&summary(&accounts, rate, "   "));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = cancelled.cancelled() => return,
        }
    }
}

impl Place {
    /// How to read the key: what people see may end up in a log, so the key itself is never shown.
    fn key_line(&self) -> Option<String> {
        Some(format!("API key: cat {}", self.api_key_file.as_ref()?.display()))
    }
}

fn picture(place: &Place, accounts: &Accounting, rate: f64, devices: &[(DeviceId, StatisticsItem)]) -> String {
    let mut text = format!(
        "\n  Streamgauge   dashboard: {}/dashboard   Ctrl-C ends\n{}\n  {}\n\n",
        place.url,
        place.key_line().map_or_else(String::new, |line| format!("  {line}\n")),
        summary(accounts, rate, "\n  ")
    );
    if devices.is_empty() {
        text.push_str("  No readings yet. Post some, or simulate a fleet: streamgauge up --devices 25\n");
        return text;
    }
    let head = ["device", "count", "mean", "median", "std deviation", "minimum", "maximum"];
    row(&mut text, &head.map(str::to_owned));
    for (device, item) in devices.iter().take(DEVICES_SHOWN) {
        let a = &item.attributes;
        let device: String = device.as_str().chars().take(28).collect();
        let numbers = [a.mean, a.median, a.standard_deviation, a.minimum, a.maximum]
            .map(|number| number.map_or_else(|| "–".to_owned(), crate::stats::table::significant));
        let [mean, median, deviation, minimum, maximum] = numbers;
        row(&mut text, &[device, thousands(a.count), mean, median, deviation, minimum, maximum]);
    }
    if devices.len() > DEVICES_SHOWN {
        text.push_str("  … all of them: streamgauge stats\n");
    }
    text
}

fn row(text: &mut String, cells: &[String; 7]) {
    let [device, count, mean, median, deviation, minimum, maximum] = cells;
    // Writing to a String cannot fail.
    let _ =
        writeln!(text, "  {device:<28} {count:>9} {mean:>12} {median:>12} {deviation:>13} {minimum:>12} {maximum:>12}");
}

/// The totals; where they don't add up, what is wrong follows after `separator`.
fn summary(accounts: &Accounting, rate: f64, separator: &str) -> String {
    let dead_letters: u64 = accounts.dead_letters.values().sum();
    let mut text = format!(
        "accepted {}   counted {}   duplicates {}   dead letters {}   pending {}   {} readings/s",
        thousands(accounts.accepted),
        thousands(accounts.counted),
        thousands(accounts.duplicates),
        thousands(dead_letters),
        thousands(accounts.pending),
        thousands(rate.round() as u64),
    );
    if accounts.unexplained > 0 {
        let unexplained = thousands(accounts.unexplained);
        // Writing to a String cannot fail.
        let _ =
            write!(text, "{separator}TOTALS DON'T ADD UP: {unexplained} more counted or dead letters than accepted");
    }
    text
}

/// A count with its thousands set apart.
fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_says_when_totals_do_not_add_up() {
        let mut accounts = Accounting { accepted: 10, counted: 10, ..Accounting::default() };
        let place = Place { url: "http://x".to_owned(), api_key_file: None };
        assert!(!picture(&place, &accounts, 0.0, &[]).contains("ADD UP"));
        accounts.unexplained = 1234;
        let alarm = "TOTALS DON'T ADD UP: 1,234 more counted or dead letters than accepted";
        assert!(picture(&place, &accounts, 0.0, &[]).contains(alarm));
        assert!(summary(&accounts, 0.0, "   ").ends_with(alarm));
    }

    #[test]
    fn the_terminal_says_how_to_read_the_key() {
        let place = Place { url: "http://x".to_owned(), api_key_file: Some("/data/api-key".into()) };
        let text = picture(&place, &Accounting::default(), 0.0, &[]);
        assert!(
            text.contains("dashboard: http://x/dashboard") && text.contains("  API key: cat /data/api-key\n"),
            "{text}"
        );
    }

    #[test]
    fn thousands_are_set_apart() {
        let texts = [0, 999, 1000, 12_345, 1_234_567].map(thousands);
        assert_eq!(texts, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }
}
