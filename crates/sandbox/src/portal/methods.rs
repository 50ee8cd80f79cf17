//! The REST methods a portal knows, with the parameters that are documented for each.
//!
//! A real portal ignores a parameter it does not know, and a guessed one has broken working lines. So the stand-in
//! refuses what no documentation lists; that way a wrong name fails in a test and not at a customer's.

use std::{collections::HashMap, sync::LazyLock};

use super::{connector, lines, messages, php::Value, rest::Handling, robots, system, telephony};

/// What may stand in a parameter.
pub(crate) enum Spec {
    /// Anything: scalars and free-form maps.
    Any,
    /// A map with these entries only.
    Fields(&'static [(&'static str, Spec)]),
    /// An array whose elements are all of one kind.
    Each(&'static Spec),
}

use Spec::{Any, Each, Fields};

/// One REST method.
pub(crate) struct Method {
    /// Its name, lower case.
    pub(crate) name: &'static str,
    /// The application needs one of these permissions; none where it is empty.
    pub(crate) scope: &'static [&'static str],
    /// Only for administrators.
    pub(crate) admin: bool,
    /// The documented parameters.
    pub(crate) parameters: Spec,
    /// What it does.
    pub(crate) handling: Handling,
}

const CONNECTOR_SCOPE: &[&str] = &["imopenlines", "imconnector"];
const LINES_SCOPE: &[&str] = &["imopenlines"];
const TELEPHONY_SCOPE: &[&str] = &["telephony"];

const ICON: Spec = Fields(&[
    ("DATA_IMAGE", Any),
    ("COLOR", Any),
    ("SIZE", Any),
    ("POSITION", Any),
]);

const MESSAGE_USER: Spec = Fields(&[
    ("id", Any),
    ("name", Any),
    ("last_name", Any),
    ("picture", Fields(&[("url", Any)])),
    ("url", Any),
    ("sex", Any),
    ("gender", Any),
    ("email", Any),
    ("phone", Any),
    ("skip_phone_validate", Any),
]);

const MESSAGE_BODY: Spec = Fields(&[
    ("id", Any),
    ("date", Any),
    ("text", Any),
    ("files", Each(&Fields(&[("url", Any), ("name", Any)]))),
    ("disable_crm", Any),
    ("user_id", Any),
]);

const MESSAGE_CHAT: Spec = Fields(&[("id", Any), ("name", Any), ("url", Any)]);

const MESSAGES: Spec = Fields(&[
    ("CONNECTOR", Any),
    ("LINE", Any),
    (
        "MESSAGES",
        Each(&Fields(&[
            ("user", MESSAGE_USER),
            ("message", MESSAGE_BODY),
            ("chat", MESSAGE_CHAT),
        ])),
    ),
]);

const STATUSES: Spec = Fields(&[
    ("CONNECTOR", Any),
    ("LINE", Any),
    (
        "MESSAGES",
        Each(&Fields(&[
            ("im", Fields(&[("chat_id", Any), ("message_id", Any)])),
            ("message", Fields(&[("id", Any), ("date", Any)])),
            ("chat", Fields(&[("id", Any)])),
        ])),
    ),
]);

