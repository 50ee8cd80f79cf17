//! Messages of customers into an open line, and confirmations of what operators wrote.

use serde_json::{Map, Value, json};

use crate::client::Call;
use crate::lines::LineId;
use crate::loose;

/// One message for [`send_messages`] or [`update_messages`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The customer.
    pub user: ItemUser,
    /// What they said.
    pub message: ItemMessage,
    /// Where.
    pub chat: ItemChat,
}

/// The customer of an [`Item`]. The portal keeps them by connector and id, over all lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ItemUser {
    /// Our opaque id; it must never change for a person.
    pub id: String,
    /// First name: letters, at most 25 characters.
    pub name: Option<String>,
    /// Last name: letters, at most 25 characters.
    pub last_name: Option<String>,
    /// Phone as `+4915112345678`; lets the line find or fill the CRM entry.
    pub phone: Option<String>,
    /// Sends `skip_phone_validate`, for numbers that the portal's check rejects.
    pub skip_phone_validate: bool,
}

/// The message of an [`Item`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ItemMessage {
    /// Our id, as the wamid. The portal does not use it to notice repetitions.
    pub id: String,
    /// When it was written, in Unix seconds. The portal orders by arrival all the same.
    pub date: i64,
    /// Text in Bitrix24's markup; may be empty where there is a file.
    pub text: String,
    /// Files, which the portal fetches during the call.
    pub files: Vec<ItemFile>,
    /// `None`: from the customer. 0: a note in the chat that only operators see. An operator's id: as if that
    /// operator had typed it, so that it comes back as an event.
    pub user_id: Option<i64>,
}

/// A file of an [`ItemMessage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemFile {
    /// Public address; fetched without any authorization, dropped in silence where that fails.
    pub url: String,
    /// Name with extension, at most 50 characters.
    pub name: String,
}

/// The chat of an [`Item`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ItemChat {
    /// Our opaque id; with another id, line or user another chat opens.
    pub id: String,
    /// Title for a new chat.
    pub name: Option<String>,
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemResult {
    /// It is in the chat.
    Accepted {
        /// The chat inside Bitrix24, where the answer names it.
        chat_id: Option<i64>,
        /// The session of the open line; a hint, since sessions end and chats stay.
        session_id: Option<i64>,
        /// The customer's user inside Bitrix24.
        user: Option<i64>,
    },
    /// It was refused.
    Failed {
        /// Texts for people in the portal's language, no codes.
        errors: Vec<String>,
    },
    /// The answer does not tell.
    Unknown,
}

/// Puts messages into their chats (Bitrix24: imconnector.send.messages).
///
/// They are handled one after another within the 60 seconds of a call, and nothing notices a repetition.
pub fn send_messages(connector: &str, line: LineId, items: &[Item]) -> Call {
    batch_call(
        "imconnector.send.messages",
        connector,
        line,
        items.iter().map(Item::params),
    )
}

/// Changes the texts of earlier messages, found by their ids (Bitrix24: imconnector.update.messages).
pub fn update_messages(connector: &str, line: LineId, items: &[Item]) -> Call {
    batch_call(
        "imconnector.update.messages",
        connector,
        line,
        items.iter().map(Item::params),
    )
}

/// A message for [`delete_messages`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The customer's id as it was sent.
    pub user_id: String,
    /// The message's id as it was sent.
    pub message_id: String,
    /// The chat's id as it was sent.
    pub chat_id: String,
}

/// Takes earlier messages back (Bitrix24: imconnector.delete.messages).
pub fn delete_messages(connector: &str, line: LineId, items: &[Removal]) -> Call {
    let items = items.iter().map(|item| {
        json!({ "user": { "id": item.user_id }, "message": { "id": item.message_id }, "chat": { "id": item.chat_id } })
    });
    batch_call("imconnector.delete.messages", connector, line, items)
}

/// A message of an operator that has reached the customer's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// `im.chat_id` of the event.
    pub im_chat_id: i64,
    /// `im.message_id` of the event.
    pub im_message_id: i64,
    /// Our ids of what was sent, as wamids. Only the first confirmation stores them.
    pub external_ids: Vec<String>,
    /// When, in Unix seconds.
    pub date: i64,
    /// `chat.id` of the event.
    pub chat_id: String,
}

/// Confirms messages of operators; until then they show as being sent (Bitrix24: imconnector.send.status.delivery).
///
/// Use connector and line of the event itself.
pub fn send_status_delivery(connector: &str, line: LineId, items: &[Delivered]) -> Call {
    let items = items.iter().map(|item| {
        json!({
            "im": { "chat_id": item.im_chat_id, "message_id": item.im_message_id },
            "message": { "id": item.external_ids, "date": item.date },
            "chat": { "id": item.chat_id },
        })
    });
    batch_call("imconnector.send.status.delivery", connector, line, items)
}

