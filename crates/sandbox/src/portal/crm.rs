//! Cards of CRM: a few leads, deals, contacts, companies and items of a smart process, as every portal starts with.

use std::collections::BTreeMap;

use super::{
    Portal, Refusal,
    php::{EMPTY, Value, map},
    rest::{Context, Failure, Outcome},
    state::State,
};

/// `entityTypeId` and id.
pub(crate) type CardKey = (i64, i64);

/// The smart process of a portal.
const SMART_PROCESS: i64 = 1038;

/// A card.
#[derive(Debug, Clone, Default)]
pub struct Card {
    /// Its title; empty for a person.
    pub title: String,
    /// First and last name of a person.
    pub name: (String, String),
    /// Phones as somebody entered them, with their sort.
    pub phones: Vec<(String, String)>,
    /// The contacts that it names.
    pub contacts: Vec<i64>,
    /// The company that it names.
    pub company: i64,
    /// Further fields.
    pub fields: Vec<(String, String)>,
    /// Employees who may not see it.
    pub hidden_from: Vec<i64>,
}

/// The cards that every portal starts with.
pub(crate) fn first_cards() -> BTreeMap<CardKey, Card> {
    let text = |text: &str| text.to_owned();
    let phone = |value: &str, sort: &str| (text(value), text(sort));
    BTreeMap::from([
        (
            (1, 41),
            Card {
                title: text("Website request"),
                name: (text("Lena"), text("Klein")),
                phones: vec![phone("+49 1575 5509876", "MOBILE")],
                hidden_from: vec![31],
                ..Card::default()
            },
        ),
        (
            (2, 1207),
            Card {
                title: text("Order 1207"),
                contacts: vec![3],
                company: 9,
                fields: vec![
                    (text("opportunity"), text("249")),
                    (text("currencyId"), text("EUR")),
                ],
                hidden_from: vec![31],
                ..Card::default()
            },
        ),
        (
            (3, 3),
            Card {
                name: (text("Lena"), text("Klein")),
                phones: vec![
                    phone("+49 1575 5509876", "MOBILE"),
                    phone("see notes", "WORK"),
                ],
                ..Card::default()
            },
        ),
        (
            (4, 9),
            Card {
                title: text("Klein GmbH"),
                phones: vec![phone("030 5550100", "WORK")],
                ..Card::default()
            },
        ),
        (
            (SMART_PROCESS, 5),
            Card {
                title: text("Delivery 5"),
                contacts: vec![3],
                ..Card::default()
            },
        ),
    ])
}

/// `crm.item.get`: with the rights of the employee whose token it is.
pub(crate) fn item_get(context: &Context<'_>, state: &mut State) -> Outcome {
    let number = |name: &str| context.params.integer_of(name).unwrap_or_default();
    let (kind, id) = (number("entityTypeId"), number("id"));
    let card = state
        .cards
        .get(&(kind, id))
        .ok_or_else(|| Failure::new(400, "NOT_FOUND", "Element not found"))?;
    if card.hidden_from.contains(&context.user) {
        return Err(Failure::denied("Access denied"));
    }
    let phones = card
        .phones
        .iter()
        .enumerate()
        .map(|(index, (value, sort))| {
            map([
                ("id", (index as i64 + 1).into()),
                ("typeId", "PHONE".into()),
                ("valueType", sort.as_str().into()),
                ("value", value.as_str().into()),
            ])
        });
    let mut item = map([
        ("id", id.into()),
        ("title", card.title.as_str().into()),
        ("name", card.name.0.as_str().into()),
        ("lastName", card.name.1.as_str().into()),
        (
            "contactId",
            card.contacts.first().copied().unwrap_or_default().into(),
        ),
        ("companyId", card.company.into()),
        ("contactIds", card.contacts.clone().into()),
        ("observers", EMPTY),
        ("fm", Value::List(phones.collect())),
    ]);
    for (name, value) in &card.fields {
        item.set(name, value.as_str().into());
    }
    Ok(map([("item", item)]))
}

impl Portal {
    /// Puts a card into CRM.
    pub fn put_card(&self, entity_type: i64, id: i64, card: Card) {
        self.lock().cards.insert((entity_type, id), card);
    }

    /// What the settings of a step were saved as, when its page was last used.
    pub fn robot_settings(&self, code: &str) -> Vec<(String, String)> {
        self.lock()
            .robot_settings
            .get(code)
            .cloned()
            .unwrap_or_default()
    }

    /// Saves settings of a step: a list is written with bars between, under a name that ends with `[]`.
    pub(crate) fn save_robot_settings(
        &self,
        code: &str,
        values: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), Refusal> {
        let mut state = self.lock();
        let robot = state
            .robots
            .values()
            .find(|robot| robot.code == code)
            .ok_or(Refusal::NoSuchRobot)?
            .clone();
        let saved = state.robot_settings.entry(code.to_owned()).or_default();
        for (key, value) in values {
            // The portal takes only settings that the step has.
            if !robot.properties.contains(key) {
                return Err(Refusal::NoSuchRobot);
            }
            let (name, text) = match value {
                serde_json::Value::Array(items) => {
                    let items: Vec<&str> = items.iter().filter_map(|item| item.as_str()).collect();
                    (format!("{key}[]"), items.join("|"))
                }
                serde_json::Value::String(text) => (key.clone(), text.clone()),
                other => (key.clone(), other.to_string()),
            };
            saved.retain(|(known, _)| *known != name);
            saved.push((name, text));
        }
        Ok(())
    }
}
