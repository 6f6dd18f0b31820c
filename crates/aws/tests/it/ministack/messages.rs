use crate::ministack::dead_letters::create_queue;
use crate::ministack::{archive, config};
use aws::SqsMessages;
use aws::aws_sdk_sqs::Client;
use ports::{Message, MessageQueue as _, PutNew as _};
use std::collections::BTreeSet;
use std::time::Duration;

const HOLD: Duration = Duration::from_secs(600);

async fn queue_of(count: usize) -> (Client, String, SqsMessages) {
    let client = Client::new(&config().await);
    let url = create_queue(&client).await;
    for place in 0..count {
        client.send_message().queue_url(&url).message_body(format!("body {place}")).send().await.expect("sent");
    }
    let messages = SqsMessages::new(client.clone(), &url);
    (client, url, messages)
}

/// Everything that is handed out until nothing is.
async fn all(messages: &SqsMessages) -> Vec<Message> {
    let mut received = Vec::new();
    loop {
        let some = messages.receive(HOLD).await.expect("an answer");
        if some.is_empty() {
            return received;
        }
        received.extend(some);
    }
}

#[tokio::test]
async fn messages_are_held_given_back_and_deleted_in_batches() {
    let (_, _, messages) = queue_of(137).await;
    assert_eq!(messages.numbers().await.expect("numbers").visible, 137);
    let first = all(&messages).await;
    let bodies: BTreeSet<&str> = first.iter().map(|message| message.body.as_str()).collect();
    assert_eq!((first.len(), bodies.len()), (137, 137));
    assert!(all(&messages).await.is_empty(), "held");
    assert_eq!(messages.numbers().await.expect("numbers").held, 137);

    messages.release(first.iter().map(|message| message.receipt.clone()).collect()).await.expect("released");
    let second = all(&messages).await;
    assert_eq!(second.len(), 137);
    let receipts: Vec<String> = second.iter().take(100).map(|message| message.receipt.clone()).collect();
    messages.delete(receipts.clone()).await.expect("deleted");
    messages.delete(receipts).await.expect("what is gone already is no failure");
    messages.release(second.into_iter().map(|message| message.receipt).collect()).await.expect("released");
    assert_eq!(all(&messages).await.len(), 37);
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_named_with_the_action() {
    let (client, url, _) = queue_of(0).await;
    let messages = SqsMessages::new(client, url + "-not");
    let error = messages.receive(HOLD).await.expect_err("no such queue");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.contains("sqs:ReceiveMessage") && cause.contains("-not"), "{cause}");
    assert!(messages.numbers().await.is_err());
}

#[tokio::test]
async fn of_several_who_put_under_one_key_exactly_one_succeeds() {
    let (archive, ()) = archive::make().await;
    let key = "redrive/forms/0.json";
    let puts = (0..8u8).map(|number| archive.put_new(key, vec![number]));
    let results = futures::future::join_all(puts).await;
    let put: Vec<usize> = (0..8).filter(|place| matches!(results[*place], Ok(true))).collect();
    assert_eq!(put.len(), 1, "{results:?}");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let stands = ports::Archive::get(&archive, key).await.expect("an answer");
    assert_eq!(stands, Some(vec![put[0] as u8]));
    assert!(!archive.put_new(key, b"later".to_vec()).await.expect("an answer"));
    assert!(archive.put_new("redrive/forms/1.json", b"other".to_vec()).await.expect("an answer"));
    assert!(matches!(archive.put_new("a//b", Vec::new()).await, Err(ports::ArchiveError::InvalidKey(_))));
}
