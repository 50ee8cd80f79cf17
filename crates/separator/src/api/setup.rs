//! `setup`: how far this installation is set up, and what has to be right before.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    operation::{Call, Described, Field, Operation, Outcome, Parameter, Purpose, Shape},
    rule::Rule,
    rules,
    view::View,
};
use crate::{
    doctor::{self, Patient},
    registry::{Connection, InstanceState, Phone, Site},
    settings::StandIns,
    time::Millis,
};

const PATH: &str = "/api/v1/setup";

const STEPS: &[&str] = &["site", "meta", "portal", "number", "line", "test"];

const STATES: &[&str] = &["todo", "doing", "done", "failed"];

const CHECKED: &[&str] = &["ok", "fault", "unknown"];

const FIELDS: &[Field] = &[
    Field::read(
        "domain",
        Shape::Text,
        "The domain that was looked at: the one in the query, else the first site's, else the one in the request.",
        "separator.example.com",
    ),
    Field::read(
        "prerequisites",
        Shape::List("Prerequisite"),
        "What has to be right, looked at just now.",
        "",
    ),
    Field::read(
        "steps",
        Shape::List("SetupStep"),
        "The steps in their order.",
        "",
    ),
    Field::nullable(
        "sandbox",
        Shape::Object("SandboxValues"),
        "What to fill in to connect the stand-ins; null outside of a sandbox.",
        "",
    ),
];

const PREREQUISITE_FIELDS: &[Field] = &[
    Field::read(
        "id",
        Shape::Text,
        "Name of the check, as in the doctor.",
        "dns",
    ),
    Field::read("state", Shape::OneOf(CHECKED), "Whether it is so.", "ok"),
    Field::read(
        "title",
        Shape::Text,
        "What is checked, as a statement that holds when all is well.",
        "The name resolves to a public address",
    ),
    Field::nullable("text", Shape::Text, "What is wrong, or worth knowing.", ""),
    Field::nullable("fix", Shape::Text, "The one thing to do about a fault.", ""),
    Field::read(
        "documentation",
        Shape::Text,
        "The section of the documentation about it.",
        "docs/doctor.md#dns",
    ),
];

const STEP_FIELDS: &[Field] = &[
    Field::read("id", Shape::OneOf(STEPS), "Which step.", "meta"),
    Field::read("state", Shape::OneOf(STATES), "How far it is.", "done"),
    Field::nullable(
        "subject",
        Shape::Object("CheckSubject"),
        "What it made.",
        "",
    ),
    Field::nullable(
        "text",
        Shape::Text,
        "What is in the way, or what comes next.",
        "",
    ),
];

const SANDBOX_FIELDS: &[Field] = &[
    Field::read(
        "customer_page",
        Shape::Address,
        "The customer's phone.",
        "http://127.0.0.1:8081",
    ),
    Field::read(
        "operator_page",
        Shape::Address,
        "The operator's open line.",
        "http://127.0.0.1:8082",
    ),
    Field::read("app_id", Shape::Text, "App ID.", "730100000000001"),
    Field::read(
        "app_secret",
        Shape::Text,
        "App secret of the stand-in.",
        "sandbox-app-secret",
    ),
    Field::read(
        "token",
        Shape::Text,
        "Permanent access token of the stand-in.",
        "EAASANDBOXTOKEN",
    ),
    Field::read("waba_id", Shape::Text, "WABA id.", "108200000000001"),
    Field::read(
        "phone",
        Shape::Text,
        "The business number.",
        "4915755501234",
    ),
    Field::read(
        "phone_id",
        Shape::Text,
        "Its phone number id.",
        "209300000000002",
    ),
    Field::read(
        "portal",
        Shape::Text,
        "Host of the portal.",
        "127.0.0.1:8082",
    ),
    Field::nullable(
        "bitrix_client_id",
        Shape::Text,
        "Client id of the local application; null where the portal has none yet and makes one up when it is entered there.",
        "local.sandbox00000001.00000001",
    ),
    Field::nullable(
        "bitrix_client_secret",
        Shape::Text,
        "Its client secret.",
        "sandbox-bitrix-client-secret",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "Setup",
        purpose: Purpose::Shown,
        description: "How far this installation is set up.",
        fields: FIELDS,
    },
    Described {
        name: "Prerequisite",
        purpose: Purpose::Shown,
        description: "Something that has to be right before anything is set up.",
        fields: PREREQUISITE_FIELDS,
    },
    Described {
        name: "SetupStep",
        purpose: Purpose::Shown,
        description: "A step of setting up. It can be repeated, left and resumed.",
        fields: STEP_FIELDS,
    },
    Described {
        name: "SandboxValues",
        purpose: Purpose::Shown,
        description: "What the consoles of Meta and Bitrix24 show elsewhere, for the stand-ins of a sandbox.",
        fields: SANDBOX_FIELDS,
    },
];

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    summary: "Show how far this installation is set up",
    description: "The prerequisites are looked at while this is answered, which may take some seconds.",
    query: &[Parameter {
        name: "domain",
        shape: Shape::Text,
        description: "Look at this domain; it need not be entered as a site yet.",
    }],
    ..Operation::get(PATH, "Setup", "Setup", Rule::Users, |call| {
        Box::pin(get(call))
    })
}];

