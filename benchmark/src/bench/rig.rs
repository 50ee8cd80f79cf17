//! The product between its stand-ins, set up through its own API as a customer would.

use std::{
    net::SocketAddr,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use sandbox::{
    graph::{self, Graph},
    portal::{self, Fault, LocalApp, Portal, Portals, When},
};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};
use url::Url;

use crate::{
    Bench,
    bodies::{Number, Signer},
    database::Home,
    process::{Process, free_address},
};

const CLIENT_ID: &str = "local.0123456789abcd.01234567";
const CLIENT_SECRET: &str = "bitrix-client-secret";
pub(crate) const APP_SECRET: &str = "meta-app-secret";
pub(crate) const ACCESS_TOKEN: &str = "EAABENCH";
/// How long setting up may take.
const PATIENCE: Duration = Duration::from_mins(5);
/// Portals set up at once.
const AT_ONCE: usize = 8;

/// What the world around the product is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Portals, each with one number linked to it.
    pub(crate) portals: usize,
    /// Whether portals and product keep to Bitrix24's 2 calls a second.
    pub(crate) limited: bool,
}

impl Plan {
    /// One portal without limits.
    pub(crate) const ONE: Self = Self {
        portals: 1,
        limited: false,
    };
}

/// One number and its portal.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) portal: Portal,
    pub(crate) number: Number,
    /// Our id of the number.
    pub(crate) phone: String,
}

/// Sends templates through one number.
pub(crate) struct Sender {
    api: Api,
    path: String,
}

impl Sender {
    /// Asks for a template by its code.
    pub(crate) async fn send(&self, to: &str, code: &str) -> anyhow::Result<()> {
        let body = json!({ "to": to, "shortcode": code });
        self.api.create(&self.path, body).await?;
        Ok(())
    }
}

/// All of it.
pub(crate) struct Rig {
    pub(crate) graph: Graph,
    pub(crate) portals: Portals,
    pub(crate) lines: Vec<Line>,
    pub(crate) home: Home,
    pub(crate) signer: Signer,
    /// Our id of the account.
    pub(crate) account: String,
    address: SocketAddr,
    process: Option<Process>,
    api: Api,
}

impl Rig {
    pub(crate) async fn start(bench: &Bench, plan: Plan) -> anyhow::Result<Self> {
        let settings = graph::Settings {
            app_secret: APP_SECRET.to_owned(),
            access_token: ACCESS_TOKEN.to_owned(),
            kept_requests: 100,
            ..graph::Settings::default()
        };
        let graph = Graph::start(settings.clone()).await?;
        // Customers write through webhooks of our own, so the stand-in has not heard of them.
        graph.faults().window(false);
        let portals = Portals::start(portal::Settings::default()).await?;
        let home = Home::make(&bench.kind, &bench.work).await?;
        let address = free_address()?;
        let (process, _) = start(bench, &home, &graph, &portals, address).await?;
        let api = Api::new(address, first_key(bench, &home)?)?;

        let site = api
            .create("sites", json!({ "domain": address.to_string() }))
            .await?;
        let app = json!({
            "site": site["id"], "name": "Bench", "client_id": settings.app_id,
            "client_secret": settings.app_secret, "access_token": settings.access_token,
        });
        let app = api.create("waba/apps", app).await?;
        let account = json!({ "app": app["id"], "waba_id": settings.waba_id });
        let account = text(&api.create("waba/accounts", account).await?["id"])?;
        let bitrix = json!({
            "site": site["id"], "name": "Bench", "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
        });
        let bitrix = api.create("bitrix/apps", bitrix).await?;
        let callback = Url::parse(&text(&app["callback_url"])?)?;
        graph.set_callback(&callback);
        let mut rig = Self {
            signer: Signer::new(APP_SECRET, &callback)?,
            graph,
            portals,
            lines: Vec::new(),
            home,
            account,
            address,
            process: Some(process),
            api,
        };
        rig.connect(plan, &settings, &text(&bitrix["install_url"])?)
            .await?;
        Ok(rig)
    }

