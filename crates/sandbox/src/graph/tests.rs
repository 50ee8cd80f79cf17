//! The stand-in as a whole, over HTTP, with a receiver for its webhooks.

#![expect(clippy::unwrap_used, reason = "tests")]

mod calls;
mod connecting;
mod files;
mod webhooks;

use super::{Customer, Graph, Retry, Settings, escape, wire::Answer, wire::Wire};
use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};
use url::Url;

/// No wait in these tests is longer; none should come near.
const LIMIT: Duration = Duration::from_secs(20);
const PHONE: &str = "4915755509876";

/// What the receiver got, and what it is to answer; 200 when nothing is prescribed.
#[derive(Default)]
struct Inbox {
    posts: Mutex<Vec<(HeaderMap, Bytes)>>,
    answers: Mutex<VecDeque<u16>>,
}

impl Inbox {
    fn answer_with(&self, answers: impl IntoIterator<Item = u16>) {
        self.answers.lock().unwrap().extend(answers);
    }

    fn posts(&self) -> Vec<(HeaderMap, Bytes)> {
        self.posts.lock().unwrap().clone()
    }

    fn bodies(&self) -> Vec<Value> {
        self.posts()
            .iter()
            .map(|(_, body)| serde_json::from_slice(body).unwrap())
            .collect()
    }

    /// Every change of every entry, in the order of arrival.
    fn values(&self) -> Vec<Value> {
        let mut values = Vec::new();
        for body in self.bodies() {
            for entry in body["entry"].as_array().unwrap() {
                for change in entry["changes"].as_array().unwrap() {
                    values.push(change["value"].clone());
                }
            }
        }
        values
    }

    /// The word of every status about the message.
    fn statuses(&self, wamid: &str) -> Vec<String> {
        self.values()
            .iter()
            .filter_map(|value| value["statuses"].as_array().cloned())
            .flatten()
            .filter(|status| status["id"] == wamid)
            .map(|status| status["status"].as_str().unwrap().to_owned())
            .collect()
    }

    fn texts(&self) -> Vec<String> {
        self.values()
            .iter()
            .filter_map(|value| value["messages"].as_array().cloned())
            .flatten()
            .map(|message| message["text"]["body"].as_str().unwrap().to_owned())
            .collect()
    }
}

async fn receive(State(inbox): State<Arc<Inbox>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.method == Method::GET {
        let query = Url::parse(&format!("http://x{}", parts.uri)).unwrap();
        let value = |name: &str| {
            query
                .query_pairs()
                .find(|(found, _)| found == name)
                .map(|(_, value)| value.into_owned())
        };
        if value("hub.verify_token").as_deref() != Some("sandbox-verify-token") {
            return StatusCode::FORBIDDEN.into_response();
        }
        return value("hub.challenge").unwrap().into_response();
    }
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    inbox.posts.lock().unwrap().push((parts.headers, bytes));
    let answer = inbox.answers.lock().unwrap().pop_front().unwrap_or(200);
    StatusCode::from_u16(answer).unwrap().into_response()
}

/// A stand-in with a receiver.
struct Stage {
    graph: Graph,
    inbox: Arc<Inbox>,
    receiver: Url,
    settings: Settings,
    wire: Wire,
}

async fn stage() -> Stage {
    stage_with(|_| {}).await
}

async fn stage_with(change: impl FnOnce(&mut Settings)) -> Stage {
    let inbox = Arc::new(Inbox::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let receiver: Url = format!(
        "http://{}/api/waba/?api-key=k",
        listener.local_addr().unwrap()
    )
    .parse()
    .unwrap();
    let router = Router::new()
        .fallback(receive)
        .with_state(Arc::clone(&inbox));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut settings = Settings {
        callback_url: Some(receiver.clone()),
        customers: vec![Customer::with_phone(PHONE).named("Lena")],
        status_delay: Duration::ZERO,
        retry: Retry {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(10),
            give_up: LIMIT,
        },
        ..Settings::default()
    };
    change(&mut settings);
    Stage {
        graph: Graph::start(settings.clone()).await.unwrap(),
        inbox,
        receiver,
        settings,
        wire: Wire::default(),
    }
}

impl Stage {
    fn number(&self) -> &str {
        &self.settings.phone_number_id
    }

    async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let base: Url = self.graph.url().parse().unwrap();
        let url = base.join(path).unwrap();
        self.wire.send(method, &url, headers, body, LIMIT).await
    }

    async fn call_as(&self, token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
        ];
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = self
            .raw(method, path, &headers, text.as_bytes())
            .await
            .unwrap();
        let value = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status, value)
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.call_as(&self.settings.access_token, method, path, body)
            .await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, &Value::Null).await
    }

    /// Sends and gives the message id; panics with the answer if it is refused.
    async fn send(&self, body: &Value) -> String {
        let (status, answer) = self.try_send(body).await;
        assert_eq!(status, 200, "{answer}");
        answer["messages"][0]["id"].as_str().unwrap().to_owned()
    }

    async fn try_send(&self, body: &Value) -> (u16, Value) {
        let path = format!("/v25.0/{}/messages", self.number());
        self.call("POST", &path, body).await
    }

    async fn settled(&self) {
        let settled = self
            .graph
            .wait_until(|world| world.counters().updates_waiting() == 0, LIMIT)
            .await;
        assert!(settled, "webhooks were left over");
    }

    async fn reported(&self, wamid: &str, times: u32) {
        let reported = self
            .graph
            .wait_until(|world| world.reported(wamid) >= times, LIMIT)
            .await;
        assert!(reported, "{wamid} was not reported {times} times");
    }
}

fn text(body: &str) -> Value {
    json!({
        "messaging_product": "whatsapp",
        "to": format!("+{PHONE}"),
        "type": "text",
        "text": {"body": body},
    })
}

fn code(answer: &(u16, Value)) -> (u64, u64) {
    let error = &answer.1["error"];
    (
        error["code"].as_u64().unwrap_or(0),
        error["error_subcode"].as_u64().unwrap_or(0),
    )
}
