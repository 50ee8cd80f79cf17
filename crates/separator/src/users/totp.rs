//! One-time codes of an authenticator app: TOTP (RFC 6238) with what all apps know: SHA-1, 30 seconds, six digits.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use crate::{identifiers::Chance, secret::Secret, time::Millis};

/// Seconds for which a code holds.
const STEP: i64 = 30;

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A new secret: 160 random bits in base32, as apps take it (RFC 4226, section 4).
pub fn secret(chance: &Chance) -> Secret {
    let bytes: [u8; 20] = chance.bytes();
    // 20 bytes are 32 letters of five bits each, with nothing left over.
    let text = bytes
        .chunks_exact(5)
        .flat_map(|chunk| {
            let number = chunk
                .iter()
                .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
            (0..8).map(move |letter| {
                char::from(ALPHABET[(number >> (35 - 5 * letter)) as usize & 31])
            })
        })
        .collect::<String>();
    Secret::new(text)
}

/// The address that an app reads from a QR code. It contains the secret.
pub fn uri(secret: &Secret, email: &str) -> String {
    let email: String = url::form_urlencoded::byte_serialize(email.as_bytes()).collect();
    format!(
        "otpauth://totp/Separator:{email}?secret={}&issuer=Separator&algorithm=SHA1&digits=6&period=30",
        secret.expose()
    )
}

/// The time step for which a code is right: this one, or one before or after it because clocks differ, but none up to
/// `used`, so that no code is taken twice.
pub fn check(secret: &Secret, code: &str, now: Millis, used: i64) -> Option<i64> {
    let key = bytes(secret.expose())?;
    let current = now.0.div_euclid(1000).div_euclid(STEP);
    (current - 1..=current + 1)
        .find(|step| *step > used && Secret::new(code_at(&key, *step)).matches(code))
}

/// The code of a time step, as an app shows it; none where the secret is not base32.
#[cfg(test)]
pub(crate) fn code(secret: &Secret, step: i64) -> Option<String> {
    Some(code_at(&bytes(secret.expose())?, step))
}

fn code_at(key: &[u8], step: i64) -> String {
    let mut code = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes keys of any length");
    code.update(&step.to_be_bytes());
    let digest = code.finalize().into_bytes();
    let offset = usize::from(digest[19] & 15);
    let number = u32::from_be_bytes([
        digest[offset] & 127,
        digest[offset + 1],
        digest[offset + 2],
        digest[offset + 3],
    ]);
    format!("{:06}", number % 1_000_000)
}

/// The bytes of a secret; none where it is not base32.
fn bytes(secret: &str) -> Option<Vec<u8>> {
    let mut bits = 0_u32;
    let mut count = 0;
    let mut bytes = Vec::new();
    for letter in secret.bytes() {
        let value = ALPHABET.iter().position(|own| *own == letter)?;
        bits = (bits << 5) | value as u32;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "12345678901234567890", the secret of RFC 6238, appendix B.
    const KEY: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn codes_are_those_of_the_standard() {
        // The last six of the eight digits that RFC 6238 gives.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let now = Millis(seconds * 1000);
            assert_eq!(check(&Secret::new(KEY), code, now, 0), Some(seconds / 30));
            assert_eq!(check(&Secret::new(KEY), "000000", now, 0), None);
        }
    }

    #[test]
    fn clocks_may_differ_by_a_step_and_no_code_is_taken_twice() {
        let at = |seconds: i64, used: i64| {
            check(&Secret::new(KEY), "287082", Millis(seconds * 1000), used)
        };
        assert_eq!(at(59, 0), Some(1));
        assert_eq!(at(60, 0), Some(1));
        assert_eq!(at(29, 0), Some(1));
        assert_eq!(at(90, 0), None);
        assert_eq!(at(59, 1), None);
    }

    #[test]
    fn a_secret_is_base32_that_reads_back() {
        let secret = secret(&Chance::seeded(7));
        assert_eq!(secret.expose().len(), 32);
        let expected: [u8; 20] = Chance::seeded(7).bytes();
        assert_eq!(bytes(secret.expose()), Some(expected.to_vec()));
        assert_eq!(bytes("a1"), None);
        let uri = uri(&secret, "anna+b@example.com");
        assert!(uri.starts_with("otpauth://totp/Separator:anna%2Bb%40example.com?secret="));
    }
}
