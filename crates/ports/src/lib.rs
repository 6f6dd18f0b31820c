//! What the handlers need of the outside world: one small trait each.
//!
//! - **Enters and leaves**: the plain types beside each trait; nothing of AWS or of an embedded database.
//! - **Fails**: each trait has one error enum, split by what the caller does next: reject (permanent) or
//!   retry (passing).
//!
//! With the feature `contract`, `contract` is the suite that every implementation runs from its own tests.

mod archive;
mod backup;
mod causes;
mod checkpoints;
mod clock;
#[cfg(feature = "contract")]
pub mod contract;
mod curated;
mod dead_letter_queue;
mod event_stream;
mod message_queue;
mod panics;
mod statistics_record;
mod statistics_store;

pub use archive::{Archive, ArchiveError, ArchiveFolder, PutNew};
pub use backup::{BackupProgress, BackupStage, BackupSummary};
pub use causes::with_causes;
pub use checkpoints::{CheckpointError, Checkpoints};
pub use clock::{Clock, SystemClock};
pub use curated::{COLUMNS, Cell, Column, ColumnKind, CuratedDelivery, CuratedRow, DeliveryError};
pub use dead_letter_queue::{DeadLetter, DeadLetterError, DeadLetterOrigin, DeadLetterQueue};
pub use event_stream::{
    EventStream, ParseSequenceNumberError, Position, PutError, PutReceipt, RecordsPage, SequenceNumber, Shard, ShardId,
    StreamEntry, StreamError, StreamRecord, StreamShard,
};
pub use message_queue::{Message, MessageQueue, MessageQueueError};
pub use panics::{ReadPanic, catch_panic};
pub use statistics_record::{ConfidenceInterval, Field, MEMBERS, Member, MemberValue, StatisticsAttributes};
pub use statistics_store::{
    DeviceWrite, LEDGER_PART_BYTES, LedgerKeys, LedgerPageItem, LedgerPart, StatisticsItem, StatisticsStore,
    StoreError, WriteError,
};
