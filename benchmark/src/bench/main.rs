//! Measures the product: how fast its doors are, how long a message takes, what a flood does, what it costs to run.
//!
//! The product, the minimal server it is compared with and the database are processes of their own; the stand-ins for
//! Meta and Bitrix24 live in this process and share the machine with what is measured. Ratios are made of neighbouring
//! measurements of one run, so that a slow minute of the machine does not decide.

mod baseline;
mod bodies;
mod database;
mod machine;
mod process;
mod report;
mod rig;
mod scenario;
mod wire;

use std::{path::PathBuf, pin::Pin, time::Duration};

use anyhow::Context as _;
use clap::Parser;

use self::{
    database::Kind,
    report::{Bound, Report, Row, progress, say},
};

#[derive(Parser)]
struct Arguments {
    /// One short round of everything: shows that it works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Only these benchmarks, several with commas: doors, latency, flood, limited, portals, memory, store, refusals, templates.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Doors only: how many connections, several with commas.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 256, 1])]
    connections: Vec<usize>,
    /// Doors only: seconds that a round lasts.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Rounds; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Leaves SQLite out.
    #[arg(long)]
    without_sqlite: bool,
    /// Address of a PostgreSQL database in which others may be made; without it PostgreSQL is left out.
    #[arg(long)]
    postgres: Option<String>,
    /// Where databases are made; the disk that is measured.
    #[arg(long)]
    work: PathBuf,
    /// Where the figures go as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What every benchmark needs to know.
pub(crate) struct Bench {
    pub(crate) kind: Kind,
    pub(crate) work: PathBuf,
    pub(crate) separator: PathBuf,
    pub(crate) minimal: PathBuf,
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    pub(crate) connections: Vec<usize>,
    /// How long a round at the doors lasts.
    pub(crate) length: Duration,
}

impl Bench {
    /// One of two, for a full and for a short run.
    pub(crate) fn either<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

type Rows<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Vec<Row>>> + 'a>>;

/// A benchmark: its name and how it is run.
type Scenario = (&'static str, for<'a> fn(&'a Bench) -> Rows<'a>);

const SCENARIOS: [Scenario; 9] = [
    ("doors", |bench| Box::pin(scenario::doors::run(bench))),
    ("latency", |bench| Box::pin(scenario::latency::run(bench))),
    ("flood", |bench| Box::pin(scenario::flood::run(bench))),
    ("limited", |bench| {
        Box::pin(scenario::flood::run_limited(bench))
    }),
    ("portals", |bench| Box::pin(scenario::portals::run(bench))),
    ("memory", |bench| Box::pin(scenario::memory::run(bench))),
    ("store", |bench| Box::pin(scenario::store::run(bench))),
    ("refusals", |bench| Box::pin(scenario::refusals::run(bench))),
    ("templates", |bench| {
        Box::pin(scenario::templates::run(bench))
    }),
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Everything goes over plain HTTP, but the client of the API wants to know.
    let _ = rustls::crypto::ring::default_provider().install_default();
    for only in &arguments.only {
        anyhow::ensure!(
            SCENARIOS.iter().any(|(name, _)| name == only),
            "there is no benchmark {only}"
        );
    }
    std::fs::create_dir_all(&arguments.work)?;
    let own = std::env::current_exe()?;
    let programs = own.parent().context("the folder of the programs")?;
    let machine = machine::describe(&arguments.work, arguments.postgres.as_deref()).await?;
    say(&format!("{machine:#}"));

    let sqlite = (!arguments.without_sqlite).then_some(Kind::Sqlite);
    let postgres = arguments.postgres.clone().map(Kind::Postgres);
    let rounds = if arguments.quick {
        1
    } else {
        arguments.rounds.max(1)
    };
    let mut report = Report::default();
    for kind in sqlite.into_iter().chain(postgres) {
        let bench = Bench {
            kind,
            work: arguments.work.clone(),
            separator: programs.join("separator"),
            minimal: programs.join("minimal"),
            quick: arguments.quick,
            rounds,
            connections: arguments.connections.clone(),
            length: Duration::from_secs(if arguments.quick {
                1
            } else {
                arguments.seconds
            }),
        };
        say(&format!("\n{}", bench.kind.name()));
        for (name, run) in SCENARIOS {
            if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == name) {
                continue;
            }
            progress(&format!("{}: {name}", bench.kind.name()));
            let rows = run(&bench)
                .await
                .unwrap_or_else(|error| vec![not_measured(name, &error)]);
            report.add(bench.kind.name(), rows);
        }
    }
    let json = report.json(&machine, rounds, arguments.quick);
    if let Some(file) = &arguments.json {
        std::fs::write(file, format!("{json:#}\n"))?;
    }
    say(&json.to_string());
    say(&report.table());
    match report.unmet() {
        0 => say("Every bound is met."),
        unmet => say(&format!("{unmet} bounds are NOT met.")),
    }
    Ok(())
}

/// A benchmark that could not be finished counts as a bound not met.
fn not_measured(name: &'static str, error: &anyhow::Error) -> Row {
    Row {
        name,
        what: "could not be measured".to_owned(),
        unit: "",
        values: Vec::new(),
        bound: Bound::None,
        wrong: Some(format!("{error:#}")),
    }
}
