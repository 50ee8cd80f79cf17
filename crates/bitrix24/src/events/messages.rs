//! The messages and dialogues inside connector events.

use serde_json::Value;

use crate::lines::LineId;
use crate::loose;

/// The messages of one event (Bitrix24: OnImConnectorMessageAdd, …Update, …Delete).
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectorMessages {
    /// The connector's id, as registered.
    pub connector: String,
    /// The open line.
    pub line: LineId,
    /// Each message by itself: what is wrong with one says nothing about the others.
    pub messages: Vec<Result<ConnectorMessage, Bad>>,
}

/// An element that could not be read, kept as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Bad {
    /// The element.
    pub raw: Value,
    /// What is wrong with it.
    pub why: &'static str,
}

/// One message from the open line to a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorMessage {
    /// `im.chat_id`: the chat inside Bitrix24.
    pub im_chat_id: i64,
    /// `im.message_id`: grows over the whole portal, so it orders the messages of a chat.
    pub im_message_id: i64,
    /// The operator; 0 for automatic texts of the line; `None` where the event names nobody.
    pub user_id: Option<i64>,
    /// Our own ids of the message, in updates and deletions only.
    pub external_ids: Vec<String>,
    /// Text in Bitrix24's markup; empty where there are only files.
    pub text: String,
    /// Files that came with it.
    pub files: Vec<EventFile>,
    /// `chat.id`: the chat's id as we gave it to Bitrix24.
    pub chat_id: String,
}

/// A file that an operator attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFile {
    /// Name as the operator gave it; empty where the event has none.
    pub name: String,
    /// `image`, `video`, `audio` or `file`.
    pub kind: Option<String>,
    /// Media type as the portal sees it.
    pub mime: Option<String>,
    /// Public short address on the portal; may end in a fragment, redirects to the bytes.
    pub link: Option<String>,
    /// Direct address of the bytes, in newer clouds; may expire.
    pub download_link: Option<String>,
    /// Size in bytes, as the portal says it.
    pub size: Option<u64>,
}

/// The dialogues of one event (Bitrix24: OnImConnectorDialogStart, …Finish).
#[derive(Debug, Clone, PartialEq)]
pub struct Dialogs {
    /// The connector's id.
    pub connector: String,
    /// The open line.
    pub line: LineId,
    /// Each dialogue by itself.
    pub dialogs: Vec<Result<Dialog, Bad>>,
}

/// A dialogue that began or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    /// The chat's id as we gave it to Bitrix24 (`connector.chat_id`).
    pub chat_id: String,
    /// The chat inside Bitrix24 (`chat.id`).
    pub im_chat_id: i64,
    /// The session of the open line.
    pub session_id: Option<i64>,
    /// Whether the session is closed.
    pub closed: Option<bool>,
}

impl ConnectorMessages {
    pub(super) fn read(data: &Value) -> Result<Self, &'static str> {
        let (connector, line) = connector_and_line(data)?;
        let list = loose::get(data, "MESSAGES").ok_or("the messages are missing")?;
        Ok(Self {
            connector,
            line,
            messages: elements(list, "im")
                .into_iter()
                .map(|raw| or_bad(raw, ConnectorMessage::read))
                .collect(),
        })
    }
}

impl ConnectorMessage {
    fn read(item: &Value) -> Result<Self, &'static str> {
        let files = loose::at(item, &["message", "files"]);
        Ok(Self {
            im_chat_id: loose::integer_at(item, &["im", "chat_id"])
                .ok_or("im.chat_id is missing or not a number")?,
            im_message_id: loose::integer_at(item, &["im", "message_id"])
                .ok_or("im.message_id is missing or not a number")?,
            user_id: loose::integer_at(item, &["message", "user_id"]),
            external_ids: loose::at(item, &["message", "id"])
                .map(loose::texts)
                .unwrap_or_default(),
            text: loose::text_at(item, &["message", "text"]).unwrap_or_default(),
            files: files
                .map(|list| {
                    elements(list, "link")
                        .into_iter()
                        .map(EventFile::read)
                        .collect()
                })
                .unwrap_or_default(),
            chat_id: loose::text_at(item, &["chat", "id"]).ok_or("chat.id is missing")?,
        })
    }
}

impl EventFile {
    fn read(file: &Value) -> Self {
        let text = |key: &str| loose::text_at(file, &[key]);
        Self {
            name: text("name").unwrap_or_default(),
            kind: text("type"),
            mime: text("mime"),
            link: text("link"),
            download_link: text("downloadLink"),
            size: loose::integer_at(file, &["size"]).and_then(|size| u64::try_from(size).ok()),
        }
    }
}

impl Dialogs {
    pub(super) fn read(data: &Value) -> Result<Self, &'static str> {
        let (connector, line) = connector_and_line(data)?;
        let list = loose::get(data, "DATA").ok_or("the dialogues are missing")?;
        Ok(Self {
            connector,
            line,
            dialogs: elements(list, "connector")
                .into_iter()
                .map(|raw| or_bad(raw, Dialog::read))
                .collect(),
        })
    }
}

impl Dialog {
    fn read(item: &Value) -> Result<Self, &'static str> {
        Ok(Self {
            chat_id: loose::text_at(item, &["connector", "chat_id"])
                .ok_or("connector.chat_id is missing")?,
            im_chat_id: loose::integer_at(item, &["chat", "id"])
                .ok_or("chat.id is missing or not a number")?,
            session_id: loose::integer_at(item, &["session", "id"]),
            closed: loose::flag_at(item, &["session", "closed"]),
        })
    }
}

fn connector_and_line(data: &Value) -> Result<(String, LineId), &'static str> {
    let connector = loose::text_at(data, &["CONNECTOR"]).ok_or("the connector is missing")?;
    let line = LineId::read(loose::get(data, "LINE")).ok_or("the line is missing")?;
    Ok((connector, line))
}

/// The elements of a list; a single element that stands in the list's place is recognized by one of its keys.
fn elements<'a>(list: &'a Value, own_key: &str) -> Vec<&'a Value> {
    if loose::get(list, own_key).is_some() {
        vec![list]
    } else {
        loose::items(list)
    }
}

fn or_bad<T>(raw: &Value, read: impl FnOnce(&Value) -> Result<T, &'static str>) -> Result<T, Bad> {
    read(raw).map_err(|why| Bad {
        raw: raw.clone(),
        why,
    })
}
