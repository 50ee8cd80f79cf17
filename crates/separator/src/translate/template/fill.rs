//! Which value fills which place, and whether Meta would take the result.

use std::collections::HashMap;

use serde_json::{Value, json};
use url::Url;

use super::{
    super::code::{Code, strip_word},
    ButtonKind, Filled, Header, HeaderFile, Languages, MAX_BODY, MAX_HEADER, MAX_URL, Part,
    Refusal, Template, choose,
};

/// Marks the value of a button.
const BUTTON: &str = "button_param:";
/// Marks the place on the map in the header.
const LOCATION: &str = "location:";
/// More spaces in a row than Meta takes in a value (Meta: error 132018).
const MOST_SPACES: usize = 4;

/// One value that a template takes; a named one may stand in several places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    at: At,
    /// The place as it stands in the text, such as `{{1}}`.
    pub(super) mark: String,
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Header,
    Body,
    /// In the header and the body under the same name.
    Both,
    Button(usize),
}

/// The values that a template takes, in the order in which a code gives them: header, body, buttons.
pub(super) fn slots(template: &Template) -> Vec<Slot> {
    let mut slots: Vec<Slot> = Vec::new();
    if let Some(Header::Text(text)) = &template.header {
        for mark in marks(text, template.named) {
            slots.push(Slot {
                at: At::Header,
                mark,
            });
        }
    }
    for mark in marks(&template.body, template.named) {
        let known = slots
            .iter_mut()
            .find(|slot| template.named && slot.mark == mark);
        match known {
            Some(slot) => slot.at = At::Both,
            None => slots.push(Slot { at: At::Body, mark }),
        }
    }
    for (index, button) in template.buttons.iter().enumerate() {
        let mark = match &button.kind {
            ButtonKind::Url(url) => marks(url, true).into_iter().next(),
            ButtonKind::CopyCode => Some("{{code}}".to_owned()),
            ButtonKind::Password | ButtonKind::Other => None,
        };
        slots.extend(mark.map(|mark| Slot {
            at: At::Button(index),
            mark,
        }));
    }
    slots
}

/// A value that a form asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `header`, `body` or `button`.
    pub part: &'static str,
    /// The place as it stands in the text, such as `{{1}}`; a button's `{{code}}` is the code that it copies.
    pub mark: String,
    /// What is written on the button, where it is one.
    pub button: Option<String>,
}

/// The values that a template takes, in the order of [`fill_in_order`].
pub fn value_places(template: &Template) -> Vec<Place> {
    let place = |slot: Slot| {
        let (part, button) = match slot.at {
            At::Header => ("header", None),
            At::Body | At::Both => ("body", None),
            At::Button(index) => (
                "button",
                template
                    .buttons
                    .get(index)
                    .map(|button| button.text.clone()),
            ),
        };
        Place {
            part,
            mark: slot.mark,
            button,
        }
    };
    slots(template).into_iter().map(place).collect()
}

/// Makes a message of a template and of a value for each of its places, as a form has them: header, body, buttons.
/// `file` is the address of the header's file, `location` the place on the map as `latitude,longitude,name,address`.
pub fn fill_in_order(
    template: &Template,
    values: &[String],
    file: Option<&str>,
    location: Option<&str>,
) -> Result<Filled, Refusal> {
    if !template.is_approved() {
        return Err(Refusal::NotApproved {
            name: template.name.clone(),
            language: template.language.clone(),
            status: template.status.clone(),
        });
    }
    if let Some(what) = &template.beyond {
        return Err(Refusal::Beyond {
            name: template.name.clone(),
            what: what.clone(),
        });
    }
    let slots = slots(template);
    if slots.len() != values.len() {
        return Err(Refusal::Count {
            name: template.name.clone(),
            wanted: slots.len(),
            given: values.len(),
            shape: template.shape(),
            code: template.code(),
        });
    }
    let values = values
        .iter()
        .enumerate()
        .map(|(index, value)| checked(index + 1, value))
        .collect::<Result<Vec<String>, Refusal>>()?;
    let place = location.map(|place| format!("{LOCATION}{place}"));
    let (place, _) = take_location(template, place.as_slice())?;
    let mut code = Code::template(&template.name, Some(&template.language));
    code.file = file.map(str::to_owned);
    let header = header_file(template, &code, false)?;
    write(template, &slots, &values, place, header)
}

