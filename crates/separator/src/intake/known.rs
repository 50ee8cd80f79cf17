//! What the store knows about everything that a batch of receipts speaks of, read with a few statements.

use std::collections::{HashMap, HashSet};

use bitrix24::events::EventData;
use uuid::Uuid;
use whatsapp::webhook::{CallsValue, ChangeKind, MessagesValue, PreferencesValue, Status};

use super::{
    Parsed,
    codes::INTERACTIVE,
    hold,
    orders::{self, Asked},
};
use crate::{
    person::canonical,
    registry::Registry,
    store::{
        self, Error, Store, catalogue,
        conversations::{self, Alias, AliasKind, Conversation, Deed, Person},
        held::Held,
        lanes::Task,
        messages::{self, Facts, Retold},
        receipts::Receipt,
    },
    time::Millis,
    translate::{self, code::Kind},
};

/// How our row id travels with a message to Meta and comes back in its statuses.
const CALLBACK_PREFIX: &str = "separator:";

/// The text that a message carries to Meta and that comes back in its statuses.
pub(crate) fn callback_data(message: Uuid) -> String {
    format!("{CALLBACK_PREFIX}{}", message.simple())
}

/// The message that a status speaks of by our id.
pub(crate) fn message_of(status: &Status) -> Option<Uuid> {
    status
        .biz_opaque_callback_data
        .as_deref()?
        .strip_prefix(CALLBACK_PREFIX)?
        .parse()
        .ok()
}

/// Names the deed of taking one WhatsApp message.
pub(crate) fn inbound_deed(phone_number_id: &str, wamid: &str) -> Deed {
    Deed::new(&["whatsapp", phone_number_id, wamid])
}

/// Names the deed of taking one message of an operator.
pub(crate) fn operator_deed(member_id: &str, event: &str, chat: i64, message: i64) -> Deed {
    Deed::new(&[
        "bitrix24",
        member_id,
        event,
        &chat.to_string(),
        &message.to_string(),
    ])
}

/// What is known; changes while a batch is worked through, so that each receipt sees what those before it did.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub done: HashSet<Deed>,
    pub aliases: HashMap<Alias, Uuid>,
    pub persons: HashMap<Uuid, Person>,
    /// By number and person.
    pub conversations: HashMap<(Uuid, Uuid), Conversation>,
    /// By number and the chat id given to Bitrix24; leads to the person.
    pub chats: HashMap<(Uuid, String), Uuid>,
    messages: HashMap<Uuid, Facts>,
    by_wamid: HashMap<(Uuid, String), Uuid>,
    /// The last messages of conversations in which an operator quoted something, newest first.
    pub latest: HashMap<Uuid, Vec<Facts>>,
    /// What waits in each conversation for its customer, in order.
    pub held: HashMap<Uuid, Vec<Held>>,
    /// The templates that codes name, by number.
    pub templates: catalogue::ByPhone,
    /// The stored interactive messages, by number, where a code names one.
    pub interactive: store::interactive::ByPhone,
    /// What interactive messages said about which a status tells.
    pub interactive_sent: HashMap<Uuid, serde_json::Value>,
    /// What messages were sent as whose template, as a status tells, was not taken.
    pub sent_tasks: HashMap<Uuid, Task>,
    /// All that can be sent, by number, where an operator wrote outside the 24 hours.
    pub approved: catalogue::ByPhone,
}

#[derive(Default)]
struct Questions {
    deeds: Vec<Deed>,
    aliases: Vec<String>,
    wamids: Vec<String>,
    messages: Vec<Uuid>,
    chats: Vec<String>,
    quoting: HashSet<String>,
    /// Chats in which operators wrote, and the names of templates in their codes.
    written: HashMap<String, Vec<String>>,
    /// Chats in which operators wrote the code of an interactive message.
    interactive: HashSet<String>,
    /// Numbers of which Bitrix24 wants an interactive message sent.
    ordered_interactive: Vec<Uuid>,
    /// Numbers and the names of templates in what Bitrix24 wants sent.
    ordered: Vec<(Uuid, String)>,
    /// Numbers that may have to send a plain text in a template.
    wrapped: Vec<Uuid>,
    /// Whether something came that may set free what waits, or has to wait behind it.
    waiting: bool,
    /// Whether a status tells that a template was not taken.
    refused: bool,
}

