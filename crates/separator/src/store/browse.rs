//! Looking things up for people: messages, conversations, kept callbacks, queues, alarms.
//!
//! Lists go from the newest to the oldest by id (ids grow with time) and continue after the last id seen, so that a
//! page costs the same wherever it is. Nothing here is on a message's way.

use uuid::Uuid;

use super::{Cell, Error, Row, Store};
use crate::time::Millis;

/// A part of a list: at most `limit` rows with ids below `below`.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// The last id of the page before.
    pub below: Option<Uuid>,
    /// Number of rows.
    pub limit: usize,
}

/// Whose rows are meant. Everything that is looked up is looked up within somebody's reach, so that nobody can forget it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// All there are.
    Everything,
    /// Those of some of what is set up.
    Only {
        /// Numbers whose messages, conversations and queues they are.
        phones: Vec<Uuid>,
        /// Applications, accounts and portals whose callbacks and alarms they are.
        others: Vec<Uuid>,
    },
}

impl Reach {
    /// Narrows a statement to rows whose `column` names a number within reach.
    pub(super) fn phones(&self, conditions: &mut Conditions, column: &str) {
        if let Self::Only { phones, .. } = self {
            conditions.among(column, phones.iter().map(|id| Cell::from(*id)));
        }
    }

    /// Narrows a statement to rows whose `column` names an application, an account or a portal within reach.
    fn others(&self, conditions: &mut Conditions, column: &str) {
        if let Self::Only { others, .. } = self {
            conditions.among(column, others.iter().map(|id| Cell::from(*id)));
        }
    }

    /// Narrows a statement to rows whose text `column` names anything within reach.
    fn subjects(&self, conditions: &mut Conditions, column: &str) {
        if let Self::Only { phones, others } = self {
            let ids = phones.iter().chain(others);
            conditions.among(column, ids.map(|id| Cell::Text(id.to_string())));
        }
    }
}

/// Conditions of a statement, joined by AND, with their cells.
#[derive(Default)]
pub(super) struct Conditions {
    sql: Vec<String>,
    cells: Vec<Cell>,
}

impl Conditions {
    /// Adds a condition in which every `?` stands for the value.
    pub(super) fn add(&mut self, condition: &str, value: impl Into<Cell>) {
        self.cells.push(value.into());
        self.sql
            .push(condition.replace('?', &format!("${}", self.cells.len())));
    }

    /// Adds the condition that a column has a value, where there is one.
    pub(super) fn equal(&mut self, column: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.add(&format!("{column} = ?"), value.as_str());
        }
    }

    /// Adds the condition that one of these columns contains a text, in upper or lower case.
    pub(super) fn contains(&mut self, columns: &[&str], text: &str) {
        // SQLite lowers only ASCII; the second condition finds other letters as they were typed.
        self.cells
            .push(Cell::Text(like_pattern(&text.to_lowercase())));
        self.cells.push(Cell::Text(like_pattern(text)));
        let last = self.cells.len();
        let either: Vec<String> = columns
            .iter()
            .map(|column| {
                format!(
                    r"LOWER({column}) LIKE ${} ESCAPE '\' OR {column} LIKE ${last} ESCAPE '\'",
                    last - 1
                )
            })
            .collect();
        self.sql.push(format!("({})", either.join(" OR ")));
    }

    /// Adds the condition that a column holds one of these values. The list is filled up to a power of two with its
    /// last value, so that there are few different statements to be kept prepared.
    pub(super) fn among(&mut self, column: &str, values: impl Iterator<Item = Cell>) {
        let before = self.cells.len();
        self.cells.extend(values);
        let Some(last) = self.cells.get(before..).and_then(<[Cell]>::last).cloned() else {
            self.sql.push("1 = 0".to_owned());
            return;
        };
        let count = (self.cells.len() - before).next_power_of_two();
        self.cells.resize(before + count, last);
        let places: Vec<String> = (before + 1..=before + count)
            .map(|place| format!("${place}"))
            .collect();
        self.sql
            .push(format!("{column} IN ({})", places.join(", ")));
    }

    /// What the conditions compare with.
    pub(super) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The conditions after `WHERE`; empty where there are none.
    pub(super) fn filter(&self) -> String {
        if self.sql.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", self.sql.join(" AND "))
        }
    }

    /// Completes `select` with the conditions, newest first by `id`, one part of it.
    pub(super) fn page(mut self, select: &str, id: &str, window: Window) -> (String, Vec<Cell>) {
        if let Some(below) = window.below {
            self.add(&format!("{id} < ?"), below);
        }
        let filter = self.filter();
        self.cells.push(Cell::Number(
            i64::try_from(window.limit).unwrap_or(i64::MAX),
        ));
        (
            format!(
                "{select}{filter} ORDER BY {id} DESC LIMIT ${}",
                self.cells.len()
            ),
            self.cells,
        )
    }
}

