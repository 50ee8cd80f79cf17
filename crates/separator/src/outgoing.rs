//! Requests to the outside: the one place where HTTP clients are made.
//!
//! Others choose many of the addresses we call: file links in a portal's events, portals' own
//! domains, redirects. Without care such an address is a way into the network we run in (the
//! metadata service of a cloud, a database without password, the machine itself). So:
//!
//! - A name is resolved once, by [`Outgoing`]'s resolver. Addresses that are not public are dropped,
//!   and the connection is made to one of those that are left. There is no second resolution that
//!   could answer differently.
//! - An address written in the URL itself never reaches a resolver, and neither does the scheme.
//!   [`Outgoing::vet`] looks at them; it has to be asked before a request to a URL that somebody
//!   else chose ([`Outgoing::fetch`] does it by itself).
//! - Clients for APIs follow no redirects. The client for files follows five and vets each.
//! - No proxy is taken from the environment: it would resolve names for us, unvetted.
//!
//! Two things open the gate, both the operator's: networks in `SEPARATOR_ALLOW_ADDRESSES`, for
//! portals inside a company, and the services in the settings (Graph API, authorization server),
//! which are trusted at exactly the host and port that were set.
//!
//! TLS is rustls with ring. The trusted roots are those of the system, so that a company's own
//! authority works for its own portal; `SSL_CERT_FILE` names others.

use std::{
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::{
    Client, ClientBuilder, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use url::{Host, Url};

/// How long a connection may take to be made, the resolution of its name included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one call of an API may take from beginning to end.
pub const API_TIMEOUT: Duration = Duration::from_mins(1);
/// How long one file may take from beginning to end.
pub const FILE_TIMEOUT: Duration = Duration::from_mins(10);
/// How long a file may stand still on its way.
pub const FILE_PAUSE: Duration = Duration::from_secs(30);
/// How many redirects a file may take.
pub const MAX_REDIRECTS: usize = 5;

/// A request may not go where it wants to. Trying again changes nothing, only a setting does.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum Forbidden {
    /// Another scheme than `http` and `https`.
    #[error("requests go out by http and https, not by `{0}`")]
    Scheme(String),
    /// A URL without a host.
    #[error("the address names no host")]
    NoHost,
    /// The host is, or resolves only to, addresses that are not public.
    #[error(
        "{host} is not a public address; if it should be reached, add its network to \
         SEPARATOR_ALLOW_ADDRESSES"
    )]
    NotPublic {
        /// The host as the URL named it.
        host: String,
    },
    /// A service of the settings, at another port than the one in the settings.
    #[error("{host} is known from the settings, but not with port {port}")]
    OtherPort {
        /// The host as the URL named it.
        host: String,
        /// The port as the URL named it.
        port: u16,
    },
    /// More redirects than [`MAX_REDIRECTS`].
    #[error("more than {MAX_REDIRECTS} redirects")]
    TooManyRedirects,
}

impl Forbidden {
    /// The refusal that stopped a request, where one did: of its first address or of a redirect.
    pub fn behind(error: &reqwest::Error) -> Option<&Self> {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(current) = cause {
            if let Some(forbidden) = current.downcast_ref() {
                return Some(forbidden);
            }
            cause = current.source();
        }
        None
    }
}

/// A file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address, or one that it redirects to, may not be called.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The request failed. The URL is taken out of the error, because it may hold a token.
    #[error("{}", causes(.0))]
    Http(reqwest::Error),
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        match Forbidden::behind(&error) {
            Some(forbidden) => Self::Forbidden(forbidden.clone()),
            None => Self::Http(error.without_url()),
        }
    }
}

/// A body could not be read whole.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is longer than what was asked for.
    #[error("the answer is longer than {limit} bytes")]
    TooLong {
        /// The most that would have been read, in bytes.
        limit: usize,
    },
    /// It stopped on the way. The URL is taken out of the error, because it may hold a token.
    #[error("{}", causes(.0))]
    Http(reqwest::Error),
}

