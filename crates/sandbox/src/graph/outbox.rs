//! The webhook sender: queues in order, signs, repeats what was not answered with 200, loses nothing.
//!
//! Each application and business number has its own lanes; a lane delivers one POST at a time, in order, and a
//! customer is always in the same lane. An update that the receiver refuses (4xx) twice leaves its lane and is
//! repeated by itself, so that it holds up nobody; one that cannot be delivered (no connection, 5xx) holds its lane,
//! so that order survives a restart of the receiver. While updates are gathered they all share one lane for each
//! application, across numbers.

use super::{
    HandshakeError, Shared, Signature, escape,
    faults::{Fault, Place},
    world::{Direction, Progress, World},
};
use bytes::Bytes;
use serde_json::Value;
use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use url::Url;

/// Meta puts at most so many updates into one POST.
const BATCH_LIMIT: usize = 1000;
/// Updates of one kind and number that share one `value`, as Meta sometimes does.
const PER_VALUE: usize = 3;
/// How long gathering waits for more, and how long a reversal waits for something to reverse.
const GATHER: Duration = Duration::from_millis(100);
const REVERSE: Duration = Duration::from_millis(30);

/// The content of an update, written as Meta writes it.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// A message, with the contact it comes from.
    Message {
        contact: Option<String>,
        message: String,
    },
    /// A status.
    Status(String),
    /// The whole `value` of another field.
    Field { field: String, value: String },
}

/// One thing to tell one application.
#[derive(Clone, Debug)]
struct Update {
    account: Arc<str>,
    number: Arc<str>,
    digits: Arc<str>,
    part: Part,
    person: Option<usize>,
    message: Option<usize>,
    about: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct LaneKey {
    app: Arc<str>,
    number: Arc<str>,
    slot: usize,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Update>,
    running: bool,
}

/// The queues.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    lanes: Mutex<HashMap<LaneKey, Lane>>,
    kick: watch::Sender<u64>,
}

impl Outbox {
    /// Ends every pause between two tries.
    pub(super) fn kick(&self) {
        self.kick
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, HashMap<LaneKey, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self, key: &LaneKey) -> usize {
        self.lanes().get(key).map_or(0, |lane| lane.waiting.len())
    }

    /// Takes what is to be delivered next; with nothing left the lane's worker has to end.
    fn take(&self, key: &LaneKey, most: usize) -> Vec<Update> {
        let mut lanes = self.lanes();
        let Some(lane) = lanes.get_mut(key) else {
            return Vec::new();
        };
        if lane.waiting.is_empty() {
            lane.running = false;
        }
        let count = most.min(lane.waiting.len());
        lane.waiting.drain(..count).collect()
    }
}

/// Queues an update about a message for every application that is subscribed to the number's account.
pub(super) fn push(
    shared: &Arc<Shared>,
    world: &mut World,
    number: &Arc<str>,
    person: usize,
    message: usize,
    part: Part,
    about: String,
) {
    let (account, digits) = match world.numbers.get(number) {
        Some(found) => (Arc::clone(&found.account), Arc::clone(&found.digits)),
        None => (Arc::clone(&world.first_account), Arc::clone(number)),
    };
    let update = Update {
        account,
        number: Arc::clone(number),
        digits,
        part,
        person: Some(person),
        message: Some(message),
        about,
    };
    queue(shared, world, update);
}

/// Queues the value of any other field.
pub(super) fn push_field(
    shared: &Arc<Shared>,
    world: &mut World,
    account: &str,
    field: &str,
    value: &Value,
) {
    let update = Update {
        account: account.into(),
        number: "".into(),
        digits: "".into(),
        part: Part::Field {
            field: field.to_owned(),
            value: escape::ascii(value),
        },
        person: None,
        message: None,
        about: field.to_owned(),
    };
    queue(shared, world, update);
}

