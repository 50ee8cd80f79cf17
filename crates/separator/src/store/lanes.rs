//! What is still to be delivered.
//!
//! A lane is a conversation in one direction (or a single confirmation). Its rows are numbered; only its head may be in
//! flight. The lane says when its head is due, so a head that waits holds its lane and no other.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Cell, Error, Row, Store, Transaction,
    messages::{self, Journey, MessageError},
};
use crate::{time::Millis, translate::template::HeaderKind};

/// To whom a row goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// To the portal that the number is linked to.
    Portal,
    /// To Meta, for the customer.
    Meta,
}

impl Side {
    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Portal => "portal",
            Self::Meta => "meta",
        }
    }

    /// The side that is stored as `text`.
    pub fn parse(text: &str) -> Self {
        if text == "meta" {
            Self::Meta
        } else {
            Self::Portal
        }
    }
}

/// What goes first when a destination cannot take everything at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Customers' and operators' messages.
    Conversation,
    /// Confirmations to Bitrix24, which marks a message red after a minute without one.
    Confirmation,
    /// What a program sends: the API, later robots and broadcasts.
    Program,
}

impl Priority {
    /// As stored.
    pub fn as_number(self) -> i64 {
        match self {
            Self::Conversation => 0,
            Self::Confirmation => 1,
            Self::Program => 2,
        }
    }
}

/// An operator's message that Bitrix24 waits to have confirmed, exactly as its event named it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Connector.
    pub connector: String,
    /// Open line.
    pub line: i64,
    /// The chat id that we gave.
    pub chat_ref: String,
    /// Bitrix24's chat.
    pub im_chat_id: i64,
    /// Bitrix24's message.
    pub im_message_id: i64,
}

impl Task {
    /// What to confirm to the portal once this is sent.
    pub fn confirmation(&self) -> Option<&Confirmation> {
        match self {
            Self::Text { confirm, .. }
            | Self::File { confirm, .. }
            | Self::Template { confirm, .. }
            | Self::Interactive { confirm, .. } => confirm.as_ref(),
            _ => None,
        }
    }

    /// What another try would send, where the message's own row does not tell it: the row has the text and the file, but
    /// neither a template nor what is answered. Nothing is confirmed once more.
    pub fn for_another_try(&self) -> Option<Self> {
        let mut task = self.clone();
        match &mut task {
            Self::Text { context: None, .. }
            | Self::File {
                caption: None,
                context: None,
                ..
            } => return None,
            Self::Text { confirm, .. }
            | Self::File { confirm, .. }
            | Self::Template { confirm, .. } => *confirm = None,
            _ => {}
        }
        Some(task)
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// Portal: show a message in the operator's chat. With a media id in the row it has a file.
    Post {
        /// The id under which the portal knows it: the wamid, or an id of ours for notes.
        external_id: String,
        /// Text in Bitrix24's markup.
        text: String,
        /// Whether it comes from nobody and is seen by operators only.
        note: bool,
    },
    /// Portal: the customer edited a message.
    Update {
        /// The id under which it was posted.
        external_id: String,
        /// What it says now, in Bitrix24's markup.
        text: String,
    },
    /// Portal: the customer took a message back.
    Delete {
        /// The id under which it was posted.
        external_id: String,
    },
    /// Portal: an operator's message reached WhatsApp.
    Confirm(Confirmation),
    /// Meta: text, with WhatsApp's marks.
    Text {
        /// At most 4096 characters.
        body: String,
        /// The wamid it answers.
        context: Option<String>,
        /// What to confirm to the portal once this is sent.
        confirm: Option<Confirmation>,
    },
    /// Meta: the file of the row's media id.
    File {
        /// Caption, at most 1024 characters.
        caption: Option<String>,
        /// The wamid it answers.
        context: Option<String>,
        /// What to confirm to the portal once this is sent.
        confirm: Option<Confirmation>,
    },
    /// Meta: media that Meta fetches or has already.
    Media {
        /// `image`, `video`, `audio`, `document` or `sticker`.
        kind: String,
        /// Media id; else the link is used.
        id: Option<String>,
        /// Public link.
        link: Option<String>,
        /// File name, for documents.
        filename: Option<String>,
        /// Caption.
        caption: Option<String>,
    },
    /// Meta: an approved template.
    Template {
        /// Its name.
        name: String,
        /// Its language code, exactly as approved.
        language: String,
        /// Components as Meta takes them, but for the file of the header.
        components: serde_json::Value,
        /// The file of the header: that of the row's media id, or else the one behind its link.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<HeaderFile>,
        /// What to confirm to the portal once this is sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirm: Option<Confirmation>,
    },
    /// Meta: an interactive message.
    Interactive {
        /// Meta's object.
        content: serde_json::Value,
        /// What to confirm to the portal once this is sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirm: Option<Confirmation>,
    },
    /// Portal: what became of a message that Bitrix24 asked for as an SMS or by a robot.
    Report(Report),
    /// Portal: what is known of a call belongs into its CRM. The lane is the call.
    Call {
        /// Our id of the call.
        call: Uuid,
    },
}

/// The file of a template's header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderFile {
    /// What it has to be.
    pub kind: HeaderKind,
    /// Its address, where it was given as one.
    pub link: Option<String>,
}

