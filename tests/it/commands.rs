//! Settings and commands as a person at a terminal meets them: what is said, where, and with which exit code.

use std::{
    io::Write as _,
    net::TcpListener,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::json;

use crate::world::{Options, World, http};

/// A folder of a test's own, gone at its end.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("separator-test-{}", uuid::Uuid::new_v4().simple());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// The program in this folder with nothing set but what is given.
    fn separator(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_separator"));
        command
            .args(arguments)
            .current_dir(&self.0)
            .env_clear()
            .envs(variables.iter().copied())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
        Outcome::of(&self.separator(arguments, variables).output().unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout.clone()).unwrap(),
            stderr: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    /// Asserts that it ended with this code and one sentence on standard error that holds all these words.
    fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {self:?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        // On PostgreSQL its notices may have been logged before.
        let sentences = self.stderr.lines().filter(|line| !line.contains(" INFO "));
        assert_eq!(sentences.count(), 1, "{self:?}");
    }

    fn fine(&self) {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.stderr, "", "{self:?}");
    }
}

/// Where a server may not come to listen although the settings were taken by mistake.
const NOWHERE: (&str, &str) = ("SEPARATOR_LISTEN", "127.0.0.1:0");

#[test]
fn a_setting_that_nobody_knows_is_named() {
    let folder = Folder::new();
    std::fs::write(
        folder.path().join("separator.toml"),
        "lisen = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    folder
        .run(&["serve"], &[])
        .refused(2, &["lisen", "separator.toml"]);
    // Also where another command reads the settings, and where the file has another name.
    folder
        .run(&["user", "create", "--email", "a@example.com"], &[])
        .refused(2, &["lisen"]);
    std::fs::rename(
        folder.path().join("separator.toml"),
        folder.path().join("other.toml"),
    )
    .unwrap();
    folder
        .run(&["serve", "--config", "other.toml"], &[])
        .refused(2, &["lisen", "other.toml"]);
    folder
        .run(&["serve", "--config", "missing.toml"], &[])
        .refused(2, &["missing.toml"]);
    folder
        .run(&["serve"], &[NOWHERE, ("SEPARATOR_LISENT", "x")])
        .refused(2, &["SEPARATOR_LISENT"]);
    assert!(!folder.path().join("data").exists(), "nothing was begun");
}

#[test]
fn a_value_that_cannot_be_used_is_named() {
    let folder = Folder::new();
    for (variable, value) in [
        ("SEPARATOR_LISTEN", "8080"),
        ("SEPARATOR_LISTEN", "127.0.0.1:99999"),
        ("SEPARATOR_GRAPH_URL", "graph.facebook.com"),
        ("SEPARATOR_GRAPH_VERSION", "latest"),
        ("SEPARATOR_FACEBOOK_URL", "ftp://x"),
        ("SEPARATOR_BITRIX_OAUTH_URL", "x"),
        ("SEPARATOR_ALLOW_ADDRESSES", "10.0.0.0/33"),
        ("SEPARATOR_TRUST_PROXY", "everyone"),
        ("SEPARATOR_RETENTION_DAYS", "0"),
        ("SEPARATOR_RETENTION_DAYS", "many"),
        ("SEPARATOR_LOG", "separator=loud"),
        ("SEPARATOR_LOG_FORMAT", "xml"),
        ("SEPARATOR_UNKNOWN_WAIT", "0"),
        ("SEPARATOR_MEDIA_WAIT", "301"),
    ] {
        let outcome = folder.run(&["serve"], &[(variable, value)]);
        outcome.refused(2, &[variable, value]);
    }
    // A secret is named but not shown.
    let outcome = folder.run(
        &["serve"],
        &[
            NOWHERE,
            ("SEPARATOR_ENCRYPTION_KEY", "too-short-to-be-a-key"),
        ],
    );
    outcome.refused(2, &["SEPARATOR_ENCRYPTION_KEY"]);
    assert!(!outcome.stderr.contains("too-short"), "{outcome:?}");
    let outcome = folder.run(
        &["serve"],
        &[
            NOWHERE,
            ("SEPARATOR_DATABASE_URL", "mysql://me:password@localhost/x"),
        ],
    );
    outcome.refused(2, &["SEPARATOR_DATABASE_URL", "postgres://"]);
    assert!(!outcome.stderr.contains("me:password"), "{outcome:?}");
    folder
        .run(&["serve", "--retention-days", "1"], &[])
        .refused(2, &["--retention-days"]);
    for (text, name) in [
        ("retention_days = 1", "retention_days"),
        ("listen = true", "listen"),
        ("listen = \n", "line 1"),
    ] {
        std::fs::write(folder.path().join("separator.toml"), text).unwrap();
        folder.run(&["serve"], &[]).refused(2, &[name]);
    }
    assert!(!folder.path().join("data").exists(), "nothing was begun");
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let below = file.join("data").display().to_string();
    for path in [below, file.display().to_string()] {
        let outcome = folder.run(&["serve"], &[NOWHERE, ("SEPARATOR_DATA_DIR", &path)]);
        outcome.refused(2, &["data_dir", &path]);
        let outcome = folder.run(
            &["user", "create", "--email", "a@example.com"],
            &[("SEPARATOR_DATA_DIR", &path)],
        );
        outcome.refused(2, &["data_dir", &path]);
    }
}

#[test]
fn the_data_folder_is_closed_to_others() {
    let folder = Folder::new();
    folder
        .run(&["user", "create", "--email", "anna@example.com"], &[])
        .fine();
    let mode = std::fs::metadata(folder.path().join("data"))
        .unwrap()
        .mode();
    assert_eq!(mode & 0o077, 0, "mode {mode:o}");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    folder
        .run(
            &["serve"],
            &[("SEPARATOR_LISTEN", &address), ("SEPARATOR_LOG", "error")],
        )
        .refused(2, &["listen", &address]);
}

#[test]
fn wrong_usage_ends_with_two_and_says_what_is_right() {
    let folder = Folder::new();
    for (arguments, word) in [
        (&[][..], "Usage"),
        (&["sreve"], "sreve"),
        (&["serve", "--colour"], "--colour"),
        (&["user", "create"], "--email"),
        (
            &[
                "user",
                "create",
                "--email",
                "a@example.com",
                "--role",
                "king",
            ],
            "admin or integrator",
        ),
        (
            &["key", "create", "--user", "a@example.com", "--scope", "all"],
            "manage or callback",
        ),
        (&["key", "create", "--user", "a@example.com"], "--scope"),
    ] {
        let outcome = folder.run(arguments, &[]);
        assert_eq!(outcome.code, Some(2), "{arguments:?} {outcome:?}");
        assert!(outcome.stderr.contains(word), "{arguments:?} {outcome:?}");
    }
    let help = folder.run(&["--help"], &[]);
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("SEPARATOR_DATA_DIR"));
    let version = folder.run(&["--version"], &[]);
    assert_eq!(version.stdout.trim(), "separator 0.1.0");
}

