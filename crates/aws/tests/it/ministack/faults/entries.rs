//! Calls of many entries, of which some fail, with HTTP 200: PutRecords, SendMessageBatch and BatchGetItem.

use crate::ministack::faults::fault::Operation;
use crate::wire::{HttpResponse, json_answer};
use serde_json::{Value, json};
use simulation::Random;

/// What becomes of each entry of a call.
pub struct Parts {
    operation: Operation,
    table: Option<String>,
    /// The entries that fail.
    fails: Vec<bool>,
    entries: Vec<Value>,
    /// The call that the service gets: with the entries that do not fail; `None` where all do.
    pub rest: Option<Value>,
}

/// Chooses the entries that fail, at least one.
pub fn fail_some(operation: Operation, request: &Value, chance: &mut Random) -> Parts {
    let place = match (operation, table(request)) {
        (Operation::PutRecords, _) => "/Records".to_owned(),
        (_, Some(table)) => format!("/RequestItems/{table}/Keys"),
        _ => "/Entries".to_owned(),
    };
    let entries = request.pointer(&place).and_then(Value::as_array).cloned().unwrap_or_default();
    let surely = chance.below(entries.len());
    let fails: Vec<bool> = (0..entries.len()).map(|at| at == surely || chance.one_in(2)).collect();
    let passing: Vec<Value> =
        entries.iter().zip(&fails).filter(|(_, fails)| !**fails).map(|(entry, _)| entry.clone()).collect();
    let rest = (!passing.is_empty()).then(|| {
        let mut rest = request.clone();
        *rest.pointer_mut(&place).expect("the entries") = json!(passing);
        rest
    });
    Parts { operation, table: table(request), fails, entries, rest }
}

/// The table of a BatchGetItem.
fn table(request: &Value) -> Option<String> {
    request["RequestItems"].as_object()?.keys().next().cloned()
}

impl Parts {
    /// The answer to the whole call, from the service's answer to the rest of it.
    pub fn answer(&self, rest: Option<HttpResponse>) -> HttpResponse {
        let body: Value = match rest {
            // The rest was refused as a whole.
            Some(response) if !response.status().is_success() => return response,
            Some(response) => serde_json::from_slice(response.body().bytes().unwrap_or_default()).expect("JSON"),
            None => json!({}),
        };
        let body = match (self.operation, &self.table) {
            (Operation::PutRecords, _) => self.records(&body),
            (_, Some(table)) => self.items(body, table),
            _ => self.messages(body),
        };
        json_answer(200, &body)
    }

    fn records(&self, rest: &Value) -> Value {
        let mut stored = rest["Records"].as_array().cloned().unwrap_or_default().into_iter();
        let codes = ["ProvisionedThroughputExceededException", "InternalFailure"];
        let results = self.fails.iter().enumerate().map(|(at, fails)| match fails {
            true => json!({ "ErrorCode": codes[at % 2], "ErrorMessage": "refused" }),
            false => stored.next().unwrap_or_default(),
        });
        let results: Vec<Value> = results.collect();
        let failed = results.iter().filter(|result| result["ErrorCode"].is_string()).count();
        json!({ "FailedRecordCount": failed, "Records": results })
    }

    fn items(&self, mut rest: Value, table: &str) -> Value {
        let unread = self.entries.iter().zip(&self.fails).filter(|(_, fails)| **fails).map(|(key, _)| key);
        let keys: Vec<&Value> = unread.collect();
        rest["UnprocessedKeys"] = json!({ table: { "Keys": keys, "ConsistentRead": true } });
        rest
    }

    fn messages(&self, mut rest: Value) -> Value {
        let failing = self.entries.iter().zip(&self.fails).filter(|(_, fails)| **fails);
        let failed =
            failing.map(|(entry, _)| json!({ "Id": entry["Id"], "SenderFault": false, "Code": "InternalError" }));
        let mut all = rest["Failed"].as_array().cloned().unwrap_or_default();
        all.extend(failed);
        rest["Failed"] = json!(all);
        if rest["Successful"].is_null() {
            rest["Successful"] = json!([]);
        }
        rest
    }
}
