//! What every application uses: who am I, events, placements, SMS providers.

#![expect(clippy::unnecessary_wraps, reason = "every method has the same shape")]

use std::collections::BTreeSet;

use url::Url;

use super::{
    Handler, Placement, clock,
    events::Happening,
    methods,
    php::{EMPTY, Value, map},
    rest::{Context, Failure, Outcome},
    state::{Sender, State},
};

/// `app.info` of the portal.
pub(crate) fn app_info(context: &Context<'_>, state: &mut State) -> Outcome {
    let app = state.apps.get(context.client_id);
    Ok(map([
        ("ID", 1.into()),
        ("CODE", context.client_id.into()),
        ("VERSION", app.map_or(1, |app| app.version).into()),
        ("STATUS", "L".into()),
        ("INSTALLED", app.is_some_and(|app| app.installed).into()),
        ("PAYMENT_EXPIRED", "N".into()),
        ("DAYS", Value::Null),
        ("LANGUAGE_ID", context.behaviour.language.into()),
        ("LICENSE", "en_project".into()),
        ("LICENSE_TYPE", "project".into()),
        ("LICENSE_FAMILY", "project".into()),
    ]))
}

/// `profile`: the caller, in few words.
pub(crate) fn profile(context: &Context<'_>, state: &mut State) -> Outcome {
    let user = state.users.get(&context.user);
    Ok(map([
        ("ID", context.user.to_string().into()),
        ("ADMIN", user.is_some_and(|user| user.admin).into()),
        ("NAME", user.map(|user| user.name.clone()).into()),
        ("LAST_NAME", user.map(|user| user.last_name.clone()).into()),
        ("PERSONAL_GENDER", "".into()),
        ("TIME_ZONE", "".into()),
        ("TIME_ZONE_OFFSET", 0.into()),
    ]))
}

/// `user.current`: the caller, with what the directory holds.
pub(crate) fn user_current(context: &Context<'_>, state: &mut State) -> Outcome {
    let user = state.users.get(&context.user);
    Ok(map([
        ("ID", context.user.to_string().into()),
        ("ACTIVE", user.is_some_and(|user| user.active).into()),
        ("NAME", user.map(|user| user.name.clone()).into()),
        ("LAST_NAME", user.map(|user| user.last_name.clone()).into()),
        ("EMAIL", format!("user{}@example.com", context.user).into()),
        ("UF_DEPARTMENT", vec![1].into()),
        ("USER_TYPE", "employee".into()),
    ]))
}

/// `user.admin`: whether the caller is an administrator.
pub(crate) fn user_admin(context: &Context<'_>, state: &mut State) -> Outcome {
    Ok(state
        .users
        .get(&context.user)
        .is_some_and(|user| user.admin)
        .into())
}

/// `server.time`.
pub(crate) fn server_time(context: &Context<'_>, _: &mut State) -> Outcome {
    Ok(clock::iso(context.portal.world.clock.milliseconds()).into())
}

/// `methods`.
pub(crate) fn methods(_: &Context<'_>, _: &mut State) -> Outcome {
    Ok(methods::names().collect::<Vec<&str>>().into())
}

/// `method.get`.
pub(crate) fn method_get(context: &Context<'_>, _: &mut State) -> Outcome {
    let known = methods::find(&context.required_text("name")?.to_ascii_lowercase()).is_some();
    Ok(map([
        ("isExisting", known.into()),
        ("isAvailable", known.into()),
    ]))
}

/// `scope`: what the application may use.
pub(crate) fn scope(context: &Context<'_>, state: &mut State) -> Outcome {
    let granted = state
        .apps
        .get(context.client_id)
        .map(|app| app.scope.clone())
        .unwrap_or_default();
    Ok(granted.into())
}

