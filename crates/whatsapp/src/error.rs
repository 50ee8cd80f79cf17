//! What can go wrong, and what follows from it.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::codes::{self, Class, LimitScope};
use crate::json::Object;

/// An error as Meta describes it, in the answer to a call or in a callback's `errors`.
///
/// Decide by [`code`](Self::code); texts change. Source: Meta, "Cloud API: error codes".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApiError {
    /// The code, as in the table of [`codes`].
    pub code: Option<i64>,
    /// Tells cases of codes 100 and 190 apart; deprecated elsewhere.
    pub subcode: Option<i64>,
    /// Short title; callbacks only.
    pub title: Option<String>,
    /// What happened, for developers.
    pub message: String,
    /// The most exact description that there is.
    pub details: Option<String>,
    /// Title that may be shown to a user.
    pub user_title: Option<String>,
    /// Text that may be shown to a user.
    pub user_message: Option<String>,
    /// Whether Meta itself calls it passing.
    pub is_transient: bool,
    /// Number under which Meta's support finds the call.
    pub fbtrace_id: Option<String>,
    /// How long Meta's usage header asks to wait; only in answers to calls.
    pub wait: Option<Duration>,
}

impl ApiError {
    pub(crate) fn read(error: &Object<'_>) -> Self {
        Self {
            code: error.integer("code"),
            // In what is told about a token it has the shorter name.
            subcode: error
                .integer("error_subcode")
                .or_else(|| error.integer("subcode")),
            title: error.filled("title"),
            message: error.text("message").unwrap_or_default(),
            details: error
                .object("error_data")
                .and_then(|data| data.filled("details")),
            user_title: error.filled("error_user_title"),
            user_message: error.filled("error_user_msg"),
            is_transient: error.flag("is_transient"),
            fbtrace_id: error.filled("fbtrace_id"),
            wait: None,
        }
    }

    pub(crate) fn read_all(errors: Vec<&RawValue>) -> Vec<Self> {
        errors
            .into_iter()
            .filter_map(Object::open)
            .map(|error| Self::read(&error))
            .collect()
    }

    /// The token is expired, revoked or otherwise no token any more (codes 0, 102, 104, 190).
    /// Source: Meta, "Graph API: handling errors".
    pub fn is_token(&self) -> bool {
        matches!(self.code, Some(0 | 102 | 104 | 190))
    }

    /// The token lacks a permission, or the app may not do this (codes 3, 10, 200 to 299).
    pub fn is_permission(&self) -> bool {
        matches!(self.code, Some(3 | 10 | 200..=299))
    }

    /// The object does not exist or the token does not see it (100/33, 803).
    pub fn is_invisible(&self) -> bool {
        matches!(
            (self.code, self.subcode),
            (Some(100), Some(33)) | (Some(803), _)
        )
    }

    /// The code of a login was used before or is too old (100/36009).
    pub fn is_used_code(&self) -> bool {
        self.code == Some(100) && self.subcode == Some(36_009)
    }

    /// The redirect address is not the one of the dialog (100/36008).
    pub fn is_other_redirect(&self) -> bool {
        self.code == Some(100) && self.subcode == Some(36_008)
    }

    /// The two-step verification PIN is wrong (133005).
    pub fn is_wrong_pin(&self) -> bool {
        self.code == Some(133_005)
    }

    /// The shortest text that says what it is: title, title for users, message.
    pub fn headline(&self) -> &str {
        self.title
            .as_deref()
            .or(self.user_title.as_deref())
            .unwrap_or(&self.message)
    }

    /// The longest text that says what it is, where there is one besides the headline.
    pub fn explanation(&self) -> Option<&str> {
        self.details.as_deref().or(self.user_message.as_deref())
    }

    /// What a delivery loop does about it. A code that is not in the table is refused, unless Meta calls it passing.
    pub fn class(&self) -> Class {
        if self.code == Some(100) && self.subcode == Some(33) {
            return Class::Fix;
        }
        let class = match self.code.and_then(codes::find) {
            Some(row) => row.class,
            None if self.is_transient => Class::Retry { at_most: Some(3) },
            None => Class::Refused,
        };
        match (class, self.wait) {
            (
                Class::Limited {
                    wait,
                    scope: LimitScope::App,
                },
                Some(asked),
            ) => Class::Limited {
                wait: wait.max(asked),
                scope: LimitScope::App,
            },
            _ => class,
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.headline())?;
        if let Some(details) = &self.details {
            write!(formatter, ": {details}")?;
        }
        match (self.code, self.subcode) {
            (Some(code), Some(subcode)) => write!(formatter, " ({code}/{subcode})"),
            (Some(code), None) => write!(formatter, " ({code})"),
            (None, _) => Ok(()),
        }
    }
}

