//! What a customer wrote: one type for every message type of the Cloud API.

use serde_json::value::RawValue;

use crate::error::ApiError;
use crate::json::{Object, Raw, text};

/// One message of a customer, or one echo of what the business wrote with the phone app.
/// Source: Meta, "Webhooks: messages".
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The message's id (`wamid.…`; `wacid.…` for voicemail).
    pub id: String,
    /// Unix seconds.
    pub timestamp: Option<i64>,
    /// WhatsApp id of the sender; absent when they hide their phone.
    pub from: Option<String>,
    /// User id (BSUID) of the sender.
    pub from_user_id: Option<String>,
    /// User id of the sender over linked portfolios.
    pub from_parent_user_id: Option<String>,
    /// WhatsApp id of the recipient; echoes only.
    pub to: Option<String>,
    /// User id of the recipient; echoes only.
    pub to_user_id: Option<String>,
    /// The group it was written in.
    pub group_id: Option<String>,
    /// What it answers, or that it was forwarded.
    pub context: Option<Context>,
    /// The advertisement or post that brought the person here.
    pub referral: Option<Referral>,
    /// What Meta could not deliver, beside types such as `unsupported`.
    pub errors: Vec<ApiError>,
    /// The type as Meta names it.
    pub kind: String,
    /// What it says.
    pub body: MessageBody,
}

/// What a message refers to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// The wamid it answers; may be one that never passed this API.
    pub id: Option<String>,
    /// Who wrote that.
    pub from: Option<String>,
    /// It was forwarded.
    pub forwarded: bool,
    /// It was forwarded more than five times.
    pub frequently_forwarded: bool,
    /// The product it asks about.
    pub referred_product: Option<ReferredProduct>,
}

/// A product of the catalogue that a message asks about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReferredProduct {
    /// The catalogue.
    pub catalog_id: Option<String>,
    /// The product's id at the seller (SKU).
    pub product_retailer_id: Option<String>,
}

/// The advertisement or post from which a person came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Referral {
    /// Where it can be seen.
    pub source_url: Option<String>,
    /// Id of the advertisement or post.
    pub source_id: Option<String>,
    /// `ad` or `post`.
    pub source_type: Option<String>,
    /// Its headline.
    pub headline: Option<String>,
    /// Its text.
    pub body: Option<String>,
    /// Click id for reporting conversions; absent for advertisements in Status.
    pub ctwa_clid: Option<String>,
    /// The greeting that the advertisement showed.
    pub welcome_message: Option<String>,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum MessageBody {
    /// Text.
    Text(String),
    /// A photo.
    Image(Media),
    /// A video.
    Video(Media),
    /// A voice note or another sound file.
    Audio {
        /// The file.
        media: Media,
        /// Recorded in the chat.
        voice: bool,
    },
    /// Any file.
    Document(Media),
    /// A sticker.
    Sticker {
        /// The file, always WebP.
        media: Media,
        /// It moves.
        animated: bool,
    },
    /// A place.
    Location(Location),
    /// Contact cards.
    Contacts(Vec<ContactCard>),
    /// An answer to an interactive message.
    Interactive(InteractiveReply),
    /// A tap on a quick reply button of a template.
    Button {
        /// What the template put behind the button.
        payload: Option<String>,
        /// What the button says.
        text: String,
    },
    /// An order from the catalogue.
    Order(Order),
    /// An emoji put on a message, or taken off.
    Reaction {
        /// The wamid of that message.
        message_id: String,
        /// The emoji; `None` when it was taken off.
        emoji: Option<String>,
    },
    /// Something about the person that WhatsApp reports.
    System(System),
    /// An earlier message says something else now.
    Edit {
        /// The wamid of the earlier message.
        original_message_id: String,
        /// The new content.
        body: Box<MessageBody>,
        /// The type of the new content.
        kind: String,
    },
    /// An earlier message was deleted by its author.
    Revoke {
        /// The wamid of the earlier message.
        original_message_id: String,
    },
    /// The person opened the chat for the first time.
    RequestWelcome,
    /// Something that the API does not show.
    Unsupported {
        /// What it is, such as `poll_update`.
        kind: Option<String>,
        /// The message as received.
        raw: Raw,
    },
    /// A type that this library does not know, or a known one of another shape.
    Unknown {
        /// The message as received.
        raw: Raw,
    },
}

