//! What can be sent, as types that can only say what Meta takes. Source: Meta, "Cloud API: messages".

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;

/// Most characters that one text message holds.
pub const TEXT_LIMIT: usize = 4096;
/// Most characters that a caption holds.
pub const CAPTION_LIMIT: usize = 1024;
/// Most characters that [`OutgoingMessage::callback_data`] holds.
pub const CALLBACK_DATA_LIMIT: usize = 512;

/// Whether a text has the form of a business-scoped user id (BSUID): two capital letters, perhaps `.ENT`, a dot, and 1
/// to 128 ASCII letters or digits, as in `DE.7Kq2mZ0aXw41`. Source: Meta, "Business-scoped user ids".
pub fn is_user_id(text: &str) -> bool {
    let Some((country, rest)) = text.split_once('.') else {
        return false;
    };
    let id = rest.strip_prefix("ENT.").unwrap_or(rest);
    country.len() == 2
        && country.bytes().all(|byte| byte.is_ascii_uppercase())
        && (1..=128).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A phone number with country code: digits only, 5 to 20 of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Phone(String);

impl Phone {
    /// Takes a number as people write it, with `+`, spaces, dashes, dots and brackets. Letters make it none, so that a
    /// user id cannot lose its letters and become a number.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let rest = text.strip_prefix('+').unwrap_or(text);
        let digits: String = rest
            .chars()
            .filter(|character| !matches!(character, ' ' | '-' | '(' | ')' | '.'))
            .collect();
        let good =
            (5..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        good.then_some(Self(digits))
    }

    /// The digits, without `+`.
    pub fn digits(&self) -> &str {
        &self.0
    }
}

/// A business-scoped user id (BSUID).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserId(String);

impl UserId {
    /// Takes an id of the form of [`is_user_id`].
    pub fn new(text: &str) -> Option<Self> {
        is_user_id(text).then(|| Self(text.to_owned()))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// To whom a message goes. A user id in Meta's `to` is answered with 200 and lost; with this type it cannot get there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Recipient {
    /// By phone number: `to`, with `+`, because without it Meta may put the business's country in front.
    Phone(Phone),
    /// By user id: `recipient`.
    UserId(UserId),
}

/// A message to one person.
#[derive(Debug, Clone, PartialEq)]
pub struct OutgoingMessage {
    /// To whom.
    pub recipient: Recipient,
    /// The wamid that it answers; shown as a quote.
    pub context: Option<String>,
    /// Our own mark of at most [`CALLBACK_DATA_LIMIT`] characters, which comes back in every status. It is the only way
    /// to find out what became of a call whose answer was lost.
    pub callback_data: Option<String>,
    /// What it says.
    pub content: Outgoing,
}

/// What a message to a customer says.
#[derive(Debug, Clone, PartialEq)]
pub enum Outgoing {
    /// Text of at most [`TEXT_LIMIT`] characters.
    Text {
        /// The text, with WhatsApp's marks.
        body: String,
        /// Show a preview of the first link.
        preview_url: bool,
    },
    /// A photo: JPEG or PNG.
    Image {
        /// The file.
        source: MediaSource,
        /// At most [`CAPTION_LIMIT`] characters.
        caption: Option<String>,
    },
    /// A video: MP4 or 3GP.
    Video {
        /// The file.
        source: MediaSource,
        /// At most [`CAPTION_LIMIT`] characters.
        caption: Option<String>,
    },
    /// A sound file; it has no caption.
    Audio {
        /// The file.
        source: MediaSource,
        /// Show as a voice note; Ogg with Opus only.
        voice: bool,
    },
    /// Any file.
    Document {
        /// The file.
        source: MediaSource,
        /// At most [`CAPTION_LIMIT`] characters.
        caption: Option<String>,
        /// The name that the customer sees.
        filename: Option<String>,
    },
    /// A sticker: WebP of 512 by 512; it has no caption.
    Sticker {
        /// The file.
        source: MediaSource,
    },
    /// A place.
    Location {
        /// Degrees north.
        latitude: f64,
        /// Degrees east.
        longitude: f64,
        /// What is there.
        name: Option<String>,
        /// Where that is.
        address: Option<String>,
    },
    /// Contact cards, as Meta's array.
    Contacts(Value),
    /// An emoji on a message of the customer; `None` takes it off.
    Reaction {
        /// The wamid of that message.
        message_id: String,
        /// The emoji.
        emoji: Option<String>,
    },
    /// A template.
    Template {
        /// Its name.
        name: String,
        /// Its language code exactly as approved: `en` is not `en_US`.
        language: String,
        /// Meta's `components`; `None` for a template without variables.
        components: Option<Value>,
    },
    /// An interactive message, as Meta's object.
    Interactive(Value),
}

/// Where a file that is sent comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaSource {
    /// The id that an upload gave; good for 30 days and for this business number.
    Id(String),
    /// A public address that Meta fetches; its failure shows only in a status.
    Link(String),
}

impl Outgoing {
    /// Meta's name of the type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Image { .. } => "image",
            Self::Video { .. } => "video",
            Self::Audio { .. } => "audio",
            Self::Document { .. } => "document",
            Self::Sticker { .. } => "sticker",
            Self::Location { .. } => "location",
            Self::Contacts(_) => "contacts",
            Self::Reaction { .. } => "reaction",
            Self::Template { .. } => "template",
            Self::Interactive(_) => "interactive",
        }
    }
}

