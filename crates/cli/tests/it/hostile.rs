//! Payloads, names and keys made to break what shows them: every command of `dlq` prints them in every format, and no
//! control character, no direction change and no invisible character reaches the terminal.

use crate::support::{Pipeline, assert_reconciled, streamgauge};
use serde_json::Value;
use serde_json::value::RawValue;
use std::io::Write as _;
use std::process::{Output, Stdio};

/// Texts that break JSON parsers, or what prints their input: one fault each.
fn torture() -> Vec<Vec<u8>> {
    let mut cases: Vec<Vec<u8>> = [
        // Nothing, white space, and what is none in JSON.
        "", " ", "\t\n\r ", "\u{a0}{}", "\u{2003}{}", "{}\u{2028}", "\u{b}{}", "\u{c}{}", "\u{feff}{}", "{}\u{feff}", "\0", "{}\0", "{\0}",
        // Literals.
        "null", "true", "false", "nul", "NULL", "True", "nullnull", "undefined", "NaN", "Infinity", "-Infinity", "nan", "+inf",
        // Numbers.
        "0", "-0", "-0.0", "00", "01", "-01", "+1", "1.", ".1", "-.1", "1.e1", "1e", "1e+", "1E400", "-1e400", "1e-400", "0x10", "0b1",
        "1_000", "1,5", "--1", "1-", "1e1.5", "１", "٣", "1\u{200b}2", "9007199254740993", "123456789012345678901234567890",
        "1.7976931348623157e308", "1.7976931348623159e308", "5e-324", "1e99999999999999999999",
        // Strings.
        "\"", "\"a", "'a'", "\"\t\"", "\"\n\"", "\"\u{0}\"", "\"\\", "\"\\\"", "\"\\x41\"", "\"\\u\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\u{1f600}\"",
        "\"\\ud800\"", "\"\\udfff\"", "\"\\ud800\\u0041\"", "\"\\ud83d\\ud83d\"", "\"\\udc00\\ud800\"", "\"\\uD83D\\uDE00\"", "\"\\u0000\"",
        "\"\\u001b[2J\"", "\"\\u202e\"", "\"\\ufeff\"", "\"\\uffff\"", "\"\u{7f}\"", "\"\u{85}\"", "\"\u{2029}\"", "\"\u{10ffff}\"",
        // Arrays.
        "[", "]", "[]", "[,]", "[1,]", "[,1]", "[1,,2]", "[1 2]", "[1", "[1,", "[[]", "[]]", "[}", "(1)", "[1];", "[...]",
        // Objects.
        "{", "}", "{}", "{,}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{:1}", "{a:1}", "{'a':1}", "{1:1}", "{\"a\" 1}", "{\"a\":1 \"b\":2}",
        "{\"a\":1;\"b\":2}", "{\"a\"::1}", "{\"a\":1}}", "{}{}", "{}[]", "{\"a\":1}x", "{\"a\":1}//", "{\"a\":/**/1}", "#\n{}", "{\"a\":1]",
        "{\"\":{\"\":{\"\":[]}}}", "{\"a\":1,\"a\":1}", "{\"a\":1,\"\\u0061\":2}", "{\"__proto__\":null}",
        // Readings, one member wrong.
        r#"{"device_id":"d","device_id":"e","timestamp":"2026-01-01T00:00:00Z","value":1}"#,
        r#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":1,"value":1}"#,
        r#"{"device_id":"\ud800","timestamp":"2026-01-01T00:00:00Z","value":1}"#,
        r#"{"device_id":"d\u0000","timestamp":"2026-01-01T00:00:00Z","value":1}"#,
        r#"{"device_id":"d","timestamp":"\u001b]0;x\u0007","value":1}"#,
        r#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":1e999}"#,
        r#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":"1"}"#,
        r#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":[[[[1]]]]}"#,
        r#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":1,"event_id":"\u202e"}"#,
        r#"{"device_id":"d","readings":[{"timestamp":"\u009b31m","value":1},{"timestamp":"2026-01-01T00:00:00Z","value":{}}]}"#,
        r#"{"device_id":"d","readings":"\u001b[31m"}"#,
    ]
    .map(|text: &str| text.as_bytes().to_vec())
    .into();
    cases.extend(nested());
    cases.extend(no_utf8());
    cases
}

/// 256 KiB of nesting, closed or not, and long things.
fn nested() -> Vec<Vec<u8>> {
    // A little under 256 KiB, which is what the stream of one machine takes with the partition key.
    let half = 127 * 1024;
    let twice = |open: &str, close: &str| open.repeat(half / open.len()) + &close.repeat(half / open.len());
    let mut cases = vec![
        "[".repeat(2 * half),
        twice("[", "]"),
        "{\"a\":".repeat(2 * half / 5),
        twice("{\"a\":", "}"),
        "[{\"a\":".repeat(2 * half / 6),
        "(".repeat(2 * half),
        format!("{{\"device_id\":\"d\",\"timestamp\":{},\"value\":1}}", twice("[", "]")),
        format!("{{\"value\":\"{}\"}}", "\u{1b}[1m".repeat(half / 4)),
        format!("{{\"{}\":1}}", "\u{202e}".repeat(half / 3)),
        format!("{{\"value\":{}}}", "9".repeat(2 * half)),
        format!("\"{}\"", "\\u001b".repeat(half / 6)),
    ];
    cases.push("\u{10ffff}".repeat(half / 4));
    cases.into_iter().map(String::into_bytes).collect()
}

