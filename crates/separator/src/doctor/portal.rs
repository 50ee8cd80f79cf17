//! A Bitrix24 portal and our application on it, as the portal itself tells.

use std::sync::Arc;

use bitrix24::{
    Call, Class, Error, Obstacle,
    app::{self, AppInfo, Profile},
    connector,
    event_handlers::{self, Handler, Step},
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    LOOK, orders,
    orders::Orders,
    repair::Repair,
    verdict::{About, Check, Group, Verdict, text},
};
use crate::{
    app::App,
    portal::{self, CallError, TokenError, install::NEEDED_SCOPES},
    registry::{Instance, InstanceState, Registry},
};

const GROUP: Group = Group::Portal;

pub(super) const CHECKS: &[Check<Seen>] = &[
    Check {
        about: About::new(
            "portal_authorization",
            GROUP,
            "The portal lets us in",
            "Портал пускает нас",
        )
        .without_alarm(),
        judge: portal_authorization,
    },
    Check {
        about: About::new(
            "portal_secret",
            GROUP,
            "The application's Client secret is known",
            "Client secret приложения известен",
        ),
        judge: portal_secret,
    },
    Check {
        about: About::new(
            "portal_answers",
            GROUP,
            "The portal answers",
            "Портал отвечает",
        )
        .without_alarm(),
        judge: portal_answers,
    },
    Check {
        about: About::new(
            "portal_plan",
            GROUP,
            "The portal's plan includes REST",
            "Тариф портала включает REST",
        ),
        judge: portal_plan,
    },
    Check {
        about: About::new(
            "portal_installed",
            GROUP,
            "The application is installed to the end",
            "Установка приложения завершена",
        ),
        judge: portal_installed,
    },
    Check {
        about: About::new(
            "portal_scopes",
            GROUP,
            "The application has the permissions it needs",
            "У приложения есть нужные права",
        ),
        judge: portal_scopes,
    },
    Check {
        about: About::new(
            "portal_installer",
            GROUP,
            "Who installed the application is an administrator",
            "Приложение установил администратор",
        ),
        judge: portal_installer,
    },
    Check {
        about: About::new(
            "portal_events",
            GROUP,
            "The portal sends each event here once",
            "Портал отправляет каждое событие сюда один раз",
        )
        .mended_by(Repair::Events),
        judge: portal_events,
    },
    Check {
        about: About::new(
            "portal_connector",
            GROUP,
            "Our connector is registered",
            "Наш коннектор зарегистрирован",
        )
        .mended_by(Repair::Publish),
        judge: portal_connector,
    },
    Check {
        about: About::new(
            "portal_placements",
            GROUP,
            "No page of ours is embedded twice or at an old address",
            "Наши страницы не встроены дважды или по старому адресу",
        )
        .mended_by(Repair::Placements),
        judge: portal_placements,
    },
    Check {
        about: About::new(
            "portal_sms_providers",
            GROUP,
            "The portal offers the numbers as SMS providers",
            "Портал предлагает номера как SMS-провайдеров",
        )
        .mended_by(Repair::Publish),
        judge: |seen| orders::providers(&seen.orders),
    },
    Check {
        about: About::new(
            "portal_robots",
            GROUP,
            "The portal offers the step for robots and workflows",
            "Портал предлагает шаг для роботов и бизнес-процессов",
        )
        .mended_by(Repair::Publish),
        judge: |seen| orders::steps(&seen.orders),
    },
];

/// Why a portal told nothing.
#[derive(Debug, Clone)]
pub(super) enum Silence {
    /// Somebody must authorize it again; the sentence says more.
    Authorization(String),
    /// The employee who installed the application is no longer active.
    Dismissed,
    /// The plan has no REST, or has ended; or rights are missing.
    Denied(String),
    /// The application lacks a permission.
    Scope(String),
    /// The application is gone.
    Uninstalled,
    /// The portal refused this question.
    Refused(String),
    /// It passes by itself: a limit, our own database, the authorization server.
    Later(String),
    /// There was no usable answer.
    NoAnswer(String),
}

