//! What is old goes: kept callbacks, finished messages, deeds that nobody repeats any more, files.
//!
//! In small pieces, so that no door ever waits for it.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{app::App, media, store::Cell, time::Millis, users::session};

/// How often it is looked for.
const ROUND: Duration = Duration::from_hours(1);
/// Rows in one piece.
const PIECE: i64 = 500;
/// The pause between pieces.
const BREATH: Duration = Duration::from_millis(50);
/// Deeds are remembered longer than Meta repeats a callback (7 days; Meta: webhooks).
const DEEDS: Duration = Duration::from_hours(216);

const OLD: [&str; 5] = [
    "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE received_at < $1 LIMIT $2)",
    "DELETE FROM messages WHERE id IN (SELECT m.id FROM messages m WHERE m.created_at < $1 \
     AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.message_id = m.id) LIMIT $2)",
    "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE died_at < $1 LIMIT $2)",
    "DELETE FROM alarms WHERE id IN (SELECT id FROM alarms WHERE cleared_at < $1 LIMIT $2)",
    "DELETE FROM idempotency_keys WHERE key IN (SELECT key FROM idempotency_keys WHERE at < $1 LIMIT $2)",
];

/// What is kept of people, and for how long: sessions and links until they open nothing, the audit for a year.
const PEOPLE: [(&str, Duration); 4] = [
    (
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE created_at < $1 LIMIT $2)",
        session::ABSOLUTE,
    ),
    (
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE used_at < $1 LIMIT $2)",
        session::IDLE,
    ),
    (
        "DELETE FROM links WHERE hash IN (SELECT hash FROM links WHERE expires_at < $1 LIMIT $2)",
        Duration::ZERO,
    ),
    (
        "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < $1 LIMIT $2)",
        Duration::from_hours(365 * 24),
    ),
];

/// Cleans up once an hour until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
        let now = app.clock.now();
        let retention = Duration::from_secs(u64::from(app.settings.retention_days) * 24 * 60 * 60);
        for statement in OLD {
            clean(&app, statement, now - retention).await;
        }
        for (statement, kept) in PEOPLE {
            clean(&app, statement, now - kept).await;
        }
        let deeds = "DELETE FROM done WHERE key IN (SELECT key FROM done WHERE at < $1 LIMIT $2)";
        clean(&app, deeds, now - DEEDS).await;
        media::sweep(&app, now).await;
    }
}

async fn clean(app: &App, statement: &str, before: Millis) {
    loop {
        let cells: [Cell; 2] = [before.0.into(), PIECE.into()];
        match app.store.execute(statement, &cells).await {
            Ok(removed) if removed < PIECE as u64 => return,
            Ok(_) => tokio::time::sleep(BREATH).await,
            Err(error) => {
                tracing::warn!(%error, "cleaning up failed; the next round tries again");
                return;
            }
        }
    }
}
