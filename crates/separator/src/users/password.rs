//! Passwords: Argon2id, a bounded number at once.

use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::UserError;
use crate::secret::Secret;

/// Argon2id memory in KiB (19 MiB), passes and lanes: the first choice of the OWASP password storage cheat sheet.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// How many are hashed at once: each takes tens of milliseconds of a processor and 19 MiB.
static TURNS: Semaphore = Semaphore::const_new(2);

/// How long somebody waits for a turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes the place of the salt where there is no password to compare with.
const NO_SALT: [u8; 16] = [0; 16];

fn argon2() -> Result<Argon2<'static>, UserError> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None)
        .map_err(|error| UserError::Hashing(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Does the work of a password away from the threads that serve requests.
async fn in_turn<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, UserError> + Send + 'static,
) -> Result<T, UserError> {
    let _turn = timeout(PATIENCE, TURNS.acquire())
        .await
        .map_err(|_| UserError::Busy)?
        .map_err(|_| UserError::Busy)?;
    spawn_blocking(work)
        .await
        .map_err(|error| UserError::Hashing(error.to_string()))?
}

/// Hashes a new password of 8 to 1024 characters.
pub async fn hash(password: Secret, salt: [u8; 16]) -> Result<String, UserError> {
    let length = password.expose().chars().count();
    if !(8..=1024).contains(&length) {
        return Err(UserError::Password);
    }
    in_turn(move || {
        argon2()?
            .hash_password_with_salt(password.expose().as_bytes(), &salt)
            .map(|hash| hash.to_string())
            .map_err(|error| UserError::Hashing(error.to_string()))
    })
    .await
}

/// Whether this is the password of the stored hash. Where there is none it is not, after the same time.
pub async fn verify(password: Secret, stored: Option<String>) -> Result<bool, UserError> {
    in_turn(move || {
        let bytes = password.expose().as_bytes();
        let Some(stored) = stored else {
            // The work is what takes the time; what comes of it does not matter.
            let _ = argon2()?.hash_password_with_salt(bytes, &NO_SALT);
            return Ok(false);
        };
        Ok(argon2()?.verify_password(bytes, stored.as_str()).is_ok())
    })
    .await
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn passwords_become_argon2id_strings_that_verify() {
        let stored = hash(Secret::new("correct horse"), [7; 16]).await.unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        let verify = async |password: &str, stored: Option<&String>| {
            verify(Secret::new(password), stored.cloned())
                .await
                .unwrap()
        };
        assert!(verify("correct horse", Some(&stored)).await);
        assert!(!verify("wrong horse", Some(&stored)).await);
        assert!(!verify("correct horse", None).await);
        for wrong in ["short", "", &"x".repeat(1025)] {
            let refused = hash(Secret::new(wrong), [7; 16]).await;
            assert!(matches!(refused, Err(UserError::Password)));
        }
    }
}
