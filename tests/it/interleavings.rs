//! Whatever the order, the grouping and the repetition in which callbacks come, the chat ends the same.
//!
//! `SEPARATOR_TEST_SEED` repeats the cases of a run whose seed a failure printed.

use sandbox::{
    graph::{Customer, Fault as MetaFault, Times},
    portal::{Author, Fault, When},
};
use serde_json::{Value, json};

use crate::world::{PATIENCE, World};

/// Cases in one world, each with people of its own.
const CASES: u64 = 8;
const PEOPLE: u64 = 3;

/// Numbers that look random and are the same for the same seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Something that a customer does.
#[derive(Clone, Debug)]
struct Update {
    phone: String,
    id: String,
    /// The message that stands in the chat because of it: its own, or the one that it edits or takes back.
    stands: String,
    /// What the operator reads there in the end; nothing where it was taken back.
    reads: Option<String>,
    message: Value,
}

/// Five texts of which one is edited, one taken back, one both, and one reacted to.
fn updates_of(phone: &str) -> Vec<Update> {
    let id = |name: &str| format!("wamid.{phone}.{name}");
    let update = |name: &str, stands: &str, reads: Option<&str>, part: Value| {
        let mut message = part;
        message["from"] = phone.into();
        message["id"] = id(name).into();
        message["timestamp"] = "1795500000".into();
        Update {
            phone: phone.to_owned(),
            id: id(name),
            stands: id(stands),
            reads: reads.map(|text| text.replace('#', phone)),
            message,
        }
    };
    let text = |body: &str| json!({ "type": "text", "text": { "body": body.replace('#', phone) } });
    let edit = |name: &str, body: &str| json!({ "type": "edit", "edit": { "original_message_id": id(name), "message": text(body) } });
    let revoke =
        |name: &str| json!({ "type": "revoke", "revoke": { "original_message_id": id(name) } });
    vec![
        update("a", "a", Some("# a"), text("# a")),
        update("b", "b", Some("# b, edited"), text("# b")),
        update("c", "c", None, text("# c")),
        update("d", "d", None, text("# d")),
        update("e", "e", Some("# e"), text("# e")),
        update("b2", "b", Some("# b, edited"), edit("b", "# b, edited")),
        update("c2", "c", None, revoke("c")),
        update("d2", "d", None, edit("d", "# d, edited")),
        update("d3", "d", None, revoke("d")),
        update(
            "e2",
            "e2",
            Some("🙏"),
            json!({ "type": "reaction", "reaction": { "message_id": id("e"), "emoji": "🙏" } }),
        ),
    ]
}

/// What stands in the chat of a customer in the end, in the order in which it was first heard of.
fn expected(delivered: &[Update], phone: &str) -> Vec<String> {
    let mut order: Vec<(&str, &str)> = Vec::new();
    for update in delivered.iter().filter(|update| update.phone == phone) {
        if let Some(reads) = &update.reads
            && !order.iter().any(|(stands, _)| *stands == update.stands)
        {
            order.push((&update.stands, reads));
        }
    }
    order
        .into_iter()
        .map(|(_, reads)| reads.to_owned())
        .collect()
}

