//! The gateway: what every request shares.

use crate::access::Gatekeeper;
use crate::body::BodyReader;
use crate::fleet::{EventStreams, SnapshotCache};
use crate::health::StreamHealth;
use crate::letters::SummaryCache;
use crate::limit_log::LimitLog;
use crate::{ConfigError, GatewayConfig, Limits, PipelineView, RecentActivity};
use ports::{Clock, EventStream};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The front door, in front of a stream `S` and a view `V` of the pipeline behind it.
pub struct Gateway<S, V> {
    pub(crate) gatekeeper: Gatekeeper,
    pub(crate) bodies: BodyReader,
    pub(crate) stream: S,
    pub(crate) view: V,
    pub(crate) stream_health: StreamHealth,
    pub(crate) recent: Arc<RecentActivity>,
    pub(crate) letter_summary: SummaryCache,
    pub(crate) snapshots: SnapshotCache,
    pub(crate) event_streams: EventStreams,
    /// One permit: backups are made one at a time.
    pub(crate) backups: Arc<Semaphore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) limit_log: Arc<LimitLog>,
    pub(crate) future_tolerance_seconds: u64,
}

impl<S: EventStream, V: PipelineView> Gateway<S, V> {
    /// A gateway; `recent` has what the aggregator has counted.
    ///
    /// # Errors
    /// [`ConfigError`], where the settings cannot work.
    pub fn new(
        config: &GatewayConfig,
        stream: S,
        view: V,
        recent: Arc<RecentActivity>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let limit_log = Arc::<LimitLog>::default();
        Ok(Gateway {
            gatekeeper: Gatekeeper::new(config)?,
            bodies: BodyReader::new(&config.limits, Arc::clone(&limit_log)),
            stream,
            view,
            stream_health: StreamHealth::default(),
            recent,
            letter_summary: SummaryCache::default(),
            snapshots: SnapshotCache::default(),
            event_streams: EventStreams::new(config.limits.event_streams),
            backups: Arc::new(Semaphore::new(1)),
            clock,
            limits: config.limits.clone(),
            limit_log,
            future_tolerance_seconds: config.future_tolerance.as_secs(),
        })
    }
}
