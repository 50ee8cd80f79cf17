//! One callback that cannot be translated takes no other along.

use sandbox::graph::Customer;
use serde_json::{Value, json};

use crate::world::{World, by_wamid};

/// The value of a webhook in which a customer writes a text.
fn says(world: &World, customer: &Customer, id: &str, text: &str) -> Value {
    let digits = customer.phone.as_deref().unwrap();
    world.value(json!({
        "contacts": [{ "profile": { "name": "Ann" }, "wa_id": digits }],
        "messages": [{
            "from": digits, "id": id, "timestamp": "1795000000", "type": "text", "text": { "body": text },
        }],
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_the_database_refuses_is_set_aside_and_those_beside_it_go_on_in_order() {
    let mut world = World::start().await;
    world.expect_errors("could not be translated and was set aside");
    world.without_limits().await;
    // From now on the database takes no text a second time.
    world
        .server
        .sql("CREATE UNIQUE INDEX no_text_twice ON messages (text)");
    let people: Vec<Customer> = (0..4)
        .map(|person| Customer::with_phone(format!("49159111111{person:02}")).named("Ann"))
        .collect();
    for message in 0..6 {
        let texts: Vec<Value> = people
            .iter()
            .enumerate()
            .map(|(person, customer)| {
                // The third text of the second person is the first one of the first person.
                let text = match (person, message) {
                    (1, 2) => "0 says 0".to_owned(),
                    _ => format!("{person} says {message}"),
                };
                says(
                    &world,
                    customer,
                    &format!("wamid.{person}.{message}"),
                    &text,
                )
            })
            .collect();
        // Each is a callback of its own; they come at once, so that they are taken together.
        let posts = texts
            .iter()
            .map(|value| world.webhook(std::slice::from_ref(value)));
        futures_util::future::join_all(posts).await;
    }
    for person in 0..people.len() {
        world
            .message_is(&format!("wamid.{person}.5"), "delivered")
            .await;
    }
    world.comes_to_rest().await;
    let kept = world.api.get("events?state=poison").await;
    let kept = kept["items"].as_array().unwrap();
    assert_eq!(kept.len(), 1, "{kept:#?}");
    assert!(kept[0]["error"].is_string(), "{kept:#?}");
    let missing = world.api.get(&by_wamid("wamid.1.2")).await;
    assert_eq!(missing["items"], json!([]));
    let chats = world.portal.chats();
    assert_eq!(chats.len(), people.len());
    for chat in chats {
        let said: Vec<&str> = chat
            .messages
            .iter()
            .map(|message| message.text.as_str())
            .collect();
        let person = &said[0][..1];
        let expected: Vec<String> = (0..6)
            .filter(|message| (person, *message) != ("1", 2))
            .map(|message| format!("{person} says {message}"))
            .collect();
        assert_eq!(said, expected);
    }
    assert_eq!(world.metric("receipts", "poison").await, 1);
    world.server.stop().await;
    world
        .server
        .check_log(&["could not be translated and was set aside".to_owned()]);
}
