//! `separator sandbox`: the server together with stand-ins for Meta and Bitrix24, everything preconfigured.
//!
//! The set-up goes through the JSON API and the install event, the way a person would do it, so that what the sandbox
//! shows is what a real installation does.

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, bail};
use sandbox::{
    graph::{self, Graph},
    portal::{self, LocalApp, Portal, Portals},
};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    identifiers::{Chance, Ids},
    logging,
    outgoing::Outgoing,
    secret::Secret,
    serve,
    settings::{self, Settings, SettingsArguments, StandIns},
    time::Clock,
    users::{self, Role, Scope, links},
};

/// How long the set-up may take.
const SET_UP: Duration = Duration::from_secs(30);
const EMAIL: &str = "admin@sandbox.example";
const CLIENT_ID: &str = "local.sandbox00000001.00000001";
const CLIENT_SECRET: &str = "sandbox-bitrix-client-secret";

/// Flags of the command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Port of the server; the customer's phone and the operator's open line take the next two
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Set nothing up: walk through it yourself, with the values that `GET /api/v1/setup` gives
    #[arg(long)]
    empty: bool,
    /// What is logged
    #[arg(long, default_value = "warn", value_name = "FILTER")]
    log: String,
}

/// Runs until `stop`.
pub async fn run(arguments: Arguments, stop: CancellationToken) -> anyhow::Result<()> {
    let [server, phone, line] = ports(arguments.port)?;
    let folder = Folder::new()?;
    let graph = Graph::start(graph::Settings {
        listen: phone,
        ..graph::Settings::default()
    })
    .await
    .context("the stand-in for Meta did not start")?;
    let portals = Portals::start(portal::Settings {
        listen: line,
        ..portal::Settings::default()
    })
    .await
    .context("the stand-in for Bitrix24 did not start")?;
    let portal = portals.add("sandbox");
    let settings = settings(&arguments, server, &folder, &graph, &portals, &portal)?;
    logging::init(&settings.log, settings.log_format)?;
    let (key, link) = first_user(&settings).await?;

    let (started, address) = oneshot::channel();
    let running = tokio::spawn(serve::run(settings, stop.clone(), move |address| {
        // The set-up below gave up if nobody listens.
        let _ = started.send(address);
    }));
    let Ok(address) = address.await else {
        running.await??;
        bail!("the server stopped before its doors were open");
    };
    if !arguments.empty {
        let set_up = tokio::time::timeout(SET_UP, set_up(address, &key, &graph, &portal));
        tokio::select! {
            done = set_up => done.context("setting up took too long")??,
            () = stop.cancelled() => {}
        }
    }
    set_links(address, &graph, &portals);
    if !stop.is_cancelled() {
        announce(address, &graph, &portals, &key, &link)?;
    }
    running.await??;
    portals.stop();
    graph.stop().await;
    Ok(())
}

/// A throw-away data folder.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let name = format!("separator-sandbox-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).context("no folder for throw-away data")?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left lies in the system's folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Three addresses on loopback: the wished ports, or free ones where those are taken.
fn ports(first: u16) -> anyhow::Result<[SocketAddr; 3]> {
    let mut held = Vec::new();
    let mut addresses = Vec::new();
    for offset in 0..3 {
        let wished = SocketAddr::from((Ipv4Addr::LOCALHOST, first.saturating_add(offset)));
        let listener = TcpListener::bind(wished)
            .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .context("no free port on 127.0.0.1")?;
        addresses.push(listener.local_addr()?);
        held.push(listener);
    }
    Ok([addresses[0], addresses[1], addresses[2]])
}

fn settings(
    arguments: &Arguments,
    listen: SocketAddr,
    folder: &Folder,
    graph: &Graph,
    portals: &Portals,
    portal: &Portal,
) -> anyhow::Result<Settings> {
    let given = SettingsArguments {
        listen: Some(listen.to_string()),
        data_dir: Some(folder.0.display().to_string()),
        graph_url: Some(graph.url()),
        facebook_url: Some(graph.url()),
        bitrix_oauth_url: Some(portals.oauth_url()),
        allow_addresses: Some("127.0.0.0/8,::1/128".to_owned()),
        log: Some(arguments.log.clone()),
        ..SettingsArguments::default()
    };
    // A sandbox takes nothing from the surroundings that a real installation on the same machine was given.
    let surroundings = settings::environment()
        .filter(|(name, _)| name.to_string_lossy().starts_with("SEPARATOR_UNKNOWN"));
    Ok(Settings {
        sandbox: Some(stand_ins(arguments, graph, portals, portal)),
        ..Settings::load(&given, surroundings, &folder.0)?
    })
}

/// The administrator, with a key for the API and a link to sign in.
async fn first_user(settings: &Settings) -> anyhow::Result<(String, String)> {
    let store = serve::open_store(settings).await?;
    let (clock, chance) = (Clock::System, Chance::System);
    let ids = Ids::new(clock.clone(), chance.clone());
    let created =
        users::create_user(&store, &clock, &ids, &chance, EMAIL, None, Role::Admin).await?;
    let token = links::make(&store, &chance, clock.now(), created.id, links::Kind::Enter).await?;
    let (_, key) = users::create_key(
        &store,
        &clock,
        &ids,
        &chance,
        EMAIL,
        Scope::Manage,
        "sandbox",
    )
    .await?;
    store.close().await;
    let link = links::address(&format!("http://{}", settings.listen), &token);
    Ok((key.expose().to_owned(), link))
}

