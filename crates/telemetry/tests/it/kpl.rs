//! Aggregates of the Kinesis Producer Library, against ones that other libraries packed.

use md5::{Digest as _, Md5};
use proptest::prelude::*;
use telemetry::kpl::{BadAggregate, SubRecord, aggregate, deaggregate, is_aggregate};

/// Packed by awslabs/kinesis-aggregation: three keys, no explicit hash keys.
const THREE_KEYS: &[u8] = b"\xf3\x89\x9a\xc2\n\x04pk-0\n\x04pk-1\n\x04pk-2\
    \x1a\x13\x08\x00\x1a\x0f{\"msg\":\"line0\"}\x1a\x13\x08\x01\x1a\x0f{\"msg\":\"line1\"}\
    \x1a\x13\x08\x02\x1a\x0f{\"msg\":\"line2\"}\x9f!\xc9\xa7H\xfa\xfd\x8ad\xf6kPh\xa6\xe9\xc4";

/// From the tests of the npm package aws-kinesis-agg: one key, shared.
const ONE_KEY: &[u8] = b"\xf3\x89\x9a\xc2\n\x02p1\x1a\x18\x08\x00\x1a\x14012345678901234567_A\
    \x1a\x18\x08\x00\x1a\x14012345678901234567_B\x1a\x18\x08\x00\x1a\x14012345678901234567_C\
    G\x8c\xbd6\x8b$d\xdc?\xa4;e\x02\xd9~\xae";

/// From the tests of the Ruby gem kinesis-aggregation: explicit hash keys.
const EXPLICIT_HASH_KEYS: &[u8] = b"\xf3\x89\x9a\xc2\n$fc03dd88-3e79-448a-b01a-7cf1bd47b784\
    \n$cae41b1c-ea61-43f2-90be-b8755ebf88e2\n$d490690c-e74d-4db2-a3c8-d8f2f184fd23\
    \n$c924bc09-b85e-47f1-b32e-336522ee53c8\x12&38486495867508399078159723846051807020\
    \x12'193787600037681706952143357071916352604\x12'266880436964932424265466916734068684439\
    \x12'339606600942967391854603552402021847292\x1a&\x08\x00\x10\x00\x1a RECORD 22 peeobhczbzdmskboupgyq\n\
    \x1a&\x08\x01\x10\x01\x1a RECORD 23 uswkxftxroeusscxsjhno\n\x1a&\x08\x02\x10\x02\x1a RECORD 24 casehdgivfaxeustlyszy\n\
    \x1a&\x08\x03\x10\x03\x1a RECORD 25 nvffvpmuogdopjhamevrk\n\
    Q\xc1S\xd0\xde\n4\xca\x9e\x18\xeaK\xcc\xd2\xad\xd5";

/// The magic number, `message`, and its digest.
fn sealed(message: &[u8]) -> Vec<u8> {
    [b"\xf3\x89\x9a\xc2", message, Md5::digest(message).as_slice()].concat()
}

fn record(partition_key: &str, explicit_hash_key: Option<&str>, data: &[u8], place: u64) -> SubRecord {
    SubRecord {
        partition_key: partition_key.into(),
        explicit_hash_key: explicit_hash_key.map(str::to_owned),
        data: data.into(),
        sub_sequence_number: place,
    }
}

#[test]
fn aggregates_of_other_libraries_are_taken_apart() {
    assert_eq!(
        deaggregate(THREE_KEYS).unwrap(),
        [
            record("pk-0", None, b"{\"msg\":\"line0\"}", 0),
            record("pk-1", None, b"{\"msg\":\"line1\"}", 1),
            record("pk-2", None, b"{\"msg\":\"line2\"}", 2),
        ]
    );
    assert_eq!(
        deaggregate(ONE_KEY).unwrap(),
        [
            record("p1", None, b"012345678901234567_A", 0),
            record("p1", None, b"012345678901234567_B", 1),
            record("p1", None, b"012345678901234567_C", 2),
        ]
    );
    let with_hash_keys = deaggregate(EXPLICIT_HASH_KEYS).unwrap();
    assert_eq!(with_hash_keys.len(), 4);
    assert_eq!(
        with_hash_keys[3],
        record(
            "c924bc09-b85e-47f1-b32e-336522ee53c8",
            Some("339606600942967391854603552402021847292"),
            b"RECORD 25 nvffvpmuogdopjhamevrk\n",
            3
        )
    );
}

#[test]
fn records_are_packed_to_the_bytes_that_other_libraries_pack() {
    for packed in [THREE_KEYS, ONE_KEY, EXPLICIT_HASH_KEYS] {
        assert_eq!(aggregate(&deaggregate(packed).unwrap()), packed);
    }
}

#[test]
fn an_aggregate_of_nothing_holds_no_record() {
    assert_eq!(deaggregate(&aggregate(&[])), Ok(vec![]));
}

#[test]
fn only_the_magic_number_makes_an_aggregate() {
    assert!(is_aggregate(THREE_KEYS));
    assert!(!is_aggregate(b"{\"device_id\":\"a\"}"));
    assert!(!is_aggregate(b"\xf3\x89\x9a"));
    assert_eq!(deaggregate(b"{}"), Err(BadAggregate::NoMagic));
}

