//! The key of this machine's gateway: given, or made once and kept in the data directory.

use anyhow::Context as _;
use embedded::API_KEY_FILE;
use rand::Rng as _;
use std::io::ErrorKind;
use std::path::Path;

/// What is wrong with a file that is damaged, and what to do.
const NO_KEY: &str =
    "holds no key; restore it from a backup, or delete it: then a new key is made, which the clients need";

/// The key in `data_dir`, made now if there is none yet.
pub fn load_or_create(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join(API_KEY_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let key = text.trim().to_owned();
            let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
            anyhow::ensure!(is_key, "{} {NO_KEY}", path.display());
            Ok(key)
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => anyhow::bail!("{} {NO_KEY}", path.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => create(&path),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn create(path: &Path) -> anyhow::Result<String> {
    let bytes: [u8; 20] = rand::rng().random();
    let key: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    embedded::write_file(path, format!("{key}\n").as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_readable_by_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let key = load_or_create(directory.path()).unwrap();
        assert_eq!(key.len(), 40);
        assert_eq!(load_or_create(directory.path()).unwrap(), key);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(directory.path().join(API_KEY_FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_file_is_named_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(API_KEY_FILE);
        for bytes in [&b""[..], b"two words\n", b"\xff\xfe", "k\u{e9}y".as_bytes()] {
            std::fs::write(&path, bytes).unwrap();
            let error = load_or_create(directory.path()).unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()) && error.contains("delete it"), "{error}");
        }
    }

    #[test]
    fn two_directories_have_two_keys() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_ne!(load_or_create(one.path()).unwrap(), load_or_create(other.path()).unwrap());
    }
}
