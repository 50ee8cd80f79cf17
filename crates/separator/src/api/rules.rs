//! What a field may hold. A rule takes a JSON value and gives what it means, or what is wrong with it: a sentence whose
//! subject is the field.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value;
use url::Url;

use super::fields::kind;
use crate::{secret::Secret, time::Millis};

fn string(value: &Value) -> Result<&str, String> {
    value
        .as_str()
        .ok_or_else(|| format!("must be text, not {}", kind(value)))
}

/// One line of text, trimmed, not empty, of at most `limit` characters.
pub(super) fn text(limit: usize) -> impl Fn(&Value) -> Result<String, String> {
    move |value| {
        let text = string(value)?.trim();
        if text.is_empty() {
            return Err("must not be empty".to_owned());
        }
        if text.chars().count() > limit {
            return Err(format!("must have at most {limit} characters"));
        }
        if text.chars().any(char::is_control) {
            return Err("must be one line without control characters".to_owned());
        }
        Ok(text.to_owned())
    }
}

/// The name of a person: one line, trimmed, may be empty.
pub(super) fn name(value: &Value) -> Result<String, String> {
    match string(value)?.trim() {
        "" => Ok(String::new()),
        _ => text(80)(value),
    }
}

/// A password, as it was typed; whoever takes it knows its limits.
pub(super) fn password(value: &Value) -> Result<Secret, String> {
    match string(value)? {
        "" => Err("must not be empty".to_owned()),
        text if text.len() > 8192 => Err("must have at most 1024 characters".to_owned()),
        text => Ok(Secret::new(text)),
    }
}

/// Text of a message, as it is; whoever sends it knows its limits.
pub(super) fn message_text(value: &Value) -> Result<String, String> {
    string(value).map(str::to_owned)
}

