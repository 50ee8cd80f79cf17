//! The shape of each type of message and its limits. Source: Meta: messages; codes 100, 131008, 131009.

use super::super::{error::GraphError, world::World};
use serde_json::Value;

const MEGABYTE: usize = 1024 * 1024;

/// Media types that can be uploaded, with the kind of message they make and the largest size in bytes.
const MEDIA: &[(&str, &str, usize)] = &[
    ("image/jpeg", "image", 5 * MEGABYTE),
    ("image/png", "image", 5 * MEGABYTE),
    ("video/mp4", "video", 16 * MEGABYTE),
    ("video/3gp", "video", 16 * MEGABYTE),
    ("video/3gpp", "video", 16 * MEGABYTE),
    ("audio/aac", "audio", 16 * MEGABYTE),
    ("audio/amr", "audio", 16 * MEGABYTE),
    ("audio/mpeg", "audio", 16 * MEGABYTE),
    ("audio/mp4", "audio", 16 * MEGABYTE),
    ("audio/ogg", "audio", 16 * MEGABYTE),
    ("audio/opus", "audio", 16 * MEGABYTE),
    ("image/webp", "sticker", 500 * 1024),
    ("text/plain", "document", 100 * MEGABYTE),
    ("application/pdf", "document", 100 * MEGABYTE),
    ("application/msword", "document", 100 * MEGABYTE),
    ("application/vnd.ms-excel", "document", 100 * MEGABYTE),
    ("application/vnd.ms-powerpoint", "document", 100 * MEGABYTE),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "document",
        100 * MEGABYTE,
    ),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "document",
        100 * MEGABYTE,
    ),
    (
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "document",
        100 * MEGABYTE,
    ),
];

/// The kind of message a media type makes and its largest size; `None` for types that Meta does not take.
pub(in super::super) fn kind_of_mime(mime_type: &str) -> Option<(&'static str, usize)> {
    let base = mime_type.split(';').next().unwrap_or_default().trim();
    MEDIA
        .iter()
        .find(|(known, ..)| known.eq_ignore_ascii_case(base))
        .map(|&(_, kind, size)| (kind, size))
}

/// The media types that can be uploaded, for the error text.
pub(in super::super) fn media_types() -> String {
    MEDIA
        .iter()
        .map(|(mime_type, ..)| *mime_type)
        .collect::<Vec<_>>()
        .join(", ")
}

pub(super) fn is_file(kind: &str) -> bool {
    matches!(kind, "image" | "video" | "audio" | "document" | "sticker")
}

/// Checks a message by its type; the category that its price has.
pub(super) fn check(
    world: &World,
    phone_number_id: &str,
    body: &Value,
) -> Result<String, GraphError> {
    let kind = body["type"].as_str().unwrap_or("text");
    if body["biz_opaque_callback_data"]
        .as_str()
        .is_some_and(|data| data.chars().count() > 512)
    {
        return Err(GraphError::parameter(
            "Param biz_opaque_callback_data must be at most 512 characters long.",
        ));
    }
    if !body[kind].is_object() && !body[kind].is_array() {
        return Err(GraphError::missing(kind));
    }
    let object = &body[kind];
    match kind {
        "text" => text(object, "body", "text", 4096)?,
        file if is_file(file) => check_file(world, phone_number_id, kind, object)?,
        "location" => {
            coordinate(object, "latitude", 90.0)?;
            coordinate(object, "longitude", 180.0)?;
        }
        "contacts" => check_contacts(object)?,
        "reaction" => {
            present(object, "message_id")?;
            if !object["emoji"].is_string() {
                return Err(GraphError::missing("emoji"));
            }
        }
        "interactive" => check_interactive(object)?,
        "template" => {
            present(object, "name")?;
            present(&object["language"], "code")?;
        }
        other => {
            return Err(GraphError::parameter(format!(
                "Param type must be one of {{audio, contacts, document, image, interactive, location, reaction, sticker, template, text, video}} - got \"{other}\"."
            )));
        }
    }
    if !body["context"].is_null() {
        present(&body["context"], "message_id")?;
    }
    Ok("service".to_owned())
}

