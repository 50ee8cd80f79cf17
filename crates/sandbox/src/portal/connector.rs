//! `imconnector.*`: registering a connector and switching it on for a line.

#![expect(clippy::unnecessary_wraps, reason = "every method has the same shape")]

use super::{
    Portal,
    events::Happening,
    php::{Value, map},
    rest::{Context, Failure, Outcome},
    state::{ConnectorState, State},
};

/// Connectors every portal has, as `imconnector.list` shows them.
const BUILT_IN: &[(&str, &str)] = &[("livechat", "Live Chat"), ("telegrambot", "Telegram")];

/// The shape of `register` and `unregister`: a refusal comes with HTTP 200.
fn nested(result: Result<(), (&str, &str)>) -> Outcome {
    Ok(match result {
        Ok(()) => map([("result", true.into())]),
        Err((code, description)) => map([
            ("result", false.into()),
            ("error", code.into()),
            ("error_description", description.into()),
        ]),
    })
}

/// `imconnector.register`: the same id again updates.
pub(crate) fn register(context: &Context<'_>, state: &mut State) -> Outcome {
    nested(register_checked(context, state))
}

fn register_checked(
    context: &Context<'_>,
    state: &mut State,
) -> Result<(), (&'static str, &'static str)> {
    let params = context.params;
    let id = params.text_of("ID").to_lowercase();
    if id.contains('.') {
        return Err((
            "APPLICATION_REGISTRATION_ERROR_POINT",
            "The connector ID cannot contain a dot",
        ));
    }
    if id.is_empty() {
        return Err(("CONNECTOR_ID_REQUIRED", "The connector ID is not specified"));
    }
    if params.text_of("NAME").is_empty() {
        return Err(("NAME_REQUIRED", "The connector name is not specified"));
    }
    if params
        .get("ICON")
        .map(|icon| icon.text_of("DATA_IMAGE"))
        .unwrap_or_default()
        .is_empty()
    {
        return Err(("ICON_REQUIRED", "The connector icon is not specified"));
    }
    if params.text_of("PLACEMENT_HANDLER").is_empty() {
        return Err((
            "NO_PLACEMENT_HANDLER",
            "The placement handler is not specified",
        ));
    }
    let foreign = state
        .connectors
        .get(&id)
        .is_some_and(|known| known.client_id != context.client_id);
    if foreign || BUILT_IN.iter().any(|(built_in, _)| *built_in == id) {
        return Err((
            "APPLICATION_REGISTRATION_ERROR",
            "The connector with this ID is already registered",
        ));
    }
    let connector = ConnectorState {
        client_id: context.client_id.to_owned(),
        name: params.text_of("NAME"),
        placement_handler: params.text_of("PLACEMENT_HANDLER"),
        delete_external_messages: params.switch_of("DEL_EXTERNAL_MESSAGES", true),
        edit_internal_messages: params.switch_of("EDIT_INTERNAL_MESSAGES", true),
        delete_internal_messages: params.switch_of("DEL_INTERNAL_MESSAGES", true),
        newsletter: params.switch_of("NEWSLETTER", true),
        need_system_messages: params.switch_of("NEED_SYSTEM_MESSAGES", true),
        need_signature: params.switch_of("NEED_SIGNATURE", true),
        chat_group: params.switch_of("CHAT_GROUP", false),
    };
    state.connectors.insert(id, connector);
    Ok(())
}

/// `imconnector.unregister`: takes the connector off its lines first.
pub(crate) fn unregister(context: &Context<'_>, state: &mut State) -> Outcome {
    let id = context.params.text_of("ID").to_lowercase();
    if id.is_empty() {
        return nested(Err((
            "CONNECTOR_ID_REQUIRED",
            "The connector ID is not specified",
        )));
    }
    if state
        .connectors
        .get(&id)
        .is_none_or(|connector| connector.client_id != context.client_id)
    {
        return nested(Err((
            "APPLICATION_UNREGISTRATION_ERROR",
            "The connector was not found",
        )));
    }
    for line in lines_of(state, &id) {
        context
            .portal
            .take_off(state, &id, line, Some(context.user));
    }
    state.connectors.remove(&id);
    nested(Ok(()))
}

fn lines_of(state: &State, connector: &str) -> Vec<i64> {
    let keys = state.statuses.keys().filter(|(of, _)| of == connector);
    keys.map(|(_, line)| *line).collect()
}

/// `imconnector.list`: id and name of every connector, other people's too.
pub(crate) fn list(_: &Context<'_>, state: &mut State) -> Outcome {
    let built_in = BUILT_IN
        .iter()
        .map(|(id, name)| ((*id).to_owned(), Value::from(*name)));
    let registered = state
        .connectors
        .iter()
        .map(|(id, connector)| (id.clone(), connector.name.as_str().into()));
    Ok(Value::Map(built_in.chain(registered).collect()))
}

