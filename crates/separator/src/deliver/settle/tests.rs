#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::{
    deliver::to_meta::judge::confirmation,
    identifiers::{Chance, Ids},
    media::DataDir,
    store::{
        Store,
        lanes::Confirmation,
        messages::{Direction, NewMessage},
    },
    time::Clock,
};

const NOW: Millis = Millis(1_795_400_000_000);
const PHONE: Uuid = Uuid::from_u128(7);

/// An operator's message as it stands when Meta's answer to its send is settled.
fn message(ids: &Ids, state: State) -> NewMessage {
    NewMessage {
        id: ids.next(),
        phone: PHONE,
        conversation: Uuid::from_u128(8),
        direction: Direction::Outbound,
        origin: "operator",
        peer: "4915755509876".to_owned(),
        kind: "text".to_owned(),
        text: "Ja".to_owned(),
        state,
        wamid: Some("wamid.X".to_owned()),
        im: Some((1807, 86_497)),
        media: None,
        created_at: NOW,
        journey: Journey::new(),
    }
}

/// The row that sent it; `last` says whether it is the last part, which takes the confirmation along.
fn row(message: &NewMessage, last: bool) -> Claimed {
    let confirm = last.then(|| Confirmation {
        connector: "separator_1".to_owned(),
        line: 107,
        chat_ref: "c1".to_owned(),
        im_chat_id: 1807,
        im_message_id: 86_497,
    });
    Claimed {
        id: message.id,
        lane: message.conversation,
        side: Side::Meta,
        seq: 0,
        phone: PHONE,
        message: Some(message.id),
        created_at: NOW,
        attempts: 0,
        started_at: None,
        task: Task::Text {
            body: message.text.clone(),
            context: None,
            confirm,
        },
        message_state: None,
        wamid: None,
        origin: None,
        im_message_id: None,
        conversation: None,
        media: None,
        marketing: false,
    }
}

/// Settles the sends of messages in these states; gives the store and the messages' ids.
async fn sent(folder: &std::path::Path, states: &[State]) -> (Store, Vec<Uuid>) {
    let store = Store::open_sqlite(&folder.join("test.db")).await.unwrap();
    let ids = Ids::new(Clock::manual(NOW), Chance::seeded(1));
    let mut tx = store.begin().await.unwrap();
    let mut tasks = Vec::new();
    let mut sent = Vec::new();
    for state in states {
        let message = message(&ids, *state);
        sent.push(message.id);
        tasks.extend(confirmation(&ids, &row(&message, true), NOW));
        messages::insert(&mut tx, vec![message]);
    }
    confirm_at_once(&mut tx, &mut tasks, NOW).await.unwrap();
    lanes::enqueue(&mut tx, &tasks);
    tx.commit().await.unwrap();
    (store, sent)
}

async fn due(store: &Store, after: Duration) -> Vec<Uuid> {
    let due = lanes::due(store, PHONE, Side::Portal, NOW + after, 10)
        .await
        .unwrap();
    let mut due: Vec<Uuid> = due.into_iter().map(|(lane, _)| lane).collect();
    due.sort_unstable();
    due
}

#[tokio::test]
async fn without_any_status_a_message_is_confirmed_after_forty_seconds() {
    let folder = DataDir::new();
    let (store, sent) = sent(folder.path(), &[State::Queued, State::Unknown]).await;
    assert!(due(&store, Duration::from_millis(39_999)).await.is_empty());
    assert_eq!(due(&store, Duration::from_secs(40)).await, sent);
    let next = lanes::next_due(&store, PHONE, Side::Portal, NOW)
        .await
        .unwrap();
    assert_eq!(next, Some(NOW + Duration::from_secs(40)));
}

#[tokio::test]
async fn a_status_that_came_first_confirms_at_once_and_a_failure_never() {
    let folder = DataDir::new();
    let states = [State::Sent, State::Failed, State::Delivered, State::Read];
    let (store, sent) = sent(folder.path(), &states).await;
    let confirmed = vec![sent[0], sent[2], sent[3]];
    assert_eq!(due(&store, Duration::ZERO).await, confirmed);
    assert_eq!(due(&store, Duration::from_hours(1)).await, confirmed);
}

#[tokio::test]
async fn a_status_makes_the_confirmation_due_and_a_failure_takes_it_away() {
    let folder = DataDir::new();
    let (store, sent) = sent(folder.path(), &[State::Queued, State::Queued]).await;
    let at = NOW + Duration::from_secs(3);
    let mut tx = store.begin().await.unwrap();
    lanes::make_due(&mut tx, Side::Portal, &sent[..1], at);
    lanes::drop_confirmations(&mut tx, &sent[1..]);
    tx.commit().await.unwrap();
    assert!(due(&store, Duration::from_secs(2)).await.is_empty());
    assert_eq!(due(&store, Duration::from_secs(3)).await, sent[..1]);
    assert_eq!(due(&store, Duration::from_hours(1)).await, sent[..1]);
}

#[test]
fn only_the_last_part_is_confirmed() {
    let ids = Ids::new(Clock::manual(NOW), Chance::seeded(1));
    let message = message(&ids, State::Queued);
    assert!(confirmation(&ids, &row(&message, false), NOW).is_none());
    let confirm = confirmation(&ids, &row(&message, true), NOW).unwrap();
    assert_eq!((confirm.lane, confirm.side), (message.id, Side::Portal));
}
