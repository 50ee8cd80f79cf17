//! `messages`: looking for a message, following its journey, trying it again.

use std::collections::HashMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    fields::{Query, kind},
    operation::{Call, Described, Field, Operation, Outcome, Parameter, Purpose, Shape},
    page::Page,
    problem::Problem,
    rule::Rule,
    rules,
};
use crate::{
    deliver::Retry,
    registry::{Registry, TemplateRef},
    store::{
        browse::{self, Message, MessageFilter, Window},
        conversations::open_until,
        held::{self, Held},
        messages::{Journey, MessageError},
    },
    time::Millis,
    translate::{message::Language, notes::Note},
    window::{self, NotSent},
};

/// Where messages are found; also the place of a message that was just sent.
pub(super) const PATH: &str = "/api/v1/messages";
const ONE: &str = "/api/v1/messages/{id}";
const TAG: &str = "Messages";

/// What problems call it.
const WHAT: &str = "message";

const DIRECTIONS: &[&str] = &["inbound", "outbound"];

const STATES: &[&str] = &[
    "received",
    "queued",
    "sent",
    "delivered",
    "read",
    "failed",
    "unknown",
];

/// States from which a message may be tried again. What became of an unknown one is found out without being asked.
const RETRIED_STATES: &[&str] = &["failed"];

/// Messages that one call tries again at most.
const MOST_RETRIES: usize = 1000;

const FIELDS: &[Field] = &[
    Field::id(),
    Field::read(
        "phone",
        Shape::Id,
        "The business number.",
        "0199f1c2-3333-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::read(
        "direction",
        Shape::OneOf(DIRECTIONS),
        "inbound: from the customer.",
        "outbound",
    ),
    Field::read(
        "peer",
        Shape::Text,
        "The customer: digits of the WhatsApp id, or the user id.",
        "4915755509999",
    ),
    Field::nullable(
        "wamid",
        Shape::Text,
        "Meta's message id.",
        "wamid.HBgNNDkxNTc1NTUwOTk5ORUCABEYEj",
    ),
    Field::read("type", Shape::Text, "Meta's message type.", "text"),
    Field::read(
        "text",
        Shape::Text,
        "Plain text, caption or label.",
        "Good morning",
    ),
    Field::read(
        "state",
        Shape::OneOf(STATES),
        "How far it came.",
        "delivered",
    ),
    Field::nullable(
        "error",
        Shape::Object("MessageError"),
        "What went wrong.",
        "",
    ),
    Field::created_at(),
    Field::nullable(
        "journey",
        Shape::List("Step"),
        "Every hop with its time; only where a single message is shown, null in lists.",
        "",
    ),
    Field::nullable(
        "window",
        Shape::Object("Window"),
        "Until when the customer may be written to freely; only where a single message is shown, null in lists.",
        "",
    ),
    Field::nullable(
        "waits",
        Shape::Object("Waits"),
        "What it waits for, where it is not on its way although nothing failed.",
        "",
    ),
    Field::nullable(
        "marketing_stopped_at",
        Shape::Time,
        "Since when the customer wants no marketing messages from the number; only where a single message is shown.",
        "2026-11-24T04:47:32.010Z",
    ),
];

const WAITS_FIELDS: &[Field] = &[
    Field::read(
        "for",
        Shape::OneOf(&["customer", "template"]),
        "customer: only templates are taken until the customer writes. template: WhatsApp does not take its template at present.",
        "template",
    ),
    Field::read(
        "text",
        Shape::Text,
        "Why, and how it goes on, in the caller's language.",
        "WhatsApp has paused the template.",
    ),
    Field::read(
        "until",
        Shape::Time,
        "When it is given up.",
        "2026-11-24T04:47:32.010Z",
    ),
];

const AS_TEMPLATE_FIELDS: &[Field] = &[
    Field::optional(
        "template",
        Shape::Text,
        "Name of the template; the number's wrapper template where none is given.",
        "we_have_news",
    ),
    Field::optional(
        "language",
        Shape::Text,
        "Its language; found as for a code where none is given.",
        "en_US",
    ),
];

