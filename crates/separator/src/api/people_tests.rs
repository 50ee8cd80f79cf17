//! Signing in and out, users, keys and the audit, as a browser and a script see them.

#![expect(clippy::unwrap_used, reason = "tests")]

use axum::http::Method;
use serde_json::json;
use uuid::Uuid;

use super::{
    tests::{Reply, World},
    *,
};
use crate::{
    identifiers::Chance,
    secret::Secret,
    store::{audit, browse::Window},
    users::{
        Role, create_user,
        links::{self, Kind},
        session, totp,
    },
};

const EMAIL: &str = "owner@example.com";
const PASSWORD: &str = "correct horse battery";

/// A browser: it keeps cookies and says where its requests come from.
struct Browser<'a> {
    world: &'a World,
    cookies: Vec<(String, String)>,
    site: &'static str,
    /// Whether it writes JSON.
    kind: &'static str,
}

impl<'a> Browser<'a> {
    fn new(world: &'a World) -> Self {
        Self {
            world,
            cookies: Vec::new(),
            site: "same-origin",
            kind: "application/json",
        }
    }

    async fn ask(&mut self, method: Method, path: &str, body: Value) -> Reply {
        let cookies: Vec<String> = (self.cookies.iter())
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/{path}"))
            .header("host", "separator.example.com")
            .header("sec-fetch-site", self.site)
            .header("content-type", self.kind)
            .header("cookie", cookies.join("; "));
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        let reply = self.world.send(request, body).await;
        for cookie in reply.headers.get_all(header::SET_COOKIE) {
            let text = cookie.to_str().unwrap();
            for needed in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
                assert!(text.contains(needed), "{text}");
            }
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            assert!(name.starts_with("__Host-"), "{text}");
            self.cookies.retain(|(own, _)| own != name);
            if !text.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        reply
    }

    async fn get(&mut self, path: &str) -> Reply {
        self.ask(Method::GET, path, Value::Null).await
    }

    async fn post(&mut self, path: &str, body: Value) -> Reply {
        self.ask(Method::POST, path, body).await
    }

    async fn sign_in(&mut self, password: &str) -> Reply {
        let body = json!({ "email": EMAIL, "password": password });
        self.post("session", body).await
    }
}

async fn user(world: &World, role: Role) -> Uuid {
    let app = &world.app;
    let password = Some(Secret::new(PASSWORD));
    create_user(
        &app.store,
        &app.clock,
        &app.ids,
        &Chance::System,
        EMAIL,
        password,
        role,
    )
    .await
    .unwrap()
    .id
}

