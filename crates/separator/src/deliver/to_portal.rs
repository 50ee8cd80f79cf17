//! Delivery to one portal: customers' messages, notes, edits, deletions and confirmations.
//!
//! A portal takes few calls a second but many messages in a call, so what is due on a line goes together: the heads of
//! all lanes and what follows them in order. The size follows the need and is bounded so that, by the time an item was
//! measured to take, a call ends well within Bitrix24's 60 seconds. A message with a file travels alone, because the
//! portal fetches the file during the call. Nothing there removes duplicates, so after a call that was cut the size
//! falls back to one and what was cut is looked up before it is repeated.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bitrix24::{
    client::{Answer, Call, Class},
    connector::{
        self, Delivered, Item, ItemChat, ItemFile, ItemMessage, ItemResult, ItemUser, Removal,
    },
    lines::{self, LineId},
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    outcome,
    pace::Pace,
    report::{self, Told},
    settle::{self, Settled, settle},
};
use crate::{
    app::App,
    lease::Lease,
    media,
    portal::{self, CallError},
    registry::{Instance, InstanceState, Phone},
    store::{
        self,
        lanes::{self, Claimed, Confirmation, Ending, NewTask, Priority, Side, Task},
        messages::{self, MessageError, State},
    },
    time::Millis,
    translate::{from_whatsapp, notes::Note},
};

/// Messages in one call, whatever their measured time.
const MOST_ITEMS: usize = 200;
/// A call should end within this, by the measured time of an item.
const CALL_LENGTH: Duration = Duration::from_secs(15);
/// Calls under way at once: one of messages, others with a file each or small.
const MOST_CALLS: usize = 4;
/// Whoever fetches a file makes its lane due; should that come before the lane is put off, it is looked at soon.
const LOOK_FOR_FILE: Duration = Duration::from_secs(2);
/// An item that the portal refuses is tried this often, each time with less about the person.
const ITEM_TRIES: i64 = 4;
/// The pause between those tries.
const ITEM_PAUSE: Duration = Duration::from_secs(1);

/// A portal that is out of order is probed after this, then more and more rarely.
const FIRST_REST: Duration = Duration::from_mins(1);
const LONGEST_REST: Duration = Duration::from_mins(10);
/// A portal that does not answer is probed soon, for it may be back any moment.
const FIRST_PROBE: Duration = Duration::from_secs(1);
const LAST_PROBE: Duration = Duration::from_secs(15);
/// Its rows need not wait themselves: the portal's pace holds them all, and lets go the moment somebody mends it.
const HELD: Duration = Duration::from_secs(1);

/// One call to the portal.
struct Planned {
    phone: Phone,
    kind: Kind,
    rows: Vec<Claimed>,
}

/// What a call does; the order is the order of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    LookUp,
    Post,
    File,
    Update,
    Delete,
    Confirm,
    Report,
}

/// How the portal took the last calls.
struct Appetite {
    items: usize,
    item_time: Duration,
}

impl Appetite {
    fn limit(&self) -> usize {
        let by_time = CALL_LENGTH.as_micros() / self.item_time.as_micros().max(1);
        self.items
            .min(usize::try_from(by_time).unwrap_or(MOST_ITEMS))
            .clamp(1, MOST_ITEMS)
    }

    fn took(&mut self, items: usize, time: Duration) {
        let each = time / u32::try_from(items.max(1)).unwrap_or(1);
        self.item_time = (self.item_time * 3 + each) / 4;
        self.items = (self.items * 2).clamp(1, MOST_ITEMS);
    }

    fn was_cut(&mut self) {
        self.items = 1;
    }
}

