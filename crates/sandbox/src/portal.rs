//! A stand-in for Bitrix24: many portals, their authorization server and their event queue, on one listener.
//!
//! It is written from the documentation and from what was seen of real portals, not from our client library, so that
//! the two cannot agree on a mistake. It is stateful: lines, connectors, chats, messages and tokens live here, and a
//! test asserts on what an operator would see ([`Portal::chats`]), not on which calls were made.
//!
//! What is known to hurt is on by default: the request bucket of 2 a second with a burst of 50, messages that turn red
//! after 60 s without a delivery status, files fetched during the call with names cut to their last 50 characters,
//! activation that wipes the connector's data, per-item results inside a good answer, refusal of parameters that no
//! documentation knows, exactly one valid refresh token, and events that are sent once and never again. [`Behaviour`]
//! says what a portal is like, [`Faults`] what goes wrong with it right now.
//!
//! A portal's address is `http://HOST:PORT/p/N/rest/`; all portals of a process share the host and are told apart by
//! their member id. A portal that is renamed moves to another port and answers the old one with a redirect.
//!
//! Events of one chat are sent in order, those of different chats at the same time. Locks are per portal, held for
//! moments and never over an await; the lock order is portal, then event queue.

mod administrator;
mod ailments;
mod caller;
mod chats;
mod clock;
mod connector;
mod consent;
mod control;
mod events;
mod faults;
mod files;
mod frames;
mod limits;
mod lines;
mod messages;
mod methods;
mod oauth;
mod page;
mod people;
mod php;
mod rest;
mod robots;
mod state;
mod system;
mod telephony;
mod view;
mod wire;

#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tokio::{
    net::TcpListener,
    runtime::Handle,
    sync::{Notify, broadcast},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub use self::{
    administrator::{Installation, LocalApp, PageAnswer, Sender, Sms as SmsToSend},
    clock::TimeSource,
    faults::{Fault, Faults, Rule, When},
    frames::{PageForm, connector_options},
    limits::RequestLimit,
    robots::StepKind,
    telephony::{PhoneCall, PhoneCallEnd},
    view::{
        Author, Call, Chat, ChatRef, Connector, ConnectorLine, Counters, File, Handler, Lead, Line,
        Message, Placement, Refusal, Robot, Sms, Upload, User, WorkflowStep,
    },
};
use self::{caller::Caller, clock::Clock, events::Events, state::State, wire::Door};

/// How the stand-in is run.
#[derive(Clone)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What portals call their host in place of the address that is listened on: under another name than the
    /// application's they are another site to a browser, as real portals are.
    pub host: Option<String>,
    /// The client for `https` addresses of handlers and files. `http` needs none.
    pub http: Option<reqwest::Client>,
    /// What portals added later are like.
    pub behaviour: Behaviour,
    /// Where the time comes from.
    pub clock: TimeSource,
    /// How many events are on their way at once, over all portals.
    pub events_at_once: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            host: None,
            http: None,
            behaviour: Behaviour::default(),
            clock: Arc::new(SystemTime::now),
            events_at_once: 64,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

/// What a portal is like. The defaults are the strictest of what the documentation says and what was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Behaviour {
    /// The portal's language, as its events tell it.
    pub language: &'static str,
    /// The request bucket; nothing for a portal on one's own server.
    pub requests: Option<RequestLimit>,
    /// How much operating time each method has within ten minutes; nothing for no limit.
    pub operating: Option<Duration>,
    /// Added to the operating time of each call.
    pub operating_cost: Duration,
    /// After this long without a delivery status an operator's message turns red.
    pub sending_period: Duration,
    /// Parameters that no documentation knows are refused.
    pub documented_parameters: bool,
    /// Customers' names must be letters, spaces, hyphens and apostrophes, 25 at most; else the item fails.
    pub strict_names: bool,
    /// `imconnector.send.status.delivery` insists on numbers and an array where the documentation shows them.
    pub strict_delivery_types: bool,
    /// `imconnector.activate` wipes what `connector.data.set` wrote, and without that no message passes.
    pub activate_wipes_data: bool,
    /// A repeated `message.id` within a chat makes no second bubble.
    pub deduplicate: bool,
    /// `imopenlines.config.update` ignores `QUEUE`.
    pub queue_update_ignored: bool,
    /// A refresh makes the refresh tokens before it useless.
    pub one_refresh_token: bool,
    /// Line breaks of operators' texts are sent as `[br]`.
    pub line_breaks_as_tags: bool,
    /// Files of events carry `downloadLink`.
    pub download_links: bool,
    /// The log of calls keeps parameters.
    pub record_parameters: bool,
    /// The bytes of a fetched file are kept up to this size.
    pub bytes_kept: usize,
    /// How long the portal waits for a file.
    pub file_timeout: Duration,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            language: "en",
            requests: Some(RequestLimit::default()),
            operating: Some(Duration::from_mins(8)),
            operating_cost: Duration::ZERO,
            sending_period: Duration::from_mins(1),
            documented_parameters: true,
            strict_names: true,
            strict_delivery_types: true,
            activate_wipes_data: true,
            deduplicate: false,
            queue_update_ignored: false,
            one_refresh_token: true,
            line_breaks_as_tags: false,
            download_links: true,
            record_parameters: false,
            bytes_kept: 16 * 1024 * 1024,
            file_timeout: Duration::from_secs(20),
        }
    }
}

