//! Sending a template, or a stored interactive message, from a page inside Bitrix24.

use axum::http::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use super::{TAG, number, person::Customer, read_template, say, viewer};
use crate::{
    api::{
        fields::{self, Mode},
        messages,
        operation::{Call, Described, Field, Operation, Outcome, Purpose, Shape},
        phone_messages,
        problem::Problem,
        rule::Rule,
        rules,
    },
    compose,
    intake::codes::{self, Made},
    registry::Phone,
    store::{
        self,
        templates::{self, Template},
    },
    translate::{
        interactive::{self, Interactive},
        notes::Note,
        template::{self, Refusal},
    },
};

const FIELDS: &[Field] = &[
    Field::required(
        "number",
        Shape::Id,
        "The portal's number that sends it.",
        "0199f1c2-3333-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::required(
        "recipient",
        Shape::Text,
        "Key of the customer, as the place shows it.",
        "AfX0…",
    ),
    Field::optional(
        "template",
        Shape::Id,
        "The template; or else an interactive message.",
        "0199f1c2-4444-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::optional(
        "interactive",
        Shape::Id,
        "The stored interactive message; it goes out only within the 24 hours.",
        "",
    ),
    Field::optional(
        "values",
        Shape::Texts,
        "A value for each place, in their order.",
        "[\"Anna\"]",
    ),
    Field::optional(
        "file",
        Shape::Address,
        "Address of the header's file.",
        "https://example.com/offer.pdf",
    ),
    Field::optional(
        "location",
        Shape::Text,
        "The header's place on the map: latitude,longitude,name,address.",
        "52.5,13.4,Office,Main street 1",
    ),
    Field::optional(
        "place",
        Shape::Text,
        "Where the page stands, for the message's journey.",
        "CRM_DEAL_DETAIL_TAB 1207",
    ),
];

pub(super) const MESSAGE: Described = Described {
    name: "FrameSend",
    purpose: Purpose::Sent,
    description: "A template or an interactive message with its values, to a customer whom the page showed.",
    fields: FIELDS,
};

pub(super) const OPERATION: Operation = Operation {
    summary: "Send a template from a card or a chat",
    description: "The message is queued; the conversation shows what becomes of it. With an Idempotency-Key it is sent once \
                  however often it is asked for.",
    status: StatusCode::ACCEPTED,
    location: Some(messages::PATH),
    records_itself: true,
    ..Operation::create(
        "/api/v1/frames/messages",
        TAG,
        "FrameSend",
        "Message",
        Rule::PortalPeople,
        |call| Box::pin(send(call)),
    )
};

fn texts(value: &Value) -> Result<Vec<String>, String> {
    let Value::Array(items) = value else {
        return Err("must be a list of texts".to_owned());
    };
    items
        .iter()
        .map(|item| item.as_str().map(str::to_owned))
        .collect::<Option<Vec<String>>>()
        .ok_or_else(|| "must be a list of texts".to_owned())
}

async fn send(call: Call) -> Outcome {
    let mut given = call.fields(FIELDS, Mode::Create)?;
    let id = given.required("number", fields::id);
    let key = given.required("recipient", rules::text(1000));
    let template = given.optional("template", fields::id).flatten();
    let interactive = given.optional("interactive", fields::id).flatten();
    if template.is_some() == interactive.is_some() {
        let either = say(
            &call,
            "or interactive is required, and only one of the two",
            "или interactive: нужно одно из двух",
        );
        given.error("template", either);
    }
    let values = given
        .optional("values", texts)
        .flatten()
        .unwrap_or_default();
    // What is no address is refused with the operators' own words, as in a code.
    let file = given.optional("file", rules::text(2000)).flatten();
    let location = given.optional("location", rules::text(500)).flatten();
    let place = given.optional("place", rules::text(100)).flatten();
    let (Some(id), Some(key)) = (id, key) else {
        return Err(given.incomplete());
    };
    given.finish()?;
    let registry = call.registry();
    let person = viewer(&call)?;
    let phone = number(&call, &registry, person.instance, Some(id))?;
    let customer = Customer::of(&call, &key, phone.id)?;
    let made = match (template, interactive) {
        (Some(template), _) => {
            let stored = stored_template(&call, phone, template).await?;
            let template = read_template(&stored);
            let whole = registry.whole();
            let messaging = whole.messaging_of(phone.id);
            let known = customer.conversation(&call.app.store, phone).await?;
            let filled = codes::with_default_file(messaging, file.as_deref(), |file| {
                template::fill_in_order(&template, &values, file, location.as_deref())
            });
            filled.map(Made::Template).and_then(|made| match &known {
                Some((_, conversation)) => made.wanted(conversation),
                None => Ok(made),
            })
        }
        (None, message) => {
            let stored = stored_message(&call, phone, message.unwrap_or_default()).await?;
            if customer.takes_everything(&call, phone).await? {
                interactive::fill_in_order(&stored, &values).map(Made::Interactive)
            } else {
                Err(Refusal::InteractiveClosed { name: stored.name })
            }
        }
    };
    let made = made.map_err(|refusal| refused(&call, refusal))?;
    let place = place.unwrap_or_default();
    let (origin, on) = if customer.number.is_some() {
        ("chat", "in the chat")
    } else {
        ("card", "on a card")
    };
    let detail = format!(
        "asked for by {} (user {}) {on} of Bitrix24, on disk; {place}",
        person.name, person.user_id
    );
    let sent = compose::send_made(&call.app, phone.id, &customer.to, &made, origin, &detail);
    let message = sent.await.map_err(phone_messages::refused_recipient)?;
    messages::one(&call, message).await
}

async fn stored_template(call: &Call, phone: &Phone, id: Uuid) -> Result<Template, Problem> {
    templates::one(&call.app.store, id)
        .await?
        .filter(|stored| stored.account == phone.account_id)
        .ok_or_else(|| of_another_account(call, "template"))
}

async fn stored_message(call: &Call, phone: &Phone, id: Uuid) -> Result<Interactive, Problem> {
    store::interactive::one(&call.app.store, id)
        .await?
        .filter(|stored| stored.account == phone.account_id)
        .map(|stored| stored.message)
        .ok_or_else(|| of_another_account(call, "interactive"))
}

fn of_another_account(call: &Call, field: &str) -> Problem {
    let text = say(
        call,
        "does not belong to this number's account: choose another one",
        "не из аккаунта этого номера: выберите другой",
    );
    Problem::field(field, text)
}

/// Nothing is sent: the sentence that operators know from the chat, at the field that it is about.
fn refused(call: &Call, refusal: Refusal) -> Problem {
    let field = match &refusal {
        Refusal::FileMissing { .. } | Refusal::BadLink { .. } | Refusal::NoPlaceForFile { .. } => {
            "file"
        }
        Refusal::LocationMissing => "location",
        Refusal::NotApproved { .. } | Refusal::Beyond { .. } | Refusal::OptedOut { .. } => {
            "template"
        }
        Refusal::InteractiveClosed { .. } => "interactive",
        _ => "values",
    };
    Problem::field(field, Note::CodeRefused(refusal).text(call.client.language))
}
