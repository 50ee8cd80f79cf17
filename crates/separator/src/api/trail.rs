//! What is written down about each change that is made through the API: who, what, to what, when, from where, and the
//! values before and after.
//!
//! It is done here for all operations and by none of them. What a thing was and is now is asked from the operation that
//! shows it; fields that hold secrets are told only to be set, changed or gone.

use serde_json::{Map, Value, json};

use super::{
    Answer,
    caller::Caller,
    objects,
    operation::{Access, Call, Operation, Verb},
    operations,
};
use crate::{
    app::App,
    store::{
        self,
        audit::{self, Line, State},
        users,
    },
};

/// A sort of things that changes are made to: where its paths begin, its word, and the field that names one. Those of
/// the second list are told without values: they are no set-up, and their texts are of customers.
const SUBJECTS: &[(&str, &str, &str)] = &[
    ("/api/v1/sites", "site", "domain"),
    ("/api/v1/waba/apps", "waba_app", "name"),
    ("/api/v1/waba/accounts", "account", "name"),
    ("/api/v1/waba/phones", "phone", "phone"),
    ("/api/v1/bitrix/apps", "bitrix_app", "name"),
    ("/api/v1/bitrix/instances", "instance", "domain"),
    ("/api/v1/users", "user", "email"),
    ("/api/v1/keys", "key", "name"),
];

/// Words for what is no set-up.
const OTHERS: &[(&str, &str)] = &[
    ("/api/v1/sessions", "session"),
    ("/api/v1/session", "own_account"),
    ("/api/v1/messages", "message"),
    ("/api/v1/frames/messages", "message"),
    ("/api/v1/queue/dead_letters", "dead_letter"),
    ("/api/v1/waba/connections", "connection"),
    ("/api/v1/waba/templates", "template"),
    ("/api/v1/waba/interactive", "interactive_message"),
    ("/api/v1/doctor", "doctor"),
    ("/api/v1/bitrix/announcements", "announcement"),
];

/// Fields that are never written down, whoever shows them: what they hold opens something.
const NEVER: &[&str] = &[
    "key",
    "secret",
    "token",
    "verify_token",
    "link",
    "uri",
    "url",
    "password",
    "code",
];

/// Fields that say nothing about a change, or follow from others.
const DULL: &[&str] = &[
    "id",
    "created_at",
    "updated_at",
    "used_at",
    "callback_url",
    "handler_url",
    "install_url",
    "page_handler_url",
    "page_install_url",
    "redirect_url",
    "tried",
];

/// The line of a change that is under way.
#[derive(Debug)]
pub(super) struct Trail {
    operation: &'static Operation,
    line: Line,
    before: Value,
    /// A copy of the request, to look at the thing once more afterwards.
    call: Call,
}

impl Trail {
    /// Begins a line, before the change. Nothing is changed where this fails.
    pub(super) async fn begin(
        operation: &'static Operation,
        call: &Call,
    ) -> Result<Self, store::Error> {
        let before = shown(operation, call).await;
        let subject_name = match thing(operation) {
            // A part of a thing does not say what the thing is called.
            Some(path) if is_part(operation) => name(operation.path, &look(&path, call).await),
            _ => name(operation.path, &before),
        };
        let line = Line {
            id: call.app.ids.next(),
            at: call.app.clock.now(),
            user_id: call.caller.user().map(|user| user.id),
            who: who(&call.app, &call.caller).await?,
            action: action(operation),
            subject_kind: word(operation.path).to_owned(),
            subject_id: call.id.clone().unwrap_or_default(),
            subject_name,
            state: State::Begun.as_str().to_owned(),
            changes: "[]".to_owned(),
            address: call.client.address.to_string(),
        };
        audit::insert(&call.app.store, &line).await?;
        Ok(Self {
            operation,
            line,
            before,
            call: call.clone(),
        })
    }