impl Serialize for OutgoingMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("messaging_product", "whatsapp")?;
        map.serialize_entry("recipient_type", "individual")?;
        match &self.recipient {
            Recipient::Phone(phone) => {
                map.serialize_entry("to", &format_args!("+{}", phone.digits()))?;
            }
            Recipient::UserId(user_id) => map.serialize_entry("recipient", user_id.as_str())?,
        }
        map.serialize_entry("type", self.content.kind())?;
        map.serialize_entry(self.content.kind(), &Content(&self.content))?;
        if let Some(message_id) = &self.context {
            map.serialize_entry("context", &Quote { message_id })?;
        }
        if let Some(data) = &self.callback_data {
            map.serialize_entry("biz_opaque_callback_data", data)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Quote<'a> {
    message_id: &'a str,
}

/// The object under the type's name.
struct Content<'a>(&'a Outgoing);

#[derive(Serialize)]
struct File<'a> {
    #[serde(flatten)]
    source: &'a MediaSource,
    #[serde(skip_serializing_if = "Option::is_none")]
    caption: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    voice: Option<bool>,
}

impl<'a> File<'a> {
    fn new(source: &'a MediaSource, caption: Option<&'a str>) -> Self {
        Self {
            source,
            caption,
            filename: None,
            voice: None,
        }
    }
}

#[derive(Serialize)]
struct Template<'a> {
    name: &'a str,
    language: LanguageCode<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    components: Option<&'a Value>,
}