/// What became of a message that Bitrix24 asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Report {
    /// An SMS (Bitrix24: messageservice.message.status.update).
    Sms {
        /// The provider's code.
        code: String,
        /// Bitrix24's id of the SMS.
        sms: String,
        /// `sent`, `delivered`, `undelivered` or `failed`.
        status: String,
    },
    /// A robot or an action of a workflow (Bitrix24: bizproc.event.send).
    Robot {
        /// Bitrix24's token of the step that waits.
        event_token: String,
        /// Our id of the message.
        message: String,
        /// What became of it.
        status: String,
        /// Why it failed, where that is known in words only.
        error: String,
        /// What Meta or this program said about it, to be put into the portal's language.
        #[serde(default)]
        failure: Option<MessageError>,
    },
}

/// A task on its way into the store.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Our id.
    pub id: Uuid,
    /// The lane: a conversation, or the message itself for confirmations.
    pub lane: Uuid,
    /// To whom.
    pub side: Side,
    /// The business number.
    pub phone: Uuid,
    /// The message whose journey tells of it.
    pub message: Option<Uuid>,
    /// The file that goes with it.
    pub media: Option<Uuid>,
    /// What goes first.
    pub priority: Priority,
    /// When the lane is due, if it was empty until now.
    pub due_at: Millis,
    /// When it was asked for.
    pub created_at: Millis,
    /// What is to be done.
    pub task: Task,
}

