//! The health of access tokens: looked at when one is saved, when Graph says 190, and daily.
//!
//! A token that stopped working stops its numbers before a message has to fail; one that works again lets them go on.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;
use whatsapp::client::{Credentials, TokenInfo};

use super::{Trouble, client, pause_for, resume_all};
use crate::{
    app::App,
    registry::{
        Registry, WabaApp,
        meta::{TokenHealth, TokenState},
    },
    secret::Secret,
    store::{self, instances, meta},
    time::Millis,
};

/// What a token must be allowed to do. Source: Meta, "WhatsApp Business Platform: permissions".
pub const SCOPES: [&str; 2] = [
    "whatsapp_business_management",
    "whatsapp_business_messaging",
];

/// Kind of the alarm that a token ends within 14 days; the subject is the app or the account that has it.
pub const EXPIRING_ALARM: &str = "token_expiring";
/// Kind of the alarm that a token ends within 3 days.
pub const EXPIRES_SOON_ALARM: &str = "token_expires_soon";
/// Kind of the alarm that a token does not work.
pub const BROKEN_ALARM: &str = "token_broken";

const DAY: Duration = Duration::from_hours(24);
/// How long before a token's end it is warned of, first and last.
const EARLY: i64 = 14;
const LATE: i64 = 3;
/// A look at a token that Meta did not answer is repeated after this.
const SILENCE: Duration = Duration::from_mins(10);
/// A broken token may be mended at Meta without anybody telling us.
const BROKEN: Duration = Duration::from_hours(1);

/// Whose token it is, with all that is needed to ask about it.
pub(super) struct Holder<'a> {
    pub(super) id: Uuid,
    pub(super) token: &'a Secret,
    pub(super) app: &'a WabaApp,
    /// For sentences: what the token belongs to.
    pub(super) name: String,
}

/// All who have a token.
pub(super) fn holders(registry: &Registry) -> Vec<Holder<'_>> {
    let of_apps = registry.waba_apps.values().filter_map(|app| {
        Some(Holder {
            id: app.id,
            token: app.access_token.as_ref()?,
            app,
            name: format!("the application \"{}\"", app.name),
        })
    });
    let of_accounts = registry.accounts.values().filter_map(|account| {
        Some(Holder {
            id: account.id,
            token: account.access_token.as_ref()?,
            app: registry.waba_apps.get(&account.app_id)?,
            name: format!("the account {}", account.waba_id),
        })
    });
    of_apps.chain(of_accounts).collect()
}

/// When the token of a holder is to be looked at; at once where it never was.
pub(super) fn due_at(registry: &Registry, holder: Uuid) -> Millis {
    let health = registry.meta.tokens.get(&holder);
    health.map_or(Millis(0), |health| health.due_at)
}

/// Looks at the token of a holder, stores what it is like, and does what follows from it.
pub(super) async fn check(app: &Arc<App>, id: Uuid) -> Result<(), store::Error> {
    let registry = app.directory.snapshot();
    let holders = holders(&registry);
    let Some(holder) = holders.iter().find(|holder| holder.id == id) else {
        // The token was taken away; what was said about it goes with it.
        forget(app, id).await?;
        return app.refresh_meta().await;
    };
    let before = registry.meta.tokens.get(&id);
    let now = app.clock.now();
    let health = match look(app, holder).await {
        Ok(info) => judge(&info, &holder.app.client_id, now),
        Err(error) => unanswered(&error, before, now),
    };
    // Entered anew while Meta was asked: what was learned is about the old one.
    let same = {
        let now = app.directory.snapshot();
        let current = self::holders(&now);
        current
            .iter()
            .any(|current| current.id == id && current.token.expose() == holder.token.expose())
    };
    if !same {
        return Ok(());
    }
    meta::save_token(&app.store, id, &health).await?;
    alarm(app, id, &holder.name, &health).await?;
    app.refresh_meta().await?;
    let was_broken = before.is_some_and(|before| before.state == TokenState::Broken);
    match (health.state, &health.trouble) {
        (
            TokenState::Broken,
            Some(trouble @ (Trouble::TokenExpired | Trouble::TokenRevoked | Trouble::TokenInvalid)),
        ) => {
            for phone in users_of(&registry, id) {
                pause_for(app, phone, trouble).await;
            }
        }
        (TokenState::Ok | TokenState::Expiring, _) if was_broken => resume_all(app, id).await?,
        _ => {}
    }
    Ok(())
}

