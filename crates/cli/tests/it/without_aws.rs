//! A build without feature `aws` says how to get the one that knows Kinesis.
#![cfg(not(feature = "aws"))]

use std::process::Command;

#[test]
fn what_needs_the_feature_says_how_to_build_it() {
    for arguments in [
        &["send", "--kinesis", "readings", "--devices", "1", "--readings", "1"][..],
        &["mapping", "--kinesis", "readings", "--function", "aggregator", "--checkpoints", "checkpoints.json"],
        &["dlq", "summary", "--queue-url", "http://127.0.0.1:1/queue"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_streamgauge")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains("cargo build --release --features aws"), "{message}");
    }
}
