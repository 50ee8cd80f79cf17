//! What is set up: sites, apps, accounts, numbers, portals, held in memory so that no door has to ask the database.
//!
//! The store is the truth. Whoever changes it calls [`Directory::refresh`] afterwards, with what was changed, or
//! [`Directory::reload`] where that is more than a part; readers take a snapshot and keep it for one piece of work.

pub mod meta;
mod ownership;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    calling::settings::Calling,
    seal::Sealer,
    secret::Secret,
    store::{self, Store},
    time::Millis,
    translate::{message::Language, template::HeaderKind},
};

/// A site: the host name under which this installation is reached. One site, one WABA application.
#[derive(Debug, Clone)]
pub struct Site {
    /// Our id.
    pub id: Uuid,
    /// Host, with the port where it is not 443; lower case.
    pub domain: String,
    /// The user it belongs to, with all that hangs from it; none: the administrators.
    pub owner: Option<Uuid>,
    /// When it was entered.
    pub created_at: Millis,
}

impl Site {
    /// Base address without a trailing slash. Loopback hosts speak plain HTTP, all others HTTPS.
    pub fn base_url(&self) -> String {
        base_url_of(&self.domain)
    }
}

/// Base address of a domain without a trailing slash; see [`Site::base_url`].
pub fn base_url_of(domain: &str) -> String {
    let scheme = if is_loopback(domain) { "http" } else { "https" };
    format!("{scheme}://{domain}")
}

/// Whether a host, with or without a port, is the machine itself.
pub fn is_loopback(domain: &str) -> bool {
    let host = match domain.rsplit_once(':') {
        // A port follows a name or a closed bracket; an address of colons has none.
        Some((host, _)) if !host.contains(':') || host.ends_with(']') => host,
        _ => domain,
    };
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// A Meta app.
#[derive(Debug, Clone)]
pub struct WabaApp {
    /// Our id.
    pub id: Uuid,
    /// The site it answers on.
    pub site_id: Uuid,
    /// Name given by the integrator.
    pub name: String,
    /// App ID.
    pub client_id: String,
    /// App secret; signs the webhooks.
    pub client_secret: Secret,
    /// Permanent or temporary access token, used by accounts that have none of their own.
    pub access_token: Option<Secret>,
    /// Facebook Login for Business configuration.
    pub config_id: Option<String>,
    /// Whether every callback is kept for debugging.
    pub events: bool,
    /// The token of the webhook handshake, made by us.
    pub verify_token: String,
    /// When it was entered.
    pub created_at: Millis,
}

/// A WhatsApp Business account.
#[derive(Debug, Clone)]
pub struct Account {
    /// Our id.
    pub id: Uuid,
    /// The app through which we reach it.
    pub app_id: Uuid,
    /// Meta's WABA id.
    pub waba_id: String,
    /// Access token of its own.
    pub access_token: Option<Secret>,
    /// Name.
    pub name: String,
    /// Whether our app is subscribed to it, as far as we know.
    pub subscribed: bool,
    /// When it was entered.
    pub created_at: Millis,
}

/// How far a number is connected to its portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// No portal.
    NotLinked,
    /// The publish routine has work to do.
    Pending,
    /// Read back from the portal: registered, active, configured.
    Connected,
    /// Something must be mended; the number's error says what.
    Error,
}

impl Connection {
    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotLinked => "not_linked",
            Self::Pending => "pending",
            Self::Connected => "connected",
            Self::Error => "error",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "pending" => Self::Pending,
            "connected" => Self::Connected,
            "error" => Self::Error,
            _ => Self::NotLinked,
        }
    }
}

/// What is wrong with a number, in Meta's or Bitrix24's words and ours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PhoneError {
    /// Error code as the other side gave it.
    pub code: String,
    /// Sub-code, where there is one.
    pub subcode: Option<String>,
    /// Short title.
    pub title: String,
    /// Details in the other side's words.
    pub details: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Address of the page that explains it.
    pub documentation: Option<String>,
}

