//! Transactions, and how statements reach the two databases.
//!
//! The way to the database and back costs more than most statements. So what only writes is gathered and goes with the
//! next question or with the commit; a transaction begins with its first statement; and one that is a single statement
//! needs neither a beginning nor an end of its own. To SQLite, which takes several statements as one text, all of it goes
//! in one go.

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Either, Executor as _, PgConnection, SqliteConnection};

use super::{
    Cell, Error, Row,
    connections::Lent,
    statement::{Statement, together},
};

/// Statements with more cells than this go to SQLite by themselves: their text is long, and comes in many lengths.
const CELLS_TOGETHER: usize = 128;

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

fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A connection to either database.
pub(super) enum Line {
    Sqlite(Lent<SqliteConnection>),
    Postgres(Lent<PgConnection>),
}

/// What came of statements: the rows, and how many the last one touched.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    pub(super) touched: u64,
}

macro_rules! asked {
    ($connection:expr, $query:expr, $row:path) => {{
        let mut answer = Answer::default();
        let mut results = (&mut **$connection).fetch_many($query);
        while let Some(result) = results.try_next().await? {
            match result {
                Either::Left(done) => answer.touched = done.rows_affected(),
                Either::Right(row) => answer.rows.push($row(row)),
            }
        }
        Ok(answer)
    }};
}

impl Line {
    /// Runs one text; on SQLite it may hold several statements.
    async fn run<'a>(
        &mut self,
        sql: String,
        cells: impl Iterator<Item = &'a Cell>,
    ) -> Result<Answer, sqlx::Error> {
        match self {
            Self::Sqlite(connection) => asked!(connection, bound!(sql, cells), Row::Sqlite),
            Self::Postgres(connection) => asked!(connection, bound!(sql, cells), Row::Postgres),
        }
    }

    /// Runs one statement outside any transaction and gives the connection back.
    pub(super) async fn ask(mut self, sql: &str, cells: &[Cell]) -> Result<Answer, Error> {
        let answer = match &self {
            Self::Sqlite(_) => {
                let text = together(std::iter::once((sql, cells.len())));
                self.run(text, cells.iter()).await
            }
            Self::Postgres(_) => self.run(sql.to_owned(), cells.iter()).await,
        };
        self.give_back(answer.as_ref().err());
        Ok(answer?)
    }

    fn give_back(self, error: Option<&sqlx::Error>) {
        match self {
            Self::Sqlite(connection) => connection.give_back(error),
            Self::Postgres(connection) => connection.give_back(error),
        }
    }

    async fn roll_back(mut self) {
        let error = match self.run("ROLLBACK".to_owned(), [].iter()).await {
            // SQLite has done it already where the disk failed, or never began.
            Err(sqlx::Error::Database(error)) if error.message().contains("no transaction") => None,
            result => result.err(),
        };
        self.give_back(error.as_ref());
    }
}

/// A transaction; dropped without [`Transaction::commit`] it leaves no trace.
pub struct Transaction {
    /// Gone once the transaction has ended.
    line: Option<Line>,
    begun: bool,
    gathered: Vec<Statement>,
}

impl Transaction {
    pub(super) fn new(line: Line) -> Self {
        Self {
            line: Some(line),
            begun: false,
            gathered: Vec::new(),
        }
    }

    /// Makes it so. When this returns, it is on disk.
    pub async fn commit(mut self) -> Result<(), Error> {
        self.send(true).await?;
        if let Some(line) = self.line.take() {
            line.give_back(None);
        }
        Ok(())
    }

    /// Runs one statement at once; gives the number of rows it touched.
    pub async fn execute(&mut self, sql: &str, cells: &[Cell]) -> Result<u64, Error> {
        self.gathered.push(Statement::new(sql, cells));
        Ok(self.send(false).await?.touched)
    }

    /// Runs one statement whose keys are a list, `sql` ending in `IN`; gives the number of rows it touched.
    pub async fn execute_in(&mut self, sql: &str, keys: &[Cell]) -> Result<u64, Error> {
        let mut touched = 0;
        for statement in Statement::over_keys(sql, keys) {
            self.gathered.push(statement);
            touched += self.send(false).await?.touched;
        }
        Ok(touched)
    }

    /// Runs one statement that answers with rows.
    pub async fn fetch(&mut self, sql: &str, cells: &[Cell]) -> Result<Vec<Row>, Error> {
        self.gathered.push(Statement::new(sql, cells));
        Ok(self.send(false).await?.rows)
    }

