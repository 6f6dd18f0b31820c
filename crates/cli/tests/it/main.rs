//! The command, run as a user runs it.

mod archive;
mod backup;
mod command_line;
mod crowds;
mod curated;
mod dlq;
mod dlq_beside;
mod documents;
mod hostile;
mod keys;
mod kill;
#[cfg(feature = "aws")]
mod kinesis;
mod late;
mod lost_files;
#[cfg(feature = "aws")]
mod ministack;
mod operations;
mod rebuild;
mod signals;
mod support;
mod unreadable_items;
mod up;
mod verify;
mod without_aws;
