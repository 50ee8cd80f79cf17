//! Cards of CRM: leads, deals, contacts, companies and items of smart processes, and the phones in them.

use serde_json::{Value, json};

use crate::client::Call;
use crate::loose;

/// `entityTypeId` of a lead (Bitrix24: crm.item).
pub const LEAD: i64 = 1;
/// `entityTypeId` of a deal.
pub const DEAL: i64 = 2;
/// `entityTypeId` of a contact.
pub const CONTACT: i64 = 3;
/// `entityTypeId` of a company.
pub const COMPANY: i64 = 4;

/// A card as an employee may see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item {
    /// `title` of a lead, a deal, a company, an item.
    pub title: String,
    /// `name` of a person.
    pub name: String,
    /// `lastName` of a person.
    pub last_name: String,
    /// Its own phones.
    pub phones: Vec<Phone>,
    /// The contacts that it names, the first one first.
    pub contacts: Vec<i64>,
    /// The company that it names.
    pub company: Option<i64>,
    /// Fields with a plain value, by their names in REST.
    pub fields: Vec<(String, String)>,
}

/// A phone in a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phone {
    /// As somebody entered it.
    pub value: String,
    /// `WORK`, `MOBILE`, `HOME` …
    pub kind: String,
}

/// The kind of card that a placement stands in, as `entityTypeId`: `CRM_DEAL_DETAIL_TAB` gives 2,
/// `CRM_DYNAMIC_1038_DETAIL_ACTIVITY` 1038 (Bitrix24: widgets of CRM).
pub fn entity_type_of_placement(placement: &str) -> Option<i64> {
    let rest = placement.strip_prefix("CRM_")?;
    let kind = rest
        .strip_suffix("_DETAIL_TAB")
        .or_else(|| rest.strip_suffix("_DETAIL_ACTIVITY"))?;
    match kind {
        "LEAD" => Some(LEAD),
        "DEAL" => Some(DEAL),
        "CONTACT" => Some(CONTACT),
        "COMPANY" => Some(COMPANY),
        other => other.strip_prefix("DYNAMIC_")?.parse().ok(),
    }
}

/// Asks for a card (Bitrix24: crm.item.get).
pub fn item_get(entity_type: i64, id: i64) -> Call {
    Call::new(
        "crm.item.get",
        json!({ "entityTypeId": entity_type, "id": id }),
    )
}

impl Item {
    /// Reads the result of [`item_get`].
    pub fn read(result: &Value) -> Option<Self> {
        let item = loose::get(result, "item")?;
        let text = |key: &str| loose::text_at(item, &[key]).unwrap_or_default();
        let mut contacts: Vec<i64> = loose::get(item, "contactIds")
            .map(loose::items)
            .unwrap_or_default()
            .into_iter()
            .filter_map(number)
            .collect();
        let first = loose::integer_at(item, &["contactId"]).filter(|id| *id > 0);
        if let Some(first) = first.filter(|first| !contacts.contains(first)) {
            contacts.insert(0, first);
        }
        let phones = loose::get(item, "fm")
            .map(loose::items)
            .unwrap_or_default()
            .into_iter()
            .filter(|entry| loose::text_at(entry, &["typeId"]).as_deref() == Some("PHONE"))
            .filter_map(|entry| {
                Some(Phone {
                    value: loose::text_at(entry, &["value"])?,
                    kind: loose::text_at(entry, &["valueType"]).unwrap_or_default(),
                })
            })
            .collect();
        Some(Self {
            title: text("title"),
            name: text("name"),
            last_name: text("lastName"),
            phones,
            contacts,
            company: loose::integer_at(item, &["companyId"]).filter(|id| *id > 0),
            fields: fields(item),
        })
    }

    /// The person's name, or the card's title where it is no person's.
    pub fn shown_name(&self) -> String {
        let name = format!("{} {}", self.name, self.last_name);
        match name.trim() {
            "" => self.title.clone(),
            name => name.to_owned(),
        }
    }
}

fn number(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str()?.parse().ok())
        .filter(|id| *id > 0)
}

fn fields(item: &Value) -> Vec<(String, String)> {
    let entries = item.as_object().into_iter().flatten();
    entries
        .filter_map(|(key, value)| {
            let text = match value {
                Value::String(text) => text.trim().to_owned(),
                Value::Number(number) => number.to_string(),
                _ => return None,
            };
            (!text.is_empty() && text.len() <= 1024).then(|| (key.clone(), text))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_placement_names_the_kind_of_its_card() {
        for (placement, kind) in [
            ("CRM_LEAD_DETAIL_TAB", Some(1)),
            ("CRM_DEAL_DETAIL_ACTIVITY", Some(2)),
            ("CRM_CONTACT_DETAIL_TAB", Some(3)),
            ("CRM_COMPANY_DETAIL_TAB", Some(4)),
            ("CRM_DYNAMIC_1038_DETAIL_TAB", Some(1038)),
            ("CRM_DYNAMIC_x_DETAIL_TAB", None),
            ("CRM_DEAL_LIST_MENU", None),
            ("IM_TEXTAREA", None),
        ] {
            assert_eq!(entity_type_of_placement(placement), kind, "{placement}");
        }
    }

    #[test]
    fn a_card_is_read_whatever_the_types_of_its_ids() {
        let item = Item::read(&json!({ "item": {
            "id": "7", "title": "Order 7", "contactId": 3, "contactIds": ["3", 5], "companyId": "0", "opportunity": 12.5,
            "isNew": false, "comments": " ",
            "fm": [
                { "id": 1, "typeId": "PHONE", "valueType": "MOBILE", "value": "+49 1575 5509999" },
                { "id": 2, "typeId": "EMAIL", "valueType": "WORK", "value": "a@b.example" },
            ],
        } }))
        .unwrap();
        assert_eq!((item.contacts, item.company), (vec![3, 5], None));
        assert_eq!(item.phones.len(), 1);
        assert_eq!(item.phones[0].kind, "MOBILE");
        assert!(
            item.fields
                .contains(&("opportunity".to_owned(), "12.5".to_owned()))
        );
        assert!(item.fields.iter().all(|(key, _)| key != "comments"));
        let person = Item {
            name: "Lena".to_owned(),
            title: "x".to_owned(),
            ..Item::default()
        };
        assert_eq!(person.shown_name(), "Lena");
        assert_eq!(Item::read(&json!([])), None);
    }
}
