//! What is to be known about calling settings that were saved, and why a save did not succeed, in words for people.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use whatsapp::{ApiError, Error, codes::Class};

use super::ForeignServer;
use crate::{
    time::Millis,
    translate::{message::Language, notes::Words},
};

/// Meta's page for everything that goes wrong with calls.
const TROUBLESHOOTING: &str = "https://developers.facebook.com/documentation/business-messaging/whatsapp/calling/troubleshooting/";

/// Something to know about settings that were saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// Saved, and Meta did not say what it has.
    NotReadBack,
    /// Saved, and Meta did not say the password.
    PasswordNotReadable,
    /// Another app has a server on this number.
    ForeignServer(ForeignServer),
    /// Meta says that calls cannot arrive.
    Blocked {
        /// Meta's code.
        code: Option<i64>,
        /// Meta's words.
        text: String,
    },
}

impl Warning {
    /// A word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotReadBack => "not_read_back",
            Self::PasswordNotReadable => "password_not_readable",
            Self::ForeignServer(_) => "foreign_server",
            Self::Blocked { .. } => "blocked",
        }
    }

    /// In words.
    pub fn text(&self, language: Language) -> String {
        let pick = |english: String, russian: String| match language {
            Language::English => english,
            Language::Russian => russian,
        };
        match self {
            Self::NotReadBack => pick(
                "Meta took the settings, but they could not be read back; that is tried again.".to_owned(),
                "Meta приняла настройки, но прочитать их обратно не удалось; попытка повторится.".to_owned(),
            ),
            Self::PasswordNotReadable => pick(
                "Meta took the settings, but the password is not readable: the app needs whatsapp_business_management.".to_owned(),
                "Meta приняла настройки, но пароль прочитать не удалось: приложению нужно право whatsapp_business_management.".to_owned(),
            ),
            Self::ForeignServer(server) => {
                let app = server.app_id.as_deref().unwrap_or("?");
                let host = &server.hostname;
                pick(
                    format!("App {app} has a server of its own on this number, {host}. Two do not work: Meta ends the call on the first BYE. Remove it with that app."),
                    format!("У приложения {app} на этом номере есть свой сервер, {host}. Два сервера вместе не работают: Meta завершает звонок по первому BYE. Удалите его тем приложением."),
                )
            }
            Self::Blocked { code, text } => {
                let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
                pick(
                    format!("Meta says that calls cannot arrive: {text}{code}"),
                    format!("Meta сообщает, что звонки прийти не могут: {text}{code}"),
                )
            }
        }
    }
}

/// Why Meta does not have what was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallingError {
    /// Meta's code; 0 where Meta took the settings and has others.
    pub code: i64,
    /// Meta's sub-code.
    pub subcode: Option<i64>,
    /// Title, in Meta's words.
    pub title: String,
    /// Details, in Meta's words.
    pub details: Option<String>,
    /// The number under which Meta's support finds the request.
    pub fbtrace_id: Option<String>,
    /// When.
    pub at: Millis,
    /// At which try.
    pub attempt: i64,
    /// Something of our own, told in the language of whoever looks.
    #[serde(default)]
    pub own: Option<OwnError>,
}

/// Why Meta does not have what was chosen, where it was not Meta that said no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnError {
    /// There is no access token to ask with.
    NoToken,
    /// Meta took the settings, and has others in these fields.
    NotApplied(Vec<String>),
    /// Meta could not be reached, or gave no answer that could be read.
    Unreachable(String),
}

impl OwnError {
    fn title(&self, language: Language) -> &'static str {
        let words = match self {
            Self::NoToken => Words {
                english: "not sent",
                russian: "не отправлено",
            },
            Self::NotApplied(_) => Words {
                english: "not applied",
                russian: "не применено",
            },
            Self::Unreachable(_) => Words {
                english: "Meta could not be reached",
                russian: "Meta недоступна",
            },
        };
        words.in_language(language)
    }

    fn details(&self, language: Language) -> String {
        let english = language == Language::English;
        match self {
            Self::NoToken if english => "there is no access token".to_owned(),
            Self::NoToken => "нет токена доступа".to_owned(),
            Self::NotApplied(fields) if english => {
                format!(
                    "Meta took the settings, but has others: {}",
                    fields.join(", ")
                )
            }
            Self::NotApplied(fields) => {
                format!(
                    "Meta приняла настройки, но у неё другие: {}",
                    fields.join(", ")
                )
            }
            Self::Unreachable(why) => why.clone(),
        }
    }

    fn hint(&self) -> Words {
        match self {
            Self::NoToken => Words {
                english: "Enter a token for the account or for its app, then press Apply again.",
                russian: "Введите токен для аккаунта или его приложения, затем нажмите «Применить ещё раз».",
            },
            Self::NotApplied(_) => Words {
                english: "Press Apply again. If it stays so, somebody else changes the number's settings at the same time, or Meta does not offer them for this number.",
                russian: "Нажмите «Применить ещё раз». Если не поможет, настройки номера одновременно меняет кто-то другой или Meta не предоставляет их для этого номера.",
            },
            Self::Unreachable(_) => Words {
                english: "Check the server's way to the Internet, then press Apply again.",
                russian: "Проверьте доступ сервера в Интернет, затем нажмите «Применить ещё раз».",
            },
        }
    }
}

