//! What a preflight can find.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::names::NameError;
use crate::time::Millis;

/// The stages, in the order in which a call meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// What was entered.
    Input,
    /// Resolving the name.
    Dns,
    /// The connection.
    Tcp,
    /// The TLS handshake.
    Tls,
    /// Who signed the certificate, and whether it is in time.
    Chain,
    /// Whom the certificate names.
    Name,
    /// The answer to a SIP request.
    Sip,
    /// The answer to Meta's password.
    Login,
}

impl Stage {
    /// As the API and the command say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Chain => "chain",
            Self::Name => "name",
            Self::Sip => "sip",
            Self::Login => "login",
        }
    }
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Pass,
    /// Good to know.
    Note,
    /// Calls may fail.
    Warning,
    /// Calls will fail.
    Fault,
}

impl Severity {
    /// As the API and the command say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

/// Something that was found, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The address it was found at; none where it is about the name or the input.
    pub address: Option<SocketAddr>,
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub finding: Finding,
}

impl Found {
    /// Something that belongs to no one address.
    pub(super) fn of(finding: Finding) -> Self {
        Self {
            address: None,
            severity: finding.severity(false),
            finding,
        }
    }
}

/// What can be found. Texts of the other side in it are reduced to harmless characters already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Parts of what was entered were cut off.
    Removed {
        /// Which.
        removed: String,
    },
    /// The name is in another script.
    OtherScript {
        /// As people read it.
        readable: String,
        /// As Meta gets it.
        ascii: String,
    },
    /// An IP address in place of a name.
    IpAddress,

    /// The name leads to addresses.
    Resolved {
        /// Those that may be connected to.
        addresses: Vec<IpAddr>,
    },
    /// The name leads nowhere.
    NoName(NameError),
    /// Addresses that the Internet cannot reach; nothing was connected to.
    NotPublic {
        /// Which.
        addresses: Vec<IpAddr>,
    },
    /// The name has IPv6 addresses only.
    OnlyIpv6,

    /// The connection stands.
    Connected {
        /// How long it took.
        milliseconds: u64,
    },
    /// Nothing came back.
    TcpTimeout,
    /// Nothing listens there.
    Refused {
        /// The port.
        port: u16,
    },
    /// There is no way there from here.
    Unreachable {
        /// What the operating system says.
        why: String,
    },

    /// The handshake was done.
    Handshake {
        /// `TLS 1.2` or `TLS 1.3`.
        version: String,
        /// Cipher suite.
        cipher: String,
        /// How long it took.
        milliseconds: u64,
    },
    /// The server asked for a client certificate and goes on without one.
    CertificateRequested,
    /// The server insists on a client certificate.
    CertificateRequired,
    /// The port speaks SIP without TLS.
    PlainSip,
    /// The port speaks HTTP without TLS.
    PlainHttp,
    /// The port takes connections and says nothing.
    Silent,
    /// The server hung up during the handshake.
    ClosedDuringTls,
    /// The server has nothing newer than TLS 1.1.
    TooOld,
    /// The handshake failed otherwise.
    TlsFailed {
        /// How.
        why: String,
    },

    /// An authority of Mozilla's list stands behind the certificate.
    Trusted {
        /// Who signed it.
        issuer: String,
        /// When it ends.
        until: Millis,
    },
    /// It signed itself.
    SelfSigned,
    /// The server does not send the certificate between its own and the authority's.
    IntermediateMissing {
        /// The one that is missing.
        issuer: String,
    },
    /// Nobody knows the authority.
    UnknownAuthority {
        /// The authority.
        issuer: String,
    },
    /// The certificate cannot be used for another reason.
    Unusable {
        /// Which.
        why: String,
    },
    /// It ended.
    Expired {
        /// When.
        on: Millis,
    },
    /// It has not begun.
    NotYetValid {
        /// When it does.
        from: Millis,
    },
    /// A certificate above it is out of its time.
    ChainOutOfTime,
    /// It ends soon.
    ExpiresSoon {
        /// When.
        on: Millis,
        /// In how many whole days.
        days: i64,
    },

    /// The certificate is for this host.
    NameCovered,
    /// The host stands only in the common name.
    OnlyCommonName,
    /// The host lies deeper than the wildcard reaches.
    WildcardTooShort {
        /// The wildcard.
        wildcard: String,
    },
    /// The certificate is for others.
    WrongName {
        /// For whom.
        names: Vec<String>,
        /// One of them that leads to the same server.
        offer: Option<String>,
    },

    /// A final answer to OPTIONS.
    Answered {
        /// Status.
        status: u16,
        /// Its words.
        reason: String,
        /// The server's program.
        server: Option<String>,
        /// How long it took.
        milliseconds: u64,
    },
    /// The server hung up without an answer.
    ClosedWithoutAnswer,
    /// Something else than SIP answered.
    NotSip,
    /// Nothing answered.
    NoAnswer,

    /// The server took Meta's password.
    LoginAccepted,
    /// The server did not take Meta's password.
    LoginRefused,
    /// The server did not ask for a password.
    LoginNotAsked,
    /// The server asked for the password in a way that Meta does not know.
    LoginUnknown,
    /// The password was not tried, because the certificate is not good.
    LoginNotTried,

    /// The time was over before the end.
    OutOfTime,
}

