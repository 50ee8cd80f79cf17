//! `bitrix/instances`: the portals on which an application is installed.

use std::future::ready;

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    fields::Mode,
    operation::{Call, Described, Field, Operation, Outcome, Purpose, Shape},
    page::Page,
    problem::Problem,
    publishing,
    rule::Rule,
    rules,
};
use crate::{
    portal::{self, FinishError, NOT_INSTALLED},
    registry::{Instance, InstanceState, Part, Registry},
    store::{portals, steps},
};

const PATH: &str = "/api/v1/bitrix/instances";
const ONE: &str = "/api/v1/bitrix/instances/{id}";
const INSTALLATION: &str = "/api/v1/bitrix/instances/{id}/installation";
const PREPARE: &str = "/api/v1/bitrix/instances/{id}/prepare";
const FINISH: &str = "/api/v1/bitrix/instances/{id}/finish";
const TAG: &str = "Bitrix24 instances";

/// What problems call it.
const WHAT: &str = "instance";

/// Pace of a portal on the plans below Enterprise (Bitrix24: REST limits).
const USUAL_PACE: (f64, i64) = (2.0, 50);

const FIELDS: &[Field] = &[
    Field::id(),
    Field::read(
        "app",
        Shape::Id,
        "The Bitrix24 application.",
        "0199f1c2-2222-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::read(
        "domain",
        Shape::Text,
        "Host of the portal; may change.",
        "acme.bitrix24.com",
    ),
    Field::read(
        "member_id",
        Shape::Text,
        "The portal's unchanging id.",
        "a223c6b3710f85df22e9377d6c4f7553",
    ),
    Field::read(
        "status",
        Shape::OneOf(&["active", "needs_authorization", "uninstalled"]),
        "Whether it can be used.",
        "active",
    ),
    Field::nullable("problem", Shape::Text, "What is wrong with it.", ""),
    Field::read(
        "installed",
        Shape::Boolean,
        "Whether the portal says that the installation is finished; before, it sends no events.",
        "true",
    ),
    Field::read(
        "has_application_token",
        Shape::Boolean,
        "Whether the token is known that proves the origin of its events; an installation by authorization in the \
         browser learns it from the first event.",
        "true",
    ),
    Field::nullable(
        "installer",
        Shape::Text,
        "Name of the employee whose rights are used there.",
        "Anna Schmidt",
    ),
    Field::read(
        "refreshed_at",
        Shape::Time,
        "When its tokens were renewed last.",
        "2026-11-23T04:47:32.010Z",
    ),
    Field::read(
        "scope",
        Shape::Text,
        "Permissions that were granted, with commas.",
        "imopenlines,imconnector,im",
    ),
    Field::defaulted(
        "calls_per_second",
        Shape::Number,
        "Calls a second that the portal allows: 2, on Enterprise plans 5.",
        "2.0",
    ),
    Field::defaulted(
        "burst",
        Shape::Whole,
        "Calls at once that the portal allows: 50, on Enterprise plans 250.",
        "50",
    ),
    Field::read(
        "lines",
        Shape::List("LinkedLine"),
        "Numbers linked to it and their open lines.",
        "",
    ),
    Field::created_at(),
];

const LINE_FIELDS: &[Field] = &[
    Field::read(
        "phone",
        Shape::Id,
        "The number.",
        "0199f1c2-3333-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::nullable(
        "id",
        Shape::Whole,
        "Id of the open line; null until it exists.",
        "17",
    ),
    Field::nullable(
        "name",
        Shape::Text,
        "Name of the open line.",
        "separator_4915755501234",
    ),
    Field::nullable(
        "connector",
        Shape::Text,
        "Id of the connector.",
        "separator_4915755501234",
    ),
    Field::read(
        "connection",
        Shape::OneOf(&["pending", "connected", "error"]),
        "How far the number is connected.",
        "connected",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "Instance",
        purpose: Purpose::Resource,
        description: "A portal on which an application is installed. Made by installing.",
        fields: FIELDS,
    },
    Described {
        name: "Installation",
        purpose: Purpose::Shown,
        description: "How far an installation is.",
        fields: publishing::INSTALLATION_FIELDS,
    },
    Described {
        name: "LinkedLine",
        purpose: Purpose::Shown,
        description: "A number on a portal.",
        fields: LINE_FIELDS,
    },
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "List instances",
        ..Operation::list(PATH, TAG, "Instance", Rule::Known, |call| {
            Box::pin(ready(list(&call)))
        })
    },
    Operation {
        summary: "Show an instance",
        ..Operation::get(ONE, TAG, "Instance", Rule::Known, |call| {
            Box::pin(ready(get(&call)))
        })
    },
    Operation {
        summary: "Show how far an installation is",
        description: "`ready` means that everything is bound and the installation page may call `installFinish`.",
        ..Operation::get(INSTALLATION, TAG, "Installation", Rule::Known, |call| {
            Box::pin(installation(call))
        })
    },
    Operation {
        summary: "Prepare a portal again",
        description: "Registers the connector and binds events and pages once more.",
        status: StatusCode::ACCEPTED,
        ..Operation::act(
            PREPARE,
            TAG,
            "Installation",
            Rule::PortalAdministrators(&[]),
            |call| Box::pin(prepare(call)),
        )
    },
    Operation {
        summary: "Finish an installation",
        description: "Called after `installFinish`: asks the portal whether the installation is finished, and goes on \
                      with what waited for that. Refused while the portal says that it is not.",
        refusals: &[409, 502],
        ..Operation::act(
            FINISH,
            TAG,
            "Instance",
            Rule::PortalAdministrators(&[]),
            |call| Box::pin(finish(call)),
        )
    },
    Operation {
        summary: "Change the pace of an instance",
        ..Operation::change(
            ONE,
            TAG,
            "InstanceChange",
            "Instance",
            Rule::Users,
            |call| Box::pin(change(call)),
        )
    },
    Operation {
        summary: "Remove an uninstalled instance",
        description: "Refused while the application is installed on the portal, or a number is linked to it.",
        ..Operation::delete(ONE, TAG, Rule::Users, |call| Box::pin(delete(call)))
    },
];

