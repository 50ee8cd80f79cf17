//! The doctor: one fault is seeded, the right check turns red and no other does; what can be mended is mended; alarms come
//! and go with the fault; the command says the same with its exit code.

use std::collections::BTreeSet;

use sandbox::{
    graph::AccessToken,
    portal::{Fault, When},
};
use serde_json::{Value, json};
use url::Url;

use crate::world::{ACCESS_TOKEN, APP_SECRET, CLIENT_ID, Options, World, lena};

/// Another address than ours.
const ELSEWHERE: &str = "https://elsewhere.example/api/waba/";

/// Lets the doctor look at everything and gives what it found.
pub async fn examine(world: &World) -> Value {
    let before = world.api.get("doctor").await["checked_at"].clone();
    world.api.create("doctor/run", json!({})).await;
    world
        .api
        .until("doctor", |doctor| {
            doctor["running"] == false && doctor["checked_at"] != before
        })
        .await
}

/// The names of the checks in a state.
pub fn in_state(doctor: &Value, state: &str) -> BTreeSet<String> {
    doctor["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["state"] == state)
        .map(|check| check["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Looks at everything and expects exactly this check to be red; gives it.
pub async fn finds(world: &World, check: &str) -> Value {
    let doctor = examine(world).await;
    let red = in_state(&doctor, "fault");
    let wanted: BTreeSet<String> = [check.to_owned()].into();
    assert_eq!(red, wanted, "{doctor:#}\n{}", world.server.log_tail());
    let found = doctor["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["id"] == check && one["state"] == "fault")
        .unwrap()
        .clone();
    for text in ["cause", "fix", "title"] {
        assert!(
            found[text].as_str().is_some_and(|text| !text.is_empty()),
            "{found:#}"
        );
    }
    found
}

/// Mends what a check found and expects it to be right afterwards.
pub async fn mended(world: &World, found: &Value) {
    assert_eq!(found["repair"], true, "{found:#}");
    let body = json!({ "check": found["id"], "subject": found["subject"] });
    let after = world.api.create("doctor/repair", body).await;
    let state = |check: &Value| check["state"] == "ok";
    assert!(
        after["checks"]
            .as_array()
            .unwrap()
            .iter()
            .any(|check| check["id"] == found["id"] && state(check)),
        "{after:#}\n{}",
        world.server.log_tail()
    );
}

pub async fn all_is_well(world: &World) {
    let doctor = examine(world).await;
    assert_eq!(in_state(&doctor, "fault"), BTreeSet::new(), "{doctor:#}");
}

/// A world through which a message went each way.
pub async fn proven() -> World {
    let world = World::start().await;
    world.without_limits().await;
    world.customer_says(&lena(), "Does it work?");
    let chat = world.operator_sees_text("Does it work?").await;
    world.operator_says(&chat, "It does");
    world.customer_receives(&lena(), 1).await;
    world.comes_to_rest().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn one_fault_at_meta_turns_one_check_red() {
    let mut world = proven().await;
    let (graph, number) = (&world.graph, world.number.clone());
    let meta = Options::default().graph;
    let (app, waba) = (meta.app_id.as_str(), meta.waba_id.as_str());
    let elsewhere = Url::parse(ELSEWHERE).unwrap();
    let own = Url::parse(world.app["callback_url"].as_str().unwrap()).unwrap();

    all_is_well(&world).await;

    // The app.
    graph.reset_app_secret(app, "another secret");
    finds(&world, "app_secret").await;
    graph.reset_app_secret(app, APP_SECRET);

    graph.set_callback(&elsewhere);
    let found = finds(&world, "app_callback").await;
    assert!(found["cause"].as_str().unwrap().contains(ELSEWHERE));
    mended(&world, &found).await;
    graph.says(app, "active", json!(false));
    finds(&world, "app_callback").await;
    graph.says_the_truth();
    graph.says(app, "fields", json!([{ "name": "messages" }]));
    let found = finds(&world, "app_fields").await;
    assert!(found["cause"].as_str().unwrap().contains("account_update"));
    graph.says_the_truth();

    // Its token.
    let token = || AccessToken {
        value: ACCESS_TOKEN.to_owned(),
        ..AccessToken::default()
    };
    graph.revoke_token(ACCESS_TOKEN);
    finds(&world, "token_valid").await;
    graph.add_app(sandbox::graph::Application {
        id: "730100000000009".to_owned(),
        secret: "other".to_owned(),
        verify_token: "other".to_owned(),
        access_token: "other".to_owned(),
        callback_url: None,
    });
    let seeds = [
        (
            "token_kind",
            AccessToken {
                of_a_user: true,
                ..token()
            },
        ),
        (
            "token_scopes",
            AccessToken {
                scopes: Some(vec!["whatsapp_business_management".to_owned()]),
                ..token()
            },
        ),
        (
            "token_expiry",
            AccessToken {
                expires_at: Some(graph.clock().now() + 13 * 24 * 60 * 60 * 1000),
                ..token()
            },
        ),
        (
            "account_access",
            AccessToken {
                accounts: Some(vec!["1".to_owned()]),
                ..token()
            },
        ),
    ];
    for (check, seed) in seeds {
        graph.console().add_token(seed);
        finds(&world, check).await;
    }
    graph.console().add_token(token());

    // The account.
    graph.unsubscribe(app, waba);
    let found = finds(&world, "account_subscribed").await;
    mended(&world, &found).await;
    graph.set_account_callback(app, waba, &elsewhere);
    let found = finds(&world, "account_callback").await;
    mended(&world, &found).await;
    graph.says(waba, "account_review_status", json!("REJECTED"));
    finds(&world, "account_state").await;
    graph.says_the_truth();

    // The number.
    for (check, field, value) in [
        (
            "number_identity",
            "display_phone_number",
            json!("+49 1575 5550000"),
        ),
        ("number_registered", "status", json!("PENDING")),
        ("number_status", "status", json!("RESTRICTED")),
        ("number_name", "name_status", json!("DECLINED")),
        ("number_quality", "quality_rating", json!("RED")),
        (
            "number_throughput",
            "throughput",
            json!({ "level": "NOT_APPLICABLE" }),
        ),
    ] {
        graph.says(&number, field, value);
        finds(&world, check).await;
        graph.says_the_truth();
    }
    graph.console().set_standing(&number, false, None);
    let found = finds(&world, "number_registered").await;
    mended(&world, &found).await;
    assert!(graph.console().standing(&number).unwrap().registered);
    graph.set_number_callback(&number, Some(&elsewhere));
    finds(&world, "number_callback").await;
    graph.set_number_callback(&number, None);

    graph.set_callback(&own);
    all_is_well(&world).await;
    world.expect_errors("token");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_fault_at_the_portal_turns_one_check_red_and_the_button_mends_it() {
    let mut world = proven().await;
    let phone = world.api.get(&format!("waba/phones/{}", world.phone)).await;
    let connector = phone["line"]["connector"].as_str().unwrap().to_owned();
    let line = phone["line"]["id"].as_i64().unwrap();
    let portal = world.portal.clone();
    all_is_well(&world).await;

    portal.unfinish_installation(CLIENT_ID);
    finds(&world, "portal_installed").await;
    portal.finish_installation(CLIENT_ID).unwrap();

    portal.set_plan(false);
    finds(&world, "portal_plan").await;
    portal.set_plan(true);

    portal.faults().set(Fault::HtmlBadGateway, When::Always);
    finds(&world, "portal_answers").await;
    portal.faults().set(Fault::HtmlBadGateway, When::Off);

    portal.set_admin(1, false).unwrap();
    finds(&world, "portal_installer").await;
    portal.set_admin(1, true).unwrap();

    portal.wipe_handlers();
    let found = finds(&world, "portal_events").await;
    mended(&world, &found).await;
    portal.leave_handler(
        CLIENT_ID,
        "ONIMCONNECTORMESSAGEADD",
        "https://old.example/handler",
    );
    let found = finds(&world, "portal_events").await;
    mended(&world, &found).await;
    assert!(
        portal
            .handlers()
            .iter()
            .all(|handler| !handler.handler.contains("old.example"))
    );

    portal.leave_placement(CLIENT_ID, "CRM_DEAL_DETAIL_TAB", "https://old.example/tab/");
    let found = finds(&world, "portal_placements").await;
    mended(&world, &found).await;
    assert!(
        portal
            .placements()
            .iter()
            .all(|one| !one.handler.contains("old.example"))
    );

    portal.wipe_robots();
    let found = finds(&world, "portal_robots").await;
    mended(&world, &found).await;
    world
        .api
        .patch(
            &format!("waba/phones/{}", world.phone),
            json!({ "sms_service": true }),
        )
        .await;
    world.phone_is("connected").await;
    all_is_well(&world).await;
    portal.wipe_senders();
    let found = finds(&world, "portal_sms_providers").await;
    mended(&world, &found).await;

    portal.drop_connector(&connector);
    let red = in_state(&examine(&world).await, "fault");
    assert!(red.contains("portal_connector"), "{red:?}");
    let lost = ["portal_connector", "line_connector"].map(str::to_owned);
    assert!(red.is_subset(&lost.into()), "{red:?}");
    let instance = json!({ "kind": "instance", "id": world.instance });
    let repair = json!({ "check": "portal_connector", "subject": instance });
    world.api.create("doctor/repair", repair).await;
    all_is_well(&world).await;

    portal.loses_line(&connector, line);
    let found = finds(&world, "line_connector").await;
    mended(&world, &found).await;
    portal.switch_line(line, false);
    let found = finds(&world, "line_active").await;
    mended(&world, &found).await;
    portal.set_queue(line, &[]);
    finds(&world, "line_queue").await;
    portal.set_queue(line, &[1]);
    for (setting, value) in [
        ("CRM_CREATE_SECOND", "0"),
        ("CRM_TRANSFER_CHANGE", "Y"),
        ("CRM_CHAT_TRACKER", "N"),
        ("AUTO_CLOSE_TIME", "14400"),
    ] {
        portal.set_line_setting(line, setting, value);
        let found = finds(&world, "line_settings").await;
        assert!(
            found["cause"].as_str().unwrap().contains(setting),
            "{found:#}"
        );
        mended(&world, &found).await;
    }
    portal.foreign_connector("other_whatsapp", Some(line));
    let found = finds(&world, "line_other_connectors").await;
    assert!(found["cause"].as_str().unwrap().contains("other_whatsapp"));
    portal.switch_off_connector("other_whatsapp", line);
    all_is_well(&world).await;

    // What is known of the installation here.
    world
        .server
        .sql("UPDATE instances SET scope = 'imconnector'");
    world.without_limits().await;
    finds(&world, "portal_scopes").await;
    world
        .server
        .sql("UPDATE instances SET scope = 'imconnector,imopenlines'");
    world.without_limits().await;

    // The line is deleted: the number's own error says so too, and one button makes a new line.
    portal.delete_line(line).unwrap();
    world.phone_is("error").await;
    let found = finds(&world, "line_active").await;
    mended(&world, &found).await;
    world.phone_is("connected").await;

    portal.dismiss_user(1).unwrap();
    finds(&world, "portal_installer").await;
    for words in ["portal", "employee", "number"] {
        world.expect_errors(words);
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_and_the_overview_follow_a_fault_and_the_command_tells_it() {
    let mut world = proven().await;
    let (graph, portal) = (world.graph.clone(), world.portal.clone());
    let alarms = async |world: &World| -> Vec<Value> {
        let alarms = world.api.get("alarms").await;
        alarms["items"].as_array().unwrap().clone()
    };

    // Nothing is wrong; what is not known is no fault.
    all_is_well(&world).await;
    assert!(alarms(&world).await.is_empty());
    let overview = world.api.get("overview").await;
    assert_eq!(overview["numbers"][0]["colour"], "green", "{overview:#}");
    assert_eq!(
        overview["numbers"][0]["sentence"],
        "Messages pass both ways."
    );
    assert_eq!(overview["faults"], 0);
    for way in ["last_inbound_at", "last_outbound_at"] {
        assert!(overview["numbers"][0][way].is_string(), "{overview:#}");
    }
    let command = |arguments: &[&str]| {
        let output = world.server.command(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    };
    let (code, text) = command(&["doctor"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("0 wrong"), "{text}");

    // Two faults: an alarm each, once, however often it is looked.
    let meta = Options::default().graph;
    graph.unsubscribe(&meta.app_id, &meta.waba_id);
    let key = world.server.data_dir().join("encryption.key");
    open_to_all(&key, true);
    for _ in 0..2 {
        examine(&world).await;
        let open = alarms(&world).await;
        let kinds: BTreeSet<&str> = open
            .iter()
            .map(|alarm| alarm["kind"].as_str().unwrap())
            .collect();
        assert_eq!(
            kinds,
            ["doctor:account_subscribed", "doctor:encryption_key"].into()
        );
        assert_eq!(open.len(), 2);
    }
    let overview = world.api.get("overview").await;
    assert_eq!(overview["numbers"][0]["colour"], "red", "{overview:#}");
    let (code, text) = command(&["doctor", "--json"]);
    assert_eq!(code, Some(1), "{text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        in_state(&report, "fault"),
        ["account_subscribed", "encryption_key"]
            .map(str::to_owned)
            .into()
    );
    for secret in [APP_SECRET, ACCESS_TOKEN, crate::world::CLIENT_SECRET] {
        assert!(!text.contains(secret), "the report holds a secret");
    }
    let (_, russian) = command(&["doctor", "--language", "ru"]);
    assert!(russian.contains("не подписано на аккаунт"), "{russian}");

    // What cannot be asked clears nothing.
    graph.faults().set(
        sandbox::graph::Fault::ServerError,
        sandbox::graph::Times::Always,
    );
    let doctor = examine(&world).await;
    assert!(in_state(&doctor, "unknown").contains("account_subscribed"));
    assert_eq!(alarms(&world).await.len(), 2);
    graph.faults().clear();

    open_to_all(&key, false);
    let found = finds(&world, "account_subscribed").await;
    let open = alarms(&world).await;
    assert_eq!(open.len(), 1, "{open:#?}");
    mended(&world, &found).await;
    assert!(alarms(&world).await.is_empty());

    // A portal that refuses the next refresh.
    portal.faults().set(Fault::RefreshRefused, When::Always);
    portal.expire_tokens();
    finds(&world, "portal_authorization").await;

    // The command needs no server.
    world.server.stop().await;
    let (code, text) = {
        let output = world.server.command(&["doctor"]).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    assert_eq!(code, Some(1));
    assert!(text.contains("FAULT    reachable"), "{text}");
    world.expect_errors("authoriz");
    world
        .server
        .check_log(&["portal".to_owned(), "authoriz".to_owned()]);
}

/// Lets every user of the machine read a file, or only its owner.
fn open_to_all(file: &std::path::Path, open: bool) {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = if open { 0o644 } else { 0o600 };
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn setting_up_is_told_step_by_step_and_a_test_message_goes_out() {
    let mut world = World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await;
    let step = |setup: &Value, id: &str| -> String {
        let steps = setup["steps"].as_array().unwrap();
        let found = steps.iter().find(|step| step["id"] == id).unwrap();
        found["state"].as_str().unwrap().to_owned()
    };
    let setup = world.api.get("setup").await;
    let states: Vec<String> = ["site", "meta", "portal", "number", "line", "test"]
        .map(|id| step(&setup, id))
        .to_vec();
    assert_eq!(states, ["done", "done", "todo", "done", "todo", "todo"]);
    assert_eq!(setup["sandbox"], Value::Null);
    for prerequisite in setup["prerequisites"].as_array().unwrap() {
        assert_ne!(prerequisite["state"], "fault", "{prerequisite:#}");
    }
    // A name that leads nowhere, and one where somebody else answers.
    let faults = |setup: &Value| -> Vec<String> {
        setup["prerequisites"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["state"] == "fault")
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let setup = world.api.get("setup?domain=nowhere.invalid").await;
    assert_eq!(faults(&setup), ["dns"], "{setup:#}");
    let other = world.graph.url().replace("http://", "");
    let setup = world.api.get(&format!("setup?domain={other}")).await;
    assert_eq!(faults(&setup), ["reachable"], "{setup:#}");

    // The template where the customer did not write, text where the customer did.
    let path = format!("waba/phones/{}/test", world.phone);
    let lena = lena();
    let to = json!({ "to": lena.phone });
    let first = world.api.create(&path, to.clone()).await;
    assert_eq!(first["type"], "template");
    world.customer_receives(&lena, 1).await;
    world.install().await;
    world.link().await;
    world.customer_says(&lena, "I got it");
    world.operator_sees_text("I got it").await;
    let second = world.api.create(&path, to).await;
    assert_eq!(second["type"], "text");
    world.customer_receives(&lena, 2).await;
    let overview = world
        .api
        .until("overview", |overview| {
            overview["numbers"][0]["colour"] == "green"
        })
        .await;
    assert!(overview["numbers"][0]["last_outbound_at"].is_string());
    let setup = world.api.get("setup").await;
    assert_eq!(
        (step(&setup, "line"), step(&setup, "test")),
        ("done".into(), "done".into())
    );
    let refused = world
        .api
        .call("POST", &path, Some(json!({ "to": "49 1575 5501234" })))
        .await;
    assert_eq!(refused.0, 422, "{}", refused.1);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_messages_and_dead_letters_are_tried_again_one_selected_or_all_of_a_filter() {
    let mut world = World::start().await;
    world.without_limits().await;
    let lena = lena();
    world.customer_says(&lena, "Hello");
    world.operator_sees_text("Hello").await;
    // Refused for good: each of these fails.
    world.graph.faults().set(
        sandbox::graph::Fault::Refused(131_026),
        sandbox::graph::Times::Always,
    );
    let path = format!("waba/phones/{}/messages", world.phone);
    let mut ids = Vec::new();
    for index in 0..4 {
        let body = json!({ "to": lena.phone, "text": format!("Number {index}") });
        let message = world.api.create(&path, body).await;
        ids.push(message["id"].as_str().unwrap().to_owned());
    }
    for id in &ids {
        world
            .api
            .until(&format!("messages/{id}"), |message| {
                message["state"] == "failed"
            })
            .await;
    }
    world.graph.faults().clear();
    let unknown = "0199f1c2-6666-7a41-9c55-2f0e8b1d6a90";
    let selected = json!({ "ids": [ids[1], unknown, ids[0], ids[1]] });
    let retried = world.api.create("messages/retry", selected).await;
    assert_eq!(retried, json!({ "queued": 2, "skipped": 1, "more": false }));
    let received = world.customer_receives(&lena, 2).await;
    let texts: Vec<String> = received
        .iter()
        .map(|message| message.body["text"]["body"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(texts, ["Number 0", "Number 1"]);
    for wrong in [
        json!({ "ids": [] }),
        json!({ "ids": ["x"] }),
        json!({ "ids": ids[0] }),
        json!({ "ids": [ids[0]], "state": "failed" }),
    ] {
        let (status, _) = world
            .api
            .call("POST", "messages/retry", Some(wrong.clone()))
            .await;
        assert_eq!(status, 422, "{wrong}");
    }
    let all = world
        .api
        .create("messages/retry", json!({ "q": "Number" }))
        .await;
    assert_eq!(all["queued"], 2);
    world.customer_receives(&lena, 4).await;
    let none = world
        .api
        .create("queue/dead_letters/replay", json!({}))
        .await;
    assert_eq!(none, json!({ "replayed": 0, "more": false }));
    world.expect_errors("131026");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integrator_sees_and_mends_only_what_is_theirs() {
    let world = World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await;
    let run = |arguments: &[&str]| {
        let output = world.server.command(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let email = "integrator@example.com";
    run(&["user", "create", "--email", email, "--role", "integrator"]);
    let mut integrator = world.api.clone();
    integrator.key = run(&["key", "create", "--user", email, "--scope", "manage"]);
    let site = integrator
        .create("sites", json!({ "domain": "127.0.0.1:9" }))
        .await;

    let all = examine(&world).await;
    let kinds = |doctor: &Value| -> BTreeSet<String> {
        let checks = doctor["checks"].as_array().unwrap();
        let kind = |check: &Value| check["subject"]["kind"].as_str().unwrap().to_owned();
        checks.iter().map(kind).collect()
    };
    assert!(kinds(&all).contains("installation") && kinds(&all).contains("account"));
    let theirs = integrator.get("doctor").await;
    assert_eq!(kinds(&theirs), ["site".to_owned()].into());
    for check in theirs["checks"].as_array().unwrap() {
        assert_eq!(check["subject"]["id"], site["id"]);
    }
    // Nothing listens there.
    assert_eq!(in_state(&theirs, "fault"), ["reachable".to_owned()].into());
    assert_eq!(integrator.get("overview").await["numbers"], json!([]));

    let subject = |kind: &str, id: &Value| json!({ "kind": kind, "id": id });
    for (body, status) in [
        (
            json!({ "check": "app_callback", "subject": subject("waba_app", &world.app["id"]) }),
            404,
        ),
        (
            json!({ "check": "app_callback", "subject": subject("waba_app", &json!("x")) }),
            404,
        ),
        (
            json!({ "check": "app_callback", "subject": subject("house", &json!("x")) }),
            422,
        ),
        (
            json!({ "check": "nothing", "subject": subject("site", &site["id"]) }),
            422,
        ),
        (
            json!({ "check": "dns", "subject": subject("site", &site["id"]) }),
            422,
        ),
        (json!({ "check": "app_callback" }), 422),
    ] {
        let (refused, answer) = integrator
            .call("POST", "doctor/repair", Some(body.clone()))
            .await;
        assert_eq!(refused, status, "{body}: {answer}");
    }
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_sandbox_gives_what_has_to_be_filled_in() {
    use std::{
        io::{BufRead as _, BufReader},
        process::{Command, Stdio},
    };

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let mut child = Command::new(env!("CARGO_BIN_EXE_separator"))
        .args(["sandbox", "--empty", "--port", &port])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut base, mut key) = (String::new(), String::new());
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(address) = line.trim().strip_prefix("JSON API") {
            address
                .trim()
                .trim_end_matches("/api/docs")
                .clone_into(&mut base);
        }
        if let Some(text) = line.trim().strip_prefix("Key for the API") {
            text.trim().clone_into(&mut key);
        }
        // The last line: whoever stops reading earlier ends a program that still has something to say.
        if line.contains("Ctrl-C") {
            break;
        }
    }
    let http = crate::world::http();
    let api = crate::world::Api { http, base, key };
    let setup = api.get("setup").await;
    for step in setup["steps"].as_array().unwrap() {
        assert_eq!(step["state"], "todo", "{step}");
    }
    let sandbox = &setup["sandbox"];
    for value in [
        "app_id",
        "app_secret",
        "token",
        "waba_id",
        "phone",
        "phone_id",
        "portal",
    ] {
        assert!(
            sandbox[value].as_str().is_some_and(|text| !text.is_empty()),
            "{sandbox:#}"
        );
    }
    assert_eq!(api.get("overview").await["sandbox"], true);
    for prerequisite in setup["prerequisites"].as_array().unwrap() {
        assert_ne!(prerequisite["state"], "fault", "{prerequisite:#}");
    }
    Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn every_check_has_a_section_in_the_documentation() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/doctor.md");
    let text = std::fs::read_to_string(file).unwrap();
    let sections: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let checks: Vec<&str> = separator::doctor::check_names().collect();
    assert!(checks.len() > 40);
    assert_eq!(
        sections, checks,
        "docs/doctor.md has a section for each check, in their order"
    );
}