impl Finding {
    /// The stage it belongs to.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Removed { .. } | Self::OtherScript { .. } | Self::IpAddress => Stage::Input,
            Self::Resolved { .. } | Self::NoName(_) | Self::NotPublic { .. } | Self::OnlyIpv6 => {
                Stage::Dns
            }
            Self::Connected { .. }
            | Self::TcpTimeout
            | Self::Refused { .. }
            | Self::Unreachable { .. } => Stage::Tcp,
            Self::Handshake { .. }
            | Self::CertificateRequested
            | Self::CertificateRequired
            | Self::PlainSip
            | Self::PlainHttp
            | Self::Silent
            | Self::ClosedDuringTls
            | Self::TooOld
            | Self::TlsFailed { .. } => Stage::Tls,
            Self::Trusted { .. }
            | Self::SelfSigned
            | Self::IntermediateMissing { .. }
            | Self::UnknownAuthority { .. }
            | Self::Unusable { .. }
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::ChainOutOfTime
            | Self::ExpiresSoon { .. } => Stage::Chain,
            Self::NameCovered
            | Self::OnlyCommonName
            | Self::WildcardTooShort { .. }
            | Self::WrongName { .. } => Stage::Name,
            Self::Answered { .. }
            | Self::ClosedWithoutAnswer
            | Self::NotSip
            | Self::NoAnswer
            | Self::OutOfTime => Stage::Sip,
            Self::LoginAccepted
            | Self::LoginRefused
            | Self::LoginNotAsked
            | Self::LoginUnknown
            | Self::LoginNotTried => Stage::Login,
        }
    }

    /// How bad it is; `softened` where another address is there to take the call.
    pub fn severity(&self, softened: bool) -> Severity {
        let severity = match self {
            Self::Resolved { .. }
            | Self::Connected { .. }
            | Self::Handshake { .. }
            | Self::Trusted { .. }
            | Self::NameCovered
            | Self::LoginAccepted => Severity::Pass,
            Self::Answered { status, .. } if *status >= 500 && *status < 600 => Severity::Warning,
            Self::Answered { .. } => Severity::Pass,
            Self::Removed { .. } | Self::OtherScript { .. } | Self::CertificateRequested => {
                Severity::Note
            }
            Self::IpAddress
            | Self::OnlyIpv6
            | Self::TcpTimeout
            | Self::ExpiresSoon { .. }
            | Self::ClosedWithoutAnswer
            | Self::LoginNotAsked
            | Self::LoginUnknown
            | Self::LoginNotTried
            | Self::OutOfTime => Severity::Warning,
            _ => Severity::Fault,
        };
        if softened && self.stage() == Stage::Tcp {
            return severity.min(Severity::Warning);
        }
        severity
    }

    /// Whether the certificate stands in the way of a call.
    pub(super) fn spoils_certificate(&self) -> bool {
        matches!(self.stage(), Stage::Chain | Stage::Name)
            && self.severity(false) == Severity::Fault
    }

    /// A word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Removed { .. } => "removed",
            Self::OtherScript { .. } => "other_script",
            Self::IpAddress => "ip_address",
            Self::Resolved { .. } => "resolved",
            Self::NoName(error) => error.as_str(),
            Self::NotPublic { .. } => "not_public",
            Self::OnlyIpv6 => "only_ipv6",
            Self::Connected { .. } => "connected",
            Self::TcpTimeout => "tcp_timeout",
            Self::Refused { .. } => "refused",
            Self::Unreachable { .. } => "unreachable",
            Self::Handshake { .. } => "handshake",
            Self::CertificateRequested => "client_certificate_requested",
            Self::CertificateRequired => "client_certificate_required",
            Self::PlainSip => "plain_sip",
            Self::PlainHttp => "plain_http",
            Self::Silent => "silent",
            Self::ClosedDuringTls => "closed_during_tls",
            Self::TooOld => "tls_too_old",
            Self::TlsFailed { .. } => "tls_failed",
            Self::Trusted { .. } => "trusted",
            Self::SelfSigned => "self_signed",
            Self::IntermediateMissing { .. } => "intermediate_missing",
            Self::UnknownAuthority { .. } => "unknown_authority",
            Self::Unusable { .. } => "unusable_certificate",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::ChainOutOfTime => "chain_out_of_time",
            Self::ExpiresSoon { .. } => "expires_soon",
            Self::NameCovered => "name_covered",
            Self::OnlyCommonName => "only_common_name",
            Self::WildcardTooShort { .. } => "wildcard_too_short",
            Self::WrongName { .. } => "wrong_name",
            Self::Answered { .. } => "answered",
            Self::ClosedWithoutAnswer => "closed_without_answer",
            Self::NotSip => "not_sip",
            Self::NoAnswer => "no_answer",
            Self::LoginAccepted => "password_accepted",
            Self::LoginRefused => "password_differs",
            Self::LoginNotAsked => "password_not_asked",
            Self::LoginUnknown => "password_unknown_way",
            Self::LoginNotTried => "password_not_tried",
            Self::OutOfTime => "out_of_time",
        }
    }
}
