//! One store on two databases.
//!
//! SQLite (one writer, WAL, `synchronous=FULL`) and PostgreSQL are driven by the same SQL text: `$1` placeholders, ids
//! made by the program, times in Unix milliseconds, JSON as text. Statements over many rows come in a few fixed sizes,
//! so that both databases keep them prepared.
//!
//! A transaction never spans a network call. "Done" is written in the same transaction as its effect.

pub mod accounts;
pub mod browse;
pub mod calling;
pub mod conversations;
pub mod events;
pub mod idempotency;
pub mod instances;
pub mod lanes;
pub mod media;
pub mod messages;
pub mod portals;
pub mod receipts;
pub mod sessions;
pub mod setup;
pub mod users;

use std::path::Path;

use sqlx::{
    AssertSqlSafe, Column as _, Connection as _, Row as _, ValueRef as _,
    migrate::{MigrateError, Migrator},
    postgres::{PgPool, PgPoolOptions, PgRow},
    sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
        SqliteSynchronous,
    },
};
use uuid::Uuid;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

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

/// A value on its way into a statement.
#[derive(Debug, Clone)]
pub enum Cell {
    /// An id.
    Id(Uuid),
    /// An id or NULL.
    MaybeId(Option<Uuid>),
    /// A number, also a time in Unix milliseconds.
    Number(i64),
    /// A number or NULL.
    MaybeNumber(Option<i64>),
    /// A fraction.
    Real(f64),
    /// Text. NUL characters, which PostgreSQL cannot hold, become U+FFFD.
    Text(String),
    /// Text or NULL.
    MaybeText(Option<String>),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Bytes or NULL.
    MaybeBytes(Option<Vec<u8>>),
    /// Yes or no.
    Flag(bool),
}

impl Cell {
    /// Text from anything that can be shown as such.
    pub fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }
}

