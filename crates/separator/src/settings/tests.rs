#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use clap::{Args, Parser};

use super::*;

/// A folder with a `separator.toml`, removed when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn with(text: &str) -> Self {
        let name: [u8; 8] = crate::identifiers::Chance::System.bytes();
        let name = format!("separator-settings-{}", crate::secret::hex(&name));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(DEFAULT_FILE), text).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    settings: SettingsArguments,
}

fn load(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[&str],
) -> Result<Settings, SettingsError> {
    let folder = Folder::with(file);
    let environment = environment
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    let flags = ["separator"].iter().chain(flags);
    let program = Program::try_parse_from(flags).unwrap();
    Settings::load(&program.settings, environment, &folder.0)
}

fn refusal(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> String {
    load(file, environment, flags).unwrap_err().to_string()
}

const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

#[test]
fn without_anything_set_the_documented_defaults_hold() {
    let settings = load("", &[], &[]).unwrap();
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.data_dir, Path::new("./data"));
    assert!(
        matches!(&settings.database, DatabaseUrl::Sqlite(file) if *file == Path::new("./data/separator.db"))
    );
    assert!(settings.encryption_key.is_none() && settings.bitrix_oauth_url.is_none());
    assert_eq!(settings.graph_url.as_str(), "https://graph.facebook.com/");
    assert_eq!(settings.graph_version, "v25.0");
    assert_eq!(settings.facebook_url.as_str(), "https://www.facebook.com/");
    assert!(settings.allow_addresses.is_empty() && settings.trust_proxy.is_empty());
    assert_eq!(
        (settings.retention_days, settings.log.as_str()),
        (30, "info")
    );
    assert_eq!(settings.log_format, LogFormat::Text);
    assert_eq!(settings.unknown_wait, Duration::from_mins(2));
    assert_eq!(settings.media_wait, Duration::from_secs(5));
    assert_eq!(settings.longest_call, Duration::from_hours(4));
    assert_eq!(settings.portal_check, Duration::from_mins(10));
}

#[test]
fn no_file_is_needed_unless_one_is_named() {
    let nowhere = Path::new("/nowhere/at/all");
    assert!(Settings::load(&SettingsArguments::default(), [], nowhere).is_ok());
    let arguments = SettingsArguments {
        config: Some(nowhere.into()),
        ..SettingsArguments::default()
    };
    let message = Settings::load(&arguments, [], nowhere)
        .unwrap_err()
        .to_string();
    assert!(message.contains("/nowhere/at/all"), "{message}");
}

#[test]
fn a_named_file_is_read_in_place_of_the_default_one() {
    let (default, named) = (Folder::with("log = 'warn'"), Folder::with("log = 'error'"));
    let config = Some(named.0.join(DEFAULT_FILE));
    let arguments = SettingsArguments {
        config,
        ..SettingsArguments::default()
    };
    assert_eq!(
        Settings::load(&arguments, [], &default.0).unwrap().log,
        "error"
    );
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let file = "retention_days = 10\nlog = 'warn'\ngraph_version = 'v1.0'";
    let environment = [
        ("SEPARATOR_RETENTION_DAYS", "20"),
        ("SEPARATOR_LOG", "error"),
    ];
    let settings = load(file, &environment, &["--retention-days", "40"]).unwrap();
    assert_eq!(settings.retention_days, 40);
    assert_eq!(settings.log, "error");
    assert_eq!(settings.graph_version, "v1.0");
}

#[test]
fn a_value_that_is_overridden_is_not_looked_at() {
    assert!(
        load(
            "listen = 'nonsense'",
            &[("SEPARATOR_LISTEN", "[::1]:1")],
            &[]
        )
        .is_ok()
    );
}