/// Delivers to a portal until told to stop; what is in flight then ends first.
pub(super) async fn run(
    app: Arc<App>,
    lease: Lease,
    instance: Uuid,
    wake: Arc<Notify>,
    stop: CancellationToken,
) {
    let mut busy: HashSet<Uuid> = HashSet::new();
    let mut flights = FuturesUnordered::new();
    let mut appetite = Appetite {
        items: MOST_ITEMS,
        item_time: Duration::from_millis(2),
    };
    // Numbers with a call of messages under way.
    let mut posting: HashSet<Uuid> = HashSet::new();
    let mut turn = 0_usize;
    let mut active = true;
    loop {
        let registry = app.directory.snapshot();
        let mut again_at = app.clock.now() + super::REST;
        if let Some(instance) = registry.instances.get(&instance)
            && !stop.is_cancelled()
        {
            let pace = app.dispatcher.pace_of(instance);
            let was_active =
                std::mem::replace(&mut active, instance.state == InstanceState::Active);
            if active && !was_active {
                // Installed or authorized anew: what waited goes at once.
                pace.reopen();
            }
            let phones: Vec<&Phone> = registry.phones_of(instance.id).collect();
            turn = turn.wrapping_add(1);
            let planned = if flights.len() >= MOST_CALLS {
                Ok(None)
            } else if let Some(wait) = pace.wait() {
                // Nothing could go: nothing needs to be looked at.
                again_at = again_at.min(app.clock.now() + wait);
                Ok(None)
            } else {
                plan(&app, &phones, &busy, appetite.limit(), turn, &posting)
                    .await
                    .map(Some)
            };
            match planned {
                Ok(None) => {}
                Ok(Some(mut plans)) => {
                    again_at = again_at.min(plans.next_due);
                    settle_waiting(&app, std::mem::take(&mut plans.waiting)).await;
                    for planned in plans.calls {
                        if flights.len() >= MOST_CALLS {
                            break;
                        }
                        if let Err(wait) = pace.try_take() {
                            again_at = again_at.min(app.clock.now() + wait);
                            break;
                        }
                        busy.extend(planned.rows.iter().map(|row| row.lane));
                        if planned.kind == Kind::Post {
                            posting.insert(planned.phone.id);
                        }
                        flights.push(take_off(&app, &lease, instance, &pace, planned));
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "what is due for a portal could not be read");
                    again_at = app.clock.now() + Duration::from_secs(1);
                }
            }
        }
        if stop.is_cancelled() && flights.is_empty() {
            return;
        }
        // A rest may be long; the set-up as it was must not be kept in memory by everyone who rests.
        drop(registry);
        let rest = again_at
            .since(app.clock.now())
            .max(Duration::from_millis(1));
        tokio::select! {
            Some(landed) = flights.next(), if !flights.is_empty() => {
                let mut settled = Vec::new();
                let mut landed = Some(landed);
                // Settling goes in groups: whatever ended by now goes with it.
                let mut free = Vec::new();
                while let Some(Landed { phone, kind, lanes, items, took, cut, outcome }) = landed {
                    free.extend(lanes);
                    if cut {
                        appetite.was_cut();
                    } else if kind == Kind::Post {
                        appetite.took(items, took);
                    }
                    if kind == Kind::Post {
                        posting.remove(&phone);
                    }
                    settled.extend(outcome);
                    landed = futures_util::FutureExt::now_or_never(flights.next()).flatten();
                }
                settle(&app, settled).await;
                for lane in free {
                    busy.remove(&lane);
                }
            }
            () = wake.notified(), if !stop.is_cancelled() => {}
            () = stop.cancelled(), if !stop.is_cancelled() => {}
            () = tokio::time::sleep(rest), if !stop.is_cancelled() => {}
        }
    }
}

struct Plans {
    calls: Vec<Planned>,
    waiting: Vec<Settled>,
    next_due: Millis,
}

/// What could be called now, most urgent first.
async fn plan(
    app: &App,
    phones: &[&Phone],
    busy: &HashSet<Uuid>,
    limit: usize,
    turn: usize,
    posting: &HashSet<Uuid>,
) -> Result<Plans, store::Error> {
    let now = app.clock.now();
    let mut plans = Plans {
        calls: Vec::new(),
        waiting: Vec::new(),
        next_due: Millis(i64::MAX),
    };
    for index in 0..phones.len() {
        // Each number is first in turn.
        let phone = phones[(index + turn) % phones.len()];
        let wanted = limit + busy.len();
        let due = lanes::due(&app.store, phone.id, Side::Portal, now, wanted).await?;
        let held = |priority: i64| {
            // While a call of messages is under way for a line, the next ones gather.
            posting.contains(&phone.id) && priority != Priority::Confirmation.as_number()
        };
        let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
        let due: Vec<Uuid> = due
            .into_iter()
            .filter(|(lane, priority)| !busy.contains(lane) && !held(*priority))
            .filter(|(_, priority)| {
                let count = counts.entry(*priority).or_default();
                *count += 1;
                *count <= limit
            })
            .map(|(lane, _)| lane)
            .collect();
        if due.is_empty() {
            continue;
        }
        let per_lane = (limit / due.len()).clamp(1, 32);
        let rows = lanes::heads(&app.store, Side::Portal, &due, per_lane as i64).await?;
        sort_out(app, phone, rows, now, &mut plans);
    }
    for planned in &mut plans.calls {
        planned.rows.truncate(limit);
    }
    if plans.calls.is_empty() {
        // Otherwise it is planned anew when the call ends.
        for phone in phones {
            if let Some(due) = lanes::next_due(&app.store, phone.id, Side::Portal, now).await? {
                plans.next_due = plans.next_due.min(due);
            }
        }
    }
    // Confirmations must not wait behind a flood for ever: every second turn they go first.
    if turn.is_multiple_of(2) {
        plans
            .calls
            .sort_by_key(|planned| planned.kind != Kind::Confirm);
    }
    Ok(plans)
}