/// Reads the outer success of a call, which says nothing about its items.
pub fn read_success(result: &Value) -> bool {
    loose::flag(result)
        .or_else(|| loose::flag_at(result, &["SUCCESS"]))
        .unwrap_or(false)
}

/// Reads what became of each item of [`send_messages`], [`update_messages`] or [`delete_messages`].
///
/// `sent` are the message ids in the order of the call. Results belong to items by their place; where the numbers
/// or ids disagree, by message id, and an item without result is [`ItemResult::Unknown`].
pub fn read_items(result: &Value, sent: &[&str]) -> Vec<ItemResult> {
    let results = loose::at(result, &["DATA", "RESULT"])
        .map(loose::items)
        .unwrap_or_default();
    let ids: Vec<Option<String>> = results.iter().map(|item| message_id(item)).collect();
    let by_place = results.len() == sent.len()
        && ids
            .iter()
            .zip(sent)
            .all(|(id, sent)| id.as_deref().is_none_or(|id| id == *sent));
    if by_place {
        return results.into_iter().map(ItemResult::read).collect();
    }
    let mut used = vec![false; results.len()];
    sent.iter()
        .map(|sent| {
            let place = (0..results.len())
                .find(|place| !used[*place] && ids[*place].as_deref() == Some(*sent));
            let Some(place) = place else {
                return ItemResult::Unknown;
            };
            used[place] = true;
            ItemResult::read(results[place])
        })
        .collect()
}

fn message_id(item: &Value) -> Option<String> {
    let id = loose::at(item, &["message", "id"])?;
    loose::texts(id).into_iter().next()
}

impl ItemResult {
    fn read(item: &Value) -> Self {
        let errors = loose::get(item, "ERRORS")
            .map(loose::texts)
            .unwrap_or_default();
        let session = loose::get(item, "session");
        match loose::flag_at(item, &["SUCCESS"]) {
            Some(true) => {}
            Some(false) => return Self::Failed { errors },
            None if !errors.is_empty() => return Self::Failed { errors },
            None if session.is_none() => return Self::Unknown,
            None => {}
        }
        Self::Accepted {
            chat_id: session.and_then(|session| loose::integer_at(session, &["CHAT_ID"])),
            session_id: session.and_then(|session| loose::integer_at(session, &["ID"])),
            user: loose::integer_at(item, &["user"])
                .or_else(|| loose::integer_at(item, &["user", "id"])),
        }
    }
}

fn batch_call(
    method: &'static str,
    connector: &str,
    line: LineId,
    items: impl Iterator<Item = Value>,
) -> Call {
    let messages: Vec<Value> = items.collect();
    Call::new(
        method,
        json!({ "CONNECTOR": connector, "LINE": line.0, "MESSAGES": messages }),
    )
}

impl Item {
    fn params(&self) -> Value {
        let mut user = texts([
            ("id", Some(&self.user.id)),
            ("name", self.user.name.as_ref()),
            ("last_name", self.user.last_name.as_ref()),
            ("phone", self.user.phone.as_ref()),
        ]);
        if self.user.skip_phone_validate {
            user.insert("skip_phone_validate".to_owned(), Value::from("Y"));
        }
        let chat = texts([
            ("id", Some(&self.chat.id)),
            ("name", self.chat.name.as_ref()),
        ]);
        json!({ "user": user, "message": self.message.params(), "chat": chat })
    }
}

impl ItemMessage {
    fn params(&self) -> Value {
        let mut message = json!({ "id": self.id, "date": self.date, "text": self.text });
        if !self.files.is_empty() {
            let files: Vec<_> = self
                .files
                .iter()
                .map(|file| json!({ "url": file.url, "name": file.name }))
                .collect();
            message["files"] = Value::from(files);
        }
        if let Some(user_id) = self.user_id {
            message["user_id"] = Value::from(user_id);
        }
        message
    }
}

