use crate::ministack::{config, unique_name};
use aws::S3Archive;
use aws::aws_sdk_s3;

pub(crate) async fn client() -> aws_sdk_s3::Client {
    // ministack has no host names for buckets.
    let config = aws_sdk_s3::config::Builder::from(&config().await).force_path_style(true).build();
    aws_sdk_s3::Client::from_conf(config)
}

/// An empty bucket, by its name.
pub(crate) async fn create_bucket(client: &aws_sdk_s3::Client) -> String {
    let bucket = unique_name("archive");
    client.create_bucket().bucket(&bucket).send().await.expect("a bucket");
    bucket
}

/// An empty archive.
pub(crate) async fn make() -> (S3Archive, ()) {
    let client = client().await;
    let bucket = create_bucket(&client).await;
    (S3Archive::new(client, bucket), ())
}

ports::archive_contract!(make);
