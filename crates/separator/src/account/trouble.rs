//! What can be wrong between us and Meta, with what to do about it, in every language.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::translate::message::Language;

/// Something is wrong, or may be. Stored as JSON; the words are made when somebody reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Trouble {
    /// There is no access token.
    NoToken,
    /// The token has expired.
    TokenExpired,
    /// The token was taken back, or its user's password was changed.
    TokenRevoked,
    /// Meta does not take it as a token at all.
    TokenInvalid,
    /// The token was issued for another app.
    OtherApp {
        /// The App ID that it was issued for.
        app_id: String,
    },
    /// The token lacks a permission.
    MissingScope {
        /// The permission.
        scope: String,
    },
    /// The token ends soon.
    ExpiresSoon {
        /// Whole days that are left.
        days: i64,
    },
    /// It is the token of a person, who may leave or change the password.
    UserToken,
    /// App ID and App secret do not belong together.
    WrongSecret,
    /// The token sees no account.
    NoAccount,
    /// The token does not see this account.
    AccountInvisible {
        /// WABA id.
        waba_id: String,
    },
    /// The account is reached through another app here.
    AccountElsewhere {
        /// WABA id.
        waba_id: String,
    },
    /// Meta has not approved the account.
    AccountNotApproved {
        /// WABA id.
        waba_id: String,
        /// Meta's word for its state.
        state: String,
    },
    /// The number is not registered on the Cloud API.
    NotRegistered {
        /// Digits.
        phone: String,
    },
    /// The number has a two-step verification PIN that we do not know.
    PinNeeded {
        /// Digits.
        phone: String,
    },
    /// The number is entered here already, in another account or under another id.
    NumberElsewhere {
        /// Digits.
        phone: String,
    },
    /// What was chosen is not among the account's numbers.
    NumberUnknown {
        /// Phone number id.
        phone_id: String,
    },
    /// Meta could not reach our callback, or got another answer than it wanted.
    CallbackUnreachable {
        /// Meta's words.
        details: String,
    },
    /// Whether the app is in Live mode cannot be asked.
    LiveUnknown,
    /// Meta did not answer.
    Silent {
        /// What the connection said.
        details: String,
    },
    /// Meta refused for a reason that has no words here.
    Refused {
        /// Meta's words, with its code.
        details: String,
    },
}

/// How much a trouble hinders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing works before it is put right.
    Blocks,
    /// It works, and will not for long or not in every respect.
    Warns,
    /// Something to know.
    Note,
}

impl Severity {
    /// As the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Warns => "warns",
            Self::Note => "note",
        }
    }
}

/// What happened and what to do, each in English and in Russian.
struct Said {
    text: [String; 2],
    fix: [&'static str; 2],
}

const SYSTEM_USER: [&str; 2] = [
    "In Business Settings, Users, System users, generate a token for this app with whatsapp_business_management and \
     whatsapp_business_messaging that never expires, and enter it here.",
    "В настройках компании (Business Settings → Users → System users) создайте для этого приложения бессрочный токен с \
     разрешениями whatsapp_business_management и whatsapp_business_messaging и введите его здесь.",
];

const ACCOUNT_ACCESS: [&str; 2] = [
    "In Business Settings, Accounts, WhatsApp accounts, give the token's system user full access to the account, then \
     check again.",
    "В настройках компании (Business Settings → Accounts → WhatsApp accounts) дайте системному пользователю токена \
     полный доступ к аккаунту и проверьте снова.",
];

impl Trouble {
    /// What a failed call to Meta means, where nothing more is known about it.
    pub fn of(error: &whatsapp::Error) -> Self {
        match error.api() {
            Some(api) if api.is_token() => Self::of_token(api.subcode),
            Some(_) => Self::Refused {
                details: error.to_string(),
            },
            None => Self::Silent {
                details: error.to_string(),
            },
        }
    }

