//! Calls of a number: whether Meta has what was chosen, whether the telephone server can be reached as Meta would, and
//! whether the CRM learns of calls. What is looked at was read by the worker of calls, within the last hour; the
//! telephone server is looked at once a night.

use std::{collections::HashMap, sync::Arc, time::Duration};

use uuid::Uuid;
use whatsapp::client::AppWebhook;

use super::{
    bounded,
    meta::{self, Silence},
    meta_app,
    repair::Repair,
    verdict::{About, Check, Group, Text, Verdict, text},
};
use crate::{
    account,
    app::App,
    calling::{
        preflight::{self, Severity},
        settings::{Calling, Comparison, State, Warning},
    },
    deliver::telephony,
    registry::{Account, Phone, Registry, WabaApp},
    store,
    time::Millis,
    translate::message::Language,
};

/// After how long without a call it is said that none came.
const QUIET: Duration = Duration::from_hours(24 * 14);
/// A certificate that ends within so many days should have been renewed.
const DAYS: i64 = 14;

const GROUP: Group = Group::Calling;

pub(super) const CHECKS: &[Check<Seen>] = &[
    Check {
        about: About::new(
            "calling_saved",
            GROUP,
            "Meta took the calling settings",
            "Meta приняла настройки звонков",
        )
        .mended_by(Repair::Calling),
        judge: saved,
    },
    Check {
        about: About::new(
            "calling_applied",
            GROUP,
            "Meta has the calling settings that were chosen",
            "У Meta те настройки звонков, которые выбраны",
        )
        .mended_by(Repair::Calling),
        judge: applied,
    },
    Check {
        about: About::new(
            "calling_health",
            GROUP,
            "Meta has nothing against calls to the number",
            "У Meta нет препятствий для звонков на номер",
        )
        .without_alarm(),
        judge: health,
    },
    Check {
        about: About::new(
            "calling_other_server",
            GROUP,
            "No other app has a telephone server on the number",
            "У других приложений нет телефонного сервера на этом номере",
        ),
        judge: other_server,
    },
    Check {
        about: About::new(
            "calling_password",
            GROUP,
            "Meta's password for the telephone server is known",
            "Известен пароль Meta для телефонного сервера",
        ),
        judge: password,
    },
    Check {
        about: About::new(
            "calling_server",
            GROUP,
            "The telephone server can be reached as Meta would",
            "Телефонный сервер доступен так, как нужно Meta",
        ),
        judge: server,
    },
    Check {
        about: About::new(
            "calling_certificate",
            GROUP,
            "The telephone server's certificate lasts",
            "Сертификат телефонного сервера ещё действует",
        )
        .without_alarm(),
        judge: certificate,
    },
    Check {
        about: About::new(
            "calling_webhook",
            GROUP,
            "Meta tells of calls",
            "Meta сообщает о звонках",
        )
        .mended_by(Repair::AppWebhook),
        judge: webhook,
    },
    Check {
        about: About::new(
            "calling_telephony",
            GROUP,
            "The portal takes calls",
            "Портал принимает звонки",
        )
        .without_alarm(),
        judge: telephony,
    },
    Check {
        about: About::new(
            "last_call",
            GROUP,
            "A call arrived lately",
            "Недавно был звонок",
        ),
        judge: last_call,
    },
];

/// What was seen of a number's calls.
pub(super) struct Seen {
    /// `None` where nothing was ever chosen.
    calling: Option<Arc<Calling>>,
    webhook: Result<Option<AppWebhook>, Silence>,
    /// The portal, and whether it granted the application what it takes; `None` where there is no portal.
    portal: Option<(String, bool)>,
    last_call: Result<Option<Millis>, String>,
    now: Millis,
}

/// What is asked once for all numbers of an account.
pub(super) struct All {
    webhook: Result<Option<AppWebhook>, Silence>,
    last_calls: Result<HashMap<Uuid, Millis>, String>,
    now: Millis,
}

