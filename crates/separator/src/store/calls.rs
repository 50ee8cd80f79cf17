//! Calls, and whom a company may call.
//!
//! Meta tells of a call in any order, and more than once. Each thing told is laid over what is known, so that every order
//! ends in the same row; only what changes it makes a task for the portal, in the same transaction.

use std::collections::HashMap;

use uuid::Uuid;

use super::{
    Cell, Error, Row, Store, Transaction,
    browse::{Conditions, Reach, Window},
    messages::Journey,
};
use crate::time::Millis;

/// Why a call waits where the portal did not grant the application what it takes.
pub const NO_SCOPE: &str = "the application has no permission for telephony";

/// The journey's word for an end that was told after the CRM had been told that nobody knows it.
const TOO_LATE: &str = "told too late for the CRM";

/// What a callback told of a call.
#[derive(Debug, Clone)]
pub struct CallNews {
    /// The business number.
    pub phone: Uuid,
    /// The conversation with the other side.
    pub conversation: Uuid,
    /// Meta's id of the call.
    pub wacid: String,
    /// Whether the company calls.
    pub outgoing: bool,
    /// When it began, or the earliest moment at which it is known to have been.
    pub began_at: Millis,
    /// When somebody took it.
    pub answered_at: Option<Millis>,
    /// When it ended; present where it is over.
    pub ended_at: Option<Millis>,
    /// How long people spoke, seconds.
    pub duration: Option<i64>,
    /// Whether the customer declined it.
    pub declined: bool,
    /// Why it failed; present where it did.
    pub error: Option<String>,
    /// The journey's word for it.
    pub step: &'static str,
}

/// How a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its end was not told yet.
    Active,
    /// People spoke.
    Answered,
    /// Nobody took the customer's call.
    Missed,
    /// The customer did not take the company's call.
    Unanswered,
    /// The customer declined it.
    Declined,
    /// It could not be put through.
    Failed,
    /// Its end was never told.
    Unknown,
}

impl Outcome {
    /// Each.
    pub const ALL: [Self; 7] = [
        Self::Active,
        Self::Answered,
        Self::Missed,
        Self::Unanswered,
        Self::Declined,
        Self::Failed,
        Self::Unknown,
    ];

    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Answered => "answered",
            Self::Missed => "missed",
            Self::Unanswered => "unanswered",
            Self::Declined => "declined",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// What is stored as `text`.
    pub fn parse(text: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
            .unwrap_or(Self::Active)
    }

    /// Bitrix24's code of it (Bitrix24: telephony.externalCall.finish).
    pub fn code(self) -> &'static str {
        match self {
            Self::Answered => "200",
            Self::Missed => "304",
            Self::Unanswered => "480",
            Self::Declined => "603",
            Self::Active | Self::Failed | Self::Unknown => "OTHER",
        }
    }
}

/// What is known of the course of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Course {
    began_at: Millis,
    answered_at: Option<Millis>,
    ended_at: Option<Millis>,
    duration: i64,
    declined: bool,
    error: Option<String>,
    /// Whether it was given up that the end will be told.
    lost: bool,
}

impl Course {
    fn of(news: &CallNews) -> Self {
        Self {
            began_at: news.began_at,
            answered_at: news.answered_at,
            ended_at: news.ended_at,
            duration: news.duration.unwrap_or(0).max(0),
            declined: news.declined,
            error: news.error.clone(),
            lost: false,
        }
    }

    fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            began_at: Millis(row.number("began_at")?),
            answered_at: row.maybe_number("answered_at")?.map(Millis),
            ended_at: row.maybe_number("ended_at")?.map(Millis),
            duration: row.number("duration")?,
            declined: row.flag("declined")?,
            error: row.maybe_text("error")?,
            lost: row.flag("lost")?,
        })
    }

    /// Lays what is told over what is known; the same whatever comes first.
    fn with(&self, told: &Self) -> Self {
        let earliest = |one: Option<Millis>, other: Option<Millis>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self {
            began_at: self.began_at.min(told.began_at),
            answered_at: earliest(self.answered_at, told.answered_at),
            ended_at: earliest(self.ended_at, told.ended_at),
            duration: self.duration.max(told.duration),
            declined: self.declined || told.declined,
            error: self.error.clone().max(told.error.clone()),
            lost: self.lost || told.lost,
        }
    }

    fn outcome(&self, outgoing: bool) -> Outcome {
        if self.ended_at.is_none() {
            if self.lost {
                Outcome::Unknown
            } else {
                Outcome::Active
            }
        } else if self.answered_at.is_some() || self.duration > 0 {
            Outcome::Answered
        } else if self.declined {
            Outcome::Declined
        } else if self.error.is_some() {
            Outcome::Failed
        } else if outgoing {
            Outcome::Unanswered
        } else {
            Outcome::Missed
        }
    }
}

