//! The calling side: events to handlers, downloads of files, the browser's form posts.
//!
//! Plain `http` addresses are called by a small client of our own: it needs no TLS provider, so the stand-in works in
//! any test without preparation, keeps its connections, and never repeats a request by itself, because the event queue
//! of a portal does not either. `https` addresses need a client handed over in the settings.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use url::Url;

/// What a portal calls itself when it fetches a file.
pub(crate) const FILE_AGENT: &str = "Bitrix Connector Client";
/// What the event queue calls itself.
pub(crate) const EVENT_AGENT: &str = "Bitrix24 Webhook Engine";
/// Connections kept for later, per address.
const IDLE_KEPT: usize = 256;
/// An answer's head may be this long.
const HEAD_MAXIMUM: usize = 64 * 1024;
/// Room made for each read.
const READ_SIZE: usize = 16 * 1024;

/// One request to make.
pub(crate) struct Outgoing<'a> {
    pub(crate) method: &'static str,
    pub(crate) url: &'a Url,
    pub(crate) agent: &'static str,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: &'a [u8],
    pub(crate) timeout: Duration,
}

/// The head of an answer; its body went to the sink.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) policy: Option<String>,
    pub(crate) sets_cookie: bool,
    length: Option<usize>,
    chunked: bool,
    close: bool,
}

/// Takes the body of an answer piece by piece.
pub(crate) type Sink<'a> = &'a mut (dyn FnMut(&[u8]) + Send);

/// A client with kept connections.
#[derive(Debug, Default)]
pub(crate) struct Caller {
    secure: Option<reqwest::Client>,
    idle: Mutex<HashMap<String, Vec<TcpStream>>>,
}

impl Caller {
    /// A caller that uses `secure` for `https` addresses.
    pub(crate) fn new(secure: Option<reqwest::Client>) -> Self {
        Self {
            secure,
            idle: Mutex::default(),
        }
    }

    /// Makes one request. A time-out, a refused connection and a malformed answer are errors; any status is an answer.
    pub(crate) async fn call(&self, request: Outgoing<'_>, sink: Sink<'_>) -> io::Result<Head> {
        let timeout = request.timeout;
        let call = async {
            match (request.url.scheme(), &self.secure) {
                ("http", _) => self.plain(&request, sink).await,
                ("https", Some(client)) => secure(client, &request, sink).await,
                ("https", None) => Err(io::Error::other("no client for https addresses was set")),
                _ => Err(io::ErrorKind::InvalidInput.into()),
            }
        };
        tokio::time::timeout(timeout, call)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn plain(&self, request: &Outgoing<'_>, sink: Sink<'_>) -> io::Result<Head> {
        let (Some(host), Some(port)) =
            (request.url.host_str(), request.url.port_or_known_default())
        else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let address = format!("{host}:{port}");
        let stream = match self.take_idle(&address) {
            Some(stream) => stream,
            None => TcpStream::connect(&address).await?,
        };
        let _ = stream.set_nodelay(true);
        let mut exchange = Exchange {
            stream,
            buffer: BytesMut::with_capacity(4096),
        };
        exchange.write(request, &address).await?;
        let head = exchange.head().await?;
        let reusable = exchange.body(request, &head, sink).await?;
        if reusable && !head.close && exchange.buffer.is_empty() {
            self.keep(address, exchange.stream);
        }
        Ok(head)
    }

    /// A kept connection that is still open: one with an end of file or stray bytes on it is thrown away.
    fn take_idle(&self, address: &str) -> Option<TcpStream> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let streams = idle.get_mut(address)?;
        while let Some(stream) = streams.pop() {
            let mut probe = [0_u8; 1];
            if matches!(stream.try_read(&mut probe), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            {
                return Some(stream);
            }
        }
        None
    }

    fn keep(&self, address: String, stream: TcpStream) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let streams = idle.entry(address).or_default();
        if streams.len() < IDLE_KEPT {
            streams.push(stream);
        }
    }
}

async fn secure(
    client: &reqwest::Client,
    request: &Outgoing<'_>,
    sink: Sink<'_>,
) -> io::Result<Head> {
    let method = if request.method == "POST" {
        reqwest::Method::POST
    } else {
        reqwest::Method::GET
    };
    let mut builder = client
        .request(method, request.url.clone())
        .header("User-Agent", request.agent);
    if let Some(content_type) = request.content_type {
        builder = builder
            .header("Content-Type", content_type)
            .body(request.body.to_vec());
    }
    let mut response = builder.send().await.map_err(io::Error::other)?;
    let location = response
        .headers()
        .get("location")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let head = Head {
        status: response.status().as_u16(),
        location,
        ..Head::default()
    };
    while let Some(piece) = response.chunk().await.map_err(io::Error::other)? {
        sink(&piece);
    }
    Ok(head)
}