    /// What code 190 with this subcode means. Source: Meta, "Graph API: handling errors".
    pub fn of_token(subcode: Option<i64>) -> Self {
        match subcode {
            Some(463) => Self::TokenExpired,
            Some(458..=460 | 464) => Self::TokenRevoked,
            _ => Self::TokenInvalid,
        }
    }

    /// Its name for programs.
    pub fn code(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value["code"].as_str().unwrap_or_default().to_owned()
    }

    /// How much it hinders.
    pub fn severity(&self) -> Severity {
        match self {
            Self::ExpiresSoon { .. }
            | Self::UserToken
            | Self::AccountNotApproved { .. }
            | Self::NotRegistered { .. }
            | Self::PinNeeded { .. }
            | Self::AccountInvisible { .. } => Severity::Warns,
            Self::LiveUnknown => Severity::Note,
            _ => Severity::Blocks,
        }
    }

    /// What is wrong, one sentence.
    pub fn text(&self, language: Language) -> String {
        let [english, russian] = self.said().text;
        match language {
            Language::English => english,
            Language::Russian => russian,
        }
    }

    /// What to do about it.
    pub fn fix(&self, language: Language) -> &'static str {
        let [english, russian] = self.said().fix;
        match language {
            Language::English => english,
            Language::Russian => russian,
        }
    }

    /// As the API shows it.
    pub fn show(&self, language: Language) -> Value {
        json!({
            "code": self.code(),
            "severity": self.severity().as_str(),
            "text": self.text(language),
            "fix": self.fix(language),
        })
    }

    fn said(&self) -> Said {
        match self {
            Self::NoToken
            | Self::TokenExpired
            | Self::TokenRevoked
            | Self::TokenInvalid
            | Self::OtherApp { .. }
            | Self::MissingScope { .. }
            | Self::ExpiresSoon { .. }
            | Self::UserToken
            | Self::WrongSecret => self.said_of_token(),
            Self::NoAccount
            | Self::AccountInvisible { .. }
            | Self::AccountElsewhere { .. }
            | Self::AccountNotApproved { .. } => self.said_of_account(),
            Self::NotRegistered { .. }
            | Self::PinNeeded { .. }
            | Self::NumberElsewhere { .. }
            | Self::NumberUnknown { .. } => self.said_of_number(),
            Self::CallbackUnreachable { details } => said(
                format!("Meta did not take the callback address: {details}"),
                format!("Meta не приняла адрес обратного вызова: {details}"),
                [
                    "The address must be reachable from the internet over HTTPS with a valid certificate, without a \
                     redirect or a login in front of it. Put that right and try again.",
                    "Адрес должен быть доступен из интернета по HTTPS с действительным сертификатом, без перенаправлений \
                     и без входа по паролю. Исправьте и повторите.",
                ],
            ),
            Self::LiveUnknown => said(
                "Meta does not tell whether the app is in Live mode. In Development mode no customer's message arrives."
                    .to_owned(),
                "Meta не сообщает, включён ли режим Live. В режиме Development сообщения клиентов не приходят.".to_owned(),
                [
                    "In the app's dashboard, look that the switch at the top says Live.",
                    "В панели приложения проверьте, что переключатель вверху стоит в положении Live.",
                ],
            ),
            Self::Silent { details } => said(
                format!("Meta could not be reached: {details}."),
                format!("Meta не ответила: {details}."),
                [
                    "Check that this server may reach graph.facebook.com, and try again.",
                    "Проверьте, что сервер может обращаться к graph.facebook.com, и повторите.",
                ],
            ),
            Self::Refused { details } => said(
                details.clone(),
                details.clone(),
                [
                    "Put right what Meta names, then try again.",
                    "Исправьте то, на что указывает Meta, и повторите.",
                ],
            ),
        }
    }

