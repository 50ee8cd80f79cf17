//! Asterisk, in the folder of a Debian that has it (`SEPARATOR_TEST_ASTERISK`): loads the files that are written for it, and
//! takes Meta's calls by them.

use md5::{Digest as _, Md5};

use super::*;
use crate::{
    calling::preflight::Login,
    secret::{Secret, hex},
};

const NUMBER: &str = "4915755501234";
/// A password with everything that means something in a configuration file.
const PASSWORD: &str = "p;w#d\"'<&>e";
/// Meta's offer with DTLS (Meta: Calling, SIP).
const DTLS_OFFER: &str = "v=0\r\no=- 1741113186367 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE audio\r\na=ice-lite\r\n\
    m=audio 3480 UDP/TLS/RTP/SAVPF 111 126\r\nc=IN IP4 127.0.0.1\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
    a=candidate:1775469887 1 udp 2122260223 127.0.0.1 3480 typ host generation 0 network-cost 50\r\n\
    a=ice-ufrag:RmDDkfzkwbexPfbC\r\na=ice-pwd:abcdefghijklmnopqrstuvwxy\r\na=fingerprint:sha-256 \
    00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    a=setup:actpass\r\na=mid:audio\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:126 telephone-event/8000\r\n\
    a=ptime:20\r\n";

/// The folder of a Debian that has Asterisk.
#[expect(
    clippy::disallowed_methods,
    reason = "a setting of the test, not of the program"
)]
fn root() -> PathBuf {
    PathBuf::from(std::env::var_os("SEPARATOR_TEST_ASTERISK").unwrap())
}

/// A running Asterisk; ended by its process id with its value.
struct Asterisk {
    child: Child,
    /// Its folder as seen from outside.
    folder: PathBuf,
    authority: Authority,
    port: u16,
}

