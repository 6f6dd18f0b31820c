//! The dead letters behind a view, in the shape that `consumers/redrive` works on.

use crate::{DeadLetterPage, DeadLetterQuery, PipelineView, RedriveFailure, RedriveLetter, ViewError};
use ports::DeadLetter;
use redrive::{
    DeadLetters, Held, Letter, Order, Outgoing, Page, PageRequest, QueueError, ReasonCode, RedriveError, Redriver,
};
use std::sync::{Mutex, PoisonError};
use telemetry::DeviceId;

/// A page of dead letters ends early once its payloads reach this size, because one alone may hold 350 KB.
pub(crate) const BYTES_MAX: usize = 2 * 1024 * 1024;
/// How many dead letters are read at a time, so that no more than these lie past that size.
const STEP: usize = 10;

/// At most `query.limit` letters; fewer, and still a `next`, once their payloads reach [`BYTES_MAX`].
pub(crate) async fn collect<V: PipelineView>(
    view: &V,
    query: DeadLetterQuery<'_>,
) -> Result<DeadLetterPage, ViewError> {
    let mut page = DeadLetterPage { dead_letters: Vec::new(), next: query.after.map(str::to_owned) };
    let mut bytes = 0;
    loop {
        let step = DeadLetterQuery {
            after: page.next.as_deref(),
            limit: (query.limit - page.dead_letters.len()).min(STEP),
            ..query
        };
        let read = view.dead_letters(step).await?;
        bytes += read.dead_letters.iter().map(|letter| letter.payload_base64.len()).sum::<usize>();
        page.dead_letters.extend(read.dead_letters);
        page.next = read.next;
        if page.next.is_none() || page.dead_letters.len() >= query.limit || bytes >= BYTES_MAX {
            return Ok(page);
        }
    }
}

/// One page of the queue behind a view: what one call of a run works on. It holds nothing back, so that its receipts
/// are the letters' ids; where it ends, [`ViewQueue::next`] tells where to go on.
pub(super) struct ViewQueue<'a, V> {
    view: &'a V,
    text: Option<&'a str>,
    after: Option<&'a str>,
    next: Mutex<Option<String>>,
}

impl<'a, V> ViewQueue<'a, V> {
    /// The page after `after`, of the letters that hold `text`.
    pub fn new(view: &'a V, text: Option<&'a str>, after: Option<&'a str>) -> Self {
        ViewQueue { view, text, after, next: Mutex::default() }
    }

    /// Where to go on; `None` at the end.
    pub fn next(self) -> Option<String> {
        self.next.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self, letters: Vec<DeadLetter>) -> impl Iterator<Item = Held> {
        let holds = |letter: &DeadLetter| self.text.is_none_or(|text| super::search::holds(letter, text));
        letters
            .into_iter()
            .filter(holds)
            .map(|letter| Held { receipt: letter.id.clone(), letter: Letter::Rejected(letter) })
    }
}

impl<V: PipelineView> DeadLetters for ViewQueue<'_, V> {
    async fn page(&self, request: &PageRequest) -> Result<Page, QueueError> {
        let filter = &request.filter;
        let reason = match filter.reason {
            None => None,
            Some(ReasonCode::Rejected(reason)) => Some(reason),
            // There is nothing of the kind on one machine.
            Some(ReasonCode::LambdaFailure | ReasonCode::Unreadable) => return Ok(Page::default()),
        };
        let device_id = filter.device_id.as_deref().map(DeviceId::parse).transpose();
        let Ok(device_id) = device_id else { return Ok(Page::default()) };
        let query = DeadLetterQuery {
            after: self.after,
            limit: request.limit,
            reason,
            device_id: device_id.as_ref(),
            id: None,
            since: filter.since,
            until: filter.until,
            oldest_first: request.order == Order::OldestFirst,
        };
        let mut letters = Vec::new();
        for id in &filter.ids {
            let one = DeadLetterQuery { id: Some(id), after: None, ..query };
            let page = self.view.dead_letters(one).await.map_err(unavailable)?;
            letters.extend(self.held(page.dead_letters));
        }
        if filter.ids.is_empty() {
            let page = collect(self.view, query).await.map_err(unavailable)?;
            letters.extend(self.held(page.dead_letters));
            *self.next.lock().unwrap_or_else(PoisonError::into_inner) = page.next;
        }
        Ok(Page { letters, next: None })
    }

    async fn release(&self, _: Vec<String>) -> Result<(), QueueError> {
        Ok(())
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<u64, QueueError> {
        self.view.delete_dead_letters(receipts).await.map_err(unavailable)
    }
}

impl<V: PipelineView> Redriver for ViewQueue<'_, V> {
    /// The view itself notes, puts and deletes, as for `POST /dead-letters/redrive`.
    async fn redrive(&self, letters: Vec<Outgoing>) -> Vec<Result<(), RedriveError>> {
        let mut results = Vec::with_capacity(letters.len());
        let mut going = Vec::with_capacity(letters.len());
        for letter in letters {
            let texts = letter.records.into_iter().map(|record| String::from_utf8(record.data));
            let bodies = if letter.is_whole_record { Ok(None) } else { texts.collect::<Result<_, _>>().map(Some) };
            match bodies {
                Ok(bodies) => {
                    going.push(RedriveLetter { id: letter.id, bodies });
                    results.push(Ok(()));
                }
                Err(_) => results.push(Err(RedriveError::Refused("readings are UTF-8".to_owned()))),
            }
        }
        let passing = |why: &str| Err(RedriveError::Passing(why.to_owned()));
        let mut answers = match self.view.redrive(going).await {
            Ok(answers) => answers.into_iter(),
            Err(error) => {
                return results.into_iter().map(|result| result.and_then(|()| passing(&error.to_string()))).collect();
            }
        };
        let answer = || match answers.next() {
            Some(answer) => answer.map_err(error),
            None => passing("no answer for it"),
        };
        let mut answer = answer;
        results.into_iter().map(|result| result.and_then(|()| answer())).collect()
    }
}

fn error(failure: RedriveFailure) -> RedriveError {
    match failure {
        RedriveFailure { gone: true, .. } => RedriveError::Gone,
        RedriveFailure { passing: true, error, .. } => RedriveError::Passing(error),
        RedriveFailure { error, .. } => RedriveError::Refused(error),
    }
}

fn unavailable(error: ViewError) -> QueueError {
    QueueError::Unavailable(Box::new(error))
}
