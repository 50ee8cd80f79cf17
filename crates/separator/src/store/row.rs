//! What goes into a statement and what comes out of it.

use sqlx::{Column as _, Row as _, ValueRef as _, postgres::PgRow, sqlite::SqliteRow};
use uuid::Uuid;

use super::Error;

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
