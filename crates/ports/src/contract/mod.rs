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

pub mod checkpoints;

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
