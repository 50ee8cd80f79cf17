//! Chats: opening them and their sessions, adding bubbles, binding leads, and telling the application what was written.

use super::{
    Author, Lead, Message, Portal,
    events::Happening,
    files,
    php::{Value, map},
    state::{ChatState, State, Stored, UserCode},
};

/// How long a session stays open, as `DIALOGSTART` says it, in minutes.
const CLOSE_TERM: i64 = 1440;

impl Portal {
    /// The chat of a customer on a line, made where there is none; whether it was made.
    pub(crate) fn open_chat(
        state: &mut State,
        connector: &str,
        line: i64,
        chat: &Value,
        user: &Value,
        client: i64,
    ) -> (i64, bool) {
        let external_id = chat.text_of("id");
        let group = state
            .connectors
            .get(connector)
            .is_some_and(|connector| connector.chat_group);
        let code: UserCode = (
            connector.to_owned(),
            line,
            external_id.clone(),
            if group { 0 } else { client },
        );
        if let Some(id) = state.chats_by_code.get(&code) {
            return (*id, false);
        }
        let id = state.next.chat.take();
        let key = (connector.to_owned(), user.text_of("id"));
        let who = state
            .clients
            .get(&key)
            .map(|client| client.name.clone())
            .unwrap_or_default();
        let line_name = state
            .lines
            .get(&line)
            .map(|line| line.name.clone())
            .unwrap_or_default();
        let title = format!("{who} - {line_name}");
        state
            .chats_by_external_id
            .entry(external_id.clone())
            .or_default()
            .push(id);
        state.chats_by_code.insert(code, id);
        state.chats.insert(
            id,
            ChatState {
                id,
                connector: connector.to_owned(),
                line,
                external_id,
                client: key,
                title,
                session: 0,
                session_open: false,
                parent_session: 0,
                leads: Vec::new(),
                messages: Vec::new(),
            },
        );
        Self::bind_lead(state, id);
        (id, true)
    }

    /// Opens a new session where none is open, and tells the application; whether it did.
    pub(crate) fn open_session(&self, state: &mut State, chat: i64) -> bool {
        let State { chats, next, .. } = state;
        let Some(found) = chats.get_mut(&chat).filter(|chat| !chat.session_open) else {
            return false;
        };
        found.parent_session = found.session;
        found.session = next.session.take();
        found.session_open = true;
        self.fire_dialog(state, chat, "ONIMCONNECTORDIALOGSTART");
        true
    }

    /// Tells the application that a session began or ended.
    pub(crate) fn fire_dialog(&self, state: &mut State, chat: i64, name: &str) {
        let Some(found) = state.chats.get(&chat) else {
            return;
        };
        let user = state.code_user(found);
        let Some(connector) = state.connectors.get(&found.connector) else {
            return;
        };
        let client_id = connector.client_id.clone();
        let item = map([
            (
                "connector",
                map([
                    ("connector_id", found.connector.as_str().into()),
                    ("line_id", found.line.into()),
                    ("chat_id", found.external_id.as_str().into()),
                    ("user_id", user.into()),
                ]),
            ),
            (
                "session",
                map([
                    ("id", found.session.into()),
                    ("closed", if found.session_open { "N" } else { "Y" }.into()),
                    ("parent_id", found.parent_session.into()),
                    ("close_term", CLOSE_TERM.into()),
                ]),
            ),
            ("chat", map([("id", found.id.into())])),
            ("user", map([("id", user.into())])),
        ]);
        let data = map([
            ("CONNECTOR", found.connector.as_str().into()),
            ("LINE", found.line.into()),
            ("DATA", Value::List(vec![item])),
        ]);
        self.fire(
            state,
            &Happening {
                name,
                data,
                chat,
                user: None,
                only: Some(&client_id),
            },
        );
    }

    /// Attaches a new chat to the only open lead with the customer's phone, or makes one as the line says.
    fn bind_lead(state: &mut State, chat: i64) {
        let Some(found) = state.chats.get(&chat) else {
            return;
        };
        let Some(line) = state.lines.get(&found.line) else {
            return;
        };
        if line.setting("CRM") != "Y" {
            return;
        }
        let create = matches!(line.setting("CRM_CREATE").as_str(), "lead" | "deal");
        let phone = state
            .clients
            .get(&found.client)
            .and_then(|client| client.phone.as_deref())
            .map(digits);
        let known = phone.and_then(|phone| state.open_leads_by_phone.get(&phone));
        match known.map(Vec::as_slice) {
            Some([only]) => {
                let only = *only;
                if let Some(found) = state.chats.get_mut(&chat) {
                    found.leads.push(only);
                }
            }
            _ if create => Self::make_lead(state, chat),
            _ => {}
        }
    }

    pub(crate) fn make_lead(state: &mut State, chat: i64) {
        let id = state.next.lead.take();
        let Some(found) = state.chats.get_mut(&chat) else {
            return;
        };
        found.leads.push(id);
        let client = state.clients.get(&found.client);
        let phone = client.and_then(|client| client.phone.clone());
        if let Some(phone) = &phone {
            state
                .open_leads_by_phone
                .entry(digits(phone))
                .or_default()
                .push(id);
        }
        state.leads.insert(
            id,
            Lead {
                id,
                title: found.title.clone(),
                phone,
                chat_id: chat,
                open: true,
            },
        );
    }

