//! What every [`Checkpoints`] does.

use crate::{Checkpoints, SequenceNumber, ShardId};

fn shard(name: &str) -> ShardId {
    ShardId(name.to_owned())
}

fn sequence(decimal: &str) -> SequenceNumber {
    decimal.parse().expect("a sequence number")
}

/// A shard without a checkpoint has none.
pub async fn a_new_shard_has_no_checkpoint<C: Checkpoints>(checkpoints: &C) {
    let loaded = checkpoints.load(&shard("shardId-000000000000")).await.expect("a checkpoint");
    assert_eq!(loaded, None);
}

/// What is saved is loaded, and the last save stands, even where it goes back.
pub async fn the_last_save_stands<C: Checkpoints>(checkpoints: &C) {
    let shard = shard("shardId-000000000000");
    for number in ["1", "7", "7", "3"] {
        checkpoints.save(&shard, sequence(number)).await.expect("saved");
        assert_eq!(checkpoints.load(&shard).await.expect("a checkpoint"), Some(sequence(number)));
    }
}

/// Kinesis' sequence numbers of 56 digits come back whole.
pub async fn the_longest_sequence_numbers_come_back<C: Checkpoints>(checkpoints: &C) {
    let shard = shard("shardId-000000000001");
    for number in ["49590338271490256608559692538361571095921575989136588898", &"9".repeat(56), "0"] {
        checkpoints.save(&shard, sequence(number)).await.expect("saved");
        assert_eq!(checkpoints.load(&shard).await.expect("a checkpoint"), Some(sequence(number)));
    }
}

/// One shard's checkpoint says nothing about another's.
pub async fn shards_have_their_own_checkpoints<C: Checkpoints>(checkpoints: &C) {
    let shards: Vec<_> = (0..10).map(|n| shard(&format!("shardId-{n:012}"))).collect();
    for (n, shard) in shards.iter().enumerate() {
        checkpoints.save(shard, SequenceNumber::from(n as u64)).await.expect("saved");
    }
    for (n, shard) in shards.iter().enumerate() {
        let loaded = checkpoints.load(shard).await.expect("a checkpoint");
        assert_eq!(loaded, Some(SequenceNumber::from(n as u64)));
    }
    assert_eq!(checkpoints.load(&shard("shardId-000000000010")).await.expect("a checkpoint"), None);
}

/// Makes one test of each fact; `$make` gives `(checkpoints, guard)`.
#[macro_export]
macro_rules! checkpoints_contract {
    ($make:path) => {
        $crate::contract_tests!(
            checkpoints,
            $make,
            [
                a_new_shard_has_no_checkpoint,
                the_last_save_stands,
                the_longest_sequence_numbers_come_back,
                shards_have_their_own_checkpoints,
            ]
        );
    };
}