/// Writes what was told; gives the call where that changed anything. `id` is for a call that is new.
pub async fn hear(
    tx: &mut Transaction,
    news: &CallNews,
    id: Uuid,
    now: Millis,
) -> Result<Option<Uuid>, Error> {
    let rows = tx
        .fetch(
            "SELECT id, began_at, answered_at, ended_at, duration, declined, error, lost, told FROM calls \
             WHERE phone_id = $1 AND wacid = $2",
            &[news.phone.into(), news.wacid.as_str().into()],
        )
        .await?;
    let told = Course::of(news);
    let direction = if news.outgoing { "outbound" } else { "inbound" };
    let journey = Journey::new().with(now, news.step, None).into_text();
    let Some(row) = rows.first() else {
        let outcome = told.outcome(news.outgoing).as_str();
        tx.write(
            "INSERT INTO calls (id, phone_id, conversation_id, wacid, direction, began_at, answered_at, ended_at, duration, \
             outcome, declined, error, told, shown, journey, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'waits', $13, $14, $15)",
            &[
                id.into(),
                news.phone.into(),
                news.conversation.into(),
                news.wacid.as_str().into(),
                direction.into(),
                told.began_at.0.into(),
                told.answered_at.map(|at| at.0).into(),
                told.ended_at.map(|at| at.0).into(),
                told.duration.into(),
                outcome.into(),
                told.declined.into(),
                Cell::MaybeText(told.error),
                false.into(),
                journey.into(),
                now.0.into(),
            ],
        );
        return Ok(Some(id));
    };
    let (id, known) = (row.id("id")?, Course::read(row)?);
    let course = known.with(&told);
    if course == known {
        return Ok(None);
    }
    let too_late = known.lost && row.text("told")? == Known::Finished.as_str();
    let journey = if too_late && course.ended_at.is_some() {
        // Bitrix24 does not take the end of a call twice (telephony.externalCall.finish).
        let told = Journey::new().with(now, news.step, None);
        told.with(now, TOO_LATE, None).into_text()
    } else {
        journey
    };
    tx.write(
        "UPDATE calls SET began_at = $2, answered_at = $3, ended_at = $4, duration = $5, outcome = $6, declined = $7, \
         error = $8, journey = journey || $9 WHERE id = $1",
        &[
            id.into(),
            course.began_at.0.into(),
            course.answered_at.map(|at| at.0).into(),
            course.ended_at.map(|at| at.0).into(),
            course.duration.into(),
            course.outcome(news.outgoing).as_str().into(),
            course.declined.into(),
            Cell::MaybeText(course.error),
            journey.into(),
        ],
    );
    Ok(Some(id))
}

/// A call whose end was not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// Our id.
    pub id: Uuid,
    /// The business number.
    pub phone: Uuid,
}

/// Calls that go on, as far as is known, and of which we first heard before `since`.
pub async fn going_on_since(store: &Store, since: Millis, limit: i64) -> Result<Vec<Open>, Error> {
    let rows = store
        .fetch(
            "SELECT id, phone_id FROM calls WHERE outcome = 'active' AND created_at < $1 ORDER BY created_at LIMIT $2",
            &[since.0.into(), limit.into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Open {
                id: row.id("id")?,
                phone: row.id("phone_id")?,
            })
        })
        .collect()
}

/// Gives up that the end of a call will be told; false where it was told meanwhile.
pub async fn lose(tx: &mut Transaction, id: Uuid, now: Millis, why: &str) -> Result<bool, Error> {
    let journey = Journey::new().with(now, "its end was not told", Some(why));
    let changed = tx
        .execute(
            "UPDATE calls SET lost = TRUE, outcome = 'unknown', journey = journey || $2 WHERE id = $1 AND outcome = 'active'",
            &[id.into(), journey.into_text().into()],
        )
        .await?;
    Ok(changed > 0)
}

/// What Bitrix24 has of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Nothing yet.
    Waits,
    /// It is registered there.
    Registered,
    /// Finishing it was tried; it may have happened.
    Finishing,
    /// It is in the CRM.
    Finished,
}

