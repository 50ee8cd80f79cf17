//! What went wrong with a call, and the one table that says what to do about it.

use std::time::Duration;

use thiserror::Error;
use url::Url;

/// Shortest pause after the portal said that calls come too fast (Bitrix24: limits).
const LIMIT_PAUSE: Duration = Duration::from_secs(1);

/// Why a call gave no result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// REST answered with an error.
    #[error("{code}: {description} (HTTP {http})")]
    Rest {
        /// `error` in upper case; modules also use empty text and numbers.
        code: String,
        /// `error_description`: a text for people.
        description: String,
        /// `argument`: the parameter that is wrong.
        argument: Option<String>,
        /// Status of the answer; says less than the code, since cloud and box differ.
        http: u16,
        /// When the method is free again, in Unix seconds, where the answer says so.
        until: Option<i64>,
    },
    /// Something answered that is not REST: a proxy's page, a blocked portal, a redirect to a login.
    #[error("the answer is not one of REST (HTTP {http}): {start}")]
    NotRest {
        /// Status of the answer.
        http: u16,
        /// Its first 200 bytes without secrets.
        start: String,
    },
    /// No connection came about; the call was certainly not executed.
    #[error("the portal cannot be reached: {detail}")]
    Unreachable {
        /// The reason in words.
        detail: String,
    },
    /// The request went out and no usable answer came back; the call may have been executed.
    #[error("the call was cut off, its outcome is unknown: {detail}")]
    Unknown {
        /// Status, where the answer at least began.
        http: Option<u16>,
        /// The reason in words.
        detail: String,
    },
    /// The portal has another address now; the call was not executed.
    ///
    /// Before `to` is used, let the authorization server confirm that the installation is there.
    #[error("the portal has moved to {to}")]
    Moved {
        /// The new client endpoint.
        to: Url,
    },
    /// The request is unusable and was not sent.
    #[error("not sent: {why}")]
    NotSent {
        /// What is wrong with it.
        why: &'static str,
    },
}

/// What to do about an [`enum@Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// This call will never succeed; others may.
    Refused,
    /// Nothing will succeed on this portal before a person acts; stop it and keep what waits.
    Blocked(Obstacle),
    /// Calls came too fast. Not executed; does not count as a try.
    Limited {
        /// Shortest pause before the next call to this portal.
        wait: Duration,
    },
    /// The portal was blocked for overload; probe rarely, with growing pauses, and tell a person.
    Overloaded,
    /// This method has used up its time on this portal; other methods go on. Not executed.
    MethodParked {
        /// When it is free again, in Unix seconds; at most ten minutes away where absent.
        until: Option<i64>,
    },
    /// The token is no longer good: refresh once, then repeat.
    Refresh,
    /// The connector or line is not set up: put it right once, then repeat.
    Publish,
    /// Not executed; repeating is safe.
    Retry,
    /// May have been executed; look before repeating.
    Unknown,
}

/// What a person has to remove before a portal works again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Obstacle {
    /// `authorization_error`: the employee who authorized the application was deactivated.
    #[error(
        "The employee who installed the application is no longer active: let another administrator authorize it again."
    )]
    Dismissed,
    /// `user_access_error`: that employee may not use the application.
    #[error(
        "The employee who installed the application may not use it any more: give access or authorize again."
    )]
    NoAccess,
    /// `APPLICATION_NOT_FOUND`: the application was removed from the portal.
    #[error("The application is not installed on the portal any more: install it again.")]
    Uninstalled,
    /// `insufficient_scope`: the application lacks a permission.
    #[error(
        "The application lacks a permission: tick it in the application's form on the portal and save."
    )]
    Scope,
    /// `INVALID_CREDENTIALS`, `ACCESS_DENIED`: rights or plan are not enough.
    #[error(
        "The portal denies access: its plan must include REST, and the employee who installed the application must be an administrator."
    )]
    Denied,
    /// `PAYMENT_REQUIRED`: the plan or subscription has ended.
    #[error("The portal's plan or subscription has ended: renew it.")]
    Payment,
    /// `WRONG_AUTH_TYPE`: the token is not one of an application.
    #[error(
        "The token does not belong to an application: connect the portal by installing the application, not by a webhook."
    )]
    NotAnApplication,
    /// `METHOD_CONFIRM_WAITING`, `METHOD_CONFIRM_DENIED`: an administrator must allow the method.
    #[error(
        "An administrator of the portal must confirm that the application may call this method."
    )]
    Confirmation,
    /// `ERROR_METHOD_NOT_FOUND`: a module is missing or too old.
    #[error("The portal does not know this method: install or update the Open Channels module.")]
    NoSuchMethod,
    /// `PORTAL_DELETED`: gone in the cloud, closed for the time being on a box.
    #[error("The portal is deleted or closed: open it again or unlink it.")]
    Closed,
    /// `INVALID_REQUEST`: the portal wants https.
    #[error("The portal only takes calls over https: correct its address.")]
    Insecure,
}