impl Questions {
    fn ask_meta(&mut self, value: &MessagesValue) {
        self.waiting |= !value.messages.is_empty();
        let phone_number_id = value.phone_number_id.as_deref().unwrap_or_default();
        for message in value.messages.iter().flatten() {
            self.deeds.push(inbound_deed(phone_number_id, &message.id));
            for phone in [&message.from, &message.to].into_iter().flatten() {
                self.aliases.push(canonical(phone));
            }
            for user_id in [&message.from_user_id, &message.to_user_id]
                .into_iter()
                .flatten()
            {
                self.aliases.push(user_id.clone());
            }
            self.wamids
                .extend(translate::from_whatsapp::referred(message).map(str::to_owned));
            match &message.body {
                whatsapp::webhook::MessageBody::Edit {
                    original_message_id,
                    ..
                }
                | whatsapp::webhook::MessageBody::Revoke {
                    original_message_id,
                } => {
                    // A change that overtakes what it changes settles that as well.
                    self.deeds
                        .push(inbound_deed(phone_number_id, original_message_id));
                    self.wamids.push(original_message_id.clone());
                }
                whatsapp::webhook::MessageBody::System(system) => {
                    self.aliases.extend(system.wa_id.as_deref().map(canonical));
                    self.aliases.extend(system.user_id.clone());
                    self.aliases.extend(system.previous_user_id.clone());
                }
                _ => {}
            }
        }
        for status in value.statuses.iter().flatten() {
            self.refused |= hold::template_status(status).is_some();
            match message_of(status) {
                Some(id) => self.messages.push(id),
                None => self.wamids.push(status.id.clone()),
            }
            self.aliases.extend(status.recipient_user_id.clone());
            self.aliases
                .extend(status.recipient_id.as_deref().map(canonical));
        }
    }

    /// A call opens the 24 hours like a message, so what waits is looked up with it.
    fn ask_calls(&mut self, value: &CallsValue) {
        self.waiting |= !value.calls.is_empty();
        for call in value.calls.iter().flatten() {
            self.aliases.extend(call.wa_id.as_deref().map(canonical));
            self.aliases.extend(call.user_id.clone());
        }
        for contact in &value.contacts {
            self.aliases.extend(contact.wa_id.as_deref().map(canonical));
            self.aliases.extend(contact.user_id.clone());
        }
    }

    fn ask_preferences(&mut self, value: &PreferencesValue) {
        for preference in value.preferences.iter().flatten() {
            self.aliases
                .extend(preference.wa_id.as_deref().map(canonical));
            self.aliases.extend(preference.user_id.clone());
        }
    }

    /// `bare` is a text that may begin with a template's name.
    fn ask_order(&mut self, asked: Option<Asked<'_>>, bare: Option<&str>) {
        let Some(asked) = asked else {
            return;
        };
        self.aliases.extend(asked.to.as_deref().map(canonical));
        let phone = asked.phone.id;
        if asked.body.is_interactive() {
            self.ordered_interactive.push(phone);
        } else if let Some(name) = asked.body.template() {
            self.ordered.push((phone, name.to_owned()));
        } else if let Some(text) = bare {
            if let Some(Ok(code)) = translate::code::parse_bare(text) {
                self.ordered.push((phone, code.name));
            }
            self.wrapped.push(phone);
        }
    }

    fn ask_bitrix(&mut self, event: &bitrix24::events::Event) {
        let member_id = &event.auth.member_id;
        match &event.data {
            EventData::MessageAdd(messages)
            | EventData::MessageUpdate(messages)
            | EventData::MessageDelete(messages) => {
                for message in messages.messages.iter().flatten() {
                    self.deeds.push(operator_deed(
                        member_id,
                        &event.name,
                        message.im_chat_id,
                        message.im_message_id,
                    ));
                    self.chats.push(message.chat_id.clone());
                    self.wamids.extend(message.external_ids.iter().cloned());
                    if let EventData::MessageAdd(_) = &event.data {
                        self.waiting = true;
                        let names = self.written.entry(message.chat_id.clone()).or_default();
                        match translate::from_bitrix::code(message) {
                            Some(Ok(code)) if code.kind == Kind::Interactive => {
                                self.interactive.insert(message.chat_id.clone());
                            }
                            Some(Ok(code)) => names.push(code.name),
                            _ => {}
                        }
                    }
                    if translate::from_bitrix::read(message).quote.is_some() {
                        self.quoting.insert(message.chat_id.clone());
                    }
                }
            }
            EventData::DialogStart(dialogs) => {
                self.chats.extend(
                    dialogs
                        .dialogs
                        .iter()
                        .flatten()
                        .map(|dialog| dialog.chat_id.clone()),
                );
            }
            _ => {}
        }
    }
}

