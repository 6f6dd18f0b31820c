//! Which endpoint a command talks to, with which key, and what its answers mean for the person who asked.

use crate::api_key::{ApiKeyArgs, read_file};
use crate::output::say;
use anyhow::{Context, Result, bail};
use embedded::API_KEY_FILE;
use producer::{Answer, Client, Endpoint};
pub use redrive::printable;
use std::path::{Path, PathBuf};
use std::time::Duration;

const ENDPOINT_DEFAULT: &str = "http://127.0.0.1:8080";
const DATA_DIR_DEFAULT: &str = "streamgauge-data";

/// How long an answer to one question is awaited.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The endpoint and the key. On one machine, beside a running `up`, no flag is needed.
#[derive(clap::Args)]
pub struct EndpointArgs {
    /// The pipeline's address; on AWS, the stage's URL
    #[arg(long, value_name = "URL", default_value = ENDPOINT_DEFAULT)]
    endpoint: String,
    #[command(flatten)]
    api_key: ApiKeyArgs,
    /// The data directory of `up` on this machine, for its key
    #[arg(long, value_name = "DIR", default_value = DATA_DIR_DEFAULT)]
    data_dir: PathBuf,
}

/// A pipeline of this machine: the one that runs, or with --data-dir alone one that doesn't.
#[derive(clap::Args)]
pub struct PipelineArgs {
    /// The address of a running pipeline; without it and without --data-dir, http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    #[command(flatten)]
    api_key: ApiKeyArgs,
    /// The data directory to work on while no `up` does; with --endpoint, where its key is
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Where a pipeline is.
pub enum Pipeline<'a> {
    /// In a data directory that no `up` uses.
    Directory(&'a Path),
    /// Behind the address of its `up`.
    Running(EndpointArgs),
}

impl PipelineArgs {
    /// Which pipeline is meant.
    pub fn pipeline(&self) -> Pipeline<'_> {
        match (&self.endpoint, &self.data_dir) {
            (None, Some(directory)) => Pipeline::Directory(directory),
            (endpoint, data_dir) => Pipeline::Running(EndpointArgs {
                endpoint: endpoint.clone().unwrap_or_else(|| ENDPOINT_DEFAULT.to_owned()),
                api_key: self.api_key.clone(),
                data_dir: data_dir.clone().unwrap_or_else(|| DATA_DIR_DEFAULT.into()),
            }),
        }
    }
}

impl EndpointArgs {
    /// The endpoint with its key.
    pub fn endpoint(&self) -> Result<Endpoint> {
        Ok(Endpoint::new(&self.endpoint, &self.key()?)?)
    }

    /// A client for single questions.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::new(&self.endpoint()?, TIMEOUT))
    }

    fn key(&self) -> Result<String> {
        if let Some(given) = self.api_key.given()? {
            if let Some(warning) = self.api_key.warning() {
                say(&format!("warning: {}", printable(&warning)));
            }
            return Ok(given.key);
        }
        read_file(&self.data_dir.join(API_KEY_FILE), "")
            .context("no API key: give --api-key-file or STREAMGAUGE_API_KEY, or the --data-dir of `up`")
    }
}

/// What a command can do nothing about: a key that is not taken, or a service that is not there.
pub fn check(answer: &Answer, client: &Client) -> Result<()> {
    let url = client.endpoint().url();
    match answer.status {
        403 => bail!("{url} does not take this API key ({})", answer.message()),
        429 | 500.. => bail!("{url} is not available ({})", answer.message()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(api_key: Option<&str>, data_dir: &std::path::Path) -> EndpointArgs {
        let endpoint = "http://127.0.0.1:1/".to_owned();
        EndpointArgs { endpoint, api_key: ApiKeyArgs::flag(api_key), data_dir: data_dir.to_owned() }
    }

    #[test]
    fn the_key_is_the_given_one_or_that_of_the_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let message = format!("{:#}", args(None, dir.path()).key().unwrap_err());
        assert!(message.starts_with("no API key: give --api-key-file"), "{message}");
        assert!(message.contains(dir.path().to_str().unwrap()), "{message}");
        let (kept, given) = ("the-key-that-is-kept", "the-key-that-is-given");
        std::fs::write(dir.path().join("api-key"), format!("{kept}\n")).unwrap();
        assert_eq!(args(None, dir.path()).key().unwrap(), kept);
        assert_eq!(args(Some(""), dir.path()).key().unwrap(), kept);
        assert_eq!(args(Some(given), dir.path()).key().unwrap(), given);
        assert_eq!(args(Some(given), dir.path()).endpoint().unwrap().url(), "http://127.0.0.1:1");
    }
}
