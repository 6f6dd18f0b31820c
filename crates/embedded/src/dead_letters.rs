//! The dead-letter queue: letters in the database, and a copy of every one in the archive.

use crate::StorageFailure;
use crate::archive::FileArchive;
use crate::statistics::StatisticsParts;
use crate::statistics_journal::{
    EncodedLetter, KNOWN_LETTERS, LETTER_INDEX, LETTERS, StatisticsOperation, StatisticsOutcome,
};
use ports::{Archive, ArchiveError, DeadLetter, DeadLetterError, DeadLetterQueue};
use redb::{ReadTransaction, ReadableTable};
use redrive::{DeadLetters, Filter, Intent, Intents, Noted, Order, Page, PageRequest, QueueError};
use std::ops::Bound;
use std::sync::Arc;
use telemetry::Timestamp;

/// One transaction takes letters of at most this many bytes, but for a single larger one.
const CHUNK_BYTES_MAX: usize = 4 << 20;

/// The dead letters of one data directory. Clones share them.
#[derive(Clone)]
pub struct EmbeddedDeadLetterQueue {
    pub(crate) parts: Arc<StatisticsParts>,
    pub(crate) archive: FileArchive,
}

impl EmbeddedDeadLetterQueue {
    /// Archives the letters as one object, then queues them; how many were queued before a failure.
    async fn send_all(&self, letters: &[DeadLetter]) -> (usize, Result<(), StorageFailure>) {
        let Some(key) = dead_letter_key(letters) else { return (0, Ok(())) };
        let encoded = match encode(letters) {
            Ok(encoded) => encoded,
            Err(failure) => return (0, Err(failure)),
        };
        let mut lines = Vec::with_capacity(encoded.iter().map(|letter| letter.json.len() + 1).sum());
        for letter in &encoded {
            lines.extend(&letter.json);
            lines.push(b'\n');
        }
        if let Err(error) = self.archive.put(&key, lines).await {
            return (0, Err(archive_failure(error)));
        }
        let mut sent = 0;
        for chunk in chunks(encoded) {
            let count = chunk.len();
            let bytes = chunk.iter().map(|letter| letter.json.len()).sum();
            if let Err(failure) = self.parts.writer.write(StatisticsOperation::SendLetters(chunk), bytes).await {
                return (sent, Err(failure));
            }
            sent += count;
        }
        (sent, Ok(()))
    }
}

impl DeadLetterQueue for EmbeddedDeadLetterQueue {
    async fn send(&self, letters: Vec<DeadLetter>) -> Vec<Result<(), DeadLetterError>> {
        let (sent, result) = self.send_all(&letters).await;
        let answer = |index| match &result {
            Err(failure) if index >= sent => Err(DeadLetterError::Unavailable(failure.clone().boxed())),
            _ => Ok(()),
        };
        (0..letters.len()).map(answer).collect()
    }
}

/// Its receipts are the letters' ids, each of which is there once; nothing is held back.
impl DeadLetters for EmbeddedDeadLetterQueue {
    async fn page(&self, request: &PageRequest) -> Result<Page, QueueError> {
        let request = request.clone();
        self.parts.read(move |transaction| page(transaction, &request)).await.map_err(unavailable)
    }

    async fn release(&self, _: Vec<String>) -> Result<(), QueueError> {
        Ok(())
    }

    /// All in one transaction. The ids stay known: a redelivery does not bring the letters back. The archive's copies
    /// stay too.
    async fn delete(&self, ids: Vec<String>) -> Result<u64, QueueError> {
        let bytes = ids.iter().map(|id| 64 + id.len()).sum();
        match self.parts.writer.write(StatisticsOperation::DeleteLetters(ids), bytes).await.map_err(unavailable)? {
            StatisticsOutcome::Deleted(deleted) => Ok(deleted),
            // The operation has no other outcome.
            _ => Err(unavailable(StorageFailure::Unanswered)),
        }
    }
}

/// A note is deleted with its letter.
impl Intents for EmbeddedDeadLetterQueue {
    async fn note(&self, intents: Vec<Intent>) -> Result<Vec<Noted>, QueueError> {
        let bytes = intents.iter().map(|intent| 128 + intent.id.len()).sum();
        match self.parts.writer.write(StatisticsOperation::NoteIntents(intents), bytes).await.map_err(unavailable)? {
            StatisticsOutcome::Noted(noted) => Ok(noted),
            // The operation has no other outcome.
            _ => Err(unavailable(StorageFailure::Unanswered)),
        }
    }
}

fn unavailable(failure: StorageFailure) -> QueueError {
    QueueError::Unavailable(failure.boxed())
}

fn encode(letters: &[DeadLetter]) -> Result<Vec<EncodedLetter>, StorageFailure> {
    let encode = |letter: &DeadLetter| {
        // Strings, numbers and the payload's base64 always serialise.
        let json = serde_json::to_vec(letter).map_err(std::io::Error::from)?;
        Ok(EncodedLetter {
            id: letter.id.clone(),
            failed_at: letter.failed_at.as_millisecond(),
            reason: letter.reason,
            device_id: letter.device_id.clone().unwrap_or_default(),
            readings: letter.readings(),
            json,
        })
    };
    letters.iter().map(encode).collect()
}

