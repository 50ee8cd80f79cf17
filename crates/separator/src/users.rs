//! Users and keys: who may use the JSON API and the pages, and with what.
//!
//! The commands `user create` and `key create` and the doors of the program come here. Passwords are hashed with
//! Argon2id; keys and link tokens are 256 random bits, of which only the SHA-256 digest is stored.

pub mod attempts;
pub mod device;
pub mod frame;
pub mod links;
pub mod password;
pub mod session;
pub mod sign_in;
pub mod totp;

use std::{fmt, str::FromStr};

use uuid::Uuid;

use crate::{
    identifiers::{Chance, Ids},
    secret::{Secret, sha256_hex},
    store::{self, Store, credentials::NewLink, keys::NewKey, users::NewUser},
    time::{Clock, Millis},
};

/// What every API key begins with, so that secret scanners recognise it.
const KEY_PREFIX: &str = "sep_";

/// How often it is written down that a key is in use.
const KEY_USE_NOTED: std::time::Duration = std::time::Duration::from_hours(1);

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Sets up and looks after customers' portals and numbers.
    Integrator,
}

impl Role {
    /// As stored and as the command line says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Integrator => "integrator",
        }
    }
}

impl FromStr for Role {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        match text {
            "admin" => Ok(Self::Admin),
            "integrator" => Ok(Self::Integrator),
            other => Err(UserError::UnknownRole(other.to_owned())),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The JSON API.
    Manage,
    /// The callback addresses, as `api-key` in their query.
    Callback,
}

impl Scope {
    /// As stored and as the command line says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manage => "manage",
            Self::Callback => "callback",
        }
    }
}

impl FromStr for Scope {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        match text {
            "manage" => Ok(Self::Manage),
            "callback" => Ok(Self::Callback),
            other => Err(UserError::UnknownScope(other.to_owned())),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why a user or a key was not made.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Not an e-mail address.
    #[error("\"{0}\" is not an e-mail address")]
    NotAnEmail(String),
    /// Somebody has this address already.
    #[error("there is already a user with the e-mail address {0}")]
    Duplicate(String),
    /// Nobody has this address.
    #[error(
        "there is no user with the e-mail address {0}; create one with: separator user create --email {0}"
    )]
    UnknownUser(String),
    /// The password is too short or too long.
    #[error("a password has 8 to 1024 characters")]
    Password,
    /// The name of a key is too long.
    #[error("the name of a key has at most 80 characters")]
    KeyName,
    /// Not a role.
    #[error("\"{0}\" is not a role; there are admin and integrator")]
    UnknownRole(String),
    /// Not a scope.
    #[error("\"{0}\" is not a scope; there are manage and callback")]
    UnknownScope(String),
    /// Too many passwords are being hashed.
    #[error("too many people sign in at this moment; try again shortly")]
    Busy,
    /// The password could not be hashed.
    #[error("the password could not be hashed: {0}")]
    Hashing(String),
    /// The database said no or could not be reached.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A user that was made.
#[derive(Debug)]
pub struct Created {
    /// Our id.
    pub id: Uuid,
    /// Token for the first sign-in, for a user without a password; to be shown once. It opens the door for 24 hours.
    pub sign_in_link_token: Option<Secret>,
}

/// Makes a user. Without a password a one-time token for the first sign-in is made as well.
pub async fn create_user(
    store: &Store,
    clock: &Clock,
    ids: &Ids,
    chance: &Chance,
    email: &str,
    password: Option<Secret>,
    role: Role,
) -> Result<Created, UserError> {
    let email = valid_email(email)?;
    let password = match password {
        Some(password) => Some(password::hash(password, chance.bytes()).await?),
        None => None,
    };
    let now = clock.now();
    let token = password.is_none().then(|| chance.token());
    let token_hash = token.as_deref().map(sha256_hex);
    let user = NewUser {
        id: ids.next(),
        email: &email,
        name: "",
        language: None,
        password: password.as_deref(),
        role: role.as_str(),
        created_at: now,
    };
    let link = token_hash.as_deref().map(|hash| NewLink {
        hash,
        user_id: Some(user.id),
        kind: links::Kind::Password.as_str(),
        expires_at: now + links::LIFETIME,
    });
    match store::users::insert_user(store, &user, link.as_ref()).await {
        Err(error) if error.is_duplicate() => Err(UserError::Duplicate(email.clone())),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(Created {
            id: user.id,
            sign_in_link_token: token.map(Secret::new),
        }),
    }
}

/// Makes a key for the user with this e-mail address; see [`make_key`].
pub async fn create_key(
    store: &Store,
    clock: &Clock,
    ids: &Ids,
    chance: &Chance,
    email: &str,
    scope: Scope,
    name: &str,
) -> Result<(Uuid, Secret), UserError> {
    let email = valid_email(email)?;
    let name = name.trim();
    if name.chars().count() > 80 {
        return Err(UserError::KeyName);
    }
    let Some(user) = store::users::user_by_email(store, &email).await? else {
        return Err(UserError::UnknownUser(email));
    };
    Ok(make_key(store, (ids, chance), clock.now(), user, scope, name).await?)
}

