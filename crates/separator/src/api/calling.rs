//! Calls of a number: what was chosen, how far it is at Meta, the preflight, and the files for the telephone server.

mod described;
mod files;
mod wish;

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use self::{
    described::CHECK_FIELDS,
    files::{PBX_QUERY, files},
    wish::raw_address,
};
pub(super) use self::{described::OBJECTS, wish::WishChange};
use super::{
    operation::{Call, Operation, Outcome},
    phones::{self, WHAT},
    problem::Problem,
    rule::Rule,
    rules,
};
use crate::{
    calling::{
        self,
        address::{self, Address},
        preflight::{Login, Preflight},
        settings::{Applied, Calling, State, Task, Wish},
    },
    identifiers::Chance,
    registry::{Part, Phone, Registry},
    store,
    translate::{message::Language, notes::Words},
};

const TAG: &str = "Calls";
/// What may be chosen for the key exchange.
pub(super) const KEYS: &[&str] = &["sdes", "dtls"];
/// What may be chosen for the call button.
pub(super) const ICON: &[&str] = &["shown", "hidden"];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "Look at the telephone server",
        description: "As Meta does before it sends a call there. Takes ten seconds at most.",
        body: Some("SipCheck"),
        refusals: &[429],
        ..Operation::act(
            "/api/v1/waba/phones/{id}/sip-check",
            TAG,
            "SipReport",
            Rule::PortalAdministrators(&["hostname", "port", "password"]),
            |call| Box::pin(check(call)),
        )
    },
    Operation {
        summary: "Save the calling settings at Meta again",
        ..act("/api/v1/waba/phones/{id}/calling/apply", |call| {
            Box::pin(again(call, Task::Save))
        })
    },
    Operation {
        summary: "Get a new password from Meta",
        description: "The server is removed at Meta and entered again. The old password stops working at once.",
        ..act("/api/v1/waba/phones/{id}/calling/reset-password", |call| {
            Box::pin(again(call, Task::ResetPassword))
        })
    },
    Operation {
        summary: "Remove the telephone server from Meta",
        description: "SIP is disabled with it. The address stays entered here.",
        ..act("/api/v1/waba/phones/{id}/calling/remove-server", |call| {
            Box::pin(again(call, Task::RemoveServer))
        })
    },
    Operation {
        summary: "Files for the telephone server",
        description: "The password is hidden.",
        query: PBX_QUERY,
        ..Operation::get(
            "/api/v1/waba/phones/{id}/pbx",
            TAG,
            "Pbx",
            Rule::PortalAdministrators(&[]),
            |call| Box::pin(files(call, false)),
        )
    },
    Operation {
        summary: "Files for the telephone server, with the password",
        query: PBX_QUERY,
        secret_answer: true,
        ..Operation::act(
            "/api/v1/waba/phones/{id}/pbx/reveal",
            TAG,
            "Pbx",
            Rule::PortalAdministrators(&[]),
            |call| Box::pin(files(call, true)),
        )
    },
];

const fn act(path: &'static str, run: fn(Call) -> super::operation::Running) -> Operation {
    Operation {
        refusals: &[409],
        ..Operation::act(path, TAG, "Phone", Rule::PortalAdministrators(&[]), run)
    }
}

fn entered(
    host: &str,
    port: Option<&str>,
    language: Language,
) -> Result<Address, (address::Field, String)> {
    address::normalise(host, port).map_err(|error| (error.field(), error.text(language)))
}

/// What is kept about a number's calls; where nothing was chosen yet, what was entered before calls were saved at Meta.
pub(super) fn of(registry: &Registry, phone: &Phone) -> Arc<Calling> {
    registry
        .calling
        .get(&phone.id)
        .cloned()
        .unwrap_or_else(|| Arc::new(first(phone)))
}

