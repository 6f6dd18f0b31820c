//! New bodies from a file.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use telemetry::one_line;

/// Reads `{"id":…,"body":…}` a line (JSON Lines), which is also the form of an export: `body` is the new JSON itself,
/// or a string that holds the body's text. Further members are not looked at; blank lines are skipped; a line whose
/// `body` is missing or `null` leaves its letter as it is, and is not in the answer's map.
///
/// # Errors
/// The line, from 1, and what is wrong with it; an id that is there twice with different bodies is wrong too, because
/// one id gets one repair.
pub fn parse_json_lines(text: &[u8]) -> Result<RepairFile, RepairFileError> {
    let mut file = RepairFile::default();
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let wrong = |what: String| RepairFileError { line: number, what };
        let line: Line<'_> = serde_json::from_slice(line)
            .map_err(|error| wrong(format!("must be an object with `id` and `body` ({error})")))?;
        let body = match line.body.map(RawValue::get) {
            None | Some("null") => None,
            Some(json) => Some(match serde_json::from_str::<String>(json) {
                Ok(text) => one_line(text.as_bytes()),
                Err(_) => one_line(json.as_bytes()),
            }),
        };
        file.add(line.id, body).map_err(wrong)?;
    }
    Ok(file)
}

/// Reads CSV with a header that names the columns `id` and `body`; others are not looked at.
///
/// # Errors
/// The record, from 1 for the header, and what is wrong with it.
pub fn parse_csv(text: &[u8]) -> Result<RepairFile, RepairFileError> {
    let mut file = RepairFile::default();
    let mut records = csv_records(text).into_iter().zip(1..);
    let wrong = |line, what: &str| RepairFileError { line, what: what.to_owned() };
    let header = records.next().map(|(header, _)| header).unwrap_or_default();
    let column = |name: &str| {
        let place = header
            .iter()
            .position(|field| field.strip_prefix("\u{feff}".as_bytes()).unwrap_or(field) == name.as_bytes());
        place.ok_or_else(|| wrong(1, "the header must name the columns `id` and `body`"))
    };
    let (id, body) = (column("id")?, column("body")?);
    for (record, line) in records {
        let (Some(id), Some(body)) = (record.get(id), record.get(body)) else {
            return Err(wrong(line, "has fewer fields than the header"));
        };
        let id = String::from_utf8(id.clone()).map_err(|_| wrong(line, "`id` is not UTF-8"))?;
        let body = (!body.is_empty()).then(|| one_line(body));
        file.add(id, body).map_err(|what| RepairFileError { line, what })?;
    }
    Ok(file)
}

fn csv_records(mut text: &[u8]) -> Vec<Vec<Vec<u8>>> {
    use csv_core::ReadFieldResult;
    let mut reader = csv_core::Reader::new();
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), Vec::new());
    let mut buffer = [0; 4096];
    loop {
        // An empty input tells the reader that the file has ended.
        let (result, read, written) = reader.read_field(text, &mut buffer);
        text = &text[read..];
        field.extend_from_slice(&buffer[..written]);
        match result {
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
            ReadFieldResult::Field { record_end } => {
                record.push(std::mem::take(&mut field));
                if record_end {
                    records.push(std::mem::take(&mut record));
                }
            }
            ReadFieldResult::End => return records,
        }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    id: String,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairFile {
    /// Every id in the file, with the new body where there is one.
    pub letters: HashMap<String, Option<Vec<u8>>>,
}

impl RepairFile {
    fn add(&mut self, id: String, body: Option<Vec<u8>>) -> Result<(), String> {
        if id.is_empty() {
            return Err("`id` is empty".to_owned());
        }
        match self.letters.entry(id) {
            Entry::Occupied(before) if *before.get() != body => {
                Err("its id stood before with another body: one id gets one repair".to_owned())
            }
            Entry::Occupied(_) => Ok(()),
            Entry::Vacant(place) => {
                place.insert(body);
                Ok(())
            }
        }
    }

    /// The new bodies.
    pub fn bodies(self) -> HashMap<String, Vec<u8>> {
        self.letters.into_iter().filter_map(|(id, body)| Some((id, body?))).collect()
    }
}

/// What is wrong with a file of new bodies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct RepairFileError {
    /// The line, from 1; of CSV the record, the header being 1.
    pub line: usize,
    what: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body<'a>(file: &'a RepairFile, id: &str) -> Option<&'a str> {
        file.letters[id].as_deref().map(|body| std::str::from_utf8(body).unwrap())
    }

    #[test]
    fn a_body_stands_as_json_or_as_text_in_json_lines() {
        let text = "{\"id\":\"a\",\"body\":{\"value\": 1.0},\"reason\":\"late\"}\r\n\n{\"id\":\"b\",\"body\":\"{\\\"value\\\":\\n2}\"}\n{\"id\":\"c\"}\n{\"id\":\"d\",\"body\":null}";
        let file = parse_json_lines(text.as_bytes()).unwrap();
        assert_eq!(body(&file, "a"), Some("{\"value\": 1.0}"));
        assert_eq!(body(&file, "b"), Some("{\"value\": 2}"));
        assert_eq!((body(&file, "c"), body(&file, "d")), (None, None));
        assert_eq!(file.bodies().len(), 2);
    }

    #[test]
    fn csv_is_read_by_the_names_in_its_header() {
        let text = b"\xef\xbb\xbfreason,id,body\nlate,a,\"{\"\"value\"\":1}\"\nlate,b,\n";
        let file = parse_csv(text).unwrap();
        assert_eq!(body(&file, "a"), Some("{\"value\":1}"));
        assert_eq!(body(&file, "b"), None);
        let long = format!("id,body\na,\"{}\"\n", "x".repeat(10_000));
        assert_eq!(body(&parse_csv(long.as_bytes()).unwrap(), "a").map(str::len), Some(10_000));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let message = |result: Result<RepairFile, RepairFileError>| result.unwrap_err().to_string();
        assert!(message(parse_json_lines(b"{\"id\":\"a\"}\nnonsense")).starts_with("line 2: must be an object"));
        let twice = b"{\"id\":\"a\",\"body\":1}\n{\"id\":\"a\",\"body\":1}\n{\"id\":\"a\",\"body\":2}";
        assert!(message(parse_json_lines(twice)).starts_with("line 3: its id stood before"));
        assert!(message(parse_json_lines(b"{\"id\":\"\",\"body\":1}")).contains("`id` is empty"));
        assert!(message(parse_csv(b"id,text\n")).starts_with("line 1: the header"));
        assert!(message(parse_csv(b"x,id,body\na,b\n")).starts_with("line 2: has fewer fields"));
        assert!(message(parse_csv(b"")).starts_with("line 1: the header"));
    }
}
