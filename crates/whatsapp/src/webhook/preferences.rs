//! Field `user_preferences`: what people want to get from a business. Source: Meta, "Webhooks: user_preferences".

use serde_json::value::RawValue;

use super::{Bad, Contact, each};
use crate::json::Object;

/// The value of the field.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PreferencesValue {
    /// The business number it is about.
    pub phone_number_id: Option<String>,
    /// The people who chose.
    pub contacts: Vec<Contact>,
    /// What they chose, in the order of the body.
    pub preferences: Vec<Result<Preference, Bad>>,
}

/// What one person chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preference {
    /// WhatsApp id, the phone number's digits; absent when the person hides it.
    pub wa_id: Option<String>,
    /// Business-scoped user id (BSUID).
    pub user_id: Option<String>,
    /// What it is about: `marketing_messages`.
    pub category: String,
    /// `stop`, `resume`, `signup`, or one that is new.
    pub value: String,
    /// Unix seconds.
    pub timestamp: Option<i64>,
}

impl PreferencesValue {
    pub(super) fn read(value: &Object<'_>) -> Self {
        let metadata = value.object("metadata");
        Self {
            phone_number_id: metadata.and_then(|metadata| metadata.filled("phone_number_id")),
            contacts: value
                .objects("contacts")
                .map(|contact| Contact::read(&contact))
                .collect(),
            preferences: each(value.list("user_preferences"), Preference::read),
        }
    }
}

impl Preference {
    fn read(_: &RawValue, object: &Object<'_>) -> Result<Self, &'static str> {
        let (wa_id, user_id) = (object.filled("wa_id"), object.filled("user_id"));
        if wa_id.is_none() && user_id.is_none() {
            return Err("a preference of nobody");
        }
        Ok(Self {
            wa_id,
            user_id,
            category: object.filled("category").unwrap_or_default(),
            value: object
                .filled("value")
                .ok_or("a preference without a value")?,
            timestamp: object.integer("timestamp"),
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::{ChangeKind, parse};

    #[test]
    fn preferences_are_read_one_by_one() {
        let body = r#"{"entry":[{"id":"108","changes":[{"field":"user_preferences","value":{
            "messaging_product":"whatsapp","metadata":{"phone_number_id":"209"},
            "contacts":[{"wa_id":"4915755509876","user_id":"DE.7K"}],
            "user_preferences":[
                {"wa_id":"4915755509876","user_id":"DE.7K","category":"marketing_messages","value":"stop","timestamp":1795400400},
                {"category":"marketing_messages","value":"stop"},
                {"user_id":"DE.8","category":"marketing_messages","value":"resume","timestamp":"1795400401"}]}}]}]}"#;
        let kind = parse(body.as_bytes()).unwrap().changes.remove(0).kind;
        let ChangeKind::Preferences(value) = kind else {
            panic!("{kind:?}");
        };
        assert_eq!(value.phone_number_id.as_deref(), Some("209"));
        assert_eq!(value.contacts[0].user_id.as_deref(), Some("DE.7K"));
        let [first, second, third] = value.preferences.as_slice() else {
            panic!("{value:?}");
        };
        let first = first.as_ref().unwrap();
        assert_eq!(
            (first.value.as_str(), first.timestamp),
            ("stop", Some(1_795_400_400))
        );
        assert!(second.is_err());
        let third = third.as_ref().unwrap();
        assert_eq!(
            (third.wa_id.as_deref(), third.timestamp),
            (None, Some(1_795_400_401))
        );
    }
}
