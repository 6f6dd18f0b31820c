//! The whole fleet at a glance, for the dashboard: an overview, and a part of the table of devices.
//!
//! Devices are read from the storage together, at most once a second however many pages look, and never while none
//! does. Sorting, searching and paging are done here, so that a page with 10,000 devices holds what it shows and no more.

mod event_streams;
mod events;
mod first;
mod overview;
mod snapshot;
mod table;

pub(crate) use event_streams::EventStreams;
pub(crate) use snapshot::SnapshotCache;

use crate::answer::{Answer, Refusal, json};
use crate::health::Health;
use crate::reads::{Statistics, unavailable};
use crate::{Accounting, Gateway, PipelineView};
use hyper::StatusCode;
use hyper::http::request::Parts;
use overview::Overview;
use ports::EventStream;
use redrive::{DeadLetters as _, PageRequest};
use serde::Serialize;
use std::time::Instant;
use table::TableQuery;

/// What the dashboard shows.
#[derive(Serialize)]
struct State<'a> {
    health: Health,
    pipeline: Accounting,
    /// Whether any dead letter is in the queue: the accounts count all that there ever were.
    letters_wait: bool,
    overview: &'a Overview,
    /// How many devices the search and the range leave.
    matching: usize,
    devices: Vec<Statistics<'a>>,
    /// The device that was asked for, where there is one of that name.
    chosen: Option<Statistics<'a>>,
}

impl<S: EventStream, V: PipelineView> Gateway<S, V> {
    pub(crate) async fn fleet(&self, head: &Parts) -> Result<Answer, Refusal> {
        let query = TableQuery::parse(head)?;
        self.with_state(&query, |state| json(StatusCode::OK, state)).await
    }

    /// Gives the state that a query asks for to `use_it`.
    async fn with_state<T>(&self, query: &TableQuery, use_it: impl FnOnce(&State<'_>) -> T) -> Result<T, Refusal> {
        let pipeline = self.view.accounting().await.map_err(unavailable)?;
        let one = PageRequest { limit: 1, ..PageRequest::default() };
        let letters_wait = !self.view.letters().page(&one).await.map_err(unavailable)?.letters.is_empty();
        // Counted before it is read: what is written meanwhile is read again.
        let writes = self.recent.writes();
        let snapshot = self.snapshots.get(&self.view, self.clock.as_ref(), writes).await.map_err(unavailable)?;
        let (matching, rows) = query.rows(&snapshot);
        let statistics = |at: usize| {
            let (device, attributes) = &snapshot.devices[at];
            Statistics::new(device, attributes)
        };
        let chosen = query.chosen.as_ref().and_then(|chosen| snapshot.place_of(chosen)).map(statistics);
        let devices = rows.into_iter().map(statistics).collect();
        let health = self.stream_health.read(Instant::now());
        Ok(use_it(&State { health, pipeline, letters_wait, overview: &snapshot.overview, matching, devices, chosen }))
    }
}
