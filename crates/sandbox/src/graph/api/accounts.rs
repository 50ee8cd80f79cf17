//! WhatsApp Business Accounts: what they are, their numbers, subscriptions and templates.

use super::{Access, Call, Outcome, argument, numbers, page, select, unknown_path};
use crate::graph::{
    HandshakeError, Shared, ailments,
    error::GraphError,
    outbox,
    templates::Template,
    world::{Override, World},
};
use serde_json::{Value, json};
use std::sync::Arc;
use url::Url;

/// A callback address may have so many characters.
const ADDRESS_LIMIT: usize = 200;

/// Calls about an account that are answered from what is known.
pub(super) fn answer(shared: &Shared, access: &Access, call: &Call, segments: &[&str]) -> Outcome {
    let id = segments[0];
    let mut world = shared.world();
    access.account(&mut world, id)?;
    match (call.method.as_str(), &segments[1..]) {
        ("GET", []) => Ok(show(&world, call, id)),
        ("GET", ["phone_numbers"]) => Ok(phone_numbers(shared, &world, call, id)),
        ("POST", ["phone_numbers"]) => add_number(shared, &mut world, call, id),
        ("GET", ["subscribed_apps"]) => {
            let account = access.account(&mut world, id)?;
            let data: Vec<Value> = account
                .subscribed
                .iter()
                .map(|(app, callback)| subscribed_app(app, callback.as_ref()))
                .collect();
            Ok(json!({ "data": data }))
        }
        ("DELETE", ["subscribed_apps"]) => {
            let account = access.account(&mut world, id)?;
            account.subscribed.remove(&access.app_id);
            Ok(json!({"success": true}))
        }
        ("GET", ["message_templates"]) => Ok(list_templates(shared, &world, call, id)),
        ("POST", ["message_templates"]) => create_template(&mut world, call, id),
        ("DELETE", ["message_templates"]) => delete_template(&mut world, call, id),
        _ => Err(unknown_path(call)),
    }
}

fn show(world: &World, call: &Call, id: &str) -> Value {
    let name = world
        .accounts
        .get(id)
        .map_or("", |account| account.name.as_str());
    let full = json!({
        "id": id,
        "name": name,
        "status": "ACTIVE",
        "currency": "EUR",
        "timezone_id": "42",
        "country": "DE",
        "message_template_namespace": "5a4db00c_sandbox",
        "account_review_status": "APPROVED",
        "business_verification_status": "verified",
        "ownership_type": "SELF",
        "health_status": {"can_send_message": "AVAILABLE", "entities": []},
    });
    select(
        &ailments::told(&world.said, id, full),
        call.query.get("fields").map(String::as_str),
        &[
            "name",
            "timezone_id",
            "message_template_namespace",
            "currency",
        ],
    )
}

/// The one business that everybody here belongs to.
const BUSINESS: &str = "550100000000003";

/// The businesses of the token's holder. Source: Meta: user, businesses.
pub(super) fn businesses(shared: &Shared, access: &Access, call: &Call) -> Outcome {
    access.require("business_management")?;
    let name = &shared.settings.business_name;
    Ok(page(shared, call, &[json!({"id": BUSINESS, "name": name})]))
}

/// The accounts of a business: it owns all of them. Source: Meta: business, owned WhatsApp Business Accounts.
pub(super) fn of_business(
    shared: &Shared,
    access: &Access,
    call: &Call,
    business: &str,
    edge: &str,
) -> Outcome {
    access.require("business_management")?;
    if business != BUSINESS {
        return Err(GraphError::invisible(business));
    }
    let world = shared.world();
    let all: Vec<Value> = world
        .accounts
        .keys()
        .filter(|id| edge.starts_with("owned") && access.sees(id))
        .map(|id| show(&world, call, id))
        .collect();
    Ok(page(shared, call, &all))
}

fn phone_numbers(shared: &Shared, world: &World, call: &Call, id: &str) -> Value {
    let all: Vec<Value> = world
        .numbers
        .values()
        .filter(|number| &*number.account == id)
        .map(|number| numbers::show(world, number, call))
        .collect();
    page(shared, call, &all)
}

