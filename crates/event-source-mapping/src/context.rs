//! What every shard's task shares.

use crate::config::MappingConfig;
use crate::metrics::Metrics;
use std::sync::Arc;
use tokio::time::Instant;

/// What every task shares.
pub(crate) struct Context<S, C, F, O, K> {
    pub(crate) stream: Arc<S>,
    pub(crate) checkpoints: Arc<C>,
    pub(crate) function: Arc<F>,
    pub(crate) on_failure: Arc<O>,
    pub(crate) clock: Arc<K>,
    pub(crate) config: Arc<MappingConfig>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) origin: Instant,
}