fn first(phone: &Phone) -> Calling {
    let port = phone.sip_port.to_string();
    let address = phone
        .sip_hostname
        .as_deref()
        .and_then(|host| address::normalise(host, Some(&port)).ok());
    Calling {
        wish: Wish {
            calling: phone.calling == "enabled",
            sip: phone.sip == "enabled" && address.is_some(),
            port: address
                .as_ref()
                .map_or(address::DEFAULT_PORT, |address| address.port),
            hostname: address.map(|address| address.host),
            ..Wish::default()
        },
        ..Calling::default()
    }
}

/// Adds to a number as it is shown what there is about its calls.
pub(super) fn show(registry: &Registry, language: Language, phone: &Phone, shown: &mut Value) {
    let calling = of(registry, phone);
    let wish = &calling.wish;
    let word = |on: bool| if on { "enabled" } else { "disabled" };
    shown["calling"] = word(wish.calling).into();
    shown["sip"] = word(wish.sip).into();
    shown["sip_hostname"] = json!(wish.hostname);
    shown["sip_port"] = wish.port.into();
    shown["key_exchange"] = if wish.sdes { "sdes" } else { "dtls" }.into();
    shown["callback_permission"] = word(wish.callback_permission).into();
    shown["call_icon"] = if wish.call_icon { "shown" } else { "hidden" }.into();
    shown["call_hours"] = json!(wish.call_hours);
    shown["webhook_delivery"] = word(wish.webhook_delivery).into();
    shown["sip_parameters"] = json!(wish.parameters);
    if let Some(error) = &calling.error {
        shown["error"] = error.to_json(language);
    }
    let mut warnings: Vec<Value> = calling
        .warnings
        .iter()
        .map(|warning| json!({ "code": warning.code(), "text": warning.text(language) }))
        .collect();
    for (code, words) in notes(wish) {
        warnings.push(json!({ "code": code, "text": words.in_language(language) }));
    }
    shown["calling_status"] = json!({
        "state": calling.state.as_str(),
        "attempts": calling.attempts,
        "next_try_at": calling.due_at,
        "applied": calling.applied.as_ref().map(Applied::to_json),
        "applied_at": calling.applied_at,
        "has_password": calling.has_password,
        "warnings": warnings,
        "error": calling.error.as_ref().map(|error| error.to_json(language)),
        "outside": calling.outside,
        "check": calling.report.as_ref().map(|report| report.to_json(language)),
        "check_stale": calling.report_is_stale(),
    });
}

/// What follows from the choice itself.
fn notes(wish: &Wish) -> Vec<(&'static str, Words)> {
    let mut notes = Vec::new();
    if wish.sip && !wish.calling {
        notes.push((
            "calling_is_off",
            Words {
                english: "No calls arrive until Calling is enabled.",
                russian: "Звонки не придут, пока не включены «Звонки».",
            },
        ));
    }
    if wish.calling && !wish.sip {
        notes.push((
            "calls_webhook_needed",
            Words {
                english: "Without SIP an app has to be subscribed to the webhook field calls, or Meta refuses this (138018).",
                russian: "Без SIP приложение должно быть подписано на поле вебхуков calls, иначе Meta откажет (138018).",
            },
        ));
    }
    notes
}

/// Makes the choice that was asked for, on top of the newest one; gives its version where there is something to wait for.
pub(super) async fn choose(
    call: &Call,
    phone: &Phone,
    change: &WishChange,
) -> Result<Option<i64>, Problem> {
    if change.is_empty() {
        return Ok(None);
    }
    let app = &call.app;
    // Only somebody who chooses at the same moment makes it try again.
    for _ in 0..10 {
        let current = match store::calling::one(&app.store, phone.id).await? {
            Some(current) => current,
            None => first(phone),
        };
        let wish = change
            .onto(&current.wish, call.client.language)
            .map_err(|(field, text)| Problem::field(field, text))?;
        // Saving what was refused, or changed by others, is asking for another try.
        let settled = !matches!(current.state, State::Refused | State::Changed);
        if wish == current.wish && settled && current.version > 0 {
            return Ok(None);
        }
        let next = current.chosen(wish, app.clock.now());
        if store::calling::choose(&app.store, phone.id, &next).await? {
            app.calls.wake();
            return Ok((next.state == State::Pending).then_some(next.version));
        }
    }
    Err(Problem::new(
        StatusCode::CONFLICT,
        "the number's calling settings are being changed by somebody else; look and try again",
    ))
}