const ERROR_FIELDS: &[Field] = &[
    Field::read(
        "code",
        Shape::Text,
        "Meta's code, or a word of ours.",
        "131026",
    ),
    Field::read(
        "title",
        Shape::Text,
        "Short title.",
        "Message undeliverable",
    ),
    Field::nullable(
        "details",
        Shape::Text,
        "Details in the other side's words.",
        "",
    ),
];

const STEP_FIELDS: &[Field] = &[
    Field::read("at", Shape::Time, "When.", "2026-11-23T04:47:32.010Z"),
    Field::read("step", Shape::Text, "What happened.", "accepted"),
    Field::nullable("detail", Shape::Text, "More about it.", ""),
];

const FILTER_FIELDS: &[Field] = &[
    Field::optional(
        "ids",
        Shape::Anything,
        "Only these messages: a list of at most 1000 ids. Nothing else can be given beside it.",
        "[\"0199f1c2-6666-7a41-9c55-2f0e8b1d6a90\"]",
    ),
    Field::optional(
        "phone",
        Shape::Text,
        "Only of this number: its id or its digits.",
        "4915755501234",
    ),
    Field::optional(
        "peer",
        Shape::Text,
        "Only of this customer.",
        "4915755509999",
    ),
    Field::optional("wamid", Shape::Text, "Only this one.", ""),
    Field::optional(
        "state",
        Shape::OneOf(RETRIED_STATES),
        "Only in this state, the only one from which a message is tried again.",
        "failed",
    ),
    Field::optional(
        "direction",
        Shape::OneOf(DIRECTIONS),
        "Only in this direction.",
        "outbound",
    ),
    Field::optional("q", Shape::Text, "Only with this in their text.", ""),
];

const RETRIED_FIELDS: &[Field] = &[
    Field::read(
        "queued",
        Shape::Whole,
        "Messages that are tried again.",
        "12",
    ),
    Field::read(
        "skipped",
        Shape::Whole,
        "Messages that were not failed, or of which nothing is left that could be sent.",
        "0",
    ),
    Field::read(
        "more",
        Shape::Boolean,
        "Whether there may be more; a call takes 1000 at most.",
        "false",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "Message",
        purpose: Purpose::Shown,
        description: "A message in either direction. The text of customers' messages is shown only here.",
        fields: FIELDS,
    },
    Described {
        name: "MessageError",
        purpose: Purpose::Shown,
        description: "Why a message will not arrive.",
        fields: ERROR_FIELDS,
    },
    Described {
        name: "Step",
        purpose: Purpose::Shown,
        description: "One hop of a message.",
        fields: STEP_FIELDS,
    },
    Described {
        name: "Waits",
        purpose: Purpose::Shown,
        description: "What a message waits for.",
        fields: WAITS_FIELDS,
    },
    Described {
        name: "AsTemplate",
        purpose: Purpose::Sent,
        description: "The template that carries the text.",
        fields: AS_TEMPLATE_FIELDS,
    },
    Described {
        name: "RetryFilter",
        purpose: Purpose::Sent,
        description: "Which messages are to be tried again. Everything given must hold.",
        fields: FILTER_FIELDS,
    },
    Described {
        name: "Retried",
        purpose: Purpose::Shown,
        description: "What became of the messages that were to be tried again.",
        fields: RETRIED_FIELDS,
    },
];

