//! Calls: the company's WhatsApp number rings on its own telephone server, by SIP over TLS.
//!
//! Meta takes almost any address on saving and tests none of them: a wrong certificate shows only as silence. So what
//! somebody enters as the server's address is put into one form ([`address`]) and looked at as Meta would look at it
//! ([`preflight`]), and what the telephone server needs is written out ready to be pasted ([`pbx`]). What was chosen and
//! what Meta has are kept apart ([`settings`]); the one is made the other, tried again and read back ([`worker`]). A call
//! whose end is never told is not left ringing in the CRM for ever ([`lost`]).

pub mod address;
pub mod lost;
mod notices;
pub mod pbx;
pub mod preflight;
pub mod settings;
pub mod worker;

#[cfg(test)]
mod lab;
#[cfg(test)]
mod rig;

use std::time::Duration;

use tokio::sync::Notify;
use uuid::Uuid;

use self::{preflight::Limit, settings::State};
use crate::{app::App, time::Clock};

/// What is shared about calls while the program runs.
#[derive(Debug)]
pub struct Calls {
    /// Wakes the worker.
    wake: Notify,
    /// How many preflights there may be.
    pub limit: Limit,
}

impl Calls {
    /// Nothing under way.
    pub fn new(clock: Clock) -> Self {
        Self {
            wake: Notify::new(),
            limit: Limit::new(clock),
        }
    }

    /// Says that something was chosen.
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}

/// Waits, at most for so long, until this choice was tried at Meta once, or a newer one was made.
pub async fn tried(app: &App, phone: Uuid, version: i64, patience: Duration) {
    let mut changed = app.directory.watch();
    let waiting = async {
        loop {
            let registry = app.directory.snapshot();
            let open = registry.calling.get(&phone).is_some_and(|calling| {
                calling.version <= version
                    && calling.state == State::Pending
                    && calling.attempts == 0
            });
            // The directory lives as long as the program.
            if !open || changed.changed().await.is_err() {
                return;
            }
        }
    };
    // Whoever asked sees what there is by then.
    let _ = tokio::time::timeout(patience, waiting).await;
}
