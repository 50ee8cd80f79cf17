//! Installing, tokens and calls against a small authorization server and portal on loopback.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Form, Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use bitrix24::events::EventAuth;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;
use uuid::Uuid;

use super::*;
use crate::{
    identifiers::Chance,
    registry::{BitrixApp, Site},
    secret::Secret,
    time::Millis,
};

const CLIENT_ID: &str = "local.65e";
const SECRET: &str = "the-client-secret";
const START: Millis = Millis(1_773_000_000_000);

/// An authorization server and a portal in one, on one port.
#[derive(Default)]
struct World {
    base: Mutex<String>,
    /// Valid access tokens: client id, portal address, whether an administrator's.
    tokens: Mutex<HashMap<String, (String, String, bool)>>,
    refresh_token: Mutex<String>,
    member: Mutex<String>,
    refreshes: AtomicUsize,
    questions: AtomicUsize,
    portal_calls: AtomicUsize,
    /// Told when a request for a pair arrived; it is answered when nobody holds `hold`.
    entered: Notify,
    hold: tokio::sync::Mutex<()>,
    /// Answers of the authorization server to a refresh in place of a pair.
    refusal: Mutex<Option<(u16, &'static str)>>,
    /// Where the portal redirects to.
    moved_to: Mutex<Option<String>>,
}

impl World {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let world = Arc::new(Self::default());
        *world.base.lock().unwrap() = base.clone();
        *world.member.lock().unwrap() = "member".to_owned();
        *world.refresh_token.lock().unwrap() = "refresh-1".to_owned();
        world.allow("access-1", &base, true);
        let router = Router::new()
            .route("/rest/app.info", post(app_info))
            .route("/oauth/token/", post(token))
            .route("/portal/{method}", post(portal))
            .with_state(Arc::clone(&world));
        tokio::spawn(axum::serve(listener, router).into_future());
        world
    }

    fn base(&self) -> String {
        self.base.lock().unwrap().clone()
    }

    fn allow(&self, token: &str, portal: &str, admin: bool) {
        let entry = (CLIENT_ID.to_owned(), portal.to_owned(), admin);
        self.tokens.lock().unwrap().insert(token.to_owned(), entry);
    }

    /// The portal takes this token no more.
    fn expire(&self, token: &str) {
        self.tokens.lock().unwrap().remove(token);
    }

    fn refuse(&self, status: u16, code: &'static str) {
        *self.refusal.lock().unwrap() = Some((status, code));
    }

    fn event(&self, access: &str, refresh: &str, application_token: &str) -> EventAuth {
        let base = self.base();
        let body = bitrix24::form::encode(&json!({
            "event": "ONAPPINSTALL", "data": { "VERSION": "1" },
            "auth": {
                "access_token": access, "refresh_token": refresh, "expires_in": "3600", "member_id": "member",
                "application_token": application_token, "scope": "imconnector,imopenlines",
                "domain": base.trim_start_matches("http://"), "client_endpoint": format!("{base}/portal/"),
                "server_endpoint": "https://oauth.bitrix.info/rest/",
            },
        }));
        bitrix24::events::Event::parse(body.as_bytes())
            .unwrap()
            .auth
    }
}

fn refused(status: u16, code: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (
        status,
        Json(json!({ "error": code, "error_description": "no" })),
    )
        .into_response()
}

async fn app_info(State(world): State<Arc<World>>, Json(body): Json<Value>) -> Response {
    world.questions.fetch_add(1, Ordering::SeqCst);
    let token = body["auth"].as_str().unwrap_or_default();
    match world.tokens.lock().unwrap().get(token) {
        Some((client, portal, _)) => {
            Json(json!({ "result": { "client_id": client, "install": { "uri": portal } } }))
                .into_response()
        }
        None => refused(401, "NO_AUTH_FOUND"),
    }
}