impl Known {
    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waits => "waits",
            Self::Registered => "registered",
            Self::Finishing => "finishing",
            Self::Finished => "finished",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "registered" => Self::Registered,
            "finishing" => Self::Finishing,
            "finished" => Self::Finished,
            _ => Self::Waits,
        }
    }
}

/// A call with what is needed to tell Bitrix24 of it.
#[derive(Debug, Clone)]
pub struct Told {
    /// Our id.
    pub id: Uuid,
    /// Meta's.
    pub wacid: String,
    /// Whether the company calls.
    pub outgoing: bool,
    /// When it began.
    pub began_at: Millis,
    /// How it went.
    pub outcome: Outcome,
    /// Seconds.
    pub duration: i64,
    /// Why it failed.
    pub error: Option<String>,
    /// What Bitrix24 has of it.
    pub known: Known,
    /// The employee whose call it is.
    pub responsible: Option<i64>,
    /// The CRM's entry of the other side.
    pub entity: Option<(String, i64)>,
    /// Bitrix24's id of the call.
    pub crm_call_id: Option<String>,
    /// Whether its card was shown.
    pub shown: bool,
    /// Digits of the other side, where they are known.
    pub wa_id: Option<String>,
    /// Bitrix24's chat with the other side.
    pub im_chat_id: Option<i64>,
}

/// The call of a task.
pub async fn to_tell(store: &Store, id: Uuid) -> Result<Option<Told>, Error> {
    let row = store
        .fetch_optional(
            "SELECT k.id, k.wacid, k.direction, k.began_at, k.outcome, k.duration, k.error, k.told, k.responsible, \
             k.entity_type, k.entity_id, k.crm_call_id, k.shown, p.wa_id, c.im_chat_id FROM calls k \
             JOIN conversations c ON c.id = k.conversation_id JOIN persons p ON p.id = c.person_id WHERE k.id = $1",
            &[id.into()],
        )
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    Ok(Some(Told {
        id: row.id("id")?,
        wacid: row.text("wacid")?,
        outgoing: row.text("direction")? == "outbound",
        began_at: Millis(row.number("began_at")?),
        outcome: Outcome::parse(&row.text("outcome")?),
        duration: row.number("duration")?,
        error: row.maybe_text("error")?,
        known: Known::parse(&row.text("told")?),
        responsible: row.maybe_number("responsible")?,
        entity: row
            .maybe_text("entity_type")?
            .zip(row.maybe_number("entity_id")?),
        crm_call_id: row.maybe_text("crm_call_id")?,
        shown: row.flag("shown")?,
        wa_id: row.maybe_text("wa_id")?.filter(|digits| !digits.is_empty()),
        im_chat_id: row.maybe_number("im_chat_id")?,
    }))
}

/// Writes what Bitrix24 has of a call now, and a step of its journey.
pub async fn tell(
    store: &Store,
    call: &Told,
    activity: Option<i64>,
    now: Millis,
    step: &str,
    detail: Option<&str>,
) -> Result<(), Error> {
    let journey = Journey::new().with(now, step, detail).into_text();
    let (entity_type, entity_id) = call.entity.clone().unzip();
    store
        .execute(
            "UPDATE calls SET told = $2, responsible = $3, entity_type = $4, entity_id = $5, crm_call_id = $6, shown = $7, \
             activity_id = COALESCE($8, activity_id), problem = NULL, journey = journey || $9 WHERE id = $1",
            &[
                call.id.into(),
                call.known.as_str().into(),
                call.responsible.into(),
                Cell::MaybeText(entity_type),
                entity_id.into(),
                Cell::MaybeText(call.crm_call_id.clone()),
                call.shown.into(),
                activity.into(),
                journey.into(),
            ],
        )
        .await?;
    Ok(())
}

/// Says why Bitrix24 does not have what it should have of a call; the journey tells it once.
pub async fn trouble(store: &Store, id: Uuid, why: &str, now: Millis) -> Result<(), Error> {
    let (step, detail) = match why {
        NO_SCOPE => ("waits for the permission for telephony", None),
        why => ("waits", Some(why)),
    };
    let journey = Journey::new().with(now, step, detail).into_text();
    store
        .execute(
            "UPDATE calls SET problem = $2, journey = journey || $3 WHERE id = $1 AND COALESCE(problem, '') <> $2",
            &[id.into(), why.into(), journey.into()],
        )
        .await?;
    Ok(())
}

