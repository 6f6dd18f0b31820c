//! The progress bar of `send`: on standard error, and only where that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use producer::Progress;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the bar is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// A bar that follows a [`Progress`] until it is dropped, and leaves nothing behind.
pub struct Bar {
    drawing: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Bar {
    /// A bar whose end is a number of readings.
    pub fn of_readings(total: u64, progress: &Arc<Progress>) -> Self {
        let bar = ProgressBar::new(total);
        Bar::draw(bar, "{bar:30} {percent:>3}% {msg}  {eta} left", progress, |p| p.accepted() + p.refused())
    }

    /// A bar whose end is a number of bytes read.
    pub fn of_bytes(total: u64, progress: &Arc<Progress>) -> Self {
        Bar::draw(ProgressBar::new(total), "{bar:30} {percent:>3}% {msg}  {eta} left", progress, Progress::bytes_read)
    }

    /// A bar for a source whose end nobody knows.
    pub fn without_end(progress: &Arc<Progress>) -> Self {
        Bar::draw(ProgressBar::new_spinner(), "{spinner} {msg}  {elapsed}", progress, Progress::accepted)
    }

    fn draw(bar: ProgressBar, template: &str, progress: &Arc<Progress>, position: fn(&Progress) -> u64) -> Self {
        let Ok(style) = ProgressStyle::with_template(template) else { return Bar { drawing: None } };
        if bar.is_hidden() {
            // Standard error is no terminal.
            return Bar { drawing: None };
        }
        bar.set_style(style);
        let (stop, stopped) = channel();
        let progress = progress.clone();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(REDRAW) == Err(RecvTimeoutError::Timeout) {
                bar.set_message(message(&progress));
                bar.set_position(position(&progress));
                bar.tick();
            }
            bar.finish_and_clear();
        });
        Bar { drawing: Some((stop, thread)) }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.drawing.take() {
            drop(stop);
            // A bar that panicked has nothing to say about the readings.
            let _ = thread.join();
        }
    }
}

fn message(progress: &Progress) -> String {
    let mut message = format!("{} accepted", progress.accepted());
    for (count, word) in [(progress.refused(), "refused"), (progress.retried(), "retried")] {
        if count > 0 {
            message += &format!(", {count} {word}");
        }
    }
    message
}
