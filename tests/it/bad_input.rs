//! What nobody should send, and a disk that does not do its part.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
};

use sandbox::graph::Signature;
use serde_json::{Value, json};

use crate::world::{Options, World, lena};

async fn without_portal() -> World {
    World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await
}

/// A refusal's fields and messages, in their order.
fn errors(problem: &Value) -> Vec<(&str, &str)> {
    let errors = problem["errors"].as_array().unwrap();
    errors
        .iter()
        .map(|error| {
            (
                error["field"].as_str().unwrap(),
                error["message"].as_str().unwrap(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_or_an_id_that_cannot_be_one_is_refused_at_its_field() {
    let world = without_portal().await;
    let account = world.api.get("waba/accounts").await["items"][0]["id"].clone();
    let phones_before = world.api.get("waba/phones").await;
    let long = "1".repeat(33);
    for (change, field, hint) in [
        (json!({ "phone": "49157555O1234" }), "phone", "such as 49"),
        (json!({ "phone": "telephone" }), "phone", "such as 49"),
        (
            json!({ "phone": "1234567890123456" }),
            "phone",
            "such as 49",
        ),
        (json!({ "phone": "123456" }), "phone", "such as 49"),
        (json!({ "phone": "" }), "phone", "such as 49"),
        (json!({ "phone": null }), "phone", "required"),
        (json!({ "phone": 4_915_755_501_235_i64 }), "phone", "text"),
        (json!({ "phone": ["4915755501235"] }), "phone", "text"),
        (json!({ "phone_id": "20930x" }), "phone_id", "digits"),
        (json!({ "phone_id": long }), "phone_id", "at most 32"),
        (json!({ "phone_id": "-1" }), "phone_id", "digits"),
        (
            json!({ "phone_id": "1; DROP TABLE phones" }),
            "phone_id",
            "digits",
        ),
        (json!({ "account": "1" }), "account", "an id"),
        (json!({ "account": null }), "account", "required"),
        (
            json!({ "account": "00000000-0000-0000-0000-000000000000" }),
            "account",
            "does not exist",
        ),
        (json!({ "sip_port": 65536 }), "sip_port", "65535"),
        (json!({ "calling": "on" }), "calling", "enabled, disabled"),
        (
            json!({ "sms_service": "yes" }),
            "sms_service",
            "true or false",
        ),
        (
            json!({ "sip_hostname": "sip_host" }),
            "sip_hostname",
            "host name",
        ),
        (json!({ "colour": "red" }), "colour", "not a known field"),
        (
            json!({ "connection": "connected" }),
            "connection",
            "made by Separator",
        ),
        (json!({ "id": account.clone() }), "id", "made by Separator"),
    ] {
        let mut body =
            json!({ "account": account, "phone": "4915755501235", "phone_id": "209300000000003" });
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let (status, problem) = world.api.call("POST", "waba/phones", Some(body)).await;
        assert_eq!(status, 422, "{change} {problem:#}");
        let found = errors(&problem);
        assert_eq!(found.len(), 1, "{change} {problem:#}");
        assert_eq!(found[0].0, field, "{change}");
        assert!(found[0].1.contains(hint), "{change} {found:?}");
    }
    // All that is wrong is told at once.
    let all =
        json!({ "phone": "x", "phone_id": "y", "account": "z", "sip_port": "w", "colour": 5 });
    let (_, problem) = world.api.call("POST", "waba/phones", Some(all)).await;
    let mut fields: Vec<&str> = errors(&problem).iter().map(|(field, _)| *field).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["account", "colour", "phone", "phone_id", "sip_port"]
    );
    assert_eq!(world.api.get("waba/phones").await, phones_before);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_is_refused_and_its_holder_named() {
    let world = World::start().await;
    let account = world.api.get("waba/accounts").await["items"][0].clone();
    let held = format!(
        "is already entered as phone 4915755501234, linked to {}",
        world.portal.domain()
    );
    let site_id = world.site["id"].as_str().unwrap();
    for (path, body, field, message) in [
        (
            "waba/phones",
            json!({ "account": account["id"], "phone": "+49 1575 5501234", "phone_id": "1" }),
            "phone",
            held.as_str(),
        ),
        (
            "waba/phones",
            json!({ "account": account["id"], "phone": "4915755501235", "phone_id": world.number }),
            "phone_id",
            held.as_str(),
        ),
        (
            "sites",
            json!({ "domain": world.server.domain() }),
            "domain",
            site_id,
        ),
        (
            "waba/apps",
            json!({ "site": world.site["id"], "client_id": "5", "client_secret": "s" }),
            "site",
            "\"Test\"",
        ),
        (
            "waba/accounts",
            json!({ "app": world.app["id"], "waba_id": account["waba_id"] }),
            "waba_id",
            "\"Test\"",
        ),
        (
            "bitrix/apps",
            json!({
                "site": world.site["id"], "client_id": crate::world::CLIENT_ID, "client_secret": "s",
            }),
            "client_id",
            "\"Test\"",
        ),
    ] {
        let (status, problem) = world.api.call("POST", path, Some(body)).await;
        assert_eq!(status, 422, "{path} {problem:#}");
        let found = errors(&problem);
        assert_eq!(found[0].0, field, "{path} {problem:#}");
        assert!(found[0].1.contains(message), "{path} {found:?}");
    }
    let second = world
        .api
        .create("sites", json!({ "domain": "second.example" }))
        .await;
    let (status, problem) = world
        .api
        .call(
            "POST",
            "waba/apps",
            Some(json!({
                "site": second["id"], "client_id": world.app["client_id"], "client_secret": "s",
            })),
        )
        .await;
    assert_eq!(status, 422, "{problem:#}");
    assert_eq!(errors(&problem)[0].0, "client_id");
    // A change runs into the same.
    let path = format!("sites/{}", second["id"].as_str().unwrap());
    let body = json!({ "domain": world.server.domain().to_uppercase() });
    let (status, problem) = world.api.call("PATCH", &path, Some(body)).await;
    assert_eq!(status, 422, "{problem:#}");
    assert!(errors(&problem)[0].1.contains(site_id));
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_at_any_address_is_refused_without_harm() {
    let world = World::start().await;
    let huge = "9".repeat(5000);
    let bodies: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{".to_vec(),
        b"\"text\"".to_vec(),
        vec![0xff; 40],
        vec![0; 40],
        b"a=b&c[d]=e&c[]=f&&=&%".to_vec(),
        format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)).into_bytes(),
        format!("{{\"limit\":{huge}}}").into_bytes(),
    ];
    for path in [
        "/api/waba/",
        "/api/waba/?app_id=%ff",
        "/api/bitrix/",
        "/api/bitrix/?api-key=%00",
        "/app-install/",
        "/app-settings/?DOMAIN=a@b",
        "/placement/",
        "/media/x",
        "/media/..%2f..%2fetc%2fpasswd",
        "/api/v1/sites",
        "/api/v1/waba/phones",
        "/api/v1/waba/phones/x/messages",
        "/api/v1/messages/retry",
        "/api/v1/messages/00000000-0000-0000-0000-000000000000/retry",
        "/api/v1/nothing",
        "/nothing/at/all",
    ] {
        for body in &bodies {
            for (method, key) in [
                ("POST", world.api.key.as_str()),
                ("POST", ""),
                ("PATCH", ""),
            ] {
                let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
                let answer = world
                    .api
                    .http
                    .request(method, format!("{}{path}", world.server.url()))
                    .bearer_auth(key)
                    .body(body.clone())
                    .send()
                    .await
                    .unwrap();
                let status = answer.status().as_u16();
                // "All that failed" needs no body.
                let harmless = path == "/api/v1/messages/retry";
                assert!(
                    (400..500).contains(&status) || harmless && status == 200,
                    "{path}: {status}"
                );
            }
        }
    }
    // Nothing of it is stored, and everything goes on.
    assert_eq!(world.api.get("events").await["items"], json!([]));
    assert_eq!(world.api.get("sites").await["items"], json!([world.site]));
    world.customer_says(&lena(), "still there?");
    world.operator_sees_text("still there?").await;
    world.ends_clean().await;
}

/// Holds the database so that nobody else can write to it, until it is dropped.
struct Lock(Child);

impl Lock {
    fn take(world: &World) -> Self {
        let mut child = Command::new("sqlite3")
            .arg(world.server.data_dir().join("separator.db"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.as_mut().unwrap();
        stdin
            .write_all(b".timeout 10000\nBEGIN EXCLUSIVE;\nSELECT 'locked';\n")
            .unwrap();
        stdin.flush().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line.trim(), "locked");
        Self(child)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn on_postgres() -> bool {
    std::env::var_os("SEPARATOR_TEST_POSTGRES").is_some()
}

const WEBHOOK: &str = r#"{"object":"whatsapp_business_account","entry":[]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_makes_callers_come_again_and_loses_nothing() {
    if on_postgres() {
        eprintln!("not run: a lock of the whole database is SQLite's");
        return;
    }
    let mut world = World::start().await;
    world.expect_errors("receipts could not be stored");
    world.expect_errors("trying again");
    world.customer_says(&lena(), "before");
    let chat = world.operator_sees_text("before").await;
    world.api.until("queue", |queue| queue["depth"] == 0).await;
    let lock = Lock::take(&world);
    let refused = world
        .graph
        .deliver_raw(WEBHOOK, Signature::Right)
        .await
        .unwrap();
    assert_eq!(refused, 503);
    // What is only wrong is still told at once, and so is what needs no writing.
    let wrong = world
        .graph
        .deliver_raw(WEBHOOK, Signature::Wrong)
        .await
        .unwrap();
    assert_eq!(wrong, 401);
    assert_eq!(world.api.get("sites").await["items"], json!([world.site]));
    // Meta repeats what was not acknowledged.
    world.customer_says(&lena(), "while it was locked");
    let refused = world
        .graph
        .wait_until(
            |graph| graph.counters().webhooks_posted > graph.counters().webhooks_accepted + 2,
            crate::world::PATIENCE,
        )
        .await;
    assert!(refused, "{:?}", world.graph.counters());
    drop(lock);
    world.graph.retry_now();
    world.operator_sees_text("while it was locked").await;
    world.operator_says(&chat, "and back");
    world.customer_receives(&lena(), 1).await;
    assert!(world.metric("doors_refused", "not_stored").await >= 1);
    world.ends_clean().await;
}

/// Lets the running program write no file larger than so many bytes, or any.
fn limit_files(world: &World, bytes: &str) {
    let done = Command::new("prlimit")
        .args(["--pid", &world.server.pid().to_string()])
        .arg(format!("--fsize={bytes}:unlimited"))
        .status()
        .unwrap();
    assert!(done.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_makes_callers_come_again_and_loses_nothing() {
    if on_postgres() {
        eprintln!("not run: the disk of PostgreSQL is not this program's");
        return;
    }
    let mut world = World::start().await;
    world.expect_errors("receipts could not be stored");
    world.expect_errors("trying again");
    world.customer_says(&lena(), "before");
    let chat = world.operator_sees_text("before").await;
    world.api.until("queue", |queue| queue["depth"] == 0).await;
    limit_files(&world, "1");
    for _ in 0..3 {
        let refused = world
            .graph
            .deliver_raw(WEBHOOK, Signature::Right)
            .await
            .unwrap();
        assert_eq!(refused, 503);
    }
    assert_eq!(world.api.get("sites").await["items"], json!([world.site]));
    world.customer_says(&lena(), "while it was full");
    world
        .graph
        .wait_until(
            |graph| graph.counters().webhooks_posted > graph.counters().webhooks_accepted + 3,
            crate::world::PATIENCE,
        )
        .await;
    limit_files(&world, "unlimited");
    world.graph.retry_now();
    world.operator_sees_text("while it was full").await;
    world.operator_says(&chat, "and back");
    world.customer_receives(&lena(), 1).await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_gone_for_longer_than_the_lease_is_waited_for() {
    if !on_postgres() {
        eprintln!("not run: only a database server can be gone");
        return;
    }
    let mut world = World::start().await;
    world.expect_errors("database");
    world.expect_errors("could not");
    world.expect_errors("the right to deliver was lost");
    world.customer_says(&lena(), "before");
    let chat = world.operator_sees_text("before").await;
    world.api.until("queue", |queue| queue["depth"] == 0).await;
    world.server.postgres_takes_connections(false);
    let refused = world
        .graph
        .deliver_raw(WEBHOOK, Signature::Right)
        .await
        .unwrap();
    assert_eq!(refused, 503);
    world.customer_says(&lena(), "while it was gone");
    // The lease ends after ten seconds; the program must outlive it.
    let deadline = tokio::time::Instant::now() + crate::world::PATIENCE;
    while !world.server.log().contains("the right to deliver was lost") {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{}",
            world.server.log_tail()
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    world.server.postgres_takes_connections(true);
    world.graph.retry_now();
    world.operator_sees_text("while it was gone").await;
    world.operator_says(&chat, "and back");
    world.customer_receives(&lena(), 1).await;
    world.ends_clean().await;
}
