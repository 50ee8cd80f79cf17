//! `bitrix/apps`: Bitrix24 applications.

use std::future::ready;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    fields::{self, Fields, Mode},
    operation::{Call, Conflicts, Described, Field, Operation, Outcome, Purpose, Shape},
    page::Page,
    problem::Problem,
    rule::Rule,
    rules,
    view::View,
};
use crate::{
    registry::{BitrixApp, Registry, Site},
    store::portals::{self, BitrixAppChange},
};

const PATH: &str = "/api/v1/bitrix/apps";
const ONE: &str = "/api/v1/bitrix/apps/{id}";
const TAG: &str = "Bitrix24 applications";

/// What problems call it.
const WHAT: &str = "Bitrix24 application";

const FIELDS: &[Field] = &[
    Field::id(),
    Field::required(
        "site",
        Shape::Id,
        "The site it answers on.",
        "0199f1c2-0000-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::defaulted(
        "name",
        Shape::Text,
        "Name for people; the client id where none is given.",
        "Separator for Acme",
    ),
    Field::required(
        "client_id",
        Shape::Text,
        "client_id, as Bitrix24 shows it for the application.",
        "local.5d9a7b1b6a1a55.12345678",
    ),
    Field::required_secret(
        "client_secret",
        "client_secret of the application.",
        "qGOyMcTgp7kDcLlU",
    ),
    Field::read(
        "has_client_secret",
        Shape::Boolean,
        "Whether a client_secret is stored.",
        "true",
    ),
    Field::read(
        "handler_url",
        Shape::Address,
        "\"Your handler path\" of the application in Bitrix24.",
        "https://separator.example.com/api/bitrix/?app-id=local.5d9a7b1b6a1a55.12345678",
    ),
    Field::read(
        "install_url",
        Shape::Address,
        "\"Initial installation path\" of the application in Bitrix24.",
        "https://separator.example.com/api/bitrix/?app-id=local.5d9a7b1b6a1a55.12345678",
    ),
    Field::created_at(),
];

pub(super) const OBJECTS: &[Described] = &[Described {
    name: "BitrixApp",
    purpose: Purpose::Resource,
    description: "A server application of Bitrix24; installing it on a portal makes an instance.",
    fields: FIELDS,
}];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "List Bitrix24 applications",
        ..Operation::list(PATH, TAG, "BitrixApp", Rule::Users, |call| {
            Box::pin(ready(list(&call)))
        })
    },
    Operation {
        summary: "Enter a Bitrix24 application",
        description: "The answer shows the addresses to be entered in Bitrix24.",
        ..Operation::create(
            PATH,
            TAG,
            "NewBitrixApp",
            "BitrixApp",
            Rule::Users,
            |call| Box::pin(create(call)),
        )
    },
    Operation {
        summary: "Show a Bitrix24 application",
        ..Operation::get(ONE, TAG, "BitrixApp", Rule::Users, |call| {
            Box::pin(ready(get(&call)))
        })
    },
    Operation {
        summary: "Change a Bitrix24 application",
        ..Operation::change(
            ONE,
            TAG,
            "BitrixAppChange",
            "BitrixApp",
            Rule::Users,
            |call| Box::pin(change(call)),
        )
    },
    Operation {
        summary: "Remove a Bitrix24 application",
        description: "Refused while it has instances.",
        ..Operation::delete(ONE, TAG, Rule::Users, |call| Box::pin(delete(call)))
    },
];

fn show(app: &BitrixApp, registry: &Registry) -> Value {
    let base = registry
        .sites
        .get(&app.site_id)
        .map(Site::base_url)
        .unwrap_or_default();
    let url = format!("{base}/api/bitrix/?app-id={}", app.client_id);
    json!({
        "id": app.id,
        "site": app.site_id,
        "name": app.name,
        "client_id": app.client_id,
        "has_client_secret": app.client_secret.is_some(),
        "handler_url": url,
        "install_url": url,
        "created_at": app.created_at,
    })
}

fn read(fields: &mut Fields) -> BitrixAppChange {
    BitrixAppChange {
        site_id: fields.required("site", fields::id),
        name: fields.required_unless_new("name", rules::text(80)),
        client_id: fields.required("client_id", rules::client_id),
        client_secret: fields.required("client_secret", rules::secret),
    }
}

/// What is set up already and stands against the change.
fn conflicts(registry: &View, change: &BitrixAppChange, own: Option<Uuid>) -> Conflicts {
    let mut conflicts = Conflicts::new();
    if change
        .site_id
        .is_some_and(|site| !registry.sites.contains_key(&site))
    {
        conflicts.push(("site", "does not exist".to_owned()));
    }
    let twin = change.client_id.as_ref().and_then(|client_id| {
        registry
            .whole()
            .bitrix_apps
            .values()
            .find(|app| app.client_id == *client_id && Some(app.id) != own)
    });
    if let Some(twin) = twin {
        let message = if registry.bitrix_apps.contains_key(&twin.id) {
            format!("is already entered as application \"{}\"", twin.name)
        } else {
            "is already entered by another user".to_owned()
        };
        conflicts.push(("client_id", message));
    }
    conflicts
}

fn one(registry: &Registry, id: Uuid) -> Outcome {
    registry
        .bitrix_apps
        .get(&id)
        .map(|app| show(app, registry))
        .ok_or_else(|| Problem::unknown(WHAT))
}

fn list(call: &Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    query.finish()?;
    let registry = call.registry();
    Ok(page.of_all(
        registry.bitrix_apps.values(),
        |app| app.id,
        |app| show(app, &registry),
    ))
}

fn get(call: &Call) -> Outcome {
    one(&call.registry(), call.id(WHAT)?)
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
    let app = BitrixApp {
        id: call.app.ids.next(),
        site_id,
        name: change.name.clone().unwrap_or_else(|| client_id.clone()),
        client_id: client_id.clone(),
        client_secret: Some(client_secret.clone()),
        created_at: call.app.clock.now(),
    };
    if let Err(error) = portals::insert_bitrix_app(&call.app.store, &call.app.sealer, &app).await {
        return Err(call
            .refused(error, |registry| conflicts(registry, &change, None))
            .await);
    }
    one(&*call.changed().await?, app.id)
}

async fn change(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let registry = call.registry();
    one(&registry, id)?;
    let mut fields = call.fields(FIELDS, Mode::Change)?;
    let change = read(&mut fields);
    fields.add(conflicts(&registry, &change, Some(id)));
    fields.finish()?;
    if let Err(error) =
        portals::change_bitrix_app(&call.app.store, &call.app.sealer, id, &change).await
    {
        return Err(call
            .refused(error, |registry| conflicts(registry, &change, Some(id)))
            .await);
    }
    let registry = call.changed().await?;
    if change.client_secret.is_some() || change.client_id.is_some() {
        // A wrong secret shows at the portal at once, not when its token ends in an hour.
        crate::portal::credentials_changed(&call.app, id).await;
    }
    one(&registry, id)
}

async fn delete(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let registry = call.registry();
    if let Some(instance) = registry
        .instances
        .values()
        .find(|instance| instance.app_id == id)
    {
        return Err(Problem::in_use(format!(
            "the application is installed on {} ({}); uninstall it there and remove the instance first",
            instance.domain,
            instance.state.as_str()
        )));
    }
    if !portals::delete_bitrix_app(&call.app.store, id).await? {
        return Err(Problem::unknown(WHAT));
    }
    call.changed().await?;
    Ok(Value::Null)
}
