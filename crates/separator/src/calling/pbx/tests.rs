//! The files: nothing breaks out of its place, and each is what its program expects.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;
use crate::{calling::address, time::Millis};

const NUMBER: &str = "4915755501234";

fn address() -> Address {
    address::normalise("sip.example.com", None).unwrap()
}

fn files(password: &str, key_exchange: KeyExchange) -> Result<Vec<File>, PlanError> {
    let (address, secret) = (address(), Secret::new(password));
    let choices = Choices::usual("sip.example.com");
    let plan = Plan::new(
        NUMBER,
        &address,
        key_exchange,
        &META_NETWORKS,
        &choices,
        Password::Shown(&secret),
    )?;
    Ok(plan.files())
}

fn text(files: &[File], name: &str) -> String {
    files
        .iter()
        .find(|file| file.name.ends_with(name))
        .unwrap()
        .text
        .clone()
}

/// Reads a file as Asterisk does (`main/config.c`): comments, escaped semicolons, `=` and `=>`, blanks at the ends.
fn as_asterisk(text: &str) -> Vec<(String, String)> {
    let mut read = Vec::new();
    for line in text.lines() {
        let mut kept = String::new();
        for character in line.chars() {
            if character == ';' {
                if kept.ends_with('\\') {
                    kept.pop();
                } else {
                    break;
                }
            }
            kept.push(character);
        }
        let line = kept.trim();
        if line.starts_with('[') {
            read.push(("section".to_owned(), line.to_owned()));
        } else if let Some((name, value)) = line.split_once('=') {
            let value = value.strip_prefix('>').unwrap_or(value);
            read.push((name.trim().to_owned(), value.trim().to_owned()));
        } else {
            assert_eq!(line, "", "a line that is neither section nor value");
        }
    }
    read
}

/// Checks that text is well-formed as far as our files use XML, and gives all values of attributes, entities resolved.
fn as_xml(text: &str) -> Vec<String> {
    // FreeSWITCH replaces `$${name}` before it reads the XML.
    assert!(!text.contains("$${"), "{text}");
    let (mut rest, mut open, mut values) = (text, Vec::new(), Vec::new());
    while let Some(at) = rest.find('<') {
        assert!(!rest[..at].contains(['>', '&']), "{rest}");
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            let (inside, after) = comment.split_once("-->").unwrap();
            assert!(!inside.contains("--"), "{inside}");
            rest = after;
            continue;
        }
        let (tag, after) = rest[1..].split_once('>').unwrap();
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name.to_owned()));
            continue;
        }
        let (body, closed) = tag
            .strip_suffix('/')
            .map_or((tag, false), |body| (body, true));
        let (name, mut attributes) = body.split_once(' ').unwrap_or((body, ""));
        while let Some((key, after)) = attributes.split_once("=\"") {
            assert!(
                key.trim().bytes().all(|byte| byte.is_ascii_lowercase()),
                "{key}"
            );
            let (value, after) = after.split_once('"').unwrap();
            values.push(entities(value));
            attributes = after;
        }
        assert_eq!(attributes.trim(), "");
        if !closed {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty(), "{open:?} in {text}");
    assert_eq!(rest.trim(), "");
    values
}

fn entities(value: &str) -> String {
    assert!(!value.contains('<'), "{value}");
    let mut parts = value.split('&');
    let mut read = parts.next().unwrap().to_owned();
    for part in parts {
        let (entity, after) = part.split_once(';').unwrap();
        read.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#39" => '\'',
            "#36" => '$',
            other => panic!("{other}"),
        });
        read.push_str(after);
    }
    read
}