/// What a customer said about being called.
#[derive(Debug, Clone)]
pub struct Permission {
    /// The conversation.
    pub conversation: Uuid,
    /// `granted`, `permanent` or `refused`.
    pub state: &'static str,
    /// Until when it is granted.
    pub until: Option<Millis>,
    /// When it was said; what was said last counts.
    pub told_at: Millis,
}

/// Keeps what customers said last.
pub fn permit(tx: &mut Transaction, permission: &Permission) {
    tx.write(
        "INSERT INTO call_permissions (conversation_id, state, until, told_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (conversation_id) DO UPDATE SET state = excluded.state, until = excluded.until, \
         told_at = excluded.told_at WHERE call_permissions.told_at <= excluded.told_at",
        &[
            permission.conversation.into(),
            permission.state.into(),
            permission.until.map(|at| at.0).into(),
            permission.told_at.0.into(),
        ],
    );
}

/// Which calls are meant. Everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The business number.
    pub phone: Option<Uuid>,
    /// Meta's id of the call.
    pub wacid: Option<String>,
    /// `inbound` or `outbound`.
    pub direction: Option<String>,
    /// How it went.
    pub outcome: Option<String>,
    /// What Bitrix24 has of it.
    pub told: Option<String>,
    /// A part of the other side's name, number or id.
    pub person: Option<String>,
}

/// A call as people look at it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Our id.
    pub id: Uuid,
    /// The business number.
    pub phone_id: Uuid,
    /// Meta's id.
    pub wacid: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// Digits of the other side.
    pub wa_id: Option<String>,
    /// User id of the other side.
    pub user_id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its username.
    pub username: Option<String>,
    /// When it began.
    pub began_at: Millis,
    /// When it was taken.
    pub answered_at: Option<Millis>,
    /// When it ended.
    pub ended_at: Option<Millis>,
    /// Seconds.
    pub duration: i64,
    /// How it went.
    pub outcome: String,
    /// Why it failed.
    pub error: Option<String>,
    /// What Bitrix24 has of it.
    pub told: String,
    /// The employee.
    pub responsible: Option<i64>,
    /// The CRM's entry.
    pub entity: Option<(String, i64)>,
    /// Bitrix24's id of the call.
    pub crm_call_id: Option<String>,
    /// The CRM's activity.
    pub activity: Option<i64>,
    /// Why Bitrix24 does not have what it should have.
    pub problem: Option<String>,
    /// Whether and until when the other side may be called: state and end.
    pub permission: Option<(String, Option<Millis>)>,
    /// Its steps as JSON.
    pub journey: String,
    /// When we first heard of it.
    pub created_at: Millis,
}

const SHOWN: &str = "SELECT k.id, k.phone_id, k.wacid, k.direction, k.began_at, k.answered_at, k.ended_at, k.duration, \
                     k.outcome, k.error, k.told, k.responsible, k.entity_type, k.entity_id, k.crm_call_id, k.activity_id, \
                     k.problem, k.journey, k.created_at, p.wa_id, p.user_id, p.name, p.username, r.state AS permission, \
                     r.until FROM calls k LEFT JOIN conversations c ON c.id = k.conversation_id \
                     LEFT JOIN persons p ON p.id = c.person_id \
                     LEFT JOIN call_permissions r ON r.conversation_id = k.conversation_id";

fn shown(row: &Row) -> Result<Shown, Error> {
    let until = row.maybe_number("until")?.map(Millis);
    Ok(Shown {
        id: row.id("id")?,
        phone_id: row.id("phone_id")?,
        wacid: row.text("wacid")?,
        direction: row.text("direction")?,
        wa_id: row.maybe_text("wa_id")?,
        user_id: row.maybe_text("user_id")?,
        name: row.maybe_text("name")?,
        username: row.maybe_text("username")?,
        began_at: Millis(row.number("began_at")?),
        answered_at: row.maybe_number("answered_at")?.map(Millis),
        ended_at: row.maybe_number("ended_at")?.map(Millis),
        duration: row.number("duration")?,
        outcome: row.text("outcome")?,
        error: row.maybe_text("error")?,
        told: row.text("told")?,
        responsible: row.maybe_number("responsible")?,
        entity: row
            .maybe_text("entity_type")?
            .zip(row.maybe_number("entity_id")?),
        crm_call_id: row.maybe_text("crm_call_id")?,
        activity: row.maybe_number("activity_id")?,
        problem: row.maybe_text("problem")?,
        permission: row.maybe_text("permission")?.map(|state| (state, until)),
        journey: row.text("journey")?,
        created_at: Millis(row.number("created_at")?),
    })
}

