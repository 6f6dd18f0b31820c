//! What every [`Archive`] does.

use crate::{Archive, ArchiveError};

async fn put<A: Archive>(archive: &A, key: &str) {
    archive.put(key, key.as_bytes().to_vec()).await.expect("stored");
}

/// A key that was never put has no object.
pub async fn an_absent_object_is_none<A: Archive>(archive: &A) {
    assert_eq!(archive.get("raw/nothing").await.expect("an answer"), None);
    assert_eq!(archive.list("", None, 10).await.expect("keys"), Vec::<String>::new());
}

/// Objects come back to the byte, the empty one too.
pub async fn objects_come_back_to_the_byte<A: Archive>(archive: &A) {
    let all_bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for (key, bytes) in [("raw/dt=2026-01-31/hour=07/a b.gz", all_bytes), ("empty", Vec::new())] {
        archive.put(key, bytes.clone()).await.expect("stored");
        assert_eq!(archive.get(key).await.expect("an answer"), Some(bytes));
    }
}

/// A second put under a key replaces the first, shorter or longer.
pub async fn a_second_put_replaces_the_first<A: Archive>(archive: &A) {
    for bytes in [vec![1; 1000], vec![2; 10], vec![3; 5000]] {
        archive.put("a/b", bytes.clone()).await.expect("stored");
        assert_eq!(archive.get("a/b").await.expect("an answer"), Some(bytes));
    }
    assert_eq!(archive.list("", None, 10).await.expect("keys"), ["a/b"]);
}

/// Lists are in byte order, where `-` and `.` come before `/`, and a prefix may end anywhere.
pub async fn lists_are_in_byte_order<A: Archive>(archive: &A) {
    let mut keys = vec!["a-b/c", "a/b/c", "a/b/d", "a.b", "b", "a/c", "A", "a-c", "ab/c", "a/b-c", "ü/x"];
    for key in &keys {
        put(archive, key).await;
    }
    keys.sort_unstable();
    assert_eq!(archive.list("", None, 100).await.expect("keys"), keys);
    for prefix in ["a", "a/", "a/b", "a/b/", "a-", "ab", "c", "ü", "a/b/c", "a/b/c/d", "b"] {
        let expected: Vec<_> = keys.iter().filter(|key| key.starts_with(prefix)).copied().collect();
        assert_eq!(archive.list(prefix, None, 100).await.expect("keys"), expected, "prefix {prefix}");
    }
}

/// Reading on after any key, or after what is none, brings every later key once.
pub async fn lists_read_on_after_any_key<A: Archive>(archive: &A) {
    let mut keys: Vec<_> = (0..30).map(|n| format!("raw/hour={:02}/{n}.gz", n % 4)).collect();
    keys.extend(["raw-/x".to_owned(), "raw0".to_owned()]);
    for key in &keys {
        put(archive, key).await;
    }
    keys.sort_unstable();
    for limit in [1, 7, 100] {
        let mut found: Vec<String> = Vec::new();
        loop {
            let page = archive.list("raw", found.last().map(String::as_str), limit).await.expect("keys");
            assert!(page.len() <= limit);
            let Some(first) = page.first() else { break };
            assert!(found.last() < Some(first), "{first} does not come after what it was to follow");
            found.extend(page);
        }
        assert_eq!(found, keys, "limit {limit}");
    }
    for after in ["", "raw", "raw/", "raw/hour=02", "raw/hour=02/", "raw/hour=0", "raw/zzz", "z"] {
        let expected: Vec<_> = keys.iter().filter(|key| key.as_str() > after).cloned().collect();
        assert_eq!(archive.list("", Some(after), 100).await.expect("keys"), expected, "after {after}");
    }
}

/// Keys that could leave the archive, or name no object, are refused.
pub async fn invalid_keys_are_refused<A: Archive>(archive: &A) {
    for key in ["", "/a", "a//b", "..", "../a", "a/../b", "a/..", "./a", "a/.", "a/"] {
        let put = archive.put(key, b"x".to_vec()).await;
        assert!(matches!(put, Err(ArchiveError::InvalidKey(_))), "`{key}`: {put:?}");
        let get = archive.get(key).await;
        assert!(matches!(get, Err(ArchiveError::InvalidKey(_))), "`{key}`: {get:?}");
    }
    assert_eq!(archive.list("", None, 10).await.expect("keys"), Vec::<String>::new());
}

/// Of puts under one key at the same time one stands, whole.
pub async fn puts_at_the_same_time_leave_one_whole_object<A: Archive>(archive: &A) {
    let puts = (0..8u8).map(|n| archive.put("shared/key", vec![n; 100_000 + usize::from(n)]));
    for result in super::join_all(puts).await {
        result.expect("stored");
    }
    let bytes = archive.get("shared/key").await.expect("an answer").expect("an object");
    assert_eq!(bytes, vec![bytes[0]; 100_000 + usize::from(bytes[0])]);
}

/// Makes one test of each fact; `$make` gives `(archive, guard)`.
#[macro_export]
macro_rules! archive_contract {
    ($make:path) => {
        $crate::contract_tests!(
            archive,
            $make,
            [
                an_absent_object_is_none,
                objects_come_back_to_the_byte,
                a_second_put_replaces_the_first,
                lists_are_in_byte_order,
                lists_read_on_after_any_key,
                invalid_keys_are_refused,
                puts_at_the_same_time_leave_one_whole_object,
            ]
        );
    };
}