impl From<Uuid> for Cell {
    fn from(value: Uuid) -> Self {
        Self::Id(value)
    }
}
impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self::Number(value)
    }
}
impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}
impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}
impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}
impl From<Option<String>> for Cell {
    fn from(value: Option<String>) -> Self {
        Self::MaybeText(value)
    }
}
impl From<Option<Uuid>> for Cell {
    fn from(value: Option<Uuid>) -> Self {
        Self::MaybeId(value)
    }
}
impl From<Option<i64>> for Cell {
    fn from(value: Option<i64>) -> Self {
        Self::MaybeNumber(value)
    }
}
impl From<Vec<u8>> for Cell {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

macro_rules! bound {
    ($sql:expr, $cells:expr) => {{
        let mut query = sqlx::query(AssertSqlSafe($sql));
        for cell in $cells {
            query = match cell {
                Cell::Id(value) => query.bind(*value),
                Cell::MaybeId(value) => query.bind(*value),
                Cell::Number(value) => query.bind(*value),
                Cell::MaybeNumber(value) => query.bind(*value),
                Cell::Real(value) => query.bind(*value),
                Cell::Text(value) if value.contains('\0') => query.bind(storable(value)),
                Cell::Text(value) => query.bind(value.as_str()),
                Cell::MaybeText(Some(value)) if value.contains('\0') => query.bind(storable(value)),
                Cell::MaybeText(value) => query.bind(value.as_deref()),
                Cell::Bytes(value) => query.bind(value.as_slice()),
                Cell::MaybeBytes(value) => query.bind(value.as_deref()),
                Cell::Flag(value) => query.bind(*value),
            };
        }
        query
    }};
}

/// A row of either database, read by column name.
pub enum Row {
    /// From SQLite.
    Sqlite(SqliteRow),
    /// From PostgreSQL.
    Postgres(PgRow),
}

macro_rules! reader {
    ($(#[$doc:meta])* $name:ident, $type:ty) => {
        $(#[$doc])*
        pub fn $name(&self, column: &'static str) -> Result<$type, Error> {
            match self {
                Self::Sqlite(row) => row.try_get(column),
                Self::Postgres(row) => row.try_get(column),
            }
            .map_err(|error| self.inconsistent(column, &error))
        }
    };
}

impl Row {
    reader!(
        /// An id.
        id, Uuid);
    reader!(
        /// An id or none.
        maybe_id, Option<Uuid>);
    reader!(
        /// A number.
        number, i64);
    reader!(
        /// A number or none.
        maybe_number, Option<i64>);
    reader!(
        /// A fraction.
        real, f64);
    reader!(
        /// Text.
        text, String);
    reader!(
        /// Text or none.
        maybe_text, Option<String>);
    reader!(
        /// Bytes.
        bytes, Vec<u8>);
    reader!(
        /// Bytes or none.
        maybe_bytes, Option<Vec<u8>>);
    reader!(
        /// Yes or no.
        flag, bool);

    fn inconsistent(&self, column: &'static str, error: &sqlx::Error) -> Error {
        let present = match self {
            Self::Sqlite(row) => row.columns().iter().any(|c| c.name() == column),
            Self::Postgres(row) => row.columns().iter().any(|c| c.name() == column),
        };
        let null = match self {
            Self::Sqlite(row) => row.try_get_raw(column).is_ok_and(|value| value.is_null()),
            Self::Postgres(row) => row.try_get_raw(column).is_ok_and(|value| value.is_null()),
        };
        let why = match (present, null) {
            (false, _) => "is not part of the answer".to_owned(),
            (true, true) => "is NULL".to_owned(),
            (true, false) => error.to_string(),
        };
        Error::Inconsistent {
            table: "(query)",
            column,
            why,
        }
    }
}

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    pools: Pools,
}

#[derive(Debug, Clone)]
enum Pools {
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

/// A transaction; dropped without [`Transaction::commit`] it leaves no trace.
pub enum Transaction {
    /// On SQLite: the only writer there is.
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    /// On PostgreSQL.
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
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
            .busy_timeout(std::time::Duration::from_secs(5))
            .pragma("wal_autocheckpoint", "1000")
            .pragma("cache_size", "-8000")
            .statement_cache_capacity(400);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            // Where the disk fails, SQLite ends the transaction by itself and the connection goes on counting it: every
            // later transaction would be refused. Such a connection is replaced.
            .before_acquire(|connection, _| {
                let usable = !connection.is_in_transaction();
                Box::pin(async move { Ok(usable) })
            })
            .connect_with(options.clone())
            .await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .min_connections(1)
            .connect_with(options.pragma("cache_size", "-2000").read_only(false))
            .await?;
        let store = Self {
            pools: Pools::Sqlite { writer, readers },
        };
        store.migrate().await?;
        Ok(store)
    }

    /// Connects to PostgreSQL and brings the schema up to date.
    pub async fn open_postgres(url: &str) -> Result<Self, Error> {
        let pool = PgPoolOptions::new()
            .max_connections(12)
            .acquire_timeout(std::time::Duration::from_secs(5))
            .connect(url)
            .await?;
        let store = Self {
            pools: Pools::Postgres(pool),
        };
        store.migrate().await?;
        Ok(store)
    }

    async fn migrate(&self) -> Result<(), Error> {
        let result = match &self.pools {
            Pools::Sqlite { writer, .. } => MIGRATIONS.run(writer).await,
            Pools::Postgres(pool) => MIGRATIONS.run(pool).await,
        };
        match result {
            Ok(()) => Ok(()),
            Err(MigrateError::VersionMissing(version)) => Err(Error::Newer(version)),
            Err(error) => Err(Error::Migration(error)),
        }
    }

    /// Whether this is SQLite, where one node is all there is.
    pub fn is_sqlite(&self) -> bool {
        matches!(self.pools, Pools::Sqlite { .. })
    }

    /// Begins a transaction for writing.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        Ok(match &self.pools {
            Pools::Sqlite { writer, .. } => {
                Transaction::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?)
            }
            Pools::Postgres(pool) => Transaction::Postgres(pool.begin().await?),
        })
    }

    /// Reads rows outside any transaction.
    pub async fn fetch(&self, sql: &str, cells: &[Cell]) -> Result<Vec<Row>, Error> {
        Ok(match &self.pools {
            Pools::Sqlite { readers, .. } => bound!(sql.to_owned(), cells)
                .fetch_all(readers)
                .await?
                .into_iter()
                .map(Row::Sqlite)
                .collect(),
            Pools::Postgres(pool) => bound!(sql.to_owned(), cells)
                .fetch_all(pool)
                .await?
                .into_iter()
                .map(Row::Postgres)
                .collect(),
        })
    }

    /// Reads the first row, if there is one.
    pub async fn fetch_optional(&self, sql: &str, cells: &[Cell]) -> Result<Option<Row>, Error> {
        Ok(self.fetch(sql, cells).await?.into_iter().next())
    }

    /// Runs one statement in a transaction of its own; gives the number of rows it touched.
    pub async fn execute(&self, sql: &str, cells: &[Cell]) -> Result<u64, Error> {
        Ok(match &self.pools {
            Pools::Sqlite { writer, .. } => bound!(sql.to_owned(), cells)
                .execute(writer)
                .await?
                .rows_affected(),
            Pools::Postgres(pool) => bound!(sql.to_owned(), cells)
                .execute(pool)
                .await?
                .rows_affected(),
        })
    }

    /// Reads the rows whose key is one of `keys`. `sql` ends in `IN`; rows may come more than once only if the table
    /// holds them more than once.
    pub async fn fetch_in(&self, sql: &str, keys: &[Cell]) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        for chunk in keys.chunks(256) {
            let (list, cells) = padded_list(chunk);
            rows.extend(self.fetch(&format!("{sql} ({list})"), &cells).await?);
        }
        Ok(rows)
    }

    /// Closes the connections; on SQLite the log is folded into the file.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