/// The JSON API as a script uses it.
struct Api {
    http: reqwest::Client,
    base: String,
    key: String,
}

impl Api {
    async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let request = self
            .http
            .request(method, format!("{}/api/v1/{path}", self.base))
            .bearer_auth(&self.key)
            .json(body);
        let response = request
            .send()
            .await
            .with_context(|| format!("{path} did not answer"))?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            bail!("{path} answered {status}: {text}");
        }
        Ok(serde_json::from_str(&text)?)
    }

    async fn create(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.call(reqwest::Method::POST, path, &body).await
    }

    async fn read(&self, path: &str) -> anyhow::Result<Value> {
        self.call(reqwest::Method::GET, path, &Value::Null).await
    }
}

async fn set_up(
    address: SocketAddr,
    key: &str,
    graph: &Graph,
    portal: &Portal,
) -> anyhow::Result<()> {
    let outgoing = Outgoing::new(vec!["127.0.0.0/8".parse()?], &[])?;
    let api = Api {
        http: outgoing.api_client(),
        base: format!("http://{address}"),
        key: key.to_owned(),
    };
    let meta = graph::Settings::default();
    let site = api
        .create("sites", json!({ "domain": address.to_string() }))
        .await?;
    let app = api
        .create(
            "waba/apps",
            json!({
                "site": site["id"], "name": "Sandbox", "client_id": meta.app_id,
                "client_secret": meta.app_secret, "access_token": meta.access_token, "events": true,
            }),
        )
        .await?;
    let account = api
        .create(
            "waba/accounts",
            json!({ "app": app["id"], "waba_id": meta.waba_id, "name": meta.business_name }),
        )
        .await?;
    let phone = api
        .create(
            "waba/phones",
            json!({
                "account": account["id"], "phone": meta.display_phone_number,
                "phone_id": meta.phone_number_id,
            }),
        )
        .await?;
    let callback = app["callback_url"]
        .as_str()
        .context("the app has no callback address")?;
    graph.set_callback(&Url::parse(callback)?);
    let verify_token = app["verify_token"]
        .as_str()
        .context("the app has no verify token")?;
    graph
        .handshake_with(verify_token)
        .await
        .context("the webhook handshake failed")?;

    let bitrix = api
        .create(
            "bitrix/apps",
            json!({
                "site": site["id"], "name": "Sandbox", "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
            }),
        )
        .await?;
    let install_url = bitrix["install_url"]
        .as_str()
        .context("the application has no address")?;
    let installation = portal
        .save_local_app(LocalApp::api_only(CLIENT_ID, CLIENT_SECRET, install_url))
        .await;
    if installation.status != Some(200) {
        bail!(
            "the install event was answered with {:?}",
            installation.status
        );
    }
    let instances = api.read("bitrix/instances").await?;
    let instance = &instances["items"][0]["id"];
    let path = format!("waba/phones/{}", phone["id"].as_str().unwrap_or_default());
    api.call(
        reqwest::Method::PATCH,
        &path,
        &json!({ "instance": instance }),
    )
    .await?;
    loop {
        let phone = api.read(&path).await?;
        match phone["connection"].as_str() {
            Some("connected") => break,
            Some("error") => bail!("the number could not be connected: {}", phone["error"]),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    Ok(())
}

/// Links between the pages of the stand-ins and ours.
fn set_links(address: SocketAddr, graph: &Graph, portals: &Portals) {
    graph.set_links(vec![
        ("Open line (operator)".to_owned(), portals.url()),
        ("Separator".to_owned(), format!("http://{address}/")),
    ]);
    portals.set_links(vec![
        portal::Link {
            label: "Phone (customer)".to_owned(),
            url: graph.url(),
        },
        portal::Link {
            label: "Separator".to_owned(),
            url: format!("http://{address}/"),
        },
    ]);
}

/// What a person enters to connect the stand-ins.
fn stand_ins(arguments: &Arguments, graph: &Graph, portals: &Portals, portal: &Portal) -> StandIns {
    let meta = graph::Settings::default();
    // On an empty portal its administrator enters the local application first, and the portal makes up both.
    let entered = |value: &str| (!arguments.empty).then(|| value.to_owned());
    StandIns {
        customer_page: graph.url(),
        operator_page: portals.url(),
        client_id: meta.app_id,
        client_secret: meta.app_secret.into(),
        access_token: meta.access_token.into(),
        waba_id: meta.waba_id,
        phone: meta.display_phone_number,
        phone_id: meta.phone_number_id,
        portal: portal.domain(),
        bitrix_client_id: entered(CLIENT_ID),
        bitrix_client_secret: entered(CLIENT_SECRET).map(Secret::from),
    }
}

fn announce(
    address: SocketAddr,
    graph: &Graph,
    portals: &Portals,
    key: &str,
    link: &str,
) -> anyhow::Result<()> {
    writeln!(
        std::io::stdout(),
        "\nSeparator is running with stand-ins for Meta and Bitrix24. Nothing leaves this machine.\n\n  \
         Customer's phone       {}\n  Operator's open line   {}\n  JSON API               http://{address}/api/docs\n  \
         Key for the API        {key}\n  Sign-in link           {link}\n\n\
         Write on the phone, answer in the open line. Ctrl-C ends it and removes its data.\n",
        graph.url(),
        portals.url(),
    )?;
    Ok(())
}