/// A link shown at the top of the operator's page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Its text.
    pub label: String,
    /// Its address.
    pub url: String,
}

/// Something changed: what the operator's page listens to.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Change {
    pub(crate) portal: u32,
    pub(crate) chat: Option<i64>,
}

/// What all portals of a process share.
pub(crate) struct World {
    pub(crate) url: String,
    host: String,
    address: SocketAddr,
    pub(crate) clock: Clock,
    pub(crate) caller: Caller,
    pub(crate) events: Events,
    pub(crate) links: RwLock<Vec<Link>>,
    pub(crate) feed: broadcast::Sender<Change>,
    pub(crate) closing: CancellationToken,
    pub(crate) runtime: Handle,
    changed: Notify,
    portals: RwLock<Vec<Arc<Inner>>>,
    behaviour: Behaviour,
}

impl World {
    /// Wakes everybody who waits for something to happen.
    pub(crate) fn changed(&self, portal: u32, chat: Option<i64>) {
        self.changed.notify_waiters();
        // Nobody may be listening.
        let _ = self.feed.send(Change { portal, chat });
    }

    /// The portal with a number.
    pub(crate) fn portal(self: &Arc<Self>, number: u32) -> Option<Portal> {
        let portals = self.portals.read().unwrap_or_else(PoisonError::into_inner);
        let inner = portals.get(number.checked_sub(1)? as usize)?.clone();
        Some(Portal {
            world: self.clone(),
            inner,
            alive: None,
        })
    }

    /// All portals, in the order they were added.
    pub(crate) fn all(self: &Arc<Self>) -> Vec<Portal> {
        let portals = self.portals.read().unwrap_or_else(PoisonError::into_inner);
        portals
            .iter()
            .map(|inner| Portal {
                world: self.clone(),
                inner: inner.clone(),
                alive: None,
            })
            .collect()
    }
}

/// Stops everything when the last handle is gone.
struct Alive(CancellationToken);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// A process full of portals, with their authorization server. Clones share it; it stops with the last of them.
#[derive(Clone)]
pub struct Portals {
    world: Arc<World>,
    alive: Arc<Alive>,
}

impl fmt::Debug for Portals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Portals")
            .field("url", &self.world.url)
            .finish_non_exhaustive()
    }
}

