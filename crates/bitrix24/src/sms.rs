//! SMS providers: `messageservice.*`, and what a portal posts to have an SMS sent.
//!
//! A portal posts through the same queue as its events and does not repeat either. Where nobody wrote the message (an
//! automation did), the post has no `auth` block at all, so the handler's address must hold a secret of its own.

use serde_json::{Value, json};
use thiserror::Error;

use crate::client::{Call, Error as RestError};
use crate::events::EventAuth;
use crate::form::{self, FormError};
use crate::loose;

/// A provider that the application offers (Bitrix24: messageservice.sender.add).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Its code: letters, digits, `.`, `-`, `_`. It is the provider's identity and must not change.
    pub code: String,
    /// Name; the portal shows the application's in front of it.
    pub name: String,
    /// A sentence about it.
    pub description: String,
    /// Where SMS are posted to; on the application's own domain.
    pub handler: String,
}

impl Sender {
    /// Makes it known. One that is known already is an error there: see [`is_known`].
    pub fn add(&self) -> Call {
        Call::new(
            "messageservice.sender.add",
            json!({
                "CODE": self.code,
                "TYPE": "SMS",
                "HANDLER": self.handler,
                "NAME": self.name,
                "DESCRIPTION": self.description,
            }),
        )
    }

    /// Changes one that is known.
    pub fn update(&self) -> Call {
        Call::new(
            "messageservice.sender.update",
            json!({
                "CODE": self.code,
                "HANDLER": self.handler,
                "NAME": self.name,
                "DESCRIPTION": self.description,
            }),
        )
    }
}

/// Whether adding failed because the application has a provider of this code.
pub fn is_known(error: &RestError) -> bool {
    error
        .code()
        .is_some_and(|code| code.eq_ignore_ascii_case("ERROR_SENDER_ALREADY_INSTALLED"))
}

/// Asks for the codes of the application's providers.
pub fn list() -> Call {
    Call::new("messageservice.sender.list", json!({}))
}

/// Reads the result of [`list`].
pub fn read_list(result: &Value) -> Vec<String> {
    loose::texts(result)
}

/// Takes a provider away.
pub fn delete(code: &str) -> Call {
    Call::new("messageservice.sender.delete", json!({ "CODE": code }))
}

/// Tells what became of an SMS: `sent`, `delivered`, `undelivered`, `failed` (Bitrix24:
/// messageservice.message.status.update).
pub fn status(code: &str, message_id: &str, status: &str) -> Call {
    Call::new(
        "messageservice.message.status.update",
        json!({ "CODE": code, "MESSAGE_ID": message_id, "STATUS": status }),
    )
}

/// Whether a portal does not know the SMS yet: it writes it down after it has posted it.
pub fn is_unknown_message(error: &RestError) -> bool {
    error
        .code()
        .is_some_and(|code| code.eq_ignore_ascii_case("ERROR_MESSAGE_NOT_FOUND"))
}

/// Why a body is no SMS.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotUnderstood {
    /// The form itself is beyond the limits.
    #[error(transparent)]
    Form(#[from] FormError),
    /// Something is not there without which nothing can be sent.
    #[error("the SMS names no {0}")]
    Missing(&'static str),
}

/// An SMS to be sent, as a portal posts it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Who posts; absent where an automation wrote the message.
    pub auth: Option<EventAuth>,
    /// The provider's code.
    pub code: String,
    /// The portal's id of the SMS.
    pub message_id: String,
    /// The recipient as the CRM holds it: perhaps with spaces, perhaps without a country code.
    pub to: String,
    /// The text.
    pub body: String,
    /// The module it comes from: `crm`, `bizproc`.
    pub module: Option<String>,
}

impl Request {
    /// Reads a post, form or JSON.
    pub fn parse(body: &[u8]) -> Result<Self, NotUnderstood> {
        let value = form::decode(body)?;
        let text = |key: &'static str, twin: &str| {
            loose::text_at(&value, &[key]).or_else(|| loose::text_at(&value, &["properties", twin]))
        };
        Ok(Self {
            auth: loose::get(&value, "auth").and_then(EventAuth::read),
            code: text("code", "code").ok_or(NotUnderstood::Missing("provider"))?,
            message_id: text("message_id", "message_id").ok_or(NotUnderstood::Missing("id"))?,
            to: text("message_to", "phone_number").ok_or(NotUnderstood::Missing("recipient"))?,
            body: text("message_body", "message_text").unwrap_or_default(),
            module: loose::text_at(&value, &["module_id"]),
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_sms_is_read_with_and_without_an_author() {
        let body = "module_id=crm&bindings[0][OWNER_TYPE_ID]=2&bindings[0][OWNER_ID]=123&type=SMS&code=wa_1\
                    &message_id=0f&message_to=%2B49+157+55509876&message_body=template-hello_world&ts=1";
        let request = Request::parse(body.as_bytes()).unwrap();
        assert_eq!(request.auth, None);
        assert_eq!(
            (request.code.as_str(), request.message_id.as_str()),
            ("wa_1", "0f")
        );
        assert_eq!(
            (request.to.as_str(), request.body.as_str()),
            ("+49 157 55509876", "template-hello_world")
        );
        let signed = format!("{body}&auth[member_id]=m&auth[application_token]=t");
        let auth = Request::parse(signed.as_bytes()).unwrap().auth.unwrap();
        assert_eq!(auth.member_id, "m");
        assert!(auth.application_token.is_some());
    }

    #[test]
    fn the_twins_stand_in_and_what_is_missing_is_named() {
        let body = "properties[phone_number]=49157&properties[message_text]=hi&code=c&message_id=1";
        let request = Request::parse(body.as_bytes()).unwrap();
        assert_eq!(
            (request.to.as_str(), request.body.as_str()),
            ("49157", "hi")
        );
        for (body, missing) in [
            ("message_id=1&message_to=1", "provider"),
            ("code=c&message_to=1", "id"),
            ("code=c&message_id=1", "recipient"),
            ("", "provider"),
        ] {
            let error = Request::parse(body.as_bytes()).unwrap_err();
            assert_eq!(error, NotUnderstood::Missing(missing), "{body}");
        }
    }
}
