//! What a portal knows: plain data with an index for every question that is asked per message.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bytes::Bytes;

use super::{
    PhoneCall, StepKind,
    limits::{Bucket, OperatingTime},
    oauth::Refresh,
    php::Value,
    view::{
        Author, Call, Chat, Connector, ConnectorLine, Counters, File, Handler, Lead, Line, Message,
        Placement, Robot, Sms, User, WorkflowStep,
    },
};

/// Calls kept in the log.
const CALLS_KEPT: usize = 10_000;

/// A local application on this portal.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) application_token: String,
    /// `false` until `installFinish` of an application with an interface.
    pub(crate) installed: bool,
    /// Not "uses API only".
    pub(crate) with_pages: bool,
    pub(crate) scope: Vec<String>,
    pub(crate) installer: i64,
    pub(crate) install_url: String,
    pub(crate) handler_url: String,
    pub(crate) version: i64,
    /// Valid refresh tokens; one of each family, unless old ones are to stay valid.
    pub(crate) refresh_tokens: Vec<Refresh>,
    /// The token each employee's events carry, with its expiry.
    pub(crate) event_tokens: HashMap<i64, (String, i64)>,
}

/// An access token.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) client_id: String,
    pub(crate) user: i64,
    /// Seconds since 1970.
    pub(crate) expires_at: i64,
}

/// An open line.
#[derive(Debug)]
pub(crate) struct LineState {
    pub(crate) active: bool,
    pub(crate) name: String,
    pub(crate) queue: Vec<(String, String)>,
    pub(crate) settings: Vec<(String, Value)>,
}

impl LineState {
    /// A setting as text; empty where it was never set.
    pub(crate) fn setting(&self, name: &str) -> String {
        let found = self.settings.iter().find(|(key, _)| key == name);
        found
            .and_then(|(_, value)| value.text())
            .unwrap_or_default()
    }
}

/// A registered connector.
#[derive(Debug)]
pub(crate) struct ConnectorState {
    pub(crate) client_id: String,
    pub(crate) name: String,
    pub(crate) placement_handler: String,
    pub(crate) delete_external_messages: bool,
    pub(crate) edit_internal_messages: bool,
    pub(crate) delete_internal_messages: bool,
    pub(crate) newsletter: bool,
    pub(crate) need_system_messages: bool,
    pub(crate) need_signature: bool,
    pub(crate) chat_group: bool,
}

/// A connector on a line.
#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(crate) active: bool,
    pub(crate) error: bool,
    pub(crate) data: Option<Value>,
}

impl Status {
    /// Whether messages can pass.
    pub(crate) fn ready(&self, data_needed: bool) -> bool {
        self.active && !self.error && (!data_needed || self.data.is_some())
    }
}

/// A customer: keyed by connector and external user id, over all lines.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) phone: Option<String>,
}

/// A chat.
#[derive(Debug)]
pub(crate) struct ChatState {
    pub(crate) id: i64,
    pub(crate) connector: String,
    pub(crate) line: i64,
    pub(crate) external_id: String,
    /// The customer who wrote first; the only one, except in a group.
    pub(crate) client: (String, String),
    pub(crate) title: String,
    pub(crate) session: i64,
    pub(crate) session_open: bool,
    pub(crate) parent_session: i64,
    pub(crate) leads: Vec<i64>,
    pub(crate) messages: Vec<i64>,
}

/// The bytes of a file, kept up to a limit.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) file: File,
    pub(crate) bytes: Option<Bytes>,
    /// The code of its public short link; empty for files that came from the messenger.
    pub(crate) code: String,
}

/// An SMS provider of an application.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) client_id: String,
    pub(crate) handler: String,
    pub(crate) name: String,
}

/// A number that only grows.
#[derive(Debug)]
pub(crate) struct Sequence {
    next: i64,
    step: i64,
}

impl Sequence {
    const fn new(next: i64, step: i64) -> Self {
        Self { next, step }
    }

    pub(crate) fn take(&mut self) -> i64 {
        let value = self.next;
        self.next += self.step;
        value
    }
}

/// The identity of a chat: connector, line, external chat id and, except in a group, the customer's id.
pub(crate) type UserCode = (String, i64, String, i64);