/// Forgets what was known about the token of an app or account, with its alarms.
pub(super) async fn forget(app: &App, holder: Uuid) -> Result<(), store::Error> {
    meta::forget_token(&app.store, holder).await?;
    for kind in [EXPIRING_ALARM, EXPIRES_SOON_ALARM, BROKEN_ALARM] {
        instances::clear_alarm(&app.store, app.clock.now(), kind, &holder.to_string()).await?;
    }
    Ok(())
}

/// The numbers that are reached with the token of a holder.
fn users_of(registry: &Registry, holder: Uuid) -> Vec<Uuid> {
    let uses = |phone: &&Arc<crate::registry::Phone>| {
        registry.app_of(phone).is_some_and(|(account, app)| {
            account.id == holder || (app.id == holder && account.access_token.is_none())
        })
    };
    registry
        .phones
        .values()
        .filter(uses)
        .map(|phone| phone.id)
        .collect()
}

async fn look(app: &App, holder: &Holder<'_>) -> Result<TokenInfo, whatsapp::Error> {
    let secret = whatsapp::Secret::new(holder.app.client_secret.expose());
    let own = Credentials::of_app(&holder.app.client_id, &secret);
    client(app)
        .debug_token(&own, &whatsapp::Secret::new(holder.token.expose()))
        .await
}

/// What is wrong with a token, as far as the token itself says; the worst comes first.
pub(super) fn troubles(info: &TokenInfo, client_id: &str, now: Millis) -> Vec<Trouble> {
    if !info.is_valid {
        let subcode = info.error.as_ref().and_then(|error| error.subcode);
        return vec![Trouble::of_token(subcode)];
    }
    let mut found = Vec::new();
    if let Some(other) = info.app_id.as_ref().filter(|other| *other != client_id) {
        found.push(Trouble::OtherApp {
            app_id: other.clone(),
        });
    }
    // What cannot send is worse than what cannot be managed.
    for scope in SCOPES.into_iter().rev() {
        if !info.may(scope) {
            found.push(Trouble::MissingScope {
                scope: scope.to_owned(),
            });
        }
    }
    if let Some(days) = ends_at(info).map(|end| days_left(end, now))
        && days <= EARLY
    {
        found.push(Trouble::ExpiresSoon { days });
    }
    if info.kind.as_deref() == Some("USER") {
        found.push(Trouble::UserToken);
    }
    found
}

/// When a token ends, or stops seeing data, which is the same for us.
pub(super) fn ends_at(info: &TokenInfo) -> Option<Millis> {
    let both = [info.expires_at, info.data_access_expires_at];
    both.into_iter().flatten().min().map(Millis::from_seconds)
}

fn days_left(end: Millis, now: Millis) -> i64 {
    let left = (end.0 - now.0).max(0);
    left / (24 * 60 * 60 * 1000)
}

fn judge(info: &TokenInfo, client_id: &str, now: Millis) -> TokenHealth {
    let trouble = troubles(info, client_id, now).into_iter().next();
    let state = match &trouble {
        None | Some(Trouble::UserToken) => TokenState::Ok,
        Some(Trouble::ExpiresSoon { .. }) => TokenState::Expiring,
        Some(_) => TokenState::Broken,
    };
    let expires_at = ends_at(info);
    let usual = if state == TokenState::Broken {
        now + BROKEN
    } else {
        now + DAY
    };
    // Its end is not slept through.
    let due_at = match expires_at {
        Some(end) if end > now => usual.min(end + Duration::from_secs(1)),
        _ => usual,
    };
    TokenHealth {
        kind: info.kind.clone(),
        state,
        scopes: info.scopes.clone(),
        expires_at,
        trouble,
        checked_at: now,
        due_at,
    }
}