async fn token(
    State(world): State<Arc<World>>,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let number = world.refreshes.fetch_add(1, Ordering::SeqCst) + 2;
    world.entered.notify_one();
    drop(world.hold.lock().await);
    if let Some((status, code)) = *world.refusal.lock().unwrap() {
        return refused(status, code);
    }
    if form.get("client_secret").map(String::as_str) != Some(SECRET) {
        return refused(401, "invalid_client");
    }
    let mut refresh = world.refresh_token.lock().unwrap();
    if form.get("refresh_token") != Some(&*refresh) {
        return refused(400, "invalid_grant");
    }
    *refresh = format!("refresh-{number}");
    world.allow(&format!("access-{number}"), &world.base(), true);
    Json(json!({
        "access_token": format!("access-{number}"), "refresh_token": &*refresh, "expires_in": 3600,
        "member_id": &*world.member.lock().unwrap(), "domain": "oauth.bitrix.info",
        "scope": "imconnector,imopenlines", "client_endpoint": format!("{}/portal/", world.base()),
    }))
    .into_response()
}

async fn portal(
    State(world): State<Arc<World>>,
    Path(method): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    world.portal_calls.fetch_add(1, Ordering::SeqCst);
    if let Some(target) = world.moved_to.lock().unwrap().clone() {
        return (
            StatusCode::FOUND,
            [(header::LOCATION, format!("{target}{method}"))],
        )
            .into_response();
    }
    let token = body["auth"].as_str().unwrap_or_default();
    match world.tokens.lock().unwrap().get(token) {
        Some((_, _, admin)) => {
            Json(json!({ "result": { "ID": "1", "ADMIN": admin } })).into_response()
        }
        None => refused(401, "expired_token"),
    }
}

/// What is needed of the program, with a database in a folder of its own.
struct Bench {
    store: Store,
    sealer: Sealer,
    directory: Directory,
    clock: Clock,
    ids: Ids,
    outgoing: Outgoing,
    server: Url,
    portals: Portals,
    folder: std::path::PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Parts for Bench {
    fn store(&self) -> &Store {
        &self.store
    }
    fn sealer(&self) -> &Sealer {
        &self.sealer
    }
    fn directory(&self) -> &Directory {
        &self.directory
    }
    fn clock(&self) -> &Clock {
        &self.clock
    }
    fn ids(&self) -> &Ids {
        &self.ids
    }
    fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }
    fn authorization_server(&self) -> Option<&Url> {
        Some(&self.server)
    }
    fn portals(&self) -> &Portals {
        &self.portals
    }
}

async fn bench(world: &World, secret: Option<&str>) -> Arc<Bench> {
    let folder = std::env::temp_dir().join(format!("separator-portal-{}", Chance::System.token()));
    std::fs::create_dir_all(&folder).unwrap();
    let bench = open(world, folder).await;
    let site = Site {
        id: bench.ids.next(),
        domain: "separator.example".to_owned(),
        owner: None,
        created_at: START,
    };
    store::accounts::insert_site(&bench.store, &site)
        .await
        .unwrap();
    let application = BitrixApp {
        id: bench.ids.next(),
        site_id: site.id,
        name: "Separator".to_owned(),
        client_id: Some(CLIENT_ID.to_owned()),
        client_secret: secret.map(Secret::from),
        created_at: START,
    };
    store::portals::insert_bitrix_app(&bench.store, &bench.sealer, &application)
        .await
        .unwrap();
    reload_all(&bench).await;
    bench
}

/// The program as after a start with this folder.
async fn open(world: &World, folder: std::path::PathBuf) -> Arc<Bench> {
    let store = Store::open_sqlite(&folder.join("separator.db"))
        .await
        .unwrap();
    let chance = Chance::System;
    let sealer = Sealer::from_keys(vec![[7; 32]], chance.clone()).unwrap();
    let clock = Clock::manual(START);
    Arc::new(Bench {
        directory: Directory::load(&store, &sealer).await.unwrap(),
        ids: Ids::new(clock.clone(), chance),
        outgoing: Outgoing::new(vec!["127.0.0.0/8".parse().unwrap()], &[]).unwrap(),
        server: world.base().parse().unwrap(),
        portals: Portals::new(),
        store,
        sealer,
        clock,
        folder,
    })
}

async fn installed(world: &World, secret: Option<&str>) -> (Arc<Bench>, Uuid) {
    let bench = bench(world, secret).await;
    let event = world.event("access-1", "refresh-1", "app-token");
    let id = install(&bench, &event, Some("ru"), Some(CLIENT_ID))
        .await
        .unwrap();
    (bench, id)
}

async fn stored(bench: &Bench, id: Uuid) -> (String, String) {
    let pair = instances::tokens(&bench.store, &bench.sealer, id)
        .await
        .unwrap()
        .unwrap();
    (
        pair.access_token.expose().to_owned(),
        pair.refresh_token.expose().to_owned(),
    )
}

