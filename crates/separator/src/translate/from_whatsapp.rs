//! What a customer's WhatsApp message becomes in the operator's chat: one rendering for each type.
//!
//! Nothing a customer sends is dropped: what WhatsApp does not pass on, or what nobody knows here yet, becomes a label
//! that says so. Customer text is disarmed before it meets markup, see [`markup`].

mod labels;
pub mod markup;
mod names;

use std::collections::BTreeMap;

use whatsapp::ApiError;
use whatsapp::webhook::Message;
use whatsapp::webhook::message::{
    ContactCard, InteractiveReply, Location, Media, MessageBody, Order, OrderItem, Referral,
    System, SystemKind,
};

use self::labels::Label;
use super::message::{Action, Author, Content, CustomerFile, Language, Quoted};
use super::notes::Note;

pub use names::clean_name;

/// Most characters of a quoted message that are shown.
const QUOTE_LIMIT: usize = 200;
/// Most lines of a contact card, an order or a form that are shown; the rest is counted.
const LINES_LIMIT: usize = 60;

/// The wamid that a message refers to: what it answers, or what a reaction was put on. Look it up for [`read`].
pub fn referred(message: &Message) -> Option<&str> {
    match &message.body {
        MessageBody::Reaction { message_id, .. } => Some(message_id),
        _ => message.context.as_ref()?.id.as_deref(),
    }
}

/// Reads a message. `quoted` is what [`referred`] names, as far as we know it; `value_errors` are the errors beside the
/// message, which explain one that came without its content.
pub fn read(
    message: &Message,
    quoted: Option<&Quoted>,
    value_errors: &[ApiError],
    language: Language,
) -> Action {
    let reader = Reader {
        message,
        quoted,
        value_errors,
        language,
    };
    match &message.body {
        MessageBody::Revoke {
            original_message_id,
        } => Action::Revoke {
            original: original_message_id.clone(),
        },
        MessageBody::Edit {
            original_message_id,
            body,
            kind,
        } => Action::Edit {
            original: original_message_id.clone(),
            content: reader.content(kind, body),
        },
        MessageBody::System(system) if changes_ids(&system.kind) => Action::IdentityChanged {
            wa_id: system.wa_id.clone(),
            user_id: system.user_id.clone(),
            previous_user_id: system.previous_user_id.clone(),
            content: reader.content(&message.kind, &message.body),
        },
        body => Action::Post(reader.content(&message.kind, body)),
    }
}

fn changes_ids(kind: &SystemKind) -> bool {
    matches!(kind, SystemKind::ChangedNumber | SystemKind::ChangedUserId)
}

/// A message and what is known around it.
struct Reader<'a> {
    message: &'a Message,
    quoted: Option<&'a Quoted>,
    value_errors: &'a [ApiError],
    language: Language,
}

/// Lines of plain text and of markup, written at once so that they say the same.
#[derive(Default)]
struct Lines {
    text: Vec<String>,
    markup: Vec<String>,
    /// What was read is all that there is to it.
    understood: bool,
}

impl Lines {
    /// What the customer wrote, marks included.
    fn customer(&mut self, text: &str) {
        self.text.push(text.to_owned());
        self.markup.push(markup::with_marks(text));
    }

    /// A line of ours, in which names and titles of the customer's may stand.
    fn line(&mut self, line: &str) {
        self.text.push(line.to_owned());
        self.markup.push(markup::disarm(line));
    }

    /// `Label: value`.
    fn labelled(&mut self, label: &str, value: &str) {
        self.line(&format!("{label}: {value}"));
    }

    /// A line around the message that only the chat needs.
    fn chat_only(&mut self, markup: String) {
        self.markup.push(markup);
    }
}

