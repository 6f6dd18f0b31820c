//! The archive's copies of dead letters, and what is noted beside them.
//!
//! A queue drops its messages after 14 days at most; the copies stay. What became of a letter is written beside them:
//!
//! - `redrive/forms/<id>.json`: the form in which it is, or is about to be, sent; the first one put wins.
//! - `redrive/done/dt=<day>/<hash>.txt`: ids, one a line, of letters that went, or were purged. The day is that of the
//!   letter's copy. Without this every letter that was ever sent would be found again among the copies.

use crate::archived::{keys, unavailable};
use crate::hash::hash;
use crate::lambda_failure::LambdaFailure;
use crate::letter::Letter;
use crate::queue::{Intent, Noted, QueueError};
use ports::{Archive, DeadLetter, PutNew};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;
use telemetry::Timestamp;

/// Where copies of dead letters are.
const LETTERS: &str = "dead-letters/";
/// Where Lambda puts what it gives up.
const FAILURES: &str = "aws/lambda/";
/// A letter may be given up so long after it arrived: as long as the stream keeps it.
const WAIT_MAX: Duration = Duration::from_secs(8 * 86_400);
/// How far back copies are looked at where nothing says since when: twice as long as a queue keeps its messages, and more.
const LOOK_BACK: Duration = Duration::from_secs(31 * 86_400);

/// The day of a letter's copy.
pub(crate) fn day(letter: &Letter) -> Option<String> {
    match letter {
        Letter::Rejected(letter) => Some(letter.arrived_at.utc_date()),
        Letter::LambdaFailure(failure) => failure.failed_at.map(Timestamp::utc_date),
        Letter::Unreadable { .. } => None,
    }
}

#[derive(Serialize, Deserialize)]
struct Form {
    version: u8,
    form: String,
}

/// Notes the form of a letter, unless one is noted.
pub(crate) async fn note_form<A: PutNew>(archive: &A, intent: &Intent) -> Result<Noted, QueueError> {
    let form: String = intent.form.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = format!("redrive/forms/{}.json", file_name(&intent.id));
    // Two short texts always have a JSON form.
    let json = serde_json::to_vec(&Form { version: 1, form: form.clone() }).unwrap_or_default();
    if archive.put_new(&key, json).await.map_err(unavailable)? {
        return Ok(Noted::Noted);
    }
    let noted = archive.get(&key).await.map_err(unavailable)?;
    let noted: Option<Form> = noted.and_then(|json| serde_json::from_slice(&json).ok());
    Ok(if noted.is_some_and(|noted| noted.form == form) { Noted::Noted } else { Noted::OtherForm })
}

/// Notes that letters, each with its day, went or were purged.
pub(crate) async fn note_done<A: Archive>(
    archive: &A,
    letters: &[(String, String)],
    done: &mut Done,
) -> Result<(), QueueError> {
    let mut days: BTreeMap<&str, String> = BTreeMap::new();
    for (id, day) in letters {
        let ids = days.entry(day).or_default();
        *ids += &file_name(id);
        ids.push('\n');
    }
    for (day, ids) in days {
        let key = format!("redrive/done/dt={day}/{}.txt", hash(ids.as_bytes()));
        // Before it is put: what this run noted, and failed to delete, is no other run's.
        done.keys.insert(key.clone());
        archive.put(&key, ids.into_bytes()).await.map_err(unavailable)?;
    }
    Ok(())
}

/// An id is a hash, but may come from a message that anyone sent.
fn file_name(id: &str) -> String {
    let is_hash = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { id.to_owned() } else { hash(id.as_bytes()) }
}

/// The first day on which copies are to be looked at, for letters that were given up since `since`.
fn first_day(since: Option<Timestamp>, now: Timestamp) -> String {
    let earlier = |at: Timestamp, by: Duration| Timestamp::from_nanosecond(at.as_nanosecond() - by.as_nanos() as i128);
    let from = since.or_else(|| earlier(now, LOOK_BACK)).and_then(|since| earlier(since, WAIT_MAX));
    from.unwrap_or(Timestamp::UNIX_EPOCH).utc_date()
}