/// Puts the first rows of each lane into calls. A lane goes on only as long as its rows fit into the same call.
fn sort_out(app: &App, phone: &Phone, rows: Vec<Claimed>, now: Millis, plans: &mut Plans) {
    let mut together: BTreeMap<Kind, Vec<Claimed>> = BTreeMap::new();
    let mut current: Option<(Uuid, bool)> = None;
    for row in rows {
        let goes_on = match current {
            Some((lane, goes_on)) if lane == row.lane => goes_on,
            _ => true,
        };
        let first = current.is_none_or(|(lane, _)| lane != row.lane);
        let lane = row.lane;
        if !goes_on {
            continue;
        }
        let fit = fit(app, &row, now);
        let mut follows = false;
        match fit {
            Fit::Go(Kind::Post) => {
                follows = true;
                together.entry(Kind::Post).or_default().push(row);
            }
            Fit::Go(kind @ (Kind::File | Kind::LookUp | Kind::Report)) if first => {
                plans.calls.push(Planned {
                    phone: phone.clone(),
                    kind,
                    rows: vec![row],
                });
            }
            Fit::Go(kind) if first => together.entry(kind).or_default().push(row),
            Fit::Wait(at) if first => {
                plans.next_due = plans.next_due.min(at);
                let unknown = row.started_at.is_some();
                plans.waiting.push(Settled::new(
                    row,
                    Ending::Later {
                        at,
                        counts: false,
                        unknown,
                    },
                ));
            }
            // It is not the head; its turn comes.
            Fit::Go(_) | Fit::Wait(_) => {}
        }
        current = Some((lane, follows));
    }
    for (kind, rows) in together {
        plans.calls.push(Planned {
            phone: phone.clone(),
            kind,
            rows,
        });
    }
}

/// Whether and how a row can go now.
enum Fit {
    Go(Kind),
    Wait(Millis),
}

fn fit(app: &App, row: &Claimed, now: Millis) -> Fit {
    let media_wait = app.settings.media_wait;
    if let (Task::Post { .. }, Some(started_at)) = (&row.task, row.started_at) {
        // Cut off, by a crash perhaps a moment ago: the portal may still be at it.
        let ended_at = started_at + look_up_after(app);
        return if now < ended_at {
            Fit::Wait(ended_at)
        } else {
            Fit::Go(Kind::LookUp)
        };
    }
    match &row.task {
        Task::Post { .. } => match &row.media {
            Some(media) if media.state == "ready" => Fit::Go(Kind::File),
            // The text went ahead; the file has a lane of its own until it is here.
            Some(media) if media.state == "pending" && media.id == row.lane => {
                Fit::Wait(now + LOOK_FOR_FILE)
            }
            Some(media) if media.state == "pending" && now < row.created_at + media_wait => {
                Fit::Wait((row.created_at + media_wait).min(now + LOOK_FOR_FILE))
            }
            _ => Fit::Go(Kind::Post),
        },
        Task::Update { .. } => Fit::Go(Kind::Update),
        Task::Delete { .. } => Fit::Go(Kind::Delete),
        Task::Confirm(_) => Fit::Go(Kind::Confirm),
        Task::Report(_) => Fit::Go(Kind::Report),
        // Never written for this side; the call refuses it.
        Task::Text { .. } | Task::File { .. } | Task::Media { .. } | Task::Template { .. } => {
            Fit::Go(Kind::Post)
        }
    }
}

async fn settle_waiting(app: &App, waiting: Vec<Settled>) {
    if !waiting.is_empty() {
        settle(app, waiting).await;
    }
}

/// A call that ended.
struct Landed {
    phone: Uuid,
    kind: Kind,
    lanes: Vec<Uuid>,
    items: usize,
    took: Duration,
    cut: bool,
    outcome: Vec<Settled>,
}

/// Starts one call as a task of its own: the database has one writer, and a call that has it must be able to go on
/// while this worker waits for it. A call that panics takes no other along.
fn take_off(
    app: &Arc<App>,
    lease: &Lease,
    instance: &Instance,
    pace: &Arc<Pace>,
    planned: Planned,
) -> impl Future<Output = Landed> + use<> {
    let (phone, kind, rows) = (planned.phone.id, planned.kind, planned.rows.clone());
    let task = tokio::spawn(fly(
        Arc::clone(app),
        lease.clone(),
        instance.clone(),
        Arc::clone(pace),
        planned,
    ));
    let app = Arc::clone(app);
    async move {
        task.await.unwrap_or_else(|error| {
            app.metrics.count("deliver", "panicked");
            tracing::error!(%error, "a call to a portal broke off");
            let now = app.clock.now();
            Landed {
                phone,
                kind,
                lanes: rows.iter().map(|row| row.lane).collect(),
                items: rows.len(),
                took: Duration::ZERO,
                cut: true,
                outcome: broke_off(&app, kind, rows, now),
            }
        })
    }
}

