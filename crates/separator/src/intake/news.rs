//! What callbacks tell about templates, accounts and numbers themselves.

use uuid::Uuid;
use whatsapp::webhook::{
    AccountNews, Change, ChangeKind, NumberNews, TemplateNews, management::NumberChange,
};

use super::work::Work;
use crate::{
    identifiers::Ids,
    store::{
        self, Transaction, events::State as KeptState, instances, meta, receipts::Receipt,
        templates,
    },
    time::Millis,
};

/// Kind of the alarm that Meta restricted or cut off an account; the subject is our id of the account.
pub(crate) const ACCOUNT_ALARM: &str = "account_notice";

/// Something that a callback told, found to be about something that is set up.
#[derive(Debug, Clone)]
pub(crate) enum MetaNews {
    Template {
        account: Uuid,
        news: TemplateNews,
        at: Millis,
    },
    /// Meta's review of an account ended.
    Review {
        account: Uuid,
        decision: String,
        at: Millis,
    },
    /// An account got into trouble, or out of it.
    Account {
        account: Uuid,
        notice: Option<String>,
        at: Millis,
    },
    Number {
        phone: Uuid,
        account: Uuid,
        change: NumberChange,
        at: Millis,
    },
    /// Somebody, perhaps ourselves, changed a number's settings.
    Settings { phone: Uuid },
}

/// Works through a change of a management field. It is kept as an event whatever it says.
pub(super) fn apply(work: &mut Work<'_>, receipt: &Receipt, change: &Change) {
    work.count("other_field");
    work.keep(KeptState::Recorded, format!("field {}", change.field));
    let at = change
        .time
        .map_or(receipt.received_at, Millis::from_seconds);
    match &change.kind {
        ChangeKind::Template(news) => {
            if let Some(account) = account(work, receipt, &change.entry_id) {
                let news = news.clone();
                work.meta_news
                    .push(MetaNews::Template { account, news, at });
            }
        }
        ChangeKind::Account(news) => {
            let waba_id = news.waba_id.as_deref().unwrap_or(&change.entry_id);
            if let Some(account) = account(work, receipt, waba_id) {
                of_account(work, account, &change.field, news, at);
            }
        }
        ChangeKind::Number(NumberNews { digits, change }) => {
            let registry = work.registry;
            let phone = registry.phones.values().find(|phone| {
                phone.phone == *digits
                    && registry
                        .app_of(phone)
                        .is_some_and(|(_, app)| app.id == receipt.owner)
            });
            if let Some(phone) = phone {
                work.meta_news.push(MetaNews::Number {
                    phone: phone.id,
                    account: phone.account_id,
                    change: change.clone(),
                    at,
                });
            }
        }
        ChangeKind::Settings(news) => {
            let registry = work.registry;
            let phone = registry.phones.values().find(|phone| {
                phone.phone_number_id == news.phone_number_id
                    && registry
                        .app_of(phone)
                        .is_some_and(|(_, app)| app.id == receipt.owner)
            });
            if let Some(phone) = phone {
                let phone = phone.id;
                work.meta_news.push(MetaNews::Settings { phone });
            }
        }
        ChangeKind::Messages(_)
        | ChangeKind::Echoes(_)
        | ChangeKind::Calls(_)
        | ChangeKind::Preferences(_)
        | ChangeKind::Other => {}
    }
}

/// Our id of an account of the app that the callback came for. One that is not entered waits until it is.
fn account(work: &mut Work<'_>, receipt: &Receipt, waba_id: &str) -> Option<Uuid> {
    let accounts = &work.registry.accounts;
    let found = accounts.values().find(|account| account.waba_id == waba_id);
    match found {
        Some(account) if account.app_id == receipt.owner => Some(account.id),
        Some(_) => {
            let why = format!("the account {waba_id} belongs to another application");
            work.keep(KeptState::NotUnderstood, why);
            None
        }
        // "0" stands in what the dashboard sends for testing.
        None if waba_id.is_empty() || waba_id == "0" => None,
        None => {
            work.keep_for_account(waba_id);
            None
        }
    }
}

