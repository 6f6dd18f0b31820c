//! Drives the state machines on tokio: one task a shard, and one that discovers shards.

use crate::config::{InvalidConfig, MappingConfig};
use crate::context::Context;
use crate::function::Function;
use crate::metrics::{Metrics, add};
use crate::on_failure::OnFailure;
use crate::shard_graph::{ShardGraph, ShardStart};
use crate::shard_task::{ShardEnd, run_shard};
use ports::{Checkpoints, Clock, EventStream, Position, SequenceNumber, Shard, ShardId, StreamError};
use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tracing::{error, info, warn};

/// How often the shards are listed where no drained one asks for it earlier.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(10);

/// Everything that a mapping works with.
#[derive(Debug)]
pub struct EventSourceMapping<S, C, F, O, K> {
    /// The stream.
    pub stream: Arc<S>,
    /// Its checkpoints.
    pub checkpoints: Arc<C>,
    /// The function.
    pub function: Arc<F>,
    /// Where discarded batches go.
    pub on_failure: Arc<O>,
    /// The wall clock, which records' ages go by.
    pub clock: Arc<K>,
    /// The settings.
    pub config: MappingConfig,
    /// The counters, which the caller may keep and read.
    pub metrics: Arc<Metrics>,
}

/// Processes every shard of the stream until `shutdown` resolves; then finishes the batches that are in flight, saves
/// their checkpoints and returns.
///
/// # Errors
/// At once, where settings are out of range. No failure of a port, of the function or of the destination ends it.
pub async fn run<S, C, F, O, K>(
    mapping: EventSourceMapping<S, C, F, O, K>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), InvalidConfig>
