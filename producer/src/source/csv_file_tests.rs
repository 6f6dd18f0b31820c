use super::*;

fn read(text: impl AsRef<[u8]>) -> Vec<Result<(u64, String, f64), String>> {
    let file = match CsvFile::new(text.as_ref(), "dir/boiler-1.csv".into(), "boiler-1") {
        Ok(file) => file,
        Err(refusal) => return vec![Err(refusal.to_string())],
    };
    let row = |row: Row| (row.origin.line, row.reading.device_id.to_string(), row.reading.value);
    file.map(|item| item.map(row).map_err(|refusal| refusal.to_string())).collect()
}

fn boiler(line: u64, value: f64) -> Result<(u64, String, f64), String> {
    Ok((line, "boiler-1".to_owned(), value))
}

#[test]
fn bom_crlf_quotes_blanks_empty_lines_and_other_columns_are_understood() {
    let text = "\u{feff}Value, site ,\"timestamp\"\r\n35,\"a, b\",\"2026-01-01 00:00:00\"\r\n\r\n   \r\n 40 ,,2026-01-01T00:00:01+01:00\r\n-1e-3,x,2026-01-01 00:00:02.5";
    assert_eq!(read(text), [boiler(2, 35.0), boiler(5, 40.0), boiler(6, -0.001)]);
}

#[test]
fn a_device_column_and_an_event_column_are_taken() {
    let text = "event_id,device_id,timestamp,value\ne-1,a,2026-01-01 00:00:00,1\n,b,2026-01-01 00:00:00,2\n";
    let file = CsvFile::new(text.as_bytes(), "x.csv".into(), "not a device's name").unwrap();
    let rows: Vec<_> = file.map(|row| row.unwrap().reading).collect();
    assert_eq!(rows[0].device_id.as_str(), "a");
    assert_eq!(rows[0].event_id.as_ref().map(EventId::as_str), Some("e-1"));
    assert_eq!((rows[1].device_id.as_str(), &rows[1].event_id), ("b", &None));
}

#[test]
fn a_row_that_can_be_no_reading_names_file_line_member_and_rule_and_the_rest_goes_on() {
    let mut text = b"timestamp,value,device_id,event_id\n".to_vec();
    let bad: [(&[u8], &str); 12] = [
        (b"2026-01-01 00:00:00,x,a,", "`value`: must be a decimal number"),
        (b"2026-01-01 00:00:00,,a,", "`value`: is empty"),
        (b"2026-01-01 00:00:00,NaN,a,", "`value`: must be finite"),
        (b"2026-01-01 00:00:00,1e101,a,", "`value`: must be finite"),
        (b"2026-01-01 00:00:00,\"1,5\",a,", "`value`: must be a decimal number"),
        (b"2026-13-01 00:00:00,1,a,", "`timestamp`: must be a date and time that exists"),
        (b"yesterday,1,a,", "`timestamp`: must be a date and time such as"),
        (b"2026-01-01 00:00:00", "`value`: the row ends before this column"),
        (b"2026-01-01 00:00:00,1", "`device_id`: the row ends before this column"),
        (b"2026-01-01 00:00:00,1,-a,", "`device_id`: must be a string of 1 to 128"),
        (b"2026-01-01 00:00:00,1,\xff,", "`device_id`: is not UTF-8"),
        (b"2026-01-01 00:00:00,1,a,e 1", "`event_id`: must be a string of 1 to 128 visible"),
    ];
    for (row, _) in bad {
        text.extend(row);
        text.extend(b"\n2026-01-01 00:00:00,7,a\n");
    }
    let rows = read(&text);
    assert_eq!(rows.len(), 2 * bad.len());
    for (index, (_, message)) in bad.iter().enumerate() {
        let line = 2 + 2 * index as u64;
        let refusal = rows[2 * index].as_ref().unwrap_err();
        assert!(refusal.starts_with(&format!("dir/boiler-1.csv:{line}: {message}")), "{refusal}");
        assert_eq!(rows[2 * index + 1], Ok((line + 1, "a".to_owned(), 7.0)));
    }
}

#[test]
fn a_file_without_its_header_is_refused_whole_in_one_message() {
    for (text, message) in [
        ("", "but the file is empty"),
        ("2026-01-01 00:00:00,5\n2026-01-01 00:00:01,6\n", "but `timestamp` is missing"),
        ("timestamp;value\n2026-01-01 00:00:00;5\n", "but `timestamp` is missing"),
        ("timestamp\n2026-01-01 00:00:00\n", "but `value` is missing"),
        ("timestamp,value,Value\n2026-01-01 00:00:00,5,6\n", "the column `value` is named twice"),
    ] {
        let rows = read(text);
        assert_eq!(rows.len(), 1);
        let refusal = rows[0].as_ref().unwrap_err();
        assert!(refusal.contains(message) && refusal.starts_with("dir/boiler-1.csv:1: "), "{refusal}");
        assert!(refusal.ends_with("nothing of this file is sent"), "{refusal}");
    }
}

#[test]
fn a_file_name_that_is_no_device_name_refuses_the_file() {
    let refusal = CsvFile::new(&b"timestamp,value\n"[..], "my file.csv".into(), "my file").err().unwrap();
    assert!(refusal.message.starts_with("`device_id`: the file's name stands for it"), "{refusal}");
}

#[test]
fn a_huge_line_and_an_open_quote_are_one_refusal_each() {
    let huge = "x".repeat(RECORD_BYTES_MAX + 1);
    let rows = read(format!("timestamp,value\n2026-01-01 00:00:00,{huge}\n2026-01-01 00:00:01,1\n"));
    assert_eq!(rows, [Err("dir/boiler-1.csv:2: the row is longer than 256 KiB".to_owned()), boiler(3, 1.0)]);
    let rest = "2026-01-01 00:00:01,1\n".repeat(20_000);
    let rows = read(format!("timestamp,value\n2026-01-01 00:00:00,1\n2026-01-01 00:00:00,\"2\n{rest}"));
    assert_eq!(rows[0], boiler(2, 1.0));
    let refusal = rows[1].as_ref().unwrap_err();
    assert!(refusal.starts_with("dir/boiler-1.csv:3: the row goes on to line 20004"), "{refusal}");
    assert_eq!(rows.len(), 2);
}

#[test]
fn a_disk_that_fails_in_the_middle_is_said_and_ends_the_file() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let text = b"timestamp,value\n2026-01-01 00:00:00,1\n";
            let rest = &text[self.0.min(text.len())..];
            if rest.is_empty() {
                return Err(io::Error::other("the disk is gone"));
            }
            let taken = rest.len().min(buffer.len());
            buffer[..taken].copy_from_slice(&rest[..taken]);
            self.0 += taken;
            Ok(taken)
        }
    }
    let file = CsvFile::new(BufReader::new(Failing(0)), "a.csv".into(), "a").unwrap();
    let rows: Vec<_> =
        file.map(|item| item.map(|row| row.origin.line).map_err(|refusal| refusal.to_string())).collect();
    let refusal = "a.csv:3: cannot be read: the disk is gone; what follows is not sent".to_owned();
    assert_eq!(rows, [Ok(2), Err(refusal)]);
}

#[test]
fn a_value_is_the_double_nearest_to_its_text() {
    for text in ["0.1", "1e-320", "9007199254740993", "123456789.123456789", "+5", ".5", "5.", "-0"] {
        let expected: f64 = text.parse::<f64>().unwrap() + 0.0;
        assert_eq!(value(text).unwrap().to_bits(), expected.to_bits(), "{text}");
    }
}
