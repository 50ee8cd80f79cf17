//! What users look after themselves: their sessions, their password, the authenticator app.

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    caller::By,
    fields::Mode,
    operation::{Call, Described, Field, Operation, Outcome, Purpose, Shape},
    page::Page,
    problem::Problem,
    rule::Rule,
    rules,
    session::refused,
};
use crate::{
    identifiers::Chance,
    store::{
        credentials::{self, Credentials},
        sessions::{self, Session},
        setup::place,
        users,
    },
    users::{
        attempts::Place,
        session::{ABSOLUTE, IDLE},
        sign_in::{self, Refusal},
        totp,
    },
};

const SESSIONS: &str = "/api/v1/sessions";
const ONE_SESSION: &str = "/api/v1/sessions/{id}";
const PASSWORD: &str = "/api/v1/session/password";
const TOTP: &str = "/api/v1/session/totp";
const TAG: &str = "Session";

const SESSION_FIELDS: &[Field] = &[
    Field::id(),
    Field::read(
        "current",
        Shape::Boolean,
        "Whether it is the one that asks.",
        "true",
    ),
    Field::read(
        "address",
        Shape::Text,
        "From where it was begun.",
        "198.51.100.7",
    ),
    Field::read(
        "browser",
        Shape::Text,
        "What the browser calls itself.",
        "Mozilla/5.0 (X11; Linux x86_64)",
    ),
    Field::read(
        "used_at",
        Shape::Time,
        "When it was last used, to a few minutes.",
        "2026-11-23T04:47:32.010Z",
    ),
    Field::created_at(),
];

const PASSWORD_FIELDS: &[Field] = &[
    Field::required_secret("current", "The password until now.", "correct horse"),
    Field::required_secret(
        "new",
        "The password from now on, 8 to 1024 characters.",
        "correct horse battery staple",
    ),
];

const CODE_FIELDS: &[Field] = &[Field::required(
    "code",
    Shape::Text,
    "Code of the authenticator app.",
    "287082",
)];

const TOTP_FIELDS: &[Field] = &[
    Field::read(
        "secret",
        Shape::Text,
        "To be typed into the app where it cannot read a QR code. Shown this once.",
        "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
    ),
    Field::read(
        "uri",
        Shape::Text,
        "What the QR code says.",
        "otpauth://totp/Separator:anna%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "BrowserSession",
        purpose: Purpose::Shown,
        description: "A browser that is signed in.",
        fields: SESSION_FIELDS,
    },
    Described {
        name: "PasswordChange",
        purpose: Purpose::Sent,
        description: "Another password.",
        fields: PASSWORD_FIELDS,
    },
    Described {
        name: "TotpCode",
        purpose: Purpose::Sent,
        description: "A code.",
        fields: CODE_FIELDS,
    },
    Described {
        name: "TotpOffer",
        purpose: Purpose::Shown,
        description: "What is shared with an authenticator app.",
        fields: TOTP_FIELDS,
    },
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "List one's sessions",
        ..Operation::list(SESSIONS, TAG, "BrowserSession", Rule::Users, |call| {
            Box::pin(list(call))
        })
    },
    Operation {
        summary: "End a session",
        ..Operation::delete(ONE_SESSION, TAG, Rule::Users, |call| Box::pin(end(call)))
    },
    Operation {
        summary: "Choose another password",
        description: "All other sessions of the user end.",
        status: StatusCode::NO_CONTENT,
        answers: super::operation::Answers::Nothing,
        body: Some("PasswordChange"),
        refusals: &[429],
        ..Operation::act(PASSWORD, TAG, "PasswordChange", Rule::Browsers, |call| {
            Box::pin(change_password(call))
        })
    },
    Operation {
        summary: "Begin to use an authenticator app",
        description: "It takes effect when the app's first code was confirmed.",
        refusals: &[409],
        secret_answer: true,
        ..Operation::act(TOTP, TAG, "TotpOffer", Rule::Browsers, |call| {
            Box::pin(offer(call))
        })
    },
    Operation {
        summary: "Confirm the authenticator app",
        status: StatusCode::NO_CONTENT,
        answers: super::operation::Answers::Nothing,
        body: Some("TotpCode"),
        refusals: &[409, 429],
        ..Operation::act(
            "/api/v1/session/totp/confirm",
            TAG,
            "TotpCode",
            Rule::Browsers,
            |call| Box::pin(confirm(call)),
        )
    },
    Operation {
        summary: "Stop using an authenticator app",
        body: Some("TotpCode"),
        refusals: &[409, 429],
        ..Operation::delete(TOTP, TAG, Rule::Browsers, |call| Box::pin(remove(call)))
    },
];

