//! The methods that carry messages: `imconnector.send.messages` and its kin, delivery statuses, notes.

#![expect(clippy::unnecessary_wraps, reason = "every method has the same shape")]

use super::{
    Author, Fault, Message, Portal,
    connector::{provider, ready_line},
    files,
    php::{EMPTY, Value, map},
    rest::{Context, Failure, Outcome},
    state::{Client, State, Stored, UserCode},
};

/// A name may be this long.
const NAME_MAXIMUM: usize = 25;

/// The elements of `MESSAGES`, each with the given parts.
fn items<'a>(context: &'a Context<'_>, parts: &[&str]) -> Result<Vec<&'a Value>, Failure> {
    context.required("CONNECTOR")?;
    context.required("LINE")?;
    let messages = context.required("MESSAGES")?;
    if !messages.is_array() {
        return Err(Failure::argument(
            "MESSAGES",
            "The value of an argument 'MESSAGES' must be of type array",
        ));
    }
    let items = messages.elements();
    if items.iter().any(|item| !item.is_array()) {
        return Err(Failure::argument(
            "MESSAGES",
            "The MESSAGES parameter must be an array of messages (arrays)",
        ));
    }
    if items.iter().any(|item| {
        parts
            .iter()
            .any(|part| !item.get(part).is_some_and(Value::is_array))
    }) {
        let description = "The incorrect structure of a message inside MESSAGES parameter";
        return Err(Failure::argument("MESSAGES", description));
    }
    Ok(items)
}

/// The answer for all items: its `SUCCESS` proves nothing.
fn results(results: Vec<Value>) -> Outcome {
    Ok(map([
        ("SUCCESS", true.into()),
        ("DATA", map([("RESULT", Value::List(results))])),
    ]))
}

/// `imconnector.send.messages`: one item after the other, each with its own result.
pub(crate) async fn send(context: &Context<'_>) -> Outcome {
    let items = items(context, &["user", "message", "chat"])?;
    let (connector, line) = ready_line(context, &context.portal.lock())?;
    let mut outcome = Vec::with_capacity(items.len());
    for item in items {
        outcome.push(receive(context, &connector, line, item).await);
    }
    results(outcome)
}

fn part<'a>(item: &'a Value, name: &str) -> &'a Value {
    item.get(name).unwrap_or(&Value::Null)
}

/// Takes one message in.
async fn receive(context: &Context<'_>, connector: &str, line: i64, item: &Value) -> Value {
    let portal = context.portal;
    let external_chat = part(item, "chat").text_of("id");
    let chats = [external_chat.as_str()];
    let faults = &portal.inner.faults;
    if let Some(delay) = faults.delay(Fault::ItemTime, context.method.name, &chats) {
        tokio::time::sleep(delay).await;
    }
    let checked = if faults.strikes(Fault::ItemFailure, context.method.name, &chats) {
        Err("The message could not be added".to_owned())
    } else {
        check(context, item)
    };
    let fetched = match checked {
        Ok(()) => fetch(context, item).await,
        Err(error) => Err(error),
    };
    let mut state = portal.lock();
    let result = fetched.and_then(|files| post(context, &mut state, connector, line, item, files));
    match result {
        Ok(posted) => {
            let chat = posted.chat;
            let without_session =
                faults.strikes(Fault::SessionMissing, context.method.name, &chats);
            let answer = item_answer(&state, item, &posted, without_session);
            drop(state);
            portal.changed(Some(chat));
            answer
        }
        Err(error) => {
            state.counters.failed_items += 1;
            refusal(&state, connector, item, &error)
        }
    }
}

/// What can be said before anything is fetched.
fn check(context: &Context<'_>, item: &Value) -> Result<(), String> {
    let user = part(item, "user");
    if user.text_of("id").is_empty() || part(item, "chat").text_of("id").is_empty() {
        return Err("Not all the required data".to_owned());
    }
    for key in ["name", "last_name"] {
        let name = user.text_of(key);
        if context.behaviour.strict_names && !name_is_clean(&name) {
            return Err(format!(
                "The field '{key}' is incorrect: letters only, {NAME_MAXIMUM} characters at most"
            ));
        }
    }
    Ok(())
}

fn name_is_clean(name: &str) -> bool {
    name.chars().count() <= NAME_MAXIMUM
        && name
            .chars()
            .all(|sign| sign.is_alphabetic() || " -'".contains(sign))
}

/// Fetches the files; those that cannot be had are left out, and without any text that is a failure.
async fn fetch(context: &Context<'_>, item: &Value) -> Result<Vec<Stored>, String> {
    let message = part(item, "message");
    let wanted = message
        .get("files")
        .map(Value::elements)
        .unwrap_or_default();
    let mut stored = Vec::new();
    for file in wanted {
        let (url, name) = (file.text_of("url"), file.text_of("name"));
        if let Some(file) = files::download(context.portal, &url, &name).await {
            stored.push(file);
        }
    }
    if stored.is_empty() && message.text_of("text").is_empty() {
        return Err("Not all the required data".to_owned());
    }
    Ok(stored)
}

