//! Environment variables, and everything that is wrong with them.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Reads variables, and gathers what is wrong with them. An empty variable is an unset one.
pub struct Variables<F> {
    variable: F,
    problems: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    /// Reads by `variable`, which gives a variable's value.
    pub fn new(variable: F) -> Self {
        Variables { variable, problems: Vec::new() }
    }

    /// The value, where there is one.
    pub fn get(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// Its value; an empty one stands in where there is none, and the problem is noted.
    pub fn required(&mut self, name: &str) -> String {
        self.get(name).unwrap_or_else(|| {
            self.problem(format!("{name} is not set"));
            String::new()
        })
    }

    /// A number in a range, where there is one; what is none is noted.
    pub fn number<N>(&mut self, name: &str, range: RangeInclusive<N>) -> Option<N>
    where
        N: FromStr + PartialOrd + fmt::Display,
    {
        let text = self.get(name)?;
        let number = text.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.problem(format!("{name} must be a whole number from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// Notes what is wrong, without the value.
    pub fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// The configuration, unless anything was wrong.
    ///
    /// # Errors
    /// [`ConfigurationError`], with everything that was.
    pub fn finish<C>(self, configuration: C) -> Result<C, ConfigurationError> {
        if self.problems.is_empty() { Ok(configuration) } else { Err(ConfigurationError(self.problems)) }
    }
}

/// Everything that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct ConfigurationError(Vec<String>);