/// A business phone number.
#[derive(Debug, Clone)]
pub struct Phone {
    /// Our id.
    pub id: Uuid,
    /// The account it belongs to.
    pub account_id: Uuid,
    /// Digits, country code first, no plus.
    pub phone: String,
    /// Meta's phone number id.
    pub phone_number_id: String,
    /// The portal it is linked to.
    pub instance_id: Option<Uuid>,
    /// Whether it is offered as an SMS provider.
    pub sms_service: bool,
    /// Whether automatic texts of the line (welcome, closing) go to the customer.
    pub automatic_texts: bool,
    /// `enabled` or `disabled`.
    pub calling: String,
    /// `enabled` or `disabled`.
    pub sip: String,
    /// Telephone server.
    pub sip_hostname: Option<String>,
    /// Its TLS port.
    pub sip_port: i64,
    /// How far it is connected.
    pub connection: Connection,
    /// Connector id on the portal.
    pub connector: Option<String>,
    /// Open line.
    pub line_id: Option<i64>,
    /// The line's name.
    pub line_name: Option<String>,
    /// An open line that somebody chose for it; without one it has a line of its own.
    pub chosen_line_id: Option<i64>,
    /// The portal whose administrators may link it themselves.
    pub offered_id: Option<Uuid>,
    /// What is wrong.
    pub error: Option<PhoneError>,
    /// Why nothing is sent to Meta for this number until somebody acts; `None` while all is well.
    pub paused: Option<String>,
    /// When it was entered.
    pub created_at: Millis,
}

/// How a number speaks to customers outside the 24 hours, and what it does with what Bitrix24 has it send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Messaging {
    /// Language of templates where a code names none and the portal's language does not decide.
    pub default_language: Option<String>,
    /// The template in whose body a text goes out that may not go by itself.
    pub wrapper: Option<TemplateRef>,
    /// What becomes of an operator's text outside the 24 hours.
    pub outside_window: OutsideWindow,
    /// Whether operators see in their chat what was sent as an SMS or by a robot.
    pub mirror: bool,
    /// By which of Meta's ways marketing templates go.
    pub marketing_route: MarketingRoute,
    /// Addresses of the files that stand at the top of a template where a message brings none along.
    pub files: DefaultFiles,
}

impl Messaging {
    /// The address of the file for a header of this kind.
    pub fn file(&self, kind: HeaderKind) -> Option<&str> {
        let file = match kind {
            HeaderKind::Image => &self.files.image,
            HeaderKind::Video | HeaderKind::Gif => &self.files.video,
            HeaderKind::Document => &self.files.document,
        };
        file.as_deref()
    }
}

/// Addresses of files, by the kind of header that they fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefaultFiles {
    /// JPEG or PNG.
    pub image: Option<String>,
    /// MP4 or 3GP; also where the video is shown as an endless loop.
    pub video: Option<String>,
    /// Any file.
    pub document: Option<String>,
}

/// By which of Meta's ways marketing templates go (Meta: Marketing Messages API for WhatsApp).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarketingRoute {
    /// As all messages, unless Meta says that the account has to use its own way for them (error 131063).
    Automatic,
    /// As all messages.
    Messages,
    /// By the Marketing Messages API; its terms have to be signed.
    MarketingMessages,
}

impl MarketingRoute {
    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Messages => "messages",
            Self::MarketingMessages => "marketing_messages",
        }
    }

    /// The way that is stored as `text`.
    pub fn parse(text: &str) -> Self {
        match text {
            "messages" => Self::Messages,
            "marketing_messages" => Self::MarketingMessages,
            _ => Self::Automatic,
        }
    }
}

/// A template that was chosen in the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateRef {
    /// Its name.
    pub name: String,
    /// Its language; found as for a code where none is given.
    pub language: Option<String>,
}

/// What becomes of an operator's text outside the 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutsideWindow {
    /// It waits, and the operator is told.
    Hold,
    /// The wrapper template is sent at once: with the text where it takes one value; else the text waits for the answer.
    Template,
}

impl OutsideWindow {
    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Template => "template",
        }
    }

    /// The choice that is stored as `text`.
    pub fn parse(text: &str) -> Self {
        if text == "template" {
            Self::Template
        } else {
            Self::Hold
        }
    }
}

/// What holds for a number for which nobody chose anything.
static USUAL_MESSAGING: Messaging = Messaging {
    default_language: None,
    wrapper: None,
    outside_window: OutsideWindow::Hold,
    mirror: true,
    marketing_route: MarketingRoute::Automatic,
    files: DefaultFiles {
        image: None,
        video: None,
        document: None,
    },
};

/// A Bitrix24 application.
#[derive(Debug, Clone)]
pub struct BitrixApp {
    /// Our id.
    pub id: Uuid,
    /// The site it answers on.
    pub site_id: Uuid,
    /// Name.
    pub name: String,
    /// Client id; none until it is entered, because Bitrix24 shows it only after the form with our addresses was saved.
    pub client_id: Option<String>,
    /// Client secret; may be entered after the installation.
    pub client_secret: Option<Secret>,
    /// When it was entered.
    pub created_at: Millis,
}