fn queue(shared: &Arc<Shared>, world: &mut World, update: Update) {
    let field = match &update.part {
        Part::Message { .. } | Part::Status(_) => "messages",
        Part::Field { field, .. } => field,
    };
    // An application in Development mode is told nothing real, and nobody is told of fields not asked for.
    let hears = |app: &&Arc<str>| {
        world.apps.get(*app).is_none_or(|app| {
            let asked = app.fields.as_ref();
            app.live && asked.is_none_or(|fields| fields.contains(field))
        })
    };
    let apps: Vec<Arc<str>> = world
        .accounts
        .get(&update.account)
        .map(|account| account.subscribed.keys().filter(hears).cloned().collect())
        .unwrap_or_default();
    if apps.is_empty() {
        world.counters.updates_unsubscribed += 1;
    }
    let gathered = shared
        .faults
        .peek(Fault::WebhookBatched(0), &Place::default())
        .is_some();
    world.counters.updates += apps.len() as u64;
    let lanes = shared.settings.webhook_lanes.max(1);
    let key = |app: &Arc<str>| LaneKey {
        app: Arc::clone(app),
        number: if gathered {
            "".into()
        } else {
            Arc::clone(&update.number)
        },
        slot: if gathered {
            0
        } else {
            update.person.unwrap_or(0) % lanes
        },
    };
    let Some((last, others)) = apps.split_last() else {
        return;
    };
    for app in others {
        enter(shared, key(app), update.clone());
    }
    enter(shared, key(last), update);
}

/// Puts an update into a lane and starts the lane's worker if it rests.
fn enter(shared: &Arc<Shared>, key: LaneKey, update: Update) {
    let mut lanes = shared.outbox.lanes();
    let lane = lanes.entry(key.clone()).or_default();
    lane.waiting.push_back(update);
    if std::mem::replace(&mut lane.running, true) {
        return;
    }
    let worker = drain(Arc::clone(shared), key);
    let cancel = shared.cancel.clone();
    shared.runtime.spawn(async move {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = worker => {}
        }
    });
}

/// Delivers what is in a lane until it is empty.
async fn drain(shared: Arc<Shared>, key: LaneKey) {
    loop {
        wait_while_held(&shared, &key).await;
        let (most, reverse) = gather(&shared, &key).await;
        let mut updates = shared.outbox.take(&key, most);
        if updates.is_empty() {
            return;
        }
        if !reverse {
            deliver_groups(&shared, &key, updates).await;
            continue;
        }
        updates.reverse();
        for update in updates {
            deliver_groups(&shared, &key, vec![update]).await;
        }
    }
}

