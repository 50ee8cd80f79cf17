//! A WhatsApp Business Account: whether the token sees it, whether we hear of it, whether Meta lets it work.

use std::sync::Arc;

use whatsapp::client::{BusinessAccount, SubscribedApp};

use super::{
    bounded,
    meta::{self, Silence},
    meta_app,
    repair::Repair,
    verdict::{About, Check, Group, Verdict, text},
};
use crate::{
    account,
    app::App,
    registry::{Account, Registry, WabaApp},
};

const GROUP: Group = Group::Account;

pub(super) const CHECKS: &[Check<Seen>] = &[
    Check {
        about: About::new(
            "account_access",
            GROUP,
            "The access token sees the account",
            "Access token видит аккаунт",
        ),
        judge: account_access,
    },
    Check {
        about: About::new(
            "account_subscribed",
            GROUP,
            "The app hears of the account's messages",
            "Приложение получает сообщения аккаунта",
        )
        .mended_by(Repair::Subscribe),
        judge: account_subscribed,
    },
    Check {
        about: About::new(
            "account_callback",
            GROUP,
            "The account's messages are not sent elsewhere",
            "Сообщения аккаунта не уходят в другое место",
        )
        .mended_by(Repair::Subscribe),
        judge: account_callback,
    },
    Check {
        about: About::new(
            "account_state",
            GROUP,
            "Meta lets the account work",
            "Meta разрешает аккаунту работать",
        ),
        judge: account_state,
    },
];

/// What was seen of an account.
pub(super) struct Seen {
    waba_id: String,
    client_id: String,
    account: Result<BusinessAccount, Silence>,
    apps: Result<Vec<SubscribedApp>, Silence>,
    callback_url: String,
}

pub(super) async fn see(
    app: &Arc<App>,
    registry: &Registry,
    known: &Account,
    waba_app: &WabaApp,
) -> Seen {
    let (account, apps) = match account::of_account(known, waba_app) {
        None => (Err(Silence::NoToken), Err(Silence::NoToken)),
        Some(credentials) => {
            let client = account::client(app);
            let (account, apps) = tokio::join!(
                bounded(client.business_account(&credentials, &known.waba_id)),
                bounded(client.subscriptions(&credentials, &known.waba_id)),
            );
            (meta::answer(account), meta::answer(apps))
        }
    };
    Seen {
        waba_id: known.waba_id.clone(),
        client_id: waba_app.client_id.clone(),
        account,
        apps,
        callback_url: meta_app::callback_url(registry, waba_app),
    }
}

fn account_access(seen: &Seen) -> Verdict {
    match &seen.account {
        Ok(_) => Verdict::FINE,
        Err(Silence::Invisible(error) | Silence::Permission(error)) => {
            let (waba_id, error) = (&seen.waba_id, error.to_string());
            Verdict::fault(
                text!(
                    "The access token does not see the account {waba_id}: {error}.",
                    "Access token не видит аккаунт {waba_id}: {error}."
                ),
                text!(
                    "On business.facebook.com, Settings, Accounts, WhatsApp accounts, the account, add the system user \
                     with full control; and compare Waba id under WABA, waba.",
                    "На business.facebook.com, Settings, Accounts, WhatsApp accounts, аккаунт, добавьте системного \
                     пользователя с полным доступом; и проверьте Waba id в разделе WABA, waba."
                ),
            )
        }
        Err(silence) => silence.unknown(),
    }
}

impl Seen {
    /// Our app among those that are subscribed.
    fn own(&self) -> Result<Option<&SubscribedApp>, Verdict> {
        match &self.apps {
            Ok(apps) => Ok(apps.iter().find(|app| app.id == self.client_id)),
            Err(silence) => Err(silence.unknown()),
        }
    }
}

fn account_subscribed(seen: &Seen) -> Verdict {
    match seen.own() {
        Err(unknown) => unknown,
        Ok(Some(_)) => {
            let others: Vec<&str> = seen
                .apps
                .iter()
                .flatten()
                .filter(|app| app.id != seen.client_id)
                .map(|app| app.name.as_deref().unwrap_or(&app.id))
                .collect();
            if others.is_empty() {
                return Verdict::FINE;
            }
            let others = others.join(", ");
            Verdict::Fine(Some(text!(
                "Other apps hear of its messages too: {others}.",
                "Его сообщения получают и другие приложения: {others}."
            )))
        }
        Ok(None) => {
            let client_id = &seen.client_id;
            Verdict::fault(
                text!(
                    "The app {client_id} is not subscribed to the account, so none of its messages arrive.",
                    "Приложение {client_id} не подписано на аккаунт, поэтому его сообщения не приходят."
                ),
                text!(
                    "Subscribe it with the button here. No page of Meta's console shows this.",
                    "Подпишите его кнопкой здесь: в консоли Meta этого нет."
                ),
            )
        }
    }
}

fn account_callback(seen: &Seen) -> Verdict {
    match seen.own() {
        Err(unknown) => unknown,
        Ok(None) => Verdict::Unknown(text!(
            "The app is not subscribed to the account.",
            "Приложение не подписано на аккаунт."
        )),
        Ok(Some(own)) => {
            let Some(other) = own
                .override_callback_uri
                .as_deref()
                .filter(|other| !meta_app::same_door(other, &seen.callback_url))
            else {
                return Verdict::FINE;
            };
            Verdict::fault(
                text!(
                    "The account has a callback of its own, {other}, which takes the messages in place of ours.",
                    "У аккаунта задан свой адрес событий, {other}: сообщения уходят туда, а не сюда."
                ),
                text!(
                    "Take it away with the button here. It was set by a program; no page of Meta's console shows it.",
                    "Уберите его кнопкой здесь. Его задала какая-то программа; в консоли Meta этого нет."
                ),
            )
        }
    }
}

fn account_state(seen: &Seen) -> Verdict {
    let account = match &seen.account {
        Ok(account) => account,
        Err(silence) => return silence.unknown(),
    };
    let bad_status = account
        .status
        .as_deref()
        .filter(|status| !matches!(*status, "ACTIVE" | "CONNECTED"));
    let bad_review = account
        .review_status
        .as_deref()
        .filter(|review| matches!(*review, "REJECTED" | "LIMIT_REACHED"));
    let Some(state) = bad_status.or(bad_review) else {
        return match account.review_status.as_deref() {
            Some("PENDING") => Verdict::Fine(Some(text!(
                "Meta still reviews the account.",
                "Meta ещё проверяет аккаунт."
            ))),
            _ => Verdict::FINE,
        };
    };
    Verdict::fault(
        text!(
            "Meta says of the account: {state}.",
            "Meta сообщает об аккаунте: {state}."
        ),
        text!(
            "Open business.facebook.com, WhatsApp Manager, Account tools, and Business Support Home: there the reason is \
             named and a review can be asked for.",
            "Откройте business.facebook.com, WhatsApp Manager, Account tools, и Business Support Home: там указана причина \
             и можно запросить проверку."
        ),
    )
}
