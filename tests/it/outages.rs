//! Calls that are cut, portals and Meta out of order, limits and refusals: everything arrives once and in order, and
//! what is in trouble delays nothing else.

use std::time::Duration;

use sandbox::{
    graph::{self, Customer, Scope, Times, part},
    portal::{Author, Chat, Fault, Rule, Upload, When},
};
use serde_json::{Value, json};

use crate::world::{ACCESS_TOKEN, Options, PATIENCE, World, lena};

const SEND: &str = "imconnector.send.messages";
const PDF: &[u8] = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n";

/// A world in which what is unknown is looked at after a second.
async fn impatient() -> World {
    let mut options = Options::default();
    options
        .variables
        .insert("SEPARATOR_UNKNOWN_WAIT", "1".to_owned());
    let world = World::with(options).await;
    world.without_limits().await;
    world
}

/// The portal works again.
fn recover(world: &World) {
    world.portal.faults().clear();
    world.portal.faults().set(Fault::Unlimited, When::Always);
}

fn customer(index: usize) -> Customer {
    Customer::with_phone(format!("49157200000{index:02}"))
        .named(format!("Person {}", char::from(b'A' + index as u8)))
}

/// What the customer wrote, as the operator sees it.
fn written(chat: &Chat) -> Vec<&str> {
    chat.messages
        .iter()
        .filter(|message| message.author == Author::Customer)
        .map(|message| message.text.as_str())
        .collect()
}

/// The chat that holds this text.
fn chat_of(world: &World, text: &str) -> Chat {
    let holds = |chat: &Chat| written(chat).contains(&text);
    world.portal.chats().into_iter().find(holds).unwrap()
}

fn steps(message: &Value) -> Vec<&str> {
    message["journey"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|step| step["step"].as_str())
        .collect()
}

/// The one message in this direction, with its journey.
async fn only(world: &World, direction: &str) -> Value {
    let path = format!("messages?direction={direction}");
    let list = world
        .api
        .until(&path, |list| list["items"] != json!([]))
        .await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list:#}");
    world
        .api
        .get(&format!(
            "messages/{}",
            list["items"][0]["id"].as_str().unwrap()
        ))
        .await
}

/// Waits until the portal was asked something by this method after having been asked `before` times.
async fn asked(world: &World, before: u64) {
    let portal = world.portal.clone();
    let more = world
        .portals
        .wait_until(|_| portal.counters().requests > before, PATIENCE)
        .await;
    assert!(
        more,
        "the portal was not asked again\n{}",
        world.server.log_tail()
    );
}

/// Waits until a fault of the portal has struck as often as it was to; that the portal was asked something is not enough.
async fn struck(world: &World, fault: Fault) {
    let portal = world.portal.clone();
    let wait = async {
        while portal
            .faults()
            .rules()
            .iter()
            .any(|rule| rule.fault == fault)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("{fault:?} never struck\n{}", world.server.log_tail()));
}

