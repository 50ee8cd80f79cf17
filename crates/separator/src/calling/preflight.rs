//! The preflight: looks at a telephone server the way Meta does before it sends a call there, and says what it would trip
//! over.
//!
//! The stages are the name, the connection, TLS, the certificate's chain, the name in it, and one SIP request (OPTIONS;
//! never INVITE, which would ring telephones). All addresses of a name are looked at side by side and the worst counts,
//! because nobody knows which one Meta takes. Ten seconds in all.
//!
//! The address comes from people, so the rules of [`outgoing`] hold: it is resolved once, an address that
//! is not public is never connected to unless the operator allowed its network, and the connection goes to the address
//! that was vetted, so that a second answer of the name server changes nothing. At most 8 KiB are read, and nothing of
//! them is shown but a status line and the name of the server's program, reduced to harmless characters.
//!
//! The certificate is judged by Mozilla's roots, not by the system's: a company's own authority would pass here and fail at
//! Meta. What Meta trusts is not published; this is the nearest there is. The TLS connection itself accepts any
//! certificate, so that all faults are found at once; nothing secret goes over it unless the certificate is good.

mod certificate;
mod connection;
mod finding;
mod limit;
mod names;
mod request;
mod words;

#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use rustls::RootCertStore;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

pub use self::{
    certificate::Certificate,
    finding::{Finding, Found, Severity, Stage},
    limit::{Limit, Ticket, Wait},
    names::{NameError, Names},
    request::Login,
};
use super::address::Address;
use crate::{
    identifiers::Chance,
    outgoing::{self, Outgoing},
    time::{Clock, Millis},
    translate::message::Language,
};

/// How long a preflight may take in all.
pub const LIMIT: Duration = Duration::from_secs(10);
/// How long it may take to resolve the name.
const NAME_LIMIT: Duration = Duration::from_secs(2);
/// How many addresses of a name are looked at.
const MOST_ADDRESSES: usize = 8;

/// What a preflight needs.
#[derive(Debug, Clone)]
pub struct Preflight {
    /// Says which addresses may be connected to.
    pub outgoing: Outgoing,
    /// Resolves names.
    pub names: Names,
    /// The authorities that are trusted.
    pub roots: Arc<RootCertStore>,
    /// The time by which certificates are judged.
    pub clock: Clock,
    /// Chance for the requests' identifiers.
    pub chance: Chance,
}

impl Preflight {
    /// A preflight that trusts Mozilla's roots and asks the system's resolver.
    pub fn new(outgoing: Outgoing, clock: Clock, chance: Chance) -> Self {
        outgoing::install_crypto_provider();
        let roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        Self {
            outgoing,
            names: Names::System,
            roots: Arc::new(roots),
            clock,
            chance,
        }
    }

    /// Looks at a telephone server. With a `login` its answer to Meta's password is tried too, where the certificate is
    /// good; without consent of the person who asks there should be none.
    pub async fn check(&self, address: &Address, login: Option<&Login>) -> Report {
        let at = self.clock.now();
        let began = Instant::now();
        let mut report = Report {
            address: address.clone(),
            at,
            milliseconds: 0,
            found: entered(address),
            certificate: None,
        };
        let until = began + LIMIT;
        let looking = self.look(address, login, &mut report);
        if tokio::time::timeout_at(until, looking).await.is_err() {
            report.found.push(Found::of(Finding::OutOfTime));
        }
        report.milliseconds = began.elapsed().as_millis() as u64;
        tracing::info!(server = %address, verdict = report.verdict().as_str(), milliseconds = report.milliseconds, "SIP preflight");
        report
    }

    async fn look(&self, address: &Address, login: Option<&Login>, report: &mut Report) {
        let Some(reachable) = self.addresses(address, &mut report.found).await else {
            return;
        };
        let alternative = reachable.iter().any(IpAddr::is_ipv4);
        let each = reachable.iter().map(|ip| {
            let peer = SocketAddr::new(*ip, address.port);
            connection::probe(self, address, peer, login)
        });
        for (ip, probed) in reachable.iter().zip(join_all(each).await) {
            // It is not known that Meta uses IPv6, so a dead IPv6 address beside an IPv4 one is no more than a warning.
            let softened = alternative && ip.is_ipv6();
            for finding in probed.found {
                report.found.push(Found {
                    address: Some(SocketAddr::new(*ip, address.port)),
                    severity: finding.severity(softened),
                    finding,
                });
            }
            if report.certificate.is_none() {
                report.certificate = probed.certificate;
            }
        }
        self.offer_another_name(report, &reachable).await;
    }

