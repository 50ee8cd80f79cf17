//! `audit`: who did what to what and when.

use serde_json::{Value, json};

use super::{
    fields,
    operation::{Call, Described, Field, Operation, Outcome, Parameter, Purpose, Shape},
    page::Page,
    rule::Rule,
    rules,
};
use crate::{
    store::audit::{self, Filter, Line},
    users::Role,
};

const TAG: &str = "Audit";

const STATES: &[&str] = &["done", "begun", "refused"];

const FIELDS: &[Field] = &[
    Field::id(),
    Field::read("at", Shape::Time, "When.", "2026-11-23T04:47:32.010Z"),
    Field::nullable(
        "user",
        Shape::Id,
        "The user who did it; null where it was somebody inside a portal, a command, or nobody who is known.",
        "0199f1c2-8888-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::read(
        "who",
        Shape::Text,
        "Who did it, in words.",
        "anna@example.com",
    ),
    Field::read("action", Shape::Text, "What was done.", "change"),
    Field::read(
        "subject_kind",
        Shape::Text,
        "To what sort of thing.",
        "site",
    ),
    Field::nullable(
        "subject_id",
        Shape::Text,
        "Its id.",
        "0199f1c2-0000-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::nullable(
        "subject_name",
        Shape::Text,
        "Its name, as it was.",
        "separator.example.com",
    ),
    Field::read(
        "state",
        Shape::OneOf(STATES),
        "done; begun: nobody knows whether it came to its end; refused: somebody who did not get in.",
        "done",
    ),
    Field::read(
        "changes",
        Shape::List("AuditChange"),
        "What it changed.",
        "",
    ),
    Field::read(
        "address",
        Shape::Text,
        "From where; empty: on the machine itself.",
        "198.51.100.7",
    ),
];

const CHANGE_FIELDS: &[Field] = &[
    Field::read("field", Shape::Text, "The field.", "domain"),
    Field::nullable(
        "old",
        Shape::Anything,
        "Its value before; of a secret: set.",
        "\"old.example.com\"",
    ),
    Field::nullable(
        "new",
        Shape::Anything,
        "Its value after; of a secret: set or changed.",
        "\"new.example.com\"",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "AuditLine",
        purpose: Purpose::Shown,
        description: "A change, or a try to get in.",
        fields: FIELDS,
    },
    Described {
        name: "AuditChange",
        purpose: Purpose::Shown,
        description: "A field that was changed.",
        fields: CHANGE_FIELDS,
    },
];

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    summary: "Look who did what",
    description: "Newest first. Integrators see what they did themselves.",
    query: &[
        Parameter {
            name: "q",
            shape: Shape::Text,
            description: "With this in who, the subject's name, the changes or the address.",
        },
        Parameter {
            name: "user",
            shape: Shape::Id,
            description: "Of this user.",
        },
        Parameter {
            name: "action",
            shape: Shape::Text,
            description: "With this action.",
        },
        Parameter {
            name: "subject",
            shape: Shape::Text,
            description: "About the thing with this id, or things of this sort.",
        },
        Parameter {
            name: "from",
            shape: Shape::Time,
            description: "Not before.",
        },
        Parameter {
            name: "to",
            shape: Shape::Time,
            description: "Before.",
        },
    ],
    ..Operation::list("/api/v1/audit", TAG, "AuditLine", Rule::Users, |call| {
        Box::pin(list(call))
    })
}];

fn show(line: &Line) -> Value {
    let named = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "id": line.id,
        "at": line.at,
        "user": line.user_id,
        "who": line.who,
        "action": line.action,
        "subject_kind": line.subject_kind,
        "subject_id": named(&line.subject_id),
        "subject_name": named(&line.subject_name),
        "state": line.state,
        "changes": serde_json::from_str(&line.changes).unwrap_or_else(|_| json!([])),
        "address": line.address,
    })
}

async fn list(call: Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    let mut filter = Filter {
        user: query.optional("user", fields::id),
        action: query.optional("action", rules::text(80)),
        subject: query.optional("subject", rules::text(80)),
        from: query.optional("from", rules::time),
        to: query.optional("to", rules::time),
        text: query.optional("q", rules::text(200)),
    };
    query.finish()?;
    match call.caller.user() {
        Some(user) if user.role == Role::Admin => {}
        user => filter.user = user.map(|user| user.id),
    }
    let rows = audit::lines(&call.app.store, &filter, page.window()).await?;
    Ok(page.of_rows(rows, |line| line.id, show))
}
