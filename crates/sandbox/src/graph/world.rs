//! What the stand-in knows: applications, tokens, accounts, numbers, people, messages and files, as plain data.

use super::{
    Counters, Customer, Media, Received, Request,
    ailments::Said,
    calls::OpenCall,
    clock::{Clock, Mixer, mix},
    escape,
    templates::Template,
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};
use url::Url;

/// How long a customer's message lets the business answer freely.
pub(super) const WINDOW: i64 = 24 * 60 * 60 * 1000;
/// How long the id of an uploaded file is known (30 days), and of one that a customer sent (7 days).
const UPLOAD_LIFETIME: i64 = 30 * WINDOW;
const INBOUND_LIFETIME: i64 = 7 * WINDOW;
/// Entries kept of the log of webhooks.
const LOG_LIMIT: usize = 200;

/// What whoever sends and receives messages needs. Source: Meta: permissions.
pub(super) const SCOPES: [&str; 2] = [
    "whatsapp_business_management",
    "whatsapp_business_messaging",
];

pub(super) struct App {
    pub(super) id: Arc<str>,
    pub(super) name: String,
    pub(super) secret: String,
    pub(super) verify_token: String,
    pub(super) callback: Option<Url>,
    /// The fields of its callbacks; `None` is every field.
    pub(super) fields: Option<BTreeSet<String>>,
    /// In Live mode; in Development mode nothing real is delivered, and only people with a role log in.
    pub(super) live: bool,
    /// "Valid OAuth Redirect URIs"; `None` takes every address.
    pub(super) redirect_uris: Option<Vec<String>>,
}

#[derive(Clone)]
pub(super) struct Token {
    pub(super) app_id: Arc<str>,
    /// `SYSTEM_USER` or `USER`.
    pub(super) kind: String,
    pub(super) scopes: BTreeSet<String>,
    /// The accounts it sees; `None` is every account.
    pub(super) accounts: Option<BTreeSet<String>>,
    /// Whether its granular scopes name the accounts.
    pub(super) names_accounts: bool,
    /// Milliseconds of Unix time.
    pub(super) expires_at: Option<i64>,
    pub(super) revoked: bool,
}

impl Token {
    /// A token of a system user that may do everything and does not expire.
    pub(super) fn new(app_id: Arc<str>) -> Self {
        Self {
            app_id,
            kind: "SYSTEM_USER".to_owned(),
            scopes: SCOPES.map(str::to_owned).into(),
            accounts: None,
            names_accounts: true,
            expires_at: None,
            revoked: false,
        }
    }
}

pub(super) struct Code {
    pub(super) app_id: Arc<str>,
    pub(super) redirect_uri: Option<String>,
    pub(super) used: bool,
    /// What it is exchanged for.
    pub(super) token: Token,
}

/// A callback that takes the place of the application's.
#[derive(Clone)]
pub(super) struct Override {
    pub(super) callback: Url,
}

/// A resumable upload. Source: Meta: resumable upload API.
pub(super) struct Session {
    pub(super) app_id: Arc<str>,
    pub(super) length: u64,
    pub(super) kind: String,
    /// What it became when all bytes had come.
    pub(super) handle: Option<String>,
}

pub(super) struct Account {
    pub(super) id: Arc<str>,
    pub(super) name: String,
    pub(super) subscribed: BTreeMap<Arc<str>, Option<Override>>,
    pub(super) templates: Vec<Template>,
    /// Names of deleted templates; they cannot be used for 30 days.
    pub(super) gone: BTreeSet<String>,
    /// Whether marketing templates are taken by `/marketing_messages` only.
    pub(super) marketing_elsewhere: bool,
}

pub(super) struct Number {
    pub(super) id: Arc<str>,
    pub(super) account: Arc<str>,
    pub(super) digits: Arc<str>,
    pub(super) name: String,
    pub(super) registered: bool,
    pub(super) pin: Option<String>,
    /// When it was tried to register it, milliseconds of Unix time.
    pub(super) tries: Vec<i64>,
    /// Used with the phone app as well.
    pub(super) on_phone_app: bool,
    pub(super) calling: super::calling::Calling,
    pub(super) profile: Value,
    pub(super) callback: Option<Override>,
    pub(super) pace: Bucket,
}