fn add_number(shared: &Shared, world: &mut World, call: &Call, account: &str) -> Outcome {
    let code = argument(call, "cc").ok_or_else(|| GraphError::missing("cc"))?;
    let rest = argument(call, "phone_number").ok_or_else(|| GraphError::missing("phone_number"))?;
    let digits: String = format!("{code}{rest}")
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let id = world.new_id();
    let mut number = crate::graph::world::Number::new(&shared.settings, account, &id, &digits);
    number.registered = false;
    if let Some(name) = argument(call, "verified_name") {
        number.name = name;
    }
    world.numbers.insert(Arc::clone(&id), number);
    Ok(json!({"id": &*id}))
}

fn subscribed_app(app: &str, callback: Option<&Override>) -> Value {
    let mut entry = json!({
        "whatsapp_business_api_data": {
            "id": app,
            "name": "Sandbox",
            "link": "https://www.facebook.com/games/?app_id=".to_owned() + app,
        },
    });
    if let Some(callback) = callback {
        entry["override_callback_uri"] = callback.callback.as_str().into();
    }
    entry
}

/// Subscribes the token's application, with a callback of its own if one is given and answers the handshake.
pub(super) async fn subscribe(shared: &Shared, access: &Access, call: &Call, id: &str) -> Outcome {
    access.require("whatsapp_business_management")?;
    access.account(&mut shared.world(), id)?;
    let callback = match argument(call, "override_callback_uri") {
        Some(address) if !address.is_empty() => {
            let verify_token = argument(call, "verify_token").unwrap_or_default();
            Some(verified(shared, &address, &verify_token).await?)
        }
        _ => None,
    };
    let mut world = shared.world();
    let account = access.account(&mut world, id)?;
    account
        .subscribed
        .insert(Arc::clone(&access.app_id), callback);
    drop(world);
    shared.bump();
    shared.outbox.kick();
    Ok(json!({"success": true}))
}

/// Calls about an application, which only its own token may make.
pub(super) async fn app(shared: &Shared, access: &Access, call: &Call, rest: &[&str]) -> Outcome {
    match (call.method.as_str(), rest) {
        ("GET", []) => {
            let name = shared
                .world()
                .apps
                .get(&access.app_id)
                .map(|app| app.name.clone());
            let full = json!({
                "id": &*access.app_id,
                "name": name,
                "link": format!("https://www.facebook.com/games/?app_id={}", access.app_id),
            });
            let fields = call.query.get("fields").map(String::as_str);
            Ok(select(&full, fields, &["name", "link"]))
        }
        ("GET", ["subscriptions"]) => Ok(json!({ "data": subscriptions(shared, access) })),
        ("POST", ["subscriptions"]) => subscribe_app(shared, access, call).await,
        _ => Err(unknown_path(call)),
    }
}

/// The fields of an application that is subscribed to every field, as far as anybody here asks for them.
const USUAL_FIELDS: [&str; 8] = [
    "messages",
    "message_template_status_update",
    "message_template_components_update",
    "message_template_quality_update",
    "account_update",
    "phone_number_quality_update",
    "phone_number_name_update",
    "calls",
];

fn subscriptions(shared: &Shared, access: &Access) -> Vec<Value> {
    let world = shared.world();
    let app = world.apps.get(&access.app_id);
    let callback = app.and_then(|app| app.callback.as_ref().map(|callback| (app, callback)));
    callback
        .map(|(app, callback)| {
            let named = |field: &str| json!({"name": field, "version": "v25.0"});
            let fields: Vec<Value> = match &app.fields {
                Some(fields) => fields.iter().map(|field| named(field)).collect(),
                None => USUAL_FIELDS.iter().map(|field| named(field)).collect(),
            };
            let full = json!({
                "object": "whatsapp_business_account",
                "callback_url": callback.as_str(),
                "active": true,
                "fields": fields,
            });
            ailments::told(&world.said, &app.id, full)
        })
        .into_iter()
        .collect()
}

/// Sets callback and fields of an application. Source: Meta: Graph API, application subscriptions.
async fn subscribe_app(shared: &Shared, access: &Access, call: &Call) -> Outcome {
    if argument(call, "object").as_deref() != Some("whatsapp_business_account") {
        return Err(GraphError::parameter(
            "object must be whatsapp_business_account.",
        ));
    }
    let address =
        argument(call, "callback_url").ok_or_else(|| GraphError::missing("callback_url"))?;
    let verify_token =
        argument(call, "verify_token").ok_or_else(|| GraphError::missing("verify_token"))?;
    let fields = argument(call, "fields").ok_or_else(|| GraphError::missing("fields"))?;
    let callback = verified(shared, &address, &verify_token).await?;
    if let Some(app) = shared.world().apps.get_mut(&access.app_id) {
        app.callback = Some(callback.callback);
        app.verify_token = verify_token;
        app.fields = Some(
            fields
                .split(',')
                .map(|field| field.trim().to_owned())
                .collect(),
        );
    }
    shared.bump();
    shared.outbox.kick();
    Ok(json!({"success": true}))
}

