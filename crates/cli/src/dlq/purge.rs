//! `dlq purge`: deletes letters for good, after writing them to a file.

use super::exit_code;
use super::files::LetterFile;
use super::filters::FilterArgs;
use super::queue::{PAGE, Queue, QueueArgs};
use crate::output::say;
use anyhow::{Result, bail};
use ports::{Clock as _, SystemClock};
use redrive::{DeadLetters as _, Order, PageRequest};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Delete dead letters for good, after they are written to a file
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) queue: QueueArgs,
    /// Only the letter of this id; may be given several times
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// The file to create, JSON Lines as an export's: what is deleted is written there first
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Asks, writes each page to the file and to the disk, and deletes it.
pub async fn purge(queue: &Queue, args: Args) -> Result<ExitCode> {
    let mut filter = args.filter.filter(&args.id);
    // Nothing is deleted that came after the question.
    filter.until = Some(SystemClock.now());
    let letters = queue.count(&filter).await?;
    if letters == 0 {
        say("no dead letters to delete");
        return Ok(exit_code(true));
    }
    if !args.yes && !confirmed(letters, &args.file)? {
        say("nothing was deleted");
        return Ok(exit_code(false));
    }
    let mut file = LetterFile::create(&args.file)?;
    let (mut written, mut deleted) = (0, 0);
    let mut request = PageRequest { filter, order: Order::OldestFirst, limit: PAGE, after: None };
    loop {
        let page = queue.page(&request).await?;
        let (letters, receipts): (Vec<_>, Vec<_>) =
            page.letters.into_iter().map(|held| (held.letter, held.receipt)).unzip();
        file.write(&letters)?;
        file.sync()?;
        written += receipts.len() as u64;
        if !receipts.is_empty() {
            deleted += queue.delete(receipts).await?;
        }
        match page.next {
            Some(next) => request.after = Some(next),
            None => break,
        }
    }
    queue.delete_leftovers().await?;
    say(&summary(written, deleted, &args.file));
    Ok(exit_code(true))
}

fn summary(written: u64, deleted: u64, file: &Path) -> String {
    let gone = match written.saturating_sub(deleted) {
        0 => String::new(),
        gone => format!("; {gone} of them were sent or deleted by another run"),
    };
    format!("{deleted} dead letters deleted; written to {}{gone}", file.display())
}

fn confirmed(letters: u64, file: &Path) -> Result<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        bail!("{letters} dead letters would be deleted for good: --yes does it where nobody can be asked");
    }
    let mut error = std::io::stderr();
    write!(error, "Delete {letters} dead letters for good, after writing them to {}? [y/N] ", file.display())?;
    error.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_another_run_took_are_told_apart() {
        let file = Path::new("f");
        assert_eq!(summary(3, 3, file), "3 dead letters deleted; written to f");
        let text = "1 dead letters deleted; written to f; 2 of them were sent or deleted by another run";
        assert_eq!(summary(3, 1, file), text);
    }
}
