//! The pair of tokens of an installation: refreshed once however many need it, never lost without saying so.

use std::{path::Path, time::Duration};

use sandbox::{
    graph::Customer,
    portal::{Author, Behaviour, Fault, Rule, When},
};
use serde_json::{Value, json};

use crate::world::{CLIENT_ID, Options, PATIENCE, World, lena};

/// Longer than an access token lives.
const EXPIRED: Duration = Duration::from_secs(3700);

fn instance(world: &World) -> String {
    format!("bitrix/instances/{}", world.instance)
}

async fn refreshed(world: &World, times: u64) {
    let portal = world.portal.clone();
    let seen = world
        .portals
        .wait_until(|_| portal.counters().refreshes >= times, PATIENCE)
        .await;
    assert!(seen, "no refresh came\n{}", world.server.log_tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_needs_of_an_expired_token_make_one_refresh() {
    let world = World::start().await;
    world.without_limits().await;
    let text = "hello";
    world.customer_says(&lena(), text);
    world.operator_sees_text(text).await;
    world.comes_to_rest().await;
    let before = world.portal.counters().refreshes;
    world.portals.advance(EXPIRED);
    let slow = Rule::new(Fault::RefreshSlow, When::Always).lasting(Duration::from_millis(300));
    world.portal.faults().apply(slow);
    // Files travel alone, so that several calls meet the expired token at the same time.
    for person in 0..50 {
        let customer = Customer::with_phone(format!("49157300000{person:02}")).named("Ann");
        let file = world.graph.media(
            "document",
            "%PDF-1.4",
            "application/pdf",
            None,
            Some("a.pdf"),
        );
        world.customer_sends(&customer, file);
    }
    world
        .portals
        .wait_until(
            |portals| portals.all()[0].counters().customer_messages >= 51,
            PATIENCE,
        )
        .await;
    assert_eq!(
        world.portal.chats().len(),
        51,
        "{}",
        world.server.log_tail()
    );
    assert_eq!(world.portal.counters().refreshes, before + 1);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_refresh_is_shown_and_everything_waits_for_the_application_to_be_installed_again()
{
    let mut world = World::start().await;
    world.expect_errors("a portal needs attention");
    world.customer_says(&lena(), "before");
    world.operator_sees_text("before").await;
    world.comes_to_rest().await;
    world.portals.advance(EXPIRED);
    world
        .portal
        .faults()
        .set(Fault::RefreshRefused, When::Always);
    world.customer_says(&lena(), "kept");
    world
        .api
        .until(&instance(&world), |instance| {
            instance["status"] == "needs_authorization"
        })
        .await;
    let alarms = world.api.get("alarms").await;
    assert_eq!(
        alarms["items"][0]["kind"], "portal_authorization",
        "{alarms:#}"
    );
    world.customer_says(&lena(), "kept as well");

    world.portal.faults().clear();
    assert_eq!(world.portal.post_installation(CLIENT_ID).await, Some(200));
    let chat = world.operator_sees_text("kept as well").await;
    let texts: Vec<&str> = chat
        .messages
        .iter()
        .filter(|message| message.author == Author::Customer)
        .map(|message| message.text.as_str())
        .collect();
    assert_eq!(texts, ["before", "kept", "kept as well"]);
    let shown = world
        .api
        .until(&instance(&world), |instance| instance["status"] == "active")
        .await;
    assert_eq!(shown["problem"], Value::Null);
    assert_eq!(world.api.get("alarms").await["items"], json!([]));
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_authorization_server_thinks_it_recovers() {
    let mut world = World::start().await;
    world.customer_says(&lena(), "before");
    world.operator_sees_text("before").await;
    world.comes_to_rest().await;
    world.portals.advance(EXPIRED);
    let slow = Rule::new(Fault::RefreshSlow, When::Next(1)).lasting(Duration::from_mins(1));
    world.portal.faults().apply(slow);
    let wamid = world.customer_says(&lena(), "after");
    let portal = world.portal.clone();
    let asked = world
        .portals
        .wait_until(
            |_| portal.calls().iter().any(|call| call.status == 401),
            PATIENCE,
        )
        .await;
    assert!(
        asked,
        "the expired token was never refused\n{}",
        world.server.log_tail()
    );
    // The fault is used up when the authorization server has the question.
    while !world.portal.faults().rules().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.server.kill();
    world.server.start().await;
    world.message_is(&wamid, "delivered").await;
    world.ends_clean().await;
}

/// The program is killed when the authorization server has made a new pair and before its answer arrives: nothing here knows
/// the pair, which is all that a kill between answer and disk could leave.
async fn killed_before_the_new_pair_is_known(mut world: World, strict: bool) {
    world.customer_says(&lena(), "before");
    world.operator_sees_text("before").await;
    world.comes_to_rest().await;
    world.portals.advance(EXPIRED);
    let before = world.portal.counters().refreshes;
    let late = Rule::new(Fault::RefreshAnswerSlow, When::Next(1)).lasting(Duration::from_mins(1));
    world.portal.faults().apply(late);
    let wamid = world.customer_says(&lena(), "meanwhile");
    refreshed(&world, before + 1).await;
    world.server.kill();
    world.server.start().await;
    if strict {
        let shown = world
            .api
            .until(&instance(&world), |instance| {
                instance["status"] == "needs_authorization"
            })
            .await;
        assert!(shown["problem"].is_string(), "{shown:#}");
        let alarms = world.api.get("alarms").await;
        assert_eq!(
            alarms["items"][0]["kind"], "portal_authorization",
            "{alarms:#}"
        );
        assert_eq!(world.portal.post_installation(CLIENT_ID).await, Some(200));
    }
    world.message_is(&wamid, "delivered").await;
    let shown = world.api.get(&instance(&world)).await;
    assert_eq!(shown["status"], "active");
    let chat = world.operator_sees_text("meanwhile").await;
    let texts: Vec<&str> = chat
        .messages
        .iter()
        .filter(|message| message.author == Author::Customer)
        .map(|message| message.text.as_str())
        .collect();
    assert_eq!(texts, ["before", "meanwhile"]);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_new_pair_and_saving_it_it_asks_for_authorization_where_the_old_one_is_spent()
 {
    let mut world = World::start().await;
    world.expect_errors("a portal needs attention");
    killed_before_the_new_pair_is_known(world, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_new_pair_and_saving_it_it_recovers_where_the_old_one_still_works() {
    let options = Options {
        behaviour: Behaviour {
            one_refresh_token: false,
            ..Behaviour::default()
        },
        ..Options::default()
    };
    let world = World::with(options).await;
    killed_before_the_new_pair_is_known(world, false).await;
}

/// Whether any file below a folder holds these bytes, followed by other printable ones than `unless`. A database may break a
/// value off at the end of a page; what follows there is not printable.
fn holds(folder: &Path, wanted: &[u8], unless: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, wanted, unless);
        }
        let bytes = std::fs::read(&path).unwrap();
        bytes
            .windows(wanted.len() + unless.len())
            .filter(|window| window.starts_with(wanted) && !window.ends_with(unless))
            .any(|window| window[wanted.len()..].iter().all(u8::is_ascii_graphic))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_events_are_never_stored() {
    let world = World::start().await;
    world.customer_says(&lena(), "hello");
    let chat = world.operator_sees_text("hello").await;
    // An event that is kept, because nobody understands it, and some that are translated.
    world.operator_says(&chat, "answer");
    world.customer_receives(&lena(), 1).await;
    world.portal.close_session(chat.id).unwrap();
    world.comes_to_rest().await;
    let data = world.server.data_dir();
    for key in [
        "auth%5Baccess_token%5D=",
        "auth[access_token]=",
        "application_token%5D=",
    ] {
        assert!(
            !holds(&data, key.as_bytes(), b"blanked"),
            "{key} is followed by a token on disk"
        );
    }
    let on_sqlite = std::env::var("SEPARATOR_TEST_POSTGRES").is_err();
    assert_eq!(
        holds(&data, b"auth%5Baccess_token%5D=", b"~~~~~~~"),
        on_sqlite,
        "the test looks where events are"
    );
    world.ends_clean().await;
}