async fn deliver(world: &World, chance: &mut Chance, updates: &[Update]) {
    let mut rest = updates;
    while !rest.is_empty() {
        let (group, others) = rest.split_at((1 + chance.below(6)).min(rest.len()));
        let values: Vec<Value> = group
            .iter()
            .map(|update| {
                world.value(json!({
                    "contacts": [{ "profile": { "name": "Ann" }, "wa_id": update.phone }],
                    "messages": [update.message],
                }))
            })
            .collect();
        world.webhook(&values).await;
        rest = others;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_interleaving_of_callbacks_of_meta_ends_in_the_same_chat() {
    let seed = std::env::var("SEPARATOR_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    println!("SEPARATOR_TEST_SEED={seed}");
    let world = World::start().await;
    world.without_limits().await;
    let mut chance = Chance(seed);
    for case in 0..CASES {
        let phones: Vec<String> = (0..PEOPLE)
            .map(|person| format!("491580000{case:02}{person:02}"))
            .collect();
        let mut updates: Vec<Update> = phones.iter().flat_map(|phone| updates_of(phone)).collect();
        let again = updates.clone();
        chance.shuffle(&mut updates);
        // Repetitions come anywhere; before the original they are the original.
        for update in again {
            if chance.below(2) == 0 {
                updates.insert(chance.below(updates.len() + 1), update);
            }
        }
        deliver(&world, &mut chance, &updates).await;
        world.comes_to_rest().await;
        for phone in &phones {
            let chats: Vec<_> = world
                .portal
                .chats()
                .into_iter()
                .filter(|chat| {
                    chat.user_phone
                        .as_deref()
                        .is_some_and(|shown| shown.contains(phone.as_str()))
                })
                .collect();
            assert_eq!(
                chats.len(),
                1,
                "case {case}: {phone} has {} chats",
                chats.len()
            );
            let shown: Vec<&str> = chats[0]
                .messages
                .iter()
                .filter(|message| message.author == Author::Customer && !message.deleted)
                .map(|message| message.text.as_str())
                .collect();
            let expected = expected(&updates, phone);
            let same = shown.len() == expected.len()
                && shown.iter().zip(&expected).all(|(shown, expected)| {
                    shown == expected || (expected == "🙏" && shown.starts_with("🙏"))
                });
            let order: Vec<&str> = updates.iter().map(|update| update.id.as_str()).collect();
            assert!(
                same,
                "case {case}\nshown {shown:#?}\nexpected {expected:#?}\ndelivered {order:#?}"
            );
        }
    }
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doubled_events_and_reordered_statuses_change_nothing() {
    let world = World::start().await;
    world.without_limits().await;
    world
        .portal
        .faults()
        .set(Fault::EventDuplicated, When::Always);
    let faults = world.graph.faults();
    faults.set(MetaFault::WebhookDuplicate, Times::Always);
    faults.set(MetaFault::WebhookReordered, Times::Always);
    let people: Vec<Customer> = (0..3)
        .map(|person| Customer::with_phone(format!("49158111111{person:02}")).named("Ann"))
        .collect();
    let mut chats = Vec::new();
    for (index, person) in people.iter().enumerate() {
        let hello = format!("hello from {index}");
        world.customer_says(person, &hello);
        chats.push(world.operator_sees_text(&hello).await);
    }
    for answer in 0..10 {
        for chat in &chats {
            world.operator_says(chat, &format!("answer {answer}"));
        }
    }
    for person in &people {
        let received = world.customer_receives(person, 10).await;
        let digits = person.phone.as_deref().unwrap();
        world.graph.read(&world.number, digits);
        for (index, message) in received.iter().enumerate() {
            assert_eq!(message.body["text"]["body"], format!("answer {index}"));
        }
    }
    let told = world
        .graph
        .wait_until(|graph| graph.counters().updates_waiting() == 0, PATIENCE)
        .await;
    let heard = world
        .portals
        .wait_until(|portals| portals.events_waiting() == 0, PATIENCE)
        .await;
    assert!(told && heard);
    world.comes_to_rest().await;
    for person in &people {
        let received = world.received(person);
        assert_eq!(received.len(), 10);
        for message in received {
            world.message_is(&message.wamid, "read").await;
        }
    }
    for chat in &chats {
        let chat = world.portal.chat(chat.id).unwrap();
        assert_eq!(chat.messages.len(), 11, "{:#?}", chat.messages);
        assert!(
            chat.messages[1..].iter().all(|message| message.delivered),
            "{:#?}",
            chat.messages
        );
    }
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_messages_whose_events_come_swapped_are_sent_and_confirmed_once_each() {
    let world = World::start().await;
    world.without_limits().await;
    let customer = Customer::with_phone("4915811111199").named("Ann");
    world.customer_says(&customer, "hello");
    let chat = world.operator_sees_text("hello").await;
    for round in 0..5 {
        // The first event is held until the second has been sent.
        world
            .portal
            .faults()
            .set(Fault::EventSwapped, When::Next(1));
        world.operator_says(&chat, &format!("first of {round}"));
        world.operator_says(&chat, &format!("second of {round}"));
        let received = world.customer_receives(&customer, 2 * (round + 1)).await;
        let said: Vec<&Value> = received[2 * round..]
            .iter()
            .map(|message| &message.body["text"]["body"])
            .collect();
        assert_eq!(
            said,
            [
                &json!(format!("second of {round}")),
                &json!(format!("first of {round}"))
            ]
        );
    }
    let heard = world
        .portals
        .wait_until(|portals| portals.events_waiting() == 0, PATIENCE)
        .await;
    assert!(heard);
    world.comes_to_rest().await;
    assert_eq!(world.received(&customer).len(), 10);
    let chat = world.portal.chat(chat.id).unwrap();
    let answers: Vec<_> = chat
        .messages
        .iter()
        .filter(|message| message.author != Author::Customer)
        .collect();
    assert_eq!(answers.len(), 10, "{:#?}", chat.messages);
    assert!(
        answers.iter().all(|message| message.delivered),
        "{answers:#?}"
    );
    world.ends_clean().await;
}
