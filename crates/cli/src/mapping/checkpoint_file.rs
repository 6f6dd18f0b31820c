//! Checkpoints in a file, readable by people and scripts.

use anyhow::{Context as _, Result, bail};
use ports::{CheckpointError, Checkpoints, SequenceNumber, ShardId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// How far each shard of one stream is done.
#[derive(Debug)]
pub struct CheckpointFile {
    path: PathBuf,
    contents: Mutex<Contents>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    stream: StreamIdentity,
    /// The last sequence number that is done, by shard.
    done: BTreeMap<String, String>,
}

/// Which stream it is. A stream that was deleted and created again under its old name starts its sequence numbers from
/// the beginning: checkpoints of the old one would skip records of the new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamIdentity {
    /// The stream's ARN.
    pub arn: String,
    /// When it was made, in milliseconds since 1970.
    pub created_at_ms: i64,
}

impl CheckpointFile {
    /// Reads the file, or begins without checkpoints where there is none.
    ///
    /// # Errors
    /// A file that cannot be read, is no checkpoint file, or is one of another stream.
    pub fn open(path: &Path, stream: StreamIdentity) -> Result<Self> {
        let contents = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("--checkpoints: {} is no checkpoint file", path.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Contents { stream: stream.clone(), done: BTreeMap::new() }
            }
            Err(error) => {
                return Err(error).with_context(|| format!("--checkpoints: cannot read {}", path.display()));
            }
        };
        if contents.stream != stream {
            bail!(
                "--checkpoints: {} is of another stream: of {}, made at {} ms since 1970, where {} was made at {}",
                path.display(),
                contents.stream.arn,
                contents.stream.created_at_ms,
                stream.arn,
                stream.created_at_ms
            );
        }
        for (shard, done) in &contents.done {
            let number = done.parse::<SequenceNumber>();
            number.with_context(|| format!("--checkpoints: {}, shard {shard}", path.display()))?;
        }
        Ok(CheckpointFile { path: path.to_owned(), contents: Mutex::new(contents) })
    }

    fn contents(&self) -> std::sync::MutexGuard<'_, Contents> {
        // Whole whatever panicked beside it: it is changed in one assignment.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, contents: &Contents) -> io::Result<()> {
        embedded::write_file(&self.path, &serde_json::to_vec_pretty(contents)?)
    }
}

impl Checkpoints for CheckpointFile {
    async fn load(&self, shard: &ShardId) -> Result<Option<SequenceNumber>, CheckpointError> {
        let done = self.contents().done.get(&shard.0).map(|number| number.parse());
        done.transpose().map_err(|error| CheckpointError(Box::new(error)))
    }

    async fn save(&self, shard: &ShardId, sequence_number: SequenceNumber) -> Result<(), CheckpointError> {
        let mut contents = self.contents();
        let mut changed = contents.clone();
        changed.done.insert(shard.0.clone(), sequence_number.to_string());
        // A file of a few lines; the shards wait for each other, so that none writes over what another has written.
        self.write(&changed).map_err(|error| CheckpointError(Box::new(error)))?;
        *contents = changed;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(created_at_ms: i64) -> StreamIdentity {
        StreamIdentity { arn: "arn:aws:kinesis:eu-central-1:000000000000:stream/readings".to_owned(), created_at_ms }
    }

    fn shard(name: &str) -> ShardId {
        ShardId(name.to_owned())
    }

    #[tokio::test]
    async fn what_was_saved_is_loaded_by_the_next_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoints.json");
        let file = CheckpointFile::open(&path, stream(1)).unwrap();
        assert_eq!(file.load(&shard("a")).await.unwrap(), None);
        for (name, number) in [("a", 7), ("b", u64::MAX), ("a", 8)] {
            file.save(&shard(name), SequenceNumber::from(number)).await.unwrap();
        }
        let next = CheckpointFile::open(&path, stream(1)).unwrap();
        assert_eq!(next.load(&shard("a")).await.unwrap(), Some(SequenceNumber::from(8)));
        assert_eq!(next.load(&shard("b")).await.unwrap(), Some(SequenceNumber::from(u64::MAX)));
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_not_taken_for_saved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoints.json");
        let file = CheckpointFile::open(&path, stream(1)).unwrap();
        std::fs::create_dir_all(path.join("in the way")).unwrap();
        assert!(file.save(&shard("a"), SequenceNumber::from(7)).await.is_err());
        assert_eq!(file.load(&shard("a")).await.unwrap(), None);
        std::fs::remove_dir_all(&path).unwrap();
        file.save(&shard("a"), SequenceNumber::from(7)).await.unwrap();
        assert_eq!(file.load(&shard("a")).await.unwrap(), Some(SequenceNumber::from(7)));
    }

    #[tokio::test]
    async fn checkpoints_of_a_recreated_stream_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoints.json");
        let file = CheckpointFile::open(&path, stream(1)).unwrap();
        file.save(&shard("a"), SequenceNumber::from(7)).await.unwrap();
        let error = CheckpointFile::open(&path, stream(2)).unwrap_err().to_string();
        assert!(error.contains("is of another stream"), "{error}");
    }

    #[test]
    fn a_file_that_is_none_of_ours_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoints.json");
        let of_no_number = serde_json::to_string(&Contents {
            stream: stream(1),
            done: BTreeMap::from([("a".to_owned(), "seven".to_owned())]),
        })
        .unwrap();
        for text in ["", "[]", "{\"done\":{}}", &of_no_number] {
            std::fs::write(&path, text).unwrap();
            let error = format!("{:#}", CheckpointFile::open(&path, stream(1)).unwrap_err());
            assert!(error.contains("checkpoints.json"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
