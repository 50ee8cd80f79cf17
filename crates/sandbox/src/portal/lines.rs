//! `imopenlines.*`: lines, and looking at chats and sessions.

#![expect(clippy::unnecessary_wraps, reason = "every method has the same shape")]

use super::{
    Author, Portal, clock,
    events::Happening,
    php::{EMPTY, Value, map},
    rest::{Context, Failure, Outcome},
    state::{ChatState, LineState, State},
};

/// The most lines one list may show, and how many it shows by default.
const LIST_MAXIMUM: i64 = 200;
const LIST_DEFAULT: i64 = 50;

fn queue_of(params: &Value) -> Option<Vec<(String, String)>> {
    let members = params.get("QUEUE")?.elements().into_iter();
    Some(
        members
            .map(|member| (member.text_of("ENTITY_TYPE"), member.text_of("ENTITY_ID")))
            .collect(),
    )
}

/// Takes over the settings that are given.
fn apply(line: &mut LineState, params: &Value, with_queue: bool) {
    for (key, value) in params.entries() {
        let key = key.to_ascii_uppercase();
        match key.as_str() {
            "LINE_NAME" => line.name = value.text().unwrap_or_default(),
            "ACTIVE" => line.active = value.text().as_deref() != Some("N"),
            "QUEUE" => {}
            _ => match line.settings.iter_mut().find(|(name, _)| *name == key) {
                Some(setting) => setting.1 = value.clone(),
                None => line.settings.push((key, value.clone())),
            },
        }
    }
    if with_queue && let Some(queue) = queue_of(params) {
        line.queue = queue;
    }
}

/// `imopenlines.config.add`: the new line's id. Whoever makes it is its queue where none is given.
pub(crate) fn add(context: &Context<'_>, state: &mut State) -> Outcome {
    let id = state.next.line.take();
    let mut line = LineState {
        active: true,
        name: format!("Open Channel {id}"),
        queue: vec![("user".to_owned(), context.user.to_string())],
        settings: Vec::new(),
    };
    apply(
        &mut line,
        context.params.get("PARAMS").unwrap_or(&Value::Null),
        true,
    );
    state.lines.insert(id, line);
    Ok(id.into())
}

fn config(id: i64, line: &LineState, with_queue: bool) -> Value {
    let mut config = map([
        ("ID", id.to_string().into()),
        ("LINE_NAME", line.name.as_str().into()),
        ("ACTIVE", if line.active { "Y" } else { "N" }.into()),
    ]);
    for (key, value) in &line.settings {
        config.set(key, value.text().map_or_else(|| value.clone(), Value::Text));
    }
    if with_queue {
        config.set("QUEUE", queue_value(line));
    }
    config
}

fn queue_value(line: &LineState) -> Value {
    let members = line.queue.iter();
    Value::List(
        members
            .map(|(kind, id)| {
                map([
                    ("ENTITY_TYPE", kind.as_str().into()),
                    ("ENTITY_ID", id.as_str().into()),
                ])
            })
            .collect(),
    )
}

fn config_id(context: &Context<'_>) -> Result<i64, Failure> {
    let id = context.params.get("CONFIG_ID").filter(|id| id.truthy());
    let id = id.ok_or_else(|| Failure::new(400, "CONFIG_ID_EMPTY", "Config id can't be empty"))?;
    Ok(id.integer().unwrap_or_default())
}

/// `imopenlines.config.get`: a line, `false` where there is none.
pub(crate) fn get(context: &Context<'_>, state: &mut State) -> Outcome {
    let id = config_id(context)?;
    let with_queue = context.params.switch_of("WITH_QUEUE", true);
    Ok(state
        .lines
        .get(&id)
        .map_or(false.into(), |line| config(id, line, with_queue)))
}

/// `imopenlines.config.list.get`: a page of lines; neither `next` nor `total`.
pub(crate) fn list(context: &Context<'_>, state: &mut State) -> Outcome {
    let params = context.params.get("PARAMS").unwrap_or(&Value::Null);
    let limit = params
        .integer_of("limit")
        .unwrap_or(LIST_DEFAULT)
        .clamp(1, LIST_MAXIMUM);
    let offset = params.integer_of("offset").unwrap_or_default().max(0);
    let filter = params.get("filter").map(Value::entries).unwrap_or_default();
    let with_queue = context
        .params
        .get("OPTIONS")
        .is_some_and(|options| options.switch_of("QUEUE", false));
    let configs = state
        .lines
        .iter()
        .map(|(id, line)| config(*id, line, with_queue));
    let matching = configs.filter(|config| {
        filter.iter().all(|(key, wanted)| {
            let name = key.trim_start_matches(['=', '!', '%', '>', '<']);
            Some(config.text_of(name)) == wanted.text()
        })
    });
    Ok(Value::List(
        matching
            .skip(offset as usize)
            .take(limit as usize)
            .collect(),
    ))
}

