//! Whether messages whose call was cut are in the chat.

use std::{collections::BTreeMap, sync::Arc};

use bitrix24::{
    client::{Call, Class, MAX_BATCH, batch_call, read_batch_results},
    connector::{self, Item, ItemResult},
    lines::{self, History, LineId},
};

use super::{
    all,
    call::{external_id, item},
    judge::{file_follows, give_up},
};
use crate::{
    app::App,
    deliver::{outcome, pace::Pace, settle::Settled},
    portal::{self, CallError},
    registry::{Instance, Phone},
    store::{
        lanes::{Claimed, Ending},
        messages::State,
    },
    time::Millis,
};

/// Most histories asked for in one request: each may be long.
const HISTORIES: usize = MAX_BATCH / 2;

/// Finds out which messages whose call was cut are in the chat.
///
/// First the sessions' histories are read, several in a request, which name external ids. What they do not show is
/// written once more by one `imconnector.update.messages` next to an id that cannot exist: only a portal that refuses
/// that one and takes another is known to tell them apart, and then the message is there.
pub(super) async fn look_up(
    app: &Arc<App>,
    instance: &Instance,
    phone: &Phone,
    pace: &Pace,
    rows: Vec<Claimed>,
) -> Vec<Settled> {
    let found = match find(app, instance, phone, pace, &rows).await {
        Ok(found) => found,
        Err(error) => {
            let why = error.to_string();
            return all(rows, |row| not_looked_up(app, row, &why));
        }
    };
    let now = app.clock.now();
    (rows.into_iter().zip(found))
        .map(|(row, found)| match found {
            Ok(found) => settled(app, phone, row, found, now),
            Err(why) => not_looked_up(app, row, &why),
        })
        .collect()
}

fn not_looked_up(app: &App, row: Claimed, why: &str) -> Settled {
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
    Settled::new(row, ending).tells(now, None, "could not be looked up", Some(why))
}

fn settled(app: &App, phone: &Phone, row: Claimed, found: Found, now: Millis) -> Settled {
    let (how, follows) = match found {
        Found::There(how) => (how, None),
        Found::WithoutFile => (
            "without its file, which follows",
            file_follows(app, phone, &row, now),
        ),
        Found::NotThere(how) => {
            let ending = Ending::Later {
                at: now,
                counts: false,
                unknown: false,
            };
            return Settled::new(row, ending).tells(
                now,
                None,
                "not in the chat, sent again",
                Some(how),
            );
        }
    };
    let inbound = row.origin.as_deref() == Some("customer");
    let mut settled = Settled::new(row, Ending::Done).tells(
        now,
        inbound.then_some(State::Delivered),
        "found in the operator's chat",
        Some(how),
    );
    settled.tasks.extend(follows);
    settled
}

