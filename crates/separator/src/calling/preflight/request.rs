//! One SIP request, OPTIONS (RFC 3261, section 11), and its answer. That is all of SIP that a preflight needs.

use std::{fmt::Write as _, io, net::SocketAddr};

use md5::{Digest as _, Md5};
use rustls::{AlertDescription, Error as TlsError};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::Instant,
};

use super::{certificate::harmless, finding::Finding};
use crate::{
    calling::address::Address,
    identifiers::Chance,
    secret::{Secret, hex},
};

/// The most that is read of an answer.
const READ_LIMIT: usize = 8 * 1024;
/// Provisional answers that are passed over.
const MOST_PROVISIONAL: usize = 8;

/// What Meta would log in with at the telephone server.
#[derive(Debug, Clone)]
pub struct Login {
    /// The business number in digits, which is also the user name.
    pub number: String,
    /// The password that Meta made.
    pub password: Secret,
}

/// A final answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    reason: String,
    server: Option<String>,
    challenge: Option<Challenge>,
    milliseconds: u64,
}

#[derive(Debug, Clone)]
struct Challenge {
    proxy: bool,
    /// Text after `Digest `.
    parameters: String,
}

/// What came of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A final answer.
    Answer(Box<Answer>),
    /// The other side ended TLS with an alert.
    Refused(AlertDescription),
    /// The other side closed the connection.
    Closed,
    /// What came is not SIP.
    NotSip,
    /// Nothing came.
    Nothing,
}

impl Outcome {
    pub(super) fn into_finding(self) -> Finding {
        match self {
            Self::Answer(answer) => Finding::Answered {
                status: answer.status,
                reason: answer.reason,
                server: answer.server,
                milliseconds: answer.milliseconds,
            },
            Self::Refused(_) | Self::Closed => Finding::ClosedWithoutAnswer,
            Self::NotSip => Finding::NotSip,
            Self::Nothing => Finding::NoAnswer,
        }
    }
}

/// Requests on one connection.
pub(super) struct Dialogue {
    transport: &'static str,
    host: String,
    port: u16,
    via: String,
    call: String,
    tag: String,
    sequence: u32,
    chance: Chance,
}

impl Dialogue {
    pub(super) fn new(chance: &Chance, address: &Address, local: Option<SocketAddr>) -> Self {
        Self::over("TLS", chance, address, local)
    }

    pub(super) fn plain(chance: &Chance, address: &Address, local: Option<SocketAddr>) -> Self {
        Self::over("TCP", chance, address, local)
    }

    fn over(
        transport: &'static str,
        chance: &Chance,
        address: &Address,
        local: Option<SocketAddr>,
    ) -> Self {
        let random = || hex(&chance.bytes::<10>());
        Self {
            transport,
            host: address.uri_host(),
            port: address.port,
            via: local.map_or_else(|| "separator.invalid".to_owned(), |local| local.to_string()),
            call: random(),
            tag: random(),
            sequence: 0,
            chance: chance.clone(),
        }
    }

