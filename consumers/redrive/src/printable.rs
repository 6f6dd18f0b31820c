//! Text from elsewhere, made fit for a terminal.
//!
//! What a dead letter holds was refused, so it may be anything: a terminal's commands, characters that turn the line
//! round or hide in it, bytes that are no text. Everything that is printed goes through this one place.

/// Text whose only control character is the line feed: every other one, and every invisible or direction-changing
/// character, stands as JSON escapes it (`\u001b`). Applied to JSON, it stays the same JSON.
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' || !is_unsafe(character) {
            printable.push(character)
        } else {
            escape(character, &mut printable)
        }
    }
    printable
}

/// As [`printable`], on one line: line feeds are escaped too, so that no text can pretend to be a line of ours.
pub fn printable_line(text: &str) -> String {
    printable(text).replace('\n', "\\u000a")
}

/// As [`printable_line`], of bytes: those that are not UTF-8 stand as `\xff`.
pub fn printable_bytes(bytes: &[u8]) -> String {
    let mut line = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        line.push_str(&printable_line(chunk.valid()));
        for byte in chunk.invalid() {
            line.push_str(&format!("\\x{byte:02x}"));
        }
    }
    line
}

fn escape(character: char, into: &mut String) {
    // As JSON does it: beyond the first plane in two halves.
    for unit in character.encode_utf16(&mut [0; 2]) {
        into.push_str(&format!("\\u{unit:04x}"));
    }
}

/// Control characters, format characters (Unicode's general category Cf), the line and paragraph separators, fillers
/// that look like spaces or like nothing, variation selectors, and what is no character.
fn is_unsafe(character: char) -> bool {
    let code = u32::from(character);
    character.is_control()
        || code & 0xfffe == 0xfffe
        || matches!(code,
            0xad | 0x34f | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x890..=0x891 | 0x8e2 | 0x115f..=0x1160
            | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x2800 | 0x3164
            | 0xfdd0..=0xfdef | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0x110bd | 0x110cd
            | 0x13430..=0x1343f | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands_to_a_terminal_and_hidden_characters_are_shown_as_json_escapes_them() {
        assert_eq!(printable("a\u{1b}[2J\u{9b}\tä\n"), "a\\u001b[2J\\u009b\\u0009ä\n");
        assert_eq!(printable_line("x\r\ny\u{202e}z\u{200b}\u{2028}"), "x\\u000d\\u000ay\\u202ez\\u200b\\u2028");
        assert_eq!(printable("\u{e0041}\u{1f600}"), "\\udb40\\udc41\u{1f600}");
        assert_eq!(printable_bytes(b"\xff\xfe{\x00\x7f\n"), "\\xff\\xfe{\\u0000\\u007f\\u000a");
    }

    /// The characters of a class of Unicode's own properties, from another crate's tables.
    fn characters(class: &str) -> Vec<char> {
        use regex_syntax::hir::{Class, HirKind};
        let hir = regex_syntax::Parser::new().parse(class).expect("a class");
        let HirKind::Class(Class::Unicode(class)) = hir.kind() else { panic!("{class} is no class") };
        class.ranges().iter().flat_map(|range| range.start()..=range.end()).collect()
    }

    #[test]
    fn no_character_that_unicode_calls_control_format_separator_bidi_or_ignorable_leaves() {
        let class = r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\p{Variation_Selector}\p{Noncharacter_Code_Point}]";
        let characters = characters(class);
        assert!(characters.len() > 4000, "{}", characters.len());
        for character in characters {
            let text = character.to_string();
            for printed in [printable(&text), printable_line(&text), printable_bytes(text.as_bytes())] {
                let is_kept = printed == "\n" && character == '\n';
                assert!(
                    is_kept || (printed.is_ascii() && printed.starts_with("\\u")),
                    "U+{:04X}",
                    u32::from(character)
                );
            }
        }
    }

    #[test]
    fn no_byte_alone_or_after_another_leaves_as_a_control() {
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                let line = printable_bytes(&[first, second]);
                assert!(line.chars().all(|c| !c.is_control()), "{first:02x} {second:02x}: {line:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_printed_has_a_control_character_but_the_line_feed(bytes: Vec<u8>, text: String) {
            for printed in [printable(&text), printable_line(&text), printable_bytes(&bytes)] {
                prop_assert!(printed.chars().all(|c| c == '\n' || !is_unsafe(c)), "{printed:?}");
            }
            let line = printable_bytes(&bytes);
            prop_assert!(!line.contains('\n'));
        }

        #[test]
        fn json_stays_the_same_json(text in "(\\PC|\\p{Cf}|\\p{Cc}|[\u{e0000}-\u{e0fff}\u{fffe}])*") {
            let json = serde_json::to_string(&[&text]).unwrap();
            let read: Vec<String> = serde_json::from_str(&printable(&json)).unwrap();
            prop_assert_eq!(&read[0], &text);
        }

        #[test]
        fn what_is_printable_stays_as_it_is(text in "[ -~äöüß€漢\u{1f600}\n]*") {
            prop_assert_eq!(printable(&text), text);
        }
    }
}
