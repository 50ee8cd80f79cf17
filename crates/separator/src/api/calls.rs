//! `calls`: who called whom, how it went, and what Bitrix24 has of it.

use serde_json::{Value, json};

use super::{
    fields::Query,
    messages,
    operation::{Call, Described, Field, Operation, Outcome, Parameter, Purpose, Shape},
    page::Page,
    problem::Problem,
    rule::Rule,
    rules,
};
use crate::{
    registry::Registry,
    store::calls::{self, Filter, Shown},
    translate::{message::Language, notes::Words},
};

const PATH: &str = "/api/v1/calls";
const TAG: &str = "Calls";

/// What problems call it.
const WHAT: &str = "call";

const DIRECTIONS: &[&str] = &["inbound", "outbound"];

const OUTCOMES: &[&str] = &[
    "active",
    "answered",
    "missed",
    "unanswered",
    "declined",
    "failed",
    "unknown",
];

const CRM_STATES: &[&str] = &["waits", "registered", "finishing", "finished"];

const PERMISSIONS: &[&str] = &["granted", "permanent", "refused"];

const FIELDS: &[Field] = &[
    Field::id(),
    Field::read(
        "phone",
        Shape::Id,
        "The business number.",
        "0199f1c2-3333-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::read("wacid", Shape::Text, "Meta's id of the call.", "wacid.HBg1"),
    Field::read(
        "direction",
        Shape::OneOf(DIRECTIONS),
        "inbound: the customer calls.",
        "inbound",
    ),
    Field::read(
        "customer",
        Shape::Object("CallCustomer"),
        "The other side.",
        "",
    ),
    Field::read(
        "began_at",
        Shape::Time,
        "When it began, as far as Meta told.",
        "2026-11-23T04:47:32.000Z",
    ),
    Field::nullable(
        "answered_at",
        Shape::Time,
        "When somebody took it.",
        "2026-11-23T04:47:37.000Z",
    ),
    Field::nullable(
        "ended_at",
        Shape::Time,
        "When it ended; null while it goes on, or where its end was not told.",
        "2026-11-23T04:49:02.000Z",
    ),
    Field::read(
        "duration",
        Shape::Whole,
        "How long people spoke, seconds.",
        "85",
    ),
    Field::read(
        "outcome",
        Shape::OneOf(OUTCOMES),
        "How it went. missed: nobody took the customer's call; unanswered: the customer did not take the company's; \
         unknown: Meta never told the end.",
        "answered",
    ),
    Field::nullable("error", Shape::Text, "Why it failed, in Meta's words.", ""),
    Field::read(
        "crm",
        Shape::Object("CallCrm"),
        "What Bitrix24 has of it.",
        "",
    ),
    Field::nullable(
        "permission",
        Shape::Object("CallPermission"),
        "What the customer last said about being called; null where they were not asked.",
        "",
    ),
    Field::created_at(),
    Field::nullable(
        "journey",
        Shape::List("Step"),
        "What was told and done, with its time; only where a single call is shown, null in lists.",
        "",
    ),
];

const CUSTOMER_FIELDS: &[Field] = &[
    Field::nullable(
        "phone",
        Shape::Text,
        "Digits of the WhatsApp id; null where they are hidden.",
        "4915755509999",
    ),
    Field::nullable("user_id", Shape::Text, "User id.", "DE.7Kq2mZ0aXw41"),
    Field::nullable("name", Shape::Text, "Profile name.", "Lena"),
    Field::nullable("username", Shape::Text, "Username.", "lena"),
];

const CRM_FIELDS: &[Field] = &[
    Field::read(
        "state",
        Shape::OneOf(CRM_STATES),
        "waits: nothing yet; registered: it rings there; finishing: its end is being told; finished: it is in the CRM.",
        "finished",
    ),
    Field::nullable(
        "call",
        Shape::Text,
        "Bitrix24's id of the call.",
        "externalCall.0cc1.1795400700",
    ),
    Field::nullable(
        "responsible",
        Shape::Whole,
        "Bitrix24's id of the employee whose call it is.",
        "27",
    ),
    Field::nullable(
        "entity",
        Shape::Object("CallEntity"),
        "The CRM's entry of the customer.",
        "",
    ),
    Field::nullable(
        "activity",
        Shape::Whole,
        "Id of the CRM's activity.",
        "9014",
    ),
    Field::nullable(
        "problem",
        Shape::Text,
        "Why it waits.",
        "The application has no permission for telephony.",
    ),
];

const ENTITY_FIELDS: &[Field] = &[
    Field::read("type", Shape::Text, "LEAD, CONTACT or COMPANY.", "CONTACT"),
    Field::read("id", Shape::Whole, "Its id.", "9"),
];

const PERMISSION_FIELDS: &[Field] = &[
    Field::read(
        "state",
        Shape::OneOf(PERMISSIONS),
        "granted: until a time; permanent; refused.",
        "granted",
    ),
    Field::nullable(
        "until",
        Shape::Time,
        "Until when it is granted.",
        "2026-11-30T04:47:32.000Z",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "Call",
        purpose: Purpose::Shown,
        description: "A call in either direction.",
        fields: FIELDS,
    },
    Described {
        name: "CallCustomer",
        purpose: Purpose::Shown,
        description: "The other side of a call.",
        fields: CUSTOMER_FIELDS,
    },
    Described {
        name: "CallCrm",
        purpose: Purpose::Shown,
        description: "What Bitrix24 has of a call.",
        fields: CRM_FIELDS,
    },
    Described {
        name: "CallEntity",
        purpose: Purpose::Shown,
        description: "An entry of the CRM.",
        fields: ENTITY_FIELDS,
    },
    Described {
        name: "CallPermission",
        purpose: Purpose::Shown,
        description: "Whether a customer may be called.",
        fields: PERMISSION_FIELDS,
    },
];

const FILTER: &[Parameter] = &[
    Parameter {
        name: "phone",
        shape: Shape::Text,
        description: "Of this number: its id or its digits.",
    },
    Parameter {
        name: "wacid",
        shape: Shape::Text,
        description: "With this id of Meta's.",
    },
    Parameter {
        name: "direction",
        shape: Shape::OneOf(DIRECTIONS),
        description: "In this direction.",
    },
    Parameter {
        name: "outcome",
        shape: Shape::OneOf(OUTCOMES),
        description: "That went so.",
    },
    Parameter {
        name: "crm",
        shape: Shape::OneOf(CRM_STATES),
        description: "Of which Bitrix24 has that much.",
    },
    Parameter {
        name: "q",
        shape: Shape::Text,
        description: "With this in the customer's name, number, user id or username.",
    },
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "Look for calls",
        description: "Newest first.",
        query: FILTER,
        ..Operation::list(PATH, TAG, "Call", Rule::Users, |call| Box::pin(list(call)))
    },
    Operation {
        summary: "Show a call and its journey",
        ..Operation::get("/api/v1/calls/{id}", TAG, "Call", Rule::Users, |call| {
            Box::pin(get(call))
        })
    },
];