impl Reader<'_> {
    fn label(&self, label: Label) -> &'static str {
        label.words().in_language(self.language)
    }

    fn content(&self, kind: &str, body: &MessageBody) -> Content {
        let mut lines = Lines {
            understood: true,
            ..Lines::default()
        };
        self.context(body, &mut lines);
        if let Some(referral) = &self.message.referral {
            self.referral(referral, &mut lines);
        }
        let file = self.body(body, &mut lines);
        Content {
            kind: kind.to_owned(),
            text: lines.text.join("\n"),
            markup: lines.markup.join("\n"),
            file,
            understood: lines.understood,
        }
    }

    /// What stands before the message: that it was forwarded, what it answers, which product it is about.
    fn context(&self, body: &MessageBody, lines: &mut Lines) {
        let Some(context) = &self.message.context else {
            return;
        };
        if context.frequently_forwarded {
            lines.chat_only(italic(self.label(Label::ForwardedOften)));
        } else if context.forwarded {
            lines.chat_only(italic(self.label(Label::Forwarded)));
        }
        // A reaction names its message in its own line.
        if context.id.is_some() && !matches!(body, MessageBody::Reaction { .. }) {
            lines.chat_only(match self.quoted {
                Some(quoted) => self.quote(quoted),
                None => italic(self.label(Label::InReply)),
            });
        }
        if let Some(product) = &context.referred_product {
            let id = product
                .product_retailer_id
                .as_deref()
                .or(product.catalog_id.as_deref())
                .unwrap_or("?");
            lines.labelled(self.label(Label::AboutProduct), id);
        }
    }

    fn quote(&self, quoted: &Quoted) -> String {
        let head = match quoted.author {
            Author::Customer => Label::CustomerWrote,
            Author::Business => Label::WeWrote,
        };
        markup::quote(&format!("{}:", self.label(head)), &shortened(&quoted.text))
    }

    fn referral(&self, referral: &Referral, lines: &mut Lines) {
        let label = match referral.source_type.as_deref() {
            Some("post") => Label::FromPost,
            _ => Label::FromAdvertisement,
        };
        let said: Vec<&str> = [&referral.headline, &referral.body]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        match said.as_slice() {
            [] => lines.line(self.label(label)),
            said => lines.labelled(self.label(label), &said.join(" — ")),
        }
        if let Some(url) = &referral.source_url {
            lines.line(url);
        }
    }

    /// The message itself; gives the file that belongs to it.
    fn body(&self, body: &MessageBody, lines: &mut Lines) -> Option<CustomerFile> {
        match body {
            MessageBody::Text(text) => lines.customer(text),
            MessageBody::Image(media) => {
                return Some(self.file(Label::Photo, "photo", media, "image/jpeg", lines));
            }
            MessageBody::Video(media) => {
                return Some(self.file(Label::Video, "video", media, "video/mp4", lines));
            }
            MessageBody::Audio { media, voice: true } => {
                return Some(self.file(Label::VoiceMessage, "voice", media, "audio/ogg", lines));
            }
            MessageBody::Audio {
                media,
                voice: false,
            } => {
                return Some(self.file(Label::Audio, "audio", media, "audio/mpeg", lines));
            }
            MessageBody::Document(media) => {
                return Some(self.file(
                    Label::Document,
                    "document",
                    media,
                    "application/octet-stream",
                    lines,
                ));
            }
            MessageBody::Sticker { media, .. } => {
                return Some(self.file(Label::Sticker, "sticker", media, "image/webp", lines));
            }
            MessageBody::Location(location) => self.location(location, lines),
            MessageBody::Contacts(cards) => self.contacts(cards, lines),
            MessageBody::Interactive(reply) => self.interactive(reply, lines),
            MessageBody::Button { text, .. } => {
                lines.labelled(self.label(Label::PressedButton), text);
            }
            MessageBody::Order(order) => self.order(order, lines),
            MessageBody::Reaction { emoji, .. } => self.reaction(emoji.as_deref(), lines),
            MessageBody::System(system) => self.system(system, lines),
            MessageBody::RequestWelcome => lines.line(self.label(Label::Opened)),
            MessageBody::Unsupported { kind, .. } => self.unsupported(kind.as_deref(), lines),
            // An edit or a deletion inside an edit is no content.
            MessageBody::Unknown { .. } | MessageBody::Edit { .. } | MessageBody::Revoke { .. } => {
                self.not_understood(Label::NotUnderstood, &self.message.kind, lines);
            }
        }
        None
    }

    fn file(
        &self,
        label: Label,
        stem: &str,
        media: &Media,
        usual_mime: &str,
        lines: &mut Lines,
    ) -> CustomerFile {
        let mime_type = media.mime_type.as_deref().unwrap_or(usual_mime);
        let name = names::file_name(media.filename.as_deref().unwrap_or(stem), mime_type);
        match (&media.caption, &media.filename) {
            (Some(caption), _) => lines.customer(caption),
            (None, Some(_)) => lines.labelled(self.label(label), &name),
            (None, None) => lines.line(self.label(label)),
        }
        CustomerFile {
            media_id: media.id.clone(),
            mime_type: mime_type.to_owned(),
            name,
        }
    }

    fn location(&self, location: &Location, lines: &mut Lines) {
        match &location.name {
            Some(name) => lines.labelled(self.label(Label::Location), name),
            None => lines.line(self.label(Label::Location)),
        }
        if let Some(address) = &location.address {
            lines.line(address);
        }
        let (latitude, longitude) = (location.latitude, location.longitude);
        lines.line(&format!("{latitude}, {longitude}"));
        lines.line(&format!(
            "https://maps.google.com/?q={latitude},{longitude}"
        ));
        if let Some(url) = &location.url {
            lines.line(url);
        }
    }

    fn contacts(&self, cards: &[ContactCard], lines: &mut Lines) {
        let mut all = Vec::new();
        for card in cards {
            all.extend(self.contact(card));
        }
        limited(&all, lines);
    }

    fn contact(&self, card: &ContactCard) -> Vec<String> {
        let own = card
            .phones
            .iter()
            .any(|phone| phone.wa_id.is_some() && phone.wa_id == self.message.from);
        let label = match (card.requested, own) {
            (true, _) => Label::ContactRequested,
            (false, true) => Label::OwnContact,
            (false, false) => Label::Contact,
        };
        let mut rows = vec![match &card.name {
            Some(name) => format!("{}: {name}", self.label(label)),
            None => self.label(label).to_owned(),
        }];
        rows.extend(card.organization.clone());
        rows.extend(card.phones.iter().filter_map(|phone| {
            phone
                .phone
                .clone()
                .or_else(|| phone.wa_id.as_ref().map(|digits| format!("+{digits}")))
        }));
        rows.extend(
            card.emails
                .iter()
                .chain(&card.urls)
                .chain(&card.addresses)
                .cloned(),
        );
        rows.extend(card.birthday.clone());
        rows
    }

    fn interactive(&self, reply: &InteractiveReply, lines: &mut Lines) {
        match reply {
            InteractiveReply::Button { title, .. } => {
                lines.labelled(self.label(Label::PressedButton), title);
            }
            InteractiveReply::List {
                title,
                description: None,
                ..
            } => {
                lines.labelled(self.label(Label::ChoseFromList), title);
            }
            InteractiveReply::List {
                title,
                description: Some(description),
                ..
            } => {
                lines.labelled(
                    self.label(Label::ChoseFromList),
                    &format!("{title} — {description}"),
                );
            }
            InteractiveReply::Form {
                name,
                body,
                response_json,
            } => {
                let label = match name.as_deref() {
                    Some("address_message") => Label::SentAddress,
                    _ => Label::FilledForm,
                };
                lines.line(self.label(label));
                let answers = response_json
                    .as_deref()
                    .map(form_answers)
                    .unwrap_or_default();
                // WhatsApp's own text is a mere "Sent" and helps only where there is nothing else.
                if answers.is_empty() {
                    limited(body.as_slice(), lines);
                } else {
                    limited(&answers, lines);
                }
            }
            InteractiveReply::CallPermission {
                response,
                is_permanent,
                ..
            } => {
                let label = match (response.as_str(), is_permanent) {
                    ("accept", true) => Label::AllowedCallsForever,
                    ("accept", false) => Label::AllowedCalls,
                    _ => Label::RefusedCalls,
                };
                lines.line(self.label(label));
            }
            InteractiveReply::Unknown { kind, .. } => {
                self.not_understood(Label::NotUnderstood, kind, lines);
            }
            InteractiveReply::Missing => self.not_understood(Label::AnswerMissing, "", lines),
        }
    }

    fn order(&self, order: &Order, lines: &mut Lines) {
        lines.line(&format!("{}:", self.label(Label::Order)));
        let rows: Vec<String> = order.items.iter().map(order_row).collect();
        limited(&rows, lines);
        let totals = totals(&order.items);
        if !totals.is_empty() {
            lines.labelled(self.label(Label::Total), &totals.join(" + "));
        }
        if let Some(text) = &order.text {
            lines.customer(text);
        }
    }

    fn reaction(&self, emoji: Option<&str>, lines: &mut Lines) {
        let on = match self.quoted {
            Some(quoted) => format!("«{}»", shortened(&quoted.text).replace('\n', " ")),
            None => self.label(Label::EarlierMessage).to_owned(),
        };
        match emoji {
            Some(emoji) => lines.line(&format!("{emoji} {}: {on}", self.label(Label::Reaction))),
            None => lines.labelled(self.label(Label::ReactionRemoved), &on),
        }
    }

    fn system(&self, system: &System, lines: &mut Lines) {
        let note = match &system.kind {
            SystemKind::ChangedNumber => Note::NumberChanged {
                digits: system.wa_id.clone(),
            },
            SystemKind::ChangedUserId => Note::UserIdChanged,
            SystemKind::ChangedIdentity => Note::SecurityCodeChanged,
            SystemKind::Unknown(kind) => {
                let said = system.body.as_deref().unwrap_or(kind);
                lines.labelled(self.label(Label::Reported), said);
                lines.understood = false;
                return;
            }
        };
        lines.line(&note.text(self.language));
    }

    fn unsupported(&self, kind: Option<&str>, lines: &mut Lines) {
        let lost_file = self
            .errors()
            .any(|error| matches!(error.code, Some(131_052 | 131_053)));
        let label = match kind {
            Some("edit") => Label::EditUnseen,
            _ if lost_file => Label::FileUnavailable,
            _ => Label::Unsupported,
        };
        self.not_understood(label, kind.unwrap_or_default(), lines);
    }

    /// The label, Meta's name of the thing, and Meta's explanation.
    fn not_understood(&self, label: Label, kind: &str, lines: &mut Lines) {
        lines.understood = false;
        let label = self.label(label);
        if kind.is_empty() {
            lines.line(label);
        } else {
            lines.line(&format!("{label} ({kind})"));
        }
        if let Some(explanation) = self.errors().find_map(ApiError::explanation) {
            lines.line(explanation);
        }
    }

    fn errors(&self) -> impl Iterator<Item = &ApiError> {
        self.message.errors.iter().chain(self.value_errors)
    }
}

