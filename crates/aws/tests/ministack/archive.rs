use crate::{config, unique_name};
use aws::S3Archive;
use aws::aws_sdk_s3;

/// An empty bucket.
pub(crate) async fn make() -> (S3Archive, ()) {
    // ministack has no host names for buckets.
    let config = aws_sdk_s3::config::Builder::from(&config().await).force_path_style(true).build();
    let client = aws_sdk_s3::Client::from_conf(config);
    let bucket = unique_name("archive");
    client.create_bucket().bucket(&bucket).send().await.expect("a bucket");
    (S3Archive::new(client, bucket), ())
}

ports::archive_contract!(make);
