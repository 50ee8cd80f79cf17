//! The stand-in as its users meet it: over HTTP on one side, as people on the other.

#![expect(clippy::unwrap_used, reason = "tests")]

mod frames;
mod installation;
mod messages;
mod rest;
mod telephony;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State as Extract},
    http::StatusCode,
    routing::any,
};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use url::Url;

use super::{
    caller::{Caller, EVENT_AGENT, Outgoing},
    php::Value,
    *,
};

const WAIT: Duration = Duration::from_secs(20);
const CLIENT: &str = "local.65e0c0ffee";
const SECRET: &str = "a-client-secret";

/// What the application's handler was sent: path, content type, body.
type Seen = Arc<Mutex<Vec<(String, String, String)>>>;

/// An application: a handler that writes down what it gets, and a client.
struct Application {
    url: String,
    seen: Seen,
    caller: Caller,
}

impl Application {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Seen::default();
        let router = Router::new()
            .fallback(any(Self::take))
            .with_state(seen.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            url,
            seen,
            caller: Caller::default(),
        }
    }

    async fn take(Extract(seen): Extract<Seen>, request: Request) -> (StatusCode, &'static str) {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        if path == "/files/gone" {
            return (StatusCode::NOT_FOUND, "");
        }
        if path.starts_with("/files/") {
            return (StatusCode::OK, "the bytes");
        }
        let content_type = parts.headers.get("content-type");
        let content_type = content_type.map(|value| value.to_str().unwrap().to_owned());
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        seen.lock()
            .unwrap()
            .push((path.to_owned(), content_type.unwrap_or_default(), body));
        (StatusCode::OK, "ok")
    }

    fn bodies(&self) -> Vec<Value> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .map(|(_, _, body)| Value::from_form(body.as_bytes()))
            .collect()
    }

    /// The events of one name, oldest first.
    fn events(&self, name: &str) -> Vec<Value> {
        self.bodies()
            .into_iter()
            .filter(|body| body.text_of("event") == name)
            .collect()
    }

    async fn request(
        &self,
        method: &'static str,
        url: &str,
        content_type: Option<&'static str>,
        body: &str,
    ) -> Result<(u16, String), std::io::Error> {
        let url = Url::parse(url).unwrap();
        let mut answer = Vec::new();
        let request = Outgoing {
            method,
            url: &url,
            agent: EVENT_AGENT,
            content_type,
            body: body.as_bytes(),
            timeout: WAIT,
        };
        let head = self
            .caller
            .call(request, &mut |piece| answer.extend_from_slice(piece))
            .await?;
        Ok((
            head.status,
            head.location
                .unwrap_or_else(|| String::from_utf8_lossy(&answer).into_owned()),
        ))
    }
}

/// A portal with the application installed and its connector on line 107.
struct Setup {
    portals: Portals,
    portal: Portal,
    application: Application,
    token: String,
    refresh_token: String,
}

impl Setup {
    /// Only installed.
    async fn installed() -> Self {
        let portals = Portals::start(Settings::default()).await.unwrap();
        let portal = portals.add("Acme");
        let application = Application::start().await;
        let app = LocalApp::api_only(CLIENT, SECRET, &format!("{}/install", application.url));
        let installation = portal.save_local_app(app).await;
        assert_eq!(installation.status, Some(200));
        let auth = application.bodies()[0].get("auth").unwrap().clone();
        assert_eq!(
            auth.text_of("application_token"),
            installation.application_token
        );
        let (token, refresh_token) = (auth.text_of("access_token"), auth.text_of("refresh_token"));
        Self {
            portals,
            portal,
            application,
            token,
            refresh_token,
        }
    }

    /// Installed, registered, bound and switched on.
    async fn ready() -> Self {
        let setup = Self::installed().await;
        setup.register(json!({ "NEED_SIGNATURE": false })).await;
        let handler = format!("{}/events", setup.application.url);
        for event in [
            "OnImConnectorMessageAdd",
            "OnImConnectorMessageUpdate",
            "OnImConnectorMessageDelete",
            "OnImConnectorStatusDelete",
            "OnImConnectorLineDelete",
            "OnImConnectorDialogStart",
            "OnImConnectorDialogFinish",
            "OnAppUninstall",
            "OnAppUpdate",
        ] {
            assert_eq!(
                setup
                    .result("event.bind", json!({ "event": event, "handler": handler }))
                    .await,
                json!(true)
            );
        }
        let line = json!({ "PARAMS": { "LINE_NAME": "WhatsApp", "CRM": "Y", "CRM_CREATE": "lead", "CRM_CREATE_SECOND": "N" } });
        assert_eq!(
            setup.result("imopenlines.config.add", line).await,
            json!(107)
        );
        setup.activate().await;
        setup
    }