impl Silence {
    fn of(error: &CallError) -> Self {
        let why = error.to_string();
        match error {
            CallError::Token(TokenError::NeedsAuthorization(_)) => Self::Authorization(why),
            CallError::Token(TokenError::Later(_)) | CallError::Store(_) => Self::Later(why),
            CallError::Rest(error) => match error.class() {
                Class::Blocked(Obstacle::Dismissed) => Self::Dismissed,
                Class::Blocked(Obstacle::Uninstalled) => Self::Uninstalled,
                Class::Blocked(Obstacle::Scope) => Self::Scope(why),
                Class::Blocked(Obstacle::Denied | Obstacle::Payment) => Self::Denied(why),
                Class::Blocked(_) => Self::Authorization(why),
                Class::Refused | Class::Publish => Self::Refused(why),
                Class::Limited { .. } | Class::Overloaded | Class::MethodParked { .. } => {
                    Self::Later(why)
                }
                // A token that is refused again right after a refresh.
                Class::Refresh => Self::Authorization(why),
                Class::Retry | Class::Unknown => match error {
                    Error::NotSent { .. } => Self::Later(why),
                    _ => Self::NoAnswer(why),
                },
            },
        }
    }

    /// What a check says that cannot see anything because of this.
    pub(super) fn unknown(&self) -> Verdict {
        Verdict::Unknown(match self {
            Self::Authorization(_) | Self::Dismissed => {
                text!("The portal does not let us in.", "Портал не пускает нас.")
            }
            Self::Uninstalled => text!(
                "The application is not installed on the portal.",
                "Приложение не установлено на портале."
            ),
            Self::Denied(why) | Self::Scope(why) | Self::Refused(why) => {
                text!(
                    "The portal does not tell: {why}.",
                    "Портал не отвечает на этот вопрос: {why}."
                )
            }
            Self::Later(why) => text!(
                "The portal cannot be asked at the moment: {why}.",
                "Сейчас портал нельзя спросить: {why}."
            ),
            Self::NoAnswer(why) => {
                text!(
                    "The portal gave no answer: {why}.",
                    "Портал не ответил: {why}."
                )
            }
        })
    }
}

/// Asks a portal one question at its own pace.
pub(super) async fn ask(app: &Arc<App>, instance: &Instance, call: Call) -> Result<Value, Silence> {
    let asked = async {
        app.dispatcher.pace(instance.id).take().await;
        portal::call(app, instance, &call.method, &call.params).await
    };
    match tokio::time::timeout(LOOK, asked).await {
        Ok(Ok(answer)) => Ok(answer.result),
        Ok(Err(error)) => Err(Silence::of(&error)),
        Err(_) => Err(Silence::Later("no answer in time".to_owned())),
    }
}

/// What was seen of a portal.
pub(super) struct Seen {
    domain: String,
    state: InstanceState,
    scope: String,
    has_secret: bool,
    /// Whether a number is linked, so that there has to be a connector.
    has_numbers: bool,
    connectors: Vec<String>,
    events_url: String,
    base: String,
    info: Result<AppInfo, Silence>,
    profile: Result<Option<Profile>, Silence>,
    handlers: Result<Vec<Handler>, Silence>,
    /// The connectors that the portal lists: ids in lower case, and names.
    pub(super) listed: Result<Vec<(String, String)>, Silence>,
    placements: Result<Vec<Placement>, Silence>,
    orders: Orders,
}

/// A page that is embedded on the portal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Placement {
    pub(super) place: String,
    pub(super) handler: String,
}

pub(super) async fn see(app: &Arc<App>, registry: &Registry, id: Uuid) -> Option<Seen> {
    let instance = registry.instances.get(&id)?;
    let application = registry.bitrix_apps.get(&instance.app_id)?;
    let base = registry
        .sites
        .get(&application.site_id)
        .map(crate::registry::Site::base_url)
        .unwrap_or_default();
    // The first answer tells whether there is any use in asking on.
    let info = ask(app, instance, app::info())
        .await
        .map(|result| AppInfo::read(&result));
    let (profile, handlers, listed, placements) = match &info {
        Ok(_) => (
            ask(app, instance, app::profile())
                .await
                .map(|result| Profile::read(&result)),
            ask(app, instance, event_handlers::get())
                .await
                .map(|result| event_handlers::read(&result)),
            ask(app, instance, connector::list()).await.map(|result| {
                connector::read_list(&result)
                    .into_iter()
                    .map(|(id, name)| (id.to_lowercase(), name))
                    .collect()
            }),
            ask(app, instance, placement_get())
                .await
                .map(|result| read_placements(&result)),
        ),
        Err(silence) => (
            Err(silence.clone()),
            Err(silence.clone()),
            Err(silence.clone()),
            Err(silence.clone()),
        ),
    };
    let numbers: Vec<_> = registry.phones_of(id).collect();
    let orders = match &info {
        Ok(_) => Orders::see(app, instance, &numbers).await,
        Err(silence) => Orders::unseen(silence, &numbers),
    };
    Some(Seen {
        domain: instance.domain.clone(),
        state: instance.state,
        scope: instance.scope.clone(),
        has_secret: application.client_secret.is_some(),
        has_numbers: !numbers.is_empty(),
        connectors: numbers
            .iter()
            .filter_map(|phone| Some(phone.connector.as_deref()?.to_lowercase()))
            .collect(),
        events_url: events_url(registry, instance)?,
        base,
        info,
        profile,
        handlers,
        listed,
        placements,
        orders,
    })
}

