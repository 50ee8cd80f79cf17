//! Every route with every sort of caller, and with what belongs to another owner.

#![expect(clippy::unwrap_used, reason = "tests")]

use axum::http::Method;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    tests::{Reply, World},
    *,
};
use crate::{
    identifiers::Chance,
    secret::Secret,
    store::{Cell, instances, setup::place},
    users::{
        self, Role, Scope,
        frame::{self, Person},
        session,
    },
};

/// Somebody who owns one thing of each sort.
struct Owner {
    user: Uuid,
    key: String,
    /// Where paths begin, and the id of the thing there.
    things: Vec<(&'static str, Uuid)>,
}

impl Owner {
    fn thing(&self, path: &str) -> Option<Uuid> {
        self.things
            .iter()
            .find(|(base, _)| path.starts_with(base))
            .map(|(_, id)| *id)
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Nobody,
    WrongKey,
    CallbackKey,
    PortalUser,
    PortalAdministrator,
    Integrator,
    IntegratorInBrowser,
    Administrator,
}

impl Asker {
    const ALL: [Self; 8] = [
        Self::Nobody,
        Self::WrongKey,
        Self::CallbackKey,
        Self::PortalUser,
        Self::PortalAdministrator,
        Self::Integrator,
        Self::IntegratorInBrowser,
        Self::Administrator,
    ];

    /// With what an operation of this rule refuses the asker; nothing where it does not.
    fn refused_with(self, rule: Rule) -> Option<u16> {
        let known: &[Self] = match rule {
            Rule::Anybody => return None,
            Rule::Known => &[
                Self::PortalUser,
                Self::PortalAdministrator,
                Self::Integrator,
                Self::IntegratorInBrowser,
                Self::Administrator,
            ],
            Rule::PortalAdministrators(_) => &[
                Self::PortalAdministrator,
                Self::Integrator,
                Self::IntegratorInBrowser,
                Self::Administrator,
            ],
            Rule::PortalPeople => &[Self::PortalUser, Self::PortalAdministrator],
            Rule::Users => &[
                Self::Integrator,
                Self::IntegratorInBrowser,
                Self::Administrator,
            ],
            Rule::Browsers => &[Self::IntegratorInBrowser],
            Rule::Administrators => &[Self::Administrator],
        };
        match self {
            Self::Nobody | Self::WrongKey => Some(401),
            _ if known.contains(&self) => None,
            _ => Some(403),
        }
    }
}

struct Stage {
    world: World,
    own: Owner,
    foreign: Owner,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let own = owner(&world, "own", 1).await;
        let foreign = owner(&world, "foreign", 2).await;
        // What waits for a first try is answered by it.
        tokio::spawn(crate::calling::worker::run(
            Arc::clone(&world.app),
            CancellationToken::new(),
        ));
        Self {
            world,
            own,
            foreign,
        }
    }

    fn person(&self, administrator: bool) -> Person {
        Person {
            instance: self.own.thing("/api/v1/bitrix/instances").unwrap(),
            user_id: 7,
            name: "Olga".to_owned(),
            administrator,
            language: "ru".to_owned(),
            access: frame::Access::default(),
        }
    }

    /// What the asker proves to be the one with: a header and its value.
    async fn proof(&self, asker: Asker) -> Option<(&'static str, String)> {
        let app = &self.world.app;
        let bearer = |token: &str| Some(("authorization", format!("Bearer {token}")));
        let frame = |administrator| {
            let token = frame::issue(&app.sealer, self.person(administrator), app.clock.now());
            bearer(token.expose())
        };
        match asker {
            Asker::Nobody => None,
            Asker::WrongKey => bearer("sep_wrong"),
            Asker::CallbackKey => {
                let (_, key) = self.make_key(self.own.user, Scope::Callback).await;
                bearer(key.expose())
            }
            Asker::PortalUser => frame(false),
            Asker::PortalAdministrator => frame(true),
            Asker::Integrator => bearer(&self.own.key),
            // A session of its own for each request: some end it.
            Asker::IntegratorInBrowser => {
                let (_, token) = self.begin_session(self.own.user).await;
                Some(("cookie", format!("{}={}", session::COOKIE, token.expose())))
            }
            Asker::Administrator => bearer(&self.world.key),
        }
    }