fn texts<const N: usize>(fields: [(&str, Option<&String>); N]) -> Map<String, Value> {
    fields
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), Value::from(value?.clone()))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(chat_id: i64) -> ItemResult {
        ItemResult::Accepted {
            chat_id: Some(chat_id),
            session_id: Some(323),
            user: Some(585),
        }
    }

    fn result(id: &str, chat_id: i64) -> Value {
        json!({
            "user": "585", "message": {"id": id, "date": {}, "text": "Hello", "files": []}, "chat": {"id": "4915"},
            "SUCCESS": true, "session": {"ID": "323", "CHAT_ID": chat_id.to_string()}
        })
    }

    fn answer(results: &[Value]) -> Value {
        json!({"SUCCESS": true, "DATA": {"RESULT": results}})
    }

    #[test]
    fn a_message_is_written_as_documented() {
        let item = Item {
            user: ItemUser {
                id: "u1".into(),
                name: Some("Klaus".into()),
                phone: Some("+4915112345678".into()),
                ..ItemUser::default()
            },
            message: ItemMessage {
                id: "wamid.A".into(),
                date: 1_773_265_993,
                text: "Hello".into(),
                files: vec![ItemFile {
                    url: "https://x.example/f".into(),
                    name: "spec.pdf".into(),
                }],
                user_id: None,
            },
            chat: ItemChat {
                id: "c1".into(),
                name: None,
            },
        };
        assert_eq!(
            send_messages("ourwa", LineId(107), &[item]).params,
            json!({"CONNECTOR": "ourwa", "LINE": 107, "MESSAGES": [{
                "user": {"id": "u1", "name": "Klaus", "phone": "+4915112345678"},
                "message": {"id": "wamid.A", "date": 1_773_265_993, "text": "Hello",
                    "files": [{"url": "https://x.example/f", "name": "spec.pdf"}]},
                "chat": {"id": "c1"}
            }]})
        );
    }

    #[test]
    fn a_note_for_operators_has_the_number_zero() {
        let item = Item {
            user: ItemUser::default(),
            message: ItemMessage {
                user_id: Some(0),
                ..ItemMessage::default()
            },
            chat: ItemChat::default(),
        };
        let call = send_messages("c", LineId(1), &[item]);
        assert_eq!(call.params["MESSAGES"][0]["message"]["user_id"], json!(0));
        assert!(call.params["MESSAGES"][0]["message"].get("files").is_none());
    }

    #[test]
    fn results_are_read_item_by_item() {
        let failed = json!({"user": "585", "message": {"id": "b"}, "chat": {"id": "y"}, "SUCCESS": false, "ERRORS": ["not all"]});
        let read = read_items(
            &answer(&[result("a", 1), failed, result("c", 3)]),
            &["a", "b", "c"],
        );
        let failed = ItemResult::Failed {
            errors: vec!["not all".into()],
        };
        assert_eq!(read, [accepted(1), failed, accepted(3)]);
    }

    #[test]
    fn results_out_of_place_are_found_by_id() {
        let read = read_items(&answer(&[result("c", 3), result("a", 1)]), &["a", "b", "c"]);
        assert_eq!(read, [accepted(1), ItemResult::Unknown, accepted(3)]);
        let read = read_items(&answer(&[result("b", 2), result("a", 1)]), &["a", "b"]);
        assert_eq!(read, [accepted(1), accepted(2)]);
        let read = read_items(&answer(&[result("a", 1), result("a", 2)]), &["a", "x", "a"]);
        assert_eq!(read, [accepted(1), ItemResult::Unknown, accepted(2)]);
    }

    #[test]
    fn success_without_session_is_still_success() {
        let read = read_items(&answer(&[json!({"SUCCESS": true}), json!({})]), &["a", "b"]);
        let bare = ItemResult::Accepted {
            chat_id: None,
            session_id: None,
            user: None,
        };
        assert_eq!(read, [bare, ItemResult::Unknown]);
    }

    #[test]
    fn an_answer_without_results_leaves_all_unknown() {
        for result in [
            json!({"SUCCESS": true, "DATA": []}),
            json!(true),
            json!([]),
            json!({"DATA": {"RESULT": "x"}}),
        ] {
            assert_eq!(
                read_items(&result, &["a", "b"]),
                [ItemResult::Unknown, ItemResult::Unknown],
                "{result}"
            );
        }
    }

    #[test]
    fn a_confirmation_has_numbers_and_a_list() {
        let delivered = Delivered {
            im_chat_id: 1807,
            im_message_id: 86497,
            external_ids: vec!["wamid.A".into()],
            date: 1_738_065_600,
            chat_id: "c1".into(),
        };
        assert_eq!(
            send_status_delivery("ourwa", LineId(107), &[delivered]).params,
            json!({"CONNECTOR": "ourwa", "LINE": 107, "MESSAGES": [{
                "im": {"chat_id": 1807, "message_id": 86497},
                "message": {"id": ["wamid.A"], "date": 1_738_065_600}, "chat": {"id": "c1"}
            }]})
        );
        assert!(read_success(&json!({"SUCCESS": true, "DATA": []})));
        assert!(!read_success(&json!({"SUCCESS": false})));
    }
}
