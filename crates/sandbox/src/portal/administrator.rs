//! What administrators do: install applications and show their pages, disconnect, uninstall, rename, hand out SMS.

use std::io;

use tokio::net::TcpListener;
use url::Url;

use super::{
    Handler, Placement, Portal, Refusal,
    events::{FORM, Happening, TOKEN_LIFETIME, post},
    oauth::{Family, Pair},
    php::{EMPTY, Value, map},
    serve,
    state::{App, ConnectorState, LineState, State, Status},
    view,
};

/// The permissions the product asks for.
const SCOPES: &str = "imconnector,imopenlines,im,messageservice,crm,placement,contact_center,bizproc,telephony,disk,user";
/// The administrator.
const ADMINISTRATOR: i64 = 1;

/// A local application as an administrator enters it in the developer's section.
#[derive(Clone, PartialEq, Eq)]
pub struct LocalApp {
    /// `local.…`
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// "Path for initial installation"; may be empty.
    pub install_url: String,
    /// "Handler path".
    pub handler_url: String,
    /// Not "uses API only": it is installed by a page that has to say when it is done.
    pub with_interface: bool,
    /// The permissions granted, separated by commas.
    pub scope: String,
    /// Who installs it: user 1 is an administrator, users 27 and 31 are not.
    pub installer: i64,
}

impl LocalApp {
    /// An application that uses the API only, with every permission, installed by the administrator.
    pub fn api_only(client_id: &str, client_secret: &str, install_url: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            install_url: install_url.to_owned(),
            handler_url: install_url.to_owned(),
            with_interface: false,
            scope: SCOPES.to_owned(),
            installer: ADMINISTRATOR,
        }
    }

    /// An application with pages, with every permission, installed by the administrator.
    pub fn with_pages(
        client_id: &str,
        client_secret: &str,
        install_url: &str,
        handler_url: &str,
    ) -> Self {
        Self {
            handler_url: handler_url.to_owned(),
            with_interface: true,
            ..Self::api_only(client_id, client_secret, install_url)
        }
    }
}

impl std::fmt::Debug for LocalApp {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LocalApp")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// What came of saving an application's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The constant secret of this application on this portal.
    pub application_token: String,
    /// The status the installation address answered; nothing where it did not.
    pub status: Option<u16>,
    /// The installation page, of an application with pages.
    pub page: Option<PageAnswer>,
}

/// A page of the application as shown in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The page.
    pub body: String,
    /// Where it redirects to.
    pub location: Option<String>,
    /// Its `Content-Security-Policy`.
    pub policy: Option<String>,
    /// Whether it sets a cookie, which a browser would not keep in a frame.
    pub sets_cookie: bool,
}

/// Which part of the portal sends an SMS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sender {
    /// A card of CRM.
    Crm,
    /// A robot or workflow.
    Workflow,
}

/// An SMS to hand to a provider (Bitrix24: messageservice, handler).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sms {
    /// The provider's code.
    pub code: String,
    /// The receiver as CRM holds it, in any notation.
    pub to: String,
    /// The text.
    pub text: String,
    /// What sends it.
    pub sender: Sender,
    /// Whose token comes along; nobody's, and no `auth` at all, for automation.
    pub author: Option<i64>,
}

impl Portal {
    /// Saves a local application's form. Without an interface its installation address gets `ONAPPINSTALL`, once; with
    /// one, it gets the form post of the installation page, and events wait for [`Portal::finish_installation`].
    pub async fn save_local_app(&self, app: LocalApp) -> Installation {
        let application_token = self.enter_local_app(app.clone());
        if !app.with_interface {
            return Installation {
                application_token,
                status: self.post_installation(&app.client_id).await,
                page: None,
            };
        }
        let page = self
            .open_page(
                &app.client_id,
                &app.install_url,
                "DEFAULT",
                None,
                app.installer,
            )
            .await
            .ok();
        Installation {
            application_token,
            status: page.as_ref().map(|page| page.status),
            page,
        }
    }

    /// Saves a local application's form without telling anybody, as with an interface whose page nobody has opened yet;
    /// its application token.
    pub fn enter_local_app(&self, app: LocalApp) -> String {
        let application_token = self.secret();
        let scope = app
            .scope
            .split([',', ' '])
            .filter(|scope| !scope.is_empty())
            .map(str::to_owned)
            .collect();
        let saved = App {
            installed: !app.with_interface || app.install_url.is_empty(),
            client_id: app.client_id.clone(),
            client_secret: app.client_secret,
            application_token: application_token.clone(),
            with_pages: app.with_interface,
            scope,
            installer: app.installer,
            install_url: app.install_url,
            handler_url: app.handler_url,
            version: 1,
            refresh_tokens: Vec::new(),
            event_tokens: std::collections::HashMap::new(),
        };
        self.lock().apps.insert(app.client_id, saved);
        self.changed(None);
        application_token
    }

