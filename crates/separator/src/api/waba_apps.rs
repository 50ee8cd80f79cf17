//! `waba/apps`: Meta apps.

use std::future::ready;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    fields::{self, Fields, Mode},
    meta,
    operation::{Call, Conflicts, Described, Field, Operation, Outcome, Purpose, Shape},
    page::Page,
    problem::Problem,
    rule::Rule,
    rules,
    view::View,
};
use crate::{
    account::{self, login, webhook},
    identifiers::Chance,
    registry::{Registry, WabaApp},
    store::accounts::{self, WabaAppChange},
    translate::message::Language,
};

const PATH: &str = "/api/v1/waba/apps";
const ONE: &str = "/api/v1/waba/apps/{id}";
const TAG: &str = "WABA applications";

/// What problems call it.
const WHAT: &str = "WABA application";

const FIELDS: &[Field] = &[
    Field::id(),
    Field::required(
        "site",
        Shape::Id,
        "The site it answers on. A site has at most one WABA application.",
        "0199f1c2-0000-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::defaulted(
        "name",
        Shape::Text,
        "Name for people; the client id where none is given.",
        "Main app",
    ),
    Field::required(
        "client_id",
        Shape::Text,
        "App ID from the app's dashboard at Meta, digits.",
        "530199836402875",
    ),
    Field::required_secret(
        "client_secret",
        "App secret; it signs Meta's callbacks.",
        "d41d8cd98f00b204e9800998ecf8427e",
    ),
    Field::read(
        "has_client_secret",
        Shape::Boolean,
        "Whether an app secret is stored.",
        "true",
    ),
    Field::secret(
        "access_token",
        "Access token of a system user, for accounts that have none of their own.",
        "EAAGm0PX4ZCpsBAJ",
    ),
    Field::read(
        "has_access_token",
        Shape::Boolean,
        "Whether an access token is stored.",
        "true",
    ),
    Field::optional(
        "config_id",
        Shape::Text,
        "Facebook Login for Business configuration, digits.",
        "1234567890",
    ),
    Field::defaulted(
        "events",
        Shape::Boolean,
        "Whether every callback is kept under /events, for debugging.",
        "false",
    ),
    Field::nullable(
        "token",
        Shape::Object("TokenHealth"),
        "How its access token is; null where it has none.",
        "",
    ),
    Field::read(
        "redirect_url",
        Shape::Address,
        "Address to be entered at Meta among the Valid OAuth Redirect URIs, for the login at Facebook.",
        "https://separator.example.com/waba/callback/",
    ),
    Field::read(
        "verify_token",
        Shape::Text,
        "Verify token to be entered at Meta together with the callback address.",
        "q0t2mQnO9ZJcVb0x3LrWg7eKfYhU5sTa",
    ),
    Field::read(
        "callback_url",
        Shape::Address,
        "Callback address to be entered at Meta.",
        "https://separator.example.com/api/waba/?app_id=530199836402875",
    ),
    Field::created_at(),
];

pub(super) const OBJECTS: &[Described] = &[Described {
    name: "WabaApp",
    purpose: Purpose::Resource,
    description: "A Meta app with the WhatsApp product.",
    fields: FIELDS,
}];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "List WABA applications",
        ..Operation::list(PATH, TAG, "WabaApp", Rule::Users, |call| {
            Box::pin(ready(list(&call)))
        })
    },
    Operation {
        summary: "Enter a WABA application",
        description: "The answer shows the verify token and the callback address to be entered at Meta.",
        ..Operation::create(PATH, TAG, "NewWabaApp", "WabaApp", Rule::Users, |call| {
            Box::pin(create(call))
        })
    },
    Operation {
        summary: "Show a WABA application",
        ..Operation::get(ONE, TAG, "WabaApp", Rule::Users, |call| {
            Box::pin(ready(get(&call)))
        })
    },
    Operation {
        summary: "Change a WABA application",
        ..Operation::change(ONE, TAG, "WabaAppChange", "WabaApp", Rule::Users, |call| {
            Box::pin(change(call))
        })
    },
    Operation {
        summary: "Remove a WABA application",
        description: "Refused while it has accounts.",
        ..Operation::delete(ONE, TAG, Rule::Users, |call| Box::pin(delete(call)))
    },
];

fn show(app: &WabaApp, registry: &Registry, language: Language) -> Value {
    let site = registry.sites.get(&app.site_id);
    json!({
        "id": app.id,
        "site": app.site_id,
        "name": app.name,
        "client_id": app.client_id,
        "has_client_secret": !app.client_secret.is_empty(),
        "has_access_token": app.access_token.is_some(),
        "config_id": app.config_id,
        "events": app.events,
        "token": meta::token_of_app(app, registry, language),
        "redirect_url": site.map(login::redirect_uri).unwrap_or_default(),
        "verify_token": app.verify_token,
        "callback_url": site.map(|site| webhook::callback_url(site, app)).unwrap_or_default(),
        "created_at": app.created_at,
    })
}

