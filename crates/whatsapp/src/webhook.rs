//! What Meta sends to a callback, read so that one bad element never takes another along.
//!
//! A body holds entries, an entry changes, a change a value with arrays of messages and statuses; up to 1000 updates
//! of several numbers come in one body. [`parse`] flattens the first two levels and reads every element by itself.
//! Callbacks come at least once and in any order. Source: Meta, "Webhooks: messages".

pub mod call;
pub mod management;
pub mod message;
pub mod preferences;
pub mod status;

use serde_json::value::RawValue;

use crate::error::ApiError;
use crate::json::{self, Object, Raw};
use crate::signature;

pub use call::{CallEvent, CallStep, CallsValue};
pub use management::{AccountNews, NumberNews, SettingsNews, TemplateNews};
pub use message::{Message, MessageBody};
pub use preferences::{Preference, PreferencesValue};
pub use status::{DeliveryStatus, Status};

/// A body that is not a callback at all: not JSON, or without entries. Keep the bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the callback was not understood: {why}")]
pub struct NotUnderstood {
    /// What is wrong with it.
    pub why: &'static str,
}

/// One callback.
#[derive(Debug, Clone, PartialEq)]
pub struct Callback {
    /// What it is about: `whatsapp_business_account`, in all that concerns WhatsApp.
    pub object: Option<String>,
    /// All changes of all entries, in the order of the body.
    pub changes: Vec<Change>,
    /// Entries and changes that could not be opened.
    pub bad: Vec<Bad>,
}

/// One change of one entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Id of the entry: the WhatsApp Business Account, except for partner events, where it is the business.
    pub entry_id: String,
    /// Unix seconds; present for management fields, normally not for messages.
    pub time: Option<i64>,
    /// Which field of the subscription it belongs to, such as `messages`.
    pub field: String,
    /// The value as received, for keeping.
    pub value: Raw,
    /// The value as understood.
    pub kind: ChangeKind,
}

/// The value of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum ChangeKind {
    /// Field `messages`: what customers wrote and what became of our messages.
    Messages(MessagesValue),
    /// Field `smb_message_echoes`: what the business wrote with the phone app; in `messages` of the value.
    Echoes(MessagesValue),
    /// Fields `message_template_…_update` and `template_category_update`: something changed about a template.
    Template(TemplateNews),
    /// Fields `account_update` and `account_review_update`: something changed about an account.
    Account(AccountNews),
    /// Fields `phone_number_quality_update` and `phone_number_name_update`: something changed about a number.
    Number(NumberNews),
    /// Field `calls`: calls that begin and end.
    Calls(CallsValue),
    /// Field `account_settings_update`: somebody changed a number's settings.
    Settings(SettingsNews),
    /// Field `user_preferences`: what people want to get.
    Preferences(PreferencesValue),
    /// Any other field: look at the change's `value`.
    Other,
}

/// An element that could not be read; the rest was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// The element as received.
    pub raw: Raw,
    /// What is wrong with it.
    pub why: String,
}

/// The value of the fields `messages` and `smb_message_echoes`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MessagesValue {
    /// The business number it is about.
    pub phone_number_id: Option<String>,
    /// The same number in digits.
    pub display_phone_number: Option<String>,
    /// The people who wrote; see [`contact_for`](Self::contact_for).
    pub contacts: Vec<Contact>,
    /// Messages, or echoes, in the order of the body.
    pub messages: Vec<Result<Message, Bad>>,
    /// Statuses, in the order of the body.
    pub statuses: Vec<Result<Status, Bad>>,
    /// Errors about the number or about a message beside them.
    pub errors: Vec<ApiError>,
}

/// A person as Meta describes them beside a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contact {
    /// The name that they gave themselves.
    pub name: Option<String>,
    /// The username without `@`. It can change owner and is no key.
    pub username: Option<String>,
    /// WhatsApp id, the phone number's digits; absent when the person hides it.
    pub wa_id: Option<String>,
    /// Business-scoped user id (BSUID).
    pub user_id: Option<String>,
    /// User id over linked portfolios.
    pub parent_user_id: Option<String>,
}

impl MessagesValue {
    /// The contact who wrote a message, found by user id, then by WhatsApp id, never by position.
    pub fn contact_for(&self, message: &Message) -> Option<&Contact> {
        let same =
            |ours: &Option<String>, theirs: &Option<String>| ours.is_some() && ours == theirs;
        let by_user_id = self
            .contacts
            .iter()
            .find(|contact| same(&contact.user_id, &message.from_user_id));
        by_user_id.or_else(|| {
            self.contacts
                .iter()
                .find(|contact| same(&contact.wa_id, &message.from))
        })
    }

