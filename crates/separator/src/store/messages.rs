//! Messages and their journeys.
//!
//! A journey is text in the message's row: one JSON object a line, appended with the change it tells of, so that a step
//! is on disk exactly when its effect is.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Cell, Error, Row, Store, Transaction,
    lanes::{self, Task},
};
use crate::time::Millis;

/// Where a message stands. The order of delivery states is [`State::rank`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Inbound: kept; its number is not linked to a portal yet.
    Received,
    /// On its way.
    Queued,
    /// A try was cut; whether it happened is being found out.
    Unknown,
    /// Accepted by WhatsApp's servers.
    Sent,
    /// It will not arrive.
    Failed,
    /// On the customer's phone, or in the operator's chat.
    Delivered,
    /// Read, or heard.
    Read,
}

impl State {
    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Queued => "queued",
            Self::Unknown => "unknown",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }

    /// The state that is stored as `text`.
    pub fn parse(text: &str) -> Self {
        match text {
            "received" => Self::Received,
            "unknown" => Self::Unknown,
            "sent" => Self::Sent,
            "failed" => Self::Failed,
            "delivered" => Self::Delivered,
            "read" => Self::Read,
            _ => Self::Queued,
        }
    }

    /// Facts come in any order; the highest wins. A failure after `sent` is believed, one after `delivered` is not.
    pub fn rank(self) -> i64 {
        match self {
            Self::Received | Self::Queued => 0,
            Self::Unknown => 1,
            Self::Sent => 2,
            Self::Failed => 3,
            Self::Delivered => 4,
            Self::Read => 5,
        }
    }
}

/// [`State::rank`] in SQL.
const RANK: &str = "CASE messages.state WHEN 'unknown' THEN 1 WHEN 'sent' THEN 2 WHEN 'failed' THEN 3 \
                    WHEN 'delivered' THEN 4 WHEN 'read' THEN 5 ELSE 0 END";

/// What Meta or Bitrix24 said about a message that will not arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MessageError {
    /// Meta's code, or a word of ours.
    pub code: String,
    /// Short title.
    pub title: String,
    /// Details.
    pub details: Option<String>,
}

/// One step of a journey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Step {
    /// When, in Unix milliseconds.
    pub at: i64,
    /// What happened, in one word of the list in `ARCHITECTURE.md`.
    pub step: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Steps on their way into a journey.
#[derive(Debug, Clone, Default)]
pub struct Journey(String);

impl Journey {
    /// An empty piece of a journey.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step.
    pub fn step(&mut self, at: Millis, step: &str, detail: Option<&str>) -> &mut Self {
        let step = Step {
            at: at.0,
            step: step.to_owned(),
            detail: detail.map(str::to_owned),
        };
        self.0
            .push_str(&serde_json::to_string(&step).expect("numbers and text always serialise"));
        self.0.push('\n');
        self
    }

    /// Adds a step and gives the journey back.
    #[must_use]
    pub fn with(mut self, at: Millis, step: &str, detail: Option<&str>) -> Self {
        self.step(at, step, detail);
        self
    }

    /// The stored form.
    pub fn into_text(self) -> String {
        self.0
    }

    /// Reads a stored journey; a line that cannot be read is shown as it is.
    pub fn read(text: &str) -> Vec<Step> {
        text.lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|_| Step {
                    at: 0,
                    step: "unreadable".to_owned(),
                    detail: Some(line.to_owned()),
                })
            })
            .collect()
    }
}

/// Direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the customer.
    Inbound,
    /// To the customer.
    Outbound,
}

impl Direction {
    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// A message on its way into the store.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Our id.
    pub id: Uuid,
    /// The business number.
    pub phone: Uuid,
    /// The conversation.
    pub conversation: Uuid,
    /// From or to the customer.
    pub direction: Direction,
    /// Who made it: `customer`, `operator`, `automatic`, `phone_app`, `api`.
    pub origin: &'static str,
    /// The customer, as digits or user id.
    pub peer: String,
    /// Message type.
    pub kind: String,
    /// Plain text.
    pub text: String,
    /// Where it stands.
    pub state: State,
    /// Meta's id, once known.
    pub wamid: Option<String>,
    /// Bitrix24's chat and message of an operator's message.
    pub im: Option<(i64, i64)>,
    /// Its file.
    pub media: Option<Uuid>,
    /// When it came in.
    pub created_at: Millis,
    /// Its first steps.
    pub journey: Journey,
}

