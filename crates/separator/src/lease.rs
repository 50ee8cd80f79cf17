//! The right to deliver. One process at a time has it, so that no message is sent by two.
//!
//! On SQLite the data folder is locked by the operating system; on PostgreSQL a row with an end time is kept fresh.
//! A [`Lease`] is a parameter of everything that delivers: holding one is the proof.

use std::{fs::File, path::Path, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    store::{Cell, Error, Store},
    time::Clock,
};

/// How long a lease lasts that is not kept fresh.
const LENGTH: Duration = Duration::from_secs(10);

/// Proof of the right to deliver.
#[derive(Debug, Clone)]
pub struct Lease {
    _proof: Arc<Proof>,
}

#[derive(Debug)]
enum Proof {
    Folder { _lock: File },
    Row,
}

/// Why there is no lease.
#[derive(Debug, thiserror::Error)]
pub enum NoLease {
    /// Another process uses the data folder.
    #[error("another Separator is running on this data folder")]
    FolderInUse,
    /// The data folder cannot be locked.
    #[error("the data folder cannot be locked: {0}")]
    Folder(#[from] std::io::Error),
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Locks the data folder for this process.
pub fn lock_folder(folder: &Path) -> Result<Lease, NoLease> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("separator.lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Lease {
            _proof: Arc::new(Proof::Folder { _lock: file }),
        }),
        Err(std::fs::TryLockError::WouldBlock) => Err(NoLease::FolderInUse),
        Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Takes the row of PostgreSQL if it is free or ours; `None` while another process has it.
pub async fn take_row(store: &Store, clock: &Clock, owner: &str) -> Result<Option<Lease>, Error> {
    let now = clock.now();
    let taken = store
        .execute(
            "INSERT INTO leases (name, owner, until) VALUES ('delivery', $1, $2) \
             ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until \
             WHERE leases.owner = excluded.owner OR leases.until < $3",
            &[Cell::text(owner), (now + LENGTH).0.into(), now.0.into()],
        )
        .await?;
    Ok((taken > 0).then(|| Lease {
        _proof: Arc::new(Proof::Row),
    }))
}

/// Keeps the row fresh; ends, and cancels `lost`, when another process has it or the database is away for too long.
pub async fn keep_row(
    store: Store,
    clock: Clock,
    owner: String,
    stop: CancellationToken,
    lost: CancellationToken,
) {
    let mut fresh_until = clock.now() + LENGTH;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(LENGTH / 4) => {}
        }
        match take_row(&store, &clock, &owner).await {
            Ok(Some(_)) => fresh_until = clock.now() + LENGTH,
            Ok(None) => {
                tracing::error!("another process took over delivery");
                lost.cancel();
                return;
            }
            Err(error) => {
                tracing::error!(%error, "the lease could not be kept fresh");
                if clock.now() > fresh_until {
                    tracing::error!("the right to deliver was lost; it is asked for again");
                    lost.cancel();
                    return;
                }
            }
        }
    }
}

/// Gives the row back, so that the next process need not wait for its end.
pub async fn give_back(store: &Store, owner: &str) -> Result<(), Error> {
    store
        .execute(
            "DELETE FROM leases WHERE name = 'delivery' AND owner = $1",
            &[Cell::text(owner)],
        )
        .await?;
    Ok(())
}
