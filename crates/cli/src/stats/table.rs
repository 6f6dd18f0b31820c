//! Statistics as a table for a terminal.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use telemetry::{DeviceId, Timestamp};

/// What the table shows of an answer of `GET /`.
#[derive(Deserialize)]
struct Statistics {
    device_id: String,
    count: u64,
    mean: Option<f64>,
    median: Option<f64>,
    standard_deviation: Option<f64>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    anomaly_count: Option<u64>,
    last_timestamp: Option<Timestamp>,
}

const HEADINGS: [&str; 9] =
    ["device", "count", "mean", "median", "std. deviation", "minimum", "maximum", "anomalies", "last reading"];

/// What stands where there is nothing.
const NONE: &str = "–";

/// The table: names to the left, numbers to the right, two spaces between columns.
pub fn render(answers: &[Box<RawValue>]) -> Result<String> {
    if answers.is_empty() {
        return Ok("no device has sent a reading yet\n".to_owned());
    }
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    for answer in answers {
        let statistics: Statistics = serde_json::from_str(answer.get()).context("the endpoint's statistics")?;
        rows.push(cells(&statistics));
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 9] = std::array::from_fn(width);
    Ok(rows.iter().map(|row| line(row, &widths)).collect())
}

fn cells(statistics: &Statistics) -> [String; 9] {
    // A name that breaks the rule could hold anything, a terminal's commands as well.
    let device = DeviceId::parse(statistics.device_id.as_str()).map_or("?".to_owned(), |device| device.to_string());
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
    let number = |value: Option<f64>| or_none(value.map(significant));
    [
        device,
        statistics.count.to_string(),
        number(statistics.mean),
        number(statistics.median),
        number(statistics.standard_deviation),
        number(statistics.minimum),
        number(statistics.maximum),
        or_none(statistics.anomaly_count.map(|count| count.to_string())),
        or_none(statistics.last_timestamp.map(|timestamp| timestamp.to_string())),
    ]
}

fn line(row: &[String; 9], widths: &[usize; 9]) -> String {
    let cell = |(column, text): (usize, &String)| {
        let width = widths[column];
        // Names and instants to the left.
        if column == 0 || column == 8 { format!("{text:<width$}") } else { format!("{text:>width$}") }
    };
    let cells: Vec<_> = row.iter().enumerate().map(cell).collect();
    format!("{}\n", cells.join("  ").trim_end())
}

/// A number with six significant digits, without the zeros at its end; the whole number where that takes no more than
/// nine digits. `--format json` has all digits.
pub fn significant(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e9).contains(&magnitude) {
        return format!("{value:.5e}");
    }
    if value.fract() == 0.0 {
        return format!("{value:.0}");
    }
    let digits_before = if magnitude >= 1.0 { magnitude.log10().floor() as i32 + 1 } else { 0 };
    let leading_zeros = if magnitude < 1.0 { (-magnitude.log10()).floor() as i32 } else { 0 };
    let decimals = (6 - digits_before + leading_zeros).max(0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn the_table_is_aligned_and_shows_what_is_not_there() {
        let full = raw(
            r#"{"device_id":"boiler-1","count":3,"mean":66,"median":40,"standard_deviation":49.42671342529618,"minimum":35,
            "maximum":123,"mean_confidence_95":{"low":1,"high":2},"anomaly_count":0,"first_timestamp":"2026-01-01T00:00:00Z",
            "last_timestamp":"2026-01-01T00:00:02Z","updated_at":"2026-01-01T00:00:03Z"}"#,
        );
        let one = raw(
            r#"{"device_id":"cold-store-01-humidity","count":1,"mean":58.125,"median":58.125,"standard_deviation":null,
            "minimum":58.125,"maximum":58.125,"anomaly_count":null,"last_timestamp":null}"#,
        );
        let expected = "\
device                  count    mean  median  std. deviation  minimum  maximum  anomalies  last reading
boiler-1                    3      66      40         49.4267       35      123          0  2026-01-01T00:00:02Z
cold-store-01-humidity      1  58.125  58.125               –   58.125   58.125          –  –
";
        assert_eq!(render(&[full, one]).unwrap(), expected);
    }

    #[test]
    fn a_name_that_is_none_is_not_printed() {
        let evil = raw(r#"{"device_id":"\u001b[2J","count":1}"#);
        assert!(render(&[evil]).unwrap().lines().nth(1).unwrap().starts_with("?  "));
    }

    #[test]
    fn numbers_have_six_significant_digits() {
        for (value, text) in [
            (0.0, "0"),
            (66.0, "66"),
            (-0.5, "-0.5"),
            (0.123456789, "0.123457"),
            (0.00123456789, "0.00123457"),
            (49.42671342529618, "49.4267"),
            (123456789.0, "123456789"),
            (123456.789, "123457"),
            (1013.2549, "1013.25"),
            (1.5e12, "1.50000e12"),
            (1e-9, "1.00000e-9"),
            (99999.9999, "100000"),
        ] {
            assert_eq!(significant(value), text);
        }
    }
}