impl Portals {
    /// Starts listening. There is no portal yet.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        let closing = CancellationToken::new();
        let host = settings.host.unwrap_or_else(|| match address {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        });
        let world = Arc::new(World {
            url: format!("http://{host}:{}", address.port()),
            host,
            address,
            clock: Clock::new(settings.clock),
            caller: Caller::new(settings.http),
            events: Events::new(settings.events_at_once),
            links: RwLock::default(),
            feed: broadcast::channel(1024).0,
            closing: closing.clone(),
            runtime: Handle::current(),
            changed: Notify::new(),
            portals: RwLock::default(),
            behaviour: settings.behaviour,
        });
        serve(&world, listener);
        tokio::spawn(people::turn_red(world.clone()));
        Ok(Self {
            world,
            alive: Arc::new(Alive(closing)),
        })
    }

    /// The address of the operator's page: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.world.url.clone()
    }

    /// The base of the authorization server: `/oauth/token/` and `/rest/app.info` answer below it.
    pub fn oauth_url(&self) -> String {
        self.world.url.clone()
    }

    /// Stops listening and cuts the connections. Portals can still be looked at.
    pub fn stop(&self) {
        self.alive.0.cancel();
    }

    /// Adds a portal.
    pub fn add(&self, name: &str) -> Portal {
        let mut portals = self
            .world
            .portals
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let number = portals.len() as u32 + 1;
        let inner = Arc::new(Inner {
            number,
            name: name.to_owned(),
            member_id: uuid::Uuid::new_v4().simple().to_string(),
            address: RwLock::new(self.world.address),
            behaviour: RwLock::new(self.world.behaviour),
            faults: Faults::default(),
            state: Mutex::new(State::new()),
        });
        portals.push(inner.clone());
        Portal {
            world: self.world.clone(),
            inner,
            alive: Some(self.alive.clone()),
        }
    }

    /// All portals, in the order they were added.
    pub fn all(&self) -> Vec<Portal> {
        let mut portals = self.world.all();
        for portal in &mut portals {
            portal.alive = Some(self.alive.clone());
        }
        portals
    }

    /// The links shown on the operator's page, for instance to the customer's phone.
    pub fn set_links(&self, links: Vec<Link>) {
        *self
            .world
            .links
            .write()
            .unwrap_or_else(PoisonError::into_inner) = links;
    }

    /// Moves the clock forward: tokens expire, buckets drain, messages turn red.
    pub fn advance(&self, by: Duration) {
        self.world.clock.advance(by);
        self.world.events.marks.changed.notify_one();
        self.world.changed(0, None);
    }

    /// How many events have not been sent yet, over all portals.
    pub fn events_waiting(&self) -> usize {
        self.world.events.waiting()
    }

    /// Waits until `condition` is true, looking at it whenever something has changed; `false` where the time ran out.
    pub async fn wait_until(&self, condition: impl Fn(&Self) -> bool, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        loop {
            let changed = self.world.changed.notified();
            tokio::pin!(changed);
            // Interest is registered before looking, so that a change in between is not missed.
            changed.as_mut().enable();
            if condition(self) {
                return true;
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(deadline) => return condition(self),
            }
        }
    }
}

/// Serves the world on a listener until it closes.
fn serve(world: &Arc<World>, listener: TcpListener) {
    let door = Door::new(listener, world.closing.clone());
    let service = rest::router(world.clone()).into_make_service_with_connect_info::<wire::Peer>();
    let closing = world.closing.clone().cancelled_owned();
    world.runtime.spawn(async move {
        // Accepting never fails for good, so the only end is the shutdown.
        let _ = axum::serve(door, service)
            .with_graceful_shutdown(closing)
            .await;
    });
}

/// What one portal is.
pub(crate) struct Inner {
    pub(crate) number: u32,
    pub(crate) name: String,
    pub(crate) member_id: String,
    address: RwLock<SocketAddr>,
    behaviour: RwLock<Behaviour>,
    pub(crate) faults: Faults,
    state: Mutex<State>,
}

/// One portal. Clones share it.
#[derive(Clone)]
pub struct Portal {
    pub(crate) world: Arc<World>,
    pub(crate) inner: Arc<Inner>,
    /// Keeps the process running for handles given out; the server's own handles do not.
    alive: Option<Arc<Alive>>,
}

impl fmt::Debug for Portal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Portal")
            .field("number", &self.inner.number)
            .finish_non_exhaustive()
    }
}

impl Portal {
    /// The portal's number, from 1: the `N` of its addresses.
    pub fn number(&self) -> u32 {
        self.inner.number
    }

    /// The name it was added with.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The portal's stable identity, 32 hexadecimal digits.
    pub fn member_id(&self) -> &str {
        &self.inner.member_id
    }

    /// Host and port; changes with [`Portal::rename`].
    pub fn domain(&self) -> String {
        format!("{}:{}", self.world.host, self.port())
    }

    /// The portal's address without a slash at its end: `http://HOST:PORT/p/N`.
    pub fn address(&self) -> String {
        format!("http://{}/p/{}", self.domain(), self.inner.number)
    }

    /// Where its REST methods are: `http://HOST:PORT/p/N/rest/`.
    pub fn client_endpoint(&self) -> String {
        format!("{}/rest/", self.address())
    }