/// What is known when Meta did not say: what was known before, or nothing. That App ID and App secret do not fit is an
/// answer too.
fn unanswered(error: &whatsapp::Error, before: Option<&TokenHealth>, now: Millis) -> TokenHealth {
    let unknown = TokenHealth {
        kind: None,
        state: TokenState::Unknown,
        scopes: Vec::new(),
        expires_at: None,
        trouble: Some(Trouble::of(error)),
        checked_at: now,
        due_at: now + SILENCE,
    };
    if is_wrong_secret(error) {
        return TokenHealth {
            state: TokenState::Broken,
            trouble: Some(Trouble::WrongSecret),
            due_at: now + BROKEN,
            ..unknown
        };
    }
    match before {
        Some(before) => TokenHealth {
            due_at: now + SILENCE,
            ..before.clone()
        },
        None => unknown,
    }
}

/// Whether Meta refused the app's own token, which is made of App ID and App secret: codes 190 and, for an id that is none,
/// 101; 1 is what the exchange of codes says.
pub(super) fn is_wrong_secret(error: &whatsapp::Error) -> bool {
    error
        .api()
        .is_some_and(|api| api.is_token() || matches!(api.code, Some(1 | 101)))
}

/// Alarms go at edges: the one that fits is raised, the others are cleared.
async fn alarm(
    app: &App,
    holder: Uuid,
    name: &str,
    health: &TokenHealth,
) -> Result<(), store::Error> {
    let now = app.clock.now();
    let fitting = fitting_alarm(health, name, now);
    for kind in [EXPIRING_ALARM, EXPIRES_SOON_ALARM, BROKEN_ALARM] {
        let subject = holder.to_string();
        match &fitting {
            Some((fits, text)) if *fits == kind => {
                let id = app.ids.next();
                if instances::raise_alarm(&app.store, id, now, kind, &subject, text).await? {
                    tracing::warn!(%holder, kind, "an access token needs attention");
                }
            }
            // Nothing was learned.
            _ if health.state == TokenState::Unknown => {}
            _ => {
                instances::clear_alarm(&app.store, now, kind, &subject).await?;
            }
        }
    }
    Ok(())
}