fn of_account(work: &mut Work<'_>, account: Uuid, field: &str, news: &AccountNews, at: Millis) {
    let event = news.event.clone();
    if field == "account_review_update" {
        work.meta_news.push(MetaNews::Review {
            account,
            decision: event,
            at,
        });
        return;
    }
    let reinstated = news
        .details
        .as_deref()
        .is_some_and(|details| details.starts_with("REINSTATE"));
    let notice = match event.as_str() {
        "DISABLED_UPDATE" if reinstated => None,
        "DISABLED_UPDATE"
        | "ACCOUNT_VIOLATION"
        | "ACCOUNT_RESTRICTION"
        | "ACCOUNT_DELETED"
        | "ACCOUNT_OFFBOARDED"
        | "PARTNER_REMOVED"
        | "PARTNER_APP_UNINSTALLED" => Some(match &news.details {
            Some(details) => format!("{event}: {details}"),
            None => event,
        }),
        "ACCOUNT_RECONNECTED" | "PARTNER_ADDED" | "PARTNER_APP_INSTALLED" => None,
        // Something to know, which the kept event tells.
        _ => return,
    };
    work.meta_news.push(MetaNews::Account {
        account,
        notice,
        at,
    });
}

/// Writes what a callback told.
pub(super) async fn write(
    tx: &mut Transaction,
    ids: &Ids,
    news: &MetaNews,
    now: Millis,
) -> Result<(), store::Error> {
    match news {
        MetaNews::Template { account, news, at } => {
            if !templates::news(tx, *account, news, *at, now).await? {
                meta::account_due(tx, *account, now);
            }
        }
        MetaNews::Review {
            account,
            decision,
            at,
        } => meta::notice_account(tx, *account, Some(decision), None, *at),
        MetaNews::Account {
            account,
            notice,
            at,
        } => {
            meta::notice_account(tx, *account, None, Some(notice.as_deref()), *at);
            let subject = account.to_string();
            match notice {
                Some(notice) => {
                    let text = format!(
                        "Meta says about a WhatsApp Business account: {notice}. Look at it in WhatsApp Manager."
                    );
                    instances::raise_alarm_within(
                        tx,
                        ids.next(),
                        now,
                        ACCOUNT_ALARM,
                        &subject,
                        &text,
                    )
                    .await?;
                }
                None => {
                    instances::clear_alarm_within(tx, now, ACCOUNT_ALARM, &subject).await?;
                }
            }
        }
        MetaNews::Settings { phone } => store::calling::look(tx, *phone, now),
        MetaNews::Number {
            phone,
            account,
            change,
            at,
        } => {
            let told = Told::of(change);
            meta::notice_number(
                tx,
                *phone,
                told.limit,
                told.name,
                told.name_status,
                &told.notice,
                *at,
            );
            // What else of the number changed with it is asked for.
            meta::account_due(tx, *account, now);
        }
    }
    Ok(())
}

struct Told<'a> {
    limit: Option<&'a str>,
    name: Option<&'a str>,
    name_status: Option<&'a str>,
    notice: String,
}

impl<'a> Told<'a> {
    fn of(change: &'a NumberChange) -> Self {
        match change {
            NumberChange::Quality { event, limit } => Self {
                limit: limit.as_deref(),
                name: None,
                name_status: None,
                notice: event.clone(),
            },
            NumberChange::Name {
                decision,
                name,
                reason,
            } => {
                let approved = decision == "APPROVED";
                let words = [Some(decision.as_str()), name.as_deref(), reason.as_deref()];
                let words: Vec<&str> = words.into_iter().flatten().collect();
                Self {
                    limit: None,
                    name: name.as_deref().filter(|_| approved),
                    name_status: Some(decision),
                    notice: format!("name {}", words.join(", ")),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_counts_once_it_is_approved() {
        let text = |text: &str| Some(text.to_owned());
        let rejected = NumberChange::Name {
            decision: "REJECTED".to_owned(),
            name: text("Acme"),
            reason: text("NAME_NOT_CONSISTENT"),
        };
        let told = Told::of(&rejected);
        assert_eq!((told.name, told.name_status), (None, Some("REJECTED")));
        assert_eq!(told.notice, "name REJECTED, Acme, NAME_NOT_CONSISTENT");
        let approved = NumberChange::Name {
            decision: "APPROVED".to_owned(),
            name: text("Acme"),
            reason: None,
        };
        assert_eq!(Told::of(&approved).name, Some("Acme"));
        let limit = NumberChange::Quality {
            event: "FLAGGED".to_owned(),
            limit: text("TIER_2K"),
        };
        assert_eq!(Told::of(&limit).limit, Some("TIER_2K"));
    }
}
