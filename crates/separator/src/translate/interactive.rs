//! Interactive messages that are stored here: buttons, lists, links, calls and the question whether one may call.
//!
//! A stored message is Meta's object with places such as `{{1}}` in its texts. A code names it and gives the values; what
//! does not fit is a [`Refusal`]. Source: Meta, "Cloud API: interactive messages".

pub mod limits;

use std::collections::HashMap;

use serde_json::Value;
use url::Url;

use super::{
    code::Code,
    template::{Part, Refusal, acceptable, filled, marks, nearest},
};

/// A message that is stored, with its places.
#[derive(Debug, Clone, PartialEq)]
pub struct Interactive {
    /// By which codes name it.
    pub name: String,
    /// Meta's object. Only what [`limits::faults`] has nothing against is stored.
    pub content: Value,
}

/// A message whose places are filled.
#[derive(Debug, Clone, PartialEq)]
pub struct Filled {
    /// Name of the stored message.
    pub name: String,
    /// Meta's object, ready to be sent.
    pub content: Value,
    /// What the customer sees, with WhatsApp's marks.
    pub shown: String,
}

/// A text inside a message.
struct Text {
    /// Where it stands (JSON pointer).
    at: String,
    /// What it is.
    part: Part,
    /// How long it may be, in characters.
    limit: usize,
}

impl Interactive {
    /// The places in the order in which a code fills them, such as `{{1}}`: numbered ones by their number, named ones as
    /// they appear in header, body, footer and buttons.
    pub fn places(&self) -> Vec<String> {
        let all: Vec<&str> = texts(&self.content)
            .iter()
            .filter_map(|text| self.content.pointer(&text.at)?.as_str())
            .collect();
        let all = all.join("\n");
        let named = marks(&all, true);
        let numbered = named.iter().all(|mark| is_number(bare(mark)));
        if numbered { marks(&all, false) } else { named }
    }

    /// The message as its places stand in it, for those who have to fill them.
    pub fn shape(&self) -> String {
        render(&self.content)
    }

    /// The code that sends it, with a mark for each value; ready to be copied and filled in.
    pub fn code(&self) -> String {
        let mut code = format!("interactive+{}", self.name);
        for place in self.places() {
            code.push('|');
            code.push_str(&place);
        }
        code
    }

    fn count(&self, wanted: usize, given: usize) -> Refusal {
        Refusal::InteractiveCount {
            name: self.name.clone(),
            wanted,
            given,
            shape: self.shape(),
            code: self.code(),
        }
    }
}

/// Makes of a code the message that it asks for. `stored` are those of the number's account; `attached` says whether a
/// file came with the code.
pub fn resolve(code: &Code, stored: &[Interactive], attached: bool) -> Result<Filled, Refusal> {
    let found = stored
        .iter()
        .find(|message| message.name == code.name)
        .or_else(|| {
            let same = |message: &&Interactive| message.name.eq_ignore_ascii_case(&code.name);
            stored.iter().find(same)
        });
    let Some(message) = found else {
        let names: Vec<String> = stored.iter().map(|message| message.name.clone()).collect();
        return Err(Refusal::NoInteractive {
            name: code.name.clone(),
            nearest: nearest(&code.name, &names),
        });
    };
    if attached || code.file.is_some() {
        let name = message.name.clone();
        return Err(Refusal::InteractiveFile { name });
    }
    let places = message.places();
    let values = assign(message, &places, &code.values)?;
    fill(message, &places, &values)
}

/// Fills a stored message with a value for each of its places, in their order.
pub fn fill_in_order(message: &Interactive, values: &[String]) -> Result<Filled, Refusal> {
    let places = message.places();
    if places.len() != values.len() {
        return Err(message.count(places.len(), values.len()));
    }
    fill(message, &places, values)
}

/// Gives each place its value: what is named first, then the rest in order.
fn assign(
    message: &Interactive,
    places: &[String],
    values: &[String],
) -> Result<Vec<String>, Refusal> {
    let mut given: Vec<Option<String>> = vec![None; places.len()];
    let mut rest = Vec::new();
    for value in values {
        let named = value.split_once(':').and_then(|(name, value)| {
            let name = name.trim();
            let place = places.iter().position(|place| bare(place) == name)?;
            (!is_number(name)).then_some((place, name, value))
        });
        match named {
            Some((place, name, _)) if given[place].is_some() => {
                let name = name.to_owned();
                return Err(Refusal::Twice { name });
            }
            Some((place, _, value)) => given[place] = Some(value.to_owned()),
            None => rest.push(value.clone()),
        }
    }
    let open = given.iter().filter(|value| value.is_none()).count();
    if open != rest.len() {
        return Err(message.count(places.len(), values.len()));
    }
    let mut rest = rest.into_iter();
    // As many are left as are open.
    Ok(given
        .into_iter()
        .map(|value| value.or_else(|| rest.next()).unwrap_or_default())
        .collect())
}