/// Everything a portal knows.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) plan_active: bool,
    pub(crate) deleted: bool,
    pub(crate) users: BTreeMap<i64, User>,
    pub(crate) apps: BTreeMap<String, App>,
    pub(crate) tokens: HashMap<String, Token>,
    /// Authorization codes: client id, user, expiry in seconds.
    pub(crate) codes: HashMap<String, (String, i64, i64)>,
    pub(crate) lines: BTreeMap<i64, LineState>,
    pub(crate) connectors: BTreeMap<String, ConnectorState>,
    pub(crate) statuses: BTreeMap<(String, i64), Status>,
    pub(crate) clients: HashMap<(String, String), Client>,
    pub(crate) chats: BTreeMap<i64, ChatState>,
    pub(crate) chats_by_code: HashMap<UserCode, i64>,
    pub(crate) chats_by_external_id: HashMap<String, Vec<i64>>,
    pub(crate) messages: HashMap<i64, Message>,
    pub(crate) messages_by_external_id: HashMap<(i64, String), i64>,
    /// Operators' messages whose event was answered with success.
    pub(crate) acknowledged: BTreeSet<i64>,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) placements: Vec<Placement>,
    pub(crate) senders: BTreeMap<String, Sender>,
    pub(crate) sms: BTreeMap<String, Sms>,
    /// Calls of telephone systems, by the portal's id.
    pub(crate) phone_calls: BTreeMap<String, PhoneCall>,
    pub(crate) robots: BTreeMap<(StepKind, String), Robot>,
    /// Steps of workflows by their token.
    pub(crate) steps: BTreeMap<String, WorkflowStep>,
    pub(crate) leads: BTreeMap<i64, Lead>,
    pub(crate) open_leads_by_phone: HashMap<String, Vec<i64>>,
    pub(crate) files: HashMap<i64, Stored>,
    pub(crate) files_by_code: HashMap<String, i64>,
    pub(crate) counters: Counters,
    pub(crate) second: (u64, u64),
    pub(crate) calls: VecDeque<Call>,
    pub(crate) bucket: Bucket,
    pub(crate) operating: OperatingTime,
    /// Parameters that no documentation knows, as `method: parameter`.
    pub(crate) undocumented: Vec<String>,
    /// A client secret came to the portal, where it must never go.
    pub(crate) secret_seen: bool,
    pub(crate) next: Sequences,
}

/// The portal's number spaces. They overlap on purpose: a chat and a file may have equal ids.
#[derive(Debug)]
pub(crate) struct Sequences {
    pub(crate) line: Sequence,
    pub(crate) user: Sequence,
    pub(crate) chat: Sequence,
    pub(crate) message: Sequence,
    pub(crate) session: Sequence,
    pub(crate) handler: Sequence,
    pub(crate) file: Sequence,
    pub(crate) lead: Sequence,
}

impl State {
    /// A portal with three employees, one of them an administrator, and the line every portal starts with.
    pub(crate) fn new() -> Self {
        let users = [
            (1, "Anna", "Schmidt", true),
            (27, "Klaus", "Weber", false),
            (31, "Maria", "Rossi", false),
        ];
        let users = users.map(|(id, name, last_name, admin)| {
            let user = User {
                id,
                name: name.to_owned(),
                last_name: last_name.to_owned(),
                admin,
                active: true,
            };
            (id, user)
        });
        let first_line = LineState {
            active: true,
            name: "Open Channel".to_owned(),
            queue: vec![("user".to_owned(), "1".to_owned())],
            settings: Vec::new(),
        };
        Self {
            plan_active: true,
            deleted: false,
            users: BTreeMap::from(users),
            apps: BTreeMap::new(),
            tokens: HashMap::new(),
            codes: HashMap::new(),
            lines: BTreeMap::from([(1, first_line)]),
            connectors: BTreeMap::new(),
            statuses: BTreeMap::new(),
            clients: HashMap::new(),
            chats: BTreeMap::new(),
            chats_by_code: HashMap::new(),
            chats_by_external_id: HashMap::new(),
            messages: HashMap::new(),
            messages_by_external_id: HashMap::new(),
            acknowledged: BTreeSet::new(),
            handlers: Vec::new(),
            placements: Vec::new(),
            senders: BTreeMap::new(),
            robots: BTreeMap::new(),
            steps: BTreeMap::new(),
            sms: BTreeMap::new(),
            phone_calls: BTreeMap::new(),
            leads: BTreeMap::new(),
            open_leads_by_phone: HashMap::new(),
            files: HashMap::new(),
            files_by_code: HashMap::new(),
            counters: Counters::default(),
            second: (0, 0),
            calls: VecDeque::new(),
            bucket: Bucket::default(),
            operating: OperatingTime::default(),
            undocumented: Vec::new(),
            secret_seen: false,
            next: Sequences {
                // Sparse on purpose: line numbers of an old portal have gaps.
                line: Sequence::new(107, 4),
                user: Sequence::new(585, 1),
                chat: Sequence::new(1767, 2),
                message: Sequence::new(86_497, 1),
                session: Sequence::new(323, 1),
                handler: Sequence::new(555, 2),
                file: Sequence::new(5_437, 1),
                lead: Sequence::new(1_209, 1),
            },
        }
    }

    /// Counts a request in its second.
    pub(crate) fn count_request(&mut self, now: u64) {
        self.counters.requests += 1;
        let second = now / 1000;
        if self.second.0 != second {
            self.second = (second, 0);
        }
        self.second.1 += 1;
        self.counters.requests_per_second_maximum =
            self.counters.requests_per_second_maximum.max(self.second.1);
    }

