//! An HTTP/1.1 client that costs next to nothing: it shares the machine with what it measures.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Barrier,
    task::JoinSet,
};

/// A kept connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4096),
        })
    }

    /// Sends a whole request and reads the whole answer; gives its status.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection was closed before the answer");
            }
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = std::str::from_utf8(&self.buffer[..head])?;
        let status = text.get(9..12).context("no status")?.parse()?;
        let length: usize = text
            .lines()
            .find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().ok())?
            })
            .unwrap_or(0);
        while self.buffer.len() < head + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection was closed within the answer");
            }
        }
        Ok(status)
    }
}

/// A request as it goes over the wire.
pub(crate) fn post(host: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\n");
    for (name, value) in headers {
        request.push_str(name);
        request.push_str(": ");
        request.push_str(value);
        request.push_str("\r\n");
    }
    request.push_str("content-length: ");
    request.push_str(&body.len().to_string());
    request.push_str("\r\n\r\n");
    let mut bytes = request.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// What a server took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) elapsed: Duration,
}

impl Taken {
    pub(crate) fn per_second(self) -> f64 {
        self.acknowledged as f64 / self.elapsed.as_secs_f64()
    }
}

/// Posts each list over a connection of its own, one request after the other, until the lists are empty or the time is
/// over. Connecting and warming up come before the clock starts.
pub(crate) async fn load(
    address: SocketAddr,
    lists: Vec<Vec<Vec<u8>>>,
    limit: Duration,
) -> anyhow::Result<Taken> {
    let start = Arc::new(Barrier::new(lists.len() + 1));
    let mut tasks = JoinSet::new();
    for list in lists {
        let start = Arc::clone(&start);
        let mut connection = Connection::open(address).await?;
        tasks.spawn(async move {
            start.wait().await;
            let begun = Instant::now();
            let (mut acknowledged, mut refused) = (0, 0);
            for request in &list {
                if begun.elapsed() >= limit {
                    break;
                }
                match connection.exchange(request).await? {
                    200 => acknowledged += 1,
                    _ => refused += 1,
                }
            }
            anyhow::Ok((acknowledged, refused, Instant::now()))
        });
    }
    start.wait().await;
    let begun = Instant::now();
    let mut taken = Taken {
        acknowledged: 0,
        refused: 0,
        elapsed: Duration::ZERO,
    };
    while let Some(done) = tasks.join_next().await {
        let (acknowledged, refused, ended) = done??;
        taken.acknowledged += acknowledged;
        taken.refused += refused;
        taken.elapsed = taken.elapsed.max(ended.saturating_duration_since(begun));
    }
    Ok(taken)
}