/// `imopenlines.config.update`: only what is given changes.
pub(crate) fn update(context: &Context<'_>, state: &mut State) -> Outcome {
    let id = config_id(context)?;
    let Some(line) = state.lines.get_mut(&id) else {
        return Ok(false.into());
    };
    let with_queue = !context.behaviour.queue_update_ignored;
    apply(
        line,
        context.params.get("PARAMS").unwrap_or(&Value::Null),
        with_queue,
    );
    Ok(true.into())
}

/// `imopenlines.config.delete`: takes every connector off the line and tells everybody.
pub(crate) fn delete(context: &Context<'_>, state: &mut State) -> Outcome {
    let id = config_id(context)?;
    Ok(context
        .portal
        .remove_line(state, id, Some(context.user))
        .into())
}

/// `imopenlines.config.path.get`.
pub(crate) fn path(context: &Context<'_>, _: &mut State) -> Outcome {
    Ok(map([
        ("SERVER_ADDRESS", context.portal.address().into()),
        ("PUBLIC_PATH", "/contact_center/".into()),
    ]))
}

impl Portal {
    /// Deletes a line: its connectors are told first, then every application that listens, with a bare number.
    pub(crate) fn remove_line(&self, state: &mut State, id: i64, user: Option<i64>) -> bool {
        if state.lines.remove(&id).is_none() {
            return false;
        }
        let on_it: Vec<String> = state
            .statuses
            .keys()
            .filter(|(_, line)| *line == id)
            .map(|(connector, _)| connector.clone())
            .collect();
        for connector in on_it {
            self.take_off(state, &connector, id, user);
        }
        let happening = Happening {
            name: "ONIMCONNECTORLINEDELETE",
            data: id.into(),
            chat: 0,
            user,
            only: None,
        };
        self.fire(state, &happening);
        true
    }
}

/// The chat a call names by `CHAT_ID`, `DIALOG_ID`, `SESSION_ID` or `USER_CODE`.
fn chat_of<'a>(context: &Context<'_>, state: &'a State) -> Option<&'a ChatState> {
    let params = context.params;
    let dialog = params.text_of("DIALOG_ID");
    let by_id = params
        .integer_of("CHAT_ID")
        .or_else(|| dialog.strip_prefix("chat")?.parse().ok());
    if let Some(id) = by_id {
        return state.chats.get(&id);
    }
    if let Some(session) = params.integer_of("SESSION_ID") {
        return state
            .chats
            .values()
            .find(|chat| chat.session == session || chat.parent_session == session);
    }
    by_user_code(state, &params.text_of("USER_CODE"))
}

fn by_user_code<'a>(state: &'a State, code: &str) -> Option<&'a ChatState> {
    let mut parts = code.splitn(3, '|');
    let connector = parts.next()?.to_owned();
    let line = parts.next()?.parse().ok()?;
    let (external_id, user) = parts.next()?.rsplit_once('|')?;
    let key = (connector, line, external_id.to_owned(), user.parse().ok()?);
    state.chats.get(state.chats_by_code.get(&key)?)
}

/// `imopenlines.dialog.get`: the chat with its CRM bindings.
pub(crate) fn dialog(context: &Context<'_>, state: &mut State) -> Outcome {
    let access = || Failure::new(400, "ACCESS_ERROR", "You don't have access to this chat");
    let chat = chat_of(context, state).ok_or_else(access)?;
    let lead = chat.leads.last().copied().unwrap_or_default();
    let crm = if lead == 0 {
        "N|NONE|0".to_owned()
    } else {
        format!("Y|LEAD|{lead}")
    };
    let seconds = context.portal.world.clock.seconds();
    Ok(map([
        ("id", chat.id.into()),
        ("name", chat.title.as_str().into()),
        ("owner", 0.into()),
        ("type", "lines".into()),
        ("entity_type", "LINES".into()),
        ("entity_id", state.user_code(chat).into()),
        (
            "entity_data_1",
            format!("{crm}|N|N|{}|{seconds}|0|0|0", chat.session).into(),
        ),
        (
            "entity_data_2",
            format!("LEAD|{lead}|COMPANY|0|CONTACT|0|DEAL|0").into(),
        ),
        ("dialog_id", format!("chat{}", chat.id).into()),
    ]))
}

