//! What was set where, and its check.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;

use super::{
    DATABASE_FILE, DatabaseUrl, Settings, SettingsArguments, SettingsError,
    reference::doc,
    values::{BASE_FORM, base_url, database, keys, network, toml_text, version},
};
use crate::logging;

/// What all environment variables of ours begin with.
const PREFIX: &str = "SEPARATOR_";

/// Variables of the test programs, which are none of ours.
const TEST_PREFIX: &str = "SEPARATOR_TEST_";

/// What was set, by key; a later source replaces an earlier one.
#[derive(Default)]
pub(super) struct Given(BTreeMap<&'static str, Value>);

struct Value {
    /// What the setting is called where it was set.
    name: String,
    text: String,
}

impl Given {
    pub(super) fn add_file(&mut self, file: &Path, text: &str) -> Result<(), SettingsError> {
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

    pub(super) fn add_environment(
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

    pub(super) fn add_arguments(&mut self, arguments: &SettingsArguments) {
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

    pub(super) fn check(&self) -> Result<Settings, SettingsError> {
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
            portal_check: self.seconds("portal_check", 1, 86_400)?,
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
