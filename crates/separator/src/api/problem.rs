//! What the API says when it does not do what was asked: `application/problem+json` as in RFC 9457.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::store;

/// One field that cannot be taken as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Path of the field in the body or the query, such as `media.link`.
    pub field: String,
    /// What is wrong with it, a sentence without its subject: "is required".
    pub message: String,
}

/// A refusal with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    errors: Vec<FieldError>,
    /// What sort of problem it is, for programs.
    kind: &'static str,
    /// After how long another try makes sense.
    retry_after: Option<Duration>,
    /// Value of the header that a 401 must have.
    challenge: Option<&'static str>,
}

impl Problem {
    /// A refusal with an HTTP status and one sentence.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            errors: Vec::new(),
            kind: "about:blank",
            retry_after: None,
            challenge: None,
        }
    }

    /// 422: fields are wrong.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = errors
            .iter()
            .map(|error| format!("{} {}", error.field, error.message))
            .collect::<Vec<_>>()
            .join("; ");
        Self {
            errors,
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
        }
    }

    /// 422: one field is wrong.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError {
            field: field.into(),
            message: message.into(),
        }])
    }

    /// 404: there is no such thing.
    pub fn unknown(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("there is no {what} with this id"),
        )
    }

    /// 409: it is in use.
    pub fn in_use(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 401, with the header that the status demands (RFC 6750, section 3).
    pub fn unauthorized(detail: &str, invalid: bool) -> Self {
        let challenge = if invalid {
            "Bearer error=\"invalid_token\""
        } else {
            "Bearer"
        };
        Self {
            challenge: Some(challenge),
            ..Self::new(StatusCode::UNAUTHORIZED, detail)
        }
    }

    /// The same problem as one of a sort that programs tell from others.
    #[must_use]
    pub fn of_kind(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }

    /// 429: too much; another try makes sense after some time.
    pub fn later(detail: impl Into<String>, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail)
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The fields that are wrong.
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    fn body(&self) -> Value {
        let errors: Vec<Value> = self
            .errors
            .iter()
            .map(|error| json!({ "field": error.field, "message": error.message }))
            .collect();
        let mut body = json!({
            "type": self.kind,
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "errors": errors,
        });
        if let Some(seconds) = self.retry_seconds() {
            body["retry_after"] = seconds.into();
        }
        body
    }

    /// Whole seconds after which another try makes sense.
    fn retry_seconds(&self) -> Option<u64> {
        let wait = self.retry_after?;
        Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let content = [(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        )];
        let mut response = (self.status, content, self.body().to_string()).into_response();
        if let Some(seconds) = self.retry_seconds() {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge {
            let challenge = HeaderValue::from_static(challenge);
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<store::Error> for Problem {
    /// A database that is away or busy passes by itself. A refusal that got past the checks means that somebody else
    /// changed the same things in between. The cause goes to the log, not to the caller.
    fn from(error: store::Error) -> Self {
        if matches!(error, store::Error::Inconsistent { .. }) {
            tracing::error!(%error, "a stored row could not be read");
            return Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "a stored row could not be read; the log of the program names it",
            );
        }
        if error.is_refusal() {
            tracing::warn!(%error, "a change was refused by the database");
            return Self::new(
                StatusCode::CONFLICT,
                "something that this request refers to was changed at the same time; look and try again",
            );
        }
        tracing::warn!(%error, "the database did not answer a request to the API");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the database is not available; try again shortly",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_fields_are_listed_and_told_in_one_sentence() {
        let problem = Problem::fields(vec![
            FieldError {
                field: "phone".into(),
                message: "is required".into(),
            },
            FieldError {
                field: "media.link".into(),
                message: "must be text".into(),
            },
        ]);
        let body = problem.body();
        assert_eq!(body["status"], 422);
        assert_eq!(body["title"], "Unprocessable Entity");
        assert_eq!(body["detail"], "phone is required; media.link must be text");
        assert_eq!(
            body["errors"][1],
            json!({ "field": "media.link", "message": "must be text" })
        );
    }

    #[test]
    fn it_is_sent_as_a_problem() {
        let response = Problem::unauthorized("no key", false).into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }

    #[test]
    fn a_database_that_is_away_is_not_the_callers_fault() {
        let away = store::Error::Database(sqlx::Error::PoolTimedOut);
        assert_eq!(
            Problem::from(away).status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
}
