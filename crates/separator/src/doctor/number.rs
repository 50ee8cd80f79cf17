//! A business number at Meta, and what is known to have passed through it.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;
use whatsapp::client::PhoneNumber;

use super::{
    bounded,
    meta::{self, Silence},
    meta_app,
    verdict::{About, Check, Group, Verdict, text},
};
use crate::{
    account,
    app::App,
    registry::{Account, Phone, Registry, WabaApp},
    store::{self, doctor::Proof},
    time::Millis,
};

/// How long Meta may be silent about a message that it accepted.
const SILENT: Duration = Duration::from_mins(15);

/// A proof that is older proves little.
const OLD: Duration = Duration::from_hours(24 * 7);

const GROUP: Group = Group::Number;

pub(super) const CHECKS: &[Check<Seen>] = &[
    Check {
        about: About::new(
            "number_identity",
            GROUP,
            "Phone and Phone id belong together",
            "Phone и Phone id относятся к одному номеру",
        ),
        judge: number_identity,
    },
    Check {
        about: About::new(
            "number_registered",
            GROUP,
            "The number is registered on the Cloud API",
            "Номер зарегистрирован в Cloud API",
        ),
        judge: number_registered,
    },
    Check {
        about: About::new(
            "number_status",
            GROUP,
            "Meta has nothing against the number",
            "У Meta нет претензий к номеру",
        ),
        judge: number_status,
    },
    Check {
        about: About::new(
            "number_name",
            GROUP,
            "The display name is approved",
            "Отображаемое имя одобрено",
        ),
        judge: number_name,
    },
    Check {
        about: About::new(
            "number_quality",
            GROUP,
            "Customers do not complain",
            "Клиенты не жалуются",
        ),
        judge: number_quality,
    },
    Check {
        about: About::new(
            "number_throughput",
            GROUP,
            "Meta gives the number a speed",
            "Meta назначила номеру скорость отправки",
        ),
        judge: number_throughput,
    },
    Check {
        about: About::new(
            "number_callback",
            GROUP,
            "The number's messages are not sent elsewhere",
            "Сообщения номера не уходят в другое место",
        ),
        judge: number_callback,
    },
    Check {
        about: About::new(
            "number_paused",
            GROUP,
            "Sending is not stopped",
            "Отправка не остановлена",
        )
        .without_alarm(),
        judge: number_paused,
    },
    Check {
        about: About::new(
            "statuses",
            GROUP,
            "Meta tells what becomes of messages",
            "Meta сообщает, что стало с сообщениями",
        ),
        judge: statuses,
    },
    Check {
        about: About::new(
            "last_inbound",
            GROUP,
            "A customer's message arrived lately",
            "Недавно дошло сообщение клиента",
        ),
        judge: last_inbound,
    },
    Check {
        about: About::new(
            "last_outbound",
            GROUP,
            "A message to a customer arrived lately",
            "Недавно дошло сообщение клиенту",
        ),
        judge: last_outbound,
    },
];

/// What was seen of a number.
pub(super) struct Seen {
    phone: Phone,
    number: Result<PhoneNumber, Silence>,
    callback_url: String,
    proof: Proof,
    /// Messages that Meta accepted and said nothing of since.
    unproven: Result<i64, String>,
    now: Millis,
}

/// The numbers of an account as Meta lists them, and what Meta left open, asked once for all of them.
pub(super) struct All {
    listed: Result<Vec<PhoneNumber>, Silence>,
    unproven: Result<Vec<(Uuid, i64)>, String>,
    now: Millis,
}

pub(super) async fn see_all(app: &Arc<App>, account: &Account, waba_app: &WabaApp) -> All {
    let now = app.clock.now();
    let listed = async {
        match account::of_account(account, waba_app) {
            None => Err(Silence::NoToken),
            Some(credentials) => {
                let client = account::client(app);
                let asked = bounded(client.phone_numbers(&credentials, &account.waba_id));
                meta::answer(asked.await)
            }
        }
    };
    let (listed, unproven) =
        tokio::join!(listed, store::doctor::unproven(&app.store, now - SILENT));
    All {
        listed,
        unproven: unproven.map_err(|error| error.to_string()),
        now,
    }
}

impl All {
    /// What was seen of one number.
    pub(super) fn of(&self, app: &App, registry: &Registry, phone: &Phone) -> Seen {
        let number = match &self.listed {
            Ok(listed) => listed
                .iter()
                .find(|number| number.id == phone.phone_number_id)
                .cloned()
                .ok_or(Silence::NotListed),
            Err(silence) => Err(silence.clone()),
        };
        Seen {
            number,
            callback_url: registry
                .app_of(phone)
                .map(|(_, waba_app)| meta_app::callback_url(registry, waba_app))
                .unwrap_or_default(),
            proof: app.doctor.proofs.of(phone.id),
            unproven: match &self.unproven {
                Ok(all) => Ok(all
                    .iter()
                    .find_map(|(of, count)| (*of == phone.id).then_some(*count))
                    .unwrap_or(0)),
                Err(why) => Err(why.clone()),
            },
            phone: phone.clone(),
            now: self.now,
        }
    }
}

