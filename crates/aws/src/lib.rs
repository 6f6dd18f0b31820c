//! The ports on AWS: DynamoDB, SQS, S3, Kinesis and Firehose.
//!
//! - **Enters**: the plain types of `ports`, and the SDK's clients, which a binary's `main` builds from
//!   [`load_sdk_config`].
//! - **Leaves**: the same types, read back from the services; what is read is checked before it is believed.
//! - **Fails**: with the ports' own errors. Whatever the SDK reports that is not a decision of the service about the
//!   request itself (a failed condition, a key that is not there) is `Unavailable`, with a source that names
//!   the action, what it was on, and the service's own code and message.
//!
//! The SDK retries by its standard mode: three attempts with exponential backoff. What a second attempt can find
//! done by the first is told apart here, at each call that needs it.

mod batch;
mod call_failure;
mod consumed;
mod dead_letter_message;
mod dynamodb;
mod firehose;
mod kinesis;
mod kinesis_denial;
mod kinesis_put;
mod number;
mod s3;
mod sdk;
mod shared_error;
mod sqs;
mod sqs_messages;
mod statistics_item;

pub use dynamodb::DynamoDbStatisticsStore;
pub use firehose::FirehoseCuratedDelivery;
pub use kinesis::KinesisEventStream;
pub use kinesis_denial::{PutDenial, put_denial};
pub use s3::S3Archive;
pub use sdk::{SdkConfigError, check_sdk_config, load_sdk_config};
pub use sqs::{MESSAGE_BYTES_MAX_DEFAULT, SqsDeadLetterQueue};
pub use sqs_messages::{MessageNumbers, SqsMessages};

pub use {aws_sdk_dynamodb, aws_sdk_firehose, aws_sdk_kinesis, aws_sdk_s3, aws_sdk_sqs};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
