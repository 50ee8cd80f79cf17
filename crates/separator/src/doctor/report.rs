//! What the doctor found, as it is kept and printed.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Finding, REPORT, State, check, checks};
use crate::{app::App, store, time::Millis, translate::message::Language};

/// Where the sections of the documentation are.
const DOCUMENTATION: &str = "docs/doctor.md";

/// The findings of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When it was made, Unix milliseconds.
    checked_at: i64,
    /// What was found, in the order of the checks.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(checked_at: Millis, findings: Vec<Finding>) -> Self {
        let mut report = Self {
            checked_at: checked_at.0,
            findings,
        };
        report.sort();
        report
    }

    fn sort(&mut self) {
        let order: Vec<&str> = checks().map(|about| about.id).collect();
        self.findings.sort_by_cached_key(|finding| {
            let place = order.iter().position(|id| *id == finding.check);
            (
                place,
                finding.subject.name.clone(),
                finding.subject.id.clone(),
            )
        });
    }

    /// When it was made.
    pub fn checked_at(&self) -> Millis {
        Millis(self.checked_at)
    }

    /// Whether something is wrong.
    pub fn has_fault(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.state == State::Fault)
    }

    /// Replaces what is said about subjects by what was found of them now.
    pub(super) fn renew(&mut self, news: Vec<Finding>) {
        self.findings.retain(|old| {
            !news
                .iter()
                .any(|new| new.check == old.check && new.subject.id == old.subject.id)
        });
        self.findings.extend(news);
        self.sort();
    }

    /// The last report that was kept.
    pub(crate) async fn last(app: &App) -> Result<Option<Self>, store::Error> {
        let note = store::doctor::note(&app.store, REPORT).await?;
        // What an older version wrote is made anew by the next run.
        Ok(note.and_then(|(text, _)| serde_json::from_str(&text).ok()))
    }

    pub(super) async fn save(&self, app: &App) -> Result<(), store::Error> {
        let text = serde_json::to_string(self).unwrap_or_default();
        store::doctor::write_note(&app.store, self.checked_at(), REPORT, &text).await
    }

    /// As `separator doctor --json` prints it.
    pub fn to_json(&self, language: Language) -> Value {
        json!({
            "checked_at": self.checked_at(),
            "checks": self.findings.iter().filter_map(|finding| show(finding, language)).collect::<Vec<_>>(),
        })
    }

    /// As `separator doctor` prints it.
    pub fn to_text(&self, language: Language) -> String {
        let mut text = String::new();
        let mut counts = [0_usize; 3];
        for finding in &self.findings {
            let Some(about) = check(&finding.check) else {
                continue;
            };
            let (sign, count) = match finding.state {
                State::Ok => ("ok     ", 0),
                State::Fault => ("FAULT  ", 1),
                State::Unknown => ("unknown", 2),
            };
            counts[count] += 1;
            let title = about.title.in_language(language);
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{sign}  {}  {}: {title}",
                about.id, finding.subject.name
            );
            for more in [&finding.cause, &finding.fix].into_iter().flatten() {
                let _ = writeln!(text, "         {}", more.in_language(language));
            }
            if finding.state == State::Fault {
                let _ = writeln!(text, "         {DOCUMENTATION}#{}", about.id);
            }
        }
        let [ok, faults, unknown] = counts;
        let _ = writeln!(text, "\n{ok} ok, {faults} wrong, {unknown} not known");
        text
    }
}

/// A finding as the API shows it; `None` for a check that this version does not know.
pub(crate) fn show(finding: &Finding, language: Language) -> Option<Value> {
    let about = check(&finding.check)?;
    let say = |text: &Option<super::Text>| {
        text.as_ref()
            .map(|text| text.in_language(language).to_owned())
    };
    Some(json!({
        "id": about.id,
        "group": about.group.as_str(),
        "subject": { "kind": finding.subject.kind, "id": finding.subject.id, "name": finding.subject.name },
        "state": finding.state.as_str(),
        "title": about.title.in_language(language),
        "cause": say(&finding.cause),
        "fix": say(&finding.fix),
        "documentation": format!("{DOCUMENTATION}#{}", about.id),
        "repair": about.repair.is_some() && finding.state == State::Fault,
    }))
}