async fn open_alarms(bench: &Bench) -> Vec<(String, String)> {
    let rows = bench
        .store
        .fetch(
            "SELECT kind, text FROM alarms WHERE cleared_at IS NULL ORDER BY id",
            &[],
        )
        .await
        .unwrap();
    rows.iter()
        .map(|row| (row.text("kind").unwrap(), row.text("text").unwrap()))
        .collect()
}

async fn reload_all(bench: &Bench) {
    bench
        .directory
        .reload(&bench.store, &bench.sealer)
        .await
        .unwrap();
}

fn instance(bench: &Bench, id: Uuid) -> Instance {
    Instance::clone(&bench.directory.snapshot().instances[&id])
}

#[tokio::test]
async fn an_installation_is_verified_and_kept() {
    let world = World::start().await;
    let (bench, id) = installed(&world, None).await;
    let found = instance(&bench, id);
    assert_eq!(found.domain, world.base().trim_start_matches("http://"));
    assert_eq!((found.state, found.problem), (InstanceState::Active, None));
    assert!(found.application_token.unwrap().matches("app-token"));
    assert_eq!(found.language, crate::translate::message::Language::Russian);
    assert_eq!(
        stored(&bench, id).await,
        ("access-1".to_owned(), "refresh-1".to_owned())
    );
    assert_eq!(
        world.portal_calls.load(Ordering::SeqCst),
        0,
        "a first installation calls no portal"
    );
    let again = open(&world, bench.folder.clone()).await;
    assert_eq!(access_token(&again, id).await.unwrap().expose(), "access-1");
}

