//! 2 Takes receipts in order, looks up what is known, has them translated, and writes the effect in one transaction
//! with "receipt done".
//!
//! Many receipts share a transaction. Where a batch fails or a receipt makes the translation panic, its receipts are
//! taken one by one, so that the one at fault is set aside (visible among the events) and all others go on. Effects of a
//! failed attempt are never written.
//!
//! One task does this, so receipts keep their order. While the doors are pressed for the disk, intake leaves them most
//! of it: what is acknowledged can wait, what is not acknowledged cannot.

mod calls;
pub(crate) mod codes;
mod from_bitrix;
pub(crate) mod from_meta;
pub(crate) mod hold;
pub(crate) mod known;
pub(crate) mod news;
mod orders;
pub(crate) mod work;
pub(crate) mod wrap;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, MutexGuard, Notify},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::known::callback_data;
use self::{known::Known, work::Work};
use crate::{
    app::App,
    store::{
        self,
        events::{Kept, State},
        receipts::{self, Receipt, Source},
    },
};

/// Receipts in one transaction.
const BATCH: i64 = 128;
/// Bytes of receipts in memory at once, beyond the first receipt.
const BATCH_BYTES: i64 = 2 * 1024 * 1024;
/// How often the store is looked at without being told to.
const POLL: Duration = Duration::from_secs(2);
/// The longest that intake makes way for doors that are pressed.
const LONGEST_REST: Duration = Duration::from_millis(300);

/// Wakes intake, and holds it while numbers are entered.
#[derive(Debug, Clone, Default)]
pub struct Intake {
    wake: Arc<Notify>,
    turn: Arc<Mutex<()>>,
}

impl Intake {
    /// Tells intake that there are receipts. An optimization: it also looks by itself.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Holds translation. Whoever enters a number does so within a turn, up to and with [`phone_entered`]: else a
    /// callback could be kept for the number just after it was looked for, or a new one overtake those that were kept.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }
}

/// A number was entered, within a [turn](Intake::turn): what was kept for it is translated now.
pub async fn phone_entered(app: &App, phone_number_id: &str) -> Result<(), store::Error> {
    if store::events::release(&app.store, phone_number_id).await? > 0 {
        app.intake.wake();
    }
    Ok(())
}

/// An account was entered, within a [turn](Intake::turn): what was kept for it is translated now.
pub async fn account_entered(app: &App, waba_id: &str) -> Result<(), store::Error> {
    if store::events::release_account(&app.store, waba_id).await? > 0 {
        app.intake.wake();
    }
    Ok(())
}

