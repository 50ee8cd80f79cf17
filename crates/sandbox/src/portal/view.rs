//! What a test, a benchmark or the operator's page sees of a portal: plain data, copied out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::StepKind;

/// An open-line chat as the operator sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chat {
    /// The chat's id on the portal (`im.chat_id`).
    pub id: i64,
    /// The id we gave the chat (`chat.id` of `imconnector.send.messages`).
    pub external_chat_id: String,
    /// The open line.
    pub line: i64,
    /// The connector, lower case.
    pub connector: String,
    /// The chat's title.
    pub title: String,
    /// The portal's id of the customer, a synthetic user.
    pub user_id: i64,
    /// The id we gave the customer (`user.id`).
    pub external_user_id: String,
    /// The customer's name; "Guest" where none was given.
    pub user_name: String,
    /// The customer's phone as given.
    pub user_phone: Option<String>,
    /// The latest session.
    pub session_id: i64,
    /// Whether that session is open.
    pub session_open: bool,
    /// CRM leads made for this chat.
    pub leads: Vec<i64>,
    /// The messages, oldest first.
    pub messages: Vec<Message>,
}

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// The person in the messenger.
    Customer,
    /// An employee, by user id.
    Operator(i64),
    /// Nobody: a note, an automatic text.
    System,
}

/// One bubble of a chat.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// The message's id on the portal (`im.message_id`), growing over the whole portal.
    pub id: i64,
    /// The chat it is in.
    pub chat_id: i64,
    /// Who wrote it.
    pub author: Author,
    /// The author's name.
    pub author_name: String,
    /// The text with its BBCode, as stored: without the signature that events carry.
    pub text: String,
    /// The files.
    pub files: Vec<File>,
    /// The ids the messenger knows it by.
    pub external_ids: Vec<String>,
    /// An operator's message that no delivery status was sent for yet.
    pub sending: bool,
    /// An operator's message that a delivery status was sent for.
    pub delivered: bool,
    /// Shown as not delivered: it was "sending" for longer than the period (60 s).
    pub red: bool,
    /// Was confirmed, but only after it had turned red.
    pub late: bool,
    /// The text was changed.
    pub edited: bool,
    /// It was deleted.
    pub deleted: bool,
    /// When it came to be, milliseconds since 1970.
    pub at: u64,
}

/// A file of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct File {
    /// The file's id on the portal.
    pub id: i64,
    /// The name as the portal keeps it: the last 50 characters.
    pub name: String,
    /// The media type, by the name's extension.
    pub mime: String,
    /// The size in bytes.
    pub size: u64,
    /// SHA-256 of the bytes, hexadecimal.
    pub sha256: String,
}

/// An open line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The line's id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Whether it is on.
    pub active: bool,
    /// Users and departments that get its chats, as `user:1`.
    pub queue: Vec<String>,
    /// All settings as they were given.
    pub settings: BTreeMap<String, String>,
}

/// A registered connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Connector {
    /// Its id, lower case.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The application it belongs to.
    pub client_id: String,
    /// Its settings page.
    pub placement_handler: String,
    /// Each text to the messenger starts with the operator's name.
    pub need_signature: bool,
    /// Automatic texts of the line go to the messenger.
    pub need_system_messages: bool,
    /// Edits by operators are announced.
    pub edit_internal_messages: bool,
    /// Deletions by operators are announced.
    pub delete_internal_messages: bool,
    /// Mailings may use it.
    pub newsletter: bool,
    /// Chats are groups, keyed by the chat id alone.
    pub chat_group: bool,
    /// Where it is switched on.
    pub lines: Vec<ConnectorLine>,
}

/// A connector on one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectorLine {
    /// The line.
    pub line: i64,
    /// Switched on by `imconnector.activate`.
    pub active: bool,
    /// Messages can pass: switched on and, where activation wipes the data, set since then.
    pub ready: bool,
    /// `DATA` of `imconnector.connector.data.set`.
    pub data: BTreeMap<String, String>,
}

/// A bound event handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Handler {
    /// `event_handler_id` of its events.
    pub id: i64,
    /// The event, upper case.
    pub event: String,
    /// Where it goes.
    pub handler: String,
    /// The application it belongs to.
    pub client_id: String,
}

/// A REST call that was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Call {
    /// When, milliseconds since 1970.
    pub at: u64,
    /// The method, lower case.
    pub method: String,
    /// The parameters without the token; `null` unless recording is on.
    pub params: serde_json::Value,
    /// The HTTP status of the answer; 0 where the connection was cut.
    pub status: u16,
    /// The error code of the answer.
    pub error: Option<String>,
}

