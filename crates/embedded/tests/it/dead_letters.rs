//! What an operator needs of the dead letters: both orders, bounds in time, notes of what is about to be sent.

use embedded::{DeadLetterFilter, DeadLetterOrder, EmbeddedStorage, Options, RedriveIntent};
use ports::{DeadLetter, DeadLetterOrigin, DeadLetterQueue};
use telemetry::{RejectReason, Rejection, Timestamp};

fn at(millisecond: i64) -> Timestamp {
    Timestamp::from_millisecond(millisecond).expect("an instant")
}

fn letter(place: i64) -> DeadLetter {
    let sequence_number = place.to_string();
    let origin = DeadLetterOrigin {
        stream: "s",
        shard_id: "shardId-000000000000",
        sequence_number: &sequence_number,
        sub_sequence_number: None,
        index: None,
        partition_key: "k",
        arrived_at: at(0),
    };
    // Two a millisecond.
    DeadLetter::new(&Rejection::new(RejectReason::MalformedJson, "x"), b"{", origin, at(place / 2))
}

#[tokio::test]
async fn both_orders_list_every_letter_within_the_bounds_once_page_by_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = EmbeddedStorage::open(folder.path(), Options::default()).expect("a new directory");
    let queue = storage.dead_letters();
    assert!(queue.send((0..20).map(letter).collect()).await.iter().all(Result::is_ok));
    for (since, until, expected) in [(None, None, 20), (Some(3), Some(5), 6), (Some(9), None, 2), (Some(5), Some(4), 0)]
    {
        let filter = DeadLetterFilter { since: since.map(at), until: until.map(at), ..DeadLetterFilter::default() };
        let mut lists = Vec::new();
        for order in [DeadLetterOrder::OldestFirst, DeadLetterOrder::NewestFirst] {
            let (mut list, mut after) = (Vec::new(), None::<String>);
            loop {
                let page = queue.list_in(order, after.as_deref(), 3, filter.clone()).await.expect("a page");
                list.extend(page.letters.into_iter().map(|letter| (letter.failed_at, letter.id)));
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            lists.push(list);
        }
        assert_eq!(lists[0].len(), expected);
        assert!(lists[0].is_sorted());
        lists[1].reverse();
        assert_eq!(lists[0], lists[1]);
    }
}

#[tokio::test]
async fn a_letter_is_noted_in_one_form_until_it_is_deleted_and_never_after() {
    let folder = tempfile::tempdir().expect("a folder");
    let (id, other) = (letter(0).id, letter(1).id);
    let note = |storage: &EmbeddedStorage, id: &str, form: u8| {
        let (queue, intents) = (storage.dead_letters(), vec![(id.to_owned(), [form; 16])]);
        async move { queue.note_intents(intents).await.expect("noted")[0] }
    };
    let storage = EmbeddedStorage::open(folder.path(), Options::default()).expect("a new directory");
    assert!(storage.dead_letters().send(vec![letter(0), letter(1)]).await.iter().all(Result::is_ok));
    assert_eq!(note(&storage, &id, 1).await, RedriveIntent::Noted);
    storage.close().await;
    let storage = EmbeddedStorage::open(folder.path(), Options::default()).expect("the same directory");
    assert_eq!(note(&storage, &id, 1).await, RedriveIntent::Noted);
    assert_eq!(note(&storage, &id, 2).await, RedriveIntent::OtherForm);
    assert_eq!(note(&storage, "no-such-letter", 1).await, RedriveIntent::Gone);
    let deleted = storage.dead_letters().delete_all(vec![id.clone(), "no-such-letter".to_owned(), id.clone()]).await;
    assert_eq!(deleted.expect("deleted"), [true, false, false]);
    assert_eq!(note(&storage, &id, 1).await, RedriveIntent::Gone);
    assert_eq!(note(&storage, &other, 2).await, RedriveIntent::Noted);
}