/// Where the portal should send its events.
pub(super) fn events_url(registry: &Registry, instance: &Instance) -> Option<String> {
    let application = registry.bitrix_apps.get(&instance.app_id)?;
    let base = registry.sites.get(&application.site_id)?.base_url();
    Some(portal::events_url(&base, application.client_id.as_deref()))
}

/// Asks for the application's embedded pages (Bitrix24: placement.get).
fn placement_get() -> Call {
    Call::new("placement.get", serde_json::json!({}))
}

fn read_placements(result: &Value) -> Vec<Placement> {
    let text = |entry: &Value, key: &str| {
        entry
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    result
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| Placement {
            place: text(entry, "placement"),
            handler: text(entry, "handler"),
        })
        .collect()
}

/// Embedded pages that are not ours any more, or are there twice.
fn strays(placements: &[Placement], base: &str) -> Vec<Placement> {
    let mut seen = std::collections::BTreeSet::new();
    placements
        .iter()
        .filter(|one| {
            let ours = one.handler.strip_prefix(base).is_some_and(|rest| {
                rest.starts_with('/')
                    && rest
                        .split('?')
                        .next()
                        .is_some_and(|path| path.ends_with('/'))
            });
            !ours || !seen.insert((*one).clone())
        })
        .cloned()
        .collect()
}

/// Removes embedded pages that are not ours any more.
pub(super) async fn remove_stray_placements(
    app: &Arc<App>,
    registry: &Registry,
    instance: &Instance,
) -> Result<(), Silence> {
    let base = registry
        .bitrix_apps
        .get(&instance.app_id)
        .and_then(|application| registry.sites.get(&application.site_id))
        .map(crate::registry::Site::base_url)
        .unwrap_or_default();
    let found = read_placements(&ask(app, instance, placement_get()).await?);
    for stray in strays(&found, &base) {
        let parameters = serde_json::json!({ "PLACEMENT": stray.place, "HANDLER": stray.handler });
        ask(app, instance, Call::new("placement.unbind", parameters)).await?;
    }
    Ok(())
}

fn again() -> super::verdict::Text {
    text!(
        "Let an administrator of the portal open the application there once, or save its form again: Applications, \
         Developer resources, Integrations, the application, Save.",
        "Пусть администратор портала один раз откроет приложение или заново сохранит его форму: «Разработчикам», \
         «Интеграции», приложение, «Сохранить»."
    )
}

fn portal_authorization(seen: &Seen) -> Verdict {
    let domain = &seen.domain;
    match &seen.info {
        Ok(_) => Verdict::FINE,
        Err(Silence::Authorization(why)) => Verdict::fault(
            text!(
                "{domain} does not let us in: {why}",
                "{domain} не пускает нас: {why}"
            ),
            again(),
        ),
        Err(Silence::Uninstalled) => uninstalled(domain),
        Err(_) if seen.state == InstanceState::Uninstalled => uninstalled(domain),
        Err(silence) => silence.unknown(),
    }
}

fn uninstalled(domain: &str) -> Verdict {
    Verdict::fault(
        text!(
            "The application was removed from {domain}.",
            "Приложение удалено с портала {domain}."
        ),
        text!(
            "Install it there again: Applications, Developer resources, Other, Local application, with the addresses \
             from Bitrix24, Applications here.",
            "Установите его заново: «Разработчикам», «Другое», «Локальное приложение», с адресами из раздела Bitrix24, \
             «Приложения» здесь."
        ),
    )
}

fn portal_secret(seen: &Seen) -> Verdict {
    if seen.has_secret {
        return Verdict::FINE;
    }
    Verdict::fault(
        text!(
            "The application's Client secret is not entered; access ends within an hour of the installation.",
            "Client secret приложения не введён; доступ закончится в течение часа после установки."
        ),
        text!(
            "Copy \"Application key (client_secret)\" from the application's form on the portal into Client secret under \
             Bitrix24, Applications here.",
            "Скопируйте «Ключ приложения (client_secret)» из формы приложения на портале в поле Client secret в разделе \
             Bitrix24, «Приложения» здесь."
        ),
    )
}

