//! Reading what a portal answered.

use std::error::Error as _;

use serde_json::Value;
use url::Url;

use super::error::Error;
use crate::loose;
use crate::secret::AccessToken;

/// How much of an answer that is not REST's is kept, in bytes.
const KEPT: usize = 200;

/// A call that succeeded. Whether each item in it did is the method's own matter.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// `result`, as it came.
    pub result: Value,
    /// Start of the next page of a list.
    pub next: Option<i64>,
    /// Length of the whole list.
    pub total: Option<i64>,
    /// What the call cost.
    pub time: Option<Time>,
}

/// `time` of an answer, as far as limits need it (Bitrix24: limits).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Time {
    /// Seconds of execution that this method has used in the sliding ten minutes; absent on older boxes.
    pub operating: Option<f64>,
    /// When the oldest minute of that sum is released, in Unix seconds.
    pub operating_reset_at: Option<i64>,
    /// Seconds that this call took.
    pub duration: Option<f64>,
}

impl Time {
    pub(super) fn read(time: &Value) -> Option<Self> {
        time.as_object()?;
        let float = |key: &str| loose::get(time, key).and_then(loose::float);
        Some(Self {
            operating: float("operating"),
            operating_reset_at: loose::integer_at(time, &["operating_reset_at"]),
            duration: float("duration"),
        })
    }
}

/// Decides by the body; the status matters only where the body says nothing.
pub(super) fn read(http: u16, body: &[u8], token: &AccessToken) -> Result<Answer, Error> {
    let not_rest = || Error::NotRest {
        http,
        start: start_of(body, token),
    };
    let value: Value = serde_json::from_slice(body).map_err(|_| not_rest())?;
    let Some(map) = value.as_object() else {
        return Err(not_rest());
    };
    if map.contains_key("error") {
        return Err(rest_error(&value, http, token));
    }
    let Some(result) = map.get("result").filter(|_| (200..300).contains(&http)) else {
        return Err(not_rest());
    };
    Ok(Answer {
        result: result.clone(),
        next: loose::integer_at(&value, &["next"]),
        total: loose::integer_at(&value, &["total"]),
        time: loose::get(&value, "time").and_then(Time::read),
    })
}

/// Reads `{"error", "error_description"}`, of a whole call or of one command of a batch.
pub(super) fn rest_error(value: &Value, http: u16, token: &AccessToken) -> Error {
    let text = |key: &str| loose::get(value, key).and_then(loose::text);
    let until = loose::integer_at(value, &["time", "operating_reset_at"])
        .or_else(|| loose::integer_at(value, &["operating_reset_at"]));
    Error::Rest {
        code: text("error").unwrap_or_default().to_ascii_uppercase(),
        description: scrub(&text("error_description").unwrap_or_default(), token),
        argument: text("argument"),
        http,
        until,
    }
}

/// A redirect instead of an answer: the portal's new place, or something that is not REST.
pub(super) fn redirected(
    endpoint: &Url,
    asked: &Url,
    method: &str,
    http: u16,
    location: Option<&str>,
) -> Error {
    let to = location.and_then(|location| asked.join(location).ok());
    match to {
        Some(to) if is_same_method(&to, method) && to.origin() != asked.origin() => Error::Moved {
            to: moved_endpoint(endpoint, &to, method),
        },
        Some(to) => Error::NotRest {
            http,
            start: format!("redirect to {}", to.host_str().unwrap_or("another page")),
        },
        None => Error::NotRest {
            http,
            start: "redirect to nowhere".to_owned(),
        },
    }
}

fn is_same_method(to: &Url, method: &str) -> bool {
    let path = to.path().trim_end_matches('/');
    path.ends_with(&format!("/{method}")) || path.ends_with(&format!("/{method}.json"))
}

/// The endpoint that belongs to a method's new address.
pub(super) fn moved_endpoint(endpoint: &Url, to: &Url, method: &str) -> Url {
    let mut moved = to.clone();
    moved.set_query(None);
    moved.set_fragment(None);
    let path = to
        .path()
        .rfind(&format!("/{method}"))
        .and_then(|end| to.path().get(..=end))
        .unwrap_or(endpoint.path());
    moved.set_path(path);
    moved
}