    /// Asks what the server can, and waits for its final answer. `extra` are whole header lines.
    pub(super) async fn options<S>(&mut self, stream: &mut S, extra: Option<&Extra>) -> Outcome
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let request = self.request(extra);
        let began = Instant::now();
        let sent = async {
            stream.write_all(request.as_bytes()).await?;
            stream.flush().await
        };
        if let Err(error) = sent.await {
            return ended(&error);
        }
        match read_final(stream).await {
            Ok(mut answer) => {
                answer.milliseconds = began.elapsed().as_millis() as u64;
                Outcome::Answer(Box::new(answer))
            }
            Err(outcome) => outcome,
        }
    }

    fn request(&mut self, extra: Option<&Extra>) -> String {
        self.sequence += 1;
        let Self {
            transport,
            host,
            port,
            via,
            call,
            tag,
            sequence,
            ..
        } = self;
        let branch = hex(&self.chance.bytes::<8>());
        let user = extra
            .map(|extra| format!("+{}@", extra.number))
            .unwrap_or_default();
        let headers = extra
            .map(|extra| extra.headers.as_str())
            .unwrap_or_default();
        let uri = uri(&user, host, *port, transport);
        format!(
            "OPTIONS {uri} SIP/2.0\r\n\
             Via: SIP/2.0/{transport} {via};rport;branch=z9hG4bK{branch}\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:check@separator.invalid>;tag={tag}\r\n\
             To: <sip:{user}{host}>\r\n\
             Call-ID: {call}\r\n\
             CSeq: {sequence} OPTIONS\r\n\
             Contact: <sip:check@{via};transport={}>\r\n\
             Accept: application/sdp\r\n\
             User-Agent: Separator\r\n\
             {headers}Content-Length: 0\r\n\r\n",
            transport.to_ascii_lowercase()
        )
    }

    /// Tries the password as Meta would use it.
    pub(super) async fn login<S>(&mut self, stream: &mut S, login: &Login) -> Finding
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut extra = Extra {
            number: login.number.clone(),
            headers: "X-FB-External-Domain: wa.meta.vc\r\n".to_owned(),
        };
        let first = match self.options(stream, Some(&extra)).await {
            Outcome::Answer(answer) => answer,
            other => return other.into_finding(),
        };
        let Some(challenge) = first
            .challenge
            .filter(|_| matches!(first.status, 401 | 407))
        else {
            return Finding::LoginNotAsked;
        };
        let uri = uri(
            &format!("+{}@", login.number),
            &self.host,
            self.port,
            self.transport,
        );
        let cnonce = hex(&self.chance.bytes::<8>());
        let Some(header) = authorization(&challenge, login, &uri, &cnonce) else {
            return Finding::LoginUnknown;
        };
        extra.headers.push_str(&header);
        match self.options(stream, Some(&extra)).await {
            Outcome::Answer(answer) if matches!(answer.status, 401 | 403 | 407) => {
                Finding::LoginRefused
            }
            Outcome::Answer(_) => Finding::LoginAccepted,
            other => other.into_finding(),
        }
    }
}

fn uri(user: &str, host: &str, port: u16, transport: &str) -> String {
    format!(
        "sip:{user}{host}:{port};transport={}",
        transport.to_ascii_lowercase()
    )
}

/// What a request has besides the usual.
pub(super) struct Extra {
    number: String,
    headers: String,
}

/// The header that answers a challenge (RFC 3261, section 22.4; RFC 2617), `None` for algorithms that Meta does not use.
fn authorization(challenge: &Challenge, login: &Login, uri: &str, cnonce: &str) -> Option<String> {
    let parameter = |name: &str| parameter(&challenge.parameters, name);
    if parameter("algorithm").is_some_and(|algorithm| !algorithm.eq_ignore_ascii_case("MD5")) {
        return None;
    }
    let (realm, nonce) = (parameter("realm")?, parameter("nonce")?);
    let user = &login.number;
    let secret = md5(&format!("{user}:{realm}:{}", login.password.expose()));
    let method = md5(&format!("OPTIONS:{uri}"));
    let name = if challenge.proxy {
        "Proxy-Authorization"
    } else {
        "Authorization"
    };
    let mut header = format!(
        "{name}: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", algorithm=MD5"
    );
    let response = match parameter("qop") {
        Some(offered)
            if offered
                .split(',')
                .any(|quality| quality.trim().eq_ignore_ascii_case("auth")) =>
        {
            let _ = write!(header, ", qop=auth, nc=00000001, cnonce=\"{cnonce}\"");
            md5(&format!("{secret}:{nonce}:00000001:{cnonce}:auth:{method}"))
        }
        Some(_) => return None,
        None => md5(&format!("{secret}:{nonce}:{method}")),
    };
    let _ = write!(header, ", response=\"{response}\"");
    if let Some(opaque) = parameter("opaque") {
        let _ = write!(header, ", opaque=\"{opaque}\"");
    }
    header.push_str("\r\n");
    Some(header)
}

