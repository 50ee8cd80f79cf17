//! The transaction that a batch ends in.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{Lane, SetupChange, Work};
use crate::{
    app::App,
    intake::news,
    registry::{Connection, InstanceState, PhoneError},
    store::{
        self, Cell, Transaction,
        conversations::{self, Alias, Conversation},
        lanes::{self, Side, Task},
        messages::{self, Journey},
        receipts,
    },
};

impl Work<'_> {
    /// Writes everything in one transaction, then wakes whoever has work now.
    pub(crate) async fn write(mut self, app: &App) -> Result<(), store::Error> {
        let mut tx = app.store.begin().await?;
        self.write_identities(&mut tx);
        store::media::insert(&mut tx, &self.media);
        messages::insert(&mut tx, std::mem::take(&mut self.messages));
        store::interactive::keep_sent(&mut tx, &self.interactive);
        messages::change(&mut tx, std::mem::take(&mut self.changes));
        self.write_waiting(&mut tx).await?;
        self.write_calls(&mut tx).await?;
        for retold in &self.retold {
            let journey = Journey::new().with(self.now, "edited", Some("by the customer"));
            messages::retell(&mut tx, retold, self.now, journey);
        }
        lanes::drop_confirmations(&mut tx, &self.unconfirmed);
        lanes::enqueue(&mut tx, &self.tasks);
        for side in [Side::Portal, Side::Meta] {
            let due: Vec<Uuid> = self
                .due
                .iter()
                .filter(|(of, ..)| *of == side)
                .map(|(_, _, lane)| *lane)
                .collect();
            lanes::make_due(&mut tx, side, &due, self.now);
        }
        conversations::record_done(&mut tx, &self.deeds, self.now);
        store::events::keep(&mut tx, std::mem::take(&mut self.kept));
        for change in &self.setup {
            write_setup(&mut tx, change);
        }
        for one in &self.meta_news {
            news::write(&mut tx, self.ids, one, self.now).await?;
        }
        receipts::delete(&mut tx, &self.receipts);
        tx.commit().await?;
        for phone in &self.proven {
            app.doctor.proofs.outbound(*phone, self.now);
        }
        self.after(app).await
    }

    /// What begins to wait, what waits no longer, and what Bitrix24 hears of its orders.
    async fn write_waiting(&mut self, tx: &mut Transaction) -> Result<(), store::Error> {
        for (message, journey) in std::mem::take(&mut self.requeued) {
            messages::requeue(tx, message, self.now, journey);
        }
        for conversation in &self.closed {
            conversations::close_window(tx, *conversation, self.now);
        }
        if !self.freed.is_empty() {
            let taken = store::held::take(tx, &self.freed).await?;
            // Somebody else was faster: it went out as a template, or its time was over.
            let lost: Vec<Uuid> = self
                .freed
                .iter()
                .copied()
                .filter(|message| !taken.contains(message))
                .collect();
            self.tasks
                .retain(|task| task.message.is_none_or(|message| !lost.contains(&message)));
        }
        store::held::insert(tx, &self.held);
        for one in &self.refused {
            let (name, language) = (&one.name, &one.language);
            store::templates::refused(tx, one.phone, name, language, one.status, one.at);
        }
        store::orders::insert(tx, &self.orders);
        store::robot_uses::remember(tx, &self.robot_uses);
        if !self.news.is_empty() {
            let reports = store::orders::follow(tx, &self.news, self.now, self.ids).await?;
            self.tasks.extend(reports);
        }
        Ok(())
    }

    /// Calls, and a task for the portal for each of which something new was told.
    async fn write_calls(&mut self, tx: &mut Transaction) -> Result<(), store::Error> {
        for news in std::mem::take(&mut self.calls) {
            let id = self.ids.next();
            if let Some(call) = store::calls::hear(tx, &news, id, self.now).await? {
                let lane = Lane {
                    phone: news.phone,
                    conversation: call,
                };
                self.tell_portal(lane, None, None, Task::Call { call });
            }
        }
        for permission in &self.permissions {
            store::calls::permit(tx, permission);
        }
        Ok(())
    }

    fn write_identities(&self, tx: &mut Transaction) {
        let persons = self
            .persons
            .iter()
            .filter_map(|id| self.known.persons.get(id).cloned())
            .collect();
        conversations::save_persons(tx, persons);
        for (goes, stays) in &self.merged {
            conversations::merge_persons(tx, *goes, *stays);
        }
        conversations::delete_aliases(tx, &self.dropped_aliases);
        let mut last: HashMap<&Alias, Uuid> = HashMap::new();
        for (alias, person) in &self.aliases {
            last.insert(alias, *person);
        }
        let mut aliases: Vec<(Alias, Uuid)> = last
            .into_iter()
            .map(|(alias, person)| (alias.clone(), person))
            .collect();
        aliases.sort_unstable_by(|one, other| one.0.value.cmp(&other.0.value));
        conversations::save_aliases(tx, &aliases);
        let mut changed: Vec<Conversation> = self
            .conversations
            .iter()
            .filter_map(|key| self.known.conversations.get(key).cloned())
            .collect();
        changed.sort_unstable_by_key(|conversation| conversation.id);
        conversations::save(tx, changed);
        conversations::set_portal_chats(tx, &self.chats);
    }

    async fn after(self, app: &App) -> Result<(), store::Error> {
        for (kind, count) in &self.counts {
            app.metrics.add("intake", kind, *count);
        }
        app.metrics
            .add("intake", "receipts", self.receipts.len() as u64);
        for change in &self.setup {
            app.refresh(change.part()).await?;
        }
        if !self.meta_news.is_empty() {
            app.refresh_meta().await?;
            app.calls.wake();
        }
        if !self.setup.is_empty() {
            app.portals.wake();
        }
        if !self.media.is_empty() {
            app.media.wake();
        }
        let tasks = self.tasks.iter().map(|task| (task.phone, task.side));
        let due = self.due.iter().map(|(side, phone, _)| (*phone, *side));
        let wakes: HashSet<(Uuid, Side)> = tasks.chain(due).collect();
        for (phone, side) in wakes {
            app.dispatcher.wake(phone, side);
        }
        Ok(())
    }
}

fn write_setup(tx: &mut Transaction, change: &SetupChange) {
    match change {
        SetupChange::Disconnected { phone, error } => {
            let error = serde_json::to_string(error).ok();
            tx.write(
                "UPDATE phones SET connection = $1, error = $2 WHERE id = $3",
                &[
                    Connection::Error.as_str().into(),
                    error.into(),
                    (*phone).into(),
                ],
            );
        }
        SetupChange::Uninstalled { instance } => {
            let problem = "The application was removed from the portal. Install it again to go on.";
            tx.write(
                "UPDATE instances SET state = $1, problem = $2 WHERE id = $3",
                &[
                    InstanceState::Uninstalled.as_str().into(),
                    problem.into(),
                    (*instance).into(),
                ],
            );
            let error = PhoneError {
                code: "UNINSTALLED".to_owned(),
                title: problem.to_owned(),
                ..PhoneError::default()
            };
            tx.write(
                "UPDATE phones SET connection = $1, error = $2 WHERE instance_id = $3",
                &[
                    Connection::Error.as_str().into(),
                    Cell::MaybeText(serde_json::to_string(&error).ok()),
                    (*instance).into(),
                ],
            );
        }
        SetupChange::Republish { instance } => {
            tx.write(
                "UPDATE phones SET connection = $1 WHERE instance_id = $2",
                &[Connection::Pending.as_str().into(), (*instance).into()],
            );
        }
    }
}
