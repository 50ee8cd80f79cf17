//! `Idempotency-Key`: a request that is sent again, because its answer got lost, has no second effect.
//!
//! A key belongs to a user and a path. Its answer is kept when the request succeeded; a request that was refused had no
//! effect, so its key is free again and a mended request may use it. The work goes on when the caller hangs up, because
//! only a known ending can be told to the caller who comes back.

use axum::http::{HeaderMap, StatusCode, request::Parts};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};

use super::{
    Answer,
    operation::{Call, Operation},
    problem::Problem,
};
use crate::{
    secret::{hex, sha256_hex},
    store::idempotency::{self, Claim},
    time::Millis,
};

/// The request header.
pub(super) const HEADER: &str = "idempotency-key";

/// A request that is in progress for longer than this was cut off by the end of the program.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(2);

/// Does the work of a `POST`, at most once for each key.
pub(super) async fn once(
    operation: &'static Operation,
    call: Call,
    head: &Parts,
) -> Result<Answer, Problem> {
    let Some(key) = key(&head.headers)? else {
        return Answer::work(operation, call).await;
    };
    let place = sha256_hex(&format!(
        "{} {} {key}",
        call.caller.place(),
        head.uri.path()
    ));
    let app = std::sync::Arc::clone(&call.app);
    let now = app.clock.now();
    match idempotency::claim(&app.store, &place, &request_hash(&call), now).await? {
        Claim::Fresh => {}
        Claim::Answered { status, body } if operation.secret_answer => {
            let opened = BASE64_STANDARD
                .decode(body)
                .ok()
                .and_then(|sealed| app.sealer.open(&sealed_place(&place), &sealed).ok());
            let body = opened.map(|body| body.expose().to_owned()).ok_or_else(|| {
                Problem::in_use(
                    "the answer to this Idempotency-Key cannot be repeated; use a new key",
                )
            })?;
            return earlier(operation, Claim::Answered { status, body }, now);
        }
        other => return earlier(operation, other, now),
    }
    let work = tokio::spawn(async move {
        let answer = Answer::work(operation, call).await;
        match &answer {
            Ok(answer) => {
                let body = if operation.secret_answer {
                    let sealed = app.sealer.seal(&sealed_place(&place), &answer.body);
                    BASE64_STANDARD.encode(sealed)
                } else {
                    answer.body.clone()
                };
                idempotency::settle(&app.store, &place, answer.status.as_u16(), &body).await?;
            }
            Err(_) => idempotency::release(&app.store, &place).await?,
        }
        answer
    });
    work.await.unwrap_or_else(|error| {
        tracing::error!(%error, path = operation.path, "a request to the API broke off");
        Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the request broke off; the log of the program says why",
        ))
    })
}

/// For what an answer that shows a secret is sealed.
fn sealed_place(place: &str) -> String {
    format!("idempotency_keys/body/{place}")
}

/// The answer to a request whose key was seen before.
fn earlier(operation: &Operation, claim: Claim, now: Millis) -> Result<Answer, Problem> {
    match claim {
        Claim::Answered { status, body } => {
            let status = StatusCode::from_u16(status).unwrap_or(operation.status);
            Ok(Answer {
                replayed: true,
                ..Answer::new(operation, status, body)
            })
        }
        Claim::InProgress { since } if now.since(since) > PATIENCE => Err(Problem::new(
            StatusCode::CONFLICT,
            "the first request with this Idempotency-Key was cut off; look whether it had its effect, then use a new key",
        )),
        Claim::InProgress { .. } => Err(Problem::new(
            StatusCode::CONFLICT,
            "the first request with this Idempotency-Key is still in progress; try again shortly",
        )),
        Claim::OtherRequest | Claim::Fresh => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "this Idempotency-Key was used for a different request",
        )),
    }
}

fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(HEADER) else {
        return Ok(None);
    };
    match value.to_str().map(str::trim) {
        Ok(key) if (1..=255).contains(&key.len()) => Ok(Some(key)),
        _ => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "an Idempotency-Key has 1 to 255 printable ASCII characters",
        )),
    }
}

fn request_hash(call: &Call) -> String {
    let mut digest = Sha256::new();
    digest.update(call.query.as_bytes());
    digest.update([0]);
    digest.update(&call.body);
    hex(&digest.finalize())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use super::*;

    fn operation() -> &'static Operation {
        crate::api::operations()
            .find(|operation| operation.location == Some("/api/v1/sites"))
            .unwrap()
    }

    #[test]
    fn a_key_is_short_printable_text() {
        let mut headers = HeaderMap::new();
        assert_eq!(key(&headers).unwrap(), None);
        headers.insert(HEADER, " 5f0c ".parse().unwrap());
        assert_eq!(key(&headers).unwrap(), Some("5f0c"));
        for wrong in [String::new(), " ".to_owned(), "k".repeat(256)] {
            headers.insert(HEADER, wrong.parse().unwrap());
            assert_eq!(key(&headers).unwrap_err().status(), StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn an_answer_is_replayed_with_its_location() {
        let claim = Claim::Answered {
            status: 201,
            body: r#"{"id":"x"}"#.to_owned(),
        };
        let answer = earlier(operation(), claim, Millis(0)).unwrap();
        assert!(answer.replayed);
        assert_eq!(answer.status, StatusCode::CREATED);
        assert_eq!(answer.location.as_deref(), Some("/api/v1/sites/x"));
    }

    #[test]
    fn what_is_in_progress_or_different_is_refused() {
        let refusal = |claim, now| earlier(operation(), claim, now).unwrap_err();
        let running = refusal(Claim::InProgress { since: Millis(0) }, Millis(1));
        assert!(format!("{running:?}").contains("still in progress"));
        let cut = refusal(
            Claim::InProgress { since: Millis(0) },
            Millis(0) + PATIENCE + Duration::from_millis(1),
        );
        assert!(format!("{cut:?}").contains("cut off"));
        assert_eq!(
            (running.status(), cut.status()),
            (StatusCode::CONFLICT, StatusCode::CONFLICT)
        );
        assert_eq!(
            refusal(Claim::OtherRequest, Millis(0)).status(),
            StatusCode::UNPROCESSABLE_ENTITY
        );
    }
}
