//! Writing that tries begin and how they ended, each with its effects in the same transaction.
//!
//! All workers write through one ledger: while one transaction is being committed, what the others have to write
//! gathers and shares the next. A thousand portals with a message each cost a few commits, not thousands.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    account,
    app::App,
    store::{
        self,
        conversations::{self, Alias, AliasKind},
        held::{self, Held},
        lanes::{self, Claimed, Ending, NewTask, Priority, Side, Task},
        messages::{self, Change, Journey, MessageError, State},
        orders::{self, News},
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
    /// The message, where it leaves its lane to wait for its customer.
    pub held: Option<Held>,
    /// The conversation, where Meta says that its customer wants no marketing messages.
    pub opted_out: Option<Uuid>,
    /// The status that Meta says its template has, where it refused it for that.
    pub refused: Option<&'static str>,
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
            held: None,
            opted_out: None,
            refused: None,
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
            sent_task: None,
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

/// What a worker has to write.
#[derive(Debug)]
pub(super) struct Entry {
    /// Rows whose try begins.
    started: Vec<Uuid>,
    /// Rows whose try ended.
    settled: Vec<Settled>,
    answer: oneshot::Sender<Result<(), NotWritten>>,
}

/// The database did not take it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotWritten(String);

/// Entries that may share a transaction.
const GROUP: usize = 256;

/// The longest that the ledger makes way for doors that are pressed.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// Records that tries begin. From then on their outcome is unknown until they are settled, also after a crash.
pub(super) async fn mark_started(app: &App, rows: Vec<Uuid>) -> Result<(), NotWritten> {
    hand_in(app, rows, Vec::new()).await
}

/// Writes how tries ended. A database that is away is waited for: what was sent must not be forgotten while we can
/// remember.
pub(super) async fn settle(app: &App, settled: Vec<Settled>) {
    // Only a ledger that ended with the program does not answer; the marks of the tries are on disk then.
    if let Err(error) = hand_in(app, Vec::new(), settled).await {
        tracing::error!(%error, "a try could not be settled");
    }
}

async fn hand_in(app: &App, started: Vec<Uuid>, settled: Vec<Settled>) -> Result<(), NotWritten> {
    let gone = || NotWritten("the program is stopping".to_owned());
    let (answer, written) = oneshot::channel();
    let entry = Entry {
        started,
        settled,
        answer,
    };
    app.dispatcher
        .ledger
        .send(entry)
        .await
        .map_err(|_closed| gone())?;
    written.await.map_err(|_gone| gone())?
}

/// The one task that writes entries, many in a transaction. Gives the entries' way in back when it is closed.
pub(super) async fn keep_ledger(
    app: Arc<App>,
    mut entries: mpsc::Receiver<Entry>,
    closing: CancellationToken,
) -> mpsc::Receiver<Entry> {
    let mut group = Vec::with_capacity(GROUP);
    loop {
        tokio::select! {
            // What was handed in before closing is written.
            biased;
            _ = entries.recv_many(&mut group, GROUP) => {}
            () = closing.cancelled() => return entries,
        }
        let begun = Instant::now();
        let (mut started, mut settled, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for entry in group.drain(..) {
            answers.push((entry.answer, entry.settled.is_empty()));
            started.extend(entry.started);
            settled.extend(entry.settled);
        }
        let mut written = write(&app, &started, &settled).await;
        while written.as_ref().is_err_and(store::Error::is_conflict) {
            tracing::warn!("another writer was in the way; writing again");
            written = write(&app, &started, &settled).await;
        }
        let marked = match written {
            Ok(()) => Ok(()),
            // What begins can be told that it may not; what ended must be written.
            Err(error) => {
                tracing::error!(%error, "what was tried could not be written at once");
                write_what_ended(&app, &settled).await;
                Err(NotWritten(error.to_string()))
            }
        };
        for (answer, only_begins) in answers {
            // A worker that ended no longer waits for the answer.
            let _ = answer.send(if only_begins { marked.clone() } else { Ok(()) });
        }
        after(&app, &settled).await;
        let pressure = app.committer.pressure();
        pressure.make_way(begun.elapsed(), LONGEST_REST).await;
    }
}

/// Writes endings until they are written; one that the database refuses is written down as lost, and the others go on.
async fn write_what_ended(app: &App, settled: &[Settled]) {
    for one in settled {
        let mut pause = Duration::from_millis(50);
        while let Err(error) = write(app, &[], std::slice::from_ref(one)).await {
            if error.is_refusal() {
                tracing::error!(%error, row = %one.row.id, "a try could not be settled");
                app.metrics.count("deliver", "unsettled");
                break;
            }
            tracing::error!(%error, "settling waits for the database");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }
}

/// Wakes who has work now and calls somebody where it is needed.
async fn after(app: &App, settled: &[Settled]) {
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
    if let Ending::Dead { reason } = &settled.ending {
        let text = format!("Messages were given up and wait among the dead letters: {reason}");
        account::gave_up(app, settled.row.phone, &text).await;
    }
}

async fn write(app: &App, started: &[Uuid], settled: &[Settled]) -> Result<(), store::Error> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    // Tables in the order in which intake writes them, so that neither waits for the other in a circle.
    let chats: Vec<(Uuid, i64, Option<String>)> =
        settled.iter().filter_map(|one| one.chat.clone()).collect();
    conversations::set_portal_chats(&mut tx, &unique_chats(chats));
    for (conversation, wa_id) in settled.iter().filter_map(|one| one.alias.clone()) {
        learn_alias(&mut tx, conversation, &wa_id).await?;
    }
    for conversation in settled.iter().filter_map(|one| one.opted_out) {
        conversations::stop_marketing(&mut tx, conversation, now);
    }
    let changes = settled
        .iter()
        .filter_map(|one| one.change.clone())
        .collect();
    messages::change(&mut tx, changes);
    let held: Vec<Held> = settled.iter().filter_map(|one| one.held.clone()).collect();
    for held in held.iter().filter(|held| held.why.is_none()) {
        conversations::close_window(&mut tx, held.conversation, held.held_at);
    }
    held::insert(&mut tx, &held);
    for (one, status) in settled.iter().filter_map(|one| Some((one, one.refused?))) {
        if let Task::Template { name, language, .. } = &one.row.task {
            store::templates::refused(&mut tx, one.row.phone, name, language, status, now);
        }
    }
    let mut endings: Vec<(&Claimed, Ending)> = settled
        .iter()
        .map(|one| (&one.row, one.ending.clone()))
        .collect();
    look_at_once(&mut tx, &mut endings, now).await?;
    lanes::mark_started(&mut tx, started, now);
    lanes::settle(&mut tx, &endings, now);
    let mut tasks: Vec<NewTask> = settled.iter().flat_map(|one| one.tasks.clone()).collect();
    confirm_at_once(&mut tx, &mut tasks, now).await?;
    let news: Vec<News> = settled.iter().filter_map(news).collect();
    if !news.is_empty() {
        tasks.extend(orders::follow(&mut tx, &news, now, &app.ids).await?);
    }
    lanes::enqueue(&mut tx, &tasks);
    tx.commit().await
}

/// What Bitrix24 may want to hear of a try towards Meta.
fn news(settled: &Settled) -> Option<News> {
    let ordered = matches!(settled.row.origin.as_deref(), Some("sms" | "robot"));
    let change = settled
        .change
        .as_ref()
        .filter(|_| ordered && settled.row.side == Side::Meta)?;
    let failed = change.state == Some(State::Failed);
    (failed || change.wamid.is_some()).then(|| News {
        message: change.id,
        state: change.state.filter(|_| failed),
        error: change.error.clone(),
    })
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
/// What failed already, or waits for its customer, is not confirmed.
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
    let states = held::states(tx, &confirming).await?;
    tasks.retain_mut(|task| {
        if !matches!(task.task, Task::Confirm(_)) {
            return true;
        }
        match states.get(&task.lane) {
            Some((State::Failed, _) | (_, true)) => false,
            Some((State::Sent | State::Delivered | State::Read, false)) => {
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
    conversations::add_alias(tx, &alias, person, wa_id);
    Ok(())
}

#[cfg(test)]
mod tests;
