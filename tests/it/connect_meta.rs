//! Connecting Meta: a pasted token, a login at Facebook, a crash in the middle, and what callbacks tell afterwards.

use std::time::Duration;

use sandbox::graph::{self, AccessToken, Consent, Customer, Fault, Times};
use serde_json::{Value, json};
use url::Url;

use crate::world::{Options, PATIENCE, World};

/// The account that is connected in these tests, and its numbers.
const WABA: &str = "108200000000077";
const READY: &str = "209300000000077";
const FRESH: &str = "209300000000078";
const READY_DIGITS: &str = "4915755507701";
const FRESH_DIGITS: &str = "4915755507702";
const TOKEN: &str = "EAACUSTOMERTOKEN";

/// A set-up with the app entered, and a second account at Meta that nobody has entered: one number of it is registered, one
/// is not.
async fn world() -> World {
    let usual = Options::default();
    let world = World::with(Options {
        linked: false,
        graph: graph::Settings {
            // Nobody hears of an account before we say so.
            subscribed: false,
            ..usual.graph.clone()
        },
        ..usual
    })
    .await;
    world.graph.add_account(WABA);
    world.graph.add_phone(WABA, READY, READY_DIGITS);
    world.graph.add_phone(WABA, FRESH, FRESH_DIGITS);
    world.graph.console().set_standing(FRESH, false, None);
    world.graph.console().add_token(AccessToken {
        value: TOKEN.to_owned(),
        accounts: Some(vec![WABA.to_owned()]),
        ..AccessToken::default()
    });
    world
}

fn app(world: &World) -> String {
    format!("waba/apps/{}", world.app["id"].as_str().unwrap())
}

async fn connection_is(world: &World, id: &Value, state: &str) -> Value {
    let path = format!("waba/connections/{}", id.as_str().unwrap());
    world
        .api
        .until(&path, |shown| shown["state"] == state)
        .await
}

fn step<'a>(connection: &'a Value, name: &str, subject: &str) -> &'a Value {
    let steps = connection["steps"].as_array().unwrap();
    steps
        .iter()
        .find(|step| step["name"] == name && step["subject"] == subject)
        .unwrap_or_else(|| panic!("no step {name} {subject} in {connection:#}"))
}

fn codes(problems: &Value) -> Vec<&str> {
    let problems = problems.as_array().unwrap();
    problems
        .iter()
        .map(|problem| problem["code"].as_str().unwrap())
        .collect()
}