fn check_file(
    world: &World,
    phone_number_id: &str,
    kind: &str,
    object: &Value,
) -> Result<(), GraphError> {
    let (id, link) = (object["id"].as_str(), object["link"].as_str());
    if id.is_some() == link.is_some() {
        return Err(GraphError::parameter(format!(
            "Param {kind} needs exactly one of id and link."
        )));
    }
    if let Some(id) = id {
        let known = world
            .files
            .get(id)
            .is_some_and(|file| file.number.as_deref() == Some(phone_number_id));
        if !known {
            return Err(GraphError::parameter(format!(
                "Param {kind}['id'] is not a valid whatsapp business account media attachment ID"
            )));
        }
    }
    if let Some(link) = link
        && !(link.starts_with("http://") || link.starts_with("https://"))
    {
        return Err(GraphError::parameter(format!(
            "Param {kind}['link'] is not a valid URI."
        )));
    }
    if object["caption"].is_null() {
        return Ok(());
    }
    if matches!(kind, "audio" | "sticker") {
        return Err(GraphError::parameter(format!(
            "Unexpected key \"caption\" on param \"{kind}\"."
        )));
    }
    text(object, "caption", kind, 1024)
}

fn check_contacts(contacts: &Value) -> Result<(), GraphError> {
    let list = contacts.as_array().filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| GraphError::missing("contacts"))?;
    for contact in list {
        let name = &contact["name"];
        present(name, "formatted_name")?;
        let parts = ["first_name", "last_name", "middle_name", "suffix", "prefix"];
        if !parts.iter().any(|part| name[*part].is_string()) {
            return Err(GraphError::parameter(
                "contacts[].name needs one more part beside formatted_name.",
            ));
        }
    }
    Ok(())
}

fn check_interactive(object: &Value) -> Result<(), GraphError> {
    let kind = object["type"]
        .as_str()
        .ok_or_else(|| GraphError::missing("interactive.type"))?;
    let action = &object["action"];
    if !action.is_object() {
        return Err(GraphError::missing("interactive.action"));
    }
    // The question whether one may call can do without words of its own, and is followed by none.
    let asks = kind == "call_permission_request";
    if !asks || !object["body"].is_null() {
        text(&object["body"], "text", "interactive.body", 1024)?;
    }
    for part in ["header", "footer"] {
        if asks && !object[part].is_null() {
            return Err(GraphError::parameter(format!(
                "Unexpected key \"{part}\" on param \"interactive\"."
            )));
        }
    }
    if kind == "list" && !object["header"].is_null() && object["header"]["type"] != "text" {
        return Err(GraphError::value("The header of a list must be text."));
    }
    if object["footer"].is_object() {
        text(&object["footer"], "text", "interactive.footer", 60)?;
    }
    if object["header"]["type"] == "text" {
        text(&object["header"], "text", "interactive.header", 60)?;
    }
    match kind {
        "button" => check_buttons(action),
        "list" => check_list(action),
        "cta_url" => {
            named(action, kind)?;
            let parameters = &action["parameters"];
            text(parameters, "display_text", "action.parameters", 20)?;
            let url = parameters["url"].as_str().unwrap_or_default();
            let web = url.starts_with("https://") || url.starts_with("http://");
            if !web || url.contains([' ', '{', '}']) {
                return Err(GraphError::value(
                    "Param action.parameters['url'] is not a valid URI.",
                ));
            }
            Ok(())
        }
        "voice_call" => {
            named(action, kind)?;
            let parameters = &action["parameters"];
            text(parameters, "display_text", "action.parameters", 20)?;
            let minutes = &parameters["ttl_minutes"];
            if !minutes.is_null()
                && !minutes
                    .as_i64()
                    .is_some_and(|count| (1..=43_200).contains(&count))
            {
                return Err(GraphError::value(
                    "Param action.parameters['ttl_minutes'] must be between 1 and 43200.",
                ));
            }
            Ok(())
        }
        "call_permission_request" => named(action, kind),
        "location_request_message"
        | "contact_request"
        | "flow"
        | "product"
        | "product_list"
        | "catalog_message"
        | "carousel"
        | "address_message" => Ok(()),
        other => Err(GraphError::parameter(format!(
            "Param interactive['type'] does not know \"{other}\"."
        ))),
    }
}

