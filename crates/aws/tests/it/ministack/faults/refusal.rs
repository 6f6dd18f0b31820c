//! How each service says that it does not take a call: its own codes and statuses.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>,
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>,
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>

use crate::ministack::faults::fault::{Fault, Operation};
use crate::wire::{self, HttpRequest, HttpResponse, answer, json_answer};
use serde_json::json;
use simulation::Random;

const DYNAMODB: &str = "com.amazonaws.dynamodb.v20120810#";

/// The answer to `request`.
pub fn of(operation: Operation, fault: Fault, request: &HttpRequest, chance: &mut Random) -> HttpResponse {
    use Operation::*;
    match operation {
        PutRecords | ListShards | GetShardIterator | GetRecords => of_kinesis(operation, fault, chance),
        TransactWriteItems if chance.one_in(2) || fault == Fault::TransactionConflict => {
            canceled(fault, request, chance).unwrap_or_else(|| of_dynamodb(fault, chance))
        }
        BatchGetItem | Query | PutItem | TransactWriteItems => of_dynamodb(fault, chance),
        SendMessageBatch => of_sqs(fault, chance),
        PutObject | GetObject | ListObjects => of_s3(fault),
    }
}

fn of_kinesis(operation: Operation, fault: Fault, chance: &mut Random) -> HttpResponse {
    match fault {
        Fault::InternalError => error(500, "InternalFailure"),
        Fault::Unavailable => error(503, "ServiceUnavailable"),
        Fault::IteratorExpired => error(400, "ExpiredIteratorException"),
        _ if operation == Operation::ListShards => error(400, "LimitExceededException"),
        _ => error(400, chance.pick(&["ProvisionedThroughputExceededException", "KMSThrottlingException"])),
    }
}

fn of_dynamodb(fault: Fault, chance: &mut Random) -> HttpResponse {
    match fault {
        Fault::InternalError => error(500, &format!("{DYNAMODB}InternalServerError")),
        Fault::Unavailable => error(503, "com.amazon.coral.availability#ServiceUnavailable"),
        Fault::TransactionConflict => error(400, &format!("{DYNAMODB}TransactionConflictException")),
        _ => {
            let codes = ["ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"];
            error(400, &format!("{DYNAMODB}{}", chance.pick(&codes)))
        }
    }
}

/// A transaction fails as one, and says of each of its actions why.
fn canceled(fault: Fault, request: &HttpRequest, chance: &mut Random) -> Option<HttpResponse> {
    let code = match fault {
        Fault::TransactionConflict => "TransactionConflict",
        Fault::Throttled => chance.pick(&["ThrottlingError", "ProvisionedThroughputExceeded"]),
        _ => return None,
    };
    let actions = wire::request_json(request)["TransactItems"].as_array().map_or(1, Vec::len);
    let guilty = chance.below(actions);
    let reason = |at| if at == guilty { json!({ "Code": code, "Message": "…" }) } else { json!({ "Code": "None" }) };
    let body = json!({
        "__type": format!("{DYNAMODB}TransactionCanceledException"),
        "message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
        "CancellationReasons": (0..actions).map(reason).collect::<Vec<_>>(),
    });
    Some(json_answer(400, &body))
}

fn of_sqs(fault: Fault, chance: &mut Random) -> HttpResponse {
    match fault {
        Fault::InternalError => error(500, "InternalFailure"),
        Fault::Unavailable => error(503, "ServiceUnavailable"),
        _ => error(400, &format!("com.amazonaws.sqs#{}", chance.pick(&["RequestThrottled", "KmsThrottled"]))),
    }
}

fn of_s3(fault: Fault) -> HttpResponse {
    let (status, code) = match fault {
        Fault::InternalError => (500, "InternalError"),
        Fault::Unavailable => (503, "ServiceUnavailable"),
        _ => (503, "SlowDown"),
    };
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>refused</Message></Error>");
    answer(status, "application/xml", body)
}

fn error(status: u16, code: &str) -> HttpResponse {
    json_answer(status, &json!({ "__type": code, "message": "refused" }))
}
