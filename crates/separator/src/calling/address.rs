//! The address of a telephone server, from what people enter.
//!
//! People paste SIP addresses, web addresses and names in their own script. What Meta is given is a host name in its ASCII
//! form, or an IP address, and a TLS port. What was cut off on the way is said, so that nobody wonders; what could mean
//! two things is refused.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

use crate::translate::message::Language;

/// Port of SIP over TLS (RFC 3261, section 19.1.2), and Meta's where none is given (Meta: Calling, SIP).
pub const DEFAULT_PORT: u16 = 5061;
/// Most characters of a key or a value of the user parameters (Meta: Calling, SIP, `request_uri_user_params`).
const PARAMETER_LIMIT: usize = 128;

/// A telephone server's address in one form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Host name in ASCII and lower case, without a dot at its end, or an IP address without brackets.
    pub host: String,
    /// TLS port, 1 to 65535.
    pub port: u16,
    /// The host name as people read it, where that differs (`пример.рф`).
    pub readable: Option<String>,
    /// What was cut off, as in `sips:`; a password in it is not kept.
    pub removed: Vec<String>,
}

impl Address {
    /// The IP address, where the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The host as it stands in a URI: IPv6 addresses in brackets.
    pub fn uri_host(&self) -> String {
        match self.ip() {
            Some(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.host.clone(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.uri_host(), self.port)
    }
}

/// Which of the two fields is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The host.
    Host,
    /// The port.
    Port,
}

/// Why what was entered is no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressError {
    /// Nothing was entered.
    Empty,
    /// Blanks, line breaks or other control characters inside.
    Blanks,
    /// Not a host name.
    Host,
    /// Not a port.
    Port,
    /// The host names one port, the port field another.
    TwoPorts(u16, u16),
}

impl AddressError {
    /// The field it is about.
    pub fn field(&self) -> Field {
        match self {
            Self::Port | Self::TwoPorts(..) => Field::Port,
            _ => Field::Host,
        }
    }

    /// What is wrong, a sentence whose subject is the field.
    pub fn text(&self, language: Language) -> String {
        let (english, russian) = match self {
            Self::Empty => (
                "is required: enter the host name of the telephone server, such as sip.example.com".to_owned(),
                "не заполнено: укажите имя хоста телефонного сервера, например sip.example.com".to_owned(),
            ),
            Self::Blanks => (
                "must be one word without blanks and line breaks, such as sip.example.com".to_owned(),
                "должно быть одним словом без пробелов и переводов строки, например sip.example.com".to_owned(),
            ),
            Self::Host => (
                "must be a host name such as sip.example.com, or an IP address; letters, digits, dots and hyphens only"
                    .to_owned(),
                "должно быть именем хоста, например sip.example.com, или IP-адресом; только буквы, цифры, точки и дефисы"
                    .to_owned(),
            ),
            Self::Port => (
                "must be a whole number from 1 to 65535; SIP over TLS usually has 5061".to_owned(),
                "должен быть целым числом от 1 до 65535; у SIP поверх TLS обычно 5061".to_owned(),
            ),
            Self::TwoPorts(host, field) => (
                format!("two different ports: the address says {host}, the port field {field}; leave one of them out"),
                format!("указаны два разных порта: в адресе {host}, в поле порта {field}; оставьте один из них"),
            ),
        };
        match language {
            Language::English => english,
            Language::Russian => russian,
        }
    }
}

/// Puts into one form what was entered as host, and as port where there is a field for it (empty counts as none).
pub fn normalise(host: &str, port: Option<&str>) -> Result<Address, AddressError> {
    normalise_with(host, port, DEFAULT_PORT)
}

