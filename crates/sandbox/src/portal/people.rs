//! What operators do in their chats, and what time does to what they wrote.

use std::{
    cmp::Reverse,
    sync::{Arc, PoisonError},
    time::Duration,
};

use super::{
    Author, ChatRef, Portal, Refusal, Upload, World, clock,
    events::Happening,
    files,
    php::map,
    state::{ConnectorState, State},
};

/// The line that frames a quotation.
const QUOTE_LINE: &str = "------------------------------------------------------";
/// The operator who writes where nobody else is named.
const OPERATOR: i64 = 27;

/// The chat meant.
pub(crate) fn resolve(state: &State, chat: &ChatRef) -> Option<i64> {
    match chat {
        ChatRef::Im(id) => state.chats.contains_key(id).then_some(*id),
        ChatRef::External(id) => state.chats_by_external_id.get(id)?.last().copied(),
    }
}

/// Tells the waiting when messages turn red.
pub(crate) async fn turn_red(world: Arc<World>) {
    let marks = &world.events.marks;
    loop {
        let now = world.clock.milliseconds();
        let mut turned = Vec::new();
        let next = {
            let mut due = marks.due.lock().unwrap_or_else(PoisonError::into_inner);
            while due.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
                turned.extend(due.pop());
            }
            due.peek().map(|Reverse((at, ..))| at - now)
        };
        for Reverse((_, number, chat, message)) in turned {
            let still = |portal: Portal| {
                portal
                    .lock()
                    .messages
                    .get(&message)
                    .is_some_and(|message| message.sending)
            };
            if world.portal(number).is_some_and(still) {
                world.changed(number, Some(chat));
            }
        }
        let pause = next.map_or(Duration::from_hours(1), Duration::from_millis);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = marks.changed.notified() => {}
            () = world.closing.cancelled() => return,
        }
    }
}

/// What operators do.
impl Portal {
    /// The default operator writes; the message's id. The event is on its way when this returns.
    pub fn operator_writes(
        &self,
        chat: impl Into<ChatRef>,
        text: &str,
        files: Vec<Upload>,
    ) -> Result<i64, Refusal> {
        self.operator_writes_as(OPERATOR, chat, text, files)
    }

    /// An employee writes.
    pub fn operator_writes_as(
        &self,
        user: i64,
        chat: impl Into<ChatRef>,
        text: &str,
        files: Vec<Upload>,
    ) -> Result<i64, Refusal> {
        if text.is_empty() && files.is_empty() {
            return Err(Refusal::Nothing);
        }
        let mut state = self.lock();
        let chat = resolve(&state, &chat.into()).ok_or(Refusal::NoSuchChat)?;
        if !state.users.contains_key(&user) {
            return Err(Refusal::NoSuchUser);
        }
        let files = files
            .into_iter()
            .map(|file| files::upload(&mut state, file))
            .collect();
        let id = self.speak(&mut state, chat, user, text.to_owned(), files);
        drop(state);
        self.changed(Some(chat));
        Ok(id)
    }

    /// The default operator answers a message with "Quote": the quotation is a block framed by dashes in front.
    pub fn operator_quotes(&self, message: i64, text: &str) -> Result<i64, Refusal> {
        self.operator_quotes_as(OPERATOR, message, text, Vec::new())
    }

    /// An employee answers a message with "Quote", with files if any.
    pub fn operator_quotes_as(
        &self,
        user: i64,
        message: i64,
        text: &str,
        files: Vec<Upload>,
    ) -> Result<i64, Refusal> {
        let (chat, block) = {
            let state = self.lock();
            let quoted = state.messages.get(&message).ok_or(Refusal::NoSuchMessage)?;
            let (who, when) = (&quoted.author_name, clock::day_and_minute(quoted.at));
            (
                quoted.chat_id,
                format!(
                    "{QUOTE_LINE}\n{who} [{when}]\n{}\n{QUOTE_LINE}\n{text}",
                    quoted.text
                ),
            )
        };
        self.operator_writes_as(user, chat, &block, files)
    }

