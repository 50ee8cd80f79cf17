//! Persons, the ids they are known by, their conversations, and what was done already.

use std::collections::HashSet;

use uuid::Uuid;

use super::{Cell, Error, Row, Store, Transaction};
use crate::time::Millis;

/// What kind of id an alias is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AliasKind {
    /// A phone number in its canonical form; see [`crate::person::canonical`].
    Phone,
    /// A business-scoped user id (BSUID).
    UserId,
}

impl AliasKind {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::UserId => "user_id",
        }
    }

    fn parse(text: &str) -> Self {
        if text == "user_id" {
            Self::UserId
        } else {
            Self::Phone
        }
    }
}

/// An id of a person at one account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Alias {
    /// The WhatsApp Business account.
    pub account: Uuid,
    /// What kind of id.
    pub kind: AliasKind,
    /// The id.
    pub value: String,
}

impl Alias {
    fn cells(&self) -> [Cell; 3] {
        [
            self.value.as_str().into(),
            self.kind.as_str().into(),
            self.account.into(),
        ]
    }
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Our id.
    pub id: Uuid,
    /// The account at which the person is known.
    pub account: Uuid,
    /// `user.id` for Bitrix24: made once, never parsed.
    pub user_ref: String,
    /// Digits of the WhatsApp id, as Meta gave them last.
    pub wa_id: Option<String>,
    /// Business-scoped user id, as Meta gave it last.
    pub user_id: Option<String>,
    /// Username without `@`.
    pub username: Option<String>,
    /// Profile name.
    pub name: Option<String>,
    /// When first seen.
    pub created_at: Millis,
}

impl Person {
    /// How the API names the person: digits, else user id.
    pub fn peer(&self) -> String {
        self.wa_id
            .clone()
            .or_else(|| self.user_id.clone())
            .unwrap_or_default()
    }

    fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.id("id")?,
            account: row.id("account_id")?,
            user_ref: row.text("user_ref")?,
            wa_id: row.maybe_text("wa_id")?,
            user_id: row.maybe_text("user_id")?,
            username: row.maybe_text("username")?,
            name: row.maybe_text("name")?,
            created_at: Millis(row.number("created_at")?),
        })
    }
}

const PERSON: &str =
    "p.id, p.account_id, p.user_ref, p.wa_id, p.user_id, p.username, p.name, p.created_at";

/// The persons behind ids, each with the alias it was found by.
pub async fn persons_by_alias(
    store: &Store,
    values: &[String],
) -> Result<Vec<(Alias, Person)>, Error> {
    let keys: Vec<Cell> = values
        .iter()
        .map(|value| Cell::text(value.as_str()))
        .collect();
    let rows = store
        .fetch_in(
            &format!(
                "SELECT a.kind, a.value, {PERSON} FROM aliases a JOIN persons p ON p.id = a.person_id WHERE a.value IN"
            ),
            &keys,
        )
        .await?;
    rows.iter()
        .map(|row| {
            let person = Person::read(row)?;
            let alias = Alias {
                account: person.account,
                kind: AliasKind::parse(&row.text("kind")?),
                value: row.text("value")?,
            };
            Ok((alias, person))
        })
        .collect()
}

/// Persons by id.
pub async fn persons(store: &Store, ids: &[Uuid]) -> Result<Vec<Person>, Error> {
    let keys: Vec<Cell> = ids.iter().map(|id| Cell::Id(*id)).collect();
    let rows = store
        .fetch_in(
            &format!("SELECT {PERSON} FROM persons p WHERE p.id IN"),
            &keys,
        )
        .await?;
    rows.iter().map(Person::read).collect()
}

/// Stores persons; one that exists gets its new facts.
pub fn save_persons(tx: &mut Transaction, persons: Vec<Person>) {
    let rows: Vec<Vec<Cell>> = persons
        .into_iter()
        .map(|person| {
            vec![
                person.id.into(),
                person.account.into(),
                person.user_ref.into(),
                person.wa_id.into(),
                person.user_id.into(),
                person.username.into(),
                person.name.into(),
                person.created_at.0.into(),
            ]
        })
        .collect();
    tx.write_rows(
        "INSERT INTO persons (id, account_id, user_ref, wa_id, user_id, username, name, created_at) VALUES",
        rows,
        "ON CONFLICT (id) DO UPDATE SET wa_id = excluded.wa_id, user_id = excluded.user_id, \
         username = excluded.username, name = excluded.name",
    );
}

