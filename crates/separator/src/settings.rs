//! What can be set, from where, and what it has to look like.
//!
//! A setting comes from the file `separator.toml`, is overridden by its environment variable, and
//! that by its flag. Nothing is guessed: a key that nobody knows and a value that cannot be used
//! stop the start and are named, because a misspelt setting that is silently ignored is found out
//! weeks later. The whole list is [`reference()`].

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use url::Url;

use crate::{
    logging::{self, LogFormat},
    seal,
    secret::Secret,
};

/// The file that is read from the working folder where no other is named.
pub const DEFAULT_FILE: &str = "separator.toml";

/// The database in the data folder where no other is named.
pub const DATABASE_FILE: &str = "separator.db";

/// What all environment variables of ours begin with.
const PREFIX: &str = "SEPARATOR_";

/// Variables of the test programs, which are none of ours.
const TEST_PREFIX: &str = "SEPARATOR_TEST_";

/// One setting, for the documentation and the help.
#[derive(Debug, PartialEq, Eq)]
pub struct SettingDoc {
    /// The environment variable.
    pub variable: &'static str,
    /// The key in the file, which is the flag too with `-` in place of `_`.
    pub key: &'static str,
    /// The value where nothing is set, or what happens then.
    pub default: &'static str,
    /// What it does, in a sentence.
    pub meaning: &'static str,
}

/// All settings, in the order in which they are documented.
pub fn reference() -> &'static [SettingDoc] {
    &REFERENCE
}

/// All settings as text for a terminal.
pub fn help() -> String {
    use fmt::Write;

    let mut text = format!(
        "Settings, from {DEFAULT_FILE} (key), overridden by the environment, overridden by flags:\n"
    );
    for doc in reference() {
        let SettingDoc {
            variable,
            key,
            default,
            meaning,
        } = doc;
        write!(
            text,
            "\n  {variable} ({key})\n      {meaning}\n      Default: {default}\n"
        )
        .expect("writing to a String cannot fail");
    }
    text
}

static REFERENCE: [SettingDoc; 16] = [
    SettingDoc {
        variable: "SEPARATOR_LISTEN",
        key: "listen",
        default: "127.0.0.1:8080",
        meaning: "Address and port to listen on. A socket handed over by the service manager wins.",
    },
    SettingDoc {
        variable: "SEPARATOR_DATA_DIR",
        key: "data_dir",
        default: "./data",
        meaning: "Folder of the database, the media and the key file.",
    },
    SettingDoc {
        variable: "SEPARATOR_DATABASE_URL",
        key: "database_url",
        default: "the SQLite file separator.db in the data folder",
        meaning: "Database: sqlite:FILE or postgres://USER:PASSWORD@HOST/NAME.",
    },
    SettingDoc {
        variable: "SEPARATOR_ENCRYPTION_KEY",
        key: "encryption_key",
        default: "the file encryption.key in the data folder, made on the first start",
        meaning: "Key that protects secrets at rest: 32 bytes as base64 or hexadecimal. For \
                  rotation several with commas: the first one seals, all of them open. Has no flag, \
                  because flags can be seen by other users of the machine.",
    },
    SettingDoc {
        variable: "SEPARATOR_GRAPH_URL",
        key: "graph_url",
        default: "https://graph.facebook.com",
        meaning: "Base of Meta's Graph API.",
    },
    SettingDoc {
        variable: "SEPARATOR_GRAPH_VERSION",
        key: "graph_version",
        default: "v25.0",
        meaning: "Version of Meta's Graph API.",
    },
    SettingDoc {
        variable: "SEPARATOR_FACEBOOK_URL",
        key: "facebook_url",
        default: "https://www.facebook.com",
        meaning: "Base of Meta's login dialog.",
    },
    SettingDoc {
        variable: "SEPARATOR_BITRIX_OAUTH_URL",
        key: "bitrix_oauth_url",
        default: "Bitrix24's own servers",
        meaning: "Authorization server of Bitrix24. Where it is set, it is the only one used.",
    },
    SettingDoc {
        variable: "SEPARATOR_ALLOW_ADDRESSES",
        key: "allow_addresses",
        default: "none",
        meaning: "Networks (CIDR, several with commas) that outgoing requests may reach although \
                  they are private or loopback.",
    },
    SettingDoc {
        variable: "SEPARATOR_TRUST_PROXY",
        key: "trust_proxy",
        default: "none",
        meaning: "Networks (CIDR, several with commas) whose X-Forwarded-* headers are believed.",
    },
    SettingDoc {
        variable: "SEPARATOR_RETENTION_DAYS",
        key: "retention_days",
        default: "30",
        meaning: "Days for which events, media and finished messages are kept: 8 to 3650. Meta \
                  repeats an event for 7 days, and a repetition is only recognised by what is kept.",
    },
    SettingDoc {
        variable: "SEPARATOR_LOG",
        key: "log",
        default: "info",
        meaning: "What is logged: error, warn, info, debug, trace, also by part of the program. \
                  info,separator::phones=debug writes telephone numbers in full.",
    },
    SettingDoc {
        variable: "SEPARATOR_LOG_FORMAT",
        key: "log_format",
        default: "text",
        meaning: "How it is logged: text or json.",
    },
    SettingDoc {
        variable: "SEPARATOR_UNKNOWN_WAIT",
        key: "unknown_wait",
        default: "120",
        meaning: "Seconds that a message to WhatsApp whose sending got no answer waits for a status, \
                  which tells whether it went out: 1 to 3600.",
    },
    SettingDoc {
        variable: "SEPARATOR_MEDIA_WAIT",
        key: "media_wait",
        default: "5",
        meaning: "Seconds that a file has to arrive before the text beside it goes on without: 0 \
                  to 300.",
    },
    SettingDoc {
        variable: "SEPARATOR_LONGEST_CALL",
        key: "longest_call",
        default: "14400",
        meaning: "Seconds after which a call whose end WhatsApp never told is finished in the CRM \
                  with an unknown outcome: 1 to 604800.",
    },
];