fn named(action: &Value, name: &str) -> Result<(), GraphError> {
    if action["name"] == name {
        return Ok(());
    }
    Err(GraphError::value(format!(
        "Param action['name'] must be \"{name}\"."
    )))
}

fn check_buttons(action: &Value) -> Result<(), GraphError> {
    let empty = Vec::new();
    let buttons = action["buttons"].as_array().unwrap_or(&empty);
    if !(1..=3).contains(&buttons.len()) {
        return Err(GraphError::value(format!(
            "Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: 3, found {}",
            buttons.len()
        )));
    }
    let mut titles = Vec::new();
    for button in buttons {
        text(&button["reply"], "title", "button.reply", 20)?;
        text(&button["reply"], "id", "button.reply", 256)?;
        if titles.contains(&&button["reply"]["title"]) {
            return Err(GraphError::value("Button titles must be unique."));
        }
        titles.push(&button["reply"]["title"]);
    }
    Ok(())
}

fn check_list(action: &Value) -> Result<(), GraphError> {
    text(action, "button", "action", 20)?;
    let empty = Vec::new();
    let sections = action["sections"].as_array().unwrap_or(&empty);
    if !(1..=10).contains(&sections.len()) {
        return Err(GraphError::value("A list has 1 to 10 sections."));
    }
    let mut count = 0;
    for section in sections {
        if sections.len() > 1 {
            text(section, "title", "section", 24)?;
        }
        for row in section["rows"].as_array().unwrap_or(&empty) {
            count += 1;
            text(row, "id", "row", 200)?;
            text(row, "title", "row", 24)?;
            if !row["description"].is_null() {
                text(row, "description", "row", 72)?;
            }
        }
    }
    if !(1..=10).contains(&count) {
        return Err(GraphError::value(format!(
            "Total row count exceed max allowed count: 10, found {count}"
        )));
    }
    Ok(())
}

fn present(object: &Value, name: &str) -> Result<(), GraphError> {
    match object[name].as_str() {
        Some(text) if !text.is_empty() => Ok(()),
        _ => Err(GraphError::missing(name)),
    }
}

fn text(object: &Value, name: &str, place: &str, most: usize) -> Result<(), GraphError> {
    let value = object[name].as_str().unwrap_or_default();
    let length = value.chars().count();
    if length == 0 {
        return Err(GraphError::missing(&format!("{place}.{name}")));
    }
    if length > most {
        return Err(GraphError::parameter(format!(
            "Param {place}['{name}'] must be at most {most} characters long."
        )));
    }
    Ok(())
}