// "The wire type tells the parser how big the payload after it is. This allows old parsers to skip over new fields they
// don't understand." (https://protobuf.dev/programming-guides/encoding/)
#[test]
fn unknown_fields_and_tags_are_skipped() {
    let unknown = b"\x20\x96\x01\x2a\x03abc\x31\x01\x02\x03\x04\x05\x06\x07\x08\x3d\x01\x02\x03\x04";
    // A record with a tag (4), and an unknown field in the record itself.
    let packed = b"\x1a\x0f\x08\x00\x22\x05\x0a\x03key\x1a\x02ok\x28\x01";
    let message = [&unknown[..], b"\x0a\x01k", unknown, packed].concat();
    assert_eq!(deaggregate(&sealed(&message)).unwrap(), [record("k", None, b"ok", 0)]);
}

#[test]
fn tables_may_follow_the_records_that_refer_to_them() {
    let message = b"\x1a\x06\x08\x01\x1a\x02ok\x0a\x01a\x0a\x01b";
    assert_eq!(deaggregate(&sealed(message)).unwrap(), [record("b", None, b"ok", 0)]);
}

#[test]
fn every_kind_of_damage_under_a_right_digest_is_named() {
    let missing = |member| BadAggregate::Missing { record: 0, member };
    let out_of_range = |member| BadAggregate::IndexOutOfRange { record: 0, member };
    let long_key = [b"\x0a\x81\x02".as_slice(), &[b'k'; 257]].concat();
    let cases: [(&[u8], BadAggregate); 12] = [
        (b"\x0a\x01k\x1a\x04\x1a\x02ok", missing("partition_key_index")),
        (b"\x0a\x01k\x1a\x02\x08\x00", missing("data")),
        (b"\x0a\x01k\x1a\x06\x08\x01\x1a\x02ok", out_of_range("partition_key_index")),
        (b"\x0a\x01k\x1a\x08\x08\x00\x10\x00\x1a\x02ok", out_of_range("explicit_hash_key_index")),
        (b"\x0a\x01\xff", BadAggregate::KeyNotUtf8("partition_key_table")),
        (b"\x12\x01\xff", BadAggregate::KeyNotUtf8("explicit_hash_key_table")),
        (&long_key, BadAggregate::KeyTooLong),
        (b"\x0a\x05k", BadAggregate::NotProtobuf("a field is cut off")),
        (b"\x0b", BadAggregate::NotProtobuf("a wire type is unknown")),
        (b"\x00\x00", BadAggregate::NotProtobuf("a field number is out of range")),
        (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", BadAggregate::NotProtobuf("a number has over 64 bits")),
        (b"\x08\x01", BadAggregate::NotProtobuf("a key, record or data has the wrong wire type")),
    ];
    for (message, expected) in cases {
        assert_eq!(deaggregate(&sealed(message)), Err(expected), "{message:?}");
    }
    assert_eq!(deaggregate(b"\xf3\x89\x9a\xc2short"), Err(BadAggregate::TooShort));
}

#[test]
fn a_small_aggregate_cannot_expand_without_bound() {
    let key = "\u{10ffff}".repeat(256);
    let records = vec![record(&key, None, b"", 0); 70_000];
    let packed = aggregate(&records);
    assert!(packed.len() < 1_000_000, "{}", packed.len());
    assert_eq!(deaggregate(&packed), Err(BadAggregate::TooLarge));
}

fn records() -> impl Strategy<Value = Vec<SubRecord>> {
    let key = "[a-c]{1,3}|\\PC{0,40}";
    let one = (key, prop::option::of("[0-9]{1,39}"), prop::collection::vec(any::<u8>(), 0..200));
    prop::collection::vec(one, 0..20).prop_map(|records| {
        (0..).zip(records).map(|(place, (key, hash, data))| record(&key, hash.as_deref(), &data, place)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_packed_is_unpacked(records in records()) {
        let packed = aggregate(&records);
        prop_assert!(is_aggregate(&packed));
        prop_assert_eq!(deaggregate(&packed).unwrap(), records);
    }

    #[test]
    fn a_changed_byte_never_yields_records(records in records(), at: prop::sample::Index, flip in 1..=255u8) {
        let mut packed = aggregate(&records);
        let at = at.index(packed.len());
        packed[at] ^= flip;
        prop_assert!(deaggregate(&packed).is_err());
    }

    #[test]
    fn a_cut_off_aggregate_never_yields_records(records in records(), length: prop::sample::Index) {
        let packed = aggregate(&records);
        prop_assert!(deaggregate(&packed[..length.index(packed.len())]).is_err());
    }

    #[test]
    fn any_message_is_taken_apart_or_refused(message in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(records) = deaggregate(&sealed(&message)) {
            prop_assert!(records.len() <= message.len());
        }
    }

    #[test]
    fn a_damaged_message_under_a_right_digest_is_taken_apart_or_refused(
        records in records(),
        at: prop::sample::Index,
        flip in 1..=255u8,
    ) {
        let packed = aggregate(&records);
        let mut message = packed[4..packed.len() - 16].to_vec();
        prop_assume!(!message.is_empty());
        let at = at.index(message.len());
        message[at] ^= flip;
        if let Ok(records) = deaggregate(&sealed(&message)) {
            prop_assert!(records.len() <= message.len());
        }
    }
}
