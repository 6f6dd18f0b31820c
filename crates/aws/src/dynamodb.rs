//! The table `device-statistics` on DynamoDB.

use crate::BoxError;
use crate::batch::{ATTEMPTS_MAX_DEFAULT, BatchLimits, Sent, send_all};
use crate::call_failure::call_failure;
use crate::consumed::ConsumedUnits;
use crate::shared_error::SharedError;
use crate::statistics_item::{
    Attributes, STATISTICS, decode_page, decode_statistics, encode_page, encode_statistics, key,
};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{BoxError as InterceptError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::error::TransactionCanceledException;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, Put, ReturnConsumedCapacity, TransactWriteItem};
use ports::{DeviceWrite, LedgerKeys, LedgerPart, StatisticsItem, StatisticsStore, StoreError, WriteError};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use telemetry::DeviceId;

/// What BatchGetItem takes: 100 keys. It says itself which of them are too many bytes for one answer.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>
const READ_LIMITS: BatchLimits =
    BatchLimits { entries_max: 100, bytes_max: usize::MAX, attempts_max: ATTEMPTS_MAX_DEFAULT };

/// Statistics and ledger pages in a DynamoDB table with the partition key `device_id` and the sort key `item`, both
/// strings. Every read is strongly consistent. It needs `dynamodb:BatchGetItem`, `Query` and `PutItem` on the table.
#[derive(Debug, Clone)]
pub struct DynamoDbStatisticsStore {
    client: Client,
    table: String,
    consumed: ConsumedUnits,
}

impl DynamoDbStatisticsStore {
    /// The store in `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        DynamoDbStatisticsStore { client, table: table.into(), consumed: ConsumedUnits::default() }
    }

    /// The write capacity units that this store and its clones have consumed since it was made, as DynamoDB's answers
    /// say: one a KiB begun, in a transaction two. Calls that failed are not among them: DynamoDB does not tell, though
    /// a failed condition consumes too.
    pub fn consumed_write_units(&self) -> f64 {
        self.consumed.total()
    }

    fn failure<E>(&self, action: &'static str, error: SdkError<E, HttpResponse>) -> BoxError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        call_failure(action, format!("table {}", self.table), error)
    }

    /// One BatchGetItem. It leaves keys unread where it is throttled, or its answer would be over 16 MB.
    async fn get_batch(&self, devices: Vec<&DeviceId>) -> Vec<Sent<Option<StatisticsItem>, StoreError>> {
        let keys = devices.iter().map(|device| key(device, STATISTICS)).collect();
        let request = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
        let answer = match request {
            Ok(keys) => self.client.batch_get_item().request_items(&self.table, keys).send().await,
            Err(error) => Err(error.into()),
        };
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let cause = SharedError::new(self.failure("dynamodb:BatchGetItem", error));
                return devices.iter().map(|_| Sent::Failed(StoreError::Unavailable(cause.clone().into()))).collect();
            }
        };
        let of_device = |attributes: &Attributes| attributes.get("device_id")?.as_s().ok().cloned();
        let unread = answer.unprocessed_keys.as_mut().and_then(|unread| unread.remove(&self.table));
        let unread: HashSet<String> = unread.iter().flat_map(|unread| &unread.keys).filter_map(of_device).collect();
        let items = answer.responses.as_mut().and_then(|items| items.remove(&self.table)).unwrap_or_default();
        let mut items: HashMap<String, Attributes> =
            items.into_iter().filter_map(|item| Some((of_device(&item)?, item))).collect();
        let outcome = |device: &DeviceId| {
            if unread.contains(device.as_str()) {
                return Sent::Again(StoreError::Unavailable("dynamodb:BatchGetItem left the item unread".into()));
            }
            match items.remove(device.as_str()).map(decode_statistics).transpose() {
                Ok(item) => Sent::Taken(item),
                Err(error) => Sent::Failed(error),
            }
        };
        devices.into_iter().map(outcome).collect()
    }

    /// A conditional put of the item alone: one write unit a KiB, half of what a transaction takes.
    async fn put_item(&self, write: &DeviceWrite) -> Result<(), WriteError> {
        let attempts = Attempts::default();
        let condition = Condition::of(write);
        let result = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(encode_statistics(&write.device_id, &write.item)))
            .condition_expression(condition.expression)
            .expression_attribute_names(NAME, condition.name)
            .set_expression_attribute_values(condition.values)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .customize()
            .interceptor(attempts.clone())
            .send()
            .await;
        match result {
            Ok(answer) => {
                self.consumed.add(answer.consumed_capacity.as_slice());
                Ok(())
            }
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                if attempts.made() > 1 && self.stands(write).await? {
                    Ok(())
                } else {
                    Err(WriteError::ConditionFailed)
                }
            }
            Err(error) => Err(WriteError::Unavailable(self.failure("dynamodb:PutItem", error))),
        }
    }

    /// Item and pages in one transaction. The SDK gives each call one `ClientRequestToken` and keeps it over its
    /// attempts, so that an attempt that follows a successful one succeeds too.
    async fn transact(&self, write: &DeviceWrite) -> Result<(), WriteError> {
        let condition = Condition::of(write);
        let item = Put::builder()
            .table_name(&self.table)
            .set_item(Some(encode_statistics(&write.device_id, &write.item)))
            .condition_expression(condition.expression)
            .expression_attribute_names(NAME, condition.name)
            .set_expression_attribute_values(condition.values);
        let pages = write.pages.iter().map(|page| {
            Put::builder()
                .table_name(&self.table)
                .set_item(Some(encode_page(&write.device_id, page)))
                .condition_expression(ABSENT)
                .expression_attribute_names(NAME, "device_id")
        });
        let mut request = self.client.transact_write_items().return_consumed_capacity(ReturnConsumedCapacity::Total);
        for put in std::iter::once(item).chain(pages) {
            let put = put.build().map_err(|error| WriteError::Unavailable(error.into()))?;
            request = request.transact_items(TransactWriteItem::builder().put(put).build());
        }
        match request.send().await {
            Ok(answer) => {
                self.consumed.add(answer.consumed_capacity());
                Ok(())
            }
            Err(error) => {
                let service_error = error.as_service_error();
                let canceled = service_error.and_then(|error| match error {
                    TransactError::TransactionCanceledException(canceled) => Some(canceled),
                    _ => None,
                });
                match canceled {
                    Some(canceled) if a_condition_failed(canceled) => Err(WriteError::ConditionFailed),
                    _ => Err(WriteError::Unavailable(self.failure("dynamodb:PutItem", error))),
                }
            }
        }
    }

    /// Whether the stored item is the one of `write`: then an earlier attempt wrote it, whose answer was lost.
    async fn stands(&self, write: &DeviceWrite) -> Result<bool, WriteError> {
        match self.read_device(&write.device_id).await {
            Ok(stored) => Ok(stored.is_some_and(|stored| {
                stored.revision == write.item.revision
                    && stored.state == write.item.state
                    && stored.attributes.updated_at == write.item.attributes.updated_at
            })),
            // Not what we wrote, for that would decode.
            Err(StoreError::Corrupt(_) | StoreError::NewerVersion { .. }) => Ok(false),
            Err(StoreError::Unavailable(source)) => Err(WriteError::Unavailable(source)),
        }
    }
}