/// Asks, where any number of the account takes calls.
pub(super) async fn see_all(
    app: &Arc<App>,
    registry: &Registry,
    account: &Account,
    waba_app: &WabaApp,
) -> All {
    let now = app.clock.now();
    let takes_calls = |phone: &&Arc<Phone>| {
        phone.account_id == account.id
            && registry
                .calling
                .get(&phone.id)
                .is_some_and(|calling| calling.wish.calling)
    };
    let phones: Vec<Uuid> = registry
        .phones
        .values()
        .filter(takes_calls)
        .map(|phone| phone.id)
        .collect();
    if phones.is_empty() {
        return All {
            webhook: Ok(None),
            last_calls: Ok(HashMap::new()),
            now,
        };
    }
    let client = account::client(app);
    let own = meta_app::own_credentials(waba_app);
    let webhook = bounded(client.app_webhook(&own, &waba_app.client_id));
    let (webhook, last_calls) = tokio::join!(webhook, store::calls::last_of(&app.store, &phones));
    All {
        webhook: meta::answer(webhook),
        last_calls: last_calls.map_err(|error| error.to_string()),
        now,
    }
}

impl All {
    /// What was seen of one number.
    pub(super) fn of(&self, registry: &Registry, phone: &Phone) -> Seen {
        Seen {
            calling: registry.calling.get(&phone.id).cloned(),
            webhook: self.webhook.clone(),
            portal: registry
                .instance_of(phone)
                .map(|portal| (portal.domain.clone(), telephony::is_allowed(portal))),
            last_call: match &self.last_calls {
                Ok(all) => Ok(all.get(&phone.id).copied()),
                Err(why) => Err(why.clone()),
            },
            now: self.now,
        }
    }
}

/// What is kept about the number's calls where calls go to a telephone server, else all is well.
macro_rules! on_sip {
    ($seen:expr) => {
        match $seen.calling.as_deref() {
            Some(calling) if calling.wish.calling && calling.wish.sip => calling,
            _ => return Verdict::FINE,
        }
    };
}

fn saved(seen: &Seen) -> Verdict {
    let Some(calling) = seen.calling.as_deref() else {
        return Verdict::FINE;
    };
    let Some(error) = &calling.error else {
        return match calling.state {
            State::Pending | State::Unknown => Verdict::Unknown(text!(
                "The settings are being saved at Meta.",
                "Настройки сохраняются в Meta."
            )),
            _ => Verdict::FINE,
        };
    };
    let cause = |language| error.told(language).line();
    let hint = |language| {
        let again = match language {
            Language::English => "Correct it on the number's page under Calls and save.",
            Language::Russian => "Исправьте это на странице номера в разделе «Звонки» и сохраните.",
        };
        error.hint(language).unwrap_or(again).to_owned()
    };
    Verdict::Fault {
        cause: in_words(cause),
        fix: in_words(hint),
    }
}

fn in_words(told: impl Fn(Language) -> String) -> Text {
    Text {
        english: told(Language::English),
        russian: told(Language::Russian),
    }
}

fn applied(seen: &Seen) -> Verdict {
    let Some(calling) = seen.calling.as_deref() else {
        return Verdict::FINE;
    };
    // A save that is under way or was refused is another check's matter.
    if !matches!(calling.state, State::InSync | State::Changed) {
        return Verdict::FINE;
    }
    let Some(applied) = &calling.applied else {
        return Verdict::Unknown(text!(
            "Meta took the settings and did not say what it has.",
            "Meta приняла настройки, но не сообщила, что у неё есть."
        ));
    };
    let differs = match calling.wish.compare(applied) {
        Comparison::Same => return Verdict::FINE,
        Comparison::OnlyKeyExchange => "key_exchange".to_owned(),
        Comparison::Differs(fields) => fields.join(", "),
    };
    Verdict::fault(
        text!(
            "Somebody changed the calling settings at Meta: {differs}.",
            "Кто-то изменил настройки звонков в Meta: {differs}."
        ),
        text!(
            "Press the button to put back what is chosen here, or choose the same on the number's page under Calls.",
            "Нажмите кнопку, чтобы вернуть выбранное здесь, или выберите то же самое на странице номера в разделе «Звонки»."
        ),
    )
}