/// How a call failed. No variant holds an address with its query, a token or a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Meta answered with an error: the call was not carried out.
    #[error("Meta refused: {0}")]
    Api(Box<ApiError>),
    /// The call could not be made from what was given (an id that is none, a token with line breaks): our mistake.
    #[error("the request could not be made: {0}")]
    Request(String),
    /// A file's address does not belong to Meta; the token was not sent there.
    #[error("{0:?} is not a host of Meta's")]
    ForeignHost(String),
    /// No connection was made: the call was certainly not carried out.
    #[error("Meta could not be reached: {0}")]
    Unreachable(String),
    /// An HTTP error below 500 without an error of Meta's in it, mostly from something in between or of an expired file
    /// address: the call was not carried out.
    #[error("the answer was HTTP {status}")]
    Http {
        /// The HTTP status.
        status: u16,
    },
    /// The call went out and no usable answer came: cut, timed out, HTTP 5xx or not JSON. It may have been carried out.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
    /// The answer is JSON without what the call promises. The call may have been carried out.
    #[error("the answer lacks {0}")]
    Malformed(&'static str),
}

impl Error {
    /// What a delivery loop does about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Api(error) => error.class(),
            Self::Request(_) | Self::ForeignHost(_) => Class::Refused,
            Self::Unreachable(_) => Class::Retry { at_most: None },
            Self::Http { status: 429 } => Class::Limited {
                wait: Duration::from_secs(10),
                scope: LimitScope::App,
            },
            Self::Http { .. } => Class::Retry { at_most: Some(3) },
            Self::Unknown(_) | Self::Malformed(_) => Class::Unknown,
        }
    }

    /// Meta's own description, where there is one.
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(json: &str) -> ApiError {
        ApiError::read(&Object::parse(json).unwrap())
    }

    #[test]
    fn reads_errors_of_answers_and_of_callbacks() {
        let answer = read(
            r#"{"message":"(#131030) Recipient phone number not in allowed list","type":"OAuthException","code":131030,"error_data":{"messaging_product":"whatsapp","details":"Add it first"},"error_subcode":2655007,"is_transient":false,"fbtrace_id":"Abc"}"#,
        );
        assert_eq!(
            (answer.code, answer.subcode),
            (Some(131_030), Some(2_655_007))
        );
        assert_eq!(answer.explanation(), Some("Add it first"));
        assert_eq!(answer.class(), Class::Fix);

        let callback = read(
            r#"{"code":"131047","title":"Re-engagement message","message":"m","error_data":{"details":"More than 24 hours"}}"#,
        );
        assert_eq!(callback.headline(), "Re-engagement message");
        assert_eq!(
            callback.to_string(),
            "Re-engagement message: More than 24 hours (131047)"
        );
        assert_eq!(callback.class(), Class::Refused);
    }

    #[test]
    fn classes_follow_code_subcode_and_hints() {
        for (json, wanted) in [
            (r#"{"code":100}"#, Class::Refused),
            (r#"{"code":100,"error_subcode":33}"#, Class::Fix),
            (r#"{"code":190,"error_subcode":463}"#, Class::Blocked),
            (r#"{"code":2}"#, Class::Retry { at_most: None }),
            (
                r#"{"code":987654,"is_transient":true}"#,
                Class::Retry { at_most: Some(3) },
            ),
            (r#"{"code":987654}"#, Class::Refused),
            (r#"{"error_data":"text"}"#, Class::Refused),
        ] {
            assert_eq!(read(json).class(), wanted, "{json}");
        }
    }

    #[test]
    fn the_usage_header_prolongs_a_limit_of_the_app_only() {
        let asked = Some(Duration::from_mins(10));
        let app = ApiError {
            code: Some(80007),
            wait: asked,
            ..ApiError::default()
        };
        assert_eq!(
            app.class(),
            Class::Limited {
                wait: Duration::from_mins(10),
                scope: LimitScope::App
            }
        );
        let pair = ApiError {
            code: Some(131_056),
            wait: asked,
            ..ApiError::default()
        };
        assert_eq!(
            pair.class(),
            Class::Limited {
                wait: Duration::from_secs(4),
                scope: LimitScope::Pair
            }
        );
    }

    #[test]
    fn failures_without_an_answer_are_told_apart() {
        for (error, wanted) in [
            (
                Error::Unreachable(String::new()),
                Class::Retry { at_most: None },
            ),
            (Error::Unknown(String::new()), Class::Unknown),
            (Error::Malformed("a message id"), Class::Unknown),
            (Error::Request(String::new()), Class::Refused),
            (
                Error::Http { status: 429 },
                Class::Limited {
                    wait: Duration::from_secs(10),
                    scope: LimitScope::App,
                },
            ),
            (
                Error::Http { status: 403 },
                Class::Retry { at_most: Some(3) },
            ),
        ] {
            assert_eq!(error.class(), wanted, "{error}");
        }
    }
}
