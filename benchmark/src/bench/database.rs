//! Databases for the servers: fresh ones, copies of a prepared one, and one filled with what a busy year leaves behind.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use url::Url;

use crate::bodies;

/// Which database is measured.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Sqlite,
    /// With the address of a database in which others may be made.
    Postgres(String),
}

impl Kind {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
        }
    }
}

/// Where a server keeps its things: a folder, and on PostgreSQL a database. [`Home::remove`] takes both away.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) folder: PathBuf,
    kind: Kind,
    name: String,
}

impl Home {
    /// An empty one.
    pub(crate) async fn make(kind: &Kind, work: &Path) -> anyhow::Result<Self> {
        let home = Self::named(kind, work)?;
        home.statement(&format!("CREATE DATABASE {}", home.name))
            .await?;
        Ok(home)
    }

    /// A copy of this one. No server may be running on it.
    pub(crate) async fn copy(&self) -> anyhow::Result<Self> {
        let work = self
            .folder
            .parent()
            .context("a home lies in the work folder")?;
        let copy = Self::named(&self.kind, work)?;
        copy_folder(&self.folder, &copy.folder)?;
        copy.statement(&format!(
            "CREATE DATABASE {} TEMPLATE {}",
            copy.name, self.name
        ))
        .await?;
        Ok(copy)
    }

    fn named(kind: &Kind, work: &Path) -> anyhow::Result<Self> {
        let name = format!("bench_{}", uuid::Uuid::new_v4().simple());
        let folder = work.join(&name);
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            folder,
            kind: kind.clone(),
            name,
        })
    }

    pub(crate) async fn remove(self) -> anyhow::Result<()> {
        std::fs::remove_dir_all(&self.folder)?;
        self.statement(&format!("DROP DATABASE {} WITH (FORCE)", self.name))
            .await
    }

    /// The address of its own database, on PostgreSQL.
    pub(crate) fn postgres(&self) -> Option<String> {
        let Kind::Postgres(server) = &self.kind else {
            return None;
        };
        let mut url = Url::parse(server).ok()?;
        url.set_path(&self.name);
        Some(url.into())
    }

    /// Runs a statement on the server of databases; there is none for SQLite.
    async fn statement(&self, sql: &str) -> anyhow::Result<()> {
        if let Kind::Postgres(server) = &self.kind {
            let mut connection = PgConnection::connect(server).await?;
            connection.execute(AssertSqlSafe(sql.to_owned())).await?;
        }
        Ok(())
    }

    /// Runs statements on the product's own database. No server may be running on it.
    async fn statements(&self, statements: &[String]) -> anyhow::Result<()> {
        if let Some(url) = self.postgres() {
            let mut connection = PgConnection::connect(&url).await?;
            for sql in statements {
                connection.execute(AssertSqlSafe(sql.clone())).await?;
            }
            connection.close().await?;
            return Ok(());
        }
        let mut connection = SqliteConnectOptions::new()
            .filename(self.folder.join("data").join("separator.db"))
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .pragma("cache_size", "-400000")
            .connect()
            .await?;
        for sql in statements {
            connection.execute(AssertSqlSafe(sql.clone())).await?;
        }
        connection
            .execute("PRAGMA wal_checkpoint(TRUNCATE)")
            .await?;
        connection.close().await?;
        Ok(())
    }

    /// Adds the conversations of customers `from..to` with a number.
    pub(crate) async fn add_conversations(
        &self,
        account: &str,
        phone: &str,
        from: u64,
        to: u64,
    ) -> anyhow::Result<()> {
        let words = Words::of(&self.kind);
        let (series, now) = (words.series(from, to), bodies::now());
        let (person, conversation) = (words.id(2, "i"), words.id(3, "i"));
        let (account, phone) = (words.uuid(account)?, words.uuid(phone)?);
        let digits = words.customer("i");
        let reference = |letter: &str| words.text_of("i", letter);
        self.statements(&[
            format!(
                "INSERT INTO persons (id, account_id, user_ref, wa_id, name, created_at) \
                 SELECT {person}, {account}, {}, {digits}, 'Lena Klein', {now} {series}",
                reference("a")
            ),
            format!(
                "INSERT INTO aliases (account_id, kind, value, person_id) \
                 SELECT {account}, 'phone', {digits}, {person} {series}"
            ),
            format!(
                "INSERT INTO conversations (id, phone_id, person_id, chat_ref, last_inbound_at, created_at) \
                 SELECT {conversation}, {phone}, {person}, {}, {now}, {now} {series}",
                reference("b")
            ),
        ])
        .await
    }

    /// Adds so many finished messages of the last two days, half of them in one conversation and half in 10,000, with
    /// what keeps them from being taken twice.
    pub(crate) async fn add_finished(&self, phone: &str, count: u64) -> anyhow::Result<()> {
        const STEP: u64 = 100_000;
        let words = Words::of(&self.kind);
        let begin = bodies::now() - 2 * 24 * 3600 * 1000;
        let phone = words.uuid(phone)?;
        let conversation = words.id(3, "CASE WHEN i % 2 = 0 THEN 0 ELSE i % 10000 END");
        let digits = words.customer("(CASE WHEN i % 2 = 0 THEN 0 ELSE i % 10000 END)");
        let at = format!("({begin} + i * 100)");
        let step = |word: &str, detail: &str| {
            format!(
                "'{{\"at\":' || {at} || ',\"step\":\"{word}\",\"detail\":\"{detail}\"}}' || '\n'"
            )
        };
        let journey = [
            step("written", "time given by the sender''s side"),
            step("received", "text from Meta"),
            step("translated", "one part"),
            step(
                "in the operator''s chat",
                "imconnector.send.messages to acme.bitrix24.com, 12 item(s), answered after 310 ms",
            ),
        ]
        .join(" || ");
        let mut statements = Vec::new();
        for from in (0..count).step_by(STEP as usize) {
            let series = words.series(from, (from + STEP).min(count));
            statements.push(format!(
                "INSERT INTO messages (id, phone_id, conversation_id, direction, origin, peer, kind, text, state, wamid, \
                 created_at, updated_at, journey) \
                 SELECT {}, {phone}, {conversation}, 'inbound', 'customer', {digits}, 'text', \
                 'Is the blue one still there? I would come by on Thursday.', 'delivered', {}, {at}, {at} + 300, {journey} \
                 {series}",
                words.id(4, "i"),
                words.text_of("i", "wamid.HBgNNDkxNTc1NTUwOTg3NhUCABIYFDNB"),
            ));
            statements.push(format!(
                "INSERT INTO done (key, at) SELECT {}, {at} {series}",
                words.scattered("i")
            ));
        }
        self.statements(&statements).await
    }
}

