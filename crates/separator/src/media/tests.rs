#![expect(clippy::unwrap_used, reason = "tests")]

mod whole;

use super::{folder::tests::DataDir, *};
use crate::store::{
    lanes::{NewTask, Priority, Task},
    media::{NewMedia, delete, due, failed, get, insert, put_off},
};

const NOW: Millis = Millis(1_795_409_252_000);

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn file(number: u128, phone: u128) -> NewMedia {
    NewMedia {
        id: id(number),
        phone: id(phone),
        source: Source::Meta {
            media_id: number.to_string(),
        },
        name: format!("{number}.jpg"),
        mime_type: None,
        created_at: NOW,
    }
}

async fn store_with(data: &DataDir, files: &[NewMedia]) -> Store {
    let store = Store::open_sqlite(&data.path().join("test.db"))
        .await
        .unwrap();
    let mut tx = store.begin().await.unwrap();
    insert(&mut tx, files);
    tx.commit().await.unwrap();
    store
}

async fn due_ids(store: &Store, now: Millis, busy: &[Uuid], limit: usize) -> Vec<Uuid> {
    due(store, now, busy, limit)
        .await
        .unwrap()
        .iter()
        .map(|file| file.id)
        .collect()
}

#[tokio::test]
async fn files_are_due_oldest_first_and_not_those_of_busy_numbers() {
    let data = DataDir::new();
    let files = [file(1, 10), file(2, 20), file(3, 10), file(4, 30)];
    let store = store_with(&data, &files).await;
    assert_eq!(
        due_ids(&store, NOW, &[], 10).await,
        [id(1), id(2), id(3), id(4)]
    );
    assert_eq!(due_ids(&store, NOW, &[], 2).await, [id(1), id(2)]);
    assert_eq!(due_ids(&store, NOW, &[id(10), id(30)], 10).await, [id(2)]);
    assert!(due_ids(&store, Millis(NOW.0 - 1), &[], 10).await.is_empty());
    put_off(&store, id(1), Millis(NOW.0 + 5), "later")
        .await
        .unwrap();
    assert_eq!(due_ids(&store, NOW, &[], 10).await, [id(2), id(3), id(4)]);
    let later = due(&store, Millis(NOW.0 + 5), &[], 10).await.unwrap();
    assert_eq!((later[3].id, later[3].attempts), (id(1), 1));
    assert_eq!(
        later[3].source,
        Some(Source::Meta {
            media_id: "1".into()
        })
    );
}

#[tokio::test]
async fn a_source_of_another_version_hinders_no_other_file() {
    let data = DataDir::new();
    let store = store_with(&data, &[file(1, 10), file(2, 10)]).await;
    store
        .execute(
            "UPDATE media SET source = '{\"from\":\"moon\"}' WHERE id = $1",
            &[id(1).into()],
        )
        .await
        .unwrap();
    let due = due(&store, NOW, &[], 10).await.unwrap();
    assert_eq!((due[0].source.clone(), due.len()), (None, 2));
}

/// Queues a task in a lane that sleeps.
async fn sleeping(store: &Store, row: u128, lane: u128, side: Side, media: Option<Uuid>) {
    let task = NewTask {
        id: id(row),
        lane: id(lane),
        side,
        phone: id(10),
        message: None,
        media,
        priority: Priority::Conversation,
        due_at: Millis(NOW.0 + 100_000),
        created_at: NOW,
        task: Task::Delete {
            external_id: String::new(),
        },
    };
    let mut tx = store.begin().await.unwrap();
    lanes::enqueue(&mut tx, &[task]);
    tx.commit().await.unwrap();
}

async fn lanes_due(store: &Store, side: Side) -> Vec<Uuid> {
    let due = lanes::due(store, id(10), side, NOW, 10).await.unwrap();
    due.into_iter().map(|(lane, _)| lane).collect()
}