const FILTER: &[Parameter] = &[
    Parameter {
        name: "phone",
        shape: Shape::Text,
        description: "Of this number: its id or its digits.",
    },
    Parameter {
        name: "peer",
        shape: Shape::Text,
        description: "Of this customer: the number or the user id.",
    },
    Parameter {
        name: "wamid",
        shape: Shape::Text,
        description: "With this id of Meta's.",
    },
    Parameter {
        name: "state",
        shape: Shape::OneOf(STATES),
        description: "In this state.",
    },
    Parameter {
        name: "direction",
        shape: Shape::OneOf(DIRECTIONS),
        description: "In this direction.",
    },
    Parameter {
        name: "q",
        shape: Shape::Text,
        description: "With this in their text.",
    },
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "Look for messages",
        description: "Newest first.",
        query: FILTER,
        ..Operation::list(PATH, TAG, "Message", Rule::Users, |call| {
            Box::pin(list(call))
        })
    },
    Operation {
        summary: "Show a message and its journey",
        ..Operation::get(ONE, TAG, "Message", Rule::Users, |call| Box::pin(get(call)))
    },
    Operation {
        summary: "Try a message again",
        description: "Only a message that failed; others are refused with 409.",
        ..Operation::act(
            "/api/v1/messages/{id}/retry",
            TAG,
            "Message",
            Rule::Users,
            |call| Box::pin(retry(call)),
        )
    },
    Operation {
        summary: "Send a message that waits as a template",
        description: "A text that an operator wrote outside the 24 hours goes out as the value of a template: of the one \
                      named, else of the number's wrapper template. A message that does not wait is refused with 409.",
        body: Some("AsTemplate"),
        ..Operation::act(
            "/api/v1/messages/{id}/send-as-template",
            TAG,
            "Message",
            Rule::Users,
            |call| Box::pin(send_as_template(call)),
        )
    },
    Operation {
        summary: "Try messages again",
        description: "All that fit the filter, the oldest first. Without a filter: all that failed.",
        body: Some("RetryFilter"),
        ..Operation::act(
            "/api/v1/messages/retry",
            TAG,
            "Retried",
            Rule::Users,
            |call| Box::pin(retry_all(call)),
        )
    },
];

/// A message as lists show it.
pub(super) fn show(message: &Message) -> Value {
    json!({
        "id": message.id,
        "phone": message.phone_id,
        "direction": message.direction,
        "peer": message.peer,
        "wamid": message.wamid,
        "type": message.kind,
        "text": message.text,
        "state": message.state,
        "error": message.error.as_deref().map(show_error),
        "created_at": message.created_at,
        "journey": null,
        "window": null,
        "waits": null,
        "marketing_stopped_at": null,
    })
}

/// Why a message is not on its way although nothing failed.
fn waits(held: &Held, until: Millis, language: Language) -> Value {
    let (for_what, text) = match (&held.why, held.template()) {
        (Some(why), Some((name, of))) => {
            let note = Note::TemplateWaits {
                name: name.to_owned(),
                language: of.to_owned(),
                why: why.clone(),
            };
            ("template", note.text(language))
        }
        _ => ("customer", Note::WaitsForCustomer.text(language)),
    };
    json!({ "for": for_what, "text": text, "until": until })
}

async fn add_waits(call: &Call, shown: &mut [(Uuid, &mut Value)]) -> Result<(), Problem> {
    let ids: Vec<Uuid> = shown
        .iter()
        .filter(|(_, message)| message["state"] == "queued")
        .map(|(id, _)| *id)
        .collect();
    let waiting = held::waits(&call.app.store, &ids).await?;
    for (id, message) in shown {
        if let Some((held, until)) = waiting.get(id) {
            message["waits"] = waits(held, *until, call.client.language);
        }
    }
    Ok(())
}

fn show_with_journey(message: &Message) -> Value {
    let mut shown = show(message);
    shown["journey"] = journey(&message.journey);
    shown
}

/// What went wrong. It is stored as JSON; anything else is shown as its title.
fn show_error(stored: &str) -> Value {
    let error = serde_json::from_str(stored).unwrap_or_else(|_| MessageError {
        code: "unknown".to_owned(),
        title: stored.to_owned(),
        details: None,
    });
    json!({ "code": error.code, "title": error.title, "details": error.details })
}

/// The stored journey with its times as the API writes them.
pub(super) fn journey(stored: &str) -> Value {
    Journey::read(stored)
        .into_iter()
        .map(|step| json!({ "at": Millis(step.at), "step": step.step, "detail": step.detail }))
        .collect()
}

/// Shows a message with its journey.
pub(super) async fn one(call: &Call, id: Uuid) -> Outcome {
    let message = browse::message(&call.app.store, &call.reach(), id)
        .await?
        .ok_or_else(|| Problem::unknown(WHAT))?;
    let mut shown = show_with_journey(&message);
    if let Some(standing) = browse::standing_of(&call.app.store, id).await? {
        let (heard, closed) = (standing.last_inbound_at, standing.window_closed_at);
        let open_until = open_until(heard, closed, call.app.clock.now());
        shown["marketing_stopped_at"] = json!(standing.marketing_stopped_at);
        shown["window"] = json!({ "open": open_until.is_some(), "open_until": open_until });
    }
    add_waits(call, &mut [(id, &mut shown)]).await?;
    Ok(shown)
}

