//! A portal that takes two calls a second gets everything in order and never has to say that it is too much.

use std::{collections::BTreeMap, time::Duration};

use sandbox::{
    graph::{Customer, Settings},
    portal::{Author, Fault, Rule, When},
};
use serde_json::Value;

use crate::world::{Options, PATIENCE, World, lena};

const PEOPLE: usize = 60;
const MESSAGES: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_a_limited_portal_is_carried_in_order_without_one_refusal() {
    let options = Options::default();
    let graph = Settings {
        webhook_lanes: 8,
        webhook_gather: 50,
        ..options.graph
    };
    let world = World::with(Options { graph, ..options }).await;
    let mut names = BTreeMap::new();
    for message in 0..MESSAGES {
        for person in 0..PEOPLE {
            let customer = Customer::with_phone(format!("49157400000{person:02}")).named("Ann");
            let text = format!("{person} says {message}");
            world.customer_says(&customer, &text);
            names.insert(person, customer);
        }
    }
    let all = (PEOPLE * MESSAGES) as u64;
    let portal = world.portal.clone();
    let arrived = world
        .portals
        .wait_until(|_| portal.counters().customer_messages >= all, PATIENCE)
        .await;
    assert!(
        arrived,
        "{:?}\n{}",
        portal.counters(),
        world.server.log_tail()
    );
    for chat in portal.chats() {
        let said: Vec<&str> = chat
            .messages
            .iter()
            .filter(|message| message.author == Author::Customer)
            .map(|message| message.text.as_str())
            .collect();
        let person = said[0].split(' ').next().unwrap();
        let expected: Vec<String> = (0..MESSAGES)
            .map(|message| format!("{person} says {message}"))
            .collect();
        assert_eq!(said, expected);
    }
    let before = portal.counters().requests;
    // Each is answered; the confirmations share calls as well.
    for chat in portal.chats() {
        world.operator_says(&chat, "answer");
    }
    let confirmed = world
        .portals
        .wait_until(|_| portal.counters().delivered >= PEOPLE as u64, PATIENCE)
        .await;
    let counters = portal.counters();
    assert!(confirmed, "{counters:?}\n{}", world.server.log_tail());
    assert_eq!(counters.refused, 0, "{counters:?}");
    assert!(
        counters.requests - before < PEOPLE as u64,
        "confirmations went one by one: {counters:?}"
    );
    let calls = counters.calls["imconnector.send.messages"];
    assert!(calls * 4 < all, "{calls} calls for {all} messages");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_has_used_up_its_time_rests_as_long_as_the_portal_says_and_no_other_with_it()
{
    let world = World::start().await;
    world.customer_says(&lena(), "before");
    let chat = world.operator_sees_text("before").await;
    world.comes_to_rest().await;
    let rule = Rule::new(Fault::OperationTimeLimit, When::Next(1))
        .method("imconnector.send.messages")
        .lasting(Duration::from_secs(4));
    world.portal.faults().apply(rule);
    let wamid = world.customer_says(&lena(), "after");
    let refused = world
        .portals
        .wait_until(|_| world.portal.faults().rules().is_empty(), PATIENCE)
        .await;
    assert!(refused, "{}", world.server.log_tail());
    // The answer goes to the customer and is confirmed to the portal, by another method, meanwhile.
    let answer = world.operator_says(&chat, "an answer");
    let confirmed = world
        .portals
        .wait_until(
            |_| {
                let chat = world.portal.chat(chat.id).unwrap();
                let answer = chat.messages.iter().find(|message| message.id == answer);
                answer.is_some_and(|answer| answer.delivered)
            },
            PATIENCE,
        )
        .await;
    assert!(confirmed, "{}", world.server.log_tail());
    let message = world.message_is(&wamid, "delivered").await;
    let at = |step: &str| -> i64 {
        let steps = message["journey"].as_array().unwrap();
        let found = steps.iter().find(|one| one["step"] == step);
        found
            .and_then(|one| one["at"].as_str()?.parse().ok())
            .map_or_else(
                || panic!("no step {step}: {message:#}"),
                jiff::Timestamp::as_millisecond,
            )
    };
    let waited = at("in the operator's chat") - at("waits for the method's time limit");
    // The portal tells the time in whole seconds.
    assert!(waited >= 3000, "{waited} ms: {message:#}");
    let told: Vec<Value> = message["journey"].as_array().unwrap().clone();
    assert!(
        told.iter()
            .all(|step| step["step"] != "failed, will be tried again")
    );
    world.ends_clean().await;
}
