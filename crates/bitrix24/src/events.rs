//! What a portal posts: events, and the pages it opens in a frame.
//!
//! An event proves nothing by itself: compare [`EventAuth::application_token`] with the one stored for
//! [`EventAuth::member_id`] before believing it. A portal does not repeat an event that was not answered with 200.

mod messages;
mod page;

use serde_json::Value;
use thiserror::Error;
use url::Url;

pub use self::messages::{Bad, ConnectorMessage, ConnectorMessages, Dialog, Dialogs, EventFile};
pub use self::page::PagePost;
use crate::form::{self, FormError};
use crate::lines::LineId;
use crate::loose;
use crate::secret::{AccessToken, ApplicationToken, RefreshToken};

/// Why a body is not an event at all.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotUnderstood {
    /// The form itself is beyond the limits.
    #[error(transparent)]
    Form(#[from] FormError),
    /// There is no name of an event in it.
    #[error("the body names no event")]
    NoEvent,
    /// Nothing says which portal it comes from.
    #[error("the body names no portal (member_id)")]
    NoMember,
}

/// One event as a portal posts it (Bitrix24: events).
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Name in upper case, as `ONIMCONNECTORMESSAGEADD`.
    pub name: String,
    /// Who sent it.
    pub auth: EventAuth,
    /// What happened.
    pub data: EventData,
    /// When the event left the queue, in Unix seconds.
    pub ts: Option<i64>,
}

/// The `auth` block of an event.
///
/// Tokens in it belong to the employee whose action caused the event and are absent where nobody acted. Only the
/// install and update events carry a refresh token. Keep using the tokens of the installation for calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventAuth {
    /// The portal's identity, which survives renaming.
    pub member_id: String,
    /// The proof of origin; absent in what cannot be trusted.
    pub application_token: Option<ApplicationToken>,
    /// The portal's host as the event says it; never a reason to call that host.
    pub domain: Option<String>,
    /// Token of the acting employee.
    pub access_token: Option<AccessToken>,
    /// Only in install and update events, and in robots.
    pub refresh_token: Option<RefreshToken>,
    /// Lifetime of the access token in seconds.
    pub expires_in: Option<i64>,
    /// Permissions that the application was given.
    pub scope: Vec<String>,
    /// Where REST is, as `https://acme.bitrix24.com/rest/`.
    pub client_endpoint: Option<Url>,
    /// The authorization server's REST, as `https://oauth.bitrix.info/rest/`.
    pub server_endpoint: Option<Url>,
    /// The employee whose token it is.
    pub user_id: Option<i64>,
    /// L local, F free, D demo, T trial, P paid; informational.
    pub status: Option<String>,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
pub enum EventData {
    /// `ONIMCONNECTORMESSAGEADD`: an operator or the line wrote to a customer.
    MessageAdd(ConnectorMessages),
    /// `ONIMCONNECTORMESSAGEUPDATE`: an operator changed a message.
    MessageUpdate(ConnectorMessages),
    /// `ONIMCONNECTORMESSAGEDELETE`: an operator deleted a message.
    MessageDelete(ConnectorMessages),
    /// `ONIMCONNECTORSTATUSDELETE`: a connector was taken off a line; also the echo of doing it by REST.
    StatusDelete {
        /// The connector's id.
        connector: String,
        /// The line it was taken off.
        line: LineId,
    },
    /// `ONIMCONNECTORLINEDELETE`: an open line was deleted, of whichever connector.
    LineDelete {
        /// The line that is gone.
        line: LineId,
    },
    /// `ONIMCONNECTORDIALOGSTART`: dialogues began.
    DialogStart(Dialogs),
    /// `ONIMCONNECTORDIALOGFINISH`: dialogues ended.
    DialogFinish(Dialogs),
    /// `ONAPPINSTALL`: the application was installed; [`EventAuth`] carries both tokens.
    Install {
        /// Language of the portal, as `en`.
        language: Option<String>,
        /// Version of the application.
        version: Option<String>,
    },
    /// `ONAPPUNINSTALL`: the application was removed; no tokens.
    Uninstall {
        /// Whether the administrator asked to wipe the application's data as well.
        clean: bool,
    },
    /// `ONAPPUPDATE`: the application's form or version changed. Event handlers are gone after it.
    Update {
        /// Language of the portal.
        language: Option<String>,
        /// Version now.
        version: Option<String>,
        /// Version until now.
        previous_version: Option<String>,
    },
    /// An event without a type here.
    Other(Value),
    /// An event that is known but whose data lacks something it cannot be without.
    Malformed {
        /// What is missing.
        why: &'static str,
        /// The data as it came.
        raw: Value,
    },
}

