//! `session`: signing in and out, and who one is.

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    caller::{By, Caller},
    fields::Mode,
    operation::{Call, Described, Field, Operation, Outcome, Purpose, Shape},
    problem::{FieldError, Problem},
    rule::Rule,
    rules,
};
use crate::{
    identifiers::Chance,
    store::{sessions, users},
    users::{
        UserError, device,
        frame::Person,
        session,
        sign_in::{self, Chosen, Origin, Refusal, SignedIn},
    },
};

const PATH: &str = "/api/v1/session";
const TAG: &str = "Session";

/// The words of the API for roles.
pub(super) const ROLES: &[&str] = &["administrator", "integrator"];

const FIELDS: &[Field] = &[
    Field::read(
        "kind",
        Shape::OneOf(&["user", "portal"]),
        "Whether it is a user of Separator, or somebody inside a portal.",
        "user",
    ),
    Field::nullable("user", Shape::Object("SessionUser"), "The user.", ""),
    Field::nullable(
        "portal",
        Shape::Object("SessionPortal"),
        "The person inside a portal.",
        "",
    ),
    Field::read(
        "sandbox",
        Shape::Boolean,
        "Whether stand-ins take the place of Meta and Bitrix24.",
        "false",
    ),
    Field::read("version", Shape::Text, "Version of Separator.", "0.1.0"),
];

const USER_FIELDS: &[Field] = &[
    Field::id(),
    Field::read("email", Shape::Text, "E-mail address.", "anna@example.com"),
    Field::read("name", Shape::Text, "Name; may be empty.", "Anna"),
    Field::read("role", Shape::OneOf(ROLES), "Role.", "administrator"),
    Field::nullable(
        "language",
        Shape::Text,
        "Language code; null: the browser's language.",
        "en",
    ),
    Field::read(
        "totp",
        Shape::Boolean,
        "Whether signing in needs a code of an authenticator app.",
        "false",
    ),
];

const PORTAL_FIELDS: &[Field] = &[
    Field::read(
        "instance",
        Shape::Id,
        "The installation through which the page was opened.",
        "0199f1c2-5555-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::read(
        "domain",
        Shape::Text,
        "Host of the portal.",
        "acme.bitrix24.com",
    ),
    Field::read("user_id", Shape::Text, "The person's user id there.", "1"),
    Field::read("name", Shape::Text, "The person's name there.", "Anna"),
    Field::read(
        "administrator",
        Shape::Boolean,
        "Whether Bitrix24 says that the person is an administrator of the portal.",
        "true",
    ),
    Field::read("language", Shape::Text, "Language code.", "en"),
];

const SIGN_IN_FIELDS: &[Field] = &[
    Field::required("email", Shape::Text, "E-mail address.", "anna@example.com"),
    Field::required_secret("password", "Password.", "correct horse battery staple"),
    Field::optional(
        "code",
        Shape::Text,
        "Code of the authenticator app, for users who have one.",
        "287082",
    ),
];

const LINK_FIELDS: &[Field] = &[
    Field::required_secret(
        "token",
        "What stands behind the # of the link.",
        "q0t2mQnO9ZJcVb0x3LrWg7eKfYhU5sTa",
    ),
    Field::secret(
        "password",
        "The password that is chosen, 8 to 1024 characters. Links that sign in at once need none.",
        "correct horse battery staple",
    ),
    Field::optional(
        "email",
        Shape::Text,
        "E-mail address, where the link makes the first administrator.",
        "anna@example.com",
    ),
    Field::optional(
        "code",
        Shape::Text,
        "Code of the authenticator app, for users who have one.",
        "287082",
    ),
];

const PROFILE_FIELDS: &[Field] = &[
    Field::defaulted("name", Shape::Text, "Name; may be empty.", "Anna"),
    Field::optional(
        "language",
        Shape::Text,
        "Language code; null: the browser's language.",
        "en",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "Session",
        purpose: Purpose::Shown,
        description: "Who is asking.",
        fields: FIELDS,
    },
    Described {
        name: "SessionUser",
        purpose: Purpose::Shown,
        description: "A user who is signed in.",
        fields: USER_FIELDS,
    },
    Described {
        name: "SessionPortal",
        purpose: Purpose::Shown,
        description: "Somebody inside a portal.",
        fields: PORTAL_FIELDS,
    },
    Described {
        name: "SignIn",
        purpose: Purpose::Sent,
        description: "What one signs in with.",
        fields: SIGN_IN_FIELDS,
    },
    Described {
        name: "LinkUse",
        purpose: Purpose::Sent,
        description: "A one-time link and what is chosen with it.",
        fields: LINK_FIELDS,
    },
    Described {
        name: "Profile",
        purpose: Purpose::Sent,
        description: "What one may change about oneself.",
        fields: PROFILE_FIELDS,
    },
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "Show who is asking",
        ..Operation::get(PATH, TAG, "Session", Rule::Known, |call| {
            Box::pin(get(call))
        })
    },
    Operation {
        summary: "Sign in",
        description: "The answer sets a cookie. A problem of the type totp_required asks for the code as well; one of \
                      the type locked says after how many seconds the next try is taken (retry_after).",
        location: None,
        refusals: &[429],
        ..Operation::create(PATH, TAG, "SignIn", "Session", Rule::Anybody, |call| {
            Box::pin(create(call))
        })
    },
    Operation {
        summary: "Change one's name or language",
        ..Operation::change(PATH, TAG, "Profile", "Session", Rule::Users, |call| {
            Box::pin(change(call))
        })
    },
    Operation {
        summary: "Sign out",
        ..Operation::delete(PATH, TAG, Rule::Browsers, |call| Box::pin(delete(call)))
    },
    Operation {
        summary: "Sign in with a one-time link",
        description: "Used up by it. What is missing is named in errors: password, and email where the link makes the \
                      first administrator; a link that signs in at once needs the token alone.",
        location: None,
        refusals: &[410, 429],
        ..Operation::create(
            "/api/v1/session/link",
            TAG,
            "LinkUse",
            "Session",
            Rule::Anybody,
            |call| Box::pin(link(call)),
        )
    },
];

