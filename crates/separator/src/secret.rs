//! Text that must not be seen: tokens, application secrets, keys.
//!
//! [`Secret`] has no `Display` and no `Serialize`, and its `Debug` shows dots, so that a secret reaches a log, an
//! answer or an error only where somebody wrote [`Secret::expose`]. It is not `PartialEq` either: comparing a secret
//! with `==` tells by its duration how much of a guess was right, [`Secret::matches`] does not.

use std::fmt;

use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A secret text that can be used but not printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it: a header, a signature, a cipher.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing is in it, which for a required secret means that it was not given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares with what somebody presented, in a time that depends on neither content nor length of the secret.
    ///
    /// The digests of both are compared, because comparing texts of different length in constant time is not possible.
    pub fn matches(&self, presented: &str) -> bool {
        let own = Sha256::digest(self.0.as_bytes());
        let other = Sha256::digest(presented.as_bytes());
        own.as_slice().ct_eq(other.as_slice()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// SHA-256 of a text as 64 lower-case hexadecimal digits.
///
/// For what we only have to recognise, such as API keys and session tokens: they are random enough that a fast digest
/// is as good as a slow one. Not for passwords.
pub fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Bytes from hexadecimal digits of either case; nothing where the text is not that.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8))
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_secret() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(format!("{:?}", Some(&secret)), "Some(Secret(…))");
    }

    #[test]
    fn only_the_whole_text_matches() {
        let secret = Secret::new("token");
        assert!(secret.matches("token"));
        for wrong in ["", "toke", "tokens", "Token", "token\0"] {
            assert!(!secret.matches(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn it_is_read_from_json() {
        let secret: Secret = serde_json::from_str("\"a b\"").unwrap();
        assert_eq!(secret.expose(), "a b");
        assert!(serde_json::from_str::<Secret>("5").is_err());
    }

    #[test]
    fn the_digest_is_that_of_the_standard() {
        // FIPS 180-4, example "abc".
        assert_eq!(
            sha256_hex("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn hexadecimal_goes_both_ways() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&hex(&bytes)).unwrap(), bytes);
        assert_eq!(unhex("AbFf").unwrap(), [0xab, 0xff]);
        assert_eq!(unhex(""), Some(Vec::new()));
        for wrong in ["a", "0g", "é", "+1", " 1"] {
            assert_eq!(unhex(wrong), None, "{wrong:?}");
        }
    }
}
