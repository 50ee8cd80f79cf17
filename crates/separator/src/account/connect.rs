//! Connecting accounts and their numbers, as a job whose steps are on disk.
//!
//! Each step can be done twice: Meta's calls are such by themselves, what is entered is looked for first, and a number that
//! is registered is not registered again. So a connection that was cut off anywhere is gone on with from its first step
//! that is not done. What stands in the way of one number does not stop the others.

mod job;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(super) use self::job::{go_on, needs_registering};
use super::Trouble;
use crate::{
    app::App,
    secret::Secret,
    store::{self, meta, meta_connections as connections},
    time::Millis,
};

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its steps are being done.
    Running,
    /// All is connected.
    Done,
    /// A step failed; it can be resumed.
    Failed,
    /// A number's PIN is needed; it can be resumed with it.
    Waiting,
}

impl State {
    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Waiting => "waiting",
        }
    }

    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "running" => Self::Running,
            "done" => Self::Done,
            "waiting" => Self::Waiting,
            _ => Self::Failed,
        }
    }
}

/// What is to be connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// WABA ids; where none is named, those that the token was granted.
    pub accounts: Vec<String>,
    /// Phone number ids; where none is named, all numbers of the accounts.
    pub phones: Vec<String>,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// Looks at the token.
    CheckToken,
    /// Subscribes the app to an account's callbacks.
    Subscribe,
    /// Enters an account.
    EnterAccount,
    /// Lists an account's numbers.
    ReadNumbers,
    /// Registers a number on the Cloud API.
    Register,
    /// Enters a number.
    EnterNumber,
    /// Fetches an account's templates.
    FetchTemplates,
}

impl Name {
    /// All, as the API says them, in their order.
    pub const ALL: &'static [&'static str] = &[
        "check_token",
        "subscribe",
        "enter_account",
        "read_numbers",
        "register",
        "enter_number",
        "fetch_templates",
    ];
}

/// How far a step has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Being done, or tried again.
    Running,
    /// Done.
    Done,
    /// It cannot be done as things are.
    Failed,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it does.
    pub name: Name,
    /// To what: App ID, WABA id or phone number id.
    pub subject: String,
    /// The same as people know it: the number, where it is known.
    pub shown: String,
    /// How far it has come.
    pub state: StepState,
    /// What stands in its way.
    pub trouble: Option<Trouble>,
}

/// A connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Our id.
    pub id: Uuid,
    /// Our id of the app.
    pub app: Uuid,
    /// How far it has come.
    pub state: State,
    /// The token that the accounts get; the app's own where there is none.
    pub access_token: Option<Secret>,
    /// What is to be connected.
    pub plan: Plan,
    /// Its steps, in the order in which they are done.
    pub steps: Vec<Step>,
    /// Tries of the step at work that failed.
    pub attempts: i64,
    /// When it is gone on with.
    pub due_at: Millis,
    /// When it was begun.
    pub created_at: Millis,
}

impl Connection {
    /// The place of a step, made where it is new.
    fn step(&mut self, name: Name, subject: &str) -> usize {
        let known = self
            .steps
            .iter()
            .position(|step| step.name == name && step.subject == subject);
        known.unwrap_or_else(|| {
            self.steps.push(Step {
                name,
                subject: subject.to_owned(),
                shown: subject.to_owned(),
                state: StepState::Pending,
                trouble: None,
            });
            self.steps.len() - 1
        })
    }

    /// The state that follows from the steps.
    fn outcome(&self) -> State {
        let failed = |step: &&Step| step.state == StepState::Failed;
        let needs_pin = |step: &Step| matches!(step.trouble, Some(Trouble::PinNeeded { .. }));
        if self
            .steps
            .iter()
            .filter(failed)
            .any(|step| !needs_pin(step))
        {
            State::Failed
        } else if self
            .steps
            .iter()
            .any(|step| step.state == StepState::Failed)
        {
            State::Waiting
        } else {
            State::Done
        }
    }
}

/// Begins a connection; the work itself is done by the [worker](super::worker).
pub async fn begin(
    app: &App,
    waba_app: Uuid,
    access_token: Option<Secret>,
    plan: Plan,
) -> Result<Connection, store::Error> {
    let now = app.clock.now();
    let connection = Connection {
        id: app.ids.next(),
        app: waba_app,
        state: State::Running,
        access_token,
        plan,
        steps: Vec::new(),
        attempts: 0,
        due_at: now,
        created_at: now,
    };
    connections::insert(&app.store, &app.sealer, &connection).await?;
    app.accounts.wake();
    Ok(connection)
}

/// Keeps the PIN of a number that somebody entered, to register it with.
pub async fn keep_pin(app: &App, phone_number_id: &str, pin: &Secret) -> Result<(), store::Error> {
    let (id, now) = (app.ids.next(), app.clock.now());
    meta::save_pin(&app.store, &app.sealer, id, phone_number_id, pin, now).await
}

/// Lets a connection that failed or waits go on.
pub async fn resume(app: &App, id: Uuid) -> Result<(), store::Error> {
    if connections::resume(&app.store, id, app.clock.now()).await? {
        app.accounts.wake();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(steps: &[(Name, StepState, Option<Trouble>)]) -> Connection {
        Connection {
            id: Uuid::nil(),
            app: Uuid::nil(),
            state: State::Running,
            access_token: None,
            plan: Plan {
                accounts: Vec::new(),
                phones: Vec::new(),
            },
            steps: steps
                .iter()
                .map(|(name, state, trouble)| Step {
                    name: *name,
                    subject: "1".to_owned(),
                    shown: "1".to_owned(),
                    state: *state,
                    trouble: trouble.clone(),
                })
                .collect(),
            attempts: 0,
            due_at: Millis(0),
            created_at: Millis(0),
        }
    }

    #[test]
    fn a_connection_ends_as_its_worst_step() {
        let done = (Name::Subscribe, StepState::Done, None);
        let pin = Trouble::PinNeeded {
            phone: "49".to_owned(),
        };
        let waits = (Name::Register, StepState::Failed, Some(pin));
        let failed = (
            Name::EnterNumber,
            StepState::Failed,
            Some(Trouble::NoAccount),
        );
        let outcome = |steps: &[_]| connection(steps).outcome();
        assert_eq!(outcome(std::slice::from_ref(&done)), State::Done);
        assert_eq!(outcome(&[done.clone(), waits.clone()]), State::Waiting);
        assert_eq!(outcome(&[done, waits, failed]), State::Failed);
    }

    #[test]
    fn a_step_is_made_once() {
        let mut connection = connection(&[]);
        let first = connection.step(Name::Register, "7");
        assert_eq!(connection.step(Name::Register, "7"), first);
        assert_ne!(connection.step(Name::Register, "8"), first);
        assert_eq!(connection.steps.len(), 2);
    }

    #[test]
    fn steps_are_named_as_the_description_says() {
        let all = [
            Name::CheckToken,
            Name::Subscribe,
            Name::EnterAccount,
            Name::ReadNumbers,
            Name::Register,
            Name::EnterNumber,
            Name::FetchTemplates,
        ];
        let names: Vec<_> = all.iter().map(|name| serde_json::json!(name)).collect();
        assert_eq!(serde_json::json!(names), serde_json::json!(Name::ALL));
    }
}
