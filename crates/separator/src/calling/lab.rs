//! Real telephone servers: Kamailio shows the faults that our own servers show in the preflight's tests, and Asterisk
//! takes Meta's calls by the files that are written for it. Ignored unless `tests/lab/run.sh` runs them.

#![expect(clippy::unwrap_used, reason = "tests")]

mod asterisk;

use std::{
    fmt::Write as _,
    net::{TcpListener, UdpSocket as StdUdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::Engine as _;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    pbx::{Choices, KeyExchange, META_NETWORKS, Password, Plan},
    preflight::Verdict,
    rig::{Authority, HOST, Material, at, preflight, self_signed, trouble},
};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder of a test's own, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("separator-lab-{}", std::process::id()));
        let unique = (0..).map(|number| PathBuf::from(format!("{}-{number}", folder.display())));
        let folder = unique
            .into_iter()
            .find(|folder| std::fs::create_dir(folder).is_ok())
            .unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes a certificate with its chain, and its key; gives both paths.
    fn certificate(&self, name: &str, material: &Material) -> (PathBuf, PathBuf) {
        let chain: String = material
            .chain
            .iter()
            .map(|der| pem("CERTIFICATE", der))
            .collect();
        let key = pem("PRIVATE KEY", material.key.secret_der());
        (
            self.write(&format!("{name}.pem"), &chain),
            self.write(&format!("{name}.key"), &key),
        )
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// Ports that nobody has.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn free_udp_port() -> u16 {
    StdUdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A running Kamailio; ended by its process id with its value.
struct Kamailio {
    child: Child,
    log: PathBuf,
}

impl Kamailio {
    async fn start(folder: &Folder, config: &Path, port: u16) -> Self {
        let checked = Command::new("kamailio")
            .args(["-c", "-f"])
            .arg(config)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.success(), "kamailio -c: {said}");
        let log = folder.0.join("kamailio.log");
        let output = std::fs::File::create(&log).unwrap();
        let child = Command::new("kamailio")
            .args(["-DD", "-E", "-f"])
            .arg(config)
            .arg("-Y")
            .arg(&folder.0)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let kamailio = Self { child, log };
        let listening = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        assert!(
            timeout(PATIENCE, listening).await.is_ok(),
            "{}",
            kamailio.said()
        );
        kamailio
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // It ends its own processes when it is asked to, and leaves them behind when it is killed.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}

mod kamailio {
    use super::*;

    /// Name, certificate, further lines of TLS, host, verdict, what is found.
    type Case = (
        &'static str,
        Material,
        &'static str,
        &'static str,
        Verdict,
        Vec<&'static str>,
    );

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs Kamailio; tests/lab/run.sh runs it"]
    async fn cases_13_to_31_kamailio_gets_the_same_verdicts() {
        let (folder, authority) = (Folder::new(), Authority::new());
        let names: &[(&str, &[&str])] =
            &[(HOST, &["127.0.0.1"]), ("a.sip.test.local", &["127.0.0.1"])];
        let wildcard = authority.certificate(&["*.test.local"], -30, 60);
        let matrix: Vec<Case> = vec![
            (
                "case_13",
                authority.good(),
                "",
                HOST,
                Verdict::Green,
                vec![],
            ),
            (
                "case_22",
                authority.good(),
                "method = TLSv1.2\n",
                HOST,
                Verdict::Green,
                vec![],
            ),
            (
                "case_23_expired",
                authority.certificate(&[HOST], -90, -10),
                "",
                HOST,
                Verdict::Red,
                vec!["expired"],
            ),
            (
                "case_23_future",
                authority.certificate(&[HOST], 10, 90),
                "",
                HOST,
                Verdict::Red,
                vec!["not_yet_valid"],
            ),
            (
                "case_24",
                authority.certificate(&[HOST], -30, 13),
                "",
                HOST,
                Verdict::Yellow,
                vec!["expires_soon"],
            ),
            (
                "case_25",
                authority.certificate(&["other.test.local"], -30, 60),
                "",
                HOST,
                Verdict::Red,
                vec!["wrong_name"],
            ),
            (
                "case_26",
                self_signed(false),
                "",
                HOST,
                Verdict::Red,
                vec!["self_signed"],
            ),
            (
                "case_27",
                authority.good().cut(1),
                "",
                HOST,
                Verdict::Red,
                vec!["intermediate_missing"],
            ),
            (
                "case_28",
                Authority::new().good(),
                "",
                HOST,
                Verdict::Red,
                vec!["unknown_authority"],
            ),
            (
                "case_29_one",
                wildcard.clone(),
                "",
                HOST,
                Verdict::Green,
                vec![],
            ),
            (
                "case_29_two",
                wildcard,
                "",
                "a.sip.test.local",
                Verdict::Red,
                vec!["wildcard_too_short"],
            ),
            (
                "case_30",
                authority.certificate(&["other.test.local"], -90, -10),
                "",
                HOST,
                Verdict::Red,
                vec!["expired", "wrong_name"],
            ),
            (
                "case_31",
                authority.good(),
                "verify_certificate = yes\nrequire_certificate = yes\nca_list = @ROOT@\n",
                HOST,
                Verdict::Red,
                vec!["client_certificate_required"],
            ),
        ];
        let root = folder.write("root.pem", &pem("CERTIFICATE", authority.root.der()));
        let ports: [u16; 14] = free_ports();
        let (good, key) = folder.certificate("default", &authority.good());
        let mut tls = format!(
            "[server:default]\nmethod = TLSv1.2+\ncertificate = {}\nprivate_key = {}\n[client:default]\nmethod = TLSv1.2+\n",
            good.display(),
            key.display()
        );
        let mut listen = format!("listen=tcp:127.0.0.1:{}\n", ports[13]);
        for ((name, material, more, ..), port) in matrix.iter().zip(ports) {
            let (chain, key) = folder.certificate(name, material);
            let method = if more.contains("method") {
                ""
            } else {
                "method = TLSv1.2+\n"
            };
            let more = more.replace("@ROOT@", &root.display().to_string());
            writeln!(
                tls,
                "[server:127.0.0.1:{port}]\n{method}{more}certificate = {}\nprivate_key = {}",
                chain.display(),
                key.display()
            )
            .unwrap();
            writeln!(listen, "listen=tls:127.0.0.1:{port}").unwrap();
        }
        let tls = folder.write("tls.cfg", &tls);
        let config = format!(
            "#!KAMAILIO\nlog_stderror=yes\nchildren=1\ntcp_children=2\nenable_tls=yes\n{listen}\
             loadmodule \"tls.so\"\nloadmodule \"sl.so\"\nloadmodule \"pv.so\"\n\
             modparam(\"tls\", \"config\", \"{}\")\nrequest_route {{ sl_send_reply(\"200\", \"OK\"); exit; }}\n",
            tls.display()
        );
        let config = folder.write("kamailio.cfg", &config);
        let kamailio = Kamailio::start(&folder, &config, ports[0]).await;
        let preflight = preflight(authority.roots(), names);
        for ((name, _, _, host, verdict, found), port) in matrix.iter().zip(ports) {
            let report = preflight.check(&at(host, port), None).await;
            assert_eq!(
                (report.verdict(), trouble(&report)),
                (*verdict, found.clone()),
                "{name}: {report:?}\n{}",
                kamailio.said()
            );
        }
        let plain = preflight.check(&at(HOST, ports[13]), None).await;
        assert_eq!(
            (plain.verdict(), trouble(&plain)),
            (Verdict::Red, vec!["plain_sip"]),
            "case_19: {plain:?}"
        );
        drop(kamailio);
        let closed = preflight.check(&at(HOST, ports[0]), None).await;
        assert_eq!(trouble(&closed), ["refused"], "case_15");
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs Kamailio; tests/lab/run.sh runs it"]
    async fn case_65_a_call_of_metas_passes_the_edge_as_it_is_written() {
        let (folder, authority) = (Folder::new(), Authority::new());
        let [port] = free_ports();
        let (inner, outer) = (
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            free_udp_port(),
        );
        let (certificate, key) = folder.certificate("edge", &authority.good());
        let choices = Choices {
            inner_port: inner.local_addr().unwrap().port(),
            certificate: certificate.display().to_string(),
            key: key.display().to_string(),
            ..Choices::usual(HOST)
        };
        let networks: Vec<&str> = META_NETWORKS
            .iter()
            .copied()
            .chain(["127.0.0.0/8"])
            .collect();
        let address = at(HOST, port);
        let plan = Plan::new(
            "4915755501234",
            &address,
            KeyExchange::Sdes,
            &networks,
            &choices,
            Password::Hidden,
        )
        .unwrap();
        let files = plan.files();
        let file = |name: &str| {
            files
                .iter()
                .find(|file| file.name == name)
                .unwrap()
                .text
                .clone()
        };
        let tls = folder.write("tls.cfg", &file("kamailio/tls.cfg"));
        // Only where it lies and which ports are free is another matter here, and that the name of the test stands in no
        // name server: Kamailio looks the advertised name up when it starts.
        let config = file("kamailio/kamailio.cfg")
            .replace(&format!("advertise {HOST}:"), "advertise 127.0.0.1:")
            .replace("/etc/kamailio/tls.cfg", &tls.display().to_string())
            .replace(":5065\n", &format!(":{outer}\n"))
            .replace("log_stderror=no", "log_stderror=yes");
        let config = folder.write("kamailio.cfg", &config);
        let kamailio = Kamailio::start(&folder, &config, port).await;

        let preflight = preflight(authority.roots(), &[(HOST, &["127.0.0.1"])]);
        // Its processes take connections before they have read all authorities.
        let green = async {
            loop {
                let report = preflight.check(&address, None).await;
                if report.verdict() == Verdict::Green {
                    return;
                }
            }
        };
        assert!(
            timeout(PATIENCE, green).await.is_ok(),
            "{}",
            kamailio.said()
        );

        let acknowledged = Arc::new(AtomicBool::new(false));
        let server = tokio::spawn(answer_calls(inner, Arc::clone(&acknowledged)));
        let mut meta = Meta::connect(&authority, port).await;
        let answer = meta.invite().await;
        assert!(
            answer.starts_with("SIP/2.0 200"),
            "{answer}\n{}",
            kamailio.said()
        );
        assert!(
            answer.contains("m=audio 40000 RTP/SAVP 111") && answer.contains("a=crypto:1 "),
            "{answer}"
        );
        let routes = headers(&answer, "record-route");
        assert_eq!(
            routes[routes.len() - 2..],
            META_ROUTES,
            "Meta's Record-Routes stay the last: {routes:?}"
        );
        meta.request("ACK", &answer).await;
        let acked = async {
            while !acknowledged.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(
            timeout(PATIENCE, acked).await.is_ok(),
            "the ACK did not arrive\n{}",
            kamailio.said()
        );
        meta.request("BYE", &answer).await;
        let ended = meta.read().await;
        assert!(
            ended.starts_with("SIP/2.0 200") && ended.contains(" BYE"),
            "{ended}\n{}",
            kamailio.said()
        );
        server.abort();
    }
}

/// Meta's offer with SDES (Meta: Calling, SIP).
const SDES_OFFER: &str = "v=0\r\no=- 1746659966980 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 3480 RTP/SAVP 111\r\n\
    c=IN IP4 127.0.0.1\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5\r\n\
    a=rtpmap:111 opus/48000/2\r\na=ptime:20\r\n";

const META_ROUTES: [&str; 2] = [
    "<sip:wa.meta.vc;transport=tls;lr>",
    "<sip:onevc-sip-proxy.fbinfra.net:8191;transport=tls;lr>",
];

fn headers<'a>(message: &'a str, name: &str) -> Vec<&'a str> {
    let head = message.split("\r\n\r\n").next().unwrap();
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .flat_map(|(_, value)| value.split(',').map(str::trim))
        .collect()
}

/// A telephone server behind the edge: takes a call with SDES, and its end.
async fn answer_calls(socket: UdpSocket, acknowledged: Arc<AtomicBool>) {
    let here = socket.local_addr().unwrap();
    let mut buffer = vec![0; 8192];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if request.starts_with("ACK ") {
            acknowledged.store(true, Ordering::SeqCst);
            continue;
        }
        let mut reply = String::from("SIP/2.0 200 OK\r\n");
        for line in request.lines().take_while(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap().to_ascii_lowercase();
            if ["via", "record-route", "from", "call-id", "cseq"].contains(&name.as_str()) {
                write!(reply, "{line}\r\n").unwrap();
            } else if name == "to" {
                let tag = if line.contains(";tag=") {
                    ""
                } else {
                    ";tag=pbx"
                };
                write!(reply, "{line}{tag}\r\n").unwrap();
            }
        }
        let invited = request.starts_with("INVITE ") && request.contains("RTP/SAVP");
        let body = if invited {
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/SAVP 111\r\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw\r\na=rtpmap:111 opus/48000/2\r\n"
        } else {
            ""
        };
        write!(reply, "Contact: <sip:pbx@{here}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        socket.send_to(reply.as_bytes(), from).await.unwrap();
    }
}

/// A caller that speaks as Meta does (Meta: Calling, SIP: sample INVITE).
struct Meta {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Meta {
    async fn connect(authority: &Authority, port: u16) -> Self {
        let config = ClientConfig::builder()
            .with_root_certificates(authority.roots())
            .with_no_client_auth();
        let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        // The certificates are good on the day on which the tests take place, which Meta's side must not doubt.
        let mut config = config;
        config.time_provider = Arc::new(Then);
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector
            .connect(ServerName::try_from(HOST).unwrap(), socket)
            .await
            .unwrap();
        Self {
            stream,
            buffer: Vec::new(),
            sequence: 7,
        }
    }

    async fn send(&mut self, method: &str, uri: &str, to: &str, more: &str, body: &str) {
        let local = self.stream.get_ref().0.local_addr().unwrap();
        let sequence = self.sequence;
        let message = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TLS {local};rport;branch=z9hG4bKmeta{method}{sequence};alias\r\n{more}\
             Max-Forwards: 69\r\nFrom: \"4915755509876\" <sip:+4915755509876@wa.meta.vc>;tag=meta\r\nTo: {to}\r\n\
             Contact: <sip:+4915755509876@wa.meta.vc;transport=tls;ob>;isfocus\r\nCall-ID: outgoing:wacid.lab\r\n\
             CSeq: {sequence} {method}\r\nX-FB-External-Domain: wa.meta.vc\r\nx-wa-meta-wacid: wacid.lab\r\n\
             User-Agent: Facebook SipGateway\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(message.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Calls, and gives the final answer.
    async fn invite(&mut self) -> String {
        self.invite_with(SDES_OFFER, "").await
    }

    /// Calls with this offer and further lines of the head, and gives the final answer.
    async fn invite_with(&mut self, offer: &str, more: &str) -> String {
        let routes: String = META_ROUTES.iter().fold(more.to_owned(), |text, route| {
            text + &format!("Record-Route: {route}\r\n")
        });
        let (uri, to) = (
            format!("sip:+4915755501234@{HOST};transport=tls"),
            format!("<sip:+4915755501234@{HOST}>"),
        );
        self.send("INVITE", &uri, &to, &routes, offer).await;
        loop {
            let answer = self.read().await;
            if !answer.starts_with("SIP/2.0 1") {
                return answer;
            }
        }
    }

    /// A request within the call that this answer began: to its contact, by the routes that the edge added.
    async fn request(&mut self, method: &str, answer: &str) {
        let routes = headers(answer, "record-route");
        let own: String = routes[..routes.len() - 2]
            .iter()
            .rev()
            .fold(String::new(), |text, route| {
                text + &format!("Route: {route}\r\n")
            });
        let contact = headers(answer, "contact")[0]
            .trim_matches(['<', '>'])
            .to_owned();
        let to = headers(answer, "to")[0].to_owned();
        if method == "BYE" {
            self.sequence += 1;
        }
        self.send(method, &contact, &to, &own, "").await;
    }

    async fn read(&mut self) -> String {
        let reading = async {
            loop {
                let text = String::from_utf8_lossy(&self.buffer).into_owned();
                if let Some(end) = text.find("\r\n\r\n") {
                    let length = headers(&text[..end + 4], "content-length")
                        .first()
                        .map_or(0, |length| length.parse().unwrap());
                    if self.buffer.len() >= end + 4 + length {
                        let rest = self.buffer.split_off(end + 4 + length);
                        let message = std::mem::replace(&mut self.buffer, rest);
                        return String::from_utf8(message).unwrap();
                    }
                }
                let mut piece = [0; 4096];
                let count = self.stream.read(&mut piece).await.unwrap();
                assert!(count > 0, "the edge closed the connection");
                self.buffer.extend_from_slice(&piece[..count]);
            }
        };
        timeout(PATIENCE, reading).await.unwrap()
    }
}

/// The day on which the tests take place.
#[derive(Debug)]
struct Then;

impl rustls::time_provider::TimeProvider for Then {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let seconds = u64::try_from(super::rig::NOW.seconds()).unwrap();
        Some(rustls::pki_types::UnixTime::since_unix_epoch(
            Duration::from_secs(seconds),
        ))
    }
}
