//! What can go wrong between the ports and the services, and where.

use crate::wire::{self, HttpRequest};
use std::collections::BTreeMap;
use std::fmt;

macro_rules! kinds {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($variant,)* }

        impl $name {
            #[allow(dead_code, reason = "not every list is walked")]
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            pub fn text(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

kinds! {
    /// The calls that the ports make.
    Operation {
        PutRecords = "Kinesis PutRecords",
        ListShards = "Kinesis ListShards",
        GetShardIterator = "Kinesis GetShardIterator",
        GetRecords = "Kinesis GetRecords",
        BatchGetItem = "DynamoDB BatchGetItem",
        Query = "DynamoDB Query",
        PutItem = "DynamoDB PutItem",
        TransactWriteItems = "DynamoDB TransactWriteItems",
        SendMessageBatch = "SQS SendMessageBatch",
        PutObject = "S3 PutObject",
        GetObject = "S3 GetObject",
        ListObjects = "S3 ListObjectsV2",
    }
}

kinds! {
    /// What goes wrong with a call.
    Fault {
        Throttled = "throttled, as the service says it",
        InternalError = "500",
        Unavailable = "503",
        ConnectionReset = "connection reset before the call arrived",
        TimedOut = "timed out before the call arrived",
        ReplyLost = "took effect, reply lost",
        Hangs = "hangs for longer than the function may take",
        Late = "timed out, takes effect later",
        Twice = "took effect, and arrives once more later",
        PartlyFailed = "some entries failed, with HTTP 200",
        CutShort = "answer cut short, with a token to go on",
        TransactionConflict = "transaction conflict",
        IteratorExpired = "shard iterator expired",
    }
}

kinds! {
    /// What happened beside.
    Event {
        PlainWrite = "item written alone",
        Transaction = "item and pages written in one transaction",
        ConditionFailed = "item's condition failed",
        TransactionConditionFailed = "transaction's condition failed",
        PagesFound = "ledger pages found",
        ProducerRetry = "entry put again after a failure",
        PutAgain = "record put again under a new sequence number",
        Aggregate = "KPL aggregate put",
        Split = "shard split",
        Merge = "shards merged",
        Rewound = "checkpoint lost",
        MappingCrash = "mapping crashed and started again",
        SecondMapping = "two mappings read the same shards",
        NotInvoked = "batch never reached the function",
        InvocationCrash = "invocation died half way",
        InvocationTimeOut = "invocation outlived its time-out or its mapping",
        InvocationKeptRunning = "invocation given up at once, and kept running",
        ResponseLost = "invocation finished, response lost",
        PartialResponse = "batch item failures reported",
        Counted = "reading counted",
        MalformedJson = "dead letter malformed_json",
        InvalidReading = "dead letter invalid_reading",
        BadAggregate = "dead letter bad_aggregate",
        FutureTimestamp = "dead letter future_timestamp",
        PartitionKeyMismatch = "dead letter partition_key_mismatch",
        ConflictingDuplicate = "dead letter conflicting_duplicate",
        LetterTwice = "dead letter sent twice under one id",
    }
}

impl Operation {
    /// The operation that a request is; `None` for one that the ports do not make.
    pub fn of(request: &HttpRequest) -> Option<Operation> {
        let name = match wire::target(request) {
            Some(name) => name,
            None if request.method() == "PUT" => "PutObject",
            None if request.uri().contains("list-type=2") => "ListObjectsV2",
            None => "GetObject",
        };
        Operation::ALL.iter().copied().find(|operation| operation.text().ends_with(&format!(" {name}")))
    }

    /// What can go wrong with it.
    pub fn faults(self) -> Vec<Fault> {
        use Fault::*;
        use Operation::*;
        let own: &[Fault] = match self {
            PutRecords | SendMessageBatch | BatchGetItem => &[PartlyFailed],
            ListShards | Query => &[CutShort],
            GetRecords => &[CutShort, IteratorExpired],
            PutItem | TransactWriteItems => &[TransactionConflict],
            GetShardIterator | PutObject | GetObject | ListObjects => &[],
        };
        let of_writes: &[Fault] = match self {
            PutRecords | PutItem | TransactWriteItems | SendMessageBatch | PutObject => &[Late, Twice],
            _ => &[],
        };
        // What the function calls can hold it up.
        let of_the_function: &[Fault] = match self {
            BatchGetItem | Query | PutItem | TransactWriteItems | SendMessageBatch | PutObject => &[Hangs],
            _ => &[],
        };
        let common = &[Throttled, InternalError, Unavailable, ConnectionReset, TimedOut, ReplyLost];
        [common, own, of_writes, of_the_function].concat()
    }
}

/// How often what happened.
#[derive(Debug, Default, Clone)]
pub struct Coverage {
    calls: BTreeMap<Operation, u64>,
    faults: BTreeMap<(Operation, Fault), u64>,
    events: BTreeMap<Event, u64>,
}

impl Coverage {
    pub fn call(&mut self, operation: Operation) {
        *self.calls.entry(operation).or_default() += 1;
    }

    pub fn fault(&mut self, operation: Operation, fault: Fault) {
        *self.faults.entry((operation, fault)).or_default() += 1;
    }

    pub fn event(&mut self, event: Event) {
        *self.events.entry(event).or_default() += 1;
    }

    pub fn faults(&self) -> u64 {
        self.faults.values().sum()
    }

    pub fn merge(&mut self, other: &Coverage) {
        other.calls.iter().for_each(|(key, times)| *self.calls.entry(*key).or_default() += times);
        other.faults.iter().for_each(|(key, times)| *self.faults.entry(*key).or_default() += times);
        other.events.iter().for_each(|(key, times)| *self.events.entry(*key).or_default() += times);
    }

    /// What never happened, in words: each fault must have befallen each operation that it can.
    pub fn missing(&self) -> Vec<String> {
        let cells = Operation::ALL.iter().flat_map(|of| of.faults().into_iter().map(|fault| (*of, fault)));
        let faults = cells.filter(|cell| !self.faults.contains_key(cell));
        let events = Event::ALL.iter().filter(|event| !self.events.contains_key(event));
        let faults = faults.map(|(operation, fault)| format!("{}: {}", operation.text(), fault.text()));
        faults.chain(events.map(|event| event.text().to_owned())).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for operation in Operation::ALL {
            let calls = self.calls.get(operation).copied().unwrap_or_default();
            writeln!(f, "{calls:>8}  {}, of which", operation.text())?;
            for fault in operation.faults() {
                let times = self.faults.get(&(*operation, fault)).copied().unwrap_or_default();
                writeln!(f, "{times:>12}  {}", fault.text())?;
            }
        }
        for event in Event::ALL {
            writeln!(f, "{:>8}  {}", self.events.get(event).copied().unwrap_or_default(), event.text())?;
        }
        Ok(())
    }
}
