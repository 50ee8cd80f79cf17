//! `waba/phones`: business phone numbers, and their link to a portal.

use std::future::ready;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    fields::{self, Fields, Mode},
    meta,
    operation::{Call, Conflicts, Described, Field, Operation, Outcome, Parameter, Purpose, Shape},
    page::Page,
    problem::Problem,
    rule::Rule,
    rules,
    view::View,
};
use crate::{
    portal::LinkError,
    registry::{Connection, InstanceState, Part, Phone, Registry},
    store::accounts::{self, PhoneChange, PhoneRemoval},
};

const PATH: &str = "/api/v1/waba/phones";
const ONE: &str = "/api/v1/waba/phones/{id}";
const TAG: &str = "Phone numbers";

/// What problems call it.
pub(super) const WHAT: &str = "number";

/// What the administrators of a portal may change about a number.
const PORTAL_FIELDS: &[&str] = &["instance", "line", "sms_service", "automatic_texts"];

/// Port of SIP over TLS (RFC 3261).
const SIP_PORT: i64 = 5061;

const SWITCH: &[&str] = &["enabled", "disabled"];

const FIELDS: &[Field] = &[
    Field::id(),
    Field::required(
        "account",
        Shape::Id,
        "The WhatsApp Business account it belongs to.",
        "0199f1c2-4444-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::required(
        "phone",
        Shape::Text,
        "The number with its country code. Blanks, +, -, . and brackets are taken out.",
        "4915755501234",
    ),
    Field::required(
        "phone_id",
        Shape::Text,
        "Meta's phone number id, digits.",
        "106540352242922",
    ),
    Field::optional(
        "instance",
        Shape::Id,
        "The portal it is linked to. Setting it makes the connector and the open line there, setting it again puts them \
         right; null unlinks.",
        "0199f1c2-5555-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::defaulted(
        "sms_service",
        Shape::Boolean,
        "Whether it is offered to the portal as an SMS provider.",
        "false",
    ),
    Field::defaulted(
        "automatic_texts",
        Shape::Boolean,
        "Whether automatic texts of the open line (greeting, closing) go to the customer.",
        "true",
    ),
    Field::defaulted(
        "calling",
        Shape::OneOf(SWITCH),
        "Calls over WhatsApp.",
        "disabled",
    ),
    Field::defaulted("sip", Shape::OneOf(SWITCH), "Calls by SIP.", "disabled"),
    Field::optional(
        "sip_hostname",
        Shape::Text,
        "Telephone server.",
        "sip.example.com",
    ),
    Field::defaulted(
        "sip_port",
        Shape::Whole,
        "TLS port of the telephone server.",
        "5061",
    ),
    Field::read(
        "connection",
        Shape::OneOf(&["not_linked", "pending", "connected", "error"]),
        "How far it is connected to its portal.",
        "connected",
    ),
    Field::nullable("line", Shape::Object("Line"), "The open line.", ""),
    Field::nullable(
        "error",
        Shape::Object("PhoneError"),
        "What is wrong with it.",
        "",
    ),
    Field::nullable(
        "meta",
        Shape::Object("NumberFacts"),
        "What Meta says about it; null until Meta was asked.",
        "",
    ),
    Field::nullable(
        "paused",
        Shape::Text,
        "Why nothing is sent to Meta for it until somebody acts.",
        "",
    ),
    Field::created_at(),
];

const LINE_FIELDS: &[Field] = &[
    Field::nullable(
        "id",
        Shape::Whole,
        "Id of the open line; null until it exists.",
        "17",
    ),
    Field::nullable(
        "name",
        Shape::Text,
        "Name of the open line.",
        "separator_4915755501234",
    ),
    Field::nullable(
        "connector",
        Shape::Text,
        "Id of the connector.",
        "separator_4915755501234",
    ),
];

