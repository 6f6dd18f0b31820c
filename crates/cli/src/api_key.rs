//! The API key as commands get it: from a file, a variable or a flag; and how it is kept out of lists of processes.

use anyhow::{Context as _, Result, anyhow};
use gateway::check_api_key;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const FLAG: &[u8] = b"--api-key";
const VARIABLE: &str = "STREAMGAUGE_API_KEY";

/// What is read of a key's file: more than the longest key with line breaks, and little of a file that is something else.
const FILE_BYTES_MAX: u64 = 4096;

/// The flags that give a key.
#[derive(clap::Args, Clone)]
pub struct ApiKeyArgs {
    /// A file that holds the API key; without it the variable STREAMGAUGE_API_KEY, else the key in the data directory
    #[arg(long, value_name = "FILE", conflicts_with = "api_key")]
    api_key_file: Option<PathBuf>,
    /// The API key itself; better --api-key-file or the variable: others may see a flag in the list of processes
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
}

/// A key and the file that holds it; no file where a flag or the variable gave the key.
pub struct ApiKey {
    pub key: String,
    pub file: Option<PathBuf>,
}

impl ApiKeyArgs {
    /// The key that was given, if one was.
    pub fn given(&self) -> Result<Option<ApiKey>> {
        self.given_with(std::env::var_os(VARIABLE))
    }

    /// Flags come before the variable. An empty variable is an unset one.
    fn given_with(&self, variable: Option<OsString>) -> Result<Option<ApiKey>> {
        if let Some(path) = &self.api_key_file {
            let key = read_file(path, "").context("--api-key-file")?;
            return Ok(Some(ApiKey { key, file: Some(path.clone()) }));
        }
        let variable = variable.map(|value| value.to_string_lossy().into_owned());
        let Some(key) = self.api_key.clone().or(variable).filter(|key| !key.is_empty()) else { return Ok(None) };
        // Which of the two it was cannot be told after `hide_flag`.
        check_api_key(&key).context("--api-key or STREAMGAUGE_API_KEY")?;
        Ok(Some(ApiKey { key, file: None }))
    }

    /// A warning for the file's owner where others can read the key.
    pub fn warning(&self) -> Option<String> {
        let path = self.api_key_file.as_ref()?;
        let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let is_private = metadata.permissions().mode() & 0o044 == 0;
        (!is_private).then(|| format!("other users can read the API key in {0}: chmod 600 {0}", path.display()))
    }
}

/// The key in a file, without the line break at its end. Where the file holds none, `remedy` closes the message.
pub fn read_file(path: &Path, remedy: &str) -> Result<String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {}", path.display()))?;
    let key = String::from_utf8_lossy(bytes.trim_ascii()).into_owned();
    check_api_key(&key).map_err(|rule| anyhow!("{} holds no key: {rule}{remedy}", path.display()))?;
    Ok(key)
}

/// Where the flag gave a key, starts this program again as the same process, with the key in the variable: anybody on
/// the machine may list the arguments of a process, but only its user can read its variables. Call it once the
/// arguments are known to be valid.
pub fn hide_flag() {
    let mut arguments = std::env::args_os();
    let Some(program) = arguments.next() else { return };
    let Some((key, rest)) = without_flag(arguments) else { return };
    if let Ok(executable) = std::env::current_exe() {
        // It returns only where it failed; then the key works all the same.
        let _ = Command::new(executable).arg0(program).args(rest).env(VARIABLE, key).exec();
    }
}

