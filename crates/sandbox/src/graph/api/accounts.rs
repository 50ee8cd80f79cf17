//! WhatsApp Business Accounts: what they are, their numbers, subscriptions and templates.

use super::{Access, Call, Outcome, argument, numbers, page, select, unknown_path};
use crate::graph::{
    HandshakeError, Shared, ailments,
    error::GraphError,
    outbox,
    templates::{self, Template},
    world::{Override, Session, World},
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

/// Makes a template; its review begins. Source: Meta: message templates.
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
    check_samples(world, &call.body["components"])?;
    let template_id = world.new_id().to_string();
    let Some(account) = world.accounts.get_mut(id) else {
        return Err(GraphError::invisible(id));
    };
    if account.gone.contains(&name) {
        return Err(GraphError::of_template(
            2_388_023,
            "New content can't be added while the existing content of this name is being deleted.",
        ));
    }
    if account
        .templates
        .iter()
        .any(|template| template.name == name && template.language == language)
    {
        return Err(GraphError::of_template(
            2_388_024,
            "There is already content in this language for this template.",
        ));
    }
    let parameter_format = argument(call, "parameter_format")
        .unwrap_or_else(|| "POSITIONAL".to_owned())
        .to_ascii_uppercase();
    let mut components = call.body["components"].clone();
    if category.eq_ignore_ascii_case("AUTHENTICATION") {
        components = templates::authentication(&components)?;
    } else {
        templates::check_content(&components)?;
    }
    account.templates.push(Template {
        id: template_id.clone(),
        name,
        language,
        status: "PENDING".to_owned(),
        category: category.clone(),
        parameter_format,
        components,
        quality: "UNKNOWN".to_owned(),
        reason: "NONE".to_owned(),
    });
    Ok(json!({"id": template_id, "status": "PENDING", "category": category}))
}

/// The sample of a header's file must be the handle of an upload.
fn check_samples(world: &World, components: &Value) -> Result<(), GraphError> {
    for component in components.as_array().into_iter().flatten() {
        let format = component["format"].as_str().unwrap_or_default();
        if !["IMAGE", "VIDEO", "GIF", "DOCUMENT"].contains(&format) {
            continue;
        }
        let given = component["example"]["header_handle"][0].as_str();
        let known = world
            .uploads
            .values()
            .any(|upload| upload.handle.as_deref() == given && given.is_some());
        if !known {
            return Err(GraphError::of_template(
                2_388_273,
                "The sample of the header is missing or not a handle of an upload.",
            ));
        }
    }
    Ok(())
}

/// Changes a template; it is reviewed again. Source: Meta: edit a message template.
pub(super) fn edit_template(shared: &Shared, access: &Access, call: &Call, id: &str) -> Outcome {
    let mut world = shared.world();
    let components = &call.body["components"];
    if components.is_array() {
        check_samples(&world, components)?;
        templates::check_content(components)?;
    }
    let template = world
        .accounts
        .values_mut()
        .filter(|account| access.sees(&account.id))
        .flat_map(|account| &mut account.templates)
        .find(|template| template.id == id)
        .ok_or_else(|| GraphError::invisible(id))?;
    if !["APPROVED", "REJECTED", "PAUSED"].contains(&template.status.as_str()) {
        return Err(GraphError::parameter(
            "Only approved, rejected and paused templates can be edited.",
        ));
    }
    if let Some(category) = argument(call, "category") {
        if template.status == "APPROVED" {
            return Err(GraphError::parameter(
                "The category of an approved template cannot be edited.",
            ));
        }
        template.category = category;
    }
    if components.is_array() {
        template.components = components.clone();
    }
    "PENDING".clone_into(&mut template.status);
    "NONE".clone_into(&mut template.reason);
    Ok(json!({"success": true}))
}

/// Begins a resumable upload. Source: Meta: resumable upload API.
pub(super) fn begin_upload(shared: &Shared, access: &Access, call: &Call) -> Outcome {
    let text = |name: &str| argument(call, name).ok_or_else(|| GraphError::missing(name));
    let length = text("file_length")?
        .parse()
        .map_err(|_| GraphError::parameter("file_length must be a number."))?;
    let kind = text("file_type")?;
    let known = [
        "application/pdf",
        "image/jpeg",
        "image/jpg",
        "image/png",
        "video/mp4",
    ];
    if !known.contains(&kind.as_str()) {
        return Err(GraphError::parameter("file_type is not supported."));
    }
    let mut world = shared.world();
    let session = format!("upload:MTph{}", world.new_id());
    let upload = Session {
        app_id: Arc::clone(&access.app_id),
        length,
        kind,
        handle: None,
    };
    world.uploads.insert(session.clone(), upload);
    Ok(json!({"id": format!("{session}?sig=ARZq")}))
}

/// Takes the bytes of an upload, of which only the length is looked at.
pub(super) fn upload(shared: &Shared, access: &Access, call: &Call, session: &str) -> Outcome {
    let header = |name: &str| {
        let value = call.headers.get(name)?.to_str().ok()?;
        value.parse::<u64>().ok()
    };
    let mut world = shared.world();
    let handle = format!("4::aW1hZ2U{}", world.new_id());
    let upload = world
        .uploads
        .get_mut(session)
        .filter(|upload| upload.app_id == access.app_id)
        .ok_or_else(|| GraphError::invisible(session))?;
    if call.query.get("sig").map(String::as_str) != Some("ARZq") {
        return Err(GraphError::parameter(
            "The signature of the upload is not valid.",
        ));
    }
    if call.method == axum::http::Method::GET {
        return Ok(json!({"id": session, "file_offset": 0, "file_type": upload.kind}));
    }
    if header("file_offset") != Some(0) {
        return Err(GraphError::missing("file_offset"));
    }
    if header("content-length") != Some(upload.length) {
        return Err(GraphError::parameter(
            "The file has another length than was said.",
        ));
    }
    upload.handle = Some(handle.clone());
    Ok(json!({"h": handle}))
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
    if !account.templates.iter().any(|one| one.name == name) {
        account.gone.insert(name);
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
