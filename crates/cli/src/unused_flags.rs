//! Flags that were typed and would have no effect beside the others. clap's own `requires` and `conflicts_with` take a
//! variable for a flag, and `STREAMGAUGE_API_KEY` or `STREAMGAUGE_STREAM` may be set for another command.

use clap::ArgMatches;
use clap::parser::ValueSource;

/// What is wrong, naming both flags.
pub fn check(matches: &ArgMatches) -> Result<(), String> {
    // Asked for by name: a release build of clap doesn't say which flags a command has.
    let takes_directories = matches!(matches.subcommand_name(), Some("dlq" | "backup"));
    let mut matches = matches;
    while let Some((_, command)) = matches.subcommand() {
        matches = command;
    }
    let source = |id: &str| matches.try_contains_id(id).is_ok_and(|is| is).then(|| matches.value_source(id)).flatten();
    let is_typed = |id: &str| source(id) == Some(ValueSource::CommandLine);
    // An empty variable is as good as none.
    let text = |id: &str| matches.try_get_one::<String>(id).ok().flatten().filter(|text| !text.is_empty());
    for (id, flag) in [("stream", "--stream"), ("archive_bucket", "--archive-bucket")] {
        if is_typed(id) && text("queue_url").is_none() {
            return Err(format!("{flag} has no effect without --queue-url"));
        }
    }
    // clap asks for no flag whose place another one has taken, as --csv that of --devices.
    for (id, flag) in [("readings", "--readings"), ("interval", "--interval"), ("seed", "--seed")] {
        if is_typed(id) && source("devices").is_none() {
            return Err(format!("{flag} has no effect without --devices"));
        }
    }
    // `up --devices 0` simulates nothing; those of `send` are at least one.
    let is_without_devices = matches.try_get_one::<u32>("devices").ok().flatten() == Some(&0);
    if is_typed("rate") && is_without_devices {
        return Err("--rate has no effect without --devices above 0".to_owned());
    }
    for (id, key_flag) in [("api_key", "--api-key"), ("api_key_file", "--api-key-file")] {
        if !is_typed(id) {
            continue;
        }
        // Without --endpoint, --data-dir alone is a directory that no `up` uses.
        let is_directory = takes_directories && source("endpoint").is_none() && is_typed("data_dir");
        for (is_given, flag) in [
            (text("queue_url").is_some(), "with --queue-url"),
            (text("kinesis").is_some(), "with --kinesis"),
            (is_directory, "with --data-dir and without --endpoint"),
        ] {
            if is_given {
                return Err(format!("{key_flag} has no effect {flag}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn a_key_is_of_use_where_an_endpoint_is_asked() {
        for flags in [
            "up --api-key k --data-dir d",
            "send --jsonl - --api-key k --data-dir d",
            "stats --api-key k --data-dir d",
            "backup target --api-key k --data-dir d --endpoint http://localhost",
        ] {
            let matches = crate::Cli::command().no_binary_name(true).get_matches_from(flags.split(' '));
            assert_eq!(check(&matches), Ok(()), "{flags}");
        }
    }
}
