//! Dead letters -> stream: what an operator sees of them, changes, and sends again.
//!
//! - **Enters**: a queue that can be looked through without changing it ([`DeadLetters`]), and what the operator
//!   changes ([`Repairs`]).
//! - **Leaves**: records in the stream, each put before its letter is deleted ([`Run`], [`StreamRedriver`]); a
//!   [`Summary`]; and for people the place that is wrong ([`locate`]) and text fit for a terminal ([`printable`]).
//! - **Fails**: a letter by itself, with [`RedriveError`]; looking, with [`QueueError`]. Whatever fails or is stopped
//!   half-way can be run again: a reading put twice has one identity, and is counted once.
//!
//! Deciding ([`decide`]) is pure. Where letters come from and go to are small traits, so that one machine and AWS share
//! all of it: [`DeadLetters`], [`Intents`], [`FailedRecords`], and [`ports::EventStream`]. For AWS they are built upon a
//! queue of messages and an archive ([`MessageLetters`], [`PayloadStreamArchive`]), which are ports too.

mod archived;
mod copies;
mod decision;
mod failed_records;
mod hash;
mod lambda_failure;
mod letter;
mod locate;
mod message_letters;
mod notification;
mod outcome;
mod pace;
mod plan;
mod printable;
mod queue;
mod redriver;
mod repair;
mod repair_file;
mod run;
mod summary;
mod whole_record;

pub use decision::{Decision, Rules};
pub use failed_records::PayloadStreamArchive;
pub use lambda_failure::{FetchedRecords, LambdaFailure};
pub use letter::{Filter, Letter, ReasonCode};
pub use locate::{Spot, locate};
pub use message_letters::{HOLD, MessageLetters};
pub use outcome::{Action, LetterOutcome, Observer, Outcome, Tally};
pub use pace::Pace;
pub use plan::decide;
pub use printable::{printable, printable_bytes, printable_line};
pub use queue::{
    DeadLetters, FailedRecords, Held, Intent, Intents, Noted, Order, Outgoing, Page, PageRequest, PayloadOnly,
    QueueError, RedriveError, Redriver, every_page,
};
pub use redriver::StreamRedriver;
pub use repair::{Assignment, BodyError, Records, Repairs, records};
pub use repair_file::{RepairFile, RepairFileError, parse_csv, parse_json_lines};
pub use run::{Run, RunOptions};
pub use summary::{Ages, Counting, DeviceSummary, ReasonSummary, Summary};
pub use whole_record::whole_record;