#[tokio::test]
async fn settling_a_file_wakes_the_lanes_whose_head_waits_for_it() {
    for outcome in [
        Ok(Arrived {
            size: 5,
            name: "a.jpg".into(),
            mime_type: Some("image/jpeg".into()),
        }),
        Err("no".to_owned()),
    ] {
        let data = DataDir::new();
        let store = store_with(&data, &[file(1, 10), file(2, 10)]).await;
        sleeping(&store, 101, 7, Side::Meta, Some(id(1))).await;
        sleeping(&store, 102, 7, Side::Portal, Some(id(2))).await;
        // Here the head is something else, which waits for reasons of its own.
        sleeping(&store, 103, 8, Side::Meta, None).await;
        sleeping(&store, 104, 8, Side::Meta, Some(id(1))).await;

        let sides = settle(&store, id(1), &outcome, NOW).await.unwrap();
        assert_eq!(sides, [Side::Meta]);
        assert_eq!(lanes_due(&store, Side::Meta).await, [id(7)]);
        assert!(lanes_due(&store, Side::Portal).await.is_empty());

        let stored = get(&store, id(1)).await.unwrap().unwrap();
        match &outcome {
            Ok(arrived) => assert_eq!(
                (stored.state, &stored.name, &stored.mime_type),
                (Progress::Ready, &arrived.name, &arrived.mime_type)
            ),
            Err(_) => assert_eq!(stored.state, Progress::Failed),
        }
        assert_eq!(due_ids(&store, NOW, &[], 10).await, [id(2)]);
        assert!(
            settle(&store, id(99), &outcome, NOW)
                .await
                .unwrap()
                .is_empty()
        );
    }
}

#[tokio::test]
async fn what_is_settled_stays_so() {
    let data = DataDir::new();
    let store = store_with(&data, &[file(1, 10)]).await;
    let arrived = Arrived {
        size: 5,
        name: "a.jpg".into(),
        mime_type: None,
    };
    settle(&store, id(1), &Ok(arrived), NOW).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    failed(&mut tx, id(1), "too late");
    tx.commit().await.unwrap();
    put_off(&store, id(1), NOW, "too late").await.unwrap();
    assert_eq!(
        get(&store, id(1)).await.unwrap().unwrap().state,
        Progress::Ready
    );
}

/// An id as it is made at that moment.
fn id_of(millis: i64, number: u8) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(millis.unsigned_abs(), &[number; 10]).into_uuid()
}

#[tokio::test]
async fn old_files_go_with_their_rows_unless_they_are_still_to_be_delivered() {
    let data = DataDir::new();
    let folder = data.folder();
    let (old, needed, young) = (id_of(NOW.0 - 1, 9), id_of(NOW.0 - 1, 8), id_of(NOW.0, 0));
    let files = [old, needed, young].map(|id| NewMedia { id, ..file(0, 10) });
    let store = store_with(&data, &files).await;
    for id in [old, needed, young] {
        let bytes = futures_util::stream::iter([Ok::<_, ()>("bytes")]);
        folder.receive(id, bytes, 10).await.unwrap();
    }
    sleeping(&store, 101, 7, Side::Meta, Some(needed)).await;

    assert_eq!(delete_before(&store, &folder, NOW).await.unwrap(), 1);
    for (id, here) in [(old, false), (needed, true), (young, true)] {
        assert_eq!(folder.path(id).exists(), here, "{id}");
        assert_eq!(get(&store, id).await.unwrap().is_some(), here, "{id}");
    }
    assert_eq!(delete(&store, &[needed, young]).await.unwrap(), 2);
}

#[test]
fn places_are_few_and_fewer_for_one_number() {
    let fetching = Fetching::default();
    let due = |number: u128, phone: u128| Due {
        id: id(number),
        phone: id(phone),
        source: None,
        name: String::new(),
        mime_type: None,
        attempts: 0,
    };
    let mut places: Vec<_> = (0..3)
        .map(|number| fetching.place(&due(number, 10)))
        .collect();
    assert!(places.iter().all(Option::is_some));
    assert!(
        fetching.place(&due(3, 10)).is_none(),
        "a fourth of one number"
    );
    assert_eq!(Fetching::busy(&fetching.snapshot()), [id(10)]);
    places.extend((4..9).map(|number| fetching.place(&due(number, number))));
    assert_eq!(fetching.snapshot().len(), AT_ONCE);
    assert!(fetching.place(&due(9, 9)).is_none(), "a ninth");
    places.truncate(2);
    assert!(
        fetching.place(&due(0, 10)).is_none(),
        "one that is being fetched"
    );
    assert!(fetching.place(&due(3, 10)).is_some());
}

#[test]
fn a_source_does_not_show_the_way_to_the_file() {
    let source = Source::Portal {
        url: "https://user:pass@portal.example/pub/?SIGN=secret".into(),
        declared_size: Some(5),
    };
    assert_eq!(format!("{source:?}"), "Portal(portal.example/…)");
    let text = serde_json::to_string(&source).unwrap();
    assert_eq!(serde_json::from_str::<Source>(&text).unwrap(), source);
}
