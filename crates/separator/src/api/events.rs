//! `events`: raw callbacks that were kept.

use serde_json::{Value, json};

use super::{
    operation::{Call, Described, Field, Operation, Outcome, Parameter, Purpose, Shape},
    page::Page,
    problem::Problem,
    rule::Rule,
    rules,
};
use crate::{
    registry::Registry,
    store::browse::{self, Event},
};

const PATH: &str = "/api/v1/events";
const ONE: &str = "/api/v1/events/{id}";
const TAG: &str = "Events";

/// What problems call it.
const WHAT: &str = "event";

const SOURCES: &[&str] = &["meta", "bitrix"];

const STATES: &[&str] = &[
    "translated",
    "recorded",
    "not_understood",
    "unlinked",
    "poison",
];

const FIELDS: &[Field] = &[
    Field::id(),
    Field::read("source", Shape::OneOf(SOURCES), "Who sent it.", "meta"),
    Field::nullable(
        "app",
        Shape::Id,
        "The application it was for.",
        "0199f1c2-1111-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::nullable(
        "instance",
        Shape::Id,
        "The Bitrix24 instance it was from.",
        "",
    ),
    Field::read(
        "received_at",
        Shape::Time,
        "When it came.",
        "2026-11-23T04:47:32.010Z",
    ),
    Field::read(
        "state",
        Shape::OneOf(STATES),
        "Why it was kept: translated (the application keeps everything), recorded (understood, but not about a \
         message), not_understood, unlinked (for a number that nobody has entered), poison (translating it failed).",
        "not_understood",
    ),
    Field::nullable("error", Shape::Text, "What was wrong with it.", ""),
    Field::nullable(
        "body",
        Shape::Anything,
        "What was sent: JSON as such, everything else as text; only where a single event is shown, null in lists.",
        "",
    ),
];

pub(super) const OBJECTS: &[Described] = &[Described {
    name: "Event",
    purpose: Purpose::Shown,
    description: "A raw callback that was kept.",
    fields: FIELDS,
}];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "List kept callbacks",
        description: "Newest first, without bodies.",
        query: &[
            Parameter {
                name: "source",
                shape: Shape::OneOf(SOURCES),
                description: "From this side.",
            },
            Parameter {
                name: "state",
                shape: Shape::OneOf(STATES),
                description: "Kept for this reason.",
            },
        ],
        ..Operation::list(PATH, TAG, "Event", Rule::Users, |call| Box::pin(list(call)))
    },
    Operation {
        summary: "Show a kept callback with its body",
        ..Operation::get(ONE, TAG, "Event", Rule::Users, |call| Box::pin(get(call)))
    },
];

fn show(event: &Event, registry: &Registry, body: Option<&[u8]>) -> Value {
    let instance = registry.instances.get(&event.owner_id);
    let app = instance.map_or(event.owner_id, |instance| instance.app_id);
    json!({
        "id": event.id,
        "source": event.source,
        "app": app,
        "instance": instance.map(|instance| instance.id),
        "received_at": event.received_at,
        "state": event.state,
        "error": event.error,
        "body": body.map(show_body),
    })
}

/// Without the secrets that Bitrix24 puts into each event: whoever may read events need not hold a portal's tokens.
fn show_body(body: &[u8]) -> Value {
    if let Ok(json) = serde_json::from_slice(body) {
        return json;
    }
    let text = String::from_utf8_lossy(body);
    if !text.contains("auth") {
        return Value::String(text.into_owned());
    }
    let pairs: Vec<String> = text.split('&').map(without_token).collect();
    Value::String(pairs.join("&"))
}

/// A pair of a form whose value is replaced where its name says that it is a token.
fn without_token(pair: &str) -> String {
    let Some((name, _)) = pair.split_once('=') else {
        return pair.to_owned();
    };
    let plain: String = url::form_urlencoded::parse(name.as_bytes())
        .map(|(name, _)| name.into_owned())
        .collect();
    let plain = plain.to_ascii_lowercase();
    if plain.contains("token") || plain.contains("auth_id") || plain.contains("refresh_id") {
        return format!("{name}=(removed)");
    }
    pair.to_owned()
}

async fn list(call: Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    let source = query.optional("source", rules::choice(SOURCES));
    let state = query.optional("state", rules::choice(STATES));
    query.finish()?;
    let rows = browse::events(
        &call.app.store,
        &call.reach(),
        source.as_ref(),
        state.as_ref(),
        page.window(),
    )
    .await?;
    let registry = call.registry();
    Ok(page.of_rows(rows, |event| event.id, |event| show(event, &registry, None)))
}

async fn get(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let (event, body) = browse::event(&call.app.store, &call.reach(), id)
        .await?
        .ok_or_else(|| Problem::unknown(WHAT))?;
    Ok(show(&event, &call.registry(), Some(&body)))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::time::Millis;

    #[test]
    fn json_is_shown_as_such_and_the_rest_as_text() {
        assert_eq!(show_body(br#"{"a": 1}"#), json!({ "a": 1 }));
        assert_eq!(show_body(b"a=1&b=\xff"), json!("a=1&b=\u{fffd}"));
    }

    #[test]
    fn tokens_in_a_form_are_not_shown() {
        let shown = show_body(
            b"event=ONIMCONNECTORMESSAGEADD&auth%5Baccess_token%5D=s3cret&auth[application_token]=s3cret&AUTH_ID=s3cret&x",
        );
        assert_eq!(
            shown,
            "event=ONIMCONNECTORMESSAGEADD&auth%5Baccess_token%5D=(removed)&auth[application_token]=(removed)\
             &AUTH_ID=(removed)&x"
        );
    }

    #[test]
    fn what_is_shown_is_what_is_described() {
        let event = Event {
            id: Uuid::nil(),
            source: "meta".to_owned(),
            owner_id: Uuid::nil(),
            received_at: Millis(0),
            state: "poison".to_owned(),
            error: None,
        };
        crate::api::description::assert_described(
            "Event",
            &show(&event, &Registry::default(), None),
        );
    }
}
