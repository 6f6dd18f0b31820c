//! An execution environment on this machine: the Runtime API, and a function's own binary under it. The functions' tests
//! include it.
#![allow(dead_code, unused_imports, reason = "each function's tests use their own part")]

mod function;
mod runtime_api;

pub use function::{Function, errors, metrics};
pub use runtime_api::{Answer, InitError, RuntimeApi, TRACE_ID};