fn number_identity(seen: &Seen) -> Verdict {
    let (phone, id) = (&seen.phone.phone, &seen.phone.phone_number_id);
    let compare = || {
        text!(
            "Compare both with business.facebook.com, WhatsApp Manager, Phone numbers (the id is at the top of the \
             number's page) and correct them under WABA, Phones.",
            "Сверьте оба значения на business.facebook.com, WhatsApp Manager, Phone numbers (id указан вверху страницы \
             номера) и исправьте их в разделе WABA, Phones."
        )
    };
    match &seen.number {
        Ok(number) => match number.digits().filter(|digits| digits != phone) {
            None => Verdict::FINE,
            Some(other) => Verdict::fault(
                text!(
                    "The Phone id {id} is that of +{other}, not of +{phone}.",
                    "Phone id {id} принадлежит номеру +{other}, а не +{phone}."
                ),
                compare(),
            ),
        },
        Err(Silence::NotListed) => Verdict::fault(
            text!(
                "The account has no number with the Phone id {id}.",
                "В аккаунте нет номера с Phone id {id}."
            ),
            compare(),
        ),
        Err(silence) => silence.unknown(),
    }
}

/// What Meta says about the number, or that it says nothing.
macro_rules! known {
    ($seen:expr) => {
        match &$seen.number {
            Ok(number) => number,
            Err(silence) => return silence.unknown(),
        }
    };
}

fn number_registered(seen: &Seen) -> Verdict {
    let number = known!(seen);
    let status = number.status.as_deref();
    let platform = number.platform_type.as_deref();
    let registered = platform.is_none_or(|platform| platform == "CLOUD_API")
        && !matches!(
            status,
            Some("PENDING" | "DISCONNECTED" | "UNVERIFIED" | "MIGRATED" | "DELETED")
        );
    if registered {
        return Verdict::FINE;
    }
    let (status, platform) = (status.unwrap_or("?"), platform.unwrap_or("?"));
    Verdict::fault(
        text!(
            "The number is not registered on the Cloud API (Meta says {status}, {platform}); nothing can be sent from it.",
            "Номер не зарегистрирован в Cloud API (Meta сообщает {status}, {platform}); с него нельзя отправлять."
        ),
        text!(
            "Register it with the button here. If it has a two-step verification PIN that is not known here, change the \
             PIN first: business.facebook.com, WhatsApp Manager, Phone numbers, the number, Two-step verification.",
            "Зарегистрируйте его кнопкой здесь. Если у него задан неизвестный здесь PIN двухэтапной проверки, сначала \
             измените PIN: business.facebook.com, WhatsApp Manager, Phone numbers, номер, Two-step verification."
        ),
    )
}

fn number_status(seen: &Seen) -> Verdict {
    let number = known!(seen);
    let Some(status) = number.status.as_deref().filter(|status| {
        matches!(
            *status,
            "FLAGGED" | "RESTRICTED" | "RATE_LIMITED" | "BANNED"
        )
    }) else {
        return Verdict::FINE;
    };
    Verdict::fault(
        text!(
            "Meta has put the number into the state {status}.",
            "Meta перевела номер в состояние {status}."
        ),
        text!(
            "Open business.facebook.com, WhatsApp Manager, Phone numbers, the number, and Business Support Home: there the \
             reason is named and a review can be asked for.",
            "Откройте business.facebook.com, WhatsApp Manager, Phone numbers, номер, и Business Support Home: там указана \
             причина и можно запросить проверку."
        ),
    )
}

fn number_name(seen: &Seen) -> Verdict {
    let number = known!(seen);
    match number.name_status.as_deref() {
        Some(status @ ("DECLINED" | "EXPIRED" | "NONE" | "NON_EXISTS")) => Verdict::fault(
            text!(
                "The display name is in the state {status}; Meta limits what such a number may send.",
                "Отображаемое имя в состоянии {status}; Meta ограничивает отправку с такого номера."
            ),
            text!(
                "Enter another name: business.facebook.com, WhatsApp Manager, Phone numbers, the number, Profile, Display \
                 name, Edit.",
                "Укажите другое имя: business.facebook.com, WhatsApp Manager, Phone numbers, номер, Profile, Display name, \
                 Edit."
            ),
        ),
        Some("PENDING_REVIEW") => Verdict::Fine(Some(text!(
            "Meta still reviews the display name.",
            "Meta ещё проверяет отображаемое имя."
        ))),
        _ => Verdict::FINE,
    }
}

