//! Robots and actions of workflows: `bizproc.*`, and what a portal posts to have one done.

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::client::{Call, Error as RestError};
use crate::events::EventAuth;
use crate::form::{self, FormError};
use crate::loose;

/// Where a step can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Among the robots of a CRM entity's stages (Bitrix24: bizproc.robot.add).
    Robot,
    /// In the designer of workflows (Bitrix24: bizproc.activity.add).
    Activity,
}

impl Kind {
    fn method(self, verb: &str) -> String {
        match self {
            Self::Robot => format!("bizproc.robot.{verb}"),
            Self::Activity => format!("bizproc.activity.{verb}"),
        }
    }
}

/// A field of a step's settings or results. Use `string`, not `text`, which robots accept and do not draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Its key: a letter, then letters, digits and underscores.
    pub key: &'static str,
    /// Names by language code.
    pub names: Vec<(&'static str, &'static str)>,
    /// `string`, `bool`, `select` …
    pub kind: &'static str,
    /// Values and their labels, for `select`.
    pub options: Vec<(String, String)>,
    /// Whether it must be filled.
    pub required: bool,
    /// Whether it holds several values.
    pub multiple: bool,
    /// What it holds at first.
    pub default: Option<String>,
}

impl Property {
    fn params(&self) -> Value {
        let names: Map<String, Value> = self
            .names
            .iter()
            .map(|(language, name)| ((*language).to_owned(), json!(name)))
            .collect();
        let mut params = json!({
            "Name": names,
            "Type": self.kind,
            "Required": yes_no(self.required),
            "Multiple": yes_no(self.multiple),
        });
        if !self.options.is_empty() {
            let options: Map<String, Value> = self
                .options
                .iter()
                .map(|(value, label)| (value.clone(), json!(label)))
                .collect();
            params["Options"] = Value::Object(options);
        }
        if let Some(default) = &self.default {
            params["Default"] = json!(default);
        }
        params
    }
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "Y" } else { "N" }
}

/// A step that the application offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its code: letters, digits, `.`, `-`, `_`.
    pub code: String,
    /// Names by language code.
    pub names: Vec<(&'static str, &'static str)>,
    /// Where it is posted to; on the application's own domain.
    pub handler: String,
    /// The page on which its settings are chosen; also on the application's domain.
    pub settings: String,
    /// The employee in whose name it runs.
    pub user: i64,
    /// Its settings.
    pub properties: Vec<Property>,
    /// Its results.
    pub results: Vec<Property>,
}

impl Step {
    fn fields(&self) -> Value {
        let list = |properties: &[Property]| -> Map<String, Value> {
            properties
                .iter()
                .map(|property| (property.key.to_owned(), property.params()))
                .collect()
        };
        let names: Map<String, Value> = self
            .names
            .iter()
            .map(|(language, name)| ((*language).to_owned(), json!(name)))
            .collect();
        json!({
            "HANDLER": self.handler,
            "AUTH_USER_ID": self.user,
            // The step waits for our answer, which always comes; left out, it depends on the portal.
            "USE_SUBSCRIPTION": "Y",
            "USE_PLACEMENT": "Y",
            "PLACEMENT_HANDLER": self.settings,
            "NAME": names,
            "PROPERTIES": list(&self.properties),
            "RETURN_PROPERTIES": list(&self.results),
        })
    }

    /// Makes it known. One that is known already is an error there: see [`is_known`].
    pub fn add(&self, kind: Kind) -> Call {
        let mut params = self.fields();
        params["CODE"] = json!(self.code);
        Call::new(kind.method("add"), params)
    }

    /// Changes one that is known.
    pub fn update(&self, kind: Kind) -> Call {
        let params = json!({ "CODE": self.code, "FIELDS": self.fields() });
        Call::new(kind.method("update"), params)
    }
}

/// Whether adding failed because the application has a step of this code.
pub fn is_known(error: &RestError) -> bool {
    error
        .code()
        .is_some_and(|code| code.eq_ignore_ascii_case("ERROR_ACTIVITY_ALREADY_INSTALLED"))
}

/// Asks for the codes of the application's steps.
pub fn list(kind: Kind) -> Call {
    Call::new(kind.method("list"), json!({}))
}

/// Reads the result of [`list`].
pub fn read_list(result: &Value) -> Vec<String> {
    loose::texts(result)
}

/// Takes a step away.
pub fn delete(kind: Kind, code: &str) -> Call {
    Call::new(kind.method("delete"), json!({ "CODE": code }))
}

