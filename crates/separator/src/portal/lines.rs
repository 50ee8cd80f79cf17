//! Lines and connectors of a portal as they are now, and what is odd about a line that is not ours.
//!
//! Nothing here changes a portal. What should be different on a line of somebody else's is said and proposed; whoever
//! looks after the portal decides.

use bitrix24::{
    Call, LineId,
    client::{MAX_BATCH, batch_call, read_batch},
    connector::{self, Health, Status},
    lines::{self, Line},
};
use serde_json::json;

use super::{Trouble, publish::Rest};
use crate::{registry::PhoneError, translate::message::Language};

/// Lines whose connectors are asked about; a question for each pair makes more of them slow.
const MOST_LINES: usize = 100;

/// Something about a line that loses messages or surprises people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is.
    pub kind: WarningKind,
    /// Name of the line.
    pub line: String,
    /// What was found, in the portal's words.
    pub found: String,
}

/// The kinds of a [`Warning`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningKind {
    /// Nobody is in the queue.
    QueueEmpty,
    /// Other connectors are active on it.
    OtherConnectors,
    /// Chats close by themselves.
    AutoClose,
    /// Answering a chat changes who is in charge of the client.
    TransferChange,
    /// A client who writes again becomes another lead.
    SecondLead,
    /// Clients are not looked up in CRM.
    CrmOff,
    /// Chats do not join open deals, or do not go to the person in charge.
    DealsIgnored,
}

impl Warning {
    /// Nobody would see a message.
    pub fn queue_empty(line: &str) -> Self {
        Self {
            kind: WarningKind::QueueEmpty,
            line: line.to_owned(),
            found: String::new(),
        }
    }

    /// Name for programs.
    pub fn code(&self) -> &'static str {
        match self.kind {
            WarningKind::QueueEmpty => "QUEUE_EMPTY",
            WarningKind::OtherConnectors => "OTHER_CONNECTORS",
            WarningKind::AutoClose => "AUTO_CLOSE",
            WarningKind::TransferChange => "TRANSFER_CHANGE",
            WarningKind::SecondLead => "SECOND_LEAD",
            WarningKind::CrmOff => "CRM_OFF",
            WarningKind::DealsIgnored => "DEALS_IGNORED",
        }
    }

    /// What is odd, and what to do about it.
    pub fn text(&self, language: Language) -> (String, String) {
        let (line, found) = (&self.line, &self.found);
        let (text, fix) = match (self.kind, language) {
            (WarningKind::QueueEmpty, Language::English) => (
                format!("Nobody answers the open line {line}: its queue is empty."),
                "Add employees to the line's queue in the Contact Center of the portal.",
            ),
            (WarningKind::QueueEmpty, Language::Russian) => (
                format!("На открытой линии {line} никто не отвечает: очередь пуста."),
                "Добавьте сотрудников в очередь линии в Контакт-центре портала.",
            ),
            (WarningKind::OtherConnectors, Language::English) => (
                format!("Other connectors are active on the open line {line}: {found}."),
                "If one of them serves the same number, switch it off in the Contact Center once messages pass here.",
            ),
            (WarningKind::OtherConnectors, Language::Russian) => (
                format!("На открытой линии {line} включены другие коннекторы: {found}."),
                "Если один из них обслуживает тот же номер, отключите его в Контакт-центре, когда сообщения пойдут здесь.",
            ),
            (WarningKind::AutoClose, Language::English) => (
                format!("Chats of the open line {line} close by themselves ({found})."),
                "Set the closing to three days or more, so that a chat of Friday is still open on Monday.",
            ),
            (WarningKind::AutoClose, Language::Russian) => (
                format!("Чаты открытой линии {line} закрываются сами ({found})."),
                "Поставьте закрытие через три дня или больше, чтобы пятничный чат был открыт и в понедельник.",
            ),
            (WarningKind::TransferChange, Language::English) => (
                format!(
                    "On the open line {line}, answering a chat changes who is in charge of the client."
                ),
                "Switch \"Change the person responsible on transfer\" off, or clients come back to an employee who is off shift.",
            ),
            (WarningKind::TransferChange, Language::Russian) => (
                format!("На открытой линии {line} ответ в чате меняет ответственного за клиента."),
                "Отключите смену ответственного при переводе, иначе клиент вернётся к сотруднику не в его смену.",
            ),
            (WarningKind::SecondLead, Language::English) => (
                format!("On the open line {line}, a client who writes again becomes another lead."),
                "Switch repeated leads off in the line's CRM settings.",
            ),
            (WarningKind::SecondLead, Language::Russian) => (
                format!("На открытой линии {line} повторное обращение клиента создаёт новый лид."),
                "Отключите повторные лиды в настройках CRM линии.",
            ),
            (WarningKind::CrmOff, Language::English) => (
                format!("The open line {line} does not look clients up in CRM."),
                "Switch the check in CRM on in the line's settings if chats shall belong to clients.",
            ),
            (WarningKind::CrmOff, Language::Russian) => (
                format!("Открытая линия {line} не ищет клиентов в CRM."),
                "Включите проверку по CRM в настройках линии, если чаты должны относиться к клиентам.",
            ),
            (WarningKind::DealsIgnored, Language::English) => (
                format!("Chats of the open line {line} do not join open deals ({found})."),
                "Switch tracking and forwarding to the person in charge on in the line's CRM settings.",
            ),
            (WarningKind::DealsIgnored, Language::Russian) => (
                format!("Чаты открытой линии {line} не попадают в открытые сделки ({found})."),
                "Включите трекер и передачу ответственному в настройках CRM линии.",
            ),
        };
        (text, fix.to_owned())
    }

    /// As it stands with the number.
    pub(super) fn shown(&self) -> PhoneError {
        let (title, hint) = self.text(Language::English);
        PhoneError {
            code: self.code().to_owned(),
            title,
            hint: Some(hint),
            ..PhoneError::default()
        }
    }
}

