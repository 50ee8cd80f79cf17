//! Messages that Bitrix24 asked for as SMS or by a robot, and what it has been told of them.
//!
//! What is told only ever goes forward: each report takes its step in the order's row, in the transaction that writes the
//! news, so that statuses in any order and any repetition end in the same reports.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Cell, Error, Row, Store, Transaction,
    lanes::{NewTask, Priority, Report, Side, Task},
    messages::{MessageError, State},
};
use crate::{identifiers::Ids, time::Millis};

/// Behind every state: nothing more is told.
const ALL_TOLD: i64 = 100;

/// Failures that say that the person could not be reached, not that the message was wrong (Meta: error codes).
const UNREACHED: [&str; 6] = ["131026", "131030", "131049", "131050", "130472", "130497"];

/// Who asked for a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Order {
    /// The SMS provider.
    Sms {
        /// The provider's code.
        code: String,
        /// Bitrix24's id of the SMS.
        sms: String,
    },
    /// A robot or an action of a workflow.
    Robot {
        /// Bitrix24's token of the step that waits.
        event_token: String,
        /// Whether the step goes on only once the message is on the customer's phone.
        wait: bool,
    },
}

/// An order on its way into the store.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// The message.
    pub message: Uuid,
    /// The business number.
    pub phone: Uuid,
    /// The portal that asked.
    pub instance: Uuid,
    /// When it is answered at the latest, whatever is known by then.
    pub deadline: Option<Millis>,
    /// Who asked.
    pub order: Order,
}

/// What became of a message.
#[derive(Debug, Clone)]
pub struct News {
    /// The message.
    pub message: Uuid,
    /// The state it reached; `None` where Meta has only accepted it.
    pub state: Option<State>,
    /// Why it failed.
    pub error: Option<MessageError>,
}

/// Keeps orders.
pub fn insert(tx: &mut Transaction, orders: &[NewOrder]) {
    let rows: Vec<Vec<Cell>> = orders
        .iter()
        .map(|order| {
            let payload = serde_json::to_string(&order.order)
                .expect("an order is made of text and flags, which always serialise");
            vec![
                order.message.into(),
                order.phone.into(),
                order.instance.into(),
                0_i64.into(),
                order.deadline.map(|at| at.0).into(),
                payload.into(),
            ]
        })
        .collect();
    tx.write_rows(
        "INSERT INTO orders (message_id, phone_id, instance_id, told, deadline, payload) VALUES",
        rows,
        "",
    );
}

/// The reports that follow from news; those that were made before, and those about messages nobody asked for, are left
/// out.
pub async fn follow(
    tx: &mut Transaction,
    news: &[News],
    now: Millis,
    ids: &Ids,
) -> Result<Vec<NewTask>, Error> {
    let keys: Vec<Cell> = news.iter().map(|one| Cell::Id(one.message)).collect();
    let rows = tx
        .fetch_in(
            "SELECT message_id, instance_id, payload FROM orders WHERE message_id IN",
            &keys,
        )
        .await?;
    let mut tasks = Vec::new();
    for row in rows {
        let (message, instance) = (row.id("message_id")?, row.id("instance_id")?);
        let order = read_order(&row)?;
        for one in news.iter().filter(|one| one.message == message) {
            let Some((step, report)) = report(&order, one) else {
                continue;
            };
            if !tell(tx, message, step).await? {
                continue;
            }
            tasks.push(NewTask {
                id: ids.next(),
                lane: message,
                side: Side::Portal,
                // The portal's own: the number may be linked to another one by now, or to none.
                phone: instance,
                message: Some(message),
                media: None,
                priority: Priority::Confirmation,
                due_at: now,
                created_at: now,
                task: Task::Report(report),
            });
        }
    }
    Ok(tasks)
}

fn read_order(row: &Row) -> Result<Order, Error> {
    serde_json::from_str(&row.text("payload")?).map_err(|error| Error::Inconsistent {
        table: "orders",
        column: "payload",
        why: error.to_string(),
    })
}

/// Takes a step forward; `false` where it was taken before.
async fn tell(tx: &mut Transaction, message: Uuid, step: i64) -> Result<bool, Error> {
    let taken = tx
        .execute(
            "UPDATE orders SET told = $1, deadline = CASE WHEN $1 >= 100 THEN NULL ELSE deadline END \
             WHERE message_id = $2 AND told < $1",
            &[step.into(), message.into()],
        )
        .await?;
    Ok(taken > 0)
}

