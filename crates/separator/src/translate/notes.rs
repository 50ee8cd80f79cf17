//! What only operators read: notes in the chat about messages and files that did not get through.
//!
//! Each says what happened and what to do. Every note exists in every language, because its words are a pair.

mod codes;
mod trouble;

use self::trouble::Trouble;
use super::from_whatsapp::markup;
use super::{
    message::Language,
    template::{HeaderKind, Refusal, Unsendable},
};

/// The same words in every language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Words {
    /// In English.
    pub(crate) english: &'static str,
    /// In Russian.
    pub(crate) russian: &'static str,
}

impl Words {
    /// The words in one language.
    pub(crate) fn in_language(self, language: Language) -> &'static str {
        match language {
            Language::English => self.english,
            Language::Russian => self.russian,
        }
    }
}

/// Why a file could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileTrouble {
    /// It is not there any more.
    Gone,
    /// The other side did not answer, or not in time.
    Unreachable,
    /// The other side refused to hand it out.
    Refused,
    /// It is larger than what is passed on.
    TooLarge,
    /// It was cut or damaged.
    Damaged,
    /// A web page came in its place.
    Page,
    /// Its address is one that may not be called.
    Forbidden,
}

/// A note that only operators see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// WhatsApp refused a message.
    Failed {
        /// Meta's code.
        code: Option<i64>,
        /// Meta's title or message.
        title: String,
        /// Meta's details.
        details: Option<String>,
    },
    /// A customer's file could not be fetched from WhatsApp.
    CustomerFileLost {
        /// Its name.
        name: String,
        /// Why.
        trouble: FileTrouble,
    },
    /// A customer's file is still on its way; its message is here already.
    CustomerFileFollows {
        /// Its name.
        name: String,
    },
    /// An operator's file could not be fetched from Bitrix24.
    OperatorFileLost {
        /// Its name.
        name: String,
        /// Why.
        trouble: FileTrouble,
    },
    /// An operator's file is too large for WhatsApp.
    FileTooLarge {
        /// Its name.
        name: String,
        /// Its size in bytes.
        bytes: u64,
        /// The most that WhatsApp takes, in bytes.
        limit: u64,
    },
    /// WhatsApp had said that a message failed, and now that the customer has it.
    ArrivedAfterAll {
        /// Its beginning, or its file's name; empty where it has none.
        text: String,
    },
    /// Nobody knows whether the first try arrived; the message went a second time.
    SentAgain,
    /// The operator edited a message that the customer has.
    EditNotPossible,
    /// The operator deleted a message that the customer has.
    DeleteNotPossible,
    /// The customer has another phone number.
    NumberChanged {
        /// The new number in digits.
        digits: Option<String>,
    },
    /// WhatsApp gave the customer another user id.
    UserIdChanged,
    /// The customer's security code changed.
    SecurityCodeChanged,
    /// The chat belongs to no WhatsApp number or customer that is known.
    NotLinked,
    /// A message was tried for as long as it makes sense.
    GivenUp {
        /// For how many hours.
        hours: u32,
    },
    /// A template's code sent nothing.
    CodeRefused(Refusal),
    /// A message waits because only templates are taken.
    Held {
        /// Codes of templates that can be sent.
        codes: Vec<String>,
    },
    /// The same without the templates.
    WaitsForCustomer,
    /// A message that waited for the customer is not sent any more.
    HeldTooLong {
        /// Its beginning, or its file's name.
        text: String,
    },
    /// A message waits because its template is not taken at present.
    TemplateWaits {
        /// The template.
        name: String,
        /// Its language.
        language: String,
        /// Why it is not taken.
        why: Unsendable,
    },
    /// The template is taken again and its message on its way.
    TemplateGoesOn {
        /// The template.
        name: String,
        /// Its language.
        language: String,
    },
    /// A message that waited for its template is not sent any more.
    TemplateWaitedTooLong {
        /// The template.
        name: String,
        /// Its language.
        language: String,
        /// Why it is not taken.
        why: Unsendable,
    },
    /// The customer wants no marketing messages from the number any more.
    MarketingStopped,
    /// The customer takes marketing messages from the number again.
    MarketingResumed,
    /// The file of a template's header could not be had.
    HeaderFileLost {
        /// Its name.
        name: String,
        /// Why.
        trouble: FileTrouble,
    },
    /// The file of a template's header is none that the template takes.
    HeaderFileKind {
        /// Its name.
        name: String,
        /// What it has to be.
        kind: HeaderKind,
    },
}

