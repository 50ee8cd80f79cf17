//! Asking Meta: what an answer that is none means for a check.

use tokio::time::error::Elapsed;
use whatsapp::error::{ApiError, Error};

use super::verdict::{Verdict, text};

/// Why Meta told nothing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Silence {
    /// There is no token to ask with.
    NoToken,
    /// The token is no token any more.
    Token(Box<ApiError>),
    /// The token may not see this.
    Permission(Box<ApiError>),
    /// Meta does not know it, or the token does not see it.
    Invisible(Box<ApiError>),
    /// It is not in the list in which it should be.
    NotListed,
    /// Meta refused for another reason.
    Refused(Box<ApiError>),
    /// Meta gave no answer.
    NoAnswer(String),
}

impl Silence {
    pub(super) fn of(error: Error) -> Self {
        match error {
            Error::Api(error) if error.is_token() => Self::Token(error),
            Error::Api(error) if error.is_permission() => Self::Permission(error),
            Error::Api(error) if error.is_invisible() => Self::Invisible(error),
            Error::Api(error) => Self::Refused(error),
            other => Self::NoAnswer(other.to_string()),
        }
    }

    /// What a check says that cannot see anything because of this.
    pub(super) fn unknown(&self) -> Verdict {
        Verdict::Unknown(match self {
            Self::NoToken => text!(
                "There is no access token to ask with.",
                "Нет access token, чтобы спросить."
            ),
            Self::Token(_) => text!(
                "Meta does not accept the access token.",
                "Meta не принимает access token."
            ),
            Self::NotListed => text!("Meta does not list it.", "Meta его не показывает."),
            Self::Permission(error) | Self::Invisible(error) | Self::Refused(error) => {
                let error = error.to_string();
                text!(
                    "Meta does not tell: {error}.",
                    "Meta не отвечает на этот вопрос: {error}."
                )
            }
            Self::NoAnswer(why) => {
                text!("Meta gave no answer: {why}.", "Meta не ответила: {why}.")
            }
        })
    }
}

/// The answer to a call that had a time limit.
pub(super) fn answer<T>(asked: Result<Result<T, Error>, Elapsed>) -> Result<T, Silence> {
    match asked {
        Ok(answer) => answer.map_err(Silence::of),
        Err(_) => Err(Silence::NoAnswer("no answer in time".to_owned())),
    }
}
