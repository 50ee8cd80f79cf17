//! A Meta app: its secret, where its callbacks go, whether it is live, and the token that is entered for it.

use std::sync::Arc;

use uuid::Uuid;
use whatsapp::{
    client::{AppWebhook, Credentials, TokenInfo, WEBHOOK_FIELDS},
    error::Error,
};

use super::{
    bounded,
    meta::{self, Silence},
    repair::Repair,
    verdict::{About, Check, Group, Verdict, text},
};
use crate::{
    account,
    app::App,
    registry::{Registry, WabaApp},
    time::Millis,
};

/// Fields without which messages or their fate are missed.
pub(super) const NEEDED_FIELDS: &[&str] = &[
    "messages",
    "message_template_status_update",
    "message_template_components_update",
    "account_update",
];

const GROUP: Group = Group::MetaApp;

pub(super) const CHECKS: &[Check<Seen>] = &[
    Check {
        about: About::new(
            "app_secret",
            GROUP,
            "Client id and Client secret belong together",
            "Client id и Client secret подходят друг к другу",
        ),
        judge: app_secret,
    },
    Check {
        about: About::new(
            "app_live",
            GROUP,
            "The app is in Live mode",
            "Приложение в режиме Live",
        ),
        judge: app_live,
    },
    Check {
        about: About::new(
            "app_callback",
            GROUP,
            "Meta sends callbacks to our address",
            "Meta отправляет события на наш адрес",
        )
        .mended_by(Repair::AppWebhook),
        judge: app_callback,
    },
    Check {
        about: About::new(
            "app_fields",
            GROUP,
            "The app is subscribed to the fields that matter",
            "Приложение подписано на нужные поля",
        )
        .mended_by(Repair::AppWebhook),
        judge: app_fields,
    },
];

/// What was seen of a Meta app.
pub(super) struct Seen {
    client_id: String,
    /// With the app's own token: the secret is right where this has an answer.
    webhook: Result<Option<AppWebhook>, Silence>,
    callback_url: String,
    /// Whether a message of somebody else than a tester came through the app.
    heard_customers: bool,
}

pub(super) async fn see(app: &Arc<App>, registry: &Registry, id: Uuid) -> Option<Seen> {
    let waba_app = registry.waba_apps.get(&id)?;
    let client = account::client(app);
    let own = own_credentials(waba_app);
    let webhook = bounded(client.app_webhook(&own, &waba_app.client_id)).await;
    let heard_customers = registry
        .phones
        .values()
        .filter(|phone| {
            registry
                .app_of(phone)
                .is_some_and(|(_, owner)| owner.id == id)
        })
        .any(|phone| app.doctor.proofs.of(phone.id).inbound > Millis(0));
    Some(Seen {
        client_id: waba_app.client_id.clone(),
        webhook: webhook.map_or(
            Err(Silence::NoAnswer("no answer in time".to_owned())),
            |answer| answer.map_err(Silence::of),
        ),
        callback_url: callback_url(registry, waba_app),
        heard_customers,
    })
}

/// The app's own token: App ID and App secret (Meta: access tokens, app access tokens).
pub(super) fn own_credentials(app: &WabaApp) -> Credentials {
    Credentials::of_app(
        &app.client_id,
        &whatsapp::Secret::new(app.client_secret.expose()),
    )
}

/// Where the app's callbacks should go.
pub(super) fn callback_url(registry: &Registry, app: &WabaApp) -> String {
    let base = registry
        .sites
        .get(&app.site_id)
        .map(crate::registry::Site::base_url)
        .unwrap_or_default();
    format!("{base}/api/waba/")
}

/// Whether two addresses lead to the same door: queries (`api-key`, `app_id`) and a missing slash make no difference.
pub(super) fn same_door(left: &str, right: &str) -> bool {
    let plain = |address: &str| {
        let address = address.split(['?', '#']).next().unwrap_or_default();
        address.trim_end_matches('/').to_ascii_lowercase()
    };
    plain(left) == plain(right)
}

fn app_secret(seen: &Seen) -> Verdict {
    match &seen.webhook {
        Ok(_) => Verdict::FINE,
        // It was asked with the two of them as the token.
        Err(
            Silence::Token(error)
            | Silence::Permission(error)
            | Silence::Invisible(error)
            | Silence::Refused(error),
        ) => {
            let client_id = &seen.client_id;
            let error = error.to_string();
            Verdict::fault(
                text!(
                    "Meta does not accept the Client secret of the app {client_id}: {error}. Callbacks that are signed \
                     with another secret are refused.",
                    "Meta не принимает Client secret приложения {client_id}: {error}. События, подписанные другим \
                     секретом, отклоняются."
                ),
                text!(
                    "Copy it anew: developers.facebook.com, My Apps, the app, App settings, Basic, App secret, Show; then \
                     WABA, Apps, Client secret here.",
                    "Скопируйте его заново: developers.facebook.com, My Apps, приложение, App settings, Basic, App \
                     secret, Show; затем здесь: WABA, Apps, Client secret."
                ),
            )
        }
        Err(silence) => silence.unknown(),
    }
}

fn app_live(seen: &Seen) -> Verdict {
    if seen.heard_customers {
        return Verdict::FINE;
    }
    Verdict::Unknown(text!(
        "Meta tells no program whether an app is in Live mode, and no customer's message came through it yet. Look at the \
         switch App Mode at the top of the app's page on developers.facebook.com: in Development mode only testers' \
         messages come.",
        "Meta не сообщает программам, в режиме ли Live приложение, а сообщений клиентов через него ещё не было. \
         Посмотрите на переключатель App Mode вверху страницы приложения на developers.facebook.com: в режиме Development \
         приходят только сообщения тестировщиков."
    ))
}