/// Ends a step that waits, with its results (Bitrix24: bizproc.event.send). A step that is over is answered with
/// `ACCESS_DENIED`.
pub fn answer(event_token: &str, results: &Value, log: &str) -> Call {
    Call::new(
        "bizproc.event.send",
        json!({ "EVENT_TOKEN": event_token, "RETURN_VALUES": results, "LOG_MESSAGE": log }),
    )
}

/// Why a body is no step to be done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotUnderstood {
    /// The form itself is beyond the limits.
    #[error(transparent)]
    Form(#[from] FormError),
    /// Nothing says which portal it comes from.
    #[error("the body names no portal (member_id)")]
    NoMember,
    /// Nothing says which step of which workflow it is.
    #[error("the body has no event token")]
    NoToken,
}

/// A step to be done, as a portal posts it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Who posts.
    pub auth: EventAuth,
    /// The step's code.
    pub code: String,
    /// Names the step that waits; opaque.
    pub event_token: String,
    /// The workflow's id.
    pub workflow_id: Option<String>,
    /// The document, as `DEAL_123`.
    pub document: Option<String>,
    properties: Value,
}

impl Request {
    /// Reads a post, form or JSON.
    pub fn parse(body: &[u8]) -> Result<Self, NotUnderstood> {
        let value = form::decode(body)?;
        let auth = loose::get(&value, "auth")
            .and_then(EventAuth::read)
            .ok_or(NotUnderstood::NoMember)?;
        let document = loose::get(&value, "document_id").and_then(|id| loose::items(id).pop());
        Ok(Self {
            auth,
            code: loose::text_at(&value, &["code"]).unwrap_or_default(),
            event_token: loose::text_at(&value, &["event_token"]).ok_or(NotUnderstood::NoToken)?,
            workflow_id: loose::text_at(&value, &["workflow_id"]),
            document: document.and_then(loose::text),
            properties: loose::get(&value, "properties")
                .cloned()
                .unwrap_or_default(),
        })
    }

    /// A setting; of one with several values the first that is not empty.
    pub fn text(&self, key: &str) -> Option<String> {
        self.texts(key).into_iter().next()
    }

    /// All values of a setting that are not empty.
    pub fn texts(&self, key: &str) -> Vec<String> {
        let Some(value) = loose::get(&self.properties, key) else {
            return Vec::new();
        };
        loose::texts(value)
            .into_iter()
            .filter(|text| !text.trim().is_empty())
            .collect()
    }

    /// A setting that is yes or no.
    pub fn flag(&self, key: &str) -> bool {
        loose::flag_at(&self.properties, &[key]).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_step_is_read_from_a_form() {
        let body = "workflow_id=65e&code=separator_template&document_id[0]=crm&document_id[1]=CCrmDocumentDeal\
                    &document_id[2]=DEAL_123&event_token=65e%7CA%7Ca&properties[phone]=%2B49157&properties[wait]=Y\
                    &properties[values][0]=a&properties[values][1]=&properties[values][2]=b&use_subscription=Y\
                    &auth[member_id]=m&auth[application_token]=t&auth[refresh_token]=r";
        let request = Request::parse(body.as_bytes()).unwrap();
        assert_eq!(request.event_token, "65e|A|a");
        assert_eq!(request.document.as_deref(), Some("DEAL_123"));
        assert_eq!(request.text("phone").as_deref(), Some("+49157"));
        assert_eq!(request.texts("values"), ["a", "b"]);
        assert!(request.flag("wait") && !request.flag("other"));
        assert_eq!(
            Request::parse(b"event_token=x").unwrap_err(),
            NotUnderstood::NoMember
        );
        assert_eq!(
            Request::parse(b"auth[member_id]=m").unwrap_err(),
            NotUnderstood::NoToken
        );
    }

    #[test]
    fn a_step_always_says_that_it_is_waited_for() {
        let step = Step {
            code: "c".to_owned(),
            names: vec![("en", "Send")],
            handler: "https://a.example/".to_owned(),
            settings: "https://a.example/placement/".to_owned(),
            user: 1,
            properties: vec![Property {
                key: "phone",
                names: vec![("en", "Phone")],
                kind: "string",
                options: Vec::new(),
                required: true,
                multiple: false,
                default: None,
            }],
            results: Vec::new(),
        };
        let call = step.add(Kind::Robot);
        assert_eq!(call.method, "bizproc.robot.add");
        assert_eq!(call.params["USE_SUBSCRIPTION"], "Y");
        assert_eq!(call.params["PROPERTIES"]["phone"]["Type"], "string");
        assert_eq!(call.params["PROPERTIES"]["phone"]["Required"], "Y");
        let update = step.update(Kind::Activity);
        assert_eq!(update.method, "bizproc.activity.update");
        assert_eq!(update.params["FIELDS"]["HANDLER"], "https://a.example/");
    }
}