const ERROR_FIELDS: &[Field] = &[
    Field::read(
        "code",
        Shape::Text,
        "Error code as the other side gave it.",
        "138015",
    ),
    Field::nullable("subcode", Shape::Text, "Sub-code.", ""),
    Field::read(
        "title",
        Shape::Text,
        "Short title.",
        "Insufficient messaging limit",
    ),
    Field::nullable(
        "details",
        Shape::Text,
        "Details in the other side's words.",
        "",
    ),
    Field::nullable("hint", Shape::Text, "What to do.", ""),
    Field::nullable(
        "documentation",
        Shape::Address,
        "The page that explains it.",
        "",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "Phone",
        purpose: Purpose::Resource,
        description: "A business phone number of the Cloud API.",
        fields: FIELDS,
    },
    Described {
        name: "Line",
        purpose: Purpose::Shown,
        description: "An open line.",
        fields: LINE_FIELDS,
    },
    Described {
        name: "PhoneError",
        purpose: Purpose::Shown,
        description: "What is wrong with a number.",
        fields: ERROR_FIELDS,
    },
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "List numbers",
        query: &[
            Parameter {
                name: "account",
                shape: Shape::Id,
                description: "Only numbers of this account.",
            },
            Parameter {
                name: "instance",
                shape: Shape::Id,
                description: "Only numbers linked to this instance.",
            },
        ],
        ..Operation::list(PATH, TAG, "Phone", Rule::Known, |call| {
            Box::pin(ready(list(&call)))
        })
    },
    Operation {
        summary: "Enter a number",
        description: "Callbacks that came for it before are delivered now.",
        ..Operation::create(PATH, TAG, "NewPhone", "Phone", Rule::Users, |call| {
            Box::pin(create(call))
        })
    },
    Operation {
        summary: "Show a number",
        ..Operation::get(ONE, TAG, "Phone", Rule::Known, |call| {
            Box::pin(ready(get(&call)))
        })
    },
    Operation {
        summary: "Change, link or unlink a number",
        ..Operation::change(
            ONE,
            TAG,
            "PhoneChange",
            "Phone",
            Rule::PortalAdministrators(PORTAL_FIELDS),
            |call| Box::pin(change(call)),
        )
    },
    Operation {
        summary: "Remove a number",
        description: "Refused while it is linked or has messages to be delivered. Its conversations go with it; its \
                      messages can still be looked up.",
        ..Operation::delete(ONE, TAG, Rule::Users, |call| Box::pin(delete(call)))
    },
];

fn show(phone: &Phone, registry: &Registry) -> Value {
    let linked = phone.instance_id.is_some();
    let line = linked.then(
        || json!({ "id": phone.line_id, "name": phone.line_name, "connector": phone.connector }),
    );
    json!({
        "id": phone.id,
        "account": phone.account_id,
        "phone": phone.phone,
        "phone_id": phone.phone_number_id,
        "instance": phone.instance_id,
        "sms_service": phone.sms_service,
        "automatic_texts": phone.automatic_texts,
        "calling": phone.calling,
        "sip": phone.sip,
        "sip_hostname": phone.sip_hostname,
        "sip_port": phone.sip_port,
        "connection": phone.connection.as_str(),
        "line": line,
        "error": phone.error,
        "meta": meta::number(registry.meta.numbers.get(&phone.id)),
        "paused": phone.paused,
        "created_at": phone.created_at,
    })
}

/// What is asked for: the number's own fields, and the link.
struct Asked {
    change: PhoneChange,
    #[expect(
        clippy::option_option,
        reason = "absent, null and a value are three things"
    )]
    instance: Option<Option<Uuid>>,
}

