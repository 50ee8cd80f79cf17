//! The other ways to an installation: announced before it was entered, authorized in the browser, and again.

use std::io::Write as _;

use sandbox::portal::{Fault, LocalApp, When};
use serde_json::{Value, json};

use crate::world::{CLIENT_ID, CLIENT_SECRET, Options, World, lena};

const PASSWORD: &str = "correct horse battery staple";

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

async fn without_portal() -> World {
    World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await
}

/// A browser in which somebody is signed in.
struct Browser {
    http: reqwest::Client,
    base: String,
    cookie: String,
}

impl Browser {
    /// Makes a user with this role and signs in.
    async fn of(world: &World, email: &str, role: &str) -> Self {
        let mut child = world
            .server
            .command(&[
                "user",
                "create",
                "--email",
                email,
                "--role",
                role,
                "--password-stdin",
            ])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(PASSWORD.as_bytes())
            .unwrap();
        assert!(child.wait().unwrap().success());
        Self::sign_in(world, email).await
    }

    async fn sign_in(world: &World, email: &str) -> Self {
        let answer = world
            .api
            .http
            .post(format!("{}/api/v1/session", world.server.url()))
            .header("origin", world.server.url())
            .json(&json!({ "email": email, "password": PASSWORD }))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        Self {
            http: world.api.http.clone(),
            base: world.server.url(),
            cookie: cookie.split(';').next().unwrap().to_owned(),
        }
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let answer = self
            .http
            .post(format!("{}/api/v1/{path}", self.base))
            .header("cookie", &self.cookie)
            .header("origin", &self.base)
            .json(&body)
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Goes where a link leads until the end of the redirects within Separator; gives the last address.
    async fn follow(&self, address: &str) -> String {
        let mut address = address.to_owned();
        for _ in 0..4 {
            let answer = self
                .http
                .get(&address)
                .header("cookie", &self.cookie)
                .send()
                .await
                .unwrap();
            let Some(location) = answer.headers().get("location") else {
                break;
            };
            let location = location.to_str().unwrap();
            address = if location.starts_with('/') {
                format!("{}{location}", self.base)
            } else {
                location.to_owned()
            };
        }
        address.trim_start_matches(&self.base).to_owned()
    }
}

/// Answers the portal's question; gives where it sends the browser.
async fn decides(world: &World, address: &str, decision: &str) -> String {
    let form = "application/x-www-form-urlencoded";
    let answer = world
        .api
        .http
        .post(address)
        .header("content-type", form)
        .body(decision.to_owned())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 302);
    answer.headers()["location"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_announced_before_its_client_id_is_known_is_completed_when_it_is_entered() {
    let mut world = without_portal().await;
    // What a person does: enters a name, copies the addresses to the portal, saves there, and sees the id.
    let app = world
        .api
        .create(
            "bitrix/apps",
            json!({ "site": world.site["id"], "name": "Acme" }),
        )
        .await;
    assert_eq!(app["client_id"], Value::Null);
    let local = LocalApp::api_only(CLIENT_ID, CLIENT_SECRET, text(&app, "install_url"));
    let announced = world.portal.save_local_app(local).await;
    assert_eq!(announced.status, Some(401), "not installed yet");
    assert_eq!(world.api.get("bitrix/instances").await["items"], json!([]));
    let kept = world.api.get("bitrix/announcements").await;
    assert_eq!(kept["items"][0]["client_id"], CLIENT_ID);
    assert_eq!(text(&kept["items"][0], "domain"), world.portal.domain());
    assert!(!kept.to_string().contains("token"), "{kept:#}");

    // Somebody else's application cannot take it, whatever is entered.
    let user = [
        "user",
        "create",
        "--email",
        "other@example.com",
        "--role",
        "integrator",
    ];
    assert!(
        world
            .server
            .command(&user)
            .output()
            .unwrap()
            .status
            .success()
    );
    let key = [
        "key",
        "create",
        "--user",
        "other@example.com",
        "--scope",
        "manage",
    ];
    let key = world.server.command(&key).output().unwrap();
    let mut other = world.api.clone();
    other.key = String::from_utf8(key.stdout).unwrap().trim().to_owned();
    assert_eq!(other.get("bitrix/announcements").await["items"], json!([]));
    let site = other
        .create("sites", json!({ "domain": "other.example.com" }))
        .await;
    let body =
        json!({ "site": site["id"], "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET });
    let thief = other.create("bitrix/apps", body).await;
    assert_eq!(thief["tried"], json!([]));
    let path = format!("bitrix/apps/{}", text(&thief, "id"));
    assert_eq!(other.call("DELETE", &path, None).await.0, 204);

    // Two hours later: the announced token has ended, the secret buys a new one.
    world.portals.advance(std::time::Duration::from_hours(2));
    let path = format!("bitrix/apps/{}", text(&app, "id"));
    let wrong = json!({ "client_id": CLIENT_ID, "client_secret": "wrong" });
    let tried = world.api.patch(&path, wrong).await;
    assert!(
        text(&tried["tried"][0], "problem").contains("client secret"),
        "{tried:#}"
    );
    assert_eq!(world.api.get("bitrix/instances").await["items"], json!([]));
    let tried = world
        .api
        .patch(&path, json!({ "client_secret": CLIENT_SECRET }))
        .await;
    assert_eq!(tried["tried"][0]["problem"], Value::Null, "{tried:#}");
    text(&tried["tried"][0], "instance").clone_into(&mut world.instance);
    assert_eq!(
        world.api.get("bitrix/announcements").await["items"],
        json!([])
    );
    world.link().await;
    world.customer_says(&lena(), "in the end");
    let chat = world.operator_sees_text("in the end").await;
    world.operator_says(&chat, "it works");
    world.customer_receives(&lena(), 1).await;

    // A wrong secret shows at once, and a right one mends it.
    let tried = world
        .api
        .patch(&path, json!({ "client_secret": "wrong" }))
        .await;
    assert!(!text(&tried["tried"][0], "problem").is_empty());
    world.expect_errors("a portal needs attention");
    let tried = world
        .api
        .patch(&path, json!({ "client_secret": CLIENT_SECRET }))
        .await;
    assert_eq!(tried["tried"][0]["problem"], Value::Null, "{tried:#}");
    let (status, problem) = world
        .api
        .call("PATCH", &path, Some(json!({ "client_id": null })))
        .await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("client_id"))
    );
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_authorized_in_the_browser_and_again_when_its_token_died() {
    let mut world = without_portal().await;
    world.expect_errors("a portal needs attention");
    let local = world.enter_bitrix_app().await;
    // The portal has the application, and its announcement never arrived.
    world.portal.enter_local_app(local);
    let app = world.api.get("bitrix/apps").await["items"][0].clone();
    let authorize = format!("bitrix/apps/{}/authorize", text(&app, "id"));
    let browser = Browser::of(&world, "anna@example.com", "admin").await;
    let domain = json!({ "domain": format!("http://{}/", world.portal.domain()) });
    let begin = async |body: &Value| {
        let (status, answer) = browser.post(&authorize, body.clone()).await;
        assert_eq!(status, 200, "{answer:#}");
        text(&answer, "url").to_owned()
    };

    // A key is no browser; a wrong address is told at its field.
    assert_eq!(
        world
            .api
            .call("POST", &authorize, Some(domain.clone()))
            .await
            .0,
        403
    );
    let (status, problem) = browser.post(&authorize, json!({ "domain": "a b" })).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("domain"))
    );
    assert_eq!(browser.post(&authorize, json!({})).await.0, 422);

    // Every refusal ends on a page that says which one it is, and nothing is made.
    let allow = "decision=allow&user=1";
    let back = decides(&world, &begin(&domain).await, "decision=deny").await;
    assert_eq!(browser.follow(&back).await, "/bitrix/refused/denied");
    assert_eq!(
        browser.follow(&back).await,
        "/bitrix/refused/state",
        "a state holds once"
    );
    let back = decides(&world, &begin(&domain).await, "decision=allow&user=27").await;
    assert_eq!(
        browser.follow(&back).await,
        "/bitrix/refused/not_administrator"
    );
    let back = decides(&world, &begin(&domain).await, allow).await;
    world.portals.advance(std::time::Duration::from_secs(31));
    assert_eq!(browser.follow(&back).await, "/bitrix/refused/code");
    let back = decides(&world, &begin(&domain).await, allow).await;
    let stranger = Browser::sign_in(&world, "anna@example.com").await;
    assert_eq!(
        stranger.follow(&back).await,
        "/bitrix/refused/state",
        "another browser"
    );
    let nobody = Browser {
        cookie: String::new(),
        ..stranger
    };
    let back = decides(&world, &begin(&domain).await, allow).await;
    assert_eq!(nobody.follow(&back).await, "/bitrix/refused/signed_out");
    let forged = format!("{}/bitrix/callback/?state=x&code=y", world.server.url());
    assert_eq!(browser.follow(&forged).await, "/bitrix/refused/state");
    assert_eq!(world.api.get("bitrix/instances").await["items"], json!([]));

    // Allowed: installed, and the application token is learnt from an event that is asked for.
    let back = decides(&world, &begin(&domain).await, allow).await;
    let end = browser.follow(&back).await;
    let id = end
        .strip_prefix("/bitrix/authorized/")
        .unwrap_or_else(|| panic!("{end}"))
        .to_owned();
    id.clone_into(&mut world.instance);
    let instance = format!("bitrix/instances/{id}");
    world
        .api
        .until(&instance, |shown| shown["has_application_token"] == true)
        .await;
    world.link().await;
    world.customer_says(&lena(), "by code");
    let chat = world.operator_sees_text("by code").await;
    world.operator_says(&chat, "heard");
    world.customer_receives(&lena(), 1).await;

    // The token dies; messages wait; the same way brings them through.
    world
        .portal
        .faults()
        .set(Fault::RefreshRefused, When::Always);
    world.portal.expire_tokens();
    world.customer_says(&lena(), "waiting");
    world
        .api
        .until(&instance, |shown| shown["status"] == "needs_authorization")
        .await;
    world.portal.faults().clear();
    let again = json!({ "instance": id });
    let globex = world.portals.add("globex");
    let other = json!({ "instance": world.phone });
    assert_eq!(browser.post(&authorize, other).await.0, 422);
    let back = decides(&world, &begin(&again).await, allow).await;
    assert_eq!(
        browser.follow(&back).await,
        format!("/bitrix/authorized/{id}")
    );
    world
        .api
        .until(&instance, |shown| shown["status"] == "active")
        .await;
    world.operator_sees_text("waiting").await;
    drop(globex);
    world.ends_clean().await;
}