/// Puts tasks at the end of their lanes, in the order given.
pub fn enqueue(tx: &mut Transaction, tasks: &[NewTask]) {
    if tasks.is_empty() {
        return;
    }
    let mut order: Vec<(Uuid, Side)> = Vec::new();
    let mut lanes: HashMap<(Uuid, Side), (&NewTask, i64)> = HashMap::new();
    for task in tasks {
        let key = (task.lane, task.side);
        lanes
            .entry(key)
            .and_modify(|(_, count)| *count += 1)
            .or_insert_with(|| {
                order.push(key);
                (task, 1)
            });
    }
    // In one order everywhere, so that two writers of PostgreSQL never wait for each other in a circle.
    order.sort_unstable_by_key(|(lane, side)| (*lane, side.as_str()));
    let rows: Vec<Vec<Cell>> = order
        .iter()
        .filter_map(|key| lanes.get(key))
        .map(|(first, count)| {
            vec![
                first.lane.into(),
                first.side.as_str().into(),
                first.phone.into(),
                first.priority.as_number().into(),
                first.due_at.0.into(),
                0_i64.into(),
                (*count).into(),
            ]
        })
        .collect();
    tx.write_rows(
        "INSERT INTO lanes (id, side, phone_id, priority, due_at, head_seq, next_seq) VALUES",
        rows,
        "ON CONFLICT (id, side) DO UPDATE SET next_seq = lanes.next_seq + excluded.next_seq",
    );
    // The lanes have been moved on by all their tasks: each stands so far before its lane's next number.
    let mut before_next: HashMap<(Uuid, Side), i64> = lanes
        .into_iter()
        .map(|(key, (_, count))| (key, count))
        .collect();
    let mut rows = Vec::with_capacity(tasks.len());
    for task in tasks {
        let back = before_next.entry((task.lane, task.side)).or_default();
        rows.push(vec![
            task.id.into(),
            task.lane.into(),
            task.side.as_str().into(),
            (*back).into(),
            task.phone.into(),
            task.message.into(),
            task.media.into(),
            task.created_at.0.into(),
            payload(&task.task).into(),
        ]);
        *back -= 1;
    }
    tx.write_rows(
        "INSERT INTO outbox (id, lane, side, seq, phone_id, message_id, media_id, created_at, attempts, payload) \
         SELECT v.column1, v.column2, v.column3, l.next_seq - v.column4, v.column5, v.column6, v.column7, v.column8, 0, \
         v.column9 FROM (VALUES",
        rows,
        ") AS v JOIN lanes l ON l.id = v.column2 AND l.side = v.column3",
    );
}

/// A task as stored.
pub(super) fn payload(task: &Task) -> String {
    serde_json::to_string(task)
        .expect("a task is made of text, numbers and JSON values, which always serialise")
}

/// Reads a task as stored in this column.
pub(super) fn read_payload(
    text: &str,
    table: &'static str,
    column: &'static str,
) -> Result<Task, Error> {
    serde_json::from_str(text).map_err(|error| Error::Inconsistent {
        table,
        column,
        why: error.to_string(),
    })
}

/// A row of the outbox together with what is needed to deliver it.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The row.
    pub id: Uuid,
    /// Its lane.
    pub lane: Uuid,
    /// To whom.
    pub side: Side,
    /// Its number in the lane.
    pub seq: i64,
    /// The business number.
    pub phone: Uuid,
    /// The message it belongs to.
    pub message: Option<Uuid>,
    /// When it was asked for.
    pub created_at: Millis,
    /// Tries that counted.
    pub attempts: i64,
    /// When a try began whose outcome is not known.
    pub started_at: Option<Millis>,
    /// What is to be done.
    pub task: Task,
    /// State of the message.
    pub message_state: Option<String>,
    /// Its wamid.
    pub wamid: Option<String>,
    /// Origin of the message.
    pub origin: Option<String>,
    /// Bitrix24's message id of an operator's message.
    pub im_message_id: Option<i64>,
    /// The conversation it belongs to.
    pub conversation: Option<Peer>,
    /// The file that goes with it.
    pub media: Option<ClaimedMedia>,
    /// Whether it is made from a template that the catalogue calls marketing; filled in before it is sent.
    pub marketing: bool,
}

/// Whom a conversation is with, and under which ids the portal knows it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The conversation.
    pub id: Uuid,
    /// `chat.id` for Bitrix24.
    pub chat_ref: String,
    /// `user.id` for Bitrix24.
    pub user_ref: String,
    /// Bitrix24's own chat id, once known.
    pub im_chat_id: Option<i64>,
    /// The latest session of that chat that is known.
    pub session_id: Option<i64>,
    /// Profile name.
    pub name: Option<String>,
    /// Digits of the WhatsApp id.
    pub wa_id: Option<String>,
    /// Business-scoped user id.
    pub user_id: Option<String>,
    /// Username without `@`.
    pub username: Option<String>,
    /// Whether they want no marketing messages from the number.
    pub marketing_stopped: bool,
}