#[derive(Serialize)]
struct LanguageCode<'a> {
    code: &'a str,
}

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Outgoing::Text { body, preview_url } => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("body", body)?;
                if *preview_url {
                    map.serialize_entry("preview_url", &true)?;
                }
                map.end()
            }
            Outgoing::Image { source, caption } | Outgoing::Video { source, caption } => {
                File::new(source, caption.as_deref()).serialize(serializer)
            }
            Outgoing::Audio { source, voice } => File {
                voice: voice.then_some(true),
                ..File::new(source, None)
            }
            .serialize(serializer),
            Outgoing::Document {
                source,
                caption,
                filename,
            } => {
                let file = File::new(source, caption.as_deref());
                File {
                    filename: filename.as_deref(),
                    ..file
                }
                .serialize(serializer)
            }
            Outgoing::Sticker { source } => File::new(source, None).serialize(serializer),
            Outgoing::Location {
                latitude,
                longitude,
                name,
                address,
            } => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("latitude", latitude)?;
                map.serialize_entry("longitude", longitude)?;
                for (key, value) in [("name", name), ("address", address)] {
                    if let Some(value) = value {
                        map.serialize_entry(key, value)?;
                    }
                }
                map.end()
            }
            Outgoing::Contacts(value) | Outgoing::Interactive(value) => value.serialize(serializer),
            Outgoing::Reaction { message_id, emoji } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("message_id", message_id)?;
                map.serialize_entry("emoji", emoji.as_deref().unwrap_or_default())?;
                map.end()
            }
            Outgoing::Template {
                name,
                language,
                components,
            } => {
                let language = LanguageCode { code: language };
                Template {
                    name,
                    language,
                    components: components.as_ref(),
                }
                .serialize(serializer)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use serde_json::json;

    #[test]
    fn user_ids_are_told_from_phones() {
        for (text, wanted) in [
            ("DE.7Kq2mZ0aXw41", true),
            ("DE.ENT.7Kq2mZ0aXw41", true),
            ("DE.ENT", true),
            ("DE.", false),
            ("DE.ENT.", false),
            ("de.7Kq2", false),
            ("DEU.7Kq2", false),
            ("DE.7Kq2_", false),
            ("DE.a.b", false),
            ("DE.é", false),
            ("4915755509876", false),
            ("", false),
        ] {
            assert_eq!(is_user_id(text), wanted, "{text:?}");
            assert_eq!(UserId::new(text).is_some(), wanted);
        }
        assert!(is_user_id(&format!("DE.{}", "a".repeat(128))));
        assert!(!is_user_id(&format!("DE.{}", "a".repeat(129))));
    }

    #[test]
    fn phones_are_digits_and_never_user_ids() {
        for (text, wanted) in [
            ("4915755509876", Some("4915755509876")),
            (" +49 (1575) 550-98.76 ", Some("4915755509876")),
            ("DE.7209876543", None),
            ("49 1575 ext 7", None),
            ("1234", None),
            ("123456789012345678901", None),
            ("٤٩١٥٧٥٥٥٠٩٨٧٦", None),
        ] {
            assert_eq!(
                Phone::new(text).as_ref().map(Phone::digits),
                wanted,
                "{text:?}"
            );
        }
    }

    fn wire(content: Outgoing) -> Value {
        let recipient = Recipient::Phone(Phone::new("4915755509876").unwrap());
        let message = OutgoingMessage {
            recipient,
            context: None,
            callback_data: None,
            content,
        };
        serde_json::to_value(&message).unwrap()
    }

    #[test]
    fn the_envelope_is_metas() {
        let content = Outgoing::Text {
            body: "Hallo".into(),
            preview_url: true,
        };
        let message = OutgoingMessage {
            recipient: Recipient::UserId(UserId::new("DE.7Kq2mZ0aXw41").unwrap()),
            context: Some("wamid.IN1".into()),
            callback_data: Some("row-991".into()),
            content: content.clone(),
        };
        assert_eq!(
            serde_json::to_string(&message).unwrap(),
            r#"{"messaging_product":"whatsapp","recipient_type":"individual","recipient":"DE.7Kq2mZ0aXw41","type":"text","text":{"body":"Hallo","preview_url":true},"context":{"message_id":"wamid.IN1"},"biz_opaque_callback_data":"row-991"}"#
        );
        let by_phone = wire(content);
        assert_eq!(by_phone["to"], "+4915755509876");
        assert!(by_phone.get("recipient").is_none() && by_phone.get("context").is_none());
    }

    #[test]
    fn every_type_is_metas() {
        let id = || MediaSource::Id("771".into());
        let link = || MediaSource::Link("https://a.example/r.pdf".into());
        let text = |text: &str| Some(text.to_owned());
        for (content, wanted) in [
            (
                Outgoing::Text {
                    body: "a".into(),
                    preview_url: false,
                },
                json!({"body": "a"}),
            ),
            (
                Outgoing::Image {
                    source: id(),
                    caption: text("c"),
                },
                json!({"id": "771", "caption": "c"}),
            ),
            (
                Outgoing::Video {
                    source: id(),
                    caption: None,
                },
                json!({"id": "771"}),
            ),
            (
                Outgoing::Audio {
                    source: id(),
                    voice: true,
                },
                json!({"id": "771", "voice": true}),
            ),
            (
                Outgoing::Audio {
                    source: id(),
                    voice: false,
                },
                json!({"id": "771"}),
            ),
            (
                Outgoing::Document {
                    source: link(),
                    caption: None,
                    filename: text("R.pdf"),
                },
                json!({"link": "https://a.example/r.pdf", "filename": "R.pdf"}),
            ),
            (Outgoing::Sticker { source: id() }, json!({"id": "771"})),
            (
                Outgoing::Location {
                    latitude: 52.5,
                    longitude: 13.4,
                    name: text("Turm"),
                    address: None,
                },
                json!({"latitude": 52.5, "longitude": 13.4, "name": "Turm"}),
            ),
            (
                Outgoing::Contacts(json!([{"name": {}}])),
                json!([{"name": {}}]),
            ),
            (
                Outgoing::Reaction {
                    message_id: "wamid.X".into(),
                    emoji: None,
                },
                json!({"message_id": "wamid.X", "emoji": ""}),
            ),
            (
                Outgoing::Template {
                    name: "order_ready".into(),
                    language: "de".into(),
                    components: Some(json!([])),
                },
                json!({"name": "order_ready", "language": {"code": "de"}, "components": []}),
            ),
            (
                Outgoing::Interactive(json!({"type": "button"})),
                json!({"type": "button"}),
            ),
        ] {
            let kind = content.kind();
            let wire = wire(content);
            assert_eq!(wire["type"], kind);
            assert_eq!(wire[kind], wanted);
        }
    }
}