/// A leaky bucket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    used: f64,
    at: i64,
}

impl Bucket {
    /// Takes one of `size` places, of which one is freed every `milliseconds`.
    pub(super) fn take(&mut self, now: i64, milliseconds: f64, size: f64) -> bool {
        let freed = (now - self.at).max(0) as f64 / milliseconds;
        self.used = (self.used - freed).max(0.0);
        self.at = now;
        if self.used + 1.0 > size {
            return false;
        }
        self.used += 1.0;
        true
    }
}

#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) phone: Option<String>,
    pub(super) user_id: String,
    pub(super) name: String,
    pub(super) username: Option<String>,
    /// When a person at the page or a test introduced this customer, which opens the window.
    pub(super) introduced_at: Option<i64>,
}

#[derive(Default)]
pub(super) struct Thread {
    /// All messages in the order in which they came about.
    pub(super) messages: Vec<usize>,
    /// What reached the customer, in the order of its arrival.
    pub(super) received: Vec<usize>,
    pub(super) last_inbound: Option<i64>,
    pub(super) typing_until: i64,
    /// Whether the customer stopped marketing messages of this number.
    pub(super) marketing_stopped: bool,
    pub(super) pace: Bucket,
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The customer, to the business.
    FromCustomer,
    /// The business, to the customer.
    ToCustomer,
}

/// How far a message has come, in the order of rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Taken, and nothing more is known.
    Accepted,
    /// Sent.
    Sent,
    /// On the customer's phone; for the customer's own messages: the webhook was answered with 200.
    Delivered,
    /// Read.
    Read,
    /// A voice note was listened to.
    Played,
    /// Will not arrive.
    Failed,
}

impl Progress {
    /// Meta's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
        }
    }
}

pub(super) struct Message {
    pub(super) wamid: Arc<str>,
    pub(super) number: Arc<str>,
    pub(super) person: usize,
    pub(super) direction: Direction,
    pub(super) at: i64,
    pub(super) body: Value,
    pub(super) progress: Progress,
    pub(super) error: Option<(u32, String)>,
    /// The file, where there is one.
    pub(super) media: Option<Arc<str>>,
    /// What Meta would put into `pricing.category`.
    pub(super) category: String,
    /// How many webhooks about it were answered with 200.
    pub(super) reported: u32,
}

impl Message {
    pub(super) fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or("text")
    }
}

#[derive(Clone)]
pub(super) struct File {
    pub(super) bytes: Bytes,
    pub(super) mime_type: String,
    pub(super) filename: Option<String>,
    /// The number it belongs to; `None` for what a customer sent before it was written in a message.
    pub(super) number: Option<Arc<str>>,
    pub(super) sha256: Arc<[u8]>,
    /// Milliseconds of Unix time after which the id is no longer known.
    pub(super) expires_at: i64,
}

pub(super) struct LogEntry {
    pub(super) at: i64,
    pub(super) about: String,
    pub(super) status: Option<u16>,
    pub(super) attempt: u32,
}

/// The whole state. Read it inside [`Graph::wait_until`](super::Graph::wait_until).
pub struct World {
    pub(super) clock: Clock,
    pub(super) mixer: Mixer,
    pub(super) apps: BTreeMap<Arc<str>, App>,
    pub(super) tokens: BTreeMap<String, Token>,
    pub(super) codes: BTreeMap<String, Code>,
    pub(super) accounts: BTreeMap<Arc<str>, Account>,
    pub(super) numbers: BTreeMap<Arc<str>, Number>,
    pub(super) persons: Vec<Person>,
    by_user_id: HashMap<String, usize>,
    by_phone: HashMap<String, usize>,
    pub(super) threads: HashMap<Arc<str>, BTreeMap<usize, Thread>>,
    pub(super) messages: Vec<Message>,
    by_wamid: HashMap<Arc<str>, usize>,
    pub(super) files: HashMap<Arc<str>, File>,
    /// Resumable uploads by their session's id.
    pub(super) uploads: HashMap<String, Session>,
    pub(super) requests: VecDeque<Request>,
    pub(super) log: VecDeque<LogEntry>,
    pub(super) counters: Counters,
    /// Calls that go on, by id.
    pub(super) calls: HashMap<String, OpenCall>,
    pub(super) links: Vec<(String, String)>,
    /// What is told of objects in place of what is known of them.
    pub(super) said: Said,
    pub(super) first_app: Arc<str>,
    pub(super) first_account: Arc<str>,
}

