//! The gateway over HTTP, with a pipeline in memory behind it.

mod access;
mod backup;
mod document;
mod fleet;
mod http_cases;
mod ingest;
mod letters;
mod limits;
mod places;
mod properties;
mod reads;
mod support;