fn health(seen: &Seen) -> Verdict {
    let calling = on_sip!(seen);
    let blocked = |warning: &&Warning| matches!(warning, Warning::Blocked { .. });
    let Some(warning) = calling.warnings.iter().find(blocked) else {
        return Verdict::FINE;
    };
    let fix = match warning {
        Warning::Blocked {
            code: Some(138_024 | 138_025),
            ..
        } => text!(
            "Press Apply again on the number's page under Calls: that switches SIP on and enters the server.",
            "Нажмите «Применить ещё раз» на странице номера в разделе «Звонки»: это включит SIP и внесёт сервер."
        ),
        _ => text!(
            "Open business.facebook.com, WhatsApp Manager, Phone numbers, the number, Calls: it shows what stands in the \
             way. Meta is asked again every hour.",
            "Откройте business.facebook.com, WhatsApp Manager, Phone numbers, номер, Calls: там указано, что мешает. Meta \
             опрашивается каждый час."
        ),
    };
    Verdict::Fault {
        cause: in_words(|language| warning.text(language)),
        fix,
    }
}

fn other_server(seen: &Seen) -> Verdict {
    let calling = on_sip!(seen);
    let foreign = |warning: &&Warning| matches!(warning, Warning::ForeignServer(_));
    let Some(warning) = calling.warnings.iter().find(foreign) else {
        return Verdict::FINE;
    };
    Verdict::Fault {
        cause: in_words(|language| warning.text(language)),
        fix: text!(
            "Only the other app's token can delete its server: POST /settings with calling.sip.servers empty, or stop \
             using that app on the number.",
            "Удалить сервер другого приложения может только его токен: POST /settings с пустым calling.sip.servers; или \
             перестаньте использовать то приложение на этом номере."
        ),
    }
}

fn password(seen: &Seen) -> Verdict {
    let calling = on_sip!(seen);
    if calling.has_password || calling.state != State::InSync {
        return Verdict::FINE;
    }
    Verdict::fault(
        text!(
            "Meta does not tell the password with which it signs in at the telephone server.",
            "Meta не сообщает пароль, с которым она входит на телефонный сервер."
        ),
        text!(
            "The app needs the permission whatsapp_business_management (for numbers of clients with Advanced access). \
             Renew the token, then press Apply again on the number's page under Calls.",
            "Приложению нужно право whatsapp_business_management (для номеров клиентов с Advanced access). Обновите \
             токен и нажмите «Применить ещё раз» на странице номера в разделе «Звонки»."
        ),
    )
}

fn server(seen: &Seen) -> Verdict {
    let calling = on_sip!(seen);
    let report = match &calling.report {
        Some(report) if !calling.report_is_stale() => report,
        _ => {
            return Verdict::Unknown(text!(
                "The telephone server was not looked at yet. It is looked at every night, and by the button Check on the \
                 number's page.",
                "Телефонный сервер ещё не проверялся. Он проверяется каждую ночь и кнопкой «Проверить» на странице номера."
            ));
        }
    };
    let wanted = match report.verdict() {
        preflight::Verdict::Green => return Verdict::FINE,
        preflight::Verdict::Yellow => Severity::Warning,
        preflight::Verdict::Red => Severity::Fault,
    };
    let address = &report.address;
    let worst = report.found.iter().find(|found| found.severity == wanted);
    let text_of = |language| {
        let text = worst.map(|found| found.finding.text(language));
        format!("{address}: {}", text.unwrap_or_default())
    };
    if wanted == Severity::Warning {
        return Verdict::Fine(Some(in_words(text_of)));
    }
    let fix = |language| {
        let fix = worst.and_then(|found| found.finding.fix(language));
        fix.unwrap_or_else(|| report.sentence(language).to_owned())
    };
    Verdict::Fault {
        cause: in_words(text_of),
        fix: in_words(fix),
    }
}

fn certificate(seen: &Seen) -> Verdict {
    let calling = on_sip!(seen);
    let report = match &calling.report {
        // One that ended already is told with the server.
        Some(report)
            if !calling.report_is_stale() && report.verdict() != preflight::Verdict::Red =>
        {
            report
        }
        _ => return Verdict::FINE,
    };
    let Some(certificate) = &report.certificate else {
        return Verdict::FINE;
    };
    let (days, address) = (certificate.days_left(seen.now), &report.address);
    if days >= DAYS {
        return Verdict::FINE;
    }
    let until = certificate.until.to_string();
    let day = until.get(..10).unwrap_or(&until);
    Verdict::fault(
        text!(
            "The certificate of {address} ends on {day}.",
            "Сертификат {address} действует до {day}."
        ),
        text!(
            "Renew it on the telephone server and have the server read it again (certbot renew with a deploy hook), then \
             press Check on the number's page.",
            "Обновите его на телефонном сервере и дайте серверу перечитать его (certbot renew с deploy hook), затем нажмите \
             «Проверить» на странице номера."
        ),
    )
}