/// A number by its id or its digits. A number that was removed is still known by its id.
pub(super) fn phone(registry: &Registry) -> impl Fn(&Value) -> Result<Uuid, String> + '_ {
    |value| {
        let Value::String(text) = value else {
            return Err(format!("must be text, not {}", kind(value)));
        };
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let digits = rules::phone(value)
            .map_err(|_| "must be the id or the digits of a number".to_owned())?;
        let found = registry.phones.values().find(|phone| phone.phone == digits);
        found
            .map(|phone| phone.id)
            .ok_or_else(|| "is not a number that was entered".to_owned())
    }
}

/// A customer: a phone number in any notation, or a user id.
fn peer(value: &Value) -> Result<String, String> {
    rules::phone(value).or_else(|_| rules::text(200)(value))
}

fn filter(query: &mut Query, registry: &Registry) -> MessageFilter {
    MessageFilter {
        phone: query.optional("phone", phone(registry)),
        peer: query.optional("peer", peer),
        wamid: query.optional("wamid", rules::text(200)),
        state: query.optional("state", rules::choice(STATES)),
        direction: query.optional("direction", rules::choice(DIRECTIONS)),
        text: query.optional("q", rules::text(200)),
    }
}

async fn list(call: Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    let filter = filter(&mut query, &call.registry());
    query.finish()?;
    let rows = browse::messages(&call.app.store, &call.reach(), &filter, page.window()).await?;
    let mut shown: HashMap<Uuid, Value> = rows
        .iter()
        .map(|message| (message.id, show(message)))
        .collect();
    let mut waiting: Vec<(Uuid, &mut Value)> =
        shown.iter_mut().map(|(id, shown)| (*id, shown)).collect();
    add_waits(&call, &mut waiting).await?;
    let take = |message: &Message| shown.get(&message.id).cloned().unwrap_or_default();
    Ok(page.of_rows(rows, |message| message.id, take))
}

async fn get(call: Call) -> Outcome {
    one(&call, call.id(WHAT)?).await
}

async fn retry(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    call.optional_fields(&[])?.finish()?;
    one(&call, id).await?;
    match crate::deliver::retry(&call.app, id).await? {
        Retry::Queued => one(&call, id).await,
        Retry::Unknown => Err(Problem::in_use(
            "nothing is left of the message that could be sent",
        )),
        Retry::NotFailed => Err(Problem::in_use(
            "the message has not failed, so there is nothing to try again",
        )),
    }
}

async fn send_as_template(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let mut fields = call.optional_fields(AS_TEMPLATE_FIELDS)?;
    let name = fields.optional("template", rules::template_name).flatten();
    let language = fields.optional("language", rules::language).flatten();
    fields.finish()?;
    one(&call, id).await?;
    let template = name.map(|name| TemplateRef { name, language });
    match window::send_as_template(&call.app, id, template).await {
        Ok(()) => one(&call, id).await,
        Err(NotSent::Store(error)) => Err(error.into()),
        Err(error @ (NotSent::NotWaiting | NotSent::File | NotSent::Template)) => {
            Err(Problem::in_use(error.to_string()))
        }
        Err(error @ (NotSent::NoTemplate | NotSent::Refused(_))) => {
            Err(Problem::field("template", error.to_string()))
        }
    }
}

async fn retry_all(call: Call) -> Outcome {
    let registry = call.registry();
    let mut fields = call.optional_fields(&[])?;
    if fields.has("ids") {
        let ids = fields.required("ids", rules::ids(MOST_RETRIES));
        fields.finish()?;
        return retry_each(&call, ids.unwrap_or_default()).await;
    }
    let filter = MessageFilter {
        phone: fields.optional("phone", phone(&registry)).flatten(),
        peer: fields.optional("peer", peer).flatten(),
        wamid: fields.optional("wamid", rules::text(200)).flatten(),
        state: fields.with_default("state", "failed".to_owned(), rules::choice(RETRIED_STATES)),
        direction: fields
            .optional("direction", rules::choice(DIRECTIONS))
            .flatten(),
        text: fields.optional("q", rules::text(200)).flatten(),
    };
    fields.finish()?;
    let filter = MessageFilter {
        state: filter.state.or_else(|| Some("failed".to_owned())),
        ..filter
    };
    let window = Window {
        below: None,
        limit: MOST_RETRIES,
    };
    let mut found = browse::messages(&call.app.store, &call.reach(), &filter, window).await?;
    let more = found.len() == MOST_RETRIES;
    // In the order in which they were written.
    found.reverse();
    let (mut queued, mut skipped) = (0, 0);
    for message in found {
        count(&call, message.id, &mut queued, &mut skipped).await?;
    }
    Ok(json!({ "queued": queued, "skipped": skipped, "more": more }))
}

