//! Files both ways.

use super::*;
use crate::graph::{Clock, Fault, Progress, Times};

const TOKEN: [(&str, &str); 1] = [("Authorization", "Bearer EAASANDBOXTOKEN")];

fn multipart(mime_type: &str, bytes: &[u8]) -> Vec<u8> {
    let mut body = format!(
        "--B\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n\
         --B\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\n{mime_type}\r\n\
         --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\nContent-Type: {mime_type}\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n--B--\r\n");
    body
}

async fn upload(stage: &Stage, mime_type: &str, bytes: &[u8]) -> Value {
    let path = format!("/v25.0/{}/media", stage.number());
    let headers = [
        TOKEN[0],
        ("Content-Type", "multipart/form-data; boundary=B"),
    ];
    let body = multipart(mime_type, bytes);
    let answer = stage.raw("POST", &path, &headers, &body).await.unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

async fn address(stage: &Stage, id: &str) -> String {
    let (_, info) = stage.get(&format!("/{id}")).await;
    info["url"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_uploaded_file_reaches_the_customer() {
    let stage = stage().await;
    let uploaded = upload(&stage, "application/pdf", b"%PDF-1.7 sample").await;
    let body = json!({
        "messaging_product": "whatsapp", "to": PHONE, "type": "document",
        "document": {"id": uploaded["id"], "filename": "offer.pdf", "caption": "please"},
    });
    let wamid = stage.send(&body).await;
    stage.reported(&wamid, 2).await;
    let received = stage.graph.received(stage.number(), PHONE);
    let media = received[0].media.as_ref().unwrap();
    assert_eq!(&media.bytes[..], b"%PDF-1.7 sample");
    assert_eq!(media.mime_type, "application/pdf");

    let mut image = body;
    image["type"] = "image".into();
    image["image"] = json!({"id": uploaded["id"]});
    let wrong = stage.send(&image).await;
    stage.reported(&wrong, 1).await;
    let expected = stage
        .graph
        .wait_until(
            |world| {
                world
                    .failure(&wrong)
                    .is_some_and(|(code, _)| code == 131_053)
            },
            LIMIT,
        )
        .await;
    assert!(expected, "a document is no image");
}

#[tokio::test]
async fn what_may_not_be_uploaded_is_refused() {
    let stage = stage().await;
    let refused = upload(&stage, "application/zip", b"PK").await;
    assert_eq!(refused["error"]["code"], 100);
    let large = upload(&stage, "image/webp", &vec![0; 600 * 1024]).await;
    assert_eq!(large["error"]["code"], 131_053);
    stage
        .graph
        .faults()
        .set(Fault::Refused(131_053), Times::Next(1));
    let struck = upload(&stage, "image/png", b"x").await;
    assert_eq!(struck["error"]["code"], 131_053);
    assert_eq!(stage.graph.counters().uploads, 0);
}

#[tokio::test]
async fn a_customers_file_is_had_with_a_bearer_for_five_minutes() {
    let clock = Clock::standing_at(1_795_400_000_000);
    let stage = stage_with(|settings| settings.clock = clock.clone()).await;
    let part = stage
        .graph
        .media("image", "JPEG", "image/jpeg", Some("look"), None);
    let lena = Customer::with_phone(PHONE);
    let wamid = stage.graph.customer_writes(stage.number(), &lena, part);
    stage.reported(&wamid, 1).await;
    let image = stage.inbox.values()[0]["messages"][0]["image"].clone();
    assert_eq!(image["caption"], "look");
    assert_eq!(image["mime_type"], "image/jpeg");

    let url = address(&stage, image["id"].as_str().unwrap()).await;
    let answer = stage.raw("GET", &url, &TOKEN, &[]).await.unwrap();
    assert_eq!(&answer.body[..], b"JPEG");
    assert_eq!(answer.content_type, "image/jpeg");
    assert_eq!(stage.raw("GET", &url, &[], &[]).await.unwrap().status, 401);
    let forged = url.replace("ext=17", "ext=27");
    assert_eq!(
        stage.raw("GET", &forged, &TOKEN, &[]).await.unwrap().status,
        404
    );
    clock.advance(Duration::from_secs(301));
    assert_eq!(
        stage.raw("GET", &url, &TOKEN, &[]).await.unwrap().status,
        404
    );
    let fresh = address(&stage, image["id"].as_str().unwrap()).await;
    assert_eq!(
        stage.raw("GET", &fresh, &TOKEN, &[]).await.unwrap().status,
        200
    );
    clock.advance(Duration::from_hours(8 * 24));
    let gone = stage
        .get(&format!("/{}", image["id"].as_str().unwrap()))
        .await;
    assert_eq!(code(&gone), (100, 33));
}

#[tokio::test]
async fn downloads_can_go_wrong_in_each_way() {
    let stage = stage().await;
    let part = stage.graph.media(
        "document",
        vec![7; 1000],
        "application/pdf",
        None,
        Some("a.pdf"),
    );
    let id = part["document"]["id"].as_str().unwrap().to_owned();
    stage
        .graph
        .customer_writes(stage.number(), &Customer::with_phone(PHONE), part);
    let url = address(&stage, &id).await;
    let faults = stage.graph.faults();

    faults.set(Fault::MediaLyingSize, Times::Always);
    let (_, info) = stage.get(&format!("/{id}")).await;
    assert_eq!(info["file_size"], "500");
    let answer = stage.raw("GET", &url, &TOKEN, &[]).await.unwrap();
    assert_eq!(answer.body.len(), 1000);
    faults.clear();

    faults.set(Fault::MediaCut, Times::Next(1));
    assert!(stage.raw("GET", &url, &TOKEN, &[]).await.is_err());
    faults.set(Fault::MediaSlow(Duration::from_millis(1)), Times::Next(1));
    let answer = stage.raw("GET", &url, &TOKEN, &[]).await.unwrap();
    assert_eq!(answer.body.len(), 1000);
    faults.set(Fault::MediaMissing, Times::Next(2));
    assert_eq!(code(&stage.get(&format!("/{id}")).await), (100, 33));
    assert_eq!(
        stage.raw("GET", &url, &TOKEN, &[]).await.unwrap().status,
        404
    );
    faults.set(Fault::MediaEndless, Times::Next(1));
    assert!(
        stage.raw("GET", &url, &TOKEN, &[]).await.is_err(),
        "the reader gives up at its limit"
    );
}

#[tokio::test]
async fn a_file_given_by_link_is_fetched() {
    let stage = stage().await;
    let file = stage.graph.media("image", "PNG", "image/png", None, None);
    let id = file["image"]["id"].as_str().unwrap();
    let link = format!("{}/sandbox/files/{id}", stage.graph.url());
    let body = |link: &str| {
        json!({
            "messaging_product": "whatsapp", "to": PHONE, "type": "image",
            "image": {"link": link},
        })
    };
    let wamid = stage.send(&body(&link)).await;
    stage.reported(&wamid, 2).await;
    let received = stage.graph.received(stage.number(), PHONE);
    assert_eq!(&received[0].media.as_ref().unwrap().bytes[..], b"PNG");

    let wamid = stage.send(&body(&format!("{link}0"))).await;
    stage.reported(&wamid, 1).await;
    assert_eq!(stage.graph.progress(&wamid), Some(Progress::Failed));
    let statuses = stage.inbox.values().last().unwrap()["statuses"].clone();
    assert_eq!(statuses[0]["errors"][0]["code"], 131_053);
}