/// The file of a row.
#[derive(Debug, Clone)]
pub struct ClaimedMedia {
    /// Our id.
    pub id: Uuid,
    /// `pending`, `ready` or `failed`.
    pub state: String,
    /// Why it could not be had.
    pub error: Option<String>,
    /// Name for the receiver.
    pub name: String,
    /// Media type.
    pub mime_type: Option<String>,
    /// Bytes.
    pub size: Option<i64>,
    /// Meta's media id once uploaded.
    pub remote_id: Option<String>,
}

/// The lanes of a number that are due now, most urgent first: up to `limit` of each priority.
pub async fn due(
    store: &Store,
    phone: Uuid,
    side: Side,
    now: Millis,
    limit: usize,
) -> Result<Vec<(Uuid, i64)>, Error> {
    const EACH: &str =
        "SELECT id, priority, due_at FROM lanes WHERE phone_id = $1 AND side = $2 AND due_at <= $3";
    let sql = format!(
        "SELECT id, priority FROM ({EACH} AND priority = 0 ORDER BY due_at LIMIT $4) AS a UNION ALL \
         SELECT id, priority FROM ({EACH} AND priority = 1 ORDER BY due_at LIMIT $4) AS b UNION ALL \
         SELECT id, priority FROM ({EACH} AND priority = 2 ORDER BY due_at LIMIT $4) AS c"
    );
    let cells: [Cell; 4] = [
        phone.into(),
        side.as_str().into(),
        now.0.into(),
        (limit as i64).into(),
    ];
    let rows = store.fetch(&sql, &cells).await?;
    rows.iter()
        .map(|row| Ok((row.id("id")?, row.number("priority")?)))
        .collect()
}

/// When the next lane of a number is due that is not due yet.
pub async fn next_due(
    store: &Store,
    phone: Uuid,
    side: Side,
    after: Millis,
) -> Result<Option<Millis>, Error> {
    const EACH: &str = "SELECT due_at FROM lanes WHERE phone_id = $1 AND side = $2 AND due_at > $3";
    let sql = format!(
        "SELECT due_at FROM ({EACH} AND priority = 0 ORDER BY due_at LIMIT 1) AS a UNION ALL \
         SELECT due_at FROM ({EACH} AND priority = 1 ORDER BY due_at LIMIT 1) AS b UNION ALL \
         SELECT due_at FROM ({EACH} AND priority = 2 ORDER BY due_at LIMIT 1) AS c"
    );
    let rows = store
        .fetch(&sql, &[phone.into(), side.as_str().into(), after.0.into()])
        .await?;
    let times: Result<Vec<i64>, Error> = rows.iter().map(|row| row.number("due_at")).collect();
    Ok(times?.into_iter().min().map(Millis))
}

/// The numbers with anything due, on either side.
pub async fn destinations_due(store: &Store, now: Millis) -> Result<Vec<(Uuid, Side)>, Error> {
    let rows = store
        .fetch(
            "SELECT DISTINCT phone_id, side FROM lanes WHERE due_at <= $1",
            &[now.0.into()],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.id("phone_id")?, Side::parse(&row.text("side")?))))
        .collect()
}

