//! What waits while WhatsApp takes only templates: sent on, sent as a template, or given up.
//!
//! A message begins to wait in [`crate::intake::hold`] or where Meta refuses it, and goes on there when its customer
//! writes. Here is the rest: a look around every few seconds, which gives up what waited for too long and sends on what
//! began to wait just when the customer wrote; and sending a message as the value of a template.
//!
//! Whoever takes a message out of the waiting ones has it: of two that try, one finds it gone.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::App,
    intake::{codes, hold, wrap},
    registry::TemplateRef,
    store::{
        self, catalogue, conversations,
        held::{self, Held},
        lanes::{self, NewTask, Priority, Side, Task},
        messages::{self, Change, Journey, MessageError, State},
        orders::{self, News},
    },
    time::Millis,
    translate::{
        from_whatsapp,
        message::Language,
        notes::{self, Note},
        template::{Filled, Refusal},
    },
};

/// How often it is looked around.
const ROUND: Duration = Duration::from_secs(5);
/// What is done in one transaction.
const PIECE: i64 = 100;

/// Code of the error of a message that waited for too long.
pub const EXPIRED: &str = "WINDOW_CLOSED";

/// The same of a message whose template was not taken for too long.
pub const TEMPLATE_EXPIRED: &str = "TEMPLATE_UNAVAILABLE";

/// Looks around until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
        if let Err(error) = look_around(&app).await {
            tracing::warn!(%error, "what waits could not be looked at; the next round tries again");
        }
    }
}

async fn look_around(app: &App) -> Result<(), store::Error> {
    let now = app.clock.now();
    for held in held::expired(&app.store, now, PIECE).await? {
        give_up(app, held, now).await?;
    }
    let released = held::released(&app.store, now - conversations::WINDOW, PIECE).await?;
    if !released.is_empty() {
        send_on(app, released, now).await?;
    }
    for portal in orders::answer_late(&app.store, now, PIECE, &app.ids).await? {
        app.dispatcher.wake(portal, Side::Portal);
    }
    Ok(())
}

/// The customer wrote at the moment at which the message began to wait.
async fn send_on(app: &App, released: Vec<Held>, now: Millis) -> Result<(), store::Error> {
    let ids: Vec<Uuid> = released.iter().map(|held| held.message).collect();
    let mut tx = app.store.begin().await?;
    let taken = held::take(&mut tx, &ids).await?;
    let released: Vec<Held> = released
        .into_iter()
        .filter(|held| taken.contains(&held.message))
        .collect();
    let changes = released
        .iter()
        .map(|held| step(held.message, now, hold::SENT_ON, None))
        .collect();
    messages::change(&mut tx, changes);
    let tasks: Vec<NewTask> = released
        .iter()
        .map(|held| task(app, held, held.task.clone(), now))
        .collect();
    lanes::enqueue(&mut tx, &tasks);
    tx.commit().await?;
    for task in &tasks {
        app.dispatcher.wake(task.phone, Side::Meta);
    }
    Ok(())
}

fn step(message: Uuid, at: Millis, step: &str, detail: Option<&str>) -> Change {
    Change {
        id: message,
        state: None,
        wamid: None,
        error: None,
        sent_task: None,
        at,
        journey: Journey::new().with(at, step, detail),
    }
}

fn task(app: &App, held: &Held, task: Task, now: Millis) -> NewTask {
    NewTask {
        id: app.ids.next(),
        lane: held.conversation,
        side: Side::Meta,
        phone: held.phone,
        message: Some(held.message),
        media: held.media,
        priority: Priority::Conversation,
        due_at: now,
        created_at: now,
        task,
    }
}

fn note(app: &App, held: &Held, markup: String, now: Millis) -> NewTask {
    NewTask {
        id: app.ids.next(),
        side: Side::Portal,
        message: None,
        media: None,
        ..task(
            app,
            held,
            Task::Post {
                external_id: format!("note-{}", app.ids.next().simple()),
                text: markup,
                note: true,
            },
            now,
        )
    }
}

