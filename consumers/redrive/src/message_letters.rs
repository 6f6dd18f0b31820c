//! Dead letters as messages of a queue that hands them out one time each, with their copies in an archive: SQS and S3.
//!
//! A *pass* goes through the queue once. Every message that it meets is held, so that none is met twice, and given back
//! when the next pass begins or the queue is [closed](MessageLetters::close). After the messages come the letters that
//! stand in the archive alone, because the queue has dropped their messages. A process that is killed gives nothing
//! back: its messages are there again once [`HOLD`] is over.

use crate::copies::{Done, day, failure_object, letters_of, note_done, note_form, open_copies};
use crate::letter::Letter;
use crate::notification::notified_objects;
use crate::queue::{DeadLetters, Held, Intent, Intents, Noted, Order, Page, PageRequest, QueueError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt as _, TryStreamExt as _};
use ports::{Clock, Message, MessageQueue, MessageQueueError, PutNew};
use serde::Deserialize;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;
use tokio::sync::Mutex;

/// How long messages are held where nobody gives them back: the time that a killed command keeps them from others.
pub const HOLD: Duration = Duration::from_secs(300);
/// Letters are put in order within so many bytes of them: the whole queue, but for a large one.
const WINDOW_BYTES_MAX: usize = 64 << 20;
/// Calls of the archive under way at once.
const CONCURRENCY: usize = 32;
/// A pass ends when it was handed out only messages that it had, so many times.
const REPEATS_MAX: u32 = 3;

/// A message queue `M` with its archive `A`, as an operator works on it.
#[derive(Debug)]
pub struct MessageLetters<M, A, C> {
    messages: M,
    archive: Option<(String, A)>,
    clock: C,
    pass: Mutex<Pass>,
}

#[derive(Debug, Default)]
struct Pass {
    /// Message -> the letter in it. The messages of this pass, and of the ones before, that were not deleted.
    letter_of: HashMap<String, String>,
    /// Letter -> its messages.
    letters: HashMap<String, Entry>,
    /// Letters met.
    seen: HashSet<String>,
    /// Letters that are still to be passed on.
    window: VecDeque<Held>,
    /// What went or was purged before, once it was read.
    done: Option<Done>,
    /// The messages, with their receipts, of letters that are done: left by a command that was ended before it had deleted
    /// them, or sent once more by a batch that was delivered again.
    leftovers: HashMap<String, String>,
    phase: Phase,
}

#[derive(Debug, Default)]
struct Entry {
    /// Message -> its newest receipt.
    receipts: HashMap<String, String>,
    /// The day of the letter's copy.
    day: Option<String>,
    /// Whether Lambda gave it up.
    is_failure: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Messages,
    Copies,
    End,
}

impl<M: MessageQueue, A: PutNew, C: Clock> MessageLetters<M, A, C> {
    /// The queue, beside the archive in a bucket of that name. Without one, what stands in the archive alone is not
    /// seen, and nothing can be sent.
    pub fn new(messages: M, archive: Option<(String, A)>, clock: C) -> Self {
        MessageLetters { messages, archive, clock, pass: Mutex::default() }
    }

    /// Gives back every message that is held.
    ///
    /// # Errors
    /// Where the queue does not answer: the messages are there again after [`HOLD`].
    pub async fn close(&self) -> Result<(), QueueError> {
        let mut pass = self.pass.lock().await;
        self.give_back(&mut pass).await
    }

    /// Deletes the messages of letters that went or were purged before: what changes the queue anyhow does so at its end.
    ///
    /// # Errors
    /// Where the queue does not answer: they are deleted by the next command.
    pub async fn delete_leftovers(&self) -> Result<(), QueueError> {
        let receipts: Vec<String> = std::mem::take(&mut self.pass.lock().await.leftovers).into_values().collect();
        if receipts.is_empty() { Ok(()) } else { self.messages.delete(receipts).await.map_err(unavailable) }
    }

    async fn give_back(&self, pass: &mut Pass) -> Result<(), QueueError> {
        let Pass { letters, leftovers, .. } = std::mem::take(pass);
        let receipts = letters.into_values().flat_map(|entry| entry.receipts.into_values());
        let receipts: Vec<String> = receipts.chain(leftovers.into_values()).collect();
        if receipts.is_empty() { Ok(()) } else { self.messages.release(receipts).await.map_err(unavailable) }
    }

    fn archive(&self) -> Option<&A> {
        self.archive.as_ref().map(|(_, archive)| archive)
    }

