//! `waba/phones/{id}/conversations`: the customers of a number, and until when they may be written to freely.

use std::collections::HashMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    operation::{Call, Described, Field, Operation, Outcome, Purpose, Shape},
    page::Page,
    phones,
    problem::Problem,
    rule::Rule,
};
use crate::{
    store::{
        browse::{self, Conversation},
        conversations, held,
    },
    time::Millis,
};

const PATH: &str = "/api/v1/waba/phones/{id}/conversations";
const TAG: &str = "Phone numbers";

const FIELDS: &[Field] = &[
    Field::id(),
    Field::nullable(
        "peer",
        Shape::Text,
        "The customer: the digits of the WhatsApp id, or the user id where the number is hidden.",
        "4915755509999",
    ),
    Field::nullable(
        "user_id",
        Shape::Text,
        "WhatsApp's user id (BSUID).",
        "DE.13491208655302741918",
    ),
    Field::nullable("username", Shape::Text, "WhatsApp user name.", ""),
    Field::nullable("name", Shape::Text, "Name on WhatsApp.", "Anna"),
    Field::read(
        "window",
        Shape::Object("Window"),
        "The customer service window.",
        "",
    ),
    Field::nullable(
        "last_inbound_at",
        Shape::Time,
        "The customer's last message.",
        "2026-11-23T04:47:32.010Z",
    ),
    Field::read(
        "held",
        Shape::Anything,
        "Ids of operators' messages that wait for the customer, the oldest first; send-as-template sends one.",
        "[\"0199f1c2-7d3e-7a41-9c55-2f0e8b1d6a90\"]",
    ),
    Field::nullable(
        "marketing_stopped_at",
        Shape::Time,
        "Since when the customer wants no marketing messages from the number; null while they take them.",
        "2026-11-24T04:47:32.010Z",
    ),
    Field::created_at(),
];

const WINDOW_FIELDS: &[Field] = &[
    Field::read(
        "open",
        Shape::Boolean,
        "Whether free text may be sent now.",
        "true",
    ),
    Field::nullable(
        "open_until",
        Shape::Time,
        "When it closes unless the customer writes again; null while it is closed.",
        "2026-11-24T04:47:32.010Z",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "Conversation",
        purpose: Purpose::Shown,
        description: "A customer of a number.",
        fields: FIELDS,
    },
    Described {
        name: "Window",
        purpose: Purpose::Shown,
        description: "The 24 hours after a customer's message.",
        fields: WINDOW_FIELDS,
    },
];

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    summary: "List conversations of a number",
    ..Operation::list(PATH, TAG, "Conversation", Rule::Users, |call| {
        Box::pin(list(call))
    })
}];

fn show(conversation: &Conversation, held: &[Uuid], now: Millis) -> Value {
    let open_until = conversations::open_until(
        conversation.last_inbound_at,
        conversation.window_closed_at,
        now,
    );
    json!({
        "id": conversation.id,
        "peer": conversation.wa_id.as_ref().or(conversation.user_id.as_ref()),
        "user_id": conversation.user_id,
        "username": conversation.username,
        "name": conversation.name,
        "window": { "open": open_until.is_some(), "open_until": open_until },
        "last_inbound_at": conversation.last_inbound_at,
        "held": held,
        "marketing_stopped_at": conversation.marketing_stopped_at,
        "created_at": conversation.created_at,
    })
}

async fn list(call: Call) -> Outcome {
    let phone = call.id(phones::WHAT)?;
    if !call.registry().phones.contains_key(&phone) {
        return Err(Problem::unknown(phones::WHAT));
    }
    let mut query = call.query();
    let page = Page::read(&mut query);
    query.finish()?;
    let rows = browse::conversations(&call.app.store, &call.reach(), phone, page.window()).await?;
    let ids: Vec<Uuid> = rows.iter().map(|conversation| conversation.id).collect();
    let mut held: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for waiting in held::of(&call.app.store, &ids).await? {
        held.entry(waiting.conversation)
            .or_default()
            .push(waiting.message);
    }
    let now = call.app.clock.now();
    Ok(page.of_rows(
        rows,
        |conversation| conversation.id,
        |conversation| {
            let waiting = held.get(&conversation.id).map(Vec::as_slice);
            show(conversation, waiting.unwrap_or_default(), now)
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(last_inbound_at: Option<i64>, now: Millis) -> Value {
        let conversation = Conversation {
            id: Uuid::nil(),
            wa_id: None,
            user_id: Some("DE.1".to_owned()),
            username: None,
            name: None,
            last_inbound_at: last_inbound_at.map(Millis),
            window_closed_at: None,
            marketing_stopped_at: None,
            created_at: Millis(0),
        };
        show(&conversation, &[], now)
    }

    #[test]
    fn the_window_is_open_for_a_day_after_the_customers_message() {
        let day = 24 * 60 * 60 * 1000;
        let open = shown(Some(0), Millis(day - 1));
        assert_eq!(
            open["window"],
            json!({ "open": true, "open_until": "1970-01-02T00:00:00.000Z" })
        );
        for closed in [shown(Some(0), Millis(day)), shown(None, Millis(0))] {
            assert_eq!(
                closed["window"],
                json!({ "open": false, "open_until": null })
            );
        }
    }

    #[test]
    fn a_customer_without_a_number_is_named_by_the_user_id() {
        assert_eq!(shown(None, Millis(0))["peer"], "DE.1");
    }

    #[test]
    fn what_is_shown_is_what_is_described() {
        crate::api::description::assert_described("Conversation", &shown(None, Millis(0)));
    }
}
