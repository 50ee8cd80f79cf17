//! A flood, and a portal that takes two calls a second.

use crate::{
    Bench,
    report::{Bound, Row},
    rig::{Plan, Rig},
    scenario::{Flood, PATIENCE},
};

/// Many messages of many people, no limits.
pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let rig = Rig::start(bench, Plan::ONE).await?;
    let line = &rig.lines[0];
    let (mut carried, mut acknowledged, mut cost) = (Vec::new(), Vec::new(), Vec::new());
    let mut wrong = None;
    for round in 0..bench.rounds {
        let people = bench.either(500, 100);
        let flood = Flood {
            round,
            first: round as u64 * people,
            people,
            each: 20,
            ordered: true,
        };
        let before = rig.process()?.processor_time()?;
        let took = flood.carry(&rig, line).await?;
        rig.drained(PATIENCE).await?;
        let used = rig.process()?.processor_time()? - before;
        let count = flood.count() as f64;
        carried.push(count / took.elapsed.as_secs_f64());
        acknowledged.push(count / took.acknowledged.as_secs_f64());
        cost.push(used * 1e6 / count);
        wrong = wrong.or(flood.disorder(line));
    }
    rig.remove().await?;
    let count = bench.either(
        "10,000 messages of 500 people",
        "2,000 messages of 100 people",
    );
    let row = |what, unit, values| Row {
        name: "flood",
        what,
        unit,
        values,
        bound: Bound::None,
        wrong: None,
    };
    Ok(vec![
        Row {
            bound: Bound::AtLeast(1500.0),
            wrong,
            ..row(
                format!("{count}, carried to the portal in order"),
                "/s",
                carried,
            )
        },
        row("  acknowledged meanwhile".to_owned(), "/s", acknowledged),
        row(
            "  processor time of the program for each".to_owned(),
            "µs",
            cost,
        ),
    ])
}

/// A portal with Bitrix24's usual limit: two calls a second, fifty at once.
pub(crate) async fn run_limited(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let mut carried = Vec::new();
    let mut calls = Vec::new();
    let mut wrong = None;
    for round in 0..bench.rounds {
        // A portal of its own for each round, so that each begins with the same budget.
        let rig = Rig::start(
            bench,
            Plan {
                portals: 1,
                limited: true,
            },
        )
        .await?;
        let line = &rig.lines[0];
        let flood = Flood {
            round,
            first: 0,
            people: 300,
            each: bench.either(10, 3),
            ordered: true,
        };
        let before = line.portal.counters();
        let took = flood.carry(&rig, line).await?;
        let after = line.portal.counters();
        carried.push(flood.count() as f64 / took.elapsed.as_secs_f64());
        calls.push((after.requests - before.requests) as f64);
        wrong = wrong.or(flood.disorder(line));
        if after.refused > 0 {
            wrong = Some(format!("the portal answered 503 {} times", after.refused));
        }
        rig.remove().await?;
    }
    let count = bench.either("3,000 messages", "900 messages");
    let row = |what, unit, values| Row {
        name: "limited",
        what,
        unit,
        values,
        bound: Bound::None,
        wrong: None,
    };
    Ok(vec![
        Row {
            bound: Bound::AtLeast(40.0),
            wrong,
            ..row(
                format!("{count} of 300 people to a portal of 2 calls a second, no 503"),
                "/s",
                carried,
            )
        },
        row("  calls it took".to_owned(), "", calls),
    ])
}