    /// Meets letters until there are enough to put in order, or no more.
    async fn fill(&self, pass: &mut Pass, request: &PageRequest) -> Result<(), QueueError> {
        let (mut bytes, mut repeats) = (0, 0);
        let (since, now) = (request.filter.since, self.clock.now());
        if let (None, Some(archive)) = (&pass.done, self.archive()) {
            pass.done = Some(Done::read(archive, since, now).await?);
        }
        while pass.phase == Phase::Messages && bytes < WINDOW_BYTES_MAX {
            let messages = match self.messages.receive(HOLD).await {
                Ok(messages) => messages,
                // What is held has to go first. Without a look at all messages nobody can tell what the archive alone has.
                Err(MessageQueueError::TooManyHeld) if !pass.window.is_empty() => break,
                Err(error) => return Err(unavailable(error)),
            };
            if messages.is_empty() {
                pass.phase = Phase::Copies;
            }
            let known = messages.len();
            let new: Vec<Message> = messages.into_iter().filter(|message| pass.is_new(message)).collect();
            repeats = if new.is_empty() && known > 0 { repeats + 1 } else { 0 };
            if repeats == REPEATS_MAX {
                pass.phase = Phase::Copies;
            }
            let letters = futures::stream::iter(new)
                .map(|message| async move { self.letter(&message).await.map(|letter| (message, letter)) });
            let letters: Vec<_> = letters.buffered(CONCURRENCY).try_collect().await?;
            for (message, letter) in letters {
                let size = message.body.len();
                bytes += if pass.meet(Some(message), letter, request) { size } else { 0 };
            }
        }
        if pass.phase == Phase::Copies {
            if let (Some(archive), Some(done)) = (self.archive(), &pass.done) {
                for letter in open_copies(archive, since, now, done, &pass.seen).await? {
                    pass.meet(None, letter, request);
                }
            }
            pass.phase = Phase::End;
        }
        let letters = pass.window.make_contiguous();
        match request.order {
            Order::OldestFirst => letters.sort_by_cached_key(|held| held.letter.arrival()),
            Order::NewestFirst => letters.sort_by_cached_key(|held| std::cmp::Reverse(held.letter.failed_at())),
        }
        Ok(())
    }

    /// The letter in a message: what the message keeps elsewhere is fetched.
    async fn letter(&self, message: &Message) -> Result<Letter, QueueError> {
        if let Some(objects) = notified_objects(&message.body) {
            let [object] = objects.as_slice() else {
                return Ok(Letter::unreadable(
                    &message.body,
                    "tells of several objects in S3: read them, then purge it",
                ));
            };
            let found = match &self.archive {
                Some((bucket, archive)) if *bucket == object.bucket => failure_object(archive, &object.key).await?,
                _ => {
                    let why =
                        format!("tells of an object in the bucket {}: give it as --archive-bucket", object.bucket);
                    return Ok(Letter::unreadable(&message.body, why));
                }
            };
            if let Some(failure) = found {
                return Ok(Letter::LambdaFailure(failure));
            }
            return Ok(Letter::unreadable(&message.body, self.what_else(&object.key).await?));
        }
        self.whole(message).await
    }

    /// What an object is that S3 tells of, where it holds no records of the stream.
    async fn what_else(&self, key: &str) -> Result<String, QueueError> {
        let object = match self.archive() {
            Some(archive) => archive.get(key).await.map_err(crate::archived::unavailable)?,
            None => None,
        };
        Ok(match object {
            None => format!("tells of the object {key}, which is gone"),
            Some(object) if is_of_change_stream(&object) => format!(
                "tells of changes of the table that Lambda gave up, in the object {key}: the curated data lacks them, no \
                 reading is missing; purge it"
            ),
            Some(_) => format!("tells of the object {key}, which is no failure record of Lambda"),
        })
    }

    async fn whole(&self, message: &Message) -> Result<Letter, QueueError> {
        match (Letter::parse(&message.body), payload_key(&message.body)) {
            (Letter::Rejected(mut letter), Some(key)) => {
                let object = match self.archive() {
                    Some(archive) => archive.get(&key).await.map_err(crate::archived::unavailable)?,
                    None => None,
                };
                let whole = letters_of(&object.unwrap_or_default()).into_iter().find(|whole| whole.id() == letter.id);
                match whole.and_then(|whole| whole.payload()) {
                    Some(payload) => letter.payload_base64 = STANDARD.encode(payload),
                    None => letter.detail += &format!(" (its payload stands in the archive alone, under {key})"),
                }
                Ok(Letter::Rejected(letter))
            }
            (letter, _) => Ok(letter),
        }
    }
}

impl Pass {
    /// Whether a message was not met before; of one that was, the newest receipt counts.
    fn is_new(&mut self, message: &Message) -> bool {
        let receipts = match self.letter_of.get(&message.id).and_then(|letter| self.letters.get_mut(letter)) {
            Some(entry) => &mut entry.receipts,
            None if self.leftovers.contains_key(&message.id) => &mut self.leftovers,
            None => return true,
        };
        receipts.insert(message.id.clone(), message.receipt.clone());
        false
    }

    /// What becomes of a letter's intent where no note is needed: another run has done the letter, and its messages are
    /// left over; or Lambda gave it up.
    fn without_a_note(&mut self, id: &str) -> Option<Noted> {
        if self.done.as_ref().is_some_and(|done| done.contains(id)) {
            let entry = self.letters.remove(id).unwrap_or_default();
            entry.receipts.keys().for_each(|message| drop(self.letter_of.remove(message)));
            self.leftovers.extend(entry.receipts);
            return Some(Noted::Gone);
        }
        self.letters.get(id).is_some_and(|entry| entry.is_failure).then_some(Noted::Noted)
    }

