//! `doctor`: what is right and what is not, and mending it.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    operation::{Call, Described, Field, Operation, Outcome, Purpose, Shape},
    problem::Problem,
    rule::Rule,
    rules,
    view::View,
};
use crate::{
    doctor::{self, Finding, Obstacle, Patient, report},
    translate::message::Language,
    users::Role,
};

const PATH: &str = "/api/v1/doctor";
const TAG: &str = "Doctor";

const GROUPS: &[&str] = &[
    "installation",
    "site",
    "meta_app",
    "meta_token",
    "account",
    "number",
    "portal",
    "line",
    "calling",
    "queue",
];

const STATES: &[&str] = &["ok", "fault", "unknown"];

const KINDS: &[&str] = &[
    "installation",
    "site",
    "waba_app",
    "account",
    "phone",
    "instance",
];

const FIELDS: &[Field] = &[
    Field::nullable(
        "checked_at",
        Shape::Time,
        "When everything was looked at last; null before the first time.",
        "2026-11-23T04:47:32.010Z",
    ),
    Field::read(
        "running",
        Shape::Boolean,
        "Whether everything is being looked at now.",
        "false",
    ),
    Field::read("done", Shape::Whole, "Things looked at in this run.", "3"),
    Field::read(
        "total",
        Shape::Whole,
        "Things to be looked at in this run.",
        "9",
    ),
    Field::read(
        "checks",
        Shape::List("Check"),
        "What was found, in the order of the groups.",
        "",
    ),
];

const CHECK_FIELDS: &[Field] = &[
    Field::read(
        "id",
        Shape::Text,
        "Name of the check.",
        "account_subscribed",
    ),
    Field::read(
        "group",
        Shape::OneOf(GROUPS),
        "Where it belongs.",
        "account",
    ),
    Field::read(
        "subject",
        Shape::Object("CheckSubject"),
        "What it is about.",
        "",
    ),
    Field::read(
        "state",
        Shape::OneOf(STATES),
        "ok: yes; fault: no; unknown: it could not be found out.",
        "fault",
    ),
    Field::read(
        "title",
        Shape::Text,
        "What is checked, as a statement that holds when all is well.",
        "The app hears of the account's messages",
    ),
    Field::nullable(
        "cause",
        Shape::Text,
        "What is wrong; why nobody knows; or what is worth knowing though all is well.",
        "The app 730100000000001 is not subscribed to the account, so none of its messages arrive.",
    ),
    Field::nullable(
        "fix",
        Shape::Text,
        "The one thing to do about a fault.",
        "Subscribe it with the button here.",
    ),
    Field::read(
        "documentation",
        Shape::Text,
        "The section of the documentation about it.",
        "docs/doctor.md#account_subscribed",
    ),
    Field::read(
        "repair",
        Shape::Boolean,
        "Whether POST /doctor/repair can mend it.",
        "true",
    ),
];

const SUBJECT_FIELDS: &[Field] = &[
    Field::read(
        "kind",
        Shape::OneOf(KINDS),
        "What sort of thing.",
        "account",
    ),
    Field::read(
        "id",
        Shape::Text,
        "Our id of it; empty for the installation.",
        "0199f1c2-2222-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::read("name", Shape::Text, "What people call it.", "Sample Shop"),
];

const REPAIR_FIELDS: &[Field] = &[
    Field::required(
        "check",
        Shape::Text,
        "Name of the check.",
        "account_subscribed",
    ),
    Field::required(
        "subject",
        Shape::Object("CheckSubject"),
        "What is to be mended: kind and id as the check shows them.",
        "",
    ),
];

const REPAIRED_FIELDS: &[Field] = &[Field::read(
    "checks",
    Shape::List("Check"),
    "What is found at the subject now.",
    "",
)];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "Doctor",
        purpose: Purpose::Shown,
        description: "The last look at everything, as far as it is the caller's.",
        fields: FIELDS,
    },
    Described {
        name: "Check",
        purpose: Purpose::Shown,
        description: "One check of one thing. Texts are in the language that Accept-Language prefers.",
        fields: CHECK_FIELDS,
    },
    Described {
        name: "CheckSubject",
        purpose: Purpose::Shown,
        description: "What a check is about.",
        fields: SUBJECT_FIELDS,
    },
    Described {
        name: "CheckRepair",
        purpose: Purpose::Sent,
        description: "A fault that is to be mended.",
        fields: REPAIR_FIELDS,
    },
    Described {
        name: "CheckRepaired",
        purpose: Purpose::Shown,
        description: "What was found after mending.",
        fields: REPAIRED_FIELDS,
    },
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "Show what the doctor found",
        description: "Everything is looked at once an hour and when asked for.",
        ..Operation::get(PATH, TAG, "Doctor", Rule::Users, |call| Box::pin(get(call)))
    },
    Operation {
        summary: "Look at everything now",
        description: "It goes on while this is answered; `running`, `done` and `total` tell how far it has come.",
        status: StatusCode::ACCEPTED,
        ..Operation::act("/api/v1/doctor/run", TAG, "Doctor", Rule::Users, |call| {
            Box::pin(run(call))
        })
    },
    Operation {
        summary: "Mend a fault",
        description: "Only where the check says `repair`. The thing is looked at again before this is answered. What \
                      could not be mended is refused with 409 and the reason.",
        body: Some("CheckRepair"),
        refusals: &[409],
        ..Operation::act(
            "/api/v1/doctor/repair",
            TAG,
            "CheckRepaired",
            Rule::Users,
            |call| Box::pin(repair(call)),
        )
    },
];

