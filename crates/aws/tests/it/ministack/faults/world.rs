//! One schedule's own stream, table, queue and bucket, seen twice: by the ports, through the chaos, and by the oracle,
//! straight.

use crate::ministack::faults::chaos::Chaos;
use crate::ministack::faults::oracle::{Received, Truth};
use crate::ministack::{archive, config, dead_letters, statistics};
use crate::server::{self, STREAM, Server};
use crate::wire;
use aws::aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use aws::aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws::aws_sdk_dynamodb::types::AttributeValue;
use aws::aws_sdk_kinesis::types::ShardIteratorType;
use aws::{
    DynamoDbStatisticsStore, KinesisEventStream, S3Archive, SqsDeadLetterQueue, aws_sdk_dynamodb, aws_sdk_kinesis,
    aws_sdk_s3, aws_sdk_sqs,
};
use ferrokinesis::store::StoreOptions;
use ports::{Archive as _, ArchiveError, DeadLetter};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use telemetry::{DeviceId, Timestamp};

/// The services of one schedule.
pub struct World {
    pub kinesis: aws_sdk_kinesis::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    s3: aws_sdk_s3::Client,
    table: String,
    queue_url: String,
    bucket: String,
    chaos: Arc<Chaos>,
    _server: Server,
}

/// Time-outs and the SDK's standard retries, as in production, but without its waits; and a quota of retries that no
/// other schedule shares.
macro_rules! through {
    ($chaos:expr, $client:expr, $service:ident) => {
        $service::Client::from_conf(
            $client
                .config()
                .to_builder()
                .http_client(wire::client(Arc::clone($chaos)))
                .retry_config(
                    RetryConfig::standard()
                        .with_initial_backoff(Duration::from_millis(1))
                        .with_max_backoff(Duration::from_millis(10)),
                )
                .timeout_config(
                    TimeoutConfig::builder()
                        .connect_timeout(Duration::from_secs(2))
                        .operation_attempt_timeout(Duration::from_secs(10))
                        .build(),
                )
                .retry_partition(RetryPartition::custom("schedule").build())
                .build(),
        )
    };
}

impl World {
    pub async fn new(chaos: &Arc<Chaos>) -> Self {
        let options = StoreOptions { shard_limit: 100, ..StoreOptions::default() };
        let (kinesis, server) = server::kinesis(options).await;
        let dynamodb = aws_sdk_dynamodb::Client::new(&config().await);
        let sqs = aws_sdk_sqs::Client::new(&config().await);
        let s3 = archive::client().await;
        World {
            table: statistics::create_table(&dynamodb).await,
            queue_url: dead_letters::create_queue(&sqs).await,
            bucket: archive::create_bucket(&s3).await,
            kinesis,
            dynamodb,
            sqs,
            s3,
            chaos: Arc::clone(chaos),
            _server: server,
        }
    }

    /// The stream, as a process that has just begun sees it.
    pub fn stream(&self) -> KinesisEventStream {
        let client = through!(&self.chaos, self.kinesis, aws_sdk_kinesis);
        KinesisEventStream::new(client, STREAM).with_polling_interval(Duration::from_millis(10))
    }

    pub fn store(&self) -> DynamoDbStatisticsStore {
        DynamoDbStatisticsStore::new(through!(&self.chaos, self.dynamodb, aws_sdk_dynamodb), &self.table)
    }

    pub fn dead_letters(&self) -> SqsDeadLetterQueue<S3Archive> {
        SqsDeadLetterQueue::new(through!(&self.chaos, self.sqs, aws_sdk_sqs), &self.queue_url, self.archive())
    }

    fn archive(&self) -> S3Archive {
        S3Archive::new(through!(&self.chaos, self.s3, aws_sdk_s3), &self.bucket)
    }

    /// What the stream holds.
    pub async fn truth(&self) -> Vec<Truth> {
        let listed = self.kinesis.list_shards().stream_name(STREAM).send().await.expect("shards");
        let mut truth = Vec::new();
        for shard in listed.shards.unwrap_or_default() {
            let request = self.kinesis.get_shard_iterator().stream_name(STREAM).shard_id(&shard.shard_id);
            let answer = request.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
            let mut iterator = answer.shard_iterator;
            while let Some(at) = iterator.take() {
                let page = self.kinesis.get_records().shard_iterator(at).send().await.expect("records");
                iterator = page.next_shard_iterator.filter(|_| !page.records.is_empty());
                truth.extend(page.records.into_iter().map(|record| Truth {
                    shard_id: shard.shard_id.clone(),
                    sequence_number: record.sequence_number,
                    partition_key: record.partition_key,
                    data: record.data.into_inner(),
                    arrived_at: record.approximate_arrival_timestamp.map_or(0, |at| at.as_nanos() / 1_000_000),
                }));
            }
        }
        truth
    }

    /// What the table says of a device, as text under the attributes' names.
    pub async fn item(&self, device_id: &DeviceId) -> HashMap<String, String> {
        let key = |text: &str| AttributeValue::S(text.to_owned());
        let request = self.dynamodb.get_item().table_name(&self.table).consistent_read(true);
        let request = request.key("device_id", key(device_id.as_str())).key("item", key("statistics"));
        let attributes = request.send().await.expect("an answer").item.unwrap_or_default();
        let text = |value: AttributeValue| match value {
            AttributeValue::N(text) | AttributeValue::S(text) => Some(text),
            _ => None,
        };
        attributes.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
    }

    /// Every message of the queue.
    pub async fn letters(&self) -> Vec<Received> {
        let mut letters = Vec::new();
        loop {
            let receive = self.sqs.receive_message().queue_url(&self.queue_url).max_number_of_messages(10);
            let receive = receive.message_attribute_names("All").visibility_timeout(600);
            let messages = receive.send().await.expect("an answer").messages.unwrap_or_default();
            if messages.is_empty() {
                return letters;
            }
            for message in messages {
                let letter = serde_json::from_str(message.body.as_deref().expect("a body")).expect("a letter");
                let attributes = message.message_attributes.unwrap_or_default();
                let reason = attributes.get("reason").and_then(|reason| reason.string_value()).map(str::to_owned);
                letters.push(Received { letter, reason });
            }
        }
    }

    /// The ids of all dead letters in the archive, read by the port while things go wrong: it must say so, rather than
    /// say that there is nothing.
    pub async fn archived_ids(&self) -> Result<BTreeSet<String>, String> {
        let archive = self.archive();
        let mut keys: Vec<String> = Vec::new();
        loop {
            let after = keys.last().map(String::as_str);
            let more = until_it_answers(async || archive.list("dead-letters/", after, 2).await).await?;
            if more.is_empty() {
                break;
            }
            keys.extend(more);
        }
        let mut ids = BTreeSet::new();
        for key in keys {
            let object = until_it_answers(async || archive.get(&key).await).await?;
            let object = object.ok_or_else(|| format!("{key} was listed, and is answered to be absent"))?;
            for line in object.split_inclusive(|byte| *byte == b'\n') {
                let letter: DeadLetter = serde_json::from_slice(line).map_err(|error| format!("{key}: {error}"))?;
                ids.insert(letter.id);
            }
        }
        Ok(ids)
    }
}

async fn until_it_answers<T>(call: impl AsyncFn() -> Result<T, ArchiveError>) -> Result<T, String> {
    for _ in 0..1000 {
        match call().await {
            Ok(answer) => return Ok(answer),
            Err(ArchiveError::Unavailable(_)) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Err("the archive never answers".to_owned())
}

/// The present, as the stream's clock has it.
pub fn now() -> Timestamp {
    use ports::Clock as _;
    ports::SystemClock.now()
}