/// The step that news take an order to, and what is told there.
fn report(order: &Order, news: &News) -> Option<(i64, Report)> {
    match order {
        Order::Sms { code, sms } => {
            let state = news.state?;
            let unreached = news
                .error
                .as_ref()
                .is_some_and(|error| UNREACHED.contains(&error.code.as_str()));
            let (state, status) = match state {
                State::Sent => (State::Sent, "sent"),
                State::Failed if unreached => (State::Failed, "undelivered"),
                State::Failed => (State::Failed, "failed"),
                State::Delivered | State::Read => (State::Delivered, "delivered"),
                State::Received | State::Queued | State::Unknown => return None,
            };
            let report = Report::Sms {
                code: code.clone(),
                sms: sms.clone(),
                status: status.to_owned(),
            };
            Some((state.rank(), report))
        }
        Order::Robot { event_token, wait } => {
            let status = match news.state {
                None | Some(State::Sent) if !wait => "sent",
                Some(State::Delivered) => "delivered",
                Some(State::Read) => "read",
                Some(State::Failed) => "failed",
                _ => return None,
            };
            let failure = news.error.clone();
            Some((ALL_TOLD, robot(event_token, news.message, status, failure)))
        }
    }
}

fn robot(event_token: &str, message: Uuid, status: &str, failure: Option<MessageError>) -> Report {
    Report::Robot {
        event_token: event_token.to_owned(),
        message: message.to_string(),
        status: status.to_owned(),
        error: String::new(),
        failure,
    }
}

/// Answers the orders whose time is over with what is known of their messages; gives the portals to wake.
pub async fn answer_late(
    store: &Store,
    now: Millis,
    limit: i64,
    ids: &Ids,
) -> Result<Vec<Uuid>, Error> {
    let rows = store
        .fetch(
            "SELECT o.message_id, o.instance_id, o.payload, m.state FROM orders o \
             LEFT JOIN messages m ON m.id = o.message_id WHERE o.deadline <= $1 ORDER BY o.deadline LIMIT $2",
            &[now.0.into(), limit.into()],
        )
        .await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut tx = store.begin().await?;
    let (mut tasks, mut portals) = (Vec::new(), Vec::new());
    for row in &rows {
        let (message, instance) = (row.id("message_id")?, row.id("instance_id")?);
        let state = row.maybe_text("state")?.unwrap_or_default();
        let Order::Robot { event_token, .. } = read_order(row)? else {
            continue;
        };
        if !tell(&mut tx, message, ALL_TOLD).await? {
            continue;
        }
        portals.push(instance);
        tasks.push(NewTask {
            id: ids.next(),
            lane: message,
            side: Side::Portal,
            phone: instance,
            message: Some(message),
            media: None,
            priority: Priority::Confirmation,
            due_at: now,
            created_at: now,
            task: Task::Report(robot(&event_token, message, &state, None)),
        });
    }
    super::lanes::enqueue(&mut tx, &tasks);
    tx.commit().await?;
    Ok(portals)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(state: Option<State>, code: &str) -> News {
        News {
            message: Uuid::nil(),
            state,
            error: (state == Some(State::Failed)).then(|| MessageError {
                code: code.to_owned(),
                title: "Undeliverable".to_owned(),
                details: None,
            }),
        }
    }

    fn told(order: &Order, news: &News) -> Option<(i64, String)> {
        report(order, news).map(|(step, report)| {
            let (Report::Sms { status, .. } | Report::Robot { status, .. }) = report;
            (step, status)
        })
    }

    #[test]
    fn an_sms_is_told_forward_only() {
        let order = Order::Sms {
            code: "c".to_owned(),
            sms: "1".to_owned(),
        };
        let steps: Vec<(i64, String)> = [
            news(Some(State::Sent), ""),
            news(Some(State::Failed), "131026"),
            news(Some(State::Failed), "132000"),
            news(Some(State::Delivered), ""),
            news(Some(State::Read), ""),
        ]
        .iter()
        .filter_map(|news| told(&order, news))
        .collect();
        let words: Vec<&str> = steps.iter().map(|(_, word)| word.as_str()).collect();
        assert_eq!(
            words,
            ["sent", "undelivered", "failed", "delivered", "delivered"]
        );
        assert!(steps.is_sorted_by_key(|(step, _)| *step));
        assert_eq!(told(&order, &news(None, "")), None);
        assert_eq!(told(&order, &news(Some(State::Unknown), "")), None);
    }

    #[test]
    fn a_robot_is_answered_once_at_once_or_when_the_message_is_there() {
        for (wait, state, wanted) in [
            (false, None, Some("sent")),
            (false, Some(State::Sent), Some("sent")),
            (false, Some(State::Failed), Some("failed")),
            (true, None, None),
            (true, Some(State::Sent), None),
            (true, Some(State::Delivered), Some("delivered")),
            (true, Some(State::Read), Some("read")),
            (true, Some(State::Failed), Some("failed")),
        ] {
            let order = Order::Robot {
                event_token: "t".to_owned(),
                wait,
            };
            let told = told(&order, &news(state, "131026"));
            let wanted = wanted.map(|word| (ALL_TOLD, word.to_owned()));
            assert_eq!(told, wanted, "{wait} {state:?}");
        }
    }
}
