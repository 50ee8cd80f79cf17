//! The program is killed (SIGKILL) at random moments under load in both directions, and nothing acknowledged is lost,
//! doubled or overtaken.
//!
//! `SEPARATOR_TEST_KILLS` says how often in all, `SEPARATOR_TEST_SEED` repeats a run whose seed a failure printed.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::world::{Api, Options, World};
use sandbox::{
    graph::{Customer, Graph, Media, Retry, part},
    portal::{Author, Portal, Portals, Upload},
};

/// Kills in all where nothing else is asked for.
const KILLS: u32 = 200;
/// Worlds in which the program is killed at the same time.
const STORMS: u32 = 4;
/// Customers of each world, every one in a chat of their own.
const PEOPLE: usize = 8;
/// Messages of one conversation and direction that may be under way before its people wait for them.
const UNDER_WAY: usize = 12;
/// How long what is left may take after the last kill.
const LAST: Duration = Duration::from_secs(90);

/// Numbers that look random and are the same for the same seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// One customer and what was said on both sides.
struct Person {
    customer: Customer,
    /// What the customer wrote, oldest first.
    wrote: Vec<String>,
    /// The chat, once the operator has it.
    chat: Option<i64>,
    /// What the operator answered: the portal's message id and the text.
    answers: Vec<(i64, String)>,
    customer_waits: bool,
    operator_waits: bool,
}

/// People who write all the time.
struct Traffic {
    graph: Graph,
    portals: Portals,
    portal: Portal,
    number: String,
    people: Vec<Person>,
    chance: Chance,
}

impl Traffic {
    fn new(world: &World, seed: u64) -> Self {
        let people = (0..PEOPLE).map(|index| Person {
            customer: Customer::with_phone(format!("49157100000{index:02}"))
                .named(format!("Person {}", char::from(b'A' + index as u8))),
            wrote: Vec::new(),
            chat: None,
            answers: Vec::new(),
            customer_waits: false,
            operator_waits: false,
        });
        Self {
            graph: world.graph.clone(),
            portals: world.portals.clone(),
            portal: world.portal.clone(),
            number: world.number.clone(),
            people: people.collect(),
            chance: Chance(seed),
        }
    }

