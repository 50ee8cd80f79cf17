//! `frames`: what the pages on CRM cards and in chats show and do, for the people of a portal.
//!
//! Whom somebody may write to is read from Bitrix24 with that person's own rights. What was read comes back sealed, so
//! that the calls that follow need not ask the portal again, and nobody writes to or reads about anybody else.

mod person;
mod send;

use bitrix24::{Class, Obstacle, crm, lines};
use serde_json::{Value, json};
use uuid::Uuid;

use axum::http::StatusCode;

use self::person::Customer;
use super::{
    caller::Caller,
    fields, interactive,
    operation::{Call, Described, Field, Operation, Outcome, Parameter, Purpose, Shape},
    page::Page,
    problem::Problem,
    rule::Rule,
    rules,
    view::View,
};
use crate::{
    compose::To,
    person::dialled,
    portal::employee,
    registry::{Instance, Messaging, Phone},
    store::{
        self, conversations,
        templates::{self, Filter, Template as Stored},
    },
    translate::{
        message::Language,
        notes::Words,
        template::{self, Header, HeaderKind, Template},
    },
    users::frame::Person,
};

const TAG: &str = "Pages inside Bitrix24";

/// Contacts of a card whose phones are read; each costs a call to the portal.
const MOST_CONTACTS: usize = 5;

const PLACE_FIELDS: &[Field] = &[
    Field::read(
        "title",
        Shape::Text,
        "Title of the card, or name of the customer.",
        "Order 1207",
    ),
    Field::read(
        "numbers",
        Shape::List("FrameNumber"),
        "The portal's WhatsApp numbers; in a chat only the chat's own.",
        "",
    ),
    Field::read(
        "recipients",
        Shape::List("FrameRecipient"),
        "Who can be written to: every phone of the card, of its contacts and of its company, or the chat's customer.",
        "",
    ),
    Field::read(
        "fields",
        Shape::List("FrameField"),
        "Fields of the card that can be inserted as values; the most useful first.",
        "",
    ),
];

const NUMBER_FIELDS: &[Field] = &[
    Field::id(),
    Field::read("phone", Shape::Text, "Its digits.", "4915755501234"),
];

const RECIPIENT_FIELDS: &[Field] = &[
    Field::read(
        "key",
        Shape::Text,
        "Stands for this person in further calls of this page; good for whoever opened it.",
        "AfX0…",
    ),
    Field::read("name", Shape::Text, "The person's name.", "Lena Klein"),
    Field::read(
        "address",
        Shape::Text,
        "The phone as somebody entered it, or WhatsApp's user id.",
        "+49 1575 5509876",
    ),
    Field::read(
        "sort",
        Shape::Text,
        "The phone's sort in CRM, such as WORK; empty in a chat.",
        "WORK",
    ),
    Field::read(
        "usable",
        Shape::Boolean,
        "Whether this is a phone number that WhatsApp could have.",
        "true",
    ),
];

const FIELD_FIELDS: &[Field] = &[
    Field::read("name", Shape::Text, "Its name.", "Title"),
    Field::read("value", Shape::Text, "Its value.", "Order 1207"),
];

const TEMPLATE_FIELDS: &[Field] = &[
    Field::id(),
    Field::read("name", Shape::Text, "Its name.", "order_ready"),
    Field::read("language", Shape::Text, "Its language code.", "en_US"),
    Field::read(
        "category",
        Shape::Text,
        "UTILITY, MARKETING or AUTHENTICATION.",
        "UTILITY",
    ),
    Field::read(
        "components",
        Shape::Anything,
        "Header, body, footer and buttons, as Meta describes them.",
        "[{\"type\": \"BODY\", \"text\": \"Hello {{1}}\"}]",
    ),
    Field::nullable(
        "file",
        Shape::Text,
        "The file that its header needs: image, video, gif or document.",
        "image",
    ),
    Field::read(
        "has_file",
        Shape::Boolean,
        "Whether the number has such a file of its own, which is taken where none is given.",
        "false",
    ),
    Field::read(
        "location",
        Shape::Boolean,
        "Whether its header needs a place on the map.",
        "false",
    ),
    Field::read(
        "values",
        Shape::List("FrameValue"),
        "The values that it takes, in the order in which they are sent.",
        "",
    ),
    Field::nullable(
        "beyond",
        Shape::Text,
        "What it has that cannot be filled in here, such as CAROUSEL; it cannot be sent from here.",
        "",
    ),
];

