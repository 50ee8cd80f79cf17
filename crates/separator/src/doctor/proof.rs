//! What is known to have passed: the last message each way for each number, and the last callback at each site.
//!
//! It is noted in memory where it happens, which costs the messages nothing, and written down every now and then. After
//! a crash the last half minute is missing, and the next message proves the same again.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

use crate::{
    store::{self, Store, doctor::Proof},
    time::Millis,
};

/// Proofs in memory.
#[derive(Debug, Default)]
pub struct Proofs {
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    phones: HashMap<Uuid, Proof>,
    /// Numbers whose proofs are not written down yet.
    unsaved: HashSet<Uuid>,
    sites: HashMap<Uuid, Millis>,
}

impl Proofs {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A customer's message is in the operator's chat.
    pub fn inbound(&self, phone: Uuid, at: Millis) {
        self.note(phone, |proof| proof.inbound = proof.inbound.max(at));
    }

    /// Meta told that a message to a customer is on its way or there.
    pub fn outbound(&self, phone: Uuid, at: Millis) {
        self.note(phone, |proof| proof.outbound = proof.outbound.max(at));
    }

    fn note(&self, phone: Uuid, change: impl FnOnce(&mut Proof)) {
        let mut memory = self.lock();
        change(memory.phones.entry(phone).or_default());
        memory.unsaved.insert(phone);
    }

    /// A callback came in under a site's name, and who sent it was verified.
    pub fn callback(&self, site: Uuid, at: Millis) {
        self.lock().sites.insert(site, at);
    }

    /// When the last verified callback came in under a site's name since the program started.
    pub(super) fn heard(&self, site: Uuid) -> Option<Millis> {
        self.lock().sites.get(&site).copied()
    }

    /// What is known of a number.
    pub fn of(&self, phone: Uuid) -> Proof {
        self.lock().phones.get(&phone).copied().unwrap_or_default()
    }

    /// Takes over what is written down.
    pub(super) async fn load(&self, store: &Store) -> Result<(), store::Error> {
        let written = store::doctor::proofs(store).await?;
        let mut memory = self.lock();
        for (phone, proof) in written {
            let known = memory.phones.entry(phone).or_default();
            known.inbound = known.inbound.max(proof.inbound);
            known.outbound = known.outbound.max(proof.outbound);
        }
        Ok(())
    }

    /// Writes down what is new.
    pub(super) async fn save(&self, store: &Store) -> Result<(), store::Error> {
        let new: Vec<(Uuid, Proof)> = {
            let mut memory = self.lock();
            let unsaved = std::mem::take(&mut memory.unsaved);
            unsaved
                .into_iter()
                .filter_map(|phone| Some((phone, *memory.phones.get(&phone)?)))
                .collect()
        };
        let saved = store::doctor::save_proofs(store, &new).await;
        if saved.is_err() {
            self.lock()
                .unsaved
                .extend(new.iter().map(|(phone, _)| *phone));
        }
        saved
    }
}
