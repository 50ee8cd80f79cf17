//! A number's life on its portals: linking, relinking, what administrators do, and what keeps a portal from working.

use std::collections::{BTreeMap, BTreeSet};

use sandbox::portal::{self, Fault, LocalApp, Portal, When};
use serde_json::{Value, json};

use crate::world::{CLIENT_ID, CLIENT_SECRET, Options, PATIENCE, World, lena};

const EVENTS: [&str; 9] = [
    "ONAPPUNINSTALL",
    "ONAPPUPDATE",
    "ONIMCONNECTORDIALOGFINISH",
    "ONIMCONNECTORDIALOGSTART",
    "ONIMCONNECTORLINEDELETE",
    "ONIMCONNECTORMESSAGEADD",
    "ONIMCONNECTORMESSAGEDELETE",
    "ONIMCONNECTORMESSAGEUPDATE",
    "ONIMCONNECTORSTATUSDELETE",
];

async fn without_portal() -> World {
    World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await
}

impl World {
    async fn number(&self) -> Value {
        self.api.get(&format!("waba/phones/{}", self.phone)).await
    }

    async fn set_instance(&self, instance: &Value) -> Value {
        let path = format!("waba/phones/{}", self.phone);
        self.api.patch(&path, json!({ "instance": instance })).await
    }

    /// Waits until the number's error has this code; gives the number.
    async fn number_fails(&self, code: &str) -> Value {
        let path = format!("waba/phones/{}", self.phone);
        self.api
            .until(&path, |phone| phone["error"]["code"] == code)
            .await
    }

    async fn instance_is(&self, status: &str) -> Value {
        let path = format!("bitrix/instances/{}", self.instance);
        self.api
            .until(&path, |instance| instance["status"] == status)
            .await
    }

    /// The address at which the portal's events belong.
    fn events_url(&self) -> String {
        format!("{}/api/bitrix/?app-id={CLIENT_ID}", self.server.url())
    }

    /// The customer and the operator understand each other; `word` tells this time from others.
    async fn both_ways(&self, word: &str) {
        let before = self.received(&lena()).len();
        self.customer_says(&lena(), &format!("customer {word}"));
        let chat = self.operator_sees_text(&format!("customer {word}")).await;
        let portal = self
            .portals
            .all()
            .into_iter()
            .find(|portal| {
                let found = portal.chat(chat.id);
                let text = format!("customer {word}");
                found.is_some_and(|chat| chat.messages.iter().any(|message| message.text == text))
            })
            .unwrap();
        portal
            .operator_writes(chat.id, &format!("operator {word}"), Vec::new())
            .unwrap();
        let received = self.customer_receives(&lena(), before + 1).await;
        let last = &received[before];
        assert_eq!(last.body["text"]["body"], json!(format!("operator {word}")));
        self.api.until("queue", |queue| queue["depth"] == 0).await;
    }
}

/// Asserts that each event has exactly one handler of ours, at the right address.
fn handlers_are_right(portal: &Portal, url: &str) {
    let ours: Vec<_> = portal
        .handlers()
        .into_iter()
        .filter(|handler| handler.client_id == CLIENT_ID)
        .collect();
    let events: Vec<&str> = {
        let mut events: Vec<&str> = ours.iter().map(|handler| handler.event.as_str()).collect();
        events.sort_unstable();
        events
    };
    assert_eq!(events, EVENTS);
    assert!(
        ours.iter().all(|handler| handler.handler == url),
        "{ours:#?}"
    );
}