/// The settings of an open line.
const LINE: Spec = Fields(&[
    ("LINE_NAME", Any),
    ("ACTIVE", Any),
    (
        "QUEUE",
        Each(&Fields(&[("ENTITY_TYPE", Any), ("ENTITY_ID", Any)])),
    ),
    ("QUEUE_TYPE", Any),
    ("QUEUE_TIME", Any),
    ("NO_ANSWER_TIME", Any),
    ("WELCOME_MESSAGE", Any),
    ("WELCOME_MESSAGE_TEXT", Any),
    ("SEND_WELCOME_EACH_SESSION", Any),
    ("WORKTIME_ENABLE", Any),
    ("WORKTIME_FROM", Any),
    ("WORKTIME_TO", Any),
    ("WORKTIME_TIMEZONE", Any),
    ("WORKTIME_DAYOFF", Any),
    ("WORKTIME_HOLIDAYS", Any),
    ("WORKTIME_DAYOFF_RULE", Any),
    ("WORKTIME_DAYOFF_FORM_ID", Any),
    ("WORKTIME_DAYOFF_BOT_ID", Any),
    ("WORKTIME_DAYOFF_TEXT", Any),
    ("CRM", Any),
    ("CRM_CREATE", Any),
    ("CRM_CREATE_SECOND", Any),
    ("CRM_CREATE_THIRD", Any),
    ("CRM_CHAT_TRACKER", Any),
    ("CRM_FORWARD", Any),
    ("CRM_TRANSFER_CHANGE", Any),
    ("CRM_SOURCE", Any),
    ("MAX_CHAT", Any),
    ("TYPE_MAX_CHAT", Any),
    ("CATEGORY_ENABLE", Any),
    ("CATEGORY_ID", Any),
    ("SESSION_PRIORITY", Any),
    ("WELCOME_BOT_ENABLE", Any),
    ("WELCOME_BOT_JOIN", Any),
    ("WELCOME_BOT_ID", Any),
    ("WELCOME_BOT_TIME", Any),
    ("WELCOME_BOT_LEFT", Any),
    ("CHECK_AVAILABLE", Any),
    ("WATCH_TYPING", Any),
    ("OPERATOR_DATA", Any),
    ("DEFAULT_OPERATOR_DATA", Any),
    ("NO_ANSWER_RULE", Any),
    ("NO_ANSWER_FORM_ID", Any),
    ("NO_ANSWER_BOT_ID", Any),
    ("NO_ANSWER_TEXT", Any),
    ("CLOSE_RULE", Any),
    ("CLOSE_FORM_ID", Any),
    ("CLOSE_BOT_ID", Any),
    ("CLOSE_TEXT", Any),
    ("VOTE_MESSAGE", Any),
    ("VOTE_TIME_LIMIT", Any),
    ("VOTE_CLOSING_DELAY", Any),
    ("VOTE_BEFORE_FINISH", Any),
    ("VOTE_MESSAGE_1_TEXT", Any),
    ("VOTE_MESSAGE_1_LIKE", Any),
    ("VOTE_MESSAGE_1_DISLIKE", Any),
    ("VOTE_MESSAGE_2_TEXT", Any),
    ("VOTE_MESSAGE_2_LIKE", Any),
    ("VOTE_MESSAGE_2_DISLIKE", Any),
    ("AUTO_CLOSE_RULE", Any),
    ("AUTO_CLOSE_TIME", Any),
    ("AUTO_CLOSE_FORM_ID", Any),
    ("AUTO_CLOSE_BOT_ID", Any),
    ("AUTO_CLOSE_TEXT", Any),
    ("FULL_CLOSE_TIME", Any),
    ("AUTO_EXPIRE_TIME", Any),
    ("TEMPORARY", Any),
    ("LANGUAGE_ID", Any),
    ("QUICK_ANSWERS_IBLOCK_ID", Any),
    ("KPI_FIRST_ANSWER_TIME", Any),
    ("KPI_FIRST_ANSWER_ALERT", Any),
    ("KPI_FIRST_ANSWER_LIST", Any),
    ("KPI_FIRST_ANSWER_TEXT", Any),
    ("KPI_FURTHER_ANSWER_TIME", Any),
    ("KPI_FURTHER_ANSWER_ALERT", Any),
    ("KPI_FURTHER_ANSWER_LIST", Any),
    ("KPI_FURTHER_ANSWER_TEXT", Any),
    ("KPI_CHECK_OPERATOR_ACTIVITY", Any),
    ("USE_WELCOME_FORM", Any),
    ("WELCOME_FORM_ID", Any),
    ("WELCOME_FORM_DELAY", Any),
    ("CONFIRM_CLOSE", Any),
    ("IGNORE_WELCOME_FORM_RESPONSIBLE", Any),
]);

const BIZPROC_SCOPE: &[&str] = &["bizproc"];

/// What can be said of a step of robots and workflows.
const STEP: Spec = Fields(&[
    ("HANDLER", Any),
    ("AUTH_USER_ID", Any),
    ("USE_SUBSCRIPTION", Any),
    ("NAME", Any),
    ("DESCRIPTION", Any),
    ("PROPERTIES", Any),
    ("RETURN_PROPERTIES", Any),
    ("DOCUMENT_TYPE", Any),
    ("FILTER", Any),
    ("USE_PLACEMENT", Any),
    ("PLACEMENT_HANDLER", Any),
]);