fn read(fields: &mut Fields) -> Asked {
    Asked {
        change: PhoneChange {
            account_id: fields.required("account", fields::id),
            phone: fields.required("phone", rules::phone),
            phone_number_id: fields.required("phone_id", rules::digits),
            sms_service: fields.with_default("sms_service", false, rules::boolean),
            automatic_texts: fields.with_default("automatic_texts", true, rules::boolean),
            calling: fields.with_default("calling", "disabled".to_owned(), rules::choice(SWITCH)),
            sip: fields.with_default("sip", "disabled".to_owned(), rules::choice(SWITCH)),
            sip_hostname: fields.optional("sip_hostname", rules::hostname),
            sip_port: fields.with_default("sip_port", SIP_PORT, rules::port),
        },
        instance: fields.optional("instance", fields::id),
    }
}

/// What is set up already and stands against the change.
fn conflicts(registry: &View, asked: &Asked, own: Option<Uuid>) -> Conflicts {
    let mut conflicts = Conflicts::new();
    let change = &asked.change;
    if change
        .account_id
        .is_some_and(|account| !registry.accounts.contains_key(&account))
    {
        conflicts.push(("account", "does not exist".to_owned()));
    }
    let others = || {
        registry
            .whole()
            .phones
            .values()
            .filter(|phone| Some(phone.id) != own)
    };
    if let Some(twin) = change
        .phone
        .as_ref()
        .and_then(|digits| others().find(|phone| phone.phone == *digits))
    {
        conflicts.push(("phone", held_by(registry, twin)));
    }
    let twin = change
        .phone_number_id
        .as_ref()
        .and_then(|id| others().find(|phone| phone.phone_number_id == *id));
    if let Some(twin) = twin {
        conflicts.push(("phone_id", held_by(registry, twin)));
    }
    if let Some(Some(instance)) = asked.instance {
        match registry.instances.get(&instance) {
            None => conflicts.push(("instance", "does not exist".to_owned())),
            Some(found) if found.state == InstanceState::Uninstalled => {
                conflicts.push((
                    "instance",
                    format!("is no longer installed on {}", found.domain),
                ));
            }
            Some(_) => {}
        }
    }
    conflicts
}

/// Names the number that has something already, and where it is linked.
fn held_by(registry: &View, phone: &Phone) -> String {
    if !registry.phones.contains_key(&phone.id) {
        return "is already entered by another user".to_owned();
    }
    match registry.instance_of(phone) {
        Some(instance) => format!(
            "is already entered as phone {}, linked to {}",
            phone.phone, instance.domain
        ),
        None => format!("is already entered as phone {}", phone.phone),
    }
}

fn one(registry: &Registry, id: Uuid) -> Outcome {
    registry
        .phones
        .get(&id)
        .map(|phone| show(phone, registry))
        .ok_or_else(|| Problem::unknown(WHAT))
}

fn list(call: &Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    let account = query.optional("account", fields::id);
    let instance = query.optional("instance", fields::id);
    query.finish()?;
    let registry = call.registry();
    let wanted = registry.phones.values().filter(|phone| {
        account.is_none_or(|account| phone.account_id == account)
            && (instance.is_none() || phone.instance_id == instance)
    });
    Ok(page.of_all(wanted, |phone| phone.id, |phone| show(phone, &registry)))
}

fn get(call: &Call) -> Outcome {
    one(&call.registry(), call.id(WHAT)?)
}

