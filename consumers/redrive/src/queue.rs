//! What redriving needs of the outside: a queue that can be looked through, and a way to send and delete.

use crate::lambda_failure::{FetchedRecords, LambdaFailure};
use crate::letter::{Filter, Letter};
use ports::{DeadLetter, StreamEntry};
use std::future::Future;

/// A page ends once its payloads have this many bytes: one letter alone may hold 350 KB.
const PAGE_BYTES_MAX: usize = 2 << 20;
/// The most letters that a page of those that contain a text looks at: a rare text takes more pages, not longer ones.
const LOOKED_AT_MAX: usize = 2000;

/// In which order letters are looked through. A queue without one, such as SQS, ignores it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The last given up first.
    #[default]
    NewestFirst,
    /// The first given up first.
    OldestFirst,
}

/// Which page of a queue.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// Which letters.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// The most letters, at least 1. A page may hold fewer, even none, and still have a `next`.
    pub limit: usize,
    /// The `next` of the page before.
    pub after: Option<String>,
}

/// A letter, and what deletes or releases this copy of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The letter's id on one machine, the receipt handle of an SQS message.
    pub receipt: String,
    /// The letter, whole: what a queue keeps elsewhere for its size has been fetched.
    pub letter: Letter,
}

/// A part of a queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// The letters.
    pub letters: Vec<Held>,
    /// What to pass as `after` to read on; `None` at the end.
    pub next: Option<String>,
}

impl Page {
    /// A page of the `letters` behind `request.after`, which come in the order asked for, each with its place.
    ///
    /// # Errors
    /// The first error among `letters`.
    pub fn fill<E>(
        request: &PageRequest,
        letters: impl Iterator<Item = Result<(String, DeadLetter), E>>,
    ) -> Result<Self, E> {
        let looked_at_max = if request.filter.text.is_some() { LOOKED_AT_MAX } else { usize::MAX };
        let (mut page, mut bytes, mut last) = (Page::default(), 0, None);
        for (looked_at, letter) in letters.enumerate() {
            let (place, letter) = letter?;
            if page.letters.len() >= request.limit || bytes >= PAGE_BYTES_MAX || looked_at >= looked_at_max {
                page.next = last;
                break;
            }
            last = Some(place);
            let held = Held { receipt: letter.id.clone(), letter: Letter::Rejected(letter) };
            if let (true, Letter::Rejected(letter)) = (request.filter.matches(&held.letter), &held.letter) {
                bytes += letter.payload_base64.len();
                page.letters.push(held);
            }
        }
        Ok(page)
    }
}

/// Gives the letters of every page from `request` on to `look`, and then back to the queue.
///
/// # Errors
/// Of the queue, or of `look`.
pub async fn every_page<Q: DeadLetters, E: From<QueueError>>(
    queue: &Q,
    mut request: PageRequest,
    mut look: impl FnMut(Vec<Letter>) -> Result<(), E>,
) -> Result<(), E> {
    loop {
        let page = queue.page(&request).await?;
        let (letters, receipts) = page.letters.into_iter().map(|held| (held.letter, held.receipt)).unzip();
        look(letters)?;
        queue.release(receipts).await?;
        match page.next {
            Some(next) => request.after = Some(next),
            None => return Ok(()),
        }
    }
}

/// A queue of dead letters as an operator works on it. It may hold several copies of a letter.
pub trait DeadLetters: Send + Sync {
    /// Some of the letters. Looking changes nothing: at most, as in SQS, they are held for a while, until they are
    /// released, deleted, or the hold runs out. Letters that come or go meanwhile do not make any other be missed.
    fn page(&self, request: &PageRequest) -> impl Future<Output = Result<Page, QueueError>> + Send;

    /// Gives held letters back. A queue that holds nothing has nothing to do.
    fn release(&self, receipts: Vec<String>) -> impl Future<Output = Result<(), QueueError>> + Send;