const VALUE_FIELDS: &[Field] = &[
    Field::read("part", Shape::Text, "header, body or button.", "body"),
    Field::read("mark", Shape::Text, "As it stands in the text.", "{{1}}"),
    Field::nullable(
        "button",
        Shape::Text,
        "What is written on the button.",
        "Track",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "FramePlace",
        purpose: Purpose::Shown,
        description: "A card or a chat, as the employee who looks at it may see it.",
        fields: PLACE_FIELDS,
    },
    Described {
        name: "FrameNumber",
        purpose: Purpose::Shown,
        description: "A WhatsApp number of the portal.",
        fields: NUMBER_FIELDS,
    },
    Described {
        name: "FrameRecipient",
        purpose: Purpose::Shown,
        description: "Somebody who can be written to.",
        fields: RECIPIENT_FIELDS,
    },
    Described {
        name: "FrameField",
        purpose: Purpose::Shown,
        description: "A field of a card.",
        fields: FIELD_FIELDS,
    },
    Described {
        name: "FrameTemplate",
        purpose: Purpose::Shown,
        description: "An approved template and what it takes to send it.",
        fields: TEMPLATE_FIELDS,
    },
    Described {
        name: "FrameValue",
        purpose: Purpose::Shown,
        description: "A value that a template takes.",
        fields: VALUE_FIELDS,
    },
    person::CONVERSATION,
    person::MESSAGE,
    send::MESSAGE,
];

const PLACE_QUERY: &[Parameter] = &[
    Parameter {
        name: "place",
        shape: Shape::Text,
        description: "The placement, such as CRM_DEAL_DETAIL_TAB or IM_TEXTAREA.",
    },
    Parameter {
        name: "card",
        shape: Shape::Text,
        description: "Id of the card, on a card.",
    },
    Parameter {
        name: "dialog",
        shape: Shape::Text,
        description: "Id of the dialog, such as chat1807, in a chat.",
    },
];

const TEMPLATES_QUERY: &[Parameter] = &[
    Parameter {
        name: "number",
        shape: Shape::Id,
        description: "The number that is to send it.",
    },
    Parameter {
        name: "q",
        shape: Shape::Text,
        description: "With this in the name or the text.",
    },
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "Show a card or a chat",
        description: "Read from Bitrix24 with the rights of the employee who looks at the page.",
        query: PLACE_QUERY,
        refusals: &[403, 404, 422, 502],
        ..Operation::get(
            "/api/v1/frames/place",
            TAG,
            "FramePlace",
            Rule::PortalPeople,
            |call| Box::pin(place(call)),
        )
    },
    Operation {
        summary: "List the templates that a number can send",
        query: TEMPLATES_QUERY,
        refusals: &[422],
        ..Operation::list(
            "/api/v1/frames/templates",
            TAG,
            "FrameTemplate",
            Rule::PortalPeople,
            |call| Box::pin(list_templates(call)),
        )
    },
    Operation {
        summary: "List the interactive messages that a number can send",
        description: "They go out only within the 24 hours.",
        query: TEMPLATES_QUERY,
        refusals: &[422],
        ..Operation::list(
            "/api/v1/frames/interactive",
            TAG,
            "InteractiveMessage",
            Rule::PortalPeople,
            |call| Box::pin(list_interactive(call)),
        )
    },
    person::OPERATION,
    send::OPERATION,
];

/// What somebody who looks at a page is told.
pub(super) fn say(call: &Call, english: &'static str, russian: &'static str) -> &'static str {
    Words { english, russian }.in_language(call.client.language)
}