/// Stores new messages.
pub fn insert(tx: &mut Transaction, messages: Vec<NewMessage>) {
    let rows: Vec<Vec<Cell>> = messages
        .into_iter()
        .map(|message| {
            vec![
                message.id.into(),
                message.phone.into(),
                message.conversation.into(),
                message.direction.as_str().into(),
                message.origin.into(),
                message.peer.into(),
                message.kind.into(),
                message.text.into(),
                message.state.as_str().into(),
                message.wamid.into(),
                message.im.map(|(chat, _)| chat).into(),
                message.im.map(|(_, id)| id).into(),
                message.media.into(),
                message.created_at.0.into(),
                message.created_at.0.into(),
                message.journey.into_text().into(),
            ]
        })
        .collect();
    tx.write_rows(
        "INSERT INTO messages (id, phone_id, conversation_id, direction, origin, peer, kind, text, state, wamid, \
         im_chat_id, im_message_id, media_id, created_at, updated_at, journey) VALUES",
        rows,
        "",
    );
}

/// A change to a message.
#[derive(Debug, Clone)]
pub struct Change {
    /// The message.
    pub id: Uuid,
    /// The state it reached, if it is higher than where it stands.
    pub state: Option<State>,
    /// Meta's id, once known.
    pub wamid: Option<String>,
    /// Why it failed.
    pub error: Option<MessageError>,
    /// What it was sent as, where its row does not tell it.
    pub sent_task: Option<Box<Task>>,
    /// When.
    pub at: Millis,
    /// The steps to add.
    pub journey: Journey,
}

impl Change {
    /// Takes a later change of the same message in. An error belongs to its state: it goes where a higher state is
    /// reached, and one that comes too late is none.
    fn absorb(&mut self, later: Self) {
        let rank = |state: Option<State>| state.map_or(-1, State::rank);
        if rank(later.state) > rank(self.state) {
            self.state = later.state;
            self.error = later.error;
        } else if later.state != Some(State::Failed) {
            self.error = self.error.take().or(later.error);
        }
        self.wamid = later.wamid.or(self.wamid.take());
        self.sent_task = later.sent_task.or(self.sent_task.take());
        self.at = later.at;
        self.journey.0.push_str(&later.journey.0);
    }
}

/// Writes changes; several changes of one message are folded into one.
pub fn change(tx: &mut Transaction, changes: Vec<Change>) {
    let mut folded: Vec<Change> = Vec::with_capacity(changes.len());
    let mut places = std::collections::HashMap::new();
    for change in changes {
        let Some(place) = places.get(&change.id) else {
            places.insert(change.id, folded.len());
            folded.push(change);
            continue;
        };
        folded[*place].absorb(change);
    }
    folded.sort_unstable_by_key(|change| change.id);
    let rows: Vec<Vec<Cell>> = folded
        .into_iter()
        .map(|change| {
            vec![
                change.id.into(),
                change.state.map_or("", State::as_str).into(),
                change.state.map_or(-1, State::rank).into(),
                change.wamid.into(),
                change
                    .error
                    .and_then(|error| serde_json::to_string(&error).ok())
                    .into(),
                change.at.0.into(),
                change.journey.into_text().into(),
                change.sent_task.as_deref().map(lanes::payload).into(),
            ]
        })
        .collect();
    let head = format!(
        "UPDATE messages SET \
         state = CASE WHEN v.column3 > ({RANK}) THEN v.column2 ELSE messages.state END, \
         error = CASE WHEN v.column3 > ({RANK}) AND v.column2 <> 'unknown' THEN v.column5 \
                 WHEN v.column2 = 'failed' THEN messages.error \
                 ELSE COALESCE(messages.error, v.column5) END, \
         wamid = COALESCE(v.column4, messages.wamid), \
         updated_at = v.column6, \
         sent_task = COALESCE(v.column8, messages.sent_task), \
         journey = messages.journey || v.column7 FROM (VALUES"
    );
    tx.write_rows(&head, rows, ") AS v WHERE messages.id = v.column1");
}

/// How the journey of a message that is sent anew names the try that failed, by Meta's id of it.
pub fn try_before(wamid: &str) -> String {
    format!("the try that failed was {wamid}")
}

