//! Writing how tries ended, many at once, each with its effects in the same transaction.

use std::{collections::HashSet, time::Duration};

use uuid::Uuid;

use crate::{
    app::App,
    store::{
        self,
        conversations::{self, Alias, AliasKind},
        lanes::{self, Claimed, Ending, NewTask, Priority, Side, Task},
        messages::{self, Change, Journey, MessageError, State},
    },
    time::Millis,
};

/// A try that ended, and its effects.
#[derive(Debug)]
pub(super) struct Settled {
    pub row: Claimed,
    pub ending: Ending,
    pub change: Option<Change>,
    /// Tasks that follow from it.
    pub tasks: Vec<NewTask>,
    /// The portal's chat of the conversation, once it is known.
    pub chat: Option<(Uuid, i64, Option<String>)>,
    /// The id that Meta gave for the recipient, where it differs from what is known.
    pub alias: Option<(Uuid, String)>,
    /// Whether somebody must be called: a message was given up although nobody refused it.
    pub alarm: bool,
}

impl Settled {
    pub(super) fn new(row: Claimed, ending: Ending) -> Self {
        Self {
            row,
            ending,
            change: None,
            tasks: Vec::new(),
            chat: None,
            alias: None,
            alarm: false,
        }
    }

    /// Adds a step to the message's journey and, where given, its new state.
    pub(super) fn tells(
        mut self,
        at: Millis,
        state: Option<State>,
        step: &str,
        detail: Option<&str>,
    ) -> Self {
        let Some(id) = self.row.message else {
            return self;
        };
        let change = self.change.get_or_insert_with(|| Change {
            id,
            state: None,
            wamid: None,
            error: None,
            at,
            journey: Journey::new(),
        });
        change.state = state.or(change.state);
        change.at = at;
        change.journey.step(at, step, detail);
        self
    }

    /// Says why the message failed.
    pub(super) fn because(mut self, error: MessageError) -> Self {
        if let Some(change) = &mut self.change {
            change.error = Some(error);
        }
        self
    }

    /// Adds a note for operators at the end of the conversation's lane towards the portal.
    pub(super) fn with_note(mut self, app: &App, text: String) -> Self {
        if let Some(conversation) = &self.row.conversation {
            let now = app.clock.now();
            self.tasks.push(NewTask {
                id: app.ids.next(),
                lane: conversation.id,
                side: Side::Portal,
                phone: self.row.phone,
                message: None,
                media: None,
                priority: Priority::Conversation,
                due_at: now,
                created_at: now,
                task: Task::Post {
                    external_id: format!("note-{}", app.ids.next().simple()),
                    text,
                    note: true,
                },
            });
        }
        self
    }
}

