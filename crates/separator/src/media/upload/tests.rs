#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use axum::{Json, Router, extract::Multipart, http::StatusCode, routing::post};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

use super::*;
use crate::{
    media::folder::tests::DataDir,
    outgoing::Outgoing,
    registry::Connection,
    store::media::{Arrived, NewMedia, Source, insert, ready},
};

const MEDIA: Uuid = Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_00af);
const NOW: Millis = Millis(1_795_409_252_000);

fn phone(phone_number_id: &str) -> Phone {
    Phone {
        id: Uuid::from_u128(10),
        account_id: Uuid::from_u128(11),
        phone: "4915755501234".into(),
        phone_number_id: phone_number_id.into(),
        instance_id: None,
        sms_service: false,
        automatic_texts: true,
        calling: "disabled".into(),
        sip: "disabled".into(),
        sip_hostname: None,
        sip_port: 5061,
        connection: Connection::NotLinked,
        connector: None,
        line_id: None,
        line_name: None,
        chosen_line_id: None,
        offered_id: None,
        error: None,
        paused: None,
        created_at: NOW,
    }
}

/// A file part as the Graph API received it: type field, part's type, name, length.
type Received = Arc<Mutex<Vec<(String, String, String, usize)>>>;

/// A Graph API that takes files for the numbers 1 and 2; number 3 is refused.
async fn graph() -> (Client, Received) {
    let received = Received::default();
    let kept = Arc::clone(&received);
    let take = async move |mut form: Multipart| {
        let mut kind = String::new();
        while let Some(field) = form.next_field().await.unwrap() {
            match field.name() {
                Some("type") => kind = field.text().await.unwrap(),
                Some("file") => {
                    let mime = field.content_type().unwrap().to_owned();
                    let name = field.file_name().unwrap().to_owned();
                    let length = field.bytes().await.unwrap().len();
                    kept.lock()
                        .unwrap()
                        .push((kind.clone(), mime, name, length));
                }
                _ => {}
            }
        }
        let count = kept.lock().unwrap().len();
        Json(json!({"id": format!("90{count}")}))
    };
    let refuse = async || {
        let error: Value = json!({"error": {"code": 100, "message": "Invalid parameter"}});
        (StatusCode::BAD_REQUEST, Json(error))
    };
    let router = Router::new()
        .route("/v25.0/1/media", post(take.clone()))
        .route("/v25.0/2/media", post(take))
        .route("/v25.0/3/media", post(refuse));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let outgoing = Outgoing::new(Vec::new(), std::slice::from_ref(&base)).unwrap();
    (Client::new(outgoing.api_client(), base, "v25.0"), received)
}

struct Rig {
    data: DataDir,
    folder: Folder,
    store: Store,
    client: Client,
    received: Received,
}

impl Rig {
    async fn with(name: &str, bytes: &'static [u8]) -> Self {
        let data = DataDir::new();
        let folder = data.folder();
        let store = Store::open_sqlite(&data.path().join("test.db"))
            .await
            .unwrap();
        let size = folder
            .receive(MEDIA, stream::iter([Ok::<_, ()>(bytes)]), 1000)
            .await
            .unwrap();
        let file = NewMedia {
            id: MEDIA,
            phone: Uuid::from_u128(10),
            source: Source::Meta {
                media_id: "5".into(),
            },
            name: name.into(),
            mime_type: None,
            created_at: NOW,
        };
        let arrived = Arrived {
            size,
            name: name.into(),
            mime_type: None,
        };
        let mut tx = store.begin().await.unwrap();
        insert(&mut tx, &[file]);
        ready(&mut tx, MEDIA, &arrived);
        tx.commit().await.unwrap();
        let (client, received) = graph().await;
        Self {
            data,
            folder,
            store,
            client,
            received,
        }
    }

    async fn upload(&self, number: &str, now: Millis) -> Result<Uploaded, UploadError> {
        self.upload_with(Some("token"), number, now).await
    }

    async fn upload_with(
        &self,
        token: Option<&str>,
        number: &str,
        now: Millis,
    ) -> Result<Uploaded, UploadError> {
        let credentials = token.map(|token| Credentials {
            access_token: whatsapp::Secret::new(token),
            app_secret: None,
        });
        let phone = phone(number);
        let uploader = Uploader {
            store: &self.store,
            folder: &self.folder,
            client: self.client.clone(),
            credentials,
            phone: &phone,
            now,
        };
        uploader.upload(MEDIA).await
    }
}

const JPEG: &[u8] = b"\xFF\xD8\xFF\xE0 a picture";

#[tokio::test]
async fn a_file_is_uploaded_once_as_what_its_bytes_are() {
    let rig = Rig::with("scan.pdf", JPEG).await;
    let first = rig.upload("1", NOW).await.unwrap();
    let wanted = Uploaded {
        id: "901".into(),
        kind: MediaKind::Image,
        mime: "image/jpeg".into(),
        voice: false,
        size: JPEG.len() as u64,
    };
    assert_eq!(first, wanted);
    assert_eq!(rig.upload("1", NOW).await.unwrap(), wanted);
    let jpeg = || "image/jpeg".to_owned();
    assert_eq!(
        *rig.received.lock().unwrap(),
        [(jpeg(), jpeg(), "scan.pdf".into(), JPEG.len())]
    );
}

#[tokio::test]
async fn an_upload_that_is_old_or_of_another_number_is_made_anew() {
    let rig = Rig::with("a.jpg", JPEG).await;
    for (number, now, id) in [
        ("1", NOW, "901"),
        (
            "1",
            Millis(NOW.0 + 1) + KEPT - Duration::from_millis(2),
            "901",
        ),
        ("1", NOW + KEPT, "902"),
        ("2", NOW + KEPT, "903"),
    ] {
        assert_eq!(
            rig.upload(number, now).await.unwrap().id,
            id,
            "{number} {now}"
        );
    }
    store::media::keep_upload(&rig.store, MEDIA, "not ours")
        .await
        .unwrap();
    assert_eq!(rig.upload("2", NOW).await.unwrap().id, "904");
}

#[tokio::test]
async fn what_cannot_be_uploaded_says_why() {
    let rig = Rig::with("a.jpg", JPEG).await;
    let refused = rig.upload("3", NOW).await.unwrap_err();
    assert!(
        matches!(refused, UploadError::Meta(whatsapp::Error::Api(_))),
        "{refused:?}"
    );
    let UploadError::Meta(error) = rig.upload_with(None, "1", NOW).await.unwrap_err() else {
        panic!("no token is Meta's business");
    };
    assert!(error.class().stops_the_line());

    std::fs::remove_dir_all(rig.data.path().join("media")).unwrap();
    assert!(matches!(rig.upload("1", NOW).await, Err(UploadError::Gone)));
    store::media::delete(&rig.store, &[MEDIA]).await.unwrap();
    assert!(matches!(rig.upload("1", NOW).await, Err(UploadError::Gone)));
    assert!(rig.received.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_file_beyond_all_limits_is_not_sent() {
    let rig = Rig::with("a.zip", b"PK\x03\x04").await;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(rig.folder.path(MEDIA))
        .unwrap();
    // A hole: it takes no room on the disk.
    file.set_len(100 * 1024 * 1024 + 1).unwrap();
    let error = rig.upload("1", NOW).await.unwrap_err();
    let UploadError::TooLarge { size, limit } = error else {
        panic!("{error:?}")
    };
    assert_eq!((size, limit), (100 * 1024 * 1024 + 1, 100 * 1024 * 1024));
}
