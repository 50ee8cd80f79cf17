//! Delivery to one portal: customers' messages, notes, edits, deletions and confirmations.
//!
//! A portal takes few calls a second but many messages in a call, so what is due on a line goes together: the heads of
//! all lanes and what follows them in order. The size follows the need and is bounded so that, by the time an item was
//! measured to take, a call ends well within Bitrix24's 60 seconds. A message with a file travels alone, because the
//! portal fetches the file during the call. Nothing there removes duplicates, so after a call that was cut the size
//! falls back to one and what was cut is looked up before it is repeated.
//!
//! [`mod@plan`] finds what could be called now, [`mod@call`] calls, [`judge`] says what came of each row, and [`mod@look_up`] finds
//! out what became of a call that was cut.

mod call;
mod judge;
mod look_up;
mod plan;

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::{
    call::call,
    judge::{failed_call, give_up},
    look_up::look_up,
    plan::{Owner, plan},
};
use super::{
    outcome,
    pace::Pace,
    report::{self, Told},
    settle::{self, Settled, settle},
    telephony,
};
use crate::{
    app::App,
    lease::Lease,
    registry::{Instance, InstanceState, Phone},
    store::lanes::{Claimed, Ending},
    time::Millis,
};

/// Messages in one call, whatever their measured time.
const MOST_ITEMS: usize = 200;
/// Messages that are looked up together, also while calls of messages are kept small.
const MOST_LOOK_UPS: usize = 100;
/// A call should end within this, by the measured time of an item.
const CALL_LENGTH: Duration = Duration::from_secs(15);
/// Calls under way at once: one of messages, others with a file each or small.
const MOST_CALLS: usize = 4;

/// One call to the portal.
struct Planned {
    /// The number; `None` for what belongs to the portal itself, which is only reports.
    phone: Option<Phone>,
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
    Call,
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
            let owners: Vec<Owner<'_>> = registry
                .phones_of(instance.id)
                .map(Owner::Phone)
                .chain([Owner::Portal(instance.id)])
                .collect();
            turn = turn.wrapping_add(1);
            let planned = if flights.len() >= MOST_CALLS {
                Ok(None)
            } else if let Some(wait) = pace.wait() {
                // Nothing could go: nothing needs to be looked at.
                again_at = again_at.min(app.clock.now() + wait);
                Ok(None)
            } else {
                plan(&app, &owners, &busy, appetite.limit(), turn, &posting)
                    .await
                    .map(Some)
            };
            match planned {
                Ok(None) => {}
                Ok(Some(mut plans)) => {
                    again_at = again_at.min(plans.next_due);
                    settle_waiting(&app, std::mem::take(&mut plans.waiting)).await;
                    if plans.calls.is_empty() {
                        pace.nothing_to_deliver();
                    }
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
                            posting.extend(planned.phone.as_ref().map(|phone| phone.id));
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
    let phone = owner_of(&planned, instance);
    let (kind, rows) = (planned.kind, planned.rows.clone());
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
    let owner = owner_of(&planned, &instance);
    let Planned { phone, kind, rows } = planned;
    let lanes: Vec<Uuid> = rows.iter().map(|row| row.lane).collect();
    let items = rows.len();
    let begun = Instant::now();
    let mut cut = false;
    let outcome = if matches!(kind, Kind::Report | Kind::Call) {
        let mut settled = Vec::new();
        for row in rows {
            let told = if kind == Kind::Report {
                report::tell(&app, &instance, &pace, row).await
            } else {
                telephony::tell(&app, &instance, &pace, row).await
            };
            match told {
                Told::Settled(one) => settled.push(*one),
                Told::Failed(row, error, why) => {
                    let rows = vec![*row];
                    settled.extend(
                        failed_call(
                            &app,
                            &instance,
                            phone.as_ref(),
                            &pace,
                            rows,
                            &error,
                            &why,
                            &mut cut,
                        )
                        .await,
                    );
                }
            }
        }
        settled
    } else if let Some(phone) = &phone {
        if kind == Kind::LookUp {
            look_up(&app, &instance, phone, &pace, rows).await
        } else {
            send(&app, &instance, phone, &pace, kind, rows, &mut cut).await
        }
    } else {
        let now = app.clock.now();
        all(rows, |row| {
            give_up(row, "it belongs to no number and is no report", now)
        })
    };
    Landed {
        phone: owner,
        kind,
        lanes,
        items,
        took: begun.elapsed(),
        cut,
        outcome,
    }
}

/// Whose lanes a call empties: a number's, or the portal's own.
fn owner_of(planned: &Planned, instance: &Instance) -> Uuid {
    planned.phone.as_ref().map_or(instance.id, |phone| phone.id)
}

/// Marks rows as started and makes their call.
async fn send(
    app: &Arc<App>,
    instance: &Instance,
    phone: &Phone,
    pace: &Arc<Pace>,
    kind: Kind,
    rows: Vec<Claimed>,
    cut: &mut bool,
) -> Vec<Settled> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let now = app.clock.now();
    match settle::mark_started(app, ids).await {
        Ok(()) => call(app, instance, phone, pace, kind, rows, cut).await,
        Err(error) => {
            tracing::error!(%error, "a call could not be marked as started and was not made");
            all(rows, |row| {
                Settled::new(row, outcome::wait(now, Duration::from_secs(1)))
            })
        }
    }
}

fn all(rows: Vec<Claimed>, each: impl Fn(Claimed) -> Settled) -> Vec<Settled> {
    rows.into_iter().map(each).collect()
}
