//! A number's connector and open line on its portal.

use std::sync::Arc;

use bitrix24::{
    LineId,
    connector::{self, Status},
    lines::{self, Line},
};
use serde_json::{Map, Value};

use super::{
    portal::{self, Silence, ask},
    repair::Repair,
    verdict::{About, Check, Group, Verdict, text},
};
use crate::{
    app::App,
    registry::{Connection, Instance, Phone},
};

/// Settings of a line that lose or misdirect chats where they are otherwise. Whatever else is set is the
/// administrator's choice.
const SETTINGS: [&str; 5] = [
    "CRM_CREATE_SECOND",
    "CRM_CHAT_TRACKER",
    "CRM_FORWARD",
    "CRM_TRANSFER_CHANGE",
    "AUTO_CLOSE_TIME",
];

/// Bitrix24's own channels that share a line without taking its WhatsApp messages.
const OTHER_CHANNELS: [&str; 15] = [
    "livechat",
    "network",
    "telegrambot",
    "viber",
    "vkgroup",
    "vkgrouporder",
    "ok",
    "facebook",
    "facebookcomments",
    "facebookmessenger",
    "fbinstagram",
    "fbinstagramdirect",
    "avito",
    "imessage",
    "notifications",
];

/// Other connectors of a portal that are looked at, at most.
const MOST_OTHERS: usize = 10;

const GROUP: Group = Group::Line;

pub(super) const CHECKS: &[Check<Seen>] = &[
    Check {
        about: About::new(
            "number_linked",
            GROUP,
            "The number is linked to a portal",
            "Номер привязан к порталу",
        ),
        judge: number_linked,
    },
    Check {
        about: About::new(
            "number_connection",
            GROUP,
            "The number is connected to its line",
            "Номер подключён к линии",
        )
        .mended_by(Repair::Publish)
        .without_alarm(),
        judge: number_connection,
    },
    Check {
        about: About::new(
            "line_active",
            GROUP,
            "The open line exists and is switched on",
            "Открытая линия есть и включена",
        )
        .mended_by(Repair::Publish),
        judge: line_active,
    },
    Check {
        about: About::new(
            "line_connector",
            GROUP,
            "The connector works on the line",
            "Коннектор работает на линии",
        )
        .mended_by(Repair::Publish),
        judge: line_connector,
    },
    Check {
        about: About::new(
            "line_queue",
            GROUP,
            "Somebody is in the line's queue",
            "В очереди линии есть сотрудники",
        ),
        judge: line_queue,
    },
    Check {
        about: About::new(
            "line_settings",
            GROUP,
            "The line's settings lose no chat",
            "Настройки линии не теряют чаты",
        )
        .mended_by(Repair::LineSettings),
        judge: line_settings,
    },
    Check {
        about: About::new(
            "line_other_connectors",
            GROUP,
            "No other connector is active on the line",
            "На линии нет другого активного коннектора",
        ),
        judge: line_other_connectors,
    },
];

/// What was seen of a number's place on its portal.
pub(super) struct Seen {
    phone: Phone,
    place: Option<Place>,
}

struct Place {
    domain: String,
    line: i64,
    /// `None`: there is no such line.
    config: Result<Option<Line>, Silence>,
    status: Result<Status, Silence>,
    /// Names of other connectors that are active on the line.
    others: Result<Vec<String>, Silence>,
}

pub(super) async fn see(
    app: &Arc<App>,
    instance: Option<&Instance>,
    portal: Option<&portal::Seen>,
    phone: &Phone,
) -> Seen {
    let place = match (instance, portal, phone.line_id) {
        (Some(instance), Some(portal), Some(line)) => {
            Some(look(app, instance, portal, phone, line).await)
        }
        _ => None,
    };
    Seen {
        phone: phone.clone(),
        place,
    }
}

