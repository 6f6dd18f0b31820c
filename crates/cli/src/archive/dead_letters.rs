//! Dead letters: JSON Lines, an object for each send.

use super::report::Report;
use super::{day_of, keys};
use anyhow::Result;
use embedded::dead_letter_key;
use ports::{DeadLetter, DeadLetterOrigin};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::Path;

/// The table's folder in the archive.
const PREFIX: &str = "dead-letters/";

/// Reads every letter of every file; compares its id with its origin, and the file's name with its letters' ids.
pub fn verify(archive: &Path, report: &mut Report) -> Result<()> {
    for key in keys(archive, PREFIX.trim_end_matches('/'))? {
        let Some(day) = day_of_file(&key) else {
            report.problem(&key, "it is not under dt=YYYY-MM-DD, or is no .jsonl");
            continue;
        };
        let mut problems = Vec::new();
        let letters = read(&archive.join(&key), &mut problems);
        if problems.is_empty() && !is_named_so(&key, &letters) {
            problems.push("its name doesn't match the ids of its letters".to_owned());
        }
        let entry = report.dead_letters.entry(day.to_owned()).or_default();
        entry.files += 1;
        entry.letters += letters.len() as u64;
        for problem in problems {
            report.problem(&key, problem);
        }
    }
    Ok(())
}

/// `YYYY-MM-DD` of `dead-letters/dt=YYYY-MM-DD/….jsonl`.
fn day_of_file(key: &str) -> Option<&str> {
    let (day, name) = key.strip_prefix(PREFIX)?.split_once('/')?;
    day_of(day).filter(|_| name.ends_with(".jsonl") && !name.contains('/'))
}

/// The letters that can be read, and what is wrong with the others.
fn read(path: &Path, problems: &mut Vec<String>) -> Vec<DeadLetter> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            problems.push(format!("it cannot be read to its end: {error}"));
            return Vec::new();
        }
    };
    if bytes.is_empty() {
        problems.push("the file is empty".to_owned());
    } else if !bytes.ends_with(b"\n") {
        problems.push("its last line does not end".to_owned());
    }
    let mut letters = Vec::new();
    let lines = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    for (number, line) in (1..).zip(lines.split(|byte| *byte == b'\n').filter(|_| !bytes.is_empty())) {
        match serde_json::from_slice::<DeadLetter>(line) {
            Err(_) => problems.push(format!("line {number} isn't a dead letter")),
            Ok(letter) if letter.id != origin(&letter).id() => {
                problems.push(format!("the id of the dead letter on line {number} doesn't match its origin"));
            }
            Ok(letter) => letters.push(letter),
        }
    }
    letters
}

fn origin(letter: &DeadLetter) -> DeadLetterOrigin<'_> {
    DeadLetterOrigin {
        stream: &letter.stream,
        shard_id: &letter.shard_id,
        sequence_number: &letter.sequence_number,
        sub_sequence_number: letter.sub_sequence_number,
        index: letter.index,
        partition_key: &letter.partition_key,
        arrived_at: letter.arrived_at,
    }
}

/// Whether the file has the name that one machine or AWS gives it.
fn is_named_so(key: &str, letters: &[DeadLetter]) -> bool {
    dead_letter_key(letters).as_deref() == Some(key) || key_on_aws(letters).as_deref() == Some(key)
}

fn key_on_aws(letters: &[DeadLetter]) -> Option<String> {
    let mut hash = Sha256::new();
    for letter in letters {
        hash.update(letter.id.as_bytes());
        hash.update(b"\n");
    }
    let name: String = hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{PREFIX}dt={}/{name}.jsonl", letters.first()?.arrived_at.utc_date()))
}