/// All items of a list, over its pages.
async fn all(world: &World, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.api.get(&format!("{path}&cursor={cursor}")).await;
        items.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return items,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pasted_token_is_looked_at_and_connects_accounts_numbers_and_templates() {
    let world = world().await;
    let console = world.graph.console();
    for number in 0..120 {
        console.add_template(
            WABA,
            &format!("notice_{number}"),
            "en",
            "Hello {{1}}, all is well.",
        );
    }
    let inspect = format!("{}/inspect", app(&world));

    // What is wrong with a token is said before anything is entered.
    console.add_token(AccessToken {
        value: "EAAREADONLY".to_owned(),
        scopes: Some(vec!["whatsapp_business_management".to_owned()]),
        expires_at: Some(console_time(&world) + 5 * 24 * 60 * 60 * 1000),
        ..AccessToken::default()
    });
    console.add_token(AccessToken {
        value: "EAAOTHERAPP".to_owned(),
        app_id: Some("730100000000099".to_owned()),
        ..AccessToken::default()
    });
    console.add_token(AccessToken {
        value: "EAASEESNOTHING".to_owned(),
        accounts: Some(Vec::new()),
        ..AccessToken::default()
    });
    for (token, code) in [
        ("EAAREADONLY", "missing_scope"),
        ("EAAREADONLY", "expires_soon"),
        ("EAAOTHERAPP", "other_app"),
        ("EAASEESNOTHING", "no_account"),
        ("EAANOBODYKNOWS", "token_invalid"),
    ] {
        let found = world
            .api
            .create(&inspect, json!({ "access_token": token }))
            .await;
        assert!(
            codes(&found["problems"]).contains(&code),
            "{token}: {found:#}"
        );
    }
    let found = world
        .api
        .create(&inspect, json!({ "access_token": TOKEN }))
        .await;
    assert_eq!(found["token"]["valid"], true);
    assert_eq!(found["token"]["missing_scopes"], json!([]));
    assert_eq!(codes(&found["problems"]), ["live_unknown"]);
    let account = &found["accounts"][0];
    assert_eq!(
        (&account["waba_id"], &account["entered"]),
        (&json!(WABA), &Value::Null)
    );
    let phone = |id: &str| {
        let phones = account["phones"].as_array().unwrap().clone();
        phones
            .into_iter()
            .find(|phone| phone["phone_id"] == id)
            .unwrap()
    };
    assert_eq!(phone(READY)["problem"], Value::Null);
    assert_eq!(phone(FRESH)["problem"]["code"], "not_registered");
    let russian = world
        .api
        .http
        .post(format!("{}/api/v1/{inspect}", world.api.base))
        .bearer_auth(&world.api.key)
        .header("Accept-Language", "ru")
        .json(&json!({ "access_token": "EAAOTHERAPP" }))
        .send()
        .await
        .unwrap();
    let russian: Value = russian.json().await.unwrap();
    let text = russian["problems"][0]["text"].as_str().unwrap();
    assert!(text.contains("другому приложению"), "{text}");
    assert_eq!(
        world.api.get("waba/accounts").await["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    // A connection that cannot be made ends with its reason and leaves nothing behind.
    let connect = format!("{}/connect", app(&world));
    let (status, problem) = world
        .api
        .call(
            "POST",
            &connect,
            Some(json!({ "accounts": ["x"], "pins": { FRESH: "12" } })),
        )
        .await;
    assert_eq!(status, 422, "{problem:#}");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2);
    let refused = json!({ "access_token": "EAASEESNOTHING", "accounts": [WABA] });
    let refused = world.api.create(&connect, refused).await;
    let refused = connection_is(&world, &refused["id"], "failed").await;
    assert_eq!(
        step(&refused, "subscribe", WABA)["error"]["code"],
        "account_invisible"
    );
    assert_eq!(
        world.api.get("waba/accounts").await["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    let body = json!({ "access_token": TOKEN, "accounts": [WABA] });
    let begun = world.api.create(&connect, body.clone()).await;
    let done = connection_is(&world, &begun["id"], "done").await;
    assert_eq!(step(&done, "register", FRESH)["shown"], FRESH_DIGITS);
    assert!(
        done["steps"]
            .as_array()
            .unwrap()
            .iter()
            .all(|step| step["state"] == "done"),
        "{done:#}"
    );
    assert!(console.is_subscribed(world.app["client_id"].as_str().unwrap(), WABA));
    let standing = console.standing(FRESH).unwrap();
    assert!(standing.registered);
    assert_eq!(standing.pin.as_ref().map(String::len), Some(6));
    let accounts = world.api.get("waba/accounts").await;
    let account = accounts["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|account| account["waba_id"] == WABA)
        .unwrap()
        .clone();
    assert_eq!(
        (&account["subscribed"], &account["review"]),
        (&json!(true), &json!("APPROVED"))
    );
    let id = account["id"].as_str().unwrap();
    world
        .api
        .until(&format!("waba/accounts/{id}"), |account| {
            account["token"]["state"] == "ok"
        })
        .await;
    let phones = all(&world, &format!("waba/phones?account={id}")).await;
    let mut digits: Vec<&str> = phones
        .iter()
        .map(|phone| phone["phone"].as_str().unwrap())
        .collect();
    digits.sort_unstable();
    assert_eq!(digits, [READY_DIGITS, FRESH_DIGITS]);
    assert_eq!(phones[0]["meta"]["quality"], "GREEN");

    let templates = all(&world, &format!("waba/templates?account={id}&limit=50")).await;
    assert_eq!(templates.len(), 128);
    let found = all(
        &world,
        &format!("waba/templates?account={id}&status=REJECTED&q=prize"),
    )
    .await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["reason"], "PROMOTIONAL");
    let by_text = all(&world, &format!("waba/templates?account={id}&q=PARCEL")).await;
    assert_eq!(by_text[0]["name"], "delivery_note");

    // Once more: nothing is done twice.
    let again = world.api.create(&connect, body).await;
    connection_is(&world, &again["id"], "done").await;
    assert_eq!(console.standing(FRESH).unwrap().tries, 1);
    assert_eq!(
        all(&world, &format!("waba/phones?account={id}"))
            .await
            .len(),
        2
    );
    assert_eq!(
        all(&world, &format!("waba/templates?account={id}&limit=200"))
            .await
            .len(),
        128
    );

    // The callback is set by us, and what comes to the new number arrives.
    let set = world
        .api
        .create(&format!("{}/webhook", app(&world)), json!({}))
        .await;
    assert_eq!(set["callback_url"], world.app["callback_url"]);
    let (callback, fields) = console
        .app_webhook(world.app["client_id"].as_str().unwrap())
        .unwrap();
    assert_eq!(callback.as_deref(), world.app["callback_url"].as_str());
    assert!(
        fields
            .unwrap()
            .contains(&"message_template_components_update".to_owned())
    );
    let max = Customer::with_phone("4915755508888").named("Max");
    let wamid = world
        .graph
        .customer_writes(FRESH, &max, graph::part::text("for the new number"));
    assert_eq!(world.message(&wamid).await["text"], "for the new number");
    world.server.check_log(&[]);
}

fn console_time(world: &World) -> i64 {
    world.graph.clock().now()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_on_after_a_crash_anywhere_and_waits_for_a_pin() {
    let mut world = world().await;
    world
        .graph
        .console()
        .set_standing(FRESH, false, Some("135790"));
    let body = json!({ "access_token": TOKEN, "accounts": [WABA] });
    let slow = Fault::Slow(Duration::from_millis(250));
    world.graph.faults().set(slow, Times::Always);
    let mut after = world.graph.requests().len();
    let begun = world
        .api
        .create(&format!("{}/connect", app(&world)), body)
        .await;
    // Killed while Meta works on one step after the other.
    for call in [
        "/debug_token",
        "/subscribed_apps",
        "/phone_numbers",
        "/message_templates",
    ] {
        let of_it = |request: &graph::Request| {
            request.path.ends_with(call) && (call == "/debug_token" || request.path.contains(WABA))
        };
        let asked = world
            .graph
            .wait_until(|state| state.requests().skip(after).any(of_it), PATIENCE)
            .await;
        assert!(
            asked,
            "{call} was never called\n{}",
            world.server.log_tail()
        );
        world.server.kill();
        after = world.graph.requests().len();
        world.server.start().await;
    }
    world.graph.faults().clear();

    let waiting = connection_is(&world, &begun["id"], "waiting").await;
    let error = &step(&waiting, "register", FRESH)["error"];
    assert_eq!(error["code"], "pin_needed");
    assert!(error["text"].as_str().unwrap().contains(FRESH_DIGITS));
    let console = world.graph.console();
    assert_eq!(
        console.standing(FRESH).unwrap().tries,
        0,
        "a number with a PIN is not tried without it"
    );
    assert_eq!(step(&waiting, "enter_number", FRESH)["state"], "done");
    assert_eq!(step(&waiting, "fetch_templates", WABA)["state"], "done");
    let accounts = world.api.get("waba/accounts").await;
    let ids: Vec<&str> = accounts["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|account| account["waba_id"] == WABA)
        .map(|account| account["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 1, "entered once");
    assert_eq!(
        all(&world, &format!("waba/phones?account={}", ids[0]))
            .await
            .len(),
        2
    );

    let resume = format!("waba/connections/{}/resume", begun["id"].as_str().unwrap());
    world
        .api
        .create(&resume, json!({ "pins": { FRESH: "000000" } }))
        .await;
    let tried = world
        .graph
        .wait_until(
            |state| {
                state
                    .requests()
                    .any(|request| request.path.ends_with("/register"))
            },
            PATIENCE,
        )
        .await;
    assert!(tried);
    connection_is(&world, &begun["id"], "waiting").await;
    assert!(!console.standing(FRESH).unwrap().registered);
    world
        .api
        .create(&resume, json!({ "pins": { FRESH: "135790" } }))
        .await;
    connection_is(&world, &begun["id"], "done").await;
    let standing = console.standing(FRESH).unwrap();
    assert_eq!((standing.registered, standing.tries), (true, 2));
    world.server.check_log(&[]);
    let database = std::fs::read(world.server.data_dir().join("separator.db")).unwrap_or_default();
    let holds = |secret: &str| {
        database
            .windows(secret.len())
            .any(|window| window == secret.as_bytes())
    };
    assert!(!holds(TOKEN), "the token lies open in the database");
}

/// A browser that was sent to Facebook by us.
struct Away {
    dialog: Url,
    cookie: String,
}

async fn set_out(world: &World) -> Away {
    let answer = world
        .api
        .http
        .post(format!("{}/api/v1/{}/login", world.api.base, app(world)))
        .bearer_auth(&world.api.key)
        .json(&json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let body: Value = answer.json().await.unwrap();
    Away {
        dialog: body["url"].as_str().unwrap().parse().unwrap(),
        cookie,
    }
}

/// The browser comes back; gives where it is sent on to.
async fn comes_back(world: &World, back: &Url, cookie: &str) -> String {
    let answer = world
        .api
        .http
        .get(back.clone())
        .header("Cookie", cookie)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 303);
    assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
    answer.headers()["location"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_at_facebook_connects_what_was_granted_and_each_refusal_has_its_page() {
    let world = world().await;
    let console = world.graph.console();
    let client_id = world.app["client_id"].as_str().unwrap();
    let listed = world.app["redirect_url"].as_str().unwrap().to_owned();
    console.set_redirect_uris(client_id, Some(vec![listed]));

    let granted = |scopes: &[&str], accounts: &[&str]| Consent::Grant {
        accounts: accounts.iter().map(|id| (*id).to_owned()).collect(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
    };
    let management = "whatsapp_business_management";
    for (consent, reason) in [
        (Consent::Deny, "denied"),
        (Consent::UsedCode, "code_used"),
        (Consent::OtherRedirect, "redirect_differs"),
        (Consent::OtherApp, "wrong_app"),
        (Consent::accounts(&[]), "no_account"),
        (granted(&[management], &[WABA]), "missing_scope"),
    ] {
        let away = set_out(&world).await;
        let back = console.answer_dialog(&away.dialog, consent).unwrap();
        assert_eq!(
            comes_back(&world, &back, &away.cookie).await,
            format!("/waba/refused/{reason}")
        );
    }
    // The way back is for the browser that went, once, and soon.
    let away = set_out(&world).await;
    let back = console
        .answer_dialog(&away.dialog, Consent::accounts(&[WABA]))
        .unwrap();
    assert_eq!(
        comes_back(&world, &back, "a=b").await,
        "/waba/refused/other_browser"
    );
    let other = set_out(&world).await;
    assert_eq!(
        comes_back(&world, &back, &other.cookie).await,
        "/waba/refused/other_browser"
    );
    let mut forged = back.clone();
    forged.set_query(Some("code=x&state=never-made"));
    assert_eq!(
        comes_back(&world, &forged, &away.cookie).await,
        "/waba/refused/state_unknown"
    );
    forged.set_query(None);
    assert_eq!(
        comes_back(&world, &forged, &away.cookie).await,
        "/waba/refused/state_unknown"
    );
    let late = console
        .answer_dialog(&other.dialog, Consent::accounts(&[WABA]))
        .unwrap();
    world.graph.faults().set(Fault::ServerError, Times::Always);
    assert_eq!(
        comes_back(&world, &late, &other.cookie).await,
        "/waba/refused/meta_unreachable"
    );
    world.graph.faults().clear();
    assert_eq!(
        comes_back(&world, &late, &other.cookie).await,
        "/waba/refused/state_used"
    );
    world
        .server
        .sql("UPDATE meta_logins SET expires_at = 1 WHERE used_at IS NULL");
    assert_eq!(
        comes_back(&world, &back, &away.cookie).await,
        "/waba/refused/state_expired"
    );
    assert_eq!(
        world.api.get("waba/connections").await["items"],
        json!([]),
        "nothing half-made"
    );
    assert_eq!(
        world.api.get("waba/accounts").await["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    // Granted, with a configuration: a token of a system user for 60 days.
    world
        .api
        .patch(&app(&world), json!({ "config_id": "4711" }))
        .await;
    let away = set_out(&world).await;
    assert!(away.dialog.as_str().contains("config_id=4711"));
    let back = console
        .answer_dialog(&away.dialog, Consent::accounts(&[WABA]))
        .unwrap();
    let location = comes_back(&world, &back, &away.cookie).await;
    let id = location
        .strip_prefix("/waba/connected/")
        .unwrap_or_else(|| panic!("{location}"));
    let done = connection_is(&world, &json!(id), "done").await;
    assert_eq!(step(&done, "enter_number", READY)["state"], "done");
    assert_eq!(
        comes_back(&world, &back, &away.cookie).await,
        "/waba/refused/state_used"
    );
    let accounts = world.api.get("waba/accounts").await;
    let account = accounts["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|account| account["waba_id"] == WABA)
        .unwrap()
        .clone();
    assert_eq!(account["has_access_token"], true);
    let path = format!("waba/accounts/{}", account["id"].as_str().unwrap());
    let account = world
        .api
        .until(&path, |account| account["token"]["state"] == "ok")
        .await;
    assert_eq!(account["token"]["kind"], "SYSTEM_USER");
    assert!(account["token"]["expires_at"].is_string());

    let log = world.server.log();
    assert!(!log.contains("code="), "a code stands in the log");
    world.server.check_log(&[]);
}
