//! `waba/interactive`: interactive messages that are stored here and sent by their name.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    fields::{self, Fields, Mode},
    operation::{Call, Described, Field, Operation, Outcome, Parameter, Purpose, Shape},
    page::Page,
    problem::Problem,
    rule::Rule,
    rules, templates,
};
use crate::{
    store::{
        self,
        interactive::{self, Stored},
    },
    translate::interactive::{Interactive, limits},
};

const PATH: &str = "/api/v1/waba/interactive";
const ONE: &str = "/api/v1/waba/interactive/{id}";
const TAG: &str = "Interactive messages";

/// What problems call it.
const WHAT: &str = "interactive message";

/// Messages that an account can have; their codes are looked for among all of them.
const MOST: i64 = 200;

const NAME: Field = Field::required(
    "name",
    Shape::Text,
    "Its name in codes: lower-case letters, digits and underscores.",
    "menu",
);

const CONTENT: Field = Field::required(
    "content",
    Shape::Anything,
    "Meta's object `interactive`, of the type button, list, cta_url, voice_call or call_permission_request. Its texts may \
     have places, all numbered from {{1}} or all named such as {{first_name}}. A header's file is given by its link.",
    "{\"type\": \"button\", \"body\": {\"text\": \"Shall we call you, {{1}}?\"}, \"action\": {\"buttons\": \
     [{\"type\": \"reply\", \"reply\": {\"id\": \"yes\", \"title\": \"Yes\"}}]}}",
);

const FIELDS: &[Field] = &[
    Field::id(),
    Field::read(
        "account",
        Shape::Id,
        "The account whose numbers can send it.",
        "0199f1c2-4444-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::read("name", NAME.shape, NAME.description, "menu"),
    Field::read(
        "content",
        CONTENT.shape,
        CONTENT.description,
        CONTENT.example,
    ),
    Field::read("kind", Shape::Text, "The type of its content.", "button"),
    Field::read(
        "places",
        Shape::Texts,
        "Its places, in the order in which a code fills them.",
        "[\"{{1}}\"]",
    ),
    Field::read(
        "code",
        Shape::Text,
        "The code that sends it, with a mark for each value.",
        "interactive+menu|{{1}}",
    ),
    Field::created_at(),
    Field::read(
        "updated_at",
        Shape::Time,
        "When it was last changed.",
        "2026-11-23T04:47:32.010Z",
    ),
];

const NEW_FIELDS: &[Field] = &[
    Field::required(
        "account",
        Shape::Id,
        "The account whose numbers can send it.",
        "0199f1c2-4444-7a41-9c55-2f0e8b1d6a90",
    ),
    NAME,
    CONTENT,
];

const CHANGE_FIELDS: &[Field] = &[
    Field::optional("name", NAME.shape, NAME.description, NAME.example),
    Field::optional(
        "content",
        CONTENT.shape,
        CONTENT.description,
        CONTENT.example,
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "InteractiveMessage",
        purpose: Purpose::Shown,
        description: "An interactive message that is stored: reply buttons, a list, a link, a call button or the question \
                      whether one may call.",
        fields: FIELDS,
    },
    Described {
        name: "NewInteractiveMessage",
        purpose: Purpose::Sent,
        description: "An interactive message that is to be stored.",
        fields: NEW_FIELDS,
    },
    Described {
        name: "InteractiveMessageChange",
        purpose: Purpose::Sent,
        description: "What is to be another of an interactive message.",
        fields: CHANGE_FIELDS,
    },
];

const QUERY: &[Parameter] = &[
    Parameter {
        name: "account",
        shape: Shape::Id,
        description: "Of this account.",
    },
    Parameter {
        name: "q",
        shape: Shape::Text,
        description: "With this in the name or the content.",
    },
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "List interactive messages",
        description: "Those of all accounts, or in a portal of the accounts of its numbers.",
        query: QUERY,
        ..Operation::list(PATH, TAG, "InteractiveMessage", Rule::Known, |call| {
            Box::pin(list(call))
        })
    },
    Operation {
        summary: "Store an interactive message",
        description: "It can be sent at once by its code, within the 24 hours: Meta does not review such messages. What Meta \
                      would refuse is told at its field.",
        ..Operation::create(
            PATH,
            TAG,
            "NewInteractiveMessage",
            "InteractiveMessage",
            Rule::Users,
            |call| Box::pin(create(call)),
        )
    },
    Operation {
        summary: "Show an interactive message",
        ..Operation::get(ONE, TAG, "InteractiveMessage", Rule::Known, |call| {
            Box::pin(get(call))
        })
    },
    Operation {
        summary: "Change an interactive message",
        description: "What was sent of it stays as it was sent.",
        ..Operation::change(
            ONE,
            TAG,
            "InteractiveMessageChange",
            "InteractiveMessage",
            Rule::Users,
            |call| Box::pin(change(call)),
        )
    },
    Operation {
        summary: "Delete an interactive message",
        description: "Codes that name it are refused from then on.",
        ..Operation::delete(ONE, TAG, Rule::Users, |call| Box::pin(delete(call)))
    },
];