/// Waits until everything that was said is delivered.
async fn quiet(world: &World) {
    let told = world
        .graph
        .wait_until(|graph| graph.counters().updates_waiting() == 0, PATIENCE)
        .await;
    let heard = world
        .portals
        .wait_until(|portals| portals.events_waiting() == 0, PATIENCE)
        .await;
    assert!(
        told && heard,
        "something is still on its way\n{}",
        world.server.log_tail()
    );
    world.comes_to_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_whose_call_was_cut_after_the_portal_took_it_is_found_and_not_repeated() {
    let world = impatient().await;
    world.customer_says(&lena(), "one");
    world.operator_sees_text("one").await;
    quiet(&world).await;
    world
        .portal
        .faults()
        .apply(Rule::new(Fault::CutAfter, When::Next(1)).method(SEND));
    let wamid = world.customer_says(&lena(), "two");
    world.customer_says(&lena(), "three");
    let message = world.message_is(&wamid, "delivered").await;
    let steps = steps(&message);
    assert!(steps.contains(&"unknown"), "{steps:?}");
    assert!(steps.contains(&"found in the operator's chat"), "{steps:?}");
    let chat = world.operator_sees_text("three").await;
    assert_eq!(written(&chat), ["one", "two", "three"]);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_message_of_a_chat_whose_call_was_cut_is_found_and_not_repeated() {
    let world = impatient().await;
    world
        .portal
        .faults()
        .apply(Rule::new(Fault::CutAfter, When::Next(1)).method(SEND));
    let wamid = world.customer_says(&lena(), "hello");
    let message = world.message_is(&wamid, "unknown").await;
    assert_eq!(steps(&message).last(), Some(&"unknown"));
    world.message_is(&wamid, "delivered").await;
    world.customer_says(&lena(), "again");
    let chat = world.operator_sees_text("again").await;
    assert_eq!(written(&chat), ["hello", "again"]);
    assert_eq!(world.portal.chats().len(), 1);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_call_was_cut_is_in_the_chat_once() {
    for fault in [Fault::CutAfter, Fault::CutBefore] {
        let world = impatient().await;
        world.customer_says(&lena(), "a file follows");
        world.operator_sees_text("a file follows").await;
        quiet(&world).await;
        world
            .portal
            .faults()
            .apply(Rule::new(fault, When::Next(1)).method(SEND));
        let file = world.graph.media(
            "document",
            PDF,
            "application/pdf",
            Some("the offer"),
            Some("offer.pdf"),
        );
        let wamid = world.customer_sends(&lena(), file);
        let message = world.message_is(&wamid, "delivered").await;
        assert!(
            steps(&message).contains(&"unknown"),
            "{fault:?}: {message:#}"
        );
        let chat = world.operator_sees_text("the offer").await;
        assert_eq!(written(&chat), ["a file follows", "the offer"], "{fault:?}");
        assert_eq!(chat.messages[1].files.len(), 1, "{fault:?}");
        world.ends_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_whose_call_never_reached_the_portal_is_sent_again() {
    let world = impatient().await;
    world
        .portal
        .faults()
        .apply(Rule::new(Fault::CutBefore, When::Next(1)).method(SEND));
    let wamid = world.customer_says(&lena(), "hello");
    let message = world.message_is(&wamid, "delivered").await;
    let steps = steps(&message);
    assert!(steps.contains(&"unknown"), "{steps:?}");
    assert!(steps.contains(&"not in the chat, sent again"), "{steps:?}");
    let chat = world.operator_sees_text("hello").await;
    assert_eq!(written(&chat), ["hello"]);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_call_was_cut_ends_once_and_in_order() {
    let world = impatient().await;
    world
        .portal
        .faults()
        .apply(Rule::new(Fault::CutAfter, When::Next(2)).method(SEND));
    for round in 0..5 {
        for person in 0..4 {
            world.customer_says(&customer(person), &format!("{person} says {round}"));
        }
    }
    quiet(&world).await;
    let chats = world.portal.chats();
    assert_eq!(chats.len(), 4);
    for chat in &chats {
        let said = written(chat);
        let person = said[0].split(' ').next().unwrap();
        let expected: Vec<String> = (0..5)
            .map(|round| format!("{person} says {round}"))
            .collect();
        assert_eq!(said, expected);
    }
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_many_chats_whose_calls_were_cut_are_found_in_their_histories() {
    const PEOPLE: usize = 30;
    let world = impatient().await;
    for person in 0..PEOPLE {
        world.customer_says(&customer(person), &format!("first of {person}"));
    }
    quiet(&world).await;
    // While the portal thinks about the first person's message, all others write; the call that takes them is cut.
    let slow = Rule::new(Fault::Slow, When::Next(1)).method(SEND);
    let faults = world.portal.faults();
    faults.apply(slow.lasting(Duration::from_millis(1500)));
    world.customer_says(&customer(0), "second of 0");
    let portal = world.portal.clone();
    let thinks = || !(portal.faults().rules().iter()).any(|rule| rule.fault == Fault::Slow);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !thinks() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{}",
            world.server.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let last = chat_of(&world, &format!("first of {}", PEOPLE - 1));
    let cut = Rule::new(Fault::CutAfter, When::Next(1)).method(SEND);
    faults.apply(cut.chat(&last.external_chat_id));
    for person in 1..PEOPLE {
        world.customer_says(&customer(person), &format!("second of {person}"));
    }
    let before = world.portal.counters();
    quiet(&world).await;
    let chats = world.portal.chats();
    assert_eq!(chats.len(), PEOPLE);
    for chat in &chats {
        let said = written(chat);
        let (_, person) = said[0].rsplit_once(' ').unwrap();
        assert_eq!(
            said,
            [format!("first of {person}"), format!("second of {person}")]
        );
    }
    // What was cut together is looked up together: a few requests for many histories.
    let counters = world.portal.counters();
    let looked = counters.calls["imopenlines.session.history.get"];
    let sends = counters.calls[SEND] - before.calls[SEND];
    let looking = counters.requests - before.requests - sends;
    assert!(looked >= 10, "{looked} histories: {counters:?}");
    assert!(looking <= 4, "{looking} requests for {looked} histories");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_whose_answer_was_lost_is_settled_by_its_status() {
    // The wait is far longer than the test: only the status can settle it.
    let world = World::start().await;
    world.customer_says(&lena(), "hello");
    let chat = world.operator_sees_text("hello").await;
    quiet(&world).await;
    world
        .graph
        .faults()
        .set(graph::Fault::WebhookHeld, Times::Always);
    world
        .graph
        .faults()
        .set(graph::Fault::CutAfter, Times::Next(1));
    world.operator_says(&chat, "answer");
    let path = "messages?direction=outbound&state=unknown";
    world
        .api
        .until(path, |list| list["items"] != json!([]))
        .await;
    world.graph.faults().off(graph::Fault::WebhookHeld);
    let path = "messages?direction=outbound&state=delivered";
    world
        .api
        .until(path, |list| list["items"] != json!([]))
        .await;
    quiet(&world).await;
    let message = only(&world, "outbound").await;
    assert!(
        steps(&message).contains(&"settled by a status"),
        "{message:#}"
    );
    assert_eq!(world.received(&lena()).len(), 1);
    let bubble = world.portal.chat(chat.id).unwrap().messages.pop().unwrap();
    assert!(
        bubble.delivered && bubble.external_ids == [message["wamid"].as_str().unwrap()],
        "{bubble:?}"
    );
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_never_reached_meta_is_made_again_after_the_wait_and_the_journey_says_so() {
    let world = impatient().await;
    world.customer_says(&lena(), "hello");
    let chat = world.operator_sees_text("hello").await;
    world
        .graph
        .faults()
        .set(graph::Fault::CutBefore, Times::Next(1));
    world.operator_says(&chat, "answer");
    world.operator_says(&chat, "and another");
    let received = world.customer_receives(&lena(), 2).await;
    let texts: Vec<_> = received
        .iter()
        .map(|message| message.body["text"]["body"].as_str())
        .collect();
    assert_eq!(texts, [Some("answer"), Some("and another")]);
    let message = world.message_is(&received[0].wamid, "delivered").await;
    let steps = steps(&message);
    assert!(
        steps.contains(&"unknown") && steps.contains(&"sent again"),
        "{steps:?}"
    );
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_upload_was_cut_reaches_the_customer_once() {
    let world = impatient().await;
    world.customer_says(&lena(), "hello");
    let chat = world.operator_sees_text("hello").await;
    world
        .graph
        .faults()
        .set(graph::Fault::CutAfter, Times::Next(2));
    world
        .portal
        .operator_writes(chat.id, "", vec![Upload::new("offer.pdf", PDF)])
        .unwrap();
    let received = world.customer_receives(&lena(), 1).await;
    assert_eq!(received[0].media.as_ref().unwrap().bytes, PDF);
    quiet(&world).await;
    assert_eq!(world.received(&lena()).len(), 1);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_portal_has_the_call_it_delivers_once() {
    // Once the portal does nothing any more, once it did everything.
    for (fault, taken) in [(Fault::Slow, false), (Fault::CutAfter, true)] {
        let mut world = impatient().await;
        let rule = Rule::new(fault, When::Next(1))
            .method(SEND)
            .lasting(Duration::from_mins(1));
        world.portal.faults().apply(rule);
        let wamid = world.customer_says(&lena(), "hello");
        struck(&world, fault).await;
        if taken {
            world.operator_sees_text("hello").await;
        }
        world.server.kill();
        world.server.start().await;
        let message = world.message_is(&wamid, "delivered").await;
        let found = steps(&message).contains(&"found in the operator's chat");
        assert_eq!(found, taken, "{message:#}");
        let chat = world.operator_sees_text("hello").await;
        assert_eq!(written(&chat), ["hello"]);
        world.ends_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_meta_has_the_call_it_sends_once() {
    for (fault, taken) in [
        (graph::Fault::Slow(Duration::from_mins(1)), false),
        (graph::Fault::CutAfter, true),
    ] {
        // What Meta took is settled by the status alone: there the wait is longer than the test.
        let mut world = if taken {
            World::start().await
        } else {
            impatient().await
        };
        world.customer_says(&lena(), "hello");
        let chat = world.operator_sees_text("hello").await;
        quiet(&world).await;
        world
            .graph
            .faults()
            .set(graph::Fault::WebhookHeld, Times::Always);
        world.graph.faults().set(fault, Times::Next(1));
        world.operator_says(&chat, "answer");
        let graph = world.graph.clone();
        let wait = async {
            while graph.faults().count(fault) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap();
        world.server.kill();
        world.graph.faults().off(graph::Fault::WebhookHeld);
        world.server.start().await;
        let path = "messages?direction=outbound&state=delivered";
        world
            .api
            .until(path, |list| list["items"] != json!([]))
            .await;
        // The status is written down before what it settles.
        quiet(&world).await;
        let message = only(&world, "outbound").await;
        // What is sent again may be settled by either, whichever comes first: its answer, or its own status.
        let settled = steps(&message).contains(&"settled by a status");
        assert!(settled || !taken, "{message:#}");
        assert_eq!(
            steps(&message).contains(&"sent again"),
            !taken,
            "{message:#}"
        );
        assert_eq!(world.received(&lena()).len(), 1);
        world.ends_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_the_portal_is_out_of_order_arrives_once_and_in_order_afterwards() {
    for fault in [
        Fault::CutBefore,
        Fault::HtmlBadGateway,
        Fault::QueryLimitExceeded,
        Fault::InternalServerError,
    ] {
        let mut world = impatient().await;
        // The name of this fault, in a warning.
        world.expect_errors("INTERNAL_SERVER_ERROR");
        world.customer_says(&customer(0), "0 says 0");
        world.operator_sees_text("0 says 0").await;
        quiet(&world).await;
        world.portal.faults().set(fault, When::Always);
        let before = world.portal.counters().requests;
        for round in 1..4 {
            for person in 0..3 {
                world.customer_says(&customer(person), &format!("{person} says {round}"));
            }
        }
        asked(&world, before + 2).await;
        recover(&world);
        quiet(&world).await;
        let chats = world.portal.chats();
        assert_eq!(chats.len(), 3, "{fault:?}");
        for chat in &chats {
            let said = written(chat);
            let person = said[0].split(' ').next().unwrap();
            let first = usize::from(person != "0");
            let expected: Vec<String> = (first..4)
                .map(|round| format!("{person} says {round}"))
                .collect();
            assert_eq!(said, expected, "{fault:?}");
        }
        world.ends_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_blocked_for_overload_says_so_keeps_everything_and_goes_on() {
    let mut world = World::start().await;
    world.expect_errors("a portal needs attention");
    world
        .portal
        .faults()
        .set(Fault::OverloadLimit, When::Always);
    let wamid = world.customer_says(&lena(), "hello");
    let instance = format!("bitrix/instances/{}", world.instance);
    let shown = |instance: &Value| {
        instance["problem"]
            .as_str()
            .is_some_and(|problem| problem.contains("OVERLOAD_LIMIT"))
    };
    world.api.until(&instance, shown).await;
    let alarms = world.api.get("alarms").await;
    assert!(
        alarms["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|alarm| alarm["kind"] == "portal_trouble"),
        "{alarms:#}"
    );
    let tries = world.portal.calls();
    let tries = tries
        .iter()
        .filter(|call| call.method == "imconnector.send.messages");
    assert_eq!(tries.count(), 1, "a blocked portal is left alone");
    recover(&world);
    // The block is probed after a minute; a restart need not wait for that.
    world.server.stop().await;
    world.server.start().await;
    world.message_is(&wamid, "delivered").await;
    world
        .api
        .until(&instance, |instance| instance["problem"].is_null())
        .await;
    assert_eq!(world.api.get("alarms").await["items"], json!([]));
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_write_while_meta_is_out_of_order_arrives_once_and_in_order_afterwards() {
    for fault in [
        graph::Fault::CutBefore,
        graph::Fault::ServerError,
        graph::Fault::Refused(2),
    ] {
        let world = impatient().await;
        let mut chats = Vec::new();
        for person in 0..3 {
            let hello = format!("hello from {person}");
            world.customer_says(&customer(person), &hello);
            chats.push(world.operator_sees_text(&hello).await);
        }
        world.graph.faults().set(fault, Times::Always);
        for round in 0..3 {
            for chat in &chats {
                world.operator_says(chat, &format!("answer {round}"));
            }
        }
        let wait = async {
            while world.graph.faults().count(fault) < 4 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap();
        world.graph.faults().clear();
        for person in 0..3 {
            let received = world.customer_receives(&customer(person), 3).await;
            let texts: Vec<_> = received
                .iter()
                .map(|message| message.body["text"]["body"].as_str().unwrap())
                .collect();
            assert_eq!(texts, ["answer 0", "answer 1", "answer 2"], "{fault:?}");
        }
        quiet(&world).await;
        assert_eq!(world.graph.counters().received, 9, "{fault:?}");
        world.ends_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_both_sides_down_nothing_is_lost() {
    let world = impatient().await;
    world.customer_says(&lena(), "zero");
    let chat = world.operator_sees_text("zero").await;
    quiet(&world).await;
    world.portal.faults().set(Fault::CutBefore, When::Always);
    world
        .graph
        .faults()
        .set(graph::Fault::CutBefore, Times::Always);
    let before = world.portal.counters().requests;
    world.customer_says(&lena(), "one");
    world.operator_says(&chat, "first");
    world.customer_says(&lena(), "two");
    world.operator_says(&chat, "second");
    asked(&world, before + 1).await;
    recover(&world);
    world.graph.faults().clear();
    let received = world.customer_receives(&lena(), 2).await;
    let texts: Vec<_> = received
        .iter()
        .map(|message| message.body["text"]["body"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["first", "second"]);
    let chat = world.operator_sees_text("two").await;
    assert_eq!(written(&chat), ["zero", "one", "two"]);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_portal_and_a_limited_number_delay_no_other() {
    let world = impatient().await;
    // A second number, linked to a second portal.
    let other = world.portals.add("other");
    let bitrix = world.api.get("bitrix/apps").await;
    let install_url = bitrix["items"][0]["install_url"]
        .as_str()
        .unwrap()
        .to_owned();
    let app = sandbox::portal::LocalApp::api_only(
        crate::world::CLIENT_ID,
        crate::world::CLIENT_SECRET,
        &install_url,
    );
    assert_eq!(other.save_local_app(app).await.status, Some(200));
    let instances = world.api.get("bitrix/instances").await;
    let instance = instances["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|instance| instance["id"] != world.instance.as_str())
        .unwrap()["id"]
        .clone();
    let (account, waba) = ("waba/accounts", graph::Settings::default().waba_id);
    let account = world.api.get(account).await["items"][0]["id"].clone();
    world
        .graph
        .add_phone(&waba, "209300000000099", "4915755509999");
    let phone = world
        .api
        .create(
            "waba/phones",
            json!({ "account": account, "phone": "4915755509999", "phone_id": "209300000000099" }),
        )
        .await;
    let path = format!("waba/phones/{}", phone["id"].as_str().unwrap());
    world
        .api
        .patch(&path, json!({ "instance": instance }))
        .await;
    world
        .api
        .until(&path, |phone| phone["connection"] == "connected")
        .await;

    world.customer_says(&lena(), "to the first");
    let first_chat = world.operator_sees_text("to the first").await;
    quiet(&world).await;
    world.portal.faults().set(Fault::CutBefore, When::Always);
    let limited = graph::Fault::Refused(130_429);
    world
        .graph
        .faults()
        .set_for(limited, Times::Always, Scope::number(world.number.clone()));
    world.customer_says(&lena(), "waits");
    world.operator_says(&first_chat, "waits too");
    world
        .graph
        .customer_writes("209300000000099", &customer(1), part::text("to the second"));
    let second_chat = world.operator_sees_text("to the second").await;
    other
        .operator_writes(second_chat.id, "from the second", Vec::new())
        .unwrap();
    let digits = customer(1).phone.unwrap();
    let arrived = world
        .graph
        .wait_until(
            |world| world.received_count("209300000000099", &digits) == 1,
            PATIENCE,
        )
        .await;
    assert!(
        arrived,
        "the other number was held up\n{}",
        world.server.log_tail()
    );
    assert!(world.received(&lena()).is_empty());
    assert_eq!(
        written(&world.portal.chat(first_chat.id).unwrap()),
        ["to the first"]
    );

    recover(&world);
    world.graph.faults().clear();
    world.customer_receives(&lena(), 1).await;
    world
        .operator_sees("the message that waited", |chat| {
            written(chat) == ["to the first", "waits"]
        })
        .await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_meta_is_waited_for() {
    for (code, step) in [
        (131_056, "waits for the limit of this customer"),
        (130_429, "waits for the limit of the number"),
    ] {
        let world = World::start().await;
        world.customer_says(&lena(), "hello");
        let chat = world.operator_sees_text("hello").await;
        world
            .graph
            .faults()
            .set(graph::Fault::Refused(code), Times::Next(1));
        world.operator_says(&chat, "answer");
        let received = world.customer_receives(&lena(), 1).await;
        let message = world.message_is(&received[0].wamid, "delivered").await;
        assert!(steps(&message).contains(&step), "{message:#}");
        world.ends_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_of_meta_pauses_the_number_until_there_is_a_new_one() {
    let mut world = World::start().await;
    world.expect_errors("Meta does not let a number send");
    world.customer_says(&lena(), "hello");
    let chat = world.operator_sees_text("hello").await;
    world.graph.revoke_token(ACCESS_TOKEN);
    world.operator_says(&chat, "first");
    world.operator_says(&chat, "second");
    let phone = format!("waba/phones/{}", world.phone);
    world
        .api
        .until(&phone, |phone| phone["paused"].is_string())
        .await;
    let alarms = world.api.get("alarms").await;
    assert_ne!(alarms["items"], json!([]), "nobody was called");
    // The other direction goes on.
    world.customer_says(&lena(), "still here");
    world.operator_sees_text("still here").await;
    assert!(world.received(&lena()).is_empty());

    world.graph.add_token("EAAPLANTEDaccesstoken2", None);
    let app = format!("waba/apps/{}", world.app["id"].as_str().unwrap());
    world
        .api
        .patch(&app, json!({ "access_token": "EAAPLANTEDaccesstoken2" }))
        .await;
    let received = world.customer_receives(&lena(), 2).await;
    let texts: Vec<_> = received
        .iter()
        .map(|message| message.body["text"]["body"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["first", "second"]);
    world
        .api
        .until(&phone, |phone| phone["paused"].is_null())
        .await;
    world
        .api
        .until("alarms", |alarms| alarms["items"] == json!([]))
        .await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_portal_refuses_once_is_tried_again() {
    let world = World::start().await;
    world.portal.faults().set(Fault::ItemFailure, When::Next(1));
    let wamid = world.customer_says(&lena(), "hello");
    let message = world.message_is(&wamid, "delivered").await;
    assert!(
        steps(&message).contains(&"refused, will be tried again"),
        "{message:#}"
    );
    let chat = world.operator_sees_text("hello").await;
    assert_eq!(written(&chat), ["hello"]);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_portal_always_refuses_becomes_a_dead_letter_that_can_be_replayed() {
    let world = World::start().await;
    world.customer_says(&lena(), "before");
    let chat = world.operator_sees_text("before").await;
    world
        .portal
        .faults()
        .apply(Rule::new(Fault::ItemFailure, When::Always).chat(&chat.external_chat_id));
    let wamid = world.customer_says(&lena(), "refused");
    world.customer_says(&customer(1), "undisturbed");
    world.operator_sees_text("undisturbed").await;
    let message = world.message_is(&wamid, "failed").await;
    assert_eq!(message["error"]["code"], "PORTAL", "{message:#}");
    let alarms = world.api.get("alarms").await;
    assert_eq!(alarms["items"][0]["kind"], "dead_letters", "{alarms:#}");
    recover(&world);
    // What follows is not held up.
    world.customer_says(&lena(), "after");
    world
        .operator_sees("what follows", |chat| written(chat) == ["before", "after"])
        .await;

    let letters = world.api.get("queue/dead_letters").await;
    let letter = letters["items"][0]["id"].as_str().unwrap();
    world
        .api
        .create(&format!("queue/dead_letters/{letter}/replay"), json!({}))
        .await;
    world.message_is(&wamid, "delivered").await;
    world
        .operator_sees("the replayed message", |chat| {
            written(chat) == ["before", "after", "refused"]
        })
        .await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_tried_at_growing_pauses_for_72_hours_then_given_up_and_can_be_replayed() {
    const HOUR: i64 = 3_600_000;
    const AGAIN: &str = "failed, will be tried again";
    // "Service temporarily unavailable"; it may last.
    const FAULT: graph::Fault = graph::Fault::Refused(2);
    let mut world = World::start().await;
    world.expect_errors("a message was given up");
    world.customer_says(&lena(), "hello");
    let chat = world.operator_sees_text("hello").await;
    quiet(&world).await;
    world.graph.faults().set(FAULT, Times::Always);
    world.operator_says(&chat, "answer");
    let tried = async |world: &World, times: usize| {
        let list = world
            .api
            .until("messages?direction=outbound", |list| {
                list["items"]
                    .as_array()
                    .is_some_and(|items| items.len() == 1)
            })
            .await;
        let path = format!("messages/{}", list["items"][0]["id"].as_str().unwrap());
        let failures =
            |message: &Value| steps(message).iter().filter(|step| **step == AGAIN).count();
        world
            .api
            .until(&path, |message| failures(message) >= times)
            .await
    };
    let pauses = [1, 5, 30, 120, 600, 1800, 3600, 3600];
    for (before, seconds) in pauses.into_iter().enumerate() {
        let message = tried(&world, before + 1).await;
        let last = message["journey"].as_array().unwrap().last().unwrap();
        let at: jiff::Timestamp = last["at"].as_str().unwrap().parse().unwrap();
        let due = world
            .server
            .sql("SELECT due_at FROM lanes WHERE side = 'meta'");
        let pause = due.parse::<i64>().unwrap() - at.as_millisecond();
        assert_eq!(pause, seconds * 1000, "{message:#}");
        // The pause is not waited for here; that it survives a crash is shown along the way.
        world.server.kill();
        let past = if before + 1 < pauses.len() {
            0
        } else {
            72 * HOUR
        };
        world.server.sql(&format!(
            "UPDATE outbox SET created_at = created_at - {past} WHERE side = 'meta'"
        ));
        world.server.sql("UPDATE lanes SET due_at = 1");
        world.server.start().await;
    }
    let message = only(&world, "outbound").await;
    let path = format!("messages/{}", message["id"].as_str().unwrap());
    let message = world
        .api
        .until(&path, |message| message["state"] == "failed")
        .await;
    assert_eq!(message["error"]["code"], "GIVEN_UP", "{message:#}");
    world.note("72 hours").await;
    let alarms = world.api.get("alarms").await;
    assert_eq!(alarms["items"][0]["kind"], "dead_letters", "{alarms:#}");
    assert_eq!(world.received(&lena()).len(), 0);

    world.graph.faults().off(FAULT);
    let letters = world.api.get("queue/dead_letters").await;
    let letter = letters["items"][0]["id"].as_str().unwrap();
    world
        .api
        .create(&format!("queue/dead_letters/{letter}/replay"), json!({}))
        .await;
    let received = world.customer_receives(&lena(), 1).await;
    assert_eq!(received[0].body["text"]["body"], "answer");
    quiet(&world).await;
    assert_eq!(world.received(&lena()).len(), 1);
    world.ends_clean().await;
}