/// The places of a text without repetitions: named ones as they appear, numbered ones by their number.
pub(in crate::translate) fn marks(text: &str, named: bool) -> Vec<String> {
    let mut marks: Vec<String> = Vec::new();
    for (mark, _) in places(text) {
        if !marks.iter().any(|known| known == mark) {
            marks.push(mark.to_owned());
        }
    }
    if !named {
        let number = |mark: &String| mark.trim_matches(['{', '}']).trim().parse::<u32>().ok();
        marks.sort_by_key(|mark| number(mark).unwrap_or(u32::MAX));
    }
    marks
}

/// The places of a text, each with where it begins.
fn places(text: &str) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find("{{").map(|start| from + start) {
        let Some(end) = text[start..].find("}}").map(|end| start + end + 2) else {
            break;
        };
        found.push((&text[start..end], start));
        from = end;
    }
    found
}

/// The text with its places filled; one that has no value stays as it is.
pub(in crate::translate) fn filled(text: &str, values: &HashMap<&str, &str>) -> String {
    let mut written = String::with_capacity(text.len());
    let mut from = 0;
    for (mark, start) in places(text) {
        written.push_str(&text[from..start]);
        written.push_str(values.get(mark).copied().unwrap_or(mark));
        from = start + mark.len();
    }
    written.push_str(&text[from..]);
    written
}

/// A value as Meta takes it: no line breaks, no tabs, no long runs of spaces.
pub fn acceptable(value: &str) -> String {
    let mut written = String::with_capacity(value.len());
    let mut space = String::new();
    let end = |space: &mut String, written: &mut String| {
        let plain = space.chars().all(|character| character == ' ');
        if plain && space.len() <= MOST_SPACES {
            written.push_str(space);
        } else if !space.is_empty() {
            written.push(' ');
        }
        space.clear();
    };
    for character in value.trim().chars() {
        if character.is_whitespace() && character != '\u{a0}' || character.is_control() {
            space.push(if character == ' ' { ' ' } else { '\n' });
        } else {
            end(&mut space, &mut written);
            written.push(character);
        }
    }
    written
}

/// What a template looks like, each text of it passed through `fill`.
pub(super) fn render(template: &Template, fill: &dyn Fn(&str) -> String) -> String {
    let mut lines = Vec::new();
    if let Some(Header::Text(text)) = &template.header {
        lines.push(format!("*{}*", fill(text)));
    }
    lines.push(fill(&template.body));
    if let Some(footer) = template.footer.as_deref().filter(|text| !text.is_empty()) {
        lines.push(format!("_{footer}_"));
    }
    for button in &template.buttons {
        lines.push(match &button.kind {
            ButtonKind::Url(url) => format!("[{} → {}]", button.text, fill(url)),
            _ if button.text.is_empty() => continue,
            _ => format!("[{}]", button.text),
        });
    }
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

/// Makes of a code the message that it asks for. `templates` are those of the number's account; `attached` says whether
/// a file came with the code.
pub fn resolve(
    code: &Code,
    templates: &[Template],
    languages: Languages<'_>,
    attached: bool,
) -> Result<Filled, Refusal> {
    let template = choose::choose(&code.name, code.language.as_deref(), templates, languages)?;
    if let Some(what) = &template.beyond {
        return Err(Refusal::Beyond {
            name: template.name.clone(),
            what: what.clone(),
        });
    }
    let slots = slots(template);
    if let ([value], None, true) = (code.values.as_slice(), &code.language, slots.is_empty())
        && template.header.as_ref() != Some(&Header::Location)
        && value.len() <= 16
        && value.bytes().all(|byte| byte.is_ascii_alphabetic())
    {
        // `template-hello_world+english`: a language was meant.
        let approved: Vec<&Template> = templates
            .iter()
            .filter(|other| other.name == template.name && other.is_approved())
            .collect();
        return Err(choose::unknown_language(&template.name, value, &approved));
    }
    let (place, values) = take_location(template, &code.values)?;
    let values = assign(template, &slots, &values)?;
    let header = header_file(template, code, attached)?;
    write(template, &slots, &values, place, header)
}

/// Takes the place on the map out of the values, where the header has one.
fn take_location(
    template: &Template,
    values: &[String],
) -> Result<(Option<Value>, Vec<String>), Refusal> {
    if template.header != Some(Header::Location) {
        return Ok((None, values.to_vec()));
    }
    let found = values
        .iter()
        .position(|value| strip_word(value, LOCATION).is_some())
        .ok_or(Refusal::LocationMissing)?;
    let mut values = values.to_vec();
    let text = values.remove(found);
    let mut parts = strip_word(&text, LOCATION)
        .unwrap_or_default()
        .splitn(4, ',')
        .map(str::trim);
    let degrees = |text: Option<&str>, most: f64| {
        text.and_then(|text| text.parse::<f64>().ok())
            .filter(|degrees| degrees.abs() <= most)
    };
    let (Some(latitude), Some(longitude)) =
        (degrees(parts.next(), 90.0), degrees(parts.next(), 180.0))
    else {
        return Err(Refusal::LocationMissing);
    };
    let mut place = json!({ "latitude": latitude, "longitude": longitude });
    for (key, text) in [("name", parts.next()), ("address", parts.next())] {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            place[key] = json!(acceptable(text));
        }
    }
    Ok((Some(place), values))
}

