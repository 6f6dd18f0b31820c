//! The dead letters of a queue on AWS: SQS, with their copies in the archive bucket.

#[cfg(feature = "aws")]
pub use services::OnAws;
#[cfg(not(feature = "aws"))]
pub use without::OnAws;

#[cfg(feature = "aws")]
mod services;
#[cfg(not(feature = "aws"))]
mod without;
