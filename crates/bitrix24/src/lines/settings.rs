//! Settings of a line, and how they differ from what was wanted.

use serde_json::{Value, json};

use super::QueueMember;
use crate::loose;

/// Three days, in seconds: a chat of Friday evening is still open on Monday.
const AUTO_CLOSE_SECONDS: i64 = 3 * 24 * 60 * 60;

/// Settings for a new line, each one explicit, since the portal's defaults differ by plan, region and version
/// (Bitrix24: imopenlines.config.add).
///
/// - The line makes leads for new customers and finds known ones; it makes no second or third entry for the same
///   person. `CRM_CREATE_SECOND` must be the letter: a "0" counts as yes.
/// - Chats join open deals (`CRM_CHAT_TRACKER`) and go to the person in charge (`CRM_FORWARD`), but answering one does
///   not change who is in charge (`CRM_TRANSFER_CHANGE`).
/// - The line says nothing by itself: no greeting, no closing text, no rating, no working hours.
///
/// `queue_user` is the one who answers at first; an empty queue would hide every message. `language` is a code such
/// as `en`.
pub fn line_settings(name: &str, language: &str, queue_user: i64) -> Value {
    json!({
        "LINE_NAME": name,
        "ACTIVE": "Y",
        "LANGUAGE_ID": language,
        "TEMPORARY": "N",

        "QUEUE": [{ "ENTITY_TYPE": "user", "ENTITY_ID": queue_user }],
        "QUEUE_TYPE": "evenly",
        "QUEUE_TIME": 60,
        "CHECK_AVAILABLE": "N",
        "MAX_CHAT": 0,
        "TYPE_MAX_CHAT": "answered_new",
        "NO_ANSWER_TIME": 60,
        "NO_ANSWER_RULE": "none",
        "WATCH_TYPING": "N",
        "OPERATOR_DATA": "profile",
        "CATEGORY_ENABLE": "N",
        "SESSION_PRIORITY": 0,

        "CRM": "Y",
        "CRM_CREATE": "lead",
        "CRM_CREATE_SECOND": "N",
        "CRM_CREATE_THIRD": "N",
        "CRM_SOURCE": "create",
        "CRM_FORWARD": "Y",
        "CRM_CHAT_TRACKER": "Y",
        "CRM_TRANSFER_CHANGE": "N",

        "WELCOME_MESSAGE": "N",
        "SEND_WELCOME_EACH_SESSION": "N",
        "WELCOME_BOT_ENABLE": "N",
        "USE_WELCOME_FORM": "N",
        "IGNORE_WELCOME_FORM_RESPONSIBLE": "N",

        "WORKTIME_ENABLE": "N",
        "WORKTIME_DAYOFF_RULE": "none",

        "CLOSE_RULE": "none",
        "CONFIRM_CLOSE": "N",
        "AUTO_CLOSE_RULE": "none",
        "AUTO_CLOSE_TIME": AUTO_CLOSE_SECONDS,
        "VOTE_MESSAGE": "N",
        "VOTE_BEFORE_FINISH": "N",
        "VOTE_CLOSING_DELAY": "N",

        "KPI_FIRST_ANSWER_ALERT": "N",
        "KPI_FURTHER_ANSWER_ALERT": "N",
        "KPI_CHECK_OPERATOR_ACTIVITY": "N",
    })
}

/// A setting that is not as wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub setting: String,
    /// What was wanted.
    pub wanted: String,
    /// What the portal has; `None` where it does not say.
    pub found: Option<String>,
}

/// Compares wanted settings with those read back, by meaning: "Y", 1 and true are the same, and so are 60 and "60".
///
/// A queue differs only when one of the wanted members is missing from it. A setting that the portal does not show is
/// no difference, except the queue: without one nobody sees a message.
pub fn differences(wanted: &Value, found: &Value) -> Vec<Difference> {
    loose::entries(wanted)
        .into_iter()
        .filter_map(|(setting, wanted)| {
            let found = loose::get(found, &setting);
            let same = if setting == "QUEUE" {
                found.is_some_and(|found| queue_holds(found, wanted))
            } else {
                found.is_none_or(|found| same_meaning(wanted, found))
            };
            (!same).then(|| Difference {
                setting,
                wanted: shown(wanted),
                found: found.map(shown),
            })
        })
        .collect()
}

fn queue_holds(found: &Value, wanted: &Value) -> bool {
    let members = |queue: &Value| -> Vec<QueueMember> {
        loose::items(queue)
            .into_iter()
            .filter_map(QueueMember::read)
            .collect()
    };
    let found = members(found);
    members(wanted).iter().all(|member| found.contains(member))
}

fn same_meaning(wanted: &Value, found: &Value) -> bool {
    let letter = wanted
        .as_str()
        .is_some_and(|text| text == "Y" || text == "N");
    if letter {
        return loose::flag(wanted) == loose::flag(found);
    }
    loose::text(wanted) == loose::text(found)
}

fn shown(value: &Value) -> String {
    loose::text(value).unwrap_or_else(|| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lead_is_switched_off_by_letter() {
        let settings = line_settings("WhatsApp", "de", 7);
        assert_eq!(settings["CRM_CREATE_SECOND"], "N");
        assert_eq!(
            settings["QUEUE"],
            json!([{"ENTITY_TYPE": "user", "ENTITY_ID": 7}])
        );
    }

    #[test]
    fn settings_are_compared_by_meaning() {
        let wanted = json!({"A": "Y", "B": "N", "C": 60, "D": "none", "E": "Y", "QUEUE": [{"ENTITY_TYPE": "user", "ENTITY_ID": 1}]});
        let same = json!({"A": true, "B": "0", "C": "60", "D": "none", "QUEUE": ["1", "2"]});
        assert_eq!(differences(&wanted, &same), []);
        let other = json!({"A": "N", "B": "N", "C": "61", "D": "text", "E": "Y", "QUEUE": []});
        let names: Vec<_> = differences(&wanted, &other)
            .into_iter()
            .map(|difference| difference.setting)
            .collect();
        assert_eq!(names, ["A", "C", "D", "QUEUE"]);
    }

    #[test]
    fn a_queue_that_is_not_shown_is_a_difference() {
        let wanted = line_settings("x", "en", 1);
        let found = differences(&wanted, &json!({"LINE_NAME": "x"}));
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].setting.as_str(), found[0].found.as_ref()),
            ("QUEUE", None)
        );
    }
}