fn portal_answers(seen: &Seen) -> Verdict {
    let domain = &seen.domain;
    match &seen.info {
        Err(Silence::NoAnswer(why)) => Verdict::fault(
            text!(
                "{domain} gives no usable answer: {why}.",
                "{domain} не отвечает: {why}."
            ),
            text!(
                "Open https://{domain} in a browser. If the portal was renamed or deleted, install the application on the \
                 one that is used now; a portal of your own must be reachable from this server.",
                "Откройте https://{domain} в браузере. Если портал переименован или удалён, установите приложение на тот, \
                 которым пользуетесь; коробочный портал должен быть доступен с этого сервера."
            ),
        ),
        Err(Silence::Later(why)) => Verdict::Unknown(text!(
            "The portal cannot be asked at the moment: {why}.",
            "Сейчас портал нельзя спросить: {why}."
        )),
        Err(silence @ (Silence::Authorization(_) | Silence::Uninstalled | Silence::Dismissed)) => {
            silence.unknown()
        }
        _ => Verdict::FINE,
    }
}

fn portal_plan(seen: &Seen) -> Verdict {
    let renew = || {
        text!(
            "Renew the portal's plan, or choose one that includes REST: in the portal, My plan.",
            "Продлите тариф портала или выберите тариф с REST: в портале, «Мой тариф»."
        )
    };
    match &seen.info {
        Ok(info) if info.payment_expired == Some(true) => Verdict::fault(
            text!("The portal's plan has ended.", "Тариф портала закончился."),
            renew(),
        ),
        Ok(_) => Verdict::FINE,
        Err(Silence::Denied(why)) => Verdict::fault(
            text!(
                "The portal denies REST: {why}.",
                "Портал не разрешает REST: {why}."
            ),
            renew(),
        ),
        Err(silence) => silence.unknown(),
    }
}

fn portal_installed(seen: &Seen) -> Verdict {
    match &seen.info {
        Ok(info) if info.installed == Some(false) => Verdict::fault(
            text!(
                "The installation was not finished, so the portal sends no events: operators' answers would be lost.",
                "Установка не завершена, поэтому портал не отправляет события: ответы операторов пропали бы."
            ),
            text!(
                "Open the application on the portal as an administrator and wait until its page says that it is done.",
                "Откройте приложение на портале от имени администратора и дождитесь сообщения, что всё готово."
            ),
        ),
        Ok(info) if info.installed.is_none() => {
            Verdict::Unknown(text!("The portal does not tell.", "Портал не сообщает."))
        }
        Ok(_) => Verdict::FINE,
        Err(silence) => silence.unknown(),
    }
}

fn portal_scopes(seen: &Seen) -> Verdict {
    if seen.scope.is_empty() {
        return Verdict::Unknown(text!(
            "The portal did not tell which permissions were granted.",
            "Портал не сообщил, какие права выданы."
        ));
    }
    let missing: Vec<&str> = NEEDED_SCOPES
        .into_iter()
        .filter(|scope| {
            !seen
                .scope
                .split([',', ' '])
                .any(|granted| granted == *scope)
        })
        .collect();
    if missing.is_empty() {
        return Verdict::FINE;
    }
    let missing = missing.join(", ");
    Verdict::fault(
        text!(
            "The application was not granted {missing}.",
            "Приложению не выданы права {missing}."
        ),
        text!(
            "On the portal: Applications, Developer resources, Integrations, the application, Permissions: tick Open \
             Channels (imopenlines) and External messengers (imconnector), then Save.",
            "На портале: «Разработчикам», «Интеграции», приложение, «Настройка прав»: отметьте «Открытые линии» \
             (imopenlines) и «Коннекторы открытых линий» (imconnector), затем «Сохранить»."
        ),
    )
}

fn portal_installer(seen: &Seen) -> Verdict {
    match (&seen.info, &seen.profile) {
        (Err(Silence::Dismissed), _) | (_, Err(Silence::Dismissed)) => Verdict::fault(
            text!(
                "The employee who installed the application does not work there any more, so its access has ended.",
                "Сотрудник, установивший приложение, уволен, и доступ закончился."
            ),
            again(),
        ),
        (_, Ok(Some(profile))) if profile.admin => Verdict::FINE,
        (_, Ok(Some(_))) => Verdict::fault(
            text!(
                "The employee who installed the application is not an administrator of the portal: lines, pages and \
                 message services are refused.",
                "Сотрудник, установивший приложение, не администратор портала: линии, страницы и сервисы сообщений \
                 недоступны."
            ),
            text!(
                "Make that employee an administrator (Employees, the employee, Grant administrator rights), or let an \
                 administrator install the application again.",
                "Сделайте этого сотрудника администратором («Сотрудники», сотрудник, «Назначить администратором») или \
                 пусть администратор установит приложение заново."
            ),
        ),
        (_, Ok(None)) => Verdict::Unknown(text!(
            "The portal does not tell whose authorization it is.",
            "Портал не сообщает, чья это авторизация."
        )),
        (_, Err(silence)) => silence.unknown(),
    }
}