    /// Keeps a letter for the window, if it is meant and no copy of it was met before.
    fn meet(&mut self, message: Option<Message>, letter: Letter, request: &PageRequest) -> bool {
        let id = letter.id().to_owned();
        if let Some(message) = message.as_ref().filter(|_| self.done.as_ref().is_some_and(|done| done.contains(&id))) {
            self.leftovers.insert(message.id.clone(), message.receipt.clone());
            return false;
        }
        let is_first = self.seen.insert(id.clone()) || !self.letters.contains_key(&id);
        let entry = self.letters.entry(id.clone()).or_default();
        entry.day = day(&letter);
        entry.is_failure = matches!(letter, Letter::LambdaFailure(_));
        if let Some(message) = message {
            entry.receipts.insert(message.id.clone(), message.receipt);
            self.letter_of.insert(message.id, id.clone());
        }
        let is_meant = is_first && request.filter.matches(&letter);
        if is_meant {
            self.window.push_back(Held { receipt: id, letter });
        }
        is_meant
    }
}

impl<M: MessageQueue, A: PutNew, C: Clock> DeadLetters for MessageLetters<M, A, C> {
    async fn page(&self, request: &PageRequest) -> Result<Page, QueueError> {
        let mut pass = self.pass.lock().await;
        if request.after.is_none() {
            self.give_back(&mut pass).await?;
        }
        if pass.window.is_empty() {
            self.fill(&mut pass, request).await?;
        }
        let count = request.limit.min(pass.window.len());
        let letters: Vec<Held> = pass.window.drain(..count).collect();
        let is_end = pass.window.is_empty() && pass.phase == Phase::End;
        Ok(Page { letters, next: (!is_end).then(|| "more".to_owned()) })
    }

    /// Messages that were given back at once would be met again by the same pass: they go back when it is over.
    async fn release(&self, _: Vec<String>) -> Result<(), QueueError> {
        Ok(())
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<u64, QueueError> {
        let mut pass = self.pass.lock().await;
        let Pass { letters, done: noted, .. } = &mut *pass;
        let entries: Vec<(String, &Entry)> =
            receipts.iter().filter_map(|id| Some((id.clone(), letters.get(id)?))).collect();
        let done: Vec<(String, String)> =
            entries.iter().filter_map(|(id, entry)| Some((id.clone(), entry.day.clone()?))).collect();
        let messages: Vec<String> = entries.iter().flat_map(|(_, entry)| entry.receipts.values().cloned()).collect();
        let deleted = entries.len() as u64;
        // Of a letter that is done the message may still be there, and is found again. The other way round its copy would.
        if let (Some(archive), Some(noted)) = (self.archive(), noted) {
            note_done(archive, &done, noted).await?;
        }
        if !messages.is_empty() {
            self.messages.delete(messages).await.map_err(unavailable)?;
        }
        for id in &receipts {
            if let Some(entry) = pass.letters.remove(id) {
                entry.receipts.keys().for_each(|message| drop(pass.letter_of.remove(message)));
            }
        }
        Ok(deleted)
    }
}

impl<M: MessageQueue, A: PutNew, C: Clock> Intents for MessageLetters<M, A, C> {
    async fn note(&self, intents: Vec<Intent>) -> Result<Vec<Noted>, QueueError> {
        let Some(archive) = self.archive() else {
            let why = "the form in which a letter is sent is noted in the archive: give --archive-bucket";
            return Err(QueueError::Unavailable(why.into()));
        };
        let mut pass = self.pass.lock().await;
        // Another run finds the letters held here among the copies, and may have sent or purged some.
        if let Some(done) = &mut pass.done {
            done.read_on(archive).await?;
        }
        let noting: Vec<_> = intents.into_iter().map(|intent| (pass.without_a_note(&intent.id), intent)).collect();
        let noting = noting.into_iter().map(|(known, intent)| async move {
            match known {
                Some(noted) => Ok(noted),
                None => note_form(archive, &intent).await,
            }
        });
        futures::stream::iter(noting).buffered(CONCURRENCY).try_collect().await
    }
}

/// Where a message says that its payload stands.
fn payload_key(body: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Elsewhere {
        payload_archive_key: Option<String>,
    }
    serde_json::from_str::<Elsewhere>(body).ok()?.payload_archive_key
}

/// Whether an object is what Lambda gave up of a table's change stream, for the curator.
fn is_of_change_stream(object: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Changes {
        #[serde(rename = "DDBStreamBatchInfo")]
        _batch: serde_json::Value,
    }
    serde_json::from_slice::<Changes>(object).is_ok()
}

fn unavailable(error: MessageQueueError) -> QueueError {
    QueueError::Unavailable(Box::new(error))
}