/// The first rows of each lane, in order.
pub async fn heads(
    store: &Store,
    side: Side,
    lanes: &[Uuid],
    per_lane: i64,
) -> Result<Vec<Claimed>, Error> {
    let keys: Vec<Cell> = lanes.iter().map(|lane| Cell::Id(*lane)).collect();
    // The side and the number of rows are ours, never a user's; they are written into the text because the list of
    // lanes takes the placeholders.
    let sql = format!(
        "SELECT o.id, o.lane, o.side, o.seq, o.phone_id, o.message_id, o.created_at, o.attempts, o.started_at, \
         o.payload, m.state AS message_state, m.wamid, m.origin, m.im_message_id, c.id AS conversation_id, c.chat_ref, \
         c.im_chat_id, c.session_id, c.marketing_stopped_at, COALESCE(c.user_ref, p.user_ref) AS user_ref, p.name, p.wa_id, p.user_id, \
         p.username, d.id AS media_id, d.state AS media_state, d.error AS media_error, \
         d.name AS media_name, d.mime_type, d.size, d.remote_id \
         FROM lanes l \
         JOIN outbox o ON o.lane = l.id AND o.side = l.side AND o.seq >= l.head_seq AND o.seq < l.head_seq + {per_lane} \
         LEFT JOIN messages m ON m.id = o.message_id \
         LEFT JOIN conversations c ON c.id = COALESCE(m.conversation_id, o.lane) \
         LEFT JOIN persons p ON p.id = c.person_id \
         LEFT JOIN media d ON d.id = o.media_id \
         WHERE l.side = '{}' AND l.id IN",
        side.as_str()
    );
    let mut claimed = store
        .fetch_in(&sql, &keys)
        .await?
        .iter()
        .map(read_claimed)
        .collect::<Result<Vec<_>, _>>()?;
    let order: HashMap<Uuid, usize> = lanes
        .iter()
        .enumerate()
        .map(|(index, lane)| (*lane, index))
        .collect();
    claimed.sort_by_key(|row| (order.get(&row.lane).copied(), row.seq));
    Ok(claimed)
}

fn read_claimed(row: &Row) -> Result<Claimed, Error> {
    let payload = row.text("payload")?;
    let task = read_payload(&payload, "outbox", "payload")?;
    let conversation = match row.maybe_id("conversation_id")? {
        None => None,
        Some(id) => Some(Peer {
            id,
            chat_ref: row.text("chat_ref")?,
            user_ref: row.text("user_ref")?,
            im_chat_id: row.maybe_number("im_chat_id")?,
            session_id: row.maybe_text("session_id")?.and_then(|id| id.parse().ok()),
            name: row.maybe_text("name")?,
            wa_id: row.maybe_text("wa_id")?,
            user_id: row.maybe_text("user_id")?,
            username: row.maybe_text("username")?,
            marketing_stopped: row.maybe_number("marketing_stopped_at")?.is_some(),
        }),
    };
    let media = match row.maybe_id("media_id")? {
        None => None,
        Some(id) => Some(ClaimedMedia {
            id,
            state: row.text("media_state")?,
            error: row.maybe_text("media_error")?,
            name: row.text("media_name")?,
            mime_type: row.maybe_text("mime_type")?,
            size: row.maybe_number("size")?,
            remote_id: row.maybe_text("remote_id")?,
        }),
    };
    Ok(Claimed {
        id: row.id("id")?,
        lane: row.id("lane")?,
        side: Side::parse(&row.text("side")?),
        seq: row.number("seq")?,
        phone: row.id("phone_id")?,
        message: row.maybe_id("message_id")?,
        created_at: Millis(row.number("created_at")?),
        attempts: row.number("attempts")?,
        started_at: row.maybe_number("started_at")?.map(Millis),
        task,
        message_state: row.maybe_text("message_state")?,
        wamid: row.maybe_text("wamid")?,
        origin: row.maybe_text("origin")?,
        im_message_id: row.maybe_number("im_message_id")?,
        conversation,
        media,
        marketing: false,
    })
}

/// A template that was not tried yet.
#[derive(Debug, Clone)]
pub struct QueuedTemplate {
    /// The row.
    pub id: Uuid,
    /// Its lane.
    pub lane: Uuid,
    /// The business number.
    pub phone: Uuid,
    /// What is to be sent.
    pub task: Task,
}

