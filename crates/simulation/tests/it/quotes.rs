//! docs/semantics.md says what the tests hold.

use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Words, so that a quotation may be wrapped otherwise.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The guarantees of docs/semantics.md, in order.
fn guarantees() -> Vec<String> {
    let document = std::fs::read_to_string(repository().join("docs/semantics.md")).expect("docs/semantics.md");
    let section = document.split("## Guarantees").nth(1).and_then(|rest| rest.split("\n## ").next());
    let section = words(section.expect("a section `Guarantees`"));
    section.split("**").skip(1).step_by(2).filter(|bold| bold.ends_with('.')).map(str::to_owned).collect()
}

/// What stands in block quotes above the tests of these files.
fn quotations(files: &[&str]) -> String {
    let mut quoted = String::new();
    for file in files {
        let source = std::fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let lines = source.lines().filter_map(|line| line.trim().strip_prefix("/// > "));
        quoted.push_str(&lines.collect::<Vec<_>>().join(" "));
        quoted.push(' ');
    }
    words(&quoted)
}

#[test]
fn every_guarantee_is_quoted_above_the_test_that_holds_it() {
    let guarantees = guarantees();
    assert!(guarantees.len() >= 10, "{guarantees:?}");
    let quoted =
        quotations(&["crates/simulation/tests/it/schedules.rs", "consumers/aggregator/tests/it/guarantees.rs"]);
    let unheld: Vec<_> = guarantees.iter().filter(|guarantee| !quoted.contains(guarantee.as_str())).collect();
    assert!(unheld.is_empty(), "no test quotes {unheld:#?}");
}