/// Tries selected messages again, the oldest first: ids grow with time.
async fn retry_each(call: &Call, mut ids: Vec<Uuid>) -> Outcome {
    ids.sort_unstable();
    ids.dedup();
    let reach = call.reach();
    let (mut queued, mut skipped) = (0, 0);
    for id in ids {
        match browse::message(&call.app.store, &reach, id).await? {
            Some(_) => count(call, id, &mut queued, &mut skipped).await?,
            None => skipped += 1,
        }
    }
    Ok(json!({ "queued": queued, "skipped": skipped, "more": false }))
}

async fn count(call: &Call, id: Uuid, queued: &mut u32, skipped: &mut u32) -> Result<(), Problem> {
    match crate::deliver::retry(&call.app, id).await? {
        Retry::Queued => *queued += 1,
        Retry::NotFailed | Retry::Unknown => *skipped += 1,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn message(error: Option<&str>, journey: &str) -> Message {
        Message {
            id: Uuid::nil(),
            phone_id: Uuid::nil(),
            direction: "outbound".to_owned(),
            peer: "4915755509999".to_owned(),
            kind: "text".to_owned(),
            text: "hello".to_owned(),
            state: "failed".to_owned(),
            wamid: None,
            error: error.map(str::to_owned),
            created_at: Millis(0),
            journey: journey.to_owned(),
        }
    }

    #[test]
    fn the_journey_is_shown_with_times_as_text() {
        let stored = Journey::new()
            .with(Millis(5), "received", None)
            .with(Millis(6), "sent", Some("wamid.x"))
            .into_text();
        assert_eq!(
            show_with_journey(&message(None, &stored))["journey"],
            json!([
                { "at": "1970-01-01T00:00:00.005Z", "step": "received", "detail": null },
                { "at": "1970-01-01T00:00:00.006Z", "step": "sent", "detail": "wamid.x" },
            ])
        );
        assert_eq!(show_with_journey(&message(None, ""))["journey"], json!([]));
    }

    #[test]
    fn errors_are_shown_whatever_their_stored_form() {
        let shown = show(&message(
            Some(r#"{"code": "131026", "title": "Undeliverable"}"#),
            "",
        ));
        let whole = json!({ "code": "131026", "title": "Undeliverable", "details": null });
        assert_eq!(shown["error"], whole);
        crate::api::description::assert_described("MessageError", &shown["error"]);
        assert_eq!(
            show(&message(Some("gone away"), ""))["error"]["title"],
            "gone away"
        );
        assert_eq!(show(&message(None, ""))["error"], Value::Null);
    }

    #[test]
    fn a_peer_is_a_number_in_any_notation_or_a_user_id() {
        assert_eq!(peer(&json!("+49 1575 5509999")).unwrap(), "4915755509999");
        assert_eq!(
            peer(&json!("DE.13491208655302741918")).unwrap(),
            "DE.13491208655302741918"
        );
        assert!(peer(&json!(5)).is_err());
    }

    #[test]
    fn a_number_that_nobody_entered_is_told() {
        let registry = Registry::default();
        let id = Uuid::from_u128(5);
        assert_eq!(phone(&registry)(&json!(id)).unwrap(), id);
        assert_eq!(
            phone(&registry)(&json!("4915755501234")).unwrap_err(),
            "is not a number that was entered"
        );
        assert_eq!(
            phone(&registry)(&json!("x")).unwrap_err(),
            "must be the id or the digits of a number"
        );
    }

    #[test]
    fn what_is_shown_is_what_is_described() {
        crate::api::description::assert_described(
            "Message",
            &show_with_journey(&message(None, "")),
        );
    }
}
