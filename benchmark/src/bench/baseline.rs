//! The stand-ins' own time, measured without the product: the same calls, seen in the same way.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use axum::{Router, body::Bytes, extract::State, routing::post};
use sandbox::{
    graph::{self, Graph},
    portal::{self, Fault, LocalApp, Portal, Portals, When},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use url::Url;

use crate::{
    bodies,
    rig::ACCESS_TOKEN,
    wire::{self, Connection},
};

const PATIENCE: Duration = Duration::from_secs(10);
/// A pause after each call, as long as the one of what it is compared with.
const REST: Duration = Duration::from_millis(10);

/// Stand-ins of their own and an application that does nothing but take events.
pub(crate) struct Baseline {
    graph: Graph,
    number: String,
    portals: Portals,
    portal: Portal,
    token: String,
    line: i64,
    events: tokio::sync::Mutex<mpsc::UnboundedReceiver<Bytes>>,
}

impl Baseline {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let settings = graph::Settings {
            access_token: ACCESS_TOKEN.to_owned(),
            ..graph::Settings::default()
        };
        let number = settings.phone_number_id.clone();
        let graph = Graph::start(settings).await?;
        graph.faults().window(false);
        let portals = Portals::start(portal::Settings::default()).await?;
        let portal = portals.add("baseline");
        portal.faults().set(Fault::Unlimited, When::Always);

        let (sender, mut events) = mpsc::unbounded_channel();
        let handler = post(
            |State(sender): State<mpsc::UnboundedSender<Bytes>>, body: Bytes| async move {
                // Nobody listens any more once the baseline is done.
                let _ = sender.send(body);
            },
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let handler_url = format!("http://{}/", listener.local_addr()?);
        let router = Router::new().route("/", handler).with_state(sender);
        tokio::spawn(axum::serve(listener, router).into_future());

        portal
            .save_local_app(LocalApp::api_only(
                "local.baseline.1",
                "secret",
                &handler_url,
            ))
            .await;
        let installation = events.recv().await.context("the installation")?;
        let token = url::form_urlencoded::parse(&installation)
            .find(|(key, _)| key == "auth[access_token]")
            .map(|(_, value)| value.into_owned())
            .context("the installation has no token")?;
        let mut baseline = Self {
            graph,
            number,
            portals,
            portal,
            token,
            line: 0,
            events: tokio::sync::Mutex::new(events),
        };
        baseline.publish(&handler_url).await?;
        Ok(baseline)
    }

    async fn publish(&mut self, handler_url: &str) -> anyhow::Result<()> {
        let mut connection = self.portal_connection().await?;
        let icon = json!({ "DATA_IMAGE": "data:image/svg+xml," });
        self.call(&mut connection, "imconnector.register", json!({
            "ID": "baseline", "NAME": "Baseline", "ICON": icon, "PLACEMENT_HANDLER": handler_url,
        })).await?;
        self.call(
            &mut connection,
            "imopenlines.config.add",
            json!({ "PARAMS": { "LINE_NAME": "Baseline" } }),
        )
        .await?;
        self.line = self.portal.lines().last().context("no line was made")?.id;
        let line = self.line;
        self.call(
            &mut connection,
            "imconnector.activate",
            json!({ "CONNECTOR": "baseline", "LINE": line, "ACTIVE": 1 }),
        )
        .await?;
        self.call(
            &mut connection,
            "imconnector.connector.data.set",
            json!({
                "CONNECTOR": "baseline", "LINE": line, "DATA": { "ID": "49151", "NAME": "+49151" },
            }),
        )
        .await?;
        self.call(
            &mut connection,
            "event.bind",
            json!({ "event": "OnImConnectorMessageAdd", "handler": handler_url }),
        )
        .await
    }

    async fn portal_connection(&self) -> anyhow::Result<Connection> {
        let url = Url::parse(&self.portal.client_endpoint())?;
        Connection::open(
            *url.socket_addrs(|| None)?
                .first()
                .context("the portal's address")?,
        )
        .await
    }

    fn request(&self, method: &str, mut parameters: Value) -> anyhow::Result<Vec<u8>> {
        parameters["auth"] = self.token.as_str().into();
        let url = Url::parse(&format!("{}{method}", self.portal.client_endpoint()))?;
        let body = parameters.to_string();
        Ok(wire::post(
            &self.portal.domain(),
            url.path(),
            &[("content-type", "application/json")],
            body.as_bytes(),
        ))
    }

    async fn call(
        &self,
        connection: &mut Connection,
        method: &str,
        parameters: Value,
    ) -> anyhow::Result<()> {
        let status = connection
            .exchange(&self.request(method, parameters)?)
            .await?;
        ensure!(status == 200, "the portal answered {method} with {status}");
        Ok(())
    }

    /// Messages shown by a direct call, one at a time; from the call until the portal has the message.
    pub(crate) async fn posts(&self, count: usize) -> anyhow::Result<Vec<f64>> {
        let mut connection = self.portal_connection().await?;
        let mut times = Vec::new();
        for _ in 0..count {
            let shown = self.portal.counters().customer_messages;
            let id = format!("message-{shown}");
            let person = bodies::customer(shown);
            let request = self.request("imconnector.send.messages", json!({
                "CONNECTOR": "baseline", "LINE": self.line, "MESSAGES": [{
                    "user": { "id": person, "name": "Lena", "last_name": "Klein", "phone": format!("+{person}") },
                    "message": { "id": id, "date": bodies::now() / 1000, "text": "Is the blue one still there? ".repeat(23) },
                    "chat": { "id": person },
                }],
            }))?;
            let begun = Instant::now();
            let (status, seen) = tokio::join!(
                connection.exchange(&request),
                self.portals.wait_until(
                    |_| self.portal.counters().customer_messages > shown,
                    PATIENCE
                )
            );
            let seen_after = begun.elapsed();
            ensure!(status? == 200 && seen, "the portal did not take a message");
            times.push(seen_after.as_secs_f64() * 1000.0);
            tokio::time::sleep(REST).await;
        }
        Ok(times)
    }

    /// Events of operators' messages; from writing until the handler has it.
    pub(crate) async fn events(&self, count: usize) -> anyhow::Result<Vec<f64>> {
        let mut events = self.events.lock().await;
        let chat = self
            .portal
            .chats()
            .last()
            .context("no chat to answer in")?
            .id;
        let mut times = Vec::new();
        for _ in 0..count {
            let begun = Instant::now();
            let written = self
                .portal
                .operator_writes(chat, "Yes, we keep it for you.", Vec::new());
            ensure!(written.is_ok(), "the operator could not write");
            tokio::time::timeout(PATIENCE, events.recv())
                .await?
                .context("no event")?;
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
            tokio::time::sleep(REST).await;
        }
        Ok(times)
    }

    /// Direct sends; from the call until Graph has taken the message.
    pub(crate) async fn sends(&self, count: usize) -> anyhow::Result<Vec<f64>> {
        let url = Url::parse(&format!(
            "{}/v25.0/{}/messages",
            self.graph.url(),
            self.number
        ))?;
        let address = *url
            .socket_addrs(|| None)?
            .first()
            .context("Graph's address")?;
        let mut connection = Connection::open(address).await?;
        let bearer = format!("Bearer {ACCESS_TOKEN}");
        let mut times = Vec::new();
        for _ in 0..count {
            let sent = self.graph.counters().sends_accepted;
            let body = json!({
                "messaging_product": "whatsapp", "recipient_type": "individual", "to": bodies::customer(sent),
                "type": "text", "text": { "body": "Yes, we keep it for you." },
            });
            let headers = [
                ("authorization", bearer.as_str()),
                ("content-type", "application/json"),
            ];
            let request = wire::post(
                &address.to_string(),
                url.path(),
                &headers,
                body.to_string().as_bytes(),
            );
            let begun = Instant::now();
            let (status, seen) = tokio::join!(
                connection.exchange(&request),
                self.graph
                    .wait_until(|world| world.counters().sends_accepted > sent, PATIENCE)
            );
            let seen_after = begun.elapsed();
            ensure!(status? == 200 && seen, "Graph did not take a message");
            times.push(seen_after.as_secs_f64() * 1000.0);
            tokio::time::sleep(REST).await;
        }
        Ok(times)
    }

    pub(crate) async fn stop(self) {
        self.portals.stop();
        self.graph.stop().await;
    }
}
