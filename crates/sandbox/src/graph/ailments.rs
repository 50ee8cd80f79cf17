//! What can be wrong with an app, an account or a number at Meta apart from calls that fail: states that Meta tells of, and
//! settings that somebody else changed.

use super::{Graph, world::Override};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use url::Url;

/// What is told of objects in place of what is known of them, by the object's id.
pub(super) type Said = BTreeMap<String, Map<String, Value>>;

/// What Graph says of an object, with what is told in its place.
pub(super) fn told(said: &Said, id: &str, mut full: Value) -> Value {
    if let (Some(fields), Some(object)) = (said.get(id), full.as_object_mut()) {
        object.extend(fields.clone());
    }
    full
}

impl Graph {
    /// From now on Meta says this of an account or a number (`status`, `quality_rating` …), or of an app's webhook
    /// (`active`, `fields`), whatever is so.
    pub fn says(&self, id: &str, field: &str, value: Value) {
        let shared = self.shared();
        let mut world = shared.world();
        let fields = world.said.entry(id.to_owned()).or_default();
        fields.insert(field.to_owned(), value);
        drop(world);
        shared.bump();
    }

    /// Meta says again what is so.
    pub fn says_the_truth(&self) {
        self.shared().world().said.clear();
        self.shared().bump();
    }

    /// The secret of an app is made anew, as with "Reset" beside it.
    pub fn reset_app_secret(&self, app_id: &str, secret: &str) {
        if let Some(app) = self.shared().world().apps.get_mut(app_id) {
            secret.clone_into(&mut app.secret);
        }
    }

    /// An app is no longer subscribed to an account.
    pub fn unsubscribe(&self, app_id: &str, waba_id: &str) {
        if let Some(account) = self.shared().world().accounts.get_mut(waba_id) {
            account.subscribed.remove(app_id);
        }
        self.shared().bump();
    }

    /// A program gave an app's subscription to an account a callback of its own.
    pub fn set_account_callback(&self, app_id: &str, waba_id: &str, callback: &Url) {
        if let Some(account) = self.shared().world().accounts.get_mut(waba_id) {
            let callback = callback.clone();
            account
                .subscribed
                .insert(app_id.into(), Some(Override { callback }));
        }
        self.shared().bump();
    }

    /// A program gave a number a callback of its own, or took it away.
    pub fn set_number_callback(&self, phone_number_id: &str, callback: Option<&Url>) {
        if let Some(number) = self.shared().world().numbers.get_mut(phone_number_id) {
            number.callback = callback.map(|callback| Override {
                callback: callback.clone(),
            });
        }
        self.shared().bump();
    }
}