impl Event {
    /// Reads the body of an event, form or JSON.
    ///
    /// Fails only where not even the sender can be named; everything else that is odd is kept in the event, so that
    /// a proven event is never lost.
    pub fn parse(body: &[u8]) -> Result<Self, NotUnderstood> {
        let value = form::decode(body)?;
        let name = loose::text_at(&value, &["event"])
            .ok_or(NotUnderstood::NoEvent)?
            .to_ascii_uppercase();
        let auth = loose::get(&value, "auth")
            .and_then(EventAuth::read)
            .ok_or(NotUnderstood::NoMember)?;
        let data = EventData::read(&name, loose::get(&value, "data").unwrap_or(&Value::Null));
        let ts = loose::integer_at(&value, &["ts"]);
        Ok(Self {
            name,
            auth,
            data,
            ts,
        })
    }
}

impl EventAuth {
    pub(crate) fn read(auth: &Value) -> Option<Self> {
        let text = |key: &str| loose::text_at(auth, &[key]);
        Some(Self {
            member_id: text("member_id")?,
            application_token: text("application_token").map(ApplicationToken::new),
            domain: text("domain"),
            access_token: text("access_token").map(AccessToken::new),
            refresh_token: text("refresh_token").map(RefreshToken::new),
            expires_in: loose::integer_at(auth, &["expires_in"]),
            scope: text("scope")
                .map(|scope| scope_list(&scope))
                .unwrap_or_default(),
            client_endpoint: text("client_endpoint").and_then(|url| Url::parse(&url).ok()),
            server_endpoint: text("server_endpoint").and_then(|url| Url::parse(&url).ok()),
            user_id: loose::integer_at(auth, &["user_id"]),
            status: text("status"),
        })
    }
}

