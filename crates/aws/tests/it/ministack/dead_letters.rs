use crate::ministack::{archive, config, unique_name};
use aws::aws_sdk_sqs::Client;
use aws::{S3Archive, SqsDeadLetterQueue};
use ports::{Archive as _, DeadLetter};
use std::ops::Deref;

/// The queue, and what a test needs to look into it.
struct Queue {
    sender: SqsDeadLetterQueue<S3Archive>,
    client: Client,
    url: String,
    archive: S3Archive,
}

impl Deref for Queue {
    type Target = SqsDeadLetterQueue<S3Archive>;

    fn deref(&self) -> &Self::Target {
        &self.sender
    }
}

impl ports::DeadLetterQueue for Queue {
    async fn send(&self, letters: Vec<DeadLetter>) -> Vec<Result<(), ports::DeadLetterError>> {
        self.sender.send(letters).await
    }
}

/// An empty queue, by its URL.
pub(crate) async fn create_queue(client: &Client) -> String {
    let answer = client.create_queue().queue_name(unique_name("dead-letters")).send().await.expect("a queue");
    answer.queue_url.expect("a URL")
}

async fn make() -> (Queue, ()) {
    let client = Client::new(&config().await);
    let url = create_queue(&client).await;
    let (archive, ()) = archive::make().await;
    let sender = SqsDeadLetterQueue::new(client.clone(), &url, archive.clone());
    (Queue { sender, client, url, archive }, ())
}

/// Every message of the queue, its payload fetched from the archive where the message says so. Each letter must also
/// stand in the archive, whole.
async fn received(queue: &Queue) -> Vec<DeadLetter> {
    let archived = archived(queue).await;
    let mut letters = Vec::new();
    loop {
        let receive = queue.client.receive_message().queue_url(&queue.url).max_number_of_messages(10);
        let answer = receive.message_attribute_names("All").visibility_timeout(600).send().await.expect("an answer");
        let messages = answer.messages.unwrap_or_default();
        if messages.is_empty() {
            return letters;
        }
        for message in messages {
            let body = message.body.as_deref().expect("a body");
            let json: serde_json::Value = serde_json::from_str(body).expect("JSON");
            let mut letter: DeadLetter = serde_json::from_str(body).expect("a letter");
            let whole = archived.iter().find(|other| other.id == letter.id).expect("it stands in the archive too");
            if let Some(key) = json["payload_archive_key"].as_str() {
                assert_eq!(letter.payload_base64, "");
                let object = queue.archive.get(key).await.expect("an answer").expect("the object that it points to");
                let lines = letters_of(&object);
                let pointed_to = lines.into_iter().find(|other| other.id == letter.id).expect("the letter's line");
                letter.payload_base64 = pointed_to.payload_base64;
            }
            assert_eq!(&letter, whole);
            let attributes = message.message_attributes.unwrap_or_default();
            let attribute = |name: &str| attributes.get(name).and_then(|attribute| attribute.string_value());
            assert_eq!(attribute("reason"), Some(letter.reason.as_str()));
            assert_eq!(attribute("device_id"), letter.device_id.as_deref());
            letters.push(letter);
        }
    }
}

async fn archived(queue: &Queue) -> Vec<DeadLetter> {
    let mut letters = Vec::new();
    for key in queue.archive.list("dead-letters/", None, 1000).await.expect("keys") {
        assert!(key.starts_with("dead-letters/dt=2026-01-31/"), "{key}");
        letters.extend(letters_of(&queue.archive.get(&key).await.expect("an answer").expect("an object")));
    }
    letters
}

fn letters_of(object: &[u8]) -> Vec<DeadLetter> {
    object.split_inclusive(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).expect("a letter")).collect()
}

ports::dead_letter_queue_contract!(make, received);