fn coordinate(object: &Value, name: &str, most: f64) -> Result<(), GraphError> {
    let value = match &object[name] {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    };
    match value {
        None => Err(GraphError::missing(name)),
        Some(value) if value.abs() <= most => Ok(()),
        Some(value) => Err(GraphError::value(format!(
            "{name} {value} is out of range."
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::Settings, *};
    use serde_json::json;

    fn outcome(body: &Value) -> Result<(), u32> {
        let settings = Settings::default();
        let world = settings.world();
        check(&world, &settings.phone_number_id, body)
            .map(drop)
            .map_err(|error| error.code)
    }

    #[test]
    fn each_type_has_its_limits() {
        let button = |title: &str| json!({"type": "reply", "reply": {"id": title, "title": title}});
        let buttons = |list: Vec<Value>| {
            json!({"type": "interactive", "interactive": {
                "type": "button", "body": {"text": "?"}, "action": {"buttons": list},
            }})
        };
        let rows: Vec<Value> = (0..11)
            .map(|row| json!({"id": row.to_string(), "title": "row"}))
            .collect();
        let list = |rows: &[Value]| {
            json!({"type": "interactive", "interactive": {
                "type": "list", "body": {"text": "?"},
                "action": {"button": "Choose", "sections": [{"rows": rows}]},
            }})
        };
        let acts = |kind: &str, parameters: Value| {
            json!({"type": "interactive", "interactive": {
                "type": kind, "body": {"text": "?"}, "action": {"name": kind, "parameters": parameters},
            }})
        };
        let link = |url: &str| acts("cta_url", json!({"display_text": "Open", "url": url}));
        let call = |minutes: &Value| {
            acts(
                "voice_call",
                json!({"display_text": "Call", "ttl_minutes": minutes}),
            )
        };
        let permission = json!({"type": "interactive", "interactive": {
            "type": "call_permission_request", "action": {"name": "call_permission_request"},
        }});
        let with = |mut body: Value, part: &str, value: Value| {
            body["interactive"][part] = value;
            body
        };
        for (body, expected) in [
            (
                json!({"type": "text", "text": {"body": "x".repeat(4096)}}),
                Ok(()),
            ),
            (
                json!({"type": "text", "text": {"body": "x".repeat(4097)}}),
                Err(100),
            ),
            (json!({"type": "text", "text": {"body": ""}}), Err(131_008)),
            (json!({"type": "text"}), Err(131_008)),
            (json!({"type": "dance", "dance": {}}), Err(100)),
            (
                json!({"type": "image", "image": {"link": "http://a/b", "caption": "c"}}),
                Ok(()),
            ),
            (
                json!({"type": "image", "image": {"link": "http://a/b", "id": "1"}}),
                Err(100),
            ),
            (json!({"type": "image", "image": {"id": "1"}}), Err(100)),
            (
                json!({"type": "audio", "audio": {"link": "http://a/b", "caption": "c"}}),
                Err(100),
            ),
            (
                json!({"type": "location", "location": {"latitude": "52.5", "longitude": 13.4}}),
                Ok(()),
            ),
            (
                json!({"type": "location", "location": {"latitude": 91, "longitude": 13.4}}),
                Err(131_009),
            ),
            (
                json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "Max"}}]}),
                Err(100),
            ),
            (
                json!({"type": "reaction", "reaction": {"message_id": "wamid.x", "emoji": ""}}),
                Ok(()),
            ),
            (buttons(vec![button("a"), button("b"), button("c")]), Ok(())),
            (buttons(vec![button("a"); 4]), Err(131_009)),
            (buttons(vec![button("a"), button("a")]), Err(131_009)),
            (buttons(vec![button(&"t".repeat(21))]), Err(100)),
            (
                with(link("https://a.example/x"), "footer", json!({"text": "f"})),
                Ok(()),
            ),
            (link("https://a.example/{{1}}"), Err(131_009)),
            (link("a.example"), Err(131_009)),
            (call(&json!(43_200)), Ok(())),
            (call(&json!(43_201)), Err(131_009)),
            (call(&json!("5")), Err(131_009)),
            (permission.clone(), Ok(())),
            (
                with(permission.clone(), "body", json!({"text": "May we call?"})),
                Ok(()),
            ),
            (with(permission, "footer", json!({"text": "f"})), Err(100)),
            (
                with(list(&rows[..1]), "header", json!({"type": "image"})),
                Err(131_009),
            ),
            (
                json!({"type": "interactive", "interactive": {"type": "dance", "body": {"text": "?"}, "action": {}}}),
                Err(100),
            ),
            (list(&rows[..10]), Ok(())),
            (list(&rows), Err(131_009)),
        ] {
            assert_eq!(outcome(&body), expected, "{body}");
        }
    }
}
