//! How long a post is tried, and what ends a run.

use crate::progress::Progress;
use crate::retry::backoff_delay;
use crate::row::Origin;
use rand::{Rng, rng};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How long an endpoint is awaited that has never answered: long enough for one that is starting, short enough for
/// somebody who mistyped its address.
const NEVER_REACHED_PATIENCE: Duration = Duration::from_secs(10);

/// How often a wait looks whether the run was told to end.
const STOP_CHECK: Duration = Duration::from_millis(50);

/// What ended a run before all was posted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The key was not taken.
    #[error("{url} does not take this API key ({answer}); nothing more was sent")]
    Forbidden {
        /// The endpoint.
        url: String,
        /// What it said.
        answer: String,
    },
    /// The endpoint has not answered a single time.
    #[error("{0}")]
    Unreachable(String),
    /// A post failed for longer than a post is retried.
    #[error(
        "{file}:{line}: gave up after {seconds} s: {reason}; this reading and those after it were not all sent. \
         Sending the same again is safe: what was counted is not counted twice"
    )]
    GaveUp {
        /// The file of the first reading that was not taken.
        file: String,
        /// Its line.
        line: u64,
        /// How long it was tried.
        seconds: u64,
        /// The last failure.
        reason: String,
    },
    /// What answers is no Streamgauge pipeline.
    #[error("{0} answers, but not as a Streamgauge endpoint does: is its address right?")]
    NotStreamgauge(String),
    /// The stream takes nothing more from this sender until somebody mends what is named.
    #[error("{0}; nothing more was sent")]
    StreamRefuses(String),
    /// [`Progress::stop`] was called.
    #[error(
        "stopped: what was in flight was awaited, and the rest was not sent. Sending the same again is safe: what was \
         counted is not counted twice"
    )]
    Stopped,
}

/// The time that one post may take, with all that is tried again.
pub(crate) struct Patience<'a> {
    progress: &'a Progress,
    limit: Duration,
    since: Instant,
    attempt: u32,
}

impl<'a> Patience<'a> {
    /// Begins now, and ends after `limit`.
    pub(crate) fn new(progress: &'a Progress, limit: Duration) -> Self {
        Patience { progress, limit, since: Instant::now(), attempt: 0 }
    }

    /// Begins again: getting on is no reason to give up.
    pub(crate) fn renew(&mut self) {
        *self = Patience::new(self.progress, self.limit);
    }

    /// Waits before the next attempt: as long as was `asked` for, else longer from attempt to attempt. `first` is the
    /// first reading that waits, `reason` why it has to.
    pub(crate) fn wait(&mut self, first: &Origin, asked: Option<Duration>, reason: &str) -> Result<(), Halt> {
        let delay = match asked {
            // A little more, so that those who were told the same do not all return at the same moment.
            Some(wait) => wait + Duration::from_millis(rng().random_range(0..100)),
            None => backoff_delay(self.attempt, &mut rng()),
        };
        let reached = self.progress.reached.load(Relaxed);
        let limit = if reached { self.limit } else { self.limit.min(NEVER_REACHED_PATIENCE) };
        if self.since.elapsed() + delay > limit {
            return Err(if reached {
                let (file, line) = (first.file.to_string(), first.line);
                Halt::GaveUp { file, line, seconds: self.since.elapsed().as_secs(), reason: reason.to_owned() }
            } else {
                Halt::Unreachable(reason.to_owned())
            });
        }
        if !wait(delay, self.progress) {
            return Err(Halt::Stopped);
        }
        self.attempt += 1;
        Ok(())
    }
}

/// Sleeps, but not longer than until the run is told to end: then false.
pub(crate) fn wait(delay: Duration, progress: &Progress) -> bool {
    let end = Instant::now() + delay;
    loop {
        if progress.stopped() {
            return false;
        }
        match end.checked_duration_since(Instant::now()) {
            None | Some(Duration::ZERO) => return true,
            Some(left) => std::thread::sleep(left.min(STOP_CHECK)),
        }
    }
}
