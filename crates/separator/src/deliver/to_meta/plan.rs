//! What can be sent now, and what waits.

use std::{collections::HashSet, time::Duration};

use uuid::Uuid;

use super::{
    Limits, Wait,
    judge::{confirmation, language, opted_out},
};
use crate::{
    app::App,
    deliver::{outcome, settle::Settled, template_hold},
    registry::Phone,
    store::{
        self,
        lanes::{self, Claimed, Ending, Side},
        messages::State,
    },
    time::Millis,
};

pub(super) async fn claim(
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
    let (rows, mut held) = without_held(app, rows).await?;
    let templates = template_hold::templates_of(app, phone, &rows).await?;
    let mut kept = Vec::with_capacity(rows.len());
    for mut row in rows {
        row.marketing = template_hold::is_marketing(&row, &templates);
        if unwanted(&row) {
            held.push(opted_out(app, row, now));
            continue;
        }
        match template_hold::unsendable(&row, &templates) {
            Some(why) if row.message.is_some() => {
                let language = language(app, &row);
                held.push(template_hold::hold(app, row, why, language, now));
            }
            _ => kept.push(row),
        }
    }
    // What left its lane made room for more that is due.
    let next_due = if held.is_empty() { next_due } else { Some(now) };
    Ok((kept, held, next_due))
}

/// Whether it is a marketing message, not tried yet, to somebody who wants none.
fn unwanted(row: &Claimed) -> bool {
    let stopped = row.conversation.as_ref();
    row.marketing && row.started_at.is_none() && stopped.is_some_and(|peer| peer.marketing_stopped)
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
pub(super) fn choose(
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
                outcome::wait(now, Duration::from_secs(1)),
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
    let sent_task = row.task.for_another_try();
    let mut settled = Settled::new(row, Ending::Done).tells(
        now,
        None,
        "settled by a status",
        Some("the answer to the send was lost; a status of Meta names the message"),
    );
    if let Some(change) = &mut settled.change {
        change.sent_task = sent_task.map(Box::new);
    }
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
