//! Connecting Meta: looking at a token, connecting accounts and numbers, logging in at Facebook, setting the callback.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    caller::By,
    fields::Mode,
    meta,
    operation::{Call, Described, Field, Operation, Outcome, Parameter, Purpose, Shape},
    page::Page,
    problem::Problem,
    rule::Rule,
    rules,
};
use crate::{
    account::{
        Trouble,
        connect::{self, Connection, Name, Plan, Step},
        inspect::{self, Inspection, Seen, SeenNumber},
        login, webhook,
    },
    registry::WabaApp,
    store::meta_connections as connections,
    translate::message::Language,
};

const PATH: &str = "/api/v1/waba/connections";
const ONE: &str = "/api/v1/waba/connections/{id}";
const TAG: &str = "Connecting Meta";

/// What problems call it.
const WHAT: &str = "connection";
const WHAT_APP: &str = "WABA application";

const STATES: &[&str] = &["running", "done", "failed", "waiting"];

const INSPECT_FIELDS: &[Field] = &[Field::secret(
    "access_token",
    "The token to be looked at; the application's own where there is none.",
    "EAAGm0PX4ZCpsBAJ",
)];

const CONNECT_FIELDS: &[Field] = &[
    Field::secret(
        "access_token",
        "Token that the accounts get as their own; without it they use the application's.",
        "EAAGm0PX4ZCpsBAJ",
    ),
    Field::defaulted(
        "accounts",
        Shape::Texts,
        "WABA ids; where none is named, those that the token was granted.",
        "",
    ),
    Field::defaulted(
        "phones",
        Shape::Texts,
        "Phone number ids; where none is named, all numbers of the accounts.",
        "",
    ),
    PINS,
];

const RESUME_FIELDS: &[Field] = &[PINS];

const PINS: Field = Field {
    shape: Shape::Anything,
    ..Field::secret(
        "pins",
        "Two-step verification PINs of numbers that have one, six digits by phone number id. Kept sealed.",
        "{\"106540352242922\": \"123456\"}",
    )
};

const CONNECTION_FIELDS: &[Field] = &[
    Field::id(),
    Field::read(
        "app",
        Shape::Id,
        "The WABA application.",
        "0199f1c2-1111-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::read(
        "state",
        Shape::OneOf(STATES),
        "Whether its steps are being done, all is connected, a step failed, or a number's PIN is needed. What failed or \
         waits can be resumed.",
        "running",
    ),
    Field::read(
        "steps",
        Shape::List("ConnectionStep"),
        "Its steps, in their order. More come along when the numbers are known.",
        "",
    ),
    Field::created_at(),
];

const STEP_FIELDS: &[Field] = &[
    Field::read("name", Shape::OneOf(Name::ALL), "What it does.", "register"),
    Field::read(
        "subject",
        Shape::Text,
        "To what: App ID, WABA id or phone number id.",
        "106540352242922",
    ),
    Field::read(
        "shown",
        Shape::Text,
        "The same as people know it: a number's digits.",
        "4915755501234",
    ),
    Field::read(
        "state",
        Shape::OneOf(&["pending", "running", "done", "failed"]),
        "How far it has come.",
        "done",
    ),
    Field::nullable(
        "error",
        Shape::Object("Trouble"),
        "What stands in its way; of a step that is running: why it is tried again.",
        "",
    ),
];

const INSPECTION_FIELDS: &[Field] = &[
    Field::read("token", Shape::Object("InspectedToken"), "The token.", ""),
    Field::read(
        "app",
        Shape::Object("InspectedApp"),
        "The application at Meta.",
        "",
    ),
    Field::read(
        "accounts",
        Shape::List("InspectedAccount"),
        "The accounts that the token sees.",
        "",
    ),
    Field::read(
        "problems",
        Shape::List("Trouble"),
        "What is wrong or missing, the worst first.",
        "",
    ),
];

