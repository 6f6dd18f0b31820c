//! How many dead letters there are: by reason, by device, by age, and over time.

use crate::answer::{Answer, Refusal, json};
use crate::query::query;
use crate::reads::unavailable;
use crate::{Gateway, PipelineView};
use hyper::StatusCode;
use hyper::http::request::Parts;
use ports::EventStream;
use redrive::{Counting, DeadLetters, Letter, PageRequest, QueueError, ReasonCode, Summary, every_page};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
use telemetry::Timestamp;
use tokio::sync::Mutex;

/// Letters read at once.
const PAGE: usize = 1000;
/// The most bars of the timeline.
const BARS_MAX: i64 = 60;
const MINUTE_SECONDS: i64 = 60;
/// How wide a bar may be, in seconds: up to a day by the clock, then whole weeks.
const WIDTHS: [i64; 11] = [60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 604_800, 2_419_200];

/// A summary reads every letter, so it is kept for at least this long, or for this many times as long as it took.
const KEPT_AT_LEAST: Duration = Duration::from_secs(1);
const KEPT_TIMES_AS_LONG: u32 = 10;

/// The last summary, for all clients that ask at once.
#[derive(Default)]
pub(crate) struct SummaryCache(Mutex<Option<(Instant, Answered)>>);

#[derive(Clone, Serialize)]
struct Answered {
    #[serde(flatten)]
    summary: Summary,
    timeline: Timeline,
}

/// Letters by reason and by the time they were given up.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Timeline {
    /// Where the first bar begins; `null` without letters.
    start: Option<Timestamp>,
    /// How wide a bar is.
    bar_seconds: i64,
    /// For each reason as many numbers as there are bars.
    reasons: BTreeMap<&'static str, Vec<u64>>,
}

impl<S: EventStream, V: PipelineView> Gateway<S, V> {
    pub(crate) async fn summarise_dead_letters(&self, head: &Parts) -> Result<Answer, Refusal> {
        query(head, &[])?;
        let mut kept = self.letter_summary.0.lock().await;
        if let Some((_, answered)) = kept.as_ref().filter(|(good_until, _)| Instant::now() < *good_until) {
            return Ok(json(StatusCode::OK, answered));
        }
        let began = Instant::now();
        let answered = count(self.view.letters(), self.clock.now()).await.map_err(unavailable)?;
        let answer = json(StatusCode::OK, &answered);
        let keep = KEPT_AT_LEAST.max(began.elapsed() * KEPT_TIMES_AS_LONG);
        *kept = Some((Instant::now() + keep, answered));
        Ok(answer)
    }
}

async fn count<Q: DeadLetters>(queue: &Q, now: Timestamp) -> Result<Answered, QueueError> {
    let (mut counting, mut minutes) = (Counting::default(), Minutes::default());
    let look = |letters: Vec<Letter>| -> Result<(), QueueError> {
        for letter in letters {
            if let Some(at) = letter.failed_at() {
                minutes.add(letter.reason(), at);
            }
            counting.add(&letter, now);
        }
        Ok(())
    };
    every_page(queue, PageRequest { limit: PAGE, ..PageRequest::default() }, look).await?;
    Ok(Answered { summary: counting.finish(), timeline: minutes.timeline(now) })
}

/// Letters by minute.
#[derive(Default)]
struct Minutes(HashMap<(i64, ReasonCode), u64>);

impl Minutes {
    fn add(&mut self, reason: ReasonCode, at: Timestamp) {
        let minute = at.as_millisecond().div_euclid(MINUTE_SECONDS * 1000);
        *self.0.entry((minute, reason)).or_default() += 1;
    }

    /// As few bars as hold the time from the first letter to now, or to the last where that is ahead of the clock.
    fn timeline(&self, now: Timestamp) -> Timeline {
        let minutes = || self.0.keys().map(|(minute, _)| *minute);
        let (Some(first), Some(last)) = (minutes().min(), minutes().max()) else {
            return Timeline { start: None, bar_seconds: WIDTHS[0], reasons: BTreeMap::new() };
        };
        let last = last.max(now.as_millisecond().div_euclid(MINUTE_SECONDS * 1000)) * MINUTE_SECONDS;
        let first = first * MINUTE_SECONDS;
        let bars = |width: i64| last.div_euclid(width) - first.div_euclid(width) + 1;
        let widest = WIDTHS[WIDTHS.len() - 1];
        let width = WIDTHS.into_iter().find(|width| bars(*width) <= BARS_MAX);
        // Longer than five years: as many of the widest in one.
        let mut multiples = (1..).map(|times| widest * times);
        let width = width.or_else(|| multiples.find(|width| bars(*width) <= BARS_MAX)).unwrap_or(widest);
        let start = first.div_euclid(width);
        let mut reasons: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
        for ((minute, reason), letters) in &self.0 {
            let bar = (minute * MINUTE_SECONDS).div_euclid(width) - start;
            let of_reason = reasons.entry(reason.as_str()).or_insert_with(|| vec![0; bars(width) as usize]);
            if let Some(of_bar) = usize::try_from(bar).ok().and_then(|bar| of_reason.get_mut(bar)) {
                *of_bar += letters;
            }
        }
        Timeline {
            start: Timestamp::from_millisecond(start * width * 1000).or(Timestamp::from_millisecond(first * 1000)),
            bar_seconds: width,
            reasons,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use telemetry::RejectReason;

    const LATE: ReasonCode = ReasonCode::Rejected(RejectReason::Late);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millisecond(second * 1000).unwrap()
    }

    #[test]
    fn letters_of_an_hour_stand_minute_by_minute() {
        let mut minutes = Minutes::default();
        for second in [3600, 3659, 3660] {
            minutes.add(LATE, at(second));
        }
        minutes.add(ReasonCode::Rejected(RejectReason::MalformedJson), at(3600));
        let timeline = minutes.timeline(at(3600 + 180));
        assert_eq!((timeline.start, timeline.bar_seconds), (Some(at(3600)), 60));
        assert_eq!(
            timeline.reasons,
            BTreeMap::from([("late", vec![2, 1, 0, 0]), ("malformed_json", vec![1, 0, 0, 0])])
        );
    }

    #[test]
    fn without_letters_there_is_no_time() {
        assert_eq!(Minutes::default().timeline(at(0)).start, None);
    }

    proptest! {
        #[test]
        fn every_letter_stands_in_one_of_at_most_60_bars(
            seconds in prop::collection::vec(0i64..7_000_000_000, 1..40),
            now in 0i64..4_000_000_000,
        ) {
            let mut minutes = Minutes::default();
            for second in &seconds {
                minutes.add(LATE, at(*second));
            }
            let timeline = minutes.timeline(at(now));
            let bars = &timeline.reasons["late"];
            prop_assert!(bars.len() as i64 <= BARS_MAX);
            prop_assert_eq!(bars.iter().sum::<u64>(), seconds.len() as u64);
            let start = timeline.start.unwrap().as_millisecond() / 1000;
            for second in seconds {
                let bar = (second - start).div_euclid(timeline.bar_seconds);
                prop_assert!(bar >= 0 && bars[bar as usize] > 0);
            }
        }
    }
}
