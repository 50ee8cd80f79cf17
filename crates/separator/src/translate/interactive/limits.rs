//! What Meta demands of an interactive message: told before it is stored, each at its field.
//! Source: Meta, "Cloud API: interactive messages" and "Calling: call permission requests, call buttons".

use serde_json::{Map, Value};
use url::Url;

use super::{bare, is_number};
use crate::translate::template::marks;

/// Characters of a header's text.
pub const HEADER: usize = 60;
/// Characters of a body; newer pages of Meta allow lists more.
pub const BODY: usize = 1024;
/// Characters of a footer.
pub const FOOTER: usize = 60;
/// Characters on a button, and on the one that opens a list.
pub const BUTTON: usize = 20;
/// Characters of a row's title.
pub const ROW: usize = 24;
/// Characters of a row's description.
pub const DESCRIPTION: usize = 72;
/// Characters of a section's title.
pub const SECTION: usize = 24;
/// Characters of an address.
pub const URL: usize = 2000;
/// Reply buttons.
pub const BUTTONS: usize = 3;
/// Rows of a list in all its sections.
pub const ROWS: usize = 10;
/// Characters of a button's id.
const BUTTON_ID: usize = 256;
/// Characters of a row's id.
const ROW_ID: usize = 200;
/// Minutes for which a call button works.
const TTL: std::ops::RangeInclusive<i64> = 1..=43_200;
/// Characters of what comes back with the call of a call button.
const PAYLOAD: usize = 512;

/// The kinds that can be stored.
pub const KINDS: [&str; 5] = [
    "button",
    "list",
    "cta_url",
    "voice_call",
    "call_permission_request",
];

/// Something that Meta would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, such as `action.buttons[0].reply.title`; empty: the whole.
    pub field: String,
    /// What is wrong, as the end of a sentence that begins with the field.
    pub message: String,
}

/// Everything that Meta would refuse in a message.
pub fn faults(content: &Value) -> Vec<Fault> {
    let mut check = Check { faults: Vec::new() };
    check.message(content);
    check.places(content);
    check.faults
}

/// A title that two of its buttons, or two rows of a section, have.
pub(super) fn same_title(content: &Value) -> Option<String> {
    let titles = |items: &Value, title: fn(&Value) -> &Value| -> Vec<String> {
        let items = items.as_array().into_iter().flatten();
        items
            .filter_map(|item| title(item).as_str().map(|title| title.trim().to_owned()))
            .collect()
    };
    let twice = |titles: Vec<String>| {
        let again = |index: usize| titles[..index].contains(&titles[index]);
        (0..titles.len())
            .find(|index| again(*index))
            .map(|index| titles[index].clone())
    };
    let action = &content["action"];
    let of_buttons = twice(titles(
        &action["buttons"],
        |button| &button["reply"]["title"],
    ));
    let mut sections = action["sections"].as_array().into_iter().flatten();
    of_buttons.or_else(|| {
        sections.find_map(|section| twice(titles(&section["rows"], |row| &row["title"])))
    })
}

struct Check {
    faults: Vec<Fault>,
}

impl Check {
    fn fault(&mut self, field: &str, message: impl Into<String>) {
        self.faults.push(Fault {
            field: field.to_owned(),
            message: message.into(),
        });
    }