const INSPECTED_TOKEN_FIELDS: &[Field] = &[
    Field::nullable("kind", Shape::Text, "SYSTEM_USER, USER …", "SYSTEM_USER"),
    Field::nullable(
        "app_id",
        Shape::Text,
        "App ID of the app it was issued for.",
        "530199836402875",
    ),
    Field::read("valid", Shape::Boolean, "Whether it works.", "true"),
    Field::nullable("expires_at", Shape::Time, "When it ends; null: never.", ""),
    Field::nullable(
        "data_access_expires_at",
        Shape::Time,
        "When it stops seeing data unless its user logs in again; null: never.",
        "",
    ),
    Field::read("scopes", Shape::Texts, "What it may do.", ""),
    Field::read(
        "missing_scopes",
        Shape::Texts,
        "What it must be allowed besides.",
        "",
    ),
];

const INSPECTED_APP_FIELDS: &[Field] = &[
    Field::nullable("name", Shape::Text, "Its name at Meta.", "Acme Connector"),
    Field::nullable(
        "live",
        Shape::Boolean,
        "Whether it is in Live mode; null: Meta does not tell.",
        "",
    ),
];

const INSPECTED_ACCOUNT_FIELDS: &[Field] = &[
    Field::read(
        "waba_id",
        Shape::Text,
        "Meta's id of the account.",
        "102290129340398",
    ),
    Field::nullable("name", Shape::Text, "Its name.", "Acme"),
    Field::nullable("entered", Shape::Id, "Our id, where it is entered.", ""),
    Field::read("phones", Shape::List("InspectedPhone"), "Its numbers.", ""),
];

const INSPECTED_PHONE_FIELDS: &[Field] = &[
    Field::read(
        "phone_id",
        Shape::Text,
        "Meta's phone number id.",
        "106540352242922",
    ),
    Field::nullable("phone", Shape::Text, "Its digits.", "4915755501234"),
    Field::nullable(
        "verified_name",
        Shape::Text,
        "The name that customers see.",
        "Acme",
    ),
    Field::nullable("status", Shape::Text, "CONNECTED, PENDING …", "CONNECTED"),
    Field::read(
        "pin_needed",
        Shape::Boolean,
        "Whether it has a two-step verification PIN that is needed to register it.",
        "false",
    ),
    Field::nullable("entered", Shape::Id, "Our id, where it is entered.", ""),
    Field::nullable(
        "problem",
        Shape::Object("Trouble"),
        "What stands in its way.",
        "",
    ),
];

const LOGIN_FIELDS: &[Field] = &[Field::read(
    "url",
    Shape::Address,
    "Where the browser is to go, within ten minutes and in this browser.",
    "https://www.facebook.com/v25.0/dialog/oauth?client_id=530199836402875",
)];

const WEBHOOK_FIELDS: &[Field] = &[
    Field::read(
        "callback_url",
        Shape::Address,
        "Where the application's callbacks go now.",
        "https://separator.example.com/api/waba/?app_id=530199836402875",
    ),
    Field::read(
        "fields",
        Shape::Texts,
        "The fields that were subscribed to.",
        "",
    ),
    Field::read(
        "active",
        Shape::Boolean,
        "Whether Meta posts to it.",
        "true",
    ),
];