/// An address that answered the handshake.
pub(super) async fn verified(
    shared: &Shared,
    address: &str,
    verify_token: &str,
) -> Result<Override, GraphError> {
    let callback = Url::parse(address)
        .ok()
        .filter(|_| address.len() <= ADDRESS_LIMIT)
        .ok_or_else(|| GraphError::parameter("The callback is not a valid URL."))?;
    match outbox::handshake(shared, &callback, verify_token).await {
        Ok(()) => Ok(Override { callback }),
        Err(HandshakeError::Refused { status, .. }) => Err(GraphError {
            code: 2200,
            subcode: None,
            details: format!(
                "Callback verification failed with the following errors: HTTP Status Code = {status}"
            ),
        }),
        Err(_) => Err(GraphError::new(
            2200,
            "The URL couldn't be validated. Response does not match challenge.",
        )),
    }
}

fn list_templates(shared: &Shared, world: &World, call: &Call, id: &str) -> Value {
    let wanted = |name: &str, value: &str| {
        call.query
            .get(name)
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let all: Vec<Value> = world
        .accounts
        .get(id)
        .map(|account| account.templates.as_slice())
        .unwrap_or_default()
        .iter()
        .filter(|template| wanted("name", &template.name) && wanted("status", &template.status))
        .map(|template| {
            select(
                &template.as_json(),
                call.query.get("fields").map(String::as_str),
                &[
                    "name",
                    "language",
                    "status",
                    "category",
                    "parameter_format",
                    "components",
                ],
            )
        })
        .collect();
    page(shared, call, &all)
}

fn create_template(world: &mut World, call: &Call, id: &str) -> Outcome {
    let text = |name: &str| argument(call, name).ok_or_else(|| GraphError::missing(name));
    let (name, language, category) = (text("name")?, text("language")?, text("category")?);
    let plain = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_'
    };
    if !name.chars().all(plain) || name.len() > 512 {
        return Err(GraphError::parameter(
            "Param name must have only lowercase letters, digits and underscores.",
        ));
    }
    if !call.body["components"].is_array() {
        return Err(GraphError::missing("components"));
    }
    let template_id = world.new_id().to_string();
    let Some(account) = world.accounts.get_mut(id) else {
        return Err(GraphError::invisible(id));
    };
    if account
        .templates
        .iter()
        .any(|template| template.name == name && template.language == language)
    {
        return Err(GraphError {
            subcode: Some(2_388_024),
            ..GraphError::parameter("There is already content in this language for this template.")
        });
    }
    account.templates.push(Template {
        id: template_id.clone(),
        name,
        language,
        status: "PENDING".to_owned(),
        category: category.clone(),
        parameter_format: argument(call, "parameter_format")
            .unwrap_or_else(|| "POSITIONAL".to_owned())
            .to_ascii_uppercase(),
        components: call.body["components"].clone(),
        quality: "UNKNOWN".to_owned(),
        reason: "NONE".to_owned(),
    });
    Ok(json!({"id": template_id, "status": "PENDING", "category": category}))
}

fn delete_template(world: &mut World, call: &Call, id: &str) -> Outcome {
    let name = argument(call, "name").ok_or_else(|| GraphError::missing("name"))?;
    let template_id = argument(call, "hsm_id");
    let Some(account) = world.accounts.get_mut(id) else {
        return Err(GraphError::invisible(id));
    };
    let before = account.templates.len();
    account.templates.retain(|template| {
        template.name != name
            || template_id
                .as_ref()
                .is_some_and(|wanted| *wanted != template.id)
    });
    if account.templates.len() == before {
        return Err(GraphError::parameter("Message template was not found."));
    }
    Ok(json!({"success": true}))
}

/// A template by its id.
pub(super) fn template(shared: &Shared, access: &Access, id: &str) -> Outcome {
    let world = shared.world();
    world
        .accounts
        .values()
        .filter(|account| access.sees(&account.id))
        .flat_map(|account| &account.templates)
        .find(|template| template.id == id)
        .map(Template::as_json)
        .ok_or_else(|| GraphError::invisible(id))
}
