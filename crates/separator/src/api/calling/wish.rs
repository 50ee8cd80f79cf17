//! What somebody asks to be chosen for calls of a number, read from a request.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{ICON, KEYS};
use crate::{
    api::{
        fields::{self, Fields},
        phones::SWITCH,
        rules,
    },
    calling::{address, settings::Wish},
    translate::message::Language,
};

/// The most characters of an address that somebody enters.
const ADDRESS_LIMIT: usize = 500;

/// What is asked to be chosen; `None` leaves as it is.
#[derive(Debug, Default)]
pub(in crate::api) struct WishChange {
    calling: Option<bool>,
    sip: Option<bool>,
    #[expect(
        clippy::option_option,
        reason = "absent, null and a value are three things"
    )]
    hostname: Option<Option<String>>,
    port: Option<i64>,
    sdes: Option<bool>,
    callback_permission: Option<bool>,
    call_icon: Option<bool>,
    #[expect(
        clippy::option_option,
        reason = "absent, null and a value are three things"
    )]
    call_hours: Option<Option<Value>>,
    webhook_delivery: Option<bool>,
    parameters: Option<BTreeMap<String, String>>,
}

impl WishChange {
    pub(in crate::api) fn read(fields: &mut Fields) -> Self {
        let on = |value: &Value| rules::choice(SWITCH)(value).map(|word| word == "enabled");
        Self {
            calling: fields.with_default("calling", false, on),
            sip: fields.with_default("sip", false, on),
            hostname: fields
                .optional("sip_hostname", raw_address)
                .map(|host| host.filter(|host| !host.trim().is_empty())),
            port: fields.with_default("sip_port", i64::from(address::DEFAULT_PORT), rules::port),
            sdes: fields.with_default("key_exchange", true, |value| {
                rules::choice(KEYS)(value).map(|word| word == "sdes")
            }),
            callback_permission: fields.with_default("callback_permission", true, on),
            call_icon: fields.with_default("call_icon", true, |value| {
                rules::choice(ICON)(value).map(|word| word == "shown")
            }),
            call_hours: fields.optional("call_hours", hours),
            webhook_delivery: fields.with_default("webhook_delivery", true, on),
            parameters: fields
                .optional("sip_parameters", parameters)
                .map(Option::unwrap_or_default),
        }
    }

    /// Whether anything about calls is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.calling.is_none()
            && self.sip.is_none()
            && self.hostname.is_none()
            && self.port.is_none()
            && self.sdes.is_none()
            && self.callback_permission.is_none()
            && self.call_icon.is_none()
            && self.call_hours.is_none()
            && self.webhook_delivery.is_none()
            && self.parameters.is_none()
    }

    /// What is chosen with this change, where all of it can be.
    pub(in crate::api) fn onto(
        &self,
        base: &Wish,
        language: Language,
    ) -> Result<Wish, (&'static str, String)> {
        let mut wish = base.clone();
        wish.calling = self.calling.unwrap_or(wish.calling);
        wish.sip = self.sip.unwrap_or(wish.sip);
        wish.sdes = self.sdes.unwrap_or(wish.sdes);
        wish.callback_permission = self.callback_permission.unwrap_or(wish.callback_permission);
        wish.call_icon = self.call_icon.unwrap_or(wish.call_icon);
        wish.webhook_delivery = self.webhook_delivery.unwrap_or(wish.webhook_delivery);
        if let Some(hours) = &self.call_hours {
            wish.call_hours.clone_from(hours);
        }
        if let Some(parameters) = &self.parameters {
            wish.parameters.clone_from(parameters);
        }
        let port = self.port.map(|port| port.to_string());
        match &self.hostname {
            Some(Some(host)) => {
                let address =
                    address::normalise_with(host, port.as_deref(), wish.port).map_err(|error| {
                        let field = match error.field() {
                            address::Field::Port => "sip_port",
                            address::Field::Host => "sip_hostname",
                        };
                        (field, error.text(language))
                    })?;
                (wish.hostname, wish.port) = (Some(address.host), address.port);
            }
            Some(None) => wish.hostname = None,
            None => {}
        }
        if let (Some(port), None | Some(None)) = (self.port, &self.hostname) {
            wish.port = u16::try_from(port).unwrap_or(address::DEFAULT_PORT);
        }
        if wish.sip && wish.hostname.is_none() {
            return Err(("sip_hostname", address::AddressError::Empty.text(language)));
        }
        Ok(wish)
    }
}

pub(super) fn raw_address(value: &Value) -> Result<String, String> {
    match value.as_str() {
        Some(text) if text.len() <= ADDRESS_LIMIT => Ok(text.to_owned()),
        Some(_) => Err(format!("must have at most {ADDRESS_LIMIT} characters")),
        None => Err(format!("must be text, not {}", fields::kind(value))),
    }
}

fn parameters(value: &Value) -> Result<BTreeMap<String, String>, String> {
    let object = value
        .as_object()
        .ok_or("must be an object of names and texts")?;
    object
        .iter()
        .map(|(name, value)| {
            let value = value
                .as_str()
                .ok_or("must be an object of names and texts")?;
            address::user_parameter(name, value).map_err(|error| error.to_string())
        })
        .collect()
}

const DAYS: [&str; 7] = [
    "MONDAY",
    "TUESDAY",
    "WEDNESDAY",
    "THURSDAY",
    "FRIDAY",
    "SATURDAY",
    "SUNDAY",
];

/// Hours in Meta's form; what Meta would refuse for its shape is refused here (Meta: Calling, settings).
fn hours(value: &Value) -> Result<Value, String> {
    let wrong = "must be {timezone_id, weekly_operating_hours: [{day_of_week, open_time, close_time}]} with times such as 0900, \
                 the closing time after the opening time and at most two slots a day";
    let object: &Map<String, Value> = value.as_object().ok_or(wrong)?;
    let known = [
        "status",
        "timezone_id",
        "weekly_operating_hours",
        "holiday_schedule",
    ];
    let zone = object
        .get("timezone_id")
        .and_then(Value::as_str)
        .is_some_and(|zone| !zone.is_empty() && zone.len() < 64);
    let time = |slot: &Value, key: &str| {
        let text = slot[key]
            .as_str()
            .filter(|text| text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit()))?;
        let number: u32 = text.parse().ok()?;
        (number / 100 < 24 && number % 100 < 60).then_some(number)
    };
    let slots = object
        .get("weekly_operating_hours")
        .and_then(Value::as_array);
    let good = slots.is_some_and(|slots| {
        let all = slots.iter().all(|slot| {
            let ordered = matches!((time(slot, "open_time"), time(slot, "close_time")), (Some(open), Some(close)) if open < close);
            ordered && slot["day_of_week"].as_str().is_some_and(|day| DAYS.contains(&day))
        });
        let few = DAYS.iter().all(|day| slots.iter().filter(|slot| slot["day_of_week"] == *day).count() <= 2);
        !slots.is_empty() && all && few
    });
    if !zone || !good || object.keys().any(|key| !known.contains(&key.as_str())) {
        return Err(wrong.to_owned());
    }
    let mut hours = object.clone();
    hours.insert("status".to_owned(), json!("ENABLED"));
    Ok(Value::Object(hours))
}