/// Text under a file, at most 1024 characters (Meta: media messages).
pub(super) fn caption(value: &Value) -> Result<String, String> {
    let text = string(value)?;
    if text.chars().count() > 1024 {
        return Err("must have at most 1024 characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Name of a template: lower-case letters, digits and underscores (Meta: message templates).
pub(super) fn template_name(value: &Value) -> Result<String, String> {
    let text = string(value)?.trim();
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if text.is_empty() || text.len() > 512 || !text.bytes().all(good) {
        return Err(
            "must be lower-case letters, digits and underscores, such as hello_world".to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// Language code of a template.
pub(super) fn language(value: &Value) -> Result<String, String> {
    let text = string(value)?.trim();
    let good = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    if !(2..=10).contains(&text.len()) || !text.bytes().all(good) {
        return Err("must be a language code such as en_US".to_owned());
    }
    Ok(text.to_owned())
}

/// A token or an application secret. Blanks around it come from copying and are cut.
pub(super) fn secret(value: &Value) -> Result<Secret, String> {
    let text = string(value)?.trim();
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if text.len() > 4096 {
        return Err("must have at most 4096 characters".to_owned());
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must be printable characters without blanks".to_owned());
    }
    Ok(Secret::new(text))
}

/// An id of Meta's: digits, at most 32.
pub(super) fn digits(value: &Value) -> Result<String, String> {
    let text = string(value)?.trim();
    if text.is_empty() || text.len() > 32 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("must be digits, at most 32, as Meta shows the id".to_owned());
    }
    Ok(text.to_owned())
}

/// A list of ids of Meta's, each once, at most 200.
pub(super) fn digits_list(value: &Value) -> Result<Vec<String>, String> {
    let Some(list) = value.as_array() else {
        return Err(format!("must be a list of ids, not {}", kind(value)));
    };
    if list.len() > 200 {
        return Err("must have at most 200 ids".to_owned());
    }
    let mut ids = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let id = digits(value).map_err(|message| format!("[{index}] {message}"))?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// PINs by phone number id: `{"106540352242922": "123456"}`.
pub(super) fn pins(value: &Value) -> Result<Vec<(String, Secret)>, String> {
    let Some(object) = value.as_object() else {
        return Err(format!(
            "must be an object of phone number ids and PINs, not {}",
            kind(value)
        ));
    };
    let six = |pin: &str| pin.len() == 6 && pin.bytes().all(|byte| byte.is_ascii_digit());
    let mut pins = Vec::with_capacity(object.len());
    for (id, pin) in object {
        let id = digits(&Value::String(id.clone()))?;
        match pin.as_str().map(str::trim) {
            Some(pin) if six(pin) => pins.push((id, Secret::new(pin))),
            _ => return Err(format!("must have six digits for the number {id}")),
        }
    }
    Ok(pins)
}

/// Bitrix24's id of an application, such as `local.5d9a7b1b6a1a55.12345678` or `app.5d9a7b1b6a1a55.12345678`.
pub(super) fn client_id(value: &Value) -> Result<String, String> {
    let text = string(value)?.trim();
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if text.is_empty() || text.len() > 128 || !text.bytes().all(good) {
        return Err(
            "must be as Bitrix24 shows it, such as local.5d9a7b1b6a1a55.12345678".to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// The host of a portal as people write it: with or without `https://` and a slash at its end.
pub(super) fn portal(value: &Value) -> Result<String, String> {
    let text = string(value)?.trim().to_ascii_lowercase();
    let host = ["https://", "http://"]
        .into_iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .unwrap_or(&text);
    domain(&Value::from(host.trim_end_matches('/')))
        .map_err(|_| "must be the portal's address, such as acme.bitrix24.com".to_owned())
}

/// A phone number: 7 to 15 digits with the country code once blanks, `+`, `-`, `.` and brackets are gone (E.164).
pub(super) fn phone(value: &Value) -> Result<String, String> {
    let text = string(value)?;
    let kept: String = text
        .chars()
        .filter(|character| {
            !character.is_whitespace() && !matches!(character, '+' | '-' | '.' | '(' | ')')
        })
        .collect();
    let good = (7..=15).contains(&kept.len())
        && kept.bytes().all(|byte| byte.is_ascii_digit())
        // No country code begins with 0; "00" is a dialling prefix.
        && !kept.starts_with('0');
    if good {
        Ok(kept)
    } else {
        Err("must be digits with the country code, such as 4915755501234".to_owned())
    }
}

/// An e-mail address, in lower case.
pub(super) fn email(value: &Value) -> Result<String, String> {
    crate::users::valid_email(string(value)?)
        .map_err(|_| "must be an e-mail address, such as anna@example.com".to_owned())
}

/// A moment, RFC 3339.
pub(super) fn time(value: &Value) -> Result<Millis, String> {
    string(value)?
        .parse()
        .map_err(|_| "must be a time such as 2026-11-23T04:47:32Z".to_owned())
}

/// Yes or no.
/// A list of ids of ours, at least one and at most `most`.
pub(super) fn ids(most: usize) -> impl Fn(&Value) -> Result<Vec<uuid::Uuid>, String> {
    move |value| {
        let wrong = || format!("must be a list of 1 to {most} ids");
        let list = value
            .as_array()
            .filter(|list| (1..=most).contains(&list.len()))
            .ok_or_else(wrong)?;
        list.iter()
            .map(|id| id.as_str().and_then(|id| id.parse().ok()).ok_or_else(wrong))
            .collect()
    }
}

pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| format!("must be true or false, not {}", kind(value)))
}

/// A whole number between two others.
pub(super) fn whole(least: i64, most: i64) -> impl Fn(&Value) -> Result<i64, String> {
    move |value| match value.as_i64() {
        Some(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from {least} to {most}")),
    }
}

/// A TCP port.
pub(super) fn port(value: &Value) -> Result<i64, String> {
    whole(1, 65535)(value)
}

/// A number of calls a second.
pub(super) fn pace(value: &Value) -> Result<f64, String> {
    match value.as_f64() {
        Some(number) if (0.01..=1000.0).contains(&number) => Ok(number),
        _ => Err("must be a number from 0.01 to 1000".to_owned()),
    }
}

/// One of a few words.
pub(super) fn choice(words: &'static [&'static str]) -> impl Fn(&Value) -> Result<String, String> {
    move |value| match value.as_str() {
        Some(text) if words.contains(&text) => Ok(text.to_owned()),
        _ => Err(format!("must be one of: {}", words.join(", "))),
    }
}

/// An address that Meta can fetch.
pub(super) fn link(value: &Value) -> Result<Url, String> {
    match Url::parse(string(value)?.trim()) {
        Ok(url) if matches!(url.scheme(), "https" | "http") && url.has_host() => Ok(url),
        _ => Err("must be an address such as https://example.com/price-list.pdf".to_owned()),
    }
}

/// The domain of a site: a host, with its port where that is not the usual one of its scheme; lower case.
pub(super) fn domain(value: &Value) -> Result<String, String> {
    let text = string(value)?.trim().to_ascii_lowercase();
    if text.contains("://") || text.contains('/') {
        return Err("must be the host alone, without https:// and without a path".to_owned());
    }
    if !text.is_ascii() {
        return Err("must be in its ASCII form, which begins with xn--".to_owned());
    }
    let wrong =
        || "must be a host name with an optional port, such as separator.example.com".to_owned();
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (text.as_str(), None),
    };
    if !is_host(host) {
        return Err(wrong());
    }
    let Some(port) = port else {
        return Ok(host.to_owned());
    };
    let number: u16 = port.parse().map_err(|_| wrong())?;
    if number == 0 || port.starts_with(['+', '0']) {
        return Err(wrong());
    }
    let usual = if is_loopback(host) { 80 } else { 443 };
    Ok(if number == usual {
        host.to_owned()
    } else {
        text
    })
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

fn is_host(text: &str) -> bool {
    if let Some(address) = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let good_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if text.len() > 253 || !text.split('.').all(good_label) {
        return false;
    }
    // Where the last label is a number, the whole must be an address.
    let numeric = text
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    !numeric || text.parse::<Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn phones_lose_their_decoration() {
        for text in [
            "4915755501234",
            "+49 1575 550-1234",
            "+49 (1575) 550.1234",
            "\u{a0}4915755501234",
        ] {
            assert_eq!(phone(&json!(text)).unwrap(), "4915755501234", "{text}");
        }
        for wrong in [
            "",
            "123456",
            "1234567890123456",
            "49157555O1234",
            "004915755501234",
            "٤٩١٥٧٥٥٥",
        ] {
            assert!(
                phone(&json!(wrong))
                    .unwrap_err()
                    .contains("such as 4915755501234"),
                "{wrong}"
            );
        }
        assert_eq!(
            phone(&json!(4_915_755_501_234_i64)).unwrap_err(),
            "must be text, not a number"
        );
    }

    #[test]
    fn domains_are_hosts_with_a_port_where_it_is_unusual() {
        for (text, kept) in [
            ("Separator.Example.COM", "separator.example.com"),
            ("separator.example.com:443", "separator.example.com"),
            ("separator.example.com:8443", "separator.example.com:8443"),
            ("localhost:8080", "localhost:8080"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("127.0.0.1:443", "127.0.0.1:443"),
            ("[::1]:8080", "[::1]:8080"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(domain(&json!(text)).unwrap(), kept);
        }
        for wrong in [
            "",
            "https://a.example",
            "a.example/",
            "a.example:0",
            "a.example:65536",
            "a.example:",
            "a b",
            "-a.example",
            "a..example",
            "a.example.",
            "user@a.example",
            "::1",
            "1.2.3",
            "1.2.3.400",
            "пример.рф",
            "a_b.example",
            "a.example:+80",
            "a.example:08",
        ] {
            assert!(domain(&json!(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ids_of_meta_are_digits() {
        assert_eq!(
            digits(&json!(" 106540352242922 ")).unwrap(),
            "106540352242922"
        );
        for wrong in [
            json!(""),
            json!("12a"),
            json!("1".repeat(33)),
            json!(5),
            json!(null),
        ] {
            assert!(digits(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn secrets_are_printable() {
        assert_eq!(secret(&json!(" EAAG+/=x\n")).unwrap().expose(), "EAAG+/=x");
        for wrong in [
            json!(""),
            json!("  "),
            json!("a b"),
            json!("ключ"),
            json!("a\u{7}"),
            json!(5),
        ] {
            assert!(secret(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_stay_within_their_bounds() {
        assert_eq!(port(&json!(5061)).unwrap(), 5061);
        for wrong in [
            json!(0),
            json!(65536),
            json!(-1),
            json!(1.5),
            json!("5061"),
            json!(1e300),
        ] {
            assert_eq!(
                port(&wrong).unwrap_err(),
                "must be a whole number from 1 to 65535",
                "{wrong}"
            );
        }
        assert!(pace(&json!(2)).is_ok() && pace(&json!(0.5)).is_ok());
        assert!(pace(&json!(0)).is_err() && pace(&json!("2")).is_err());
    }

    #[test]
    fn links_are_addresses_of_the_web() {
        assert!(link(&json!("https://example.com/a b.pdf")).is_ok());
        for wrong in [
            "",
            "example.com",
            "ftp://example.com/a",
            "file:///etc/passwd",
            "data:text/plain,a",
        ] {
            assert!(link(&json!(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn text_is_one_trimmed_line() {
        assert_eq!(text(5)(&json!(" abc ")).unwrap(), "abc");
        assert_eq!(text(5)(&json!("ййййй")).unwrap(), "ййййй");
        for wrong in ["", " ", "abcdef", "a\nb"] {
            assert!(text(5)(&json!(wrong)).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn a_domain_that_is_taken_makes_an_address(text in "\\PC{0,40}") {
            if let Ok(domain) = domain(&json!(text)) {
                let parsed = Url::parse(&format!("https://{domain}/"));
                prop_assert!(parsed.is_ok_and(|url| url.path() == "/" && url.username().is_empty()), "{}", domain);
            }
        }
    }
}