/// The flags of the settings; flatten them into each command that needs settings.
///
/// They are kept as text, so that a wrong value is refused in the same words wherever it came from.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingsArguments {
    /// File with settings [default: separator.toml, where it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address and port to listen on
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Folder of the database, the media and the key file
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<String>,
    /// Database: sqlite:FILE or postgres://…
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// Base of Meta's Graph API
    #[arg(long, value_name = "URL")]
    pub graph_url: Option<String>,
    /// Version of Meta's Graph API
    #[arg(long, value_name = "VERSION")]
    pub graph_version: Option<String>,
    /// Base of Meta's login dialog
    #[arg(long, value_name = "URL")]
    pub facebook_url: Option<String>,
    /// Authorization server of Bitrix24
    #[arg(long, value_name = "URL")]
    pub bitrix_oauth_url: Option<String>,
    /// Private networks that outgoing requests may reach
    #[arg(long, value_name = "NETWORKS")]
    pub allow_addresses: Option<String>,
    /// Networks whose X-Forwarded-* headers are believed
    #[arg(long, value_name = "NETWORKS")]
    pub trust_proxy: Option<String>,
    /// Days for which events, media and finished messages are kept
    #[arg(long, value_name = "DAYS")]
    pub retention_days: Option<String>,
    /// What is logged
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// How it is logged: text or json
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Seconds that an unanswered sending waits for a status
    #[arg(long, value_name = "SECONDS")]
    pub unknown_wait: Option<String>,
    /// Seconds that a file has to arrive before its text goes on
    #[arg(long, value_name = "SECONDS")]
    pub media_wait: Option<String>,
    /// Seconds after which a call without an end is finished
    #[arg(long, value_name = "SECONDS")]
    pub longest_call: Option<String>,
}

impl SettingsArguments {
    fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("listen", &self.listen),
            ("data_dir", &self.data_dir),
            ("database_url", &self.database_url),
            ("graph_url", &self.graph_url),
            ("graph_version", &self.graph_version),
            ("facebook_url", &self.facebook_url),
            ("bitrix_oauth_url", &self.bitrix_oauth_url),
            ("allow_addresses", &self.allow_addresses),
            ("trust_proxy", &self.trust_proxy),
            ("retention_days", &self.retention_days),
            ("log", &self.log),
            ("log_format", &self.log_format),
            ("unknown_wait", &self.unknown_wait),
            ("media_wait", &self.media_wait),
            ("longest_call", &self.longest_call),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.as_deref()?)))
    }
}