/// The events an application can bind here.
const EVENTS: &[&str] = &[
    "ONAPPUNINSTALL",
    "ONAPPUPDATE",
    "ONAPPTEST",
    "ONAPPMETHODCONFIRM",
    "ONIMCONNECTORMESSAGEADD",
    "ONIMCONNECTORMESSAGEUPDATE",
    "ONIMCONNECTORMESSAGEDELETE",
    "ONIMCONNECTORSTATUSDELETE",
    "ONIMCONNECTORLINEDELETE",
    "ONIMCONNECTORDIALOGSTART",
    "ONIMCONNECTORDIALOGFINISH",
];

/// Handlers must be `http` or `https` with a dot in the host.
pub(crate) fn handler_url(text: &str) -> Result<(), Failure> {
    let wrong = || Failure::new(400, "ERROR_WRONG_HANDLER_URL", "Wrong handler URL");
    let url = Url::parse(text).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Failure::new(
            400,
            "ERROR_UNSUPPORTED_PROTOCOL",
            "Unsupported event handler protocol",
        ));
    }
    if url.host_str().is_some_and(|host| host.contains('.')) {
        Ok(())
    } else {
        Err(wrong())
    }
}

/// `event.bind`: the same handler twice is an error.
pub(crate) fn event_bind(context: &Context<'_>, state: &mut State) -> Outcome {
    let event = context.required_text("event")?.to_uppercase();
    if !EVENTS.contains(&event.as_str()) {
        return Err(Failure::new(
            400,
            "ERROR_EVENT_NOT_FOUND",
            "Event not found",
        ));
    }
    let url = context.required_text("handler")?;
    handler_url(&url)?;
    let handler = Handler {
        id: 0,
        event: event.clone(),
        handler: url.clone(),
        client_id: context.client_id.to_owned(),
    };
    if state.handlers.iter().any(|known| {
        Handler {
            id: 0,
            ..known.clone()
        } == handler
    }) {
        return Err(Failure::new(
            400,
            "ERROR_CORE",
            "Unable to set event handler: Handler already binded",
        ));
    }
    let id = state.next.handler.take();
    state.handlers.push(Handler { id, ..handler });
    Ok(true.into())
}

/// `event.get`: the application's own handlers.
pub(crate) fn event_get(context: &Context<'_>, state: &mut State) -> Outcome {
    let own = state
        .handlers
        .iter()
        .filter(|handler| handler.client_id == context.client_id);
    let described = own.map(|handler| {
        map([
            ("event", handler.event.as_str().into()),
            ("handler", handler.handler.as_str().into()),
            // A user id: 0 is whoever acts.
            ("auth_type", "0".into()),
            ("offline", 0.into()),
        ])
    });
    Ok(Value::List(described.collect()))
}

/// `event.unbind`: needs the exact address.
pub(crate) fn event_unbind(context: &Context<'_>, state: &mut State) -> Outcome {
    let event = context.required_text("event")?.to_uppercase();
    let url = context.required_text("handler")?;
    let before = state.handlers.len();
    state.handlers.retain(|handler| {
        handler.client_id != context.client_id || handler.event != event || handler.handler != url
    });
    Ok(map([(
        "count",
        ((before - state.handlers.len()) as i64).into(),
    )]))
}

/// `event.test`: sends `ONAPPTEST` with what was given.
pub(crate) fn event_test(context: &Context<'_>, state: &mut State) -> Outcome {
    let data = map([
        ("QUERY", context.params.clone()),
        ("LANGUAGE_ID", "en".into()),
    ]);
    let (user, only) = (Some(context.user), Some(context.client_id));
    context.portal.fire(
        state,
        &Happening {
            name: "ONAPPTEST",
            data,
            chat: 0,
            user,
            only,
        },
    );
    Ok(true.into())
}

/// Where an application can show a page.
const PLACEMENTS: &[&str] = &[
    "CONTACT_CENTER",
    "CRM_LEAD_DETAIL_TAB",
    "CRM_DEAL_DETAIL_TAB",
    "CRM_CONTACT_DETAIL_TAB",
    "CRM_COMPANY_DETAIL_TAB",
    "CRM_LEAD_DETAIL_ACTIVITY",
    "CRM_DEAL_DETAIL_ACTIVITY",
    "CRM_CONTACT_DETAIL_ACTIVITY",
    "CRM_COMPANY_DETAIL_ACTIVITY",
    "CRM_DYNAMIC_1038_DETAIL_TAB",
    "CRM_DYNAMIC_1038_DETAIL_ACTIVITY",
    "IM_TEXTAREA",
    "IM_SIDEBAR",
    "IM_CONTEXT_MENU",
    "REST_APP_URI",
    "SETTING_CONNECTOR",
];

