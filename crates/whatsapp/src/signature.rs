//! Proofs made with the app secret: on callbacks from Meta, and on calls to it.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::Secret;

/// Why a callback is not taken for Meta's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no `X-Hub-Signature-256` header.
    #[error("the signature header is missing")]
    Missing,
    /// The header is not `sha256=` and 64 hexadecimal digits.
    #[error("the signature header is malformed")]
    Malformed,
    /// The header does not belong to this body and this app secret.
    #[error("the signature does not match")]
    Mismatch,
}

/// Checks the `X-Hub-Signature-256` header of a callback against the body exactly as received.
///
/// Meta signs the bytes on the wire (ASCII JSON with `\u` escapes and `\/`); a body that was parsed and written again
/// has another signature. The comparison takes the same time wherever the first difference is.
/// Source: Meta, "Webhooks: validate payloads".
pub fn verify(app_secret: &[u8], body: &[u8], header: Option<&str>) -> Result<(), SignatureError> {
    let header = header.ok_or(SignatureError::Missing)?;
    let digits = header
        .trim()
        .strip_prefix("sha256=")
        .ok_or(SignatureError::Malformed)?;
    let claimed = from_hex(digits).ok_or(SignatureError::Malformed)?;
    authentication_code(app_secret, body)
        .verify_slice(&claimed)
        .map_err(|_| SignatureError::Mismatch)
}

/// The header value with which Meta would sign this body: `sha256=` and 64 lower-case hexadecimal digits.
pub fn sign(app_secret: &[u8], body: &[u8]) -> String {
    format!("sha256={}", hex(authentication_code(app_secret, body)))
}

/// The `appsecret_proof` that goes with an access token, showing that the caller also knows the app secret.
/// Source: Meta, "Graph API: securing requests".
pub fn app_secret_proof(app_secret: &Secret, access_token: &Secret) -> String {
    hex(authentication_code(
        app_secret.expose().as_bytes(),
        access_token.expose().as_bytes(),
    ))
}

/// Whether the verify token of a handshake is the expected one, compared in constant time.
pub fn same_token(expected: &str, given: &str) -> bool {
    expected.as_bytes().ct_eq(given.as_bytes()).into()
}

fn authentication_code(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    // HMAC is defined for keys of every length, so this cannot fail.
    let mut code = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    code.update(message);
    code
}

fn hex(code: Hmac<Sha256>) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bytes = code.finalize().into_bytes();
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

fn from_hex(digits: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = digits.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"test-app-secret";
    const BODY: &str = r#"{"object":"whatsapp_business_account","entry":[{"id":"108200000000001","changes":[{"value":{"text":"Gr\u00fc\u00dfe \ud83d\udc4b a\/b <&@>"},"field":"messages"}]}]}"#;
    const CODE: &str = "120c0ab08665d6597260844043a3e85e4f470dd5709aca67fab4b47f7f171957";

    #[test]
    fn signs_as_meta_does() {
        assert_eq!(BODY.len(), 164);
        assert_eq!(sign(SECRET, BODY.as_bytes()), format!("sha256={CODE}"));
    }

    #[test]
    fn takes_only_the_signature_of_these_bytes() {
        let rewritten = BODY
            .replace("\\u00fc", "ü")
            .replace("\\u00df", "ß")
            .replace("\\ud83d\\udc4b", "👋")
            .replace("\\/", "/");
        let good = format!("sha256={CODE}");
        let upper = format!("sha256={}", CODE.to_uppercase());
        let short = format!("sha256={}", &CODE[..62]);
        let strange = format!("sha256={}", CODE.replace('1', "g"));
        let wide = format!("sha256={}é", &CODE[..62]);
        for (secret, body, header, wanted) in [
            (SECRET, BODY, Some(good.as_str()), Ok(())),
            (SECRET, BODY, Some(upper.as_str()), Ok(())),
            (SECRET, BODY, None, Err(SignatureError::Missing)),
            (SECRET, BODY, Some(""), Err(SignatureError::Malformed)),
            (SECRET, BODY, Some(CODE), Err(SignatureError::Malformed)),
            (
                SECRET,
                BODY,
                Some("sha1=00"),
                Err(SignatureError::Malformed),
            ),
            (
                SECRET,
                BODY,
                Some(short.as_str()),
                Err(SignatureError::Malformed),
            ),
            (
                SECRET,
                BODY,
                Some(strange.as_str()),
                Err(SignatureError::Malformed),
            ),
            (
                SECRET,
                BODY,
                Some(wide.as_str()),
                Err(SignatureError::Malformed),
            ),
            (
                b"another".as_slice(),
                BODY,
                Some(good.as_str()),
                Err(SignatureError::Mismatch),
            ),
            (
                SECRET,
                rewritten.as_str(),
                Some(good.as_str()),
                Err(SignatureError::Mismatch),
            ),
        ] {
            assert_eq!(
                verify(secret, body.as_bytes(), header),
                wanted,
                "{header:?}"
            );
        }
    }

    #[test]
    fn proves_the_app_secret() {
        let proof = app_secret_proof(
            &Secret::new("test-app-secret"),
            &Secret::new("EAATESTTOKEN"),
        );
        assert_eq!(
            proof,
            "ba901af273193122e6a09621afeeeca2f0178ec975261a5cb1daeaea1c0635c2"
        );
    }

    #[test]
    fn compares_verify_tokens() {
        assert!(same_token("V", "V"));
        assert!(!same_token("V", "v"));
        assert!(!same_token("V", "VV"));
    }
}
