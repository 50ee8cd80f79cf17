//! The effect of a batch of receipts, gathered in memory and written in one transaction.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{
    known::Known,
    news::{self, MetaNews},
};
use crate::{
    app::App,
    identifiers::Ids,
    person::canonical,
    registry::{Connection, InstanceState, Part, Phone, PhoneError, Registry},
    store::{
        self, Cell, Transaction,
        calls::{CallNews, Permission},
        conversations::{self, Alias, AliasKind, Conversation, Deed, Person},
        events::{Kept, State as KeptState},
        held::Held,
        lanes::{self, NewTask, Priority, Side, Task},
        media::NewMedia,
        messages::{self, Change, Direction, Facts, Journey, NewMessage, Retold, State},
        orders::{NewOrder, News},
        receipts::{self, Receipt},
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
    /// Messages that wait no longer.
    pub freed: Vec<Uuid>,
    /// Messages that go back to where they were before they were sent.
    pub requeued: Vec<(Uuid, Journey)>,
    /// Conversations in which Meta takes only templates.
    pub closed: Vec<Uuid>,
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
            freed: Vec::new(),
            requeued: Vec::new(),
            closed: Vec::new(),
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

    /// The person whom Meta names; made where nobody is known by these ids. Fills in what was not known.
    pub(crate) fn person(&mut self, account: Uuid, named: Named<'_>) -> Uuid {
        let phone = named
            .wa_id
            .map(canonical)
            .filter(|digits| !digits.is_empty());
        let by_user_id = named
            .user_id
            .and_then(|id| self.known.person_by(account, AliasKind::UserId, id));
        let by_phone = phone
            .as_deref()
            .and_then(|digits| self.known.person_by(account, AliasKind::Phone, digits));
        let id = match (by_user_id, by_phone) {
            (Some(one), Some(other)) if one != other => self.merge(one, other),
            (Some(one), _) | (None, Some(one)) => one,
            (None, None) => self.new_person(account),
        };
        if let Some(digits) = &phone {
            self.alias(account, AliasKind::Phone, digits, id);
        }
        if let Some(user_id) = named.user_id {
            self.alias(account, AliasKind::UserId, user_id, id);
        }
        if let Some(person) = self.known.persons.get_mut(&id) {
            let before = person.clone();
            let fill = |field: &mut Option<String>, value: Option<&str>| {
                if let Some(value) = value.filter(|value| !value.is_empty()) {
                    *field = Some(value.to_owned());
                }
            };
            fill(&mut person.wa_id, named.wa_id);
            fill(&mut person.user_id, named.user_id);
            fill(&mut person.name, named.name);
            fill(&mut person.username, named.username);
            if *person != before {
                self.persons.insert(id);
            }
        }
        id
    }

    /// The person who is known by this phone number or user id.
    pub(crate) fn known_person(&self, account: Uuid, value: &str) -> Option<Uuid> {
        let by = |kind| self.known.person_by(account, kind, value);
        by(AliasKind::Phone).or_else(|| by(AliasKind::UserId))
    }

    fn new_person(&mut self, account: Uuid) -> Uuid {
        let id = self.ids.next();
        self.known.persons.insert(
            id,
            Person {
                id,
                account,
                user_ref: self.ids.next().simple().to_string(),
                wa_id: None,
                user_id: None,
                username: None,
                name: None,
                created_at: self.now,
            },
        );
        self.persons.insert(id);
        id
    }

    fn alias(&mut self, account: Uuid, kind: AliasKind, value: &str, person: Uuid) {
        let alias = Alias {
            account,
            kind,
            value: value.to_owned(),
        };
        if self.known.aliases.get(&alias) != Some(&person) {
            self.known.aliases.insert(alias.clone(), person);
            self.aliases.push((alias, person));
        }
    }

    /// Two rows turn out to be one person: the older one stays, with its chats and those of the other at numbers where
    /// it has none itself.
    fn merge(&mut self, one: Uuid, other: Uuid) -> Uuid {
        let (stays, goes) = if one < other {
            (one, other)
        } else {
            (other, one)
        };
        for person in self.known.aliases.values_mut() {
            if *person == goes {
                *person = stays;
            }
        }
        for (_, person) in &mut self.aliases {
            if *person == goes {
                *person = stays;
            }
        }
        self.merged.push((goes, stays));
        for phone in self.known.hand_over(goes, stays) {
            if self.conversations.remove(&(phone, goes)) {
                self.conversations.insert((phone, stays));
            }
        }
        // A chat that an operator still has open under the other row must reach the same customer.
        let facts = self
            .known
            .persons
            .get(&stays)
            .cloned()
            .zip(self.known.persons.get(&goes).cloned());
        if let Some((mut first, mut second)) = facts {
            first.wa_id = first.wa_id.or_else(|| second.wa_id.clone());
            first.user_id = first.user_id.or_else(|| second.user_id.clone());
            first.name = first.name.or_else(|| second.name.clone());
            first.username = first.username.or_else(|| second.username.clone());
            second.wa_id.clone_from(&first.wa_id);
            second.user_id.clone_from(&first.user_id);
            for person in [first, second] {
                self.persons.insert(person.id);
                self.known.persons.insert(person.id, person);
            }
        }
        stays
    }

    /// The customer has other ids now; the chat stays. The old number may belong to somebody else tomorrow, so it no
    /// longer leads here.
    pub(crate) fn change_identity(
        &mut self,
        person: Uuid,
        wa_id: Option<&str>,
        user_id: Option<&str>,
    ) {
        let Some(known) = self.known.persons.get_mut(&person) else {
            return;
        };
        let account = known.account;
        let mut gone = Vec::new();
        if let Some(new) = wa_id {
            gone.extend(
                known
                    .wa_id
                    .as_deref()
                    .map(|old| (AliasKind::Phone, canonical(old), canonical(new))),
            );
            known.wa_id = Some(new.to_owned());
        }
        if let Some(new) = user_id {
            gone.extend(
                known
                    .user_id
                    .clone()
                    .map(|old| (AliasKind::UserId, old, new.to_owned())),
            );
            known.user_id = Some(new.to_owned());
        }
        self.persons.insert(person);
        for (kind, old, new) in gone {
            if old != new {
                let alias = Alias {
                    account,
                    kind,
                    value: old,
                };
                self.known.aliases.remove(&alias);
                self.dropped_aliases.push(alias);
            }
        }
        if let Some(new) = wa_id {
            self.alias(account, AliasKind::Phone, &canonical(new), person);
        }
        if let Some(new) = user_id {
            self.alias(account, AliasKind::UserId, new, person);
        }
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

    /// Writes everything in one transaction, then wakes whoever has work now.
    pub(crate) async fn write(mut self, app: &App) -> Result<(), store::Error> {
        let mut tx = app.store.begin().await?;
        self.write_identities(&mut tx);
        store::media::insert(&mut tx, &self.media);
        messages::insert(&mut tx, std::mem::take(&mut self.messages));
        messages::change(&mut tx, std::mem::take(&mut self.changes));
        self.write_waiting(&mut tx).await?;
        self.write_calls(&mut tx).await?;
        for retold in &self.retold {
            let journey = Journey::new().with(self.now, "edited", Some("by the customer"));
            messages::retell(&mut tx, retold, self.now, journey);
        }
        lanes::drop_confirmations(&mut tx, &self.unconfirmed);
        lanes::enqueue(&mut tx, &self.tasks);
        for side in [Side::Portal, Side::Meta] {
            let due: Vec<Uuid> = self
                .due
                .iter()
                .filter(|(of, ..)| *of == side)
                .map(|(_, _, lane)| *lane)
                .collect();
            lanes::make_due(&mut tx, side, &due, self.now);
        }
        conversations::record_done(&mut tx, &self.deeds, self.now);
        store::events::keep(&mut tx, std::mem::take(&mut self.kept));
        for change in &self.setup {
            write_setup(&mut tx, change);
        }
        for one in &self.meta_news {
            news::write(&mut tx, self.ids, one, self.now).await?;
        }
        receipts::delete(&mut tx, &self.receipts);
        tx.commit().await?;
        for phone in &self.proven {
            app.doctor.proofs.outbound(*phone, self.now);
        }
        self.after(app).await
    }

    /// What begins to wait, what waits no longer, and what Bitrix24 hears of its orders.
    async fn write_waiting(&mut self, tx: &mut Transaction) -> Result<(), store::Error> {
        for (message, journey) in std::mem::take(&mut self.requeued) {
            messages::requeue(tx, message, self.now, journey);
        }
        for conversation in &self.closed {
            conversations::close_window(tx, *conversation, self.now);
        }
        if !self.freed.is_empty() {
            let taken = store::held::take(tx, &self.freed).await?;
            // Somebody else was faster: it went out as a template, or its time was over.
            let lost: Vec<Uuid> = self
                .freed
                .iter()
                .copied()
                .filter(|message| !taken.contains(message))
                .collect();
            self.tasks
                .retain(|task| task.message.is_none_or(|message| !lost.contains(&message)));
        }
        store::held::insert(tx, &self.held);
        store::orders::insert(tx, &self.orders);
        store::robot_uses::remember(tx, &self.robot_uses);
        if !self.news.is_empty() {
            let reports = store::orders::follow(tx, &self.news, self.now, self.ids).await?;
            self.tasks.extend(reports);
        }
        Ok(())
    }

    /// Calls, and a task for the portal for each of which something new was told.
    async fn write_calls(&mut self, tx: &mut Transaction) -> Result<(), store::Error> {
        for news in std::mem::take(&mut self.calls) {
            let id = self.ids.next();
            if let Some(call) = store::calls::hear(tx, &news, id, self.now).await? {
                let lane = Lane {
                    phone: news.phone,
                    conversation: call,
                };
                self.tell_portal(lane, None, None, Task::Call { call });
            }
        }
        for permission in &self.permissions {
            store::calls::permit(tx, permission);
        }
        Ok(())
    }

    fn write_identities(&self, tx: &mut Transaction) {
        let persons = self
            .persons
            .iter()
            .filter_map(|id| self.known.persons.get(id).cloned())
            .collect();
        conversations::save_persons(tx, persons);
        for (goes, stays) in &self.merged {
            conversations::merge_persons(tx, *goes, *stays);
        }
        conversations::delete_aliases(tx, &self.dropped_aliases);
        let mut last: HashMap<&Alias, Uuid> = HashMap::new();
        for (alias, person) in &self.aliases {
            last.insert(alias, *person);
        }
        let mut aliases: Vec<(Alias, Uuid)> = last
            .into_iter()
            .map(|(alias, person)| (alias.clone(), person))
            .collect();
        aliases.sort_unstable_by(|one, other| one.0.value.cmp(&other.0.value));
        conversations::save_aliases(tx, &aliases);
        let mut changed: Vec<Conversation> = self
            .conversations
            .iter()
            .filter_map(|key| self.known.conversations.get(key).cloned())
            .collect();
        changed.sort_unstable_by_key(|conversation| conversation.id);
        conversations::save(tx, changed);
        conversations::set_portal_chats(tx, &self.chats);
    }

    async fn after(self, app: &App) -> Result<(), store::Error> {
        for (kind, count) in &self.counts {
            app.metrics.add("intake", kind, *count);
        }
        app.metrics
            .add("intake", "receipts", self.receipts.len() as u64);
        for change in &self.setup {
            app.refresh(change.part()).await?;
        }
        if !self.meta_news.is_empty() {
            app.refresh_meta().await?;
            app.calls.wake();
        }
        if !self.setup.is_empty() {
            app.portals.wake();
        }
        if !self.media.is_empty() {
            app.media.wake();
        }
        let tasks = self.tasks.iter().map(|task| (task.phone, task.side));
        let due = self.due.iter().map(|(side, phone, _)| (*phone, *side));
        let wakes: HashSet<(Uuid, Side)> = tasks.chain(due).collect();
        for (phone, side) in wakes {
            app.dispatcher.wake(phone, side);
        }
        Ok(())
    }
}

fn write_setup(tx: &mut Transaction, change: &SetupChange) {
    match change {
        SetupChange::Disconnected { phone, error } => {
            let error = serde_json::to_string(error).ok();
            tx.write(
                "UPDATE phones SET connection = $1, error = $2 WHERE id = $3",
                &[
                    Connection::Error.as_str().into(),
                    error.into(),
                    (*phone).into(),
                ],
            );
        }
        SetupChange::Uninstalled { instance } => {
            let problem = "The application was removed from the portal. Install it again to go on.";
            tx.write(
                "UPDATE instances SET state = $1, problem = $2 WHERE id = $3",
                &[
                    InstanceState::Uninstalled.as_str().into(),
                    problem.into(),
                    (*instance).into(),
                ],
            );
            let error = PhoneError {
                code: "UNINSTALLED".to_owned(),
                title: problem.to_owned(),
                ..PhoneError::default()
            };
            tx.write(
                "UPDATE phones SET connection = $1, error = $2 WHERE instance_id = $3",
                &[
                    Connection::Error.as_str().into(),
                    Cell::MaybeText(serde_json::to_string(&error).ok()),
                    (*instance).into(),
                ],
            );
        }
        SetupChange::Republish { instance } => {
            tx.write(
                "UPDATE phones SET connection = $1 WHERE instance_id = $2",
                &[Connection::Pending.as_str().into(), (*instance).into()],
            );
        }
    }
}