/// Where a message went.
struct Posted {
    chat: i64,
    user: i64,
    session: i64,
    message: Option<i64>,
}

/// Puts a checked message into its chat.
fn post(
    context: &Context<'_>,
    state: &mut State,
    connector: &str,
    line: i64,
    item: &Value,
    files: Vec<Stored>,
) -> Result<Posted, String> {
    let portal = context.portal;
    let message = part(item, "message");
    // Absent or null is the customer; 0 is nobody; anything else an employee.
    let author = match message.get("user_id").and_then(Value::integer) {
        None => Author::Customer,
        Some(0) => Author::System,
        Some(id) if state.users.contains_key(&id) => Author::Operator(id),
        Some(_) => return Err("The user was not found".to_owned()),
    };
    let user = customer(state, connector, part(item, "user"));
    let (chat, is_new) = Portal::open_chat(
        state,
        connector,
        line,
        part(item, "chat"),
        part(item, "user"),
        user,
    );
    let session = state.chats.get(&chat).map_or(0, |chat| chat.session);
    let posted = Posted {
        chat,
        user,
        session,
        message: None,
    };
    let external_id = message.text_of("id");
    let known = state
        .messages_by_external_id
        .contains_key(&(chat, external_id.clone()));
    if context.behaviour.deduplicate && known && !external_id.is_empty() {
        return Ok(posted);
    }
    let opened = portal.open_session(state, chat);
    let text = message.text_of("text");
    let message = match author {
        Author::Operator(id) => portal.speak(state, chat, id, text, files),
        Author::Customer | Author::System => {
            portal.add_message(state, chat, author, text, files, &external_id)
        }
    };
    if author == Author::Customer {
        follow_up(portal, state, chat, line, is_new, opened);
    }
    let session = state.chats.get(&chat).map_or(0, |chat| chat.session);
    Ok(Posted {
        session,
        message: Some(message),
        ..posted
    })
}

/// What a line does by itself when a customer has written: the welcome text and repeated leads.
fn follow_up(portal: &Portal, state: &mut State, chat: i64, line: i64, is_new: bool, opened: bool) {
    let Some(settings) = state.lines.get(&line) else {
        return;
    };
    let welcome = settings.setting("WELCOME_MESSAGE") == "Y";
    let each_session = settings.setting("SEND_WELCOME_EACH_SESSION") == "Y";
    let text = settings.setting("WELCOME_MESSAGE_TEXT");
    // Only "N" works: "0" is a value like any other, and means yes.
    let second = settings.setting("CRM_CREATE_SECOND");
    let again = settings.setting("CRM") == "Y" && !matches!(second.as_str(), "" | "N");
    if again && !is_new {
        Portal::make_lead(state, chat);
    }
    if welcome && (is_new || (opened && each_session)) && !text.is_empty() {
        portal.speak_for_nobody(state, chat, text);
    }
}

/// The customer's id on the portal; name and phone follow what was sent last.
fn customer(state: &mut State, connector: &str, user: &Value) -> i64 {
    let key = (connector.to_owned(), user.text_of("id"));
    let name = [user.text_of("name"), user.text_of("last_name")]
        .join(" ")
        .trim()
        .to_owned();
    let phone = Some(user.text_of("phone")).filter(|phone| !phone.is_empty());
    if let Some(known) = state.clients.get_mut(&key) {
        if !name.is_empty() {
            known.name = name;
        }
        known.phone = phone.or(known.phone.take());
        return known.id;
    }
    let id = state.next.user.take();
    let name = if name.is_empty() {
        "Guest".to_owned()
    } else {
        name
    };
    state.clients.insert(key, Client { id, name, phone });
    id
}