#[tokio::test]
async fn what_is_not_proven_is_not_installed() {
    let world = World::start().await;
    let bench = bench(&world, None).await;
    let good = || world.event("access-1", "refresh-1", "app-token");
    let unknown = EventAuth {
        access_token: Some(bitrix24::AccessToken::new("forged")),
        ..good()
    };
    let domain = EventAuth {
        domain: Some("victim.example".to_owned()),
        ..good()
    };
    let endpoint = EventAuth {
        client_endpoint: Some("http://victim.example/rest/".parse().unwrap()),
        ..good()
    };
    let no_token = EventAuth {
        application_token: None,
        ..good()
    };
    let no_refresh = EventAuth {
        refresh_token: None,
        ..good()
    };
    for (event, hint) in [
        (unknown, None),
        (domain, None),
        (endpoint, None),
        (no_token, None),
        (no_refresh, None),
        (good(), Some("local.other")),
    ] {
        let error = install(&bench, &event, None, hint).await.unwrap_err();
        assert!(!error.is_temporary(), "{error}");
        assert!(
            !format!("{error} {error:?}").contains("access-1"),
            "{error:?}"
        );
    }
    world.tokens.lock().unwrap().insert(
        "foreign".to_owned(),
        ("local.foreign".to_owned(), world.base(), true),
    );
    let foreign = install(&bench, &world.event("foreign", "r", "t"), None, None)
        .await
        .unwrap_err();
    assert!(
        matches!(foreign, InstallError::ForeignApplication(_)),
        "{foreign}"
    );
    assert_eq!(world.portal_calls.load(Ordering::SeqCst), 0);
    assert!(bench.directory.snapshot().instances.is_empty());
    assert!(
        bench
            .store
            .fetch("SELECT id FROM instances", &[])
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn an_authorization_server_that_is_away_is_waited_for() {
    let world = World::start().await;
    let mut bench = Arc::into_inner(bench(&world, None).await).unwrap();
    // A port that was just free and that nobody listens on.
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    bench.server = format!("http://{free}").parse().unwrap();
    let error = install(
        &Arc::new(bench),
        &world.event("access-1", "r", "t"),
        None,
        None,
    )
    .await
    .unwrap_err();
    assert!(error.is_temporary(), "{error}");
}

#[tokio::test]
async fn installing_again_keeps_the_row() {
    let world = World::start().await;
    let (bench, id) = installed(&world, None).await;
    instances::set_state(
        &bench.store,
        id,
        InstanceState::NeedsAuthorization,
        Some("gone"),
    )
    .await
    .unwrap();
    reload_all(&bench).await;
    assert!(
        matches!(access_token(&bench, id).await, Err(TokenError::NeedsAuthorization(why)) if why == "gone")
    );

    world.allow("access-9", &world.base(), true);
    let event = world.event("access-9", "refresh-9", "another-app-token");
    assert_eq!(install(&bench, &event, None, None).await.unwrap(), id);
    assert_eq!(
        stored(&bench, id).await,
        ("access-9".to_owned(), "refresh-9".to_owned())
    );
    let found = instance(&bench, id);
    assert_eq!((found.state, found.problem), (InstanceState::Active, None));
    assert!(
        found
            .application_token
            .unwrap()
            .matches("another-app-token")
    );
    assert_eq!(
        found.language,
        crate::translate::message::Language::Russian,
        "kept where the event says none"
    );
    assert_eq!(
        access_token(&bench, id).await.unwrap().expose(),
        "access-9",
        "not the one in memory"
    );
}

#[tokio::test]
async fn an_employee_without_rights_cannot_take_an_installation_over() {
    let world = World::start().await;
    let (bench, id) = installed(&world, None).await;
    world.allow("employee", &world.base(), false);
    let error = install(
        &bench,
        &world.event("employee", "r", "app-token"),
        None,
        None,
    )
    .await
    .unwrap_err();
    assert!(matches!(error, InstallError::NotAdministrator), "{error}");
    assert_eq!(stored(&bench, id).await.0, "access-1");
}

#[tokio::test]
async fn another_portal_cannot_claim_the_member_id() {
    let world = World::start().await;
    let thief = World::start().await;
    let (bench, id) = installed(&world, Some(SECRET)).await;
    // Its own portal, its own good token, the victim's member id.
    world.allow("thief", &thief.base(), true);
    thief.allow("thief", &thief.base(), true);
    let event = EventAuth {
        member_id: "member".to_owned(),
        ..thief.event("thief", "refresh-1", "chosen")
    };
    *world.member.lock().unwrap() = "thiefs-own".to_owned();
    let error = install(&bench, &event, None, None).await.unwrap_err();
    assert!(matches!(error, InstallError::NotProven { .. }), "{error}");
    assert_eq!(stored(&bench, id).await.0, "access-1");
    assert_eq!(
        instance(&bench, id).domain,
        world.base().trim_start_matches("http://")
    );
}

#[tokio::test]
async fn a_portal_that_moved_proves_it_by_its_member_id() {
    let world = World::start().await;
    let moved = World::start().await;
    let (bench, id) = installed(&world, Some(SECRET)).await;
    world.allow("new", &moved.base(), true);
    moved.allow("new", &moved.base(), true);
    let event = moved.event("new", "refresh-1", "another-app-token");
    assert_eq!(install(&bench, &event, None, None).await.unwrap(), id);
    assert_eq!(
        instance(&bench, id).domain,
        moved.base().trim_start_matches("http://")
    );
    assert_eq!(
        stored(&bench, id).await,
        ("access-2".to_owned(), "refresh-2".to_owned()),
        "the pair of the proof"
    );
}

#[tokio::test]
async fn fifty_who_need_a_token_make_one_refresh() {
    let world = World::start().await;
    let (bench, id) = installed(&world, Some(SECRET)).await;
    let stale = access_token(&bench, id).await.unwrap();
    let all = (0..50).map(|_| {
        let (bench, stale) = (Arc::clone(&bench), stale.clone());
        tokio::spawn(async move { refresh(&bench, id, &stale).await.unwrap() })
    });
    for one in futures_util::future::join_all(all).await {
        assert_eq!(one.unwrap().expose(), "access-2");
    }
    assert_eq!(world.refreshes.load(Ordering::SeqCst), 1);
    assert_eq!(
        stored(&bench, id).await,
        ("access-2".to_owned(), "refresh-2".to_owned())
    );
}

#[tokio::test]
async fn a_newer_pair_in_the_store_needs_no_request() {
    let world = World::start().await;
    let (bench, id) = installed(&world, Some(SECRET)).await;
    let stale = bitrix24::AccessToken::new("from-before");
    assert_eq!(
        refresh(&bench, id, &stale).await.unwrap().expose(),
        "access-1"
    );
    assert_eq!(world.refreshes.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_refused_refresh_asks_for_authorization_once() {
    let world = World::start().await;
    let (bench, id) = installed(&world, Some(SECRET)).await;
    world.refuse(400, "invalid_grant");
    let stale = access_token(&bench, id).await.unwrap();
    for _ in 0..3 {
        assert!(matches!(
            refresh(&bench, id, &stale).await,
            Err(TokenError::NeedsAuthorization(_))
        ));
    }
    assert_eq!(
        world.refreshes.load(Ordering::SeqCst),
        1,
        "a portal that needs a person is left alone"
    );
    let found = instance(&bench, id);
    assert_eq!(found.state, InstanceState::NeedsAuthorization);
    assert!(
        found
            .problem
            .unwrap()
            .contains("authorize the application again")
    );
    let alarms = open_alarms(&bench).await;
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0].0, AUTHORIZATION_ALARM);

    world.allow("access-9", &world.base(), true);
    install(
        &bench,
        &world.event("access-9", "refresh-9", "app-token"),
        None,
        None,
    )
    .await
    .unwrap();
    assert!(open_alarms(&bench).await.is_empty());
}

#[tokio::test]
async fn a_server_out_of_order_is_not_asked_by_each_in_turn() {
    let world = World::start().await;
    let (bench, id) = installed(&world, Some(SECRET)).await;
    let stale = access_token(&bench, id).await.unwrap();
    world.refuse(500, "internal_server_error");
    for _ in 0..5 {
        assert!(matches!(
            refresh(&bench, id, &stale).await,
            Err(TokenError::Later(_))
        ));
    }
    assert_eq!(world.refreshes.load(Ordering::SeqCst), 1);
    assert_eq!(instance(&bench, id).state, InstanceState::Active);
    *world.refusal.lock().unwrap() = None;
    bench.clock.advance(Duration::from_secs(6));
    assert_eq!(
        refresh(&bench, id, &stale).await.unwrap().expose(),
        "access-3"
    );
}

#[tokio::test]
async fn an_answer_for_another_portal_is_not_stored() {
    let world = World::start().await;
    let (bench, id) = installed(&world, Some(SECRET)).await;
    *world.member.lock().unwrap() = "another".to_owned();
    let stale = access_token(&bench, id).await.unwrap();
    assert!(matches!(
        refresh(&bench, id, &stale).await,
        Err(TokenError::NeedsAuthorization(_))
    ));
    assert_eq!(stored(&bench, id).await.0, "access-1");
}

#[tokio::test]
async fn a_caller_that_gives_up_loses_no_pair() {
    let world = World::start().await;
    let (bench, id) = installed(&world, Some(SECRET)).await;
    let stale = access_token(&bench, id).await.unwrap();
    let held = world.hold.lock().await;
    tokio::select! {
        _ = refresh(&bench, id, &stale) => panic!("the answer is held back"),
        () = world.entered.notified() => {}
    }
    drop(held);
    assert_eq!(
        refresh(&bench, id, &stale).await.unwrap().expose(),
        "access-2"
    );
    assert_eq!(world.refreshes.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn killed_between_answer_and_disk_a_strict_server_asks_for_authorization() {
    let world = World::start().await;
    let (bench, id) = installed(&world, Some(SECRET)).await;
    // The server has issued a new pair that never reached the disk.
    *world.refresh_token.lock().unwrap() = "refresh-lost".to_owned();
    let restarted = open(&world, bench.folder.clone()).await;
    let stale = access_token(&restarted, id).await.unwrap();
    let error = refresh(&restarted, id, &stale).await.unwrap_err();
    assert!(
        matches!(&error, TokenError::NeedsAuthorization(why) if why.contains("authorize")),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_secret_is_asked_for_and_works_once_entered() {
    let world = World::start().await;
    let (bench, id) = installed(&world, None).await;
    let stale = access_token(&bench, id).await.unwrap();
    let error = refresh(&bench, id, &stale).await.unwrap_err();
    assert!(
        matches!(&error, TokenError::Later(why) if why.contains("client secret")),
        "{error}"
    );
    assert_eq!(instance(&bench, id).problem, Some(error.to_string()));
    assert_eq!(instance(&bench, id).state, InstanceState::Active);

    let application = instance(&bench, id).app_id;
    let enter = async |secret: &str| {
        let place = store::setup::place("bitrix_apps", "client_secret", application);
        let sealed = bench.sealer.seal(&place, secret);
        let sql = "UPDATE bitrix_apps SET client_secret = $1 WHERE id = $2";
        bench
            .store
            .execute(sql, &[sealed.into(), application.into()])
            .await
            .unwrap();
        reload_all(&bench).await;
        credentials_changed(&bench, application).await
    };
    let failed = enter("wrong").await;
    assert!(
        matches!(failed.as_slice(), [(failed, TokenError::NeedsAuthorization(_))] if *failed == id)
    );
    assert_eq!(
        instance(&bench, id).state,
        InstanceState::NeedsAuthorization
    );
    assert!(enter(SECRET).await.is_empty());
    let found = instance(&bench, id);
    assert_eq!((found.state, found.problem), (InstanceState::Active, None));
    assert!(open_alarms(&bench).await.is_empty());
}

#[tokio::test]
async fn a_refused_token_is_refreshed_and_the_call_repeated_once() {
    let world = World::start().await;
    let (bench, id) = installed(&world, Some(SECRET)).await;
    world.expire("access-1");
    let answer = call(&bench, &instance(&bench, id), "profile", &Value::Null)
        .await
        .unwrap();
    assert_eq!(answer.result["ADMIN"], true);
    assert_eq!(world.portal_calls.load(Ordering::SeqCst), 2);

    // A portal that refuses the new token too is not asked a third time.
    world.expire("access-2");
    world.refuse(500, "x");
    let error = call(&bench, &instance(&bench, id), "profile", &Value::Null)
        .await
        .unwrap_err();
    assert!(
        matches!(error, CallError::Token(TokenError::Later(_))),
        "{error}"
    );
    assert_eq!(world.portal_calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_renamed_portal_is_followed_when_its_new_host_is_confirmed() {
    let world = World::start().await;
    let renamed = World::start().await;
    let (bench, id) = installed(&world, Some(SECRET)).await;
    let old = instance(&bench, id);
    renamed.allow("access-1", &renamed.base(), true);
    *world.moved_to.lock().unwrap() = Some(format!("{}/portal/", renamed.base()));

    let error = call(&bench, &old, "profile", &Value::Null)
        .await
        .unwrap_err();
    assert_eq!(error.class(), bitrix24::Class::Retry, "{error}");
    assert_eq!(
        renamed.portal_calls.load(Ordering::SeqCst),
        0,
        "not called before it is confirmed"
    );

    world.allow("access-1", &renamed.base(), true);
    call(&bench, &old, "profile", &Value::Null).await.unwrap();
    assert_eq!(renamed.portal_calls.load(Ordering::SeqCst), 1);
    assert_eq!(
        instance(&bench, id).domain,
        renamed.base().trim_start_matches("http://")
    );
    call(&bench, &old, "profile", &Value::Null).await.unwrap();
    assert_eq!(
        world.portal_calls.load(Ordering::SeqCst),
        2,
        "an old snapshot leads to the new address"
    );
}

#[tokio::test]
async fn trouble_is_shown_and_alarmed_once_and_taken_back() {
    let world = World::start().await;
    let (bench, id) = installed(&world, None).await;
    for _ in 0..2 {
        trouble(&bench, id, "The plan has ended.").await;
    }
    assert_eq!(
        instance(&bench, id).problem.as_deref(),
        Some("The plan has ended.")
    );
    let alarms = open_alarms(&bench).await;
    assert_eq!(alarms.len(), 1);
    assert!(alarms[0].1.ends_with("The plan has ended."));
    works_again(&bench, id).await;
    assert_eq!(instance(&bench, id).problem, None);
    assert!(open_alarms(&bench).await.is_empty());
}

#[tokio::test]
async fn idle_portals_are_refreshed_after_a_day() {
    let world = World::start().await;
    let (bench, id) = installed(&world, Some(SECRET)).await;
    tokens::keep_alive(Arc::clone(&bench)).await;
    assert_eq!(world.refreshes.load(Ordering::SeqCst), 0);
    bench.clock.advance(Duration::from_hours(25));
    tokens::keep_alive(Arc::clone(&bench)).await;
    tokens::keep_alive(Arc::clone(&bench)).await;
    assert_eq!(world.refreshes.load(Ordering::SeqCst), 1);
    assert_eq!(stored(&bench, id).await.0, "access-2");
}
