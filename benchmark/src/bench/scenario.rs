//! The benchmarks.

pub(crate) mod doors;
pub(crate) mod flood;
pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod portals;
pub(crate) mod refusals;
pub(crate) mod store;
pub(crate) mod templates;

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::{
    bodies,
    rig::{Line, Rig},
    wire,
};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_mins(3);
/// Connections over which a flood comes.
const CONNECTIONS: usize = 64;

/// A flood: so many people write so many messages each, as fast as the doors take them.
struct Flood {
    /// Tells the messages of one flood from those of another.
    round: usize,
    /// The first person.
    first: u64,
    people: u64,
    each: u64,
    /// Whether a person's messages come one after the other; else they come all at once and in no order.
    ordered: bool,
}

/// How a flood went.
struct Carried {
    /// From the first byte until the portal had everything.
    elapsed: Duration,
    /// Until every message was acknowledged.
    acknowledged: Duration,
}

impl Flood {
    fn count(&self) -> u64 {
        self.people * self.each
    }

    /// The requests: in order where each person stays on one connection.
    fn lists(&self, rig: &Rig, line: &Line) -> Vec<Vec<Vec<u8>>> {
        let connections = CONNECTIONS.min(self.count() as usize);
        let mut lists = vec![Vec::new(); connections];
        for number in 0..self.each {
            for person in 0..self.people {
                let customer = bodies::customer(self.first + person);
                let request = rig.signer.text(&line.number, &customer, &self.mark(number));
                let turn = if self.ordered {
                    person
                } else {
                    number * self.people + person
                };
                lists[turn as usize % connections].push(request);
            }
        }
        lists
    }

    fn mark(&self, number: u64) -> String {
        format!("{}-{number}", self.round)
    }

    /// Sends everything and waits until the portal has it.
    async fn carry(&self, rig: &Rig, line: &Line) -> anyhow::Result<Carried> {
        let lists = self.lists(rig, line);
        let before = line.portal.counters().customer_messages;
        let begun = Instant::now();
        let taken = wire::load(rig.address(), lists, PATIENCE).await?;
        let acknowledged = begun.elapsed();
        if taken.acknowledged != self.count() {
            bail!(
                "{} of {} were acknowledged, {} refused",
                taken.acknowledged,
                self.count(),
                taken.refused
            );
        }
        loop {
            let shown = line.portal.counters().customer_messages - before;
            if shown >= self.count() {
                return Ok(Carried {
                    elapsed: begun.elapsed(),
                    acknowledged,
                });
            }
            if begun.elapsed() > PATIENCE {
                bail!(
                    "after {PATIENCE:?} the portal has {shown} of {}",
                    self.count()
                );
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What is wrong with what the portal shows: every message once, each person's in order.
    fn disorder(&self, line: &Line) -> Option<String> {
        let prefix = format!("{}-", self.round);
        let (mut found, mut people) = (0, 0);
        for chat in line.portal.chats() {
            let mut numbers: Vec<u64> = chat
                .messages
                .iter()
                .filter_map(|message| {
                    message
                        .text
                        .split(' ')
                        .next()?
                        .strip_prefix(&prefix)?
                        .parse()
                        .ok()
                })
                .collect();
            if numbers.is_empty() {
                continue;
            }
            if !self.ordered {
                numbers.sort_unstable();
            }
            people += 1;
            found += numbers.len() as u64;
            if !numbers.iter().copied().eq(0..self.each) {
                return Some(format!("out of order or not once: {numbers:?}"));
            }
        }
        (found != self.count() || people != self.people)
            .then(|| format!("{found} messages of {people} people are shown"))
    }
}
