//! The mapping's state machines, driven step by step.

mod batching;
mod checkpoints;
mod delivery;
mod driver;
mod event;
mod failures;
mod on_failure;
mod responses;
mod runner;