    /// An operator edits a message. The application hears of it only where the connector asked for edits and the
    /// message was confirmed with an id.
    pub fn operator_edits(&self, message: i64, text: &str) -> Result<(), Refusal> {
        let mut state = self.lock();
        let (chat, told) = own_message(&state, message)?;
        let told =
            told && connector_flag(&state, chat, |connector| connector.edit_internal_messages);
        if let Some(message) = state.messages.get_mut(&message) {
            text.clone_into(&mut message.text);
            message.edited = true;
        }
        if told {
            self.announce(&mut state, message, "ONIMCONNECTORMESSAGEUPDATE");
        }
        drop(state);
        self.changed(Some(chat));
        Ok(())
    }

    /// An operator deletes a message; the application hears of it under the same conditions as of edits.
    pub fn operator_deletes(&self, message: i64) -> Result<(), Refusal> {
        let mut state = self.lock();
        let (chat, told) = own_message(&state, message)?;
        let told =
            told && connector_flag(&state, chat, |connector| connector.delete_internal_messages);
        let ids = state.messages.get_mut(&message).map(|message| {
            message.deleted = true;
            message.external_ids.clone()
        });
        if told {
            self.announce_deletion(&mut state, chat, message, &ids.unwrap_or_default());
        }
        drop(state);
        self.changed(Some(chat));
        Ok(())
    }

    /// One event for each external id, which is a scalar here.
    fn announce_deletion(&self, state: &mut State, chat: i64, message: i64, ids: &[String]) {
        for id in ids {
            let Some(found) = state.chats.get(&chat) else {
                return;
            };
            let Some(connector) = state.connectors.get(&found.connector) else {
                return;
            };
            let client_id = connector.client_id.clone();
            let data = Self::message_data(found, message, map([("id", id.as_str().into())]));
            let happening = Happening {
                name: "ONIMCONNECTORMESSAGEDELETE",
                data,
                chat,
                user: Some(OPERATOR),
                only: Some(&client_id),
            };
            self.fire(state, &happening);
        }
    }

    /// The line writes by itself: a welcome, a closing word. It goes out with user 0, where the connector wants
    /// automatic texts.
    pub fn automatic_text(&self, chat: impl Into<ChatRef>, text: &str) -> Result<i64, Refusal> {
        let mut state = self.lock();
        let chat = resolve(&state, &chat.into()).ok_or(Refusal::NoSuchChat)?;
        let id = self.speak_for_nobody(&mut state, chat, text.to_owned());
        drop(state);
        self.changed(Some(chat));
        Ok(id)
    }

    /// The session of a chat is closed; the next message opens another in the same chat.
    pub fn close_session(&self, chat: impl Into<ChatRef>) -> Result<(), Refusal> {
        let mut state = self.lock();
        let chat = resolve(&state, &chat.into()).ok_or(Refusal::NoSuchChat)?;
        if let Some(found) = state.chats.get_mut(&chat) {
            found.session_open = false;
        }
        self.fire_dialog(&mut state, chat, "ONIMCONNECTORDIALOGFINISH");
        drop(state);
        self.changed(Some(chat));
        Ok(())
    }
}

fn connector_flag(state: &State, chat: i64, flag: impl Fn(&ConnectorState) -> bool) -> bool {
    state
        .chats
        .get(&chat)
        .and_then(|chat| state.connectors.get(&chat.connector))
        .is_some_and(flag)
}

/// An operator's message: its chat, and whether the messenger knows it.
fn own_message(state: &State, message: i64) -> Result<(i64, bool), Refusal> {
    let message = state.messages.get(&message).ok_or(Refusal::NoSuchMessage)?;
    if !matches!(message.author, Author::Operator(_)) {
        return Err(Refusal::NotYours);
    }
    Ok((message.chat_id, !message.external_ids.is_empty()))
}
