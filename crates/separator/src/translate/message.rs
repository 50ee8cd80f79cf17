//! The words both directions share: what a message is once it belongs to neither Meta nor Bitrix24.

use serde::{Deserialize, Serialize};

/// The language in which operators of a portal are spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English, also for every language that has no words of its own yet.
    #[default]
    English,
    /// Russian.
    Russian,
}

impl Language {
    /// Takes a portal's language code such as `ru`, `en`, `de`.
    pub fn from_code(code: &str) -> Self {
        match code.get(..2) {
            Some(prefix) if prefix.eq_ignore_ascii_case("ru") => Self::Russian,
            _ => Self::English,
        }
    }
}

/// Who said something that is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// The customer on WhatsApp.
    Customer,
    /// The business: an operator, a robot, the phone app.
    Business,
}

/// What a message refers to, as far as we know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted {
    /// Who wrote it.
    pub author: Author,
    /// Its plain text or its label; never markup.
    pub text: String,
}

/// A file that a customer sent, to be fetched from Meta.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerFile {
    /// Meta's media id.
    pub media_id: String,
    /// Meta's media type, parameters included, as in `audio/ogg; codecs=opus`.
    pub mime_type: String,
    /// Name to give to the portal: made safe, with an extension, at most 50 characters.
    pub name: String,
}

/// What a customer's message says, ready to be kept and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Meta's message type (`text`, `image`, `location` …), as the API gives it.
    pub kind: String,
    /// Plain text for our own pages and for search.
    pub text: String,
    /// The same in Bitrix24's markup for the operator's chat, quote and labels included; customer text is disarmed.
    pub markup: String,
    /// The file that belongs to it; its caption is in `text` and `markup`.
    pub file: Option<CustomerFile>,
    /// Something the operator should see but that was not understood: its raw form is kept.
    pub understood: bool,
}

/// What a message delivered by Meta asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A new message in the operator's chat.
    Post(Content),
    /// An earlier message of the customer now says something else.
    Edit {
        /// The wamid of the message that was edited.
        original: String,
        /// What it says now.
        content: Content,
    },
    /// The customer took an earlier message back.
    Revoke {
        /// The wamid of the message that was deleted.
        original: String,
    },
    /// The customer's ids changed; the chat stays the same.
    IdentityChanged {
        /// The new WhatsApp id (digits), where Meta names it.
        wa_id: Option<String>,
        /// The new user id (BSUID), where Meta names it.
        user_id: Option<String>,
        /// The user id until now.
        previous_user_id: Option<String>,
        /// What the operator reads about it.
        content: Content,
    },
}

/// What an operator's message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The block that the operator quoted, to be found among the chat's messages.
    pub quote: Option<QuoteBlock>,
    /// What goes to the customer, in order; each part is a message of its own on WhatsApp.
    pub parts: Vec<Part>,
}

/// The text block that Bitrix24 puts in front of a reply when the operator uses "Quote message".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteBlock {
    /// The name in the block's head line, where there is one.
    pub author: Option<String>,
    /// The quoted text without markup.
    pub text: String,
    /// The quoted message's id inside Bitrix24, where the head line has one: the surest way to find it.
    pub im_message_id: Option<i64>,
}

/// One WhatsApp message of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text with WhatsApp's marks, at most 4096 characters.
    Text(String),
    /// A file to be fetched from the portal.
    File(OperatorFile),
}

/// A file that an operator attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorFile {
    /// Name as the operator gave it.
    pub name: String,
    /// Where to fetch it: `downloadLink` where present, else `link` without its fragment.
    pub url: String,
    /// Size in bytes as the event says it.
    pub size: Option<u64>,
    /// Media type as the event says it; the bytes decide.
    pub mime_type: Option<String>,
    /// The text that came with a single file, at most 1024 characters.
    pub caption: Option<String>,
}