async fn show_user(call: &Call, id: Uuid) -> Outcome {
    let user = users::user(&call.app.store, id)
        .await?
        .ok_or_else(|| Problem::unknown("user"))?;
    let shown = json!({
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": role_word(&user.role),
        "language": user.language,
        "totp": user.totp,
    });
    Ok(show(call, "user", &shown, &Value::Null))
}

fn show_person(call: &Call, person: &Person) -> Value {
    let registry = call.registry();
    let instance = registry.instances.get(&person.instance);
    let shown = json!({
        "instance": person.instance,
        "domain": instance.map(|instance| &instance.domain),
        "user_id": person.user_id.to_string(),
        "name": person.name,
        "administrator": person.administrator,
        "language": person.language,
    });
    show(call, "portal", &Value::Null, &shown)
}

fn show(call: &Call, kind: &str, user: &Value, portal: &Value) -> Value {
    json!({
        "kind": kind,
        "user": user,
        "portal": portal,
        "sandbox": call.app.settings.sandbox.is_some(),
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// A stored role in the API's words.
pub(super) fn role_word(stored: &str) -> &'static str {
    if stored == "admin" {
        "administrator"
    } else {
        "integrator"
    }
}

async fn get(call: Call) -> Outcome {
    match &call.caller {
        Caller::User(user) => show_user(&call, user.id).await,
        Caller::Portal(person) => Ok(show_person(&call, person)),
        Caller::Nobody => Err(Problem::unauthorized("nobody is signed in", false)),
    }
}

/// Sets the cookies of somebody who has signed in, and shows who it is.
async fn signed_in(call: &Call, done: SignedIn) -> Outcome {
    call.cookies.set(session::set_cookie(&done.token));
    call.cookies.set(device::set_cookie(
        &call.app.sealer,
        &Chance::System,
        done.user_id,
    ));
    show_user(call, done.user_id).await
}

fn origin(call: &Call) -> Origin {
    Origin {
        address: call.client.address,
        browser: call.client.browser.clone(),
        device: call.client.device.clone(),
    }
}

/// The problem that a refusal is.
pub(super) fn refused(refusal: Refusal) -> Problem {
    let text = refusal.to_string();
    match refusal {
        Refusal::Locked(wait) => Problem::later(text, wait).of_kind("locked"),
        Refusal::Wrong => Problem::unauthorized(&text, false),
        Refusal::CodeNeeded => Problem::unauthorized(&text, false).of_kind("totp_required"),
        Refusal::WrongCode => {
            Problem::field("code", "is wrong or was used already; take the next one")
                .of_kind("totp_required")
        }
        Refusal::DeadLink => Problem::new(StatusCode::GONE, text),
        Refusal::PasswordNeeded { email } => {
            let needed = |field: &str| FieldError {
                field: field.to_owned(),
                message: "is required".to_owned(),
            };
            let fields: &[&str] = if email {
                &["email", "password"]
            } else {
                &["password"]
            };
            Problem::fields(fields.iter().map(|field| needed(field)).collect())
        }
        Refusal::User(error) => match error {
            UserError::Store(error) => error.into(),
            UserError::NotAnEmail(_) => Problem::field("email", "must be an e-mail address"),
            UserError::Password => Problem::field("password", "must have 8 to 1024 characters"),
            error @ UserError::Busy => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
            error => Problem::new(StatusCode::CONFLICT, error.to_string()),
        },
    }
}

async fn create(call: Call) -> Outcome {
    let mut fields = call.fields(SIGN_IN_FIELDS, Mode::Create)?;
    let email = fields.required("email", rules::text(254));
    let password = fields.required("password", rules::password);
    let code = fields.optional("code", rules::text(16)).flatten();
    let (Some(email), Some(password)) = (email, password) else {
        return Err(fields.incomplete());
    };
    fields.finish()?;
    let done = sign_in::with_password(&call.app, &origin(&call), &email, password, code.as_deref())
        .await
        .map_err(refused)?;
    signed_in(&call, done).await
}

async fn link(call: Call) -> Outcome {
    let mut fields = call.fields(LINK_FIELDS, Mode::Create)?;
    let token = fields.required("token", rules::secret);
    let chosen = Chosen {
        password: fields.optional("password", rules::password).flatten(),
        email: fields.optional("email", rules::text(254)).flatten(),
        code: fields.optional("code", rules::text(16)).flatten(),
    };
    let Some(token) = token else {
        return Err(fields.incomplete());
    };
    fields.finish()?;
    let done = sign_in::with_link(&call.app, &origin(&call), &token, chosen)
        .await
        .map_err(refused)?;
    signed_in(&call, done).await
}

async fn change(call: Call) -> Outcome {
    let mut fields = call.fields(PROFILE_FIELDS, Mode::Change)?;
    let name = fields.with_default("name", String::new(), rules::name);
    let language = fields.optional("language", rules::language);
    fields.finish()?;
    if let Some(user) = call.caller.user() {
        users::change_profile(&call.app.store, user.id, name, language).await?;
    }
    get(call).await
}

async fn delete(call: Call) -> Outcome {
    if let Some(user) = call.caller.user()
        && let By::Session(id) = user.by
    {
        sessions::delete(&call.app.store, user.id, id).await?;
    }
    call.cookies.set(session::forget_cookie());
    Ok(Value::Null)
}
