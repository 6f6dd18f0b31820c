//! A backup of the whole pipeline, asked for by a program on the same machine.
//!
//! The answer is JSON Lines: how far the copy is, and last how it ended. A client that disconnects stops it.

use crate::answer::{Answer, Refusal, stream_answer};
use crate::place::Incoming;
use crate::{BackupFailure, Gateway, PipelineView};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::http::request::Parts;
use ports::{BackupProgress, BackupSummary, EventStream};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

type Outcome = Result<BackupSummary, BackupFailure>;

/// A copy that is being made; dropped, it stops.
struct Work {
    running: Pin<Box<dyn Future<Output = Outcome> + Send>>,
    steps: mpsc::Receiver<BackupProgress>,
    _slot: OwnedSemaphorePermit,
}

enum Next {
    Step(BackupProgress),
    End(Outcome),
}

impl Work {
    async fn next(&mut self) -> Next {
        tokio::select! {
            biased;
            Some(step) = self.steps.recv() => Next::Step(step),
            outcome = &mut self.running => Next::End(outcome),
        }
    }
}

impl<S: EventStream + 'static, V: PipelineView + 'static> Gateway<S, V> {
    pub(crate) async fn backup(self: &Arc<Self>, head: &Parts, body: &mut Incoming) -> Result<Answer, Refusal> {
        #[derive(Deserialize)]
        struct Body {
            target: PathBuf,
        }
        let Body { target } = self.document_of(head, body).await?;
        if !target.is_absolute() {
            return Err(Refusal::bad_request("`target`: must be an absolute path on the pipeline's machine"));
        }
        let slot = Arc::clone(&self.backups).try_acquire_owned();
        let slot = slot.map_err(|_| Refusal::new(StatusCode::CONFLICT, "another backup is being made: wait for it"))?;
        let (progress, steps) = mpsc::channel(1);
        let gateway = Arc::clone(self);
        let running = Box::pin(async move { gateway.view.backup(target, progress).await });
        let mut work = Work { running, steps, _slot: slot };
        // If the copy can't begin, the answer's status says so.
        let first = match work.next().await {
            Next::End(Err(BackupFailure::Target(why))) => return Err(Refusal::bad_request(why)),
            Next::End(Err(BackupFailure::Failed(why))) => {
                return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why));
            }
            first => first,
        };
        let (lines, answer) = mpsc::channel(1);
        tokio::spawn(send_lines(Arc::clone(self), work, first, lines));
        Ok(stream_answer("application/jsonl", answer))
    }
}

/// Sends lines until the copy ends, the client disconnects, or the server shuts down.
async fn send_lines<S: EventStream + 'static, V: PipelineView + 'static>(
    gateway: Arc<Gateway<S, V>>,
    mut work: Work,
    mut next: Next,
    lines: mpsc::Sender<Bytes>,
) {
    loop {
        let is_last = matches!(next, Next::End(_));
        tokio::select! {
            () = gateway.event_streams.closed() => break,
            sent = lines.send(line(&next)) => if sent.is_err() || is_last { return },
        }
        next = tokio::select! {
            () = gateway.event_streams.closed() => break,
            () = lines.closed() => return,
            next = work.next() => next,
        };
    }
    drop(work);
    let why = "the pipeline is shutting down; run the backup again to finish it".to_owned();
    // Whether or not the client still reads, the copy has stopped.
    let _ = lines.send(line(&Next::End(Err(BackupFailure::Failed(why))))).await;
}

fn line(next: &Next) -> Bytes {
    #[derive(Serialize)]
    struct Done<'a> {
        done: bool,
        #[serde(flatten)]
        summary: &'a BackupSummary,
    }
    #[derive(Serialize)]
    struct Failed {
        error: String,
    }
    let line = match next {
        Next::Step(step) => serde_json::to_vec(step),
        Next::End(Ok(summary)) => serde_json::to_vec(&Done { done: true, summary }),
        Next::End(Err(failure)) => serde_json::to_vec(&Failed { error: failure.to_string() }),
    };
    // Our own structs, with string keys and integers, always serialise.
    let mut line = line.unwrap_or_default();
    line.push(b'\n');
    line.into()
}