/// Whether an installed portal can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Installed and authorized.
    Active,
    /// Somebody must authorize or pay again; messages wait.
    NeedsAuthorization,
    /// The application was removed from the portal.
    Uninstalled,
}

impl InstanceState {
    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::NeedsAuthorization => "needs_authorization",
            Self::Uninstalled => "uninstalled",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "active" => Self::Active,
            "uninstalled" => Self::Uninstalled,
            _ => Self::NeedsAuthorization,
        }
    }
}

/// A portal on which one of our applications is installed.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Our id.
    pub id: Uuid,
    /// The application.
    pub app_id: Uuid,
    /// The portal's unchanging id.
    pub member_id: String,
    /// Host name; may change.
    pub domain: String,
    /// Base address of its REST methods.
    pub client_endpoint: String,
    /// Base address of its authorization server's REST methods.
    pub server_endpoint: String,
    /// Proof of origin of every event of this installation; none while it is not known, as after an authorization in
    /// the browser.
    pub application_token: Option<Secret>,
    /// Whether it can be used.
    pub state: InstanceState,
    /// What is wrong, in one sentence.
    pub problem: Option<String>,
    /// Language in which its operators are spoken to.
    pub language: Language,
    /// The portal's own language code, such as `de`.
    pub language_code: String,
    /// Scopes that were granted.
    pub scope: String,
    /// Whether connector, events and placements were bound since the last installation.
    pub prepared: bool,
    /// Whether the portal says that the installation is finished; before, it sends no events.
    pub installed: bool,
    /// Bitrix24's id of the employee whose tokens are used.
    pub installer_id: Option<i64>,
    /// That employee's name.
    pub installer_name: Option<String>,
    /// When the authorization server issued the tokens in use.
    pub refreshed_at: Millis,
    /// Calls a second that the portal allows.
    pub calls_per_second: f64,
    /// Calls at once that the portal allows.
    pub burst: i64,
    /// When it was installed.
    pub created_at: Millis,
}

/// Everything that is set up, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// Sites by id.
    pub sites: HashMap<Uuid, Site>,
    /// Meta apps by id.
    pub waba_apps: HashMap<Uuid, WabaApp>,
    /// WhatsApp Business accounts by id.
    pub accounts: HashMap<Uuid, Arc<Account>>,
    /// Numbers by id.
    pub phones: HashMap<Uuid, Arc<Phone>>,
    /// Bitrix24 applications by id.
    pub bitrix_apps: HashMap<Uuid, BitrixApp>,
    /// Portals by id.
    pub instances: HashMap<Uuid, Arc<Instance>>,
    /// What is kept about calls, by the number's id. Whole in every part of the registry: look up only numbers that are
    /// in the part.
    pub calling: Arc<HashMap<Uuid, Arc<Calling>>>,
    /// What Meta says about apps, accounts and numbers.
    pub meta: Arc<meta::MetaFacts>,
    messaging: HashMap<Uuid, Messaging>,
    phones_by_number_id: HashMap<Arc<str>, Uuid>,
    own_numbers: HashSet<Arc<str>>,
    phones_by_instance: HashMap<Uuid, Vec<Uuid>>,
    instances_by_member: HashMap<Arc<str>, Vec<Uuid>>,
    apps_by_domain: HashMap<String, Uuid>,
}

impl Registry {
    async fn load(store: &Store, sealer: &Sealer) -> Result<Self, store::Error> {
        let mut registry = Self {
            meta: Arc::new(store::meta::facts(store).await?),
            ..Self::default()
        };
        for site in store::setup::sites(store).await? {
            registry.sites.insert(site.id, site);
        }
        for app in store::setup::waba_apps(store, sealer).await? {
            registry.add_waba_app(app);
        }
        for account in store::setup::accounts(store, sealer, Part::All).await? {
            registry.add_account(account);
        }
        for phone in store::setup::phones(store, Part::All).await? {
            registry.add_phone(phone);
        }
        registry.calling = Arc::new(store::calling::all(store).await?);
        registry.messaging = store::messaging::all(store).await?.into_iter().collect();
        for app in store::setup::bitrix_apps(store, sealer).await? {
            registry.bitrix_apps.insert(app.id, app);
        }
        for instance in store::setup::instances(store, sealer, Part::All).await? {
            registry.add_instance(instance);
        }
        Ok(registry)
    }

