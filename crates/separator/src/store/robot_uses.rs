//! What robots and workflows last sent. Their settings are the portal's; a run is the only thing that shows them.

use uuid::Uuid;

use super::{Cell, Error, Store, Transaction};
use crate::time::Millis;

/// A setting of a robot, as its last run showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RobotUse {
    /// The portal.
    pub instance: Uuid,
    /// The number that sends.
    pub phone: Uuid,
    /// The kind of document that it runs for, such as `DEAL`.
    pub document: String,
    /// The template's name.
    pub template: String,
    /// Its language; empty where the setting names none.
    pub language: String,
    /// How many values it gives.
    pub given: i64,
    /// When it last ran.
    pub used_at: Millis,
}

/// Remembers runs.
pub fn remember(tx: &mut Transaction, uses: &[RobotUse]) {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for (index, one) in uses.iter().enumerate() {
        let same = |other: &RobotUse| {
            RobotUse {
                given: one.given,
                used_at: one.used_at,
                ..other.clone()
            } == *one
        };
        // One statement touches a row only once: the last run counts.
        if uses[index + 1..].iter().any(same) {
            continue;
        }
        rows.push(vec![
            one.instance.into(),
            one.phone.into(),
            one.document.as_str().into(),
            one.template.as_str().into(),
            one.language.as_str().into(),
            one.given.into(),
            one.used_at.0.into(),
        ]);
    }
    tx.write_rows(
        "INSERT INTO robot_uses (instance_id, phone_id, document, template, language, given, used_at) VALUES",
        rows,
        "ON CONFLICT (instance_id, phone_id, document, template, language) DO UPDATE SET given = excluded.given, \
         used_at = excluded.used_at",
    );
}

/// All that ran since a time; what is older is forgotten.
pub async fn since(store: &Store, since: Millis) -> Result<Vec<RobotUse>, Error> {
    store
        .execute(
            "DELETE FROM robot_uses WHERE used_at < $1",
            &[since.0.into()],
        )
        .await?;
    let rows = store
        .fetch(
            "SELECT instance_id, phone_id, document, template, language, given, used_at FROM robot_uses \
             ORDER BY phone_id, template, language, document",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(RobotUse {
                instance: row.id("instance_id")?,
                phone: row.id("phone_id")?,
                document: row.text("document")?,
                template: row.text("template")?,
                language: row.text("language")?,
                given: row.number("given")?,
                used_at: Millis(row.number("used_at")?),
            })
        })
        .collect()
}