    /// What the authorization server's REST is called in events: `http://HOST:PORT/rest/`.
    pub fn server_endpoint(&self) -> String {
        format!("{}/rest/", self.world.url)
    }

    /// What goes wrong with this portal.
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// What this portal is like.
    pub fn behaviour(&self) -> Behaviour {
        *self
            .inner
            .behaviour
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what this portal is like.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(
            &mut self
                .inner
                .behaviour
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// The chats, oldest first. Copies every message; where only numbers matter, [`Portal::counters`] costs nothing.
    pub fn chats(&self) -> Vec<Chat> {
        let (now, period) = self.now_and_period();
        let state = self.lock();
        state
            .chats
            .values()
            .map(|chat| state.chat_view(chat, now, period))
            .collect()
    }

    /// One chat.
    pub fn chat(&self, chat: impl Into<ChatRef>) -> Option<Chat> {
        let (now, period) = self.now_and_period();
        let state = self.lock();
        let id = people::resolve(&state, &chat.into())?;
        Some(state.chat_view(state.chats.get(&id)?, now, period))
    }

    /// One message.
    pub fn message(&self, id: i64) -> Option<Message> {
        let (now, period) = self.now_and_period();
        let state = self.lock();
        Some(State::message_view(state.messages.get(&id)?, now, period))
    }

    /// Whether the event about an operator's message was answered with success. Those that were not are lost, because a
    /// portal sends an event once.
    pub fn event_acknowledged(&self, message: i64) -> bool {
        self.lock().acknowledged.contains(&message)
    }

    /// The bytes of a file, where they were kept.
    pub fn file_bytes(&self, id: i64) -> Option<bytes::Bytes> {
        self.lock().files.get(&id)?.bytes.clone()
    }

    /// The open lines.
    pub fn lines(&self) -> Vec<Line> {
        self.lock().lines.iter().map(State::line_view).collect()
    }

    /// The registered connectors.
    pub fn connectors(&self) -> Vec<Connector> {
        let wipes = self.behaviour().activate_wipes_data;
        let state = self.lock();
        state
            .connectors
            .iter()
            .map(|(id, connector)| state.connector_view(id, connector, wipes))
            .collect()
    }

    /// The bound event handlers.
    pub fn handlers(&self) -> Vec<Handler> {
        self.lock().handlers.clone()
    }

    /// The bound placements.
    pub fn placements(&self) -> Vec<Placement> {
        self.lock().placements.clone()
    }

    /// The employees.
    pub fn users(&self) -> Vec<User> {
        self.lock().users.values().cloned().collect()
    }

    /// The CRM leads.
    pub fn leads(&self) -> Vec<Lead> {
        self.lock().leads.values().cloned().collect()
    }

    /// Calls of telephone systems, in the order in which they were registered.
    pub fn phone_calls(&self) -> Vec<PhoneCall> {
        self.lock().phone_calls.values().cloned().collect()
    }

    /// The messages handed to SMS providers.
    pub fn sms(&self) -> Vec<Sms> {
        self.lock().sms.values().cloned().collect()
    }

    /// The last 10,000 REST calls, oldest first. Parameters are in it while [`Behaviour::record_parameters`] is on.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.iter().cloned().collect()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.lock().counters.clone()
    }

    /// The parameters that were sent although no documentation knows them, as `method: parameter`.
    pub fn undocumented_parameters(&self) -> Vec<String> {
        self.lock().undocumented.clone()
    }

    /// Whether a client secret was ever sent to the portal, where it must never go.
    pub fn secret_seen(&self) -> bool {
        self.lock().secret_seen
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The time in milliseconds and the period after which a message turns red.
    pub(crate) fn now_and_period(&self) -> (u64, u64) {
        (
            self.world.clock.milliseconds(),
            self.behaviour().sending_period.as_millis() as u64,
        )
    }

    pub(crate) fn changed(&self, chat: Option<i64>) {
        self.world.changed(self.inner.number, chat);
    }

    pub(crate) fn moved_to(&self, address: SocketAddr) {
        *self
            .inner
            .address
            .write()
            .unwrap_or_else(PoisonError::into_inner) = address;
    }

    pub(crate) fn port(&self) -> u16 {
        self.inner
            .address
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .port()
    }
}
