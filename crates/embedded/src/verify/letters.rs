//! The dead letters: three tables, a total, and their copies in the archive.

use super::{FileReport, catching, each_row};
use crate::StorageFailure;
use crate::statistics_journal::{KNOWN_LETTERS, LETTER_INDEX, LETTERS, REDRIVE_INTENTS};
use ports::DeadLetter;
use redb::ReadTransaction;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What was ever sent, as the totals have it.
#[derive(Default)]
pub(super) struct Sent {
    /// Readings in dead letters, by reason.
    pub readings: BTreeMap<String, u64>,
    /// How many more they are than letters.
    pub beyond_letters: u64,
}

/// Compares the tables with each other, and with the totals of all letters ever sent, by reason.
pub(super) fn check_tables(transaction: &ReadTransaction, report: &mut FileReport, sent: &Sent) {
    let mut of_reasons = BTreeMap::<&str, u64>::new();
    each_row(transaction, LETTERS, report, |(failed_at, id), json, report| {
        match serde_json::from_slice::<DeadLetter>(json) {
            Err(_) => report.problem(format!("dead letter `{id}`: it doesn't decode")),
            Ok(letter) => {
                if letter.id != id || letter.failed_at.as_millisecond() != failed_at {
                    report.problem(format!("dead letter `{id}`: it is stored under another one's key"));
                }
                for (reason, readings) in letter.readings() {
                    let sum = of_reasons.entry(reason.as_str()).or_default();
                    *sum = sum.saturating_add(readings);
                }
                check_index(transaction, &letter, (failed_at, id), report)?;
            }
        }
        Ok(())
    });
    for (reason, readings) in of_reasons {
        let sent = sent.readings.get(reason).copied().unwrap_or_default();
        if readings > sent {
            report.problem(format!(
                "there are dead letters of {readings} readings of reason {reason}, but its total is {sent}"
            ));
        }
    }
    let mut known = 0;
    each_row(transaction, KNOWN_LETTERS, report, |_, _, _| {
        known += 1;
        Ok(())
    });
    let total = sent.readings.values().fold(0u64, |sum, sent| sum.saturating_add(*sent));
    report.totals.dead_letters = total;
    if sent.beyond_letters.saturating_add(known) != total {
        let readings = sent.beyond_letters.saturating_add(known);
        report.problem(format!("{known} dead letters of {readings} readings are known, but their totals are {total}"));
    }
    let letters = transaction.open_table(LETTERS);
    each_row(transaction, LETTER_INDEX, report, |key, _, report| {
        if letters.as_ref().is_ok_and(|letters| matches!(letters.get(key), Ok(None))) {
            report.problem(format!("dead letter `{}`: it is in lists, but not stored", key.1));
        }
        Ok(())
    });
    check_intents(transaction, report);
}

/// Every letter is known by its id, and has a row that lists are filtered by.
fn check_index(
    transaction: &ReadTransaction,
    letter: &DeadLetter,
    key: (i64, &str),
    report: &mut FileReport,
) -> Result<(), StorageFailure> {
    let expected = (letter.reason.as_str(), letter.device_id.as_deref().unwrap_or_default());
    let index = transaction.open_table(LETTER_INDEX)?.get(key)?;
    if index.map(|row| row.value() == expected) != Some(true) {
        report.problem(format!("dead letter `{}`: lists have another reason or device for it", key.1));
    }
    let known = transaction.open_table(KNOWN_LETTERS)?.get(key.1)?;
    if known.map(|row| row.value()) != Some(key.0) {
        report.problem(format!("dead letter `{}`: its id isn't known", key.1));
    }
    Ok(())
}

fn check_intents(transaction: &ReadTransaction, report: &mut FileReport) {
    each_row(transaction, REDRIVE_INTENTS, report, |id, form, report| {
        let failed_at = transaction.open_table(KNOWN_LETTERS)?.get(id)?.map(|stored| stored.value());
        let index = transaction.open_table(LETTER_INDEX)?;
        let is_there = match failed_at {
            Some(failed_at) => index.get((failed_at, id))?.is_some(),
            None => false,
        };
        if !is_there || form.len() != 16 {
            report.problem(format!("a note says that dead letter `{id}` is sent again, but there is no such letter"));
        }
        Ok(())
    });
}

/// The archive's copies equal the letters that the database still holds. Whether the files themselves are whole is for
/// `archive verify` to say.
pub(super) fn check_copies(transaction: &ReadTransaction, archive: &Path, report: &mut FileReport) {
    for path in files_of(&archive.join("dead-letters")) {
        if let Err(why) = catching(|| check_file(transaction, &path)) {
            let key = path.strip_prefix(archive).unwrap_or(&path).to_string_lossy();
            report.problem_of(format!("archive/{key}"), why);
        }
    }
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
    };
    let mut files: Vec<PathBuf> = list(folder).iter().flat_map(|day| list(day)).collect();
    files.sort_unstable();
    files
}

fn check_file(transaction: &ReadTransaction, path: &Path) -> Result<(), StorageFailure> {
    // `archive verify` also reports a file that can't be read.
    let bytes = fs::read(path).unwrap_or_default();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(copy) = serde_json::from_slice::<DeadLetter>(line) else { continue };
        let known = transaction.open_table(KNOWN_LETTERS)?.get(copy.id.as_str())?;
        let Some(failed_at) = known.map(|row| row.value()) else { continue };
        let stored = transaction.open_table(LETTERS)?.get((failed_at, copy.id.as_str()))?;
        if stored.is_some_and(|stored| !is_copy(stored.value(), &copy, line)) {
            return Err(StorageFailure::Corrupt(format!(
                "dead letter `{}` differs from the one in the database",
                copy.id
            )));
        }
    }
    Ok(())
}

/// A letter whose batch is delivered again is copied again, with another time and perhaps another reason. After a kill
/// between the copy and the database's commit, it is the database that has the later one.
fn is_copy(stored: &[u8], copy: &DeadLetter, line: &[u8]) -> bool {
    if line == stored {
        return true;
    }
    // A letter that doesn't decode is reported where its table is read.
    let Ok(stored) = serde_json::from_slice::<DeadLetter>(stored) else { return true };
    let again = DeadLetter {
        failed_at: copy.failed_at,
        reason: copy.reason,
        detail: copy.detail.clone(),
        readings_by_reason: copy.readings_by_reason.clone(),
        device_id: copy.device_id.clone(),
        ..stored.clone()
    };
    again == *copy && copy.failed_at != stored.failed_at
}