/// The same, with another port where neither names one.
pub fn normalise_with(host: &str, port: Option<&str>, usual: u16) -> Result<Address, AddressError> {
    let given_port = match port.map(str::trim) {
        None | Some("") => None,
        Some(text) => Some(read_port(text)?),
    };
    let text = host.trim();
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if text
        .chars()
        .any(|character| character.is_whitespace() || character.is_control())
    {
        return Err(AddressError::Blanks);
    }
    let (text, removed) = strip(text);
    let (host, named_port) = split_port(text)?;
    let port = match (named_port, given_port) {
        (Some(named), Some(given)) if named != given => {
            return Err(AddressError::TwoPorts(named, given));
        }
        (named, given) => named.or(given).unwrap_or(usual),
    };
    let (host, readable) = read_host(host)?;
    Ok(Address {
        host,
        port,
        readable,
        removed,
    })
}

fn read_port(text: &str) -> Result<u16, AddressError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(AddressError::Port),
    }
}

/// Cuts scheme, user, path and parameters; gives what is left and what was cut.
fn strip(text: &str) -> (&str, Vec<String>) {
    let mut removed = Vec::new();
    let mut rest = text;
    let word = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character))
    };
    if let Some((scheme, after)) = rest.split_once("://").filter(|(scheme, _)| word(scheme)) {
        removed.push(format!("{scheme}://"));
        rest = after;
    } else if let Some((scheme, after)) = rest.split_once(':').filter(|(scheme, _)| {
        scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips")
    }) {
        removed.push(format!("{scheme}:"));
        rest = after;
    }
    let (rest, path) = cut(rest, &['/', '?', '#']);
    let rest = match rest.rsplit_once('@') {
        Some((user, host)) => {
            removed.push(match user.split_once(':') {
                Some((name, _)) => format!("{name}:…@"),
                None => format!("{user}@"),
            });
            host
        }
        None => rest,
    };
    let (rest, parameters) = cut(rest, &[';']);
    removed.extend(
        [parameters, path]
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(str::to_owned),
    );
    (rest, removed)
}

fn cut<'a>(text: &'a str, at: &[char]) -> (&'a str, &'a str) {
    text.split_at(text.find(at).unwrap_or(text.len()))
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), AddressError> {
    if let Some(inner) = text.strip_prefix('[') {
        let (host, rest) = inner.split_once(']').ok_or(AddressError::Host)?;
        host.parse::<Ipv6Addr>().map_err(|_| AddressError::Host)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(read_port(port)?))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(AddressError::Host),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text, None));
    }
    match text.split_once(':') {
        Some((host, port)) => Ok((host, Some(read_port(port)?))),
        None => Ok((text, None)),
    }
}

/// The host in the form that Meta is given, and as people read it where that differs.
fn read_host(text: &str) -> Result<(String, Option<String>), AddressError> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Ok((address.to_string(), None));
    }
    let ascii = idna::domain_to_ascii(text).map_err(|_| AddressError::Host)?;
    // Some characters become dots and digits only here, so everything is judged afterwards.
    let host = ascii.strip_suffix('.').unwrap_or(&ascii);
    if let Ok(address) = host.parse::<std::net::Ipv4Addr>() {
        return Ok((address.to_string(), None));
    }
    let good_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    // A last label of digits would be a damaged IPv4 address.
    let numeric = host
        .rsplit('.')
        .next()
        .is_none_or(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if host.len() > 253 || numeric || !host.split('.').all(good_label) {
        return Err(AddressError::Host);
    }
    let (readable, outcome) = idna::domain_to_unicode(host);
    let readable = (outcome.is_ok() && readable != host).then_some(readable);
    Ok((host.to_owned(), readable))
}

/// A parameter of the user part that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// A key is empty.
    #[error("a name of a user parameter must not be empty")]
    NoName,
    /// Longer than Meta takes.
    #[error(
        "the user parameter `{0}` is too long: name and value have at most 128 characters each"
    )]
    TooLong(String),
    /// A line break or another control character.
    #[error("the user parameter `{0}` must not contain control characters")]
    Control(String),
}

