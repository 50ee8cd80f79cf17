//! Meta's errors: the codes, their titles and the answer they make.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// Where Meta sends the reader of an error.
const HELP: &str = "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/";

/// An error as the Graph API answers it. Source: Meta: Cloud API error codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GraphError {
    pub(super) code: u32,
    pub(super) subcode: Option<u32>,
    pub(super) details: String,
}

impl GraphError {
    pub(super) fn new(code: u32, details: impl Into<String>) -> Self {
        Self {
            code,
            subcode: None,
            details: details.into(),
        }
    }

    /// The usual error of this code, as a fault makes it.
    pub(super) fn usual(code: u32) -> Self {
        let mut error = Self::new(code, known(code).details);
        error.subcode = (code == 190).then_some(463);
        error
    }

    pub(super) fn token(subcode: Option<u32>, details: &str) -> Self {
        Self {
            code: 190,
            subcode,
            details: details.to_owned(),
        }
    }

    /// The object does not exist, or the token does not see it; Graph does not tell which.
    pub(super) fn invisible(id: &str) -> Self {
        Self {
            code: 100,
            subcode: Some(33),
            details: format!(
                "Unsupported request. Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, or does not support this operation."
            ),
        }
    }

    pub(super) fn parameter(details: impl Into<String>) -> Self {
        Self::new(100, details)
    }

    /// A template is not taken as it is written. Source: Meta: error codes, subcodes 2388xxx.
    pub(super) fn of_template(subcode: u32, words: &str) -> Self {
        Self {
            subcode: Some(subcode),
            ..Self::parameter(words)
        }
    }

    pub(super) fn missing(name: &str) -> Self {
        Self::new(131_008, format!("Required parameter is missing: {name}."))
    }

    pub(super) fn value(details: impl Into<String>) -> Self {
        Self::new(131_009, details)
    }

