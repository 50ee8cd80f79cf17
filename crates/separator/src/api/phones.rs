//! `waba/phones`: business phone numbers, and their link to a portal.

use std::{future::ready, time::Duration};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    calling::{self, WishChange},
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
    calling::{address::DEFAULT_PORT, settings::Wish},
    portal::{LineWish, LinkError},
    registry::{Connection, InstanceState, Part, Phone, Registry},
    store::accounts::{self, PhoneChange, PhoneRemoval},
    translate::message::Language,
};

const PATH: &str = "/api/v1/waba/phones";
const ONE: &str = "/api/v1/waba/phones/{id}";
const TAG: &str = "Phone numbers";

/// What problems call it.
pub(super) const WHAT: &str = "number";

/// What the administrators of a portal may change about a number.
const PORTAL_FIELDS: &[&str] = &[
    "instance",
    "line",
    "sms_service",
    "automatic_texts",
    "calling",
    "sip",
    "sip_hostname",
    "sip_port",
    "key_exchange",
    "callback_permission",
    "call_icon",
    "call_hours",
    "webhook_delivery",
    "sip_parameters",
];

/// How long a change waits for the first try at Meta, so that most answers tell what came of it.
pub(super) const FIRST_TRY: Duration = Duration::from_secs(8);

pub(super) const SWITCH: &[&str] = &["enabled", "disabled"];

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
        "Calls over WhatsApp. Saved at Meta with the fields below; `calling_status` says how far that is.",
        "disabled",
    ),
    Field::defaulted(
        "sip",
        Shape::OneOf(SWITCH),
        "Whether calls go to the company's telephone server.",
        "disabled",
    ),
    Field::optional(
        "sip_hostname",
        Shape::Text,
        "Telephone server. Scheme, user, path and parameters are taken out; a port in it is taken over.",
        "sip.example.com",
    ),
    Field::defaulted(
        "sip_port",
        Shape::Whole,
        "TLS port of the telephone server.",
        "5061",
    ),
    Field::defaulted(
        "key_exchange",
        Shape::OneOf(calling::KEYS),
        "How the keys of a call's sound are agreed on.",
        "sdes",
    ),
    Field::defaulted(
        "callback_permission",
        Shape::OneOf(SWITCH),
        "Whether customers are asked for permission to call back.",
        "enabled",
    ),
    Field::defaulted(
        "call_icon",
        Shape::OneOf(calling::ICON),
        "Whether customers see the call button.",
        "shown",
    ),
    Field::optional(
        "call_hours",
        Shape::Anything,
        "When calls are taken, in Meta's form: timezone_id, weekly_operating_hours, holiday_schedule; null: always.",
        "",
    ),
    Field::defaulted(
        "webhook_delivery",
        Shape::OneOf(SWITCH),
        "Whether Meta tells of calls that go to the telephone server.",
        "enabled",
    ),
    Field::optional(
        "sip_parameters",
        Shape::Anything,
        "Names and values that Meta puts into the user part of the address it calls (RFC 4904).",
        "",
    ),
    Field::read(
        "calling_status",
        Shape::Object("CallingStatus"),
        "What Meta has of it.",
        "",
    ),
    Field::read(
        "connection",
        Shape::OneOf(&["not_linked", "pending", "connected", "error"]),
        "How far it is connected to its portal.",
        "connected",
    ),
    Field::nullable("line", Shape::Object("Line"), "The open line.", ""),
    Field::written(
        "line",
        Shape::Whole,
        "The open line that it is to be on, one that is there on the portal; null gives it its own.",
        "17",
    ),
    Field::optional(
        "offered_to",
        Shape::Id,
        "The portal whose administrators may link it themselves. Linking it offers it to that portal.",
        "0199f1c2-5555-7a41-9c55-2f0e8b1d6a90",
    ),
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
    Field::nullable(
        "line",
        Shape::Text,
        "All of it in one line; only of calls.",
        "138015: Insufficient messaging limit, details",
    ),
    Field::nullable(
        "fbtrace_id",
        Shape::Text,
        "Number under which Meta's support finds the request.",
        "",
    ),
    Field::nullable("at", Shape::Time, "When.", ""),
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

/// A number as a caller sees it; `registry` says what is known of its calls.
pub(super) fn show(registry: &Registry, language: Language, phone: &Phone) -> Value {
    let linked = phone.instance_id.is_some();
    let line = linked.then(
        || json!({ "id": phone.line_id, "name": phone.line_name, "connector": phone.connector }),
    );
    let mut shown = json!({
        "id": phone.id,
        "account": phone.account_id,
        "phone": phone.phone,
        "phone_id": phone.phone_number_id,
        "instance": phone.instance_id,
        "sms_service": phone.sms_service,
        "automatic_texts": phone.automatic_texts,
        "connection": phone.connection.as_str(),
        "line": line,
        "offered_to": phone.offered_id,
        "error": phone.error,
        "meta": meta::number(registry.meta.numbers.get(&phone.id)),
        "paused": phone.paused,
        "created_at": phone.created_at,
    });
    calling::show(registry, language, phone, &mut shown);
    shown
}

/// What is asked for: the number's own fields, and the link.
struct Asked {
    change: PhoneChange,
    wish: WishChange,
    #[expect(
        clippy::option_option,
        reason = "absent, null and a value are three things"
    )]
    instance: Option<Option<Uuid>>,
    line: LineWish,
}

