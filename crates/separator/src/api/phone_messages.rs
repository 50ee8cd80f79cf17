//! `waba/phones/{id}/messages`: sending from a number.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    fields::{Fields, Mode, kind},
    messages,
    operation::{Call, Described, Field, Operation, Outcome, Purpose, Shape},
    phones,
    problem::{FieldError, Problem},
    rule::Rule,
    rules,
};
use crate::compose::{self, Outgoing, To};

const PATH: &str = "/api/v1/waba/phones/{id}/messages";
const TAG: &str = "Phone numbers";

/// Meta's kinds of media messages.
const KINDS: &[&str] = &["image", "video", "audio", "document", "sticker"];

const FIELDS: &[Field] = &[
    Field::required(
        "to",
        Shape::Text,
        "The customer: a phone number with its country code, or WhatsApp's user id (BSUID).",
        "4915755509999",
    ),
    Field::optional(
        "text",
        Shape::Text,
        "Text with WhatsApp's marks, at most 4096 characters.",
        "Good morning",
    ),
    Field::optional("media", Shape::Object("OutgoingMedia"), "A file.", ""),
    Field::optional(
        "template",
        Shape::Object("OutgoingTemplate"),
        "A template.",
        "",
    ),
    Field::optional(
        "shortcode",
        Shape::Text,
        "A template by its code, as operators write it: checked against the catalogue before anything is sent.",
        "template-hello_world+en_US+Anna|12:30",
    ),
];

const MEDIA_FIELDS: &[Field] = &[
    Field::optional(
        "link",
        Shape::Address,
        "Where to fetch the file. Either this or id.",
        "https://example.com/price-list.pdf",
    ),
    Field::optional(
        "id",
        Shape::Text,
        "Meta's media id of a file uploaded before.",
        "1013859600285441",
    ),
    Field::optional(
        "type",
        Shape::OneOf(KINDS),
        "Kind of the file behind an id; document where none is given.",
        "document",
    ),
    Field::optional(
        "filename",
        Shape::Text,
        "Name shown to the customer, for documents.",
        "price-list.pdf",
    ),
    Field::optional(
        "caption",
        Shape::Text,
        "Text under the file, at most 1024 characters.",
        "Prices from May",
    ),
];

const TEMPLATE_FIELDS: &[Field] = &[
    Field::required("name", Shape::Text, "Name of the template.", "hello_world"),
    Field::optional(
        "language",
        Shape::Text,
        "Language code; en_US where none is given.",
        "en_US",
    ),
    Field::optional(
        "parameters",
        Shape::Anything,
        "Values of the body's variables: a list of texts for {{1}}, {{2}} …, or an object of texts for named ones.",
        "[\"Anna\", \"12:30\"]",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "OutgoingMessage",
        purpose: Purpose::Sent,
        description: "What is to be sent: exactly one of text, media, template and shortcode.",
        fields: FIELDS,
    },
    Described {
        name: "OutgoingMedia",
        purpose: Purpose::Sent,
        description: "A file by its address or by Meta's id: exactly one of link and id.",
        fields: MEDIA_FIELDS,
    },
    Described {
        name: "OutgoingTemplate",
        purpose: Purpose::Sent,
        description: "A template without media in its header.",
        fields: TEMPLATE_FIELDS,
    },
];

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    summary: "Send a message",
    description: "The message is queued in its conversation; its state tells what becomes of it. With an \
                  Idempotency-Key it is sent once however often it is asked for. Outside the 24 hours after the \
                  customer's last message WhatsApp delivers only templates.",
    status: StatusCode::ACCEPTED,
    location: Some(messages::PATH),
    records_itself: true,
    ..Operation::create(
        PATH,
        TAG,
        "OutgoingMessage",
        "Message",
        Rule::Users,
        |call| Box::pin(send(call)),
    )
}];

