//! One store on two databases.
//!
//! SQLite (one writer, WAL, `synchronous=FULL`) and PostgreSQL are driven by the same SQL text: `$1` placeholders, ids
//! made by the program, times in Unix milliseconds, JSON as text. Statements over many rows come in a few fixed sizes,
//! so that both databases keep them prepared.
//!
//! A transaction never spans a network call. "Done" is written in the same transaction as its effect.

pub mod accounts;
pub mod announcements;
pub mod audit;
pub mod authorizations;
pub mod browse;
pub mod calling;
pub mod calls;
pub mod catalogue;
mod connections;
pub mod conversations;
pub mod credentials;
pub mod doctor;
pub mod events;
pub mod held;
pub mod idempotency;
pub mod instances;
pub mod interactive;
pub mod keys;
pub mod lanes;
pub mod media;
pub mod messages;
pub mod messaging;
pub mod meta;
pub mod meta_connections;
pub mod orders;
pub mod portals;
pub mod receipts;
pub mod robot_uses;
mod row;
pub mod sessions;
pub mod setup;
mod statement;
pub mod steps;
pub mod templates;
mod transaction;
pub mod users;

use std::{path::Path, time::Duration};

use sqlx::{
    PgConnection, SqliteConnection,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use self::{connections::Lender, statement::Statement, transaction::Line};
pub use self::{
    row::{Cell, Row},
    transaction::Transaction,
};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Statements that each connection keeps prepared: all that the program has, in all their sizes.
const STATEMENTS: usize = 500;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database said no or could not be reached.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("database schema: {0}")]
    Migration(MigrateError),
    /// The database was written by a newer version of the program.
    #[error(
        "the database was written by a newer version of Separator (schema {0}); install that version or restore a backup"
    )]
    Newer(i64),
    /// A row does not hold what the program wrote there.
    #[error("table {table}, column {column}: {why}")]
    Inconsistent {
        /// Table of the row.
        table: &'static str,
        /// Column that could not be read.
        column: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// Whether a unique key refused the row.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    /// Whether another writer was in the way: PostgreSQL ends one of two that wait for each other. Nothing is wrong, and
    /// the next try succeeds.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error))
            if error.code().is_some_and(|code| code == "40P01" || code == "40001"))
    }

    /// Whether the statement itself was refused, so that trying again cannot help. Everything else (disk full,
    /// database locked or gone) passes by itself.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(error)) => {
                error.is_unique_violation()
                    || error.is_check_violation()
                    || error.is_foreign_key_violation()
                    || error.code().is_some_and(|code| code.starts_with("22"))
            }
            Self::Inconsistent { .. } => true,
            _ => false,
        }
    }
}

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    lenders: Lenders,
}

#[derive(Debug, Clone)]
enum Lenders {
    Sqlite {
        writer: Lender<SqliteConnection>,
        readers: Lender<SqliteConnection>,
    },
    Postgres(Lender<PgConnection>),
}

impl Store {
    /// Opens the SQLite file, made where it is missing, and brings its schema up to date.
    pub async fn open_sqlite(file: &Path) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .pragma("wal_autocheckpoint", "1000")
            .statement_cache_capacity(STATEMENTS);
        let patience = Duration::from_secs(30);
        let writer = Lender::<SqliteConnection>::new(
            options.clone().pragma("cache_size", "-8000"),
            1,
            patience,
        );
        let readers = Lender::new(options.pragma("cache_size", "-2000"), 4, patience);
        let mut connection = writer.lend().await?;
        migrated(MIGRATIONS.run_direct(None, &mut *connection, false).await)?;
        connection.give_back(None);
        Ok(Self {
            lenders: Lenders::Sqlite { writer, readers },
        })
    }

    /// Connects to PostgreSQL and brings the schema up to date.
    pub async fn open_postgres(url: &str) -> Result<Self, Error> {
        let options = url
            .parse::<PgConnectOptions>()?
            .statement_cache_capacity(STATEMENTS);
        let lender = Lender::<PgConnection>::new(options, 12, Duration::from_secs(5));
        let mut connection = lender.lend().await?;
        migrated(MIGRATIONS.run_direct(None, &mut *connection, false).await)?;
        connection.give_back(None);
        Ok(Self {
            lenders: Lenders::Postgres(lender),
        })
    }

    /// Whether this is SQLite, where one node is all there is.
    pub fn is_sqlite(&self) -> bool {
        matches!(self.lenders, Lenders::Sqlite { .. })
    }

    async fn writer(&self) -> Result<Line, Error> {
        Ok(match &self.lenders {
            Lenders::Sqlite { writer, .. } => Line::Sqlite(writer.lend().await?),
            Lenders::Postgres(lender) => Line::Postgres(lender.lend().await?),
        })
    }

    async fn reader(&self) -> Result<Line, Error> {
        Ok(match &self.lenders {
            Lenders::Sqlite { readers, .. } => Line::Sqlite(readers.lend().await?),
            Lenders::Postgres(lender) => Line::Postgres(lender.lend().await?),
        })
    }

    /// Begins a transaction for writing.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        Ok(Transaction::new(self.writer().await?))
    }

    /// Reads rows outside any transaction.
    pub async fn fetch(&self, sql: &str, cells: &[Cell]) -> Result<Vec<Row>, Error> {
        Ok(self.reader().await?.ask(sql, cells).await?.rows)
    }

    /// Reads the first row, if there is one.
    pub async fn fetch_optional(&self, sql: &str, cells: &[Cell]) -> Result<Option<Row>, Error> {
        Ok(self.fetch(sql, cells).await?.into_iter().next())
    }

    /// Runs one statement in a transaction of its own; gives the number of rows it touched.
    pub async fn execute(&self, sql: &str, cells: &[Cell]) -> Result<u64, Error> {
        Ok(self.writer().await?.ask(sql, cells).await?.touched)
    }

    /// Reads the rows whose key is one of `keys`. `sql` ends in `IN`; rows may come more than once only if the table
    /// holds them more than once.
    pub async fn fetch_in(&self, sql: &str, keys: &[Cell]) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        for statement in Statement::over_keys(sql, keys) {
            rows.extend(self.fetch(&statement.sql, &statement.cells).await?);
        }
        Ok(rows)
    }

    /// Closes the connections; on SQLite the log is folded into the file.
    pub async fn close(&self) {
        match &self.lenders {
            Lenders::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Lenders::Postgres(lender) => lender.close().await,
        }
    }
}

fn migrated(result: Result<(), MigrateError>) -> Result<(), Error> {
    match result {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(version)) => Err(Error::Newer(version)),
        Err(error) => Err(Error::Migration(error)),
    }
}
