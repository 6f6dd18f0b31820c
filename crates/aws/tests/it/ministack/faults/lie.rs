//! Wrong ports: the wire answers a port as if the port had overlooked something. Nothing else in the run is wrong, so
//! that what the run says of it, it would say of such a port.

use crate::ministack::faults::fault::Operation;
use crate::wire::{Answered, HttpResponse, answer, json_answer};
use serde_json::{Value, json};

/// What the port overlooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    FailedConditionIsSuccess,
    FailedRecordsAreStored,
    FailedMessagesAreSent,
    FailedObjectsAreStored,
    FirstPageIsAll,
}

impl Lie {
    pub const ALL: [Lie; 5] = [
        Lie::FailedConditionIsSuccess,
        Lie::FailedRecordsAreStored,
        Lie::FailedMessagesAreSent,
        Lie::FailedObjectsAreStored,
        Lie::FirstPageIsAll,
    ];

    pub fn text(self) -> &'static str {
        match self {
            Lie::FailedConditionIsSuccess => "DynamoDB: ConditionalCheckFailed taken for success",
            Lie::FailedRecordsAreStored => "Kinesis: failed entries of PutRecords dropped",
            Lie::FailedMessagesAreSent => "SQS: failed entries of SendMessageBatch dropped",
            Lie::FailedObjectsAreStored => "S3: failed PutObject ignored",
            Lie::FirstPageIsAll => "DynamoDB: LastEvaluatedKey ignored",
        }
    }

    /// The answer that the port believes to have got.
    pub fn told(self, operation: Operation, answered: Answered) -> Answered {
        let stored = || answer(200, "application/xml", "");
        match (self, operation, answered) {
            (Lie::FailedObjectsAreStored, Operation::PutObject, Err(_)) => Ok(stored()),
            (Lie::FailedObjectsAreStored, Operation::PutObject, Ok(response)) if !response.status().is_success() => {
                Ok(stored())
            }
            (_, _, Err(error)) => Err(error),
            (_, _, Ok(response)) => Ok(self.of_response(operation, response)),
        }
    }

    fn of_response(self, operation: Operation, response: HttpResponse) -> HttpResponse {
        let Ok(mut body) = serde_json::from_slice::<Value>(response.body().bytes().unwrap_or_default()) else {
            return response;
        };
        match (self, operation) {
            (Lie::FailedConditionIsSuccess, Operation::PutItem | Operation::TransactWriteItems)
                if body.to_string().contains("ConditionalCheckFailed") =>
            {
                json_answer(200, &json!({}))
            }
            (Lie::FailedRecordsAreStored, Operation::PutRecords) if response.status().is_success() => {
                let records = body["Records"].as_array_mut().into_iter().flatten();
                for failed in records.filter(|record| record["ErrorCode"].is_string()) {
                    *failed = json!({ "ShardId": "shardId-000000000000", "SequenceNumber": "1" });
                }
                json_answer(200, &body)
            }
            (Lie::FailedMessagesAreSent, Operation::SendMessageBatch) if response.status().is_success() => {
                let failed = std::mem::take(&mut body["Failed"]);
                let sent = failed.as_array().into_iter().flatten();
                let sent = sent.map(|entry| json!({ "Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "" }));
                let mut all = body["Successful"].as_array().cloned().unwrap_or_default();
                all.extend(sent);
                json_answer(200, &json!({ "Successful": all, "Failed": [] }))
            }
            (Lie::FirstPageIsAll, Operation::Query) => {
                body.as_object_mut().map(|body| body.remove("LastEvaluatedKey"));
                json_answer(response.status().as_u16(), &body)
            }
            _ => response,
        }
    }
}