/// Makes a key for a user: `sep_` and 43 letters, digits, `-` and `_`. It is given out here and never again.
pub async fn make_key(
    store: &Store,
    (ids, chance): (&Ids, &Chance),
    now: Millis,
    user_id: Uuid,
    scope: Scope,
    name: &str,
) -> Result<(Uuid, Secret), store::Error> {
    let key = format!("{KEY_PREFIX}{}", chance.token());
    let id = ids.next();
    let new = NewKey {
        id,
        user_id,
        name,
        scope: scope.as_str(),
        hash: &sha256_hex(&key),
        created_at: now,
    };
    store::keys::insert(store, &new).await?;
    Ok((id, Secret::new(key)))
}

/// Whose key this is, for keys of the scope `manage`; see [`KeyCheck`].
pub async fn check_manage_key(
    store: &Store,
    now: Millis,
    key: &str,
) -> Result<KeyCheck, store::Error> {
    let hash = sha256_hex(key);
    let Some(found) = store::keys::by_hash(store, &hash).await? else {
        return Ok(KeyCheck::Unknown);
    };
    // The index found it by its digest; this comparison takes the same time wherever two digests differ.
    if !Secret::new(found.hash).matches(&hash) {
        return Ok(KeyCheck::Unknown);
    }
    if found.scope != Scope::Manage.as_str() {
        return Ok(KeyCheck::OtherScope);
    }
    if found
        .used_at
        .is_none_or(|at| now.since(at) >= KEY_USE_NOTED)
    {
        store::keys::touch(store, found.id, now).await?;
    }
    Ok(KeyCheck::Valid {
        key_id: found.id,
        user_id: found.user_id,
        role: stored_role(&found.role)?,
    })
}

/// A role as it is stored.
fn stored_role(text: &str) -> Result<Role, store::Error> {
    text.parse().map_err(|_| store::Error::Inconsistent {
        table: "users",
        column: "role",
        why: format!("\"{text}\" is not a role"),
    })
}

/// What a presented key is worth.
#[derive(Debug, PartialEq, Eq)]
pub enum KeyCheck {
    /// It opens the JSON API for this user.
    Valid {
        /// Our id of the key.
        key_id: Uuid,
        /// Our id of the user.
        user_id: Uuid,
        /// What the user may do.
        role: Role,
    },
    /// It is a key, but not for the JSON API.
    OtherScope,
    /// It is no key of ours.
    Unknown,
}

/// Takes an address apart just far enough to catch slips: something, `@`, a host name. Gives it in lower case.
pub(crate) fn valid_email(text: &str) -> Result<String, UserError> {
    let email = text.trim().to_lowercase();
    let good_character = |character: char| !character.is_whitespace() && !character.is_control();
    let good_host = |host: &str| {
        host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .chars()
                    .all(|character| character.is_alphanumeric() || character == '-')
        })
    };
    match email.rsplit_once('@') {
        Some((local, host))
            if (1..=64).contains(&local.len())
                && email.len() <= 254
                && local
                    .chars()
                    .all(|character| good_character(character) && character != '@')
                && good_host(host) =>
        {
            Ok(email)
        }
        _ => Err(UserError::NotAnEmail(text.trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn addresses_are_checked_for_slips_and_lowered() {
        assert_eq!(
            valid_email(" Anna.Ivanova@Example.COM ").unwrap(),
            "anna.ivanova@example.com"
        );
        for good in ["a@localhost", "a+b@x-y.example", "анна@пример.рф"] {
            assert!(valid_email(good).is_ok(), "{good}");
        }
        for wrong in [
            "", "@", "a", "a@", "@b", "a b@c", "a@b..c", "a@-b", "a@b c", "a@@b", "a@b.", "a@b/c",
        ] {
            assert!(
                matches!(valid_email(wrong), Err(UserError::NotAnEmail(_))),
                "{wrong}"
            );
        }
        assert!(valid_email(&format!("{}@example.com", "a".repeat(65))).is_err());
    }

    #[test]
    fn roles_and_scopes_survive_their_text() {
        for role in [Role::Admin, Role::Integrator] {
            assert_eq!(role.as_str().parse::<Role>().unwrap(), role);
        }
        for scope in [Scope::Manage, Scope::Callback] {
            assert_eq!(scope.as_str().parse::<Scope>().unwrap(), scope);
        }
        assert!(
            "root"
                .parse::<Role>()
                .unwrap_err()
                .to_string()
                .contains("admin and integrator")
        );
        assert!(
            "all"
                .parse::<Scope>()
                .unwrap_err()
                .to_string()
                .contains("manage and callback")
        );
    }
}
