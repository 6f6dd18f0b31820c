//! The archive in an S3 bucket.

use crate::call_failure::call_failure;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use ports::{Archive, ArchiveError, PutNew};
use std::time::Duration;

/// S3's own limit on a key, in bytes of UTF-8.
const KEY_BYTES_MAX: usize = 1024;

/// S3's own limit on the keys of one answer.
const LIST_KEYS_MAX: usize = 1000;

/// How often a put is tried that S3 refuses because another one under the same key is under way.
const CONFLICT_TRIES_MAX: u32 = 5;
const CONFLICT_PAUSE: Duration = Duration::from_millis(100);

/// Objects of one bucket. Puts carry a checksum, which S3 checks before it stores anything. It needs `s3:PutObject`,
/// `GetObject` and `ListBucket`; without the last, an object that is not there is an error rather than `None`.
#[derive(Debug, Clone)]
pub struct S3Archive {
    client: Client,
    bucket: String,
}

impl S3Archive {
    /// The archive in `bucket`.
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        S3Archive { client, bucket: bucket.into() }
    }

    fn unavailable<E>(&self, action: &'static str, error: SdkError<E, HttpResponse>) -> ArchiveError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        ArchiveError::Unavailable(call_failure(action, format!("bucket {}", self.bucket), error))
    }
}

impl Archive for S3Archive {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        check_key(key)?;
        let request = self.client.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(bytes));
        request.send().await.map(drop).map_err(|error| self.unavailable("s3:PutObject", error))
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        check_key(key)?;
        match self.client.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(object) => {
                let body = object.body.collect().await.map_err(|error| ArchiveError::Unavailable(error.into()))?;
                Ok(Some(body.to_vec()))
            }
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => Ok(None),
            Err(error) => Err(self.unavailable("s3:GetObject", error)),
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, ArchiveError> {
        let mut keys: Vec<String> = Vec::new();
        let mut after = after.filter(|after| !after.is_empty()).map(str::to_owned);
        while keys.len() < limit {
            let answer = self
                .client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(prefix)
                .set_start_after(after.take())
                // At most 1000, which fits.
                .max_keys((limit - keys.len()).min(LIST_KEYS_MAX) as i32)
                .send()
                .await
                .map_err(|error| self.unavailable("s3:ListBucket", error))?;
            let more = answer.is_truncated().unwrap_or(false);
            keys.extend(answer.contents.unwrap_or_default().into_iter().filter_map(|object| object.key));
            after = keys.last().cloned();
            if !more || after.is_none() {
                break;
            }
        }
        Ok(keys)
    }
}

impl PutNew for S3Archive {
    /// By S3's own condition `If-None-Match: *`.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>
    async fn put_new(&self, key: &str, bytes: Vec<u8>) -> Result<bool, ArchiveError> {
        check_key(key)?;
        let mut tries = 1;
        loop {
            let body = ByteStream::from(bytes.clone());
            let request = self.client.put_object().bucket(&self.bucket).key(key).if_none_match("*").body(body);
            let Err(error) = request.send().await else { return Ok(true) };
            match error.raw_response().map(|response| response.status().as_u16()) {
                Some(412) => return Ok(false),
                Some(409) if tries < CONFLICT_TRIES_MAX => tokio::time::sleep(CONFLICT_PAUSE * tries).await,
                _ => return Err(self.unavailable("s3:PutObject", error)),
            }
            tries += 1;
        }
    }
}

/// The port's rule, which is stricter than S3's: a key must also name a file.
fn check_key(key: &str) -> Result<(), ArchiveError> {
    let stays_inside = key.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    if stays_inside && key.len() <= KEY_BYTES_MAX { Ok(()) } else { Err(ArchiveError::InvalidKey(key.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_leave_the_archive_or_name_no_file_are_refused() {
        let too_long = "k".repeat(KEY_BYTES_MAX + 1);
        for key in ["", "/", "/a", "a/", "a//b", ".", "..", "a/./b", "a/../b", too_long.as_str()] {
            assert!(matches!(check_key(key), Err(ArchiveError::InvalidKey(_))), "{key}");
        }
        for key in ["a", "raw/dt=2026-01-31/hour=07/part-0.gz", "a/..b", "ü/%2e"] {
            assert!(check_key(key).is_ok(), "{key}");
        }
    }
}
