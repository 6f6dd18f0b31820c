//! The progress bar of commands that go through many letters: on standard error, if that is a terminal.

use super::queue::Queue;
use indicatif::{ProgressBar, ProgressStyle};
use redrive::{Filter, QueueError};

/// A bar whose end is the number of letters that match now. Without a terminal they are not counted.
pub async fn bar(queue: &Queue, filter: &Filter) -> Result<ProgressBar, QueueError> {
    let bar = ProgressBar::no_length();
    if bar.is_hidden() {
        return Ok(bar);
    }
    let total = match queue.about() {
        Some(about) => about,
        None => queue.count(filter).await?,
    };
    bar.set_length(total);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3}% {pos} letters, {per_sec}  {eta} left") {
        bar.set_style(style);
    }
    Ok(bar)
}
