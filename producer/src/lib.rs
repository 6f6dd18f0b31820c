//! Before the stream: a simulated fleet, CSV and JSON Lines, posted by HTTP with retries.
