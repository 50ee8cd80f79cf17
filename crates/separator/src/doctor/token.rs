//! An access token of Meta's: whether it works, whose it is, what it may do and until when.

use std::{sync::Arc, time::Duration};

use whatsapp::client::TokenInfo;

use super::{
    installation::day,
    meta::Silence,
    meta_app,
    verdict::{About, Check, Group, Text, Verdict, text},
};
use crate::{app::App, registry::WabaApp, secret::Secret, time::Millis};

/// When the end of a token is told first.
const WARNING: Duration = Duration::from_hours(24 * 14);

/// Permissions that the program cannot work without (Meta: permissions of the WhatsApp Business Platform).
const NEEDED_SCOPES: [&str; 2] = [
    "whatsapp_business_management",
    "whatsapp_business_messaging",
];

const GROUP: Group = Group::MetaToken;

pub(super) const CHECKS: &[Check<Seen>] = &[
    Check {
        about: About::new(
            "token_valid",
            GROUP,
            "The access token works",
            "Access token работает",
        ),
        judge: token_valid,
    },
    Check {
        about: About::new(
            "token_app",
            GROUP,
            "The access token belongs to this app",
            "Access token выдан этому приложению",
        ),
        judge: token_app,
    },
    Check {
        about: About::new(
            "token_kind",
            GROUP,
            "The access token is made to last",
            "Access token рассчитан на постоянную работу",
        ),
        judge: token_kind,
    },
    Check {
        about: About::new(
            "token_scopes",
            GROUP,
            "The access token has the permissions it needs",
            "У access token есть нужные разрешения",
        ),
        judge: token_scopes,
    },
    Check {
        about: About::new(
            "token_expiry",
            GROUP,
            "The access token does not end soon",
            "Срок действия access token не истекает",
        ),
        judge: token_expiry,
    },
];

/// What was seen of a token.
pub(super) struct Seen {
    client_id: String,
    info: Result<TokenInfo, Silence>,
    now: Millis,
}

pub(super) async fn see(app: &Arc<App>, waba_app: &WabaApp, token: Option<&Secret>) -> Seen {
    Seen {
        client_id: waba_app.client_id.clone(),
        info: match token {
            Some(token) => meta_app::debug(app, waba_app, token).await,
            None => Err(Silence::NoToken),
        },
        now: app.clock.now(),
    }
}

/// How a permanent token is made.
fn new_token() -> Text {
    text!(
        "Make a permanent one: business.facebook.com, Settings, Users, System users, the user, Generate token, this app, \
         expiration Never, with whatsapp_business_management and whatsapp_business_messaging; enter it as Access token \
         under WABA, Apps.",
        "Создайте постоянный: business.facebook.com, Settings, Users, System users, пользователь, Generate token, это \
         приложение, срок Never, разрешения whatsapp_business_management и whatsapp_business_messaging; введите его как \
         Access token в разделе WABA, Apps."
    )
}

impl Seen {
    /// The token, where it is one that works.
    fn working(&self) -> Result<&TokenInfo, Verdict> {
        match &self.info {
            Ok(info) if info.is_valid => Ok(info),
            Ok(_) => Err(Verdict::Unknown(text!(
                "The access token does not work.",
                "Access token не работает."
            ))),
            Err(silence) => Err(silence.unknown()),
        }
    }
}

fn token_valid(seen: &Seen) -> Verdict {
    match &seen.info {
        Ok(info) if info.is_valid => Verdict::FINE,
        Ok(info) => {
            let why = info
                .error
                .as_ref()
                .map_or_else(|| "it is not valid".to_owned(), ToString::to_string);
            Verdict::fault(
                text!(
                    "Meta does not accept the access token any more: {why}. Nothing can be sent with it.",
                    "Meta больше не принимает access token: {why}. Отправить с ним ничего нельзя."
                ),
                new_token(),
            )
        }
        Err(Silence::NoToken) => Verdict::fault(
            text!(
                "No access token is entered, so nothing can be sent.",
                "Access token не введён, поэтому отправить ничего нельзя."
            ),
            new_token(),
        ),
        Err(silence) => silence.unknown(),
    }
}

fn token_app(seen: &Seen) -> Verdict {
    let info = match seen.working() {
        Ok(info) => info,
        Err(unknown) => return unknown,
    };
    let Some(found) = info
        .app_id
        .as_deref()
        .filter(|found| *found != seen.client_id)
    else {
        return Verdict::FINE;
    };
    let own = &seen.client_id;
    let name = info.application.as_deref().unwrap_or_default();
    Verdict::fault(
        text!(
            "The access token was made for the app {found} {name}, not for {own}.",
            "Access token выдан приложению {found} {name}, а не {own}."
        ),
        new_token(),
    )
}

