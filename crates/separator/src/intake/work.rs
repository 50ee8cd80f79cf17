//! The effect of a batch of receipts, gathered in memory and written in one transaction.

mod identity;
mod write;

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{known::Known, news::MetaNews};
use crate::{
    identifiers::Ids,
    registry::{Part, Phone, PhoneError, Registry},
    store::{
        calls::{CallNews, Permission},
        conversations::{Alias, Conversation, Deed, Person},
        events::{Kept, State as KeptState},
        held::Held,
        lanes::{NewTask, Priority, Side, Task},
        media::NewMedia,
        messages::{Change, Direction, Facts, Journey, NewMessage, Retold, State},
        orders::{NewOrder, News},
        receipts::Receipt,
        robot_uses::RobotUse,
    },
    time::Millis,
    translate::message::Language,
};

/// A change to what is set up, told by an event of a portal.
#[derive(Debug, Clone)]
pub(crate) enum SetupChange {
    /// A number is not connected any more.
    Disconnected { phone: Uuid, error: PhoneError },
    /// The application was removed from the portal.
    Uninstalled { instance: Uuid },
    /// The portal must be made right again.
    Republish { instance: Uuid },
}

impl SetupChange {
    fn part(&self) -> Part {
        match self {
            Self::Disconnected { phone, .. } => Part::Phone(*phone),
            Self::Uninstalled { instance } | Self::Republish { instance } => {
                Part::Instance(*instance)
            }
        }
    }
}

/// Where a task is put: the lane of a conversation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane {
    pub phone: Uuid,
    pub conversation: Uuid,
}

impl From<&Conversation> for Lane {
    fn from(conversation: &Conversation) -> Self {
        Self {
            phone: conversation.phone,
            conversation: conversation.id,
        }
    }
}

/// The ids by which Meta names a person beside a message.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Named<'a> {
    pub wa_id: Option<&'a str>,
    pub user_id: Option<&'a str>,
    pub name: Option<&'a str>,
    pub username: Option<&'a str>,
}

/// A template of which a status told that it was not taken.
#[derive(Debug)]
pub(crate) struct RefusedTemplate {
    pub phone: Uuid,
    pub name: String,
    pub language: String,
    pub status: &'static str,
    pub at: Millis,
}

/// Why the receipt being worked on is kept.
#[derive(Debug)]
struct Keep {
    state: KeptState,
    why: Option<String>,
    phone_number_id: Option<String>,
    waba_id: Option<String>,
}

impl Keep {
    fn because(state: KeptState, why: Option<String>) -> Self {
        Self {
            state,
            why,
            phone_number_id: None,
            waba_id: None,
        }
    }
}

/// A batch of receipts being worked through.
pub(crate) struct Work<'a> {
    pub registry: &'a Registry,
    pub known: Known,
    pub now: Millis,
    pub ids: &'a Ids,
    keep: Option<Keep>,
    kept: Vec<Kept>,
    receipts: Vec<Uuid>,
    deeds: Vec<Deed>,
    persons: HashSet<Uuid>,
    aliases: Vec<(Alias, Uuid)>,
    dropped_aliases: Vec<Alias>,
    merged: Vec<(Uuid, Uuid)>,
    conversations: HashSet<(Uuid, Uuid)>,
    chats: Vec<(Uuid, i64, Option<String>)>,
    pub media: Vec<NewMedia>,
    messages: Vec<NewMessage>,
    pub changes: Vec<Change>,
    retold: Vec<Retold>,
    tasks: Vec<NewTask>,
    pub due: Vec<(Side, Uuid, Uuid)>,
    /// Numbers of whose messages Meta told that they are on their way or there.
    pub proven: HashSet<Uuid>,
    pub unconfirmed: Vec<Uuid>,
    /// Messages that begin to wait for their customer.
    pub held: Vec<Held>,
    /// What messages made of stored interactive ones say.
    pub interactive: Vec<(Uuid, serde_json::Value)>,
    /// Messages that wait no longer.
    pub freed: Vec<Uuid>,
    /// Messages that go back to where they were before they were sent.
    pub requeued: Vec<(Uuid, Journey)>,
    /// Conversations in which Meta takes only templates.
    pub closed: Vec<Uuid>,
    /// Templates that Meta did not take, with the status that they have since a moment.
    pub refused: Vec<RefusedTemplate>,
    /// Messages of which Bitrix24 wants to hear.
    pub orders: Vec<NewOrder>,
    /// What robots sent, for when their templates change.
    pub robot_uses: Vec<RobotUse>,
    /// What became of messages of which Bitrix24 may want to hear.
    pub news: Vec<News>,
    pub setup: Vec<SetupChange>,
    pub meta_news: Vec<MetaNews>,
    /// What was told of calls.
    pub calls: Vec<CallNews>,
    /// What customers said about being called.
    pub permissions: Vec<Permission>,
    counts: HashMap<&'static str, u64>,
}

