//! Templates as Meta's catalogue has them, and how a code becomes a message made from one of them.
//!
//! Everything that can be known before sending is decided here: which language is meant, which value fills which place,
//! and whether Meta would take the result. What does not fit is a [`Refusal`], which the notes put into words.
//! Sources: Meta, "Message templates: components", "Cloud API: template messages".

mod check;
mod choose;
mod fill;
pub mod limits;

use serde_json::Value;
use url::Url;

pub(in crate::translate) use self::fill::{filled, marks};
pub use self::{
    check::{Unsendable, sendable, status_by},
    choose::{Languages, nearest},
    fill::{Place, acceptable, fill_in_order, resolve, value_places},
};

/// Meta's category of templates that advertise.
pub const MARKETING: &str = "MARKETING";

/// Longest text of a header with its values, in characters (Meta: template components).
pub const MAX_HEADER: usize = 60;
/// Longest body with its values, in characters (Meta: template components; error 132005).
pub const MAX_BODY: usize = 1024;
/// Longest address of a button with its value, in characters (Meta: template components).
pub const MAX_URL: usize = 2000;

/// A template in one language.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// Its language code, exactly as approved.
    pub language: String,
    /// Meta's status in capitals; only `APPROVED` may be sent.
    pub status: String,
    /// Meta's category in capitals: `UTILITY`, `MARKETING`, `AUTHENTICATION`.
    pub category: String,
    /// Whether its places have names instead of numbers.
    pub named: bool,
    /// What stands at its top.
    pub header: Option<Header>,
    /// Its text, with places such as `{{1}}`.
    pub body: String,
    /// The grey line below.
    pub footer: Option<String>,
    /// Its buttons, in Meta's order.
    pub buttons: Vec<Button>,
    /// A component that needs more than a code can give, such as `CAROUSEL`.
    pub beyond: Option<String>,
}

/// What stands at the top of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// Text with one place at most.
    Text(String),
    /// A file that each message brings along.
    Media(HeaderKind),
    /// A place on the map.
    Location,
}

/// The kind of a header's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderKind {
    /// JPEG or PNG.
    Image,
    /// MP4 or 3GP.
    Video,
    /// MP4 that is shown as an endless loop.
    Gif,
    /// Any file.
    Document,
}

impl HeaderKind {
    /// Meta's name of the parameter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Gif => "gif",
            Self::Document => "document",
        }
    }
}

/// A button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    /// What it does.
    pub kind: ButtonKind,
    /// What is written on it.
    pub text: String,
}

/// What a button does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ButtonKind {
    /// Opens an address; a place at its end is filled for each message.
    Url(String),
    /// Copies a code that each message brings along.
    CopyCode,
    /// Gives the one-time password of the body.
    Password,
    /// Answers, calls or anything else that needs no value.
    Other,
}

impl Template {
    /// Reads a template's components as Graph gives them. Types may be in capitals or not; what is not known is left
    /// out, because Meta adds components that need nothing.
    pub fn read(
        name: &str,
        language: &str,
        status: &str,
        category: &str,
        parameter_format: &str,
        components: &Value,
    ) -> Self {
        let mut template = Self {
            name: name.to_owned(),
            language: language.to_owned(),
            status: status.to_ascii_uppercase(),
            category: category.to_ascii_uppercase(),
            named: parameter_format.eq_ignore_ascii_case("NAMED"),
            header: None,
            body: String::new(),
            footer: None,
            buttons: Vec::new(),
            beyond: None,
        };
        for component in components.as_array().into_iter().flatten() {
            let word = |key: &str| text(component, key).to_ascii_uppercase();
            match word("type").as_str() {
                "HEADER" => match word("format").as_str() {
                    "TEXT" => template.header = Some(Header::Text(text(component, "text"))),
                    "IMAGE" => template.header = Some(Header::Media(HeaderKind::Image)),
                    "VIDEO" => template.header = Some(Header::Media(HeaderKind::Video)),
                    "GIF" => template.header = Some(Header::Media(HeaderKind::Gif)),
                    "DOCUMENT" => template.header = Some(Header::Media(HeaderKind::Document)),
                    "LOCATION" => template.header = Some(Header::Location),
                    other => template.beyond = Some(other.to_owned()),
                },
                "BODY" => template.body = text(component, "text"),
                "FOOTER" => template.footer = Some(text(component, "text")),
                "BUTTONS" => template.read_buttons(component),
                other @ ("CAROUSEL" | "LIMITED_TIME_OFFER" | "ORDER_STATUS" | "PRODUCT") => {
                    template.beyond = Some(other.to_owned());
                }
                _ => {}
            }
        }
        if template.category == "AUTHENTICATION" && template.body.is_empty() {
            // Meta writes this text itself, in the template's language.
            "*{{1}}*".clone_into(&mut template.body);
        }
        template
    }

