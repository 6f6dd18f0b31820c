//! A source read by a thread of its own.

use crate::progress::Progress;
use crate::row::{Refusal, Row};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// How often a source that waits looks whether the run was told to end.
const STOP_CHECK: Duration = Duration::from_millis(50);

/// Reads a source that may wait for long, such as standard input, in a thread of its own, so that a run that was told
/// to end does not wait for the next line. The thread ends with its source, or with the process.
pub struct Detached {
    rows: Receiver<Result<Row, Refusal>>,
    progress: Arc<Progress>,
}

impl Detached {
    /// Starts reading; at most 4,096 rows ahead.
    pub fn new(source: impl Iterator<Item = Result<Row, Refusal>> + Send + 'static, progress: Arc<Progress>) -> Self {
        let (sender, rows) = sync_channel(4096);
        std::thread::spawn(move || {
            for row in source {
                if sender.send(row).is_err() {
                    break;
                }
            }
        });
        Detached { rows, progress }
    }
}

impl Iterator for Detached {
    type Item = Result<Row, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.progress.stopped() {
            match self.rows.recv_timeout(STOP_CHECK) {
                Ok(row) => return Some(row),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        None
    }
}
