//! Log lines on standard error, above the live picture where there is one.

use super::screen::Screen;
use anyhow::Context as _;
use std::io::{self, Write};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Starts logging at the level of `STREAMGAUGE_LOG`: `info` where standard error is no terminal, else `warn`, because
/// there the picture says the rest.
pub fn init(screen: &Screen) -> anyhow::Result<()> {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter(if screen.is_live() { "warn" } else { "info" })?)
        .with_target(false)
        .with_ansi(screen.is_live())
        .with_writer(AboveScreen(screen.clone()));
    // A second initialisation can only be a test's; the first one stands.
    let _ = subscriber.try_init();
    Ok(())
}

/// The level of `STREAMGAUGE_LOG`, or this one.
pub fn filter(default: &str) -> anyhow::Result<EnvFilter> {
    let level = std::env::var("STREAMGAUGE_LOG").ok().filter(|level| !level.is_empty());
    EnvFilter::try_new(level.as_deref().unwrap_or(default))
        .context("STREAMGAUGE_LOG: must be a level: error, warn, info or debug")
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
        // Where standard error is gone there is nobody to tell.
        self.screen.suspend(|| drop(io::stderr().write_all(&bytes)));
    }
}
