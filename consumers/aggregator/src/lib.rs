//! Kinesis batch -> statistics, or dead letter.
