//! Delivery to customers through one business number.
//!
//! Lanes go side by side, each with one message under way. Meta has no idempotency key, so each send carries its
//! message's id in `biz_opaque_callback_data`: a status that brings it back settles a send whose answer was lost. Only
//! after two minutes without one is it sent again, and the journey says so (Meta: messages; status webhooks).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use whatsapp::{
    client::Sent,
    codes::{Class, LimitScope, pair_wait},
    media::MediaKind,
    send::{MediaSource, Outgoing, OutgoingMessage, Phone as WhatsAppNumber, Recipient, UserId},
};

use super::{
    outcome,
    pace::{Bucket, Pace},
    settle::{self, Settled, settle},
    template, window,
};
use crate::{
    account,
    app::App,
    identifiers::Ids,
    intake::callback_data,
    lease::Lease,
    media::{self, UploadError},
    registry::Phone,
    store::{
        self,
        lanes::{self, Claimed, Ending, NewTask, Priority, Side, Task},
        messages::{MessageError, State},
    },
    time::Millis,
    translate::{message::Language, notes},
};

/// Sends under way at once for one number.
const MOST_SENDS: usize = 32;
/// Messages a second that every number may send (Meta: throughput); a number that may send more is not held back,
/// because Meta says when it is too much.
const THROUGHPUT: f64 = 80.0;
/// Messages to one customer: so many at once, then one in six seconds (Meta: pair rate limit).
const PAIR_BURST: f64 = 45.0;
const PAIR_PER_SECOND: f64 = 1.0 / 6.0;
/// Bitrix24 marks a message red that is not confirmed within a minute.
const CONFIRM_AFTER: Duration = Duration::from_secs(40);

/// The limits of one number.
struct Limits {
    number: Pace,
    pairs: HashMap<Uuid, (Bucket, u32)>,
}

impl Limits {
    /// Budget for one message in a lane, or how long to wait for it.
    fn take(&mut self, lane: Uuid, now: Millis) -> Result<(), Wait> {
        if self.pairs.len() > 1000 {
            self.pairs.retain(|_, (bucket, _)| !bucket.is_empty(now));
        }
        let (pair, _) = self
            .pairs
            .entry(lane)
            .or_insert_with(|| (Bucket::new(PAIR_BURST, PAIR_PER_SECOND, now), 0));
        let before = pair.clone();
        pair.take(now).map_err(Wait::Lane)?;
        self.number.try_take().map_err(|wait| {
            *pair = before;
            Wait::Number(wait)
        })
    }
}

/// Who has to wait.
enum Wait {
    Lane(Duration),
    Number(Duration),
}

