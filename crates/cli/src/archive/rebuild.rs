//! `streamgauge archive rebuild`: a new data directory from an archive's raw bodies.
//!
//! The lines go into a new stream, and from there through the same mapping and aggregator as in `up`. The clock of the
//! stream is set to the hour in which a line arrived. The directory gets its name once it is complete.

mod read;
mod summary;

use super::keys;
use crate::output::print;
use crate::up::logging;
use anyhow::{Context as _, Result, anyhow, ensure};
use embedded::{API_KEY_FILE, Accounting, ArchiveLimits, EmbeddedStorage, Options};
use gateway::{DEFAULT_MEMORY_BYTES, RecentActivity};
use indicatif::{ProgressBar, ProgressStyle};
use ports::{Clock, EventStream as _, PutError, SystemClock};
use read::{Batch, Found};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use telemetry::Timestamp;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Shards of the new stream where the files' names have none: `up`'s default.
const SHARDS_DEFAULT: u16 = 4;
/// `up`'s limit.
const SHARDS_MAX: u16 = 256;

/// Batches of lines that wait to be put.
const BATCHES_WAITING: usize = 4;

/// After this many bytes of lines the rest of the pipeline catches up and the stream is trimmed, because its file never
/// shrinks.
const SETTLE_BYTES: usize = 64 << 20;

/// How long to wait before looking or trying again.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(clap::Args)]
pub struct Args {
    /// A copy of an archive, such as of the bucket; without it, the archive in the data directory
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// The data directory whose archive and key are read; it may be damaged, and `up` may be running
    #[arg(long, default_value = "streamgauge-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// The new data directory: a folder that is empty or does not exist
    #[arg(long, value_name = "NEW")]
    into: PathBuf,
}