    /// Makes the portals, installs the application on each, enters a number for each and links it.
    async fn connect(
        &mut self,
        plan: Plan,
        settings: &graph::Settings,
        install_url: &str,
    ) -> anyhow::Result<()> {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut tasks = JoinSet::new();
        for index in 0..plan.portals {
            let portal = self.portals.add(&format!("portal{index}"));
            if !plan.limited {
                portal.faults().set(Fault::Unlimited, When::Always);
            }
            let number = Number {
                waba: settings.waba_id.clone(),
                id: format!("3093{index:011}"),
                digits: format!("49157{index:08}"),
            };
            self.graph
                .add_phone(&number.waba, &number.id, &number.digits);
            let phone = json!({
                "account": self.account, "phone": number.digits, "phone_id": number.id,
            });
            let (api, room) = (self.api.clone(), Arc::clone(&room));
            let local = LocalApp::api_only(CLIENT_ID, CLIENT_SECRET, install_url);
            tasks.spawn(async move {
                let _permit = room.acquire().await?;
                let installation = portal.save_local_app(local).await;
                if installation.status != Some(200) {
                    bail!(
                        "the install event was answered with {:?}",
                        installation.status
                    );
                }
                let phone = text(&api.create("waba/phones", phone).await?["id"])?;
                Ok((
                    index,
                    Line {
                        portal,
                        number,
                        phone,
                    },
                ))
            });
        }
        let mut lines = Vec::new();
        while let Some(done) = tasks.join_next().await {
            lines.push(done??);
        }
        lines.sort_by_key(|(index, _)| *index);
        self.lines = lines.into_iter().map(|(_, line)| line).collect();
        self.link(plan).await
    }