fn app_callback(seen: &Seen) -> Verdict {
    let wanted = &seen.callback_url;
    let fix = || {
        text!(
            "Set it with the button here, or on developers.facebook.com: the app, WhatsApp, Configuration, Webhook, \
             Callback URL {wanted} and the Verify token from WABA, Apps.",
            "Настройте его кнопкой здесь или на developers.facebook.com: приложение, WhatsApp, Configuration, Webhook, \
             Callback URL {wanted} и Verify token из раздела WABA, Apps."
        )
    };
    match &seen.webhook {
        Ok(None) => Verdict::fault(
            text!(
                "The app has no callback for WhatsApp, so no message arrives.",
                "У приложения нет адреса для событий WhatsApp, поэтому сообщения не приходят."
            ),
            fix(),
        ),
        Ok(Some(webhook)) => {
            let found = webhook.callback_url.as_deref().unwrap_or_default();
            if !same_door(found, wanted) {
                return Verdict::fault(
                    text!(
                        "The app's callbacks go to {found}, not here.",
                        "События приложения уходят на {found}, а не сюда."
                    ),
                    fix(),
                );
            }
            if !webhook.active {
                return Verdict::fault(
                    text!(
                        "Meta has switched the app's callback off, as it does after days without an answer.",
                        "Meta отключила отправку событий приложения: так бывает, когда адрес долго не отвечал."
                    ),
                    fix(),
                );
            }
            Verdict::FINE
        }
        Err(silence) => silence.unknown(),
    }
}

fn app_fields(seen: &Seen) -> Verdict {
    match &seen.webhook {
        Ok(Some(webhook)) => {
            let missing: Vec<&str> = NEEDED_FIELDS
                .iter()
                .copied()
                .filter(|field| !webhook.fields.iter().any(|has| has == field))
                .collect();
            if missing.is_empty() {
                return Verdict::FINE;
            }
            let missing = missing.join(", ");
            Verdict::fault(
                text!(
                    "The app is not subscribed to {missing}.",
                    "Приложение не подписано на {missing}."
                ),
                text!(
                    "Subscribe it with the button here, or on developers.facebook.com: the app, WhatsApp, Configuration, \
                     Webhook fields, Subscribe beside {missing}.",
                    "Подпишите его кнопкой здесь или на developers.facebook.com: приложение, WhatsApp, Configuration, \
                     Webhook fields, Subscribe рядом с {missing}."
                ),
            )
        }
        Ok(None) => Verdict::Unknown(text!(
            "The app has no callback for WhatsApp.",
            "У приложения нет адреса для событий WhatsApp."
        )),
        Err(silence) => silence.unknown(),
    }
}

/// Sets the app's callback and fields at Meta.
pub(super) async fn set_webhook(
    app: &App,
    registry: &Registry,
    waba_app: &WabaApp,
) -> Result<(), Error> {
    account::client(app)
        .set_app_webhook(
            &own_credentials(waba_app),
            &waba_app.client_id,
            &callback_url(registry, waba_app),
            &whatsapp::Secret::new(waba_app.verify_token.as_str()),
            WEBHOOK_FIELDS,
        )
        .await
}

/// What a token is; asked with the app's own token.
pub(super) async fn debug(
    app: &Arc<App>,
    waba_app: &WabaApp,
    token: &crate::secret::Secret,
) -> Result<TokenInfo, Silence> {
    let client = account::client(app);
    let (own, token) = (
        own_credentials(waba_app),
        whatsapp::Secret::new(token.expose()),
    );
    let asked = bounded(client.debug_token(&own, &token)).await;
    meta::answer(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Seen {
        Seen {
            client_id: "7301".to_owned(),
            webhook: Ok(Some(AppWebhook {
                object: "whatsapp_business_account".to_owned(),
                callback_url: Some("https://separator.example/api/waba/?api-key=x".to_owned()),
                active: true,
                fields: WEBHOOK_FIELDS
                    .iter()
                    .map(|field| (*field).to_owned())
                    .collect(),
            })),
            callback_url: "https://separator.example/api/waba/".to_owned(),
            heard_customers: true,
        }
    }

    #[test]
    fn an_address_is_the_same_with_a_key_and_without_a_slash() {
        assert_eq!(app_callback(&healthy()), Verdict::FINE);
        assert!(same_door(
            "https://A.example/api/waba",
            "https://a.example/api/waba/?app_id=1"
        ));
        assert!(!same_door(
            "https://a.example/api/waba",
            "https://b.example/api/waba"
        ));
    }

    #[test]
    fn whether_an_app_is_live_is_not_guessed() {
        let mut seen = healthy();
        assert_eq!(app_live(&seen), Verdict::FINE);
        seen.heard_customers = false;
        assert!(matches!(app_live(&seen), Verdict::Unknown(_)));
    }

    #[test]
    fn a_callback_that_meta_switched_off_is_told() {
        let mut seen = healthy();
        if let Ok(Some(webhook)) = &mut seen.webhook {
            webhook.active = false;
        }
        assert!(matches!(app_callback(&seen), Verdict::Fault { .. }));
        assert_eq!(app_fields(&seen), Verdict::FINE);
    }
}
