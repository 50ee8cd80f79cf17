//! What waits while WhatsApp takes only templates from a number: see [`crate::store::held`].

use whatsapp::webhook::Status;

use super::work::Work;
use crate::{
    registry::Phone,
    store::{
        catalogue,
        conversations::Conversation,
        held::Held,
        lanes::{Confirmation, Task},
        messages::{Facts, Journey, State},
        receipts::Receipt,
    },
    translate::notes::Note,
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

/// Whether a message waits, or waited, because of this very status.
pub(super) fn heard(facts: &Facts, status: &Status) -> bool {
    facts.journey.contains(&told(status))
}

/// How the journey names what a status says.
pub(super) fn told(status: &Status) -> String {
    format!("{WINDOW_CLOSED} for {}", status.id)
}

/// Meta accepted a message and said afterwards that only templates are taken: it waits like one that was never sent.
pub(super) fn again(
    work: &mut Work<'_>,
    receipt: &Receipt,
    phone: &Phone,
    facts: &Facts,
    status: &Status,
) {
    let conversation = work
        .known
        .conversations
        .values()
        .find(|one| one.id == facts.conversation)
        .cloned();
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
    let detail = told(status);
    let journey = Journey::new().with(receipt.received_at, WAITS, Some(&detail));
    work.requeued.push((facts.id, journey));
    work.unconfirmed.push(facts.id);
    work.closed.push(facts.conversation);
    work.known.restate(facts.id, State::Queued);
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
