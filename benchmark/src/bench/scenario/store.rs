//! Whether a message costs more and a start takes longer the more there is in the store.

use std::time::Instant;

use crate::{
    Bench, bodies,
    report::{Bound, Row, median, progress},
    rig::{Plan, Rig},
    scenario::{Flood, PATIENCE},
    wire::Connection,
};

/// Conversations in the store.
const CONVERSATIONS: [u64; 3] = [1, 100, 10_000];

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let finished = bench.either(1_000_000, 50_000);
    let mut rig = Rig::start(bench, Plan::ONE).await?;
    let mut cost = Cost::default();
    let mut round = 0;
    // The same numbers of conversations twice: a rig of its own for each amount of finished messages.
    for messages in [0, finished] {
        if messages > 0 {
            rig.remove().await?;
            rig = Rig::start(bench, Plan::ONE).await?;
            rig.stop().await?;
            progress(&format!(
                "filling the store with {messages} finished messages"
            ));
            rig.home.add_finished(&rig.lines[0].phone, messages).await?;
        }
        let mut present = 0;
        for conversations in CONVERSATIONS {
            rig.stop().await?;
            let phone = rig.lines[0].phone.clone();
            rig.home
                .add_conversations(&rig.account, &phone, present, conversations)
                .await?;
            present = conversations;
            rig.start_again(bench).await?;
            cost.measure(bench, &rig, conversations, messages, &mut round)
                .await?;
        }
    }
    let mut rows = cost.rows();
    rows.extend(starts(bench, &mut rig, finished).await?);
    rig.remove().await?;
    Ok(rows)
}

/// What a message costs, by what is in the store.
#[derive(Default)]
struct Cost {
    cases: Vec<Case>,
    wrong: Option<String>,
}

/// Figures of one store: alone is one message at a time, crowd is many at once.
struct Case {
    what: String,
    alone_time: Vec<f64>,
    alone_processor: Vec<f64>,
    crowd_time: Vec<f64>,
    crowd_processor: Vec<f64>,
}

impl Cost {
    async fn measure(
        &mut self,
        bench: &Bench,
        rig: &Rig,
        conversations: u64,
        finished: u64,
        round: &mut usize,
    ) -> anyhow::Result<()> {
        let mut case = Case {
            what: format!("{conversations} conversations, {finished} finished messages"),
            alone_time: Vec::new(),
            alone_processor: Vec::new(),
            crowd_time: Vec::new(),
            crowd_processor: Vec::new(),
        };
        // First everybody once without counting: the portal's chats are made, statements are prepared, pages are read.
        let (alone, crowd) = (bench.either(300, 60), bench.either(2000, 300));
        let first = Flood {
            round: *round,
            first: 0,
            people: conversations,
            each: 1,
            ordered: true,
        };
        *round += 1;
        first.carry(rig, &rig.lines[0]).await?;
        rig.drained(PATIENCE).await?;
        for _ in 0..bench.rounds {
            let process = rig.process()?;
            let before = process.processor_time()?;
            case.alone_time
                .push(one_at_a_time(rig, conversations, alone).await?);
            rig.drained(PATIENCE).await?;
            let between = process.processor_time()?;
            case.alone_processor
                .push((between - before) * 1000.0 / alone as f64);
            let people = conversations.min(crowd);
            let flood = Flood {
                round: *round,
                first: 0,
                people,
                each: crowd / people,
                ordered: false,
            };
            *round += 1;
            let carried = flood.carry(rig, &rig.lines[0]).await?;
            rig.drained(PATIENCE).await?;
            let after = process.processor_time()?;
            case.crowd_time
                .push(carried.elapsed.as_secs_f64() * 1000.0 / flood.count() as f64);
            case.crowd_processor
                .push((after - between) * 1000.0 / flood.count() as f64);
            self.wrong = self.wrong.take().or(flood.disorder(&rig.lines[0]));
        }
        self.cases.push(case);
        Ok(())
    }

    fn rows(self) -> Vec<Row> {
        let row = |what, unit, values| Row {
            name: "cost",
            what,
            unit,
            values,
            bound: Bound::None,
            wrong: None,
        };
        let mut rows = Vec::new();
        for case in &self.cases {
            let what = &case.what;
            rows.push(row(
                format!("  {what}: one at a time"),
                "ms",
                case.alone_time.clone(),
            ));
            rows.push(row(
                format!("  {what}: processor"),
                "ms",
                case.alone_processor.clone(),
            ));
            rows.push(row(
                format!("  {what}: many at once"),
                "ms",
                case.crowd_time.clone(),
            ));
            rows.push(row(
                format!("  {what}: processor, many at once"),
                "ms",
                case.crowd_processor.clone(),
            ));
        }
        let mut spread = |what: &str, values: fn(&Case) -> &[f64]| {
            let medians: Vec<f64> = self
                .cases
                .iter()
                .filter_map(|case| median(values(case)))
                .collect();
            let least = medians.iter().copied().fold(f64::INFINITY, f64::min);
            let most = medians.iter().copied().fold(0.0, f64::max);
            rows.push(Row {
                bound: Bound::AtMost(1.5),
                wrong: self.wrong.clone(),
                ..row(
                    format!("cost of a message, most against least: {what}"),
                    "",
                    vec![most / least],
                )
            });
        };
        spread("end to end, one at a time", |case| &case.alone_time);
        spread("processor, one at a time", |case| &case.alone_processor);
        spread("end to end, many at once", |case| &case.crowd_time);
        spread("processor, many at once", |case| &case.crowd_processor);
        rows
    }
}

/// Sends messages, each when the portal has the one before; gives the mean time of each in milliseconds.
async fn one_at_a_time(rig: &Rig, conversations: u64, count: u64) -> anyhow::Result<f64> {
    let line = &rig.lines[0];
    let mut connection = Connection::open(rig.address()).await?;
    let mut whole = 0.0;
    for index in 0..count {
        // A prime step, so that neighbours in the store are not neighbours in time.
        let person = bodies::customer((index * 7919) % conversations);
        let request = rig.signer.text(&line.number, &person, "alone");
        let wanted = line.portal.counters().customer_messages + 1;
        let begun = Instant::now();
        let status = connection.exchange(&request).await?;
        anyhow::ensure!(status == 200, "the webhook was answered with {status}");
        let shown = rig
            .portals
            .wait_until(
                |_| line.portal.counters().customer_messages >= wanted,
                PATIENCE,
            )
            .await;
        anyhow::ensure!(shown, "the portal never had the message");
        whole += begun.elapsed().as_secs_f64() * 1000.0;
    }
    Ok(whole / count as f64)
}

async fn starts(bench: &Bench, rig: &mut Rig, finished: u64) -> anyhow::Result<Vec<Row>> {
    let (mut stopped, mut killed) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        rig.stop().await?;
        stopped.push(rig.start_again(bench).await?.as_secs_f64());
        rig.kill();
        killed.push(rig.start_again(bench).await?.as_secs_f64());
    }
    let row = |what, values| Row {
        name: "start",
        what,
        unit: "s",
        values,
        bound: Bound::AtMost(1.0),
        wrong: None,
    };
    Ok(vec![
        row(
            format!("start to ready with {finished} finished messages"),
            stopped,
        ),
        row("  the same after being killed".to_owned(), killed),
    ])
}
