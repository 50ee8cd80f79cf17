//! The work of a connection, step by step: the token, each account, each of its numbers.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;
use whatsapp::{
    client::{Client, Credentials, PhoneNumber},
    codes::Class,
};

use super::{
    super::{
        Trouble, add_missing, catalogue, client, health, inspect, resume_all, token_changed,
        trouble::Severity,
    },
    Connection, Name, State, Step, StepState, keep_pin,
};
use crate::{
    app::App,
    identifiers::Chance,
    registry::{Account, Part, Registry, WabaApp},
    secret::Secret,
    store::{
        self,
        accounts::{self, AccountChange},
        meta, meta_connections as connections,
    },
};

/// How often a step is tried again by itself where Meta does not answer or asks for patience.
const PATIENCE: i64 = 12;
/// The longest pause between two tries.
const LONGEST: Duration = Duration::from_mins(10);

/// Why a connection does not go on.
enum Halt {
    /// A step cannot be done. Other accounts and numbers can.
    Failed(Trouble),
    /// It is tried again after a while.
    Later(Duration, Trouble),
    Store(store::Error),
    /// Connection or app were removed.
    Gone,
}

impl From<store::Error> for Halt {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<whatsapp::Error> for Halt {
    fn from(error: whatsapp::Error) -> Self {
        let trouble = Trouble::of(&error);
        match error.class() {
            Class::Limited { wait, .. } => Self::Later(wait, trouble),
            Class::Retry { .. } | Class::Unknown => Self::Later(Duration::ZERO, trouble),
            Class::Refused | Class::Fix | Class::Blocked | Class::Later { .. } => {
                Self::Failed(trouble)
            }
        }
    }
}

/// Does what can be done of a connection now.
pub(in crate::account) async fn go_on(app: &Arc<App>, id: Uuid) -> Result<(), store::Error> {
    let Some(connection) = connections::one(&app.store, &app.sealer, id).await? else {
        return Ok(());
    };
    let mut job = Job {
        app,
        client: client(app),
        connection,
    };
    // What failed before is tried again.
    for step in &mut job.connection.steps {
        if step.state != StepState::Done {
            step.state = StepState::Pending;
        }
    }
    match job.run().await {
        Ok(()) => {
            job.connection.state = job.connection.outcome();
            job.save().await.map(drop)
        }
        Err(Halt::Later(wait, trouble)) => job.put_off(wait, &trouble).await,
        Err(Halt::Failed(_)) => {
            job.connection.state = State::Failed;
            job.save().await.map(drop)
        }
        Err(Halt::Store(error)) => Err(error),
        Err(Halt::Gone) => Ok(()),
    }
}

struct Job<'a> {
    app: &'a Arc<App>,
    client: Client,
    connection: Connection,
}

