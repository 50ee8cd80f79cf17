//! Setting an app's callback at Meta.

use whatsapp::client::{Credentials, WEBHOOK_FIELDS};

use super::{Trouble, client, health};
use crate::{
    app::App,
    registry::{Site, WabaApp},
};

/// Where an app's callbacks go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The address.
    pub callback_url: String,
    /// The fields.
    pub fields: Vec<String>,
    /// Whether Meta posts to it.
    pub active: bool,
}

/// Our callback address for an app.
pub fn callback_url(site: &Site, app: &WabaApp) -> String {
    format!("{}/api/waba/?app_id={}", site.base_url(), app.client_id)
}

/// Sets address, verify token and fields, and reads them back. Meta makes its handshake with us meanwhile. Calls are asked
/// for with all else: what we do not use is kept, not lost.
pub async fn set(app: &App, waba_app: &WabaApp, site: &Site) -> Result<Set, Trouble> {
    let secret = whatsapp::Secret::new(waba_app.client_secret.expose());
    let own = Credentials::of_app(&waba_app.client_id, &secret);
    let client = client(app);
    let address = callback_url(site, waba_app);
    let verify_token = whatsapp::Secret::new(waba_app.verify_token.as_str());
    let outcome = client
        .set_app_webhook(
            &own,
            &waba_app.client_id,
            &address,
            &verify_token,
            WEBHOOK_FIELDS,
        )
        .await;
    if let Err(error) = outcome {
        return Err(of(&error));
    }
    let now = client
        .app_webhook(&own, &waba_app.client_id)
        .await
        .map_err(|error| of(&error))?;
    now.map(|webhook| Set {
        callback_url: webhook.callback_url.unwrap_or(address),
        fields: webhook.fields,
        active: webhook.active,
    })
    .ok_or_else(|| Trouble::CallbackUnreachable {
        details: "Meta took it and does not show it".to_owned(),
    })
}

fn of(error: &whatsapp::Error) -> Trouble {
    match error.api() {
        // "Callback verification failed".
        Some(api) if api.code == Some(2200) => Trouble::CallbackUnreachable {
            details: api.message.clone(),
        },
        Some(_) if health::is_wrong_secret(error) => Trouble::WrongSecret,
        _ => Trouble::of(error),
    }
}
