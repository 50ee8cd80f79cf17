//! `waba/accounts`: WhatsApp Business accounts.

use std::future::ready;

use axum::http::StatusCode;
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
    account::{self, SyncError},
    registry::{Account, Part, Registry},
    store::accounts::{self, AccountChange},
    translate::message::Language,
};

const PATH: &str = "/api/v1/waba/accounts";
const ONE: &str = "/api/v1/waba/accounts/{id}";
const TAG: &str = "WhatsApp Business accounts";

/// What problems call it.
const WHAT: &str = "WhatsApp Business account";

const FIELDS: &[Field] = &[
    Field::id(),
    Field::required(
        "app",
        Shape::Id,
        "The WABA application through which it is reached.",
        "0199f1c2-1111-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::required(
        "waba_id",
        Shape::Text,
        "Meta's id of the account, digits.",
        "102290129340398",
    ),
    Field::secret(
        "access_token",
        "Access token of its own; the application's where there is none.",
        "EAAGm0PX4ZCpsBAJ",
    ),
    Field::read(
        "has_access_token",
        Shape::Boolean,
        "Whether it has an access token of its own.",
        "false",
    ),
    Field::defaulted(
        "name",
        Shape::Text,
        "Name for people; empty until sync finds the verified name, where none is given.",
        "Acme",
    ),
    Field::read(
        "subscribed",
        Shape::Boolean,
        "Whether the application is subscribed to its callbacks, as of the last sync.",
        "true",
    ),
    Field::nullable(
        "token",
        Shape::Object("TokenHealth"),
        "How the access token is with which it is reached, its own or the application's; null where there is none.",
        "",
    ),
    Field::nullable(
        "review",
        Shape::Text,
        "Meta's review of it: APPROVED, PENDING, REJECTED …; null until Meta was asked.",
        "APPROVED",
    ),
    Field::nullable(
        "notice",
        Shape::Text,
        "What Meta told that restricts it or cuts it off; null while all is well.",
        "",
    ),
    Field::nullable("notice_at", Shape::Time, "When Meta told it.", ""),
    Field::nullable(
        "synced_at",
        Shape::Time,
        "When its numbers and templates were fetched.",
        "",
    ),
    Field::nullable(
        "problem",
        Shape::Object("Trouble"),
        "What stood in the way when they were fetched the last time.",
        "",
    ),
    Field::created_at(),
];

const SYNC_FIELDS: &[Field] = &[
    Field::read(
        "phones",
        Shape::Whole,
        "Numbers that Meta lists for the account.",
        "2",
    ),
    Field::read(
        "added",
        Shape::Whole,
        "How many of them were not entered here before and are now.",
        "1",
    ),
    Field::read(
        "subscribed",
        Shape::Boolean,
        "Whether the application is subscribed to the account's callbacks.",
        "true",
    ),
    Field::read(
        "templates",
        Shape::Whole,
        "Templates that the account has.",
        "12",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "Account",
        purpose: Purpose::Resource,
        description: "A WhatsApp Business account (WABA).",
        fields: FIELDS,
    },
    Described {
        name: "Sync",
        purpose: Purpose::Shown,
        description: "What was learned from Meta.",
        fields: SYNC_FIELDS,
    },
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "List WhatsApp Business accounts",
        ..Operation::list(PATH, TAG, "Account", Rule::Users, |call| {
            Box::pin(ready(list(&call)))
        })
    },
    Operation {
        summary: "Enter a WhatsApp Business account",
        description: "Nothing is sent to Meta yet; sync does that.",
        ..Operation::create(PATH, TAG, "NewAccount", "Account", Rule::Users, |call| {
            Box::pin(create(call))
        })
    },
    Operation {
        summary: "Show a WhatsApp Business account",
        ..Operation::get(ONE, TAG, "Account", Rule::Users, |call| {
            Box::pin(ready(get(&call)))
        })
    },
    Operation {
        summary: "Change a WhatsApp Business account",
        ..Operation::change(ONE, TAG, "AccountChange", "Account", Rule::Users, |call| {
            Box::pin(change(call))
        })
    },
    Operation {
        summary: "Remove a WhatsApp Business account",
        description: "Refused while it has numbers.",
        ..Operation::delete(ONE, TAG, Rule::Users, |call| Box::pin(delete(call)))
    },
    Operation {
        summary: "Sync with Meta",
        description: "Subscribes the application to the account's callbacks and asks for the account's numbers and \
                      templates.",
        refusals: &[502],
        ..Operation::act(
            "/api/v1/waba/accounts/{id}/sync",
            TAG,
            "Sync",
            Rule::Users,
            |call| Box::pin(sync(call)),
        )
    },
];

fn show(account: &Account, registry: &Registry, language: Language) -> Value {
    let facts = registry.meta.accounts.get(&account.id);
    json!({
        "id": account.id,
        "app": account.app_id,
        "waba_id": account.waba_id,
        "has_access_token": account.access_token.is_some(),
        "name": account.name,
        "subscribed": account.subscribed,
        "token": meta::token_of_account(account, registry, language),
        "review": facts.and_then(|facts| facts.review.as_ref()),
        "notice": facts.and_then(|facts| facts.notice.as_ref()),
        "notice_at": facts.and_then(|facts| facts.notice.as_ref().and(facts.notice_at)),
        "synced_at": facts.and_then(|facts| facts.synced_at),
        "problem": meta::trouble(facts.and_then(|facts| facts.trouble.as_ref()), language),
        "created_at": account.created_at,
    })
}

