//! The producer against an endpoint that fails as it is told to.

mod live_fleet;
mod sending;
mod server;
