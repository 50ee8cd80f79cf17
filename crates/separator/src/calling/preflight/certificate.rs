//! Judging a certificate: trust, time and name each for itself, because the usual verifier stops at the first fault.

use std::net::IpAddr;

use rustls::{
    CertificateError, Error as TlsError, RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use x509_parser::prelude::{GeneralName, X509Certificate, X509Name};

use super::finding::Finding;
use crate::time::Millis;

/// From how many days before its end a certificate is worth a warning.
const SOON_DAYS: i64 = 14;
/// How many of a certificate's names are shown.
const MOST_NAMES: usize = 20;
const DAY: i64 = 24 * 60 * 60 * 1000;

/// What a certificate says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The hosts it is for.
    pub names: Vec<String>,
    /// Who signed it.
    pub issuer: String,
    /// When it begins.
    pub from: Millis,
    /// When it ends.
    pub until: Millis,
}

impl Certificate {
    /// Whole days from a moment to its end; negative after it.
    pub fn days_left(&self, now: Millis) -> i64 {
        (self.until.0 - now.0).div_euclid(DAY)
    }

    pub(super) fn to_json(&self, now: Millis) -> Value {
        json!({
            "names": self.names,
            "issuer": self.issuer,
            "not_before": self.from,
            "not_after": self.until,
            "days_left": self.days_left(now),
        })
    }
}

/// What to judge by.
pub(super) struct Judge<'a> {
    pub(super) roots: &'a RootCertStore,
    pub(super) provider: &'a CryptoProvider,
    pub(super) now: Millis,
    /// The host that Meta will be given, in ASCII.
    pub(super) host: &'a str,
}

impl Judge<'_> {
    /// Judges the chain that a server sent, its own certificate first.
    pub(super) fn judge(
        &self,
        chain: &[CertificateDer<'static>],
    ) -> (Vec<Finding>, Option<Certificate>) {
        let unreadable = || (vec![unusable("it cannot be read")], None);
        let Some((leaf, intermediates)) = chain.split_first() else {
            return (vec![unusable("the server showed none")], None);
        };
        let (Ok(verifiable), Ok((_, parsed))) = (
            ParsedCertificate::try_from(leaf),
            x509_parser::parse_x509_certificate(leaf),
        ) else {
            return unreadable();
        };
        let certificate = Certificate {
            names: names(&parsed),
            issuer: shown(parsed.issuer()),
            from: Millis::from_seconds(parsed.validity().not_before.timestamp()),
            until: Millis::from_seconds(parsed.validity().not_after.timestamp()),
        };
        let mut found = self.trust(&verifiable, &parsed, &certificate, intermediates);
        found.extend(self.time(&certificate));
        found.push(self.name(&verifiable, &parsed, &certificate));
        (found, Some(certificate))
    }

    fn trust(
        &self,
        verifiable: &ParsedCertificate<'_>,
        leaf: &X509Certificate<'_>,
        certificate: &Certificate,
        intermediates: &[CertificateDer<'static>],
    ) -> Vec<Finding> {
        // At a moment at which the certificate itself is in time: its own time is judged apart.
        let moment = Millis(self.now.0.clamp(
            certificate.from.0,
            certificate.until.0.max(certificate.from.0),
        ));
        let seconds = u64::try_from(moment.seconds()).unwrap_or(0);
        let outcome = verify_server_cert_signed_by_trust_anchor(
            verifiable,
            self.roots,
            intermediates,
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)),
            self.provider.signature_verification_algorithms.all,
        );
        let Err(error) = outcome else {
            return vec![Finding::Trusted {
                issuer: certificate.issuer.clone(),
                until: certificate.until,
            }];
        };
        if leaf.subject().as_raw() == leaf.issuer().as_raw() {
            return vec![Finding::SelfSigned];
        }
        match error {
            // At another moment than now it may be the issuer that is out of its time, which says nothing about now.
            TlsError::InvalidCertificate(error) if is_about_time(&error) => {
                if moment == self.now {
                    vec![Finding::ChainOutOfTime]
                } else {
                    Vec::new()
                }
            }
            // A signature that does not fit: an authority that has the name of a known one, and another key.
            TlsError::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => {
                vec![unknown_issuer(leaf, intermediates)]
            }
            other => vec![unusable(&other.to_string())],
        }
    }

    fn time(&self, certificate: &Certificate) -> Option<Finding> {
        let days = certificate.days_left(self.now);
        if self.now > certificate.until {
            Some(Finding::Expired {
                on: certificate.until,
            })
        } else if self.now < certificate.from {
            Some(Finding::NotYetValid {
                from: certificate.from,
            })
        } else if days < SOON_DAYS {
            Some(Finding::ExpiresSoon {
                on: certificate.until,
                days,
            })
        } else {
            None
        }
    }

    fn name(
        &self,
        verifiable: &ParsedCertificate<'_>,
        leaf: &X509Certificate<'_>,
        certificate: &Certificate,
    ) -> Finding {
        let covered = ServerName::try_from(self.host.to_owned())
            .is_ok_and(|name| verify_server_name(verifiable, &name).is_ok());
        if covered {
            return Finding::NameCovered;
        }
        let common_name = leaf
            .subject()
            .iter_common_name()
            .filter_map(|name| name.as_str().ok())
            .any(|name| name.eq_ignore_ascii_case(self.host));
        if certificate.names.is_empty() && common_name {
            return Finding::OnlyCommonName;
        }
        let wildcard = certificate.names.iter().find(|name| {
            name.strip_prefix("*.")
                .is_some_and(|base| self.host.ends_with(&format!(".{base}")))
        });
        match wildcard {
            Some(wildcard) => Finding::WildcardTooShort {
                wildcard: wildcard.clone(),
            },
            None => Finding::WrongName {
                names: certificate.names.clone(),
                offer: None,
            },
        }
    }
}