/// Who looks at the page.
fn viewer(call: &Call) -> Result<&Person, Problem> {
    match &call.caller {
        Caller::Portal(person) => Ok(person),
        // The rule of every operation here lets nobody else through.
        Caller::User(_) | Caller::Nobody => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "this is a page inside Bitrix24",
        )),
    }
}

/// The number that somebody names, if it is linked to the portal of the page.
fn number<'a>(
    call: &Call,
    registry: &'a View,
    instance: Uuid,
    id: Option<Uuid>,
) -> Result<&'a Phone, Problem> {
    let gone = || {
        Problem::field(
            "number",
            say(
                call,
                "is not linked to this portal (any more): choose another one",
                "не подключён к этому порталу (или уже отключён): выберите другой",
            ),
        )
    };
    let id = id.ok_or_else(|| Problem::field("number", "is required"))?;
    registry
        .phones_of(instance)
        .find(|phone| phone.id == id)
        .ok_or_else(gone)
}

async fn place(call: Call) -> Outcome {
    let mut query = call.query();
    let place = query.optional("place", rules::text(100));
    let card = query.optional("card", rules::text(20));
    let dialog = query.optional("dialog", rules::text(40));
    query.finish()?;
    let registry = call.registry();
    let person = viewer(&call)?;
    let instance =
        (registry.instances.get(&person.instance)).ok_or_else(|| Problem::unknown("instance"))?;
    if let Some(dialog) = dialog {
        return chat(&call, &registry, person, instance, &dialog).await;
    }
    let kind = place.as_deref().and_then(crm::entity_type_of_placement);
    let id = card
        .and_then(|card| card.parse::<i64>().ok())
        .filter(|id| *id > 0);
    let (Some(kind), Some(id)) = (kind, id) else {
        let saved = say(
            &call,
            "This card is not saved yet. Save it, then open this page again.",
            "Эта карточка ещё не сохранена. Сохраните её и откройте страницу снова.",
        );
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, saved));
    };
    show_card(&call, &registry, person, instance, (kind, id)).await
}

/// Reads a card and everybody whom it names.
async fn show_card(
    call: &Call,
    registry: &View,
    person: &Person,
    instance: &Instance,
    (kind, id): (i64, i64),
) -> Outcome {
    let read = async |kind: i64, id: i64| {
        let question = crm::item_get(kind, id);
        let result = employee::ask(&call.app, instance, &person.access, &question).await;
        result.map(|result| crm::Item::read(&result).unwrap_or_default())
    };
    let card = read(kind, id)
        .await
        .map_err(|error| refused(call, &error))?;
    let mut people = vec![card.clone()];
    let contacts = card.contacts.iter().take(MOST_CONTACTS);
    let others = contacts
        .map(|contact| (crm::CONTACT, *contact))
        .chain(card.company.map(|company| (crm::COMPANY, company)));
    for (kind, id) in others {
        // A contact that this employee may not see is left out.
        match read(kind, id).await {
            Ok(item) => people.push(item),
            Err(error) if is_unseen(&error) => {}
            Err(error) => return Err(refused(call, &error)),
        }
    }
    let numbers: Vec<&Phone> = sorted(registry, instance.id);
    let home = numbers.first().map_or("", |phone| phone.phone.as_str());
    let mut recipients: Vec<Value> = Vec::new();
    for (item, phone) in people
        .iter()
        .flat_map(|item| item.phones.iter().map(move |phone| (item, phone)))
    {
        let digits = dialled(&phone.value, home);
        let customer = digits.clone().map(|digits| Customer {
            instance: instance.id,
            user_id: person.user_id,
            number: None,
            to: To::Phone(digits),
        });
        recipients.push(json!({
            "key": customer.map(|customer| customer.seal(&call.app.sealer)).unwrap_or_default(),
            "name": item.shown_name(),
            "address": phone.value,
            "sort": phone.kind,
            "usable": digits.is_some(),
        }));
    }
    Ok(json!({
        "title": card.shown_name(),
        "numbers": numbers.iter().map(|phone| show_number(phone)).collect::<Vec<_>>(),
        "recipients": recipients,
        "fields": fields_of(&card, &people, call.client.language),
    }))
}