    /// Deletes letters for good, durably; how many of them were there.
    fn delete(&self, receipts: Vec<String>) -> impl Future<Output = Result<u64, QueueError>> + Send;
}

/// The memory of what is about to be sent. It makes redriving safe to stop at any moment: a letter of which a part may
/// be in the stream can be sent again in the same form only, because another form might have another identity.
pub trait Intents: Send + Sync {
    /// Notes, durably, each in one step with the check: the form in which a letter is to be sent. Kept at least until
    /// the queue can hold no copy of the letter any more. A batch that Lambda gave up needs no note: it is sent in no
    /// form but as it stood.
    fn note(&self, intents: Vec<Intent>) -> impl Future<Output = Result<Vec<Noted>, QueueError>> + Send;
}

/// The form in which a letter is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The letter.
    pub id: String,
    /// A hash of what is sent for it.
    pub form: [u8; 16],
}

/// What became of an [`Intent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// Noted, now or before: it may be sent.
    Noted,
    /// The letter was, or may have been, sent in another form.
    OtherForm,
    /// The letter is not in the queue any more: someone else has sent or deleted it.
    Gone,
}

/// Has the records of a batch that Lambda gave up, from its payload, the stream or the archive.
pub trait FailedRecords: Send + Sync {
    /// The records. Those that were counted meanwhile may be among them: they keep their identity.
    fn fetch(&self, failure: &LambdaFailure) -> impl Future<Output = Result<FetchedRecords, QueueError>> + Send;
}

/// Where no Lambda runs there is nothing but the payload.
#[derive(Debug, Clone, Copy, Default)]
pub struct PayloadOnly;

impl FailedRecords for PayloadOnly {
    async fn fetch(&self, failure: &LambdaFailure) -> Result<FetchedRecords, QueueError> {
        Ok(match &failure.records {
            Some(records) => FetchedRecords { records: records.clone(), ..FetchedRecords::default() },
            None => FetchedRecords { lost: failure.batch_size, ..FetchedRecords::default() },
        })
    }
}

/// One letter on its way back to the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The letter's id.
    pub id: String,
    /// Its copies.
    pub receipts: Vec<String>,
    /// What is put into the stream for it; at least one record.
    pub records: Vec<StreamEntry>,
    /// Whether that is the letter's whole record, as [`whole_record`](crate::whole_record) makes it of the letter: a
    /// server that holds the letter needs no bodies.
    pub is_whole_record: bool,
}

impl Outgoing {
    /// The bytes of its records.
    pub fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.data.len() + record.partition_key.len()).sum()
    }
}

/// Sends letters back.
pub trait Redriver: Send + Sync {
    /// For each letter: puts its records, and once the stream has acknowledged all of them, deletes its copies. One
    /// result a letter, in order.
    fn redrive(&self, letters: Vec<Outgoing>) -> impl Future<Output = Vec<Result<(), RedriveError>>> + Send;
}

/// Why a queue did not answer.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Passing: try again.
    #[error("the dead letters cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How the text of [`RedriveError::Passing`] begins.
pub(crate) const PASSING: &str = "could not be sent just now: ";

/// Why a letter did not go, or not wholly. Sending it again is harmless in every case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedriveError {
    /// It was, or may have been, sent in another form.
    #[error("was, or may have been, sent in another form: send the same again, or purge it")]
    OtherForm,
    /// It is not in the queue any more.
    #[error("is not in the queue any more")]
    Gone,
    /// It is taken in no case, and why.
    #[error("{0}")]
    Refused(String),
    /// Passing: try again.
    #[error("could not be sent just now: {0}")]
    Passing(String),
    /// Its readings are in the stream; the letter is still in the queue.
    #[error("was sent, and could not be deleted: {0}")]
    NotDeleted(String),
}

impl RedriveError {
    /// Whether trying again may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, RedriveError::Passing(_) | RedriveError::NotDeleted(_))
    }
}
