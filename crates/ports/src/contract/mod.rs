//! The contract suite: what every implementation of a port must do, as facts that its own tests run.
//!
//! Each fact is an async function over a fresh, empty implementation; a macro makes one test of each:
//!
//! ```ignore
//! async fn make() -> (MyStream, Guard) { … }        // the guard is dropped when the test ends
//! ports::event_stream_contract!(make);
//! ```
//!
//! The facts assume nothing that one back end alone gives: sequence numbers need not be consecutive, a stream may have
//! any number of shards, reads may lag behind writes where the port allows it.

pub mod archive;
pub mod checkpoints;
pub mod curated_delivery;
pub mod dead_letter_queue;
pub mod event_stream;
pub mod statistics_store;

use std::future::{Future, poll_fn};
use std::task::Poll;

/// Runs the futures at the same time, in one task; their outputs in order.
async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let mut outputs: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (slot, output) in running.iter_mut().zip(&mut outputs) {
            if let Some(future) = slot
                && let Poll::Ready(value) = future.as_mut().poll(context)
            {
                *output = Some(value);
                *slot = None;
            }
        }
        if running.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

/// Makes one test of each fact; `$make` is an async function without parameters that gives `(port, guard)`.
#[macro_export]
macro_rules! contract_tests {
    ($module:ident, $make:path, [$($fact:ident),* $(,)?]) => {$(
        #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $fact() {
            let (port, _guard) = $make().await;
            $crate::contract::$module::$fact(&port).await;
        }
    )*};
}
