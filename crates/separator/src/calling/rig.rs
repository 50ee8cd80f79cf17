//! Made certificates and telephone servers that answer as they are told, for tests.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    SanType, date_time_ymd,
};
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::{
    address::{self, Address},
    preflight::{NameError, Names, Preflight, Report},
};
use crate::{
    identifiers::Chance,
    outgoing::{Outgoing, install_crypto_provider},
    time::{Clock, Millis},
};

/// The moment at which tests take place: 2026-11-25.
pub(super) const NOW: Millis = Millis(1_795_564_800_000);
/// The host that the good certificate is for.
pub(super) const HOST: &str = "sip.test.local";

/// A certificate with its key, and what the server sends along.
#[derive(Debug)]
pub(super) struct Material {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Clone for Material {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl Material {
    /// Sends only the first `count` certificates.
    pub(super) fn cut(mut self, count: usize) -> Self {
        self.chain.truncate(count);
        self
    }
}

/// An authority with an intermediate certificate, as public ones have.
pub(super) struct Authority {
    pub(super) root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    params
}

fn authority_named(common_name: &str) -> CertificateParams {
    let mut params = named(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// So many days from [`NOW`].
fn in_days(params: &mut CertificateParams, from: i64, until: i64) {
    let moved = |days: i64| {
        let span = Duration::from_secs(days.unsigned_abs() * 24 * 60 * 60);
        let now = date_time_ymd(2026, 11, 25);
        if days < 0 { now - span } else { now + span }
    };
    params.not_before = moved(from);
    params.not_after = moved(until);
}

impl Authority {
    pub(super) fn new() -> Self {
        install_crypto_provider();
        let root = CertifiedIssuer::self_signed(
            authority_named("Test Root"),
            KeyPair::generate().unwrap(),
        )
        .unwrap();
        let intermediate = CertifiedIssuer::signed_by(
            authority_named("Test Intermediate"),
            KeyPair::generate().unwrap(),
            &root,
        )
        .unwrap();
        Self { root, intermediate }
    }

    pub(super) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        roots
    }

    /// A certificate for these names and addresses, good from and until so many days from [`NOW`].
    pub(super) fn certificate(&self, names: &[&str], from: i64, until: i64) -> Material {
        let mut params = named(names.first().copied().unwrap_or("nobody"));
        in_days(&mut params, from, until);
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.intermediate).unwrap();
        Material {
            chain: vec![certificate.der().clone(), self.intermediate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }

    pub(super) fn good(&self) -> Material {
        self.certificate(&[HOST], -30, 60)
    }

    /// A certificate with the host in the common name only.
    pub(super) fn common_name_only(&self) -> Material {
        let key = KeyPair::generate().unwrap();
        let mut params = named(HOST);
        in_days(&mut params, -30, 60);
        let certificate = params.signed_by(&key, &self.intermediate).unwrap();
        Material {
            chain: vec![certificate.der().clone(), self.intermediate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }
}

/// A certificate that signed itself.
pub(super) fn self_signed(is_authority: bool) -> Material {
    install_crypto_provider();
    let mut params = named(HOST);
    params.subject_alt_names = vec![SanType::DnsName(HOST.try_into().unwrap())];
    if is_authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Material {
        chain: vec![certificate.der().clone()],
        key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    }
}

/// What a server does about client certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientCertificate {
    NotAsked,
    Requested,
    Required,
}

/// Answers a request; nothing closes the connection.
pub(super) type Answer = Arc<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

/// What a server speaks.
#[derive(Clone)]
pub(super) enum Speaks {
    Tls(Arc<ServerConfig>, Answer),
    Plain(Answer),
    /// Takes connections, says nothing.
    Nothing,
    /// Takes connections and closes them.
    Farewell,
    /// Answers the first bytes with these and closes.
    Bytes(&'static [u8]),
}

/// A TLS server with these versions (empty: all).
pub(super) fn tls(
    material: Material,
    versions: &[&'static SupportedProtocolVersion],
    client: ClientCertificate,
    answer: Answer,
) -> Speaks {
    install_crypto_provider();
    let versions = if versions.is_empty() {
        rustls::ALL_VERSIONS
    } else {
        versions
    };
    let builder = ServerConfig::builder_with_protocol_versions(versions);
    let builder = if client == ClientCertificate::NotAsked {
        builder.with_no_client_auth()
    } else {
        let verifier = WebPkiClientVerifier::builder(Arc::new(Authority::new().roots()));
        let verifier = if client == ClientCertificate::Requested {
            verifier.allow_unauthenticated()
        } else {
            verifier
        };
        builder.with_client_cert_verifier(verifier.build().unwrap())
    };
    Speaks::Tls(
        Arc::new(
            builder
                .with_single_cert(material.chain, material.key)
                .unwrap(),
        ),
        answer,
    )
}

/// A good TLS server that answers so.
pub(super) fn secure(material: Material, answer: Answer) -> Speaks {
    tls(material, &[], ClientCertificate::NotAsked, answer)
}

/// Always this status.
pub(super) fn status(line: &'static str) -> Answer {
    Arc::new(move |_| Some(response(line, "")))
}

/// A SIP answer with these header lines besides the usual.
pub(super) fn response(line: &str, headers: &str) -> Vec<u8> {
    format!("SIP/2.0 {line}\r\nServer: Test PBX/1.0\r\n{headers}Content-Length: 0\r\n\r\n")
        .into_bytes()
}

/// A running server; ends with its value.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(speaks: Speaks) -> Self {
        Self::start_on("127.0.0.1:0", speaks).await
    }

    pub(super) async fn start_on(address: &str, speaks: Speaks) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let speaks = speaks.clone();
                tokio::spawn(async move {
                    match speaks {
                        Speaks::Tls(config, answer) => {
                            if let Ok(stream) = TlsAcceptor::from(config).accept(socket).await {
                                converse(stream, &answer).await;
                            }
                        }
                        Speaks::Plain(answer) => converse(socket, &answer).await,
                        Speaks::Nothing => tokio::time::sleep(Duration::from_mins(1)).await,
                        Speaks::Farewell => {}
                        Speaks::Bytes(bytes) => {
                            let mut hello = [0; 512];
                            let _ = socket.read(&mut hello).await;
                            let _ = socket.write_all(bytes).await;
                            let _ = socket.shutdown().await;
                        }
                    }
                });
            }
        });
        Self {
            address,
            connections,
            task,
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: &Answer) {
    let mut bytes = Vec::new();
    let mut piece = [0; 2048];
    loop {
        let Ok(count) = stream.read(&mut piece).await else {
            return;
        };
        if count == 0 {
            return;
        }
        bytes.extend_from_slice(&piece[..count]);
        // What is no text will never become a request.
        let Ok(text) = std::str::from_utf8(&bytes) else {
            continue;
        };
        if let Some(end) = text.find("\r\n\r\n") {
            let request = text[..end + 4].to_owned();
            bytes.drain(..end + 4);
            let Some(reply) = answer(&request) else {
                return;
            };
            let _ = stream.write_all(&reply).await;
            let _ = stream.flush().await;
        }
    }
}

/// A preflight at [`NOW`] that may reach this machine, trusts these roots and knows these names.
pub(super) fn preflight(roots: RootCertStore, names: &[(&str, &[&str])]) -> Preflight {
    let table: HashMap<String, Vec<IpAddr>> = names
        .iter()
        .map(|(name, ips)| {
            (
                (*name).to_owned(),
                ips.iter().map(|ip| ip.parse().unwrap()).collect(),
            )
        })
        .collect();
    let loopback = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
    let outgoing = Outgoing::new(loopback, &[]).unwrap();
    Preflight {
        names: Names::Table(Arc::new(move |name| {
            table.get(name).cloned().ok_or(NameError::Unknown)
        })),
        roots: Arc::new(roots),
        ..Preflight::new(outgoing, Clock::manual(NOW), Chance::seeded(7))
    }
}

/// An address that is known to be good.
pub(super) fn at(host: &str, port: u16) -> Address {
    address::normalise(host, Some(&port.to_string())).unwrap()
}

/// The codes of what was found, without what passed.
pub(super) fn trouble(report: &Report) -> Vec<&'static str> {
    use super::preflight::Severity;

    report
        .found
        .iter()
        .filter(|found| found.severity >= Severity::Warning)
        .map(|found| found.finding.code())
        .collect()
}
