use super::*;
use proptest::option;
use proptest::prelude::*;

/// Doubles that DynamoDB's numbers hold: the contract's values and everything computed from them lie among these.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![-1e102..1e102f64, -1e3..1e3f64, Just(0.0), Just(1e-130)]
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    (-62_167_219_200_000_000_000i128..253_402_300_799_000_000_000i128)
        .prop_map(|ns| Timestamp::from_nanosecond(ns).expect("between the years 0000 and 9999"))
}

prop_compose! {
    fn readable()(
        (count, anomaly_count) in any::<(u64, u64)>(),
        (mean, median, standard_deviation) in (option::of(value()), option::of(value()), option::of(value())),
        (minimum, maximum) in (option::of(value()), option::of(value())),
        interval in option::of((value(), value())),
        (first_timestamp, last_timestamp) in (option::of(timestamp()), option::of(timestamp())),
        updated_at in timestamp(),
    ) -> StatisticsAttributes {
        let mean_confidence_95 = interval.map(|(low, high)| ConfidenceInterval { low, high });
        StatisticsAttributes {
            count, mean, median, standard_deviation, minimum, maximum, mean_confidence_95, anomaly_count,
            first_timestamp, last_timestamp, updated_at,
        }
    }
}

prop_compose! {
    fn item()(revision in any::<u64>(), attributes in readable(), state in stored())
        -> StatisticsItem
    {
        StatisticsItem { revision, attributes, state }
    }
}

/// Bytes of no newer version.
fn stored() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..600).prop_map(|mut bytes| {
        bytes.first_mut().into_iter().for_each(|version| *version %= 2);
        bytes
    })
}

fn device() -> DeviceId {
    DeviceId::parse("device-1").expect("a valid device id")
}

fn example() -> StatisticsItem {
    let at = Timestamp::parse("2026-01-31T12:00:00Z").expect("a valid timestamp");
    let attributes = StatisticsAttributes {
        count: 1,
        mean: Some(35.0),
        median: Some(35.0),
        standard_deviation: None,
        minimum: Some(35.0),
        maximum: Some(35.0),
        mean_confidence_95: None,
        anomaly_count: 0,
        first_timestamp: Some(at),
        last_timestamp: Some(at),
        updated_at: at,
    };
    StatisticsItem { revision: 7, attributes, state: vec![1, 2, 3] }
}

proptest! {
    #[test]
    fn an_item_reads_back_as_it_was_written(item in item()) {
        prop_assert_eq!(decode_statistics(encode_statistics(&device(), &item)).expect("an item"), item);
    }

    #[test]
    fn a_page_reads_back_as_it_was_written(
        key in "ledger#[0-9]{4}-[0-9]{2}-[0-9]{2}#[0-9]{20}",
        page in stored(),
        expires_at in option::of(any::<i64>()),
    ) {
        let page = LedgerPageItem { key, page, expires_at };
        prop_assert_eq!(decode_page(encode_page(&device(), &page)).expect("a page"), page);
    }

    #[test]
    fn an_item_with_an_attribute_of_another_kind_is_corrupt_and_names_it(item in item(), which in any::<prop::sample::Index>()) {
        let mut attributes = encode_statistics(&device(), &item);
        let mut names: Vec<String> = attributes.keys().filter(|name| *name != "device_id" && *name != "item").cloned().collect();
        names.sort();
        let name = which.get(&names).clone();
        attributes.insert(name.clone(), AttributeValue::Bool(true));
        prop_assert!(corrupt(decode_statistics(attributes)).contains(&name));
    }
}

#[test]
fn the_item_has_the_attributes_of_the_contract_and_no_others() {
    let attributes = encode_statistics(&device(), &example());
    let mut names: Vec<&str> = attributes.keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = [
        "anomaly_count",
        "count",
        "device_id",
        "first_timestamp",
        "item",
        "last_timestamp",
        "maximum",
        "mean",
        "mean_confidence_95",
        "median",
        "minimum",
        "revision",
        "standard_deviation",
        "state",
        "updated_at",
    ];
    assert_eq!(names, expected);
    assert_eq!(attributes["item"], AttributeValue::S("statistics".to_owned()));
    assert_eq!(attributes["standard_deviation"], AttributeValue::Null(true));
    assert_eq!(attributes["first_timestamp"], AttributeValue::S("2026-01-31T12:00:00Z".to_owned()));
}

#[test]
fn an_item_without_one_of_its_attributes_is_corrupt() {
    for name in ["revision", "state", "count", "mean", "updated_at", "mean_confidence_95"] {
        let mut attributes = encode_statistics(&device(), &example());
        attributes.remove(name);
        assert!(corrupt(decode_statistics(attributes)).contains(name), "{name}");
    }
}

fn corrupt<T: std::fmt::Debug>(decoded: Result<T, StoreError>) -> String {
    match decoded.expect_err("corrupt") {
        StoreError::Corrupt(why) => why,
        other => panic!("{other:?}"),
    }
}

/// A newer program may keep other attributes beside the state.
#[test]
fn an_item_or_page_of_a_newer_version_is_not_corrupt() {
    let newer = AttributeValue::B(Blob::new([200u8, 1, 2]));
    let mut item = encode_statistics(&device(), &example());
    item.insert("state".to_owned(), newer.clone());
    item.remove("mean");
    item.insert("count".to_owned(), AttributeValue::Bool(true));
    let error = decode_statistics(item).expect_err("newer");
    assert!(matches!(error, StoreError::NewerVersion { found: 200, known: 2, .. }), "{error:?}");
    let page = LedgerPageItem { key: "ledger#2026-01-31#1".to_owned(), page: vec![1], expires_at: None };
    let mut page = encode_page(&device(), &page);
    page.insert("page".to_owned(), newer);
    page.insert("expires_at".to_owned(), AttributeValue::Bool(true));
    let error = decode_page(page).expect_err("newer");
    assert!(matches!(error, StoreError::NewerVersion { found: 200, known: 1, .. }), "{error:?}");
}

#[test]
fn a_page_without_an_expiry_has_no_ttl_attribute() {
    let page = LedgerPageItem { key: "ledger#2026-01-31#1".to_owned(), page: vec![1], expires_at: None };
    assert!(!encode_page(&device(), &page).contains_key("expires_at"));
}
