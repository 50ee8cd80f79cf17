//! `bitrix/announcements`: installations that portals announced before their application was entered.

use serde_json::{Value, json};

use super::{
    operation::{Call, Described, Field, Operation, Outcome, Purpose, Shape},
    page::Page,
    problem::Problem,
    rule::Rule,
};
use crate::store::announcements::{self, Announcement};

const PATH: &str = "/api/v1/bitrix/announcements";
const ONE: &str = "/api/v1/bitrix/announcements/{id}";
const TAG: &str = "Bitrix24 applications";

/// What problems call it.
const WHAT: &str = "announcement";

const FIELDS: &[Field] = &[
    Field::id(),
    Field::read(
        "site",
        Shape::Id,
        "The site on which it was announced.",
        "0199f1c2-0000-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::nullable(
        "client_id",
        Shape::Text,
        "The application, as the authorization server named it; null while that server could not be asked. Entering it \
         completes the installation.",
        "local.5d9a7b1b6a1a55.12345678",
    ),
    Field::read(
        "domain",
        Shape::Text,
        "Host of the portal, as announced; proven where client_id is there.",
        "acme.bitrix24.com",
    ),
    Field::read(
        "received_at",
        Shape::Time,
        "When it came.",
        "2026-11-23T04:47:32.010Z",
    ),
];

pub(super) const OBJECTS: &[Described] = &[Described {
    name: "Announcement",
    purpose: Purpose::Shown,
    description: "An installation that waits for its application's client id. It is kept for seven days.",
    fields: FIELDS,
}];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "List announced installations",
        description: "A portal shows an application's client id only after it has announced the installation.",
        ..Operation::list(PATH, TAG, "Announcement", Rule::Users, |call| {
            Box::pin(list(call))
        })
    },
    Operation {
        summary: "Forget an announced installation",
        ..Operation::delete(ONE, TAG, Rule::Users, |call| Box::pin(delete(call)))
    },
];

fn show(announcement: &Announcement) -> Value {
    json!({
        "id": announcement.id,
        "site": announcement.site_id,
        "client_id": announcement.client_id,
        "domain": announcement.domain,
        "received_at": announcement.received_at,
    })
}

/// Those on sites that the caller sees.
async fn own(call: &Call) -> Result<Vec<Announcement>, Problem> {
    let registry = call.registry();
    let all = announcements::all(&call.app.store, &call.app.sealer).await?;
    Ok(all
        .into_iter()
        .filter(|announcement| registry.sites.contains_key(&announcement.site_id))
        .collect())
}

async fn list(call: Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    query.finish()?;
    let own = own(&call).await?;
    Ok(page.of_all(own.iter(), |announcement| announcement.id, show))
}

async fn delete(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    if !own(&call)
        .await?
        .iter()
        .any(|announcement| announcement.id == id)
    {
        return Err(Problem::unknown(WHAT));
    }
    announcements::forget(&call.app.store, id).await?;
    Ok(Value::Null)
}