fn read(fields: &mut Fields) -> AccountChange {
    AccountChange {
        app_id: fields.required("app", fields::id),
        waba_id: fields.required("waba_id", rules::digits),
        access_token: fields.optional("access_token", rules::secret),
        name: fields.with_default("name", String::new(), rules::text(80)),
        subscribed: None,
    }
}

/// What is set up already and stands against the change.
fn conflicts(registry: &View, change: &AccountChange, own: Option<Uuid>) -> Conflicts {
    let mut conflicts = Conflicts::new();
    if change
        .app_id
        .is_some_and(|app| !registry.waba_apps.contains_key(&app))
    {
        conflicts.push(("app", "does not exist".to_owned()));
    }
    let twin = change.waba_id.as_ref().and_then(|waba_id| {
        registry
            .whole()
            .accounts
            .values()
            .find(|account| account.waba_id == *waba_id && Some(account.id) != own)
    });
    if let Some(twin) = twin {
        let app = registry
            .waba_apps
            .get(&twin.app_id)
            .map_or("", |app| &app.name);
        let message = if registry.accounts.contains_key(&twin.id) {
            format!(
                "is already entered as account {} of application \"{app}\"",
                twin.id
            )
        } else {
            "is already entered by another user".to_owned()
        };
        conflicts.push(("waba_id", message));
    }
    conflicts
}

fn one(registry: &Registry, id: Uuid, language: Language) -> Outcome {
    registry
        .accounts
        .get(&id)
        .map(|account| show(account, registry, language))
        .ok_or_else(|| Problem::unknown(WHAT))
}

fn list(call: &Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    query.finish()?;
    let registry = call.registry();
    Ok(page.of_all(
        registry.accounts.values(),
        |account| account.id,
        |account| show(account, &registry, call.client.language),
    ))
}

fn get(call: &Call) -> Outcome {
    one(&call.registry(), call.id(WHAT)?, call.client.language)
}

async fn create(call: Call) -> Outcome {
    let mut fields = call.fields(FIELDS, Mode::Create)?;
    let change = read(&mut fields);
    fields.add(conflicts(&call.registry(), &change, None));
    let (Some(app_id), Some(waba_id)) = (change.app_id, &change.waba_id) else {
        return Err(fields.incomplete());
    };
    fields.finish()?;
    let account = Account {
        id: call.app.ids.next(),
        app_id,
        waba_id: waba_id.clone(),
        access_token: change.access_token.clone().flatten(),
        name: change.name.clone().unwrap_or_default(),
        subscribed: false,
        created_at: call.app.clock.now(),
    };
    if let Err(error) = accounts::insert_account(&call.app.store, &call.app.sealer, &account).await
    {
        return Err(call
            .refused(error, |registry| conflicts(registry, &change, None))
            .await);
    }
    let turn = call.app.intake.turn().await;
    call.changed_part(Part::Account(account.id)).await?;
    // What it sent before is kept and goes on now.
    crate::intake::account_entered(&call.app, waba_id).await?;
    drop(turn);
    one(&call.registry(), account.id, call.client.language)
}

async fn change(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let registry = call.registry();
    let Some(before) = registry.accounts.get(&id) else {
        return Err(Problem::unknown(WHAT));
    };
    let mut fields = call.fields(FIELDS, Mode::Change)?;
    let mut change = read(&mut fields);
    fields.add(conflicts(&registry, &change, Some(id)));
    fields.finish()?;
    let other_app = change.app_id.is_some_and(|app| app != before.app_id);
    let other_account = change
        .waba_id
        .as_ref()
        .is_some_and(|waba_id| *waba_id != before.waba_id);
    if other_app || other_account {
        // What was subscribed was that app to that account.
        change.subscribed = Some(false);
    }
    if let Err(error) =
        accounts::change_account(&call.app.store, &call.app.sealer, id, &change).await
    {
        return Err(call
            .refused(error, |registry| conflicts(registry, &change, Some(id)))
            .await);
    }
    call.changed().await?;
    if change.access_token.is_some() || other_app {
        account::token_changed(&call.app, id).await?;
        account::resume_all(&call.app, id).await?;
    }
    if other_app || other_account {
        account::look_again(&call.app, id).await?;
    }
    one(&call.registry(), id, call.client.language)
}

async fn delete(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let registry = call.registry();
    if let Some(phone) = registry
        .phones
        .values()
        .find(|phone| phone.account_id == id)
    {
        return Err(Problem::in_use(format!(
            "the number {} belongs to this account; remove it first",
            phone.phone
        )));
    }
    if !accounts::delete_account(&call.app.store, id).await? {
        return Err(Problem::unknown(WHAT));
    }
    account::token_changed(&call.app, id).await?;
    call.changed().await?;
    Ok(Value::Null)
}

async fn sync(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    one(&call.registry(), id, call.client.language)?;
    call.optional_fields(&[])?.finish()?;
    let synced = account::sync(&call.app, id)
        .await
        .map_err(|error| match error {
            SyncError::UnknownAccount => Problem::unknown(WHAT),
            SyncError::NoToken => {
                Problem::field("access_token", "is needed, here or in the application")
            }
            SyncError::Store(error) => error.into(),
            error @ SyncError::Meta { .. } => {
                Problem::new(StatusCode::BAD_GATEWAY, error.to_string())
            }
        })?;
    call.changed().await?;
    Ok(
        json!({ "phones": synced.phones, "added": synced.added, "subscribed": synced.subscribed, "templates": synced.templates }),
    )
}
