//! The dead-letter queue: letters in the database, and a copy of every one in the archive.

use crate::StorageFailure;
use crate::archive::FileArchive;
use crate::statistics::StatisticsParts;
use crate::statistics_journal::{
    EncodedLetter, KNOWN_LETTERS, LETTER_INDEX, LETTERS, RedriveIntent, StatisticsOperation, StatisticsOutcome,
};
use ports::{Archive, ArchiveError, DeadLetter, DeadLetterError, DeadLetterQueue};
use redb::ReadTransaction;
use std::ops::Bound;
use std::sync::Arc;
use telemetry::{DeviceId, RejectReason, Timestamp};

/// One transaction takes letters of at most this many bytes, but for a single larger one.
const CHUNK_BYTES_MAX: usize = 4 << 20;

/// The dead letters of one data directory. Clones share them.
#[derive(Clone)]
pub struct EmbeddedDeadLetterQueue {
    pub(crate) parts: Arc<StatisticsParts>,
    pub(crate) archive: FileArchive,
}

/// Which dead letters a list is to have; the default has all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only those of this reason.
    pub reason: Option<RejectReason>,
    /// Only those that name this device.
    pub device_id: Option<DeviceId>,
    /// Only those given up at this instant, to the millisecond, or later.
    pub since: Option<Timestamp>,
    /// Only those given up at this instant, to the millisecond, or earlier.
    pub until: Option<Timestamp>,
}

/// In which order dead letters are listed: by when they were given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeadLetterOrder {
    /// The last first.
    #[default]
    NewestFirst,
    /// The first first.
    OldestFirst,
}

/// A part of a list of dead letters.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetterPage {
    /// The letters, in the order asked for.
    pub letters: Vec<DeadLetter>,
    /// What to pass as `after` to read on; `None` at the end.
    pub next: Option<String>,
}

impl EmbeddedDeadLetterQueue {
    /// At most `limit` letters that pass `filter`, newest first, after the place `after` that the page before named.
    /// Letters that are deleted or sent meanwhile do not move the place.
    ///
    /// # Errors
    /// [`StorageFailure`]; [`StorageFailure::InvalidPlace`] where `after` is no place of a list.
    pub async fn list(
        &self,
        after: Option<&str>,
        limit: usize,
        filter: DeadLetterFilter,
    ) -> Result<DeadLetterPage, StorageFailure> {
        self.list_in(DeadLetterOrder::NewestFirst, after, limit, filter).await
    }

    /// As [`EmbeddedDeadLetterQueue::list`], in an order of one's choice.
    ///
    /// # Errors
    /// As there.
    pub async fn list_in(
        &self,
        order: DeadLetterOrder,
        after: Option<&str>,
        limit: usize,
        filter: DeadLetterFilter,
    ) -> Result<DeadLetterPage, StorageFailure> {
        let after = after.map(|place| parse_place(place).ok_or_else(|| unknown_place(place))).transpose()?;
        self.parts.read(move |transaction| list(transaction, order, after.as_ref(), limit, &filter)).await
    }

    /// The letter of that id, unless it was deleted.
    ///
    /// # Errors
    /// [`StorageFailure`].
    pub async fn get(&self, id: &str) -> Result<Option<DeadLetter>, StorageFailure> {
        let id = id.to_owned();
        let letter = self.parts.read(move |transaction| {
            let known = transaction.open_table(KNOWN_LETTERS)?.get(id.as_str())?;
            let Some(failed_at) = known.map(|stored| stored.value()) else { return Ok(None) };
            let stored = transaction.open_table(LETTERS)?.get((failed_at, id.as_str()))?;
            stored.map(|json| parse(&id, json.value())).transpose()
        });
        letter.await
    }

    /// Deletes a letter, durably; says whether it was there. Its id stays known: a redelivery does not bring it back.
    /// The archive's copy stays too.
    ///
    /// # Errors
    /// [`StorageFailure`].
    pub async fn delete(&self, id: &str) -> Result<bool, StorageFailure> {
        Ok(self.delete_all(vec![id.to_owned()]).await?.contains(&true))
    }

    /// As [`EmbeddedDeadLetterQueue::delete`], of many letters in one transaction: all or, after a failure, none.
    ///
    /// # Errors
    /// [`StorageFailure`].
    pub async fn delete_all(&self, ids: Vec<String>) -> Result<Vec<bool>, StorageFailure> {
        let bytes = ids.iter().map(|id| 64 + id.len()).sum();
        match self.parts.writer.write(StatisticsOperation::DeleteLetters(ids), bytes).await? {
            StatisticsOutcome::Deleted(deleted) => Ok(deleted),
            // No other answer comes of it.
            _ => Err(StorageFailure::Unanswered),
        }
    }

