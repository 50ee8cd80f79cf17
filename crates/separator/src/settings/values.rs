//! What values have to look like.

use ipnet::IpNet;
use url::Url;

use super::DatabaseUrl;
use crate::{seal, secret::Secret};

pub(super) const BASE_FORM: &str =
    "an address such as https://example.com, without user, query and fragment";

/// A value of the file as an environment variable would hold it.
pub(super) fn toml_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Array(parts) => {
            let parts: Option<Vec<_>> = parts.iter().map(toml::Value::as_str).collect();
            Some(parts?.join(","))
        }
        _ => None,
    }
}

pub(super) fn base_url(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && plain).then_some(url)
}

pub(super) fn version(text: &str) -> Option<String> {
    let (major, minor) = text.strip_prefix('v')?.split_once('.')?;
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (number(major) && number(minor)).then(|| text.to_owned())
}

/// A network, or one address as a network of its own. Bits behind the prefix do not count.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let network: Option<IpNet> = text.parse().ok();
    network
        .or_else(|| Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?)))
        .map(|network| network.trunc())
}

pub(super) fn database(text: &str) -> Result<DatabaseUrl, String> {
    if let Some(path) = text.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        // `:memory:` would forget, and parameters such as `?mode=` are ours to choose.
        if !path.is_empty() && !path.starts_with(':') && !path.contains('?') {
            return Ok(DatabaseUrl::Sqlite(path.into()));
        }
    }
    if let Ok(url) = text.parse::<Url>()
        && matches!(url.scheme(), "postgres" | "postgresql")
    {
        return Ok(DatabaseUrl::Postgres(text.into()));
    }
    Err("sqlite:FILE or postgres://USER:PASSWORD@HOST/NAME".to_owned())
}

pub(super) fn keys(text: &str) -> Result<Vec<Secret>, String> {
    let keys: Vec<Secret> = text.split(',').map(|key| key.trim().into()).collect();
    for (index, key) in keys.iter().enumerate() {
        seal::parse_key(key).map_err(|error| match keys.len() {
            1 => format!("a key, but is {error}"),
            _ => format!("a list of keys, but number {} is {error}", index + 1),
        })?;
    }
    Ok(keys)
}