#[derive(Debug, Clone, Copy)]
enum Found {
    There(&'static str),
    /// The portal could not fetch the file, because this program was gone meanwhile.
    WithoutFile,
    NotThere(&'static str),
}

/// What became of each row, in their order, or why that cannot be told now.
async fn find(
    app: &Arc<App>,
    instance: &Instance,
    phone: &Phone,
    pace: &Pace,
    rows: &[Claimed],
) -> Result<Vec<Result<Found, String>>, CallError> {
    let (Some(connector), Some(line)) = (phone.connector.as_deref(), phone.line_id) else {
        let never = Found::NotThere("the line was never set up");
        return Ok(vec![Ok(never); rows.len()]);
    };
    let histories = histories(app, instance, pace, rows).await?;
    let mut found: Vec<Option<Result<Found, String>>> = Vec::with_capacity(rows.len());
    let mut unseen = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let history = chat_and_session(row).and_then(|(chat, _)| histories.get(&chat));
        let seen = match history {
            Some(Ok(history)) => in_history(history, row).map(Ok),
            // The token's user may not be let into the chat.
            Some(Err(error)) if !cannot_tell(error) => Some(Err(error.to_string())),
            _ => None,
        };
        if seen.is_none() {
            unseen.push(at);
        }
        found.push(seen);
    }
    if !unseen.is_empty() {
        if !histories.is_empty() {
            pace.take().await;
        }
        let items: Vec<Item> = (unseen.iter())
            .map(|at| item(app, phone, &rows[*at]))
            .collect();
        let known = by_update(app, instance, (connector, LineId(line)), items).await?;
        for (at, known) in unseen.into_iter().zip(known) {
            found[at] = Some(Ok(known));
        }
    }
    let silent = || Err("the portal said nothing about it".to_owned());
    Ok((found.into_iter())
        .map(|one| one.unwrap_or_else(silent))
        .collect())
}

fn chat_and_session(row: &Claimed) -> Option<(i64, Option<i64>)> {
    let peer = row.conversation.as_ref()?;
    Some((peer.im_chat_id?, peer.session_id))
}

fn in_history(history: &History, row: &Claimed) -> Option<Found> {
    let id = external_id(row);
    let message = (history.messages.iter())
        .find(|message| message.external_ids.iter().any(|known| known == id))?;
    Some(match &row.media {
        Some(file) if file.state == "ready" && message.files == 0 => Found::WithoutFile,
        _ => Found::There("the session's history names it"),
    })
}

/// The histories of the rows' chats, by the chat. The first request was paid for by who planned this.
async fn histories(
    app: &Arc<App>,
    instance: &Instance,
    pace: &Pace,
    rows: &[Claimed],
) -> Result<BTreeMap<i64, Result<History, bitrix24::Error>>, CallError> {
    let chats: BTreeMap<i64, Option<i64>> = rows.iter().filter_map(chat_and_session).collect();
    let chats: Vec<(i64, Option<i64>)> = chats.into_iter().collect();
    let mut read = BTreeMap::new();
    for some in chats.chunks(HISTORIES) {
        if !read.is_empty() {
            pace.take().await;
        }
        let calls: Vec<Call> = some
            .iter()
            .map(|(chat, session)| lines::session_history(*chat, *session))
            .collect();
        let call = batch_call(&calls);
        let answer = portal::call(app, instance, &call.method, &call.params).await?;
        let results = read_batch_results(&answer.result, calls.len());
        for ((chat, _), result) in some.iter().zip(results) {
            read.insert(*chat, result.map(|result| History::read(&result)));
        }
    }
    Ok(read)
}

/// Which of these a portal knows by their ids.
async fn by_update(
    app: &Arc<App>,
    instance: &Instance,
    (connector, line): (&str, LineId),
    mut items: Vec<Item>,
) -> Result<Vec<Found>, CallError> {
    for item in &mut items {
        item.message.files.clear();
    }
    let count = items.len();
    let Some(mut canary) = items.first().cloned() else {
        return Ok(Vec::new());
    };
    canary.message.id = format!("probe-{}", app.ids.next().simple());
    items.insert(0, canary);
    let call = connector::update_messages(connector, line, &items);
    let answer = match portal::call(app, instance, &call.method, &call.params).await {
        Ok(answer) => answer,
        Err(CallError::Rest(error)) if cannot_tell(&error) => {
            let untold = Found::NotThere("the portal does not let messages be looked up");
            return Ok(vec![untold; count]);
        }
        Err(error) => return Err(error),
    };
    let ids: Vec<&str> = (items.iter())
        .map(|item| item.message.id.as_str())
        .collect();
    let results = connector::read_items(&answer.result, &ids);
    let tells = matches!(results.first(), Some(ItemResult::Failed { .. }));
    Ok((results.iter().skip(1))
        .map(|result| match result {
            ItemResult::Accepted { .. } if tells => Found::There("the portal knows its id"),
            ItemResult::Failed { .. } if tells => {
                Found::NotThere("the portal does not know its id")
            }
            _ => Found::NotThere("the portal does not tell known ids from unknown ones"),
        })
        .collect())
}

/// Whether asking again would bring the same refusal.
fn cannot_tell(error: &bitrix24::Error) -> bool {
    matches!(error.class(), Class::Refused | Class::Blocked(_))
}