fn chunks(letters: Vec<EncodedLetter>) -> Vec<Vec<EncodedLetter>> {
    let mut chunks: Vec<Vec<EncodedLetter>> = Vec::new();
    let mut bytes = 0;
    for letter in letters {
        bytes += letter.json.len();
        match chunks.last_mut() {
            Some(chunk) if bytes <= CHUNK_BYTES_MAX => chunk.push(letter),
            _ => {
                bytes = letter.json.len();
                chunks.push(vec![letter]);
            }
        }
    }
    chunks
}

/// The archive's object of one send, by its ids and the day its first record arrived: a redelivery writes the same object
/// again. `None` without letters.
pub fn dead_letter_key(letters: &[DeadLetter]) -> Option<String> {
    use md5::{Digest, Md5};
    let first = letters.first()?;
    let mut hash = Md5::new();
    for letter in letters {
        hash.update((letter.id.len() as u64).to_be_bytes());
        hash.update(letter.id.as_bytes());
    }
    let name = u128::from_be_bytes(hash.finalize().into());
    Some(format!("dead-letters/dt={}/{name:032x}.jsonl", first.arrived_at.utc_date()))
}

fn archive_failure(error: ArchiveError) -> StorageFailure {
    match error {
        ArchiveError::Unavailable(source) => match source.downcast::<StorageFailure>() {
            Ok(failure) => *failure,
            Err(other) => std::io::Error::other(other).into(),
        },
        invalid @ ArchiveError::InvalidKey(_) => std::io::Error::other(invalid).into(),
    }
}

fn page(transaction: &ReadTransaction, request: &PageRequest) -> Result<Page, StorageFailure> {
    let letters = transaction.open_table(LETTERS)?;
    let Filter { ids, reason, device_id, .. } = &request.filter;
    if !ids.is_empty() {
        let known = transaction.open_table(KNOWN_LETTERS)?;
        // The place of a letter among those named is its number, because one may be named twice.
        let named = (1..).zip(ids).skip(request.after.as_ref().map_or(0, |after| after.parse().unwrap_or(usize::MAX)));
        let letter = |(number, id): (usize, &String)| {
            Ok(letter(&known, &letters, id)?.map(|letter| (number.to_string(), letter)))
        };
        return Page::fill(request, named.map(letter).filter_map(Result::transpose));
    }
    let after = request.after.as_deref().map(parse_place);
    // Nothing is behind a place that no page ever named.
    if after == Some(None) {
        return Ok(Page::default());
    }
    let after = after.flatten();
    let Some(bounds) = bounds(request.order, after.as_ref(), &request.filter) else { return Ok(Page::default()) };
    let index = transaction.open_table(LETTER_INDEX)?;
    let mut range = index.range::<(i64, &str)>(bounds)?;
    let entries = std::iter::from_fn(|| match request.order {
        Order::NewestFirst => range.next_back(),
        Order::OldestFirst => range.next(),
    });
    let found = entries.map(|entry| -> Result<_, StorageFailure> {
        let (key, value) = entry?;
        let ((failed_at, id), (of_reason, of_device)) = (key.value(), value.value());
        if reason.is_some_and(|wanted| wanted.as_str() != of_reason)
            || device_id.as_ref().is_some_and(|wanted| wanted != of_device)
        {
            return Ok(None);
        }
        // A damaged one costs itself, not the list.
        match letters.get((failed_at, id))?.map(|json| parse(id, json.value())) {
            Some(Ok(letter)) => Ok(Some((format!("{failed_at}.{id}"), letter))),
            _ => {
                tracing::error!(id, "a stored dead letter cannot be read, and is in no list");
                Ok(None)
            }
        }
    });
    Page::fill(request, found.filter_map(Result::transpose))
}

/// The letter of that id, unless it was deleted.
fn letter(
    known: &impl ReadableTable<&'static str, i64>,
    letters: &impl ReadableTable<(i64, &'static str), &'static [u8]>,
    id: &str,
) -> Result<Option<DeadLetter>, StorageFailure> {
    let Some(failed_at) = known.get(id)?.map(|stored| stored.value()) else { return Ok(None) };
    letters.get((failed_at, id))?.map(|json| parse(id, json.value())).transpose()
}

type Bounds<'a> = (Bound<(i64, &'a str)>, Bound<(i64, &'a str)>);

/// What is left to list behind the place `after`; `None` where nothing is, because a range may not be reversed.
fn bounds<'a>(order: Order, after: Option<&'a (i64, String)>, filter: &Filter) -> Option<Bounds<'a>> {
    let since = filter.since.map_or(i64::MIN, Timestamp::as_millisecond);
    let until = filter.until.map_or(i64::MAX, Timestamp::as_millisecond);
    if since > until || after.is_some_and(|(failed_at, _)| !(since..=until).contains(failed_at)) {
        return None;
    }
    let first = Bound::Included((since, ""));
    // Every id of this millisecond comes before the next.
    let last = until.checked_add(1).map_or(Bound::Unbounded, |past| Bound::Excluded((past, "")));
    let place = after.map(|(failed_at, id)| Bound::Excluded((*failed_at, id.as_str())));
    Some(match order {
        Order::NewestFirst => (first, place.unwrap_or(last)),
        Order::OldestFirst => (place.unwrap_or(first), last),
    })
}

fn parse_place(place: &str) -> Option<(i64, String)> {
    let (failed_at, id) = place.split_once('.')?;
    Some((failed_at.parse().ok()?, id.to_owned()))
}

fn parse(id: &str, json: &[u8]) -> Result<DeadLetter, StorageFailure> {
    serde_json::from_slice(json).map_err(|_| StorageFailure::Corrupt(format!("dead letter `{id}`")))
}