    /// Adds a Meta app to all that it is found by; its site is there already.
    fn add_waba_app(&mut self, app: WabaApp) {
        if let Some(site) = self.sites.get(&app.site_id) {
            self.apps_by_domain.insert(site.domain.clone(), app.id);
        }
        self.waba_apps.insert(app.id, app);
    }

    fn add_account(&mut self, account: impl Into<Arc<Account>>) {
        let account = account.into();
        self.accounts.insert(account.id, account);
    }

    /// Adds a portal to all that it is found by.
    fn add_instance(&mut self, instance: impl Into<Arc<Instance>>) {
        let instance = instance.into();
        self.instances_by_member
            .entry(instance.member_id.as_str().into())
            .or_default()
            .push(instance.id);
        self.instances.insert(instance.id, instance);
    }

    fn remove_instance(&mut self, id: Uuid) {
        if let Some(instance) = self.instances.remove(&id)
            && let Some(of_member) = self
                .instances_by_member
                .get_mut(instance.member_id.as_str())
        {
            of_member.retain(|one| *one != id);
        }
    }

    /// Adds a number to all that it is found by.
    pub(crate) fn add_phone(&mut self, phone: impl Into<Arc<Phone>>) {
        let phone = phone.into();
        self.phones_by_number_id
            .insert(phone.phone_number_id.as_str().into(), phone.id);
        self.own_numbers.insert(phone.phone.as_str().into());
        if let Some(instance) = phone.instance_id {
            self.phones_by_instance
                .entry(instance)
                .or_default()
                .push(phone.id);
        }
        self.phones.insert(phone.id, phone);
    }

    fn remove_phone(&mut self, id: Uuid) {
        let Some(phone) = self.phones.remove(&id) else {
            return;
        };
        self.phones_by_number_id
            .remove(phone.phone_number_id.as_str());
        self.own_numbers.remove(phone.phone.as_str());
        if let Some(instance) = phone.instance_id
            && let Some(of_instance) = self.phones_by_instance.get_mut(&instance)
        {
            of_instance.retain(|one| *one != id);
        }
    }

    /// Takes a part as it is in the store now.
    fn replace(&mut self, part: Part, read: Read) {
        let phones: Vec<Uuid> = match part {
            Part::Phone(id) => vec![id],
            Part::Instance(id) => {
                self.remove_instance(id);
                self.phones_of(id).map(|phone| phone.id).collect()
            }
            Part::Account(id) => {
                self.accounts.remove(&id);
                let of_account = self.phones.values();
                of_account
                    .filter(|phone| phone.account_id == id)
                    .map(|phone| phone.id)
                    .collect()
            }
            Part::All => self.phones.keys().copied().collect(),
        };
        let found = read.phones.iter().map(|phone| phone.id);
        for phone in phones.into_iter().chain(found) {
            self.remove_phone(phone);
        }
        for account in read.accounts {
            self.add_account(account);
        }
        for instance in read.instances {
            self.add_instance(instance);
        }
        for phone in read.phones {
            self.add_phone(phone);
        }
        if let Some((phone, calling)) = read.calling {
            Arc::make_mut(&mut self.calling).insert(phone, Arc::new(calling));
        }
    }

    /// The Meta app that answers on this host (`Host` header, lower case, with port).
    pub fn waba_app_on(&self, domain: &str) -> Option<&WabaApp> {
        self.waba_apps.get(self.apps_by_domain.get(domain)?)
    }

    /// The site of this host.
    pub fn site_on(&self, domain: &str) -> Option<&Site> {
        self.sites.values().find(|site| site.domain == domain)
    }

    /// The number with Meta's phone number id.
    pub fn phone_by_number_id(&self, phone_number_id: &str) -> Option<&Phone> {
        let phone = self.phones_by_number_id.get(phone_number_id)?;
        self.phones.get(phone).map(Arc::as_ref)
    }

    /// The numbers linked to a portal.
    pub fn phones_of(&self, instance: Uuid) -> impl Iterator<Item = &Phone> {
        self.phones_by_instance
            .get(&instance)
            .into_iter()
            .flatten()
            .filter_map(|id| self.phones.get(id).map(Arc::as_ref))
    }

    /// The installations on a portal, one for each application.
    pub fn instances_of(&self, member_id: &str) -> impl Iterator<Item = &Instance> {
        self.instances_by_member
            .get(member_id)
            .into_iter()
            .flatten()
            .filter_map(|id| self.instances.get(id).map(Arc::as_ref))
    }

    /// The account and the app of a number.
    pub fn app_of(&self, phone: &Phone) -> Option<(&Account, &WabaApp)> {
        let account = self.accounts.get(&phone.account_id)?;
        Some((account, self.waba_apps.get(&account.app_id)?))
    }