impl Transaction {
    /// Makes it so. When this returns, it is on disk.
    pub async fn commit(self) -> Result<(), Error> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    /// Runs one statement; gives the number of rows it touched.
    pub async fn execute(&mut self, sql: &str, cells: &[Cell]) -> Result<u64, Error> {
        self.run(sql.to_owned(), cells.iter()).await
    }

    async fn run(&mut self, sql: String, cells: impl Iterator<Item = &Cell>) -> Result<u64, Error> {
        Ok(match self {
            Self::Sqlite(tx) => bound!(sql, cells).execute(&mut **tx).await?.rows_affected(),
            Self::Postgres(tx) => bound!(sql, cells).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// Runs one statement that answers with rows.
    pub async fn fetch(&mut self, sql: &str, cells: &[Cell]) -> Result<Vec<Row>, Error> {
        self.ask(sql.to_owned(), cells.iter()).await
    }

    async fn ask(
        &mut self,
        sql: String,
        cells: impl Iterator<Item = &Cell>,
    ) -> Result<Vec<Row>, Error> {
        Ok(match self {
            Self::Sqlite(tx) => bound!(sql, cells)
                .fetch_all(&mut **tx)
                .await?
                .into_iter()
                .map(Row::Sqlite)
                .collect(),
            Self::Postgres(tx) => bound!(sql, cells)
                .fetch_all(&mut **tx)
                .await?
                .into_iter()
                .map(Row::Postgres)
                .collect(),
        })
    }

    /// Reads the rows whose key is one of `keys`; see [`Store::fetch_in`].
    pub async fn fetch_in(&mut self, sql: &str, keys: &[Cell]) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        for chunk in keys.chunks(256) {
            let (list, cells) = padded_list(chunk);
            rows.extend(self.fetch(&format!("{sql} ({list})"), &cells).await?);
        }
        Ok(rows)
    }

    /// Runs a statement over many rows of values: `head`, the list, `tail`. The list is cut into a few fixed sizes.
    pub async fn execute_rows(
        &mut self,
        head: &str,
        rows: &[Vec<Cell>],
        tail: &str,
    ) -> Result<u64, Error> {
        let mut touched = 0;
        for chunk in sized_chunks(rows) {
            let sql = values_statement(head, chunk, tail);
            touched += self.run(sql, chunk.iter().flatten()).await?;
        }
        Ok(touched)
    }

    /// As [`Transaction::execute_rows`], for statements that answer with rows.
    pub async fn fetch_rows(
        &mut self,
        head: &str,
        rows: &[Vec<Cell>],
        tail: &str,
    ) -> Result<Vec<Row>, Error> {
        let mut answers = Vec::new();
        for chunk in sized_chunks(rows) {
            let sql = values_statement(head, chunk, tail);
            answers.extend(self.ask(sql, chunk.iter().flatten()).await?);
        }
        Ok(answers)
    }

    /// Runs a statement whose keys are a list. `sql` ends in `IN`.
    pub async fn execute_in(&mut self, sql: &str, keys: &[Cell]) -> Result<u64, Error> {
        let mut touched = 0;
        for chunk in keys.chunks(256) {
            let (list, cells) = padded_list(chunk);
            touched += self.execute(&format!("{sql} ({list})"), &cells).await?;
        }
        Ok(touched)
    }
}

/// A placeholder list padded by repetition to one of five lengths, so that few statements need preparing.
fn padded_list(keys: &[Cell]) -> (String, Vec<Cell>) {
    let length = [1, 4, 16, 64, 256]
        .into_iter()
        .find(|size| *size >= keys.len())
        .unwrap_or(256);
    let mut cells = keys.to_vec();
    if let Some(last) = keys.last() {
        cells.resize(length, last.clone());
    }
    let list = (1..=cells.len())
        .map(|index| format!("${index}"))
        .collect::<Vec<_>>()
        .join(", ");
    (list, cells)
}

/// Cuts rows into pieces whose sizes are powers of two, so that few statements need preparing and few are run.
fn sized_chunks(mut rows: &[Vec<Cell>]) -> Vec<&[Vec<Cell>]> {
    let mut chunks = Vec::new();
    for size in [128, 64, 32, 16, 8, 4, 2, 1] {
        while rows.len() >= size {
            let (chunk, rest) = rows.split_at(size);
            chunks.push(chunk);
            rows = rest;
        }
    }
    chunks
}

fn values_statement(head: &str, rows: &[Vec<Cell>], tail: &str) -> String {
    use std::fmt::Write as _;
    let mut sql = String::with_capacity(head.len() + tail.len() + rows.len() * 40);
    sql.push_str(head);
    let mut placeholder = 0;
    for (row_index, row) in rows.iter().enumerate() {
        sql.push_str(if row_index == 0 { " (" } else { ", (" });
        for index in 0..row.len() {
            placeholder += 1;
            let separator = if index == 0 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(sql, "{separator}${placeholder}");
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(tail);
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_few_sizes() {
        let rows = vec![vec![Cell::Number(1)]; 128 + 128 + 16 + 4 + 1];
        let sizes: Vec<usize> = sized_chunks(&rows)
            .iter()
            .map(|chunk| chunk.len())
            .collect();
        assert_eq!(sizes, [128, 128, 16, 4, 1]);
    }

    #[test]
    fn lists_are_padded_with_their_last_key() {
        let (list, cells) = padded_list(&[Cell::Number(1), Cell::Number(2)]);
        assert_eq!(list, "$1, $2, $3, $4");
        assert!(matches!(cells[3], Cell::Number(2)));
    }

    #[test]
    fn nul_characters_do_not_reach_the_database() {
        assert_eq!(storable("a\0b"), "a\u{fffd}b");
    }
}
