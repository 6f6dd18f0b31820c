//! An error as one line of text.

use std::error::Error;

/// The error with everything that caused it, since a formatter that writes JSON leaves causes out.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
