//! Why the authorization server gave nothing, and what a person can do about it.

use thiserror::Error;

/// Why a request to the authorization server failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OAuthError {
    /// The server said no.
    #[error("{reason} ({code}: {description}, HTTP {http})")]
    Refused {
        /// What that means.
        reason: Refusal,
        /// `error`, in lower case.
        code: String,
        /// `error_description`.
        description: String,
        /// Status of the answer.
        http: u16,
    },
    /// No answer came; a refresh may still have happened.
    #[error("The authorization server cannot be reached ({detail}): it is asked again by itself.")]
    Unreachable {
        /// The reason in words, without secrets.
        detail: String,
    },
    /// An answer came that says nothing usable.
    #[error("The authorization server is out of order (HTTP {http}): it is asked again by itself.")]
    Unclear {
        /// Status of the answer.
        http: u16,
    },
    /// The address is not one of an authorization server; nothing was sent.
    #[error(
        "This authorization server is not known: the portal must use oauth.bitrix.info or oauth.bitrix24.tech."
    )]
    NotAllowed,
}

/// A refusal that repeating does not change; its text tells what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// `invalid_client`.
    #[error(
        "Client id or client secret is wrong: copy both again from the application's form on the portal."
    )]
    WrongSecret,
    /// `invalid_grant`, `bad_verification_code`.
    #[error(
        "The authorization has expired or was used elsewhere: authorize the application again on the portal."
    )]
    Expired,
    /// `wrong_client`.
    #[error(
        "The tokens belong to another application, as after a reinstallation: enter its client id and secret and authorize again."
    )]
    OtherClient,
    /// `PAYMENT_REQUIRED`.
    #[error(
        "The application was removed or the portal's subscription has ended: install it again or renew the plan."
    )]
    Payment,
    /// `invalid_scope`, `insufficient_scope`.
    #[error(
        "The application lacks a permission: tick it in the application's form on the portal and authorize again."
    )]
    Scope,
    /// HTTP 404.
    #[error("The portal does not exist any more: check whether it was deleted, then unlink it.")]
    PortalGone,
    /// `expired_token`, `invalid_token`, `NO_AUTH_FOUND`: the server does not know the access token.
    #[error(
        "The authorization server does not know this token: install the application again on the portal."
    )]
    UnknownToken,
    /// `invalid_request` and everything else that is a client's fault.
    #[error(
        "The authorization server does not accept the request: update this software or report the error."
    )]
    BadRequest,
}

/// What to do about an [`OAuthError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OAuthClass {
    /// A person must act: mark the portal, stop its queue, keep its messages.
    Permanent(Refusal),
    /// Try again later with the same tokens.
    Retry,
}

impl OAuthError {
    pub(super) fn from_code(code: &str, description: String, http: u16) -> Self {
        let code = code.to_ascii_lowercase();
        let reason = match code.as_str() {
            "invalid_client" => Refusal::WrongSecret,
            "invalid_grant" | "bad_verification_code" => Refusal::Expired,
            "wrong_client" => Refusal::OtherClient,
            "payment_required" => Refusal::Payment,
            "invalid_scope" | "insufficient_scope" => Refusal::Scope,
            "expired_token" | "invalid_token" | "no_auth_found" => Refusal::UnknownToken,
            _ if http == 404 => Refusal::PortalGone,
            _ if http >= 500 || http == 429 || code == "query_limit_exceeded" => {
                return Self::Unclear { http };
            }
            _ => Refusal::BadRequest,
        };
        Self::Refused {
            reason,
            code,
            description,
            http,
        }
    }

    /// Whether asking again can help.
    pub fn class(&self) -> OAuthClass {
        match self {
            Self::Refused { reason, .. } => OAuthClass::Permanent(*reason),
            Self::NotAllowed => OAuthClass::Permanent(Refusal::BadRequest),
            Self::Unreachable { .. } | Self::Unclear { .. } => OAuthClass::Retry,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_code_has_its_sentence() {
        let table = [
            (
                "invalid_client",
                401,
                OAuthClass::Permanent(Refusal::WrongSecret),
            ),
            (
                "invalid_grant",
                400,
                OAuthClass::Permanent(Refusal::Expired),
            ),
            (
                "bad_verification_code",
                400,
                OAuthClass::Permanent(Refusal::Expired),
            ),
            (
                "wrong_client",
                400,
                OAuthClass::Permanent(Refusal::OtherClient),
            ),
            (
                "PAYMENT_REQUIRED",
                402,
                OAuthClass::Permanent(Refusal::Payment),
            ),
            ("invalid_scope", 400, OAuthClass::Permanent(Refusal::Scope)),
            (
                "insufficient_scope",
                403,
                OAuthClass::Permanent(Refusal::Scope),
            ),
            (
                "invalid_request",
                400,
                OAuthClass::Permanent(Refusal::BadRequest),
            ),
            ("", 404, OAuthClass::Permanent(Refusal::PortalGone)),
            ("internal_server_error", 500, OAuthClass::Retry),
            ("QUERY_LIMIT_EXCEEDED", 503, OAuthClass::Retry),
        ];
        for (code, http, class) in table {
            assert_eq!(
                OAuthError::from_code(code, String::new(), http).class(),
                class,
                "{code}"
            );
        }
    }
}