    /// Notes, durably and all in one transaction, in which form letters are about to be sent again: a hash of it for
    /// each id. A note goes with its letter.
    ///
    /// # Errors
    /// [`StorageFailure`].
    pub async fn note_intents(&self, intents: Vec<(String, [u8; 16])>) -> Result<Vec<RedriveIntent>, StorageFailure> {
        let bytes = intents.iter().map(|(id, _)| 128 + id.len()).sum();
        match self.parts.writer.write(StatisticsOperation::NoteIntents(intents), bytes).await? {
            StatisticsOutcome::Noted(noted) => Ok(noted),
            // No other answer comes of it.
            _ => Err(StorageFailure::Unanswered),
        }
    }

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

fn list(
    transaction: &ReadTransaction,
    order: DeadLetterOrder,
    after: Option<&(i64, String)>,
    limit: usize,
    filter: &DeadLetterFilter,
) -> Result<DeadLetterPage, StorageFailure> {
    let index = transaction.open_table(LETTER_INDEX)?;
    let stored = transaction.open_table(LETTERS)?;
    let mut page = DeadLetterPage { letters: Vec::new(), next: None };
    let Some(bounds) = bounds(order, after, filter) else { return Ok(page) };
    let mut range = index.range::<(i64, &str)>(bounds)?;
    let mut last = None;
    while let Some(entry) = match order {
        DeadLetterOrder::NewestFirst => range.next_back(),
        DeadLetterOrder::OldestFirst => range.next(),
    } {
        let (key, value) = entry?;
        let (reason, device) = value.value();
        let passes = filter.reason.is_none_or(|wanted| wanted.as_str() == reason)
            && filter.device_id.as_ref().is_none_or(|wanted| wanted.as_str() == device);
        if !passes {
            continue;
        }
        if page.letters.len() == limit {
            page.next = last;
            break;
        }
        let (failed_at, id) = key.value();
        // One that is damaged costs itself, not the list.
        match stored.get((failed_at, id))?.map(|json| parse(id, json.value())) {
            Some(Ok(letter)) => page.letters.push(letter),
            _ => {
                tracing::error!(id, "a stored dead letter cannot be read, and is in no list");
                continue;
            }
        }
        last = Some(format!("{failed_at}.{id}"));
    }
    Ok(page)
}

type Bounds<'a> = (Bound<(i64, &'a str)>, Bound<(i64, &'a str)>);

/// What is left to list behind the place `after`; `None` where nothing is, because a range may not be turned round.
fn bounds<'a>(
    order: DeadLetterOrder,
    after: Option<&'a (i64, String)>,
    filter: &DeadLetterFilter,
) -> Option<Bounds<'a>> {
    let since = filter.since.map_or(i64::MIN, Timestamp::as_millisecond);
    let until = filter.until.map_or(i64::MAX, Timestamp::as_millisecond);
    if since > until || after.is_some_and(|(failed_at, _)| !(since..=until).contains(failed_at)) {
        return None;
    }
    let first = Bound::Included((since, ""));
    // Every id of this millisecond stands before the next.
    let last = until.checked_add(1).map_or(Bound::Unbounded, |past| Bound::Excluded((past, "")));
    let place = after.map(|(failed_at, id)| Bound::Excluded((*failed_at, id.as_str())));
    Some(match order {
        DeadLetterOrder::NewestFirst => (first, place.unwrap_or(last)),
        DeadLetterOrder::OldestFirst => (place.unwrap_or(first), last),
    })
}

fn parse_place(place: &str) -> Option<(i64, String)> {
    let (failed_at, id) = place.split_once('.')?;
    Some((failed_at.parse().ok()?, id.to_owned()))
}

fn parse(id: &str, json: &[u8]) -> Result<DeadLetter, StorageFailure> {
    serde_json::from_slice(json).map_err(|_| corrupt(id))
}

fn corrupt(id: &str) -> StorageFailure {
    StorageFailure::Corrupt(format!("dead letter `{id}`"))
}

fn unknown_place(place: &str) -> StorageFailure {
    StorageFailure::InvalidPlace(place.to_owned())
}