    /// Posts `ONAPPINSTALL` with a fresh pair of tokens to the installation address again; the status of the answer.
    pub async fn post_installation(&self, client_id: &str) -> Option<u16> {
        let (url, body) = {
            let mut state = self.lock();
            let app = state.apps.get(client_id)?;
            let (url, installer) = (Url::parse(&app.install_url).ok()?, app.installer);
            let data = map([
                ("VERSION", app.version.into()),
                ("ACTIVE", "Y".into()),
                ("INSTALLED", if app.installed { "Y" } else { "N" }.into()),
                ("LANGUAGE_ID", self.behaviour().language.into()),
            ]);
            let pair = self.new_pair(&mut state, client_id, installer, Family::Installation);
            (
                url,
                self.body_with_pair(&state, client_id, "ONAPPINSTALL", data, &pair),
            )
        };
        post(&self.world, &url, FORM, body.as_bytes()).await
    }

    /// The body of an event that carries a refresh token: installing and updating only.
    fn body_with_pair(
        &self,
        state: &State,
        client_id: &str,
        event: &str,
        data: Value,
        pair: &Pair,
    ) -> String {
        let Some(app) = state.apps.get(client_id) else {
            return String::new();
        };
        let mut auth = map([
            ("access_token", pair.access.as_str().into()),
            ("expires", pair.expires.into()),
            ("expires_in", TOKEN_LIFETIME.into()),
            ("scope", app.scope.join(",").into()),
            ("status", "L".into()),
            ("user_id", pair.user.into()),
            ("refresh_token", pair.refresh.as_str().into()),
        ]);
        for (key, value) in self.origin(app).entries() {
            auth.set(&key, value.clone());
        }
        map([
            ("event", event.into()),
            ("data", data),
            ("ts", self.world.clock.seconds().into()),
            ("auth", auth),
        ])
        .to_form()
    }

    /// What the installation page says with `BX24.installFinish()`.
    pub fn finish_installation(&self, client_id: &str) -> Result<(), Refusal> {
        let mut state = self.lock();
        state
            .apps
            .get_mut(client_id)
            .ok_or(Refusal::NoSuchApplication)?
            .installed = true;
        drop(state);
        self.changed(None);
        Ok(())
    }

    /// An administrator takes every connector off a line; the applications are told. Whether there was one.
    pub fn disconnect(&self, line: i64) -> bool {
        let mut state = self.lock();
        let keys = state.statuses.keys().filter(|(_, of)| *of == line);
        let connectors: Vec<String> = keys.map(|(connector, _)| connector.clone()).collect();
        for connector in &connectors {
            self.take_off(&mut state, connector, line, Some(ADMINISTRATOR));
        }
        drop(state);
        self.changed(None);
        !connectors.is_empty()
    }

    /// An administrator switches one connector off on one line; its application is told.
    pub fn switch_off_connector(&self, connector: &str, line: i64) -> bool {
        let was_on = self.take_off(&mut self.lock(), connector, line, Some(ADMINISTRATOR));
        self.changed(None);
        was_on
    }

    /// Operators' edits and deletions are announced, as where a connector was registered with Bitrix24's defaults once.
    pub fn announce_changes(&self, connector: &str) {
        if let Some(connector) = self.lock().connectors.get_mut(connector) {
            connector.edit_internal_messages = true;
            connector.delete_internal_messages = true;
        }
    }

    /// A connector disappears without anybody being told, as was seen after a refresh of the portal.
    pub fn drop_connector(&self, connector: &str) -> bool {
        let mut state = self.lock();
        let known = state.connectors.remove(connector).is_some();
        state.statuses.retain(|(of, _), _| of != connector);
        drop(state);
        self.changed(None);
        known
    }

    /// All event handlers disappear without anybody being told.
    pub fn wipe_handlers(&self) {
        self.lock().handlers.clear();
        self.changed(None);
    }

    /// An event handler left over from another time: an old address, or the same one twice.
    pub fn leave_handler(&self, client_id: &str, event: &str, handler: &str) {
        let mut state = self.lock();
        let id = state.next.handler.take();
        let (event, handler, client_id) = (
            event.to_uppercase(),
            handler.to_owned(),
            client_id.to_owned(),
        );
        state.handlers.push(Handler {
            id,
            event,
            handler,
            client_id,
        });
    }

    /// A placement left over from another time.
    pub fn leave_placement(&self, client_id: &str, placement: &str, handler: &str) {
        let (placement, handler) = (placement.to_uppercase(), handler.to_owned());
        let (title, client_id) = (String::new(), client_id.to_owned());
        self.lock().placements.push(Placement {
            context: String::new(),
            placement,
            handler,
            title,
            client_id,
        });
    }