    /// Writes until told to stop.
    async fn run(mut self, stop: Arc<AtomicBool>) -> Self {
        let mut looked = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            if looked.elapsed() > Duration::from_millis(250) {
                self.look();
                looked = Instant::now();
            }
            let index = self.chance.below(PEOPLE as u64) as usize;
            if self.chance.below(2) == 0 {
                self.customer_writes(index);
            } else {
                self.operator_answers(index);
            }
            tokio::time::sleep(Duration::from_millis(self.chance.below(20))).await;
        }
        self
    }

    /// Sees who has a chat and who has to wait for what is under way.
    fn look(&mut self) {
        let chats = self.portal.chats();
        for person in &mut self.people {
            let Some(first) = person.wrote.first() else {
                continue;
            };
            let chat = chats
                .iter()
                .find(|chat| chat.messages.iter().any(|message| message.text == *first));
            person.chat = chat.map(|chat| chat.id);
            let arrived = chat.map_or(0, |chat| {
                let by_customer = |author| author == Author::Customer;
                chat.messages
                    .iter()
                    .filter(|message| by_customer(message.author))
                    .count()
            });
            person.customer_waits = person.wrote.len() > arrived + UNDER_WAY;
            let digits = person.customer.phone.as_deref().unwrap();
            let received = self.graph.received(&self.number, digits).len();
            let acknowledged = person
                .answers
                .iter()
                .filter(|(id, _)| self.portal.event_acknowledged(*id))
                .count();
            person.operator_waits = acknowledged > received + UNDER_WAY;
        }
    }

    fn customer_writes(&mut self, index: usize) {
        let person = &mut self.people[index];
        if person.customer_waits || self.graph.counters().updates_waiting() > 100 {
            return;
        }
        let text = format!("customer {index} message {}", person.wrote.len());
        let message = if person.wrote.len() % 10 == 9 {
            self.graph
                .media("image", PICTURE, "image/png", Some(&text), None)
        } else {
            part::text(&text)
        };
        self.graph
            .customer_writes(&self.number, &person.customer, message);
        person.wrote.push(text);
    }

    fn operator_answers(&mut self, index: usize) {
        let person = &mut self.people[index];
        let Some(chat) = person.chat else { return };
        if person.operator_waits || self.portals.events_waiting() > 50 {
            return;
        }
        let text = format!("answer {} to {index}", person.answers.len());
        let files = match person.answers.len() % 10 {
            9 => vec![Upload::new("picture.png", PICTURE)],
            _ => Vec::new(),
        };
        let id = self.portal.operator_writes(chat, &text, files).unwrap();
        person.answers.push((id, text));
    }

    /// Compares what arrived with what was said; gives how many messages there were in each direction.
    async fn verify(&self, world: &World) -> (usize, usize) {
        let chats = self.portal.chats();
        let (mut inbound, mut outbound) = (0, 0);
        for person in &self.people {
            let own = |text: &str| person.wrote.iter().any(|wrote| wrote == text);
            let theirs: Vec<_> = chats
                .iter()
                .filter(|chat| chat.messages.iter().any(|message| own(&message.text)))
                .collect();
            assert!(
                theirs.len() <= 1,
                "{} has several chats",
                person.customer.name
            );
            let arrived: Vec<&str> = theirs
                .iter()
                .flat_map(|chat| &chat.messages)
                .filter(|message| message.author == Author::Customer)
                // A file that could not be fetched, because the program was gone, follows by itself.
                .filter(|message| !message.text.is_empty() || message.files.is_empty())
                .map(|message| message.text.as_str())
                .collect();
            assert_eq!(arrived, person.wrote, "what {} wrote", person.customer.name);
            let files = theirs
                .iter()
                .flat_map(|chat| &chat.messages)
                .filter(|message| message.author == Author::Customer && !message.files.is_empty());
            assert_eq!(
                files.count(),
                person.wrote.len() / 10,
                "files of {}",
                person.customer.name
            );
            inbound += arrived.len();
            outbound += self.verify_answers(world, person).await;
        }
        (inbound, outbound)
    }

    /// What reached the customer is what was answered, in order, without those answers whose event was lost.
    async fn verify_answers(&self, world: &World, person: &Person) -> usize {
        let digits = person.customer.phone.as_deref().unwrap();
        let received = self.graph.received(&self.number, digits);
        let texts: Vec<String> = received.iter().map(|message| said(&message.body)).collect();
        let seen: HashSet<&str> = texts.iter().map(String::as_str).collect();
        let expected: Vec<&str> = person
            .answers
            .iter()
            .filter(|(id, text)| {
                self.portal.event_acknowledged(*id) || seen.contains(text.as_str())
            })
            .map(|(_, text)| text.as_str())
            .collect();
        if texts != expected {
            print_doubled(world, person, &texts).await;
        }
        assert_eq!(texts, expected, "what {} received", person.customer.name);
        for message in received
            .iter()
            .filter(|message| message.body["type"] == "image")
        {
            let bytes = message.media.as_ref().map(|Media { bytes, .. }| &bytes[..]);
            assert_eq!(bytes, Some(PICTURE), "the picture");
        }
        texts.len()
    }
}

/// Prints the journeys of messages that were received twice.
async fn print_doubled(world: &World, person: &Person, texts: &[String]) {
    let mut seen = HashSet::new();
    let doubled: Vec<&String> = texts.iter().filter(|text| !seen.insert(*text)).collect();
    let digits = person.customer.phone.as_deref().unwrap();
    let list = world
        .api
        .get(&format!("messages?peer={digits}&limit=200"))
        .await;
    for message in list["items"].as_array().unwrap() {
        if doubled.iter().any(|text| message["text"] == **text) {
            let id = message["id"].as_str().unwrap();
            println!("{:#}", world.api.get(&format!("messages/{id}")).await);
        }
    }
}