    /// Ends the line: completed where the change was made, withdrawn where it was not. A line that cannot be completed
    /// stays as begun.
    pub(super) async fn end(mut self, answer: Option<&Answer>) {
        let store = &self.call.app.store;
        let Some(answer) = answer.filter(|answer| !answer.replayed) else {
            if let Err(error) = audit::withdraw(store, self.line.id).await {
                tracing::warn!(%error, "the audit keeps a change that was not made");
            }
            return;
        };
        let after = match self.operation.verb {
            Verb::Delete => Value::Null,
            _ if self.call.id.is_some() => shown(self.operation, &self.call).await,
            _ => serde_json::from_str(&answer.body).unwrap_or(Value::Null),
        };
        if self.line.subject_id.is_empty() {
            after["id"]
                .as_str()
                .unwrap_or_default()
                .clone_into(&mut self.line.subject_id);
        }
        if self.line.subject_name.is_empty() {
            self.line.subject_name = name(self.operation.path, &after);
        }
        let changes = changes(self.operation, &self.before, &after, &self.call.body);
        self.line.changes = Value::Array(changes).to_string();
        State::Done.as_str().clone_into(&mut self.line.state);
        if let Err(error) = audit::complete(store, &self.line).await {
            tracing::error!(%error, action = self.line.action, "a change stays as begun in the audit");
        }
    }
}

/// Who is asking, in words.
async fn who(app: &App, caller: &Caller) -> Result<String, store::Error> {
    Ok(match caller {
        Caller::User(user) => users::user(&app.store, user.id)
            .await?
            .map(|user| user.email)
            .unwrap_or_default(),
        Caller::Portal(person) => {
            let registry = app.directory.snapshot();
            let portal = registry.instances.get(&person.instance);
            let domain = portal.map_or("a portal", |portal| &portal.domain);
            format!("{} ({domain}, user {})", person.name, person.user_id)
        }
        Caller::Nobody => String::new(),
    })
}

/// The word for what an operation does.
fn action(operation: &Operation) -> String {
    let last = operation.path.rsplit('/').next().unwrap_or_default();
    match operation.verb {
        Verb::Get => "look".to_owned(),
        Verb::Post if operation.location == Some(operation.path) => "create".to_owned(),
        Verb::Post => last.to_owned(),
        Verb::Patch => "change".to_owned(),
        Verb::Delete if last == "session" => "sign_out".to_owned(),
        Verb::Delete if last == "totp" => "totp_remove".to_owned(),
        Verb::Delete => "delete".to_owned(),
    }
}

