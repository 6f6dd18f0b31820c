//! The HTTP front door of one machine: the contract that API Gateway keeps on AWS, from the same OpenAPI document.
//!
//! - **Enters**: HTTP/1.1 requests, on a listener that the caller has bound.
//! - **Leaves**: stream records, put into an [`ports::EventStream`]; answers read from a [`PipelineView`] and from
//!   [`RecentActivity`]; dead letters sent again or deleted; the dashboard page.
//! - **Fails**: with a status of the contract and `{"message":"…"}` that names what is wrong. Nothing answers 200
//!   before the stream has said that it is stored, and no input makes it panic or answer 5xx.
//!
//! Routing is a table of a dozen exact paths (`route`), so there is no web framework: hyper serves the connections.

mod access;
mod answer;
mod backup;
mod body;
mod closable;
mod config;
mod content_coding;
mod dispatch;
mod document;
mod fleet;
mod gateway;
mod health;
mod history;
mod ingest;
mod letters;
mod limit_log;
mod page;
mod place;
mod places;
mod query;
mod reads;
mod recent;
mod route;
mod script;
mod server;
mod stall;
mod view;

pub use config::{ConfigError, GatewayConfig, Limits, check_api_key};
pub use document::OPENAPI_DOCUMENT;
pub use gateway::Gateway;
pub use recent::{DEFAULT_MEMORY_BYTES, RecentActivity};
pub use route::{Endpoint, ROUTES, Route};
pub use server::serve;
pub use view::{Accounting, BackupFailure, History, HistoryQuery, PipelineView, ViewError};
