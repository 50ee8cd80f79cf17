//! The event queue: how a portal tells an application that something happened.
//!
//! Each chat is a lane. A lane sends one event after the other, different lanes at the same time, at most so many over
//! all portals. An event is sent once: whatever the handler answers, and whether it answers at all, it is not sent again
//! (Bitrix24: events).

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, Semaphore};
use url::Url;

use super::{
    Fault, Inner, Portal, World,
    caller::{EVENT_AGENT, Outgoing},
    php::{Value, map},
    state::{App, State, Token},
};

/// How long a handler may take before the event counts as lost.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an access token lives, in seconds.
pub(crate) const TOKEN_LIFETIME: i64 = 3600;

/// A portal and a chat; chat 0 for what belongs to none.
type LaneKey = (u32, i64);

/// One event on its way to one handler.
struct Job {
    /// Not the portal's handle: a job that waits must not keep the process running.
    inner: Arc<Inner>,
    url: Url,
    body: String,
    content_type: &'static str,
    delay: Option<Duration>,
    /// The operator's message it tells of.
    message: Option<i64>,
}

/// The events of one chat that wait.
#[derive(Default)]
struct Lane {
    queue: VecDeque<Job>,
    /// Held until the next one has been sent.
    held: VecDeque<Job>,
    running: bool,
}

/// When a message turns red: the time in milliseconds, its portal, chat and id.
pub(crate) type Mark = (u64, u32, i64, i64);

/// When messages turn red, the next one first.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    pub(crate) due: Mutex<BinaryHeap<Reverse<Mark>>>,
    pub(crate) changed: Notify,
}

impl Marks {
    /// Remembers when a message turns red.
    pub(crate) fn push(&self, due: u64, portal: u32, chat: i64, message: i64) {
        let mut marks = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let is_next = marks.peek().is_none_or(|Reverse((next, ..))| due < *next);
        marks.push(Reverse((due, portal, chat, message)));
        if is_next {
            self.changed.notify_one();
        }
    }
}

/// The queue of all portals.
pub(crate) struct Events {
    lanes: Mutex<HashMap<LaneKey, Lane>>,
    at_once: Semaphore,
    pub(crate) marks: Marks,
}

/// Something that happened on a portal.
pub(crate) struct Happening<'a> {
    /// The event's name, upper case.
    pub(crate) name: &'a str,
    /// Its data.
    pub(crate) data: Value,
    /// The chat it belongs to; 0 for none.
    pub(crate) chat: i64,
    /// The employee who caused it; nobody for automation.
    pub(crate) user: Option<i64>,
    /// The only application that is told; all that are bound where it is missing.
    pub(crate) only: Option<&'a str>,
}

impl Events {
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            lanes: Mutex::default(),
            at_once: Semaphore::new(at_once.max(1)),
            marks: Marks::default(),
        }
    }

    /// How many events have not been sent; those held back do not count, since they may never be.
    pub(crate) fn waiting(&self) -> usize {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes
            .values()
            .map(|lane| lane.queue.len() + usize::from(lane.running))
            .sum()
    }

    /// Puts a job into its lane and sets the lane going.
    fn push(&self, world: &Arc<World>, key: LaneKey, job: Job, hold: bool) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(key).or_default();
        if hold {
            lane.held.push_back(job);
            return;
        }
        lane.queue.push_back(job);
        let held = std::mem::take(&mut lane.held);
        lane.queue.extend(held);
        if !lane.running {
            lane.running = true;
            world.runtime.spawn(drain(world.clone(), key));
        }
    }

    fn next(&self, key: LaneKey) -> Option<Job> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.get_mut(&key)?;
        if let Some(job) = lane.queue.pop_front() {
            return Some(job);
        }
        lane.running = false;
        if lane.held.is_empty() {
            lanes.remove(&key);
        }
        None
    }
}

/// Sends the events of one lane until there are none.
async fn drain(world: Arc<World>, key: LaneKey) {
    while let Some(job) = world.events.next(key) {
        if world.closing.is_cancelled() {
            return;
        }
        send(&world, job).await;
    }
    world.changed(key.0, None);
}

async fn send(world: &World, job: Job) {
    if let Some(delay) = job.delay {
        tokio::time::sleep(delay).await;
    }
    // The semaphore is never closed; without a permit the event would simply go at once.
    let _permit = world.events.at_once.acquire().await.ok();
    let status = post(world, &job.url, job.content_type, job.body.as_bytes()).await;
    let mut state = job
        .inner
        .state
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    match status {
        Some(200..300) => {
            state.counters.events_accepted += 1;
            state.acknowledged.extend(job.message);
        }
        _ => state.counters.events_lost += 1,
    }
    drop(state);
    world.changed(job.inner.number, None);
}

/// Posts a body to a handler; the status, if there was an answer.
pub(crate) async fn post(
    world: &World,
    url: &Url,
    content_type: &'static str,
    body: &[u8],
) -> Option<u16> {
    let agent = EVENT_AGENT;
    let content_type = Some(content_type);
    let request = Outgoing {
        method: "POST",
        url,
        agent,
        content_type,
        body,
        timeout: HANDLER_TIMEOUT,
    };
    world
        .caller
        .call(request, &mut |_| {})
        .await
        .ok()
        .map(|head| head.status)
}

/// The operator's message that the data of an event tell of.
fn told_message(data: &Value) -> Option<i64> {
    let messages = data.get("MESSAGES")?.elements();
    messages.first()?.get("im")?.integer_of("message_id")
}

