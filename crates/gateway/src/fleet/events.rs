//! The state of the fleet as server-sent events: one when a page connects, and then one a second while it changes.

use super::table::TableQuery;
use crate::answer::{Answer, Refusal, stream_answer};
use crate::{Gateway, PipelineView};
use bytes::Bytes;
use hyper::http::request::Parts;
use ports::EventStream;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

const INTERVAL: Duration = Duration::from_secs(1);
/// How long the devices are kept in memory after the last page has gone.
const KEPT_UNSEEN: Duration = Duration::from_secs(60);

/// Says that nothing has changed, so that the page knows that it is still told.
const SAME: &[u8] = b"event: same\ndata: {}\n\n";

/// The pages that are told, and the word that ends them all. Those that were opened with the key, or after a login with
/// it, have places of their own. Of the others, the one that is open for longest ends for a new one.
pub(crate) struct EventStreams {
    max: usize,
    with_key: Arc<Semaphore>,
    without_key: Mutex<VecDeque<oneshot::Sender<()>>>,
    closing: watch::Sender<bool>,
}

/// The place of a stream.
enum Slot {
    WithKey {
        _permit: OwnedSemaphorePermit,
    },
    /// It ends when the receiver's sender is dropped.
    WithoutKey {
        ended: oneshot::Receiver<()>,
    },
}

impl Slot {
    /// Completes when the stream has to end.
    async fn ended(&mut self) {
        match self {
            Slot::WithKey { .. } => std::future::pending().await,
            // Nothing is sent: the error of the dropped sender is the word.
            Slot::WithoutKey { ended, .. } => drop(ended.await),
        }
    }
}

impl EventStreams {
    pub fn new(max: usize) -> Self {
        let with_key = Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        EventStreams { max, with_key, without_key: Mutex::default(), closing: watch::Sender::new(false) }
    }

    fn enter_with_key(&self) -> Option<Slot> {
        Some(Slot::WithKey { _permit: Arc::clone(&self.with_key).try_acquire_owned().ok()? })
    }

    /// A slot, and whether another stream ends for it.
    fn enter_without_key(&self) -> (Slot, bool) {
        let (sender, ended) = oneshot::channel();
        let mut open = self.without_key();
        open.push_back(sender);
        let ends_another = open.len() > self.max;
        if ends_another {
            open.pop_front();
        }
        (Slot::WithoutKey { ended }, ends_another)
    }

    fn leave(&self, slot: Slot) {
        // Without its receiver, a sender is closed.
        drop(slot);
        self.without_key().retain(|sender| !sender.is_closed());
    }

    fn is_empty(&self) -> bool {
        self.with_key.available_permits() >= self.max.min(Semaphore::MAX_PERMITS) && self.without_key().is_empty()
    }

    fn without_key(&self) -> MutexGuard<'_, VecDeque<oneshot::Sender<()>>> {
        self.without_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every stream, now and from now on: a server that shuts down waits for its answers to end.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Completes once the streams end: for other streamed answers.
    pub async fn closed(&self) {
        // The sender is `self`.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }
}

impl<S: EventStream + 'static, V: PipelineView + 'static> Gateway<S, V> {
    pub(crate) async fn events(self: &Arc<Self>, head: &Parts) -> Result<Answer, Refusal> {
        let query = TableQuery::parse(head)?;
        // What cannot be read is said by the answer's status.
        let first = self.event(&query).await?;
        let slot = self.event_slot(self.gatekeeper.shows_key(&head.headers))?;
        let (events, answer) = mpsc::channel(1);
        tokio::spawn(tell(Arc::clone(self), query, events, first, slot));
        Ok(stream_answer("text/event-stream", answer))
    }

    fn event_slot(&self, with_key: bool) -> Result<Slot, Refusal> {
        if with_key {
            return self.event_streams.enter_with_key().ok_or_else(|| {
                self.limit_log.count(|counts| counts.event_streams_refused += 1);
                Refusal::unavailable("too many dashboards are open: try again")
            });
        }
        let (slot, ends_another) = self.event_streams.enter_without_key();
        if ends_another {
            self.limit_log.count(|counts| counts.event_streams_ended += 1);
        }
        Ok(slot)
    }

    async fn event(&self, query: &TableQuery) -> Result<Bytes, Refusal> {
        self.with_state(query, |state| {
            // Our own structs, with string keys and finite numbers, always serialise; JSON on one line has no line feed.
            let state = serde_json::to_vec(state).unwrap_or_default();
            Bytes::from([b"event: state\ndata: ", state.as_slice(), b"\n\n"].concat())
        })
        .await
    }
}

/// Tells one page until it goes, the server ends, or the storage cannot be read: the page then asks again.
async fn tell<S: EventStream + 'static, V: PipelineView + 'static>(
    gateway: Arc<Gateway<S, V>>,
    query: TableQuery,
    events: mpsc::Sender<Bytes>,
    first: Bytes,
    mut slot: Slot,
) {
    let mut closing = gateway.event_streams.closing.subscribe();
    let mut ticks = interval_at(Instant::now() + INTERVAL, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = first.clone();
    let mut said = first;
    loop {
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => break,
            () = slot.ended() => break,
            sent = events.send(said) => if sent.is_err() { break },
        }
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => break,
            () = slot.ended() => break,
            () = events.closed() => break,
            _ = ticks.tick() => {}
        }
        let Ok(event) = gateway.event(&query).await else { break };
        said = if event == last { Bytes::from_static(SAME) } else { event.clone() };
        last = event;
    }
    // The answer ends here.
    drop(events);
    gateway.event_streams.leave(slot);
    let nobody_looks = || gateway.event_streams.is_empty();
    // Who reloads the page, or comes back to it, need not have the devices read again.
    if nobody_looks() {
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => {}
            () = tokio::time::sleep(KEPT_UNSEEN) => {}
        }
        if nobody_looks() {
            gateway.snapshots.forget().await;
        }
    }
}
