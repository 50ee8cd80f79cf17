//! Who did what to what and when.
//!
//! A line is written before a change begins and completed after it: whatever ends the program in between, no change is
//! without its line.

use uuid::Uuid;

use super::{
    Error, Row, Store,
    browse::{Conditions, Window},
};
use crate::time::Millis;

/// How far the change of a line came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was begun; nobody knows whether it came to its end.
    Begun,
    /// It was done.
    Done,
    /// It was refused. Only tries to get in are kept as such.
    Refused,
}

impl State {
    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Our id.
    pub id: Uuid,
    /// When it began.
    pub at: Millis,
    /// The user who did it; none: somebody else, or a user who is not known.
    pub user_id: Option<Uuid>,
    /// Who did it, in words that stay when the user is gone.
    pub who: String,
    /// What was done, a word.
    pub action: String,
    /// To what sort of thing, a word.
    pub subject_kind: String,
    /// Its id; empty where it has none.
    pub subject_id: String,
    /// Its name, as it was.
    pub subject_name: String,
    /// As [`State`] says it.
    pub state: String,
    /// JSON: a list of `{field, old, new}`. No secret is in it.
    pub changes: String,
    /// From where it was done; empty: on the machine itself.
    pub address: String,
}

/// Writes a line.
pub async fn insert(store: &Store, line: &Line) -> Result<(), Error> {
    store
        .execute(
            "INSERT INTO audit (id, at, user_id, who, action, subject_kind, subject_id, subject_name, state, changes, \
             address) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            &[
                line.id.into(),
                line.at.0.into(),
                line.user_id.into(),
                line.who.as_str().into(),
                line.action.as_str().into(),
                line.subject_kind.as_str().into(),
                line.subject_id.as_str().into(),
                line.subject_name.as_str().into(),
                line.state.as_str().into(),
                line.changes.as_str().into(),
                line.address.as_str().into(),
            ],
        )
        .await?;
    Ok(())
}

/// Completes the line of a change that was done: what it was done to, and what it changed.
pub async fn complete(store: &Store, line: &Line) -> Result<(), Error> {
    store
        .execute(
            "UPDATE audit SET state = $2, subject_id = $3, subject_name = $4, changes = $5 WHERE id = $1",
            &[
                line.id.into(),
                line.state.as_str().into(),
                line.subject_id.as_str().into(),
                line.subject_name.as_str().into(),
                line.changes.as_str().into(),
            ],
        )
        .await?;
    Ok(())
}

/// Takes the line of a change back that was not made.
pub async fn withdraw(store: &Store, id: Uuid) -> Result<(), Error> {
    store
        .execute("DELETE FROM audit WHERE id = $1", &[id.into()])
        .await?;
    Ok(())
}

/// Which lines are meant. Everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this user.
    pub user: Option<Uuid>,
    /// With this action.
    pub action: Option<String>,
    /// About this thing (its id) or this sort of things.
    pub subject: Option<String>,
    /// Not before.
    pub from: Option<Millis>,
    /// Not at or after.
    pub to: Option<Millis>,
    /// With this in who, what, the changes or the address.
    pub text: Option<String>,
}

/// Lines, newest first.
pub async fn lines(store: &Store, filter: &Filter, window: Window) -> Result<Vec<Line>, Error> {
    let mut conditions = Conditions::default();
    if let Some(user) = filter.user {
        conditions.add("user_id = ?", user);
    }
    conditions.equal("action", filter.action.as_ref());
    if let Some(subject) = &filter.subject {
        conditions.add("(subject_id = ? OR subject_kind = ?)", subject.as_str());
    }
    if let Some(from) = filter.from {
        conditions.add("at >= ?", from.0);
    }
    if let Some(to) = filter.to {
        conditions.add("at < ?", to.0);
    }
    if let Some(text) = &filter.text {
        conditions.contains(&["who", "subject_name", "changes", "address"], text);
    }
    let (sql, cells) = conditions.page(
        "SELECT id, at, user_id, who, action, subject_kind, subject_id, subject_name, state, changes, address FROM audit",
        "id",
        window,
    );
    store.fetch(&sql, &cells).await?.iter().map(row).collect()
}

fn row(row: &Row) -> Result<Line, Error> {
    Ok(Line {
        id: row.id("id")?,
        at: Millis(row.number("at")?),
        user_id: row.maybe_id("user_id")?,
        who: row.text("who")?,
        action: row.text("action")?,
        subject_kind: row.text("subject_kind")?,
        subject_id: row.text("subject_id")?,
        subject_name: row.text("subject_name")?,
        state: row.text("state")?,
        changes: row.text("changes")?,
        address: row.text("address")?,
    })
}
