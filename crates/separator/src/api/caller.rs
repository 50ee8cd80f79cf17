//! Who is asking, and what the asker may do.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use uuid::Uuid;

use super::{operation::Operation, problem::Problem};
use crate::{
    app::App,
    users::{self, KeyCheck, Role},
};

/// The user behind a request: proof that its key was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Our id of the user.
    pub user_id: Uuid,
    /// What the user may do.
    pub role: Role,
}

impl Caller {
    /// The one place where it is decided who may do what. Both roles may do everything that the API
    /// offers so far: users and keys are made by command, and portals and numbers do not belong to
    /// single integrators yet.
    pub(super) fn may(self, _operation: &Operation) -> bool {
        match self.role {
            Role::Admin | Role::Integrator => true,
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    /// Checks `Authorization: Bearer KEY` (RFC 6750). What is refused is counted.
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Some(key) = bearer(&parts.headers) else {
            app.metrics.count("api_refused", "no_key");
            return Err(Problem::unauthorized(
                "a key is needed: Authorization: Bearer KEY",
                false,
            ));
        };
        match users::check_manage_key(&app.store, key).await? {
            KeyCheck::Valid { user_id, role } => Ok(Self { user_id, role }),
            KeyCheck::OtherScope => {
                app.metrics.count("api_refused", "scope");
                Err(Problem::new(
                    StatusCode::FORBIDDEN,
                    "this key is for callbacks; the API needs a key of the scope manage",
                ))
            }
            KeyCheck::Unknown => {
                app.metrics.count("api_refused", "wrong_key");
                Err(Problem::unauthorized("this key is not valid", true))
            }
        }
    }
}

/// The key in the header; the scheme's name may be in any case (RFC 9110, section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_key_is_taken_from_the_header() {
        for (value, key) in [
            ("Bearer sep_x", Some("sep_x")),
            ("bearer  sep_x ", Some("sep_x")),
            ("Basic sep_x", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("sep_x", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer(&headers), key, "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn both_roles_may_use_the_whole_api() {
        for role in [Role::Admin, Role::Integrator] {
            let caller = Caller {
                user_id: Uuid::nil(),
                role,
            };
            assert!(
                crate::api::operations().all(|operation| caller.may(operation)),
                "{role}"
            );
        }
    }
}
