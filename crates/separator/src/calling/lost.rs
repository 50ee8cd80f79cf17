//! Calls whose end was never told. Meta repeats callbacks for days, but not what never left it, and asking how a call
//! ended is not possible; without an end the call would go on in the CRM for ever. After the longest call that is thought
//! possible it is finished there as one of which nobody knows how it ended. An end that comes later is taken over here;
//! the CRM takes none twice.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    store::{
        self, calls,
        lanes::{self, NewTask, Priority, Side, Task},
    },
    time::Millis,
};

/// How often it is looked for them, at most.
const ROUND: Duration = Duration::from_mins(1);
/// How many are taken at once.
const PIECE: i64 = 100;

/// Looks for them until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let round = ROUND.min(app.settings.longest_call / 2);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(round) => {}
        }
        if let Err(error) = look_around(&app).await {
            tracing::warn!(%error, "calls without an end could not be looked at; the next round tries again");
        }
    }
}

async fn look_around(app: &App) -> Result<(), store::Error> {
    let now = app.clock.now();
    let limit = app.settings.longest_call;
    let why = format!("WhatsApp told nothing more for {}", readable(limit));
    for call in calls::going_on_since(&app.store, now - limit, PIECE).await? {
        let mut tx = app.store.begin().await?;
        if !calls::lose(&mut tx, call.id, now, &why).await? {
            continue;
        }
        lanes::enqueue(&mut tx, &[task(app, call, now)]);
        tx.commit().await?;
        tracing::info!(call = %call.id, "a call is finished without its end");
        app.dispatcher.wake(call.phone, Side::Portal);
    }
    Ok(())
}

fn task(app: &App, call: calls::Open, now: Millis) -> NewTask {
    NewTask {
        id: app.ids.next(),
        lane: call.id,
        side: Side::Portal,
        phone: call.phone,
        message: None,
        media: None,
        priority: Priority::Conversation,
        due_at: now,
        created_at: now,
        task: Task::Call { call: call.id },
    }
}

fn readable(limit: Duration) -> String {
    let minutes = limit.as_secs() / 60;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{} s", limit.as_secs()),
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_said_in_hours_and_minutes() {
        for (seconds, said) in [
            (14_400, "4 h"),
            (5_400, "1 h 30 min"),
            (600, "10 min"),
            (5, "5 s"),
        ] {
            assert_eq!(readable(Duration::from_secs(seconds)), said);
        }
    }
}