/// When the last call of each of these numbers began, where there was one.
pub async fn last_of(store: &Store, phones: &[Uuid]) -> Result<HashMap<Uuid, Millis>, Error> {
    let mut last = HashMap::new();
    for phone in phones {
        let row = store
            .fetch_optional(
                "SELECT MAX(began_at) AS last FROM calls WHERE phone_id = $1",
                &[(*phone).into()],
            )
            .await?;
        let at = row.map(|row| row.maybe_number("last")).transpose()?;
        if let Some(at) = at.flatten() {
            last.insert(*phone, Millis(at));
        }
    }
    Ok(last)
}

/// Calls, newest first.
pub async fn list(
    store: &Store,
    reach: &Reach,
    filter: &Filter,
    window: Window,
) -> Result<Vec<Shown>, Error> {
    let mut conditions = Conditions::default();
    if let Some(phone) = filter.phone {
        conditions.add("k.phone_id = ?", phone);
    }
    conditions.equal("k.wacid", filter.wacid.as_ref());
    conditions.equal("k.direction", filter.direction.as_ref());
    conditions.equal("k.outcome", filter.outcome.as_ref());
    conditions.equal("k.told", filter.told.as_ref());
    if let Some(person) = &filter.person {
        let columns = ["p.name", "p.wa_id", "p.user_id", "p.username"];
        conditions.contains(&columns, person);
    }
    reach.phones(&mut conditions, "k.phone_id");
    let (sql, cells) = conditions.page(SHOWN, "k.id", window);
    let rows = store.fetch(&sql, &cells).await?;
    rows.iter().map(shown).collect()
}

/// One call.
pub async fn one(store: &Store, reach: &Reach, id: Uuid) -> Result<Option<Shown>, Error> {
    let mut conditions = Conditions::default();
    conditions.add("k.id = ?", id);
    reach.phones(&mut conditions, "k.phone_id");
    let sql = format!("{SHOWN}{}", conditions.filter());
    let row = store.fetch_optional(&sql, conditions.cells()).await?;
    row.as_ref().map(shown).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(began: i64) -> Course {
        Course {
            began_at: Millis(began),
            answered_at: None,
            ended_at: None,
            duration: 0,
            declined: false,
            error: None,
            lost: false,
        }
    }

    #[test]
    fn any_order_of_what_is_told_ends_in_the_same_call() {
        let connect = course(10);
        let accepted = Course {
            answered_at: Some(Millis(15)),
            ..course(15)
        };
        let end = Course {
            answered_at: Some(Millis(15)),
            ended_at: Some(Millis(95)),
            duration: 80,
            ..course(15)
        };
        let told = [connect, accepted, end];
        let mut ends = Vec::new();
        for order in [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ] {
            let mut known = told[order[0]].clone();
            for index in [order[1], order[2], order[1], order[0]] {
                known = known.with(&told[index]);
            }
            ends.push(known);
        }
        assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{ends:?}");
        assert_eq!(ends[0].began_at, Millis(10));
        assert_eq!(ends[0].outcome(false), Outcome::Answered);
    }

    #[test]
    fn a_call_that_nobody_took_is_missed_unanswered_declined_or_failed() {
        let over = Course {
            ended_at: Some(Millis(20)),
            ..course(10)
        };
        assert_eq!(course(10).outcome(false), Outcome::Active);
        assert_eq!(over.outcome(false), Outcome::Missed);
        assert_eq!(over.outcome(true), Outcome::Unanswered);
        let declined = Course {
            declined: true,
            ..over.clone()
        };
        assert_eq!(declined.outcome(true), Outcome::Declined);
        let failed = Course {
            error: Some("138020".to_owned()),
            ..over
        };
        assert_eq!(failed.outcome(false), Outcome::Failed);
        let lost = Course {
            lost: true,
            ..course(10)
        };
        assert_eq!(lost.outcome(false), Outcome::Unknown);
        let late = Course {
            lost: true,
            ended_at: Some(Millis(20)),
            ..course(10)
        };
        assert_eq!(late.outcome(false), Outcome::Missed, "what was told counts");
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::parse(outcome.as_str()), outcome);
        }
    }
}