/// Reads `to`: a user id has letters and a dot, such as `DE.13491208655302741918`; everything else must be a number.
pub(super) fn recipient(value: &Value) -> Result<To, String> {
    let Value::String(text) = value else {
        return Err(format!("must be text, not {}", kind(value)));
    };
    let text = text.trim();
    if let Some((country, rest)) = text.split_once('.') {
        let good_country =
            country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
        let good_rest = (1..=128).contains(&rest.len())
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        if good_country && good_rest {
            return Ok(To::UserId(text.to_owned()));
        }
    }
    match rules::phone(value) {
        Ok(digits) => Ok(To::Phone(digits)),
        Err(_) => Err(
            "must be a number with the country code, such as 4915755509999, or a user id, such as \
                       DE.13491208655302741918"
                .to_owned(),
        ),
    }
}

/// What is to be sent.
#[derive(Debug)]
enum Asked {
    Plain(Outgoing),
    /// A template's code.
    Code(String),
}

/// Reads what is to be sent. Gives nothing where an error was noted.
fn read(fields: &mut Fields) -> Option<Asked> {
    const CHOICES: [&str; 4] = ["text", "media", "template", "shortcode"];
    let given: Vec<&str> = CHOICES
        .into_iter()
        .filter(|name| fields.has(name))
        .collect();
    let text = fields
        .optional("text", rules::message_text)
        .flatten()
        .map(Outgoing::Text);
    let media = fields.nested("media", media);
    let template = fields.nested("template", template);
    let code = fields
        .optional("shortcode", rules::message_text)
        .flatten()
        .map(Asked::Code);
    match given.as_slice() {
        [] => {
            fields.error("text", "is required, or media, template or shortcode");
            None
        }
        [_] => text.or(media).or(template).map(Asked::Plain).or(code),
        [_, others @ ..] => {
            for other in others {
                fields.error(other, "cannot be sent in the same message");
            }
            None
        }
    }
}

fn media(fields: &mut Fields) -> Option<Outgoing> {
    let nothing = !fields.has("link") && !fields.has("id");
    let link = fields.optional("link", rules::link).flatten();
    let id = fields.optional("id", rules::digits).flatten();
    let kind = fields.optional("type", rules::choice(KINDS)).flatten();
    let filename = fields.optional("filename", rules::text(240)).flatten();
    let caption = fields.optional("caption", rules::caption).flatten();
    match (link, id) {
        (Some(_), Some(_)) => {
            fields.error("id", "cannot be given together with link");
            None
        }
        (Some(link), None) => {
            if kind.is_some() {
                fields.error(
                    "type",
                    "is found out from the file itself where there is a link",
                );
            }
            Some(Outgoing::MediaLink {
                link,
                filename,
                caption,
            })
        }
        (None, Some(id)) => {
            let kind = kind.unwrap_or_else(|| "document".to_owned());
            Some(Outgoing::MediaId {
                id,
                kind,
                filename,
                caption,
            })
        }
        (None, None) => {
            if nothing {
                fields.error("link", "is required, or id");
            }
            None
        }
    }
}

fn template(fields: &mut Fields) -> Option<Outgoing> {
    let name = fields.required("name", rules::template_name);
    let language = fields.optional("language", rules::language).flatten();
    let parameters = fields
        .optional("parameters", parameters)
        .flatten()
        .unwrap_or_default();
    if fields
        .optional("header", |value| Ok(value.clone()))
        .flatten()
        .is_some()
    {
        fields.error("header", "comes with the template catalogue");
    }
    let components = if parameters.is_empty() {
        json!([])
    } else {
        json!([{ "type": "body", "parameters": parameters }])
    };
    Some(Outgoing::Template {
        name: name?,
        language: language.unwrap_or_else(|| "en_US".to_owned()),
        components,
    })
}

/// Turns the values of variables into Meta's parameters: positional from a list, named from an object.
fn parameters(value: &Value) -> Result<Vec<Value>, String> {
    let text = |value: &Value| match value {
        Value::String(text) if !text.trim().is_empty() => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err("must hold texts that are not empty".to_owned()),
    };
    let named = |values: &Map<String, Value>| {
        values
            .iter()
            .map(|(name, value)| {
                Ok(json!({ "type": "text", "parameter_name": name, "text": text(value)? }))
            })
            .collect()
    };
    match value {
        Value::Array(values) => values
            .iter()
            .map(|value| Ok(json!({ "type": "text", "text": text(value)? })))
            .collect(),
        Value::Object(values) => named(values),
        other => Err(format!(
            "must be a list or an object of texts, not {}",
            kind(other)
        )),
    }
}

