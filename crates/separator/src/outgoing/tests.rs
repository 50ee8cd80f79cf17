#![expect(clippy::unwrap_used, reason = "tests")]

use std::{io, net::SocketAddr};

use axum::{Router, http::StatusCode, response::Redirect, routing::get};
use tokio::net::TcpListener;

use super::*;

const NOT_PUBLIC: [&str; 45] = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:1::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "ff02::1",
];

const PUBLIC: [&str; 14] = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "198.20.0.0",
    "223.255.255.255",
    "2a03:2880:f12f::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
];

fn outgoing(allow: &[&str], trusted: &[&str]) -> Outgoing {
    let allow = allow
        .iter()
        .map(|network| network.parse().unwrap())
        .collect();
    let trusted: Vec<Url> = trusted.iter().map(|url| url.parse().unwrap()).collect();
    Outgoing::new(allow, &trusted).unwrap()
}

fn literal(address: &str) -> Url {
    let host = if address.contains(':') {
        format!("[{address}]")
    } else {
        address.to_owned()
    };
    format!("https://{host}/file").parse().unwrap()
}

fn socket(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), 0)
}

async fn serve(router: Router) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(axum::serve(listener, router).into_future());
    port
}

fn at(port: u16, path: &str) -> Url {
    format!("http://127.0.0.1:{port}{path}").parse().unwrap()
}

#[test]
fn every_class_of_address_is_known() {
    for address in NOT_PUBLIC {
        assert!(!is_public(address.parse().unwrap()), "{address}");
    }
    for address in PUBLIC {
        assert!(is_public(address.parse().unwrap()), "{address}");
    }
}

#[test]
fn literals_are_vetted_as_what_they_are() {
    let outgoing = outgoing(&[], &[]);
    for address in NOT_PUBLIC {
        assert!(outgoing.vet(&literal(address)).is_err(), "{address}");
    }
    for address in PUBLIC {
        assert_eq!(outgoing.vet(&literal(address)), Ok(()), "{address}");
    }
}

#[test]
fn disguised_loopback_is_recognised() {
    let outgoing = outgoing(&[], &[]);
    for host in [
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[::ffff:127.1]",
        "127。0。0。1",
        "①②⑦.⓪.⓪.①",
        "0",
        "user@127.0.0.1",
        "example.com@127.0.0.1",
        "%31%32%37.0.0.1",
    ] {
        // What the parser refuses cannot be requested either.
        if let Ok(url) = Url::parse(&format!("http://{host}/")) {
            assert!(outgoing.vet(&url).is_err(), "{host} is {url}");
        }
    }
}

#[test]
fn only_http_and_https_leave() {
    let outgoing = outgoing(&[], &[]);
    for url in [
        "ftp://example.com/",
        "file:///etc/passwd",
        "data:text/plain,x",
        "gopher://a/",
    ] {
        let refused = outgoing.vet(&url.parse().unwrap());
        assert!(
            matches!(refused, Err(Forbidden::Scheme(_))),
            "{url}: {refused:?}"
        );
    }
}

#[test]
fn networks_of_the_setting_are_open_also_when_embedded() {
    let outgoing = outgoing(&["10.1.0.0/16", "fd00::/8"], &[]);
    for address in [
        "10.1.2.3",
        "fd12::1",
        "::ffff:10.1.2.3",
        "64:ff9b::10.1.2.3",
    ] {
        assert_eq!(outgoing.vet(&literal(address)), Ok(()), "{address}");
    }
    for address in ["10.2.0.1", "127.0.0.1", "fe80::1", "::ffff:10.2.0.1"] {
        assert!(outgoing.vet(&literal(address)).is_err(), "{address}");
    }
}

#[test]
fn of_what_a_name_resolves_to_only_public_addresses_are_kept() {
    let rules = outgoing(&["192.168.7.0/24"], &["https://graph.test.local"]).rules;
    let found = ["10.0.0.1", "8.8.8.8", "::1", "192.168.7.7", "192.168.8.8"].map(socket);
    let kept = rules.keep("portal.example", found.to_vec()).unwrap();
    assert_eq!(kept, ["8.8.8.8", "192.168.7.7"].map(socket));

    let refused = rules.keep("portal.example", vec![socket("10.0.0.1"), socket("::1")]);
    assert_eq!(
        refused,
        Err(Forbidden::NotPublic {
            host: "portal.example".to_owned()
        })
    );
    let trusted = rules
        .keep("Graph.test.local", vec![socket("10.0.0.1")])
        .unwrap();
    assert_eq!(trusted, [socket("10.0.0.1")]);
}