fn pair(context: &Context<'_>) -> Result<(String, i64), Failure> {
    let connector = context.required_text("CONNECTOR")?.to_lowercase();
    let line = context.required("LINE")?.integer().unwrap_or_default();
    Ok((connector, line))
}

/// `imconnector.activate`: anything but empty and 0 activates, "N" too. It wipes the connector's data where the portal
/// is told to.
pub(crate) fn activate(context: &Context<'_>, state: &mut State) -> Outcome {
    let (connector, line) = pair(context)?;
    if !context.params.get("ACTIVE").is_some_and(Value::truthy) {
        context
            .portal
            .take_off(state, &connector, line, Some(context.user));
        return Ok(true.into());
    }
    let status = state.statuses.entry((connector, line)).or_default();
    status.active = true;
    status.error = false;
    if context.behaviour.activate_wipes_data {
        status.data = None;
    }
    Ok(true.into())
}

/// `imconnector.connector.data.set`: replaces the data as a whole.
pub(crate) fn data_set(context: &Context<'_>, state: &mut State) -> Outcome {
    let key = pair(context)?;
    let data = context.required("DATA")?;
    if !data.is_array() {
        return Err(Failure::argument(
            "DATA",
            "The value of an argument 'DATA' must be of type array",
        ));
    }
    // Data for a connector that is not switched on is kept nowhere.
    if let Some(status) = state.statuses.get_mut(&key) {
        status.data = Some(data.clone());
    }
    Ok(true.into())
}

/// `imconnector.status`: falses for what is unknown; without a line it asks about line 0.
pub(crate) fn status(context: &Context<'_>, state: &mut State) -> Outcome {
    let connector = context.required_text("CONNECTOR")?.to_lowercase();
    let line = context.params.integer_of("LINE").unwrap_or_default();
    let data_needed = context.behaviour.activate_wipes_data;
    let registered = state.connectors.contains_key(&connector);
    let status = state.statuses.get(&(connector.clone(), line));
    let ready = registered && status.is_some_and(|status| status.ready(data_needed));
    Ok(map([
        ("LINE", line.into()),
        ("CONNECTOR", connector.into()),
        ("ERROR", status.is_some_and(|status| status.error).into()),
        ("CONFIGURED", ready.into()),
        ("STATUS", ready.into()),
    ]))
}

/// `imconnector.set.error`: exists, undocumented, sets the error flag.
pub(crate) fn set_error(context: &Context<'_>, state: &mut State) -> Outcome {
    let key = pair(context)?;
    state.statuses.entry(key).or_default().error = true;
    Ok(true.into())
}

impl Portal {
    /// Takes a connector off a line and tells its application.
    pub(crate) fn take_off(
        &self,
        state: &mut State,
        connector: &str,
        line: i64,
        user: Option<i64>,
    ) -> bool {
        if state
            .statuses
            .remove(&(connector.to_owned(), line))
            .is_none()
        {
            return false;
        }
        let Some(client_id) = state
            .connectors
            .get(connector)
            .map(|known| known.client_id.clone())
        else {
            return true;
        };
        let happening = Happening {
            name: "ONIMCONNECTORSTATUSDELETE",
            // Lower case, unlike every other event of connectors.
            data: map([("connector", connector.into()), ("line", line.into())]),
            chat: 0,
            user,
            only: Some(&client_id),
        };
        self.fire(state, &happening);
        true
    }
}

/// The connector and line of a call, where the connector is the caller's own.
pub(crate) fn provider(context: &Context<'_>, state: &State) -> Result<(String, i64), Failure> {
    let (connector, line) = pair(context)?;
    let ours = state
        .connectors
        .get(&connector)
        .is_some_and(|known| known.client_id == context.client_id);
    if !ours {
        let description = "Could not find a suitable provider for the connector";
        return Err(Failure::new(
            400,
            "IMCONNECTOR_NO_CORRECT_PROVIDER",
            description,
        ));
    }
    Ok((connector, line))
}

/// As [`provider`], and the line must be on with the connector ready on it.
pub(crate) fn ready_line(context: &Context<'_>, state: &State) -> Result<(String, i64), Failure> {
    let key = provider(context, state)?;
    let line = state.lines.get(&key.1).is_some_and(|line| line.active);
    let data_needed = context.behaviour.activate_wipes_data;
    if !line
        || !state
            .statuses
            .get(&key)
            .is_some_and(|status| status.ready(data_needed))
    {
        let description = "The line with this ID is inactive or does not exist";
        return Err(Failure::new(400, "NOT_ACTIVE_LINE", description));
    }
    Ok(key)
}