where
    S: EventStream + 'static,
    C: Checkpoints + 'static,
    F: Function + 'static,
    O: OnFailure + 'static,
    K: Clock + 'static,
{
    mapping.config.validate()?;
    let (stop, stopped) = watch::channel(false);
    let context = Arc::new(Context {
        stream: mapping.stream,
        checkpoints: mapping.checkpoints,
        function: mapping.function,
        on_failure: mapping.on_failure,
        clock: mapping.clock,
        config: Arc::new(mapping.config),
        metrics: mapping.metrics,
        origin: Instant::now(),
    });
    let mut supervisor =
        Supervisor { context, graph: ShardGraph::new(), tasks: JoinSet::new(), shards: HashMap::new() };
    tokio::pin!(shutdown);
    tokio::select! {
        () = &mut shutdown => {}
        () = supervisor.supervise(&stopped) => {}
    }
    info!("event source mapping drains");
    // Receivers live in the shard tasks; there may be none left.
    _ = stop.send(true);
    while supervisor.tasks.join_next().await.is_some() {}
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum ListingError {
    #[error("the listing panicked")]
    Panicked(#[source] JoinError),
    #[error("the listing failed")]
    Failed(#[source] StreamError),
}

struct Supervisor<S, C, F, O, K> {
    context: Arc<Context<S, C, F, O, K>>,
    graph: ShardGraph,
    tasks: JoinSet<ShardEnd>,
    shards: HashMap<Id, Shard>,
}

impl<S, C, F, O, K> Supervisor<S, C, F, O, K>
where
    S: EventStream + 'static,
    C: Checkpoints + 'static,
    F: Function + 'static,
    O: OnFailure + 'static,
    K: Clock + 'static,
{
    /// Never returns. May be dropped at any await: the tasks live in `self`.
    async fn supervise(&mut self, stopped: &watch::Receiver<bool>) {
        let mut failures = 0;
        let mut gone = BTreeSet::new();
        loop {
            let stream = Arc::clone(&self.context.stream);
            // In a task of its own, so that a panic is one more failed listing.
            let listing = tokio::spawn(async move { stream.list_shards().await }).await;
            let wait =
                match listing.map_err(ListingError::Panicked).and_then(|listing| listing.map_err(ListingError::Failed))
                {
                    Ok(shards) => {
                        failures = 0;
                        self.graph.listed(shards);
                        DISCOVERY_INTERVAL
                    }
                    Err(error) => {
                        failures += 1;
                        add(&self.context.metrics.port_errors, 1);
                        warn!(error = &error as &dyn std::error::Error, failures, "shards not listed");
                        self.context.config.retry_backoff.wait(failures)
                    }
                };
            if failures == 0 {
                self.settle_gone(&mut gone, stopped);
            }
            for start in self.graph.start_ready() {
                self.spawn(start, false, stopped);
            }
            let next_listing = tokio::time::sleep(wait);
            tokio::pin!(next_listing);
            tokio::select! {
                () = &mut next_listing => {}
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended, &mut gone, stopped),
            }
        }
    }

    /// A shard that the stream no longer knew, and whose task ended for that: if the listing has it all the same, it
    /// is read on.
    fn settle_gone(&mut self, gone: &mut BTreeSet<ShardId>, stopped: &watch::Receiver<bool>) {
        for id in std::mem::take(gone) {
            if self.graph.is_listed(&id) {
                let shard = Shard { id, parent: None, adjacent_parent: None };
                self.spawn(ShardStart { shard, discovered_later: true }, true, stopped);
            } else {
                info!(shard = %id, "shard expired");
                self.graph.drained(&id);
            }
        }
    }

    fn ended(
        &mut self,
        ended: Result<(Id, ShardEnd), JoinError>,
        gone: &mut BTreeSet<ShardId>,
        stopped: &watch::Receiver<bool>,
    ) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(shard) = self.shards.remove(&id) else { return };
        match ended {
            Ok((_, ShardEnd::Drained)) => {
                info!(shard = %shard.id, "shard drained");
                self.graph.drained(&shard.id);
            }
            Ok((_, ShardEnd::Gone)) => _ = gone.insert(shard.id),
            Ok((_, ShardEnd::Stopped)) => {}
            Err(error) => {
                error!(shard = %shard.id, %error, "shard task failed, and starts again from its checkpoint");
                self.spawn(ShardStart { shard, discovered_later: true }, true, stopped);
            }
        }
    }

    fn spawn(&mut self, start: ShardStart, later: bool, stopped: &watch::Receiver<bool>) {
        let (context, mut stopped) = (Arc::clone(&self.context), stopped.clone());
        let shard = start.shard.clone();
        let task = self.tasks.spawn(async move {
            let starting = async {
                if later {
                    tokio::time::sleep(context.config.retry_backoff.maximum.min(Duration::from_secs(1))).await;
                }
                starting_point(&context, &start).await
            };
            let origin = tokio::select! {
                origin = starting => origin,
                _ = stopped.wait_for(|stopped| *stopped) => return ShardEnd::Stopped,
            };
            run_shard(context, start.shard.id, origin.0, origin.1, stopped).await
        });
        self.shards.insert(task.id(), shard);
    }
}

/// The position to start at, and the checkpoint. Without a checkpoint, a shard whose parents were processed holds
/// nothing but what came after them: it starts at its oldest record even where the mapping began at the latest.
async fn starting_point<S, C: Checkpoints, F, O, K>(
    context: &Context<S, C, F, O, K>,
    start: &ShardStart,
) -> (Position, Option<SequenceNumber>) {
    let checkpoint = load(context, &start.shard.id).await;
    let configured = Position::from(context.config.starting_position);
    if checkpoint.is_some() || configured != Position::Latest {
        return (configured, checkpoint);
    }
    let mut follows = start.discovered_later;
    for parent in start.shard.parent.iter().chain(&start.shard.adjacent_parent) {
        follows |= load(context, parent).await.is_some();
    }
    (if follows { Position::TrimHorizon } else { configured }, None)
}

async fn load<S, C: Checkpoints, F, O, K>(context: &Context<S, C, F, O, K>, shard: &ShardId) -> Option<SequenceNumber> {
    let mut failures = 0;
    loop {
        match context.checkpoints.load(shard).await {
            Ok(checkpoint) => return checkpoint,
            Err(error) => {
                failures += 1;
                add(&context.metrics.port_errors, 1);
                warn!(%shard, error = &error as &dyn std::error::Error, failures, "checkpoint not loaded");
                tokio::time::sleep(context.config.retry_backoff.wait(failures)).await;
            }
        }
    }
}