async fn wait_while_held(shared: &Shared, key: &LaneKey) {
    let place = Place {
        phone_number_id: Some(&key.number),
        customer: &[],
    };
    let mut changed = shared.changed.subscribe();
    while shared.faults.peek(Fault::WebhookHeld, &place).is_some() {
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// How many updates go next, and whether last first; waits for more where a fault asks for it.
async fn gather(shared: &Shared, key: &LaneKey) -> (usize, bool) {
    let usual = shared.settings.webhook_gather.clamp(1, BATCH_LIMIT);
    if !shared.faults.any() || shared.outbox.waiting(key) == 0 {
        return (usual, false);
    }
    let place = Place {
        phone_number_id: Some(&key.number),
        customer: &[],
    };
    if let Some(Fault::WebhookBatched(most)) =
        shared.faults.strike(Fault::WebhookBatched(0), &place)
    {
        let most = most.clamp(1, BATCH_LIMIT);
        let mut changed = shared.changed.subscribe();
        let full = async {
            while shared.outbox.waiting(key) < most {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        // Whichever comes first: enough updates or the end of the wait.
        let _ = tokio::time::timeout(GATHER, full).await;
        return (most, false);
    }
    if shared
        .faults
        .strike(Fault::WebhookReordered, &place)
        .is_some()
    {
        tokio::time::sleep(REVERSE).await;
        return (BATCH_LIMIT, true);
    }
    (usual, false)
}

/// Delivers the updates, one POST for each callback they go to.
async fn deliver_groups(shared: &Arc<Shared>, key: &LaneKey, updates: Vec<Update>) {
    if updates.len() == 1 {
        return deliver(shared, key, updates, 0).await;
    }
    let mut groups: Vec<(Option<Url>, Vec<Update>)> = Vec::new();
    for update in updates {
        let target = target(shared, key, &update).map(|target| target.callback);
        match groups.iter_mut().find(|(callback, _)| *callback == target) {
            Some((_, group)) => group.push(update),
            None => groups.push((target, vec![update])),
        }
    }
    for (_, group) in groups {
        deliver(shared, key, group, 0).await;
    }
}

struct Target {
    callback: Url,
    secret: String,
}

/// Where an update goes: the number's callback before the account's before the application's, for messages; all other
/// fields go to the application's. The signature is always by the application's secret.
fn target(shared: &Shared, key: &LaneKey, update: &Update) -> Option<Target> {
    let world = shared.world();
    let app = world.apps.get(&key.app)?;
    let of_message = !matches!(update.part, Part::Field { .. });
    let of_number = || world.numbers.get(&update.number)?.callback.clone();
    let of_account = || {
        world
            .accounts
            .get(&update.account)?
            .subscribed
            .get(&key.app)?
            .clone()
    };
    let callback = of_message
        .then(|| of_number().or_else(of_account))
        .flatten()
        .map(|found| found.callback)
        .or_else(|| app.callback.clone())?;
    Some(Target {
        callback,
        secret: app.secret.clone(),
    })
}

/// Posts until it is answered with 200. `failures` counts the tries that were made already.
async fn deliver(shared: &Arc<Shared>, key: &LaneKey, updates: Vec<Update>, mut failures: u32) {
    let body = body(&updates);
    let started = Instant::now();
    let mut kick = shared.outbox.kick.subscribe();
    loop {
        kick.borrow_and_update();
        let Some(target) = target(shared, key, &updates[0]) else {
            if kick.changed().await.is_err() {
                return;
            }
            continue;
        };
        if let Some(Fault::WebhookLate(time)) =
            strike(shared, Fault::WebhookLate(Duration::ZERO), &updates)
        {
            tokio::time::sleep(time).await;
        }
        let status = attempt(shared, &target, &body, &updates, failures).await;
        if status == Some(200) {
            if strike(shared, Fault::WebhookDuplicate, &updates).is_some() {
                attempt(shared, &target, &body, &updates, failures + 1).await;
            }
            return accept(shared, &updates);
        }
        failures += 1;
        if started.elapsed() > shared.settings.retry.give_up {
            shared.world().counters.updates_given_up += updates.len() as u64;
            return shared.bump();
        }
        let refused = status.is_some_and(|status| (400..500).contains(&status));
        if refused && failures == 2 {
            return step_aside(shared, key, updates, failures);
        }
        let pause = pause_after(shared, failures);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = kick.changed() => {}
        }
    }
}

/// Leaves the lane to the others and goes on trying.
fn step_aside(shared: &Arc<Shared>, key: &LaneKey, updates: Vec<Update>, failures: u32) {
    let (shared_here, key) = (Arc::clone(shared), key.clone());
    shared.runtime.spawn(async move {
        let cancel = shared_here.cancel.clone();
        let later = async {
            let mut kick = shared_here.outbox.kick.subscribe();
            tokio::select! {
                () = tokio::time::sleep(pause_after(&shared_here, failures)) => {}
                _ = kick.changed() => {}
            }
            Box::pin(deliver(&shared_here, &key, updates, failures)).await;
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            () = later => {}
        }
    });
}

/// None after the first failure, then twice as long each time.
fn pause_after(shared: &Shared, failures: u32) -> Duration {
    let retry = shared.settings.retry;
    match failures {
        0 | 1 => Duration::ZERO,
        more => retry
            .first
            .saturating_mul(1 << (more - 2).min(20))
            .min(retry.longest),
    }
}

/// One POST; the status, or nothing if there was no answer.
async fn attempt(
    shared: &Shared,
    target: &Target,
    body: &[u8],
    updates: &[Update],
    attempt: u32,
) -> Option<u16> {
    let signature = if strike(shared, Fault::WebhookUnsigned, updates).is_some() {
        Signature::Missing
    } else if strike(shared, Fault::WebhookWrongSignature, updates).is_some() {
        Signature::Wrong
    } else {
        Signature::Right
    };
    let status = post(shared, target, body, signature).await.ok();
    let mut world = shared.world();
    world.counters.webhooks_posted += 1;
    if status == Some(200) {
        world.counters.webhooks_accepted += 1;
    }
    let about = match updates {
        [only] => only.about.clone(),
        several => format!("{} updates", several.len()),
    };
    world.note_webhook(about, status, attempt);
    drop(world);
    shared.bump();
    status
}

async fn post(
    shared: &Shared,
    target: &Target,
    body: &[u8],
    signature: Signature,
) -> io::Result<u16> {
    let value = match signature {
        Signature::Right => format!("sha256={}", escape::hmac(&target.secret, body)),
        Signature::Wrong => format!("sha256={}", escape::hmac("another secret", body)),
        Signature::Missing => String::new(),
    };
    let mut headers = vec![
        ("Content-Type", "application/json"),
        ("Accept", "*/*"),
        ("User-Agent", "facebookexternalua"),
    ];
    if signature != Signature::Missing {
        headers.push(("X-Hub-Signature-256", value.as_str()));
    }
    let limit = shared.settings.webhook_timeout;
    let answer = shared
        .wire
        .send("POST", &target.callback, &headers, body, limit)
        .await?;
    Ok(answer.status)
}

fn accept(shared: &Shared, updates: &[Update]) {
    let mut world = shared.world();
    world.counters.updates_accepted += updates.len() as u64;
    for message in updates.iter().filter_map(|update| update.message) {
        let message = &mut world.messages[message];
        message.reported += 1;
        if message.direction == Direction::FromCustomer && message.progress == Progress::Accepted {
            message.progress = Progress::Delivered;
        }
    }
    drop(world);
    shared.bump();
}

/// Whether a fault strikes one of the updates.
fn strike(shared: &Shared, kind: Fault, updates: &[Update]) -> Option<Fault> {
    if !shared.faults.any() {
        return None;
    }
    let world = shared.world();
    updates.iter().find_map(|update| {
        let person = update.person.map(|person| &world.persons[person]);
        let names: Vec<&str> = person
            .iter()
            .flat_map(|person| [Some(person.user_id.as_str()), person.phone.as_deref()])
            .flatten()
            .collect();
        let place = Place {
            phone_number_id: Some(&update.number),
            customer: &names,
        };
        shared.faults.strike(kind, &place)
    })
}

/// The bytes of a POST: entries by account, changes by number, up to three updates of one kind in a value.
fn body(updates: &[Update]) -> Vec<u8> {
    let mut text = String::from(r#"{"object":"whatsapp_business_account","entry":["#);
    for (position, entry) in updates
        .chunk_by(|one, next| one.account == next.account)
        .enumerate()
    {
        if position > 0 {
            text.push(',');
        }
        let account = escape::quoted(&entry[0].account);
        let _ = write!(text, r#"{{"id":{account},"changes":["#);
        let changes = entry
            .chunk_by(joinable)
            .flat_map(|run| run.chunks(PER_VALUE));
        for (position, change) in changes.enumerate() {
            if position > 0 {
                text.push(',');
            }
            write_change(&mut text, change);
        }
        text.push_str("]}");
    }
    text.push_str("]}");
    text.into_bytes()
}

fn joinable(one: &Update, next: &Update) -> bool {
    let same_kind = matches!(
        (&one.part, &next.part),
        (Part::Message { .. }, Part::Message { .. }) | (Part::Status(_), Part::Status(_))
    );
    same_kind && one.number == next.number
}

fn write_change(text: &mut String, change: &[Update]) {
    let first = &change[0];
    if let Part::Field { field, value } = &first.part {
        let field = escape::quoted(field);
        let _ = write!(text, r#"{{"value":{value},"field":{field}}}"#);
        return;
    }
    let _ = write!(
        text,
        r#"{{"value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":{},"phone_number_id":{}}}"#,
        escape::quoted(&first.digits),
        escape::quoted(&first.number)
    );
    let mut contacts: Vec<&str> = Vec::new();
    let mut messages: Vec<&str> = Vec::new();
    let mut statuses: Vec<&str> = Vec::new();
    for update in change {
        match &update.part {
            Part::Message { contact, message } => {
                messages.push(message);
                contacts.extend(contact.as_deref().filter(|one| !contacts.contains(one)));
            }
            Part::Status(status) => statuses.push(status),
            Part::Field { .. } => {}
        }
    }
    for (name, items) in [
        ("contacts", contacts),
        ("messages", messages),
        ("statuses", statuses),
    ] {
        if !items.is_empty() {
            let _ = write!(text, r#","{name}":[{}]"#, items.join(","));
        }
    }
    text.push_str(r#"},"field":"messages"}"#);
}

/// Asks a callback for a challenge. Source: Meta: webhooks, verification requests.
pub(super) async fn handshake(
    shared: &Shared,
    callback: &Url,
    verify_token: &str,
) -> Result<(), HandshakeError> {
    let challenge = {
        let world = shared.world();
        (world.mixer.next() % 10_000_000_000).to_string()
    };
    let mut url = callback.clone();
    url.query_pairs_mut()
        .append_pair("hub.mode", "subscribe")
        .append_pair("hub.challenge", &challenge)
        .append_pair("hub.verify_token", verify_token);
    let limit = shared.settings.webhook_timeout;
    let headers = [(
        "User-Agent",
        "facebookplatform/1.0 (+http://developers.facebook.com)",
    )];
    let answer = shared
        .wire
        .send("GET", &url, &headers, &[], limit)
        .await
        .map_err(HandshakeError::Unreachable)?;
    if answer.status == 200 && answer.body == challenge.as_bytes() {
        return Ok(());
    }
    Err(HandshakeError::Refused {
        status: answer.status,
        body: String::from_utf8_lossy(&answer.body)
            .chars()
            .take(200)
            .collect(),
    })
}

/// Posts bytes to the first application's callback, once.
pub(super) async fn deliver_raw(
    shared: &Shared,
    body: &Bytes,
    signature: Signature,
) -> io::Result<u16> {
    let target = {
        let world = shared.world();
        world.apps.get(&world.first_app).and_then(|app| {
            Some(Target {
                callback: app.callback.clone()?,
                secret: app.secret.clone(),
            })
        })
    };
    let target = target.ok_or(io::ErrorKind::NotConnected)?;
    let status = post(shared, &target, body, signature).await;
    let mut world = shared.world();
    world.counters.webhooks_posted += 1;
    world.counters.webhooks_accepted += u64::from(matches!(status, Ok(200)));
    world.note_webhook("by hand".to_owned(), status.as_ref().ok().copied(), 0);
    drop(world);
    shared.bump();
    status
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn update(account: &str, number: &str, part: Part) -> Update {
        Update {
            account: account.into(),
            number: number.into(),
            digits: number.into(),
            part,
            person: None,
            message: None,
            about: String::new(),
        }
    }

    #[test]
    fn a_batch_has_entries_by_account_and_values_by_number_and_kind() {
        let message = |id: &str| Part::Message {
            contact: Some(r#"{"wa_id":"1"}"#.into()),
            message: json!({ "id": id }).to_string(),
        };
        let updates = [
            update("A", "1", message("a")),
            update("A", "1", message("b")),
            update("A", "1", Part::Status(r#"{"id":"c"}"#.into())),
            update("A", "2", message("d")),
            update("B", "3", message("e")),
            update(
                "B",
                "",
                Part::Field {
                    field: "account_update".into(),
                    value: r#"{"event":"X"}"#.into(),
                },
            ),
        ];
        let body: Value = serde_json::from_slice(&body(&updates)).unwrap();
        assert_eq!(body["entry"].as_array().unwrap().len(), 2);
        let changes = body["entry"][0]["changes"].as_array().unwrap();
        assert_eq!(changes.len(), 3);
        assert_eq!(changes[0]["value"]["messages"].as_array().unwrap().len(), 2);
        assert_eq!(changes[0]["value"]["contacts"].as_array().unwrap().len(), 1);
        assert_eq!(changes[1]["value"]["statuses"][0]["id"], "c");
        assert_eq!(changes[2]["value"]["metadata"]["phone_number_id"], "2");
        assert_eq!(body["entry"][1]["changes"][1]["field"], "account_update");
    }
}
