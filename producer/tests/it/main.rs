//! The producer against an endpoint and a stream that fail as they are told to.

mod live_fleet;
mod sending;
mod server;
mod stream;
