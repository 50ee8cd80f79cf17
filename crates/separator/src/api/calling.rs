//! Calls of a number: what was chosen, how far it is at Meta, the preflight, and the files for the telephone server.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use axum::http::StatusCode;
use ipnet::IpNet;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    fields::{self, Fields, Query},
    operation::{Call, Described, Field, Operation, Outcome, Parameter, Purpose, Shape},
    phones::{self, SWITCH, WHAT},
    problem::Problem,
    rule::Rule,
    rules,
};
use crate::{
    calling::{
        self,
        address::{self, Address},
        pbx::{self, Choices, Destination, KeyExchange, Password, Plan},
        preflight::{Login, Preflight},
        settings::{Applied, Calling, State, Task, Wish},
    },
    identifiers::Chance,
    registry::{Part, Phone, Registry},
    secret::Secret,
    store,
    translate::{message::Language, notes::Words},
};

const TAG: &str = "Calls";
/// What may be chosen for the key exchange.
pub(super) const KEYS: &[&str] = &["sdes", "dtls"];
/// What may be chosen for the call button.
pub(super) const ICON: &[&str] = &["shown", "hidden"];
/// The most characters of an address that somebody enters.
const ADDRESS_LIMIT: usize = 500;

const CHECK_FIELDS: &[Field] = &[
    Field::optional(
        "hostname",
        Shape::Text,
        "Telephone server to look at; the chosen one where none is given.",
        "sip.example.com",
    ),
    Field::optional("port", Shape::Whole, "Its TLS port.", "5061"),
    Field::defaulted(
        "password",
        Shape::Boolean,
        "Whether Meta's password is tried at the server too, where its certificate is good.",
        "false",
    ),
];

const STATUS_FIELDS: &[Field] = &[
    Field::read(
        "state",
        Shape::OneOf(&[
            "none", "pending", "in_sync", "refused", "changed", "unknown",
        ]),
        "Where it stands: nothing chosen, to be saved, Meta has it, Meta has something else, somebody changed it at Meta, \
         a save was cut.",
        "in_sync",
    ),
    Field::read(
        "attempts",
        Shape::Whole,
        "How often the last save was tried.",
        "1",
    ),
    Field::nullable("next_try_at", Shape::Time, "When it is tried again.", ""),
    Field::nullable("applied", Shape::Anything, "What Meta said last.", ""),
    Field::nullable("applied_at", Shape::Time, "When.", ""),
    Field::read(
        "has_password",
        Shape::Boolean,
        "Whether Meta's password is known.",
        "true",
    ),
    Field::read(
        "warnings",
        Shape::List("CallingWarning"),
        "What to know.",
        "",
    ),
    Field::nullable(
        "error",
        Shape::Object("PhoneError"),
        "Why Meta does not have what was chosen.",
        "",
    ),
    Field::nullable(
        "outside",
        Shape::Anything,
        "What was changed at Meta by others.",
        "",
    ),
    Field::nullable(
        "check",
        Shape::Object("SipReport"),
        "The last look at the telephone server.",
        "",
    ),
    Field::read(
        "check_stale",
        Shape::Boolean,
        "Whether that look was at another address than the chosen one.",
        "false",
    ),
];

const WARNING_FIELDS: &[Field] = &[
    Field::read(
        "code",
        Shape::Text,
        "A word for programs.",
        "foreign_server",
    ),
    Field::read("text", Shape::Text, "In words.", ""),
];

