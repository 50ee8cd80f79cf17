//! `bitrix/lines` and `bitrix/connectors`: what is on a portal right now. Nothing is kept here; the portal is asked.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    caller::Caller,
    fields,
    operation::{Call, Described, Field, Operation, Outcome, Parameter, Purpose, Shape},
    problem::Problem,
    rule::Rule,
    view::View,
};
use crate::{
    portal::{Live, Trouble, lines},
    registry::{Instance, InstanceState},
};

const LINES: &str = "/api/v1/bitrix/lines";
const CONNECTORS: &str = "/api/v1/bitrix/connectors";
const TAG: &str = "Bitrix24 instances";

/// Longest wait for a portal while somebody looks at a screen.
const LIMIT: Duration = Duration::from_secs(25);

const LINE_FIELDS: &[Field] = &[
    Field::read("id", Shape::Whole, "Bitrix24's id of the open line.", "17"),
    Field::read("name", Shape::Text, "Its name.", "Sales"),
    Field::read(
        "active",
        Shape::Boolean,
        "Whether it is switched on.",
        "true",
    ),
    Field::nullable(
        "connectors",
        Shape::List("PortalConnector"),
        "The connectors that are active on it; null where the portal has too many lines to ask.",
        "",
    ),
    Field::nullable(
        "ours",
        Shape::Id,
        "The number of ours that is on it.",
        "0199f1c2-3333-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::read(
        "warnings",
        Shape::List("LineWarning"),
        "What should be different on it. Nothing is changed by itself on a line that is not ours.",
        "",
    ),
];

const CONNECTOR_FIELDS: &[Field] = &[
    Field::read(
        "id",
        Shape::Text,
        "Id of the connector.",
        "separator_8b1d6a90",
    ),
    Field::read("name", Shape::Text, "Its name.", "WhatsApp (Separator)"),
    Field::read(
        "ours",
        Shape::Boolean,
        "Whether it is this program's.",
        "true",
    ),
];

const WARNING_FIELDS: &[Field] = &[
    Field::read(
        "code",
        Shape::OneOf(&[
            "QUEUE_EMPTY",
            "OTHER_CONNECTORS",
            "AUTO_CLOSE",
            "TRANSFER_CHANGE",
            "SECOND_LEAD",
            "CRM_OFF",
            "DEALS_IGNORED",
        ]),
        "What it is, for programs.",
        "QUEUE_EMPTY",
    ),
    Field::read(
        "text",
        Shape::Text,
        "What it is, in the caller's language.",
        "Nobody answers the open line Sales: its queue is empty.",
    ),
    Field::read(
        "fix",
        Shape::Text,
        "What to do.",
        "Add employees to the line's queue in the Contact Center of the portal.",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "PortalLine",
        purpose: Purpose::Shown,
        description: "An open line of a portal as it is now.",
        fields: LINE_FIELDS,
    },
    Described {
        name: "PortalConnector",
        purpose: Purpose::Shown,
        description: "A connector of a portal.",
        fields: CONNECTOR_FIELDS,
    },
    Described {
        name: "LineWarning",
        purpose: Purpose::Shown,
        description: "Something about a line that loses messages or surprises people.",
        fields: WARNING_FIELDS,
    },
];

const INSTANCE: &[Parameter] = &[Parameter {
    name: "instance",
    shape: Shape::Id,
    description: "The portal. Not needed where there is only one.",
}];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "List the open lines of a portal",
        description: "Asks the portal; all are in one page.",
        query: INSTANCE,
        refusals: &[409, 422, 502],
        ..Operation::list(LINES, TAG, "PortalLine", RULE, |call| Box::pin(list(call)))
    },
    Operation {
        summary: "List the connectors of a portal",
        description: "Asks the portal; all are in one page.",
        query: INSTANCE,
        refusals: &[409, 422, 502],
        ..Operation::list(CONNECTORS, TAG, "PortalConnector", RULE, |call| {
            Box::pin(connectors(call))
        })
    },
];

