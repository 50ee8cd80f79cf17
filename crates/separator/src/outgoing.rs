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

mod networks;
mod rules;

use std::{error::Error, net::IpAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use ipnet::IpNet;
use reqwest::{Client, ClientBuilder, Response, redirect::Policy};
use url::Url;

pub use self::networks::is_public;
use self::rules::{Rules, VettingResolver};

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
        let rules = Arc::new(Rules::new(allow, trusted));
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
            .dns_resolver(VettingResolver::new(rules.clone()))
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

#[cfg(test)]
mod tests;