const REPORT_FIELDS: &[Field] = &[
    Field::read(
        "host",
        Shape::Text,
        "Host in the form that Meta gets.",
        "sip.example.com",
    ),
    Field::nullable(
        "readable",
        Shape::Text,
        "Host as people read it, where that differs.",
        "",
    ),
    Field::read("port", Shape::Whole, "TLS port.", "5061"),
    Field::read(
        "verdict",
        Shape::OneOf(&["green", "yellow", "red"]),
        "Whether calls will arrive, as far as can be told from here.",
        "green",
    ),
    Field::read(
        "sentence",
        Shape::Text,
        "The verdict in words.",
        "Nothing stands in the way of calls.",
    ),
    Field::read(
        "checked_at",
        Shape::Time,
        "When.",
        "2026-11-23T04:47:32.010Z",
    ),
    Field::read("milliseconds", Shape::Whole, "How long it took.", "180"),
    Field::read(
        "stages",
        Shape::List("SipStage"),
        "What was found, in the order of the stages.",
        "",
    ),
    Field::nullable(
        "certificate",
        Shape::Anything,
        "What the certificate says.",
        "",
    ),
];

const STAGE_FIELDS: &[Field] = &[
    Field::read(
        "stage",
        Shape::OneOf(&[
            "input", "dns", "tcp", "tls", "chain", "name", "sip", "login",
        ]),
        "The stage.",
        "tls",
    ),
    Field::read(
        "state",
        Shape::OneOf(&["pass", "note", "warning", "fault"]),
        "How bad it is.",
        "pass",
    ),
    Field::read("code", Shape::Text, "A word for programs.", "handshake"),
    Field::nullable(
        "address",
        Shape::Text,
        "Where it was found.",
        "203.0.113.7:5061",
    ),
    Field::read("text", Shape::Text, "What it is.", ""),
    Field::nullable("fix", Shape::Text, "What to do.", ""),
];

const PBX_FIELDS: &[Field] = &[
    Field::read("files", Shape::List("PbxFile"), "The files.", ""),
    Field::read(
        "freepbx",
        Shape::Anything,
        "What to enter in FreePBX: tab, field, value.",
        "",
    ),
    Field::read(
        "archive",
        Shape::Text,
        "All files as a tar archive, in base64.",
        "",
    ),
    Field::nullable(
        "password",
        Shape::Text,
        "Meta's password; only where it was asked to be revealed.",
        "",
    ),
    Field::read(
        "has_password",
        Shape::Boolean,
        "Whether Meta's password is known.",
        "true",
    ),
];

const FILE_FIELDS: &[Field] = &[
    Field::read(
        "program",
        Shape::OneOf(&["asterisk", "freepbx", "freeswitch", "kamailio", "firewall"]),
        "The program it is for.",
        "asterisk",
    ),
    Field::read(
        "name",
        Shape::Text,
        "Name in the archive.",
        "asterisk/pjsip.conf",
    ),
    Field::read("text", Shape::Text, "Content.", ""),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "CallingStatus",
        purpose: Purpose::Shown,
        description: "How far a number's calling settings are at Meta.",
        fields: STATUS_FIELDS,
    },
    Described {
        name: "CallingWarning",
        purpose: Purpose::Shown,
        description: "Something to know about calls of a number.",
        fields: WARNING_FIELDS,
    },
    Described {
        name: "SipCheck",
        purpose: Purpose::Sent,
        description: "What to look at.",
        fields: CHECK_FIELDS,
    },
    Described {
        name: "SipReport",
        purpose: Purpose::Shown,
        description: "What a look at a telephone server found.",
        fields: REPORT_FIELDS,
    },
    Described {
        name: "SipStage",
        purpose: Purpose::Shown,
        description: "One thing that was found.",
        fields: STAGE_FIELDS,
    },
    Described {
        name: "Pbx",
        purpose: Purpose::Shown,
        description: "What a telephone server needs to take the number's calls.",
        fields: PBX_FIELDS,
    },
    Described {
        name: "PbxFile",
        purpose: Purpose::Shown,
        description: "A file for a telephone server.",
        fields: FILE_FIELDS,
    },
];