const fn shown(
    name: &'static str,
    description: &'static str,
    fields: &'static [Field],
) -> Described {
    Described {
        name,
        purpose: Purpose::Shown,
        description,
        fields,
    }
}

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "Inspect",
        purpose: Purpose::Sent,
        description: "A token to be looked at.",
        fields: INSPECT_FIELDS,
    },
    Described {
        name: "Connect",
        purpose: Purpose::Sent,
        description: "What is to be connected.",
        fields: CONNECT_FIELDS,
    },
    Described {
        name: "ConnectionResume",
        purpose: Purpose::Sent,
        description: "What was missing.",
        fields: RESUME_FIELDS,
    },
    shown(
        "Connection",
        "Accounts and numbers being connected.",
        CONNECTION_FIELDS,
    ),
    shown("ConnectionStep", "A step of a connection.", STEP_FIELDS),
    shown("Inspection", "What a token opens.", INSPECTION_FIELDS),
    shown(
        "InspectedToken",
        "A token as Meta describes it.",
        INSPECTED_TOKEN_FIELDS,
    ),
    shown(
        "InspectedApp",
        "An application as Meta describes it.",
        INSPECTED_APP_FIELDS,
    ),
    shown(
        "InspectedAccount",
        "An account that a token sees.",
        INSPECTED_ACCOUNT_FIELDS,
    ),
    shown(
        "InspectedPhone",
        "A number that a token sees.",
        INSPECTED_PHONE_FIELDS,
    ),
    shown("FacebookLogin", "A login at Facebook.", LOGIN_FIELDS),
    shown(
        "AppWebhook",
        "Where an application's callbacks go.",
        WEBHOOK_FIELDS,
    ),
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "Look at a token",
        description: "Asks Meta what the token is, what it may do and what it sees, and says what is missing. Changes \
                      nothing.",
        body: Some("Inspect"),
        refusals: &[502],
        ..Operation::act(
            "/api/v1/waba/apps/{id}/inspect",
            TAG,
            "Inspection",
            Rule::Users,
            |call| Box::pin(inspect(call)),
        )
    },
    Operation {
        summary: "Connect accounts and numbers",
        description: "Begins a job: checks the token, subscribes the application to each account, enters accounts and \
                      numbers, registers numbers that need it and fetches templates. It goes on by itself, also after a \
                      restart.",
        body: Some("Connect"),
        status: StatusCode::ACCEPTED,
        location: Some(PATH),
        ..Operation::act(
            "/api/v1/waba/apps/{id}/connect",
            TAG,
            "Connection",
            Rule::Users,
            |call| Box::pin(begin(call)),
        )
    },
    Operation {
        summary: "Begin a login at Facebook",
        description: "Gives the address of the dialog. The browser comes back to /waba/callback/, which connects what was \
                      granted. The answer sets a cookie by which the same browser is known again.",
        refusals: &[409],
        ..Operation::act(
            "/api/v1/waba/apps/{id}/login",
            TAG,
            "FacebookLogin",
            Rule::Users,
            |call| Box::pin(log_in(call)),
        )
    },
    Operation {
        summary: "Set the application's callback at Meta",
        description: "Enters callback address, verify token and fields at Meta, which looks at once whether it reaches us.",
        refusals: &[502],
        ..Operation::act(
            "/api/v1/waba/apps/{id}/webhook",
            TAG,
            "AppWebhook",
            Rule::Users,
            |call| Box::pin(set_webhook(call)),
        )
    },
    Operation {
        summary: "List connections",
        description: "Newest first. Those of a week ago that are done go.",
        query: &[Parameter {
            name: "state",
            shape: Shape::OneOf(STATES),
            description: "In this state.",
        }],
        ..Operation::list(PATH, TAG, "Connection", Rule::Users, |call| {
            Box::pin(list(call))
        })
    },
    Operation {
        summary: "Show a connection",
        ..Operation::get(ONE, TAG, "Connection", Rule::Users, |call| {
            Box::pin(get(call))
        })
    },
    Operation {
        summary: "Go on with a connection",
        description: "Tries again what failed; with the PINs that were missing.",
        body: Some("ConnectionResume"),
        status: StatusCode::ACCEPTED,
        ..Operation::act(
            "/api/v1/waba/connections/{id}/resume",
            TAG,
            "Connection",
            Rule::Users,
            |call| Box::pin(resume(call)),
        )
    },
];

/// The app that the path names.
fn app_of(call: &Call) -> Result<WabaApp, Problem> {
    let id = call.id(WHAT_APP)?;
    let found = call.registry().waba_apps.get(&id).cloned();
    found.ok_or_else(|| Problem::unknown(WHAT_APP))
}

fn unanswered(error: &whatsapp::Error, language: Language) -> Problem {
    let trouble = Trouble::of(error);
    let text = format!("{} {}", trouble.text(language), trouble.fix(language));
    Problem::new(StatusCode::BAD_GATEWAY, text)
}

async fn inspect(call: Call) -> Outcome {
    let app = app_of(&call)?;
    let language = call.client.language;
    let mut fields = call.optional_fields(INSPECT_FIELDS)?;
    let token = fields.optional("access_token", rules::secret).flatten();
    fields.finish()?;
    match inspect::inspect(&call.app, &app, token.as_ref()).await {
        Ok(found) => Ok(show_inspection(&found, language)),
        Err(inspect::Failure::NoToken) => Err(Problem::field(
            "access_token",
            "is needed, here or in the application",
        )),
        Err(inspect::Failure::Meta(error)) => Err(unanswered(&error, language)),
    }
}

