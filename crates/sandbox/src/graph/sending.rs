//! `POST /{phone}/messages`: the checks in Meta's order, the answer, and what is to become of the message.

mod shape;

pub(super) use shape::{kind_of_mime, media_types};

use super::{
    Customer, Shared, UnknownRecipients,
    error::GraphError,
    faults::{Fault, Place},
    statuses::{self, End, Step},
    world::{Direction, Message, Progress, World},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use url::Url;

/// The pair limit: one message in 6 seconds, 45 on credit.
const PAIR_PAUSE: f64 = 6000.0;
const PAIR_BURST: f64 = 45.0;
/// The throughput of a number: 80 messages a second.
const NUMBER_PAUSE: f64 = 1000.0 / 80.0;
const NUMBER_BURST: f64 = 80.0;
/// How long a typing indicator is shown.
const TYPING: i64 = 25_000;
/// How long an answer waits for its statuses, when they are to come first.
const STATUS_FIRST_LIMIT: Duration = Duration::from_secs(5);

/// Whom a message is for, as the request says it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Recipient {
    Phone {
        input: String,
        digits: String,
    },
    /// A user id in `to`: Meta strips its letters, answers 200 and delivers nothing.
    LettersLost {
        input: String,
        digits: String,
    },
    UserId(String),
}

/// The names of the customer whom a request is for: those it uses and all that are known. Faults that are scoped to a
/// customer look at them.
pub(super) fn names(world: &World, body: &Value) -> Vec<String> {
    let to = text_or_number(&body["to"]);
    let digits: Option<String> = to
        .as_ref()
        .map(|to| to.chars().filter(char::is_ascii_digit).collect());
    let recipient = body["recipient"].as_str().map(ToOwned::to_owned);
    let mut names: Vec<String> = [digits, recipient].into_iter().flatten().collect();
    if let Some(person) = names.iter().find_map(|name| world.find(name)) {
        let person = &world.persons[person];
        names.push(person.user_id.clone());
        names.extend(person.phone.clone());
    }
    names
}

/// What a send is answered with.
pub(super) struct Accepted {
    pub(super) answer: Value,
    /// The message that waits for its end; `None` for read receipts and for what is silently lost.
    pub(super) message: Option<(usize, End)>,
}

/// Carries out a call to `/messages` or `/marketing_messages` (the `edge`) for a number that the token sees.
pub(super) fn accept(
    shared: &Shared,
    phone_number_id: &str,
    edge: &str,
    body: &Value,
) -> Result<Accepted, GraphError> {
    let mut world = shared.world();
    let world = &mut *world;
    if body["messaging_product"] != "whatsapp" {
        return Err(GraphError::parameter(
            "The parameter messaging_product is required.",
        ));
    }
    if body["status"].is_string() {
        return mark_read(world, phone_number_id, body);
    }
    let recipient = recipient(body)?;
    let category = shape::check(world, phone_number_id, body)?;
    check_sender(shared, world, phone_number_id, body)?;
    let person = find_person(world, &recipient);
    check_pace(shared, world, phone_number_id, person)?;
    let template = check_template(world, phone_number_id, body, &recipient)?;
    check_edge(world, phone_number_id, edge, template.as_deref())?;
    let category = template.unwrap_or(category);

    let digits = match &recipient {
        Recipient::Phone { digits, .. } | Recipient::LettersLost { digits, .. } => digits.as_str(),
        Recipient::UserId(_) => "0",
    };
    let wamid = world.new_wamid(digits, true);
    let mut answer = json!({
        "messaging_product": "whatsapp",
        "contacts": [contact(world, &recipient, person)],
        "messages": [{"id": &*wamid}],
    });
    if body["type"] == "template" {
        answer["messages"][0]["message_status"] = "accepted".into();
    }
    world.counters.sends_accepted += 1;
    let Some(person) = person else {
        return Ok(Accepted {
            answer,
            message: None,
        });
    };
    let number: Arc<str> = phone_number_id.into();
    let end = if category == "marketing" && world.thread_mut(&number, person).marketing_stopped {
        End::Fails(GraphError::usual(131_050))
    } else {
        end(shared, world, &number, person, &recipient, body)
    };
    let index = world.add_message(Message {
        wamid,
        number,
        person,
        direction: Direction::ToCustomer,
        at: world.clock.now(),
        media: media_id(body).filter(|id| world.files.contains_key(id)),
        body: body.clone(),
        progress: Progress::Accepted,
        error: None,
        category,
        reported: 0,
    });
    Ok(Accepted {
        answer,
        message: Some((index, end)),
    })
}