#[test]
fn each_source_can_set_everything() {
    let values = [
        ("listen", "[::1]:9000"),
        ("data_dir", "/var/lib/separator"),
        ("database_url", "postgres://u:p@h/d"),
        ("encryption_key", KEY),
        ("graph_url", "http://127.0.0.1:9001/graph"),
        ("graph_version", "v23.0"),
        ("facebook_url", "http://127.0.0.1:9001"),
        ("bitrix_oauth_url", "http://127.0.0.1:9002"),
        ("allow_addresses", "127.0.0.0/8, ::1"),
        ("trust_proxy", "10.0.0.1/8"),
        ("retention_days", "8"),
        ("log", "warn,separator=debug"),
        ("log_format", "json"),
        ("unknown_wait", "60"),
        ("media_wait", "0"),
        ("longest_call", "60"),
        ("portal_check", "60"),
    ];
    let keys: BTreeSet<_> = values.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, reference().iter().map(|doc| doc.key).collect());

    let file = values
        .map(|(key, value)| format!("{key} = '{value}'"))
        .join("\n");
    let variables = values.map(|(key, value)| {
        (
            reference()
                .iter()
                .find(|doc| doc.key == key)
                .unwrap()
                .variable,
            value,
        )
    });
    let flags: Vec<_> = values
        .iter()
        .filter(|(key, _)| *key != "encryption_key")
        .map(|(key, value)| format!("--{}={value}", key.replace('_', "-")))
        .collect();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let key = [("SEPARATOR_ENCRYPTION_KEY", KEY)];

    for (file, variables, flags) in [
        (file.as_str(), &[][..], &[][..]),
        ("", &variables, &[]),
        ("", &key, &flags),
    ] {
        let settings = load(file, variables, flags).unwrap();
        assert_eq!(settings.listen.to_string(), "[::1]:9000");
        assert_eq!(settings.data_dir, Path::new("/var/lib/separator"));
        assert!(
            matches!(&settings.database, DatabaseUrl::Postgres(url) if url.expose() == "postgres://u:p@h/d")
        );
        assert_eq!(settings.encryption_key.as_ref().unwrap()[0].expose(), KEY);
        assert_eq!(settings.graph_url.as_str(), "http://127.0.0.1:9001/graph");
        assert_eq!(settings.graph_version, "v23.0");
        assert_eq!(settings.facebook_url.port(), Some(9001));
        assert_eq!(
            settings.bitrix_oauth_url.as_ref().unwrap().port(),
            Some(9002)
        );
        assert_eq!(settings.services().len(), 2);
        let networks =
            |networks: &[IpNet]| networks.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            networks(&settings.allow_addresses),
            ["127.0.0.0/8", "::1/128"]
        );
        assert_eq!(networks(&settings.trust_proxy), ["10.0.0.0/8"]);
        assert_eq!(settings.retention_days, 8);
        assert_eq!(settings.log, "warn,separator=debug");
        assert_eq!(settings.log_format, LogFormat::Json);
        assert_eq!(settings.unknown_wait, Duration::from_mins(1));
        assert_eq!(settings.media_wait, Duration::ZERO);
        assert_eq!(settings.longest_call, Duration::from_mins(1));
        assert_eq!(settings.portal_check, Duration::from_mins(1));
    }
}

#[test]
fn lists_and_numbers_of_the_file_are_read_as_such() {
    let file = "allow_addresses = ['10.0.0.0/8', 'fd00::/8']\ntrust_proxy = []\nretention_days = 9";
    let settings = load(file, &[], &[]).unwrap();
    assert_eq!(settings.allow_addresses.len(), 2);
    assert!(settings.trust_proxy.is_empty());
    assert_eq!(settings.retention_days, 9);
    assert!(
        load("", &[("SEPARATOR_ALLOW_ADDRESSES", "")], &[])
            .unwrap()
            .allow_addresses
            .is_empty()
    );
}

#[test]
fn unknown_names_are_refused_with_the_name() {
    for (file, name) in [
        ("listen = 'x'", "`listen`"),
        ("[listen_on]\na = 1", "`listen_on`"),
        ("Listen = 'x'", "`Listen`"),
    ] {
        let message = refusal(file, &[], &[]);
        assert!(
            message.contains(name) && message.contains(DEFAULT_FILE),
            "{message}"
        );
    }
    for name in [
        "SEPARATOR_LISTEN_ON",
        "SEPARATOR_",
        "SEPARATOR_CONFIG",
        "SEPARATOR_listen",
        "SEPARATOR_TESTS",
    ] {
        let message = refusal("", &[(name, "planted")], &[]);
        assert!(
            message.contains(name) && !message.contains("planted"),
            "{message}"
        );
    }
    let others = [
        ("SEPARATOR_TEST_POSTGRES", "x"),
        ("PATH", "x"),
        ("MY_SEPARATOR_X", "x"),
        ("separator_x", "x"),
    ];
    assert!(load("", &others, &[]).is_ok());
}

#[test]
fn unusable_values_are_refused_with_setting_value_and_what_would_be_right() {
    for (key, value, right) in [
        ("listen", "8080", "127.0.0.1:8080"),
        ("listen", "localhost:8080", "127.0.0.1:8080"),
        ("data_dir", "", "folder"),
        ("graph_url", "graph.facebook.com", "https://"),
        ("graph_url", "ftp://graph.facebook.com", "https://"),
        (
            "graph_url",
            "https://user:word@graph.facebook.com",
            "without user",
        ),
        ("facebook_url", "https://www.facebook.com/?a=b", "query"),
        ("bitrix_oauth_url", "", "https://"),
        ("graph_version", "25.0", "v25.0"),
        ("graph_version", "v25", "v25.0"),
        ("graph_version", "v25.", "v25.0"),
        ("graph_version", "v25.0/me", "v25.0"),
        ("allow_addresses", "10.0.0.0/33", "10.0.0.0/8"),
        ("allow_addresses", "10.0.0.0/8,,::1", "10.0.0.0/8"),
        ("trust_proxy", "everyone", "10.0.0.0/8"),
        ("retention_days", "7", "8 to 3650"),
        ("retention_days", "-1", "8 to 3650"),
        ("retention_days", "30 days", "8 to 3650"),
        ("log", "loud=very", "info"),
        ("log_format", "xml", "text or json"),
        ("unknown_wait", "0", "1 to 3600"),
        ("media_wait", "301", "0 to 300"),
        ("longest_call", "0", "1 to 604800"),
        ("portal_check", "0", "1 to 86400"),
    ] {
        let doc = reference().iter().find(|doc| doc.key == key).unwrap();
        let flag = format!("--{}", key.replace('_', "-"));
        for (message, name) in [
            (
                refusal(&format!("{key} = '{value}'"), &[], &[]),
                format!("`{key}` in "),
            ),
            (
                refusal("", &[(doc.variable, value)], &[]),
                doc.variable.to_owned(),
            ),
            (
                refusal("", &[], &[&format!("{flag}={value}")]),
                flag.clone(),
            ),
        ] {
            assert!(message.starts_with(&name), "{message}");
            assert!(message.contains(&format!("`{value}`")), "{message}");
            assert!(message.contains(right), "{message}");
        }
    }
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    for file in [
        "listen = true",
        "retention_days = 30.5",
        "[log]\na = 1",
        "allow_addresses = [1]",
    ] {
        assert!(
            matches!(load(file, &[], &[]), Err(SettingsError::Unusable { .. })),
            "{file}"
        );
    }
}