/// A file that a customer sent. It can be fetched for 7 days.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Media {
    /// Media id.
    pub id: String,
    /// Media type, parameters included, as in `audio/ogg; codecs=opus`.
    pub mime_type: Option<String>,
    /// SHA-256 of the file, in base64.
    pub sha256: Option<String>,
    /// Text that came with it.
    pub caption: Option<String>,
    /// Its name; documents only.
    pub filename: Option<String>,
    /// Where it lies for 5 minutes; prefer the id.
    pub url: Option<String>,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Location {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// What is there.
    pub name: Option<String>,
    /// Where that is.
    pub address: Option<String>,
    /// A page about it.
    pub url: Option<String>,
}

/// A contact card.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContactCard {
    /// The name in one piece.
    pub name: Option<String>,
    /// Phone numbers.
    pub phones: Vec<ContactPhone>,
    /// Mail addresses.
    pub emails: Vec<String>,
    /// Company and department, as far as given.
    pub organization: Option<String>,
    /// Web addresses.
    pub urls: Vec<String>,
    /// Postal addresses, each in one line.
    pub addresses: Vec<String>,
    /// Date of birth.
    pub birthday: Option<String>,
    /// It is the sender's own card, given on our request.
    pub requested: bool,
}

/// A phone number on a contact card.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContactPhone {
    /// The number as the sender keeps it.
    pub phone: Option<String>,
    /// The WhatsApp id behind it.
    pub wa_id: Option<String>,
}

/// An answer to an interactive message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InteractiveReply {
    /// A tap on a reply button.
    Button {
        /// The id that we gave to the button.
        id: String,
        /// What it says.
        title: String,
    },
    /// A choice from a list.
    List {
        /// The id that we gave to the row.
        id: String,
        /// What it says.
        title: String,
        /// The row's second line.
        description: Option<String>,
    },
    /// A filled form: a flow, or an address.
    Form {
        /// `flow` or `address_message`.
        name: Option<String>,
        /// Text that WhatsApp shows for it.
        body: Option<String>,
        /// The answers as JSON text, as given by the form.
        response_json: Option<String>,
    },
    /// Whether we may call.
    CallPermission {
        /// `accept` or `reject`.
        response: String,
        /// The permission does not expire.
        is_permanent: bool,
        /// When it ends, Unix seconds.
        expires: Option<i64>,
    },
    /// An answer of a kind that this library does not know.
    Unknown {
        /// Its name.
        kind: String,
        /// The message as received.
        raw: Raw,
    },
    /// An answer without its content; the value's `errors` say why.
    Missing,
}

/// An order from the catalogue.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Order {
    /// The catalogue.
    pub catalog_id: Option<String>,
    /// What the customer wrote with it.
    pub text: Option<String>,
    /// What is ordered.
    pub items: Vec<OrderItem>,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OrderItem {
    /// The product's id at the seller (SKU).
    pub product_retailer_id: Option<String>,
    /// How many.
    pub quantity: Option<f64>,
    /// Price of one.
    pub item_price: Option<f64>,
    /// Currency of the price, as in `EUR`.
    pub currency: Option<String>,
}

/// Something about the person that WhatsApp reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// What happened.
    pub kind: SystemKind,
    /// WhatsApp's words for it, in English.
    pub body: Option<String>,
    /// The new WhatsApp id.
    pub wa_id: Option<String>,
    /// The new user id.
    pub user_id: Option<String>,
    /// The user id until now.
    pub previous_user_id: Option<String>,
}

/// What a system message reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemKind {
    /// The person has another phone number, and so another user id.
    ChangedNumber,
    /// The person has another user id.
    ChangedUserId,
    /// The person's security code changed: a new device or WhatsApp installed again.
    ChangedIdentity,
    /// Something else.
    Unknown(String),
}