async fn look(
    app: &Arc<App>,
    instance: &Instance,
    portal: &portal::Seen,
    phone: &Phone,
    line: i64,
) -> Place {
    let domain = instance.domain.clone();
    let listed = match &portal.listed {
        Ok(listed) => listed,
        Err(silence) => {
            return Place {
                domain,
                line,
                config: Err(silence.clone()),
                status: Err(silence.clone()),
                others: Err(silence.clone()),
            };
        }
    };
    let own = phone
        .connector
        .as_deref()
        .unwrap_or_default()
        .to_lowercase();
    let config = ask(app, instance, lines::get(LineId(line))).await;
    let status = ask(app, instance, connector::status(&own, LineId(line))).await;
    Place {
        domain,
        line,
        config: config.map(|config| Line::read(&config)),
        status: status.map(|status| Status::read(&status)),
        others: others(app, instance, listed, &own, line).await,
    }
}

async fn others(
    app: &Arc<App>,
    instance: &Instance,
    listed: &[(String, String)],
    own: &str,
    line: i64,
) -> Result<Vec<String>, Silence> {
    let mut active = Vec::new();
    let others = listed
        .iter()
        .filter(|(id, _)| id != own && !OTHER_CHANNELS.contains(&id.as_str()));
    for (id, name) in others.take(MOST_OTHERS) {
        let status = ask(app, instance, connector::status(id, LineId(line))).await?;
        if Status::read(&status).live == Some(true) {
            active.push(format!("{name} ({id})"));
        }
    }
    Ok(active)
}

impl Seen {
    fn place(&self) -> Result<&Place, Verdict> {
        self.place.as_ref().ok_or_else(|| {
            Verdict::Unknown(text!(
                "The number has no line yet.",
                "У номера ещё нет линии."
            ))
        })
    }

    fn line(&self) -> Result<(&Place, &Line), Verdict> {
        let place = self.place()?;
        match &place.config {
            Ok(Some(line)) => Ok((place, line)),
            Ok(None) => Err(Verdict::Unknown(text!(
                "The line does not exist.",
                "Линии не существует."
            ))),
            Err(silence) => Err(silence.unknown()),
        }
    }
}

fn number_linked(seen: &Seen) -> Verdict {
    if seen.phone.instance_id.is_some() {
        return Verdict::FINE;
    }
    Verdict::fault(
        text!(
            "The number is linked to no portal: its messages wait where no operator sees them.",
            "Номер не привязан к порталу: его сообщения ждут, и операторы их не видят."
        ),
        text!(
            "Choose the portal under WABA, Phones, App instance.",
            "Выберите портал в разделе WABA, Phones, App instance."
        ),
    )
}

fn number_connection(seen: &Seen) -> Verdict {
    match seen.phone.connection {
        Connection::Connected => Verdict::FINE,
        Connection::NotLinked => Verdict::Unknown(text!(
            "The number is linked to no portal.",
            "Номер не привязан к порталу."
        )),
        Connection::Pending => {
            Verdict::Unknown(text!("It is being connected.", "Номер подключается."))
        }
        Connection::Error => {
            let error = seen.phone.error.clone().unwrap_or_default();
            let title = error.title;
            let details = error.details.unwrap_or_default();
            let hint = error.hint.unwrap_or_default();
            // What a check beside this one says better is not said twice.
            if matches!(
                error.code.as_str(),
                "AUTHORIZATION"
                    | "NOT_INSTALLED"
                    | "NOT_ADMINISTRATOR"
                    | "LINE_DELETED"
                    | "CONNECTOR_OFF"
                    | "UNINSTALLED"
            ) {
                return Verdict::Unknown(text!("{title}", "{title}"));
            }
            Verdict::fault(
                text!("{title} {details}", "{title} {details}"),
                text!("{hint}", "{hint}"),
            )
        }
    }
}

fn line_active(seen: &Seen) -> Verdict {
    let place = match seen.place() {
        Ok(place) => place,
        Err(unknown) => return unknown,
    };
    let (line, domain) = (place.line, &place.domain);
    match &place.config {
        Ok(None) => Verdict::fault(
            text!(
                "The open line {line} does not exist on {domain} any more.",
                "Открытой линии {line} больше нет на портале {domain}."
            ),
            text!(
                "Make a new one with the button here, or choose another line for the number.",
                "Создайте новую кнопкой здесь или выберите для номера другую линию."
            ),
        ),
        Ok(Some(config)) if config.active == Some(false) => {
            let name = &config.name;
            Verdict::fault(
                text!(
                    "The open line {name} is switched off.",
                    "Открытая линия {name} выключена."
                ),
                text!(
                    "Switch it on with the button here, or on the portal: Contact Center, Open Channels, {name}, Active.",
                    "Включите её кнопкой здесь или на портале: «Контакт-центр», «Открытые линии», {name}, «Активность»."
                ),
            )
        }
        Ok(Some(_)) => Verdict::FINE,
        Err(silence) => silence.unknown(),
    }
}

