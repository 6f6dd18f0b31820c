//! Log lines on standard error, above the live picture where there is one.

use super::log_limit::LogLimit;
use super::screen::Screen;
use anyhow::Context as _;
use ports::with_causes;
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer, format};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// How often lines that were held back are looked through.
const DUE_INTERVAL: Duration = Duration::from_secs(5);

/// Starts logging at the level of `STREAMGAUGE_LOG`: `info` where standard error is no terminal, else `warn`, because
/// there the picture says the rest.
pub fn init(screen: &Screen) -> anyhow::Result<HeldBack> {
    let limit = Arc::new(LogLimit::default());
    let format = format().with_target(false).with_ansi(screen.is_live());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter(if screen.is_live() { "warn" } else { "info" })?)
        .event_format(Limited { format, limit: limit.clone() })
        .with_writer(AboveScreen(screen.clone()));
    // A second initialisation can only be a test's; the first one stands.
    let _ = subscriber.try_init();
    Ok(HeldBack { limit, screen: screen.clone() })
}

/// The lines that were held back because their cause had one in the same minute.
#[derive(Clone)]
pub struct HeldBack {
    limit: Arc<LogLimit>,
    screen: Screen,
}

impl HeldBack {
    /// Writes those that fall due, for ever.
    pub async fn keep_writing(self) {
        loop {
            tokio::time::sleep(DUE_INTERVAL).await;
            self.write(self.limit.due(Instant::now()));
        }
    }

    /// Writes all, when the program ends.
    pub fn write_rest(&self) {
        self.write(self.limit.rest(Instant::now()));
    }

    fn write(&self, lines: Vec<String>) {
        for line in lines {
            drop(Line { screen: self.screen.clone(), bytes: line.into_bytes() });
        }
    }
}

/// Formats as `F` does, and warnings and errors only as often as [`LogLimit`] lets a cause be written.
struct Limited<F> {
    format: F,
    limit: Arc<LogLimit>,
}

impl<S, N, F> FormatEvent<S, N> for Limited<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN {
            return self.format.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        let mut cause = Cause::default();
        event.record(&mut cause);
        // An event's name is its place in the source.
        self.limit
            .admit(metadata.name(), cause.text(), line, Instant::now())
            .map_or(Ok(()), |line| writer.write_str(&line))
    }
}

/// What tells the causes of one call site apart: the message, the error, and the one file or device that a line is about,
/// so that each damaged one is named. Not the shard or a number: a full disk is one cause, however many shards it stops.
#[derive(Default)]
struct Cause {
    text: String,
    device_id: String,
    /// A line about many `devices` names the first of them, another one each time.
    is_about_many: bool,
}

impl Cause {
    fn text(mut self) -> String {
        if !self.is_about_many {
            self.text.push_str(&self.device_id);
        }
        self.text
    }
}

impl Visit for Cause {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" | "error" | "file" | "path" => writeln!(self.text, "{value:?}"),
            "device_id" => write!(self.device_id, "{value:?}"),
            _ => Ok(()),
        };
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_debug(field, &with_causes(value));
    }

    fn record_u64(&mut self, field: &Field, _: u64) {
        self.is_about_many |= field.name() == "devices";
    }

    fn record_i64(&mut self, _: &Field, _: i64) {}

    fn record_f64(&mut self, _: &Field, _: f64) {}
}

/// The levels of `STREAMGAUGE_LOG`.
const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

/// The level of `STREAMGAUGE_LOG`, or this one. Another word would be taken for a module's name, and nothing be logged.
pub fn filter(default: &str) -> anyhow::Result<EnvFilter> {
    let given = std::env::var_os("STREAMGAUGE_LOG").filter(|level| !level.is_empty());
    if let Some(level) = &given
        && !LEVELS.iter().any(|known| level.eq_ignore_ascii_case(known))
    {
        anyhow::bail!("STREAMGAUGE_LOG is {level:?}: must be error, warn, info or debug");
    }
    let level = given.as_ref().and_then(|level| level.to_str()).unwrap_or(default);
    EnvFilter::try_new(level).context("the log's filter")
}

struct AboveScreen(Screen);

impl<'a> MakeWriter<'a> for AboveScreen {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { screen: self.0.clone(), bytes: Vec::new() }
    }
}

/// One log line, written when it is whole.
struct Line {
    screen: Screen,
    bytes: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.is_empty() {
            return;
        }
        // Where standard error is gone there is nobody to tell.
        self.screen.suspend(|| drop(io::stderr().write_all(&bytes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `log` writes, and what is held back at its end.
    fn written(log: impl FnOnce()) -> (Vec<String>, Vec<String>) {
        let limit = Arc::new(LogLimit::default());
        let file = tempfile::NamedTempFile::new().unwrap();
        let format = format().with_target(false).with_ansi(false).without_time();
        let subscriber = tracing_subscriber::fmt()
            .event_format(Limited { format, limit: limit.clone() })
            .with_writer(Arc::new(file.reopen().unwrap()))
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let text = std::fs::read_to_string(file.path()).unwrap();
        (text.lines().map(str::to_owned).collect(), limit.rest(Instant::now()))
    }

    #[test]
    fn a_full_disk_writes_one_line_however_often_it_fails() {
        let (lines, rest) = written(|| {
            for at in 0..28_617u64 {
                tracing::warn!(shard = %(at % 4), records = at, error = "no space left", "a write failed");
            }
        });
        assert_eq!(lines, [" WARN a write failed shard=0 records=0 error=\"no space left\""]);
        assert_eq!(rest, [" WARN a write failed shard=0 records=28616 error=\"no space left\" repeated=28615\n"]);
    }

    #[test]
    fn another_error_file_or_device_is_another_cause() {
        let outer = |source: io::Error| io::Error::other(anyhow::Error::new(source).context("the database failed"));
        let (lines, rest) = written(|| {
            for source in [io::ErrorKind::StorageFull, io::ErrorKind::PermissionDenied] {
                let error = outer(source.into());
                tracing::warn!(error = &error as &dyn std::error::Error, "a write failed");
            }
            for name in ["a", "b"] {
                tracing::warn!(file = name, "a file cannot be read");
                tracing::error!(device_id = name, "stored state is corrupt");
            }
        });
        assert_eq!((lines.len(), rest.len()), (6, 0), "{lines:?}");
    }

    #[test]
    fn a_line_about_many_devices_is_one_cause() {
        let (lines, rest) = written(|| {
            for first in ["a", "b", "c"] {
                tracing::error!(error = "no space left", devices = 3u64, device_id = first, "device groups failed");
            }
        });
        assert_eq!(lines, ["ERROR device groups failed error=\"no space left\" devices=3 device_id=\"a\""]);
        assert_eq!(rest, ["ERROR device groups failed error=\"no space left\" devices=3 device_id=\"c\" repeated=1\n"]);
    }

    #[test]
    fn what_is_no_failure_is_never_held_back() {
        let (lines, rest) = written(|| (0..3).for_each(|_| tracing::info!("draining")));
        assert_eq!((lines.len(), rest.len()), (3, 0));
    }
}
