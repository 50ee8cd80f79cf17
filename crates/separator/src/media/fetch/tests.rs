#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Json, Router,
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse as _, Redirect},
    routing::get,
};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::media::folder::tests::DataDir;

const ID: Uuid = Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_00af);
const LIMIT: u64 = 1000;

/// Serves on a free port; gives the base address.
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// Answers the first request with these bytes and hangs up.
async fn hang_up_after(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 2048];
        let _ = connection.read(&mut request).await;
        connection.write_all(answer.as_bytes()).await.unwrap();
    });
    format!("http://{address}")
}

/// Reaches this machine and nothing else that is private.
fn outgoing() -> Outgoing {
    Outgoing::new(vec!["127.0.0.0/8".parse().unwrap()], &[]).unwrap()
}

struct Rig {
    data: DataDir,
    folder: Folder,
    outgoing: Outgoing,
}

impl Rig {
    fn new(outgoing: Outgoing) -> Self {
        let data = DataDir::new();
        let folder = data.folder();
        Self {
            data,
            folder,
            outgoing,
        }
    }

    fn fetcher(&self) -> Fetcher<'_> {
        Fetcher {
            outgoing: &self.outgoing,
            folder: &self.folder,
            limit: LIMIT,
        }
    }

    async fn portal(&self, url: &str) -> Result<Fetched, Failure> {
        self.fetcher()
            .operators_file(ID, "offer.pdf", url, None)
            .await
    }
}

fn endless() -> Body {
    let piece = Bytes::from_static(&[b'x'; 256]);
    Body::from_stream(stream::repeat_with(move || {
        Ok::<_, std::io::Error>(piece.clone())
    }))
}

fn portal() -> Router {
    let page = || async {
        (
            [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
            "<h1>Login</h1>",
        )
    };
    Router::new()
        .route(
            "/file",
            get(async || ([(header::CONTENT_TYPE, "application/pdf")], "%PDF-1.7")),
        )
        .route(
            "/bytes",
            get(async || {
                (
                    [(header::CONTENT_TYPE, "application/octet-stream")],
                    "bytes",
                )
            }),
        )
        .route("/short", get(async || Redirect::temporary("/file")))
        .route("/circle", get(async || Redirect::temporary("/circle")))
        .route(
            "/inward",
            get(async || Redirect::temporary("http://10.0.0.1/latest/meta-data/")),
        )
        .route(
            "/disk",
            get(async || Redirect::temporary("file:///etc/passwd")),
        )
        .route("/endless", get(async || endless()))
        .route("/large", get(async || vec![0_u8; LIMIT as usize + 1]))
        .route("/full", get(async || vec![0_u8; LIMIT as usize]))
        .route("/empty", get(async || ""))
        .route("/page", get(page))
        .route("/gone", get(async || StatusCode::NOT_FOUND))
        .route("/ill", get(async || StatusCode::SERVICE_UNAVAILABLE))
}

#[tokio::test]
async fn an_operators_file_comes_whole_and_through_redirects() {
    let rig = Rig::new(outgoing());
    let base = serve(portal()).await;
    for (path, size, mime_type) in [
        ("/file#img.png", 8, Some("application/pdf")),
        ("/short", 8, Some("application/pdf")),
        ("/bytes", 5, None),
        ("/full", LIMIT, None),
    ] {
        let fetched = rig.portal(&format!("{base}{path}")).await.unwrap();
        let mime_type = mime_type.map(str::to_owned);
        assert_eq!(fetched, Fetched { size, mime_type }, "{path}");
        assert_eq!(std::fs::metadata(rig.folder.path(ID)).unwrap().len(), size);
    }
    assert_eq!(rig.data.files().len(), 1);
}

#[tokio::test]
async fn what_is_no_file_leaves_nothing_behind() {
    let rig = Rig::new(outgoing());
    let base = serve(portal()).await;
    for (path, reason) in [
        ("/endless", "the file is larger than 100 MB"),
        ("/large", "the file is larger than 100 MB"),
        ("/empty", "the file is empty"),
        (
            "/page",
            "the portal answered with a web page instead of the file",
        ),
        ("/gone", "the portal answered with HTTP 404"),
        ("/ill", "the portal answered with HTTP 503"),
        ("/disk", "the portal answered with HTTP 307"),
        ("/circle", "the address of the file may not be called"),
    ] {
        let failure = rig.portal(&format!("{base}{path}")).await.unwrap_err();
        assert_eq!(failure.to_string(), reason, "{path}");
        assert!(rig.data.files().is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_page_may_be_a_file() {
    let rig = Rig::new(outgoing());
    let url = format!("{}/page", serve(portal()).await);
    let fetched = rig
        .fetcher()
        .operators_file(ID, "offer.html", &url, None)
        .await
        .unwrap();
    assert_eq!(fetched.size, 14);
}

#[tokio::test]
async fn a_size_that_is_too_large_is_not_even_asked_for() {
    let rig = Rig::new(outgoing());
    let asked = rig
        .fetcher()
        .operators_file(ID, "a", "http://127.0.0.1:9/", Some(LIMIT + 1))
        .await;
    assert!(matches!(asked, Err(Failure::TooLarge)));
}

#[tokio::test]
async fn private_addresses_are_refused_at_first_and_on_the_way() {
    let base = serve(portal()).await;
    let open = Rig::new(outgoing());
    let closed = Rig::new(Outgoing::new(Vec::new(), &[]).unwrap());
    for (rig, url) in [
        (&open, format!("{base}/inward")),
        (&open, "http://169.254.169.254/latest".to_owned()),
        (&open, "file:///etc/passwd".to_owned()),
        (&closed, format!("{base}/file")),
    ] {
        let failure = rig.portal(&url).await.unwrap_err();
        assert!(
            matches!(failure, Failure::Forbidden(_)),
            "{url}: {failure:?}"
        );
        assert!(failure.wait(0).is_none());
    }
    assert!(matches!(
        open.portal("~/abc").await,
        Err(Failure::NoAddress)
    ));
}

#[tokio::test]
async fn a_broken_connection_is_not_taken_for_the_end() {
    for (answer, declared) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegin", None),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n",
            None,
        ),
        ("HTTP/1.0 200 OK\r\n\r\nbegin", Some(9)),
    ] {
        let rig = Rig::new(outgoing());
        let url = hang_up_after(answer).await;
        let failure = rig
            .fetcher()
            .operators_file(ID, "a.txt", &url, declared)
            .await
            .unwrap_err();
        assert!(
            matches!(failure, Failure::Connection { sender: PORTAL, .. }),
            "{answer}: {failure:?}"
        );
        assert!(rig.data.files().is_empty());
    }
    let rig = Rig::new(outgoing());
    let url = hang_up_after("HTTP/1.0 200 OK\r\n\r\nbegin").await;
    assert_eq!(
        rig.fetcher()
            .operators_file(ID, "a.txt", &url, Some(5))
            .await
            .unwrap()
            .size,
        5
    );
}

/// A Graph API with one file, whose first `refused` addresses have expired.
async fn graph(refused: usize, declared: u64, body: fn() -> Body) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, url) = (Arc::clone(&asked), format!("{base}/file"));
    let info = move || {
        count.fetch_add(1, Ordering::SeqCst);
        let info =
            json!({"url": url, "mime_type": "image/jpeg", "file_size": declared.to_string()});
        async move { Json(info) }
    };
    let count = Arc::clone(&asked);
    let file = move || {
        let expired = count.load(Ordering::SeqCst) <= refused;
        async move {
            if expired {
                StatusCode::NOT_FOUND.into_response()
            } else {
                body().into_response()
            }
        }
    };
    let router = Router::new()
        .route("/v25.0/77", get(info))
        .route("/file", get(file));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (base, asked)
}

