//! What became of a message that we sent.

use serde_json::value::RawValue;

use crate::error::ApiError;
use crate::json::Object;

/// How far a message got.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DeliveryStatus {
    /// Meta gave it to WhatsApp.
    Sent,
    /// It will not arrive; the status' `errors` say why.
    Failed,
    /// It is on the person's device.
    Delivered,
    /// It was seen. Never comes from people who switched read receipts off.
    Read,
    /// The voice note was heard.
    Played,
    /// A status without a place in the order, such as the old `deleted` and `warning`.
    Unknown(String),
}

impl DeliveryStatus {
    /// The status of a name.
    pub fn from_name(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "sent" => Self::Sent,
            "failed" => Self::Failed,
            "delivered" => Self::Delivered,
            "read" => Self::Read,
            "played" => Self::Played,
            _ => Self::Unknown(name.to_owned()),
        }
    }

    /// The name Meta gives it.
    pub fn name(&self) -> &str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Unknown(name) => name,
        }
    }

    /// Place in the order. Statuses come doubled and in any order; whoever keeps the highest ends with the truth:
    /// `failed` counts after `sent`, and not any more once the message was delivered. Unknown ones are 0.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Unknown(_) => 0,
            Self::Sent => 1,
            Self::Failed => 2,
            Self::Delivered => 3,
            Self::Read => 4,
            Self::Played => 5,
        }
    }
}

/// One status of one message. Source: Meta, "Webhooks: status messages".
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The message's wamid.
    pub id: String,
    /// How far it got.
    pub status: DeliveryStatus,
    /// Unix seconds.
    pub timestamp: Option<i64>,
    /// WhatsApp id of the person, or id of the group; absent for hidden phones.
    pub recipient_id: Option<String>,
    /// User id of the person.
    pub recipient_user_id: Option<String>,
    /// User id over linked portfolios.
    pub recipient_parent_user_id: Option<String>,
    /// What the sender gave along, see [`OutgoingMessage::callback_data`](crate::send::OutgoingMessage::callback_data).
    pub biz_opaque_callback_data: Option<String>,
    /// Why it failed.
    pub errors: Vec<ApiError>,
    /// What it costs, as Meta describes it.
    pub pricing: Option<serde_json::Value>,
}

impl Status {
    pub(super) fn read(_: &RawValue, status: &Object<'_>) -> Result<Self, &'static str> {
        let name = status.filled("status").ok_or("no status")?;
        let parent = status.filled("recipient_parent_user_id");
        Ok(Self {
            id: status.filled("id").ok_or("no id")?,
            status: DeliveryStatus::from_name(&name),
            timestamp: status.integer("timestamp"),
            recipient_id: status.filled("recipient_id"),
            recipient_user_id: status.filled("recipient_user_id"),
            // Called the other way round until May 2026.
            recipient_parent_user_id: parent.or_else(|| status.filled("parent_recipient_user_id")),
            biz_opaque_callback_data: status.filled("biz_opaque_callback_data"),
            errors: ApiError::read_all(status.list("errors")),
            pricing: status
                .raw("pricing")
                .and_then(|raw| serde_json::from_str(raw.get()).ok()),
        })
    }
}
