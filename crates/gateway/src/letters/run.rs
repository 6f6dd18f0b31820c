//! Redriving: a preview, and the same done.
//!
//! Both are a [`Run`] of `consumers/redrive`, as `streamgauge dlq redrive` is: the preview says of a letter what the
//! command says of it. One call works on one page of letters, oldest first, and its answer names where the next call
//! continues, so that a client can show its progress, and can stop.

use super::{LETTERS_MAX, is_id, require_ids, require_text};
use crate::answer::{Answer, Refusal, json};
use crate::place::Incoming;
use crate::reads::unavailable;
use crate::{Gateway, PipelineView};
use hyper::StatusCode;
use hyper::http::request::Parts;
use ports::EventStream;
use redrive::{
    Assignment, Filter, Letter, LetterOutcome, Observer, Outcome, PayloadOnly, ReasonCode, Repairs, Run, RunOptions,
    StreamRedriver, Tally,
};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::HashMap;
use std::time::Duration;
use telemetry::{DeviceId, RejectReason, Timestamp};

/// The most assignments of one call.
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

/// A condition that is `null` by mistake must not select every letter.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[derive(Debug, Default)]
struct Outcomes(Vec<LetterOutcome>);

impl Observer for Outcomes {
    fn outcome(&mut self, letter: &Letter, outcome: &Outcome) {
        self.0.push(LetterOutcome::new(letter, outcome));
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
        let until = selection.until.map_or(now, |until| until.min(now));
        let options = options(&selection, until, self.future_tolerance_seconds)?;
        let queue = self.view.letters();
        let redriver = StreamRedriver { queue, stream: &self.stream };
        let redriver = apply.then_some(&redriver);
        let run = Run { queue, redriver, failed_records: &PayloadOnly, clock: &self.clock };
        let mut outcomes = Outcomes::default();
        let (totals, next) = run.page(&options, selection.after, &mut outcomes).await.map_err(unavailable)?;
        Ok(json(StatusCode::OK, &Answered { applied: apply, until, letters: outcomes.0, totals, next }))
    }
}

fn check(selection: &Selection) -> Result<(), Refusal> {
    for (name, found, most) in [
        ("ids", selection.ids.len(), LETTERS_MAX),
        ("bodies", selection.bodies.len(), LETTERS_MAX),
        ("set", selection.set.len(), ASSIGNMENTS_MAX),
    ] {
        if found > most {
            return Err(Refusal::bad_request(format!("`{name}`: must hold at most {most}, but holds {found}")));
        }
    }
    require_ids(&selection.ids)?;
    if let Some(text) = &selection.text {
        require_text(text)?;
    }
    if selection.after.as_deref().is_some_and(|after| !is_id(after)) {
        return Err(Refusal::bad_request("`after`: must be the `next` of an earlier call"));
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
        // Letters that come after the first call are left for another run; those that are named are there already.
        until: if selection.ids.is_empty() { Some(until) } else { selection.until },
        text: selection.text.clone(),
    };
    let assignments = selection.set.iter().enumerate().map(|(index, text)| {
        Assignment::parse(text).map_err(|rule| Refusal::bad_request(format!("`set[{index}]`: {rule}")))
    });
    let bodies = selection.bodies.iter().map(|(id, body)| (id.clone(), telemetry::one_line(body.as_bytes())));
    Ok(RunOptions {
        // A reason that is named means its letters.
        returning_too: selection.all_reasons || filter.reason.is_some(),
        filter,
        repairs: Repairs { assignments: assignments.collect::<Result<_, _>>()?, bodies: bodies.collect() },
        future_tolerance: Duration::from_secs(tolerance_seconds),
        ..RunOptions::default()
    })
}
