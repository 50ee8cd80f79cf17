//! Whether a message that was made from a template can still be sent: the template may have been paused, refused or
//! changed since its values were filled in.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ButtonKind, Header, HeaderKind, MAX_BODY, Template, fill};

/// Why a message waits for its template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Unsendable {
    /// WhatsApp does not let it be sent at present.
    NotApproved {
        /// Meta's status.
        status: String,
    },
    /// It has other places than those that the message fills.
    Changed {
        /// The template with its places as it reads now.
        shape: String,
    },
    /// It is not in the account's catalogue any more.
    Gone,
}

/// The status of its template that Meta tells by refusing a message, at once or afterwards (Meta: error codes 132015,
/// 132016).
pub fn status_by(code: Option<i64>) -> Option<&'static str> {
    match code? {
        132_015 => Some("PAUSED"),
        132_016 => Some("DISABLED"),
        _ => None,
    }
}

/// The kind of the file in a header's parameters, as Meta takes them.
const FILES: [HeaderKind; 4] = [
    HeaderKind::Image,
    HeaderKind::Video,
    HeaderKind::Gif,
    HeaderKind::Document,
];

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The parameters of the component of a type.
fn parameters<'a>(components: &'a Value, kind: &str) -> &'a [Value] {
    components
        .as_array()
        .into_iter()
        .flatten()
        .find(|one| word(one, "type").eq_ignore_ascii_case(kind))
        .and_then(|one| one["parameters"].as_array())
        .map_or(&[], Vec::as_slice)
}

impl Template {
    /// Whether a message with these components, as Meta takes them, can be sent now. `file` is the file of the header
    /// where it stands beside them.
    pub fn takes(&self, components: &Value, file: Option<HeaderKind>) -> Result<(), Unsendable> {
        if !self.is_approved() {
            return Err(Unsendable::NotApproved {
                status: self.status.clone(),
            });
        }
        // What is more than a code can give comes from programs, which know what they send: Meta judges it.
        let fits = self.beyond.is_some()
            || self.fits_header(parameters(components, "header"), file)
                && self.fits_body(parameters(components, "body"))
                && self.fits_buttons(components);
        if fits {
            return Ok(());
        }
        Err(Unsendable::Changed {
            shape: self.shape(),
        })
    }

    fn fits_header(&self, given: &[Value], file: Option<HeaderKind>) -> bool {
        let in_parameters = given.first().map(|first| word(first, "type"));
        let kind = file.map(HeaderKind::as_str).or(in_parameters);
        let is_file = |kind: Option<&str>| FILES.iter().any(|known| Some(known.as_str()) == kind);
        match &self.header {
            Some(Header::Media(wanted)) => kind == Some(wanted.as_str()),
            Some(Header::Location) => kind == Some("location"),
            Some(Header::Text(text)) => {
                !is_file(kind) && kind != Some("location") && self.fits_text(text, given)
            }
            None => kind.is_none(),
        }
    }

    fn fits_body(&self, given: &[Value]) -> bool {
        let texts: usize = given
            .iter()
            .map(|one| word(one, "text").chars().count())
            .sum();
        let marks: usize = fill::marks(&self.body, self.named)
            .iter()
            .map(|mark| mark.chars().count())
            .sum();
        // A place that stands twice makes it longer still; that is Meta's to refuse.
        let length = self.body.chars().count().saturating_sub(marks) + texts;
        self.fits_text(&self.body, given) && length <= MAX_BODY
    }

    fn fits_text(&self, text: &str, given: &[Value]) -> bool {
        let wanted = fill::marks(text, self.named);
        let named = |mark: &String| {
            let name = fill::bare(mark);
            given.iter().any(|one| word(one, "parameter_name") == name)
        };
        wanted.len() == given.len()
            && if self.named {
                wanted.iter().all(named)
            } else {
                given.iter().all(|one| one["parameter_name"].is_null())
            }
    }

    /// Only buttons that take a value matter: others may have a parameter or none.
    fn fits_buttons(&self, components: &Value) -> bool {
        let password = !fill::marks(&self.body, self.named).is_empty();
        let wanted = self
            .buttons
            .iter()
            .enumerate()
            .filter_map(|(index, button)| {
                let kind = match &button.kind {
                    ButtonKind::Url(url) if !fill::marks(url, true).is_empty() => "url",
                    ButtonKind::Password if password => "url",
                    ButtonKind::CopyCode => "copy_code",
                    _ => return None,
                };
                Some((index.to_string(), kind.to_owned()))
            });
        let given = components
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| {
                let kind = word(one, "sub_type").to_ascii_lowercase();
                let index = match &one["index"] {
                    Value::String(index) => index.clone(),
                    other => other.to_string(),
                };
                let valued = word(one, "type").eq_ignore_ascii_case("button")
                    && matches!(kind.as_str(), "url" | "copy_code");
                valued.then_some((index, kind))
            });
        let sorted = |mut all: Vec<(String, String)>| {
            all.sort_unstable();
            all
        };
        sorted(wanted.collect()) == sorted(given.collect())
    }
}

