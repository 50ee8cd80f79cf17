//! Who is asking.

use axum::http::{HeaderMap, StatusCode, header, request::Parts};
use uuid::Uuid;

use super::{
    client::{self, Client},
    problem::Problem,
};
use crate::{
    app::App,
    registry::InstanceState,
    users::{
        self, KeyCheck, Role,
        frame::{self, Person},
        session,
    },
};

/// Whoever is behind a request: proof that a key, a session or a frame's token was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Somebody who has an account with us.
    User(User),
    /// Somebody inside a portal.
    Portal(Person),
    /// Somebody of whom nothing is known yet, where an operation is for everybody.
    Nobody,
}

/// A user and how we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// Our id of the user.
    pub id: Uuid,
    /// What the user may do.
    pub role: Role,
    /// How we know.
    pub by: By,
}

/// How we know a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// By the API key with this id.
    Key(Uuid),
    /// By the session of a browser with this id.
    Session(Uuid),
}

impl Caller {
    /// The user, where it is one.
    pub fn user(&self) -> Option<&User> {
        match self {
            Self::User(user) => Some(user),
            Self::Portal(_) | Self::Nobody => None,
        }
    }

    /// A name for programs that no other caller has.
    pub(super) fn place(&self) -> String {
        match self {
            Self::User(user) => user.id.to_string(),
            Self::Portal(person) => format!("{}/{}", person.instance, person.user_id),
            Self::Nobody => "nobody".to_owned(),
        }
    }

    /// Finds out who asks, where the operation is not for everybody: `Authorization: Bearer` with a key or a frame's token (RFC 6750), else the cookie of a
    /// browser's session. What is refused is counted.
    pub(super) async fn of(app: &App, head: &Parts, client: &Client) -> Result<Self, Problem> {
        let refused = |reason: &'static str, problem: Problem| {
            app.metrics.count("api_refused", reason);
            problem
        };
        if let Some(token) = bearer(&head.headers) {
            let found = if token.starts_with(frame::PREFIX) {
                Self::by_frame(app, token)
            } else {
                Self::by_key(app, token).await
            };
            return found.map_err(|(reason, problem)| refused(reason, problem));
        }
        let Some(token) = session::token(&head.headers) else {
            let text = "a key is needed: Authorization: Bearer KEY";
            return Err(refused("no_key", Problem::unauthorized(text, false)));
        };
        let Some(found) = session::check(&app.store, app.clock.now(), token).await? else {
            let text = "the session has ended; sign in again";
            return Err(refused("session", Problem::unauthorized(text, false)));
        };
        client::refuse_foreign(client, head, true)
            .map_err(|(reason, problem)| refused(reason, problem))?;
        Ok(Self::User(User {
            id: found.user_id,
            role: found.role,
            by: By::Session(found.id),
        }))
    }

    async fn by_key(app: &App, key: &str) -> Result<Self, (&'static str, Problem)> {
        let checked = users::check_manage_key(&app.store, app.clock.now(), key)
            .await
            .map_err(|error| ("database", error.into()))?;
        match checked {
            KeyCheck::Valid {
                key_id,
                user_id,
                role,
            } => Ok(Self::User(User {
                id: user_id,
                role,
                by: By::Key(key_id),
            })),
            KeyCheck::OtherScope => Err((
                "scope",
                Problem::new(
                    StatusCode::FORBIDDEN,
                    "this key is for callbacks; the API needs a key of the scope manage",
                ),
            )),
            KeyCheck::Unknown => Err((
                "wrong_key",
                Problem::unauthorized("this key is not valid", true),
            )),
        }
    }

    fn by_frame(app: &App, token: &str) -> Result<Self, (&'static str, Problem)> {
        let registry = app.directory.snapshot();
        let person = frame::verify(&app.sealer, token, app.clock.now()).filter(|person| {
            registry
                .instances
                .get(&person.instance)
                .is_some_and(|instance| instance.state != InstanceState::Uninstalled)
        });
        person.map(Self::Portal).ok_or_else(|| {
            let text = "this page was open for too long; close it in Bitrix24 and open it again";
            ("frame", Problem::unauthorized(text, true))
        })
    }
}

/// The key in the header; the scheme's name may be in any case (RFC 9110, section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_key_is_taken_from_the_header() {
        for (value, key) in [
            ("Bearer sep_x", Some("sep_x")),
            ("bearer  sep_x ", Some("sep_x")),
            ("Basic sep_x", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("sep_x", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer(&headers), key, "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
