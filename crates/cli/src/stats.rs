//! `streamgauge stats`: the statistics of one device, or of all.

pub mod table;

use crate::endpoint::{EndpointArgs, check, printable};
use crate::output::{Format, say};
use anyhow::{Context, Result};
use producer::{Client, percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::Duration;
use telemetry::DeviceId;

/// Devices asked for at once.
const PAGE: usize = 500;

/// The time between two looks with `--watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Print the statistics of one device, or of all
#[derive(clap::Args)]
pub struct Args {
    /// The device; without it, all
    #[arg(value_name = "DEVICE")]
    device: Option<String>,
    #[command(flatten)]
    endpoint: EndpointArgs,
    /// How to print: json is the answer itself, an object for one device, an array of objects for all
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Look again every two seconds, until interrupted
    #[arg(long)]
    watch: bool,
}

/// A device's statistics as the endpoint answers them.
type Answer = Box<RawValue>;

/// Prints once, or until interrupted; exits 1 for a device that nothing is known of.
pub fn run(args: Args) -> Result<ExitCode> {
    if let Some(device) = &args.device {
        DeviceId::parse(device.as_str()).map_err(|rule| anyhow::anyhow!("DEVICE {rule}"))?;
    }
    let client = args.endpoint.client()?;
    loop {
        let Some(text) = args.look(&client)? else { return Ok(ExitCode::from(1)) };
        let mut out = stdout().lock();
        if args.watch && out.is_terminal() {
            // To the top left corner, clearing what stood there.
            write!(out, "\x1b[H\x1b[2J\x1b[3J")?;
        }
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // Whoever reads has seen enough, as `head` has.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            written => written?,
        }
        if !args.watch {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(WATCH_INTERVAL);
    }
}

impl Args {
    /// What to print, or `None` for a device that nothing is known of (and says so).
    fn look(&self, client: &Client) -> Result<Option<String>> {
        let answers = match &self.device {
            Some(device) => match one(client, device)? {
                Some(answer) => vec![answer],
                None => return Ok(None),
            },
            None => all(client)?,
        };
        Ok(Some(match self.format {
            Format::Table => table::render(&answers)?,
            Format::Json if self.device.is_some() => printable(answers[0].get()) + "\n",
            Format::Json => json_array(&answers),
        }))
    }
}

fn one(client: &Client, device: &str) -> Result<Option<Answer>> {
    let answer = client.get(&format!("/?device_id={}", percent_encode(device)))?;
    check(&answer, client)?;
    if answer.status != 200 {
        say(&format!("{device}: {}", answer.message()));
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&answer.body).context("the endpoint's answer is not JSON")?))
}

fn all(client: &Client) -> Result<Vec<Answer>> {
    #[derive(Deserialize)]
    struct Page {
        devices: Vec<Answer>,
        next: Option<String>,
    }
    let (mut answers, mut after) = (Vec::new(), None);
    loop {
        let from = after.as_deref().map(|after| format!("&after={}", percent_encode(after))).unwrap_or_default();
        let answer = client.get(&format!("/devices?limit={PAGE}{from}"))?;
        check(&answer, client)?;
        if answer.status != 200 {
            anyhow::bail!("{} does not list devices ({}): name one", client.endpoint().url(), answer.message());
        }
        let page: Page = serde_json::from_slice(&answer.body).context("the endpoint's list of devices")?;
        let got_on = !page.devices.is_empty() && page.next != after;
        answers.extend(page.devices);
        match page.next {
            // A page that leads nowhere would be asked for for ever.
            Some(next) if got_on => after = Some(next),
            _ => return Ok(answers),
        }
    }
}

/// One device a line, so that it can be read by eye and by `grep` too.
fn json_array(answers: &[Answer]) -> String {
    let lines: Vec<_> = answers.iter().map(|answer| printable(answer.get())).collect();
    if lines.is_empty() { "[]\n".to_owned() } else { format!("[\n{}\n]\n", lines.join(",\n")) }
}