/// What a message was sent as, where its row does not tell it.
pub async fn sent_task(store: &Store, id: Uuid) -> Result<Option<Task>, Error> {
    let row = store
        .fetch_optional("SELECT sent_task FROM messages WHERE id = $1", &[id.into()])
        .await?;
    let stored = row.map(|row| row.maybe_text("sent_task")).transpose()?;
    stored
        .flatten()
        .map(|text| lanes::read_payload(&text, "messages", "sent_task"))
        .transpose()
}

/// What messages were sent as, or are being sent as, where their rows do not tell it.
pub async fn sent_tasks(
    store: &Store,
    ids: &[Uuid],
) -> Result<std::collections::HashMap<Uuid, Task>, Error> {
    let keys: Vec<Cell> = ids.iter().map(|id| Cell::Id(*id)).collect();
    let rows = store
        .fetch_in(
            "SELECT m.id, COALESCE(m.sent_task, o.payload) AS task FROM messages m LEFT JOIN outbox o \
             ON o.message_id = m.id AND o.side = 'meta' WHERE m.id IN",
            &keys,
        )
        .await?;
    let mut tasks = std::collections::HashMap::new();
    for row in rows {
        if let Some(text) = row.maybe_text("task")? {
            tasks.insert(
                row.id("id")?,
                lanes::read_payload(&text, "messages", "sent_task")?,
            );
        }
    }
    Ok(tasks)
}

/// What an edit made of a message.
#[derive(Debug)]
pub struct Retold {
    /// The message that was edited.
    pub id: Uuid,
    /// Its new words.
    pub text: String,
    /// When its author edited it, as Meta tells.
    pub edited_at: Millis,
}

/// A message says something else now: its author edited it. What answers it later quotes the new words.
pub fn retell(tx: &mut Transaction, retold: &Retold, at: Millis, journey: Journey) {
    tx.write(
        "UPDATE messages SET text = $1, edited_at = $2, updated_at = $3, journey = journey || $4 WHERE id = $5",
        &[
            retold.text.as_str().into(),
            retold.edited_at.0.into(),
            at.0.into(),
            journey.into_text().into(),
            retold.id.into(),
        ],
    );
}

/// Puts a message back on its way, whatever its state.
pub fn requeue(tx: &mut Transaction, id: Uuid, at: Millis, journey: Journey) {
    tx.write(
        "UPDATE messages SET state = 'queued', error = NULL, updated_at = $1, journey = journey || $2 WHERE id = $3",
        &[at.0.into(), journey.into_text().into(), id.into()],
    );
}

/// What intake needs to know of a message that something refers to.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The message.
    pub id: Uuid,
    /// The business number.
    pub phone: Uuid,
    /// The conversation.
    pub conversation: Uuid,
    /// Whether the customer wrote it.
    pub inbound: bool,
    /// Who made it.
    pub origin: String,
    /// Its plain text.
    pub text: String,
    /// Its type.
    pub kind: String,
    /// Where it stands.
    pub state: State,
    /// Meta's id.
    pub wamid: Option<String>,
    /// Bitrix24's message.
    pub im_message_id: Option<i64>,
    /// Its file.
    pub media: Option<Uuid>,
    /// When its author last edited it, as Meta tells.
    pub edited_at: Option<Millis>,
    /// What happened so far, as stored.
    pub journey: String,
}

impl Facts {
    /// Whether Bitrix24 asked for it by SMS or by a robot, and hears of it in reports.
    pub fn is_ordered(&self) -> bool {
        matches!(self.origin.as_str(), "sms" | "robot")
    }
}

const FACTS: &str = "SELECT id, phone_id, conversation_id, direction, origin, text, kind, state, wamid, im_message_id, \
                     media_id, edited_at, journey FROM messages";

fn read_facts(row: &Row) -> Result<Facts, Error> {
    Ok(Facts {
        id: row.id("id")?,
        phone: row.id("phone_id")?,
        conversation: row.id("conversation_id")?,
        inbound: row.text("direction")? == "inbound",
        origin: row.text("origin")?,
        text: row.text("text")?,
        kind: row.text("kind")?,
        state: State::parse(&row.text("state")?),
        wamid: row.maybe_text("wamid")?,
        im_message_id: row.maybe_number("im_message_id")?,
        media: row.maybe_id("media_id")?,
        edited_at: row.maybe_number("edited_at")?.map(Millis),
        journey: row.text("journey")?,
    })
}

