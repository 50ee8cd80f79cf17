//! Connections to a database, lent to one asker at a time.
//!
//! A statement costs little more than its way to the database and back, so nothing is asked that need not be: a
//! connection that was used a moment ago is taken as sound, and one goes back as soon as its answer is there. A
//! connection that was left in the middle of something (its asker gave up, or the line broke) is never lent again.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{ConnectOptions, Connection};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// A connection that rested for longer is asked whether it is still there before it is lent.
const TRUSTED: Duration = Duration::from_secs(10);
/// A database that is just starting is asked again after this.
const STARTING: Duration = Duration::from_millis(100);

/// Lends the connections to one database; clones lend the same ones.
pub(super) struct Lender<C: Connection> {
    home: Arc<Home<C>>,
}

struct Home<C: Connection> {
    options: C::Options,
    resting: Mutex<Vec<Resting<C>>>,
    /// One for each connection that may be lent.
    permits: Arc<Semaphore>,
    most: u32,
    patience: Duration,
}

struct Resting<C> {
    connection: C,
    since: Instant,
}

/// A connection that is lent. Dropped without [`Lent::give_back`] it is closed.
pub(super) struct Lent<C: Connection> {
    connection: C,
    home: Arc<Home<C>>,
    /// Dropped after the connection.
    _permit: OwnedSemaphorePermit,
}

impl<C: Connection> Clone for Lender<C> {
    fn clone(&self) -> Self {
        Self {
            home: Arc::clone(&self.home),
        }
    }
}

impl<C: Connection> fmt::Debug for Lender<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Lender")
            .field("most", &self.home.most)
            .finish_non_exhaustive()
    }
}

impl<C: Connection> Lender<C> {
    /// At most `most` connections at once. Whoever cannot have one within `patience` gets an error.
    pub(super) fn new(options: C::Options, most: u32, patience: Duration) -> Self {
        Self {
            home: Arc::new(Home {
                options,
                resting: Mutex::default(),
                permits: Arc::new(Semaphore::new(most as usize)),
                most,
                patience,
            }),
        }
    }

    /// A connection, as soon as one is free. Who asks first is served first.
    pub(super) async fn lend(&self) -> Result<Lent<C>, sqlx::Error> {
        let lend = async {
            let permit = Arc::clone(&self.home.permits)
                .acquire_owned()
                .await
                .map_err(|_closed| sqlx::Error::PoolClosed)?;
            let connection = match self.home.rested().await {
                Some(connection) => connection,
                None => self.home.connect().await?,
            };
            Ok(Lent {
                connection,
                home: Arc::clone(&self.home),
                _permit: permit,
            })
        };
        tokio::time::timeout(self.home.patience, lend)
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Waits for what is lent, then closes everything; nothing is lent any more.
    pub(super) async fn close(&self) {
        let all = self.home.permits.acquire_many(self.home.most);
        // What does not come back in time is closed by whoever has it.
        let _all = tokio::time::timeout(self.home.patience, all).await;
        self.home.permits.close();
        let resting = std::mem::take(&mut *self.home.resting());
        for Resting { connection, .. } in resting {
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "a connection to the database could not be closed");
            }
        }
    }
}

impl<C: Connection> Home<C> {
    fn resting(&self) -> std::sync::MutexGuard<'_, Vec<Resting<C>>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn rested(&self) -> Option<C> {
        let mut resting = self.resting().pop()?;
        if resting.since.elapsed() > TRUSTED && resting.connection.ping().await.is_err() {
            self.forget();
            return None;
        }
        Some(resting.connection)
    }

    /// Where one connection is broken the others are, too.
    fn forget(&self) {
        self.resting().clear();
    }

    async fn connect(&self) -> Result<C, sqlx::Error> {
        loop {
            match self.options.connect().await {
                Err(error) if is_starting(&error) => tokio::time::sleep(STARTING).await,
                connected => return connected,
            }
        }
    }
}

impl<C: Connection> Lent<C> {
    /// What was asked has come to an end, well or with this error: others may have the connection.
    pub(super) fn give_back(self, error: Option<&sqlx::Error>) {
        if error.is_some_and(is_broken) {
            self.home.forget();
            return;
        }
        let Self {
            connection,
            home,
            _permit: permit,
        } = self;
        if home.permits.is_closed() {
            return;
        }
        home.resting().push(Resting {
            connection,
            since: Instant::now(),
        });
        drop(permit);
    }
}

impl<C: Connection> Deref for Lent<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.connection
    }
}

impl<C: Connection> DerefMut for Lent<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.connection
    }
}

/// Whether the database is there, but not ready to be asked.
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        // PostgreSQL: cannot_connect_now.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == "57P03"),
        _ => false,
    }
}

/// Whether the connection cannot be used any more; else the database has refused a statement.
fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        // PostgreSQL ended the session: admin_shutdown, crash_shutdown, idle_session_timeout.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        _ => true,
    }
}