/// The flag's value, and the other arguments; `None` without the flag.
fn without_flag(arguments: impl Iterator<Item = OsString>) -> Option<(OsString, Vec<OsString>)> {
    let (mut key, mut rest) = (None, Vec::new());
    let mut arguments = arguments.fuse();
    while let Some(argument) = arguments.next() {
        match argument.as_bytes().strip_prefix(FLAG) {
            Some(b"") => key = Some(arguments.next()?),
            Some([b'=', value @ ..]) => key = Some(OsStr::from_bytes(value).to_owned()),
            _ if argument == "--" => {
                rest.push(argument);
                rest.extend(arguments.by_ref());
            }
            _ => rest.push(argument),
        }
    }
    Some((key?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a-key-of-sixteen";

    impl ApiKeyArgs {
        /// As if `--api-key` were given.
        pub fn flag(api_key: Option<&str>) -> Self {
            ApiKeyArgs { api_key_file: None, api_key: api_key.map(str::to_owned) }
        }

        fn file(path: &Path) -> Self {
            ApiKeyArgs { api_key_file: Some(path.to_owned()), api_key: None }
        }
    }

    #[test]
    fn a_file_and_a_flag_come_before_the_variable() {
        let variable = || Some(OsString::from("the-variables-own-key"));
        let key_of = |args: ApiKeyArgs, variable| args.given_with(variable).unwrap().map(|given| given.key);
        assert_eq!(key_of(ApiKeyArgs::flag(None), None), None);
        assert_eq!(key_of(ApiKeyArgs::flag(None), Some(OsString::new())), None, "an empty variable is none");
        assert_eq!(key_of(ApiKeyArgs::flag(None), variable()).unwrap(), "the-variables-own-key");
        assert_eq!(key_of(ApiKeyArgs::flag(Some(KEY)), variable()).unwrap(), KEY);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        for text in [KEY.to_owned(), format!("{KEY}\n"), format!("{KEY}\r\n")] {
            std::fs::write(&path, text).unwrap();
            let given = ApiKeyArgs::file(&path).given_with(variable()).unwrap().unwrap();
            assert_eq!((given.key.as_str(), given.file.as_deref()), (KEY, Some(path.as_path())));
        }
    }

    #[test]
    fn a_key_that_breaks_the_rule_is_refused_and_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        for bad in
            ["fifteen-letters", "a key of words and spaces", "sixteen-ümlauts-", &"x".repeat(513), &"x".repeat(9999)]
        {
            std::fs::write(&path, bad).unwrap();
            let variable = ApiKeyArgs::flag(None).given_with(Some(bad.into()));
            let flag = ApiKeyArgs::flag(Some(bad)).given_with(None);
            let file = ApiKeyArgs::file(&path).given_with(None);
            for (given, place) in [(flag, "--api-key"), (variable, "STREAMGAUGE_API_KEY"), (file, "--api-key-file: /")]
            {
                let message = format!("{:#}", given.err().unwrap());
                assert!(message.contains(place) && message.contains("16 to 512"), "{message}");
                assert!(!message.contains(bad), "{message}");
            }
        }
        for (text, said) in [(Some(""), "holds no key: an API key has 16"), (None, "cannot read")] {
            let _ = std::fs::remove_file(&path);
            text.inspect(|text| std::fs::write(&path, text).unwrap());
            let message = format!("{:#}", ApiKeyArgs::file(&path).given_with(None).err().unwrap());
            assert!(message.contains(said) && message.contains(path.to_str().unwrap()), "{message}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_warned_of() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, KEY).unwrap();
        for (mode, warned) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(ApiKeyArgs::file(&path).warning().is_some(), warned, "{mode:o}");
        }
        assert!(ApiKeyArgs::flag(Some(KEY)).warning().is_none());
    }

    #[test]
    fn the_flag_is_taken_out_in_both_forms() {
        let split = |text: &str| {
            let (key, rest) = without_flag(text.split(' ').map(OsString::from))?;
            Some((key.into_string().unwrap(), rest.join(OsStr::new(" ")).into_string().unwrap()))
        };
        let expected = |key: &str, rest: &str| Some((key.to_owned(), rest.to_owned()));
        assert_eq!(split("up --api-key k --port 0"), expected("k", "up --port 0"));
        assert_eq!(split("up --port 0 --api-key=k=k"), expected("k=k", "up --port 0"));
        assert_eq!(split("stats --api-key k -- --api-key x"), expected("k", "stats -- --api-key x"));
        assert_eq!(split("up --api-key-file f --port 0"), None);
        assert_eq!(split("up --api-key-file=f"), None);
        assert_eq!(split("stats -- --api-key x"), None);
    }
}
