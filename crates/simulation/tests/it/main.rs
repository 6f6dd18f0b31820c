//! The simulation, played.

mod cost;
mod quotes;
mod schedules;
