//! How long one message takes from end to end while nothing else goes on, above the stand-ins' own time.

use std::time::{Duration, Instant};

use crate::{
    Bench,
    baseline::Baseline,
    bodies,
    report::{Bound, Row, quantile},
    rig::{Plan, Rig},
    scenario::PATIENCE,
    wire::Connection,
};

/// A pause after each message: statuses and confirmations are through, the program rests.
const REST: Duration = Duration::from_millis(30);

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let messages = bench.either(200, 40);
    let rig = Rig::start(bench, Plan::ONE).await?;
    let baseline = Baseline::start().await?;
    let (mut inbound, mut outbound) = (Direction::default(), Direction::default());
    for round in 0..bench.rounds {
        // People of their own in each round: Meta takes few messages a minute for one person.
        let people = (round * messages) as u64..((round + 1) * messages) as u64;
        inbound.took(
            &webhooks(&rig, people.clone()).await?,
            &baseline.posts(messages).await?,
        );
        rig.drained(PATIENCE).await?;
        let own: Vec<f64> = baseline
            .events(messages)
            .await?
            .into_iter()
            .zip(baseline.sends(messages).await?)
            .map(|(event, send)| event + send)
            .collect();
        outbound.took(&answers(&rig, people).await?, &own);
        rig.drained(PATIENCE).await?;
    }
    baseline.stop().await;
    rig.remove().await?;
    let mut rows = inbound.rows("webhook to the portal");
    rows.extend(outbound.rows("operator's event to Graph"));
    Ok(rows)
}

/// What was measured of one direction, in milliseconds.
#[derive(Default)]
struct Direction {
    middle: Vec<f64>,
    slowest: Vec<f64>,
    own: Vec<f64>,
}

impl Direction {
    /// The stand-ins' usual time is taken off both figures; their slowest is not theirs to blame on them.
    fn took(&mut self, whole: &[f64], own: &[f64]) {
        let own = quantile(own, 0.5);
        self.middle.push(quantile(whole, 0.5) - own);
        self.slowest.push(quantile(whole, 0.99) - own);
        self.own.push(own);
    }

    fn rows(self, what: &str) -> Vec<Row> {
        let row = |what, values, bound| Row {
            name: "latency",
            what,
            unit: "ms",
            values,
            bound,
            wrong: None,
        };
        vec![
            row(
                format!("{what}, idle, above the stand-ins' time: p50"),
                self.middle,
                Bound::AtMost(8.0),
            ),
            row(
                format!("{what}, idle, above the stand-ins' time: p99"),
                self.slowest,
                Bound::AtMost(40.0),
            ),
            row(
                format!("  {what}: the stand-ins' own time"),
                self.own,
                Bound::None,
            ),
        ]
    }
}

/// Customers write one after the other; from the webhook's first byte until the portal has the message.
async fn webhooks(rig: &Rig, people: std::ops::Range<u64>) -> anyhow::Result<Vec<f64>> {
    let line = &rig.lines[0];
    let mut connection = Connection::open(rig.address()).await?;
    let mut times = Vec::new();
    for person in people {
        let request = rig
            .signer
            .text(&line.number, &bodies::customer(person), "1");
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
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
        tokio::time::sleep(REST).await;
    }
    Ok(times)
}

/// Operators answer one after the other; from writing until Graph has taken the message.
async fn answers(rig: &Rig, people: std::ops::Range<u64>) -> anyhow::Result<Vec<f64>> {
    let line = &rig.lines[0];
    let chats: Vec<i64> = line.portal.chats().iter().map(|chat| chat.id).collect();
    let mut times = Vec::new();
    for person in people {
        let wanted = rig.graph.counters().sends_accepted + 1;
        let begun = Instant::now();
        let text = "Yes, we keep it for you until Saturday.";
        let written = line
            .portal
            .operator_writes(chats[person as usize], text, Vec::new());
        anyhow::ensure!(written.is_ok(), "the operator could not write");
        let sent = rig
            .graph
            .wait_until(|world| world.counters().sends_accepted >= wanted, PATIENCE)
            .await;
        anyhow::ensure!(sent, "Graph never had the message");
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
        tokio::time::sleep(REST).await;
    }
    Ok(times)
}