/// Writes all of it. A database that is away is waited for: what was sent must not be forgotten while we can remember.
pub(super) async fn settle(app: &App, settled: Vec<Settled>) {
    let mut pause = Duration::from_millis(50);
    loop {
        match write(app, &settled).await {
            Ok(()) => break,
            Err(error) if error.is_refusal() && settled.len() > 1 => {
                // One row is at fault; the others must not suffer for it.
                tracing::error!(%error, "settling together failed; settling one by one");
                for one in settled {
                    Box::pin(settle(app, vec![one])).await;
                }
                return;
            }
            Err(error) if error.is_refusal() => {
                tracing::error!(%error, row = %settled[0].row.id, "a try could not be settled");
                app.metrics.count("deliver", "unsettled");
                return;
            }
            Err(error) if error.is_conflict() => {
                tracing::warn!(%error, "settling met another writer; trying again");
                tokio::time::sleep(pause).await;
            }
            Err(error) => {
                tracing::error!(%error, "settling waits for the database");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
    for one in settled.iter().filter(|one| one.alarm) {
        raise_alarm(app, one).await;
    }
    let wakes: HashSet<(Uuid, Side)> = settled
        .iter()
        .flat_map(|one| &one.tasks)
        .map(|task| (task.phone, task.side))
        .collect();
    for (phone, side) in wakes {
        app.dispatcher.wake(phone, side);
    }
}

async fn raise_alarm(app: &App, settled: &Settled) {
    let Ending::Dead { reason } = &settled.ending else {
        return;
    };
    let (id, now) = (app.ids.next(), app.clock.now());
    let subject = settled.row.phone.to_string();
    let text = format!("Messages were given up and wait among the dead letters: {reason}");
    let raised =
        store::instances::raise_alarm(&app.store, id, now, "dead_letters", &subject, &text).await;
    if let Err(error) = raised {
        tracing::error!(%error, "an alarm could not be raised: {text}");
    }
}

async fn write(app: &App, settled: &[Settled]) -> Result<(), store::Error> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    // Tables in the order in which intake writes them, so that neither waits for the other in a circle.
    let chats: Vec<(Uuid, i64, Option<String>)> =
        settled.iter().filter_map(|one| one.chat.clone()).collect();
    conversations::set_portal_chats(&mut tx, &unique_chats(chats)).await?;
    for (conversation, wa_id) in settled.iter().filter_map(|one| one.alias.clone()) {
        learn_alias(&mut tx, conversation, &wa_id).await?;
    }
    let changes = settled
        .iter()
        .filter_map(|one| one.change.clone())
        .collect();
    messages::change(&mut tx, changes).await?;
    let mut endings: Vec<(&Claimed, Ending)> = settled
        .iter()
        .map(|one| (&one.row, one.ending.clone()))
        .collect();
    look_at_once(&mut tx, &mut endings, now).await?;
    lanes::settle(&mut tx, &endings, now).await?;
    let mut tasks: Vec<NewTask> = settled.iter().flat_map(|one| one.tasks.clone()).collect();
    confirm_at_once(&mut tx, &mut tasks, now).await?;
    lanes::enqueue(&mut tx, &tasks).await?;
    tx.commit().await
}

/// A send whose answer was lost waits for a status; where one came while this was being written, it waits for nothing.
async fn look_at_once(
    tx: &mut store::Transaction,
    endings: &mut [(&Claimed, Ending)],
    now: Millis,
) -> Result<(), store::Error> {
    let waits = |row: &Claimed, ending: &Ending| {
        row.side == Side::Meta && matches!(ending, Ending::Later { unknown: true, .. })
    };
    let waiting: Vec<Uuid> = endings
        .iter()
        .filter(|(row, ending)| waits(row, ending))
        .filter_map(|(row, _)| row.message)
        .collect();
    if waiting.is_empty() {
        return Ok(());
    }
    let states = messages::states(tx, &waiting).await?;
    for (row, ending) in endings {
        let state = row.message.and_then(|message| states.get(&message));
        let told = state.is_some_and(|state| state.rank() >= State::Sent.rank());
        if told
            && waits(row, ending)
            && let Ending::Later { at, .. } = ending
        {
            *at = now;
        }
    }
    Ok(())
}

/// A confirmation waits for Meta's `sent`, at most 40 seconds; where `sent` came before the answer it waits for nothing.
/// What failed already is not confirmed.
async fn confirm_at_once(
    tx: &mut store::Transaction,
    tasks: &mut Vec<NewTask>,
    now: Millis,
) -> Result<(), store::Error> {
    let confirming: Vec<Uuid> = tasks
        .iter()
        .filter(|task| matches!(task.task, Task::Confirm(_)))
        .map(|task| task.lane)
        .collect();
    if confirming.is_empty() {
        return Ok(());
    }
    let states = messages::states(tx, &confirming).await?;
    tasks.retain_mut(|task| {
        if !matches!(task.task, Task::Confirm(_)) {
            return true;
        }
        match states.get(&task.lane) {
            Some(State::Failed) => false,
            Some(State::Sent | State::Delivered | State::Read) => {
                task.due_at = now;
                true
            }
            _ => true,
        }
    });
    Ok(())
}

fn unique_chats(mut chats: Vec<(Uuid, i64, Option<String>)>) -> Vec<(Uuid, i64, Option<String>)> {
    let mut seen = HashSet::new();
    chats.sort_by_key(|(conversation, ..)| *conversation);
    chats
        .into_iter()
        .filter(|(conversation, ..)| seen.insert(*conversation))
        .collect()
}

/// Meta names the recipient as it knows it (Brazil, Mexico, Argentina); answers will come from that id.
async fn learn_alias(
    tx: &mut store::Transaction,
    conversation: Uuid,
    wa_id: &str,
) -> Result<(), store::Error> {
    let Some((person, account)) = conversations::person_of(tx, conversation).await? else {
        return Ok(());
    };
    let alias = Alias {
        account,
        kind: AliasKind::Phone,
        value: crate::person::canonical(wa_id),
    };
    conversations::add_alias(tx, &alias, person, wa_id).await
}
