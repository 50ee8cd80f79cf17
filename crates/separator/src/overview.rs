//! How each number is, in a colour and a sentence made from facts: its connection, what stops it, what waits, and when a
//! message last passed each way. Green means proven.

use std::{collections::HashMap, sync::Arc, time::Duration};

use uuid::Uuid;

use crate::{
    app::App,
    doctor::{Finding, State, Text},
    registry::{Connection, Instance, InstanceState, Phone, Registry},
    store::{
        self,
        browse::{self, Depth, Reach},
        doctor::Proof,
    },
    time::Millis,
};

/// A message that waits longer makes a number amber.
const LATE: Duration = Duration::from_mins(15);

/// What was proven longer ago does not make a number green.
const LATELY: Duration = Duration::from_hours(24 * 7);

/// Checks of the token, the app, the account and the portal that mean that no message of the number passes.
const DEADLY: [&str; 12] = [
    "token_valid",
    "token_app",
    "token_scopes",
    "app_secret",
    "app_callback",
    "account_access",
    "account_subscribed",
    "account_callback",
    "number_identity",
    "number_registered",
    "number_callback",
    "portal_installed",
];

/// How a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Messages pass, and lately did.
    Green,
    /// Something should be looked at.
    Amber,
    /// Messages do not pass.
    Red,
    /// It is linked to no portal.
    Grey,
}

impl Colour {
    /// As the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Amber => "amber",
            Self::Red => "red",
            Self::Grey => "grey",
        }
    }
}

/// A number as the overview shows it.
#[derive(Debug, Clone)]
pub struct Number {
    /// Our id.
    pub id: Uuid,
    /// Digits.
    pub phone: String,
    /// Name of its account.
    pub name: Option<String>,
    /// How it is.
    pub colour: Colour,
    /// Why.
    pub sentence: Text,
    /// When a message last passed each way.
    pub proof: Proof,
    /// What waits in both directions.
    pub waiting: Depth,
}

/// What a colour is made from.
struct Facts<'a> {
    phone: &'a Phone,
    instance: Option<&'a Instance>,
    proof: Proof,
    waiting: Depth,
    /// What the doctor found at the number and at all that it hangs from.
    faults: Vec<&'a Finding>,
    now: Millis,
}

/// All numbers of a view, by their digits.
pub async fn numbers(
    app: &Arc<App>,
    view: &Registry,
    findings: &[Finding],
) -> Result<Vec<Number>, store::Error> {
    let mut waiting: HashMap<Uuid, Depth> = HashMap::new();
    for destination in browse::destinations(&app.store, &Reach::Everything).await? {
        let depth = waiting.entry(destination.phone_id).or_default();
        depth.depth += destination.depth.depth;
        depth.oldest = [depth.oldest, destination.depth.oldest]
            .into_iter()
            .flatten()
            .min();
    }
    let whole = app.directory.snapshot();
    let mut numbers: Vec<Number> = view
        .phones
        .values()
        .map(|phone| {
            let facts = Facts {
                phone,
                instance: whole.instance_of(phone),
                proof: app.doctor.proofs.of(phone.id),
                waiting: waiting.get(&phone.id).copied().unwrap_or_default(),
                faults: faults_of(&whole, phone, findings),
                now: app.clock.now(),
            };
            let (colour, sentence) = judge(&facts);
            Number {
                id: phone.id,
                phone: phone.phone.clone(),
                name: whole
                    .accounts
                    .get(&phone.account_id)
                    .map(|account| account.name.clone())
                    .filter(|name| !name.is_empty()),
                colour,
                sentence,
                proof: facts.proof,
                waiting: facts.waiting,
            }
        })
        .collect();
    numbers.sort_by(|left, right| left.phone.cmp(&right.phone));
    Ok(numbers)
}

/// What waits for all numbers together.
pub fn depth(numbers: &[Number]) -> Depth {
    Depth {
        depth: numbers.iter().map(|number| number.waiting.depth).sum(),
        oldest: numbers
            .iter()
            .filter_map(|number| number.waiting.oldest)
            .min(),
    }
}