fn subject(path: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    SUBJECTS.iter().find(|(base, ..)| {
        path.strip_prefix(base)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// The word for the sort of thing that a path is about.
fn word(path: &str) -> &'static str {
    if let Some((_, word, _)) = subject(path) {
        return word;
    }
    OTHERS
        .iter()
        .find(|(base, _)| path.starts_with(base))
        .map_or("other", |(_, word)| word)
}

/// The name of a thing as it is shown.
fn name(path: &str, shown: &Value) -> String {
    let Some((_, _, field)) = subject(path) else {
        return String::new();
    };
    [*field, "waba_id", "client_id"]
        .into_iter()
        .find_map(|field| shown[field].as_str().filter(|name| !name.is_empty()))
        .unwrap_or_default()
        .to_owned()
}

/// The path of the thing that an operation is about.
fn thing(operation: &Operation) -> Option<String> {
    let (base, _) = operation.path.split_once("{id}")?;
    Some(format!("{base}{{id}}"))
}

/// Whether an operation changes a part of a thing that is shown by itself, such as how a number speaks outside the 24 hours.
fn is_part(operation: &Operation) -> bool {
    operation.verb == Verb::Patch && !operation.path.ends_with("{id}")
}

/// The thing, or the part of it that is changed, as the operation that shows it gives it; null where there is none.
async fn shown(operation: &Operation, call: &Call) -> Value {
    if subject(operation.path).is_none() || call.id.is_none() {
        return Value::Null;
    }
    match thing(operation) {
        Some(_) if is_part(operation) => look(operation.path, call).await,
        Some(path) => look(&path, call).await,
        None => Value::Null,
    }
}

async fn look(path: &str, call: &Call) -> Value {
    let Some(show) = operations().find(|other| other.verb == Verb::Get && other.path == path)
    else {
        return Value::Null;
    };
    let question = Call {
        query: String::new(),
        body: axum::body::Bytes::new(),
        ..call.clone()
    };
    (show.run)(question).await.unwrap_or(Value::Null)
}

/// The fields of what is sent that hold secrets.
fn secret_fields(operation: &Operation) -> Vec<&'static str> {
    let Some(body) = operation.body else {
        return Vec::new();
    };
    let plain = body.strip_prefix("New").unwrap_or(body);
    let plain = plain.strip_suffix("Change").unwrap_or(plain);
    objects()
        .filter(|object| object.name == body || object.name == plain)
        .flat_map(|object| object.fields)
        .filter(|field| matches!(field.access, Access::Secret | Access::RequiredSecret))
        .map(|field| field.name)
        .collect()
}

/// What is different, field by field. Of secrets it is only told that they were set, changed or taken away.
fn changes(operation: &Operation, before: &Value, after: &Value, body: &[u8]) -> Vec<Value> {
    let nothing = Map::new();
    let secrets = secret_fields(operation);
    let told = |name: &str| {
        !DULL.contains(&name)
            && !NEVER.contains(&name)
            && !secrets.contains(&name)
            && !name.starts_with("has_")
    };
    let of = |value: &Value, name: &str| value.get(name).cloned().unwrap_or(Value::Null);
    let sent = serde_json::from_slice::<Value>(body).unwrap_or(Value::Null);
    let sent = sent.as_object().unwrap_or(&nothing);
    let mut changes = Vec::new();
    if subject(operation.path).is_some() {
        let (old, new) = (before.as_object(), after.as_object());
        let mut names: Vec<&String> = [old, new]
            .into_iter()
            .flatten()
            .flat_map(Map::keys)
            .collect();
        names.sort_unstable();
        names.dedup();
        for name in names.into_iter().filter(|name| told(name)) {
            let (old, new) = (of(before, name), of(after, name));
            if old != new {
                changes.push(json!({ "field": name, "old": old, "new": new }));
            }
        }
    }
    let gone = before.as_object().filter(|_| after.is_null());
    for (name, had) in gone.into_iter().flatten() {
        if let Some(name) = name.strip_prefix("has_").filter(|_| *had == true) {
            changes.push(json!({ "field": name, "old": "set", "new": null }));
        }
    }
    // What something was to be done with is what was sent.
    let acted = operation.verb == Verb::Post && operation.location != Some(operation.path);
    for (name, value) in sent {
        if secrets.contains(&name.as_str()) {
            let had = before.get(format!("has_{name}")) == Some(&Value::Bool(true));
            let (old, new) = match (had, value.is_null()) {
                (false, true) => continue,
                (false, false) => (Value::Null, json!("set")),
                (true, true) => (json!("set"), Value::Null),
                (true, false) => (json!("set"), json!("changed")),
            };
            changes.push(json!({ "field": name, "old": old, "new": new }));
        } else if acted && told(name) && !value.is_null() {
            changes.push(json!({ "field": name, "old": null, "new": value }));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn operation(verb: Verb, path: &str) -> &'static Operation {
        operations()
            .find(|operation| operation.verb == verb && operation.path == path)
            .unwrap()
    }

    #[test]
    fn a_change_tells_old_and_new_and_of_secrets_only_that_they_changed() {
        let change = operation(Verb::Patch, "/api/v1/waba/apps/{id}");
        let before = json!({ "id": "1", "name": "Old", "has_client_secret": true, "has_access_token": false });
        let after = json!({ "id": "1", "name": "New", "has_client_secret": true, "has_access_token": true });
        let body = br#"{"name": "New", "client_secret": "s3cret", "access_token": "t0ken"}"#;
        let changes = Value::Array(changes(change, &before, &after, body));
        assert_eq!(
            changes,
            json!([
                { "field": "name", "old": "Old", "new": "New" },
                { "field": "access_token", "old": null, "new": "set" },
                { "field": "client_secret", "old": "set", "new": "changed" },
            ])
        );
    }

    #[test]
    fn what_opens_something_is_never_written_down() {
        let create = operation(Verb::Post, "/api/v1/keys");
        let after = json!({ "id": "1", "name": "Script", "key": "sep_s3cret" });
        let told = Value::Array(changes(create, &Value::Null, &after, b"{}"));
        assert_eq!(
            told,
            json!([{ "field": "name", "old": null, "new": "Script" }])
        );
        let password = operation(Verb::Post, "/api/v1/session/password");
        let body = br#"{"current": "correct horse", "new": "battery staple"}"#;
        let told = Value::Array(changes(password, &Value::Null, &Value::Null, body)).to_string();
        assert!(
            !told.contains("horse") && !told.contains("staple"),
            "{told}"
        );
        assert!(told.contains("current") && told.contains("set"), "{told}");
    }

    #[test]
    fn every_change_has_a_word_for_what_it_is_about() {
        for operation in operations().filter(|operation| operation.verb != Verb::Get) {
            assert_ne!(word(operation.path), "other", "{}", operation.path);
            assert!(!action(operation).contains('{'), "{}", operation.path);
        }
    }
}
