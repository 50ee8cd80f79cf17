//! What an administrator of Meta's consoles does: applications, tokens, numbers, templates, and answering the login.

pub(super) mod page;

use super::{Graph, Shared, api::dialog, outbox, templates::Template, world::Token};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};
use url::Url;

/// An access token to be added; the default is one of a system user of the first application that sees every account,
/// may do everything and does not expire.
#[derive(Clone, Debug, Default)]
pub struct AccessToken {
    /// The token.
    pub value: String,
    /// The application it was issued for; the first one where none is named.
    pub app_id: Option<String>,
    /// `USER` in place of `SYSTEM_USER`.
    pub of_a_user: bool,
    /// What it may do; both of WhatsApp's permissions where nothing is named.
    pub scopes: Option<Vec<String>>,
    /// The accounts it sees; every account where nothing is named.
    pub accounts: Option<Vec<String>>,
    /// Its granular scopes name no accounts, although it sees them.
    pub nameless: bool,
    /// When it ends, milliseconds of Unix time.
    pub expires_at: Option<i64>,
}

/// What a person does in the login dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Grants these accounts (WABA ids) and these permissions.
    Grant {
        /// WABA ids; none is possible.
        accounts: Vec<String>,
        /// Permissions.
        scopes: Vec<String>,
    },
    /// Declines.
    Deny,
    /// Comes back with a code that was used before.
    UsedCode,
    /// Comes back with a code that was issued for another redirect address.
    OtherRedirect,
    /// Comes back with a code that is exchanged for a token of another application.
    OtherApp,
}

impl Consent {
    /// Grants these accounts with both of WhatsApp's permissions.
    pub fn accounts(ids: &[&str]) -> Self {
        Self::Grant {
            accounts: ids.iter().map(|id| (*id).to_owned()).collect(),
            scopes: super::world::SCOPES.map(str::to_owned).into(),
        }
    }
}

/// How a number stands at Meta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it is registered on the Cloud API.
    pub registered: bool,
    /// Its two-step verification PIN.
    pub pin: Option<String>,
    /// How often it was tried to register it within the last three days.
    pub tries: usize,
}

impl Graph {
    /// What an administrator of Meta's consoles can see and do.
    pub fn console(&self) -> Console<'_> {
        Console(self.shared())
    }

    /// Takes a token back: calls with it answer 190.
    pub fn revoke_token(&self, token: &str) {
        self.console().revoke_token(token);
    }
}

/// Meta's consoles; see [`Graph::console`].
#[derive(Clone, Copy)]
pub struct Console<'a>(pub(super) &'a Arc<Shared>);