const PBX_QUERY: &[Parameter] = &[
    Parameter {
        name: "extension",
        shape: Shape::Text,
        description: "Telephone that rings; 100 where nothing is chosen.",
    },
    Parameter {
        name: "queue",
        shape: Shape::Text,
        description: "Queue that rings, in place of a telephone.",
    },
    Parameter {
        name: "public_ip",
        shape: Shape::Text,
        description: "Public address of a server behind a router.",
    },
    Parameter {
        name: "local_network",
        shape: Shape::Text,
        description: "Network behind the router, such as 10.0.0.0/8.",
    },
    Parameter {
        name: "inner",
        shape: Shape::Text,
        description: "Address of the server behind a Kamailio edge.",
    },
    Parameter {
        name: "inner_port",
        shape: Shape::Whole,
        description: "Its UDP port; 5062 where none is given.",
    },
    Parameter {
        name: "edge",
        shape: Shape::Text,
        description: "Address of the Kamailio edge towards that server.",
    },
    Parameter {
        name: "certificate",
        shape: Shape::Text,
        description: "File of the certificate with its chain.",
    },
    Parameter {
        name: "key",
        shape: Shape::Text,
        description: "File of its key.",
    },
    Parameter {
        name: "g711",
        shape: Shape::Boolean,
        description: "Whether G.711 was switched on at Meta.",
    },
];

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

/// What is asked to be chosen; `None` leaves as it is.
#[derive(Debug, Default)]
pub(super) struct WishChange {
    calling: Option<bool>,
    sip: Option<bool>,
    #[expect(
        clippy::option_option,
        reason = "absent, null and a value are three things"
    )]
    hostname: Option<Option<String>>,
    port: Option<i64>,
    sdes: Option<bool>,
    callback_permission: Option<bool>,
    call_icon: Option<bool>,
    #[expect(
        clippy::option_option,
        reason = "absent, null and a value are three things"
    )]
    call_hours: Option<Option<Value>>,
    webhook_delivery: Option<bool>,
    parameters: Option<BTreeMap<String, String>>,
}

impl WishChange {
    pub(super) fn read(fields: &mut Fields) -> Self {
        let on = |value: &Value| rules::choice(SWITCH)(value).map(|word| word == "enabled");
        Self {
            calling: fields.with_default("calling", false, on),
            sip: fields.with_default("sip", false, on),
            hostname: fields
                .optional("sip_hostname", raw_address)
                .map(|host| host.filter(|host| !host.trim().is_empty())),
            port: fields.with_default("sip_port", i64::from(address::DEFAULT_PORT), rules::port),
            sdes: fields.with_default("key_exchange", true, |value| {
                rules::choice(KEYS)(value).map(|word| word == "sdes")
            }),
            callback_permission: fields.with_default("callback_permission", true, on),
            call_icon: fields.with_default("call_icon", true, |value| {
                rules::choice(ICON)(value).map(|word| word == "shown")
            }),
            call_hours: fields.optional("call_hours", hours),
            webhook_delivery: fields.with_default("webhook_delivery", true, on),
            parameters: fields
                .optional("sip_parameters", parameters)
                .map(Option::unwrap_or_default),
        }
    }

    /// Whether anything about calls is asked for.
    fn is_empty(&self) -> bool {
        self.calling.is_none()
            && self.sip.is_none()
            && self.hostname.is_none()
            && self.port.is_none()
            && self.sdes.is_none()
            && self.callback_permission.is_none()
            && self.call_icon.is_none()
            && self.call_hours.is_none()
            && self.webhook_delivery.is_none()
            && self.parameters.is_none()
    }

