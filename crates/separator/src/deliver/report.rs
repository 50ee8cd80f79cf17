//! Telling Bitrix24 what became of a message that it asked for as an SMS or by a robot.
//!
//! Such a call may be repeated: a status that is known already and a step that is over change nothing there.

use std::sync::Arc;

use bitrix24::{Call, Class, bizproc, sms};
use serde_json::json;

use super::{outcome, pace::Pace, settle::Settled};
use crate::{
    app::App,
    portal::{self, CallError},
    registry::Instance,
    store::{
        lanes::{Claimed, Ending, Report, Task},
        messages::MessageError,
    },
    time::Millis,
    translate::{message::Language, notes},
};

/// A portal writes an SMS down after it has posted it; one that it does not know after this many tries it never will.
const UNKNOWN_TRIES: i64 = 8;

/// The journey's word for a report that the portal took.
const TOLD: &str = "told to Bitrix24";
/// The journey's word for a report that it will never take.
const NOT_TOLD: &str = "not told to Bitrix24";

/// How a report ended, or the error that is the whole portal's.
pub(super) enum Told {
    /// It is over.
    Settled(Box<Settled>),
    /// The portal cannot be called at present.
    Failed(Box<Claimed>, CallError, String),
}

/// Makes one report.
pub(super) async fn tell(app: &Arc<App>, instance: &Instance, pace: &Pace, row: Claimed) -> Told {
    let now = app.clock.now();
    let Task::Report(report) = &row.task else {
        return Told::Settled(Box::new(Settled::new(row, Ending::Done)));
    };
    let (call, what) = call_for(report, instance.language);
    match portal::call(app, instance, &call.method, &call.params).await {
        Ok(_) => {
            if pace.works() {
                portal::works_again(app, instance.id).await;
            }
            let settled = Settled::new(row, Ending::Done).tells(now, None, TOLD, Some(&what));
            Told::Settled(Box::new(settled))
        }
        Err(error) => {
            let why = format!("{what}: {error}");
            judge(row, error, why, app.clock.now())
        }
    }
}

fn judge(row: Claimed, error: CallError, why: String, now: Millis) -> Told {
    if let CallError::Rest(rest) = &error {
        if sms::is_unknown_message(rest) && row.attempts < UNKNOWN_TRIES {
            let ending = outcome::again(row.attempts, row.created_at, now, &why);
            return Told::Settled(Box::new(Settled::new(row, ending)));
        }
        // A step that is over, a message of somebody else's, a permission that was never given: only this call is
        // concerned, and repeating it changes nothing.
        if matches!(rest.class(), Class::Refused | Class::Publish)
            || rest.code().is_some_and(is_about_the_call)
        {
            let settled = Settled::new(row, Ending::Done).tells(now, None, NOT_TOLD, Some(&why));
            return Told::Settled(Box::new(settled));
        }
    }
    Told::Failed(Box::new(row), error, why)
}

fn is_about_the_call(code: &str) -> bool {
    [
        "ACCESS_DENIED",
        "insufficient_scope",
        "ERROR_METHOD_NOT_FOUND",
        "ERROR_MESSAGE_NOT_FOUND",
    ]
    .iter()
    .any(|known| known.eq_ignore_ascii_case(code))
}

/// Why a message failed, as operators read it.
fn why(failure: &MessageError, language: Language) -> String {
    match failure.code.parse() {
        Ok(code) => notes::failure(
            Some(code),
            &failure.title,
            failure.details.as_deref(),
            language,
        ),
        // A word of this program's: the title says everything.
        Err(_) => failure.title.clone(),
    }
}

/// The call and what it tells, in words for the journey.
fn call_for(report: &Report, language: Language) -> (Call, String) {
    match report {
        Report::Sms { code, sms, status } => {
            let what = format!("SMS {sms} is {status}");
            (sms::status(code, sms, status), what)
        }
        Report::Robot {
            event_token,
            message,
            status,
            error,
            failure,
        } => {
            let error = failure
                .as_ref()
                .map_or_else(|| error.clone(), |failure| why(failure, language));
            let results = json!({ "message_id": message, "status": status, "error": error });
            let log = if error.is_empty() {
                format!("WhatsApp: {status}")
            } else {
                format!("WhatsApp: {status}. {error}")
            };
            let what = format!("the step of the workflow ends with {status}");
            (bizproc::answer(event_token, &results, &log), what)
        }
    }
}