/// The settings of a start, all checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Folder of the database, the media and the key file.
    pub data_dir: PathBuf,
    /// Where the database is.
    pub database: DatabaseUrl,
    /// Keys for secrets at rest, as text that [`seal::parse_key`] accepts; the first one seals.
    /// Without it the key file in the data folder is used.
    pub encryption_key: Option<Vec<Secret>>,
    /// Base of Meta's Graph API.
    pub graph_url: Url,
    /// Version of Meta's Graph API, such as `v25.0`.
    pub graph_version: String,
    /// Base of Meta's login dialog.
    pub facebook_url: Url,
    /// The only authorization server of Bitrix24; without it Bitrix24's own ones.
    pub bitrix_oauth_url: Option<Url>,
    /// Networks that outgoing requests may reach although they are not public.
    pub allow_addresses: Vec<IpNet>,
    /// Networks whose `X-Forwarded-*` headers are believed.
    pub trust_proxy: Vec<IpNet>,
    /// Days for which events, media and finished messages are kept, at least 8.
    pub retention_days: u32,
    /// Filter of the log, accepted by [`logging::check_filter`].
    pub log: String,
    /// Format of the log.
    pub log_format: LogFormat,
    /// How long a message to WhatsApp waits for a status when its sending got no answer.
    pub unknown_wait: Duration,
    /// How long a file may take to arrive before the text beside it goes on without.
    pub media_wait: Duration,
    /// How long a call may go on before it is given up that its end will be told. Meta names no longest call (Calling,
    /// FAQ), so this is ours.
    pub longest_call: Duration,
    /// The stand-ins that take the place of Meta and Bitrix24; no setting, the command `sandbox` says it.
    pub sandbox: Option<StandIns>,
}

/// What a person enters to connect the stand-ins of a sandbox, as the consoles of Meta and Bitrix24 show it elsewhere.
#[derive(Clone, Debug)]
pub struct StandIns {
    /// Page of the customer's phone, which also stands for Meta's consoles.
    pub customer_page: String,
    /// Page of the operator's open line, which also stands for the portal.
    pub operator_page: String,
    /// App ID at Meta.
    pub client_id: String,
    /// App secret at Meta.
    pub client_secret: Secret,
    /// Permanent access token.
    pub access_token: Secret,
    /// WABA id.
    pub waba_id: String,
    /// The business number, digits.
    pub phone: String,
    /// Its phone number id.
    pub phone_id: String,
    /// Host of the portal.
    pub portal: String,
    /// Client id of the local application on the portal.
    ///
    /// Not where the portal has none yet: it makes both up when its administrator enters one.
    pub bitrix_client_id: Option<String>,
    /// Its client secret.
    pub bitrix_client_secret: Option<Secret>,
}

/// Where the database is.
#[derive(Clone, Debug)]
pub enum DatabaseUrl {
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// A PostgreSQL server, `postgres://…`, a secret because of the password in it.
    Postgres(Secret),
}

/// The program cannot start with these settings. Each message names what to correct.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A key of the file that is no setting.
    #[error("unknown setting `{key}` in {}", file.display())]
    UnknownKey {
        /// The key.
        key: String,
        /// The file it is in.
        file: PathBuf,
    },
    /// An environment variable that begins like ours and is no setting.
    #[error("unknown setting {variable} in the environment")]
    UnknownVariable {
        /// The name of the variable.
        variable: String,
    },
    /// A value that cannot be used.
    #[error("{setting} cannot be {value}; it should be {expected}")]
    Unusable {
        /// The setting as it is called where it was set.
        setting: String,
        /// The value in quotes, or a word for it where it is a secret.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// The file could not be read.
    #[error("cannot read the settings in {}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not TOML. The faulty line is not shown, because it may hold a secret.
    #[error("{} is not TOML, line {line}: {message}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
}

