//! The doors: acknowledged webhooks a second, against the minimal server and against single synced inserts.

use std::{process::Command, time::Duration};

use crate::{
    Bench,
    bodies::{self, Number, Signer},
    database::{self, Home},
    process::{Process, free_address},
    report::{Bound, Row},
    rig::{APP_SECRET, Plan, Rig},
    wire::{self, Taken},
};

/// Requests made for one second of a round; more than any server here takes.
const PER_SECOND: usize = 45_000;
/// The same for one connection.
const PER_SECOND_ALONE: usize = 12_000;
/// People who write.
const PEOPLE: u64 = 2000;

/// Each round is on a fresh copy of a product that is set up, with the number linked: what it does with the webhooks
/// meanwhile is part of it. What it has not done by the end of a round goes away with the copy.
pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let mut rig = Rig::start(bench, Plan::ONE).await?;
    rig.stop().await?;
    let mut rows = Vec::new();
    for &connections in &bench.connections {
        let mut round = Round {
            bench,
            rig: &rig,
            connections,
            length: bench.length,
        };
        rows.extend(round.measure().await?);
    }
    rig.remove().await?;
    Ok(rows)
}

struct Round<'a> {
    bench: &'a Bench,
    rig: &'a Rig,
    connections: usize,
    length: Duration,
}

impl Round<'_> {
    async fn measure(&mut self) -> anyhow::Result<Vec<Row>> {
        let (mut product, mut reference, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let mut wrong = None;
        for _ in 0..self.bench.rounds {
            let base = if self.connections == 1 {
                self.insert_alone().await?
            } else {
                self.minimal().await?
            };
            let taken = self.product().await?;
            if taken.refused > 0 {
                wrong = Some(format!("{} were refused", taken.refused));
            }
            product.push(taken.per_second());
            reference.push(base);
            ratios.push(taken.per_second() / base);
        }
        let at = match self.connections {
            1 => "1 connection".to_owned(),
            many => format!("{many} connections"),
        };
        let (compared, short) = if self.connections == 1 {
            (
                "synced inserts of that body, one after the other",
                "single synced inserts",
            )
        } else {
            ("the minimal server's", "the minimal server")
        };
        let row = |what, unit, values, bound| Row {
            name: "doors",
            what,
            unit,
            values,
            bound,
            wrong: None,
        };
        Ok(vec![
            row(
                format!("acknowledged webhooks, {at}"),
                "/s",
                product,
                Bound::None,
            ),
            row(format!("  {compared}, {at}"), "/s", reference, Bound::None),
            Row {
                wrong,
                ..row(
                    format!("  share of {short}, {at}"),
                    "",
                    ratios,
                    Bound::AtLeast(0.6),
                )
            },
        ])
    }

    async fn product(&self) -> anyhow::Result<Taken> {
        let (process, home) = self.rig.start_copy(self.bench).await?;
        let lists = self.requests(&self.rig.signer, &self.rig.lines[0].number);
        let taken = wire::load(process.address, lists, self.length).await?;
        drop(process);
        home.remove().await?;
        Ok(taken)
    }

    async fn minimal(&self) -> anyhow::Result<f64> {
        let home = Home::make(&self.bench.kind, &self.bench.work).await?;
        let address = free_address()?;
        let mut command = Command::new(&self.bench.minimal);
        command.args(["--listen", &address.to_string(), "--secret", APP_SECRET]);
        match home.postgres() {
            Some(url) => command.args(["--postgres", &url]),
            None => command.arg("--sqlite").arg(home.folder.join("minimal.db")),
        };
        let (process, _) = Process::start(command, address, &home.folder.join("log")).await?;
        let signer = Signer::new(APP_SECRET, &format!("http://{address}/").parse()?)?;
        let lists = self.requests(&signer, &self.rig.lines[0].number);
        let taken = wire::load(address, lists, self.length).await?;
        drop(process);
        home.remove().await?;
        anyhow::ensure!(
            taken.refused == 0,
            "the minimal server refused {}",
            taken.refused
        );
        Ok(taken.per_second())
    }

    async fn insert_alone(&self) -> anyhow::Result<f64> {
        let body = bodies::text_body(&self.rig.lines[0].number, &bodies::customer(1), "1");
        database::insert_alone(
            &self.bench.kind,
            &self.bench.work,
            body.as_bytes(),
            self.length,
        )
        .await
    }

    fn requests(&self, signer: &Signer, number: &Number) -> Vec<Vec<Vec<u8>>> {
        let per_second = if self.connections == 1 {
            PER_SECOND_ALONE
        } else {
            PER_SECOND
        };
        let count = per_second * self.length.as_secs() as usize;
        let mut lists = vec![Vec::with_capacity(count / self.connections + 1); self.connections];
        for index in 0..count {
            let customer = bodies::customer(index as u64 % PEOPLE);
            lists[index % self.connections].push(signer.text(number, &customer, "1"));
        }
        lists
    }
}