#[test]
fn case_61_a_password_stays_what_it_is_in_every_format() {
    for password in [
        "plain",
        "a;b",
        "a\\;b",
        ";--a",
        "#exec x",
        "a\"b'c",
        "<&>",
        "--></include>",
        "$${x}",
        "${EVAL(1)}",
        ">a",
        "a=b",
        "пароль",
        "a b",
        "%0a",
        "`id`",
    ] {
        let files = files(password, KeyExchange::Sdes).unwrap();
        let read = as_asterisk(&text(&files, "pjsip.conf"));
        assert!(
            read.contains(&("password".to_owned(), password.to_owned())),
            "{password}: {read:?}"
        );
        assert!(
            as_xml(&text(&files, "whatsapp-4915755501234.xml")).contains(&password.to_owned()),
            "{password}"
        );
        assert!(
            text(&files, "trunk.txt").contains(&format!("Secret: {password}\n")),
            "{password}"
        );
        // What has no need of the password does not have it.
        for file in files
            .iter()
            .filter(|file| ["kamailio", "firewall"].contains(&file.program))
        {
            assert!(
                !file.text.contains(password) || ["a b", "plain"].contains(&password),
                "{}",
                file.name
            );
        }
    }
    for password in [
        "",
        " a",
        "a ",
        "a\nb",
        "a\r\nexten => x",
        "a\u{0}b",
        "a\u{85}b",
    ] {
        assert_eq!(
            files(password, KeyExchange::Sdes),
            Err(PlanError::Password),
            "{password:?}"
        );
    }
}

proptest! {
    #[test]
    fn case_61_no_password_breaks_out_of_its_place(password in "[ -~а-яé]{1,40}|[;\\\\\"'<>&$#{}=\\-]{1,12}") {
        match files(&password, KeyExchange::Dtls) {
            Err(error) => {
                prop_assert_eq!(error, PlanError::Password);
                prop_assert!(password.trim() != password);
            }
            Ok(files) => {
                let plain = super::tests::files("plain", KeyExchange::Dtls).unwrap();
                let (read, usual) = (as_asterisk(&text(&files, "pjsip.conf")), as_asterisk(&text(&plain, "pjsip.conf")));
                prop_assert_eq!(read.len(), usual.len());
                for (read, usual) in read.iter().zip(&usual) {
                    let wanted = if usual.1 == "plain" { &password } else { &usual.1 };
                    prop_assert_eq!((&read.0, &read.1), (&usual.0, wanted));
                }
                let values = as_xml(&text(&files, "whatsapp-4915755501234.xml"));
                prop_assert!(values.contains(&password));
                prop_assert_eq!(values.len(), as_xml(&text(&plain, "whatsapp-4915755501234.xml")).len());
                for (file, plain) in files.iter().zip(&plain) {
                    prop_assert_eq!(file.text.lines().count(), plain.text.lines().count(), "{}", file.name);
                }
            }
        }
    }

    #[test]
    fn what_may_be_chosen_cannot_add_anything(name in "\\PC{0,50}", path in "/\\PC{0,50}") {
        let (address, mut choices) = (address(), Choices::usual("sip.example.com"));
        choices.destination = Destination::Queue(name);
        choices.key = path;
        if let Ok(plan) = Plan::new(NUMBER, &address, KeyExchange::Sdes, &META_NETWORKS, &choices, Password::Hidden) {
            let usual = Choices { destination: Destination::Queue("a".to_owned()), ..Choices::usual("sip.example.com") };
            let usual = Plan::new(NUMBER, &address, KeyExchange::Sdes, &META_NETWORKS, &usual, Password::Hidden).unwrap();
            for (file, usual) in plan.files().iter().zip(usual.files()) {
                prop_assert_eq!(file.text.lines().count(), usual.text.lines().count());
                if file.program == "freeswitch" {
                    as_xml(&file.text);
                }
            }
        }
    }
}

#[test]
fn case_63_the_contact_is_never_rewritten() {
    for key_exchange in [KeyExchange::Sdes, KeyExchange::Dtls] {
        let files = files("plain", key_exchange).unwrap();
        let read = as_asterisk(&text(&files, "pjsip.conf"));
        let values: Vec<_> = read
            .iter()
            .filter(|(name, _)| name == "rewrite_contact")
            .collect();
        assert_eq!(values, [&("rewrite_contact".to_owned(), "no".to_owned())]);
        assert!(text(&files, "trunk.txt").contains("Rewrite Contact: No\n"));
    }
}

