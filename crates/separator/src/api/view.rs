//! The set-up as one caller may see it.

use std::{ops::Deref, sync::Arc};

use uuid::Uuid;

use super::{caller::Caller, problem::Problem};
use crate::{registry::Registry, store::browse::Reach, users::Role};

/// The set-up as one caller may see it. Used as a [`Registry`] it holds nothing else, so that a handler that reads it
/// cannot forget to ask whose something is.
#[derive(Debug, Clone)]
pub(super) struct View {
    own: Arc<Registry>,
    whole: Arc<Registry>,
}

impl View {
    /// What a caller sees of all that is set up.
    pub(super) fn of(caller: &Caller, whole: Arc<Registry>) -> Self {
        let own = match caller {
            Caller::User(user) if user.role == Role::Admin => Arc::clone(&whole),
            Caller::User(user) => Arc::new(whole.owned_by(user.id)),
            Caller::Nobody => Arc::default(),
            Caller::Portal(person) => {
                Arc::new(whole.of_portal(person.instance, person.administrator))
            }
        };
        Self { own, whole }
    }

    /// Everything that is set up, only for finding out that something is taken already. What is found here and not in the
    /// view is somebody else's and must not be named.
    pub(super) fn whole(&self) -> &Registry {
        &self.whole
    }

    /// Whose messages, callbacks and queues a caller may look up.
    pub(super) fn reach(&self, caller: &Caller) -> Reach {
        let only = |phones: Vec<Uuid>, others: Vec<Uuid>| Reach::Only { phones, others };
        match caller {
            Caller::User(user) if user.role == Role::Admin => Reach::Everything,
            Caller::User(_) => {
                let mut phones: Vec<Uuid> = self.own.phones.keys().copied().collect();
                let mut others: Vec<Uuid> = (self.own.waba_apps.keys())
                    .chain(self.own.accounts.keys())
                    .chain(self.own.bitrix_apps.keys())
                    .chain(self.own.instances.keys())
                    .chain(self.own.sites.keys())
                    .copied()
                    .collect();
                // In one order, so that the same question is the same statement.
                phones.sort_unstable();
                others.sort_unstable();
                only(phones, others)
            }
            Caller::Nobody => only(Vec::new(), Vec::new()),
            // Not those that are only offered.
            Caller::Portal(person) => {
                let mut phones: Vec<Uuid> = (self.own.phones_of(person.instance))
                    .map(|phone| phone.id)
                    .collect();
                phones.sort_unstable();
                only(phones, vec![person.instance])
            }
        }
    }

    /// Refuses a path that names something outside the view as if it did not exist.
    pub(super) fn admits(&self, path: &str, id: Option<&str>) -> Result<(), Problem> {
        let (Some(kind), Some(id)) = (Kind::of(path), id) else {
            return Ok(());
        };
        match id.parse() {
            Ok(id) if kind.is_in(&self.own, id) => Ok(()),
            _ => Err(Problem::unknown(kind.name())),
        }
    }
}

impl Deref for View {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.own
    }
}

/// What is set up, as paths name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Site,
    WabaApp,
    Account,
    Phone,
    BitrixApp,
    Instance,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Site,
        Self::WabaApp,
        Self::Account,
        Self::Phone,
        Self::BitrixApp,
        Self::Instance,
    ];

    /// The kind of thing that the `{id}` of a path names.
    pub(super) fn of(path: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| path.starts_with(kind.path()) && path.contains("{id}"))
    }

    /// Where paths to one begin.
    fn path(self) -> &'static str {
        match self {
            Self::Site => "/api/v1/sites/",
            Self::WabaApp => "/api/v1/waba/apps/",
            Self::Account => "/api/v1/waba/accounts/",
            Self::Phone => "/api/v1/waba/phones/",
            Self::BitrixApp => "/api/v1/bitrix/apps/",
            Self::Instance => "/api/v1/bitrix/instances/",
        }
    }

    /// What problems call it.
    fn name(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::WabaApp => "WABA application",
            Self::Account => "WhatsApp Business account",
            Self::Phone => "number",
            Self::BitrixApp => "Bitrix24 application",
            Self::Instance => "instance",
        }
    }

    fn is_in(self, registry: &Registry, id: Uuid) -> bool {
        match self {
            Self::Site => registry.sites.contains_key(&id),
            Self::WabaApp => registry.waba_apps.contains_key(&id),
            Self::Account => registry.accounts.contains_key(&id),
            Self::Phone => registry.phones.contains_key(&id),
            Self::BitrixApp => registry.bitrix_apps.contains_key(&id),
            Self::Instance => registry.instances.contains_key(&id),
        }
    }
}