/// What is odd about a line, the worst first.
pub(super) fn warnings(line: &Line, others: &[(String, String)]) -> Vec<Warning> {
    let warning = |kind, found: String| Warning {
        kind,
        line: line.name.clone(),
        found,
    };
    let mut warnings = Vec::new();
    if line.queue.as_ref().is_some_and(Vec::is_empty) {
        warnings.push(Warning::queue_empty(&line.name));
    }
    if !others.is_empty() {
        let names: Vec<&str> = others.iter().map(|(_, name)| name.as_str()).collect();
        warnings.push(warning(WarningKind::OtherConnectors, names.join(", ")));
    }
    let wanted = json!({
        "AUTO_CLOSE_RULE": "none", "CRM": "Y", "CRM_CREATE_SECOND": "N", "CRM_TRANSFER_CHANGE": "N",
        "CRM_FORWARD": "Y", "CRM_CHAT_TRACKER": "Y",
    });
    for difference in lines::differences(&wanted, &line.settings) {
        let found = difference.found.unwrap_or_default();
        let named = format!("{} = {found}", difference.setting);
        let odd = match difference.setting.as_str() {
            "AUTO_CLOSE_RULE" => warning(WarningKind::AutoClose, named),
            "CRM" => warning(WarningKind::CrmOff, named),
            "CRM_CREATE_SECOND" => warning(WarningKind::SecondLead, named),
            "CRM_TRANSFER_CHANGE" => warning(WarningKind::TransferChange, named),
            _ => warning(WarningKind::DealsIgnored, named),
        };
        if !warnings.iter().any(|known| known.kind == odd.kind) {
            warnings.push(odd);
        }
    }
    warnings
}

/// The connectors besides ours that are active on a line: ids and names.
pub(super) async fn others_on(
    rest: &impl Rest,
    line: LineId,
    own: &str,
) -> Result<Vec<(String, String)>, Trouble> {
    let connectors = connectors(rest).await?;
    let others: Vec<(String, String)> = connectors
        .into_iter()
        .filter(|(id, _)| !id.eq_ignore_ascii_case(own))
        .collect();
    let calls: Vec<Call> = others
        .iter()
        .map(|(id, _)| connector::status(id, line))
        .collect();
    let answers = all(rest, &calls).await?;
    Ok(others
        .into_iter()
        .zip(answers)
        .filter(|(_, answer)| answer.as_ref().is_some_and(is_live))
        .map(|(connector, _)| connector)
        .collect())
}

fn is_live(status: &serde_json::Value) -> bool {
    Status::read(status).health() == Health::Live
}

/// The connectors that the portal knows: ids and names.
pub async fn connectors(rest: &impl Rest) -> Result<Vec<(String, String)>, Trouble> {
    Ok(connector::read_list(&rest.run(connector::list()).await?))
}

