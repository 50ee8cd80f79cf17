//! Telling Bitrix24 of a call, until its CRM has what we know of it.
//!
//! One call of REST at a time: who is responsible, register, show, finish. After each the call's row says how far it
//! came, so whatever is cut goes on from there. Registering may be repeated, because Bitrix24 knows the call again by
//! Meta's id; finishing may be as well, because a call that is finished is not found any more.

use std::{sync::Arc, time::Duration};

use bitrix24::{
    Call, Class,
    lines::{Dialog, dialog_get},
    telephony::{self, Registration},
};

use super::{outcome, pace::Pace, report::Told as Outcome, settle::Settled};
use crate::{
    app::App,
    doctor::{Text, text},
    portal::{self, CallError},
    registry::Instance,
    store::{
        self,
        calls::{self, Known, Told},
        instances,
        lanes::{Claimed, Ending, Task},
    },
    time::Millis,
    translate::{message::Language, notes::Words},
};

/// Kind of the alarm that a portal does not take calls; the subject is the portal's id.
pub const TELEPHONY_ALARM: &str = "telephony";

/// How long a call waits for a permission before it is looked at again.
const NO_SCOPE: Duration = Duration::from_secs(30);
/// How long it waits where the portal itself said so.
const REFUSED: Duration = Duration::from_mins(10);
/// Bitrix24 wants an employee for every call; this is who set up the portal.
const FIRST_USER: i64 = 1;
/// What stands in place of a number that the caller hides. Digits of a user id would be found as somebody's number.
const HIDDEN: &str = "anonymous";

/// What the portal is to be told next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Search,
    Chat,
    Register,
    Show,
    Finish,
}

fn next(call: &Told) -> Option<Step> {
    let over = call.outcome != calls::Outcome::Active;
    match (call.known, call.responsible) {
        (Known::Finished, _) => None,
        (Known::Waits, None) if call.wa_id.is_some() => Some(Step::Search),
        (Known::Waits, None) if call.im_chat_id.is_some() => Some(Step::Chat),
        (Known::Waits, _) => Some(Step::Register),
        (Known::Registered | Known::Finishing, _) if over => Some(Step::Finish),
        (Known::Registered | Known::Finishing, _) => (!call.shown).then_some(Step::Show),
    }
}

/// Whether an installation was allowed to tell of calls; where it does not say what it was allowed, the portal will.
pub fn is_allowed(instance: &Instance) -> bool {
    let mut scopes = instance
        .scope
        .split([',', ' '])
        .filter(|scope| !scope.is_empty());
    instance.scope.trim().is_empty() || scopes.any(|scope| scope.eq_ignore_ascii_case("telephony"))
}

/// Makes the next step of one call.
pub(super) async fn tell(
    app: &Arc<App>,
    instance: &Instance,
    pace: &Pace,
    row: Claimed,
) -> Outcome {
    let Task::Call { call } = &row.task else {
        return settled(row, Ending::Done);
    };
    let now = app.clock.now();
    let told = match calls::to_tell(&app.store, *call).await {
        Ok(Some(told)) => told,
        // The number was deleted, and its calls with it.
        Ok(None) => return settled(row, Ending::Done),
        Err(error) => return unwritten(row, &error, now),
    };
    let Some(step) = next(&told) else {
        return settled(row, Ending::Done);
    };
    if !is_allowed(instance) {
        return not_allowed(app, instance, row, &told, Forbidden::Scope, NO_SCOPE).await;
    }
    if step == Step::Finish
        && told.known != Known::Finishing
        && let Err(error) = begin_finishing(app, &told).await
    {
        return unwritten(row, &error, now);
    }
    let request = request(&told, step, user(&told, instance), instance.language);
    match portal::call(app, instance, &request.method, &request.params).await {
        Ok(answer) => {
            if pace.works() {
                portal::works_again(app, instance.id).await;
            }
            went(app, instance, row, told, step, &answer.result).await
        }
        Err(error) => failed(app, instance, row, told, step, error).await,
    }
}

fn user(call: &Told, instance: &Instance) -> i64 {
    call.responsible
        .or(instance.installer_id)
        .unwrap_or(FIRST_USER)
}

fn phone(call: &Told) -> String {
    call.wa_id
        .as_deref()
        .map_or_else(|| HIDDEN.to_owned(), |digits| format!("+{digits}"))
}

/// Why a call did not come to people speaking, for those who look at it in the CRM.
fn reason(call: &Told, language: Language) -> Option<String> {
    let unknown = Words {
        english: "WhatsApp did not tell how the call ended.",
        russian: "WhatsApp не сообщил, как закончился звонок.",
    };
    let lost = call.outcome == calls::Outcome::Unknown;
    let unknown = lost.then(|| unknown.in_language(language).to_owned());
    unknown.or_else(|| call.error.clone())
}