/// `placement.bind`.
pub(crate) fn placement_bind(context: &Context<'_>, state: &mut State) -> Outcome {
    let name = context.required_text("PLACEMENT")?.to_uppercase();
    // The settings page of a connector is set by registering it.
    if !PLACEMENTS.contains(&name.as_str()) || name == "SETTING_CONNECTOR" {
        return Err(Failure::new(
            400,
            "ERROR_PLACEMENT_NOT_FOUND",
            "Placement not found",
        ));
    }
    let handler = context.required_text("HANDLER")?;
    handler_url(&handler)?;
    let known = |placement: &Placement| {
        placement.client_id == context.client_id
            && placement.placement == name
            && placement.handler == handler
    };
    if state.placements.iter().any(known) {
        return Err(Failure::new(
            400,
            "ERROR_CORE",
            "Unable to set placement handler: Handler already binded",
        ));
    }
    let title = context.params.text_of("TITLE");
    let options = context.params.get("OPTIONS");
    let place = options
        .map(|options| options.text_of("context"))
        .unwrap_or_default();
    // A button without an icon or a chat to stand in is refused there.
    let icon = options
        .map(|options| options.text_of("iconName"))
        .unwrap_or_default();
    if name.starts_with("IM_") && (place.is_empty() || icon.is_empty()) {
        return Err(Failure::argument(
            "OPTIONS",
            "iconName and context are needed",
        ));
    }
    let client_id = context.client_id.to_owned();
    state.placements.push(Placement {
        placement: name,
        handler,
        title,
        context: place,
        client_id,
    });
    Ok(true.into())
}

/// `placement.get`: the application's own.
pub(crate) fn placement_get(context: &Context<'_>, state: &mut State) -> Outcome {
    let own = state
        .placements
        .iter()
        .filter(|placement| placement.client_id == context.client_id);
    let described = own.map(|placement| {
        map([
            ("placement", placement.placement.as_str().into()),
            ("userId", 0.into()),
            ("handler", placement.handler.as_str().into()),
            ("options", EMPTY),
            ("title", placement.title.as_str().into()),
            ("description", "".into()),
            ("langAll", EMPTY),
        ])
    });
    Ok(Value::List(described.collect()))
}

/// `placement.unbind`: with a handler only that one, without all of the placement.
pub(crate) fn placement_unbind(context: &Context<'_>, state: &mut State) -> Outcome {
    let name = context.required_text("PLACEMENT")?.to_uppercase();
    let handler = context.params.text_of("HANDLER");
    let before = state.placements.len();
    state.placements.retain(|placement| {
        placement.client_id != context.client_id
            || placement.placement != name
            || (!handler.is_empty() && placement.handler != handler)
    });
    Ok(map([(
        "count",
        ((before - state.placements.len()) as i64).into(),
    )]))
}

/// `placement.list`: the catalogue, not what is bound.
pub(crate) fn placement_list(_: &Context<'_>, _: &mut State) -> Outcome {
    Ok(PLACEMENTS.to_vec().into())
}

fn sender_failure(description: &str) -> Failure {
    Failure::new(400, "ERROR_SENDER_VALIDATION_FAILURE", description)
}

/// A name given as text or as texts by language.
fn sender_name(context: &Context<'_>) -> String {
    let name = context.params.get("NAME");
    let first = name.and_then(|name| name.elements().first().and_then(|first| first.text()));
    first
        .or_else(|| name.and_then(Value::text))
        .unwrap_or_default()
}