async fn from_meta(rig: &Rig, base: &str) -> Result<Fetched, Failure> {
    let access = Access {
        client: whatsapp::Client::new(
            rig.outgoing.file_client(),
            Url::parse(base).unwrap(),
            "v25.0",
        ),
        credentials: Credentials {
            access_token: whatsapp::Secret::new("token"),
            app_secret: None,
        },
        phone_number_id: "1",
    };
    rig.fetcher().customers_file(ID, "77", &access).await
}

#[tokio::test]
async fn a_customers_file_comes_and_an_expired_address_is_renewed_once() {
    // The last one declares half of what comes, as Meta may: what comes counts.
    for (refused, declared, calls) in [(0, 4, 1), (1, 4, 2), (0, 2, 1)] {
        let rig = Rig::new(outgoing());
        let (base, asked) = graph(refused, declared, || Body::from("jpeg")).await;
        let fetched = from_meta(&rig, &base).await.unwrap();
        assert_eq!(
            fetched,
            Fetched {
                size: 4,
                mime_type: Some("image/jpeg".into())
            }
        );
        assert_eq!(asked.load(Ordering::SeqCst), calls);
    }
}

#[tokio::test]
async fn a_customers_file_that_is_gone_or_too_large_is_said_so() {
    for (refused, declared, body, reason, calls) in [
        (
            9,
            4,
            (|| Body::from("jpeg")) as fn() -> Body,
            "Meta no longer has the file",
            2,
        ),
        (0, 4, endless, "the file is larger than 100 MB", 1),
        (0, LIMIT + 1, endless, "the file is larger than 100 MB", 1),
    ] {
        let rig = Rig::new(outgoing());
        let (base, asked) = graph(refused, declared, body).await;
        let failure = from_meta(&rig, &base).await.unwrap_err();
        assert_eq!(
            (failure.to_string().as_str(), asked.load(Ordering::SeqCst)),
            (reason, calls)
        );
        assert!(rig.data.files().is_empty());
    }
}