fn italic(text: &str) -> String {
    format!("[i]{text}[/i]")
}

/// The start of a text, with an ellipsis if something was left out.
fn shortened(text: &str) -> String {
    let text = text.trim();
    let mut shortened: String = text.chars().take(QUOTE_LIMIT).collect();
    if shortened.len() < text.len() {
        shortened.truncate(shortened.trim_end().len());
        shortened.push('…');
    }
    shortened
}

fn limited(rows: &[String], lines: &mut Lines) {
    let left_out = rows.len().saturating_sub(LINES_LIMIT);
    for row in rows.iter().take(LINES_LIMIT) {
        lines.line(row);
    }
    if left_out > 0 {
        lines.line(&format!("… +{left_out}"));
    }
}

/// `2 × SKU-7 — 19.90 EUR`.
fn order_row(item: &OrderItem) -> String {
    let product = item.product_retailer_id.as_deref().unwrap_or("?");
    let quantity = item.quantity.unwrap_or(1.0);
    match item.item_price {
        Some(price) => format!(
            "{quantity} × {product} — {}",
            money(price, item.currency.as_deref())
        ),
        None => format!("{quantity} × {product}"),
    }
}

/// The sum of each currency.
fn totals(items: &[OrderItem]) -> Vec<String> {
    let mut sums: BTreeMap<Option<&str>, f64> = BTreeMap::new();
    for item in items {
        if let Some(price) = item.item_price {
            *sums.entry(item.currency.as_deref()).or_default() +=
                price * item.quantity.unwrap_or(1.0);
        }
    }
    sums.into_iter()
        .map(|(currency, sum)| money(sum, currency))
        .collect()
}

fn money(amount: f64, currency: Option<&str>) -> String {
    match currency {
        Some(currency) => format!("{amount:.2} {currency}"),
        None => format!("{amount:.2}"),
    }
}

/// The answers of a form as `name: value`, nested ones flattened, Meta's own marks left out.
fn form_answers(response_json: &str) -> Vec<String> {
    let mut rows = Vec::new();
    if let Ok(answers) = serde_json::from_str(response_json) {
        flatten("", &answers, &mut rows);
    }
    rows
}

fn flatten(name: &str, value: &serde_json::Value, rows: &mut Vec<String>) {
    use serde_json::Value;

    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if !matches!(key.as_str(), "flow_token" | "saved_address_id") {
                    flatten(key, value, rows);
                }
            }
        }
        Value::Array(list) => {
            for value in list {
                flatten(name, value, rows);
            }
        }
        Value::Null => {}
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => rows.push(answer(name, text)),
        Value::Bool(_) | Value::Number(_) => rows.push(answer(name, &value.to_string())),
    }
}

fn answer(name: &str, value: &str) -> String {
    if name.is_empty() {
        value.to_owned()
    } else {
        format!("{name}: {value}")
    }
}

#[cfg(test)]
mod tests;
