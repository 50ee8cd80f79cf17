//! Calling settings of a number: reading and changing them, and whether calls can arrive.
//!
//! Meta's pages spell the words in capitals (`ENABLED`, `SDES`), its OpenAPI description in small letters and longer
//! (`enabled`, `SDES-SRTP`, `password`). Capitals are sent; both are read. Ports come as numbers and as text, and 5061
//! is left out. Source: Meta, "Calling API: settings", "Calling API: SIP".

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Client, Credentials, opened};
use crate::Secret;
use crate::error::{ApiError, Error};
use crate::json::Object;

/// Port of a telephone server where none is named.
const SIP_PORT: u16 = 5061;

/// How the keys of a call's sound are agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyExchange {
    /// In the sound's own connection; Meta's default.
    Dtls,
    /// In the call's description.
    Sdes,
}

impl KeyExchange {
    fn read(text: &str) -> Option<Self> {
        let begins = |word: &str| {
            text.get(..word.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        if begins("SDES") {
            Some(Self::Sdes)
        } else if begins("DTLS") {
            Some(Self::Dtls)
        } else {
            None
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Dtls => "DTLS",
            Self::Sdes => "SDES",
        }
    }
}

/// A telephone server as Meta keeps it. Each belongs to the app whose token entered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipServer {
    /// Host name.
    pub hostname: String,
    /// TLS port.
    pub port: u16,
    /// The app that entered it, where Meta says so.
    pub app_id: Option<String>,
    /// Parameters for the user part of the address, where Meta tells any.
    pub parameters: Option<BTreeMap<String, String>>,
    /// The password that Meta made for this number and app; only where credentials were asked for.
    pub password: Option<Secret>,
}

/// A number's calling settings. What Meta does not say is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallingSettings {
    /// Whether calling is enabled.
    pub enabled: Option<bool>,
    /// How keys are agreed on; not said where it was never set.
    pub key_exchange: Option<KeyExchange>,
    /// Whether the customer is asked for permission to call back.
    pub callback_permission: Option<bool>,
    /// Whether the call button is shown.
    pub icon_shown: Option<bool>,
    /// Whether calls come only at certain hours.
    pub hours_enabled: Option<bool>,
    /// Whether calls go to telephone servers.
    pub sip_enabled: Option<bool>,
    /// Whether webhooks tell of calls while SIP is on.
    pub webhook_delivery: Option<bool>,
    /// The telephone servers, those of other apps included.
    pub servers: Vec<SipServer>,
}

fn switch(object: &Object<'_>, key: &str) -> Option<bool> {
    let text = object.filled(key)?;
    if text.eq_ignore_ascii_case("enabled") || text.eq_ignore_ascii_case("default") {
        Some(true)
    } else if text.eq_ignore_ascii_case("disabled") || text.eq_ignore_ascii_case("disable_all") {
        Some(false)
    } else {
        None
    }
}

impl SipServer {
    fn read(object: &Object<'_>) -> Option<Self> {
        let port = object
            .integer("port")
            .and_then(|port| u16::try_from(port).ok());
        Some(Self {
            hostname: object.filled("hostname")?,
            port: port.unwrap_or(SIP_PORT),
            app_id: object.filled("app_id"),
            parameters: object
                .raw("request_uri_user_params")
                .and_then(|raw| serde_json::from_str(raw.get()).ok()),
            password: object
                .filled("sip_user_password")
                .or_else(|| object.filled("password"))
                .map(Secret::new),
        })
    }
}

impl CallingSettings {
    /// Reads the answer to a question for settings.
    fn read(answer: &Object<'_>) -> Self {
        let Some(calling) = answer.object("calling") else {
            return Self::default();
        };
        let sip = calling.object("sip");
        let key_exchange = calling.filled("srtp_key_exchange_protocol");
        Self {
            enabled: switch(&calling, "status"),
            key_exchange: key_exchange.and_then(|text| KeyExchange::read(&text)),
            callback_permission: switch(&calling, "callback_permission_status"),
            icon_shown: switch(&calling, "call_icon_visibility"),
            hours_enabled: calling
                .object("call_hours")
                .and_then(|hours| switch(&hours, "status")),
            sip_enabled: sip.as_ref().and_then(|sip| switch(sip, "status")),
            webhook_delivery: sip.as_ref().and_then(|sip| switch(sip, "webhook_delivery")),
            servers: sip
                .map(|sip| {
                    sip.objects("servers")
                        .filter_map(|server| SipServer::read(&server))
                        .collect()
                })
                .unwrap_or_default(),
        }
    }
}

