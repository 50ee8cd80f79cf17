//! Webhooks as Meta writes and signs them, made before the clock starts.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use url::Url;

use crate::wire;

/// Bytes of a usual body: a text of some 650 characters.
const USUAL: usize = 1200;

/// A business number as its webhooks name it.
#[derive(Debug, Clone)]
pub(crate) struct Number {
    pub(crate) waba: String,
    pub(crate) id: String,
    pub(crate) digits: String,
}

/// Makes signed webhooks for one address.
#[derive(Clone)]
pub(crate) struct Signer {
    code: Hmac<Sha256>,
    host: String,
    path: String,
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// The digits of a customer's phone number.
pub(crate) fn customer(index: u64) -> String {
    format!("4930{index:08}")
}

/// No two messages of a run share an id.
fn wamid() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!(
        "wamid.HBgNNDkxNTc1NTUwOTg3NhUCABIYFDNB{:012X}{number:012X}AA==",
        now()
    )
}

impl Signer {
    pub(crate) fn new(secret: &str, address: &Url) -> anyhow::Result<Self> {
        let host = address.host_str().context("the address has no host")?;
        let port = address.port().context("the address has no port")?;
        let query = address
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        Ok(Self {
            code: Hmac::new_from_slice(secret.as_bytes()).context("the secret")?,
            host: format!("{host}:{port}"),
            path: format!("{}{query}", address.path()),
        })
    }

    /// A text of a customer as a whole request. The text begins with `mark`, a space, and goes on to the usual length.
    pub(crate) fn text(&self, number: &Number, customer: &str, mark: &str) -> Vec<u8> {
        let body = text_body(number, customer, mark);
        let code = self
            .code
            .clone()
            .chain_update(&body)
            .finalize()
            .into_bytes();
        let mut signature = String::from("sha256=");
        for byte in code {
            // Writing to a String cannot fail.
            let _ = write!(signature, "{byte:02x}");
        }
        let headers = [
            ("content-type", "application/json"),
            ("user-agent", "facebookexternalua"),
            ("x-hub-signature-256", &signature),
        ];
        wire::post(&self.host, &self.path, &headers, body.as_bytes())
    }
}

/// The body alone.
pub(crate) fn text_body(number: &Number, customer: &str, mark: &str) -> String {
    let Number { waba, id, digits } = number;
    let head = format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"{waba}","changes":[{{"value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"{digits}","phone_number_id":"{id}"}},"contacts":[{{"profile":{{"name":"Lena Klein"}},"wa_id":"{customer}"}}],"messages":[{{"from":"{customer}","id":"{}","timestamp":"{}","text":{{"body":"{mark} "#,
        wamid(),
        now() / 1000,
    );
    let tail = r#""},"type":"text"}]},"field":"messages"}]}]}"#;
    let mut body = head;
    while body.len() + tail.len() < USUAL {
        body.push_str("Is the blue one still there? ");
    }
    body.push_str(tail);
    body
}