/// What follows for the rows of a call in which the program itself failed: the one at fault is found by taking them one
/// by one, and is given up.
fn broke_off(app: &App, kind: Kind, rows: Vec<Claimed>, now: Millis) -> Vec<Settled> {
    if rows.len() == 1 {
        return all(rows, |row| {
            give_up(row, "the program failed while delivering it", now)
        });
    }
    // Only a post may not be repeated without looking.
    let unknown = kind == Kind::Post;
    let at = if unknown {
        now + look_up_after(app)
    } else {
        now
    };
    all(rows, |row| {
        let ending = Ending::Later {
            at,
            counts: true,
            unknown,
        };
        Settled::new(row, ending).tells(now, None, "broke off", None)
    })
}

/// How long a message rests, from its start, before it is looked up: by then a call has ended, so that what is not
/// there does not come any more.
fn look_up_after(app: &App) -> Duration {
    CALL_LENGTH.min(app.settings.unknown_wait)
}

/// One call: mark its rows, call, tell what came of each row.
async fn fly(
    app: Arc<App>,
    _lease: Lease,
    instance: Instance,
    pace: Arc<Pace>,
    planned: Planned,
) -> Landed {
    let Planned { phone, kind, rows } = planned;
    let lanes: Vec<Uuid> = rows.iter().map(|row| row.lane).collect();
    let items = rows.len();
    let begun = Instant::now();
    let mut cut = false;
    let outcome = if kind == Kind::LookUp {
        let mut settled = Vec::new();
        for row in rows {
            settled.push(look_up(&app, &instance, &phone, &pace, row).await);
        }
        settled
    } else if kind == Kind::Report {
        let mut settled = Vec::new();
        for row in rows {
            match report::tell(&app, &instance, &pace, row).await {
                Told::Settled(one) => settled.push(*one),
                Told::Failed(row, error, why) => {
                    let rows = vec![*row];
                    settled.extend(
                        failed_call(&app, &instance, &phone, &pace, rows, &error, &why, &mut cut)
                            .await,
                    );
                }
            }
        }
        settled
    } else {
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let now = app.clock.now();
        match settle::mark_started(&app, ids).await {
            Ok(()) => call(&app, &instance, &phone, &pace, kind, rows, &mut cut).await,
            Err(error) => {
                tracing::error!(%error, "a call could not be marked as started and was not made");
                rows.into_iter()
                    .map(|row| Settled::new(row, outcome::wait(now, Duration::from_secs(1))))
                    .collect()
            }
        }
    };
    Landed {
        phone: phone.id,
        kind,
        lanes,
        items,
        took: begun.elapsed(),
        cut,
        outcome,
    }
}

async fn call(
    app: &Arc<App>,
    instance: &Instance,
    phone: &Phone,
    pace: &Pace,
    kind: Kind,
    rows: Vec<Claimed>,
    cut: &mut bool,
) -> Vec<Settled> {
    let (Some(connector), Some(line)) = (phone.connector.as_deref(), phone.line_id) else {
        // The publish routine is not through yet; it wakes this number when it is.
        let now = app.clock.now();
        return rows
            .into_iter()
            .map(|row| Settled::new(row, outcome::wait(now, Duration::from_secs(5))))
            .collect();
    };
    let line = LineId(line);
    let began = app.clock.now();
    let (rows, mut stale) = if kind == Kind::Confirm {
        without_stale(rows, connector, line, began)
    } else {
        (rows, Vec::new())
    };
    if rows.is_empty() {
        return stale;
    }
    let request = match request(app, phone, connector, line, kind, &rows).await {
        Ok(request) => request,
        Err(error) => {
            tracing::error!(%error, "a call could not be prepared");
            stale.extend(all(rows, |row| {
                Settled::new(row, outcome::wait(began, Duration::from_secs(1)))
            }));
            return stale;
        }
    };
    let answer = portal::call(app, instance, &request.method, &request.params).await;
    let now = app.clock.now();
    let settled = match answer {
        Ok(answer) => {
            if pace.works() {
                portal::works_again(app, instance.id).await;
            }
            let tried = format!(
                "{} to {}, {} item(s), answered after {} ms",
                request.method,
                instance.domain,
                rows.len(),
                now.since(began).as_millis()
            );
            read_answer(app, phone, kind, rows, &answer, &tried, now)
        }
        Err(error) => {
            let why = format!("{}: {error}", request.method);
            failed_call(app, instance, phone, pace, rows, &error, &why, cut).await
        }
    };
    stale.extend(settled);
    stale
}

/// Confirmations for the number's present line; and, settled, those for a line that it had before: its portal is another
/// one now, or the line is gone, and neither would take them.
fn without_stale(
    rows: Vec<Claimed>,
    connector: &str,
    line: LineId,
    now: Millis,
) -> (Vec<Claimed>, Vec<Settled>) {
    let present = |row: &Claimed| match &row.task {
        Task::Confirm(confirm) => {
            confirm.line == line.0 && confirm.connector.eq_ignore_ascii_case(connector)
        }
        _ => true,
    };
    let (rows, stale): (Vec<Claimed>, Vec<Claimed>) = rows.into_iter().partition(present);
    let stale = all(stale, |row| {
        let detail = "the number has another line now";
        Settled::new(row, Ending::Done).tells(now, None, "not confirmed", Some(detail))
    });
    (rows, stale)
}