/// Templates that were not tried yet, behind a row, in order.
pub async fn templates_behind(
    store: &Store,
    after: Uuid,
    limit: i64,
) -> Result<Vec<QueuedTemplate>, Error> {
    // Rows of a task begin with its name; see [`Task`].
    let rows = store
        .fetch(
            "SELECT id, lane, phone_id, payload FROM outbox WHERE side = 'meta' AND started_at IS NULL AND id > $1 \
             AND payload LIKE '{\"task\":\"template\"%' ORDER BY id LIMIT $2",
            &[after.into(), limit.into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let payload = row.text("payload")?;
            let task = serde_json::from_str(&payload).map_err(|error| Error::Inconsistent {
                table: "outbox",
                column: "payload",
                why: error.to_string(),
            })?;
            Ok(QueuedTemplate {
                id: row.id("id")?,
                lane: row.id("lane")?,
                phone: row.id("phone_id")?,
                task,
            })
        })
        .collect()
}

/// Records that tries begin.
pub fn mark_started(tx: &mut Transaction, rows: &[Uuid], at: Millis) {
    let keys: Vec<Cell> = rows.iter().map(|id| Cell::Id(*id)).collect();
    // The time is ours; it is written into the text because the list takes the placeholders.
    let sql = format!("UPDATE outbox SET started_at = {} WHERE id IN", at.0);
    tx.write_in(&sql, &keys);
}

/// How a row's try ended, as the store needs to know it.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// It is done; the lane moves on.
    Done,
    /// It comes up again.
    Later {
        /// When the lane is due again.
        at: Millis,
        /// Whether this try counts towards giving up.
        counts: bool,
        /// Whether it is still unknown what became of it.
        unknown: bool,
    },
    /// It is given up and kept among the dead letters; the lane moves on.
    Dead {
        /// Why.
        reason: String,
    },
}

/// Where a lane stands after tries.
struct After {
    /// Behind the last row that is gone.
    passed: i64,
    /// The first row that stays.
    held: Option<i64>,
    due_at: Millis,
}

/// Writes how tries ended; in the caller's transaction, together with their effects.
pub fn settle(tx: &mut Transaction, endings: &[(&Claimed, Ending)], now: Millis) {
    let mut gone = Vec::new();
    let mut dead = Vec::new();
    let mut later = Vec::new();
    let mut lanes: HashMap<(Uuid, Side), After> = HashMap::new();
    for (row, ending) in endings {
        let lane = lanes.entry((row.lane, row.side)).or_insert(After {
            passed: row.seq,
            held: None,
            due_at: now,
        });
        match ending {
            Ending::Done => {
                gone.push(Cell::Id(row.id));
                lane.passed = lane.passed.max(row.seq + 1);
            }
            Ending::Dead { reason } => {
                gone.push(Cell::Id(row.id));
                dead.push(vec![
                    Cell::from(row.id),
                    now.0.into(),
                    Cell::text(reason.as_str()),
                ]);
                lane.passed = lane.passed.max(row.seq + 1);
            }
            Ending::Later {
                at,
                counts,
                unknown,
            } => {
                later.push(vec![
                    Cell::from(row.id),
                    i64::from(*counts).into(),
                    Cell::Flag(*unknown),
                ]);
                // The first row that stays is the head, even if a later one of the same call was taken.
                if lane.held.is_none_or(|held| row.seq < held) {
                    lane.held = Some(row.seq);
                    lane.due_at = *at;
                }
            }
        }
    }
    tx.write_rows(
        "INSERT INTO dead_letters (id, lane, side, phone_id, message_id, media_id, created_at, attempts, died_at, \
         reason, payload) SELECT o.id, o.lane, o.side, o.phone_id, o.message_id, o.media_id, o.created_at, o.attempts, \
         v.column2, v.column3, o.payload FROM outbox o JOIN (VALUES",
        dead,
        ") AS v ON v.column1 = o.id WHERE true ON CONFLICT (id) DO NOTHING",
    );
    tx.write_in("DELETE FROM outbox WHERE id IN", &gone);
    tx.write_rows(
        "UPDATE outbox SET attempts = attempts + v.column2, \
         started_at = CASE WHEN v.column3 THEN started_at ELSE NULL END FROM (VALUES",
        later,
        ") AS v WHERE outbox.id = v.column1",
    );
    let mut keys: Vec<((Uuid, Side), After)> = lanes.into_iter().collect();
    keys.sort_unstable_by_key(|((lane, side), _)| (*lane, side.as_str()));
    let rows: Vec<Vec<Cell>> = keys
        .iter()
        .map(|((lane, side), after)| {
            let head = after.held.unwrap_or(after.passed);
            vec![
                (*lane).into(),
                side.as_str().into(),
                head.into(),
                after.due_at.0.into(),
            ]
        })
        .collect();
    tx.write_rows(
        "UPDATE lanes SET head_seq = v.column3, due_at = v.column4 FROM (VALUES",
        rows,
        ") AS v WHERE lanes.id = v.column1 AND lanes.side = v.column2",
    );
    let ids: Vec<Cell> = keys.iter().map(|((lane, _), _)| Cell::Id(*lane)).collect();
    tx.write_in(
        "DELETE FROM lanes WHERE head_seq >= next_seq AND id IN",
        &ids,
    );
}

