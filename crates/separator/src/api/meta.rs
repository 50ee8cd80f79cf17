//! How what Meta says about apps, accounts and numbers is shown.

use serde_json::{Value, json};

use super::operation::{Described, Field, Purpose, Shape};
use crate::{
    account::Trouble,
    registry::{
        Account, Registry, WabaApp,
        meta::{NumberFacts, TokenHealth},
    },
    translate::message::Language,
};

const SEVERITIES: &[&str] = &["blocks", "warns", "note"];

const TROUBLE_FIELDS: &[Field] = &[
    Field::read(
        "code",
        Shape::Text,
        "Its name for programs.",
        "token_expired",
    ),
    Field::read(
        "severity",
        Shape::OneOf(SEVERITIES),
        "Whether nothing works before it is put right, it works but not for long or not in every respect, or it is only \
         something to know.",
        "blocks",
    ),
    Field::read(
        "text",
        Shape::Text,
        "What is wrong, in the caller's language.",
        "The access token has expired.",
    ),
    Field::read(
        "fix",
        Shape::Text,
        "What to do about it, in the caller's language.",
        "Generate a token and enter it here.",
    ),
];

const TOKEN_FIELDS: &[Field] = &[
    Field::nullable(
        "kind",
        Shape::Text,
        "SYSTEM_USER, USER …; null until Meta was asked.",
        "SYSTEM_USER",
    ),
    Field::read(
        "state",
        Shape::OneOf(&["ok", "expiring", "broken", "unknown"]),
        "Whether it can be used: it works; it ends within 14 days; it does not work or not for what is needed; Meta was \
         not asked yet or did not answer.",
        "ok",
    ),
    Field::read("scopes", Shape::Texts, "What it may do.", ""),
    Field::nullable(
        "expires_at",
        Shape::Time,
        "When it ends; null: never, or not known.",
        "",
    ),
    Field::nullable("checked_at", Shape::Time, "When Meta was asked.", ""),
    Field::nullable(
        "problem",
        Shape::Object("Trouble"),
        "What is wrong with it.",
        "",
    ),
];

const NUMBER_FIELDS: &[Field] = &[
    Field::nullable(
        "verified_name",
        Shape::Text,
        "The name that customers see.",
        "Acme",
    ),
    Field::nullable(
        "status",
        Shape::Text,
        "CONNECTED, PENDING, FLAGGED …",
        "CONNECTED",
    ),
    Field::nullable(
        "quality",
        Shape::Text,
        "GREEN, YELLOW, RED or UNKNOWN.",
        "GREEN",
    ),
    Field::nullable(
        "messaging_limit",
        Shape::Text,
        "TIER_250 … TIER_UNLIMITED: customers a day who did not write first.",
        "TIER_2K",
    ),
    Field::nullable("throughput", Shape::Text, "STANDARD or HIGH.", "STANDARD"),
    Field::nullable(
        "name_status",
        Shape::Text,
        "State of the name's review.",
        "APPROVED",
    ),
    Field::read(
        "on_phone_app",
        Shape::Boolean,
        "Whether it is used with the phone app as well.",
        "false",
    ),
    Field::nullable(
        "notice",
        Shape::Text,
        "What Meta told about it last.",
        "FLAGGED",
    ),
    Field::nullable("notice_at", Shape::Time, "When Meta told it.", ""),
    Field::read(
        "updated_at",
        Shape::Time,
        "When Meta was asked.",
        "2026-11-23T04:47:32.010Z",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "Trouble",
        purpose: Purpose::Shown,
        description: "Something that is wrong between us and Meta, and what to do about it.",
        fields: TROUBLE_FIELDS,
    },
    Described {
        name: "TokenHealth",
        purpose: Purpose::Shown,
        description: "An access token as Meta described it last. Looked at when it is saved, when Meta refuses it, and \
                      daily.",
        fields: TOKEN_FIELDS,
    },
    Described {
        name: "NumberFacts",
        purpose: Purpose::Shown,
        description: "What Meta says about a number.",
        fields: NUMBER_FIELDS,
    },
];

/// Something that is wrong, or null.
pub(super) fn trouble(trouble: Option<&Trouble>, language: Language) -> Value {
    trouble.map_or(Value::Null, |trouble| trouble.show(language))
}

/// The token that an app has; null where it has none.
pub(super) fn token_of_app(app: &WabaApp, registry: &Registry, language: Language) -> Value {
    match app.access_token {
        Some(_) => token(registry.meta.tokens.get(&app.id), language),
        None => Value::Null,
    }
}

/// The token with which an account is reached: its own or its app's; null where neither has one.
pub(super) fn token_of_account(
    account: &Account,
    registry: &Registry,
    language: Language,
) -> Value {
    if account.access_token.is_some() {
        return token(registry.meta.tokens.get(&account.id), language);
    }
    match registry.waba_apps.get(&account.app_id) {
        Some(app) => token_of_app(app, registry, language),
        None => Value::Null,
    }
}

fn token(health: Option<&TokenHealth>, language: Language) -> Value {
    let Some(health) = health else {
        return json!({
            "kind": null, "state": "unknown", "scopes": [], "expires_at": null, "checked_at": null, "problem": null,
        });
    };
    json!({
        "kind": health.kind,
        "state": health.state.as_str(),
        "scopes": health.scopes,
        "expires_at": health.expires_at,
        "checked_at": health.checked_at,
        "problem": trouble(health.trouble.as_ref(), language),
    })
}

/// What is known of a number; null where Meta was not asked.
pub(super) fn number(facts: Option<&NumberFacts>) -> Value {
    let Some(facts) = facts else {
        return Value::Null;
    };
    json!({
        "verified_name": facts.verified_name,
        "status": facts.status,
        "quality": facts.quality,
        "messaging_limit": facts.messaging_limit,
        "throughput": facts.throughput,
        "name_status": facts.name_status,
        "on_phone_app": facts.on_phone_app,
        "notice": facts.notice,
        "notice_at": facts.notice_at,
        "updated_at": facts.updated_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{registry::meta::TokenState, time::Millis};

    #[test]
    fn what_is_shown_is_what_is_described() {
        let health = TokenHealth {
            kind: Some("USER".to_owned()),
            state: TokenState::Broken,
            scopes: vec!["x".to_owned()],
            expires_at: Some(Millis(1)),
            trouble: Some(Trouble::TokenExpired),
            checked_at: Millis(0),
            due_at: Millis(0),
        };
        let describe = crate::api::description::assert_described;
        for shown in [
            token(None, Language::English),
            token(Some(&health), Language::Russian),
        ] {
            describe("TokenHealth", &shown);
        }
        describe(
            "Trouble",
            &trouble(Some(&Trouble::NoAccount), Language::Russian),
        );
        let facts = NumberFacts {
            verified_name: None,
            status: None,
            quality: None,
            messaging_limit: None,
            throughput: None,
            name_status: None,
            on_phone_app: false,
            notice: None,
            notice_at: None,
            updated_at: Millis(0),
        };
        describe("NumberFacts", &number(Some(&facts)));
    }
}
