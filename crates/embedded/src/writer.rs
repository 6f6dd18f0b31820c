//! Group commit: one thread a database file takes everything that waits, applies it in one transaction, commits it to
//! the disk, and only then answers each caller.
//!
//! Nothing is delayed to make groups larger: a group is what queued up during the commit before it.

use crate::StorageFailure;
use crate::database::Database;
use redb::WriteTransaction;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The most operations one transaction takes: with more, the first to wait would wait too long.
const GROUP_OPERATIONS_MAX: usize = 4096;
/// The most bytes one transaction takes, but for a single larger operation: it bounds memory.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// What a writer writes: a set of operations on one database file.
pub(crate) trait Journal: Send + 'static {
    /// One caller's request.
    type Operation: Send + 'static;
    /// The answer to it, true once the group is committed.
    type Outcome: Send + 'static;

    /// Applies the operations in order, one outcome each. An operation whose condition does not hold says so in its
    /// outcome and changes nothing; an error undoes the whole group.
    fn apply(
        &mut self,
        transaction: &WriteTransaction,
        operations: &[Self::Operation],
    ) -> Result<Vec<Self::Outcome>, StorageFailure>;

    /// The group is on disk.
    fn committed(&mut self) {}

    /// The group failed; the file may hold it all the same.
    fn failed(&mut self, _database: &Database) {}
}

struct Queued<J: Journal> {
    operation: J::Operation,
    bytes: usize,
    reply: Reply<J::Outcome>,
}

struct Reply<R> {
    answer: oneshot::Sender<Result<R, StorageFailure>>,
    /// Given back just before the answer, not when the operation leaves the queue: what is being written counts too.
    room: OwnedSemaphorePermit,
}

impl<R> Reply<R> {
    /// A caller that has its answer finds the room free.
    fn send(self, result: Result<R, StorageFailure>) {
        drop(self.room);
        // A caller that no longer waits does not need the answer.
        let _ = self.answer.send(result);
    }
}

enum Message<J: Journal> {
    Work(Queued<J>),
    Stop,
}

/// The callers' end of a writer thread.
pub(crate) struct Writer<J: Journal> {
    messages: Sender<Message<J>>,
    room: Arc<Semaphore>,
    room_bytes: usize,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<J: Journal> Writer<J> {
    /// Starts the thread. Operations of at most `room_bytes` together may wait.
    pub(crate) fn start(
        name: &str,
        database: Arc<Database>,
        journal: J,
        room_bytes: usize,
    ) -> Result<Self, std::io::Error> {
        let (messages, received) = channel();
        let thread =
            std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&database, journal, &received))?;
        // A semaphore hands out permits as u32.
        let room_bytes = room_bytes.min(u32::MAX as usize >> 1);
        Ok(Writer {
            messages,
            room: Arc::new(Semaphore::new(room_bytes)),
            room_bytes,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Writes `operation`, or fails at once with [`StorageFailure::QueueFull`].
    pub(crate) async fn try_write(&self, operation: J::Operation, bytes: usize) -> Result<J::Outcome, StorageFailure> {
        let permits = self.permits(bytes);
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits).map_err(|_| StorageFailure::QueueFull)?;
        self.submit(operation, bytes, room).await
    }

    /// Writes `operation`, waiting for room in the queue.
    pub(crate) async fn write(&self, operation: J::Operation, bytes: usize) -> Result<J::Outcome, StorageFailure> {
        let permits = self.permits(bytes);
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await.map_err(|_| StorageFailure::Closed)?;
        self.submit(operation, bytes, room).await
    }

    /// The room an operation takes: no more than there is, or it would wait for ever.
    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.clamp(1, self.room_bytes)).unwrap_or(u32::MAX >> 1)
    }

    async fn submit(
        &self,
        operation: J::Operation,
        bytes: usize,
        room: OwnedSemaphorePermit,
    ) -> Result<J::Outcome, StorageFailure> {
        let (answer, answered) = oneshot::channel();
        let queued = Queued { operation, bytes, reply: Reply { answer, room } };
        self.messages.send(Message::Work(queued)).map_err(|_| StorageFailure::Closed)?;
        answered.await.unwrap_or(Err(StorageFailure::Unanswered))
    }

    /// Writes what waits and ends the thread. Everything afterwards fails with [`StorageFailure::Closed`].
    pub(crate) fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Without a receiver the thread has ended already, and a panic of it has been reported.
            let _ = self.messages.send(Message::Stop);
            let _ = thread.join();
        }
    }
}

fn run<J: Journal>(database: &Database, mut journal: J, messages: &Receiver<Message<J>>) {
    let mut waiting = VecDeque::new();
    let mut stopping = false;
    loop {
        if waiting.is_empty() && !stopping {
            match messages.recv() {
                Ok(Message::Work(queued)) => waiting.push_back(queued),
                Ok(Message::Stop) | Err(_) => stopping = true,
            }
        }
        for message in messages.try_iter() {
            match message {
                Message::Work(queued) => waiting.push_back(queued),
                Message::Stop => stopping = true,
            }
        }
        if waiting.is_empty() && stopping {
            return;
        }
        write_group(database, &mut journal, take_group(&mut waiting));
    }
}

fn take_group<J: Journal>(waiting: &mut VecDeque<Queued<J>>) -> Vec<Queued<J>> {
    let mut bytes = 0;
    let mut count = 0;
    for queued in waiting.iter().take(GROUP_OPERATIONS_MAX) {
        bytes += queued.bytes;
        if count > 0 && bytes > GROUP_BYTES_MAX {
            break;
        }
        count += 1;
    }
    waiting.drain(..count).collect()
}

fn write_group<J: Journal>(database: &Database, journal: &mut J, group: Vec<Queued<J>>) {
    let (operations, replies): (Vec<_>, Vec<_>) =
        group.into_iter().map(|queued| (queued.operation, queued.reply)).unzip();
    let write = AssertUnwindSafe(|| database.write(|transaction| journal.apply(transaction, &operations)));
    // A transaction that unwinds is undone, and a journal reads what it needs from the transaction: neither is left
    // half changed. A panic costs its group, not every write after it.
    let result = catch_unwind(write).unwrap_or(Err(StorageFailure::Unanswered));
    match result {
        Ok(outcomes) => {
            journal.committed();
            for (reply, outcome) in replies.into_iter().zip(outcomes) {
                reply.send(Ok(outcome));
            }
        }
        Err(failure) => {
            journal.failed(database);
            for reply in replies {
                reply.send(Err(failure.clone()));
            }
        }
    }
}
