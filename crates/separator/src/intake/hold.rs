//! What waits while WhatsApp takes only templates from a number: see [`crate::store::held`].

use whatsapp::webhook::Status;

use super::work::{Lane, RefusedTemplate, Work};
use crate::{
    deliver::template_hold,
    registry::Phone,
    store::{
        catalogue,
        conversations::Conversation,
        held::Held,
        lanes::{Confirmation, Side, Task},
        messages::{Facts, Journey, try_before},
        receipts::Receipt,
    },
    time::Millis,
    translate::{
        notes::Note,
        template::{self, Unsendable},
    },
};

/// Meta's code of a message that may only go as a template.
pub(crate) const WINDOW_CLOSED: i64 = 131_047;

/// The journey's word for a message that begins to wait.
pub(crate) const WAITS: &str = "waits: only templates are taken";

/// The journey's word for a message that goes on because its customer wrote.
pub(crate) const SENT_ON: &str = "sent on: the customer wrote";

/// The journey's word for the template that goes out while a message waits.
pub(crate) const ANNOUNCED: &str = "asks the customer to write";

/// Whose messages wait: a program wants to hear of its failure, an operator wants the message to arrive.
pub(crate) fn waits(origin: &str) -> bool {
    matches!(origin, "operator" | "automatic")
}

impl Work<'_> {
    /// Keeps a message of an operator until its customer writes.
    pub(super) fn hold(&mut self, held: Held) {
        self.count("held");
        let waiting = self.known.held.entry(held.conversation).or_default();
        waiting.push(held.clone());
        self.held.push(held);
    }

    /// The customer wrote: what waited goes into its lane, in the order in which it was written.
    pub(super) fn release(&mut self, conversation: &Conversation) {
        for held in self.known.held.remove(&conversation.id).unwrap_or_default() {
            self.count("released");
            let in_this_batch = self.held.iter().position(|new| new.message == held.message);
            match in_this_batch {
                Some(index) => drop(self.held.remove(index)),
                None => self.freed.push(held.message),
            }
            let journey = Journey::new().with(self.now, SENT_ON, None);
            self.tell_journey(held.message, journey);
            self.tell_customer(conversation.into(), held.message, held.media, held.task);
        }
    }

    /// Tells operators that a message waits, and which templates they can send.
    pub(super) fn note_held(&mut self, phone: &Phone, conversation: &Conversation) {
        let approved = self.known.approved.get(&phone.id);
        let codes = catalogue::offer(approved.map(Vec::as_slice).unwrap_or_default());
        let note = Note::Held { codes }.markup(self.language(phone));
        self.note(conversation.into(), note);
    }
}

/// Whether a status says that only templates are taken.
pub(super) fn says_closed(status: &Status) -> bool {
    status
        .errors
        .iter()
        .any(|error| error.code == Some(WINDOW_CLOSED))
}

/// The status of its template, where a status of a message says that it failed for that.
pub(super) fn template_status(status: &Status) -> Option<&'static str> {
    let mut codes = status.errors.iter().map(|error| error.code);
    codes.find_map(template::status_by)
}

/// How the journey names what a status says; what is said later of that try is known by it.
fn told(status: &Status) -> String {
    let code = status.errors.first().and_then(|error| error.code);
    let code = code.unwrap_or(WINDOW_CLOSED);
    format!("{code}: {}", try_before(&status.id))
}

/// Meta accepted a message and said afterwards that it was not sent, for a reason that passes: it waits like one that was
/// never sent. Gives whether this is so; where it is not, the message failed.
pub(super) fn waits_again(
    work: &mut Work<'_>,
    receipt: &Receipt,
    phone: &Phone,
    facts: &Facts,
    status: &Status,
) -> bool {
    let closed = says_closed(status) && waits(&facts.origin);
    let of_template = template_status(status);
    let of_this_try = facts.wamid.as_ref().is_none_or(|wamid| *wamid == status.id);
    if (closed || of_template.is_some()) && !of_this_try {
        // What is said about an earlier try is over: another is under way.
        return true;
    }
    if closed {
        again(work, receipt, phone, facts, status);
        return true;
    }
    of_template.is_some_and(|of| template_again(work, receipt, phone, facts, status, of))
}