/// The REST call for rows of one kind.
async fn request(
    app: &App,
    phone: &Phone,
    connector: &str,
    line: LineId,
    kind: Kind,
    rows: &[Claimed],
) -> Result<Call, store::Error> {
    Ok(match kind {
        Kind::Post | Kind::File | Kind::LookUp => {
            let items: Vec<Item> = rows.iter().map(|row| item(app, phone, row)).collect();
            connector::send_messages(connector, line, &items)
        }
        Kind::Update => {
            let items: Vec<Item> = rows.iter().map(|row| item(app, phone, row)).collect();
            connector::update_messages(connector, line, &items)
        }
        Kind::Delete => {
            let removals: Vec<Removal> = rows
                .iter()
                .map(|row| Removal {
                    user_id: user_ref(row),
                    message_id: external_id(row).to_owned(),
                    chat_id: chat_ref(row),
                })
                .collect();
            connector::delete_messages(connector, line, &removals)
        }
        Kind::Confirm | Kind::Report => {
            let mut delivered = Vec::new();
            for row in rows {
                let Task::Confirm(confirm) = &row.task else {
                    continue;
                };
                delivered.push(delivery(app, row, confirm).await?);
            }
            connector::send_status_delivery(connector, line, &delivered)
        }
    })
}

async fn delivery(
    app: &App,
    row: &Claimed,
    confirm: &Confirmation,
) -> Result<Delivered, store::Error> {
    let external_ids = match &row.conversation {
        Some(conversation) => {
            messages::wamids_of(&app.store, conversation.id, confirm.im_message_id).await?
        }
        None => Vec::new(),
    };
    Ok(Delivered {
        im_chat_id: confirm.im_chat_id,
        im_message_id: confirm.im_message_id,
        external_ids,
        date: app.clock.now().seconds(),
        chat_id: confirm.chat_ref.clone(),
    })
}

fn user_ref(row: &Claimed) -> String {
    row.conversation
        .as_ref()
        .map(|peer| peer.user_ref.clone())
        .unwrap_or_default()
}

fn chat_ref(row: &Claimed) -> String {
    row.conversation
        .as_ref()
        .map(|peer| peer.chat_ref.clone())
        .unwrap_or_default()
}

fn external_id(row: &Claimed) -> &str {
    match &row.task {
        Task::Post { external_id, .. }
        | Task::Update { external_id, .. }
        | Task::Delete { external_id } => external_id,
        _ => "",
    }
}

/// The message as the portal takes it. A portal that refused it before is told less about the person each time.
fn item(app: &App, phone: &Phone, row: &Claimed) -> Item {
    let (text, note) = match &row.task {
        Task::Post { text, note, .. } => (text.clone(), *note),
        Task::Update { text, .. } => (text.clone(), false),
        _ => (String::new(), false),
    };
    let peer = row.conversation.as_ref();
    let name = peer
        .and_then(|peer| peer.name.as_deref())
        .filter(|_| row.attempts < 1);
    let (first, last) = name.map(from_whatsapp::clean_name).unwrap_or_default();
    let digits = peer
        .and_then(|peer| peer.wa_id.as_deref())
        .filter(|digits| {
            // Our own number as a customer's phone would merge strangers in the CRM.
            row.attempts < 2 && !app.directory.snapshot().is_own_number(digits)
        });
    let language = app
        .directory
        .snapshot()
        .instance_of(phone)
        .map(|instance| instance.language)
        .unwrap_or_default();
    let mut files = Vec::new();
    let mut text = text;
    match &row.media {
        Some(file) if file.state == "ready" => files.push(ItemFile {
            url: media::link(app, phone, file.id, &file.name),
            name: file.name.clone(),
        }),
        Some(file) if file.state == "failed" => {
            let trouble = media::trouble(file.error.as_deref());
            let note = Note::CustomerFileLost {
                name: file.name.clone(),
                trouble,
            };
            text = joined(&text, &note.markup(language));
        }
        Some(file) => {
            let note = Note::CustomerFileFollows {
                name: file.name.clone(),
            };
            text = joined(&text, &note.markup(language));
        }
        None => {}
    }
    Item {
        user: ItemUser {
            id: user_ref(row),
            name: first,
            last_name: last,
            phone: digits.map(|digits| format!("+{digits}")),
            skip_phone_validate: false,
        },
        message: ItemMessage {
            id: external_id(row).to_owned(),
            date: row.created_at.seconds(),
            text,
            files,
            user_id: note.then_some(0),
        },
        chat: ItemChat {
            id: chat_ref(row),
            name: None,
        },
    }
}

