//! What can be set, from where, and what it has to look like.
//!
//! A setting comes from the file `separator.toml`, is overridden by its environment variable, and
//! that by its flag. Nothing is guessed: a key that nobody knows and a value that cannot be used
//! stop the start and are named, because a misspelt setting that is silently ignored is found out
//! weeks later. The whole list is [`reference()`].

mod given;
mod reference;
mod values;

use std::{
    ffi::OsString,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use url::Url;

use self::given::Given;
pub use self::reference::{SettingDoc, help, reference};
use crate::{logging::LogFormat, secret::Secret};

/// The file that is read from the working folder where no other is named.
pub const DEFAULT_FILE: &str = "separator.toml";

/// The database in the data folder where no other is named.
pub const DATABASE_FILE: &str = "separator.db";

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
    /// Seconds after which each portal is looked over again
    #[arg(long, value_name = "SECONDS")]
    pub portal_check: Option<String>,
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
            ("portal_check", &self.portal_check),
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
    /// Keys for secrets at rest, as text that [`parse_key`](crate::seal::parse_key) accepts; the first one seals.
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
    /// Filter of the log, accepted by [`check_filter`](crate::logging::check_filter).
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
    /// How long after it was looked over a portal is looked over again.
    pub portal_check: Duration,
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

#[cfg(test)]
mod tests;