    fn read_buttons(&mut self, component: &Value) {
        let buttons = component.get("buttons").and_then(Value::as_array);
        for button in buttons.into_iter().flatten() {
            let kind = match text(button, "type").to_ascii_uppercase().as_str() {
                "URL" if self.category == "AUTHENTICATION" => ButtonKind::Password,
                "URL" => ButtonKind::Url(text(button, "url")),
                "COPY_CODE" => ButtonKind::CopyCode,
                "OTP" => ButtonKind::Password,
                other @ ("MPM" | "SPM" | "CATALOG" | "FLOW") => {
                    self.beyond = Some(other.to_owned());
                    ButtonKind::Other
                }
                _ => ButtonKind::Other,
            };
            self.buttons.push(Button {
                kind,
                text: text(button, "text"),
            });
        }
    }

    /// Whether Meta takes it at present.
    pub fn is_approved(&self) -> bool {
        self.status == "APPROVED"
    }

    /// The template as its places stand in it, for those who have to fill them.
    pub fn shape(&self) -> String {
        fill::render(self, &|text| text.to_owned())
    }

    /// The code that sends it, with a mark for each value; ready to be copied and filled in.
    pub fn code(&self) -> String {
        let mut values: Vec<String> = Vec::new();
        match &self.header {
            Some(Header::Media(_)) => values.push("file_link:https://…".to_owned()),
            Some(Header::Location) => values.push("location:…".to_owned()),
            _ => {}
        }
        values.extend(fill::slots(self).into_iter().map(|slot| slot.mark));
        let mut code = format!("template-{}+{}", self.name, self.language);
        if !values.is_empty() {
            code.push('+');
            code.push_str(&values.join("|"));
        }
        code
    }

    /// How many values it takes, files and places on the map not counted.
    pub fn values(&self) -> usize {
        fill::slots(self).len()
    }
}

fn text(value: &Value, key: &str) -> String {
    value
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// A message made from a template, ready for Meta but for the file of its header.
#[derive(Debug, Clone, PartialEq)]
pub struct Filled {
    /// The template's name.
    pub name: String,
    /// Its language code.
    pub language: String,
    /// Its category.
    pub category: String,
    /// The components with their parameters, as Meta takes them; without a header that is a file.
    pub components: Vec<Value>,
    /// The file of the header, where there is one.
    pub header: Option<HeaderFile>,
    /// What the customer sees, with WhatsApp's marks.
    pub shown: String,
}

/// The file that goes with a message made from a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderFile {
    /// What it has to be.
    pub kind: HeaderKind,
    /// Its address; `None` where it is the file attached to the same message.
    pub link: Option<String>,
}

/// The name of the file behind an address: its last part.
pub fn name_of_link(link: &str) -> String {
    let Ok(url) = Url::parse(link) else {
        return String::new();
    };
    let last = url.path_segments().and_then(Iterator::last);
    percent_decoded(last.unwrap_or_default())
}

