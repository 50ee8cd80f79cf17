//! The customer of a page: until when they may be written to freely, and what was written.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{TAG, number, say, viewer};
use crate::{
    api::{
        fields,
        operation::{Call, Described, Field, Operation, Outcome, Parameter, Purpose, Shape},
        problem::Problem,
        rule::Rule,
        rules,
    },
    compose::To,
    person::canonical,
    registry::Phone,
    seal::Sealer,
    store::{
        Store,
        browse::{self, Message, MessageFilter, Window},
        conversations::{self, Conversation, Person},
        held,
        messages::MessageError,
    },
    time::Millis,
    translate::{message::Language, notes},
};

/// For what customers are sealed; nothing that is stored is sealed for it.
const PLACE: &str = "frame customer";

/// Messages of a history.
const MOST_MESSAGES: usize = 30;

/// Somebody to whom the employee who looks at a page may write, as Bitrix24 showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Customer {
    /// The portal that showed it.
    pub(super) instance: Uuid,
    /// The employee's id there.
    pub(super) user_id: i64,
    /// The only number from which they may be written to, where the place decides that.
    pub(super) number: Option<Uuid>,
    /// The customer.
    pub(super) to: To,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    instance: Uuid,
    user_id: i64,
    number: Option<Uuid>,
    phone: Option<String>,
    bsuid: Option<String>,
}

impl Customer {
    /// A text that only this program can read, and that stands for the customer.
    pub(super) fn seal(self, sealer: &Sealer) -> String {
        let (phone, bsuid) = match self.to {
            To::Phone(digits) => (Some(digits), None),
            To::UserId(id) => (None, Some(id)),
        };
        let sealed = Sealed {
            instance: self.instance,
            user_id: self.user_id,
            number: self.number,
            phone,
            bsuid,
        };
        let plain = serde_json::to_string(&sealed)
            // Only maps with keys that are no texts, and types that refuse by themselves, fail.
            .expect("a structure of texts and numbers always becomes JSON");
        BASE64_URL_SAFE_NO_PAD.encode(sealer.seal(PLACE, &plain))
    }

    fn open(sealer: &Sealer, text: &str) -> Option<Self> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let plain = sealer.open(PLACE, &sealed).ok()?;
        let sealed: Sealed = serde_json::from_str(plain.expose()).ok()?;
        let to = match (sealed.phone, sealed.bsuid) {
            (Some(digits), _) => To::Phone(digits),
            (None, Some(id)) => To::UserId(id),
            (None, None) => return None,
        };
        Some(Self {
            instance: sealed.instance,
            user_id: sealed.user_id,
            number: sealed.number,
            to,
        })
    }

    /// The customer that a call names, if it was shown to this very employee, and the number if the customer may be
    /// written to from it.
    pub(super) fn of(call: &Call, key: &str, number: Uuid) -> Result<Self, Problem> {
        let person = viewer(call)?;
        Self::open(&call.app.sealer, key)
            .filter(|one| one.instance == person.instance && one.user_id == person.user_id)
            .filter(|one| one.number.is_none_or(|only| only == number))
            .ok_or_else(|| {
                let text = say(
                    call,
                    "is nobody whom this page showed: choose the recipient again",
                    "не из показанных на этой странице: выберите получателя снова",
                );
                Problem::field("recipient", text)
            })
    }

    /// Whether more than templates may be sent to the customer now.
    pub(super) async fn takes_everything(
        &self,
        call: &Call,
        phone: &Phone,
    ) -> Result<bool, Problem> {
        let conversation = self.conversation(&call.app.store, phone).await?;
        let now = call.app.clock.now();
        Ok(conversation.is_some_and(|(_, conversation)| conversation.takes_everything(now)))
    }

    /// The conversation with the customer, where there is one.
    pub(super) async fn conversation(
        &self,
        store: &Store,
        phone: &Phone,
    ) -> Result<Option<(Person, Conversation)>, Problem> {
        let alias = match &self.to {
            To::Phone(digits) => canonical(digits),
            To::UserId(id) => id.clone(),
        };
        let found = conversations::persons_by_alias(store, &[alias]).await?;
        let person = found
            .into_iter()
            .map(|(_, person)| person)
            .find(|person| person.account == phone.account_id);
        let Some(person) = person else {
            return Ok(None);
        };
        let all = conversations::of_persons(store, &[person.id]).await?;
        let own = all
            .into_iter()
            .find(|conversation| conversation.phone == phone.id);
        Ok(own.map(|own| (person, own)))
    }
}

pub(super) const CONVERSATION: Described = Described {
    name: "FrameConversation",
    purpose: Purpose::Shown,
    description: "What was written to and by a customer, and whether free text may be sent.",
    fields: &[
        Field::read(
            "window",
            Shape::Object("Window"),
            "The customer service window.",
            "",
        ),
        Field::read(
            "held",
            Shape::Whole,
            "How many operators' messages wait for the customer.",
            "0",
        ),
        Field::nullable(
            "marketing_stopped_at",
            Shape::Time,
            "Since when the customer wants no marketing messages from the number; null while they take them.",
            "2026-11-24T04:47:32.010Z",
        ),
        Field::read(
            "messages",
            Shape::List("FrameMessage"),
            "The last 30 messages, the newest first.",
            "",
        ),
    ],
};

