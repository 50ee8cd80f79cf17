//! A stand-in for Meta's Cloud API: the Graph API, the webhook sender and a phone to write with as the customer.
//!
//! It is a small stateful program. It checks what Meta checks, in Meta's order, answers as Meta answers, and then
//! lets things happen as they do there: statuses follow a send, a closed window fails it, a webhook that is not
//! answered with 200 is repeated. Tests assert on its state ("the customer received …"), a person uses its page at
//! `/`, and everything that can go wrong has a switch in [`Faults`].
//!
//! What is not modelled: calls, flows, groups, prices of templates, one user id per
//! portfolio (all accounts here share one).
//!
//! ```no_run
//! use sandbox::graph::{Customer, Graph, Settings, part};
//! # async fn run() -> std::io::Result<()> {
//! let graph = Graph::start(Settings::default()).await?;
//! graph.set_callback(&"http://127.0.0.1:8080/api/waba/".parse().map_err(std::io::Error::other)?);
//! let lena = Customer::with_phone("4915755509876");
//! graph.customer_writes("209300000000002", &lena, part::text("Guten Tag"));
//! # Ok(())
//! # }
//! ```

mod ailments;
mod api;
mod calling;
mod calls;
mod clock;
mod console;
mod control;
mod error;
mod escape;
mod faults;
mod inbound;
mod listen;
mod outbox;
pub mod part;
mod sending;
mod settings;
mod statuses;
mod templates;
#[cfg(test)]
mod tests;
mod wire;
mod world;

pub use calling::CallingFaults;
pub use calls::CallEnd;
pub use clock::Clock;
pub use console::{AccessToken, Consent, Console, Standing};
pub use faults::{Fault, Faults, Scope, Times};
pub use settings::{Retry, Settings, UnknownRecipients};
pub use world::{Direction, Progress, World};

use bytes::Bytes;
use outbox::Outbox;
use serde_json::{Value, json};
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;
use wire::Wire;
use world::{Account, App, Number, Token};

/// A person who writes to the business. The user id is made up from the phone where none is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Customer {
    /// Digits only; `None` for somebody who hides the number behind a username.
    pub phone: Option<String>,
    /// The business-scoped user id, such as `DE.7Kq2mZ0aXw41`.
    pub user_id: Option<String>,
    /// The name in the profile.
    pub name: String,
    /// The username, without `@`.
    pub username: Option<String>,
}

impl Customer {
    /// Somebody with a phone and nothing else.
    pub fn with_phone(digits: impl Into<String>) -> Self {
        Self {
            phone: Some(digits.into()),
            ..Self::default()
        }
    }

    /// Somebody who hides the phone.
    pub fn hidden(user_id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            user_id: Some(user_id.into()),
            name: name.into(),
            ..Self::default()
        }
    }

    /// The same customer with this name in the profile.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

/// An application with its own secret, callback and access token.
#[derive(Clone, Default)]
pub struct Application {
    /// The application's id.
    pub id: String,
    /// What webhooks are signed with.
    pub secret: String,
    /// What the handshake carries.
    pub verify_token: String,
    /// A token that sees the accounts added for this application.
    pub access_token: String,
    /// Where its webhooks go, the query kept as it is.
    pub callback_url: Option<Url>,
}

/// A message that reached a customer.
#[derive(Clone, Debug)]
pub struct Received {
    /// The message id that the sender was told.
    pub wamid: String,
    /// Milliseconds of Unix time at which it was accepted.
    pub at: i64,
    /// The body of the request as it was sent.
    pub body: Value,
    /// The file, where there is one.
    pub media: Option<Media>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// What is in it.
    pub bytes: Bytes,
    /// Its media type.
    pub mime_type: String,
    /// Its name, where it has one.
    pub filename: Option<String>,
}

/// A call to the Graph API. Tokens and secrets in the query are left out, bodies that hold them too.
#[derive(Clone, Debug)]
pub struct Request {
    /// Milliseconds of Unix time.
    pub at: i64,
    /// The HTTP method.
    pub method: String,
    /// The path, with the version, without the query.
    pub path: String,
    /// The query without its secret values.
    pub query: String,
    /// The body, if it is JSON; a summary for an upload.
    pub body: Bytes,
}