fn phone(call: &Call) -> Result<Phone, Problem> {
    let id: Uuid = call.id(WHAT)?;
    call.registry()
        .phones
        .get(&id)
        .map(|phone| Phone::clone(phone))
        .ok_or_else(|| Problem::unknown(WHAT))
}

async fn again(call: Call, task: Task) -> Outcome {
    let phone = phone(&call)?;
    let app = &call.app;
    let current = store::calling::one(&app.store, phone.id)
        .await?
        .unwrap_or_else(|| first(&phone));
    if task == Task::ResetPassword && !current.wish.sip {
        return Err(Problem::in_use(
            "SIP is disabled for the number, so there is no password to be reset",
        ));
    }
    let mut next = current.again(task, app.clock.now());
    if task == Task::RemoveServer {
        next.wish.sip = false;
    }
    if !store::calling::choose(&app.store, phone.id, &next).await? {
        return Err(Problem::in_use(
            "the number's calling settings were changed at the same time; look and try again",
        ));
    }
    app.calls.wake();
    call.changed_part(Part::Phone(phone.id)).await?;
    calling::tried(app, phone.id, next.version, phones::FIRST_TRY).await;
    phones::one(&call, phone.id).await
}

async fn check(call: Call) -> Outcome {
    let phone = phone(&call)?;
    let language = call.client.language;
    let mut fields = call.optional_fields(CHECK_FIELDS)?;
    let host = fields.optional("hostname", raw_address).flatten();
    let port = fields.optional("port", rules::port).flatten();
    let with_password = fields
        .with_default("password", false, rules::boolean)
        .unwrap_or(false);
    let wish = of(&call.registry(), &phone).wish.clone();
    let address = match (&host, &wish.hostname) {
        (Some(host), _) => {
            let port = port.map(|port| port.to_string());
            address::normalise_with(host, port.as_deref(), wish.port)
                .map_err(|error| (error.field(), error.text(language)))
        }
        (None, Some(host)) => entered(
            host,
            Some(&port.map_or(wish.port.to_string(), |port| port.to_string())),
            language,
        ),
        (None, None) => entered("", None, language),
    };
    let address = match address {
        Ok(address) => address,
        Err((part, text)) => {
            fields.error(
                if part == address::Field::Port {
                    "port"
                } else {
                    "hostname"
                },
                text,
            );
            return Err(fields.incomplete());
        }
    };
    fields.finish()?;
    let app = &call.app;
    let ticket = app.calls.limit.enter(&call.caller.place());
    let _ticket =
        ticket.map_err(|wait| Problem::new(StatusCode::TOO_MANY_REQUESTS, wait.to_string()))?;
    // The password goes to no other server than the one that was chosen.
    let chosen = wish.hostname.as_deref() == Some(&address.host) && wish.port == address.port;
    let login = match store::calling::password(&app.store, &app.sealer, phone.id).await? {
        Some(password) if with_password && chosen => Some(Login {
            number: phone.phone.clone(),
            password,
        }),
        _ if with_password => {
            let text =
                "can be tried only at the server that is saved, once Meta has told the password";
            return Err(Problem::field("password", text));
        }
        _ => None,
    };
    let preflight = Preflight::new(app.outgoing.clone(), app.clock.clone(), Chance::System);
    let report = preflight.check(&address, login.as_ref()).await;
    if chosen && wish.sip {
        let next = app.clock.now() + std::time::Duration::from_hours(24);
        store::calling::keep_report(&app.store, phone.id, Some(&report), Some(next)).await?;
        call.changed_part(Part::Phone(phone.id)).await?;
    }
    Ok(report.to_json(language))
}