    /// What is chosen with this change, where all of it can be.
    pub(super) fn onto(
        &self,
        base: &Wish,
        language: Language,
    ) -> Result<Wish, (&'static str, String)> {
        let mut wish = base.clone();
        wish.calling = self.calling.unwrap_or(wish.calling);
        wish.sip = self.sip.unwrap_or(wish.sip);
        wish.sdes = self.sdes.unwrap_or(wish.sdes);
        wish.callback_permission = self.callback_permission.unwrap_or(wish.callback_permission);
        wish.call_icon = self.call_icon.unwrap_or(wish.call_icon);
        wish.webhook_delivery = self.webhook_delivery.unwrap_or(wish.webhook_delivery);
        if let Some(hours) = &self.call_hours {
            wish.call_hours.clone_from(hours);
        }
        if let Some(parameters) = &self.parameters {
            wish.parameters.clone_from(parameters);
        }
        let port = self.port.map(|port| port.to_string());
        match &self.hostname {
            Some(Some(host)) => {
                let address =
                    address::normalise_with(host, port.as_deref(), wish.port).map_err(|error| {
                        let field = match error.field() {
                            address::Field::Port => "sip_port",
                            address::Field::Host => "sip_hostname",
                        };
                        (field, error.text(language))
                    })?;
                (wish.hostname, wish.port) = (Some(address.host), address.port);
            }
            Some(None) => wish.hostname = None,
            None => {}
        }
        if let (Some(port), None | Some(None)) = (self.port, &self.hostname) {
            wish.port = u16::try_from(port).unwrap_or(address::DEFAULT_PORT);
        }
        if wish.sip && wish.hostname.is_none() {
            return Err(("sip_hostname", address::AddressError::Empty.text(language)));
        }
        Ok(wish)
    }
}

fn entered(
    host: &str,
    port: Option<&str>,
    language: Language,
) -> Result<Address, (address::Field, String)> {
    address::normalise(host, port).map_err(|error| (error.field(), error.text(language)))
}

fn raw_address(value: &Value) -> Result<String, String> {
    match value.as_str() {
        Some(text) if text.len() <= ADDRESS_LIMIT => Ok(text.to_owned()),
        Some(_) => Err(format!("must have at most {ADDRESS_LIMIT} characters")),
        None => Err(format!("must be text, not {}", fields::kind(value))),
    }
}

fn parameters(value: &Value) -> Result<BTreeMap<String, String>, String> {
    let object = value
        .as_object()
        .ok_or("must be an object of names and texts")?;
    object
        .iter()
        .map(|(name, value)| {
            let value = value
                .as_str()
                .ok_or("must be an object of names and texts")?;
            address::user_parameter(name, value).map_err(|error| error.to_string())
        })
        .collect()
}

const DAYS: [&str; 7] = [
    "MONDAY",
    "TUESDAY",
    "WEDNESDAY",
    "THURSDAY",
    "FRIDAY",
    "SATURDAY",
    "SUNDAY",
];

/// Hours in Meta's form; what Meta would refuse for its shape is refused here (Meta: Calling, settings).
fn hours(value: &Value) -> Result<Value, String> {
    let wrong = "must be {timezone_id, weekly_operating_hours: [{day_of_week, open_time, close_time}]} with times such as 0900, \
                 the closing time after the opening time and at most two slots a day";
    let object: &Map<String, Value> = value.as_object().ok_or(wrong)?;
    let known = [
        "status",
        "timezone_id",
        "weekly_operating_hours",
        "holiday_schedule",
    ];
    let zone = object
        .get("timezone_id")
        .and_then(Value::as_str)
        .is_some_and(|zone| !zone.is_empty() && zone.len() < 64);
    let time = |slot: &Value, key: &str| {
        let text = slot[key]
            .as_str()
            .filter(|text| text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit()))?;
        let number: u32 = text.parse().ok()?;
        (number / 100 < 24 && number % 100 < 60).then_some(number)
    };
    let slots = object
        .get("weekly_operating_hours")
        .and_then(Value::as_array);
    let good = slots.is_some_and(|slots| {
        let all = slots.iter().all(|slot| {
            let ordered = matches!((time(slot, "open_time"), time(slot, "close_time")), (Some(open), Some(close)) if open < close);
            ordered && slot["day_of_week"].as_str().is_some_and(|day| DAYS.contains(&day))
        });
        let few = DAYS.iter().all(|day| slots.iter().filter(|slot| slot["day_of_week"] == *day).count() <= 2);
        !slots.is_empty() && all && few
    });
    if !zone || !good || object.keys().any(|key| !known.contains(&key.as_str())) {
        return Err(wrong.to_owned());
    }
    let mut hours = object.clone();
    hours.insert("status".to_owned(), json!("ENABLED"));
    Ok(Value::Object(hours))
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

