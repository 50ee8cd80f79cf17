//! JSON as Meta puts it on the wire, and its signature.
//!
//! Webhook bodies are pure ASCII: everything else is `\u` with lower-case hexadecimal digits (surrogate pairs above
//! the basic plane), and `/` is `\/`. A receiver that parses and writes the JSON again gets other bytes and another
//! signature, which is why this stand-in must not send what `serde_json` would write. Source: Meta: webhooks.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize as _;
use serde_json::{
    Value,
    ser::{Formatter, Serializer},
};
use sha2::Sha256;
use std::{fmt::Write as _, io};

struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut units = [0; 2];
        for character in fragment.chars() {
            match character {
                '/' => writer.write_all(b"\\/")?,
                ascii if ascii.is_ascii() => writer.write_all(&[ascii as u8])?,
                other => {
                    for unit in other.encode_utf16(&mut units) {
                        write!(writer, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The value as Meta would write it.
pub(super) fn ascii(value: &Value) -> String {
    let mut bytes = Vec::new();
    // Writing into memory cannot fail, and a `Value` has only text keys.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut bytes, Ascii));
    String::from_utf8(bytes).unwrap_or_default()
}

/// One text as a JSON string, quotes included, as Meta would write it.
pub(super) fn quoted(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len() + 2);
    let _ = text.serialize(&mut Serializer::with_formatter(&mut bytes, Ascii));
    String::from_utf8(bytes).unwrap_or_default()
}

/// Lower-case hexadecimal digits of the bytes.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// HMAC-SHA256 of the bytes with the key, as lower-case hexadecimal digits.
pub(super) fn hmac(key: &str, bytes: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else {
        // HMAC takes keys of every length.
        return String::new();
    };
    mac.update(bytes);
    hex(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bodies_are_ascii_with_escaped_slashes() {
        let value = json!({"body": "Grüße 👋 a/b <&@>\n\u{7}"});
        assert_eq!(
            ascii(&value),
            r#"{"body":"Gr\u00fc\u00dfe \ud83d\udc4b a\/b <&@>\n\u0007"}"#
        );
    }

    #[test]
    fn the_signature_is_that_of_the_known_vector() {
        let body = format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"108200000000001","changes":[{{"value":{{"text":{}}},"field":"messages"}}]}}]}}"#,
            quoted("Grüße 👋 a/b <&@>")
        );
        assert_eq!(body.len(), 164);
        assert_eq!(
            hmac("test-app-secret", body.as_bytes()),
            "120c0ab08665d6597260844043a3e85e4f470dd5709aca67fab4b47f7f171957"
        );
    }

    #[test]
    fn the_proof_of_a_token_is_that_of_the_known_vector() {
        assert_eq!(
            hmac("test-app-secret", b"EAATESTTOKEN"),
            "ba901af273193122e6a09621afeeeca2f0178ec975261a5cb1daeaea1c0635c2"
        );
    }
}
