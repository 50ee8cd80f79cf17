//! What could be called now.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use uuid::Uuid;

use super::{Kind, MOST_LOOK_UPS, Planned, Settled, look_up_after};
use crate::{
    app::App,
    registry::Phone,
    store::{
        self,
        lanes::{self, Claimed, Ending, Priority, Side, Task},
    },
    time::Millis,
};

/// Whoever fetches a file makes its lane due; should that come before the lane is put off, it is looked at soon.
const LOOK_FOR_FILE: Duration = Duration::from_secs(2);

pub(super) struct Plans {
    pub(super) calls: Vec<Planned>,
    pub(super) waiting: Vec<Settled>,
    pub(super) next_due: Millis,
}

/// What could be called now, most urgent first.
pub(super) async fn plan(
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
        let looked_at = limit.max(MOST_LOOK_UPS);
        let wanted = looked_at + busy.len();
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
                *count <= looked_at
            })
            .map(|(lane, _)| lane)
            .collect();
        if due.is_empty() {
            continue;
        }
        let per_lane = (looked_at / due.len()).clamp(1, 32);
        let rows = lanes::heads(&app.store, Side::Portal, &due, per_lane as i64).await?;
        sort_out(app, phone, rows, now, &mut plans);
    }
    for planned in &mut plans.calls {
        let most = match planned.kind {
            Kind::LookUp => MOST_LOOK_UPS,
            _ => limit,
        };
        planned.rows.truncate(most);
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
    // The lane that was looked at last, and the call that its next row may still join.
    let mut current: Option<(Uuid, Option<Kind>)> = None;
    for row in rows {
        let lane = row.lane;
        let joins = match current {
            Some((same, joins)) if same == lane => Some(joins),
            _ => None,
        };
        let first = joins.is_none();
        if joins == Some(None) {
            continue;
        }
        let fit = fit(app, &row, now);
        let mut follows = None;
        match fit {
            Fit::Go(kind @ (Kind::Post | Kind::LookUp)) if first || joins == Some(Some(kind)) => {
                follows = Some(kind);
                together.entry(kind).or_default().push(row);
            }
            Fit::Go(kind @ (Kind::File | Kind::Report | Kind::Call)) if first => {
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
        Task::Call { .. } => Fit::Go(Kind::Call),
        // Never written for this side; the call refuses it.
        Task::Text { .. }
        | Task::File { .. }
        | Task::Media { .. }
        | Task::Template { .. }
        | Task::Interactive { .. } => Fit::Go(Kind::Post),
    }
}