/// One parameter that Meta puts into the user part of the address it calls, as in `sip:+49…;tgrp=wacall@host` (RFC 4904),
/// with everything escaped that would end the parameter (RFC 3261, section 25.1).
pub fn user_parameter(name: &str, value: &str) -> Result<(String, String), ParameterError> {
    let shown = || {
        name.chars()
            .filter(|character| !character.is_control())
            .take(40)
            .collect()
    };
    if name.is_empty() {
        return Err(ParameterError::NoName);
    }
    if name.chars().any(char::is_control) || value.chars().any(char::is_control) {
        return Err(ParameterError::Control(shown()));
    }
    let (name, value) = (escaped(name), escaped(value));
    if name.len() > PARAMETER_LIMIT || value.len() > PARAMETER_LIMIT {
        return Err(ParameterError::TooLong(shown()));
    }
    Ok((name, value))
}

fn escaped(text: &str) -> String {
    use fmt::Write as _;

    let mut escaped = String::with_capacity(text.len());
    let bytes = text.as_bytes();
    let hexadecimal = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    for (at, byte) in text.bytes().enumerate() {
        // What is escaped already, as it is shown after it was saved, is not escaped again.
        let again = byte == b'%' && hexadecimal(at + 1) && hexadecimal(at + 2);
        if again || byte.is_ascii_alphanumeric() || b"-_.!~*'()[]/:&+$".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn good(host: &str, port: Option<&str>) -> (String, u16) {
        let address = normalise(host, port).unwrap();
        (address.host, address.port)
    }

    #[test]
    fn case_01_a_host_alone_gets_the_usual_port() {
        assert_eq!(good("example.com", None), ("example.com".to_owned(), 5061));
        assert_eq!(
            good("example.com", Some("")),
            ("example.com".to_owned(), 5061)
        );
        assert_eq!(
            good("example.com", Some(" 5071 ")),
            ("example.com".to_owned(), 5071)
        );
    }

    #[test]
    fn case_02_what_is_no_port_is_refused() {
        for port in ["0", "65536", "-1", "abc", "5061.5", "+5061", "5061x"] {
            let error = normalise("example.com", Some(port)).unwrap_err();
            assert_eq!(
                (error.field(), &error),
                (Field::Port, &AddressError::Port),
                "{port}"
            );
            assert_eq!(
                normalise(&format!("example.com:{port}"), None),
                Err(AddressError::Port),
                "{port}"
            );
        }
        assert!(
            AddressError::Port
                .text(Language::English)
                .contains("1 to 65535")
        );
        assert!(
            AddressError::Port
                .text(Language::Russian)
                .contains("от 1 до 65535")
        );
    }

    #[test]
    fn case_03_a_sip_address_is_taken_apart() {
        let address = normalise(" sips:user@Example.COM:5081;transport=tls ", None).unwrap();
        assert_eq!((address.host.as_str(), address.port), ("example.com", 5081));
        assert_eq!(address.removed, ["sips:", "user@", ";transport=tls"]);
        let secret = normalise("sip:user:planted@example.com", None).unwrap();
        assert_eq!(secret.removed, ["sip:", "user:…@"]);
    }

    #[test]
    fn case_04_a_web_address_does_not_bring_its_port() {
        let address = normalise("https://example.com/path?x", None).unwrap();
        assert_eq!((address.host.as_str(), address.port), ("example.com", 5061));
        assert_eq!(address.removed, ["https://", "/path?x"]);
    }

    #[test]
    fn case_05_two_different_ports_are_refused() {
        let error = normalise("example.com:5081", Some("5071")).unwrap_err();
        assert_eq!(
            (error.field(), &error),
            (Field::Port, &AddressError::TwoPorts(5081, 5071))
        );
        assert!(
            error
                .text(Language::English)
                .starts_with("two different ports")
        );
        assert_eq!(good("example.com:5081", Some("5081")).1, 5081);
    }

    #[test]
    fn case_06_the_dot_at_the_end_goes() {
        assert_eq!(good("example.com.", None).0, "example.com");
        assert_eq!(
            good("example.com.:5071", None),
            ("example.com".to_owned(), 5071)
        );
    }

    #[test]
    fn case_07_a_name_in_another_script_is_sent_in_ascii_and_shown_as_entered() {
        let address = normalise("Пример.рф", None).unwrap();
        assert_eq!(address.host, "xn--e1afmkfd.xn--p1ai");
        assert_eq!(address.readable.as_deref(), Some("пример.рф"));
        let again = normalise(&address.host, None).unwrap();
        assert_eq!(again, address);
    }

    #[test]
    fn case_08_ip_addresses_are_taken_and_bracketed_where_they_must_be() {
        for (text, host, port, shown) in [
            (
                "[2001:db8::1]:5071",
                "2001:db8::1",
                5071,
                "[2001:db8::1]:5071",
            ),
            ("[2001:db8::1]", "2001:db8::1", 5061, "[2001:db8::1]:5061"),
            ("2001:DB8:0::1", "2001:db8::1", 5061, "[2001:db8::1]:5061"),
            ("203.0.113.7", "203.0.113.7", 5061, "203.0.113.7:5061"),
            (
                "２０３.0.113.7:5062",
                "203.0.113.7",
                5062,
                "203.0.113.7:5062",
            ),
        ] {
            let address = normalise(text, None).unwrap();
            assert_eq!(
                (address.host.as_str(), address.port),
                (host, port),
                "{text}"
            );
            assert_eq!(address.to_string(), shown);
            assert!(address.ip().is_some());
        }
    }

    #[test]
    fn case_09_what_is_no_host_is_refused() {
        let long = format!("{}.example.com", "a".repeat(64));
        let longer = vec!["abcdefghi"; 30].join(".");
        for host in [
            "a..b",
            &long,
            &longer,
            "_sip.x",
            "a,b.com",
            "-a.com",
            "a-.com",
            ".",
            "..",
            "[::1",
            "[example.com]",
            "1.2.3",
            "1.2.3.400",
            "fe80::1%eth0",
            "a\"b.com",
            "a<b>.com",
            "a%0d%0ab.com",
            "sip:",
            "user@",
            "::1::2",
        ] {
            assert!(normalise(host, None).is_err(), "{host}");
        }
        for host in [
            "exa mple.com",
            "a\r\nVia: x.com",
            "a\tb.com",
            "a\u{0}b.com",
            "a\u{a0}b.com",
        ] {
            assert_eq!(normalise(host, None), Err(AddressError::Blanks), "{host:?}");
        }
    }

    #[test]
    fn case_11_an_empty_address_says_what_to_enter() {
        for host in ["", "  ", "\n"] {
            assert_eq!(normalise(host, None), Err(AddressError::Empty));
        }
        assert!(
            AddressError::Empty
                .text(Language::English)
                .contains("is required")
        );
    }

    #[test]
    fn case_12_user_parameters_are_bounded_and_escaped() {
        assert_eq!(
            user_parameter("tgrp", "a;b@c=d e").unwrap(),
            ("tgrp".to_owned(), "a%3Bb%40c%3Dd%20e".to_owned())
        );
        assert_eq!(
            user_parameter("tgrp", "a%3Bb%40c%3Dd%20e 5%").unwrap().1,
            "a%3Bb%40c%3Dd%20e%205%25",
            "what is escaped stays so"
        );
        assert_eq!(user_parameter("", "a"), Err(ParameterError::NoName));
        assert!(user_parameter(&"k".repeat(128), &"v".repeat(128)).is_ok());
        assert!(matches!(
            user_parameter("k", &"v".repeat(129)),
            Err(ParameterError::TooLong(_))
        ));
        assert!(matches!(
            user_parameter("k", &"я".repeat(22)),
            Err(ParameterError::TooLong(_))
        ));
        assert!(
            matches!(user_parameter("k\r\nVia", "v"), Err(ParameterError::Control(name)) if name == "kVia")
        );
    }

    proptest! {
        #[test]
        fn what_is_taken_is_safe_in_a_request_and_stays_itself(text in "\\PC{0,40}") {
            if let Ok(address) = normalise(&text, None) {
                let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
                prop_assert!(address.host.bytes().all(safe), "{}", address.host);
                let again = normalise(&address.to_string(), None).unwrap();
                prop_assert_eq!((again.host, again.port), (address.host, address.port));
                prop_assert!(again.removed.is_empty());
            }
        }
    }
}