/// A line as it is now.
#[derive(Debug, Clone)]
pub struct LiveLine {
    /// The line with its settings.
    pub line: Line,
    /// The connectors that are active on it, ids and names; `None` where it was not asked.
    pub connectors: Option<Vec<(String, String)>>,
}

impl LiveLine {
    /// What is odd about it. `ours` says which connectors are this program's.
    pub fn warnings(&self, ours: impl Fn(&str) -> bool) -> Vec<Warning> {
        let others: Vec<(String, String)> = self
            .connectors
            .iter()
            .flatten()
            .filter(|(id, _)| !ours(id))
            .cloned()
            .collect();
        warnings(&self.line, &others)
    }
}

/// The lines of a portal with what is active on them.
pub async fn live(rest: &impl Rest) -> Result<Vec<LiveLine>, Trouble> {
    let mut found = Vec::new();
    loop {
        let list = Line::read_list(&rest.run(lines::list(found.len())).await?);
        let last = list.len() < lines::PAGE;
        found.extend(list);
        if last || found.len() >= MOST_LINES * 10 {
            break;
        }
    }
    let connectors = connectors(rest).await?;
    let asked = &found[..found.len().min(MOST_LINES)];
    let mut calls: Vec<Call> = asked.iter().map(|line| lines::get(line.id)).collect();
    for line in asked {
        calls.extend(
            connectors
                .iter()
                .map(|(id, _)| connector::status(id, line.id)),
        );
    }
    let mut answers = all(rest, &calls).await?.into_iter();
    let detailed: Vec<Option<Line>> = asked
        .iter()
        .map(|_| answers.next().flatten().as_ref().and_then(Line::read))
        .collect();
    let mut active: Vec<Vec<(String, String)>> = Vec::new();
    for _ in asked {
        let statuses = connectors.iter().zip(answers.by_ref());
        active.push(
            statuses
                .filter(|(_, status)| status.as_ref().is_some_and(is_live))
                .map(|(connector, _)| connector.clone())
                .collect(),
        );
    }
    let mut details = detailed.into_iter().zip(active);
    Ok(found
        .into_iter()
        .map(|line| match details.next() {
            Some((detail, connectors)) => LiveLine {
                line: detail.unwrap_or(line),
                connectors: Some(connectors),
            },
            None => LiveLine {
                line,
                connectors: None,
            },
        })
        .collect())
}

/// Runs many calls in few requests; `None` for one that failed.
async fn all(rest: &impl Rest, calls: &[Call]) -> Result<Vec<Option<serde_json::Value>>, Trouble> {
    let mut answers = Vec::with_capacity(calls.len());
    for calls in calls.chunks(MAX_BATCH) {
        let result = rest.run(batch_call(calls)).await?;
        answers.extend(read_batch(&result, calls.len()));
    }
    Ok(answers)
}

#[cfg(test)]
mod unit_tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_odd_about_a_line_is_said_in_both_languages() {
        let line = Line::read(&json!({
            "ID": "17", "LINE_NAME": "Sales", "ACTIVE": "Y", "QUEUE": [], "AUTO_CLOSE_RULE": "text", "CRM": "N",
            "CRM_CREATE_SECOND": "0", "CRM_TRANSFER_CHANGE": "Y", "CRM_FORWARD": "N", "CRM_CHAT_TRACKER": "N",
        }))
        .unwrap();
        let others = [("wazzup".to_owned(), "Wazzup".to_owned())];
        let found = warnings(&line, &others);
        let codes: Vec<_> = found.iter().map(Warning::code).collect();
        assert_eq!(codes[..2], ["QUEUE_EMPTY", "OTHER_CONNECTORS"]);
        for code in ["AUTO_CLOSE", "CRM_OFF", "TRANSFER_CHANGE", "DEALS_IGNORED"] {
            assert!(codes.contains(&code), "{code}: {codes:?}");
        }
        assert_eq!(
            codes
                .iter()
                .filter(|code| **code == "DEALS_IGNORED")
                .count(),
            1
        );
        for warning in &found {
            let (english, fix) = warning.text(Language::English);
            let (russian, fix_in_russian) = warning.text(Language::Russian);
            assert!(english.contains("Sales") && russian.contains("Sales"));
            assert!(!fix.is_empty() && fix != fix_in_russian);
        }
        assert!(found[1].text(Language::English).0.contains("Wazzup"));
    }
}