fn request(call: &Told, step: Step, user: i64, language: Language) -> Call {
    let id = call.crm_call_id.as_deref().unwrap_or_default();
    match step {
        Step::Search => telephony::search_crm(&phone(call)),
        Step::Chat => dialog_get(call.im_chat_id.unwrap_or_default()),
        Step::Register => Registration {
            external_id: call.wacid.clone(),
            user,
            phone: phone(call),
            outgoing: call.outgoing,
            began: began(call.began_at),
            creates_lead: call.entity.is_none() && call.wa_id.is_some(),
            entity: call.entity.clone(),
        }
        .call(),
        Step::Show => telephony::show(id, user),
        Step::Finish => telephony::finish(
            id,
            user,
            call.duration,
            call.outcome.code(),
            reason(call, language).as_deref(),
        ),
    }
}

/// As PHP reads it: without parts of a second.
fn began(at: Millis) -> String {
    let text = at.to_string();
    format!("{}+00:00", text.get(..19).unwrap_or(&text))
}

async fn begin_finishing(app: &App, call: &Told) -> Result<(), store::Error> {
    let begun = Told {
        known: Known::Finishing,
        ..call.clone()
    };
    let now = app.clock.now();
    calls::tell(&app.store, &begun, None, now, "finishing", None).await
}

/// The portal took a step: it is written down, and the next one follows at once.
async fn went(
    app: &App,
    instance: &Instance,
    row: Claimed,
    mut call: Told,
    step: Step,
    result: &serde_json::Value,
) -> Outcome {
    let now = app.clock.now();
    let mut activity = None;
    let (word, detail) = match step {
        Step::Search => {
            let found = telephony::read_matches(result).into_iter().next();
            call.responsible = found
                .as_ref()
                .and_then(|found| found.responsible)
                .or(Some(user(&call, instance)));
            call.entity = found.map(|found| (found.entity_type, found.entity_id));
            ("looked up in the CRM", entity(&call))
        }
        Step::Chat => {
            let known = Dialog::read(result).map(|dialog| dialog.crm);
            call.entity = known.and_then(|mut entries| {
                entries.sort_by_key(|(kind, _)| {
                    ["CONTACT", "COMPANY", "LEAD", "DEAL"]
                        .iter()
                        .position(|one| one == kind)
                });
                entries.into_iter().next()
            });
            call.responsible = Some(user(&call, instance));
            ("looked up in the chat", entity(&call))
        }
        Step::Register => {
            let Some(registered) = telephony::read_registered(result) else {
                let why = "the portal gave no id for the call";
                note(app, &call, why).await;
                let ending = outcome::again(row.attempts, row.created_at, now, why);
                return settled(row, ending);
            };
            call.responsible = Some(user(&call, instance));
            call.known = Known::Registered;
            call.entity = registered.entity.or(call.entity);
            let id = registered.call_id.clone();
            call.crm_call_id = Some(registered.call_id);
            ("registered in Bitrix24", Some(id))
        }
        Step::Show => {
            call.shown = true;
            let user = user(&call, instance);
            ("shown to the employee", Some(format!("employee {user}")))
        }
        Step::Finish => {
            call.known = Known::Finished;
            activity = telephony::read_activity(result);
            ("in the CRM", activity.map(|id| format!("activity {id}")))
        }
    };
    if let Err(error) = calls::tell(&app.store, &call, activity, now, word, detail.as_deref()).await
    {
        return unwritten(row, &error, now);
    }
    if step == Step::Register {
        let subject = instance.id.to_string();
        if let Err(error) = instances::clear_alarm(&app.store, now, TELEPHONY_ALARM, &subject).await
        {
            tracing::warn!(%error, "an alarm could not be cleared");
        }
    }
    let ending = if next(&call).is_none() {
        Ending::Done
    } else {
        outcome::wait(now, Duration::ZERO)
    };
    settled(row, ending)
}

fn entity(call: &Told) -> Option<String> {
    let (kind, id) = call.entity.as_ref()?;
    Some(format!("{kind} {id}"))
}

async fn failed(
    app: &Arc<App>,
    instance: &Instance,
    row: Claimed,
    mut call: Told,
    step: Step,
    error: CallError,
) -> Outcome {
    let now = app.clock.now();
    let why = format!("{step:?}: {error}");
    if let CallError::Rest(rest) = &error {
        if step == Step::Finish && telephony::is_unknown_call(rest) {
            let (known, word) = if call.known == Known::Finishing {
                // An earlier try, whose answer was lost, had finished it.
                (Known::Finished, "found finished")
            } else {
                // The portal forgot it meanwhile.
                call.crm_call_id = None;
                (Known::Waits, "registered anew")
            };
            call.known = known;
            if let Err(error) = calls::tell(&app.store, &call, None, now, word, Some(&why)).await {
                return unwritten(row, &error, now);
            }
            return settled(row, outcome::wait(now, Duration::ZERO));
        }
        if rest.code().is_some_and(is_a_permission) {
            return not_allowed(app, instance, row, &call, Forbidden::Said(why), REFUSED).await;
        }
        // What only helps is not waited for: a chat that is gone, a card that cannot be shown.
        if rest.class() == Class::Refused && matches!(step, Step::Search | Step::Chat | Step::Show)
        {
            call.responsible = Some(user(&call, instance));
            call.shown |= step == Step::Show;
            if let Err(error) = calls::tell(
                &app.store,
                &call,
                None,
                now,
                "refused by the portal",
                Some(&why),
            )
            .await
            {
                return unwritten(row, &error, now);
            }
            return settled(row, outcome::wait(now, Duration::ZERO));
        }
    }
    note(app, &call, &why).await;
    Outcome::Failed(Box::new(row), error, why)
}