/// The few words in which the two databases differ.
struct Words {
    postgres: bool,
}

impl Words {
    fn of(kind: &Kind) -> Self {
        Self {
            postgres: matches!(kind, Kind::Postgres(_)),
        }
    }

    fn series(&self, from: u64, to: u64) -> String {
        let last = to.saturating_sub(1);
        if self.postgres {
            return format!("FROM generate_series({from}::bigint, {last}::bigint) AS i");
        }
        format!(
            "FROM (WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {last}) SELECT i FROM n)"
        )
    }

    /// An id that grows with `number`; `table` keeps the ids of tables apart.
    fn id(&self, table: u32, number: &str) -> String {
        let base = bodies::now() - 3 * 24 * 3600 * 1000;
        let time = base - base % (24 * 3600 * 1000);
        if self.postgres {
            format!(
                "(lpad(to_hex({time} + ({number})), 12, '0') || '7{table:03x}8000' || \
                 lpad(to_hex(({number})::bigint), 12, '0'))::uuid"
            )
        } else {
            format!("unhex(printf('%012x7{table:03x}8000%012x', {time} + ({number}), ({number})))")
        }
    }

    fn uuid(&self, id: &str) -> anyhow::Result<String> {
        let id: uuid::Uuid = id.parse()?;
        Ok(if self.postgres {
            format!("'{id}'::uuid")
        } else {
            format!("x'{}'", id.simple())
        })
    }

    /// As [`bodies::customer`].
    fn customer(&self, number: &str) -> String {
        if self.postgres {
            format!("('4930' || lpad(({number})::text, 8, '0'))")
        } else {
            format!("printf('4930%08d', {number})")
        }
    }

    fn text_of(&self, number: &str, before: &str) -> String {
        if self.postgres {
            format!("('{before}' || lpad(to_hex({number}), 31, '0'))")
        } else {
            format!("printf('{before}%031x', {number})")
        }
    }

    /// Sixteen bytes in no order, as a hash is.
    fn scattered(&self, number: &str) -> String {
        if self.postgres {
            format!("decode(md5('done' || {number}), 'hex')")
        } else {
            "randomblob(16)".to_owned()
        }
    }
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Inserts the body, one committed row after the other, for a while; gives rows a second.
pub(crate) async fn insert_alone(
    kind: &Kind,
    work: &Path,
    body: &[u8],
    while_: std::time::Duration,
) -> anyhow::Result<f64> {
    let home = Home::make(kind, work).await?;
    let insert = "INSERT INTO receipts (body) VALUES ($1)";
    let mut rows = 0_u32;
    let elapsed = if let Some(url) = home.postgres() {
        let mut connection = PgConnection::connect(&url).await?;
        let table = "CREATE TABLE receipts (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body BYTEA NOT NULL)";
        connection.execute(table).await?;
        let begun = std::time::Instant::now();
        while begun.elapsed() < while_ {
            sqlx::query(insert)
                .bind(body)
                .execute(&mut connection)
                .await?;
            rows += 1;
        }
        let elapsed = begun.elapsed();
        connection.close().await?;
        elapsed
    } else {
        let mut connection = SqliteConnectOptions::new()
            .filename(home.folder.join("alone.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .connect()
            .await?;
        connection
            .execute("CREATE TABLE receipts (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
            .await?;
        let begun = std::time::Instant::now();
        while begun.elapsed() < while_ {
            sqlx::query(insert)
                .bind(body)
                .execute(&mut connection)
                .await?;
            rows += 1;
        }
        let elapsed = begun.elapsed();
        connection.close().await?;
        elapsed
    };
    home.remove().await?;
    Ok(f64::from(rows) / elapsed.as_secs_f64())
}
