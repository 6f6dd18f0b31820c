//! Doubles as DynamoDB numbers: 38 decimal digits, magnitudes from 1e-130 to below 1e126.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>

use aws_sdk_dynamodb::types::AttributeValue;

const MAGNITUDE_MIN: f64 = 1e-130;
const MAGNITUDE_END: f64 = 1e126;

/// The number of `value`, in the fewest digits that read back as the same double (17 at most). What lies nearer to 0
/// than DynamoDB's numbers reach is 0; what has no number at all, beyond their range or not finite, is `NULL`.
pub(crate) fn to_attribute(value: Option<f64>) -> AttributeValue {
    match value {
        Some(value) if value.abs() < MAGNITUDE_MIN => AttributeValue::N("0".to_owned()),
        Some(value) if value.abs() < MAGNITUDE_END => AttributeValue::N(format!("{value:e}")),
        _ => AttributeValue::Null(true),
    }
}

/// The double nearest to a number of the table; `None` for what is no finite number.
pub(crate) fn parse(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_back(value: f64) -> Option<f64> {
        match to_attribute(Some(value)) {
            AttributeValue::N(text) => parse(&text),
            _ => None,
        }
    }

    /// The text of a number as DynamoDB takes it: at most 38 significant digits, exponent within its range.
    fn is_dynamodb_number(text: &str) -> bool {
        let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let significant = digits.bytes().filter(u8::is_ascii_digit).count();
        let exponent: i32 = exponent.parse().expect("an exponent");
        significant <= 17 && (-130..=125).contains(&exponent)
    }

    proptest! {
        #[test]
        fn every_double_in_range_reads_back_exactly(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.abs() >= MAGNITUDE_MIN && value.abs() < MAGNITUDE_END);
            prop_assert_eq!(read_back(value), Some(value));
            let AttributeValue::N(text) = to_attribute(Some(value)) else { panic!("not a number") };
            prop_assert!(is_dynamodb_number(&text), "{}", text);
        }

        #[test]
        fn what_is_nearer_to_zero_than_numbers_reach_shows_as_zero(value in -9.99e-131..9.99e-131f64) {
            prop_assert_eq!(read_back(value), Some(0.0));
        }
    }

    #[test]
    fn the_ends_of_the_range_are_numbers() {
        for value in [0.0, -0.0, 1e-130, -1e-130, 1e100, -1e100, MAGNITUDE_END.next_down(), 0.1, 49.426_713_424_505_3] {
            assert_eq!(read_back(value), Some(value));
        }
    }

    #[test]
    fn what_has_no_number_is_null() {
        for value in [None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY), Some(1e126), Some(-1e300)] {
            assert_eq!(to_attribute(value), AttributeValue::Null(true));
        }
    }

    #[test]
    fn text_that_is_no_finite_number_is_refused() {
        for text in ["", "NaN", "inf", "-infinity", "1e999", "12 ", "0x10"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
