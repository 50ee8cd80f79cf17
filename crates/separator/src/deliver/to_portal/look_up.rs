//! Whether a message whose call was cut is in the chat.

use std::sync::Arc;

use bitrix24::{
    client::Class,
    connector::{self, ItemResult},
    lines::{self, LineId},
};

use super::{
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
};

/// Finds out whether a message whose call was cut is in the chat.
///
/// First the session's history is read, which names external ids. Where it does not show the message, its text is
/// written once more by `imconnector.update.messages` next to an id that cannot exist: only a portal that refuses the
/// second and takes the first is known to tell them apart, and then the message is there.
pub(super) async fn look_up(
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
