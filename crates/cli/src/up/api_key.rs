//! The key of this machine's gateway: given, or made once and kept in the data directory.

use anyhow::Context as _;
use embedded::API_KEY_FILE;
use rand::Rng as _;
use std::io::ErrorKind;
use std::path::Path;

/// The key in `data_dir`, made now if there is none yet.
pub fn load_or_create(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join(API_KEY_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let key = text.trim().to_owned();
            anyhow::ensure!(!key.is_empty(), "{} is empty; delete it to have a new key made", path.display());
            Ok(key)
        }
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
    fn two_directories_have_two_keys() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_ne!(load_or_create(one.path()).unwrap(), load_or_create(other.path()).unwrap());
    }
}
