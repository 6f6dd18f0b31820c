//! Many schedules on a few threads, each schedule on one.

use crate::arbitrary;
use crate::coverage::Coverage;
use crate::run::run;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What many runs came to.
#[derive(Debug, Default)]
pub struct Campaign {
    /// Schedules run.
    pub schedules: u64,
    /// All that happened in them.
    pub coverage: Coverage,
    /// The least seed that broke a guarantee, if any did: runs stop soon after.
    pub failing_seed: Option<u64>,
}

/// Runs the schedules of `count` seeds from `first` on, on `threads` threads; stops early where one fails.
pub fn campaign(first: u64, count: u64, threads: usize) -> Campaign {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let total = Mutex::new(Campaign::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut mine = Campaign::default();
                while !stop.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    let outcome = run(&arbitrary::schedule(first + at));
                    mine.schedules += 1;
                    mine.coverage.merge(&outcome.coverage);
                    if outcome.violation.is_some() {
                        mine.failing_seed = Some(first + at);
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                // A poisoned lock is another thread's panic, which the scope passes on.
                let mut total = total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                total.schedules += mine.schedules;
                total.coverage.merge(&mine.coverage);
                total.failing_seed = [total.failing_seed, mine.failing_seed].into_iter().flatten().min();
            });
        }
    });
    total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}