/// Points ids at persons.
pub fn save_aliases(tx: &mut Transaction, aliases: &[(Alias, Uuid)]) {
    let rows: Vec<Vec<Cell>> = aliases
        .iter()
        .map(|(alias, person)| {
            let mut cells = alias.cells().to_vec();
            cells.push((*person).into());
            cells
        })
        .collect();
    tx.write_rows(
        "INSERT INTO aliases (value, kind, account_id, person_id) VALUES",
        rows,
        "ON CONFLICT (value, kind, account_id) DO UPDATE SET person_id = excluded.person_id",
    );
}

/// Forgets ids that belong to their person no longer.
pub fn delete_aliases(tx: &mut Transaction, aliases: &[Alias]) {
    for alias in aliases {
        tx.write(
            "DELETE FROM aliases WHERE value = $1 AND kind = $2 AND account_id = $3",
            &alias.cells(),
        );
    }
}

/// Two rows are one person: the ids of one lead to the other from now on, and so do its conversations with numbers with
/// which the other has none. These keep the `user.id` that the portal knows, or it would open another chat.
pub fn merge_persons(tx: &mut Transaction, from: Uuid, to: Uuid) {
    let cells = [to.into(), from.into()];
    tx.write(
        "UPDATE aliases SET person_id = $1 WHERE person_id = $2",
        &cells,
    );
    tx.write(
        "UPDATE conversations SET person_id = $1, \
         user_ref = COALESCE(user_ref, (SELECT p.user_ref FROM persons p WHERE p.id = $2)) \
         WHERE person_id = $2 AND NOT EXISTS \
         (SELECT 1 FROM conversations o WHERE o.person_id = $1 AND o.phone_id = conversations.phone_id)",
        &cells,
    );
}

/// The person of a conversation and the account at which they are known.
pub async fn person_of(
    tx: &mut Transaction,
    conversation: Uuid,
) -> Result<Option<(Uuid, Uuid)>, Error> {
    let rows = tx
        .fetch(
            "SELECT p.id, p.account_id FROM conversations c JOIN persons p ON p.id = c.person_id WHERE c.id = $1",
            &[conversation.into()],
        )
        .await?;
    rows.first()
        .map(|row| Ok((row.id("id")?, row.id("account_id")?)))
        .transpose()
}

/// Adds an id to a person unless it leads to somebody already, and keeps the digits for sending.
pub fn add_alias(tx: &mut Transaction, alias: &Alias, person: Uuid, wa_id: &str) {
    let mut cells = alias.cells().to_vec();
    cells.push(person.into());
    tx.write(
        "INSERT INTO aliases (value, kind, account_id, person_id) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (value, kind, account_id) DO NOTHING",
        &cells,
    );
    tx.write(
        "UPDATE persons SET wa_id = $1 WHERE id = $2",
        &[wa_id.into(), person.into()],
    );
}

/// A conversation: one person and one business number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Our id; also the id of its lanes.
    pub id: Uuid,
    /// The business number.
    pub phone: Uuid,
    /// The person.
    pub person: Uuid,
    /// `chat.id` for Bitrix24: made once, never parsed.
    pub chat_ref: String,
    /// Bitrix24's own chat id, once known.
    pub im_chat_id: Option<i64>,
    /// When the customer last wrote; free text may be sent for 24 hours after it (Meta: customer service window).
    pub last_inbound_at: Option<Millis>,
    /// When the customer was last heard here, perhaps long after the message was written.
    pub heard_at: Option<Millis>,
    /// When Meta said that the 24 hours are over; nothing once the customer has written again.
    pub window_closed_at: Option<Millis>,
    /// Since when the customer wants no marketing messages from the number; nothing while they take them.
    pub marketing_stopped_at: Option<Millis>,
    /// When what was last told of that was so.
    pub marketing_told_at: Option<Millis>,
    /// When it began.
    pub created_at: Millis,
}