/// Whether a message made from the template of a name and language can be sent now. A template that the catalogue does
/// not have is left to Meta, unless `strict`.
pub fn sendable(
    templates: &[Template],
    name: &str,
    language: &str,
    components: &Value,
    file: Option<HeaderKind>,
    strict: bool,
) -> Result<(), Unsendable> {
    let found = templates
        .iter()
        .find(|template| template.name == name && template.language == language);
    match found {
        Some(template) => template.takes(components, file),
        None if strict => Err(Unsendable::Gone),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(status: &str, format: &str, components: &Value) -> Template {
        Template::read("order_ready", "de", status, "UTILITY", format, components)
    }

    fn changed(result: &Result<(), Unsendable>) -> bool {
        matches!(result, Err(Unsendable::Changed { .. }))
    }

    #[test]
    fn what_a_template_made_it_takes_until_its_places_change() {
        let text = |text: &str| json!({ "type": "text", "text": text });
        let body = |text: &str| json!([{ "type": "BODY", "text": text }]);
        let sent = json!([
            { "type": "body", "parameters": [text("Lena"), text("A-1")] },
            { "type": "button", "sub_type": "url", "index": "1", "parameters": [text("A-1")] },
        ]);
        let buttons = |url: &str| {
            json!([
                { "type": "HEADER", "format": "DOCUMENT" },
                { "type": "BODY", "text": "Hallo {{1}}, {{2}} ist da." },
                { "type": "BUTTONS", "buttons": [
                    { "type": "QUICK_REPLY", "text": "Danke" },
                    { "type": "URL", "text": "Ansehen", "url": url },
                ]},
            ])
        };
        let dynamic = template(
            "APPROVED",
            "POSITIONAL",
            &buttons("https://a.example/{{1}}"),
        );
        let document = Some(HeaderKind::Document);
        assert_eq!(dynamic.takes(&sent, document), Ok(()));
        assert!(changed(&dynamic.takes(&sent, None)), "its file is missing");
        assert!(changed(&dynamic.takes(&sent, Some(HeaderKind::Image))));
        let fixed = template("APPROVED", "POSITIONAL", &buttons("https://a.example/"));
        assert!(changed(&fixed.takes(&sent, document)));
        let paused = template("PAUSED", "POSITIONAL", &buttons("https://a.example/{{1}}"));
        let status = "PAUSED".to_owned();
        assert_eq!(
            paused.takes(&sent, document),
            Err(Unsendable::NotApproved { status })
        );

        let two = json!([{ "type": "body", "parameters": [text("Lena"), text("A-1")] }]);
        for (now, fits) in [
            ("Guten Tag {{1}}: {{2}} wartet.", true),
            ("Guten Tag {{1}}: {{2}} wartet, {{1}}.", true),
            ("Guten Tag {{1}}: wartet.", false),
            ("Guten Tag {{1}}: {{2}} am {{3}}.", false),
        ] {
            let template = template("APPROVED", "POSITIONAL", &body(now));
            assert_eq!(template.takes(&two, None).is_ok(), fits, "{now}");
        }
        let long = format!("{} {{{{1}}}} und {{{{2}}}}.", "x".repeat(1020));
        assert!(changed(
            &template("APPROVED", "POSITIONAL", &body(&long)).takes(&two, None)
        ));
    }

    #[test]
    fn names_of_places_count_and_what_is_beyond_a_code_is_left_to_meta() {
        let named = |name: &str| {
            json!([{ "type": "body", "parameters": [
                { "type": "text", "parameter_name": name, "text": "Lena" }] }])
        };
        let body = json!([{ "type": "BODY", "text": "Hallo {{first_name}}!" }]);
        let template = template("APPROVED", "NAMED", &body);
        assert_eq!(template.takes(&named("first_name"), None), Ok(()));
        assert!(changed(&template.takes(&named("name"), None)));
        let carousel =
            json!([{ "type": "BODY", "text": "Hi {{1}}" }, { "type": "CAROUSEL", "cards": [] }]);
        let carousel = self::template("APPROVED", "POSITIONAL", &carousel);
        assert_eq!(carousel.takes(&json!([]), None), Ok(()));
        let empty = json!([]);
        assert_eq!(sendable(&[], "x", "de", &empty, None, false), Ok(()));
        assert_eq!(
            sendable(&[], "x", "de", &empty, None, true),
            Err(Unsendable::Gone)
        );
    }
}