fn faults_of<'a>(registry: &Registry, phone: &Phone, findings: &'a [Finding]) -> Vec<&'a Finding> {
    let mut subjects = vec![phone.id.to_string(), phone.account_id.to_string()];
    if let Some((_, app)) = registry.app_of(phone) {
        subjects.push(app.id.to_string());
    }
    if let Some(instance) = phone.instance_id {
        subjects.push(instance.to_string());
    }
    findings
        .iter()
        .filter(|finding| finding.state == State::Fault && subjects.contains(&finding.subject.id))
        .collect()
}

fn judge(facts: &Facts<'_>) -> (Colour, Text) {
    let phone = facts.phone;
    if let Some(reason) = &phone.paused {
        return (
            Colour::Red,
            Text {
                english: format!("Nothing is sent: {reason}"),
                russian: format!("Отправка остановлена: {reason}"),
            },
        );
    }
    let Some(instance) = facts.instance else {
        return (
            Colour::Grey,
            Text::of("Not linked to a portal.", "Не привязан к порталу."),
        );
    };
    if instance.state != InstanceState::Active {
        let domain = &instance.domain;
        let problem = instance.problem.as_deref().unwrap_or_default();
        return (
            Colour::Red,
            Text {
                english: format!("The portal {domain} does not let us in. {problem}"),
                russian: format!("Портал {domain} не пускает нас. {problem}"),
            },
        );
    }
    if phone.connection == Connection::Error {
        let title = phone
            .error
            .as_ref()
            .map_or("", |error| error.title.as_str());
        return (
            Colour::Red,
            Text {
                english: format!("Not connected: {title}"),
                russian: format!("Не подключён: {title}"),
            },
        );
    }
    let deadly = facts
        .faults
        .iter()
        .find(|fault| DEADLY.contains(&fault.check.as_str()));
    if let Some(cause) = deadly.and_then(|fault| fault.cause.clone()) {
        return (Colour::Red, cause);
    }
    if phone.connection == Connection::Pending {
        return (
            Colour::Amber,
            Text::of("Being connected to its line.", "Подключается к линии."),
        );
    }
    let late = facts
        .waiting
        .oldest
        .is_some_and(|oldest| facts.now.since(oldest) > LATE);
    if late {
        let count = facts.waiting.depth;
        return (
            Colour::Amber,
            Text {
                english: format!("{count} messages wait, the oldest for more than 15 minutes."),
                russian: format!(
                    "Сообщений ждёт отправки: {count}, самое старое — больше 15 минут."
                ),
            },
        );
    }
    if let Some(cause) = facts.faults.first().and_then(|fault| fault.cause.clone()) {
        return (Colour::Amber, cause);
    }
    proven(facts)
}