async fn lines(world: &World) -> Vec<audit::Line> {
    let window = Window {
        below: None,
        limit: 200,
    };
    audit::lines(&world.app.store, &audit::Filter::default(), window)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_person_signs_in_is_known_and_signs_out() {
    let world = World::new().await;
    let id = user(&world, Role::Integrator).await;
    let mut browser = Browser::new(&world);
    assert_eq!(browser.get("session").await.status, 401);
    let reply = browser.sign_in(PASSWORD).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    super::description::assert_described("Session", &reply.body);
    super::description::assert_described("SessionUser", &reply.body["user"]);
    assert_eq!(reply.body["user"]["id"], json!(id));
    assert_eq!(reply.body["user"]["role"], "integrator");
    assert_eq!(browser.get("session").await.body, reply.body);

    // The token is nowhere but in the browser.
    let token = (browser.cookies.iter())
        .find(|(name, _)| name == session::COOKIE)
        .unwrap()
        .1
        .clone();
    let rows = world
        .app
        .store
        .fetch("SELECT hash FROM sessions", &[])
        .await
        .unwrap();
    assert_ne!(rows[0].text("hash").unwrap(), token);

    let changed = browser
        .ask(
            Method::PATCH,
            "session",
            json!({ "name": "Anna", "language": "ru" }),
        )
        .await;
    assert_eq!(changed.body["user"]["name"], "Anna");
    assert_eq!(changed.body["user"]["language"], "ru");
    assert_eq!(
        browser
            .ask(Method::DELETE, "session", Value::Null)
            .await
            .status,
        204
    );
    assert!(
        !browser
            .cookies
            .iter()
            .any(|(name, _)| name == session::COOKIE)
    );
    // The token opens nothing any more, even where somebody kept it.
    browser.cookies.push((session::COOKIE.to_owned(), token));
    assert_eq!(browser.get("session").await.status, 401);
}

#[tokio::test]
async fn an_unknown_address_a_wrong_password_and_a_disabled_user_are_told_the_same() {
    let world = World::new().await;
    let id = user(&world, Role::Integrator).await;
    let mut answers = Vec::new();
    for (email, password) in [(EMAIL, "wrong horse"), ("nobody@example.com", PASSWORD)] {
        let body = json!({ "email": email, "password": password });
        answers.push(Browser::new(&world).post("session", body).await);
    }
    world
        .app
        .store
        .execute(
            "UPDATE users SET disabled = TRUE WHERE id = $1",
            &[id.into()],
        )
        .await
        .unwrap();
    answers.push(Browser::new(&world).sign_in(PASSWORD).await);
    for answer in &answers {
        assert_eq!(answer.status, 401);
        assert_eq!(answer.body, answers[0].body);
        assert!(!answer.headers.contains_key(header::SET_COOKIE));
    }
}

#[tokio::test]
async fn guessing_is_slowed_down_and_the_owners_browser_is_not() {
    let world = World::new().await;
    user(&world, Role::Integrator).await;
    let mut owner = Browser::new(&world);
    owner.sign_in(PASSWORD).await;
    owner.ask(Method::DELETE, "session", Value::Null).await;

    let mut guesser = Browser::new(&world);
    let mut locked = None;
    for _ in 0..10 {
        let reply = guesser.sign_in("a wrong guess").await;
        if reply.status == 429 {
            locked = Some(reply);
            break;
        }
    }
    let locked = locked.expect("guessing was never slowed down");
    assert_eq!(locked.body["type"], "locked");
    assert!(locked.body["retry_after"].as_u64().unwrap() > 0);
    assert!(locked.headers.contains_key(header::RETRY_AFTER));
    // Even the right password is not taken from there now, but it is from the browser that was here before.
    assert_eq!(guesser.sign_in(PASSWORD).await.status, 429);
    assert_eq!(owner.sign_in(PASSWORD).await.status, 201);
}

#[tokio::test]
async fn a_cookie_makes_no_change_for_a_page_of_somebody_else() {
    let world = World::new().await;
    user(&world, Role::Admin).await;
    let mut browser = Browser::new(&world);
    browser.sign_in(PASSWORD).await;
    let body = json!({ "domain": "evil.example.com" });
    for site in ["cross-site", "same-site", "none"] {
        browser.site = site;
        let reply = browser.post("sites", body.clone()).await;
        assert_eq!(reply.status, 403, "{site}: {}", reply.text);
        let reply = browser.sign_in(PASSWORD).await;
        assert_eq!(reply.status, 403, "{site}: {}", reply.text);
    }
    browser.site = "same-origin";
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        browser.kind = kind;
        assert_eq!(
            browser.post("sites", body.clone()).await.status,
            415,
            "{kind}"
        );
    }
    browser.kind = "application/json";
    assert_eq!(browser.get("sites").await.body["items"], json!([]));
    assert_eq!(browser.post("sites", body).await.status, 201);
}