/// Messages by wamid.
pub async fn by_wamid(store: &Store, wamids: &[String]) -> Result<Vec<Facts>, Error> {
    let keys: Vec<Cell> = wamids
        .iter()
        .map(|wamid| Cell::text(wamid.as_str()))
        .collect();
    let rows = store
        .fetch_in(&format!("{FACTS} WHERE wamid IN"), &keys)
        .await?;
    rows.iter().map(read_facts).collect()
}

/// Messages by our id.
pub async fn by_id(store: &Store, ids: &[Uuid]) -> Result<Vec<Facts>, Error> {
    let keys: Vec<Cell> = ids.iter().map(|id| Cell::Id(*id)).collect();
    let rows = store
        .fetch_in(&format!("{FACTS} WHERE id IN"), &keys)
        .await?;
    rows.iter().map(read_facts).collect()
}

/// The last messages of a conversation that WhatsApp can quote, newest first: where a quote is looked for.
pub async fn latest(store: &Store, conversation: Uuid, limit: i64) -> Result<Vec<Facts>, Error> {
    let rows = store
        .fetch(
            &format!(
                "{FACTS} WHERE conversation_id = $1 AND wamid IS NOT NULL \
                 AND kind NOT IN ('edit', 'revoke', 'reaction', 'system') ORDER BY id DESC LIMIT $2"
            ),
            &[conversation.into(), limit.into()],
        )
        .await?;
    rows.iter().map(read_facts).collect()
}

/// The wamids of all parts of an operator's message, in order.
pub async fn wamids_of(
    store: &Store,
    conversation: Uuid,
    im_message_id: i64,
) -> Result<Vec<String>, Error> {
    let rows = store
        .fetch(
            "SELECT wamid FROM messages WHERE conversation_id = $1 AND im_message_id = $2 AND wamid IS NOT NULL \
             ORDER BY id",
            &[conversation.into(), im_message_id.into()],
        )
        .await?;
    rows.iter().map(|row| row.text("wamid")).collect()
}

/// Where messages stand, read inside a transaction.
pub async fn states(
    tx: &mut Transaction,
    ids: &[Uuid],
) -> Result<std::collections::HashMap<Uuid, State>, Error> {
    let keys: Vec<Cell> = ids.iter().map(|id| Cell::Id(*id)).collect();
    let rows = tx
        .fetch_in("SELECT id, state FROM messages WHERE id IN", &keys)
        .await?;
    rows.iter()
        .map(|row| Ok((row.id("id")?, State::parse(&row.text("state")?))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_fact_wins_in_any_order() {
        let order = [
            State::Queued,
            State::Unknown,
            State::Sent,
            State::Failed,
            State::Delivered,
            State::Read,
        ];
        assert!(order.windows(2).all(|pair| pair[0].rank() < pair[1].rank()));
        assert!(
            order
                .iter()
                .all(|state| State::parse(state.as_str()) == *state)
        );
    }

    #[test]
    fn an_error_stays_with_the_failure_in_any_order() {
        let change = |state: State| Change {
            id: Uuid::nil(),
            state: Some(state),
            wamid: None,
            sent_task: None,
            error: (state == State::Failed).then(|| MessageError {
                code: "131026".to_owned(),
                title: String::new(),
                details: None,
            }),
            at: Millis(0),
            journey: Journey::new(),
        };
        for (states, failed) in [
            ([State::Sent, State::Failed], true),
            ([State::Failed, State::Sent], true),
            ([State::Failed, State::Failed], true),
            ([State::Delivered, State::Failed], false),
            ([State::Failed, State::Delivered], false),
        ] {
            let mut folded = change(states[0]);
            folded.absorb(change(states[1]));
            assert_eq!(folded.error.is_some(), failed, "{states:?}");
            assert_eq!(folded.state == Some(State::Failed), failed, "{states:?}");
        }
    }

    #[test]
    fn a_journey_reads_back_what_was_written() {
        let text = Journey::new()
            .with(Millis(1), "received", None)
            .with(Millis(2), "sent", Some("wamid.X\n\"quoted\""))
            .into_text();
        let steps = Journey::read(&text);
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[1].detail.as_deref(), Some("wamid.X\n\"quoted\""));
        assert_eq!(Journey::read("not json")[0].step, "unreadable");
    }
}
