//! docs/configuration.md and the command say the same.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const SHARED: [&str; 4] = ["--endpoint", "--api-key-file", "--api-key", "--data-dir"];

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
    let shared_by_dlq = flags_under(&document, "`streamgauge dlq`");
    assert!(!shared_by_dlq.is_empty());
    for command in ["send", "put", "stats", "backup"].into_iter().chain(dlq.iter().map(String::as_str)) {
        let mut documented = flags_under(&document, &format!("`streamgauge {command}`"));
        documented.extend(SHARED.map(str::to_owned));
        documented.extend(shared_by_dlq.iter().filter(|_| command.starts_with("dlq ")).cloned());
        assert_eq!(documented, flags_of(command), "{command}");
    }
    for command in ["archive verify", "archive rebuild", "verify"] {
        assert_eq!(flags_under(&document, &format!("`streamgauge {command}`")), flags_of(command));
    }
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

/// The names of alarms in a Terraform module: keys of its maps of alarms, or what follows the module's own name.
fn alarms_of(module: &std::path::Path) -> BTreeSet<String> {
    let files = std::fs::read_dir(module).unwrap().map(|file| file.unwrap().path());
    let text: String = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "tf"))
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    let named = text.split("alarm_name").skip(1).filter_map(|rest| {
        let name = rest.split('"').nth(1)?.strip_prefix("${var.name}-")?;
        (!name.contains('$')).then(|| name.to_owned())
    });
    let maps = ["alarms", "readers"]
        .iter()
        .filter_map(|map| text.split(&format!("\n  {map} = {{\n")).nth(1)?.split("\n  }\n").next());
    let keys = maps.flat_map(str::lines).filter_map(|line| line.strip_prefix("    ")?.strip_suffix(" = {"));
    let mut alarms: BTreeSet<String> = named.collect();
    alarms.extend(keys.filter(|key| !key.starts_with(' ')).map(str::to_owned));
    alarms
}

#[test]
fn every_alarm_in_terraform_has_a_runbook_and_none_is_there_for_what_is_no_alarm() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let document = std::fs::read_to_string(format!("{root}/docs/operations.md")).unwrap();
    let section = document.split("\n### ").find(|section| section.starts_with("Alarms\n")).unwrap();
    let documented: BTreeSet<&str> =
        section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let mut alarms = BTreeSet::new();
    for module in std::fs::read_dir(format!("{root}/terraform/modules")).unwrap() {
        let module = module.unwrap();
        // What each module is called after in the stack: `dead-letters`, `curator`, and the stack's own name.
        let name = module.file_name();
        let prefix = match name.to_str().unwrap() {
            "dead-letter" => "dead-letters-".to_owned(),
            "observability" => String::new(),
            name => format!("{name}-"),
        };
        alarms.extend(alarms_of(&module.path()).into_iter().map(|alarm| format!("{prefix}{alarm}")));
    }
    assert!(alarms.len() >= 25, "{alarms:?}");
    assert_eq!(documented, alarms.iter().map(String::as_str).collect());
}

/// The product's sources under a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_str().unwrap();
        if entry.is_dir() {
            // Models of the product, and what only tests use.
            let is_product = !["tests", "benches", "examples", "simulation", "target"].contains(&name);
            is_product.then(|| sources(&entry, found));
        } else if name.ends_with(".rs") && !name.ends_with("_tests.rs") {
            found.push(entry);
        }
    }
}

/// The text literals of a macro's arguments, from after its opening parenthesis.
fn literals(code: &str) -> Vec<String> {
    let (mut literals, mut text, mut depth, mut characters) = (Vec::new(), None::<String>, 1, code.chars());
    while let Some(character) = characters.next().filter(|_| depth > 0) {
        match (&mut text, character) {
            (Some(_), '"') => literals.extend(text.take()),
            (Some(text), '\\') => text.extend(characters.next()),
            (Some(text), _) => text.push(character),
            (None, '"') => text = Some(String::new()),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
    }
    literals
}

/// The longest part without placeholders of each message that is logged as a warning or an error.
fn logged_in(code: &str) -> Vec<String> {
    let code = code.split("#[cfg(test)]\nmod ").next().unwrap();
    let calls = ["warn!(", "error!("].into_iter().flat_map(|call| code.split(call).skip(1));
    let messages = calls.filter_map(|call| literals(call).pop());
    let fixed = messages.map(|message| {
        let head = message.split(';').next().unwrap().to_owned();
        let parts = head.split('{').map(|part| part.split_once('}').map_or(part, |(_, after)| after).trim());
        parts.max_by_key(|part| part.len()).unwrap_or_default().to_owned()
    });
    // A message that is made elsewhere, as a warning of the storage, has no words here.
    fixed.filter(|part| !part.is_empty()).collect()
}

#[test]
fn every_warning_and_error_of_the_log_has_a_row() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let document = std::fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let document = document.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut files = Vec::new();
    ["crates", "consumers", "producer"].iter().for_each(|folder| sources(&root.join(folder), &mut files));
    let logged: BTreeSet<String> =
        files.iter().flat_map(|file| logged_in(&std::fs::read_to_string(file).unwrap())).collect();
    assert!(logged.len() >= 40, "{logged:?}");
    let missing: Vec<_> = logged.iter().filter(|message| !document.contains(message.as_str())).collect();
    assert!(missing.is_empty(), "docs/operations.md has no row for {missing:#?}");
}

#[test]
fn every_function_on_a_readings_path_is_there() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let document = std::fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let path = document.split("\n## ").find(|section| section.starts_with("A reading's path")).unwrap();
    assert!(path.lines().count() <= 60);
    let mut files = Vec::new();
    ["consumers", "crates", "producer"].iter().for_each(|folder| sources(&root.join(folder), &mut files));
    let code: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let quoted = path.split('`').skip(1).step_by(2).filter(|name| !name.contains(['/', ' ']));
    let names: BTreeSet<&str> =
        quoted.map(|name| name.split('(').next().unwrap().rsplit("::").next().unwrap()).collect();
    let is_there = |name: &str| ["fn", "struct", "enum"].iter().any(|kind| code.contains(&format!("{kind} {name}")));
    let missing: Vec<_> = names.iter().filter(|name| !is_there(name)).collect();
    assert!(names.len() > 20 && missing.is_empty(), "{missing:?} of {names:?}");
}

#[test]
fn every_reason_of_a_dead_letter_has_a_runbook_with_commands_of_its_own() {
    let sections = crate::support::runbook::sections();
    for reason in redrive::ReasonCode::all() {
        let section = sections.iter().find(|section| section.heading == reason.as_str());
        let section = section.unwrap_or_else(|| panic!("docs/operations.md has no section for {reason}"));
        // What is fixed by hand is shown with that.
        let is_named = |commands: &[String]| commands.iter().any(|command| command.contains(reason.as_str()));
        let is_imported = section.commands.iter().any(|command| command.contains("dlq import"));
        assert!(is_named(&section.commands) || is_named(&sections[0].commands) || is_imported, "{reason}");
    }
}