async fn get(call: Call) -> Outcome {
    let mut query = call.query();
    let asked = query.optional("domain", rules::domain);
    query.finish()?;
    let view = call.registry();
    let domain = asked
        .or_else(|| first_site(&view).map(|site| site.domain.clone()))
        .unwrap_or_else(|| call.client.host.clone());
    let base = crate::registry::base_url_of(&domain);
    let found = doctor::prerequisites(&call.app, &domain, &base).await;
    let language = call.client.language;
    let prerequisites: Vec<Value> = found
        .iter()
        .filter_map(|finding| {
            let shown = doctor::report::show(finding, language)?;
            Some(json!({
                "id": shown["id"],
                "state": shown["state"],
                "title": shown["title"],
                "text": shown["cause"],
                "fix": shown["fix"],
                "documentation": shown["documentation"],
            }))
        })
        .collect();
    Ok(json!({
        "domain": domain,
        "prerequisites": prerequisites,
        "steps": steps(&call, &view),
        "sandbox": call.app.settings.sandbox.as_ref().map(show_stand_ins),
    }))
}

fn first_site(view: &View) -> Option<&Site> {
    view.sites.values().min_by_key(|site| site.id)
}

/// A step as it is shown.
fn step(id: &str, state: &str, subject: Option<(Patient, &View)>, text: Option<String>) -> Value {
    let subject = subject.map(|(patient, view)| {
        let subject = patient.subject(view);
        json!({ "kind": subject.kind, "id": subject.id, "name": subject.name })
    });
    json!({ "id": id, "state": state, "subject": subject, "text": text })
}

fn steps(call: &Call, view: &View) -> Vec<Value> {
    // The number that is furthest: others may be set up later.
    let number = view
        .phones
        .values()
        .map(Arc::as_ref)
        .min_by_key(|phone| (rank(phone.connection), phone.id));
    let site = match first_site(view) {
        Some(site) => step("site", "done", Some((Patient::Site(site.id), view)), None),
        None => step("site", "todo", None, None),
    };
    vec![
        site,
        meta(view),
        portal(view),
        match number {
            Some(number) => step(
                "number",
                "done",
                Some((Patient::Phone(number.id), view)),
                None,
            ),
            None => step("number", "todo", None, None),
        },
        line(view, number),
        test(call, view, number),
    ]
}

fn rank(connection: Connection) -> u8 {
    match connection {
        Connection::Connected => 0,
        Connection::Pending => 1,
        Connection::Error => 2,
        Connection::NotLinked => 3,
    }
}

fn meta(view: &View) -> Value {
    let account = view.accounts.values().min_by_key(|account| account.id);
    let app = view.waba_apps.values().min_by_key(|app| app.id);
    match (app, account) {
        (_, Some(account)) => step(
            "meta",
            "done",
            Some((Patient::Account(account.id), view)),
            None,
        ),
        (Some(app), None) => step(
            "meta",
            "doing",
            Some((Patient::WabaApp(app.id), view)),
            None,
        ),
        (None, None) => step("meta", "todo", None, None),
    }
}

fn portal(view: &View) -> Value {
    let usable = |state: InstanceState| u8::from(state != InstanceState::Active);
    let instance = view
        .instances
        .values()
        .filter(|instance| instance.state != InstanceState::Uninstalled)
        .min_by_key(|instance| (usable(instance.state), instance.id));
    match instance {
        Some(instance) => {
            let state = match instance.state {
                InstanceState::Active => "done",
                _ => "failed",
            };
            let subject = Some((Patient::Instance(instance.id), view));
            step("portal", state, subject, instance.problem.clone())
        }
        None if view.bitrix_apps.is_empty() => step("portal", "todo", None, None),
        // Entered here, and not installed on a portal yet.
        None => step("portal", "doing", None, None),
    }
}

fn line(view: &View, number: Option<&Phone>) -> Value {
    let Some(number) = number else {
        return step("line", "todo", None, None);
    };
    let state = match number.connection {
        Connection::NotLinked => "todo",
        Connection::Pending => "doing",
        Connection::Connected => "done",
        Connection::Error => "failed",
    };
    let subject = number
        .instance_id
        .is_some()
        .then_some((Patient::Phone(number.id), view));
    let text = number.error.as_ref().map(|error| error.title.clone());
    step("line", state, subject, text)
}

fn test(call: &Call, view: &View, number: Option<&Phone>) -> Value {
    let Some(number) = number else {
        return step("test", "todo", None, None);
    };
    let proof = call.app.doctor.proofs.of(number.id);
    let state = match (proof.inbound > Millis(0), proof.outbound > Millis(0)) {
        (true, true) => "done",
        (false, false) => "todo",
        _ => "doing",
    };
    step("test", state, Some((Patient::Phone(number.id), view)), None)
}

fn show_stand_ins(stand_ins: &StandIns) -> Value {
    json!({
        "customer_page": stand_ins.customer_page,
        "operator_page": stand_ins.operator_page,
        "app_id": stand_ins.client_id,
        // Secrets of stand-ins, which protect nothing.
        "app_secret": stand_ins.client_secret.expose(),
        "token": stand_ins.access_token.expose(),
        "waba_id": stand_ins.waba_id,
        "phone": stand_ins.phone,
        "phone_id": stand_ins.phone_id,
        "portal": stand_ins.portal,
        "bitrix_client_id": stand_ins.bitrix_client_id,
        "bitrix_client_secret": stand_ins.bitrix_client_secret.as_ref().map(crate::secret::Secret::expose),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn prerequisites_know_the_states_of_the_doctor() {
        for state in [State::Ok, State::Fault, State::Unknown] {
            assert!(CHECKED.contains(&state.as_str()));
        }
    }
}