fn number_quality(seen: &Seen) -> Verdict {
    let number = known!(seen);
    match number.quality_rating.as_deref() {
        Some("RED") => Verdict::fault(
            text!(
                "Meta rates the number's quality RED: many customers blocked or reported it lately.",
                "Meta оценивает качество номера как RED: в последнее время его часто блокируют или жалуются на него."
            ),
            text!(
                "Send fewer marketing templates and only to people who agreed; the rating is that of the last 7 days: \
                 business.facebook.com, WhatsApp Manager, Phone numbers, Insights.",
                "Отправляйте меньше рекламных шаблонов и только тем, кто согласился; оценка считается за последние 7 дней: \
                 business.facebook.com, WhatsApp Manager, Phone numbers, Insights."
            ),
        ),
        Some("YELLOW") => Verdict::Fine(Some(text!(
            "Meta rates the quality YELLOW: some customers blocked or reported the number.",
            "Meta оценивает качество как YELLOW: некоторые клиенты заблокировали номер или пожаловались."
        ))),
        _ => Verdict::FINE,
    }
}

fn number_throughput(seen: &Seen) -> Verdict {
    let number = known!(seen);
    let working = number.status.as_deref() == Some("CONNECTED");
    if working && number.throughput.as_deref() == Some("NOT_APPLICABLE") {
        return Verdict::fault(
            text!(
                "Meta gives the number no throughput, so it can send nothing.",
                "Meta не назначила номеру пропускную способность, поэтому отправлять с него нельзя."
            ),
            text!(
                "Open business.facebook.com, WhatsApp Manager, Phone numbers, the number: its page says what is missing \
                 (verification, display name, payment).",
                "Откройте business.facebook.com, WhatsApp Manager, Phone numbers, номер: на его странице указано, чего не \
                 хватает (подтверждение, имя, оплата)."
            ),
        );
    }
    Verdict::FINE
}

fn number_callback(seen: &Seen) -> Verdict {
    let number = known!(seen);
    let Some(other) = number
        .phone_callback
        .as_deref()
        .filter(|other| !meta_app::same_door(other, &seen.callback_url))
    else {
        return Verdict::FINE;
    };
    let id = &seen.phone.phone_number_id;
    Verdict::fault(
        text!(
            "The number has a callback of its own, {other}, which takes its messages in place of ours.",
            "У номера задан свой адрес событий, {other}: его сообщения уходят туда, а не сюда."
        ),
        text!(
            "Take it away where it was set: POST /{id} with webhook_configuration.override_callback_uri empty, in Graph \
             API Explorer (developers.facebook.com/tools/explorer).",
            "Уберите его там, где задали: POST /{id} с пустым webhook_configuration.override_callback_uri в Graph API \
             Explorer (developers.facebook.com/tools/explorer)."
        ),
    )
}

fn number_paused(seen: &Seen) -> Verdict {
    let Some(reason) = &seen.phone.paused else {
        return Verdict::FINE;
    };
    Verdict::fault(
        text!(
            "Nothing is sent from the number until somebody acts: {reason}",
            "С номера ничего не отправляется, пока кто-нибудь не вмешается: {reason}"
        ),
        text!(
            "Put right what Meta names; entering the access token again under WABA, Apps lets the number send.",
            "Устраните то, что называет Meta; после повторного ввода Access token в разделе WABA, Apps номер снова \
             отправляет."
        ),
    )
}

fn statuses(seen: &Seen) -> Verdict {
    match &seen.unproven {
        Ok(0) => Verdict::FINE,
        Ok(count) => Verdict::fault(
            text!(
                "Meta accepted {count} messages more than 15 minutes ago and has said nothing of them since.",
                "Meta приняла сообщений: {count} — больше 15 минут назад и с тех пор ничего о них не сообщила."
            ),
            text!(
                "Look at the checks of the app's callback and of the account's subscription: without callbacks nobody \
                 knows what becomes of a message.",
                "Посмотрите проверки адреса событий приложения и подписки аккаунта: без событий никто не знает, что стало \
                 с сообщением."
            ),
        ),
        Err(why) => Verdict::Unknown(text!(
            "The database gave no answer: {why}.",
            "База данных не ответила: {why}."
        )),
    }
}

fn last_inbound(seen: &Seen) -> Verdict {
    proven(
        seen,
        seen.proof.inbound,
        text!(
            "Write to the number from a phone: that proves the whole way to the operator.",
            "Напишите на номер с телефона: это проверит весь путь до оператора."
        ),
    )
}

fn last_outbound(seen: &Seen) -> Verdict {
    proven(
        seen,
        seen.proof.outbound,
        text!(
            "Answer in the chat, or send a test message from the number's page: that proves the whole way to the customer.",
            "Ответьте в чате или отправьте проверочное сообщение со страницы номера: это проверит весь путь до клиента."
        ),
    )
}

/// Green is what was proven lately. That nothing passed for a while is no fault: perhaps nobody wrote.
fn proven(seen: &Seen, at: Millis, how: super::verdict::Text) -> Verdict {
    if at == Millis(0) {
        return Verdict::Unknown(how);
    }
    if seen.now.since(at) > OLD {
        let super::verdict::Text { english, russian } = how;
        return Verdict::Unknown(text!(
            "The last one was at {at}. {english}",
            "Последнее было {at}. {russian}"
        ));
    }
    Verdict::Fine(Some(text!(
        "The last one was at {at}.",
        "Последнее было {at}."
    )))
}