impl World {
    pub(super) fn new(clock: Clock, seed: u64, first_app: &str, first_account: &str) -> Self {
        Self {
            clock,
            mixer: Mixer::new(seed),
            apps: BTreeMap::new(),
            tokens: BTreeMap::new(),
            codes: BTreeMap::new(),
            accounts: BTreeMap::new(),
            numbers: BTreeMap::new(),
            persons: Vec::new(),
            by_user_id: HashMap::new(),
            by_phone: HashMap::new(),
            threads: HashMap::new(),
            messages: Vec::new(),
            by_wamid: HashMap::new(),
            files: HashMap::new(),
            uploads: HashMap::new(),
            requests: VecDeque::new(),
            log: VecDeque::new(),
            counters: Counters::default(),
            calls: HashMap::new(),
            links: Vec::new(),
            said: Said::new(),
            first_app: first_app.into(),
            first_account: first_account.into(),
        }
    }

    /// What this customer (digits or user id) got from this number, in the order of its arrival.
    pub fn received(&self, phone_number_id: &str, customer: &str) -> Vec<Received> {
        self.thread(phone_number_id, customer)
            .map(|thread| {
                thread
                    .received
                    .iter()
                    .map(|&index| self.as_received(index))
                    .collect()
            })
            .unwrap_or_default()
    }

    /// How many messages this customer (digits or user id) got from this number.
    pub fn received_count(&self, phone_number_id: &str, customer: &str) -> usize {
        self.thread(phone_number_id, customer)
            .map_or(0, |thread| thread.received.len())
    }

    /// How far a message has come, either way.
    pub fn progress(&self, wamid: &str) -> Option<Progress> {
        self.message(wamid).map(|message| message.progress)
    }

    /// The code and details with which a message failed.
    pub fn failure(&self, wamid: &str) -> Option<(u32, String)> {
        self.message(wamid)?.error.clone()
    }

    /// How many webhooks about this message were answered with 200.
    pub fn reported(&self, wamid: &str) -> u32 {
        self.message(wamid).map_or(0, |message| message.reported)
    }

    /// The calls made to the Graph API, oldest first.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter()
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn message(&self, wamid: &str) -> Option<&Message> {
        self.messages.get(*self.by_wamid.get(wamid)?)
    }

    pub(super) fn message_index(&self, wamid: &str) -> Option<usize> {
        self.by_wamid.get(wamid).copied()
    }

    pub(super) fn thread(&self, phone_number_id: &str, customer: &str) -> Option<&Thread> {
        self.threads
            .get(phone_number_id)?
            .get(&self.find(customer)?)
    }

    pub(super) fn thread_mut(&mut self, number: &Arc<str>, person: usize) -> &mut Thread {
        if !self.threads.contains_key(number) {
            self.threads.insert(Arc::clone(number), BTreeMap::new());
        }
        self.threads
            .entry(Arc::clone(number))
            .or_default()
            .entry(person)
            .or_default()
    }

    fn as_received(&self, index: usize) -> Received {
        let message = &self.messages[index];
        Received {
            wamid: message.wamid.to_string(),
            at: message.at,
            body: message.body.clone(),
            media: message
                .media
                .as_ref()
                .and_then(|id| self.files.get(id))
                .map(|file| Media {
                    bytes: file.bytes.clone(),
                    mime_type: file.mime_type.clone(),
                    filename: file.filename.clone(),
                }),
        }
    }

    pub(super) fn add_message(&mut self, message: Message) -> usize {
        let index = self.messages.len();
        self.by_wamid.insert(Arc::clone(&message.wamid), index);
        let number = Arc::clone(&message.number);
        self.thread_mut(&number, message.person)
            .messages
            .push(index);
        self.messages.push(message);
        index
    }

    /// Finds a person by digits (in any of the known spellings of a number) or user id.
    pub(super) fn find(&self, customer: &str) -> Option<usize> {
        self.by_user_id
            .get(customer)
            .or_else(|| self.by_phone.get(&canonical(customer)))
            .copied()
    }