impl Known {
    /// Reads all that the receipts speak of.
    pub(crate) async fn load(
        store: &Store,
        registry: &Registry,
        receipts: &[Receipt],
        parsed: &[Parsed],
        now: Millis,
    ) -> Result<Self, Error> {
        let mut questions = Questions::default();
        for (receipt, parsed) in receipts.iter().zip(parsed) {
            match parsed {
                Parsed::Meta(callback) => {
                    for change in &callback.changes {
                        if let ChangeKind::Messages(value) | ChangeKind::Echoes(value) =
                            &change.kind
                        {
                            questions.ask_meta(value);
                        }
                        if let ChangeKind::Calls(value) = &change.kind {
                            questions.ask_calls(value);
                        }
                        if let ChangeKind::Preferences(value) = &change.kind {
                            questions.ask_preferences(value);
                        }
                    }
                }
                Parsed::Bitrix(event) => questions.ask_bitrix(event),
                Parsed::Sms(order) => {
                    questions.deeds.push(orders::sms_deed(receipt.owner, order));
                    let asked = orders::of_sms(registry, receipt.owner, order);
                    questions.ask_order(asked, Some(&order.body));
                }
                Parsed::Robot(order) => {
                    questions
                        .deeds
                        .push(orders::robot_deed(receipt.owner, order));
                    let asked = orders::of_robot(registry, receipt.owner, order).ok();
                    questions.ask_order(asked, None);
                }
                Parsed::NotUnderstood(_) => {}
            }
        }
        let mut known = Self::default();
        known.answer(store, questions, now).await?;
        Ok(known)
    }

    /// Reads what is known of a person by phone number or user id.
    pub(crate) async fn of_person(store: &Store, value: &str) -> Result<Self, Error> {
        let mut known = Self::default();
        let questions = Questions {
            aliases: vec![value.to_owned()],
            ..Questions::default()
        };
        known.answer(store, questions, Millis(0)).await?;
        Ok(known)
    }

    async fn answer(
        &mut self,
        store: &Store,
        questions: Questions,
        now: Millis,
    ) -> Result<(), Error> {
        let Questions {
            deeds,
            aliases,
            wamids,
            messages,
            chats,
            quoting,
            written,
            interactive,
            ordered_interactive,
            ordered,
            wrapped,
            waiting,
            refused,
        } = questions;
        self.done = conversations::done_before(store, &unique(deeds)).await?;
        for (alias, person) in conversations::persons_by_alias(store, &unique(aliases)).await? {
            self.aliases.insert(alias, person.id);
            self.persons.insert(person.id, person);
        }
        let mut found = conversations::by_chat_ref(store, &unique(chats)).await?;
        let strangers: Vec<Uuid> = found
            .iter()
            .map(|conversation| conversation.person)
            .filter(|person| !self.persons.contains_key(person))
            .collect();
        for person in conversations::persons(store, &unique(strangers)).await? {
            self.persons.insert(person.id, person);
        }
        let mut facts = messages::by_wamid(store, &unique(wamids)).await?;
        facts.extend(messages::by_id(store, &unique(messages)).await?);
        let persons: Vec<Uuid> = self.persons.keys().copied().collect();
        found.extend(conversations::of_persons(store, &persons).await?);
        for conversation in found {
            if quoting.contains(&conversation.chat_ref)
                && !self.latest.contains_key(&conversation.id)
            {
                self.latest.insert(
                    conversation.id,
                    messages::latest(store, conversation.id, 200).await?,
                );
            }
            self.add_conversation(conversation);
        }
        for fact in facts {
            self.add_message(fact);
        }
        if waiting {
            self.learn_held(store).await?;
        }
        if refused {
            let outbound = self.messages.values().filter(|facts| !facts.inbound);
            let ids: Vec<Uuid> = outbound.map(|facts| facts.id).collect();
            self.sent_tasks = messages::sent_tasks(store, &ids).await?;
        }
        self.learn_interactive(store, &interactive, ordered_interactive)
            .await?;
        self.learn_templates(store, &written, ordered, wrapped, now)
            .await
    }

    /// Looks up the interactive messages that codes may name, and what was sent of them, which may have to wait.
    async fn learn_interactive(
        &mut self,
        store: &Store,
        chats: &HashSet<String>,
        mut phones: Vec<Uuid>,
    ) -> Result<(), Error> {
        let conversations = self.conversations.values();
        phones.extend(
            conversations
                .filter(|conversation| chats.contains(&conversation.chat_ref))
                .map(|conversation| conversation.phone),
        );
        self.interactive = store::interactive::of_phones(store, &unique(phones)).await?;
        let sent: Vec<Uuid> = self
            .messages
            .values()
            .filter(|facts| !facts.inbound && facts.kind == INTERACTIVE)
            .map(|facts| facts.id)
            .collect();
        self.interactive_sent = store::interactive::sent(store, &sent).await?;
        Ok(())
    }

    async fn learn_held(&mut self, store: &Store) -> Result<(), Error> {
        let conversations: Vec<Uuid> = self.conversations.values().map(|one| one.id).collect();
        for held in store::held::of(store, &conversations).await? {
            self.held.entry(held.conversation).or_default().push(held);
        }
        Ok(())
    }