/// Bytes that are not UTF-8, alone and inside a string.
fn no_utf8() -> Vec<Vec<u8>> {
    let sequences: [&[u8]; 14] = [
        b"\xff",
        b"\xfe\xff",
        b"\xff\xfe{\x00}\x00",
        b"\x80",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x80\x9b",
        b"\xed\xa0\x80",
        b"\xf0\x80\x80\x9b",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xe2\x80",
        b"\xf0\x9f\x98",
        b"\x9b31m",
    ];
    let inside = |bytes: &&[u8]| [b"{\"value\":\"".as_slice(), bytes, b"\"}"].concat();
    let mut cases: Vec<Vec<u8>> = sequences.iter().map(inside).collect();
    cases.extend(sequences.map(<[u8]>::to_vec));
    cases.push((0..=255).collect());
    cases.push((0..=255).rev().collect());
    cases
}

/// Strings that have broken programs which print, quote, format or expand them.
const NAUGHTY: &[&str] = &[
    // CSI, OSC, DCS, APC, PM, SOS, in their 7-bit and 8-bit forms, and what ends them.
    "\u{1b}[2J\u{1b}[H",
    "\u{1b}[31;1mred",
    "\u{1b}]0;title\u{7}",
    "\u{1b}]52;c;cm0gLXJm\u{1b}\\",
    "\u{1b}]8;;http://x\u{1b}\\link",
    "\u{1b}P+q544e\u{1b}\\",
    "\u{1b}_Ga=T\u{1b}\\",
    "\u{1b}^pm\u{1b}\\",
    "\u{1b}Xsos\u{1b}\\",
    "\u{1b}c",
    "\u{1b}#8",
    "\u{1b}[6n",
    "\u{9b}2J",
    "\u{9d}0;title\u{9c}",
    "\u{90}x\u{9c}",
    "\u{9f}x\u{9c}",
    "\u{9e}x\u{9c}",
    "\u{98}x\u{9c}",
    "\u{84}\u{85}\u{88}\u{8d}",
    "\r\noverwritten",
    "a\u{8}\u{8}b",
    "\u{7}\u{7}",
    "\u{e}\u{f}",
    "\u{5}",
    "\u{11}\u{13}",
    "\u{1a}",
    "\u{7f}\u{7f}",
    "\u{b}\u{c}",
    // Direction and what hides.
    "\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}gnp.exe",
    "\u{2066}a\u{2067}b\u{2068}c\u{2069}",
    "\u{200e}\u{200f}\u{61c}",
    "\u{feff}",
    "\u{200b}\u{200c}\u{200d}\u{2060}",
    "\u{ad}",
    "\u{180e}",
    "\u{115f}\u{1160}\u{3164}\u{ffa0}",
    "\u{2800}",
    "a\u{fe0f}b\u{fe00}",
    "\u{e0001}\u{e0061}\u{e007f}",
    "\u{e0100}",
    "\u{1d173}",
    "\u{fff9}a\u{fffa}b\u{fffb}",
    "\u{2028}\u{2029}",
    "\u{fdd0}\u{ffff}\u{1ffff}",
    // What shells, formatters, loggers and browsers expand.
    "$(id)",
    "`id`",
    "%s%n%x%d",
    "{0}{}{{}}",
    "${jndi:ldap://x}",
    "<script>alert(1)</script>",
    "'; DROP TABLE x;--",
    "../../etc/passwd",
    "-rf",
    "--apply",
    "CON",
    "\\",
    "\"",
    "'",
    "|",
    "&&",
    "~",
    "*",
    "=1+1",
    "@SUM(1)",
    "\u{0}",
    "NaN",
    "null",
    "undefined",
    // Long or stacked.
    "a\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}\u{309}\u{30a}\u{30b}\u{30c}",
    "\u{fdfd}",
    "ẞßſ",
    "İı",
    "日本語",
];

/// Whether text may reach a terminal: no control but the line feed, nothing that changes direction or hides.
fn assert_safe(command: &str, text: &str) {
    let unsafe_characters = [
        0x200b..=0x200f_u32,
        0x2028..=0x202e,
        0x2060..=0x206f,
        0xfeff..=0xfeff,
        0xe0000..=0xe0fff,
        0xfff0..=0xfffb,
        0x61c..=0x61c,
        0xad..=0xad,
        0x180b..=0x180f,
        0xfe00..=0xfe0f,
        0x115f..=0x1160,
        0x3164..=0x3164,
        0xffa0..=0xffa0,
        0x2800..=0x2800,
    ];
    for character in text.chars() {
        let code = u32::from(character);
        let is_safe = character == '\n'
            || !(character.is_control() || unsafe_characters.iter().any(|range| range.contains(&code)));
        assert!(is_safe, "{command} prints U+{code:04X}");
    }
}