    /// Adds to the log of calls, dropping the oldest where it is full.
    pub(crate) fn log_call(&mut self, call: Call) {
        if self.calls.len() == CALLS_KEPT {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }

    /// Forgets everything an application put on the portal.
    pub(crate) fn remove_app(&mut self, client_id: &str) {
        self.apps.remove(client_id);
        self.handlers
            .retain(|handler| handler.client_id != client_id);
        self.placements
            .retain(|placement| placement.client_id != client_id);
        self.senders
            .retain(|_, sender| sender.client_id != client_id);
        self.robots.retain(|_, robot| robot.client_id != client_id);
        self.connectors
            .retain(|_, connector| connector.client_id != client_id);
        let connectors = &self.connectors;
        self.statuses
            .retain(|(connector, _), _| connectors.contains_key(connector));
    }

    /// The full name of an employee.
    pub(crate) fn user_name(&self, id: i64) -> String {
        self.users
            .get(&id)
            .map(|user| format!("{} {}", user.name, user.last_name))
            .unwrap_or_default()
    }

    /// The `USER_CODE` of a chat.
    pub(crate) fn user_code(&self, chat: &ChatState) -> String {
        format!(
            "{}|{}|{}|{}",
            chat.connector,
            chat.line,
            chat.external_id,
            self.code_user(chat)
        )
    }

    /// The user part of a chat's identity: 0 in a group.
    pub(crate) fn code_user(&self, chat: &ChatState) -> i64 {
        let group = self
            .connectors
            .get(&chat.connector)
            .is_some_and(|connector| connector.chat_group);
        if group {
            0
        } else {
            self.clients.get(&chat.client).map_or(0, |client| client.id)
        }
    }

    /// A message with what depends on the time: whether it has turned red.
    pub(crate) fn message_view(message: &Message, now: u64, period: u64) -> Message {
        Message {
            red: message.sending && !message.deleted && now.saturating_sub(message.at) >= period,
            ..message.clone()
        }
    }

    /// A chat as the operator sees it.
    pub(crate) fn chat_view(&self, chat: &ChatState, now: u64, period: u64) -> Chat {
        let client = self.clients.get(&chat.client);
        let messages = chat.messages.iter().filter_map(|id| self.messages.get(id));
        Chat {
            id: chat.id,
            external_chat_id: chat.external_id.clone(),
            line: chat.line,
            connector: chat.connector.clone(),
            title: chat.title.clone(),
            user_id: client.map_or(0, |client| client.id),
            external_user_id: chat.client.1.clone(),
            user_name: client.map(|client| client.name.clone()).unwrap_or_default(),
            user_phone: client.and_then(|client| client.phone.clone()),
            session_id: chat.session,
            session_open: chat.session_open,
            leads: chat.leads.clone(),
            messages: messages
                .map(|message| Self::message_view(message, now, period))
                .collect(),
        }
    }

    /// A line as the administrator sees it.
    pub(crate) fn line_view((id, line): (&i64, &LineState)) -> Line {
        let settings = line.settings.iter();
        Line {
            id: *id,
            name: line.name.clone(),
            active: line.active,
            queue: line
                .queue
                .iter()
                .map(|(kind, id)| format!("{kind}:{id}"))
                .collect(),
            settings: settings
                .map(|(key, value)| (key.clone(), plain(value)))
                .collect(),
        }
    }

    /// A connector as the administrator sees it.
    pub(crate) fn connector_view(
        &self,
        id: &str,
        connector: &ConnectorState,
        data_needed: bool,
    ) -> Connector {
        let statuses = self.statuses.iter().filter(|((of, _), _)| of == id);
        Connector {
            id: id.to_owned(),
            name: connector.name.clone(),
            client_id: connector.client_id.clone(),
            placement_handler: connector.placement_handler.clone(),
            need_signature: connector.need_signature,
            need_system_messages: connector.need_system_messages,
            edit_internal_messages: connector.edit_internal_messages,
            delete_internal_messages: connector.delete_internal_messages,
            newsletter: connector.newsletter,
            chat_group: connector.chat_group,
            lines: statuses
                .map(|((_, line), status)| ConnectorLine {
                    line: *line,
                    active: status.active,
                    ready: status.ready(data_needed),
                    data: status
                        .data
                        .iter()
                        .flat_map(Value::entries)
                        .map(|(key, value)| (key, plain(value)))
                        .collect(),
                })
                .collect(),
        }
    }

    /// Counts a message by who wrote it.
    pub(crate) fn count_message(&mut self, author: Author) {
        match author {
            Author::Customer => self.counters.customer_messages += 1,
            Author::Operator(_) => self.counters.operator_messages += 1,
            Author::System => self.counters.system_messages += 1,
        }
    }
}

/// A scalar as text, anything else as JSON.
fn plain(value: &Value) -> String {
    value.text().unwrap_or_else(|| value.to_json().to_string())
}