fn md5(text: &str) -> String {
    hex(&Md5::digest(text.as_bytes()))
}

/// A parameter of a challenge, without its quotes. What contains a quote or a control character is none.
fn parameter(parameters: &str, name: &str) -> Option<String> {
    let mut rest = parameters;
    while let Some((key, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, next) = if let Some(quoted) = after.strip_prefix('"') {
            quoted.split_once('"')?
        } else {
            let (plain, next) = after.split_once(',').unwrap_or((after, ""));
            (plain.trim_end(), next)
        };
        if key
            .trim_matches([' ', ',', '\t'])
            .eq_ignore_ascii_case(name)
        {
            let plain = |character: char| !character.is_control() && character != '\\';
            return value.chars().all(plain).then(|| value.to_owned());
        }
        rest = next;
    }
    None
}

/// Reads messages until a final answer came. Never holds more than [`READ_LIMIT`].
async fn read_final<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Answer, Outcome> {
    let mut buffer: Vec<u8> = Vec::new();
    let mut read = 0;
    for _ in 0..=MOST_PROVISIONAL {
        let head = loop {
            if let Some(end) = find(&buffer, b"\r\n\r\n") {
                let head: Vec<u8> = buffer.drain(..end + 4).collect();
                break head;
            }
            more(stream, &mut buffer, &mut read).await?;
            let begin = &buffer[..buffer.len().min(8)];
            if !b"SIP/2.0 ".starts_with(begin) {
                return Err(Outcome::NotSip);
            }
        };
        let answer = parse(&head).ok_or(Outcome::NotSip)?;
        let mut body = header(&String::from_utf8_lossy(&head), &["content-length", "l"])
            .and_then(|length| length.parse::<usize>().ok())
            .unwrap_or(0);
        if answer.status >= 200 {
            return Ok(answer);
        }
        while body > 0 {
            let here = body.min(buffer.len());
            buffer.drain(..here);
            body -= here;
            if body > 0 {
                more(stream, &mut buffer, &mut read).await?;
            }
        }
    }
    Err(Outcome::Nothing)
}

async fn more<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    read: &mut usize,
) -> Result<(), Outcome> {
    if *read >= READ_LIMIT {
        return Err(Outcome::NotSip);
    }
    let mut piece = [0; 1024];
    let room = piece.len().min(READ_LIMIT - *read);
    let count = stream
        .read(&mut piece[..room])
        .await
        .map_err(|error| ended(&error))?;
    if count == 0 {
        return Err(if buffer.is_empty() {
            Outcome::Closed
        } else {
            Outcome::NotSip
        });
    }
    *read += count;
    buffer.extend_from_slice(&piece[..count]);
    Ok(())
}

fn ended(error: &io::Error) -> Outcome {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<TlsError>())
    {
        Some(TlsError::AlertReceived(alert)) => Outcome::Refused(*alert),
        _ => Outcome::Closed,
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

fn parse(head: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(head);
    let status_line = text.lines().next()?.strip_prefix("SIP/2.0 ")?;
    let (status, reason) = status_line.split_once(' ').unwrap_or((status_line, ""));
    let status: u16 = status
        .parse()
        .ok()
        .filter(|status| (100..700).contains(status))?;
    let challenge = |name: &str, proxy: bool| {
        let value = header(&text, &[name])?;
        let (scheme, parameters) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("digest").then(|| Challenge {
            proxy,
            parameters: parameters.to_owned(),
        })
    };
    Some(Answer {
        status,
        reason: harmless(reason, 60),
        server: header(&text, &["server"])
            .or_else(|| header(&text, &["user-agent"]))
            .map(|name| harmless(&name, 60)),
        challenge: challenge("www-authenticate", false)
            .or_else(|| challenge("proxy-authenticate", true)),
        milliseconds: 0,
    })
}

/// The first header with one of these names.
fn header(head: &str, names: &[&str]) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        names
            .iter()
            .any(|wanted| name.trim().eq_ignore_ascii_case(wanted))
            .then(|| value.trim().to_owned())
    })
}