impl SettingsError {
    /// Whether all that is wrong is that there is no file.
    fn is_absence(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

impl Settings {
    /// Collects and checks the settings: the file named by the arguments or `separator.toml` in
    /// `folder` where that exists, then `environment`, then the arguments.
    pub fn load(
        arguments: &SettingsArguments,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        folder: &Path,
    ) -> Result<Self, SettingsError> {
        let mut given = Given::default();
        if let Some(file) = &arguments.config {
            given.add_file(file, &read(file)?)?;
        } else {
            let file = folder.join(DEFAULT_FILE);
            match read(&file) {
                Ok(text) => given.add_file(&file, &text)?,
                Err(error) if error.is_absence() => {}
                Err(error) => return Err(error),
            }
        }
        given.add_environment(environment)?;
        given.add_arguments(arguments);
        given.check()
    }

    /// The services of the settings, which outgoing requests reach wherever they are.
    pub fn services(&self) -> Vec<Url> {
        let bitrix = self.bitrix_oauth_url.clone();
        [self.graph_url.clone()].into_iter().chain(bitrix).collect()
    }
}

/// The environment of this process, for [`Settings::load`].
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
pub fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

fn read(file: &Path) -> Result<String, SettingsError> {
    fs::read_to_string(file).map_err(|source| SettingsError::File {
        file: file.to_owned(),
        source,
    })
}

fn doc(matches: impl Fn(&SettingDoc) -> bool) -> Option<&'static SettingDoc> {
    REFERENCE.iter().find(|doc| matches(doc))
}

/// What was set, by key; a later source replaces an earlier one.
#[derive(Default)]
struct Given(BTreeMap<&'static str, Value>);

struct Value {
    /// What the setting is called where it was set.
    name: String,
    text: String,
}

impl Given {
    fn add_file(&mut self, file: &Path, text: &str) -> Result<(), SettingsError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = 1 + text
                .bytes()
                .take(start)
                .filter(|byte| *byte == b'\n')
                .count();
            SettingsError::Syntax {
                file: file.to_owned(),
                line,
                message: error.message().to_owned(),
            }
        })?;
        for (key, value) in table {
            let Some(doc) = doc(|doc| doc.key == key) else {
                return Err(SettingsError::UnknownKey {
                    key,
                    file: file.to_owned(),
                });
            };
            let name = format!("`{key}` in {}", file.display());
            let text = toml_text(&value).ok_or_else(|| SettingsError::Unusable {
                setting: name.clone(),
                value: format!("a {}", value.type_str()),
                expected: "a text, a number or a list of texts".to_owned(),
            })?;
            self.0.insert(doc.key, Value { name, text });
        }
        Ok(())
    }

    fn add_environment(
        &mut self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), SettingsError> {
        for (variable, value) in environment {
            let variable = variable.to_string_lossy();
            if !variable.starts_with(PREFIX) || variable.starts_with(TEST_PREFIX) {
                continue;
            }
            let Some(doc) = doc(|doc| doc.variable == variable) else {
                return Err(SettingsError::UnknownVariable {
                    variable: variable.into_owned(),
                });
            };
            let name = doc.variable.to_owned();
            let text = value.into_string().map_err(|_| SettingsError::Unusable {
                setting: name.clone(),
                value: "what it is".to_owned(),
                expected: "text in UTF-8".to_owned(),
            })?;
            self.0.insert(doc.key, Value { name, text });
        }
        Ok(())
    }

    fn add_arguments(&mut self, arguments: &SettingsArguments) {
        for (key, text) in arguments.given() {
            let name = format!("--{}", key.replace('_', "-"));
            self.0.insert(
                key,
                Value {
                    name,
                    text: text.to_owned(),
                },
            );
        }
    }

    fn check(&self) -> Result<Settings, SettingsError> {
        let data_dir: PathBuf = self.value("data_dir", "the path of a folder", |text| {
            (!text.is_empty()).then(|| text.into())
        })?;
        Ok(Settings {
            listen: self.value(
                "listen",
                "an address and a port such as 127.0.0.1:8080",
                |text| text.parse().ok(),
            )?,
            database: self
                .secret("database_url", database)?
                .unwrap_or_else(|| DatabaseUrl::Sqlite(data_dir.join(DATABASE_FILE))),
            data_dir,
            encryption_key: self.secret("encryption_key", keys)?,
            graph_url: self.value("graph_url", BASE_FORM, base_url)?,
            graph_version: self.value("graph_version", "a version such as v25.0", version)?,
            facebook_url: self.value("facebook_url", BASE_FORM, base_url)?,
            bitrix_oauth_url: self.optional("bitrix_oauth_url", BASE_FORM, base_url)?,
            allow_addresses: self.networks("allow_addresses")?,
            trust_proxy: self.networks("trust_proxy")?,
            retention_days: self.number("retention_days", 8, 3650)?,
            log: self.log()?,
            log_format: self.value("log_format", "text or json", |text| text.parse().ok())?,
            unknown_wait: self.seconds("unknown_wait", 1, 3600)?,
            media_wait: self.seconds("media_wait", 0, 300)?,
            longest_call: self.seconds("longest_call", 1, 604_800)?,
            sandbox: None,
        })
    }

    /// The value, or the documented default. Only for settings whose default is a value.
    fn value<T>(
        &self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, SettingsError> {
        if let Some(value) = self.optional(key, expected, &parse)? {
            return Ok(value);
        }
        let default = doc(|doc| doc.key == key).map_or("", |doc| doc.default);
        parse(default).ok_or_else(|| SettingsError::Unusable {
            setting: format!("the default of `{key}`"),
            value: format!("`{default}`"),
            expected: expected.to_owned(),
        })
    }

    fn optional<T>(
        &self,
        key: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, SettingsError> {
        let Some(Value { name, text }) = self.0.get(key) else {
            return Ok(None);
        };
        match parse(text.trim()) {
            Some(value) => Ok(Some(value)),
            None => Err(SettingsError::Unusable {
                setting: name.clone(),
                value: format!("`{text}`"),
                expected: expected.to_owned(),
            }),
        }
    }

    /// A value that must not be repeated in an error; `parse` says what would be right.
    fn secret<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, SettingsError> {
        let Some(Value { name, text }) = self.0.get(key) else {
            return Ok(None);
        };
        parse(text.trim())
            .map(Some)
            .map_err(|expected| SettingsError::Unusable {
                setting: name.clone(),
                value: "what it is".to_owned(),
                expected,
            })
    }

    /// A list of networks; nothing and an empty text are an empty list.
    fn networks(&self, key: &str) -> Result<Vec<IpNet>, SettingsError> {
        let expected = "a list of networks such as 10.0.0.0/8,fd00::/8";
        let given = self.optional(key, expected, |text| {
            if text.is_empty() {
                return Some(Vec::new());
            }
            text.split(',').map(|part| network(part.trim())).collect()
        })?;
        Ok(given.unwrap_or_default())
    }

    fn number(&self, key: &'static str, least: u32, most: u32) -> Result<u32, SettingsError> {
        self.value(key, &format!("a number from {least} to {most}"), |text| {
            text.parse()
                .ok()
                .filter(|number| (least..=most).contains(number))
        })
    }

    fn seconds(&self, key: &'static str, least: u32, most: u32) -> Result<Duration, SettingsError> {
        self.number(key, least, most)
            .map(|seconds| Duration::from_secs(seconds.into()))
    }

    fn log(&self) -> Result<String, SettingsError> {
        let expected = "a filter such as info or warn,separator=debug";
        self.value("log", expected, |text| {
            logging::check_filter(text).is_ok().then(|| text.to_owned())
        })
    }
}

const BASE_FORM: &str = "an address such as https://example.com, without user, query and fragment";

/// A value of the file as an environment variable would hold it.
fn toml_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Array(parts) => {
            let parts: Option<Vec<_>> = parts.iter().map(toml::Value::as_str).collect();
            Some(parts?.join(","))
        }
        _ => None,
    }
}

