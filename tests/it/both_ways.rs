//! A message there and back.

use crate::world::{World, lena};

#[tokio::test(flavor = "multi_thread")]
async fn a_text_reaches_the_operator_and_the_reply_reaches_the_customer() {
    let world = World::start().await;
    let wamid = world.customer_says(&lena(), "Guten Tag 👋");
    let chat = world.operator_sees_text("Guten Tag 👋").await;
    world.operator_says(&chat, "[b]Hallo[/b] Lena");
    let received = world.customer_receives(&lena(), 1).await;
    assert_eq!(received[0].body["text"]["body"], "*Hallo* Lena");
    assert_eq!(received[0].body["to"], "+4915755509876");
    let message = world.message_is(&received[0].wamid, "delivered").await;
    assert_eq!(message["direction"], "outbound");
    world.message_is(&wamid, "delivered").await;
    // Bitrix24 is told the wamid, so that the bubble stops "sending".
    let sent = received[0].wamid.clone();
    world
        .operator_sees("the confirmation", |chat| {
            chat.messages
                .iter()
                .any(|message| message.delivered && message.external_ids.contains(&sent))
        })
        .await;
    world.ends_clean().await;
}
