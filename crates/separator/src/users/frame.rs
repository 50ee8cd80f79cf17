//! Frame tokens: who somebody inside Bitrix24 is, for an hour.
//!
//! A frame is opened by a POST of the portal, which is verified with Bitrix24. The page that answers it gets a token
//! instead of a cookie, because browsers keep cookies of others from frames. The token says who it was given to, sealed
//! with the program's key: nothing is stored, and it holds across a restart.

use std::{fmt, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{seal::Sealer, secret::Secret, time::Millis};

/// How long a token opens the door.
pub const LIFETIME: Duration = Duration::from_hours(1);

/// What every frame token begins with.
pub const PREFIX: &str = "frm_";

/// The place for which tokens are sealed; nothing that is stored is sealed for it.
const PLACE: &str = "frame";

/// Somebody inside a portal, as Bitrix24 itself said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The installation through which the frame was opened.
    pub instance: Uuid,
    /// The person's user id on the portal.
    pub user_id: i64,
    /// The person's name there.
    pub name: String,
    /// Whether Bitrix24 says that the person is an administrator of the portal (`user.admin`).
    pub administrator: bool,
    /// Language code of the person's Bitrix24, such as `ru`.
    pub language: String,
    /// The person's own token for the portal's REST: what the page reads there, it reads with this person's rights. It
    /// is kept nowhere but in here, and ends with the page.
    #[serde(default)]
    pub access: Access,
}

/// An employee's access token; good for an hour, like the page that it was posted for.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access(String);

impl Access {
    /// Takes a token into custody.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token itself, for the call to the portal.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Access(…)")
    }
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(flatten)]
    person: Person,
    /// Unix milliseconds.
    until: i64,
}

/// A token for a person whom Bitrix24 has vouched for; good for [`LIFETIME`]. It travels in
/// `Authorization: Bearer frm_…` and nowhere else.
pub fn issue(sealer: &Sealer, person: Person, now: Millis) -> Secret {
    let sealed = Sealed {
        person,
        until: (now + LIFETIME).0,
    };
    let plain = serde_json::to_string(&sealed)
        // Only maps with keys that are no texts, and types that refuse by themselves, fail.
        .expect("a structure of texts and numbers always becomes JSON");
    let sealed = sealer.seal(PLACE, &plain);
    Secret::new(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(sealed)))
}

/// To whom a token was given; none where it is not ours or its hour is over.
pub fn verify(sealer: &Sealer, token: &str, now: Millis) -> Option<Person> {
    let sealed = BASE64_URL_SAFE_NO_PAD
        .decode(token.strip_prefix(PREFIX)?)
        .ok()?;
    let plain = sealer.open(PLACE, &sealed).ok()?;
    let Sealed { person, until } = serde_json::from_str(plain.expose()).ok()?;
    (now.0 < until).then_some(person)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identifiers::Chance;

    fn sealer(key: u8) -> Sealer {
        Sealer::from_keys(vec![[key; 32]], Chance::seeded(1)).expect("one key")
    }

    fn anna() -> Person {
        Person {
            instance: Uuid::from_u128(7),
            user_id: 12,
            name: "Anna".to_owned(),
            administrator: true,
            language: "ru".to_owned(),
            access: Access::new("0000abcd"),
        }
    }

    #[test]
    fn a_token_says_who_it_was_given_to_for_an_hour_also_after_a_restart() {
        let issued = Millis(1_000);
        let token = issue(&sealer(1), anna(), issued);
        assert!(token.expose().starts_with("frm_"));
        assert!(!format!("{:?}", anna()).contains("0000abcd"));
        let verify = |at: Millis| verify(&sealer(1), token.expose(), at);
        assert_eq!(verify(issued), Some(anna()));
        assert_eq!(verify(Millis((issued + LIFETIME).0 - 1)), Some(anna()));
        assert_eq!(verify(issued + LIFETIME), None);
    }

    #[test]
    fn what_we_did_not_make_is_nobody() {
        let token = issue(&sealer(1), anna(), Millis(0));
        assert_eq!(verify(&sealer(2), token.expose(), Millis(0)), None);
        let mut changed = token.expose().to_owned();
        let last = if changed.ends_with('A') { 'B' } else { 'A' };
        changed.pop();
        changed.push(last);
        for wrong in ["", "frm_", "frm_AAAA", "sep_x", changed.as_str()] {
            assert_eq!(verify(&sealer(1), wrong, Millis(0)), None, "{wrong}");
        }
    }
}
