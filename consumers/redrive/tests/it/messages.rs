//! Redriving from a queue that hands its messages out, with copies in an archive, as on AWS: nothing counted twice, nothing
//! lost, and nothing changed by looking.

use crate::cloud::{Cloud, End, counted, dead_letter};
use crate::support::{arrival, body, timestamp};
use ports::StreamEntry;
use proptest::prelude::*;
use redrive::{
    Assignment, DeadLetters, Filter, Letter, Order, Outcome, Outgoing, PageRequest, ReasonCode, RedriveError,
    Redriver as _, Repairs, StreamRedriver,
};
use std::collections::BTreeSet;
use telemetry::RejectReason;

fn payload(place: usize) -> Vec<u8> {
    body("d", &format!("2026-06-01T10:00:{place:02}Z"), place as f64, None)
}

fn fill(cloud: &Cloud, letters: usize, copies: usize) {
    for place in 0..letters {
        cloud.letter(&dead_letter(place, RejectReason::PartitionKeyMismatch, &payload(place)), copies);
    }
}

fn event_id(run: usize) -> Repairs {
    Repairs { assignments: vec![Assignment::parse(&format!("event_id=run-{run}")).unwrap()], ..Repairs::default() }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Every letter that a look finds, in its order, and the size of each page.
fn look(cloud: &Cloud, filter: Filter, order: Order, limit: usize) -> (Vec<Letter>, Vec<usize>) {
    cloud.world().end = None;
    cloud.world().ended = false;
    runtime().block_on(async {
        let letters = cloud.letters();
        let (mut found, mut sizes) = (Vec::new(), Vec::new());
        let mut request = PageRequest { filter, order, limit, after: None };
        loop {
            let page = letters.page(&request).await.unwrap();
            sizes.push(page.letters.len());
            letters.release(page.letters.iter().map(|held| held.receipt.clone()).collect()).await.unwrap();
            found.extend(page.letters.into_iter().map(|held| held.letter));
            match page.next {
                Some(next) => request.after = Some(next),
                None => break,
            }
        }
        letters.close().await.unwrap();
        (found, sizes)
    })
}

fn all(cloud: &Cloud) -> Vec<Letter> {
    look(cloud, Filter::default(), Order::NewestFirst, 5).0
}

/// What happens between two runs.
#[derive(Debug, Clone)]
struct Between {
    end: (usize, End),
    /// Whether the next run comes after the hold of the one before.
    is_later: bool,
    /// The place of a message that the queue drops.
    dropped: Option<usize>,
}

fn between() -> impl Strategy<Value = Vec<Between>> {
    let end = (0usize..40, prop_oneof![Just(End::Before), Just(End::After)]);
    let one = (end, any::<bool>(), prop::option::of(0usize..30));
    prop::collection::vec(one.prop_map(|(end, is_later, dropped)| Between { end, is_later, dropped }), 0..8)
}

fn pass(cloud: &Cloud, between: &Between) {
    if between.is_later {
        cloud.holds_run_out();
    }
    if let Some(place) = between.dropped {
        let id = cloud.world().messages.keys().nth(place).cloned();
        id.into_iter().for_each(|id| drop(cloud.world().messages.remove(&id)));
    }
}

proptest! {
    #[test]
    fn runs_killed_between_any_two_steps_count_every_letter_once(
        letters in 1usize..10, copies in 0usize..3, all_between in between(),
    ) {
        let cloud = Cloud::default();
        fill(&cloud, letters, copies);
        for between in &all_between {
            cloud.run(Repairs::default(), Filter::default(), Some(between.end));
            pass(&cloud, between);
        }
        cloud.holds_run_out();
        let (last, outcomes) = cloud.run(Repairs::default(), Filter::default(), None).unwrap();
        prop_assert!(last.is_complete(), "{:?}", outcomes);
        prop_assert_eq!(cloud.world().messages.len(), 0);
        let memory = cloud.count();
        prop_assert_eq!(counted(&memory, "d"), letters as u64);
        prop_assert_eq!(memory.table().letters.len(), 0);
        prop_assert!(all(&cloud).is_empty(), "what went is not found among the copies");
    }

    #[test]
    fn a_letter_changed_in_two_ways_is_counted_once_and_the_second_refused(
        letters in 1usize..6, copies in 0usize..3, all_between in between(),
    ) {
        let cloud = Cloud::default();
        fill(&cloud, letters, copies);
        for (attempt, between) in all_between.iter().enumerate() {
            cloud.run(event_id(attempt), Filter::default(), Some(between.end));
            pass(&cloud, between);
        }
        cloud.holds_run_out();
        cloud.run(Repairs::default(), Filter::default(), None).unwrap();
        let left: BTreeSet<String> = all(&cloud).iter().map(|letter| letter.id().to_owned()).collect();
        let counted = counted(&cloud.count(), "d") as usize;
        prop_assert!(counted <= letters, "{} of {}", counted, letters);
        prop_assert!(counted + left.len() >= letters, "{} and {} left", counted, left.len());
    }

    #[test]
    fn looking_changes_nothing_and_finds_each_letter_once(
        letters in 0usize..12, copies in 0usize..4, limit in 1usize..6,
    ) {
        let cloud = Cloud::default();
        fill(&cloud, letters, copies);
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let (found, sizes) = look(&cloud, Filter::default(), order, limit);
            let ids: BTreeSet<&str> = found.iter().map(Letter::id).collect();
            prop_assert_eq!((found.len(), ids.len()), (letters, letters));
            prop_assert!(sizes.iter().all(|size| *size <= limit));
        }
        let world = cloud.world();
        prop_assert_eq!((world.messages.len(), world.written), (letters * copies, 0));
        prop_assert!(world.messages.values().all(|message| !message.is_held), "all were given back");
    }
}