/// How a body that is delivered by hand is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// With the first application's secret.
    Right,
    /// With another secret.
    Wrong,
    /// Not at all.
    Missing,
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Calls to the Graph API.
    pub requests: u64,
    /// Sends that were answered with a message id.
    pub sends_accepted: u64,
    /// Sends that were refused.
    pub sends_refused: u64,
    /// Messages that reached a customer.
    pub received: u64,
    /// Messages that failed after they were accepted.
    pub failed: u64,
    /// Messages that customers wrote.
    pub written: u64,
    /// Files uploaded by the business.
    pub uploads: u64,
    /// Files downloaded by the business.
    pub downloads: u64,
    /// Webhook POSTs made.
    pub webhooks_posted: u64,
    /// Webhook POSTs answered with 200.
    pub webhooks_accepted: u64,
    /// Updates (messages, statuses, others) to be delivered, once for each subscribed application.
    pub updates: u64,
    /// Updates answered with 200.
    pub updates_accepted: u64,
    /// Updates given up after seven days.
    pub updates_given_up: u64,
    /// Updates that no application was subscribed to.
    pub updates_unsubscribed: u64,
}

impl Counters {
    /// Updates still to be delivered.
    pub fn updates_waiting(&self) -> u64 {
        self.updates - self.updates_accepted - self.updates_given_up
    }
}

/// Why the callback's handshake failed.
#[derive(Debug)]
pub enum HandshakeError {
    /// No callback is set.
    NoCallback,
    /// The server could not be reached.
    Unreachable(io::Error),
    /// The server answered with another status or another text than the challenge.
    Refused {
        /// The HTTP status.
        status: u16,
        /// What was answered, at most 200 characters.
        body: String,
    },
}

impl std::fmt::Display for HandshakeError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoCallback => formatter.write_str("no callback is set"),
            Self::Unreachable(error) => write!(formatter, "the callback is out of reach: {error}"),
            Self::Refused { status, body } => {
                write!(formatter, "the callback answered {status}: {body}")
            }
        }
    }
}

impl std::error::Error for HandshakeError {}

pub(crate) struct Shared {
    settings: Settings,
    url: String,
    world: Mutex<World>,
    outbox: Outbox,
    faults: Faults,
    wire: Wire,
    changed: watch::Sender<u64>,
    steps: mpsc::UnboundedSender<statuses::Step>,
    cancel: CancellationToken,
    runtime: tokio::runtime::Handle,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody who waits that something is different.
    fn bump(&self) {
        self.changed
            .send_modify(|version| *version = version.wrapping_add(1));
    }
}

struct Running {
    shared: Arc<Shared>,
    server: Mutex<Option<JoinHandle<()>>>,
    _cancel: DropGuard,
}

/// A running stand-in. Clones are the same one; it ends when the last is dropped.
#[derive(Clone)]
pub struct Graph(Arc<Running>);

