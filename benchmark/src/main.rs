//! The server that the benchmark compares with: the least that answers a webhook honestly.
//!
//! The same HTTP stack and body limit as the product, the signature check, the same bytes group-committed into the same
//! kind of database; nothing else. Whoever acknowledges a webhook only when it is on disk cannot do less than this, so
//! the ratio to it says what the rest of the product costs.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
    serve::ListenerExt as _,
};
use clap::Parser;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::{mpsc, oneshot};

/// The largest body that is taken, as in the product.
const BODY_LIMIT: usize = 3 * 1024 * 1024;
/// Bodies that may share one commit, as in the product.
const GROUP: usize = 512;

#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// What bodies are signed with.
    #[arg(long)]
    secret: String,
    /// The SQLite file; made where it is missing.
    #[arg(
        long,
        conflicts_with = "postgres",
        required_unless_present = "postgres"
    )]
    sqlite: Option<PathBuf>,
    /// Address of the PostgreSQL database.
    #[arg(long)]
    postgres: Option<String>,
}

enum Database {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

struct Pending {
    body: Vec<u8>,
    answer: oneshot::Sender<bool>,
}

struct Shared {
    signer: Hmac<Sha256>,
    queue: mpsc::Sender<Pending>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let database = Database::open(&arguments).await?;
    let signer = Hmac::new_from_slice(arguments.secret.as_bytes()).context("the secret")?;
    let (queue, waiting) = mpsc::channel(4 * GROUP);
    tokio::spawn(commit_groups(waiting, database));
    let router = Router::new()
        .route("/", post(webhook))
        .route("/readyz", get(|| async { "ready\n" }))
        .with_state(Arc::new(Shared { signer, queue }));
    let listener = tokio::net::TcpListener::bind(arguments.listen)
        .await?
        .tap_io(|connection| {
            // Without it the answers are late but right.
            let _ = connection.set_nodelay(true);
        });
    axum::serve(listener, router).await?;
    Ok(())
}

async fn webhook(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Body) -> StatusCode {
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return StatusCode::PAYLOAD_TOO_LARGE;
    };
    let signature = headers
        .get("x-hub-signature-256")
        .and_then(|value| value.to_str().ok()?.strip_prefix("sha256="))
        .and_then(from_hex);
    let Some(signature) = signature else {
        return StatusCode::UNAUTHORIZED;
    };
    let code = shared.signer.clone().chain_update(&body);
    if code.verify_slice(&signature).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let (answer, committed) = oneshot::channel();
    if shared
        .queue
        .send(Pending {
            body: body.into(),
            answer,
        })
        .await
        .is_err()
    {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    match committed.await {
        Ok(true) => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn from_hex(digits: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// While one group is being written the next one gathers.
async fn commit_groups(mut waiting: mpsc::Receiver<Pending>, mut database: Database) {
    let mut group = Vec::with_capacity(GROUP);
    while waiting.recv_many(&mut group, GROUP).await > 0 {
        let (bodies, answers): (Vec<_>, Vec<_>) = group
            .drain(..)
            .map(|pending| (pending.body, pending.answer))
            .unzip();
        let stored = database.commit(bodies).await;
        if let Err(error) = &stored {
            eprintln!("not stored: {error}");
        }
        for answer in answers {
            // A caller that hung up needs no answer.
            let _ = answer.send(stored.is_ok());
        }
    }
}

impl Database {
    async fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        if let Some(file) = &arguments.sqlite {
            let mut connection = SqliteConnectOptions::new()
                .filename(file)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .pragma("wal_autocheckpoint", "1000")
                .connect()
                .await?;
            sqlx::query("CREATE TABLE receipts (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
                .execute(&mut connection)
                .await?;
            return Ok(Self::Sqlite(connection));
        }
        let url = arguments
            .postgres
            .as_deref()
            .context("no database was named")?;
        let mut connection = PgConnection::connect(url).await?;
        sqlx::query(
            "CREATE TABLE receipts (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body BYTEA NOT NULL)",
        )
        .execute(&mut connection)
        .await?;
        Ok(Self::Postgres(connection))
    }

    async fn commit(&mut self, bodies: Vec<Vec<u8>>) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => {
                let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
                let mut rest = bodies.as_slice();
                // A few fixed sizes, so that the statements stay prepared.
                for size in [64, 16, 4, 1] {
                    while let Some((chunk, later)) = rest.split_at_checked(size) {
                        let values = vec!["(?)"; size].join(", ");
                        let sql = format!("INSERT INTO receipts (body) VALUES {values}");
                        let insert = sqlx::query(AssertSqlSafe(sql));
                        chunk
                            .iter()
                            .fold(insert, |insert, body| insert.bind(body.as_slice()))
                            .execute(&mut *tx)
                            .await?;
                        rest = later;
                    }
                }
                tx.commit().await
            }
            Self::Postgres(connection) => {
                sqlx::query("INSERT INTO receipts (body) SELECT * FROM UNNEST($1::bytea[])")
                    .bind(bodies)
                    .execute(connection)
                    .await?;
                Ok(())
            }
        }
    }
}
