//! A run through a queue: look, decide, and with a [`Redriver`] send, group by group.

use crate::decision::{Decision, Rules};
use crate::lambda_failure::FetchedRecords;
use crate::letter::{Filter, Letter};
use crate::outcome::{Observer, Outcome, Tally};
use crate::pace::Pace;
use crate::plan::decide;
use crate::queue::{
    DeadLetters, FailedRecords, Held, Order, Outgoing, PageRequest, QueueError, RedriveError, Redriver,
};
use crate::redriver::chain;
use crate::repair::{Records, Repairs};
use ports::Clock;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use telemetry::Timestamp;

/// Letters looked at, and sent, at once.
const LETTERS_MAX: usize = 1000;
/// Bytes of records sent at once, but for one larger letter.
const GROUP_BYTES_MAX: usize = 512 * 1024;
/// How often a group is tried where a failure is passing, and the first pause; each is twice the one before.
const TRIES_MAX: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What a run is to do.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Which letters.
    pub filter: Filter,
    /// Only these ids, where they are too many for the filter.
    pub only: Option<HashSet<String>>,
    /// What is changed of them.
    pub repairs: Repairs,
    /// Whether letters are sent that would only come back as they are.
    pub returning_too: bool,
    /// How far ahead of its arrival the stream takes a timestamp.
    pub future_tolerance: Duration,
    /// The most readings sent in a second.
    pub rate: Option<f64>,
}

/// The outside of a run. Without a `redriver` it is a dry run, which changes nothing.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a, Q, R, F, C> {
    /// The queue.
    pub queue: &'a Q,
    /// What sends.
    pub redriver: Option<&'a R>,
    /// Where the records of a batch come from that Lambda gave up.
    pub failed_records: &'a F,
    /// What says when the run begins, and what lies ahead.
    pub clock: &'a C,
}

/// A letter's copies on the page, and what to send for it.
struct Planned {
    letter: Letter,
    receipts: Vec<String>,
    records: Records,
    /// Why the letter stays though its records went.
    lost: Option<String>,
}

impl<Q: DeadLetters, R: Redriver, F: FailedRecords, C: Clock> Run<'_, Q, R, F, C> {
    /// Goes through the queue once. It can be stopped at any moment, and run again.
    ///
    /// # Errors
    /// [`QueueError`] where the queue cannot be read; what went before it has gone.
    pub async fn run(&self, options: &RunOptions, observer: &mut impl Observer) -> Result<Tally, QueueError> {
        let mut request = request(options, None);
        // Otherwise what is sent and refused again would be sent forever.
        let began = self.clock.now();
        request.filter.until = Some(request.filter.until.map_or(began, |until| until.min(began)));
        let (mut sending, mut tally) = (Sending::new(options), Tally::default());
        loop {
            match self.step(&request, options, &mut sending, &mut tally, observer).await? {
                Some(next) => request.after = Some(next),
                None => return Ok(tally),
            }
        }
    }

    /// Works on the page behind `after`, and says where the next one begins. The caller keeps `options.filter.until` the
    /// same from page to page: see [`Run::run`].
    ///
    /// # Errors
    /// As [`Run::run`].
    pub async fn page(
        &self,
        options: &RunOptions,
        after: Option<String>,
        observer: &mut impl Observer,
    ) -> Result<(Tally, Option<String>), QueueError> {
        let mut tally = Tally::default();
        let request = request(options, after);
        let next = self.step(&request, options, &mut Sending::new(options), &mut tally, observer).await?;
        Ok((tally, next))
    }

    async fn step(
        &self,
        request: &PageRequest,
        options: &RunOptions,
        sending: &mut Sending,
        tally: &mut Tally,
        observer: &mut impl Observer,
    ) -> Result<Option<String>, QueueError> {
        let page = self.queue.page(request).await?;
        let mut note = |letter: &Letter, outcome: Outcome| {
            tally.add(&outcome);
            observer.outcome(letter, &outcome);
        };
        let (planned, left) = self.plan(page.letters, &request.filter, options, &mut note).await?;
        self.queue.release(left).await?;
        match self.redriver {
            None => self.tell(planned, &mut note).await?,
            Some(redriver) => self.send(redriver, planned, sending, &mut note).await?,
        }
        Ok(page.next)
    }

    /// Decides on the letters of a page, copies of one id together, in the order of their arrival. Beside them, the
    /// receipts of what is left alone.
    async fn plan(
        &self,
        held: Vec<Held>,
        filter: &Filter,
        options: &RunOptions,
        note: &mut impl FnMut(&Letter, Outcome),
    ) -> Result<(Vec<Planned>, Vec<String>), QueueError> {
        let now = self.clock.now();
        let horizon = now.as_nanosecond() + options.future_tolerance.as_nanos() as i128;
        let horizon = Timestamp::from_nanosecond(horizon).unwrap_or(now);
        let rules = Rules { returning_too: options.returning_too, horizon };
        let (mut planned, mut left) = (Vec::new(), Vec::new());
        for (letter, receipts) in copies_together(held) {
            let wanted = options.only.as_ref().is_none_or(|only| only.contains(letter.id()));
            if !wanted || !filter.matches(&letter) {
                left.extend(receipts);
                continue;
            }
            let fetched = match self.fetch(&letter).await {
                Ok(fetched) => fetched,
                Err(error) => {
                    note(&letter, Outcome::Failed(RedriveError::Passing(chain(&error))));
                    left.extend(receipts);
                    continue;
                }
            };
            match decide(&letter, fetched.as_ref(), &options.repairs, rules) {
                Decision::Send(records) => planned.push(Planned { letter, receipts, records, lost: None }),
                Decision::SendPart(records, why) => {
                    planned.push(Planned { letter, receipts, records, lost: Some(why) });
                }
                Decision::Skip(why) => {
                    note(&letter, Outcome::Skipped(why));
                    left.extend(receipts);
                }
                Decision::Refuse(why) => {
                    note(&letter, Outcome::Refused(why));
                    left.extend(receipts);
                }
            }
        }
        Ok((planned, left))
    }

    async fn fetch(&self, letter: &Letter) -> Result<Option<FetchedRecords>, QueueError> {
        match letter {
            Letter::LambdaFailure(failure) => self.failed_records.fetch(failure).await.map(Some),
            _ => Ok(None),
        }
    }

    /// A dry run's end of a page.
    async fn tell(&self, planned: Vec<Planned>, note: &mut impl FnMut(&Letter, Outcome)) -> Result<(), QueueError> {
        let mut receipts = Vec::new();
        for letter in planned {
            note(&letter.letter, letter.outcome(Outcome::WouldSend));
            receipts.extend(letter.receipts);
        }
        self.queue.release(receipts).await
    }

    async fn send(
        &self,
        redriver: &R,
        planned: Vec<Planned>,
        sending: &mut Sending,
        note: &mut impl FnMut(&Letter, Outcome),
    ) -> Result<(), QueueError> {
        for group in groups(planned, sending.pace.group_readings_max()) {
            tokio::time::sleep(sending.pace.wait(sending.sent, sending.start.elapsed())).await;
            let results = send_group(redriver, &group).await;
            let mut left = Vec::new();
            for (planned, result) in group.into_iter().zip(results) {
                sending.sent += planned.records.readings;
                let outcome = match result {
                    Ok(()) if planned.lost.is_some() => {
                        let outcome = planned.outcome(Outcome::Sent);
                        left.extend(planned.receipts);
                        outcome
                    }
                    Ok(()) => planned.outcome(Outcome::Sent),
                    Err(RedriveError::Gone) => Outcome::Gone,
                    Err(error) => {
                        left.extend(planned.receipts);
                        Outcome::Failed(error)
                    }
                };
                note(&planned.letter, outcome);
            }
            self.queue.release(left).await?;
        }
        Ok(())
    }
}