const CONVERSATION: &str = "SELECT id, phone_id, person_id, chat_ref, im_chat_id, last_inbound_at, heard_at, \
                            window_closed_at, marketing_stopped_at, marketing_told_at, created_at FROM conversations";

/// For so long after a customer's message everything may be sent, afterwards only templates (Meta: customer service
/// windows).
pub const WINDOW: std::time::Duration = std::time::Duration::from_hours(24);

/// Until when everything may be sent, as far as the customer's messages tell; `None` while only templates are taken.
pub fn open_until(
    last_inbound_at: Option<Millis>,
    window_closed_at: Option<Millis>,
    now: Millis,
) -> Option<Millis> {
    if window_closed_at.is_some() {
        return None;
    }
    last_inbound_at
        .map(|at| at + WINDOW)
        .filter(|until| *until > now)
}

impl Conversation {
    /// Whether everything may be sent. A message that came late counts from when it came: Meta, whose clock it is, says
    /// so if that is too late.
    pub fn takes_everything(&self, now: Millis) -> bool {
        let open = |since| open_until(since, self.window_closed_at, now).is_some();
        open(self.last_inbound_at) || open(self.heard_at)
    }
}

/// Remembers that Meta takes only templates in a conversation.
pub fn close_window(tx: &mut Transaction, conversation: Uuid, at: Millis) {
    tx.write(
        "UPDATE conversations SET window_closed_at = $1 WHERE id = $2",
        &[at.0.into(), conversation.into()],
    );
}

/// Meta said that the customer of a conversation takes no marketing messages from the number.
pub fn stop_marketing(tx: &mut Transaction, conversation: Uuid, at: Millis) {
    tx.write(
        "UPDATE conversations SET marketing_stopped_at = COALESCE(marketing_stopped_at, $1), marketing_told_at = $1 \
         WHERE id = $2 AND COALESCE(marketing_told_at, 0) <= $1",
        &[at.whole_second().0.into(), conversation.into()],
    );
}

fn read_conversation(row: &Row) -> Result<Conversation, Error> {
    Ok(Conversation {
        id: row.id("id")?,
        phone: row.id("phone_id")?,
        person: row.id("person_id")?,
        chat_ref: row.text("chat_ref")?,
        im_chat_id: row.maybe_number("im_chat_id")?,
        last_inbound_at: row.maybe_number("last_inbound_at")?.map(Millis),
        heard_at: row.maybe_number("heard_at")?.map(Millis),
        window_closed_at: row.maybe_number("window_closed_at")?.map(Millis),
        marketing_stopped_at: row.maybe_number("marketing_stopped_at")?.map(Millis),
        marketing_told_at: row.maybe_number("marketing_told_at")?.map(Millis),
        created_at: Millis(row.number("created_at")?),
    })
}

/// The conversations of persons.
pub async fn of_persons(store: &Store, persons: &[Uuid]) -> Result<Vec<Conversation>, Error> {
    let keys: Vec<Cell> = persons.iter().map(|id| Cell::Id(*id)).collect();
    let rows = store
        .fetch_in(&format!("{CONVERSATION} WHERE person_id IN"), &keys)
        .await?;
    rows.iter().map(read_conversation).collect()
}

/// Conversations by the chat id that Bitrix24 was given.
pub async fn by_chat_ref(store: &Store, refs: &[String]) -> Result<Vec<Conversation>, Error> {
    let keys: Vec<Cell> = refs
        .iter()
        .map(|value| Cell::text(value.as_str()))
        .collect();
    let rows = store
        .fetch_in(&format!("{CONVERSATION} WHERE chat_ref IN"), &keys)
        .await?;
    rows.iter().map(read_conversation).collect()
}

/// Conversations by id.
pub async fn by_id(store: &Store, ids: &[Uuid]) -> Result<Vec<Conversation>, Error> {
    let keys: Vec<Cell> = ids.iter().map(|id| Cell::Id(*id)).collect();
    let rows = store
        .fetch_in(&format!("{CONVERSATION} WHERE id IN"), &keys)
        .await?;
    rows.iter().map(read_conversation).collect()
}

