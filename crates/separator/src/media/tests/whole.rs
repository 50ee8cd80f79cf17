//! From the row of a file to its bytes at the other end, with the whole program around it but no worker of its own.

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::get,
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    registry::{Account, Connection, WabaApp},
    secret::Secret,
    settings::{Settings, SettingsArguments},
    store::accounts,
};

/// Meta and a portal at one address.
async fn world() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let url = format!("{base}/photo");
    let router = Router::new()
        .route(
            "/v25.0/77",
            get(async move || Json(json!({"url": url, "mime_type": "image/jpeg"}))),
        )
        .route("/photo", get(async || "jpeg"))
        .route("/gone", get(async || StatusCode::NOT_FOUND));
    tokio::spawn(async move { axum::serve(listener, router).await });
    base
}

async fn program(data: &DataDir, world: &str) -> (Arc<App>, TaskTracker) {
    let environment = [
        ("SEPARATOR_DATA_DIR", data.path().to_str().unwrap()),
        ("SEPARATOR_GRAPH_URL", world),
        ("SEPARATOR_ALLOW_ADDRESSES", "127.0.0.0/8"),
    ];
    let environment = environment.map(|(name, value)| (name.into(), value.into()));
    let settings = Settings::load(&SettingsArguments::default(), environment, data.path()).unwrap();
    let tasks = TaskTracker::new();
    let app = Box::pin(crate::serve::build(settings, &tasks))
        .await
        .unwrap();
    (app, tasks)
}

/// Enters a site with everything down to a number.
async fn set_up(app: &App) -> Phone {
    let site = Site {
        id: id(1),
        domain: "chat.example:8443".into(),
        owner: None,
        created_at: NOW,
    };
    let waba_app = WabaApp {
        id: id(2),
        site_id: site.id,
        name: "app".into(),
        client_id: "5".into(),
        client_secret: Secret::new("secret"),
        access_token: Some(Secret::new("token")),
        config_id: None,
        events: false,
        verify_token: "verify".into(),
        created_at: NOW,
    };
    let account = Account {
        id: id(3),
        app_id: waba_app.id,
        waba_id: "6".into(),
        access_token: None,
        name: "account".into(),
        subscribed: true,
        created_at: NOW,
    };
    let phone = Phone {
        id: id(10),
        account_id: account.id,
        phone: "4915755501234".into(),
        phone_number_id: "1".into(),
        instance_id: None,
        sms_service: false,
        automatic_texts: true,
        calling: "disabled".into(),
        sip: "disabled".into(),
        sip_hostname: None,
        sip_port: 5061,
        connection: Connection::NotLinked,
        connector: None,
        line_id: None,
        line_name: None,
        chosen_line_id: None,
        offered_id: None,
        error: None,
        paused: None,
        created_at: NOW,
    };
    accounts::insert_site(&app.store, &site).await.unwrap();
    accounts::insert_waba_app(&app.store, &app.sealer, &waba_app)
        .await
        .unwrap();
    accounts::insert_account(&app.store, &app.sealer, &account)
        .await
        .unwrap();
    accounts::insert_phone(&app.store, &phone).await.unwrap();
    app.reload().await.unwrap();
    phone
}

/// Fetches all that is due.
async fn fetch_due(app: &Arc<App>) {
    let mut tasks = JoinSet::new();
    start_due(app, &mut tasks).await.unwrap();
    while let Some(end) = tasks.join_next().await {
        end.unwrap().unwrap();
    }
}

async fn ask(app: &Arc<App>, token: &str) -> (StatusCode, String) {
    let token = Path(token.to_owned());
    let response = super::super::serve(State(Arc::clone(app)), token, HeaderMap::new()).await;
    let status = response.status();
    let body = to_bytes(response.into_body(), 1000).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_file_is_fetched_and_handed_out_and_one_that_is_gone_is_given_up() {
    let data = DataDir::new();
    let world = world().await;
    let (app, _tasks) = program(&data, &world).await;
    let phone = set_up(&app).await;
    let photo = NewMedia {
        source: Source::Meta {
            media_id: "77".into(),
        },
        name: "photo".into(),
        ..file(0x77, 10)
    };
    let lost = NewMedia {
        source: Source::Portal {
            url: format!("{world}/gone"),
            declared_size: Some(5),
        },
        ..file(0x78, 10)
    };
    let mut tx = app.store.begin().await.unwrap();
    insert(&mut tx, &[photo.clone(), lost.clone()]);
    tx.commit().await.unwrap();

    let link = link(&app, &phone, photo.id, "photo.jpg");
    let token = link
        .strip_prefix("https://chat.example:8443/media/")
        .unwrap();
    let token = token.strip_suffix("?name=file.jpg").unwrap();
    assert_eq!(
        ask(&app, token).await.0,
        StatusCode::SERVICE_UNAVAILABLE,
        "not fetched yet"
    );

    fetch_due(&app).await;
    assert_eq!(ask(&app, token).await, (StatusCode::OK, "jpeg".to_owned()));
    let stored = get_media(&app, photo.id).await;
    assert_eq!(stored.name, "photo.jpg");
    assert_eq!(stored.mime_type.as_deref(), Some("image/jpeg"));
    let spoilt = token.replace(&token[..1], if token.starts_with('A') { "B" } else { "A" });
    assert_eq!(
        ask(&app, &spoilt).await,
        (StatusCode::NOT_FOUND, String::new())
    );

    // The clock is the system's, so the file is made due by hand.
    for state in [Progress::Pending, Progress::Failed] {
        let sql = "UPDATE media SET due_at = 0 WHERE id = $1";
        app.store.execute(sql, &[lost.id.into()]).await.unwrap();
        assert_eq!(get_media(&app, lost.id).await.state, Progress::Pending);
        fetch_due(&app).await;
        let tried = get_media(&app, lost.id).await.state;
        assert_eq!(tried, state);
    }
    let key = app.sealer.derive(ticket::PURPOSE);
    let lost = ticket::issue(&key, lost.id, app.clock.now() + LINK_LIFE);
    assert_eq!(ask(&app, &lost).await.0, StatusCode::NOT_FOUND);
    assert!(app.media.fetching.snapshot().is_empty());
}

async fn get_media(app: &App, id: Uuid) -> store::media::Stored {
    store::media::get(&app.store, id).await.unwrap().unwrap()
}
