//! Message templates: a few samples, and the checks of what is sent with them.

use super::error::GraphError;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A template in one language, as Graph shows it.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) language: String,
    pub(super) status: String,
    pub(super) category: String,
    /// `POSITIONAL` or `NAMED`.
    pub(super) parameter_format: String,
    pub(super) components: Value,
    /// `GREEN`, `YELLOW`, `RED` or `UNKNOWN`.
    pub(super) quality: String,
    /// Why it was rejected; `NONE` while it was not.
    pub(super) reason: String,
}

impl Template {
    pub(super) fn as_json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "language": self.language,
            "status": self.status,
            "category": self.category,
            "parameter_format": self.parameter_format,
            "components": self.components,
            "quality_score": {"score": self.quality},
            "rejected_reason": self.reason,
        })
    }

    fn component(&self, kind: &str) -> Option<&Value> {
        self.components
            .as_array()?
            .iter()
            .find(|component| component["type"] == kind)
    }

    /// Checks what is sent with the template against what it needs. Source: Meta: template messages, errors 132xxx.
    pub(super) fn check(&self, components: &[Value]) -> Result<(), GraphError> {
        match self.status.as_str() {
            "APPROVED" => {}
            "PAUSED" => return Err(GraphError::usual(132_015)),
            "DISABLED" => return Err(GraphError::usual(132_016)),
            _ => return Err(GraphError::new(132_001, self.absent())),
        }
        self.check_header(part(components, "header"))?;
        self.check_body(part(components, "body"))?;
        self.check_buttons(components)
    }

    pub(super) fn absent(&self) -> String {
        format!(
            "template name ({}) does not exist in {}",
            self.name, self.language
        )
    }

    fn check_header(&self, given: Option<&Value>) -> Result<(), GraphError> {
        let Some(header) = self.component("HEADER") else {
            return match count(given) {
                0 => Ok(()),
                found => Err(mismatch("header", found, 0)),
            };
        };
        let format = header["format"].as_str().unwrap_or("TEXT");
        if format == "TEXT" {
            let wanted = variables(header["text"].as_str().unwrap_or_default()).len();
            return expect_count("header", count(given), wanted);
        }
        expect_count("header", count(given), 1)?;
        let wanted = format.to_ascii_lowercase();
        let parameter = given.map_or(&Value::Null, |given| &given["parameters"][0]);
        if parameter["type"] != wanted.as_str() {
            return Err(GraphError::new(
                132_012,
                format!(
                    "header: Format mismatch, expected {format}, received {}",
                    parameter["type"]
                        .as_str()
                        .unwrap_or("UNKNOWN")
                        .to_ascii_uppercase()
                ),
            ));
        }
        let media = &parameter[&wanted];
        if wanted != "location" && media["id"].is_null() == media["link"].is_null() {
            return Err(GraphError::parameter(format!(
                "header: {wanted} needs exactly one of id and link"
            )));
        }
        Ok(())
    }

    fn check_body(&self, given: Option<&Value>) -> Result<(), GraphError> {
        let text = self
            .component("BODY")
            .and_then(|body| body["text"].as_str())
            .unwrap_or_default();
        let wanted = variables(text);
        expect_count("body", count(given), wanted.len())?;
        let empty = Vec::new();
        let parameters = given
            .and_then(|given| given["parameters"].as_array())
            .unwrap_or(&empty);
        let mut length = text.chars().count();
        for parameter in parameters {
            let value = self.check_parameter(parameter, &wanted)?;
            length += value.chars().count();
        }
        if length > 1024 {
            return Err(GraphError::new(
                132_005,
                format!("body: the text has {length} characters after substitution, at most 1024"),
            ));
        }
        Ok(())
    }

    fn check_parameter<'a>(
        &self,
        parameter: &'a Value,
        wanted: &BTreeSet<String>,
    ) -> Result<&'a str, GraphError> {
        let kind = parameter["type"].as_str().unwrap_or_default();
        let text = match kind {
            "text" => parameter["text"].as_str(),
            "currency" | "date_time" => parameter[kind]["fallback_value"].as_str(),
            other => {
                return Err(GraphError::new(
                    132_012,
                    format!("body: parameter of type {other} in place of text"),
                ));
            }
        };
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Err(GraphError::missing("parameters[].text"));
        };
        if text.contains(['\n', '\t']) || text.contains("     ") {
            return Err(GraphError::new(
                132_018,
                "Param text cannot have new-line/tab characters or more than 4 consecutive spaces",
            ));
        }
        let name = parameter["parameter_name"].as_str();
        let named = self.parameter_format == "NAMED";
        if named != name.is_some() || name.is_some_and(|name| !wanted.contains(name)) {
            return Err(GraphError::parameter(
                "body: Parameter name is missing or invalid",
            ));
        }
        Ok(text)
    }

    fn check_buttons(&self, components: &[Value]) -> Result<(), GraphError> {
        let empty = Vec::new();
        let buttons = self
            .component("BUTTONS")
            .and_then(|component| component["buttons"].as_array())
            .unwrap_or(&empty);
        for (index, button) in buttons.iter().enumerate() {
            let dynamic = button["type"] == "URL"
                && button["url"].as_str().is_some_and(|url| url.contains("{{"));
            let given = components.iter().find(|component| {
                component["type"] == "button" && index_of(component) == Some(index)
            });
            if dynamic && count(given) != 1 {
                return Err(GraphError::new(
                    131_008,
                    format!("buttons: Button at index {index} of type Url requires a parameter"),
                ));
            }
        }
        let beyond = components
            .iter()
            .filter(|component| component["type"] == "button")
            .find(|component| index_of(component).is_none_or(|index| index >= buttons.len()));
        match beyond {
            Some(component) => Err(GraphError::parameter(format!(
                "buttons: no button at index {}",
                component["index"]
            ))),
            None => Ok(()),
        }
    }
}