/// Splits a list of permissions; the documentation shows both commas and spaces.
pub(crate) fn scope_list(scope: &str) -> Vec<String> {
    scope
        .split([',', ' '])
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

impl EventData {
    fn read(name: &str, data: &Value) -> Self {
        Self::known(name, data).unwrap_or_else(|why| Self::Malformed {
            why,
            raw: data.clone(),
        })
    }

    fn known(name: &str, data: &Value) -> Result<Self, &'static str> {
        let text = |key: &str| loose::text_at(data, &[key]);
        Ok(match name {
            "ONIMCONNECTORMESSAGEADD" => Self::MessageAdd(ConnectorMessages::read(data)?),
            "ONIMCONNECTORMESSAGEUPDATE" => Self::MessageUpdate(ConnectorMessages::read(data)?),
            "ONIMCONNECTORMESSAGEDELETE" => Self::MessageDelete(ConnectorMessages::read(data)?),
            "ONIMCONNECTORSTATUSDELETE" => Self::StatusDelete {
                connector: text("connector").ok_or("the connector is missing")?,
                line: LineId::read(loose::get(data, "line")).ok_or("the line is missing")?,
            },
            "ONIMCONNECTORLINEDELETE" => Self::LineDelete {
                // A bare number by the documentation; inside a map or list where a queue repacked it.
                line: LineId::read(Some(data))
                    .or_else(|| LineId::read(loose::get(data, "line")))
                    .or_else(|| LineId::read(data.get(0)))
                    .ok_or("the line is missing")?,
            },
            "ONIMCONNECTORDIALOGSTART" => Self::DialogStart(Dialogs::read(data)?),
            "ONIMCONNECTORDIALOGFINISH" => Self::DialogFinish(Dialogs::read(data)?),
            "ONAPPINSTALL" => Self::Install {
                language: text("LANGUAGE_ID"),
                version: text("VERSION"),
            },
            "ONAPPUNINSTALL" => Self::Uninstall {
                clean: loose::flag_at(data, &["CLEAN"]).unwrap_or(false),
            },
            "ONAPPUPDATE" => Self::Update {
                language: text("LANGUAGE_ID"),
                version: text("VERSION"),
                previous_version: text("PREVIOUS_VERSION"),
            },
            _ => Self::Other(data.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const AUTH: &str = "&auth%5Bdomain%5D=acme.bitrix24.com&auth%5Bmember_id%5D=bac1cd5c&auth%5Bapplication_token%5D=831c76b0\
        &auth%5Bclient_endpoint%5D=https%3A%2F%2Facme.bitrix24.com%2Frest%2F&auth%5Bscope%5D=imconnector%2Cimopenlines+im";

    fn event(body: &str) -> Event {
        Event::parse(format!("{body}{AUTH}").as_bytes()).unwrap()
    }

    #[test]
    fn an_operator_message_is_read_from_a_form() {
        let event = event(
            "event=onImConnectorMessageAdd&ts=1773759161&data[CONNECTOR]=ourwa&data[LINE]=107\
             &data[MESSAGES][0][im][chat_id]=1807&data[MESSAGES][0][im][message_id]=86497\
             &data[MESSAGES][0][message][user_id]=27&data[MESSAGES][0][message][text]=Guten+Tag%21\
             &data[MESSAGES][0][message][files][0][name]=spec.pdf&data[MESSAGES][0][message][files][0][type]=file\
             &data[MESSAGES][0][message][files][0][mime]=application%2Fpdf\
             &data[MESSAGES][0][message][files][0][link]=https%3A%2F%2Facme.bitrix24.com%2F~AbCdE\
             &data[MESSAGES][0][message][files][0][downloadLink]=https%3A%2F%2Facme.bitrix24.com%2Fd%2F1\
             &data[MESSAGES][0][message][files][0][size]=12345&data[MESSAGES][0][chat][id]=4915112345678",
        );
        assert_eq!(event.name, "ONIMCONNECTORMESSAGEADD");
        assert_eq!(event.ts, Some(1_773_759_161));
        assert_eq!(event.auth.member_id, "bac1cd5c");
        assert_eq!(event.auth.scope, ["imconnector", "imopenlines", "im"]);
        assert!(event.auth.access_token.is_none());
        let EventData::MessageAdd(messages) = event.data else {
            panic!("{:?}", event.data)
        };
        assert_eq!(
            (messages.connector.as_str(), messages.line),
            ("ourwa", LineId(107))
        );
        let message = messages.messages[0].as_ref().unwrap();
        assert_eq!((message.im_chat_id, message.im_message_id), (1807, 86497));
        assert_eq!(
            (message.user_id, message.text.as_str()),
            (Some(27), "Guten Tag!")
        );
        assert_eq!(message.chat_id, "4915112345678");
        assert_eq!(
            message.files,
            [EventFile {
                name: "spec.pdf".into(),
                kind: Some("file".into()),
                mime: Some("application/pdf".into()),
                link: Some("https://acme.bitrix24.com/~AbCdE".into()),
                download_link: Some("https://acme.bitrix24.com/d/1".into()),
                size: Some(12345),
            }]
        );
    }

    #[test]
    fn one_bad_message_takes_no_other_along() {
        let event = event(
            "event=ONIMCONNECTORMESSAGEADD&data[CONNECTOR]=c&data[LINE]=1\
             &data[MESSAGES][3][im][chat_id]=1&data[MESSAGES][3][im][message_id]=2&data[MESSAGES][3][chat][id]=x\
             &data[MESSAGES][7][im][chat_id]=seven&data[MESSAGES][7][chat][id]=x\
             &data[MESSAGES][11][im][chat_id]=1&data[MESSAGES][11][im][message_id]=3&data[MESSAGES][11][chat][id]=x",
        );
        let EventData::MessageAdd(messages) = event.data else {
            panic!("{:?}", event.data)
        };
        let ids: Vec<_> = messages
            .messages
            .iter()
            .map(|message| {
                message
                    .as_ref()
                    .map(|good| good.im_message_id)
                    .map_err(|bad| bad.why)
            })
            .collect();
        assert_eq!(
            ids,
            [Ok(2), Err("im.chat_id is missing or not a number"), Ok(3)]
        );
    }

    #[test]
    fn update_has_a_list_of_ids_and_delete_a_single_one() {
        for (name, id) in [("UPDATE", "[id][0]"), ("DELETE", "[id]")] {
            let event = event(&format!(
                "event=ONIMCONNECTORMESSAGE{name}&data[CONNECTOR]=c&data[LINE]=1&data[MESSAGES][0][im][chat_id]=1\
                 &data[MESSAGES][0][im][message_id]=2&data[MESSAGES][0][message]{id}=wamid.A&data[MESSAGES][0][chat][id]=x"
            ));
            let (EventData::MessageUpdate(messages) | EventData::MessageDelete(messages)) =
                event.data
            else {
                panic!("{:?}", event.data)
            };
            assert_eq!(
                messages.messages[0].as_ref().unwrap().external_ids,
                ["wamid.A"]
            );
        }
    }

    #[test]
    fn an_automatic_message_is_told_from_one_without_author() {
        let read = |author: &str| {
            let event = event(&format!(
                "event=ONIMCONNECTORMESSAGEADD&data[CONNECTOR]=c&data[LINE]=1&data[MESSAGES][0][im][chat_id]=1\
                 &data[MESSAGES][0][im][message_id]=2{author}&data[MESSAGES][0][chat][id]=x"
            ));
            let EventData::MessageAdd(messages) = event.data else {
                panic!("{:?}", event.data)
            };
            messages.messages[0].as_ref().unwrap().user_id
        };
        assert_eq!(read("&data[MESSAGES][0][message][user_id]=0"), Some(0));
        assert_eq!(read(""), None);
    }

    #[test]
    fn line_and_status_deletions_have_shapes_of_their_own() {
        assert_eq!(
            event("event=ONIMCONNECTORLINEDELETE&data=107").data,
            EventData::LineDelete { line: LineId(107) }
        );
        assert_eq!(
            event("event=ONIMCONNECTORSTATUSDELETE&data[connector]=ourwa&data[line]=107").data,
            EventData::StatusDelete {
                connector: "ourwa".into(),
                line: LineId(107)
            }
        );
    }

    #[test]
    fn dialogs_give_the_chat_on_both_sides() {
        let event = event(
            "event=ONIMCONNECTORDIALOGSTART&data[CONNECTOR]=c&data[LINE]=105&data[DATA][0][connector][connector_id]=c\
             &data[DATA][0][connector][line_id]=105&data[DATA][0][connector][chat_id]=abc&data[DATA][0][session][id]=3282\
             &data[DATA][0][session][closed]=N&data[DATA][0][chat][id]=8&data[DATA][1][chat][id]=9",
        );
        let EventData::DialogStart(dialogs) = event.data else {
            panic!("{:?}", event.data)
        };
        assert_eq!(dialogs.line, LineId(105));
        let first = dialogs.dialogs[0].as_ref().unwrap();
        assert_eq!(
            (
                first.chat_id.as_str(),
                first.im_chat_id,
                first.session_id,
                first.closed
            ),
            ("abc", 8, Some(3282), Some(false))
        );
        assert!(dialogs.dialogs[1].is_err());
    }

    #[test]
    fn the_install_event_carries_both_tokens_and_prints_none() {
        let event = event(
            "event=ONAPPINSTALL&data[VERSION]=1&data[LANGUAGE_ID]=en&auth[access_token]=geheim1&auth[refresh_token]=geheim2\
             &auth[expires_in]=3600&auth[user_id]=1",
        );
        assert_eq!(
            event.data,
            EventData::Install {
                language: Some("en".into()),
                version: Some("1".into())
            }
        );
        assert_eq!(
            event.auth.refresh_token.as_ref().unwrap().expose(),
            "geheim2"
        );
        assert!(!format!("{event:?}").contains("geheim"));
    }

    #[test]
    fn uninstalling_says_whether_to_wipe() {
        for (body, clean) in [
            ("&data[CLEAN]=1", true),
            ("&data[CLEAN]=0", false),
            ("", false),
        ] {
            assert_eq!(
                event(&format!("event=ONAPPUNINSTALL{body}")).data,
                EventData::Uninstall { clean }
            );
        }
    }

    #[test]
    fn a_json_event_with_numbers_reads_the_same() {
        let body = json!({
            "event": "ONIMCONNECTORMESSAGEADD", "ts": 1, "auth": {"member_id": "m"},
            "data": {"CONNECTOR": "c", "LINE": 1, "MESSAGES": [
                {"im": {"chat_id": 1, "message_id": "2"}, "message": {"user_id": 3, "text": "x", "files": []}, "chat": {"id": 49}}
            ]}
        });
        let event = Event::parse(body.to_string().as_bytes()).unwrap();
        let EventData::MessageAdd(messages) = event.data else {
            panic!("{:?}", event.data)
        };
        assert_eq!(messages.messages[0].as_ref().unwrap().chat_id, "49");
    }

    #[test]
    fn what_lacks_its_line_is_kept_as_malformed() {
        let event =
            event("event=ONIMCONNECTORMESSAGEADD&data[CONNECTOR]=c&data[MESSAGES][0][chat][id]=x");
        assert!(matches!(
            event.data,
            EventData::Malformed {
                why: "the line is missing",
                ..
            }
        ));
    }

    #[test]
    fn a_body_without_name_or_portal_is_no_event() {
        assert_eq!(Event::parse(b"a=1").unwrap_err(), NotUnderstood::NoEvent);
        assert_eq!(
            Event::parse(b"event=X").unwrap_err(),
            NotUnderstood::NoMember
        );
        assert_eq!(
            Event::parse(b"event=X&auth[member_id]=").unwrap_err(),
            NotUnderstood::NoMember
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn no_data_causes_panic(
            name in "ONIMCONNECTOR(MESSAGEADD|MESSAGEDELETE|LINEDELETE|STATUSDELETE|DIALOGSTART)",
            keys in proptest::collection::vec("(\\[(CONNECTOR|LINE|MESSAGES|DATA|0|1|im|message|chat|id|files|link)\\]){0,5}=[0-9a-z]{0,3}", 0..12),
        ) {
            let body = keys.iter().fold(format!("event={name}{AUTH}"), |body, key| format!("{body}&data{key}"));
            let _ = Event::parse(body.as_bytes()).unwrap();
        }
    }
}
