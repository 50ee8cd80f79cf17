//! The unguessable part of a file's address: which file, until when, and our mark over both.
//!
//! 16 bytes of id, 8 bytes of expiry in Unix seconds, 16 bytes of HMAC-SHA256, as base64 for URLs. Nothing is stored: an
//! address is made anew for each attempt and ends by itself.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::{seal::KeyBytes, time::Millis};

/// What the key is derived for, and what the mark is over.
pub(super) const PURPOSE: &str = "media links";

const SIGNED: usize = 24;
const MARK: usize = 16;

/// Makes the ticket of a file that is good until `expires`.
pub(super) fn issue(key: &KeyBytes, media: Uuid, expires: Millis) -> String {
    let mut ticket = [0; SIGNED + MARK];
    ticket[..16].copy_from_slice(media.as_bytes());
    ticket[16..SIGNED].copy_from_slice(&expires.seconds().to_be_bytes());
    let mark = mark(key, &ticket[..SIGNED]);
    ticket[SIGNED..].copy_from_slice(&mark);
    BASE64_URL_SAFE_NO_PAD.encode(ticket)
}

/// The file of a ticket that one of these keys made and that has not expired.
pub(super) fn redeem(keys: &[KeyBytes], text: &str, now: Millis) -> Option<Uuid> {
    let ticket = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let (signed, given) = ticket.split_at_checked(SIGNED)?;
    let ours = |key: &KeyBytes| bool::from(mark(key, signed).as_slice().ct_eq(given));
    if !keys.iter().any(ours) {
        return None;
    }
    let (media, expires) = signed.split_at_checked(16)?;
    let expires = i64::from_be_bytes(expires.try_into().ok()?);
    (now.seconds() < expires).then(|| Uuid::from_slice(media).ok())?
}

fn mark(key: &KeyBytes, signed: &[u8]) -> [u8; MARK] {
    let mut code = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    code.update(PURPOSE.as_bytes());
    code.update(signed);
    let full: [u8; 32] = code.finalize().into_bytes().into();
    let mut short = [0; MARK];
    short.copy_from_slice(&full[..MARK]);
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: KeyBytes = [7; 32];
    const MEDIA: Uuid = Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_00af);
    const EXPIRES: Millis = Millis(1_795_409_252_000);

    #[test]
    fn a_ticket_opens_its_file_until_it_expires() {
        let ticket = issue(&KEY, MEDIA, EXPIRES);
        assert_eq!(ticket.len(), 54);
        for (now, wanted) in [
            (0, Some(MEDIA)),
            (EXPIRES.0 - 1, Some(MEDIA)),
            (EXPIRES.0, None),
            (i64::MAX, None),
        ] {
            assert_eq!(redeem(&[KEY], &ticket, Millis(now)), wanted, "{now}");
        }
    }

    #[test]
    fn a_ticket_of_an_older_key_still_opens_and_one_of_a_foreign_key_does_not() {
        let ticket = issue(&KEY, MEDIA, EXPIRES);
        assert_eq!(redeem(&[[1; 32], KEY], &ticket, Millis(0)), Some(MEDIA));
        assert_eq!(redeem(&[[1; 32]], &ticket, Millis(0)), None);
        assert_eq!(redeem(&[], &ticket, Millis(0)), None);
    }

    #[test]
    fn a_changed_bit_anywhere_spoils_it() {
        let ticket = BASE64_URL_SAFE_NO_PAD
            .decode(issue(&KEY, MEDIA, EXPIRES))
            .expect("base64");
        for bit in 0..ticket.len() * 8 {
            let mut changed = ticket.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = BASE64_URL_SAFE_NO_PAD.encode(changed);
            assert_eq!(redeem(&[KEY], &changed, Millis(0)), None, "bit {bit}");
        }
    }

    #[test]
    fn a_cut_or_lengthened_one_is_none() {
        let ticket = issue(&KEY, MEDIA, EXPIRES);
        for wrong in [
            &ticket[..53],
            &ticket[..32],
            "",
            &format!("{ticket}AA"),
            &format!("{ticket}="),
        ] {
            assert_eq!(redeem(&[KEY], wrong, Millis(0)), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_without_harm(text in ".{0,80}") {
            prop_assert_eq!(redeem(&[KEY], &text, Millis(0)), None);
        }

        #[test]
        fn any_file_comes_back(media: u128, seconds in 1_i64..100_000_000_000) {
            let ticket = issue(&KEY, Uuid::from_u128(media), Millis::from_seconds(seconds));
            let now = Millis::from_seconds(seconds - 1);
            prop_assert_eq!(redeem(&[KEY], &ticket, now), Some(Uuid::from_u128(media)));
        }
    }
}
