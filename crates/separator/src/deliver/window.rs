//! Meta's answer that only templates are taken: an operator's message waits instead of failing.

use super::{outcome, settle::Settled};
use crate::{
    app::App,
    intake::hold,
    store::{
        catalogue,
        held::Held,
        lanes::{Claimed, Ending, Task},
    },
    time::Millis,
    translate::{message::Language, notes::Note},
};

/// Whether a message that Meta refused with this code waits for its customer.
pub(super) fn is_for(code: Option<i64>, row: &Claimed) -> bool {
    // A template is what Meta takes then; should it be refused so, waiting would not help.
    let free = !matches!(row.task, Task::Template { .. });
    free && code == Some(hold::WINDOW_CLOSED) && row.origin.as_deref().is_some_and(hold::waits)
}

/// The message leaves its lane and waits; operators read so.
pub(super) async fn hold(
    app: &App,
    row: Claimed,
    language: Language,
    why: &str,
    now: Millis,
) -> Settled {
    let (Some(message), Some(conversation)) = (row.message, row.conversation.clone()) else {
        // A row without its message has nothing that could wait.
        return Settled::new(row, Ending::Done);
    };
    let approved = match catalogue::approved(&app.store, &[row.phone]).await {
        Ok(mut approved) => approved.remove(&row.phone).unwrap_or_default(),
        Err(error) => {
            tracing::error!(%error, "the templates to offer could not be read");
            return Settled::new(row, outcome::wait(now, std::time::Duration::from_secs(1)));
        }
    };
    let held = Held {
        message,
        conversation: conversation.id,
        phone: row.phone,
        media: row.media.as_ref().map(|media| media.id),
        held_at: now,
        task: row.task.clone(),
        why: None,
    };
    let codes = catalogue::offer(&approved);
    app.metrics.count("meta", "held");
    let mut settled = Settled::new(row, Ending::Done)
        .tells(now, None, hold::WAITS, Some(why))
        .with_note(app, Note::Held { codes }.markup(language));
    settled.held = Some(held);
    settled
}