fn token_kind(seen: &Seen) -> Verdict {
    let info = match seen.working() {
        Ok(info) => info,
        Err(unknown) => return unknown,
    };
    match info.kind.as_deref() {
        Some("SYSTEM_USER") => Verdict::FINE,
        Some(kind) => Verdict::fault(
            text!(
                "It is a token of the kind {kind}, which ends with its user's password or rights.",
                "Это токен вида {kind}: он перестаёт работать, когда его пользователь меняет пароль или теряет права."
            ),
            new_token(),
        ),
        None => Verdict::Unknown(text!(
            "Meta does not tell its kind.",
            "Meta не сообщает вид токена."
        )),
    }
}

fn token_scopes(seen: &Seen) -> Verdict {
    let info = match seen.working() {
        Ok(info) => info,
        Err(unknown) => return unknown,
    };
    let missing: Vec<&str> = NEEDED_SCOPES
        .into_iter()
        .filter(|scope| !info.scopes.iter().any(|has| has == scope))
        .collect();
    if missing.is_empty() {
        return Verdict::FINE;
    }
    let missing = missing.join(", ");
    Verdict::fault(
        text!(
            "The access token lacks {missing}.",
            "Access token не имеет разрешения {missing}."
        ),
        new_token(),
    )
}

fn token_expiry(seen: &Seen) -> Verdict {
    let info = match seen.working() {
        Ok(info) => info,
        Err(unknown) => return unknown,
    };
    let ends = [info.expires_at, info.data_access_expires_at];
    let Some(end) = ends.into_iter().flatten().min().map(Millis::from_seconds) else {
        return Verdict::Fine(Some(text!("It does not end.", "Бессрочный.")));
    };
    let day = day(end);
    if end > seen.now + WARNING {
        return Verdict::Fine(Some(text!("It ends on {day}.", "Действует до {day}.")));
    }
    let days = end.since(seen.now).as_secs() / (24 * 60 * 60);
    Verdict::fault(
        text!(
            "The access token ends on {day}, in {days} days. After that nothing can be sent.",
            "Access token действует до {day}, осталось дней: {days}. После этого отправить ничего нельзя."
        ),
        new_token(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::verdict::{State, Subject, judge_all};

    fn healthy() -> TokenInfo {
        TokenInfo {
            app_id: Some("7301".to_owned()),
            kind: Some("SYSTEM_USER".to_owned()),
            is_valid: true,
            scopes: NEEDED_SCOPES.map(str::to_owned).to_vec(),
            ..TokenInfo::default()
        }
    }

    fn states(info: Result<TokenInfo, Silence>) -> Vec<State> {
        let seen = Seen {
            client_id: "7301".to_owned(),
            info,
            now: Millis::from_seconds(1_795_000_000),
        };
        let subject = Subject {
            kind: "waba_app".to_owned(),
            id: String::new(),
            name: String::new(),
        };
        judge_all(CHECKS, &seen, &subject)
            .into_iter()
            .map(|finding| finding.state)
            .collect()
    }

    #[test]
    fn each_fault_of_a_token_turns_its_own_check_red() {
        use State::{Fault, Ok as Fine, Unknown};
        let day = 24 * 60 * 60;
        for (change, wanted) in [
            ((|_| ()) as fn(&mut TokenInfo), [Fine; 5]),
            (
                |info| info.is_valid = false,
                [Fault, Unknown, Unknown, Unknown, Unknown],
            ),
            (
                |info| info.app_id = Some("1".to_owned()),
                [Fine, Fault, Fine, Fine, Fine],
            ),
            (
                |info| info.kind = Some("USER".to_owned()),
                [Fine, Fine, Fault, Fine, Fine],
            ),
            (
                |info| info.scopes.truncate(1),
                [Fine, Fine, Fine, Fault, Fine],
            ),
        ] {
            let mut info = healthy();
            change(&mut info);
            assert_eq!(states(Ok(info)), wanted);
        }
        for (days, wanted) in [(13, Fault), (2, Fault), (15, Fine)] {
            let info = TokenInfo {
                expires_at: Some(1_795_000_000 + days * day),
                ..healthy()
            };
            assert_eq!(states(Ok(info))[4], wanted, "{days}");
        }
        assert_eq!(
            states(Err(Silence::NoToken)),
            [Fault, Unknown, Unknown, Unknown, Unknown]
        );
        assert_eq!(
            states(Err(Silence::NoAnswer("cut".to_owned()))),
            [Unknown; 5]
        );
    }
}