/// Tells a connection that never was from one that broke after the request may have been read.
pub(super) fn transport(error: reqwest::Error, token: &AccessToken) -> Error {
    let error = error.without_url();
    let detail = scrub(&chain(&error), token);
    if error.is_builder() {
        Error::NotSent {
            why: "the request could not be built",
        }
    } else if error.is_connect() {
        Error::Unreachable { detail }
    } else {
        Error::Unknown { http: None, detail }
    }
}

/// An error with its causes, without the address.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// The first bytes of an answer as text, fit for a log.
pub(crate) fn start_of(body: &[u8], token: &AccessToken) -> String {
    // Cut after removing secrets, so that none survives as a half.
    let wide = body.get(..body.len().min(KEPT * 8)).unwrap_or_default();
    let text = scrub(&String::from_utf8_lossy(wide), token);
    let end = text
        .char_indices()
        .map(|(at, character)| at + character.len_utf8())
        .take_while(|end| *end <= KEPT)
        .last()
        .unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

fn scrub(text: &str, token: &AccessToken) -> String {
    if token.expose().is_empty() {
        return text.to_owned();
    }
    text.replace(token.expose(), "…")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn answer(http: u16, body: &str) -> Result<Answer, Error> {
        read(http, body.as_bytes(), &AccessToken::new("geheim"))
    }

    #[test]
    fn success_carries_its_cost_and_paging() {
        let body = r#"{"result":[1],"next":50,"total":"120","time":{"duration":0.25,"operating":"1.5","operating_reset_at":1773760000}}"#;
        let answer = answer(200, body).unwrap();
        assert_eq!((answer.next, answer.total), (Some(50), Some(120)));
        assert_eq!(
            answer.time,
            Some(Time {
                operating: Some(1.5),
                operating_reset_at: Some(1_773_760_000),
                duration: Some(0.25)
            })
        );
    }

    #[test]
    fn an_error_is_one_whatever_the_status() {
        for http in [200, 400, 401, 403, 503] {
            let error = answer(
                http,
                r#"{"error":"expired_token","error_description":"for geheim","argument":"X"}"#,
            )
            .unwrap_err();
            assert_eq!(
                error,
                Error::Rest {
                    code: "EXPIRED_TOKEN".into(),
                    description: "for …".into(),
                    argument: Some("X".into()),
                    http,
                    until: None
                }
            );
        }
        assert!(
            matches!(answer(400, r#"{"error":0}"#), Err(Error::Rest { code, .. }) if code == "0")
        );
    }

    #[test]
    fn what_is_not_rest_keeps_its_start_without_secrets() {
        let page = format!("<html>geheim{}", "ä".repeat(400));
        let Err(Error::NotRest { http: 502, start }) = answer(502, &page) else {
            panic!("must not be an answer")
        };
        assert!(
            start.starts_with("<html>…ä") && start.len() <= KEPT,
            "{start}"
        );
        for (http, body) in [
            (200, "[]"),
            (200, "{}"),
            (500, r#"{"result":true}"#),
            (200, ""),
        ] {
            assert!(
                matches!(answer(http, body), Err(Error::NotRest { .. })),
                "{http} {body}"
            );
        }
    }

    #[test]
    fn a_renamed_portal_names_its_new_endpoint() {
        let endpoint = Url::parse("https://old.bitrix24.com/rest/").unwrap();
        let asked = endpoint.join("app.info").unwrap();
        let error = redirected(
            &endpoint,
            &asked,
            "app.info",
            302,
            Some("https://new.bitrix24.com/rest/app.info?x=1"),
        );
        assert_eq!(
            error,
            Error::Moved {
                to: Url::parse("https://new.bitrix24.com/rest/").unwrap()
            }
        );
        for location in [
            None,
            Some("/auth/"),
            Some("https://www.bitrix24.com/"),
            Some("/rest/app.info"),
        ] {
            let error = redirected(&endpoint, &asked, "app.info", 302, location);
            assert!(matches!(error, Error::NotRest { .. }), "{location:?}");
        }
    }
}
