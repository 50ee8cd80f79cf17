//! `users`: who may sign in.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    fields::Mode,
    operation::{Call, Described, Field, Operation, Outcome, Purpose, Shape},
    page::Page,
    problem::Problem,
    rule::Rule,
    rules,
    session::{ROLES, role_word},
};
use crate::{
    identifiers::Chance,
    store::{
        self,
        users::{self, NewUser, User, UserChange, UserOutcome},
    },
    users::{Role, links, password},
};

const PATH: &str = "/api/v1/users";
const ONE: &str = "/api/v1/users/{id}";
const TAG: &str = "Users";

/// What problems call it.
const WHAT: &str = "user";

const FIELDS: &[Field] = &[
    Field::id(),
    Field::required("email", Shape::Text, "E-mail address.", "anna@example.com"),
    Field::defaulted("name", Shape::Text, "Name; may be empty.", "Anna"),
    Field::defaulted(
        "role",
        Shape::OneOf(ROLES),
        "administrator: everything. integrator: the own sites and what hangs from them.",
        "integrator",
    ),
    Field::optional(
        "language",
        Shape::Text,
        "Language code; null: the browser's language.",
        "en",
    ),
    Field::defaulted(
        "disabled",
        Shape::Boolean,
        "Whether the user may not sign in; keys do not work either.",
        "false",
    ),
    Field::secret(
        "password",
        "Password, 8 to 1024 characters. Without one the user chooses it with a link.",
        "correct horse battery staple",
    ),
    Field::read(
        "has_password",
        Shape::Boolean,
        "Whether a password was chosen.",
        "true",
    ),
    Field::defaulted(
        "totp",
        Shape::Boolean,
        "Whether signing in needs a code of an authenticator app. Only false can be set: for somebody who lost it.",
        "false",
    ),
    Field::created_at(),
];

const LINK_FIELDS: &[Field] = &[Field::read(
    "link",
    Shape::Address,
    "Where the user chooses a password, once, within 24 hours. Shown this once.",
    "https://separator.example.com/link#q0t2mQnO9ZJcVb0x3LrWg7eKfYhU5sTa",
)];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "User",
        purpose: Purpose::Resource,
        description: "Somebody who may sign in.",
        fields: FIELDS,
    },
    Described {
        name: "SignInLink",
        purpose: Purpose::Shown,
        description: "A one-time link.",
        fields: LINK_FIELDS,
    },
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "List users",
        ..Operation::list(PATH, TAG, "User", Rule::Administrators, |call| {
            Box::pin(list(call))
        })
    },
    Operation {
        summary: "Enter a user",
        ..Operation::create(PATH, TAG, "NewUser", "User", Rule::Administrators, |call| {
            Box::pin(create(call))
        })
    },
    Operation {
        summary: "Show a user",
        ..Operation::get(ONE, TAG, "User", Rule::Administrators, |call| {
            Box::pin(get(call))
        })
    },
    Operation {
        summary: "Change a user",
        description: "Refused where no administrator would be left who may sign in.",
        ..Operation::change(
            ONE,
            TAG,
            "UserChange",
            "User",
            Rule::Administrators,
            |call| Box::pin(change(call)),
        )
    },
    Operation {
        summary: "Remove a user",
        description: "The user's keys go too, also those in callback addresses. Refused while the user owns sites, and \
                      where no administrator would be left.",
        ..Operation::delete(ONE, TAG, Rule::Administrators, |call| {
            Box::pin(delete(call))
        })
    },
    Operation {
        summary: "Make a one-time link for a user",
        description: "With it the user chooses a password, which ends the user's sessions. Earlier links of the user \
                      open nothing any more.",
        secret_answer: true,
        ..Operation::act(
            "/api/v1/users/{id}/link",
            TAG,
            "SignInLink",
            Rule::Administrators,
            |call| Box::pin(link(call)),
        )
    },
];

fn show(user: &User) -> Value {
    json!({
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": role_word(&user.role),
        "language": user.language,
        "disabled": user.disabled,
        "has_password": user.has_password,
        "totp": user.totp,
        "created_at": user.created_at,
    })
}

async fn one(call: &Call, id: Uuid) -> Outcome {
    users::user(&call.app.store, id)
        .await?
        .as_ref()
        .map(show)
        .ok_or_else(|| Problem::unknown(WHAT))
}

async fn list(call: Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    query.finish()?;
    let all = users::all(&call.app.store).await?;
    Ok(page.of_all(all.iter(), |user| user.id, show))
}