/// Whether a caller may see a finding: what is theirs, and the installation's own only if they are an administrator.
fn sees(call: &Call, view: &View, kind: &str, id: &str) -> bool {
    match Patient::of(kind, id) {
        Some(Patient::Installation) => is_administrator(call),
        Some(patient) => patient.exists(view),
        None => false,
    }
}

pub(super) fn is_administrator(call: &Call) -> bool {
    call.caller
        .user()
        .is_some_and(|user| user.role == Role::Admin)
}

/// The findings that a caller may see.
pub(super) fn seen<'a>(
    call: &Call,
    view: &View,
    findings: &'a [Finding],
) -> impl Iterator<Item = &'a Finding> {
    findings
        .iter()
        .filter(|finding| sees(call, view, &finding.subject.kind, &finding.subject.id))
}

fn show_all<'a>(findings: impl Iterator<Item = &'a Finding>, language: Language) -> Vec<Value> {
    findings
        .filter_map(|finding| report::show(finding, language))
        .collect()
}

async fn show(call: &Call) -> Outcome {
    let last = report::Report::last(&call.app).await?;
    let progress = call.app.doctor.progress();
    let view = call.registry();
    let findings = last.as_ref().map_or(&[][..], |last| &last.findings);
    Ok(json!({
        "checked_at": last.as_ref().map(report::Report::checked_at),
        "running": progress.running,
        "done": progress.done,
        "total": progress.total,
        "checks": show_all(seen(call, &view, findings), call.client.language),
    }))
}

async fn get(call: Call) -> Outcome {
    call.query().finish()?;
    show(&call).await
}

async fn run(call: Call) -> Outcome {
    call.optional_fields(&[])?.finish()?;
    call.app.doctor.ask();
    show(&call).await
}

async fn repair(call: Call) -> Outcome {
    let mut fields = call.fields(REPAIR_FIELDS, super::fields::Mode::Create)?;
    let check = fields.required("check", rules::text(100));
    let subject = fields.nested("subject", |subject| {
        let kind = subject.required("kind", rules::choice(KINDS));
        let id = subject.required("id", |value| match value {
            Value::String(id) if id.len() <= 100 => Ok(id.clone()),
            _ => Err("must be an id".to_owned()),
        });
        // What GET shows may be sent back as it is.
        subject.optional("name", |_| Ok(()));
        Some((kind?, id?))
    });
    if subject.is_none() {
        fields.error("subject", "needs kind and id, as the check shows them");
    }
    fields.finish()?;
    let (Some(check), Some((kind, id))) = (check, subject) else {
        return Err(Problem::field("subject", "needs kind and id"));
    };
    let about = doctor::check(&check)
        .ok_or_else(|| Problem::field("check", "is not the name of a check"))?;
    if about.repair.is_none() {
        return Err(Problem::field(
            "check",
            "cannot be mended from here; its fix says what to do",
        ));
    }
    if !sees(&call, &call.registry(), &kind, &id) {
        return Err(Problem::unknown("subject"));
    }
    let language = call.client.language;
    match doctor::mend(&call.app, about, &kind, &id).await {
        Ok(findings) => {
            let view = call.registry();
            Ok(json!({ "checks": show_all(seen(&call, &view, &findings), language) }))
        }
        Err(Obstacle::Gone) => Err(Problem::unknown("subject")),
        Err(Obstacle::Refused(why)) => Err(Problem::in_use(why.in_language(language))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_are_those_of_the_checks() {
        for about in doctor::checks() {
            assert!(GROUPS.contains(&about.group.as_str()), "{}", about.id);
        }
    }

    #[test]
    fn what_is_shown_is_what_is_described() {
        let finding = Finding {
            check: "account_subscribed".to_owned(),
            subject: doctor::Subject {
                kind: "account".to_owned(),
                id: String::new(),
                name: String::new(),
            },
            state: doctor::State::Fault,
            cause: None,
            fix: None,
        };
        let shown = report::show(&finding, Language::Russian).unwrap_or_default();
        crate::api::description::assert_described("Check", &shown);
        crate::api::description::assert_described("CheckSubject", &shown["subject"]);
        assert_eq!(shown["repair"], true);
        assert_eq!(shown["title"], "Приложение получает сообщения аккаунта");
    }
}