/// Delivers through a number until told to stop; what is in flight then ends first.
pub(super) async fn run(
    app: Arc<App>,
    lease: Lease,
    phone: Uuid,
    wake: Arc<Notify>,
    stop: CancellationToken,
) {
    let mut busy: HashSet<Uuid> = HashSet::new();
    let mut flights = FuturesUnordered::new();
    let mut limits = Limits {
        number: Pace::new(app.clock.clone(), THROUGHPUT, THROUGHPUT),
        pairs: HashMap::new(),
    };
    let mut paused = false;
    let begun = app.clock.now();
    loop {
        let registry = app.directory.snapshot();
        let mut again_at = app.clock.now() + super::REST;
        let was_paused = paused;
        paused = registry
            .phones
            .get(&phone)
            .is_some_and(|phone| phone.paused.is_some());
        if was_paused && !paused {
            // Somebody entered another token: it is tried at once.
            limits.number.reopen();
        }
        if let Some(phone) = registry.phones.get(&phone)
            && !stop.is_cancelled()
            && flights.len() < MOST_SENDS
        {
            match claim(&app, phone, &busy, MOST_SENDS - flights.len()).await {
                Ok((rows, held, next_due)) => {
                    again_at = again_at.min(next_due.unwrap_or(again_at));
                    let (ready, mut waiting, wait) = choose(&app, rows, &mut limits, begun);
                    waiting.extend(held);
                    if let Some(wait) = wait {
                        again_at = again_at.min(app.clock.now() + wait);
                    }
                    if !waiting.is_empty() {
                        settle(&app, waiting).await;
                    }
                    if !ready.is_empty() && mark(&app, &ready).await {
                        for row in ready {
                            busy.insert(row.lane);
                            flights.push(take_off(&app, &lease, phone, row));
                        }
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "what is due for a number could not be read");
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
            Some(first) = flights.next(), if !flights.is_empty() => {
                let mut landed = vec![first];
                while let Some(Some(next)) = flights.next().now_or_never() {
                    landed.push(next);
                }
                let mut settled = Vec::with_capacity(landed.len());
                let mut lanes = Vec::with_capacity(landed.len());
                for Landed { row, result } in landed {
                    lanes.push(row.lane);
                    settled.push(judge(&app, row, result, &mut limits).await);
                }
                settle(&app, settled).await;
                for lane in lanes {
                    busy.remove(&lane);
                }
            }
            () = wake.notified(), if !stop.is_cancelled() => {}
            () = stop.cancelled(), if !stop.is_cancelled() => {}
            () = tokio::time::sleep(rest), if !stop.is_cancelled() => {}
        }
    }
}

async fn claim(
    app: &App,
    phone: &Phone,
    busy: &HashSet<Uuid>,
    room: usize,
) -> Result<(Vec<Claimed>, Vec<Settled>, Option<Millis>), store::Error> {
    let now = app.clock.now();
    let due = lanes::due(&app.store, phone.id, Side::Meta, now, room + busy.len()).await?;
    let mut due: Vec<Uuid> = due
        .into_iter()
        .map(|(lane, _)| lane)
        .filter(|lane| !busy.contains(lane))
        .collect();
    due.truncate(room);
    let next_due = lanes::next_due(&app.store, phone.id, Side::Meta, now).await?;
    if due.is_empty() {
        return Ok((Vec::new(), Vec::new(), next_due));
    }
    let rows = lanes::heads(&app.store, Side::Meta, &due, 1).await?;
    let (rows, held) = without_held(app, rows).await?;
    Ok((rows, held, next_due))
}

/// A send whose answer was lost, and of which a status told that only templates are taken: it waits elsewhere.
async fn without_held(
    app: &App,
    rows: Vec<Claimed>,
) -> Result<(Vec<Claimed>, Vec<Settled>), store::Error> {
    let mut kept = Vec::with_capacity(rows.len());
    let mut gone = Vec::new();
    for row in rows {
        let waits = match row.message.filter(|_| row.started_at.is_some()) {
            Some(message) => store::held::get(&app.store, message).await?.is_some(),
            None => false,
        };
        if waits {
            gone.push(Settled::new(row, Ending::Done));
        } else {
            kept.push(row);
        }
    }
    Ok((kept, gone))
}

/// Tells the rows that can be sent now from those that wait, and how long the number itself has to wait.
fn choose(
    app: &App,
    rows: Vec<Claimed>,
    limits: &mut Limits,
    begun: Millis,
) -> (Vec<Claimed>, Vec<Settled>, Option<Duration>) {
    let now = app.clock.now();
    let (mut ready, mut waiting, mut number_waits) = (Vec::new(), Vec::new(), None);
    for row in rows {
        let state = row.message_state.as_deref().map(State::parse);
        if state.is_some_and(|state| state.rank() >= State::Sent.rank()) {
            waiting.push(told_by_status(app, row, now));
            continue;
        }
        if let Some(started_at) = row.started_at {
            // While this program was down, statuses had nobody to come to: the wait begins with it at the earliest.
            match after_cut(app, row, started_at.max(begun), now) {
                Err(settled) => {
                    waiting.push(*settled);
                    continue;
                }
                Ok(row) => ready.push(row),
            }
            continue;
        }
        if row
            .media
            .as_ref()
            .is_some_and(|file| file.state == "pending")
        {
            // Whoever fetches the file makes the lane due; should that come before this is written, it is looked at soon.
            waiting.push(Settled::new(
                row,
                outcome::wait(now, Duration::from_secs(3)),
            ));
            continue;
        }
        match limits.take(row.lane, now) {
            Ok(()) => ready.push(row),
            Err(Wait::Lane(wait)) => waiting.push(Settled::new(row, outcome::wait(now, wait))),
            Err(Wait::Number(wait)) => {
                number_waits = Some(wait);
                break;
            }
        }
    }
    (ready, waiting, number_waits)
}

/// A send of which a status tells that it happened, although it is not settled: its answer was lost.
fn told_by_status(app: &App, row: Claimed, now: Millis) -> Settled {
    let confirm = confirmation(&app.ids, &row, now);
    let mut settled = Settled::new(row, Ending::Done).tells(
        now,
        None,
        "settled by a status",
        Some("the answer to the send was lost; a status of Meta names the message"),
    );
    settled.tasks.extend(confirm);
    settled
}

/// A send that was cut off: a status is waited for, then it is made again.
fn after_cut(
    app: &App,
    row: Claimed,
    started_at: Millis,
    now: Millis,
) -> Result<Claimed, Box<Settled>> {
    let deadline = started_at + app.settings.unknown_wait;
    if now < deadline {
        let settled = Settled::new(
            row,
            Ending::Later {
                at: deadline,
                counts: false,
                unknown: true,
            },
        )
        .tells(now, Some(State::Unknown), "waits for a status", None);
        return Err(Box::new(settled));
    }
    Ok(row)
}

async fn mark(app: &App, rows: &[Claimed]) -> bool {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    match settle::mark_started(app, ids).await {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(%error, "sends could not be marked as started and were not made");
            false
        }
    }
}

struct Landed {
    row: Claimed,
    result: Result<(Sent, &'static str), SendError>,
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Meta(#[from] whatsapp::Error),
    #[error("{}", .0.text(Language::English))]
    Impossible(Note),
    #[error("{0}")]
    Unsendable(&'static str),
    #[error("the number's app or its token is not set up")]
    NoToken,
    #[error(transparent)]
    Store(#[from] store::Error),
}

type Note = crate::translate::notes::Note;

/// Starts one send as a task of its own: the database has one writer, and a send that has it must be able to go on while
/// this worker waits for it. A send that panics takes no other along.
fn take_off(
    app: &Arc<App>,
    lease: &Lease,
    phone: &Phone,
    row: Claimed,
) -> impl Future<Output = Landed> + use<> {
    let task = tokio::spawn(send(
        Arc::clone(app),
        lease.clone(),
        phone.clone(),
        row.clone(),
    ));
    async move {
        let result = task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a send broke off");
            Err(SendError::Unsendable("the program failed while sending it"))
        });
        Landed { row, result }
    }
}

async fn send(
    app: Arc<App>,
    _lease: Lease,
    phone: Phone,
    row: Claimed,
) -> Result<(Sent, &'static str), SendError> {
    try_send(&app, &phone, &row).await
}

/// Sends; gives what Meta answered and the type of message that it was.
async fn try_send(
    app: &App,
    phone: &Phone,
    row: &Claimed,
) -> Result<(Sent, &'static str), SendError> {
    let credentials = account::credentials(app, phone).ok_or(SendError::NoToken)?;
    let (context, content) = content(app, phone, row).await?;
    let message = OutgoingMessage {
        recipient: recipient(row).ok_or(SendError::Unsendable(
            "neither a phone number nor a user id of the customer is known",
        ))?,
        context,
        callback_data: row.message.map(callback_data),
        content,
    };
    let kind = message.content.kind();
    let sent = account::client(app)
        .send(&credentials, &phone.phone_number_id, &message)
        .await?;
    Ok((sent, kind))
}

/// By phone where it is known, else by user id, which must never stand in `to`.
fn recipient(row: &Claimed) -> Option<Recipient> {
    let peer = row.conversation.as_ref()?;
    let by_phone = peer
        .wa_id
        .as_deref()
        .and_then(WhatsAppNumber::new)
        .map(Recipient::Phone);
    by_phone.or_else(|| {
        peer.user_id
            .as_deref()
            .and_then(UserId::new)
            .map(Recipient::UserId)
    })
}

async fn content(
    app: &App,
    phone: &Phone,
    row: &Claimed,
) -> Result<(Option<String>, Outgoing), SendError> {
    Ok(match &row.task {
        Task::Text { body, context, .. } => {
            let preview_url = body.contains("https://") || body.contains("http://");
            (
                context.clone(),
                Outgoing::Text {
                    body: body.clone(),
                    preview_url,
                },
            )
        }
        Task::File {
            caption, context, ..
        } => (
            context.clone(),
            file(app, phone, row, caption.clone()).await?,
        ),
        Task::Media {
            kind,
            id,
            link,
            filename,
            caption,
        } => {
            let source = match (id, link) {
                (Some(id), _) => MediaSource::Id(id.clone()),
                (None, Some(link)) => MediaSource::Link(link.clone()),
                (None, None) => return Err(SendError::Unsendable("there is no file to send")),
            };
            (
                None,
                media_message(kind, source, caption.clone(), filename.clone(), false),
            )
        }
        Task::Template {
            name,
            language,
            components,
            header,
            ..
        } => {
            let components = match header {
                Some(header) => template::with_header(app, phone, row, components, header)
                    .await
                    .map_err(|trouble| match trouble {
                        template::Trouble::Told(note) => SendError::Impossible(note),
                        template::Trouble::Upload(error) => {
                            let name = row.media.as_ref().map(|media| media.name.clone());
                            not_uploaded(&name.unwrap_or_default(), error)
                        }
                    })?,
                None => components.clone(),
            };
            let components = (!components.is_null()).then_some(components);
            let template = Outgoing::Template {
                name: name.clone(),
                language: language.clone(),
                components,
            };
            (None, template)
        }
        Task::Post { .. }
        | Task::Update { .. }
        | Task::Delete { .. }
        | Task::Confirm(_)
        | Task::Report(_) => {
            return Err(SendError::Unsendable("the task is not one for WhatsApp"));
        }
    })
}

async fn file(
    app: &App,
    phone: &Phone,
    row: &Claimed,
    caption: Option<String>,
) -> Result<Outgoing, SendError> {
    let Some(file) = &row.media else {
        return Err(SendError::Unsendable("the file's row is gone"));
    };
    if file.state == "failed" {
        return Err(SendError::Impossible(Note::OperatorFileLost {
            name: file.name.clone(),
            trouble: media::trouble(file.error.as_deref()),
        }));
    }
    let uploaded = media::upload(app, phone, file.id)
        .await
        .map_err(|error| not_uploaded(&file.name, error))?;
    let kind = match uploaded.kind {
        MediaKind::Image => "image",
        MediaKind::Video => "video",
        MediaKind::Audio => "audio",
        MediaKind::Document => "document",
    };
    let source = MediaSource::Id(uploaded.id);
    Ok(media_message(
        kind,
        source,
        caption,
        Some(file.name.clone()),
        uploaded.voice,
    ))
}

fn not_uploaded(name: &str, error: UploadError) -> SendError {
    match error {
        UploadError::TooLarge { size, limit } => SendError::Impossible(Note::FileTooLarge {
            name: name.to_owned(),
            bytes: size,
            limit,
        }),
        UploadError::Gone => SendError::Impossible(Note::OperatorFileLost {
            name: name.to_owned(),
            trouble: notes::FileTrouble::Gone,
        }),
        // An upload that was cut sent nothing to the customer.
        UploadError::Meta(whatsapp::Error::Unknown(why) | whatsapp::Error::Unreachable(why)) => {
            SendError::Meta(whatsapp::Error::Unreachable(why))
        }
        UploadError::Meta(error) => SendError::Meta(error),
        UploadError::Store(error) => SendError::Store(error),
        UploadError::Disk(error) => SendError::Meta(whatsapp::Error::Unreachable(format!(
            "the file could not be read here: {error}"
        ))),
    }
}

fn media_message(
    kind: &str,
    source: MediaSource,
    caption: Option<String>,
    filename: Option<String>,
    voice: bool,
) -> Outgoing {
    match kind {
        "image" => Outgoing::Image { source, caption },
        "video" => Outgoing::Video { source, caption },
        "audio" => Outgoing::Audio { source, voice },
        "sticker" => Outgoing::Sticker { source },
        _ => Outgoing::Document {
            source,
            caption,
            filename,
        },
    }
}

/// The confirmation that the portal waits for, due when Meta says `sent` or after 40 seconds.
pub(super) fn confirmation(ids: &Ids, row: &Claimed, now: Millis) -> Option<NewTask> {
    let confirm = row.task.confirmation()?.clone();
    let message = row.message?;
    Some(NewTask {
        id: ids.next(),
        lane: message,
        side: Side::Portal,
        phone: row.phone,
        message: Some(message),
        media: None,
        priority: Priority::Confirmation,
        due_at: now + CONFIRM_AFTER,
        created_at: now,
        task: Task::Confirm(confirm),
    })
}

/// What follows from how a send ended.
async fn judge(
    app: &Arc<App>,
    row: Claimed,
    result: Result<(Sent, &'static str), SendError>,
    limits: &mut Limits,
) -> Settled {
    let now = app.clock.now();
    let again_after_cut = row.started_at.is_some();
    match result {
        Ok((sent, kind)) => {
            app.metrics.count("meta", "accepted");
            limits.number.works();
            resume(app, row.phone).await;
            if let Some((_, strikes)) = limits.pairs.get_mut(&row.lane) {
                *strikes = 0;
            }
            accepted(app, row, sent, kind, now, again_after_cut)
        }
        Err(SendError::Meta(error)) => meta_error(app, row, &error, limits, now).await,
        Err(SendError::Impossible(note)) => {
            let language = language(app, &row);
            let why = note.text(Language::English);
            refused(
                app,
                row,
                &why,
                "FILE",
                &why,
                None,
                note.markup(language),
                now,
            )
        }
        Err(SendError::Unsendable(why)) => {
            let text = notes::failure(None, why, None, language(app, &row));
            refused(
                app,
                row,
                why,
                "UNSENDABLE",
                why,
                None,
                notes::wrap(&text),
                now,
            )
        }
        Err(SendError::NoToken) => {
            limits
                .number
                .strike(Duration::from_mins(1), Duration::from_mins(10));
            account::pause(
                app,
                row.phone,
                "The number's app has no access token. Enter one.",
            )
            .await;
            Settled::new(row, outcome::wait(now, Duration::from_mins(1)))
        }
        Err(SendError::Store(error)) => {
            tracing::error!(%error, "a send waits for the database");
            Settled::new(row, outcome::wait(now, Duration::from_secs(2)))
        }
    }
}

fn accepted(
    app: &App,
    row: Claimed,
    sent: Sent,
    kind: &'static str,
    now: Millis,
    again: bool,
) -> Settled {
    let alias = row
        .conversation
        .as_ref()
        .zip(sent.wa_id.clone())
        .and_then(|(peer, wa_id)| {
            (peer.wa_id.is_some() && peer.wa_id.as_ref() != Some(&wa_id))
                .then_some((peer.id, wa_id))
        });
    let confirm = confirmation(&app.ids, &row, now);
    let caption = caption_of_sound(app, &row, kind, now);
    let detail = match &sent.message_status {
        Some(status) => format!("{} ({status})", sent.wamid),
        None => sent.wamid.clone(),
    };
    let mut settled = Settled::new(row, Ending::Done);
    if again {
        let why = "no status came for the first try, so it was sent once more";
        settled = settled.tells(now, None, "sent again", Some(why));
    }
    settled = settled.tells(now, None, "accepted by Meta", Some(&detail));
    if let Some(change) = &mut settled.change {
        change.wamid = Some(sent.wamid);
    }
    settled.tasks.extend(confirm);
    settled.tasks.extend(caption);
    settled.alias = alias;
    settled
}

/// A sound has no caption on WhatsApp: what was written to it follows as a text.
fn caption_of_sound(app: &App, row: &Claimed, kind: &str, now: Millis) -> Option<NewTask> {
    let Task::File {
        caption: Some(caption),
        ..
    } = &row.task
    else {
        return None;
    };
    (kind == "audio").then(|| NewTask {
        id: app.ids.next(),
        lane: row.lane,
        side: Side::Meta,
        phone: row.phone,
        message: None,
        media: None,
        priority: Priority::Conversation,
        due_at: now,
        created_at: now,
        task: Task::Text {
            body: caption.clone(),
            context: None,
            confirm: None,
        },
    })
}

fn language(app: &App, row: &Claimed) -> Language {
    let registry = app.directory.snapshot();
    registry
        .phones
        .get(&row.phone)
        .and_then(|phone| registry.instance_of(phone))
        .map(|instance| instance.language)
        .unwrap_or_default()
}

/// It will not be sent: the message failed, operators are told, the row can be replayed.
#[expect(clippy::too_many_arguments, reason = "a refusal's whole story")]
fn refused(
    app: &App,
    row: Claimed,
    why: &str,
    code: &str,
    title: &str,
    details: Option<String>,
    note: String,
    now: Millis,
) -> Settled {
    app.metrics.count("meta", "refused");
    Settled::new(
        row,
        Ending::Dead {
            reason: why.to_owned(),
        },
    )
    .tells(now, Some(State::Failed), "failed", Some(why))
    .because(MessageError {
        code: code.to_owned(),
        title: title.to_owned(),
        details,
    })
    .with_note(app, note)
}

/// The number goes on: what was shown about it is taken back.
async fn resume(app: &Arc<App>, phone: Uuid) {
    let registry = app.directory.snapshot();
    let Some(phone) = registry
        .phones
        .get(&phone)
        .filter(|phone| phone.paused.is_some())
    else {
        return;
    };
    if let Err(error) = account::resume_all(app, phone.account_id).await {
        tracing::error!(%error, "that a number sends again could not be stored");
    }
}

async fn meta_error(
    app: &Arc<App>,
    row: Claimed,
    error: &whatsapp::Error,
    limits: &mut Limits,
    now: Millis,
) -> Settled {
    let why = error.to_string();
    let api = error.api();
    match error.class() {
        Class::Limited {
            wait,
            scope: LimitScope::Pair,
        } => {
            let (_, strikes) = limits
                .pairs
                .entry(row.lane)
                .or_insert_with(|| (Bucket::new(PAIR_BURST, PAIR_PER_SECOND, now), 0));
            *strikes += 1;
            let wait = pair_wait(*strikes).max(wait);
            Settled::new(row, outcome::wait(now, wait)).tells(
                now,
                None,
                "waits for the limit of this customer",
                Some(&why),
            )
        }
        Class::Limited {
            wait,
            scope: LimitScope::Number | LimitScope::App,
        } => {
            app.metrics.count("meta", "limited");
            limits.number.limited(wait);
            Settled::new(row, outcome::wait(now, wait)).tells(
                now,
                None,
                "waits for the limit of the number",
                Some(&why),
            )
        }
        Class::Blocked => {
            limits
                .number
                .strike(Duration::from_mins(1), Duration::from_mins(10));
            account::pause(app, row.phone, &why).await;
            Settled::new(row, outcome::wait(now, Duration::from_secs(1))).tells(
                now,
                None,
                "waits: the number is paused",
                Some(&why),
            )
        }
        Class::Retry { at_most } if at_most.is_none_or(|most| row.attempts < i64::from(most)) => {
            match outcome::again(row.attempts, row.created_at, now, &why) {
                Ending::Dead { reason } => {
                    let note = Note::GivenUp { hours: 72 }.markup(language(app, &row));
                    let title = "Given up after 72 hours";
                    let mut settled =
                        refused(app, row, &reason, "GIVEN_UP", title, Some(why), note, now);
                    settled.alarm = true;
                    settled
                }
                ending => Settled::new(row, ending).tells(
                    now,
                    None,
                    "failed, will be tried again",
                    Some(&why),
                ),
            }
        }
        Class::Unknown => {
            app.metrics.count("meta", "unknown");
            let deadline = app.settings.unknown_wait;
            Settled::new(row, outcome::unknown(now, deadline)).tells(
                now,
                Some(State::Unknown),
                "unknown",
                Some(&why),
            )
        }
        Class::Refused | Class::Fix | Class::Later { .. } | Class::Retry { .. } => {
            let code = api.and_then(|api| api.code);
            if window::is_for(code, &row) {
                let language = language(app, &row);
                return window::hold(app, row, language, &why, now).await;
            }
            let title = api.map_or(why.as_str(), |api| api.headline());
            let details = api.and_then(|api| api.details.clone());
            let text = notes::failure(code, title, details.as_deref(), language(app, &row));
            let shown = code.map_or_else(String::new, |code| code.to_string());
            refused(
                app,
                row,
                &why,
                &shown,
                title,
                details,
                notes::wrap(&text),
                now,
            )
        }
    }
}