impl<'a> Work<'a> {
    pub(crate) fn new(registry: &'a Registry, known: Known, now: Millis, ids: &'a Ids) -> Self {
        Self {
            registry,
            known,
            now,
            ids,
            keep: None,
            kept: Vec::new(),
            receipts: Vec::new(),
            deeds: Vec::new(),
            persons: HashSet::new(),
            aliases: Vec::new(),
            dropped_aliases: Vec::new(),
            merged: Vec::new(),
            conversations: HashSet::new(),
            chats: Vec::new(),
            media: Vec::new(),
            messages: Vec::new(),
            changes: Vec::new(),
            retold: Vec::new(),
            tasks: Vec::new(),
            due: Vec::new(),
            proven: HashSet::new(),
            unconfirmed: Vec::new(),
            held: Vec::new(),
            interactive: Vec::new(),
            freed: Vec::new(),
            requeued: Vec::new(),
            closed: Vec::new(),
            refused: Vec::new(),
            orders: Vec::new(),
            robot_uses: Vec::new(),
            news: Vec::new(),
            setup: Vec::new(),
            meta_news: Vec::new(),
            calls: Vec::new(),
            permissions: Vec::new(),
            counts: HashMap::new(),
        }
    }

    /// Begins a receipt.
    pub(crate) fn begin(&mut self, receipt: &Receipt) {
        self.keep = None;
        self.receipts.push(receipt.id);
    }

    /// Keeps the receipt being worked on among the events. The first reason stands, except that waiting for a number
    /// outweighs all others, for such a receipt is translated again.
    pub(crate) fn keep(&mut self, state: KeptState, why: String) {
        if self
            .keep
            .as_ref()
            .is_none_or(|keep| keep.state == KeptState::Recorded)
        {
            self.keep = Some(Keep::because(state, Some(why)));
        }
    }

    /// Keeps the receipt until this number is entered.
    pub(crate) fn keep_for(&mut self, phone_number_id: &str, waba_id: &str) {
        let why = format!("no number with the phone number id {phone_number_id} is entered");
        self.keep_unlinked(why, Some(phone_number_id), waba_id);
    }

    /// Keeps the receipt until this account is entered.
    pub(crate) fn keep_for_account(&mut self, waba_id: &str) {
        let why = format!("no account with the WABA id {waba_id} is entered");
        self.keep_unlinked(why, None, waba_id);
    }

    fn keep_unlinked(&mut self, why: String, phone_number_id: Option<&str>, waba_id: &str) {
        let waits = |keep: &Keep| keep.state == KeptState::Unlinked;
        if !self.keep.as_ref().is_some_and(waits) {
            self.keep = Some(Keep {
                phone_number_id: phone_number_id.map(str::to_owned),
                waba_id: (!waba_id.is_empty()).then(|| waba_id.to_owned()),
                ..Keep::because(KeptState::Unlinked, Some(why))
            });
        }
    }

    /// Ends a receipt.
    pub(crate) fn end(&mut self, receipt: &Receipt) {
        let debugging = self
            .registry
            .waba_apps
            .get(&receipt.owner)
            .is_some_and(|app| app.events);
        let keep = self
            .keep
            .take()
            .or_else(|| debugging.then(|| Keep::because(KeptState::Translated, None)));
        if let Some(keep) = keep {
            self.kept.push(Kept {
                receipt: receipt.clone(),
                state: keep.state,
                error: keep.why,
                phone_number_id: keep.phone_number_id,
                waba_id: keep.waba_id,
            });
        }
    }

    /// Counts something for the metrics.
    pub(crate) fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// Whether this is the first time; from now on it is not.
    pub(crate) fn first_time(&mut self, deed: Deed) -> bool {
        if !self.known.done.insert(deed.clone()) {
            self.count("duplicate");
            return false;
        }
        self.deeds.push(deed);
        true
    }

    /// The language of the operators behind a number.
    pub(crate) fn language(&self, phone: &Phone) -> Language {
        self.registry
            .instance_of(phone)
            .map(|instance| instance.language)
            .unwrap_or_default()
    }

    /// The conversation of a person with a number: the one place where `chat.id` is made.
    pub(crate) fn conversation(&mut self, phone: &Phone, person: Uuid) -> Conversation {
        if let Some(conversation) = self.known.conversations.get(&(phone.id, person)) {
            return conversation.clone();
        }
        let conversation = Conversation {
            id: self.ids.next(),
            phone: phone.id,
            person,
            chat_ref: self.ids.next().simple().to_string(),
            im_chat_id: None,
            last_inbound_at: None,
            heard_at: None,
            window_closed_at: None,
            marketing_stopped_at: None,
            marketing_told_at: None,
            created_at: self.now,
        };
        self.conversations.insert((phone.id, person));
        self.known.add_conversation(conversation.clone());
        conversation
    }

    /// The customer wrote: the 24 hours begin anew.
    pub(crate) fn open_window(&mut self, conversation: &Conversation, at: Millis) {
        let key = (conversation.phone, conversation.person);
        let now = self.now;
        let Some(known) = self.known.conversations.get_mut(&key) else {
            return;
        };
        if known.last_inbound_at.is_none_or(|before| before < at) {
            known.last_inbound_at = Some(at);
            self.conversations.insert(key);
        }
        known.heard_at = Some(now);
        known.window_closed_at = None;
        self.conversations.insert(key);
        self.release(conversation);
    }