#[test]
fn users_and_keys_are_made_with_what_a_script_can_use() {
    let folder = Folder::new();
    let create = ["user", "create", "--email", "Anna@Example.com"];
    let user = folder.run(&create, &[]);
    user.fine();
    let link = user.stdout.trim_end();
    assert!(
        link.starts_with("http://127.0.0.1:8080/link#") && !link.contains(char::is_whitespace),
        "{link}"
    );
    assert!(link.rsplit('/').next().unwrap().len() >= 32, "{link}");
    folder.run(&create, &[]).refused(1, &["example.com"]);
    folder
        .run(&["user", "create", "--email", "nobody"], &[])
        .refused(1, &["nobody"]);

    // With a password there is no link and nothing to be said.
    let with_password = |password: &[u8]| {
        let mut child = folder
            .separator(
                &[
                    "user",
                    "create",
                    "--email",
                    "boris@example.com",
                    "--password-stdin",
                    "--role",
                    "integrator",
                ],
                &[],
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(password).unwrap();
        Outcome::of(&child.wait_with_output().unwrap())
    };
    let short = with_password(b"short\n");
    short.refused(1, &["password"]);
    let made = with_password(b"correct horse battery\n");
    made.fine();
    assert_eq!(made.stdout, "");

    let key = |arguments: &[&str]| {
        let mut all = vec!["key", "create", "--user"];
        all.extend(arguments);
        folder.run(&all, &[])
    };
    let manage = key(&["anna@example.com", "--scope", "manage", "--name", "CI"]);
    manage.fine();
    let callback = key(&["boris@example.com", "--scope", "callback"]);
    callback.fine();
    for made in [&manage, &callback] {
        let key = made.stdout.strip_suffix('\n').unwrap();
        assert!(key.starts_with("sep_") && key.len() >= 36, "{key}");
        assert!(
            key.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'),
            "{key} needs quoting"
        );
        // Only its hash is stored.
        let database = std::fs::read(folder.path().join("data/separator.db")).unwrap();
        let holds = |needle: &[u8]| database.windows(needle.len()).any(|part| part == needle);
        assert!(!holds(key.as_bytes()));
        assert!(holds(b"boris@example.com"), "the right file was read");
    }
    assert_ne!(manage.stdout, callback.stdout);
    key(&["nobody@example.com", "--scope", "manage"])
        .refused(1, &["nobody@example.com", "user create"]);
}

#[test]
fn the_key_file_is_made_once_and_only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::new();
    // Serving needs the key; the address that is taken ends it at once.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let variables = [
        ("SEPARATOR_LISTEN", address.as_str()),
        ("SEPARATOR_LOG", "error"),
    ];
    folder.run(&["serve"], &variables).refused(2, &["listen"]);
    let file = folder.path().join("data/encryption.key");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let first = std::fs::read(&file).unwrap();
    folder.run(&["serve"], &variables).refused(2, &["listen"]);
    assert_eq!(std::fs::read(&file).unwrap(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_newer_than_the_program_is_left_alone() {
    let mut world = World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await;
    world.server.stop().await;
    world.server.sql(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT 9999, 'from the future', success, checksum, 1 FROM _sqlx_migrations WHERE version = 1",
    );
    for arguments in [
        &["serve"][..],
        &["user", "create", "--email", "b@example.com"],
    ] {
        let output = world.server.command(arguments).output().unwrap();
        Outcome::of(&output).refused(2, &["database", "newer", "9999"]);
    }
    world
        .server
        .sql("DELETE FROM _sqlx_migrations WHERE version = 9999");
    world.server.start().await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_data_folder_refuses() {
    let world = World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await;
    let output = world
        .server
        .command(&["serve", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    Outcome::of(&output).refused(2, &["data_dir", "another Separator"]);
    // The first one goes on.
    assert_eq!(world.api.get("sites").await["items"][0], world.site);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_encryption_key_than_the_one_that_wrote_the_secrets_is_refused() {
    let mut world = World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await;
    world.server.stop().await;
    let other = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    let output = world
        .server
        .command(&["serve"])
        .env("SEPARATOR_ENCRYPTION_KEY", other)
        .output()
        .unwrap();
    let outcome = Outcome::of(&output);
    outcome.refused(2, &["encryption_key"]);
    assert!(!outcome.stderr.contains(other), "{outcome:?}");
    world.server.start().await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sign_in_link_of_a_new_user_leads_to_the_only_site() {
    let world = World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await;
    let output = world
        .server
        .command(&["user", "create", "--email", "second@example.com"])
        .output()
        .unwrap();
    let outcome = Outcome::of(&output);
    outcome.fine();
    let start = format!("{}/link#", world.server.url());
    assert!(outcome.stdout.starts_with(&start), "{outcome:?}");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_made_while_the_server_runs_opens_the_api_at_once() {
    let world = World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await;
    let key = world
        .server
        .command(&[
            "key",
            "create",
            "--user",
            "admin@example.com",
            "--scope",
            "manage",
        ])
        .output()
        .unwrap();
    let outcome = Outcome::of(&key);
    outcome.fine();
    let answer = http()
        .post(format!("{}/api/v1/sites", world.server.url()))
        .bearer_auth(outcome.stdout.trim())
        .json(&json!({ "domain": "second.example" }))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_come_from_file_environment_and_flags_in_this_order() {
    let folder = Folder::new();
    let free = |_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let [by_file, by_variable, by_flag] = [0, 1, 2].map(free);
    std::fs::write(
        folder.path().join("separator.toml"),
        format!("listen = \"{by_file}\"\nlog = \"warn\"\ndata_dir = \"elsewhere\"\n"),
    )
    .unwrap();
    let variable = [("SEPARATOR_LISTEN", by_variable.as_str())];
    for (arguments, variables, address) in [
        (&["serve"][..], &[][..], &by_file),
        (&["serve"], &variable, &by_variable),
        (&["serve", "--listen", &by_flag], &variable, &by_flag),
    ] {
        let mut child = folder
            .separator(arguments, variables)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("http://{address}/healthz");
        let deadline = tokio::time::Instant::now() + crate::world::PATIENCE;
        let mut answers = false;
        while !answers && tokio::time::Instant::now() < deadline {
            let answer = http().get(&url).send().await;
            answers = answer.is_ok_and(|answer| answer.status().is_success());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(
            answers,
            "{arguments:?} {variables:?} does not listen on {address}"
        );
    }
    assert!(folder.path().join("elsewhere/separator.db").exists());
    assert!(!folder.path().join("data").exists());
}

#[test]
fn a_telephone_server_is_looked_at_from_the_terminal() {
    let folder = Folder::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let accepting = std::thread::spawn(move || {
        // One connection for TLS and one for SIP without it, each closed at once.
        listener.incoming().take(2).for_each(drop);
    });

    // What is no address is wrong usage, and nothing in it reaches the terminal as it is.
    for wrong in ["", "a b", "sip.example.com:0", "a..b", "x\u{1b}[31m"] {
        folder.run(&["sip-check", wrong], &[]).refused(2, &["sip"]);
    }
    let report = |outcome: &Outcome| -> serde_json::Value {
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:?}"))
    };
    // This machine is not connected to unless the operator allows it.
    let closed = folder.run(&["sip-check", &server, "--json"], &[]);
    assert_eq!(closed.code, Some(1), "{closed:?}");
    assert!(
        closed.stderr.ends_with("Calls will not arrive.\n"),
        "{closed:?}"
    );
    assert_eq!(report(&closed)["verdict"], "red");
    assert_eq!(report(&closed)["stages"][1]["code"], "not_public");

    let allowed = [("SEPARATOR_ALLOW_ADDRESSES", "127.0.0.0/8")];
    let looked = folder.run(
        &["sip-check", &server, "--json", "--language", "ru"],
        &allowed,
    );
    accepting.join().unwrap();
    assert_eq!(looked.code, Some(1), "{looked:?}");
    let stages = report(&looked)["stages"].clone();
    let last = stages.as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["code"], &last["state"]),
        (&json!("closed_during_tls"), &json!("fault"))
    );
    assert!(
        last["text"]
            .as_str()
            .unwrap()
            .starts_with("Сервер закрыл соединение"),
        "{last}"
    );

    // The same as text; the listener is gone by now.
    let told = folder.run(&["sip-check", &format!("sips:u@{server}")], &allowed);
    assert_eq!(told.code, Some(1), "{told:?}");
    for words in [
        "Removed from what was entered: sips:, u@",
        "nothing listens",
        "pjsip show transports",
        "red: Calls will not arrive.",
    ] {
        assert!(told.stdout.contains(words), "{words:?} is not in {told:?}");
    }
}
