//! Delivery to customers through one business number.
//!
//! Lanes go side by side, each with one message under way. Meta has no idempotency key, so each send carries its
//! message's id in `biz_opaque_callback_data`: a status that brings it back settles a send whose answer was lost. Only
//! after two minutes without one is it sent again, and the journey says so (Meta: messages; status webhooks).
//!
//! [`plan`] tells what can be sent now, [`mod@send`] sends, and [`mod@judge`] says what follows from how a send ended.

pub(super) mod judge;
mod plan;
mod send;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use whatsapp::client::Sent;

use self::{
    judge::judge,
    plan::{choose, claim},
    send::{SendError, send},
};
use super::{
    pace::{Bucket, Pace},
    settle::{self, settle},
};
use crate::{app::App, lease::Lease, registry::Phone, store::lanes::Claimed, time::Millis};

/// Sends under way at once for one number.
const MOST_SENDS: usize = 32;
/// Messages a second that every number may send (Meta: throughput); a number that may send more is not held back,
/// because Meta says when it is too much.
const THROUGHPUT: f64 = 80.0;
/// Messages to one customer: so many at once, then one in six seconds (Meta: pair rate limit).
const PAIR_BURST: f64 = 45.0;
const PAIR_PER_SECOND: f64 = 1.0 / 6.0;

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
