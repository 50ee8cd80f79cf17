//! Browsers that signed in to an account before: a signed cookie, nothing stored. It opens no door; it only keeps the
//! tries of its browser apart from those of strangers, see [`attempts`](super::attempts).

use std::time::Duration;

use axum::http::HeaderValue;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use super::session;
use crate::{identifiers::Chance, seal::Sealer, secret::Secret};

/// Name of the cookie.
pub const COOKIE: &str = "__Host-separator-browser";

/// How long a browser is known; browsers keep no cookie longer than 400 days.
const LIFETIME: Duration = Duration::from_hours(400 * 24);

/// For what the key is derived.
const PURPOSE: &str = "browser";

fn signature(key: &[u8], user: Uuid, device: &[u8]) -> Hmac<Sha256> {
    let mut code = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    code.update(user.as_bytes());
    code.update(device);
    code
}

/// The cookie for a browser in which a user has just signed in.
pub fn set_cookie(sealer: &Sealer, chance: &Chance, user: Uuid) -> Option<HeaderValue> {
    session::header(COOKIE, &issue(sealer, chance, user), LIFETIME)
}

fn issue(sealer: &Sealer, chance: &Chance, user: Uuid) -> String {
    let device: [u8; 16] = chance.bytes();
    let code = signature(&sealer.derive(PURPOSE), user, &device);
    let mut bytes = device.to_vec();
    bytes.extend_from_slice(&code.finalize().into_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Which browser of a user presents this cookie; none where it is not ours or was given to somebody else.
pub fn verify(sealer: &Sealer, user: Uuid, cookie: &Secret) -> Option<String> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cookie.expose()).ok()?;
    let (device, code) = bytes.split_first_chunk::<16>()?;
    sealer
        .derive_each(PURPOSE)
        .iter()
        .any(|key| signature(key, user, device).verify_slice(code).is_ok())
        .then(|| crate::secret::hex(device))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_browser_is_known_for_the_user_who_signed_in_there() {
        let sealer = Sealer::from_keys(vec![[1; 32]], Chance::seeded(1)).unwrap();
        let other = Sealer::from_keys(vec![[2; 32]], Chance::seeded(1)).unwrap();
        let (anna, boris) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let cookie = Secret::new(issue(&sealer, &Chance::seeded(3), anna));
        assert!(verify(&sealer, anna, &cookie).is_some());
        assert_eq!(verify(&sealer, boris, &cookie), None);
        assert_eq!(verify(&other, anna, &cookie), None);
        for wrong in ["", "AAAA", "!"] {
            assert_eq!(verify(&sealer, anna, &Secret::new(wrong)), None);
        }
        let rotated = Sealer::from_keys(vec![[2; 32], [1; 32]], Chance::seeded(1)).unwrap();
        assert!(verify(&rotated, anna, &cookie).is_some());
    }
}