    /// Finds a person by user id, then by phone, and completes what is known; makes a new one otherwise.
    pub(super) fn meet(&mut self, customer: &Customer) -> usize {
        let by_id = customer
            .user_id
            .as_ref()
            .and_then(|id| self.by_user_id.get(id));
        let by_phone = customer
            .phone
            .as_ref()
            .and_then(|phone| self.by_phone.get(&canonical(phone)));
        let index = by_id.or(by_phone).copied().unwrap_or_else(|| {
            self.persons.push(Person {
                phone: None,
                user_id: customer
                    .user_id
                    .clone()
                    .unwrap_or_else(|| made_up_user_id(customer)),
                name: String::new(),
                username: None,
                introduced_at: None,
            });
            self.persons.len() - 1
        });
        let person = &mut self.persons[index];
        if let Some(phone) = &customer.phone {
            person.phone = Some(phone.clone());
            self.by_phone.insert(canonical(phone), index);
        }
        if let Some(user_id) = &customer.user_id {
            person.user_id.clone_from(user_id);
        }
        self.by_user_id.insert(person.user_id.clone(), index);
        if !customer.name.is_empty() {
            person.name.clone_from(&customer.name);
        }
        if customer.username.is_some() {
            person.username.clone_from(&customer.username);
        }
        index
    }

    /// The person takes another number and, as Meta does it, another user id.
    pub(super) fn change_number(&mut self, person: usize, phone: &str) {
        let user_id = made_up_user_id(&Customer::with_phone(phone));
        self.by_phone.insert(canonical(phone), person);
        self.by_user_id.insert(user_id.clone(), person);
        let person = &mut self.persons[person];
        if let Some(old) = person.phone.replace(phone.to_owned()) {
            self.by_phone.remove(&canonical(&old));
        }
        self.by_user_id
            .remove(&std::mem::replace(&mut person.user_id, user_id));
    }

    /// Whether the business may write freely to the person.
    pub(super) fn window_is_open(&self, number: &str, person: usize) -> bool {
        let since = self
            .threads
            .get(number)
            .and_then(|threads| threads.get(&person))
            .and_then(|thread| thread.last_inbound)
            .max(self.persons[person].introduced_at);
        since.is_some_and(|since| self.clock.now() - since < WINDOW)
    }

    /// Whether the person was never introduced and never wrote.
    pub(super) fn is_stranger(&self, person: usize) -> bool {
        self.persons[person].introduced_at.is_none()
            && self
                .threads
                .values()
                .filter_map(|threads| threads.get(&person))
                .all(|thread| thread.last_inbound.is_none())
    }

    /// A new message id. About every second one ends in `=`, some hold `+`, none holds `/`.
    pub(super) fn new_wamid(&self, digits: &str, outbound: bool) -> Arc<str> {
        use base64::Engine as _;
        loop {
            let number = self.mixer.next();
            let mut bytes = vec![0x1d, 0x18, digits.len() as u8];
            bytes.extend_from_slice(digits.as_bytes());
            bytes.extend_from_slice(&[0x15, 0x02, 0x00, if outbound { 0x11 } else { 0x12 }, 0x18]);
            bytes.extend_from_slice(&number.to_be_bytes());
            bytes.resize(bytes.len() + (number % 3) as usize, 0);
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            if !text.contains('/') {
                return format!("wamid.{text}").into();
            }
        }
    }

    /// A new numeric id of fifteen digits, as media and templates have.
    pub(super) fn new_id(&self) -> Arc<str> {
        format!("77{:013}", self.mixer.next() % 10_000_000_000_000).into()
    }

    /// A new text of letters and digits for codes, tokens and traces.
    pub(super) fn new_secret(&self) -> String {
        format!("{:016x}{:016x}", self.mixer.next(), self.mixer.next())
    }

    pub(super) fn store_file(
        &mut self,
        bytes: Bytes,
        mime_type: &str,
        filename: Option<String>,
        number: Option<Arc<str>>,
    ) -> Arc<str> {
        use sha2::Digest as _;
        let id = self.new_id();
        let sha256 = sha2::Sha256::digest(&bytes);
        let lifetime = if number.is_some() {
            UPLOAD_LIFETIME
        } else {
            INBOUND_LIFETIME
        };
        self.files.insert(
            Arc::clone(&id),
            File {
                bytes,
                mime_type: mime_type.to_owned(),
                filename,
                number,
                sha256: sha256.as_slice().into(),
                expires_at: self.clock.now() + lifetime,
            },
        );
        id
    }