/// Waits until a condition on the portals holds.
async fn portal_until(world: &World, what: &str, condition: impl Fn() -> bool) {
    let seen = world.portals.wait_until(|_| condition(), PATIENCE).await;
    assert!(seen, "{what}\n{}", world.server.log_tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn linking_makes_the_connector_the_line_and_the_handlers() {
    let mut world = without_portal().await;
    let app = world.enter_bitrix_app().await;
    // Left over from another time: other addresses, the right one twice, an event of another vendor.
    let url = world.events_url();
    world.portal.save_local_app(app).await;
    let instances = world.api.get("bitrix/instances").await;
    instances["items"][0]["id"]
        .as_str()
        .unwrap()
        .clone_into(&mut world.instance);
    for (client_id, event, handler) in [
        (
            CLIENT_ID,
            "OnImConnectorMessageAdd",
            "https://old.example/api/bitrix/",
        ),
        (CLIENT_ID, "OnImConnectorMessageAdd", url.as_str()),
        (CLIENT_ID, "OnImConnectorMessageAdd", url.as_str()),
        (CLIENT_ID, "OnAppUpdate", "https://old.example/api/bitrix/"),
        (CLIENT_ID, "OnCrmLeadAdd", "https://old.example/leads"),
        (
            "app.another.vendor",
            "OnImConnectorMessageAdd",
            "https://vendor.example/",
        ),
    ] {
        world.portal.leave_handler(client_id, event, handler);
    }
    world.portal.foreign_connector("vendor_connector", None);
    world.link().await;
    portal_until(&world, "the handlers", || {
        world.portal.handlers().len() == 10
    })
    .await;
    handlers_are_right(&world.portal, &url);
    let foreign: Vec<_> = world
        .portal
        .handlers()
        .into_iter()
        .filter(|handler| handler.client_id != CLIENT_ID)
        .collect();
    assert_eq!(foreign.len(), 1, "another vendor's handler is left alone");

    let number = world.number().await;
    assert_eq!(number["error"], Value::Null);
    assert_eq!(number["line"]["name"], "separator_4915755501234");
    let line_id = number["line"]["id"].as_i64().unwrap();
    let line = world
        .portal
        .lines()
        .into_iter()
        .find(|line| line.id == line_id)
        .unwrap();
    assert_eq!(line.name, "separator_4915755501234");
    assert!(line.active);
    assert!(!line.queue.is_empty(), "somebody answers it");
    // Nothing that could write to a customer by itself is left to the portal's defaults.
    for setting in [
        "CRM",
        "CRM_CREATE",
        "WELCOME_MESSAGE",
        "VOTE_MESSAGE",
        "NO_ANSWER_RULE",
        "CLOSE_RULE",
        "AUTO_CLOSE_RULE",
        "WORKTIME_ENABLE",
        "LANGUAGE_ID",
        "QUEUE_TYPE",
    ] {
        assert!(
            line.settings.contains_key(setting),
            "{setting} is not set: {:#?}",
            line.settings
        );
    }
    let connectors = world.portal.connectors();
    let connector = connectors
        .iter()
        .find(|connector| connector.client_id == CLIENT_ID)
        .unwrap();
    assert_eq!(number["line"]["connector"], json!(connector.id));
    assert_eq!(connector.lines.len(), 1);
    assert!(connector.lines[0].active && connector.lines[0].ready);
    assert_eq!(connector.lines[0].line, line_id);
    assert!(!connector.chat_group);
    // The state was read back after everything else, which is what counts.
    let order: Vec<String> = world
        .portal
        .calls()
        .into_iter()
        .map(|call| call.method)
        .filter(|method| {
            [
                "imconnector.activate",
                "imconnector.connector.data.set",
                "imconnector.status",
            ]
            .contains(&method.as_str())
        })
        .collect();
    assert_eq!(
        order,
        [
            "imconnector.activate",
            "imconnector.connector.data.set",
            "imconnector.status"
        ]
    );
    assert_eq!(world.portal.undocumented_parameters(), Vec::<String>::new());
    let instance = world
        .api
        .get(&format!("bitrix/instances/{}", world.instance))
        .await;
    assert_eq!(instance["lines"][0]["connection"], "connected");
    world.both_ways("after linking").await;
    // Linking once more changes nothing on a portal that is right.
    world.link().await;
    assert_eq!(
        world.portal.lines().len(),
        2.min(world.portal.lines().len())
    );
    let named = |line: &portal::Line| line.name == "separator_4915755501234";
    assert_eq!(
        world
            .portal
            .lines()
            .iter()
            .filter(|line| named(line))
            .count(),
        1
    );
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_moves_to_another_portal_and_back() {
    let world = World::start().await;
    world.both_ways("at acme").await;
    let first_line = world.number().await["line"].clone();
    let globex = world.portals.add("globex");
    let install_url = world.events_url();
    let app = LocalApp::api_only(CLIENT_ID, CLIENT_SECRET, &install_url);
    assert_eq!(globex.save_local_app(app).await.status, Some(200));
    let instances = world.api.get("bitrix/instances").await;
    let other = instances["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|instance| instance["member_id"] == json!(globex.member_id()))
        .unwrap()["id"]
        .clone();
    world.set_instance(&other).await;
    world.phone_is("connected").await;
    assert!(is_off(&world.portal), "taken off the first portal's line");
    assert!(!is_off(&globex));
    world.both_ways("at globex").await;
    assert!(
        world.portal.chats().iter().all(|chat| chat
            .messages
            .iter()
            .all(|message| !message.text.contains("globex"))),
        "nothing goes to the portal it left"
    );
    // A reply that is written there all the same reaches nobody.
    let old_chat = world.portal.chats().remove(0);
    let before = world.received(&lena()).len();
    let _ = world
        .portal
        .operator_writes(old_chat.id, "too late", Vec::new());

    world.set_instance(&json!(world.instance)).await;
    world.phone_is("connected").await;
    assert!(is_off(&globex));
    assert_eq!(
        world.number().await["line"],
        first_line,
        "its line of before"
    );
    world.both_ways("back at acme").await;
    let received = world.received(&lena());
    assert_eq!(received.len(), before + 1, "{received:#?}");
    world.ends_clean().await;
}

/// Whether no line of the portal has our connector switched on.
fn is_off(portal: &Portal) -> bool {
    portal
        .connectors()
        .iter()
        .filter(|connector| connector.client_id == CLIENT_ID)
        .all(|connector| connector.lines.iter().all(|line| !line.active))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlinked_number_is_switched_off_on_the_portal_and_goes_on_when_linked_again() {
    let world = World::start().await;
    world.both_ways("before").await;
    let number = world.set_instance(&Value::Null).await;
    assert_eq!(number["connection"], "not_linked");
    assert_eq!(number["line"], Value::Null);
    assert!(is_off(&world.portal));
    let wamid = world.customer_says(&lena(), "while unlinked");
    world.message_is(&wamid, "received").await;
    world.link().await;
    world.operator_sees_text("while unlinked").await;
    world.both_ways("after").await;
    assert_eq!(world.portal.chats().len(), 1, "the same chat");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_line_is_shown_and_linking_again_makes_a_new_one() {
    let world = World::start().await;
    world.both_ways("before").await;
    let line = world.number().await["line"]["id"].as_i64().unwrap();
    world.portal.delete_line(line).unwrap();
    let number = world.number_fails("LINE_DELETED").await;
    assert_eq!(number["connection"], "error");
    for part in ["title", "hint"] {
        assert!(
            !number["error"][part].as_str().unwrap().is_empty(),
            "{number:#}"
        );
    }
    let wamid = world.customer_says(&lena(), "while there was no line");
    world.message(&wamid).await;
    world.link().await;
    let number = world.number().await;
    assert_eq!(number["error"], Value::Null);
    assert_ne!(number["line"]["id"], json!(line));
    assert_eq!(number["line"]["name"], "separator_4915755501234");
    world.operator_sees_text("while there was no line").await;
    world.both_ways("after").await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_switched_off_in_bitrix24_is_shown_and_linking_again_switches_it_on() {
    let world = World::start().await;
    let number = world.number().await;
    let line = number["line"]["id"].as_i64().unwrap();
    let connector = number["line"]["connector"].as_str().unwrap();
    assert!(world.portal.switch_off_connector(connector, line));
    let number = world.number_fails("CONNECTOR_OFF").await;
    assert_eq!(number["connection"], "error");
    let wamid = world.customer_says(&lena(), "while it was off");
    world.message(&wamid).await;
    assert!(is_off(&world.portal), "what somebody chose is not undone");
    world.link().await;
    assert_eq!(world.number().await["line"]["id"], json!(line));
    world.operator_sees_text("while it was off").await;
    world.both_ways("after").await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_told_of_is_found_at_the_next_look_over_and_mended() {
    let mut options = Options::default();
    options
        .variables
        .insert("SEPARATOR_PORTAL_CHECK", "1".to_owned());
    let mut world = World::with(options).await;
    world.expect_errors("a number lost its connection");
    world.both_ways("before").await;
    let number = world.number().await;
    let line = number["line"]["id"].as_i64().unwrap();
    let connector = number["line"]["connector"].as_str().unwrap();
    // The portal's word about it is lost, and the program is not started again meanwhile.
    world.portal.faults().set(Fault::EventDropped, When::Always);
    assert!(world.portal.switch_off_connector(connector, line));
    portal_until(&world, "the connector was switched on again", || {
        !is_off(&world.portal)
    })
    .await;
    world.phone_is("connected").await;
    assert!(
        world.server.log().contains("a number lost its connection"),
        "{}",
        world.server.log_tail()
    );
    // The same of a connector that is gone altogether, and of the handlers.
    assert!(world.portal.drop_connector(connector));
    portal_until(&world, "the connector was registered again", || {
        world
            .portal
            .connectors()
            .iter()
            .any(|known| known.id == connector)
            && !is_off(&world.portal)
    })
    .await;
    world.portal.wipe_handlers();
    portal_until(&world, "the handlers came back", || {
        world.portal.handlers().len() == EVENTS.len()
    })
    .await;
    world.phone_is("connected").await;
    assert_eq!(world.number().await["line"]["id"], json!(line));
    world.portal.faults().clear();
    world.both_ways("after").await;
    assert_eq!(world.portal.chats().len(), 1, "the same chat");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_updated_application_gets_its_handlers_back() {
    let world = World::start().await;
    world.portal.update_app().await;
    let url = world.events_url();
    portal_until(&world, "the handlers came back", || {
        world.portal.handlers().len() == EVENTS.len()
    })
    .await;
    handlers_are_right(&world.portal, &url);
    world.phone_is("connected").await;
    world.both_ways("after the update").await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uninstalled_portal_keeps_its_messages_until_it_is_installed_again() {
    let mut world = World::start().await;
    world.both_ways("before").await;
    world.portal.uninstall(false);
    let instance = world.instance_is("uninstalled").await;
    assert!(!instance["problem"].as_str().unwrap().is_empty());
    let number = world.number_fails("UNINSTALLED").await;
    assert_eq!(number["connection"], "error");
    let wamid = world.customer_says(&lena(), "while it was uninstalled");
    let message = world.message(&wamid).await;
    assert_ne!(message["state"], "failed");
    let queue = world.api.get("queue").await;
    assert_eq!(queue["depth"], 1);
    assert!(
        queue["destinations"][0]["paused"]
            .as_str()
            .unwrap()
            .contains("removed")
    );
    // Another number cannot be linked to it meanwhile.
    let accounts = world.api.get("waba/accounts").await;
    let body = json!({
        "account": accounts["items"][0]["id"], "phone": "4915755501235", "phone_id": "5",
        "instance": world.instance,
    });
    let (status, problem) = world.api.call("POST", "waba/phones", Some(body)).await;
    assert_eq!(status, 422, "{problem:#}");
    assert_eq!(problem["errors"][0]["field"], "instance");

    let instance = world.instance.clone();
    let url = world.events_url();
    world
        .install_as(LocalApp::api_only(CLIENT_ID, CLIENT_SECRET, &url))
        .await;
    assert_eq!(world.instance, instance, "the same installation");
    world.instance_is("active").await;
    world.operator_sees_text("while it was uninstalled").await;
    world.phone_is("connected").await;
    world.message_is(&wamid, "delivered").await;
    world.both_ways("after").await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_portal_is_followed() {
    let world = World::start().await;
    world.both_ways("before").await;
    let domain = world.portal.rename().await.unwrap();
    world.both_ways("after").await;
    let path = format!("bitrix/instances/{}", world.instance);
    world
        .api
        .until(&path, |instance| instance["domain"] == json!(domain))
        .await;
    let instances = world.api.get("bitrix/instances").await;
    assert_eq!(instances["items"].as_array().unwrap().len(), 1);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installer_who_is_no_administrator_gets_no_connector_and_is_told_why() {
    let mut world = without_portal().await;
    let mut app = world.enter_bitrix_app().await;
    app.installer = 27;
    world.install_as(app).await;
    world.set_instance(&json!(world.instance)).await;
    let number = world.number_fails("NOT_ADMINISTRATOR").await;
    assert_eq!(number["connection"], "error");
    assert!(
        number["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("administrator")
    );
    assert!(
        world
            .portal
            .connectors()
            .iter()
            .all(|connector| connector.client_id != CLIENT_ID)
    );
    world.portal.set_admin(27, true).unwrap();
    world.link().await;
    assert_eq!(world.number().await["error"], Value::Null);
    world.both_ways("after").await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_that_are_missing_are_named() {
    let mut world = without_portal().await;
    let mut app = world.enter_bitrix_app().await;
    app.scope = "im,crm,imconnector".to_owned();
    world.install_as(app.clone()).await;
    let path = format!("bitrix/instances/{}", world.instance);
    let instance = world.api.get(&path).await;
    let problem = instance["problem"].as_str().unwrap();
    assert!(problem.contains("permission imopenlines"), "{problem}");
    world.set_instance(&json!(world.instance)).await;
    let number = world
        .api
        .until(&format!("waba/phones/{}", world.phone), |phone| {
            phone["error"] != Value::Null
        })
        .await;
    assert_ne!(number["connection"], "connected");
    let error = number["error"].to_string();
    assert!(
        error.contains("scope") || error.contains("permission"),
        "{error}"
    );

    app.scope = "im,crm,imconnector,imopenlines".to_owned();
    world.install_as(app).await;
    world.phone_is("connected").await;
    let instance = world.api.get(&path).await;
    assert_eq!(instance["problem"], Value::Null);
    world.both_ways("after").await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_has_ended_is_shown_and_nothing_is_lost() {
    let mut world = World::start().await;
    world.expect_errors("a portal needs attention");
    world.both_ways("before").await;
    world.portal.end_plan();
    let wamid = world.customer_says(&lena(), "while nobody paid");
    let path = format!("bitrix/instances/{}", world.instance);
    let instance = world
        .api
        .until(&path, |instance| instance["problem"] != Value::Null)
        .await;
    let problem = instance["problem"].as_str().unwrap().to_lowercase();
    assert!(
        problem.contains("plan") || problem.contains("tariff"),
        "{problem}"
    );
    let message = world.message(&wamid).await;
    assert_ne!(message["state"], "failed");
    let alarms = world
        .api
        .until("alarms", |list| list["items"] != json!([]))
        .await;
    assert_eq!(alarms["items"][0]["subject"], json!(world.instance));
    world.portal.set_plan(true);
    // The portal is probed more and more rarely; whoever paid says so by linking again.
    world.link().await;
    world.operator_sees_text("while nobody paid").await;
    world.message_is(&wamid, "delivered").await;
    world
        .api
        .until(&path, |instance| instance["problem"] == Value::Null)
        .await;
    world
        .api
        .until("alarms", |list| list["items"] == json!([]))
        .await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_id_that_another_application_holds_is_avoided() {
    let mut world = without_portal().await;
    world.install().await;
    // The ids that this installation would take are made of its own id; the first two are gone.
    let hex = world.instance.replace('-', "");
    for start in [24, 20] {
        world
            .portal
            .foreign_connector(&format!("separator_{}", &hex[start..start + 8]), None);
    }
    world.link().await;
    let taken = world.number().await["line"]["connector"].clone();
    assert_eq!(taken, json!(format!("separator_{}", &hex[16..24])));
    world.both_ways("all the same").await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_connector_ids_are_taken_the_number_says_so() {
    let mut world = without_portal().await;
    world.install().await;
    let hex = world.instance.replace('-', "");
    for start in [24, 20, 16] {
        world
            .portal
            .foreign_connector(&format!("separator_{}", &hex[start..start + 8]), None);
    }
    world.set_instance(&json!(world.instance)).await;
    let path = format!("waba/phones/{}", world.phone);
    let number = world
        .api
        .until(&path, |phone| phone["connection"] == "error")
        .await;
    assert!(
        number["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("Another application"),
        "{number:#}"
    );
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_numbers_on_one_portal_have_a_line_each_and_share_the_connector() {
    let world = World::start().await;
    let account = world.api.get("waba/accounts").await["items"][0].clone();
    let (number, digits) = ("209300000000888", "4915755508888");
    world
        .graph
        .add_phone(account["waba_id"].as_str().unwrap(), number, digits);
    let second = world
        .api
        .create(
            "waba/phones",
            json!({
                "account": account["id"], "phone": digits, "phone_id": number,
                "instance": world.instance,
            }),
        )
        .await;
    let path = format!("waba/phones/{}", second["id"].as_str().unwrap());
    let second = world
        .api
        .until(&path, |phone| phone["connection"] == "connected")
        .await;
    let first = world.number().await;
    assert_eq!(first["line"]["connector"], second["line"]["connector"]);
    assert_ne!(first["line"]["id"], second["line"]["id"]);
    assert_eq!(second["line"]["name"], json!(format!("separator_{digits}")));
    handlers_are_right(&world.portal, &world.events_url());
    // One person writes to both: two chats, each with its own answers.
    world.customer_says(&lena(), "to the first");
    world
        .graph
        .customer_writes(number, &lena(), sandbox::graph::part::text("to the second"));
    let one = world.operator_sees_text("to the first").await;
    let other = world.operator_sees_text("to the second").await;
    assert_ne!(one.id, other.id);
    let lines: BTreeSet<i64> = [one.line, other.line].into();
    assert_eq!(lines.len(), 2);
    world.operator_says(&other, "from the second");
    world.operator_says(&one, "from the first");
    let received = world.customer_receives(&lena(), 1).await;
    assert_eq!(received[0].body["text"]["body"], "from the first");
    let deadline = world
        .graph
        .wait_until(
            |graph| !graph.received(number, "4915755509876").is_empty(),
            PATIENCE,
        )
        .await;
    assert!(deadline);
    let received = world.graph.received(number, "4915755509876");
    assert_eq!(received[0].body["text"]["body"], "from the second");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_expire_are_refreshed_and_a_refused_refresh_asks_for_authorization() {
    let mut world = World::with(Options {
        variables: BTreeMap::new(),
        ..Options::default()
    })
    .await;
    world.expect_errors("a portal needs attention");
    world.both_ways("before").await;
    world.portal.expire_tokens();
    world.both_ways("after they expired").await;
    assert_eq!(world.portal.counters().refreshes, 1);

    world
        .portal
        .faults()
        .set(portal::Fault::RefreshRefused, portal::When::Always);
    world.portal.expire_tokens();
    let wamid = world.customer_says(&lena(), "while nobody could get in");
    let instance = world.instance_is("needs_authorization").await;
    assert!(!instance["problem"].as_str().unwrap().is_empty());
    let alarms = world
        .api
        .until("alarms", |list| list["items"] != json!([]))
        .await;
    assert_eq!(alarms["items"][0]["kind"], "portal_authorization");
    assert_ne!(world.message(&wamid).await["state"], "failed");
    world.portal.faults().clear();
    // Saving the application's form again authorizes it.
    let url = world.events_url();
    world
        .install_as(LocalApp::api_only(CLIENT_ID, CLIENT_SECRET, &url))
        .await;
    world.instance_is("active").await;
    world.operator_sees_text("while nobody could get in").await;
    world.both_ways("at last").await;
    world
        .api
        .until("alarms", |list| list["items"] == json!([]))
        .await;
    world.ends_clean().await;
}