/// The same together with its code.
const STEP_NEW: Spec = Fields(&[
    ("CODE", Any),
    ("HANDLER", Any),
    ("AUTH_USER_ID", Any),
    ("USE_SUBSCRIPTION", Any),
    ("NAME", Any),
    ("DESCRIPTION", Any),
    ("PROPERTIES", Any),
    ("RETURN_PROPERTIES", Any),
    ("DOCUMENT_TYPE", Any),
    ("FILTER", Any),
    ("USE_PLACEMENT", Any),
    ("PLACEMENT_HANDLER", Any),
]);

const NOTHING: Spec = Fields(&[]);

const fn method(
    name: &'static str,
    scope: &'static [&'static str],
    parameters: Spec,
    handling: Handling,
) -> Method {
    Method {
        name,
        scope,
        admin: false,
        parameters,
        handling,
    }
}

const fn admin_method(
    name: &'static str,
    scope: &'static [&'static str],
    parameters: Spec,
    handling: Handling,
) -> Method {
    Method {
        name,
        scope,
        admin: true,
        parameters,
        handling,
    }
}

/// Every method.
static METHODS: &[Method] = &[
    method(
        "batch",
        &[],
        Fields(&[("halt", Any), ("cmd", Any)]),
        Handling::Batch,
    ),
    method("app.info", &[], NOTHING, Handling::Plain(system::app_info)),
    method("profile", &[], NOTHING, Handling::Plain(system::profile)),
    method(
        "user.current",
        &["user", "user_basic", "user_brief"],
        NOTHING,
        Handling::Plain(system::user_current),
    ),
    method(
        "user.admin",
        &[],
        NOTHING,
        Handling::Plain(system::user_admin),
    ),
    method(
        "server.time",
        &[],
        NOTHING,
        Handling::Plain(system::server_time),
    ),
    method(
        "methods",
        &[],
        Fields(&[("full", Any), ("scope", Any)]),
        Handling::Plain(system::methods),
    ),
    method(
        "method.get",
        &[],
        Fields(&[("name", Any)]),
        Handling::Plain(system::method_get),
    ),
    method(
        "scope",
        &[],
        Fields(&[("full", Any)]),
        Handling::Plain(system::scope),
    ),
    method(
        "event.bind",
        &[],
        // auth_type is documented too, but it names a user; nobody who sends it means that.
        Fields(&[
            ("event", Any),
            ("handler", Any),
            ("event_type", Any),
            ("auth_connector", Any),
            ("options", Any),
        ]),
        Handling::Plain(system::event_bind),
    ),
    method(
        "event.get",
        &[],
        NOTHING,
        Handling::Plain(system::event_get),
    ),
    method(
        "event.unbind",
        &[],
        Fields(&[
            ("event", Any),
            ("handler", Any),
            ("auth_type", Any),
            ("event_type", Any),
        ]),
        Handling::Plain(system::event_unbind),
    ),
    method(
        "event.test",
        &[],
        Fields(&[("any", Any)]),
        Handling::Plain(system::event_test),
    ),
    admin_method(
        "placement.bind",
        &["placement"],
        Fields(&[
            ("PLACEMENT", Any),
            ("HANDLER", Any),
            ("TITLE", Any),
            ("DESCRIPTION", Any),
            ("GROUP_NAME", Any),
            ("LANG_ALL", Any),
            ("OPTIONS", Any),
            ("USER_ID", Any),
        ]),
        Handling::Plain(system::placement_bind),
    ),
    method(
        "placement.get",
        &["placement"],
        NOTHING,
        Handling::Plain(system::placement_get),
    ),
    admin_method(
        "placement.unbind",
        &["placement"],
        Fields(&[("PLACEMENT", Any), ("HANDLER", Any), ("USER_ID", Any)]),
        Handling::Plain(system::placement_unbind),
    ),
    method(
        "placement.list",
        &["placement"],
        Fields(&[("SCOPE", Any), ("FULL", Any)]),
        Handling::Plain(system::placement_list),
    ),
    admin_method(
        "messageservice.sender.add",
        &["messageservice"],
        Fields(&[
            ("CODE", Any),
            ("TYPE", Any),
            ("HANDLER", Any),
            ("NAME", Any),
            ("DESCRIPTION", Any),
        ]),
        Handling::Plain(system::sender_add),
    ),
    admin_method(
        "messageservice.sender.update",
        &["messageservice"],
        Fields(&[
            ("CODE", Any),
            ("HANDLER", Any),
            ("NAME", Any),
            ("DESCRIPTION", Any),
        ]),
        Handling::Plain(system::sender_update),
    ),
    method(
        "messageservice.sender.list",
        &["messageservice"],
        NOTHING,
        Handling::Plain(system::sender_list),
    ),
    admin_method(
        "messageservice.sender.delete",
        &["messageservice"],
        Fields(&[("CODE", Any)]),
        Handling::Plain(system::sender_delete),
    ),
    admin_method(
        "messageservice.message.status.update",
        &["messageservice"],
        Fields(&[("CODE", Any), ("MESSAGE_ID", Any), ("STATUS", Any)]),
        Handling::Plain(system::message_status_update),
    ),
    method(
        "telephony.externalcall.searchcrmentities",
        TELEPHONY_SCOPE,
        Fields(&[("PHONE_NUMBER", Any)]),
        Handling::Plain(telephony::search),
    ),
    method(
        "telephony.externalcall.register",
        TELEPHONY_SCOPE,
        Fields(&[
            ("USER_ID", Any),
            ("USER_PHONE_INNER", Any),
            ("PHONE_NUMBER", Any),
            ("TYPE", Any),
            ("CALL_START_DATE", Any),
            ("CRM_CREATE", Any),
            ("CRM_SOURCE", Any),
            ("CRM_ENTITY_TYPE", Any),
            ("CRM_ENTITY_ID", Any),
            ("SHOW", Any),
            ("ADD_TO_CHAT", Any),
            ("LINE_NUMBER", Any),
            ("EXTERNAL_CALL_ID", Any),
        ]),
        Handling::Plain(telephony::register),
    ),
    method(
        "telephony.externalcall.show",
        TELEPHONY_SCOPE,
        Fields(&[("CALL_ID", Any), ("USER_ID", Any)]),
        Handling::Plain(telephony::show),
    ),
    method(
        "telephony.externalcall.hide",
        TELEPHONY_SCOPE,
        Fields(&[("CALL_ID", Any), ("USER_ID", Any)]),
        Handling::Plain(telephony::hide),
    ),
    method(
        "telephony.externalcall.finish",
        TELEPHONY_SCOPE,
        Fields(&[
            ("CALL_ID", Any),
            ("USER_ID", Any),
            ("DURATION", Any),
            ("COST", Any),
            ("COST_CURRENCY", Any),
            ("STATUS_CODE", Any),
            ("FAILED_REASON", Any),
            ("VOTE", Any),
            ("ADD_TO_CHAT", Any),
        ]),
        Handling::Plain(telephony::finish),
    ),
    admin_method(
        "bizproc.robot.add",
        BIZPROC_SCOPE,
        STEP_NEW,
        Handling::Plain(robots::robot_add),
    ),
    admin_method(
        "bizproc.robot.update",
        BIZPROC_SCOPE,
        Fields(&[("CODE", Any), ("FIELDS", STEP)]),
        Handling::Plain(robots::robot_update),
    ),
    admin_method(
        "bizproc.robot.list",
        BIZPROC_SCOPE,
        NOTHING,
        Handling::Plain(robots::robot_list),
    ),
    admin_method(
        "bizproc.robot.delete",
        BIZPROC_SCOPE,
        Fields(&[("CODE", Any)]),
        Handling::Plain(robots::robot_delete),
    ),
    admin_method(
        "bizproc.activity.add",
        BIZPROC_SCOPE,
        STEP_NEW,
        Handling::Plain(robots::activity_add),
    ),
    admin_method(
        "bizproc.activity.update",
        BIZPROC_SCOPE,
        Fields(&[("CODE", Any), ("FIELDS", STEP)]),
        Handling::Plain(robots::activity_update),
    ),
    admin_method(
        "bizproc.activity.list",
        BIZPROC_SCOPE,
        NOTHING,
        Handling::Plain(robots::activity_list),
    ),
    admin_method(
        "bizproc.activity.delete",
        BIZPROC_SCOPE,
        Fields(&[("CODE", Any)]),
        Handling::Plain(robots::activity_delete),
    ),
    method(
        "bizproc.event.send",
        BIZPROC_SCOPE,
        Fields(&[
            ("EVENT_TOKEN", Any),
            ("RETURN_VALUES", Any),
            ("LOG_MESSAGE", Any),
        ]),
        Handling::Plain(robots::event_send),
    ),
    method(
        "imconnector.register",
        CONNECTOR_SCOPE,
        Fields(&[
            ("ID", Any),
            ("NAME", Any),
            ("ICON", ICON),
            ("ICON_DISABLED", ICON),
            ("PLACEMENT_HANDLER", Any),
            ("DEL_EXTERNAL_MESSAGES", Any),
            ("EDIT_INTERNAL_MESSAGES", Any),
            ("DEL_INTERNAL_MESSAGES", Any),
            ("NEWSLETTER", Any),
            ("NEED_SYSTEM_MESSAGES", Any),
            ("NEED_SIGNATURE", Any),
            ("CHAT_GROUP", Any),
            ("COMMENT", Any),
        ]),
        Handling::Plain(connector::register),
    ),
    method(
        "imconnector.unregister",
        CONNECTOR_SCOPE,
        Fields(&[("ID", Any)]),
        Handling::Plain(connector::unregister),
    ),
    admin_method(
        "imconnector.list",
        CONNECTOR_SCOPE,
        NOTHING,
        Handling::Plain(connector::list),
    ),
    method(
        "imconnector.activate",
        CONNECTOR_SCOPE,
        Fields(&[("CONNECTOR", Any), ("LINE", Any), ("ACTIVE", Any)]),
        Handling::Plain(connector::activate),
    ),
    method(
        "imconnector.connector.data.set",
        CONNECTOR_SCOPE,
        Fields(&[
            ("CONNECTOR", Any),
            ("LINE", Any),
            (
                "DATA",
                Fields(&[("ID", Any), ("URL", Any), ("URL_IM", Any), ("NAME", Any)]),
            ),
        ]),
        Handling::Plain(connector::data_set),
    ),
    method(
        "imconnector.status",
        CONNECTOR_SCOPE,
        Fields(&[("CONNECTOR", Any), ("LINE", Any)]),
        Handling::Plain(connector::status),
    ),
    method(
        "imconnector.set.error",
        CONNECTOR_SCOPE,
        Fields(&[("CONNECTOR", Any), ("LINE", Any)]),
        Handling::Plain(connector::set_error),
    ),
    method(
        "imconnector.send.messages",
        CONNECTOR_SCOPE,
        MESSAGES,
        Handling::SendMessages,
    ),
    method(
        "imconnector.update.messages",
        CONNECTOR_SCOPE,
        MESSAGES,
        Handling::Plain(messages::update),
    ),
    method(
        "imconnector.delete.messages",
        CONNECTOR_SCOPE,
        MESSAGES,
        Handling::Plain(messages::delete),
    ),
    method(
        "imconnector.send.status.delivery",
        CONNECTOR_SCOPE,
        STATUSES,
        Handling::Plain(messages::delivered),
    ),
    method(
        "imconnector.send.status.reading",
        CONNECTOR_SCOPE,
        STATUSES,
        Handling::Plain(messages::reading),
    ),
    method(
        "imconnector.chat.name.set",
        CONNECTOR_SCOPE,
        Fields(&[
            ("CONNECTOR", Any),
            ("LINE", Any),
            ("CHAT_ID", Any),
            ("NAME", Any),
            ("USER_ID", Any),
        ]),
        Handling::Plain(messages::chat_name_set),
    ),
    method(
        "imopenlines.config.add",
        LINES_SCOPE,
        Fields(&[("PARAMS", LINE)]),
        Handling::Plain(lines::add),
    ),
    method(
        "imopenlines.config.get",
        LINES_SCOPE,
        Fields(&[
            ("CONFIG_ID", Any),
            ("WITH_QUEUE", Any),
            ("SHOW_OFFLINE", Any),
        ]),
        Handling::Plain(lines::get),
    ),
    method(
        "imopenlines.config.list.get",
        LINES_SCOPE,
        Fields(&[
            (
                "PARAMS",
                Fields(&[
                    ("select", Any),
                    ("order", Any),
                    ("filter", Any),
                    ("limit", Any),
                    ("offset", Any),
                ]),
            ),
            ("OPTIONS", Fields(&[("QUEUE", Any), ("CONFIG_QUEUE", Any)])),
        ]),
        Handling::Plain(lines::list),
    ),
    method(
        "imopenlines.config.update",
        LINES_SCOPE,
        Fields(&[("CONFIG_ID", Any), ("PARAMS", LINE)]),
        Handling::Plain(lines::update),
    ),
    method(
        "imopenlines.config.delete",
        LINES_SCOPE,
        Fields(&[("CONFIG_ID", Any)]),
        Handling::Plain(lines::delete),
    ),
    method(
        "imopenlines.config.path.get",
        LINES_SCOPE,
        NOTHING,
        Handling::Plain(lines::path),
    ),
    method(
        "imopenlines.session.history.get",
        LINES_SCOPE,
        Fields(&[("SESSION_ID", Any), ("CHAT_ID", Any)]),
        Handling::Plain(lines::history),
    ),
    method(
        "imopenlines.session.open",
        LINES_SCOPE,
        Fields(&[("USER_CODE", Any)]),
        Handling::Plain(lines::session_open),
    ),
    method(
        "imopenlines.dialog.get",
        LINES_SCOPE,
        Fields(&[
            ("CHAT_ID", Any),
            ("DIALOG_ID", Any),
            ("SESSION_ID", Any),
            ("USER_CODE", Any),
        ]),
        Handling::Plain(lines::dialog),
    ),
    method(
        "imopenlines.crm.chat.get",
        LINES_SCOPE,
        Fields(&[
            ("CRM_ENTITY_TYPE", Any),
            ("CRM_ENTITY", Any),
            ("ACTIVE_ONLY", Any),
        ]),
        Handling::Plain(lines::crm_chats),
    ),
    method(
        "im.message.add",
        &["im"],
        Fields(&[
            ("DIALOG_ID", Any),
            ("MESSAGE", Any),
            ("SYSTEM", Any),
            ("ATTACH", Any),
            ("URL_PREVIEW", Any),
            ("KEYBOARD", Any),
            ("MENU", Any),
        ]),
        Handling::Plain(messages::im_message_add),
    ),
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Method>> =
    LazyLock::new(|| METHODS.iter().map(|method| (method.name, method)).collect());

/// Finds a method by its name in lower case.
pub(crate) fn find(name: &str) -> Option<&'static Method> {
    BY_NAME.get(name).copied()
}

