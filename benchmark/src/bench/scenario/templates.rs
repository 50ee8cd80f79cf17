//! Templates: how fast codes are read and filled in, and whether a broadcast keeps to Meta's limits and wastes none of them.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use separator::translate::{
    code,
    template::{self, Languages, Template},
};
use serde_json::json;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    Bench, bodies,
    report::{Bound, Row},
    rig::{Line, Plan, Rig},
    scenario::PATIENCE,
};

/// Codes that are read and filled in.
const CODES: usize = 100_000;
/// Templates of the account among which each is looked for; every third of them has the code's language.
const CATALOGUE: usize = 250;
/// Messages a second of one number (Meta: throughput).
const THROUGHPUT: f64 = 80.0;
/// Messages to one customer at once, and the pause for each that follows (Meta: pair rate limit).
const PAIR_BURST: usize = 45;
const PAIR_PAUSE: Duration = Duration::from_secs(6);
/// Requests to the API at once.
const POSTERS: usize = 8;
/// How often the stand-in is looked at.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let mut rows = codes(bench)?;
    rows.extend(broadcast(bench).await?);
    Ok(rows)
}

fn row(what: String, unit: &'static str, values: Vec<f64>, bound: Bound) -> Row {
    Row {
        name: "templates",
        what,
        unit,
        values,
        bound,
        wrong: None,
    }
}

/// Reads and fills in codes of every form against a catalogue of some size.
fn codes(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let components = json!([
        { "type": "HEADER", "format": "DOCUMENT" },
        { "type": "BODY", "text": "Hello {{1}}, your order {{2}} is ready. We are open until {{3}} today." },
        { "type": "FOOTER", "text": "Acme" },
        { "type": "BUTTONS", "buttons": [{ "type": "URL", "text": "Look", "url": "https://a.example/o/{{1}}" }] },
    ]);
    let catalogue: Vec<Template> = (0..CATALOGUE)
        .map(|number| {
            let language = ["en", "de", "ru"][number % 3];
            let name = format!("order_ready_{}", number / 3);
            Template::read(
                &name,
                language,
                "APPROVED",
                "UTILITY",
                "POSITIONAL",
                &components,
            )
        })
        .collect();
    let texts: Vec<String> = (0..CODES)
        .map(|number| {
            let name = number % (CATALOGUE / 3);
            let language = ["en", "de", "ru"][number % 3];
            format!(
                r"template-order_ready_{name}+{language}+file_link:https://a.example/{number}.pdf|Anna \| Bernd|A-{number}|six|{number}"
            )
        })
        .collect();
    let languages = Languages {
        portal: Some("en"),
        number: None,
    };
    let mut values = Vec::new();
    for _ in 0..bench.rounds {
        let begun = Instant::now();
        for text in &texts {
            let read = code::parse(text).context("it is a code")?;
            let read = read.map_err(|malformed| anyhow::anyhow!("{text}: {malformed:?}"))?;
            let filled = template::resolve(&read, &catalogue, languages, false)
                .map_err(|refusal| anyhow::anyhow!("{text}: {refusal:?}"))?;
            anyhow::ensure!(
                filled.shown.contains("Anna | Bernd"),
                "{text}: {}",
                filled.shown
            );
        }
        values.push(begun.elapsed().as_secs_f64());
    }
    let what = format!("{CODES} codes read and filled in, one core, {CATALOGUE} templates");
    Ok(vec![row(what, "s", values, Bound::AtMost(5.0))])
}