#[test]
fn without_the_note_a_letter_changed_in_two_ways_would_count_twice() {
    let cloud = Cloud::default();
    fill(&cloud, 1, 1);
    // Stopped after the put, before it is done.
    let steps = (0..40).find(|steps| {
        let trial = Cloud::default();
        fill(&trial, 1, 1);
        trial.run(event_id(1), Filter::default(), Some((*steps, End::Before)));
        trial.world().stream.len() == 1 && trial.world().messages.len() == 1
    });
    cloud.run(event_id(1), Filter::default(), Some((steps.unwrap(), End::Before)));
    cloud.holds_run_out();
    let (_, outcomes) = cloud.run(Repairs::default(), Filter::default(), None).unwrap();
    assert!(matches!(&outcomes[..], [Outcome::Failed(redrive::RedriveError::OtherForm)]), "{outcomes:?}");
    assert_eq!(counted(&cloud.count(), "d"), 1);
    cloud.world().objects.retain(|key, _| !key.starts_with("redrive/forms/"));
    cloud.run(Repairs::default(), Filter::default(), None).unwrap();
    assert_eq!(counted(&cloud.count(), "d"), 2);
}

/// What two runs at once leave of `letters`: what the first sent, where the second did it all after the first had looked.
fn redrive_while_another_run_does_all(cloud: &Cloud) -> Vec<Result<(), RedriveError>> {
    let first = cloud.letters();
    let look = PageRequest { limit: 100, ..PageRequest::default() };
    let page = runtime().block_on(first.page(&look)).unwrap();
    let (second, _) = cloud.run(Repairs::default(), Filter::default(), None).unwrap();
    assert_eq!(second.sent as usize, page.letters.len(), "letters held elsewhere are found among the copies");
    let outgoing = page.letters.into_iter().map(|held| Outgoing {
        id: held.letter.id().to_owned(),
        receipts: vec![held.receipt],
        records: vec![StreamEntry::new("d".to_owned(), b"another form".to_vec())],
        is_whole_record: false,
    });
    let redriver = StreamRedriver { queue: &first, stream: cloud };
    runtime().block_on(async {
        let results = redriver.redrive(outgoing.collect()).await;
        first.delete_leftovers().await.unwrap();
        first.close().await.unwrap();
        results
    })
}

#[test]
fn a_letter_that_another_run_sent_is_gone_and_is_not_sent_again() {
    let cloud = Cloud::default();
    fill(&cloud, 7, 2);
    assert_eq!(redrive_while_another_run_does_all(&cloud), vec![Err(RedriveError::Gone); 7]);
    let left = {
        let world = cloud.world();
        (world.stream.len(), world.messages.len())
    };
    assert_eq!(left, (7, 0));
    assert_eq!(counted(&cloud.count(), "d"), 7);
}

#[test]
fn letters_are_in_the_order_in_which_they_were_given_up_whatever_the_queue_hands_out() {
    let cloud = Cloud::default();
    for (place, second) in [3, 1, 4, 0, 5, 2].into_iter().enumerate() {
        let at = timestamp(&format!("2026-06-01T11:00:{second:02}Z"));
        let letter = dead_letter(place, RejectReason::MalformedJson, b"{");
        cloud.letter(&ports::DeadLetter { arrived_at: at, failed_at: at, ..letter }, 1);
    }
    let order = |order| {
        let (letters, _) = look(&cloud, Filter::default(), order, 2);
        letters.into_iter().map(|letter| letter.failed_at().unwrap()).collect::<Vec<_>>()
    };
    let oldest = order(Order::OldestFirst);
    assert!(oldest.is_sorted() && oldest.len() == 6);
    assert_eq!(order(Order::NewestFirst), oldest.iter().rev().copied().collect::<Vec<_>>());
}