/// The note about a message that WhatsApp refused: what happened, what to do, and the code for those who look it up.
/// `title` and `details` are Meta's; they stand in for codes that are not known.
pub fn failure(
    code: Option<i64>,
    title: &str,
    details: Option<&str>,
    language: Language,
) -> String {
    let words = |english, russian| Words { english, russian }.in_language(language);
    let mut note = words("Message not delivered.", "Сообщение не доставлено.").to_owned();
    let trouble = code.and_then(Trouble::of_code);
    if let Some(trouble) = trouble {
        push_sentence(&mut note, trouble.words().in_language(language));
    } else {
        let title = title.trim();
        push_sentence(
            &mut note,
            if title.is_empty() {
                words("WhatsApp gave no reason", "WhatsApp не назвал причину")
            } else {
                title
            },
        );
    }
    let details = details
        .map(str::trim)
        .filter(|details| !details.is_empty() && *details != title.trim());
    if let Some(details) = details.filter(|_| trouble.is_none_or(Trouble::shows_details)) {
        push_sentence(
            &mut note,
            &format!("{}: {details}", words("WhatsApp says", "Ответ WhatsApp")),
        );
    }
    if trouble.is_none() {
        push_sentence(
            &mut note,
            words(
                "Write to your integrator.",
                "Обратитесь к вашему интегратору.",
            ),
        );
    }
    match code {
        Some(code) => format!("{note} ({code})"),
        None => note,
    }
}

fn push_sentence(note: &mut String, sentence: &str) {
    note.push(' ');
    note.push_str(sentence);
    if !sentence.ends_with(['.', '!', '?', '…']) {
        note.push('.');
    }
}

/// Characters of a message that a note about it repeats.
const SHOWN: usize = 60;

