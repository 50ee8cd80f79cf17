//! Replacing the program while callers come.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::world::{PATIENCE, World, lena};

/// One caller with a connection of its own; whether it got an answer. Being refused is an error of the connection.
async fn call(domain: &str) -> std::io::Result<bool> {
    let mut connection = TcpStream::connect(domain).await?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {domain}\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    // A connection that is closed before its request was read is closed properly; the caller may come again.
    let exchanged = async {
        connection.write_all(request.as_bytes()).await?;
        connection.read_to_end(&mut answer).await
    };
    let exchanged = timeout(PATIENCE, exchanged).await?;
    Ok(exchanged.is_ok() && answer.starts_with(b"HTTP/1.1 200"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_program_on_the_service_managers_socket_refuses_no_connection() {
    let mut world = World::start().await;
    world.server.stop().await;
    let domain = world.server.domain();
    let door = TcpListener::bind(&domain).unwrap();
    world.server.start_on(&door).await;

    let (ended, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (domain, ended, answered) =
                (domain.clone(), Arc::clone(&ended), Arc::clone(&answered));
            tokio::spawn(async move {
                while !ended.load(Ordering::Relaxed) {
                    if call(&domain).await? {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok::<(), std::io::Error>(())
            })
        })
        .collect();
    for _ in 0..3 {
        world.server.stop().await;
        // Written while nobody is there: the stand-in's webhook waits in the socket's queue.
        world.customer_says(&lena(), "Is anybody there?");
        world.server.start_on(&door).await;
    }
    ended.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap().expect("a connection was refused");
    }
    assert!(answered.load(Ordering::Relaxed) > 3, "nobody was answered");
    world
        .operator_sees("all three messages", |chat| {
            chat.messages
                .iter()
                .filter(|message| message.text == "Is anybody there?")
                .count()
                == 3
        })
        .await;
    world.ends_clean().await;
}