    /// Adds a bubble to a chat; its id. An operator's is "sending" until a delivery status comes.
    pub(crate) fn add_message(
        &self,
        state: &mut State,
        chat: i64,
        author: Author,
        text: String,
        files: Vec<Stored>,
        external_id: &str,
    ) -> i64 {
        let (now, period) = self.now_and_period();
        let id = state.next.message.take();
        let external_ids: Vec<String> = Some(external_id.to_owned())
            .filter(|id| !id.is_empty())
            .into_iter()
            .collect();
        let author_name = match author {
            Author::Customer => {
                let client = state
                    .chats
                    .get(&chat)
                    .and_then(|chat| state.clients.get(&chat.client));
                client.map(|client| client.name.clone()).unwrap_or_default()
            }
            Author::Operator(id) => state.user_name(id),
            Author::System => String::new(),
        };
        let sending = matches!(author, Author::Operator(_));
        let message = Message {
            id,
            chat_id: chat,
            author,
            author_name,
            text,
            files: files.iter().map(|stored| stored.file.clone()).collect(),
            external_ids,
            sending,
            delivered: false,
            red: false,
            late: false,
            edited: false,
            deleted: false,
            at: now,
        };
        for external in &message.external_ids {
            state
                .messages_by_external_id
                .insert((chat, external.clone()), id);
        }
        for stored in files {
            files::keep(state, stored);
        }
        state.messages.insert(id, message);
        state.count_message(author);
        if let Some(chat) = state.chats.get_mut(&chat) {
            chat.messages.push(id);
        }
        if sending {
            self.world
                .events
                .marks
                .push(now + period, self.inner.number, chat, id);
        }
        id
    }

    /// An employee writes: the bubble and the event.
    pub(crate) fn speak(
        &self,
        state: &mut State,
        chat: i64,
        user: i64,
        text: String,
        files: Vec<Stored>,
    ) -> i64 {
        let id = self.add_message(state, chat, Author::Operator(user), text, files, "");
        self.announce(state, id, "ONIMCONNECTORMESSAGEADD");
        id
    }

    /// The line writes by itself; the messenger hears of it only where the connector asked for that.
    pub(crate) fn speak_for_nobody(&self, state: &mut State, chat: i64, text: String) -> i64 {
        let id = self.add_message(state, chat, Author::System, text, Vec::new(), "");
        let wanted = state
            .chats
            .get(&chat)
            .and_then(|chat| state.connectors.get(&chat.connector));
        if wanted.is_some_and(|connector| connector.need_system_messages) {
            self.announce(state, id, "ONIMCONNECTORMESSAGEADD");
        }
        id
    }

    /// Tells the connector's application of a message written or changed on the portal.
    pub(crate) fn announce(&self, state: &mut State, message: i64, name: &str) {
        let Some(message) = state.messages.get(&message) else {
            return;
        };
        let Some(chat) = state.chats.get(&message.chat_id) else {
            return;
        };
        let Some(connector) = state.connectors.get(&chat.connector) else {
            return;
        };
        let user = if let Author::Operator(id) = message.author {
            id
        } else {
            0
        };
        let is_new = name == "ONIMCONNECTORMESSAGEADD";
        let signature = (connector.need_signature && user != 0).then(|| {
            match (is_new, message.text.is_empty()) {
                (true, false) => format!("[b]{}:[/b] [br]", message.author_name),
                (true, true) => format!("[b]{}:[/b] ", message.author_name),
                (false, _) => format!("[b]{}:[/b][br] ", message.author_name),
            }
        });
        let breaks = if self.behaviour().line_breaks_as_tags {
            "[br]"
        } else {
            "\n"
        };
        let text = signature.unwrap_or_default() + &message.text.replace('\n', breaks);
        let body = if is_new {
            let files: Vec<Value> = message
                .files
                .iter()
                .filter_map(|file| self.file_in_event(state, file.id))
                .collect();
            map([
                ("user_id", user.into()),
                ("text", Some(text).filter(|text| !text.is_empty()).into()),
                ("files", Value::List(files)),
            ])
        } else {
            map([
                ("id", message.external_ids.clone().into()),
                ("text", text.into()),
            ])
        };
        let data = Self::message_data(chat, message.id, body);
        let (client_id, chat) = (connector.client_id.clone(), chat.id);
        let user = Some(user).filter(|user| *user != 0);
        self.fire(
            state,
            &Happening {
                name,
                data,
                chat,
                user,
                only: Some(&client_id),
            },
        );
    }

    /// The data of a message event.
    pub(crate) fn message_data(chat: &ChatState, message: i64, body: Value) -> Value {
        let item = map([
            (
                "im",
                map([("chat_id", chat.id.into()), ("message_id", message.into())]),
            ),
            ("message", body),
            ("chat", map([("id", chat.external_id.as_str().into())])),
        ]);
        map([
            ("CONNECTOR", chat.connector.as_str().into()),
            ("LINE", chat.line.into()),
            ("MESSAGES", Value::List(vec![item])),
        ])
    }
}

fn digits(phone: &str) -> String {
    phone.chars().filter(char::is_ascii_digit).collect()
}