fn part<'a>(components: &'a [Value], kind: &str) -> Option<&'a Value> {
    components.iter().find(|component| {
        component["type"]
            .as_str()
            .is_some_and(|found| found.eq_ignore_ascii_case(kind))
    })
}

fn count(given: Option<&Value>) -> usize {
    given
        .and_then(|given| given["parameters"].as_array())
        .map_or(0, Vec::len)
}

fn index_of(component: &Value) -> Option<usize> {
    match &component["index"] {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().map(|index| index as usize),
    }
}

fn expect_count(place: &str, found: usize, wanted: usize) -> Result<(), GraphError> {
    if found == wanted {
        return Ok(());
    }
    Err(mismatch(place, found, wanted))
}

fn mismatch(place: &str, found: usize, wanted: usize) -> GraphError {
    GraphError::new(
        132_000,
        format!(
            "{place}: number of localizable_params ({found}) does not match the expected number of params ({wanted})"
        ),
    )
}

/// The names or numbers between `{{` and `}}`, each once.
fn variables(text: &str) -> BTreeSet<String> {
    text.split("{{")
        .skip(1)
        .filter_map(|rest| rest.split_once("}}"))
        .map(|(name, _)| name.trim().to_owned())
        .collect()
}

/// Checks how a template is written, as far as Meta has an error of its own for it. Source: Meta: error codes 2388xxx.
pub(super) fn check_content(components: &Value) -> Result<(), GraphError> {
    for component in components.as_array().into_iter().flatten() {
        let text = component["text"].as_str().unwrap_or_default();
        let length = text.chars().count();
        let kind = component["type"].as_str().unwrap_or_default();
        match kind.to_ascii_uppercase().as_str() {
            "HEADER" if length > 60 => {
                return Err(GraphError::of_template(
                    2_388_047,
                    "The message header can't have more than 60 characters.",
                ));
            }
            "BODY" if length > 1024 => {
                return Err(GraphError::of_template(
                    2_388_072,
                    "The message body can't have more than 1024 characters.",
                ));
            }
            "BODY" if text.starts_with("{{") || text.ends_with("}}") => {
                return Err(GraphError::of_template(
                    2_388_299,
                    "Variables can't be at the start or end of the template.",
                ));
            }
            "BODY" if variables(text).len() * 3 > text.split_whitespace().count() => {
                return Err(GraphError::of_template(
                    2_388_293,
                    "This template has too many variables for its length.",
                ));
            }
            "FOOTER" if length > 60 || text.contains("{{") => {
                return Err(GraphError::of_template(
                    2_388_073,
                    "The message footer can't have variables or more than 60 characters.",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// An authentication template as Graph lists it: Meta writes its texts itself. Source: Meta: authentication templates.
pub(super) fn authentication(components: &Value) -> Result<Value, GraphError> {
    let list = components.as_array().map(Vec::as_slice).unwrap_or_default();
    let find = |kind: &str| part(list, kind);
    let wrong = |what: &str| Err(GraphError::of_template(2_388_042, what));
    let body = find("BODY");
    if find("HEADER").is_some() || body.is_none_or(|body| !body["text"].is_null()) {
        return wrong("Authentication templates have preset text and no header.");
    }
    let advice = body.is_some_and(|body| body["add_security_recommendation"] == true);
    let end = if advice {
        " For your security, do not share this code."
    } else {
        ""
    };
    let mut made = vec![json!({
        "type": "BODY",
        "text": format!("*{{{{1}}}}* is your verification code.{end}"),
        "add_security_recommendation": advice,
        "example": {"body_text": [["123456"]]},
    })];
    if let Some(footer) = find("FOOTER") {
        let minutes = footer["code_expiration_minutes"].as_i64();
        let Some(minutes) = minutes.filter(|minutes| (1..=90).contains(minutes)) else {
            return wrong("code_expiration_minutes must be between 1 and 90.");
        };
        let text = format!("This code expires in {minutes} minutes.");
        made.push(json!({"type": "FOOTER", "text": text, "code_expiration_minutes": minutes}));
    }
    let button = find("BUTTONS").map_or(&Value::Null, |buttons| &buttons["buttons"][0]);
    let kind = button["otp_type"].as_str().unwrap_or_default();
    let tap = matches!(kind, "ONE_TAP" | "ZERO_TAP");
    if button["type"] != "OTP" || !(tap || kind == "COPY_CODE") {
        return wrong("Authentication templates need one button of the type OTP.");
    }
    if tap && !button["supported_apps"][0]["package_name"].is_string() {
        return wrong("This otp_type needs supported_apps.");
    }
    let label = button["text"].as_str().unwrap_or("Copy code");
    let url = format!("https://www.whatsapp.com/otp/code/?otp_type={kind}&code=otp{{{{1}}}}");
    made.push(json!({"type": "BUTTONS", "buttons": [
        {"type": "URL", "text": label, "url": url, "example": [url.replace("{{1}}", "123456")]},
    ]}));
    Ok(Value::Array(made))
}

/// The templates that every account has at the start.
pub(super) fn samples() -> Vec<Template> {
    let body = |text: &str| json!([{"type": "BODY", "text": text}]);
    let sample =
        |id: u32, name: &str, language: &str, category: &str, components: Value| Template {
            id: (1_689_556_908_129_000_u64 + u64::from(id)).to_string(),
            name: name.to_owned(),
            language: language.to_owned(),
            status: "APPROVED".to_owned(),
            category: category.to_owned(),
            parameter_format: "POSITIONAL".to_owned(),
            components,
            quality: "GREEN".to_owned(),
            reason: "NONE".to_owned(),
        };
    let mut named = sample(
        5,
        "appointment_reminder",
        "en",
        "UTILITY",
        body("Hello {{first_name}}, we expect you on {{day}}."),
    );
    "NAMED".clone_into(&mut named.parameter_format);
    let mut paused = sample(
        6,
        "spring_sale",
        "en",
        "MARKETING",
        body("Spring sale: 20 % off."),
    );
    "PAUSED".clone_into(&mut paused.status);
    let mut rejected = sample(
        7,
        "win_a_prize",
        "en",
        "MARKETING",
        body("You won! Reply now."),
    );
    "REJECTED".clone_into(&mut rejected.status);
    "PROMOTIONAL".clone_into(&mut rejected.reason);
    vec![
        sample(
            1,
            "hello_world",
            "en_US",
            "UTILITY",
            json!([
                {"type": "HEADER", "format": "TEXT", "text": "Hello World"},
                {"type": "BODY", "text": "Welcome! This message shows that your number can send."},
                {"type": "FOOTER", "text": "Sample template"},
            ]),
        ),
        sample(
            2,
            "order_ready",
            "de",
            "UTILITY",
            json!([
                {"type": "BODY", "text": "Hallo {{1}}, Ihre Bestellung {{2}} ist da.",
                 "example": {"body_text": [["Lena", "A-1007"]]}},
                {"type": "BUTTONS", "buttons": [
                    {"type": "URL", "text": "Ansehen", "url": "https://shop.example/orders/{{1}}", "example": ["A-1007"]},
                    {"type": "QUICK_REPLY", "text": "Danke"},
                ]},
            ]),
        ),
        sample(
            3,
            "delivery_note",
            "en",
            "UTILITY",
            body("Hello {{1}}, your parcel {{2}} is on its way."),
        ),
        sample(
            4,
            "invoice",
            "en",
            "UTILITY",
            json!([
                {"type": "HEADER", "format": "DOCUMENT", "example": {"header_handle": ["https://lookaside.example/sample.pdf"]}},
                {"type": "BODY", "text": "Your invoice {{1}} is attached."},
            ]),
        ),
        named,
        paused,
        rejected,
        sample(
            8,
            "login_code",
            "en",
            "AUTHENTICATION",
            json!([
                {"type": "BODY", "text": "{{1}} is your code."},
                {"type": "BUTTONS", "buttons": [
                    {"type": "URL", "text": "Copy code", "url": "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp{{1}}"},
                ]},
            ]),
        ),
    ]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn check(name: &str, components: &Value) -> Result<(), u32> {
        samples()
            .into_iter()
            .find(|template| template.name == name)
            .unwrap()
            .check(components.as_array().unwrap())
            .map_err(|error| error.code)
    }

    fn text(value: &str) -> Value {
        json!({"type": "text", "text": value})
    }

    #[test]
    fn what_a_template_needs_is_checked() {
        let button =
            json!({"type": "button", "sub_type": "url", "index": "0", "parameters": [text("A-1")]});
        let pdf = json!({"type": "header", "parameters": [{"type": "document", "document": {"link": "http://a/b"}}]});
        let body = |values: Vec<Value>| json!({"type": "body", "parameters": values});
        let named = |name: &str, value: &str| json!({"type": "text", "parameter_name": name, "text": value});
        for (name, components, expected) in [
            ("hello_world", json!([]), Ok(())),
            ("hello_world", json!([body(vec![text("x")])]), Err(132_000)),
            (
                "order_ready",
                json!([body(vec![text("Lena"), text("A-1")]), button]),
                Ok(()),
            ),
            (
                "order_ready",
                json!([body(vec![text("Lena")]), button]),
                Err(132_000),
            ),
            (
                "order_ready",
                json!([body(vec![text("Lena"), text("A-1")])]),
                Err(131_008),
            ),
            (
                "order_ready",
                json!([body(vec![text("a\nb"), text("A-1")]), button]),
                Err(132_018),
            ),
            (
                "order_ready",
                json!([body(vec![text(&"x".repeat(1020)), text("A-1")]), button]),
                Err(132_005),
            ),
            ("invoice", json!([body(vec![text("7")])]), Err(132_000)),
            ("invoice", json!([pdf, body(vec![text("7")])]), Ok(())),
            (
                "invoice",
                json!([{"type": "header", "parameters": [text("x")]}, body(vec![text("7")])]),
                Err(132_012),
            ),
            (
                "appointment_reminder",
                json!([body(vec![named("first_name", "A"), named("day", "B")])]),
                Ok(()),
            ),
            (
                "appointment_reminder",
                json!([body(vec![text("A"), text("B")])]),
                Err(100),
            ),
            ("spring_sale", json!([]), Err(132_015)),
            ("win_a_prize", json!([]), Err(132_001)),
        ] {
            assert_eq!(check(name, &components), expected, "{name} {components}");
        }
    }
}