/// An error and what is behind it in one line: reqwest's own text stops at "error sending request".
pub(crate) fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        text.push_str(": ");
        text.push_str(&current.to_string());
        cause = current.source();
    }
    text
}

/// Makes ring the process's cryptography for TLS. Does nothing where it is already chosen; has to be
/// called before anything else opens TLS (the PostgreSQL pool brings its own and does not care).
pub fn install_crypto_provider() {
    // The error says that a provider is installed, which is what is wanted.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// The maker of HTTP clients. Clones share clients and their connections.
#[derive(Clone, Debug)]
pub struct Outgoing {
    rules: Arc<Rules>,
    api: Client,
    file: Client,
}

impl Outgoing {
    /// Clients that reach public addresses, the networks of `allow`, and the services in `trusted`
    /// at their exact host and port wherever those are.
    pub fn new(allow: Vec<IpNet>, trusted: &[Url]) -> Result<Self, reqwest::Error> {
        install_crypto_provider();
        let trusted = trusted.iter().filter_map(host_and_port).collect();
        let rules = Arc::new(Rules { allow, trusted });
        let api = build(&rules, |client| {
            client
                .timeout(API_TIMEOUT)
                .redirect(Policy::none())
                .tls_info(true)
        })?;
        let file = build(&rules, |client| {
            client
                .timeout(FILE_TIMEOUT)
                .read_timeout(FILE_PAUSE)
                .redirect(rules.clone().policy())
        })?;
        Ok(Self { rules, api, file })
    }

    /// Whether a request may go to this URL, as far as the URL itself tells. Names are looked at
    /// when they are resolved.
    pub fn vet(&self, url: &Url) -> Result<(), Forbidden> {
        self.rules.vet(url)
    }

    /// Whether a connection may be made to an address that was resolved elsewhere: it is public, or in a network that the
    /// operator allowed. Connect to exactly this address afterwards, not to the name.
    pub fn permits(&self, address: IpAddr) -> bool {
        self.rules.permits(address)
    }

    /// The client for Graph, portals and authorization servers: no redirects, [`API_TIMEOUT`].
    ///
    /// [`Outgoing::vet`] the URL first where somebody else chose its host.
    pub fn api_client(&self) -> Client {
        self.api.clone()
    }

    /// The client for files: vetted redirects, [`FILE_TIMEOUT`].
    ///
    /// [`Outgoing::vet`] the URL first where somebody else chose its host, or use
    /// [`Outgoing::fetch`].
    pub fn file_client(&self) -> Client {
        self.file.clone()
    }

    /// Asks for a file at an address that somebody else chose. The answer may have any status, and
    /// its body is still to be read.
    pub async fn fetch(&self, url: Url) -> Result<Response, FetchError> {
        self.rules.vet(&url)?;
        Ok(self.file.get(url).send().await?)
    }
}

/// Reads a whole body into memory and gives up as soon as it is longer than `limit` bytes.
pub async fn read_limited(mut response: Response, limit: usize) -> Result<Bytes, ReadError> {
    let announced = response.content_length().unwrap_or(0);
    if announced > limit as u64 {
        return Err(ReadError::TooLong { limit });
    }
    let mut body = BytesMut::with_capacity(announced as usize);
    loop {
        let chunk = response
            .chunk()
            .await
            .map_err(|error| ReadError::Http(error.without_url()))?;
        let Some(chunk) = chunk else {
            return Ok(body.freeze());
        };
        if body.len() + chunk.len() > limit {
            return Err(ReadError::TooLong { limit });
        }
        body.extend_from_slice(&chunk);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that makes clients"
)]
fn build(
    rules: &Arc<Rules>,
    kind: impl Fn(ClientBuilder) -> ClientBuilder,
) -> Result<Client, reqwest::Error> {
    let common = || {
        let guarded = Client::builder()
            .user_agent(concat!("Separator/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .dns_resolver(VettingResolver {
                rules: rules.clone(),
            })
            .no_proxy()
            .referer(false);
        kind(guarded)
    };
    common().build().or_else(|error| {
        // A machine without any root certificates can still talk to the stand-ins by http.
        let client = common().tls_certs_only([]).build()?;
        tracing::warn!(
            error = %causes(&error),
            "no requests by https are possible; install the root certificates of the system \
             (ca-certificates) or name a file of them in SSL_CERT_FILE"
        );
        Ok(client)
    })
}

/// What may be reached.
#[derive(Debug)]
struct Rules {
    allow: Vec<IpNet>,
    /// Hosts and ports of the services in the settings.
    trusted: Vec<(Host<String>, u16)>,
}

fn host_and_port(url: &Url) -> Option<(Host<String>, u16)> {
    Some((url.host()?.to_owned(), url.port_or_known_default()?))
}

impl Rules {
    fn vet(&self, url: &Url) -> Result<(), Forbidden> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Forbidden::Scheme(url.scheme().to_owned()));
        }
        let (host, port) = host_and_port(url).ok_or(Forbidden::NoHost)?;
        if self.trusted.contains(&(host.clone(), port)) {
            return Ok(());
        }
        match host {
            Host::Domain(name) => self.vet_port(name, port),
            Host::Ipv4(address) => self.vet_literal(address.into()),
            Host::Ipv6(address) => self.vet_literal(address.into()),
        }
    }

    fn vet_literal(&self, address: IpAddr) -> Result<(), Forbidden> {
        if self.permits(address) {
            return Ok(());
        }
        Err(Forbidden::NotPublic {
            host: address.to_string(),
        })
    }

    /// The resolver sees no port, so it lets a trusted name pass whatever it resolves to; the other
    /// ports of that machine are closed here. `localhost` is the exception whose address is known
    /// without asking: it is as open as the networks in `allow` make it.
    fn vet_port(&self, host: String, port: u16) -> Result<(), Forbidden> {
        let loopback = host == "localhost"
            && (self.permits(Ipv4Addr::LOCALHOST.into())
                || self.permits(Ipv6Addr::LOCALHOST.into()));
        if loopback || !self.trusts_name(&host) {
            return Ok(());
        }
        Err(Forbidden::OtherPort { host, port })
    }

    fn trusts_name(&self, name: &str) -> bool {
        self.trusted.iter().any(
            |(host, _)| matches!(host, Host::Domain(trusted) if trusted.eq_ignore_ascii_case(name)),
        )
    }

    /// Whether an address is public or in a network that the operator allowed.
    fn permits(&self, address: IpAddr) -> bool {
        is_public(address)
            || self.allow.iter().any(|network| network.contains(&address))
            || embedded(address).is_some_and(|inner| {
                self.allow
                    .iter()
                    .any(|network| network.contains(&IpAddr::V4(inner)))
            })
    }

    /// Of the addresses that a name resolved to, those that may be connected to.
    fn keep(&self, name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Forbidden> {
        if self.trusts_name(name) {
            return Ok(found);
        }
        let kept: Vec<_> = found
            .into_iter()
            .filter(|found| self.permits(found.ip()))
            .collect();
        if kept.is_empty() {
            return Err(Forbidden::NotPublic {
                host: name.to_owned(),
            });
        }
        Ok(kept)
    }

    fn policy(self: Arc<Self>) -> Policy {
        Policy::custom(move |attempt| {
            // The first of the previous ones is the request itself.
            if attempt.previous().len() > MAX_REDIRECTS {
                return attempt.error(Forbidden::TooManyRedirects);
            }
            match self.vet(attempt.url()) {
                Ok(()) => attempt.follow(),
                Err(forbidden) => attempt.error(forbidden),
            }
        })
    }
}

