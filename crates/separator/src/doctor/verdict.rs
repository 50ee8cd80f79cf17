//! What a check says, about what, and in which words.

use serde::{Deserialize, Serialize};

use super::repair::Repair;
use crate::translate::{message::Language, notes::Words};

/// The same text in every language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// In English.
    pub english: String,
    /// In Russian.
    pub russian: String,
}

impl Text {
    /// Two texts that say the same.
    pub fn of(english: &str, russian: &str) -> Self {
        Self {
            english: english.to_owned(),
            russian: russian.to_owned(),
        }
    }

    /// The text in one language.
    pub fn in_language(&self, language: Language) -> &str {
        match language {
            Language::English => &self.english,
            Language::Russian => &self.russian,
        }
    }
}

/// Makes a [`Text`]: the same sentence in English and in Russian, each with the values in its place.
macro_rules! text {
    ($english:literal, $russian:literal $(,)?) => {
        $crate::doctor::Text {
            english: format!($english),
            russian: format!($russian),
        }
    };
}
pub(crate) use text;

/// What a check says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Yes. Some things are worth knowing all the same.
    Fine(Option<Text>),
    /// No.
    Fault {
        /// What is wrong.
        cause: Text,
        /// The one thing to do about it.
        fix: Text,
    },
    /// Don't know, and why.
    Unknown(Text),
}

impl Verdict {
    /// Yes, and nothing more to say.
    pub(super) const FINE: Self = Self::Fine(None);

    /// No.
    pub(super) fn fault(cause: Text, fix: Text) -> Self {
        Self::Fault { cause, fix }
    }
}

/// What checks are grouped by; the order is that of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    /// The program and its machine.
    Installation,
    /// The address under which others reach it.
    Site,
    /// A Meta app.
    MetaApp,
    /// An access token of Meta's.
    MetaToken,
    /// A WhatsApp Business Account.
    Account,
    /// A business number at Meta.
    Number,
    /// A Bitrix24 portal and the application on it.
    Portal,
    /// A number's connector and open line.
    Line,
    /// Calls of a number.
    Calling,
    /// What waits, and what was given up.
    Queue,
}

impl Group {
    /// As the API says it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Installation => "installation",
            Self::Site => "site",
            Self::MetaApp => "meta_app",
            Self::MetaToken => "meta_token",
            Self::Account => "account",
            Self::Number => "number",
            Self::Portal => "portal",
            Self::Line => "line",
            Self::Calling => "calling",
            Self::Queue => "queue",
        }
    }
}

/// What a check is, apart from how it looks.
#[derive(Debug)]
pub(crate) struct About {
    /// Its name, also the heading in `docs/doctor.md`.
    pub id: &'static str,
    /// Where it stands on the page.
    pub group: Group,
    /// What is checked, as a statement that holds when all is well.
    pub title: Words,
    /// What can be done about a fault through an API.
    pub repair: Option<Repair>,
    /// Whether a fault raises an alarm here; not where another part of the program raises one for the same trouble.
    pub alarm: bool,
}

impl About {
    /// A check that no API can mend and that raises an alarm.
    pub(super) const fn new(
        id: &'static str,
        group: Group,
        english: &'static str,
        russian: &'static str,
    ) -> Self {
        Self {
            id,
            group,
            title: Words { english, russian },
            repair: None,
            alarm: true,
        }
    }

    /// The same with a way to mend it.
    pub(super) const fn mended_by(self, repair: Repair) -> Self {
        Self {
            repair: Some(repair),
            ..self
        }
    }

    /// The same without an alarm: another part of the program raises one.
    pub(super) const fn without_alarm(self) -> Self {
        Self {
            alarm: false,
            ..self
        }
    }
}

/// A check: what it is, and how it judges what was seen.
pub(super) struct Check<S: 'static> {
    pub(super) about: About,
    pub(super) judge: fn(&S) -> Verdict,
}

/// Judges what was seen of a subject by all checks of a table.
pub(super) fn judge_all<S>(
    checks: &'static [Check<S>],
    seen: &S,
    subject: &Subject,
) -> Vec<Finding> {
    checks
        .iter()
        .map(|check| Finding::new(&check.about, subject, (check.judge)(seen)))
        .collect()
}

/// What a check is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// `installation`, `site`, `waba_app`, `account`, `phone` or `instance`.
    pub kind: String,
    /// Our id of it; empty for the installation.
    pub id: String,
    /// What people call it.
    pub name: String,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Yes.
    Ok,
    /// No.
    Fault,
    /// Don't know.
    Unknown,
}

impl State {
    /// As the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Fault => "fault",
            Self::Unknown => "unknown",
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check's name.
    pub check: String,
    /// What it is about.
    pub subject: Subject,
    /// How it ended.
    pub state: State,
    /// What is wrong, why nobody knows, or what is worth knowing.
    pub cause: Option<Text>,
    /// What to do.
    pub fix: Option<Text>,
}

impl Finding {
    pub(super) fn new(about: &About, subject: &Subject, verdict: Verdict) -> Self {
        let (state, cause, fix) = match verdict {
            Verdict::Fine(note) => (State::Ok, note, None),
            Verdict::Fault { cause, fix } => (State::Fault, Some(cause), Some(fix)),
            Verdict::Unknown(why) => (State::Unknown, Some(why), None),
        };
        Self {
            check: about.id.to_owned(),
            subject: subject.clone(),
            state,
            cause,
            fix,
        }
    }
}
