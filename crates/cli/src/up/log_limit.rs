//! One cause writes one log line a minute; the next line says how many were held back.
//!
//! A full disk fails every write, so one cause would fill the log too, often on the same disk. What is written, plus what
//! `repeated` says, is always the number of events.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long after a cause's line the next one is held back.
const INTERVAL: Duration = Duration::from_secs(60);

/// Causes of one call site that are told apart, such as damaged files; all others share one line. An error's text may hold
/// anything, such as an offset that differs each time, so without a bound neither the log nor the memory would have one.
const CAUSES_MAX: usize = 100;

/// Characters of a line that is held back, and of a cause.
const LINE_CHARS_MAX: usize = 1024;

/// The causes of the last minute. Call sites are those of the program's text, so memory is bounded.
#[derive(Default)]
pub struct LogLimit {
    call_sites: Mutex<HashMap<&'static str, Causes>>,
}

/// `None` is the cause that all causes beyond [`CAUSES_MAX`] share.
type Causes = BTreeMap<Option<String>, Written>;

/// A cause that has a line in the log.
struct Written {
    at: Instant,
    held_back: u64,
    /// The last line that was held back.
    last: String,
}

impl LogLimit {
    /// What to write for a line that ends with a line feed; `None` while it is held back.
    pub fn admit(&self, call_site: &'static str, cause: String, line: String, now: Instant) -> Option<String> {
        let mut call_sites = self.call_sites.lock().unwrap_or_else(PoisonError::into_inner);
        let causes = call_sites.entry(call_site).or_default();
        let cause = Some(shortened(cause));
        let cause = if causes.len() < CAUSES_MAX || causes.contains_key(&cause) { cause } else { None };
        let Some(written) = causes.get_mut(&cause) else {
            causes.insert(cause, Written { at: now, held_back: 0, last: String::new() });
            return Some(line);
        };
        if now.saturating_duration_since(written.at) >= INTERVAL {
            written.at = now;
            written.last.clear();
            return Some(repeated(&line, std::mem::take(&mut written.held_back)));
        }
        written.held_back += 1;
        written.last = shortened(line);
        None
    }

    /// The lines that were held back and whose minute is over, for causes that don't log again. Forgets old causes.
    pub fn due(&self, now: Instant) -> Vec<String> {
        self.take(|written| now.saturating_duration_since(written.at) >= INTERVAL, now)
    }

    /// Everything held back, when the program ends.
    pub fn rest(&self, now: Instant) -> Vec<String> {
        self.take(|_| true, now)
    }

    fn take(&self, is_over: impl Fn(&Written) -> bool, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        let mut call_sites = self.call_sites.lock().unwrap_or_else(PoisonError::into_inner);
        for causes in call_sites.values_mut() {
            causes.retain(|_, written| {
                if !is_over(written) {
                    return true;
                }
                let held_back = std::mem::take(&mut written.held_back);
                if held_back > 0 {
                    // This line is one of them.
                    lines.push(repeated(&std::mem::take(&mut written.last), held_back - 1));
                    written.at = now;
                }
                held_back > 0
            });
        }
        lines
    }
}

fn repeated(line: &str, times: u64) -> String {
    if times == 0 { line.to_owned() } else { format!("{} repeated={times}\n", line.trim_end_matches('\n')) }
}

fn shortened(line: String) -> String {
    if line.chars().count() <= LINE_CHARS_MAX {
        return line;
    }
    line.chars().take(LINE_CHARS_MAX).chain("…\n".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "event writer.rs:1";

    fn line(text: &str) -> String {
        format!("{text}\n")
    }

    fn admit(limit: &LogLimit, cause: &str, now: Instant) -> Option<String> {
        limit.admit(SITE, cause.to_owned(), line(cause), now)
    }

    /// How many events these lines say there were.
    fn events(lines: &[String]) -> u64 {
        let repeated = |line: &String| line.trim_end().rsplit_once(" repeated=").map_or(0, |(_, n)| n.parse().unwrap());
        lines.iter().map(|line| 1 + repeated(line)).sum()
    }

    #[test]
    fn a_cause_writes_one_line_a_minute_with_the_rest_counted() {
        let (limit, start) = (LogLimit::default(), Instant::now());
        assert_eq!(admit(&limit, "full", start), Some(line("full")));
        for millisecond in 1..60_000 {
            assert_eq!(admit(&limit, "full", start + Duration::from_millis(millisecond)), None);
        }
        let next = start + INTERVAL;
        assert_eq!(admit(&limit, "full", next), Some(line("full repeated=59999")));
        assert_eq!(admit(&limit, "full", next), None);
        assert_eq!(admit(&limit, "full", next + INTERVAL), Some(line("full repeated=1")));
    }

    #[test]
    fn two_causes_and_two_call_sites_are_both_seen() {
        let (limit, now) = (LogLimit::default(), Instant::now());
        assert!(admit(&limit, "full", now).is_some() && admit(&limit, "read-only", now).is_some());
        assert!(limit.admit("event elsewhere.rs:1", "full".to_owned(), line("full"), now).is_some());
        assert_eq!(admit(&limit, "read-only", now), None);
    }

    #[test]
    fn the_count_appears_once_the_cause_is_silent() {
        let (limit, start) = (LogLimit::default(), Instant::now());
        for _ in 0..5 {
            admit(&limit, "full", start);
        }
        assert_eq!(limit.due(start + INTERVAL - Duration::from_nanos(1)), Vec::<String>::new());
        assert_eq!(limit.due(start + INTERVAL), [line("full repeated=3")]);
        assert_eq!(admit(&limit, "full", start + INTERVAL), None, "that was this minute's line");
        assert_eq!(limit.due(start + 2 * INTERVAL), [line("full")]);
        assert_eq!(limit.due(start + 3 * INTERVAL), Vec::<String>::new());
        assert_eq!(admit(&limit, "full", start + 3 * INTERVAL), Some(line("full")));
    }

    #[test]
    fn causes_without_end_share_a_line_and_none_is_lost() {
        let (limit, start) = (LogLimit::default(), Instant::now());
        let admit = |at: u64| admit(&limit, &format!("offset {at}"), start + Duration::from_millis(at));
        let mut lines: Vec<String> = (0..59_000).filter_map(admit).collect();
        assert_eq!(lines.len(), CAUSES_MAX + 1);
        assert_eq!(limit.call_sites.lock().unwrap()[SITE].len(), CAUSES_MAX + 1);
        lines.extend(limit.rest(start + INTERVAL));
        assert_eq!(events(&lines), 59_000);
        assert_eq!(limit.rest(start + INTERVAL), Vec::<String>::new());
    }

    #[test]
    fn a_held_back_line_takes_bounded_memory() {
        let (limit, now) = (LogLimit::default(), Instant::now());
        let admit = |line: &str| limit.admit(SITE, String::new(), line.to_owned(), now);
        let (fits, long) = (line(&"é".repeat(LINE_CHARS_MAX - 1)), line(&"é".repeat(LINE_CHARS_MAX)));
        assert_eq!(admit(&long), Some(long.clone()), "a written one is whole");
        assert_eq!(admit(&fits), None);
        assert_eq!(limit.rest(now), [fits]);
        assert_eq!(admit(&long), None);
        assert_eq!(limit.rest(now), [line(&("é".repeat(LINE_CHARS_MAX) + "…"))]);
    }
}
