//! docs/configuration.md and the command say the same.

use std::collections::BTreeSet;
use std::process::Command;

const SHARED: [&str; 3] = ["--endpoint", "--api-key", "--data-dir"];

/// The flags of a command's help, but for `--help` itself.
fn flags_of(command: &str) -> BTreeSet<String> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_streamgauge")).args(command.split(' ')).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    help.lines()
        .map(str::trim_start)
        .filter_map(|line| line.strip_prefix("-h, ").or(Some(line)).filter(|line| line.starts_with("--")))
        .map(|line| line.split([' ', '=']).next().unwrap().to_owned())
        .filter(|flag| flag != "--help")
        .collect()
}

/// The flags in the tables under a heading.
fn flags_under(document: &str, heading: &str) -> BTreeSet<String> {
    let section = document.split("\n## ").find(|section| section.starts_with(heading)).expect(heading);
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `--"))
        .map(|line| format!("--{}", line.split([' ', '`']).next().unwrap()))
        .collect()
}

#[test]
fn every_flag_stands_in_the_configuration_document_and_none_that_is_not_there() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let document = std::fs::read_to_string(path).unwrap();
    assert_eq!(flags_under(&document, "`streamgauge up`"), flags_of("up"));
    assert_eq!(flags_under(&document, "Flags that several commands share"), SHARED.map(str::to_owned).into());
    let dlq =
        ["summary", "list", "show", "redrive", "export", "import", "purge"].map(|command| format!("dlq {command}"));
    assert_eq!(flags_under(&document, "`streamgauge mapping`"), flags_of("mapping"));
    for command in ["send", "put", "stats"].into_iter().chain(dlq.iter().map(String::as_str)) {
        let mut documented = flags_under(&document, &format!("`streamgauge {command}`"));
        documented.extend(SHARED.map(str::to_owned));
        assert_eq!(documented, flags_of(command), "{command}");
    }
    assert_eq!(flags_under(&document, "`streamgauge archive verify`"), flags_of("archive verify"));
}

#[test]
fn every_variable_of_a_lambda_stands_in_the_configuration_document_and_none_that_is_not_there() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let document = std::fs::read_to_string(format!("{root}/docs/configuration.md")).unwrap();
    for function in ["aggregator", "curator"] {
        let code = std::fs::read_to_string(format!("{root}/consumers/{function}/src/context.rs")).unwrap();
        let code = code.split("#[cfg(test)]").next().unwrap();
        let is_variable =
            |text: &&str| text.len() > 5 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        let mut read: BTreeSet<&str> = code.split('"').filter(is_variable).collect();
        assert!(!read.is_empty());
        // What every function's log reads.
        read.insert("AWS_LAMBDA_LOG_LEVEL");
        let heading = format!("The {function}'s Lambda");
        let section = document.split("\n## ").find(|section| section.starts_with(&heading)).expect(&heading);
        let documented: BTreeSet<&str> =
            section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        assert_eq!(documented, read, "{function}");
    }
}
