//! A small HTTP/1.1 client with kept connections, for the webhooks and for files given by link.
//!
//! A webhook goes to a server on the same machine, thousands of times a second, and a test must be able to start this
//! stand-in without choosing a TLS library; `reqwest` as built here refuses to make a client before one is chosen.
//! `https` addresses go through the client that the caller hands in, if any.

use bytes::{Buf as _, Bytes, BytesMut};
use std::{
    collections::HashMap,
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use url::Url;

/// More than this of an answer's head is not read.
const HEAD_LIMIT: usize = 64 * 1024;
/// More than this of an answer's body is not read: Meta's largest file (100 MB) and a little.
const BODY_LIMIT: usize = 101 * 1024 * 1024;
/// Connections kept open for one address.
const KEPT: usize = 256;

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) location: Option<String>,
    pub(super) body: Bytes,
}

/// The client.
#[derive(Debug, Default)]
pub(super) struct Wire {
    idle: Mutex<HashMap<String, Vec<TcpStream>>>,
    secure: Option<reqwest::Client>,
}

impl Wire {
    pub(super) fn new(secure: Option<reqwest::Client>) -> Self {
        Self {
            idle: Mutex::default(),
            secure,
        }
    }

    /// Sends a request and reads the whole answer, within the time given.
    pub(super) async fn send(
        &self,
        method: &str,
        url: &Url,
        headers: &[(&str, &str)],
        body: &[u8],
        limit: Duration,
    ) -> io::Result<Answer> {
        tokio::time::timeout(limit, self.exchange(method, url, headers, body))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn exchange(
        &self,
        method: &str,
        url: &Url,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        if url.scheme() != "http" {
            return self.exchange_secure(method, url, headers, body).await;
        }
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let authority = format!("{host}:{port}");
        let request = request_bytes(method, url, &authority, headers, body);
        if let Some(stream) = self.take(&authority) {
            // The server may have closed a kept connection meanwhile; then, and only then, a new one is tried.
            match converse(stream, &request, method).await {
                Ok(done) => return Ok(self.keep(authority, done)),
                Err(Broken { error, begun: true }) => return Err(error),
                Err(_) => {}
            }
        }
        let stream = TcpStream::connect(&authority).await?;
        stream.set_nodelay(true)?;
        match converse(stream, &request, method).await {
            Ok(done) => Ok(self.keep(authority, done)),
            Err(broken) => Err(broken.error),
        }
    }

    async fn exchange_secure(
        &self,
        method: &str,
        url: &Url,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let Some(client) = &self.secure else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "an https address needs Settings::secure_client",
            ));
        };
        let method = reqwest::Method::from_bytes(method.as_bytes()).map_err(io::Error::other)?;
        let mut request = client.request(method, url.clone()).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.map_err(io::Error::other)?;
        let text = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(ToOwned::to_owned)
        };
        Ok(Answer {
            status: response.status().as_u16(),
            content_type: text("content-type").unwrap_or_default(),
            location: text("location"),
            body: response.bytes().await.map_err(io::Error::other)?,
        })
    }

    fn take(&self, authority: &str) -> Option<TcpStream> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(authority)?
            .pop()
    }

    fn keep(&self, authority: String, done: Done) -> Answer {
        if let Some(stream) = done.reusable {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let streams = idle.entry(authority).or_default();
            if streams.len() < KEPT {
                streams.push(stream);
            }
        }
        done.answer
    }
}

struct Done {
    answer: Answer,
    reusable: Option<TcpStream>,
}

/// A conversation that failed, and whether the server had begun to answer.
struct Broken {
    error: io::Error,
    begun: bool,
}

fn request_bytes(
    method: &str,
    url: &Url,
    authority: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let query = url
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let mut head = format!(
        "{method} {}{query} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: {}\r\n",
        url.path(),
        body.len()
    );
    for (name, value) in headers {
        head.extend([*name, ": ", *value, "\r\n"]);
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

async fn converse(mut stream: TcpStream, request: &[u8], method: &str) -> Result<Done, Broken> {
    let mut buffer = BytesMut::with_capacity(4096);
    let early = |error| Broken {
        error,
        begun: false,
    };
    stream.write_all(request).await.map_err(early)?;
    let read = stream.read_buf(&mut buffer).await.map_err(early)?;
    if read == 0 {
        return Err(early(io::ErrorKind::UnexpectedEof.into()));
    }
    read_answer(stream, buffer, method)
        .await
        .map_err(|error| Broken { error, begun: true })
}

async fn read_answer(
    mut stream: TcpStream,
    mut buffer: BytesMut,
    method: &str,
) -> io::Result<Done> {
    let head = loop {
        if let Some(end) = find(&buffer, b"\r\n\r\n") {
            let head = buffer.split_to(end);
            buffer.advance(4);
            break Head::parse(&String::from_utf8_lossy(&head))?;
        }
        more(&mut stream, &mut buffer, HEAD_LIMIT).await?;
    };
    let mut keep = !head.close;
    let body = if method == "HEAD" || matches!(head.status, 204 | 304) {
        Bytes::new()
    } else if head.chunked {
        read_chunks(&mut stream, &mut buffer).await?
    } else if let Some(length) = head.length {
        while buffer.len() < length {
            more(&mut stream, &mut buffer, BODY_LIMIT).await?;
        }
        buffer.split_to(length).freeze()
    } else {
        keep = false;
        while more(&mut stream, &mut buffer, BODY_LIMIT).await.is_ok() {}
        buffer.split().freeze()
    };
    Ok(Done {
        answer: Answer {
            status: head.status,
            content_type: head.content_type,
            location: head.location,
            body,
        },
        reusable: (keep && buffer.is_empty()).then_some(stream),
    })
}

async fn read_chunks(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Bytes> {
    let mut body = BytesMut::new();
    loop {
        let line_end = loop {
            if let Some(end) = find(buffer, b"\r\n") {
                break end;
            }
            more(stream, buffer, BODY_LIMIT).await?;
        };
        let line = buffer.split_to(line_end);
        buffer.advance(2);
        let size = std::str::from_utf8(&line)
            .ok()
            .and_then(|line| line.split(';').next())
            .and_then(|size| usize::from_str_radix(size.trim(), 16).ok())
            .filter(|size| body.len() + size <= BODY_LIMIT)
            .ok_or(io::ErrorKind::InvalidData)?;
        while buffer.len() < size + 2 {
            more(stream, buffer, BODY_LIMIT).await?;
        }
        body.extend_from_slice(&buffer[..size]);
        buffer.advance(size + 2);
        if size == 0 {
            return Ok(body.freeze());
        }
    }
}

async fn more(stream: &mut TcpStream, buffer: &mut BytesMut, limit: usize) -> io::Result<()> {
    if buffer.len() > limit {
        return Err(io::ErrorKind::InvalidData.into());
    }
    match stream.read_buf(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[derive(Default)]
struct Head {
    status: u16,
    length: Option<usize>,
    chunked: bool,
    close: bool,
    content_type: String,
    location: Option<String>,
}

impl Head {
    fn parse(text: &str) -> io::Result<Self> {
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|status| status.parse().ok())
            .ok_or(io::ErrorKind::InvalidData)?;
        let mut head = Self {
            status,
            ..Self::default()
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = value.parse().ok(),
                "transfer-encoding" => head.chunked = value.eq_ignore_ascii_case("chunked"),
                "connection" => head.close = value.eq_ignore_ascii_case("close"),
                "content-type" => value.clone_into(&mut head.content_type),
                "location" => head.location = Some(value.to_owned()),
                _ => {}
            }
        }
        Ok(head)
    }
}
