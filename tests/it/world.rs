//! A running Separator with one number, one portal, and the stand-ins for Meta and Bitrix24.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::TcpListener,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Once,
    time::Duration,
};

use sandbox::{
    graph::{self, Customer, Graph, Received},
    portal::{self, Chat, LocalApp, Portal, Portals},
};
use serde_json::{Value, json};
use url::Url;

/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const CLIENT_ID: &str = "local.0123456789abcd.01234567";
pub const CLIENT_SECRET: &str = "PLANTED-bitrix-client-secret";
pub const APP_SECRET: &str = "PLANTED-meta-app-secret";
pub const ACCESS_TOKEN: &str = "EAAPLANTEDaccesstoken";

/// What a test may choose.
pub struct Options {
    /// Further `SEPARATOR_…` variables.
    pub variables: BTreeMap<&'static str, String>,
    /// Whether the portal is installed and the number linked to it.
    pub linked: bool,
    /// Settings of the stand-in for Meta.
    pub graph: graph::Settings,
    /// What the portal is like.
    pub behaviour: portal::Behaviour,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            variables: BTreeMap::new(),
            linked: true,
            graph: graph::Settings {
                app_secret: APP_SECRET.to_owned(),
                access_token: ACCESS_TOKEN.to_owned(),
                ..graph::Settings::default()
            },
            behaviour: portal::Behaviour::default(),
        }
    }
}

/// A running Separator and all it talks to.
pub struct World {
    pub graph: Graph,
    pub portals: Portals,
    pub portal: Portal,
    pub api: Api,
    pub server: Server,
    /// Meta's phone number id.
    pub number: String,
    /// Our id of the number.
    pub phone: String,
    /// Our id of the portal.
    pub instance: String,
    pub app: Value,
    /// The site on which both applications answer.
    pub site: Value,
    expected_errors: Vec<String>,
}