fn webhook(seen: &Seen) -> Verdict {
    let Some(calling) = seen
        .calling
        .as_deref()
        .filter(|calling| calling.wish.calling)
    else {
        return Verdict::FINE;
    };
    if calling.wish.sip && !calling.wish.webhook_delivery {
        return Verdict::Fine(Some(text!(
            "Reporting calls by webhook is switched off, so the CRM learns of no call.",
            "Сообщать о звонках вебхуком выключено, поэтому CRM о звонках не узнаёт."
        )));
    }
    let fields = match &seen.webhook {
        Ok(Some(webhook)) => &webhook.fields,
        // The app has no callback at all: its own check says so.
        Ok(None) => return Verdict::FINE,
        Err(silence) => return silence.unknown(),
    };
    let missing: Vec<&str> = ["calls", "account_settings_update"]
        .into_iter()
        .filter(|wanted| !fields.iter().any(|field| field == wanted))
        .collect();
    if missing.is_empty() {
        return Verdict::FINE;
    }
    let missing = missing.join(", ");
    Verdict::fault(
        text!(
            "The app is not subscribed to {missing}: calls do not appear in the CRM, or changes made elsewhere go unseen.",
            "Приложение не подписано на {missing}: звонки не появляются в CRM или изменения извне остаются незамеченными."
        ),
        text!(
            "Set it with the button here, or on developers.facebook.com: the app, WhatsApp, Configuration, Webhook fields: \
             {missing}, Subscribe.",
            "Настройте кнопкой здесь или на developers.facebook.com: приложение, WhatsApp, Configuration, Webhook fields: \
             {missing}, Subscribe."
        ),
    )
}

fn telephony(seen: &Seen) -> Verdict {
    let takes_calls = seen
        .calling
        .as_deref()
        .is_some_and(|calling| calling.wish.calling);
    let Some((portal, false)) = seen.portal.as_ref().filter(|_| takes_calls) else {
        return Verdict::FINE;
    };
    Verdict::fault(
        text!(
            "{portal} did not grant the application telephony, so calls wait here for 72 hours and do not reach the CRM.",
            "{portal} не выдал приложению право на телефонию: звонки ждут здесь 72 часа и не попадают в CRM."
        ),
        text!(
            "On the portal: Applications, Developer resources, Integrations, the application, Permissions: tick Telephony \
             (telephony), then Save.",
            "На портале: «Разработчикам», «Интеграции», приложение, «Настройка прав»: отметьте «Телефония» (telephony), \
             затем «Сохранить»."
        ),
    )
}

/// That nobody called for a while is no fault.
fn last_call(seen: &Seen) -> Verdict {
    let takes_calls = seen
        .calling
        .as_deref()
        .is_some_and(|calling| calling.wish.calling);
    if !takes_calls {
        return Verdict::FINE;
    }
    match &seen.last_call {
        Ok(Some(at)) if seen.now.since(*at) <= QUIET => Verdict::Fine(Some(text!(
            "The last one was at {at}.",
            "Последний был {at}."
        ))),
        Ok(Some(at)) => Verdict::Unknown(text!(
            "The last one was at {at}. Call the number from WhatsApp: that proves the whole way.",
            "Последний был {at}. Позвоните на номер из WhatsApp: это проверит весь путь."
        )),
        Ok(None) => Verdict::Unknown(text!(
            "No call came yet. Call the number from WhatsApp: that proves the whole way.",
            "Звонков ещё не было. Позвоните на номер из WhatsApp: это проверит весь путь."
        )),
        Err(why) => Verdict::Unknown(text!(
            "The database gave no answer: {why}.",
            "База данных не ответила: {why}."
        )),
    }
}
