//! `waba/knocks`: accounts and numbers that sent callbacks and are not entered.

use serde_json::{Value, json};
use uuid::Uuid;
use whatsapp::webhook::{self, ChangeKind};

use super::{
    operation::{Call, Described, Field, Operation, Outcome, Purpose, Shape},
    page::Page,
    rule::Rule,
};
use crate::store::events::{self, Knock};

const FIELDS: &[Field] = &[
    Field {
        description: "The latest of its kept callbacks, see events.",
        ..Field::id()
    },
    Field::read(
        "app",
        Shape::Id,
        "The application that the callbacks came for.",
        "0199f1c2-1111-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::nullable(
        "account",
        Shape::Id,
        "Our id of the account, where that is entered and only the number is not.",
        "",
    ),
    Field::nullable(
        "waba_id",
        Shape::Text,
        "Meta's id of the account.",
        "102290129340398",
    ),
    Field::nullable(
        "phone_id",
        Shape::Text,
        "Meta's phone number id; null where it is about the account itself.",
        "106540352242922",
    ),
    Field::nullable(
        "phone",
        Shape::Text,
        "The number's digits.",
        "4915755501234",
    ),
    Field::read(
        "count",
        Shape::Whole,
        "How many callbacks are kept; entering the account and the number delivers them.",
        "3",
    ),
    Field::read(
        "first_at",
        Shape::Time,
        "When the first came.",
        "2026-11-23T04:47:32.010Z",
    ),
    Field::read(
        "last_at",
        Shape::Time,
        "When the last came.",
        "2026-11-23T04:47:32.010Z",
    ),
];

pub(super) const OBJECTS: &[Described] = &[Described {
    name: "Knock",
    purpose: Purpose::Shown,
    description: "An account or a number that sent callbacks and is not entered.",
    fields: FIELDS,
}];

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    summary: "List accounts and numbers that knock",
    description: "Their callbacks are kept and delivered once they are entered, in their order.",
    ..Operation::list(
        "/api/v1/waba/knocks",
        "Connecting Meta",
        "Knock",
        Rule::Users,
        |call| Box::pin(list(call)),
    )
}];

fn show(knock: &Knock, account: Option<Uuid>) -> Value {
    json!({
        "id": knock.latest,
        "app": knock.app,
        "account": account,
        "waba_id": knock.waba_id,
        "phone_id": knock.phone_number_id,
        "phone": phone(knock),
        "count": knock.count,
        "first_at": knock.first_at,
        "last_at": knock.last_at,
    })
}

/// The number's digits, which stand beside its id in the callback.
fn phone(knock: &Knock) -> Option<String> {
    let wanted = knock.phone_number_id.as_deref()?;
    let callback = webhook::parse(&knock.body).ok()?;
    callback
        .changes
        .into_iter()
        .find_map(|change| match change.kind {
            ChangeKind::Messages(value) | ChangeKind::Echoes(value)
                if value.phone_number_id.as_deref() == Some(wanted) =>
            {
                value.display_phone_number
            }
            _ => None,
        })
}

async fn list(call: Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    query.finish()?;
    let registry = call.registry();
    let apps: Vec<Uuid> = registry.waba_apps.keys().copied().collect();
    let knocks = events::knocks(&call.app.store, &apps).await?;
    Ok(page.of_all(
        knocks.iter(),
        |knock| knock.latest,
        |knock| {
            let account = registry
                .accounts
                .values()
                .find(|account| Some(&account.waba_id) == knock.waba_id.as_ref());
            show(knock, account.map(|account| account.id))
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Millis;

    #[test]
    fn a_number_is_shown_as_the_callback_names_it() {
        let body = r#"{"entry":[{"id":"108","changes":[{"field":"messages","value":{"metadata":
            {"phone_number_id":"7","display_phone_number":"4915755501234"}}}]}]}"#;
        let mut knock = Knock {
            latest: Uuid::nil(),
            app: Uuid::nil(),
            phone_number_id: Some("7".to_owned()),
            waba_id: Some("108".to_owned()),
            count: 2,
            first_at: Millis(0),
            last_at: Millis(1),
            body: body.as_bytes().to_vec(),
        };
        assert_eq!(phone(&knock).as_deref(), Some("4915755501234"));
        crate::api::description::assert_described("Knock", &show(&knock, None));
        knock.phone_number_id = Some("8".to_owned());
        assert_eq!(phone(&knock), None);
    }
}
