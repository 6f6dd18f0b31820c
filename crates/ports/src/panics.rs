//! Panics of libraries that read files, as errors.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// A library panicked over what it read: the file is damaged in a way it doesn't check for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reading it failed: {0}")]
pub struct ReadPanic(String);

thread_local! {
    /// How many calls of [`catch_panic`] this thread is in.
    static CATCHING: Cell<u32> = const { Cell::new(0) };
}

/// Runs `read`; a panic in it becomes an error with the panic's message, and prints nothing.
///
/// For readers of files only: after a panic, drop what `read` worked on.
///
/// # Errors
/// [`ReadPanic`].
pub fn catch_panic<T>(read: impl FnOnce() -> T) -> Result<T, ReadPanic> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.get() == 0 {
                print(info);
            }
        }));
    });
    CATCHING.set(CATCHING.get() + 1);
    let result = panic::catch_unwind(AssertUnwindSafe(read));
    CATCHING.set(CATCHING.get() - 1);
    result.map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        ReadPanic(text.unwrap_or_else(|| "a panic without a message".to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_message() {
        assert_eq!(catch_panic(|| 7), Ok(7));
        assert_eq!(catch_panic(|| panic!("page 3")), Err::<(), _>(ReadPanic("page 3".to_owned())));
        assert_eq!(catch_panic(|| panic!("page {}", 4)), Err::<(), _>(ReadPanic("page 4".to_owned())));
        assert_eq!(CATCHING.get(), 0);
    }
}