fn show_inspection(found: &Inspection, language: Language) -> Value {
    let problems: Vec<Value> = found
        .troubles
        .iter()
        .map(|trouble| trouble.show(language))
        .collect();
    let accounts: Vec<Value> = found
        .accounts
        .iter()
        .map(|seen| show_seen(seen, language))
        .collect();
    let moment = |seconds: Option<i64>| seconds.map(crate::time::Millis::from_seconds);
    json!({
        "token": {
            "kind": found.token.kind,
            "app_id": found.token.app_id,
            "valid": found.token.is_valid,
            "expires_at": moment(found.token.expires_at),
            "data_access_expires_at": moment(found.token.data_access_expires_at),
            "scopes": found.token.scopes,
            "missing_scopes": found.missing_scopes,
        },
        // Meta has no field for it.
        "app": { "name": found.app_name, "live": null },
        "accounts": accounts,
        "problems": problems,
    })
}

fn show_seen(seen: &Seen, language: Language) -> Value {
    let show = |seen: &SeenNumber| {
        let unregistered = matches!(seen.trouble, Some(Trouble::NotRegistered { .. }));
        json!({
            "phone_id": seen.number.id,
            "phone": seen.number.digits(),
            "verified_name": seen.number.verified_name,
            "status": seen.number.status,
            "pin_needed": unregistered && seen.number.is_pin_enabled,
            "entered": seen.entered,
            "problem": meta::trouble(seen.trouble.as_ref(), language),
        })
    };
    json!({
        "waba_id": seen.account.id,
        "name": seen.account.name,
        "entered": seen.entered,
        "phones": seen.phones.iter().map(show).collect::<Vec<Value>>(),
    })
}

async fn begin(call: Call) -> Outcome {
    let app = app_of(&call)?;
    let mut fields = call.fields(CONNECT_FIELDS, Mode::Create)?;
    let token = fields.optional("access_token", rules::secret).flatten();
    let accounts = fields.with_default("accounts", Vec::new(), rules::digits_list);
    let phones = fields.with_default("phones", Vec::new(), rules::digits_list);
    let pins = fields.with_default("pins", Vec::new(), rules::pins);
    if token.is_none() && app.access_token.is_none() {
        fields.error("access_token", "is needed, here or in the application");
    }
    fields.finish()?;
    for (phone, pin) in pins.unwrap_or_default() {
        connect::keep_pin(&call.app, &phone, &pin).await?;
    }
    let plan = Plan {
        accounts: accounts.unwrap_or_default(),
        phones: phones.unwrap_or_default(),
    };
    let connection = connect::begin(&call.app, app.id, token, plan).await?;
    Ok(show(&connection, call.client.language))
}

fn show(connection: &Connection, language: Language) -> Value {
    let step = |step: &Step| {
        json!({
            "name": step.name,
            "subject": step.subject,
            "shown": step.shown,
            "state": step.state,
            "error": meta::trouble(step.trouble.as_ref(), language),
        })
    };
    json!({
        "id": connection.id,
        "app": connection.app,
        "state": connection.state.as_str(),
        "steps": connection.steps.iter().map(step).collect::<Vec<Value>>(),
        "created_at": connection.created_at,
    })
}

async fn list(call: Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    let state = query.optional("state", rules::choice(STATES));
    query.finish()?;
    let apps: Vec<_> = call.registry().waba_apps.keys().copied().collect();
    let app = &call.app;
    let rows =
        connections::list(&app.store, &app.sealer, apps, state.as_ref(), page.window()).await?;
    let language = call.client.language;
    Ok(page.of_rows(rows, |row| row.id, |row| show(row, language)))
}

/// The connection that the path names, of an app within the caller's view.
async fn found(call: &Call) -> Result<Connection, Problem> {
    let id = call.id(WHAT)?;
    let found = connections::one(&call.app.store, &call.app.sealer, id).await?;
    found
        .filter(|found| call.registry().waba_apps.contains_key(&found.app))
        .ok_or_else(|| Problem::unknown(WHAT))
}

async fn get(call: Call) -> Outcome {
    Ok(show(&found(&call).await?, call.client.language))
}

