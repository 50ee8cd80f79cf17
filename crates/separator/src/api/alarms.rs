//! `alarms`: what needs somebody's attention.

use serde_json::{Value, json};

use super::{
    operation::{Call, Described, Field, Operation, Outcome, Purpose, Shape},
    page::Page,
    rule::Rule,
};
use crate::{
    store::browse::{self, Alarm},
    translate::message::Language,
};

const FIELDS: &[Field] = &[
    Field::id(),
    Field::read("kind", Shape::Text, "What sort of trouble.", "dead_letter"),
    Field::read(
        "subject",
        Shape::Text,
        "What it is about.",
        "0199f1c2-3333-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::read(
        "text",
        Shape::Text,
        "One sentence.",
        "A message to acme.bitrix24.com was given up.",
    ),
    Field::read(
        "raised_at",
        Shape::Time,
        "When it was raised.",
        "2026-11-23T04:47:32.010Z",
    ),
];

pub(super) const OBJECTS: &[Described] = &[Described {
    name: "Alarm",
    purpose: Purpose::Shown,
    description: "Something that needs attention and has not been cleared.",
    fields: FIELDS,
}];

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    summary: "List open alarms",
    description: "Newest first.",
    ..Operation::list("/api/v1/alarms", "Alarms", "Alarm", Rule::Users, |call| {
        Box::pin(list(call))
    })
}];

pub(super) fn show(alarm: &Alarm, language: Language) -> Value {
    let russian = alarm
        .russian
        .as_ref()
        .filter(|_| language == Language::Russian);
    json!({
        "id": alarm.id,
        "kind": alarm.kind,
        "subject": alarm.subject,
        "text": russian.unwrap_or(&alarm.text),
        "raised_at": alarm.raised_at,
    })
}

async fn list(call: Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    query.finish()?;
    let rows = browse::alarms(&call.app.store, &call.reach(), page.window()).await?;
    Ok(page.of_rows(
        rows,
        |alarm| alarm.id,
        |alarm| show(alarm, call.client.language),
    ))
}
