//! `streamgauge up`: the whole pipeline in one process.
//!
//! This module wires; what it wires stands in crates of its own. On the way down it stops in the order of the data's
//! way: fleet, front door, event source mapping (once nothing is pending), archive, curated data.

mod api_key;
mod background;
pub mod curated;
mod function;
mod holds;
mod log_limit;
pub mod logging;
mod merging;
mod open_files;
mod screen;
mod totals;
mod view;

use crate::api_key::{ApiKey, ApiKeyArgs};
use crate::signals::Signals;
use aggregator::{Aggregator, Settings};
use anyhow::Context as _;
use embedded::{EmbeddedStorage, OpenError, Options};
use event_source_mapping::{EventSource, EventSourceMapping, MappingConfig, Metrics, NoDestination};
use function::AggregatorFunction;
use gateway::{DEFAULT_MEMORY_BYTES, Gateway, GatewayConfig, Limits, RecentActivity};
pub use holds::{Holds, copy};
use ports::SystemClock;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use totals::Totals;
use view::StorageView;

/// How long a shutdown waits for what is pending; the rest is processed by the next `up`.
const DRAIN_TIME: Duration = Duration::from_secs(20);

/// Bytes of one batch's event on this machine. Lambda's own limit is 6 MB; this one keeps memory small.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// How long a shard's records are gathered: single posts of many devices then share transactions and checkpoints, and
/// are visible this much later.
const BATCHING_WINDOW: Duration = Duration::from_millis(10);

/// Records of one batch.
const BATCH_SIZE: usize = 1000;

/// Shards of a new stream.
const SHARDS_DEFAULT: u16 = 4;

/// Flags of `streamgauge up`.
#[derive(clap::Args)]
pub struct Args {
    /// Where everything is kept; made if it is not there
    #[arg(long, default_value = "streamgauge-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// The port to listen on; 0: any free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The address to listen on; on any but a loopback address the dashboard asks for the key
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// A name by which browsers may reach the dashboard, such as a reverse proxy's; may be given several times
    #[arg(long, value_name = "NAME")]
    allowed_host: Vec<String>,
    #[command(flatten)]
    api_key: ApiKeyArgs,
    /// Shards of a new stream, 4 by default; an existing data directory keeps its own number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    shards: Option<u16>,
    /// Simulate N devices that post over HTTP
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    devices: u32,
    /// Readings per second of the simulated fleet, with --devices; two a device by default
    #[arg(long, value_name = "READINGS_PER_SECOND", requires = "devices", value_parser = rate)]
    rate: Option<f64>,
    /// How long the stream keeps what has been processed and archived
    #[arg(long, default_value_t = 24, value_name = "HOURS", value_parser = clap::value_parser!(u64).range(1..=8760))]
    retention_hours: u64,
    /// How often the statistics that have changed are written to a Parquet file
    #[arg(long, default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86400))]
    curated_interval: u64,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 100_000.0 => Ok(rate),
        _ => Err("must be a number above 0 and at most 100000".to_owned()),
    }
}

/// Runs the pipeline until Ctrl-C, SIGTERM or SIGHUP.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let screen = screen::Screen::new();
    let held_back = logging::init(&screen)?;
    let given_key = api_key::given(&args.api_key)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8)))
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.spawn(held_back.clone().keep_writing());
    let result = runtime.block_on(pipeline(&args, given_key, &screen));
    screen.clear();
    held_back.write_rest();
    // Blocking reads that are still under way have nothing left to tell.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result.map(|()| ExitCode::SUCCESS)
}

async fn pipeline(args: &Args, given_key: Option<ApiKey>, screen: &screen::Screen) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let listener = TcpListener::bind((args.host.as_str(), args.port))
        .await
        .with_context(|| format!("cannot listen on {}:{}", args.host, args.port))?;
    let address = listener.local_addr().context("cannot tell the address listened on")?;
    let storage = open(args)?;
    let ApiKey { key: api_key, file: api_key_file } = api_key::given_or_kept(given_key, &args.data_dir)?;
    let totals = Totals::new(storage.clone());
    let holds = Holds::default();
    let recent = Arc::new(RecentActivity::new(DEFAULT_MEMORY_BYTES));
    let mut config = GatewayConfig::new(api_key.as_str(), address);
    config.extra_hosts = args.allowed_host.clone();
    config.limits = connection_limits();
    let gateway = Gateway::new(
        &config,
        storage.stream(),
        StorageView::new(storage.clone(), totals.clone(), holds.clone()),
        recent.clone(),
        Arc::new(SystemClock),
    )
    .context("cannot start the gateway")?;

    let (door, mapping, rest) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let serving = tokio::spawn(gateway::serve(listener, gateway, door.clone().cancelled_owned()));
    let processing = tokio::spawn(event_source_mapping::run(
        event_source_mapping(&storage, recent),
        mapping.clone().cancelled_owned(),
    ));
    let archiving = tokio::spawn(background::archive(storage.clone(), rest.clone()));
    let interval = Duration::from_secs(args.curated_interval);
    let curating = tokio::spawn(curated::curate(storage.clone(), interval, holds.clone(), rest.clone()));
    let merging = tokio::spawn(merging::merge(storage.clone(), holds.clone(), rest.clone()));
    let trimming = tokio::spawn(background::trim(storage.clone(), holds.clone(), rest.clone()));

    let url = public_url(address);
    announce(&url, api_key_file.as_deref(), args)?;
    let place = screen::Place { url: url.clone(), api_key_file };
    let showing = tokio::spawn(screen::show(screen.clone(), storage.clone(), totals.clone(), place, rest.clone()));
    let fleet = background::Fleet::start(args.devices, args.rate, &url, &api_key)?;

    signals.first().await;
    tracing::info!("draining");
    tokio::select! {
        drained = async {
            fleet.stop().await;
            door.cancel();
            serving.await.context("the gateway panicked")?.context("the gateway failed")?;
            background::wait_until_nothing_is_pending(&totals, DRAIN_TIME).await;
            mapping.cancel();
            processing.await.context("the event source mapping panicked")??;
            rest.cancel();
            wait_for_all([
                ("archiving", archiving),
                ("curating", curating),
                ("merging", merging),
                ("trimming", trimming),
                ("the live picture", showing),
            ])
            .await;
            background::archive_the_rest(&storage).await;
            curated::curate_once(&storage, &holds).await;
            anyhow::Ok(())
        } => drained,
        () = signals.second() => anyhow::bail!("ended by a second signal before it had drained; nothing is lost"),
    }
}