/// Gives each slot its value: what is named first, then the rest in order.
fn assign(template: &Template, slots: &[Slot], values: &[String]) -> Result<Vec<String>, Refusal> {
    let mut given: Vec<Option<String>> = vec![None; slots.len()];
    let mut rest: Vec<(usize, &str)> = Vec::new();
    let buttons: Vec<usize> = (0..slots.len())
        .filter(|index| matches!(slots[*index].at, At::Button(_)))
        .collect();
    let mut for_buttons = 0;
    for (index, value) in values.iter().enumerate() {
        if let Some(value) = strip_word(value, BUTTON) {
            if let Some(slot) = buttons.get(for_buttons) {
                given[*slot] = Some(checked(index + 1, value)?);
            }
            for_buttons += 1;
            continue;
        }
        match named_slot(template, slots, value)? {
            Some((slot, value)) => {
                if given[slot].is_some() {
                    return Err(Refusal::Twice {
                        name: bare(&slots[slot].mark).to_owned(),
                    });
                }
                given[slot] = Some(checked(index + 1, value)?);
            }
            None => rest.push((index + 1, value)),
        }
    }
    if for_buttons > buttons.len() {
        return Err(Refusal::ButtonCount {
            wanted: buttons.len(),
            given: for_buttons,
        });
    }
    let open = given.iter().filter(|value| value.is_none()).count();
    if open != rest.len() {
        return Err(Refusal::Count {
            name: template.name.clone(),
            wanted: slots.len(),
            given: values.len(),
            shape: template.shape(),
            code: template.code(),
        });
    }
    // As many are left as are open.
    let mut rest = rest.into_iter();
    given
        .into_iter()
        .map(|value| match value {
            Some(value) => Ok(value),
            None => rest
                .next()
                .map_or(Ok(String::new()), |(number, value)| checked(number, value)),
        })
        .collect()
}

/// The slot that `name:value` names, where the template's places have names.
fn named_slot<'a>(
    template: &Template,
    slots: &[Slot],
    value: &'a str,
) -> Result<Option<(usize, &'a str)>, Refusal> {
    let Some((name, rest)) = value.split_once(':').filter(|_| template.named) else {
        return Ok(None);
    };
    let name = name.trim();
    let of_text = |slot: &&Slot| !matches!(slot.at, At::Button(_));
    let found = slots
        .iter()
        .position(|slot| of_text(&slot) && bare(&slot.mark) == name);
    if let Some(slot) = found {
        return Ok(Some((slot, rest)));
    }
    // `12:30` and `https://…` are values; a word with an underscore, or one that comes close to a name, is a name.
    let names: Vec<String> = slots
        .iter()
        .filter(of_text)
        .map(|slot| bare(&slot.mark).to_owned())
        .collect();
    let like_a_name = !name.is_empty()
        && name.starts_with(|character: char| character.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !rest.starts_with("//");
    let close = names.iter().any(|known| known.eq_ignore_ascii_case(name));
    if like_a_name && (name.contains('_') || close) {
        return Err(Refusal::UnknownValue {
            name: name.to_owned(),
            names,
        });
    }
    Ok(None)
}

pub(super) fn bare(mark: &str) -> &str {
    mark.trim_matches(['{', '}']).trim()
}

fn checked(number: usize, value: &str) -> Result<String, Refusal> {
    let value = acceptable(value);
    if value.is_empty() {
        return Err(Refusal::EmptyValue { number });
    }
    let is_mark = value
        .strip_prefix("{{")
        .and_then(|rest| rest.strip_suffix("}}"))
        .is_some_and(|name| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b' '))
        });
    if is_mark {
        return Err(Refusal::NotFilled {
            number,
            mark: value,
        });
    }
    Ok(value)
}

