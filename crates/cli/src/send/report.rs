//! The summary of `send`, for people.

use crate::endpoint::printable;
use crate::output::print;
use anyhow::Result;
use producer::Summary;
use std::io::Write as _;

/// How many refusals are shown; all are counted.
const SHOWN_REFUSALS_MAX: usize = 20;

/// Prints the summary on standard output and the refusals on standard error. `posts` is what posts are called.
pub fn print_text(summary: &Summary, posts: &str) -> Result<()> {
    for refusal in summary.refusals.iter().take(SHOWN_REFUSALS_MAX) {
        write_line(&printable(&refusal.to_string()));
    }
    let shown: u64 = summary.refusals.iter().take(SHOWN_REFUSALS_MAX).map(|refusal| refusal.readings).sum();
    if shown > 0 && summary.refused > shown {
        write_line(&format!("… and {} more refused", summary.refused - shown));
    }
    print(&text(summary, posts)).map(drop)
}

/// Where standard error is gone, as with a closed terminal, there is nobody to tell.
fn write_line(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn text(summary: &Summary, posts: &str) -> String {
    let Summary { sent, accepted, refused, retried, posts: made, .. } = summary;
    format!(
        "sent      {sent} readings in {made} {posts}\n\
         accepted  {accepted}\n\
         refused   {refused}\n\
         retried   {retried} {posts}\n\
         duration  {:.2} s, {:.0} readings/s\n",
        summary.duration_seconds, summary.readings_per_second
    )
}
