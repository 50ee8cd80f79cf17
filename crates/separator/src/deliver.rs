//! 3 Delivery: what is due is claimed, sent, settled.
//!
//! **Unit of work.** A lane is a conversation in one direction; only its head may be in flight (towards a portal: its
//! head and what follows it in order, in one call). A head that waits or whose outcome is unknown holds its lane and no
//! other.
//!
//! **Destinations.** The limit belongs to the destination, so there is one worker for each portal and one for each
//! business number, each with its pace. A worker waits; it never sleeps on behalf of another. A blocked or flooded
//! destination costs the others nothing but its share of the machine.
//!
//! **A try.** Before a call goes out its rows are marked as started, on disk. When it is settled, the mark goes in the
//! same transaction that writes the effect: the message's state and journey, follow-up tasks, the lane's next due time.
//! A row found with a mark was cut off, by a crash or a lost answer; it is looked up before it is repeated.
//!
//! **Races considered.**
//! * *A status of Meta overtakes the answer to the send.* Intake writes it to the message; settling finds the message
//!   already `sent` and confirms to the portal at once.
//! * *A status arrives for a send whose answer was lost.* Intake makes the lane due; the worker finds a wamid on the
//!   message of a started row and settles it without sending.
//! * *Intake adds to a lane while it is settled.* The lane's `next_seq` grows in the database; a lane is deleted only
//!   where `head_seq >= next_seq`, evaluated by the database.
//! * *A wake is lost, or there is no worker yet.* Each worker computes when its next lane is due, and the dispatcher
//!   looks over all lanes every few seconds.
//! * *The process dies between the other side's answer and settling.* The mark is on disk; see "A try".
//! * *Two processes on one database.* The lease (see [`crate::lease`]) is a parameter of every worker; without it
//!   nothing is delivered.
//!
//! **Not promised.** Towards Bitrix24 exactly-once rests on looking a message up; where a portal neither lists external
//! ids in its history nor tells known from unknown ids when updating, a message whose answer was lost is shown twice
//! rather than not at all.

pub mod outcome;
pub mod pace;
mod report;
mod settle;
pub mod telephony;
mod template;
pub(crate) mod template_hold;
mod to_meta;
mod to_portal;
mod window;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::pace::Pace;
use crate::{
    app::App,
    lease::Lease,
    registry::Instance,
    store::{
        self,
        lanes::{self, NewTask, Priority, Side, Task},
        messages::{self, Journey, State},
    },
    time::Clock,
};

/// How often all lanes are looked over without being told to.
const LOOK_OVER: Duration = Duration::from_secs(5);

/// How long a worker rests that knows of nothing to come; a wake ends it, and the looking over finds what no wake told.
const REST: Duration = Duration::from_mins(10);

/// A destination: what has a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Destination {
    /// A portal.
    Portal(Uuid),
    /// A business number, towards Meta.
    Number(Uuid),
}

/// Wakes the workers and keeps the paces.
#[derive(Debug)]
pub struct Dispatcher {
    clock: Clock,
    wakes: mpsc::UnboundedSender<(Uuid, Side)>,
    waiting: Mutex<Option<mpsc::UnboundedReceiver<(Uuid, Side)>>>,
    paces: Mutex<HashMap<Uuid, Arc<Pace>>>,
    ledger: mpsc::Sender<settle::Entry>,
    entries: Mutex<Option<mpsc::Receiver<settle::Entry>>>,
    marketing: OtherWay,
}

/// Accounts whose marketing templates Meta takes by their own way only, as far as it said so since the start.
#[derive(Debug, Default)]
struct OtherWay(Mutex<HashSet<Uuid>>);

impl OtherWay {
    fn is_asked_for(&self, account: Uuid) -> bool {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.contains(&account)
    }

    fn ask_for(&self, account: Uuid) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(account);
    }
}

impl Dispatcher {
    /// A dispatcher whose workers begin with [`run`].
    pub fn new(clock: Clock) -> Self {
        let (wakes, waiting) = mpsc::unbounded_channel();
        let (ledger, entries) = mpsc::channel(1024);
        Self {
            clock,
            wakes,
            waiting: Mutex::new(Some(waiting)),
            paces: Mutex::default(),
            ledger,
            entries: Mutex::new(Some(entries)),
            marketing: OtherWay::default(),
        }
    }

    /// Tells that a number, or a portal by itself, has something for a side. An optimization: the lanes are looked over
    /// anyway.
    pub fn wake(&self, owner: Uuid, side: Side) {
        // Nobody listens while the program stops; the lanes keep what is due.
        let _ = self.wakes.send((owner, side));
    }

    /// The pace of a portal, shared by delivery and everything else that calls it.
    pub fn pace(&self, instance: Uuid) -> Arc<Pace> {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(paces.entry(instance).or_insert_with(|| {
            // Bitrix24: limits, for all plans below Enterprise; the portal's own figures come with its worker.
            Arc::new(Pace::new(self.clock.clone(), 40.0, 2.0))
        }))
    }

    fn pace_of(&self, instance: &Instance) -> Arc<Pace> {
        let pace = self.pace(instance.id);
        pace.set_limits(instance.burst as f64, instance.calls_per_second);
        pace
    }
}