async fn give_up(app: &App, held: Held, now: Millis) -> Result<(), store::Error> {
    let registry = app.directory.snapshot();
    let language = registry
        .phones
        .get(&held.phone)
        .and_then(|phone| registry.instance_of(phone))
        .map_or(Language::English, |instance| instance.language);
    let facts = messages::by_id(&app.store, &[held.message]).await?;
    let text = facts.first().map_or("", |facts| facts.text.as_str());
    let note = match (&held.why, held.template()) {
        (Some(why), Some((name, of))) => Note::TemplateWaitedTooLong {
            name: name.to_owned(),
            language: of.to_owned(),
            why: why.clone(),
        },
        _ => Note::HeldTooLong {
            text: notes::beginning(text),
        },
    };
    let why = note.text(Language::English);
    let mut tx = app.store.begin().await?;
    if held::take(&mut tx, &[held.message]).await?.is_empty() {
        return Ok(());
    }
    let code = match held.why {
        Some(_) => TEMPLATE_EXPIRED,
        None => EXPIRED,
    };
    let error = MessageError {
        code: code.to_owned(),
        title: why.clone(),
        details: None,
    };
    let change = Change {
        state: Some(State::Failed),
        error: Some(error.clone()),
        ..step(held.message, now, "failed", Some(&why))
    };
    messages::change(&mut tx, vec![change]);
    let mut tasks = vec![self::note(app, &held, note.markup(language), now)];
    // A robot or an SMS may have asked for it.
    let news = [News {
        message: held.message,
        state: Some(State::Failed),
        error: Some(error),
    }];
    tasks.extend(orders::follow(&mut tx, &news, now, &app.ids).await?);
    lanes::enqueue(&mut tx, &tasks);
    tx.commit().await?;
    app.dispatcher.wake(held.phone, Side::Portal);
    Ok(())
}

/// Why a message was not sent as a template.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// It does not wait, or no longer.
    #[error("the message does not wait for its customer")]
    NotWaiting,
    /// It is made from a template already, and waits for that.
    #[error(
        "the message is made from a template already and waits until WhatsApp takes that again"
    )]
    Template,
    /// It is a file, which no template's text can hold.
    #[error("a file cannot be sent as the text of a template")]
    File,
    /// No template is named, and the number has none for this.
    #[error("the number has no template for this; name one")]
    NoTemplate,
    /// It does not fit.
    #[error("{}", Note::CodeRefused(.0.clone()).text(Language::English))]
    Refused(Refusal),
    /// The database did not take it.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Sends a message that waits as the value of a template: the one named, else the number's own for this.
pub async fn send_as_template(
    app: &App,
    message: Uuid,
    template: Option<TemplateRef>,
) -> Result<(), NotSent> {
    let held = held::get(&app.store, message)
        .await?
        .ok_or(NotSent::NotWaiting)?;
    if held.template().is_some() {
        return Err(NotSent::Template);
    }
    let Task::Text { body, confirm, .. } = &held.task else {
        return Err(NotSent::File);
    };
    let registry = app.directory.snapshot();
    let messaging = registry.messaging_of(held.phone);
    let template = template
        .or_else(|| messaging.wrapper.clone())
        .ok_or(NotSent::NoTemplate)?;
    let phone = registry
        .phones
        .get(&held.phone)
        .ok_or(NotSent::NotWaiting)?;
    let names = [template.name.clone()];
    let mut templates = catalogue::named(&app.store, &[held.phone], &names).await?;
    let filled = wrap::fill(
        &template,
        vec![body.clone()],
        &templates.remove(&held.phone).unwrap_or_default(),
        codes::languages(&registry, phone),
    )
    .map_err(NotSent::Refused)?;
    let conversation = conversations::by_id(&app.store, &[held.conversation]).await?;
    let filled = match conversation.first() {
        Some(conversation) => codes::wanted(conversation, filled).map_err(NotSent::Refused)?,
        None => filled,
    };
    let now = app.clock.now();
    let detail = format!("{} ({})", filled.name, filled.language);
    let mut tx = app.store.begin().await?;
    if held::take(&mut tx, &[message]).await?.is_empty() {
        return Err(NotSent::NotWaiting);
    }
    let change = step(message, now, wrap::WRAPPED, Some(&detail));
    messages::change(&mut tx, vec![change]);
    let shown = shown(&filled);
    let send = codes::task(filled, confirm.clone());
    let tasks = [task(app, &held, send, now), note(app, &held, shown, now)];
    lanes::enqueue(&mut tx, &tasks);
    tx.commit().await?;
    app.dispatcher.wake(held.phone, Side::Meta);
    app.dispatcher.wake(held.phone, Side::Portal);
    Ok(())
}

/// What operators see of a template in their chat.
pub(crate) fn shown(filled: &Filled) -> String {
    let text = from_whatsapp::markup::with_marks(&filled.shown);
    format!("[b]{} ({}):[/b][br]{text}", filled.name, filled.language)
}
