//! What a rebuild came to, for people.

use super::read::Found;
use embedded::{Accounting, Problem};
use redrive::printable_line;
use std::fmt::Write as _;
use std::path::Path;
use telemetry::RejectReason;

/// The summary. `has_key` says whether the devices' key was copied.
pub fn summary(into: &Path, found: &Found, accounts: &Accounting, has_key: bool) -> String {
    let into = printable_line(&into.display().to_string());
    let dead_letters: u64 = accounts.dead_letters.values().sum();
    let mut text = format!(
        "files         {}\n\
         lines         {}\n\
         readings      {}\n\
         counted       {}\n\
         duplicates    {}\n\
         dead letters  {dead_letters}\n",
        found.files, found.lines, accounts.accepted, accounts.counted, accounts.duplicates,
    );
    for (reason, count) in &accounts.dead_letters {
        // A text takes whatever is written to it.
        let _ = writeln!(text, "  {} {count}", reason.as_str());
    }
    let key = if has_key { "copied: devices keep using it" } else { "none was found: `up` makes a new one" };
    let _ = writeln!(text, "api-key       {key}");
    text.push_str(&unknown(accounts));
    for Problem { file, problem } in &found.problems {
        let _ = writeln!(text, "{}: {}", printable_line(file), printable_line(problem));
    }
    let _ = match found.problems.len() {
        0 => writeln!(text, "rebuilt in {into}"),
        count => writeln!(text, "rebuilt in {into}, but with {count} problems: restore these files, and rebuild again"),
    };
    text
}

/// What raw bodies don't say.
fn unknown(accounts: &Accounting) -> String {
    let conflicts = accounts.dead_letters.get(&RejectReason::ConflictingDuplicate).copied().unwrap_or_default();
    format!(
        "what could not be known:\n\
         - which of two values of one reading came first, unless both are in one shard of one stream: {conflicts} \
         conflicting values are dead letters now\n\
         - when a reading arrived, to less than an hour: one that was a dead letter (future_timestamp) may be counted now\n\
         - the partition key: a reading that was put under another than its device (partition_key_mismatch) is counted \
         now\n\
         - which dead letters were sent again or purged: all of them are dead letters again\n\
         - readings that were never archived: those that came after the last file\n\
         - how the statistics were at earlier times: the curated data begins now\n"
    )
}