impl World {
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        install_crypto();
        let graph = Graph::start(options.graph.clone()).await.unwrap();
        let portals = Portals::start(portal::Settings {
            behaviour: options.behaviour,
            ..portal::Settings::default()
        })
        .await
        .unwrap();
        let portal = portals.add("acme");
        let mut server = Server::new(&graph, &portals, &options.variables);
        server.start().await;
        let key = server.first_key();
        let api = Api {
            http: http(),
            base: server.url(),
            key,
        };
        let site = api
            .create("sites", json!({ "domain": server.domain() }))
            .await;
        let meta = &options.graph;
        let app = api
            .create(
                "waba/apps",
                json!({
                    "site": site["id"], "name": "Test", "client_id": meta.app_id,
                    "client_secret": meta.app_secret, "access_token": meta.access_token,
                }),
            )
            .await;
        let account = api
            .create(
                "waba/accounts",
                json!({ "app": app["id"], "waba_id": meta.waba_id }),
            )
            .await;
        let phone = api
            .create(
                "waba/phones",
                json!({
                    "account": account["id"], "phone": meta.display_phone_number,
                    "phone_id": meta.phone_number_id,
                }),
            )
            .await;
        graph.set_callback(&Url::parse(app["callback_url"].as_str().unwrap()).unwrap());
        let mut world = Self {
            graph,
            portals,
            portal,
            api,
            server,
            number: meta.phone_number_id.clone(),
            phone: phone["id"].as_str().unwrap().to_owned(),
            instance: String::new(),
            app,
            site,
            expected_errors: Vec::new(),
        };
        if options.linked {
            world.install().await;
            world.link().await;
        }
        world
    }

    /// Enters the Bitrix24 application and installs it on the portal.
    pub async fn install(&mut self) {
        let app = self.enter_bitrix_app().await;
        self.install_as(app).await;
    }

    /// Enters the Bitrix24 application; gives it as an administrator of a portal enters it there.
    pub async fn enter_bitrix_app(&self) -> LocalApp {
        let bitrix = self
            .api
            .create(
                "bitrix/apps",
                json!({
                    "site": self.site["id"], "name": "Test", "client_id": CLIENT_ID,
                    "client_secret": CLIENT_SECRET,
                }),
            )
            .await;
        let install_url = bitrix["install_url"].as_str().unwrap();
        LocalApp::api_only(CLIENT_ID, CLIENT_SECRET, install_url)
    }

    /// Installs the application on the portal.
    pub async fn install_as(&mut self, app: LocalApp) {
        let installation = self.portal.save_local_app(app).await;
        assert_eq!(
            installation.status,
            Some(200),
            "the install event was refused"
        );
        let instances = self.api.get("bitrix/instances").await;
        instances["items"][0]["id"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.instance);
    }

    /// Links the number to the portal and waits until it is connected.
    pub async fn link(&self) {
        let path = format!("waba/phones/{}", self.phone);
        self.api
            .patch(&path, json!({ "instance": self.instance }))
            .await;
        self.phone_is("connected").await;
    }

    /// Waits until the number's connection is in this state.
    pub async fn phone_is(&self, connection: &str) {
        let path = format!("waba/phones/{}", self.phone);
        self.api
            .until(&path, |phone| phone["connection"] == connection)
            .await;
    }

    /// A customer writes a text; gives its wamid.
    pub fn customer_says(&self, customer: &Customer, text: &str) -> String {
        self.customer_sends(customer, graph::part::text(text))
    }

    /// A customer sends a message of any type; gives its wamid.
    pub fn customer_sends(&self, customer: &Customer, part: Value) -> String {
        self.graph.customer_writes(&self.number, customer, part)
    }

    /// Waits until some chat of the portal satisfies the condition; gives it.
    pub async fn operator_sees(&self, what: &str, condition: impl Fn(&Chat) -> bool) -> Chat {
        let found = |portals: &Portals| {
            portals
                .all()
                .iter()
                .flat_map(Portal::chats)
                .find(|chat| condition(chat))
        };
        let seen = self
            .portals
            .wait_until(|portals| found(portals).is_some(), PATIENCE)
            .await;
        assert!(
            seen,
            "the operator never saw {what}; chats: {:#?}\n{}",
            self.portal.chats(),
            self.server.log_tail()
        );
        found(&self.portals).unwrap()
    }

    /// Waits until the operator's chat holds a message with this text.
    pub async fn operator_sees_text(&self, text: &str) -> Chat {
        self.operator_sees(text, |chat| {
            chat.messages
                .iter()
                .any(|message| message.text.contains(text))
        })
        .await
    }

    /// Waits until the operator's chat holds the message with this id of WhatsApp's; gives it.
    pub async fn bubble(&self, external_id: &str) -> portal::Message {
        let is =
            |message: &&portal::Message| message.external_ids.iter().any(|id| id == external_id);
        let chat = self
            .operator_sees(external_id, |chat| {
                chat.messages.iter().any(|message| is(&message))
            })
            .await;
        chat.messages.iter().find(is).unwrap().clone()
    }

    /// Waits until the operator's chat holds a note with this text, which nobody but operators see.
    pub async fn note(&self, text: &str) -> portal::Message {
        let is = |message: &&portal::Message| {
            message.author == portal::Author::System && message.text.contains(text)
        };
        let chat = self
            .operator_sees(text, |chat| {
                chat.messages.iter().any(|message| is(&message))
            })
            .await;
        chat.messages.iter().find(is).unwrap().clone()
    }

    /// Delivers webhooks by hand, signed as Meta's, each value as a change of its own in one entry.
    pub async fn webhook(&self, values: &[Value]) {
        let changes: Vec<Value> = values
            .iter()
            .map(|value| json!({ "field": "messages", "value": value }))
            .collect();
        let body = json!({
            "object": "whatsapp_business_account",
            "entry": [{ "id": "108200000000001", "changes": changes }],
        });
        self.webhook_body(&body).await;
    }

    /// Delivers a webhook by hand, signed as Meta's.
    pub async fn webhook_body(&self, body: &Value) {
        let status = self
            .graph
            .deliver_raw(body.to_string(), graph::Signature::Right)
            .await
            .unwrap();
        assert_eq!(status, 200, "the webhook was refused");
    }

    /// The value of a webhook about this number, with these fields beside the metadata.
    pub fn value(&self, fields: Value) -> Value {
        let mut value = json!({
            "messaging_product": "whatsapp",
            "metadata": { "display_phone_number": "4915755501234", "phone_number_id": self.number },
        });
        if let Value::Object(fields) = fields {
            value.as_object_mut().unwrap().extend(fields);
        }
        value
    }

    /// Takes the portal's limits away, there and here: for tests that are not about them and make many calls.
    pub async fn without_limits(&self) {
        self.portal
            .faults()
            .set(portal::Fault::Unlimited, portal::When::Always);
        let instance = format!("bitrix/instances/{}", self.instance);
        let limits = json!({ "calls_per_second": 1000, "burst": 1000 });
        self.api.patch(&instance, limits).await;
    }

    /// Waits until nothing that was acknowledged waits to be translated or delivered.
    pub async fn comes_to_rest(&self) {
        self.api
            .until("queue", |queue| {
                queue["depth"] == 0 && queue["receipts"]["depth"] == 0
            })
            .await;
    }

    /// The operator answers in a chat; gives Bitrix24's message id.
    pub fn operator_says(&self, chat: &Chat, text: &str) -> i64 {
        self.portal
            .operator_writes(chat.id, text, Vec::new())
            .unwrap()
    }

    /// What a customer has received so far.
    pub fn received(&self, customer: &Customer) -> Vec<Received> {
        let key = customer
            .phone
            .as_deref()
            .or(customer.user_id.as_deref())
            .unwrap();
        self.graph.received(&self.number, key)
    }

    /// Waits until the customer has received so many messages; gives them.
    pub async fn customer_receives(&self, customer: &Customer, count: usize) -> Vec<Received> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let received = self.received(customer);
            if received.len() >= count {
                return received;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "the customer received {} of {count} messages: {received:#?}\n{}",
                received.len(),
                self.server.log_tail()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The message with this wamid, with its journey.
    pub async fn message(&self, wamid: &str) -> Value {
        let path = by_wamid(wamid);
        let list = self
            .api
            .until(&path, |list| list["items"] != json!([]))
            .await;
        let id = list["items"][0]["id"].as_str().unwrap().to_owned();
        self.api.get(&format!("messages/{id}")).await
    }

    /// Waits until the message with this wamid is in a state.
    pub async fn message_is(&self, wamid: &str, state: &str) -> Value {
        let path = by_wamid(wamid);
        let list = self
            .api
            .until(&path, |list| list["items"][0]["state"] == state)
            .await;
        let id = list["items"][0]["id"].as_str().unwrap();
        self.api.get(&format!("messages/{id}")).await
    }

    /// A counter of `/metrics`; 0 where nothing was counted yet.
    pub async fn metric(&self, name: &str, kind: &str) -> u64 {
        let url = format!("{}/metrics", self.server.url());
        let text = self.api.http.get(url).send().await.unwrap();
        let wanted = format!("separator_{name}_total{{kind=\"{kind}\"}} ");
        text.text()
            .await
            .unwrap()
            .lines()
            .find_map(|line| line.strip_prefix(&wanted)?.parse().ok())
            .unwrap_or(0)
    }

    /// Errors that the log may hold at the end of this test.
    pub fn expect_errors(&mut self, containing: &str) {
        self.expected_errors.push(containing.to_owned());
    }

    /// Ends the test: everything delivered, nothing set aside, no error that the test did not announce, no secret and no
    /// phone number in the log.
    pub async fn ends_clean(mut self) {
        self.comes_to_rest().await;
        let queue = self.api.get("queue").await;
        assert_eq!(
            queue["dead_letters"].as_array().map_or(0, Vec::len),
            0,
            "dead letters: {queue:#}"
        );
        let poison = self.api.get("events?state=poison").await;
        assert_eq!(poison["items"], json!([]), "a receipt was set aside");
        assert!(
            !self.portal.secret_seen(),
            "the portal was told the client secret"
        );
        self.server.stop().await;
        self.server.check_log(&self.expected_errors);
    }
}

