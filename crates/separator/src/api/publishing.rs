//! `waba/phones/{id}/publishing`: how far a number is on its way into a portal, step by step.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    operation::{Call, Described, Field, Operation, Outcome, Purpose, Shape},
    phones::{self, WHAT},
    problem::Problem,
    rule::Rule,
};
use crate::{
    portal::LineWish,
    registry::{Connection, Phone},
    store::steps::{self, Step},
};

const PUBLISHING: &str = "/api/v1/waba/phones/{id}/publishing";
const PUBLISH: &str = "/api/v1/waba/phones/{id}/publish";
const TAG: &str = "Phone numbers";

const STEP_STATES: &[&str] = &["pending", "running", "done", "failed"];

const STEP_NAMES: &[&str] = &[
    "administrator",
    "connector",
    "events",
    "placements",
    "installed",
    "line",
    "activation",
    "data",
    "state",
];

const FIELDS: &[Field] = &[
    Field::read(
        "state",
        Shape::OneOf(&["not_linked", "pending", "running", "done", "failed"]),
        "How far it is. `done` means proven: the portal was asked at the end.",
        "done",
    ),
    Field::read("steps", Shape::List("PublishingStep"), "The steps.", ""),
];

/// Fields of an installation that is shown in the same way.
pub(super) const INSTALLATION_FIELDS: &[Field] = &[
    Field::read(
        "state",
        Shape::OneOf(&["running", "ready", "done", "failed"]),
        "How far it is.",
        "done",
    ),
    Field::read("steps", Shape::List("PublishingStep"), "The steps.", ""),
];

const STEP_FIELDS: &[Field] = &[
    Field::read("name", Shape::OneOf(STEP_NAMES), "The step.", "connector"),
    Field::read(
        "state",
        Shape::OneOf(STEP_STATES),
        "What became of it.",
        "done",
    ),
    Field::nullable("error", Shape::Text, "Why it failed, and what to do.", ""),
    Field::read(
        "at",
        Shape::Time,
        "When that was.",
        "2026-11-23T04:47:32.010Z",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "Publishing",
        purpose: Purpose::Shown,
        description: "How far a number is on its way into a portal.",
        fields: FIELDS,
    },
    Described {
        name: "PublishingStep",
        purpose: Purpose::Shown,
        description: "A step.",
        fields: STEP_FIELDS,
    },
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "Show how far a number is published",
        ..Operation::get(PUBLISHING, TAG, "Publishing", Rule::Known, |call| {
            Box::pin(get(call))
        })
    },
    Operation {
        summary: "Publish a number again",
        description: "Puts right what the portal needs for it, step by step, and asks the portal at the end.",
        status: StatusCode::ACCEPTED,
        refusals: &[409],
        ..Operation::act(
            PUBLISH,
            TAG,
            "Publishing",
            Rule::PortalAdministrators(&[]),
            |call| Box::pin(publish(call)),
        )
    },
];

/// Steps as the API shows them.
pub(super) fn shown(state: &str, steps: &[Step]) -> Value {
    let steps: Vec<Value> = steps
        .iter()
        .map(|step| {
            json!({ "name": step.name, "state": step.state, "error": step.error, "at": step.at })
        })
        .collect();
    json!({ "state": state, "steps": steps })
}

fn state(phone: &Phone, steps: &[Step]) -> &'static str {
    match phone.connection {
        Connection::NotLinked => "not_linked",
        Connection::Connected => "done",
        Connection::Error => "failed",
        Connection::Pending if steps.iter().any(|step| step.state == "running") => "running",
        Connection::Pending => "pending",
    }
}

async fn get(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let registry = call.registry();
    let Some(phone) = registry.phones.get(&id) else {
        return Err(Problem::unknown(WHAT));
    };
    let steps = if phone.instance_id.is_some() {
        steps::of(&call.app.store, id).await?
    } else {
        Vec::new()
    };
    Ok(shown(state(phone, &steps), &steps))
}

async fn publish(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let registry = call.registry();
    let Some(phone) = registry.phones.get(&id) else {
        return Err(Problem::unknown(WHAT));
    };
    if phone.instance_id.is_none() {
        return Err(Problem::in_use(
            "the number is not linked to a portal: link it first",
        ));
    }
    phones::link(&call, id, phone.instance_id, LineWish::Unchanged).await?;
    call.changed().await?;
    get(call).await
}