fn joined(text: &str, note: &str) -> String {
    if text.is_empty() {
        note.to_owned()
    } else {
        format!("{text}[br]{note}")
    }
}

fn read_answer(
    app: &App,
    phone: &Phone,
    kind: Kind,
    rows: Vec<Claimed>,
    answer: &Answer,
    tried: &str,
    now: Millis,
) -> Vec<Settled> {
    app.metrics.add("portal", "items", rows.len() as u64);
    if kind == Kind::Confirm {
        let good = connector::read_success(&answer.result);
        return rows
            .into_iter()
            .map(|row| {
                if good {
                    return Settled::new(row, Ending::Done).tells(
                        now,
                        None,
                        "confirmed",
                        Some(tried),
                    );
                }
                let ending = outcome::again(row.attempts, row.created_at, now, "not confirmed");
                Settled::new(row, ending)
            })
            .collect();
    }
    let ids: Vec<&str> = rows.iter().map(external_id).collect();
    let results = connector::read_items(&answer.result, &ids);
    rows.into_iter()
        .zip(results)
        .map(|(row, result)| match result {
            ItemResult::Accepted {
                chat_id,
                session_id,
                ..
            } => accepted(app, phone, kind, row, chat_id, session_id, tried, now),
            ItemResult::Failed { errors } => refused_item(app, kind, row, &errors.join("; "), now),
            ItemResult::Unknown => {
                let detail = "the answer says nothing of this message";
                Settled::new(row, outcome::unknown(now, look_up_after(app))).tells(
                    now,
                    Some(State::Unknown),
                    "unknown",
                    Some(detail),
                )
            }
        })
        .collect()
}

#[expect(clippy::too_many_arguments, reason = "one item's whole result")]
fn accepted(
    app: &App,
    phone: &Phone,
    kind: Kind,
    row: Claimed,
    chat_id: Option<i64>,
    session_id: Option<i64>,
    tried: &str,
    now: Millis,
) -> Settled {
    let chat = row
        .conversation
        .as_ref()
        .zip(chat_id)
        .filter(|(peer, chat)| peer.im_chat_id != Some(*chat))
        .map(|(peer, chat)| (peer.id, chat, session_id.map(|id| id.to_string())));
    let went_ahead = kind == Kind::Post
        && row
            .media
            .as_ref()
            .is_some_and(|file| file.state == "pending");
    let follow_up = went_ahead
        .then(|| file_follows(app, phone, &row, now))
        .flatten();
    // What the phone app sent is shown, not delivered, by this.
    let inbound = row.origin.as_deref() == Some("customer");
    if inbound {
        app.doctor.proofs.inbound(phone.id, now);
    }
    let mut settled = Settled::new(row, Ending::Done).tells(
        now,
        inbound.then_some(State::Delivered),
        "in the operator's chat",
        Some(tried),
    );
    settled.chat = chat;
    settled.tasks.extend(follow_up);
    settled
}

/// The file of a message whose text is in the chat already; it has a lane of its own.
fn file_follows(app: &App, phone: &Phone, row: &Claimed, now: Millis) -> Option<NewTask> {
    let (
        Task::Post {
            external_id, note, ..
        },
        Some(file),
    ) = (&row.task, &row.media)
    else {
        return None;
    };
    Some(NewTask {
        id: app.ids.next(),
        lane: file.id,
        side: Side::Portal,
        phone: phone.id,
        message: row.message,
        media: Some(file.id),
        priority: Priority::Conversation,
        due_at: now,
        created_at: now,
        task: Task::Post {
            external_id: format!("{external_id}:file"),
            text: String::new(),
            note: *note,
        },
    })
}

fn refused_item(app: &App, kind: Kind, row: Claimed, why: &str, now: Millis) -> Settled {
    if kind == Kind::Update || kind == Kind::Delete {
        // The message is not there any more; there is nothing to change.
        return Settled::new(row, Ending::Done).tells(
            now,
            Some(State::Delivered),
            "not changed in the chat",
            Some(why),
        );
    }
    app.metrics.count("portal", "item_refused");
    if row.attempts + 1 < ITEM_TRIES {
        // The portal works; time would mend nothing and hold up what follows.
        let ending = Ending::Later {
            at: now + ITEM_PAUSE,
            counts: true,
            unknown: false,
        };
        let detail = format!("the portal refused the message: {why}");
        return Settled::new(row, ending).tells(
            now,
            None,
            "refused, will be tried again",
            Some(&detail),
        );
    }
    give_up(row, why, now)
}

/// The row ends among the dead letters.
fn give_up(row: Claimed, why: &str, now: Millis) -> Settled {
    let inbound = row.origin.as_deref() == Some("customer");
    let mut settled = Settled::new(
        row,
        Ending::Dead {
            reason: why.to_owned(),
        },
    )
    .tells(now, inbound.then_some(State::Failed), "given up", Some(why))
    .because(MessageError {
        code: "PORTAL".to_owned(),
        title: "The portal did not take the message".to_owned(),
        details: Some(why.to_owned()),
    });
    settled.alarm = true;
    settled
}