/// One request and its answer on one connection.
struct Exchange {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Exchange {
    async fn write(&mut self, request: &Outgoing<'_>, address: &str) -> io::Result<()> {
        let target = &request.url[url::Position::BeforePath..url::Position::AfterQuery];
        let Outgoing { method, agent, .. } = request;
        let mut bytes = format!(
            "{method} {target} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n"
        );
        if let Some(content_type) = request.content_type {
            let length = request.body.len();
            // Writing to a string cannot fail.
            let _ = write!(
                bytes,
                "Content-Type: {content_type}\r\nContent-Length: {length}\r\n"
            );
        }
        bytes.push_str("\r\n");
        let mut bytes = bytes.into_bytes();
        bytes.extend_from_slice(request.body);
        self.stream.write_all(&bytes).await
    }

    /// Reads more of the answer; an end of file is an error.
    async fn fill(&mut self) -> io::Result<()> {
        self.buffer.reserve(READ_SIZE);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    async fn head(&mut self) -> io::Result<Head> {
        loop {
            if let Some(end) = self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                let text = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.advance(end + 4);
                let head = parse_head(&text)?;
                // An interim answer (100 Continue) is followed by the real one.
                if head.status >= 200 {
                    return Ok(head);
                }
                continue;
            }
            if self.buffer.len() > HEAD_MAXIMUM {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.fill().await?;
        }
    }

    /// Reads the body to its end; whether the connection can be used again.
    async fn body(
        &mut self,
        request: &Outgoing<'_>,
        head: &Head,
        sink: Sink<'_>,
    ) -> io::Result<bool> {
        if request.method == "HEAD" || matches!(head.status, 204 | 304) {
            return Ok(true);
        }
        if head.chunked {
            return self.chunks(sink).await.map(|()| true);
        }
        if let Some(length) = head.length {
            return self.exactly(length, sink).await.map(|()| true);
        }
        loop {
            sink(&self.buffer);
            self.buffer.clear();
            self.buffer.reserve(READ_SIZE);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(false);
            }
        }
    }

    async fn exactly(&mut self, length: usize, sink: Sink<'_>) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            if self.buffer.is_empty() {
                self.fill().await?;
            }
            let piece = self.buffer.len().min(left);
            sink(&self.buffer[..piece]);
            self.buffer.advance(piece);
            left -= piece;
        }
        Ok(())
    }

    async fn chunks(&mut self, sink: Sink<'_>) -> io::Result<()> {
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            if size == 0 {
                // Trailers end with an empty line.
                while !self.line().await?.is_empty() {}
                return Ok(());
            }
            self.exactly(size, sink).await?;
            self.line().await?;
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.advance(end + 2);
                return Ok(line);
            }
            self.fill().await?;
        }
    }
}

fn parse_head(text: &str) -> io::Result<Head> {
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|status| status.parse().ok());
    let mut head = Head {
        status: status.ok_or(io::ErrorKind::InvalidData)?,
        ..Head::default()
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.parse().ok(),
            "transfer-encoding" => head.chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => head.close = value.eq_ignore_ascii_case("close"),
            "location" => head.location = Some(value.to_owned()),
            "content-security-policy" => head.policy = Some(value.to_owned()),
            "set-cookie" => head.sets_cookie = true,
            _ => {}
        }
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use tokio::net::TcpListener;

    use super::*;

    /// Answers each request on one connection with the next of the given texts.
    async fn serve(answers: &'static [&'static str]) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/a?b=c#d", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 4096];
            for answer in answers {
                let length = stream.read(&mut buffer).await.unwrap();
                assert!(
                    String::from_utf8_lossy(&buffer[..length])
                        .starts_with("POST /a?b=c HTTP/1.1\r\n")
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Url::parse(&url).unwrap()
    }

    async fn post(caller: &Caller, url: &Url) -> io::Result<(u16, String)> {
        let mut body = Vec::new();
        let request = Outgoing {
            method: "POST",
            url,
            agent: EVENT_AGENT,
            content_type: Some("text/plain"),
            body: b"hello",
            timeout: Duration::from_secs(10),
        };
        let head = caller
            .call(request, &mut |piece| body.extend_from_slice(piece))
            .await?;
        Ok((head.status, String::from_utf8(body).unwrap()))
    }

    #[tokio::test]
    async fn one_connection_carries_every_framing() {
        let url = serve(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=y\r\ncde\r\n0\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 500 No\r\nConnection: close\r\n\r\ntail",
        ])
        .await;
        let caller = Caller::default();
        assert_eq!(post(&caller, &url).await.unwrap(), (200, "abc".to_owned()));
        assert_eq!(
            post(&caller, &url).await.unwrap(),
            (200, "abcde".to_owned())
        );
        assert_eq!(post(&caller, &url).await.unwrap(), (204, String::new()));
        assert_eq!(post(&caller, &url).await.unwrap(), (500, "tail".to_owned()));
        assert!(
            post(&caller, &url).await.is_err(),
            "the server listens no more"
        );
    }
}