/// A text with `%41` turned into `A`; what is no such sequence stays.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let digit = |index: usize| {
            let digit = char::from(*others.get(index)?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            bytes.push(high * 16 + low);
            rest = &others[2..];
        } else {
            bytes.push(*first);
            rest = others;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Why a code sends nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The code itself is not in order.
    Malformed(super::code::Malformed),
    /// There is no template of this name.
    UnknownName {
        /// The name as written.
        name: String,
        /// Names that come close, the closest first.
        nearest: Vec<String>,
    },
    /// The account has no approved template at all.
    NoTemplates,
    /// The template is not there in this language.
    UnknownLanguage {
        /// The template.
        name: String,
        /// The language as written.
        language: String,
        /// The languages in which it is approved, the closest first.
        languages: Vec<String>,
    },
    /// It is there in several languages and nothing says which is meant.
    Ambiguous {
        /// The template.
        name: String,
        /// The languages in which it is approved.
        languages: Vec<String>,
    },
    /// Meta does not take it at present.
    NotApproved {
        /// The template.
        name: String,
        /// Its language.
        language: String,
        /// Meta's status.
        status: String,
    },
    /// It needs what a code cannot give.
    Beyond {
        /// The template.
        name: String,
        /// The component that is beyond a code.
        what: String,
    },
    /// Too few or too many values.
    Count {
        /// The template.
        name: String,
        /// How many there must be.
        wanted: usize,
        /// How many there are.
        given: usize,
        /// The template with its places.
        shape: String,
        /// A code with its places.
        code: String,
    },
    /// A value that is nothing.
    EmptyValue {
        /// Which one, from 1.
        number: usize,
    },
    /// A value that is still the mark of its place, as a ready code has it.
    NotFilled {
        /// Which one, from 1.
        number: usize,
        /// The mark, such as `{{1}}`.
        mark: String,
    },
    /// A value for a name that the template does not have.
    UnknownValue {
        /// The name as written.
        name: String,
        /// The names that there are.
        names: Vec<String>,
    },
    /// The same place is filled twice.
    Twice {
        /// Its name.
        name: String,
    },
    /// More values for buttons than buttons that take one.
    ButtonCount {
        /// How many buttons take a value.
        wanted: usize,
        /// How many values there are.
        given: usize,
    },
    /// With its values the text is longer than Meta takes.
    TooLong {
        /// Which part.
        part: Part,
        /// How long it would be.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The header needs a file and none is given.
    FileMissing {
        /// What it has to be.
        kind: HeaderKind,
    },
    /// A file is given and the header takes none.
    NoPlaceForFile {
        /// The template.
        name: String,
    },
    /// The file's address is none.
    BadLink {
        /// The address as written.
        link: String,
    },
    /// More than one file is attached.
    ManyFiles,
    /// The header needs a place on the map.
    LocationMissing,
    /// A plain text outside the 24 hours, and no template that could carry it.
    NoWrapper,
    /// The customer wants no marketing messages.
    OptedOut {
        /// The template.
        name: String,
    },
    /// There is no stored interactive message of this name.
    NoInteractive {
        /// The name as written.
        name: String,
        /// Names that come close, the closest first; none where none is stored.
        nearest: Vec<String>,
    },
    /// Too few or too many values for a stored interactive message.
    InteractiveCount {
        /// The message.
        name: String,
        /// How many there must be.
        wanted: usize,
        /// How many there are.
        given: usize,
        /// The message with its places.
        shape: String,
        /// A code with its places.
        code: String,
    },
    /// A file is given with a stored interactive message.
    InteractiveFile {
        /// The message.
        name: String,
    },
    /// With its values two buttons or rows have the same title.
    SameTitles {
        /// The title.
        title: String,
    },
    /// Outside the 24 hours only a template can be sent from where this was asked for.
    InteractiveClosed {
        /// The message.
        name: String,
    },
}

/// A part of a template whose length is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The text at the top.
    Header,
    /// The text itself.
    Body,
    /// A button's address.
    Button,
    /// The line below.
    Footer,
    /// What is written on a button, or a line of a list.
    Label,
}

#[cfg(test)]
mod tests;
