//! How long an operator waits for the note that says why a code sent nothing, while nothing else goes on.

use std::time::Instant;

use anyhow::Context as _;
use axum::{Router, response::Html, routing::get};

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
    let rig = Rig::start(bench, Plan::ONE).await?;
    rig.synchronise().await?;
    open_chat(&rig).await?;
    let page = page().await?;
    let wrong_link = format!("template-invoice+en+file_link:{page}|7");
    let mut rows = Vec::new();
    for (what, code) in [
        (
            "a wrong name in a code until the note in the chat",
            "template-helo_wrld",
        ),
        ("the same, a link that is a web page", &wrong_link),
    ] {
        let (mut middle, mut slowest) = (Vec::new(), Vec::new());
        for _ in 0..bench.rounds {
            let times = told(&rig, code, codes).await?;
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

/// A customer writes, so that there is a chat.
async fn open_chat(rig: &Rig) -> anyhow::Result<()> {
    let line = &rig.lines[0];
    let mut connection = Connection::open(rig.address()).await?;
    let request = rig.signer.text(&line.number, &bodies::customer(0), "1");
    let status = connection.exchange(&request).await?;
    anyhow::ensure!(status == 200, "the webhook was answered with {status}");
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

/// An operator writes the code again and again; milliseconds until the portal has each note.
async fn told(rig: &Rig, code: &str, codes: usize) -> anyhow::Result<Vec<f64>> {
    let portal = &rig.lines[0].portal;
    let chat = portal.chats().first().context("there is no chat")?.id;
    let mut times = Vec::new();
    for _ in 0..codes {
        let wanted = portal.counters().system_messages + 1;
        let begun = Instant::now();
        let written = portal.operator_writes(chat, code, Vec::new());
        anyhow::ensure!(written.is_ok(), "the operator could not write");
        let told = rig
            .portals
            .wait_until(|_| portal.counters().system_messages >= wanted, PATIENCE)
            .await;
        anyhow::ensure!(told, "no note came");
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(times)
}