/// Delivers until told to stop, then lets what is in flight end.
pub async fn run(app: Arc<App>, lease: Lease, stop: CancellationToken) {
    let waiting = app
        .dispatcher
        .waiting
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(mut waiting) = waiting else {
        tracing::error!("delivery was started twice");
        return;
    };
    let entries = app
        .dispatcher
        .entries
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let closing = CancellationToken::new();
    let ledger = entries.map(|entries| {
        tokio::spawn(settle::keep_ledger(
            Arc::clone(&app),
            entries,
            closing.clone(),
        ))
    });
    let workers = TaskTracker::new();
    let mut wakes: HashMap<Destination, (Arc<Notify>, JoinHandle<()>)> = HashMap::new();
    let mut look_over = tokio::time::interval(LOOK_OVER);
    look_over.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut changed = app.directory.watch();
    loop {
        let due = tokio::select! {
            () = stop.cancelled() => break,
            Some(wake) = waiting.recv() => vec![wake],
            _ = look_over.tick() => lanes_due(&app).await,
            _ = changed.changed() => lanes_due(&app).await,
        };
        let registry = app.directory.snapshot();
        for (owner, side) in due {
            let destination = match (side, registry.phones.get(&owner)) {
                (Side::Meta, Some(phone)) => Destination::Number(phone.id),
                (Side::Portal, Some(phone)) => match phone.instance_id {
                    Some(instance) => Destination::Portal(instance),
                    // Nobody to deliver to: the lanes wait for the number to be linked.
                    None => continue,
                },
                (Side::Portal, None) if registry.instances.contains_key(&owner) => {
                    Destination::Portal(owner)
                }
                (_, None) => continue,
            };
            // A worker ends only with the program. Where one broke off, another takes its place at the next look.
            if wakes
                .get(&destination)
                .is_some_and(|(_, worker)| worker.is_finished())
            {
                tracing::error!(?destination, "a worker broke off; another takes its place");
                wakes.remove(&destination);
            }
            let (wake, _) = wakes.entry(destination).or_insert_with(|| {
                let wake = Arc::new(Notify::new());
                let (app, stop) = (Arc::clone(&app), stop.clone());
                let own = Arc::clone(&wake);
                let worker = match destination {
                    Destination::Portal(instance) => {
                        workers.spawn(to_portal::run(app, lease.clone(), instance, own, stop))
                    }
                    Destination::Number(phone) => {
                        workers.spawn(to_meta::run(app, lease.clone(), phone, own, stop))
                    }
                };
                (wake, worker)
            });
            wake.notify_one();
        }
    }
    workers.close();
    workers.wait().await;
    // Whoever had something to write has had its answer.
    closing.cancel();
    if let Some(ledger) = ledger
        && let Ok(entries) = ledger.await
    {
        *app.dispatcher
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(entries);
    }
    // A process that lost its lease delivers again once it has another.
    *app.dispatcher
        .waiting
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Some(waiting);
}

async fn lanes_due(app: &App) -> Vec<(Uuid, Side)> {
    match lanes::destinations_due(&app.store, app.clock.now()).await {
        Ok(due) => due,
        Err(error) => {
            tracing::error!(%error, "the lanes could not be looked over");
            Vec::new()
        }
    }
}

/// What came of asking for a message to be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It is on its way again.
    Queued,
    /// It did not fail.
    NotFailed,
    /// There is no such message, or nothing of it is left that could be sent.
    Unknown,
}

/// Puts a failed message back on its way.
pub async fn retry(app: &App, message: Uuid) -> Result<Retry, store::Error> {
    let Some(facts) = messages::by_id(&app.store, &[message])
        .await?
        .into_iter()
        .next()
    else {
        return Ok(Retry::Unknown);
    };
    if facts.state != State::Failed {
        return Ok(Retry::NotFailed);
    }
    let dead = lanes::dead_letters_of(&app.store, message).await?;
    if !dead.is_empty() {
        for letter in dead {
            replay_dead_letter(app, letter).await?;
        }
        return Ok(Retry::Queued);
    }
    // Meta accepted it and told of its failure later: it is sent anew.
    let task = match messages::sent_task(&app.store, message).await? {
        Some(task) if !facts.inbound => task,
        _ => match (facts.inbound, facts.kind.as_str(), facts.media) {
            (false, "text", None) => Task::Text {
                body: facts.text,
                context: None,
                confirm: None,
            },
            (false, _, Some(_)) => Task::File {
                caption: None,
                context: None,
                confirm: None,
            },
            _ => return Ok(Retry::Unknown),
        },
    };
    let now = app.clock.now();
    let new = NewTask {
        id: app.ids.next(),
        lane: facts.conversation,
        side: Side::Meta,
        phone: facts.phone,
        message: Some(message),
        media: facts.media,
        priority: Priority::Conversation,
        due_at: now,
        created_at: now,
        task,
    };
    let asked = match &facts.wamid {
        Some(wamid) => format!("asked for by a user; {}", messages::try_before(wamid)),
        None => "asked for by a user".to_owned(),
    };
    let mut tx = app.store.begin().await?;
    lanes::enqueue(&mut tx, &[new]);
    let journey = Journey::new().with(now, "retried", Some(&asked));
    messages::requeue(&mut tx, message, now, journey);
    tx.commit().await?;
    app.dispatcher.wake(facts.phone, Side::Meta);
    Ok(Retry::Queued)
}

/// Puts a dead letter back into its lane; `false` where there is none with this id.
pub async fn replay_dead_letter(app: &App, id: Uuid) -> Result<bool, store::Error> {
    let now = app.clock.now();
    let journey = Journey::new().with(now, "replayed", Some("taken from the dead letters"));
    let Some((phone, side)) = lanes::replay(&app.store, id, now, journey).await? else {
        return Ok(false);
    };
    app.media.wake();
    app.dispatcher.wake(phone, side);
    Ok(true)
}
