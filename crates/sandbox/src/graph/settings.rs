//! What can be chosen when the stand-in starts.

use super::{
    Customer,
    clock::Clock,
    templates,
    world::{Account, App, Number, Token, World},
};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use url::Url;

/// What happens to a message for digits that no known customer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownRecipients {
    /// Every number exists.
    Exist,
    /// The message fails with 131026.
    Undeliverable,
}

/// When a webhook that was not answered with 200 is repeated: at once, then after `first`, then after twice as long
/// each time up to `longest`, until `give_up`. Source: Meta: webhooks (at once, then less and less often, seven days).
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// The pause after the second failure.
    pub first: Duration,
    /// No pause is longer.
    pub longest: Duration,
    /// No try is made later than this after the first one.
    pub give_up: Duration,
}

/// How the stand-in starts. The default is a set of ready sample values.
#[derive(Clone)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The address under which it is reached, if not the one it listens at.
    pub public_url: Option<String>,
    /// The first application.
    pub app_id: String,
    /// Its secret: what webhooks are signed with.
    pub app_secret: String,
    /// What its handshake carries.
    pub verify_token: String,
    /// A token of the first application that sees every account and does not expire.
    pub access_token: String,
    /// The first account.
    pub waba_id: String,
    /// The first business number.
    pub phone_number_id: String,
    /// Its digits.
    pub display_phone_number: String,
    /// The verified name of each number.
    pub business_name: String,
    /// Where the first application's webhooks go; they wait until there is one.
    pub callback_url: Option<Url>,
    /// The customers known at the start.
    pub customers: Vec<Customer>,
    /// Whether applications are subscribed to their accounts from the start (`subscribed_apps`).
    pub subscribed: bool,
    /// Whether numbers are registered from the start.
    pub registered: bool,
    /// What happens to a message for digits that no known customer has.
    pub unknown_recipients: UnknownRecipients,
    /// How long after a send its statuses come.
    pub status_delay: Duration,
    /// Webhooks of one number that may be under way at once. With more than one, order is kept for each customer.
    pub webhook_lanes: usize,
    /// How many waiting updates of one number and lane may share a POST, without any waiting for more (at most 1000).
    pub webhook_gather: usize,
    /// How long the receiver may take to answer.
    pub webhook_timeout: Duration,
    /// When an unanswered webhook is repeated.
    pub retry: Retry,
    /// Calls kept in the log; the oldest go first.
    pub kept_requests: usize,
    /// For callbacks and file links at `https` addresses; without it only `http` is possible.
    pub secure_client: Option<reqwest::Client>,
    /// The time.
    pub clock: Clock,
    /// What ids are made from. The same seed gives the same ids.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            public_url: None,
            app_id: "730100000000001".to_owned(),
            app_secret: "sandbox-app-secret".to_owned(),
            verify_token: "sandbox-verify-token".to_owned(),
            access_token: "EAASANDBOXTOKEN".to_owned(),
            waba_id: "108200000000001".to_owned(),
            phone_number_id: "209300000000002".to_owned(),
            display_phone_number: "4915755501234".to_owned(),
            business_name: "Sample Shop".to_owned(),
            callback_url: None,
            customers: sample_customers(),
            subscribed: true,
            registered: true,
            unknown_recipients: UnknownRecipients::Exist,
            status_delay: Duration::from_millis(10),
            webhook_lanes: 1,
            webhook_gather: 1,
            webhook_timeout: Duration::from_secs(20),
            retry: Retry {
                first: Duration::from_secs(1),
                longest: Duration::from_mins(5),
                give_up: Duration::from_hours(7 * 24),
            },
            kept_requests: 100_000,
            secure_client: None,
            clock: Clock::system(),
            seed: uuid::Uuid::new_v4().as_u64_pair().0,
        }
    }
}

fn sample_customers() -> Vec<Customer> {
    vec![
        Customer {
            phone: Some("4915755509876".to_owned()),
            user_id: Some("DE.7Kq2mZ0aXw41".to_owned()),
            name: "Lena Klein".to_owned(),
            username: None,
        },
        Customer {
            phone: None,
            user_id: Some("DE.4Hc9rT6bPn20".to_owned()),
            name: "Max Winter".to_owned(),
            username: Some("max.winter".to_owned()),
        },
    ]
}

impl Settings {
    /// The state at the start.
    pub(super) fn world(&self) -> World {
        let mut world = World::new(self.clock.clone(), self.seed, &self.app_id, &self.waba_id);
        let app_id = Arc::clone(&world.first_app);
        world.apps.insert(
            Arc::clone(&app_id),
            App {
                id: Arc::clone(&app_id),
                name: self.business_name.clone(),
                secret: self.app_secret.clone(),
                verify_token: self.verify_token.clone(),
                callback: self.callback_url.clone(),
                fields: None,
                live: true,
                redirect_uris: None,
            },
        );
        world
            .tokens
            .insert(self.access_token.clone(), Token::new(Arc::clone(&app_id)));
        let mut subscribed = BTreeMap::new();
        if self.subscribed {
            subscribed.insert(app_id, None);
        }
        let account = Account {
            id: Arc::clone(&world.first_account),
            name: self.business_name.clone(),
            subscribed,
            templates: templates::samples(),
            gone: std::collections::BTreeSet::new(),
            marketing_elsewhere: false,
        };
        world.accounts.insert(Arc::clone(&account.id), account);
        let number = Number::new(
            self,
            &self.waba_id,
            &self.phone_number_id,
            &self.display_phone_number,
        );
        world.numbers.insert(Arc::clone(&number.id), number);
        let now = world.clock.now();
        for customer in &self.customers {
            let person = world.meet(customer);
            world.persons[person].introduced_at = Some(now);
        }
        world
    }
}