/// The message goes back to where it was before it was sent, and every later status of that try is passed over.
fn take_back(work: &mut Work<'_>, receipt: &Receipt, facts: &Facts, status: &Status, step: &str) {
    let detail = told(status);
    let journey = Journey::new().with(receipt.received_at, step, Some(&detail));
    work.requeued.push((facts.id, journey));
    if !facts.is_ordered() {
        // Whoever ordered a message waits for a report in the same place, and for no confirmation.
        work.unconfirmed.push(facts.id);
    }
    work.known.take_back(facts.id, &detail);
    // Where its answer was lost, its lane need not wait any longer.
    work.due.push((Side::Meta, facts.phone, facts.conversation));
}

/// The template was not taken: the message waits until it is.
fn template_again(
    work: &mut Work<'_>,
    receipt: &Receipt,
    phone: &Phone,
    facts: &Facts,
    status: &Status,
    template_status: &'static str,
) -> bool {
    let Some(Task::Template {
        name,
        language,
        components,
        header,
        ..
    }) = work.known.sent_tasks.get(&facts.id).cloned()
    else {
        return false;
    };
    let conversation = work.known.conversation_by_id(facts.conversation).cloned();
    let confirm = conversation
        .as_ref()
        .and_then(|conversation| confirmation(phone, conversation, facts));
    take_back(work, receipt, facts, status, template_hold::WAITS);
    // Meta tells whole seconds.
    let told_at = status.timestamp.map_or(receipt.received_at, |at| {
        Millis(Millis::from_seconds(at).0 + 999)
    });
    work.refused.push(RefusedTemplate {
        phone: facts.phone,
        name: name.clone(),
        language: language.clone(),
        status: template_status,
        at: told_at.min(receipt.received_at),
    });
    let why = Unsendable::NotApproved {
        status: template_status.to_owned(),
    };
    let note = Note::TemplateWaits {
        name: name.clone(),
        language: language.clone(),
        why: why.clone(),
    };
    work.count("held_for_template");
    work.held.push(Held {
        message: facts.id,
        conversation: facts.conversation,
        phone: facts.phone,
        media: facts.media,
        held_at: work.now,
        task: Task::Template {
            name,
            language,
            components,
            header,
            confirm,
        },
        why: Some(why),
    });
    let lane = Lane {
        phone: phone.id,
        conversation: facts.conversation,
    };
    work.note(lane, note.markup(work.language(phone)));
    true
}

/// Only templates are taken from now on: the message waits for its customer.
fn again(work: &mut Work<'_>, receipt: &Receipt, phone: &Phone, facts: &Facts, status: &Status) {
    let conversation = work.known.conversation_by_id(facts.conversation).cloned();
    let confirm = conversation
        .as_ref()
        .and_then(|conversation| confirmation(phone, conversation, facts));
    let interactive = work.known.interactive_sent.get(&facts.id).cloned();
    let task = if let Some(content) = interactive {
        Task::Interactive { content, confirm }
    } else if facts.media.is_some() {
        Task::File {
            caption: None,
            context: None,
            confirm,
        }
    } else {
        Task::Text {
            body: facts.text.clone(),
            context: None,
            confirm,
        }
    };
    take_back(work, receipt, facts, status, WAITS);
    work.closed.push(facts.conversation);
    if let Some(conversation) = &conversation {
        work.known.close_window(conversation, work.now);
    }
    work.hold(Held {
        message: facts.id,
        conversation: facts.conversation,
        phone: facts.phone,
        media: facts.media,
        held_at: work.now,
        task,
        why: None,
    });
    if let Some(conversation) = conversation {
        work.note_held(phone, &conversation);
    }
}

/// What to confirm once the message is sent, as far as it is known.
fn confirmation(phone: &Phone, conversation: &Conversation, facts: &Facts) -> Option<Confirmation> {
    Some(Confirmation {
        connector: phone.connector.clone()?,
        line: phone.line_id?,
        chat_ref: conversation.chat_ref.clone(),
        im_chat_id: conversation.im_chat_id?,
        im_message_id: facts.im_message_id?,
    })
}