pub(super) const MESSAGE: Described = Described {
    name: "FrameMessage",
    purpose: Purpose::Shown,
    description: "A message in the history of a customer.",
    fields: &[
        Field::id(),
        Field::read(
            "direction",
            Shape::Text,
            "inbound: from the customer; else outbound.",
            "outbound",
        ),
        Field::read("type", Shape::Text, "Meta's message type.", "template"),
        Field::read(
            "text",
            Shape::Text,
            "Plain text, caption or label.",
            "Good morning",
        ),
        Field::read(
            "state",
            Shape::Text,
            "received, queued, sent, delivered, read, failed or unknown.",
            "delivered",
        ),
        Field::nullable(
            "error",
            Shape::Text,
            "Why it failed and what to do, in the caller's language.",
            "",
        ),
        Field::created_at(),
    ],
};

const QUERY: &[Parameter] = &[
    Parameter {
        name: "number",
        shape: Shape::Id,
        description: "The portal's number.",
    },
    Parameter {
        name: "recipient",
        shape: Shape::Text,
        description: "Key of the customer, as the place shows it.",
    },
];

pub(super) const OPERATION: Operation = Operation {
    summary: "Show the conversation with a customer",
    query: QUERY,
    refusals: &[422],
    ..Operation::get(
        "/api/v1/frames/conversation",
        TAG,
        "FrameConversation",
        Rule::PortalPeople,
        |call| Box::pin(show(call)),
    )
};

async fn show(call: Call) -> Outcome {
    let mut query = call.query();
    let id = query.optional("number", fields::id);
    let key = query.optional("recipient", rules::text(1000));
    query.finish()?;
    let registry = call.registry();
    let phone = number(&call, &registry, viewer(&call)?.instance, id)?;
    let customer = Customer::of(&call, key.as_deref().unwrap_or_default(), phone.id)?;
    let Some((person, conversation)) = customer.conversation(&call.app.store, phone).await? else {
        let window = json!({ "open": false, "open_until": null });
        return Ok(json!({
            "window": window,
            "held": 0,
            "marketing_stopped_at": null,
            "messages": [],
        }));
    };
    let now = call.app.clock.now();
    let open_until = open_until(&conversation, now);
    let filter = MessageFilter {
        phone: Some(phone.id),
        peer: Some(person.peer()),
        ..MessageFilter::default()
    };
    let window = Window {
        below: None,
        limit: MOST_MESSAGES,
    };
    let rows = browse::messages(&call.app.store, &call.reach(), &filter, window).await?;
    let waiting = held::of(&call.app.store, &[conversation.id]).await?;
    let shown: Vec<Value> = rows
        .iter()
        .map(|message| message_row(message, call.client.language))
        .collect();
    Ok(json!({
        "window": { "open": open_until.is_some(), "open_until": open_until },
        "held": waiting.len(),
        "marketing_stopped_at": conversation.marketing_stopped_at,
        "messages": shown,
    }))
}

fn open_until(conversation: &Conversation, now: Millis) -> Option<Millis> {
    conversations::open_until(
        conversation.last_inbound_at,
        conversation.window_closed_at,
        now,
    )
}

fn message_row(message: &Message, language: Language) -> Value {
    json!({
        "id": message.id,
        "direction": message.direction,
        "type": message.kind,
        "text": message.text,
        "state": message.state,
        "error": message.error.as_deref().map(|error| sentence(error, language)),
        "created_at": message.created_at,
    })
}

/// Why a message failed: the operator's words for Meta's codes, the words that were found already for others.
fn sentence(error: &str, language: Language) -> String {
    let Ok(error) = serde_json::from_str::<MessageError>(error) else {
        return error.to_owned();
    };
    match (error.code.parse(), error.details) {
        (Ok(code), details) => {
            notes::failure(Some(code), &error.title, details.as_deref(), language)
        }
        // A word of ours: what happened and what to do is said already.
        (Err(_), Some(details)) => format!("{} {details}", error.title),
        (Err(_), None) => error.title,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::identifiers::Chance;

    #[test]
    fn a_customer_is_sealed_and_nothing_else_is_one() {
        let sealer = Sealer::from_keys(vec![[1; 32]], Chance::seeded(1)).unwrap();
        for to in [
            To::Phone("4915755509876".to_owned()),
            To::UserId("DE.134".to_owned()),
        ] {
            let customer = Customer {
                instance: Uuid::from_u128(1),
                user_id: 27,
                number: Some(Uuid::from_u128(2)),
                to,
            };
            let key = customer.clone().seal(&sealer);
            assert!(!key.contains("4915755509876"));
            assert_eq!(Customer::open(&sealer, &key), Some(customer));
        }
        for wrong in ["", "AfX0", "4915755509876", "!"] {
            assert_eq!(Customer::open(&sealer, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_failure_is_said_in_the_readers_language() {
        let error = r#"{"code":"131026","title":"Message undeliverable","details":null}"#;
        let english = sentence(error, Language::English);
        assert!(english.starts_with("Message not delivered.") && english.ends_with("(131026)"));
        assert!(sentence(error, Language::Russian).starts_with("Сообщение не доставлено."));
        assert_eq!(sentence("no JSON", Language::English), "no JSON");
    }
}
