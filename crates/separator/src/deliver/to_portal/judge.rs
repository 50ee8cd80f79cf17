//! What came of each row of a call, and of the call as a whole.

use std::{sync::Arc, time::Duration};

use bitrix24::{
    client::{Answer, Class},
    connector::{self, ItemResult},
};

use super::{Kind, all, call::external_id, look_up_after};
use crate::{
    app::App,
    deliver::{outcome, pace::Pace, settle::Settled},
    portal::{self, CallError},
    registry::{Instance, Phone},
    store::{
        lanes::{Claimed, Ending, NewTask, Priority, Side, Task},
        messages::{MessageError, State},
    },
    time::Millis,
};

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

pub(super) fn read_answer(
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
pub(super) fn file_follows(
    app: &App,
    phone: &Phone,
    row: &Claimed,
    now: Millis,
) -> Option<NewTask> {
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
pub(super) fn give_up(row: Claimed, why: &str, now: Millis) -> Settled {
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
pub(super) async fn failed_call(
    app: &Arc<App>,
    instance: &Instance,
    phone: Option<&Phone>,
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
            let mended = match phone {
                Some(phone) => portal::publish_now(app, phone.id).await.is_ok(),
                None => false,
            };
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