    fn said_of_token(&self) -> Said {
        match self {
            Self::TokenExpired => said(
                "The access token has expired.".to_owned(),
                "Срок действия токена доступа истёк.".to_owned(),
                SYSTEM_USER,
            ),
            Self::TokenRevoked => said(
                "The access token no longer works: it was taken back, or its user changed the password or left."
                    .to_owned(),
                "Токен доступа больше не работает: его отозвали либо его владелец сменил пароль или ушёл.".to_owned(),
                SYSTEM_USER,
            ),
            Self::TokenInvalid => said(
                "Meta does not know this access token.".to_owned(),
                "Meta не знает такого токена доступа.".to_owned(),
                [
                    "Copy the whole token again, without blanks, and enter it.",
                    "Скопируйте токен ещё раз целиком, без пробелов, и введите его.",
                ],
            ),
            Self::OtherApp { app_id } => said(
                format!("The access token belongs to another app (App ID {app_id})."),
                format!("Токен доступа принадлежит другому приложению (App ID {app_id})."),
                [
                    "Generate the token for this app, or enter the App ID and App secret of the other one.",
                    "Создайте токен для этого приложения или введите App ID и App secret того другого.",
                ],
            ),
            Self::MissingScope { scope } => said(
                format!("The access token lacks the permission {scope}."),
                format!("У токена доступа нет разрешения {scope}."),
                [
                    "Generate the token again with this permission ticked, and enter it.",
                    "Создайте токен заново, отметив это разрешение, и введите его.",
                ],
            ),
            Self::ExpiresSoon { days } => said(
                format!("The access token ends in {days} days."),
                format!("Токен доступа истекает, осталось дней: {days}."),
                SYSTEM_USER,
            ),
            Self::UserToken => said(
                "This is the token of a person: it ends when the person leaves or changes the password.".to_owned(),
                "Это токен человека: он перестанет работать, когда человек уйдёт или сменит пароль.".to_owned(),
                SYSTEM_USER,
            ),
            Self::WrongSecret => said(
                "App ID and App secret do not belong together.".to_owned(),
                "App ID и App secret не подходят друг к другу.".to_owned(),
                [
                    "Copy both again from the app's dashboard, App settings, Basic.",
                    "Скопируйте оба значения ещё раз из панели приложения: App settings → Basic.",
                ],
            ),
            _ => said(
                "There is no access token.".to_owned(),
                "Токен доступа не задан.".to_owned(),
                SYSTEM_USER,
            ),
        }
    }

    fn said_of_account(&self) -> Said {
        match self {
            Self::AccountInvisible { waba_id } => said(
                format!("The access token does not see the WhatsApp Business account {waba_id}."),
                format!("Токен доступа не видит аккаунт WhatsApp Business {waba_id}."),
                ACCOUNT_ACCESS,
            ),
            Self::AccountElsewhere { waba_id } => said(
                format!(
                    "The WhatsApp Business account {waba_id} is entered here under another application."
                ),
                format!(
                    "Аккаунт WhatsApp Business {waba_id} уже введён здесь в другом приложении."
                ),
                [
                    "Use that application, or remove the account there first.",
                    "Используйте то приложение или сначала удалите аккаунт в нём.",
                ],
            ),
            Self::AccountNotApproved { waba_id, state } => said(
                format!(
                    "Meta has not approved the WhatsApp Business account {waba_id} (state {state})."
                ),
                format!(
                    "Meta не одобрила аккаунт WhatsApp Business {waba_id} (состояние {state})."
                ),
                [
                    "Look at the account in WhatsApp Manager; it says what Meta waits for.",
                    "Откройте аккаунт в WhatsApp Manager: там написано, чего ждёт Meta.",
                ],
            ),
            _ => said(
                "The access token sees no WhatsApp Business account.".to_owned(),
                "Токен доступа не видит ни одного аккаунта WhatsApp Business.".to_owned(),
                ACCOUNT_ACCESS,
            ),
        }
    }