fn fitting_alarm(health: &TokenHealth, name: &str, now: Millis) -> Option<(&'static str, String)> {
    use crate::translate::message::Language::English;
    let trouble = health.trouble.as_ref()?;
    match health.state {
        TokenState::Broken => Some((
            BROKEN_ALARM,
            format!(
                "{} It is that of {name}. {}",
                trouble.text(English),
                trouble.fix(English)
            ),
        )),
        TokenState::Expiring => {
            let days = days_left(health.expires_at?, now);
            let kind = if days <= LATE {
                EXPIRES_SOON_ALARM
            } else {
                EXPIRING_ALARM
            };
            Some((
                kind,
                format!(
                    "The access token of {name} ends in {days} days. {}",
                    trouble.fix(English)
                ),
            ))
        }
        TokenState::Ok | TokenState::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use whatsapp::{ApiError, client::GranularScope};

    use super::*;

    const NOW: Millis = Millis(1_795_400_000_000);

    fn good() -> TokenInfo {
        TokenInfo {
            app_id: Some("7301".to_owned()),
            kind: Some("SYSTEM_USER".to_owned()),
            is_valid: true,
            scopes: SCOPES.map(str::to_owned).into(),
            ..TokenInfo::default()
        }
    }

    fn in_days(days: i64) -> Option<i64> {
        Some(NOW.seconds() + days * 24 * 60 * 60 + 60)
    }

    #[test]
    fn a_token_is_judged_by_its_worst_trouble() {
        let scope = |scope: &str| Trouble::MissingScope {
            scope: scope.to_owned(),
        };
        let expired = ApiError {
            code: Some(190),
            subcode: Some(463),
            ..ApiError::default()
        };
        for (info, state, trouble) in [
            (good(), TokenState::Ok, None),
            (
                TokenInfo {
                    expires_at: in_days(15),
                    ..good()
                },
                TokenState::Ok,
                None,
            ),
            (
                TokenInfo {
                    expires_at: in_days(14),
                    ..good()
                },
                TokenState::Expiring,
                Some(Trouble::ExpiresSoon { days: 14 }),
            ),
            (
                TokenInfo {
                    kind: Some("USER".to_owned()),
                    ..good()
                },
                TokenState::Ok,
                Some(Trouble::UserToken),
            ),
            (
                TokenInfo {
                    kind: Some("USER".to_owned()),
                    data_access_expires_at: in_days(2),
                    ..good()
                },
                TokenState::Expiring,
                Some(Trouble::ExpiresSoon { days: 2 }),
            ),
            (
                TokenInfo {
                    scopes: vec![SCOPES[0].to_owned()],
                    expires_at: in_days(2),
                    ..good()
                },
                TokenState::Broken,
                Some(scope(SCOPES[1])),
            ),
            (
                TokenInfo {
                    scopes: Vec::new(),
                    ..good()
                },
                TokenState::Broken,
                Some(scope(SCOPES[1])),
            ),
            (
                TokenInfo {
                    app_id: Some("9".to_owned()),
                    ..good()
                },
                TokenState::Broken,
                Some(Trouble::OtherApp {
                    app_id: "9".to_owned(),
                }),
            ),
            (
                TokenInfo {
                    is_valid: false,
                    error: Some(expired),
                    ..good()
                },
                TokenState::Broken,
                Some(Trouble::TokenExpired),
            ),
            (
                TokenInfo {
                    is_valid: false,
                    ..TokenInfo::default()
                },
                TokenState::Broken,
                Some(Trouble::TokenInvalid),
            ),
        ] {
            let health = judge(&info, "7301", NOW);
            assert_eq!((health.state, health.trouble), (state, trouble), "{info:?}");
        }
        let granular = TokenInfo {
            scopes: Vec::new(),
            granular_scopes: SCOPES
                .map(|scope| GranularScope {
                    scope: scope.to_owned(),
                    target_ids: Vec::new(),
                })
                .into(),
            ..good()
        };
        assert_eq!(judge(&granular, "7301", NOW).state, TokenState::Ok);
    }

    #[test]
    fn a_token_is_looked_at_daily_and_right_after_its_end() {
        assert_eq!(judge(&good(), "7301", NOW).due_at, NOW + DAY);
        let tonight = TokenInfo {
            expires_at: Some(NOW.seconds() + 3600),
            ..good()
        };
        assert_eq!(
            judge(&tonight, "7301", NOW).due_at,
            NOW + Duration::from_secs(3601)
        );
        let over = TokenInfo {
            is_valid: false,
            expires_at: Some(NOW.seconds() - 3600),
            ..good()
        };
        assert_eq!(judge(&over, "7301", NOW).due_at, NOW + BROKEN);
    }

    #[test]
    fn it_is_warned_fourteen_and_three_days_before_the_end() {
        for (days, kind) in [
            (20, None),
            (14, Some(EXPIRING_ALARM)),
            (4, Some(EXPIRING_ALARM)),
            (3, Some(EXPIRES_SOON_ALARM)),
            (0, Some(EXPIRES_SOON_ALARM)),
        ] {
            let info = TokenInfo {
                expires_at: in_days(days),
                ..good()
            };
            let alarm = fitting_alarm(&judge(&info, "7301", NOW), "the account 1", NOW);
            assert_eq!(alarm.as_ref().map(|(kind, _)| *kind), kind, "{days}");
            if let Some((_, text)) = alarm {
                assert!(text.contains("the account 1"), "{text}");
            }
        }
        let broken = TokenInfo {
            is_valid: false,
            ..good()
        };
        let (kind, _) = fitting_alarm(&judge(&broken, "7301", NOW), "x", NOW).unwrap();
        assert_eq!(kind, BROKEN_ALARM);
    }

    #[test]
    fn silence_changes_nothing_and_a_wrong_secret_is_told() {
        let silent = whatsapp::Error::Unreachable("no route".to_owned());
        let before = judge(&good(), "7301", Millis(5));
        let after = unanswered(&silent, Some(&before), NOW);
        assert_eq!(after.state, TokenState::Ok);
        assert_eq!(after.due_at, NOW + SILENCE);
        assert_eq!(unanswered(&silent, None, NOW).state, TokenState::Unknown);
        let refused = whatsapp::Error::Api(Box::new(ApiError {
            code: Some(190),
            ..ApiError::default()
        }));
        let health = unanswered(&refused, Some(&before), NOW);
        assert_eq!(
            (health.state, health.trouble),
            (TokenState::Broken, Some(Trouble::WrongSecret))
        );
    }
}