fn line_connector(seen: &Seen) -> Verdict {
    let place = match seen.line() {
        Ok((place, line)) if line.active != Some(false) => place,
        Ok(_) => {
            return Verdict::Unknown(text!("The line is switched off.", "Линия выключена."));
        }
        Err(unknown) => return unknown,
    };
    let status = match &place.status {
        Ok(status) => *status,
        Err(silence) => return silence.unknown(),
    };
    match status.health() {
        connector::Health::Live => Verdict::FINE,
        connector::Health::DontKnow => {
            Verdict::Unknown(text!("The portal does not tell.", "Портал не сообщает."))
        }
        connector::Health::Down => {
            let line = place.line;
            Verdict::fault(
                text!(
                    "The connector is not active on the line {line}: customers' messages do not get through.",
                    "Коннектор не активен на линии {line}: сообщения клиентов не проходят."
                ),
                text!(
                    "Connect the number again with the button here.",
                    "Подключите номер заново кнопкой здесь."
                ),
            )
        }
    }
}

fn line_queue(seen: &Seen) -> Verdict {
    let (_, line) = match seen.line() {
        Ok(found) => found,
        Err(unknown) => return unknown,
    };
    match &line.queue {
        Some(queue) if queue.is_empty() => {
            let name = &line.name;
            Verdict::fault(
                text!(
                    "Nobody is in the queue of the line {name}: a message arrives and nobody sees it.",
                    "В очереди линии {name} никого нет: сообщение придёт, но его никто не увидит."
                ),
                text!(
                    "On the portal: Contact Center, Open Channels, {name}, Queue: add employees.",
                    "На портале: «Контакт-центр», «Открытые линии», {name}, «Очередь»: добавьте сотрудников."
                ),
            )
        }
        Some(_) => Verdict::FINE,
        None => Verdict::Unknown(text!(
            "The portal does not tell who is in the queue.",
            "Портал не сообщает, кто в очереди."
        )),
    }
}

/// The settings that matter, as they should be.
fn wanted() -> Value {
    let all = lines::line_settings("", "en", 0);
    let watched: Map<String, Value> = SETTINGS
        .iter()
        .filter_map(|setting| Some(((*setting).to_owned(), all.get(*setting)?.clone())))
        .collect();
    Value::Object(watched)
}

/// What of the settings that matter is otherwise. A line that stays open longer than ours is none of it.
fn differences(line: &Line) -> Vec<lines::Difference> {
    let seconds = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
    // Of this setting the portal takes "0" for yes: only the letter means no.
    let second = line.settings.get("CRM_CREATE_SECOND");
    let counts_as_yes = second.is_some_and(|second| second == "0" || second == 0);
    let second = counts_as_yes.then(|| lines::Difference {
        setting: "CRM_CREATE_SECOND".to_owned(),
        wanted: "N".to_owned(),
        found: Some("0".to_owned()),
    });
    let differ = lines::differences(&wanted(), &line.settings)
        .into_iter()
        .filter(|difference| {
            difference.setting != "AUTO_CLOSE_TIME"
                || match (
                    seconds(difference.found.as_deref()),
                    seconds(Some(&difference.wanted)),
                ) {
                    // Zero is never.
                    (Some(found), Some(wanted)) => found != 0 && found < wanted,
                    _ => true,
                }
        });
    second.into_iter().chain(differ).collect()
}