    async fn make_key(&self, user: Uuid, scope: Scope) -> (Uuid, Secret) {
        let app = &self.world.app;
        users::make_key(
            &app.store,
            (&app.ids, &Chance::System),
            app.clock.now(),
            user,
            scope,
            "test",
        )
        .await
        .unwrap()
    }

    async fn begin_session(&self, user: Uuid) -> (Uuid, Secret) {
        let app = &self.world.app;
        session::begin(
            &app.store,
            (&app.ids, &Chance::System),
            app.clock.now(),
            user,
            "192.0.2.1".to_owned(),
            "Test".to_owned(),
        )
        .await
        .unwrap()
    }

    async fn ask(&self, asker: Asker, verb: Verb, path: &str, body: &Value) -> Reply {
        let method = Method::from_bytes(format!("{verb:?}").to_uppercase().as_bytes()).unwrap();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/json");
        if let Some((name, value)) = self.proof(asker).await {
            request = request.header(name, value);
        }
        let body = if verb == Verb::Get {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        self.world.send(request, body).await
    }

    /// The id of something that the asker may reach through this path.
    async fn reachable(&self, asker: Asker, path: &str) -> Option<Uuid> {
        let user = match asker {
            Asker::Administrator => self.administrator().await,
            _ => self.own.user,
        };
        // Made anew, because asking may remove it.
        if path.starts_with("/api/v1/sessions/") {
            return Some(self.begin_session(user).await.0);
        }
        if path.starts_with("/api/v1/keys/") {
            return Some(self.make_key(self.own.user, Scope::Manage).await.0);
        }
        if path.starts_with("/api/v1/queue/dead_letters/") {
            let phone = self.own.thing("/api/v1/waba/phones").unwrap();
            return Some(dead_letter(&self.world, phone).await);
        }
        if path.starts_with("/api/v1/users/") {
            return Some(self.own.user);
        }
        self.own.thing(path)
    }

    async fn administrator(&self) -> Uuid {
        let email = "administrator@example.com";
        crate::store::users::user_by_email(&self.world.app.store, email)
            .await
            .unwrap()
            .unwrap()
    }
}

/// Somebody with a site, an application, an account, a number, a portal to which it is linked, a message, a kept
/// callback and a dead letter.
async fn owner(world: &World, name: &str, number: u32) -> Owner {
    let app = &world.app;
    let created = users::create_user(
        &app.store,
        &app.clock,
        &app.ids,
        &Chance::System,
        &format!("{name}@example.com"),
        None,
        Role::Integrator,
    )
    .await
    .unwrap();
    let (_, key) = users::make_key(
        &app.store,
        (&app.ids, &Chance::System),
        app.clock.now(),
        created.id,
        Scope::Manage,
        "test",
    )
    .await
    .unwrap();
    let make = async |path: &str, body: Value| -> Uuid {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/api/v1/{path}"))
            .header("authorization", format!("Bearer {}", key.expose()));
        let made = world.send(request, Body::from(body.to_string())).await;
        made.id().parse().unwrap()
    };
    let site = make("sites", json!({ "domain": format!("{name}.example.com") })).await;
    let waba = make(
        "waba/apps",
        json!({ "site": site, "client_id": format!("10{number}"), "client_secret": "s3cret", "access_token": "t0ken" }),
    )
    .await;
    let account = make(
        "waba/accounts",
        json!({ "app": waba, "waba_id": format!("20{number}") }),
    )
    .await;
    let phone = make(
        "waba/phones",
        json!({ "account": account, "phone": format!("491575550000{number}"), "phone_id": format!("30{number}") }),
    )
    .await;
    let bitrix = make(
        "bitrix/apps",
        json!({ "site": site, "client_id": format!("local.{number}.1"), "client_secret": "s3cret" }),
    )
    .await;
    let execute = async |sql: &str, cells: &[Cell]| {
        app.store.execute(sql, cells).await.unwrap();
    };
    let next = || app.ids.next();
    let instance = next();
    let sealed = (app.sealer).seal(&place("instances", "application_token", instance), "t");
    execute(
        "INSERT INTO instances (id, app_id, member_id, domain, client_endpoint, server_endpoint, application_token, \
         access_token, refresh_token, expires_at, refreshed_at, scope, language, state, calls_per_second, burst, \
         created_at) VALUES ($1, $2, $3, $4, '', '', $5, $5, $5, 0, 0, 'im', 'en', 'active', 2.0, 50, 0)",
        &[
            instance.into(),
            bitrix.into(),
            format!("member{number}").into(),
            format!("{name}.bitrix24.com").into(),
            Cell::Bytes(sealed),
        ],
    )
    .await;
    let link = instances::Link {
        instance: Some(instance),
        ..instances::Link::default()
    };
    instances::link(&app.store, phone, link).await.unwrap();
    let (message, event) = (next(), next());
    execute(
        "INSERT INTO messages (id, phone_id, conversation_id, direction, origin, peer, kind, text, state, created_at, \
         updated_at, journey) VALUES ($1, $2, $1, 'outbound', 'api', $3, 'text', 'hello', 'failed', 0, 0, '')",
        &[message.into(), phone.into(), format!("4915755599{number}").into()],
    )
    .await;
    execute(
        "INSERT INTO events (id, source, owner_id, received_at, state, body) VALUES ($1, 'meta', $2, 0, 'recorded', $3)",
        &[event.into(), waba.into(), Cell::Bytes(b"{}".to_vec())],
    )
    .await;
    let spoken = next();
    execute(
        "INSERT INTO calls (id, phone_id, conversation_id, wacid, direction, began_at, duration, outcome, declined, told, \
         shown, journey, created_at) VALUES ($1, $2, $1, 'wacid.1', 'inbound', 0, 0, 'missed', $3, 'waits', $3, '', 0)",
        &[spoken.into(), phone.into(), false.into()],
    )
    .await;
    let letter = dead_letter(world, phone).await;
    execute(
        "INSERT INTO alarms (id, kind, subject, text, raised_at) VALUES ($1, 'k', $2, 't', 0)",
        &[next().into(), phone.to_string().into()],
    )
    .await;
    app.reload().await.unwrap();
    Owner {
        user: created.id,
        key: key.expose().to_owned(),
        things: vec![
            ("/api/v1/sites", site),
            ("/api/v1/waba/apps", waba),
            ("/api/v1/waba/accounts", account),
            ("/api/v1/waba/phones", phone),
            ("/api/v1/bitrix/apps", bitrix),
            ("/api/v1/bitrix/instances", instance),
            ("/api/v1/messages", message),
            ("/api/v1/calls", spoken),
            ("/api/v1/events", event),
            ("/api/v1/queue/dead_letters", letter),
        ],
    }
}

/// A delivery that was given up.
async fn dead_letter(world: &World, phone: Uuid) -> Uuid {
    let id = world.app.ids.next();
    world
        .app
        .store
        .execute(
            "INSERT INTO dead_letters (id, lane, side, phone_id, created_at, attempts, died_at, reason, payload) \
             VALUES ($1, $1, 'portal', $2, 0, 3, 5, 'r', $3)",
            &[
                id.into(),
                phone.into(),
                json!({ "task": "post", "external_id": "e", "text": "t", "note": false })
                    .to_string()
                    .into(),
            ],
        )
        .await
        .unwrap();
    id
}

#[tokio::test]
async fn every_route_lets_in_whom_its_rule_names_and_nobody_else() {
    let stage = Stage::new().await;
    for operation in operations() {
        for asker in Asker::ALL {
            let id = stage.reachable(asker, operation.path).await;
            let path = operation
                .path
                .replace("{id}", &id.unwrap_or(Uuid::nil()).to_string());
            let what = format!("{asker:?} {:?} {}", operation.verb, operation.path);
            let reply = stage.ask(asker, operation.verb, &path, &json!({})).await;
            if let Some(status) = asker.refused_with(operation.rule) {
                assert_eq!(reply.status, status, "{what}: {}", reply.text);
                continue;
            }
            // Let in: answered, or refused for what is in the request, not for who asks.
            assert!(
                !matches!(reply.status, 401 | 403 | 405 | 500),
                "{what}: {} {}",
                reply.status,
                reply.text
            );
            let exists = id.is_some() || !operation.path.contains("{id}");
            assert_eq!(reply.status != 404, exists, "{what}: {}", reply.text);
        }
    }
}

#[tokio::test]
async fn what_belongs_to_another_owner_does_not_exist() {
    let stage = Stage::new().await;
    let foreign_user_things = [
        (
            "/api/v1/sessions/",
            stage.begin_session(stage.foreign.user).await.0,
        ),
        (
            "/api/v1/keys/",
            stage.make_key(stage.foreign.user, Scope::Manage).await.0,
        ),
    ];
    let askers = [
        Asker::Integrator,
        Asker::IntegratorInBrowser,
        Asker::PortalUser,
        Asker::PortalAdministrator,
    ];
    let mut asked = 0;
    for operation in operations() {
        let thing = stage.foreign.thing(operation.path).or_else(|| {
            foreign_user_things
                .iter()
                .find(|(base, _)| operation.path.starts_with(base))
                .map(|(_, id)| *id)
        });
        let Some(id) = thing.filter(|_| operation.path.contains("{id}")) else {
            continue;
        };
        for asker in askers {
            if asker.refused_with(operation.rule).is_some() {
                continue;
            }
            let path = operation.path.replace("{id}", &id.to_string());
            let reply = stage.ask(asker, operation.verb, &path, &json!({})).await;
            assert_eq!(
                reply.status, 404,
                "{asker:?} {:?} {}: {}",
                operation.verb, operation.path, reply.text
            );
            asked += 1;
        }
    }
    assert!(asked > 50, "{asked}");
}

#[tokio::test]
async fn lists_show_what_is_theirs_and_nothing_of_others() {
    let stage = Stage::new().await;
    let hidden: Vec<String> = (stage.foreign.things.iter().map(|(_, id)| id.to_string()))
        .chain(["foreign".to_owned(), "4915755599".to_owned() + "2"])
        .collect();
    let lists = operations()
        .filter(|operation| operation.verb == Verb::Get && !operation.path.contains("{id}"));
    for operation in lists {
        for asker in [
            Asker::Integrator,
            Asker::PortalUser,
            Asker::PortalAdministrator,
        ] {
            if asker.refused_with(operation.rule).is_some() {
                continue;
            }
            let reply = stage
                .ask(asker, Verb::Get, operation.path, &Value::Null)
                .await;
            for secret in &hidden {
                assert!(
                    !reply.text.contains(secret),
                    "{asker:?} {} shows {secret}: {}",
                    operation.path,
                    reply.text
                );
            }
        }
    }
    // The lists are not empty for want of anything to show.
    for (path, id) in &stage.own.things {
        let reply = stage
            .ask(Asker::Integrator, Verb::Get, path, &Value::Null)
            .await;
        assert!(
            reply.text.contains(&id.to_string()),
            "{path}: {}",
            reply.text
        );
        let reply = stage
            .ask(Asker::Administrator, Verb::Get, path, &Value::Null)
            .await;
        let foreign = stage.foreign.thing(path).unwrap().to_string();
        assert!(reply.text.contains(&foreign), "{path}: {}", reply.text);
    }
    let queue = stage
        .ask(Asker::Integrator, Verb::Get, "/api/v1/queue", &Value::Null)
        .await;
    assert_eq!(queue.body["dead_letter_count"], 1, "{}", queue.text);
    let alarms = stage
        .ask(Asker::Integrator, Verb::Get, "/api/v1/alarms", &Value::Null)
        .await;
    assert_eq!(alarms.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_taken_by_another_owner_is_said_without_naming_it() {
    let stage = Stage::new().await;
    let own = |base: &str| stage.own.thing(base).unwrap();
    let foreign = |base: &str| stage.foreign.thing(base).unwrap();
    let post =
        async |asker, path: &str, body: Value| stage.ask(asker, Verb::Post, path, &body).await;
    let cases = [
        (
            "/api/v1/sites",
            json!({ "domain": "foreign.example.com" }),
            "domain",
        ),
        (
            "/api/v1/waba/accounts",
            json!({ "app": own("/api/v1/waba/apps"), "waba_id": "202" }),
            "waba_id",
        ),
        (
            "/api/v1/waba/phones",
            json!({ "account": own("/api/v1/waba/accounts"), "phone": "4915755500002", "phone_id": "999" }),
            "phone",
        ),
        (
            "/api/v1/bitrix/apps",
            json!({ "site": own("/api/v1/sites"), "client_id": "local.2.1", "client_secret": "x" }),
            "client_id",
        ),
    ];
    for (path, body, field) in cases {
        let reply = post(Asker::Integrator, path, body.clone()).await;
        assert_eq!(
            reply.errors(),
            [(field, "is already entered by another user")]
        );
        // An administrator is told which one it is.
        let reply = post(Asker::Administrator, path, body).await;
        let errors = reply.errors();
        assert!(!errors[0].1.contains("another user"), "{errors:?}");
    }
    // Nor can something of one's own be hung on what is somebody else's.
    for (path, body, field) in [
        (
            "/api/v1/waba/accounts",
            json!({ "app": foreign("/api/v1/waba/apps"), "waba_id": "777" }),
            "app",
        ),
        (
            "/api/v1/bitrix/apps",
            json!({ "site": foreign("/api/v1/sites"), "client_id": "local.7.1", "client_secret": "x" }),
            "site",
        ),
    ] {
        let reply = post(Asker::Integrator, path, body).await;
        assert_eq!(reply.errors(), [(field, "does not exist")]);
    }
    let phone = format!("/api/v1/waba/phones/{}", own("/api/v1/waba/phones"));
    let body = json!({ "instance": foreign("/api/v1/bitrix/instances") });
    for asker in [Asker::Integrator, Asker::PortalAdministrator] {
        let reply = stage.ask(asker, Verb::Patch, &phone, &body).await;
        assert_eq!(
            reply.errors(),
            [("instance", "does not exist")],
            "{asker:?}"
        );
    }
}

#[tokio::test]
async fn people_of_a_portal_see_its_numbers_and_change_only_how_they_are_linked() {
    let stage = Stage::new().await;
    let phone = stage.own.thing("/api/v1/waba/phones").unwrap();
    let path = format!("/api/v1/waba/phones/{phone}");
    let numbers = async |asker| {
        let list = stage
            .ask(asker, Verb::Get, "/api/v1/waba/phones", &Value::Null)
            .await;
        list.body["items"].as_array().unwrap().len()
    };
    let refused = stage
        .ask(
            Asker::PortalAdministrator,
            Verb::Patch,
            &path,
            &json!({ "phone": "4915755511111", "sms_service": true }),
        )
        .await;
    assert_eq!(
        refused.errors(),
        [("phone", "can only be changed by a user of Separator")]
    );
    let taken = stage
        .ask(
            Asker::PortalAdministrator,
            Verb::Patch,
            &path,
            &json!({ "automatic_texts": false }),
        )
        .await;
    assert_eq!(taken.body["automatic_texts"], false, "{}", taken.text);
    assert_eq!(numbers(Asker::PortalUser).await, 1);
    // A number that is linked to none is offered to administrators of the owner's portals, and not shown to others.
    let unlinked = instances::Link::default();
    instances::link(&stage.world.app.store, phone, unlinked)
        .await
        .unwrap();
    stage.world.app.reload().await.unwrap();
    assert_eq!(numbers(Asker::PortalUser).await, 0);
    assert_eq!(numbers(Asker::PortalAdministrator).await, 1);
    // Once the application is removed from the portal, its people are nobody.
    let instance = stage.own.thing("/api/v1/bitrix/instances").unwrap();
    stage
        .world
        .app
        .store
        .execute(
            "UPDATE instances SET state = 'uninstalled' WHERE id = $1",
            &[instance.into()],
        )
        .await
        .unwrap();
    stage.world.app.reload().await.unwrap();
    let reply = stage
        .ask(
            Asker::PortalUser,
            Verb::Get,
            "/api/v1/session",
            &Value::Null,
        )
        .await;
    assert_eq!(reply.status, 401);
}