    fn read(value: &Object<'_>, messages: &str) -> Self {
        let metadata = value.object("metadata");
        let metadata = metadata.as_ref();
        Self {
            phone_number_id: metadata.and_then(|metadata| metadata.filled("phone_number_id")),
            display_phone_number: metadata
                .and_then(|metadata| metadata.filled("display_phone_number")),
            contacts: value
                .objects("contacts")
                .map(|contact| Contact::read(&contact))
                .collect(),
            messages: each(value.list(messages), Message::read),
            statuses: each(value.list("statuses"), Status::read),
            errors: ApiError::read_all(value.list("errors")),
        }
    }
}

impl Contact {
    fn read(contact: &Object<'_>) -> Self {
        let profile = contact.object("profile");
        let profile = profile.as_ref();
        let username = profile.and_then(|profile| profile.text("username"));
        Self {
            name: profile.and_then(|profile| profile.filled("name")),
            username: username
                .map(|name| name.trim_start_matches('@').to_owned())
                .filter(|name| !name.is_empty()),
            wa_id: contact.filled("wa_id"),
            user_id: contact.filled("user_id"),
            parent_user_id: contact.filled("parent_user_id"),
        }
    }
}

/// Reads the body of a callback whose signature was found right.
pub fn parse(body: &[u8]) -> Result<Callback, NotUnderstood> {
    let text = String::from_utf8_lossy(body);
    let text = json::mend_surrogates(&text);
    let root = Object::parse(&text).ok_or(NotUnderstood {
        why: "not a JSON object",
    })?;
    if root.raw("entry").is_none() {
        return Err(NotUnderstood { why: "no entry" });
    }

    let mut callback = Callback {
        object: root.filled("object"),
        changes: Vec::new(),
        bad: Vec::new(),
    };
    for raw in root.list("entry") {
        let Some(entry) = Object::open(raw) else {
            callback.bad.push(Bad::new(raw, "not an object"));
            continue;
        };
        let entry_id = entry.text("id").unwrap_or_default();
        let time = entry.integer("time");
        for raw in entry.list("changes") {
            match Change::read(raw, &entry_id, time) {
                Ok(change) => callback.changes.push(change),
                Err(bad) => callback.bad.push(bad),
            }
        }
    }
    Ok(callback)
}

/// The answer to Meta's handshake, a GET on the callback: the challenge to send back as plain text, if the mode is
/// `subscribe` and the token is the expected one; otherwise answer 403. Source: Meta, "Webhooks: verification requests".
pub fn handshake<'a>(
    mode: &str,
    token: &str,
    challenge: &'a str,
    expected_token: &str,
) -> Option<&'a str> {
    (signature::same_token(expected_token, token) && mode == "subscribe").then_some(challenge)
}

impl ChangeKind {
    fn of_management(field: &str, value: &Object<'_>) -> Self {
        let template = || TemplateNews::read(field, value).map(Self::Template);
        let account = || AccountNews::read(field, value).map(Self::Account);
        let number = || NumberNews::read(field, value).map(Self::Number);
        template()
            .or_else(account)
            .or_else(number)
            .or_else(|| SettingsNews::read(field, value).map(Self::Settings))
            .unwrap_or(Self::Other)
    }
}

impl Change {
    fn read(raw: &RawValue, entry_id: &str, time: Option<i64>) -> Result<Self, Bad> {
        let change = Object::open(raw).ok_or_else(|| Bad::new(raw, "not an object"))?;
        let field = change
            .filled("field")
            .ok_or_else(|| Bad::new(raw, "no field"))?;
        let value = change.raw("value").unwrap_or(RawValue::NULL);
        let kind = match (field.as_str(), Object::open(value)) {
            ("messages", Some(value)) => {
                ChangeKind::Messages(MessagesValue::read(&value, "messages"))
            }
            ("smb_message_echoes", Some(value)) => {
                ChangeKind::Echoes(MessagesValue::read(&value, "message_echoes"))
            }
            ("calls", Some(value)) => ChangeKind::Calls(CallsValue::read(&value)),
            ("user_preferences", Some(value)) => {
                ChangeKind::Preferences(PreferencesValue::read(&value))
            }
            ("messages" | "smb_message_echoes" | "calls", None) => {
                return Err(Bad::new(raw, "the value is not an object"));
            }
            (field, Some(value)) => ChangeKind::of_management(field, &value),
            (_, None) => ChangeKind::Other,
        };
        Ok(Self {
            entry_id: entry_id.to_owned(),
            time,
            field,
            value: Raw::new(value),
            kind,
        })
    }
}

impl Bad {
    fn new(raw: &RawValue, why: &str) -> Self {
        Self {
            raw: Raw::new(raw),
            why: why.to_owned(),
        }
    }
}

fn each<T>(
    elements: Vec<&RawValue>,
    read: fn(&RawValue, &Object<'_>) -> Result<T, &'static str>,
) -> Vec<Result<T, Bad>> {
    let one = |raw| {
        let object = Object::open(raw).ok_or("not an object");
        object
            .and_then(|object| read(raw, &object))
            .map_err(|why| Bad::new(raw, why))
    };
    elements.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests;