#[tokio::test]
async fn sessions_hold_across_a_restart_are_listed_and_can_be_ended() {
    let world = World::new().await;
    user(&world, Role::Integrator).await;
    let (mut first, mut second) = (Browser::new(&world), Browser::new(&world));
    first.sign_in(PASSWORD).await;
    second.sign_in(PASSWORD).await;
    let list = first.get("sessions").await;
    let items = list.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{}", list.text);
    super::description::assert_described("BrowserSession", &items[0]);
    let other = items.iter().find(|item| item["current"] == false).unwrap();
    let path = format!("sessions/{}", other["id"].as_str().unwrap());
    assert_eq!(
        first.ask(Method::DELETE, &path, Value::Null).await.status,
        204
    );
    assert_eq!(
        first.ask(Method::DELETE, &path, Value::Null).await.status,
        404
    );
    assert_eq!(second.get("session").await.status, 401);
    // Nothing that the session needs is in memory: another program on the same data knows it.
    let settings = world.app.settings.clone();
    let again = crate::serve::build(settings, &tokio_util::task::TaskTracker::new())
        .await
        .unwrap();
    let token = &first
        .cookies
        .iter()
        .find(|(name, _)| name == session::COOKIE)
        .unwrap()
        .1;
    let known = session::check(&again.store, again.clock.now(), token)
        .await
        .unwrap();
    assert!(known.is_some());
    let later = again.clock.now() + session::IDLE;
    assert_eq!(
        session::check(&again.store, later, token).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn another_password_ends_all_other_sessions() {
    let world = World::new().await;
    user(&world, Role::Integrator).await;
    let (mut here, mut there) = (Browser::new(&world), Browser::new(&world));
    here.sign_in(PASSWORD).await;
    there.sign_in(PASSWORD).await;
    let wrong = json!({ "current": "not mine", "new": "another password" });
    let reply = here.post("session/password", wrong).await;
    assert_eq!(reply.errors(), [("current", "is not your password")]);
    let short = json!({ "current": PASSWORD, "new": "short" });
    let reply = here.post("session/password", short).await;
    assert_eq!(reply.errors(), [("new", "must have 8 to 1024 characters")]);
    let right = json!({ "current": PASSWORD, "new": "another password" });
    assert_eq!(here.post("session/password", right).await.status, 204);
    assert_eq!(here.get("session").await.status, 200);
    assert_eq!(there.get("session").await.status, 401);
    assert_eq!(there.sign_in(PASSWORD).await.status, 401);
    assert_eq!(there.sign_in("another password").await.status, 201);
}

#[tokio::test]
async fn with_an_authenticator_app_a_fresh_code_is_needed() {
    let world = World::new().await;
    let id = user(&world, Role::Integrator).await;
    let mut browser = Browser::new(&world);
    browser.sign_in(PASSWORD).await;
    let offer = browser.post("session/totp", Value::Null).await;
    super::description::assert_described("TotpOffer", &offer.body);
    let secret = Secret::new(offer.body["secret"].as_str().unwrap());
    let code = |steps: i64| {
        let step = world.app.clock.now().0.div_euclid(30_000) + steps;
        totp::code(&secret, step).unwrap()
    };
    // Until it is confirmed, it asks nothing of anybody.
    assert_eq!(Browser::new(&world).sign_in(PASSWORD).await.status, 201);
    let wrong = browser
        .post("session/totp/confirm", json!({ "code": "000000" }))
        .await;
    assert_eq!(wrong.errors()[0].0, "code");
    let confirmed = browser
        .post("session/totp/confirm", json!({ "code": code(-1) }))
        .await;
    assert_eq!(confirmed.status, 204, "{}", confirmed.text);
    assert_eq!(browser.post("session/totp", Value::Null).await.status, 409);
    assert_eq!(browser.get("session").await.body["user"]["totp"], true);

    let mut other = Browser::new(&world);
    let asked = other.sign_in(PASSWORD).await;
    assert_eq!(
        (asked.status, &asked.body["type"]),
        (401, &json!("totp_required"))
    );
    let with = |code: &str| json!({ "email": EMAIL, "password": PASSWORD, "code": code });
    assert_eq!(
        other.post("session", with("000000")).await.errors()[0].0,
        "code"
    );
    // The code that confirmed the app was used.
    assert_eq!(other.post("session", with(&code(-1))).await.status, 422);
    let fresh = code(0);
    assert_eq!(other.post("session", with(&fresh)).await.status, 201);
    assert_eq!(
        Browser::new(&world)
            .post("session", with(&fresh))
            .await
            .status,
        422
    );

    // What is stored is sealed.
    let rows = world
        .app
        .store
        .fetch("SELECT totp_secret FROM users WHERE id = $1", &[id.into()])
        .await
        .unwrap();
    let stored = rows[0].bytes("totp_secret").unwrap();
    assert!(!String::from_utf8_lossy(&stored).contains(secret.expose()));
    let gone = other
        .ask(Method::DELETE, "session/totp", json!({ "code": code(1) }))
        .await;
    assert_eq!(gone.status, 204, "{}", gone.text);
    assert_eq!(Browser::new(&world).sign_in(PASSWORD).await.status, 201);
}

#[tokio::test]
async fn a_link_is_good_once_and_says_what_it_needs() {
    let world = World::new().await;
    let id = user(&world, Role::Integrator).await;
    let app = &world.app;
    let link = async |kind| {
        links::make(&app.store, &Chance::System, app.clock.now(), id, kind)
            .await
            .unwrap()
            .expose()
            .to_owned()
    };
    let mut signed_in_before = Browser::new(&world);
    signed_in_before.sign_in(PASSWORD).await;
    let token = link(Kind::Password).await;
    let mut browser = Browser::new(&world);
    let needs = browser
        .post("session/link", json!({ "token": token }))
        .await;
    assert_eq!(needs.errors(), [("password", "is required")]);
    let short = browser
        .post(
            "session/link",
            json!({ "token": token, "password": "short" }),
        )
        .await;
    assert_eq!(short.errors()[0].0, "password");
    let chosen = json!({ "token": token, "password": "chosen by myself" });
    assert_eq!(
        browser.post("session/link", chosen.clone()).await.status,
        201
    );
    assert_eq!(browser.get("session").await.status, 200);
    assert_eq!(signed_in_before.get("session").await.status, 401);
    assert_eq!(
        Browser::new(&world)
            .post("session/link", chosen)
            .await
            .status,
        410
    );
    assert_eq!(
        Browser::new(&world)
            .sign_in("chosen by myself")
            .await
            .status,
        201
    );

    // One that signs in at once needs nothing else; a newer link takes the place of an older one.
    let old = link(Kind::Password).await;
    let token = link(Kind::Enter).await;
    let mut browser = Browser::new(&world);
    assert_eq!(
        browser
            .post("session/link", json!({ "token": old }))
            .await
            .status,
        410
    );
    assert_eq!(
        browser
            .post("session/link", json!({ "token": token }))
            .await
            .status,
        201
    );
    assert_eq!(
        browser
            .post("session/link", json!({ "token": token }))
            .await
            .status,
        410
    );
    // And all of them end after a day.
    let token = link(Kind::Enter).await;
    app.store
        .execute(
            "UPDATE links SET expires_at = $1",
            &[app.clock.now().0.into()],
        )
        .await
        .unwrap();
    assert_eq!(
        browser
            .post("session/link", json!({ "token": token }))
            .await
            .status,
        410
    );
}

#[tokio::test]
async fn whoever_has_the_first_link_becomes_the_administrator_and_nobody_after() {
    let world = World::new().await;
    let app = &world.app;
    let first = async || {
        links::first(&app.store, &Chance::System, app.clock.now())
            .await
            .unwrap()
    };
    assert!(first().await.is_none(), "there is a user already");
    app.store.execute("DELETE FROM users", &[]).await.unwrap();
    let earlier = first().await.unwrap();
    let token = first().await.unwrap();
    let mut browser = Browser::new(&world);
    let with = |token: &Secret| json!({ "token": token.expose(), "email": "Root@Example.com", "password": PASSWORD });
    assert_eq!(
        browser.post("session/link", with(&earlier)).await.status,
        410
    );
    let needs = browser
        .post("session/link", json!({ "token": token.expose() }))
        .await;
    assert_eq!(
        needs.errors(),
        [("email", "is required"), ("password", "is required")]
    );
    let reply = browser.post("session/link", with(&token)).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    assert_eq!(reply.body["user"]["email"], "root@example.com");
    assert_eq!(reply.body["user"]["role"], "administrator");
    assert_eq!(browser.post("session/link", with(&token)).await.status, 410);
    assert!(first().await.is_none());
}

#[tokio::test]
async fn users_are_looked_after_and_the_last_administrator_stays() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    let id = user(&world, Role::Admin).await;
    browser.sign_in(PASSWORD).await;
    // Now the first one is the last but one.
    let list = browser.get("users").await;
    super::description::assert_described("User", &list.body["items"][0]);
    let first = list.body["items"][0]["id"].as_str().unwrap().to_owned();
    let path = |id: &str| format!("users/{id}");
    let made = browser
        .post(
            "users",
            json!({ "email": "Ivan@Example.com", "name": "Ivan" }),
        )
        .await;
    assert_eq!(made.body["email"], "ivan@example.com");
    assert_eq!(made.body["role"], "integrator");
    let ivan = made.id();
    let twin = browser
        .post("users", json!({ "email": "ivan@example.com" }))
        .await;
    assert_eq!(
        twin.errors(),
        [("email", "is already the address of another user")]
    );

    let link = browser
        .post(&format!("users/{ivan}/link"), Value::Null)
        .await;
    let link = link.body["link"].as_str().unwrap().to_owned();
    assert!(
        link.starts_with("https://separator.example.com/link#"),
        "{link}"
    );
    let token = link.split_once('#').unwrap().1;
    let mut other = Browser::new(&world);
    let chosen = json!({ "token": token, "password": "my own password" });
    assert_eq!(other.post("session/link", chosen).await.status, 201);

    // Who owns a site is not removed before it is given to somebody.
    let site = other
        .post("sites", json!({ "domain": "ivan.example.com" }))
        .await;
    assert_eq!(site.body["owner"], json!(ivan));
    let owns = browser.ask(Method::DELETE, &path(&ivan), Value::Null).await;
    assert_eq!(owns.status, 409);
    assert!(owns.text.contains("ivan.example.com"), "{}", owns.text);
    let stolen = json!({ "owner": id });
    let site = format!("sites/{}", site.id());
    let refused = other.ask(Method::PATCH, &site, stolen.clone()).await;
    assert_eq!(refused.errors()[0].0, "owner");
    assert_eq!(browser.ask(Method::PATCH, &site, stolen).await.status, 200);
    assert_eq!(other.get(&site).await.status, 404);

    // A disabled user is out at once.
    let disabled = json!({ "disabled": true });
    assert_eq!(
        browser
            .ask(Method::PATCH, &path(&ivan), disabled.clone())
            .await
            .status,
        200
    );
    assert_eq!(other.get("session").await.status, 401);
    assert_eq!(
        browser
            .ask(Method::DELETE, &path(&ivan), Value::Null)
            .await
            .status,
        204
    );

    assert_eq!(
        browser
            .ask(Method::PATCH, &path(&first), disabled.clone())
            .await
            .status,
        200
    );
    for body in [disabled, json!({ "role": "integrator" })] {
        let refused = browser
            .ask(Method::PATCH, &path(&id.to_string()), body)
            .await;
        assert_eq!(refused.status, 409, "{}", refused.text);
    }
    let refused = browser
        .ask(Method::DELETE, &path(&id.to_string()), Value::Null)
        .await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert_eq!(browser.get("session").await.status, 200);
}

#[tokio::test]
async fn keys_are_shown_once_and_end_when_they_are_removed() {
    let world = World::new().await;
    user(&world, Role::Integrator).await;
    let mut browser = Browser::new(&world);
    browser.sign_in(PASSWORD).await;
    let body = json!({ "name": "CRM", "scope": "manage" });
    let made = browser.post("keys", body.clone()).await;
    super::description::assert_described("Key", &made.body);
    let key = made.body["key"].as_str().unwrap().to_owned();
    let path = format!("keys/{}", made.id());
    assert_eq!(browser.get(&path).await.body["key"], Value::Null);
    let with_key = async || {
        let request = Request::builder()
            .uri("/api/v1/sites")
            .header("authorization", format!("Bearer {key}"));
        world.send(request, Body::empty()).await.status
    };
    assert_eq!(with_key().await, 200);
    assert_ne!(browser.get(&path).await.body["used_at"], Value::Null);
    assert_eq!(
        browser.ask(Method::DELETE, &path, Value::Null).await.status,
        204
    );
    assert_eq!(with_key().await, 401);

    // A repeated request gets the same key, and the key lies nowhere as it is.
    let once = async || {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/api/v1/keys")
            .header("authorization", format!("Bearer {}", world.key))
            .header("idempotency-key", "k1");
        world.send(request, Body::from(body.to_string())).await
    };
    let (one, two) = (once().await, once().await);
    assert_eq!(one.body, two.body);
    let stored = world
        .app
        .store
        .fetch("SELECT body FROM idempotency_keys", &[])
        .await
        .unwrap();
    let stored = stored[0].text("body").unwrap();
    assert!(!stored.contains("sep_") && !stored.is_empty(), "{stored}");
}

#[tokio::test]
async fn the_audit_tells_who_did_what_and_no_secret() {
    let world = World::new().await;
    let id = user(&world, Role::Admin).await;
    let mut browser = Browser::new(&world);
    browser.sign_in("wrong p4ss").await;
    browser.sign_in(PASSWORD).await;
    let site = browser
        .post("sites", json!({ "domain": "a.example.com" }))
        .await
        .id();
    let body = json!({
        "site": site, "name": "Main", "client_id": "5301", "client_secret": "pl4nted-one", "access_token": "pl4nted-two",
    });
    let app = browser.post("waba/apps", body).await.id();
    let path = format!("waba/apps/{app}");
    let change = json!({ "name": "Other", "client_secret": "pl4nted-three", "access_token": null });
    browser.ask(Method::PATCH, &path, change).await;
    // What was refused was not done.
    browser
        .ask(Method::PATCH, &path, json!({ "client_id": "x" }))
        .await;
    browser
        .ask(Method::DELETE, &format!("sites/{site}"), Value::Null)
        .await;
    let key = browser
        .post("keys", json!({ "name": "k", "scope": "manage" }))
        .await;
    browser.ask(Method::DELETE, &path, Value::Null).await;

    let told: Vec<(String, String, String)> = lines(&world)
        .await
        .into_iter()
        .rev()
        .map(|line| (line.action, line.subject_kind, line.state))
        .collect();
    let line = |action: &str, kind: &str, state: &str| {
        (action.to_owned(), kind.to_owned(), state.to_owned())
    };
    assert_eq!(
        told,
        [
            line("sign_in", "own_account", "refused"),
            line("sign_in", "own_account", "done"),
            line("create", "site", "done"),
            line("create", "waba_app", "done"),
            line("change", "waba_app", "done"),
            line("create", "key", "done"),
            line("delete", "waba_app", "done"),
        ]
    );
    let found = browser
        .get(&format!("audit?subject={app}&action=change&user={id}"))
        .await;
    let items = found.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{}", found.text);
    super::description::assert_described("AuditLine", &items[0]);
    assert_eq!(items[0]["who"], EMAIL);
    assert_eq!(items[0]["subject_name"], "Main");
    assert_eq!(
        items[0]["changes"],
        json!([
            { "field": "name", "old": "Main", "new": "Other" },
            { "field": "access_token", "old": "set", "new": null },
            { "field": "client_secret", "old": "set", "new": "changed" },
        ])
    );
    for (query, count) in [
        ("q=a.EXAMPLE.com", 1),
        ("q=Other", 2),
        ("subject=waba_app", 3),
        ("from=2100-01-01T00:00:00Z", 0),
        ("to=2100-01-01T00:00:00Z", 7),
    ] {
        let found = browser.get(&format!("audit?{query}")).await;
        let items = found.body["items"].as_array().unwrap();
        assert_eq!(items.len(), count, "{query}: {}", found.text);
    }
    let all = format!("{:?}", lines(&world).await);
    for secret in [
        "pl4nted",
        "p4ss",
        PASSWORD,
        key.body["key"].as_str().unwrap(),
    ] {
        assert!(!all.contains(secret), "{secret} is in the audit");
    }
    // An integrator sees what the integrator did.
    world
        .app
        .store
        .execute(
            "UPDATE users SET role = 'integrator' WHERE id = $1",
            &[id.into()],
        )
        .await
        .unwrap();
    world
        .app
        .store
        .execute(
            "UPDATE audit SET user_id = NULL WHERE action = 'create'",
            &[],
        )
        .await
        .unwrap();
    let own = browser.get("audit").await;
    assert!(!own.text.contains("\"create\""), "{}", own.text);
}

#[tokio::test]
async fn a_change_that_is_cut_off_keeps_its_line() {
    let world = World::new().await;
    let app = &world.app;
    // The program ends between the change and the end of its line: what is left is the beginning.
    let operation = operations()
        .find(|operation| operation.verb == Verb::Post && operation.path == "/api/v1/sites")
        .unwrap();
    let call = Call {
        app: Arc::clone(app),
        caller: Caller::Nobody,
        client: client::Client::of(&Request::new(()).into_parts().0, &app.settings),
        cookies: Cookies::default(),
        id: None,
        query: String::new(),
        body: Bytes::new(),
    };
    drop(Trail::begin(operation, &call).await.unwrap());
    let left = lines(&world).await;
    assert_eq!(
        (left[0].state.as_str(), left[0].action.as_str()),
        ("begun", "create")
    );
    // A line that cannot be written stops the change.
    app.store.execute("DROP TABLE audit", &[]).await.unwrap();
    let request = Request::builder()
        .method(Method::POST)
        .uri("/api/v1/sites")
        .header("authorization", format!("Bearer {}", world.key));
    let body = Body::from(json!({ "domain": "a.example.com" }).to_string());
    assert_eq!(world.send(request, body).await.status, 503);
    app.reload().await.unwrap();
    assert!(app.directory.snapshot().sites.is_empty());
}
