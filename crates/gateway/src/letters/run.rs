//! Redriving from the dashboard's page: a preview, and the same done.
//!
//! Both are a [`Run`] of `consumers/redrive`, the one that `streamgauge dlq redrive` is: what the preview says of a
//! letter is what the command says of it. One call works on one page of letters, oldest first, and names where the next
//! call goes on, so that the page can show how far it has come, and can stop.

use super::queue::ViewQueue;
use super::{require_id, require_text};
use crate::answer::{Answer, Refusal, json};
use crate::place::Incoming;
use crate::reads::unavailable;
use crate::{Gateway, PipelineView, ViewError};
use hyper::StatusCode;
use hyper::http::request::Parts;
use ports::{Clock, EventStream};
use redrive::{
    Assignment, Filter, Letter, Observer, Outcome, PayloadOnly, QueueError, ReasonCode, RedriveError, Repairs, Run,
    RunOptions, Tally,
};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use telemetry::{DeviceId, RejectReason, Timestamp};

/// The most ids of one call, and the most assignments.
const IDS_MAX: usize = 1000;
const ASSIGNMENTS_MAX: usize = 16;

/// Which letters, and what is changed of them; all conditions that are given must hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Selection {
    ids: Vec<String>,
    #[serde(deserialize_with = "given")]
    reason: Option<RejectReason>,
    #[serde(deserialize_with = "given")]
    device_id: Option<String>,
    #[serde(deserialize_with = "given")]
    since: Option<Timestamp>,
    #[serde(deserialize_with = "given")]
    until: Option<Timestamp>,
    #[serde(deserialize_with = "given")]
    text: Option<String>,
    set: Vec<String>,
    bodies: HashMap<String, String>,
    all_reasons: bool,
    #[serde(deserialize_with = "given")]
    after: Option<String>,
}

/// What is there must say something: a condition that is `null` by mistake must not select every letter.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// What became, or would become, of a letter.
#[derive(Debug, Serialize)]
struct LetterOutcome {
    id: String,
    reason: &'static str,
    device_id: Option<String>,
    action: &'static str,
    readings: Option<u64>,
    why: Option<String>,
}

#[derive(Debug, Default)]
struct Outcomes(Vec<LetterOutcome>);

impl Observer for Outcomes {
    fn outcome(&mut self, letter: &Letter, outcome: &Outcome) {
        let (action, readings, why) = match outcome {
            Outcome::WouldSend(readings) => ("send", Some(*readings), None),
            Outcome::Sent(readings) => ("sent", Some(*readings), None),
            Outcome::Skipped(why) => ("skip", None, Some(why.clone())),
            Outcome::Refused(why) => ("refuse", None, Some(why.clone())),
            Outcome::Lost(readings, why) => ("lost", Some(*readings), Some(why.clone())),
            Outcome::Gone => ("gone", None, Some(RedriveError::Gone.to_string())),
            Outcome::Failed(error) => ("failed", None, Some(error.to_string())),
        };
        self.0.push(LetterOutcome {
            id: letter.id().to_owned(),
            reason: letter.reason().as_str(),
            device_id: letter.device_id().map(str::to_owned),
            action,
            readings,
            why,
        });
    }
}

#[derive(Serialize)]
struct Answered {
    applied: bool,
    until: Timestamp,
    letters: Vec<LetterOutcome>,
    totals: Tally,
    next: Option<String>,
}

impl<S: EventStream, V: PipelineView> Gateway<S, V> {
    /// Says what would become of each letter, and changes nothing; with `apply`, does it.
    pub(crate) async fn run_dead_letters(
        &self,
        head: &Parts,
        body: &mut Incoming,
        apply: bool,
    ) -> Result<Answer, Refusal> {
        let selection: Selection = self.document_of(head, body).await?;
        check(&selection)?;
        let now = self.clock.now();
        // Letters that come after the first call are left for another run.
        let until = selection.until.map_or(now, |until| until.min(now));
        let options = options(&selection, until, self.future_tolerance_seconds)?;
        let queue = ViewQueue::new(&self.view, selection.text.as_deref(), selection.after.as_deref());
        let (mut outcomes, clock) = (Outcomes::default(), RunClock(self.clock.as_ref()));
        let redriver = apply.then_some(&queue);
        let run = Run { queue: &queue, redriver, failed_records: &PayloadOnly, clock: &clock };
        let totals = run.run(&options, &mut outcomes).await.map_err(passing)?;
        let next = queue.next();
        Ok(json(StatusCode::OK, &Answered { applied: apply, until, letters: outcomes.0, totals, next }))
    }
}

struct RunClock<'a>(&'a dyn Clock);

impl Clock for RunClock<'_> {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

fn passing(error: QueueError) -> Refusal {
    let QueueError::Unavailable(source) = error;
    unavailable(ViewError::Unavailable(source))
}

fn check(selection: &Selection) -> Result<(), Refusal> {
    for (name, found, most) in [
        ("ids", selection.ids.len(), IDS_MAX),
        ("bodies", selection.bodies.len(), IDS_MAX),
        ("set", selection.set.len(), ASSIGNMENTS_MAX),
    ] {
        if found > most {
            return Err(Refusal::bad_request(format!("`{name}`: must hold at most {most}, but holds {found}")));
        }
    }
    for (index, id) in selection.ids.iter().enumerate() {
        require_id(&format!("ids[{index}]"), id)?;
    }
    if let Some(text) = &selection.text {
        require_text(text)?;
    }
    if let Some(after) = &selection.after {
        require_id("after", after)
            .map_err(|_| Refusal::bad_request("`after`: must be the `next` of an earlier call"))?;
    }
    match &selection.device_id {
        Some(device) => {
            DeviceId::parse(device).map(drop).map_err(|rule| Refusal::bad_request(format!("`device_id`: {rule}")))
        }
        None => Ok(()),
    }
}

fn options(selection: &Selection, until: Timestamp, tolerance_seconds: u64) -> Result<RunOptions, Refusal> {
    let filter = Filter {
        ids: selection.ids.clone(),
        reason: selection.reason.map(ReasonCode::Rejected),
        device_id: selection.device_id.clone(),
        since: selection.since,
        until: Some(until),
    };
    let assignments = selection.set.iter().enumerate().map(|(index, text)| {
        Assignment::parse(text).map_err(|rule| Refusal::bad_request(format!("`set[{index}]`: {rule}")))
    });
    let bodies = selection.bodies.iter().map(|(id, body)| (id.clone(), telemetry::one_line(body.as_bytes())));
    Ok(RunOptions {
        // Who names a reason means its letters.
        returning_too: selection.all_reasons || filter.reason.is_some(),
        filter,
        only: None::<HashSet<String>>,
        repairs: Repairs { assignments: assignments.collect::<Result<_, _>>()?, bodies: bodies.collect() },
        future_tolerance: Duration::from_secs(tolerance_seconds),
        rate: None,
    })
}
