//! A template that WhatsApp does not take at present: its message waits instead of failing.
//!
//! Looked at before every send, because a message may be older than what is known of its template; and Meta is the judge.

use super::settle::Settled;
use crate::{
    app::App,
    registry::Phone,
    store::{
        self, catalogue,
        held::Held,
        lanes::{Claimed, Ending, Task},
    },
    time::Millis,
    translate::{
        message::Language,
        notes::Note,
        template::{self, Template, Unsendable, sendable},
    },
};

/// The journey's word for a message that begins to wait for its template.
pub(crate) const WAITS: &str = "waits: the template is not taken";

/// The templates that rows are made from.
pub(super) async fn templates_of(
    app: &App,
    phone: &Phone,
    rows: &[Claimed],
) -> Result<Vec<Template>, store::Error> {
    let mut names: Vec<String> = rows
        .iter()
        .filter_map(|row| match &row.task {
            Task::Template { name, .. } => Some(name.clone()),
            _ => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    catalogue::of_names(&app.store, phone.id, &names).await
}

/// Why a row has to wait for its template, as far as the catalogue tells. One of which nobody knows whether it was sent
/// is settled first.
pub(super) fn unsendable(row: &Claimed, templates: &[Template]) -> Option<Unsendable> {
    let Task::Template {
        name,
        language,
        components,
        header,
        ..
    } = &row.task
    else {
        return None;
    };
    let file = header.as_ref().map(|header| header.kind);
    if row.started_at.is_some() {
        return None;
    }
    sendable(templates, name, language, components, file, false).err()
}

/// Whether a row is made from a marketing template.
pub(super) fn is_marketing(row: &Claimed, templates: &[Template]) -> bool {
    let Task::Template { name, language, .. } = &row.task else {
        return false;
    };
    templates.iter().any(|one| {
        one.name == *name && one.language == *language && one.category == template::MARKETING
    })
}

/// The status that Meta tells by refusing a template.
pub(super) fn status_of(code: Option<i64>, row: &Claimed) -> Option<&'static str> {
    let waits = matches!(row.task, Task::Template { .. }) && row.message.is_some();
    template::status_by(code).filter(|_| waits)
}

/// The message leaves its lane and waits; operators read why.
pub(super) fn hold(
    app: &App,
    row: Claimed,
    why: Unsendable,
    language: Language,
    now: Millis,
) -> Settled {
    let (
        Some(message),
        Some(conversation),
        Task::Template {
            name, language: of, ..
        },
    ) = (row.message, &row.conversation, &row.task)
    else {
        // Only templates with their message are held.
        return Settled::new(row, Ending::Done);
    };
    let note = Note::TemplateWaits {
        name: name.clone(),
        language: of.clone(),
        why: why.clone(),
    };
    let held = Held {
        message,
        conversation: conversation.id,
        phone: row.phone,
        media: row.media.as_ref().map(|media| media.id),
        held_at: now,
        task: row.task.clone(),
        why: Some(why),
    };
    app.metrics.count("meta", "held_for_template");
    let words = note.text(Language::English);
    let mut settled = Settled::new(row, Ending::Done)
        .tells(now, None, WAITS, Some(&words))
        .with_note(app, note.markup(language));
    settled.held = Some(held);
    settled
}
