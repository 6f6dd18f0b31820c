//! What happened, counted: a run in which something never happened has not tested it.

use std::fmt;

macro_rules! counted {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each variant's text says what it is")]
        pub enum $name { $($variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant,)*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// What it is, in words.
            pub fn text(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

counted! {
    /// What goes wrong by itself.
    Fault {
        StatisticsReadFails = "read of the item throttled or failed",
        LedgerReadFails = "read of ledger pages throttled or failed",
        LedgerReadTorn = "read of ledger pages interleaved with writes",
        WriteFails = "write throttled or failed before its effect",
        TransactionConflict = "transaction conflict",
        WriteReplyLost = "write took effect, reply lost",
        WriteRetriedByClient = "write took effect, the client's own retry failed its condition",
        DeadLetterFails = "dead-letter send failed",
        DeadLetterReplyLost = "dead letter stored, reply lost",
        InvocationCrash = "invocation crashed",
        InvocationTimeOut = "invocation timed out and kept running",
        ZombieWrite = "write of a dead invocation took effect later",
        ResponseLost = "invocation finished, its response was lost",
        NotInvoked = "batch never reached the function",
        StreamReadFails = "read of the stream failed",
        StreamReadShort = "read of the stream brought few or no records",
        ListingStale = "shard listing stale",
        CheckpointFails = "checkpoint not saved",
        DiscardFails = "on-failure destination failed",
        PollerCrash = "poller crashed",
        PageExpires = "ledger page expired",
        RedriveCrash = "redrive crashed between put and delete",
        RedriveDelay = "redrive missed a dead letter",
        ClockBehind = "aggregator's clock behind the store's",
    }
}

counted! {
    /// What the pipeline did.
    Branch {
        PlainWrite = "item written alone",
        Transaction = "item and page in one transaction",
        ManyPages = "several pages in one transaction",
        FullTransaction = "as many pages as one transaction may hold",
        Prefixes = "group committed in successive prefixes",
        Overtaken = "condition failed, planned again",
        PlannedFromCache = "write planned from a cached state",
        StaleCache = "cached state was stale: condition failed, planned again from a fresh read",
        PlannedAfresh = "plan from a cached state that no write proves made again from a fresh read",
        ReplansExhausted = "condition failed too often, group failed",
        Counted = "reading counted",
        Duplicate = "duplicate found",
        LateFound = "reading below the floor found on its page",
        LateCounted = "reading below the floor counted after a look-up",
        LateMonths = "reading counted more than 30 days late",
        ConflictingDuplicate = "dead letter conflicting_duplicate",
        LateWindow = "dead letter late: older than the window",
        LateUnledgered = "dead letter late: at or below the unledgered floor",
        LateRetention = "dead letter late: older than the retention",
        LateExpiring = "dead letter late: older than an earlier retention",
        CorruptState = "dead letter corrupt_state: item",
        CorruptPage = "dead letter corrupt_state: ledger page",
        FutureTimestamp = "dead letter future_timestamp",
        PartitionKeyMismatch = "dead letter partition_key_mismatch",
        MalformedJson = "dead letter malformed_json",
        InvalidReading = "dead letter invalid_reading",
        BadAggregate = "dead letter bad_aggregate",
        WholeRecord = "dead letter of a whole record",
        Aggregate = "KPL aggregate taken apart",
        Series = "series taken apart",
        PartialResponse = "batch item failure reported",
        Bisected = "batch sent again in a part",
        DiscardedByRetries = "records discarded: retries exhausted",
        DiscardedByAge = "records discarded: too old",
        TwoPollers = "two pollers on one shard",
        ConcurrentInvocations = "two invocations at once",
        Split = "shard split",
        Merge = "shards merged",
        ChildSequenceLower = "child's sequence numbers below its parent's",
        Recreated = "stream recreated, archive replayed",
        Rewound = "checkpoint moved back",
        ProducerRetry = "reading put again under a new sequence number",
        Redriven = "dead letter redriven",
        RedrivenWhole = "dead letter of a whole record redriven",
        RedrivenAsked = "late and conflicting dead letters redriven",
        RedrivenPayload = "discarded batch redriven from its payload",
        RedrivenMetadata = "discarded batch fetched again from the stream",
        RedrivenExpired = "discarded batch gone from the stream",
        Repaired = "damaged state repaired",
        RedeployedWindow = "switched from full to window",
        RedeployedFull = "switched from window to full",
        RetentionLifted = "retention lifted or lengthened",
    }
}

/// How often each fault and branch happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    faults: [u64; Fault::COUNT],
    branches: [u64; Branch::COUNT],
}

impl Default for Coverage {
    fn default() -> Self {
        Coverage { faults: [0; Fault::COUNT], branches: [0; Branch::COUNT] }
    }
}

impl Coverage {
    /// A fault happened.
    pub fn fault(&mut self, fault: Fault) {
        self.faults[fault as usize] += 1;
    }

    /// A branch was taken.
    pub fn branch(&mut self, branch: Branch) {
        self.branches[branch as usize] += 1;
    }

    /// Adds another run's counts.
    pub fn merge(&mut self, other: &Coverage) {
        self.faults.iter_mut().zip(other.faults).for_each(|(sum, count)| *sum += count);
        self.branches.iter_mut().zip(other.branches).for_each(|(sum, count)| *sum += count);
    }

    /// What never happened, in words.
    pub fn missing(&self) -> Vec<&'static str> {
        let faults = Fault::ALL.iter().filter(|fault| self.faults[**fault as usize] == 0).map(|fault| fault.text());
        let branches = Branch::ALL.iter().filter(|branch| self.branches[**branch as usize] == 0);
        faults.chain(branches.map(|branch| branch.text())).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>12}  fault", "times")?;
        for fault in Fault::ALL {
            writeln!(f, "{:>12}  {}", self.faults[*fault as usize], fault.text())?;
        }
        writeln!(f, "{:>12}  branch", "times")?;
        for branch in Branch::ALL {
            writeln!(f, "{:>12}  {}", self.branches[*branch as usize], branch.text())?;
        }
        Ok(())
    }
}
