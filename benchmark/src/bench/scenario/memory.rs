//! What the program needs: at rest, and with a portal that has been down for a long while.

use std::time::{Duration, Instant};

use sandbox::portal::{Fault, When};

use crate::{
    Bench,
    report::{Bound, Row},
    rig::{Plan, Rig},
    scenario::{Flood, PATIENCE},
    wire,
};

/// How long the program is left alone before it counts as resting.
const REST: Duration = Duration::from_secs(3);

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let (mut rest, mut queued, mut peak, mut translated) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..bench.rounds {
        let mut rig = Rig::start(bench, Plan::ONE).await?;
        rig.stop().await?;
        rig.start_again(bench).await?;
        tokio::time::sleep(REST).await;
        rest.push(rig.process()?.memory()?.now);
        rig.lines[0]
            .portal
            .faults()
            .set(Fault::HtmlBadGateway, When::Always);
        let flood = Flood {
            round,
            first: 0,
            people: 1000,
            each: bench.either(100, 10),
            ordered: true,
        };
        let begun = Instant::now();
        let lists = flood.lists(&rig, &rig.lines[0]);
        let taken = wire::load(rig.address(), lists, PATIENCE).await?;
        anyhow::ensure!(taken.acknowledged == flood.count(), "{taken:?}");
        while rig.waiting().await?.0 > 0 {
            anyhow::ensure!(
                begun.elapsed() < 2 * PATIENCE,
                "the callbacks were not translated"
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        translated.push(flood.count() as f64 / begun.elapsed().as_secs_f64());
        let waiting = rig.waiting().await?.1;
        anyhow::ensure!(waiting >= flood.count(), "only {waiting} messages wait");
        tokio::time::sleep(REST).await;
        let memory = rig.process()?.memory()?;
        queued.push(memory.now);
        peak.push(memory.peak);
        rig.remove().await?;
    }
    let count = bench.either("100,000", "10,000");
    let row = |what, unit, values, bound| Row {
        name: "memory",
        what,
        unit,
        values,
        bound,
        wrong: None,
    };
    Ok(vec![
        row("memory at rest".to_owned(), "MB", rest, Bound::AtMost(48.0)),
        row(
            format!("the most ever, with {count} messages queued for a portal that is down"),
            "MB",
            peak,
            Bound::AtMost(160.0),
        ),
        row(
            "  the same once it rests".to_owned(),
            "MB",
            queued,
            Bound::None,
        ),
        row(
            "  acknowledged and translated meanwhile".to_owned(),
            "/s",
            translated,
            Bound::None,
        ),
    ])
}