    /// The portal that a number is linked to.
    pub fn instance_of(&self, phone: &Phone) -> Option<&Instance> {
        self.instances.get(&phone.instance_id?).map(Arc::as_ref)
    }

    /// How a number speaks outside the 24 hours.
    pub fn messaging_of(&self, phone: Uuid) -> &Messaging {
        self.messaging.get(&phone).unwrap_or(&USUAL_MESSAGING)
    }

    /// The number behind a portal's connector and line.
    pub fn phone_on_line(&self, instance: Uuid, connector: &str, line: i64) -> Option<&Phone> {
        self.phones_of(instance).find(|phone| {
            phone.line_id == Some(line)
                && phone
                    .connector
                    .as_deref()
                    .is_some_and(|own| own.eq_ignore_ascii_case(connector))
        })
    }

    /// Whether these digits are one of our own business numbers; such a number is never a customer.
    pub fn is_own_number(&self, digits: &str) -> bool {
        self.own_numbers.contains(digits)
    }

    /// The access token for a number's account.
    pub fn token_of<'a>(account: &'a Account, app: &'a WabaApp) -> Option<&'a Secret> {
        account.access_token.as_ref().or(app.access_token.as_ref())
    }
}

/// What was changed about the set-up: what else it touches is read with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// An account, with its numbers.
    Account(Uuid),
    /// A number.
    Phone(Uuid),
    /// A portal, with its numbers.
    Instance(Uuid),
    /// Everything: sites and applications are few, and much hangs from them.
    All,
}

/// A part as it was read.
struct Read {
    accounts: Vec<Account>,
    phones: Vec<Phone>,
    instances: Vec<Instance>,
    calling: Option<(Uuid, Calling)>,
}

/// The registry as it changes.
#[derive(Debug)]
pub struct Directory {
    current: RwLock<Arc<Registry>>,
    changed: watch::Sender<u64>,
    loading: tokio::sync::Mutex<()>,
}

impl Directory {
    /// Loads what is set up.
    pub async fn load(store: &Store, sealer: &Sealer) -> Result<Self, store::Error> {
        Ok(Self {
            current: RwLock::new(Arc::new(Registry::load(store, sealer).await?)),
            changed: watch::Sender::new(0),
            loading: tokio::sync::Mutex::new(()),
        })
    }

    /// The set-up at this moment.
    pub fn snapshot(&self) -> Arc<Registry> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the set-up anew after a change.
    pub async fn reload(&self, store: &Store, sealer: &Sealer) -> Result<(), store::Error> {
        // One at a time, so that an older reading never replaces a newer one.
        let _turn = self.loading.lock().await;
        let registry = Arc::new(Registry::load(store, sealer).await?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = registry;
        self.changed.send_modify(|version| *version += 1);
        Ok(())
    }

    /// Reads a part of the set-up anew after a change to it: a change costs what it changes, however much is set up.
    pub async fn refresh(
        &self,
        store: &Store,
        sealer: &Sealer,
        part: Part,
    ) -> Result<(), store::Error> {
        if part == Part::All {
            return self.reload(store, sealer).await;
        }
        // As above.
        let _turn = self.loading.lock().await;
        let calling = match part {
            Part::Phone(id) => store::calling::one(store, id)
                .await?
                .map(|calling| (id, calling)),
            _ => None,
        };
        let read = Read {
            calling,
            accounts: store::setup::accounts(store, sealer, part).await?,
            phones: store::setup::phones(store, part).await?,
            instances: store::setup::instances(store, sealer, part).await?,
        };
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Whoever holds a snapshot keeps it as it is.
        Arc::make_mut(&mut *current).replace(part, read);
        drop(current);
        self.changed.send_modify(|version| *version += 1);
        Ok(())
    }

    /// Reads anew what Meta says about it.
    pub async fn refresh_meta(&self, store: &Store) -> Result<(), store::Error> {
        // As above.
        let _turn = self.loading.lock().await;
        let facts = Arc::new(store::meta::facts(store).await?);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut *current).meta = facts;
        drop(current);
        self.changed.send_modify(|version| *version += 1);
        Ok(())
    }

    /// Told of every change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// Turns stored text into a connection; see [`store::setup`].
pub(crate) fn connection(text: &str) -> Connection {
    Connection::parse(text)
}

/// Turns stored text into an instance's state; see [`store::setup`].
pub(crate) fn instance_state(text: &str) -> InstanceState {
    InstanceState::parse(text)
}
