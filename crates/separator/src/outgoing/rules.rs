//! What may be reached: looked at before a request, when a name is resolved, and at each redirect.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use reqwest::{
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use url::{Host, Url};

use super::{
    Forbidden, MAX_REDIRECTS,
    networks::{embedded, is_public},
};

/// What may be reached.
#[derive(Debug)]
pub(super) struct Rules {
    allow: Vec<IpNet>,
    /// Hosts and ports of the services in the settings.
    trusted: Vec<(Host<String>, u16)>,
}

fn host_and_port(url: &Url) -> Option<(Host<String>, u16)> {
    Some((url.host()?.to_owned(), url.port_or_known_default()?))
}

impl Rules {
    pub(super) fn new(allow: Vec<IpNet>, trusted: &[Url]) -> Self {
        let trusted = trusted.iter().filter_map(host_and_port).collect();
        Self { allow, trusted }
    }

    pub(super) fn vet(&self, url: &Url) -> Result<(), Forbidden> {
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
    pub(super) fn permits(&self, address: IpAddr) -> bool {
        is_public(address)
            || self.allow.iter().any(|network| network.contains(&address))
            || embedded(address).is_some_and(|inner| {
                self.allow
                    .iter()
                    .any(|network| network.contains(&IpAddr::V4(inner)))
            })
    }

    /// Of the addresses that a name resolved to, those that may be connected to.
    pub(super) fn keep(
        &self,
        name: &str,
        found: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Forbidden> {
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

    pub(super) fn policy(self: Arc<Self>) -> Policy {
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
pub(super) struct VettingResolver {
    rules: Arc<Rules>,
}

impl VettingResolver {
    pub(super) fn new(rules: Arc<Rules>) -> Self {
        Self { rules }
    }
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