/// The names of all methods, for `methods`.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|method| method.name)
}

/// The first parameter that is not documented, as `MESSAGES[0][message][dat]`.
pub(crate) fn undocumented(spec: &Spec, value: &Value, path: &str) -> Option<String> {
    let inside = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}[{key}]")
        }
    };
    match spec {
        Any => None,
        Each(element) => value
            .entries()
            .into_iter()
            .find_map(|(key, value)| undocumented(element, value, &inside(&key))),
        Fields(fields) => value.entries().into_iter().find_map(|(key, value)| {
            match fields
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(&key))
            {
                Some((_, spec)) => undocumented(spec, value, &inside(&key)),
                None => Some(inside(&key)),
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn names_are_unique_and_lower_case() {
        assert_eq!(BY_NAME.len(), METHODS.len());
        assert!(names().all(|name| name == name.to_ascii_lowercase()));
    }

    #[test]
    fn an_unknown_parameter_is_found_however_deep() {
        let spec = &find("imconnector.send.messages").unwrap().parameters;
        let check = |form: &str| undocumented(spec, &Value::from_form(form.as_bytes()), "");
        assert_eq!(
            check("connector=a&MESSAGES[0][message][text]=x&MESSAGES[0][user][picture][url]=u"),
            None
        );
        assert_eq!(
            check("MESSAGES[0][message][dat]=x").as_deref(),
            Some("MESSAGES[0][message][dat]")
        );
        assert_eq!(
            check("MESSAGES[0][message][files][0][headers]=x").unwrap(),
            "MESSAGES[0][message][files][0][headers]"
        );
        assert_eq!(check("send_message=1").as_deref(), Some("send_message"));
    }
}