/// The portal's numbers in one order.
fn sorted(registry: &View, instance: Uuid) -> Vec<&Phone> {
    let mut numbers: Vec<&Phone> = registry.phones_of(instance).collect();
    numbers.sort_unstable_by_key(|phone| phone.id);
    numbers
}

fn show_number(phone: &Phone) -> Value {
    json!({ "id": phone.id, "phone": phone.phone })
}

/// The fields of a card by names that people know, then all others under their names in REST.
fn fields_of(card: &crm::Item, people: &[crm::Item], language: Language) -> Vec<Value> {
    let person = people.iter().find(|item| !item.name.is_empty());
    let raw = |name: &str| {
        let found = card.fields.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let known = [
        (
            Words {
                english: "Name",
                russian: "Имя",
            },
            person.map(|item| item.name.clone()).unwrap_or_default(),
        ),
        (
            Words {
                english: "Last name",
                russian: "Фамилия",
            },
            person
                .map(|item| item.last_name.clone())
                .unwrap_or_default(),
        ),
        (
            Words {
                english: "Title",
                russian: "Название",
            },
            card.title.clone(),
        ),
        (
            Words {
                english: "Amount",
                russian: "Сумма",
            },
            raw("opportunity"),
        ),
        (
            Words {
                english: "Currency",
                russian: "Валюта",
            },
            raw("currencyId"),
        ),
        (
            Words {
                english: "Id",
                russian: "ID",
            },
            raw("id"),
        ),
    ];
    let named = known
        .into_iter()
        .map(|(name, value)| (name.in_language(language).to_owned(), value));
    named
        .chain(card.fields.iter().cloned())
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect()
}

/// Reads whose chat a dialog is.
async fn chat(
    call: &Call,
    registry: &View,
    person: &Person,
    instance: &Instance,
    dialog: &str,
) -> Outcome {
    let none = || {
        let text = say(
            call,
            "This chat is no WhatsApp chat of an open line that you can see.",
            "Это не чат WhatsApp открытой линии, который вам доступен.",
        );
        Problem::new(StatusCode::NOT_FOUND, text)
    };
    let id = dialog
        .strip_prefix("chat")
        .unwrap_or(dialog)
        .parse()
        .map_err(|_| none())?;
    let asked = employee::ask(&call.app, instance, &person.access, &lines::dialog_get(id)).await;
    let dialog = match asked {
        Ok(result) => lines::Dialog::read(&result).ok_or_else(none)?,
        Err(error) if is_unseen(&error) => return Err(none()),
        Err(error) => return Err(refused(call, &error)),
    };
    // The third part is the id that we gave the chat; the others are the portal's.
    let chat_ref = (dialog.user_code.as_deref())
        .and_then(|code| code.split('|').nth(2))
        .ok_or_else(none)?;
    let found = conversations::by_chat_ref(&call.app.store, &[chat_ref.to_owned()]).await?;
    let (conversation, phone) = found
        .iter()
        .find_map(|found| {
            let phone = registry
                .phones_of(instance.id)
                .find(|phone| phone.id == found.phone)?;
            Some((found, phone))
        })
        .ok_or_else(none)?;
    let persons = conversations::persons(&call.app.store, &[conversation.person]).await?;
    let customer = persons.first().ok_or_else(none)?;
    let to = match (&customer.wa_id, &customer.user_id) {
        (Some(digits), _) => To::Phone(digits.clone()),
        (None, Some(id)) => To::UserId(id.clone()),
        (None, None) => return Err(none()),
    };
    let name = customer.name.clone().unwrap_or_default();
    let sealed = Customer {
        instance: instance.id,
        user_id: person.user_id,
        number: Some(phone.id),
        to,
    };
    let first = Words {
        english: "Name",
        russian: "Имя",
    }
    .in_language(call.client.language);
    let fields: Vec<Value> = Some(&name)
        .filter(|name| !name.is_empty())
        .map(|name| json!({ "name": first, "value": name }))
        .into_iter()
        .collect();
    Ok(json!({
        "title": if name.is_empty() { customer.peer() } else { name.clone() },
        "numbers": [show_number(phone)],
        "recipients": [{
            "key": sealed.seal(&call.app.sealer),
            "name": name,
            "address": customer.peer(),
            "sort": "",
            "usable": true,
        }],
        "fields": fields,
    }))
}

/// Whether the portal says that this employee may not see something, or that it is not there.
fn is_unseen(error: &bitrix24::Error) -> bool {
    matches!(
        error.class(),
        Class::Refused | Class::Blocked(Obstacle::Denied | Obstacle::NoAccess)
    )
}

/// What the employee is told when the portal does not show something.
fn refused(call: &Call, error: &bitrix24::Error) -> Problem {
    if error.class() == Class::Refresh {
        let text = "this page was open for too long; close it in Bitrix24 and open it again";
        return Problem::unauthorized(text, true);
    }
    if error.class() == Class::Blocked(Obstacle::Scope) {
        let text = say(
            call,
            "The application lacks the permission to read CRM (crm): an administrator ticks it in the application's form.",
            "У приложения нет права на CRM (crm): администратор включает его в форме приложения.",
        );
        return Problem::new(StatusCode::FORBIDDEN, text);
    }
    if is_unseen(error) {
        let text = say(
            call,
            "Bitrix24 does not show you this card. Ask an administrator of the portal for access to it.",
            "Bitrix24 не показывает вам эту карточку. Попросите доступ у администратора портала.",
        );
        return Problem::new(StatusCode::FORBIDDEN, text);
    }
    let text = say(
        call,
        "Bitrix24 did not answer as it should. Try again in a minute.",
        "Bitrix24 не ответил как положено. Попробуйте ещё раз через минуту.",
    );
    tracing::warn!(%error, "a page could not read its portal");
    Problem::new(StatusCode::BAD_GATEWAY, text)
}

async fn list_templates(call: Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    let id = query.optional("number", fields::id);
    let text = query.optional("q", rules::text(200));
    query.finish()?;
    let registry = call.registry();
    let phone = number(&call, &registry, viewer(&call)?.instance, id)?;
    let filter = Filter {
        accounts: vec![phone.account_id],
        status: Some("APPROVED".to_owned()),
        text,
        ..Filter::default()
    };
    let rows = templates::list(&call.app.store, &filter, page.window()).await?;
    let messaging = registry.whole().messaging_of(phone.id);
    Ok(page.of_rows(
        rows,
        |template| template.id,
        |template| show_template(template, messaging),
    ))
}

async fn list_interactive(call: Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    let id = query.optional("number", fields::id);
    let text = query.optional("q", rules::text(200));
    query.finish()?;
    let registry = call.registry();
    let phone = number(&call, &registry, viewer(&call)?.instance, id)?;
    let store = &call.app.store;
    let accounts = [phone.account_id];
    let rows = store::interactive::list(store, &accounts, text.as_deref(), page.window()).await?;
    Ok(page.of_rows(rows, |stored| stored.id, interactive::show))
}

/// A stored template as filling in needs it.
fn read_template(stored: &Stored) -> Template {
    Template::read(
        &stored.name,
        &stored.language,
        &stored.status,
        &stored.category,
        &stored.parameter_format,
        &stored.components,
    )
}

fn show_template(stored: &Stored, messaging: &Messaging) -> Value {
    let read = read_template(stored);
    let values: Vec<Value> = template::value_places(&read)
        .into_iter()
        .map(|place| json!({ "part": place.part, "mark": place.mark, "button": place.button }))
        .collect();
    let file = match &read.header {
        Some(Header::Media(kind)) => Some(*kind),
        _ => None,
    };
    json!({
        "id": stored.id,
        "name": stored.name,
        "language": stored.language,
        "category": stored.category,
        "components": stored.components,
        "file": file.map(HeaderKind::as_str),
        "has_file": file.is_some_and(|kind| messaging.file(kind).is_some()),
        "location": read.header == Some(Header::Location),
        "values": values,
        "beyond": read.beyond,
    })
}
