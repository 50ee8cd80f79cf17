//! `keys`: API keys.

use serde_json::{Value, json};

use super::{
    fields::{self, Mode},
    operation::{Call, Described, Field, Operation, Outcome, Purpose, Shape},
    page::Page,
    problem::Problem,
    rule::Rule,
    rules,
};
use crate::{
    identifiers::Chance,
    store::{
        keys::{self, Shown},
        users,
    },
    users::{Role, Scope, make_key},
};

const PATH: &str = "/api/v1/keys";
const ONE: &str = "/api/v1/keys/{id}";
const TAG: &str = "API keys";

/// What problems call it.
const WHAT: &str = "key";

const SCOPES: &[&str] = &["manage", "callback"];

const FIELDS: &[Field] = &[
    Field::id(),
    Field::read(
        "user",
        Shape::Id,
        "Whose key it is.",
        "0199f1c2-8888-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::read("name", Shape::Text, "What it is for.", "CRM import"),
    Field::read("scope", Shape::OneOf(SCOPES), "What it opens.", "manage"),
    Field::nullable(
        "key",
        Shape::Text,
        "The key itself; only in the answer that makes it, null ever after.",
        "sep_q0t2mQnO9ZJcVb0x3LrWg7eKfYhU5sTaq0t2mQnO9ZJ",
    ),
    Field::nullable(
        "used_at",
        Shape::Time,
        "When it was last used on the JSON API, to an hour.",
        "2026-11-23T04:47:32.010Z",
    ),
    Field::created_at(),
];

const NEW_FIELDS: &[Field] = &[
    Field::defaulted(
        "user",
        Shape::Id,
        "Whose key it is: the caller's. An administrator may name another user.",
        "0199f1c2-8888-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::required("name", Shape::Text, "What it is for.", "CRM import"),
    Field::required(
        "scope",
        Shape::OneOf(SCOPES),
        "manage: the JSON API. callback: api-key in callback addresses.",
        "manage",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "Key",
        purpose: Purpose::Shown,
        description: "A key for programs.",
        fields: FIELDS,
    },
    Described {
        name: "NewKey",
        purpose: Purpose::Sent,
        description: "A key to be made.",
        fields: NEW_FIELDS,
    },
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "List API keys",
        description: "Integrators see their own.",
        ..Operation::list(PATH, TAG, "Key", Rule::Users, |call| Box::pin(list(call)))
    },
    Operation {
        summary: "Make an API key",
        description: "The answer shows the key, this once; only its hash is stored.",
        location: Some(PATH),
        secret_answer: true,
        ..Operation::create(PATH, TAG, "NewKey", "Key", Rule::Users, |call| {
            Box::pin(create(call))
        })
    },
    Operation {
        summary: "Show an API key",
        ..Operation::get(ONE, TAG, "Key", Rule::Users, |call| Box::pin(get(call)))
    },
    Operation {
        summary: "Remove an API key",
        description: "It opens nothing from then on; as api-key in callback addresses after a minute at most.",
        ..Operation::delete(ONE, TAG, Rule::Users, |call| Box::pin(delete(call)))
    },
];

fn show(key: &Shown) -> Value {
    json!({
        "id": key.id,
        "user": key.user_id,
        "name": key.name,
        "scope": key.scope,
        "key": null,
        "used_at": key.used_at,
        "created_at": key.created_at,
    })
}

/// The keys that the caller may see.
async fn seen(call: &Call) -> Result<Vec<Shown>, Problem> {
    let user = match call.caller.user() {
        Some(user) if user.role == Role::Admin => None,
        Some(user) => Some(user.id),
        None => return Ok(Vec::new()),
    };
    Ok(keys::all(&call.app.store, user).await?)
}

async fn one(call: &Call) -> Result<Shown, Problem> {
    let id = call.id(WHAT)?;
    seen(call)
        .await?
        .into_iter()
        .find(|key| key.id == id)
        .ok_or_else(|| Problem::unknown(WHAT))
}

async fn list(call: Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    query.finish()?;
    let seen = seen(&call).await?;
    Ok(page.of_all(seen.iter(), |key| key.id, show))
}

async fn get(call: Call) -> Outcome {
    one(&call).await.as_ref().map(show).map_err(Clone::clone)
}

async fn create(call: Call) -> Outcome {
    let mut fields = call.fields(NEW_FIELDS, Mode::Create)?;
    let name = fields.required("name", rules::text(80));
    let scope = fields.required("scope", |value| {
        rules::choice(SCOPES)(value)?
            .parse::<Scope>()
            .map_err(|error| error.to_string())
    });
    let named = fields.optional("user", fields::id).flatten();
    let Some(caller) = call.caller.user() else {
        return Err(Problem::unknown("user"));
    };
    let user = named.unwrap_or(caller.id);
    if user != caller.id {
        if caller.role != Role::Admin {
            fields.error("user", "can only be named by an administrator");
        } else if !users::exists(&call.app.store, user).await? {
            fields.error("user", "does not exist");
        }
    }
    let (Some(name), Some(scope)) = (name, scope) else {
        return Err(fields.incomplete());
    };
    fields.finish()?;
    let app = &call.app;
    let (id, key) = make_key(
        &app.store,
        (&app.ids, &Chance::System),
        app.clock.now(),
        user,
        scope,
        &name,
    )
    .await?;
    let made = keys::all(&app.store, Some(user)).await?;
    let mut shown = made
        .iter()
        .find(|key| key.id == id)
        .map(show)
        .ok_or_else(|| Problem::unknown(WHAT))?;
    shown["key"] = key.expose().into();
    Ok(shown)
}

async fn delete(call: Call) -> Outcome {
    let key = one(&call).await?;
    if !keys::delete(&call.app.store, key.id).await? {
        return Err(Problem::unknown(WHAT));
    }
    Ok(Value::Null)
}
