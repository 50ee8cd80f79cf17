//! One-time links: the way in for somebody who has no password yet, or has forgotten it.
//!
//! The token stands behind the `#` of the address, so that it is in no request line and no log; the page sends it in a
//! body. Of a token only its digest is stored.

use std::{str::FromStr, time::Duration};

use uuid::Uuid;

use crate::{
    identifiers::Chance,
    secret::{Secret, sha256_hex},
    store::{
        self, Store,
        credentials::{self, NewLink},
    },
    time::Millis,
};

/// How long a link opens the door.
pub const LIFETIME: Duration = Duration::from_hours(24);

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its user chooses a password.
    Password,
    /// Its user is signed in at once.
    Enter,
    /// Whoever has it becomes the first administrator.
    First,
}

impl Kind {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Enter => "enter",
            Self::First => "first",
        }
    }
}

impl FromStr for Kind {
    type Err = store::Error;

    fn from_str(text: &str) -> Result<Self, store::Error> {
        match text {
            "password" => Ok(Self::Password),
            "enter" => Ok(Self::Enter),
            "first" => Ok(Self::First),
            other => Err(store::Error::Inconsistent {
                table: "links",
                column: "kind",
                why: format!("\"{other}\" is not a kind of link"),
            }),
        }
    }
}

/// Where a person opens a link.
pub fn address(base: &str, token: &Secret) -> String {
    format!("{base}/link#{}", token.expose())
}

/// Makes a link for a user, in place of those that the user had.
pub async fn make(
    store: &Store,
    chance: &Chance,
    now: Millis,
    user: Uuid,
    kind: Kind,
) -> Result<Secret, store::Error> {
    let token = chance.token();
    let link = NewLink {
        hash: &sha256_hex(&token),
        user_id: Some(user),
        kind: kind.as_str(),
        expires_at: now + LIFETIME,
    };
    credentials::replace_link(store, &link).await?;
    Ok(Secret::new(token))
}

/// Makes the link that creates the first administrator, in place of an earlier one; nothing where there is a user.
pub async fn first(
    store: &Store,
    chance: &Chance,
    now: Millis,
) -> Result<Option<Secret>, store::Error> {
    if credentials::any(store).await? {
        return Ok(None);
    }
    let token = chance.token();
    let link = NewLink {
        hash: &sha256_hex(&token),
        user_id: None,
        kind: Kind::First.as_str(),
        expires_at: now + LIFETIME,
    };
    credentials::replace_link(store, &link).await?;
    Ok(Some(Secret::new(token)))
}
