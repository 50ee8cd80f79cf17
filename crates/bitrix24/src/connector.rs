//! Connectors of Open Lines: registering one, putting it on a line, and messages both ways.
//!
//! Functions build a [`Call`]; the readers beside them tell from the `result` whether it worked, because most of
//! these methods answer HTTP 200 to a failure.
//!
//! The order that works is register, [`activate`], [`set_data`], [`status`] with the line: activating wipes what
//! `connector.data.set` wrote.

mod messages;
mod register;

use serde_json::{Value, json};

pub use self::messages::{
    Delivered, Item, ItemChat, ItemFile, ItemMessage, ItemResult, ItemUser, Removal,
    delete_messages, read_items, read_success, send_messages, send_status_delivery,
    update_messages,
};
pub use self::register::{Icon, RegisterError, Registration, read_registration, unregister};
use crate::client::Call;
use crate::lines::LineId;
use crate::loose;

/// Puts a connector on a line or takes it off (Bitrix24: imconnector.activate).
///
/// Any non-empty value activates, "N" too, hence numbers. Taking it off is echoed as an event.
pub fn activate(connector: &str, line: LineId, active: bool) -> Call {
    Call::new(
        "imconnector.activate",
        json!({ "CONNECTOR": connector, "LINE": line.0, "ACTIVE": i32::from(active) }),
    )
}

/// What the line's pages and widgets show about the channel (Bitrix24: imconnector.connector.data.set).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorData {
    /// Id of the channel outside Bitrix24.
    pub id: String,
    /// Address of the channel, as `https://wa.me/4915112345678`.
    pub url: String,
    /// Address that starts a chat.
    pub url_im: String,
    /// Name or number to show.
    pub name: String,
}

/// Writes the channel's data; it overwrites what was there.
pub fn set_data(connector: &str, line: LineId, data: &ConnectorData) -> Call {
    Call::new(
        "imconnector.connector.data.set",
        json!({
            "CONNECTOR": connector, "LINE": line.0,
            "DATA": { "ID": data.id, "URL": data.url, "URL_IM": data.url_im, "NAME": data.name },
        }),
    )
}

/// Asks for a connector's state on a line (Bitrix24: imconnector.status); without the line it would mean line 0.
pub fn status(connector: &str, line: LineId) -> Call {
    Call::new(
        "imconnector.status",
        json!({ "CONNECTOR": connector, "LINE": line.0 }),
    )
}

/// A connector's state on a line; what the answer does not say is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// `STATUS`: messages can pass.
    pub live: Option<bool>,
    /// `CONFIGURED`: registered and given its data.
    pub configured: Option<bool>,
    /// `ERROR`: switched off by a fault; activating again heals it.
    pub error: Option<bool>,
}

/// What [`Status`] amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Messages pass.
    Live,
    /// Messages do not pass: the publish routine is due.
    Down,
    /// The answer does not say.
    DontKnow,
}

impl Status {
    /// Reads the result of [`status`].
    pub fn read(result: &Value) -> Self {
        let flag = |key: &str| loose::flag_at(result, &[key]);
        Self {
            live: flag("STATUS"),
            configured: flag("CONFIGURED"),
            error: flag("ERROR"),
        }
    }

    /// Sums it up.
    pub fn health(self) -> Health {
        match (self.live, self.configured, self.error) {
            (_, _, Some(true)) | (Some(false), _, _) | (_, Some(false), _) => Health::Down,
            (Some(true), _, _) => Health::Live,
            (None, _, _) => Health::DontKnow,
        }
    }
}

/// Lists the connectors of the portal (Bitrix24: imconnector.list).
pub fn list() -> Call {
    Call::new("imconnector.list", json!({}))
}

/// Reads the result of [`list`]: ids and names.
pub fn read_list(result: &Value) -> Vec<(String, String)> {
    loose::entries(result)
        .into_iter()
        .filter_map(|(id, name)| Some((id, loose::text(name)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activation_is_a_number_not_a_letter() {
        let params = |active| activate("ourwa", LineId(107), active).params;
        assert_eq!(
            params(true),
            json!({"CONNECTOR": "ourwa", "LINE": 107, "ACTIVE": 1})
        );
        assert_eq!(
            params(false),
            json!({"CONNECTOR": "ourwa", "LINE": 107, "ACTIVE": 0})
        );
    }

    #[test]
    fn status_has_three_states() {
        let health = |result: Value| Status::read(&result).health();
        assert_eq!(
            health(
                json!({"LINE": 12, "CONNECTOR": "x", "ERROR": false, "CONFIGURED": true, "STATUS": true})
            ),
            Health::Live
        );
        assert_eq!(
            health(json!({"ERROR": "N", "CONFIGURED": "Y", "STATUS": "Y"})),
            Health::Live
        );
        assert_eq!(
            health(json!({"ERROR": true, "CONFIGURED": true, "STATUS": true})),
            Health::Down
        );
        assert_eq!(
            health(json!({"ERROR": false, "CONFIGURED": false, "STATUS": false})),
            Health::Down
        );
        assert_eq!(health(json!([])), Health::DontKnow);
        assert_eq!(health(json!(null)), Health::DontKnow);
    }

    #[test]
    fn connectors_are_listed_even_when_there_are_none() {
        assert_eq!(
            read_list(&json!({"livechat": "Live Chat"})),
            [("livechat".into(), "Live Chat".into())]
        );
        assert!(read_list(&json!([])).is_empty());
    }
}
