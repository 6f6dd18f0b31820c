//! What the dashboard's page comes with, so that it shows the fleet before it has asked for anything.

use super::State;
use super::table::TableQuery;
use crate::recent::Recent;
use crate::{Gateway, PipelineView};
use ports::EventStream;
use serde::Serialize;

#[derive(Serialize)]
struct First<'a> {
    state: &'a State<'a>,
    /// Of the first device that is shown.
    recent: Option<Recent>,
}

impl<S: EventStream, V: PipelineView> Gateway<S, V> {
    /// The state that a page asks for which has just been opened, as JSON that may stand in HTML. None where the storage
    /// cannot be read: the page then asks, and is told so.
    pub(crate) async fn first_state(&self) -> Option<String> {
        let query = TableQuery::default();
        let encoded = self.with_state(&query, |state| {
            let recent = state.devices.first().and_then(|device| self.recent.of(device.device_id));
            serde_json::to_string(&First { state, recent })
        });
        // Nothing in it may end the element that it stands in.
        Some(encoded.await.ok()?.ok()?.replace('<', "\\u003c"))
    }
}