#[test]
fn asterisk_gets_what_was_proven_to_work() {
    let files = files("plain", KeyExchange::Sdes).unwrap();
    let read = as_asterisk(&text(&files, "pjsip.conf"));
    for (name, value) in [
        ("bind", "0.0.0.0:5061"),
        ("media_encryption", "sdes"),
        ("auth_type", "userpass"),
        ("username", NUMBER),
        ("from_user", "+4915755501234"),
        ("from_domain", "sip.example.com"),
        ("contact", "sip:wa.meta.vc:5061;transport=tls"),
        ("verify_client", "no"),
        ("verify_server", "yes"),
        ("match", "69.171.224.0/19"),
        ("allow", "opus"),
        ("timers", "no"),
    ] {
        assert!(
            read.contains(&(name.to_owned(), value.to_owned())),
            "{name} = {value}"
        );
    }
    let dialplan = text(&files, "extensions.conf");
    assert!(
        dialplan.contains("exten => +4915755501234,1,") && dialplan.contains("Dial(PJSIP/100,45)"),
        "{dialplan}"
    );
    let dtls = as_asterisk(&text(
        &super::tests::files("plain", KeyExchange::Dtls).unwrap(),
        "pjsip.conf",
    ));
    for (name, value) in [
        ("media_encryption", "dtls"),
        ("dtls_setup", "active"),
        ("ice_support", "yes"),
        ("rtcp_mux", "yes"),
    ] {
        assert!(
            dtls.contains(&(name.to_owned(), value.to_owned())),
            "{name} = {value}"
        );
    }
}

#[test]
fn case_66_freeswitch_gets_well_formed_xml() {
    let (address, mut choices) = (address(), Choices::usual("sip.example.com"));
    choices.public_ip = Some("203.0.113.7".parse().unwrap());
    choices.g711 = true;
    for key_exchange in [KeyExchange::Sdes, KeyExchange::Dtls] {
        let plan = Plan::new(
            NUMBER,
            &address,
            key_exchange,
            &META_NETWORKS,
            &choices,
            Password::Hidden,
        )
        .unwrap();
        let files: Vec<_> = plan
            .files()
            .into_iter()
            .filter(|file| file.program == "freeswitch")
            .collect();
        assert_eq!(files.len(), 4);
        let values: Vec<String> = files.iter().flat_map(|file| as_xml(&file.text)).collect();
        for value in [
            "203.0.113.7",
            "+4915755501234",
            "2a03:2880::/32",
            HIDDEN,
            "^\\+4915755501234$",
            "5061",
        ] {
            assert!(values.iter().any(|known| known == value), "{value}");
        }
    }
}

#[test]
fn a_password_is_shown_only_where_that_was_asked_for() {
    let (address, choices) = (address(), Choices::usual("sip.example.com"));
    for (password, shown) in [(Password::Hidden, HIDDEN), (Password::Unknown, UNKNOWN)] {
        let plan = Plan::new(
            NUMBER,
            &address,
            KeyExchange::Sdes,
            &META_NETWORKS,
            &choices,
            password,
        )
        .unwrap();
        assert!(text(&plan.files(), "pjsip.conf").contains(&format!("password = {shown}\n")));
        assert!(
            plan.freepbx()
                .iter()
                .any(|(_, field, value)| *field == "Secret" && value == shown)
        );
    }
    let wrong = Choices {
        key: "/etc/a b".to_owned(),
        ..choices.clone()
    };
    let plan = Plan::new(
        NUMBER,
        &address,
        KeyExchange::Sdes,
        &META_NETWORKS,
        &wrong,
        Password::Hidden,
    );
    assert_eq!(plan.unwrap_err(), PlanError::Path);
    let plan = Plan::new(
        "+49",
        &address,
        KeyExchange::Sdes,
        &META_NETWORKS,
        &choices,
        Password::Hidden,
    );
    assert_eq!(plan.unwrap_err(), PlanError::Number);
}

#[test]
fn metas_networks_are_networks() {
    for network in META_NETWORKS {
        let parsed: IpNet = network.parse().unwrap();
        assert_eq!(parsed, parsed.trunc(), "{network}");
    }
}

#[test]
fn the_archive_is_opened_by_tar() {
    use std::io::Write as _;

    let files = files("a;b", KeyExchange::Sdes).unwrap();
    assert!(
        files
            .iter()
            .all(|file| file.name.len() < 100 && file.name.is_ascii())
    );
    let archive = tar(&files, Millis::from_seconds(1_795_564_800));
    let run = |flags: &[&str]| {
        let mut command = Command::new("tar");
        let mut child = command
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let bytes = archive.clone();
        let writing = std::thread::spawn(move || input.write_all(&bytes));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    assert_eq!(run(&["-t"]).lines().collect::<Vec<_>>(), names);
    assert_eq!(
        run(&["-xO", "asterisk/pjsip.conf"]),
        text(&files, "pjsip.conf")
    );
}