impl Graph {
    /// Starts the server. Needs a Tokio runtime.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(settings.listen).await?;
        let url = settings
            .public_url
            .clone()
            .unwrap_or(format!("http://{}", listener.local_addr()?));
        let (changed, _) = watch::channel(0);
        let (steps, step_receiver) = mpsc::unbounded_channel();
        let cancel = CancellationToken::new();
        let shared = Arc::new(Shared {
            world: Mutex::new(settings.world()),
            outbox: Outbox::default(),
            faults: Faults::new(changed.clone()),
            wire: Wire::new(settings.secure_client.clone()),
            url: url.trim_end_matches('/').to_owned(),
            settings,
            changed,
            steps,
            cancel: cancel.clone(),
            runtime: tokio::runtime::Handle::current(),
        });
        tokio::spawn(statuses::run(Arc::clone(&shared), step_receiver));
        let server = tokio::spawn(listen::serve(listener, Arc::clone(&shared)));
        Ok(Self(Arc::new(Running {
            shared,
            server: Mutex::new(Some(server)),
            _cancel: cancel.drop_guard(),
        })))
    }

    /// The address, such as `http://127.0.0.1:40123`, without a slash at the end.
    pub fn url(&self) -> String {
        self.shared().url.clone()
    }

    /// Stops answering and delivering, and waits for that a second at most.
    pub async fn stop(&self) {
        self.shared().cancel.cancel();
        let server = self
            .0
            .server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut server) = server
            && tokio::time::timeout(Duration::from_secs(1), &mut server)
                .await
                .is_err()
        {
            server.abort();
        }
    }

    /// The fault switches.
    pub fn faults(&self) -> &Faults {
        &self.shared().faults
    }

    /// The clock of this stand-in.
    pub fn clock(&self) -> Clock {
        self.shared().settings.clock.clone()
    }

    /// Sets where the first application's webhooks go; the query is kept as it is. What waited is delivered now.
    pub fn set_callback(&self, url: &Url) {
        let mut world = self.shared().world();
        let first = Arc::clone(&world.first_app);
        if let Some(app) = world.apps.get_mut(&first) {
            app.callback = Some(url.clone());
        }
        drop(world);
        self.shared().bump();
        self.retry_now();
    }

    /// Asks the callback for the first application's challenge, as Meta does when a callback is entered.
    pub async fn handshake(&self) -> Result<(), HandshakeError> {
        let verify_token = {
            let world = self.shared().world();
            world
                .apps
                .get(&world.first_app)
                .map(|app| app.verify_token.clone())
                .unwrap_or_default()
        };
        self.handshake_with(&verify_token).await
    }

    /// The same with another verify token.
    pub async fn handshake_with(&self, verify_token: &str) -> Result<(), HandshakeError> {
        let callback = {
            let world = self.shared().world();
            world
                .apps
                .get(&world.first_app)
                .and_then(|app| app.callback.clone())
        };
        let callback = callback.ok_or(HandshakeError::NoCallback)?;
        outbox::handshake(self.shared(), &callback, verify_token).await
    }

    /// Adds an application, or replaces it.
    pub fn add_app(&self, application: Application) {
        let mut world = self.shared().world();
        let id: Arc<str> = application.id.into();
        world.tokens.insert(
            application.access_token,
            Token {
                accounts: Some(std::collections::BTreeSet::new()),
                ..Token::new(Arc::clone(&id))
            },
        );
        world.apps.insert(
            Arc::clone(&id),
            App {
                name: format!("App {id}"),
                id,
                secret: application.secret,
                verify_token: application.verify_token,
                callback: application.callback_url,
                fields: None,
                live: true,
                redirect_uris: None,
            },
        );
    }

    /// Adds an account that the first application is subscribed to and sees.
    pub fn add_account(&self, waba_id: &str) {
        let first = self.shared().world().first_app.to_string();
        self.add_account_for(&first, waba_id);
    }

    /// Adds an account, or another application to an account; the application is subscribed to it and sees it.
    pub fn add_account_for(&self, app_id: &str, waba_id: &str) {
        let subscribed = self.shared().settings.subscribed;
        let mut world = self.shared().world();
        let app_id: Arc<str> = app_id.into();
        let account = world
            .accounts
            .entry(waba_id.into())
            .or_insert_with(|| Account {
                id: waba_id.into(),
                name: format!("Account {waba_id}"),
                subscribed: std::collections::BTreeMap::new(),
                templates: templates::samples(),
                gone: std::collections::BTreeSet::new(),
                marketing_elsewhere: false,
            });
        if subscribed {
            account.subscribed.insert(Arc::clone(&app_id), None);
        }
        for token in world.tokens.values_mut() {
            if let Some(accounts) = &mut token.accounts
                && token.app_id == app_id
            {
                accounts.insert(waba_id.to_owned());
            }
        }
    }

    /// Adds a business number (digits) to an account.
    pub fn add_phone(&self, waba_id: &str, phone_number_id: &str, digits: &str) {
        let settings = &self.shared().settings;
        let number = Number::new(settings, waba_id, phone_number_id, digits);
        self.shared()
            .world()
            .numbers
            .insert(phone_number_id.into(), number);
    }

    /// Adds a token of the first application that sees every account; `expires_at` in milliseconds of Unix time.
    pub fn add_token(&self, token: &str, expires_at: Option<i64>) {
        let mut world = self.shared().world();
        let app_id = Arc::clone(&world.first_app);
        world.tokens.insert(
            token.to_owned(),
            Token {
                expires_at,
                ..Token::new(app_id)
            },
        );
    }

    /// Introduces a customer: known at the page, and the window is open for 24 hours without a message.
    pub fn add_customer(&self, customer: &Customer) {
        let mut world = self.shared().world();
        let now = world.clock.now();
        let person = world.meet(customer);
        world.persons[person].introduced_at = Some(now);
        drop(world);
        self.shared().bump();
    }

    /// The customer writes to the number: returns the message id; the webhook follows. `kind` is the part of the
    /// message that depends on its type, such as those made by [`part`]. A number that was not added belongs to the
    /// first account.
    pub fn customer_writes(
        &self,
        phone_number_id: &str,
        customer: &Customer,
        kind: Value,
    ) -> String {
        inbound::write(self.shared(), phone_number_id, customer, kind)
    }

    /// The customer takes another phone number, and the system message about it goes to this business number.
    pub fn customer_changes_number(
        &self,
        phone_number_id: &str,
        customer: &Customer,
        digits: &str,
    ) -> String {
        inbound::change_number(self.shared(), phone_number_id, customer, digits)
    }

    /// The customer stops marketing messages of the number, or takes them again; the webhook follows.
    pub fn customer_chooses_marketing(
        &self,
        phone_number_id: &str,
        customer: &Customer,
        stop: bool,
    ) {
        inbound::choose_marketing(self.shared(), phone_number_id, customer, stop);
    }

    /// Stores a file as the customer's and gives the part of a message that shows it. `kind` is `image`, `video`,
    /// `audio`, `voice` (an audio that is a voice note), `document` or `sticker`.
    pub fn media(
        &self,
        kind: &str,
        bytes: impl Into<Bytes>,
        mime_type: &str,
        caption: Option<&str>,
        filename: Option<&str>,
    ) -> Value {
        let id = self.shared().world().store_file(
            bytes.into(),
            mime_type,
            filename.map(ToOwned::to_owned),
            None,
        );
        part::media(kind, &id, caption, filename)
    }

    /// The customer (digits or user id) reads everything that came from the number.
    pub fn read(&self, phone_number_id: &str, customer: &str) {
        statuses::read_all(self.shared(), phone_number_id, customer);
    }

    /// The customer reads this message.
    pub fn read_message(&self, wamid: &str) {
        statuses::advance(self.shared(), wamid, Progress::Read);
    }

    /// The customer listens to this voice note.
    pub fn play_message(&self, wamid: &str) {
        statuses::advance(self.shared(), wamid, Progress::Played);
    }

    /// Delivers a webhook of any field, such as `account_update`, for an account.
    pub fn webhook(&self, waba_id: &str, field: &str, value: &Value) {
        let mut world = self.shared().world();
        outbox::push_field(self.shared(), &mut world, waba_id, field, value);
        drop(world);
        self.shared().bump();
    }

    /// Posts these bytes to the first application's callback, once, and returns the HTTP status.
    pub async fn deliver_raw(
        &self,
        body: impl Into<Bytes>,
        signature: Signature,
    ) -> io::Result<u16> {
        outbox::deliver_raw(self.shared(), &body.into(), signature).await
    }

    /// Delivers at once what waits for its next try.
    pub fn retry_now(&self) {
        self.shared().outbox.kick();
    }

    /// What this customer (digits or user id) got from this number, in the order of its arrival.
    pub fn received(&self, phone_number_id: &str, customer: &str) -> Vec<Received> {
        self.shared().world().received(phone_number_id, customer)
    }

    /// The calls made to the Graph API, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.shared().world().requests().cloned().collect()
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        *self.shared().world().counters()
    }

    /// How far a message has come, either way.
    pub fn progress(&self, wamid: &str) -> Option<Progress> {
        self.shared().world().progress(wamid)
    }

    /// Waits until the condition holds; `false` if it did not within the time. The condition is looked at after each
    /// change, without polling; it runs inside the lock, so it must only use what it is given.
    pub async fn wait_until(
        &self,
        mut condition: impl FnMut(&World) -> bool,
        limit: Duration,
    ) -> bool {
        let mut changed = self.shared().changed.subscribe();
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            changed.borrow_and_update();
            if condition(&self.shared().world()) {
                return true;
            }
            match tokio::time::timeout_at(deadline, changed.changed()).await {
                Ok(Ok(())) => {}
                _ => return condition(&self.shared().world()),
            }
        }
    }

    /// Sets the links that the page shows, as label and address.
    pub fn set_links(&self, links: Vec<(String, String)>) {
        self.shared().world().links = links;
        self.shared().bump();
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }
}

impl Number {
    fn new(settings: &Settings, waba_id: &str, phone_number_id: &str, digits: &str) -> Self {
        Self {
            id: phone_number_id.into(),
            account: waba_id.into(),
            digits: digits.into(),
            name: settings.business_name.clone(),
            registered: settings.registered,
            pin: None,
            tries: Vec::new(),
            on_phone_app: false,
            calling: calling::Calling::default(),
            profile: json!({"messaging_product": "whatsapp", "about": "Sandbox"}),
            callback: None,
            pace: world::Bucket::default(),
        }
    }
}
