//! API keys in the addresses of callbacks: an extra gate besides the signature and the application token.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use crate::{
    secret::sha256_hex,
    store::{Error, Store},
    time::{Clock, Millis},
};

/// How long a key that was found valid is believed without asking the database.
const BELIEVED: Duration = Duration::from_mins(1);

/// Keys that were found valid lately, by their hash.
#[derive(Debug)]
pub struct CallbackKeys {
    clock: Clock,
    known: RwLock<HashMap<String, Millis>>,
}

impl CallbackKeys {
    /// Knows no key yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            known: RwLock::default(),
        }
    }

    /// Whether there is such a key.
    pub async fn is_valid(&self, store: &Store, key: &str) -> Result<bool, Error> {
        let hash = sha256_hex(key);
        let now = self.clock.now();
        let until = self
            .known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&hash)
            .copied();
        if until.is_some_and(|until| now < until) {
            return Ok(true);
        }
        let found = store
            .fetch_optional(
                "SELECT id FROM api_keys WHERE hash = $1",
                &[hash.as_str().into()],
            )
            .await?
            .is_some();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if found {
            known.insert(hash, now + BELIEVED);
        } else {
            known.remove(&hash);
        }
        Ok(found)
    }
}