fn line_settings(seen: &Seen) -> Verdict {
    let (_, line) = match seen.line() {
        Ok(found) => found,
        Err(unknown) => return unknown,
    };
    let found = differences(line);
    if found.is_empty() {
        return Verdict::FINE;
    }
    let (mut english, mut russian) = (Vec::new(), Vec::new());
    for difference in &found {
        let setting = &difference.setting;
        let has = difference.found.as_deref().unwrap_or("?");
        let wanted = &difference.wanted;
        let (effect_english, effect_russian) = effect(setting);
        english.push(format!(
            "{setting} is {has}, should be {wanted}: {effect_english}"
        ));
        russian.push(format!(
            "{setting} = {has}, нужно {wanted}: {effect_russian}"
        ));
    }
    let (english, russian) = (english.join("; "), russian.join("; "));
    let name = &line.name;
    Verdict::fault(
        text!("{english}.", "{russian}."),
        text!(
            "Set it so with the button here, or on the portal: Contact Center, Open Channels, {name}, CRM and Automatic \
             actions.",
            "Исправьте кнопкой здесь или на портале: «Контакт-центр», «Открытые линии», {name}, «CRM» и «Автоматические \
             действия»."
        ),
    )
}

/// What comes of a setting that is otherwise, in English and in Russian.
fn effect(setting: &str) -> (&'static str, &'static str) {
    match setting {
        "CRM_CREATE_SECOND" => (
            "each message makes another lead",
            "каждое сообщение создаёт новый лид",
        ),
        "CRM_CHAT_TRACKER" => (
            "chats do not join open deals",
            "чаты не попадают в открытые сделки",
        ),
        "CRM_FORWARD" => (
            "chats do not go to the person in charge of the customer",
            "чаты не переходят к ответственному за клиента",
        ),
        "CRM_TRANSFER_CHANGE" => (
            "who answers becomes in charge, and the next chat goes to somebody off shift",
            "ответивший становится ответственным, и следующий чат уходит тому, кто не на смене",
        ),
        "AUTO_CLOSE_TIME" => (
            "chats close by themselves, over a weekend too",
            "чаты закрываются сами, в том числе за выходные",
        ),
        _ => ("", ""),
    }
}

/// Sets what matters on a number's line as it should be.
pub(super) async fn set_settings(
    app: &Arc<App>,
    instance: &Instance,
    line: i64,
) -> Result<(), Silence> {
    ask(app, instance, lines::update(LineId(line), &wanted())).await?;
    Ok(())
}

fn line_other_connectors(seen: &Seen) -> Verdict {
    let place = match seen.place() {
        Ok(place) => place,
        Err(unknown) => return unknown,
    };
    match &place.others {
        Ok(others) if others.is_empty() => Verdict::FINE,
        Ok(others) => {
            let others = others.join(", ");
            Verdict::fault(
                text!(
                    "Another connector is active on the line: {others}. It may take operators' answers, or show each \
                     chat twice.",
                    "На линии активен другой коннектор: {others}. Он может забирать ответы операторов или показывать \
                     каждый чат дважды."
                ),
                text!(
                    "When messages pass here both ways, switch the other one off: Contact Center, its tile, the line, \
                     Disconnect.",
                    "Когда сообщения здесь проходят в обе стороны, отключите другой: «Контакт-центр», его плитка, линия, \
                     «Отключить»."
                ),
            )
        }
        Err(silence) => silence.unknown(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn line(settings: Value) -> Line {
        let mut config = json!({ "ID": "1", "LINE_NAME": "Sales", "ACTIVE": "Y" });
        config
            .as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        Line::read(&config).unwrap()
    }

    #[test]
    fn only_settings_that_lose_chats_count() {
        let names = |settings: Value| -> Vec<String> {
            differences(&line(settings))
                .into_iter()
                .map(|difference| difference.setting)
                .collect()
        };
        assert!(names(wanted()).is_empty());
        assert!(names(json!({ "WELCOME_MESSAGE": "Y" })).is_empty());
        // The text "0" counts as yes.
        assert_eq!(
            names(json!({ "CRM_CREATE_SECOND": "0" })),
            ["CRM_CREATE_SECOND"]
        );
        assert_eq!(
            names(json!({ "AUTO_CLOSE_TIME": "14400" })),
            ["AUTO_CLOSE_TIME"]
        );
        assert!(names(json!({ "AUTO_CLOSE_TIME": 0 })).is_empty());
        assert!(names(json!({ "AUTO_CLOSE_TIME": 31_536_000 })).is_empty());
    }
}
