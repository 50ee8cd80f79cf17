//! One call: its request, and who reads its answer.

use std::{sync::Arc, time::Duration};

use bitrix24::{
    client::Call,
    connector::{self, Delivered, Item, ItemChat, ItemFile, ItemMessage, ItemUser, Removal},
    lines::LineId,
};

use super::{
    Kind, all,
    judge::{failed_call, read_answer},
};
use crate::{
    app::App,
    deliver::{outcome, pace::Pace, settle::Settled},
    media, portal,
    registry::{Instance, Phone},
    store::{
        self,
        lanes::{Claimed, Confirmation, Ending, Task},
        messages,
    },
    time::Millis,
    translate::{from_whatsapp, notes::Note},
};

pub(super) async fn call(
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
            failed_call(app, instance, Some(phone), pace, rows, &error, &why, cut).await
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
        Kind::Confirm | Kind::Report | Kind::Call => {
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

pub(super) fn external_id(row: &Claimed) -> &str {
    match &row.task {
        Task::Post { external_id, .. }
        | Task::Update { external_id, .. }
        | Task::Delete { external_id } => external_id,
        _ => "",
    }
}

/// The message as the portal takes it. A portal that refused it before is told less about the person each time.
pub(super) fn item(app: &App, phone: &Phone, row: &Claimed) -> Item {
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