/// Resolves a name and keeps the addresses that the rules permit.
struct VettingResolver {
    rules: Arc<Rules>,
}

impl Resolve for VettingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.rules.clone();
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() {
                return Err(io::Error::other("the name has no address").into());
            }
            let kept: Addrs = Box::new(rules.keep(name.as_str(), found)?.into_iter());
            Ok(kept)
        })
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(first: u16, second: u16, third: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0), length)
}

/// Networks of the IANA special-purpose registry that are not for the public Internet.
const NOT_PUBLIC_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 0, 8),       // this network
    v4(10, 0, 0, 0, 8),      // private
    v4(100, 64, 0, 0, 10),   // shared by a carrier's customers (CGNAT)
    v4(127, 0, 0, 0, 8),     // loopback
    v4(169, 254, 0, 0, 16),  // link-local, metadata services among them
    v4(172, 16, 0, 0, 12),   // private
    v4(192, 0, 0, 0, 24),    // protocol assignments
    v4(192, 0, 2, 0, 24),    // documentation
    v4(192, 88, 99, 0, 24),  // 6to4 relays, no longer in use
    v4(192, 168, 0, 0, 16),  // private
    v4(198, 18, 0, 0, 15),   // benchmarks
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
    v4(224, 0, 0, 0, 4),     // multicast
    v4(240, 0, 0, 0, 4),     // reserved, and broadcast
];