fn item_answer(state: &State, item: &Value, posted: &Posted, without_session: bool) -> Value {
    let (message, chat) = (part(item, "message"), part(item, "chat"));
    let mut described = map([("id", chat.text_of("id").into())]);
    if let Some(name) = chat.get("name") {
        described.set("name", name.clone());
    }
    let url = chat.text_of("url");
    if !url.is_empty() {
        described.set(
            "description",
            format!("Link to the original post: {url}").into(),
        );
    }
    let user = part(item, "user");
    let mut extra = Vec::new();
    if let Some(skip) = user.get("skip_phone_validate") {
        extra.push(("skip_phone_validate".to_owned(), skip.clone()));
    }
    if let Some(disable) = message.get("disable_crm") {
        extra.push(("disable_tracker".to_owned(), disable.clone()));
    }
    let stored = posted.message.and_then(|id| state.messages.get(&id));
    let names = stored
        .iter()
        .flat_map(|message| &message.files)
        .map(|file| file.name.as_str());
    let files: Vec<Value> = names.map(|name| map([("name", name.into())])).collect();
    let mut answer = map([
        ("user", posted.user.to_string().into()),
        (
            "message",
            map([
                ("id", message.text_of("id").into()),
                // A date that PHP could not write.
                ("date", Value::Map(Vec::new())),
                ("text", message.text_of("text").into()),
                ("files", Value::List(files)),
            ]),
        ),
        ("chat", described),
        (
            "extra",
            if extra.is_empty() {
                EMPTY
            } else {
                Value::Map(extra)
            },
        ),
        ("SUCCESS", true.into()),
    ]);
    if !without_session {
        let session = map([
            ("ID", posted.session.to_string().into()),
            ("CHAT_ID", posted.chat.to_string().into()),
        ]);
        answer.set("session", session);
    }
    answer
}

fn refusal(state: &State, connector: &str, item: &Value, error: &str) -> Value {
    let client = state
        .clients
        .get(&(connector.to_owned(), part(item, "user").text_of("id")));
    map([
        ("user", client.map(|client| client.id.to_string()).into()),
        (
            "message",
            map([("id", part(item, "message").text_of("id").into())]),
        ),
        (
            "chat",
            map([("id", part(item, "chat").text_of("id").into())]),
        ),
        ("SUCCESS", false.into()),
        ("ERRORS", vec![error].into()),
    ])
}

/// The chat and message an item of `update` or `delete` means.
fn find(state: &State, connector: &str, line: i64, item: &Value) -> Option<(i64, i64)> {
    let client = state
        .clients
        .get(&(connector.to_owned(), part(item, "user").text_of("id")))?;
    let group = state
        .connectors
        .get(connector)
        .is_some_and(|connector| connector.chat_group);
    let user = if group { 0 } else { client.id };
    let code: UserCode = (
        connector.to_owned(),
        line,
        part(item, "chat").text_of("id"),
        user,
    );
    let chat = *state.chats_by_code.get(&code)?;
    let message = *state
        .messages_by_external_id
        .get(&(chat, part(item, "message").text_of("id")))?;
    Some((chat, message))
}

/// Applies a change to every message named; an unknown one fails by itself.
fn change(
    context: &Context<'_>,
    state: &mut State,
    allowed: impl Fn(&State, &str) -> bool,
    apply: impl Fn(&mut Message, &Value),
) -> Outcome {
    let items = items(context, &["user", "message", "chat"])?;
    let (connector, line) = ready_line(context, state)?;
    let mut outcome = Vec::with_capacity(items.len());
    for item in items {
        let Some((chat, id)) =
            find(state, &connector, line, item).filter(|_| allowed(state, &connector))
        else {
            outcome.push(refusal(
                state,
                &connector,
                item,
                "The message was not found",
            ));
            continue;
        };
        if let Some(message) = state.messages.get_mut(&id) {
            apply(message, item);
        }
        context.portal.changed(Some(chat));
        let mut answer = refusal(state, &connector, item, "");
        answer.take("ERRORS");
        answer.set("SUCCESS", true.into());
        outcome.push(answer);
    }
    results(outcome)
}

/// `imconnector.update.messages`: the customer edited a message; only the text changes.
pub(crate) fn update(context: &Context<'_>, state: &mut State) -> Outcome {
    change(
        context,
        state,
        |_, _| true,
        |message, item| {
            message.text = part(item, "message").text_of("text");
            message.edited = true;
        },
    )
}

/// `imconnector.delete.messages`: the customer took a message back, where the connector allows that.
pub(crate) fn delete(context: &Context<'_>, state: &mut State) -> Outcome {
    let allowed = |state: &State, connector: &str| {
        state
            .connectors
            .get(connector)
            .is_some_and(|connector| connector.delete_external_messages)
    };
    change(context, state, allowed, |message, _| message.deleted = true)
}