fn read(fields: &mut Fields) -> Asked {
    Asked {
        change: PhoneChange {
            account_id: fields.required("account", fields::id),
            phone: fields.required("phone", rules::phone),
            phone_number_id: fields.required("phone_id", rules::digits),
            sms_service: fields.with_default("sms_service", false, rules::boolean),
            automatic_texts: fields.with_default("automatic_texts", true, rules::boolean),
            offered_id: fields.optional("offered_to", fields::id),
        },
        wish: WishChange::read(fields),
        instance: fields.optional("instance", fields::id),
        line: match fields.optional("line", rules::whole(1, i64::MAX)) {
            None => LineWish::Unchanged,
            Some(None) => LineWish::Own,
            Some(Some(line)) => LineWish::Chosen(line),
        },
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
    if let Some(Some(offered)) = change.offered_id
        && !registry.instances.contains_key(&offered)
    {
        conflicts.push(("offered_to", "does not exist".to_owned()));
    }
    let linked_to = asked.instance.unwrap_or_else(|| {
        own.and_then(|own| registry.phones.get(&own))
            .and_then(|phone| phone.instance_id)
    });
    if linked_to.is_none() && matches!(asked.line, LineWish::Chosen(_)) {
        conflicts.push(("line", "needs a portal: link the number first".to_owned()));
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

/// One number, as the caller sees it now.
pub(super) async fn one(call: &Call, id: Uuid) -> Outcome {
    let registry = call.changed_part(Part::Phone(id)).await?;
    shown(call, &registry, id)
}

fn shown(call: &Call, registry: &View, id: Uuid) -> Outcome {
    let phone = registry.phones.get(&id);
    phone
        .map(|phone| show(registry, call.client.language, phone))
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
    let language = call.client.language;
    Ok(page.of_all(
        wanted,
        |phone| phone.id,
        |phone| show(&registry, language, phone),
    ))
}

fn get(call: &Call) -> Outcome {
    shown(call, &call.registry(), call.id(WHAT)?)
}

async fn create(call: Call) -> Outcome {
    let mut fields = call.fields(FIELDS, Mode::Create)?;
    let asked = read(&mut fields);
    fields.add(conflicts(&call.registry(), &asked, None));
    let language = call.client.language;
    fields.add(
        asked
            .wish
            .onto(&Wish::default(), language)
            .err()
            .into_iter()
            .collect(),
    );
    let change = &asked.change;
    let (Some(account_id), Some(digits), Some(phone_number_id)) =
        (change.account_id, &change.phone, &change.phone_number_id)
    else {
        return Err(fields.incomplete());
    };
    fields.finish()?;
    let phone = Phone {
        id: call.app.ids.next(),
        account_id,
        phone: digits.clone(),
        phone_number_id: phone_number_id.clone(),
        instance_id: None,
        sms_service: change.sms_service.unwrap_or(false),
        automatic_texts: change.automatic_texts.unwrap_or(true),
        calling: "disabled".to_owned(),
        sip: "disabled".to_owned(),
        sip_hostname: None,
        sip_port: i64::from(DEFAULT_PORT),
        connection: Connection::NotLinked,
        connector: None,
        line_id: None,
        line_name: None,
        chosen_line_id: None,
        offered_id: change.offered_id.flatten(),
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
        link(&call, phone.id, Some(instance), asked.line).await?;
    }
    crate::intake::phone_entered(&call.app, &phone.phone_number_id).await?;
    drop(turn);
    calls(&call, &phone, &asked.wish).await?;
    one(&call, phone.id).await
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
    let base = &calling::of(&registry, before).wish;
    fields.add(
        asked
            .wish
            .onto(base, call.client.language)
            .err()
            .into_iter()
            .collect(),
    );
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
    if asked.instance.is_some() || published_anew || asked.line != LineWish::Unchanged {
        link(&call, id, linked_to, asked.line).await?;
        // Whoever takes a number away from a portal takes the offer away too, except a person of that portal.
        let unlinked = linked_to.is_none() && call.caller.user().is_some();
        if unlinked && asked.change.offered_id.is_none() {
            let change = PhoneChange {
                offered_id: Some(None),
                ..PhoneChange::default()
            };
            accounts::change_phone(&call.app.store, id, &change).await?;
        }
    }
    calls(&call, before, &asked.wish).await?;
    one(&call, id).await
}

/// Chooses what was asked about calls, and waits for the first try at Meta.
async fn calls(call: &Call, phone: &Phone, wish: &WishChange) -> Result<(), Problem> {
    let Some(version) = calling::choose(call, phone, wish).await? else {
        return Ok(());
    };
    call.changed_part(Part::Phone(phone.id)).await?;
    crate::calling::tried(&call.app, phone.id, version, FIRST_TRY).await;
    Ok(())
}

pub(super) async fn link(
    call: &Call,
    phone: Uuid,
    instance: Option<Uuid>,
    line: LineWish,
) -> Result<(), Problem> {
    crate::portal::link(&call.app, phone, instance, line)
        .await
        .map_err(|error| match error {
            LinkError::UnknownPhone => Problem::unknown(WHAT),
            LinkError::UnknownInstance => Problem::field("instance", "does not exist"),
            LinkError::Uninstalled => {
                Problem::field("instance", "is no longer installed on its portal")
            }
            LinkError::LineTaken(holder) => Problem::field(
                "line",
                format!("is the line of the number {holder} already"),
            ),
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