/// Letters that went or were purged, as far as their copies or messages can be met.
#[derive(Debug, Default)]
pub(crate) struct Done {
    ids: HashSet<String>,
    /// The objects that were read, or put by this process.
    keys: HashSet<String>,
    /// The first day whose objects are read.
    from: String,
}

impl Done {
    /// Reads what is noted of letters that were given up in the time of [`open_copies`], or are in a queue still.
    pub(crate) async fn read<A: Archive>(
        archive: &A,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, QueueError> {
        let from = first_day(since, now).min(first_day(None, now));
        let mut done = Done { from, ..Done::default() };
        done.read_on(archive).await?;
        Ok(done)
    }

    /// Reads what others have noted since.
    pub(crate) async fn read_on<A: Archive>(&mut self, archive: &A) -> Result<(), QueueError> {
        for key in keys(archive, "redrive/done/", &format!("dt={}", self.from)).await? {
            if self.keys.contains(&key) {
                continue;
            }
            let ids = archive.get(&key).await.map_err(unavailable)?.unwrap_or_default();
            self.ids.extend(String::from_utf8_lossy(&ids).lines().map(str::to_owned));
            self.keys.insert(key);
        }
        Ok(())
    }

    /// Whether the letter of this id went or was purged.
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.ids.contains(&file_name(id))
    }
}

/// Reads the copies of letters that were given up since `since`, but for those that are `done` or `seen`.
pub(crate) async fn open_copies<A: Archive>(
    archive: &A,
    since: Option<Timestamp>,
    now: Timestamp,
    done: &Done,
    seen: &HashSet<String>,
) -> Result<Vec<Letter>, QueueError> {
    let from = first_day(since, now);
    let mut open: BTreeMap<String, Letter> = BTreeMap::new();
    let mut keep = |letter: Letter| {
        if !seen.contains(letter.id()) && !done.contains(letter.id()) {
            open.insert(letter.id().to_owned(), letter);
        }
    };
    for key in keys(archive, LETTERS, &format!("dt={from}")).await? {
        let Some(object) = archive.get(&key).await.map_err(unavailable)? else { continue };
        letters_of(&object).into_iter().for_each(&mut keep);
    }
    for key in
        keys(archive, FAILURES, "").await?.into_iter().filter(|key| failure_day(key).is_none_or(|day| day >= from))
    {
        let failure = failure_object(archive, &key).await?;
        failure.map(Letter::LambdaFailure).into_iter().for_each(&mut keep);
    }
    Ok(open.into_values().collect())
}

/// The letters of an object of the archive, one a line.
pub(crate) fn letters_of(object: &[u8]) -> Vec<Letter> {
    let lines = object.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.filter_map(|line| serde_json::from_slice::<DeadLetter>(line).ok()).map(Letter::Rejected).collect()
}

/// What Lambda gave up, from its object; `None` where there is none, or where it is no such record.
pub(crate) async fn failure_object<A: Archive>(archive: &A, key: &str) -> Result<Option<LambdaFailure>, QueueError> {
    let object = archive.get(key).await.map_err(unavailable)?;
    let failure = object.and_then(|object| LambdaFailure::parse(std::str::from_utf8(&object).ok()?));
    Ok(failure.map(|failure| LambdaFailure { object_key: Some(key.to_owned()), ..failure }))
}

/// The day in `aws/lambda/<mapping>/<shard>/2026/01/31/2026-01-31T…`.
fn failure_day(key: &str) -> Option<String> {
    let parts: Vec<&str> = key.split('/').collect();
    match parts.as_slice() {
        ["aws", "lambda", _, _, year, month, day, _] => Some(format!("{year}-{month}-{day}")),
        _ => None,
    }
}