/// `imconnector.send.status.delivery`: the first call takes the "sending" mark away and stores the messenger's ids.
pub(crate) fn delivered(context: &Context<'_>, state: &mut State) -> Outcome {
    let items = items(context, &["im"])?;
    let (connector, line) = provider(context, state)?;
    if context.behaviour.strict_delivery_types && context.typed {
        strict_types(context, &items)?;
    }
    let (now, period) = context.portal.now_and_period();
    for item in items {
        let im = part(item, "im");
        let (chat, id) = (
            im.integer_of("chat_id").unwrap_or_default(),
            im.integer_of("message_id").unwrap_or_default(),
        );
        let matching = state
            .chats
            .get(&chat)
            .is_none_or(|chat| chat.connector == connector && chat.line == line);
        if !matching {
            return Err(Failure::argument(
                "CONNECTOR",
                "The chat belongs to another connector or line",
            ));
        }
        let external = part(item, "message").get("id");
        let ids = external
            .map(|ids| ids.text().map_or_else(|| ids.elements(), |_| vec![ids]))
            .unwrap_or_default();
        let ids: Vec<String> = ids.into_iter().filter_map(Value::text).collect();
        let Some(message) = state
            .messages
            .get_mut(&id)
            .filter(|message| message.chat_id == chat)
        else {
            continue;
        };
        if !message.sending {
            continue;
        }
        message.sending = false;
        message.delivered = true;
        message.late = now.saturating_sub(message.at) >= period;
        message.external_ids.clone_from(&ids);
        state.counters.delivered += 1;
        state
            .messages_by_external_id
            .extend(ids.into_iter().map(|external| ((chat, external), id)));
        context.portal.changed(Some(chat));
    }
    Ok(map([("SUCCESS", true.into()), ("DATA", EMPTY)]))
}

/// Numbers where the documentation shows numbers, an array where it insists on one.
fn strict_types(context: &Context<'_>, items: &[&Value]) -> Result<(), Failure> {
    let is_number = |value: Option<&Value>| matches!(value, Some(Value::Integer(_)));
    if !is_number(context.params.get("LINE")) {
        return Err(Failure::argument(
            "LINE",
            "The value of an argument 'LINE' must be of type integer",
        ));
    }
    for item in items {
        let im = part(item, "im");
        if !is_number(im.get("chat_id")) || !is_number(im.get("message_id")) {
            return Err(Failure::argument(
                "MESSAGES",
                "The ids of 'im' must be of type integer",
            ));
        }
        if part(item, "message")
            .get("id")
            .is_some_and(|id| !id.is_array())
        {
            return Err(Failure::argument(
                "MESSAGES",
                "The message 'id' must be of type array",
            ));
        }
    }
    Ok(())
}

/// `imconnector.send.status.reading`: does nothing and says so politely.
pub(crate) fn reading(context: &Context<'_>, state: &mut State) -> Outcome {
    items(context, &["im"])?;
    provider(context, state)?;
    Ok(map([("SUCCESS", true.into()), ("DATA", EMPTY)]))
}

/// `imconnector.chat.name.set`.
pub(crate) fn chat_name_set(context: &Context<'_>, state: &mut State) -> Outcome {
    let external = context.required_text("CHAT_ID")?;
    let name = context.required_text("NAME")?;
    let (connector, line) = ready_line(context, state)?;
    let group = state
        .connectors
        .get(&connector)
        .is_some_and(|connector| connector.chat_group);
    let user = if group {
        String::new()
    } else {
        context.required_text("USER_ID")?
    };
    let client = state
        .clients
        .get(&(connector.clone(), user))
        .map_or(0, |client| client.id);
    let chat = state
        .chats_by_code
        .get(&(connector, line, external, client))
        .copied();
    let failed = || Failure::new(400, "CHAT_RENAMING_FAILED", "The chat could not be renamed");
    let chat = chat
        .and_then(|id| state.chats.get_mut(&id))
        .ok_or_else(failed)?;
    chat.title = name;
    context.portal.changed(Some(chat.id));
    Ok(map([
        ("SUCCESS", true.into()),
        ("DATA", map([("RESULT", EMPTY)])),
    ]))
}

/// `im.message.add`: a note with `SYSTEM=Y`, otherwise a message of the caller that goes out like a typed one.
pub(crate) fn im_message_add(context: &Context<'_>, state: &mut State) -> Outcome {
    let dialog = context.required_text("DIALOG_ID")?;
    let text = context.required_text("MESSAGE")?;
    let chat = dialog
        .strip_prefix("chat")
        .and_then(|id| id.parse().ok())
        .filter(|id| state.chats.contains_key(id));
    let Some(chat) = chat else {
        return Err(Failure::denied("You don't have access to this dialog"));
    };
    let id = if context.params.text_of("SYSTEM") == "Y" {
        context
            .portal
            .add_message(state, chat, Author::System, text, Vec::new(), "")
    } else {
        context
            .portal
            .speak(state, chat, context.user, text, Vec::new())
    };
    context.portal.changed(Some(chat));
    Ok(id.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_only() {
        for (name, clean) in [
            ("Anna-Maria O'Neill", true),
            ("Müller", true),
            ("Иван Петров", true),
            ("", true),
            ("Anna 2", false),
            ("Anna 🌷", false),
            ("+4915112345678", false),
            ("aaaaaaaaaaaaaaaaaaaaaaaaa", true),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(name_is_clean(name), clean, "{name:?}");
        }
    }
}
