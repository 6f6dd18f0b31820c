//! `dlq export`, and files of letters.

use super::exit_code;
use super::filters::FilterArgs;
use super::queue::{PAGE, Queue, QueueArgs};
use super::tables::json;
use crate::output::say;
use anyhow::{Context, Result};
use redrive::{Letter, Order, PageRequest, every_page};
use serde_json::value::RawValue;
use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use telemetry::one_line;

/// Write dead letters to a file, to edit and import
#[derive(clap::Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub(super) queue: QueueArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// The file to create, JSON Lines; an existing one is left alone
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Writes the letters, oldest first, and leaves them where they are.
pub async fn export(queue: &Queue, args: ExportArgs) -> Result<ExitCode> {
    let mut file = LetterFile::create(&args.file)?;
    let filter = args.filter.filter(&[]);
    let request = PageRequest { filter, order: Order::OldestFirst, limit: PAGE, after: None };
    let mut letters = 0;
    let look = |page: Vec<Letter>| -> Result<()> {
        letters += page.len();
        file.write(&page)
    };
    every_page(queue, request, look).await?;
    file.sync()?;
    say(&format!("{letters} dead letters written to {}", args.file.display()));
    Ok(exit_code(true))
}

/// A new file with a letter on each line: its members, and `body`, which an operator edits.
pub struct LetterFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl LetterFile {
    /// Creates the file, readable by its owner alone as the payloads were.
    pub fn create(path: &Path) -> Result<Self> {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(LetterFile { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Appends letters.
    pub fn write(&mut self, letters: &[Letter]) -> Result<()> {
        for letter in letters {
            // JSON stays the same JSON, and printing the file is safe for a terminal too.
            let line = redrive::printable(&export_line(letter)?);
            self.file.write_all(line.as_bytes()).with_context(|| format!("cannot write {}", self.path.display()))?;
        }
        Ok(())
    }

    /// Brings what was written to the disk.
    pub fn sync(&mut self) -> Result<()> {
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// The letter with its `body`: the payload as JSON where it is JSON, as a string where it is text, else null.
fn export_line(letter: &Letter) -> Result<String> {
    let members = serde_json::to_string(&json(letter)?)?;
    let body = match letter.payload().map(|payload| String::from_utf8(one_line(&payload))) {
        Some(Ok(text)) => match serde_json::from_str::<&RawValue>(&text) {
            // A string stays one: without its quotes it would be another body.
            Ok(json) if !json.get().starts_with('"') && json.get() != "null" => json.get().to_owned(),
            _ => serde_json::to_string(&text)?,
        },
        _ => "null".to_owned(),
    };
    // The object's closing brace makes room for one more member.
    Ok(format!("{},\"body\":{body}}}\n", members.strip_suffix('}').unwrap_or(&members)))
}

/// The whole file, or standard input for `-`.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    if path.as_os_str() == "-" {
        let mut text = Vec::new();
        std::io::stdin().read_to_end(&mut text).context("standard input cannot be read")?;
        return Ok(text);
    }
    std::fs::read(path).with_context(|| path.display().to_string())
}