/// The whole call failed: what follows for its rows and for the portal.
#[expect(clippy::too_many_arguments, reason = "one call's whole failure")]
async fn failed_call(
    app: &Arc<App>,
    instance: &Instance,
    phone: &Phone,
    pace: &Pace,
    rows: Vec<Claimed>,
    error: &CallError,
    why: &str,
    cut: &mut bool,
) -> Vec<Settled> {
    let now = app.clock.now();
    let class = match error {
        CallError::Rest(error) => error.class(),
        CallError::Token(portal::TokenError::Later(_)) | CallError::Store(_) => {
            return all(rows, |row| {
                Settled::new(row, outcome::wait(now, Duration::from_secs(5))).tells(
                    now,
                    None,
                    "waits",
                    Some(why),
                )
            });
        }
        CallError::Token(portal::TokenError::NeedsAuthorization(sentence)) => {
            pace.strike(FIRST_REST, LONGEST_REST);
            portal::trouble(app, instance.id, sentence).await;
            return all(rows, |row| {
                Settled::new(row, outcome::wait(now, HELD)).tells(now, None, "waits", Some(why))
            });
        }
    };
    tracing::warn!(
        portal = instance.domain,
        ?class,
        error = why,
        rows = rows.len(),
        "a call failed"
    );
    match class {
        Class::Limited { wait } => {
            app.metrics.count("portal", "limited");
            pace.limited(wait);
            all(rows, |row| {
                Settled::new(row, outcome::wait(now, wait)).tells(
                    now,
                    None,
                    "waits for the portal's limit",
                    Some(why),
                )
            })
        }
        Class::Overloaded => {
            pace.strike(FIRST_REST, LONGEST_REST);
            portal::trouble(
                app,
                instance.id,
                "Bitrix24 blocked the portal for overload (OVERLOAD_LIMIT). Ask Bitrix24's support to lift the block; \
                 messages are kept and go on by themselves.",
            )
            .await;
            all(rows, |row| {
                Settled::new(row, outcome::wait(now, HELD)).tells(now, None, "waits", Some(why))
            })
        }
        Class::Blocked(obstacle) => {
            pace.strike(FIRST_REST, LONGEST_REST);
            portal::trouble(app, instance.id, &obstacle.to_string()).await;
            all(rows, |row| {
                Settled::new(row, outcome::wait(now, HELD)).tells(now, None, "waits", Some(why))
            })
        }
        Class::MethodParked { until } => {
            let ten_minutes = Duration::from_mins(10);
            let until = until.map_or(now + ten_minutes, Millis::from_seconds);
            let wait = until.since(now).clamp(Duration::from_secs(1), ten_minutes);
            all(rows, |row| {
                Settled::new(row, outcome::wait(now, wait)).tells(
                    now,
                    None,
                    "waits for the method's time limit",
                    Some(why),
                )
            })
        }
        Class::Publish => {
            let mended = portal::publish_now(app, phone.id).await.is_ok();
            let now = app.clock.now();
            let wait = if mended {
                Duration::from_millis(100)
            } else {
                Duration::from_secs(30)
            };
            all(rows, |row| {
                let ending = if mended && row.attempts == 0 {
                    Ending::Later {
                        at: now + wait,
                        counts: true,
                        unknown: false,
                    }
                } else {
                    outcome::again(row.attempts, row.created_at, now, why)
                };
                Settled::new(row, ending).tells(
                    now,
                    None,
                    "the connection was set up again",
                    Some(why),
                )
            })
        }
        Class::Unknown => {
            *cut = true;
            // A portal that cuts one call after another is probed, not flooded: each cut has to be looked up later.
            pace.strike(FIRST_PROBE, LAST_PROBE);
            all(rows, |row| {
                let inbound = row.origin.as_deref() == Some("customer");
                Settled::new(row, outcome::unknown(now, look_up_after(app))).tells(
                    now,
                    inbound.then_some(State::Unknown),
                    "unknown",
                    Some(why),
                )
            })
        }
        Class::Refused if rows.len() > 1 => {
            // One of them may be at fault: they go one by one.
            *cut = true;
            all(rows, |row| {
                Settled::new(row, outcome::wait(now, Duration::ZERO))
            })
        }
        Class::Refused => all(rows, |row| give_up(row, why, now)),
        Class::Refresh | Class::Retry => {
            pace.strike(FIRST_PROBE, LAST_PROBE);
            all(rows, |row| {
                let ending = outcome::again(row.attempts, row.created_at, now, why);
                if let Ending::Dead { reason } = ending {
                    return give_up(row, &reason, now);
                }
                Settled::new(row, ending).tells(now, None, "failed, will be tried again", Some(why))
            })
        }
    }
}

