//! Letters into the stream, and out of the queue.

use crate::queue::{DeadLetters, Intent, Intents, Noted, Outgoing, RedriveError, Redriver};
use ports::{EventStream, PutError};
use sha2::{Digest, Sha256};

/// Sends from a queue `Q` to a stream `S`, in three steps: note what is about to be sent, put it, delete the letters
/// whose records are acknowledged. Stopped between any two, the next run does the same again: what was put twice has
/// one identity, and is counted once.
#[derive(Debug, Clone)]
pub struct StreamRedriver<'a, Q, S> {
    /// The queue.
    pub queue: &'a Q,
    /// The stream.
    pub stream: &'a S,
}

impl<Q: DeadLetters + Intents, S: EventStream> Redriver for StreamRedriver<'_, Q, S> {
    async fn redrive(&self, letters: Vec<Outgoing>) -> Vec<Result<(), RedriveError>> {
        let intents = letters.iter().map(|letter| Intent { id: letter.id.clone(), form: form(letter) }).collect();
        let noted = match self.queue.note(intents).await {
            Ok(noted) => noted,
            Err(error) => return letters.iter().map(|_| Err(RedriveError::Passing(chain(&error)))).collect(),
        };
        let mut results: Vec<Result<(), RedriveError>> = (0..letters.len())
            .map(|place| match noted.get(place) {
                Some(Noted::Noted) => Ok(()),
                Some(Noted::OtherForm) => Err(RedriveError::OtherForm),
                Some(Noted::Gone) => Err(RedriveError::Gone),
                None => Err(RedriveError::Passing("the queue gave no answer for it".to_owned())),
            })
            .collect();
        self.put(&letters, &mut results).await;
        self.delete(letters, &mut results).await;
        results
    }
}

impl<Q: DeadLetters + Intents, S: EventStream> StreamRedriver<'_, Q, S> {
    /// Puts the records of the letters that are well so far.
    async fn put(&self, letters: &[Outgoing], results: &mut [Result<(), RedriveError>]) {
        let mut entries = Vec::new();
        let mut letter_of = Vec::new();
        for (place, letter) in letters.iter().enumerate() {
            if results[place].is_ok() {
                entries.extend(letter.records.iter().cloned());
                letter_of.extend(letter.records.iter().map(|_| place));
            }
        }
        if entries.is_empty() {
            return;
        }
        let mut answers = self.stream.put_records(entries).await.into_iter();
        for place in letter_of {
            let result = match answers.next() {
                Some(Ok(_)) => continue,
                Some(Err(PutError::Refused(rule))) => RedriveError::Refused(format!("the stream refuses it: {rule}")),
                Some(Err(error)) => RedriveError::Passing(chain(&error)),
                None => RedriveError::Passing("the stream gave no answer for it".to_owned()),
            };
            results[place] = Err(result);
        }
    }

    /// Deletes the letters whose records are all acknowledged.
    async fn delete(&self, letters: Vec<Outgoing>, results: &mut [Result<(), RedriveError>]) {
        let sent = letters.into_iter().zip(results.iter()).filter(|(_, result)| result.is_ok());
        let receipts: Vec<String> = sent.flat_map(|(letter, _)| letter.receipts).collect();
        if receipts.is_empty() {
            return;
        }
        if let Err(error) = self.queue.delete(receipts).await {
            for result in results.iter_mut().filter(|result| result.is_ok()) {
                *result = Err(RedriveError::NotDeleted(chain(&error)));
            }
        }
    }
}

/// A hash of what is sent for a letter: each part preceded by its length.
fn form(letter: &Outgoing) -> [u8; 16] {
    let mut hash = Sha256::new();
    for record in &letter.records {
        for part in [record.partition_key.as_bytes(), &record.data] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    let mut form = [0; 16];
    form.copy_from_slice(&hash.finalize()[..16]);
    form
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