impl Console<'_> {
    /// Adds a token, or replaces it.
    pub fn add_token(&self, token: AccessToken) {
        let mut world = self.0.world();
        let app_id = token
            .app_id
            .map_or_else(|| Arc::clone(&world.first_app), Into::into);
        let usual = Token::new(app_id);
        let made = Token {
            kind: if token.of_a_user {
                "USER"
            } else {
                "SYSTEM_USER"
            }
            .to_owned(),
            scopes: token
                .scopes
                .map_or(usual.scopes, |scopes| scopes.into_iter().collect()),
            accounts: token
                .accounts
                .map(|accounts| accounts.into_iter().collect::<BTreeSet<_>>()),
            names_accounts: !token.nameless,
            expires_at: token.expires_at,
            ..Token::new(usual.app_id)
        };
        world.tokens.insert(token.value, made);
        drop(world);
        self.0.bump();
    }

    /// Takes a token back: calls with it answer 190.
    pub fn revoke_token(&self, token: &str) {
        self.edit_token(token, |token| token.revoked = true);
    }

    /// Gives a token back that was [revoked](Self::revoke_token).
    pub fn restore_token(&self, token: &str) {
        self.edit_token(token, |token| token.revoked = false);
    }

    /// Sets when a token ends, milliseconds of Unix time.
    pub fn set_token_end(&self, token: &str, expires_at: Option<i64>) {
        self.edit_token(token, |token| token.expires_at = expires_at);
    }

    fn edit_token(self, token: &str, edit: impl FnOnce(&mut Token)) {
        if let Some(token) = self.0.world().tokens.get_mut(token) {
            edit(token);
        }
        self.0.bump();
    }

    /// Puts an application into Live mode or back into Development mode, in which nothing real is delivered.
    pub fn set_live(&self, app_id: &str, live: bool) {
        if let Some(app) = self.0.world().apps.get_mut(app_id) {
            app.live = live;
        }
        self.0.bump();
    }

    /// Sets the "Valid OAuth Redirect URIs" of an application; `None` takes every address.
    pub fn set_redirect_uris(&self, app_id: &str, addresses: Option<Vec<String>>) {
        if let Some(app) = self.0.world().apps.get_mut(app_id) {
            app.redirect_uris = addresses;
        }
        self.0.bump();
    }

    /// Where an application's callbacks go, and the fields that were chosen; `None` is every field.
    pub fn app_webhook(&self, app_id: &str) -> Option<(Option<String>, Option<Vec<String>>)> {
        let world = self.0.world();
        let app = world.apps.get(app_id)?;
        let fields = app.fields.as_ref();
        Some((
            app.callback.as_ref().map(Url::to_string),
            fields.map(|fields| fields.iter().cloned().collect()),
        ))
    }

    /// Whether an application is subscribed to an account.
    pub fn is_subscribed(&self, app_id: &str, waba_id: &str) -> bool {
        let world = self.0.world();
        world
            .accounts
            .get(waba_id)
            .is_some_and(|account| account.subscribed.contains_key(app_id))
    }

    /// How a number stands.
    pub fn standing(&self, phone_number_id: &str) -> Option<Standing> {
        let world = self.0.world();
        let number = world.numbers.get(phone_number_id)?;
        Some(Standing {
            registered: number.registered,
            pin: number.pin.clone(),
            tries: number.tries.len(),
        })
    }

    /// Registers a number, or takes its registration away; sets its two-step verification PIN.
    pub fn set_standing(&self, phone_number_id: &str, registered: bool, pin: Option<&str>) {
        if let Some(number) = self.0.world().numbers.get_mut(phone_number_id) {
            number.registered = registered;
            number.pin = pin.map(str::to_owned);
        }
        self.0.bump();
    }

    /// Whether a number is used with the phone app as well ("coexistence").
    pub fn set_on_phone_app(&self, phone_number_id: &str, on: bool) {
        if let Some(number) = self.0.world().numbers.get_mut(phone_number_id) {
            number.on_phone_app = on;
        }
        self.0.bump();
    }

    /// Adds an approved template with this body, or replaces it, without a webhook; gives its id.
    pub fn add_template(&self, waba_id: &str, name: &str, language: &str, body: &str) -> String {
        let components = json!([{"type": "BODY", "text": body}]);
        self.add_template_of(waba_id, name, language, components)
    }

    /// The same of these components, as Meta lists them.
    pub fn add_template_of(
        &self,
        waba_id: &str,
        name: &str,
        language: &str,
        components: Value,
    ) -> String {
        let mut world = self.0.world();
        let id = world.new_id().to_string();
        let template = Template {
            id: id.clone(),
            name: name.to_owned(),
            language: language.to_owned(),
            status: "APPROVED".to_owned(),
            category: "UTILITY".to_owned(),
            parameter_format: "POSITIONAL".to_owned(),
            components,
            quality: "UNKNOWN".to_owned(),
            reason: "NONE".to_owned(),
        };
        if let Some(account) = world.accounts.get_mut(waba_id) {
            account
                .templates
                .retain(|known| known.name != name || known.language != language);
            account.templates.push(template);
        }
        drop(world);
        self.0.bump();
        id
    }

    /// Changes the status of a template, as a review or Meta's quality control does, and tells it by webhook; gives the
    /// template's id. The event is the status, except that `REINSTATED` and `UNARCHIVED` make it approved and `FLAGGED`
    /// leaves it as it is.
    pub fn set_template_status(
        &self,
        waba_id: &str,
        name: &str,
        language: &str,
        event: &str,
        reason: &str,
    ) -> Option<String> {
        let shared = self.0;
        let mut world = shared.world();
        let template = world
            .accounts
            .get_mut(waba_id)?
            .templates
            .iter_mut()
            .find(|template| template.name == name && template.language == language)?;
        match event {
            "FLAGGED" => {}
            "REINSTATED" | "UNARCHIVED" => "APPROVED".clone_into(&mut template.status),
            status => status.clone_into(&mut template.status),
        }
        reason.clone_into(&mut template.reason);
        let id = template.id.clone();
        let value = json!({
            "event": event,
            "message_template_id": number(&id),
            "message_template_name": name,
            "message_template_language": language,
            "message_template_category": template.category,
            "reason": reason,
        });
        if event == "DELETED" {
            let account = world.accounts.get_mut(waba_id)?;
            account.templates.retain(|template| template.id != id);
        }
        let field = "message_template_status_update";
        outbox::push_field(shared, &mut world, waba_id, field, &value);
        drop(world);
        shared.bump();
        Some(id)
    }

    /// Takes marketing templates of an account by `/marketing_messages` only, or by both ways.
    pub fn set_marketing_elsewhere(&self, waba_id: &str, elsewhere: bool) {
        if let Some(account) = self.0.world().accounts.get_mut(waba_id) {
            account.marketing_elsewhere = elsewhere;
        }
        self.0.bump();
    }

    /// Changes the body of a template, as its owner does in WhatsApp Manager, and tells it by webhook; it stays approved.
    /// Gives whether there is such a template.
    pub fn set_template_body(&self, waba_id: &str, name: &str, language: &str, body: &str) -> bool {
        let shared = self.0;
        let mut world = shared.world();
        let account = world.accounts.get_mut(waba_id);
        let found = account.and_then(|account| {
            account
                .templates
                .iter_mut()
                .find(|template| template.name == name && template.language == language)
        });
        let Some(template) = found else {
            return false;
        };
        for component in template.components.as_array_mut().into_iter().flatten() {
            if component["type"] == "BODY" {
                component["text"] = body.into();
            }
        }
        let value = json!({
            "message_template_id": number(&template.id),
            "message_template_name": name,
            "message_template_language": language,
            "message_template_element": body,
        });
        let field = "message_template_components_update";
        outbox::push_field(shared, &mut world, waba_id, field, &value);
        drop(world);
        shared.bump();
        true
    }

    /// A person answers the dialog at this address, as with the buttons of its page; gives where the browser is sent, or
    /// the words of the page on which it stays.
    pub fn answer_dialog(&self, dialog: &Url, consent: Consent) -> Result<Url, String> {
        let value = |name: &str| {
            let found = dialog.query_pairs().find(|(key, _)| key == name);
            found.map(|(_, value)| value.into_owned())
        };
        dialog::consented(&mut self.0.world(), value, consent)
            .map_err(|(title, _)| title.to_owned())
    }
}

/// Meta writes template ids as JSON numbers in webhooks.
fn number(id: &str) -> Value {
    serde_json::from_str(id).unwrap_or_else(|_| id.into())
}