impl Job<'_> {
    async fn run(&mut self) -> Result<(), Halt> {
        self.check_token().await?;
        for waba_id in self.connection.plan.accounts.clone() {
            match self.account(&waba_id).await {
                Ok(()) | Err(Halt::Failed(_)) => {}
                Err(halt) => return Err(halt),
            }
        }
        self.missing_phones();
        Ok(())
    }

    async fn save(&mut self) -> Result<bool, store::Error> {
        let now = self.app.clock.now();
        connections::save(&self.app.store, &self.connection, now).await
    }

    /// The same where nothing more can be done without the row.
    async fn saved(&mut self) -> Result<(), Halt> {
        if self.save().await? {
            Ok(())
        } else {
            Err(Halt::Gone)
        }
    }

    /// Waits with the whole connection, or gives up after many tries.
    async fn put_off(&mut self, wait: Duration, trouble: &Trouble) -> Result<(), store::Error> {
        let connection = &mut self.connection;
        connection.attempts += 1;
        if connection.attempts > PATIENCE {
            connection.state = State::Failed;
            for step in &mut connection.steps {
                if step.state == StepState::Running {
                    step.state = StepState::Failed;
                }
            }
        } else {
            let growing = Duration::from_secs(1 << connection.attempts.min(10));
            let wait = growing.max(wait).min(LONGEST);
            connection.due_at = self.app.clock.now() + wait;
        }
        tracing::warn!(connection = %self.connection.id, trouble = trouble.code(), "a connection to Meta waits");
        self.save().await.map(drop)
    }

    /// Begins a step; gives nothing where it is done already.
    async fn begin(&mut self, name: Name, subject: &str) -> Result<Option<usize>, Halt> {
        let index = self.connection.step(name, subject);
        let step = &mut self.connection.steps[index];
        if step.state == StepState::Done {
            return Ok(None);
        }
        step.state = StepState::Running;
        self.saved().await?;
        Ok(Some(index))
    }

    /// Ends a step as its work ended.
    async fn end<T>(&mut self, index: usize, outcome: Result<T, Halt>) -> Result<T, Halt> {
        let step = &mut self.connection.steps[index];
        match &outcome {
            Ok(_) => {
                step.state = StepState::Done;
                step.trouble = None;
                self.connection.attempts = 0;
            }
            Err(Halt::Failed(trouble)) => {
                step.state = StepState::Failed;
                step.trouble = Some(trouble.clone());
            }
            Err(Halt::Later(_, trouble)) => step.trouble = Some(trouble.clone()),
            Err(Halt::Store(_) | Halt::Gone) => return outcome,
        }
        self.saved().await?;
        outcome
    }

    /// What calls are made with.
    fn credentials(&self, registry: &Registry) -> Result<Credentials, Halt> {
        let waba_app = self.waba_app(registry)?;
        let token = self
            .connection
            .access_token
            .as_ref()
            .or(waba_app.access_token.as_ref())
            .ok_or(Halt::Failed(Trouble::NoToken))?;
        Ok(Credentials {
            access_token: whatsapp::Secret::new(token.expose()),
            app_secret: Some(whatsapp::Secret::new(waba_app.client_secret.expose())),
        })
    }

    fn waba_app<'r>(&self, registry: &'r Registry) -> Result<&'r WabaApp, Halt> {
        registry
            .waba_apps
            .get(&self.connection.app)
            .ok_or(Halt::Gone)
    }

    async fn check_token(&mut self) -> Result<(), Halt> {
        let registry = self.app.directory.snapshot();
        let client_id = self.waba_app(&registry)?.client_id.clone();
        let Some(index) = self.begin(Name::CheckToken, &client_id).await? else {
            return Ok(());
        };
        let outcome = self.look_at_token(&registry).await;
        let accounts = self.end(index, outcome).await?;
        if self.connection.plan.accounts.is_empty() {
            self.connection.plan.accounts = accounts;
        }
        for waba_id in self.connection.plan.accounts.clone() {
            self.connection.step(Name::Subscribe, &waba_id);
        }
        self.saved().await
    }

    /// Gives the accounts that the token was granted.
    async fn look_at_token(&self, registry: &Registry) -> Result<Vec<String>, Halt> {
        let waba_app = self.waba_app(registry)?;
        let credentials = self.credentials(registry)?;
        let secret = whatsapp::Secret::new(waba_app.client_secret.expose());
        let own = Credentials::of_app(&waba_app.client_id, &secret);
        let info = self
            .client
            .debug_token(&own, &credentials.access_token)
            .await
            .map_err(|error| {
                if health::is_wrong_secret(&error) {
                    Halt::Failed(Trouble::WrongSecret)
                } else {
                    error.into()
                }
            })?;
        let now = self.app.clock.now();
        let hinders = |trouble: &Trouble| trouble.severity() == Severity::Blocks;
        let found = health::troubles(&info, &waba_app.client_id, now);
        if let Some(trouble) = found.into_iter().find(hinders) {
            return Err(Halt::Failed(trouble));
        }
        if !self.connection.plan.accounts.is_empty() {
            return Ok(Vec::new());
        }
        let granted = inspect::granted(&self.client, &credentials, &info).await?;
        if granted.is_empty() {
            return Err(Halt::Failed(Trouble::NoAccount));
        }
        Ok(granted)
    }

    async fn account(&mut self, waba_id: &str) -> Result<(), Halt> {
        if let Some(index) = self.begin(Name::Subscribe, waba_id).await? {
            let outcome = self.subscribe(waba_id).await;
            self.end(index, outcome).await?;
        }
        if let Some(index) = self.begin(Name::EnterAccount, waba_id).await? {
            let outcome = self.enter_account(waba_id).await;
            self.end(index, outcome).await?;
        }
        // Read again after a pause: registering may have changed them, and nothing of them is kept.
        let index = self.connection.step(Name::ReadNumbers, waba_id);
        self.connection.steps[index].state = StepState::Running;
        self.saved().await?;
        let outcome = self.read_numbers(waba_id).await;
        let numbers = self.end(index, outcome).await?;
        let mut later = None;
        for number in &numbers {
            match self.number(waba_id, number).await {
                Ok(()) | Err(Halt::Failed(_)) => {}
                Err(Halt::Later(wait, trouble)) => later = Some((wait, trouble)),
                Err(halt) => return Err(halt),
            }
        }
        if let Some(index) = self.begin(Name::FetchTemplates, waba_id).await? {
            let outcome = self.fetch_templates(waba_id, &numbers).await;
            self.end(index, outcome).await?;
        }
        match later {
            Some((wait, trouble)) => Err(Halt::Later(wait, trouble)),
            None => Ok(()),
        }
    }

    async fn subscribe(&self, waba_id: &str) -> Result<(), Halt> {
        let registry = self.app.directory.snapshot();
        // Looked at before anything is done at Meta.
        self.entered(&registry, waba_id)?;
        let credentials = self.credentials(&registry)?;
        match self.client.subscribe(&credentials, waba_id).await {
            Err(error) if error.api().is_some_and(whatsapp::ApiError::is_invisible) => {
                Err(Halt::Failed(Trouble::AccountInvisible {
                    waba_id: waba_id.to_owned(),
                }))
            }
            outcome => Ok(outcome?),
        }
    }

    /// The account where it is entered; refuses one that is reached through another app.
    fn entered<'r>(
        &self,
        registry: &'r Registry,
        waba_id: &str,
    ) -> Result<Option<&'r Account>, Halt> {
        let found = registry
            .accounts
            .values()
            .map(Arc::as_ref)
            .find(|account| account.waba_id == waba_id);
        match found {
            Some(account) if account.app_id != self.connection.app => {
                Err(Halt::Failed(Trouble::AccountElsewhere {
                    waba_id: waba_id.to_owned(),
                }))
            }
            found => Ok(found),
        }
    }

    async fn enter_account(&self, waba_id: &str) -> Result<(), Halt> {
        let (app, registry) = (self.app, self.app.directory.snapshot());
        let credentials = self.credentials(&registry)?;
        let name = self
            .client
            .business_account(&credentials, waba_id)
            .await?
            .name
            .unwrap_or_default();
        let turn = app.intake.turn().await;
        let token = self.connection.access_token.clone();
        let entered = self.entered(&registry, waba_id)?;
        let id = entered.map_or_else(|| app.ids.next(), |account| account.id);
        let has_token = token.is_some();
        if let Some(account) = entered {
            let change = AccountChange {
                access_token: token.map(Some),
                subscribed: Some(true),
                name: account.name.is_empty().then_some(name),
                ..AccountChange::default()
            };
            accounts::change_account(&app.store, &app.sealer, id, &change).await?;
        } else {
            let account = Account {
                id,
                app_id: self.connection.app,
                waba_id: waba_id.to_owned(),
                access_token: token,
                name: name.chars().take(80).collect(),
                subscribed: true,
                created_at: app.clock.now(),
            };
            match accounts::insert_account(&app.store, &app.sealer, &account).await {
                // Somebody entered it at the same time: it is looked at again.
                Err(error) if error.is_duplicate() => {
                    return Err(Halt::Later(
                        Duration::ZERO,
                        Trouble::AccountElsewhere {
                            waba_id: waba_id.to_owned(),
                        },
                    ));
                }
                outcome => outcome?,
            }
        }
        app.refresh(Part::Account(id)).await?;
        crate::intake::account_entered(app, waba_id).await?;
        drop(turn);
        if has_token {
            token_changed(app, id).await?;
            resume_all(app, id).await?;
        }
        Ok(())
    }

    /// The numbers of an account that are to be connected.
    async fn read_numbers(&mut self, waba_id: &str) -> Result<Vec<PhoneNumber>, Halt> {
        let registry = self.app.directory.snapshot();
        let credentials = self.credentials(&registry)?;
        let found = self.client.phone_numbers(&credentials, waba_id).await?;
        let chosen = &self.connection.plan.phones;
        let wanted = |number: &PhoneNumber| chosen.is_empty() || chosen.contains(&number.id);
        let numbers: Vec<PhoneNumber> = found.into_iter().filter(wanted).collect();
        for number in &numbers {
            let mut names = vec![Name::EnterNumber];
            if needs_registering(number) {
                names.insert(0, Name::Register);
            }
            for name in names {
                let index = self.connection.step(name, &number.id);
                if let Some(digits) = number.digits() {
                    self.connection.steps[index].shown = digits;
                }
            }
        }
        self.connection.step(Name::FetchTemplates, waba_id);
        Ok(numbers)
    }

    async fn number(&mut self, waba_id: &str, number: &PhoneNumber) -> Result<(), Halt> {
        let registers = self
            .connection
            .steps
            .iter()
            .any(|step| step.name == Name::Register && step.subject == number.id);
        let mut registered = Ok(());
        if registers && let Some(index) = self.begin(Name::Register, &number.id).await? {
            let outcome = self.register(number).await;
            registered = self.end(index, outcome).await;
        }
        // A number that is not registered yet is entered all the same: customers may write to it already.
        if let Some(index) = self.begin(Name::EnterNumber, &number.id).await? {
            let outcome = self.enter_number(waba_id, number).await;
            self.end(index, outcome).await?;
        }
        registered
    }

    /// Registers a number with its PIN. A try more than needed would count: Meta allows ten in three days.
    async fn register(&self, number: &PhoneNumber) -> Result<(), Halt> {
        let (app, id) = (self.app, number.id.as_str());
        let registry = app.directory.snapshot();
        let credentials = self.credentials(&registry)?;
        // It may have been registered just before the program was cut off.
        let now = self.client.phone_number(&credentials, id).await?;
        if !needs_registering(&now) {
            return Ok(());
        }
        let needed = || {
            Halt::Failed(Trouble::PinNeeded {
                phone: number.digits().unwrap_or_default(),
            })
        };
        let pin = match meta::pin(&app.store, &app.sealer, id).await? {
            Some(pin) => pin,
            None if now.is_pin_enabled => return Err(needed()),
            None => {
                let pin = new_pin();
                // On disk before Meta knows it: a PIN that is set and lost locks the number.
                keep_pin(app, id, &pin).await?;
                pin
            }
        };
        match self.client.register(&credentials, id, pin.expose()).await {
            Err(error) if error.api().is_some_and(whatsapp::ApiError::is_wrong_pin) => {
                meta::forget_pin(&app.store, id).await?;
                Err(needed())
            }
            outcome => Ok(outcome?),
        }
    }

    async fn enter_number(&self, waba_id: &str, number: &PhoneNumber) -> Result<(), Halt> {
        let app = self.app;
        let turn = app.intake.turn().await;
        let registry = app.directory.snapshot();
        let account = self.entered(&registry, waba_id)?.ok_or(Halt::Gone)?;
        let elsewhere = || {
            Halt::Failed(Trouble::NumberElsewhere {
                phone: number.digits().unwrap_or_default(),
            })
        };
        if let Some(phone) = registry.phone_by_number_id(&number.id) {
            return if phone.account_id == account.id {
                Ok(())
            } else {
                Err(elsewhere())
            };
        }
        let numbers = std::slice::from_ref(number);
        let added = add_missing(app, &registry, account, numbers).await?;
        if added.is_empty() {
            return Err(elsewhere());
        }
        app.reload().await?;
        // What was written to it before is kept and goes on now.
        crate::intake::phone_entered(app, &number.id).await?;
        drop(turn);
        Ok(())
    }

    async fn fetch_templates(&self, waba_id: &str, numbers: &[PhoneNumber]) -> Result<(), Halt> {
        let app = self.app;
        let registry = app.directory.snapshot();
        let account = self.entered(&registry, waba_id)?.ok_or(Halt::Gone)?;
        let credentials = self.credentials(&registry)?;
        catalogue::keep_numbers(app, numbers).await?;
        match catalogue::fetch(app, &self.client, &credentials, account).await {
            Ok(_) => {}
            Err(catalogue::FetchError::Meta(error)) => return Err(error.into()),
            Err(catalogue::FetchError::Store(error)) => return Err(error.into()),
        }
        Ok(app.refresh_meta().await?)
    }

    /// Numbers that were chosen and that no account has.
    fn missing_phones(&mut self) {
        let read = |step: &Step| step.name == Name::ReadNumbers && step.state == StepState::Done;
        let all_read = self.connection.plan.accounts.iter().all(|waba_id| {
            self.connection
                .steps
                .iter()
                .any(|step| step.subject == *waba_id && read(step))
        });
        if !all_read {
            return;
        }
        for phone_id in self.connection.plan.phones.clone() {
            let index = self.connection.step(Name::EnterNumber, &phone_id);
            let step = &mut self.connection.steps[index];
            if step.state == StepState::Pending {
                step.state = StepState::Failed;
                step.trouble = Some(Trouble::NumberUnknown { phone_id });
            }
        }
    }
}

