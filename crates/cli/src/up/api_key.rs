//! The key of this machine's gateway: given, or made once and kept in the data directory.

use crate::api_key::{ApiKey, ApiKeyArgs, read_file};
use anyhow::Context as _;
use embedded::API_KEY_FILE;
use rand::Rng as _;
use std::path::Path;

/// What to do where the file is damaged.
const REMEDY: &str = "; restore it from a backup, or delete it: then a new key is made, which the clients need";

/// The key that was given, if one was.
pub fn given(args: &ApiKeyArgs) -> anyhow::Result<Option<ApiKey>> {
    let given = args.given()?;
    if let Some(warning) = args.warning() {
        tracing::warn!("{warning}");
    }
    Ok(given)
}

/// The given key, else the one in the data directory; its file as an absolute path.
pub fn given_or_kept(given: Option<ApiKey>, data_dir: &Path) -> anyhow::Result<ApiKey> {
    let ApiKey { key, file } = given.map_or_else(|| load_or_create(data_dir), Ok)?;
    Ok(ApiKey { key, file: file.map(|path| std::path::absolute(&path).unwrap_or(path)) })
}

/// The key in `data_dir`, made now if there is none yet.
fn load_or_create(data_dir: &Path) -> anyhow::Result<ApiKey> {
    let path = data_dir.join(API_KEY_FILE);
    let key = match path.try_exists() {
        Ok(false) => create(&path)?,
        _ => read_file(&path, REMEDY)?,
    };
    Ok(ApiKey { key, file: Some(path) })
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
        let ApiKey { key, file } = load_or_create(directory.path()).unwrap();
        assert_eq!(file, Some(directory.path().join(API_KEY_FILE)));
        assert_eq!(key.len(), 40);
        assert_eq!(load_or_create(directory.path()).unwrap().key, key);
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
        for bytes in
            [&b""[..], b"fifteen-letters\n", b"these are five words\n", &[0xff; 20], "sixteen-\u{e9}s-too-".as_bytes()]
        {
            std::fs::write(&path, bytes).unwrap();
            let error = load_or_create(directory.path()).err().unwrap().to_string();
            assert!(error.contains(path.to_str().unwrap()) && error.contains("delete it"), "{error}");
        }
    }

    #[test]
    fn two_directories_have_two_keys() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_ne!(load_or_create(one.path()).unwrap().key, load_or_create(other.path()).unwrap().key);
    }
}