    fn status(&self) -> StatusCode {
        match self.code {
            0 | 102 | 104 | 190 => StatusCode::UNAUTHORIZED,
            3 | 10 | 200..=299 | 368 | 131_005 | 131_031 => StatusCode::FORBIDDEN,
            2 | 133_004 => StatusCode::SERVICE_UNAVAILABLE,
            131_000 | 131_016 | 131_057 | 133_000 => StatusCode::INTERNAL_SERVER_ERROR,
            132_001 => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    fn kind(&self) -> &'static str {
        match self.code {
            100 if self.subcode == Some(33) => "GraphMethodException",
            _ => "OAuthException",
        }
    }

    /// The body of an error answer.
    pub(super) fn body(&self, trace: &str) -> Value {
        let known = known(self.code);
        // Errors of the platform carry their sentence as the message; errors of messaging a title and details.
        let message = match self.code {
            102 | 104 | 190 => self.details.clone(),
            100 if self.subcode == Some(33) => self.details.clone(),
            code => format!("(#{code}) {}", known.title),
        };
        let mut error = json!({
            "message": message,
            "type": self.kind(),
            "code": self.code,
            "fbtrace_id": trace,
        });
        if let Some(subcode) = self.subcode {
            error["error_subcode"] = subcode.into();
            if (2_388_000..2_389_000).contains(&subcode) {
                error["error_user_msg"] = self.details.as_str().into();
            }
        } else {
            error["error_data"] = json!({"messaging_product": "whatsapp", "details": self.details});
        }
        if matches!(self.code, 1 | 2 | 4 | 131_000 | 131_016) {
            error["is_transient"] = true.into();
        }
        json!({ "error": error })
    }

    /// The entry of `errors[]` in a failed status.
    pub(super) fn in_status(&self) -> Value {
        let title = known(self.code).title;
        json!({
            "code": self.code,
            "title": title,
            "message": title,
            "error_data": {"details": self.details},
            "href": HELP,
        })
    }

    pub(super) fn respond(&self, trace: &str) -> Response {
        (
            self.status(),
            [(header::CONTENT_TYPE, "application/json")],
            self.body(trace).to_string(),
        )
            .into_response()
    }
}

struct Known {
    title: &'static str,
    details: &'static str,
}

fn known(code: u32) -> Known {
    let (title, details) = match code {
        0 => ("AuthException", "The app user could not be authenticated."),
        1 => ("API Unknown", "Invalid request or possible server error."),
        2 => (
            "API Service",
            "Temporary due to downtime or due to being overloaded.",
        ),
        3 => (
            "API Method",
            "The app does not have the capability for this call.",
        ),
        4 => (
            "API Too Many Calls",
            "The app has reached its API call rate limit.",
        ),
        10 => (
            "API Permission Denied",
            "Permission is either not granted or has been removed.",
        ),
        33 => (
            "Parameter value is not valid",
            "The business phone number has been deleted.",
        ),
        100 => (
            "Invalid parameter",
            "The request included one or more unsupported or misspelled parameters.",
        ),
        102 | 104 => (
            "API Session",
            "An access token is required to request this resource.",
        ),
        190 => (
            "Access token has expired",
            "Error validating access token: Session has expired.",
        ),
        200..=299 => ("API Permission", "A permission is not granted."),
        368 => (
            "Temporarily blocked for policies violations",
            "The account has been temporarily blocked because of a platform policy.",
        ),
        80_007 => (
            "Rate limit issues",
            "The WhatsApp Business Account has reached its rate limit.",
        ),
        130_403 => ("User blocked", "The business has blocked this user."),
        130_429 => (
            "Rate limit hit",
            "Cloud API message throughput has been reached.",
        ),
        130_472 => (
            "User's number is part of an experiment",
            "The message was not sent as part of an experiment.",
        ),
        130_497 => (
            "Business account is restricted from messaging users in this country",
            "The account may not message users in this country.",
        ),
        131_000 => (
            "Something went wrong",
            "The message failed to send because of an unknown error.",
        ),
        131_005 => (
            "Access denied",
            "Permission is either not granted or has been removed.",
        ),
        131_008 => (
            "Required parameter is missing",
            "The request is missing a required parameter.",
        ),
        131_009 => (
            "Parameter value is not valid",
            "One or more parameter values are invalid.",
        ),
        131_016 => (
            "Service unavailable",
            "A service is temporarily unavailable.",
        ),
        131_021 => (
            "Recipient cannot be sender",
            "Sender and recipient phone number is the same.",
        ),
        131_026 => ("Message undeliverable", "Message Undeliverable."),
        131_030 => (
            "Recipient phone number not in allowed list",
            "Recipient phone number not in allowed list: add it to the recipient list and try again.",
        ),
        131_031 => (
            "Account has been locked",
            "The account has been locked because of a policy violation.",
        ),
        131_037 => (
            "Display name approval is needed",
            "The phone number needs an approved display name before it can send.",
        ),
        131_042 => (
            "Business eligibility payment issue",
            "There was an error related to the payment method.",
        ),
        131_045 => (
            "Incorrect certificate",
            "The message failed to send because of a phone number registration error.",
        ),
        131_047 => (
            "Re-engagement message",
            "Message failed to send because more than 24 hours have passed since the customer last replied to this number.",
        ),
        131_048 => (
            "Spam rate limit hit",
            "Message failed to send because there are restrictions on how many messages can be sent from this phone number.",
        ),
        131_049 => (
            "Meta chose not to deliver",
            "This message was not delivered to maintain healthy ecosystem engagement.",
        ),
        131_050 => (
            "User has stopped marketing messages",
            "The recipient has chosen to stop receiving marketing messages from this business.",
        ),
        131_051 => (
            "Unsupported message type",
            "Message type is not currently supported.",
        ),
        131_052 => ("Media download error", "Unable to download the media."),
        131_053 => (
            "Media upload error",
            "Unable to upload the media used in the message.",
        ),
        131_055 => ("Method not allowed", "This method is not allowed now."),
        131_056 => (
            "Pair rate limit hit",
            "Too many messages sent from this phone number to the same recipient in a short period.",
        ),
        131_057 => (
            "Account in maintenance mode",
            "The business account is in maintenance mode.",
        ),
        131_062 => (
            "User id not supported for this message",
            "This message needs the recipient's phone number.",
        ),
        131_063 => (
            "Marketing messages are not taken here",
            "Marketing templates of this account are taken by the Marketing Messages API only.",
        ),
        131_064 => (
            "Template classification limit",
            "The account has reached its limit because of template classification.",
        ),
        132_000 => (
            "Number of parameters does not match the expected number of params",
            "The number of parameters does not match the template.",
        ),
        132_001 => (
            "Template name does not exist in the translation",
            "The template does not exist in the language or has not been approved.",
        ),
        132_005 => (
            "Translated text too long",
            "The text is too long after substitution.",
        ),
        132_007 => (
            "Template format character policy violated",
            "The template content violates a policy.",
        ),
        132_008 => (
            "Template parameter is not valid",
            "A parameter value is invalid.",
        ),
        132_012 => (
            "Parameter format does not match format in the created template",
            "The parameters are of the wrong kind.",
        ),
        132_015 => (
            "Template is paused",
            "The template is paused because of low quality.",
        ),
        132_016 => (
            "Template is disabled",
            "The template is disabled because it was paused too often.",
        ),
        132_018 => (
            "Template parameters are not valid",
            "A parameter holds characters that are not allowed.",
        ),
        133_000 => (
            "Incomplete deregistration",
            "An earlier deregistration did not finish.",
        ),
        133_004 => (
            "Server temporarily unavailable",
            "The registration server is temporarily unavailable.",
        ),
        133_005 => (
            "Two step verification PIN mismatch",
            "The two-step verification PIN is wrong.",
        ),
        133_006 => (
            "Phone number re-verification needed",
            "The phone number must be verified before it is registered.",
        ),
        133_010 => (
            "Phone number not registered",
            "The phone number is not registered on the WhatsApp Business Platform.",
        ),
        133_015 => (
            "Please wait a few minutes",
            "The phone number was deleted a moment ago.",
        ),
        133_016 => (
            "Account registration limit",
            "Too many registrations and deregistrations in 72 hours.",
        ),
        134_100 => (
            "Only marketing messages are supported",
            "The Marketing Messages API takes marketing templates only.",
        ),
        135_000 => (
            "Generic user error",
            "The message failed because of an unknown error with the parameters.",
        ),
        2_388_024 => (
            "Message template language already exists",
            "Content in this language already exists for this template.",
        ),
        _ => ("An error occurred", "An error occurred."),
    };
    Known { title, details }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_object_answers_100_33_with_http_400() {
        let error = GraphError::invisible("42");
        let body = error.body("trace");
        assert_eq!(error.status(), StatusCode::BAD_REQUEST);
        assert_eq!(body["error"]["code"], 100);
        assert_eq!(body["error"]["error_subcode"], 33);
        assert_eq!(body["error"]["type"], "GraphMethodException");
    }

    #[test]
    fn an_expired_token_is_190_463_and_says_so() {
        let error = GraphError::usual(190);
        assert_eq!(error.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(error.body("t")["error"]["error_subcode"], 463);
    }

    #[test]
    fn an_error_of_messaging_carries_its_details_both_ways() {
        let error = GraphError::usual(131_047);
        assert_eq!(
            error.body("t")["error"]["message"],
            "(#131047) Re-engagement message"
        );
        assert_eq!(
            error.in_status()["error_data"]["details"],
            error.body("t")["error"]["error_data"]["details"]
        );
    }
}
