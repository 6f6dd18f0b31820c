//! What one execution environment knows for its lifetime: its configuration, read once at cold start.

use lambda::{ConfigurationError, Variables};

/// The configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Context {
    /// `CURATED_DELIVERY_STREAM`: the name of the Firehose stream that makes Parquet of the rows.
    pub curated_delivery_stream: String,
    /// `METRICS_NAMESPACE`: the CloudWatch namespace; `Streamgauge` by default.
    pub metrics_namespace: String,
}

impl Context {
    /// From the process's environment.
    pub(crate) fn from_environment() -> Result<Self, ConfigurationError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// From variables; an empty one is an unset one.
    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigurationError> {
        let mut variables = Variables::new(variable);
        let curated_delivery_stream = variables.required("CURATED_DELIVERY_STREAM");
        if !curated_delivery_stream.is_empty() && !is_stream_name(&curated_delivery_stream) {
            variables.problem("CURATED_DELIVERY_STREAM must be a name: 1 to 64 of A-Z a-z 0-9 _ . -");
        }
        let metrics_namespace = variables.get("METRICS_NAMESPACE").unwrap_or_else(|| "Streamgauge".to_owned());
        if metrics_namespace.len() > NAMESPACE_BYTES_MAX {
            variables.problem("METRICS_NAMESPACE must have at most 255 characters");
        }
        variables.finish(Context { curated_delivery_stream, metrics_namespace })
    }
}

/// CloudWatch's limit.
const NAMESPACE_BYTES_MAX: usize = 255;

/// An ARN in the place of a name is the usual mistake.
fn is_stream_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Context, ConfigurationError> {
        let find =
            |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
        Context::from_variables(find)
    }

    #[test]
    fn the_stream_is_enough() {
        let context = read(&[("CURATED_DELIVERY_STREAM", "curated"), ("METRICS_NAMESPACE", "")]);
        let metrics_namespace = "Streamgauge".to_owned();
        assert_eq!(context, Ok(Context { curated_delivery_stream: "curated".to_owned(), metrics_namespace }));
    }

    #[test]
    fn every_problem_is_reported_together_and_no_value_is_repeated() {
        let arn = "arn:aws:firehose:eu-central-1:123456789012:deliverystream/curated";
        let long = "n".repeat(256);
        let error = read(&[("CURATED_DELIVERY_STREAM", arn), ("METRICS_NAMESPACE", &long)]);
        let error = error.expect_err("a bad configuration").to_string();
        assert!(error.contains("CURATED_DELIVERY_STREAM") && error.contains("METRICS_NAMESPACE"), "{error}");
        assert!(!error.contains(arn) && !error.contains(&long), "{error}");
        let error = read(&[]).expect_err("nothing is set").to_string();
        assert_eq!(error, "CURATED_DELIVERY_STREAM is not set");
    }
}