impl Error {
    /// Decides what to do, by the code alone where there is one (Bitrix24: system errors, imconnector.send.messages).
    pub fn class(&self) -> Class {
        match self {
            Self::Rest {
                code, http, until, ..
            } => class_of_code(code, *http, *until),
            // A proxy or the web server refused before REST saw it; an error page of theirs says nothing either way.
            Self::NotRest {
                http: 300..=499, ..
            } => Class::Retry,
            Self::NotRest { .. } | Self::Unknown { .. } => Class::Unknown,
            Self::Unreachable { .. } | Self::Moved { .. } => Class::Retry,
            Self::NotSent { .. } => Class::Refused,
        }
    }

    /// The code of REST in upper case, where REST answered.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Rest { code, .. } => Some(code),
            _ => None,
        }
    }
}

fn class_of_code(code: &str, http: u16, until: Option<i64>) -> Class {
    match code {
        "EXPIRED_TOKEN" | "INVALID_TOKEN" | "NO_AUTH_FOUND" => Class::Refresh,
        "QUERY_LIMIT_EXCEEDED" => Class::Limited { wait: LIMIT_PAUSE },
        "OVERLOAD_LIMIT" => Class::Overloaded,
        "OPERATION_TIME_LIMIT" => Class::MethodParked { until },
        "NOT_ACTIVE_LINE"
        | "IMCONNECTOR_NO_CORRECT_PROVIDER"
        | "IMCONNECTOR_NOT_SPECIFIED_CORRECT_COMMAND"
        | "IMCONNECTOR_NOT_SPECIFIED_CORRECT_CONNECTOR" => Class::Publish,
        "AUTHORIZATION_ERROR" => Class::Blocked(Obstacle::Dismissed),
        "USER_ACCESS_ERROR" => Class::Blocked(Obstacle::NoAccess),
        "APPLICATION_NOT_FOUND" => Class::Blocked(Obstacle::Uninstalled),
        "INSUFFICIENT_SCOPE" => Class::Blocked(Obstacle::Scope),
        "INVALID_CREDENTIALS" | "ACCESS_DENIED" => Class::Blocked(Obstacle::Denied),
        "PAYMENT_REQUIRED" => Class::Blocked(Obstacle::Payment),
        "WRONG_AUTH_TYPE" => Class::Blocked(Obstacle::NotAnApplication),
        "METHOD_CONFIRM_WAITING" | "METHOD_CONFIRM_DENIED" => {
            Class::Blocked(Obstacle::Confirmation)
        }
        "ERROR_METHOD_NOT_FOUND" => Class::Blocked(Obstacle::NoSuchMethod),
        "PORTAL_DELETED" => Class::Blocked(Obstacle::Closed),
        "INVALID_REQUEST" => Class::Blocked(Obstacle::Insecure),
        // A module failed somewhere on its way; a call with several items may be half done.
        "INTERNAL_SERVER_ERROR" | "ERROR_UNEXPECTED_ANSWER" | "ERROR_CORE" | "" | "0" => {
            Class::Unknown
        }
        _ if http >= 500 => Class::Unknown,
        _ => Class::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(code: &str, http: u16) -> Error {
        Error::Rest {
            code: code.to_owned(),
            description: String::new(),
            argument: None,
            http,
            until: Some(7),
        }
    }

    #[test]
    fn every_documented_code_has_its_class() {
        let wait = LIMIT_PAUSE;
        let table = [
            ("EXPIRED_TOKEN", 401, Class::Refresh),
            ("INVALID_TOKEN", 401, Class::Refresh),
            ("NO_AUTH_FOUND", 401, Class::Refresh),
            (
                "AUTHORIZATION_ERROR",
                401,
                Class::Blocked(Obstacle::Dismissed),
            ),
            (
                "APPLICATION_NOT_FOUND",
                401,
                Class::Blocked(Obstacle::Uninstalled),
            ),
            ("USER_ACCESS_ERROR", 403, Class::Blocked(Obstacle::NoAccess)),
            ("INSUFFICIENT_SCOPE", 401, Class::Blocked(Obstacle::Scope)),
            ("INVALID_CREDENTIALS", 403, Class::Blocked(Obstacle::Denied)),
            ("ACCESS_DENIED", 403, Class::Blocked(Obstacle::Denied)),
            (
                "WRONG_AUTH_TYPE",
                403,
                Class::Blocked(Obstacle::NotAnApplication),
            ),
            (
                "METHOD_CONFIRM_WAITING",
                401,
                Class::Blocked(Obstacle::Confirmation),
            ),
            (
                "METHOD_CONFIRM_DENIED",
                403,
                Class::Blocked(Obstacle::Confirmation),
            ),
            ("INVALID_REQUEST", 400, Class::Blocked(Obstacle::Insecure)),
            (
                "ERROR_METHOD_NOT_FOUND",
                404,
                Class::Blocked(Obstacle::NoSuchMethod),
            ),
            ("ERROR_BATCH_LENGTH_EXCEEDED", 400, Class::Refused),
            ("ERROR_BATCH_METHOD_NOT_ALLOWED", 405, Class::Refused),
            ("QUERY_LIMIT_EXCEEDED", 503, Class::Limited { wait }),
            ("OVERLOAD_LIMIT", 503, Class::Overloaded),
            (
                "OPERATION_TIME_LIMIT",
                429,
                Class::MethodParked { until: Some(7) },
            ),
            ("INTERNAL_SERVER_ERROR", 500, Class::Unknown),
            ("ERROR_UNEXPECTED_ANSWER", 500, Class::Unknown),
            ("PORTAL_DELETED", 500, Class::Blocked(Obstacle::Closed)),
            ("PAYMENT_REQUIRED", 402, Class::Blocked(Obstacle::Payment)),
            ("ERROR_ARGUMENT", 400, Class::Refused),
            ("ERROR_CORE", 400, Class::Unknown),
            ("", 400, Class::Unknown),
            ("NOT_ACTIVE_LINE", 400, Class::Publish),
            ("IMCONNECTOR_NO_CORRECT_PROVIDER", 400, Class::Publish),
            (
                "IMCONNECTOR_NOT_SPECIFIED_CORRECT_CONNECTOR",
                400,
                Class::Publish,
            ),
            ("CONFIG_ID_EMPTY", 400, Class::Refused),
            ("SOMETHING_NEW", 500, Class::Unknown),
        ];
        for (code, http, class) in table {
            assert_eq!(rest(code, http).class(), class, "{code}");
        }
    }

    #[test]
    fn only_a_call_that_was_not_executed_may_be_repeated_blindly() {
        let not_rest = |http| Error::NotRest {
            http,
            start: String::new(),
        };
        let detail = String::new();
        assert_eq!(
            Error::Unreachable {
                detail: detail.clone()
            }
            .class(),
            Class::Retry
        );
        assert_eq!(
            Error::Unknown { http: None, detail }.class(),
            Class::Unknown
        );
        for (http, class) in [
            (302, Class::Retry),
            (404, Class::Retry),
            (200, Class::Unknown),
            (502, Class::Unknown),
        ] {
            assert_eq!(not_rest(http).class(), class, "{http}");
        }
    }
}