/// Which messages are meant. Everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// The business number.
    pub phone: Option<Uuid>,
    /// The customer: digits of the WhatsApp id, or the user id.
    pub peer: Option<String>,
    /// Meta's message id.
    pub wamid: Option<String>,
    /// State.
    pub state: Option<String>,
    /// `inbound` or `outbound`.
    pub direction: Option<String>,
    /// A part of the text, in upper or lower case.
    pub text: Option<String>,
}

impl MessageFilter {
    fn conditions(&self) -> Conditions {
        let mut conditions = Conditions::default();
        if let Some(phone) = self.phone {
            conditions.add("phone_id = ?", phone);
        }
        conditions.equal("peer", self.peer.as_ref());
        conditions.equal("wamid", self.wamid.as_ref());
        conditions.equal("state", self.state.as_ref());
        conditions.equal("direction", self.direction.as_ref());
        if let Some(text) = &self.text {
            conditions.contains(&["text"], text);
        }
        conditions
    }
}

/// A pattern that matches texts in which `part` occurs.
fn like_pattern(part: &str) -> String {
    let mut pattern = String::with_capacity(part.len() + 2);
    pattern.push('%');
    for character in part.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// A message as people look at it.
#[derive(Debug, Clone)]
pub struct Message {
    /// Our id.
    pub id: Uuid,
    /// The business number.
    pub phone_id: Uuid,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// The customer.
    pub peer: String,
    /// Meta's message type.
    pub kind: String,
    /// Plain text.
    pub text: String,
    /// How far it came.
    pub state: String,
    /// Meta's message id.
    pub wamid: Option<String>,
    /// What went wrong, as JSON or as a sentence.
    pub error: Option<String>,
    /// When we first saw it.
    pub created_at: Millis,
    /// Its steps as JSON.
    pub journey: String,
}

const MESSAGE: &str = "SELECT id, phone_id, direction, peer, kind, text, state, wamid, error, created_at, journey \
                       FROM messages";

fn message_row(row: &Row) -> Result<Message, Error> {
    Ok(Message {
        id: row.id("id")?,
        phone_id: row.id("phone_id")?,
        direction: row.text("direction")?,
        peer: row.text("peer")?,
        kind: row.text("kind")?,
        text: row.text("text")?,
        state: row.text("state")?,
        wamid: row.maybe_text("wamid")?,
        error: row.maybe_text("error")?,
        created_at: Millis(row.number("created_at")?),
        journey: row.text("journey")?,
    })
}

/// Messages, newest first.
pub async fn messages(
    store: &Store,
    reach: &Reach,
    filter: &MessageFilter,
    window: Window,
) -> Result<Vec<Message>, Error> {
    let mut conditions = filter.conditions();
    reach.phones(&mut conditions, "phone_id");
    let (sql, cells) = conditions.page(MESSAGE, "id", window);
    store
        .fetch(&sql, &cells)
        .await?
        .iter()
        .map(message_row)
        .collect()
}

/// One message.
pub async fn message(store: &Store, reach: &Reach, id: Uuid) -> Result<Option<Message>, Error> {
    let mut conditions = Conditions::default();
    conditions.add("id = ?", id);
    reach.phones(&mut conditions, "phone_id");
    let sql = format!("{MESSAGE}{}", conditions.filter());
    let row = store.fetch_optional(&sql, &conditions.cells).await?;
    row.as_ref().map(message_row).transpose()
}

/// What is known of the conversation of a message.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// The last message of the customer.
    pub last_inbound_at: Option<Millis>,
    /// When Meta said that only templates are taken.
    pub window_closed_at: Option<Millis>,
    /// Since when the customer wants no marketing messages.
    pub marketing_stopped_at: Option<Millis>,
}