async fn get(call: Call) -> Outcome {
    one(&call, call.id(WHAT)?).await
}

/// A role in the API's words.
fn role(value: &Value) -> Result<Role, String> {
    Ok(match rules::choice(ROLES)(value)?.as_str() {
        "administrator" => Role::Admin,
        _ => Role::Integrator,
    })
}

/// The refusal where an address is somebody's already.
fn refused(error: store::Error) -> Problem {
    if error.is_duplicate() {
        Problem::field("email", "is already the address of another user")
    } else {
        error.into()
    }
}

async fn create(call: Call) -> Outcome {
    let mut fields = call.fields(FIELDS, Mode::Create)?;
    let email = fields.required("email", rules::email);
    let name = fields.with_default("name", String::new(), rules::name);
    let role = fields.with_default("role", Role::Integrator, role);
    let language = fields.optional("language", rules::language).flatten();
    let password = fields.optional("password", rules::password).flatten();
    for name in ["disabled", "totp"] {
        if fields.with_default(name, false, rules::boolean) == Some(true) {
            fields.error(name, "cannot be true for a new user");
        }
    }
    let Some(email) = email else {
        return Err(fields.incomplete());
    };
    fields.finish()?;
    let password = match password {
        Some(password) => Some(
            password::hash(password, Chance::System.bytes())
                .await
                .map_err(|error| super::session::refused(error.into()))?,
        ),
        None => None,
    };
    let user = NewUser {
        id: call.app.ids.next(),
        email: &email,
        name: &name.unwrap_or_default(),
        language: language.as_deref(),
        password: password.as_deref(),
        role: role.unwrap_or(Role::Integrator).as_str(),
        created_at: call.app.clock.now(),
    };
    users::insert_user(&call.app.store, &user, None)
        .await
        .map_err(refused)?;
    one(&call, user.id).await
}

async fn change(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    one(&call, id).await?;
    let mut fields = call.fields(FIELDS, Mode::Change)?;
    let change = UserChange {
        email: fields.required("email", rules::email),
        name: fields.with_default("name", String::new(), rules::name),
        role: fields
            .with_default("role", Role::Integrator, role)
            .map(Role::as_str),
        language: fields.optional("language", rules::language),
        disabled: fields.with_default("disabled", false, rules::boolean),
        without_totp: false,
    };
    let totp = fields.with_default("totp", false, rules::boolean);
    if totp == Some(true) {
        fields.error("totp", "is set by the user, with the app's first code");
    }
    if fields.has("password") {
        let _ = fields.optional("password", rules::password);
        fields.error("password", "is chosen by the user; make a link for it");
    }
    fields.finish()?;
    let change = UserChange {
        without_totp: totp == Some(false),
        ..change
    };
    match users::change(&call.app.store, id, change)
        .await
        .map_err(refused)?
    {
        UserOutcome::Done => one(&call, id).await,
        UserOutcome::Unknown => Err(Problem::unknown(WHAT)),
        UserOutcome::LastAdministrator => Err(last_administrator()),
    }
}

fn last_administrator() -> Problem {
    Problem::in_use(
        "this is the last administrator who may sign in; make somebody else an administrator first",
    )
}

async fn delete(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let registry = call.registry();
    if let Some(site) = registry.sites.values().find(|site| site.owner == Some(id)) {
        return Err(Problem::in_use(format!(
            "the user owns the site {}; give it to somebody else first (owner)",
            site.domain
        )));
    }
    match users::delete(&call.app.store, id).await? {
        UserOutcome::Done => Ok(Value::Null),
        UserOutcome::Unknown => Err(Problem::unknown(WHAT)),
        UserOutcome::LastAdministrator => Err(last_administrator()),
    }
}

async fn link(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    call.optional_fields(&[])?.finish()?;
    let user = users::user(&call.app.store, id)
        .await?
        .ok_or_else(|| Problem::unknown(WHAT))?;
    if user.disabled {
        return Err(Problem::in_use(
            "the user may not sign in; change that first (disabled)",
        ));
    }
    let token = links::make(
        &call.app.store,
        &Chance::System,
        call.app.clock.now(),
        id,
        links::Kind::Password,
    )
    .await?;
    // The way by which the administrator came leads here for the user, too.
    let scheme = if crate::registry::is_loopback(&call.client.host) {
        "http"
    } else {
        "https"
    };
    let base = format!("{scheme}://{}", call.client.host);
    Ok(json!({ "link": links::address(&base, &token) }))
}