fn fill(message: &Interactive, places: &[String], values: &[String]) -> Result<Filled, Refusal> {
    for (index, value) in values.iter().enumerate() {
        if acceptable(value).is_empty() {
            let number = index + 1;
            return Err(Refusal::EmptyValue { number });
        }
    }
    let one_line: Vec<String> = values.iter().map(|value| acceptable(value)).collect();
    let pairs = |values: &[String]| -> HashMap<String, String> {
        places.iter().cloned().zip(values.iter().cloned()).collect()
    };
    let (as_written, one_line) = (pairs(values), pairs(&one_line));
    let mut content = message.content.clone();
    for Text { at, part, limit } in texts(&message.content) {
        let Some(Value::String(text)) = content.pointer_mut(&at) else {
            continue;
        };
        // Only the text itself has lines.
        let values = if part == Part::Body {
            &as_written
        } else {
            &one_line
        };
        let values = values
            .iter()
            .map(|(place, value)| (place.as_str(), value.trim()))
            .collect();
        *text = filled(text, &values);
        if part == Part::Button {
            *text = address(text).ok_or_else(|| Refusal::BadLink { link: text.clone() })?;
        }
        let length = text.chars().count();
        if length > limit {
            return Err(Refusal::TooLong {
                part,
                length,
                limit,
            });
        }
    }
    if let Some(title) = limits::same_title(&content) {
        return Err(Refusal::SameTitles { title });
    }
    Ok(Filled {
        name: message.name.clone(),
        shown: render(&content),
        content,
    })
}

/// An address of the web as Meta takes it: what has no place in one is encoded.
fn address(text: &str) -> Option<String> {
    let url = Url::parse(text.trim()).ok()?;
    let web = matches!(url.scheme(), "http" | "https") && url.has_host();
    web.then(|| url.to_string())
}

fn bare(mark: &str) -> &str {
    mark.trim_matches(['{', '}']).trim()
}

fn is_number(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// The texts of a message in the order in which the customer reads them; those that are not there are left out.
fn texts(content: &Value) -> Vec<Text> {
    let mut found = Vec::new();
    let mut add = |at: String, part: Part, limit: usize| {
        if content.pointer(&at).is_some_and(Value::is_string) {
            found.push(Text { at, part, limit });
        }
    };
    add("/header/text".to_owned(), Part::Header, limits::HEADER);
    add("/body/text".to_owned(), Part::Body, limits::BODY);
    add("/footer/text".to_owned(), Part::Footer, limits::FOOTER);
    let length = |at: &str| {
        let list = content.pointer(at).and_then(Value::as_array);
        list.map_or(0, Vec::len)
    };
    for button in 0..length("/action/buttons") {
        let at = format!("/action/buttons/{button}/reply/title");
        add(at, Part::Label, limits::BUTTON);
    }
    add("/action/button".to_owned(), Part::Label, limits::BUTTON);
    for section in 0..length("/action/sections") {
        let section = format!("/action/sections/{section}");
        add(format!("{section}/title"), Part::Label, limits::SECTION);
        for row in 0..length(&format!("{section}/rows")) {
            let row = format!("{section}/rows/{row}");
            add(format!("{row}/title"), Part::Label, limits::ROW);
            let at = format!("{row}/description");
            add(at, Part::Label, limits::DESCRIPTION);
        }
    }
    let parameters = "/action/parameters";
    let at = format!("{parameters}/display_text");
    add(at, Part::Label, limits::BUTTON);
    add(format!("{parameters}/url"), Part::Button, limits::URL);
    found
}

/// What the customer sees of a message.
fn render(content: &Value) -> String {
    let text = |at: &str| content.pointer(at).and_then(Value::as_str).unwrap_or("");
    let marked = |mark: &str, text: &str| match text {
        "" => String::new(),
        text => format!("{mark}{text}{mark}"),
    };
    let mut lines = vec![
        marked("*", text("/header/text")),
        text("/body/text").to_owned(),
        marked("_", text("/footer/text")),
    ];
    let kind = text("/header/type");
    if !matches!(kind, "" | "text") {
        lines.insert(0, text(&format!("/header/{kind}/link")).to_owned());
    }
    let items = |value: &Value, key: &str| -> Vec<Value> {
        value[key].as_array().cloned().unwrap_or_default()
    };
    for button in items(&content["action"], "buttons") {
        lines.push(format!(
            "[{}]",
            button["reply"]["title"].as_str().unwrap_or_default()
        ));
    }
    let label = text("/action/parameters/display_text");
    match text("/type") {
        "list" => lines.push(format!("[{}]", text("/action/button"))),
        "cta_url" => lines.push(format!("[{label} → {}]", text("/action/parameters/url"))),
        "voice_call" => lines.push(format!("[☎ {label}]")),
        "call_permission_request" => lines.push("[☎ ?]".to_owned()),
        _ => {}
    }
    for section in items(&content["action"], "sections") {
        lines.push(marked("*", section["title"].as_str().unwrap_or_default()));
        for row in items(&section, "rows") {
            let title = row["title"].as_str().unwrap_or_default();
            lines.push(match row["description"].as_str() {
                Some(description) if !description.is_empty() => {
                    format!("• {title} — {description}")
                }
                _ => format!("• {title}"),
            });
        }
    }
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

#[cfg(test)]
mod tests;