/// Waits until each task has ended, and logs which ones panicked.
async fn wait_for_all<const N: usize>(tasks: [(&str, tokio::task::JoinHandle<()>); N]) {
    for (name, task) in tasks {
        if let Err(error) = task.await {
            tracing::error!(error = &error as &dyn std::error::Error, "{name} ended early");
        }
    }
}

/// As many connections as this process may have files open for.
fn connection_limits() -> Limits {
    let open_files_max = open_files::raise_limit();
    let limits = Limits::for_open_files(open_files_max);
    tracing::info!(connections_max = limits.connections, open_files_max, "limit of connections");
    limits
}

fn open(args: &Args) -> anyhow::Result<EmbeddedStorage> {
    let options = Options {
        shards: args.shards.unwrap_or(SHARDS_DEFAULT),
        retention: Duration::from_secs(args.retention_hours * 3600),
        ..Options::default()
    };
    let storage = EmbeddedStorage::open(&args.data_dir, options).map_err(|error| match error {
        OpenError::Locked { .. } => anyhow::anyhow!(
            "another streamgauge is using the data directory {}; end it, or give another --data-dir",
            args.data_dir.display()
        ),
        error => anyhow::Error::new(error).context(format!("cannot open {}", args.data_dir.display())),
    })?;
    let kept = storage.shard_count();
    if let Some(given) = args.shards.filter(|given| *given != kept) {
        tracing::warn!("the data directory keeps its {kept} shards; --shards {given} is ignored");
    }
    Ok(storage)
}

pub type Mapping = EventSourceMapping<
    embedded::EmbeddedStream,
    embedded::EmbeddedCheckpoints,
    AggregatorFunction<embedded::EmbeddedStatisticsStore, embedded::EmbeddedDeadLetterQueue, SystemClock>,
    NoDestination,
    SystemClock,
>;

/// The mapping from stream to aggregator. It retries for ever, so that nothing is ever discarded.
pub fn event_source_mapping(storage: &EmbeddedStorage, recent: Arc<RecentActivity>) -> Mapping {
    let aggregator = Aggregator::new(storage.statistics(), storage.dead_letters(), SystemClock, Settings::default());
    let config = MappingConfig {
        batch_size: BATCH_SIZE,
        maximum_batch_bytes: BATCH_BYTES_MAX,
        maximum_batching_window: BATCHING_WINDOW,
        ..MappingConfig::new(EventSource::on_one_machine("streamgauge", "aggregator"))
    };
    EventSourceMapping {
        stream: Arc::new(storage.stream()),
        checkpoints: Arc::new(storage.checkpoints()),
        function: Arc::new(AggregatorFunction { aggregator, recent }),
        on_failure: Arc::new(NoDestination),
        clock: Arc::new(SystemClock),
        config,
        metrics: Arc::new(Metrics::default()),
    }
}

/// The address as a URL that a client on this machine can use: an unspecified address stands for every one.
fn public_url(address: SocketAddr) -> String {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        reachable.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    format!("http://{reachable}")
}

/// The one line on standard output, for programs; what people read goes to standard error.
fn announce(url: &str, api_key_file: Option<&Path>, args: &Args) -> anyhow::Result<()> {
    use std::io::Write as _;
    let ready = Ready {
        event: "ready",
        ingest: url,
        dashboard: format!("{url}/dashboard"),
        data_dir: std::path::absolute(&args.data_dir).unwrap_or_else(|_| args.data_dir.clone()),
        api_key_file,
    };
    let ready =
        serde_json::to_string(&ready).context("the path of the data directory or of the key's file is not UTF-8")?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{ready}").and_then(|()| stdout.flush()).context("cannot write to standard output")
}

/// The ready line. It ends up in logs, so it names the key's file and never holds the key.
#[derive(serde::Serialize)]
struct Ready<'a> {
    event: &'a str,
    ingest: &'a str,
    dashboard: String,
    data_dir: PathBuf,
    api_key_file: Option<&'a Path>,
}