    /// The customer wants no marketing messages from the number, or takes them again, since a moment. Gives whether that is
    /// new.
    pub(crate) fn marketing(
        &mut self,
        conversation: &Conversation,
        stopped: bool,
        at: Millis,
    ) -> bool {
        let (key, at) = ((conversation.phone, conversation.person), at.whole_second());
        let Some(known) = self.known.conversations.get_mut(&key) else {
            return false;
        };
        if known.marketing_told_at.is_some_and(|before| before > at) {
            return false;
        }
        let new = known.marketing_stopped_at.is_some() != stopped;
        known.marketing_told_at = Some(at);
        if new {
            known.marketing_stopped_at = stopped.then_some(at);
        }
        self.conversations.insert(key);
        new
    }

    /// Adds a step to the journey of a message.
    pub(crate) fn tell_journey(&mut self, message: Uuid, journey: Journey) {
        self.changes.push(Change {
            id: message,
            state: None,
            wamid: None,
            error: None,
            sent_task: None,
            at: self.now,
            journey,
        });
    }

    /// Bitrix24 told under which chat it keeps a conversation.
    pub(crate) fn portal_chat(
        &mut self,
        conversation: &Conversation,
        chat: i64,
        session: Option<String>,
    ) {
        if conversation.im_chat_id != Some(chat) {
            self.chats.push((conversation.id, chat, session));
            if let Some(known) = self
                .known
                .conversations
                .get_mut(&(conversation.phone, conversation.person))
            {
                known.im_chat_id = Some(chat);
            }
        }
    }

    /// How the API names the customer of a conversation.
    pub(crate) fn peer(&self, conversation: &Conversation) -> String {
        self.known
            .persons
            .get(&conversation.person)
            .map(Person::peer)
            .unwrap_or_default()
    }

    /// Adds a message; those that come later in the batch see it.
    pub(crate) fn add_message(&mut self, message: NewMessage) {
        self.known.add_message(Facts {
            id: message.id,
            phone: message.phone,
            conversation: message.conversation,
            inbound: message.direction == Direction::Inbound,
            origin: message.origin.to_owned(),
            text: message.text.clone(),
            kind: message.kind.clone(),
            state: message.state,
            wamid: message.wamid.clone(),
            im_message_id: message.im.map(|(_, id)| id),
            media: message.media,
            edited_at: None,
            journey: String::new(),
        });
        self.messages.push(message);
    }

    /// A message says something else now; those that come later in the batch see it.
    pub(crate) fn retell(&mut self, message: Uuid, text: &str, edited_at: Millis) {
        let retold = Retold {
            id: message,
            text: text.to_owned(),
            edited_at,
        };
        self.known.retell(&retold);
        self.retold.push(retold);
    }

    /// Adds a task for the portal at the end of the conversation's lane.
    pub(crate) fn tell_portal(
        &mut self,
        lane: Lane,
        message: Option<Uuid>,
        media: Option<Uuid>,
        task: Task,
    ) {
        let task = self.task(lane, Side::Portal, message, media, task);
        self.tasks.push(task);
    }

    /// Adds a task for Meta at the end of the conversation's lane.
    pub(crate) fn tell_customer(
        &mut self,
        lane: Lane,
        message: Uuid,
        media: Option<Uuid>,
        task: Task,
    ) {
        let task = self.task(lane, Side::Meta, Some(message), media, task);
        self.tasks.push(task);
    }

    fn task(
        &self,
        lane: Lane,
        side: Side,
        message: Option<Uuid>,
        media: Option<Uuid>,
        task: Task,
    ) -> NewTask {
        NewTask {
            id: self.ids.next(),
            lane: lane.conversation,
            side,
            phone: lane.phone,
            message,
            media,
            priority: Priority::Conversation,
            due_at: self.now,
            created_at: self.now,
            task,
        }
    }

    /// A note that only operators see, in a conversation's chat.
    pub(crate) fn note(&mut self, lane: Lane, markup: String) {
        let external_id = format!("note-{}", self.ids.next().simple());
        self.tell_portal(
            lane,
            None,
            None,
            Task::Post {
                external_id,
                text: markup,
                note: true,
            },
        );
    }

    /// The state in which an inbound message starts.
    pub(crate) fn inbound_state(phone: &Phone) -> State {
        if phone.instance_id.is_some() {
            State::Queued
        } else {
            State::Received
        }
    }

    /// The first steps of a message that came in with a receipt.
    pub(crate) fn journey(
        &self,
        receipt: &Receipt,
        written_at: Option<i64>,
        detail: &str,
    ) -> Journey {
        let mut journey = Journey::new();
        if let Some(seconds) = written_at {
            journey.step(
                Millis::from_seconds(seconds),
                "written",
                Some("time given by the sender's side"),
            );
        }
        journey.step(receipt.received_at, "received", Some(detail));
        journey.step(self.now, "translated", None);
        journey
    }
}
