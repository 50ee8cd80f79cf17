//! One address: connection, handshake, certificate, request.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, Error as TlsError, PeerIncompatible,
    ProtocolVersion, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Preflight,
    certificate::{Certificate, Judge, harmless},
    finding::Finding,
    request::{self, Dialogue, Login, Outcome},
};
use crate::calling::address::Address;

/// How long a connection may take to be made. With the limits below and that of the name it stays under the whole limit.
const TCP_LIMIT: Duration = Duration::from_millis(2500);
const TLS_LIMIT: Duration = Duration::from_millis(2500);
const SIP_LIMIT: Duration = Duration::from_millis(2500);
/// For the second connection, that asks whether a port speaks SIP without TLS.
const PLAIN_LIMIT: Duration = Duration::from_millis(1500);

/// What was found at one address.
#[derive(Default)]
pub(super) struct Probed {
    pub(super) found: Vec<Finding>,
    pub(super) certificate: Option<Certificate>,
}

/// Looks at one address, which was vetted.
pub(super) async fn probe(
    preflight: &Preflight,
    address: &Address,
    peer: SocketAddr,
    login: Option<&Login>,
) -> Probed {
    let mut probed = Probed::default();
    let began = Instant::now();
    let socket = match timeout(TCP_LIMIT, TcpStream::connect(peer)).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => {
            probed.found.push(unconnected(&error, peer.port()));
            return probed;
        }
        Err(_) => {
            probed.found.push(Finding::TcpTimeout);
            return probed;
        }
    };
    // Requests are small and awaited; a connection where this fails works all the same.
    let _ = socket.set_nodelay(true);
    probed.found.push(Finding::Connected {
        milliseconds: milliseconds(began),
    });

    let Ok(provider) = provider() else {
        probed.found.push(Finding::TlsFailed {
            why: "no cryptography".to_owned(),
        });
        return probed;
    };
    let watch = Arc::new(Watch::new(Arc::clone(&provider)));
    let Some(mut stream) = handshake(preflight, address, socket, &watch, &mut probed.found).await
    else {
        return probed;
    };
    let chain = std::mem::take(&mut *watch.chain.lock().unwrap_or_else(PoisonError::into_inner));
    let judge = Judge {
        roots: &preflight.roots,
        provider: &provider,
        now: preflight.clock.now(),
        host: &address.host,
    };
    let (judged, certificate) = judge.judge(&chain);
    let good = !judged.iter().any(Finding::spoils_certificate);
    probed.found.extend(judged);
    probed.certificate = certificate;

    let local = stream.get_ref().0.inner.local_addr().ok();
    let mut dialogue = Dialogue::new(&preflight.chance, address, local);
    let asking = dialogue.options(&mut stream, None);
    let answer = timeout(SIP_LIMIT, asking).await.unwrap_or(Outcome::Nothing);
    let required = matches!(
        answer,
        Outcome::Refused(
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure
        )
    ) && watch.asked.load(Ordering::Relaxed);
    if required {
        // With TLS 1.3 the handshake seems done, and the refusal comes with the first answer.
        probed.found.push(Finding::CertificateRequired);
        return probed;
    }
    if watch.asked.load(Ordering::Relaxed) {
        probed.found.push(Finding::CertificateRequested);
    }
    let answered = matches!(answer, Outcome::Answer(_));
    probed.found.push(answer.into_finding());
    if let Some(login) = login {
        let finding = if !good {
            Finding::LoginNotTried
        } else if answered {
            let trying = dialogue.login(&mut stream, login);
            timeout(SIP_LIMIT, trying)
                .await
                .unwrap_or(Finding::NoAnswer)
        } else {
            return probed;
        };
        probed.found.push(finding);
    }
    probed
}

fn milliseconds(since: Instant) -> u64 {
    since.elapsed().as_millis() as u64
}

fn unconnected(error: &io::Error, port: u16) -> Finding {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Finding::Refused { port },
        io::ErrorKind::TimedOut => Finding::TcpTimeout,
        _ => Finding::Unreachable {
            why: harmless(&error.to_string(), 80),
        },
    }
}

fn provider() -> Result<Arc<CryptoProvider>, ()> {
    CryptoProvider::get_default().cloned().ok_or(())
}

