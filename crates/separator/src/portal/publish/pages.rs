//! Our pages inside the portal: cards of the CRM, chats.

use bitrix24::{Class, Obstacle, placements};
use serde_json::{Value, json};

use super::{Rest, Trouble};
use crate::portal::CallError;

/// Titles of a page by language, the first for all other languages.
type Titles = &'static [(&'static str, &'static str)];

/// What the pages of cards and chats are called.
const SEND_TITLES: Titles = &[("en", "WhatsApp"), ("ru", "WhatsApp")];

/// What the button beside a chat's text is called.
const TEMPLATE_TITLES: Titles = &[("en", "WhatsApp template"), ("ru", "Шаблон WhatsApp")];

/// The places with a page of ours besides the connector's settings, which come with its registration: name and titles.
/// All of them open the same address, which looks at the place's name. Smart processes have places of their own, which
/// only the portal can name: see [`is_of_smart_process`].
const PLACEMENTS: [(&str, Titles); 10] = [
    ("CRM_LEAD_DETAIL_TAB", SEND_TITLES),
    ("CRM_LEAD_DETAIL_ACTIVITY", SEND_TITLES),
    ("CRM_DEAL_DETAIL_TAB", SEND_TITLES),
    ("CRM_DEAL_DETAIL_ACTIVITY", SEND_TITLES),
    ("CRM_CONTACT_DETAIL_TAB", SEND_TITLES),
    ("CRM_CONTACT_DETAIL_ACTIVITY", SEND_TITLES),
    ("CRM_COMPANY_DETAIL_TAB", SEND_TITLES),
    ("CRM_COMPANY_DETAIL_ACTIVITY", SEND_TITLES),
    ("IM_TEXTAREA", TEMPLATE_TITLES),
    ("IM_SIDEBAR", SEND_TITLES),
];

/// Whether a place is the tab or the button of a smart process's card, as `CRM_DYNAMIC_1038_DETAIL_TAB`.
fn is_of_smart_process(name: &str) -> bool {
    name.starts_with("CRM_DYNAMIC_") && bitrix24::crm::entity_type_of_placement(name).is_some()
}

/// What a place needs besides a page (Bitrix24: widgets in chats): the button stands in chats of open lines only.
fn placement_options(name: &str) -> Value {
    match name {
        "IM_TEXTAREA" => json!({
            "iconName": "fa-comment-dots", "context": "LINES", "role": "USER", "color": "GREEN", "width": 480, "height": 640,
        }),
        "IM_SIDEBAR" => {
            json!({ "iconName": "fa-clock", "context": "LINES", "role": "USER", "color": "GREEN" })
        }
        _ => Value::Null,
    }
}

/// The places that a portal has and that are to show a page of ours. `available` is what it has.
fn wished_placements(handler: &str, available: &[String]) -> Vec<placements::Wish> {
    let of_smart_processes = available
        .iter()
        .filter(|name| is_of_smart_process(name))
        .map(|name| (name.as_str(), SEND_TITLES));
    let owned = |(language, title): &(&str, &str)| ((*language).to_owned(), (*title).to_owned());
    PLACEMENTS
        .into_iter()
        .filter(|(name, _)| available.iter().any(|known| known == name))
        .chain(of_smart_processes)
        .map(|(name, titles)| placements::Wish {
            name: name.to_owned(),
            handler: handler.to_owned(),
            titles: titles.iter().map(owned).collect(),
            options: placement_options(name),
        })
        .collect()
}

/// Brings the application's placements to exactly those that are wished for. A place that the portal does not have, for
/// want of a permission or of age, is left out: messages pass without it.
pub(super) async fn converge(rest: &impl Rest, handler: &str) -> Result<(), Trouble> {
    let found = match rest.run(placements::get()).await {
        Ok(result) => placements::read(&result),
        Err(CallError::Rest(error)) if error.class() == Class::Blocked(Obstacle::Scope) => {
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let available = placements::read_names(&rest.run(placements::list()).await?);
    let wishes = wished_placements(handler, &available);
    for step in placements::converge(&found, &wishes) {
        match rest.run(step.call()).await {
            Ok(_) => {}
            Err(CallError::Rest(error)) if placements::already_bound(&error) => {}
            Err(CallError::Rest(error)) if error.class() == Class::Refused => {
                tracing::warn!(%error, ?step, "a place inside the portal was not bound");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
