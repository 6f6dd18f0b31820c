//! Batched calls: entries share them, each fails by itself, and what failed for a passing reason is sent again alone.

use futures::StreamExt as _;
use std::future::Future;
use std::ops::Range;
use std::time::Duration;

/// What one call of a service takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchLimits {
    pub entries_max: usize,
    pub bytes_max: usize,
    /// How often an entry is sent that the service refuses for a passing reason.
    pub attempts_max: u32,
}

/// How often an entry is sent before its failure is reported, where nothing else is said. These are attempts at entries
/// that the service refused one by one; a call that fails as a whole is tried again by the SDK.
pub(crate) const ATTEMPTS_MAX_DEFAULT: u32 = 5;

/// How many calls are under way at once.
const CONCURRENCY: usize = 8;

const BACKOFF_FIRST: Duration = Duration::from_millis(50);

/// What became of one entry of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sent<T, E> {
    /// It was taken.
    Taken(T),
    /// It was not taken, and may be when sent again.
    Again(E),
    /// It was not taken, and sending it again is of no use.
    Failed(E),
}

/// Sends entries of these sizes until each is taken or given up; the answer has one result an entry, in order.
/// `call` gets the places of the entries of one call and answers one outcome for each, in order.
pub(crate) async fn send_all<T, E, F, C>(sizes: &[usize], limits: BatchLimits, call: C) -> Vec<Result<T, E>>
where
    C: Fn(Vec<usize>) -> F,
    F: Future<Output = Vec<Sent<T, E>>>,
{
    let mut results: Vec<Option<Result<T, E>>> = sizes.iter().map(|_| None).collect();
    let mut pending: Vec<usize> = (0..sizes.len()).collect();
    let mut attempt = 1;
    while !pending.is_empty() {
        let pending_sizes: Vec<usize> = pending.iter().map(|at| sizes[*at]).collect();
        let outcomes: Vec<Vec<Sent<T, E>>> = futures::stream::iter(pack(&pending_sizes, limits))
            .map(|batch| call(pending[batch].to_vec()))
            .buffered(CONCURRENCY)
            .collect()
            .await;
        let mut again = Vec::new();
        for (at, outcome) in pending.iter().zip(outcomes.into_iter().flatten()) {
            let result = match outcome {
                Sent::Taken(taken) => Ok(taken),
                Sent::Again(_) if attempt < limits.attempts_max => {
                    again.push(*at);
                    continue;
                }
                Sent::Again(error) | Sent::Failed(error) => Err(error),
            };
            results[*at] = Some(result);
        }
        if !again.is_empty() {
            tokio::time::sleep(backoff(attempt)).await;
        }
        pending = again;
        attempt += 1;
    }
    // `call` answered for every entry, so that none is left without a result.
    results.into_iter().flatten().collect()
}

/// Cuts entries of these sizes, in order, into as few calls as the limits allow. An entry that is over the limit by
/// itself stands alone: the service is to judge it.
fn pack(sizes: &[usize], limits: BatchLimits) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, size) in sizes.iter().enumerate() {
        if at > start && (at - start == limits.entries_max || bytes + size > limits.bytes_max) {
            batches.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    if start < sizes.len() {
        batches.push(start..sizes.len());
    }
    batches
}

/// How long to wait before attempt `attempt` (the second is 1): exponential with full jitter, so that callers who
/// were throttled together do not come back together.
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
fn backoff(attempt: u32) -> Duration {
    BACKOFF_FIRST.saturating_mul(1 << attempt.min(6)).mul_f64(rand::random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn batches_hold_every_entry_once_in_order_and_keep_the_limits(
            sizes in prop::collection::vec(0usize..150, 0..200),
            entries_max in 1usize..12,
        ) {
            let limits = BatchLimits { entries_max, bytes_max: 100, attempts_max: 1 };
            let batches = pack(&sizes, limits);
            let flat: Vec<usize> = batches.iter().cloned().flatten().collect();
            prop_assert_eq!(flat, (0..sizes.len()).collect::<Vec<_>>());
            for batch in &batches {
                prop_assert!(!batch.is_empty() && batch.len() <= entries_max);
                let bytes: usize = sizes[batch.clone()].iter().sum();
                prop_assert!(bytes <= limits.bytes_max || batch.len() == 1);
            }
            for pair in batches.windows(2) {
                let together: usize = sizes[pair[0].start..=pair[1].start].iter().sum();
                prop_assert!(pair[0].len() == entries_max || together > limits.bytes_max, "a batch ended too early");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_failed_is_sent_again_and_results_keep_their_order() {
        let calls = std::sync::Mutex::new(Vec::<Vec<usize>>::new());
        let limits = BatchLimits { entries_max: 2, bytes_max: 100, attempts_max: ATTEMPTS_MAX_DEFAULT };
        let results = send_all(&[1, 1, 1, 1, 1], limits, |places| {
            let seen_before = |at: usize| calls.lock().unwrap().iter().flatten().filter(|seen| **seen == at).count();
            let outcomes = places
                .iter()
                .map(|at| match at {
                    1 if seen_before(1) < 2 => Sent::Again("throttled"),
                    2 => Sent::Failed("refused"),
                    4 => Sent::Again("never"),
                    at => Sent::Taken(*at),
                })
                .collect();
            calls.lock().unwrap().push(places);
            async move { outcomes }
        })
        .await;
        assert_eq!(results, [Ok(0), Ok(1), Err("refused"), Ok(3), Err("never")]);
        let calls = calls.into_inner().unwrap();
        assert_eq!(calls, [vec![0, 1], vec![2, 3], vec![4], vec![1, 4], vec![1, 4], vec![4], vec![4]]);
    }

    #[test]
    fn waits_grow_and_stay_bounded() {
        for attempt in 0..100 {
            assert!(backoff(attempt) <= Duration::from_millis(3200));
        }
    }
}
