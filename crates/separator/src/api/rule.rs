//! Who may call an operation: the one place where that is decided. Each row of the tables names its rule; there is none
//! that holds where nothing is said.

use axum::http::StatusCode;
use serde_json::Value;

use super::{
    caller::{By, Caller},
    problem::{FieldError, Problem},
};
use crate::users::Role;

/// Who may call an operation. What they see and change is another matter: everybody but administrators only what is
/// theirs, see [`View`](super::view::View).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Everybody, also without an identity.
    Anybody,
    /// Everybody whose identity is known.
    Known,
    /// Everybody whose identity is known; of a portal's people only those whom Bitrix24 calls administrators, and in the
    /// body only these fields.
    PortalAdministrators(&'static [&'static str]),
    /// People who look at a page inside a portal; it is about that portal and about nothing else.
    PortalPeople,
    /// Users.
    Users,
    /// Users who sit at a browser; a key is not enough.
    Browsers,
    /// Administrators.
    Administrators,
}

impl Rule {
    /// Refuses a caller who may not call the operation. Nobody calls without an identity unless [`Rule::Anybody`].
    pub(super) fn admits(self, caller: &Caller) -> Result<(), &'static str> {
        match (self, caller) {
            (Self::Anybody, _) => Ok(()),
            (_, Caller::Nobody) => Err("somebody who is known may do this"),
            (Self::Known, _) => Ok(()),
            (Self::PortalAdministrators(_), Caller::Portal(person)) if !person.administrator => {
                Err("only an administrator of the portal may do this")
            }
            (Self::PortalAdministrators(_), _) => Ok(()),
            (Self::PortalPeople, Caller::Portal(_)) => Ok(()),
            (Self::PortalPeople, Caller::User(_)) => {
                Err("this is done on a page inside Bitrix24, by the people of the portal")
            }
            (_, Caller::Portal(_)) => Err("only a user of Separator may do this"),
            (Self::Users, Caller::User(_)) => Ok(()),
            (Self::Browsers, Caller::User(user)) => match user.by {
                By::Session(_) => Ok(()),
                By::Key(_) => Err(
                    "this is done in a browser by the user who is signed in; a key is not enough",
                ),
            },
            (Self::Administrators, Caller::User(user)) => match user.role {
                Role::Admin => Ok(()),
                Role::Integrator => Err("your role may not do this; ask an administrator"),
            },
        }
    }

    /// Refuses fields that the people of a portal may not give.
    pub(super) fn admits_fields(self, caller: &Caller, body: &[u8]) -> Result<(), Problem> {
        let (Self::PortalAdministrators(allowed), Caller::Portal(_)) = (self, caller) else {
            return Ok(());
        };
        let Ok(Value::Object(object)) = serde_json::from_slice(body) else {
            // No body, or one that the handler refuses with its own words.
            return Ok(());
        };
        let errors: Vec<FieldError> = object
            .keys()
            .filter(|name| !allowed.contains(&name.as_str()))
            .map(|name| FieldError {
                field: name.clone(),
                message: "can only be changed by a user of Separator".to_owned(),
            })
            .collect();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::fields(errors))
        }
    }

    /// The rule in words, for the description.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Anybody => "For everybody.",
            Self::Known => "For users and for people of a portal.",
            Self::PortalAdministrators(_) => "For users and for administrators of a portal.",
            Self::PortalPeople => "For people of a portal, on a page inside it.",
            Self::Users => "For users.",
            Self::Browsers => "For users who are signed in with a browser.",
            Self::Administrators => "For administrators.",
        }
    }
}

/// Problem for a caller whom a rule does not admit.
pub(super) fn refused(why: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, why)
}