/// Makes lanes due now.
pub fn make_due(tx: &mut Transaction, side: Side, lanes: &[Uuid], now: Millis) {
    let keys: Vec<Cell> = lanes.iter().map(|lane| Cell::Id(*lane)).collect();
    let sql = format!(
        "UPDATE lanes SET due_at = {} WHERE side = '{}' AND due_at > {} AND id IN",
        now.0,
        side.as_str(),
        now.0
    );
    tx.write_in(&sql, &keys);
}

/// Takes the confirmations of messages away: what failed is not confirmed.
pub fn drop_confirmations(tx: &mut Transaction, messages: &[Uuid]) {
    let keys: Vec<Cell> = messages.iter().map(|message| Cell::Id(*message)).collect();
    tx.write_in(
        "DELETE FROM outbox WHERE side = 'portal' AND lane IN",
        &keys,
    );
    tx.write_in("DELETE FROM lanes WHERE side = 'portal' AND id IN", &keys);
}

/// Puts a dead letter back at the end of its lane, and its message on its way; gives the number and side to wake.
pub async fn replay(
    store: &Store,
    id: Uuid,
    now: Millis,
    journey: Journey,
) -> Result<Option<(Uuid, Side)>, Error> {
    let mut tx = store.begin().await?;
    let rows = tx
        .fetch(
            "SELECT id, lane, side, phone_id, message_id, media_id, created_at, payload FROM dead_letters WHERE id = $1",
            &[id.into()],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let payload = row.text("payload")?;
    let task = read_payload(&payload, "dead_letters", "payload")?;
    let side = Side::parse(&row.text("side")?);
    let phone = row.id("phone_id")?;
    let message = row.maybe_id("message_id")?;
    let new = NewTask {
        id,
        lane: row.id("lane")?,
        side,
        phone,
        message,
        media: row.maybe_id("media_id")?,
        priority: Priority::Conversation,
        due_at: now,
        // Its 72 hours begin anew.
        created_at: now,
        task,
    };
    tx.write("DELETE FROM dead_letters WHERE id = $1", &[id.into()]);
    if let Some(media) = new.media {
        tx.write(
            "UPDATE media SET state = 'pending', attempts = 0, due_at = $1, error = NULL \
             WHERE id = $2 AND state = 'failed'",
            &[now.0.into(), media.into()],
        );
    }
    enqueue(&mut tx, &[new]);
    if let Some(message) = message {
        messages::requeue(&mut tx, message, now, journey);
    }
    tx.commit().await?;
    Ok(Some((phone, side)))
}

/// The dead letters of a message.
pub async fn dead_letters_of(store: &Store, message: Uuid) -> Result<Vec<Uuid>, Error> {
    let rows = store
        .fetch(
            "SELECT id FROM dead_letters WHERE message_id = $1 ORDER BY id",
            &[message.into()],
        )
        .await?;
    rows.iter().map(|row| row.id("id")).collect()
}
