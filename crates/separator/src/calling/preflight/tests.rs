//! The cases of a preflight against servers that answer as they are told.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use md5::{Digest as _, Md5};
use rustls::version::{TLS12, TLS13};
use tokio::net::{TcpSocket, TcpStream};

use super::{Finding, Login, Names, Preflight, Report, Severity, Stage, Verdict};
use crate::{
    calling::rig::{
        Answer, Authority, ClientCertificate, HOST, Server, Speaks, at, preflight, response,
        secure, self_signed, status, tls, trouble,
    },
    outgoing::Outgoing,
    secret::{Secret, hex},
    translate::message::Language,
};

const HERE: &[(&str, &[&str])] = &[(HOST, &["127.0.0.1"])];

async fn check(authority: &Authority, host: &str, speaks: Speaks) -> Report {
    let server = Server::start(speaks).await;
    let names: &[(&str, &[&str])] = &[(host, &["127.0.0.1"])];
    preflight(authority.roots(), names)
        .check(&at(host, server.port()), None)
        .await
}

fn find(report: &Report, code: &str) -> Finding {
    let found = report
        .found
        .iter()
        .find(|found| found.finding.code() == code);
    let Some(found) = found else {
        panic!("{code} is not among {:?}", report.found);
    };
    found.finding.clone()
}

fn says(report: &Report, code: &str) -> String {
    find(report, code).text(Language::English)
}

#[tokio::test]
async fn case_10_addresses_inside_are_never_connected_to() {
    let server = Server::start(Speaks::Nothing).await;
    let names: &[(&str, &[&str])] = &[
        ("localhost", &["127.0.0.1", "::1"]),
        ("inside.example.com", &["10.0.0.7"]),
        ("here.example.com", &["127.0.0.1"]),
    ];
    let closed = Preflight {
        outgoing: Outgoing::new(Vec::new(), &[]).unwrap(),
        ..preflight(Authority::new().roots(), names)
    };
    for host in [
        "localhost",
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "inside.example.com",
        "here.example.com",
        "100.64.0.1",
        "224.0.0.1",
        "fd00::1",
    ] {
        let report = closed.check(&at(host, server.port()), None).await;
        assert_eq!(report.verdict(), Verdict::Red, "{host}");
        assert!(
            says(&report, "not_public").contains("not reachable from the Internet"),
            "{host}"
        );
        assert!(
            report
                .found
                .iter()
                .all(|found| found.finding.stage() <= Stage::Dns),
            "{host}"
        );
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn case_13_a_good_server_is_green() {
    let authority = Authority::new();
    let report = check(&authority, HOST, secure(authority.good(), status("200 OK"))).await;
    assert_eq!(report.verdict(), Verdict::Green, "{report:?}");
    assert!(
        report
            .found
            .iter()
            .all(|found| found.severity == Severity::Pass),
        "{report:?}"
    );
    assert!(says(&report, "handshake").starts_with("TLS 1.3, "));
    let answered = says(&report, "answered");
    assert!(
        answered.starts_with("SIP 200 OK, Test PBX/1.0, ") && answered.ends_with(" ms"),
        "{answered}"
    );
    assert!(says(&report, "trusted").contains("Test Intermediate"));
    let json = report.to_json(Language::Russian);
    assert_eq!(json["verdict"], "green");
    assert_eq!(json["certificate"]["days_left"], 60);
    assert_eq!(json["certificate"]["names"][0], HOST);
    assert_eq!(json["stages"].as_array().unwrap().len(), report.found.len());
    // Kept as it is, it can be told later in any language.
    let kept: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(kept, report);
}

#[tokio::test]
async fn case_14_a_server_that_does_not_know_us_is_green() {
    let authority = Authority::new();
    let unknown: Answer = Arc::new(|_| {
        let challenge = "WWW-Authenticate: Digest realm=\"asterisk\",nonce=\"1/2\",opaque=\"3\",algorithm=MD5,qop=\"auth\"\r\n";
        Some(response("401 Unauthorized", challenge))
    });
    let report = check(&authority, HOST, secure(authority.good(), unknown)).await;
    assert_eq!(report.verdict(), Verdict::Green, "{report:?}");
    assert!(says(&report, "answered").starts_with("SIP 401: a PBX answers"));
}

#[tokio::test]
async fn case_15_a_closed_port_is_refused_with_a_hint() {
    let port = Server::start(Speaks::Nothing).await.port();
    // The listener is gone with its value; let its task end.
    tokio::task::yield_now().await;
    while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let report = preflight(Authority::new().roots(), HERE)
        .check(&at(HOST, port), None)
        .await;
    assert_eq!(
        (report.verdict(), trouble(&report)),
        (Verdict::Red, vec!["refused"])
    );
    let refused = find(&report, "refused");
    assert_eq!(
        refused.text(Language::English),
        format!("Refused: nothing listens on port {port}.")
    );
    assert!(
        refused
            .fix(Language::English)
            .unwrap()
            .contains("pjsip show transports")
    );
}

#[tokio::test]
async fn case_16_an_address_that_swallows_everything_is_yellow_within_three_seconds() {
    // A listener whose queue is full drops what comes next, as a firewall does.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let connecting = TcpStream::connect(address);
        waiting.push(tokio::time::timeout(Duration::from_millis(200), connecting).await);
    }
    let began = Instant::now();
    let report = preflight(Authority::new().roots(), HERE)
        .check(&at(HOST, address.port()), None)
        .await;
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        (report.verdict(), trouble(&report)),
        (Verdict::Yellow, vec!["tcp_timeout"])
    );
    assert!(says(&report, "tcp_timeout").contains("only Meta's networks"));
}