#[test]
fn a_trusted_service_is_trusted_at_its_port_only() {
    let own = [
        "http://127.0.0.1:9001/base",
        "https://graph.test.local",
        "http://localhost:9003",
    ];
    let outgoing = outgoing(&[], &own);
    let vet = |url: &str| outgoing.vet(&url.parse().unwrap());
    for url in own {
        assert_eq!(vet(url), Ok(()), "{url}");
    }
    assert_eq!(vet("https://graph.test.local:443/v1"), Ok(()));
    for url in [
        "http://127.0.0.1:9002",
        "http://graph.test.local/",
        "https://graph.test.local:22",
        "http://localhost/",
    ] {
        assert!(vet(url).is_err(), "{url}");
    }
}

#[test]
fn localhost_is_open_at_other_ports_where_loopback_is_allowed() {
    let outgoing = outgoing(&["127.0.0.0/8"], &["http://localhost:9001"]);
    assert_eq!(
        outgoing.vet(&"http://localhost:9002".parse().unwrap()),
        Ok(())
    );
}

#[tokio::test]
async fn a_name_that_resolves_to_loopback_is_not_called() {
    let port = serve(Router::new().route("/", get(|| async { "inside" }))).await;
    let url: Url = format!("http://localhost:{port}/").parse().unwrap();
    let closed = outgoing(&[], &[]);
    let error = closed
        .api_client()
        .get(url.clone())
        .send()
        .await
        .unwrap_err();
    let expected = Forbidden::NotPublic {
        host: "localhost".to_owned(),
    };
    assert_eq!(Forbidden::behind(&error), Some(&expected));
    assert!(matches!(
        closed.fetch(url.clone()).await,
        Err(FetchError::Forbidden(_))
    ));

    let open = outgoing(&["127.0.0.0/8"], &[]);
    assert_eq!(open.fetch(url).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_redirect_into_the_inside_is_not_followed() {
    let inside = serve(Router::new().route("/", get(|| async { "inside" }))).await;
    let target = at(inside, "/").to_string();
    let outside = serve(Router::new().route(
        "/",
        get(move || async move { Redirect::temporary(&target) }),
    ))
    .await;
    let outgoing = outgoing(&[], &[at(outside, "/").as_str()]);

    let refused = outgoing.fetch(at(outside, "/")).await;
    assert!(
        matches!(&refused, Err(FetchError::Forbidden(Forbidden::NotPublic { host })) if host == "127.0.0.1"),
        "{refused:?}"
    );
    let answer = outgoing
        .api_client()
        .get(at(outside, "/"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        answer.status(),
        StatusCode::TEMPORARY_REDIRECT,
        "API clients follow nothing"
    );
}

#[tokio::test]
async fn five_redirects_are_followed_and_no_sixth() {
    async fn step(
        axum::extract::Path(left): axum::extract::Path<u8>,
    ) -> Result<Redirect, &'static str> {
        left.checked_sub(1)
            .map(|left| Redirect::to(&format!("/{left}")))
            .ok_or("arrived")
    }
    let port = serve(Router::new().route("/{left}", get(step))).await;
    let outgoing = outgoing(&["127.0.0.1/32"], &[]);
    let answer = outgoing.fetch(at(port, "/5")).await.unwrap();
    assert_eq!(read_limited(answer, 100).await.unwrap(), "arrived");
    let refused = outgoing.fetch(at(port, "/6")).await;
    assert!(matches!(
        refused,
        Err(FetchError::Forbidden(Forbidden::TooManyRedirects))
    ));
}

#[tokio::test]
async fn bodies_are_read_up_to_the_limit_announced_or_not() {
    let streamed = || async {
        let chunks = (0..4).map(|_| Ok::<_, io::Error>(Bytes::from_static(&[b'x'; 25])));
        axum::body::Body::from_stream(futures_util::stream::iter(chunks))
    };
    let router = Router::new().route("/plain", get(|| async { "x".repeat(100) }));
    let port = serve(router.route("/streamed", get(streamed))).await;
    let outgoing = outgoing(&["127.0.0.1/32"], &[]);
    for path in ["/plain", "/streamed"] {
        let answer = outgoing.fetch(at(port, path)).await.unwrap();
        assert_eq!(
            read_limited(answer, 100).await.unwrap().len(),
            100,
            "{path}"
        );
        let answer = outgoing.fetch(at(port, path)).await.unwrap();
        let refused = read_limited(answer, 99).await;
        assert!(
            matches!(refused, Err(ReadError::TooLong { limit: 99 })),
            "{path}"
        );
    }
}

#[tokio::test]
async fn errors_do_not_repeat_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let outgoing = outgoing(&["127.0.0.1/32"], &[]);
    let error = outgoing
        .fetch(at(port, "/?token=planted"))
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Http(_)));
    assert!(
        !format!("{error} {error:?}").contains("planted"),
        "{error:?}"
    );
}
