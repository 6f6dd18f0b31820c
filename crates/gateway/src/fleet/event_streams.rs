//! How many pages are told of the fleet at once, and how all of them end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// The pages that are told, and the word that ends them all. Those that were opened with the key, or after a login with
/// it, have places of their own. Of the others, the one that is open for longest ends for a new one.
pub(crate) struct EventStreams {
    max: usize,
    with_key: Arc<Semaphore>,
    without_key: Mutex<VecDeque<oneshot::Sender<()>>>,
    pub(super) closing: watch::Sender<bool>,
}

/// The place of a stream.
pub(super) enum Slot {
    WithKey {
        _permit: OwnedSemaphorePermit,
    },
    /// It ends when the receiver's sender is dropped.
    WithoutKey {
        ended: oneshot::Receiver<()>,
    },
}

impl Slot {
    /// Completes when the stream has to end.
    pub(super) async fn ended(&mut self) {
        match self {
            Slot::WithKey { .. } => std::future::pending().await,
            // Nothing is sent: the error of the dropped sender is the word.
            Slot::WithoutKey { ended, .. } => drop(ended.await),
        }
    }
}

impl EventStreams {
    pub fn new(max: usize) -> Self {
        let with_key = Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        EventStreams { max, with_key, without_key: Mutex::default(), closing: watch::Sender::new(false) }
    }

    pub(super) fn enter_with_key(&self) -> Option<Slot> {
        Some(Slot::WithKey { _permit: Arc::clone(&self.with_key).try_acquire_owned().ok()? })
    }

    /// A slot, and whether another stream ends for it.
    pub(super) fn enter_without_key(&self) -> (Slot, bool) {
        let (sender, ended) = oneshot::channel();
        let mut open = self.without_key();
        open.push_back(sender);
        let ends_another = open.len() > self.max;
        if ends_another {
            open.pop_front();
        }
        (Slot::WithoutKey { ended }, ends_another)
    }

    pub(super) fn leave(&self, slot: Slot) {
        // Without its receiver, a sender is closed.
        drop(slot);
        self.without_key().retain(|sender| !sender.is_closed());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.with_key.available_permits() >= self.max.min(Semaphore::MAX_PERMITS) && self.without_key().is_empty()
    }

    fn without_key(&self) -> MutexGuard<'_, VecDeque<oneshot::Sender<()>>> {
        self.without_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every stream, now and from now on: a server that shuts down waits for its answers to end.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Completes once the streams end: for other streamed answers.
    pub async fn closed(&self) {
        // The sender is `self`.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }
}