fn all(rows: Vec<Claimed>, each: impl Fn(Claimed) -> Settled) -> Vec<Settled> {
    rows.into_iter().map(each).collect()
}

/// Finds out whether a message whose call was cut is in the chat.
///
/// First the session's history is read, which names external ids. Where it does not show the message, its text is
/// written once more by `imconnector.update.messages` next to an id that cannot exist: only a portal that refuses the
/// second and takes the first is known to tell them apart, and then the message is there.
async fn look_up(
    app: &Arc<App>,
    instance: &Instance,
    phone: &Phone,
    pace: &Pace,
    row: Claimed,
) -> Settled {
    let found = match find(app, instance, phone, pace, &row).await {
        Ok(found) => found,
        Err(error) => {
            let now = app.clock.now();
            let ending = match outcome::again(row.attempts, row.created_at, now, "unknown") {
                Ending::Later { at, counts, .. } => Ending::Later {
                    at,
                    counts,
                    unknown: true,
                },
                Ending::Dead { reason } => return give_up(row, &reason, now),
                Ending::Done => Ending::Done,
            };
            return Settled::new(row, ending).tells(
                now,
                None,
                "could not be looked up",
                Some(&error.to_string()),
            );
        }
    };
    let now = app.clock.now();
    match found {
        Found::There(how) => {
            let inbound = row.origin.as_deref() == Some("customer");
            Settled::new(row, Ending::Done).tells(
                now,
                inbound.then_some(State::Delivered),
                "found in the operator's chat",
                Some(how),
            )
        }
        Found::WithoutFile => {
            let follows = file_follows(app, phone, &row, now);
            let inbound = row.origin.as_deref() == Some("customer");
            let mut settled = Settled::new(row, Ending::Done).tells(
                now,
                inbound.then_some(State::Delivered),
                "found in the operator's chat",
                Some("without its file, which follows"),
            );
            settled.tasks.extend(follows);
            settled
        }
        Found::NotThere(how) => {
            let ending = Ending::Later {
                at: now,
                counts: false,
                unknown: false,
            };
            Settled::new(row, ending).tells(now, None, "not in the chat, sent again", Some(how))
        }
    }
}

enum Found {
    There(&'static str),
    /// The portal could not fetch the file, because this program was gone meanwhile.
    WithoutFile,
    NotThere(&'static str),
}

async fn find(
    app: &Arc<App>,
    instance: &Instance,
    phone: &Phone,
    pace: &Pace,
    row: &Claimed,
) -> Result<Found, CallError> {
    let (Some(connector), Some(line)) = (phone.connector.as_deref(), phone.line_id) else {
        return Ok(Found::NotThere("the line was never set up"));
    };
    let id = external_id(row);
    let peer = row.conversation.as_ref();
    if let Some(chat) = peer.and_then(|peer| peer.im_chat_id) {
        let call = lines::session_history(chat, peer.and_then(|peer| peer.session_id));
        match portal::call(app, instance, &call.method, &call.params).await {
            Ok(answer) => {
                let history = lines::History::read(&answer.result);
                let names_it = |message: &&lines::HistoryMessage| {
                    message.external_ids.iter().any(|known| known == id)
                };
                if let Some(message) = history.messages.iter().find(names_it) {
                    return Ok(match &row.media {
                        Some(file) if file.state == "ready" && message.files == 0 => {
                            Found::WithoutFile
                        }
                        _ => Found::There("the session's history names it"),
                    });
                }
            }
            // The token's user may not be let into the chat.
            Err(CallError::Rest(error)) if cannot_tell(&error) => {}
            Err(error) => return Err(error),
        }
        pace.take().await;
    }
    let mut real = item(app, phone, row);
    real.message.files.clear();
    let mut canary = real.clone();
    canary.message.id = format!("probe-{}", app.ids.next().simple());
    let ids = [canary.message.id.clone(), real.message.id.clone()];
    let call = connector::update_messages(connector, LineId(line), &[canary, real]);
    let answer = match portal::call(app, instance, &call.method, &call.params).await {
        Ok(answer) => answer,
        Err(CallError::Rest(error)) if cannot_tell(&error) => {
            return Ok(Found::NotThere(
                "the portal does not let messages be looked up",
            ));
        }
        Err(error) => return Err(error),
    };
    let results = connector::read_items(&answer.result, &[&ids[0], &ids[1]]);
    Ok(match results.as_slice() {
        [ItemResult::Failed { .. }, ItemResult::Accepted { .. }] => {
            Found::There("the portal knows its id")
        }
        [ItemResult::Failed { .. }, ItemResult::Failed { .. }] => {
            Found::NotThere("the portal does not know its id")
        }
        _ => Found::NotThere("the portal does not tell known ids from unknown ones"),
    })
}

/// Whether asking again would bring the same refusal.
fn cannot_tell(error: &bitrix24::Error) -> bool {
    matches!(error.class(), Class::Refused | Class::Blocked(_))
}
