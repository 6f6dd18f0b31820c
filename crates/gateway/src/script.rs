//! The pages' modules, each page's as the one script that it loads: a browser takes longer to ask for a dozen files
//! than to run them.

use std::sync::LazyLock;

macro_rules! modules {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../dashboards/local/", $name)))),*]
    };
}

const MODULES: &[(&str, &str)] = &modules![
    "bars.js",
    "chart.js",
    "dashboard.js",
    "dead-letters.js",
    "device.js",
    "dom.js",
    "format.js",
    "gateway.js",
    "health.js",
    "letter-filter.js",
    "letter-list.js",
    "letter.js",
    "login.js",
    "overview.js",
    "printable.js",
    "reasons.js",
    "redrive.js",
    "scale.js",
    "shell.js",
    "stream.js",
    "table.js",
];

/// The modules that pages load; the others come with them.
const ENTRIES: [&str; 3] = ["dashboard.js", "dead-letters.js", "login.js"];

static SCRIPTS: LazyLock<[(&str, String); 3]> = LazyLock::new(|| ENTRIES.map(|entry| (entry, script_of(entry))));

/// The script of this name, with all that it imports.
pub(crate) fn script(name: &str) -> Option<&'static str> {
    SCRIPTS.iter().find(|(entry, _)| *entry == name).map(|(_, script)| script.as_str())
}

/// A module behind those that it imports, each once. All share one scope, so that an import names what is there, and no
/// two may have a name in common: a test sees to that.
fn script_of(entry: &str) -> String {
    let mut taken = Vec::new();
    let mut script = String::new();
    take(entry, &mut taken, &mut script);
    script
}

fn take(name: &str, taken: &mut Vec<String>, script: &mut String) {
    if taken.iter().any(|other| other == name) {
        return;
    }
    taken.push(name.to_owned());
    let (_, text) = MODULES.iter().find(|(module, _)| *module == name).expect("a module");
    let mut own = String::new();
    for line in text.lines() {
        match imported(line) {
            Some(other) => take(other, taken, script),
            // What is for who reads the modules.
            None if line.is_empty() || line.trim_start().starts_with("//") => {}
            None => {
                own.push_str(line.strip_prefix("export ").unwrap_or(line));
                own.push('\n');
            }
        }
    }
    script.push_str(&own);
}

/// The module that a line imports: the one form of import there is.
fn imported(line: &str) -> Option<&str> {
    line.strip_prefix("import { ")?.split_once(" } from './")?.1.strip_suffix("';")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The names that a line at the outermost level declares.
    fn declared(line: &str) -> Option<&str> {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let rest = ["const ", "let ", "function ", "class "].iter().find_map(|word| line.strip_prefix(word))?;
        rest.split(|at: char| !(at.is_alphanumeric() || at == '_' || at == '$')).next()
    }

    #[test]
    fn a_pages_modules_stand_once_after_what_they_import_and_share_no_name() {
        for entry in ENTRIES {
            let script = script_of(entry);
            assert!(!script.lines().any(|line| line.starts_with("import") || line.starts_with("export")), "{entry}");
            let mut names = BTreeSet::new();
            for name in script.lines().filter_map(declared) {
                assert!(names.insert(name), "{entry} has two of `{name}`");
            }
            assert!(names.contains("bindTheme"), "{entry}: {names:?}");
        }
    }

    #[test]
    fn every_module_is_part_of_a_page_and_every_import_of_a_name_that_is_there() {
        let scripts = ENTRIES.map(script_of);
        for (name, text) in MODULES {
            let code = |line: &&str| !line.is_empty() && !line.starts_with("//") && imported(line).is_none();
            let first = text.lines().find(code).map(|line| line.strip_prefix("export ").unwrap_or(line)).unwrap();
            assert!(scripts.iter().any(|script| script.lines().any(|line| line == first)), "no page has {name}");
            for line in text.lines().filter(|line| imported(line).is_some()) {
                let (names, _) = line["import { ".len()..].split_once(" }").unwrap();
                let (_, from) = MODULES.iter().find(|(module, _)| Some(*module) == imported(line)).unwrap();
                for wanted in names.split(", ") {
                    let exported = |line: &str| line.strip_prefix("export ").and_then(declared) == Some(wanted);
                    assert!(from.lines().any(exported), "{name} imports `{wanted}`");
                }
            }
        }
    }
}
