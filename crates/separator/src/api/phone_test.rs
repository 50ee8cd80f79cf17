//! `waba/phones/{id}/test`: a real message that shows whether the way to a customer works.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;

use super::{
    fields::Mode,
    messages,
    operation::{Call, Described, Field, Operation, Outcome, Purpose, Shape},
    phone_messages::{recipient, refused_whole},
    phones,
    problem::Problem,
    rule::Rule,
};
use crate::{
    compose::{self, Outgoing, To},
    doctor::Text,
    person, store,
    time::Millis,
};

const PATH: &str = "/api/v1/waba/phones/{id}/test";

/// How long after a customer's message free text may be sent (Meta: customer service window).
const WINDOW: Duration = Duration::from_hours(24);

/// The template that every account has from the start (Meta: getting started).
const TEMPLATE: &str = "hello_world";
const TEMPLATE_LANGUAGE: &str = "en_US";

const FIELDS: &[Field] = &[Field::required(
    "to",
    Shape::Text,
    "Your own phone: a number with its country code, or WhatsApp's user id (BSUID).",
    "4915755509999",
)];

pub(super) const OBJECTS: &[Described] = &[Described {
    name: "TestMessage",
    purpose: Purpose::Sent,
    description: "To whom a test message goes.",
    fields: FIELDS,
}];

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    summary: "Send a test message",
    description: "Text where the phone wrote to the number in the last 24 hours, else the template hello_world. What \
                  becomes of it is in the message's journey.",
    status: StatusCode::ACCEPTED,
    location: Some(messages::PATH),
    ..Operation::create(
        PATH,
        "Phone numbers",
        "TestMessage",
        "Message",
        Rule::Users,
        |call| Box::pin(send(call)),
    )
}];

async fn send(call: Call) -> Outcome {
    let phone = call.id(phones::WHAT)?;
    if !call.registry().phones.contains_key(&phone) {
        return Err(Problem::unknown(phones::WHAT));
    }
    let mut fields = call.fields(FIELDS, Mode::Create)?;
    let to = fields.required("to", recipient);
    let Some(to) = to else {
        return Err(fields.incomplete());
    };
    fields.finish()?;
    let what = if is_open(&call, phone, &to).await? {
        let text = Text::of(
            "This is a test message from Separator.",
            "Это проверочное сообщение от Separator.",
        );
        Outgoing::Text(text.in_language(call.client.language).to_owned())
    } else {
        Outgoing::Template {
            name: TEMPLATE.to_owned(),
            language: TEMPLATE_LANGUAGE.to_owned(),
            components: Value::Array(Vec::new()),
        }
    };
    let message = compose::send(&call.app, phone, &to, what)
        .await
        .map_err(refused_whole)?;
    messages::one(&call, message).await
}

/// Whether free text may be sent.
async fn is_open(call: &Call, phone: uuid::Uuid, to: &To) -> Result<bool, Problem> {
    let name = match to {
        To::Phone(digits) => person::canonical(digits),
        To::UserId(id) => id.clone(),
    };
    let last: Option<Millis> = store::doctor::last_inbound(&call.app.store, phone, &name).await?;
    let now = call.app.clock.now();
    Ok(last.is_some_and(|last| now.since(last) < WINDOW))
}
