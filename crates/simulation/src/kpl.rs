//! Packs records as the Kinesis Producer Library does, independently of the code that takes them apart.
//!
//! <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>

use md5::{Digest as _, Md5};

/// The aggregate of these (partition key, data) records.
pub fn aggregate(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut message = Vec::new();
    for (key, _) in records {
        field(&mut message, 1, key.as_bytes());
    }
    for (index, (_, data)) in records.iter().enumerate() {
        let mut record = vec![1 << 3];
        varint(&mut record, index);
        field(&mut record, 3, data);
        field(&mut message, 3, &record);
    }
    let mut aggregate = vec![0xf3, 0x89, 0x9a, 0xc2];
    aggregate.extend_from_slice(&message);
    aggregate.extend_from_slice(&Md5::digest(&message));
    aggregate
}

/// A length-delimited protobuf field.
fn field(message: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    message.push(number << 3 | 2);
    varint(message, bytes.len());
    message.extend_from_slice(bytes);
}

fn varint(message: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}