async fn send(call: Call) -> Outcome {
    let phone = call.id(phones::WHAT)?;
    if !call.registry().phones.contains_key(&phone) {
        return Err(Problem::unknown(phones::WHAT));
    }
    let mut fields = call.fields(FIELDS, Mode::Create)?;
    let to = fields.required("to", recipient);
    let what = read(&mut fields);
    let (Some(to), Some(what)) = (to, what) else {
        return Err(fields.incomplete());
    };
    fields.finish()?;
    let (place, sent) = match what {
        Asked::Plain(what) => {
            let place = Place::of(&what);
            (place, compose::send(&call.app, phone, &to, what).await)
        }
        Asked::Code(code) => {
            let sent = compose::send_code(&call.app, phone, &to, &code).await;
            (Place::CODE, sent)
        }
    };
    let message = sent.map_err(|error| refused(error, &place))?;
    messages::one(&call, message).await
}

/// The fields that problems of the content belong to.
struct Place {
    text: &'static str,
    whole: &'static str,
}

impl Place {
    const CODE: Self = Self {
        text: "shortcode",
        whole: "shortcode",
    };

    fn of(what: &Outgoing) -> Self {
        match what {
            Outgoing::Text(_) => Self {
                text: "text",
                whole: "text",
            },
            Outgoing::MediaLink { .. } => Self {
                text: "media.caption",
                whole: "media.link",
            },
            Outgoing::MediaId { .. } => Self {
                text: "media.caption",
                whole: "media.id",
            },
            Outgoing::Template { .. } => Self {
                text: "template.parameters",
                whole: "template",
            },
        }
    }
}

/// The refusal of a message in which the caller chose nothing but the recipient.
pub(super) fn refused_whole(error: compose::Error) -> Problem {
    let place = Place {
        text: "to",
        whole: "to",
    };
    refused(error, &place)
}

/// The refusal of a message whose recipient was chosen on a page.
pub(super) fn refused_recipient(error: compose::Error) -> Problem {
    let place = Place {
        text: "values",
        whole: "recipient",
    };
    refused(error, &place)
}

