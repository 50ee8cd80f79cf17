//! Making a connector known to a portal.

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::client::Call;
use crate::loose;

/// A connector to register (Bitrix24: imconnector.register). Registering the same id again updates it.
///
/// The portal's defaults are all "yes"; every flag is therefore sent, as it suits a messenger whose messages cannot
/// be changed after sending: no signature in texts, no events for edits and deletions by operators, no mailings, one
/// chat for each customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Id: lower-case letters, digits and underscore; unique over all applications of the portal.
    pub id: String,
    /// Name in the contact centre.
    pub name: String,
    /// Icon of the working connector.
    pub icon: Icon,
    /// Icon of the connector that is not set up.
    pub icon_disabled: Option<Icon>,
    /// Page with the connector's settings, opened in a frame.
    pub placement_handler: String,
    /// Whether the line's automatic texts come as events too.
    pub need_system_messages: bool,
}

/// An icon of a connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Icon {
    /// `data:image/svg+xml,…`.
    pub data_image: String,
    /// Background as `#rrggbb`.
    pub color: Option<String>,
    /// Size as `90%`.
    pub size: Option<String>,
    /// Position as `center`.
    pub position: Option<String>,
}

/// A registration that failed inside an answer with HTTP 200.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{code}: {description}")]
pub struct RegisterError {
    /// The code in upper case, as `APPLICATION_REGISTRATION_ERROR`.
    pub code: String,
    /// Text for people.
    pub description: String,
}

impl RegisterError {
    /// Whether the id belongs to another application of the portal, so that another id is needed.
    pub fn is_taken(&self) -> bool {
        self.code == "APPLICATION_REGISTRATION_ERROR"
    }
}

impl Registration {
    /// Builds the call.
    pub fn call(&self) -> Call {
        let mut params = json!({
            "ID": self.id,
            "NAME": self.name,
            "ICON": self.icon.params(),
            "PLACEMENT_HANDLER": self.placement_handler,
            "DEL_EXTERNAL_MESSAGES": true,
            "EDIT_INTERNAL_MESSAGES": false,
            "DEL_INTERNAL_MESSAGES": false,
            "NEWSLETTER": false,
            "NEED_SYSTEM_MESSAGES": self.need_system_messages,
            "NEED_SIGNATURE": false,
            "CHAT_GROUP": false,
        });
        if let Some(icon) = &self.icon_disabled {
            params["ICON_DISABLED"] = icon.params();
        }
        Call::new("imconnector.register", params)
    }
}

impl Icon {
    fn params(&self) -> Value {
        let fields = [
            ("DATA_IMAGE", Some(&self.data_image)),
            ("COLOR", self.color.as_ref()),
            ("SIZE", self.size.as_ref()),
            ("POSITION", self.position.as_ref()),
        ];
        let present: Map<_, _> = fields
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), Value::from(value?.clone()))))
            .collect();
        Value::Object(present)
    }
}

/// Removes a connector from all lines and from the portal (Bitrix24: imconnector.unregister).
pub fn unregister(id: &str) -> Call {
    Call::new("imconnector.unregister", json!({ "ID": id }))
}

/// Reads the result of [`Registration::call`] and [`unregister`].
pub fn read_registration(result: &Value) -> Result<(), RegisterError> {
    let done = loose::flag(result).or_else(|| loose::flag_at(result, &["result"]));
    if done == Some(true) {
        return Ok(());
    }
    Err(RegisterError {
        code: loose::text_at(result, &["error"])
            .unwrap_or_default()
            .to_ascii_uppercase(),
        description: loose::text_at(result, &["error_description"])
            .unwrap_or_else(|| "the portal gave no reason".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_explicit() {
        let registration = Registration {
            id: "separator_1".into(),
            name: "WhatsApp".into(),
            icon: Icon {
                data_image: "data:image/svg+xml,x".into(),
                color: Some("#25d366".into()),
                size: None,
                position: None,
            },
            icon_disabled: None,
            placement_handler: "https://x.example/p".into(),
            need_system_messages: true,
        };
        assert_eq!(
            registration.call().params,
            json!({
                "ID": "separator_1", "NAME": "WhatsApp", "ICON": {"DATA_IMAGE": "data:image/svg+xml,x", "COLOR": "#25d366"},
                "PLACEMENT_HANDLER": "https://x.example/p", "DEL_EXTERNAL_MESSAGES": true, "EDIT_INTERNAL_MESSAGES": false,
                "DEL_INTERNAL_MESSAGES": false, "NEWSLETTER": false, "NEED_SYSTEM_MESSAGES": true, "NEED_SIGNATURE": false,
                "CHAT_GROUP": false
            })
        );
    }

    #[test]
    fn a_failure_hides_inside_a_success() {
        assert_eq!(read_registration(&json!({"result": true})), Ok(()));
        assert_eq!(read_registration(&json!(true)), Ok(()));
        let failed = json!({"result": false, "error": "APPLICATION_REGISTRATION_ERROR", "error_description": "taken"});
        assert!(read_registration(&failed).is_err_and(|error| error.is_taken()));
        assert!(read_registration(&json!([])).is_err_and(|error| !error.is_taken()));
    }
}