/// Stores conversations; one that exists gets its new facts.
pub fn save(tx: &mut Transaction, conversations: Vec<Conversation>) {
    let rows: Vec<Vec<Cell>> = conversations
        .into_iter()
        .map(|conversation| {
            vec![
                conversation.id.into(),
                conversation.phone.into(),
                conversation.person.into(),
                conversation.chat_ref.into(),
                conversation.im_chat_id.into(),
                conversation.last_inbound_at.map(|at| at.0).into(),
                conversation.heard_at.map(|at| at.0).into(),
                conversation.window_closed_at.map(|at| at.0).into(),
                conversation.marketing_stopped_at.map(|at| at.0).into(),
                conversation.marketing_told_at.map(|at| at.0).into(),
                conversation.created_at.0.into(),
            ]
        })
        .collect();
    tx.write_rows(
        "INSERT INTO conversations (id, phone_id, person_id, chat_ref, im_chat_id, last_inbound_at, heard_at, \
         window_closed_at, marketing_stopped_at, marketing_told_at, created_at) VALUES",
        rows,
        "ON CONFLICT (id) DO UPDATE SET im_chat_id = COALESCE(excluded.im_chat_id, conversations.im_chat_id), \
         last_inbound_at = COALESCE(excluded.last_inbound_at, conversations.last_inbound_at), \
         heard_at = COALESCE(excluded.heard_at, conversations.heard_at), \
         window_closed_at = excluded.window_closed_at, \
         marketing_stopped_at = CASE WHEN COALESCE(excluded.marketing_told_at, 0) >= \
         COALESCE(conversations.marketing_told_at, 0) THEN excluded.marketing_stopped_at \
         ELSE conversations.marketing_stopped_at END, \
         marketing_told_at = CASE WHEN COALESCE(excluded.marketing_told_at, 0) >= \
         COALESCE(conversations.marketing_told_at, 0) THEN excluded.marketing_told_at \
         ELSE conversations.marketing_told_at END",
    );
}

/// Remembers under which ids a portal keeps conversations.
pub fn set_portal_chats(tx: &mut Transaction, chats: &[(Uuid, i64, Option<String>)]) {
    let rows: Vec<Vec<Cell>> = chats
        .iter()
        .map(|(id, chat, session)| vec![(*id).into(), (*chat).into(), session.clone().into()])
        .collect();
    tx.write_rows(
        "UPDATE conversations SET im_chat_id = v.column2, session_id = v.column3 FROM (VALUES",
        rows,
        ") AS v WHERE conversations.id = v.column1",
    );
}

/// Something that is done once, however often it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Deed(pub [u8; 16]);

impl Deed {
    /// The deed that these words name.
    pub fn new(words: &[&str]) -> Self {
        use sha2::{Digest as _, Sha256};
        let mut hash = Sha256::new();
        for word in words {
            hash.update((word.len() as u64).to_be_bytes());
            hash.update(word.as_bytes());
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        Self(key)
    }
}

/// Which of these were done before.
pub async fn done_before(store: &Store, deeds: &[Deed]) -> Result<HashSet<Deed>, Error> {
    let keys: Vec<Cell> = deeds
        .iter()
        .map(|deed| Cell::Bytes(deed.0.to_vec()))
        .collect();
    let rows = store
        .fetch_in("SELECT key FROM done WHERE key IN", &keys)
        .await?;
    rows.iter()
        .map(|row| {
            let bytes = row.bytes("key")?;
            let key = <[u8; 16]>::try_from(bytes.as_slice()).map_err(|_| Error::Inconsistent {
                table: "done",
                column: "key",
                why: format!("has {} bytes instead of 16", bytes.len()),
            })?;
            Ok(Deed(key))
        })
        .collect()
}

/// Records that something was done; refused by the database if it was done before.
pub fn record_done(tx: &mut Transaction, deeds: &[Deed], at: Millis) {
    let rows: Vec<Vec<Cell>> = deeds
        .iter()
        .map(|deed| vec![Cell::Bytes(deed.0.to_vec()), at.0.into()])
        .collect();
    tx.write_rows("INSERT INTO done (key, at) VALUES", rows, "");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeds_are_told_apart_by_each_word() {
        assert_eq!(Deed::new(&["a", "b"]), Deed::new(&["a", "b"]));
        assert_ne!(Deed::new(&["ab", ""]), Deed::new(&["a", "b"]));
    }
}