    fn said_of_number(&self) -> Said {
        match self {
            Self::PinNeeded { phone } => said(
                format!("The number +{phone} is protected by a two-step verification PIN."),
                format!("Номер +{phone} защищён PIN-кодом двухэтапной проверки."),
                [
                    "Enter its six digits and go on, or switch two-step verification off in WhatsApp Manager.",
                    "Введите шесть цифр PIN-кода и продолжите или отключите двухэтапную проверку в WhatsApp Manager.",
                ],
            ),
            Self::NumberElsewhere { phone } => said(
                format!(
                    "The number +{phone} is entered here already, in another account or under another phone id."
                ),
                format!("Номер +{phone} уже введён здесь в другом аккаунте или с другим phone id."),
                [
                    "Remove it there first, or leave it where it is.",
                    "Сначала удалите его там или оставьте как есть.",
                ],
            ),
            Self::NumberUnknown { phone_id } => said(
                format!(
                    "Meta lists no number with the phone id {phone_id} in the chosen accounts."
                ),
                format!("В выбранных аккаунтах Meta нет номера с phone id {phone_id}."),
                [
                    "Check again and choose from the numbers that are shown.",
                    "Проверьте снова и выберите из показанных номеров.",
                ],
            ),
            Self::NotRegistered { phone } => said(
                format!("The number +{phone} is not registered on the Cloud API."),
                format!("Номер +{phone} не зарегистрирован в Cloud API."),
                [
                    "Connecting it registers it.",
                    "При подключении он будет зарегистрирован.",
                ],
            ),
            _ => said(String::new(), String::new(), ["", ""]),
        }
    }
}

fn said(english: String, russian: String, fix: [&'static str; 2]) -> Said {
    Said {
        text: [english, russian],
        fix,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn all() -> Vec<Trouble> {
        let text = |text: &str| text.to_owned();
        vec![
            Trouble::NoToken,
            Trouble::TokenExpired,
            Trouble::TokenRevoked,
            Trouble::TokenInvalid,
            Trouble::OtherApp { app_id: text("7") },
            Trouble::MissingScope { scope: text("s") },
            Trouble::ExpiresSoon { days: 3 },
            Trouble::UserToken,
            Trouble::WrongSecret,
            Trouble::NoAccount,
            Trouble::AccountInvisible { waba_id: text("1") },
            Trouble::AccountElsewhere { waba_id: text("1") },
            Trouble::AccountNotApproved {
                waba_id: text("1"),
                state: text("PENDING"),
            },
            Trouble::NotRegistered { phone: text("49") },
            Trouble::PinNeeded { phone: text("49") },
            Trouble::NumberElsewhere { phone: text("49") },
            Trouble::NumberUnknown {
                phone_id: text("1"),
            },
            Trouble::CallbackUnreachable { details: text("d") },
            Trouble::LiveUnknown,
            Trouble::Silent { details: text("d") },
            Trouble::Refused { details: text("d") },
        ]
    }

    #[test]
    fn each_has_a_code_words_and_a_way_out_in_both_languages_and_survives_the_store() {
        let mut codes = std::collections::BTreeSet::new();
        for trouble in all() {
            assert!(codes.insert(trouble.code()), "{trouble:?}");
            for language in [Language::English, Language::Russian] {
                assert!(!trouble.text(language).is_empty(), "{trouble:?}");
                assert!(!trouble.fix(language).is_empty(), "{trouble:?}");
            }
            if !matches!(trouble, Trouble::Refused { .. }) {
                assert_ne!(
                    trouble.text(Language::English),
                    trouble.text(Language::Russian)
                );
            }
            assert_ne!(
                trouble.fix(Language::English),
                trouble.fix(Language::Russian)
            );
            let stored = serde_json::to_string(&trouble).unwrap();
            assert_eq!(serde_json::from_str::<Trouble>(&stored).unwrap(), trouble);
        }
    }

    #[test]
    fn the_subcode_of_190_says_what_became_of_a_token() {
        for (subcode, wanted) in [
            (Some(463), Trouble::TokenExpired),
            (Some(460), Trouble::TokenRevoked),
            (Some(458), Trouble::TokenRevoked),
            (Some(467), Trouble::TokenInvalid),
            (None, Trouble::TokenInvalid),
        ] {
            assert_eq!(Trouble::of_token(subcode), wanted);
        }
    }
}
