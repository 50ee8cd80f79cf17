//! The servers as processes: started, watched, stopped by their id.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::wire::Connection;

/// How long a server may take to start or stop.
const PATIENCE: Duration = Duration::from_mins(1);
/// Ticks of the processor clock a second, as Linux counts them for programs.
const TICKS: f64 = 100.0;

/// A running server; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// Memory of a process in megabytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now: f64,
    pub(crate) peak: f64,
}

/// A port that is free now.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Process {
    /// Starts the program and waits until it is ready; gives also how long that took.
    pub(crate) async fn start(
        mut command: Command,
        address: SocketAddr,
        log: &Path,
    ) -> anyhow::Result<(Self, Duration)> {
        let log_file = File::options().create(true).append(true).open(log)?;
        let begun = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("{}", command.get_program().display()))?;
        let mut process = Self { child, address };
        let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\n\r\n");
        loop {
            if let Ok(mut connection) = Connection::open(address).await
                && connection
                    .exchange(request.as_bytes())
                    .await
                    .is_ok_and(|status| status == 200)
            {
                return Ok((process, begun.elapsed()));
            }
            if let Some(status) = process.child.try_wait()? {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                bail!("the server ended with {status}: {log}");
            }
            if begun.elapsed() > PATIENCE {
                bail!("the server was not ready within {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Memory as Linux counts it: what is resident now, and the most that ever was.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| {
                    line.strip_prefix(name)?
                        .trim()
                        .strip_suffix("kB")?
                        .trim()
                        .parse()
                        .ok()
                })
                .map(|kilobytes: f64| kilobytes / 1024.0)
                .with_context(|| format!("{name} is missing"))
        };
        Ok(Memory {
            now: field("VmRSS:")?,
            peak: field("VmHWM:")?,
        })
    }

    /// Processor time used so far, in seconds, to a hundredth.
    pub(crate) fn processor_time(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name is in parentheses and may hold anything; what follows are numbers.
        let (_, fields) = stat.rsplit_once(')').context("stat")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |index: usize| -> anyhow::Result<f64> {
            Ok(fields.get(index).context("stat is too short")?.parse()?)
        };
        Ok((ticks(11)? + ticks(12)?) / TICKS)
    }

    /// Stops it politely.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let told = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()?;
        if !told.success() {
            bail!("the server could not be told to stop");
        }
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > PATIENCE {
                bail!("the server did not stop");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
