//! The `streamgauge` command: the whole pipeline on one machine (`up`), and what talks to it.

mod api_key;
mod archive;
mod backup;
mod dlq;
mod endpoint;
mod mapping;
mod output;
mod put;
mod send;
mod signals;
mod stats;
mod unused_flags;
mod up;
mod verify;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use std::io::Write as _;
use std::process::ExitCode;

/// Trustworthy streaming statistics for device readings: nothing counted twice, nothing lost.
#[derive(Parser)]
#[command(name = "streamgauge", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole pipeline on this machine: HTTP endpoint, stream, statistics, archive and dashboard
    Up(up::Args),
    /// Send readings from files, standard input or a simulated fleet
    Send(send::Args),
    /// Put raw bytes into the stream of one machine, past the front door
    Put(put::Args),
    /// Print the statistics of one device, or of all
    Stats(stats::Args),
    /// Look at dead letters, fix them and send them again
    Dlq(dlq::Args),
    /// Feed a Kinesis stream's records to a Lambda function, as Lambda's event source mapping does
    Mapping(mapping::Args),
    /// Check the archive's files, or make a new data directory from them
    Archive(archive::Args),
    /// Check a whole data directory: databases, archive, curated files, totals
    Verify(verify::Args),
    /// Copy everything that a pipeline on this machine keeps, while it runs or not
    Backup(backup::Args),
}

/// The command line; one that is wrong ends the program with exit code 2.
fn parse() -> Cli {
    let matches = Cli::command().get_matches();
    if let Err(wrong) = unused_flags::check(&matches) {
        Cli::command().error(ErrorKind::ArgumentConflict, wrong).exit();
    }
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn main() -> ExitCode {
    let arguments = parse();
    api_key::hide_flag();
    let result = match arguments.command {
        Command::Up(args) => up::run(args),
        Command::Send(args) => send::run(args),
        Command::Put(args) => put::run(args),
        Command::Stats(args) => stats::run(args),
        Command::Dlq(args) => dlq::run(args),
        Command::Mapping(args) => mapping::run(args),
        Command::Archive(args) => archive::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Backup(args) => backup::run(args),
    };
    result.unwrap_or_else(|error| {
        // Where standard error is gone, the exit code still tells.
        let _ = writeln!(std::io::stderr(), "streamgauge: {}", redrive::printable(&format!("{error:#}")));
        ExitCode::from(2)
    })
}