/// A telephone server to be entered for the token's app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewServer {
    /// Host name.
    pub hostname: String,
    /// TLS port.
    pub port: u16,
    /// Parameters for the user part of the address that Meta calls, escaped already.
    pub parameters: BTreeMap<String, String>,
}

/// A change to SIP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipChange {
    /// Whether calls go to the telephone server.
    pub enabled: bool,
    /// Whether webhooks tell of calls.
    pub webhook_delivery: Option<bool>,
    /// The app's server; `Some` of an empty list deletes it, `None` leaves it.
    pub servers: Option<Vec<NewServer>>,
}

/// A change to a number's calling settings; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallingChange {
    /// Whether calling is enabled.
    pub enabled: Option<bool>,
    /// How keys are agreed on.
    pub key_exchange: Option<KeyExchange>,
    /// Whether the customer is asked for permission to call back.
    pub callback_permission: Option<bool>,
    /// Whether the call button is shown.
    pub icon_shown: Option<bool>,
    /// Hours in Meta's form; replaced as a whole.
    pub hours: Option<Value>,
    /// SIP.
    pub sip: Option<SipChange>,
}

impl CallingChange {
    /// The body of the request.
    pub fn to_json(&self) -> Value {
        let word = |on: bool| json!(if on { "ENABLED" } else { "DISABLED" });
        let mut calling = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                calling.insert(key.to_owned(), value);
            }
        };
        put("status", self.enabled.map(word));
        put(
            "srtp_key_exchange_protocol",
            self.key_exchange.map(|kind| json!(kind.as_str())),
        );
        put(
            "callback_permission_status",
            self.callback_permission.map(word),
        );
        let icon = |shown: bool| json!(if shown { "DEFAULT" } else { "DISABLE_ALL" });
        put("call_icon_visibility", self.icon_shown.map(icon));
        put("call_hours", self.hours.clone());
        let sip = self.sip.as_ref().map(|change| {
            let mut sip = json!({ "status": word(change.enabled) });
            if let Some(delivery) = change.webhook_delivery {
                sip["webhook_delivery"] = word(delivery);
            }
            if let Some(servers) = &change.servers {
                sip["servers"] = servers.iter().map(NewServer::to_json).collect();
            }
            sip
        });
        put("sip", sip);
        json!({ "calling": calling })
    }
}

impl NewServer {
    fn to_json(&self) -> Value {
        let mut server = json!({ "hostname": self.hostname, "port": self.port });
        if !self.parameters.is_empty() {
            server["request_uri_user_params"] = json!(self.parameters);
        }
        server
    }
}

/// Why calls by SIP cannot arrive, as `health_status` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipBlock {
    /// `PHONE_NUMBER`, `APP`, `WABA` or `BUSINESS`.
    pub entity: String,
    /// What is wrong: 138024 SIP is not enabled for the number, 138025 this app has no server.
    pub errors: Vec<ApiError>,
}

impl Client {
    /// A number's calling settings, with the passwords of its telephone servers where `credentials_too`.
    pub async fn calling_settings(
        &self,
        credentials: &Credentials,
        phone_number_id: &str,
        credentials_too: bool,
    ) -> Result<CallingSettings, Error> {
        let mut url = self.url(credentials, &[phone_number_id, "settings"])?;
        if credentials_too {
            url.query_pairs_mut()
                .append_pair("include_sip_credentials", "true");
        }
        let answer = self.get(credentials, url).await?;
        Ok(CallingSettings::read(&opened(&answer)?))
    }

    /// Changes a number's calling settings. Meta takes almost any server and tests none. Repeating it does no harm.
    pub async fn change_calling(
        &self,
        credentials: &Credentials,
        phone_number_id: &str,
        change: &CallingChange,
    ) -> Result<(), Error> {
        let url = self.url(credentials, &[phone_number_id, "settings"])?;
        self.post(credentials, url, &change.to_json())
            .await
            .map(drop)
    }

