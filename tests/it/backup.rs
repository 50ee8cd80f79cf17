//! A copy that was taken while the program ran goes on elsewhere.

use std::time::Duration;

use sandbox::{
    graph::{self, Times},
    portal::{Author, Chat, Fault, When},
};
use serde_json::json;

use crate::world::{Options, PATIENCE, World, lena};

const PDF: &str = "%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n";

fn texts(chat: &Chat, author: Author) -> Vec<&str> {
    chat.messages
        .iter()
        .filter(|message| message.author == author)
        .map(|message| message.text.as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_on_elsewhere_with_what_waited_and_repeats_nothing() {
    let mut options = Options::default();
    options
        .variables
        .insert("SEPARATOR_UNKNOWN_WAIT", "1".to_owned());
    let mut world = World::with(options).await;
    world.expect_errors("INTERNAL_SERVER_ERROR");
    world.without_limits().await;
    let first = world.customer_says(&lena(), "one");
    let chat = world.operator_sees_text("one").await;
    world.operator_says(&chat, "answer");
    world.customer_receives(&lena(), 1).await;
    world.message_is(&first, "delivered").await;
    world.comes_to_rest().await;

    // Something waits in either direction while the copy is taken, a file among it that is here already.
    world
        .portal
        .faults()
        .set(Fault::InternalServerError, When::Always);
    let second = world.customer_says(&lena(), "two");
    let file = world
        .graph
        .media("document", PDF, "application/pdf", None, Some("offer.pdf"));
    let with_file = world.customer_sends(&lena(), file);
    world.message(&second).await;
    world.message(&with_file).await;
    world
        .api
        .until("queue", |queue| queue["depth"].as_i64() >= Some(2))
        .await;
    let media = world.server.data_dir().join("media");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !media.exists() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{}",
            world.server.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world
        .graph
        .faults()
        .set(graph::Fault::ServerError, Times::Always);
    world.operator_says(&chat, "waits");
    world
        .api
        .until("queue", |queue| queue["depth"].as_i64() >= Some(3))
        .await;
    let copy = world.server.back_up();

    world.server.restore(&copy);
    world.portal.faults().clear();
    world.portal.faults().set(Fault::Unlimited, When::Always);
    world.graph.faults().off(graph::Fault::ServerError);
    world.server.start().await;
    world.customer_receives(&lena(), 2).await;
    let bubble = world.bubble(&with_file).await;
    assert_eq!(bubble.files.len(), 1, "{bubble:#?}");

    // Meta repeats what was done before the copy was taken.
    let digits = lena().phone.unwrap();
    let again = world.value(json!({
        "contacts": [{ "profile": { "name": "Lena Klein" }, "wa_id": digits }],
        "messages": [{
            "from": digits, "id": first, "timestamp": "1795000000", "type": "text", "text": { "body": "one" },
        }],
    }));
    world.webhook(&[again]).await;
    world.customer_says(&lena(), "three");
    let chat = world.operator_sees_text("three").await;
    world.operator_says(&chat, "after");
    world.customer_receives(&lena(), 3).await;
    world.comes_to_rest().await;

    assert_eq!(world.portal.chats().len(), 1, "the same chat");
    let chat = world.portal.chat(chat.id).unwrap();
    let said: Vec<&str> = texts(&chat, Author::Customer)
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect();
    assert_eq!(said.first(), Some(&"one"));
    assert_eq!(said.last(), Some(&"three"));
    for text in ["one", "two", "three"] {
        let times = said.iter().filter(|said| **said == text).count();
        assert_eq!(times, 1, "{text}: {said:?}");
    }
    let received: Vec<String> = world
        .received(&lena())
        .iter()
        .map(|received| received.body["text"]["body"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(received, ["answer", "waits", "after"]);
    world.ends_clean().await;
}