async fn create(call: Call) -> Outcome {
    let mut fields = call.fields(FIELDS, Mode::Create)?;
    let asked = read(&mut fields);
    fields.add(conflicts(&call.registry(), &asked, None));
    let change = &asked.change;
    let (Some(account_id), Some(digits), Some(phone_number_id)) =
        (change.account_id, &change.phone, &change.phone_number_id)
    else {
        return Err(fields.incomplete());
    };
    fields.finish()?;
    let disabled = || "disabled".to_owned();
    let phone = Phone {
        id: call.app.ids.next(),
        account_id,
        phone: digits.clone(),
        phone_number_id: phone_number_id.clone(),
        instance_id: None,
        sms_service: change.sms_service.unwrap_or(false),
        automatic_texts: change.automatic_texts.unwrap_or(true),
        calling: change.calling.clone().unwrap_or_else(disabled),
        sip: change.sip.clone().unwrap_or_else(disabled),
        sip_hostname: change.sip_hostname.clone().flatten(),
        sip_port: change.sip_port.unwrap_or(SIP_PORT),
        connection: Connection::NotLinked,
        connector: None,
        line_id: None,
        line_name: None,
        error: None,
        paused: None,
        created_at: call.app.clock.now(),
    };
    let turn = call.app.intake.turn().await;
    if let Err(error) = accounts::insert_phone(&call.app.store, &phone).await {
        return Err(call
            .refused(error, |registry| conflicts(registry, &asked, None))
            .await);
    }
    call.changed_part(Part::Phone(phone.id)).await?;
    // Linked first, so that what waited for the number finds its portal.
    if let Some(Some(instance)) = asked.instance {
        link(&call, phone.id, Some(instance)).await?;
    }
    crate::intake::phone_entered(&call.app, &phone.phone_number_id).await?;
    drop(turn);
    one(&*call.changed_part(Part::Phone(phone.id)).await?, phone.id)
}

async fn change(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let registry = call.registry();
    let Some(before) = registry.phones.get(&id) else {
        return Err(Problem::unknown(WHAT));
    };
    let mut fields = call.fields(FIELDS, Mode::Change)?;
    let asked = read(&mut fields);
    fields.add(conflicts(&registry, &asked, Some(id)));
    fields.finish()?;
    let turn = call.app.intake.turn().await;
    if let Err(error) = accounts::change_phone(&call.app.store, id, &asked.change).await {
        return Err(call
            .refused(error, |registry| conflicts(registry, &asked, Some(id)))
            .await);
    }
    call.changed_part(Part::Phone(id)).await?;
    if let Some(phone_number_id) = &asked.change.phone_number_id {
        crate::intake::phone_entered(&call.app, phone_number_id).await?;
    }
    // Linking may have to wait for the portal that the number leaves.
    drop(turn);
    let linked_to = asked.instance.unwrap_or(before.instance_id);
    // The names of connector and line contain the number, and being an SMS provider is part of what is published.
    let published_anew = linked_to.is_some()
        && (asked
            .change
            .phone
            .as_ref()
            .is_some_and(|phone| *phone != before.phone)
            || asked
                .change
                .sms_service
                .is_some_and(|service| service != before.sms_service));
    // Naming the portal that it is linked to already puts right what went wrong there since.
    if asked.instance.is_some() || published_anew {
        link(&call, id, linked_to).await?;
    }
    one(&*call.changed_part(Part::Phone(id)).await?, id)
}

async fn link(call: &Call, phone: Uuid, instance: Option<Uuid>) -> Result<(), Problem> {
    crate::portal::link(&call.app, phone, instance)
        .await
        .map_err(|error| match error {
            LinkError::UnknownPhone => Problem::unknown(WHAT),
            LinkError::UnknownInstance => Problem::field("instance", "does not exist"),
            LinkError::Uninstalled => {
                Problem::field("instance", "is no longer installed on its portal")
            }
            LinkError::Store(error) => error.into(),
        })
}

async fn delete(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let registry = call.registry();
    let Some(phone) = registry.phones.get(&id) else {
        return Err(Problem::unknown(WHAT));
    };
    if phone.instance_id.is_some() {
        let portal = registry
            .instance_of(phone)
            .map_or("a portal", |instance| &instance.domain);
        return Err(Problem::in_use(format!(
            "the number is linked to {portal}; unlink it first (instance: null)"
        )));
    }
    match accounts::delete_phone(&call.app.store, id).await? {
        PhoneRemoval::Removed => {}
        PhoneRemoval::Unknown => return Err(Problem::unknown(WHAT)),
        PhoneRemoval::Queued(count) => {
            return Err(Problem::in_use(format!(
                "{count} messages of the number wait to be delivered"
            )));
        }
    }
    call.changed_part(Part::Phone(id)).await?;
    Ok(Value::Null)
}