    /// Reads the rows whose key is one of `keys`; see [`Store::fetch_in`](super::Store::fetch_in).
    pub async fn fetch_in(&mut self, sql: &str, keys: &[Cell]) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        for statement in Statement::over_keys(sql, keys) {
            self.gathered.push(statement);
            rows.extend(self.send(false).await?.rows);
        }
        Ok(rows)
    }

    /// Runs a statement over many rows of values that answers with rows: `head`, the list, `tail`. The list is cut into
    /// a few fixed sizes.
    pub async fn fetch_rows(
        &mut self,
        head: &str,
        rows: Vec<Vec<Cell>>,
        tail: &str,
    ) -> Result<Vec<Row>, Error> {
        let mut answers = Vec::new();
        for statement in Statement::over_rows(head, rows, tail) {
            self.gathered.push(statement);
            answers.extend(self.send(false).await?.rows);
        }
        Ok(answers)
    }

    /// Writes with the next question or with the commit; an error shows there.
    pub fn write(&mut self, sql: &str, cells: &[Cell]) {
        self.gathered.push(Statement::new(sql, cells));
    }

    /// As [`Transaction::write`], over rows of values as in [`Transaction::fetch_rows`].
    pub fn write_rows(&mut self, head: &str, rows: Vec<Vec<Cell>>, tail: &str) {
        self.gathered.extend(Statement::over_rows(head, rows, tail));
    }

    /// As [`Transaction::write`], for a statement whose keys are a list. `sql` ends in `IN`.
    pub fn write_in(&mut self, sql: &str, keys: &[Cell]) {
        self.gathered.extend(Statement::over_keys(sql, keys));
    }

    /// Sends what was gathered, and the end of the transaction where it is to be committed.
    async fn send(&mut self, commit: bool) -> Result<Answer, Error> {
        let statements = std::mem::take(&mut self.gathered);
        let Some(line) = &mut self.line else {
            return Err(sqlx::Error::PoolClosed.into());
        };
        if statements.is_empty() && !self.begun {
            return Ok(Answer::default());
        }
        // One statement is a transaction by itself.
        let alone = commit && !self.begun && statements.len() == 1;
        let begin = !self.begun && !alone;
        self.begun = true;
        let answer = match line {
            Line::Sqlite(_) => send_together(line, &statements, begin, commit && !alone).await?,
            Line::Postgres(_) => send_singly(line, &statements, begin, commit && !alone).await?,
        };
        Ok(answer)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let Some(line) = self.line.take() else {
            return;
        };
        if !self.begun {
            line.give_back(None);
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(line.roll_back());
        }
        // Without a runtime the connection is closed, and what it began ends with it.
    }
}

async fn send_singly(
    line: &mut Line,
    statements: &[Statement],
    begin: bool,
    commit: bool,
) -> Result<Answer, sqlx::Error> {
    if begin {
        line.run("BEGIN".to_owned(), [].iter()).await?;
    }
    let mut answer = Answer::default();
    for statement in statements {
        answer = line
            .run(statement.sql.clone(), statement.cells.iter())
            .await?;
    }
    if commit {
        line.run("COMMIT".to_owned(), [].iter()).await?;
    }
    Ok(answer)
}

async fn send_together(
    line: &mut Line,
    statements: &[Statement],
    begin: bool,
    commit: bool,
) -> Result<Answer, sqlx::Error> {
    // The right to write is taken at once: whoever reads first and then finds it taken could only give up.
    let mut begin = begin.then_some(("BEGIN IMMEDIATE", 0));
    let end = commit.then_some(("COMMIT", 0));
    let mut rest = statements;
    loop {
        let mut cells = 0;
        let fit = rest.iter().take_while(|statement| {
            cells += statement.cells.len();
            cells <= CELLS_TOGETHER
        });
        let count = fit.count().clamp(rest.len().min(1), rest.len());
        let (piece, later) = rest.split_at(count);
        rest = later;
        let texts = piece
            .iter()
            .map(|statement| (statement.sql.as_str(), statement.cells.len()));
        let last = end.filter(|_| rest.is_empty());
        let text = together(begin.take().into_iter().chain(texts).chain(last));
        let cells = piece.iter().flat_map(|statement| &statement.cells);
        let answer = line.run(text, cells).await?;
        if rest.is_empty() {
            return Ok(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_characters_do_not_reach_the_database() {
        assert_eq!(storable("a\0b"), "a\u{fffd}b");
    }
}
