//! What an administrator is told about calls of a number: each when it begins, and not again before it has ended.

use uuid::Uuid;

use super::{preflight::Report, settings::Warning};
use crate::{
    app::App,
    doctor::{Text, text},
    identifiers::Ids,
    store::{self, Store, instances},
    time::Millis,
    translate::message::Language,
};

/// Kind of the alarm that Meta says calls cannot arrive; the subject is the number's id.
const BLOCKED_ALARM: &str = "calling_blocked";
/// Kind of the alarm that a telephone server's certificate ends within two weeks; the subject is the number's id.
const CERTIFICATE_ALARM: &str = "sip_certificate";
/// Kind of the alarm that it ends within three days.
const CERTIFICATE_URGENT_ALARM: &str = "sip_certificate_urgent";

/// The notices of one number.
pub(super) struct Notices<'a> {
    store: &'a Store,
    ids: &'a Ids,
    now: Millis,
    /// Our id of the number.
    subject: String,
}

impl<'a> Notices<'a> {
    pub(super) fn of(app: &'a App, phone: Uuid) -> Self {
        Self {
            store: &app.store,
            ids: &app.ids,
            now: app.clock.now(),
            subject: phone.to_string(),
        }
    }

    /// What Meta says stands in the way of calls to `number`, digits; nothing: calls can arrive.
    pub(super) async fn blocks(
        &self,
        number: &str,
        blocks: &[Warning],
    ) -> Result<(), store::Error> {
        let text = blocks.first().map(|block| {
            let said = |language| block.text(language);
            Text {
                english: format!("+{number}: {}", said(Language::English)),
                russian: format!("+{number}: {}", said(Language::Russian)),
            }
        });
        self.tell(BLOCKED_ALARM, text.as_ref()).await
    }

    /// How long the certificate lasts that the telephone server showed. Where it showed none, what was told still holds.
    pub(super) async fn certificate(&self, report: &Report) -> Result<(), store::Error> {
        let Some(certificate) = &report.certificate else {
            return Ok(());
        };
        let days = certificate.days_left(self.now);
        let (address, until) = (&report.address, certificate.until.to_string());
        let day = until.get(..10).unwrap_or(&until);
        let text = text!(
            "The certificate of the telephone server {address} ends on {day}: renew it, or calls stop.",
            "Сертификат телефонного сервера {address} действует до {day}: обновите его, иначе звонки прекратятся."
        );
        for (limit, kind) in [(14, CERTIFICATE_ALARM), (3, CERTIFICATE_URGENT_ALARM)] {
            self.tell(kind, (days < limit).then_some(&text)).await?;
        }
        Ok(())
    }

    /// There is no telephone server any more.
    pub(super) async fn no_server(&self) -> Result<(), store::Error> {
        self.tell(CERTIFICATE_ALARM, None).await?;
        self.tell(CERTIFICATE_URGENT_ALARM, None).await
    }

    async fn tell(&self, kind: &str, text: Option<&Text>) -> Result<(), store::Error> {
        let (store, now, subject) = (self.store, self.now, &self.subject);
        match text {
            Some(text) => {
                let id = self.ids.next();
                instances::raise_alarm_in_words(store, id, now, kind, subject, text).await?;
            }
            None => {
                instances::clear_alarm(store, now, kind, subject).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use super::*;
    use crate::{
        calling::rig::{Authority, HOST, NOW, Server, at, preflight, secure, status},
        identifiers::Chance,
        store::{
            browse::{self, Alarm, Reach, Window},
            doctor,
        },
        time::Clock,
    };

    const DAY: Duration = Duration::from_hours(24);

    /// What a server with a certificate for so many days is found to be.
    async fn report(days: i64) -> Report {
        let authority = Authority::new();
        let material = authority.certificate(&[HOST], -1, days);
        let server = Server::start(secure(material, status("200 OK"))).await;
        let look = preflight(authority.roots(), &[(HOST, &["127.0.0.1"])]);
        look.check(&at(HOST, server.port()), None).await
    }

    async fn open(store: &Store) -> Vec<Alarm> {
        let window = Window {
            below: None,
            limit: 10,
        };
        let mut open = browse::alarms(store, &Reach::Everything, window)
            .await
            .unwrap();
        open.reverse();
        open
    }

    #[tokio::test]
    async fn an_end_of_a_certificate_is_told_once_14_and_once_3_days_before_and_taken_back() {
        let folder =
            std::env::temp_dir().join(format!("separator-notices-{}", Chance::System.token()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = Store::open_sqlite(&folder.join("separator.db"))
            .await
            .unwrap();
        let clock = Clock::manual(NOW);
        let ids = Ids::new(clock.clone(), Chance::System);
        let phone = Uuid::from_u128(7);
        let notices = || Notices {
            store: &store,
            ids: &ids,
            now: clock.now(),
            subject: phone.to_string(),
        };
        let kinds = |alarms: &[Alarm]| -> Vec<String> {
            alarms.iter().map(|alarm| alarm.kind.clone()).collect()
        };
        let ends = report(20).await;
        // 20 and 15 days before: nothing.
        for _ in 0..2 {
            notices().certificate(&ends).await.unwrap();
            assert_eq!(kinds(&open(&store).await), [""; 0]);
            clock.advance(DAY * 5);
        }
        clock.advance(DAY);
        // 9 days before, and the nights after it: one notice.
        notices().certificate(&ends).await.unwrap();
        let first = open(&store).await;
        assert_eq!(kinds(&first), [CERTIFICATE_ALARM]);
        assert!(
            first[0].text.contains("ends on 2026-12-15"),
            "{}",
            first[0].text
        );
        let russian = first[0].russian.clone().unwrap();
        assert!(russian.contains("действует до 2026-12-15"), "{russian}");
        clock.advance(DAY);
        notices().certificate(&ends).await.unwrap();
        assert_eq!(open(&store).await.len(), 1);
        assert_eq!(open(&store).await[0].id, first[0].id);
        // 2 days before: one more.
        clock.advance(DAY * 6);
        for _ in 0..2 {
            notices().certificate(&ends).await.unwrap();
            let both = open(&store).await;
            assert_eq!(kinds(&both), [CERTIFICATE_ALARM, CERTIFICATE_URGENT_ALARM]);
            clock.advance(Duration::from_hours(1));
        }
        // Renewed for a while that is short, then for long.
        notices().certificate(&report(30).await).await.unwrap();
        assert_eq!(kinds(&open(&store).await), [CERTIFICATE_ALARM]);
        notices().certificate(&report(100).await).await.unwrap();
        assert_eq!(open(&store).await.len(), 0);
        // And the next time it is told anew, until there is no server.
        clock.set(NOW + DAY * 99);
        notices().certificate(&report(100).await).await.unwrap();
        assert_eq!(open(&store).await.len(), 2);
        notices().no_server().await.unwrap();
        assert!(
            doctor::open_alarms(&store, "sip_")
                .await
                .unwrap()
                .is_empty()
        );
        std::fs::remove_dir_all(folder).unwrap();
    }
}