fn base_url(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && plain).then_some(url)
}

fn version(text: &str) -> Option<String> {
    let (major, minor) = text.strip_prefix('v')?.split_once('.')?;
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (number(major) && number(minor)).then(|| text.to_owned())
}

/// A network, or one address as a network of its own. Bits behind the prefix do not count.
fn network(text: &str) -> Option<IpNet> {
    let network: Option<IpNet> = text.parse().ok();
    network
        .or_else(|| Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?)))
        .map(|network| network.trunc())
}

fn database(text: &str) -> Result<DatabaseUrl, String> {
    if let Some(path) = text.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        // `:memory:` would forget, and parameters such as `?mode=` are ours to choose.
        if !path.is_empty() && !path.starts_with(':') && !path.contains('?') {
            return Ok(DatabaseUrl::Sqlite(path.into()));
        }
    }
    if let Ok(url) = text.parse::<Url>()
        && matches!(url.scheme(), "postgres" | "postgresql")
    {
        return Ok(DatabaseUrl::Postgres(text.into()));
    }
    Err("sqlite:FILE or postgres://USER:PASSWORD@HOST/NAME".to_owned())
}

fn keys(text: &str) -> Result<Vec<Secret>, String> {
    let keys: Vec<Secret> = text.split(',').map(|key| key.trim().into()).collect();
    for (index, key) in keys.iter().enumerate() {
        seal::parse_key(key).map_err(|error| match keys.len() {
            1 => format!("a key, but is {error}"),
            _ => format!("a list of keys, but number {} is {error}", index + 1),
        })?;
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
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
        }
    }

    #[test]
    fn lists_and_numbers_of_the_file_are_read_as_such() {
        let file =
            "allow_addresses = ['10.0.0.0/8', 'fd00::/8']\ntrust_proxy = []\nretention_days = 9";
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
}