/// The only part of IPv6 that is given out for the public Internet.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// Parts of [`GLOBAL_V6`] that are not.
const NOT_PUBLIC_V6: [Ipv6Net; 3] = [
    v6(0x2001, 0, 0, 23),     // protocol assignments, Teredo among them
    v6(0x2001, 0xdb8, 0, 32), // documentation
    v6(0x3fff, 0, 0, 20),     // documentation
];

/// Networks whose addresses stand for IPv4 ones: IPv4-mapped, NAT64 (RFC 6052) and 6to4 (RFC 3056).
const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);
const SIX_TO_FOUR: Ipv6Net = v6(0x2002, 0, 0, 16);

/// Whether an address belongs to the public Internet. One that stands for an IPv4 address is as
/// public as that is.
pub fn is_public(address: IpAddr) -> bool {
    if let Some(inner) = embedded(address) {
        return is_public(inner.into());
    }
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4
            .iter()
            .any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_V6.contains(&address)
                && !NOT_PUBLIC_V6
                    .iter()
                    .any(|network| network.contains(&address))
        }
    }
}

/// The IPv4 address that an IPv6 address stands for.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let [_, a, b, .., c, d] = address.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    if MAPPED.contains(&address) || NAT64.contains(&address) {
        return Some(of(c, d));
    }
    SIX_TO_FOUR.contains(&address).then(|| of(a, b))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use axum::{Router, http::StatusCode, response::Redirect, routing::get};
    use tokio::net::TcpListener;

    use super::*;

    const NOT_PUBLIC: [&str; 45] = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:1::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "ff02::1",
    ];

    const PUBLIC: [&str; 14] = [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "198.20.0.0",
        "223.255.255.255",
        "2a03:2880:f12f::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ];

    fn outgoing(allow: &[&str], trusted: &[&str]) -> Outgoing {
        let allow = allow
            .iter()
            .map(|network| network.parse().unwrap())
            .collect();
        let trusted: Vec<Url> = trusted.iter().map(|url| url.parse().unwrap()).collect();
        Outgoing::new(allow, &trusted).unwrap()
    }

    fn literal(address: &str) -> Url {
        let host = if address.contains(':') {
            format!("[{address}]")
        } else {
            address.to_owned()
        };
        format!("https://{host}/file").parse().unwrap()
    }

    fn socket(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 0)
    }

    async fn serve(router: Router) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(axum::serve(listener, router).into_future());
        port
    }

    fn at(port: u16, path: &str) -> Url {
        format!("http://127.0.0.1:{port}{path}").parse().unwrap()
    }

    #[test]
    fn every_class_of_address_is_known() {
        for address in NOT_PUBLIC {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in PUBLIC {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn literals_are_vetted_as_what_they_are() {
        let outgoing = outgoing(&[], &[]);
        for address in NOT_PUBLIC {
            assert!(outgoing.vet(&literal(address)).is_err(), "{address}");
        }
        for address in PUBLIC {
            assert_eq!(outgoing.vet(&literal(address)), Ok(()), "{address}");
        }
    }

    #[test]
    fn disguised_loopback_is_recognised() {
        let outgoing = outgoing(&[], &[]);
        for host in [
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.1.",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:127.0.0.1]",
            "[::ffff:127.1]",
            "127。0。0。1",
            "①②⑦.⓪.⓪.①",
            "0",
            "user@127.0.0.1",
            "example.com@127.0.0.1",
            "%31%32%37.0.0.1",
        ] {
            // What the parser refuses cannot be requested either.
            if let Ok(url) = Url::parse(&format!("http://{host}/")) {
                assert!(outgoing.vet(&url).is_err(), "{host} is {url}");
            }
        }
    }

    #[test]
    fn only_http_and_https_leave() {
        let outgoing = outgoing(&[], &[]);
        for url in [
            "ftp://example.com/",
            "file:///etc/passwd",
            "data:text/plain,x",
            "gopher://a/",
        ] {
            let refused = outgoing.vet(&url.parse().unwrap());
            assert!(
                matches!(refused, Err(Forbidden::Scheme(_))),
                "{url}: {refused:?}"
            );
        }
    }

    #[test]
    fn networks_of_the_setting_are_open_also_when_embedded() {
        let outgoing = outgoing(&["10.1.0.0/16", "fd00::/8"], &[]);
        for address in [
            "10.1.2.3",
            "fd12::1",
            "::ffff:10.1.2.3",
            "64:ff9b::10.1.2.3",
        ] {
            assert_eq!(outgoing.vet(&literal(address)), Ok(()), "{address}");
        }
        for address in ["10.2.0.1", "127.0.0.1", "fe80::1", "::ffff:10.2.0.1"] {
            assert!(outgoing.vet(&literal(address)).is_err(), "{address}");
        }
    }

    #[test]
    fn of_what_a_name_resolves_to_only_public_addresses_are_kept() {
        let rules = outgoing(&["192.168.7.0/24"], &["https://graph.test.local"]).rules;
        let found = ["10.0.0.1", "8.8.8.8", "::1", "192.168.7.7", "192.168.8.8"].map(socket);
        let kept = rules.keep("portal.example", found.to_vec()).unwrap();
        assert_eq!(kept, ["8.8.8.8", "192.168.7.7"].map(socket));

        let refused = rules.keep("portal.example", vec![socket("10.0.0.1"), socket("::1")]);
        assert_eq!(
            refused,
            Err(Forbidden::NotPublic {
                host: "portal.example".to_owned()
            })
        );
        let trusted = rules
            .keep("Graph.test.local", vec![socket("10.0.0.1")])
            .unwrap();
        assert_eq!(trusted, [socket("10.0.0.1")]);
    }

    #[test]
    fn a_trusted_service_is_trusted_at_its_port_only() {
        let own = [
            "http://127.0.0.1:9001/base",
            "https://graph.test.local",
            "http://localhost:9003",
        ];
        let outgoing = outgoing(&[], &own);
        let vet = |url: &str| outgoing.vet(&url.parse().unwrap());
        for url in own {
            assert_eq!(vet(url), Ok(()), "{url}");
        }
        assert_eq!(vet("https://graph.test.local:443/v1"), Ok(()));
        for url in [
            "http://127.0.0.1:9002",
            "http://graph.test.local/",
            "https://graph.test.local:22",
            "http://localhost/",
        ] {
            assert!(vet(url).is_err(), "{url}");
        }
    }

    #[test]
    fn localhost_is_open_at_other_ports_where_loopback_is_allowed() {
        let outgoing = outgoing(&["127.0.0.0/8"], &["http://localhost:9001"]);
        assert_eq!(
            outgoing.vet(&"http://localhost:9002".parse().unwrap()),
            Ok(())
        );
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_loopback_is_not_called() {
        let port = serve(Router::new().route("/", get(|| async { "inside" }))).await;
        let url: Url = format!("http://localhost:{port}/").parse().unwrap();
        let closed = outgoing(&[], &[]);
        let error = closed
            .api_client()
            .get(url.clone())
            .send()
            .await
            .unwrap_err();
        let expected = Forbidden::NotPublic {
            host: "localhost".to_owned(),
        };
        assert_eq!(Forbidden::behind(&error), Some(&expected));
        assert!(matches!(
            closed.fetch(url.clone()).await,
            Err(FetchError::Forbidden(_))
        ));

        let open = outgoing(&["127.0.0.0/8"], &[]);
        assert_eq!(open.fetch(url).await.unwrap().status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_redirect_into_the_inside_is_not_followed() {
        let inside = serve(Router::new().route("/", get(|| async { "inside" }))).await;
        let target = at(inside, "/").to_string();
        let outside = serve(Router::new().route(
            "/",
            get(move || async move { Redirect::temporary(&target) }),
        ))
        .await;
        let outgoing = outgoing(&[], &[at(outside, "/").as_str()]);

        let refused = outgoing.fetch(at(outside, "/")).await;
        assert!(
            matches!(&refused, Err(FetchError::Forbidden(Forbidden::NotPublic { host })) if host == "127.0.0.1"),
            "{refused:?}"
        );
        let answer = outgoing
            .api_client()
            .get(at(outside, "/"))
            .send()
            .await
            .unwrap();
        assert_eq!(
            answer.status(),
            StatusCode::TEMPORARY_REDIRECT,
            "API clients follow nothing"
        );
    }

    #[tokio::test]
    async fn five_redirects_are_followed_and_no_sixth() {
        async fn step(
            axum::extract::Path(left): axum::extract::Path<u8>,
        ) -> Result<Redirect, &'static str> {
            left.checked_sub(1)
                .map(|left| Redirect::to(&format!("/{left}")))
                .ok_or("arrived")
        }
        let port = serve(Router::new().route("/{left}", get(step))).await;
        let outgoing = outgoing(&["127.0.0.1/32"], &[]);
        let answer = outgoing.fetch(at(port, "/5")).await.unwrap();
        assert_eq!(read_limited(answer, 100).await.unwrap(), "arrived");
        let refused = outgoing.fetch(at(port, "/6")).await;
        assert!(matches!(
            refused,
            Err(FetchError::Forbidden(Forbidden::TooManyRedirects))
        ));
    }

    #[tokio::test]
    async fn bodies_are_read_up_to_the_limit_announced_or_not() {
        let streamed = || async {
            let chunks = (0..4).map(|_| Ok::<_, io::Error>(Bytes::from_static(&[b'x'; 25])));
            axum::body::Body::from_stream(futures_util::stream::iter(chunks))
        };
        let router = Router::new().route("/plain", get(|| async { "x".repeat(100) }));
        let port = serve(router.route("/streamed", get(streamed))).await;
        let outgoing = outgoing(&["127.0.0.1/32"], &[]);
        for path in ["/plain", "/streamed"] {
            let answer = outgoing.fetch(at(port, path)).await.unwrap();
            assert_eq!(
                read_limited(answer, 100).await.unwrap().len(),
                100,
                "{path}"
            );
            let answer = outgoing.fetch(at(port, path)).await.unwrap();
            let refused = read_limited(answer, 99).await;
            assert!(
                matches!(refused, Err(ReadError::TooLong { limit: 99 })),
                "{path}"
            );
        }
    }

    #[tokio::test]
    async fn errors_do_not_repeat_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let outgoing = outgoing(&["127.0.0.1/32"], &[]);
        let error = outgoing
            .fetch(at(port, "/?token=planted"))
            .await
            .unwrap_err();
        assert!(matches!(error, FetchError::Http(_)));
        assert!(
            !format!("{error} {error:?}").contains("planted"),
            "{error:?}"
        );
    }
}
