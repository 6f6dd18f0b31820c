//! The ports on AWS's services: scripted services and Kinesis in this process, and ministack with the feature `ministack`.

mod curated_delivery;
mod kinesis;
mod lost_answers;
#[cfg(feature = "ministack")]
mod ministack;
mod scripted_service;
mod server;
mod wire;