/// The text of a message to a customer, or its caption.
fn said(body: &serde_json::Value) -> String {
    let text = body["text"]["body"]
        .as_str()
        .or(body["image"]["caption"].as_str());
    text.unwrap_or_default().to_owned()
}

/// A picture of one point.
const PICTURE: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, b'I', b'H', b'D', b'R', 0, 0, 0,
    1, 0, 0, 0, 1, 8, 6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 0x0d, b'I', b'D', b'A', b'T',
    0x78, 0x9c, 0x62, 0, 1, 0, 0, 5, 0, 1, 0x0d, 0x0a, 0x2d, 0xb4, 0, 0, 0, 0, b'I', b'E', b'N',
    b'D', 0xae, 0x42, 0x60, 0x82,
];

async fn world() -> World {
    let mut options = Options::default();
    // Longer than what waits at Meta takes to come after a restart, so that no status is missed.
    options
        .variables
        .insert("SEPARATOR_UNKNOWN_WAIT", "3".to_owned());
    // Files that take their time must not change the order that is checked here.
    options
        .variables
        .insert("SEPARATOR_MEDIA_WAIT", "60".to_owned());
    options.graph.webhook_lanes = 4;
    options.graph.webhook_gather = 20;
    options.graph.retry = Retry {
        first: Duration::from_millis(20),
        longest: Duration::from_millis(100),
        ..options.graph.retry
    };
    let world = World::with(options).await;
    world.without_limits().await;
    world
}

/// One world: the program is killed so many times while people write.
async fn storm(seed: u64, kills: u32) -> (usize, usize) {
    let mut world = world().await;
    let mut chance = Chance(seed ^ 0x5eed);
    let stop = Arc::new(AtomicBool::new(false));
    let traffic = tokio::spawn(Traffic::new(&world, seed).run(Arc::clone(&stop)));
    for kill in 0..kills {
        // Mostly soon, also while it starts; now and then late enough for what is unknown to be settled.
        let life = if kill % 10 == 9 {
            4500
        } else {
            20 + chance.below(1000)
        };
        tokio::time::sleep(Duration::from_millis(life)).await;
        world.server.kill();
        world.server.spawn();
    }
    stop.store(true, Ordering::Relaxed);
    let traffic = traffic.await.unwrap();
    world.server.ready().await;
    let ended = Instant::now();
    settled(&world.api, &world).await;
    println!(
        "{kills} kills, then settled after {} ms",
        ended.elapsed().as_millis()
    );
    let carried = traffic.verify(&world).await;
    world.ends_clean().await;
    carried
}

/// Waits until nothing is under way anywhere.
async fn settled(api: &Api, world: &World) {
    let deadline = Instant::now() + LAST;
    loop {
        let queue = api.get("queue").await;
        let idle = queue["depth"] == 0 && queue["receipts"]["depth"] == 0;
        if idle
            && world.graph.counters().updates_waiting() == 0
            && world.portals.events_waiting() == 0
        {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "still under way: {queue:#}\n{}",
            world.server.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_under_load_it_loses_doubles_and_swaps_nothing() {
    let kills = number_from("SEPARATOR_TEST_KILLS").map_or(KILLS, |kills| kills as u32);
    let seed =
        number_from("SEPARATOR_TEST_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    println!("SEPARATOR_TEST_SEED={seed} SEPARATOR_TEST_KILLS={kills}");
    let begun = Instant::now();
    let storms: Vec<_> = (0..STORMS)
        .map(|index| {
            tokio::spawn(storm(
                seed.wrapping_add(index.into()),
                kills.div_ceil(STORMS),
            ))
        })
        .collect();
    let (mut inbound, mut outbound) = (0, 0);
    for storm in storms {
        let carried = storm.await.unwrap();
        inbound += carried.0;
        outbound += carried.1;
    }
    let took = begun.elapsed().as_secs();
    println!("{kills} kills in {took} s; {inbound} messages to operators, {outbound} to customers");
    assert!(inbound > 0 && outbound > 0, "there was no load");
}