fn is_a_permission(code: &str) -> bool {
    [
        "insufficient_scope",
        "ACCESS_DENIED",
        "ERROR_METHOD_NOT_FOUND",
        "WRONG_AUTH_TYPE",
    ]
    .iter()
    .any(|known| known.eq_ignore_ascii_case(code))
}

/// Why a portal takes no calls.
enum Forbidden {
    /// The application was not granted what it takes.
    Scope,
    /// The portal said so.
    Said(String),
}

impl Forbidden {
    fn why(&self) -> &str {
        match self {
            Self::Scope => calls::NO_SCOPE,
            Self::Said(why) => why,
        }
    }

    /// What the administrator is told, with what to do.
    fn alarm(&self, domain: &str) -> Text {
        match self {
            Self::Scope => text!(
                "{domain} does not take calls: the application has no permission for telephony. In Bitrix24 open \
                 Applications, Developer resources, Integrations, the application, tick Telephony (telephony) under \
                 Permissions and save; calls of the last 72 hours follow by themselves.",
                "{domain} не принимает звонки: у приложения нет права на телефонию. В Битрикс24 откройте «Разработчикам», \
                 «Интеграции», приложение, в «Настройке прав» отметьте «Телефония» (telephony) и сохраните; звонки за \
                 последние 72 часа появятся сами."
            ),
            Self::Said(why) => text!(
                "{domain} does not take calls: {why} Look in Bitrix24 whether the application has the permission \
                 telephony and whether the plan includes it; calls of the last 72 hours follow by themselves.",
                "{domain} не принимает звонки: {why} Проверьте в Битрикс24, есть ли у приложения право telephony и \
                 входит ли телефония в тариф; звонки за последние 72 часа появятся сами."
            ),
        }
    }
}

/// Nothing is lost: the call waits until the portal allows it, as long as anything waits.
async fn not_allowed(
    app: &App,
    instance: &Instance,
    row: Claimed,
    call: &Told,
    forbidden: Forbidden,
    pause: Duration,
) -> Outcome {
    let now = app.clock.now();
    let (id, subject) = (app.ids.next(), instance.id.to_string());
    let text = forbidden.alarm(&instance.domain);
    let raised =
        instances::raise_alarm_in_words(&app.store, id, now, TELEPHONY_ALARM, &subject, &text);
    if let Err(error) = raised.await {
        tracing::warn!(%error, "an alarm could not be raised");
    }
    let why = forbidden.why();
    note(app, call, why).await;
    let ending = if now.since(row.created_at) >= outcome::PATIENCE {
        Ending::Dead {
            reason: format!("given up after 72 hours: {why}"),
        }
    } else {
        outcome::wait(now, pause)
    };
    settled(row, ending)
}

async fn note(app: &App, call: &Told, why: &str) {
    if let Err(error) = calls::trouble(&app.store, call.id, why, app.clock.now()).await {
        tracing::warn!(%error, "a call's trouble could not be written");
    }
}

fn unwritten(row: Claimed, error: &store::Error, now: Millis) -> Outcome {
    tracing::warn!(%error, "a call's row could not be read or written");
    settled(row, outcome::wait(now, Duration::from_secs(1)))
}

fn settled(row: Claimed, ending: Ending) -> Outcome {
    Outcome::Settled(Box::new(Settled::new(row, ending)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_goes_from_step_to_step_and_ends() {
        let mut call = Told {
            id: uuid::Uuid::nil(),
            wacid: "wacid.1".to_owned(),
            outgoing: false,
            began_at: Millis(1_795_400_700_123),
            outcome: calls::Outcome::Active,
            duration: 0,
            error: None,
            known: Known::Waits,
            responsible: None,
            entity: None,
            crm_call_id: None,
            shown: false,
            wa_id: Some("4917".to_owned()),
            im_chat_id: Some(5),
        };
        assert_eq!(next(&call), Some(Step::Search));
        call.wa_id = None;
        assert_eq!(next(&call), Some(Step::Chat));
        call.im_chat_id = None;
        assert_eq!(next(&call), Some(Step::Register));
        call.known = Known::Registered;
        assert_eq!(next(&call), Some(Step::Show));
        call.shown = true;
        assert_eq!(next(&call), None, "it rings");
        call.outcome = calls::Outcome::Missed;
        assert_eq!(next(&call), Some(Step::Finish));
        call.shown = false;
        assert_eq!(
            next(&call),
            Some(Step::Finish),
            "nobody is shown a call that is over"
        );
        call.known = Known::Finished;
        assert_eq!(next(&call), None);
        assert_eq!(phone(&call), HIDDEN);
        let began = began(call.began_at);
        assert!(began.ends_with("+00:00") && began.len() == 25, "{began}");
    }
}