#[test]
fn databases_have_two_forms() {
    for (text, file) in [
        ("sqlite:data/x.db", "data/x.db"),
        ("sqlite:///var/x.db", "/var/x.db"),
        ("sqlite:/var/x.db", "/var/x.db"),
        ("sqlite://x.db", "x.db"),
    ] {
        let database = load("", &[("SEPARATOR_DATABASE_URL", text)], &[])
            .unwrap()
            .database;
        assert!(
            matches!(&database, DatabaseUrl::Sqlite(path) if path == Path::new(file)),
            "{text}"
        );
    }
    for text in [
        "",
        "sqlite:",
        "sqlite::memory:",
        "sqlite:x?mode=ro",
        "mysql://planted",
        "postgres",
    ] {
        let message = refusal("", &[("SEPARATOR_DATABASE_URL", text)], &[]);
        assert!(message.contains("sqlite:FILE"), "{message}");
        assert!(!message.contains("planted"), "{message}");
    }
}

#[test]
fn keys_are_checked_each_and_never_shown() {
    let two = format!("{KEY}, {KEY}");
    let settings = load("", &[("SEPARATOR_ENCRYPTION_KEY", &two)], &[]).unwrap();
    assert_eq!(settings.encryption_key.unwrap().len(), 2);
    let message = refusal(
        "",
        &[("SEPARATOR_ENCRYPTION_KEY", &format!("{KEY},planted"))],
        &[],
    );
    assert!(
        message.contains("number 2") && message.contains("32 bytes"),
        "{message}"
    );
    assert!(
        !message.contains("planted") && !message.contains(KEY),
        "{message}"
    );
    assert!(refusal("", &[("SEPARATOR_ENCRYPTION_KEY", "")], &[]).contains("empty"));
}

#[test]
fn a_file_that_is_not_toml_is_refused_without_showing_its_line() {
    for file in [
        "log = 'info'\ndatabase_url = 'planted",
        "log = 'info'\nencryption_key = planted\n",
    ] {
        let error = load(file, &[], &[]).unwrap_err();
        assert!(
            matches!(error, SettingsError::Syntax { line: 2, .. }),
            "{error}"
        );
        assert!(
            !format!("{error} {error:?}").contains("planted"),
            "{error:?}"
        );
    }
}

#[test]
fn printing_the_settings_shows_no_secret() {
    let environment = [
        ("SEPARATOR_ENCRYPTION_KEY", KEY),
        ("SEPARATOR_DATABASE_URL", "postgres://u:planted@h/d"),
    ];
    let text = format!("{:?}", load("", &environment, &[]).unwrap());
    assert!(!text.contains(KEY) && !text.contains("planted"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStringExt;

    let value = OsString::from_vec(vec![0xff]);
    let environment = [("SEPARATOR_LOG".into(), value)];
    let refused = Settings::load(
        &SettingsArguments::default(),
        environment,
        Path::new("/nowhere"),
    );
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .starts_with("SEPARATOR_LOG")
    );
}

#[test]
fn names_follow_from_the_key_and_everything_is_explained() {
    for doc in reference() {
        assert_eq!(
            doc.variable,
            format!("SEPARATOR_{}", doc.key.to_uppercase())
        );
        assert!(
            doc.meaning.ends_with('.') && !doc.default.is_empty(),
            "{}",
            doc.key
        );
        assert!(help().contains(doc.variable));
    }
}

#[test]
fn each_setting_but_the_key_has_a_flag() {
    let command = SettingsArguments::augment_args(clap::Command::new("separator"));
    let flags: BTreeSet<_> = command
        .get_arguments()
        .map(|flag| flag.get_id().to_string())
        .collect();
    let mut expected: BTreeSet<_> = reference().iter().map(|doc| doc.key.to_owned()).collect();
    expected.remove("encryption_key");
    expected.insert("config".to_owned());
    assert_eq!(flags, expected);
}