fn refused(error: compose::Error, place: &Place) -> Problem {
    let (field, message) = match error {
        compose::Error::OwnNumber => ("to", "is one of our own business numbers".to_owned()),
        compose::Error::TooLong { limit } => {
            (place.text, format!("must have at most {limit} characters"))
        }
        compose::Error::Empty => (place.text, "must not be empty".to_owned()),
        compose::Error::Forbidden(why) | compose::Error::Code(why) => (place.whole, why),
        compose::Error::Store(error) => return error.into(),
    };
    Problem::fields(vec![FieldError {
        field: field.to_owned(),
        message,
    }])
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn parse(body: &Value) -> Result<Outgoing, Vec<(String, String)>> {
        let mut fields = Fields::new(body.to_string().as_bytes(), FIELDS, Mode::Create).unwrap();
        let what = read(&mut fields);
        let errors = |problem: Problem| {
            problem
                .errors()
                .iter()
                .map(|error| (error.field.clone(), error.message.clone()))
                .collect()
        };
        match (what, fields.finish()) {
            (Some(Asked::Plain(what)), Ok(())) => Ok(what),
            (Some(Asked::Code(code)), Ok(())) => Err(vec![("by code".to_owned(), code)]),
            (_, Err(problem)) => Err(errors(problem)),
            (None, Ok(())) => Err(Vec::new()),
        }
    }

    fn wrong_field(body: &Value) -> String {
        parse(body).unwrap_err().remove(0).0
    }

    #[test]
    fn recipients_are_numbers_or_user_ids() {
        assert!(
            matches!(recipient(&json!("+49 1575 5509999")), Ok(To::Phone(digits)) if digits == "4915755509999")
        );
        assert!(
            matches!(recipient(&json!("DE.1349120865")), Ok(To::UserId(id)) if id == "DE.1349120865")
        );
        assert!(matches!(
            recipient(&json!("+49.1575.5509999")),
            Ok(To::Phone(_))
        ));
        for wrong in [
            json!("anna"),
            json!("de.1349"),
            json!("DE."),
            json!(4_915_755_509_999_i64),
            json!("DE.1/2"),
        ] {
            assert!(recipient(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn exactly_one_thing_is_sent() {
        assert!(
            matches!(parse(&json!({ "text": "hello" })), Ok(Outgoing::Text(text)) if text == "hello")
        );
        assert_eq!(wrong_field(&json!({})), "text");
        assert_eq!(
            wrong_field(&json!({ "text": "a", "media": { "id": "5" } })),
            "media"
        );
        assert_eq!(
            wrong_field(&json!({ "shortcode": "template-hello_world" })),
            "by code"
        );
        assert_eq!(
            wrong_field(&json!({ "shortcode": "template-a", "text": "a" })),
            "shortcode"
        );
        assert_eq!(wrong_field(&json!({ "text": null })), "text");
        assert_eq!(wrong_field(&json!({ "text": 5 })), "text");
    }

    #[test]
    fn media_comes_by_link_or_by_id() {
        let link =
            parse(&json!({ "media": { "link": "https://example.com/a.pdf", "caption": "x" } }));
        assert!(
            matches!(link, Ok(Outgoing::MediaLink { caption: Some(caption), .. }) if caption == "x")
        );
        let id = parse(&json!({ "media": { "id": "101", "type": "image" } }));
        assert!(matches!(id, Ok(Outgoing::MediaId { kind, .. }) if kind == "image"));
        assert_eq!(wrong_field(&json!({ "media": {} })), "media.link");
        assert_eq!(
            wrong_field(&json!({ "media": { "link": "https://e.com/a", "id": "1" } })),
            "media.id"
        );
        assert_eq!(
            wrong_field(&json!({ "media": { "link": "file:///etc/passwd" } })),
            "media.link"
        );
        assert_eq!(
            wrong_field(&json!({ "media": { "link": "https://e.com/a", "type": "image" } })),
            "media.type"
        );
        assert_eq!(
            wrong_field(&json!({ "media": { "id": "1", "size": 5 } })),
            "media.size"
        );
    }

    #[test]
    fn templates_take_positional_and_named_texts() {
        let components = |parameters: Value| match parse(
            &json!({ "template": { "name": "hello_world", "parameters": parameters } }),
        )
        .unwrap()
        {
            Outgoing::Template {
                components,
                language,
                ..
            } => {
                assert_eq!(language, "en_US");
                components
            }
            _ => json!("no template"),
        };
        assert_eq!(
            components(json!(["Anna", 5])),
            json!([{ "type": "body", "parameters": [{ "type": "text", "text": "Anna" }, { "type": "text", "text": "5" }] }])
        );
        assert_eq!(
            components(json!({ "name": "Anna" })),
            json!([{ "type": "body", "parameters": [{ "type": "text", "parameter_name": "name", "text": "Anna" }] }])
        );
        assert_eq!(components(json!(null)), json!([]));
        assert_eq!(components(json!([])), json!([]));
        assert_eq!(
            wrong_field(&json!({ "template": { "name": "a b" } })),
            "template.name"
        );
        assert_eq!(wrong_field(&json!({ "template": {} })), "template.name");
        assert_eq!(
            wrong_field(&json!({ "template": { "name": "a", "parameters": "x" } })),
            "template.parameters"
        );
        assert_eq!(
            wrong_field(&json!({ "template": { "name": "a", "parameters": [""] } })),
            "template.parameters"
        );
        assert_eq!(
            wrong_field(&json!({ "template": { "name": "a", "header": {} } })),
            "template.header"
        );
    }
}