async fn resume(call: Call) -> Outcome {
    let id = found(&call).await?.id;
    let mut fields = call.optional_fields(RESUME_FIELDS)?;
    let pins = fields.with_default("pins", Vec::new(), rules::pins);
    fields.finish()?;
    for (phone, pin) in pins.unwrap_or_default() {
        connect::keep_pin(&call.app, &phone, &pin).await?;
    }
    connect::resume(&call.app, id).await?;
    Ok(show(&found(&call).await?, call.client.language))
}

async fn log_in(call: Call) -> Outcome {
    let app = app_of(&call)?;
    call.optional_fields(&[])?.finish()?;
    let Some(user) = call.caller.user() else {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "only a user of Separator may do this",
        ));
    };
    let registry = call.registry();
    let site = registry
        .sites
        .get(&app.site_id)
        .ok_or_else(|| Problem::unknown(WHAT_APP))?;
    // The browser comes back to the site, and its cookies are those of the site.
    if call.client.host != site.domain {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            format!(
                "Facebook sends the browser back to {base}; open this page there, at {base}/, and begin again",
                base = site.base_url()
            ),
        ));
    }
    let session = match user.by {
        By::Session(id) => Some(id),
        By::Key(_) => None,
    };
    let begun = login::begin(&call.app, &app, site, user.id, session).await?;
    call.cookies.set(begun.cookie);
    Ok(json!({ "url": begun.dialog.as_str() }))
}

async fn set_webhook(call: Call) -> Outcome {
    let app = app_of(&call)?;
    call.optional_fields(&[])?.finish()?;
    let language = call.client.language;
    let registry = call.registry();
    let Some(site) = registry.sites.get(&app.site_id) else {
        return Err(Problem::unknown(WHAT_APP));
    };
    match webhook::set(&call.app, &app, site).await {
        Ok(set) => Ok(json!({
            "callback_url": set.callback_url,
            "fields": set.fields,
            "active": set.active,
        })),
        Err(trouble) => Err(Problem::new(
            StatusCode::BAD_GATEWAY,
            format!("{} {}", trouble.text(language), trouble.fix(language)),
        )),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use whatsapp::client::{BusinessAccount, PhoneNumber, TokenInfo};

    use super::*;
    use crate::{
        account::connect::{State, StepState},
        time::Millis,
    };

    #[test]
    fn what_is_shown_is_what_is_described() {
        let describe = crate::api::description::assert_described;
        let connection = Connection {
            id: Uuid::nil(),
            app: Uuid::nil(),
            state: State::Running,
            access_token: None,
            plan: Plan {
                accounts: Vec::new(),
                phones: Vec::new(),
            },
            steps: vec![Step {
                name: Name::Register,
                subject: "1".to_owned(),
                shown: "49".to_owned(),
                state: StepState::Failed,
                trouble: Some(Trouble::NoAccount),
            }],
            attempts: 0,
            due_at: Millis(0),
            created_at: Millis(0),
        };
        let shown = show(&connection, Language::Russian);
        describe("Connection", &shown);
        describe("ConnectionStep", &shown["steps"][0]);
        let inspection = Inspection {
            token: TokenInfo::default(),
            expires_at: None,
            missing_scopes: vec!["x"],
            app_name: None,
            accounts: vec![Seen {
                account: BusinessAccount::default(),
                entered: None,
                phones: vec![SeenNumber {
                    number: PhoneNumber::default(),
                    entered: None,
                    trouble: None,
                }],
            }],
            troubles: vec![Trouble::NoToken],
        };
        let shown = show_inspection(&inspection, Language::English);
        describe("Inspection", &shown);
        describe("InspectedToken", &shown["token"]);
        describe("InspectedApp", &shown["app"]);
        describe("InspectedAccount", &shown["accounts"][0]);
        describe("InspectedPhone", &shown["accounts"][0]["phones"][0]);
    }

    #[test]
    fn paths_of_apps_are_looked_up_as_such() {
        for operation in OPERATIONS {
            let of_app = operation.path.starts_with("/api/v1/waba/apps/{id}");
            assert_eq!(
                of_app,
                super::super::view::Kind::of(operation.path).is_some()
            );
        }
    }
}