/// Sends one template to many customers through one number, and many of them to one. One round: it takes as long as
/// Meta's limit does.
async fn broadcast(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let total = bench.either(10_000, 800);
    let to_one = bench.either(PAIR_BURST + 15, PAIR_BURST + 1);
    let rig = Rig::start(bench, Plan::ONE).await?;
    rig.synchronise().await?;
    let line = &rig.lines[0];
    let chosen = bodies::customer(0);
    // Those of the one customer first: their limit is the longer one to wait for.
    let people = std::iter::repeat_n(0, to_one)
        .chain(1..)
        .take(total)
        .map(|number| bodies::customer(number as u64));
    let before = rig.graph.counters();
    let begun = Instant::now();
    let posted = post(&rig, line, people.collect());
    let limit = Duration::from_secs_f64(total as f64 / THROUGHPUT);
    let watched = watch(
        &rig,
        line,
        &chosen,
        begun,
        total as u64,
        to_one,
        limit * 2 + PATIENCE,
    );
    let (posted, watched) = tokio::join!(posted, watched);
    posted?;
    let watched = watched?;
    let refused = rig.graph.counters().sends_refused - before.sends_refused;
    rig.drained(PATIENCE).await?;
    let sent = rig.graph.counters().sends_accepted - before.sends_accepted;
    rig.remove().await?;
    let own = limit.as_secs_f64();
    let own_of_one = (to_one - PAIR_BURST) as f64 * PAIR_PAUSE.as_secs_f64();
    let mut rows = vec![
        row(
            format!(
                "{total} templates through one number of {THROUGHPUT} a second ({own:.0} s at best)"
            ),
            "s",
            vec![watched.all],
            Bound::None,
        ),
        row(
            "  against the limit's own time".to_owned(),
            "",
            vec![watched.all / own],
            Bound::AtMost(1.05),
        ),
        row(
            "  sends that Meta refused as too many".to_owned(),
            "",
            vec![refused as f64],
            Bound::AtMost(0.0),
        ),
        row(
            // How Meta counts is not documented. Product and stand-in have a bucket of one second: what was not used
            // in one may follow in the next.
            "  most in one second, the burst at the start left out".to_owned(),
            "",
            vec![watched.most],
            Bound::AtMost(2.0 * THROUGHPUT),
        ),
        row(
            // They wait their turn behind what was due before, so the broadcast's end is theirs.
            format!(
                "  {to_one} of them to one customer ({own_of_one:.0} s at best): the last of these"
            ),
            "s",
            vec![watched.one],
            Bound::AtMost(own.max(own_of_one) * 1.05),
        ),
    ];
    if sent != total as u64 {
        rows[0].wrong = Some(format!("{sent} were sent"));
    }
    Ok(rows)
}

/// Asks for the template for everybody, in order, over a few connections.
async fn post(rig: &Rig, line: &Line, people: Vec<String>) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    let mut queues = Vec::new();
    for _ in 0..POSTERS {
        let (queue, mut waiting) = mpsc::channel::<String>(100);
        let sender = rig.sender(line);
        tasks.spawn(async move {
            while let Some(to) = waiting.recv().await {
                sender.send(&to, "template-hello_world").await?;
            }
            anyhow::Ok(())
        });
        queues.push(queue);
    }
    for (index, to) in people.into_iter().enumerate() {
        queues[index % POSTERS].send(to).await?;
    }
    queues.clear();
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// How a broadcast went, in seconds from its beginning and in messages.
struct Watched {
    all: f64,
    one: f64,
    most: f64,
}

/// Looks at what Meta has taken until it has everything.
async fn watch(
    rig: &Rig,
    line: &Line,
    chosen: &str,
    begun: Instant,
    total: u64,
    to_one: usize,
    patience: Duration,
) -> anyhow::Result<Watched> {
    let before = rig.graph.counters().sends_accepted;
    let mut seen: Vec<(f64, u64)> = Vec::new();
    let mut one = None;
    loop {
        let at = begun.elapsed();
        let sent = rig.graph.counters().sends_accepted - before;
        seen.push((at.as_secs_f64(), sent));
        if one.is_none() && rig.graph.received(&line.number.id, chosen).len() >= to_one {
            one = Some(at.as_secs_f64());
        }
        if let Some(one) = one.filter(|_| sent >= total) {
            let first_full = seen.iter().find(|(_, sent)| *sent >= total);
            return Ok(Watched {
                all: first_full.map_or(0.0, |(at, _)| *at),
                one,
                most: most_in_a_second(&seen),
            });
        }
        anyhow::ensure!(at < patience, "after {at:?} Meta has {sent} of {total}");
        tokio::time::sleep(LOOK).await;
    }
}

/// The most messages between two looks a second apart. The burst that Meta allows at the start is over after two.
fn most_in_a_second(seen: &[(f64, u64)]) -> f64 {
    let mut most = 0.0_f64;
    let mut later = seen.iter().peekable();
    for (at, sent) in seen.iter().filter(|(at, _)| *at > 2.0) {
        while later.peek().is_some_and(|(next, _)| *next < at + 1.0) {
            later.next();
        }
        if let Some((next, count)) = later.peek() {
            most = most.max((count - sent) as f64 / (next - at));
        }
    }
    most
}