    /// All SMS providers of applications disappear without anybody being told.
    pub fn wipe_senders(&self) {
        self.lock().senders.clear();
        self.changed(None);
    }

    /// All robots and workflow actions of applications disappear without anybody being told.
    pub fn wipe_robots(&self) {
        self.lock().robots.clear();
        self.changed(None);
    }

    /// Another vendor's connector, registered and, where a line is given, switched on there.
    pub fn foreign_connector(&self, id: &str, line: Option<i64>) {
        let mut state = self.lock();
        let connector = ConnectorState {
            client_id: "app.another.vendor".to_owned(),
            name: id.to_owned(),
            placement_handler: String::new(),
            delete_external_messages: true,
            edit_internal_messages: true,
            delete_internal_messages: true,
            newsletter: true,
            need_system_messages: true,
            need_signature: true,
            chat_group: false,
        };
        state.connectors.insert(id.to_lowercase(), connector);
        if let Some(line) = line {
            let status = Status {
                active: true,
                error: false,
                data: Some(EMPTY),
            };
            state.statuses.insert((id.to_lowercase(), line), status);
        }
    }

    /// An administrator deletes a line.
    pub fn delete_line(&self, line: i64) -> Result<(), Refusal> {
        let removed = self.remove_line(&mut self.lock(), line, Some(ADMINISTRATOR));
        self.changed(None);
        if removed {
            Ok(())
        } else {
            Err(Refusal::NoSuchLine)
        }
    }

    /// All applications are uninstalled, with or without wiping their data.
    pub fn uninstall(&self, clean: bool) {
        let ids: Vec<String> = self.lock().apps.keys().cloned().collect();
        for id in ids {
            self.uninstall_app(&id, clean);
        }
    }

    /// One application is uninstalled: it is told without any token, then everything it put here is gone.
    pub fn uninstall_app(&self, client_id: &str, clean: bool) {
        let mut state = self.lock();
        let data = map([
            ("LANGUAGE_ID", self.behaviour().language.into()),
            ("CLEAN", clean.into()),
        ]);
        let only = Some(client_id);
        self.fire(
            &mut state,
            &Happening {
                name: "ONAPPUNINSTALL",
                data,
                chat: 0,
                user: None,
                only,
            },
        );
        state.remove_app(client_id);
        drop(state);
        self.changed(None);
    }

    /// Every application's form is saved again: each is told, with a fresh pair of tokens, and loses its event handlers
    /// and SMS providers.
    pub async fn update_app(&self) {
        let posts: Vec<(Url, String)> = {
            let mut state = self.lock();
            let ids: Vec<String> = state.apps.keys().cloned().collect();
            ids.iter()
                .flat_map(|id| self.update_one(&mut state, id))
                .collect()
        };
        self.changed(None);
        for (url, body) in posts {
            post(&self.world, &url, FORM, body.as_bytes()).await;
        }
    }

    fn update_one(&self, state: &mut State, client_id: &str) -> Vec<(Url, String)> {
        let Some(app) = state.apps.get_mut(client_id) else {
            return Vec::new();
        };
        app.version += 1;
        let (version, installer) = (app.version, app.installer);
        let data = map([
            ("VERSION", version.into()),
            ("PREVIOUS_VERSION", (version - 1).into()),
            ("LANGUAGE_ID", self.behaviour().language.into()),
        ]);
        let pair = self.new_pair(state, client_id, installer, Family::Installation);
        let body = self.body_with_pair(state, client_id, "ONAPPUPDATE", data, &pair);
        let own = |handler: &view::Handler| handler.client_id == client_id;
        let bound = state.handlers.iter();
        let bound = bound.filter(|handler| own(handler) && handler.event == "ONAPPUPDATE");
        let urls: Vec<Url> = bound
            .filter_map(|handler| Url::parse(&handler.handler).ok())
            .collect();
        state.handlers.retain(|handler| !own(handler));
        state
            .senders
            .retain(|_, sender| sender.client_id != client_id);
        urls.into_iter().map(|url| (url, body.clone())).collect()
    }

    /// The portal moves to another port, as a renamed one moves to another host; the old address answers with a
    /// redirect. The new domain.
    pub async fn rename(&self) -> io::Result<String> {
        let listener = TcpListener::bind((self.world.address.ip(), 0)).await?;
        self.moved_to(listener.local_addr()?);
        serve(&self.world, listener);
        self.changed(None);
        Ok(self.domain())
    }

    /// An employee leaves; their tokens stop working.
    pub fn dismiss_user(&self, user: i64) -> Result<(), Refusal> {
        self.lock()
            .users
            .get_mut(&user)
            .ok_or(Refusal::NoSuchUser)?
            .active = false;
        self.changed(None);
        Ok(())
    }

