//! What belongs to whom: a site has an owner, and all that hangs from it is the owner's.

use std::sync::Arc;

use uuid::Uuid;

use super::{BitrixApp, Instance, Phone, Registry, WabaApp};

impl Registry {
    /// Who owns a site; none where it is the administrators' or there is no such site.
    fn owner_of_site(&self, site: Uuid) -> Option<Uuid> {
        self.sites.get(&site)?.owner
    }

    /// Who owns a Meta app.
    pub fn owner_of_waba_app(&self, app: &WabaApp) -> Option<Uuid> {
        self.owner_of_site(app.site_id)
    }

    /// Who owns a Bitrix24 application.
    pub fn owner_of_bitrix_app(&self, app: &BitrixApp) -> Option<Uuid> {
        self.owner_of_site(app.site_id)
    }

    /// Who owns a number.
    pub fn owner_of_phone(&self, phone: &Phone) -> Option<Uuid> {
        let (_, app) = self.app_of(phone)?;
        self.owner_of_waba_app(app)
    }

    /// Who owns a portal.
    pub fn owner_of_instance(&self, instance: &Instance) -> Option<Uuid> {
        self.owner_of_bitrix_app(self.bitrix_apps.get(&instance.app_id)?)
    }

    /// The part that belongs to a user.
    #[must_use]
    pub fn owned_by(&self, user: Uuid) -> Self {
        let mut part = Self {
            calling: Arc::clone(&self.calling),
            meta: std::sync::Arc::clone(&self.meta),
            ..Self::default()
        };
        for site in self.sites.values().filter(|site| site.owner == Some(user)) {
            part.sites.insert(site.id, site.clone());
        }
        for app in self.waba_apps.values() {
            if part.sites.contains_key(&app.site_id) {
                part.add_waba_app(app.clone());
            }
        }
        for account in self.accounts.values() {
            if part.waba_apps.contains_key(&account.app_id) {
                part.add_account(account.clone());
            }
        }
        for phone in self.phones.values() {
            if part.accounts.contains_key(&phone.account_id) {
                part.add_phone(phone.clone());
            }
        }
        for app in self.bitrix_apps.values() {
            if part.sites.contains_key(&app.site_id) {
                part.bitrix_apps.insert(app.id, app.clone());
            }
        }
        for instance in self.instances.values() {
            if part.bitrix_apps.contains_key(&instance.app_id) {
                part.add_instance(instance.clone());
            }
        }
        part
    }

    /// The part that people of a portal see: the portal, the numbers that are linked to it and, where they may link numbers
    /// themselves, those that are offered to it. A number that is offered to nobody is offered to the only portal of its
    /// owner; among several, somebody has to say to which.
    #[must_use]
    pub fn of_portal(&self, instance: Uuid, offered: bool) -> Self {
        let mut part = Self {
            calling: Arc::clone(&self.calling),
            meta: std::sync::Arc::clone(&self.meta),
            ..Self::default()
        };
        let Some(portal) = self.instances.get(&instance) else {
            return part;
        };
        let owner = self.owner_of_instance(portal);
        let only = !self.instances.values().any(|other| {
            other.member_id != portal.member_id && self.owner_of_instance(other) == owner
        });
        for phone in self.phones.values() {
            let free = || {
                let offered = phone.offered_id.map_or(only, |to| to == instance);
                offered && phone.instance_id.is_none() && self.owner_of_phone(phone) == owner
            };
            if phone.instance_id == Some(instance) || (offered && free()) {
                part.add_phone(phone.clone());
            }
        }
        part.add_instance(portal.clone());
        part
    }
}
