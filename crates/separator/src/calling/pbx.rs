//! What a telephone server needs to take a number's calls, written out as the files of the usual programs.
//!
//! The values that work, and why, were proven against real servers; the comments in the files say the why where somebody
//! might be tempted to change a line. Everything that is put into a file is either reduced to harmless characters on the
//! way in ([`Plan::new`]) or escaped by the rules of the file's format ([`escape`]), so that no password can add a line.

mod archive;
mod asterisk;
mod escape;
mod firewall;
mod freepbx;
mod freeswitch;
mod kamailio;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ipnet::IpNet;

pub use self::archive::tar;
use super::address::Address;
use crate::secret::Secret;

/// Networks from which Meta calls: those of its FreeSWITCH guide, and its IPv6 block. They change;
/// [`NETWORKS_COMMAND`] lists the present ones.
pub const META_NETWORKS: [&str; 24] = [
    "31.13.24.0/21",
    "31.13.64.0/18",
    "45.64.40.0/22",
    "57.141.0.0/21",
    "57.141.8.0/22",
    "57.141.12.0/23",
    "57.144.0.0/14",
    "66.220.144.0/20",
    "69.63.176.0/20",
    "69.171.224.0/19",
    "74.119.76.0/22",
    "102.132.96.0/20",
    "103.4.96.0/22",
    "129.134.0.0/16",
    "147.75.208.0/20",
    "157.240.0.0/16",
    "163.70.128.0/17",
    "163.77.128.0/17",
    "173.252.64.0/18",
    "179.60.192.0/22",
    "185.60.216.0/22",
    "185.89.216.0/22",
    "204.15.20.0/22",
    "2a03:2880::/32",
];
/// When the list was taken.
pub const NETWORKS_DATE: &str = "2026-11-23";
/// How the list is taken anew (Meta: Calling, SIP).
pub const NETWORKS_COMMAND: &str = "whois -h whois.radb.net -- '-i origin AS32934'";

/// What stands in the place of a password that is not to be shown.
pub const HIDDEN: &str = "********";
/// What stands in the place of a password that is not known.
pub const UNKNOWN: &str = "PASSWORD-FROM-META";

/// How the keys of a call's sound are agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyExchange {
    /// In the call's description.
    Sdes,
    /// In the sound's own connection.
    Dtls,
}

/// Where a call rings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// One telephone.
    Extension(String),
    /// A queue.
    Queue(String),
}

impl Destination {
    fn name(&self) -> &str {
        match self {
            Self::Extension(name) | Self::Queue(name) => name,
        }
    }
}

/// Whether the password is written out.
#[derive(Debug, Clone, Copy)]
pub enum Password<'a> {
    /// As it is.
    Shown(&'a Secret),
    /// [`HIDDEN`] in its place.
    Hidden,
    /// [`UNKNOWN`] in its place.
    Unknown,
}

/// What somebody may choose about the files; everything else follows from the number.
#[derive(Debug, Clone)]
pub struct Choices {
    /// Where calls ring.
    pub destination: Destination,
    /// The telephone server's public address, where it stands behind a router.
    pub public_ip: Option<IpAddr>,
    /// The network behind the router.
    pub local_network: Option<IpNet>,
    /// The telephone server behind a Kamailio edge, and the edge's own address towards it.
    pub inner: IpAddr,
    /// Port of the telephone server behind a Kamailio edge.
    pub inner_port: u16,
    /// The Kamailio edge's own address towards that server.
    pub edge: IpAddr,
    /// File of the certificate with its chain.
    pub certificate: String,
    /// File of its key.
    pub key: String,
    /// Whether G.711 was switched on at Meta besides Opus.
    pub g711: bool,
}

impl Choices {
    /// What is written where nobody chooses: telephone 100, files where Let's Encrypt's hook should copy them to.
    pub fn usual(host: &str) -> Self {
        let here = IpAddr::from([127, 0, 0, 1]);
        Self {
            destination: Destination::Extension("100".to_owned()),
            public_ip: None,
            local_network: None,
            inner: here,
            inner_port: 5062,
            edge: here,
            certificate: format!("/etc/asterisk/keys/{host}/fullchain.pem"),
            key: format!("/etc/asterisk/keys/{host}/privkey.pem"),
            g711: false,
        }
    }
}

/// Why a file cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The number is none.
    #[error("the number must be digits")]
    Number,
    /// The destination has characters that mean something to a telephone server.
    #[error(
        "the destination must be 1 to 40 letters, digits, dots, hyphens and underscores, such as 100"
    )]
    Destination,
    /// A file name has characters that mean something to a telephone server.
    #[error("the files of certificate and key must be whole paths of letters, digits and ./_-")]
    Path,
    /// The password has line breaks or blanks at its ends.
    #[error("the password has characters that no telephone server could take; reset it at Meta")]
    Password,
}

/// Everything that goes into the files, looked at.
#[derive(Debug)]
pub struct Plan<'a> {
    number: &'a str,
    address: &'a Address,
    key_exchange: KeyExchange,
    networks: &'a [&'a str],
    choices: &'a Choices,
    password: &'a str,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The program it is for.
    pub program: &'static str,
    /// Name, with folders of the archive.
    pub name: String,
    /// Content.
    pub text: String,
}

impl<'a> Plan<'a> {
    /// Looks at everything that goes into the files. `number` is the business number in digits, `networks` those that may
    /// call, [`META_NETWORKS`] as a rule.
    pub fn new(
        number: &'a str,
        address: &'a Address,
        key_exchange: KeyExchange,
        networks: &'a [&'a str],
        choices: &'a Choices,
        password: Password<'a>,
    ) -> Result<Self, PlanError> {
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PlanError::Number);
        }
        let name = choices.destination.name();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > 40 || !name.bytes().all(plain) {
            return Err(PlanError::Destination);
        }
        let good_path = |path: &str| {
            path.starts_with('/')
                && path.len() <= 200
                && path.bytes().all(|byte| plain(byte) || byte == b'/')
        };
        if !good_path(&choices.certificate) || !good_path(&choices.key) {
            return Err(PlanError::Path);
        }
        let password = match password {
            Password::Shown(secret) => secret.expose(),
            Password::Hidden => HIDDEN,
            Password::Unknown => UNKNOWN,
        };
        if password.is_empty()
            || password.trim() != password
            || password.chars().any(char::is_control)
        {
            return Err(PlanError::Password);
        }
        Ok(Self {
            number,
            address,
            key_exchange,
            networks,
            choices,
            password,
        })
    }

    /// All files.
    pub fn files(&self) -> Vec<File> {
        let mut files = asterisk::files(self);
        files.push(freepbx::file(self));
        files.extend(freeswitch::files(self));
        files.extend(kamailio::files(self));
        files.push(firewall::file(self));
        files
    }

    /// What to enter on FreePBX's page of a trunk: tab, field, value.
    pub fn freepbx(&self) -> Vec<(&'static str, &'static str, String)> {
        freepbx::fields(self)
    }
}
