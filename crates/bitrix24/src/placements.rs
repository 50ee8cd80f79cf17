//! Where an application shows pages inside a portal: reading what is bound and bringing it to what it should be
//! (Bitrix24: placement.get, placement.bind, placement.unbind).
//!
//! Placements go the way of event handlers: they vanish when an application is removed, stay behind when its address
//! changes, and cannot be bound twice. The settings page of a connector is none of them; it comes with registering the
//! connector.

use serde_json::{Value, json};

use crate::client::{Call, Error};
use crate::loose;

/// A place with a page in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Name in upper case, as `CRM_DEAL_DETAIL_TAB`.
    pub name: String,
    /// Address of the page.
    pub handler: String,
}

/// A place as it is to be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Name in upper case.
    pub name: String,
    /// Address of the page.
    pub handler: String,
    /// Language codes and titles; the first is the one for all other languages.
    pub titles: Vec<(String, String)>,
    /// What this place needs besides, as `{"iconName": …, "context": …}`; null where it needs nothing.
    pub options: Value,
}

/// What has to be done to one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Bind it.
    Bind(Wish),
    /// Take it away.
    Unbind(Placement),
}

/// Asks for the application's own placements.
pub fn get() -> Call {
    Call::new("placement.get", json!({}))
}

/// Asks which places this portal has for the application's permissions (Bitrix24: placement.list).
pub fn list() -> Call {
    Call::new("placement.list", json!({}))
}

/// Reads the result of [`list`]: names in upper case.
pub fn read_names(result: &Value) -> Vec<String> {
    loose::texts(result)
        .into_iter()
        .map(|name| name.to_ascii_uppercase())
        .collect()
}

/// Reads the result of [`get`].
pub fn read(result: &Value) -> Vec<Placement> {
    loose::items(result)
        .into_iter()
        .filter_map(|placement| {
            Some(Placement {
                name: loose::text_at(placement, &["placement"])?.to_ascii_uppercase(),
                handler: loose::text_at(placement, &["handler"]).unwrap_or_default(),
            })
        })
        .collect()
}

/// The steps from what is found to exactly what is wished for.
pub fn converge(found: &[Placement], wishes: &[Wish]) -> Vec<Step> {
    let is = |placement: &Placement, wish: &Wish| {
        placement.name == wish.name && placement.handler == wish.handler
    };
    let mut kept: Vec<&Wish> = Vec::new();
    let mut steps = Vec::new();
    for placement in found {
        let wish = wishes
            .iter()
            .find(|wish| is(placement, wish) && !kept.contains(wish));
        match wish {
            Some(wish) => kept.push(wish),
            None => steps.push(Step::Unbind(placement.clone())),
        }
    }
    let missing = wishes.iter().filter(|wish| !kept.contains(wish));
    steps.extend(missing.cloned().map(Step::Bind));
    steps
}

impl Step {
    /// Builds the call.
    pub fn call(&self) -> Call {
        match self {
            Self::Bind(wish) => {
                let title = wish.titles.first().map_or("", |(_, title)| title);
                let titles: serde_json::Map<String, Value> = wish
                    .titles
                    .iter()
                    .map(|(language, title)| (language.clone(), json!({ "TITLE": title })))
                    .collect();
                let mut params = json!({
                    "PLACEMENT": wish.name, "HANDLER": wish.handler, "TITLE": title, "LANG_ALL": titles,
                });
                if !wish.options.is_null() {
                    params["OPTIONS"] = wish.options.clone();
                }
                Call::new("placement.bind", params)
            }
            Self::Unbind(placement) => Call::new(
                "placement.unbind",
                json!({ "PLACEMENT": placement.name, "HANDLER": placement.handler }),
            ),
        }
    }
}

/// Whether a refusal of [`Step::Bind`] means that the place is taken by this very page.
pub fn already_bound(error: &Error) -> bool {
    crate::event_handlers::already_bound(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(name: &str) -> Wish {
        Wish {
            name: name.to_owned(),
            handler: "https://separator.example/placement/".to_owned(),
            titles: vec![
                ("en".to_owned(), "WhatsApp".to_owned()),
                ("ru".to_owned(), "Ватсап".to_owned()),
            ],
            options: Value::Null,
        }
    }

    #[test]
    fn strangers_and_doubles_go_and_what_is_missing_is_bound() {
        let found = read(&json!([
            { "placement": "crm_deal_detail_tab", "handler": "https://separator.example/placement/", "options": [] },
            { "placement": "CRM_DEAL_DETAIL_TAB", "handler": "https://separator.example/placement/" },
            { "placement": "IM_TEXTAREA", "handler": "https://old.example/" },
            { "handler": "no name" },
        ]));
        let steps = converge(&found, &[wish("CRM_DEAL_DETAIL_TAB"), wish("IM_SIDEBAR")]);
        assert_eq!(
            steps,
            [
                Step::Unbind(found[1].clone()),
                Step::Unbind(found[2].clone()),
                Step::Bind(wish("IM_SIDEBAR"))
            ]
        );
        let call = steps[2].call();
        assert_eq!(call.params["LANG_ALL"]["ru"]["TITLE"], "Ватсап");
        assert_eq!(call.params["TITLE"], "WhatsApp");
        assert_eq!(converge(&read(&json!([])), &[]), []);
    }
}