/// `imopenlines.session.open`: finds a chat, never makes one.
pub(crate) fn session_open(context: &Context<'_>, state: &mut State) -> Outcome {
    let chat = by_user_code(state, &context.params.text_of("USER_CODE"));
    let chat = chat.ok_or_else(|| Failure::denied("You don't have access to this chat"))?;
    Ok(map([("chatId", chat.id.to_string().into())]))
}

/// `imopenlines.session.history.get`: the messages with the ids the messenger knows them by.
pub(crate) fn history(context: &Context<'_>, state: &mut State) -> Outcome {
    let chat = chat_of(context, state)
        .ok_or_else(|| Failure::denied("You don't have access to this chat"))?;
    let mut entries = Vec::with_capacity(chat.messages.len());
    let mut files = Vec::new();
    for message in chat
        .messages
        .iter()
        .filter_map(|id| state.messages.get(id))
        .filter(|message| !message.deleted)
    {
        let sender = match message.author {
            Author::Customer => state
                .clients
                .get(&chat.client)
                .map_or(0, |client| client.id),
            Author::Operator(id) => id,
            Author::System => 0,
        };
        let mut params = Value::Map(Vec::new());
        if !message.external_ids.is_empty() {
            params.set("connectorMid", message.external_ids.clone().into());
        }
        if !message.files.is_empty() {
            params.set(
                "fileId",
                message
                    .files
                    .iter()
                    .map(|file| file.id)
                    .collect::<Vec<i64>>()
                    .into(),
            );
        }
        for file in &message.files {
            let described = map([("id", file.id.into()), ("name", file.name.as_str().into())]);
            files.push((file.id.to_string(), described));
        }
        let has_params = params.truthy();
        let entry = map([
            ("id", message.id.into()),
            ("chatid", chat.id.into()),
            ("senderid", sender.to_string().into()),
            ("date", clock::iso(message.at).into()),
            ("text", message.text.as_str().into()),
            ("textlegacy", message.text.as_str().into()),
            ("params", if has_params { params } else { EMPTY }),
        ]);
        entries.push((message.id.to_string(), entry));
    }
    let empty_or = |entries: Vec<(String, Value)>| {
        if entries.is_empty() {
            EMPTY
        } else {
            Value::Map(entries)
        }
    };
    Ok(map([
        ("chatId", chat.id.into()),
        ("sessionId", chat.session.into()),
        ("canJoin", "Y".into()),
        ("canVoteAsHead", "N".into()),
        ("sessionVoteHead", 0.into()),
        ("userId", format!("chat{}", chat.id).into()),
        ("message", empty_or(entries)),
        ("usersMessage", EMPTY),
        ("users", EMPTY),
        ("files", empty_or(files)),
    ]))
}

/// `imopenlines.crm.chat.get`: the chats of a CRM entity. Leads are the only kind the stand-in makes.
pub(crate) fn crm_chats(context: &Context<'_>, state: &mut State) -> Outcome {
    let kind = context.required_text("CRM_ENTITY_TYPE")?.to_lowercase();
    let entity = context
        .required("CRM_ENTITY")?
        .integer()
        .unwrap_or_default();
    let active_only = context.params.switch_of("ACTIVE_ONLY", true);
    let chats = state
        .chats
        .values()
        .filter(|chat| kind == "lead" && chat.leads.contains(&entity));
    let chats = chats.filter(|chat| chat.session_open || !active_only);
    let described = chats.map(|chat| {
        let title = state
            .connectors
            .get(&chat.connector)
            .map(|connector| connector.name.clone())
            .unwrap_or_default();
        map([
            ("CHAT_ID", chat.id.to_string().into()),
            ("CONNECTOR_ID", chat.connector.as_str().into()),
            ("CONNECTOR_TITLE", title.into()),
        ])
    });
    Ok(Value::List(described.collect()))
}
