//! The embedded store, its contracts, and what is left of it after a crash.

mod accounting;
mod backup;
mod contract;
mod crash;
mod curated;
mod dead_letters;
mod lost_files;
mod raw_archive;
mod stream;
mod unreadable_items;
mod verify;