fn unusable(why: &str) -> Finding {
    Finding::Unusable {
        why: harmless(why, 120),
    }
}

fn is_about_time(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

/// Climbs from the server's certificate as far as the certificates that it sent lead.
fn unknown_issuer(
    leaf: &X509Certificate<'_>,
    intermediates: &[CertificateDer<'static>],
) -> Finding {
    let sent: Vec<_> = intermediates
        .iter()
        .filter_map(|certificate| x509_parser::parse_x509_certificate(certificate).ok())
        .map(|(_, certificate)| certificate)
        .collect();
    let mut top = leaf;
    // Each step uses up one certificate, so a circle ends too.
    for _ in 0..sent.len() {
        let above = sent.iter().find(|above| {
            above.subject().as_raw() == top.issuer().as_raw()
                && above.subject().as_raw() != top.subject().as_raw()
        });
        match above {
            Some(above) => top = above,
            None => break,
        }
    }
    let issuer = shown(top.issuer());
    if top.subject().as_raw() == leaf.subject().as_raw() {
        Finding::IntermediateMissing { issuer }
    } else {
        Finding::UnknownAuthority { issuer }
    }
}

/// The hosts and addresses a certificate is for.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    extension
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(harmless(name, 253).to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => ip(bytes).map(|ip| ip.to_string()),
            _ => None,
        })
        .take(MOST_NAMES)
        .collect()
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(four.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// The shortest thing by which people know a name: its common name, else its organization, else all of it.
fn shown(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().find_map(|part| part.as_str().ok());
    let organization = || name.iter_organization().find_map(|part| part.as_str().ok());
    match common.or_else(organization) {
        Some(text) => harmless(text, 80),
        None => harmless(&name.to_string(), 120),
    }
}

/// Text of the other side, reduced: letters and digits of any script and a few signs that mean nothing to terminals,
/// pages and logs; everything else becomes `?`.
pub(super) fn harmless(text: &str, most: usize) -> String {
    text.trim()
        .chars()
        .take(most)
        .map(|character| {
            if character.is_alphanumeric() || " ._-/()+:,~@*'".contains(character) {
                character
            } else {
                '?'
            }
        })
        .collect()
}