/// Why Bitrix24 does not have a call: what we know the reason of in words with what to do, else what it said.
fn problem(why: &str, language: Language) -> &str {
    let no_scope = Words {
        english: "The application has no permission for telephony. In Bitrix24: Developer resources, Integrations, the \
                  application, Permissions, tick Telephony (telephony), save. The call follows by itself for 72 hours.",
        russian: "У приложения нет права на телефонию. В Битрикс24: «Разработчикам», «Интеграции», приложение, «Настройка \
                  прав», отметьте «Телефония» (telephony), сохраните. В течение 72 часов звонок появится сам.",
    };
    match why {
        calls::NO_SCOPE => no_scope.in_language(language),
        why => why,
    }
}

fn show(call: &Shown, language: Language) -> Value {
    json!({
        "id": call.id,
        "phone": call.phone_id,
        "wacid": call.wacid,
        "direction": call.direction,
        "customer": {
            "phone": call.wa_id,
            "user_id": call.user_id,
            "name": call.name,
            "username": call.username,
        },
        "began_at": call.began_at,
        "answered_at": call.answered_at,
        "ended_at": call.ended_at,
        "duration": call.duration,
        "outcome": call.outcome,
        "error": call.error,
        "crm": {
            "state": call.told,
            "call": call.crm_call_id,
            "responsible": call.responsible,
            "entity": call.entity.as_ref().map(|(kind, id)| json!({ "type": kind, "id": id })),
            "activity": call.activity,
            "problem": call.problem.as_deref().map(|why| problem(why, language)),
        },
        "permission": call.permission.as_ref().map(|(state, until)| json!({ "state": state, "until": until })),
        "created_at": call.created_at,
        "journey": null,
    })
}

fn filter(query: &mut Query, registry: &Registry) -> Filter {
    Filter {
        phone: query.optional("phone", messages::phone(registry)),
        wacid: query.optional("wacid", rules::text(200)),
        direction: query.optional("direction", rules::choice(DIRECTIONS)),
        outcome: query.optional("outcome", rules::choice(OUTCOMES)),
        told: query.optional("crm", rules::choice(CRM_STATES)),
        person: query.optional("q", rules::text(200)),
    }
}

async fn list(call: Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    let filter = filter(&mut query, &call.registry());
    query.finish()?;
    let rows = calls::list(&call.app.store, &call.reach(), &filter, page.window()).await?;
    let language = call.client.language;
    Ok(page.of_rows(rows, |row| row.id, |row| show(row, language)))
}

async fn get(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let found = calls::one(&call.app.store, &call.reach(), id).await?;
    let found = found.ok_or_else(|| Problem::unknown(WHAT))?;
    let mut shown = show(&found, call.client.language);
    shown["journey"] = messages::journey(&found.journey);
    Ok(shown)
}