fn header_file(
    template: &Template,
    code: &Code,
    attached: bool,
) -> Result<Option<HeaderFile>, Refusal> {
    let kind = match &template.header {
        Some(Header::Media(kind)) => *kind,
        _ if code.file.is_some() || attached => {
            return Err(Refusal::NoPlaceForFile {
                name: template.name.clone(),
            });
        }
        _ => return Ok(None),
    };
    let link = match &code.file {
        Some(link) => {
            let good = Url::parse(link)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            if !good {
                return Err(Refusal::BadLink { link: link.clone() });
            }
            Some(link.clone())
        }
        None if attached => None,
        None => return Err(Refusal::FileMissing { kind }),
    };
    Ok(Some(HeaderFile { kind, link }))
}

fn write(
    template: &Template,
    slots: &[Slot],
    values: &[String],
    place: Option<Value>,
    header: Option<HeaderFile>,
) -> Result<Filled, Refusal> {
    let of = |at: fn(At) -> bool| -> Vec<(&Slot, &String)> {
        slots
            .iter()
            .zip(values)
            .filter(|(slot, _)| at(slot.at))
            .collect()
    };
    let (in_header, in_body) = (
        of(|at| matches!(at, At::Header | At::Both)),
        of(|at| matches!(at, At::Body | At::Both)),
    );
    let text_of = |text: &str, pairs: &[(&Slot, &String)]| {
        let values = pairs
            .iter()
            .map(|(slot, value)| (slot.mark.as_str(), value.as_str()))
            .collect();
        filled(text, &values)
    };
    let mut components = Vec::new();
    if let Some(Header::Text(text)) = &template.header {
        fits(Part::Header, &text_of(text, &in_header), MAX_HEADER)?;
        if !in_header.is_empty() {
            let parameters = parameters(template, &in_header);
            components.push(json!({ "type": "header", "parameters": parameters }));
        }
    }
    if let Some(place) = place {
        let parameters = json!([{ "type": "location", "location": place }]);
        components.push(json!({ "type": "header", "parameters": parameters }));
    }
    fits(Part::Body, &text_of(&template.body, &in_body), MAX_BODY)?;
    if !in_body.is_empty() {
        let parameters = parameters(template, &in_body);
        components.push(json!({ "type": "body", "parameters": parameters }));
    }
    let mut urls: HashMap<String, String> = HashMap::new();
    for (index, button) in template.buttons.iter().enumerate() {
        let value = slots
            .iter()
            .zip(values)
            .find(|(slot, _)| slot.at == At::Button(index))
            .map(|(slot, value)| (slot.mark.as_str(), value.as_str()));
        let (kind, parameter) = match (&button.kind, value) {
            (ButtonKind::Url(url), Some((mark, value))) => {
                // The value replaces the place only; who gives the whole address means the same.
                let fixed = url.split(mark).next().unwrap_or_default();
                let value = value
                    .strip_prefix(fixed)
                    .filter(|rest| !rest.is_empty())
                    .unwrap_or(value);
                let whole = filled(url, &HashMap::from([(mark, value)]));
                fits(Part::Button, &whole, MAX_URL)?;
                urls.insert(url.clone(), whole);
                ("url", json!({ "type": "text", "text": value }))
            }
            (ButtonKind::CopyCode, Some((_, value))) => (
                "copy_code",
                json!({ "type": "coupon_code", "coupon_code": value }),
            ),
            (ButtonKind::Password, _) => match in_body.first() {
                Some((_, password)) => ("url", json!({ "type": "text", "text": password })),
                None => continue,
            },
            _ => continue,
        };
        components.push(json!({
            "type": "button",
            "sub_type": kind,
            "index": index.to_string(),
            "parameters": [parameter],
        }));
    }
    let shown = render(template, &|text| {
        if let Some(whole) = urls.get(text) {
            whole.clone()
        } else if matches!(&template.header, Some(Header::Text(own)) if own == text) {
            text_of(text, &in_header)
        } else {
            text_of(text, &in_body)
        }
    });
    Ok(Filled {
        name: template.name.clone(),
        language: template.language.clone(),
        category: template.category.clone(),
        components,
        header,
        shown,
    })
}

fn parameters(template: &Template, pairs: &[(&Slot, &String)]) -> Vec<Value> {
    pairs
        .iter()
        .map(|(slot, value)| {
            if template.named {
                let name = bare(&slot.mark);
                json!({ "type": "text", "parameter_name": name, "text": value })
            } else {
                json!({ "type": "text", "text": value })
            }
        })
        .collect()
}

fn fits(part: Part, text: &str, limit: usize) -> Result<(), Refusal> {
    let length = text.chars().count();
    if length > limit {
        return Err(Refusal::TooLong {
            part,
            length,
            limit,
        });
    }
    Ok(())
}
