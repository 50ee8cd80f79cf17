//! How long an operator waits for the note that says why a code sent nothing, while nothing else goes on.

use std::time::Instant;

use axum::{Router, response::Html, routing::get};
use sandbox::portal::{Author, Message};

use crate::{
    Bench, bodies,
    report::{Bound, Row, quantile},
    rig::{Plan, Rig},
    scenario::PATIENCE,
    wire::Connection,
};

/// The longest that an operator may wait, in milliseconds.
const LONGEST: f64 = 2000.0;

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let codes = bench.either(200, 40);
    let links = bench.either(30, 10);
    let rig = Rig::start(bench, Plan::ONE).await?;
    rig.synchronise().await?;
    open_chats(&rig, codes).await?;
    let page = page().await?;
    let mut rows = Vec::new();
    for (kind, (what, count, begin, end)) in [
        (
            "a wrong name in a code until the note in the chat",
            codes,
            "template-helo_".to_owned(),
            "",
        ),
        (
            "the same, a link that is a web page",
            links,
            format!("template-invoice+en+file_link:{page}?"),
            "|7",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut middle, mut slowest) = (Vec::new(), Vec::new());
        for round in 0..bench.rounds {
            let times = told(&rig, &format!("{kind}_{round}"), &begin, end, count).await?;
            anyhow::ensure!(times.len() == count, "{} notes came", times.len());
            middle.push(quantile(&times, 0.5));
            slowest.push(quantile(&times, 0.99));
            rig.drained(PATIENCE).await?;
        }
        for (share, values) in [("p50", middle), ("p99", slowest)] {
            rows.push(Row {
                name: "refusals",
                what: format!("{what}: {share}"),
                unit: "ms",
                values,
                bound: Bound::AtMost(LONGEST),
                wrong: None,
            });
        }
    }
    let sent = rig.graph.counters().sends_accepted;
    anyhow::ensure!(sent == 0, "{sent} messages went to the customer");
    rig.remove().await?;
    Ok(rows)
}

/// So many customers write, each in a chat of their own.
async fn open_chats(rig: &Rig, count: usize) -> anyhow::Result<()> {
    let line = &rig.lines[0];
    let mut connection = Connection::open(rig.address()).await?;
    for person in 0..count {
        let customer = bodies::customer(person as u64);
        let request = rig.signer.text(&line.number, &customer, "1");
        let status = connection.exchange(&request).await?;
        anyhow::ensure!(status == 200, "the webhook was answered with {status}");
    }
    rig.drained(PATIENCE).await
}

/// A web page where a document should be; gives its address.
async fn page() -> anyhow::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}/page", listener.local_addr()?);
    let router = Router::new().route("/page", get(|| async { Html("<h1>Log in</h1>") }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// In each of so many chats an operator writes the code, which has a word of its own; milliseconds until the portal has the note in
/// which that word stands.
async fn told(
    rig: &Rig,
    run: &str,
    begin: &str,
    end: &str,
    count: usize,
) -> anyhow::Result<Vec<f64>> {
    let portal = &rig.lines[0].portal;
    let mut times = Vec::new();
    for chat in portal.chats().into_iter().take(count) {
        let word = format!("word_{run}_{}_", chat.id);
        let code = format!("{begin}{word}{end}");
        let is =
            |message: &Message| message.author == Author::System && message.text.contains(&word);
        let begun = Instant::now();
        let written = portal.operator_writes(chat.id, &code, Vec::new());
        anyhow::ensure!(written.is_ok(), "the operator could not write");
        let told = rig
            .portals
            .wait_until(
                |_| {
                    let chat = portal.chat(chat.id);
                    chat.is_some_and(|chat| chat.messages.iter().any(is))
                },
                PATIENCE,
            )
            .await;
        anyhow::ensure!(told, "no note of {code} came");
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(times)
}