pub(super) fn show(stored: &Stored) -> Value {
    let message = &stored.message;
    json!({
        "id": stored.id,
        "account": stored.account,
        "name": message.name,
        "content": message.content,
        "kind": message.content["type"],
        "places": message.places(),
        "code": message.code(),
        "created_at": stored.created_at,
        "updated_at": stored.updated_at,
    })
}

async fn list(call: Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    let account = query.optional("account", fields::id);
    let text = query.optional("q", rules::text(200));
    query.finish()?;
    let accounts: Vec<Uuid> = templates::accounts(&call)
        .into_iter()
        .filter(|id| account.is_none_or(|account| account == *id))
        .collect();
    let store = &call.app.store;
    let rows = interactive::list(store, &accounts, text.as_deref(), page.window()).await?;
    Ok(page.of_rows(rows, |stored| stored.id, show))
}

/// One that the caller may see.
async fn found(call: &Call, id: Uuid) -> Result<Option<Stored>, Problem> {
    let found = interactive::one(&call.app.store, id).await?;
    Ok(found.filter(|stored| templates::accounts(call).contains(&stored.account)))
}

async fn named(call: &Call) -> Result<Stored, Problem> {
    let id = call.id(WHAT)?;
    let found = found(call, id).await?;
    found.ok_or_else(|| Problem::unknown(WHAT))
}

async fn get(call: Call) -> Outcome {
    named(&call).await.map(|stored| show(&stored))
}

/// Reads a content; what Meta would refuse of it is noted at its field.
fn content(fields: &mut Fields, read: Option<Value>) -> Option<Value> {
    let content = read?;
    let faults = limits::faults(&content);
    for fault in &faults {
        let field = match fault.field.as_str() {
            "" => "content".to_owned(),
            field => format!("content.{field}"),
        };
        fields.error(&field, fault.message.as_str());
    }
    faults.is_empty().then_some(content)
}

async fn create(call: Call) -> Outcome {
    let mut fields = call.fields(NEW_FIELDS, Mode::Create)?;
    let account = fields.required("account", fields::id);
    let name = fields.required("name", rules::template_name);
    let given = fields.required("content", anything);
    let content = content(&mut fields, given);
    let known = account.filter(|account| templates::accounts(&call).contains(account));
    if account.is_some() && known.is_none() {
        fields.error("account", "does not exist");
    }
    let (Some(account), Some(name), Some(content)) = (known, name, content) else {
        return Err(fields.incomplete());
    };
    fields.finish()?;
    let store = &call.app.store;
    if interactive::count(store, account).await? >= MOST {
        return Err(Problem::field(
            "account",
            format!("has {MOST} interactive messages already; delete one that is not used"),
        ));
    }
    let now = call.app.clock.now();
    let stored = Stored {
        id: call.app.ids.next(),
        account,
        message: Interactive { name, content },
        created_at: now,
        updated_at: now,
    };
    interactive::insert(store, &stored).await.map_err(refused)?;
    Ok(show(&stored))
}

async fn change(call: Call) -> Outcome {
    let mut stored = named(&call).await?;
    let mut fields = call.fields(CHANGE_FIELDS, Mode::Change)?;
    let name = fields.required("name", rules::template_name);
    let given = fields.required("content", anything);
    let content = content(&mut fields, given);
    fields.finish()?;
    if let Some(name) = name {
        stored.message.name = name;
    }
    if let Some(content) = content {
        stored.message.content = content;
    }
    stored.updated_at = call.app.clock.now();
    interactive::update(
        &call.app.store,
        stored.id,
        &stored.message,
        stored.updated_at,
    )
    .await
    .map_err(refused)?;
    Ok(show(&stored))
}

async fn delete(call: Call) -> Outcome {
    let stored = named(&call).await?;
    interactive::remove(&call.app.store, stored.id).await?;
    Ok(Value::Null)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "a rule of a field, which the limits look at"
)]
fn anything(value: &Value) -> Result<Value, String> {
    Ok(value.clone())
}

fn refused(error: store::Error) -> Problem {
    if error.is_duplicate() {
        Problem::field("name", "is taken by another message of this account")
    } else {
        error.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Millis;

    #[test]
    fn what_is_shown_is_what_is_described() {
        let stored = Stored {
            id: Uuid::nil(),
            account: Uuid::nil(),
            message: Interactive {
                name: "call".to_owned(),
                content: json!({"type": "call_permission_request", "action": {"name": "call_permission_request"}}),
            },
            created_at: Millis(0),
            updated_at: Millis(0),
        };
        crate::api::description::assert_described("InteractiveMessage", &show(&stored));
    }
}