fn dlq(up: &Pipeline, arguments: &[&str]) -> (i32, String) {
    let mut command = streamgauge();
    let output: Output =
        command.arg("dlq").args(arguments).args(["--endpoint", up.url(), "--api-key", up.key()]).output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_safe(&arguments.join(" "), &out);
    assert_safe(&arguments.join(" "), &err);
    assert!(err.lines().count() <= 3 && !err.contains("panicked"), "{arguments:?}: {err}");
    (output.status.code().unwrap(), out)
}

fn put(up: &Pipeline, partition_key: &str, record: &[u8]) {
    let mut command = streamgauge();
    command.args(["put", "--endpoint", up.url(), "--api-key", up.key(), "--partition-key", partition_key, "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(record).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Puts everything hostile past the front door; how many records that is.
fn attack(up: &Pipeline) -> usize {
    let mut records = 0;
    for case in torture() {
        put(up, "torture", &case);
        records += 1;
    }
    for &text in NAUGHTY {
        let quoted = serde_json::to_string(text).unwrap();
        // As it stands and escaped, as a name, a value, and a partition key.
        put(up, "naughty", text.as_bytes());
        put(up, "naughty", format!("{{\"device_id\":{quoted},\"timestamp\":{quoted},\"value\":{quoted}}}").as_bytes());
        put(up, "naughty", format!("{{\"device_id\":\"d\",{quoted}:1,{quoted}:2}}").as_bytes());
        let key = if text.contains('\0') || text.starts_with('-') { "key" } else { text };
        put(up, key, br#"{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","value":0}"#);
        records += 4;
    }
    records
}

#[test]
fn nothing_hostile_reaches_the_terminal_in_any_command_and_format() {
    let directory = tempfile::tempdir().unwrap();
    let up = Pipeline::start(directory.path(), &["--port", "0"]);
    let records = attack(&up);
    let accounts = up.settled();
    assert_reconciled(&accounts);

    let (_, list) = dlq(&up, &["list", "--limit", "100000", "--format", "json"]);
    let letters: Vec<Value> = serde_json::from_str(&list).unwrap();
    assert!(letters.len() > records * 9 / 10, "{} letters of {records} records", letters.len());
    let (_, table) = dlq(&up, &["list", "--limit", "100000"]);
    assert_eq!(table.lines().count(), letters.len() + 1, "no text makes a line of its own");
    for arguments in [&["summary"][..], &["summary", "--format", "json"], &["list", "--device", "d"]] {
        assert_eq!(dlq(&up, arguments).0, 0);
    }
    for letter in &letters {
        let id = letter["id"].as_str().unwrap();
        let (code, shown) = dlq(&up, &["show", id]);
        assert!(code == 0 && shown.lines().count() <= 16 && shown.len() < 64 * 1024, "{id}: {}", shown.len());
        let (_, json) = dlq(&up, &["show", id, "--format", "json"]);
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["payload_base64"], letter["payload_base64"]);
    }
    fix(&up, directory.path(), &letters);
    assert_eq!(up.settled(), accounts, "looking and failing to fix change nothing");
}

/// What sends, or would: dry runs, sets and files; nothing of it can go.
fn fix(up: &Pipeline, folder: &std::path::Path, letters: &[Value]) {
    for arguments in [&["redrive"][..], &["redrive", "--format", "json"]] {
        let (code, said) = dlq(up, arguments);
        assert_eq!(code, 1);
        assert_eq!(said.lines().count(), letters.len() + 1);
    }
    for set in ["value=1", "\u{1b}[31m=1", "device_id=\u{202e}", "x=\u{9b}", "timestamp=\u{7}"] {
        dlq(up, &["redrive", "--reason", "malformed_json", "--set", set]);
    }
    let export = folder.join("export.jsonl");
    let export = export.to_str().unwrap();
    assert_eq!(dlq(up, &["export", export]).0, 0);
    let text = std::fs::read_to_string(export).unwrap();
    assert_safe("the export", &text);
    assert_eq!(text.lines().count(), letters.len());
    for line in text.lines() {
        // By its grammar: a payload may hold a number that no double does.
        serde_json::from_str::<&RawValue>(line).unwrap();
    }
    dlq(up, &["import", export]);
    dlq(up, &["import", export, "--format", "json"]);
    // Files that are no export.
    for (place, case) in torture().into_iter().enumerate().step_by(7) {
        for name in ["fix.jsonl", "fix.csv"] {
            let file = folder.join(name);
            let body = serde_json::to_string(&String::from_utf8_lossy(&case)).unwrap();
            let good = format!("{{\"id\":{},\"body\":{body}}}\n", letters[place]["id"]);
            std::fs::write(&file, [good.as_bytes(), &case].concat()).unwrap();
            dlq(up, &["import", file.to_str().unwrap()]);
            dlq(up, &["redrive", "--map-file", file.to_str().unwrap()]);
        }
    }
}