/// What is known of the conversation of a message that was found within somebody's reach.
pub async fn standing_of(store: &Store, message: Uuid) -> Result<Option<Standing>, Error> {
    let row = store
        .fetch_optional(
            "SELECT c.last_inbound_at, c.window_closed_at, c.marketing_stopped_at FROM messages m \
             JOIN conversations c ON c.id = m.conversation_id WHERE m.id = $1",
            &[message.into()],
        )
        .await?;
    row.map(|row| {
        let time = |column| row.maybe_number(column).map(|at| at.map(Millis));
        Ok(Standing {
            last_inbound_at: time("last_inbound_at")?,
            window_closed_at: time("window_closed_at")?,
            marketing_stopped_at: time("marketing_stopped_at")?,
        })
    })
    .transpose()
}

/// A conversation as people look at it.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// Our id.
    pub id: Uuid,
    /// WhatsApp id of the customer, digits.
    pub wa_id: Option<String>,
    /// User id of the customer (BSUID).
    pub user_id: Option<String>,
    /// User name of the customer.
    pub username: Option<String>,
    /// The customer's name.
    pub name: Option<String>,
    /// The last message of the customer.
    pub last_inbound_at: Option<Millis>,
    /// When Meta said that only templates are taken.
    pub window_closed_at: Option<Millis>,
    /// Since when the customer wants no marketing messages.
    pub marketing_stopped_at: Option<Millis>,
    /// When it began.
    pub created_at: Millis,
}

/// Conversations of a number, newest first.
pub async fn conversations(
    store: &Store,
    reach: &Reach,
    phone: Uuid,
    window: Window,
) -> Result<Vec<Conversation>, Error> {
    let mut conditions = Conditions::default();
    conditions.add("conversations.phone_id = ?", phone);
    reach.phones(&mut conditions, "conversations.phone_id");
    let (sql, cells) = conditions.page(
        "SELECT conversations.id, conversations.last_inbound_at, conversations.window_closed_at, \
         conversations.marketing_stopped_at, conversations.created_at, persons.wa_id, \
         persons.user_id, persons.username, persons.name FROM conversations \
         LEFT JOIN persons ON persons.id = conversations.person_id",
        "conversations.id",
        window,
    );
    let rows = store.fetch(&sql, &cells).await?;
    rows.iter()
        .map(|row| {
            Ok(Conversation {
                id: row.id("id")?,
                wa_id: row.maybe_text("wa_id")?,
                user_id: row.maybe_text("user_id")?,
                username: row.maybe_text("username")?,
                name: row.maybe_text("name")?,
                last_inbound_at: row.maybe_number("last_inbound_at")?.map(Millis),
                window_closed_at: row.maybe_number("window_closed_at")?.map(Millis),
                marketing_stopped_at: row.maybe_number("marketing_stopped_at")?.map(Millis),
                created_at: Millis(row.number("created_at")?),
            })
        })
        .collect()
}

/// A raw callback that was kept.
#[derive(Debug, Clone)]
pub struct Event {
    /// Our id.
    pub id: Uuid,
    /// The door it came through.
    pub source: String,
    /// The app or the installation it was for.
    pub owner_id: Uuid,
    /// When it came.
    pub received_at: Millis,
    /// Why it was kept.
    pub state: String,
    /// What was wrong with it.
    pub error: Option<String>,
}

fn event_row(row: &Row) -> Result<Event, Error> {
    Ok(Event {
        id: row.id("id")?,
        source: row.text("source")?,
        owner_id: row.id("owner_id")?,
        received_at: Millis(row.number("received_at")?),
        state: row.text("state")?,
        error: row.maybe_text("error")?,
    })
}

/// Kept callbacks without their bodies, newest first.
pub async fn events(
    store: &Store,
    reach: &Reach,
    source: Option<&String>,
    state: Option<&String>,
    window: Window,
) -> Result<Vec<Event>, Error> {
    let mut conditions = Conditions::default();
    conditions.equal("source", source);
    conditions.equal("state", state);
    reach.others(&mut conditions, "owner_id");
    let (sql, cells) = conditions.page(
        "SELECT id, source, owner_id, received_at, state, error FROM events",
        "id",
        window,
    );
    store
        .fetch(&sql, &cells)
        .await?
        .iter()
        .map(event_row)
        .collect()
}

