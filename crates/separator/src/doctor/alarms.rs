//! Alarms at edges: raised when a check turns to no, cleared when it turns to yes or its subject is gone.

use std::collections::HashSet;

use super::{Report, State, Text, check};
use crate::{
    app::App,
    store::{self, instances},
    translate::message::Language,
};

/// Beginning of the kinds of the doctor's alarms; the check's name follows.
const PREFIX: &str = "doctor:";

/// Brings alarms into line with a report.
pub(super) async fn follow(app: &App, report: &Report) -> Result<(), store::Error> {
    let now = app.clock.now();
    let mut kept = HashSet::new();
    for finding in &report.findings {
        let Some(about) = check(&finding.check).filter(|about| about.alarm) else {
            continue;
        };
        let kind = format!("{PREFIX}{}", about.id);
        let subject = &finding.subject;
        if finding.state != State::Ok {
            kept.insert((kind.clone(), subject.id.clone()));
        }
        if finding.state == State::Fault {
            let cause = |language| {
                let cause = finding.cause.as_ref();
                cause.map_or("", |cause| cause.in_language(language))
            };
            let text = Text {
                english: format!("{}: {}", subject.name, cause(Language::English)),
                russian: format!("{}: {}", subject.name, cause(Language::Russian)),
            };
            let (id, subject_id) = (app.ids.next(), &subject.id);
            let raised =
                instances::raise_alarm_in_words(&app.store, id, now, &kind, subject_id, &text);
            if raised.await? {
                tracing::warn!(
                    check = about.id,
                    kind = subject.kind,
                    id = subject.id,
                    "the doctor found a fault"
                );
            }
        }
    }
    for alarm in store::doctor::open_alarms(&app.store, PREFIX).await? {
        if !kept.contains(&(alarm.kind.clone(), alarm.subject.clone())) {
            instances::clear_alarm(&app.store, now, &alarm.kind, &alarm.subject).await?;
        }
    }
    Ok(())
}