    /// What stands in the way of calls by SIP; empty where nothing does. The number's `can_send_message` may read
    /// `BLOCKED` for these reasons alone and says nothing about sending. Source: Meta, "Health status".
    pub async fn sip_health(
        &self,
        credentials: &Credentials,
        phone_number_id: &str,
    ) -> Result<Vec<SipBlock>, Error> {
        let mut url = self.url(credentials, &[phone_number_id])?;
        url.query_pairs_mut().append_pair("fields", "health_status");
        let answer = self.get(credentials, url).await?;
        let opened = opened(&answer)?;
        let health = opened
            .object("health_status")
            .ok_or(Error::Malformed("the number's health"))?;
        Ok(health
            .objects("entities")
            .filter(|entity| {
                entity
                    .text("can_receive_call_sip")
                    .is_some_and(|word| word == "BLOCKED")
            })
            .map(|entity| SipBlock {
                entity: entity.text("entity_type").unwrap_or_default(),
                errors: entity
                    .objects("errors")
                    .map(|error| ApiError {
                        code: error
                            .integer("error_code")
                            .or_else(|| error.integer("code")),
                        message: error.text("error_description").unwrap_or_default(),
                        details: error.filled("possible_solution"),
                        ..ApiError::default()
                    })
                    .collect(),
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(text: &str) -> CallingSettings {
        CallingSettings::read(&Object::parse(text).unwrap())
    }

    #[test]
    fn case_48_both_spellings_say_the_same() {
        let capitals = read(
            r#"{"calling":{"status":"ENABLED","call_icon_visibility":"DEFAULT","callback_permission_status":"ENABLED",
               "srtp_key_exchange_protocol":"SDES","call_hours":{"status":"DISABLED"},"sip":{"status":"ENABLED",
               "webhook_delivery":"ENABLED","servers":[{"hostname":"sip.example.com","app_id":7301000000000000,
               "sip_user_password":"x8Q"}]}},"storage_configuration":{"status":"DEFAULT"}}"#,
        );
        let small = read(
            r#"{"calling":{"status":"enabled","call_icon_visibility":"default","callback_permission_status":"enabled",
               "srtp_key_exchange_protocol":"SDES-SRTP","call_hours":{"status":"disabled"},"sip":{"status":"enabled",
               "webhook_delivery":"enabled","servers":[{"hostname":"sip.example.com","port":"5061",
               "app_id":"7301000000000000","password":"x8Q"}]}}}"#,
        );
        assert_eq!(capitals, small);
        assert_eq!(
            (small.enabled, small.key_exchange),
            (Some(true), Some(KeyExchange::Sdes))
        );
        let server = &small.servers[0];
        assert_eq!(
            (server.port, server.password.as_ref().unwrap().expose()),
            (5061, "x8Q")
        );
        assert!(!format!("{small:?}").contains("x8Q"));
        assert_eq!(
            read(r#"{"calling":{"srtp_key_exchange_protocol":"dtls-srtp"}}"#).key_exchange,
            Some(KeyExchange::Dtls)
        );
    }

    #[test]
    fn what_is_strange_or_missing_is_not_known() {
        for text in [
            "{}",
            r#"{"calling":null}"#,
            r#"{"calling":{"status":7,"sip":[]}}"#,
        ] {
            assert_eq!(read(text), CallingSettings::default(), "{text}");
        }
        let strange =
            read(r#"{"calling":{"sip":{"servers":[{"port":1},{"hostname":"a","port":99999},7]}}}"#);
        assert_eq!(strange.servers.len(), 1);
        assert_eq!(strange.servers[0].port, 5061);
    }

    #[test]
    fn a_change_says_only_what_changes() {
        assert_eq!(CallingChange::default().to_json(), json!({ "calling": {} }));
        let only = CallingChange {
            key_exchange: Some(KeyExchange::Sdes),
            ..CallingChange::default()
        };
        assert_eq!(
            only.to_json(),
            json!({ "calling": { "srtp_key_exchange_protocol": "SDES" } })
        );
        let off = CallingChange {
            enabled: Some(false),
            icon_shown: Some(false),
            sip: Some(SipChange {
                enabled: false,
                webhook_delivery: None,
                servers: Some(Vec::new()),
            }),
            ..CallingChange::default()
        };
        let wanted = json!({ "calling": { "status": "DISABLED", "call_icon_visibility": "DISABLE_ALL",
            "sip": { "status": "DISABLED", "servers": [] } } });
        assert_eq!(off.to_json(), wanted);
    }
}
