//! The state of the fleet as server-sent events: one when a page connects, and then one a second while it changes.

use super::event_streams::Slot;
use super::table::TableQuery;
use crate::answer::{Answer, Refusal, stream_answer};
use crate::{Gateway, PipelineView};
use bytes::Bytes;
use hyper::http::request::Parts;
use ports::EventStream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

const INTERVAL: Duration = Duration::from_secs(1);
/// How long the devices are kept in memory after the last page has gone.
const KEPT_UNSEEN: Duration = Duration::from_secs(60);

/// Says that nothing has changed, so that the page knows that it is still told.
const SAME: &[u8] = b"event: same\ndata: {}\n\n";

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