fn read(fields: &mut Fields) -> WabaAppChange {
    WabaAppChange {
        site_id: fields.required("site", fields::id),
        name: fields.required_unless_new("name", rules::text(80)),
        client_id: fields.required("client_id", rules::digits),
        client_secret: fields.required("client_secret", rules::secret),
        access_token: fields.optional("access_token", rules::secret),
        config_id: fields.optional("config_id", rules::digits),
        events: fields.with_default("events", false, rules::boolean),
    }
}

/// What is set up already and stands against the change.
fn conflicts(registry: &View, change: &WabaAppChange, own: Option<Uuid>) -> Conflicts {
    let mut conflicts = Conflicts::new();
    if let Some(site) = change.site_id {
        let holder = registry
            .whole()
            .waba_apps
            .values()
            .find(|app| app.site_id == site && Some(app.id) != own);
        if !registry.sites.contains_key(&site) {
            conflicts.push(("site", "does not exist".to_owned()));
        } else if let Some(holder) = holder {
            conflicts.push((
                "site",
                format!("already has the WABA application \"{}\"", holder.name),
            ));
        }
    }
    let twin = change.client_id.as_ref().and_then(|client_id| {
        registry
            .whole()
            .waba_apps
            .values()
            .find(|app| app.client_id == *client_id && Some(app.id) != own)
    });
    if let Some(twin) = twin {
        let message = if registry.waba_apps.contains_key(&twin.id) {
            format!("is already entered as application \"{}\"", twin.name)
        } else {
            "is already entered by another user".to_owned()
        };
        conflicts.push(("client_id", message));
    }
    conflicts
}

fn one(registry: &Registry, id: Uuid, language: Language) -> Outcome {
    registry
        .waba_apps
        .get(&id)
        .map(|app| show(app, registry, language))
        .ok_or_else(|| Problem::unknown(WHAT))
}

fn list(call: &Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    query.finish()?;
    let registry = call.registry();
    Ok(page.of_all(
        registry.waba_apps.values(),
        |app| app.id,
        |app| show(app, &registry, call.client.language),
    ))
}

fn get(call: &Call) -> Outcome {
    one(&call.registry(), call.id(WHAT)?, call.client.language)
}

async fn create(call: Call) -> Outcome {
    let mut fields = call.fields(FIELDS, Mode::Create)?;
    let change = read(&mut fields);
    fields.add(conflicts(&call.registry(), &change, None));
    let (Some(site_id), Some(client_id), Some(client_secret)) =
        (change.site_id, &change.client_id, &change.client_secret)
    else {
        return Err(fields.incomplete());
    };
    fields.finish()?;
    let app = WabaApp {
        id: call.app.ids.next(),
        site_id,
        name: change.name.clone().unwrap_or_else(|| client_id.clone()),
        client_id: client_id.clone(),
        client_secret: client_secret.clone(),
        access_token: change.access_token.clone().flatten(),
        config_id: change.config_id.clone().flatten(),
        events: change.events.unwrap_or(false),
        // 32 of the token's 43 characters: 192 random bits.
        verify_token: Chance::System.token().chars().take(32).collect(),
        created_at: call.app.clock.now(),
    };
    if let Err(error) = accounts::insert_waba_app(&call.app.store, &call.app.sealer, &app).await {
        return Err(call
            .refused(error, |registry| conflicts(registry, &change, None))
            .await);
    }
    one(&*call.changed().await?, app.id, call.client.language)
}

async fn change(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let registry = call.registry();
    one(&registry, id, call.client.language)?;
    let mut fields = call.fields(FIELDS, Mode::Change)?;
    let change = read(&mut fields);
    fields.add(conflicts(&registry, &change, Some(id)));
    fields.finish()?;
    if let Err(error) =
        accounts::change_waba_app(&call.app.store, &call.app.sealer, id, &change).await
    {
        return Err(call
            .refused(error, |registry| conflicts(registry, &change, Some(id)))
            .await);
    }
    call.changed().await?;
    if change.access_token.is_some() || change.client_secret.is_some() {
        account::token_changed(&call.app, id).await?;
        account::resume_all(&call.app, id).await?;
    }
    one(&call.registry(), id, call.client.language)
}

async fn delete(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let registry = call.registry();
    if let Some(account) = registry
        .accounts
        .values()
        .find(|account| account.app_id == id)
    {
        return Err(Problem::in_use(format!(
            "the WhatsApp Business account {} belongs to this application; remove it first",
            account.waba_id
        )));
    }
    if !accounts::delete_waba_app(&call.app.store, id).await? {
        return Err(Problem::unknown(WHAT));
    }
    account::token_changed(&call.app, id).await?;
    call.changed().await?;
    Ok(Value::Null)
}
