//! The ports on one machine: an embedded ACID database and local files.
