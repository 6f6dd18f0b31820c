//! Which letters are meant.

use ports::{Clock as _, SystemClock};
use redrive::{Filter, ReasonCode};
use telemetry::{DeviceId, Timestamp};

/// Which letters; all that are given must hold.
#[derive(clap::Args)]
pub struct FilterArgs {
    /// Only those of this reason
    #[arg(long, value_name = "CODE", value_parser = reason)]
    reason: Option<ReasonCode>,
    /// Only those of this device
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    device: Option<String>,
    /// Only those given up at this instant or later: RFC 3339, or a time ago such as 90s, 15m, 2h or 7d
    #[arg(long, value_name = "T", value_parser = since)]
    since: Option<Timestamp>,
    /// Only those whose payload, id, reason, detail, device or partition key contains this text, in either case
    #[arg(long, value_name = "TEXT", value_parser = text, allow_hyphen_values = true)]
    text: Option<String>,
}

impl FilterArgs {
    /// The filter, with these ids.
    pub fn filter(&self, ids: &[String]) -> Filter {
        Filter {
            ids: ids.to_vec(),
            reason: self.reason,
            device_id: self.device.clone(),
            since: self.since,
            until: None,
            text: self.text.clone(),
        }
    }
}

fn reason(text: &str) -> Result<ReasonCode, String> {
    let known = || ReasonCode::all().map(ReasonCode::as_str).collect::<Vec<_>>().join(", ");
    ReasonCode::parse(text).ok_or_else(|| format!("must be one of {}", known()))
}

fn text(text: &str) -> Result<String, &'static str> {
    // As many as the gateway takes.
    let is_taken = (1..=200).contains(&text.chars().count());
    if is_taken { Ok(text.to_owned()) } else { Err("must have 1 to 200 characters") }
}

fn device(text: &str) -> Result<String, &'static str> {
    DeviceId::parse(text).map(|device| device.as_str().to_owned())
}

fn since(text: &str) -> Result<Timestamp, String> {
    let wrong =
        || "must be an instant such as 2026-01-31T12:00:00Z, or a time ago such as 90s, 15m, 2h or 7d".to_owned();
    if let Ok(instant) = Timestamp::parse(text) {
        return Ok(instant);
    }
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let ago = i128::from(number) * seconds * 1_000_000_000;
    // What lies before the year 0 is before everything.
    Ok(Timestamp::from_nanosecond(SystemClock.now().as_nanosecond() - ago).unwrap_or(Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_an_instant_or_a_time_ago() {
        assert_eq!(since("2026-01-31T12:00:00Z").unwrap(), Timestamp::parse("2026-01-31T12:00:00Z").unwrap());
        let now = SystemClock.now().as_millisecond();
        for (text, seconds) in [("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604_800)] {
            let ago = now - since(text).unwrap().as_millisecond();
            assert!((seconds * 1000 - 10_000..=seconds * 1000).contains(&ago), "{text}: {ago}");
        }
        for bad in ["", "d", "7", "-7d", "7w", "yesterday", "é", "1.5h"] {
            assert!(since(bad).is_err(), "{bad}");
        }
    }
}
