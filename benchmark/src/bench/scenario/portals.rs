//! A thousand portals: whether one that is blocked and one that is flooded harm the others.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use sandbox::portal::{Fault, When};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    Bench, bodies,
    report::{Bound, Row, quantile},
    rig::{Plan, Rig},
    scenario::PATIENCE,
    wire::Connection,
};

/// Portals for each message a second to all others than the blocked and the flooded one.
const SPARSE: usize = 20;
/// Messages a second to the blocked portal.
const BLOCKED: u64 = 5;
/// Messages a second to the flooded portal, which takes two calls a second.
const FLOODED: u64 = 200;
/// How long the program is watched while nothing is sent.
const REST: Duration = Duration::from_secs(10);
/// Connections over which the messages come.
const POSTERS: usize = 16;

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let portals = bench.either(1000, 100);
    let length = bench.either(Duration::from_secs(15), Duration::from_secs(5));
    let rig = Rig::start(
        bench,
        Plan {
            portals,
            limited: true,
        },
    )
    .await?;
    rig.drained(PATIENCE).await?;
    let process = rig.process()?;
    let used = process.processor_time()?;
    tokio::time::sleep(REST).await;
    let used = (process.processor_time()? - used) / REST.as_secs_f64() * 100.0;
    let memory = process.memory()?.now;
    let (mut calm, mut stormy, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut wrong = None;
    for round in 0..bench.rounds {
        let before = weather(&rig, 2 * round, length, false).await?;
        rig.lines[0]
            .portal
            .faults()
            .set(Fault::OverloadLimit, When::Always);
        let during = weather(&rig, 2 * round + 1, length, true).await?;
        rig.lines[0]
            .portal
            .faults()
            .set(Fault::OverloadLimit, When::Off);
        let (before_p99, during_p99) =
            (quantile(&before.times, 0.99), quantile(&during.times, 0.99));
        calm.push(before_p99);
        stormy.push(during_p99);
        ratios.push(during_p99 / before_p99);
        wrong = wrong.or(before.wrong).or(during.wrong);
    }
    rig.remove().await?;
    let row = |what, unit, values| Row {
        name: "portals",
        what,
        unit,
        values,
        bound: Bound::None,
        wrong: None,
    };
    Ok(vec![
        row(
            format!("{portals} portals just set up, at rest: of one core"),
            "%",
            vec![used],
        ),
        row("  their memory".to_owned(), "MB", vec![memory]),
        row(
            format!(
                "{portals} portals, {} messages a second over all: p99, calm",
                portals / SPARSE
            ),
            "ms",
            calm,
        ),
        row(
            "  one blocked, one flooded (200 a second): p99 of the others".to_owned(),
            "ms",
            stormy,
        ),
        Row {
            bound: Bound::AtMost(1.5),
            wrong,
            ..row("  the others' p99 against calm".to_owned(), "", ratios)
        },
    ])
}

/// What the others saw.
struct Weather {
    /// Milliseconds from when a message was due to be sent until its portal had it.
    times: Vec<f64>,
    wrong: Option<String>,
}

/// Sends to all but the first two portals for a while; in a storm to these as well.
async fn weather(
    rig: &Rig,
    round: usize,
    length: Duration,
    storm: bool,
) -> anyhow::Result<Weather> {
    let posters = Posters::start(rig).await?;
    let others = rig.lines.len() as u64 - 2;
    let shown_before = shown(rig);
    let per_second = (rig.lines.len() / SPARSE) as u64;
    let count = per_second * length.as_secs();
    let begun = Instant::now();
    let begun_at = bodies::now();
    let mut timetable: Vec<(Duration, u64, u64)> = Vec::new();
    let mut plan = |per_second: u64, line: &dyn Fn(u64) -> u64| {
        for index in 0..per_second * length.as_secs() {
            timetable.push((
                Duration::from_micros(index * 1_000_000 / per_second),
                line(index),
                index,
            ));
        }
    };
    // A prime step visits every portal in an order that is not theirs.
    plan(per_second, &|index| 2 + (index * 7919) % others);
    if storm {
        plan(BLOCKED, &|_| 0);
        plan(FLOODED, &|_| 1);
    }
    timetable.sort_unstable();
    let mut due_at: HashMap<String, u64> = HashMap::new();
    for (due, line, index) in timetable {
        let mark = format!("{round}-{line}-{index}");
        let person = bodies::customer(index % 100);
        let request = rig
            .signer
            .text(&rig.lines[line as usize].number, &person, &mark);
        tokio::time::sleep_until((begun + due).into()).await;
        if line > 1 {
            due_at.insert(mark, begun_at + due.as_millis() as u64);
        }
        posters.send(index as usize, request).await?;
    }
    posters.end().await?;
    while shown(rig) - shown_before < count {
        anyhow::ensure!(
            begun.elapsed() < length + PATIENCE,
            "the others have {} of {count} messages",
            shown(rig) - shown_before
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut times = Vec::new();
    for line in &rig.lines[2..] {
        for message in line.portal.chats().iter().flat_map(|chat| &chat.messages) {
            let mark = message.text.split(' ').next().unwrap_or_default();
            if let Some(due) = due_at.remove(mark) {
                times.push(message.at.saturating_sub(due) as f64);
            }
        }
    }
    let refused: u64 = rig.lines[1..]
        .iter()
        .map(|line| line.portal.counters().refused)
        .sum();
    let wrong = if due_at.is_empty() {
        (refused > 0).then(|| format!("portals answered 503 {refused} times"))
    } else {
        Some(format!("{} messages were not shown", due_at.len()))
    };
    Ok(Weather { times, wrong })
}

fn shown(rig: &Rig) -> u64 {
    rig.lines[2..]
        .iter()
        .map(|line| line.portal.counters().customer_messages)
        .sum()
}

/// Connections that post what they are given, each in order.
struct Posters {
    queues: Vec<mpsc::Sender<Vec<u8>>>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Posters {
    async fn start(rig: &Rig) -> anyhow::Result<Self> {
        let (mut queues, mut tasks) = (Vec::new(), JoinSet::new());
        for _ in 0..POSTERS {
            let (queue, mut waiting) = mpsc::channel::<Vec<u8>>(1000);
            let mut connection = Connection::open(rig.address()).await?;
            tasks.spawn(async move {
                while let Some(request) = waiting.recv().await {
                    let status = connection.exchange(&request).await?;
                    anyhow::ensure!(status == 200, "a webhook was answered with {status}");
                }
                Ok(())
            });
            queues.push(queue);
        }
        Ok(Self { queues, tasks })
    }

    async fn send(&self, index: usize, request: Vec<u8>) -> anyhow::Result<()> {
        self.queues[index % POSTERS].send(request).await?;
        Ok(())
    }

    async fn end(mut self) -> anyhow::Result<()> {
        self.queues.clear();
        while let Some(done) = self.tasks.join_next().await {
            done??;
        }
        Ok(())
    }
}
