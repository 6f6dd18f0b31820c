//! docs/operations.md as an operator uses it: every command of its dead letters, in its order, by a shell.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");

/// The commands under one heading.
#[derive(Debug)]
pub struct Section {
    pub heading: String,
    pub commands: Vec<String>,
}

/// The sections of "Dead letters" with their commands, but for those that say where they are run.
pub fn sections() -> Vec<Section> {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let part = document.split("\n## ").find(|part| part.starts_with("Dead letters\n")).unwrap();
    let mut sections = Vec::new();
    for section in part.split("\n### ") {
        let (heading, text) = section.split_once('\n').unwrap();
        let blocks = text.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
        let commands = blocks.flat_map(str::lines).map(str::to_owned).collect();
        sections.push(Section { heading: heading.trim_matches('`').to_owned(), commands });
    }
    sections
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub command: String,
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A shell in a folder of its own, in which `streamgauge` is the one that was built.
pub struct Shell {
    folder: tempfile::TempDir,
    environment: BTreeMap<String, String>,
    /// Flags that every command gets, in the place of a default that a test cannot have.
    flags: String,
}

impl Shell {
    pub fn new(environment: &[(&str, &str)], flags: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let binaries = Path::new(env!("CARGO_BIN_EXE_streamgauge")).parent().unwrap().to_str().unwrap().to_owned();
        let path = format!("{binaries}:{}", std::env::var("PATH").unwrap());
        let mut environment: BTreeMap<String, String> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        environment.insert("PATH".to_owned(), path);
        let editor = folder.path().join("editor");
        environment.insert("EDITOR".to_owned(), editor.to_str().unwrap().to_owned());
        Shell { folder, environment, flags: flags.to_owned() }
    }

    /// What `$EDITOR` does with the file it is given: a program for `python3` or `sed`, as a script.
    pub fn editor(&self, script: &str) {
        let path: PathBuf = self.folder.path().join("editor");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a command of the document; `ID` stands for a letter's id.
    pub fn run(&self, command: &str, id: &str) -> Ran {
        let is_purge = command.starts_with("streamgauge dlq purge ");
        let command = command.replace("show ID", &format!("show {id}"));
        let command = command.replace("--id ID", &format!("--id {id}")).replace("\"ID\"", &format!("\"{id}\""));
        // Here nobody can be asked.
        let flags = if is_purge { format!("{} --yes", self.flags) } else { self.flags.clone() };
        let shell = format!("streamgauge() {{ command streamgauge \"$@\" {flags}; }}\n{command}");
        let output = Command::new("bash")
            .args(["-euc", &shell])
            .current_dir(self.folder.path())
            .env_remove("STREAMGAUGE_API_KEY")
            .envs(&self.environment)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        let is_safe = |text: &str| text.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}'));
        assert!(is_safe(&out) && is_safe(&err), "{command}: {out:?} {err:?}");
        let code = output.status.code().unwrap();
        // 1 says that some letters stay, which the document's order of commands brings with it.
        assert!(code == 0 || code == 1, "{command} exits {code}: {out} {err}");
        Ran { command, code, out, err }
    }

    /// Runs a command with `--format json`, which must do.
    pub fn json(&self, command: &str) -> serde_json::Value {
        let ran = self.run(&format!("{command} --format json"), "");
        assert_eq!(ran.code, 0, "{ran:?}");
        serde_json::from_str(&ran.out).unwrap()
    }

    /// The ids of the letters of a reason.
    pub fn ids(&self, reason: &str) -> Vec<String> {
        let letters = self.json(&format!("streamgauge dlq list --limit 1000 --reason {reason}"));
        letters.as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect()
    }
}