    async fn register(&self, flags: Json) {
        let mut params = json!({
            "ID": "OurWA", "NAME": "WhatsApp", "ICON": { "DATA_IMAGE": "data:image/svg+xml," },
            "PLACEMENT_HANDLER": format!("{}/settings", self.application.url),
        });
        params
            .as_object_mut()
            .unwrap()
            .extend(flags.as_object().unwrap().clone());
        assert_eq!(
            self.result("imconnector.register", params).await,
            json!({ "result": true })
        );
    }

    async fn activate(&self) {
        self.result(
            "imconnector.activate",
            json!({ "CONNECTOR": "ourwa", "LINE": 107, "ACTIVE": 1 }),
        )
        .await;
        let data = json!({ "CONNECTOR": "ourwa", "LINE": 107, "DATA": { "ID": "49151", "NAME": "+49151" } });
        self.result("imconnector.connector.data.set", data).await;
    }

    async fn try_call(
        &self,
        method: &str,
        mut params: Json,
    ) -> Result<(u16, Json), std::io::Error> {
        params["auth"] = json!(self.token);
        let url = format!("{}{method}", self.portal.client_endpoint());
        let (status, body) = self
            .application
            .request("POST", &url, Some("application/json"), &params.to_string())
            .await?;
        Ok((
            status,
            serde_json::from_str(&body).unwrap_or(Json::String(body)),
        ))
    }

    async fn call(&self, method: &str, params: Json) -> (u16, Json) {
        self.try_call(method, params).await.unwrap()
    }

    async fn result(&self, method: &str, params: Json) -> Json {
        let (status, body) = self.call(method, params).await;
        assert_eq!(status, 200, "{method}: {body}");
        assert!(body["time"]["operating_reset_at"].is_i64());
        body["result"].clone()
    }

    async fn error(&self, method: &str, params: Json) -> (u16, String) {
        let (status, body) = self.call(method, params).await;
        (
            status,
            body["error"].as_str().unwrap_or_default().to_owned(),
        )
    }

    /// Sends one item; its result.
    async fn item(&self, item: Json) -> Json {
        let params = json!({ "CONNECTOR": "ourwa", "LINE": 107, "MESSAGES": [item] });
        let result = self.result("imconnector.send.messages", params).await;
        assert_eq!(result["SUCCESS"], json!(true));
        result["DATA"]["RESULT"][0].clone()
    }

    /// A customer says something; the item's result.
    async fn customer_says(&self, id: &str, text: &str) -> Json {
        self.item(item(id, text)).await
    }

    async fn events_sent(&self) {
        assert!(
            self.portals
                .wait_until(|portals| portals.events_waiting() == 0, WAIT)
                .await
        );
    }

    async fn confirm(&self, message: i64, wamid: &str) {
        let chat = self.portal.message(message).unwrap().chat_id;
        let params = json!({ "CONNECTOR": "ourwa", "LINE": 107, "MESSAGES": [
            { "im": { "chat_id": chat, "message_id": message }, "message": { "id": [wamid] }, "chat": { "id": "7" } }] });
        let result = self
            .result("imconnector.send.status.delivery", params)
            .await;
        assert_eq!(result, json!({ "SUCCESS": true, "DATA": [] }));
    }
}

fn item(id: &str, text: &str) -> Json {
    json!({
        "user": { "id": "7", "name": "Klaus", "last_name": "Weber", "phone": "+4915112345678" },
        "message": { "id": id, "date": 1_773_265_993, "text": text },
        "chat": { "id": "7" },
    })
}

fn message_of(event: &Value) -> &Value {
    event
        .get("data")
        .unwrap()
        .get("MESSAGES")
        .unwrap()
        .elements()[0]
}
