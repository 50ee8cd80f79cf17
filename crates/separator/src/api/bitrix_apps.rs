//! `bitrix/apps`: Bitrix24 applications.

use std::future::ready;

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    caller::{By, User},
    fields::{self, Fields, Mode},
    operation::{Call, Conflicts, Described, Field, Operation, Outcome, Purpose, Shape},
    page::Page,
    problem::Problem,
    rule::Rule,
    rules,
    view::View,
};
use crate::{
    portal::{
        self, InstallError,
        consent::{self, ConsentError, Target},
    },
    registry::{BitrixApp, InstanceState, Registry, Site},
    store::portals::{self, BitrixAppChange},
};

const PATH: &str = "/api/v1/bitrix/apps";
const ONE: &str = "/api/v1/bitrix/apps/{id}";
const AUTHORIZE: &str = "/api/v1/bitrix/apps/{id}/authorize";
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
    Field::optional(
        "client_id",
        Shape::Text,
        "client_id, as Bitrix24 shows it for the application. It may come later: a portal shows it only after the form \
         with our addresses was saved.",
        "local.5d9a7b1b6a1a55.12345678",
    ),
    Field::secret(
        "client_secret",
        "client_secret of the application; it may come later.",
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
        "\"Your handler path\" of an application in Bitrix24 that uses API only.",
        "https://separator.example.com/api/bitrix/?app-id=local.5d9a7b1b6a1a55.12345678",
    ),
    Field::read(
        "install_url",
        Shape::Address,
        "\"Initial installation path\" of an application in Bitrix24 that uses API only.",
        "https://separator.example.com/api/bitrix/?app-id=local.5d9a7b1b6a1a55.12345678",
    ),
    Field::read(
        "page_handler_url",
        Shape::Address,
        "\"Your handler path\" of an application in Bitrix24 with pages.",
        "https://separator.example.com/app-settings/",
    ),
    Field::read(
        "page_install_url",
        Shape::Address,
        "\"Initial installation path\" of an application in Bitrix24 with pages.",
        "https://separator.example.com/app-install/",
    ),
    Field::nullable(
        "tried",
        Shape::List("TriedPortal"),
        "What came of the credentials that were just saved, for each portal; null where none were saved.",
        "",
    ),
    Field::created_at(),
];

const TRIED_FIELDS: &[Field] = &[
    Field::read(
        "domain",
        Shape::Text,
        "Host of the portal.",
        "acme.bitrix24.com",
    ),
    Field::nullable(
        "instance",
        Shape::Id,
        "The instance; null where none could be made.",
        "0199f1c2-5555-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::nullable(
        "problem",
        Shape::Text,
        "What is wrong; null where all is well.",
        "",
    ),
];

const AUTHORIZE_FIELDS: &[Field] = &[
    Field::written(
        "domain",
        Shape::Text,
        "Host of the portal on which the application is to be authorized.",
        "acme.bitrix24.com",
    ),
    Field::written(
        "instance",
        Shape::Id,
        "The instance that is to be authorized again, in place of a domain.",
        "0199f1c2-5555-7a41-9c55-2f0e8b1d6a90",
    ),
];

const ADDRESS_FIELDS: &[Field] = &[Field::read(
    "url",
    Shape::Address,
    "Where the browser is to go. It comes back within ten minutes, in the same session.",
    "https://acme.bitrix24.com/oauth/authorize/?client_id=local.5d9a7b1b6a1a55.12345678&state=…",
)];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "BitrixApp",
        purpose: Purpose::Resource,
        description: "A server application of Bitrix24; installing it on a portal makes an instance.",
        fields: FIELDS,
    },
    Described {
        name: "TriedPortal",
        purpose: Purpose::Shown,
        description: "What came of an application's credentials on a portal.",
        fields: TRIED_FIELDS,
    },
    Described {
        name: "BitrixAuthorization",
        purpose: Purpose::Sent,
        description: "Where an application is to be authorized: a domain or an instance.",
        fields: AUTHORIZE_FIELDS,
    },
    Described {
        name: "AuthorizationAddress",
        purpose: Purpose::Shown,
        description: "The authorization page of a portal.",
        fields: ADDRESS_FIELDS,
    },
];

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
        summary: "Authorize a Bitrix24 application in the browser",
        description: "The second way to an instance, and the way to authorize one again.",
        body: Some("BitrixAuthorization"),
        refusals: &[409],
        ..Operation::act(
            AUTHORIZE,
            TAG,
            "AuthorizationAddress",
            Rule::Browsers,
            |call| Box::pin(authorize(call)),
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
    let url = portal::events_url(&base, app.client_id.as_deref());
    json!({
        "id": app.id,
        "site": app.site_id,
        "name": app.name,
        "client_id": app.client_id,
        "has_client_secret": app.client_secret.is_some(),
        "handler_url": url,
        "install_url": url,
        "page_handler_url": format!("{base}/app-settings/"),
        "page_install_url": format!("{base}/app-install/"),
        "tried": null,
        "created_at": app.created_at,
    })
}

