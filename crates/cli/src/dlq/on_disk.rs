//! The dead letters of a data directory.

use embedded::{DeadLetterFilter, DeadLetterOrder, EmbeddedDeadLetterQueue, RedriveIntent, StorageFailure};
use redrive::{DeadLetters, Held, Intent, Intents, Letter, Noted, Order, Page, PageRequest, QueueError, ReasonCode};
use telemetry::DeviceId;

/// A page ends once its payloads reach this size, because one alone may hold 350 KB.
const PAGE_BYTES_MAX: usize = 2 << 20;
/// How many letters are read at a time, so that no more than these lie past that size.
const STEP: usize = 10;

/// The queue of one data directory. It holds nothing back: its receipts are the letters' ids, each of which stands once.
#[derive(Clone)]
pub struct OnDisk(pub EmbeddedDeadLetterQueue);

impl DeadLetters for OnDisk {
    async fn page(&self, request: &PageRequest) -> Result<Page, QueueError> {
        if !request.filter.ids.is_empty() {
            return self.named(request).await;
        }
        let Some(filter) = filter(request) else { return Ok(Page::default()) };
        let order = match request.order {
            Order::NewestFirst => DeadLetterOrder::NewestFirst,
            Order::OldestFirst => DeadLetterOrder::OldestFirst,
        };
        let (mut page, mut bytes) = (Page { letters: Vec::new(), next: request.after.clone() }, 0);
        loop {
            let limit = (request.limit - page.letters.len()).min(STEP);
            let part = self.0.list_in(order, page.next.as_deref(), limit, filter.clone()).await.map_err(unavailable)?;
            bytes += part.letters.iter().map(|letter| letter.payload_base64.len()).sum::<usize>();
            page.letters.extend(part.letters.into_iter().map(held));
            page.next = part.next;
            if page.next.is_none() || page.letters.len() >= request.limit || bytes >= PAGE_BYTES_MAX {
                return Ok(page);
            }
        }
    }

    async fn release(&self, _: Vec<String>) -> Result<(), QueueError> {
        Ok(())
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<u64, QueueError> {
        let deleted = self.0.delete_all(receipts).await.map_err(unavailable)?;
        Ok(deleted.into_iter().filter(|was_there| *was_there).count() as u64)
    }
}

impl OnDisk {
    async fn named(&self, request: &PageRequest) -> Result<Page, QueueError> {
        let mut page = Page::default();
        for id in &request.filter.ids {
            let letter = self.0.get(id).await.map_err(unavailable)?.map(held);
            page.letters.extend(letter.filter(|held| request.filter.matches(&held.letter)));
        }
        Ok(page)
    }
}

impl Intents for OnDisk {
    async fn note(&self, intents: Vec<Intent>) -> Result<Vec<Noted>, QueueError> {
        let intents = intents.into_iter().map(|intent| (intent.id, intent.form)).collect();
        let noted = self.0.note_intents(intents).await.map_err(unavailable)?;
        let noted = noted.into_iter().map(|noted| match noted {
            RedriveIntent::Noted => Noted::Noted,
            RedriveIntent::OtherForm => Noted::OtherForm,
            RedriveIntent::Gone => Noted::Gone,
        });
        Ok(noted.collect())
    }
}

/// The storage's filter; `None` where nothing of one machine can pass.
fn filter(request: &PageRequest) -> Option<DeadLetterFilter> {
    let filter = &request.filter;
    let reason = match filter.reason {
        None => None,
        Some(ReasonCode::Rejected(reason)) => Some(reason),
        Some(ReasonCode::LambdaFailure | ReasonCode::Unreadable) => return None,
    };
    let device_id = filter.device_id.as_deref().map(DeviceId::parse).transpose().ok()?;
    Some(DeadLetterFilter { reason, device_id, since: filter.since, until: filter.until })
}

fn held(letter: ports::DeadLetter) -> Held {
    Held { receipt: letter.id.clone(), letter: Letter::Rejected(letter) }
}

fn unavailable(failure: StorageFailure) -> QueueError {
    QueueError::Unavailable(Box::new(failure))
}