#[test]
fn a_letter_whose_message_the_queue_has_dropped_is_found_among_the_copies_for_a_month_or_since() {
    let cloud = Cloud::default();
    let days_ago =
        |days: i64| telemetry::Timestamp::from_millisecond(arrival().as_millisecond() - days * 86_400_000).unwrap();
    for (place, days) in [0, 15, 30, 45].into_iter().enumerate() {
        let letter = dead_letter(place, RejectReason::MalformedJson, b"{");
        cloud.letter(&ports::DeadLetter { arrived_at: days_ago(days), failed_at: days_ago(days), ..letter }, 0);
    }
    assert_eq!(all(&cloud).len(), 3);
    let since =
        |days| look(&cloud, Filter { since: Some(days_ago(days)), ..Filter::default() }, Order::NewestFirst, 9).0;
    assert_eq!((since(1).len(), since(16).len(), since(60).len()), (1, 2, 4));
}

#[test]
fn what_is_purged_is_found_no_more_and_another_reason_stays() {
    let cloud = Cloud::default();
    fill(&cloud, 3, 2);
    cloud.letter(&dead_letter(9, RejectReason::MalformedJson, b"{"), 1);
    runtime().block_on(async {
        let letters = cloud.letters();
        let reason = Some(ReasonCode::Rejected(RejectReason::PartitionKeyMismatch));
        let request =
            PageRequest { filter: Filter { reason, ..Filter::default() }, limit: 9, ..PageRequest::default() };
        let page = letters.page(&request).await.unwrap();
        let receipts: Vec<String> = page.letters.into_iter().map(|held| held.receipt).collect();
        assert_eq!(letters.delete(receipts).await.unwrap(), 3);
        letters.close().await.unwrap();
    });
    let left = all(&cloud);
    assert_eq!((left.len(), left[0].reason().as_str()), (1, "malformed_json"));
    assert_eq!(cloud.world().messages.len(), 1);
}

#[test]
fn a_payload_that_stands_in_the_archive_alone_is_fetched_and_sent() {
    let cloud = Cloud::default();
    let letter = dead_letter(1, RejectReason::PartitionKeyMismatch, &payload(1));
    cloud.letter(&letter, 0);
    let key = cloud.world().objects.keys().next().unwrap().clone();
    let mut message = serde_json::to_value(&letter).unwrap();
    (message["payload_base64"], message["payload_archive_key"]) = ("".into(), key.clone().into());
    cloud.message("m", message.to_string());
    assert_eq!(all(&cloud)[0].payload().unwrap(), payload(1));
    let (tally, _) = cloud.run(Repairs::default(), Filter::default(), None).unwrap();
    assert!(tally.is_complete());
    assert_eq!(counted(&cloud.count(), "d"), 1);
    // Where the copy is gone, that is said, and nothing is sent.
    cloud.message("m", message.to_string());
    cloud.world().objects.clear();
    assert!(all(&cloud)[0].detail().contains(&key));
    assert_eq!(cloud.run(Repairs::default(), Filter::default(), None).unwrap().0.refused, 1);
    assert_eq!(cloud.world().messages.len(), 1);
}

#[test]
fn a_queue_that_hands_out_no_more_is_worked_off_part_by_part_and_never_shown_as_whole() {
    let cloud = Cloud::default();
    fill(&cloud, 20, 1);
    cloud.world().objects.clear();
    cloud.world().held_max = 6;
    let (tally, _) = cloud.run(Repairs::default(), Filter::default(), None).unwrap();
    assert_eq!(tally.sent, 20);
    cloud.world().objects.clear();
    fill(&cloud, 20, 1);
    runtime().block_on(async {
        let letters = cloud.letters();
        let request = PageRequest { limit: 9, ..PageRequest::default() };
        let page = letters.page(&request).await.unwrap();
        assert_eq!(page.letters.len(), 6);
        let more = PageRequest { after: page.next, ..request };
        assert!(letters.page(&more).await.is_err(), "these were not all");
    });
}

#[test]
fn a_look_ends_though_messages_are_handed_out_again_and_again_and_deletes_by_the_newest_receipt() {
    let cloud = Cloud::default();
    fill(&cloud, 7, 1);
    cloud.world().short_holds = true;
    assert_eq!(all(&cloud).len(), 7);
    assert!(cloud.run(Repairs::default(), Filter::default(), None).unwrap().0.is_complete());
    assert_eq!((counted(&cloud.count(), "d"), cloud.world().messages.len()), (7, 0));
}