/// Whether a number has to be registered before it can send. One that is used with the phone app must not be.
/// Source: Meta, "Phone number: register", "Onboarding WhatsApp Business app users".
pub(in crate::account) fn needs_registering(number: &PhoneNumber) -> bool {
    let status = number.status.as_deref();
    !number.is_on_biz_app
        && (number.platform_type.as_deref() != Some("CLOUD_API")
            || matches!(status, Some("PENDING" | "DISCONNECTED" | "UNVERIFIED")))
}

/// Six random digits.
fn new_pin() -> Secret {
    let number = u64::from_le_bytes(Chance::System.bytes()) % 1_000_000;
    Secret::new(format!("{number:06}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_registered_unless_they_are_or_stay_on_the_phone() {
        let number = |platform: &str, status: &str, on_phone: bool| PhoneNumber {
            platform_type: Some(platform.to_owned()),
            status: Some(status.to_owned()),
            is_on_biz_app: on_phone,
            ..PhoneNumber::default()
        };
        assert!(needs_registering(&number(
            "NOT_APPLICABLE",
            "PENDING",
            false
        )));
        assert!(needs_registering(&number(
            "CLOUD_API",
            "DISCONNECTED",
            false
        )));
        assert!(!needs_registering(&number("CLOUD_API", "CONNECTED", false)));
        assert!(!needs_registering(&number("CLOUD_API", "FLAGGED", false)));
        assert!(!needs_registering(&number(
            "NOT_APPLICABLE",
            "PENDING",
            true
        )));
        assert!(needs_registering(&PhoneNumber::default()));
    }

    #[test]
    fn pins_are_six_digits_and_differ() {
        let pins: std::collections::HashSet<String> =
            (0..50).map(|_| new_pin().expose().to_owned()).collect();
        assert!(pins.len() > 40);
        let six = |pin: &String| pin.len() == 6 && pin.bytes().all(|digit| digit.is_ascii_digit());
        assert!(pins.iter().all(six));
    }
}
