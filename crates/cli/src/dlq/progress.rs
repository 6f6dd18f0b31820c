//! The bar of what goes through many letters: on standard error, and only where that is a terminal.

use super::queue::Queue;
use super::tables::PAGE;
use indicatif::{ProgressBar, ProgressStyle};
use redrive::{DeadLetters, Filter, PageRequest, QueueError};

/// A bar that ends with the letters that are there now. Where there is no terminal, nobody counts them first.
pub async fn bar(queue: &Queue, filter: &Filter) -> Result<ProgressBar, QueueError> {
    let bar = ProgressBar::no_length();
    if bar.is_hidden() {
        return Ok(bar);
    }
    let total = match queue.about() {
        Some(about) => about,
        None => count(queue, filter).await?,
    };
    bar.set_length(total);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3}% {pos} letters, {per_sec}  {eta} left") {
        bar.set_style(style);
    }
    Ok(bar)
}

async fn count(queue: &Queue, filter: &Filter) -> Result<u64, QueueError> {
    let mut total = 0;
    let mut request = PageRequest { filter: filter.clone(), limit: PAGE, ..PageRequest::default() };
    loop {
        let page = queue.page(&request).await?;
        total += page.letters.len() as u64;
        queue.release(page.letters.into_iter().map(|held| held.receipt).collect()).await?;
        match page.next {
            Some(next) => request.after = Some(next),
            None => return Ok(total),
        }
    }
}