/// Translates receipts until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut pause = Duration::ZERO;
    loop {
        let begun = Instant::now();
        match translate_batch(&app).await {
            Ok(0) => {
                pause = Duration::ZERO;
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = app.intake.wake.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
            }
            Ok(_) => {
                pause = Duration::ZERO;
                if stop.is_cancelled() {
                    return;
                }
                let pressure = app.committer.pressure();
                pressure.make_way(begun.elapsed(), LONGEST_REST).await;
            }
            Err(error) => {
                // The database is away or full. Nothing is lost: the receipts are still there.
                pause = (pause * 2).clamp(Duration::from_millis(50), Duration::from_secs(5));
                if error.is_conflict() {
                    tracing::warn!(%error, "intake met another writer; trying again");
                } else {
                    tracing::error!(%error, "receipts could not be translated; trying again");
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
}

/// Translates the oldest receipts; gives how many there were.
async fn translate_batch(app: &Arc<App>) -> Result<usize, store::Error> {
    let _turn = app.intake.turn().await;
    let receipts = receipts::oldest(&app.store, BATCH, BATCH_BYTES).await?;
    if receipts.is_empty() {
        return Ok(0);
    }
    let count = receipts.len();
    match translate(app, &receipts).await {
        Ok(()) => return Ok(count),
        Err(Failure::Store(error)) if !error.is_refusal() => return Err(error),
        Err(failure) if count == 1 => {
            set_aside(app, receipts, &failure).await?;
            return Ok(1);
        }
        Err(failure) => {
            tracing::warn!(%failure, receipts = count, "a batch failed; taking its receipts one by one");
        }
    }
    for receipt in receipts {
        let receipt = [receipt];
        // A second try finds what another writer stored in between, such as a person made by the API.
        let mut outcome = translate(app, &receipt).await;
        if matches!(outcome, Err(Failure::Store(_))) {
            outcome = translate(app, &receipt).await;
        }
        match outcome {
            Ok(()) => {}
            Err(Failure::Store(error)) if !error.is_refusal() => return Err(error),
            Err(failure) => set_aside(app, receipt.into(), &failure).await?,
        }
    }
    Ok(count)
}

/// Why receipts could not be translated.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the translation failed: {0}")]
    Panic(String),
}

async fn translate(app: &Arc<App>, receipts: &[Receipt]) -> Result<(), Failure> {
    let registry = app.directory.snapshot();
    let parsed = guarded(|| receipts.iter().map(Parsed::read).collect::<Vec<_>>())?;
    let now = app.clock.now();
    let known = Known::load(&app.store, &registry, receipts, &parsed, now).await?;
    let work = guarded(|| {
        let mut work = Work::new(&registry, known, now, &app.ids);
        for (receipt, parsed) in receipts.iter().zip(&parsed) {
            work.begin(receipt);
            match parsed {
                Parsed::Meta(callback) => from_meta::apply(&mut work, receipt, callback),
                Parsed::Bitrix(event) => from_bitrix::apply(&mut work, receipt, event),
                Parsed::Sms(order) => orders::apply_sms(&mut work, receipt, order),
                Parsed::Robot(order) => orders::apply_robot(&mut work, receipt, order),
                Parsed::NotUnderstood(why) => work.keep(State::NotUnderstood, why.clone()),
            }
            work.end(receipt);
        }
        work
    })?;
    work.write(app).await?;
    Ok(())
}

/// A receipt as its client library reads it.
pub(crate) enum Parsed {
    Meta(whatsapp::webhook::Callback),
    Bitrix(Box<bitrix24::events::Event>),
    Sms(Box<bitrix24::sms::Request>),
    Robot(Box<bitrix24::bizproc::Request>),
    NotUnderstood(String),
}

impl Parsed {
    fn read(receipt: &Receipt) -> Self {
        match receipt.source {
            Source::Meta => match whatsapp::webhook::parse(&receipt.body) {
                Ok(callback) => Self::Meta(callback),
                Err(error) => Self::NotUnderstood(error.to_string()),
            },
            Source::Bitrix => match bitrix24::events::Event::parse(&receipt.body) {
                Ok(event) => Self::Bitrix(Box::new(event)),
                Err(error) => Self::NotUnderstood(error.to_string()),
            },
            Source::Sms => match bitrix24::sms::Request::parse(&receipt.body) {
                Ok(order) => Self::Sms(Box::new(order)),
                Err(error) => Self::NotUnderstood(error.to_string()),
            },
            Source::Robot => match bitrix24::bizproc::Request::parse(&receipt.body) {
                Ok(order) => Self::Robot(Box::new(order)),
                Err(error) => Self::NotUnderstood(error.to_string()),
            },
        }
    }
}

/// Runs pure code so that its panic becomes an error: one poisonous receipt must not stop the others.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, Failure> {
    std::panic::catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Failure::Panic(text.to_owned())
    })
}

async fn set_aside(
    app: &App,
    receipts: Vec<Receipt>,
    failure: &Failure,
) -> Result<(), store::Error> {
    let ids: Vec<_> = receipts.iter().map(|receipt| receipt.id).collect();
    tracing::error!(%failure, receipt = ?ids, "a receipt could not be translated and was set aside");
    app.metrics.add("receipts", "poison", ids.len() as u64);
    let kept = receipts
        .into_iter()
        .map(|receipt| Kept {
            receipt,
            state: State::Poison,
            error: Some(failure.to_string()),
            phone_number_id: None,
            waba_id: None,
        })
        .collect();
    let mut tx = app.store.begin().await?;
    store::events::keep(&mut tx, kept);
    receipts::delete(&mut tx, &ids);
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_translation_is_an_error_that_tells_its_reason() {
        let text = |failure: Failure| match failure {
            Failure::Panic(text) => text,
            Failure::Store(error) => error.to_string(),
        };
        let written: Result<(), Failure> = guarded(|| panic!("receipt {}", 7));
        assert_eq!(written.map_err(text), Err("receipt 7".to_owned()));
        let fixed: Result<(), Failure> = guarded(|| panic!("a fixed reason"));
        assert_eq!(fixed.map_err(text), Err("a fixed reason".to_owned()));
        let other: Result<(), Failure> = guarded(|| std::panic::panic_any(7));
        assert_eq!(other.map_err(text), Err("no reason given".to_owned()));
        assert!(matches!(guarded(|| 7), Ok(7)));
    }

    #[test]
    fn a_panic_does_not_count_as_the_databases_fault() {
        let failure = guarded(|| -> () { panic!("x") }).err();
        // The database's fault is waited for; this one is set aside.
        assert!(!matches!(failure, Some(Failure::Store(_)) | None));
    }
}
