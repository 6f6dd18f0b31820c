//! Deterministic simulation: virtual producers, a stream that reshards, the real poller's state machines, the real
//! aggregator, a virtual table and dead-letter queue, redrive, and everything that can go wrong between them.
//!
//! - **Enters**: a seed, of which [`arbitrary`] makes a [`model::Schedule`].
//! - **Leaves**: an [`Outcome`]: what happened how often, and the guarantee that was broken, if any.
//! - **Fails**: a run fails when
//!   1. an item holds anything but each of a set of stored readings once, at most one of each identity ([`Guarantee::CountedOnce`]);
//!   2. something that was counted is lost, or the readable attributes do not say what was counted ([`Guarantee::Kept`]);
//!   3. at the end a stored reading is neither counted nor a dead letter ([`Guarantee::Accounted`]);
//!   4. a dead letter has a reason that does not hold, or not its whole payload ([`Guarantee::LetterTrue`]);
//!   5. a write breaks the limits of the service ([`Guarantee::WriteBounds`]);
//!   6. without faults, work remains for ever ([`Guarantee::Progress`]).
//!
//! Known nondeterminism: none. One thread runs a schedule, the only executor is the loop in `run`, time passes only
//! when that loop says so, and every choice comes from the schedule's seed. The code under test uses hash maps, whose
//! order differs from process to process, for look-ups alone.

pub mod arbitrary;
mod campaign;
pub mod content;
mod coverage;
mod delivery;
mod effects;
pub mod kpl;
pub mod model;
mod operators;
mod oracle;
mod pollers;
mod random;
mod run;
pub mod shrink;
pub mod size;
pub mod story;
mod stream;
mod table;
mod virtual_ports;

pub use campaign::{Campaign, campaign};
pub use coverage::{Branch, Coverage, Fault};
pub use oracle::{Guarantee, Violation};
pub use random::Random;
pub use run::{Outcome, START_NS, run, run_told};