impl CallingError {
    /// From Meta's refusal.
    pub(in crate::calling) fn of_meta(error: &ApiError, at: Millis, attempt: i64) -> Self {
        let title = error
            .user_title
            .clone()
            .or_else(|| error.title.clone())
            .unwrap_or_else(|| error.message.clone());
        let details = error
            .user_message
            .clone()
            .or_else(|| error.details.clone())
            .or_else(|| (error.message != title).then(|| error.message.clone()))
            .filter(|details| !details.is_empty());
        Self {
            code: error.code.unwrap_or(-1),
            subcode: error.subcode,
            title,
            details,
            fbtrace_id: error.fbtrace_id.clone(),
            at,
            attempt,
            own: (error.code == Some(0)).then(|| OwnError::Unreachable(error.message.clone())),
        }
    }

    /// Something of our own; code 0.
    pub(in crate::calling) fn own(own: OwnError, at: Millis, attempt: i64) -> Self {
        Self {
            code: 0,
            subcode: None,
            title: own.title(Language::English).to_owned(),
            details: Some(own.details(Language::English)),
            fbtrace_id: None,
            at,
            attempt,
            own: Some(own),
        }
    }

    /// `code: title, details`, in one line.
    pub fn line(&self) -> String {
        match &self.details {
            Some(details) => format!("{}: {}, {details}", self.code, self.title),
            None => format!("{}: {}", self.code, self.title),
        }
    }

    /// What to do, where we know it.
    pub fn hint(&self, language: Language) -> Option<&'static str> {
        if let Some(own) = &self.own {
            return Some(own.hint().in_language(language));
        }
        let words = match self.code {
            100 => Words {
                english: "Check host and port and their spelling.",
                russian: "Проверьте хост и порт и их написание.",
            },
            190 => Words {
                english: "The access token is not valid any more. Enter a new one for the app or the account, then apply again.",
                russian: "Токен доступа больше не действует. Введите новый для приложения или аккаунта и примените ещё раз.",
            },
            10 | 200..=299 => Words {
                english: "The token lacks permissions: the app needs whatsapp_business_management and whatsapp_business_messaging. Renew the token with both, then apply again.",
                russian: "Токену не хватает прав: приложению нужны whatsapp_business_management и whatsapp_business_messaging. Получите новый токен с обоими и примените ещё раз.",
            },
            138_000 => Words {
                english: "Enable calling for the number.",
                russian: "Включите звонки для номера.",
            },
            138_014 => Words {
                english: "Meta switched calling off for a while because of low quality. Wait until the restriction ends; WhatsApp Manager shows when.",
                russian: "Meta временно отключила звонки из-за низкого качества. Дождитесь конца ограничения; срок показан в WhatsApp Manager.",
            },
            138_015 => Words {
                english: "The number needs a messaging limit of 2000 customers a day or more. Raise the limit first.",
                russian: "Номеру нужен лимит от 2000 клиентов в сутки. Сначала повысьте лимит.",
            },
            138_018 => Words {
                english: "Enter a telephone server and enable SIP, or subscribe the app to the webhook field calls.",
                russian: "Укажите телефонный сервер и включите SIP либо подпишите приложение на поле вебхуков calls.",
            },
            131_055 => Words {
                english: "SIP is on for this number: calls go to the telephone server and not through the Graph API.",
                russian: "Для номера включён SIP: звонки идут на телефонный сервер, а не через Graph API.",
            },
            _ => return None,
        };
        Some(words.in_language(language))
    }

    /// The same with what is ours in one language; Meta's words stay Meta's.
    #[must_use]
    pub fn told(&self, language: Language) -> Self {
        match &self.own {
            Some(own) => Self {
                title: own.title(language).to_owned(),
                details: Some(own.details(language)),
                ..self.clone()
            },
            None => self.clone(),
        }
    }

    /// As the API shows it.
    pub fn to_json(&self, language: Language) -> Value {
        let told = self.told(language);
        json!({
            "code": self.code.to_string(),
            "subcode": self.subcode.map(|code| code.to_string()),
            "title": told.title,
            "details": told.details,
            "hint": self.hint(language),
            "documentation": TROUBLESHOOTING,
            "line": told.line(),
            "fbtrace_id": self.fbtrace_id,
            "at": self.at,
        })
    }
}

/// What a failed call means for a save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Meta said no; somebody has to change something.
    Refused(Box<ApiError>),
    /// It was not done and may be tried again.
    Passing(Box<ApiError>),
    /// It may have been done.
    Unknown(Box<ApiError>),
}

impl Failure {
    /// Judges a failed call.
    pub(in crate::calling) fn of(error: &Error) -> Self {
        let told = Box::new(error.api().cloned().unwrap_or_else(|| ApiError {
            code: Some(0),
            message: error.to_string(),
            ..ApiError::default()
        }));
        match error.class() {
            Class::Unknown => Self::Unknown(told),
            Class::Limited { .. } | Class::Retry { .. } => Self::Passing(told),
            _ => Self::Refused(told),
        }
    }
}