/// Makes TLS of the connection; where that fails, notes why.
async fn handshake(
    preflight: &Preflight,
    address: &Address,
    socket: TcpStream,
    watch: &Arc<Watch>,
    found: &mut Vec<Finding>,
) -> Option<TlsStream<Recorder>> {
    let config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(watch) as Arc<dyn ServerCertVerifier>)
        .with_client_cert_resolver(Arc::clone(watch) as Arc<dyn ResolvesClientCert>);
    let Ok(name) = ServerName::try_from(address.host.clone()) else {
        found.push(Finding::TlsFailed {
            why: "the host is no name for TLS".to_owned(),
        });
        return None;
    };
    let peer = socket.peer_addr().ok()?;
    let first = Arc::new(Mutex::new(Vec::new()));
    let recorder = Recorder {
        inner: socket,
        first: Arc::clone(&first),
    };
    let began = Instant::now();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, recorder);
    let outcome = timeout(TLS_LIMIT, connecting).await;
    let first = first.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let failure = match outcome {
        Ok(Ok(stream)) => {
            let (_, connection) = stream.get_ref();
            let version = match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
                _ => "TLS 1.3",
            };
            let cipher = connection
                .negotiated_cipher_suite()
                .map(|suite| format!("{:?}", suite.suite()))
                .unwrap_or_default();
            found.push(Finding::Handshake {
                version: version.to_owned(),
                cipher,
                milliseconds: milliseconds(began),
            });
            return Some(stream);
        }
        Ok(Err(error)) => failed(&error, &first, watch),
        Err(_) => Finding::Silent,
    };
    let unclear = matches!(
        failure,
        Finding::Silent | Finding::ClosedDuringTls | Finding::TlsFailed { .. }
    );
    if unclear && speaks_plain_sip(preflight, address, peer).await {
        found.push(Finding::PlainSip);
    } else {
        found.push(failure);
    }
    None
}

/// What a handshake that failed means.
fn failed(error: &io::Error, first: &[u8], watch: &Watch) -> Finding {
    if first.starts_with(b"SIP/2.0") {
        return Finding::PlainSip;
    }
    if first.starts_with(b"HTTP/") || first.starts_with(b"<") {
        return Finding::PlainHttp;
    }
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<TlsError>());
    match tls {
        Some(
            TlsError::AlertReceived(AlertDescription::ProtocolVersion)
            | TlsError::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
        ) => Finding::TooOld,
        Some(TlsError::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::HandshakeFailure
            | AlertDescription::BadCertificate
            | AlertDescription::NoCertificate,
        )) if watch.asked.load(Ordering::Relaxed) => Finding::CertificateRequired,
        Some(error) => Finding::TlsFailed {
            why: harmless(&error.to_string(), 120),
        },
        None if watch.asked.load(Ordering::Relaxed) => Finding::CertificateRequired,
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted => Finding::ClosedDuringTls,
            _ => Finding::TlsFailed {
                why: harmless(&error.to_string(), 120),
            },
        },
    }
}

/// Whether the same port answers a SIP request without TLS.
async fn speaks_plain_sip(preflight: &Preflight, address: &Address, peer: SocketAddr) -> bool {
    let asking = async {
        let mut socket = TcpStream::connect(peer).await.ok()?;
        let local = socket.local_addr().ok();
        let mut dialogue = Dialogue::plain(&preflight.chance, address, local);
        Some(dialogue.options(&mut socket, None).await)
    };
    matches!(
        timeout(PLAIN_LIMIT, asking).await,
        Ok(Some(request::Outcome::Answer(_)))
    )
}

/// Takes any certificate and remembers it, and remembers whether the server asked for one of ours.
#[derive(Debug)]
struct Watch {
    provider: Arc<CryptoProvider>,
    chain: Mutex<Vec<CertificateDer<'static>>>,
    asked: AtomicBool,
}

impl Watch {
    fn new(provider: Arc<CryptoProvider>) -> Self {
        Self {
            provider,
            chain: Mutex::default(),
            asked: AtomicBool::new(false),
        }
    }
}

impl ServerCertVerifier for Watch {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = chain
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        // The chain is judged afterwards, all faults of it.
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl ResolvesClientCert for Watch {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        // Only then is `resolve` asked.
        true
    }
}

/// A connection that remembers the first bytes that came, which tell what a port speaks that does not speak TLS.
struct Recorder {
    inner: TcpStream,
    first: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Recorder {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(context, buffer);
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let room = 16_usize.saturating_sub(first.len());
        first.extend(buffer.filled().iter().skip(before).take(room));
        outcome
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