/// What happened on a portal so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Requests that came in, refused ones included; a batch is one.
    pub requests: u64,
    /// The most requests within one second of the clock.
    pub requests_per_second_maximum: u64,
    /// Answers 503 `QUERY_LIMIT_EXCEEDED` and `OVERLOAD_LIMIT`.
    pub refused: u64,
    /// Calls by method, those inside a batch included.
    pub calls: BTreeMap<String, u64>,
    /// Messages that came from customers.
    pub customer_messages: u64,
    /// Messages written by operators.
    pub operator_messages: u64,
    /// Operators' messages that a delivery status was sent for.
    pub delivered: u64,
    /// Notes and automatic texts.
    pub system_messages: u64,
    /// Items of `imconnector.send.messages` that failed.
    pub failed_items: u64,
    /// Events a handler answered with a status below 300.
    pub events_accepted: u64,
    /// Events that got another status or no answer: lost.
    pub events_lost: u64,
    /// Events that were dropped on purpose.
    pub events_dropped: u64,
    /// Token pairs issued by refreshing.
    pub refreshes: u64,
}

/// A CRM lead made by an open line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lead {
    /// Its id.
    pub id: i64,
    /// Its title.
    pub title: String,
    /// The phone it was made with.
    pub phone: Option<String>,
    /// The chat it was made for.
    pub chat_id: i64,
    /// Not converted, not closed.
    pub open: bool,
}

/// A message handed to an SMS provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sms {
    /// 32 hexadecimal digits.
    pub message_id: String,
    /// The sender's code.
    pub code: String,
    /// The receiver as CRM holds it.
    pub to: String,
    /// The text.
    pub body: String,
    /// `sent` at first; then what `messageservice.message.status.update` says.
    pub status: String,
}

/// A step that an application offers to robots or workflows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Robot {
    /// To which of the two.
    pub kind: StepKind,
    /// Its code.
    pub code: String,
    /// The application it belongs to.
    pub client_id: String,
    /// Where it is posted to.
    pub handler: String,
    /// The page on which its settings are chosen; empty where the portal draws them itself.
    pub settings_page: String,
    /// The keys of its settings.
    pub properties: Vec<String>,
    /// Whether a workflow waits at it for an answer.
    pub waits: bool,
}

/// A step of a workflow.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkflowStep {
    /// The step's code.
    pub code: String,
    /// What it was answered with; it waits where there is nothing.
    pub results: Option<serde_json::Value>,
    /// What was written into the workflow's log.
    pub log: String,
}

/// A placement that was bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// Where the page is shown.
    pub placement: String,
    /// The page.
    pub handler: String,
    /// Its title.
    pub title: String,
    /// In which chats a page of chats is shown, as `LINES`; empty elsewhere.
    pub context: String,
    /// The application it belongs to.
    pub client_id: String,
}

/// An employee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// The user's id.
    pub id: i64,
    /// First name.
    pub name: String,
    /// Last name.
    pub last_name: String,
    /// May administer the portal.
    pub admin: bool,
    /// Still works here.
    pub active: bool,
}

/// A file an operator attaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its name; the extension decides the media type.
    pub name: String,
    /// Its bytes.
    pub bytes: bytes::Bytes,
}

impl Upload {
    /// A file with the given name and bytes.
    pub fn new(name: impl Into<String>, bytes: impl Into<bytes::Bytes>) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.into(),
        }
    }
}

/// Names a chat: by the portal's id or by ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatRef {
    /// `im.chat_id`.
    Im(i64),
    /// `chat.id`; where several lines have one, the newest.
    External(String),
}

impl From<i64> for ChatRef {
    fn from(id: i64) -> Self {
        Self::Im(id)
    }
}

impl From<&str> for ChatRef {
    fn from(id: &str) -> Self {
        Self::External(id.to_owned())
    }
}

impl From<&String> for ChatRef {
    fn from(id: &String) -> Self {
        Self::External(id.clone())
    }
}

impl From<String> for ChatRef {
    fn from(id: String) -> Self {
        Self::External(id)
    }
}

/// Why a person on the portal could not do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such chat.
    NoSuchChat,
    /// There is no such message.
    NoSuchMessage,
    /// There is no such line.
    NoSuchLine,
    /// There is no such user.
    NoSuchUser,
    /// There is no such application.
    NoSuchApplication,
    /// There is no such SMS sender.
    NoSuchSender,
    /// There is no such robot or action.
    NoSuchRobot,
    /// Only one's own messages can be edited or deleted.
    NotYours,
    /// There is neither a text nor a file.
    Nothing,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::NoSuchChat => "There is no such chat.",
            Self::NoSuchMessage => "There is no such message.",
            Self::NoSuchLine => "There is no such line.",
            Self::NoSuchUser => "There is no such user.",
            Self::NoSuchApplication => "There is no such application.",
            Self::NoSuchSender => "There is no such SMS sender.",
            Self::NoSuchRobot => "There is no such robot or action.",
            Self::NotYours => "Only an operator's own message can be changed.",
            Self::Nothing => "Write something or attach a file.",
        })
    }
}

impl std::error::Error for Refusal {}
