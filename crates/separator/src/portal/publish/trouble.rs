//! Why a number is not connected, in words for the person who can change it.

use std::fmt;

use bitrix24::{Class, Error};

use crate::{
    portal::{CallError, TokenError},
    registry::PhoneError,
};

/// Code of the error that is the whole portal's.
pub(crate) const AUTHORIZATION: &str = "AUTHORIZATION";

/// Why a number is not connected, in words for the person who can change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What is shown with the number.
    pub error: Box<PhoneError>,
    /// Whether it passes by itself.
    pub temporary: bool,
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.error.title)?;
        for more in [&self.error.details, &self.error.hint]
            .into_iter()
            .flatten()
        {
            write!(formatter, " {more}")?;
        }
        Ok(())
    }
}

impl Trouble {
    pub(crate) fn lasting(code: &str, title: &str, hint: &str) -> Self {
        let error = PhoneError {
            code: code.to_owned(),
            title: title.to_owned(),
            hint: Some(hint.to_owned()),
            ..PhoneError::default()
        };
        Self {
            error: Box::new(error),
            temporary: false,
        }
    }

    pub(crate) fn passing(code: &str, title: &str) -> Self {
        let hint = "It is tried again by itself.";
        Self {
            temporary: true,
            ..Self::lasting(code, title, hint)
        }
    }

    pub(crate) fn with_details(mut self, details: impl Into<String>) -> Self {
        self.error.details = Some(details.into());
        self
    }

    /// Trouble of this program's own database.
    pub(crate) fn of_store(error: &crate::store::Error) -> Self {
        Self::passing("STORE", "The database of Separator failed.").with_details(error.to_string())
    }
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Rest(error) => of_rest(&error),
            CallError::Token(TokenError::NeedsAuthorization(problem)) => Self::lasting(
                AUTHORIZATION,
                "The portal cannot be used before somebody acts.",
                &problem,
            ),
            CallError::Token(TokenError::Later(why)) => Self::passing(
                "AUTHORIZATION_SERVER",
                "There is no access to the portal at the moment.",
            )
            .with_details(why),
            CallError::Store(error) => Self::of_store(&error),
        }
    }
}

fn of_rest(error: &Error) -> Trouble {
    let code = error
        .code()
        .filter(|code| !code.is_empty())
        .unwrap_or("NO_ANSWER");
    let trouble = match error.class() {
        Class::Blocked(obstacle) => Trouble::lasting(
            code,
            "The portal does not let Separator work.",
            &obstacle.to_string(),
        ),
        Class::Refused | Class::Publish => Trouble::lasting(
            code,
            "The portal refused a step of the connection.",
            "The portal's own words are in the details; link the number again when the cause is removed.",
        ),
        Class::Limited { .. } | Class::Overloaded | Class::MethodParked { .. } => {
            Trouble::passing(code, "The portal takes no more calls at the moment.")
        }
        Class::Refresh | Class::Retry | Class::Unknown => {
            Trouble::passing(code, "The portal gave no usable answer.")
        }
    };
    trouble.with_details(error.to_string())
}