fn show(instance: &Instance, registry: &Registry) -> Value {
    let mut phones: Vec<_> = registry.phones_of(instance.id).collect();
    phones.sort_unstable_by_key(|phone| phone.id);
    let lines: Vec<Value> = phones
        .into_iter()
        .map(|phone| {
            json!({
                "phone": phone.id,
                "id": phone.line_id,
                "name": phone.line_name,
                "connector": phone.connector,
                "connection": phone.connection.as_str(),
            })
        })
        .collect();
    json!({
        "id": instance.id,
        "app": instance.app_id,
        "domain": instance.domain,
        "member_id": instance.member_id,
        "status": instance.state.as_str(),
        "problem": problem(instance),
        "installed": instance.installed,
        "has_application_token": instance.application_token.is_some(),
        "installer": instance.installer_name,
        "refreshed_at": instance.refreshed_at,
        "scope": instance.scope,
        "calls_per_second": instance.calls_per_second,
        "burst": instance.burst,
        "lines": lines,
        "created_at": instance.created_at,
    })
}

/// What is wrong with an instance; one that is not installed to the end works as little as one without authorization.
fn problem(instance: &Instance) -> Option<&str> {
    let unfinished = instance.state == InstanceState::Active && !instance.installed;
    instance
        .problem
        .as_deref()
        .or_else(|| unfinished.then_some(NOT_INSTALLED))
}

fn one(registry: &Registry, id: Uuid) -> Outcome {
    registry
        .instances
        .get(&id)
        .map(|instance| show(instance, registry))
        .ok_or_else(|| Problem::unknown(WHAT))
}

fn list(call: &Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    query.finish()?;
    let registry = call.registry();
    Ok(page.of_all(
        registry.instances.values(),
        |instance| instance.id,
        |instance| show(instance, &registry),
    ))
}

fn get(call: &Call) -> Outcome {
    one(&call.registry(), call.id(WHAT)?)
}

async fn installation(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let registry = call.registry();
    let Some(instance) = registry.instances.get(&id) else {
        return Err(Problem::unknown(WHAT));
    };
    let steps = steps::of(&call.app.store, id).await?;
    let failed = steps.iter().any(|step| step.state == "failed");
    let state = if instance.prepared && instance.installed {
        "done"
    } else if instance.prepared {
        "ready"
    } else if failed {
        "failed"
    } else {
        "running"
    };
    Ok(publishing::shown(state, &steps))
}

async fn prepare(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    one(&call.registry(), id)?;
    portal::prepare_again(&call.app, id).await?;
    installation(call).await
}

async fn finish(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    one(&call.registry(), id)?;
    match portal::finish(&call.app, id).await {
        Ok(()) => one(&*call.changed().await?, id),
        Err(FinishError::Unknown) => Err(Problem::unknown(WHAT)),
        Err(FinishError::NotInstalled) => Err(Problem::in_use(
            "the portal says that the installation is not finished: open the application there as an administrator and \
             let it finish",
        )),
        Err(FinishError::Call(error)) => {
            Err(Problem::new(StatusCode::BAD_GATEWAY, error.to_string()))
        }
        Err(FinishError::Store(error)) => Err(error.into()),
    }
}

async fn change(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    one(&call.registry(), id)?;
    let mut fields = call.fields(FIELDS, Mode::Change)?;
    let calls_per_second = fields.with_default("calls_per_second", USUAL_PACE.0, rules::pace);
    let burst = fields.with_default("burst", USUAL_PACE.1, rules::whole(1, 100_000));
    fields.finish()?;
    portals::change_pace(&call.app.store, id, calls_per_second, burst).await?;
    one(&*call.changed_part(Part::Instance(id)).await?, id)
}

async fn delete(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let registry = call.registry();
    let Some(instance) = registry.instances.get(&id) else {
        return Err(Problem::unknown(WHAT));
    };
    if instance.state != InstanceState::Uninstalled {
        return Err(Problem::in_use(format!(
            "the application is installed on {}; uninstall it there first",
            instance.domain
        )));
    }
    if let Some(phone) = registry.phones_of(id).next() {
        return Err(Problem::in_use(format!(
            "the number {} is linked to it; unlink it first",
            phone.phone
        )));
    }
    if !portals::delete_uninstalled(&call.app.store, id).await? {
        return Err(Problem::unknown(WHAT));
    }
    call.changed_part(Part::Instance(id)).await?;
    Ok(Value::Null)
}