const RULE: Rule = Rule::PortalAdministrators(&[]);

/// The portal that is asked about: the one named, or the only one.
fn instance<'a>(call: &Call, registry: &'a View) -> Result<&'a Instance, Problem> {
    let mut query = call.query();
    let named = query.optional("instance", fields::id);
    query.finish()?;
    let only = || {
        let mut usable = registry
            .instances
            .values()
            .filter(|instance| instance.state == InstanceState::Active);
        usable.next().filter(|_| usable.next().is_none())
    };
    let own = match &call.caller {
        Caller::Portal(person) => Some(person.instance),
        Caller::User(_) | Caller::Nobody => None,
    };
    let found = match named.or(own) {
        Some(id) => registry
            .instances
            .get(&id)
            .ok_or_else(|| Problem::field("instance", "does not exist"))?,
        None => only().ok_or_else(|| Problem::field("instance", "is required"))?,
    };
    if found.state == InstanceState::Uninstalled {
        return Err(Problem::in_use(format!(
            "the application is no longer installed on {}",
            found.domain
        )));
    }
    Ok(found)
}

/// Asks a portal, not for too long.
async fn asked<T>(question: impl Future<Output = Result<T, Trouble>>) -> Result<T, Problem> {
    match tokio::time::timeout(LIMIT, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(trouble)) => Err(Problem::new(StatusCode::BAD_GATEWAY, trouble.to_string())),
        Err(_) => Err(Problem::new(
            StatusCode::BAD_GATEWAY,
            "the portal did not answer in time; try again",
        )),
    }
}

/// Whether a connector is this program's on a portal: our numbers name it, or it is one that the instance would choose.
fn is_ours(registry: &View, instance: Uuid, id: &str) -> bool {
    let stored = registry
        .phones_of(instance)
        .filter_map(|phone| phone.connector.as_deref());
    crate::portal::connector_ids(instance, stored)
        .iter()
        .any(|own| own.eq_ignore_ascii_case(id))
}

fn show_connector(registry: &View, instance: Uuid, (id, name): &(String, String)) -> Value {
    json!({ "id": id, "name": name, "ours": is_ours(registry, instance, id) })
}

async fn list(call: Call) -> Outcome {
    let registry = call.registry();
    let instance = instance(&call, &registry)?;
    let live = Live::new(&call.app, instance);
    let found = asked(lines::live(&live)).await?;
    let items: Vec<Value> = found
        .iter()
        .map(|line| {
            let ours = registry
                .phones_of(instance.id)
                .find(|phone| phone.line_id == Some(line.line.id.0))
                .map(|phone| phone.id);
            let connectors: Option<Vec<Value>> = line.connectors.as_ref().map(|connectors| {
                let shown = |connector| show_connector(&registry, instance.id, connector);
                connectors.iter().map(shown).collect()
            });
            let warnings: Vec<Value> = line
                .warnings(|id| is_ours(&registry, instance.id, id))
                .iter()
                .map(|warning| {
                    let (text, fix) = warning.text(call.client.language);
                    json!({ "code": warning.code(), "text": text, "fix": fix })
                })
                .collect();
            json!({
                "id": line.line.id.0,
                "name": line.line.name,
                "active": line.line.active != Some(false),
                "connectors": connectors,
                "ours": ours,
                "warnings": warnings,
            })
        })
        .collect();
    Ok(json!({ "items": items, "next_cursor": null }))
}

async fn connectors(call: Call) -> Outcome {
    let registry = call.registry();
    let instance = instance(&call, &registry)?;
    let live = Live::new(&call.app, instance);
    let found = asked(lines::connectors(&live)).await?;
    let items: Vec<Value> = found
        .iter()
        .map(|connector| show_connector(&registry, instance.id, connector))
        .collect();
    Ok(json!({ "items": items, "next_cursor": null }))
}