impl Message {
    pub(super) fn read(raw: &RawValue, message: &Object<'_>) -> Result<Self, &'static str> {
        let (kind, body) = MessageBody::read(raw, message, Nested::Allowed);
        Ok(Self {
            id: message.filled("id").ok_or("no id")?,
            timestamp: message.integer("timestamp"),
            from: message.filled("from"),
            from_user_id: message.filled("from_user_id"),
            from_parent_user_id: message.filled("from_parent_user_id"),
            to: message.filled("to"),
            to_user_id: message.filled("to_user_id"),
            group_id: message.filled("group_id"),
            context: message
                .object("context")
                .map(|context| Context::read(&context)),
            referral: message
                .object("referral")
                .map(|referral| Referral::read(&referral)),
            errors: ApiError::read_all(message.list("errors")),
            kind,
            body,
        })
    }

    /// The file that came with the message.
    pub fn media(&self) -> Option<&Media> {
        self.body.media()
    }
}

impl Context {
    fn read(context: &Object<'_>) -> Self {
        Self {
            id: context.filled("id"),
            from: context.filled("from"),
            forwarded: context.flag("forwarded"),
            frequently_forwarded: context.flag("frequently_forwarded"),
            referred_product: context
                .object("referred_product")
                .map(|product| ReferredProduct {
                    catalog_id: product.filled("catalog_id"),
                    product_retailer_id: product.filled("product_retailer_id"),
                }),
        }
    }
}

impl Referral {
    fn read(referral: &Object<'_>) -> Self {
        Self {
            source_url: referral.filled("source_url"),
            source_id: referral.filled("source_id"),
            source_type: referral.filled("source_type"),
            headline: referral.filled("headline"),
            body: referral.filled("body"),
            ctwa_clid: referral.filled("ctwa_clid"),
            welcome_message: referral
                .object("welcome_message")
                .and_then(|welcome| welcome.filled("text")),
        }
    }
}

/// Whether an edit may be opened: the content of an edit is no edit, and a body must not decide how deep we go.
#[derive(Clone, Copy, PartialEq)]
enum Nested {
    Allowed,
    Refused,
}

impl MessageBody {
    /// The file that belongs to it.
    pub fn media(&self) -> Option<&Media> {
        match self {
            Self::Image(media) | Self::Video(media) | Self::Document(media) => Some(media),
            Self::Audio { media, .. } | Self::Sticker { media, .. } => Some(media),
            _ => None,
        }
    }

    fn read(raw: &RawValue, message: &Object<'_>, nested: Nested) -> (String, Self) {
        let kind = message.text("type").unwrap_or_default();
        let body = Self::of_kind(&kind, raw, message, nested);
        (
            kind,
            body.unwrap_or_else(|| Self::Unknown { raw: Raw::new(raw) }),
        )
    }

    fn of_kind(kind: &str, raw: &RawValue, message: &Object<'_>, nested: Nested) -> Option<Self> {
        Some(match kind {
            "interactive" => {
                Self::Interactive(InteractiveReply::read(raw, message.object("interactive")))
            }
            "contacts" => Self::Contacts(contact_cards(message)?),
            "request_welcome" => Self::RequestWelcome,
            "unsupported" => {
                let kind = message
                    .object("unsupported")
                    .and_then(|unsupported| unsupported.filled("type"));
                Self::Unsupported {
                    kind,
                    raw: Raw::new(raw),
                }
            }
            _ => Self::of_object(kind, &message.object(kind)?, nested)?,
        })
    }

    fn of_object(kind: &str, body: &Object<'_>, nested: Nested) -> Option<Self> {
        Some(match kind {
            "text" => Self::Text(body.text("body")?),
            "image" => Self::Image(Media::read(body)?),
            "video" => Self::Video(Media::read(body)?),
            "audio" => Self::Audio {
                media: Media::read(body)?,
                voice: body.flag("voice"),
            },
            "document" => Self::Document(Media::read(body)?),
            "sticker" => Self::Sticker {
                media: Media::read(body)?,
                animated: body.flag("animated"),
            },
            "location" => Self::Location(Location::read(body)?),
            "button" => Self::Button {
                payload: body.filled("payload"),
                text: button_text(body)?,
            },
            "order" => Self::Order(Order::read(body)),
            "reaction" => Self::Reaction {
                message_id: body.filled("message_id")?,
                emoji: body.filled("emoji"),
            },
            "system" => Self::System(System::read(body)),
            "revoke" => Self::Revoke {
                original_message_id: body.filled("original_message_id")?,
            },
            "edit" if nested == Nested::Allowed => {
                let raw = body.raw("message")?;
                let (kind, content) = Self::read(raw, &Object::open(raw)?, Nested::Refused);
                let original_message_id = body.filled("original_message_id")?;
                Self::Edit {
                    original_message_id,
                    body: Box::new(content),
                    kind,
                }
            }
            _ => return None,
        })
    }
}

fn button_text(button: &Object<'_>) -> Option<String> {
    button.filled("text").or_else(|| button.filled("payload"))
}

impl Media {
    fn read(media: &Object<'_>) -> Option<Self> {
        Some(Self {
            id: media.filled("id")?,
            mime_type: media.filled("mime_type"),
            sha256: media.filled("sha256"),
            caption: media.filled("caption"),
            filename: media.filled("filename"),
            url: media.filled("url"),
        })
    }
}

impl Location {
    fn read(location: &Object<'_>) -> Option<Self> {
        Some(Self {
            latitude: location.decimal("latitude")?,
            longitude: location.decimal("longitude")?,
            name: location.filled("name"),
            address: location.filled("address"),
            url: location.filled("url"),
        })
    }
}

fn contact_cards(message: &Object<'_>) -> Option<Vec<ContactCard>> {
    let cards: Vec<_> = message
        .objects("contacts")
        .map(|card| ContactCard::read(&card))
        .collect();
    (!cards.is_empty()).then_some(cards)
}

impl ContactCard {
    fn read(card: &Object<'_>) -> Self {
        let phone = |phone: Object<'_>| ContactPhone {
            phone: phone.filled("phone"),
            wa_id: phone.filled("wa_id"),
        };
        let organization = card
            .object("org")
            .and_then(|organization| joined(&organization, &["company", "department"]));
        let address =
            |address: Object<'_>| joined(&address, &["street", "zip", "city", "state", "country"]);
        Self {
            name: card.object("name").and_then(|name| {
                name.filled("formatted_name")
                    .or_else(|| joined(&name, &["first_name", "last_name"]))
            }),
            phones: card.objects("phones").map(phone).collect(),
            emails: card
                .objects("emails")
                .filter_map(|email| email.filled("email"))
                .collect(),
            organization,
            urls: card
                .objects("urls")
                .filter_map(|url| url.filled("url"))
                .collect(),
            addresses: card.objects("addresses").filter_map(address).collect(),
            birthday: card.filled("birthday"),
            requested: card.text("origin").as_deref() == Some("contact_request"),
        }
    }
}

