//! Who is who: persons and the ids by which they are known, while a batch is worked through.

use uuid::Uuid;

use super::{Named, Work};
use crate::{
    person::canonical,
    store::conversations::{Alias, AliasKind, Person},
};

impl Work<'_> {
    /// The person whom Meta names; made where nobody is known by these ids. Fills in what was not known.
    pub(crate) fn person(&mut self, account: Uuid, named: Named<'_>) -> Uuid {
        let phone = named
            .wa_id
            .map(canonical)
            .filter(|digits| !digits.is_empty());
        let by_user_id = named
            .user_id
            .and_then(|id| self.known.person_by(account, AliasKind::UserId, id));
        let by_phone = phone
            .as_deref()
            .and_then(|digits| self.known.person_by(account, AliasKind::Phone, digits));
        let id = match (by_user_id, by_phone) {
            (Some(one), Some(other)) if one != other => self.merge(one, other),
            (Some(one), _) | (None, Some(one)) => one,
            (None, None) => self.new_person(account),
        };
        if let Some(digits) = &phone {
            self.alias(account, AliasKind::Phone, digits, id);
        }
        if let Some(user_id) = named.user_id {
            self.alias(account, AliasKind::UserId, user_id, id);
        }
        if let Some(person) = self.known.persons.get_mut(&id) {
            let before = person.clone();
            let fill = |field: &mut Option<String>, value: Option<&str>| {
                if let Some(value) = value.filter(|value| !value.is_empty()) {
                    *field = Some(value.to_owned());
                }
            };
            fill(&mut person.wa_id, named.wa_id);
            fill(&mut person.user_id, named.user_id);
            fill(&mut person.name, named.name);
            fill(&mut person.username, named.username);
            if *person != before {
                self.persons.insert(id);
            }
        }
        id
    }

    /// The person who is known by this phone number or user id.
    pub(crate) fn known_person(&self, account: Uuid, value: &str) -> Option<Uuid> {
        let by = |kind| self.known.person_by(account, kind, value);
        by(AliasKind::Phone).or_else(|| by(AliasKind::UserId))
    }

    fn new_person(&mut self, account: Uuid) -> Uuid {
        let id = self.ids.next();
        self.known.persons.insert(
            id,
            Person {
                id,
                account,
                user_ref: self.ids.next().simple().to_string(),
                wa_id: None,
                user_id: None,
                username: None,
                name: None,
                created_at: self.now,
            },
        );
        self.persons.insert(id);
        id
    }

    fn alias(&mut self, account: Uuid, kind: AliasKind, value: &str, person: Uuid) {
        let alias = Alias {
            account,
            kind,
            value: value.to_owned(),
        };
        if self.known.aliases.get(&alias) != Some(&person) {
            self.known.aliases.insert(alias.clone(), person);
            self.aliases.push((alias, person));
        }
    }

    /// Two rows turn out to be one person: the older one stays, with its chats and those of the other at numbers where
    /// it has none itself.
    fn merge(&mut self, one: Uuid, other: Uuid) -> Uuid {
        let (stays, goes) = if one < other {
            (one, other)
        } else {
            (other, one)
        };
        for person in self.known.aliases.values_mut() {
            if *person == goes {
                *person = stays;
            }
        }
        for (_, person) in &mut self.aliases {
            if *person == goes {
                *person = stays;
            }
        }
        self.merged.push((goes, stays));
        for phone in self.known.hand_over(goes, stays) {
            if self.conversations.remove(&(phone, goes)) {
                self.conversations.insert((phone, stays));
            }
        }
        // A chat that an operator still has open under the other row must reach the same customer.
        let facts = self
            .known
            .persons
            .get(&stays)
            .cloned()
            .zip(self.known.persons.get(&goes).cloned());
        if let Some((mut first, mut second)) = facts {
            first.wa_id = first.wa_id.or_else(|| second.wa_id.clone());
            first.user_id = first.user_id.or_else(|| second.user_id.clone());
            first.name = first.name.or_else(|| second.name.clone());
            first.username = first.username.or_else(|| second.username.clone());
            second.wa_id.clone_from(&first.wa_id);
            second.user_id.clone_from(&first.user_id);
            for person in [first, second] {
                self.persons.insert(person.id);
                self.known.persons.insert(person.id, person);
            }
        }
        stays
    }

    /// The customer has other ids now; the chat stays. The old number may belong to somebody else tomorrow, so it no
    /// longer leads here.
    pub(crate) fn change_identity(
        &mut self,
        person: Uuid,
        wa_id: Option<&str>,
        user_id: Option<&str>,
    ) {
        let Some(known) = self.known.persons.get_mut(&person) else {
            return;
        };
        let account = known.account;
        let mut gone = Vec::new();
        if let Some(new) = wa_id {
            gone.extend(
                known
                    .wa_id
                    .as_deref()
                    .map(|old| (AliasKind::Phone, canonical(old), canonical(new))),
            );
            known.wa_id = Some(new.to_owned());
        }
        if let Some(new) = user_id {
            gone.extend(
                known
                    .user_id
                    .clone()
                    .map(|old| (AliasKind::UserId, old, new.to_owned())),
            );
            known.user_id = Some(new.to_owned());
        }
        self.persons.insert(person);
        for (kind, old, new) in gone {
            if old != new {
                let alias = Alias {
                    account,
                    kind,
                    value: old,
                };
                self.known.aliases.remove(&alias);
                self.dropped_aliases.push(alias);
            }
        }
        if let Some(new) = wa_id {
            self.alias(account, AliasKind::Phone, &canonical(new), person);
        }
        if let Some(new) = user_id {
            self.alias(account, AliasKind::UserId, new, person);
        }
    }
}