    /// An object with no other keys than these.
    fn object<'a>(
        &mut self,
        field: &str,
        value: &'a Value,
        keys: &[&str],
    ) -> Option<&'a Map<String, Value>> {
        let Some(object) = value.as_object() else {
            let message = if value.is_null() {
                "is required"
            } else {
                "must be an object"
            };
            self.fault(field, message);
            return None;
        };
        for key in object.keys().filter(|key| !keys.contains(&key.as_str())) {
            let inner = within(field, key);
            self.fault(&inner, "has no place in this kind of message");
        }
        Some(object)
    }

    fn list<'a>(&mut self, field: &str, value: &'a Value) -> &'a [Value] {
        value.as_array().map_or_else(
            || {
                self.fault(field, "must be a list");
                &[][..]
            },
            Vec::as_slice,
        )
    }

    fn text(&mut self, field: &str, value: Option<&Value>, most: usize) {
        let text = match value {
            None | Some(Value::Null) => return self.fault(field, "is required"),
            Some(Value::String(text)) => text,
            Some(_) => return self.fault(field, "must be text"),
        };
        let length = text.chars().count();
        if text.trim().is_empty() {
            self.fault(field, "must not be empty");
        } else if length > most {
            self.fault(
                field,
                format!("has {length} characters; at most {most} are taken"),
            );
        }
    }

    fn message(&mut self, content: &Value) {
        let keys = ["type", "header", "body", "footer", "action"];
        let Some(object) = self.object("", content, &keys) else {
            return;
        };
        let kind = content["type"].as_str().unwrap_or_default();
        if !KINDS.contains(&kind) {
            let known = KINDS.join(", ");
            return self.fault("type", format!("must be one of {known}"));
        }
        let plain = matches!(kind, "voice_call" | "call_permission_request");
        for part in ["header", "footer"] {
            if plain && object.contains_key(part) {
                self.fault(part, "has no place in this kind of message");
            }
        }
        if let Some(header) = object.get("header").filter(|_| !plain) {
            self.header(header, kind);
        }
        match object.get("body") {
            None if kind == "call_permission_request" => {}
            body => self.part("body", body.unwrap_or(&Value::Null), BODY),
        }
        if let Some(footer) = object.get("footer").filter(|_| !plain) {
            self.part("footer", footer, FOOTER);
        }
        let action = &content["action"];
        match kind {
            "button" => self.buttons(action),
            "list" => self.sections(action),
            "cta_url" => self.link(action),
            "voice_call" => self.call(action),
            _ => {
                if self.object("action", action, &["name"]).is_some() {
                    self.named(action, kind);
                }
            }
        }
    }

    fn part(&mut self, field: &str, value: &Value, most: usize) {
        if let Some(part) = self.object(field, value, &["text"]) {
            self.text(&within(field, "text"), part.get("text"), most);
        }
    }

    fn header(&mut self, header: &Value, of: &str) {
        let kind = header["type"].as_str().unwrap_or_default();
        let kinds: &[&str] = match of {
            "list" => &["text"],
            _ => &["text", "image", "video", "document"],
        };
        if !kinds.contains(&kind) {
            let known = kinds.join(", ");
            return self.fault("header.type", format!("must be one of {known}"));
        }
        let Some(object) = self.object("header", header, &["type", kind]) else {
            return;
        };
        if kind == "text" {
            return self.text("header.text", object.get("text"), HEADER);
        }
        let field = within("header", kind);
        let keys: &[&str] = match kind {
            "document" => &["link", "filename"],
            _ => &["link"],
        };
        if let Some(file) = self.object(&field, &header[kind], keys) {
            self.address(&within(&field, "link"), file.get("link"));
            if let Some(name) = file.get("filename") {
                self.text(&within(&field, "filename"), Some(name), 240);
            }
        }
    }

    fn address(&mut self, field: &str, value: Option<&Value>) {
        let before = self.faults.len();
        self.text(field, value, URL);
        let text = value.and_then(Value::as_str).unwrap_or_default();
        // Places stand for something that is no part of an address' form.
        let tried = text.replace(['{', '}'], "");
        let good = Url::parse(tried.trim())
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if self.faults.len() == before && !good {
            self.fault(
                field,
                "must be a whole address, beginning with https:// or http://",
            );
        }
    }

    fn named(&mut self, action: &Value, name: &str) {
        if action["name"] != name {
            self.fault("action.name", format!("must be {name}"));
        }
    }

    fn buttons(&mut self, action: &Value) {
        let Some(object) = self.object("action", action, &["buttons"]) else {
            return;
        };
        let field = "action.buttons";
        let buttons = self.list(field, object.get("buttons").unwrap_or(&Value::Null));
        if !(1..=BUTTONS).contains(&buttons.len()) {
            self.fault(field, format!("must be 1 to {BUTTONS}"));
        }
        let mut ids = Vec::new();
        let mut titles = Vec::new();
        for (index, button) in buttons.iter().enumerate() {
            let field = format!("{field}[{index}]");
            if self.object(&field, button, &["type", "reply"]).is_none() {
                continue;
            }
            if button["type"] != "reply" {
                self.fault(&within(&field, "type"), "must be reply");
            }
            let field = within(&field, "reply");
            let Some(reply) = self.object(&field, &button["reply"], &["id", "title"]) else {
                continue;
            };
            self.text(&within(&field, "title"), reply.get("title"), BUTTON);
            self.once(&within(&field, "title"), reply.get("title"), &mut titles);
            self.text(&within(&field, "id"), reply.get("id"), BUTTON_ID);
            self.once(&within(&field, "id"), reply.get("id"), &mut ids);
        }
    }

    fn once(&mut self, field: &str, value: Option<&Value>, known: &mut Vec<String>) {
        let Some(text) = value.and_then(Value::as_str).map(str::trim) else {
            return;
        };
        if !text.is_empty() && known.iter().any(|other| other == text) {
            self.fault(field, "is there already; each must be another");
        }
        known.push(text.to_owned());
    }

    fn sections(&mut self, action: &Value) {
        let Some(object) = self.object("action", action, &["button", "sections"]) else {
            return;
        };
        self.text("action.button", object.get("button"), BUTTON);
        let field = "action.sections";
        let sections = self.list(field, object.get("sections").unwrap_or(&Value::Null));
        let mut count = 0;
        let mut ids = Vec::new();
        for (index, section) in sections.iter().enumerate() {
            let field = format!("{field}[{index}]");
            let Some(object) = self.object(&field, section, &["title", "rows"]) else {
                continue;
            };
            let title = object.get("title");
            if sections.len() > 1 || title.is_some() {
                self.text(&within(&field, "title"), title, SECTION);
            }
            let field = within(&field, "rows");
            let rows = self.list(&field, object.get("rows").unwrap_or(&Value::Null));
            if rows.is_empty() {
                self.fault(&field, "must have at least one row");
            }
            count += rows.len();
            let mut titles = Vec::new();
            for (index, row) in rows.iter().enumerate() {
                let field = format!("{field}[{index}]");
                let keys = ["id", "title", "description"];
                let Some(object) = self.object(&field, row, &keys) else {
                    continue;
                };
                self.text(&within(&field, "title"), object.get("title"), ROW);
                self.once(&within(&field, "title"), object.get("title"), &mut titles);
                if let Some(description) = object.get("description") {
                    let field = within(&field, "description");
                    self.text(&field, Some(description), DESCRIPTION);
                }
                self.text(&within(&field, "id"), object.get("id"), ROW_ID);
                self.once(&within(&field, "id"), object.get("id"), &mut ids);
            }
        }
        if !(1..=ROWS).contains(&sections.len()) {
            self.fault(field, format!("must be 1 to {ROWS}"));
        } else if count > ROWS {
            self.fault(
                field,
                format!("have {count} rows; at most {ROWS} are taken in all"),
            );
        }
    }

    fn link(&mut self, action: &Value) {
        if self
            .object("action", action, &["name", "parameters"])
            .is_none()
        {
            return;
        }
        self.named(action, "cta_url");
        let field = "action.parameters";
        let keys = ["display_text", "url"];
        if let Some(object) = self.object(field, &action["parameters"], &keys) {
            let label = object.get("display_text");
            self.text("action.parameters.display_text", label, BUTTON);
            self.address("action.parameters.url", object.get("url"));
        }
    }

    fn call(&mut self, action: &Value) {
        if self
            .object("action", action, &["name", "parameters"])
            .is_none()
        {
            return;
        }
        self.named(action, "voice_call");
        let field = "action.parameters";
        let keys = ["display_text", "ttl_minutes", "payload"];
        let Some(object) = self.object(field, &action["parameters"], &keys) else {
            return;
        };
        let label = object.get("display_text");
        self.text("action.parameters.display_text", label, BUTTON);
        if let Some(minutes) = object.get("ttl_minutes")
            && !minutes
                .as_i64()
                .is_some_and(|minutes| TTL.contains(&minutes))
        {
            self.fault(
                "action.parameters.ttl_minutes",
                format!(
                    "must be a whole number from {} to {}",
                    TTL.start(),
                    TTL.end()
                ),
            );
        }
        if let Some(payload) = object.get("payload") {
            self.text("action.parameters.payload", Some(payload), PAYLOAD);
        }
    }

    /// Places have numbers from 1, or names.
    fn places(&mut self, content: &Value) {
        let mut names: Vec<(String, String)> = Vec::new();
        for text in super::texts(content) {
            let written = content.pointer(&text.at).and_then(Value::as_str);
            for mark in marks(written.unwrap_or_default(), true) {
                names.push((bare(&mark).to_owned(), field_of(&text.at)));
            }
        }
        let numbered = names.iter().any(|(name, _)| is_number(name));
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        for (name, field) in &names {
            if name.is_empty() || !name.bytes().all(good) {
                self.fault(
                    field,
                    format!(
                        "has the place {{{{{name}}}}}; names are lower-case letters, digits and underscores"
                    ),
                );
            } else if numbered && !is_number(name) {
                self.fault(
                    field,
                    format!(
                        "has the place {{{{{name}}}}} beside numbered ones; give all numbers or all names"
                    ),
                );
            }
        }
        let mut numbers: Vec<u32> = names
            .iter()
            .filter_map(|(name, _)| name.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let gap = (1..).zip(&numbers).find(|(wanted, found)| wanted != *found);
        if let Some((wanted, _)) = gap {
            let field = names.first().map_or("", |(_, field)| field.as_str());
            self.fault(
                field,
                format!("lacks the place {{{{{wanted}}}}}: places are numbered from 1"),
            );
        }
    }
}

fn within(field: &str, key: &str) -> String {
    if field.is_empty() {
        key.to_owned()
    } else {
        format!("{field}.{key}")
    }
}

/// A JSON pointer as fields are named: `/a/0/b` is `a[0].b`.
fn field_of(pointer: &str) -> String {
    pointer
        .split('/')
        .filter(|key| !key.is_empty())
        .fold(String::new(), |field, key| {
            if is_number(key) {
                format!("{field}[{key}]")
            } else {
                within(&field, key)
            }
        })
}