type TransactError = aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;

impl StatisticsStore for DynamoDbStatisticsStore {
    async fn read_statistics(&self, devices: &[DeviceId]) -> Vec<Result<Option<StatisticsItem>, StoreError>> {
        let sizes = vec![0; devices.len()];
        send_all(&sizes, READ_LIMITS, |places| self.get_batch(places.into_iter().map(|at| &devices[at]).collect()))
            .await
    }

    async fn read_ledger(
        &self,
        device_id: &DeviceId,
        keys: &LedgerKeys,
        after: Option<&str>,
    ) -> Result<LedgerPart, StoreError> {
        // An answer ends at 1 MB whatever is left, and then says where to read on.
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#device_id = :device_id AND #item BETWEEN :first AND :last")
            .expression_attribute_names("#device_id", "device_id")
            .expression_attribute_names("#item", "item")
            .expression_attribute_values(":device_id", AttributeValue::S(device_id.as_str().to_owned()))
            .expression_attribute_values(":first", AttributeValue::S(keys.first.clone()))
            .expression_attribute_values(":last", AttributeValue::S(keys.last.clone()))
            .consistent_read(true)
            .set_exclusive_start_key(after.map(|after| key(device_id, after)))
            .send()
            .await
            .map_err(|error| StoreError::Unavailable(self.failure("dynamodb:Query", error)))?;
        let next_after = answer.last_evaluated_key.as_ref().filter(|key| !key.is_empty()).map(|key| {
            let item = key.get("item").and_then(|item| item.as_s().ok());
            item.cloned()
                .ok_or_else(|| StoreError::Unavailable("dynamodb:Query: LastEvaluatedKey has no `item`".into()))
        });
        let next_after = next_after.transpose()?;
        let pages = answer.items.unwrap_or_default().into_iter().map(decode_page).collect::<Result<_, _>>()?;
        Ok(LedgerPart { pages, next_after })
    }

    async fn write(&self, write: DeviceWrite) -> Result<(), WriteError> {
        if write.pages.is_empty() { self.put_item(&write).await } else { self.transact(&write).await }
    }
}

const NAME: &str = "#name";
const ABSENT: &str = "attribute_not_exists(#name)";

/// What must hold of the stored item.
struct Condition {
    expression: &'static str,
    name: &'static str,
    values: Option<Attributes>,
}

impl Condition {
    fn of(write: &DeviceWrite) -> Self {
        match write.expected_revision {
            None => Condition { expression: ABSENT, name: "device_id", values: None },
            Some(revision) => Condition {
                expression: "#name = :expected",
                name: "revision",
                values: Some(Attributes::from([(":expected".to_owned(), AttributeValue::N(revision.to_string()))])),
            },
        }
    }
}

/// Whether the transaction was cancelled because a condition failed. Conflicts with other transactions and
/// throttling cancel too; those are passing, and a condition that failed beside them still failed.
fn a_condition_failed(canceled: &TransactionCanceledException) -> bool {
    canceled.cancellation_reasons().iter().any(|reason| reason.code() == Some("ConditionalCheckFailed"))
}

/// Counts the attempts of one call: a condition that fails at the second may fail over what the first wrote.
#[derive(Debug, Clone, Default)]
struct Attempts(Arc<AtomicU32>);

impl Attempts {
    fn made(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "count attempts"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), InterceptError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::types::CancellationReason;

    fn canceled(codes: &[&str]) -> TransactionCanceledException {
        let reasons = codes.iter().map(|code| CancellationReason::builder().code(*code).build()).collect();
        TransactionCanceledException::builder().set_cancellation_reasons(Some(reasons)).build()
    }

    #[test]
    fn a_transaction_cancelled_for_a_condition_is_a_failed_condition() {
        assert!(a_condition_failed(&canceled(&["None", "ConditionalCheckFailed"])));
        assert!(a_condition_failed(&canceled(&["TransactionConflict", "ConditionalCheckFailed"])));
    }

    #[test]
    fn a_transaction_cancelled_for_anything_else_is_passing() {
        let passing = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "ValidationError"];
        for code in passing {
            assert!(!a_condition_failed(&canceled(&["None", code])), "{code}");
        }
        assert!(!a_condition_failed(&canceled(&[])));
    }
}