    /// Looks up the templates that codes name, and what can be offered to whom wrote while only templates are taken.
    async fn learn_templates(
        &mut self,
        store: &Store,
        written: &HashMap<String, Vec<String>>,
        ordered: Vec<(Uuid, String)>,
        mut closed: Vec<Uuid>,
        now: Millis,
    ) -> Result<(), Error> {
        let (mut phones, mut names): (Vec<Uuid>, Vec<String>) = ordered.into_iter().unzip();
        for conversation in self.conversations.values() {
            let Some(named) = written.get(&conversation.chat_ref) else {
                continue;
            };
            if !named.is_empty() {
                phones.push(conversation.phone);
                names.extend(named.iter().cloned());
            }
            if !conversation.takes_everything(now) {
                closed.push(conversation.phone);
            }
        }
        self.templates = catalogue::named(store, &unique(phones), &unique(names)).await?;
        self.approved = catalogue::approved(store, &unique(closed)).await?;
        Ok(())
    }

    pub(crate) fn add_conversation(&mut self, conversation: Conversation) {
        self.chats.insert(
            (conversation.phone, conversation.chat_ref.clone()),
            conversation.person,
        );
        self.conversations
            .insert((conversation.phone, conversation.person), conversation);
    }

    /// Gives a person's conversations to another person, where that one has none with the same number; gives the
    /// numbers.
    pub(crate) fn hand_over(&mut self, from: Uuid, to: Uuid) -> Vec<Uuid> {
        let phones: Vec<Uuid> = self
            .conversations
            .keys()
            .filter(|(phone, person)| {
                *person == from && !self.conversations.contains_key(&(*phone, to))
            })
            .map(|(phone, _)| *phone)
            .collect();
        for phone in &phones {
            if let Some(mut conversation) = self.conversations.remove(&(*phone, from)) {
                conversation.person = to;
                self.add_conversation(conversation);
            }
        }
        phones
    }

    pub(crate) fn add_message(&mut self, facts: Facts) {
        if let Some(wamid) = &facts.wamid {
            self.by_wamid.insert((facts.phone, wamid.clone()), facts.id);
        }
        self.messages.insert(facts.id, facts);
    }

    /// The message of a number with this wamid.
    pub(crate) fn message(&self, phone: Uuid, wamid: &str) -> Option<&Facts> {
        self.messages
            .get(self.by_wamid.get(&(phone, wamid.to_owned()))?)
    }

    /// A message is on its way again, for the reason that its journey tells.
    pub(crate) fn take_back(&mut self, id: Uuid, told: &str) {
        if let Some(facts) = self.messages.get_mut(&id) {
            facts.state = messages::State::Queued;
            facts.journey.push_str(told);
        }
    }

    /// The conversation with this id.
    pub(crate) fn conversation_by_id(&self, id: Uuid) -> Option<&Conversation> {
        self.conversations.values().find(|one| one.id == id)
    }

    /// Meta takes only templates in a conversation.
    pub(crate) fn close_window(&mut self, conversation: &Conversation, at: Millis) {
        let key = (conversation.phone, conversation.person);
        if let Some(known) = self.conversations.get_mut(&key) {
            known.window_closed_at = Some(at);
        }
    }

    /// A message says something else now.
    pub(crate) fn retell(&mut self, retold: &Retold) {
        let latest = self.latest.values_mut().flatten();
        let facts = self.messages.get_mut(&retold.id).into_iter();
        for facts in facts.chain(latest.filter(|facts| facts.id == retold.id)) {
            retold.text.clone_into(&mut facts.text);
            facts.edited_at = Some(retold.edited_at);
        }
    }

    /// The message that a status of a number speaks of.
    pub(crate) fn message_of_status(&mut self, phone: Uuid, status: &Status) -> Option<&mut Facts> {
        let id = match message_of(status) {
            Some(id) => id,
            None => *self.by_wamid.get(&(phone, status.id.clone()))?,
        };
        self.messages
            .get_mut(&id)
            .filter(|facts| facts.phone == phone)
    }

    /// The person with this phone number or user id at an account.
    pub(crate) fn person_by(&self, account: Uuid, kind: AliasKind, value: &str) -> Option<Uuid> {
        self.aliases
            .get(&Alias {
                account,
                kind,
                value: value.to_owned(),
            })
            .copied()
    }
}

fn unique<T: std::hash::Hash + Eq + Clone>(values: Vec<T>) -> Vec<T> {
    let mut seen = HashSet::new();
    values
        .into_iter()
        .filter(|value| seen.insert(value.clone()))
        .collect()
}