    /// The addresses that may be connected to; none where there is nothing to connect to, which is noted.
    async fn addresses(&self, address: &Address, found: &mut Vec<Found>) -> Option<Vec<IpAddr>> {
        let resolved = match address.ip() {
            Some(ip) => vec![ip],
            None => match self.names.resolve(&address.host, NAME_LIMIT).await {
                Ok(resolved) => resolved,
                Err(error) => {
                    found.push(Found::of(Finding::NoName(error)));
                    return None;
                }
            },
        };
        let (permitted, closed): (Vec<_>, Vec<_>) = resolved
            .into_iter()
            .partition(|ip| self.outgoing.permits(*ip));
        if !closed.is_empty() {
            found.push(Found::of(Finding::NotPublic { addresses: closed }));
        }
        if permitted.is_empty() {
            return None;
        }
        if address.ip().is_none() {
            found.push(Found::of(Finding::Resolved {
                addresses: permitted.clone(),
            }));
        }
        if !permitted.iter().any(IpAddr::is_ipv4) {
            found.push(Found::of(Finding::OnlyIpv6));
        }
        Some(permitted.into_iter().take(MOST_ADDRESSES).collect())
    }

    /// Where the certificate is for other names: one of them that leads to the same server.
    async fn offer_another_name(&self, report: &mut Report, reachable: &[IpAddr]) {
        for found in &mut report.found {
            let Finding::WrongName { names, offer } = &mut found.finding else {
                continue;
            };
            for name in names.iter().filter(|name| !name.contains('*')).take(3) {
                let same = self.names.resolve(name, Duration::from_millis(300)).await;
                if same.is_ok_and(|resolved| resolved.iter().any(|ip| reachable.contains(ip))) {
                    *offer = Some(name.clone());
                    break;
                }
            }
        }
    }
}

/// What there is to say about the address itself.
fn entered(address: &Address) -> Vec<Found> {
    let mut found = Vec::new();
    if !address.removed.is_empty() {
        let removed = address.removed.join(", ");
        found.push(Found::of(Finding::Removed { removed }));
    }
    if let Some(readable) = &address.readable {
        found.push(Found::of(Finding::OtherScript {
            readable: readable.clone(),
            ascii: address.host.clone(),
        }));
    }
    if address.ip().is_some() {
        found.push(Found::of(Finding::IpAddress));
    }
    found
}

/// Whether calls will arrive, as far as can be told from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is in the way.
    Green,
    /// Something to know or to look at; calls may well arrive.
    Yellow,
    /// Calls will not arrive.
    Red,
}

impl Verdict {
    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
        }
    }
}

/// What a preflight found. Holds no words, so that it can be kept and told in any language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What was looked at.
    pub address: Address,
    /// When.
    pub at: Millis,
    /// How long it took.
    pub milliseconds: u64,
    /// What was found, in the order of the stages, address by address.
    pub found: Vec<Found>,
    /// The certificate that the server showed.
    pub certificate: Option<Certificate>,
}

impl Report {
    /// The worst of what was found.
    pub fn verdict(&self) -> Verdict {
        let worst = self.found.iter().map(|found| found.severity).max();
        match worst {
            Some(Severity::Fault) | None => Verdict::Red,
            Some(Severity::Warning) => Verdict::Yellow,
            Some(Severity::Note | Severity::Pass) => Verdict::Green,
        }
    }

    /// The verdict in one sentence.
    pub fn sentence(&self, language: Language) -> &'static str {
        words::verdict(self.verdict()).in_language(language)
    }

    /// Everything, in words of one language.
    pub fn to_json(&self, language: Language) -> Value {
        let stages: Vec<Value> = self
            .found
            .iter()
            .map(|found| {
                json!({
                    "stage": found.finding.stage().as_str(),
                    "state": found.severity.as_str(),
                    "code": found.finding.code(),
                    "address": found.address,
                    "text": found.finding.text(language),
                    "fix": found.finding.fix(language),
                })
            })
            .collect();
        json!({
            "host": self.address.host,
            "readable": self.address.readable,
            "port": self.address.port,
            "verdict": self.verdict().as_str(),
            "sentence": self.sentence(language),
            "checked_at": self.at,
            "milliseconds": self.milliseconds,
            "stages": stages,
            "certificate": self.certificate.as_ref().map(|certificate| certificate.to_json(self.at)),
        })
    }

    /// Everything, as lines for a terminal.
    pub fn to_text(&self, language: Language) -> String {
        let mut lines = vec![self.address.to_string()];
        for found in &self.found {
            let place = found
                .address
                .map(|address| format!("{address}  "))
                .unwrap_or_default();
            lines.push(format!(
                "  {:<8} {:<6} {place}{}",
                found.severity.as_str(),
                found.finding.stage().as_str(),
                found.finding.text(language),
            ));
            if found.severity >= Severity::Warning
                && let Some(fix) = found.finding.fix(language)
            {
                lines.push(format!("  {:<15} {fix}", ""));
            }
        }
        lines.push(format!(
            "{}: {}",
            self.verdict().as_str(),
            self.sentence(language)
        ));
        lines.join("\n")
    }
}