/// Lets the message go its way: at once and waited for, if its statuses are to come first, else a moment later.
pub(super) async fn dispatch(shared: &Arc<Shared>, message: usize, end: End, place: &Place<'_>) {
    if shared.faults.strike(Fault::StatusFirst, place).is_some() {
        let expected = if matches!(end, End::Arrives) { 2 } else { 1 };
        let mut changed = shared.changed.subscribe();
        statuses::apply(shared, message, end);
        let reported = async {
            while shared.world().messages[message].reported < expected {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        // The answer is not held for ever: the receiver may wait for it.
        let _ = tokio::time::timeout(STATUS_FIRST_LIMIT, reported).await;
        return;
    }
    let step = Step {
        due: Instant::now() + shared.settings.status_delay,
        message,
        end,
    };
    // Nobody takes the step only when everything is stopping.
    let _ = shared.steps.send(step);
}

fn mark_read(
    world: &mut World,
    phone_number_id: &str,
    body: &Value,
) -> Result<Accepted, GraphError> {
    if body["status"] != "read" {
        return Err(GraphError::value("status must be read."));
    }
    let wamid = body["message_id"]
        .as_str()
        .ok_or_else(|| GraphError::missing("message_id"))?;
    let index = world
        .message_index(wamid)
        .filter(|&index| {
            let message = &world.messages[index];
            message.direction == Direction::FromCustomer && &*message.number == phone_number_id
        })
        .ok_or_else(|| {
            GraphError::value(format!("No message with the id {wamid} was received."))
        })?;
    let person = world.messages[index].person;
    let number = Arc::clone(&world.messages[index].number);
    let earlier: Vec<usize> = world
        .thread_mut(&number, person)
        .messages
        .iter()
        .copied()
        .filter(|&other| other <= index)
        .collect();
    for other in earlier {
        let message = &mut world.messages[other];
        if message.direction == Direction::FromCustomer {
            message.progress = Progress::Read;
        }
    }
    if body["typing_indicator"].is_object() {
        let until = world.clock.now() + TYPING;
        world.thread_mut(&number, person).typing_until = until;
    }
    Ok(Accepted {
        answer: json!({"success": true}),
        message: None,
    })
}

fn recipient(body: &Value) -> Result<Recipient, GraphError> {
    if let Some(kind) = body["recipient_type"].as_str()
        && kind != "individual"
    {
        return Err(GraphError::parameter(format!(
            "Param recipient_type must be one of {{individual}} - got \"{kind}\"."
        )));
    }
    if let Some(input) = text_or_number(&body["to"]) {
        let digits: String = input.chars().filter(char::is_ascii_digit).collect();
        if input.chars().any(char::is_alphabetic) {
            return Ok(Recipient::LettersLost { input, digits });
        }
        if !(5..=15).contains(&digits.len()) {
            return Err(GraphError::parameter(
                "The parameter to is not a valid phone number.",
            ));
        }
        return Ok(Recipient::Phone { input, digits });
    }
    let Some(user_id) = body["recipient"].as_str() else {
        return Err(GraphError::missing("to"));
    };
    if !is_user_id(user_id) {
        return Err(GraphError::value(
            "The parameter recipient is not a valid user id.",
        ));
    }
    Ok(Recipient::UserId(user_id.to_owned()))
}

/// `CC.` or `CC.ENT.` and 1 to 128 letters and digits.
fn is_user_id(text: &str) -> bool {
    let mut parts = text.split('.');
    let country = parts.next().unwrap_or_default();
    let mut rest = parts.next().unwrap_or_default();
    if rest == "ENT"
        && let Some(next) = parts.next()
    {
        rest = next;
    }
    country.len() == 2
        && country.chars().all(|letter| letter.is_ascii_uppercase())
        && (1..=128).contains(&rest.len())
        && rest.chars().all(|letter| letter.is_ascii_alphanumeric())
        && parts.next().is_none()
}

fn check_sender(
    shared: &Shared,
    world: &World,
    phone_number_id: &str,
    body: &Value,
) -> Result<(), GraphError> {
    let registered = world
        .numbers
        .get(phone_number_id)
        .is_some_and(|number| number.registered);
    if !registered {
        return Err(GraphError::usual(133_010));
    }
    let names = names(world, body);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let place = Place {
        phone_number_id: Some(phone_number_id),
        customer: &names,
    };
    match shared.faults.strike(Fault::Refused(0), &place) {
        Some(Fault::Refused(code)) => Err(GraphError::usual(code)),
        _ => Ok(()),
    }
}

/// The person a message is for, made up where unknown; nobody for letters in `to`.
fn find_person(world: &mut World, recipient: &Recipient) -> Option<usize> {
    match recipient {
        Recipient::LettersLost { .. } => None,
        Recipient::Phone { digits, .. } => {
            let stranger = || Customer::with_phone(digits).named(format!("+{digits}"));
            let known = world.find(digits);
            Some(known.unwrap_or_else(|| world.meet(&stranger())))
        }
        Recipient::UserId(user_id) => {
            let known = world.find(user_id);
            Some(known.unwrap_or_else(|| world.meet(&Customer::hidden(user_id, user_id))))
        }
    }
}

fn check_pace(
    shared: &Shared,
    world: &mut World,
    phone_number_id: &str,
    person: Option<usize>,
) -> Result<(), GraphError> {
    let now = world.clock.now();
    if shared.faults.number_limit_is_on()
        && let Some(number) = world.numbers.get_mut(phone_number_id)
        && !number.pace.take(now, NUMBER_PAUSE, NUMBER_BURST)
    {
        return Err(GraphError::usual(130_429));
    }
    if shared.faults.pair_limit_is_on()
        && let Some(person) = person
    {
        let thread = world.thread_mut(&phone_number_id.into(), person);
        if !thread.pace.take(now, PAIR_PAUSE, PAIR_BURST) {
            return Err(GraphError::usual(131_056));
        }
    }
    Ok(())
}

/// Checks a template send; the template's category in Meta's spelling for prices.
fn check_template(
    world: &World,
    phone_number_id: &str,
    body: &Value,
    recipient: &Recipient,
) -> Result<Option<String>, GraphError> {
    if body["type"] != "template" {
        return Ok(None);
    }
    let wanted = &body["template"];
    let (name, language) = (
        wanted["name"].as_str().unwrap_or_default(),
        wanted["language"]["code"].as_str().unwrap_or_default(),
    );
    let template = world
        .numbers
        .get(phone_number_id)
        .and_then(|number| world.accounts.get(&number.account))
        .and_then(|account| {
            account
                .templates
                .iter()
                .find(|template| template.name == name && template.language == language)
        })
        .ok_or_else(|| {
            GraphError::new(
                132_001,
                format!("template name ({name}) does not exist in {language}"),
            )
        })?;
    let empty = Vec::new();
    template.check(wanted["components"].as_array().unwrap_or(&empty))?;
    if template.category == "AUTHENTICATION" && matches!(recipient, Recipient::UserId(_)) {
        return Err(GraphError::usual(131_062));
    }
    Ok(Some(template.category.to_ascii_lowercase()))
}

/// Marketing templates have an edge of their own, which takes nothing else; an account can be closed to them elsewhere.
/// Source: Meta: Marketing Messages API; errors 131063 and 134100.
fn check_edge(
    world: &World,
    phone_number_id: &str,
    edge: &str,
    category: Option<&str>,
) -> Result<(), GraphError> {
    let marketing = category == Some("marketing");
    if edge == "marketing_messages" {
        return if marketing {
            Ok(())
        } else {
            Err(GraphError::usual(134_100))
        };
    }
    let elsewhere = world
        .numbers
        .get(phone_number_id)
        .and_then(|number| world.accounts.get(&number.account))
        .is_some_and(|account| account.marketing_elsewhere);
    if marketing && elsewhere {
        return Err(GraphError::usual(131_063));
    }
    Ok(())
}

fn contact(world: &World, recipient: &Recipient, person: Option<usize>) -> Value {
    match recipient {
        Recipient::Phone { input, digits } => {
            let known = person.and_then(|person| world.persons[person].phone.as_deref());
            json!({"input": input, "wa_id": known.unwrap_or(digits)})
        }
        Recipient::LettersLost { input, digits } => json!({"input": input, "wa_id": digits}),
        Recipient::UserId(user_id) => json!({"input": user_id, "user_id": user_id}),
    }
}

/// What becomes of the message: faults first, then whether the person exists, the window, the file.
fn end(
    shared: &Shared,
    world: &World,
    number: &Arc<str>,
    person: usize,
    recipient: &Recipient,
    body: &Value,
) -> End {
    let known = &world.persons[person];
    let names = names(world, body);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let place = Place {
        phone_number_id: Some(number),
        customer: &names,
    };
    if let Some(Fault::FailedStatus(code)) = shared.faults.strike(Fault::FailedStatus(0), &place) {
        return End::Fails(GraphError::usual(code));
    }
    let may_be_missing = match recipient {
        Recipient::UserId(_) => known.phone.is_none(),
        _ => shared.settings.unknown_recipients == UnknownRecipients::Undeliverable,
    };
    if may_be_missing && world.is_stranger(person) {
        return End::Fails(GraphError::usual(131_026));
    }
    let is_template = body["type"] == "template";
    if shared.faults.window_is_on() && !is_template && !world.window_is_open(number, person) {
        return End::Fails(GraphError::usual(131_047));
    }
    end_of_file(world, body)
}

fn end_of_file(world: &World, body: &Value) -> End {
    let Some((kind, object)) = file_object(body) else {
        return End::Arrives;
    };
    if let Some(file) = object["id"].as_str().and_then(|id| world.files.get(id)) {
        return match shape::kind_of_mime(&file.mime_type) {
            Some((found, _)) if found == kind || kind == "document" => End::Arrives,
            _ => End::Fails(GraphError::new(
                131_053,
                format!(
                    "A file of type {} cannot be sent as {kind}.",
                    file.mime_type
                ),
            )),
        };
    }
    match object["link"].as_str().map(Url::parse) {
        Some(Ok(url)) => End::Fetches {
            url,
            kind: kind.to_owned(),
        },
        _ => End::Arrives,
    }
}

/// The kind and the object of a message's file, be it the message itself or a template's header.
fn file_object(body: &Value) -> Option<(&str, &Value)> {
    let kind = body["type"].as_str()?;
    if shape::is_file(kind) {
        return Some((kind, &body[kind]));
    }
    let parameter = match kind {
        "template" => {
            let components = body["template"]["components"].as_array()?;
            let header = components.iter().find(|part| part["type"] == "header")?;
            &header["parameters"][0]
        }
        "interactive" => &body["interactive"]["header"],
        _ => return None,
    };
    let kind = parameter["type"]
        .as_str()
        .filter(|kind| shape::is_file(kind))?;
    Some((kind, &parameter[kind]))
}

/// The uploaded file of a message, or of a template's header.
fn media_id(body: &Value) -> Option<Arc<str>> {
    if let Some((_, file)) = file_object(body) {
        return Some(file["id"].as_str()?.into());
    }
    let components = body["template"]["components"].as_array()?;
    let header = components.iter().find(|part| part["type"] == "header")?;
    let parameter = &header["parameters"][0];
    Some(
        parameter[parameter["type"].as_str()?]["id"]
            .as_str()?
            .into(),
    )
}

fn text_or_number(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_two_letters_and_up_to_128_characters() {
        for (text, expected) in [
            ("DE.7Kq2mZ0aXw41", true),
            ("DE.ENT.7Kq2mZ", true),
            ("de.7Kq", false),
            ("DE.", false),
            ("DEU.7K", false),
            ("DE.7K.x", false),
            ("4915755509876", false),
        ] {
            assert_eq!(is_user_id(text), expected, "{text}");
        }
    }

    #[test]
    fn to_wins_over_recipient_and_loses_its_letters() {
        let both = json!({"to": "+49 1575 5509876", "recipient": "DE.a"});
        let Ok(Recipient::Phone { digits, .. }) = recipient(&both) else {
            panic!("a phone was expected");
        };
        assert_eq!(digits, "4915755509876");
        assert!(matches!(
            recipient(&json!({"to": "DE.7Kq2"})),
            Ok(Recipient::LettersLost { .. })
        ));
        assert_eq!(
            recipient(&json!({})).map_err(|error| error.code),
            Err(131_008)
        );
    }
}
