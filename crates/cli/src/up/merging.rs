//! Curated files of days that are over, merged: at the start, and a while after each midnight.

use super::Holds;
use curator::{MERGED_ROWS_MAX, Merger, open_day};
use embedded::{EmbeddedStorage, FileArchive};
use ports::{Clock as _, SystemClock, catch_panic, with_causes};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// How often it is looked whether another day is over, by the clock on the wall: the machine may sleep, or be set.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// How long a day that was not merged waits at most until it is tried again; each time twice as long.
const RETRY_INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// Merges what is over, until cancelled.
pub async fn merge(storage: EmbeddedStorage, holds: Holds, cancelled: CancellationToken) {
    let mut merging = Some(Merging::new(&storage));
    let mut merged_before = String::new();
    let mut pause = LOOK_INTERVAL;
    loop {
        let open = open_day(SystemClock.now());
        if open != merged_before
            && let Some(mut run) = merging.take()
        {
            let token = cancelled.clone();
            let held = tokio::select! {
                held = Arc::clone(&holds.upkeep).read_owned() => held,
                () = cancelled.cancelled() => return,
            };
            let pass = move || {
                let _held = held;
                let is_done = run.pass(&token);
                (run, is_done)
            };
            let (run, is_done) = tokio::task::spawn_blocking(pass).await.unwrap_or_else(|_| {
                error!("merging curated files panicked and will be tried again");
                (Merging::new(&storage), false)
            });
            merging = Some(run);
            if is_done {
                (merged_before, pause) = (open, LOOK_INTERVAL);
            } else {
                pause = RETRY_INTERVAL_MAX.min(pause * 2);
            }
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = cancelled.cancelled() => return,
        }
    }
}

struct Merging {
    merger: Merger<FileArchive>,
    /// Unreadable files that the log has named.
    named: BTreeSet<String>,
}

impl Merging {
    fn new(storage: &EmbeddedStorage) -> Self {
        Merging { merger: Merger::new(storage.archive(), MERGED_ROWS_MAX), named: BTreeSet::new() }
    }

    /// Every day that is over; whether none is left to be tried again. Blocking.
    fn pass(&mut self, cancelled: &CancellationToken) -> bool {
        let days = match self.merger.closed_days(SystemClock.now()) {
            Ok(days) => days,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "curated files cannot be listed");
                return false;
            }
        };
        let mut is_done = true;
        for day in days {
            if cancelled.is_cancelled() {
                return false;
            }
            // A file over which the Parquet reader panics is only unreadable. This is for any other panic of one day.
            is_done &= catch_panic(|| self.day(&day, cancelled)).unwrap_or_else(|panic| {
                let error = &panic as &dyn std::error::Error;
                error!(day, error, "merging a day's curated files panicked and will be tried again");
                false
            });
        }
        is_done
    }

    fn day(&mut self, day: &str, cancelled: &CancellationToken) -> bool {
        let done = match self.merger.merge_day(day, &|| cancelled.is_cancelled()) {
            Ok(done) => done,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                warn!(day, error, "curated files of a day were not merged and will be by a later run");
                return false;
            }
        };
        if done.deleted > 0 {
            info!(day, written = done.written, deleted = done.deleted, "curated files of a day merged");
        }
        for (file, error) in done.unreadable {
            if self.named.insert(file.clone()) {
                warn!(file, error = with_causes(&error), "a curated file cannot be read, and stays as it is");
            }
        }
        true
    }
}