    pub(super) fn note_webhook(&mut self, about: String, status: Option<u16>, attempt: u32) {
        if self.log.len() == LOG_LIMIT {
            self.log.pop_front();
        }
        let at = self.clock.now();
        self.log.push_back(LogEntry {
            at,
            about,
            status,
            attempt,
        });
    }

    pub(super) fn person_json(&self, index: usize) -> Value {
        let person = &self.persons[index];
        json!({
            "id": person.user_id,
            "phone": person.phone,
            "user_id": person.user_id,
            "name": person.name,
            "username": person.username,
        })
    }
}

/// A made-up user id: always the same for the same phone, and of the shape `CC.letters`.
fn made_up_user_id(customer: &Customer) -> String {
    let seed = customer
        .phone
        .as_deref()
        .or(customer.username.as_deref())
        .unwrap_or(&customer.name);
    let number = seed.bytes().fold(0x5350_u64, |number, byte| {
        mix(number ^ u64::from(byte)).wrapping_add(1)
    });
    let country = match seed {
        digits if digits.starts_with("49") => "DE",
        digits if digits.starts_with("55") => "BR",
        digits if digits.starts_with('7') => "RU",
        digits if digits.starts_with('1') => "US",
        _ => "DE",
    };
    format!("{country}.{}", escape::hex(&number.to_be_bytes()))
}

/// One spelling for numbers that WhatsApp knows in two: Brazil's ninth digit, Mexico's 1, Argentina's 9.
pub(super) fn canonical(phone: &str) -> String {
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    match digits.as_str() {
        brazil if brazil.len() == 13 && brazil.starts_with("55") && &brazil[4..5] == "9" => {
            format!("{}{}", &brazil[..4], &brazil[5..])
        }
        mexico if mexico.len() == 13 && mexico.starts_with("521") => format!("52{}", &mexico[3..]),
        argentina if argentina.len() == 13 && argentina.starts_with("549") => {
            format!("54{}", &argentina[3..])
        }
        _ => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        World::new(Clock::standing_at(0), 7, "app", "account")
    }

    #[test]
    fn both_spellings_of_a_number_are_one_person() {
        let mut world = world();
        for (short, long) in [
            ("551187654321", "5511987654321"),
            ("525512345678", "5215512345678"),
            ("541123456789", "5491123456789"),
        ] {
            let person = world.meet(&Customer::with_phone(short));
            assert_eq!(world.find(long), Some(person));
        }
    }

    #[test]
    fn a_hidden_customer_who_shows_the_phone_stays_one_person() {
        let mut world = world();
        let hidden = Customer {
            user_id: Some("DE.a".into()),
            name: "Lena".into(),
            ..Customer::default()
        };
        let person = world.meet(&hidden);
        let shown = Customer {
            phone: Some("4915755509876".into()),
            ..hidden
        };
        assert_eq!(world.meet(&shown), person);
        assert_eq!(world.find("4915755509876"), Some(person));
    }

    #[test]
    fn message_ids_differ_and_come_with_and_without_padding() {
        let world = world();
        let ids: BTreeSet<Arc<str>> = (0..300)
            .map(|_| world.new_wamid("4915755509876", true))
            .collect();
        assert_eq!(ids.len(), 300);
        assert!(ids.iter().any(|id| id.ends_with('=')));
        assert!(ids.iter().any(|id| !id.contains('=')));
        assert!(ids.iter().any(|id| id.contains('+')));
        assert!(!ids.iter().any(|id| id.contains('/')));
    }

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_the_rate() {
        let mut bucket = Bucket::default();
        let passed = (0..60).filter(|_| bucket.take(1000, 6000.0, 45.0)).count();
        assert_eq!(passed, 45);
        assert!(!bucket.take(6000, 6000.0, 45.0));
        assert!(bucket.take(7001, 6000.0, 45.0));
        assert!(!bucket.take(7002, 6000.0, 45.0));
    }
}