fn portal_events(seen: &Seen) -> Verdict {
    let handlers = match &seen.handlers {
        Ok(handlers) => handlers,
        Err(silence) => return silence.unknown(),
    };
    let steps = event_handlers::converge(
        handlers,
        &seen.events_url,
        &event_handlers::CONNECTOR_EVENTS,
    );
    let missing: Vec<&str> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Bind { event, .. } => Some(event.as_str()),
            Step::Unbind(_) => None,
        })
        .collect();
    let stray = steps.len() - missing.len();
    if steps.is_empty() {
        return Verdict::FINE;
    }
    let missing = if missing.is_empty() {
        "-".to_owned()
    } else {
        missing.join(", ")
    };
    Verdict::fault(
        text!(
            "The portal's event handlers are not as they should be. Missing: {missing}; left over from other times: \
             {stray}.",
            "Обработчики событий портала не в порядке. Не хватает: {missing}; лишних: {stray}."
        ),
        text!(
            "Put them right with the button here; it also happens by itself every ten minutes.",
            "Исправьте их кнопкой здесь; раз в десять минут это происходит и само."
        ),
    )
}

fn portal_connector(seen: &Seen) -> Verdict {
    if !seen.has_numbers {
        return Verdict::Fine(Some(text!(
            "No number is linked to the portal yet.",
            "К порталу ещё не привязан ни один номер."
        )));
    }
    let listed = match &seen.listed {
        Ok(listed) => listed,
        Err(silence) => return silence.unknown(),
    };
    let missing: Vec<&str> = seen
        .connectors
        .iter()
        .filter(|own| !listed.iter().any(|(id, _)| id == *own))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return Verdict::FINE;
    }
    let missing = missing.join(", ");
    Verdict::fault(
        text!(
            "The portal has lost our connector {missing}; messages cannot be delivered.",
            "Портал потерял наш коннектор {missing}; сообщения не доставляются."
        ),
        text!(
            "Register it again with the button here; it also happens by itself with the next message.",
            "Зарегистрируйте его заново кнопкой здесь; со следующим сообщением это произойдёт и само."
        ),
    )
}

fn portal_placements(seen: &Seen) -> Verdict {
    let placements = match &seen.placements {
        Ok(placements) => placements,
        // Without the permission there can be none.
        Err(Silence::Scope(_)) => return Verdict::FINE,
        Err(silence) => return silence.unknown(),
    };
    let strays = strays(placements, &seen.base);
    if strays.is_empty() {
        return Verdict::FINE;
    }
    let names: Vec<String> = strays
        .iter()
        .map(|stray| format!("{} ({})", stray.place, stray.handler))
        .collect();
    let names = names.join(", ");
    Verdict::fault(
        text!(
            "Pages are embedded twice or at an address that is not ours: {names}. A tab that seems missing is often in \
             the card's menu More.",
            "Страницы встроены дважды или по чужому адресу: {names}. Вкладка, которой не видно, часто спрятана в меню \
             «Ещё»."
        ),
        text!(
            "Remove them with the button here.",
            "Удалите их кнопкой здесь."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(place: &str, handler: &str) -> Placement {
        Placement {
            place: place.to_owned(),
            handler: handler.to_owned(),
        }
    }

    #[test]
    fn pages_at_other_addresses_and_pages_that_are_there_twice_are_strays() {
        let base = "https://a.example";
        let own = placement("CRM_DEAL_DETAIL_TAB", "https://a.example/placement/?tab=1");
        assert!(strays(std::slice::from_ref(&own), base).is_empty());
        assert_eq!(
            strays(&[own.clone(), own.clone()], base),
            std::slice::from_ref(&own)
        );
        for handler in [
            "https://a.example/placement",
            "https://a.example.evil.example/placement/",
            "https://old.example/placement/",
        ] {
            let stray = placement("CRM_DEAL_DETAIL_TAB", handler);
            assert_eq!(strays(std::slice::from_ref(&stray), base), [stray]);
        }
    }
}