fn proven(facts: &Facts<'_>) -> (Colour, Text) {
    let lately = |at: Millis| at.0 > 0 && facts.now.since(at) <= LATELY;
    match (lately(facts.proof.inbound), lately(facts.proof.outbound)) {
        (true, true) => (
            Colour::Green,
            Text::of(
                "Messages pass both ways.",
                "Сообщения проходят в обе стороны.",
            ),
        ),
        (true, false) => (
            Colour::Amber,
            Text::of(
                "Messages come in; none went out in the last 7 days.",
                "Сообщения приходят; за последние 7 дней ни одного не отправлено.",
            ),
        ),
        (false, true) => (
            Colour::Amber,
            Text::of(
                "Messages go out; none came in in the last 7 days.",
                "Сообщения уходят; за последние 7 дней ни одного не пришло.",
            ),
        ),
        (false, false) => (
            Colour::Amber,
            Text::of(
                "Connected; no message has passed lately. Write to the number to see that it works.",
                "Подключён; сообщений в последнее время не было. Напишите на номер, чтобы проверить.",
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::doctor::Subject;

    const NOW: Millis = Millis(1_795_409_252_000);

    fn phone() -> Phone {
        Phone {
            id: Uuid::from_u128(1),
            account_id: Uuid::from_u128(2),
            phone: "4915755501234".to_owned(),
            phone_number_id: "7".to_owned(),
            instance_id: Some(Uuid::from_u128(3)),
            sms_service: false,
            automatic_texts: true,
            calling: "disabled".to_owned(),
            sip: "disabled".to_owned(),
            sip_hostname: None,
            sip_port: 5061,
            connection: Connection::Connected,
            connector: None,
            line_id: None,
            line_name: None,
            chosen_line_id: None,
            offered_id: None,
            error: None,
            paused: None,
            created_at: Millis(0),
        }
    }

    fn instance() -> Instance {
        Instance {
            id: Uuid::from_u128(3),
            app_id: Uuid::from_u128(4),
            member_id: String::new(),
            domain: "acme.bitrix24.com".to_owned(),
            client_endpoint: String::new(),
            server_endpoint: String::new(),
            application_token: None,
            state: InstanceState::Active,
            problem: None,
            language: crate::translate::message::Language::English,
            language_code: "en".to_owned(),
            scope: String::new(),
            prepared: true,
            installed: true,
            installer_id: None,
            installer_name: None,
            refreshed_at: Millis(0),
            calls_per_second: 2.0,
            burst: 40,
            created_at: Millis(0),
        }
    }

    fn fault(check: &str) -> Finding {
        Finding {
            check: check.to_owned(),
            subject: Subject {
                kind: "phone".to_owned(),
                id: Uuid::from_u128(1).to_string(),
                name: String::new(),
            },
            state: State::Fault,
            cause: Some(Text::of(check, check)),
            fix: None,
        }
    }

    /// The colour of a number to which something was done.
    fn colour(change: impl FnOnce(&mut Phone, &mut Instance, &mut Facts<'_>)) -> (Colour, String) {
        let (mut phone, mut instance) = (phone(), instance());
        let empty = self::phone();
        let mut facts = Facts {
            phone: &empty,
            instance: None,
            proof: Proof {
                inbound: NOW,
                outbound: NOW,
            },
            waiting: Depth::default(),
            faults: Vec::new(),
            now: NOW,
        };
        change(&mut phone, &mut instance, &mut facts);
        let facts = Facts {
            phone: &phone,
            instance: phone.instance_id.is_some().then_some(&instance),
            ..facts
        };
        let (colour, sentence) = judge(&facts);
        (colour, sentence.english)
    }

    #[test]
    fn a_colour_follows_from_the_worst_fact() {
        let (deadly, annoying) = (fault("account_subscribed"), fault("line_settings"));
        assert_eq!(colour(|_, _, _| ()).0, Colour::Green);
        assert_eq!(
            colour(|phone, _, _| phone.instance_id = None).0,
            Colour::Grey
        );
        let (red, sentence) = colour(|phone, _, _| phone.paused = Some("Meta: token".to_owned()));
        assert_eq!(red, Colour::Red);
        assert!(sentence.contains("Meta: token"), "{sentence}");
        assert_eq!(
            colour(|_, instance, _| instance.state = InstanceState::NeedsAuthorization).0,
            Colour::Red
        );
        assert_eq!(
            colour(|phone, _, _| phone.connection = Connection::Error).0,
            Colour::Red
        );
        assert_eq!(
            colour(|phone, _, _| phone.connection = Connection::Pending).0,
            Colour::Amber
        );
        let late = Depth {
            depth: 1,
            oldest: Some(NOW - Duration::from_hours(1)),
        };
        assert_eq!(colour(|_, _, facts| facts.waiting = late).0, Colour::Amber);
        let with = |found: &Finding| {
            let phone = phone();
            let instance = instance();
            let facts = Facts {
                phone: &phone,
                instance: Some(&instance),
                proof: Proof {
                    inbound: NOW,
                    outbound: NOW,
                },
                waiting: Depth::default(),
                faults: vec![found],
                now: NOW,
            };
            judge(&facts)
        };
        assert_eq!(with(&deadly).0, Colour::Red);
        assert_eq!(
            with(&annoying),
            (Colour::Amber, annoying.cause.clone().unwrap())
        );
    }

    #[test]
    fn green_is_what_was_proven_lately() {
        let old = NOW - Duration::from_hours(24 * 8);
        for (inbound, outbound, wanted) in [
            (NOW, NOW, Colour::Green),
            (old, NOW, Colour::Amber),
            (NOW, old, Colour::Amber),
            (Millis(0), Millis(0), Colour::Amber),
        ] {
            let proof = Proof { inbound, outbound };
            assert_eq!(colour(|_, _, facts| facts.proof = proof).0, wanted);
        }
    }
}
