//! Chats of open lines and what was said in them.

use serde_json::{Value, json};

use crate::client::Call;
use crate::loose;

/// A chat of an open line (Bitrix24: imopenlines.dialog.get).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    /// The chat's id inside Bitrix24.
    pub im_chat_id: i64,
    /// Its title.
    pub name: String,
    /// `entity_id`: connector, line, chat and user as the portal joins them; opaque, never to be built or taken apart.
    pub user_code: Option<String>,
    /// The session that is or was last open.
    pub session_id: Option<i64>,
    /// CRM entries of the chat, as `("CONTACT", 9014)`.
    pub crm: Vec<(String, i64)>,
}

/// Asks for a chat by its id.
pub fn dialog_get(im_chat_id: i64) -> Call {
    Call::new("imopenlines.dialog.get", json!({ "CHAT_ID": im_chat_id }))
}

impl Dialog {
    /// Reads the result of [`dialog_get`].
    pub fn read(result: &Value) -> Option<Self> {
        let text = |key: &str| loose::text_at(result, &[key]);
        let session = text("entity_data_1").and_then(|data| data.split('|').nth(5)?.parse().ok());
        Some(Self {
            im_chat_id: loose::integer_at(result, &["id"])?,
            name: text("name").unwrap_or_default(),
            user_code: text("entity_id"),
            session_id: session.filter(|id: &i64| *id > 0),
            crm: text("entity_data_2")
                .map(|data| crm_entries(&data))
                .unwrap_or_default(),
        })
    }
}

/// Reads `LEAD|0|COMPANY|0|CONTACT|9014|DEAL|10008`.
fn crm_entries(data: &str) -> Vec<(String, i64)> {
    let parts: Vec<_> = data.split('|').collect();
    parts
        .chunks_exact(2)
        .filter_map(|pair| {
            Some((
                pair[0].to_owned(),
                pair[1].parse().ok().filter(|id| *id > 0)?,
            ))
        })
        .collect()
}

/// What was said in a session (Bitrix24: imopenlines.session.history.get).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The chat's id inside Bitrix24.
    pub im_chat_id: Option<i64>,
    /// The session.
    pub session_id: Option<i64>,
    /// Its messages, oldest first.
    pub messages: Vec<HistoryMessage>,
}

/// One message of a [`History`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryMessage {
    /// Id inside Bitrix24; grows with time.
    pub id: i64,
    /// Author inside Bitrix24; 0 is the system.
    pub sender: i64,
    /// Whether the author is a customer: they too have users, with ids like operators.
    pub from_customer: bool,
    /// Text in Bitrix24's markup.
    pub text: String,
    /// When, as ISO 8601 with the portal's offset.
    pub date: Option<String>,
    /// `connectorMid`: our ids of the message, once it has passed the connector.
    pub external_ids: Vec<String>,
    /// How many files it has.
    pub files: usize,
}

/// Asks for a history by session, or by chat, which only members of the chat may do.
pub fn session_history(im_chat_id: i64, session_id: Option<i64>) -> Call {
    let params = match session_id {
        Some(session_id) => json!({ "CHAT_ID": im_chat_id, "SESSION_ID": session_id }),
        None => json!({ "CHAT_ID": im_chat_id }),
    };
    Call::new("imopenlines.session.history.get", params)
}

impl History {
    /// Reads the result of [`session_history`]; messages that make no sense are left out.
    pub fn read(result: &Value) -> Self {
        let list = loose::get(result, "message")
            .map(loose::items)
            .unwrap_or_default();
        let mut messages: Vec<_> = list
            .into_iter()
            .filter_map(|message| HistoryMessage::read(message, result))
            .collect();
        messages.sort_by_key(|message| message.id);
        Self {
            im_chat_id: loose::integer_at(result, &["chatId"]),
            session_id: loose::integer_at(result, &["sessionId"]),
            messages,
        }
    }
}

impl HistoryMessage {
    fn read(message: &Value, history: &Value) -> Option<Self> {
        let sender = loose::integer_at(message, &["senderid"]).unwrap_or(0);
        let user = loose::at(history, &["users", &sender.to_string()]);
        let from_customer = user.is_some_and(|user| {
            loose::flag_at(user, &["connector"]) == Some(true)
                || loose::text_at(user, &["externalAuthId"]).as_deref() == Some("imconnector")
        });
        let params = |key: &str| loose::at(message, &["params", key]);
        Some(Self {
            id: loose::integer_at(message, &["id"])?,
            sender,
            from_customer,
            text: loose::text_at(message, &["text"]).unwrap_or_default(),
            date: loose::text_at(message, &["date"]),
            external_ids: params("connectorMid").map(loose::texts).unwrap_or_default(),
            files: params("fileId").map_or(0, |files| loose::texts(files).len()),
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_dialog_names_its_session_and_crm_entries() {
        let dialog = Dialog::read(&json!({
            "id": 1763, "name": "Klaus", "entity_id": "ourwa|107|4915|585",
            "entity_data_1": "Y|LEAD|1209|N|N|323|1684478426|0|0|0", "entity_data_2": "LEAD|0|COMPANY|0|CONTACT|9014|DEAL|10008"
        }))
        .unwrap();
        assert_eq!((dialog.im_chat_id, dialog.session_id), (1763, Some(323)));
        assert_eq!(
            dialog.crm,
            [("CONTACT".to_owned(), 9014), ("DEAL".to_owned(), 10008)]
        );
        assert_eq!(Dialog::read(&json!([])), None);
        assert!(
            Dialog::read(&json!({"id": "1", "entity_data_1": "", "entity_data_2": "LEAD"}))
                .unwrap()
                .crm
                .is_empty()
        );
    }

    #[test]
    fn a_history_is_ordered_and_tells_customers_from_operators() {
        let history = History::read(&json!({
            "chatId": 1982, "sessionId": "469",
            "message": {
                "100": {"id": "100", "senderid": "450", "text": "b", "date": "2023-05-30T07:45:34+02:00", "params": {"connectorMid": ["wamid.A"], "fileId": [5437]}},
                "99": {"id": 99, "senderid": "0", "text": "a", "params": []},
                "101": {"id": "101", "senderid": "1", "text": "c", "params": {"connectorMid": "wamid.B"}},
                "x": {"text": "no id"}
            },
            "users": {"450": {"id": "450", "connector": true}, "1": {"id": "1", "connector": false}}
        }));
        assert_eq!(
            (history.im_chat_id, history.session_id),
            (Some(1982), Some(469))
        );
        let seen: Vec<_> = history
            .messages
            .iter()
            .map(|message| {
                (
                    message.id,
                    message.from_customer,
                    message.external_ids.join(","),
                    message.files,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (99, false, String::new(), 0),
                (100, true, "wamid.A".into(), 1),
                (101, false, "wamid.B".into(), 0)
            ]
        );
        assert!(
            History::read(&json!({"message": [], "users": []}))
                .messages
                .is_empty()
        );
    }
}