/// The type of a form body.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

impl Portal {
    /// Tells every bound handler of the applications concerned. Only applications that are fully installed hear.
    pub(crate) fn fire(&self, state: &mut State, happening: &Happening<'_>) {
        let handlers: Vec<(i64, String, String)> = state
            .handlers
            .iter()
            .filter(|handler| handler.event == happening.name)
            .filter(|handler| happening.only.is_none_or(|only| only == handler.client_id))
            .map(|handler| {
                (
                    handler.id,
                    handler.handler.clone(),
                    handler.client_id.clone(),
                )
            })
            .collect();
        for (id, url, client_id) in handlers {
            let installed = state.apps.get(&client_id).is_some_and(|app| app.installed);
            if installed && let Ok(url) = Url::parse(&url) {
                self.enqueue(state, happening, id, &url, &client_id);
            }
        }
    }

    fn enqueue(
        &self,
        state: &mut State,
        happening: &Happening<'_>,
        id: i64,
        url: &Url,
        client_id: &str,
    ) {
        let external = state
            .chats
            .get(&happening.chat)
            .map(|chat| chat.external_id.clone())
            .unwrap_or_default();
        let event = happening.name.to_ascii_lowercase();
        let strikes = |fault| {
            self.inner
                .faults
                .strikes(fault, &event, &[external.as_str()])
        };
        if strikes(Fault::EventDropped) {
            state.counters.events_dropped += 1;
            return;
        }
        let user = happening.user.filter(|_| !strikes(Fault::EventWithoutUser));
        let body = map([
            ("event", happening.name.into()),
            ("event_handler_id", id.into()),
            ("data", happening.data.clone()),
            ("ts", self.world.clock.seconds().into()),
            ("auth", self.event_auth(state, client_id, user)),
        ]);
        let (body, content_type) = if strikes(Fault::EventJson) {
            (
                body.stringly().unwrap_or(Value::Null).to_json().to_string(),
                JSON,
            )
        } else {
            (body.to_form(), FORM)
        };
        let delay = self
            .inner
            .faults
            .delay(Fault::EventLate, &event, &[external.as_str()]);
        let (twice, hold) = (
            strikes(Fault::EventDuplicated),
            strikes(Fault::EventSwapped),
        );
        let key = (self.inner.number, happening.chat);
        let message = (happening.name == "ONIMCONNECTORMESSAGEADD")
            .then(|| told_message(&happening.data))
            .flatten();
        for _ in 0..=usize::from(twice) {
            let job = Job {
                inner: self.inner.clone(),
                url: url.clone(),
                body: body.clone(),
                content_type,
                delay,
                message,
            };
            self.world.events.push(&self.world, key, job, hold);
        }
    }

    /// The `auth` block of an event: never with a refresh token, and without any token where nobody acted.
    pub(crate) fn event_auth(
        &self,
        state: &mut State,
        client_id: &str,
        user: Option<i64>,
    ) -> Value {
        let token = user.map(|user| (user, self.event_token(state, client_id, user)));
        let Some(app) = state.apps.get(client_id) else {
            return Value::Null;
        };
        let Some((user, (token, expires))) = token else {
            return self.origin(app);
        };
        let mut auth = map([
            ("access_token", token.into()),
            ("expires", expires.into()),
            ("expires_in", TOKEN_LIFETIME.into()),
            ("scope", app.scope.join(",").into()),
            ("status", "L".into()),
            ("user_id", user.into()),
        ]);
        for (key, value) in self.origin(app).entries() {
            auth.set(&key, value.clone());
        }
        auth
    }

    /// What every `auth` block holds: where the portal is and the proof that it is the portal.
    pub(crate) fn origin(&self, app: &App) -> Value {
        map([
            ("domain", self.domain().into()),
            ("server_endpoint", self.server_endpoint().into()),
            ("client_endpoint", self.client_endpoint().into()),
            ("member_id", self.inner.member_id.as_str().into()),
            ("application_token", app.application_token.as_str().into()),
        ])
    }

    /// The token of the employee who acted; the same for as long as it is good.
    fn event_token(&self, state: &mut State, client_id: &str, user: i64) -> (String, i64) {
        let now = self.world.clock.seconds();
        let known = state
            .apps
            .get(client_id)
            .and_then(|app| app.event_tokens.get(&user));
        if let Some((token, expires)) = known
            && *expires > now + 60
        {
            return (token.clone(), *expires);
        }
        let (token, expires) = self.new_token(state, client_id, user);
        if let Some(app) = state.apps.get_mut(client_id) {
            app.event_tokens.insert(user, (token.clone(), expires));
        }
        (token, expires)
    }

    /// Issues an access token; it names its portal, so that the authorization server finds it.
    pub(crate) fn new_token(&self, state: &mut State, client_id: &str, user: i64) -> (String, i64) {
        let token = self.secret();
        let expires_at = self.world.clock.seconds() + TOKEN_LIFETIME;
        state.tokens.insert(
            token.clone(),
            Token {
                client_id: client_id.to_owned(),
                user,
                expires_at,
            },
        );
        (token, expires_at)
    }

    /// 40 hexadecimal digits, the first eight of which are the portal's number.
    pub(crate) fn secret(&self) -> String {
        format!("{:08x}{}", self.inner.number, uuid::Uuid::new_v4().simple())
    }
}