/// The program as a child process.
pub struct Server {
    port: u16,
    folder: PathBuf,
    variables: BTreeMap<String, String>,
    child: Option<Child>,
    database: Option<String>,
}

impl Server {
    pub fn new(graph: &Graph, portals: &Portals, extra: &BTreeMap<&'static str, String>) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let folder =
            std::env::temp_dir().join(format!("separator-test-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut variables: BTreeMap<String, String> = [
            ("SEPARATOR_LISTEN", format!("127.0.0.1:{port}")),
            (
                "SEPARATOR_DATA_DIR",
                folder.join("data").display().to_string(),
            ),
            ("SEPARATOR_GRAPH_URL", graph.url()),
            ("SEPARATOR_FACEBOOK_URL", graph.url()),
            ("SEPARATOR_BITRIX_OAUTH_URL", portals.oauth_url()),
            ("SEPARATOR_ALLOW_ADDRESSES", "127.0.0.0/8".to_owned()),
            ("SEPARATOR_LOG", "info".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let database = make_database();
        if let Some(url) = &database {
            variables.insert("SEPARATOR_DATABASE_URL".to_owned(), url.clone());
        }
        variables.extend(
            extra
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        Self {
            port,
            folder,
            variables,
            child: None,
            database,
        }
    }

    pub fn domain(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.domain())
    }

    pub fn data_dir(&self) -> PathBuf {
        self.variables["SEPARATOR_DATA_DIR"].clone().into()
    }

    /// The process id of the running program.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The end of the log, for the message of a test that failed.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let mut tail = String::from("--- log of the program\n");
        for line in &lines[lines.len().saturating_sub(40)..] {
            writeln!(tail, "{line}").unwrap();
        }
        tail
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_separator"));
        command
            .args(arguments)
            .current_dir(&self.folder)
            .envs(&self.variables);
        command
    }

    /// Runs a statement on the program's database from outside.
    pub fn sql(&self, statement: &str) -> String {
        if let Some(url) = &self.database {
            return psql(url, statement);
        }
        let done = Command::new("sqlite3")
            .args(["-cmd", ".timeout 10000"])
            .arg(self.data_dir().join("separator.db"))
            .arg(statement)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// Takes a copy of everything while the program runs, as the README says; gives the folder it is in.
    pub fn back_up(&self) -> PathBuf {
        let copy = self.folder.join("copy");
        std::fs::create_dir_all(copy.join("media")).unwrap();
        let data = self.data_dir();
        match &self.database {
            Some(url) => {
                let file = format!("--file={}", copy.join("separator.sql").display());
                succeeds(Command::new("pg_dump").args(["--no-owner", &file, url]));
            }
            None => succeeds(
                Command::new("sqlite3")
                    .arg(data.join("separator.db"))
                    .arg(format!(".backup {}", copy.join("separator.db").display())),
            ),
        }
        succeeds(
            Command::new("cp")
                .arg("-a")
                .arg(data.join("media"))
                .arg(&copy),
        );
        succeeds(
            Command::new("cp")
                .arg("-a")
                .arg(data.join("encryption.key"))
                .arg(&copy),
        );
        copy
    }

    /// Another machine takes over with nothing but a copy: a new data folder and, on PostgreSQL, a new database. What the
    /// program had before is gone.
    pub fn restore(&mut self, copy: &Path) {
        self.kill();
        std::fs::remove_dir_all(self.data_dir()).unwrap();
        let elsewhere = self.folder.join("elsewhere");
        std::fs::rename(copy, &elsewhere).unwrap();
        self.variables.insert(
            "SEPARATOR_DATA_DIR".to_owned(),
            elsewhere.display().to_string(),
        );
        if let Some(old) = self.database.take() {
            drop_database(&old);
            self.database = make_database();
            let url = self.database.clone().unwrap();
            let file = format!("--file={}", elsewhere.join("separator.sql").display());
            succeeds(Command::new("psql").args(["--quiet", "--set=ON_ERROR_STOP=1", &file, &url]));
            self.variables
                .insert("SEPARATOR_DATABASE_URL".to_owned(), url);
        }
    }

    /// Takes the PostgreSQL database away from the program, or gives it back.
    pub fn postgres_takes_connections(&self, takes: bool) {
        let url = Url::parse(self.database.as_deref().unwrap()).unwrap();
        let name = url.path().trim_start_matches('/');
        let mut server = url.clone();
        server.set_path("postgres");
        psql(
            server.as_str(),
            &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {takes}"),
        );
        if !takes {
            psql(
                server.as_str(),
                &format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
                ),
            );
        }
    }

    /// Starts the program and waits until it is ready.
    pub async fn start(&mut self) {
        self.spawn();
        self.ready().await;
    }

    /// Waits until the program is ready.
    pub async fn ready(&self) {
        let url = format!("{}/readyz", self.url());
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let http = http();
        while !http
            .get(&url)
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            assert!(
                tokio::time::Instant::now() < deadline,
                "not ready\n{}",
                self.log_tail()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Starts the program without waiting.
    pub fn spawn(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .unwrap();
        // A test that fills the disk does it by a limit, whose signal would end the program where a full disk does not.
        let program = self.command(&["serve"]);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(program.get_program())
            .args(program.get_args())
            .current_dir(&self.folder)
            .envs(&self.variables);
        let child = shell
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
    }

    /// Starts the program on a socket that somebody else holds, as systemd does, and waits until it is ready.
    pub async fn start_on(&mut self, door: &TcpListener) {
        // The socket has to be the third descriptor, and the variable beside it has to name the program's own process.
        let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" serve";
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", script, env!("CARGO_BIN_EXE_separator")])
            .current_dir(&self.folder)
            .envs(&self.variables)
            .stdin(OwnedFd::from(door.try_clone().unwrap()))
            .stdout(Stdio::null())
            .stderr(log);
        self.child = Some(command.spawn().unwrap());
        self.ready().await;
    }

    /// Kills the program as a power cut would (SIGKILL).
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops the program politely (SIGTERM) and expects it to end well.
    pub async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let told = Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status()
            .unwrap();
        assert!(told.success());
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "ended with {status}\n{}", self.log_tail());
                return;
            }
            if tokio::time::Instant::now() > deadline {
                child.kill().unwrap();
                panic!("did not stop\n{}", self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Creates the first administrator and a key for the API.
    pub fn first_key(&self) -> String {
        let user = self
            .command(&["user", "create", "--email", "admin@example.com"])
            .output()
            .unwrap();
        assert!(
            user.status.success(),
            "{}",
            String::from_utf8_lossy(&user.stderr)
        );
        let key = self
            .command(&[
                "key",
                "create",
                "--user",
                "admin@example.com",
                "--scope",
                "manage",
                "--name",
                "test",
            ])
            .output()
            .unwrap();
        assert!(
            key.status.success(),
            "{}",
            String::from_utf8_lossy(&key.stderr)
        );
        String::from_utf8(key.stdout).unwrap().trim().to_owned()
    }

    /// Reads the log of the whole run: no panic, no secret, no phone number, no error that was not announced.
    pub fn check_log(&self, expected: &[String]) {
        let log = self.log();
        for secret in [CLIENT_SECRET, APP_SECRET, ACCESS_TOKEN, "sep_"] {
            assert!(!log.contains(secret), "the log holds the secret {secret}");
        }
        for line in log.lines() {
            assert!(!line.contains("panicked"), "a panic: {line}");
            assert!(
                !line.contains("4915755509876"),
                "a customer's number in the log: {line}"
            );
            let announced = expected.iter().any(|words| line.contains(words.as_str()));
            assert!(
                !line.contains("ERROR") || announced,
                "an error that the test did not announce: {line}"
            );
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
        if let Some(url) = &self.database {
            drop_database(url);
        }
    }
}

/// The JSON API as a script uses it.
#[derive(Clone)]
pub struct Api {
    pub http: reqwest::Client,
    pub base: String,
    pub key: String,
}

impl Api {
    /// A call; gives the status and the body.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self
            .http
            .request(method, format!("{}/api/v1/{path}", self.base))
            .bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {body:#}");
        body
    }

    /// The same as somebody reads it who prefers this language.
    pub async fn get_in(&self, language: &str, path: &str) -> Value {
        let request = self
            .http
            .get(format!("{}/api/v1/{path}", self.base))
            .bearer_auth(&self.key)
            .header("Accept-Language", language);
        request.send().await.unwrap().json().await.unwrap()
    }

    pub async fn create(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.call("POST", path, Some(body)).await;
        assert!(
            (200..300).contains(&status),
            "POST {path}: {status} {answer:#}"
        );
        answer
    }

    pub async fn patch(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.call("PATCH", path, Some(body)).await;
        assert_eq!(status, 200, "PATCH {path}: {answer:#}");
        answer
    }

    /// Reads until the condition holds.
    pub async fn until(&self, path: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let body = self.get(path).await;
            if condition(&body) {
                return body;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "GET {path} stayed at {body:#}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Everything goes over plain HTTP on loopback; the client must have a crypto provider all the same.
pub fn http() -> reqwest::Client {
    install_crypto();
    reqwest::Client::builder()
        .tls_certs_only(std::iter::empty())
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(separator::outgoing::install_crypto_provider);
}

fn make_database() -> Option<String> {
    let server = std::env::var("SEPARATOR_TEST_POSTGRES").ok()?;
    let name = format!("separator_{}", uuid::Uuid::new_v4().simple());
    psql(&server, &format!("CREATE DATABASE {name}"));
    let mut url = Url::parse(&server).unwrap();
    url.set_path(&name);
    Some(url.into())
}

fn drop_database(url: &str) {
    let (server, name) = url.rsplit_once('/').unwrap();
    psql(
        &format!("{server}/postgres"),
        &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
    );
}

fn succeeds(command: &mut Command) {
    let done = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

fn psql(url: &str, statement: &str) -> String {
    let done = Command::new("psql")
        .args(["-qAt", url, "-c", statement])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        done.status.success() || std::thread::panicking(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// Where the API lists the message with this id of WhatsApp's.
pub fn by_wamid(wamid: &str) -> String {
    // The ids are base64, in which a plus may stand.
    let wamid: String = url::form_urlencoded::byte_serialize(wamid.as_bytes()).collect();
    format!("messages?wamid={wamid}")
}

/// A customer who shows a phone number.
pub fn lena() -> Customer {
    Customer::with_phone("4915755509876").named("Lena Klein")
}
