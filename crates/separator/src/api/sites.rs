//! `sites`: the host names under which this installation is reached.

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
    registry::Site,
    store::{accounts, users},
    users::Role,
};

const PATH: &str = "/api/v1/sites";
const ONE: &str = "/api/v1/sites/{id}";
const TAG: &str = "Sites";

const FIELDS: &[Field] = &[
    Field::id(),
    Field::required(
        "domain",
        Shape::Text,
        "Host, with the port where it is not 443. Loopback hosts are reached by http, all others by https.",
        "separator.example.com",
    ),
    Field::read(
        "url",
        Shape::Address,
        "Base address of the site.",
        "https://separator.example.com",
    ),
    Field::optional(
        "owner",
        Shape::Id,
        "The user it belongs to, with all that hangs from it: who enters it. An administrator may name another.",
        "0199f1c2-8888-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::created_at(),
];

pub(super) const OBJECTS: &[Described] = &[Described {
    name: "Site",
    purpose: Purpose::Resource,
    description: "A host name under which this installation is reached. A site has at most one WABA application.",
    fields: FIELDS,
}];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "List sites",
        ..Operation::list(PATH, TAG, "Site", Rule::Users, |call| {
            Box::pin(ready(list(&call)))
        })
    },
    Operation {
        summary: "Enter a site",
        ..Operation::create(PATH, TAG, "NewSite", "Site", Rule::Users, |call| {
            Box::pin(create(call))
        })
    },
    Operation {
        summary: "Show a site",
        ..Operation::get(ONE, TAG, "Site", Rule::Users, |call| {
            Box::pin(ready(get(&call)))
        })
    },
    Operation {
        summary: "Change a site",
        description: "The addresses entered at Meta and Bitrix24 contain the domain and must be changed there as well.",
        ..Operation::change(ONE, TAG, "SiteChange", "Site", Rule::Users, |call| {
            Box::pin(change(call))
        })
    },
    Operation {
        summary: "Remove a site",
        description: "Refused while an application answers on it.",
        ..Operation::delete(ONE, TAG, Rule::Users, |call| Box::pin(delete(call)))
    },
];

fn show(site: &Site) -> Value {
    json!({
        "id": site.id,
        "domain": site.domain,
        "owner": site.owner,
        "url": site.base_url(),
        "created_at": site.created_at,
    })
}

fn list(call: &Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    query.finish()?;
    Ok(page.of_all(call.registry().sites.values(), |site| site.id, show))
}

fn get(call: &Call) -> Outcome {
    let id = call.id("site")?;
    call.registry()
        .sites
        .get(&id)
        .map(show)
        .ok_or_else(|| Problem::unknown("site"))
}

async fn create(call: Call) -> Outcome {
    let mut fields = call.fields(FIELDS, Mode::Create)?;
    let domain = fields.required("domain", rules::domain);
    let owner = owner(&call, &mut fields).await?;
    fields.add(conflicts(&call.registry(), domain.as_deref(), None));
    let Some(domain) = domain else {
        return Err(fields.incomplete());
    };
    fields.finish()?;
    let site = Site {
        id: call.app.ids.next(),
        domain,
        owner: owner.unwrap_or_else(|| call.caller.user().map(|user| user.id)),
        created_at: call.app.clock.now(),
    };
    if let Err(error) = accounts::insert_site(&call.app.store, &site).await {
        return Err(call
            .refused(error, |registry| {
                conflicts(registry, Some(&site.domain), None)
            })
            .await);
    }
    call.changed().await?;
    Ok(show(&site))
}

async fn change(call: Call) -> Outcome {
    let id = call.id("site")?;
    let registry = call.registry();
    if !registry.sites.contains_key(&id) {
        return Err(Problem::unknown("site"));
    }
    let mut fields = call.fields(FIELDS, Mode::Change)?;
    let domain = fields.required("domain", rules::domain);
    let owner = owner(&call, &mut fields).await?;
    fields.add(conflicts(&registry, domain.as_deref(), Some(id)));
    fields.finish()?;
    if let Err(error) = accounts::change_site(&call.app.store, id, domain.clone(), owner).await {
        return Err(call
            .refused(error, |registry| {
                conflicts(registry, domain.as_deref(), Some(id))
            })
            .await);
    }
    call.changed()
        .await?
        .sites
        .get(&id)
        .map(show)
        .ok_or_else(|| Problem::unknown("site"))
}

async fn delete(call: Call) -> Outcome {
    let id = call.id("site")?;
    let registry = call.registry();
    let waba = registry
        .waba_apps
        .values()
        .find(|app| app.site_id == id)
        .map(|app| ("WABA", &app.name));
    let bitrix = registry
        .bitrix_apps
        .values()
        .find(|app| app.site_id == id)
        .map(|app| ("Bitrix24", &app.name));
    if let Some((kind, name)) = waba.or(bitrix) {
        return Err(Problem::in_use(format!(
            "the {kind} application \"{name}\" answers on this site; remove it first"
        )));
    }
    if !accounts::delete_site(&call.app.store, id).await? {
        return Err(Problem::unknown("site"));
    }
    call.changed().await?;
    Ok(Value::Null)
}

/// Reads to whom a site is given. Only administrators give what is theirs or somebody else's.
async fn owner(call: &Call, fields: &mut Fields) -> Result<Option<Option<Uuid>>, Problem> {
    let owner = fields.optional("owner", fields::id);
    let Some(named) = owner else {
        return Ok(None);
    };
    let user = call.caller.user();
    if user.is_some_and(|user| user.role != Role::Admin && named != Some(user.id)) {
        fields.error("owner", "can only be named by an administrator");
    } else if let Some(named) = named
        && !users::exists(&call.app.store, named).await?
    {
        fields.error("owner", "does not exist");
    }
    Ok(owner)
}

/// What is set up already and stands against the domain.
fn conflicts(registry: &View, domain: Option<&str>, own: Option<Uuid>) -> Conflicts {
    let holder = domain
        .and_then(|domain| registry.whole().site_on(domain))
        .filter(|site| Some(site.id) != own);
    holder
        .map(|site| {
            let message = if registry.sites.contains_key(&site.id) {
                format!("is already entered as site {}", site.id)
            } else {
                "is already entered by another user".to_owned()
            };
            ("domain", message)
        })
        .into_iter()
        .collect()
}