/// One kept callback with its body.
pub async fn event(
    store: &Store,
    reach: &Reach,
    id: Uuid,
) -> Result<Option<(Event, Vec<u8>)>, Error> {
    let mut conditions = Conditions::default();
    conditions.add("id = ?", id);
    reach.others(&mut conditions, "owner_id");
    let sql = format!(
        "SELECT id, source, owner_id, received_at, state, error, body FROM events{}",
        conditions.filter()
    );
    let row = store.fetch_optional(&sql, &conditions.cells).await?;
    row.map(|row| Ok((event_row(&row)?, row.bytes("body")?)))
        .transpose()
}

/// How much waits, and since when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Number of rows.
    pub depth: i64,
    /// When the oldest of them came.
    pub oldest: Option<Millis>,
}

fn depth_row(row: &Row) -> Result<Depth, Error> {
    Ok(Depth {
        depth: row.number("depth")?,
        oldest: row.maybe_number("oldest")?.map(Millis),
    })
}

/// What waits for one number in one direction.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The business number.
    pub phone_id: Uuid,
    /// To whom it goes.
    pub side: String,
    /// How much.
    pub depth: Depth,
}

/// What waits to be delivered, by number and side.
pub async fn destinations(store: &Store, reach: &Reach) -> Result<Vec<Destination>, Error> {
    let mut conditions = Conditions::default();
    reach.phones(&mut conditions, "phone_id");
    let sql = format!(
        "SELECT phone_id, side, COUNT(*) AS depth, MIN(created_at) AS oldest FROM outbox{} \
         GROUP BY phone_id, side ORDER BY phone_id, side",
        conditions.filter()
    );
    let rows = store.fetch(&sql, &conditions.cells).await?;
    rows.iter()
        .map(|row| {
            Ok(Destination {
                phone_id: row.id("phone_id")?,
                side: row.text("side")?,
                depth: depth_row(row)?,
            })
        })
        .collect()
}

/// What was acknowledged and is not translated yet.
pub async fn receipts(store: &Store, reach: &Reach) -> Result<Depth, Error> {
    let mut conditions = Conditions::default();
    reach.others(&mut conditions, "owner_id");
    let sql = format!(
        "SELECT COUNT(*) AS depth, MIN(received_at) AS oldest FROM receipts{}",
        conditions.filter()
    );
    let row = store.fetch_optional(&sql, &conditions.cells).await?;
    row.as_ref().map_or(Ok(Depth::default()), depth_row)
}

/// A delivery that was given up.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Our id.
    pub id: Uuid,
    /// The business number.
    pub phone_id: Uuid,
    /// To whom it should have gone.
    pub side: String,
    /// The message it belongs to.
    pub message_id: Option<Uuid>,
    /// When it was queued.
    pub created_at: Millis,
    /// How often it was tried.
    pub attempts: i64,
    /// When it was given up.
    pub died_at: Millis,
    /// Why.
    pub reason: String,
}

const DEAD_LETTER: &str = "SELECT id, phone_id, side, message_id, created_at, attempts, died_at, reason FROM dead_letters";

fn dead_letter_row(row: &Row) -> Result<DeadLetter, Error> {
    Ok(DeadLetter {
        id: row.id("id")?,
        phone_id: row.id("phone_id")?,
        side: row.text("side")?,
        message_id: row.maybe_id("message_id")?,
        created_at: Millis(row.number("created_at")?),
        attempts: row.number("attempts")?,
        died_at: Millis(row.number("died_at")?),
        reason: row.text("reason")?,
    })
}

/// Deliveries that were given up, newest first, of one number or of all.
pub async fn dead_letters(
    store: &Store,
    reach: &Reach,
    phone: Option<Uuid>,
    window: Window,
) -> Result<Vec<DeadLetter>, Error> {
    let mut conditions = Conditions::default();
    reach.phones(&mut conditions, "phone_id");
    if let Some(phone) = phone {
        conditions.add("phone_id = ?", phone);
    }
    let (sql, cells) = conditions.page(DEAD_LETTER, "id", window);
    store
        .fetch(&sql, &cells)
        .await?
        .iter()
        .map(dead_letter_row)
        .collect()
}

/// One delivery that was given up.
pub async fn dead_letter(
    store: &Store,
    reach: &Reach,
    id: Uuid,
) -> Result<Option<DeadLetter>, Error> {
    let mut conditions = Conditions::default();
    conditions.add("id = ?", id);
    reach.phones(&mut conditions, "phone_id");
    let sql = format!("{DEAD_LETTER}{}", conditions.filter());
    let row = store.fetch_optional(&sql, &conditions.cells).await?;
    row.as_ref().map(dead_letter_row).transpose()
}

