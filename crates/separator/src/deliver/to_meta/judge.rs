//! What follows from how a send ended.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;
use whatsapp::{
    client::Sent,
    codes::{Class, LimitScope, pair_wait},
};

use super::{Bucket, Limits, PAIR_BURST, PAIR_PER_SECOND, SendError};
use crate::{
    account,
    app::App,
    deliver::{outcome, settle::Settled, template_hold, window},
    identifiers::Ids,
    intake::from_meta,
    store::{
        lanes::{Claimed, Ending, NewTask, Priority, Side, Task},
        messages::{MessageError, State},
    },
    time::Millis,
    translate::{
        message::Language,
        notes::{self, Note},
        template::Unsendable,
    },
};

/// Bitrix24 marks a message red that is not confirmed within a minute.
const CONFIRM_AFTER: Duration = Duration::from_secs(40);

/// The confirmation that the portal waits for, due when Meta says `sent` or after 40 seconds.
pub(in crate::deliver) fn confirmation(ids: &Ids, row: &Claimed, now: Millis) -> Option<NewTask> {
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
pub(super) async fn judge(
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
    let sent_task = settled.row.task.for_another_try();
    if let Some(change) = &mut settled.change {
        change.wamid = Some(sent.wamid);
        change.sent_task = sent_task.map(Box::new);
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

pub(super) fn language(app: &App, row: &Claimed) -> Language {
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

/// Somebody who wants no marketing messages gets none: Meta is not asked.
pub(super) fn opted_out(app: &App, row: Claimed, now: Millis) -> Settled {
    let code = from_meta::MARKETING_STOPPED;
    let title = "The customer stopped marketing messages; nothing was sent";
    let text = notes::failure(Some(code), title, None, language(app, &row));
    let code = code.to_string();
    refused(app, row, title, &code, title, None, notes::wrap(&text), now)
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
            if let Some(status) = template_hold::status_of(code, &row) {
                let reason = Unsendable::NotApproved {
                    status: status.to_owned(),
                };
                let language = language(app, &row);
                let mut settled = template_hold::hold(app, row, reason, language, now);
                settled.refused = Some(status);
                return settled;
            }
            let title = api.map_or(why.as_str(), |api| api.headline());
            let details = api.and_then(|api| api.details.clone());
            let text = notes::failure(code, title, details.as_deref(), language(app, &row));
            let shown = code.map_or_else(String::new, |code| code.to_string());
            let conversation = row.conversation.as_ref().map(|peer| peer.id);
            let opted_out = conversation.filter(|_| code == Some(from_meta::MARKETING_STOPPED));
            let mut settled = refused(
                app,
                row,
                &why,
                &shown,
                title,
                details,
                notes::wrap(&text),
                now,
            );
            settled.opted_out = opted_out;
            settled
        }
    }
}
