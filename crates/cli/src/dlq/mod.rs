//! `streamgauge dlq`: dead letters, looked at, fixed and sent again.

mod files;
mod filters;
mod http;
mod on_aws;
mod progress;
mod purge;
mod queue;
mod resend;
mod show;
mod tables;

use crate::output::say;
use crate::signals::Signals;
use anyhow::{Context, Result};
use clap::Subcommand;
use queue::QueueArgs;
pub use queue::open_directory;
use std::process::ExitCode;

/// Look at dead letters, fix them and send them again
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Count dead letters by reason, age and device
    Summary(tables::SummaryArgs),
    /// List dead letters, newest first
    List(tables::ListArgs),
    /// Show one dead letter: its payload, what is wrong and where, and where it came from
    Show(show::Args),
    /// Send dead letters again; without --apply, say what would happen to each
    Redrive(resend::RedriveArgs),
    /// Write dead letters to a file, to edit and import
    Export(files::ExportArgs),
    /// Send the dead letters of an edited export again; without --apply, say what would happen to each
    Import(resend::ImportArgs),
    /// Delete dead letters for good, after they are written to a file
    Purge(purge::Args),
}

/// Looking changes nothing; what sends or deletes says so. Exits 0 when all was done, 1 when some was not.
pub fn run(args: Args) -> Result<ExitCode> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        let queue = args.command.queue().open().await?;
        let work = async {
            match args.command {
                Command::Summary(args) => tables::summary(&queue, args).await,
                Command::List(args) => tables::list(&queue, args).await,
                Command::Show(args) => show::show(&queue, args).await,
                Command::Redrive(args) => resend::redrive(&queue, args).await,
                Command::Export(args) => files::export(&queue, args).await,
                Command::Import(args) => resend::import(&queue, args).await,
                Command::Purge(args) => purge::purge(&queue, args).await,
            }
        };
        let result = if queue.holds() { until_told_to_stop(work).await } else { work.await };
        queue.close().await;
        result
    })
}

/// Ends early on a signal, so that what is held can be given back. Whatever was under way can be done again.
async fn until_told_to_stop(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    let mut signals = Signals::new()?;
    tokio::select! {
        result = work => return result,
        () = signals.first() => {}
    }
    say("stopped; run it again to go on");
    Ok(exit_code(false))
}

impl Command {
    fn queue(&self) -> &QueueArgs {
        match self {
            Command::Summary(args) => &args.queue,
            Command::List(args) => &args.queue,
            Command::Show(args) => &args.queue,
            Command::Redrive(args) => &args.sending.queue,
            Command::Export(args) => &args.queue,
            Command::Import(args) => &args.sending.queue,
            Command::Purge(args) => &args.queue,
        }
    }
}

/// 0 where all was done, else 1.
fn exit_code(all_done: bool) -> ExitCode {
    if all_done { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