fn show(session: &Session, current: Option<Uuid>) -> Value {
    json!({
        "id": session.id,
        "current": Some(session.id) == current,
        "address": session.address,
        "browser": session.browser,
        "used_at": session.used_at,
        "created_at": session.created_at,
    })
}

/// The user who asks and, where a browser asks, its session.
fn who(call: &Call) -> Result<(Uuid, Option<Uuid>), Problem> {
    let user = call.caller.user().ok_or_else(|| Problem::unknown("user"))?;
    Ok(match user.by {
        By::Session(id) => (user.id, Some(id)),
        By::Key(_) => (user.id, None),
    })
}

async fn list(call: Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    query.finish()?;
    let (user, current) = who(&call)?;
    let now = call.app.clock.now();
    let found = sessions::of_user(&call.app.store, user, now - ABSOLUTE, now - IDLE).await?;
    Ok(page.of_all(
        found.iter(),
        |session| session.id,
        |session| show(session, current),
    ))
}

async fn end(call: Call) -> Outcome {
    let id = call.id("session")?;
    let (user, _) = who(&call)?;
    if sessions::delete(&call.app.store, user, id).await? {
        Ok(Value::Null)
    } else {
        Err(Problem::unknown("session"))
    }
}

async fn change_password(call: Call) -> Outcome {
    let mut fields = call.fields(PASSWORD_FIELDS, Mode::Create)?;
    let current = fields.required("current", rules::password);
    let new = fields.required("new", rules::password);
    let (Some(current), Some(new)) = (current, new) else {
        return Err(fields.incomplete());
    };
    fields.finish()?;
    let (user, session) = who(&call)?;
    sign_in::change_password(&call.app, user, session, current, new)
        .await
        .map_err(|refusal| match refusal {
            Refusal::Wrong => Problem::field("current", "is not your password"),
            Refusal::User(crate::users::UserError::Password) => {
                Problem::field("new", "must have 8 to 1024 characters")
            }
            other => refused(other),
        })?;
    Ok(Value::Null)
}

async fn own(call: &Call) -> Result<Credentials, Problem> {
    let (user, _) = who(call)?;
    credentials::credentials_of(&call.app.store, user)
        .await?
        .ok_or_else(|| Problem::unknown("user"))
}

async fn offer(call: Call) -> Outcome {
    call.optional_fields(&[])?.finish()?;
    let (id, _) = who(&call)?;
    let user = users::user(&call.app.store, id)
        .await?
        .ok_or_else(|| Problem::unknown("user"))?;
    let secret = totp::secret(&Chance::System);
    let sealed = call
        .app
        .sealer
        .seal(&place("users", "totp_secret", id), secret.expose());
    if !credentials::offer_totp(&call.app.store, id, sealed).await? {
        return Err(Problem::in_use(
            "an authenticator app is in use already; stop using it first",
        ));
    }
    Ok(json!({ "secret": secret.expose(), "uri": totp::uri(&secret, &user.email) }))
}

/// Takes a code of the app, with a limit for those who guess.
async fn take_code(call: &Call, user: &Credentials) -> Result<(), Problem> {
    let mut fields = call.fields(CODE_FIELDS, Mode::Create)?;
    let Some(code) = fields.required("code", rules::text(16)) else {
        return Err(fields.incomplete());
    };
    fields.finish()?;
    let places = Place::of_user(user.id);
    call.app
        .attempts
        .begin(&places, call.app.clock.now())
        .map_err(|wait| refused(Refusal::Locked(wait)))?;
    sign_in::take_code(&call.app, user, &code)
        .await
        .map_err(refused)?;
    call.app.attempts.succeeded(&places);
    Ok(())
}

async fn confirm(call: Call) -> Outcome {
    let user = own(&call).await?;
    if user.totp_confirmed || user.totp_secret.is_none() {
        return Err(Problem::in_use(
            "there is nothing to be confirmed; begin to use an authenticator app first",
        ));
    }
    take_code(&call, &user).await?;
    credentials::confirm_totp(&call.app.store, user.id).await?;
    Ok(Value::Null)
}

async fn remove(call: Call) -> Outcome {
    let user = own(&call).await?;
    if !user.totp_confirmed {
        return Err(Problem::in_use("no authenticator app is in use"));
    }
    take_code(&call, &user).await?;
    credentials::remove_totp(&call.app.store, user.id).await?;
    Ok(Value::Null)
}
