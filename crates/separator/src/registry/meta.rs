//! What Meta says about what is set up: tokens, accounts, numbers. Found by our ids of those who have them.

use std::collections::HashMap;

use uuid::Uuid;

use crate::{account::Trouble, time::Millis};

/// Whether an access token can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// It works.
    Ok,
    /// It works and ends within 14 days.
    Expiring,
    /// It does not work, or not for what we need.
    Broken,
    /// It could not be looked at yet.
    Unknown,
}

impl TokenState {
    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Expiring => "expiring",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
        }
    }

    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "ok" => Self::Ok,
            "expiring" => Self::Expiring,
            "broken" => Self::Broken,
            _ => Self::Unknown,
        }
    }
}

/// An access token as Meta described it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHealth {
    /// `SYSTEM_USER`, `USER` …
    pub kind: Option<String>,
    /// Whether it can be used.
    pub state: TokenState,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it ends; none: never.
    pub expires_at: Option<Millis>,
    /// What is wrong with it.
    pub trouble: Option<Trouble>,
    /// When it was looked at.
    pub checked_at: Millis,
    /// When it is looked at again.
    pub due_at: Millis,
}

/// What is known of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFacts {
    /// Meta's review of it: `APPROVED`, `PENDING`, `REJECTED` …
    pub review: Option<String>,
    /// What a callback said about it that somebody should know.
    pub notice: Option<String>,
    /// When the callback said so.
    pub notice_at: Option<Millis>,
    /// When its numbers and templates were fetched.
    pub synced_at: Option<Millis>,
    /// What stood in the way the last time.
    pub trouble: Option<Trouble>,
    /// When they are fetched again.
    pub due_at: Millis,
}

/// What is known of a number. Words of Meta's, which may be others than are documented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberFacts {
    /// The name that customers see.
    pub verified_name: Option<String>,
    /// `CONNECTED`, `PENDING`, `FLAGGED`, `RESTRICTED`, `BANNED` …
    pub status: Option<String>,
    /// `GREEN`, `YELLOW`, `RED` or `UNKNOWN`.
    pub quality: Option<String>,
    /// `TIER_250` … `TIER_UNLIMITED`.
    pub messaging_limit: Option<String>,
    /// `STANDARD` or `HIGH`.
    pub throughput: Option<String>,
    /// State of the name's review.
    pub name_status: Option<String>,
    /// Whether it is used with the phone app as well.
    pub on_phone_app: bool,
    /// What a callback said about it last.
    pub notice: Option<String>,
    /// When the callback said so.
    pub notice_at: Option<Millis>,
    /// When it was asked for.
    pub updated_at: Millis,
}

/// Everything of the kind. One for the whole set-up: whoever sees a part of it looks up the ids of that part.
#[derive(Debug, Default)]
pub struct MetaFacts {
    /// By the app or the account that has the token.
    pub tokens: HashMap<Uuid, TokenHealth>,
    /// By account.
    pub accounts: HashMap<Uuid, AccountFacts>,
    /// By number.
    pub numbers: HashMap<Uuid, NumberFacts>,
}