/// The number of deliveries that were given up.
pub async fn dead_letter_count(store: &Store, reach: &Reach) -> Result<i64, Error> {
    let mut conditions = Conditions::default();
    reach.phones(&mut conditions, "phone_id");
    let sql = format!(
        "SELECT COUNT(*) AS depth FROM dead_letters{}",
        conditions.filter()
    );
    let row = store.fetch_optional(&sql, &conditions.cells).await?;
    row.map_or(Ok(0), |row| row.number("depth"))
}

/// An alarm that nobody has cleared.
#[derive(Debug, Clone)]
pub struct Alarm {
    /// Our id.
    pub id: Uuid,
    /// What sort of trouble.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// One sentence.
    pub text: String,
    /// The same in Russian, where what raised it speaks that.
    pub russian: Option<String>,
    /// When it was raised.
    pub raised_at: Millis,
}

/// Open alarms, newest first.
pub async fn alarms(store: &Store, reach: &Reach, window: Window) -> Result<Vec<Alarm>, Error> {
    let mut conditions = Conditions::default();
    reach.subjects(&mut conditions, "subject");
    conditions.sql.push("cleared_at IS NULL".to_owned());
    let (sql, cells) = conditions.page(
        "SELECT id, kind, subject, text, text_ru, raised_at FROM alarms",
        "id",
        window,
    );
    let rows = store.fetch(&sql, &cells).await?;
    rows.iter()
        .map(|row| {
            Ok(Alarm {
                id: row.id("id")?,
                kind: row.text("kind")?,
                subject: row.text("subject")?,
                text: row.text("text")?,
                russian: row.maybe_text("text_ru")?,
                raised_at: Millis(row.number("raised_at")?),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_numbered_in_order() {
        let mut conditions = Conditions::default();
        conditions.equal("a", Some(&"x".to_owned()));
        conditions.equal("b", None);
        conditions.equal("c", Some(&"y".to_owned()));
        let (sql, cells) = conditions.page(
            "SELECT",
            "id",
            Window {
                below: Some(Uuid::nil()),
                limit: 5,
            },
        );
        assert_eq!(
            sql,
            "SELECT WHERE a = $1 AND c = $2 AND id < $3 ORDER BY id DESC LIMIT $4"
        );
        assert!(matches!(
            cells.as_slice(),
            [Cell::Text(_), Cell::Text(_), Cell::Id(_), Cell::Number(5)]
        ));
    }

    #[test]
    fn reach_is_a_list_of_a_few_sizes_and_nothing_where_there_is_nothing() {
        let reach = |phones: u128| Reach::Only {
            phones: (1..=phones).map(Uuid::from_u128).collect(),
            others: Vec::new(),
        };
        for (phones, sql) in [
            (0, " WHERE 1 = 0"),
            (1, " WHERE p IN ($1)"),
            (3, " WHERE p IN ($1, $2, $3, $4)"),
        ] {
            let mut conditions = Conditions::default();
            reach(phones).phones(&mut conditions, "p");
            assert_eq!(conditions.filter(), sql);
        }
        let mut conditions = Conditions::default();
        Reach::Everything.phones(&mut conditions, "p");
        assert_eq!(conditions.filter(), "");
    }

    #[test]
    fn without_conditions_there_is_no_where() {
        let (sql, _) = Conditions::default().page(
            "SELECT",
            "id",
            Window {
                below: None,
                limit: 5,
            },
        );
        assert_eq!(sql, "SELECT ORDER BY id DESC LIMIT $1");
    }

    #[test]
    fn a_searched_text_is_taken_literally() {
        assert_eq!(like_pattern(r"50%_\"), r"%50\%\_\\%");
        let filter = MessageFilter {
            text: Some("Ab".to_owned()),
            ..MessageFilter::default()
        };
        let conditions = filter.conditions();
        assert!(
            matches!(conditions.cells.as_slice(), [Cell::Text(low), Cell::Text(own)] if low == "%ab%" && own == "%Ab%")
        );
        assert_eq!(
            conditions.sql,
            [r"(LOWER(text) LIKE $1 ESCAPE '\' OR text LIKE $2 ESCAPE '\')"]
        );
    }
}