#[tokio::test]
async fn case_17_a_server_that_never_speaks_is_left_within_ten_seconds() {
    let began = Instant::now();
    let server = Server::start(Speaks::Nothing).await;
    let report = preflight(Authority::new().roots(), HERE)
        .check(&at(HOST, server.port()), None)
        .await;
    assert!(began.elapsed() < super::LIMIT, "{:?}", began.elapsed());
    assert_eq!(
        (report.verdict(), trouble(&report)),
        (Verdict::Red, vec!["silent"])
    );
    // One connection for TLS, one for SIP without it.
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn case_18_a_server_that_hangs_up_during_tls_is_said_so() {
    let report = check(&Authority::new(), HOST, Speaks::Farewell).await;
    assert_eq!(
        (report.verdict(), trouble(&report)),
        (Verdict::Red, vec!["closed_during_tls"])
    );
}

#[tokio::test]
async fn case_19_sip_without_tls_is_recognised() {
    let authority = Authority::new();
    for speaks in [
        Speaks::Plain(status("200 OK")),
        Speaks::Bytes(b"SIP/2.0 400 Bad Request\r\n\r\n"),
    ] {
        let report = check(&authority, HOST, speaks).await;
        assert_eq!(
            (report.verdict(), trouble(&report)),
            (Verdict::Red, vec!["plain_sip"])
        );
        assert!(says(&report, "plain_sip").contains("SIP without TLS"));
    }
    let web = check(
        &authority,
        HOST,
        Speaks::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    )
    .await;
    assert_eq!(trouble(&web), ["plain_http"]);
}

#[tokio::test]
async fn case_20_another_service_over_tls_is_not_sip() {
    let authority = Authority::new();
    let web: Answer =
        Arc::new(|_| Some(b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n".to_vec()));
    let report = check(&authority, HOST, secure(authority.good(), web)).await;
    assert_eq!(
        (report.verdict(), trouble(&report)),
        (Verdict::Red, vec!["not_sip"])
    );
    assert!(says(&report, "handshake").starts_with("TLS 1.3"));
    assert!(!report.to_text(Language::English).contains("nginx"));
    // An access list may close the door on us, not on Meta.
    let shut = check(
        &authority,
        HOST,
        secure(authority.good(), Arc::new(|_| None)),
    )
    .await;
    assert_eq!(
        (shut.verdict(), trouble(&shut)),
        (Verdict::Yellow, vec!["closed_without_answer"])
    );
}

#[tokio::test]
async fn case_21_tls_1_1_is_too_old() {
    // A fatal alert "protocol_version", as a server sends it that knows nothing newer.
    let report = check(
        &Authority::new(),
        HOST,
        Speaks::Bytes(&[21, 3, 2, 0, 2, 2, 70]),
    )
    .await;
    assert_eq!(
        (report.verdict(), trouble(&report)),
        (Verdict::Red, vec!["tls_too_old"])
    );
    assert!(says(&report, "tls_too_old").contains("TLS 1.2 or newer is needed"));
}

#[tokio::test]
async fn case_22_tls_1_2_is_enough() {
    let authority = Authority::new();
    let speaks = tls(
        authority.good(),
        &[&TLS12],
        ClientCertificate::NotAsked,
        status("200 OK"),
    );
    let report = check(&authority, HOST, speaks).await;
    assert_eq!(report.verdict(), Verdict::Green, "{report:?}");
    assert!(says(&report, "handshake").starts_with("TLS 1.2, "));
}

#[tokio::test]
async fn case_23_a_certificate_out_of_its_time_is_red_with_the_day() {
    let authority = Authority::new();
    let expired = authority.certificate(&[HOST], -90, -10);
    let report = check(&authority, HOST, secure(expired, status("200 OK"))).await;
    assert_eq!(
        (report.verdict(), trouble(&report)),
        (Verdict::Red, vec!["expired"])
    );
    assert_eq!(
        says(&report, "expired"),
        "The certificate expired on 2026-11-15."
    );
    let future = authority.certificate(&[HOST], 10, 90);
    let report = check(&authority, HOST, secure(future, status("200 OK"))).await;
    assert_eq!(
        (report.verdict(), trouble(&report)),
        (Verdict::Red, vec!["not_yet_valid"])
    );
    assert_eq!(
        says(&report, "not_yet_valid"),
        "The certificate is not valid before 2026-12-05."
    );
}

#[tokio::test]
async fn case_24_the_end_is_announced_two_weeks_before() {
    let authority = Authority::new();
    let soon = check(
        &authority,
        HOST,
        secure(authority.certificate(&[HOST], -30, 13), status("200 OK")),
    )
    .await;
    assert_eq!(
        (soon.verdict(), trouble(&soon)),
        (Verdict::Yellow, vec!["expires_soon"])
    );
    assert_eq!(
        says(&soon, "expires_soon"),
        "The certificate ends on 2026-12-08, in 13 days."
    );
    let later = check(
        &authority,
        HOST,
        secure(authority.certificate(&[HOST], -30, 15), status("200 OK")),
    )
    .await;
    assert_eq!(later.verdict(), Verdict::Green);
}

#[tokio::test]
async fn case_25_a_certificate_for_others_is_red_and_a_name_that_fits_is_offered() {
    let authority = Authority::new();
    let material = authority.certificate(
        &["far.test.local", "other.test.local", "203.0.113.7"],
        -30,
        60,
    );
    let server = Server::start(secure(material, status("200 OK"))).await;
    let names: &[(&str, &[&str])] = &[
        (HOST, &["127.0.0.1"]),
        ("other.test.local", &["127.0.0.1"]),
        ("far.test.local", &["127.0.0.9"]),
    ];
    let report = preflight(authority.roots(), names)
        .check(&at(HOST, server.port()), None)
        .await;
    assert_eq!(
        (report.verdict(), trouble(&report)),
        (Verdict::Red, vec!["wrong_name"])
    );
    assert!(says(&report, "wrong_name").contains("far.test.local, other.test.local, 203.0.113.7"));
    let fix = find(&report, "wrong_name").fix(Language::English).unwrap();
    assert!(fix.starts_with("Enter other.test.local:"), "{fix}");

    let common = check(
        &authority,
        HOST,
        secure(authority.common_name_only(), status("200 OK")),
    )
    .await;
    assert_eq!(
        (common.verdict(), trouble(&common)),
        (Verdict::Red, vec!["only_common_name"])
    );

    // An address is covered by an address in the certificate, and a name in another script by its ASCII form.
    let address = authority.certificate(&["127.0.0.1"], -30, 60);
    let server = Server::start(secure(address, status("200 OK"))).await;
    let report = preflight(authority.roots(), &[])
        .check(&at("127.0.0.1", server.port()), None)
        .await;
    assert_eq!(
        (report.verdict(), trouble(&report)),
        (Verdict::Yellow, vec!["ip_address"])
    );
    let script = authority.certificate(&["xn--e1afmkfd.xn--p1ai"], -30, 60);
    let server = Server::start(secure(script, status("200 OK"))).await;
    let names: &[(&str, &[&str])] = &[("xn--e1afmkfd.xn--p1ai", &["127.0.0.1"])];
    let report = preflight(authority.roots(), names)
        .check(&at("пример.рф", server.port()), None)
        .await;
    assert_eq!(report.verdict(), Verdict::Green);
    assert_eq!(
        says(&report, "other_script"),
        "пример.рф is sent to Meta as xn--e1afmkfd.xn--p1ai"
    );
}

#[tokio::test]
async fn case_26_a_certificate_that_signed_itself_is_red() {
    for is_authority in [true, false] {
        let speaks = secure(self_signed(is_authority), status("200 OK"));
        let report = check(&Authority::new(), HOST, speaks).await;
        assert_eq!(
            (report.verdict(), trouble(&report)),
            (Verdict::Red, vec!["self_signed"]),
            "{is_authority}"
        );
        assert!(says(&report, "self_signed").contains("self-signed"));
        // All other stages are told too.
        assert_eq!(find(&report, "answered").stage(), Stage::Sip);
    }
}

#[tokio::test]
async fn case_27_a_missing_intermediate_is_named() {
    let authority = Authority::new();
    let report = check(
        &authority,
        HOST,
        secure(authority.good().cut(1), status("200 OK")),
    )
    .await;
    assert_eq!(
        (report.verdict(), trouble(&report)),
        (Verdict::Red, vec!["intermediate_missing"])
    );
    assert_eq!(
        says(&report, "intermediate_missing"),
        "The intermediate certificate is missing: Test Intermediate"
    );
}

#[tokio::test]
async fn case_28_a_private_authority_is_unknown_until_its_root_is_trusted() {
    let (public, private) = (Authority::new(), Authority::new());
    let mut whole = private.good();
    whole.chain.push(private.root.der().clone());
    for material in [private.good(), whole.clone()] {
        let report = check(&public, HOST, secure(material, status("200 OK"))).await;
        assert_eq!(
            (report.verdict(), trouble(&report)),
            (Verdict::Red, vec!["unknown_authority"])
        );
        assert!(says(&report, "unknown_authority").ends_with("unknown authority: Test Root"));
    }
    let report = check(&private, HOST, secure(whole, status("200 OK"))).await;
    assert_eq!(report.verdict(), Verdict::Green);
}

#[tokio::test]
async fn case_29_a_wildcard_covers_one_level() {
    let authority = Authority::new();
    let material = authority.certificate(&["*.test.local"], -30, 60);
    let one = check(&authority, HOST, secure(material.clone(), status("200 OK"))).await;
    assert_eq!(one.verdict(), Verdict::Green);
    let two = check(
        &authority,
        "a.sip.test.local",
        secure(material, status("200 OK")),
    )
    .await;
    assert_eq!(
        (two.verdict(), trouble(&two)),
        (Verdict::Red, vec!["wildcard_too_short"])
    );
    assert!(says(&two, "wildcard_too_short").contains("one level"));
}

#[tokio::test]
async fn case_30_two_faults_are_both_told() {
    let authority = Authority::new();
    let material = authority.certificate(&["other.test.local"], -90, -10);
    let report = check(&authority, HOST, secure(material, status("200 OK"))).await;
    assert_eq!(
        (report.verdict(), trouble(&report)),
        (Verdict::Red, vec!["expired", "wrong_name"])
    );
}

#[tokio::test]
async fn case_31_a_client_certificate_may_be_asked_for_but_not_required() {
    let authority = Authority::new();
    for version in [&TLS12, &TLS13] {
        let required = tls(
            authority.good(),
            &[version],
            ClientCertificate::Required,
            status("200 OK"),
        );
        let report = check(&authority, HOST, required).await;
        assert_eq!(
            (report.verdict(), trouble(&report)),
            (Verdict::Red, vec!["client_certificate_required"]),
            "{version:?}"
        );
        let requested = tls(
            authority.good(),
            &[version],
            ClientCertificate::Requested,
            status("200 OK"),
        );
        let report = check(&authority, HOST, requested).await;
        assert_eq!(
            (report.verdict(), trouble(&report)),
            (Verdict::Green, vec![]),
            "{version:?}"
        );
        assert!(says(&report, "client_certificate_requested").contains("Asterisk always asks"));
    }
}

#[tokio::test]
async fn case_32_of_two_addresses_the_worst_counts_and_is_named() {
    let authority = Authority::new();
    let server = Server::start(secure(authority.good(), status("200 OK"))).await;
    let names: &[(&str, &[&str])] = &[(HOST, &["127.0.0.1", "127.0.0.2"])];
    let report = preflight(authority.roots(), names)
        .check(&at(HOST, server.port()), None)
        .await;
    assert_eq!(
        (report.verdict(), trouble(&report)),
        (Verdict::Red, vec!["refused"])
    );
    let dead = report
        .found
        .iter()
        .find(|found| found.severity == Severity::Fault)
        .unwrap();
    assert_eq!(
        dead.address.unwrap().to_string(),
        format!("127.0.0.2:{}", server.port())
    );
    assert!(
        report
            .to_text(Language::English)
            .contains(&format!("127.0.0.2:{}  Refused", server.port()))
    );
}

#[tokio::test]
async fn case_33_a_dead_ipv6_address_beside_a_living_ipv4_one_is_a_warning() {
    let authority = Authority::new();
    let server = Server::start(secure(authority.good(), status("200 OK"))).await;
    let names: &[(&str, &[&str])] = &[(HOST, &["127.0.0.1", "::1"])];
    let report = preflight(authority.roots(), names)
        .check(&at(HOST, server.port()), None)
        .await;
    assert_eq!(report.verdict(), Verdict::Yellow);
    let dead = report
        .found
        .iter()
        .find(|found| found.severity == Severity::Warning)
        .unwrap();
    assert_eq!(
        dead.address.unwrap().to_string(),
        format!("[::1]:{}", server.port())
    );

    let names: &[(&str, &[&str])] = &[(HOST, &["::1"])];
    let alone = preflight(authority.roots(), names)
        .check(&at(HOST, server.port()), None)
        .await;
    assert!(trouble(&alone).contains(&"only_ipv6"));
    assert_eq!(find(&alone, "only_ipv6").severity(false), Severity::Warning);
}

#[tokio::test]
async fn case_33_a_server_that_has_only_an_ipv6_address_is_yellow_however_good_it_is() {
    let authority = Authority::new();
    let speaks = secure(authority.good(), status("200 OK"));
    let server = Server::start_on("[::1]:0", speaks).await;
    let names: &[(&str, &[&str])] = &[(HOST, &["::1"])];
    let report = preflight(authority.roots(), names)
        .check(&at(HOST, server.port()), None)
        .await;
    assert_eq!(
        (report.verdict(), trouble(&report)),
        (Verdict::Yellow, vec!["only_ipv6"])
    );
    assert_eq!(server.connections(), 1, "it was looked at all the same");
    let text = report.to_text(Language::English);
    assert!(text.contains("Add an A record."), "{text}");
}

#[tokio::test]
async fn case_34_a_second_answer_of_the_name_server_changes_nothing() {
    let authority = Authority::new();
    let server = Server::start(secure(authority.good(), status("200 OK"))).await;
    let other = Server::start_on(&format!("127.0.0.2:{}", server.port()), Speaks::Nothing).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let rebinding = Names::Table(Arc::new(move |_| {
        let ip = if counter.fetch_add(1, Ordering::SeqCst) == 0 {
            "127.0.0.1"
        } else {
            "127.0.0.2"
        };
        Ok(vec![ip.parse::<IpAddr>().unwrap()])
    }));
    let preflight = Preflight {
        names: rebinding,
        ..preflight(authority.roots(), &[])
    };
    let report = preflight.check(&at(HOST, server.port()), None).await;
    assert_eq!(report.verdict(), Verdict::Green);
    assert_eq!((asked.load(Ordering::SeqCst), other.connections()), (1, 0));
}

#[tokio::test]
async fn case_35_what_a_server_says_is_bounded_and_disarmed() {
    let authority = Authority::new();
    let endless: Answer = Arc::new(|_| {
        Some(
            b"SIP/2.0 200 "
                .iter()
                .copied()
                .chain(std::iter::repeat_n(b'a', 1 << 20))
                .collect(),
        )
    });
    let report = check(&authority, HOST, secure(authority.good(), endless)).await;
    assert_eq!(trouble(&report), ["not_sip"]);
    let nul: Answer = Arc::new(|_| Some(vec![0; 4096]));
    assert_eq!(
        trouble(&check(&authority, HOST, secure(authority.good(), nul)).await),
        ["not_sip"]
    );
    let html: Answer = Arc::new(|_| {
        Some(
            b"SIP/2.0 200 O\x1b[31mK\x00\r\nServer: <script>alert(1)</script>\"&\r\nX: y\r\n\r\n"
                .to_vec(),
        )
    });
    let report = check(&authority, HOST, secure(authority.good(), html)).await;
    let shown = format!(
        "{}{}",
        report.to_text(Language::English),
        report.to_json(Language::English)
    );
    assert_eq!(report.verdict(), Verdict::Green);
    for raw in ["<script", "\u{1b}", "\\u001b", "\u{0}", "&\""] {
        assert!(!shown.contains(raw), "{raw:?} in {shown}");
    }
    assert!(
        shown.contains("SIP 200 O??31mK?, ?script?alert(1)?/script???"),
        "{shown}"
    );
}

#[tokio::test]
async fn case_36_the_final_answer_counts() {
    let authority = Authority::new();
    let twice: Answer = Arc::new(|_| {
        let mut both = b"SIP/2.0 100 Trying\r\nContent-Length: 5\r\n\r\nhello".to_vec();
        both.extend(response("200 OK", ""));
        Some(both)
    });
    let report = check(&authority, HOST, secure(authority.good(), twice)).await;
    assert!(matches!(
        find(&report, "answered"),
        Finding::Answered { status: 200, .. }
    ));
    for (line, verdict) in [
        ("404 Not Found", Verdict::Green),
        ("405 Method Not Allowed", Verdict::Green),
        ("483 Too Many Hops", Verdict::Green),
        ("603 Decline", Verdict::Green),
        ("503 Service Unavailable", Verdict::Yellow),
    ] {
        let report = check(&authority, HOST, secure(authority.good(), status(line))).await;
        assert_eq!(report.verdict(), verdict, "{line}");
    }
    let provisional: Answer = Arc::new(|_| Some(b"SIP/2.0 100 Trying\r\n\r\n".repeat(20)));
    assert_eq!(
        trouble(&check(&authority, HOST, secure(authority.good(), provisional)).await),
        ["no_answer"]
    );
}

/// A PBX that asks for the password of this number, by the text of RFC 2617.
fn asks(number: &'static str, password: &'static str) -> Answer {
    Arc::new(move |request| {
        let line = request
            .lines()
            .find_map(|line| line.strip_prefix("Authorization: Digest "));
        let Some(given) = line else {
            let challenge = "WWW-Authenticate: Digest realm=\"pbx, \", nonce=\"n=1\", qop=\"auth-int,auth\", opaque=\"o\", algorithm=MD5\r\n";
            return Some(response("401 Unauthorized", challenge));
        };
        let value = |name: &str| {
            let at = given.find(&format!("{name}=")).unwrap() + name.len() + 1;
            given[at..]
                .trim_start_matches('"')
                .split(['"', ','])
                .next()
                .unwrap()
                .to_owned()
        };
        let md5 = |text: String| hex(&Md5::digest(text.as_bytes()));
        let secret = md5(format!("{number}:pbx, :{password}"));
        let method = md5(format!("OPTIONS:{}", value("uri")));
        let right = md5(format!(
            "{secret}:n=1:00000001:{}:auth:{method}",
            value("cnonce")
        ));
        let good =
            value("response") == right && value("opaque") == "o" && value("username") == number;
        assert!(request.contains("X-FB-External-Domain: wa.meta.vc\r\n"));
        Some(response(
            if good { "200 OK" } else { "401 Unauthorized" },
            "",
        ))
    })
}

#[tokio::test]
async fn case_38_metas_password_is_tried_only_over_a_good_certificate() {
    let authority = Authority::new();
    let login = |password: &str| Login {
        number: "4915755501234".to_owned(),
        password: Secret::new(password),
    };
    let tried = async |material, answer: Answer, password: &str| {
        let server = Server::start(secure(material, answer)).await;
        let preflight = preflight(authority.roots(), HERE);
        let report = preflight
            .check(&at(HOST, server.port()), Some(&login(password)))
            .await;
        assert!(!format!("{report:?}{}", report.to_json(Language::English)).contains(password));
        report
    };
    let right = tried(
        authority.good(),
        asks("4915755501234", "planted"),
        "planted",
    )
    .await;
    assert_eq!(right.verdict(), Verdict::Green, "{right:?}");
    assert_eq!(find(&right, "password_accepted").stage(), Stage::Login);
    let wrong = tried(
        authority.good(),
        asks("4915755501234", "planted"),
        "another",
    )
    .await;
    assert_eq!(
        (wrong.verdict(), trouble(&wrong)),
        (Verdict::Red, vec!["password_differs"])
    );
    let open = tried(authority.good(), status("200 OK"), "planted").await;
    assert_eq!(
        (open.verdict(), trouble(&open)),
        (Verdict::Yellow, vec!["password_not_asked"])
    );

    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let watching: Answer = Arc::new(move |request| {
        counter.fetch_add(
            usize::from(request.contains("Digest") || request.contains("X-FB")),
            Ordering::SeqCst,
        );
        Some(response(
            "401 Unauthorized",
            "WWW-Authenticate: Digest realm=\"a\", nonce=\"b\"\r\n",
        ))
    });
    let untrusted = tried(self_signed(false), watching, "planted").await;
    assert_eq!(trouble(&untrusted), ["self_signed", "password_not_tried"]);
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}
