//! What an operator needs of the dead letters: both orders, bounds in time, notes of what is about to be sent.

use embedded::{EmbeddedStorage, Options};
use ports::{DeadLetter, DeadLetterOrigin, DeadLetterQueue};
use redrive::{DeadLetters, Filter, Intent, Intents, Noted, Order, PageRequest, QueueError, every_page};
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
        let filter = Filter { since: since.map(at), until: until.map(at), ..Filter::default() };
        let mut lists = Vec::new();
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let mut list = Vec::new();
            let request = PageRequest { filter: filter.clone(), order, limit: 3, after: None };
            let look = |page: Vec<redrive::Letter>| -> Result<(), QueueError> {
                list.extend(page.iter().map(|letter| (letter.failed_at(), letter.id().to_owned())));
                Ok(())
            };
            every_page(&queue, request, look).await.expect("every page");
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
        let (queue, intent) = (storage.dead_letters(), Intent { id: id.to_owned(), form: [form; 16] });
        async move { queue.note(vec![intent]).await.expect("noted")[0] }
    };
    let storage = EmbeddedStorage::open(folder.path(), Options::default()).expect("a new directory");
    assert!(storage.dead_letters().send(vec![letter(0), letter(1)]).await.iter().all(Result::is_ok));
    assert_eq!(note(&storage, &id, 1).await, Noted::Noted);
    storage.close().await;
    let storage = EmbeddedStorage::open(folder.path(), Options::default()).expect("the same directory");
    assert_eq!(note(&storage, &id, 1).await, Noted::Noted);
    assert_eq!(note(&storage, &id, 2).await, Noted::OtherForm);
    assert_eq!(note(&storage, "no-such-letter", 1).await, Noted::Gone);
    let deleted = storage.dead_letters().delete(vec![id.clone(), "no-such-letter".to_owned(), id.clone()]).await;
    assert_eq!(deleted.expect("deleted"), 1);
    assert_eq!(note(&storage, &id, 1).await, Noted::Gone);
    assert_eq!(note(&storage, &other, 2).await, Noted::Noted);
}

#[tokio::test]
async fn a_rare_text_takes_more_pages_and_not_longer_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = EmbeddedStorage::open(folder.path(), Options::default()).expect("a new directory");
    let queue = storage.dead_letters();
    assert!(queue.send((0..2500).map(letter).collect()).await.iter().all(Result::is_ok));
    // The newest is looked at first.
    let filter = Filter { text: Some(letter(7).id.to_uppercase()), ..Filter::default() };
    let request = PageRequest { filter, limit: 1000, ..PageRequest::default() };
    let first = queue.page(&request).await.expect("a page");
    assert_eq!(first.letters, [], "it is behind 2,000 letters");
    let second = queue.page(&PageRequest { after: first.next, ..request }).await.expect("a page");
    assert_eq!((second.letters[0].receipt.as_str(), second.next), (letter(7).id.as_str(), None));
}

#[tokio::test]
async fn pages_of_named_letters_end_at_their_size_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = EmbeddedStorage::open(folder.path(), Options::default()).expect("a new directory");
    let queue = storage.dead_letters();
    let large = |place| DeadLetter { payload_base64: "A".repeat(800_000), ..letter(place) };
    assert!(queue.send((0..5).map(large).collect()).await.iter().all(Result::is_ok));
    let mut ids: Vec<String> = (0..5).map(|place| letter(place).id).collect();
    ids.insert(1, "no-such-letter".to_owned());
    ids.push(ids[0].clone());
    let filter = Filter { ids: ids.clone(), ..Filter::default() };
    let (mut pages, mut named) = (0, Vec::new());
    let look = |page: Vec<redrive::Letter>| -> Result<(), QueueError> {
        pages += 1;
        named.extend(page.iter().map(|letter| letter.id().to_owned()));
        Ok(())
    };
    let request = PageRequest { filter, limit: 1000, ..PageRequest::default() };
    every_page(&queue, request, look).await.expect("every page");
    ids.remove(1);
    assert_eq!((pages, named), (2, ids));
    for place in ["9", "-1", "no-place"] {
        let filter = Filter { ids: vec![letter(0).id], ..Filter::default() };
        for filter in [filter, Filter::default()] {
            let request = PageRequest { filter, limit: 1000, after: Some(place.to_owned()), ..PageRequest::default() };
            assert_eq!(queue.page(&request).await.expect("a page").letters, [], "{place}");
        }
    }
}
