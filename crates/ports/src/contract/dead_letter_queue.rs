//! What every [`DeadLetterQueue`] does. The port only sends, so the facts also take a way to see what the queue and
//! its archive hold: every letter ever sent, in any order, any of them more than once.

use crate::{DeadLetter, DeadLetterOrigin, DeadLetterQueue};
use std::collections::BTreeMap;
use telemetry::{DeviceId, RejectReason, Rejection, Timestamp};

fn letter(sequence: usize, payload: &[u8]) -> DeadLetter {
    let sequence_number = format!("4959033827149025660855969253836157109592157598913658{sequence:04}");
    let at = |text: &str| Timestamp::parse(text).expect("an instant");
    let device_id = sequence.is_multiple_of(2).then(|| DeviceId::parse("device-1").expect("a valid name"));
    let reason = RejectReason::ALL[sequence % RejectReason::ALL.len()];
    let rejection = Rejection { reason, detail: "`value`: \u{1b}[31m must be \"a number\"\n".to_owned(), device_id };
    let origin = DeadLetterOrigin {
        stream: "streamgauge",
        shard_id: "shardId-000000000000",
        sequence_number: &sequence_number,
        sub_sequence_number: sequence.is_multiple_of(3).then_some(7),
        index: sequence.is_multiple_of(5).then_some(499),
        partition_key: "a key with ünicode\u{7}",
        arrived_at: at("2026-01-31T12:00:00.123Z"),
    };
    DeadLetter::new(&rejection, payload, origin, at("2026-01-31T12:00:01.000000001Z"))
}

async fn send<Q: DeadLetterQueue>(queue: &Q, letters: Vec<DeadLetter>) {
    let count = letters.len();
    let results = queue.send(letters).await;
    assert_eq!(results.len(), count);
    for result in results {
        result.expect("sent");
    }
}

async fn assert_holds(expected: Vec<DeadLetter>, received: impl Future<Output = Vec<DeadLetter>>) {
    let by_id = |letters: Vec<DeadLetter>| -> BTreeMap<_, _> {
        letters.into_iter().map(|letter| (letter.id.clone(), letter)).collect()
    };
    assert_eq!(by_id(received.await), by_id(expected));
}

/// Nothing sent, nothing there.
pub async fn an_empty_send_sends_nothing<Q: DeadLetterQueue>(queue: &Q, received: impl AsyncFn(&Q) -> Vec<DeadLetter>) {
    send(queue, Vec::new()).await;
    assert_holds(Vec::new(), received(queue)).await;
}

/// Letters come back whole, whatever their payload and texts hold.
pub async fn letters_come_back_whole<Q: DeadLetterQueue>(queue: &Q, received: impl AsyncFn(&Q) -> Vec<DeadLetter>) {
    let all_bytes: Vec<u8> = (0..=255).collect();
    let letters = vec![letter(0, &all_bytes), letter(1, b""), letter(2, b"{\"device_id\":")];
    send(queue, letters.clone()).await;
    assert_holds(letters, received(queue)).await;
}

/// More letters than one call of the back end takes are sent all the same, one result each.
pub async fn many_letters_go_in_one_send<Q: DeadLetterQueue>(queue: &Q, received: impl AsyncFn(&Q) -> Vec<DeadLetter>) {
    let letters: Vec<_> = (0..137).map(|n| letter(n, format!("payload {n}").as_bytes())).collect();
    send(queue, letters.clone()).await;
    assert_holds(letters, received(queue)).await;
}

/// More bytes than one call of the back end takes are sent all the same.
pub async fn many_bytes_go_in_one_send<Q: DeadLetterQueue>(queue: &Q, received: impl AsyncFn(&Q) -> Vec<DeadLetter>) {
    let letters: Vec<_> = (0..12).map(|n| letter(n, &vec![n as u8; 150_000])).collect();
    send(queue, letters.clone()).await;
    assert_holds(letters, received(queue)).await;
}

/// A payload of the stream's whole record limit is kept whole, in the queue or in the archive.
pub async fn the_largest_payload_is_kept<Q: DeadLetterQueue>(queue: &Q, received: impl AsyncFn(&Q) -> Vec<DeadLetter>) {
    let letters = vec![letter(0, b"small"), letter(1, &vec![200; 1 << 20]), letter(2, b"small too")];
    send(queue, letters.clone()).await;
    assert_holds(letters, received(queue)).await;
}

/// A letter that is sent again, in a later send or the same, is still one letter.
pub async fn a_letter_sent_again_is_one_letter<Q: DeadLetterQueue>(
    queue: &Q,
    received: impl AsyncFn(&Q) -> Vec<DeadLetter>,
) {
    let letters: Vec<_> = (0..5).map(|n| letter(n, b"payload")).collect();
    send(queue, letters.clone()).await;
    send(queue, letters[2..].to_vec()).await;
    send(queue, vec![letters[0].clone(), letters[0].clone()]).await;
    assert_holds(letters, received(queue)).await;
}

/// Sends at the same time lose nothing.
pub async fn sends_at_the_same_time_all_arrive<Q: DeadLetterQueue>(
    queue: &Q,
    received: impl AsyncFn(&Q) -> Vec<DeadLetter>,
) {
    let sends = (0..8).map(|sender| send(queue, (0..10).map(|n| letter(sender * 10 + n, b"payload")).collect()));
    super::join_all(sends).await;
    assert_holds((0..80).map(|n| letter(n, b"payload")).collect(), received(queue)).await;
}

/// Makes one test of each fact; `$make` gives `(queue, guard)`, `$received` takes `&queue` and gives every letter that
/// was sent.
#[macro_export]
macro_rules! dead_letter_queue_contract {
    ($make:path, $received:path) => {
        $crate::dead_letter_queue_contract!(
            $make,
            $received,
            [
                an_empty_send_sends_nothing,
                letters_come_back_whole,
                many_letters_go_in_one_send,
                many_bytes_go_in_one_send,
                the_largest_payload_is_kept,
                a_letter_sent_again_is_one_letter,
                sends_at_the_same_time_all_arrive,
            ]
        );
    };
    ($make:path, $received:path, [$($fact:ident),* $(,)?]) => {$(
        #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $fact() {
            let (queue, _guard) = $make().await;
            $crate::contract::dead_letter_queue::$fact(&queue, async |queue: &_| $received(queue).await).await;
        }
    )*};
}
