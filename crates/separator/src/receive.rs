//! 1 The doors: a callback is verified over its raw bytes, put on disk, then answered.
//!
//! A door looks at nothing that can fail but the disk: what is set up is in memory. Many callbacks share one commit:
//! while one is being written, the next ones gather. An answer of 200 needs a [`Committed`], and only the committer
//! makes one.

pub mod bitrix;
pub mod consent;
pub mod frames;
pub mod keys;
pub mod meta;
pub mod orders;
pub(crate) mod origin;
pub mod pressure;

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::StatusCode,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::pressure::{Arrivals, Pressure};
use crate::{
    identifiers::Ids,
    intake::Intake,
    store::{
        Store,
        receipts::{self, Receipt, Source},
    },
    time::Clock,
};

/// The largest callback that is taken, in bytes. Meta sends at most 3 MB (Meta: webhooks).
pub const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// Receipts that may share one commit.
const GROUP: usize = 512;

/// Proof that a receipt is on disk. Nothing else allows a door to answer 200.
#[derive(Debug)]
pub struct Committed {
    _proof: (),
}

/// The disk did not take the receipt; the caller must be told to come again.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the receipt could not be stored")]
pub struct NotStored;

struct Pending {
    source: Source,
    owner: Uuid,
    body: Vec<u8>,
    answer: oneshot::Sender<Result<Committed, NotStored>>,
}

/// The way to the disk: one task that commits many receipts at once.
#[derive(Debug, Clone)]
pub struct Committer {
    queue: mpsc::Sender<Pending>,
    pressure: Arc<Pressure>,
}

impl Committer {
    /// Starts the committing task; it ends when the last handle is gone.
    pub fn start(
        store: Store,
        clock: Clock,
        ids: Ids,
        intake: Intake,
        tasks: &TaskTracker,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(4 * GROUP);
        let pressure = Arc::new(Pressure::new());
        tasks.spawn(commit_groups(
            waiting,
            store,
            clock,
            ids,
            intake,
            Arc::clone(&pressure),
        ));
        Self { queue, pressure }
    }

    /// Puts a verified callback on disk. Returns after its commit.
    pub async fn commit(
        &self,
        source: Source,
        owner: Uuid,
        body: Vec<u8>,
    ) -> Result<Committed, NotStored> {
        let (answer, committed) = oneshot::channel();
        self.queue
            .send(Pending {
                source,
                owner,
                body,
                answer,
            })
            .await
            .map_err(|_closed| NotStored)?;
        committed.await.map_err(|_gone| NotStored)?
    }

    /// How pressed the doors are.
    pub fn pressure(&self) -> &Pressure {
        &self.pressure
    }
}

async fn commit_groups(
    mut waiting: mpsc::Receiver<Pending>,
    store: Store,
    clock: Clock,
    ids: Ids,
    intake: Intake,
    pressure: Arc<Pressure>,
) {
    let mut group = Vec::with_capacity(GROUP);
    let mut arrivals = Arrivals::default();
    while waiting.recv_many(&mut group, GROUP).await > 0 {
        arrivals.came(group.len(), Instant::now(), &pressure);
        let received_at = clock.now();
        let mut answers = Vec::with_capacity(group.len());
        let receipts: Vec<Receipt> = group
            .drain(..)
            .map(|pending| {
                answers.push(pending.answer);
                let Pending {
                    source,
                    owner,
                    body,
                    ..
                } = pending;
                Receipt {
                    id: ids.next(),
                    source,
                    owner,
                    received_at,
                    body,
                }
            })
            .collect();
        let stored = receipts::commit(&store, receipts).await;
        if let Err(error) = &stored {
            tracing::error!(%error, receipts = answers.len(), "receipts could not be stored");
        }
        for answer in answers {
            // A caller that hung up no longer waits for the answer; its receipt stays.
            let _ = answer.send(match stored {
                Ok(()) => Ok(Committed { _proof: () }),
                Err(_) => Err(NotStored),
            });
        }
        if stored.is_ok() {
            intake.wake();
        } else {
            // A full disk does not empty faster for being asked at full speed.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        arrivals.committed(Instant::now(), &pressure);
    }
}

/// Reads a whole callback, at most [`BODY_LIMIT`] bytes.
async fn read_body(body: Body) -> Result<Bytes, StatusCode> {
    to_bytes(body, BODY_LIMIT).await.map_err(|error| {
        let too_large = std::error::Error::source(&error)
            .is_some_and(|source| source.to_string().contains("length limit"));
        if too_large {
            StatusCode::PAYLOAD_TOO_LARGE
        } else {
            StatusCode::BAD_REQUEST
        }
    })
}