    /// Other permissions are ticked in a local application's form, and saved; names with commas. Tokens have them from
    /// now on, and who asks for new tokens is told.
    pub fn set_scope(&self, client_id: &str, scope: &str) {
        let granted = scope.split(',').map(str::to_owned).collect();
        if let Some(app) = self.lock().apps.get_mut(client_id) {
            app.scope = granted;
        }
        self.changed(None);
    }

    /// An employee gets or loses the administrator's rights.
    pub fn set_admin(&self, user: i64, admin: bool) -> Result<(), Refusal> {
        self.lock()
            .users
            .get_mut(&user)
            .ok_or(Refusal::NoSuchUser)?
            .admin = admin;
        Ok(())
    }

    /// The plan runs out, or is paid again: without one there is no REST.
    pub fn set_plan(&self, active: bool) {
        self.lock().plan_active = active;
        self.changed(None);
    }

    /// The plan runs out.
    pub fn end_plan(&self) {
        self.set_plan(false);
    }

    /// The portal is deleted: REST says so, and the authorization server does not know it any more.
    pub fn delete(&self) {
        self.lock().deleted = true;
        self.changed(None);
    }

    /// An open line that was there before the application: made by an administrator, with this queue and settings.
    pub fn make_line(&self, name: &str, queue: &[i64], settings: &[(&str, &str)]) -> i64 {
        let mut state = self.lock();
        let id = state.next.line.take();
        let member = |user: &i64| ("user".to_owned(), user.to_string());
        let setting = |(key, value): &(&str, &str)| ((*key).to_owned(), Value::from(*value));
        let line = LineState {
            active: true,
            name: name.to_owned(),
            queue: queue.iter().map(member).collect(),
            settings: settings.iter().map(setting).collect(),
        };
        state.lines.insert(id, line);
        drop(state);
        self.changed(None);
        id
    }

    /// Every access token expires now.
    pub fn expire_tokens(&self) {
        let mut state = self.lock();
        state
            .tokens
            .values_mut()
            .for_each(|token| token.expires_at = 0);
        state
            .apps
            .values_mut()
            .for_each(|app| app.event_tokens.clear());
    }

    /// Hands an SMS to a provider; its message id. The post is on its way when this returns, and its answer is ignored.
    pub fn send_sms(&self, sms: &Sms) -> Result<String, Refusal> {
        let message_id = uuid::Uuid::new_v4().simple().to_string();
        let (url, body) = {
            let mut state = self.lock();
            let sender = state.senders.get(&sms.code).ok_or(Refusal::NoSuchSender)?;
            let (url, client_id) = (sender.handler.clone(), sender.client_id.clone());
            let auth = sms
                .author
                .map(|user| self.event_auth(&mut state, &client_id, Some(user)));
            let sent = view::Sms {
                message_id: message_id.clone(),
                code: sms.code.clone(),
                to: sms.to.clone(),
                body: sms.text.clone(),
                status: "sent".to_owned(),
            };
            state.sms.insert(message_id.clone(), sent);
            (url, self.sms_body(sms, &message_id, auth))
        };
        let (portal, url) = (
            self.clone(),
            Url::parse(&url).map_err(|_| Refusal::NoSuchSender)?,
        );
        self.world.runtime.spawn(async move {
            post(&portal.world, &url, FORM, body.as_bytes()).await;
            portal.changed(None);
        });
        Ok(message_id)
    }

    fn sms_body(&self, sms: &Sms, message_id: &str, auth: Option<Value>) -> String {
        let mut body = match sms.sender {
            Sender::Crm => {
                let binding = map([("OWNER_TYPE_ID", 2.into()), ("OWNER_ID", 123.into())]);
                map([
                    ("module_id", "crm".into()),
                    ("bindings", Value::List(vec![binding])),
                ])
            }
            Sender::Workflow => map([
                ("module_id", "bizproc".into()),
                ("workflow_id", "65e0c0ffee.12345678".into()),
                (
                    "document_id",
                    vec!["crm", "CCrmDocumentDeal", "DEAL_123"].into(),
                ),
                (
                    "document_type",
                    vec!["crm", "CCrmDocumentDeal", "DEAL"].into(),
                ),
            ]),
        };
        let (to, text) = (sms.to.as_str(), sms.text.as_str());
        body.set(
            "properties",
            map([("phone_number", to.into()), ("message_text", text.into())]),
        );
        body.set("type", "SMS".into());
        body.set("code", sms.code.as_str().into());
        body.set("message_id", message_id.into());
        body.set("message_to", to.into());
        body.set("message_body", text.into());
        body.set("ts", self.world.clock.seconds().into());
        body.set("auth", auth.into());
        body.to_form()
    }
}