impl Asterisk {
    /// With the files that are written for it, after `mutate` had its way with them.
    async fn start(keys: KeyExchange, mutate: fn(String) -> String) -> Self {
        let root = root();
        let [port] = free_ports();
        let name = format!("separator-lab-{}-{port}", std::process::id());
        let (folder, inside) = (root.join("srv").join(&name), format!("/srv/{name}"));
        std::fs::create_dir(&folder).unwrap();
        let authority = Authority::new();
        let of_test = Folder(folder.clone());
        of_test.certificate("server", &authority.good());
        let choices = Choices {
            certificate: format!("{inside}/server.pem"),
            key: format!("{inside}/server.key"),
            ..Choices::usual(HOST)
        };
        let networks: Vec<&str> = META_NETWORKS
            .iter()
            .copied()
            .chain(["127.0.0.0/8"])
            .collect();
        let (address, secret) = (at(HOST, port), Secret::new(PASSWORD));
        let password = Password::Shown(&secret);
        let plan = Plan::new(NUMBER, &address, keys, &networks, &choices, password).unwrap();
        for file in plan.files() {
            if let Some(name) = file.name.strip_prefix("asterisk/") {
                of_test.write(name, &mutate(file.text));
            }
        }
        let modules = [
            "usr/lib/x86_64-linux-gnu",
            "usr/lib/aarch64-linux-gnu",
            "usr/lib",
        ]
        .into_iter()
        .map(|folder| format!("{folder}/asterisk/modules"))
        .find(|folder| root.join(folder).is_dir())
        .unwrap();
        of_test.write(
            "asterisk.conf",
            &format!(
                "[directories]\nastetcdir => {inside}\nastmoddir => /{modules}\nastvarlibdir => /var/lib/asterisk\n\
                 astdbdir => {inside}\nastkeydir => {inside}\nastdatadir => /usr/share/asterisk\n\
                 astagidir => /usr/share/asterisk/agi-bin\nastspooldir => {inside}\nastrundir => {inside}\nastlogdir => {inside}\n"
            ),
        );
        of_test.write("modules.conf", "[modules]\nautoload=yes\nnoload => chan_iax2.so\nnoload => res_hep.so\nnoload => pbx_dundi.so\n");
        of_test.write(
            "logger.conf",
            "[logfiles]\nconsole => notice,warning,error\n",
        );
        of_test.write("rtp.conf", "[general]\nrtpstart=20000\nrtpend=20200\n");
        let output = std::fs::File::create(folder.join("said")).unwrap();
        let child = Command::new("chroot")
            .arg(&root)
            .args(["asterisk", "-f", "-n", "-C"])
            .arg(format!("{inside}/asterisk.conf"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        // The folder goes with this value from here on.
        std::mem::forget(of_test);
        let asterisk = Self {
            child,
            folder,
            authority,
            port,
        };
        let preflight = asterisk.preflight();
        let ready = async {
            while preflight.check(&address, None).await.verdict() != Verdict::Green {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        assert!(
            timeout(PATIENCE * 2, ready).await.is_ok(),
            "{}",
            asterisk.said()
        );
        asterisk
    }

    fn preflight(&self) -> crate::calling::preflight::Preflight {
        preflight(self.authority.roots(), &[(HOST, &["127.0.0.1"])])
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("said")).unwrap_or_default()
    }
}

impl Drop for Asterisk {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The value of a challenge's parameter.
fn of_challenge<'a>(challenge: &'a str, name: &str) -> &'a str {
    let (_, rest) = challenge.split_once(&format!("{name}=\"")).unwrap();
    rest.split('"').next().unwrap()
}

/// Calls as Meta does: without a password first, then as it is asked for.
async fn call(meta: &mut Meta, offer: &str) -> String {
    let challenged = meta.invite_with(offer, "").await;
    assert!(challenged.starts_with("SIP/2.0 401"), "{challenged}");
    let head = challenged.split("\r\n\r\n").next().unwrap();
    let challenge = head
        .lines()
        .find(|line| line.to_ascii_lowercase().starts_with("www-authenticate:"))
        .unwrap();
    let md5 = |text: String| hex(&Md5::digest(text.as_bytes()));
    let (realm, nonce) = (
        of_challenge(challenge, "realm"),
        of_challenge(challenge, "nonce"),
    );
    let uri = format!("sip:+{NUMBER}@{HOST};transport=tls");
    let (secret, method) = (
        md5(format!("{NUMBER}:{realm}:{PASSWORD}")),
        md5(format!("INVITE:{uri}")),
    );
    let response = md5(format!("{secret}:{nonce}:00000001:c0ffee:auth:{method}"));
    let opaque = if challenge.contains("opaque=") {
        format!(", opaque=\"{}\"", of_challenge(challenge, "opaque"))
    } else {
        String::new()
    };
    meta.sequence += 1;
    let authorization = format!(
        "Authorization: Digest username=\"{NUMBER}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", algorithm=MD5, \
         qop=auth, nc=00000001, cnonce=\"c0ffee\", response=\"{response}\"{opaque}\r\n"
    );
    meta.invite_with(offer, &authorization).await
}

async fn is_answered_and_ended(keys: KeyExchange, offer: &str, answers: &[&str]) {
    let asterisk = Asterisk::start(keys, |text| text).await;
    let mut meta = Meta::connect(&asterisk.authority, asterisk.port).await;
    let answer = call(&mut meta, offer).await;
    assert!(
        answer.starts_with("SIP/2.0 200"),
        "{answer}\n{}",
        asterisk.said()
    );
    for words in answers {
        assert!(answer.contains(words), "{words}: {answer}");
    }
    assert_eq!(headers(&answer, "record-route"), META_ROUTES);
    meta.request("ACK", &answer).await;
    meta.request("BYE", &answer).await;
    let ended = meta.read().await;
    assert!(
        ended.starts_with("SIP/2.0 200") && ended.contains(" BYE"),
        "{ended}\n{}",
        asterisk.said()
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Asterisk; tests/lab/run.sh runs it"]
async fn case_62_a_call_with_sdes_is_answered_and_ended() {
    let crypto = ["RTP/SAVP ", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 "];
    is_answered_and_ended(KeyExchange::Sdes, SDES_OFFER, &crypto).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Asterisk; tests/lab/run.sh runs it"]
async fn case_62_a_call_with_dtls_is_answered_and_ended() {
    let active = ["UDP/TLS/RTP/SAVPF ", "a=setup:active", "a=fingerprint:"];
    is_answered_and_ended(KeyExchange::Dtls, DTLS_OFFER, &active).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Asterisk; tests/lab/run.sh runs it"]
async fn case_63_a_contact_that_is_rewritten_spoils_metas_record_route() {
    let rewrite = |text: String| text.replace("rewrite_contact = no", "rewrite_contact = yes");
    let asterisk = Asterisk::start(KeyExchange::Sdes, rewrite).await;
    let mut meta = Meta::connect(&asterisk.authority, asterisk.port).await;
    let answer = call(&mut meta, SDES_OFFER).await;
    assert!(
        answer.starts_with("SIP/2.0 200"),
        "{answer}\n{}",
        asterisk.said()
    );
    assert_ne!(
        headers(&answer, "record-route"),
        META_ROUTES,
        "the setting guards nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Asterisk; tests/lab/run.sh runs it"]
async fn cases_14_31_38_61_64_asterisk_asks_takes_the_password_and_refuses_another_key_exchange() {
    let asterisk = Asterisk::start(KeyExchange::Sdes, |text| text).await;
    let (preflight, address) = (asterisk.preflight(), at(HOST, asterisk.port));
    let codes = |report: &crate::calling::preflight::Report| -> Vec<&'static str> {
        report
            .found
            .iter()
            .map(|found| found.finding.code())
            .collect()
    };
    let login = |password: &str| Login {
        number: NUMBER.to_owned(),
        password: Secret::new(password),
    };
    let right = preflight.check(&address, Some(&login(PASSWORD))).await;
    assert_eq!(
        right.verdict(),
        Verdict::Green,
        "{right:?}\n{}",
        asterisk.said()
    );
    for code in [
        "client_certificate_requested",
        "answered",
        "password_accepted",
    ] {
        assert!(codes(&right).contains(&code), "{code}: {right:?}");
    }
    let wrong = preflight.check(&address, Some(&login("another"))).await;
    assert!(codes(&wrong).contains(&"password_differs"), "{wrong:?}");
    let mut meta = Meta::connect(&asterisk.authority, asterisk.port).await;
    let refused = call(&mut meta, DTLS_OFFER).await;
    assert!(refused.starts_with("SIP/2.0 488"), "{refused}");
}