fn read(fields: &mut Fields) -> BitrixAppChange {
    BitrixAppChange {
        site_id: fields.required("site", fields::id),
        name: fields.required_unless_new("name", rules::text(80)),
        client_id: fields.required_unless_new("client_id", rules::client_id),
        client_secret: fields.required_unless_new("client_secret", rules::secret),
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
            .find(|app| app.client_id.as_ref() == Some(client_id) && Some(app.id) != own)
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
    let Some(site_id) = change.site_id else {
        return Err(fields.incomplete());
    };
    fields.finish()?;
    let unnamed = || {
        change
            .client_id
            .clone()
            .unwrap_or_else(|| UNNAMED.to_owned())
    };
    let app = BitrixApp {
        id: call.app.ids.next(),
        site_id,
        name: change.name.clone().unwrap_or_else(unnamed),
        client_id: change.client_id.clone(),
        client_secret: change.client_secret.clone(),
        created_at: call.app.clock.now(),
    };
    if let Err(error) = portals::insert_bitrix_app(&call.app.store, &call.app.sealer, &app).await {
        return Err(call
            .refused(error, |registry| conflicts(registry, &change, None))
            .await);
    }
    call.changed().await?;
    let tried = tried(&call, app.id, &change).await?;
    with_tried(&call, app.id, tried)
}

/// Name of an application that has neither a name nor a client id yet.
const UNNAMED: &str = "Bitrix24";

/// Tries new credentials at once: what was announced for the client id is completed, and every instance is refreshed, so
/// that a wrong secret shows now and not when its token ends in an hour. Gives what came of it, where there were any.
async fn tried(
    call: &Call,
    app: Uuid,
    change: &BitrixAppChange,
) -> Result<Option<Vec<Value>>, Problem> {
    if change.client_secret.is_none() && change.client_id.is_none() {
        return Ok(None);
    }
    let shown = |domain: &str, instance: Option<Uuid>, problem: Option<String>| json!({ "domain": domain, "instance": instance, "problem": problem });
    let registry = call.registry();
    let known: Vec<Uuid> = registry
        .instances
        .values()
        .filter(|instance| instance.app_id == app && instance.state != InstanceState::Uninstalled)
        .map(|instance| instance.id)
        .collect();
    let failed = portal::credentials_changed(&call.app, app).await;
    let completed =
        portal::announce::entered(&call.app, app)
            .await
            .map_err(|error| match error {
                InstallError::Store(error) => error.into(),
                other => Problem::in_use(other.to_string()),
            })?;
    let registry = call.changed().await?;
    let mut tried: Vec<Value> = known
        .iter()
        .filter_map(|id| registry.instances.get(id))
        .map(|instance| {
            let failure = failed.iter().find(|(id, _)| *id == instance.id);
            let problem = failure.map(|(_, error)| error.to_string());
            shown(&instance.domain, Some(instance.id), problem)
        })
        .collect();
    tried.extend(completed.iter().map(|completion| {
        let problem = completion.result.as_ref().err().map(ToString::to_string);
        shown(
            &completion.domain,
            completion.result.as_ref().ok().copied(),
            problem,
        )
    }));
    Ok(Some(tried))
}

/// The application as it is now, with what came of its credentials.
fn with_tried(call: &Call, app: Uuid, tried: Option<Vec<Value>>) -> Outcome {
    let mut shown = one(&call.registry(), app)?;
    shown["tried"] = tried.map_or(Value::Null, Value::Array);
    Ok(shown)
}

async fn authorize(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let registry = call.registry();
    let Some(app) = registry.bitrix_apps.get(&id) else {
        return Err(Problem::unknown(WHAT));
    };
    let mut fields = call.fields(AUTHORIZE_FIELDS, Mode::Create)?;
    let domain = fields.optional("domain", rules::portal).flatten();
    let instance = fields.optional("instance", fields::id).flatten();
    let known = instance.and_then(|id| registry.instances.get(&id));
    if instance.is_some() && known.is_none_or(|known| known.app_id != id) {
        fields.error("instance", "is no instance of this application");
    }
    let target = match (&domain, known) {
        (None, Some(known)) => Target::Instance(known),
        (Some(domain), None) if instance.is_none() => Target::Portal(domain),
        _ => {
            fields.error("domain", "is needed, or an instance in its place");
            return Err(fields.incomplete());
        }
    };
    fields.finish()?;
    let Some(User {
        id: user,
        by: By::Session(session),
        ..
    }) = call.caller.user()
    else {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "this is done in a browser by the user who is signed in",
        ));
    };
    match consent::begin(call.app.as_ref(), app, &target, *user, *session).await {
        Ok(url) => Ok(json!({ "url": url.as_str() })),
        Err(ConsentError::NoSecret) => Err(Problem::in_use(
            "the application's client id and client secret must be entered first",
        )),
        Err(ConsentError::Install(InstallError::Store(error))) => Err(error.into()),
        Err(other) => Err(Problem::in_use(other.to_string())),
    }
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
    call.changed().await?;
    let tried = tried(&call, id, &change).await?;
    with_tried(&call, id, tried)
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