/// The fields that are there, in one line.
fn joined(object: &Object<'_>, keys: &[&str]) -> Option<String> {
    let parts: Vec<String> = keys.iter().filter_map(|key| object.filled(key)).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

impl InteractiveReply {
    fn read(raw: &RawValue, interactive: Option<Object<'_>>) -> Self {
        let Some(interactive) = interactive else {
            return Self::Missing;
        };
        let Some(kind) = interactive.filled("type") else {
            return Self::Missing;
        };
        let reply = interactive
            .object(&kind)
            .and_then(|reply| Self::of_kind(&kind, &reply));
        reply.unwrap_or_else(|| Self::Unknown {
            kind,
            raw: Raw::new(raw),
        })
    }

    fn of_kind(kind: &str, reply: &Object<'_>) -> Option<Self> {
        Some(match kind {
            "button_reply" => Self::Button {
                id: reply.text("id").unwrap_or_default(),
                title: reply.text("title")?,
            },
            "list_reply" => Self::List {
                id: reply.text("id").unwrap_or_default(),
                title: reply.text("title")?,
                description: reply.filled("description"),
            },
            "nfm_reply" => Self::Form {
                name: reply.filled("name"),
                body: reply.filled("body"),
                response_json: reply
                    .raw("response_json")
                    .map(|raw| text(raw).unwrap_or_else(|| raw.get().to_owned())),
            },
            "call_permission_reply" => Self::CallPermission {
                response: reply.filled("response")?,
                is_permanent: reply.flag("is_permanent"),
                expires: reply.integer("expiration_timestamp"),
            },
            _ => return None,
        })
    }
}

impl Order {
    fn read(order: &Object<'_>) -> Self {
        let item = |item: Object<'_>| OrderItem {
            product_retailer_id: item.filled("product_retailer_id"),
            quantity: item.decimal("quantity"),
            item_price: item.decimal("item_price"),
            currency: item.filled("currency"),
        };
        Self {
            catalog_id: order.filled("catalog_id"),
            text: order.filled("text"),
            items: order.objects("product_items").map(item).collect(),
        }
    }
}

impl System {
    fn read(system: &Object<'_>) -> Self {
        let kind = system.text("type").unwrap_or_default();
        Self {
            kind: match kind.as_str() {
                "user_changed_number" | "customer_changed_number" => SystemKind::ChangedNumber,
                "user_changed_user_id" => SystemKind::ChangedUserId,
                "customer_identity_changed" | "user_identity_changed" => {
                    SystemKind::ChangedIdentity
                }
                _ => SystemKind::Unknown(kind),
            },
            body: system.filled("body"),
            // Called `new_wa_id` in early versions.
            wa_id: system
                .filled("wa_id")
                .or_else(|| system.filled("new_wa_id")),
            user_id: system.filled("user_id"),
            previous_user_id: system.filled("previous_user_id"),
        }
    }
}