/// Reads the archive and changes nothing in it. Exits 0 when every file was read whole, 1 when one was not.
pub fn run(args: &Args) -> Result<ExitCode> {
    init_logging()?;
    let archive = args.folder.clone().unwrap_or_else(|| args.data_dir.join("archive"));
    let mut keys = keys(&archive, "raw")?;
    ensure!(!keys.is_empty(), "{} holds no files: there is nothing to rebuild from", archive.join("raw").display());
    read::sort(&mut keys);
    // A copy of an archive has no key, and the default data directory may be another pipeline's.
    let api_key = if args.folder.is_none() { read_api_key(&args.data_dir)? } else { None };
    let partial = partial(&args.into)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let (found, accounts) = runtime.block_on(build(&archive, keys, &partial)).with_context(|| {
        let partial = partial.display();
        format!("{partial} is not complete: delete it before you try again")
    })?;
    if let Some(key) = &api_key {
        let path = partial.join(API_KEY_FILE);
        embedded::write_file(&path, key).with_context(|| format!("cannot write {}", path.display()))?;
    }
    embedded::rename_folder(&partial, &args.into).with_context(|| {
        format!("{} is complete, but cannot be renamed to {}: do it by hand", partial.display(), args.into.display())
    })?;
    let text = summary::summary(&args.into, &found, &accounts, api_key.is_some());
    print(&text)?;
    Ok(if found.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Logs failures. The stream's clock follows the archive: what the storage says about its jumps is no news.
fn init_logging() -> Result<()> {
    let filter = logging::filter("warn,embedded=error")?;
    tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(io::stderr).init();
    Ok(())
}

/// The folder beside `into` that is renamed to it at the end, after a check that neither is in use.
fn partial(into: &Path) -> Result<PathBuf> {
    let mut name = into
        .file_name()
        .with_context(|| format!("--into {}: must end in the name of a folder", into.display()))?
        .to_owned();
    name.push(".partial");
    let partial = into.with_file_name(name);
    let is_free = |folder: &Path| match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", folder.display())),
    };
    ensure!(is_free(into)?, "{} is not empty: delete it, or give another --into", into.display());
    ensure!(
        is_free(&partial)?,
        "{} is left from a rebuild that did not end, unless one is running: delete it, or give another --into",
        partial.display()
    );
    Ok(partial)
}

fn read_api_key(data_dir: &Path) -> Result<Option<Vec<u8>>> {
    let path = data_dir.join(API_KEY_FILE);
    match fs::read(&path) {
        Ok(key) => Ok(Some(key)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Shows the arrival of the lines that are being put.
struct ArrivalClock(AtomicI64);

impl ArrivalClock {
    fn set(&self, milliseconds: i64) {
        self.0.store(milliseconds, Ordering::Release);
    }
}

impl Clock for ArrivalClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::Acquire)).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// Makes the directory `partial` of the files.
async fn build(archive: &Path, keys: Vec<String>, partial: &Path) -> Result<(Found, Accounting)> {
    let now = SystemClock.now();
    let clock = Arc::new(ArrivalClock(AtomicI64::new(now.as_millisecond())));
    let options = Options {
        shards: read::shards(&keys).unwrap_or(SHARDS_DEFAULT).min(SHARDS_MAX),
        retention: Duration::ZERO,
        clock: clock.clone(),
        ..Options::default()
    };
    let storage = EmbeddedStorage::open(partial, options)?;
    let stop = CancellationToken::new();
    let recent = Arc::new(RecentActivity::new(DEFAULT_MEMORY_BYTES));
    let mapping = crate::up::event_source_mapping(&storage, recent);
    let mut processing = tokio::spawn(event_source_mapping::run(mapping, stop.clone().cancelled_owned()));

    let bar = bar(keys.len());
    let (sender, batches) = mpsc::channel(BATCHES_WAITING);
    let (archive, reading_bar) = (archive.to_owned(), bar.clone());
    let reading = tokio::task::spawn_blocking(move || read::read_files(&archive, &keys, now, &reading_bar, sender));
    tokio::select! {
        filled = fill(&storage, &clock, batches, &bar) => filled?,
        ended = &mut processing => {
            ended.context("the event source mapping panicked")??;
            return Err(anyhow!("the event source mapping ended early"));
        }
    }
    let found = reading.await.context("reading the archive panicked")?;
    stop.cancel();
    processing.await.context("the event source mapping panicked")??;
    crate::up::curated::curate_once(&storage, &crate::up::Holds::default()).await;
    let accounts = storage.accounting().await?;
    storage.close().await;
    bar.finish_and_clear();
    Ok((found, accounts))
}

/// Puts every batch into the stream, and returns when all is processed and archived.
async fn fill(
    storage: &EmbeddedStorage,
    clock: &ArrivalClock,
    mut batches: Receiver<Batch>,
    bar: &ProgressBar,
) -> Result<()> {
    let (mut bytes, mut last_arrival) = (0, i64::MIN);
    while let Some(batch) = batches.recv().await {
        bytes += batch.bytes;
        last_arrival = last_arrival.max(batch.arrived_at);
        clock.set(batch.arrived_at);
        put(storage, batch).await?;
        if bytes >= SETTLE_BYTES {
            settle(storage, clock, last_arrival, bar).await?;
            bytes = 0;
        }
    }
    settle(storage, clock, last_arrival, bar).await
}

async fn put(storage: &EmbeddedStorage, batch: Batch) -> Result<()> {
    let mut entries = batch.entries;
    loop {
        let outcomes = storage.stream().put_records(entries.clone()).await;
        let mut throttled = Vec::new();
        for (entry, outcome) in entries.into_iter().zip(outcomes) {
            match outcome {
                Ok(_) => {}
                Err(PutError::Throttled) => throttled.push(entry),
                Err(error) => return Err(error).context("a line cannot be put into the stream"),
            }
        }
        if throttled.is_empty() {
            return Ok(());
        }
        entries = throttled;
        sleep(PAUSE).await;
    }
}

/// Waits until what was put is processed, archives it, and deletes it from the stream.
async fn settle(storage: &EmbeddedStorage, clock: &ArrivalClock, last_arrival: i64, bar: &ProgressBar) -> Result<()> {
    loop {
        let accounts = storage.accounting().await?;
        bar.set_message(format!("{} readings", accounts.accepted.saturating_sub(accounts.pending)));
        if accounts.pending == 0 {
            break;
        }
        sleep(PAUSE).await;
    }
    storage.archive_raw(ArchiveLimits::default(), true).await?;
    // With no retention, everything before this moment goes.
    clock.set(last_arrival.saturating_add(1));
    storage.trim().await?;
    Ok(())
}

/// A bar on standard error, where that is a terminal.
fn bar(files: usize) -> ProgressBar {
    let bar = ProgressBar::new(files as u64);
    // The template is a constant that parses.
    bar.set_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} files {msg}  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}
