//! Bitrix24's doors for what it wants done: an SMS to be sent, a robot or an action of a workflow to be carried out.
//!
//! Both come through the same queue as events and are not repeated either. A robot's post carries the application token.
//! An SMS of an automation carries no proof at all (Bitrix24: messageservice), so the handler's address holds a mark of
//! ours over the number and the portal: whoever knows the address is the portal. Where there is a token, it must be right
//! as well.

use std::sync::Arc;

use axum::{
    extract::{Query, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bitrix24::{bizproc, events::EventAuth, sms};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::{bitrix::blank_tokens, read_body};
use crate::{
    app::App,
    registry::{Instance, Phone, Registry},
    seal::{KeyBytes, Sealer},
    store::receipts::Source,
};

/// What the key of the marks is derived for, and what a mark is over.
const PURPOSE: &str = "sms handlers";

/// The code of a number's SMS provider: for ever the same, whatever its number or its portal.
pub fn sender_code(phone: &Phone) -> String {
    format!("separator_{}", phone.phone_number_id)
}

/// The address to which a portal posts the SMS of a number.
pub fn sms_handler(base: &str, sealer: &Sealer, phone: Uuid, instance: Uuid) -> String {
    let mark = mark(&sealer.derive(PURPOSE), phone, instance);
    let mark = BASE64_URL_SAFE_NO_PAD.encode(mark);
    format!("{base}/api/bitrix/sms/?number={phone}&mark={mark}")
}

/// The address to which a portal posts robots and actions of workflows.
pub fn robots_handler(base: &str) -> String {
    format!("{base}/api/bitrix/bizproc/")
}

fn mark(key: &KeyBytes, phone: Uuid, instance: Uuid) -> [u8; 32] {
    let mut code = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    code.update(PURPOSE.as_bytes());
    code.update(phone.as_bytes());
    code.update(instance.as_bytes());
    code.finalize().into_bytes().into()
}

/// Query of an SMS handler's address.
#[derive(Debug, Deserialize)]
pub struct Address {
    number: Option<Uuid>,
    mark: Option<String>,
}

/// `POST /api/bitrix/sms/`: an SMS to be sent.
pub async fn sms(
    State(app): State<Arc<App>>,
    Query(address): Query<Address>,
    request: Request,
) -> Response {
    let registry = app.directory.snapshot();
    let Some((phone, instance)) = marked(&app, &registry, &address) else {
        return refuse(&app, "sms_mark", "this address is not one of ours");
    };
    let body = match read_body(request.into_body()).await {
        Ok(body) => body,
        Err(status) => return status.into_response(),
    };
    let order = match sms::Request::parse(&body) {
        Ok(order) => order,
        Err(error) => {
            app.metrics.count("doors_refused", "sms_body");
            return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
        }
    };
    if order.code != sender_code(phone) {
        return refuse(&app, "sms_code", "the provider belongs to another number");
    }
    // A post without an author has no block of proofs; one that has it must have the right ones.
    if order
        .auth
        .as_ref()
        .is_some_and(|auth| !proves(auth, instance))
    {
        return refuse(&app, "application_token", WRONG_TOKEN);
    }
    commit(&app, Source::Sms, instance.id, blank_tokens(&body)).await
}

/// `POST /api/bitrix/bizproc/`: a robot or an action of a workflow to be carried out.
pub async fn bizproc(State(app): State<Arc<App>>, request: Request) -> Response {
    let body = match read_body(request.into_body()).await {
        Ok(body) => body,
        Err(status) => return status.into_response(),
    };
    let order = match bizproc::Request::parse(&body) {
        Ok(order) => order,
        Err(bizproc::NotUnderstood::NoMember) => {
            return refuse(&app, "not_understood", "this is no step of a workflow");
        }
        Err(error) => {
            app.metrics.count("doors_refused", "robot_body");
            return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
        }
    };
    let registry = app.directory.snapshot();
    let Some(instance) = registry
        .instances_of(&order.auth.member_id)
        .find(|instance| proves(&order.auth, instance))
    else {
        return refuse(&app, "application_token", WRONG_TOKEN);
    };
    commit(&app, Source::Robot, instance.id, blank_tokens(&body)).await
}

const WRONG_TOKEN: &str = "the application token is not known for this portal";

/// The number and the portal whose mark an address carries.
fn marked<'a>(
    app: &App,
    registry: &'a Registry,
    address: &Address,
) -> Option<(&'a Phone, &'a Instance)> {
    let phone = registry.phones.get(&address.number?)?;
    let instance = registry.instance_of(phone)?;
    let given = BASE64_URL_SAFE_NO_PAD
        .decode(address.mark.as_deref()?)
        .ok()?;
    let ours = |key: &KeyBytes| {
        let mark = mark(key, phone.id, instance.id);
        bool::from(mark.as_slice().ct_eq(&given))
    };
    app.sealer
        .derive_each(PURPOSE)
        .iter()
        .any(ours)
        .then_some((phone, instance))
}

fn proves(auth: &EventAuth, instance: &Instance) -> bool {
    auth.member_id == instance.member_id
        && auth
            .application_token
            .as_ref()
            .zip(instance.application_token.as_ref())
            .is_some_and(|(claimed, known)| known.matches(claimed.expose()))
}

async fn commit(app: &App, source: Source, owner: Uuid, body: Vec<u8>) -> Response {
    if let Ok(_committed) = app.committer.commit(source, owner, body).await {
        app.metrics.count("doors_accepted", source.as_str());
        StatusCode::OK.into_response()
    } else {
        app.metrics.count("doors_refused", "not_stored");
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }
}

fn refuse(app: &App, kind: &'static str, why: &'static str) -> Response {
    app.metrics.count("doors_refused", kind);
    (StatusCode::UNAUTHORIZED, why).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_of_one_number_on_one_portal() {
        let key = [7; 32];
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(mark(&key, one, other), mark(&key, one, other));
        assert_ne!(mark(&key, one, other), mark(&key, other, one));
        assert_ne!(mark(&key, one, other), mark(&key, one, one));
        assert_ne!(mark(&key, one, other), mark(&[8; 32], one, other));
    }
}
