//! Sessions of browsers: a random token in a cookie, its digest in the database.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use uuid::Uuid;

use super::Role;
use crate::{
    identifiers::{Chance, Ids},
    secret::{Secret, sha256_hex},
    store::{
        self, Store,
        sessions::{self, Session},
    },
    time::Millis,
};

/// A session that was not used for so long has ended.
pub const IDLE: Duration = Duration::from_hours(7 * 24);

/// A session ends after so long however much it is used.
pub const ABSOLUTE: Duration = Duration::from_hours(30 * 24);

/// How often it is written down that a session is in use.
const NOTED: Duration = Duration::from_mins(5);

/// Name of the cookie. The prefix makes browsers take it only over TLS, from this very host and for all paths (RFC 6265bis,
/// section 4.1.3).
/// Chromium and Firefox take it on the machine itself without TLS as well.
pub const COOKIE: &str = "__Host-separator";

/// A session that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Valid {
    /// Our id of it.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// What the user may do.
    pub role: Role,
}

/// Begins a session and gives its token: 256 random bits, given out here and never again.
pub async fn begin(
    store: &Store,
    (ids, chance): (&Ids, &Chance),
    now: Millis,
    user_id: Uuid,
    address: String,
    browser: String,
) -> Result<(Uuid, Secret), store::Error> {
    let token = chance.token();
    let session = Session {
        id: ids.next(),
        user_id,
        created_at: now,
        used_at: now,
        address,
        browser,
    };
    sessions::insert(store, &session, &sha256_hex(&token)).await?;
    Ok((session.id, Secret::new(token)))
}

/// The session of a token, where it holds.
pub async fn check(store: &Store, now: Millis, token: &str) -> Result<Option<Valid>, store::Error> {
    let hash = sha256_hex(token);
    let Some(found) = sessions::by_hash(store, &hash).await? else {
        return Ok(None);
    };
    let session = found.session;
    let over = now.since(session.used_at) >= IDLE || now.since(session.created_at) >= ABSOLUTE;
    // The index found it by its digest; this comparison takes the same time wherever two digests differ.
    if over || !Secret::new(found.hash).matches(&hash) {
        return Ok(None);
    }
    if now.since(session.used_at) >= NOTED {
        sessions::touch(store, session.id, now).await?;
    }
    Ok(Some(Valid {
        id: session.id,
        user_id: session.user_id,
        role: super::stored_role(&found.role)?,
    }))
}

/// The token in the cookie of a request.
pub fn token(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, COOKIE)
}

/// The value of a cookie.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(own, value)| (own == name && !value.is_empty()).then_some(value))
}

/// The cookie that carries a token. It comes back when a browser returns from Facebook's dialog, therefore `Lax`.
pub fn set_cookie(token: &Secret) -> Option<HeaderValue> {
    header(COOKIE, token.expose(), ABSOLUTE)
}

/// The cookie that makes a browser forget its token.
pub fn forget_cookie() -> Option<HeaderValue> {
    header(COOKIE, "", Duration::ZERO)
}

/// A cookie that scripts cannot read. Nothing where the value has characters that no header may have.
pub(crate) fn header(name: &str, value: &str, age: Duration) -> Option<HeaderValue> {
    let seconds = age.as_secs();
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax; Secure");
    let mut header: HeaderValue = text.parse().ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_cookie_is_for_this_host_alone_and_for_no_script() {
        let cookie = set_cookie(&Secret::new("t0ken")).unwrap();
        assert_eq!(
            cookie.to_str().unwrap(),
            "__Host-separator=t0ken; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax; Secure"
        );
        assert!(cookie.is_sensitive());
        let gone = forget_cookie().unwrap();
        assert!(gone.to_str().unwrap().contains("=; Path=/; Max-Age=0;"));
    }

    #[test]
    fn a_token_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            "a=b; __Host-separator=t0ken".parse().unwrap(),
        );
        headers.append(header::COOKIE, "separator=other".parse().unwrap());
        assert_eq!(token(&headers), Some("t0ken"));
        headers.remove(header::COOKIE);
        assert_eq!(token(&headers), None);
    }
}