    async fn link(&self, plan: Plan) -> anyhow::Result<()> {
        let instances = self.api.all("bitrix/instances").await?;
        for line in &self.lines {
            let member = line.portal.member_id();
            let instance = instances
                .iter()
                .find(|instance| instance["member_id"] == member)
                .context("an installed portal is not listed")?;
            let instance = text(&instance["id"])?;
            if !plan.limited {
                let pace = json!({ "calls_per_second": 1000, "burst": 100_000 });
                self.api
                    .change(&format!("bitrix/instances/{instance}"), pace)
                    .await?;
            }
            let phone = format!("waba/phones/{}", line.phone);
            self.api
                .change(&phone, json!({ "instance": instance }))
                .await?;
        }
        let begun = Instant::now();
        loop {
            let phones = self.api.all("waba/phones").await?;
            let waiting = phones
                .iter()
                .filter(|phone| phone["connection"] != "connected")
                .count();
            if waiting == 0 {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let one = phones
                    .iter()
                    .find(|phone| phone["connection"] != "connected");
                bail!("{waiting} numbers were not connected, such as {one:?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Fetches the account's templates from Meta.
    pub(crate) async fn synchronise(&self) -> anyhow::Result<()> {
        let path = format!("waba/accounts/{}/sync", self.account);
        self.api.create(&path, json!({})).await?;
        Ok(())
    }

    /// Sends through a number by the API.
    pub(crate) fn sender(&self, line: &Line) -> Sender {
        Sender {
            api: self.api.clone(),
            path: format!("waba/phones/{}/messages", line.phone),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The running product.
    pub(crate) fn process(&self) -> anyhow::Result<&Process> {
        self.process.as_ref().context("the product is not running")
    }

    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// Starts the product again; gives how long it took to be ready.
    pub(crate) async fn start_again(&mut self, bench: &Bench) -> anyhow::Result<Duration> {
        self.kill();
        let (process, took) =
            start(bench, &self.home, &self.graph, &self.portals, self.address).await?;
        self.process = Some(process);
        Ok(took)
    }

    /// Kills the product as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts the product on a copy of its stopped self.
    pub(crate) async fn start_copy(&self, bench: &Bench) -> anyhow::Result<(Process, Home)> {
        let home = self.home.copy().await?;
        let (process, _) = start(bench, &home, &self.graph, &self.portals, self.address).await?;
        Ok((process, home))
    }

    /// Callbacks that are not translated yet, and what waits to be delivered.
    pub(crate) async fn waiting(&self) -> anyhow::Result<(u64, u64)> {
        let queue = self.api.call("GET", "queue", None).await?;
        let number = |value: &Value| value.as_u64().context("a number in the queue");
        Ok((
            number(&queue["receipts"]["depth"])?,
            number(&queue["depth"])?,
        ))
    }

    /// Waits until the product has nothing left to do.
    pub(crate) async fn drained(&self, limit: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let waiting = self.waiting().await?;
            if waiting == (0, 0) {
                return Ok(());
            }
            if begun.elapsed() > limit {
                bail!(
                    "after {limit:?} there are still {} callbacks and {} messages",
                    waiting.0,
                    waiting.1
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Takes everything away.
    pub(crate) async fn remove(mut self) -> anyhow::Result<()> {
        self.process = None;
        self.portals.stop();
        self.graph.stop().await;
        self.home.remove().await
    }
}

async fn start(
    bench: &Bench,
    home: &Home,
    graph: &Graph,
    portals: &Portals,
    address: SocketAddr,
) -> anyhow::Result<(Process, Duration)> {
    let mut command = product(bench, home);
    command
        .arg("serve")
        .env("SEPARATOR_LISTEN", address.to_string())
        .env("SEPARATOR_GRAPH_URL", graph.url())
        .env("SEPARATOR_FACEBOOK_URL", graph.url())
        .env("SEPARATOR_BITRIX_OAUTH_URL", portals.oauth_url())
        .env("SEPARATOR_ALLOW_ADDRESSES", "127.0.0.0/8");
    Process::start(command, address, &home.folder.join("log")).await
}

/// The product's command with everything at its default but the database.
fn product(bench: &Bench, home: &Home) -> Command {
    let mut command = Command::new(&bench.separator);
    command
        .current_dir(&home.folder)
        .env("SEPARATOR_DATA_DIR", home.folder.join("data"));
    if let Some(url) = home.postgres() {
        command.env("SEPARATOR_DATABASE_URL", url);
    }
    command
}

/// Makes the first administrator and a key for the API.
fn first_key(bench: &Bench, home: &Home) -> anyhow::Result<String> {
    let email = "bench@example.com";
    let run = |arguments: &[&str]| -> anyhow::Result<String> {
        let done = product(bench, home).args(arguments).output()?;
        if !done.status.success() {
            bail!("{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(String::from_utf8(done.stdout)?.trim().to_owned())
    };
    run(&["user", "create", "--email", email])?;
    run(&[
        "key", "create", "--user", email, "--scope", "manage", "--name", "bench",
    ])
}

fn text(value: &Value) -> anyhow::Result<String> {
    value
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("{value} is not text"))
}

/// The JSON API.
#[derive(Clone)]
struct Api {
    http: reqwest::Client,
    base: String,
    key: String,
}

impl Api {
    fn new(address: SocketAddr, key: String) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .tls_certs_only(std::iter::empty())
            .build()?;
        Ok(Self {
            http,
            base: format!("http://{address}/api/v1"),
            key,
        })
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let url = format!("{}/{path}", self.base);
        let mut request = self
            .http
            .request(method.clone(), &url)
            .bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("{method} {path}: {status} {text}");
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn create(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.call("POST", path, Some(body)).await
    }

    async fn change(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.call("PATCH", path, Some(body)).await
    }

    /// Every item of a list.
    async fn all(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut page = self
                .call("GET", &format!("{path}?limit=200{cursor}"), None)
                .await?;
            items.extend(
                page["items"]
                    .as_array_mut()
                    .map(std::mem::take)
                    .unwrap_or_default(),
            );
            let Some(next) = page["next_cursor"].as_str() else {
                return Ok(items);
            };
            cursor = format!("&cursor={next}");
        }
    }
}