impl Planned {
    /// What became of it once its records went.
    fn outcome(&self, whole: fn(u64) -> Outcome) -> Outcome {
        match &self.lost {
            None => whole(self.records.readings),
            Some(why) => Outcome::Lost(self.records.readings, why.clone()),
        }
    }
}

struct Sending {
    pace: Pace,
    start: Instant,
    sent: u64,
}

impl Sending {
    fn new(options: &RunOptions) -> Self {
        Sending { pace: Pace { rate: options.rate }, start: Instant::now(), sent: 0 }
    }
}

fn request(options: &RunOptions, after: Option<String>) -> PageRequest {
    PageRequest { filter: options.filter.clone(), order: Order::OldestFirst, limit: LETTERS_MAX, after }
}

fn copies_together(held: Vec<Held>) -> Vec<(Letter, Vec<String>)> {
    let mut letters: Vec<(Letter, Vec<String>)> = Vec::with_capacity(held.len());
    let mut place_of: HashMap<String, usize> = HashMap::with_capacity(held.len());
    for Held { receipt, letter } in held {
        let next = letters.len();
        let place = *place_of.entry(letter.id().to_owned()).or_insert(next);
        match letters.get_mut(place) {
            Some((_, receipts)) => receipts.push(receipt),
            None => letters.push((letter, vec![receipt])),
        }
    }
    letters.sort_by_cached_key(|(letter, _)| letter.arrival());
    letters
}

fn groups(planned: Vec<Planned>, readings_max: u64) -> Vec<Vec<Planned>> {
    let mut groups: Vec<Vec<Planned>> = Vec::new();
    let (mut bytes, mut readings) = (0, 0);
    for letter in planned {
        let size: usize = letter.records.entries.iter().map(|entry| entry.data.len() + entry.partition_key.len()).sum();
        bytes += size;
        readings += letter.records.readings;
        match groups.last_mut() {
            Some(group) if bytes <= GROUP_BYTES_MAX && readings <= readings_max => group.push(letter),
            _ => {
                (bytes, readings) = (size, letter.records.readings);
                groups.push(vec![letter]);
            }
        }
    }
    groups
}

/// Sends a group; what fails for a passing reason is tried again by itself.
async fn send_group<R: Redriver>(redriver: &R, group: &[Planned]) -> Vec<Result<(), RedriveError>> {
    let outgoing = |planned: &Planned| Outgoing {
        id: planned.letter.id().to_owned(),
        // A letter of which records are lost stays.
        receipts: if planned.lost.is_some() { Vec::new() } else { planned.receipts.clone() },
        records: planned.records.entries.clone(),
        is_whole_record: matches!(&planned.letter, Letter::Rejected(letter) if letter.readings_by_reason.is_some()),
    };
    let lost = || RedriveError::Passing("no answer for it".to_owned());
    let mut results: Vec<Result<(), RedriveError>> = group.iter().map(|_| Err(lost())).collect();
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=TRIES_MAX {
        let again: Vec<usize> =
            (0..group.len()).filter(|place| results[*place].as_ref().is_err_and(RedriveError::is_passing)).collect();
        if again.is_empty() {
            break;
        }
        if attempt > 1 {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        let answers = redriver.redrive(again.iter().map(|place| outgoing(&group[*place])).collect()).await;
        for (place, answer) in again.into_iter().zip(answers) {
            // After a lost answer, gone may be what the try before sent, or what a purge deleted: nobody can tell.
            results[place] = answer;
        }
    }
    results
}