/// The beginning of a message, for a note that says which one it is about.
pub fn beginning(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// A note's text as it is shown in the chat: red, and with nothing in it that is a tag.
pub fn wrap(text: &str) -> String {
    format!("[color=#ff0000]{}[/color]", markup::disarm(text))
}

impl FileTrouble {
    fn words(self) -> Words {
        let (english, russian) = match self {
            Self::Gone => ("it is not there any more", "его там больше нет"),
            Self::Unreachable => ("there was no answer", "нет ответа"),
            Self::Refused => ("access was refused", "в доступе отказано"),
            Self::TooLarge => ("it is too large", "он слишком большой"),
            Self::Damaged => (
                "it came incomplete or damaged",
                "он пришёл неполным или повреждённым",
            ),
            Self::Page => (
                "a web page came in its place",
                "вместо него пришла веб-страница",
            ),
            Self::Forbidden => (
                "its address is not a public one and may not be called",
                "его адрес не публичный, обращаться к нему нельзя",
            ),
        };
        Words { english, russian }
    }
}

impl Note {
    /// The note's text.
    pub fn text(&self, language: Language) -> String {
        let pick = |english: &str, russian: &str| match language {
            Language::English => english.to_owned(),
            Language::Russian => russian.to_owned(),
        };
        match self {
            Self::Failed {
                code,
                title,
                details,
            } => failure(*code, title, details.as_deref(), language),
            Self::CustomerFileLost { name, trouble } => {
                let why = trouble.words().in_language(language);
                pick(
                    &format!(
                        "The customer's file “{name}” could not be fetched from WhatsApp: {why}. Ask them to send it again."
                    ),
                    &format!(
                        "Не удалось получить файл клиента «{name}» из WhatsApp: {why}. Попросите прислать его ещё раз."
                    ),
                )
            }
            Self::CustomerFileFollows { name } => pick(
                &format!("The customer's file “{name}” follows as soon as WhatsApp hands it out."),
                &format!("Файл клиента «{name}» появится, как только WhatsApp его отдаст."),
            ),
            Self::OperatorFileLost { name, trouble } => {
                let why = trouble.words().in_language(language);
                pick(
                    &format!(
                        "The file “{name}” was not sent, it could not be fetched from Bitrix24: {why}. Attach it again."
                    ),
                    &format!(
                        "Файл «{name}» не отправлен, его не удалось получить из Битрикс24: {why}. Прикрепите его заново."
                    ),
                )
            }
            Self::FileTooLarge { name, bytes, limit } => {
                let (size, limit) = (megabytes(*bytes, language), megabytes(*limit, language));
                pick(
                    &format!(
                        "The file “{name}” was not sent: it has {size} MB, and WhatsApp takes {limit} MB at most. Send a smaller one or a link."
                    ),
                    &format!(
                        "Файл «{name}» не отправлен: его размер {size} МБ, а WhatsApp принимает не больше {limit} МБ. Отправьте файл поменьше или ссылку."
                    ),
                )
            }
            Self::ArrivedAfterAll { text } if text.is_empty() => pick(
                "A message that WhatsApp had reported as not delivered has reached the customer after all. It need not be sent again.",
                "Сообщение, которое WhatsApp назвал недоставленным, всё-таки дошло до клиента. Отправлять его снова не нужно.",
            ),
            Self::ArrivedAfterAll { text } => pick(
                &format!(
                    "“{text}”, which WhatsApp had reported as not delivered, has reached the customer after all. It need not be sent again."
                ),
                &format!(
                    "«{text}»: WhatsApp назвал это сообщение недоставленным, но оно всё-таки дошло до клиента. Отправлять его снова не нужно."
                ),
            ),
            Self::SentAgain => pick(
                "WhatsApp did not say whether the message arrived, so it was sent again. The customer may have it twice.",
                "WhatsApp не сообщил, дошло ли сообщение, поэтому оно отправлено повторно. У клиента оно может быть дважды.",
            ),
            Self::EditNotPossible => pick(
                "WhatsApp cannot change a message that was sent: the customer still sees the first version. Send a correction.",
                "WhatsApp не умеет менять отправленные сообщения: клиент видит первый вариант. Отправьте исправление.",
            ),
            Self::DeleteNotPossible => pick(
                "WhatsApp cannot take a message back that was sent: the customer still sees it.",
                "WhatsApp не умеет удалять отправленные сообщения: клиент по-прежнему его видит.",
            ),
            Self::NumberChanged {
                digits: Some(digits),
            } => pick(
                &format!(
                    "The customer has a new phone number: +{digits}. The conversation goes on here."
                ),
                &format!(
                    "У клиента новый номер телефона: +{digits}. Переписка продолжается здесь."
                ),
            ),
            Self::NumberChanged { digits: None } => pick(
                "The customer has a new phone number. The conversation goes on here.",
                "У клиента новый номер телефона. Переписка продолжается здесь.",
            ),
            Self::UserIdChanged => pick(
                "WhatsApp gave the customer a new id. The conversation goes on here.",
                "WhatsApp присвоил клиенту новый идентификатор. Переписка продолжается здесь.",
            ),
            Self::SecurityCodeChanged => pick(
                "The customer's security code has changed, perhaps with a new phone. Make sure that it is still them before you write anything confidential.",
                "Код безопасности клиента изменился, возможно, у него новый телефон. Прежде чем писать что-то личное, убедитесь, что это он.",
            ),
            Self::NotLinked => pick(
                "Message not delivered: this chat belongs to no WhatsApp number that is connected. An administrator has to link the number to this open line.",
                "Сообщение не доставлено: этот чат не относится ни к одному подключённому номеру WhatsApp. Администратору нужно связать номер с этой открытой линией.",
            ),
            Self::GivenUp { hours } => pick(
                &format!(
                    "Message not delivered: it was tried for {hours} hours. Send it again if it still matters, and tell the administrator."
                ),
                &format!(
                    "Сообщение не доставлено: попытки шли {hours} ч. Если оно ещё важно, отправьте его снова и сообщите администратору."
                ),
            ),
            Self::CodeRefused(refusal) => codes::refusal(refusal, language),
            Self::Held { codes } => codes::held(codes, language),
            Self::WaitsForCustomer => pick(
                "More than 24 hours have passed since the customer last wrote, so WhatsApp takes only templates. The message goes out by itself as soon as the customer writes, within 24 hours.",
                "С последнего сообщения клиента прошло больше 24 часов, и WhatsApp принимает только шаблоны. Сообщение уйдёт само, как только клиент напишет, в течение 24 часов.",
            ),
            Self::HeldTooLong { text } => pick(
                &format!(
                    "Message not delivered: “{text}” waited 24 hours, and the customer did not write. Send a template if it still matters."
                ),
                &format!(
                    "Сообщение не доставлено: «{text}» ждало 24 часа, но клиент не написал. Если оно ещё важно, отправьте шаблон."
                ),
            ),
            Self::TemplateWaits {
                name,
                language: of,
                why,
            } => codes::waits(name, of, why, language),
            Self::TemplateGoesOn { name, language: of } => pick(
                &format!(
                    "WhatsApp takes the template “{name}” ({of}) again: the message that waited for it is being sent."
                ),
                &format!(
                    "WhatsApp снова принимает шаблон «{name}» ({of}): ждавшее его сообщение отправляется."
                ),
            ),
            Self::TemplateWaitedTooLong {
                name,
                language: of,
                why,
            } => {
                let why = codes::unsendable(why, language);
                pick(
                    &format!(
                        "Message not delivered: the template “{name}” ({of}) could not be sent for 24 hours: {why} If it still matters, send another template."
                    ),
                    &format!(
                        "Сообщение не доставлено: шаблон «{name}» ({of}) нельзя было отправить 24 часа: {why} Если оно ещё важно, отправьте другой шаблон."
                    ),
                )
            }
            Self::MarketingStopped => pick(
                "The customer has asked WhatsApp for no more marketing messages from this number. Marketing templates are not sent to them until they allow it again; anything else is.",
                "Клиент попросил WhatsApp больше не присылать рекламу с этого номера. Рекламные шаблоны ему не отправляются, пока он снова их не разрешит; всё остальное отправляется.",
            ),
            Self::MarketingResumed => pick(
                "The customer takes marketing messages from this number again. Marketing templates can be sent to them.",
                "Клиент снова принимает рекламу с этого номера. Ему можно отправлять рекламные шаблоны.",
            ),
            Self::HeaderFileLost { name, trouble } => {
                let why = trouble.words().in_language(language);
                pick(
                    &format!(
                        "Template not sent: its file “{name}” could not be fetched: {why}. Check the address, or attach the file to the message with the code."
                    ),
                    &format!(
                        "Шаблон не отправлен: не удалось получить файл «{name}»: {why}. Проверьте адрес или прикрепите файл к сообщению с кодом."
                    ),
                )
            }
            Self::HeaderFileKind { name, kind } => {
                let wanted = codes::file_kind(*kind, language);
                pick(
                    &format!(
                        "Template not sent: it takes {wanted}, and “{name}” is something else. Send the code with another file."
                    ),
                    &format!(
                        "Шаблон не отправлен: ему нужно {wanted}, а «{name}» — что-то другое. Отправьте код с другим файлом."
                    ),
                )
            }
        }
    }

    /// The note in the markup of the operators' chat.
    pub fn markup(&self, language: Language) -> String {
        match self {
            Self::Held { codes } => codes::held_markup(codes, language),
            _ => wrap(&self.text(language)),
        }
    }
}

/// Bytes in megabytes with one digit behind the point, none where it is a whole number.
fn megabytes(bytes: u64, language: Language) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(1024 * 1024);
    let point = match language {
        Language::English => '.',
        Language::Russian => ',',
    };
    match (tenths / 10, tenths % 10) {
        (whole, 0) => whole.to_string(),
        (whole, tenth) => format!("{whole}{point}{tenth}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::from_whatsapp::markup::tests::{hostile, tags};
    use proptest::prelude::*;
    use whatsapp::codes::CODES;

    const LANGUAGES: [Language; 2] = [Language::English, Language::Russian];

    #[test]
    fn every_code_has_its_words() {
        for row in CODES {
            for code in row.code..=row.last {
                assert!(Trouble::of_code(code).is_some(), "{code} {}", row.name);
            }
        }
        for unknown in [-1, 5, 131_001, 199, 300, 7_777_777] {
            assert_eq!(Trouble::of_code(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn words_are_in_their_language_and_complete() {
        let cyrillic = |text: &str| {
            text.chars()
                .any(|character| ('а'..='я').contains(&character))
        };
        for row in CODES {
            let english = failure(Some(row.code), "T", None, Language::English);
            let russian = failure(Some(row.code), "T", None, Language::Russian);
            assert!(
                english.starts_with("Message not delivered. ") && !cyrillic(&english),
                "{english}"
            );
            assert!(
                russian.starts_with("Сообщение не доставлено. ") && cyrillic(&russian),
                "{russian}"
            );
            for note in [english, russian] {
                assert!(note.ends_with(&format!(". ({})", row.code)), "{note}");
                assert!(
                    note.matches(". ").count() >= 3,
                    "says what happened and what to do: {note}"
                );
            }
        }
    }

    #[test]
    fn failures_read_as_sentences() {
        for (code, title, details, language, wanted) in [
            (
                Some(131_047),
                "Re-engagement message",
                Some("More than 24 hours have passed"),
                Language::English,
                "Message not delivered. More than 24 hours have passed since the customer last wrote. Until they write again only a template can be sent. (131047)",
            ),
            (
                Some(131_009),
                "Parameter value is not valid",
                Some("text.body too long"),
                Language::Russian,
                "Сообщение не доставлено. WhatsApp не принимает сообщение в таком виде. Измените его и отправьте снова; если не поможет, сообщите администратору. Ответ WhatsApp: text.body too long. (131009)",
            ),
            (
                Some(777),
                "Moon phase",
                Some("Wait."),
                Language::English,
                "Message not delivered. Moon phase. WhatsApp says: Wait. Write to your integrator. (777)",
            ),
            (
                Some(777),
                "Same",
                Some("Same"),
                Language::English,
                "Message not delivered. Same. Write to your integrator. (777)",
            ),
            (
                None,
                " ",
                None,
                Language::English,
                "Message not delivered. WhatsApp gave no reason. Write to your integrator.",
            ),
        ] {
            assert_eq!(failure(code, title, details, language), wanted);
        }
    }

    #[test]
    fn sizes_are_told_in_megabytes() {
        for (bytes, english, russian) in [
            (100 * 1024 * 1024, "100", "100"),
            (100 * 1024 * 1024 + 1, "100.1", "100,1"),
            (1024 * 1024 / 2, "0.5", "0,5"),
            (1, "0.1", "0,1"),
            (0, "0", "0"),
        ] {
            assert_eq!(megabytes(bytes, Language::English), english);
            assert_eq!(megabytes(bytes, Language::Russian), russian);
        }
    }

    fn notes(text: &str) -> Vec<Note> {
        let name = || text.to_owned();
        let mut notes = vec![
            Note::Failed {
                code: Some(100),
                title: name(),
                details: Some(name()),
            },
            Note::Failed {
                code: None,
                title: name(),
                details: Some(name()),
            },
            Note::CustomerFileFollows { name: name() },
            Note::FileTooLarge {
                name: name(),
                bytes: 200 << 20,
                limit: 100 << 20,
            },
            Note::ArrivedAfterAll { text: name() },
            Note::ArrivedAfterAll {
                text: String::new(),
            },
            Note::SentAgain,
            Note::EditNotPossible,
            Note::DeleteNotPossible,
            Note::NumberChanged {
                digits: Some(name()),
            },
            Note::NumberChanged { digits: None },
            Note::UserIdChanged,
            Note::SecurityCodeChanged,
            Note::NotLinked,
            Note::GivenUp { hours: 72 },
            Note::Held {
                codes: vec![name()],
            },
            Note::Held { codes: Vec::new() },
            Note::WaitsForCustomer,
            Note::HeldTooLong { text: name() },
            Note::TemplateGoesOn {
                name: name(),
                language: "de".to_owned(),
            },
            Note::MarketingStopped,
            Note::MarketingResumed,
            Note::HeaderFileKind {
                name: name(),
                kind: HeaderKind::Image,
            },
        ];
        notes.extend(refusals(text).into_iter().map(Note::CodeRefused));
        let whys = ["PAUSED", "REJECTED", "PENDING", "DISABLED", "ARCHIVED"]
            .map(|status| Unsendable::NotApproved {
                status: status.to_owned(),
            })
            .into_iter()
            .chain([Unsendable::Changed { shape: name() }, Unsendable::Gone]);
        for why in whys {
            notes.push(Note::TemplateWaits {
                name: name(),
                language: "de".to_owned(),
                why: why.clone(),
            });
            notes.push(Note::TemplateWaitedTooLong {
                name: name(),
                language: "de".to_owned(),
                why,
            });
        }
        for trouble in [
            FileTrouble::Gone,
            FileTrouble::Unreachable,
            FileTrouble::Refused,
            FileTrouble::TooLarge,
            FileTrouble::Damaged,
            FileTrouble::Page,
            FileTrouble::Forbidden,
        ] {
            notes.push(Note::HeaderFileLost {
                name: name(),
                trouble,
            });
            notes.push(Note::CustomerFileLost {
                name: name(),
                trouble,
            });
            notes.push(Note::OperatorFileLost {
                name: name(),
                trouble,
            });
        }
        notes
    }

    fn refusals(text: &str) -> Vec<Refusal> {
        use crate::translate::{code::Malformed, template::Part};
        let name = || text.to_owned();
        let mut refusals = vec![
            Refusal::UnknownName {
                name: name(),
                nearest: vec![name()],
            },
            Refusal::NoTemplates,
            Refusal::UnknownLanguage {
                name: name(),
                language: name(),
                languages: vec![name()],
            },
            Refusal::Ambiguous {
                name: name(),
                languages: vec!["de".to_owned(), "en".to_owned()],
            },
            Refusal::Beyond {
                name: name(),
                what: "CAROUSEL".to_owned(),
            },
            Refusal::Count {
                name: name(),
                wanted: 1,
                given: 2,
                shape: name(),
                code: name(),
            },
            Refusal::EmptyValue { number: 2 },
            Refusal::NotFilled {
                number: 1,
                mark: "{{1}}".to_owned(),
            },
            Refusal::UnknownValue {
                name: name(),
                names: vec![name()],
            },
            Refusal::Twice { name: name() },
            Refusal::ButtonCount {
                wanted: 1,
                given: 2,
            },
            Refusal::FileMissing {
                kind: HeaderKind::Document,
            },
            Refusal::NoPlaceForFile { name: name() },
            Refusal::BadLink { link: name() },
            Refusal::ManyFiles,
            Refusal::LocationMissing,
            Refusal::NoWrapper,
            Refusal::NoInteractive {
                name: name(),
                nearest: Vec::new(),
            },
            Refusal::NoInteractive {
                name: name(),
                nearest: vec![name()],
            },
            Refusal::InteractiveCount {
                name: name(),
                wanted: 1,
                given: 2,
                shape: name(),
                code: name(),
            },
            Refusal::InteractiveFile { name: name() },
            Refusal::SameTitles { title: name() },
            Refusal::InteractiveClosed { name: name() },
            Refusal::OptedOut { name: name() },
        ];
        for status in ["PAUSED", "REJECTED", "PENDING", "DISABLED", "ARCHIVED"] {
            refusals.push(Refusal::NotApproved {
                name: name(),
                language: name(),
                status: status.to_owned(),
            });
        }
        for part in [
            Part::Header,
            Part::Body,
            Part::Button,
            Part::Footer,
            Part::Label,
        ] {
            refusals.push(Refusal::TooLong {
                part,
                length: 1025,
                limit: 1024,
            });
        }
        for malformed in [
            Malformed::NoName,
            Malformed::BadName(name()),
            Malformed::Unclosed,
            Malformed::TwoFiles,
            Malformed::NotAlone,
        ] {
            refusals.push(Refusal::Malformed(malformed));
        }
        refusals
    }

    #[test]
    fn every_refusal_says_what_happened_and_what_to_do() {
        for refusal in refusals("x") {
            let [english, russian] =
                LANGUAGES.map(|language| Note::CodeRefused(refusal.clone()).text(language));
            assert!(english.contains(" not sent: "), "{english}");
            assert!(russian.contains(" не отправлен"), "{russian}");
            for note in [english, russian] {
                let sentences = note.matches(['.', ':']).count();
                assert!(sentences >= 2, "what happened and what to do: {note}");
            }
        }
    }

    #[test]
    fn notes_are_said_in_both_languages_and_name_the_file() {
        for note in notes("Plan.pdf") {
            let [english, russian] = LANGUAGES.map(|language| note.text(language));
            assert_ne!(english, russian);
            assert_eq!(english.contains("Plan.pdf"), russian.contains("Plan.pdf"));
            assert!(
                note.markup(Language::English)
                    .starts_with("[color=#ff0000]")
            );
        }
        let large = Note::FileTooLarge {
            name: "a.mov".to_owned(),
            bytes: 157 * 1024 * 1024,
            limit: 100 * 1024 * 1024,
        };
        assert!(
            large.text(Language::English).contains("157 MB")
                && large.text(Language::English).contains("100 MB")
        );
    }

    #[test]
    fn codes_that_can_be_sent_are_buttons_and_the_others_text() {
        let held = |codes: &[&str]| {
            let codes = codes.iter().map(|&code| code.to_owned()).collect();
            Note::Held { codes }.markup(Language::English)
        };
        let note = held(&[
            "template-hello_world+en_US",
            "template-delivery_note+en+{{1}}|{{2}}",
            "template-odd]name+en",
        ]);
        let lines: Vec<&str> = note.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "[send=template-hello_world+en_US]template-hello_world+en_US[/send]",
                "[put=template-delivery_note+en+{{1}}|{{2}}]template-delivery_note+en+{{1}}|{{2}}[/put]",
                "template-odd]name+en",
            ]
        );
        assert!(!held(&[]).contains("[put"));
    }

    proptest! {
        #[test]
        fn no_note_carries_a_tag_but_its_colour(text in hostile()) {
            for note in notes(&text) {
                for language in LANGUAGES {
                    let mut found = tags(&note.markup(language));
                    if let Note::Held { codes } = &note {
                        // A button, where the code can be on one.
                        let button = found.split_off(2);
                        prop_assert!(
                            button.is_empty() || codes.len() == 1 && (button == ["put", "/put"] || button == ["send", "/send"]),
                            "{:?}", button
                        );
                    }
                    prop_assert_eq!(found, ["color", "/color"]);
                }
            }
        }
    }
}