/// `messageservice.sender.add`.
pub(crate) fn sender_add(context: &Context<'_>, state: &mut State) -> Outcome {
    let code = context.params.text_of("CODE");
    if code.is_empty() {
        return Err(sender_failure("Empty sender code!"));
    }
    if !code
        .chars()
        .all(|sign| sign.is_ascii_alphanumeric() || "._-".contains(sign))
    {
        return Err(sender_failure("Wrong sender code!"));
    }
    let handler = context.required_text("HANDLER")?;
    handler_url(&handler)?;
    let name = sender_name(context);
    if name.is_empty() {
        return Err(sender_failure("Empty sender NAME!"));
    }
    match context.params.text_of("TYPE").as_str() {
        "SMS" => {}
        "" => return Err(sender_failure("Empty sender message TYPE!")),
        _ => return Err(sender_failure("Unknown sender message TYPE!")),
    }
    if state.senders.contains_key(&code) {
        return Err(Failure::new(
            400,
            "ERROR_SENDER_ALREADY_INSTALLED",
            "Sender already installed!",
        ));
    }
    state.senders.insert(
        code,
        Sender {
            client_id: context.client_id.to_owned(),
            handler,
            name,
        },
    );
    Ok(true.into())
}

fn own_sender<'a>(context: &Context<'_>, state: &'a mut State) -> Result<&'a mut Sender, Failure> {
    let code = context.params.text_of("CODE");
    if code.is_empty() {
        return Err(Failure::new(
            400,
            "ERROR_SENDER_CODE_REQUIRED",
            "Sender code is required",
        ));
    }
    let sender = state
        .senders
        .get_mut(&code)
        .filter(|sender| sender.client_id == context.client_id);
    sender.ok_or_else(|| Failure::new(400, "ERROR_SENDER_NOT_FOUND", "Sender not found!"))
}

/// `messageservice.sender.update`.
pub(crate) fn sender_update(context: &Context<'_>, state: &mut State) -> Outcome {
    let sender = own_sender(context, state)?;
    let (handler, name) = (context.params.text_of("HANDLER"), sender_name(context));
    if handler.is_empty() && name.is_empty() && context.params.get("DESCRIPTION").is_none() {
        return Err(Failure::new(
            400,
            "ERROR_SENDER_OTHER_PARAMS_REQUIRED",
            "Nothing to update",
        ));
    }
    if !handler.is_empty() {
        handler_url(&handler)?;
        sender.handler = handler;
    }
    if !name.is_empty() {
        sender.name = name;
    }
    Ok(true.into())
}

/// `messageservice.sender.list`: the application's own codes.
pub(crate) fn sender_list(context: &Context<'_>, state: &mut State) -> Outcome {
    let own = state
        .senders
        .iter()
        .filter(|(_, sender)| sender.client_id == context.client_id);
    Ok(own
        .map(|(code, _)| code.clone())
        .collect::<Vec<String>>()
        .into())
}

/// `messageservice.sender.delete`.
pub(crate) fn sender_delete(context: &Context<'_>, state: &mut State) -> Outcome {
    own_sender(context, state)?;
    state.senders.remove(&context.params.text_of("CODE"));
    Ok(true.into())
}

/// `messageservice.message.status.update`.
pub(crate) fn message_status_update(context: &Context<'_>, state: &mut State) -> Outcome {
    own_sender(context, state).map_err(|_| sender_failure("Wrong sender code!"))?;
    let statuses: BTreeSet<&str> =
        BTreeSet::from(["queued", "sent", "delivered", "undelivered", "failed"]);
    let status = context.params.text_of("STATUS").to_lowercase();
    if !statuses.contains(status.as_str()) {
        return Err(Failure::new(
            400,
            "ERROR_MESSAGE_STATUS_INCORRECT",
            "Message status incorrect!",
        ));
    }
    let code = context.params.text_of("CODE");
    let message = state
        .sms
        .get_mut(&context.params.text_of("MESSAGE_ID"))
        .filter(|message| message.code == code);
    let message = message
        .ok_or_else(|| Failure::new(400, "ERROR_MESSAGE_NOT_FOUND", "Message not found!"))?;
    message.status = status;
    Ok(true.into())
}
