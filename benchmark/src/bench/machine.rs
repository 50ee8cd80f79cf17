//! On what it was measured: numbers without it mean nothing.

use std::{
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, SqliteConnection};

/// Syncs of a small append; the median is given.
const SYNCS: usize = 200;

/// What the machine is and what runs on it.
pub(crate) async fn describe(folder: &Path, postgres: Option<&str>) -> anyhow::Result<Value> {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let field = |text: &str, name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let memory: u64 = field(&read("/proc/meminfo"), "MemTotal")
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or_default();
    let mut sqlite = SqliteConnection::connect("sqlite::memory:").await?;
    let sqlite: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&mut sqlite)
        .await?;
    let postgres: Option<String> = match postgres {
        Some(url) => {
            let mut connection = PgConnection::connect(url).await?;
            sqlx::query_scalar("SHOW server_version")
                .fetch_optional(&mut connection)
                .await?
        }
        None => None,
    };
    Ok(json!({
        "cpu": field(&read("/proc/cpuinfo"), "model name"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_mb": memory / 1024,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load_average_at_start": read("/proc/loadavg").split(' ').next(),
        "disk_sync_ms": sync_time(folder)?.as_secs_f64() * 1000.0,
        "sqlite": sqlite,
        "postgresql": postgres,
    }))
}

/// How long an append of 4 kB takes until it is on disk.
fn sync_time(folder: &Path) -> anyhow::Result<Duration> {
    let path = folder.join("sync");
    let mut file = std::fs::File::create(&path)?;
    let block = [7_u8; 4096];
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    std::fs::remove_file(path)?;
    times.sort_unstable();
    Ok(times[SYNCS / 2])
}