async fn files(call: Call, reveal: bool) -> Outcome {
    use base64::Engine as _;

    let phone = phone(&call)?;
    let wish = of(&call.registry(), &phone).wish.clone();
    let Some(host) = wish.hostname.clone() else {
        return Err(Problem::in_use(
            "enter the telephone server (sip_hostname) first",
        ));
    };
    let address = entered(&host, Some(&wish.port.to_string()), call.client.language)
        .map_err(|(_, text)| Problem::in_use(format!("sip_hostname {text}")))?;
    let mut query = call.query();
    let choices = choices(&mut query, &host);
    query.finish()?;
    let known = store::calling::password(&call.app.store, &call.app.sealer, phone.id).await?;
    let password = match &known {
        Some(password) if reveal => Password::Shown(password),
        Some(_) => Password::Hidden,
        None => Password::Unknown,
    };
    let keys = if wish.sdes {
        KeyExchange::Sdes
    } else {
        KeyExchange::Dtls
    };
    let plan = Plan::new(
        &phone.phone,
        &address,
        keys,
        &pbx::META_NETWORKS,
        &choices,
        password,
    )
    .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    let files = plan.files();
    let archive = pbx::tar(&files, call.app.clock.now());
    let shown: Vec<Value> = files
        .iter()
        .map(|file| json!({ "program": file.program, "name": file.name, "text": file.text }))
        .collect();
    let freepbx: Vec<Value> = plan
        .freepbx()
        .into_iter()
        .map(|(tab, field, value)| json!({ "tab": tab, "field": field, "value": value }))
        .collect();
    if reveal {
        tracing::info!(caller = call.caller.place(), phone = %phone.id, "the password of a telephone server was revealed");
    }
    Ok(json!({
        "files": shown,
        "freepbx": freepbx,
        "archive": base64::engine::general_purpose::STANDARD.encode(archive),
        "password": known.as_ref().filter(|_| reveal).map(Secret::expose),
        "has_password": known.is_some(),
    }))
}

fn choices(query: &mut Query, host: &str) -> Choices {
    let mut choices = Choices::usual(host);
    let name = rules::text(40);
    if let Some(extension) = query.optional("extension", &name) {
        choices.destination = Destination::Extension(extension);
    }
    if let Some(queue) = query.optional("queue", &name) {
        choices.destination = Destination::Queue(queue);
    }
    choices.public_ip = query.optional("public_ip", ip);
    choices.local_network = query.optional("local_network", network);
    choices.inner = query.optional("inner", ip).unwrap_or(choices.inner);
    choices.edge = query.optional("edge", ip).unwrap_or(choices.edge);
    choices.inner_port = query
        .optional("inner_port", port_text)
        .unwrap_or(choices.inner_port);
    choices.certificate = query
        .optional("certificate", rules::text(200))
        .unwrap_or(choices.certificate);
    choices.key = query
        .optional("key", rules::text(200))
        .unwrap_or(choices.key);
    choices.g711 = query
        .optional("g711", |value| match value.as_str() {
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            _ => Err("must be true or false".to_owned()),
        })
        .unwrap_or(false);
    choices
}

fn ip(value: &Value) -> Result<IpAddr, String> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "must be an IP address such as 203.0.113.7".to_owned())
}

fn network(value: &Value) -> Result<IpNet, String> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "must be a network such as 10.0.0.0/8".to_owned())
}

fn port_text(value: &Value) -> Result<u16, String> {
    let number = value.as_str().and_then(|text| text.parse::<u16>().ok());
    number
        .filter(|port| *port != 0)
        .ok_or_else(|| "must be a whole number from 1 to 65535".to_owned())
}
